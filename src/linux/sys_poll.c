/* SPDX-License-Identifier: MIT */
/*
 * linux/sys_poll.c: system calls that wait: for descriptors (poll, select, epoll) and for memory (futex).
 *
 * Called through table.c. A wait that a signal interrupts which the guest does not see goes on with the time that is left; so
 * every timeout becomes a point in time first.
 */
#include "linux/internal.h"
#include "linux/syscalls.h"

#include <errno.h>
#include <linux/futex.h>
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
static uint64_t after_ms(const struct pg_thread *me, int ms)
{
	return pg_thread_deadline(me, ms < 0 ? FOREVER : after_ns((uint64_t)ms * 1000000u));
}

/* Reads a timespec: FOREVER for address 0. -EFAULT, -EINVAL. */
static int get_until(struct pg_thread *me, uint64_t at, uint64_t *until)
{
	struct timespec t;

	*until = FOREVER;
	if (at == 0)
		return 0;
	if (pg_guest_read(me, &t, at, sizeof(t)) != 0)
		return -EFAULT;
	if (t.tv_sec < 0 || t.tv_nsec < 0 || t.tv_nsec >= (long)SECOND)
		return -EINVAL;
	*until = (uint64_t)t.tv_sec > 1u << 30
			 ? FOREVER - 1
			 : after_ns((uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec);
	*until = pg_thread_deadline(me, *until);
	return 0;
}

/* What is left until then; NULL for ever. */
static struct timespec *left(uint64_t until, struct timespec *t)
{
	uint64_t now, ns;

	if (until == FOREVER)
		return NULL;
	now = pg_host_clock_ns(CLOCK_MONOTONIC);
	ns = until > now ? until - now : 0;
	*t = (struct timespec){(time_t)(ns / SECOND), (long)(ns % SECOND)};
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

	if (at == 0 || me->again)
		return 0;
	if (size != sizeof(set))
		return -EINVAL;
	if (pg_guest_read(me, &set, at, sizeof(set)) != 0)
		return -EFAULT;
	me->sig.saved_mask = me->sig.blocked;
	me->sig.restore_mask = true;
	pg_signal_set_mask(me, set);
	return 0;
}

/* The wait is over. Interrupted: the old mask comes back after the handler, by signal.c; else now. */
static void unswap_mask(struct pg_thread *me, int64_t result)
{
	if (!me->sig.restore_mask || result == -PG_ERESTARTNOHAND || result == -PG_EWAIT)
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
		if (pg_thread_shared(me)) {
			r = poll(fds, n, 0);
			if (r != 0 || until <= pg_host_clock_ns(CLOCK_MONOTONIC))
				break;
			return pg_thread_wait(
				l, &(struct pg_wait){
					   .deadline = until, .fds = fds, .fd_count = (unsigned)n});
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

	return poll_fds(me, a[0], (unsigned)a[1], after_ms(me, ms));
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
	if (r == -PG_EWAIT)
		return r;
	put_left(me, a[2], until, false);
	return r;
}

/* --- select ------------------------------------------------------------------------------------------------------------ */

/* Waits for the descriptors of three sets. */
static int64_t select_wait(struct pg_thread *me, int n, const uint64_t *const *set, uint64_t until)
{
	static const short events[3] = {POLLIN, POLLOUT, POLLPRI};
	struct pg_wait w = {.deadline = until};

	w.fds = calloc((size_t)n + 1, sizeof(*w.fds));
	if (w.fds == NULL)
		return -ENOMEM;
	for (int fd = 0; fd < n; fd++) {
		short want = 0;

		for (unsigned i = 0; i < 3; i++)
			if (set[i] != NULL && (set[i][fd / 64] >> (fd % 64) & 1))
				want |= events[i];
		if (want != 0)
			w.fds[w.fd_count++] = (struct pollfd){.fd = fd, .events = want};
	}
	return pg_thread_wait(me, &w);
}

static int64_t select_fds(struct pg_thread *me, int n, const uint64_t *at, uint64_t until)
{
	uint64_t bytes, *set[3] = {NULL, NULL, NULL};
	struct timespec t, none = {0, 0};
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
			(uintptr_t)work[2],
			(uintptr_t)(pg_thread_shared(me) ? &none : left(until, &t)), 0);
		if (r == 0 && pg_thread_shared(me) && until > pg_host_clock_ns(CLOCK_MONOTONIC)) {
			r = select_wait(me, n, (const uint64_t *const *)set, until);
			break;
		}
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
		until = pg_thread_deadline(me, until);
	}
	r = select_fds(me, (int)a[0], a + 1, until);
	if (r == -PG_EWAIT)
		return r;
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
	if (r == -PG_EWAIT)
		return r;
	put_left(me, a[4], until, false);
	return r;
}

/* --- epoll ------------------------------------------------------------------------------------------------------------- */

static int64_t made(int64_t fd)
{
	if (fd >= 0 && !pg_fd_ok((int)fd)) {
		close((int)fd);
		return -EMFILE;
	}
	return fd;
}

int64_t pg_sys_epoll_create(struct pg_thread *me, const uint64_t *a)
{
	return (int)a[0] <= 0 ? -EINVAL : made(PG_QUICK(SYS_epoll_create1, 0, 0, 0, 0, 0, 0));
}

int64_t pg_sys_epoll_create1(struct pg_thread *me, const uint64_t *a)
{
	return made(PG_QUICK(SYS_epoll_create1, (int)a[0], 0, 0, 0, 0, 0));
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
		if (pg_thread_shared(me))
			ms = 0;
		r = PG_HOST(me, SYS_epoll_pwait, (int)a[0], (uintptr_t)events, most, ms, 0, 8);
		if (r == 0 && pg_thread_shared(me) && until > pg_host_clock_ns(CLOCK_MONOTONIC)) {
			struct pg_wait w = {
				.deadline = until, .fd_count = 1, .fds = malloc(sizeof(*w.fds))};

			r = -ENOMEM;
			if (w.fds != NULL) {
				*w.fds = (struct pollfd){.fd = (int)a[0], .events = POLLIN};
				r = pg_thread_wait(me, &w);
			}
			break;
		}
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

	return epoll_until(me, a, after_ms(me, ms));
}

int64_t pg_sys_epoll_pwait(struct pg_thread *me, const uint64_t *a)
{
	int ms = (int)a[3];

	return epoll_masked(me, a, after_ms(me, ms));
}

int64_t pg_sys_epoll_pwait2(struct pg_thread *me, const uint64_t *a)
{
	uint64_t until;
	int err = get_until(me, a[3], &until);

	return err != 0 ? err : epoll_masked(me, a, until);
}

/* --- futex ---------------------------------------------------------------------------------------------------------------- */

/* Waits until woken, a signal or the time. */
static int64_t futex_sleep(
	struct pg_thread *me, uint64_t at, uint32_t expected, uint64_t until, uint32_t bits)
{
	const struct pg_wait w = {.key = at, .bits = bits, .deadline = until};
	uint32_t now;
	struct timespec t;

	if (me->again) {
		if (me->wait.woken)
			return 0;
		if (until != FOREVER && pg_host_clock_ns(CLOCK_MONOTONIC) >= until)
			return -ETIMEDOUT;
		return pg_signal_waiting(me) ? -PG_ERESTARTSYS : pg_thread_wait(me, &w);
	}
	if (pg_guest_read(me, &now, at, sizeof(now)) != 0)
		return -EFAULT;
	if (now != expected)
		return -EAGAIN;
	if (pg_thread_shared(me))
		return pg_thread_wait(me, &w);
	/* alone: nobody can wake us */
	for (;;) {
		if (pg_signal_waiting(me))
			return -PG_ERESTARTSYS;
		if (until != FOREVER && pg_host_clock_ns(CLOCK_MONOTONIC) >= until)
			return -ETIMEDOUT;
		(void)PG_HOST(me, SYS_ppoll, 0, 0, (uintptr_t)left(until, &t), 0, 0, 0);
	}
}

/* FUTEX_WAIT's timeout is relative; the others' absolute, on the real-time clock if asked. */
static int futex_until(struct pg_thread *me, int op, bool realtime, uint64_t at, uint64_t *until)
{
	struct timespec t;
	uint64_t then, now;

	if (at == 0 || op == FUTEX_WAIT)
		return get_until(me, at, until);
	if (pg_guest_read(me, &t, at, sizeof(t)) != 0)
		return -EFAULT;
	if (t.tv_sec < 0 || t.tv_nsec < 0 || t.tv_nsec >= (long)SECOND)
		return -EINVAL;
	then = (uint64_t)t.tv_sec > 1ull << 34 ? FOREVER / 2
					       : (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
	now = pg_host_clock_ns(realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC);
	*until = pg_thread_deadline(me, after_ns(then > now ? then - now : 0));
	return 0;
}

/*
 * Priority-inheritance futexes: the word holds the owner's thread id. Waiting is by the same queue; on one processor that takes
 * turns there is no priority to inherit.
 */
static int64_t futex_lock(struct pg_thread *me, uint64_t at, uint64_t until, bool wait)
{
	const struct pg_wait w = {.key = at, .bits = UINT32_MAX, .deadline = until};
	uint32_t word, owner;

	if (pg_guest_read(me, &word, at, sizeof(word)) != 0)
		return -EFAULT;
	owner = word & FUTEX_TID_MASK;
	if (owner == (uint32_t)me->tid)
		return -EDEADLK;
	if (owner == 0) {
		word = (word & FUTEX_WAITERS) | (uint32_t)me->tid;
		return pg_guest_write(me, at, &word, sizeof(word));
	}
	if (pg_thread_find(me, (int)owner) == NULL)
		return -ESRCH;
	if (!wait)
		return -EAGAIN;
	if (until != FOREVER && pg_host_clock_ns(CLOCK_MONOTONIC) >= until)
		return -ETIMEDOUT;
	if (pg_signal_waiting(me))
		return -PG_ERESTARTNOINTR;
	word |= FUTEX_WAITERS;
	if (pg_guest_write(me, at, &word, sizeof(word)) != 0)
		return -EFAULT;
	return pg_thread_wait(me, &w);
}

static int64_t futex_unlock(struct pg_thread *me, uint64_t at)
{
	uint32_t word;

	if (pg_guest_read(me, &word, at, sizeof(word)) != 0)
		return -EFAULT;
	if ((word & FUTEX_TID_MASK) != (uint32_t)me->tid)
		return -EPERM;
	word &= FUTEX_WAITERS;
	if (pg_guest_write(me, at, &word, sizeof(word)) != 0)
		return -EFAULT;
	if (word != 0)
		pg_thread_wake(me, at, 1, UINT32_MAX);
	return 0;
}

/* FUTEX_WAKE_OP: changes the second word, wakes on the first, and on the second if it was as asked. */
static int64_t futex_wake_op(struct pg_thread *me, const uint64_t *a)
{
	uint32_t code = (uint32_t)a[5], old, new;
	int32_t op_arg = (int32_t)(code << 8) >> 20, cmp_arg = (int32_t)(code << 20) >> 20;
	unsigned n;
	bool also;

	if (a[4] & 3)
		return -EINVAL;
	if (pg_guest_read(me, &old, a[4], sizeof(old)) != 0)
		return -EFAULT;
	if (code >> 31)
		op_arg = (int32_t)(1u << (op_arg & 31));
	switch (code >> 28 & 7) {
	case FUTEX_OP_SET:
		new = (uint32_t)op_arg;
		break;
	case FUTEX_OP_ADD:
		new = old + (uint32_t)op_arg;
		break;
	case FUTEX_OP_OR:
		new = old | (uint32_t)op_arg;
		break;
	case FUTEX_OP_ANDN:
		new = old & ~(uint32_t)op_arg;
		break;
	case FUTEX_OP_XOR:
		new = old ^ (uint32_t)op_arg;
		break;
	default:
		return -ENOSYS;
	}
	if (pg_guest_write(me, a[4], &new, sizeof(new)) != 0)
		return -EFAULT;
	switch (code >> 24 & 15) {
	case FUTEX_OP_CMP_EQ:
		also = (int32_t)old == cmp_arg;
		break;
	case FUTEX_OP_CMP_NE:
		also = (int32_t)old != cmp_arg;
		break;
	case FUTEX_OP_CMP_LT:
		also = (int32_t)old < cmp_arg;
		break;
	case FUTEX_OP_CMP_LE:
		also = (int32_t)old <= cmp_arg;
		break;
	case FUTEX_OP_CMP_GT:
		also = (int32_t)old > cmp_arg;
		break;
	case FUTEX_OP_CMP_GE:
		also = (int32_t)old >= cmp_arg;
		break;
	default:
		return -ENOSYS;
	}
	n = pg_thread_wake(me, a[0], (unsigned)a[2], UINT32_MAX);
	if (also)
		n += pg_thread_wake(me, a[4], (unsigned)a[3], UINT32_MAX);
	return n;
}

static int64_t futex_requeue(struct pg_thread *me, const uint64_t *a)
{
	unsigned n;

	if ((int)a[2] < 0 || (int)a[3] < 0)
		return -EINVAL;
	n = pg_thread_wake(me, a[0], (unsigned)a[2], UINT32_MAX);
	return n + pg_thread_requeue(me, a[0], a[4], (unsigned)a[3]);
}

int64_t pg_sys_futex(struct pg_thread *me, const uint64_t *a)
{
	int op = (int)a[1] & FUTEX_CMD_MASK;
	bool realtime = ((int)a[1] & FUTEX_CLOCK_REALTIME) != 0;
	uint32_t word, bits = UINT32_MAX;
	uint64_t until;
	int err;

	if (a[0] & 3)
		return -EINVAL;
	if (!pg_guest_range_ok(me, a[0], 4))
		return -EFAULT;
	switch (op) {
	case FUTEX_WAIT_BITSET:
		if ((uint32_t)a[5] == 0)
			return -EINVAL;
		bits = (uint32_t)a[5];
		__attribute__((fallthrough));
	case FUTEX_WAIT:
		err = futex_until(me, op, realtime, a[3], &until);
		return err != 0 ? err : futex_sleep(me, a[0], (uint32_t)a[2], until, bits);
	case FUTEX_WAKE_BITSET:
		if ((uint32_t)a[5] == 0)
			return -EINVAL;
		bits = (uint32_t)a[5];
		__attribute__((fallthrough));
	case FUTEX_WAKE:
		return pg_thread_wake(me, a[0], (int)a[2] > 0 ? (unsigned)a[2] : 1, bits);
	case FUTEX_REQUEUE:
		return futex_requeue(me, a);
	case FUTEX_CMP_REQUEUE:
		if (pg_guest_read(me, &word, a[0], sizeof(word)) != 0)
			return -EFAULT;
		return word != (uint32_t)a[5] ? -EAGAIN : futex_requeue(me, a);
	case FUTEX_WAKE_OP:
		return futex_wake_op(me, a);
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		err = futex_until(me, op, op == FUTEX_LOCK_PI || realtime, a[3], &until);
		return err != 0 ? err : futex_lock(me, a[0], until, true);
	case FUTEX_TRYLOCK_PI:
		return futex_lock(me, a[0], FOREVER, false);
	case FUTEX_UNLOCK_PI:
		return futex_unlock(me, a[0]);
	default:
		pg_linux_unknown(me, "futex operation %d is not there: ENOSYS", op);
		return -ENOSYS;
	}
}
