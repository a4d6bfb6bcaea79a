/* SPDX-License-Identifier: MIT */
/*
 * linux/thread.c: the guest's threads: made, ended, waiting, and whose turn it is.
 *
 * Called by linux.c between turns, and by the system calls that make threads or wait. The machine has one processor: threads take
 * turns on one CPU, as on a single-processor Linux. A turn ends when the thread waits, yields or ends, or by the ticker, a
 * host thread that interrupts the CPU every PG_TURN_NS while there are two threads or more.
 *
 * A wait never blocks the host while another thread could run: the system call gives up with -PG_EWAIT and is run again when its
 * wait is over. When all wait, the host sleeps until the nearest deadline, descriptor or signal.
 *
 * Invariants:
 *   T1 l->thread is in the ring; l->threads is the ring's length.
 *   T2 the registers and signals of l->thread are in the CPU and in l->sig.own, those of all others in their struct.
 *   T3 a thread whose wait is on is not run before the wait is over.
 *   T4 turns go round the ring: no thread that can run is passed over twice.
 */
#include "linux/internal.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define TURN_NS 10000000 /* 10 ms */
#define MOST_THREADS 4096

/* --- making and ending ------------------------------------------------------------------------------------ */

static struct pg_thread *make(int tid)
{
	struct pg_thread *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->x = aligned_alloc(64, PG_XSAVE_BYTES);
	if (t->x == NULL) {
		free(t);
		return NULL;
	}
	t->tid = tid;
	t->next = t;
	return t;
}

static void destroy(struct pg_thread *t)
{
	free(t->wait.fds);
	free(t->x);
	free(t);
}

static void *tick(void *arg)
{
	struct pg_linux *l = arg;
	const struct timespec turn = {0, TURN_NS};

	while (l->ticking) {
		nanosleep(&turn, NULL);
		l->turn_over = 1;
		l->ops->interrupt(l->cpu);
	}
	return NULL;
}

static void start_ticker(struct pg_linux *l)
{
	sigset_t all, old;

	if (l->ticking)
		return;
	l->ticking = 1;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	if (pthread_create(&l->ticker, NULL, tick, l) != 0)
		l->ticking = 0; /* turns then end only where threads wait */
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void stop_ticker(struct pg_linux *l)
{
	if (!l->ticking)
		return;
	l->ticking = 0;
	pthread_join(l->ticker, NULL);
}

static void drop_others(struct pg_linux *l)
{
	while (l->thread->next != l->thread) {
		struct pg_thread *t = l->thread->next;

		l->thread->next = t->next;
		destroy(t);
	}
	l->threads = 1;
	stop_ticker(l);
}

int pg_thread_begin(struct pg_linux *l)
{
	if (l->thread == NULL) {
		l->thread = make(PG_LINUX_PID);
		if (l->thread == NULL)
			return -ENOMEM;
		l->threads = 1;
		l->next_tid = PG_LINUX_PID + 1;
	}
	drop_others(l);
	l->thread->tid = PG_LINUX_PID;
	l->thread->clear_tid = l->thread->robust_list = l->thread->robust_len = 0;
	return 0;
}

void pg_thread_free(struct pg_linux *l)
{
	if (l->thread == NULL)
		return;
	drop_others(l);
	destroy(l->thread);
	l->thread = NULL;
}

struct pg_thread *pg_thread_find(struct pg_linux *l, int tid)
{
	struct pg_thread *t = l->thread;

	do {
		if (t->tid == tid)
			return t;
		t = t->next;
	} while (t != l->thread);
	return NULL;
}

int64_t pg_thread_clone(struct pg_linux *l, uint64_t flags, uint64_t stack, uint64_t parent_tid,
	uint64_t child_tid, uint64_t tls)
{
	struct pg_thread *t, *last = l->thread;
	uint32_t tid = (uint32_t)l->next_tid;

	if (l->threads >= MOST_THREADS)
		return -EAGAIN;
	if ((flags & CLONE_SETTLS) && tls >= l->layout.address_top)
		return -EPERM;
	t = make((int)tid);
	if (t == NULL)
		return -ENOMEM;
	if (((flags & CLONE_PARENT_SETTID) &&
		    pg_guest_write(l, parent_tid, &tid, sizeof(tid)) != 0) ||
		((flags & CLONE_CHILD_SETTID) &&
			pg_guest_write(l, child_tid, &tid, sizeof(tid)) != 0)) {
		destroy(t);
		return -EFAULT;
	}
	t->regs = *l->regs;
	memcpy(t->x, l->regs->x, PG_XSAVE_BYTES);
	t->regs.gpr[PG_RAX] = 0;
	if (stack != 0)
		t->regs.gpr[PG_RSP] = stack;
	if (flags & CLONE_SETTLS)
		t->regs.fs_base = tls;
	if (flags & CLONE_CHILD_CLEARTID)
		t->clear_tid = child_tid;
	t->sig.blocked = l->sig.own.blocked;
	t->sig.alt_flags = SS_DISABLE;
	while (last->next != l->thread)
		last = last->next;
	last->next = t;
	t->next = l->thread;
	l->threads++;
	l->next_tid++;
	start_ticker(l);
	return (int64_t)tid;
}

/* The other threads learn of the end by the word at clear_tid and by the robust futexes that were held. */
static void farewell(struct pg_linux *l)
{
	const uint32_t zero = 0;
	struct pg_thread *t = l->thread;
	uint64_t head[3], at;
	unsigned guard = 0;

	if (t->robust_list != 0 && pg_guest_read(l, head, t->robust_list, sizeof(head)) == 0) {
		for (at = head[0]; at != t->robust_list && guard < 2048; guard++) {
			uint64_t lock = at + head[1], next;
			uint32_t word;

			if (pg_guest_read(l, &next, at, sizeof(next)) != 0 ||
				pg_guest_read(l, &word, lock, sizeof(word)) != 0)
				break;
			if ((word & 0x3fffffff) == (uint32_t)t->tid) {
				word = (word & 0x80000000) |
				       0x40000000; /* FUTEX_WAITERS kept, FUTEX_OWNER_DIED */
				if (pg_guest_write(l, lock, &word, sizeof(word)) != 0)
					break;
				pg_thread_wake(l, lock, 1, UINT32_MAX);
			}
			at = next;
		}
	}
	if (t->clear_tid != 0 && l->threads > 1) {
		(void)!pg_guest_write(l, t->clear_tid, &zero, sizeof(zero));
		pg_thread_wake(l, t->clear_tid, 1, UINT32_MAX);
	}
}

/* --- whose state is where ------------------------------------------------------------------------------------ */

static void put_away(struct pg_linux *l)
{
	struct pg_thread *t = l->thread;

	t->regs = *l->regs;
	memcpy(t->x, l->regs->x, PG_XSAVE_BYTES);
	t->sig = l->sig.own;
	t->pc = l->pc;
}

static void bring_in(struct pg_linux *l, struct pg_thread *t)
{
	struct pg_xsave *x = l->regs->x;

	*l->regs = t->regs;
	l->regs->x = x;
	memcpy(x, t->x, PG_XSAVE_BYTES);
	l->sig.own = t->sig;
	l->pc = t->pc;
	l->thread = t;
	pg_sighost_mask(l);
}

void pg_thread_exit(struct pg_linux *l, int code)
{
	struct pg_thread *gone = l->thread, *before = gone;

	if (l->threads == 1) {
		pg_linux_exit(l, code);
		return;
	}
	farewell(l);
	while (before->next != gone)
		before = before->next;
	before->next = gone->next;
	l->threads--;
	bring_in(l, gone->next);
	destroy(gone);
	l->no_result = true;
	l->switched = true;
	if (l->threads == 1)
		stop_ticker(l);
}

/* --- waiting --------------------------------------------------------------------------------------------------- */

bool pg_thread_shared(const struct pg_linux *l)
{
	return l->threads > 1;
}

int64_t pg_thread_wait(struct pg_linux *l, const struct pg_wait *w)
{
	struct pg_wait *mine = &l->thread->wait;

	free(mine->fds);
	*mine = *w;
	mine->on = true;
	mine->woken = false;
	return -PG_EWAIT;
}

int64_t pg_thread_wait_fd(struct pg_linux *l, int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};
	struct pg_wait w = {.deadline = UINT64_MAX, .fd_count = 1};

	if (!pg_thread_shared(l) || poll(&p, 1, 0) != 0 || pg_signal_waiting(l))
		return 0;
	w.fds = malloc(sizeof(p));
	if (w.fds == NULL)
		return 0;
	*w.fds = p;
	return pg_thread_wait(l, &w);
}

uint64_t pg_thread_deadline(const struct pg_linux *l, uint64_t until)
{
	return l->again ? l->thread->wait.deadline : until;
}

unsigned pg_thread_wake(struct pg_linux *l, uint64_t key, unsigned n, uint32_t bits)
{
	unsigned done = 0;

	for (struct pg_thread *t = l->thread->next; done < n && t != l->thread; t = t->next) {
		if (!t->wait.on || t->wait.woken || t->wait.key != key || !(t->wait.bits & bits))
			continue;
		t->wait.woken = true;
		done++;
	}
	return done;
}

unsigned pg_thread_requeue(struct pg_linux *l, uint64_t key, uint64_t to, unsigned n)
{
	unsigned done = 0;

	for (struct pg_thread *t = l->thread->next; done < n && t != l->thread; t = t->next) {
		if (!t->wait.on || t->wait.woken || t->wait.key != key)
			continue;
		t->wait.key = to;
		done++;
	}
	return done;
}

/* --- whose turn it is --------------------------------------------------------------------------------------------- */

static bool can_run(struct pg_linux *l, const struct pg_thread *t, uint64_t now)
{
	const struct pg_wait *w = &t->wait;

	if (!w->on || w->woken || now >= w->deadline || pg_signal_wakes(l, t))
		return true;
	if (w->signals & pg_signal_pending(l, t->tid))
		return true;
	if (w->fd_count == 0)
		return false;
	return poll(w->fds, w->fd_count, 0) != 0;
}

/* Nobody can run: the host sleeps until somebody may. */
static void sleep_all(struct pg_linux *l, uint64_t now)
{
	struct pg_thread *t = l->thread;
	uint64_t deadline = UINT64_MAX;
	struct pollfd *fds;
	struct timespec ts, *tp = NULL;
	unsigned n = 0;

	do {
		n += t->wait.fd_count;
		if (t->wait.deadline < deadline)
			deadline = t->wait.deadline;
		t = t->next;
	} while (t != l->thread);
	fds = calloc(n + 1, sizeof(*fds));
	n = 0;
	do {
		if (fds != NULL && t->wait.fd_count != 0)
			memcpy(fds + n, t->wait.fds, t->wait.fd_count * sizeof(*fds));
		n += t->wait.fd_count;
		t = t->next;
	} while (t != l->thread);
	if (fds == NULL) {
		n = 0;
		deadline = now + TURN_NS;
	}
	if (deadline != UINT64_MAX) {
		ts = (struct timespec){(time_t)((deadline - now) / 1000000000u),
			(long)((deadline - now) % 1000000000u)};
		tp = &ts;
	}
	(void)PG_HOST(l, SYS_ppoll, (uintptr_t)fds, n, (uintptr_t)tp, 0, 0, 0);
	free(fds);
}

void pg_thread_schedule(struct pg_linux *l)
{
	struct pg_thread *t;

	l->yield = false;
	l->turn_over = 0;
	for (;;) {
		uint64_t now = pg_host_clock_ns(CLOCK_MONOTONIC);

		pg_sighost_collect(l);
		t = l->thread->next;
		for (unsigned i = 0; i < l->threads; i++, t = t->next)
			if (can_run(l, t, now))
				break;
		if (can_run(l, t, now))
			break;
		sleep_all(l, now);
	}
	if (t != l->thread) {
		put_away(l);
		bring_in(l, t);
	}
	if (t->wait.on) {
		/* the call that waits is run again; what it finds in the wait is how it ended */
		t->wait.on = false;
		l->again = true;
		pg_syscall_run(l);
		l->again = false;
	}
}
