/* SPDX-License-Identifier: MIT */
/*
 * ui/write/output.h: what a command writes: complaints, and files beside the program's own.
 *
 * Called by all commands. A file that is open while a guest runs lies on a descriptor that the guest cannot reach, and standard error
 * is a copy, since the guest may close its own.
 */
#ifndef PG_UI_WRITE_OUTPUT_H
#define PG_UI_WRITE_OUTPUT_H

#include <stdio.h>

#include "base/types.h"

/* "pagoda: COMMAND: ..." on standard error, one line. Returns 2, the exit status of a command that could not do it. */
int pg_complain(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct pg_output {
	const char *path; /* borrowed; NULL: standard error */
	FILE *file;       /* NULL: not open */
	bool shared;      /* file is another's, and is not closed here */
};

/*
 * Opens o for writing; an existing file is emptied; the path "-" is a copy of standard output. Without a path it is `standard`, which is shared, or if that is NULL a copy of standard
 * error. 0 or a negative errno value.
 */
PG_MUST_CHECK int pg_output_open(struct pg_output *o, FILE *standard);
/* What o is called in a complaint. */
const char *pg_output_name(const struct pg_output *o);
/* Closes o if it is open. False: not all that was written could be. */
bool pg_output_close(struct pg_output *o);

/* The same as open, without `standard`, and close; each 0, or the exit status after a complaint of the command's. */
PG_MUST_CHECK int pg_output_begin(const char *command, struct pg_output *o);
PG_MUST_CHECK int pg_output_end(const char *command, struct pg_output *o);

/* A FILE on fd, which it takes even on failure. NULL with errno set. */
FILE *pg_output_own(int fd);
/* True if a text that goes there may be coloured: a terminal that can do it, and NO_COLOR is not set. */
bool pg_output_coloured(FILE *f);

#endif
