/* SPDX-License-Identifier: MIT */
/*
 * linux/process/pause.c: processes that wait while memory is short: what is done about thrashing besides swapping out.
 *
 * ui/ calls pg_linux_pause() when reclaim/ has swapped a space out whole; the main loop (linux/loop.c) calls pg_pause_wait() for each
 * thread before it runs guest code. Reads frame/ and the list of processes.
 *
 * A paused process's threads finish the system call that they are in and then sleep. They go on when the first of these is true:
 *
 *   its turn is over: PAUSE_NS have passed
 *   there is room: as many frames are free as it had, and a reserve of 1/32 of memory
 *   nobody else can run: all others sleep, wait for the host, or are paused
 *   it is to end
 *
 * So nothing waits for ever for what a paused process holds (a futex, a pipe that is full), and who is paused next is the one that
 * was paused least often (reclaim/thrash.c): all get on in turns. Signals are delivered when it goes on.
 */
#include "linux/machine/machine.h"

#include <time.h>

#define PAUSE_NS 1000000000u
#define LOOK_NS 10000000u /* how often a paused thread looks whether it may go on */

static bool is_paused(const struct pg_mm *mm)
{
	return mm->paused_until != 0;
}

/* Whether a thread outside of paused processes runs, could run, or waits for memory only. */
static bool others_run(const struct pg_linux *l)
{
	for (const struct pg_process *p = l->processes; p != NULL; p = p->next) {
		if (p->state != PG_RUNNING || p->stopped || p->mm == NULL || is_paused(p->mm))
			continue;
		for (const struct pg_thread *t = p->thread; t != NULL; t = t->next)
			if (!t->asleep && (!t->in_host || t->stalled != 0))
				return true;
	}
	return false;
}

static bool has_room(const struct pg_linux *l, const struct pg_mm *mm)
{
	const struct pg_frames *f = pg_vm_frames(l->vm);

	return pg_frames_free_count(f) >= pg_frames_total(f) / 32 + mm->paused_pages;
}

static void resume(struct pg_linux *l, struct pg_mm *mm, uint64_t now)
{
	for (struct pg_process *p = l->processes; p != NULL; p = p->next)
		if (p->mm == mm && p->paused_since != 0) {
			p->paused_ns += now - p->paused_since;
			p->paused_since = 0;
		}
	mm->paused_until = 0;
}

/* Lets it go on if it may. */
static void look(struct pg_linux *l, struct pg_mm *mm)
{
	uint64_t now = pg_host_clock_ns(CLOCK_MONOTONIC);

	if (is_paused(mm) && (now >= mm->paused_until || has_room(l, mm) || !others_run(l)))
		resume(l, mm, now);
}

void pg_pause_wait(struct pg_thread *me)
{
	struct pg_mm *mm = me->mm;

	for (look(me->machine, mm); is_paused(mm); look(me->machine, mm)) {
		if (me->proc->exiting || me->must_end)
			return;
		pg_thread_sleep(me, pg_host_clock_ns(CLOCK_MONOTONIC) + LOOK_NS);
	}
}

static struct pg_mm *mm_of(const struct pg_linux *l, const struct pg_space *s)
{
	for (const struct pg_process *p = l->processes; p != NULL; p = p->next)
		if (p->mm != NULL && p->mm->space == s)
			return p->mm;
	return NULL;
}

unsigned pg_linux_pauses(struct pg_linux *l, struct pg_space *s)
{
	struct pg_mm *mm = mm_of(l, s);

	if (mm == NULL)
		return UINT_MAX;
	look(l, mm);
	return is_paused(mm) ? UINT_MAX : mm->pauses;
}

bool pg_linux_pause(
	struct pg_linux *l, struct pg_space *s, uint64_t pages, int *pid, const char **name)
{
	uint64_t now = pg_host_clock_ns(CLOCK_MONOTONIC);
	struct pg_mm *mm = mm_of(l, s);

	if (mm == NULL || is_paused(mm))
		return false;
	mm->paused_until = now + PAUSE_NS;
	mm->paused_pages = pages;
	mm->pauses++;
	for (struct pg_process *p = l->processes; p != NULL; p = p->next) {
		if (p->mm != mm)
			continue;
		p->pauses++;
		p->paused_since = now;
		*pid = p->pid;
		*name = p->thread != NULL ? p->thread->comm : p->comm;
		for (struct pg_thread *t = p->thread; t != NULL; t = t->next)
			if (t->cpu != NULL)
				l->ops->interrupt(
					t->cpu); /* it may be in guest code or in a fault */
	}
	return mm->pauses == 1;
}
