/* SPDX-License-Identifier: MIT */
/*
 * linux/process/process.c: the records of the guest's processes: made, found, counted, freed.
 *
 * Called by linux/linux.c (the first one), linux/jobs.c (those of a scheduler), fork.c, end.c and calls/wait.c. Owns the list of processes.
 *
 * What is not here: their memory (mm.c), how one makes another (fork.c), their ends (end.c).
 *
 * Invariants:
 *   P1 a zombie has no threads, no memory and no descriptors; it stays until its parent has waited for it.
 *   P2 a process without parent in the machine is nobody's to wait for: it is freed when it ends, but for the first one.
 */
#include "linux/calls/calls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"
#include "linux/process/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct pg_process *pg_process_make(struct pg_linux *l)
{
	struct pg_process *p = calloc(1, sizeof(*p)), **end = &l->processes;

	if (p == NULL)
		return NULL;
	p->machine = l;
	pg_signal_init(&p->sig);
	p->start_ns = pg_host_clock_ns(CLOCK_MONOTONIC);
	p->start_ticks = pg_host_clock_ns(CLOCK_BOOTTIME) / 10000000u;
	while (*end != NULL)
		end = &(*end)->next;
	*end = p;
	l->process_count++;
	l->alive++;
	return p;
}

static void process_unlink(struct pg_process *p)
{
	struct pg_process **at = &p->machine->processes;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	p->machine->process_count--;
}

void pg_process_free(struct pg_process *p)
{
	struct pg_linux *l = p->machine;

	pg_linux_add_space(&l->space_before, &p->space_before);
	l->signals += p->sig.delivered;
	process_unlink(p);
	pg_pidfd_reaped(p);
	pg_timers_delete(p, true);
	pg_signal_free(&p->sig);
	pg_mm_put(p->mm);
	if (p == l->init)
		l->init = NULL;
	free(p);
}

/* A thread that nobody cloned: its users are those of Pagoda. */
static struct pg_thread *first_thread(struct pg_process *p, struct pg_fds *fds, int *err)
{
	struct pg_thread *t = pg_thread_make(p, NULL, fds, err);

	if (t != NULL)
		pg_cred_read(&t->cred);
	return t;
}

int pg_process_init(struct pg_linux *l, struct pg_thread **first)
{
	struct pg_process *p = pg_process_make(l);
	struct pg_fds *fds = pg_fds_make(l, NULL);
	int err = -ENOMEM;

	if (p == NULL || fds == NULL) {
		if (p != NULL) {
			l->alive--;
			pg_process_free(p);
		}
		free(fds);
		return err;
	}
	l->init = p;
	l->first_fds = fds;
	p->pid = PG_LINUX_PID;
	l->next_pid = PG_LINUX_PID + 1;
	p->pgid = (int)pg_guest_pid(l, getpgrp());
	p->sid = (int)pg_guest_pid(l, getsid(0));
	pg_terminal_init(p);
	*first = first_thread(p, fds, &err);
	return *first != NULL ? 0 : err;
}

int pg_process_orphan(struct pg_linux *l, struct pg_thread **first)
{
	struct pg_process *p = pg_process_make(l);
	struct pg_fds *fds = p != NULL ? pg_fds_make(l, l->first_fds) : NULL;
	int err = -ENOMEM;

	if (fds != NULL) {
		fds->users++; /* ours, until the thread has it */
		*first = first_thread(p, fds, &err);
		pg_fds_put(l, fds);
	}
	if (err != 0) {
		if (p != NULL) {
			l->alive--;
			pg_process_free(p);
		}
		return err;
	}
	p->pid = p->pgid = p->sid = (*first)->tid;
	pg_linux_first_limits(l, p->limits);
	return 0;
}

struct pg_process *pg_process_find(struct pg_linux *l, int pid)
{
	struct pg_process *p = l->processes;

	while (p != NULL && p->pid != pid)
		p = p->next;
	return p;
}

int pg_process_ppid(const struct pg_process *p)
{
	if (p->parent != NULL)
		return p->parent->pid;
	return p == p->machine->init ? PG_LINUX_PPID : 1;
}

void pg_process_each_of_group(
	struct pg_linux *l, int pgid, bool (*f)(void *ctx, struct pg_process *p), void *ctx)
{
	for (struct pg_process *p = l->processes, *next; p != NULL; p = next) {
		next = p->next;
		if (p->pgid == pgid && p->state == PG_RUNNING && !f(ctx, p))
			return;
	}
}

/* --- figures -------------------------------------------------------------------------------------------------------- */

uint64_t pg_process_cpu_ns(const struct pg_process *p)
{
	uint64_t sum = p->cpu_ns;

	for (const struct pg_thread *t = p->thread; t != NULL; t = t->next) {
		struct timespec s;
		clockid_t clock;

		if (t->host_tid != 0 && pthread_getcpuclockid(t->host, &clock) == 0 &&
			clock_gettime(clock, &s) == 0)
			sum += pg_timespec_ns(&s);
	}
	return sum;
}

void pg_process_stats(
	const struct pg_process *p, struct pg_cpu_stats *cpu, struct pg_space_stats *space)
{
	if (cpu != NULL) {
		*cpu = p->cpu_before;
		for (const struct pg_thread *t = p->thread; t != NULL; t = t->next) {
			struct pg_cpu_stats s;

			if (t->cpu == NULL)
				continue;
			p->machine->ops->stats(t->cpu, &s);
			pg_linux_add_cpu(cpu, &s);
		}
	}
	*space = p->space_before;
	if (p->mm != NULL && p->state == PG_RUNNING) {
		struct pg_space_stats s;

		pg_space_stats(p->mm->space, &s);
		pg_linux_add_space(space, &s);
	}
}
