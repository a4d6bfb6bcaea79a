/* SPDX-License-Identifier: MIT */
/*
 * linux/files/io.c: bytes between descriptors and the guest's frames.
 *
 * Called by the read and write families. The guest's buffer is pinned piece by piece and the host reads or
 * writes the frames themselves: nothing is bounced. Before the host reads a file that the guest has mapped, its
 * dirty pages are written back; after it wrote one, the cached pages are refreshed.
 *
 * A transfer larger than one piece goes on only where that is what Linux would do: a read of a regular file, and
 * any write. A read from a pipe, terminal or socket ends with the first piece, so that it never
 * blocks with data in hand.
 */
#include "linux/calls/calls.h"
#include "linux/files/files.h"
#include "linux/files/peer.h"
#include "linux/machine/machine.h"
#include "linux/proc/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECES 256 /* host iovecs at once */

struct target {
	bool regular; /* all that is asked for comes, without waiting */
	bool waits;   /* a pipe or a terminal: a read may wait for ever */
	bool socket;
	bool file; /* a regular file; then its size: some of /proc and the like have more than that */
	uint64_t size; /* bytes */
};

struct pg_object *pg_io_begin_change(struct pg_thread *me, const struct stat *st)
{
	struct pg_object *o = pg_files_find(me, st);

	if (o == NULL)
		return NULL;
	pg_object_ref(o);
	pg_object_lock(o);
	pg_object_before_host_write(o, pg_object_bytes(o));
	return o;
}

void pg_io_end_change(struct pg_object *o)
{
	if (o == NULL)
		return;
	pg_object_unlock(o);
	pg_object_unref(o);
}

static void look(int fd, struct target *t)
{
	struct stat st;

	*t = (struct target){0};
	if (fstat(fd, &st) != 0)
		return;
	/* the memory devices (zero, urandom, ...) give all that is asked for, too */
	t->regular = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ||
		     (S_ISCHR(st.st_mode) && major(st.st_rdev) == 1);
	t->waits = S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && !t->regular);
	t->socket = S_ISSOCK(st.st_mode);
	t->file = S_ISREG(st.st_mode);
	t->size = (uint64_t)st.st_size;
}

/*
 * How many of `total` bytes a read at place `at` of a file can get: the buffer behind them is not to be touched. 0: the file ends there.
 */
static uint64_t to_end(int fd, const struct target *t, int64_t at, uint64_t total)
{
	uint8_t probe;

	if (!t->file || at < 0 || (fcntl(fd, F_GETFL) & O_DIRECT))
		return total;
	if ((uint64_t)at >= t->size)
		return PG_QUICK(SYS_pread64, fd, (uintptr_t)&probe, 1, at, 0, 0) == 0 ? 0 : total;
	return total < t->size - (uint64_t)at ? total : t->size - (uint64_t)at;
}

/*
 * The object of the file behind fd, if it is mapped, with a reference: whoever works on it may give up the machine lock, and the last mapping may
 * go meanwhile. NULL: none.
 */
static struct pg_object *hold_object(struct pg_thread *me, int fd, struct stat *st)
{
	struct pg_object *o;

	if (me->machine->files == NULL || fstat(fd, st) != 0)
		return NULL;
	o = pg_files_find(me, st);
	if (o != NULL)
		pg_object_ref(o);
	return o;
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
	return r;
}

static int too_large(struct pg_thread *me)
{
	(void)pg_signal_post(me->proc, SIGXFSZ, SI_USER, me->proc->pid, me->tid);
	return -EFBIG;
}

int pg_io_limit(struct pg_thread *me, int fd, int64_t offset, int flags, uint64_t *n)
{
	uint64_t most = me->proc->limits[RLIMIT_FSIZE].rlim_cur;
	struct stat st;

	if (most == RLIM64_INFINITY || *n == 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return 0;
	if ((flags & RWF_APPEND) || (fcntl(fd, F_GETFL) & O_APPEND))
		offset = st.st_size;
	else if (offset < 0)
		offset = lseek(fd, 0, SEEK_CUR);
	if (offset < 0)
		return 0;
	if ((uint64_t)offset >= most)
		return too_large(me);
	if (*n > most - (uint64_t)offset)
		*n = most - (uint64_t)offset;
	return 0;
}

int pg_io_limit_size(struct pg_thread *me, const struct stat *st, uint64_t size)
{
	uint64_t most = me->proc->limits[RLIMIT_FSIZE].rlim_cur;

	if (!S_ISREG(st->st_mode) || size <= (uint64_t)st->st_size || (int64_t)size < 0)
		return 0;
	return size > most ? too_large(me) : 0;
}

int pg_io_before_read(struct pg_thread *me, int fd, uint64_t start, uint64_t end)
{
	struct stat st;
	struct pg_object *o = hold_object(me, fd, &st);
	int err;

	if (o == NULL)
		return 0;
	err = pg_object_before_host_read(o, start, end);
	if (err == -ENOMEM)
		me->oom = true;
	pg_object_unref(o);
	return err;
}

/*
 * The host read bytes from place `at` of the file on into v[n], but it has not got what could not be written back: that is
 * put over them.
 */
static void put_unwritten(struct pg_thread *me, int fd, const struct iovec *v, unsigned n,
	uint64_t at, uint64_t bytes)
{
	struct stat st;
	struct pg_object *o = hold_object(me, fd, &st);
	uint64_t end = at + bytes;

	for (unsigned i = 0; o != NULL && i < n && at < end; i++) {
		uint64_t in = 0;

		while (in < v[i].iov_len && at < end) {
			uint64_t from = at & PG_PAGE_MASK, part = PG_PAGE_SIZE - from;
			const uint8_t *page = pg_object_unwritten(o, at >> PG_PAGE_SHIFT);

			if (part > v[i].iov_len - in)
				part = v[i].iov_len - in;
			if (part > end - at)
				part = end - at;
			if (page != NULL)
				memcpy((uint8_t *)v[i].iov_base + in, page + from, part);
			in += part;
			at += part;
		}
	}
	if (o != NULL)
		pg_object_unref(o);
}

void pg_io_after_write(struct pg_thread *me, int fd, uint64_t start, uint64_t end)
{
	struct stat st;
	struct pg_object *o = hold_object(me, fd, &st);

	if (o == NULL)
		return;
	if (pg_object_after_host_write(o, start, end) == -ENOMEM)
		me->oom = true;
	pg_object_unref(o);
}

/*
 * A write without an offset put `done` bytes before the descriptor's place. The object is looked for now: the file may have been mapped, and the
 * page read, while the host wrote.
 */
static void wrote(struct pg_thread *me, int fd, int64_t offset, uint64_t done)
{
	struct stat st;
	struct pg_object *o = hold_object(me, fd, &st);

	if (o == NULL)
		return;
	if (offset < 0)
		offset = lseek(fd, 0, SEEK_CUR) - (int64_t)done;
	else if (fcntl(fd, F_GETFL) & O_APPEND) /* Linux's pwrite appends too */
		offset = st.st_size - (int64_t)done;
	if (offset >= 0 &&
		pg_object_after_host_write(o, (uint64_t)offset, (uint64_t)offset + done) == -ENOMEM)
		me->oom = true;
	pg_object_unref(o);
}

void pg_io_truncated(struct pg_thread *me, int fd)
{
	struct stat st;
	struct pg_object *o = hold_object(me, fd, &st);

	if (o == NULL)
		return;
	pg_object_truncated(o, (uint64_t)st.st_size);
	pg_object_unref(o);
}

void pg_io_punched(struct pg_thread *me, int fd, uint64_t start, uint64_t end)
{
	struct stat st;
	struct pg_object *o = hold_object(me, fd, &st);

	if (o == NULL)
		return;
	pg_object_punched(o, start, end);
	pg_object_unref(o);
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
	int64_t special, at = -1;
	bool unwritten = false;

	if (!pg_fd_ok(fd))
		return -EBADF;
	if (total == 0)
		return empty_io(me, true, fd, offset, flags);
	if (me->machine->mems != NULL && pg_proc_memory(me, fd, v, count, offset, false, &special))
		return special;
	look(fd, &t);
	if (t.waits) {
		int64_t r;

		if (pg_sigfd_read(me, fd, v, count, total, &r))
			return r;
		if (pg_pidfd_is(me, fd))
			return -EINVAL;
		r = pg_terminal_before_read(me, fd);
		if (r != 0)
			return r;
	}
	if (t.waits && wait_ready(me, fd) != 0)
		return -PG_ERESTARTSYS;
	if (t.regular)
		at = offset >= 0 ? offset : lseek(fd, 0, SEEK_CUR);
	total = flags == 0 ? to_end(fd, &t, at, total) : total;
	if (total == 0)
		return 0;
	if (t.regular && me->machine->files != NULL) {
		if (at >= 0)
			unwritten =
				pg_io_before_read(me, fd, (uint64_t)at, (uint64_t)at + total) != 0;
	}
	while (done < total && !me->oom) {
		uint64_t most = pg_guest_pin_bytes(me) < total - done ? pg_guest_pin_bytes(me)
								      : total - done;
		unsigned n;
		uint64_t got = pg_guest_pin(me, v, count, done, most, PG_WRITE, host, &n, PIECES);
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
		if (unwritten && r > 0)
			put_unwritten(me, fd, host, n, (uint64_t)at + done, (uint64_t)r);
		pg_guest_unpin(me, PG_WRITE, host, n);
		if (t.socket)
			pg_peer_received(me, fd, r);
		if (r < 0)
			return done != 0 ? (int64_t)done : r;
		done += (uint64_t)r;
		if ((uint64_t)r < got || !t.regular)
			break;
	}
	me->machine->bytes_read += done;
	return (int64_t)done;
}

/* Whether a memory file may not be written at `at`, or not grow there: Linux looks at that before it touches the buffer. */
static bool is_sealed(int fd, const struct target *t, int64_t at, uint64_t total)
{
	int seals = t->file ? fcntl(fd, F_GET_SEALS) : -1, flags = fcntl(fd, F_GETFL);
	uint64_t first = PG_PAGE_SIZE - ((uint64_t)at & PG_PAGE_MASK); /* it goes by pages */

	if (seals <= 0 || at < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return false;
	if (flags & O_APPEND)
		return seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_GROW);
	return (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) ||
	       ((seals & F_SEAL_GROW) && (uint64_t)at + (total < first ? total : first) > t->size);
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
	struct stat st;
	int64_t r = 0;

	if (!pg_fd_ok(fd))
		return -EBADF;
	if (total == 0)
		return empty_io(me, false, fd, offset, flags);
	if (me->machine->mems != NULL && pg_proc_memory(me, fd, v, count, offset, true, &r))
		return r;
	r = pg_io_limit(me, fd, offset, flags, &total);
	if (r != 0)
		return r;
	look(fd, &t);
	if (t.waits && (r = pg_terminal_before_write(me, fd)) != 0)
		return r;
	if (t.file && is_sealed(fd, &t, offset >= 0 ? offset : lseek(fd, 0, SEEK_CUR), total))
		return -EPERM;
	if (t.waits && me->machine->partition != NULL) {
		most = total < pg_guest_pin_bytes(me) ? total : pg_guest_pin_bytes(me);
		copy = malloc(most);
		if (copy == NULL)
			return -ENOMEM;
	}
	while (done < total && !me->oom) {
		struct pg_peer_sending sending = {0};
		struct pg_object *o = NULL;
		unsigned n;
		uint64_t got;

		if (copy != NULL) {
			got = pg_guest_copy(me, v, count, done, PG_READ, copy, most);
			host[0] = (struct iovec){copy, got};
			n = 1;
		} else {
			uint64_t piece = pg_guest_pin_bytes(me);

			got = pg_guest_pin(me, v, count, done,
				piece < total - done ? piece : total - done, PG_READ, host, &n,
				PIECES);
		}
		if (got == 0) {
			r = -EFAULT;
			break;
		}
		if (t.socket)
			sending = pg_peer_sends(me, fd, me->proc->pid, got, NULL, 0);
		if (t.file && me->machine->files != NULL && fstat(fd, &st) == 0)
			o = pg_io_begin_change(me, &st);
		r = host_io(me, false, fd, host, n, offset >= 0 ? offset + (int64_t)done : offset,
			flags);
		if (r > 0 && t.regular)
			wrote(me, fd, offset >= 0 ? offset + (int64_t)done : offset, (uint64_t)r);
		pg_io_end_change(o);
		if (copy == NULL)
			pg_guest_unpin(me, PG_READ, host, n);
		if (t.socket)
			pg_peer_sent(me, &sending, r);
		if (r < 0)
			break;
		done += (uint64_t)r;
		if ((uint64_t)r < got)
			break;
	}
	free(copy);
	if (done != 0 && t.waits)
		pg_terminal_written(me, fd, v, count, done);
	me->machine->bytes_written += done;
	return done != 0 ? pg_proc_written(me, fd, (int64_t)done) : pg_io_signal(me, r);
}
