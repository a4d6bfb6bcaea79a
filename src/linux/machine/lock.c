/* SPDX-License-Identifier: MIT */
/*
 * linux/machine/lock.c: the machine lock, and whose turn it is.
 *
 * Taken by every guest thread while it runs guest code or anything of Pagoda, and by the service thread. Given up around host
 * calls that may block and in sleeps. Owns nothing but the lock.
 *
 * A turn. Who waits for the lock longer than TURN_NS says so (`wanted`) and interrupts the holder's CPU; the holder hands the
 * lock over between two instructions or system calls (pg_lock_turn) and gets back in line. A holder that gives the lock up
 * by itself is not held to any order: who is awake first has it, which saves switches.
 *
 * Invariants:
 *   L1 at most one thread is between take and give.
 *   L2 pg_linux.current is that thread, or NULL when it is no guest's.
 *   L3 with one guest thread nothing here ever interrupts it: its figures repeat.
 *   L4 ran_ns grows by each turn, or part of it, of a thread that does not wait for memory while another one does.
 */
#include "linux/machine/machine.h"

#include <errno.h>
#include <time.h>

#define TURN_NS 2000000 /* 2 ms */

void pg_lock_init(struct pg_lock *k)
{
	pthread_condattr_t a;

	pthread_mutex_init(&k->m, NULL);
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&k->free, &a);
	pthread_cond_init(&k->taken, &a);
	pthread_condattr_destroy(&a);
}

void pg_lock_destroy(struct pg_lock *k)
{
	pthread_cond_destroy(&k->free);
	pthread_cond_destroy(&k->taken);
	pthread_mutex_destroy(&k->m);
}

/* The holder is asked for the lock. It may be anywhere: in guest code, or in a system call that ends soon. */
static void want(struct pg_linux *l)
{
	struct pg_thread *t = l->current;

	l->lock.wanted = true;
	if (t != NULL && t->cpu != NULL)
		l->ops->interrupt(t->cpu);
}

void pg_lock_take(struct pg_linux *l, struct pg_thread *me)
{
	struct pg_lock *k = &l->lock;

	pthread_mutex_lock(&k->m);
	k->waiters++;
	while (k->held) {
		uint64_t turn = k->turns, then = pg_host_clock_ns(CLOCK_MONOTONIC) + TURN_NS;
		struct timespec t = pg_timespec(then);

		if (pthread_cond_timedwait(&k->free, &k->m, &t) == ETIMEDOUT && k->held &&
			k->turns == turn && !k->wanted)
			want(l);
	}
	k->waiters--;
	k->held = true;
	k->wanted = false;
	k->turns++;
	l->current = me;
	if (k->stalls != 0)
		k->since_ns = pg_host_clock_ns(CLOCK_MONOTONIC);
	pthread_cond_broadcast(&k->taken);
	pthread_mutex_unlock(&k->m);
}

/* The holder's turn up to now is counted if others wait for memory and it does not. */
static void count_turn(struct pg_linux *l)
{
	struct pg_lock *k = &l->lock;
	uint64_t now;

	if (k->stalls == 0)
		return;
	now = pg_host_clock_ns(CLOCK_MONOTONIC);
	if (l->current != NULL && l->current->stalled == 0)
		k->ran_ns += now - k->since_ns;
	k->since_ns = now;
}

static void let_go(struct pg_linux *l)
{
	struct pg_lock *k = &l->lock;

	count_turn(l);
	k->held = false;
	l->current = NULL;
	if (k->waiters != 0)
		pthread_cond_signal(&k->free);
}

void pg_lock_give(struct pg_linux *l)
{
	pthread_mutex_lock(&l->lock.m);
	let_go(l);
	pthread_mutex_unlock(&l->lock.m);
}

uint64_t pg_linux_stalling(struct pg_linux *l, int more)
{
	count_turn(l);
	if (l->current != NULL)
		l->current->stalled += (unsigned)more;
	l->lock.stalls += (unsigned)more;
	return l->lock.ran_ns;
}

void pg_lock_turn(struct pg_thread *me)
{
	struct pg_linux *l = me->machine;
	struct pg_lock *k = &l->lock;
	uint64_t turn;

	pthread_mutex_lock(&k->m);
	turn = k->turns;
	let_go(l);
	while (k->turns == turn && k->waiters != 0)
		pthread_cond_wait(&k->taken, &k->m);
	pthread_mutex_unlock(&k->m);
	pg_lock_take(l, me);
}
