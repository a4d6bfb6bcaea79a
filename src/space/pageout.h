/* SPDX-License-Identifier: MIT */
/*
 * space/pageout.h: what reclaim/ hands down to space/: how frames become free and pages come back.
 *
 * Called by space/ only; reclaim/reclaim.c fills it in (pg_vm_set_pageout). Without it a machine drops clean pages of
 * files, oldest first (cache.c), and no private page ever leaves its frame.
 *
 * A frame is *known* from page_in to page_gone: only known ones are evicted. All calls with the machine lock held; those that
 * may release it say so, and their caller must look everything up again.
 */
#ifndef PG_SPACE_PAGEOUT_H
#define PG_SPACE_PAGEOUT_H

#include "base/types.h"
#include "frame/frame.h"

struct pg_fault_event;
struct pg_space;
struct pg_anon;
struct pg_object;
struct region;

/* How a page came to its frame. */
enum pg_page_in {
	PG_IN_DEMAND,    /* a fault or a system call waits for it */
	PG_IN_READAHEAD, /* nobody has asked for it yet */
};

/* Somebody waits for memory: PSI's stall. */
struct pg_stall {
	struct pg_fault_event *fault; /* whose time it is; NULL: no fault's */
	uint64_t began;               /* 0: it is no stall */
};

struct pg_pageout {
	void *ctx; /* handed to all; borrowed for the life of the machine */
	/*
	 * Fault e is about to be handled: frees frames ahead of need, writes old dirty pages of files. Until after_fault what happens
	 * is this fault's doing, and its cost is in e. May release the machine lock.
	 */
	void (*before_fault)(void *ctx, struct pg_fault_event *e);
	/* The fault found no frame. True: some are free now, try again. May release the machine lock. */
	bool (*rescue)(void *ctx, struct pg_fault_event *e);
	void (*after_fault)(void *ctx, struct pg_fault_event *e);
	/* In the middle of something: frees at least one frame without releasing the lock. False: none. */
	bool (*make_room)(void *ctx);
	/* Page index of o is about to be read by its pager, which may release the lock: a stall if it was evicted. And: it was read. */
	struct pg_stall (*wait_begin)(void *ctx, struct pg_object *o, uint64_t index);
	void (*wait_end)(void *ctx, struct pg_stall stall);
	/* A page that has an owner and, if it is an object's, an index. Called again for a known frame: nothing. */
	void (*page_in)(void *ctx, pg_pfn f, enum pg_page_in how);
	/* A fault found the page in memory. */
	void (*page_used)(void *ctx, pg_pfn f);
	/* It left a locked region, or a region that it is in is locked no more. Any frame. */
	void (*page_unlocked)(void *ctx, pg_pfn f);
	/* Its contents are gone for good (freed, cut off): the owner is still there. Any frame. */
	void (*page_gone)(void *ctx, pg_pfn f);
	/*
	 * Reads anon a, at index of r's anon layer, from its slot to a frame, and others around it. access: PG_WRITE: the slot may be
	 * given back at once. *brought: pages read. 0, -ENOMEM, or what is wrong with the store: -EIO, -EILSEQ. May
	 * release the machine lock.
	 */
	int (*anon_in)(void *ctx, struct region *r, uint64_t index, struct pg_anon *a,
		enum pg_access access, uint32_t *brought);
	/* Fills bytes with page index of o, which has no pager, if a slot has it: 1; 0: no slot. Or an error as anon_in. */
	int (*object_in)(void *ctx, struct pg_object *o, uint64_t index, void *bytes);
	/* The same page's bytes [from, to) become zero, if a slot has it. */
	void (*object_cut)(
		void *ctx, struct pg_object *o, uint64_t index, unsigned from, unsigned to);
	/* The bytes of a slot, which stays as it is: for who looks only. 0, or an error as anon_in. Does not release the lock. */
	int (*slot_peek)(void *ctx, pg_slot slot, void *bytes);
	/* A slot that nobody needs any more. */
	void (*slot_free)(void *ctx, pg_slot slot);
	/*
	 * Page index of o is wanted from its pager and will be read by the caller. How many pages from *first on to read, index among
	 * them: at least 1.
	 */
	uint32_t (*file_window)(void *ctx, struct pg_object *o, uint64_t index, uint64_t *first);
	/* Evicts this page if it can be. True: it is gone. Does not release the lock. */
	bool (*evict)(void *ctx, pg_pfn f);
	/* NULL if the invariants of reclaim/ hold, or which is broken. */
	const char *(*check)(void *ctx);
};

#endif
