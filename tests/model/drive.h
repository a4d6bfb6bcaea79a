/* SPDX-License-Identifier: MIT */
/*
 * tests/model/drive.h: random operations for a machine (rig.h) and its model (model.h), and
 * comparing the two. Used by random.c, failing.c and squeeze.c.
 *
 * Compared: the list of regions with all that a region says, each page's entry (none, zero page,
 * file page, anon; writable), its bytes, the files' bytes on disk, VSZ, RSS by kind, the counts of
 * faults; and pg_space_check(). A difference is printed with the seed.
 */
#ifndef PG_TESTS_DRIVE_H
#define PG_TESTS_DRIVE_H

#include "rig.h"

#include "base/random.h"

struct run {
	struct model *m;
	struct rig *r;
	struct pg_random rnd;
	uint64_t seed;
	int step;
	struct op op; /* chosen last */
	bool verbose;
	bool broken; /* a difference was found */
	bool lossy; /* its store fails: a page in it may not come back, but never with other bytes */
	bool swaps; /* private pages may have left their frames, dirty ones of files been written */
};

void run_begin(struct run *t, uint64_t seed, uint64_t memory, const struct pg_table_form *form);
void run_end(struct run *t);
/* Sets t->op to a random operation that is possible now. */
void run_choose(struct run *t);
/* Every fault's case, kind and end in order, of the operation applied last. */
void run_compare_events(struct run *t);
void run_compare(struct run *t);
/*
 * Makes the model agree where a machine short of memory may differ: clean file pages have left the
 * cache or were brought in before the operation failed, entries were forgotten by a move, a fork
 * that failed has protected pages and written files back. Counts of faults are taken over.
 */
void run_forgive(struct run *t);
/* Dirty pages of files that the machine wrote before the model applies the operation. */
void run_forgive_disk(struct run *t);
/* Rights and contents of every page, by reading them, and pg_space_check(); not counts and bounds.
 */
void run_compare_contents(struct run *t);
bool op_is_access(const struct op *op);
/* Prints what differs, once. */
void run_differ(struct run *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint64_t run_below(struct run *t, uint64_t n);
bool run_chance(struct run *t, unsigned percent);

#endif
