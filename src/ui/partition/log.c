/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/log.c: the log of a partition machine's events.
 *
 * Called by ui/partition/dispatch.c (adds) and ui/partition/run.c (writes) through jobs.h. Calls nobody.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "ui/partition/jobs.h"

const char *const pg_job_event_names[PG_JOB_EVENTS] = {"arrive", "wait", "start", "fork", "exec",
	"grow", "migrate", "move", "swap-out", "swap-in", "pause", "limit", "free", "end", "refuse",
	"run"};

void pg_job_log_add(struct pg_job_log *log, const struct pg_job_event *e)
{
	if (log->n == log->room) {
		size_t room = log->room ? 2 * log->room : 256;
		struct pg_job_event *more = realloc(log->event, room * sizeof *more);

		if (!more) {
			log->lost = true;
			return;
		}
		log->event = more;
		log->room = room;
	}
	log->event[log->n++] = *e;
}

void pg_job_log_free(struct pg_job_log *log)
{
	free(log->event);
	*log = (struct pg_job_log){0};
}

void pg_job_log_write(const struct pg_job_log *log, const struct pg_jobs *jobs, FILE *out)
{
	for (size_t i = 0; i < log->n; i++) {
		const struct pg_job_event *e = &log->event[i];

		fprintf(out, "clock=%" PRIu64 " event=%s job=%s", e->clock,
			pg_job_event_names[e->kind], jobs->job[e->job].name);
		if (e->pid)
			fprintf(out, " pid=%d", e->pid);
		if (e->bytes)
			fprintf(out, " base=0x%" PRIx64 " bytes=%" PRIu64, e->base, e->bytes);
		if (e->was_bytes)
			fprintf(out, " was-base=0x%" PRIx64 " was-bytes=%" PRIu64, e->was_base,
				e->was_bytes);
		if (e->kind == PG_JOB_LIMIT)
			fprintf(out, " address=0x%" PRIx64, e->address);
		fprintf(out,
			" free=%" PRIu64 " largest=%" PRIu64 " holes=%" PRIu64 " blocks=%" PRIu64
			" waiting=%" PRIu64 " out=%" PRIu64 "\n",
			e->free_bytes, e->largest_bytes, e->holes, e->blocks, e->waiting, e->out);
	}
}
