/* SPDX-License-Identifier: MIT */
/*
 * space/block.h: address spaces that are one contiguous block of frames each, behind base and limit registers.
 *
 * Called by linux/partition.c (all of it) and by the mapping calls of space/ for spaces of this kind. A machine is of blocks or of
 * pages, for good: struct pg_vm_config says which. What a block is, and what an access to it is, is in mmu/base_limit.h; which hole a block
 * gets is found by frame/partition.c.
 *
 * All calls want the machine lock. None gives it up. A block with pinned frames is never moved (-EBUSY): the host uses them.
 *
 * The life of a block:   place -> grow, move (any number) -> swap out -> swap in (elsewhere) ... -> free
 */
#ifndef PG_SPACE_BLOCK_H
#define PG_SPACE_BLOCK_H

#include "base/types.h"
#include "frame/partition.h"
#include "space/space.h"
#include "store/store.h"

/* For struct pg_vm_config. */
struct pg_block_config {
	enum pg_partition_fit fit;
	bool linear; /* see frame/partition.h */
};

/* What happens to blocks, as told to pg_block_hooks.event. */
enum pg_block_event_kind {
	PG_BLOCK_PLACE,    /* a hole was found for a new program */
	PG_BLOCK_FORK,     /* the same for a copy of another block */
	PG_BLOCK_GROW,     /* it got the frames behind it */
	PG_BLOCK_MIGRATE,  /* it grew in a larger hole elsewhere */
	PG_BLOCK_MOVE,     /* compaction slid it down */
	PG_BLOCK_SWAP_OUT, /* all of it went to the store, its frames are free */
	PG_BLOCK_SWAP_IN,  /* it is back, in a hole of its size */
	PG_BLOCK_REFUSE,   /* no hole, and none could be made: the request failed */
	PG_BLOCK_WAIT,     /* no hole: the request waits */
	PG_BLOCK_FREE,     /* the process gave it back */
	PG_BLOCK_LIMIT,    /* an access beyond the limit: `address` */
	PG_BLOCK_EVENTS,
};

/* "place", "fork", "grow", "migrate", "move", "swap-out", "swap-in", "refuse", "wait", "free", "limit". */
extern const char *const pg_block_event_names[PG_BLOCK_EVENTS];

struct pg_block_event {
	enum pg_block_event_kind kind;
	struct pg_space *space; /* whose; NULL: of a process that is not made yet */
	uint64_t base, pages;   /* frame and frames after it; refuse, wait: pages wanted, base 0 */
	uint64_t was_base, was_pages; /* before it; 0: it was in no frame */
	uint64_t address;             /* limit: the address that was accessed */
	uint64_t copied_pages;        /* frames whose bytes were moved, to a store or from it too */
};

/* For whom a hole is wanted. */
enum pg_block_want { PG_WANT_PROGRAM, PG_WANT_FORK, PG_WANT_GROWTH, PG_WANT_SWAP_IN };

/* What the upper floors hand down. Any member may be NULL. */
struct pg_block_hooks {
	void *ctx;
	/* After each step. Must not change anything. */
	void (*event)(void *ctx, const struct pg_block_event *e);
	/*
	 * There is no hole of `pages` frames. Makes one and returns true (the search is repeated), or false: refused.
	 * May give up the machine lock; `s` (NULL: not made yet) may have been swapped out when it returns.
	 */
	bool (*room)(void *ctx, struct pg_space *s, uint64_t pages, enum pg_block_want what);
	/* s is swapped out and its memory is wanted: brings it back. May give up the machine lock. False: it cannot be. */
	bool (*need)(void *ctx, struct pg_space *s);
};

void pg_vm_set_block_hooks(struct pg_vm *vm, const struct pg_block_hooks *h);
/* The allocator, for figures and drawings; NULL: a machine of pages. A unit is a frame. */
const struct pg_partition *pg_vm_partition(const struct pg_vm *vm);

/* What a new block is to be. */
struct pg_block_shape {
	pg_va origin;         /* lowest logical address, page-aligned: the image's lowest page */
	uint64_t image_pages; /* from there to the end of bss */
	uint64_t stack_pages; /* at its top, at first */
	uint64_t pages;       /* all of it; at least image_pages + stack_pages */
	/* Logical pages from the origin to the end of the stack: how far it may grow. == pages: never, and base and limit are all. */
	uint64_t span_pages;
	uint64_t
		step_pages; /* it grows by multiples of these, if there is room for so many; 0: 1 */
	/* To be added to an offset of code in the image for that in its file, modulo 2^64: mostly 0. */
	uint64_t code_shift;
	const char *name; /* of the image's region: its path. Borrowed */
};

/*
 * Gives s, fresh, a block of zeros. -ENOSPC: no hole, and hooks.room made none (refused); -EFBIG: larger than the machine's memory;
 * -ENOMEM: of the host. s is unchanged then.
 */
PG_MUST_CHECK int pg_block_place(struct pg_space *s, const struct pg_block_shape *shape);

/* How a block is. */
struct pg_block_info {
	bool placed;           /* it has frames */
	bool out;              /* it is in the store */
	uint64_t base, pages;  /* of frames; base 0 while out */
	uint64_t wanted_pages; /* what a growth that waits asks for; else pages */
	uint64_t
		low_pages; /* the limit: pages from the origin up that may be accessed; the rest of `pages` is the stack */
	uint64_t stack_pages;
	pg_va origin, top; /* of logical addresses */
	uint64_t pins;     /* host calls that use frames of it now */
	uint64_t moves,
		swaps; /* times that it moved (growth, compaction), and that it was swapped out */
};
/* False: s is a space of pages. */
bool pg_block_info(const struct pg_space *s, struct pg_block_info *out);

/*
 * All of s goes to the store, in one piece, and its frames become a hole. -EBUSY: frames are pinned; -EALREADY: it is out; -ENOSPC: the store is full;
 * -EIO and others of store/: it stays. Blocks for as long as the store does.
 */
PG_MUST_CHECK int pg_block_swap_out(struct pg_space *s, struct pg_store *store);
/*
 * Back into the hole that the fit finds, with wanted_pages. -EALREADY: it is in; -ENOSPC: no hole (hooks.room is not asked); what the store says: it stays
 * out, and after -EIO or -EILSEQ its bytes are lost: whoever it belongs to must be ended.
 */
PG_MUST_CHECK int pg_block_swap_in(struct pg_space *s);
/* Slides all blocks down, the lowest first, past none that is pinned. How many moved; *pages (may be NULL): frames copied. */
unsigned pg_block_compact(struct pg_vm *vm, uint64_t *pages);
/* Frees the frames of s; nothing of it can be accessed any more. For a process that is over and whose space is looked at still. */
void pg_block_release(struct pg_space *s);

#endif
