/* SPDX-License-Identifier: MIT */
/*
 * linux/sys_process.c: system calls about the process: who it is, its limits, exec, exit.
 *
 * Called through table.c. The guest is process PG_LINUX_PID; its user and group ids are the host process's, and changes of
 * them are made there.
 */
#include "linux/internal.h"
#include "linux/syscalls.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- ids --------------------------------------------------------------------------------------------------- */

int64_t pg_sys_getpid(struct pg_thread *me, const uint64_t *a)
{
	return PG_LINUX_PID;
}

int64_t pg_sys_gettid(struct pg_thread *me, const uint64_t *a)
{
	return me->tid;
}

int64_t pg_sys_getppid(struct pg_thread *me, const uint64_t *a)
{
	return PG_LINUX_PPID;
}

int64_t pg_sys_getpgrp(struct pg_thread *me, const uint64_t *a)
{
	return pg_guest_pid(me, getpgrp());
}

int64_t pg_sys_getpgid(struct pg_thread *me, const uint64_t *a)
{
	int64_t r = PG_QUICK(SYS_getpgid, pg_host_pid(me, (int)a[0]), 0, 0, 0, 0, 0);

	return r > 0 ? pg_guest_pid(me, r) : r;
}

int64_t pg_sys_setpgid(struct pg_thread *me, const uint64_t *a)
{
	return PG_QUICK(
		SYS_setpgid, pg_host_pid(me, (int)a[0]), pg_host_pid(me, (int)a[1]), 0, 0, 0, 0);
}

int64_t pg_sys_getsid(struct pg_thread *me, const uint64_t *a)
{
	int64_t r = PG_QUICK(SYS_getsid, pg_host_pid(me, (int)a[0]), 0, 0, 0, 0, 0);

	return r > 0 ? pg_guest_pid(me, r) : r;
}

int64_t pg_sys_setsid(struct pg_thread *me, const uint64_t *a)
{
	int64_t r = PG_QUICK(SYS_setsid, 0, 0, 0, 0, 0, 0);

	return r > 0 ? pg_guest_pid(me, r) : r;
}

/* Calls with numbers only, the same on the host. */
#define PLAIN(name)                                                                                \
	int64_t pg_sys_##name(struct pg_thread *me, const uint64_t *a)                               \
	{                                                                                          \
		return PG_QUICK(SYS_##name, a[0], a[1], a[2], 0, 0, 0);                            \
	}

PLAIN(getuid)
PLAIN(geteuid)
PLAIN(getgid)
PLAIN(getegid)
PLAIN(setuid)
PLAIN(setgid)
PLAIN(setreuid)
PLAIN(setregid)
PLAIN(setresuid)
PLAIN(setresgid)
PLAIN(setfsuid)
PLAIN(setfsgid)

static int64_t three_ids(struct pg_thread *me, long number, const uint64_t *a)
{
	uint32_t id[3];
	int64_t r =
		PG_QUICK(number, (uintptr_t)&id[0], (uintptr_t)&id[1], (uintptr_t)&id[2], 0, 0, 0);

	for (unsigned i = 0; r == 0 && i < 3; i++)
		r = pg_guest_write(me, a[i], &id[i], sizeof(id[i]));
	return r;
}

int64_t pg_sys_getresuid(struct pg_thread *me, const uint64_t *a)
{
	return three_ids(me, SYS_getresuid, a);
}

int64_t pg_sys_getresgid(struct pg_thread *me, const uint64_t *a)
{
	return three_ids(me, SYS_getresgid, a);
}

int64_t pg_sys_getgroups(struct pg_thread *me, const uint64_t *a)
{
	int cap = (int)a[0];
	gid_t *list;
	int64_t r;

	if (cap < 0)
		return -EINVAL;
	if (cap > 65536)
		cap = 65536;
	list = malloc(((size_t)cap + 1) * sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	r = PG_QUICK(SYS_getgroups, cap, (uintptr_t)list, 0, 0, 0, 0);
	if (r > 0 && cap > 0 && pg_guest_write(me, a[1], list, (uint64_t)r * sizeof(*list)) != 0)
		r = -EFAULT;
	free(list);
	return r;
}

int64_t pg_sys_setgroups(struct pg_thread *me, const uint64_t *a)
{
	uint64_t n = a[0];
	gid_t *list;
	int64_t r;

	if (n > 65536)
		return -EINVAL;
	list = malloc((n + 1) * sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	r = pg_guest_read(me, list, a[1], n * sizeof(*list));
	if (r == 0)
		r = PG_QUICK(SYS_setgroups, n, (uintptr_t)list, 0, 0, 0, 0);
	free(list);
	return r;
}

/* capget and capset: a header {version, pid} and one or two sets. */
static int64_t capabilities(struct pg_thread *me, long number, const uint64_t *a)
{
	struct __user_cap_header_struct h;
	struct __user_cap_data_struct d[2] = {{0}};
	uint64_t bytes;
	int64_t r;

	if (pg_guest_read(me, &h, a[0], sizeof(h)) != 0)
		return -EFAULT;
	bytes = h.version == _LINUX_CAPABILITY_VERSION_1 ? sizeof(d[0]) : sizeof(d);
	h.pid = (int)pg_host_pid(me, h.pid);
	if (number == SYS_capset && pg_guest_read(me, d, a[1], bytes) != 0)
		return -EFAULT;
	r = PG_QUICK(number, (uintptr_t)&h, a[1] != 0 ? (uintptr_t)d : 0, 0, 0, 0, 0);
	if (r == -EINVAL) {
		h.pid = (int)pg_guest_pid(me, h.pid);
		if (pg_guest_write(me, a[0], &h, sizeof(h)) != 0)
			return -EFAULT;
	}
	if (r == 0 && number == SYS_capget && a[1] != 0)
		return pg_guest_write(me, a[1], d, bytes);
	return r;
}

int64_t pg_sys_capget(struct pg_thread *me, const uint64_t *a)
{
	return capabilities(me, SYS_capget, a);
}

int64_t pg_sys_capset(struct pg_thread *me, const uint64_t *a)
{
	return capabilities(me, SYS_capset, a);
}

/* --- threads, exec, exit ------------------------------------------------------------------------------------- */

static int64_t no_fork(struct pg_thread *me, const char *what)
{
	pg_linux_unknown(me, "%s is not there yet (Pagoda runs one process): ENOSYS", what);
	return -ENOSYS;
}

/* What a thread shares with its process; all of it, as with every threads library, or it is a fork. */
#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

static int64_t clone_any(struct pg_thread *me, uint64_t flags, uint64_t stack, uint64_t parent_tid,
	uint64_t child_tid, uint64_t tls)
{
	if (!(flags & CLONE_THREAD))
		return no_fork(me, flags & CLONE_VFORK ? "vfork (clone)" : "fork (clone)");
	if ((flags & (CLONE_VM | CLONE_SIGHAND)) != (CLONE_VM | CLONE_SIGHAND))
		return -EINVAL;
	if ((flags & THREAD_FLAGS) != THREAD_FLAGS || (flags & (CLONE_NEWNS | CLONE_PIDFD)))
		return no_fork(me, "a thread with files or working directory of its own (clone)");
	return pg_thread_clone(me, flags, stack, parent_tid, child_tid, tls);
}

int64_t pg_sys_clone(struct pg_thread *me, const uint64_t *a)
{
	return clone_any(me, a[0], a[1], a[2], a[3], a[4]);
}

/* struct clone_args of the first version. */
struct clone_arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

int64_t pg_sys_clone3(struct pg_thread *me, const uint64_t *a)
{
	struct clone_arguments c;

	if (a[1] < sizeof(c))
		return -EINVAL;
	if (a[1] > PG_PAGE_SIZE)
		return -E2BIG;
	if (pg_guest_read(me, &c, a[0], sizeof(c)) != 0)
		return -EFAULT;
	if ((c.stack == 0) != (c.stack_size == 0))
		return -EINVAL;
	return clone_any(me, c.flags, c.stack + c.stack_size, c.parent_tid, c.child_tid, c.tls);
}

int64_t pg_sys_fork(struct pg_thread *me, const uint64_t *a)
{
	return no_fork(me, "fork");
}

int64_t pg_sys_vfork(struct pg_thread *me, const uint64_t *a)
{
	return no_fork(me, "vfork");
}

int64_t pg_sys_wait4(struct pg_thread *me, const uint64_t *a)
{
	struct rusage ru;
	int status = 0;
	int64_t r = PG_HOST(me, SYS_wait4, pg_host_pid(me, (int)a[0]), (uintptr_t)&status, (int)a[2],
		(uintptr_t)&ru, 0, 0);

	if (r > 0 && a[1] != 0 && pg_guest_write(me, a[1], &status, sizeof(status)) != 0)
		return -EFAULT;
	if (r > 0 && a[3] != 0 && pg_guest_write(me, a[3], &ru, sizeof(ru)) != 0)
		return -EFAULT;
	return r;
}

int64_t pg_sys_waitid(struct pg_thread *me, const uint64_t *a)
{
	union pg_siginfo info;
	int64_t r;

	memset(&info, 0, sizeof(info));
	r = PG_HOST(me, SYS_waitid, (int)a[0], pg_host_pid(me, (int)a[1]), (uintptr_t)&info,
		(int)a[3], 0, 0);
	if (r == 0 && a[2] != 0)
		return pg_guest_write(me, a[2], &info, sizeof(info));
	return r;
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
	pg_thread_exit(me, (int)a[0]);
	return 0;
}

int64_t pg_sys_exit_group(struct pg_thread *me, const uint64_t *a)
{
	pg_linux_exit(me, (int)a[0]);
	return 0;
}

int64_t pg_sys_set_tid_address(struct pg_thread *me, const uint64_t *a)
{
	me->clear_tid = a[0];
	return me->tid;
}

int64_t pg_sys_set_robust_list(struct pg_thread *me, const uint64_t *a)
{
	if (a[1] != 24) /* sizeof(struct robust_list_head) */
		return -EINVAL;
	me->robust_list = a[0];
	me->robust_len = a[1];
	return 0;
}

int64_t pg_sys_get_robust_list(struct pg_thread *me, const uint64_t *a)
{
	const struct pg_thread *t = (int)a[0] == 0 ? me : pg_thread_find(me, (int)a[0]);

	if (t == NULL)
		return -ESRCH;
	if (pg_guest_write(me, a[2], &t->robust_len, sizeof(uint64_t)) != 0)
		return -EFAULT;
	return pg_guest_write(me, a[1], &t->robust_list, sizeof(uint64_t));
}

/* --- prctl, arch_prctl -------------------------------------------------------------------------------------------- */

int64_t pg_sys_arch_prctl(struct pg_thread *me, const uint64_t *a)
{
	switch ((int)a[0]) {
	case ARCH_SET_FS:
	case ARCH_SET_GS:
		if (a[1] >= me->mm->layout.address_top)
			return -EPERM;
		if ((int)a[0] == ARCH_SET_FS)
			me->regs->fs_base = a[1];
		else
			me->regs->gs_base = a[1];
		return 0;
	case ARCH_GET_FS:
		return pg_guest_write(me, a[1], &me->regs->fs_base, sizeof(uint64_t));
	case ARCH_GET_GS:
		return pg_guest_write(me, a[1], &me->regs->gs_base, sizeof(uint64_t));
	case 0x1011: /* ARCH_GET_CPUID: whether the instruction works */
		return 1;
	case 0x1012: /* ARCH_SET_CPUID */
		return a[1] != 0 ? 0 : -ENODEV;
	default:
		/* shadow stacks, AMX permission, tagged addresses: this processor has none */
		return -EINVAL;
	}
}

int64_t pg_sys_prctl(struct pg_thread *me, const uint64_t *a)
{
	char name[16] = {0};
	int64_t n;

	switch ((int)a[0]) {
	case PR_SET_NAME:
		n = pg_guest_string(me, name, sizeof(name), a[1]);
		if (n < 0 && n != -ENAMETOOLONG)
			return n;
		if (n == -ENAMETOOLONG && pg_guest_read(me, name, a[1], sizeof(name) - 1) != 0)
			return -EFAULT;
		name[15] = '\0';
		memcpy(me->comm, name, sizeof(name));
		return 0;
	case PR_GET_NAME:
		memcpy(name, me->comm, strlen(me->comm));
		return pg_guest_write(me, a[1], name, sizeof(name));
	case PR_GET_DUMPABLE:
		return me->mm->dumpable;
	case PR_SET_DUMPABLE:
		if (a[1] > 1)
			return -EINVAL;
		me->mm->dumpable = a[1] == 1;
		return 0;
	case PR_SET_PDEATHSIG:
	case PR_SET_KEEPCAPS:
	case PR_GET_KEEPCAPS:
	case PR_SET_NO_NEW_PRIVS:
	case PR_GET_NO_NEW_PRIVS:
	case PR_CAPBSET_READ:
	case PR_CAPBSET_DROP:
	case PR_GET_SECUREBITS:
	case PR_SET_TIMERSLACK:
	case PR_GET_TIMERSLACK:
	case PR_GET_THP_DISABLE:
	case PR_SET_THP_DISABLE:
	case PR_SET_CHILD_SUBREAPER:
	case PR_CAP_AMBIENT:
	case PR_GET_SECCOMP:
		return PG_QUICK(SYS_prctl, (int)a[0], a[1], a[2], a[3], a[4], 0);
	case PR_GET_PDEATHSIG:
	case PR_GET_CHILD_SUBREAPER: {
		int value = 0;

		n = PG_QUICK(SYS_prctl, (int)a[0], (uintptr_t)&value, 0, 0, 0, 0);
		return n != 0 ? n : pg_guest_write(me, a[1], &value, sizeof(value));
	}
	case PR_GET_TSC: {
		const int enabled = PR_TSC_ENABLE;

		return pg_guest_write(me, a[1], &enabled, sizeof(enabled));
	}
	case PR_SET_VMA: /* names for anonymous mappings: Linux may lack it too */
		return -EINVAL;
	default:
		pg_linux_unknown(me, "prctl operation %d is not there: EINVAL", (int)a[0]);
		return -EINVAL;
	}
}

int64_t pg_sys_personality(struct pg_thread *me, const uint64_t *a)
{
	uint64_t old = me->proc->personality;

	if ((uint32_t)a[0] != 0xffffffffu)
		me->proc->personality = (uint32_t)a[0];
	return (int64_t)old;
}

/* --- limits and use --------------------------------------------------------------------------------------------------- */

static bool own_pid(int pid)
{
	return pid == 0 || pid == PG_LINUX_PID;
}

/* Limits that the host enforces for us are set there too; those of memory are ours. */
static int host_limit(unsigned what, const struct rlimit64 *r)
{
	struct rlimit h = {r->rlim_cur, r->rlim_max};
	struct rlimit now;
	uint64_t most = (uint64_t)pg_linux_fd_limit();

	switch (what) {
	case RLIMIT_STACK:
	case RLIMIT_DATA:
	case RLIMIT_AS:
	case RLIMIT_RSS:
	case RLIMIT_MEMLOCK:
	case RLIMIT_NPROC:
	case RLIMIT_CORE:
		return 0;
	case RLIMIT_NOFILE:
		/* the hard limit stays: above it Pagoda keeps its own */
		if (getrlimit(RLIMIT_NOFILE, &now) != 0)
			return -errno;
		h.rlim_max = now.rlim_max;
		if (h.rlim_cur > most)
			h.rlim_cur = most;
		break;
	default:
		break;
	}
	return setrlimit((__rlimit_resource_t)what, &h) != 0 ? -errno : 0;
}

static int64_t set_limit(struct pg_thread *me, unsigned what, const struct rlimit64 *want)
{
	int err;

	if (want->rlim_cur > want->rlim_max)
		return -EINVAL;
	if (want->rlim_max > me->proc->limits[what].rlim_max && geteuid() != 0)
		return -EPERM;
	err = host_limit(what, want);
	if (err != 0)
		return err;
	me->proc->limits[what] = *want;
	if (what == RLIMIT_STACK)
		pg_space_set_stack_limit(me->mm->space, want->rlim_cur);
	return 0;
}

int64_t pg_sys_getrlimit(struct pg_thread *me, const uint64_t *a)
{
	if ((unsigned)a[0] >= RLIM_NLIMITS)
		return -EINVAL;
	return pg_guest_write(me, a[1], &me->proc->limits[(unsigned)a[0]], sizeof(struct rlimit64));
}

int64_t pg_sys_setrlimit(struct pg_thread *me, const uint64_t *a)
{
	struct rlimit64 want;

	if (pg_guest_read(me, &want, a[1], sizeof(want)) != 0)
		return -EFAULT;
	if ((unsigned)a[0] >= RLIM_NLIMITS)
		return -EINVAL;
	return set_limit(me, (unsigned)a[0], &want);
}

int64_t pg_sys_prlimit64(struct pg_thread *me, const uint64_t *a)
{
	struct rlimit64 want, old;
	unsigned what = (unsigned)a[1];
	int64_t r = 0;

	if (what >= RLIM_NLIMITS)
		return -EINVAL;
	if (a[2] != 0 && pg_guest_read(me, &want, a[2], sizeof(want)) != 0)
		return -EFAULT;
	if (!own_pid((int)a[0]))
		return kill((pid_t)(int)a[0], 0) != 0 ? -ESRCH : -EPERM;
	old = me->proc->limits[what];
	if (a[2] != 0)
		r = set_limit(me, what, &want);
	if (r == 0 && a[3] != 0)
		r = pg_guest_write(me, a[3], &old, sizeof(old));
	return r;
}

int64_t pg_sys_getrusage(struct pg_thread *me, const uint64_t *a)
{
	struct pg_linux_stats s;
	struct rusage ru;
	int64_t r = PG_QUICK(SYS_getrusage, (int)a[0], (uintptr_t)&ru, 0, 0, 0, 0);

	if (r != 0)
		return r;
	if ((int)a[0] != RUSAGE_CHILDREN) {
		pg_linux_stats(me, &s);
		ru.ru_maxrss = (long)(s.space.rss_peak_pages * PG_PAGE_SIZE / 1024);
		ru.ru_minflt = (long)s.space.minor;
		ru.ru_majflt = (long)s.space.major;
	}
	return pg_guest_write(me, a[1], &ru, sizeof(ru));
}

/* --- scheduling: the machine has one processor -------------------------------------------------------------- */

int64_t pg_sys_sched_yield(struct pg_thread *me, const uint64_t *a)
{
	me->yield = pg_thread_shared(me);
	return 0;
}

static int64_t sched_target(struct pg_thread *me, int pid)
{
	return own_pid(pid) || pg_thread_find(me, pid) != NULL ? 0 : pg_host_pid(me, pid);
}

int64_t pg_sys_sched_getaffinity(struct pg_thread *me, const uint64_t *a)
{
	uint8_t mask[1024] = {0};
	unsigned len = (unsigned)a[1] < sizeof(mask) ? (unsigned)a[1] : sizeof(mask);
	int64_t r = PG_QUICK(
		SYS_sched_getaffinity, sched_target(me, (int)a[0]), len, (uintptr_t)mask, 0, 0, 0);

	if (r > 0 && pg_guest_write(me, a[2], mask, (uint64_t)r) != 0)
		return -EFAULT;
	return r;
}

int64_t pg_sys_sched_setaffinity(struct pg_thread *me, const uint64_t *a)
{
	uint8_t mask[1024] = {0};
	unsigned len = (unsigned)a[1] < sizeof(mask) ? (unsigned)a[1] : sizeof(mask);

	if (pg_guest_read(me, mask, a[2], len) != 0)
		return -EFAULT;
	return PG_QUICK(
		SYS_sched_setaffinity, sched_target(me, (int)a[0]), len, (uintptr_t)mask, 0, 0, 0);
}

int64_t pg_sys_sched_getscheduler(struct pg_thread *me, const uint64_t *a)
{
	return PG_QUICK(SYS_sched_getscheduler, sched_target(me, (int)a[0]), 0, 0, 0, 0, 0);
}

int64_t pg_sys_sched_setscheduler(struct pg_thread *me, const uint64_t *a)
{
	int priority;

	if (pg_guest_read(me, &priority, a[2], sizeof(priority)) != 0)
		return -EFAULT;
	return PG_QUICK(SYS_sched_setscheduler, sched_target(me, (int)a[0]), (int)a[1],
		(uintptr_t)&priority, 0, 0, 0);
}

int64_t pg_sys_sched_getparam(struct pg_thread *me, const uint64_t *a)
{
	int priority = 0;
	int64_t r = PG_QUICK(
		SYS_sched_getparam, sched_target(me, (int)a[0]), (uintptr_t)&priority, 0, 0, 0, 0);

	return r != 0 ? r : pg_guest_write(me, a[1], &priority, sizeof(priority));
}

int64_t pg_sys_sched_setparam(struct pg_thread *me, const uint64_t *a)
{
	int priority;

	if (pg_guest_read(me, &priority, a[1], sizeof(priority)) != 0)
		return -EFAULT;
	return PG_QUICK(
		SYS_sched_setparam, sched_target(me, (int)a[0]), (uintptr_t)&priority, 0, 0, 0, 0);
}

PLAIN(sched_get_priority_max)
PLAIN(sched_get_priority_min)

int64_t pg_sys_sched_rr_get_interval(struct pg_thread *me, const uint64_t *a)
{
	struct timespec t;
	int64_t r = PG_QUICK(
		SYS_sched_rr_get_interval, sched_target(me, (int)a[0]), (uintptr_t)&t, 0, 0, 0, 0);

	return r != 0 ? r : pg_guest_write(me, a[1], &t, sizeof(t));
}

int64_t pg_sys_getpriority(struct pg_thread *me, const uint64_t *a)
{
	return PG_QUICK(SYS_getpriority, (int)a[0], pg_host_pid(me, (int)a[1]), 0, 0, 0, 0);
}

int64_t pg_sys_setpriority(struct pg_thread *me, const uint64_t *a)
{
	return PG_QUICK(SYS_setpriority, (int)a[0], pg_host_pid(me, (int)a[1]), (int)a[2], 0, 0, 0);
}

int64_t pg_sys_getcpu(struct pg_thread *me, const uint64_t *a)
{
	unsigned cpu = 0, node = 0;
	int64_t r = PG_QUICK(SYS_getcpu, (uintptr_t)&cpu, (uintptr_t)&node, 0, 0, 0, 0);

	if (r == 0 && a[0] != 0)
		r = pg_guest_write(me, a[0], &cpu, sizeof(cpu));
	if (r == 0 && a[1] != 0)
		r = pg_guest_write(me, a[1], &node, sizeof(node));
	return r;
}

int64_t pg_sys_membarrier(struct pg_thread *me, const uint64_t *a)
{
	/* on one processor every barrier holds at once; the commands are those the host knows */
	return PG_QUICK(SYS_membarrier, (int)a[0], (unsigned)a[1], (int)a[2], 0, 0, 0);
}
