/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/futex.c: waiting for a word of memory.
 *
 * Called through table.c, and by process/thread.c when a thread ends. Waiters sleep in pg_thread_sleep(); who wakes them looks through the
 * threads of the machine, which is as many steps as there are threads.
 *
 * Which word it is. For a private futex, and a shared one on memory that is private: space and address. For one on a shared mapping:
 * object and byte offset, so that processes that map it at different addresses meet.
 *
 * Priority inheritance: the word holds the owner's thread id. Waiting is by the same queue, oldest first; the machine runs one thread
 * at a time by turns, there is no priority to inherit.
 *
 * Source: futex(2), Linux kernel/futex/.
 */
#include "linux/calls/syscalls.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <time.h>

#define FOREVER UINT64_MAX

struct key {
	const void *what;
	uint64_t offset;
};

static struct key key_of(struct pg_thread *me, uint64_t va, bool shared)
{
	struct pg_region r;

	if (shared && pg_space_find(me->mm->space, (pg_va){va}, false, &r) &&
		(r.flags & PG_MAP_SHARED) && r.object != NULL)
		return (struct key){r.object, r.offset + (va - r.start.v)};
	return (struct key){me->mm->space, va};
}

static bool waits_on(const struct pg_thread *t, struct key k)
{
	return t->wait.kind == PG_WAIT_FUTEX && !t->woken && t->wait.key == k.what &&
	       t->wait.offset == k.offset;
}

/* The waiter on k that has waited longest, among those whose bits meet. */
static struct pg_thread *oldest(struct pg_linux *l, struct key k, uint32_t bits)
{
	struct pg_thread *best = NULL;

	for (struct pg_process *p = l->processes; p != NULL; p = p->next)
		for (struct pg_thread *t = p->thread; t != NULL; t = t->next)
			if (waits_on(t, k) && (t->wait.bits & bits) &&
				(best == NULL || t->wait.since < best->wait.since))
				best = t;
	return best;
}

static unsigned wake(struct pg_linux *l, struct key k, unsigned n, uint32_t bits)
{
	unsigned done = 0;
	struct pg_thread *t;

	while (done < n && (t = oldest(l, k, bits)) != NULL) {
		pg_thread_wake(t);
		done++;
	}
	return done;
}

unsigned pg_futex_wake(struct pg_thread *me, uint64_t va, bool shared, unsigned n, uint32_t bits)
{
	return wake(me->machine, key_of(me, va, shared), n, bits);
}

/* Sleeps until woken: 0; -ETIMEDOUT, or -PG_ERESTARTSYS for a signal. */
static int64_t sleep_on(struct pg_thread *me, struct key k, uint64_t until, uint32_t bits)
{
	int64_t r = 0;

	me->woken = false;
	me->wait = (struct pg_wait){.kind = PG_WAIT_FUTEX,
		.key = k.what,
		.offset = k.offset,
		.bits = bits,
		.since = ++me->machine->waits};
	while (!me->woken) {
		if (until != FOREVER && pg_host_clock_ns(CLOCK_MONOTONIC) >= until)
			r = -ETIMEDOUT;
		else if (pg_signal_waiting(me))
			r = -PG_ERESTARTSYS;
		if (r != 0)
			break;
		pg_thread_sleep(me, until);
	}
	me->wait.kind = PG_WAIT_NONE;
	return me->woken ? 0 : r;
}

static int64_t futex_wait(struct pg_thread *me, uint64_t at, bool shared, uint32_t expected,
	uint64_t until, uint32_t bits)
{
	uint32_t now;
	int64_t r;

	if (pg_guest_read(me, &now, at, sizeof(now)) != 0)
		return -EFAULT;
	if (now != expected)
		return -EAGAIN;
	r = sleep_on(me, key_of(me, at, shared), until, bits);
	/* restarted with a relative time it would wait anew; Linux waits for what is left */
	return r == -PG_ERESTARTSYS && until != FOREVER ? -PG_ERESTARTNOHAND : r;
}

/* The timeout of FUTEX_WAIT is relative; the others' absolute, on the real-time clock if asked. */
static int futex_until(struct pg_thread *me, int op, bool realtime, uint64_t at, uint64_t *until)
{
	uint64_t then, now = pg_host_clock_ns(CLOCK_MONOTONIC), real;
	int err;

	*until = FOREVER;
	if (at == 0)
		return 0;
	err = pg_guest_duration(me, at, &then);
	if (err != 0)
		return err;
	if (op == FUTEX_WAIT) {
		*until = now + then;
	} else if (realtime) {
		real = pg_host_clock_ns(CLOCK_REALTIME);
		*until = now + (then > real ? then - real : 0);
	} else {
		*until = then;
	}
	return 0;
}

/* --- priority inheritance ----------------------------------------------------------------------------------- */

static int64_t futex_lock(struct pg_thread *me, uint64_t at, bool shared, uint64_t until, bool wait)
{
	uint32_t word, owner;
	int64_t r;

	for (;;) {
		if (pg_guest_read(me, &word, at, sizeof(word)) != 0)
			return -EFAULT;
		owner = word & FUTEX_TID_MASK;
		if (owner == (uint32_t)me->tid)
			return -EDEADLK;
		if (owner == 0) {
			word = (word & (FUTEX_WAITERS | FUTEX_OWNER_DIED)) | (uint32_t)me->tid;
			if (oldest(me->machine, key_of(me, at, shared), UINT32_MAX) != NULL)
				word |= FUTEX_WAITERS;
			return pg_guest_write(me, at, &word, sizeof(word));
		}
		if (pg_thread_find(me->machine, (int)owner) == NULL)
			return -ESRCH;
		if (!wait)
			return -EAGAIN;
		word |= FUTEX_WAITERS;
		if (pg_guest_write(me, at, &word, sizeof(word)) != 0)
			return -EFAULT;
		r = sleep_on(me, key_of(me, at, shared), until, UINT32_MAX);
		if (r != 0)
			return r == -PG_ERESTARTSYS ? -PG_ERESTARTNOINTR : r;
	}
}

static int64_t futex_unlock(struct pg_thread *me, uint64_t at, bool shared)
{
	struct key k = key_of(me, at, shared);
	uint32_t word;

	if (pg_guest_read(me, &word, at, sizeof(word)) != 0)
		return -EFAULT;
	if ((word & FUTEX_TID_MASK) != (uint32_t)me->tid)
		return -EPERM;
	word = 0;
	if (pg_guest_write(me, at, &word, sizeof(word)) != 0)
		return -EFAULT;
	wake(me->machine, k, 1, UINT32_MAX);
	return 0;
}

/* --- waking and moving ------------------------------------------------------------------------------------------ */

/* FUTEX_WAKE_OP: changes the second word, wakes on the first, and on the second if it was as asked. */
static int64_t futex_wake_op(struct pg_thread *me, const uint64_t *a, bool shared)
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
	n = pg_futex_wake(me, a[0], shared, (unsigned)a[2], UINT32_MAX);
	if (also)
		n += pg_futex_wake(me, a[4], shared, (unsigned)a[3], UINT32_MAX);
	return n;
}

static int64_t futex_requeue(struct pg_thread *me, const uint64_t *a, bool shared)
{
	struct key from = key_of(me, a[0], shared), to = key_of(me, a[4], shared);
	unsigned woken, moved = 0;
	struct pg_thread *t;

	if ((int)a[2] < 0 || (int)a[3] < 0)
		return -EINVAL;
	if (a[4] & 3)
		return -EINVAL;
	if (!pg_guest_range_ok(me, a[4], 4))
		return -EFAULT;
	woken = wake(me->machine, from, (unsigned)a[2], UINT32_MAX);
	while (moved < (unsigned)a[3] && (from.what != to.what || from.offset != to.offset) &&
		(t = oldest(me->machine, from, UINT32_MAX)) != NULL) {
		t->wait.key = to.what;
		t->wait.offset = to.offset;
		moved++;
	}
	return woken + moved;
}

int64_t pg_sys_futex(struct pg_thread *me, const uint64_t *a)
{
	int op = (int)a[1] & FUTEX_CMD_MASK;
	bool realtime = ((int)a[1] & FUTEX_CLOCK_REALTIME) != 0;
	bool shared = ((int)a[1] & FUTEX_PRIVATE_FLAG) == 0;
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
		return err != 0 ? err : futex_wait(me, a[0], shared, (uint32_t)a[2], until, bits);
	case FUTEX_WAKE_BITSET:
		if ((uint32_t)a[5] == 0)
			return -EINVAL;
		bits = (uint32_t)a[5];
		__attribute__((fallthrough));
	case FUTEX_WAKE:
		return pg_futex_wake(me, a[0], shared, (int)a[2] > 0 ? (unsigned)a[2] : 1, bits);
	case FUTEX_REQUEUE:
		return futex_requeue(me, a, shared);
	case FUTEX_CMP_REQUEUE:
		if (pg_guest_read(me, &word, a[0], sizeof(word)) != 0)
			return -EFAULT;
		return word != (uint32_t)a[5] ? -EAGAIN : futex_requeue(me, a, shared);
	case FUTEX_WAKE_OP:
		return futex_wake_op(me, a, shared);
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		err = futex_until(me, op, op == FUTEX_LOCK_PI || realtime, a[3], &until);
		return err != 0 ? err : futex_lock(me, a[0], shared, until, true);
	case FUTEX_TRYLOCK_PI:
		return futex_lock(me, a[0], shared, FOREVER, false);
	case FUTEX_UNLOCK_PI:
		return futex_unlock(me, a[0], shared);
	default:
		pg_linux_unknown(me, "futex operation %d is not there: ENOSYS", op);
		return -ENOSYS;
	}
}
