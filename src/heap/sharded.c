/* SPDX-License-Identifier: MIT */
/*
 * heap/sharded.c: the default family behind its fast paths: pages, large blocks, realloc, what is wrong with a free.
 *
 * sharded.h has the picture, the fast paths and the invariants S1 to S4. A class has one current page, from whose
 * words of free bits blocks are taken in the order of addresses, and a list of pages that have free blocks. A
 * page that has none is on no list: the first free of one of its blocks, by its `left`, brings it back.
 *
 * Not here: slices (segment.c), other threads (remote.c), huge blocks (huge.c).
 */
#include "heap/sharded.h"

#include <errno.h>
#include <string.h>

const uint8_t pg_heap_class_of[1024 / 16 + 1] = {0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
	14, 15, 16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 21, 21, 22, 22, 23, 23, 24, 24, 24, 24, 25,
	25, 25, 25, 26, 26, 26, 26, 27, 27, 27, 27, 28, 28, 28, 28, 29, 29, 29, 29, 30, 30, 30, 30,
	31, 31, 31, 31};

static uint64_t no_bits; /* a word of free bits that stays 0 */

#define EMPTY_BIN                                                                                  \
	{                                                                                          \
		.word = &no_bits                                                                   \
	}
#define EMPTY_BINS                                                                                 \
	EMPTY_BIN, EMPTY_BIN, EMPTY_BIN, EMPTY_BIN, EMPTY_BIN, EMPTY_BIN, EMPTY_BIN, EMPTY_BIN

struct pg_heap pg_heap_none = {.state = PG_HEAP_DEAD,
	.bins = {EMPTY_BINS, EMPTY_BINS, EMPTY_BINS, EMPTY_BINS, EMPTY_BINS, EMPTY_BINS, EMPTY_BINS,
		EMPTY_BINS}};

__thread struct pg_heap *pg_heap_mine __attribute__((tls_model("initial-exec"))) = &pg_heap_none;

void pg_sharded_start(void)
{
	pg_remote_start();
}

/* --- pages of a class ----------------------------------------------------------------------------- */

static void list_push(struct pg_heap_row *row, struct pg_heap_page *page)
{
	page->state = PG_HEAP_PAGE_LISTED;
	page->next = 0;
	page->prev = (uint64_t)row->last;
	if (row->last)
		row->last->next = (uint64_t)page;
	else
		row->first = page;
	row->last = page;
}

static void list_remove(struct pg_heap_row *row, struct pg_heap_page *page)
{
	struct pg_heap_page *next = (void *)page->next, *prev = (void *)page->prev;

	if (prev)
		prev->next = page->next;
	else
		row->first = next;
	if (next)
		next->prev = page->prev;
	else
		row->last = prev;
}

static unsigned words_of(const struct pg_heap_page *page)
{
	return (page->capacity + 63u) / 64;
}

static int32_t free_count(const struct pg_heap_page *page)
{
	const uint64_t *bits = (const uint64_t *)page->bits;
	int32_t n = 0;

	for (unsigned i = 0; i < words_of(page); i++)
		n += __builtin_popcountl(bits[i]);
	return n;
}

static void bin_point(struct pg_heap_bin *bin, unsigned word)
{
	bin->word = (uint64_t *)bin->page->bits + word;
	bin->base = bin->page->start + (uint64_t)word * 64 * bin->page->block_size;
}

/*
 * Points the bin at the next word with a free block in its current page; false: there is none.
 *
 * The words of a page are gone through in turns, but only as many as it takes: a turn that found too little (an eighth) opens
 * some more. So a few live blocks stay together, and a word looked at gives some blocks at once.
 */
static bool bin_advance(struct pg_heap_bin *bin, struct pg_heap_row *row)
{
	struct pg_heap_page *page = bin->page;
	const uint64_t *bits = (const uint64_t *)page->bits;
	unsigned words = words_of(page), at = (unsigned)(bin->word - bits);

	for (unsigned n = page->fresh; n > 0; n--) {
		if (++at >= page->fresh) {
			if (row->gained < page->fresh * 8 && page->fresh < words)
				break;
			row->gained = 0;
			at = 0;
		}
		if (bits[at]) {
			row->gained += (unsigned)__builtin_popcountl(bits[at]);
			bin_point(bin, at);
			return true;
		}
	}
	if (page->fresh == words)
		return false;
	bin_point(bin, page->fresh); /* all of its blocks are free */
	page->fresh += page->fresh / 4 + 1;
	if (page->fresh > words)
		page->fresh = words;
	row->gained = 64;
	return true;
}

static void bin_drop(struct pg_heap_bin *bin)
{
	bin->page = NULL;
	bin->word = &no_bits;
}

static void make_current(
	struct pg_heap_bin *bin, struct pg_heap_row *row, struct pg_heap_page *page)
{
	row->gained = 0;
	page->state = PG_HEAP_PAGE_CURRENT;
	page->left = PG_HEAP_LEFT_NEVER;
	bin->page = page;
	bin->size = page->block_size;
	bin_point(bin, 0);
}

/* A listed page is empty: it goes, unless it is the last one that its class has in store. */
static void retire(
	struct pg_heap *h, struct pg_heap_row *row, struct pg_heap_page *page, bool always)
{
	if (!always && row->first == page && row->last == page)
		return;
	list_remove(row, page);
	pg_span_give(h, page);
}

void pg_page_look(struct pg_heap *h, struct pg_heap_page *page)
{
	struct pg_heap_row *row = &h->rows[page->size_class % PG_HEAP_CLASSES];

	switch (page->state) {
	case PG_HEAP_PAGE_CURRENT:
		page->left = PG_HEAP_LEFT_NEVER;
		break;
	case PG_HEAP_PAGE_FULL:
		page->left = page->capacity - 1;
		list_push(row, page);
		if (page->left == 0)
			retire(h, row, page, false);
		break;
	case PG_HEAP_PAGE_LISTED:
		retire(h, row, page, false);
		break;
	case PG_HEAP_PAGE_LARGE:
		pg_span_give(h, page);
		break;
	default:
		break;
	}
}

void pg_page_gained(struct pg_heap *h, struct pg_heap_page *page)
{
	struct pg_heap_row *row = &h->rows[page->size_class % PG_HEAP_CLASSES];

	switch (page->state) {
	case PG_HEAP_PAGE_FULL:
		list_push(row, page);
		/* fall through */
	case PG_HEAP_PAGE_LISTED:
		page->left = page->capacity - free_count(page);
		if (page->left == 0)
			retire(h, row, page, false);
		break;
	case PG_HEAP_PAGE_LARGE:
		pg_span_give(h, page);
		break;
	default: /* a current page: its bits are found when their turn comes */
		break;
	}
}

static struct pg_heap_page *page_new(struct pg_heap *h, unsigned size_class)
{
	bool zero;
	struct pg_heap_page *page = pg_span_take(h, 1, 1, &zero);

	if (!page)
		return NULL;
	page->size_class = (uint8_t)size_class;
	page->fresh = 1;
	page->block_size = pg_class_size(size_class);
	page->reciprocal =
		(uint32_t)((0xffffffffu + (uint64_t)page->block_size) / page->block_size);
	page->capacity = (uint16_t)(PG_HEAP_SLICE_BYTES / page->block_size);
	uint64_t *bits = (uint64_t *)page->bits;
	for (unsigned i = 0; i < page->capacity / 64u; i++)
		bits[i] = ~0ul;
	if (page->capacity % 64)
		bits[page->capacity / 64] = (1ul << page->capacity % 64) - 1;
	return page;
}

bool pg_sharded_refill(struct pg_heap *h, unsigned size_class)
{
	struct pg_heap_bin *bin = &h->bins[size_class];
	struct pg_heap_row *row = &h->rows[size_class];

	if (bin->page) {
		if (*bin->word || bin_advance(bin, row))
			return true;
		bin->page->state = PG_HEAP_PAGE_FULL;
		bin->page->left = 1;
		bin_drop(bin);
	}
	if (__atomic_load_n(&h->pending, __ATOMIC_RELAXED))
		pg_remote_collect(h);
	struct pg_heap_page *page = row->first;
	if (page)
		list_remove(row, page);
	else
		page = page_new(h, size_class);
	if (!page)
		return false;
	make_current(bin, row, page);
	return *bin->word || bin_advance(bin, row);
}

void pg_sharded_collect(struct pg_heap *h)
{
	for (unsigned size_class = 0; size_class < PG_HEAP_CLASSES; size_class++) {
		struct pg_heap_bin *bin = &h->bins[size_class];
		struct pg_heap_page *page = bin->page, *next;
		if (page && free_count(page) == page->capacity) {
			bin_drop(bin);
			pg_span_give(h, page);
		}
		for (page = h->rows[size_class].first; page; page = next) {
			next = (void *)page->next;
			if (page->left == 0)
				retire(h, &h->rows[size_class], page, true);
		}
	}
}

/* --- malloc ----------------------------------------------------------------------------------------- */

static void *small_malloc(struct pg_heap *h, unsigned size_class, bool *zero)
{
	void *p;

	if (pg_sharded_take(h, size_class, &p) ||
		(pg_sharded_refill(h, size_class) && pg_sharded_take(h, size_class, &p)))
		return p;
	/* Too little address space for a segment: perhaps there is some for a page. */
	return pg_huge_malloc(pg_class_size(size_class), 16, zero);
}

static void *large_malloc(struct pg_heap *h, size_t size, size_t align, bool *zero)
{
	unsigned n = (unsigned)((size + PG_HEAP_SLICE_BYTES - 1) >> PG_HEAP_SLICE_SHIFT);
	unsigned slices =
		align > PG_HEAP_SLICE_BYTES ? (unsigned)(align >> PG_HEAP_SLICE_SHIFT) : 1;

	if (__atomic_load_n(&h->pending, __ATOMIC_RELAXED))
		pg_remote_collect(h);
	struct pg_heap_page *page = pg_span_take(h, n, slices, zero);
	if (!page)
		return pg_huge_malloc(size, align, zero);
	page->size_class = PG_HEAP_CLASSES;
	page->block_size = (uint32_t)pg_os_round(size, PG_HEAP_OS_PAGE);
	page->reciprocal = 1;
	page->capacity = 1;
	page->left = 1;
	*(uint64_t *)page->bits = 0;
	return (void *)page->start;
}

/* Any size at any alignment, from a heap that nobody else uses at present. */
static void *heap_malloc(struct pg_heap *h, size_t size, size_t align, bool *zero)
{
	*zero = false;
	if (size <= PG_HEAP_SMALL_MAX && align <= PG_HEAP_OS_PAGE) {
		/* Every class of a multiple of a power of two is one itself (pg_class_for). */
		size_t multiple = align > 16 ? pg_os_round(size ? size : 1, align) : size;
		if (multiple <= PG_HEAP_SMALL_MAX)
			return small_malloc(h, pg_class_for(multiple), zero);
	}
	if (size <= PG_HEAP_LARGE_MAX && align <= PG_HEAP_LARGE_MAX)
		return large_malloc(h, size ? size : 1, align, zero);
	return pg_huge_malloc(size, align, zero);
}

static void *any_malloc(size_t size, size_t align, bool *zero)
{
	struct pg_heap *h = pg_heap_mine;

	if (PG_LIKELY(h != &pg_heap_none))
		return heap_malloc(h, size, align, zero);
	h = pg_heap_acquire();
	if (h)
		return heap_malloc(h, size, align, zero);
	h = pg_heap_borrow();
	if (!h)
		return errno = ENOMEM, NULL;
	void *p = heap_malloc(h, size, align, zero);
	pg_heap_return(h);
	return p;
}

void *pg_sharded_malloc(size_t size)
{
	bool zero;

	return any_malloc(size, 16, &zero);
}

void *pg_sharded_calloc(size_t bytes)
{
	bool zero;
	void *p = any_malloc(bytes, 16, &zero);

	if (p && !zero)
		memset(p, 0, bytes);
	return p;
}

void *pg_sharded_memalign(size_t align, size_t size)
{
	bool zero;

	return any_malloc(size, align, &zero);
}

/* --- free ------------------------------------------------------------------------------------------- */

/* The page in which p is a block, in use or not; dies if it is none. */
static struct pg_heap_page *page_of_block(const char *call, void *p, uint32_t *index)
{
	uintptr_t address = (uintptr_t)p;

	if (!pg_segment_known(address))
		pg_sharded_reject(call, p);
	struct pg_heap_page *page = pg_page_of(address);
	if (!page->heap)
		pg_sharded_reject(call, p);
	*index = pg_page_index(page, address);
	if (*index == UINT32_MAX)
		pg_sharded_reject(call, p);
	return page;
}

void pg_sharded_reject(const char *call, void *p)
{
	uintptr_t address = (uintptr_t)p;

	if (!pg_segment_known(address))
		pg_os_die("%s of %x: it is no block of this heap", call, (uint64_t)p);
	struct pg_heap_page *page = pg_page_of(address);
	if (!page->heap)
		pg_os_die("%s of %x: nothing is allocated there; freed twice?", call, (uint64_t)p);
	uint32_t index = pg_page_index(page, address);
	if (index == UINT32_MAX) {
		uint64_t n = (address - page->start) / page->block_size;
		pg_os_die("%s of %x: no block begins there; the block of %d bytes at %x does", call,
			(uint64_t)p, (uint64_t)page->block_size,
			page->start + n * page->block_size);
	}
	pg_os_die("%s of %x: this block of %d bytes is free already (freed twice)", call,
		(uint64_t)p, (uint64_t)page->block_size);
}

void pg_sharded_free(void *p)
{
	uint32_t index;

	if (!pg_segment_known((uintptr_t)p) && pg_huge_free(p))
		return;
	struct pg_heap_page *page = page_of_block("free", p, &index);
	if (page->heap == (uint64_t)pg_heap_mine)
		pg_sharded_reject("free", p); /* pg_sharded_give() would have done it */
	pg_remote_free(page, index, p);
}

size_t pg_sharded_usable(const char *call, void *p)
{
	uint32_t index;

	if (!pg_segment_known((uintptr_t)p)) {
		size_t size = pg_huge_usable(p);
		if (size)
			return size;
	}
	struct pg_heap_page *page = page_of_block(call, p, &index);
	if (((uint64_t *)page->bits)[index / 64] >> (index % 64) & 1)
		pg_sharded_reject(call, p);
	return page->block_size;
}

/* --- realloc ---------------------------------------------------------------------------------------- */

/* Another size for a span of this thread's; false: not here. */
static bool large_realloc(struct pg_heap_page *page, size_t size)
{
	if (size <= PG_HEAP_SMALL_MAX || size > PG_HEAP_LARGE_MAX)
		return false;
	unsigned n = (unsigned)((size + PG_HEAP_SLICE_BYTES - 1) >> PG_HEAP_SLICE_SHIFT);
	if (n != page->slices && !pg_span_resize(pg_heap_mine, page, n))
		return false;
	page->block_size = (uint32_t)pg_os_round(size, PG_HEAP_OS_PAGE);
	return true;
}

void *pg_sharded_realloc(void *p, size_t size)
{
	size_t have = pg_sharded_usable("realloc", p);

	if (!pg_segment_known((uintptr_t)p)) {
		if (size > PG_HEAP_LARGE_MAX)
			return pg_huge_realloc(p, size);
	} else {
		struct pg_heap_page *page = pg_page_of((uintptr_t)p);
		if (page->state == PG_HEAP_PAGE_LARGE) {
			if (page->heap == (uint64_t)pg_heap_mine && large_realloc(page, size))
				return p;
		} else if (size <= have && size >= have / 2) {
			return p;
		}
	}
	void *q = pg_sharded_malloc(size);
	if (!q)
		return NULL;
	memcpy(q, p, size < have ? size : have);
	if (!pg_sharded_give(p))
		pg_sharded_free(p);
	return q;
}

bool pg_sharded_trim(void)
{
	struct pg_heap *h = pg_heap_mine;
	uint32_t before = h->dirty_slices + h->segment_count;

	if (h != &pg_heap_none) {
		pg_remote_collect(h);
		pg_sharded_collect(h);
		before = h->dirty_slices + h->segment_count;
		pg_segments_purge(h, true);
	}
	pg_idle_collect();
	return pg_huge_trim() || before != h->dirty_slices + h->segment_count;
}
