/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/time.c: system calls about time: clocks, sleeping, timers.
 *
 * Called through table.c. Clocks are the host's; a process's CPU time is the sum of its host threads'. A guest's timer is a host timer
 * that sends Pagoda PG_HOST_TIMER with the number of its slot; linux/service.c brings that back here.
 */
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

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

/* Whose CPU time a clock number means, as the kernel makes them: ~pid << 3 | thread? 4 : 0 | kind (2: scheduler's). */
static int64_t cpu_clock(struct pg_thread *me, int clock, struct timespec *t)
{
	int id = ~(clock >> 3);
	struct pg_thread *who = id == 0 ? me : pg_thread_find(me->machine, id);
	struct pg_process *p = who != NULL ? who->proc : pg_process_find(me->machine, id);
	uint64_t ns;

	if (p == NULL || (clock & 3) == 3)
		return -EINVAL;
	if (clock & 4) {
		clockid_t host;

		if (who == NULL || who->proc != me->proc || who->host_tid == 0 ||
			pthread_getcpuclockid(who->host, &host) != 0)
			return -EINVAL;
		return PG_QUICK(SYS_clock_gettime, host, (uintptr_t)t, 0, 0, 0, 0);
	}
	ns = pg_process_cpu_ns(p);
	*t = pg_timespec(ns);
	return 0;
}

/* clock_gettime and clock_getres. */
static int64_t clock_read(struct pg_thread *me, long number, const uint64_t *a)
{
	int clock = (int)a[0];
	struct timespec t;
	int64_t r;

	if (number == SYS_clock_gettime && (clock == CLOCK_PROCESS_CPUTIME_ID || clock < 0))
		r = cpu_clock(me, clock < 0 ? clock : (int)(~0u << 3), &t);
	else
		r = PG_QUICK(number, clock < 0 ? CLOCK_PROCESS_CPUTIME_ID : clock, (uintptr_t)&t, 0,
			0, 0, 0);
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
	struct rusage own;
	const struct rusage *kids = &me->proc->children;
	struct tms t;
	int64_t r = PG_QUICK(SYS_times, (uintptr_t)&t, 0, 0, 0, 0, 0);

	pg_process_usage(me->proc, me, &own);
	t.tms_utime = own.ru_utime.tv_sec * 100 + own.ru_utime.tv_usec / 10000;
	t.tms_stime = own.ru_stime.tv_sec * 100 + own.ru_stime.tv_usec / 10000;
	t.tms_cutime = kids->ru_utime.tv_sec * 100 + kids->ru_utime.tv_usec / 10000;
	t.tms_cstime = kids->ru_stime.tv_sec * 100 + kids->ru_stime.tv_usec / 10000;
	if (a[0] != 0 && pg_guest_write(me, a[0], &t, sizeof(t)) != 0)
		return -EFAULT;
	return r;
}

/* --- sleeping ----------------------------------------------------------------------------------------------------- */

/*
 * Sleeps on `clock`, relative or until an absolute time. A signal that the guest does not see lets it sleep on; one that
 * it does see ends it with -EINTR and, if relative, the rest in *rem.
 */
static int64_t sleep_on(
	struct pg_thread *me, int clock, bool absolute, struct timespec t, uint64_t rem)
{
	if (t.tv_nsec < 0 || t.tv_nsec >= SECOND || t.tv_sec < 0)
		return -EINVAL;
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

static struct pg_timer *timer_find(const struct pg_process *p, int id)
{
	struct pg_timer *t = p->timers;

	while (t != NULL && t->id != id)
		t = t->next;
	return t;
}

#define MOST_SLOTS 65536u /* a signal carries the number in 16 bits */

static int new_slot(struct pg_linux *l)
{
	struct pg_timer_slot *more;
	unsigned i;

	for (i = 0; i < l->timer_cap; i++)
		if (l->timers[i].timer == NULL)
			return (int)i;
	if (l->timer_cap > MOST_SLOTS - 16)
		return -1;
	more = realloc(l->timers, (size_t)(l->timer_cap + 16) * sizeof(*more));
	if (more == NULL)
		return -1;
	memset(more + l->timer_cap, 0, 16 * sizeof(*more));
	l->timers = more;
	l->timer_cap += 16;
	return (int)i;
}

/* A timer on the host for the process, on a host clock. */
static int timer_make(struct pg_process *p, int clock, int id, struct pg_timer **out)
{
	struct pg_linux *l = p->machine;
	struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = PG_HOST_TIMER};
	struct pg_timer *t = calloc(1, sizeof(*t));
	int slot = t != NULL ? new_slot(l) : -1, host;
	int64_t r;

	if (slot < 0) {
		free(t);
		return -EAGAIN;
	}
	l->timers[slot].turn++;
	e.sigev_value.sival_int = (int)((uint32_t)l->timers[slot].turn << 16 | (uint32_t)slot);
	r = PG_QUICK(SYS_timer_create, clock, (uintptr_t)&e, (uintptr_t)&host, 0, 0, 0);
	if (r != 0) {
		free(t);
		return (int)r;
	}
	t->id = id;
	t->host = host;
	t->slot = slot;
	t->next = p->timers;
	p->timers = t;
	l->timers[slot].pid = p->pid;
	l->timers[slot].timer = t;
	*out = t;
	return 0;
}

static void timer_drop(struct pg_process *p, struct pg_timer *t)
{
	struct pg_timer **at = &p->timers;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	PG_QUICK(SYS_timer_delete, t->host, 0, 0, 0, 0, 0);
	p->machine->timers[t->slot].timer = NULL;
	free(t);
}

void pg_timers_delete(struct pg_process *p, bool intervals)
{
	for (struct pg_timer *t = p->timers, *next; t != NULL; t = next) {
		next = t->next;
		if (intervals || t->id >= 0)
			timer_drop(p, t);
	}
}

/* A signal of this timer that nobody has taken yet gets the new expirations, as on Linux. */
static bool add_overrun(struct pg_process *p, const struct pg_timer *t, int n)
{
	for (struct pg_queued *q = p->sig.queue; q != NULL; q = q->next)
		if (q->info.host.si_code == SI_TIMER && q->info.host.si_timerid == t->id) {
			q->info.host.si_overrun += n;
			return true;
		}
	return false;
}

void pg_timer_fired(struct pg_linux *l, unsigned value, int overrun)
{
	unsigned slot = value & 0xffff;
	bool known = slot < l->timer_cap && l->timers[slot].turn == value >> 16;
	struct pg_timer *t = known ? l->timers[slot].timer : NULL;
	struct pg_process *p = t != NULL ? pg_process_find(l, l->timers[slot].pid) : NULL;
	union pg_siginfo info;

	if (p == NULL || t->silent) /* it was deleted when its signal was on the way */
		return;
	memset(&info, 0, sizeof(info));
	info.host.si_signo = t->signo;
	info.host.si_code = SI_KERNEL;
	if (t->id >= 0) {
		t->overrun = overrun;
		if (add_overrun(p, t, overrun + 1))
			return;
		info.host.si_code = SI_TIMER;
		info.host.si_timerid = t->id;
		info.host.si_overrun = overrun;
		info.host.si_value.sival_ptr = (void *)(uintptr_t)t->value;
	}
	if (t->tid == 0 || pg_thread_of(p, t->tid) != NULL)
		(void)pg_signal_send(p, &info, t->tid);
}

/* The host's clock for a guest's: CPU time is that of the thread that asks. */
static int host_clock(struct pg_thread *me, int clock)
{
	clockid_t mine;

	if (clock != CLOCK_PROCESS_CPUTIME_ID && clock != CLOCK_THREAD_CPUTIME_ID && clock >= 0)
		return clock;
	return pthread_getcpuclockid(me->host, &mine) == 0 ? mine : clock;
}

/* Microseconds, rounded up: what is set never looks as if it were not. */
static struct itimerval to_val(const struct itimerspec *s)
{
	struct itimerval v = {{s->it_interval.tv_sec, s->it_interval.tv_nsec / 1000},
		{s->it_value.tv_sec, (s->it_value.tv_nsec + 999) / 1000}};

	if (v.it_value.tv_usec == 1000000) {
		v.it_value.tv_usec = 0;
		v.it_value.tv_sec++;
	}
	return v;
}

/* What is left on interval timer `which`; zeros if it is not set. */
static void interval_get(struct pg_thread *me, int which, struct itimerval *v)
{
	struct pg_timer *t = timer_find(me->proc, -1 - which);
	struct itimerspec s = {{0}};

	if (t != NULL)
		PG_QUICK(SYS_timer_gettime, t->host, (uintptr_t)&s, 0, 0, 0, 0);
	*v = to_val(&s);
}

static int interval_set(struct pg_thread *me, int which, const struct itimerval *v)
{
	static const int signals[] = {SIGALRM, SIGVTALRM, SIGPROF};
	struct pg_timer *t = timer_find(me->proc, -1 - which);
	const struct itimerspec s = {{v->it_interval.tv_sec, v->it_interval.tv_usec * 1000},
		{v->it_value.tv_sec, v->it_value.tv_usec * 1000}};
	int err;

	if (v->it_value.tv_sec < 0 || v->it_value.tv_usec < 0 || v->it_value.tv_usec >= 1000000 ||
		v->it_interval.tv_sec < 0 || v->it_interval.tv_usec < 0 ||
		v->it_interval.tv_usec >= 1000000)
		return -EINVAL;
	if (t == NULL) {
		if (v->it_value.tv_sec == 0 && v->it_value.tv_usec == 0)
			return 0;
		err = timer_make(me->proc,
			host_clock(me,
				which == ITIMER_REAL ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID),
			-1 - which, &t);
		if (err != 0)
			return err;
		t->signo = signals[which];
	}
	return (int)PG_QUICK(SYS_timer_settime, t->host, 0, (uintptr_t)&s, 0, 0, 0);
}

int64_t pg_sys_getitimer(struct pg_thread *me, const uint64_t *a)
{
	struct itimerval v;

	if ((unsigned)a[0] > ITIMER_PROF)
		return -EINVAL;
	interval_get(me, (int)a[0], &v);
	return pg_guest_write(me, a[1], &v, sizeof(v));
}

int64_t pg_sys_setitimer(struct pg_thread *me, const uint64_t *a)
{
	struct itimerval v = {{0}}, old;
	int64_t r;

	if (a[1] != 0 && pg_guest_read(me, &v, a[1], sizeof(v)) != 0)
		return -EFAULT;
	if ((unsigned)a[0] > ITIMER_PROF)
		return -EINVAL;
	interval_get(me, (int)a[0], &old);
	r = interval_set(me, (int)a[0], &v);
	return r != 0 || a[2] == 0 ? r : pg_guest_write(me, a[2], &old, sizeof(old));
}

int64_t pg_sys_alarm(struct pg_thread *me, const uint64_t *a)
{
	struct itimerval v = {{0}}, old;

	v.it_value.tv_sec = (unsigned)a[0];
	interval_get(me, ITIMER_REAL, &old);
	interval_set(me, ITIMER_REAL, &v);
	/* rounded to the nearest second, but never to none */
	return old.it_value.tv_sec +
	       (old.it_value.tv_usec >= 500000 ||
		       (old.it_value.tv_sec == 0 && old.it_value.tv_usec != 0));
}

/* struct sigevent of the kernel. */
struct event {
	uint64_t value;
	int32_t signo, notify, tid;
	uint8_t pad[44];
};

_Static_assert(sizeof(struct event) == 64, "sigevent");

int64_t pg_sys_timer_create(struct pg_thread *me, const uint64_t *a)
{
	struct event e = {.signo = SIGALRM, .notify = SIGEV_SIGNAL};
	struct pg_process *p = me->proc;
	int32_t id = p->next_timer;
	struct pg_timer *t;
	int err;

	if (a[1] != 0) {
		if (pg_guest_read(me, &e, a[1], sizeof(e)) != 0)
			return -EFAULT;
		if (e.notify != SIGEV_NONE && (e.signo < 1 || e.signo > PG_NSIG))
			return -EINVAL;
		if ((e.notify & SIGEV_THREAD_ID) && pg_thread_of(p, e.tid) == NULL)
			return -EINVAL;
		if (e.notify != SIGEV_NONE && e.notify != SIGEV_SIGNAL &&
			e.notify != SIGEV_THREAD_ID && e.notify != SIGEV_THREAD)
			return -EINVAL;
	} else {
		e.value = (uint64_t)id;
	}
	err = timer_make(p, host_clock(me, (int)a[0]), id, &t);
	if (err != 0)
		return err;
	t->signo = e.signo;
	t->tid = e.notify & SIGEV_THREAD_ID ? e.tid : 0;
	t->silent = e.notify == SIGEV_NONE;
	t->value = e.value;
	if (pg_guest_write(me, a[2], &id, sizeof(id)) != 0) {
		timer_drop(p, t);
		return me->oom ? -EAGAIN : -EFAULT;
	}
	p->next_timer++;
	return 0;
}

/* timer_settime and timerfd_settime: (host's number, flags, new, old). */
static int64_t set_spec(struct pg_thread *me, long number, int which, const uint64_t *a)
{
	struct itimerspec v, old;
	int64_t r;

	if (a[2] == 0)
		return -EINVAL;
	if (pg_guest_read(me, &v, a[2], sizeof(v)) != 0)
		return -EFAULT;
	r = PG_QUICK(number, which, (int)a[1], (uintptr_t)&v, (uintptr_t)&old, 0, 0);
	return r != 0 || a[3] == 0 ? r : pg_guest_write(me, a[3], &old, sizeof(old));
}

static int64_t get_spec(struct pg_thread *me, long number, int which, uint64_t at)
{
	struct itimerspec v;
	int64_t r = PG_QUICK(number, which, (uintptr_t)&v, 0, 0, 0, 0);

	return r != 0 ? r : pg_guest_write(me, at, &v, sizeof(v));
}

static struct pg_timer *own_timer(struct pg_thread *me, uint64_t id)
{
	return (int)id < 0 ? NULL : timer_find(me->proc, (int)id);
}

int64_t pg_sys_timer_settime(struct pg_thread *me, const uint64_t *a)
{
	const struct pg_timer *t = own_timer(me, a[0]);

	return t != NULL ? set_spec(me, SYS_timer_settime, t->host, a) : -EINVAL;
}

int64_t pg_sys_timer_gettime(struct pg_thread *me, const uint64_t *a)
{
	const struct pg_timer *t = own_timer(me, a[0]);

	return t != NULL ? get_spec(me, SYS_timer_gettime, t->host, a[1]) : -EINVAL;
}

int64_t pg_sys_timer_getoverrun(struct pg_thread *me, const uint64_t *a)
{
	const struct pg_timer *t = own_timer(me, a[0]);

	return t != NULL ? t->overrun : -EINVAL;
}

int64_t pg_sys_timer_delete(struct pg_thread *me, const uint64_t *a)
{
	struct pg_timer *t = own_timer(me, a[0]);

	if (t == NULL)
		return -EINVAL;
	timer_drop(me->proc, t);
	return 0;
}

int64_t pg_sys_timerfd_create(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_given(PG_QUICK(SYS_timerfd_create, (int)a[0], (int)a[1], 0, 0, 0, 0));
}

int64_t pg_sys_timerfd_settime(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_ok((int)a[0]) ? set_spec(me, SYS_timerfd_settime, (int)a[0], a) : -EBADF;
}

int64_t pg_sys_timerfd_gettime(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_ok((int)a[0]) ? get_spec(me, SYS_timerfd_gettime, (int)a[0], a[1]) : -EBADF;
}
