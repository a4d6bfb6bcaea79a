/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/dispatch.h: runs the jobs of a job file on a machine of blocks.
 *
 * Called by ui/partition/run.c. Calls linux/partition.h and ui/partition/schedule.h.
 */
#ifndef PG_UI_PARTITION_DISPATCH_H
#define PG_UI_PARTITION_DISPATCH_H

#include "linux/partition.h"
#include "ui/partition/jobs.h"
#include "ui/partition/schedule.h"

/* What became of a job. */
struct pg_job_result {
	struct pg_schedule_job schedule;
	char why[256]; /* it was refused: a sentence */
	bool ended;    /* `end` is that of its first process */
	struct pg_linux_end end;
	uint64_t instructions; /* of all its processes */
	uint64_t processes;
};

struct pg_dispatch_config {
	const struct pg_jobs *jobs;
	const int (*files)[3]; /* [jobs->n]: descriptors for 0, 1 and 2, or -1 */
	const char *const *envp;
	struct pg_schedule_options schedule;
	uint64_t memory_bytes;
};

struct pg_dispatch;

/* All borrowed for its life. -ENOMEM. The hooks are to be set at the machine's making, with it as their ctx. */
PG_MUST_CHECK int pg_dispatch_create(const struct pg_dispatch_config *c, struct pg_dispatch **out);
void pg_dispatch_destroy(struct pg_dispatch *d);
/* For struct pg_linux_hooks. */
void pg_dispatch_fork(void *dispatch, int parent, int child);
void pg_dispatch_ended(void *dispatch, const struct pg_linux_process *p);
/* Runs all jobs on l to their end. As pg_linux_run_jobs(). */
PG_MUST_CHECK int pg_dispatch_run(struct pg_dispatch *d, struct pg_linux *l);

const struct pg_job_log *pg_dispatch_log(const struct pg_dispatch *d);
const struct pg_job_result *pg_dispatch_result(const struct pg_dispatch *d, unsigned job);
/* The clock at the end. */
uint64_t pg_dispatch_clock(const struct pg_dispatch *d);

#endif
