/* SPDX-License-Identifier: MIT */
/*
 * ui/run.c: `pagoda run`: makes a machine, runs a program on it, says what that cost.
 *
 *   options -> outputs opened -> pg_vm -> pg_linux (and its engine) -> load -> run -> report ->
 * texts
 *
 * Called by ui/main.c. Everything that Pagoda keeps open while the guest runs is opened before it
 * starts and moved out of its way; what is written while it runs goes to a copy of standard error,
 * since the guest may close its own.
 *
 * Owns everything that it makes; one clean-up ladder at the end of pg_run_command().
 *
 * Not here: what the texts look like (summary.c, json.c, ending.c).
 */
#include "ui/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "mmu/base_limit.h"
#include "trace/cycle.h"
#include "trace/faultlog.h"
#include "trace/overflow.h"
#include "ui/format.h"
#include "ui/malloc.h"
#include "ui/report.h"

struct unsharer {
	int pid;
	uint64_t pages;
};

struct run {
	const struct pg_options *o;
	struct pg_vm *vm;
	struct pg_store *store; /* NULL: no swap */
	struct pg_reclaim *reclaim;
	struct pg_linux *linux;
	struct pg_symbols *symbols;
	struct pg_fault_trace *faults;
	struct pg_report report;
	struct pg_faultlog lines, steps; /* --trace-faults, --explain; used when out is set */
	FILE *err;                       /* our own standard error */
	FILE *fault_file, *step_file, *call_file; /* NULL, or err */
	FILE *json_file, *summary_file;           /* NULL, or err */
	FILE *block_file;                         /* --partition-log; NULL: none */
	uint64_t major;                           /* page faults that read, of all processes */
	struct unsharer *unsharers;               /* owned; of processes that live */
	size_t unsharer_count;
	char *program; /* owned; the path of the last program loaded */
	char **env;    /* the guest's; owned if not environ */
};

/*
 * Between these, writing into a pipe that nobody reads any more is an error like others, and not a SIGPIPE: while the
 * guest runs, that would be a signal of the guest's.
 */
static void pipe_errors_begin(sigset_t *before)
{
	sigset_t pipe;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, before);
}

static void pipe_errors_end(const sigset_t *before)
{
	const struct timespec now = {0, 0};
	sigset_t pipe;

	if (!sigismember(before, SIGPIPE)) {
		sigemptyset(&pipe);
		sigaddset(&pipe, SIGPIPE);
		while (sigtimedwait(&pipe, NULL, &now) > 0)
			;
	}
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* Says why Pagoda itself cannot go on: one line. */
static void say(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct run *r, const char *format, ...)
{
	va_list args;
	sigset_t before;

	pipe_errors_begin(&before);
	fflush(NULL);
	fputs("pagoda: ", r->err);
	va_start(args, format);
	vfprintf(r->err, format, args);
	va_end(args);
	fputc('\n', r->err);
	fflush(r->err);
	pipe_errors_end(&before);
}

/* A FILE on a descriptor that the guest cannot see; takes fd. NULL with errno set. */
static FILE *own_file(int fd)
{
	int own = pg_linux_own_fd(fd);

	if (own < 0) {
		close(fd);
		errno = -own;
		return NULL;
	}
	FILE *f = fdopen(own, "w");
	if (!f)
		close(own);
	return f;
}

/* Opens path for writing, or gives standard error for NULL. */
static bool open_output(struct run *r, const char *path, FILE **out)
{
	if (!path) {
		*out = r->err;
		return true;
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
	*out = fd < 0 ? NULL : own_file(fd);
	if (*out)
		return true;
	say(r, "cannot write %s: %s", path, strerror(errno));
	return false;
}

static bool open_outputs(struct run *r)
{
	const struct pg_options *o = r->o;

	if (o->json_path && !open_output(r, o->json_path, &r->json_file))
		return false;
	if ((!o->quiet || o->output_path) && !open_output(r, o->output_path, &r->summary_file))
		return false;
	if (o->partition_log && !open_output(r, o->partition_log, &r->block_file))
		return false;
	if (o->faults.wanted && !open_output(r, o->faults.path, &r->fault_file))
		return false;
	if (o->explain.wanted && !open_output(r, o->explain.path, &r->step_file))
		return false;
	if (o->calls.wanted && !open_output(r, o->calls.path, &r->call_file))
		return false;
	r->lines = (struct pg_faultlog){.out = r->fault_file, .symbols = r->symbols};
	r->steps =
		(struct pg_faultlog){.out = r->step_file, .symbols = r->symbols, .explain = true};
	return true;
}

/* Closes a file of open_output(); false if not all of it could be written. */
static bool close_output(struct run *r, FILE *f)
{
	if (!f)
		return true;
	bool fine = !ferror(f);
	if (f == r->err)
		return fflush(f) == 0 && fine;
	return fclose(f) == 0 && fine;
}

/* --- hooks: called while the guest runs; they look and never change anything ------------------ */

static void look(struct run *r)
{
	struct pg_linux_stats st;
	struct timespec t;

	if (!r->o->on_look || !r->linux)
		return;
	pg_linux_stats(r->linux, &st);
	clock_gettime(CLOCK_MONOTONIC, &t);
	r->o->on_look(r->o->on_report_ctx, r->reclaim,
		r->o->fast ? (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec
			   : st.cpu.instructions);
}

/* Pages that a living process has un-shared, until its row is made. */
static void count_unshared(struct run *r)
{
	int pid = pg_linux_pid(r->linux);
	size_t i = 0;

	while (i < r->unsharer_count && r->unsharers[i].pid != pid)
		i++;
	if (i == r->unsharer_count) {
		void *more = realloc(r->unsharers, (i + 1) * sizeof *r->unsharers);
		if (!more)
			return;
		r->unsharers = more;
		r->unsharers[r->unsharer_count++] = (struct unsharer){.pid = pid};
	}
	r->unsharers[i].pages++;
}

static uint64_t take_unshared(struct run *r, int pid)
{
	for (size_t i = 0; i < r->unsharer_count; i++) {
		uint64_t pages = r->unsharers[i].pages;
		if (r->unsharers[i].pid != pid)
			continue;
		r->unsharers[i] = r->unsharers[--r->unsharer_count];
		return pages;
	}
	return 0;
}

/* The observer's hook `name`, if there is one. */
#define OBSERVED(r, name) ((r)->o->observer && (r)->o->observer->hooks->name)
#define OBSERVER(r) ((r)->o->observer->ctx)

static void on_reached(void *ctx, const struct pg_cpu_regs *regs)
{
	struct run *r = ctx;

	r->o->observer->hooks->reached(OBSERVER(r), regs);
}

static void on_transferred(void *ctx, const struct pg_transferred *t)
{
	struct run *r = ctx;

	r->o->observer->hooks->transferred(OBSERVER(r), t);
}

static void on_code(void *ctx)
{
	struct run *r = ctx;

	r->o->observer->hooks->code(OBSERVER(r));
}

static void on_fork(void *ctx, int parent, int child)
{
	struct run *r = ctx;

	r->o->observer->hooks->fork(OBSERVER(r), parent, child);
}

static void on_signal(void *ctx, int signo, int si_code, uint64_t address, uint64_t handler)
{
	struct run *r = ctx;

	r->o->observer->hooks->signal(OBSERVER(r), signo, si_code, address, handler);
}

/* The program is about to end by a fault. If a stack is full, of which calls? */
static void look_at_overflow(struct run *r, const struct pg_linux_end *end)
{
	struct pg_space *space = pg_linux_space(r->linux);
	const struct pg_cpu_regs *regs = pg_linux_regs(r->linux);
	struct pg_unwinder *unwinder;
	size_t depth;

	if (!space || !regs || !pg_stack_overflowed(space, end->addr, end->sp) ||
		pg_unwinder_create(r->symbols, &unwinder) != 0)
		return;
	r->report.overflow = true;
	r->report.repeated = pg_cycle_text(r->symbols, unwinder, space, regs, &depth);
	pg_unwinder_destroy(unwinder);
}

static void on_ending(void *ctx, int pid, int tid, const struct pg_linux_end *end)
{
	struct run *r = ctx;

	if (OBSERVED(r, ending))
		r->o->observer->hooks->ending(OBSERVER(r), pid, tid, end);
	if (pid == PG_LINUX_PID && !end->exited && end->fault && end->signal == SIGSEGV)
		look_at_overflow(r, end);
}

static void on_ended(void *ctx, const struct pg_linux_process *e)
{
	struct run *r = ctx;
	struct pg_report *p = &r->report;
	uint64_t unshared = take_unshared(r, e->pid), faults = 0;

	if (OBSERVED(r, ended))
		r->o->observer->hooks->ended(OBSERVER(r), e);
	p->processes_ended++;
	if (p->process_count == PG_PROCESS_ROWS)
		return;
	if ((p->process_count & (p->process_count - 1)) ==
		0) { /* room doubles at each power of two */
		void *more = realloc(p->processes,
			(p->process_count ? 2 * p->process_count : 1) * sizeof *p->processes);
		if (!more)
			return;
		p->processes = more;
	}
	for (int k = 0; k < PG_FAULT_KINDS; k++)
		faults += e->space.faults[k];
	struct pg_process_row *row = &p->processes[p->process_count++];
	*row = (struct pg_process_row){.pid = e->pid,
		.parent = e->parent,
		.exited = e->end->exited,
		.status = e->end->exited ? e->end->code : e->end->signal,
		.instructions = e->cpu.instructions,
		.faults = faults,
		.rss_peak_pages = e->space.rss_peak_pages,
		.copies = e->space.copies,
		.unshared = unshared,
		.space = e->space,
		.pauses = e->pauses,
		.paused_s = (double)e->paused_ns / 1e9,
		.minor = e->space.minor,
		.major = e->space.major,
		.system_calls = e->system_calls,
		.execs = e->execs,
		.cpu_s = (double)e->cpu_ns / 1e9,
		.wall_s = (double)e->wall_ns / 1e9};
	snprintf(row->name, sizeof row->name, "%s", e->name);
}

static void on_fault(void *ctx, const struct pg_fault_event *e)
{
	struct run *r = ctx;

	pg_fault_trace_add(r->faults, e);
	if (e->after_fork)
		count_unshared(r);
	look(r);
	if (e->end == PG_FAULT_RESUME &&
		(e->kind == PG_FAULT_FILE_DISK || e->kind == PG_FAULT_SWAP_IN) &&
		++r->major > r->o->most_major && r->o->most_major)
		pg_linux_stop(r->linux);
	if (OBSERVED(r, fault))
		r->o->observer->hooks->fault(OBSERVER(r), e);
	if (!r->lines.out && !r->steps.out)
		return;
	sigset_t before;
	pipe_errors_begin(&before);
	if (r->lines.out)
		pg_faultlog_write(&r->lines, e);
	if (r->steps.out)
		pg_faultlog_write(&r->steps, e);
	pipe_errors_end(&before);
}

static void on_unknown(void *ctx, unsigned number, const char *name, const char *what)
{
	struct run *r = ctx;

	if (r->o->verbose)
		say(r, "%s", what);
}

static void on_call(void *ctx, const struct pg_linux_call *c)
{
	struct run *r = ctx;
	sigset_t before;

	look(r);
	if (OBSERVED(r, call))
		r->o->observer->hooks->call(OBSERVER(r), c);
	if (!r->call_file)
		return;
	pipe_errors_begin(&before);
	fprintf(r->call_file, "%s\n", c->text);
	pipe_errors_end(&before);
}

static void on_exec(void *ctx, const char *path)
{
	struct run *r = ctx;

	if (OBSERVED(r, exec))
		r->o->observer->hooks->exec(OBSERVER(r), path);
	if (pg_linux_pid(r->linux) != PG_LINUX_PID)
		return; /* the report is headed by the program that was asked for, or what it execs */
	free(r->program);
	r->program = strdup(path);
}

static void forget_regions(struct pg_report *p)
{
	for (size_t i = 0; i < p->region_count; i++)
		free(p->regions[i].name);
	free(p->regions);
	p->regions = NULL;
	p->region_count = 0;
}

static bool keep_region(void *ctx, const struct pg_region *region)
{
	struct pg_report *p = ctx;
	size_t n = p->region_count;

	if ((n & (n - 1)) == 0) { /* room doubles at each power of two */
		void *bigger = realloc(p->regions, (n ? 2 * n : 1) * sizeof *p->regions);
		if (!bigger)
			return false;
		p->regions = bigger;
	}
	char *name = strdup(pg_region_label(region));
	if (!name)
		return false;
	p->regions[p->region_count++] = (struct pg_region_row){
		.start = region->start.v,
		.end = region->end.v,
		.prot = region->prot,
		.shared = region->flags & PG_MAP_SHARED,
		.kind = region->kind,
		.offset = region->offset,
		.resident_pages = region->resident_pages,
		.name = name,
	};
	return true;
}

static void on_leave(void *ctx)
{
	struct run *r = ctx;

	if (OBSERVED(r, leave))
		r->o->observer->hooks->leave(OBSERVER(r));
	if (pg_linux_pid(r->linux) != PG_LINUX_PID)
		return; /* the map is the first process's */
	forget_regions(&r->report);
	pg_space_each_region(pg_linux_space(r->linux), keep_region, &r->report);
}

/* --- the report ------------------------------------------------------------------------------- */

/* "main+0x12 (a.out, demo.c:7)" for a guest address; malloc'd, or NULL. */
static char *describe_code(struct run *r, uint64_t address)
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
static char *describe_data(struct run *r, uint64_t address)
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

static bool run_guest(struct run *r)
{
	struct timespec before, after;
	struct rusage usage_before, usage_after;

	getrusage(RUSAGE_SELF, &usage_before);
	clock_gettime(CLOCK_MONOTONIC, &before);
	int error = pg_linux_run(r->linux, &r->report.end);
	clock_gettime(CLOCK_MONOTONIC, &after);
	getrusage(RUSAGE_SELF, &usage_after);
	if (error) {
		say(r, "%s: cannot run: %s", r->o->command[0], strerror(-error));
		return false;
	}
	r->report.wall_s = seconds(&before, &after);
	r->report.user_s = seconds_of(&usage_before.ru_utime, &usage_after.ru_utime);
	r->report.system_s = seconds_of(&usage_before.ru_stime, &usage_after.ru_stime);
	return true;
}

static bool make_report(struct run *r)
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
	if (!r->json_file && !r->summary_file)
		return true;
	if (pg_fault_trace_functions(r->faults, r->symbols, &p->functions, &p->function_count) ==
			0 &&
		pg_fault_trace_places(r->faults, &p->places, &p->place_count) == 0)
		return true;
	say(r, "the report: %s", strerror(ENOMEM));
	return false;
}

/* Writes what was asked for; false if a file could not be written in full. */
static bool write_report(struct run *r)
{
	const struct pg_report *p = &r->report;
	bool fine = true;

	char text[1024];
	if (pg_ending_text(p, text, sizeof text))
		say(r, "%s: %s", r->o->command[0], text);
	if (r->summary_file) {
		const char *term = getenv("TERM");
		bool colour = isatty(fileno(r->summary_file)) && !getenv("NO_COLOR") && term &&
			      strcmp(term, "dumb") != 0;
		pg_summary_write(p, r->summary_file, colour);
	}
	if (r->json_file) {
		pg_json_write(p, r->json_file);
		if (!close_output(r, r->json_file)) {
			say(r, "cannot write all of %s", r->o->json_path);
			fine = false;
		}
		r->json_file = NULL;
	}
	if (r->block_file) {
		pg_block_log_write(&p->blocks, r->o, r->block_file);
		if (!close_output(r, r->block_file)) {
			say(r, "cannot write all of %s", r->o->partition_log);
			fine = false;
		}
		r->block_file = NULL;
	}
	if (r->summary_file && r->summary_file != r->err) {
		if (!close_output(r, r->summary_file)) {
			say(r, "cannot write all of %s", r->o->output_path);
			fine = false;
		}
		r->summary_file = NULL;
	}
	return fine;
}

static void *on_wait(void *ctx)
{
	struct run *r = ctx;

	return r->linux ? pg_linux_wait_begin(r->linux) : NULL;
}

static void on_waited(void *ctx, void *waiting)
{
	struct run *r = ctx;

	if (r->linux)
		pg_linux_wait_end(r->linux, waiting);
}

static uint64_t on_stalling(void *ctx, int more)
{
	struct run *r = ctx;

	return r->linux ? pg_linux_stalling(r->linux, more) : 0;
}

static unsigned on_pauses(void *ctx, struct pg_space *s)
{
	struct run *r = ctx;

	return r->linux ? pg_linux_pauses(r->linux, s) : UINT_MAX;
}

/* Each process is told of once, and thrashing that nobody can be paused for. */
static void on_thrashing(void *ctx, bool on, struct pg_space *out, uint64_t pages)
{
	struct run *r = ctx;
	const char *name = "";
	int pid = 0;
	bool first = out && pg_linux_pause(r->linux, out, pages, &pid, &name);

	if (r->o->quiet || !on)
		return;
	if (first)
		say(r,
			"thrashing: process %d (%s) is swapped out whole, %" PRIu64
			" pages, and waits for the others",
			pid, name, pages);
	else if (!out)
		say(r, "thrashing: most pages that come in had just been evicted; give it more "
		       "--memory");
}

/* The store and what uses it; without --swap only pages of files are evicted. */
static bool make_reclaim(struct run *r)
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
			say(r, "--swap %s: %s", o->swap, why ? why : strerror(-error));
			return false;
		}
	}
	config.store = o->base_limit ? NULL : r->store; /* there it is for whole processes */
	pg_vm_set_overcommit(r->vm, o->overcommit, o->overcommit_percent);
	error = pg_reclaim_create(r->vm, &config, &r->reclaim);
	if (error == -EINVAL)
		say(r, "--replace %s: not an argument of this policy", o->replace);
	else if (error)
		say(r, "cannot make the machine: %s", strerror(-error));
	return !error;
}

static bool make_machine(struct run *r)
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
		say(r, "cannot make a machine of %s: %s", pg_format_size(o->memory_bytes, size),
			strerror(-error));
		return false;
	}
	char why_not[256];
	r->env = environ;
	if (o->malloc_family)
		r->env = pg_malloc_environment(o->malloc_family, environ, why_not, sizeof why_not);
	if (!r->env) {
		say(r, "%s", why_not);
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
		.hooks = {.ctx = r,
			.fault = on_fault,
			.unknown = on_unknown,
			.call = r->call_file || o->on_look || OBSERVED(r, call) ? on_call : NULL,
			.exec = on_exec,
			.leave = on_leave,
			.ending = on_ending,
			.fork = OBSERVED(r, fork) ? on_fork : NULL,
			.ended = on_ended,
			.reached = OBSERVED(r, reached) ? on_reached : NULL,
			.code = OBSERVED(r, code) ? on_code : NULL,
			.transferred = OBSERVED(r, transferred) ? on_transferred : NULL,
			.signal = OBSERVED(r, signal) ? on_signal : NULL},
	};
	const char *why = NULL;
	error = pg_linux_create(&linux_config, &r->linux, &why);
	if (error) {
		say(r, "cannot make the machine: %s", why ? why : strerror(-error));
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
			say(r, "%s", text);
		else
			say(r, "%s: %s", o->command[0], strerror(-error));
		return false;
	}
	if (o->observer)
		o->observer->begin(o->observer->ctx, r->linux, r->symbols);
	return true;
}

int pg_run_command(const struct pg_options *o)
{
	struct run r = {.o = o};
	int status = 2;
	int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	r.err = copy >= 0 ? own_file(copy) : fopen("/dev/null", "we");
	if (r.err)
		pg_bug_messages_to(fileno(r.err));
	if (!r.err)
		return status;
	setvbuf(r.err, NULL, _IOLBF, 0);
	if (pg_symbols_create(&r.symbols) != 0 || pg_fault_trace_create(&r.faults) != 0) {
		say(&r, "%s", strerror(ENOMEM));
		goto out;
	}
	if (!open_outputs(&r) || !make_machine(&r) || !run_guest(&r))
		goto out;
	/* the guest is gone: from here on SIGPIPE would only hide its exit status */
	signal(SIGPIPE, SIG_IGN);
	if (make_report(&r)) {
		if (o->on_report)
			o->on_report(o->on_report_ctx, &r.report);
		if (o->observer)
			o->observer->end(o->observer->ctx, &r.report);
		status = write_report(&r) ? r.report.status : 2;
	}

out:
	if (r.fault_file && r.fault_file != r.err && !close_output(&r, r.fault_file)) {
		say(&r, "cannot write all of %s", o->faults.path);
		status = 2;
	}
	if (r.step_file && r.step_file != r.err && !close_output(&r, r.step_file)) {
		say(&r, "cannot write all of %s", o->explain.path);
		status = 2;
	}
	if (r.call_file && r.call_file != r.err && !close_output(&r, r.call_file)) {
		say(&r, "cannot write all of %s", o->calls.path);
		status = 2;
	}
	if (r.json_file)
		fclose(r.json_file);
	if (r.block_file)
		fclose(r.block_file);
	if (r.summary_file && r.summary_file != r.err)
		fclose(r.summary_file);
	free(r.report.functions);
	free(r.report.places);
	forget_regions(&r.report);
	free(r.report.where);
	free(r.report.what);
	free(r.report.repeated);
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
	free(r.program);
	free(r.unsharers);
	pg_block_log_free(&r.report.blocks);
	free(r.report.processes);
	fclose(r.err);
	return status;
}
