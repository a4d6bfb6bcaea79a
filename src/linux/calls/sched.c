/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/sched.c: system calls about scheduling: priorities, policies, affinity.
 *
 * Called through table.c. The machine has one processor and threads run by turns (machine/lock.c); policies, priorities and affinities
 * are those of the threads' host threads, which the host keeps and enforces.
 */
#include "linux/calls/syscalls.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Calls with numbers only, the same on the host. */
#define PLAIN(name)                                                                                \
	int64_t pg_sys_##name(struct pg_thread *me, const uint64_t *a)                             \
	{                                                                                          \
		return PG_QUICK(SYS_##name, a[0], a[1], a[2], 0, 0, 0);                            \
	}

int64_t pg_sys_sched_yield(struct pg_thread *me, const uint64_t *a)
{
	if (me->machine->lock.waiters != 0)
		pg_lock_turn(me);
	return 0;
}

/* The host's number of a guest's thread, or -ESRCH. */
static int64_t sched_target(struct pg_thread *me, int tid)
{
	const struct pg_thread *t = tid == 0 ? me : pg_thread_find(me->machine, tid);

	return t != NULL && t->host_tid != 0 ? t->host_tid : -ESRCH;
}

int64_t pg_sys_sched_getaffinity(struct pg_thread *me, const uint64_t *a)
{
	int64_t target = sched_target(me, (int)a[0]);
	uint8_t mask[1024] = {0};
	unsigned len = (unsigned)a[1] < sizeof(mask) ? (unsigned)a[1] : sizeof(mask);
	int64_t r;

	if (target < 0)
		return target;
	r = PG_QUICK(SYS_sched_getaffinity, target, len, (uintptr_t)mask, 0, 0, 0);

	if (r > 0 && pg_guest_write(me, a[2], mask, (uint64_t)r) != 0)
		return -EFAULT;
	return r;
}

int64_t pg_sys_sched_setaffinity(struct pg_thread *me, const uint64_t *a)
{
	int64_t target = sched_target(me, (int)a[0]);
	uint8_t mask[1024] = {0};
	unsigned len = (unsigned)a[1] < sizeof(mask) ? (unsigned)a[1] : sizeof(mask);

	if (target < 0)
		return target;
	if (pg_guest_read(me, mask, a[2], len) != 0)
		return -EFAULT;
	return PG_QUICK(SYS_sched_setaffinity, target, len, (uintptr_t)mask, 0, 0, 0);
}

int64_t pg_sys_sched_getscheduler(struct pg_thread *me, const uint64_t *a)
{
	int64_t target = (int)a[0] >= 0 ? sched_target(me, (int)a[0]) : -EINVAL;

	if (target < 0)
		return target;
	return PG_QUICK(SYS_sched_getscheduler, target, 0, 0, 0, 0, 0);
}

int64_t pg_sys_sched_setscheduler(struct pg_thread *me, const uint64_t *a)
{
	int64_t target = (int)a[0] >= 0 ? sched_target(me, (int)a[0]) : -EINVAL;
	int priority;

	if (target < 0)
		return target;
	if (pg_guest_read(me, &priority, a[2], sizeof(priority)) != 0)
		return -EFAULT;
	return PG_QUICK(SYS_sched_setscheduler, target, (int)a[1], (uintptr_t)&priority, 0, 0, 0);
}

int64_t pg_sys_sched_getparam(struct pg_thread *me, const uint64_t *a)
{
	int64_t target = (int)a[0] >= 0 ? sched_target(me, (int)a[0]) : -EINVAL;
	int priority = 0;
	int64_t r;

	if (target < 0)
		return target;
	r = PG_QUICK(SYS_sched_getparam, target, (uintptr_t)&priority, 0, 0, 0, 0);

	return r != 0 ? r : pg_guest_write(me, a[1], &priority, sizeof(priority));
}

int64_t pg_sys_sched_setparam(struct pg_thread *me, const uint64_t *a)
{
	int64_t target = (int)a[0] >= 0 ? sched_target(me, (int)a[0]) : -EINVAL;
	int priority;

	if (target < 0)
		return target;
	if (pg_guest_read(me, &priority, a[1], sizeof(priority)) != 0)
		return -EFAULT;
	return PG_QUICK(SYS_sched_setparam, target, (uintptr_t)&priority, 0, 0, 0, 0);
}

PLAIN(sched_get_priority_max)
PLAIN(sched_get_priority_min)

int64_t pg_sys_sched_rr_get_interval(struct pg_thread *me, const uint64_t *a)
{
	int64_t target = (int)a[0] >= 0 ? sched_target(me, (int)a[0]) : -EINVAL;
	struct timespec t;
	int64_t r;

	if (target < 0)
		return target;
	r = PG_QUICK(SYS_sched_rr_get_interval, target, (uintptr_t)&t, 0, 0, 0, 0);

	return r != 0 ? r : pg_guest_write(me, a[1], &t, sizeof(t));
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

/* --- attributes: struct sched_attr, whose first word is its size ------------------------------------------- */

#define ATTRIBUTES_FIRST 48 /* SCHED_ATTR_SIZE_VER0 */

int64_t pg_sys_sched_setattr(struct pg_thread *me, const uint64_t *a)
{
	int64_t target = (int)a[0] >= 0 ? sched_target(me, (int)a[0]) : -EINVAL;
	uint8_t all[PG_PAGE_SIZE];
	uint32_t size;

	if (a[1] == 0 || (int)a[0] < 0 || (unsigned)a[2] != 0)
		return -EINVAL;
	if (pg_guest_read(me, &size, a[1], sizeof(size)) != 0)
		return -EFAULT;
	if (size == 0)
		size = ATTRIBUTES_FIRST;
	if (size < ATTRIBUTES_FIRST || size > sizeof(all)) {
		/* Linux says which size it knows */
		size = 56;
		return pg_guest_write(me, a[1], &size, sizeof(size)) != 0 ? -EFAULT : -E2BIG;
	}
	if (pg_guest_read(me, all, a[1], size) != 0)
		return -EFAULT;
	memcpy(all, &size, sizeof(size));
	return target < 0 ? target
			  : PG_QUICK(SYS_sched_setattr, target, (uintptr_t)all, 0, 0, 0, 0);
}

int64_t pg_sys_sched_getattr(struct pg_thread *me, const uint64_t *a)
{
	unsigned size = (unsigned)a[2];
	uint8_t all[PG_PAGE_SIZE] = {0};
	uint32_t used;
	int64_t target, r;

	if (a[1] == 0 || (int)a[0] < 0 || size > sizeof(all) || size < ATTRIBUTES_FIRST ||
		(unsigned)a[3] != 0)
		return -EINVAL;
	target = sched_target(me, (int)a[0]);
	if (target < 0)
		return target;
	r = PG_QUICK(SYS_sched_getattr, target, (uintptr_t)all, size, 0, 0, 0);
	memcpy(&used, all, sizeof(used));
	if (r == 0 && pg_guest_write(me, a[1], all, used < size ? used : size) != 0)
		r = -EFAULT;
	return r;
}

/* --- whose: a process, a group, a user ------------------------------------------------------------------------ */

/* Host threads of the guests of a group; calls f for each until it fails. How many there were. */
static unsigned each_of_group(struct pg_thread *me, int pgid, int64_t (*f)(void *ctx, int host_tid),
	void *ctx, int64_t *result)
{
	unsigned n = 0;

	for (const struct pg_process *p = me->machine->processes; p != NULL; p = p->next) {
		if (p->pgid != (pgid != 0 ? pgid : me->proc->pgid))
			continue;
		for (const struct pg_thread *t = p->thread; t != NULL; t = t->next) {
			if (t->host_tid == 0)
				continue;
			n++;
			*result = f(ctx, t->host_tid);
			if (*result < 0)
				return n;
		}
	}
	return n;
}

struct priority {
	int64_t best; /* the highest so far, as the system call gives it: 20 less the nice value */
	int value;
	long number; /* SYS_setpriority or SYS_ioprio_set */
};

static int64_t look_at_priority(void *ctx, int host_tid)
{
	struct priority *x = ctx;
	int64_t r = PG_QUICK(SYS_getpriority, 0 /* PRIO_PROCESS */, host_tid, 0, 0, 0, 0);

	x->best = r > x->best ? r : x->best;
	return r;
}

static int64_t change_priority(void *ctx, int host_tid)
{
	const struct priority *x = ctx;

	/* a process is 0 for one, 1 for the other */
	return PG_QUICK(x->number, x->number == SYS_ioprio_set, host_tid, x->value, 0, 0, 0);
}

int64_t pg_sys_getpriority(struct pg_thread *me, const uint64_t *a)
{
	int64_t r = 0, target;
	struct priority x = {0};

	switch ((int)a[0]) {
	case PRIO_PROCESS:
		target = sched_target(me, (int)a[1]);
		return target < 0 ? target
				  : PG_QUICK(SYS_getpriority, PRIO_PROCESS, target, 0, 0, 0, 0);
	case PRIO_PGRP:
		if (each_of_group(me, (int)a[1], look_at_priority, &x, &r) == 0)
			return -ESRCH;
		return r < 0 ? r : x.best;
	default:
		return PG_QUICK(SYS_getpriority, (int)a[0], (int)a[1], 0, 0, 0, 0);
	}
}

int64_t pg_sys_setpriority(struct pg_thread *me, const uint64_t *a)
{
	struct priority x = {.number = SYS_setpriority, .value = (int)a[2]};
	int64_t r = 0, target;

	switch ((int)a[0]) {
	case PRIO_PROCESS:
		target = sched_target(me, (int)a[1]);
		return target < 0 ? target : change_priority(&x, (int)target);
	case PRIO_PGRP:
		return each_of_group(me, (int)a[1], change_priority, &x, &r) == 0 ? -ESRCH : r;
	case PRIO_USER:
		pg_linux_unknown(me, "setpriority of all processes of a user is not there: EPERM");
		return -EPERM;
	default:
		return -EINVAL;
	}
}

int64_t pg_sys_ioprio_get(struct pg_thread *me, const uint64_t *a)
{
	int64_t target;

	if ((int)a[0] != 1) {
		pg_linux_unknown(me, "ioprio_get of groups and users is not there: EINVAL");
		return -EINVAL;
	}
	target = sched_target(me, (int)a[1]);
	return target < 0 ? target : PG_QUICK(SYS_ioprio_get, 1, target, 0, 0, 0, 0);
}

int64_t pg_sys_ioprio_set(struct pg_thread *me, const uint64_t *a)
{
	struct priority x = {.number = SYS_ioprio_set, .value = (int)a[2]};
	int64_t r = 0, target;

	if ((int)a[0] == 2)
		return each_of_group(me, (int)a[1], change_priority, &x, &r) == 0 ? -ESRCH : r;
	if ((int)a[0] != 1) {
		pg_linux_unknown(me, "ioprio_set of users is not there: EINVAL");
		return -EINVAL;
	}
	target = sched_target(me, (int)a[1]);
	return target < 0 ? target : change_priority(&x, (int)target);
}
