/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/schedule.h: which job is in memory, and which one has the processor.
 *
 * Called by ui/partition/dispatch.c. Calls the machine through struct pg_schedule_ops, which a test can fake, and
 * frame/partition_queue.h. Decides; it knows no threads, processes or programs.
 *
 * One job has the processor at a time. At a point where it could give it up, pg_schedule_over() says whether it is to; then nobody runs, and
 * pg_schedule_next() admits who arrived, makes room, and says who is next:
 *
 *   future -> queued -> ready <-> out         ready: in memory; out: in the store
 *                         |  \
 *                         |   paused          wants to grow; in memory or in the store
 *                         over
 *
 * Candidates are asked in order of priority, of equals who has not run for longest (who never ran: since it arrived). Who is not
 * in memory gets there: into a hole; else, with options.compact, after compaction; else, with options.swap, others of no higher
 * priority go to the store, the lowest priority first, of equals who ran last: it comes again last.
 */
#ifndef PG_UI_PARTITION_SCHEDULE_H
#define PG_UI_PARTITION_SCHEDULE_H

#include "base/types.h"
#include "ui/partition/jobs.h"

/* All are called by pg_schedule_* only, while no job runs. */
struct pg_schedule_ops {
	uint64_t (*clock)(void *ctx);
	/* Nobody is there until later: the clock jumps. */
	void (*skip)(void *ctx, uint64_t by);
	/* How large the job's block would be. -EFBIG: larger than the memory; other errors: it cannot be started at all. */
	int (*size)(void *ctx, unsigned job, uint64_t *bytes);
	/* -ENOSPC: no hole, nothing has happened; other errors: it cannot be started. */
	int (*start)(void *ctx, unsigned job);
	/* All blocks of the job. Errors: at least one stays in memory. */
	int (*swap_out)(void *ctx, unsigned job);
	/* All blocks of the job, with what a paused one wants. -ENOSPC: no hole, all are out; other errors: it is lost. */
	int (*swap_in)(void *ctx, unsigned job);
	/* Of all blocks of a job that is started, in memory or not. */
	uint64_t (*bytes)(void *ctx, unsigned job);
	/* False: nothing could be moved. */
	bool (*compact)(void *ctx);
	void (*figures)(void *ctx, uint64_t *free_bytes, uint64_t *largest_bytes);
	/* A job that is started cannot go on: it is ended. pg_schedule_ended() was called when this returns. */
	void (*kill)(void *ctx, unsigned job);
	/* For the log: arrive, wait, pause, refuse, run; bytes: that are wanted. */
	void (*event)(void *ctx, enum pg_job_event_kind kind, unsigned job, uint64_t bytes);
};

struct pg_schedule_options {
	bool compact, swap;
	bool backfill; /* without swap: the first in the queue that fits starts, not only the very first */
	uint64_t slice; /* instructions until others have their turn; more than 0 */
};

struct pg_schedule;

/* jobs, ops: borrowed. -ENOMEM. */
PG_MUST_CHECK int pg_schedule_create(const struct pg_jobs *jobs,
	const struct pg_schedule_options *options, const struct pg_schedule_ops *ops, void *ctx,
	struct pg_schedule **out);
void pg_schedule_destroy(struct pg_schedule *s);

/* Nobody runs. Who is next; -1: all jobs are over. */
int pg_schedule_next(struct pg_schedule *s);
/* Whether the job that runs is to give up the processor: its slice is over, or somebody arrived. */
bool pg_schedule_over(const struct pg_schedule *s, uint64_t clock);
/*
 * The job that runs wants `bytes` in one piece and has given the processor up. grows: in place of the block that it has, which
 * swap_in() then gives it; else beside it.
 */
void pg_schedule_pause(struct pg_schedule *s, unsigned job, uint64_t bytes, bool grows);
/* The job that runs again after a pause: whether it may look for room again; false: it is refused. */
bool pg_schedule_granted(const struct pg_schedule *s, unsigned job);
/* The last process of a job is over. */
void pg_schedule_ended(struct pg_schedule *s, unsigned job);

/* Nobody starts any more: who has not is refused with `error` at the next decision, arrived or not. */
void pg_schedule_stop(struct pg_schedule *s, int error);

struct pg_schedule_job {
	bool refused;            /* never started */
	int error;               /* why; 0: it was not */
	uint64_t bytes;          /* of its first block */
	uint64_t started, ended; /* clock; 0 if it never did */
	uint64_t slices;         /* times it got the processor */
	uint64_t swaps;          /* times it went to the store */
};
void pg_schedule_job(const struct pg_schedule *s, unsigned job, struct pg_schedule_job *out);

#endif
