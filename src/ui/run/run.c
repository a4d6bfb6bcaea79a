/* SPDX-License-Identifier: MIT */
/*
 * ui/run/run.c: `pagoda run`: makes a machine, runs a program on it, says what that cost.
 *
 *   options -> outputs opened -> pg_vm -> pg_linux (and its engine) -> load -> run -> report -> texts
 *
 * Called by ui/main.c. Everything that Pagoda keeps open while the guest runs is opened before it
 * starts and moved out of its way; what is written while it runs goes to a copy of standard error,
 * since the guest may close its own.
 *
 * Owns everything that it makes; one clean-up ladder at the end of pg_run_command().
 *
 * Not here: what is kept of the guest while it runs (watch.c), what the texts look like (summary.c, json.c, ending.c).
 */
#include "ui/run/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "mmu/base_limit.h"
#include "ui/run/internal.h"
#include "ui/run/malloc.h"
#include "ui/write/format.h"

static bool open_outputs(struct pg_run *r)
{
	const struct pg_options *o = r->o;
	const struct {
		bool wanted;
		const char *path;
	} asked[PG_RUN_OUTPUTS] = {
		[PG_RUN_SUMMARY] = {!o->quiet || o->output_path, o->output_path},
		[PG_RUN_JSON] = {o->json_path, o->json_path},
		[PG_RUN_BLOCKS] = {o->partition_log, o->partition_log},
		[PG_RUN_FAULTS] = {o->faults.wanted, o->faults.path},
		[PG_RUN_STEPS] = {o->explain.wanted, o->explain.path},
		[PG_RUN_CALLS] = {o->calls.wanted, o->calls.path},
	};

	for (int i = 0; i < PG_RUN_OUTPUTS; i++) {
		r->outputs[i].path = asked[i].path;
		int error = asked[i].wanted ? pg_output_open(&r->outputs[i], r->err) : 0;
		if (error) {
			pg_run_say(r, "cannot write %s: %s", pg_output_name(&r->outputs[i]),
				strerror(-error));
			return false;
		}
	}
	r->lines =
		(struct pg_faultlog){.out = r->outputs[PG_RUN_FAULTS].file, .symbols = r->symbols};
	r->steps = (struct pg_faultlog){
		.out = r->outputs[PG_RUN_STEPS].file, .symbols = r->symbols, .explain = true};
	return true;
}

/* False if not all could be written that was asked for. */
static bool close_outputs(struct pg_run *r)
{
	bool fine = true;

	for (int i = 0; i < PG_RUN_OUTPUTS; i++) {
		if (pg_output_close(&r->outputs[i]))
			continue;
		pg_run_say(r, "cannot write all of %s", pg_output_name(&r->outputs[i]));
		fine = false;
	}
	return fine;
}

/* --- the report ------------------------------------------------------------------------------- */

/* "main+0x12 (a.out, demo.c:7)" for a guest address; malloc'd, or NULL. */
static char *describe_code(struct pg_run *r, uint64_t address)
{
	struct pg_space *space = pg_linux_space(r->linux);
	const char *path = NULL;
	uint64_t offset = 0;
	char name[256], *text = NULL;
	struct pg_symbol found = {0};

	if (!space)
		return NULL;
	bool file = pg_trace_file_of(space, address, &path, &offset);
	pg_symbols_format(r->symbols, file ? path : NULL, offset, address, name, sizeof name);
	if (file && pg_symbols_find(r->symbols, path, offset, &found) && found.function) {
		int n = found.source ? asprintf(&text, "%s (%s, %s:%d)", name,
					       pg_symbols_base_name(path),
					       pg_symbols_base_name(found.source), found.line)
				     : asprintf(&text, "%s (%s)", name, pg_symbols_base_name(path));
		return n < 0 ? NULL : text;
	}
	return strdup(name);
}

/* The region of a guest address as "the region r--p of /bin/x"; malloc'd, or NULL. */
static char *describe_data(struct pg_run *r, uint64_t address)
{
	struct pg_space *space = pg_linux_space(r->linux);
	struct pg_region region;
	char rights[5], *text = NULL;

	if (!space || !pg_space_find(space, (pg_va){address}, false, &region))
		return NULL;
	pg_rights_text(region.prot, region.flags & PG_MAP_SHARED, rights);
	r->report.anonymous = !region.object;
	if (asprintf(&text, "the %s region of %s", rights, pg_region_label(&region)) < 0)
		return NULL;
	return text;
}

static double seconds(const struct timespec *from, const struct timespec *to)
{
	return (double)(to->tv_sec - from->tv_sec) + (double)(to->tv_nsec - from->tv_nsec) / 1e9;
}

static double seconds_of(const struct timeval *from, const struct timeval *to)
{
	return (double)(to->tv_sec - from->tv_sec) + (double)(to->tv_usec - from->tv_usec) / 1e6;
}

static bool run_guest(struct pg_run *r)
{
	struct timespec before, after;
	struct rusage usage_before, usage_after;

	getrusage(RUSAGE_SELF, &usage_before);
	clock_gettime(CLOCK_MONOTONIC, &before);
	int error = pg_linux_run(r->linux, &r->report.end);
	clock_gettime(CLOCK_MONOTONIC, &after);
	getrusage(RUSAGE_SELF, &usage_after);
	if (error) {
		pg_run_say(r, "%s: cannot run: %s", r->o->command[0], strerror(-error));
		return false;
	}
	r->report.wall_s = seconds(&before, &after);
	r->report.user_s = seconds_of(&usage_before.ru_utime, &usage_after.ru_utime);
	r->report.system_s = seconds_of(&usage_before.ru_stime, &usage_after.ru_stime);
	return true;
}

static bool make_report(struct pg_run *r)
{
	struct pg_report *p = &r->report;

	p->options = r->o;
	p->program = r->program ? r->program : r->o->command[0];
	p->status = pg_linux_status(&p->end);
	pg_linux_stats(r->linux, &p->stats);
	pg_vm_frames_stats(r->vm, &p->frames);
	pg_reclaim_stats(r->reclaim, &p->reclaim);
	p->policy = pg_reclaim_policy(r->reclaim)->name;
	if (r->store)
		pg_store_stats(r->store, &p->store);
	pg_fault_trace_total(r->faults, &p->total);
	p->lost = pg_fault_trace_lost(r->faults);
	if (!p->end.exited) {
		p->where = describe_code(r, p->end.pc);
		p->what = describe_data(r, p->end.addr);
	}
	if (!r->outputs[PG_RUN_JSON].file && !r->outputs[PG_RUN_SUMMARY].file)
		return true;
	if (pg_fault_trace_functions(r->faults, r->symbols, &p->functions, &p->function_count) ==
			0 &&
		pg_fault_trace_places(r->faults, &p->places, &p->place_count) == 0)
		return true;
	pg_run_say(r, "the report: %s", strerror(ENOMEM));
	return false;
}

static void write_report(struct pg_run *r)
{
	const struct pg_report *p = &r->report;
	FILE *summary = r->outputs[PG_RUN_SUMMARY].file;
	char text[1024];

	if (pg_ending_text(p, text, sizeof text))
		pg_run_say(r, "%s: %s", r->o->command[0], text);
	if (summary)
		pg_summary_write(p, summary, pg_output_coloured(summary));
	if (r->outputs[PG_RUN_JSON].file)
		pg_report_json(p, r->outputs[PG_RUN_JSON].file);
	if (r->outputs[PG_RUN_BLOCKS].file)
		pg_block_log_write(&p->blocks, r->o, r->outputs[PG_RUN_BLOCKS].file);
}

static void *on_wait(void *ctx)
{
	struct pg_run *r = ctx;

	return r->linux ? pg_linux_wait_begin(r->linux) : NULL;
}

static void on_waited(void *ctx, void *waiting)
{
	struct pg_run *r = ctx;

	if (r->linux)
		pg_linux_wait_end(r->linux, waiting);
}

static uint64_t on_stalling(void *ctx, int more)
{
	struct pg_run *r = ctx;

	return r->linux ? pg_linux_stalling(r->linux, more) : 0;
}

static unsigned on_pauses(void *ctx, struct pg_space *s)
{
	struct pg_run *r = ctx;

	return r->linux ? pg_linux_pauses(r->linux, s) : UINT_MAX;
}

/* Each process is told of once, and thrashing that nobody can be paused for. */
static void on_thrashing(void *ctx, bool on, struct pg_space *out, uint64_t pages)
{
	struct pg_run *r = ctx;
	const char *name = "";
	int pid = 0;
	bool first = out && pg_linux_pause(r->linux, out, pages, &pid, &name);

	if (r->o->quiet || !on)
		return;
	if (first)
		pg_run_say(r,
			"thrashing: process %d (%s) is swapped out whole, %" PRIu64
			" pages, and waits for the others",
			pid, name, pages);
	else if (!out)
		pg_run_say(r,
			"thrashing: most pages that come in had just been evicted; give it more "
			"--memory");
}

/* The store and what uses it; without --swap only pages of files are evicted. */
static bool make_reclaim(struct pg_run *r)
{
	const struct pg_options *o = r->o;
	const struct pg_store_options store_options = {.fd_min = pg_linux_fd_limit()};
	struct pg_reclaim_config config = {.policy = o->replace,
		.seed = o->seed,
		.hooks = {.ctx = r,
			.unlock = on_wait,
			.lock = on_waited,
			.stalling = on_stalling,
			.pauses = on_pauses,
			.thrashing = on_thrashing}};
	const char *why = NULL;
	int error;

	if (o->swap[0]) {
		error = pg_store_create(o->swap, &store_options, &r->store, &why);
		if (error) {
			pg_run_say(r, "--swap %s: %s", o->swap, why ? why : strerror(-error));
			return false;
		}
	}
	config.store = o->base_limit ? NULL : r->store; /* there it is for whole processes */
	pg_vm_set_overcommit(r->vm, o->overcommit, o->overcommit_percent);
	error = pg_reclaim_create(r->vm, &config, &r->reclaim);
	if (error == -EINVAL)
		pg_run_say(r, "--replace %s: not an argument of this policy", o->replace);
	else if (error)
		pg_run_say(r, "cannot make the machine: %s", strerror(-error));
	return !error;
}

static bool make_machine(struct pg_run *r)
{
	const struct pg_options *o = r->o;
	const struct pg_block_config blocks = {.fit = o->fit};
	const struct pg_vm_config config = {
		.memory_bytes = o->memory_bytes,
		.form = o->base_limit ? &pg_table_base_limit : o->form,
		.geometry = o->geometry,
		.blocks = o->base_limit ? &blocks : NULL,
	};
	struct pg_partition_options partition = {.bytes = o->partition_bytes,
		.heap_bytes = o->heap_bytes,
		.fixed = o->fixed,
		.compact = o->compact};
	const struct pg_partition_hooks block_hooks = {
		.ctx = &r->report.blocks, .event = pg_block_log_add};
	char size[PG_FORMAT_BYTES];

	int error = pg_vm_create(&config, &r->vm);
	if (error) {
		pg_run_say(r, "cannot make a machine of %s: %s",
			pg_format_size(o->memory_bytes, size),
			error == -EFBIG ? "larger than a file may be (ulimit -f)"
					: strerror(-error));
		return false;
	}
	char why_not[256];
	r->env = environ;
	if (o->malloc_family)
		r->env = pg_malloc_environment(o->malloc_family, environ, why_not, sizeof why_not);
	if (!r->env) {
		pg_run_say(r, "%s", why_not);
		return false;
	}
	if (!make_reclaim(r))
		return false;
	partition.store = r->store;
	const struct pg_linux_config linux_config = {
		.vm = r->vm,
		.reclaim = r->reclaim,
		.engine = &pg_engine_translator,
		.mmu = o->mmu,
		.fast = o->fast,
		.path = o->command[0],
		.argv = (const char *const *)o->command,
		.envp = (const char *const *)r->env,
		.stack_limit_bytes = o->stack_limit_bytes,
		.aslr = o->aslr,
		.seeded = o->seeded,
		.seed = o->seed,
		.partition = o->base_limit ? &partition : NULL,
		.hooks = pg_run_hooks(r),
	};
	const char *why = NULL;
	error = pg_linux_create(&linux_config, &r->linux, &why);
	if (error) {
		pg_run_say(r, "cannot make the machine: %s", why ? why : strerror(-error));
		return false;
	}
	if (o->base_limit)
		pg_partition_set_hooks(r->linux, &block_hooks);
	/* The guest has its copy of the environment. elfutils would ask a server if this named one. */
	unsetenv("DEBUGINFOD_URLS");
	error = pg_linux_load(r->linux);
	if (error) {
		const char *text = pg_linux_error(r->linux);
		if (text && text[0])
			pg_run_say(r, "%s", text);
		else
			pg_run_say(r, "%s: %s", o->command[0], strerror(-error));
		return false;
	}
	if (o->observer)
		o->observer->begin(o->observer->ctx, r->linux, r->symbols);
	return true;
}

int pg_run_command(const struct pg_options *o)
{
	struct pg_run r = {.o = o};
	int status = 2;
	int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	r.err = copy >= 0 ? pg_output_own(copy) : fopen("/dev/null", "we");
	if (r.err)
		pg_bug_messages_to(fileno(r.err));
	if (!r.err)
		return status;
	setvbuf(r.err, NULL, _IOLBF, 0);
	if (pg_symbols_create(&r.symbols) != 0 || pg_fault_trace_create(&r.faults) != 0) {
		pg_run_say(&r, "%s", strerror(ENOMEM));
		goto out;
	}
	if (o->mangled)
		pg_symbols_keep_mangled(r.symbols);
	if (!open_outputs(&r) || !make_machine(&r) || !run_guest(&r))
		goto out;
	/* the guest is gone: from here on SIGPIPE would only hide its exit status */
	signal(SIGPIPE, SIG_IGN);
	if (make_report(&r)) {
		if (o->on_report)
			o->on_report(o->on_report_ctx, &r.report);
		if (o->observer)
			o->observer->end(o->observer->ctx, &r.report);
		write_report(&r);
		status = r.report.status;
	}

out:
	if (!close_outputs(&r))
		status = 2;
	free(r.report.functions);
	free(r.report.places);
	free(r.report.where);
	free(r.report.what);
	if (r.linux)
		pg_linux_destroy(r.linux);
	pg_reclaim_destroy(r.reclaim);
	pg_store_destroy(r.store);
	if (r.vm)
		pg_vm_destroy(r.vm);
	pg_fault_trace_destroy(r.faults);
	pg_symbols_destroy(r.symbols);
	if (o->malloc_family)
		pg_malloc_environment_free(r.env);
	pg_run_forget(&r);
	pg_block_log_free(&r.report.blocks);
	fclose(r.err);
	return status;
}
