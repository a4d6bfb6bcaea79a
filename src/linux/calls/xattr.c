/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/xattr.c: system calls about extended attributes of files. The host's, with names and values copied.
 *
 * Called through table.c.
 */
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>

#define XATTR_MOST 65536

/* What an xattr call is about: a path or a descriptor. */
struct xattr_on {
	char path[PATH_MAX];
	uint64_t first; /* its first host argument */
};

static int xattr_target(struct pg_thread *me, uint64_t arg, bool fd, struct xattr_on *on)
{
	if (fd) {
		on->first = (uint64_t)(int)arg;
		return pg_fd_ok((int)arg) ? 0 : -EBADF;
	}
	on->first = (uintptr_t)on->path;
	return pg_path_get(me, arg, on->path);
}

static int64_t xattr_set(struct pg_thread *me, long number, const uint64_t *a, bool fd)
{
	struct xattr_on on;
	char name[256];
	void *value;
	int64_t r = xattr_target(me, a[0], fd, &on);

	if (r == 0)
		r = pg_guest_string(me, name, sizeof(name), a[1]);
	if (r < 0)
		return r == -ENAMETOOLONG ? -ERANGE : r;
	if (a[3] > XATTR_MOST)
		return -E2BIG;
	value = malloc(a[3] + 1);
	if (value == NULL)
		return -ENOMEM;
	r = pg_guest_read(me, value, a[2], a[3]);
	if (r == 0)
		r = PG_QUICK(
			number, on.first, (uintptr_t)name, (uintptr_t)value, a[3], (int)a[4], 0);
	free(value);
	return r;
}

/* get (with a name) and list (without). */
static int64_t xattr_get(struct pg_thread *me, long number, const uint64_t *a, bool fd, bool named)
{
	struct xattr_on on;
	char name[256];
	void *value;
	uint64_t to = named ? a[2] : a[1], cap = named ? a[3] : a[2];
	int64_t r = xattr_target(me, a[0], fd, &on);

	if (r == 0 && named)
		r = pg_guest_string(me, name, sizeof(name), a[1]);
	if (r < 0)
		return r == -ENAMETOOLONG ? -ERANGE : r;
	if (cap > XATTR_MOST)
		cap = XATTR_MOST;
	value = malloc(cap + 1);
	if (value == NULL)
		return -ENOMEM;
	if (named)
		r = PG_QUICK(number, on.first, (uintptr_t)name, (uintptr_t)value, cap, 0, 0);
	else
		r = PG_QUICK(number, on.first, (uintptr_t)value, cap, 0, 0, 0);
	if (r > 0 && cap != 0 && pg_guest_write(me, to, value, (uint64_t)r) != 0)
		r = -EFAULT;
	free(value);
	return r;
}

static int64_t xattr_remove(struct pg_thread *me, long number, const uint64_t *a, bool fd)
{
	struct xattr_on on;
	char name[256];
	int64_t r = xattr_target(me, a[0], fd, &on);

	if (r == 0)
		r = pg_guest_string(me, name, sizeof(name), a[1]);
	if (r < 0)
		return r == -ENAMETOOLONG ? -ERANGE : r;
	return PG_QUICK(number, on.first, (uintptr_t)name, 0, 0, 0, 0);
}

int64_t pg_sys_setxattr(struct pg_thread *me, const uint64_t *a)
{
	return xattr_set(me, SYS_setxattr, a, false);
}

int64_t pg_sys_lsetxattr(struct pg_thread *me, const uint64_t *a)
{
	return xattr_set(me, SYS_lsetxattr, a, false);
}

int64_t pg_sys_fsetxattr(struct pg_thread *me, const uint64_t *a)
{
	return xattr_set(me, SYS_fsetxattr, a, true);
}

int64_t pg_sys_getxattr(struct pg_thread *me, const uint64_t *a)
{
	return xattr_get(me, SYS_getxattr, a, false, true);
}

int64_t pg_sys_lgetxattr(struct pg_thread *me, const uint64_t *a)
{
	return xattr_get(me, SYS_lgetxattr, a, false, true);
}

int64_t pg_sys_fgetxattr(struct pg_thread *me, const uint64_t *a)
{
	return xattr_get(me, SYS_fgetxattr, a, true, true);
}

int64_t pg_sys_listxattr(struct pg_thread *me, const uint64_t *a)
{
	return xattr_get(me, SYS_listxattr, a, false, false);
}

int64_t pg_sys_llistxattr(struct pg_thread *me, const uint64_t *a)
{
	return xattr_get(me, SYS_llistxattr, a, false, false);
}

int64_t pg_sys_flistxattr(struct pg_thread *me, const uint64_t *a)
{
	return xattr_get(me, SYS_flistxattr, a, true, false);
}

int64_t pg_sys_removexattr(struct pg_thread *me, const uint64_t *a)
{
	return xattr_remove(me, SYS_removexattr, a, false);
}

int64_t pg_sys_lremovexattr(struct pg_thread *me, const uint64_t *a)
{
	return xattr_remove(me, SYS_lremovexattr, a, false);
}

int64_t pg_sys_fremovexattr(struct pg_thread *me, const uint64_t *a)
{
	return xattr_remove(me, SYS_fremovexattr, a, true);
}
