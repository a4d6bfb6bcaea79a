/* SPDX-License-Identifier: MIT */
/*
 * trace/heap_cuts.c: splits and coalesces: how each call of the allocator changed where chunks begin.
 *
 * Called by heap_calls.c when a call returns. Keeps a table of all chunks, by address; what a call took or gave back is
 * compared with it there and nowhere else, so it costs a few reads a call:
 *
 *   took  [c, c + s)   the chunks of the table from c on that cover it: one that is longer was split (or, the top, cut from), several
 *                      were joined first; none begins at c: an aligned block was cut out of one before it
 *   gave  [c, c + s)   the chunk that now begins at c, or at the free one before it: it covers those that were joined
 *
 * What changes elsewhere (glibc joins all chunks of its fast bins at once; a heap grows; an aligned block is
 * cut out of the middle) shows as a table that does not fit, and is found by comparing with a walk.
 */
#include "trace/heap_impl.h"

#define FAR (128u << 10) /* how far before an aligned block its chunk is looked for */

static void lose(struct pg_heap_watch *w)
{
	w->cuts.lost = true;
}

static bool put(struct pg_heap_watch *w, uint64_t at, uint64_t size, enum pg_chunk_state state)
{
	struct pg_heap_cut *c = pg_heap_table_put(&w->cuts.table, at);

	if (!c) {
		w->no_memory = true;
		return false;
	}
	*c = (struct pg_heap_cut){size, (uint8_t)state, false};
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

/*
 * The chunk at `at`, which is free, has become larger than the table says, or not: those behind it that it covers now were joined to it.
 */
static void settle(struct pg_heap_watch *w, const struct pg_heap_marks *marks, uint64_t at)
{
	const struct pg_heap_cut *c = pg_heap_table_find(&w->cuts.table, at);
	uint64_t now, to;

	if (!c || c->state != PG_CHUNK_FREE || !marks->size(&w->memory, at, &now) || now <= c->size)
		return;
	for (to = at + c->size; to < at + now;) {
		const struct pg_heap_cut *next = pg_heap_table_find(&w->cuts.table, to);
		if (!next || next->state != PG_CHUNK_FREE || to + next->size > at + now) {
			lose(w);
			return;
		}
		uint64_t size = next->size;
		pg_heap_table_remove(&w->cuts.table, to);
		w->cuts.coalesces++;
		to += size;
	}
	put(w, at, now, PG_CHUNK_FREE);
}

/* A chunk was cut out of the middle of one of the table, for an aligned block: that one ends at c now, and the rest begins there. */
static bool cut_before(struct pg_heap_watch *w, const struct pg_heap_marks *marks, uint64_t c,
	uint64_t free_before)
{
	const struct pg_heap_cut *old = NULL;
	uint64_t at = c;

	while (!old && c - at < FAR) {
		at -= 16;
		old = pg_heap_table_find(&w->cuts.table, at);
	}
	if (!old || (at + old->size <= c && old->state != PG_CHUNK_TOP) ||
		old->state == PG_CHUNK_FENCE)
		return false;
	struct pg_heap_cut rest = {at + old->size > c ? at + old->size - c : 1, old->state, false};
	*(rest.state == PG_CHUNK_TOP ? &w->cuts.from_top : &w->cuts.splits) += 1;
	if (!put(w, at, c - at, PG_CHUNK_FREE) || !put(w, c, rest.size, rest.state))
		return false;
	if (free_before > c - at)
		settle(w, marks, c - free_before);
	return true;
}

/* The top of c's arena was cut at `at`. What an aligned block left of its own chunk lies between there and the top. */
static void set_top(struct pg_heap_watch *w, const struct pg_heap_marks *marks, uint64_t c,
	uint64_t at, uint64_t bytes)
{
	uint64_t top = pg_heap_glibc_top(w, &w->memory, c), size;

	while (at < top && top - at < FAR && marks->size(&w->memory, at, &size)) {
		put(w, at, size, PG_CHUNK_FREE);
		w->cuts.from_top++;
		at += size;
		bytes = bytes > size ? bytes - size : 1;
	}
	if (at == top)
		put(w, at, bytes, PG_CHUNK_TOP);
	else
		lose(w);
}

/* The table's chunks from c to at least c + size become one of `size`, and the rest another. */
static void reshape(
	struct pg_heap_watch *w, const struct pg_heap_marks *marks, uint64_t c, uint64_t size)
{
	struct pg_heap_cuts *k = &w->cuts;
	uint64_t to = c;
	unsigned pieces = 0;
	bool top = false;

	while (to < c + size) {
		const struct pg_heap_cut *old = pg_heap_table_find(&k->table, to);
		if (!old || old->size == 0 || old->state == PG_CHUNK_FENCE) {
			lose(w);
			return;
		}
		uint64_t at = to;
		top = old->state == PG_CHUNK_TOP;
		to = top && to + old->size < c + size ? c + size
						      : to + old->size; /* the top grew */
		if (at != c)
			pg_heap_table_remove(&k->table, at);
		pieces++;
	}
	k->coalesces += pieces - 1;
	put(w, c, size, PG_CHUNK_FREE);
	if (top) {
		k->from_top++;
		set_top(w, marks, c, c + size, to > c + size ? to - c - size : 1);
	} else if (to > c + size) {
		k->splits++;
		put(w, c + size, to - c - size, PG_CHUNK_FREE);
		settle(w, marks, c + size);
	}
}

void pg_heap_cuts_took(struct pg_heap_watch *w, uint64_t block)
{
	const struct pg_heap_marks *marks = pg_heap_marks_now(w);
	uint64_t chunk, size, before;

	if (!w->cuts.valid || w->cuts.lost || !marks ||
		!marks->chunk(w, &w->memory, block, &chunk, &size, &before))
		return;
	if (!pg_heap_table_find(&w->cuts.table, chunk) && !cut_before(w, marks, chunk, before)) {
		lose(w);
		return;
	}
	reshape(w, marks, chunk, size);
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
		bool was_top = old->state == PG_CHUNK_TOP;
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
	put(w, start, to - start, now == UINT64_MAX ? PG_CHUNK_TOP : PG_CHUNK_FREE);
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

/* What the table keeps of a chunk's state. */
static enum pg_chunk_state kept(const struct pg_heap_chunk *c)
{
	return c->state == PG_CHUNK_TOP || c->state == PG_CHUNK_FENCE
		       ? (enum pg_chunk_state)c->state
		       : PG_CHUNK_FREE;
}

/*
 * The table becomes what the walk of an area says. What only the walk has was cut from a chunk of the table; what was no chunk of the
 * heap, as an end mark that the heap has grown over, does not count. All that is there is marked as seen.
 */
static void compare_area(struct pg_heap_watch *w, const struct pg_heap_picture *p,
	const struct pg_heap_area *a, bool count)
{
	struct pg_heap_cuts *k = &w->cuts;
	uint64_t last = 0; /* the chunk of the table before the present one ends here */
	unsigned state = PG_CHUNK_FREE;

	for (uint32_t n = a->first; n < a->first + a->count; n++) {
		uint64_t at = p->chunks[n].address;
		struct pg_heap_cut *c = pg_heap_table_find(&k->table, at);
		if (c) {
			last = c->state == PG_CHUNK_TOP ? a->end : at + c->size; /* the top grows */
			state = c->state;
		} else {
			if (count && at < last && state != PG_CHUNK_FENCE)
				*(state == PG_CHUNK_TOP ? &k->from_top : &k->splits) += 1;
			c = pg_heap_table_put(&k->table, at);
		}
		if (c)
			*c = (struct pg_heap_cut){
				p->chunks[n].size, (uint8_t)kept(&p->chunks[n]), true};
		else
			w->no_memory = true;
	}
}

/* What the table has and the walk has not was joined to another, and goes. */
static void drop_unseen(struct pg_heap_watch *w, const struct pg_heap_picture *p, bool count)
{
	struct pg_heap_cuts *k = &w->cuts;
	uint64_t *gone = malloc(((size_t)k->table.n + 1) * sizeof *gone);
	uint32_t n = 0;

	for (uint32_t i = 0; gone && k->table.keys && i <= k->table.mask; i++) {
		struct pg_heap_cut *c = (void *)(k->table.rows + i * k->table.row_bytes);
		if (!k->table.keys[i])
			continue;
		if (!c->seen) {
			uint32_t in = holder(p, k->table.keys[i]);
			gone[n++] = k->table.keys[i];
			if (count && in != PG_HEAP_NONE && c->state == PG_CHUNK_FREE)
				*(p->chunks[in].state == PG_CHUNK_TOP ? &k->to_top
								      : &k->coalesces) += 1;
		}
		c->seen = false;
	}
	w->no_memory |= !gone;
	while (gone && n > 0)
		pg_heap_table_remove(&k->table, gone[--n]);
	free(gone);
}

void pg_heap_cuts_compare(struct pg_heap_watch *w, const struct pg_heap_picture *p)
{
	struct pg_heap_cuts *k = &w->cuts;

	if (!pg_heap_marks_now(w) || p->problem[0]) {
		k->valid = false;
		return;
	}
	for (uint32_t i = 0; i < p->area_count; i++)
		compare_area(w, p, &p->areas[i], k->valid);
	drop_unseen(w, p, k->valid);
	k->valid = true;
	k->lost = false;
}
