/* SPDX-License-Identifier: MIT */
/*
 * linux/proc/text.h: what the files of /proc share: proc.c (which is opened), maps.c and status.c (what is in it).
 */
#ifndef PG_LINUX_PROC_TEXT_H
#define PG_LINUX_PROC_TEXT_H

#include "linux/machine/machine.h"

#include <stdio.h>

#define PG_KB(bytes) ((unsigned long long)(bytes) / 1024)

/* A file that is being written: about whom, and the host stream on memory that takes its text. */
struct pg_proc_text {
	struct pg_linux *machine;
	struct pg_process *proc;  /* NULL: about the machine */
	struct pg_thread *thread; /* NULL: a zombie */
	struct pg_mm *mm;         /* NULL: a zombie: files about memory are empty */
	int fd;                   /* of /proc/PID/fdinfo/N */
	FILE *out;
};

/* maps.c */
void pg_proc_maps(struct pg_proc_text *t);
void pg_proc_smaps(struct pg_proc_text *t);
void pg_proc_smaps_rollup(struct pg_proc_text *t);
/* Fills fd, a file of the host's memory, so that entry n of 8 bytes is about page n; holes where nothing is. */
int pg_proc_pagemap(struct pg_mm *mm, int fd);

/* status.c */
void pg_proc_status(struct pg_proc_text *t);
void pg_proc_stat(struct pg_proc_text *t);
void pg_proc_statm(struct pg_proc_text *t);
void pg_proc_cmdline(struct pg_proc_text *t);
void pg_proc_environ(struct pg_proc_text *t);
void pg_proc_auxv(struct pg_proc_text *t);
void pg_proc_comm(struct pg_proc_text *t);
void pg_proc_limits(struct pg_proc_text *t);
void pg_proc_wchan(struct pg_proc_text *t);
void pg_proc_oom_score(struct pg_proc_text *t);
void pg_proc_oom_score_adj(struct pg_proc_text *t);
void pg_proc_personality(struct pg_proc_text *t);

/* meminfo.c */
void pg_proc_meminfo(struct pg_proc_text *t);
void pg_proc_swaps(struct pg_proc_text *t);
void pg_proc_vmstat(struct pg_proc_text *t);
void pg_proc_pressure(struct pg_proc_text *t); /* of memory */

/* mem.c */
/* Notes that fd stands for the memory of the process: reads and writes of it come to pg_proc_memory(). 0 or -ENOMEM. */
PG_MUST_CHECK int pg_proc_memory_open(struct pg_linux *l, int fd, const struct pg_process *p);

/* locks.c */
void pg_proc_locks(struct pg_proc_text *t);
void pg_proc_fdinfo(struct pg_proc_text *t);

#endif
