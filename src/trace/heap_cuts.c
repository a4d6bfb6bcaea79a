/* SPDX-License-Identifier: MIT */
/*
 * trace/heap_cuts.c: splits and coalesces: how each call of the allocator changed where chunks begin.
 *
 * Called by heap_calls.c when a call returns. Keeps a table of all chunks, by address; what a call took or gave back is
 * compared with it there and nowhere else, so it costs a few reads a call:
 *
 *   took  [c, c + s)   the chunks of the table from c on that cover it: one that is longer was split (or, the top, cut from), several
 *                      were joined first
 *   gave  [c, c + s)   the chunk that now begins at c, or at the free one before it: it covers those that were joined
 *
 * What changes elsewhere (glibc joins all chunks of its fast bins at once; a heap grows; an aligned block is
 * cut out of the middle) shows as a table that does not fit, and is found by comparing with a walk.
 */
#include "trace/heap_impl.h"

static void lose(struct pg_heap_watch *w)
{
	w->cuts.lost = true;
}

static bool put(struct pg_heap_watch *w, uint64_t at, uint64_t size, bool top)
{
	struct pg_heap_cut *c = pg_heap_table_put(&w->cuts.table, at);

	if (!c) {
		w->no_memory = true;
		return false;
	}
	*c = (struct pg_heap_cut){size, top};
	return true;
}

const struct pg_heap_marks *pg_heap_marks_now(struct pg_heap_watch *w)
{
	unsigned family = pg_heap_pagoda_family(w, &w->memory);

	if (family == 1)
		return NULL; /* sharded */
	if (family)
		return &pg_heap_pagoda_marks;
	return w->glibc.main ? &pg_heap_glibc_marks : NULL;
}

/* The table's chunks from c to at least c + size become one of `size`, and the rest another. */
static void reshape(struct pg_heap_watch *w, uint64_t c, uint64_t size)
{
	struct pg_heap_cuts *k = &w->cuts;
	const struct pg_heap_cut *old = pg_heap_table_find(&k->table, c);
	uint64_t to = c;
	unsigned pieces = 0;
	bool top = false;

	if (!old) {
		lose(w);
		return;
	}
	while (to < c + size) {
		old = pg_heap_table_find(&k->table, to);
		if (!old || old->size == 0) {
			lose(w);
			return;
		}
		uint64_t at = to;
		top = old->top;
		to = top && to + old->size < c + size ? c + size
						      : to + old->size; /* the top grew */
		if (at != c)
			pg_heap_table_remove(&k->table, at);
		pieces++;
	}
	k->coalesces += pieces - 1;
	if (top)
		k->from_top++;
	else if (to > c + size)
		k->splits++;
	if (top)
		put(w, c + size, to > c + size ? to - c - size : 1, true);
	else if (to > c + size)
		put(w, c + size, to - c - size, false);
	put(w, c, size, false);
}

void pg_heap_cuts_took(struct pg_heap_watch *w, uint64_t block)
{
	const struct pg_heap_marks *marks = pg_heap_marks_now(w);
	uint64_t chunk, size, before;

	if (!w->cuts.valid || w->cuts.lost || !marks ||
		!marks->chunk(w, &w->memory, block, &chunk, &size, &before))
		return;
	reshape(w, chunk, size);
}

void pg_heap_cuts_gave(struct pg_heap_watch *w, uint64_t chunk, uint64_t size, uint64_t free_before)
{
	const struct pg_heap_marks *marks = pg_heap_marks_now(w);
	uint64_t start = chunk - free_before, now, to, pieces = 0;
	bool glibc = marks == &pg_heap_glibc_marks;

	if (!w->cuts.valid || w->cuts.lost || !marks)
		return;
	uint64_t top = glibc ? pg_heap_glibc_top(w, &w->memory, chunk) : 0;
	if (top == chunk || top == start) { /* the last chunk before the top is part of it now */
		start = top;
		now = UINT64_MAX;
	} else {
		if (!marks->size(&w->memory, start, &now)) {
			lose(w);
			return;
		}
		if (free_before &&
			now <= free_before) { /* it was not joined: it waits in a cache */
			start = chunk;
			now = size;
		}
	}
	for (to = start; now == UINT64_MAX || to < start + now;) {
		const struct pg_heap_cut *old = pg_heap_table_find(&w->cuts.table, to);
		if (!old || old->size == 0) {
			lose(w);
			return;
		}
		uint64_t at = to;
		bool was_top = old->top;
		to += old->size;
		if (at != start)
			pg_heap_table_remove(&w->cuts.table, at);
		pieces++;
		if (was_top)
			break;
	}
	if (now != UINT64_MAX && to != start + now) {
		lose(w);
		return;
	}
	if (now == UINT64_MAX) {
		w->cuts.to_top++;
		w->cuts.coalesces += pieces - 1 - (pieces > 1);
	} else {
		w->cuts.coalesces += pieces - 1;
	}
	put(w, start, to - start, now == UINT64_MAX);
}

/* Which chunk of the picture holds address at; PG_HEAP_NONE: none. */
static uint32_t holder(const struct pg_heap_picture *p, uint64_t at)
{
	uint32_t low = 0, high = p->chunk_count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (p->chunks[mid].address + p->chunks[mid].size <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->chunk_count && p->chunks[low].address <= at ? low : PG_HEAP_NONE;
}

/* Chunks that the table has and the walk has not were joined; those that only the walk has were cut from a chunk of the table. */
static void count_changes(struct pg_heap_watch *w, const struct pg_heap_picture *p)
{
	struct pg_heap_cuts *k = &w->cuts;
	uint64_t last = 0; /* the chunk of the table before the present one ends here */
	bool top = false;

	for (uint32_t i = 0; k->table.keys && i <= k->table.mask; i++) {
		uint64_t at = k->table.keys[i];
		const struct pg_heap_cut *c =
			(const void *)(k->table.rows + i * k->table.row_bytes);
		uint32_t in = at ? holder(p, at) : PG_HEAP_NONE;
		if (in == PG_HEAP_NONE || p->chunks[in].address == at)
			continue;
		if (c->top || p->chunks[in].state == PG_CHUNK_TOP)
			k->to_top++;
		else
			k->coalesces++;
	}
	for (uint32_t i = 0; i < p->chunk_count; i++) {
		uint64_t at = p->chunks[i].address;
		const struct pg_heap_cut *c = pg_heap_table_find(&k->table, at);
		if (c) {
			last = at + c->size;
			top = c->top;
		} else if (at < last) {
			*(top ? &k->from_top : &k->splits) += 1;
		}
	}
}

void pg_heap_cuts_compare(struct pg_heap_watch *w, const struct pg_heap_picture *p)
{
	struct pg_heap_cuts *k = &w->cuts;

	if (!pg_heap_marks_now(w) || p->problem[0]) {
		k->valid = false;
		return;
	}
	if (k->valid)
		count_changes(w, p);
	pg_heap_table_clear(&k->table);
	for (uint32_t i = 0; i < p->chunk_count; i++)
		put(w, p->chunks[i].address, p->chunks[i].size, p->chunks[i].state == PG_CHUNK_TOP);
	k->valid = true;
	k->lost = false;
}
