/* SPDX-License-Identifier: MIT */
/*
 * trace/location.h: DWARF expressions, evaluated against the registers of a frame and the guest's memory.
 *
 * Inside trace/: called by unwind.c (where a frame keeps its caller's registers) and variables.c (where a variable is).
 * Reads guest memory through pg_trace_peek() only: nothing is faulted in, nothing is marked accessed.
 *
 * Registers are numbered as in the psABI (AMD64, figure 3.36): 0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi, 5 rdi, 6 rbp, 7 rsp,
 * 8..15 r8..r15, 16 the return address, which in a frame is its rip.
 *
 * Source of the operations: DWARF 5, 2.5 and 2.6.
 */
#ifndef PG_TRACE_LOCATION_H
#define PG_TRACE_LOCATION_H

#include <elfutils/libdw.h>

#include "base/types.h"
#include "space/space.h"

#define PG_DWARF_RBP 6
#define PG_DWARF_RSP 7
#define PG_DWARF_RIP 16
#define PG_DWARF_REGS 17

enum pg_located {
	PG_LOCATED_OK,
	PG_LOCATED_OPTIMISED, /* the compiler kept it nowhere */
	PG_LOCATED_UNREADABLE, /* it lies where no page is in memory, or in a register that nobody saved */
	PG_LOCATED_UNKNOWN, /* by an operation that is not understood here */
};

/* Against what an expression is evaluated. */
struct pg_location_frame {
	struct pg_space *space;
	const uint64_t *regs; /* [PG_DWARF_REGS] */
	uint32_t known;       /* bit n: regs[n] holds */
	uint64_t cfa;         /* for DW_OP_call_frame_cfa */
	bool has_cfa;
	uint64_t load; /* guest address = ELF address + load, for DW_OP_addr */
	/* Beyond CFI; all NULL there. */
	const Dwarf_Op *base; /* DW_AT_frame_base, for DW_OP_fbreg */
	size_t base_count;
	Dwarf_Attribute *attribute; /* that the expression is of */
	/* DW_OP_entry_value: the value that an expression had when the function was entered. */
	enum pg_located (*entry)(void *ctx, const Dwarf_Op *ops, size_t count, uint64_t *value);
	void *ctx;
};

/* Copies n bytes at `at` of the guest without any effect on it; false if not all pages are in memory. */
bool pg_trace_peek(struct pg_space *s, uint64_t at, void *to, size_t n);

/* The value of an expression. start: what lies on its stack at first, NULL: nothing. */
enum pg_located pg_location_value(const struct pg_location_frame *f, const Dwarf_Op *ops,
	size_t count, const uint64_t *start, uint64_t *value);

/*
 * What a location description describes: size bytes into to[size]. *at: its address, or 0 if it is not one piece of
 * memory. Fewer bytes than size on PG_LOCATED_OK: *got.
 */
enum pg_located pg_location_read(const struct pg_location_frame *f, const Dwarf_Op *ops,
	size_t count, void *to, size_t size, size_t *got, uint64_t *at);

#endif
