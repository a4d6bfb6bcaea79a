/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/jobs.h: jobs for a partition machine, what happened to them, and how that is drawn.
 *
 * Included by the files of ui/partition/ and their tests. Three parts that know nothing of each other but these structs: the job
 * file (jobs.c), the log of events (log.c), the drawings of a log (timeline.c).
 *
 *   clock   instructions that all guests together have executed, and what was skipped while nobody was there. It is the only
 *           time here, so that a run repeats exactly.
 *   job     a line of the job file; its processes are the one that was started and all that it forked.
 */
#ifndef PG_UI_PARTITION_JOBS_H
#define PG_UI_PARTITION_JOBS_H

#include <stdio.h>

#include "base/types.h"

#define PG_JOBS_MOST 1000u
#define PG_JOB_PRIORITIES 10u /* 0 .. 9, 9 the most urgent */

/* ---- jobs */

struct pg_job {
	char *name;           /* owned; unique */
	unsigned line;        /* of the file, from 1 */
	uint64_t arrives;     /* clock */
	uint64_t bytes;       /* of its block; 0: what the program needs */
	unsigned priority;    /* below PG_JOB_PRIORITIES */
	char *in, *out, *err; /* owned; files to be its 0, 1 and 2; NULL: Pagoda's own */
	char **argv;          /* owned, NULL-ended; at least the program */
};

struct pg_jobs {
	struct pg_job *job; /* owned: [n], in the order of the file */
	size_t n;
};

/*
 * Reads a job file; docs/partitions.md has the grammar. 0; or -EINVAL, -ENOMEM or what the host says, and `error` is one line that names
 * the file and the line. *out is to be freed either way.
 */
PG_MUST_CHECK int pg_jobs_read(const char *path, struct pg_jobs *out, char *error, size_t room);
void pg_jobs_free(struct pg_jobs *j);
/* A number of instructions: a whole number, or of thousands, millions or billions (20M). False: none. */
bool pg_jobs_clock(const char *text, uint64_t *out);

/* ---- the log */

enum pg_job_event_kind {
	PG_JOB_ARRIVE, /* it joined the queue */
	PG_JOB_WAIT,   /* it cannot start now: it stays in the queue */
	PG_JOB_START,  /* it got a block, and its program was loaded */
	PG_JOB_FORK,   /* a copy of one of its processes got a block */
	PG_JOB_EXEC, /* one of its processes got another block for another program; the old one is given back behind it */
	PG_JOB_GROW, /* a block got the memory behind it */
	PG_JOB_MIGRATE,  /* a block grew elsewhere */
	PG_JOB_MOVE,     /* compaction moved a block down */
	PG_JOB_SWAP_OUT, /* a block went to the store */
	PG_JOB_SWAP_IN,  /* it came back */
	PG_JOB_PAUSE,    /* a process wants to grow, and waits for room */
	PG_JOB_LIMIT,    /* an access beyond the limit */
	PG_JOB_FREE,     /* a block was given back */
	PG_JOB_END,      /* the job's last process is over */
	PG_JOB_REFUSE,   /* it can never run; or a process may not grow */
	PG_JOB_RUN,      /* it has the processor from now on */
	PG_JOB_EVENTS,
};

/* "arrive", "wait", "start", ... as the names above, in small letters, with '-' for '_'. */
extern const char *const pg_job_event_names[PG_JOB_EVENTS];

struct pg_job_event {
	uint64_t clock;
	enum pg_job_event_kind kind;
	unsigned job; /* index in the jobs */
	int pid;      /* of the process; 0: it has none yet, or the job is meant */
	uint64_t base,
		bytes; /* the block after it, in memory; or 0 and the bytes that are wanted */
	uint64_t was_base, was_bytes; /* before it; bytes 0: it was not in memory */
	uint64_t address;             /* limit: what was accessed */
	/* Of the machine, after it. */
	uint64_t free_bytes, largest_bytes;
	uint64_t holes, blocks, waiting,
		out; /* waiting: jobs in the queue; out: blocks in the store */
};

struct pg_job_log {
	struct pg_job_event *event; /* owned: [n], by clock */
	size_t n, room;
	bool lost; /* there was no memory for all */
};

void pg_job_log_add(struct pg_job_log *log, const struct pg_job_event *e);
void pg_job_log_free(struct pg_job_log *log);
/* A line for each event: "clock=120 event=swap-out job=sort pid=1000 ...". */
void pg_job_log_write(const struct pg_job_log *log, const struct pg_jobs *jobs, FILE *out);

/* ---- drawings */

/* Memory as a bar of characters after each event, at most `rows` of them, with the queue and who is in the store. */
void pg_timeline_text(const struct pg_job_log *log, const struct pg_jobs *jobs,
	uint64_t memory_bytes, size_t rows, FILE *out);
/* Memory over time as rectangles, below it what each job did, and free memory. `end`: the last clock. -ENOMEM. */
PG_MUST_CHECK int pg_timeline_svg(const struct pg_job_log *log, const struct pg_jobs *jobs,
	uint64_t memory_bytes, uint64_t end, FILE *out);

#endif
