/* SPDX-License-Identifier: MIT */
/*
 * linux/process/thread.c: the guest's threads: made, begun on a host thread, asleep, awake, ended.
 *
 * Called by fork.c (clone), exec/ and end.c and by every system call that waits. Each guest thread is a host thread with a CPU of its
 * own; one at a time runs, whoever has the machine lock (machine/lock.c).
 *
 * Invariants:
 *   T1 a thread is in its process's list from make to the end of its host thread, and threads is the list's length.
 *   T2 only its own host thread uses its registers and its CPU, and only with the lock held.
 *   T3 whoever changes what a sleeping thread looks at pokes it afterwards, with the lock held; a thread looks with the lock held
 *      before it sleeps. So no wake-up is lost.
 *   T4 a host thread whose process has a new table of descriptors owns a copy of it before its maker goes on.
 */
#include "linux/calls/calls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define HOST_STACK (1u << 20)
#define MOST_THREADS 16384
#define MOST_PID 4194304

/* --- making ------------------------------------------------------------------------------------------------ */

struct pg_thread *pg_thread_find(struct pg_linux *l, int tid)
{
	for (struct pg_process *p = l->processes; p != NULL; p = p->next) {
		struct pg_thread *t = pg_thread_of(p, tid);

		if (t != NULL)
			return t;
	}
	return NULL;
}

struct pg_thread *pg_thread_of(struct pg_process *p, int tid)
{
	struct pg_thread *t = p->thread;

	while (t != NULL && t->tid != tid)
		t = t->next;
	return t;
}

struct pg_thread *pg_thread_of_host(struct pg_linux *l, int tid)
{
	for (struct pg_process *p = l->processes; p != NULL; p = p->next)
		for (struct pg_thread *t = p->thread; t != NULL; t = t->next)
			if (t->host_tid == tid)
				return t;
	return NULL;
}

/* The next number that is no thread's and no process's. */
static int new_id(struct pg_linux *l)
{
	for (;;) {
		int id = l->next_pid++;
		bool used = false;

		if (l->next_pid >= MOST_PID)
			l->next_pid = PG_LINUX_PID + 1;
		for (struct pg_process *p = l->processes; p != NULL && !used; p = p->next)
			used = p->pid == id || p->pgid == id || p->sid == id ||
			       pg_thread_of(p, id) != NULL;
		if (!used)
			return id;
	}
}

struct pg_thread *pg_thread_make(
	struct pg_process *p, struct pg_mm *mm, struct pg_fds *fds, int *err)
{
	struct pg_linux *l = p->machine;
	struct pg_thread *t, **end = &p->thread;

	*err = -EAGAIN;
	if (l->thread_count >= MOST_THREADS)
		return NULL;
	*err = -ENOMEM;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	*err = mm != NULL ? l->ops->cpu_create(l->engine, mm->space, &t->cpu) : 0;
	if (*err != 0) {
		free(t);
		return NULL;
	}
	t->machine = l;
	t->proc = p;
	t->mm = mm;
	t->fds = fds;
	fds->users++;
	t->regs = t->cpu != NULL ? l->ops->regs(t->cpu) : NULL;
	t->sig.alt_flags = SS_DISABLE;
	t->tid = p->pid == 0 || p->thread != NULL ? new_id(l) : p->pid;
	while (*end != NULL)
		end = &(*end)->next;
	*end = t;
	p->threads++;
	l->thread_count++;
	return t;
}

static void unlink_thread(struct pg_thread *t)
{
	struct pg_thread **at = &t->proc->thread;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	t->proc->threads--;
	t->machine->thread_count--;
}

void pg_thread_unmake(struct pg_thread *t)
{
	pg_sem_leave(t);
	unlink_thread(t);
	if (t->cpu != NULL)
		t->machine->ops->cpu_destroy(t->cpu);
	pg_fds_put(t->machine, t->fds);
	free(t);
}

/* --- the host's thread ---------------------------------------------------------------------------------------- */

struct start {
	struct pg_thread *t;
	sem_t ready;
	int err;
};

/* A copy of the table of descriptors; where unshare() is not allowed its other form often is. */
static int own_files(void)
{
	if (unshare(CLONE_FILES) == 0)
		return 0;
	return syscall(SYS_close_range, ~0u, ~0u, 2 /* CLOSE_RANGE_UNSHARE */) == 0 ? 0 : -errno;
}

/* The three descriptors of a job, in its own table; they may be each other's. */
static int take_std(const int std[3])
{
	int copy[3], err = 0;

	for (int i = 0; i < 3; i++) {
		copy[i] = std[i] >= 0 ? fcntl(std[i], F_DUPFD_CLOEXEC, 3) : -1;
		if (std[i] >= 0 && copy[i] < 0)
			err = -errno;
	}
	for (int i = 0; i < 3; i++) {
		if (copy[i] >= 0 && err == 0 && dup2(copy[i], i) < 0)
			err = -errno;
		if (copy[i] >= 0)
			close(copy[i]);
	}
	return err;
}

static void *begin(void *arg)
{
	struct start *s = arg;
	struct pg_thread *t = s->t;
	struct pg_linux *l = t->machine;

	if (t->new_files)
		s->err = own_files();
	if (s->err == 0 && t->new_files && t->not_ours != 0)
		close(t->not_ours - 1);
	if (s->err == 0 && t->new_fs && unshare(CLONE_FS) != 0)
		s->err = -errno;
	if (s->err == 0 && t->new_std)
		s->err = take_std(t->std);
	if (s->err != 0) {
		sem_post(&s->ready);
		return NULL;
	}
	t->host = pthread_self();
	t->host_tid = (int)syscall(SYS_gettid);
	sem_post(&s->ready); /* s is gone from here on */
	pg_lock_take(l, t);
	pg_linux_go(t);
	pg_thread_end(t);
	return NULL;
}

int pg_thread_start(struct pg_thread *t)
{
	struct start s = {.t = t};
	pthread_attr_t a;
	pthread_t host;
	int err;

	sem_init(&s.ready, 0, 0);
	pthread_attr_init(&a);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&a, HOST_STACK);
	err = pthread_create(&host, &a, begin, &s);
	pthread_attr_destroy(&a);
	if (err == 0) {
		while (sem_wait(&s.ready) != 0)
			;
		err = s.err;
	}
	sem_destroy(&s.ready);
	return err == 0 ? 0 : -EAGAIN;
}

int pg_fds_own(struct pg_thread *me)
{
	struct pg_fds *f;
	int err;

	if (me->fds->users == 1)
		return 0;
	f = pg_fds_make(me->machine, me->fds);
	if (f == NULL)
		return -ENOMEM;
	err = own_files();
	f->users = 1;
	if (err != 0) {
		pg_fds_put(me->machine, f);
		return err;
	}
	pg_fds_put(me->machine, me->fds);
	me->fds = f;
	return 0;
}

/* --- asleep and awake ------------------------------------------------------------------------------------------- */

void pg_thread_sleep(struct pg_thread *me, uint64_t until)
{
	const struct timespec t = pg_timespec(until);

	me->wake = 0;
	me->asleep = true;
	pg_lock_give(me->machine);
	while (me->wake == 0 &&
		syscall(SYS_futex, &me->wake, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0,
			until == UINT64_MAX ? NULL : &t, NULL, FUTEX_BITSET_MATCH_ANY) != 0)
		if (errno != EINTR)
			break; /* EAGAIN: awake; ETIMEDOUT */
	pg_lock_take(me->machine, me);
	me->asleep = false;
}

void pg_thread_rouse(struct pg_thread *t)
{
	t->wake = 1;
	syscall(SYS_futex, &t->wake, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

void pg_thread_wake(struct pg_thread *t)
{
	t->woken = true;
	pg_thread_rouse(t);
}

void pg_thread_poke(struct pg_thread *t)
{
	int tid = t->host_tid;

	t->poke = 1;
	pg_thread_rouse(t);
	if (t->in_host && tid != 0)
		syscall(SYS_tgkill, t->machine->host_pid, tid, PG_HOST_KICK);
}

/* --- ending --------------------------------------------------------------------------------------------------------- */

void pg_thread_alone(struct pg_thread *me)
{
	for (struct pg_thread *t = me->proc->thread; t != NULL; t = t->next)
		if (t != me) {
			t->must_end = true;
			pg_thread_poke(t);
		}
	while (me->proc->threads > 1)
		pg_thread_sleep(me, UINT64_MAX);
}

/* One futex of a dead owner: its word says so, and one waiter is woken. */
static bool bury_futex(struct pg_thread *me, uint64_t lock)
{
	uint32_t word;

	if (pg_guest_read(me, &word, lock, sizeof(word)) != 0)
		return false;
	if ((word & FUTEX_TID_MASK) != (uint32_t)me->tid)
		return true;
	word = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
	if (pg_guest_write(me, lock, &word, sizeof(word)) != 0)
		return false;
	pg_futex_wake(me, lock, true, 1, UINT32_MAX);
	return true;
}

/* Others learn of the end by the word at clear_tid and by the robust futexes that were held. */
void pg_thread_farewell(struct pg_thread *me)
{
	const uint32_t zero = 0;
	uint64_t head[3], at;
	unsigned guard = 0;

	if (me->robust_list != 0 && pg_guest_read(me, head, me->robust_list, sizeof(head)) == 0) {
		for (at = head[0]; at != me->robust_list && guard < 2048; guard++) {
			uint64_t next;

			if (pg_guest_read(me, &next, at & ~(uint64_t)1, sizeof(next)) != 0)
				break;
			if (at != head[2] && !bury_futex(me, (at & ~(uint64_t)1) + head[1]))
				break;
			at = next;
		}
		if (head[2] != 0)
			(void)bury_futex(me, (head[2] & ~(uint64_t)1) + head[1]);
	}
	if (me->clear_tid != 0 && (me->proc->threads > 1 || me->mm->users > 1)) {
		(void)!pg_guest_write(me, me->clear_tid, &zero, sizeof(zero));
		pg_futex_wake(me, me->clear_tid, true, 1, UINT32_MAX);
	}
	me->robust_list = me->clear_tid = 0;
}

/* What it counted and used goes to the process. */
static void leave_figures(struct pg_thread *me)
{
	struct rusage use;
	struct pg_cpu_stats s;
	struct timespec t;

	me->machine->ops->stats(me->cpu, &s);
	pg_linux_add_cpu(&me->proc->cpu_before, &s);
	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0)
		me->proc->cpu_ns += pg_timespec_ns(&t);
	if (getrusage(RUSAGE_THREAD, &use) == 0) {
		timerclear(&use.ru_utime);
		use.ru_maxrss = use.ru_minflt = use.ru_majflt = 0; /* Pagoda's own */
		pg_usage_add(&me->proc->ended_use, &use);
	}
}

void pg_thread_end(struct pg_thread *me)
{
	struct pg_linux *l = me->machine;
	struct pg_process *p = me->proc;
	bool over;

	pg_thread_farewell(me);
	pg_sem_leave(me);
	me->host_tid = 0;
	leave_figures(me);
	for (struct pg_process *k = l->processes; k != NULL; k = k->next)
		if (k->vfork == me)
			k->vfork = NULL;
	unlink_thread(me);
	pg_pidfd_ends(p, me->tid);
	if (p->threads == 0) {
		pg_process_end(p, me); /* takes the CPU from the space before that goes */
	} else {
		l->ops->cpu_switch(me->cpu, NULL);
		if (p->threads == 1)
			pg_thread_poke(p->thread); /* exec waits to be alone */
	}
	pthread_mutex_lock(&l->lock.m);
	l->current = NULL; /* nobody may interrupt this CPU any more */
	pthread_mutex_unlock(&l->lock.m);
	l->ops->cpu_destroy(me->cpu);
	pg_fds_put(l, me->fds);
	free(me);
	over = l->thread_count == 0 && !l->jobs;
	if (over)
		pg_service_ring(l);
	pg_lock_give(l);
}
