/* SPDX-License-Identifier: MIT */
/*
 * trace/picture.h: the stack of a thread at one moment, frame by frame, with everything that is known of it.
 *
 * Called by ui/stack/stack.c. Calls unwind.c, variables.c and cycle.c. Nothing of the guest is changed by looking.
 */
#ifndef PG_TRACE_PICTURE_H
#define PG_TRACE_PICTURE_H

#include "trace/cycle.h"
#include "trace/unwind.h"
#include "trace/variables.h"

struct pg_picture_frame {
	size_t level;             /* 0: the innermost */
	struct pg_unwind_frame f; /* it occupies [f.regs[7], f.cfa) */
	uint64_t saved_rbp;       /* the word at f.saved_rbp_at */
	uint64_t return_address;  /* the word at f.return_at */
	struct pg_scope *scopes;  /* owned; innermost inlined function first */
	size_t scope_count;
};

enum pg_picture_page { PG_PICTURE_UNTOUCHED, PG_PICTURE_RESIDENT, PG_PICTURE_SWAPPED };

/* One thread's stack. */
struct pg_picture {
	int tid;
	char name[16];
	bool here; /* the thread that ran at this moment */
	uint64_t sp;
	struct pg_picture_frame *frames; /* owned; those that are shown, innermost first */
	size_t count;
	size_t depth; /* frames in all: depth - count are left out ... */
	size_t inner; /* ... behind the first `inner` */
	struct pg_cycle cycle;
	char *cycle_names;  /* owned; "f -> g -> f", NULL: nothing repeats */
	uint64_t low, high; /* its mapping [low, high); equal: none */
	bool grows;         /* the main thread's: down to `floor` */
	bool alternate;     /* sp is on the alternate signal stack */
	uint64_t floor;     /* the lowest address that it may ever have */
	uint64_t guard_low,
		guard_high; /* no access below it: [guard_low, guard_high); equal: none */
	/* Of each page from that of sp (or page of `low` if nearer) up to high: enum pg_picture_page. */
	uint64_t pages_from;
	uint8_t *pages; /* owned */
	size_t page_count, resident, swapped;
	size_t resident_below; /* pages in memory below the one of sp: of calls that have returned */
};

/*
 * The stack of the thread with these registers. inner, outer: frames shown from each end; 0, 0: all. values: variables too.
 * alt: its alternate signal stack, size 0: none. -ENOMEM.
 */
struct pg_picture_request {
	struct pg_symbols *symbols;
	struct pg_unwinder *unwinder;
	struct pg_space *space;
	const struct pg_cpu_regs *regs;
	int tid;
	const char *name;
	uint64_t alt_sp, alt_size;
	size_t inner, outer;
	bool values;
};
PG_MUST_CHECK int pg_picture_take(const struct pg_picture_request *q, struct pg_picture *out);
void pg_picture_free(struct pg_picture *p); /* what it owns; zeroed is fine */

#endif
