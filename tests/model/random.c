/* SPDX-License-Identifier: MIT */
/*
 * tests/model/random.c: random operations on the real machine and on the model, compared after
 * each, under every form of page table.
 *
 *   random [SEQUENCES [FIRST_SEED]]
 *   random -v 1 SEED                   prints each operation of one sequence
 *
 * Compared are results, addresses chosen, every fault's case, kind and end in order, and all that
 * drive.h lists. Guards R4, R11, R13, R14, R16, R17, R20, R21 and all invariants of src/space.
 */
#include "drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 70
#define SEQUENCES 1000

static void step(struct run *t)
{
	struct outcome want, got;

	run_choose(t);
	want = model_apply(t->m, &t->op);
	got = rig_apply(t->r, &t->op);
	if (got.result != want.result || (want.result == 0 && got.addr != want.addr))
		run_differ(t, "result %lld at %#llx in the model, %lld at %#llx",
			(long long)want.result, (unsigned long long)want.addr,
			(long long)got.result, (unsigned long long)got.addr);
	run_compare_events(t);
	run_compare(t);
}

static bool sequence(uint64_t seed, bool verbose, const struct pg_table_form *form)
{
	static struct model m;
	static struct rig r;
	struct run t = {.m = &m, .r = &r, .verbose = verbose};

	run_begin(&t, seed, 4 << 20, form);
	for (t.step = 0; t.step < STEPS && !t.broken; t.step++)
		step(&t);
	run_end(&t);
	return !t.broken;
}

int main(int argc, char **argv)
{
	bool verbose = argc > 1 && !strcmp(argv[1], "-v");
	uint64_t n, first;

	argv += verbose;
	argc -= verbose;
	n = argc > 1 ? strtoull(argv[1], NULL, 0) : SEQUENCES;
	first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	for (int i = 0; pg_table_forms[i]; i++) {
		/* The default form for all seeds, each other one for a third of them. */
		for (uint64_t seed = first; seed < first + n; seed++) {
			if (i && n >= 3 && seed % 3 != (uint64_t)i % 3)
				continue;
			if (!sequence(seed, verbose, pg_table_forms[i])) {
				fprintf(stderr, "page table: %s\n", pg_table_forms[i]->name);
				return 1;
			}
		}
	}
	printf("%llu sequences of %d operations, seeds %llu to %llu: no difference\n",
		(unsigned long long)n, STEPS, (unsigned long long)first,
		(unsigned long long)(first + n - 1));
	return 0;
}
