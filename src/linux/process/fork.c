/* SPDX-License-Identifier: MIT */
/*
 * linux/process/fork.c: clone() of all kinds: a process makes a process or a thread.
 *
 * Called by calls/clone.c (fork, vfork, clone, clone3). Calls process.c and mm.c for the record and the memory of a process, thread.c for its thread.
 *
 * A process that forks shares its anonymous pages with the child (space/fork.c), the host copies its table of descriptors, and all
 * else is in struct pg_process. One that clones with CLONE_VM without being a thread (vfork, posix_spawn) is in the same space until
 * it execs or exits.
 *
 * Invariants:
 *   P3 the guest of a failed clone is as before, and so is the machine.
 */
#include "linux/calls/calls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"
#include "linux/process/parts.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ull
#endif
#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
		CLONE_NEWPID | CLONE_NEWNET)

/* The child's record, its memory and its descriptors, not its thread. */
static int process_fork(struct pg_thread *me, const struct pg_clone *c, struct pg_process **out)
{
	struct pg_process *p = me->proc, *k;
	uint64_t most = p->limits[RLIMIT_NPROC].rlim_cur;
	int err = 0;

	if (me->machine->alive >= most && geteuid() != 0)
		return -EAGAIN;
	k = pg_process_make(me->machine);
	if (k == NULL)
		return -ENOMEM;
	if (c->flags & CLONE_VM) {
		k->mm = p->mm;
		k->mm->users++;
	} else {
		err = pg_mm_fork(me, &k->mm);
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
