/* SPDX-License-Identifier: MIT */
/*
 * ui/run/trial.h: one run of a program among several: in a host process of its own, with what it writes kept.
 *
 * Called by ui/compare/compare.c and ui/size/size.c. Calls ui/run/run.c. All trials get the same standard input: what a pipe or socket holds is read once.
 */
#ifndef PG_UI_RUN_TRIAL_H
#define PG_UI_RUN_TRIAL_H

#include <sys/types.h>

#include "ui/words/options.h"

/* What all trials of a command share. */
struct pg_trials {
	int input;   /* a memfd with all of standard input; -1: not needed */
	off_t start; /* of standard input, where it is a file */
};

/* What a trial left. */
struct pg_trial {
	int out, err; /* memfds: what the program wrote; -1: none */
	int status; /* of the process: the program's, or 128 + signal; 2: Pagoda could not run it */
	bool stopped; /* it took longer than it was given */
};

/* A negative errno. */
PG_MUST_CHECK int pg_trials_begin(struct pg_trials *t);
void pg_trials_end(struct pg_trials *t);

/*
 * Runs it. o->on_report and on_look are called in the other process: what they find out goes into memory shared with it.
 * limit_s: seconds after which it is stopped; 0: never. A negative errno.
 */
PG_MUST_CHECK int pg_trial_run(const struct pg_trials *t, const struct pg_options *o,
	double limit_s, struct pg_trial *out);
void pg_trial_end(struct pg_trial *t);

/* Copies what was written to a trial's descriptor `from` to `to`. */
void pg_trial_show(int from, int to);
/* True if both wrote the same and ended alike. */
bool pg_trial_same(const struct pg_trial *a, const struct pg_trial *b);

#endif
