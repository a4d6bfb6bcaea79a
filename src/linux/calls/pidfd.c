/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/pidfd.c: descriptors of processes, and the calls that take one.
 *
 * Called through table.c; by the files of process/ (clone with CLONE_PIDFD, ends), wait.c, files/io.c and proc/locks.c. A guest's
 * process is none of the host, so its descriptor is the reading end of a pipe, which the host's poll, select and epoll know: a byte lies
 * in it once the process (or the thread, with PIDFD_THREAD) has ended. Nobody can read it: read() is EINVAL, as on Linux. Pagoda has the other
 * end, with the keeper (files/descriptors.c), until the process has been waited for.
 *
 * A descriptor is known by the pipe's inode, so copies, inherited and passed ones are too.
 *
 * Owns pg_linux.pidfds. They stay after their process, whose descriptors say ESRCH then, until the machine ends.
 *
 * Source: pidfd_open(2), pidfd_send_signal(2), process_madvise(2); Linux kernel/pid.c, kernel/signal.c, mm/madvise.c, 6.18.
 */
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREAD O_EXCL /* PIDFD_THREAD */
#define SIGNAL_THREAD 1u
#define SIGNAL_PROCESS 2u
#define SIGNAL_GROUP 4u
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

struct pg_pidfd {
	struct pg_pidfd *next;
	uint64_t dev, ino;
	struct pg_process *proc; /* NULL: it has been waited for */
	int pid, tid;            /* tid 0: the process */
	int writer;              /* the keeper's number of the other end; -1: closed */
};

/* --- making ---------------------------------------------------------------------------------------------------- */

static struct pg_pidfd *of(const struct pg_process *p, int tid)
{
	struct pg_pidfd *d = p->machine->pidfds;

	while (d != NULL && (d->proc != p || d->tid != tid))
		d = d->next;
	return d;
}

/* A new pipe for the process: the descriptor of its reading end, or a negative errno. */
static int make_first(struct pg_process *p, int tid)
{
	struct pg_linux *l = p->machine;
	struct pg_pidfd *d = calloc(1, sizeof(*d));
	struct stat st;
	int end[2], kept;

	if (d == NULL || pipe2(end, O_CLOEXEC) != 0) {
		int err = d == NULL ? -ENOMEM : -errno;

		free(d);
		return err;
	}
	kept = fstat(end[0], &st) == 0 ? pg_keeper_store(l, end[1]) : -errno;
	close(end[1]);
	if (kept < 0) {
		close(end[0]);
		free(d);
		return kept;
	}
	*d = (struct pg_pidfd){.next = l->pidfds,
		.dev = st.st_dev,
		.ino = st.st_ino,
		.proc = p,
		.pid = p->pid,
		.tid = tid,
		.writer = kept};
	l->pidfds = d;
	if (p->state == PG_ZOMBIE)
		pg_keeper_ring(l, kept);
	return end[0];
}

/* Another descriptor of its own on the pipe. */
static int make_again(struct pg_linux *l, const struct pg_pidfd *d)
{
	int writer = pg_keeper_fetch(l, d->writer), fd;
	char link[48];

	if (writer < 0)
		return writer;
	snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", writer);
	fd = open(link, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || dup3(fd, writer, O_CLOEXEC) < 0) {
		int err = -errno;

		if (fd >= 0)
			close(fd);
		close(writer);
		return err;
	}
	close(fd); /* what is left has the lowest number */
	return writer;
}

int pg_pidfd_make(struct pg_process *p, int tid, unsigned flags)
{
	const struct pg_pidfd *d = of(p, tid);
	int64_t fd = d != NULL ? make_again(p->machine, d) : make_first(p, tid);

	fd = pg_fd_given(fd);
	if (fd >= 0)
		(void)fcntl((int)fd, F_SETFL, flags & O_NONBLOCK);
	return (int)fd;
}

/* --- knowing ----------------------------------------------------------------------------------------------------- */

static struct pg_pidfd *find(const struct pg_linux *l, int fd)
{
	struct pg_pidfd *d = l->pidfds;
	struct stat st;

	if (d == NULL || !pg_fd_ok(fd) || fstat(fd, &st) != 0 || !S_ISFIFO(st.st_mode))
		return NULL;
	while (d != NULL && (d->ino != st.st_ino || d->dev != st.st_dev))
		d = d->next;
	return d;
}

bool pg_pidfd_is(struct pg_thread *me, int fd)
{
	return find(me->machine, fd) != NULL;
}

int pg_pidfd_pid(struct pg_thread *me, int fd)
{
	const struct pg_pidfd *d = find(me->machine, fd);

	return d != NULL ? d->pid : -EBADF;
}

int pg_pidfd_shown(struct pg_linux *l, uint64_t dev, uint64_t ino)
{
	for (const struct pg_pidfd *d = l->pidfds; d != NULL; d = d->next)
		if (d->ino == ino && d->dev == dev)
			return d->proc == NULL ? -1 : d->tid != 0 ? d->tid : d->pid;
	return 0;
}

void pg_pidfd_ends(struct pg_process *p, int tid)
{
	const struct pg_pidfd *d = of(p, tid);

	if (d != NULL && d->writer >= 0)
		pg_keeper_ring(p->machine, d->writer);
}

void pg_pidfd_reaped(struct pg_process *p)
{
	for (struct pg_pidfd *d = p->machine->pidfds; d != NULL; d = d->next) {
		if (d->proc != p)
			continue;
		pg_keeper_forget(p->machine, d->writer);
		d->writer = -1;
		d->proc = NULL;
	}
}

void pg_pidfds_end(struct pg_linux *l)
{
	while (l->pidfds != NULL) {
		struct pg_pidfd *d = l->pidfds;

		l->pidfds = d->next;
		free(d);
	}
}

/* The process of a descriptor: 0, -EBADF, or -ESRCH: it has been waited for. */
static int process_of(struct pg_thread *me, int fd, struct pg_process **p)
{
	const struct pg_pidfd *d = find(me->machine, fd);

	*p = d != NULL ? d->proc : NULL;
	return d == NULL ? -EBADF : *p == NULL ? -ESRCH : 0;
}

/* --- the calls ------------------------------------------------------------------------------------------------- */

int64_t pg_sys_pidfd_open(struct pg_thread *me, const uint64_t *a)
{
	int id = (int)a[0];
	unsigned flags = (unsigned)a[1];
	struct pg_process *p;
	struct pg_thread *t;

	if ((flags & ~(unsigned)(O_NONBLOCK | THREAD)) || id <= 0)
		return -EINVAL;
	p = pg_process_find(me->machine, id);
	t = pg_thread_find(me->machine, id);
	if (p == NULL && t == NULL)
		return -ESRCH;
	if (flags & THREAD)
		return t != NULL ? pg_pidfd_make(t->proc, t->tid, flags) : -ESRCH;
	return p != NULL ? pg_pidfd_make(p, 0, flags)
			 : -ENOENT; /* a thread that is not the first */
}

int64_t pg_sys_pidfd_send_signal(struct pg_thread *me, const uint64_t *a)
{
	const struct pg_pidfd *d = find(me->machine, (int)a[0]);
	int n = (int)a[1], tid = 0, err;
	unsigned flags = (unsigned)a[3];
	union pg_siginfo info;

	if ((flags & ~(SIGNAL_THREAD | SIGNAL_PROCESS | SIGNAL_GROUP)) || (flags & (flags - 1)))
		return -EINVAL;
	if (d == NULL)
		return -EBADF;
	if (flags == SIGNAL_THREAD || (flags == 0 && d->tid != 0))
		tid = d->tid != 0 ? d->tid : d->pid;
	memset(&info, 0, sizeof(info));
	if (a[2] != 0) {
		if (pg_guest_read(me, &info, a[2], sizeof(info)) != 0)
			return -EFAULT;
		d = find(me->machine, (int)a[0]); /* reading may have waited for a page */
		if (d == NULL)
			return -EBADF;
		if (info.host.si_signo != n)
			return -EINVAL;
		if (d->proc != me->proc &&
			(info.host.si_code >= 0 || info.host.si_code == SI_TKILL))
			return -EPERM;
	} else {
		info.host.si_signo = n;
		info.host.si_code = SI_USER;
		info.host.si_pid = me->proc->pid;
		info.host.si_uid = getuid();
	}
	if (n < 0 || n > PG_NSIG)
		return -EINVAL;
	if (d->proc == NULL || (tid != 0 && pg_thread_of(d->proc, tid) == NULL))
		return -ESRCH;
	if (flags == SIGNAL_GROUP) {
		const uint64_t to[2] = {(uint64_t)(int64_t)-d->proc->pgid, (uint64_t)n};

		return pg_sys_kill(me, to);
	}
	err = pg_cred_may_signal(me, d->proc, tid, n);
	return err != 0 || n == 0 ? err : pg_signal_send(d->proc, &info, tid);
}

/* A copy of another process's descriptor: the host makes it, by a descriptor of the thread that has the table. */
int64_t pg_sys_pidfd_getfd(struct pg_thread *me, const uint64_t *a)
{
	const struct pg_thread *t;
	struct pg_process *p;
	int64_t host, r;
	int err;

	if ((unsigned)a[2] != 0)
		return -EINVAL;
	err = process_of(me, (int)a[0], &p);
	if (err != 0)
		return err;
	if (!pg_cred_may_look(me, p, p->mm, false))
		return -EPERM;
	for (t = p->thread; t != NULL && t->host_tid == 0;)
		t = t->next;
	if (t == NULL)
		return -ESRCH;
	if (!pg_fd_ok((int)a[1]))
		return -EBADF;
	if (t->fds == me->fds)
		return pg_fd_given(PG_QUICK(SYS_fcntl, (int)a[1], F_DUPFD_CLOEXEC, 0, 0, 0, 0));
	host = PG_QUICK(SYS_pidfd_open, t->host_tid, THREAD, 0, 0, 0, 0);
	if (host < 0) {
		pg_linux_unknown(
			me, "pidfd_getfd needs a host with PIDFD_THREAD (Linux 6.9): EPERM");
		return -EPERM;
	}
	r = PG_QUICK(SYS_pidfd_getfd, host, (int)a[1], 0, 0, 0, 0);
	if (r > host && PG_QUICK(SYS_dup3, r, host, O_CLOEXEC, 0, 0, 0) >= 0) {
		close((int)r);
		return pg_fd_given(host); /* the lowest number */
	}
	close((int)host);
	return pg_fd_given(r);
}

/* What one process may advise about another's memory. */
static bool remote_advice(int advice)
{
	return advice == MADV_COLD || advice == MADV_PAGEOUT || advice == MADV_WILLNEED ||
	       advice == MADV_COLLAPSE;
}

/* madvise for each element, in the caller's space, which may be another's for the time: bytes that were advised, or an error. */
static int64_t advise_all(struct pg_thread *me, const struct iovec *v, uint64_t n, int advice)
{
	uint64_t done = 0;

	for (uint64_t i = 0; i < n; i++) {
		const uint64_t one[3] = {
			(uint64_t)(uintptr_t)v[i].iov_base, v[i].iov_len, (uint64_t)advice};
		int64_t r = pg_sys_madvise(me, one);

		if (r != 0)
			return done != 0 ? (int64_t)done : r;
		done += v[i].iov_len;
	}
	return (int64_t)done;
}

int64_t pg_sys_process_madvise(struct pg_thread *me, const uint64_t *a)
{
	struct pg_mm *own = me->mm, *mm;
	struct pg_process *p;
	struct iovec *v;
	uint64_t total;
	int64_t r;

	if ((unsigned)a[4] != 0)
		return -EINVAL;
	r = pg_guest_iovecs(me, a[1], a[2], &v, &total);
	if (r != 0)
		return r;
	r = process_of(me, (int)a[0], &p);
	mm = r == 0 ? p->mm : NULL;
	if (r == 0 && mm == NULL)
		r = -ESRCH;
	else if (r == 0 && mm != own && !pg_cred_may_read(me, p, mm))
		r = -EACCES;
	else if (r == 0 && mm != own && !remote_advice((int)a[3]))
		r = -EINVAL;
	else if (r == 0 && mm != own && !pg_cred_capable(CAP_SYS_NICE))
		r = -EPERM;
	if (r == 0) {
		pg_mm_look(mm);
		me->mm = mm;
		r = advise_all(me, v, a[2], (int)a[3]);
		me->mm = own;
		pg_mm_looked(mm);
	}
	free(v);
	return r;
}

/* The memory of a process that is being killed is given back: here it is so at its end, which is waited for. */
int64_t pg_sys_process_mrelease(struct pg_thread *me, const uint64_t *a)
{
	struct pg_process *p;
	int pid, err;

	if ((unsigned)a[1] != 0)
		return -EINVAL;
	err = process_of(me, (int)a[0], &p);
	if (err != 0)
		return err;
	if (p->state == PG_ZOMBIE || p->mm == NULL)
		return -ESRCH;
	if (!p->exiting || p->mm->users > 1)
		return -EINVAL;
	pid = p->pid;
	while (p != NULL && p->state == PG_RUNNING) {
		if (pg_signal_waiting(me))
			return -EINTR;
		pg_thread_sleep(me, pg_host_clock_ns(CLOCK_MONOTONIC) + 1000000);
		p = pg_process_find(me->machine, pid);
	}
	return 0;
}
