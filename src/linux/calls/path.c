/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/path.c: system calls that name files by path, and what they say of files.
 *
 * Called through table.c. Names go through files/path.c; results are the host's.
 */
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"
#include "linux/proc/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utime.h>

/* A directory descriptor of the guest's, or AT_FDCWD. */
static bool dir_ok(int fd)
{
	return fd == AT_FDCWD || pg_fd_ok(fd);
}

/* --- opening ------------------------------------------------------------------------------------------ */

/*
 * Looks at what was opened: a file of /proc that must speak of the guest, or one of Pagoda's own, is exchanged or
 * refused. Takes fd; the descriptor to give the guest or a negative errno.
 */
static int64_t vet(struct pg_thread *me, int fd, int flags)
{
	struct stat st;
	char path[PATH_MAX];
	int got;

	if (!pg_fd_ok(fd)) {
		close(fd);
		return -EMFILE;
	}
	if (fstat(fd, &st) != 0)
		return fd;
	if ((uint64_t)st.st_dev == me->machine->frames_dev &&
		(uint64_t)st.st_ino == me->machine->frames_ino) {
		close(fd);
		return -ENOENT;
	}
	if ((uint64_t)st.st_dev == me->machine->proc_dev && S_ISREG(st.st_mode) &&
		pg_fd_path(fd, path, sizeof(path))) {
		got = pg_proc_open(me, path, flags);
		if (got == PG_PROC_HOSTS)
			return fd;
		if (got < 0) {
			close(fd);
			return got;
		}
		/* the guest's number is the lowest free one: fd's */
		if (dup3(got, fd, flags & O_CLOEXEC) < 0) {
			int err = -errno;

			close(got);
			close(fd);
			return err;
		}
		close(got);
		return fd;
	}
	if (me->machine->open_fs != NULL && !(flags & O_PATH))
		pg_open_opened(me, fd, &st);
	if (S_ISCHR(st.st_mode))
		pg_terminal_opened(me, fd, flags);
	if ((flags & O_TRUNC) && S_ISREG(st.st_mode))
		pg_io_truncated(me, fd);
	return fd;
}

/* Opening may cut the file off: see pg_io_begin_change(). */
static struct pg_object *begin_open(struct pg_thread *me, int dir, const char *path, uint64_t flags)
{
	struct stat st;

	if (!(flags & O_TRUNC) || me->machine->files == NULL || fstatat(dir, path, &st, 0) != 0)
		return NULL;
	return pg_io_begin_change(me, &st);
}

static int64_t open_at(struct pg_thread *me, int dir, uint64_t name, int flags, unsigned mode)
{
	char in[PATH_MAX], path[PATH_MAX];
	int64_t fd = pg_guest_string(me, in, sizeof(in), name);
	struct pg_object *o;
	int err;

	if (fd < 0)
		return fd;
	if (strncmp(in, "/proc", 5) == 0) {
		err = pg_proc_open_name(me, in, flags);
		if (err >= 0 && !pg_fd_ok(err)) {
			close(err);
			return -EMFILE;
		}
		if (err != PG_PROC_HOSTS)
			return err;
	}
	err = pg_path_map(me, in, path);
	if (err != 0)
		return err;
	if (!dir_ok(dir) && path[0] != '/')
		return -EBADF;
	err = pg_terminal_path(me, path);
	if (err != 0)
		return err;
	/* a guest's terminal never becomes Pagoda's */
	o = begin_open(me, dir, path, (unsigned)flags);
	fd = PG_HOST(me, SYS_openat, dir, (uintptr_t)path, flags | O_NOCTTY, mode, 0, 0);
	fd = fd < 0 ? fd : vet(me, (int)fd, flags);
	pg_io_end_change(o);
	return fd;
}

int64_t pg_sys_open(struct pg_thread *me, const uint64_t *a)
{
	return open_at(me, AT_FDCWD, a[0], (int)a[1], (unsigned)a[2]);
}

int64_t pg_sys_creat(struct pg_thread *me, const uint64_t *a)
{
	return open_at(me, AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, (unsigned)a[1]);
}

int64_t pg_sys_openat(struct pg_thread *me, const uint64_t *a)
{
	return open_at(me, (int)a[0], a[1], (int)a[2], (unsigned)a[3]);
}

int64_t pg_sys_openat2(struct pg_thread *me, const uint64_t *a)
{
	struct open_how how = {0};
	struct pg_object *o;
	char path[PATH_MAX];
	int64_t fd;
	int err, flags;

	if (a[3] < sizeof(how))
		return -EINVAL;
	if (a[3] > sizeof(how))
		return -E2BIG;
	err = pg_guest_read(me, &how, a[2], sizeof(how));
	if (err == 0)
		err = pg_path_get(me, a[1], path);
	if (err == 0)
		err = pg_terminal_path(me, path);
	if (err != 0)
		return err;
	flags = (int)how.flags;
	if (!(how.flags & O_PATH))
		how.flags |= O_NOCTTY;
	if (!dir_ok((int)a[0]) && path[0] != '/')
		return -EBADF;
	o = begin_open(me, (int)a[0], path, how.flags);
	fd = PG_HOST(
		me, SYS_openat2, (int)a[0], (uintptr_t)path, (uintptr_t)&how, sizeof(how), 0, 0);
	fd = fd < 0 ? fd : vet(me, (int)fd, flags);
	pg_io_end_change(o);
	return fd;
}

/* --- stat ------------------------------------------------------------------------------------------------- */

static int64_t stat_at(struct pg_thread *me, int dir, uint64_t name, uint64_t to, int flags)
{
	char path[PATH_MAX];
	struct stat st;
	int64_t r;
	int err;

	if ((flags & AT_EMPTY_PATH) && name == 0)
		path[0] = '\0';
	else if ((err = pg_path_get(me, name, path)) != 0)
		return err;
	if (!dir_ok(dir) && path[0] != '/')
		return -EBADF;
	r = PG_QUICK(SYS_newfstatat, dir, (uintptr_t)path, (uintptr_t)&st, flags, 0, 0);
	return r != 0 ? r : pg_guest_write(me, to, &st, sizeof(st));
}

int64_t pg_sys_stat(struct pg_thread *me, const uint64_t *a)
{
	return stat_at(me, AT_FDCWD, a[0], a[1], 0);
}

int64_t pg_sys_lstat(struct pg_thread *me, const uint64_t *a)
{
	return stat_at(me, AT_FDCWD, a[0], a[1], AT_SYMLINK_NOFOLLOW);
}

int64_t pg_sys_newfstatat(struct pg_thread *me, const uint64_t *a)
{
	return stat_at(me, (int)a[0], a[1], a[2], (int)a[3]);
}

int64_t pg_sys_fstat(struct pg_thread *me, const uint64_t *a)
{
	struct stat st;
	int64_t r;

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	r = PG_QUICK(SYS_fstat, (int)a[0], (uintptr_t)&st, 0, 0, 0, 0);
	return r != 0 ? r : pg_guest_write(me, a[1], &st, sizeof(st));
}

int64_t pg_sys_statx(struct pg_thread *me, const uint64_t *a)
{
	char path[PATH_MAX];
	struct statx st;
	int64_t r;
	int err;

	if (((int)a[2] & AT_EMPTY_PATH) && a[1] == 0)
		path[0] = '\0';
	else if ((err = pg_path_get(me, a[1], path)) != 0)
		return err;
	if (!dir_ok((int)a[0]) && path[0] != '/')
		return -EBADF;
	r = PG_QUICK(SYS_statx, (int)a[0], (uintptr_t)path, (int)a[2], (unsigned)a[3],
		(uintptr_t)&st, 0);
	return r != 0 ? r : pg_guest_write(me, a[4], &st, sizeof(st));
}

static int64_t access_at(
	struct pg_thread *me, int dir, uint64_t name, int mode, int flags, bool second)
{
	char path[PATH_MAX];
	int err;

	if (second && (flags & AT_EMPTY_PATH) && name == 0)
		path[0] = '\0';
	else if ((err = pg_path_get(me, name, path)) != 0)
		return err;
	if (!dir_ok(dir) && path[0] != '/')
		return -EBADF;
	if (second)
		return PG_QUICK(SYS_faccessat2, dir, (uintptr_t)path, mode, flags, 0, 0);
	return PG_QUICK(SYS_faccessat, dir, (uintptr_t)path, mode, 0, 0, 0);
}

int64_t pg_sys_access(struct pg_thread *me, const uint64_t *a)
{
	return access_at(me, AT_FDCWD, a[0], (int)a[1], 0, false);
}

int64_t pg_sys_faccessat(struct pg_thread *me, const uint64_t *a)
{
	return access_at(me, (int)a[0], a[1], (int)a[2], 0, false);
}

int64_t pg_sys_faccessat2(struct pg_thread *me, const uint64_t *a)
{
	return access_at(me, (int)a[0], a[1], (int)a[2], (int)a[3], true);
}

/* statfs of a path or descriptor into guest memory. */
int64_t pg_sys_statfs(struct pg_thread *me, const uint64_t *a)
{
	char path[PATH_MAX];
	struct statfs st;
	int err = pg_path_get(me, a[0], path);
	int64_t r;

	if (err != 0)
		return err;
	r = PG_QUICK(SYS_statfs, (uintptr_t)path, (uintptr_t)&st, 0, 0, 0, 0);
	return r != 0 ? r : pg_guest_write(me, a[1], &st, sizeof(st));
}

int64_t pg_sys_fstatfs(struct pg_thread *me, const uint64_t *a)
{
	struct statfs st;
	int64_t r;

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	r = PG_QUICK(SYS_fstatfs, (int)a[0], (uintptr_t)&st, 0, 0, 0, 0);
	return r != 0 ? r : pg_guest_write(me, a[1], &st, sizeof(st));
}

/* --- links ------------------------------------------------------------------------------------------------ */

static int64_t readlink_at(struct pg_thread *me, int dir, uint64_t name, uint64_t to, int64_t cap)
{
	char in[PATH_MAX], path[PATH_MAX], out[PATH_MAX];
	const char *exe;
	int64_t n;

	if (cap <= 0)
		return -EINVAL;
	n = pg_guest_string(me, in, sizeof(in), name);
	if (n < 0)
		return n;
	if (!dir_ok(dir) && in[0] != '/')
		return -EBADF;
	exe = pg_path_exe_link(me, in);
	if (exe != NULL && pg_path_map(me, in, path) == -EACCES) {
		return -EACCES;
	} else if (exe != NULL) {
		n = exe[0] != '\0' ? snprintf(out, sizeof(out), "%s", exe) : -ENOENT;
	} else if (strcmp(in, "/proc/self") == 0) {
		n = snprintf(out, sizeof(out), "%d", me->proc->pid);
	} else if (strcmp(in, "/proc/thread-self") == 0) {
		n = snprintf(out, sizeof(out), "%d/task/%d", me->proc->pid, me->tid);
	} else {
		int err = pg_path_map(me, in, path);

		if (err != 0)
			return err;
		n = PG_QUICK(
			SYS_readlinkat, dir, (uintptr_t)path, (uintptr_t)out, sizeof(out), 0, 0);
	}
	if (n < 0)
		return n;
	if (n > cap)
		n = cap;
	return pg_guest_write(me, to, out, (uint64_t)n) != 0 ? -EFAULT : n;
}

int64_t pg_sys_readlink(struct pg_thread *me, const uint64_t *a)
{
	return readlink_at(me, AT_FDCWD, a[0], a[1], (int)a[2]);
}

int64_t pg_sys_readlinkat(struct pg_thread *me, const uint64_t *a)
{
	return readlink_at(me, (int)a[0], a[1], a[2], (int)a[3]);
}

/* A host call (dir, path, x, y, z). */
static int64_t with_path(struct pg_thread *me, long number, int dir, uint64_t name, uint64_t x,
	uint64_t y, uint64_t z)
{
	char path[PATH_MAX];
	int err = pg_path_get(me, name, path);

	if (err != 0)
		return err;
	if (!dir_ok(dir) && path[0] != '/')
		return -EBADF;
	return PG_QUICK(number, dir, (uintptr_t)path, x, y, z, 0);
}

/* A host call (dir, path, dir, path, x). */
static int64_t with_paths(struct pg_thread *me, long number, int dir1, uint64_t name1, int dir2,
	uint64_t name2, uint64_t x)
{
	char path1[PATH_MAX], path2[PATH_MAX];
	int err = pg_path_get(me, name1, path1);

	if (err == 0)
		err = pg_path_get(me, name2, path2);
	if (err != 0)
		return err;
	if ((!dir_ok(dir1) && path1[0] != '/') || (!dir_ok(dir2) && path2[0] != '/'))
		return -EBADF;
	return PG_QUICK(number, dir1, (uintptr_t)path1, dir2, (uintptr_t)path2, x, 0);
}

int64_t pg_sys_rename(struct pg_thread *me, const uint64_t *a)
{
	return with_paths(me, SYS_renameat2, AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
}

int64_t pg_sys_renameat(struct pg_thread *me, const uint64_t *a)
{
	return with_paths(me, SYS_renameat2, (int)a[0], a[1], (int)a[2], a[3], 0);
}

int64_t pg_sys_renameat2(struct pg_thread *me, const uint64_t *a)
{
	return with_paths(me, SYS_renameat2, (int)a[0], a[1], (int)a[2], a[3], (unsigned)a[4]);
}

int64_t pg_sys_link(struct pg_thread *me, const uint64_t *a)
{
	return with_paths(me, SYS_linkat, AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
}

int64_t pg_sys_linkat(struct pg_thread *me, const uint64_t *a)
{
	return with_paths(me, SYS_linkat, (int)a[0], a[1], (int)a[2], a[3], (unsigned)a[4]);
}

/* symlinkat(target, dir, path): the target is text, not a path of ours */
static int64_t symlink_at(struct pg_thread *me, uint64_t target, int dir, uint64_t name)
{
	char text[PATH_MAX], path[PATH_MAX];
	int64_t n = pg_guest_string(me, text, sizeof(text), target);
	int err;

	if (n < 0)
		return n;
	err = pg_path_get(me, name, path);
	if (err != 0)
		return err;
	if (!dir_ok(dir) && path[0] != '/')
		return -EBADF;
	return PG_QUICK(SYS_symlinkat, (uintptr_t)text, dir, (uintptr_t)path, 0, 0, 0);
}

int64_t pg_sys_symlink(struct pg_thread *me, const uint64_t *a)
{
	return symlink_at(me, a[0], AT_FDCWD, a[1]);
}

int64_t pg_sys_symlinkat(struct pg_thread *me, const uint64_t *a)
{
	return symlink_at(me, a[0], (int)a[1], a[2]);
}

int64_t pg_sys_unlink(struct pg_thread *me, const uint64_t *a)
{
	return with_path(me, SYS_unlinkat, AT_FDCWD, a[0], 0, 0, 0);
}

int64_t pg_sys_rmdir(struct pg_thread *me, const uint64_t *a)
{
	return with_path(me, SYS_unlinkat, AT_FDCWD, a[0], AT_REMOVEDIR, 0, 0);
}

int64_t pg_sys_unlinkat(struct pg_thread *me, const uint64_t *a)
{
	return with_path(me, SYS_unlinkat, (int)a[0], a[1], (uint64_t)(int)a[2], 0, 0);
}

int64_t pg_sys_mkdir(struct pg_thread *me, const uint64_t *a)
{
	return with_path(me, SYS_mkdirat, AT_FDCWD, a[0], (unsigned)a[1], 0, 0);
}

int64_t pg_sys_mkdirat(struct pg_thread *me, const uint64_t *a)
{
	return with_path(me, SYS_mkdirat, (int)a[0], a[1], (unsigned)a[2], 0, 0);
}

int64_t pg_sys_mknod(struct pg_thread *me, const uint64_t *a)
{
	return with_path(me, SYS_mknodat, AT_FDCWD, a[0], (unsigned)a[1], (unsigned)a[2], 0);
}

int64_t pg_sys_mknodat(struct pg_thread *me, const uint64_t *a)
{
	return with_path(me, SYS_mknodat, (int)a[0], a[1], (unsigned)a[2], (unsigned)a[3], 0);
}

/* --- owner, mode, times, size ----------------------------------------------------------------------------- */

int64_t pg_sys_chmod(struct pg_thread *me, const uint64_t *a)
{
	return with_path(me, SYS_fchmodat, AT_FDCWD, a[0], (unsigned)a[1], 0, 0);
}

int64_t pg_sys_fchmodat(struct pg_thread *me, const uint64_t *a)
{
	return with_path(me, SYS_fchmodat, (int)a[0], a[1], (unsigned)a[2], 0, 0);
}

int64_t pg_sys_chown(struct pg_thread *me, const uint64_t *a)
{
	return with_path(me, SYS_fchownat, AT_FDCWD, a[0], (unsigned)a[1], (unsigned)a[2], 0);
}

int64_t pg_sys_lchown(struct pg_thread *me, const uint64_t *a)
{
	return with_path(me, SYS_fchownat, AT_FDCWD, a[0], (unsigned)a[1], (unsigned)a[2],
		AT_SYMLINK_NOFOLLOW);
}

int64_t pg_sys_fchownat(struct pg_thread *me, const uint64_t *a)
{
	return with_path(me, SYS_fchownat, (int)a[0], a[1], (unsigned)a[2], (unsigned)a[3],
		(uint64_t)(int)a[4]);
}

int64_t pg_sys_truncate(struct pg_thread *me, const uint64_t *a)
{
	char path[PATH_MAX];
	int err = pg_path_get(me, a[0], path), fd;
	struct pg_object *o = NULL;
	struct stat st;
	int64_t r;

	if (err != 0)
		return err;
	if (stat(path, &st) == 0) {
		r = pg_io_limit_size(me, &st, a[1]);
		if (r != 0)
			return r;
		o = pg_io_begin_change(me, &st);
	}
	r = PG_HOST(me, SYS_truncate, (uintptr_t)path, a[1], 0, 0, 0, 0);
	fd = r == 0 && me->machine->files != NULL ? open(path, O_PATH | O_CLOEXEC) : -1;
	if (fd >= 0) {
		pg_io_truncated(me, fd);
		close(fd);
	}
	pg_io_end_change(o);
	return r;
}

/* Times from the guest, of the family's own kind, as timespecs for utimensat. */
static int64_t utimens(
	struct pg_thread *me, int dir, uint64_t name, const struct timespec *t, int flags)
{
	char path[PATH_MAX];
	int err;

	if (name == 0)
		return pg_fd_ok(dir) ? PG_QUICK(SYS_utimensat, dir, 0, (uintptr_t)t, flags, 0, 0)
				     : -EBADF;
	err = pg_path_get(me, name, path);
	if (err != 0)
		return err;
	if (!dir_ok(dir) && path[0] != '/')
		return -EBADF;
	return PG_QUICK(SYS_utimensat, dir, (uintptr_t)path, (uintptr_t)t, flags, 0, 0);
}

int64_t pg_sys_utimensat(struct pg_thread *me, const uint64_t *a)
{
	struct timespec t[2];

	if (a[2] != 0 && pg_guest_read(me, t, a[2], sizeof(t)) != 0)
		return -EFAULT;
	return utimens(me, (int)a[0], a[1], a[2] != 0 ? t : NULL, (int)a[3]);
}

static int64_t utimeval(struct pg_thread *me, int dir, uint64_t name, uint64_t times)
{
	struct timeval v[2];
	struct timespec t[2];

	if (times == 0)
		return utimens(me, dir, name, NULL, 0);
	if (pg_guest_read(me, v, times, sizeof(v)) != 0)
		return -EFAULT;
	for (unsigned i = 0; i < 2; i++) {
		if (v[i].tv_usec < 0 || v[i].tv_usec >= 1000000)
			return -EINVAL;
		t[i] = (struct timespec){v[i].tv_sec, v[i].tv_usec * 1000};
	}
	return utimens(me, dir, name, t, 0);
}

int64_t pg_sys_utimes(struct pg_thread *me, const uint64_t *a)
{
	return utimeval(me, AT_FDCWD, a[0], a[1]);
}

int64_t pg_sys_futimesat(struct pg_thread *me, const uint64_t *a)
{
	return utimeval(me, (int)a[0], a[1], a[2]);
}

int64_t pg_sys_utime(struct pg_thread *me, const uint64_t *a)
{
	struct utimbuf b;
	struct timespec t[2] = {{0}};

	if (a[1] == 0)
		return utimens(me, AT_FDCWD, a[0], NULL, 0);
	if (pg_guest_read(me, &b, a[1], sizeof(b)) != 0)
		return -EFAULT;
	t[0].tv_sec = b.actime;
	t[1].tv_sec = b.modtime;
	return utimens(me, AT_FDCWD, a[0], t, 0);
}

/* --- where the process is --------------------------------------------------------------------------------- */

int64_t pg_sys_chdir(struct pg_thread *me, const uint64_t *a)
{
	char path[PATH_MAX];
	int err = pg_path_get(me, a[0], path);

	return err != 0 ? err : PG_QUICK(SYS_chdir, (uintptr_t)path, 0, 0, 0, 0, 0);
}

int64_t pg_sys_fchdir(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_ok((int)a[0]) ? PG_QUICK(SYS_fchdir, (int)a[0], 0, 0, 0, 0, 0) : -EBADF;
}

int64_t pg_sys_chroot(struct pg_thread *me, const uint64_t *a)
{
	char path[PATH_MAX];
	int err = pg_path_get(me, a[0], path);

	return err != 0 ? err : PG_QUICK(SYS_chroot, (uintptr_t)path, 0, 0, 0, 0, 0);
}

int64_t pg_sys_getcwd(struct pg_thread *me, const uint64_t *a)
{
	char path[PATH_MAX];
	int64_t n = PG_QUICK(SYS_getcwd, (uintptr_t)path, sizeof(path), 0, 0, 0, 0);

	if (n < 0)
		return n;
	if ((uint64_t)n > a[1])
		return -ERANGE;
	return pg_guest_write(me, a[0], path, (uint64_t)n) != 0 ? -EFAULT : n;
}

int64_t pg_sys_umask(struct pg_thread *me, const uint64_t *a)
{
	return PG_QUICK(SYS_umask, (unsigned)a[0], 0, 0, 0, 0, 0);
}
