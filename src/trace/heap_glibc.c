/* SPDX-License-Identifier: MIT */
/*
 * trace/heap_glibc.c: the heap of glibc's malloc (ptmalloc), found and walked from outside, without debug information.
 *
 * Called by heap_picture.c and heap_cuts.c. Layouts: glibc's malloc/malloc.c and arena.c, 2.32 to 2.41, x86-64.
 *
 * Nothing says where main_arena is: its symbol is local and stripped. It is found by what it is: in the writable data of the C
 * library (or of a static program) a struct malloc_state whose 127 bins each point to themselves or to chunks,
 * whose `next` leads around a ring back to it, and whose top is a chunk that ends where its memory does. The other arenas
 * are on that ring; each lies at the begin of a heap of 64 MiB, aligned to that. The thread caches are chunks like others: they are
 * known by the pointers to them that lie below the threads' FS base.
 *
 * Which glibc it is stands in the text that the library prints when it is executed. One whose structures are not known is not walked: what
 * is drawn is then what the calls tell. A static program does not say; its heap is walked if an arena of the known form is found.
 *
 * A chunk is in use if the next one's PREV_INUSE says so and no cache or fast bin holds it. Blocks with a mapping of their own are
 * known from the calls that made them; what was mapped before the calls were watched is not found.
 *
 * Not here: who asked for what (heap_calls.c).
 */
#include <stdio.h>

#include "trace/faults.h"
#include "trace/heap_impl.h"

/* struct malloc_state */
enum {
	FAST_NOW = 8, /* have_fastchunks */
	FAST_BINS = 16,
	FAST_COUNT = 10,
	TOP = 96,
	BINS = 112,
	BIN_COUNT = 127,
	NEXT = 2160,
	SYSTEM_MEM = 2184,
	STATE_BYTES = 2200,
};

/* Versions whose structures are these, as in pg_heap_glibc.version. */
#define OLDEST 232 /* links are encoded by their place since then */
#define NEWEST 241 /* the thread caches are larger since 2.42 */

#define PREV_INUSE 1u
#define IS_MMAPPED 2u
#define SIZE_BITS 7u
#define LEAST 32u
#define HEAP_MAX ((uint64_t)64 << 20) /* and alignment of a heap that is not on the break */

/* struct tcache_perthread_struct, since 2.30 */
enum { CACHE_BINS = 64, CACHE_BYTES = CACHE_BINS * 10, CACHE_CHUNK = CACHE_BYTES + 16 };

static uint64_t size_at(struct pg_heap_memory *m, uint64_t chunk, uint64_t *flags, bool *good)
{
	uint64_t word = pg_heap_word(m, chunk + 8, good);

	if (flags)
		*flags = word & SIZE_BITS;
	return word & ~(uint64_t)SIZE_BITS;
}

/* --- the main arena --------------------------------------------------------------------------------------------- */

/* The address that stands for bin i, from 1, of an arena: its links are at + 16. */
static uint64_t bin_of(uint64_t arena, unsigned i)
{
	return arena + BINS + (uint64_t)(i - 1) * 16 - 16;
}

/* bytes[STATE_BYTES] of address `at` look like an arena that is in use. */
static bool looks_like_arena(struct pg_heap_memory *m, const uint8_t *bytes, uint64_t at)
{
	uint64_t links[2 * BIN_COUNT], top, next;
	unsigned own = 0;

	memcpy(&top, bytes + TOP, sizeof top);
	memcpy(&next, bytes + NEXT, sizeof next);
	if (top == 0 || next == 0 || top % 16 || next % 8)
		return false;
	memcpy(links, bytes + BINS, sizeof links);
	for (unsigned i = 1; i <= BIN_COUNT; i++) {
		uint64_t fd = links[2 * (i - 1)], bk = links[2 * (i - 1) + 1];
		uint64_t self = bin_of(at, i);

		if ((fd == self) != (bk == self) || fd == 0 || bk == 0 || fd % 8 || bk % 8)
			return false;
		own += fd == self;
	}
	/* a heap may fill many bins, never nearly all 64 large ones and the unused bins 1 (unsorted) to 3 */
	if (own < 8)
		return false;
	bool good = true;
	for (unsigned i = 0; i < PG_HEAP_ARENAS && next != at && good; i++)
		next = pg_heap_word(m, next + NEXT, &good);
	return good && next == at;
}

struct search {
	struct pg_heap_watch *w;
	struct pg_heap_memory *m;
	bool after_file; /* the region before this one was writable data of a file */
	uint64_t before_end;
};

static bool search_region(void *ctx, const struct pg_region *r)
{
	struct search *s = ctx;
	bool data = (r->prot & PG_WRITE) && !(r->flags & PG_MAP_SHARED);
	bool file = data && (r->object || pg_trace_is_image(s->m->space, r));
	bool bss = data && !r->object && s->after_file && s->before_end == r->start.v &&
		   r->kind == PG_REGION_ANON;
	uint64_t bytes = r->end.v - r->start.v;

	s->after_file = file || bss;
	s->before_end = r->end.v;
	if ((!file && !bss) || bytes < STATE_BYTES || bytes > (64u << 20))
		return true;
	uint8_t *all = malloc(bytes);
	if (!all)
		return true;
	uint64_t have = pg_space_peek(s->m->space, all, r->start, bytes);
	for (uint64_t at = 0; at + STATE_BYTES <= have; at += 8) {
		uint64_t unsorted;
		/* most places fail at once: a bin that is empty is the usual case for one of the first two */
		memcpy(&unsorted, all + at + BINS, sizeof unsorted);
		if (unsorted == 0 || unsorted % 8)
			continue;
		if (!looks_like_arena(s->m, all + at, r->start.v + at))
			continue;
		s->w->glibc.main = r->start.v + at;
		break;
	}
	free(all);
	return s->w->glibc.main == 0;
}

void pg_heap_glibc_version(struct pg_heap_watch *w, const char *path)
{
	char text[160];
	const char *at;
	unsigned major, minor;

	if (!pg_symbols_text_in(w->symbols, path, "GNU C Library (", text, sizeof text))
		return;
	at = strstr(text, "release version ");
	if (at && sscanf(at, "release version %u.%u", &major, &minor) == 2 && minor < 100)
		w->glibc.version = major * 100 + minor;
}

bool pg_heap_glibc_strange(const struct pg_heap_watch *w)
{
	return w->glibc.version && (w->glibc.version < OLDEST || w->glibc.version > NEWEST);
}

bool pg_heap_glibc_find(struct pg_heap_watch *w, struct pg_heap_memory *m)
{
	struct search s = {.w = w, .m = m};

	if (w->glibc.main)
		return true;
	if (pg_heap_glibc_strange(w))
		return false;
	pg_space_each_region(m->space, search_region, &s);
	m->page = UINT64_MAX;
	return w->glibc.main != 0;
}

/* --- chunks --------------------------------------------------------------------------------------------------------- */

/* Whether chunks lead from `from` just to `to`. */
static bool leads_to(struct pg_heap_memory *m, uint64_t from, uint64_t to)
{
	bool good = true;

	while (from < to && good) {
		uint64_t size = size_at(m, from, NULL, &good);
		if (size < LEAST || size % 16 || size > to - from)
			return false;
		from += size;
	}
	return good && from == to;
}

/* Adds chunks [from, to), the last of which is the arena's top if top is its address. */
static void add_chunks(struct pg_heap_draft *d, uint64_t from, uint64_t to, uint64_t top)
{
	bool good = true;
	uint64_t flags, next = size_at(d->m, from, &flags, &good);

	while (from < to) {
		uint64_t size = next, block = from + 16;

		if (!good || from == top) {
			enum pg_chunk_state state = good ? PG_CHUNK_TOP : PG_CHUNK_META;
			if (!good)
				pg_heap_draft_problem(
					d, "the page at 0x%llx cannot be read", (long long)from);
			pg_heap_draft_chunk(d, from, to - from, block,
				to - from > 16 ? to - from - 16 : 0, state);
			return;
		}
		if (size < LEAST || size % 16 || size > to - from) {
			/* the end marks of a piece, or what is not the allocator's */
			pg_heap_draft_chunk(d, from, to - from, block, 0, PG_CHUNK_FENCE);
			return;
		}
		flags = PREV_INUSE;
		if (size < to - from)
			next = size_at(d->m, from + size, &flags, &good);
		pg_heap_draft_chunk(d, from, size, block, size - 8,
			flags & PREV_INUSE ? PG_CHUNK_USED : PG_CHUNK_FREE);
		if (!(flags & PREV_INUSE))
			d->p->chunks[d->p->chunk_count - 1].usable = size - 16;
		from += size;
	}
}

/* Where the chunks of a piece of the main arena that ends in the top begin; 0: unknown. */
static uint64_t first_chunk(struct pg_heap_watch *w, struct pg_heap_memory *m, uint64_t start,
	uint64_t top, uint64_t arena_bytes)
{
	bool good = true;
	uint64_t end = top + size_at(m, top, NULL, &good), guess = end - arena_bytes;

	if (w->glibc.first && w->glibc.first >= start && w->glibc.first <= top)
		return w->glibc.first;
	if (guess >= start && guess <= top && guess % 16 == 0 && leads_to(m, guess, top))
		return w->glibc.first = guess;
	for (uint64_t at = start; at < top && at < start + (4u << 20); at += 16) {
		uint64_t flags = 0, size = size_at(m, at, &flags, &good);
		if (size >= LEAST && (flags & PREV_INUSE) && leads_to(m, at, top))
			return w->glibc.first = at;
		if (!good)
			return 0;
	}
	return top;
}

static void walk_main(struct pg_heap_draft *d)
{
	uint64_t arena = d->w->glibc.main;
	bool good = true;
	uint64_t top = pg_heap_word(d->m, arena + TOP, &good);
	uint64_t bytes = pg_heap_word(d->m, arena + SYSTEM_MEM, &good);
	struct pg_region r;

	if (!good || top == bin_of(arena, 1) || bytes == 0)
		return; /* nothing allocated yet */
	if (!pg_space_find(d->m->space, (pg_va){top}, false, &r)) {
		pg_heap_draft_problem(d, "the top of the main arena is not mapped");
		return;
	}
	uint64_t end = top + size_at(d->m, top, NULL, &good);
	bool on_break = r.kind == PG_REGION_HEAP;
	uint64_t first = first_chunk(d->w, d->m, r.start.v, top, bytes);
	if (!first) {
		pg_heap_draft_problem(d, "the main arena does not lead to its top");
		return;
	}
	pg_heap_draft_area(d, on_break ? PG_AREA_BREAK : PG_AREA_ARENA, first, end, "%s",
		on_break ? "main arena, on the program break" : "main arena, mapped");
	add_chunks(d, first, end, top);
}

static void walk_other(struct pg_heap_draft *d, uint64_t arena, unsigned number)
{
	bool good = true;
	uint64_t top = pg_heap_word(d->m, arena + TOP, &good);
	uint64_t info = arena & ~(HEAP_MAX - 1), heap = top & ~(HEAP_MAX - 1);

	if (!good || pg_heap_word(d->m, info, &good) != arena) {
		pg_heap_draft_problem(
			d, "arena %u at 0x%llx is not in a heap", number, (long long)arena);
		return;
	}
	uint64_t header = arena - info; /* sizeof(heap_info), rounded */
	for (unsigned n = 0; heap && n < 65536; n++) {
		uint64_t bytes = pg_heap_word(d->m, heap + 16, &good);
		uint64_t from =
			heap == info ? (arena + STATE_BYTES + 15) & ~(uint64_t)15 : heap + header;
		uint64_t previous = pg_heap_word(d->m, heap + 8, &good);

		if (!good || bytes < header || bytes > HEAP_MAX ||
			pg_heap_word(d->m, heap, &good) != arena) {
			pg_heap_draft_problem(d, "a heap of arena %u at 0x%llx is broken", number,
				(long long)heap);
			return;
		}
		pg_heap_draft_area(d, PG_AREA_ARENA, heap, heap + bytes, "arena %u", number);
		pg_heap_draft_chunk(d, heap, from - heap, heap, 0, PG_CHUNK_META);
		add_chunks(d, from, heap + bytes, top);
		heap = previous;
	}
}

/* Blocks that have a mapping of their own, as their calls have shown. */
static void walk_mapped(struct pg_heap_draft *d)
{
	const struct pg_heap_table *t = &d->w->mapped;

	for (uint32_t i = 0; t->keys && i <= t->mask; i++) {
		uint64_t block = t->keys[i], flags = 0;
		bool good = true;

		if (block == 0)
			continue;
		uint64_t size = size_at(d->m, block - 16, &flags, &good);
		uint64_t before = pg_heap_word(d->m, block - 16, &good),
			 start = block - 16 - before;
		if (!good || !(flags & IS_MMAPPED) || (size + before) % PG_PAGE_SIZE ||
			start % PG_PAGE_SIZE)
			continue;
		pg_heap_draft_area(
			d, PG_AREA_MAPPED, start, block - 16 + size, "a mapping of its own");
		if (before)
			pg_heap_draft_chunk(d, start, before, start, 0, PG_CHUNK_META);
		pg_heap_draft_chunk(d, block - 16, size, block, size - 16, PG_CHUNK_USED);
	}
}

/* --- lists ------------------------------------------------------------------------------------------------------------- */

/* The next block of a cache, or chunk of a fast bin: the word at `at`, which is encoded by its place ("safe linking"). */
static uint64_t link_at(struct pg_heap_draft *d, uint64_t at, bool *good)
{
	return pg_heap_word(d->m, at, good) ^ at >> 12;
}

/* Marks the chunks of a list that is linked from `from` on; adjust: from a link to its chunk; link: from chunk to link. */
static void mark_list(
	struct pg_heap_draft *d, uint32_t list, uint64_t from, unsigned adjust, unsigned most)
{
	uint32_t last = PG_HEAP_NONE;
	bool good = true;

	for (unsigned n = 0; from && n < most; n++) {
		uint32_t at = pg_heap_draft_at(d, from - adjust);
		if (at == PG_HEAP_NONE || d->p->chunks[at].state != PG_CHUNK_USED) {
			pg_heap_draft_problem(d, "%s leads to 0x%llx, which is no chunk of it",
				d->p->lists[list].name, (long long)from);
			return;
		}
		d->p->chunks[at].state = PG_CHUNK_CACHED;
		pg_heap_draft_link(d, list, last, at);
		last = at;
		from = link_at(d, from + 16 - adjust, &good);
		if (!good)
			return;
	}
}

/* The cache whose struct is at `at`, a block: false: it cannot be one. */
static bool is_cache(struct pg_heap_draft *d, uint64_t at)
{
	uint16_t counts[CACHE_BINS];
	uint64_t entries[CACHE_BINS];
	uint64_t flags;
	bool good = true;

	if (at % 16 || size_at(d->m, at - 16, &flags, &good) != CACHE_CHUNK || !good)
		return false;
	if (!pg_heap_read(d->m, at, counts, sizeof counts) ||
		!pg_heap_read(d->m, at + sizeof counts, entries, sizeof entries))
		return false;
	for (unsigned i = 0; i < CACHE_BINS; i++) {
		if ((counts[i] != 0) != (entries[i] != 0) || entries[i] % 16)
			return false;
		if (entries[i] && size_at(d->m, entries[i] - 16, &flags, &good) != 32 + 16 * i)
			return false;
	}
	return good;
}

static void mark_cache(struct pg_heap_draft *d, uint64_t cache, int tid)
{
	uint16_t counts[CACHE_BINS];
	uint64_t entries[CACHE_BINS];
	uint32_t own = pg_heap_draft_at(d, cache - 16);

	if (own == PG_HEAP_NONE || !pg_heap_read(d->m, cache, counts, sizeof counts) ||
		!pg_heap_read(d->m, cache + sizeof counts, entries, sizeof entries))
		return;
	d->p->chunks[own].state = PG_CHUNK_META;
	for (unsigned i = 0; i < CACHE_BINS; i++) {
		if (!entries[i])
			continue;
		uint32_t list =
			pg_heap_draft_list(d, "cache of thread %d, %u bytes", tid, 32 + 16 * i);
		if (list != PG_HEAP_NONE)
			mark_list(d, list, entries[i], 16, counts[i]);
	}
}

/* Where below its FS base a thread has the pointer to its cache; 0: it has none. */
static uint64_t cache_of(struct pg_heap_draft *d, uint64_t fs_base)
{
	struct pg_heap_glibc *g = &d->w->glibc;
	bool good = true;

	if (g->tcache_offset)
		return pg_heap_word(d->m, fs_base - g->tcache_offset, &good);
	for (uint64_t offset = 8; offset <= 2 * PG_PAGE_SIZE; offset += 8) {
		uint64_t at = pg_heap_word(d->m, fs_base - offset, &good);
		if (!good)
			return 0;
		if (!at || pg_heap_draft_at(d, at - 16) == PG_HEAP_NONE || !is_cache(d, at))
			continue;
		g->tcache_offset = offset;
		return at;
	}
	return 0;
}

static void mark_caches(struct pg_heap_draft *d)
{
	bool any = false;

	for (uint32_t i = 0; i < d->w->thread_count; i++) {
		uint64_t cache = cache_of(d, d->w->threads[i].fs_base);
		bool again = false;

		for (uint32_t k = 0; k < i; k++) /* a thread that took another's place */
			again |= d->w->threads[k].fs_base == d->w->threads[i].fs_base;
		if (cache && !again && is_cache(d, cache)) {
			mark_cache(d, cache, d->w->threads[i].tid);
			any = true;
		}
	}
	if (!any && d->w->calls_made && !d->w->glibc.version)
		pg_heap_draft_problem(d,
			"no thread's cache was found, and the program does not say "
			"which glibc it has: what lies in caches is shown in use");
}

static void mark_bins(struct pg_heap_draft *d, uint64_t arena, unsigned number)
{
	bool good = true;
	char name[24] = "";

	if (number)
		snprintf(name, sizeof name, "arena %u, ", number);
	for (unsigned i = 0; i < FAST_COUNT; i++) {
		uint64_t first = pg_heap_word(d->m, arena + FAST_BINS + 8 * i, &good);
		uint32_t list;
		if (!first || !good)
			continue;
		list = pg_heap_draft_list(d, "%sfast bin of %u bytes", name, 32 + 16 * i);
		if (list != PG_HEAP_NONE)
			mark_list(d, list, first, 0, UINT32_MAX);
	}
	for (unsigned i = 1; i <= BIN_COUNT && d->whole; i++) {
		uint64_t self = bin_of(arena, i), at = pg_heap_word(d->m, self + 16, &good);
		uint32_t list, last = PG_HEAP_NONE;
		if (!good || at == self)
			continue;
		if (i == 1)
			list = pg_heap_draft_list(d, "%sunsorted", name);
		else if (i < 64)
			list = pg_heap_draft_list(d, "%ssmall bin of %u bytes", name, 16 * i);
		else
			list = pg_heap_draft_list(d, "%slarge bin %u", name, i - 63);
		for (uint32_t n = 0; list != PG_HEAP_NONE && at != self && n <= d->p->chunk_count;
			n++) {
			uint32_t c = pg_heap_draft_at(d, at);
			if (c == PG_HEAP_NONE || d->p->chunks[c].state != PG_CHUNK_FREE) {
				pg_heap_draft_problem(d,
					"%s leads to 0x%llx, which is no free chunk",
					d->p->lists[list].name, (long long)at);
				break;
			}
			pg_heap_draft_link(d, list, last, c);
			last = c;
			at = pg_heap_word(d->m, at + 16, &good);
		}
	}
}

/* --- all of it ------------------------------------------------------------------------------------------------------- */

/* The arenas of the ring; number i >= 1 is the i-th by age behind the main one. */
static unsigned find_arenas(struct pg_heap_draft *d, uint64_t arenas[PG_HEAP_ARENAS])
{
	uint64_t at = d->w->glibc.main;
	unsigned n = 0;
	bool good = true;

	do {
		arenas[n++] = at;
		at = pg_heap_word(d->m, at + NEXT, &good);
	} while (good && at != arenas[0] && n < PG_HEAP_ARENAS);
	/* behind the main one comes the youngest */
	for (unsigned i = 1, k = n - 1; i < k; i++, k--) {
		uint64_t other = arenas[i];
		arenas[i] = arenas[k];
		arenas[k] = other;
	}
	return n;
}

bool pg_heap_glibc_walk(struct pg_heap_draft *d)
{
	uint64_t arenas[PG_HEAP_ARENAS];

	if (!pg_heap_glibc_find(d->w, d->m))
		return false;
	unsigned n = find_arenas(d, arenas);
	walk_main(d);
	for (unsigned i = 1; i < n; i++)
		walk_other(d, arenas[i], i);
	walk_mapped(d);
	return true;
}

void pg_heap_glibc_lists(struct pg_heap_draft *d)
{
	uint64_t arenas[PG_HEAP_ARENAS];
	unsigned n = d->w->glibc.main ? find_arenas(d, arenas) : 0;

	if (n)
		mark_caches(d);
	for (unsigned i = 0; i < n && !d->no_memory; i++)
		mark_bins(d, arenas[i], i);
}

bool pg_heap_glibc_mapped(struct pg_heap_watch *w, struct pg_heap_memory *m, uint64_t block)
{
	uint64_t flags = 0;
	bool good = true;

	if (block % 16 || block < 32 || !w->glibc.main)
		return false;
	size_at(m, block - 16, &flags, &good);
	return good && (flags & IS_MMAPPED);
}

bool pg_heap_glibc_fast(struct pg_heap_watch *w, struct pg_heap_memory *m)
{
	return w->glibc.main && (uint32_t)pg_heap_word(m, w->glibc.main + FAST_NOW, NULL) != 0;
}

uint64_t pg_heap_glibc_top(struct pg_heap_watch *w, struct pg_heap_memory *m, uint64_t chunk)
{
	uint64_t flags = 0;
	bool good = true;

	if (!w->glibc.main)
		return 0;
	size_at(m, chunk, &flags, &good);
	if (!(flags & 4)) /* NON_MAIN_ARENA */
		return pg_heap_word(m, w->glibc.main + TOP, NULL);
	uint64_t arena = pg_heap_word(m, chunk & ~(HEAP_MAX - 1), &good);
	return good && arena ? pg_heap_word(m, arena + TOP, NULL) : 0;
}

static bool mark_chunk(struct pg_heap_watch *w, struct pg_heap_memory *m, uint64_t block,
	uint64_t *chunk, uint64_t *size, uint64_t *free_before)
{
	uint64_t flags = 0;
	bool good = true;

	if (block % 16 || block < 32 || !w->glibc.main)
		return false;
	*chunk = block - 16;
	*size = size_at(m, *chunk, &flags, &good);
	*free_before = flags & PREV_INUSE ? 0 : pg_heap_word(m, *chunk, &good);
	return good && *size >= LEAST && !(flags & IS_MMAPPED);
}

static bool mark_size(struct pg_heap_memory *m, uint64_t chunk, uint64_t *size)
{
	bool good = true;

	*size = size_at(m, chunk, NULL, &good);
	return good && *size >= LEAST;
}

const struct pg_heap_marks pg_heap_glibc_marks = {mark_chunk, mark_size};
