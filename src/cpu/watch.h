/* SPDX-License-Identifier: MIT */
/* cpu/watch.h: the addresses that are watched; for engine.c, run.c and translate.c. See watch.c. */
#ifndef PG_CPU_WATCH_H
#define PG_CPU_WATCH_H

#include "cpu/cpu.h"

/* pg_engine_ops.watch */
int pg_watch_add(struct pg_engine *e, uint64_t rip);

/* Something is watched, and rip is. */
bool pg_watch_is_in(const struct pg_engine *e, uint64_t rip);

static inline bool pg_watch_has(const struct pg_engine *e, uint64_t rip)
{
	return __builtin_expect(e->watches.n != 0, 0) && pg_watch_is_in(e, rip);
}

#endif
