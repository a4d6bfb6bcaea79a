/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/report.c: what became of the jobs of `pagoda partition run`, as text and as JSON.
 *
 * Called by ui/partition/run.c. Calls ui/write/table.h, ui/write/json.h and timeline.c. Owns nothing.
 */
#include <string.h>

#include "ui/partition/internal.h"
#include "ui/write/format.h"
#include "ui/write/json.h"
#include "ui/write/table.h"

#define WIDE 140

static uint64_t count_of(const struct pg_partition_report *r, enum pg_job_event_kind kind)
{
	const struct pg_job_log *log = pg_dispatch_log(r->dispatch);
	uint64_t n = 0;

	for (size_t i = 0; i < log->n; i++)
		n += log->event[i].kind == kind;
	return n;
}

/* When the job came into the queue; what it says is when it was to come. */
static uint64_t arrival_of(const struct pg_partition_report *r, unsigned job)
{
	const struct pg_job_log *log = pg_dispatch_log(r->dispatch);

	for (size_t i = 0; i < log->n; i++)
		if (log->event[i].kind == PG_JOB_ARRIVE && log->event[i].job == job)
			return log->event[i].clock;
	return r->jobs->job[job].arrives;
}

/* "exit 0", "SIGSEGV", "refused". */
static const char *ending(const struct pg_job_result *j, char *text, size_t room)
{
	const char *name;

	if (j->schedule.refused) {
		snprintf(text, room, "refused");
	} else if (!j->ended) {
		snprintf(text, room, "did not end");
	} else if (j->end.exited) {
		snprintf(text, room, "exit %d", j->end.code);
	} else {
		name = sigabbrev_np(j->end.signal);
		snprintf(text, room, "SIG%s", name ? name : "?");
		if (!name)
			snprintf(text, room, "signal %d", j->end.signal);
	}
	return text;
}

static void write_jobs(const struct pg_partition_report *r, FILE *out)
{
	static const char *const head[] = {"priority", "size", "arrives", "starts", "waits", "ends",
		"slices", "to store", "instructions", "job"};
	struct pg_text_table t;
	char text[9][PG_FORMAT_BYTES], end[40], last[PG_FORMAT_BYTES + 40];

	pg_table_init(&t, 10, WIDE);
	pg_table_add(&t, head);
	for (unsigned i = 0; i < r->jobs->n; i++) {
		const struct pg_job_result *j = pg_dispatch_result(r->dispatch, i);
		const struct pg_schedule_job *s = &j->schedule;
		uint64_t arrival = arrival_of(r, i);
		bool ran = !s->refused;
		const char *cells[10] = {text[0],
			s->bytes ? pg_format_size(s->bytes, text[1]) : "-",
			pg_format_count(arrival, text[2]),
			ran ? pg_format_count(s->started, text[3]) : "-",
			ran ? pg_format_count(s->started - arrival, text[4]) : "-",
			ran ? pg_format_count(s->ended, text[5]) : "-",
			pg_format_count(s->slices, text[6]), pg_format_count(s->swaps, text[7]),
			pg_format_count(j->instructions, text[8]), last};

		snprintf(text[0], sizeof text[0], "%u", r->jobs->job[i].priority);
		snprintf(last, sizeof last, "%s: %s", r->jobs->job[i].name,
			ending(j, end, sizeof end));
		pg_table_add(&t, cells);
	}
	pg_table_write(&t, out);
	for (unsigned i = 0; i < r->jobs->n; i++)
		if (pg_dispatch_result(r->dispatch, i)->schedule.refused)
			fprintf(out, "%s is refused: %s\n", r->jobs->job[i].name,
				pg_dispatch_result(r->dispatch, i)->why);
}

void pg_partition_report_text(const struct pg_partition_report *r, FILE *out)
{
	static const struct {
		enum pg_job_event_kind kind;
		const char *name;
	} kinds[] = {{PG_JOB_WAIT, "waits"}, {PG_JOB_GROW, "grown in place"},
		{PG_JOB_MIGRATE, "migrated"}, {PG_JOB_PAUSE, "paused to grow"},
		{PG_JOB_MOVE, "moved by compaction"}, {PG_JOB_SWAP_OUT, "swapped out"},
		{PG_JOB_SWAP_IN, "swapped in"}, {PG_JOB_REFUSE, "refused"},
		{PG_JOB_LIMIT, "beyond the limit"}};
	char text[4][PG_FORMAT_BYTES];

	fprintf(out, "%zu jobs on %s, %s-fit, %s%s%s, slices of %s; %s instructions in all\n\n",
		r->jobs->n, pg_format_size(r->memory_bytes, text[0]),
		pg_partition_fit_names[r->fit], r->store ? "store " : "no store",
		r->store ? r->store : "", r->schedule.compact ? ", compaction" : "",
		pg_format_count(r->schedule.slice, text[1]),
		pg_format_count(pg_dispatch_clock(r->dispatch), text[2]));
	write_jobs(r, out);
	fputc('\n', out);
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		fprintf(out, "%s%s %s", i ? ", " : "",
			pg_format_count(count_of(r, kinds[i].kind), text[0]), kinds[i].name);
	fputc('\n', out);
	if (r->rows) {
		fputc('\n', out);
		pg_timeline_text(
			pg_dispatch_log(r->dispatch), r->jobs, r->memory_bytes, r->rows, out);
	}
}

/* ---- JSON */

static void write_job(struct pg_json *j, const struct pg_partition_report *r, unsigned i)
{
	const struct pg_job *job = &r->jobs->job[i];
	const struct pg_job_result *x = pg_dispatch_result(r->dispatch, i);
	const struct pg_schedule_job *s = &x->schedule;
	bool ran = !s->refused;
	uint64_t arrival = arrival_of(r, i);

	pg_json_open(j, NULL, '{');
	pg_json_string(j, "name", job->name);
	pg_json_open(j, "command", '[');
	for (char **a = job->argv; *a; a++)
		pg_json_string(j, NULL, *a);
	pg_json_close(j, ']');
	pg_json_number(j, "priority", job->priority);
	pg_json_number_if(j, "bytes", s->bytes, s->bytes != 0);
	pg_json_boolean(j, "refused", s->refused);
	pg_json_string(j, "why", s->refused ? x->why : NULL);
	pg_json_number(j, "arrives", arrival);
	pg_json_number_if(j, "starts", s->started, ran);
	pg_json_number_if(j, "waits", s->started - arrival, ran);
	pg_json_number_if(j, "ends", s->ended, ran);
	pg_json_number_if(j, "exit", (uint64_t)x->end.code, x->ended && x->end.exited);
	pg_json_number_if(j, "signal", (uint64_t)x->end.signal, x->ended && !x->end.exited);
	pg_json_number(j, "slices", s->slices);
	pg_json_number(j, "swaps", s->swaps);
	pg_json_number(j, "instructions", x->instructions);
	pg_json_number(j, "processes", x->processes);
	pg_json_close(j, '}');
}

static void write_event(
	struct pg_json *j, const struct pg_partition_report *r, const struct pg_job_event *e)
{
	bool was = e->was_bytes != 0;

	pg_json_open(j, NULL, '{');
	pg_json_number(j, "clock", e->clock);
	pg_json_string(j, "event", pg_job_event_names[e->kind]);
	pg_json_string(j, "job", r->jobs->job[e->job].name);
	pg_json_number_if(j, "pid", (uint64_t)e->pid, e->pid != 0);
	pg_json_number_if(j, "base", e->base, e->bytes != 0);
	pg_json_number_if(j, "bytes", e->bytes, e->bytes != 0);
	pg_json_number_if(j, "was_base", e->was_base, was);
	pg_json_number_if(j, "was_bytes", e->was_bytes, was);
	if (e->kind == PG_JOB_LIMIT)
		pg_json_address(j, "address", e->address);
	pg_json_number(j, "free_bytes", e->free_bytes);
	pg_json_number(j, "largest_hole_bytes", e->largest_bytes);
	pg_json_number(j, "holes", e->holes);
	pg_json_number(j, "blocks", e->blocks);
	pg_json_number(j, "waiting", e->waiting);
	pg_json_number(j, "out", e->out);
	pg_json_close(j, '}');
}

int pg_partition_report_json(const struct pg_partition_report *r, const char *path)
{
	const struct pg_job_log *log = pg_dispatch_log(r->dispatch);
	struct pg_output o = {.path = path};
	int status = pg_output_begin("partition", &o);
	struct pg_json j;

	if (status)
		return status;
	j = pg_json_begin(o.file, 1);
	pg_json_string(&j, "job_file", r->job_file);
	pg_json_number(&j, "memory_bytes", r->memory_bytes);
	pg_json_string(&j, "fit", pg_partition_fit_names[r->fit]);
	pg_json_string(&j, "swap", r->store);
	pg_json_boolean(&j, "compact", r->schedule.compact);
	pg_json_boolean(&j, "backfill", r->schedule.backfill);
	pg_json_number(&j, "slice", r->schedule.slice);
	pg_json_number(&j, "clock", pg_dispatch_clock(r->dispatch));
	pg_json_open(&j, "jobs", '[');
	for (unsigned i = 0; i < r->jobs->n; i++)
		write_job(&j, r, i);
	pg_json_close(&j, ']');
	pg_json_open(&j, "counts", '{');
	for (unsigned k = 0; k < PG_JOB_EVENTS; k++)
		pg_json_number(&j, pg_job_event_names[k], count_of(r, k));
	pg_json_close(&j, '}');
	pg_json_open(&j, "events", '[');
	for (size_t i = 0; i < log->n; i++)
		write_event(&j, r, &log->event[i]);
	pg_json_close(&j, ']');
	pg_json_end(&j);
	return pg_output_end("partition", &o);
}

int pg_partition_report_status(const struct pg_partition_report *r)
{
	for (unsigned i = 0; i < r->jobs->n; i++) {
		const struct pg_job_result *j = pg_dispatch_result(r->dispatch, i);

		if (j->schedule.refused || !j->ended || !j->end.exited || j->end.code != 0)
			return 1;
	}
	return 0;
}
