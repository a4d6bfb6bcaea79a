/* SPDX-License-Identifier: MIT */
/*
 * space/mem.c: see mem.h. The host's allocator, counted.
 */
#include "space/mem.h"

#include <stdlib.h>

void *pg_mem_alloc(struct pg_mem *m, size_t bytes)
{
	void *p = calloc(1, bytes);

	if (p)
		m->live++;
	return p;
}

void pg_mem_free(struct pg_mem *m, void *p)
{
	if (!p)
		return;
	PG_ASSERT(m->live > 0);
	m->live--;
	free(p);
}
