/* SPDX-License-Identifier: MIT */
/*
 * trace/faults.h: who caused the page faults: tallies by instruction and by mapping.
 *
 * Called through pg_vm_hooks.fault (as they happen) and by ui/ (when the guest is gone). Calls
 * trace/symbols.h for names, at the end only.
 *
 * Glossary:
 *   site   one guest instruction that faulted: a byte of a mapped file, or an address of anonymous
 * code. place  what was touched: a mapped file, the heap, the stack, anonymous memory. tally  how
 * often, and at what cost.
 */
#ifndef PG_TRACE_FAULTS_H
#define PG_TRACE_FAULTS_H

#include "base/types.h"
#include "space/fault.h"
#include "trace/symbols.h"

struct pg_tally {
	uint64_t faults;                  /* resolved; sums by_kind */
	uint64_t by_kind[PG_FAULT_KINDS]; /* by enum pg_fault_kind */
	uint64_t refused;                 /* ended in a signal or out of memory; not in `faults` */
	uint64_t pages_in;                /* pages that a pager or a store brought in */
	uint64_t frames;                  /* frames taken for a page */
	uint64_t unshared; /* of `faults`: writes that ended the sharing of a page by fork */
	uint64_t
		copied; /* of `unshared`: those that copied it; the others found its last sharer gone */
	struct pg_fault_cost cost; /* sums; the time differs from run to run */
	uint64_t by_kernel;        /* of `faults`: while a system call touched the page */
};

/* A function, as the report shows it. Strings live as long as the trace and the symbols. */
struct pg_function_row {
	const char *function; /* name, or NULL */
	const char *symbol;   /* as the file's symbol table has it, or NULL */
	const char *module;   /* file that its code is in; "" for anonymous code */
	uint64_t
		address; /* of the function in the ELF file; the instruction's for anonymous code */
	const char *source; /* source file of its worst instruction, or NULL */
	int line;           /* in source; 0: unknown */
	struct pg_tally tally;
};

/* A place, as the report shows it. */
struct pg_place_row {
	const char *name; /* path, or "[heap]", "[stack]", "[anonymous]" ... */
	bool file;        /* a file is behind it */
	struct pg_tally tally;
};

struct pg_fault_trace;

/* -ENOMEM. */
PG_MUST_CHECK int pg_fault_trace_create(struct pg_fault_trace **out);
void pg_fault_trace_destroy(struct pg_fault_trace *t); /* NULL allowed */

/* Tallies one fault. Looks at regions only, never at guest memory; cannot fail: see _lost(). */
void pg_fault_trace_add(struct pg_fault_trace *t, const struct pg_fault_event *e);

/* Faults that could not be attributed for want of host memory. 0 unless the host is out of it. */
uint64_t pg_fault_trace_lost(const struct pg_fault_trace *t);
void pg_fault_trace_total(const struct pg_fault_trace *t, struct pg_tally *out);

/*
 * Rows (malloc'd, the caller frees) by falling faults, then pages in, then name: the same for the
 * same run. -ENOMEM.
 */
PG_MUST_CHECK int pg_fault_trace_functions(struct pg_fault_trace *t, struct pg_symbols *symbols,
	struct pg_function_row **rows, size_t *count);
PG_MUST_CHECK int pg_fault_trace_places(
	struct pg_fault_trace *t, struct pg_place_row **rows, size_t *count);

/*
 * The file and byte in it of a guest address, by the regions of a space: true and *path (borrowed
 * from the region's object), *offset; false for anonymous memory or none.
 */
struct pg_space;
struct pg_region;
/* On a machine of blocks: the region of the program's image, which is a copy of the file that it is named after. */
bool pg_trace_is_image(struct pg_space *space, const struct pg_region *r);
bool pg_trace_file_of(
	struct pg_space *space, uint64_t address, const char **path, uint64_t *offset);

#endif
