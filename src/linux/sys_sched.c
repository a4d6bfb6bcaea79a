/* SPDX-License-Identifier: MIT */
/*
 * linux/sys_sched.c: system calls about scheduling: priorities, policies, affinity.
 *
 * Called through table.c. The machine has one processor and threads run by turns (lock.c); policies, priorities and affinities
 * are those of the threads' host threads, which the host keeps and enforces.
 */
#include "linux/internal.h"
#include "linux/syscalls.h"

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
	int64_t target = sched_target(me, (int)a[0]);

	if (target < 0)
		return target;
	return PG_QUICK(SYS_sched_getscheduler, target, 0, 0, 0, 0, 0);
}

int64_t pg_sys_sched_setscheduler(struct pg_thread *me, const uint64_t *a)
{
	int64_t target = sched_target(me, (int)a[0]);
	int priority;

	if (target < 0)
		return target;
	if (pg_guest_read(me, &priority, a[2], sizeof(priority)) != 0)
		return -EFAULT;
	return PG_QUICK(SYS_sched_setscheduler, target, (int)a[1], (uintptr_t)&priority, 0, 0, 0);
}

int64_t pg_sys_sched_getparam(struct pg_thread *me, const uint64_t *a)
{
	int64_t target = sched_target(me, (int)a[0]);
	int priority = 0;
	int64_t r;

	if (target < 0)
		return target;
	r = PG_QUICK(SYS_sched_getparam, target, (uintptr_t)&priority, 0, 0, 0, 0);

	return r != 0 ? r : pg_guest_write(me, a[1], &priority, sizeof(priority));
}

int64_t pg_sys_sched_setparam(struct pg_thread *me, const uint64_t *a)
{
	int64_t target = sched_target(me, (int)a[0]);
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
	int64_t target = sched_target(me, (int)a[0]);
	struct timespec t;
	int64_t r;

	if (target < 0)
		return target;
	r = PG_QUICK(SYS_sched_rr_get_interval, target, (uintptr_t)&t, 0, 0, 0, 0);

	return r != 0 ? r : pg_guest_write(me, a[1], &t, sizeof(t));
}

int64_t pg_sys_getpriority(struct pg_thread *me, const uint64_t *a)
{
	int64_t who = (int)a[0] == PRIO_PROCESS ? sched_target(me, (int)a[1]) : (int)a[1];

	return who < 0 ? who : PG_QUICK(SYS_getpriority, (int)a[0], who, 0, 0, 0, 0);
}

int64_t pg_sys_setpriority(struct pg_thread *me, const uint64_t *a)
{
	int64_t who = (int)a[0] == PRIO_PROCESS ? sched_target(me, (int)a[1]) : (int)a[1];

	return who < 0 ? who : PG_QUICK(SYS_setpriority, (int)a[0], who, (int)a[2], 0, 0, 0);
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
