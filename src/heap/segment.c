/* SPDX-License-Identifier: MIT */
/*
 * heap/segment.c: segments and their slices: where pages and large blocks of the sharded family come from.
 *
 *   sharded.c -> pg_span_take() -> dirty slices of a segment of the heap's, else clean ones,
 *                                  else a segment of the pool, else a new one of the system's
 *
 * A segment belongs to one heap, and only its thread changes free, dirty and the page records. Free slices that were
 * used are *dirty*: they still hold memory; they are given out first, and purged when a heap has too many of them. Then,
 * too, a segment that is all free goes to the pool, except the heap's last.
 *
 * Invariants:
 *   G1 free and dirty have no bit of a header slice; dirty is a part of free.
 *   G2 a heap's free_slices and dirty_slices are the sums over its segments; `segments` lists those with a free slice.
 *   G3 owner words of a segment in the pool are all 0, so nobody can put its pages on a list.
 *
 * Not here: huge blocks (huge.c); who owns what after a thread's end (remote.c).
 */
#include "heap/sharded.h"

#include <errno.h>
#include <string.h>

uint64_t pg_heap_known[PG_HEAP_KNOWN_WORDS];
pthread_mutex_t pg_pool_lock = PTHREAD_MUTEX_INITIALIZER;
uint32_t pg_purge_slices = 256;

#define ALL_SLICES (~0ul << PG_HEAP_HEADER_SLICES)
#define USABLE_SLICES (PG_HEAP_SLICES - PG_HEAP_HEADER_SLICES)

static uint64_t canary_of(const struct pg_heap_segment *s)
{
	return ((uint64_t)s ^ pg_heap_root.list_secret) * 0x9e3779b97f4a7c15u;
}

/* Whoever ran over the end of what lies before a segment wrote over its first words. */
static void check_canary(const struct pg_heap_segment *s)
{
	if (PG_UNLIKELY(s->canary != canary_of(s)))
		pg_os_die("the header of the segment at %x is overwritten",
			s->address & ~(PG_HEAP_SEGMENT_BYTES - 1));
}

/* The bits at which n set bits of mask begin, at multiples of align (a power of two up to 64). */
static uint64_t runs(uint64_t mask, unsigned n, unsigned align)
{
	static const uint64_t multiples[] = {~0ul, 0x5555555555555555u, 0x1111111111111111u,
		0x0101010101010101u, 0x0001000100010001u, 0x0000000100000001u, 1};
	unsigned have = 1;

	while (have < n && mask) {
		unsigned step = n - have < have ? n - have : have;
		mask &= mask >> step;
		have += step;
	}
	return mask & multiples[__builtin_ctz(align)];
}

static inline uint64_t slices_at(unsigned first, unsigned n)
{
	return (n == 64 ? ~0ul : (1ul << n) - 1) << first;
}

/* --- which list a segment is on ------------------------------------------------------------------- */

static void unlink_segment(struct pg_heap_segment **list, struct pg_heap_segment *s)
{
	struct pg_heap_segment *next = (void *)s->next, *prev = (void *)s->prev;

	if (prev)
		prev->next = s->next;
	else
		*list = next;
	if (next)
		next->prev = s->prev;
}

static void link_segment(struct pg_heap_segment **list, struct pg_heap_segment *s)
{
	s->prev = 0;
	s->next = (uint64_t)*list;
	if (*list)
		(*list)->prev = (uint64_t)s;
	*list = s;
}

static void set_free(struct pg_heap *h, struct pg_heap_segment *s, uint64_t free)
{
	uint64_t before = s->free;

	s->free = free;
	h->free_slices +=
		(uint32_t)__builtin_popcountl(free) - (uint32_t)__builtin_popcountl(before);
	if (!before != !free) {
		unlink_segment(before ? &h->segments : &h->full, s);
		link_segment(free ? &h->segments : &h->full, s);
	}
}

static void set_dirty(struct pg_heap *h, struct pg_heap_segment *s, uint64_t dirty)
{
	h->dirty_slices +=
		(uint32_t)__builtin_popcountl(dirty) - (uint32_t)__builtin_popcountl(s->dirty);
	s->dirty = dirty;
}

/* --- segments come and go ------------------------------------------------------------------------- */

static struct pg_heap_segment *pool_take(void)
{
	pg_lock(&pg_pool_lock);
	struct pg_heap_segment *s = (void *)pg_heap_root.pool;
	if (s) {
		check_canary(s);
		pg_heap_root.pool = s->pool;
	}
	pg_unlock(&pg_pool_lock);
	return s;
}

static struct pg_heap_segment *segment_make(void)
{
	uintptr_t start = pg_os_map_aligned(PG_HEAP_SEGMENT_BYTES, PG_HEAP_SEGMENT_BYTES);

	if (!start && pg_huge_trim())
		start = pg_os_map_aligned(PG_HEAP_SEGMENT_BYTES, PG_HEAP_SEGMENT_BYTES);
	if (!start)
		return NULL;
	uintptr_t n = start >> PG_HEAP_SEGMENT_SHIFT;
	if (n / 64 >= PG_HEAP_KNOWN_WORDS) { /* no Linux gives such an address unasked */
		pg_os_unmap(start, PG_HEAP_SEGMENT_BYTES);
		errno = ENOMEM;
		return NULL;
	}
	struct pg_heap_segment *s = pg_segment_of(start);
	s->canary = canary_of(s);
	s->address = start;
	__atomic_fetch_or(&pg_heap_known[n / 64], 1ul << (n % 64), __ATOMIC_RELEASE);
	return s;
}

static struct pg_heap_segment *segment_take(struct pg_heap *h)
{
	struct pg_heap_segment *s = pool_take();

	if (!s)
		s = segment_make();
	if (!s)
		return NULL;
	s->heap = (uint64_t)h;
	s->free = s->dirty = 0;
	link_segment(&h->full, s);
	set_free(h, s, ALL_SLICES);
	h->segment_count++;
	return s;
}

/*
 * Takes the pages of an all-free segment off every list's reach: no owner word names h any more. False: one is on h's
 * list of remote frees, or about to be, and the segment must stay.
 */
static bool disown(struct pg_heap *h, struct pg_heap_segment *s)
{
	for (unsigned i = PG_HEAP_HEADER_SLICES; i < PG_HEAP_SLICES; i++) {
		uint64_t mine = (uint64_t)h;
		if (!__atomic_compare_exchange_n(&s->bits[i].owner, &mine, 0, false,
			    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) &&
			mine != 0)
			return false;
	}
	return true;
}

/* An all-free segment leaves h for the pool, its memory for the system. */
static void segment_give(struct pg_heap *h, struct pg_heap_segment *s)
{
	if (!disown(h, s))
		return;
	set_dirty(h, s, 0);
	unlink_segment(&h->segments, s);
	h->free_slices -= USABLE_SLICES;
	h->segment_count--;
	s->heap = 0;
	/* The bits, too; what shares a page with the segment's own words stays. */
	uintptr_t rest = pg_os_round((uintptr_t)s->bits, PG_HEAP_OS_PAGE);
	pg_os_purge(rest, s->address + PG_HEAP_SEGMENT_BYTES - rest);
	pg_lock(&pg_pool_lock);
	s->pool = pg_heap_root.pool;
	pg_heap_root.pool = (uint64_t)s;
	pg_unlock(&pg_pool_lock);
}

static void purge_segment(struct pg_heap *h, struct pg_heap_segment *s)
{
	uint64_t dirty = s->dirty;

	set_dirty(h, s, 0);
	while (dirty) {
		unsigned first = (unsigned)__builtin_ctzl(dirty);
		uint64_t gap = ~(dirty >> first);
		unsigned n = gap ? (unsigned)__builtin_ctzl(gap) : 64 - first;
		pg_os_purge(s->address + first * PG_HEAP_SLICE_BYTES, n * PG_HEAP_SLICE_BYTES);
		dirty &= ~slices_at(first, n);
	}
}

void pg_segments_purge(struct pg_heap *h, bool all)
{
	struct pg_heap_segment *next;

	for (struct pg_heap_segment *s = h->segments; s && (h->dirty_slices || all); s = next) {
		next = (void *)s->next;
		if (s->free == ALL_SLICES && (all || h->segment_count > 1))
			segment_give(h, s);
		if (s->dirty)
			purge_segment(h, s);
	}
}

/* --- spans ------------------------------------------------------------------------------------------ */

static struct pg_heap_page *page_begin(
	struct pg_heap *h, struct pg_heap_segment *s, unsigned first, unsigned n)
{
	struct pg_heap_page *page = &s->pages[first];
	struct pg_heap_bits *bits = &s->bits[first];

	page->heap = (uint64_t)h;
	page->start = s->address + first * PG_HEAP_SLICE_BYTES;
	page->bits = (uint64_t)bits->free;
	page->slices = n;
	page->state = PG_HEAP_PAGE_LARGE;
	/* H | 1 stays: the page is on the list from its former life, and will be looked at once more. */
	if (__atomic_load_n(&bits->owner, __ATOMIC_RELAXED) == 0)
		__atomic_store_n(&bits->owner, (uint64_t)h, __ATOMIC_RELEASE);
	return page;
}

struct pg_heap_page *pg_span_take(struct pg_heap *h, unsigned n, unsigned align, bool *zero)
{
	struct pg_heap_segment *s, *found = NULL;
	uint64_t at = 0;

	if (h->free_slices >= n) {
		for (s = h->segments; s && !at; s = (void *)s->next) {
			if (h->dirty_slices >= n && (at = runs(s->dirty, n, align)) != 0)
				found = s;
			else if (!found && runs(s->free, n, align))
				found = s;
			if (h->dirty_slices < n && found)
				break;
		}
		if (found && !at)
			at = runs(found->free, n, align);
	}
	if (!found) {
		found = segment_take(h);
		if (!found)
			return NULL;
		at = runs(found->free, n, align);
		if (!at)
			return errno = ENOMEM, NULL;
	}
	check_canary(found);
	unsigned first = (unsigned)__builtin_ctzl(at);
	uint64_t mask = slices_at(first, n);
	*zero = !(found->dirty & mask);
	if (!*zero)
		set_dirty(h, found, found->dirty & ~mask);
	set_free(h, found, found->free & ~mask);
	return page_begin(h, found, first, n);
}

void pg_span_give(struct pg_heap *h, struct pg_heap_page *page)
{
	struct pg_heap_segment *s = pg_segment_of((uintptr_t)page);
	uint64_t mask = slices_at(pg_page_slice(page), page->slices);

	check_canary(s);
	page->heap = 0;
	page->state = PG_HEAP_PAGE_FREE;
	set_dirty(h, s, s->dirty | mask);
	set_free(h, s, s->free | mask);
	uint32_t used = h->segment_count * USABLE_SLICES - h->free_slices;
	if (h->dirty_slices > pg_purge_slices && h->dirty_slices > used / 4)
		pg_segments_purge(h, false);
}

bool pg_span_resize(struct pg_heap *h, struct pg_heap_page *page, unsigned n)
{
	struct pg_heap_segment *s = pg_segment_of((uintptr_t)page);
	unsigned first = pg_page_slice(page), have = page->slices;

	if (n > have) {
		if (first + n > PG_HEAP_SLICES)
			return false;
		uint64_t more = slices_at(first + have, n - have);
		if ((s->free & more) != more)
			return false;
		set_dirty(h, s, s->dirty & ~more);
		set_free(h, s, s->free & ~more);
	} else if (n < have) {
		uint64_t less = slices_at(first + n, have - n);
		set_dirty(h, s, s->dirty | less);
		set_free(h, s, s->free | less);
	}
	page->slices = n;
	return true;
}
