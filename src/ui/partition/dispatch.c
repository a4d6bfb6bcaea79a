/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/dispatch.c: see dispatch.h.
 *
 * One job has the processor at a time (`baton`). Its threads look at each system call, and where they want room that is not there, whether
 * they are to give it up (on_turn, on_room); then they sleep, and the scheduler's thread wakes up, asks schedule.c who
 * is next, does what that wants done, and wakes the job's threads:
 *
 *   guest: system call -> over? -> baton = NONE, ring -> sleep ........................ wake -> goes on, maybe at another base
 *   scheduler:                                   take the lock -> next -> baton = job ----^     -> sleep until rung
 *
 * So a run repeats exactly: what happens depends on instructions executed, not on the host's time, as long as a job is one
 * process that does not wait for the world.
 *
 * Owns the log, the results, and whose a process is. All of it is guarded by the machine lock but `rung`.
 *
 * Invariants:
 *   PD1 a guest thread that executes guest code is one of the baton's job, or has not come to a system call since the job lost it.
 *   PD2 baton is NONE while the scheduler decides.
 */
#include "ui/partition/dispatch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define NONE (-1)

/* A process of a job. */
struct member {
	int pid;
	unsigned job;
	bool out; /* in the store */
};

struct job_state {
	int root; /* pid of the first process; 0: not started */
	unsigned alive;
	bool queued;
};

struct pg_dispatch {
	struct pg_dispatch_config c;
	struct pg_linux *linux; /* borrowed */
	struct pg_schedule *schedule;
	struct pg_job_log log;
	struct pg_job_result *result; /* owned: [jobs] */
	struct job_state *state;      /* owned: [jobs] */
	struct member *member;        /* owned: [members] */
	size_t members, room;
	int baton;         /* job; NONE */
	int starting;      /* job that is being started; NONE */
	uint64_t skipped;  /* of the clock */
	uint64_t last;     /* the clock, when it was last asked */
	pthread_mutex_t m; /* guards rung */
	pthread_cond_t c_rung;
	bool rung;
};

/* ---- whose a process is */

static struct member *member_of(struct pg_dispatch *d, int pid)
{
	for (size_t i = 0; i < d->members; i++)
		if (d->member[i].pid == pid)
			return &d->member[i];
	return NULL;
}

/* The job of a process; of one that nobody knows yet that of who runs. */
static unsigned job_of(struct pg_dispatch *d, int pid)
{
	const struct member *m = member_of(d, pid);

	if (m)
		return m->job;
	return (unsigned)(d->starting != NONE ? d->starting : d->baton != NONE ? d->baton : 0);
}

static void add_member(struct pg_dispatch *d, int pid, unsigned job)
{
	if (member_of(d, pid))
		return;
	if (d->members == d->room) {
		size_t room = d->room ? 2 * d->room : 64;
		struct member *more = realloc(d->member, room * sizeof *more);

		PG_ASSERT(more); /* a few bytes for each process of the machine */
		d->member = more;
		d->room = room;
	}
	d->member[d->members++] = (struct member){.pid = pid, .job = job};
	d->state[job].alive++;
	d->result[job].processes++;
}

/* ---- the clock and the log */

/* In the middle of a piece of code the engine may have counted some instructions too many: it never goes back for that. */
static uint64_t clock_of(void *ctx)
{
	struct pg_dispatch *d = ctx;
	uint64_t now = pg_partition_clock(d->linux) + d->skipped;

	if (now > d->last)
		d->last = now;
	return d->last;
}

/* Adds e, with what the machine is like now. */
static void note(struct pg_dispatch *d, struct pg_job_event *e)
{
	struct pg_partition_figures f;

	pg_partition_figures_of(d->linux, &f);
	e->clock = clock_of(d);
	e->free_bytes = f.free * PG_PAGE_SIZE;
	e->largest_bytes = f.largest * PG_PAGE_SIZE;
	e->holes = f.holes;
	e->blocks = f.blocks;
	for (size_t i = 0; i < d->c.jobs->n; i++)
		e->waiting += d->state[i].queued;
	for (size_t i = 0; i < d->members; i++)
		e->out += d->member[i].out;
	pg_job_log_add(&d->log, e);
}

static void on_event(void *ctx, const struct pg_partition_event *b)
{
	struct pg_dispatch *d = ctx;
	static const int kinds[PG_BLOCK_EVENTS] = {[PG_BLOCK_PLACE] = PG_JOB_START,
		[PG_BLOCK_FORK] = PG_JOB_FORK,
		[PG_BLOCK_GROW] = PG_JOB_GROW,
		[PG_BLOCK_MIGRATE] = PG_JOB_MIGRATE,
		[PG_BLOCK_MOVE] = PG_JOB_MOVE,
		[PG_BLOCK_SWAP_OUT] = PG_JOB_SWAP_OUT,
		[PG_BLOCK_SWAP_IN] = PG_JOB_SWAP_IN,
		[PG_BLOCK_REFUSE] = PG_JOB_REFUSE,
		[PG_BLOCK_WAIT] = NONE,
		[PG_BLOCK_FREE] = PG_JOB_FREE,
		[PG_BLOCK_LIMIT] = PG_JOB_LIMIT};
	struct pg_job_event e = {.job = job_of(d, b->pid),
		.pid = b->pid,
		.base = b->base,
		.bytes = b->bytes,
		.was_base = b->was_base,
		.was_bytes = b->was_bytes,
		.address = b->address};
	struct member *m;

	if (kinds[b->kind] == NONE)
		return;
	e.kind = (enum pg_job_event_kind)kinds[b->kind];
	if (b->kind == PG_BLOCK_REFUSE && d->starting != NONE)
		return; /* the scheduler looks for room itself, and says what becomes of it */
	if (b->kind == PG_BLOCK_PLACE && d->starting == NONE)
		e.kind = PG_JOB_EXEC;
	if (b->kind == PG_BLOCK_PLACE && d->starting != NONE)
		d->state[d->starting].queued = false;
	m = member_of(d, b->pid);
	if (b->kind == PG_BLOCK_SWAP_OUT || b->kind == PG_BLOCK_FREE)
		e.base = e.bytes = 0;
	if (b->kind == PG_BLOCK_SWAP_IN || b->kind == PG_BLOCK_REFUSE || b->kind == PG_BLOCK_LIMIT)
		e.was_base = e.was_bytes = 0; /* it was not in memory, or it stays as it is */
	if (m && (b->kind == PG_BLOCK_SWAP_OUT || b->kind == PG_BLOCK_SWAP_IN))
		m->out = b->kind == PG_BLOCK_SWAP_OUT;
	if (m && b->kind == PG_BLOCK_FREE && !b->was_bytes)
		m->out = false; /* it was in the store */
	note(d, &e);
}

/* ---- giving the processor up */

static void ring(struct pg_dispatch *d)
{
	pthread_mutex_lock(&d->m);
	d->rung = true;
	pthread_cond_signal(&d->c_rung);
	pthread_mutex_unlock(&d->m);
}

static void give_up(struct pg_dispatch *d)
{
	d->baton = NONE;
	ring(d);
}

/* Until the job has the processor. False: the thread is to end. */
static bool wait_turn(struct pg_dispatch *d, unsigned job)
{
	while (d->baton != (int)job)
		if (!pg_partition_sleep(d->linux))
			return false;
	return true;
}

static void on_turn(void *ctx, int pid)
{
	struct pg_dispatch *d = ctx;
	unsigned job = job_of(d, pid);

	if (d->baton == (int)job) {
		if (!pg_schedule_over(d->schedule, clock_of(d)))
			return;
		give_up(d);
	}
	(void)wait_turn(d, job);
}

static uint64_t block_of(struct pg_dispatch *d, int pid)
{
	struct pg_block_info info;

	return pg_partition_info(d->linux, pid, &info) == 0 ? info.pages * PG_PAGE_SIZE : 0;
}

static bool on_room(void *ctx, int pid, uint64_t bytes, enum pg_block_want what)
{
	struct pg_dispatch *d = ctx;
	unsigned job = job_of(d, pid);

	/* Whatever goes out and moves, there will not be so much; the machine tells of the refusal. */
	if (bytes + (what == PG_WANT_GROWTH ? 0 : block_of(d, pid)) > d->c.memory_bytes)
		return false;
	/* Another thread of the job may just have given the processor up. */
	if (!wait_turn(d, job))
		return false;
	pg_schedule_pause(d->schedule, job, bytes, what == PG_WANT_GROWTH);
	give_up(d);
	return wait_turn(d, job) && pg_schedule_granted(d->schedule, job);
}

/* The scheduler looks at all that are out whenever it decides. */
static void on_ready(void *ctx, int pid)
{
	(void)ctx;
	(void)pid;
}

void pg_dispatch_fork(void *dispatch, int parent, int child)
{
	struct pg_dispatch *d = dispatch;

	add_member(d, child, job_of(d, parent));
}

void pg_dispatch_ended(void *dispatch, const struct pg_linux_process *p)
{
	struct pg_dispatch *d = dispatch;
	struct member *m = member_of(d, p->pid);
	struct pg_job_event e = {.kind = PG_JOB_END};
	unsigned job;

	if (!m)
		return;
	job = m->job;
	*m = d->member[--d->members];
	d->result[job].instructions += p->cpu.instructions;
	if (p->pid == d->state[job].root) {
		d->result[job].end = *p->end;
		d->result[job].ended = true;
		/* As a shell: who interrupts a job means all of them. */
		if (!p->end->exited && p->end->signal == SIGINT)
			pg_schedule_stop(d->schedule, -EINTR);
	}
	if (--d->state[job].alive)
		return;
	e.job = job;
	note(d, &e);
	pg_schedule_ended(d->schedule, job);
	if (d->baton == (int)job)
		give_up(d);
	else
		ring(d);
}

/* ---- what the schedule wants done */

static struct pg_partition_job program_of(const struct pg_dispatch *d, unsigned job)
{
	const struct pg_job *j = &d->c.jobs->job[job];

	return (struct pg_partition_job){.path = j->argv[0],
		.argv = (const char *const *)j->argv,
		.envp = d->c.envp,
		.bytes = j->bytes,
		.in = d->c.files[job][0],
		.out = d->c.files[job][1],
		.err = d->c.files[job][2]};
}

static void keep_why(struct pg_dispatch *d, unsigned job, int error)
{
	const char *text = pg_linux_error(d->linux);

	snprintf(d->result[job].why, sizeof d->result[job].why, "%s",
		text && *text ? text : strerror(-error));
}

static void op_skip(void *ctx, uint64_t by)
{
	struct pg_dispatch *d = ctx;

	d->skipped += by;
}

static int op_size(void *ctx, unsigned job, uint64_t *bytes)
{
	struct pg_dispatch *d = ctx;
	struct pg_partition_job p = program_of(d, job);
	uint64_t needs;
	int e;

	*bytes = d->c.jobs->job[job].bytes;
	e = pg_partition_size(d->linux, &p, &needs);
	if (e)
		keep_why(d, job, e);
	else
		*bytes = needs;
	return e;
}

static int op_start(void *ctx, unsigned job)
{
	struct pg_dispatch *d = ctx;
	struct pg_partition_job p = program_of(d, job);
	int e, pid = 0;

	d->starting = (int)job;
	e = pg_partition_spawn(d->linux, &p, &pid);
	d->starting = NONE;
	if (e) {
		if (e != -ENOSPC)
			keep_why(d, job, e);
		d->state[job].queued = true;
		return e;
	}
	d->state[job].root = pid;
	add_member(d, pid, job);
	return 0;
}

static int swap_in_again(struct pg_dispatch *d, unsigned job);

/* All processes of the job, or none. */
static int op_swap_out(void *ctx, unsigned job)
{
	struct pg_dispatch *d = ctx;

	for (size_t i = 0; i < d->members; i++) {
		int e;

		if (d->member[i].job != job || d->member[i].out)
			continue;
		e = pg_partition_swap_out(d->linux, d->member[i].pid);
		if (e && e != -EALREADY) {
			(void)swap_in_again(d, job);
			return e;
		}
	}
	return 0;
}

static int swap_in_again(struct pg_dispatch *d, unsigned job)
{
	for (size_t i = 0; i < d->members; i++) {
		int e;

		if (d->member[i].job != job || !d->member[i].out)
			continue;
		e = pg_partition_swap_in(d->linux, d->member[i].pid);
		if (e && e != -EALREADY)
			return e;
	}
	return 0;
}

static int op_swap_in(void *ctx, unsigned job)
{
	struct pg_dispatch *d = ctx;
	int e = swap_in_again(d, job);

	if (e == -ENOSPC) {
		for (size_t i = 0; i < d->members; i++)
			if (d->member[i].job == job && !d->member[i].out)
				(void)!pg_partition_swap_out(d->linux, d->member[i].pid);
	} else if (e) {
		keep_why(d, job, e);
	}
	return e;
}

static uint64_t op_bytes(void *ctx, unsigned job)
{
	struct pg_dispatch *d = ctx;
	uint64_t pages = 0;

	for (size_t i = 0; i < d->members; i++) {
		struct pg_block_info info;

		if (d->member[i].job == job &&
			pg_partition_info(d->linux, d->member[i].pid, &info) == 0)
			pages += info.pages;
	}
	return pages * PG_PAGE_SIZE;
}

static bool op_compact(void *ctx)
{
	struct pg_dispatch *d = ctx;

	return pg_partition_compact(d->linux, NULL) != 0;
}

static void op_figures(void *ctx, uint64_t *free_bytes, uint64_t *largest_bytes)
{
	struct pg_dispatch *d = ctx;
	struct pg_partition_figures f;

	pg_partition_figures_of(d->linux, &f);
	*free_bytes = f.free * PG_PAGE_SIZE;
	*largest_bytes = f.largest * PG_PAGE_SIZE;
}

/* The scheduler's thread sleeps without the lock until somebody rings. */
static void sleep_until_rung(struct pg_dispatch *d)
{
	pg_partition_unlock(d->linux);
	pthread_mutex_lock(&d->m);
	while (!d->rung)
		pthread_cond_wait(&d->c_rung, &d->m);
	d->rung = false;
	pthread_mutex_unlock(&d->m);
	pg_partition_lock(d->linux);
}

static void op_kill(void *ctx, unsigned job)
{
	struct pg_dispatch *d = ctx;

	for (size_t i = d->members; i-- > 0;)
		if (d->member[i].job == job)
			(void)pg_partition_kill(d->linux, d->member[i].pid);
	while (d->state[job].alive)
		sleep_until_rung(d);
}

static void op_event(void *ctx, enum pg_job_event_kind kind, unsigned job, uint64_t bytes)
{
	struct pg_dispatch *d = ctx;
	struct pg_job_event e = {.kind = kind, .job = job, .bytes = bytes};

	if (kind == PG_JOB_REFUSE && d->state[job].root)
		return; /* a growth: the machine tells of it */
	if (kind == PG_JOB_ARRIVE)
		d->state[job].queued = true;
	if (kind == PG_JOB_REFUSE)
		d->state[job].queued = false;
	if (kind == PG_JOB_REFUSE && !*d->result[job].why)
		snprintf(d->result[job].why, sizeof d->result[job].why,
			"another job was interrupted before it could start");
	if (kind == PG_JOB_RUN || kind == PG_JOB_PAUSE)
		e.pid = d->state[job].root;
	note(d, &e);
}

static const struct pg_schedule_ops ops = {clock_of, op_skip, op_size, op_start, op_swap_out,
	op_swap_in, op_bytes, op_compact, op_figures, op_kill, op_event};

/* ---- the scheduler's thread */

static void run_all(void *ctx)
{
	struct pg_dispatch *d = ctx;

	pg_partition_lock(d->linux);
	for (;;) {
		int job = pg_schedule_next(d->schedule);

		if (job < 0)
			break;
		d->baton = job;
		pg_partition_wake(d->linux);
		while (d->baton != NONE)
			sleep_until_rung(d);
	}
	(void)clock_of(d);
	pg_partition_unlock(d->linux);
}

int pg_dispatch_run(struct pg_dispatch *d, struct pg_linux *l)
{
	const struct pg_partition_hooks hooks = {
		.ctx = d, .event = on_event, .room = on_room, .ready = on_ready, .turn = on_turn};
	int e;

	d->linux = l;
	pg_partition_set_hooks(l, &hooks);
	e = pg_schedule_create(d->c.jobs, &d->c.schedule, &ops, d, &d->schedule);
	if (e)
		return e;
	e = pg_linux_run_jobs(l, run_all, d);
	for (unsigned i = 0; i < d->c.jobs->n; i++)
		pg_schedule_job(d->schedule, i, &d->result[i].schedule);
	return e;
}

/* ---- making, asking */

int pg_dispatch_create(const struct pg_dispatch_config *c, struct pg_dispatch **out)
{
	struct pg_dispatch *d = calloc(1, sizeof *d);

	if (d) {
		d->result = calloc(c->jobs->n, sizeof *d->result);
		d->state = calloc(c->jobs->n, sizeof *d->state);
	}
	if (!d || !d->result || !d->state) {
		if (d) {
			free(d->result);
			free(d->state);
		}
		free(d);
		return -ENOMEM;
	}
	d->c = *c;
	d->baton = d->starting = NONE;
	pthread_mutex_init(&d->m, NULL);
	pthread_cond_init(&d->c_rung, NULL);
	*out = d;
	return 0;
}

void pg_dispatch_destroy(struct pg_dispatch *d)
{
	if (!d)
		return;
	pthread_cond_destroy(&d->c_rung);
	pthread_mutex_destroy(&d->m);
	pg_schedule_destroy(d->schedule);
	pg_job_log_free(&d->log);
	free(d->member);
	free(d->state);
	free(d->result);
	free(d);
}

const struct pg_job_log *pg_dispatch_log(const struct pg_dispatch *d)
{
	return &d->log;
}

const struct pg_job_result *pg_dispatch_result(const struct pg_dispatch *d, unsigned job)
{
	return &d->result[job];
}

uint64_t pg_dispatch_clock(const struct pg_dispatch *d)
{
	return d->last;
}
