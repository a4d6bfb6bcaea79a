/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/run.c: `pagoda partition run`: the programs of a job file on a machine of contiguous blocks.
 *
 *   words, job file -> files of the jobs -> machine: memory, store, Linux -> dispatch.c -> report, timeline, log, JSON
 *
 * Called by ui/partition/partition.c. Owns the machine for one run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu/engine.h"
#include "mmu/base_limit.h"
#include "store/store.h"
#include "ui/partition/internal.h"
#include "ui/write/format.h"

#define LEAST_MEMORY ((uint64_t)64 << 10)
#define MOST_MEMORY ((uint64_t)1 << 40)
#define SLICE 10000000u

struct jobrun {
	/* Words. */
	uint64_t memory_bytes, heap_bytes;
	enum pg_partition_fit fit;
	bool linear;
	const char *swap; /* NULL: none */
	struct pg_schedule_options schedule;
	uint64_t rows;
	bool quiet;
	const char *job_file, *svg, *log, *json, *record; /* NULL: not wanted */
	/* The run. */
	struct pg_jobs jobs;
	int (*files)[3]; /* owned, as the descriptors in it */
	struct pg_dispatch *dispatch;
	struct pg_store *store;
	struct pg_vm *vm;
	struct pg_linux *linux;
};

void pg_partition_run_help(FILE *out)
{
	fputs("usage: pagoda partition run [OPTIONS] JOBS\n"
	      "\n"
	      "Runs the programs of a job file, each in one contiguous block behind a base and a\n"
	      "limit register, and says on standard error what became of them and of the memory.\n"
	      "A line of the file is: NAME [arrive=N] [size=SIZE] [priority=0..9] [in=FILE]\n"
	      "[out=FILE] [err=FILE] : PROGRAM [ARGUMENTS]; times are instructions, such as 20M.\n"
	      "\n"
	      "  --memory SIZE    64K to 1T, a multiple of 4K (default 64M)\n"
	      "  --fit NAME       first, next, best or worst (default first)\n"
	      "  --linear         holes on a list, as in textbooks, not in a balanced tree\n"
	      "  --heap SIZE      room for the heap in a block whose job says no size (default "
	      "1M)\n"
	      "  --compact        blocks slide down when that makes a hole large enough\n"
	      "  --swap STORE     whole processes go to this store when others are to run: SIZE "
	      "(a\n"
	      "                   swap file), zstd:SIZE, lz4:SIZE and so on, as for pagoda run\n"
	      "  --slice N        instructions until others have their turn (default 10M)\n"
	      "  --backfill       without --swap: the first in the queue that fits starts, not "
	      "only\n"
	      "                   the very first\n"
	      "  --rows N         events in the timeline that is printed, 0: none (default 60)\n"
	      "  --timeline FILE  memory and jobs over time as a drawing (SVG), to FILE\n"
	      "  --log FILE       every event, a line each, to FILE\n"
	      "  --record FILE    the jobs as a stream for partition simulate, to FILE\n"
	      "  --json FILE      all of it as JSON, to FILE\n"
	      "  --quiet          print no report\n"
	      "  --help           this text\n",
		out);
}

/* ---- words */

static int take_memory(void *ctx, const char *text)
{
	struct jobrun *r = ctx;
	uint64_t n;

	if (pg_parse_size(text, &n) != 0 || n < LEAST_MEMORY || n > MOST_MEMORY || n % PG_PAGE_SIZE)
		return pg_partition_complain(
			"--memory: '%s' is not a size from 64K to 1T, a multiple of 4K", text);
	r->memory_bytes = n;
	return 0;
}

static int take_heap(void *ctx, const char *text)
{
	struct jobrun *r = ctx;

	if (pg_parse_size(text, &r->heap_bytes) != 0 || r->heap_bytes == 0 ||
		r->heap_bytes > MOST_MEMORY)
		return pg_partition_complain("--heap: '%s' is not a size", text);
	return 0;
}

static int take_fit(void *ctx, const char *text)
{
	struct jobrun *r = ctx;

	return pg_partition_take_fit(text, strlen(text), &r->fit)
		       ? 0
		       : pg_partition_complain(
				 "--fit: there is no '%s'; there are first, next, best and worst",
				 text);
}

static int take_slice(void *ctx, const char *text)
{
	struct jobrun *r = ctx;

	if (!pg_jobs_clock(text, &r->schedule.slice) || r->schedule.slice == 0)
		return pg_partition_complain(
			"--slice: '%s' is not a number of instructions, such as 500k or 20M", text);
	return 0;
}

static int take_swap(void *ctx, const char *text)
{
	struct jobrun *r = ctx;

	r->swap = text;
	r->schedule.swap = true;
	return *text ? 0 : pg_partition_complain("--swap wants a store");
}

/* 0; -1: help was asked for, and printed; or the exit status. */
static int take_words(struct jobrun *r, int argc, char **argv)
{
	const struct pg_word options[] = {
		{"--memory", .take = take_memory},
		{"--fit", .take = take_fit},
		{"--linear", .flag = &r->linear},
		{"--heap", .take = take_heap},
		{"--compact", .flag = &r->schedule.compact},
		{"--swap", .take = take_swap},
		{"--slice", .take = take_slice},
		{"--backfill", .flag = &r->schedule.backfill},
		{"--rows", .number = &r->rows, .most = 1000000},
		{"--timeline", .file = &r->svg},
		{"--log", .file = &r->log},
		{"--record", .file = &r->record},
		{"--json", .file = &r->json},
		{"--quiet", .flag = &r->quiet},
	};
	struct pg_words rest;
	int status = pg_words_take("partition", options, sizeof options / sizeof options[0], r,
		false, pg_partition_run_help, argc, argv, &rest);

	if (!status && rest.count != 1)
		status = pg_partition_complain(
			"run: %s", rest.count == 0 ? "the job file is missing"
						   : "options go before the one job file");
	if (!status && r->schedule.backfill && r->schedule.swap)
		status = pg_partition_complain(
			"--backfill has no meaning with --swap: whose turn it is gets room");
	if (!status)
		r->job_file = rest.words[0];
	pg_words_free(&rest);
	return status;
}

/* ---- the machine */

/* The files of all jobs, before anything runs. 0 or the exit status. */
static int open_files(struct jobrun *r)
{
	r->files = calloc(r->jobs.n, sizeof *r->files);
	if (!r->files)
		return pg_partition_complain("%s", strerror(ENOMEM));
	for (size_t i = 0; i < r->jobs.n; i++)
		for (int k = 0; k < 3; k++)
			r->files[i][k] = -1;
	for (size_t i = 0; i < r->jobs.n; i++) {
		const struct pg_job *j = &r->jobs.job[i];
		const char *names[3] = {j->in, j->out, j->err};

		for (int k = 0; k < 3; k++) {
			int fd;

			if (!names[k])
				continue;
			fd = open(names[k],
				O_CLOEXEC | (k == 0 ? O_RDONLY
						    : O_WRONLY | O_CREAT | O_TRUNC | O_APPEND),
				0666);
			if (fd < 0)
				return pg_partition_complain("%s:%u: cannot open %s: %s",
					r->job_file, j->line, names[k], strerror(errno));
			/* Above what guests can have. */
			r->files[i][k] = fcntl(fd, F_DUPFD_CLOEXEC, pg_linux_fd_limit());
			close(fd);
			if (r->files[i][k] < 0)
				return pg_partition_complain("%s:%u: cannot keep %s open: %s",
					r->job_file, j->line, names[k], strerror(errno));
		}
	}
	return 0;
}

static int make_store(struct jobrun *r)
{
	const struct pg_store_options o = {.fd_min = pg_linux_fd_limit()};
	const char *why = NULL;
	int e;

	if (!r->swap)
		return 0;
	e = pg_store_create(r->swap, &o, &r->store, &why);
	return e ? pg_partition_complain("--swap %s: %s", r->swap, why ? why : strerror(-e)) : 0;
}

static int make_machine(struct jobrun *r)
{
	const struct pg_block_config blocks = {.fit = r->fit, .linear = r->linear};
	const struct pg_vm_config config = {.memory_bytes = r->memory_bytes,
		.form = &pg_table_base_limit,
		.geometry = pg_geometry_x86_64,
		.blocks = &blocks};
	struct pg_partition_options partition = {
		.heap_bytes = r->heap_bytes, .compact = r->schedule.compact};
	const char *why = NULL;
	int e = make_store(r);

	if (e)
		return e;
	e = pg_vm_create(&config, &r->vm);
	if (e)
		return pg_partition_complain("cannot make the memory: %s", strerror(-e));
	partition.store = r->store;
	const struct pg_linux_config linux_config = {.vm = r->vm,
		.engine = &pg_engine_translator,
		.mmu = pg_mmu_config_default,
		.path = "",
		.argv = (const char *const[]){"", NULL},
		.envp = (const char *const *)environ,
		.seeded = true,
		.seed = 1,
		.partition = &partition,
		.hooks = {
			.ctx = r->dispatch, .fork = pg_dispatch_fork, .ended = pg_dispatch_ended}};

	e = pg_linux_create(&linux_config, &r->linux, &why);
	return e ? pg_partition_complain("cannot make the machine: %s", why ? why : strerror(-e))
		 : 0;
}

static int run_jobs(struct jobrun *r)
{
	const struct pg_dispatch_config c = {.jobs = &r->jobs,
		.files = (const int(*)[3])r->files,
		.envp = (const char *const *)environ,
		.schedule = r->schedule,
		.memory_bytes = r->memory_bytes};
	int e = pg_dispatch_create(&c, &r->dispatch), status;

	if (e)
		return pg_partition_complain("%s", strerror(-e));
	status = make_machine(r);
	if (status)
		return status;
	e = pg_dispatch_run(r->dispatch, r->linux);
	return e ? pg_partition_complain("cannot run the machine: %s", strerror(-e)) : 0;
}

/* ---- what is written */

static int write_svg(const struct jobrun *r)
{
	struct pg_output o = {.path = r->svg};
	int status = pg_output_begin("partition", &o), e;

	if (status)
		return status;
	e = pg_timeline_svg(pg_dispatch_log(r->dispatch), &r->jobs, r->memory_bytes,
		pg_dispatch_clock(r->dispatch), o.file);
	status = pg_output_end("partition", &o);
	return e ? pg_partition_complain("%s: %s", r->svg, strerror(-e)) : status;
}

static int write_log(const struct jobrun *r)
{
	struct pg_output o = {.path = r->log};
	int status = pg_output_begin("partition", &o);

	if (status)
		return status;
	pg_job_log_write(pg_dispatch_log(r->dispatch), &r->jobs, o.file);
	return pg_output_end("partition", &o);
}

/* The jobs that ran, by arrival: what they asked for, and how long they were there. */
static int write_record(const struct jobrun *r)
{
	const struct pg_job_log *log = pg_dispatch_log(r->dispatch);
	struct pg_output o = {.path = r->record};
	int status = pg_output_begin("partition", &o);

	if (status)
		return status;
	pg_partition_record_head(o.file);
	for (size_t i = 0; i < log->n; i++) {
		const struct pg_job_event *e = &log->event[i];
		const struct pg_job_result *j = pg_dispatch_result(r->dispatch, e->job);
		struct pg_stream_request q = {.time = (double)e->clock,
			.bytes = j->schedule.bytes,
			.lifetime = (double)(j->schedule.ended - j->schedule.started),
			.priority = r->jobs.job[e->job].priority};

		if (e->kind == PG_JOB_ARRIVE && !j->schedule.refused)
			pg_partition_record_line(&q, o.file);
	}
	return pg_output_end("partition", &o);
}

static int report(const struct jobrun *r)
{
	const struct pg_partition_report x = {.job_file = r->job_file,
		.jobs = &r->jobs,
		.dispatch = r->dispatch,
		.memory_bytes = r->memory_bytes,
		.fit = r->fit,
		.store = r->swap,
		.schedule = r->schedule,
		.rows = r->rows};
	int status = 0;

	if (pg_dispatch_log(r->dispatch)->lost)
		status = pg_partition_complain("events were lost: %s", strerror(ENOMEM));
	if (!r->quiet)
		pg_partition_report_text(&x, stderr);
	if (r->svg && !status)
		status = write_svg(r);
	if (r->log && !status)
		status = write_log(r);
	if (r->record && !status)
		status = write_record(r);
	if (r->json && !status)
		status = pg_partition_report_json(&x, r->json);
	return status ? status : pg_partition_report_status(&x);
}

static void clean_up(struct jobrun *r)
{
	if (r->linux)
		pg_linux_destroy(r->linux);
	if (r->vm)
		pg_vm_destroy(r->vm);
	pg_store_destroy(r->store);
	pg_dispatch_destroy(r->dispatch);
	for (size_t i = 0; r->files && i < r->jobs.n; i++)
		for (int k = 0; k < 3; k++)
			if (r->files[i][k] >= 0)
				close(r->files[i][k]);
	free(r->files);
	pg_jobs_free(&r->jobs);
}

int pg_partition_run(int argc, char **argv)
{
	struct jobrun r = {.memory_bytes = 64 << 20, .schedule = {.slice = SLICE}, .rows = 60};
	char why[512];
	int status = take_words(&r, argc, argv);

	if (status)
		return status < 0 ? 0 : status;
	if (pg_jobs_read(r.job_file, &r.jobs, why, sizeof why) != 0)
		status = pg_partition_complain("%s", why);
	if (!status)
		status = open_files(&r);
	if (!status)
		status = run_jobs(&r);
	if (!status)
		status = report(&r);
	clean_up(&r);
	return status;
}
