/* SPDX-License-Identifier: MIT */
/*
 * ui/run/watch.c: what `pagoda run` keeps of a guest while it runs, for the report.
 *
 *   page faults, calls, forks, ends of processes -> tallies (trace/faults.c), traces, rows of struct pg_report; -> the observer
 *
 * Called by linux/ through the hooks that ui/run/run.c hands down. Calls trace/. The hooks look and never change anything.
 *
 * Owns what it puts into the report: rows of processes and regions, until pg_run_forget().
 */
#include "ui/run/internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trace/cycle.h"
#include "trace/overflow.h"
#include "ui/write/format.h"

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

void pg_run_say(struct pg_run *r, const char *format, ...)
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

static void look(struct pg_run *r)
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
static void count_unshared(struct pg_run *r, bool copied)
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
		r->unsharers[r->unsharer_count++] = (struct pg_unsharer){.pid = pid};
	}
	r->unsharers[i].pages++;
	r->unsharers[i].copied += copied;
}

static struct pg_unsharer take_unsharer(struct pg_run *r, int pid)
{
	for (size_t i = 0; i < r->unsharer_count; i++) {
		struct pg_unsharer u = r->unsharers[i];
		if (u.pid != pid)
			continue;
		r->unsharers[i] = r->unsharers[--r->unsharer_count];
		return u;
	}
	return (struct pg_unsharer){.pid = pid};
}

/* The observer's hook `name`, if there is one. */
#define OBSERVED(r, name) ((r)->o->observer && (r)->o->observer->hooks->name)
#define OBSERVER(r) ((r)->o->observer->ctx)

static void on_reached(void *ctx, const struct pg_cpu_regs *regs)
{
	struct pg_run *r = ctx;

	r->o->observer->hooks->reached(OBSERVER(r), regs);
}

static void on_transferred(void *ctx, const struct pg_transferred *t)
{
	struct pg_run *r = ctx;

	r->o->observer->hooks->transferred(OBSERVER(r), t);
}

static void on_code(void *ctx)
{
	struct pg_run *r = ctx;

	r->o->observer->hooks->code(OBSERVER(r));
}

static void on_fork(void *ctx, int parent, int child)
{
	struct pg_run *r = ctx;

	r->o->observer->hooks->fork(OBSERVER(r), parent, child);
}

static void on_signal(void *ctx, int signo, int si_code, uint64_t address, uint64_t handler)
{
	struct pg_run *r = ctx;

	r->o->observer->hooks->signal(OBSERVER(r), signo, si_code, address, handler);
}

/* The program is about to end by a fault. If a stack is full, of which calls? */
static void look_at_overflow(struct pg_run *r, const struct pg_linux_end *end)
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
	struct pg_run *r = ctx;

	if (OBSERVED(r, ending))
		r->o->observer->hooks->ending(OBSERVER(r), pid, tid, end);
	if (pid == PG_LINUX_PID && !end->exited && end->fault && end->signal == SIGSEGV)
		look_at_overflow(r, end);
}

/* A process that is not the first, of which the run's end tells: whoever waits for it may not say why it is gone. */
static void say_oom(struct pg_run *r, const struct pg_linux_process *e)
{
	char all[PG_FORMAT_BYTES], own[PG_FORMAT_BYTES];

	if (!e->end->oom || e->pid == PG_LINUX_PID)
		return;
	pg_run_say(r,
		"process %d (%s) was killed: out of memory, all frames of %s are in use; it had %s "
		"at its peak",
		e->pid, e->name, pg_format_size(r->o->memory_bytes, all),
		pg_format_size(e->space.rss_peak_pages * PG_PAGE_SIZE, own));
}

static void on_ended(void *ctx, const struct pg_linux_process *e)
{
	struct pg_run *r = ctx;
	struct pg_report *p = &r->report;
	struct pg_unsharer unsharer = take_unsharer(r, e->pid);
	uint64_t faults = 0;

	if (OBSERVED(r, ended))
		r->o->observer->hooks->ended(OBSERVER(r), e);
	say_oom(r, e);
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
		.unshared = unsharer.pages,
		.copied = unsharer.copied,
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
	struct pg_run *r = ctx;

	pg_fault_trace_add(r->faults, e);
	if (e->after_fork)
		count_unshared(r, !pg_pfn_is_none(e->copied_from));
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
	struct pg_run *r = ctx;

	if (r->o->verbose)
		pg_run_say(r, "%s", what);
}

static void on_call(void *ctx, const struct pg_linux_call *c)
{
	struct pg_run *r = ctx;
	sigset_t before;

	look(r);
	if (OBSERVED(r, call))
		r->o->observer->hooks->call(OBSERVER(r), c);
	if (!r->outputs[PG_RUN_CALLS].file)
		return;
	pipe_errors_begin(&before);
	fprintf(r->outputs[PG_RUN_CALLS].file, "%s\n", c->text);
	pipe_errors_end(&before);
}

static void on_exec(void *ctx, const char *path)
{
	struct pg_run *r = ctx;

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
	struct pg_run *r = ctx;

	if (OBSERVED(r, leave))
		r->o->observer->hooks->leave(OBSERVER(r));
	if (pg_linux_pid(r->linux) != PG_LINUX_PID)
		return; /* the map is the first process's */
	forget_regions(&r->report);
	pg_space_each_region(pg_linux_space(r->linux), keep_region, &r->report);
}

struct pg_linux_hooks pg_run_hooks(struct pg_run *r)
{
	bool calls = r->outputs[PG_RUN_CALLS].file || r->o->on_look || OBSERVED(r, call);

	return (struct pg_linux_hooks){.ctx = r,
		.fault = on_fault,
		.unknown = on_unknown,
		.call = calls ? on_call : NULL,
		.exec = on_exec,
		.leave = on_leave,
		.ending = on_ending,
		.fork = OBSERVED(r, fork) ? on_fork : NULL,
		.ended = on_ended,
		.reached = OBSERVED(r, reached) ? on_reached : NULL,
		.code = OBSERVED(r, code) ? on_code : NULL,
		.transferred = OBSERVED(r, transferred) ? on_transferred : NULL,
		.signal = OBSERVED(r, signal) ? on_signal : NULL};
}

void pg_run_forget(struct pg_run *r)
{
	forget_regions(&r->report);
	free(r->report.repeated);
	free(r->report.processes);
	free(r->program);
	free(r->unsharers);
}
