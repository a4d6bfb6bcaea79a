/* SPDX-License-Identifier: MIT */
/*
 * linux/process/process.c: the guest's processes: made by clone, stopped, ended, mourned.
 *
 * Called by linux/linux.c (the first one), thread.c (the last thread ends a process), calls/clone.c and calls/wait.c. Calls space/ to fork memory.
 * Owns the list of processes and struct pg_mm.
 *
 * A process that forks shares its anonymous pages with the child (space/fork.c), the host copies its table of descriptors, and all
 * else is in struct pg_process. One that clones with CLONE_VM without being a thread (vfork, posix_spawn) is in the same space until
 * it execs or exits.
 *
 * Invariants:
 *   P1 a zombie has no threads, no memory and no descriptors; it stays until its parent has waited for it.
 *   P2 a process without parent in the machine is nobody's to wait for: it is freed when it ends, but for the first one.
 *   P3 the guest of a failed clone is as before, and so is the machine.
 *   P4 mm->users is the number of processes in it.
 */
#include "linux/machine/machine.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef CLONE_CLEAR_SIGHAND
#define FRAMES_BACK 16 /* as many as an access may take with its page tables, and some */
#define SPARED_MOST 64
#define CLONE_CLEAR_SIGHAND 0x100000000ull
#endif
#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
		CLONE_NEWPID | CLONE_NEWNET)

/* --- memory of processes ------------------------------------------------------------------------------------- */

struct pg_mm *pg_mm_make(struct pg_space *s)
{
	struct pg_mm *mm = calloc(1, sizeof(*mm));

	if (mm == NULL)
		return NULL;
	mm->space = s;
	mm->users = 1;
	mm->dumpable = 1;
	return mm;
}

void pg_mm_put(struct pg_mm *mm)
{
	if (mm == NULL || --mm->users != 0)
		return;
	pg_space_destroy(mm->space);
	free(mm);
}

/* A copy for a child. */
static int mm_fork(struct pg_thread *me, struct pg_mm **out)
{
	struct pg_mm *from = me->mm, *mm;
	struct pg_space *s;
	int err = pg_space_create(me->machine->vm, pg_space_configuration(from->space), &s);

	if (err != 0)
		return err;
	err = pg_space_fork(from->space, s);
	mm = err == 0 ? malloc(sizeof(*mm)) : NULL;
	if (mm == NULL) {
		pg_space_destroy(s);
		return -ENOMEM;
	}
	*mm = *from;
	mm->space = s;
	mm->users = 1;
	*out = mm;
	return 0;
}

/* The last moment at which the process's memory can be looked at. */
static void tell_leave(struct pg_thread *me)
{
	if (me->proc->leave_told)
		return;
	me->proc->leave_told = true;
	if (me->machine->hooks.leave != NULL)
		me->machine->hooks.leave(me->machine->hooks.ctx);
}

/* Figures of a space that the process leaves; those of a shared one stay with who stays. */
static void keep_space_figures(struct pg_process *p)
{
	struct pg_space_stats s;

	if (p->mm == NULL || p->mm->users > 1)
		return;
	pg_space_stats(p->mm->space, &s);
	pg_linux_add_space(&p->space_before, &s);
}

static void vfork_over(struct pg_process *p)
{
	struct pg_thread *parent = p->vfork;

	p->vfork = NULL;
	if (parent != NULL)
		pg_thread_poke(parent);
}

void pg_process_new_mm(struct pg_thread *me, struct pg_mm *mm)
{
	struct pg_process *p = me->proc;
	struct pg_mm *old = p->mm;

	if (old != NULL) {
		tell_leave(me);
		me->machine->ops->cpu_switch(me->cpu, mm->space);
		keep_space_figures(p);
	}
	p->mm = me->mm = mm;
	p->leave_told = false;
	pg_mm_put(old);
	vfork_over(p);
}

/* --- making --------------------------------------------------------------------------------------------------- */

static struct pg_process *process_make(struct pg_linux *l)
{
	struct pg_process *p = calloc(1, sizeof(*p)), **end = &l->processes;

	if (p == NULL)
		return NULL;
	p->machine = l;
	pg_signal_init(&p->sig);
	p->start_ns = pg_host_clock_ns(CLOCK_MONOTONIC);
	p->start_ticks = pg_host_clock_ns(CLOCK_BOOTTIME) / 10000000u;
	while (*end != NULL)
		end = &(*end)->next;
	*end = p;
	l->process_count++;
	l->alive++;
	return p;
}

static void process_unlink(struct pg_process *p)
{
	struct pg_process **at = &p->machine->processes;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	p->machine->process_count--;
}

void pg_process_free(struct pg_process *p)
{
	struct pg_linux *l = p->machine;

	pg_linux_add_space(&l->space_before, &p->space_before);
	l->signals += p->sig.delivered;
	process_unlink(p);
	pg_pidfd_reaped(p);
	pg_timers_delete(p, true);
	pg_signal_free(&p->sig);
	pg_mm_put(p->mm);
	if (p == l->init)
		l->init = NULL;
	free(p);
}

/* A thread that nobody cloned: its users are those of Pagoda. */
static struct pg_thread *first_thread(struct pg_process *p, struct pg_fds *fds, int *err)
{
	struct pg_thread *t = pg_thread_make(p, NULL, fds, err);

	if (t != NULL)
		pg_cred_read(&t->cred);
	return t;
}

int pg_process_init(struct pg_linux *l, struct pg_thread **first)
{
	struct pg_process *p = process_make(l);
	struct pg_fds *fds = pg_fds_make(l, NULL);
	int err = -ENOMEM;

	if (p == NULL || fds == NULL) {
		if (p != NULL) {
			l->alive--;
			pg_process_free(p);
		}
		free(fds);
		return err;
	}
	l->init = p;
	l->first_fds = fds;
	p->pid = PG_LINUX_PID;
	l->next_pid = PG_LINUX_PID + 1;
	p->pgid = (int)pg_guest_pid(l, getpgrp());
	p->sid = (int)pg_guest_pid(l, getsid(0));
	pg_terminal_init(p);
	*first = first_thread(p, fds, &err);
	return *first != NULL ? 0 : err;
}

int pg_process_orphan(struct pg_linux *l, struct pg_thread **first)
{
	struct pg_process *p = process_make(l);
	struct pg_fds *fds = p != NULL ? pg_fds_make(l, l->first_fds) : NULL;
	int err = -ENOMEM;

	if (fds != NULL) {
		fds->users++; /* ours, until the thread has it */
		*first = first_thread(p, fds, &err);
		pg_fds_put(l, fds);
	}
	if (err != 0) {
		if (p != NULL) {
			l->alive--;
			pg_process_free(p);
		}
		return err;
	}
	p->pid = p->pgid = p->sid = (*first)->tid;
	pg_linux_first_limits(l, p->limits);
	return 0;
}

struct pg_process *pg_process_find(struct pg_linux *l, int pid)
{
	struct pg_process *p = l->processes;

	while (p != NULL && p->pid != pid)
		p = p->next;
	return p;
}

int pg_process_ppid(const struct pg_process *p)
{
	if (p->parent != NULL)
		return p->parent->pid;
	return p == p->machine->init ? PG_LINUX_PPID : 1;
}

void pg_process_each_of_group(
	struct pg_linux *l, int pgid, bool (*f)(void *ctx, struct pg_process *p), void *ctx)
{
	for (struct pg_process *p = l->processes, *next; p != NULL; p = next) {
		next = p->next;
		if (p->pgid == pgid && p->state == PG_RUNNING && !f(ctx, p))
			return;
	}
}

/* The child's record, its memory and its descriptors, not its thread. */
static int process_fork(struct pg_thread *me, const struct pg_clone *c, struct pg_process **out)
{
	struct pg_process *p = me->proc, *k;
	uint64_t most = p->limits[RLIMIT_NPROC].rlim_cur;
	int err = 0;

	if (me->machine->alive >= most && geteuid() != 0)
		return -EAGAIN;
	k = process_make(me->machine);
	if (k == NULL)
		return -ENOMEM;
	if (c->flags & CLONE_VM) {
		k->mm = p->mm;
		k->mm->users++;
	} else {
		err = mm_fork(me, &k->mm);
	}
	if (err != 0) {
		me->machine->alive--;
		pg_process_free(k);
		return err;
	}
	k->parent = c->flags & CLONE_PARENT ? p->parent : p;
	k->pgid = p->pgid;
	k->sid = p->sid;
	k->terminal = p->terminal;
	memcpy(k->sig.act, p->sig.act, sizeof(k->sig.act));
	for (int n = 1; n <= PG_NSIG && (c->flags & CLONE_CLEAR_SIGHAND); n++)
		if (k->sig.act[n].handler != 1)
			k->sig.act[n] = (struct pg_sigaction){0};
	memcpy(k->limits, p->limits, sizeof(k->limits));
	k->personality = p->personality;
	k->no_huge = p->no_huge;
	k->oom_score_adj = p->oom_score_adj;
	k->exit_signal = c->exit_signal;
	*out = k;
	return 0;
}

/* As the thread that clones, with the changes that were asked for. */
static void copy_thread(struct pg_thread *me, struct pg_thread *t, const struct pg_clone *c)
{
	struct pg_xsave *x = t->regs->x;

	*t->regs = *me->regs;
	t->regs->x = x;
	memcpy(x, me->regs->x, PG_XSAVE_BYTES);
	t->regs->gpr[PG_RAX] = 0;
	if (c->stack != 0)
		t->regs->gpr[PG_RSP] = c->stack;
	if (c->flags & CLONE_SETTLS)
		t->regs->fs_base = c->tls;
	if (c->flags & CLONE_CHILD_CLEARTID)
		t->clear_tid = c->child_tid;
	t->sig.blocked = me->sig.blocked;
	t->sig.alt_flags = SS_DISABLE;
	if (!(c->flags & CLONE_VM) || (c->flags & CLONE_VFORK)) {
		t->sig.alt_flags = me->sig.alt_flags;
		t->sig.alt_sp = me->sig.alt_sp;
		t->sig.alt_size = me->sig.alt_size;
	}
	memcpy(t->comm, me->comm, sizeof(t->comm));
	t->cred = me->cred;
	t->pc = me->pc;
}

static int refuse(struct pg_thread *me, const struct pg_clone *c)
{
	if ((c->flags & CLONE_SIGHAND) && !(c->flags & CLONE_VM))
		return -EINVAL;
	if ((c->flags & CLONE_THREAD) && !(c->flags & CLONE_SIGHAND))
		return -EINVAL;
	if ((c->flags & CLONE_CLEAR_SIGHAND) && (c->flags & CLONE_SIGHAND))
		return -EINVAL;
	if (c->flags & NAMESPACES) {
		pg_linux_unknown(me, "a process in namespaces of its own is not there: EPERM");
		return -EPERM;
	}
	if ((c->flags & CLONE_SIGHAND) && !(c->flags & CLONE_THREAD)) {
		pg_linux_unknown(
			me, "a process that shares its signal handlers is not there: EINVAL");
		return -EINVAL;
	}
	if ((c->flags & CLONE_PIDFD) && (c->flags & CLONE_DETACHED))
		return -EINVAL;
	if ((c->flags & CLONE_SETTLS) && c->tls >= me->mm->layout.address_top)
		return -EPERM;
	return 0;
}

/* The descriptor that CLONE_PIDFD asks for, in the parent's table and memory. */
static int write_pidfd(
	struct pg_thread *me, const struct pg_thread *t, const struct pg_clone *c, int *fd)
{
	if (!(c->flags & CLONE_PIDFD))
		return 0;
	*fd = pg_pidfd_make(t->proc, c->flags & CLONE_THREAD ? t->tid : 0, 0);
	if (*fd < 0)
		return *fd;
	return pg_guest_write(me, c->pidfd, fd, sizeof(*fd));
}

/* Words that clone writes: in the parent's memory and in the child's. */
static int write_ids(struct pg_thread *me, struct pg_thread *t, const struct pg_clone *c)
{
	uint32_t tid = (uint32_t)t->tid;

	if ((c->flags & CLONE_PARENT_SETTID) &&
		pg_guest_write(me, c->parent_tid, &tid, sizeof(tid)) != 0)
		return -EFAULT;
	if ((c->flags & CLONE_CHILD_SETTID) && c->child_tid < t->mm->layout.address_top)
		/* Linux ignores a bad address: the child finds nothing there */
		(void)!pg_space_write(
			t->mm->space, (pg_va){c->child_tid}, &tid, sizeof(tid), me->pc);
	return 0;
}

static void wait_for_vfork(struct pg_thread *me, struct pg_process *k)
{
	/* k may be gone when its vfork is: it is looked for anew */
	const int pid = k->pid;

	for (;;) {
		k = pg_process_find(me->machine, pid);
		if (k == NULL || k->vfork != me || me->must_end || me->proc->exiting)
			return;
		pg_thread_sleep(me, UINT64_MAX);
	}
}

int64_t pg_process_clone(struct pg_thread *me, const struct pg_clone *c)
{
	struct pg_process *p = me->proc, *k = p;
	struct pg_linux *l = me->machine;
	struct pg_fds *fds = me->fds;
	struct pg_thread *t = NULL;
	int err = refuse(me, c), tid = 0, pidfd = -1;

	if (err != 0)
		return err;
	if (!(c->flags & CLONE_FILES)) {
		fds = pg_fds_make(l, me->fds);
		if (fds == NULL)
			return -ENOMEM;
	}
	fds->users++; /* ours, until the thread has it */
	if (!(c->flags & CLONE_THREAD))
		err = process_fork(me, c, &k);
	if (err == 0)
		t = pg_thread_make(k, k->mm, fds, &err);
	if (t != NULL) {
		if (k != p)
			k->pid = t->tid;
		copy_thread(me, t, c);
		t->new_files = !(c->flags & CLONE_FILES);
		t->new_fs = !(c->flags & CLONE_FS);
		tid = t->tid;
		err = c->flags & CLONE_SYSVSEM ? pg_sem_share(me, t) : 0;
		if (err == 0)
			err = write_ids(me, t, c);
		if (err == 0)
			err = write_pidfd(me, t, c, &pidfd);
		t->not_ours = pidfd + 1;
		if (err == 0 && k != p) {
			k->vfork = c->flags & CLONE_VFORK ? me : NULL;
			l->forks++;
			if (l->hooks.fork != NULL)
				l->hooks.fork(l->hooks.ctx, p->pid, k->pid);
			pg_partition_forked(l, k);
		}
		if (err == 0)
			err = pg_thread_start(t);
		if (err != 0)
			pg_thread_unmake(t);
	}
	pg_fds_put(l, fds);
	if (err != 0) {
		if (pidfd >= 0)
			close(pidfd);
		if (k != p) {
			l->alive--;
			pg_process_free(k);
		}
		return err;
	}
	if (k != p && k->vfork == me)
		wait_for_vfork(me, k);
	return tid;
}

/* --- ending ------------------------------------------------------------------------------------------------------ */

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
	tell_leave(last);
	pg_timers_delete(p, true);
	close_files(p, last);
	pg_terminal_process_ends(p);
	pg_sigfd_process_ends(p);
	l->ops->cpu_switch(last->cpu, NULL);
	keep_space_figures(p);
	vfork_over(p);
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

/* --- figures -------------------------------------------------------------------------------------------------------- */

uint64_t pg_process_cpu_ns(const struct pg_process *p)
{
	uint64_t sum = p->cpu_ns;

	for (const struct pg_thread *t = p->thread; t != NULL; t = t->next) {
		struct timespec s;
		clockid_t clock;

		if (t->host_tid != 0 && pthread_getcpuclockid(t->host, &clock) == 0 &&
			clock_gettime(clock, &s) == 0)
			sum += (uint64_t)s.tv_sec * 1000000000u + (uint64_t)s.tv_nsec;
	}
	return sum;
}

void pg_process_stats(
	const struct pg_process *p, struct pg_cpu_stats *cpu, struct pg_space_stats *space)
{
	if (cpu != NULL) {
		*cpu = p->cpu_before;
		for (const struct pg_thread *t = p->thread; t != NULL; t = t->next) {
			struct pg_cpu_stats s;

			if (t->cpu == NULL)
				continue;
			p->machine->ops->stats(t->cpu, &s);
			pg_linux_add_cpu(cpu, &s);
		}
	}
	*space = p->space_before;
	if (p->mm != NULL && p->state == PG_RUNNING) {
		struct pg_space_stats s;

		pg_space_stats(p->mm->space, &s);
		pg_linux_add_space(space, &s);
	}
}

/* --- out of memory ---------------------------------------------------------------------------------------------------- */

int64_t pg_process_badness(const struct pg_process *p)
{
	return p->mm == NULL || p->exiting ? INT64_MIN
					   : pg_space_badness(p->mm->space, p->oom_score_adj);
}

/* Who ends and has not given its memory back yet; NULL: nobody. While there is one, nobody is picked, as in Linux. */
static struct pg_process *dying(struct pg_linux *l)
{
	for (struct pg_process *p = l->processes; p != NULL; p = p->next)
		if (p->exiting && p->mm != NULL && p->state == PG_RUNNING)
			return p;
	return NULL;
}

static struct pg_process *pick_victim(struct pg_thread *me)
{
	struct pg_process *victim = NULL;
	int64_t worst = INT64_MIN;

	for (struct pg_process *p = me->machine->processes; p != NULL; p = p->next) {
		int64_t b = pg_process_badness(p);

		if (b > worst) {
			worst = b;
			victim = p;
		}
	}
	return victim != NULL ? victim : me->proc;
}

/* Who shares the memory goes with it: else nothing would be freed. */
static void kill_for_memory(struct pg_thread *me, struct pg_process *victim)
{
	struct pg_linux *l = me->machine;

	l->oom_kills++;
	for (struct pg_process *p = l->processes; p != NULL; p = p->next) {
		if (p != victim && (p->mm == NULL || p->mm != victim->mm))
			continue;
		if (!p->exiting)
			p->end.oom = true;
		pg_process_killed(p, me, SIGKILL);
	}
}

/*
 * Whether frames came back since `me` found none: others went on meanwhile. Linux looks once more before it kills, too. Not
 * for ever: what it wants may be other than any frame.
 */
static bool frames_came_back(struct pg_thread *me)
{
	uint64_t now = pg_host_clock_ns(CLOCK_MONOTONIC);

	if (me->machine->partition != NULL ||
		pg_frames_free_count(pg_vm_frames(me->machine->vm)) < FRAMES_BACK)
		return false;
	if (now - me->spared_ns > 1000000000u)
		me->spared = 0;
	me->spared_ns = now;
	return me->spared++ < SPARED_MOST;
}

void pg_process_oom(struct pg_thread *me)
{
	struct pg_linux *l = me->machine;
	struct pg_process *victim;
	int pid;

	me->oom = false;
	if (me->proc->exiting || frames_came_back(me))
		return;
	victim = dying(l);
	if (victim == NULL) {
		victim = pick_victim(me);
		kill_for_memory(me, victim);
	}
	pid = victim->pid;
	while (victim != me->proc && victim != NULL && victim->state == PG_RUNNING &&
		!me->must_end && !me->proc->exiting) {
		/* its threads run to their end; there is no signal to wait for, and it may never tell us */
		pg_thread_sleep(me, pg_host_clock_ns(CLOCK_MONOTONIC) + 200000);
		victim = pg_process_find(l, pid);
	}
}

/* --- stopped from outside ------------------------------------------------------------------------------------------------ */

void pg_linux_stop(struct pg_linux *l)
{
	l->stopping = true;
	for (struct pg_process *p = l->processes; p != NULL; p = p->next)
		for (struct pg_thread *t = p->thread; t != NULL; t = t->next) {
			pg_thread_poke(t);
			if (t->cpu != NULL)
				l->ops->interrupt(
					t->cpu); /* one of them runs, and is not to wait for its turn's end */
		}
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
