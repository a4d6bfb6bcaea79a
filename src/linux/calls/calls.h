/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/calls.h: what the families of system calls do for others than guests.
 *
 * Called by linux/loop.c (the call that a guest makes) and linux/linux.c (the end of the machine), by process/ and exec/ when a thread or process is made or
 * ends, by files/ and proc/ for descriptors that a family here owns, and by families for each other. The functions of the calls themselves are in
 * syscalls.h.
 */
#ifndef PG_LINUX_CALLS_H
#define PG_LINUX_CALLS_H

#include "linux/machine/machine.h"

#include <stdio.h>

/* --- table.c: a system call by its number ----------------------------------------------------- */

/* A system call: a row of table.c. */
struct pg_syscall {
	const char *name;
	int64_t (*run)(struct pg_thread *me, const uint64_t *a); /* NULL: not here */
	const char *args; /* a letter for each argument, see text.c */
};

const struct pg_syscall *pg_syscall_get(unsigned number); /* NULL: Linux has no such call */
/* Runs the system call in the guest's registers and sets rax. */
void pg_syscall_run(struct pg_thread *me);

/* --- mem.c, memfd.c --------------------------------------------------------------------------- */

/* Tells the space what the process may have, now: before each call that may make it larger. */
void pg_mem_limits(struct pg_thread *me);
/* fcntl(F_ADD_SEALS). */
int64_t pg_memfd_seal(struct pg_thread *me, int fd, unsigned seals);

/* --- futex.c ---------------------------------------------------------------------------------- */

/* Wakes at most n waiters on the word at va. How many. */
unsigned pg_futex_wake(struct pg_thread *me, uint64_t va, bool shared, unsigned n, uint32_t bits);

/* --- limit.c: use and limits ------------------------------------------------------------------ */

/* As getrusage(); me: the running thread, or NULL. */
void pg_process_usage(const struct pg_process *p, const struct pg_thread *me, struct rusage *out);
/* Adds what adds up, and takes the larger peak. */
void pg_usage_add(struct rusage *sum, const struct rusage *more);
/*
 * Signals for processes whose CPU time has reached a limit: when to look again, ns from now; UINT64_MAX: nobody is limited.
 */
uint64_t pg_limit_cpu(struct pg_linux *l);

/* --- time.c: timers --------------------------------------------------------------------------- */

/* Deletes the process's timers: those of timer_create, and at its end the interval timers too. */
void pg_timers_delete(struct pg_process *p, bool intervals);
/* A timer of the host went off; value: as its signal says. */
void pg_timer_fired(struct pg_linux *l, unsigned value, int overrun);

/* --- pidfd.c ---------------------------------------------------------------------------------- */

/*
 * A descriptor of the process, or of its thread tid (0: none), close-on-exec, in the running thread's table: flags as of pidfd_open. Or
 * a negative errno.
 */
int pg_pidfd_make(struct pg_process *p, int tid, unsigned flags);
/* Whether fd is one, and the number of its process: -EBADF if not. */
bool pg_pidfd_is(struct pg_thread *me, int fd);
int pg_pidfd_pid(struct pg_thread *me, int fd);
/* What fdinfo says of the file: the number, -1 when the process has been waited for; 0: it is none. */
int pg_pidfd_shown(struct pg_linux *l, uint64_t dev, uint64_t ino);
/* The process, or its thread tid, has ended: whoever polls is told. */
void pg_pidfd_ends(struct pg_process *p, int tid);
/* The process's number is free again. */
void pg_pidfd_reaped(struct pg_process *p);
void pg_pidfds_end(struct pg_linux *l);

/* --- signalfd.c ------------------------------------------------------------------------------- */

/* The process's queue of signals changed: poll of its signalfds is to tell. */
void pg_sigfd_changed(struct pg_process *p);
/* A child that has them too becomes the owner of its signalfds. */
void pg_sigfd_process_ends(struct pg_process *p);
void pg_sigfd_free(struct pg_linux *l);
/* Whether fd is a signalfd; then *result is what reading it gave. */
bool pg_sigfd_read(struct pg_thread *me, int fd, const struct iovec *v, unsigned count,
	uint64_t total, int64_t *result);

/* --- shm.c, sem.c, msg.c ---------------------------------------------------------------------- */

/* The machine is over: segments are forgotten. */
void pg_shm_end(struct pg_linux *l);
/* The same for semaphores and queues of messages: nobody waits for them any more. */
void pg_sem_end(struct pg_linux *l);
void pg_msg_end(struct pg_linux *l);
/* `to` writes to the list of undos of semaphores that `from` writes to (CLONE_SYSVSEM). 0 or -ENOMEM. */
PG_MUST_CHECK int pg_sem_share(struct pg_thread *from, struct pg_thread *to);
/* The thread leaves its list; the last one to leave carries the undos out. */
void pg_sem_leave(struct pg_thread *t);
/* Lines of /proc/sysvipc/{shm,sem,msg}. */
void pg_shm_list(struct pg_linux *l, FILE *out);
void pg_sem_list(struct pg_linux *l, FILE *out);
void pg_msg_list(struct pg_linux *l, FILE *out);

#endif
