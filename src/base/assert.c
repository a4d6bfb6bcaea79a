/* SPDX-License-Identifier: MIT */
/*
 * base/assert.c: the end of the line for a bug of our own. Called by PG_ASSERT only.
 */
#include "base/types.h"

#include <stdio.h>
#include <stdlib.h>

void pg_bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "pagoda: internal error at %s:%d: %s\n", file, line, what);
	abort();
}
