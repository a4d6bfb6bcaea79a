/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/schedule.c: see schedule.h.
 *
 *   next -> arrivals join the queue -> (without swap) the queue starts as far as it fits
 *        -> candidates in order: in memory? run. Else make room: hole, compaction, swap others out -> run
 *        -> none: who is paused is refused; nobody there: the clock jumps to the next arrival
 *
 * Owns the states of the jobs. Jobs are at most PG_JOBS_MOST, so they are gone through one by one.
 *
 * Invariants:
 *   PS1 a job is started once, and runs only while it is ready.
 *   PS2 nobody goes to the store for a job of lower priority.
 *   PS3 with every call of pg_schedule_next a job runs, or is over, or time passes: no two jobs put each other out for ever
 *       without either running in between.
 */
#include "ui/partition/schedule.h"

#include <errno.h>
#include <stdlib.h>

enum state { FUTURE, QUEUED, READY, OUT, OVER };

struct entry {
	enum state state;
	bool paused;      /* ready or out: wants `wanted` bytes */
	bool grows;       /* paused: in place of its block */
	bool refused;     /* the growth is refused */
	bool told;        /* the log knows that it waits */
	uint64_t bytes;   /* of its first block */
	uint64_t wanted;  /* while paused */
	uint64_t changes; /* pg_schedule.changes when it looked for room last */
	uint64_t turn;    /* number of the turn it had last, or of its arrival */
	bool again; /* it has the processor to look for room once more, and its place in the order */
	uint64_t turn_before; /* was this, if it finds none */
	bool shifted;         /* paused: it went out and in again, to make room beside itself */
	struct pg_schedule_job figures;
};

struct pg_schedule {
	const struct pg_jobs *jobs;
	const struct pg_schedule_ops *ops;
	void *ctx;
	struct pg_schedule_options options;
	struct entry *entry;   /* owned: [jobs->n] */
	int running;           /* who had the processor last and is still ready; -1: nobody */
	uint64_t slice_end;    /* clock */
	uint64_t next_arrival; /* clock; UINT64_MAX: none */
	uint64_t turns;        /* and arrivals, counted */
	uint64_t changes;      /* counts what makes room */
	uint64_t clock;        /* at the last decision; and how many there were since then */
	uint64_t stalls;
	int stopped; /* error; 0: no */
};

int pg_schedule_create(const struct pg_jobs *jobs, const struct pg_schedule_options *options,
	const struct pg_schedule_ops *ops, void *ctx, struct pg_schedule **out)
{
	struct pg_schedule *s = calloc(1, sizeof *s);

	if (s)
		s->entry = calloc(jobs->n, sizeof *s->entry);
	if (!s || !s->entry) {
		free(s);
		return -ENOMEM;
	}
	s->jobs = jobs;
	s->ops = ops;
	s->ctx = ctx;
	s->options = *options;
	s->running = -1;
	*out = s;
	return 0;
}

void pg_schedule_destroy(struct pg_schedule *s)
{
	if (!s)
		return;
	free(s->entry);
	free(s);
}

static unsigned priority(const struct pg_schedule *s, unsigned job)
{
	return s->jobs->job[job].priority;
}

/* Whether a is asked before b. */
static bool before(const struct pg_schedule *s, unsigned a, unsigned b)
{
	if (priority(s, a) != priority(s, b))
		return priority(s, a) > priority(s, b);
	return s->entry[a].turn < s->entry[b].turn;
}

static void refuse_job(struct pg_schedule *s, unsigned job, int error)
{
	struct entry *e = &s->entry[job];

	e->state = OVER;
	e->figures.refused = true;
	e->figures.error = error;
	s->ops->event(s->ctx, PG_JOB_REFUSE, job, e->bytes);
}

/* ---- arrivals */

static void arrive(struct pg_schedule *s, unsigned job)
{
	struct entry *e = &s->entry[job];
	int error;

	e->state = QUEUED;
	e->turn = ++s->turns;
	error = s->ops->size(s->ctx, job, &e->bytes);
	e->figures.bytes = e->bytes;
	s->ops->event(s->ctx, PG_JOB_ARRIVE, job, e->bytes);
	if (error)
		refuse_job(s, job, error);
}

static void refuse_all(struct pg_schedule *s)
{
	for (unsigned i = 0; i < s->jobs->n; i++)
		if (s->entry[i].state == FUTURE || s->entry[i].state == QUEUED)
			refuse_job(s, i, s->stopped);
}

/* Those whose time has come, the earliest first, of equals by the file. Sets next_arrival. */
static void take_arrivals(struct pg_schedule *s, uint64_t clock)
{
	for (;;) {
		int first = -1;

		for (unsigned i = 0; i < s->jobs->n; i++)
			if (s->entry[i].state == FUTURE &&
				(first < 0 ||
					s->jobs->job[i].arrives < s->jobs->job[first].arrives))
				first = (int)i;
		s->next_arrival = first < 0 ? UINT64_MAX : s->jobs->job[first].arrives;
		if (first < 0 || s->next_arrival > clock)
			return;
		arrive(s, (unsigned)first);
	}
}

/* ---- room */

static uint64_t largest(const struct pg_schedule *s)
{
	uint64_t all, most;

	s->ops->figures(s->ctx, &all, &most);
	return most;
}

/* Tries to get the job into memory, or a paused one in memory to its room. 0, -ENOSPC, or another error: it cannot be at all. */
static int try_in(struct pg_schedule *s, unsigned job)
{
	struct entry *e = &s->entry[job];
	int error;

	if (e->state == READY)
		return !e->paused || largest(s) >= e->wanted ? 0 : -ENOSPC;
	if (e->state == QUEUED && largest(s) < e->bytes)
		return -ENOSPC;
	error = e->state == QUEUED ? s->ops->start(s->ctx, job) : s->ops->swap_in(s->ctx, job);
	if (error)
		return error;
	if (e->state == QUEUED)
		e->figures.started = s->ops->clock(s->ctx);
	e->state = READY;
	return 0;
}

/* What the job needs in memory that is free. */
static uint64_t need(const struct pg_schedule *s, unsigned job)
{
	const struct entry *e = &s->entry[job];

	if (e->paused)
		return e->wanted;
	return e->state == QUEUED ? e->bytes : s->ops->bytes(s->ctx, job);
}

static bool put_out(struct pg_schedule *s, unsigned job)
{
	struct entry *e = &s->entry[job];

	if (s->ops->swap_out(s->ctx, job) != 0)
		return false;
	e->state = OUT;
	e->figures.swaps++;
	s->changes++;
	return true;
}

/* Who is to go to the store for the job: not tried yet, of no higher priority. -1: nobody. */
static int victim_for(const struct pg_schedule *s, unsigned job, const bool *tried)
{
	int found = -1;

	for (unsigned i = 0; i < s->jobs->n; i++)
		if (i != job && s->entry[i].state == READY && !tried[i] &&
			priority(s, i) <= priority(s, job) &&
			(found < 0 || before(s, (unsigned)found, i)))
			found = (int)i;
	return found;
}

/* Whether all that may go for it would free enough. */
static bool worth_it(const struct pg_schedule *s, unsigned job)
{
	uint64_t all, most;

	s->ops->figures(s->ctx, &all, &most);
	for (unsigned i = 0; i < s->jobs->n; i++)
		if (s->entry[i].state == READY && priority(s, i) <= priority(s, job))
			all += s->ops->bytes(s->ctx, i);
	return all >= need(s, job);
}

/* The job gets into memory, if compaction and the store can do it. 0, -ENOSPC, or another error: it cannot be at all. */
static int make_room(struct pg_schedule *s, unsigned job)
{
	struct entry *e = &s->entry[job];
	bool tried[PG_JOBS_MOST] = {false}, compacted = false;
	int error = try_in(s, job);

	while (error == -ENOSPC) {
		uint64_t all, most;
		int victim = -1;

		s->ops->figures(s->ctx, &all, &most);
		if (s->options.compact && !compacted && all >= need(s, job)) {
			compacted = true;
			if (s->ops->compact(s->ctx)) {
				s->changes++;
				error = try_in(s, job);
				continue;
			}
		}
		if (s->options.swap && worth_it(s, job))
			victim = victim_for(s, job, tried);
		/* Its own block is in the way, and it has looked whether there is room with it where it is. */
		if (victim < 0 && s->options.swap && e->paused && e->state == READY &&
			!tried[job] && e->changes == s->changes && (e->grows || !e->shifted)) {
			e->shifted = true;
			victim = (int)job;
		}
		if (victim < 0)
			return error;
		tried[victim] = true;
		if (put_out(s, (unsigned)victim)) {
			compacted = false;
			error = try_in(s, job);
		}
	}
	return error;
}

/* A job that is not in memory can never be there. */
static void give_up(struct pg_schedule *s, unsigned job, int error)
{
	struct entry *e = &s->entry[job];

	if (e->state == QUEUED) {
		refuse_job(s, job, error);
		return;
	}
	e->figures.error = error;
	s->ops->kill(s->ctx, job);
}

/* ---- who is next */

/* The candidate that is asked after `last` (-1: the first); -1: no more. */
static int candidate_after(const struct pg_schedule *s, int last)
{
	int found = -1;

	for (unsigned i = 0; i < s->jobs->n; i++) {
		enum state state = s->entry[i].state;

		if (state == FUTURE || state == OVER || (int)i == last ||
			(last >= 0 && !before(s, (unsigned)last, i)))
			continue;
		if (found < 0 || before(s, i, (unsigned)found))
			found = (int)i;
	}
	return found;
}

/* The log learns of those who must wait now. */
static void tell_waits(struct pg_schedule *s)
{
	for (int c = candidate_after(s, -1); c >= 0; c = candidate_after(s, c)) {
		struct entry *e = &s->entry[c];

		if (e->state != QUEUED || e->told)
			continue;
		e->told = true;
		s->ops->event(s->ctx, PG_JOB_WAIT, (unsigned)c, e->bytes);
	}
}

/* All who fit come in, without putting anybody out; the queue in its order. */
static void admit(struct pg_schedule *s)
{
	bool blocked = false;

	for (int c = candidate_after(s, -1); c >= 0; c = candidate_after(s, c)) {
		struct entry *e = &s->entry[c];
		uint64_t all, most;
		int error;

		blocked = blocked || (e->state == READY && e->paused);
		if (e->state == READY || blocked)
			continue;
		error = try_in(s, (unsigned)c);
		s->ops->figures(s->ctx, &all, &most);
		if (error == -ENOSPC && s->options.compact && all >= need(s, (unsigned)c) &&
			s->ops->compact(s->ctx)) {
			s->changes++;
			error = try_in(s, (unsigned)c);
		}
		if (error == -ENOSPC)
			blocked = blocked || !s->options.backfill;
		else if (error)
			give_up(s, (unsigned)c, error);
	}
}

static int run(struct pg_schedule *s, unsigned job, uint64_t clock)
{
	struct entry *e = &s->entry[job];

	e->again = e->paused;
	e->turn_before = e->turn;
	if (s->running != (int)job || clock >= s->slice_end) {
		s->slice_end = clock + s->options.slice;
		e->figures.slices++;
		e->turn = ++s->turns;
	}
	if (s->running != (int)job)
		s->ops->event(s->ctx, PG_JOB_RUN, job, 0);
	s->running = (int)job;
	e->changes = s->changes;
	e->paused = false;
	return (int)job;
}

/* Who runs, after making room for it if need be; -1: nobody can. */
static int choose(struct pg_schedule *s)
{
	uint64_t clock = s->ops->clock(s->ctx);

	/* Who runs goes on until its slice is over, unless somebody more urgent came. */
	if (s->running >= 0 && clock < s->slice_end) {
		struct entry *e = &s->entry[s->running];
		int first = candidate_after(s, -1);

		if (e->state == READY && !e->paused && first >= 0 &&
			priority(s, (unsigned)first) <= priority(s, (unsigned)s->running))
			return run(s, (unsigned)s->running, clock);
	}
	for (int c = candidate_after(s, -1); c >= 0;) {
		struct entry *e = &s->entry[c];
		int error, last = c;

		/* Something has changed since it looked: a hole behind it may have come, which only it can use. */
		if (e->state == READY && e->paused && e->changes != s->changes)
			return run(s, (unsigned)c, clock);
		error = e->state == QUEUED && !s->options.swap ? -ENOSPC
							       : make_room(s, (unsigned)c);
		if (error == 0 || (error == -ENOSPC && e->state == READY && e->paused &&
					  e->changes != s->changes))
			return run(s, (unsigned)c, clock);
		if (error != -ENOSPC)
			give_up(s, (unsigned)c, error);
		c = candidate_after(s, last);
	}
	return -1;
}

/* Jobs take room from each other, and none of them gets enough to go on. */
static bool stalls(struct pg_schedule *s, uint64_t clock)
{
	if (clock != s->clock)
		s->stalls = 0;
	s->clock = clock;
	return ++s->stalls > 3 * s->jobs->n + 8;
}

/*
 * Nobody can run, and nobody will make room: the last of those that want to grow is refused. -1: there is none.
 */
static int break_tie(struct pg_schedule *s)
{
	int last = -1;

	for (int c = candidate_after(s, -1); c >= 0; c = candidate_after(s, c))
		if (s->entry[c].state == READY && s->entry[c].paused)
			last = c;
	if (last < 0)
		return -1;
	s->entry[last].refused = true;
	s->ops->event(s->ctx, PG_JOB_REFUSE, (unsigned)last, s->entry[last].wanted);
	return run(s, (unsigned)last, s->ops->clock(s->ctx));
}

int pg_schedule_next(struct pg_schedule *s)
{
	for (;;) {
		uint64_t clock = s->ops->clock(s->ctx);
		int job;

		if (s->stopped)
			refuse_all(s);
		take_arrivals(s, clock);
		if (stalls(s, clock) && (job = break_tie(s)) >= 0)
			return job;
		admit(s);
		job = choose(s);
		if (job >= 0 && s->options.swap && !s->entry[job].again)
			admit(s); /* beside it */
		tell_waits(s);
		if (job >= 0)
			return job;
		if (candidate_after(s, -1) >= 0) {
			job = break_tie(s);
			if (job >= 0)
				return job;
			/* Nobody is in memory, and the first cannot ever be. */
			give_up(s, (unsigned)candidate_after(s, -1), -ENOSPC);
			continue;
		}
		if (s->next_arrival == UINT64_MAX)
			return -1;
		s->ops->skip(s->ctx, s->next_arrival - clock);
	}
}

bool pg_schedule_over(const struct pg_schedule *s, uint64_t clock)
{
	return clock >= s->slice_end || clock >= s->next_arrival;
}

void pg_schedule_pause(struct pg_schedule *s, unsigned job, uint64_t bytes, bool grows)
{
	struct entry *e = &s->entry[job];

	e->paused = true;
	e->refused = false;
	if (e->again && e->wanted == bytes)
		e->turn = e->turn_before;
	else
		e->shifted = false;
	e->wanted = bytes;
	e->grows = grows;
	s->ops->event(s->ctx, PG_JOB_PAUSE, job, bytes);
}

bool pg_schedule_granted(const struct pg_schedule *s, unsigned job)
{
	return !s->entry[job].refused;
}

void pg_schedule_ended(struct pg_schedule *s, unsigned job)
{
	struct entry *e = &s->entry[job];

	e->state = OVER;
	e->figures.ended = s->ops->clock(s->ctx);
	s->changes++;
	if (s->running == (int)job)
		s->running = -1;
}

void pg_schedule_stop(struct pg_schedule *s, int error)
{
	s->stopped = error;
}

void pg_schedule_job(const struct pg_schedule *s, unsigned job, struct pg_schedule_job *out)
{
	*out = s->entry[job].figures;
}
