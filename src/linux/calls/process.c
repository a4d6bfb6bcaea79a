/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/process.c: system calls about the process: who it is, its group and session, its limits and use.
 *
 * Called through table.c. User and group ids are those of the thread's host thread, and changes of them are made there.
 */
#include "linux/calls/syscalls.h"
#include "linux/machine/machine.h"

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
#include <unistd.h>

/* --- ids --------------------------------------------------------------------------------------------------- */

int64_t pg_sys_getpid(struct pg_thread *me, const uint64_t *a)
{
	return me->proc->pid;
}

int64_t pg_sys_gettid(struct pg_thread *me, const uint64_t *a)
{
	return me->tid;
}

int64_t pg_sys_getppid(struct pg_thread *me, const uint64_t *a)
{
	return pg_process_ppid(me->proc);
}

/* --- process groups and sessions ---------------------------------------------------------------------------- */

/* The process with this number, 0 for the caller's; NULL: none. */
static struct pg_process *process_of(struct pg_thread *me, int pid)
{
	return pid == 0 ? me->proc : pg_process_find(me->machine, pid);
}

int64_t pg_sys_getpgrp(struct pg_thread *me, const uint64_t *a)
{
	return me->proc->pgid;
}

int64_t pg_sys_getpgid(struct pg_thread *me, const uint64_t *a)
{
	const struct pg_process *p = process_of(me, (int)a[0]);

	return p != NULL ? p->pgid : -ESRCH;
}

int64_t pg_sys_setpgid(struct pg_thread *me, const uint64_t *a)
{
	struct pg_process *p = process_of(me, (int)a[0]);
	int pgid = (int)a[1];
	bool there = false;

	if (pgid < 0)
		return -EINVAL;
	if (p == NULL || (p != me->proc && p->parent != me->proc))
		return -ESRCH;
	if (p != me->proc && p->sid != me->proc->sid)
		return -EPERM;
	if (p != me->proc && p->execed)
		return -EACCES;
	if (p->sid == p->pid)
		return -EPERM;
	if (pgid == 0)
		pgid = p->pid;
	for (const struct pg_process *k = me->machine->processes; k != NULL; k = k->next)
		there = there || (k->pgid == pgid && k->sid == p->sid);
	if (pgid != p->pid && !there)
		return -EPERM;
	p->pgid = pgid;
	return 0;
}

int64_t pg_sys_getsid(struct pg_thread *me, const uint64_t *a)
{
	const struct pg_process *p = process_of(me, (int)a[0]);

	return p != NULL ? p->sid : -ESRCH;
}

int64_t pg_sys_setsid(struct pg_thread *me, const uint64_t *a)
{
	for (const struct pg_process *k = me->machine->processes; k != NULL; k = k->next)
		if (k->pgid == me->proc->pid)
			return -EPERM;
	me->proc->pgid = me->proc->sid = me->proc->pid;
	me->proc->terminal = NULL;
	return me->proc->sid;
}

/* --- users ------------------------------------------------------------------------------------------------------ */

/* Calls with numbers only, the same on the host. */
#define PLAIN(name)                                                                                \
	int64_t pg_sys_##name(struct pg_thread *me, const uint64_t *a)                             \
	{                                                                                          \
		return PG_QUICK(SYS_##name, a[0], a[1], a[2], 0, 0, 0);                            \
	}

/* The same for those that change who the thread is. */
#define CHANGE(name)                                                                               \
	int64_t pg_sys_##name(struct pg_thread *me, const uint64_t *a)                             \
	{                                                                                          \
		int64_t r = PG_QUICK(SYS_##name, a[0], a[1], a[2], 0, 0, 0);                       \
                                                                                                   \
		pg_cred_changed(me);                                                               \
		return r;                                                                          \
	}

PLAIN(getuid)
PLAIN(geteuid)
PLAIN(getgid)
PLAIN(getegid)
CHANGE(setuid)
CHANGE(setgid)
CHANGE(setreuid)
CHANGE(setregid)
CHANGE(setresuid)
CHANGE(setresgid)
CHANGE(setfsuid)
CHANGE(setfsgid)

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
	const struct pg_thread *other;
	uint32_t version;
	uint64_t bytes;
	int asked;
	int64_t r;

	if (pg_guest_read(me, &h, a[0], sizeof(h)) != 0)
		return -EFAULT;
	bytes = h.version == _LINUX_CAPABILITY_VERSION_1 ? sizeof(d[0]) : sizeof(d);
	other = h.pid != me->tid ? pg_thread_find(me->machine, h.pid) : NULL;
	if (other != NULL && number == SYS_capset)
		return -EPERM;
	asked = h.pid;
	version = h.version;
	if (other != NULL)
		h.pid = other->host_tid;
	else
		h.pid = h.pid == me->tid ? 0 : (int)pg_host_pid(me->machine, h.pid);
	if (number == SYS_capset && pg_guest_read(me, d, a[1], bytes) != 0)
		return -EFAULT;
	r = PG_QUICK(number, (uintptr_t)&h, a[1] != 0 ? (uintptr_t)d : 0, 0, 0, 0, 0);
	if (r == 0 && number == SYS_capset)
		pg_cred_changed(me);
	if (h.version != version) { /* asked with a version that is not, the kernel names its own */
		h.pid = asked;
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

/* --- threads ---------------------------------------------------------------------------------------------------- */

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
	const struct pg_thread *t = (int)a[0] == 0 ? me : pg_thread_find(me->machine, (int)a[0]);

	if (t == NULL)
		return -ESRCH;
	if (!pg_cred_may_look(me, t->proc, t->mm, false))
		return -EPERM;
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

#define GET_AUXV 0x41555856 /* PR_GET_AUXV */

static int64_t get_auxv(struct pg_thread *me, const uint64_t *a)
{
	uint64_t n = a[2] < me->mm->auxv_bytes ? a[2] : me->mm->auxv_bytes;

	if ((a[3] | a[4]) != 0)
		return -EINVAL;
	return pg_guest_write(me, a[1], me->mm->auxv, n) != 0 ? -EFAULT
							      : (int64_t)me->mm->auxv_bytes;
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
		me->mm->dumpable = (int)a[1];
		return 0;
	case PR_SET_PDEATHSIG:
		if (a[1] > PG_NSIG)
			return -EINVAL;
		me->proc->death_signal = (int)a[1];
		return 0;
	case PR_GET_PDEATHSIG:
		return pg_guest_write(me, a[1], &me->proc->death_signal, sizeof(int));
	case PR_SET_CHILD_SUBREAPER:
		me->proc->subreaper = a[1] != 0;
		return 0;
	case PR_GET_CHILD_SUBREAPER: {
		const int value = me->proc->subreaper;

		return pg_guest_write(me, a[1], &value, sizeof(value));
	}
	case PR_SET_KEEPCAPS:
	case PR_GET_KEEPCAPS:
	case PR_SET_NO_NEW_PRIVS:
	case PR_GET_NO_NEW_PRIVS:
	case PR_CAPBSET_READ:
	case PR_CAPBSET_DROP:
	case PR_GET_SECUREBITS:
	case PR_SET_SECUREBITS:
	case PR_GET_SPECULATION_CTRL:
	case PR_TASK_PERF_EVENTS_DISABLE:
	case PR_TASK_PERF_EVENTS_ENABLE:
	case PR_MCE_KILL:
	case PR_MCE_KILL_GET:
	case PR_SET_TIMERSLACK:
	case PR_GET_TIMERSLACK:
	case PR_CAP_AMBIENT:
	case PR_GET_SECCOMP:
		return PG_QUICK(SYS_prctl, (int)a[0], a[1], a[2], a[3], a[4], 0);
	case PR_SET_THP_DISABLE:
		if ((a[2] | a[3] | a[4]) != 0)
			return -EINVAL;
		me->proc->no_huge = a[1] != 0;
		return 0;
	case PR_GET_THP_DISABLE:
		return (a[1] | a[2] | a[3] | a[4]) != 0 ? -EINVAL : me->proc->no_huge;
	case PR_GET_TIMING:
		return PR_TIMING_STATISTICAL;
	case PR_SET_TIMING:
		return a[1] == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
	case PR_GET_TID_ADDRESS:
		return pg_guest_write(me, a[1], &me->clear_tid, sizeof(me->clear_tid));
	case GET_AUXV:
		return get_auxv(me, a);
	case PR_SET_TSC:
		if (a[1] == PR_TSC_SIGSEGV)
			pg_linux_unknown(me, "rdtsc cannot be made to fault: EINVAL");
		return a[1] == PR_TSC_ENABLE ? 0 : -EINVAL;
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
