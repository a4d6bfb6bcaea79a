/* SPDX-License-Identifier: MIT */
/*
 * linux/process/parts.h: what the files of this folder do for each other alone: a process's record and its memory, made and left.
 *
 * The functions are those of process.c and mm.c.
 */
#ifndef PG_LINUX_PROCESS_PARTS_H
#define PG_LINUX_PROCESS_PARTS_H

#include "linux/process/process.h"

/* A record at the end of the list, of no memory, parent or thread. NULL: no memory. */
struct pg_process *pg_process_make(struct pg_linux *l);

/* A copy of me's memory for a child. */
PG_MUST_CHECK int pg_mm_fork(struct pg_thread *me, struct pg_mm **out);
/* The last moment at which the process's memory can be looked at: hooks.leave. */
void pg_mm_tell_leave(struct pg_thread *me);
/* Figures of a space that the process leaves; those of a shared one stay with who stays. */
void pg_mm_keep_figures(struct pg_process *p);
/* It has memory of its own, or none: who waits for its vfork goes on. */
void pg_mm_vfork_over(struct pg_process *p);

#endif
