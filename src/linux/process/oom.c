/* SPDX-License-Identifier: MIT */
/*
 * linux/process/oom.c: no frame is left: which process is killed for it.
 *
 * Called by linux/loop.c and, in the middle of a call, by linux/machine/guest.c, for a thread that found no frame. Source: Linux mm/oom_kill.c, whose points space/ counts (pg_space_badness()). Owns nothing.
 */
#include "linux/machine/machine.h"

#include <signal.h>
#include <time.h>

#define FRAMES_BACK 16 /* as many as an access may take with its page tables, and some */
#define SPARED_MOST 64

int64_t pg_process_badness(const struct pg_process *p)
{
	return p->mm == NULL || p->exiting ? INT64_MIN
					   : pg_space_badness(p->mm->space, p->oom_score_adj);
}

/* Who ends and has not given its memory back yet; NULL: nobody. While there is one, nobody is picked, as in Linux. */
static struct pg_process *dying(struct pg_linux *l)
{
	for (struct pg_process *p = l->processes; p != NULL; p = p->next)
		if (p->exiting && p->mm != NULL && p->state == PG_RUNNING)
			return p;
	return NULL;
}

static struct pg_process *pick_victim(struct pg_thread *me)
{
	struct pg_process *victim = NULL;
	int64_t worst = INT64_MIN;

	for (struct pg_process *p = me->machine->processes; p != NULL; p = p->next) {
		int64_t b = pg_process_badness(p);

		if (b > worst) {
			worst = b;
			victim = p;
		}
	}
	return victim != NULL ? victim : me->proc;
}

/* Who shares the memory goes with it: else nothing would be freed. */
static void kill_for_memory(struct pg_thread *me, struct pg_process *victim)
{
	struct pg_linux *l = me->machine;

	l->oom_kills++;
	for (struct pg_process *p = l->processes; p != NULL; p = p->next) {
		if (p != victim && (p->mm == NULL || p->mm != victim->mm))
			continue;
		if (!p->exiting)
			p->end.oom = true;
		pg_process_killed(p, me, SIGKILL);
	}
}

/*
 * Whether frames came back since `me` found none: others went on meanwhile. Linux looks once more before it kills, too. Not
 * for ever: what it wants may be other than any frame.
 */
static bool frames_came_back(struct pg_thread *me)
{
	uint64_t now = pg_host_clock_ns(CLOCK_MONOTONIC);

	if (me->machine->partition != NULL ||
		pg_frames_free_count(pg_vm_frames(me->machine->vm)) < FRAMES_BACK)
		return false;
	if (now - me->spared_ns > 1000000000u)
		me->spared = 0;
	me->spared_ns = now;
	return me->spared++ < SPARED_MOST;
}

void pg_process_oom(struct pg_thread *me)
{
	struct pg_linux *l = me->machine;
	struct pg_process *victim;
	int pid;

	me->oom = false;
	if (me->proc->exiting || frames_came_back(me))
		return;
	victim = dying(l);
	if (victim == NULL) {
		victim = pick_victim(me);
		kill_for_memory(me, victim);
	}
	pid = victim->pid;
	while (victim != me->proc && victim != NULL && victim->state == PG_RUNNING &&
		!me->must_end && !me->proc->exiting) {
		/* its threads run to their end; there is no signal to wait for, and it may never tell us */
		pg_thread_sleep(me, pg_host_clock_ns(CLOCK_MONOTONIC) + 200000);
		victim = pg_process_find(l, pid);
	}
}
