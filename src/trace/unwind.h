/* SPDX-License-Identifier: MIT */
/*
 * trace/unwind.h: who called whom: the frames of a guest thread's stack, from its registers.
 *
 * Called by ui/ (pagoda stack, pagoda heap, the ending of a run). Calls symbols.c for modules, location.c for
 * expressions, and looks at guest memory without any effect on it.
 *
 * Each frame's caller is found by the call frame information of the file that its code is in (.eh_frame, else
 * .debug_frame); where there is none, by the chain of saved base pointers, if rbp looks like one. How is said for each frame.
 * Signal frames are passed through: the C library describes its own (psABI, AMD64, 3.7; DWARF 5, 6.4).
 */
#ifndef PG_TRACE_UNWIND_H
#define PG_TRACE_UNWIND_H

#include "base/types.h"
#include "cpu/engine.h"
#include "space/space.h"
#include "trace/symbols.h"

struct pg_unwinder; /* remembers what was found for each address of code */

/* How a frame's caller was found. */
enum pg_unwind_by {
	PG_UNWIND_END,  /* there is none: the outermost frame */
	PG_UNWIND_CFI,  /* by call frame information */
	PG_UNWIND_BASE, /* by the saved base pointer */
	PG_UNWIND_CALLED, /* its pc is no code: as if it had just been called, the return address on top */
	PG_UNWIND_LOST, /* not at all: what it lies in is not in memory, or looks like no frame */
};

/*
 * One frame. Registers are numbered as DWARF does (trace/location.h): rbp is 6, rsp 7, rip 16. It occupies
 * [regs[7], cfa): its return address is the last word of that.
 */
struct pg_unwind_frame {
	uint64_t pc; /* the next instruction in it; of a caller the return address */
	bool exact;  /* pc is an instruction that was about to run, not one behind a call */
	bool signal; /* the frame that the kernel made for a signal handler */
	enum pg_unwind_by by; /* how its caller was found */
	uint64_t regs[17];
	uint32_t known;        /* bit n: regs[n] is what it was in this frame */
	uint64_t cfa;          /* rsp before the call that made it; 0 if its caller was not found */
	uint64_t return_at;    /* where its return address lies; 0: nowhere */
	uint64_t saved_rbp_at; /* where it keeps its caller's rbp; 0: it does not */
};

/* -ENOMEM. symbols: borrowed for its life. */
PG_MUST_CHECK int pg_unwinder_create(struct pg_symbols *symbols, struct pg_unwinder **out);
void pg_unwinder_destroy(struct pg_unwinder *u); /* NULL allowed */

/*
 * The frames of a thread with these registers, innermost first, until f returns false. Returns how many there were, at least 1. The
 * caller holds the machine lock.
 */
size_t pg_unwind_each(struct pg_unwinder *u, struct pg_space *space, const struct pg_cpu_regs *regs,
	bool (*f)(void *ctx, const struct pg_unwind_frame *frame), void *ctx);

/*
 * The same, addresses only: pcs[0] is rip, then return addresses: the calls themselves lie one byte before these.
 * Quick for code that was seen before. Returns their number.
 */
size_t pg_unwind_chain(struct pg_unwinder *u, struct pg_space *space,
	const struct pg_cpu_regs *regs, uint64_t *pcs, size_t cap);

/* The address by which a frame's function and line are looked up: pc, or a byte of the call before it. */
static inline uint64_t pg_unwind_lookup(const struct pg_unwind_frame *f)
{
	return f->pc - (f->exact ? 0 : 1);
}

#endif
