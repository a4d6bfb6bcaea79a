/* SPDX-License-Identifier: MIT */
/*
 * ui/stack/stack.h: `pagoda stack`: the stacks of a running program.
 *
 * Called by ui/main.c. stack.c runs the program and looks; text.c, json.c, svg.c and film.c show.
 */
#ifndef PG_UI_STACK_H
#define PG_UI_STACK_H

#include <stdio.h>

#include "linux/linux.h"
#include "trace/calls.h"
#include "trace/picture.h"

#define PG_STACK_THREADS 64 /* stacks in a picture, at most */

/* What was seen. */
struct pg_stack_result {
	char **command;    /* borrowed */
	const char *title; /* borrowed; what the program is called in headings */
	char program[256]; /* path of what is looked at: its last one */
	int pid;           /* of it; 0: it never was */
	char moment[256];  /* "at its deepest: ..." */
	bool taken;        /* there is a picture */
	uint64_t
		missed; /* bytes of a deeper moment that could not be shown: it was left by a jump */
	uint64_t instructions;      /* executed by the thread of the picture; 0: not known */
	struct pg_picture *threads; /* owned; [thread_count] */
	size_t thread_count;
	size_t threads_left_out;
	const struct pg_calls *calls; /* borrowed */
	char *overflow; /* owned; what repeated when a stack overflowed; NULL: none did, or nothing repeated */
	bool overflowed;
	size_t overflow_depth;     /* frames */
	unsigned top;              /* functions in tables; 0: all */
	struct pg_linux_stats run; /* figures of the whole run */
};

/* `pagoda stack`; argv[0] is the first word behind it. The exit status. */
int pg_stack_command(int argc, char **argv);
void pg_stack_help(FILE *out);

void pg_stack_text(const struct pg_stack_result *r, FILE *out);
void pg_stack_json(const struct pg_stack_result *r, FILE *out);
void pg_stack_svg(const struct pg_stack_result *r, FILE *out);
void pg_stack_film(const struct pg_stack_result *r, FILE *out);

/* "leaf", "libc.so.6+0x1234" or an address, of a scope of a frame, into text[cap]. Returns text. */
const char *pg_stack_scope_name(
	const struct pg_scope *s, const struct pg_picture_frame *f, char *text, size_t cap);

#endif
