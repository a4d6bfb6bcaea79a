/* SPDX-License-Identifier: MIT */
/*
 * heap/sharded.h: the default family: what its files share, and the two fast paths.
 *
 *   malloc -> pg_sharded_take()  a free bit of the class's current page, no lock     here
 *          -> the page has none  remote frees come in, another page, a new one      sharded.c
 *          -> no page            slices of a segment, a segment                      segment.c
 *          -> large, huge        a span of slices; a mapping of its own     sharded.c, huge.c
 *   free   -> pg_sharded_give()  the page is ours: set the bit, no lock                here
 *          -> another's          set the remote bit atomically, tell the owner once  remote.c
 *
 * Each thread has a heap; nobody else touches its pages, except by the remote bits. When a thread ends its heap is
 * *idle* and the next new thread takes it over as it is. No state lies in free memory: which blocks are free is
 * said by bits in the segment's header, so that a second free of a block, a free of what is no block and remote frees
 * of both kinds are found exactly, and what a program writes into freed memory can break nothing here.
 *
 * Design: pages of one size per thread follow mimalloc (Leijen, Zorn, de Moura, APLAS 2019); a bitmap in place of
 * a list in the blocks is what phkmalloc and jemalloc's slabs do.
 *
 * Invariants:
 *   S1 a page's owner-only fields (all of pg_heap_page, free bits) are read and written by the thread whose heap it
 *      is, or under pg_heap_lock while the heap is idle. Others may read those of a page in which they have a block.
 *   S2 segments are never unmapped and heaps never freed: a late look at their owner words is harmless.
 *   S3 a page is on the list of remote frees of heap H if and only if its owner word is H | 1, but for the moment
 *      between the two steps of whoever puts it there.
 *   S4 left of a page reaches 0 just when somebody must act: a full page has a free block again (left was 1), a listed
 *      one is empty (left was the number of blocks in use).
 */
#ifndef PG_HEAP_SHARDED_H
#define PG_HEAP_SHARDED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heap/layout.h"
#include "heap/os.h"

#define PG_HEAP_LEFT_NEVER 0x40000000 /* `left` of a current page */

/* Where blocks of a class come from; what the fast path reads, half a line of the cache. */
struct pg_heap_bin {
	uint64_t *word;            /* of the free bits of page; never NULL */
	uint64_t base;             /* address of the block of its bit 0 */
	uint64_t size;             /* of a block */
	struct pg_heap_page *page; /* current; NULL: word is an empty one */
};

/* The pages of a class that have free blocks, but for the current one; and how full that is. */
struct pg_heap_row {
	struct pg_heap_page *first, *last;
	uint32_t
		gained; /* free blocks found in the current page since its words were last gone through */
};

enum pg_heap_state {
	PG_HEAP_ACTIVE, /* a thread's */
	PG_HEAP_IDLE,   /* nobody's; guarded by pg_heap_lock */
	PG_HEAP_DEAD, /* its thread was lost in a fork, perhaps amid a change: only its remote bits are used */
};

struct pg_heap {
	struct pg_heap *next;             /* of all heaps */
	struct pg_heap_segment *segments; /* that have free slices */
	struct pg_heap_segment *full;     /* that have none */
	struct pg_heap *idle;             /* next idle heap */
	uint32_t state;                   /* enum pg_heap_state; atomic */
	uint32_t segment_count;
	uint32_t free_slices, dirty_slices;
	struct pg_heap_bin bins[PG_HEAP_CLASSES];
	struct pg_heap_row rows[PG_HEAP_CLASSES];

	uint64_t pending __attribute__((aligned(64))); /* pages with remote frees; atomic */
	uint32_t pending_count;                        /* atomic */
};

/* One bit for each 4 MiB of user addresses: a segment of ours. */
#define PG_HEAP_KNOWN_WORDS (1ul << (47 - PG_HEAP_SEGMENT_SHIFT - 6))

extern uint64_t pg_heap_known[PG_HEAP_KNOWN_WORDS];
extern const uint8_t pg_heap_class_of[1024 / 16 + 1]; /* by units of 16 bytes */
extern struct pg_heap pg_heap_none; /* has no pages: its bins lead to the slow path */
extern __thread struct pg_heap *pg_heap_mine __attribute__((tls_model("initial-exec")));

extern pthread_mutex_t pg_heap_lock; /* idle heaps, the list of all heaps */
extern pthread_mutex_t pg_pool_lock; /* segments that nobody owns; below pg_heap_lock */
extern pthread_mutex_t pg_huge_lock; /* the table of huge blocks; below both */

static inline struct pg_heap_segment *pg_segment_of(uintptr_t address)
{
	uintptr_t start = address & ~(PG_HEAP_SEGMENT_BYTES - 1);

	return (struct pg_heap_segment *)PG_HEAP_HEADER_OF(start);
}

/* The address lies in a segment. */
static inline bool pg_segment_known(uintptr_t address)
{
	uintptr_t n = address >> PG_HEAP_SEGMENT_SHIFT;

	return PG_LIKELY(n / 64 < PG_HEAP_KNOWN_WORDS) && (pg_heap_known[n / 64] >> (n % 64) & 1);
}

static inline struct pg_heap_page *pg_page_of(uintptr_t address)
{
	return &pg_segment_of(address)
			->pages[address >> PG_HEAP_SLICE_SHIFT & (PG_HEAP_SLICES - 1)];
}

static inline unsigned pg_page_slice(const struct pg_heap_page *page)
{
	return (unsigned)(page - pg_segment_of((uintptr_t)page)->pages);
}

static inline struct pg_heap_bits *pg_page_bits(const struct pg_heap_page *page)
{
	return &pg_segment_of((uintptr_t)page)->bits[pg_page_slice(page)];
}

/*
 * Which block of the page begins at address; UINT32_MAX: none. An offset is a multiple of the block's size if and only if
 * the fraction of its product with the reciprocal is below that (Lemire, Kaser, Kurz, "Faster remainder by
 * direct computation", 2019); exact here since offsets are below 2^16 and sizes at most 2^14, or the size is all.
 */
static inline uint32_t pg_page_index(const struct pg_heap_page *page, uintptr_t address)
{
	uint64_t product = (address - page->start) * page->reciprocal;
	uint32_t index = (uint32_t)(product >> 32);

	return PG_LIKELY((uint32_t)product < page->reciprocal && index < page->capacity)
		       ? index
		       : UINT32_MAX;
}

/* The class for size bytes, at most PG_HEAP_SMALL_MAX; eight to a doubling above 128 bytes. */
static inline unsigned pg_class_for(size_t size)
{
	if (PG_LIKELY(size <= 1024))
		return pg_heap_class_of[(size + 15) / 16];
	unsigned top = 63 - (unsigned)__builtin_clzl(size - 1);
	return 8 + (top - 7) * 8 + ((size - 1) >> (top - 3) & 7);
}

static inline uint32_t pg_class_size(unsigned size_class)
{
	if (size_class < 8)
		return (size_class + 1) * 16;
	return ((size_class - 8) % 8 + 9) << ((size_class - 8) / 8 + 4);
}

/*
 * A block of the class from the current page of this thread's heap, into *p; false: pg_sharded_refill() first.
 */
static inline bool pg_sharded_take(struct pg_heap *h, unsigned size_class, void **p)
{
	struct pg_heap_bin *bin = &h->bins[size_class];
	uint64_t word = *bin->word;

	if (PG_UNLIKELY(!word))
		return false;
	*bin->word = word & (word - 1);
	*p = (void *)(bin->base + bin->size * (uint64_t)__builtin_ctzl(word));
	return true;
}

/* Sets bit n (modulo 64) of a word in memory; whether it was set. */
static inline bool pg_bit_set(uint64_t *in, uint64_t n)
{
	uint64_t word = *in;
#ifdef __x86_64__
	bool was;

	__asm__("btsq %2, %0" : "+r"(word), "=@ccc"(was) : "r"(n) : "cc");
#else
	bool was = word >> (n % 64) & 1;

	word |= 1ul << n % 64;
#endif
	*in = word;
	return was;
}

/*
 * Frees a block of one of this thread's pages; false: it is not that, or not a block in use, and nothing happened.
 * pg_sharded_free_slow() finds out.
 */
void pg_page_look(struct pg_heap *h, struct pg_heap_page *page);

static inline bool pg_sharded_give(void *p)
{
	uintptr_t address = (uintptr_t)p;

	if (PG_UNLIKELY(!pg_segment_known(address)))
		return false;
	struct pg_heap_page *page = pg_page_of(address);
	struct pg_heap *h = pg_heap_mine;
	if (PG_UNLIKELY(page->heap != (uint64_t)h))
		return false;
	uint32_t index = pg_page_index(page, address);
	if (PG_UNLIKELY(index == UINT32_MAX))
		return false;
	if (PG_UNLIKELY(pg_bit_set((uint64_t *)page->bits + index / 64, index)))
		return false; /* it was free */
	if (PG_UNLIKELY(--page->left == 0))
		pg_page_look(h, page);
	return true;
}

/* --- sharded.c ------------------------------------------------------------------------------------ */

/* Makes the family ready; once, from the front's initialisation. */
void pg_sharded_start(void);

/* malloc, behind the fast path: any size. NULL with errno ENOMEM. */
void *pg_sharded_malloc(size_t size);

/* The same, all bytes zero. */
void *pg_sharded_calloc(size_t bytes);

/* align is a power of two, at least 32. */
void *pg_sharded_memalign(size_t align, size_t size);

/* size is not 0, p not NULL. On failure p is as it was. */
void *pg_sharded_realloc(void *p, size_t size);

/* Frees what pg_sharded_give() did not: another thread's, a huge block; dies for what is no block in use. */
void pg_sharded_free(void *p);

/* Usable bytes of a block; dies for what is no block. `call` is the function that asks, for the message. */
size_t pg_sharded_usable(const char *call, void *p);

/* Gives everything back that holds no block of this thread's heap and of idle ones. True: something was. */
bool pg_sharded_trim(void);

/* A page of h with blocks of the class becomes current, or what is current has a free block; false: ENOMEM. */
bool pg_sharded_refill(struct pg_heap *h, unsigned size_class);

/* What merging remote frees may need of sharded.c: the page has free blocks that it had not. */
void pg_page_gained(struct pg_heap *h, struct pg_heap_page *page);

/* Gives back empty pages of h, as far as it can tell at once. */
void pg_sharded_collect(struct pg_heap *h);

/* --- segment.c ------------------------------------------------------------------------------------ */

/*
 * n free slices in a row as a page of h: pg_heap_page filled but for what concerns blocks; state LARGE. The first is a
 * multiple of align slices from the segment's start. *zero: the memory reads as zero. NULL: ENOMEM.
 */
struct pg_heap_page *pg_span_take(struct pg_heap *h, unsigned n, unsigned align, bool *zero);

/* Gives the slices of a page back; none of its blocks is in use, no remote bit is set. */
void pg_span_give(struct pg_heap *h, struct pg_heap_page *page);

/* Makes a span n slices long where it is; false: what follows is not free. */
bool pg_span_resize(struct pg_heap *h, struct pg_heap_page *page, unsigned n);

/* Purges free slices that may hold resident memory; all: whole segments go to the pool, too. */
void pg_segments_purge(struct pg_heap *h, bool all);

/* Frees that many slices may leave unpurged before pg_span_give() purges; mallopt(M_TRIM_THRESHOLD). */
extern uint32_t pg_purge_slices;

/* --- remote.c ------------------------------------------------------------------------------------- */

/* This thread's heap, made or taken over if it has none; NULL: ENOMEM, or the thread is past its end. */
struct pg_heap *pg_heap_acquire(void);

/* For threads past their end: an idle heap with pg_heap_lock held, or NULL and not held; pg_heap_return() ends it. */
struct pg_heap *pg_heap_borrow(void);
void pg_heap_return(struct pg_heap *h);

/* Frees block `index` of a page of another heap. Dies if it is free. */
void pg_remote_free(struct pg_heap_page *page, uint32_t index, void *p);

/* Merges what others have freed of h's pages into the free bits. */
void pg_remote_collect(struct pg_heap *h);

/* Merges the remote frees of all idle heaps and gives their empty pages back. */
void pg_idle_collect(void);

void pg_remote_start(void);
void pg_sharded_fork_prepare(void);
void pg_sharded_fork_parent(void);
void pg_sharded_fork_child(void);

/* --- huge.c --------------------------------------------------------------------------------------- */

/* size bytes at a multiple of align (a power of two); *zero: they read as zero. NULL: ENOMEM. */
void *pg_huge_malloc(size_t size, size_t align, bool *zero);

/* Frees the block at p; false: there is none. */
bool pg_huge_free(void *p);

/* Usable bytes; 0: no huge block begins at p. */
size_t pg_huge_usable(void *p);

/* Another size, moved if it must be; NULL: no room, nothing changed. p is a huge block, size not 0. */
void *pg_huge_realloc(void *p, size_t size);

/* What may be kept of freed mappings when little is in use; mallopt(M_TRIM_THRESHOLD). */
extern size_t pg_huge_keep_bytes;

/* Sum and number of all huge blocks, bytes of their mappings. */
void pg_huge_count(size_t *blocks, size_t *bytes);

/* Gives mappings back that are kept for the next block; false: there were none. */
bool pg_huge_trim(void);

/* "freed twice" or "no block": says what is wrong with p and ends the program. */
_Noreturn void pg_sharded_reject(const char *call, void *p);

#endif
