/* SPDX-License-Identifier: MIT */
/*
 * space/fault.h: the page fault, in the seven steps of the document.
 *
 * Called by cpu/ when the MMU finds no valid entry or not the right, and by space/access.c for
 * system calls.
 */
#ifndef PG_SPACE_FAULT_H
#define PG_SPACE_FAULT_H

#include "base/types.h"
#include "mmu/table.h"

struct pg_space;
struct pg_region;

/*
 * What was at hand, drawn as a diagram at the top of fault.c. Trace, tests and documents use these
 * names.
 */
enum pg_fault_case {
	PG_CASE_NONE = 0,
	PG_CASE_0,  /* the entry is there and allows it: only the page table had forgotten, or a
		       stale TLB entry */
	PG_CASE_1A, /* anon in a frame, ours alone, or read: map it */
	PG_CASE_1B, /* anon in a frame, shared, written: copy it */
	PG_CASE_1C, /* anon in a slot: read it in */
	PG_CASE_2A, /* object's page, read or shared: map the cached frame */
	PG_CASE_2B, /* object's page, private, written: copy it to a new anon */
	PG_CASE_3A, /* nothing there, read: map the zero page */
	PG_CASE_3B, /* nothing there, written: a new zeroed anon */
	PG_CASES,
};

/* What the fault cost, for the figures; one for each fault that was resolved. */
enum pg_fault_kind {
	PG_FAULT_SOFT = 0,   /* case 0 and 1A: nothing had to be made */
	PG_FAULT_ZERO_READ,  /* 3A: the zero page */
	PG_FAULT_ZERO_FILL,  /* 3B, and 2A of shared memory without a pager: a frame, zeroed */
	PG_FAULT_FILE_CACHE, /* 2A: page was in the page cache */
	PG_FAULT_FILE_DISK,  /* 2A or 2B: the pager had to read (major) */
	PG_FAULT_COPY,    /* 1B, 2B: copy-on-write; 2B whose page the pager had to read is FILE_DISK
			     and counted in copies too */
	PG_FAULT_SWAP_IN, /* 1C (major) */
	PG_FAULT_KINDS,
};

/* How it ended. */
enum pg_fault_end {
	PG_FAULT_RESUME = 0, /* go on at the very instruction */
	PG_FAULT_MAPERR,     /* SIGSEGV SEGV_MAPERR: no region there */
	PG_FAULT_ACCERR,     /* SIGSEGV SEGV_ACCERR: region without the right */
	PG_FAULT_STACK,      /* SIGSEGV SEGV_MAPERR: below the stack limit or in its guard gap */
	PG_FAULT_BUS,        /* SIGBUS BUS_ADRERR: beyond the end of the file, or unreadable */
	PG_FAULT_OOM,        /* no frame: the guest is to be killed */
	PG_FAULT_LIMIT,      /* SIGSEGV SEGV_MAPERR: beyond the limit of a contiguous block */
};

/*
 * All that is known of one fault when it is over; handed to pg_vm_hooks.fault. Borrowed during the
 * call. The seven steps: 1 reference: is there a region?       2 trap: is the access its right?
 * (else terminate) 3 find the page: anon, slot, object   4 a free frame 5 fill it 6 tables updated
 * 7 resume
 */
/* What want of memory cost a fault; all 0 while there is room. Pages, but for the time. */
struct pg_fault_cost {
	uint64_t stall_ns; /* it waited: reclaim, and reading what had been evicted */
	uint64_t scanned,
		reclaimed;     /* looks at accessed bits, and frames freed, before it was handled */
	uint64_t swap_written; /* of reclaimed: written to a store, whose pages ever they were */
	uint64_t swap_in;      /* read from a store, read-ahead included */
	uint64_t ahead;        /* read ahead, from a store or a file */
	uint64_t refaults;     /* pages that it brought back after they had been evicted */
};

struct pg_fault_event {
	struct pg_space *space;
	pg_va va;
	enum pg_access access;
	uint64_t pc;    /* guest instruction; for system calls the syscall instruction; 0: exec */
	bool by_kernel; /* true: while a system call touched guest memory */
	const struct pg_region *region; /* NULL: none */
	enum pg_fault_case fcase;
	enum pg_fault_kind kind; /* meaningful when end is PG_FAULT_RESUME */
	enum pg_fault_end end;
	pg_pfn frame;       /* mapped at the end; PG_PFN_NONE if none */
	pg_pfn copied_from; /* 1B, 2B; else PG_PFN_NONE */
	/*
	 * This write ended the sharing of a page that a fork had shared: 1B; 1A of a page whose
	 * other sharers are gone; 2B in a region that was there at a fork.
	 */
	bool after_fork;
	bool frame_new;      /* step 4 took a frame from the allocator */
	bool stack_grew;     /* the region was extended down by this fault */
	uint32_t pages_in;   /* pages the pager or the store brought in */
	uint32_t nodes_made; /* page-table nodes that step 6 needed */
	uint64_t index;      /* page index within the object, if any */
	struct pg_fault_cost cost;
	uint64_t walk_refs; /* references of the walk that missed, 0 if not walked */
};

/*
 * Handles one fault at `va`. Counts it, calls the hook, and returns how it ended. On
 * PG_FAULT_RESUME the table has an entry that allows the access (until someone evicts it again:
 * callers loop).
 */
enum pg_fault_end pg_space_fault(
	struct pg_space *s, pg_va va, enum pg_access access, uint64_t pc, bool by_kernel);

const char *pg_fault_case_name(enum pg_fault_case c); /* "1A" ... */
const char *pg_fault_kind_name(enum pg_fault_kind k); /* "zero fill" ... as in the summary */

#endif
