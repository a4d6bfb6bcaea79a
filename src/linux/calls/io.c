/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/io.c: system calls that move bytes between descriptors and memory, or between descriptors.
 *
 * Called through table.c. The moving is files/io.c's.
 */
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_RW 0x7ffff000u /* Linux cuts longer transfers */

static int64_t one(struct pg_thread *me, const uint64_t *a, int64_t offset, bool in)
{
	uint64_t n = a[2] < MAX_RW ? a[2] : MAX_RW;
	struct iovec v = {(void *)(uintptr_t)a[1], n};

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	if ((int64_t)a[2] < 0)
		return -EINVAL;
	if (!pg_guest_range_ok(me, a[1], a[2]))
		return fcntl((int)a[0], F_GETFD) < 0 ? -EBADF : -EFAULT;
	return in ? pg_io_read(me, (int)a[0], &v, 1, n, offset, 0)
		  : pg_io_write(me, (int)a[0], &v, 1, n, offset, 0);
}

int64_t pg_sys_read(struct pg_thread *me, const uint64_t *a)
{
	return one(me, a, -1, true);
}

int64_t pg_sys_write(struct pg_thread *me, const uint64_t *a)
{
	return one(me, a, -1, false);
}

int64_t pg_sys_pread64(struct pg_thread *me, const uint64_t *a)
{
	return (int64_t)a[3] < 0 ? -EINVAL : one(me, a, (int64_t)a[3], true);
}

int64_t pg_sys_pwrite64(struct pg_thread *me, const uint64_t *a)
{
	return (int64_t)a[3] < 0 ? -EINVAL : one(me, a, (int64_t)a[3], false);
}

static int64_t many(struct pg_thread *me, const uint64_t *a, int64_t offset, int flags, bool in)
{
	struct iovec *v;
	uint64_t total;
	int64_t r;
	int err;

	if (!pg_fd_ok((int)a[0]) || fcntl((int)a[0], F_GETFD) < 0)
		return -EBADF;
	err = pg_guest_iovecs(me, a[1], a[2], &v, &total);
	if (err != 0)
		return err;
	r = in ? pg_io_read(me, (int)a[0], v, (unsigned)a[2], total, offset, flags)
	       : pg_io_write(me, (int)a[0], v, (unsigned)a[2], total, offset, flags);
	free(v);
	return r;
}

int64_t pg_sys_readv(struct pg_thread *me, const uint64_t *a)
{
	return many(me, a, -1, 0, true);
}

int64_t pg_sys_writev(struct pg_thread *me, const uint64_t *a)
{
	return many(me, a, -1, 0, false);
}

int64_t pg_sys_preadv(struct pg_thread *me, const uint64_t *a)
{
	return (int64_t)a[3] < 0 ? -EINVAL : many(me, a, (int64_t)a[3], 0, true);
}

int64_t pg_sys_pwritev(struct pg_thread *me, const uint64_t *a)
{
	return (int64_t)a[3] < 0 ? -EINVAL : many(me, a, (int64_t)a[3], 0, false);
}

int64_t pg_sys_preadv2(struct pg_thread *me, const uint64_t *a)
{
	return (int64_t)a[3] < -1 ? -EINVAL : many(me, a, (int64_t)a[3], (int)a[5], true);
}

int64_t pg_sys_pwritev2(struct pg_thread *me, const uint64_t *a)
{
	return (int64_t)a[3] < -1 ? -EINVAL : many(me, a, (int64_t)a[3], (int)a[5], false);
}

int64_t pg_sys_lseek(struct pg_thread *me, const uint64_t *a)
{
	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	return PG_QUICK(SYS_lseek, (int)a[0], a[1], a[2], 0, 0, 0);
}

/* --- between descriptors ------------------------------------------------------------------------------ */

/* An offset in guest memory; -1 in *value if there is none. */
static int get_offset(struct pg_thread *me, uint64_t va, int64_t *value)
{
	*value = -1;
	if (va == 0)
		return 0;
	return pg_guest_read(me, value, va, sizeof(*value));
}

static uint64_t place(int fd, int64_t offset)
{
	int64_t at = offset >= 0 ? offset : lseek(fd, 0, SEEK_CUR);

	return at >= 0 ? (uint64_t)at : 0;
}

/* What goes through a pipe in pieces tries the next one at the limit, too: all of the n bytes that were left of what was asked have gone. */
static void limit_met(struct pg_thread *me, int64_t r, uint64_t n, uint64_t asked)
{
	if (n < asked && r == (int64_t)n)
		(void)pg_signal_post(me->proc, SIGXFSZ, SI_USER, me->proc->pid, me->tid);
}

int64_t pg_sys_sendfile(struct pg_thread *me, const uint64_t *a)
{
	int out = (int)a[0], in = (int)a[1];
	int64_t offset, r;
	uint64_t n, asked, from, to;
	struct pg_object *o = NULL;
	struct stat st;
	int err;

	if (!pg_fd_ok(out) || !pg_fd_ok(in))
		return -EBADF;
	err = get_offset(me, a[2], &offset);
	if (err != 0)
		return err;
	n = a[3] < MAX_RW ? a[3] : MAX_RW;
	asked = n;
	err = pg_io_limit(me, out, -1, 0, &n);
	if (err != 0)
		return err;
	from = place(in, offset);
	to = place(out, -1);
	err = pg_io_before_read(me, in, from, from + n);
	if (err != 0)
		return err;
	if (fstat(out, &st) == 0)
		o = pg_io_begin_change(me, &st);
	r = PG_HOST(me, SYS_sendfile, out, in, a[2] != 0 ? (uintptr_t)&offset : 0, n, 0, 0);
	r = pg_io_signal(me, r);
	if (r > 0)
		pg_io_after_write(me, out, to, to + (uint64_t)r);
	pg_io_end_change(o);
	limit_met(me, r, n, asked);
	if (r >= 0 && a[2] != 0 && pg_guest_write(me, a[2], &offset, sizeof(offset)) != 0)
		return -EFAULT;
	return r;
}

/* copy_file_range and splice: (in, *in_at, out, *out_at, n, flags). */
static int64_t move(struct pg_thread *me, long number, const uint64_t *a)
{
	int in = (int)a[0], out = (int)a[2];
	int64_t in_at, out_at, r;
	uint64_t n = a[4] < MAX_RW ? a[4] : MAX_RW, asked = n, from, to;
	struct pg_object *o = NULL;
	struct stat st;
	int err;

	if (!pg_fd_ok(out) || !pg_fd_ok(in))
		return -EBADF;
	err = get_offset(me, a[1], &in_at);
	if (err == 0)
		err = get_offset(me, a[3], &out_at);
	if (err == 0)
		err = pg_io_limit(me, out, out_at, 0, &n);
	if (err != 0)
		return err;
	from = place(in, in_at);
	to = place(out, out_at);
	err = pg_io_before_read(me, in, from, from + n);
	if (err != 0)
		return err;
	/* out of a pipe it may wait for ever, and pages would wait with it */
	if (fstat(in, &st) == 0 && S_ISREG(st.st_mode) && fstat(out, &st) == 0)
		o = pg_io_begin_change(me, &st);
	r = PG_HOST(me, number, in, a[1] != 0 ? (uintptr_t)&in_at : 0, out,
		a[3] != 0 ? (uintptr_t)&out_at : 0, n, (unsigned)a[5]);
	if (r > 0)
		pg_io_after_write(me, out, to, to + (uint64_t)r);
	pg_io_end_change(o);
	if (number == SYS_splice)
		limit_met(me, r, n, asked);
	if (r >= 0 && a[1] != 0 && pg_guest_write(me, a[1], &in_at, sizeof(in_at)) != 0)
		return -EFAULT;
	if (r >= 0 && a[3] != 0 && pg_guest_write(me, a[3], &out_at, sizeof(out_at)) != 0)
		return -EFAULT;
	return r;
}

int64_t pg_sys_copy_file_range(struct pg_thread *me, const uint64_t *a)
{
	return move(me, SYS_copy_file_range, a);
}

int64_t pg_sys_splice(struct pg_thread *me, const uint64_t *a)
{
	return pg_io_signal(me, move(me, SYS_splice, a));
}

int64_t pg_sys_tee(struct pg_thread *me, const uint64_t *a)
{
	if (!pg_fd_ok((int)a[0]) || !pg_fd_ok((int)a[1]))
		return -EBADF;
	return pg_io_signal(
		me, PG_HOST(me, SYS_tee, (int)a[0], (int)a[1], a[2], (unsigned)a[3], 0, 0));
}

/* A write to a pipe that does not wait, whatever the descriptor's flags: through a description of our own. */
static int64_t write_some(
	struct pg_thread *me, int fd, const struct iovec *v, unsigned count, uint64_t total)
{
	char path[64];
	int64_t r;
	int own;

	snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
	own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (own < 0)
		/* no reader is left */
		return errno == ENXIO ? pg_io_signal(me, -EPIPE) : -errno;
	r = pg_io_write(me, own, v, count, total, -1, 0);
	close(own);
	return r;
}

/*
 * Into a pipe: as many bytes as it takes at once, copied: later changes of the memory do not show in the pipe. Out of one: a read.
 */
int64_t pg_sys_vmsplice(struct pg_thread *me, const uint64_t *a)
{
	struct pollfd p = {.fd = (int)a[0], .events = POLLOUT};
	unsigned flags = (unsigned)a[3];
	bool wait = (flags & SPLICE_F_NONBLOCK) == 0, in;
	struct iovec *v;
	struct stat st;
	uint64_t total;
	int64_t r;

	if (flags & ~0xfu)
		return -EINVAL;
	if (!pg_fd_ok(p.fd) || fstat(p.fd, &st) != 0)
		return -EBADF;
	r = pg_guest_iovecs(me, a[1], a[2], &v, &total);
	if (r != 0)
		return r;
	in = (fcntl(p.fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
	if (in)
		p.events = POLLIN;
	if (!S_ISFIFO(st.st_mode))
		r = -EBADF;
	else if (total == 0)
		r = 0;
	else if (!wait && poll(&p, 1, 0) == 0)
		r = -EAGAIN;
	else if (in)
		r = pg_io_read(me, p.fd, v, (unsigned)a[2], total, -1, 0);
	else if (!wait || (r = PG_HOST(me, SYS_poll, (uintptr_t)&p, 1, -1, 0, 0, 0)) >= 0)
		r = write_some(me, p.fd, v, (unsigned)a[2], total);
	free(v);
	return r;
}

/* --- sizes and write-back ---------------------------------------------------------------------------------- */

/* Dirty pages of a shared mapping go to the host's file first. */
static int64_t sync_file(struct pg_thread *me, long number, const uint64_t *a)
{
	int fd = (int)a[0];
	int err;

	if (!pg_fd_ok(fd))
		return -EBADF;
	err = pg_files_sync(me, fd, 0, UINT64_MAX, true);
	return err != 0 ? err : PG_HOST(me, number, fd, a[1], a[2], a[3], 0, 0);
}

int64_t pg_sys_fsync(struct pg_thread *me, const uint64_t *a)
{
	return sync_file(me, SYS_fsync, a);
}

int64_t pg_sys_fdatasync(struct pg_thread *me, const uint64_t *a)
{
	return sync_file(me, SYS_fdatasync, a);
}

int64_t pg_sys_sync_file_range(struct pg_thread *me, const uint64_t *a)
{
	const unsigned waits = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER;
	unsigned flags = (unsigned)a[3];
	int fd = (int)a[0], err = 0;
	int64_t r;

	if (!pg_fd_ok(fd))
		return -EBADF;
	r = PG_QUICK(SYS_sync_file_range, fd, a[1], a[2], 0, 0, 0); /* are they numbers? */
	if (r == 0 && (flags & ~(waits | SYNC_FILE_RANGE_WRITE)))
		r = -EINVAL;
	if (r == 0 && (flags & SYNC_FILE_RANGE_WRITE))
		err = pg_files_sync(
			me, fd, a[1], a[2] != 0 ? a[1] + a[2] : UINT64_MAX, flags & waits);
	else if (r == 0 && (flags & waits))
		err = pg_files_sync(me, fd, 0, 0, true); /* waits for others' writing only */
	if (r != 0 || err != 0)
		return r != 0 ? r : err;
	return PG_HOST(me, SYS_sync_file_range, fd, a[1], a[2], flags, 0, 0);
}

int64_t pg_sys_syncfs(struct pg_thread *me, const uint64_t *a)
{
	struct stat st;
	int64_t r;
	int err;

	if (!pg_fd_ok((int)a[0]) || fstat((int)a[0], &st) != 0)
		return -EBADF;
	pg_files_sync_all(me, &st);
	r = PG_HOST(me, SYS_syncfs, (int)a[0], 0, 0, 0, 0, 0);
	err = r != -EBADF ? pg_open_fs_error(me, (int)a[0], &st) : 0;
	return r != 0 ? r : err;
}

int64_t pg_sys_sync(struct pg_thread *me, const uint64_t *a)
{
	pg_files_sync_all(me, NULL);
	return PG_HOST(me, SYS_sync, 0, 0, 0, 0, 0, 0);
}

int64_t pg_sys_ftruncate(struct pg_thread *me, const uint64_t *a)
{
	int fd = (int)a[0];
	struct pg_object *o;
	struct stat st;
	int64_t r;

	if (!pg_fd_ok(fd) || fstat(fd, &st) != 0)
		return -EBADF;
	r = pg_io_limit_size(me, &st, a[1]);
	if (r != 0)
		return r;
	/* what lies beyond the new end must not be written back over it later */
	o = pg_io_begin_change(me, &st);
	r = PG_HOST(me, SYS_ftruncate, fd, a[1], 0, 0, 0, 0);
	if (r == 0)
		pg_io_truncated(me, fd);
	pg_io_end_change(o);
	return r;
}

int64_t pg_sys_fallocate(struct pg_thread *me, const uint64_t *a)
{
	int fd = (int)a[0];
	struct pg_object *o;
	struct stat st;
	int64_t r;

	if (!pg_fd_ok(fd) || fstat(fd, &st) != 0)
		return -EBADF;
	if ((int)a[1] == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
		o = pg_io_begin_change(me, &st);
		r = PG_HOST(me, SYS_fallocate, fd, (int)a[1], a[2], a[3], 0, 0);
		if (r == 0)
			pg_io_punched(me, fd, a[2], a[2] + a[3]);
		pg_io_end_change(o);
		return r;
	}
	if (!((int)a[1] & FALLOC_FL_KEEP_SIZE) && (int64_t)a[2] >= 0 && (int64_t)a[3] > 0) {
		r = pg_io_limit_size(me, &st, a[2] + a[3]);
		if (r != 0)
			return r;
	}
	(void)pg_io_before_read(me, fd, 0, (uint64_t)st.st_size);
	o = pg_io_begin_change(me, &st);
	r = PG_HOST(me, SYS_fallocate, fd, (int)a[1], a[2], a[3], 0, 0);
	if (r == 0) {
		if (!((int)a[1] & FALLOC_FL_KEEP_SIZE))
			pg_io_truncated(me, fd);
		if (fstat(fd, &st) == 0)
			pg_io_after_write(me, fd, 0, (uint64_t)st.st_size);
	}
	pg_io_end_change(o);
	return r;
}

int64_t pg_sys_fadvise64(struct pg_thread *me, const uint64_t *a)
{
	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	return PG_QUICK(SYS_fadvise64, (int)a[0], a[1], a[2], (int)a[3], 0, 0);
}

int64_t pg_sys_readahead(struct pg_thread *me, const uint64_t *a)
{
	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	return PG_HOST(me, SYS_readahead, (int)a[0], a[1], a[2], 0, 0, 0);
}
