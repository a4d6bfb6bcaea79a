/* SPDX-License-Identifier: MIT */
/*
 * trace/heap_pagoda.c: the heap of libpagoda-malloc, walked from outside by heap/layout.h.
 *
 * Called by heap_picture.c and heap_cuts.c. heap_calls.c finds pg_heap_root when the library is loaded.
 */
#include "heap/layout.h"
#include "trace/heap_impl.h"

static bool root_of(struct pg_heap_watch *w, struct pg_heap_memory *m, struct pg_heap_root *root)
{
	return w->pagoda_root && pg_heap_read(m, w->pagoda_root, root, sizeof *root) &&
	       root->magic == PG_HEAP_MAGIC && root->version == PG_HEAP_VERSION &&
	       root->family < PG_HEAP_FAMILIES;
}

unsigned pg_heap_pagoda_family(struct pg_heap_watch *w, struct pg_heap_memory *m)
{
	struct pg_heap_root root;

	return root_of(w, m, &root) ? root.family : 0;
}

/* --- the document's families ------------------------------------------------------------------------------------- */

static void walk_list(struct pg_heap_draft *d, const struct pg_heap_root *root)
{
	uint64_t at = root->list.start, end = root->list.end + PG_HEAP_HEADER;

	if (!at)
		return;
	pg_heap_draft_area(d, PG_AREA_BREAK, at, end, "heap on the program break");
	while (at < root->list.end) {
		struct pg_heap_block b;
		uint64_t size = 0;

		if (pg_heap_read(d->m, at, &b, PG_HEAP_HEADER))
			size = b.size_flags & ~(uint64_t)PG_HEAP_FLAGS;
		if (size < PG_HEAP_BLOCK_MIN || size > root->list.end - at) {
			pg_heap_draft_problem(
				d, "the header at 0x%llx cannot be read", (long long)at);
			pg_heap_draft_chunk(d, at, end - at, at, 0, PG_CHUNK_META);
			return;
		}
		pg_heap_draft_chunk(d, at, size, at + PG_HEAP_HEADER, size - PG_HEAP_HEADER,
			b.size_flags & PG_HEAP_FENCE  ? PG_CHUNK_FENCE
			: b.size_flags & PG_HEAP_USED ? PG_CHUNK_USED
						      : PG_CHUNK_FREE);
		at += size;
	}
	pg_heap_draft_chunk(d, at, end - at, at, 0, PG_CHUNK_FENCE); /* the sentinel */
}

void pg_heap_pagoda_lists(struct pg_heap_draft *d)
{
	struct pg_heap_root root;
	uint32_t list, last = PG_HEAP_NONE;

	if (!root_of(d->w, d->m, &root) || !root.list.free)
		return;
	list = pg_heap_draft_list(d, "free list");
	for (uint64_t at = root.list.free; at && list != PG_HEAP_NONE;) {
		const uint64_t link = at + offsetof(struct pg_heap_block, next);
		uint32_t c = pg_heap_draft_at(d, at);
		bool good = true;

		if (c == PG_HEAP_NONE || d->p->chunks[c].state != PG_CHUNK_FREE ||
			d->p->chunks[c].list != PG_HEAP_NONE) {
			pg_heap_draft_problem(d,
				"the free list leads to 0x%llx, which is no free block",
				(long long)at);
			return;
		}
		pg_heap_draft_link(d, list, last, c);
		last = c;
		at = pg_heap_word(d->m, link, &good) ^ root.list_secret ^ link;
		if (!good)
			return;
	}
}

/* --- the sharded family ---------------------------------------------------------------------------------------------- */

/* Slices from `from` on that belong to no page and no header, as one chunk. */
static unsigned add_free_slices(
	struct pg_heap_draft *d, const struct pg_heap_segment *s, uint64_t segment, unsigned from)
{
	unsigned to = from;

	while (to < PG_HEAP_SLICES && s->pages[to].state == PG_HEAP_PAGE_FREE)
		to++;
	uint64_t at = segment + from * PG_HEAP_SLICE_BYTES;
	uint64_t bytes = (to - from) * PG_HEAP_SLICE_BYTES;
	pg_heap_draft_chunk(d, at, bytes, at, bytes, PG_CHUNK_FREE);
	return to;
}

static void add_page(struct pg_heap_draft *d, const struct pg_heap_page *page,
	const struct pg_heap_bits *bits, uint64_t at, uint64_t end)
{
	if (page->start > at && page->start <= end)
		pg_heap_draft_chunk(d, at, page->start - at, at, 0, PG_CHUNK_META);
	at = page->start;
	for (unsigned i = 0; i < page->capacity && at + page->block_size <= end; i++) {
		bool is_free = bits->free[i / 64] >> (i % 64) & 1;
		bool remote = bits->remote[i / 64] >> (i % 64) & 1; /* its owner has not seen it */

		pg_heap_draft_chunk(d, at, page->block_size, at, page->block_size,
			is_free  ? PG_CHUNK_FREE
			: remote ? PG_CHUNK_CACHED
				 : PG_CHUNK_USED);
		at += page->block_size;
	}
	if (at < end)
		pg_heap_draft_chunk(
			d, at, end - at, at, 0, PG_CHUNK_META); /* too short for a block */
}

static void walk_segment(struct pg_heap_draft *d, uint64_t segment)
{
	struct pg_heap_segment *s = malloc(sizeof *s);

	if (!s) {
		d->no_memory = true;
		return;
	}
	if (!pg_heap_read(d->m, PG_HEAP_HEADER_OF(segment), s, sizeof *s) ||
		s->address != segment) {
		pg_heap_draft_problem(
			d, "the segment at 0x%llx cannot be read", (long long)segment);
		free(s);
		return;
	}
	pg_heap_draft_area(d, PG_AREA_SEGMENT, segment, segment + PG_HEAP_SEGMENT_BYTES,
		"segment of %s", s->heap ? "a thread's heap" : "the pool");
	pg_heap_draft_chunk(
		d, segment, PG_HEAP_HEADER_SLICES * PG_HEAP_SLICE_BYTES, segment, 0, PG_CHUNK_META);
	for (unsigned i = PG_HEAP_HEADER_SLICES; i < PG_HEAP_SLICES;) {
		const struct pg_heap_page *page = &s->pages[i];

		if (page->state == PG_HEAP_PAGE_FREE || page->slices == 0) {
			unsigned next = add_free_slices(d, s, segment, i);
			i = next > i ? next : i + 1;
			continue;
		}
		uint64_t at = segment + i * PG_HEAP_SLICE_BYTES;
		uint64_t end = at + page->slices * PG_HEAP_SLICE_BYTES;
		if (end > segment + PG_HEAP_SEGMENT_BYTES)
			end = segment + PG_HEAP_SEGMENT_BYTES;
		add_page(d, page, &s->bits[i], at, end);
		i += page->slices;
	}
	free(s);
}

/* The bits of root->known; most of their pages were never made. */
static void walk_segments(struct pg_heap_draft *d, const struct pg_heap_root *root)
{
	const uint64_t words = PG_PAGE_SIZE / sizeof(uint64_t);
	uint64_t page[PG_PAGE_SIZE / sizeof(uint64_t)];
	uint64_t at = root->known, end = root->known + root->known_words * sizeof(uint64_t);

	if (!at || root->known_words > (1u << 20))
		return;
	while (at < end) {
		uint64_t next = (at & ~PG_PAGE_MASK) + PG_PAGE_SIZE, n;

		if (next > end)
			next = end;
		n = (next - at) / sizeof(uint64_t);
		if (n <= words && pg_space_place(d->m->space, (pg_va){at}) != PG_PLACE_NOWHERE &&
			pg_heap_read(d->m, at, page, n * sizeof(uint64_t))) {
			uint64_t first = (at - root->known) / sizeof(uint64_t) * 64;
			for (uint64_t i = 0; i < n; i++) {
				for (uint64_t word = page[i]; word; word &= word - 1) {
					uint64_t bit =
						first + i * 64 + (uint64_t)__builtin_ctzl(word);
					walk_segment(d, bit << PG_HEAP_SEGMENT_SHIFT);
				}
			}
		}
		at = next;
	}
}

static void walk_huge(struct pg_heap_draft *d, const struct pg_heap_root *root)
{
	for (uint64_t i = 0; root->huge && i < root->huge_rows && i < (1u << 24); i++) {
		struct pg_heap_huge h;

		if (!pg_heap_read(d->m, root->huge + i * sizeof h, &h, sizeof h) || h.address <= 1)
			continue;
		pg_heap_draft_area(
			d, PG_AREA_MAPPED, h.map, h.map + h.map_bytes, "a mapping of its own");
		pg_heap_draft_chunk(d, h.map, h.address - h.map, h.map, 0, PG_CHUNK_META);
		pg_heap_draft_chunk(d, h.address, h.map + h.map_bytes - h.address, h.address,
			h.size, PG_CHUNK_USED);
	}
}

bool pg_heap_pagoda_walk(struct pg_heap_draft *d)
{
	struct pg_heap_root root;

	if (!root_of(d->w, d->m, &root))
		return false;
	walk_list(d, &root);
	walk_segments(d, &root);
	walk_huge(d, &root);
	return true;
}

/* --- marks: of the document's families; the sharded one neither splits nor joins blocks ------------------------------ */

static bool mark_size(struct pg_heap_memory *m, uint64_t chunk, uint64_t *size)
{
	bool good = true;

	*size = pg_heap_word(m, chunk, &good) & ~(uint64_t)PG_HEAP_FLAGS;
	return good && *size >= PG_HEAP_BLOCK_MIN;
}

static bool mark_chunk(struct pg_heap_watch *w, struct pg_heap_memory *m, uint64_t block,
	uint64_t *chunk, uint64_t *size, uint64_t *free_before)
{
	struct pg_heap_root root;
	struct pg_heap_block b, before;

	*free_before = 0;
	if (!root_of(w, m, &root) || block < root.list.start + PG_HEAP_HEADER ||
		block > root.list.end)
		return false;
	*chunk = block - PG_HEAP_HEADER;
	if (!mark_size(m, *chunk, size) || !pg_heap_read(m, *chunk, &b, PG_HEAP_HEADER))
		return false;
	uint64_t bytes = (uint64_t)b.prev_units * PG_HEAP_UNIT;
	if (bytes && pg_heap_read(m, *chunk - bytes, &before, PG_HEAP_HEADER) &&
		!(before.size_flags & PG_HEAP_USED))
		*free_before = bytes;
	return true;
}

const struct pg_heap_marks pg_heap_pagoda_marks = {mark_chunk, mark_size};
