/* SPDX-License-Identifier: MIT */
/*
 * trace/variables.h: the functions that a frame is of, and their arguments and locals by name, with values.
 *
 * Called by trace/picture.c. Calls symbols.c for modules, location.c for where a variable is; guest memory is looked at without
 * any effect on it.
 *
 * A frame that unwind.c found is of one function that was called, and of those that the compiler inlined at that place: each of
 * these is a struct pg_scope, innermost first, as debuggers show them.
 */
#ifndef PG_TRACE_VARIABLES_H
#define PG_TRACE_VARIABLES_H

#include "trace/location.h"
#include "trace/symbols.h"
#include "trace/unwind.h"

struct pg_variable {
	char *name, *type, *value; /* owned. value: as C would write it, or why there is none */
	bool argument;
	enum pg_located located;
	uint64_t at;    /* its address; 0: it has none */
	uint64_t bytes; /* of its type; 0: not known */
};

struct pg_scope {
	char *function; /* owned; NULL: not known */
	char *symbol; /* owned; its name for the linker; NULL: not known, as of inlined functions of C */
	uint64_t offset;    /* bytes from the function's start; 0 for inlined ones */
	const char *module; /* path; "" for code of no file. Owned */
	char *source;       /* owned; NULL: not known */
	int line;
	bool inlined;                  /* into the next scope */
	struct pg_variable *variables; /* owned */
	size_t count;
};

/*
 * The scopes of frames[i], which has callers behind it up to n, into *out (malloc'd, *count >= 1). values: variables too. -ENOMEM.
 */
PG_MUST_CHECK int pg_scopes_of(struct pg_symbols *symbols, struct pg_space *space,
	const struct pg_unwind_frame *frames, size_t i, size_t n, bool values,
	struct pg_scope **out, size_t *count);
void pg_scopes_free(struct pg_scope *scopes, size_t count);

#endif
