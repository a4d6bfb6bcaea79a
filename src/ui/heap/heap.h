/* SPDX-License-Identifier: MIT */
/*
 * ui/heap/heap.h: `pagoda heap`: the heap of a program, drawn.
 *
 * pg_heap_command is called by ui/main.c; the rest is shared by heap.c, which runs the program, and those who show: text.c,
 * json.c, svg.c.
 */
#ifndef PG_UI_HEAP_H
#define PG_UI_HEAP_H

#include <stdio.h>

#include "trace/heap.h"

/*
 * argv[0] is the first word behind "heap". The exit status: the program's, or 128 + the signal that ended it; 2 with one line on
 * standard error if Pagoda could not do it.
 */
int pg_heap_command(int argc, char **argv);

/* `pagoda heap --help`. */
void pg_heap_help(FILE *out);

struct pg_heap_show {
	const struct pg_heap_picture *p;
	char **command; /* NULL-ended */
	unsigned top;   /* rows of each table; 0: all */
	bool blocks;    /* the text lists all chunks */
	bool colour;
};

void pg_heap_text(const struct pg_heap_show *s, FILE *out);
void pg_heap_json(const struct pg_heap_show *s, FILE *out);
void pg_heap_svg(const struct pg_heap_show *s, FILE *out);

/* "used", "free", ...: states of chunks as all three name them. */
extern const char *const pg_heap_state_names[PG_CHUNK_STATES];
/* Shares of 0 to 1, or -1: there is nothing to share. Internal: of the usable bytes whose request is known; external: of the free bytes. */
double pg_heap_internal(const struct pg_heap_picture *p);
double pg_heap_external(const struct pg_heap_picture *p);

#endif
