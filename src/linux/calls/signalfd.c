/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/signalfd.c: signalfd.
 *
 * Called through table.c, by files/io.c (reads) and by process/signal.c whenever a queue of signals changed. Owns pg_linux.sigfds.
 *
 * Guests' signals are not the host's, so its signalfd would see none. A guest's is a pipe that is open for both directions
 * in one descriptor, which the host's poll, select and epoll know: one byte lies in it while a signal of the mask is pending for its owner, the
 * process that made it. What read gives comes from the reader's own queue, never from the pipe.
 *
 * Invariants:
 *   1. level says whether the byte is in the pipe; it changes only under the machine lock.
 */
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(n) (1ull << ((n)-1))
#define UNBLOCKABLE (BIT(SIGKILL) | BIT(SIGSTOP))

struct pg_sigfd {
	struct pg_sigfd *next;
	int owner; /* pid: whose queue poll tells of */
	int fd;    /* the owner's number for it, when last seen */
	uint64_t dev, ino;
	uint64_t mask;
	bool level;
};

static struct pg_sigfd *find(struct pg_linux *l, int fd)
{
	struct pg_sigfd *s = l->sigfds;
	struct stat st;

	if (s == NULL || fstat(fd, &st) != 0 || !S_ISFIFO(st.st_mode))
		return NULL;
	while (s != NULL && (s->ino != st.st_ino || s->dev != st.st_dev))
		s = s->next;
	return s;
}

static bool is_at(const struct pg_sigfd *s, const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_ino == s->ino && st.st_dev == s->dev;
}

/* A descriptor of the caller's own on the pipe, by way of the table of a thread of p; -1: p has it no more. */
static int reach(struct pg_sigfd *s, const struct pg_process *p)
{
	const struct pg_thread *t = p->thread;
	char dir[64], path[96];
	struct dirent *e;
	DIR *d;
	int fd = -1;

	while (t != NULL && t->host_tid == 0)
		t = t->next;
	if (t == NULL)
		return -1;
	snprintf(dir, sizeof(dir), "/proc/self/task/%d/fd", (int)t->host_tid);
	snprintf(path, sizeof(path), "%s/%d", dir, s->fd);
	if (is_at(s, path))
		return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	d = opendir(dir);
	while (d != NULL && fd < 0 && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "%s/%.16s", dir, e->d_name);
		if (e->d_name[0] == '.' || !is_at(s, path))
			continue;
		s->fd = atoi(e->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	if (d != NULL)
		closedir(d);
	return fd;
}

static void forget(struct pg_linux *l, struct pg_sigfd *s)
{
	struct pg_sigfd **at = &l->sigfds;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	free(s);
}

/* The pipe says what is so. false: the process has closed it, and it is gone. */
static bool settle(struct pg_process *p, struct pg_sigfd *s)
{
	bool want = (p->sig.pending & s->mask) != 0;
	uint8_t byte = 1;
	int fd;

	if (want == s->level)
		return true;
	fd = reach(s, p);
	if (fd < 0) {
		forget(p->machine, s);
		return false;
	}
	if (want ? write(fd, &byte, 1) == 1 : read(fd, &byte, 1) == 1)
		s->level = want;
	close(fd);
	return true;
}

void pg_sigfd_changed(struct pg_process *p)
{
	for (struct pg_sigfd *s = p->machine->sigfds, *next; s != NULL; s = next) {
		next = s->next;
		if (s->owner == p->pid)
			(void)settle(p, s);
	}
}

void pg_sigfd_process_ends(struct pg_process *p)
{
	struct pg_linux *l = p->machine;

	for (struct pg_sigfd *s = l->sigfds, *next; s != NULL; s = next) {
		struct pg_process *heir = NULL;

		next = s->next;
		if (s->owner != p->pid)
			continue;
		for (struct pg_process *k = l->processes; k != NULL && heir == NULL; k = k->next) {
			int fd = k->parent == p && k->state == PG_RUNNING ? reach(s, k) : -1;

			if (fd < 0)
				continue;
			close(fd);
			heir = k;
		}
		if (heir == NULL) {
			forget(l, s);
			continue;
		}
		s->owner = heir->pid;
		(void)settle(heir, s);
	}
}

void pg_sigfd_free(struct pg_linux *l)
{
	while (l->sigfds != NULL)
		forget(l, l->sigfds);
}

/* --- reading -------------------------------------------------------------------------------------------------- */

static void convert(const union pg_siginfo *in, struct signalfd_siginfo *out)
{
	const siginfo_t *i = &in->host;

	memset(out, 0, sizeof(*out));
	out->ssi_signo = (uint32_t)i->si_signo;
	out->ssi_errno = i->si_errno;
	out->ssi_code = i->si_code;
	if (i->si_code == SI_TIMER) {
		out->ssi_tid = (uint32_t)i->si_timerid;
		out->ssi_overrun = (uint32_t)i->si_overrun;
		out->ssi_ptr = (uintptr_t)i->si_value.sival_ptr;
		out->ssi_int = i->si_value.sival_int;
	} else if (i->si_code > 0 && i->si_code < SI_KERNEL && i->si_signo == SIGIO) {
		out->ssi_band = (uint32_t)i->si_band;
		out->ssi_fd = i->si_fd;
	} else if (i->si_code > 0 && i->si_code < SI_KERNEL &&
		   (i->si_signo == SIGSEGV || i->si_signo == SIGBUS || i->si_signo == SIGILL ||
			   i->si_signo == SIGFPE || i->si_signo == SIGTRAP)) {
		out->ssi_addr = (uintptr_t)i->si_addr;
	} else {
		out->ssi_pid = (uint32_t)i->si_pid;
		out->ssi_uid = i->si_uid;
		if (i->si_code > 0 && i->si_code < SI_KERNEL && i->si_signo == SIGCHLD) {
			out->ssi_status = i->si_status;
			out->ssi_utime = (uint64_t)i->si_utime;
			out->ssi_stime = (uint64_t)i->si_stime;
		} else if (i->si_code < 0 && i->si_code != SI_TKILL) {
			out->ssi_ptr = (uintptr_t)i->si_value.sival_ptr;
			out->ssi_int = i->si_value.sival_int;
		}
	}
}

/* Takes a signal of the mask, waiting for it if `wait`: its number, 0 or -PG_ERESTARTSYS. */
static int64_t next_signal(struct pg_thread *me, uint64_t mask, bool wait, union pg_siginfo *info)
{
	int n;

	me->wait = (struct pg_wait){.kind = PG_WAIT_SIGNAL, .signals = mask};
	for (;;) {
		n = pg_signal_take(me, mask, info);
		if (n != 0 || !wait || pg_signal_waiting(me))
			break;
		pg_thread_sleep(me, UINT64_MAX);
	}
	me->wait.kind = PG_WAIT_NONE;
	me->poke = 1; /* others may have come meanwhile */
	return n != 0 || !wait ? n : -PG_ERESTARTSYS;
}

/* Bytes to the place `at` of the guest's iovecs. */
static int put(struct pg_thread *me, const struct iovec *v, unsigned count, uint64_t at,
	const uint8_t *from, uint64_t n)
{
	for (unsigned i = 0; i < count && n != 0; i++) {
		uint64_t part = v[i].iov_len;

		if (at >= part) {
			at -= part;
			continue;
		}
		part = part - at < n ? part - at : n;
		if (pg_guest_write(me, (uintptr_t)v[i].iov_base + at, from, part) != 0)
			return -EFAULT;
		from += part;
		n -= part;
		at = 0;
	}
	return 0;
}

bool pg_sigfd_read(struct pg_thread *me, int fd, const struct iovec *v, unsigned count,
	uint64_t total, int64_t *result)
{
	const struct pg_sigfd *s = find(me->machine, fd);
	struct signalfd_siginfo out;
	union pg_siginfo info;
	bool wait;
	uint64_t done = 0, mask;

	if (s == NULL)
		return false;
	*result = -EINVAL;
	mask = s->mask; /* s may go while we sleep */
	wait = (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
	while (total - done >= sizeof(out)) {
		int64_t n = next_signal(me, mask, wait && done == 0, &info);

		if (n <= 0) {
			*result = n < 0 ? n : -EAGAIN;
			break;
		}
		convert(&info, &out);
		*result = put(me, v, count, done, (const uint8_t *)&out, sizeof(out));
		if (*result != 0)
			break;
		done += sizeof(out);
	}
	if (done != 0)
		*result = (int64_t)done;
	return true;
}

/* --- making ------------------------------------------------------------------------------------------------------ */

/* A pipe open for both directions in one descriptor, the lowest that is free. */
static int64_t make(int flags)
{
	char path[64];
	int p[2], both;
	int64_t r;

	if (pipe2(p, O_CLOEXEC) != 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", p[0]);
	both = open(path, O_RDWR | O_CLOEXEC | (flags & O_NONBLOCK));
	r = both < 0 ? -errno : PG_QUICK(SYS_dup3, both, p[0], flags & O_CLOEXEC, 0, 0, 0);
	if (both >= 0)
		close(both);
	close(p[1]);
	if (r >= 0 && pg_fd_ok((int)r))
		return r;
	close(p[0]);
	return r < 0 ? r : -EMFILE;
}

static int64_t signalfd_with(struct pg_thread *me, const uint64_t *a, int flags)
{
	struct pg_sigfd *s;
	struct stat st;
	uint64_t mask;
	int64_t fd = (int)a[0];

	if (a[2] != sizeof(mask) || (flags & ~(SFD_CLOEXEC | SFD_NONBLOCK)))
		return -EINVAL;
	if (pg_guest_read(me, &mask, a[1], sizeof(mask)) != 0)
		return -EFAULT;
	mask &= ~UNBLOCKABLE;
	if (fd != -1) {
		if (!pg_fd_ok((int)fd) || fcntl((int)fd, F_GETFD) < 0)
			return -EBADF;
		s = find(me->machine, (int)fd);
		if (s == NULL)
			return -EINVAL;
		s->mask = mask;
		pg_sigfd_changed(me->proc);
		return fd;
	}
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	fd = make(flags);
	if (fd < 0 || fstat((int)fd, &st) != 0) {
		free(s);
		return fd < 0 ? fd : -EBADF;
	}
	*s = (struct pg_sigfd){.next = me->machine->sigfds,
		.owner = me->proc->pid,
		.fd = (int)fd,
		.dev = st.st_dev,
		.ino = st.st_ino,
		.mask = mask};
	me->machine->sigfds = s;
	pg_sigfd_changed(me->proc);
	return fd;
}

int64_t pg_sys_signalfd(struct pg_thread *me, const uint64_t *a)
{
	return signalfd_with(me, a, 0);
}

int64_t pg_sys_signalfd4(struct pg_thread *me, const uint64_t *a)
{
	return signalfd_with(me, a, (int)a[3]);
}
