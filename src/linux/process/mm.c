/* SPDX-License-Identifier: MIT */
/*
 * linux/process/mm.c: the memory of processes: a space, and who is in it.
 *
 * Called by the files of this folder and by exec/ (a new program). Calls space/ to fork and to destroy. Owns struct pg_mm.
 *
 * Invariants:
 *   P4 mm->users is the number of processes in it; it stays while there is one, or somebody looks at it.
 */
#include "linux/machine/machine.h"
#include "linux/process/parts.h"

#include <errno.h>
#include <stdlib.h>

struct pg_mm *pg_mm_make(struct pg_space *s)
{
	struct pg_mm *mm = calloc(1, sizeof(*mm));

	if (mm == NULL)
		return NULL;
	mm->space = s;
	mm->users = 1;
	mm->dumpable = 1;
	return mm;
}

static void destroy_unused(struct pg_mm *mm)
{
	if (mm->users != 0 || mm->looks != 0)
		return;
	pg_space_destroy(mm->space);
	free(mm);
}

void pg_mm_put(struct pg_mm *mm)
{
	if (mm == NULL)
		return;
	mm->users--;
	destroy_unused(mm);
}

void pg_mm_look(struct pg_mm *mm)
{
	mm->looks++;
}

void pg_mm_looked(struct pg_mm *mm)
{
	mm->looks--;
	destroy_unused(mm);
}

/* A copy for a child. */
int pg_mm_fork(struct pg_thread *me, struct pg_mm **out)
{
	struct pg_mm *from = me->mm, *mm;
	struct pg_space *s;
	int err = pg_space_create(me->machine->vm, pg_space_configuration(from->space), &s);

	if (err != 0)
		return err;
	err = pg_space_fork(from->space, s);
	mm = err == 0 ? malloc(sizeof(*mm)) : NULL;
	if (mm == NULL) {
		pg_space_destroy(s);
		return -ENOMEM;
	}
	*mm = *from;
	mm->space = s;
	mm->users = 1;
	mm->looks = 0;
	*out = mm;
	return 0;
}

/* The last moment at which the process's memory can be looked at. */
void pg_mm_tell_leave(struct pg_thread *me)
{
	if (me->proc->leave_told)
		return;
	me->proc->leave_told = true;
	if (me->machine->hooks.leave != NULL)
		me->machine->hooks.leave(me->machine->hooks.ctx);
}

/* Figures of a space that the process leaves; those of a shared one stay with who stays. */
void pg_mm_keep_figures(struct pg_process *p)
{
	struct pg_space_stats s;

	if (p->mm == NULL || p->mm->users > 1)
		return;
	pg_space_stats(p->mm->space, &s);
	pg_linux_add_space(&p->space_before, &s);
}

void pg_mm_vfork_over(struct pg_process *p)
{
	struct pg_thread *parent = p->vfork;

	p->vfork = NULL;
	if (parent != NULL)
		pg_thread_poke(parent);
}

void pg_process_new_mm(struct pg_thread *me, struct pg_mm *mm)
{
	struct pg_process *p = me->proc;
	struct pg_mm *old = p->mm;

	if (old != NULL) {
		pg_mm_tell_leave(me);
		me->machine->ops->cpu_switch(me->cpu, mm->space);
		pg_mm_keep_figures(p);
	}
	p->mm = me->mm = mm;
	p->leave_told = false;
	pg_mm_put(old);
	pg_mm_vfork_over(p);
}
