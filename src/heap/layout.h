/* SPDX-License-Identifier: MIT */
/*
 * heap/layout.h: how libpagoda-malloc lays out its memory: what a walker needs to read a heap from outside.
 *
 * Included by the allocator itself and by whoever walks the memory of a program that uses it (`pagoda heap`, a
 * debugger). A walker finds the symbol `pg_heap_root` in libpagoda-malloc.so, reads the struct of that name, checks
 * magic and version, and follows addresses from there. Nothing that it needs is encoded; only the links of the
 * free list and the check words are, and they can be left unread: blocks are found by their sizes.
 *
 * Words: a *block* is what malloc gives out, with its header where it has one. In the document's families a heap is
 * one row of blocks on the program break. In the sharded family a *segment* (4 MiB, aligned to its size) consists of
 * 64 *slices* (64 KiB); slices hold either *pages*, each cut into blocks of one size, or *spans* of slices that
 * are one large block. What is larger than PG_HEAP_LARGE_MAX is a mapping of its own (*huge*), listed in a table.
 *
 * Addresses are uint64_t here although they are pointers of the process looked at, so that a walker of another
 * process can use the structs as they are. x86-64 and other 64-bit little-endian systems only.
 *
 * Invariants:
 *   H1 document's families: from root.list.start, block + size is the next block, up to the sentinel of size 0;
 *      prev_units of a block is the size of the one before it in units of 16 bytes, 0 for the first.
 *   H2 no two free blocks are neighbours; each free block, and no other, is on the free list.
 *   H3 sharded: bit i of a page's free bits is set if and only if block i is free and not waiting in the remote bits.
 *   H4 sharded: a slice is free, a header slice, or belongs to exactly one page or span.
 */
#ifndef PG_HEAP_LAYOUT_H
#define PG_HEAP_LAYOUT_H

#include <stdint.h>

#define PG_HEAP_MAGIC 0x7061676f64616831u /* "1hadogap": the layout described here */
#define PG_HEAP_VERSION 1

enum pg_heap_family {
	PG_HEAP_UNDECIDED, /* nothing allocated yet */
	PG_HEAP_SHARDED,
	PG_HEAP_FIRST_FIT,
	PG_HEAP_NEXT_FIT,
	PG_HEAP_BEST_FIT,
	PG_HEAP_WORST_FIT,
	PG_HEAP_FAMILIES
};

/* Their names in PAGODA_MALLOC, by enum pg_heap_family. */
#define PG_HEAP_FAMILY_NAMES                                                                       \
	{                                                                                          \
		"", "sharded", "first-fit", "next-fit", "best-fit", "worst-fit"                    \
	}

/* --- the document's families ------------------------------------------------------------------ */

#define PG_HEAP_UNIT 16      /* sizes and addresses of blocks are multiples */
#define PG_HEAP_BLOCK_MIN 32 /* header and two links */
#define PG_HEAP_HEADER 16    /* bytes before what malloc returns */
#define PG_HEAP_USED 1u      /* flags in the low four bits of size_flags */
#define PG_HEAP_FENCE                                                                              \
	2u /* with USED: not ours; memory between two pieces of the heap, or the sentinel */
#define PG_HEAP_FLAGS 15u

/*
 * A block's header. A free block goes on with its two links, encoded by XOR with root.list_secret and the address
 * of the link.
 */
struct pg_heap_block {
	uint64_t size_flags; /* bytes, header included; | flags */
	uint32_t prev_units; /* size of the block before, in PG_HEAP_UNIT; 0: the first */
	uint32_t check;      /* of the other two, the address and the secret */
	uint64_t next, prev; /* free blocks only; addresses of headers, 0 ends the list */
};

/* --- the sharded family ----------------------------------------------------------------------- */

#define PG_HEAP_SEGMENT_SHIFT 22
#define PG_HEAP_SEGMENT_BYTES (1ul << PG_HEAP_SEGMENT_SHIFT)
#define PG_HEAP_SLICE_SHIFT 16
#define PG_HEAP_SLICE_BYTES (1ul << PG_HEAP_SLICE_SHIFT)
#define PG_HEAP_SLICES 64
#define PG_HEAP_HEADER_SLICES 2 /* the first slices of a segment hold its header */
#define PG_HEAP_BIT_WORDS 64    /* 64-bit words of free bits at most: 4096 blocks of 16 bytes */
#define PG_HEAP_SMALL_MAX 16384 /* larger blocks are spans */
#define PG_HEAP_LARGE_MAX (16 * PG_HEAP_SLICE_BYTES) /* larger ones are mappings of their own */
#define PG_HEAP_CLASSES 64

/* Headers of different segments begin at different offsets, so that they do not share the sets of a cache. */
#define PG_HEAP_COLOURS 8
#define PG_HEAP_COLOUR_BYTES 6208
#define PG_HEAP_HEADER_OF(segment)                                                                 \
	((segment) +                                                                               \
		(((segment) >> PG_HEAP_SEGMENT_SHIFT) % PG_HEAP_COLOURS) * PG_HEAP_COLOUR_BYTES)

enum pg_heap_page_state {
	PG_HEAP_PAGE_FREE,    /* the slice is free, part of a header, or not the first of a span */
	PG_HEAP_PAGE_CURRENT, /* what its class allocates from at present */
	PG_HEAP_PAGE_LISTED,  /* has free blocks */
	PG_HEAP_PAGE_FULL,    /* had none when it was last looked at */
	PG_HEAP_PAGE_LARGE,   /* a span: one block */
};

/* What is known of a slice; 64 bytes, one line of the cache. */
struct pg_heap_page {
	uint64_t heap;       /* owner; 0: PG_HEAP_PAGE_FREE */
	uint64_t start;      /* address of block 0 */
	uint64_t bits;       /* address of struct pg_heap_bits */
	uint32_t block_size; /* bytes */
	uint32_t reciprocal; /* 2^32 / block_size, rounded up */
	int32_t left;        /* frees until somebody should look at the page */
	uint16_t capacity;   /* blocks; their bits are 0 to capacity - 1 */
	uint8_t size_class;  /* size class; PG_HEAP_CLASSES: large */
	uint8_t state;       /* enum pg_heap_page_state */
	uint64_t next, prev; /* pages of the class that have free blocks */
	uint32_t slices;     /* how many it covers */
	uint32_t
		fresh; /* words of free bits from which nothing has been allocated yet begin here */
};

/* The bits of a page; on lines of their own. */
struct pg_heap_bits {
	uint64_t free[PG_HEAP_BIT_WORDS]; /* 1: free; written by the owner only */
	uint64_t owner;   /* heap, | 1 while the page is on its list of remote frees */
	uint64_t pending; /* next page on that list */
	uint64_t remote
		[PG_HEAP_BIT_WORDS]; /* 1: freed by another thread, not yet seen by the owner */
	uint64_t unused[6];          /* a stride that is no power of two */
};

/* At PG_HEAP_HEADER_OF(the segment's address). */
struct pg_heap_segment {
	uint64_t canary;     /* check of the address */
	uint64_t heap;       /* owner; 0: in the pool of free segments */
	uint64_t next, prev; /* segments of the heap */
	uint64_t free;       /* bit i: slice i is free */
	uint64_t dirty;      /* bit i: slice i is free and may hold resident memory */
	uint64_t pool;       /* next segment in the pool */
	uint64_t address;    /* of the segment itself */
	struct pg_heap_page pages[PG_HEAP_SLICES];
	struct pg_heap_bits bits[PG_HEAP_SLICES];
};

_Static_assert(sizeof(struct pg_heap_page) == 64, "a page's record is one line");
_Static_assert(sizeof(struct pg_heap_bits) == 1088, "17 lines");
_Static_assert((PG_HEAP_COLOURS - 1) * PG_HEAP_COLOUR_BYTES + sizeof(struct pg_heap_segment) <=
		       PG_HEAP_HEADER_SLICES * PG_HEAP_SLICE_BYTES,
	"a segment's header fits into its slices");

/* A row of the table of huge blocks. */
struct pg_heap_huge {
	uint64_t address; /* what malloc returned; 0: empty; 1: deleted */
	uint64_t size;    /* usable bytes */
	uint64_t map;     /* the mapping it lies in */
	uint64_t map_bytes;
};

/* --- where everything begins ------------------------------------------------------------------ */

struct pg_heap_root {
	uint64_t magic; /* PG_HEAP_MAGIC once something was allocated */
	uint32_t version;
	uint32_t family; /* enum pg_heap_family */
	struct {
		uint64_t start, end; /* first header; the sentinel's. 0: nothing yet */
		uint64_t free;       /* first block of the free list */
		uint64_t rover;      /* next-fit: where the next search begins */
	} list;
	uint64_t list_secret;
	uint64_t
		heaps; /* sharded: first heap; struct pg_heap of heap/sharded.h begins with next, segments */
	uint64_t pool; /* sharded: first segment that nobody owns */
	uint64_t
		known; /* sharded: bit i of uint64_t[known_words]: there is a segment at i * 4 MiB */
	uint64_t known_words;
	uint64_t huge;      /* table of huge blocks: struct pg_heap_huge[huge_rows] */
	uint64_t huge_rows; /* a power of two, or 0 */
};

extern struct pg_heap_root pg_heap_root;

#endif
