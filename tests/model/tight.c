/* SPDX-License-Identifier: MIT */
/*
 * tests/model/tight.c: random operations on a machine with very few frames.
 *
 *   tight [SEQUENCES [FIRST_SEED]]
 *
 * The page cache must give clean pages back, tables may lack nodes, faults end in PG_FAULT_OOM;
 * what an access that succeeded wrote must be there whenever it is read, in memory and in the
 * files. Guards R11 (drop and fetch again), R12 (out of memory is an end of its own), design
 * decision 3 (--memory is a hard limit).
 */
#include "squeeze.h"

#include <stdio.h>
#include <stdlib.h>

#define STEPS 120
#define SEQUENCES 250
#define MAX_FRAMES 256

struct figures {
	uint64_t ooms,
		refetched; /* faults without a frame; pages read from a file more than once */
};

static bool sequence(uint64_t seed, const struct pg_table_form *form, struct figures *fig)
{
	static struct model m;
	static struct rig r;
	struct run t = {.m = &m, .r = &r};
	pg_pfn taken[MAX_FRAMES];
	unsigned n;

	run_begin(&t, seed, MAX_FRAMES * 4096, form);
	n = squeeze_hog(&r, 8 + run_below(&t, 60), taken);
	for (t.step = 0; t.step < STEPS && squeeze_step(&t, NULL, NULL, &fig->ooms); t.step++)
		;
	squeeze_end(&t, n, taken);
	for (int o = 0; o < FILES; o++)
		fig->refetched +=
			r.file[o].reads > OBJECT_PAGES ? r.file[o].reads - OBJECT_PAGES : 0;
	run_end(&t);
	return !t.broken;
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 0) : SEQUENCES;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	struct figures fig = {0, 0};

	for (int i = 0; pg_table_forms[i]; i++) {
		/* The default form for all seeds, each other one for a third of them. */
		for (uint64_t seed = first; seed < first + n; seed++) {
			if (i && n >= 3 && seed % 3 != (uint64_t)i % 3)
				continue;
			if (!sequence(seed, pg_table_forms[i], &fig)) {
				fprintf(stderr, "page table: %s\n", pg_table_forms[i]->name);
				return 1;
			}
		}
	}
	printf("%llu sequences, %llu faults without a frame, %llu pages fetched again: no "
	       "difference\n",
		(unsigned long long)n, (unsigned long long)fig.ooms,
		(unsigned long long)fig.refetched);
	return fig.ooms && fig.refetched ? 0 : 1; /* else it tested nothing */
}
