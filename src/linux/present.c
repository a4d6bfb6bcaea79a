/* SPDX-License-Identifier: MIT */
/*
 * linux/present.c: what the floors above may ask of a machine while it is there: figures, and the present state of its guests.
 *
 * Called by trace/ and ui/ through linux.h, mostly in hooks. Looks and changes nothing.
 */
#include "linux/machine/machine.h"

#include <signal.h>
#include <string.h>

void pg_linux_stats(struct pg_linux *l, struct pg_linux_stats *out)
{
	memset(out, 0, sizeof(*out));
	if (l->execs != 0 && l->ops->totals != NULL)
		l->ops->totals(l->engine, &out->cpu);
	out->space = l->space_before;
	out->signals = l->signals;
	for (const struct pg_process *p = l->processes; p != NULL; p = p->next) {
		struct pg_space_stats space;

		pg_process_stats(p, NULL, &space);
		pg_linux_add_space(&out->space, &space);
		out->signals += p->sig.delivered;
	}
	out->system_calls = l->calls;
	out->execs = l->execs;
	out->forks = l->forks;
	out->bytes_read = l->bytes_read;
	out->bytes_written = l->bytes_written;
	out->oom_kills = l->oom_kills;
}

/* Whom the questions of the floors above are about: who runs, else the first process. */
static const struct pg_mm *present(const struct pg_linux *l)
{
	if (l->current != NULL && l->current->mm != NULL)
		return l->current->mm;
	return l->init != NULL ? l->init->mm : NULL;
}

struct pg_space *pg_linux_space(struct pg_linux *l)
{
	const struct pg_mm *mm = present(l);

	return mm != NULL ? mm->space : NULL;
}

const struct pg_cpu_regs *pg_linux_regs(const struct pg_linux *l)
{
	const struct pg_thread *t = l->current;

	if (t == NULL && l->init != NULL)
		t = l->init->thread;
	return t != NULL ? t->regs : NULL;
}

void pg_linux_each_thread(struct pg_linux *l, int pid,
	bool (*f)(void *ctx, const struct pg_linux_thread *t), void *ctx)
{
	const struct pg_process *p = pg_process_find(l, pid);

	for (const struct pg_thread *t = p != NULL ? p->thread : NULL; t != NULL; t = t->next) {
		struct pg_linux_thread told = {.tid = t->tid, .name = t->comm, .regs = t->regs};

		if (!(t->sig.alt_flags & SS_DISABLE)) {
			told.alt_sp = t->sig.alt_sp;
			told.alt_size = t->sig.alt_size;
		}
		if (t->regs != NULL && !f(ctx, &told))
			return;
	}
}

struct pg_space *pg_linux_space_of(struct pg_linux *l, int pid)
{
	const struct pg_process *p = pg_process_find(l, pid);

	return p != NULL && p->mm != NULL ? p->mm->space : NULL;
}

int pg_linux_pid(const struct pg_linux *l)
{
	return l->current != NULL ? l->current->proc->pid : PG_LINUX_PID;
}

int pg_linux_tid(const struct pg_linux *l)
{
	return l->current != NULL ? l->current->tid : PG_LINUX_PID;
}

int pg_linux_watch(struct pg_linux *l, uint64_t rip)
{
	return l->ops->watch(l->engine, rip);
}

const char *pg_linux_program(const struct pg_linux *l)
{
	const struct pg_mm *mm = present(l);

	return mm != NULL ? mm->exe : "";
}

const char *pg_linux_comm(const struct pg_linux *l)
{
	const struct pg_thread *t = l->current;

	if (t == NULL && l->init != NULL)
		t = l->init->thread;
	return t != NULL ? t->comm : "";
}

const struct pg_linux_layout *pg_linux_layout(const struct pg_linux *l)
{
	static const struct pg_linux_layout none;
	const struct pg_mm *mm = present(l);

	return mm != NULL ? &mm->layout : &none;
}
