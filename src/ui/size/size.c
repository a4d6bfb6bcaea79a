/* SPDX-License-Identifier: MIT */
/*
 * ui/size/size.c: `pagoda size`: how much memory does a program need?
 *
 *   words -> options of a run -> a run with plenty: what it can use at most
 *         -> a run with just that, and one that samples its working set; these two count instructions, in fast mode too
 *         -> runs with less and less, until it no longer works or takes too long
 *         -> runs in between, where it matters -> advice (curve.c) -> text, JSON, SVG (show.c)
 *
 * Called by ui/main.c. Calls ui/words/words.c and ui/run/trial.c; each run is a host process of its own and leaves its figures in
 * memory shared with this one. What the program writes is shown once, from the first run, and compared.
 */
#include "ui/size/size.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "ui/run/report.h"
#include "ui/run/trial.h"
#include "ui/words/words.h"
#include "ui/write/format.h"
#include "ui/write/output.h"

#define MIB ((uint64_t)1 << 20)
#define STEP ((uint64_t)65536) /* memory comes in such steps */
#define LEAST MIB              /* the smallest machine */
#define PLENTY (1024 * MIB)    /* of the first run */
#define WINDOWS 128u           /* of the working set */
#define REFINE 8u              /* runs in between, at most */
#define SLOW                                                                                       \
	10u /* times as many major faults as the first run had faults of any kind: a run is stopped */

#define complain(...) pg_complain("size", __VA_ARGS__)

/* What a run says of itself, in memory shared with its process. */
struct figures {
	bool told; /* point is filled in */
	struct pg_size_point point;
	/* Sampling: wanted if interval is not 0. */
	uint64_t interval, began, last;
	bool begun;
	size_t n;
	struct pg_size_sample samples[PG_SIZE_SAMPLES];
};

struct size {
	struct pg_options options;
	struct pg_words words; /* options of run, the program */
	uint64_t from, to;     /* bytes; 0: not given */
	uint64_t most;         /* runs with less memory, at most */
	double limit_s;        /* of a run; 0: none */
	bool no_swap;
	bool fast;              /* the user's choice; options.fast is that of the next run */
	uint64_t instructions;  /* of the first run */
	const char *json, *svg; /* NULL: not wanted */
	struct pg_trials trials;
	struct pg_trial first;    /* its output is what others are compared with */
	struct figures *shared;   /* mapped */
	struct pg_size_result *r; /* owned */
};

void pg_size_help(FILE *out)
{
	fputs("usage: pagoda size [OPTIONS] [OPTIONS OF RUN] [--] PROGRAM [ARGUMENTS...]\n"
	      "\n"
	      "How much memory does a program need? Runs it with all that it can use, then with\n"
	      "less and less, and prints page faults, time and resident memory of each run, the\n"
	      "working set over time, where the curve bends, and a recommendation. What the "
	      "program\n"
	      "writes is shown once. The exit status is 0; 1 if it wrote something else with less\n"
	      "memory; 2 if Pagoda could not do it.\n"
	      "\n"
	      "  --from SIZE            no less than that (default: until it no longer works)\n"
	      "  --to SIZE              no more than that (default: all that it can use)\n"
	      "  --points N             runs with less memory, 1 to 40 (default 12)\n"
	      "  --max-faults N         a run with more major faults is stopped (default: ten\n"
	      "                         times the page faults of any kind with all memory)\n"
	      "  --limit SECONDS        a run that takes longer is stopped (default: none is)\n"
	      "  --no-swap              private pages stay in memory (default: a swap file of\n"
	      "                         twice what it can use, with --to of 1G, unless\n"
	      "                         --swap says otherwise)\n"
	      "  --json FILE            all figures, as JSON, to FILE\n"
	      "  --svg FILE             the curves, drawn, to FILE\n"
	      "  --help                 this text\n"
	      "\n"
	      "Options of run that shape the machine, such as --swap, --replace or --fast, hold "
	      "for\n"
	      "all runs.\n",
		out);
}

/* ---- words */

static int take_size(const char *name, const char *text, uint64_t *out)
{
	if (pg_parse_size(text, out) != 0 || *out < LEAST || *out % STEP)
		return complain("%s: '%s' is not a size of 1M or more in steps of 64K", name, text);
	return 0;
}

static int take_from(void *ctx, const char *text)
{
	return take_size("--from", text, &((struct size *)ctx)->from);
}

static int take_to(void *ctx, const char *text)
{
	return take_size("--to", text, &((struct size *)ctx)->to);
}

/*
 * Without --overcommit: promises are free. What is asked for is how much memory is used; a program that reserves more than the
 * machine has (Go's runtime does) would be refused by `guess`.
 */
static void choose_overcommit(struct size *z)
{
	const struct pg_words *w = &z->words;

	for (int i = 0; i < w->count && w->words[i] != z->options.command[0]; i++)
		if (!strncmp(w->words[i], "--overcommit", strlen("--overcommit")))
			return;
	z->options.overcommit = PG_OVERCOMMIT_ALWAYS;
}

/* 0; -1: all that was asked for is answered; or the exit status. */
static int take_words(struct size *z, int argc, char **argv)
{
	uint64_t limit_s = 0;
	const struct pg_word options[] = {
		{"--from", .take = take_from},
		{"--to", .take = take_to},
		{"--points", .number = &z->most, .least = 1, .most = 40},
		{"--limit", .number = &limit_s, .least = 1, .most = 1000000},
		{"--no-swap", .flag = &z->no_swap},
		{"--json", .file = &z->json},
		{"--svg", .file = &z->svg},
		{"--memory", .refused = "use --from and --to"},
		{"--mmu", .refused =
				  "a block is in memory whole or not at all: pagoda run says how "
				  "large it was"},
		PG_WORDS_OF_ONE,
	};
	int status = pg_words_take("size", options, sizeof options / sizeof options[0], z, true,
		pg_size_help, argc, argv, &z->words);

	if (!status && z->from && z->to && z->from > z->to)
		status = complain("--from is more than --to");
	if (!status)
		status = pg_words_options("size", &z->words, &z->options);
	if (status)
		return status;
	z->limit_s = (double)limit_s;
	z->fast = z->options.fast;
	choose_overcommit(z);
	if (z->no_swap && z->options.swap[0])
		return complain("--no-swap and --swap exclude each other");
	return 0;
}

/* ---- in the process of a run */

static void on_look(void *ctx, struct pg_reclaim *r, uint64_t now)
{
	struct figures *f = ctx;

	if (!f->begun) {
		f->begun = true;
		f->began = f->last = now;
		(void)pg_reclaim_working_set(r);
	}
	if (!f->interval || now - f->last < f->interval || f->n == PG_SIZE_SAMPLES)
		return;
	f->samples[f->n++] = (struct pg_size_sample){
		f->last - f->began, now - f->began, pg_reclaim_working_set(r)};
	f->last = now;
}

static void on_report(void *ctx, const struct pg_report *r)
{
	struct figures *f = ctx;
	const struct pg_space_stats *s = &r->stats.space;
	struct pg_size_point *p = &f->point;

	*p = (struct pg_size_point){
		.memory_bytes = r->options->memory_bytes,
		.oom = r->end.oom,
		.status = r->status,
		.major = s->major,
		.pages_in = s->pages_in,
		.swap_in = r->reclaim.swap_in,
		.swap_out = r->reclaim.swap_out,
		.refaults = r->reclaim.refaults,
		.rss_peak_bytes = s->rss_peak_pages * PG_PAGE_SIZE,
		.frames_peak = r->frames.used_peak,
		.reclaimed = r->reclaim.reclaimed,
		.scanned = r->reclaim.scanned,
		.stopped = r->end.stopped,
		.instructions = r->stats.cpu.instructions,
		.seconds = r->wall_s,
		.stall_seconds = (double)r->reclaim.some_ns / 1e9,
	};
	for (int k = 0; k < PG_FAULT_KINDS; k++)
		p->faults += s->faults[k];
	f->told = true;
}

/* ---- runs */

/* One run with so much memory; its figures are in z->shared. first: keep its output as the reference. */
static int run(struct size *z, uint64_t memory, uint64_t interval, bool first)
{
	struct figures *f = z->shared;
	struct pg_trial t;
	int rc;

	*f = (struct figures){.interval = interval};
	z->options.memory_bytes = memory;
	z->options.on_report = on_report;
	z->options.on_report_ctx = f;
	z->options.on_look = interval ? on_look : NULL;
	rc = pg_trial_run(&z->trials, &z->options, first ? 0 : z->limit_s, &t);
	if (rc < 0)
		return complain("%s", strerror(-rc));
	if (!f->told && (first || (!t.stopped && t.status > 128))) {
		char text[PG_FORMAT_BYTES];

		pg_trial_show(t.err, STDERR_FILENO);
		rc = t.status > 128 ? complain("the run with %s ended by signal %d",
					      pg_format_size(memory, text), t.status - 128)
				    : 2;
		pg_trial_end(&t);
		return rc;
	}
	f->point.memory_bytes = memory;
	f->point.status = t.status;
	f->point.stopped = f->point.stopped || t.stopped;
	if (first) {
		z->instructions = f->point.instructions;
		f->point.works = f->point.same = true;
		z->first = t;
		return 0;
	}
	f->point.works =
		f->told && !f->point.stopped && !f->point.oom && t.status == z->first.status;
	f->point.same = pg_trial_same(&t, &z->first);
	if (t.stopped)
		f->point.seconds = z->limit_s;
	f->point.instructions = z->instructions; /* the same program */
	pg_trial_end(&t);
	return 0;
}

/* Keeps the point of the last run, in order of memory. */
static void keep(struct size *z)
{
	struct pg_size_result *r = z->r;
	size_t at = r->n;

	if (r->n == PG_SIZE_POINTS)
		return;
	for (; at > 0 && r->points[at - 1].memory_bytes < z->shared->point.memory_bytes; at--)
		r->points[at] = r->points[at - 1];
	r->points[at] = z->shared->point;
	r->n++;
}

static uint64_t half_of_host(void)
{
	struct sysinfo s;

	return sysinfo(&s) == 0 ? (uint64_t)s.totalram * s.mem_unit / 2 : PLENTY;
}

/* A swap file of that size, unless the user chose a store, or none. */
static void choose_swap(struct size *z, uint64_t bytes)
{
	if (!z->options.swap[0] && !z->no_swap)
		snprintf(z->options.swap, sizeof z->options.swap, "%luK",
			(unsigned long)(bytes / 1024));
	z->r->swap = z->options.swap;
}

/* Finds out what the program can use at most; that is the first point. */
static int find_full(struct size *z)
{
	uint64_t memory = z->to ? z->to : PLENTY, most = half_of_host(), full;
	uint64_t most_major = z->options.most_major;
	int status;

	z->options.fast = false; /* instructions are counted */
	z->options.most_major = 0;
	if (z->to)
		choose_swap(z, PLENTY); /* it may need more than there may be */
	status = run(z, memory, 0, true);
	if (status)
		return status;
	pg_trial_show(z->first.out, STDOUT_FILENO);
	pg_trial_show(z->first.err, STDERR_FILENO);
	while (!z->to && (z->shared->point.reclaimed || z->shared->point.oom) && memory < most) {
		memory *= 2;
		pg_trial_end(&z->first);
		status = run(z, memory, 0, true);
		if (status)
			return status;
	}
	if (z->shared->point.oom)
		return complain(
			"it was killed for want of memory; it needs --swap, or more than --to");
	z->options.most_major = most_major ? most_major : SLOW * z->shared->point.faults;
	z->options.fast = z->fast;
	if (z->shared->point.reclaimed) { /* this is as much as there may be */
		z->r->bounded = true;
		status = z->fast ? run(z, memory, 0, false) : 0;
		if (status)
			return status;
		keep(z);
		return 0;
	}
	/* Reclaim ahead of need begins when 1/64 of all frames is left, 8 at least: reclaim/reclaim.h. */
	full = z->shared->point.frames_peak * PG_PAGE_SIZE;
	full = pg_align_up(full + full / 60 + 16 * PG_PAGE_SIZE, STEP);
	for (int tries = 0;; tries++) {
		if (full < LEAST)
			full = LEAST;
		if (full > memory)
			full = memory;
		status = run(z, full, 0, false);
		if (status)
			return status;
		if (full == memory || tries == 8 ||
			(z->shared->point.works && !z->shared->point.reclaimed))
			break;
		full = pg_align_up(full + full / 32, STEP);
	}
	if (!z->shared->point.works)
		return complain("it did not end the same in a second run");
	keep(z);
	return 0;
}

/* The same run again, with samples of the working set. */
static int sample(struct size *z)
{
	uint64_t window = z->instructions / WINDOWS ? z->instructions / WINDOWS : 1;
	int status;

	z->options.fast = false;
	status = run(z, z->r->points[0].memory_bytes, window, false);
	z->options.fast = z->fast;
	if (status)
		return status;
	z->r->sample_count = z->shared->n;
	memcpy(z->r->samples, z->shared->samples, z->shared->n * sizeof z->r->samples[0]);
	return 0;
}

static int run_smaller(struct size *z)
{
	static const unsigned shares[] = {
		90, 80, 70, 60, 50, 40, 33, 25, 20, 15, 10, 7, 5, 4, 3, 2, 1};
	uint64_t full = z->r->points[0].memory_bytes, least = z->from ? z->from : LEAST,
		 last = full;
	unsigned count = sizeof shares / sizeof shares[0];
	int status = 0;

	for (unsigned i = 0, runs = 0; i < count && runs < z->most; i++) {
		uint64_t memory = pg_align_up(full * shares[i] / 100, STEP);

		if (memory < least)
			memory = least;
		if (memory >= last)
			continue;
		last = memory;
		runs++;
		status = run(z, memory, 0, false);
		if (status)
			return status;
		keep(z);
		if (!z->shared->point.works || memory == least)
			break;
	}
	for (unsigned i = 0; i < REFINE; i++) {
		uint64_t memory = pg_size_refine(z->r->points, z->r->n, least);

		if (!memory)
			break;
		status = run(z, memory, 0, false);
		if (status)
			return status;
		keep(z);
	}
	return 0;
}

/* ---- the end */

/* Writes a file by f. 0 or the exit status. */
static int write_file(const struct size *z, const char *path,
	void (*f)(const struct pg_size_result *r, FILE *out))
{
	struct pg_output o = {.path = path};
	int status = pg_output_begin("size", &o);

	if (status)
		return status;
	f(z->r, o.file);
	return pg_output_end("size", &o);
}

static int show(struct size *z)
{
	struct pg_size_result *r = z->r;
	char text[PG_FORMAT_BYTES];
	int status = 0;

	pg_size_advise(r->points, r->n, &r->advice);
	pg_size_text(r, stderr);
	if (z->json)
		status = write_file(z, z->json, pg_size_json);
	if (z->svg && !status)
		status = write_file(z, z->svg, pg_size_svg);
	for (size_t i = 0; i < r->n && !status; i++)
		if (r->points[i].works && !r->points[i].same) {
			complain("with %s it wrote something else than before",
				pg_format_size(r->points[i].memory_bytes, text));
			status = 1;
		}
	return status;
}

int pg_size_command(int argc, char **argv)
{
	struct size z = {.most = 12, .trials = {.input = -1}, .first = {.out = -1, .err = -1}};
	const char *args;
	int status;

	z.r = calloc(1, sizeof *z.r);
	z.shared = mmap(
		NULL, sizeof *z.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!z.r || z.shared == MAP_FAILED) {
		status = complain("%s", strerror(ENOMEM));
		goto out;
	}
	status = take_words(&z, argc, argv);
	if (status < 0) {
		status = 0;
		goto out;
	}
	if (!status) {
		int rc = pg_trials_begin(&z.trials);

		if (rc < 0)
			status = complain("standard input: %s", strerror(-rc));
	}
	if (!status) {
		z.r->command = z.options.command;
		z.r->policy = z.options.replace ? pg_policy_find(z.options.replace, &args)->name
						: pg_policies[0]->name;
		status = find_full(&z);
	}
	if (!status)
		status = sample(&z);
	if (!status) {
		choose_swap(&z, 2 * z.r->points[0].memory_bytes);
		status = run_smaller(&z);
	}
	if (!status)
		status = show(&z);
out:
	pg_trial_end(&z.first);
	pg_trials_end(&z.trials);
	if (z.shared != MAP_FAILED)
		munmap(z.shared, sizeof *z.shared);
	pg_words_free(&z.words);
	free(z.r);
	return status;
}
