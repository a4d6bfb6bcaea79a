/* SPDX-License-Identifier: MIT */
/*
 * trace/chosen.h: which process of a machine is looked at.
 *
 * Called by heap_calls.c and ui/stack/stack.c in the hooks of pg_linux, ui/words/words.c for what the user chose.
 */
#ifndef PG_TRACE_CHOSEN_H
#define PG_TRACE_CHOSEN_H

#include "linux/linux.h"

/* The first process, if neither is set. */
struct pg_chosen {
	const char
		*name; /* the first that executes a program of this name; NULL: see pid. Borrowed */
	int pid;       /* that process; 0: see name */
};

/* The process that runs is that one, now that it executes the program `path`. */
bool pg_chosen_by_exec(const struct pg_chosen *c, const struct pg_linux *l, const char *path);
/* The child of a fork is that one, before it executes anything. */
bool pg_chosen_by_fork(const struct pg_chosen *c, int child);
/* "no process ran a program of the name cc1", when it never was; into why[cap]. Returns why. */
const char *pg_chosen_never(const struct pg_chosen *c, char *why, size_t cap);

#endif
