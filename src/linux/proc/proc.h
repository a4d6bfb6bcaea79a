/* SPDX-License-Identifier: MIT */
/*
 * linux/proc/proc.h: /proc as the guests see it, for those who open, list, read and write its files.
 *
 * Called by calls/path.c, calls/fd.c and files/io.c. What the files of this folder share is in text.h.
 */
#ifndef PG_LINUX_PROC_H
#define PG_LINUX_PROC_H

#include "linux/machine/machine.h"

#include <fcntl.h>

/* --- proc.c ----------------------------------------------------------------------------------- */

/* Pages in the stores; *total: as SwapTotal. */
uint64_t pg_proc_swap(struct pg_linux *l, uint64_t *total);
#define PG_PROC_HOSTS (-4096) /* the host's file is right */
/*
 * A guest opens a path: the descriptor to give it, a negative errno, or PG_PROC_HOSTS. By the name it gave, and, after the host opened
 * it, by the name under which the host knows what was opened.
 */
int pg_proc_open_name(struct pg_thread *me, const char *path, int flags);
int pg_proc_open(struct pg_thread *me, const char *path, int flags);
/* A write to fd gave `result`: if fd is one of our files that take writes, it is carried out. The write's result. */
int64_t pg_proc_written(struct pg_thread *me, int fd, int64_t result);
/* Whether the host's directory of this name is listed by us, and for whose threads. */
enum pg_proc_list { PG_PROC_NO_LIST, PG_PROC_PROCESSES, PG_PROC_THREADS };
enum pg_proc_list pg_proc_lists(struct pg_thread *me, const char *path, struct pg_process **of);
/* The next entries, as getdents64 (wide) or getdents gives them: bytes. fd's position says where we are. */
int64_t pg_proc_list(struct pg_thread *me, int fd, const struct pg_process *of, char *buf,
	uint64_t cap, bool wide);

/* --- mem.c: /proc/PID/mem --------------------------------------------------------------------- */

/*
 * Whether fd is /proc/PID/mem; then *result is what reading or writing the guest's vectors at `offset` (-1: where the file is) gave.
 */
bool pg_proc_memory(struct pg_thread *me, int fd, const struct iovec *v, unsigned count,
	int64_t offset, bool write, int64_t *result);
void pg_proc_memory_end(struct pg_linux *l);

/* --- locks.c ---------------------------------------------------------------------------------- */

/* The guest's number of who holds the lock that F_GETLK found on fd. */
int pg_locks_holder(struct pg_thread *me, int fd, const struct flock *found);

#endif
