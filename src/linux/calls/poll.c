/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/poll.c: system calls that wait for descriptors: poll, select, epoll.
 *
 * Called through table.c. A wait that a signal interrupts which the guest does not see goes on with the time that is left; so
 * every timeout becomes a point in time first.
 */
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000u
#define FOREVER UINT64_MAX
#define FDS_MOST 65536u
#define EPOLL_EVENT_BYTES 12 /* the kernel's is packed */

/* --- timeouts --------------------------------------------------------------------------------------------------- */

static uint64_t after_ns(uint64_t ns)
{
	uint64_t now = pg_host_clock_ns(CLOCK_MONOTONIC);

	return ns > FOREVER - 1 - now ? FOREVER - 1 : now + ns;
}

/* The same in milliseconds; negative: for ever. */
static uint64_t after_ms(int ms)
{
	return ms < 0 ? FOREVER : after_ns((uint64_t)ms * 1000000u);
}

/* Reads a timespec: FOREVER for address 0. -EFAULT, -EINVAL. */
static int get_until(struct pg_thread *me, uint64_t at, uint64_t *until)
{
	uint64_t ns;
	int err;

	*until = FOREVER;
	if (at == 0)
		return 0;
	err = pg_guest_duration(me, at, &ns);
	if (err == 0)
		*until = after_ns(ns);
	return err;
}

/* What is left until then; NULL for ever. */
static struct timespec *left(uint64_t until, struct timespec *t)
{
	uint64_t now, ns;

	if (until == FOREVER)
		return NULL;
	now = pg_host_clock_ns(CLOCK_MONOTONIC);
	ns = until > now ? until - now : 0;
	*t = pg_timespec(ns);
	return t;
}

/* Linux writes the time that is left back, and does not mind if it cannot. */
static void put_left(struct pg_thread *me, uint64_t at, uint64_t until, bool micro)
{
	struct timespec t;

	if (at == 0 || left(until, &t) == NULL)
		return;
	if (micro)
		t.tv_nsec /= 1000;
	(void)!pg_guest_write(me, at, &t, sizeof(t));
}

/* --- a mask for the wait ------------------------------------------------------------------------------------------ */

/* Puts the guest's mask for the wait in place. at 0: none. */
static int swap_mask(struct pg_thread *me, uint64_t at, uint64_t size)
{
	uint64_t set;

	if (at == 0)
		return 0;
	if (size != sizeof(set))
		return -EINVAL;
	if (pg_guest_read(me, &set, at, sizeof(set)) != 0)
		return -EFAULT;
	pg_signal_swap_mask(me, set);
	return 0;
}

/* The wait is over. Interrupted: the old mask comes back after the handler, by process/signal.c; else now. */
static void unswap_mask(struct pg_thread *me, int64_t result)
{
	if (!me->sig.restore_mask || result == -PG_ERESTARTNOHAND)
		return;
	me->sig.restore_mask = false;
	pg_signal_set_mask(me, me->sig.saved_mask);
}

/* --- poll ------------------------------------------------------------------------------------------------------------ */

static int64_t poll_fds(struct pg_thread *me, uint64_t at, uint64_t n, uint64_t until)
{
	struct pollfd *fds;
	struct timespec t;
	int64_t r;

	if (n > FDS_MOST)
		return -EINVAL;
	fds = calloc(n + 1, sizeof(*fds));
	if (fds == NULL)
		return -ENOMEM;
	r = pg_guest_read(me, fds, at, n * sizeof(*fds));
	for (uint64_t i = 0; i < n; i++)
		if (fds[i].fd >= 0 && !pg_fd_ok(fds[i].fd))
			fds[i].fd = INT32_MAX; /* not open: POLLNVAL */
	while (r == 0) {
		if (pg_signal_waiting(me)) {
			r = -PG_ERESTARTNOHAND;
			break;
		}
		r = PG_HOST(me, SYS_ppoll, (uintptr_t)fds, n, (uintptr_t)left(until, &t), 0, 0, 0);
		if (r != -PG_ERESTARTSYS)
			break;
		r = 0;
	}
	for (uint64_t i = 0; r >= 0 && i < n; i++)
		if (pg_guest_write(me, at + i * sizeof(*fds) + offsetof(struct pollfd, revents),
			    &fds[i].revents, sizeof(fds[i].revents)) != 0)
			r = -EFAULT;
	free(fds);
	return r;
}

int64_t pg_sys_poll(struct pg_thread *me, const uint64_t *a)
{
	int ms = (int)a[2];

	return poll_fds(me, a[0], (unsigned)a[1], after_ms(ms));
}

int64_t pg_sys_ppoll(struct pg_thread *me, const uint64_t *a)
{
	uint64_t until;
	int64_t r = get_until(me, a[2], &until);

	if (r == 0)
		r = swap_mask(me, a[3], a[4]);
	if (r != 0)
		return r;
	r = poll_fds(me, a[0], (unsigned)a[1], until);
	unswap_mask(me, r);
	put_left(me, a[2], until, false);
	return r;
}

/* --- select ------------------------------------------------------------------------------------------------------------ */

static int64_t select_fds(struct pg_thread *me, int n, const uint64_t *at, uint64_t until)
{
	uint64_t bytes, *set[3] = {NULL, NULL, NULL};
	struct timespec t;
	int limit = pg_linux_fd_limit();
	int64_t r = 0;

	if (n < 0)
		return -EINVAL;
	if (n > limit)
		n = limit;
	bytes = ((uint64_t)n + 63) / 64 * 8;
	for (unsigned i = 0; i < 3 && r == 0; i++) {
		if (at[i] == 0)
			continue;
		set[i] = calloc(2, bytes + 8); /* the set, and its copy for another round */
		r = set[i] == NULL ? -ENOMEM : pg_guest_read(me, set[i], at[i], bytes);
	}
	while (r == 0) {
		uint64_t *work[3] = {NULL, NULL, NULL};

		if (pg_signal_waiting(me)) {
			r = -PG_ERESTARTNOHAND;
			break;
		}
		for (unsigned i = 0; i < 3; i++) {
			if (set[i] == NULL)
				continue;
			work[i] = set[i] + bytes / 8 + 1;
			memcpy(work[i], set[i], bytes);
		}
		r = PG_HOST(me, SYS_pselect6, n, (uintptr_t)work[0], (uintptr_t)work[1],
			(uintptr_t)work[2], (uintptr_t)left(until, &t), 0);
		if (r == -PG_ERESTARTSYS) {
			r = 0;
			continue;
		}
		for (unsigned i = 0; i < 3 && r >= 0; i++)
			if (set[i] != NULL && pg_guest_write(me, at[i], work[i], bytes) != 0)
				r = -EFAULT;
		break;
	}
	for (unsigned i = 0; i < 3; i++)
		free(set[i]);
	return r;
}

int64_t pg_sys_select(struct pg_thread *me, const uint64_t *a)
{
	uint64_t until = FOREVER;
	struct timeval v;
	int64_t r;

	if (a[4] != 0) {
		if (pg_guest_read(me, &v, a[4], sizeof(v)) != 0)
			return -EFAULT;
		if (v.tv_sec < 0 || v.tv_usec < 0)
			return -EINVAL;
		until = v.tv_sec > 1 << 30 ? FOREVER - 1
					   : after_ns((uint64_t)v.tv_sec * SECOND +
						      (uint64_t)v.tv_usec * 1000u);
	}
	r = select_fds(me, (int)a[0], a + 1, until);
	put_left(me, a[4], until, true);
	return r;
}

int64_t pg_sys_pselect6(struct pg_thread *me, const uint64_t *a)
{
	uint64_t until, mask[2] = {0, 0};
	int64_t r;

	if (a[5] != 0 && pg_guest_read(me, mask, a[5], sizeof(mask)) != 0)
		return -EFAULT;
	r = get_until(me, a[4], &until);
	if (r == 0)
		r = swap_mask(me, mask[0], mask[1]);
	if (r != 0)
		return r;
	r = select_fds(me, (int)a[0], a + 1, until);
	unswap_mask(me, r);
	put_left(me, a[4], until, false);
	return r;
}

/* --- epoll ------------------------------------------------------------------------------------------------------------- */

int64_t pg_sys_epoll_create(struct pg_thread *me, const uint64_t *a)
{
	return (int)a[0] <= 0 ? -EINVAL
			      : pg_fd_given(PG_QUICK(SYS_epoll_create1, 0, 0, 0, 0, 0, 0));
}

int64_t pg_sys_epoll_create1(struct pg_thread *me, const uint64_t *a)
{
	return pg_fd_given(PG_QUICK(SYS_epoll_create1, (int)a[0], 0, 0, 0, 0, 0));
}

int64_t pg_sys_epoll_ctl(struct pg_thread *me, const uint64_t *a)
{
	uint8_t event[EPOLL_EVENT_BYTES];

	if (!pg_fd_ok((int)a[0]) || !pg_fd_ok((int)a[2]))
		return -EBADF;
	if ((int)a[1] != EPOLL_CTL_DEL && pg_guest_read(me, event, a[3], sizeof(event)) != 0)
		return -EFAULT;
	return PG_QUICK(SYS_epoll_ctl, (int)a[0], (int)a[1], (int)a[2], (uintptr_t)event, 0, 0);
}

static int64_t epoll_until(struct pg_thread *me, const uint64_t *a, uint64_t until)
{
	int most = (int)a[2];
	uint8_t *events;
	struct timespec t;
	int64_t r = 0;

	if (!pg_fd_ok((int)a[0]))
		return -EBADF;
	if (most <= 0)
		return -EINVAL;
	if (most > 4096)
		most = 4096;
	events = malloc((size_t)most * EPOLL_EVENT_BYTES);
	if (events == NULL)
		return -ENOMEM;
	for (;;) {
		int ms = -1;

		if (pg_signal_waiting(me)) {
			r = -EINTR;
			break;
		}
		if (left(until, &t) != NULL)
			ms = t.tv_sec > 1000000
				     ? 1000000000
				     : (int)(t.tv_sec * 1000 + (t.tv_nsec + 999999) / 1000000);
		r = PG_HOST(me, SYS_epoll_pwait, (int)a[0], (uintptr_t)events, most, ms, 0, 8);
		if (r != -PG_ERESTARTSYS)
			break;
	}
	if (r > 0 && pg_guest_write(me, a[1], events, (uint64_t)r * EPOLL_EVENT_BYTES) != 0)
		r = -EFAULT;
	free(events);
	return r;
}

static int64_t epoll_masked(struct pg_thread *me, const uint64_t *a, uint64_t until)
{
	int64_t r = swap_mask(me, a[4], a[5]);

	if (r != 0)
		return r;
	r = epoll_until(me, a, until);
	unswap_mask(me, r == -EINTR ? -PG_ERESTARTNOHAND : r);
	return r;
}

int64_t pg_sys_epoll_wait(struct pg_thread *me, const uint64_t *a)
{
	int ms = (int)a[3];

	return epoll_until(me, a, after_ms(ms));
}

int64_t pg_sys_epoll_pwait(struct pg_thread *me, const uint64_t *a)
{
	int ms = (int)a[3];

	return epoll_masked(me, a, after_ms(ms));
}

int64_t pg_sys_epoll_pwait2(struct pg_thread *me, const uint64_t *a)
{
	uint64_t until;
	int err = get_until(me, a[3], &until);

	return err != 0 ? err : epoll_masked(me, a, until);
}
