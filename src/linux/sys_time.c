/* SPDX-License-Identifier: MIT */
/*
 * linux/sys_time.c: system calls about time: clocks, sleeping, timers.
 *
 * Called through table.c. Clocks are the host's. Timers are host timers whose signals come back through sighost.c.
 */
#include "linux/internal.h"
#include "linux/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000

int64_t pg_sys_time(struct pg_thread *me, const uint64_t *a)
{
	int64_t t = (int64_t)time(NULL);

	if (a[0] != 0 && pg_guest_write(me, a[0], &t, sizeof(t)) != 0)
		return -EFAULT;
	return t;
}

int64_t pg_sys_gettimeofday(struct pg_thread *me, const uint64_t *a)
{
	struct timeval v;
	struct timezone z = {0};

	if (PG_QUICK(SYS_gettimeofday, (uintptr_t)&v, (uintptr_t)&z, 0, 0, 0, 0) != 0)
		return -EFAULT;
	if (a[0] != 0 && pg_guest_write(me, a[0], &v, sizeof(v)) != 0)
		return -EFAULT;
	return a[1] != 0 ? pg_guest_write(me, a[1], &z, sizeof(z)) : 0;
}

/* clock_gettime and clock_getres. Clocks of the guest's own process and thread are the host's own. */
static int64_t clock_read(struct pg_thread *me, long number, const uint64_t *a)
{
	struct timespec t;
	int64_t r = PG_QUICK(number, (int)a[0], (uintptr_t)&t, 0, 0, 0, 0);

	if (r != 0 || (a[1] == 0 && number == SYS_clock_getres))
		return r;
	return pg_guest_write(me, a[1], &t, sizeof(t));
}

int64_t pg_sys_clock_gettime(struct pg_thread *me, const uint64_t *a)
{
	return clock_read(me, SYS_clock_gettime, a);
}

int64_t pg_sys_clock_getres(struct pg_thread *me, const uint64_t *a)
{
	return clock_read(me, SYS_clock_getres, a);
}

int64_t pg_sys_clock_settime(struct pg_thread *me, const uint64_t *a)
{
	struct timespec t;

	if (pg_guest_read(me, &t, a[1], sizeof(t)) != 0)
		return -EFAULT;
	return PG_QUICK(SYS_clock_settime, (int)a[0], (uintptr_t)&t, 0, 0, 0, 0);
}

int64_t pg_sys_settimeofday(struct pg_thread *me, const uint64_t *a)
{
	struct timeval v;
	struct timezone z;

	if ((a[0] != 0 && pg_guest_read(me, &v, a[0], sizeof(v)) != 0) ||
		(a[1] != 0 && pg_guest_read(me, &z, a[1], sizeof(z)) != 0))
		return -EFAULT;
	return PG_QUICK(SYS_settimeofday, a[0] != 0 ? (uintptr_t)&v : 0,
		a[1] != 0 ? (uintptr_t)&z : 0, 0, 0, 0, 0);
}

static int64_t adjust(struct pg_thread *me, int clock, uint64_t at)
{
	struct timex t;
	int64_t r;

	if (pg_guest_read(me, &t, at, sizeof(t)) != 0)
		return -EFAULT;
	r = PG_QUICK(SYS_clock_adjtime, clock, (uintptr_t)&t, 0, 0, 0, 0);
	if (r >= 0 && pg_guest_write(me, at, &t, sizeof(t)) != 0)
		return -EFAULT;
	return r;
}

int64_t pg_sys_adjtimex(struct pg_thread *me, const uint64_t *a)
{
	return adjust(me, CLOCK_REALTIME, a[0]);
}

int64_t pg_sys_clock_adjtime(struct pg_thread *me, const uint64_t *a)
{
	return adjust(me, (int)a[0], a[1]);
}

int64_t pg_sys_times(struct pg_thread *me, const uint64_t *a)
{
	struct tms t;
	int64_t r = PG_QUICK(SYS_times, (uintptr_t)&t, 0, 0, 0, 0, 0);

	if (a[0] != 0 && pg_guest_write(me, a[0], &t, sizeof(t)) != 0)
		return -EFAULT;
	return r;
}

/* --- sleeping ----------------------------------------------------------------------------------------------------- */

/* The same while other threads take their turns. */
static int64_t sleep_shared(
	struct pg_thread *me, int clock, bool absolute, const struct timespec *t, uint64_t rem)
{
	uint64_t now = pg_host_clock_ns(CLOCK_MONOTONIC), then, base;
	struct pg_wait w = {0};
	struct timespec c, left;

	if (clock_gettime(clock, &c) != 0)
		return -errno;
	base = absolute ? (uint64_t)c.tv_sec * SECOND + (uint64_t)c.tv_nsec : 0;
	then = (uint64_t)t->tv_sec > 1ull << 33
		       ? UINT64_MAX / 2
		       : (uint64_t)t->tv_sec * SECOND + (uint64_t)t->tv_nsec;
	w.deadline = pg_thread_deadline(me, now + (then > base ? then - base : 0));
	if (now >= w.deadline)
		return 0;
	if (!pg_signal_waiting(me))
		return pg_thread_wait(me, &w);
	if (absolute)
		return -PG_ERESTARTNOHAND;
	left = (struct timespec){
		(time_t)((w.deadline - now) / SECOND), (long)((w.deadline - now) % SECOND)};
	if (rem != 0 && pg_guest_write(me, rem, &left, sizeof(left)) != 0)
		return -EFAULT;
	return -EINTR;
}

/*
 * Sleeps on `clock`, relative or until an absolute time. A signal that the guest does not see lets it sleep on; one that
 * it does see ends it with -EINTR and, if relative, the rest in *rem.
 */
static int64_t sleep_on(
	struct pg_thread *me, int clock, bool absolute, struct timespec t, uint64_t rem)
{
	if (t.tv_nsec < 0 || t.tv_nsec >= SECOND || t.tv_sec < 0)
		return -EINVAL;
	if (pg_thread_shared(me))
		return sleep_shared(me, clock, absolute, &t, rem);
	for (;;) {
		struct timespec left = t;
		int64_t r = PG_HOST(me, SYS_clock_nanosleep, clock, absolute ? TIMER_ABSTIME : 0,
			(uintptr_t)&t, (uintptr_t)&left, 0, 0);

		if (r != -PG_ERESTARTSYS)
			return r;
		if (!absolute)
			t = left;
		if (!pg_signal_waiting(me))
			continue;
		if (absolute)
			return -PG_ERESTARTNOHAND;
		if (rem != 0 && pg_guest_write(me, rem, &t, sizeof(t)) != 0)
			return -EFAULT;
		return -EINTR;
	}
}

int64_t pg_sys_nanosleep(struct pg_thread *me, const uint64_t *a)
{
	struct timespec t;

	if (pg_guest_read(me, &t, a[0], sizeof(t)) != 0)
		return -EFAULT;
	return sleep_on(me, CLOCK_MONOTONIC, false, t, a[1]);
}

int64_t pg_sys_clock_nanosleep(struct pg_thread *me, const uint64_t *a)
{
	struct timespec t;

	if (pg_guest_read(me, &t, a[2], sizeof(t)) != 0)
		return -EFAULT;
	return sleep_on(me, (int)a[0], ((int)a[1] & TIMER_ABSTIME) != 0, t, a[3]);
}

/* --- timers ------------------------------------------------------------------------------------------------------------ */

int64_t pg_sys_getitimer(struct pg_thread *me, const uint64_t *a)
{
	struct itimerval v;
	int64_t r = PG_QUICK(SYS_getitimer, (int)a[0], (uintptr_t)&v, 0, 0, 0, 0);

	return r != 0 ? r : pg_guest_write(me, a[1], &v, sizeof(v));
}

int64_t pg_sys_setitimer(struct pg_thread *me, const uint64_t *a)
{
	struct itimerval v = {{0}}, old;
	int64_t r;

	if (a[1] != 0 && pg_guest_read(me, &v, a[1], sizeof(v)) != 0)
		return -EFAULT;
	r = PG_QUICK(SYS_setitimer, (int)a[0], (uintptr_t)&v, (uintptr_t)&old, 0, 0, 0);
	return r != 0 || a[2] == 0 ? r : pg_guest_write(me, a[2], &old, sizeof(old));
}

int64_t pg_sys_alarm(struct pg_thread *me, const uint64_t *a)
{
	return PG_QUICK(SYS_alarm, (unsigned)a[0], 0, 0, 0, 0, 0);
}

/* struct sigevent of the kernel. */
struct event {
	uint64_t value;
	int32_t signo, notify, tid;
	uint8_t pad[44];
};

_Static_assert(sizeof(struct event) == 64, "sigevent");

static bool note_timer(struct pg_thread *me, int id)
{
	int *more = realloc(me->proc->timers, (me->proc->timer_count + 1) * sizeof(*more));

	if (more == NULL)
		return false;
	me->proc->timers = more;
	more[me->proc->timer_count++] = id;
	return true;
}

static void forget_timer(struct pg_thread *me, int id)
{
	for (unsigned i = 0; i < me->proc->timer_count; i++)
		if (me->proc->timers[i] == id)
			me->proc->timers[i--] = me->proc->timers[--me->proc->timer_count];
}

void pg_timers_delete(struct pg_thread *me, bool intervals)
{
	const struct itimerval none = {{0}};
	static const int kinds[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};

	for (unsigned i = 0; i < me->proc->timer_count; i++)
		PG_QUICK(SYS_timer_delete, me->proc->timers[i], 0, 0, 0, 0, 0);
	free(me->proc->timers);
	me->proc->timers = NULL;
	me->proc->timer_count = 0;
	for (unsigned i = 0; intervals && i < 3; i++)
		PG_QUICK(SYS_setitimer, kinds[i], (uintptr_t)&none, 0, 0, 0, 0);
}

int64_t pg_sys_timer_create(struct pg_thread *me, const uint64_t *a)
{
	struct event e;
	int32_t id;
	int64_t r;

	if (a[1] != 0) {
		if (pg_guest_read(me, &e, a[1], sizeof(e)) != 0)
			return -EFAULT;
		if (e.notify == SIGEV_THREAD_ID && pg_thread_find(me, e.tid) != NULL)
			e.tid = me->machine->host_pid;
		if (e.notify != SIGEV_NONE && (e.signo < 1 || e.signo > PG_NSIG))
			return -EINVAL;
	}
	r = PG_QUICK(SYS_timer_create, (int)a[0], a[1] != 0 ? (uintptr_t)&e : 0, (uintptr_t)&id, 0,
		0, 0);
	if (r != 0)
		return r;
	if (!note_timer(me, id) || pg_guest_write(me, a[2], &id, sizeof(id)) != 0) {
		PG_QUICK(SYS_timer_delete, id, 0, 0, 0, 0, 0);
		forget_timer(me, id);
		return me->oom ? -EAGAIN : -EFAULT;
	}
	return 0;
}

/* timer_settime and timerfd_settime: (which, flags, new, old). */
static int64_t set_spec(struct pg_thread *me, long number, const uint64_t *a)
{
	struct itimerspec v, old;
	int64_t r;

	if (a[2] == 0)
		return -EINVAL;
	if (pg_guest_read(me, &v, a[2], sizeof(v)) != 0)
		return -EFAULT;
	r = PG_QUICK(number, (int)a[0], (int)a[1], (uintptr_t)&v, (uintptr_t)&old, 0, 0);
	return r != 0 || a[3] == 0 ? r : pg_guest_write(me, a[3], &old, sizeof(old));
}

static int64_t get_spec(struct pg_thread *me, long number, const uint64_t *a)
{
	struct itimerspec v;
	int64_t r = PG_QUICK(number, (int)a[0], (uintptr_t)&v, 0, 0, 0, 0);

	return r != 0 ? r : pg_guest_write(me, a[1], &v, sizeof(v));
}

int64_t pg_sys_timer_settime(struct pg_thread *me, const uint64_t *a)
{
	return set_spec(me, SYS_timer_settime, a);
}

int64_t pg_sys_timer_gettime(struct pg_thread *me, const uint64_t *a)
{
	return get_spec(me, SYS_timer_gettime, a);
}

int64_t pg_sys_timer_getoverrun(struct pg_thread *me, const uint64_t *a)
{
	return PG_QUICK(SYS_timer_getoverrun, (int)a[0], 0, 0, 0, 0, 0);
}

int64_t pg_sys_timer_delete(struct pg_thread *me, const uint64_t *a)
{
	int64_t r = PG_QUICK(SYS_timer_delete, (int)a[0], 0, 0, 0, 0, 0);

	if (r == 0)
		forget_timer(me, (int)a[0]);
	return r;
}

int64_t pg_sys_timerfd_create(struct pg_thread *me, const uint64_t *a)
{
	int64_t fd = PG_QUICK(SYS_timerfd_create, (int)a[0], (int)a[1], 0, 0, 0, 0);

	if (fd >= 0 && !pg_fd_ok((int)fd)) {
		close((int)fd);
		return -EMFILE;
	}
	return fd;
}

int64_t pg_sys_timerfd_settime(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_ok((int)a[0]) ? set_spec(me, SYS_timerfd_settime, a) : -EBADF;
}

int64_t pg_sys_timerfd_gettime(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_ok((int)a[0]) ? get_spec(me, SYS_timerfd_gettime, a) : -EBADF;
}
