/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/clone.c: system calls that make processes and threads, load programs and end them.
 *
 * Called through table.c. What happens is in process/ (fork.c, thread.c, end.c) and exec/exec.c.
 */
#include "linux/calls/syscalls.h"
#include "linux/exec/exec.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t pg_sys_clone(struct pg_thread *me, const uint64_t *a)
{
	const struct pg_clone c = {.flags = a[0] & ~(uint64_t)CSIGNAL & UINT32_MAX,
		.exit_signal = (int)(a[0] & CSIGNAL),
		.stack = a[1],
		.parent_tid = a[2],
		.pidfd = a[2], /* one argument for both */
		.child_tid = a[3],
		.tls = a[4]};

	if ((c.flags & CLONE_PIDFD) && (c.flags & CLONE_PARENT_SETTID))
		return -EINVAL;
	return pg_process_clone(me, &c);
}

/* struct clone_args: 64 bytes at first, then set_tid, set_tid_size, cgroup. */
struct clone_arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	uint64_t set_tid, set_tid_size, cgroup;
};
#define FIRST_BYTES 64

int64_t pg_sys_clone3(struct pg_thread *me, const uint64_t *a)
{
	uint8_t all[PG_PAGE_SIZE] = {0};
	struct clone_arguments c;

	if (a[1] < FIRST_BYTES)
		return -EINVAL;
	if (a[1] > PG_PAGE_SIZE)
		return -E2BIG;
	if (pg_guest_read(me, all, a[0], a[1]) != 0)
		return -EFAULT;
	for (uint64_t i = sizeof(c); i < a[1]; i++)
		if (all[i] != 0)
			return -E2BIG;
	memcpy(&c, all, sizeof(c));
	if ((c.stack == 0) != (c.stack_size == 0) || (c.flags & CSIGNAL) ||
		c.exit_signal > PG_NSIG ||
		((c.flags & (CLONE_THREAD | CLONE_PARENT)) && c.exit_signal != 0))
		return -EINVAL;
	if ((c.flags & CLONE_PIDFD) && !pg_guest_range_ok(me, c.pidfd, sizeof(int)))
		return -EFAULT;
	if (c.set_tid_size != 0) {
		pg_linux_unknown(me, "clone3 with a chosen process id is not there: EPERM");
		return -EPERM;
	}
	return pg_process_clone(me, &(struct pg_clone){.flags = c.flags,
					    .exit_signal = (int)c.exit_signal,
					    .stack = c.stack + c.stack_size,
					    .parent_tid = c.parent_tid,
					    .pidfd = c.pidfd,
					    .child_tid = c.child_tid,
					    .tls = c.tls});
}

int64_t pg_sys_fork(struct pg_thread *me, const uint64_t *a)
{
	return pg_process_clone(me, &(struct pg_clone){.exit_signal = SIGCHLD});
}

int64_t pg_sys_vfork(struct pg_thread *me, const uint64_t *a)
{
	return pg_process_clone(
		me, &(struct pg_clone){.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD});
}

/* A NULL-ended list of strings from the guest. */
static int get_strings(struct pg_thread *me, uint64_t va, uint64_t *bytes, char ***out)
{
	const uint64_t most = (uint64_t)6 << 20;
	char *one = malloc(131072 + 1), **v = calloc(1, sizeof(*v));
	size_t n = 0;
	int err = 0;

	if (one == NULL || v == NULL)
		err = -ENOMEM;
	for (; err == 0 && va != 0; va += sizeof(uint64_t)) {
		uint64_t at;
		int64_t len;
		char **more;

		if (pg_guest_read(me, &at, va, sizeof(at)) != 0) {
			err = -EFAULT;
			break;
		}
		if (at == 0)
			break;
		len = pg_guest_string(me, one, 131072, at);
		if (len < 0) {
			err = len == -ENAMETOOLONG ? -E2BIG : (int)len;
			break;
		}
		*bytes += (uint64_t)len + 1 + sizeof(at);
		more = *bytes > most ? NULL : realloc(v, (n + 2) * sizeof(*v));
		if (more == NULL) {
			err = *bytes > most ? -E2BIG : -ENOMEM;
			break;
		}
		v = more;
		v[n] = strdup(one);
		v[n + 1] = NULL;
		if (v[n] == NULL)
			err = -ENOMEM;
		n++;
	}
	free(one);
	if (err != 0) {
		pg_strings_free(v);
		return err;
	}
	*out = v;
	return 0;
}

static int64_t exec_file(struct pg_thread *me, const char *path, uint64_t argv, uint64_t envp)
{
	struct pg_exec_args x = {.filename = path};
	uint64_t bytes = 0;
	int err = get_strings(me, argv, &bytes, &x.argv);

	if (err != 0)
		return err;
	err = get_strings(me, envp, &bytes, &x.envp);
	if (err == 0 && x.argv[0] == NULL) {
		/* Linux gives a program at least an empty argv[0] */
		char **v = calloc(2, sizeof(*v));

		if (v != NULL)
			v[0] = strdup("");
		if (v == NULL || v[0] == NULL) {
			free(v);
			err = -ENOMEM;
		} else {
			pg_strings_free(x.argv);
			x.argv = v;
		}
	}
	if (err == 0)
		err = pg_exec(me, &x);
	pg_strings_free(x.argv);
	pg_strings_free(x.envp);
	if (err == 0)
		me->no_result = true;
	return err;
}

int64_t pg_sys_execve(struct pg_thread *me, const uint64_t *a)
{
	char path[PATH_MAX];
	int64_t n = pg_guest_string(me, path, sizeof(path), a[0]);

	return n < 0 ? n : exec_file(me, path, a[1], a[2]);
}

int64_t pg_sys_execveat(struct pg_thread *me, const uint64_t *a)
{
	char path[PATH_MAX], whole[PATH_MAX + 32];
	int64_t n = pg_guest_string(me, path, sizeof(path), a[1]);
	int dir = (int)a[0];

	if (n < 0)
		return n;
	if (path[0] == '/' || dir == AT_FDCWD)
		return exec_file(me, path, a[2], a[3]);
	if (!pg_fd_ok(dir) || fcntl(dir, F_GETFD) < 0)
		return -EBADF;
	if (path[0] == '\0' && !((int)a[4] & AT_EMPTY_PATH))
		return -ENOENT;
	/* as Linux names it */
	if (path[0] == '\0')
		snprintf(whole, sizeof(whole), "/dev/fd/%d", dir);
	else
		snprintf(whole, sizeof(whole), "/dev/fd/%d/%s", dir, path);
	return strlen(whole) >= PATH_MAX ? -ENAMETOOLONG : exec_file(me, whole, a[2], a[3]);
}

int64_t pg_sys_exit(struct pg_thread *me, const uint64_t *a)
{
	struct pg_process *p = me->proc;

	if (p->threads == 1) {
		pg_process_exit(me, (int)a[0]);
	} else {
		/* the status of a process that nobody ends as a whole is that of its first thread */
		if (me->tid == p->pid) {
			p->end.code = (int)a[0] & 255;
			p->end.pc = me->pc;
		}
		me->exiting = true;
	}
	return 0;
}

int64_t pg_sys_exit_group(struct pg_thread *me, const uint64_t *a)
{
	pg_process_exit(me, (int)a[0]);
	return 0;
}
