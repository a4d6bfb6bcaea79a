/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/share.c: what threads and processes share, and cease to share: unshare, kcmp; and what no guest is given: namespaces
 * (setns) and the control of others (ptrace).
 *
 * Called through table.c. Refusals are those of a kernel that has the feature and a policy against it, EPERM, as a
 * container's seccomp policy or Yama's ptrace_scope 3 gives it: programs are prepared for that. Arguments are checked first, as Linux
 * does. Source of the checks: Linux kernel/fork.c check_unshare_flags(), kernel/kcmp.c, kernel/nsproxy.c, kernel/ptrace.c, 6.18.
 */
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
		CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME)
#define ALONE (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)

int64_t pg_sys_unshare(struct pg_thread *me, const uint64_t *a)
{
	uint64_t flags = a[0];
	int64_t r;

	if (flags & ~(uint64_t)(ALONE | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | NAMESPACES))
		return -EINVAL;
	if (flags & CLONE_NEWUSER)
		flags |= CLONE_THREAD | CLONE_FS;
	if ((flags & ALONE) && me->proc->threads > 1)
		return -EINVAL;
	if ((flags & CLONE_VM) && me->mm->users > 1)
		return -EINVAL;
	if (flags & NAMESPACES) {
		pg_linux_unknown(me, "namespaces are not there: EPERM");
		return -EPERM;
	}
	r = flags & CLONE_FS ? PG_QUICK(SYS_unshare, CLONE_FS, 0, 0, 0, 0, 0) : 0;
	if (r == 0 && (flags & CLONE_FILES))
		r = pg_fds_own(me);
	if (r == 0 && (flags & CLONE_SYSVSEM))
		pg_sem_leave(me);
	return r;
}

int64_t pg_sys_setns(struct pg_thread *me, const uint64_t *a)
{
	int fd = (int)a[0];
	char path[PATH_MAX];

	if (!pg_fd_ok(fd) || fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	if ((unsigned)a[1] & ~(unsigned)NAMESPACES)
		return -EINVAL;
	/* a file of /proc/PID/ns is called by kind and number, as "net:[4026531840]" */
	if (!pg_pidfd_is(me, fd) && (!pg_fd_path(fd, path, sizeof(path)) || path[0] == '/' ||
					    strstr(path, ":[4026") == NULL))
		return -EINVAL;
	if (pg_pidfd_is(me, fd) && (unsigned)a[1] == 0)
		return -EINVAL;
	pg_linux_unknown(me, "namespaces are not there: EPERM");
	return -EPERM;
}

int64_t pg_sys_ptrace(struct pg_thread *me, const uint64_t *a)
{
	long request = (long)a[0];

	if (request == PTRACE_TRACEME || ((request == PTRACE_ATTACH || request == PTRACE_SEIZE) &&
						 pg_thread_find(me->machine, (int)a[1]) != NULL)) {
		pg_linux_unknown(me, "ptrace is not there: EPERM");
		return -EPERM;
	}
	return -ESRCH; /* whom nobody traces is not found by all other requests */
}

/* Three-way order of two things by where they are, as kcmp() gives it: 0, 1 or 2. */
static int64_t order(const void *a, const void *b)
{
	return a == b ? 0 : (uintptr_t)a < (uintptr_t)b ? 1 : 2;
}

int64_t pg_sys_kcmp(struct pg_thread *me, const uint64_t *a)
{
	const struct pg_thread *x = pg_thread_find(me->machine, (int)a[0]),
			       *y = pg_thread_find(me->machine, (int)a[1]);
	struct kcmp_epoll_slot slot;

	if (x == NULL || y == NULL || x->host_tid == 0 || y->host_tid == 0)
		return -ESRCH;
	switch ((int)a[2]) {
	case KCMP_FILE:
		if (!pg_fd_ok((int)a[3]) || !pg_fd_ok((int)a[4]))
			return -EBADF;
		return PG_QUICK(
			SYS_kcmp, x->host_tid, y->host_tid, KCMP_FILE, (int)a[3], (int)a[4], 0);
	case KCMP_FS:
	case KCMP_IO:
		return PG_QUICK(SYS_kcmp, x->host_tid, y->host_tid, (int)a[2], 0, 0, 0);
	case KCMP_VM:
		return order(x->mm, y->mm);
	case KCMP_FILES:
		return order(x->fds, y->fds);
	case KCMP_SIGHAND:
		return order(x->proc, y->proc);
	case KCMP_SYSVSEM:
		return order(x->undos, y->undos);
	case KCMP_EPOLL_TFD:
		if (pg_guest_read(me, &slot, a[4], sizeof(slot)) != 0)
			return -EFAULT;
		if (!pg_fd_ok((int)a[3]) || !pg_fd_ok((int)slot.efd) || !pg_fd_ok((int)slot.tfd))
			return -EBADF;
		return PG_QUICK(SYS_kcmp, x->host_tid, y->host_tid, KCMP_EPOLL_TFD, (int)a[3],
			(uintptr_t)&slot, 0);
	default:
		return -EINVAL;
	}
}
