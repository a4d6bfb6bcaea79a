/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/test_jobs.c: job files, the scheduler on a machine without programs, and bars drawn from a list of events.
 *
 * Guards R1 (wait queue, swapping out), R2 (growth) and R3 (compaction) as decisions, and PS1 to PS3, TL1. The machine here has the
 * real allocator, and jobs that are a number of instructions to be done; it checks whatever it is asked to do.
 */
#include "base/random.h"
#include "frame/partition.h"
#include "ui/partition/jobs.h"
#include "ui/partition/schedule.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- job files */

static int read_text(const char *text, struct pg_jobs *jobs, char *error)
{
	char path[] = "/tmp/pagoda-jobs-XXXXXX";
	int fd = mkstemp(path), e;
	size_t n = strlen(text);
	char want[64];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
	e = pg_jobs_read(path, jobs, error, 256);
	unlink(path);
	/* Errors of a line begin with the file and the line. */
	snprintf(want, sizeof want, "%s:", path);
	if (e && strncmp(error, want, strlen(want)) == 0)
		memmove(error, error + strlen(want), strlen(error + strlen(want)) + 1);
	return e;
}

static void job_file_is_read_as_its_grammar_says(void **state)
{
	struct pg_jobs j;
	char error[256];

	(void)state;
	assert_int_equal(
		read_text("# all keys\n"
			  "\n"
			  "sort arrive=20M size=2M priority=9 in=a out=\"b c\" err=d : ./sort "
			  "-n 'x y' a\\ b \"q\\\"r\" ':' '' #not this\n"
			  "  plain:1 : prog",
			&j, error),
		-EINVAL);
	assert_non_null(strstr(error, "4: the name 'plain:1'"));
	pg_jobs_free(&j);
	assert_int_equal(
		read_text("sort arrive=20M size=2M priority=9 in=a out=\"b c\" err=d : ./sort "
			  "-n 'x y' a\\ b \"q\\\"r\" ':' '' a#b #not this\n"
			  "next.one_2-x :\tprog # or this\n",
			&j, error),
		0);
	assert_int_equal(j.n, 2);
	assert_string_equal(j.job[0].name, "sort");
	assert_int_equal(j.job[0].arrives, 20000000);
	assert_int_equal(j.job[0].bytes, 2 << 20);
	assert_int_equal(j.job[0].priority, 9);
	assert_string_equal(j.job[0].in, "a");
	assert_string_equal(j.job[0].out, "b c");
	assert_string_equal(j.job[0].err, "d");
	const char *const want[] = {"./sort", "-n", "x y", "a b", "q\"r", ":", "", "a#b"};
	for (size_t i = 0; i < 8; i++)
		assert_string_equal(j.job[0].argv[i], want[i]);
	assert_null(j.job[0].argv[8]);
	assert_string_equal(j.job[1].argv[0], "prog");
	assert_null(j.job[1].argv[1]);
	assert_int_equal(j.job[1].line, 2);
	assert_int_equal(j.job[1].arrives, 0);
	assert_null(j.job[1].in);
	pg_jobs_free(&j);
}

static void job_file_errors_name_the_line(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {{"a prog : x\n", "1: 'prog' is neither"}, {"a\n", "1: there is no ':'"},
		{"\n\n: prog\n", "3: the name is missing"}, {"a :\n", "1: the program is missing"},
		{"a : ''\n", "1: the program is missing"},
		{"a : p\nb : p\na : p\n", "3: the name 'a' is that of line 1"},
		{"a size=0 : p\n", "size"}, {"a size=2X : p\n", "size"},
		{"a priority=10 : p\n", "priority"}, {"a arrive=-1 : p\n", "arrive"},
		{"a arrive=5Q : p\n", "arrive"}, {"a arrive= : p\n", "arrive"},
		{"a size=1M size=2M : p\n", "twice"}, {"a colour=red : p\n", "no key 'colour'"},
		{"a in= : p\n", "in= wants"}, {"a : 'p\n", "1: a ' is not closed"},
		{"a : p \\", "backslash"}, {"a/b : p\n", "the name 'a/b'"},
		{"# nothing\n", "no job"}, {"a arrive=9999999999999999G : p\n", "arrive"}};
	char error[256];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct pg_jobs j;

		assert_int_equal(read_text(cases[i].text, &j, error), -EINVAL);
		if (!strstr(error, cases[i].says) || strchr(error, '\n'))
			fail_msg("%s: '%s' should say '%s'", cases[i].text, error, cases[i].says);
		pg_jobs_free(&j);
	}
	struct pg_jobs none;
	assert_int_equal(pg_jobs_read("/no/such/jobs", &none, error, sizeof error), -ENOENT);
	assert_non_null(strstr(error, "/no/such/jobs"));
}

/* ---- a machine without programs */

#define MOST 12

struct body {
	struct pg_partition_block *block; /* NULL: not in memory */
	uint64_t units;                   /* of its block, in memory or out */
	uint64_t left;                    /* instructions to be done */
	uint64_t grow_at, grow_to;        /* when so many are left it wants so much; 0: never */
	uint64_t wanted;                  /* paused */
	bool started, over, refused;
	uint64_t waits_since, longest_wait;
};

struct machine {
	struct pg_schedule *s;
	struct pg_jobs jobs;
	struct pg_partition *p;
	uint64_t units, clock, ran;
	struct body body[MOST];
	int running;
	unsigned steps, swaps, moves, refusals, pauses;
	char log[4000];
	bool keep_log, never_compacts;
};

static void note(struct machine *m, const char *what, unsigned job)
{
	size_t n = strlen(m->log);

	if (m->keep_log)
		snprintf(m->log + n, sizeof m->log - n, "%s %s, ", what, m->jobs.job[job].name);
}

static uint64_t f_clock(void *ctx)
{
	return ((struct machine *)ctx)->clock;
}

static void f_skip(void *ctx, uint64_t by)
{
	((struct machine *)ctx)->clock += by;
}

static int f_size(void *ctx, unsigned job, uint64_t *bytes)
{
	struct machine *m = ctx;

	*bytes = m->jobs.job[job].bytes;
	return *bytes > m->units ? -EFBIG : 0;
}

static int place(struct machine *m, unsigned job, uint64_t units)
{
	struct body *b = &m->body[job];
	int e = pg_partition_alloc(m->p, units, &b->block);

	assert_true(e == 0 || e == -ENOSPC);
	if (e)
		b->block = NULL;
	else
		b->units = units;
	return e;
}

static int f_start(void *ctx, unsigned job)
{
	struct machine *m = ctx;
	int e = place(m, job, m->jobs.job[job].bytes);

	assert_false(m->body[job].started); /* PS1 */
	m->body[job].started = e == 0;
	if (!e)
		note(m, "start", job);
	return e;
}

static int f_swap_out(void *ctx, unsigned job)
{
	struct machine *m = ctx;
	struct body *b = &m->body[job];

	assert_non_null(b->block);
	pg_partition_free(m->p, b->block);
	b->block = NULL;
	m->swaps++;
	note(m, "out", job);
	return 0;
}

static int f_swap_in(void *ctx, unsigned job)
{
	struct machine *m = ctx;
	struct body *b = &m->body[job];
	int e;

	assert_true(b->started && !b->over && !b->block);
	e = place(m, job, b->wanted ? b->wanted : b->units);
	if (!e) {
		b->wanted = 0;
		note(m, "in", job);
	}
	return e;
}

static uint64_t f_bytes(void *ctx, unsigned job)
{
	return ((struct machine *)ctx)->body[job].units;
}

/* All blocks, the lowest first, to the bottom: by taking all out and putting them in again. */
static bool f_compact(void *ctx)
{
	struct machine *m = ctx;
	struct pg_partition *fresh;
	struct body *order[MOST];
	unsigned n = 0;
	uint64_t low = 0;
	bool moved = false;

	assert_false(m->never_compacts);
	for (unsigned i = 0; i < m->jobs.n; i++)
		if (m->body[i].block)
			order[n++] = &m->body[i];
	for (unsigned i = 1; i < n; i++)
		for (unsigned k = i; k && pg_partition_start(order[k]->block) <
						  pg_partition_start(order[k - 1]->block);
			k--) {
			struct body *t = order[k];

			order[k] = order[k - 1];
			order[k - 1] = t;
		}
	assert_int_equal(pg_partition_create(m->units, PG_PARTITION_FIRST, false, &fresh), 0);
	for (unsigned i = 0; i < n; i++) {
		moved |= pg_partition_start(order[i]->block) != low;
		low += order[i]->units;
		assert_int_equal(pg_partition_alloc(fresh, order[i]->units, &order[i]->block), 0);
	}
	pg_partition_destroy(m->p);
	m->p = fresh;
	m->moves += moved;
	return moved;
}

static void f_figures(void *ctx, uint64_t *all, uint64_t *most)
{
	struct machine *m = ctx;
	struct pg_partition_figures f;

	pg_partition_figures(m->p, &f);
	*all = f.free;
	*most = f.largest;
}

static void f_kill(void *ctx, unsigned job)
{
	struct machine *m = ctx;

	fail_msg("%s is killed", m->jobs.job[job].name);
}

static void f_event(void *ctx, enum pg_job_event_kind kind, unsigned job, uint64_t bytes)
{
	struct machine *m = ctx;

	(void)bytes;
	if (kind != PG_JOB_RUN)
		note(m, pg_job_event_names[kind], job);
	m->refusals += kind == PG_JOB_REFUSE;
	m->pauses += kind == PG_JOB_PAUSE;
	m->body[job].refused |= kind == PG_JOB_REFUSE && !m->body[job].started;
}

static const struct pg_schedule_ops ops = {f_clock, f_skip, f_size, f_start, f_swap_out, f_swap_in,
	f_bytes, f_compact, f_figures, f_kill, f_event};

/* The job runs until it is asked to give the processor up: at every 100th instruction, as at system calls. */
static void work(struct machine *m, unsigned job)
{
	struct body *b = &m->body[job];

	assert_true(b->started && !b->over && b->block);
	for (;;) {
		if (b->wanted || (b->grow_to && b->left <= b->grow_at)) {
			uint64_t to = b->wanted ? b->wanted : b->grow_to;
			struct pg_partition_block *old = b->block;

			b->grow_to = 0;
			if (b->wanted && !pg_schedule_granted(m->s, job)) {
				b->wanted = 0; /* its brk fails, and it goes on */
				note(m, "no", job);
			} else if (pg_partition_grow(m->p, old, to - b->units) == 0) {
				b->units = to;
				b->wanted = 0;
				note(m, "grow", job);
			} else if (place(m, job, to) == 0) {
				pg_partition_free(m->p, old);
				b->wanted = 0;
				note(m, "migrate", job);
			} else {
				b->block = old;
				if (to <= m->units) {
					b->wanted = to;
					pg_schedule_pause(m->s, job, to, true);
					return;
				}
			}
		}
		uint64_t n = b->left < 100 ? b->left : 100;
		b->left -= n;
		m->clock += n;
		m->ran += n;
		if (!b->left) {
			pg_partition_free(m->p, b->block);
			b->block = NULL;
			b->over = true;
			note(m, "end", job);
			pg_schedule_ended(m->s, job);
			return;
		}
		if (pg_schedule_over(m->s, m->clock))
			return;
	}
}

static void run_machine(struct machine *m, const struct pg_schedule_options *o)
{
	uint64_t need = 0;
	int job;

	for (size_t i = 0; i < m->jobs.n; i++)
		need += m->body[i].left;
	assert_int_equal(pg_partition_create(m->units, PG_PARTITION_FIRST, false, &m->p), 0);
	assert_int_equal(pg_schedule_create(&m->jobs, o, &ops, m, &m->s), 0);
	while ((job = pg_schedule_next(m->s)) >= 0) {
		assert_true(m->steps++ < 100000); /* PS3 */
		assert_null(pg_partition_check(m->p));
		work(m, (unsigned)job);
	}
	for (size_t i = 0; i < m->jobs.n; i++) {
		struct pg_schedule_job f;

		pg_schedule_job(m->s, (unsigned)i, &f);
		assert_int_equal(f.refused, !m->body[i].over);
		if (f.refused)
			need -= m->body[i].left;
		else
			assert_int_equal(m->body[i].left, 0);
	}
	assert_int_equal(m->ran, need);
	pg_schedule_destroy(m->s);
	pg_partition_destroy(m->p);
}

static const char *const names[MOST] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};

static void add(struct machine *m, struct pg_job *job, uint64_t arrives, uint64_t units,
	unsigned priority, uint64_t work_units)
{
	size_t i = m->jobs.n++;

	m->jobs.job = job;
	job[i] = (struct pg_job){.name = (char *)(uintptr_t)names[i],
		.arrives = arrives,
		.bytes = units,
		.priority = priority};
	m->body[i].left = work_units;
	m->keep_log = true;
}

static void queue_starts_when_room_appears(void **state)
{
	struct pg_schedule_options o = {.slice = 1000};
	struct machine m = {.units = 100, .never_compacts = true};
	struct pg_job job[MOST];

	(void)state;
	add(&m, job, 0, 60, 0, 1500);
	add(&m, job, 0, 60, 0, 500);
	add(&m, job, 0, 30, 0, 500);
	add(&m, job, 0, 101, 0, 1);
	run_machine(&m, &o);
	assert_string_equal(m.log,
		"arrive a, arrive b, arrive c, arrive d, refuse d, start a, wait b, wait c, "
		"end a, start b, start c, end b, end c, ");
	o.backfill = true;
	m = (struct machine){.units = 100, .never_compacts = true};
	add(&m, job, 0, 60, 0, 1500);
	add(&m, job, 0, 60, 9, 500); /* more urgent: first */
	add(&m, job, 900000, 30, 0, 500);
	add(&m, job, 0, 30, 0, 500); /* passes a */
	run_machine(&m, &o);
	assert_string_equal(m.log, "arrive a, arrive b, arrive d, start b, start d, wait a, end b, "
				   "start a, end d, end a, arrive c, start c, end c, ");
	assert_int_equal(m.clock, 900500);
}

static void slices_put_the_others_out_and_all_finish(void **state)
{
	struct pg_schedule_options o = {.slice = 1000, .swap = true};
	struct machine m = {.units = 100, .never_compacts = true};
	struct pg_job job[MOST];

	(void)state;
	add(&m, job, 0, 70, 0, 1500); /* three of twice the memory */
	add(&m, job, 0, 70, 0, 1500);
	add(&m, job, 0, 60, 0, 1500);
	run_machine(&m, &o);
	assert_string_equal(m.log,
		"arrive a, arrive b, arrive c, start a, wait b, wait c, out a, start b, "
		"out b, start c, out c, in a, end a, in b, end b, in c, end c, ");
	m = (struct machine){.units = 100, .never_compacts = true};
	add(&m, job, 0, 70, 5, 5000);
	add(&m, job, 100, 70, 4, 500); /* less urgent: waits to the end */
	add(&m, job, 200, 70, 6, 500); /* more urgent: at once */
	run_machine(&m, &o);
	assert_string_equal(m.log, "arrive a, start a, arrive b, wait b, arrive c, out a, start c, "
				   "end c, in a, end a, start b, end b, ");
}

static void growth_goes_in_place_migrates_compacts_or_waits(void **state)
{
	struct pg_schedule_options o = {.slice = 1000};
	struct machine m = {.units = 100, .never_compacts = true};
	struct pg_job job[MOST];

	(void)state;
	add(&m, job, 0, 20, 0, 1000);
	add(&m, job, 0, 20, 0, 1000);
	m.body[0].grow_at = 900, m.body[0].grow_to = 50; /* elsewhere: 40 to 90 */
	m.body[1].grow_at = 900, m.body[1].grow_to = 60; /* no room until a is over */
	run_machine(&m, &o);
	assert_string_equal(
		m.log, "arrive a, arrive b, start a, start b, migrate a, end a, grow b, end b, ");
	m = (struct machine){.units = 90, .never_compacts = true};
	add(&m, job, 0, 50, 0, 1000);
	add(&m, job, 0, 40, 0, 2000);
	m.body[1].grow_at = 1900, m.body[1].grow_to = 50;
	m.body[0].grow_at = 500,
	m.body[0].grow_to = 85; /* nobody is left: a is refused, ends, and b grows */
	o.slice = 300;
	run_machine(&m, &o);
	assert_string_equal(m.log,
		"arrive a, arrive b, start a, start b, pause b, pause a, refuse a, no a, "
		"end a, migrate b, end b, ");
	o.compact = true;
	o.slice = 1000;
	m = (struct machine){.units = 100};
	add(&m, job, 0, 20, 0, 100);
	add(&m, job, 0, 30, 0, 5000);
	add(&m, job, 0, 30, 0, 5000);
	m.body[1].grow_at = 4900,
	m.body[1].grow_to = 40; /* a is over: 20 below, 20 above, 10 wanted */
	run_machine(&m, &o);
	assert_non_null(strstr(m.log, "end a, pause b, "));
	assert_int_equal(m.refusals, 0);
	o.swap = true;
	m = (struct machine){.units = 100};
	add(&m, job, 0, 60, 0, 900);
	add(&m, job, 0, 40, 0, 1900);
	m.body[0].grow_at = 800;
	m.body[0].grow_to = 100; /* the other goes out */
	run_machine(&m, &o);
	assert_string_equal(m.log, "arrive a, arrive b, start a, start b, pause a, out b, grow a, "
				   "end a, in b, end b, ");
	o.slice = 10000;
	m = (struct machine){.units = 100, .never_compacts = true};
	o.compact = false;
	add(&m, job, 0, 10, 0, 5000);
	add(&m, job, 0, 60, 1, 1100);
	add(&m, job, 0, 10, 2, 1100);
	m.body[2].grow_at = 1000;
	m.body[2].grow_to = 30; /* the least urgent goes, and that is enough */
	m.body[0].grow_at = 4000;
	m.body[0].grow_to = 20;
	run_machine(&m, &o);
	assert_string_equal(m.log,
		"arrive a, arrive b, arrive c, start c, start b, start a, "
		"pause c, out a, migrate c, end c, in a, end b, grow a, end a, ");
}

/* Whatever comes, all that can run at all run to their end, in a number of steps. */
static void random_jobs_all_finish(void **state)
{
	struct pg_random r;
	unsigned swaps = 0, moves = 0, pauses = 0, refused = 0;

	(void)state;
	pg_random_seed(&r, 7);
	for (int round = 0; round < 4000; round++) {
		struct pg_schedule_options o = {.slice = 100 + pg_random_below(&r, 2000),
			.swap = round & 1,
			.compact = round & 2,
			.backfill = round & 4};
		struct machine m = {.units = 100};
		struct pg_job job[MOST];
		unsigned n = 1 + (unsigned)pg_random_below(&r, MOST);

		for (unsigned i = 0; i < n; i++) {
			add(&m, job, pg_random_below(&r, 2) * pg_random_below(&r, 20000),
				1 + pg_random_below(&r, pg_random_one_in(&r, 20) ? 120 : 70),
				(unsigned)pg_random_below(&r, 3), 1 + pg_random_below(&r, 8000));
			if (pg_random_one_in(&r, 3)) {
				m.body[i].grow_at = pg_random_below(&r, m.body[i].left);
				m.body[i].grow_to = job[i].bytes + 1 + pg_random_below(&r, 60);
			}
		}
		m.keep_log = false;
		run_machine(&m, &o);
		assert_true(o.swap || m.swaps == 0);
		assert_true(o.compact || m.moves == 0);
		swaps += m.swaps;
		moves += m.moves;
		pauses += m.pauses;
		refused += m.refusals;
	}
	assert_true(swaps > 1000 && moves > 500 && pauses > 500 && refused > 100);
}

/* ---- bars */

static void bar_shows_the_blocks_that_are_there(void **state)
{
	struct pg_job job[2] = {
		{.name = (char *)(uintptr_t) "one"}, {.name = (char *)(uintptr_t) "two"}};
	struct pg_jobs jobs = {job, 2};
	struct pg_job_event e[] = {{.kind = PG_JOB_ARRIVE, .bytes = 32},
		{.kind = PG_JOB_START, .pid = 7, .base = 0, .bytes = 32},
		{.clock = 5, .kind = PG_JOB_START, .job = 1, .pid = 8, .base = 48, .bytes = 16},
		{.clock = 6,
			.kind = PG_JOB_MOVE,
			.job = 1,
			.pid = 8,
			.base = 32,
			.bytes = 16,
			.was_base = 48,
			.was_bytes = 16},
		{.clock = 6, .kind = PG_JOB_RUN, .job = 1},
		{.clock = 9, .kind = PG_JOB_SWAP_OUT, .pid = 7, .was_bytes = 32},
		{.clock = 1234, .kind = PG_JOB_END, .job = 1}};
	struct pg_job_log log = {e, sizeof e / sizeof e[0], 0, false};
	static const char want[] =
		"A one, B two; each character is 1 bytes\n"
		"\n"
		"          clock  event      memory\n"
		"              0  arrive   A "
		"|................................................................|  queue A\n"
		"              0  start    A "
		"|AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA................................|\n"
		"              5  start    B "
		"|AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA................BBBBBBBBBBBBBBBB|\n"
		"              6  move     B "
		"|AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABBBBBBBBBBBBBBBB................|\n"
		"              9  swap-out A "
		"|................................BBBBBBBBBBBBBBBB................|  store A\n"
		"          1,234  end      B "
		"|................................BBBBBBBBBBBBBBBB................|  store A\n";
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	assert_non_null(out);
	pg_timeline_text(&log, &jobs, 64, 100, out);
	fclose(out);
	assert_string_equal(text, want);
	free(text);
	out = open_memstream(&text, &n);
	pg_timeline_text(&log, &jobs, 64, 4, out);
	fclose(out);
	assert_non_null(strstr(text, "2 events are left out"));
	assert_non_null(strstr(text, "1,234  end"));
	assert_null(strstr(text, "  move"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(job_file_is_read_as_its_grammar_says),
		cmocka_unit_test(job_file_errors_name_the_line),
		cmocka_unit_test(queue_starts_when_room_appears),
		cmocka_unit_test(slices_put_the_others_out_and_all_finish),
		cmocka_unit_test(growth_goes_in_place_migrates_compacts_or_waits),
		cmocka_unit_test(random_jobs_all_finish),
		cmocka_unit_test(bar_shows_the_blocks_that_are_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
