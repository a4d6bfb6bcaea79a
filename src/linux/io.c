/* SPDX-License-Identifier: MIT */
/*
 * linux/io.c: bytes between descriptors and the guest's frames.
 *
 * Called by the read and write families. The guest's buffer is pinned piece by piece and the host reads or
 * writes the frames themselves: nothing is bounced. Before the host reads a file that the guest has mapped, its
 * dirty pages are written back; after it wrote one, the cached pages are refreshed.
 *
 * A transfer larger than one piece goes on only where that is what Linux would do: a read of a regular file, and
 * any write. A read from a pipe, terminal or socket ends with the first piece, so that it never
 * blocks with data in hand.
 */
#include "linux/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PIECES 256 /* host iovecs at once */

/* The file's object if it is mapped, and where the next byte of a call without an offset comes from. */
struct target {
	bool regular; /* all that is asked for comes, without waiting */
	bool waits;   /* a pipe or a terminal: a read may wait for ever */
	bool append;
	struct pg_object *object;
	int64_t at;
};

static void look(struct pg_thread *me, int fd, int64_t offset, struct target *t)
{
	struct stat st;

	*t = (struct target){.at = offset};
	if (fstat(fd, &st) != 0)
		return;
	/* the memory devices (zero, urandom, ...) give all that is asked for, too */
	t->regular = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ||
		     (S_ISCHR(st.st_mode) && major(st.st_rdev) == 1);
	t->waits = S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && !t->regular);
	t->object = pg_files_find(me, &st);
	if (t->object == NULL)
		return;
	t->append = (fcntl(fd, F_GETFL) & O_APPEND) != 0;
	if (offset < 0)
		t->at = lseek(fd, 0, SEEK_CUR);
}

/*
 * A read that will wait does so before its buffer is pinned: pinned frames stay, and many guests may be waiting. Sockets are not asked, they
 * have time limits of their own. 0, or that a signal came.
 */
static int64_t wait_ready(struct pg_thread *me, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t r;

	if (poll(&p, 1, 0) != 0 || (fcntl(fd, F_GETFL) & O_NONBLOCK))
		return 0;
	r = PG_HOST(me, SYS_ppoll, (uintptr_t)&p, 1, 0, 0, 0, 0);
	return r == -PG_ERESTARTSYS ? r : 0;
}

int64_t pg_io_signal(struct pg_thread *me, int64_t r)
{
	if (r == -EPIPE)
		(void)pg_signal_post(me->proc, SIGPIPE, SI_USER, me->proc->pid, me->tid);
	else if (r == -EFBIG)
		(void)pg_signal_post(me->proc, SIGXFSZ, SI_USER, me->proc->pid, me->tid);
	return r;
}

void pg_io_before_read(struct pg_thread *me, int fd, uint64_t start, uint64_t end)
{
	struct stat st;
	struct pg_object *o;

	if (me->machine->files == NULL || fstat(fd, &st) != 0)
		return;
	o = pg_files_find(me, &st);
	if (o != NULL && pg_object_before_host_read(o, start, end) == -ENOMEM)
		me->oom = true;
}

void pg_io_after_write(struct pg_thread *me, int fd, uint64_t start, uint64_t end)
{
	struct stat st;
	struct pg_object *o;

	if (me->machine->files == NULL || fstat(fd, &st) != 0)
		return;
	o = pg_files_find(me, &st);
	if (o != NULL && pg_object_after_host_write(o, start, end) == -ENOMEM)
		me->oom = true;
}

void pg_io_truncated(struct pg_thread *me, int fd)
{
	struct stat st;
	struct pg_object *o;

	if (me->machine->files == NULL || fstat(fd, &st) != 0)
		return;
	o = pg_files_find(me, &st);
	if (o != NULL)
		pg_object_truncated(o, (uint64_t)st.st_size);
}

void pg_io_punched(struct pg_thread *me, int fd, uint64_t start, uint64_t end)
{
	struct stat st;
	struct pg_object *o;

	if (me->machine->files == NULL || fstat(fd, &st) != 0)
		return;
	o = pg_files_find(me, &st);
	if (o != NULL)
		pg_object_punched(o, start, end);
}

/* One host call on pinned frames. Chooses the plain form where the guest used it: some files know no other. */
static int64_t host_io(struct pg_thread *me, bool in, int fd, const struct iovec *v, unsigned n,
	int64_t offset, int flags)
{
	if (flags != 0)
		return PG_HOST(
			me, in ? SYS_preadv2 : SYS_pwritev2, fd, (uintptr_t)v, n, offset, 0, flags);
	if (n == 1 && offset < 0)
		return PG_HOST(me, in ? SYS_read : SYS_write, fd, (uintptr_t)v->iov_base,
			v->iov_len, 0, 0, 0);
	if (n == 1)
		return PG_HOST(me, in ? SYS_pread64 : SYS_pwrite64, fd, (uintptr_t)v->iov_base,
			v->iov_len, offset, 0, 0);
	if (offset < 0)
		return PG_HOST(me, in ? SYS_readv : SYS_writev, fd, (uintptr_t)v, n, 0, 0, 0);
	return PG_HOST(me, in ? SYS_preadv : SYS_pwritev, fd, (uintptr_t)v, n, offset, 0, 0);
}

/* A transfer of nothing still has to be tried: it may fail. */
static int64_t empty_io(struct pg_thread *me, bool in, int fd, int64_t offset, int flags)
{
	struct iovec none = {.iov_base = NULL, .iov_len = 0};

	return host_io(me, in, fd, &none, 1, offset, flags);
}

int64_t pg_io_read(struct pg_thread *me, int fd, const struct iovec *v, unsigned count,
	uint64_t total, int64_t offset, int flags)
{
	struct iovec host[PIECES];
	struct target t;
	uint64_t done = 0;

	if (!pg_fd_ok(fd))
		return -EBADF;
	if (total == 0)
		return empty_io(me, true, fd, offset, flags);
	look(me, fd, offset, &t);
	if (t.waits) {
		int64_t r;

		if (pg_sigfd_read(me, fd, v, count, total, &r))
			return r;
		r = pg_terminal_before_read(me, fd);
		if (r != 0)
			return r;
	}
	if (t.waits && wait_ready(me, fd) != 0)
		return -PG_ERESTARTSYS;
	if (t.object != NULL && t.at >= 0 &&
		pg_object_before_host_read(t.object, (uint64_t)t.at, (uint64_t)t.at + total) ==
			-ENOMEM)
		me->oom = true;
	while (done < total && !me->oom) {
		unsigned n;
		uint64_t got = pg_guest_pin(
			me, v, count, done, pg_guest_pin_bytes(me), PG_WRITE, host, &n, PIECES);
		int64_t r;

		if (got == 0) {
			/* no buffer: but end of file and errors come first */
			if (done == 0) {
				uint8_t probe;
				struct iovec p = {&probe, 1};

				if (t.regular) {
					r = PG_QUICK(SYS_pread64, fd, (uintptr_t)&probe, 1,
						offset >= 0 ? offset : lseek(fd, 0, SEEK_CUR), 0,
						0);
					return r > 0 ? -EFAULT : r;
				}
				p.iov_len = 0;
				r = host_io(me, true, fd, &p, 1, offset, flags);
				return r < 0 ? r : -EFAULT;
			}
			break;
		}
		r = host_io(me, true, fd, host, n, offset >= 0 ? offset + (int64_t)done : offset,
			flags);
		pg_guest_unpin(me, PG_WRITE, host, n);
		if (r < 0)
			return done != 0 ? (int64_t)done : r;
		done += (uint64_t)r;
		if ((uint64_t)r < got || !t.regular)
			break;
	}
	me->machine->bytes_read += done;
	return (int64_t)done;
}

int64_t pg_io_write(struct pg_thread *me, int fd, const struct iovec *v, unsigned count,
	uint64_t total, int64_t offset, int flags)
{
	struct iovec host[PIECES];
	struct target t;
	uint64_t done = 0;
	uint8_t *copy =
		NULL; /* on a machine of blocks, of what may wait: nothing is pinned meanwhile */
	uint64_t most = 0;
	int64_t r = 0;

	if (!pg_fd_ok(fd))
		return -EBADF;
	if (total == 0)
		return empty_io(me, false, fd, offset, flags);
	look(me, fd, offset, &t);
	if (t.waits && (r = pg_terminal_before_write(me, fd)) != 0)
		return r;
	if (t.waits && me->machine->partition != NULL) {
		most = total < pg_guest_pin_bytes(me) ? total : pg_guest_pin_bytes(me);
		copy = malloc(most);
		if (copy == NULL)
			return -ENOMEM;
	}
	while (done < total && !me->oom) {
		unsigned n;
		uint64_t got;

		if (copy != NULL) {
			got = pg_guest_copy(me, v, count, done, PG_READ, copy, most);
			host[0] = (struct iovec){copy, got};
			n = 1;
		} else {
			got = pg_guest_pin(me, v, count, done, pg_guest_pin_bytes(me), PG_READ,
				host, &n, PIECES);
		}
		if (got == 0) {
			r = -EFAULT;
			break;
		}
		r = host_io(me, false, fd, host, n, offset >= 0 ? offset + (int64_t)done : offset,
			flags);
		if (copy == NULL)
			pg_guest_unpin(me, PG_READ, host, n);
		if (r < 0)
			break;
		done += (uint64_t)r;
		if ((uint64_t)r < got)
			break;
	}
	free(copy);
	if (done != 0 && t.object != NULL) {
		int64_t start = t.at;

		if (t.append && offset < 0)
			start = lseek(fd, 0, SEEK_CUR) - (int64_t)done;
		if (start >= 0 && pg_object_after_host_write(t.object, (uint64_t)start,
					  (uint64_t)start + done) == -ENOMEM)
			me->oom = true;
	}
	if (done != 0 && t.waits)
		pg_terminal_written(me, fd, v, count, done);
	me->machine->bytes_written += done;
	return done != 0 ? pg_proc_written(me, fd, (int64_t)done) : pg_io_signal(me, r);
}
