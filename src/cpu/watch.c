/* SPDX-License-Identifier: MIT */
/*
 * cpu/watch.c: addresses whose execution somebody wants to be told of (pg_engine_ops.watch).
 *
 * Called by engine.c, run.c and translate.c. A fetch run begins after every taken transfer of control, so a call of a function or a
 * return to its caller is the begin of a block. Nothing is translated for it: a watched block is one that nothing leads to
 * directly, so that whoever comes there passes the run loop, which asks here. Its lookups and counts are what they would be.
 *
 * Invariants:
 *   1. No exit and no jump slot leads to a block at a watched address, and such a block has no thunk.
 */
#include "cpu/watch.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t place_of(const struct pg_engine *e, uint64_t rip)
{
	uint32_t at = (uint32_t)(rip * 0x9e3779b97f4a7c15ull >> 40) & e->watches.mask;

	while (e->watches.rips[at] != 0 && e->watches.rips[at] != rip)
		at = (at + 1) & e->watches.mask;
	return at;
}

bool pg_watch_is_in(const struct pg_engine *e, uint64_t rip)
{
	return e->watches.rips[place_of(e, rip)] == rip;
}

/* Room for one more, a quarter of it free. */
static bool grow(struct pg_engine *e)
{
	uint32_t size = e->watches.rips ? e->watches.mask + 1 : 0;

	if (e->watches.n < size / 4 * 3)
		return true;
	uint64_t *old = e->watches.rips, *rips = calloc(size ? 2 * size : 64, sizeof(*rips));
	if (!rips)
		return false;
	e->watches.rips = rips;
	e->watches.mask = (size ? 2 * size : 64) - 1;
	for (uint32_t i = 0; i < size; i++) {
		if (old[i])
			rips[place_of(e, old[i])] = old[i];
	}
	free(old);
	return true;
}

int pg_watch_add(struct pg_engine *e, uint64_t rip)
{
	PG_ASSERT(e->config.reached);
	if (rip == 0 || pg_watch_has(e, rip))
		return 0;
	if (!grow(e))
		return -ENOMEM;
	e->watches.rips[place_of(e, rip)] = rip;
	e->watches.n++;
	for (uint32_t i = e->block_hash[pg_hash_rip(e, rip)]; i != 0;) {
		struct pg_block *b = pg_block_at(e, i);
		if (b->rip == rip)
			pg_code_unlink_block(e, b);
		i = b->next;
	}
	return 0;
}
