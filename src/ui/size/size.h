/* SPDX-License-Identifier: MIT */
/*
 * ui/size/size.h: `pagoda size`.
 *
 * pg_size_command is called by ui/main.c; the rest is shared by size.c, which measures, and show.c, which shows.
 */
#ifndef PG_UI_SIZE_H
#define PG_UI_SIZE_H

#include <stdio.h>

#include "ui/size/curve.h"

/*
 * argv[0] is the first word behind "size". The exit status: 0 if the program's need was found, 1 if it did otherwise with less
 * memory (it wrote something else), 2 with one line on standard error if Pagoda could not do it.
 */
int pg_size_command(int argc, char **argv);

/* `pagoda size --help`. */
void pg_size_help(FILE *out);

#define PG_SIZE_SAMPLES 512

/* The working set in one window of a run with all memory. */
struct pg_size_sample {
	uint64_t from, to; /* instructions since the run's beginning */
	uint64_t pages;    /* accessed in between */
};

/* All that is shown. */
struct pg_size_result {
	char **command;   /* borrowed, NULL-ended */
	const char *swap; /* specification; "": none. Borrowed */
	const char *policy;
	struct pg_size_point points[PG_SIZE_POINTS]; /* in descending order of memory */
	size_t n;
	struct pg_size_advice advice;
	bool bounded; /* the largest memory allowed is not all that the program can use */
	struct pg_size_sample samples[PG_SIZE_SAMPLES];
	size_t sample_count;
};

void pg_size_text(const struct pg_size_result *r, FILE *out);
void pg_size_json(const struct pg_size_result *r, FILE *out);
void pg_size_svg(const struct pg_size_result *r, FILE *out);

#endif
