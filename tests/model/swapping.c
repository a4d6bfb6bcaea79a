/* SPDX-License-Identifier: MIT */
/*
 * tests/model/swapping.c: random operations on a machine with very few frames and a store, under each policy.
 *
 *   swapping [SEQUENCES [FIRST_SEED]]
 *
 * As tight.c, but private and shared memory leaves its frames too, and dirty pages of files are written early. What an access
 * that succeeded wrote must be there whenever it is read, right to the last byte; every invariant holds after each step.
 * Guards R6, R11 (backing store), R12, and the invariants R1 to R3 of reclaim/, A1 to A3, P1 to P4, M1, M2 of space/.
 */
#include "squeeze.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 120
#define SEQUENCES 20 /* for each policy */
#define MAX_FRAMES 256

/* Stores that fail: what is done at the n-th page read or written, and each k-th behind it. */
static const char *const rules[] = {
	"eio-in", "eio-out", "short-in", "short-out", "corrupt-in", "corrupt-out", "full", "eio"};

static const char *const stores[] = {"4M", "zstd:1M", "64K", "lz4:1M,1M", "16K"};

struct figures {
	uint64_t ooms, buses;
	uint64_t errors_before; /* in this sequence */
	struct pg_reclaim_stats st;
};

/* A fault ended in SIGBUS because a page could not be read: the figures say so. */
static bool store_failed(struct run *t, void *ctx)
{
	struct pg_reclaim_stats st;
	struct figures *fig = ctx;

	pg_reclaim_stats(t->r->reclaim, &st);
	if (!squeeze_saw(t->r, PG_FAULT_BUS) || st.read_errors == fig->errors_before)
		return false;
	fig->errors_before = st.read_errors;
	fig->buses++;
	return true;
}

/* Adds the counters (not the figures of now) of one run. */
static void add_up(struct pg_reclaim_stats *sum, const struct pg_reclaim_stats *one)
{
	sum->swap_out += one->swap_out;
	sum->swap_in += one->swap_in;
	sum->swap_dropped += one->swap_dropped;
	sum->file_dropped += one->file_dropped;
	sum->file_written += one->file_written;
	sum->swap_ahead += one->swap_ahead;
	sum->swap_ahead_used += one->swap_ahead_used;
	sum->file_ahead += one->file_ahead;
	sum->refaults += one->refaults;
	sum->swap_full += one->swap_full;
	sum->read_errors += one->read_errors;
	sum->checksum_errors += one->checksum_errors;
	sum->write_errors += one->write_errors;
}

/* The default form for every other seed. */
static const struct pg_table_form *some_form(uint64_t seed)
{
	unsigned forms = 0;

	while (pg_table_forms[forms])
		forms++;
	return pg_table_forms[seed % 2 ? 0 : seed / 2 % forms];
}

/* rule: how the store fails, or NULL. */
static bool sequence(uint64_t seed, const char *policy, const char *rule, struct figures *fig)
{
	static struct model m;
	static struct rig r;
	struct run t = {.m = &m, .r = &r, .swaps = true, .lossy = rule != NULL};
	struct pg_reclaim_stats st;
	pg_pfn taken[MAX_FRAMES];
	char spec[100];
	const struct pg_table_form *form = some_form(seed);
	unsigned n;

	snprintf(spec, sizeof spec, "%s%s%s%s", rule ? "fault:" : "", rule ? rule : "",
		rule ? ":" : "", stores[seed % (rule ? 3 : sizeof stores / sizeof stores[0])]);
	fig->errors_before = 0;
	r.swap = spec;
	r.policy = policy;
	run_begin(&t, seed, MAX_FRAMES * 4096, form);
	n = squeeze_hog(&r, 10 + run_below(&t, 40), taken);
	for (t.step = 0;
		t.step < STEPS && squeeze_step(&t, rule ? store_failed : NULL, fig, &fig->ooms);
		t.step++)
		;
	squeeze_end(&t, n, taken);
	pg_reclaim_stats(r.reclaim, &st);
	add_up(&fig->st, &st);
	if (t.broken)
		fprintf(stderr, "policy %s, store %s, page table %s\n", policy, r.swap, form->name);
	run_end(&t);
	return !t.broken;
}

static void print(const struct figures *f)
{
	const struct pg_reclaim_stats *s = &f->st;

	printf("ooms %llu, swap out %llu in %llu (ahead %llu, used %llu) dropped %llu, files "
	       "dropped %llu "
	       "written %llu ahead %llu, refaults %llu, full %llu, sigbus %llu, errors reading "
	       "%llu (checksum %llu) writing %llu\n",
		(unsigned long long)f->ooms, (unsigned long long)s->swap_out,
		(unsigned long long)s->swap_in, (unsigned long long)s->swap_ahead,
		(unsigned long long)s->swap_ahead_used, (unsigned long long)s->swap_dropped,
		(unsigned long long)s->file_dropped, (unsigned long long)s->file_written,
		(unsigned long long)s->file_ahead, (unsigned long long)s->refaults,
		(unsigned long long)s->swap_full, (unsigned long long)f->buses,
		(unsigned long long)s->read_errors, (unsigned long long)s->checksum_errors,
		(unsigned long long)s->write_errors);
}

/* Every way was gone, or it tested too little. */
static bool enough(const struct figures *f)
{
	const struct pg_reclaim_stats *s = &f->st;

	return f->ooms && s->swap_out && s->swap_in && s->swap_ahead_used && s->swap_dropped &&
	       s->file_dropped && s->file_written && s->refaults && s->swap_full &&
	       !s->read_errors && !s->write_errors;
}

/* The n-th page, and each k-th behind it, fails in every way, for n and k from 1 on. */
static bool failures(uint64_t n, uint64_t first, struct figures *fig)
{
	unsigned policies = 0;
	char rule[60];

	while (pg_policies[policies])
		policies++;
	for (uint64_t i = 0; i < n; i++) {
		for (unsigned k = 0; k < sizeof rules / sizeof rules[0]; k++) {
			snprintf(rule, sizeof rule, "%s@%llu/%llu", rules[k],
				(unsigned long long)(i % 12 + 1), (unsigned long long)(i % 7 + 1));
			if (!sequence(first + i, pg_policies[i % policies]->name, rule, fig))
				return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 0) : SEQUENCES;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	struct figures fig = {0}, failing = {0};

	for (int p = 0; pg_policies[p]; p++) {
		for (uint64_t seed = first; seed < first + n; seed++) {
			if (!sequence(seed, pg_policies[p]->name, NULL, &fig))
				return 1;
		}
	}
	print(&fig);
	if (!enough(&fig) || !failures(2 * n, first, &failing))
		return 1;
	print(&failing);
	return failing.buses && failing.st.read_errors && failing.st.checksum_errors &&
			       failing.st.write_errors && failing.st.swap_full
		       ? 0
		       : 1;
}
