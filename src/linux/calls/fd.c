/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/fd.c: system calls on descriptors as such: made, copied, closed, their flags and locks, directories.
 *
 * Called through table.c. A guest's descriptor is the host's of the same number; those from
 * pg_linux_fd_limit() on are Pagoda's and do not exist for the guest.
 */
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/files/peer.h"
#include "linux/machine/machine.h"
#include "linux/proc/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GETDENTS_MOST 65536

/* Descriptors were closed; last: maybe one that pg_open_closing() asked about. */
static void closed(struct pg_thread *me, bool last)
{
	if (last)
		pg_open_closed(me);
	pg_terminal_closed(me->machine);
}

int64_t pg_sys_close(struct pg_thread *me, const uint64_t *a)
{
	bool last;
	int64_t r;

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	last = pg_open_closing(me, (int)a[0]);
	r = PG_QUICK(SYS_close, (int)a[0], 0, 0, 0, 0, 0);
	closed(me, last);
	return r;
}

int64_t pg_sys_close_range(struct pg_thread *me, const uint64_t *a)
{
	unsigned first = (unsigned)a[0], last = (unsigned)a[1],
		 limit = (unsigned)pg_linux_fd_limit();
	int64_t r;

	if (first > last)
		return -EINVAL;
	if (first >= limit)
		return 0;
	if (last >= limit)
		last = limit - 1;
	r = PG_QUICK(SYS_close_range, first, last, (unsigned)a[2], 0, 0, 0);
	closed(me, true);
	return r;
}

int64_t pg_sys_dup(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_ok((int)a[0]) ? pg_fd_given(PG_QUICK(SYS_dup, (int)a[0], 0, 0, 0, 0, 0))
				   : -EBADF;
}

int64_t pg_sys_dup2(struct pg_thread *me, const uint64_t *a)
{
	bool last;
	int64_t r;

	if (!pg_fd_ok((int)a[0]) || !pg_fd_ok((int)a[1]))
		return -EBADF;
	last = pg_open_closing(me, (int)a[1]);
	r = PG_QUICK(SYS_dup2, (int)a[0], (int)a[1], 0, 0, 0, 0);
	closed(me, last);
	return r;
}

int64_t pg_sys_dup3(struct pg_thread *me, const uint64_t *a)
{
	bool last;
	int64_t r;

	if (!pg_fd_ok((int)a[0]) || !pg_fd_ok((int)a[1]))
		return -EBADF;
	last = pg_open_closing(me, (int)a[1]);
	r = PG_QUICK(SYS_dup3, (int)a[0], (int)a[1], (int)a[2], 0, 0, 0);
	closed(me, last);
	return r;
}

static int64_t lock_file(struct pg_thread *me, int fd, int op, uint64_t at)
{
	struct flock lock;
	struct stat st;
	bool get = op == F_GETLK || op == F_OFD_GETLK;
	int64_t r;

	if (pg_guest_read(me, &lock, at, sizeof(lock)) != 0)
		return -EFAULT;
	if (op == F_SETLK || op == F_SETLKW)
		me->fds->posix_locks = true;
	if (!get && fstat(fd, &st) == 0)
		me->lock_ino = st.st_ino;
	r = PG_HOST(me, SYS_fcntl, fd, op, (uintptr_t)&lock, 0, 0, 0);
	me->lock_ino = 0;
	if (r != 0 || !get)
		return r;
	if (lock.l_type != F_UNLCK)
		lock.l_pid = pg_locks_holder(me, fd, &lock);
	return pg_guest_write(me, at, &lock, sizeof(lock));
}

/* F_GETOWN_EX and F_SETOWN_EX: {type, pid}. */
static int64_t owner_ex(struct pg_thread *me, int fd, int op, uint64_t at)
{
	struct f_owner_ex o;
	int64_t r;

	if (op == F_SETOWN_EX)
		return pg_guest_read(me, &o, at, sizeof(o)) != 0 ? -EFAULT
								 : pg_owner_set(me, fd, &o);
	r = pg_owner_get(me, fd, &o);
	return r != 0 ? r : pg_guest_write(me, at, &o, sizeof(o));
}

/* F_SETOWN: a process, or with a minus sign a group. */
static int64_t set_owner(struct pg_thread *me, int fd, int who)
{
	const struct f_owner_ex o = {who < 0 ? F_OWNER_PGRP : F_OWNER_PID, who < 0 ? -who : who};

	return who == INT32_MIN ? -EINVAL : pg_owner_set(me, fd, &o);
}

static int64_t get_owner(struct pg_thread *me, int fd)
{
	struct f_owner_ex o;
	int64_t r = pg_owner_get(me, fd, &o);

	return r != 0 ? r : o.type == F_OWNER_PGRP ? -o.pid : o.pid;
}

/* The read and write life-time hints: a 64-bit number in memory. */
static int64_t hint(struct pg_thread *me, int fd, int op, uint64_t at)
{
	uint64_t h = 0;
	bool set = op == F_SET_RW_HINT || op == F_SET_FILE_RW_HINT;
	int64_t r;

	if (set && pg_guest_read(me, &h, at, sizeof(h)) != 0)
		return -EFAULT;
	r = PG_QUICK(SYS_fcntl, fd, op, (uintptr_t)&h, 0, 0, 0);
	return r != 0 || set ? r : pg_guest_write(me, at, &h, sizeof(h));
}

int64_t pg_sys_fcntl(struct pg_thread *me, const uint64_t *a)
{
	int fd = (int)a[0], op = (int)a[1];
	int64_t r;

	if (!pg_fd_ok(fd))
		return -EBADF;
	switch (op) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		if ((int)a[2] < 0 || !pg_fd_ok((int)a[2]))
			return -EINVAL;
		return pg_fd_given(PG_QUICK(SYS_fcntl, fd, op, (int)a[2], 0, 0, 0));
	case F_GETFD:
	case F_SETFD:
	case F_GETFL:
	case F_GETLEASE:
	case F_SETLEASE:
	case F_NOTIFY:
	case F_GETPIPE_SZ:
	case F_SETPIPE_SZ:
	case F_GET_SEALS:
		return PG_QUICK(SYS_fcntl, fd, op, a[2], 0, 0, 0);
	case F_ADD_SEALS:
		return pg_memfd_seal(me, fd, (unsigned)a[2]);
	case F_SETFL:
		r = PG_QUICK(SYS_fcntl, fd, op, a[2], 0, 0, 0);
		if (r == 0 && (a[2] & O_ASYNC))
			pg_owner_async(me, fd);
		return r;
	case F_GETSIG:
	case F_SETSIG:
		return pg_owner_signal(me, fd, op == F_SETSIG, (int)a[2]);
	case F_GETOWN:
		return get_owner(me, fd);
	case F_SETOWN:
		return set_owner(me, fd, (int)a[2]);
	case F_GETOWN_EX:
	case F_SETOWN_EX:
		return owner_ex(me, fd, op, a[2]);
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return lock_file(me, fd, op, a[2]);
	case F_GET_RW_HINT:
	case F_SET_RW_HINT:
	case F_GET_FILE_RW_HINT:
	case F_SET_FILE_RW_HINT:
		return hint(me, fd, op, a[2]);
	default:
		pg_linux_unknown(me, "fcntl operation %d is not there: EINVAL", op);
		return fcntl(fd, F_GETFD) < 0 ? -EBADF : -EINVAL;
	}
}

int64_t pg_sys_flock(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_ok((int)a[0]) ? PG_HOST(me, SYS_flock, (int)a[0], (int)a[1], 0, 0, 0, 0)
				   : -EBADF;
}

static int64_t two(struct pg_thread *me, int64_t r, const int *fds, uint64_t to)
{
	if (r != 0)
		return r;
	if (pg_fd_ok(fds[0]) && pg_fd_ok(fds[1])) {
		if (pg_guest_write(me, to, fds, 2 * sizeof(*fds)) == 0)
			return 0;
		r = -EFAULT;
	} else {
		r = -EMFILE;
	}
	close(fds[0]);
	close(fds[1]);
	return r;
}

int64_t pg_sys_pipe(struct pg_thread *me, const uint64_t *a)
{
	int fds[2];

	return two(me, PG_QUICK(SYS_pipe2, (uintptr_t)fds, 0, 0, 0, 0, 0), fds, a[0]);
}

int64_t pg_sys_pipe2(struct pg_thread *me, const uint64_t *a)
{
	int fds[2];

	return two(me, PG_QUICK(SYS_pipe2, (uintptr_t)fds, (int)a[1], 0, 0, 0, 0), fds, a[0]);
}

int64_t pg_sys_socketpair(struct pg_thread *me, const uint64_t *a)
{
	int fds[2];
	int64_t r = PG_QUICK(SYS_socketpair, (int)a[0], (int)a[1], (int)a[2], (uintptr_t)fds, 0, 0);

	if (r == 0)
		pg_peer_pair(me, fds);
	return two(me, r, fds, a[3]);
}

int64_t pg_sys_eventfd(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_given(PG_QUICK(SYS_eventfd2, (unsigned)a[0], 0, 0, 0, 0, 0));
}

int64_t pg_sys_eventfd2(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_given(PG_QUICK(SYS_eventfd2, (unsigned)a[0], (int)a[1], 0, 0, 0, 0));
}

int64_t pg_sys_memfd_create(struct pg_thread *me, const uint64_t *a)
{
	char name[256];
	int64_t n = pg_guest_string(me, name, sizeof(name), a[0]);

	if (n < 0)
		return n == -ENAMETOOLONG ? -EINVAL : n;
	return pg_fd_given(PG_QUICK(SYS_memfd_create, (uintptr_t)name, (unsigned)a[1], 0, 0, 0, 0));
}

int64_t pg_sys_inotify_init(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_given(PG_QUICK(SYS_inotify_init1, 0, 0, 0, 0, 0, 0));
}

int64_t pg_sys_inotify_init1(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_given(PG_QUICK(SYS_inotify_init1, (int)a[0], 0, 0, 0, 0, 0));
}

int64_t pg_sys_inotify_add_watch(struct pg_thread *me, const uint64_t *a)
{
	char path[PATH_MAX];
	int err;

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	err = pg_path_get(me, a[1], path);
	return err != 0 ? err
			: PG_QUICK(SYS_inotify_add_watch, (int)a[0], (uintptr_t)path,
				  (unsigned)a[2], 0, 0, 0);
}

int64_t pg_sys_inotify_rm_watch(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_ok((int)a[0])
		       ? PG_QUICK(SYS_inotify_rm_watch, (int)a[0], (int)a[1], 0, 0, 0, 0)
		       : -EBADF;
}

int64_t pg_sys_fchmod(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_ok((int)a[0]) ? PG_QUICK(SYS_fchmod, (int)a[0], (unsigned)a[1], 0, 0, 0, 0)
				   : -EBADF;
}

int64_t pg_sys_fchown(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_ok((int)a[0])
		       ? PG_QUICK(SYS_fchown, (int)a[0], (unsigned)a[1], (unsigned)a[2], 0, 0, 0)
		       : -EBADF;
}

/* --- directories ------------------------------------------------------------------------------------------ */

/* struct linux_dirent64 and its older form; the name is behind it. */
struct dirent_head {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
} __attribute__((packed));

/* Takes the entries of Pagoda's own descriptors out of a listing of /proc/self/fd; the new length. */
static int64_t drop_own(char *buf, int64_t n, size_t name_at)
{
	int64_t from = 0, to = 0;

	while (from < n) {
		struct dirent_head h;
		const char *name = buf + from + name_at;

		memcpy(&h, buf + from, sizeof(h));
		if (name[0] == '.' || atoi(name) < pg_linux_fd_limit()) {
			memmove(buf + to, buf + from, h.reclen);
			to += h.reclen;
		}
		from += h.reclen;
	}
	return to;
}

/* The name of a directory below /proc; false: it is not one. */
static bool proc_directory(const struct pg_thread *me, int fd, char *path, size_t cap)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (uint64_t)st.st_dev == me->machine->proc_dev &&
	       pg_fd_path(fd, path, cap);
}

static bool lists_descriptors(const char *path)
{
	size_t n = strlen(path);

	return (n > 3 && strcmp(path + n - 3, "/fd") == 0) ||
	       (n > 7 && strcmp(path + n - 7, "/fdinfo") == 0);
}

/* Of /proc: drops the host's processes. */
static int64_t drop_processes(char *buf, int64_t n, size_t name_at)
{
	int64_t to = 0;

	for (int64_t from = 0; from < n;) {
		uint16_t bytes;
		char c = buf[from + (int64_t)name_at];

		memcpy(&bytes, buf + from + 16, sizeof(bytes));
		if (c < '0' || c > '9') {
			memmove(buf + to, buf + from, bytes);
			to += bytes;
		}
		from += bytes;
	}
	return to;
}

static int64_t list(struct pg_thread *me, const uint64_t *a, long number, size_t name_at)
{
	uint64_t cap = (unsigned)a[2] < GETDENTS_MOST ? (unsigned)a[2] : GETDENTS_MOST;
	enum pg_proc_list ours = PG_PROC_NO_LIST;
	struct pg_process *of = NULL;
	char *buf, path[PATH_MAX];
	bool own = false;
	int64_t r;

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	buf = malloc(cap + 1);
	if (buf == NULL)
		return -ENOMEM;
	if (proc_directory(me, (int)a[0], path, sizeof(path))) {
		own = lists_descriptors(path);
		ours = pg_proc_lists(me, path, &of);
	}
	do {
		if (ours == PG_PROC_THREADS) {
			r = pg_proc_list(me, (int)a[0], of, buf, cap, name_at == 19);
			break;
		}
		r = PG_HOST(me, number, (int)a[0], (uintptr_t)buf, cap, 0, 0, 0);
		if (r == 0 && ours == PG_PROC_PROCESSES) {
			r = pg_proc_list(me, (int)a[0], NULL, buf, cap, name_at == 19);
			break;
		}
		if (r <= 0 || (!own && ours == PG_PROC_NO_LIST))
			break;
		r = own ? drop_own(buf, r, name_at) : drop_processes(buf, r, name_at);
	} while (r == 0);
	if (r > 0 && pg_guest_write(me, a[1], buf, (uint64_t)r) != 0)
		r = -EFAULT;
	free(buf);
	return r;
}

int64_t pg_sys_getdents(struct pg_thread *me, const uint64_t *a)
{
	return list(me, a, SYS_getdents, 18);
}

int64_t pg_sys_getdents64(struct pg_thread *me, const uint64_t *a)
{
	return list(me, a, SYS_getdents64, 19);
}
