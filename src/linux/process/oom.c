/* SPDX-License-Identifier: MIT */
/*
 * linux/process/oom.c: no frame is left: which process is killed for it.
 *
 * Called by linux/loop.c, for a thread that found no frame. Source: Linux mm/oom_kill.c, whose points space/ counts (pg_space_badness()). Owns nothing.
 */
#include "linux/machine/machine.h"

#include <signal.h>
#include <time.h>

int64_t pg_process_badness(const struct pg_process *p)
{
	return p->mm == NULL || p->exiting ? INT64_MIN
					   : pg_space_badness(p->mm->space, p->oom_score_adj);
}

/* Who has been killed for memory and has not given it back yet; NULL: nobody. While there is one, nobody else is picked, as in Linux. */
static struct pg_process *dying_for_memory(struct pg_linux *l)
{
	for (struct pg_process *p = l->processes; p != NULL; p = p->next)
		if (p->exiting && p->end.oom && p->mm != NULL && p->state == PG_RUNNING)
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

void pg_process_oom(struct pg_thread *me)
{
	struct pg_linux *l = me->machine;
	struct pg_process *victim;
	int pid;

	me->oom = false;
	if (me->proc->exiting)
		return;
	victim = dying_for_memory(l);
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
