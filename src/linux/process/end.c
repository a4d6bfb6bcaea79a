/* SPDX-License-Identifier: MIT */
/*
 * linux/process/end.c: processes end, are mourned, stop and go on.
 *
 * Called by signal.c (what kills and stops), calls/clone.c (exit), thread.c (the last thread ends a process) and oom.c. Tells the parent, the terminal,
 * and whoever keeps something of a process.
 */
#include "linux/calls/calls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"
#include "linux/process/parts.h"

#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void all_to_end(struct pg_process *p)
{
	p->exiting = true;
	p->stopped = false;
	for (struct pg_thread *t = p->thread; t != NULL; t = t->next)
		pg_thread_poke(t);
}

static void tell_ending(const struct pg_process *p, const struct pg_thread *by)
{
	const struct pg_linux *l = p->machine;

	if (l->hooks.ending != NULL)
		l->hooks.ending(
			l->hooks.ctx, p->pid, by != NULL && by->proc == p ? by->tid : 0, &p->end);
}

void pg_process_exit(struct pg_thread *me, int code)
{
	struct pg_process *p = me->proc;

	if (p->exiting)
		return;
	p->end.exited = true;
	p->end.code = code & 255;
	p->end.pc = me->pc;
	p->end.sp = me->regs->gpr[PG_RSP];
	tell_ending(p, me);
	all_to_end(p);
}

void pg_process_killed(struct pg_process *p, struct pg_thread *by, int signo)
{
	if (p->exiting || p->state == PG_ZOMBIE)
		return;
	p->end.exited = false;
	p->end.signal = signo;
	if (by != NULL && by->proc == p && by->regs != NULL) {
		p->end.pc = by->regs->rip;
		p->end.sp = by->regs->gpr[PG_RSP];
	}
	tell_ending(p, by);
	all_to_end(p);
}

static bool ignores_children(const struct pg_process *p)
{
	return p->sig.act[SIGCHLD].handler == 1 || (p->sig.act[SIGCHLD].flags & SA_NOCLDWAIT) != 0;
}

/* Whoever waits for children looks again. */
static void poke_waiters(struct pg_process *p)
{
	for (struct pg_thread *t = p->thread; t != NULL; t = t->next)
		if (t->wait.kind == PG_WAIT_CHILD)
			pg_thread_poke(t);
}

static void tell_parent(struct pg_process *p, int signo, int code, int status)
{
	struct pg_process *to = p->parent;
	union pg_siginfo info;
	uint64_t ticks = pg_process_cpu_ns(p) / 10000000u;

	if (to == NULL)
		return;
	if (signo != 0 &&
		!(signo == SIGCHLD && code != CLD_EXITED && code != CLD_KILLED &&
			code != CLD_DUMPED && (to->sig.act[SIGCHLD].flags & SA_NOCLDSTOP))) {
		memset(&info, 0, sizeof(info));
		info.host.si_signo = signo;
		info.host.si_code = code;
		info.host.si_pid = p->pid;
		info.host.si_uid = getuid();
		info.host.si_status = status;
		info.host.si_utime = (clock_t)ticks;
		(void)pg_signal_send(to, &info, 0);
	}
	poke_waiters(to);
}

/* A stopped group that nobody can continue any more, since p or its parent ended: it is hung up, as POSIX has it. */
static void hang_up_orphans(const struct pg_process *p)
{
	struct pg_linux *l = p->machine;
	bool stopped = false;

	for (const struct pg_process *k = l->processes; k != NULL; k = k->next)
		stopped |= k->pgid == p->pgid && k->state == PG_RUNNING && k->stopped;
	if (!stopped || !pg_signal_orphaned_group(p))
		return;
	for (struct pg_process *k = l->processes; k != NULL; k = k->next)
		if (k->pgid == p->pgid && k->state == PG_RUNNING) {
			(void)pg_signal_post(k, SIGHUP, SI_KERNEL, 0, 0);
			(void)pg_signal_post(k, SIGCONT, SI_KERNEL, 0, 0);
		}
}

/* Whether `parent` was a link of p's group to the rest of the session. */
static bool links(const struct pg_process *p, const struct pg_process *parent)
{
	return parent != NULL && parent->pgid != p->pgid && parent->sid == p->sid;
}

/* The children of one that ends become those of the nearest subreaper, or nobody's. */
static void orphan_children(struct pg_process *p)
{
	struct pg_process *heir = p->parent;
	bool was_parent = false;

	while (heir != NULL && (!heir->subreaper || heir->exiting))
		heir = heir->parent;
	for (struct pg_process *k = p->machine->processes, *next; k != NULL; k = next) {
		next = k->next;
		if (k->parent != p)
			continue;
		k->parent = heir;
		was_parent = true;
		if (k->state == PG_ZOMBIE && heir == NULL && k != p->machine->init)
			pg_process_free(k);
		else if (k->state == PG_ZOMBIE)
			tell_parent(k, k->exit_signal, k->end.exited ? CLD_EXITED : CLD_KILLED,
				k->end.exited ? k->end.code : k->end.signal);
		else if (k->death_signal != 0)
			(void)pg_signal_post(k, k->death_signal, SI_USER, p->pid, 0);
	}
	for (const struct pg_process *k = was_parent ? p->machine->processes : NULL; k != NULL;
		k = k->next)
		if (k->parent == heir && k->state == PG_RUNNING && links(k, p))
			hang_up_orphans(k);
	if (links(p, p->parent))
		hang_up_orphans(p);
}

/*
 * Its descriptors are closed before anybody learns of the end, as Linux does: who waits and then reads a pipe to its end must
 * find the end. The first process's table is Pagoda's own: its standard error stays, for the summary.
 */
static void close_files(struct pg_process *p, struct pg_thread *last)
{
	unsigned top = (unsigned)pg_linux_fd_limit() - 1;

	if (last->fds->users > 1)
		return;
	if (p != p->machine->init) {
		PG_QUICK(SYS_close_range, 0, top, 0, 0, 0, 0);
	} else if (p->machine->alive > 1) {
		PG_QUICK(SYS_close_range, 0, 1, 0, 0, 0, 0);
		PG_QUICK(SYS_close_range, 3, top, 0, 0, 0, 0);
	}
}

static void tell_ended(struct pg_process *p)
{
	const struct pg_linux_process told = {.pid = p->pid,
		.parent = pg_process_ppid(p),
		.name = p->comm,
		.end = &p->end,
		.cpu = p->cpu_before,
		.space = p->space_before,
		.system_calls = p->calls,
		.execs = p->execs,
		.cpu_ns = p->cpu_ns,
		.wall_ns = pg_host_clock_ns(CLOCK_MONOTONIC) - p->start_ns,
		.pauses = p->pauses,
		.paused_ns = p->paused_ns};

	if (p->machine->hooks.ended != NULL)
		p->machine->hooks.ended(p->machine->hooks.ctx, &told);
}

void pg_process_end(struct pg_process *p, struct pg_thread *last)
{
	struct pg_linux *l = p->machine;

	if (!p->exiting) { /* the last thread went by exit(), not exit_group() */
		p->exiting = true;
		p->end.exited = true;
	}
	pg_mm_tell_leave(last);
	pg_timers_delete(p, true);
	close_files(p, last);
	pg_terminal_process_ends(p);
	pg_sigfd_process_ends(p);
	l->ops->cpu_switch(last->cpu, NULL);
	pg_mm_keep_figures(p);
	pg_mm_vfork_over(p);
	if (p != l->init || p->mm->users > 1) {
		pg_mm_put(p->mm);
		pg_open_closed(last); /* of what it had mapped, too, nothing is left */
		p->mm = NULL; /* the first one's stays, for whoever looks at the machine afterwards */
	} else {
		pg_block_release(p->mm->space); /* but not as a block, which others may want */
	}
	memcpy(p->comm, last->comm, sizeof(p->comm));
	p->last_cred = last->cred;
	p->state = PG_ZOMBIE;
	orphan_children(p);
	l->alive--;
	pg_pidfd_ends(p, 0);
	tell_ended(p);
	pg_signal_free(&p->sig);
	if (p == l->init)
		return;
	if (p->parent != NULL) {
		bool gone = p->exit_signal == SIGCHLD && ignores_children(p->parent);

		tell_parent(p, p->exit_signal, p->end.exited ? CLD_EXITED : CLD_KILLED,
			p->end.exited ? p->end.code : p->end.signal);
		if (!gone)
			return;
	}
	pg_process_free(p);
}

/* --- stopping ------------------------------------------------------------------------------------------------------ */

void pg_process_stop(struct pg_process *p, int signo)
{
	if (p->exiting || p->stopped)
		return;
	p->stopped = true;
	p->stop_signal = signo;
	p->tell_stop = true;
	p->tell_cont = false;
	for (struct pg_thread *t = p->thread; t != NULL; t = t->next)
		pg_thread_poke(t);
	tell_parent(p, SIGCHLD, CLD_STOPPED, signo);
}

void pg_process_continue(struct pg_process *p)
{
	if (!p->stopped)
		return;
	p->stopped = false;
	p->tell_stop = false;
	p->tell_cont = true;
	for (struct pg_thread *t = p->thread; t != NULL; t = t->next)
		pg_thread_poke(t);
	tell_parent(p, SIGCHLD, CLD_CONTINUED, SIGCONT);
}

void pg_process_stop_all(struct pg_thread *me)
{
	for (struct pg_process *p = me->machine->processes; p != NULL; p = p->next) {
		if (p->exiting || p->state == PG_ZOMBIE)
			continue;
		p->end.stopped = true;
		pg_process_killed(p, me, SIGKILL);
	}
}
