/* SPDX-License-Identifier: MIT */
/*
 * frame/frame.h: physical memory: N frames in one memfd, mapped once into the host, with a table
 * of what each frame is, and a buddy allocator.
 *
 * Called by mmu/ (table nodes), space/ (pages), reclaim/. Knows nothing of page tables.
 * All functions want the machine lock held by the caller; none blocks.
 */
#ifndef PG_FRAME_FRAME_H
#define PG_FRAME_FRAME_H

#include "base/types.h"

struct pg_frames; /* the physical memory of one machine */

/* What a frame is for. The table of who may move it from which to which is in frame.c. */
enum pg_frame_state {
	PG_FRAME_FREE = 0, /* in the buddy allocator */
	PG_FRAME_ANON,     /* holds a private page: owner is its struct pg_anon */
	PG_FRAME_CACHE, /* holds a page of a file or shared object: owner is its struct pg_object */
	PG_FRAME_TABLE, /* a page-table node: owner is its struct pg_table */
	PG_FRAME_WIRED, /* for good: the zero page, the machine's own */
	PG_FRAME_STATES,
};

enum pg_frame_flags {
	PG_FRAME_DIRTY = 1, /* differs from its backing store (beside the D bits in page tables) */
	PG_FRAME_CODE = 2,  /* the CPU engine holds translations of these bytes: see pg_vm_hooks */
	PG_FRAME_BUSY = 4,  /* being filled or written back */
	PG_FRAME_LAZY = 8,  /* ANON, not DIRTY: its owner can do without it (space/cache.c) */
};

#define PG_FRAME_ORDERS 20 /* largest block: 2^19 frames = 2 GiB */

/* One mapping of a frame, found from the frame: the reverse map. */
struct pg_rmap {
	struct pg_rmap *next; /* owned by the list */
	void *space;          /* borrowed: struct pg_space, valid while mapped */
	pg_vpn vpn;
};

/* One row of the frame table. */
struct pg_frame {
	uint8_t state;      /* enum pg_frame_state */
	uint8_t order;      /* of the block that begins here; meaningless inside a block */
	uint16_t flags;     /* OR of enum pg_frame_flags */
	uint32_t pins;      /* host calls using the bytes now; a pinned frame stays */
	uint32_t map_count; /* page-table entries that name this frame */
	uint32_t prev;      /* list links (free list, later the reclaim lists); pfn or UINT32_MAX */
	uint32_t next;
	uint32_t spare;
	void *owner;          /* by state, see enum pg_frame_state; borrowed */
	uint64_t index;       /* PG_FRAME_CACHE: page index within the object; TABLE: the owner's */
	struct pg_rmap *rmap; /* owned; guarded by the machine lock */
};

struct pg_frames_stats {
	uint64_t total;                        /* frames */
	uint64_t by_state[PG_FRAME_STATES];    /* frames; sums to total */
	uint64_t used_peak;                    /* most frames not free at once */
	uint64_t free_blocks[PG_FRAME_ORDERS]; /* blocks on each free list */
	uint64_t table_peak;                   /* most frames in state TABLE at once */
};

/*
 * Makes physical memory of `bytes` bytes: a multiple of 64 KiB, at least 1 MiB.
 * Errors: -EINVAL for the size, -ENOMEM or what memfd_create, ftruncate or mmap say.
 */
PG_MUST_CHECK int pg_frames_create(uint64_t bytes, struct pg_frames **out);
void pg_frames_destroy(struct pg_frames *fs);

/*
 * Takes a block of 2^order frames aligned to its size. The bytes are whatever was left there:
 * the caller fills or zeroes them before a guest can see them. -ENOMEM when no block is left.
 */
PG_MUST_CHECK int pg_frames_alloc(
	struct pg_frames *fs, unsigned order, enum pg_frame_state state, void *owner, pg_pfn *out);

/* Gives a block back. It must be unmapped and unpinned. Buddies merge. */
void pg_frames_free(struct pg_frames *fs, pg_pfn first);

/* The host address of the frame's first byte; valid until destroy. */
void *pg_frames_bytes(const struct pg_frames *fs, pg_pfn f);
/* The frame's row. Rows are one array, f.v its index, and so are the bytes; valid until destroy. */
struct pg_frame *pg_frames_row(struct pg_frames *fs, pg_pfn f);
/* The frame that holds the byte at a host address, or PG_PFN_NONE. */
pg_pfn pg_frames_of_host(const struct pg_frames *fs, const void *host);

/* The memfd behind the frames; frame f is at byte offset f << PG_PAGE_SHIFT. Borrowed. */
int pg_frames_fd(const struct pg_frames *fs);
/* The caller has moved the descriptor to another number (and closed the old one): owned under that one from now on. */
void pg_frames_set_fd(struct pg_frames *fs, int fd);
uint64_t pg_frames_total(const struct pg_frames *fs);
uint64_t pg_frames_free_count(const struct pg_frames *fs);
void pg_frames_stats(const struct pg_frames *fs, struct pg_frames_stats *out);

/*
 * Reverse map. add: -ENOMEM, nothing changed. remove: the mapping must be there. Neither touches
 * map_count: whoever enters the page-table entry counts it (the zero page is counted, not listed).
 */
PG_MUST_CHECK int pg_frames_rmap_add(struct pg_frames *fs, pg_pfn f, void *space, pg_vpn vpn);
void pg_frames_rmap_remove(struct pg_frames *fs, pg_pfn f, void *space, pg_vpn vpn);

/* Checks every numbered invariant of frame.c; NULL if they hold, or which is broken. */
const char *pg_frames_check(const struct pg_frames *fs);

#endif
