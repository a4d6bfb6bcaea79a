/* SPDX-License-Identifier: MIT */
/*
 * linux/machine/machine.h: what the files of linux/ share and nobody else sees.
 *
 * One struct pg_linux is one machine's Linux: its processes and their threads. A guest thread is a host thread with a CPU of its
 * own. Everything here is guarded by the machine lock, but for what is marked otherwise.
 *
 * The machine lock: guest code and everything in this folder run with it held. Host calls that may block go
 * through pg_host_call(), which gives it up around the call; waits for other guests through pg_thread_sleep(). While a
 * thread holds it, pg_linux.current is that thread.
 *
 * What a process is stands in process/process.h. This file has the machine around them and, of functions, those of this folder, which know
 * nothing of the others but what a process is, and those of the files beside the folders. What each other folder does for the rest is in the header
 * that has its name.
 */
#ifndef PG_LINUX_MACHINE_H
#define PG_LINUX_MACHINE_H

#include "linux/linux.h"
#include "linux/partition.h"
#include "linux/process/process.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

/*
 * What a system call function returns beside results and negative errno values: the kernel's own codes for an
 * interrupted call. pg_signal_after_call() turns them into a restart or -EINTR; a guest never sees them.
 */
#define PG_ERESTARTSYS 512    /* restart unless a handler without SA_RESTART runs */
#define PG_ERESTARTNOINTR 513 /* always restart */
#define PG_ERESTARTNOHAND 514 /* restart if no handler runs */

/* Pagoda's own use of host signals; the guest's numbers never reach the host. */
#define PG_HOST_KICK 64  /* gets a host thread out of a blocking call */
#define PG_HOST_TIMER 63 /* a guest's timer went off */
#define PG_HOST_IO 62    /* a descriptor with an owner is ready */

/* A file of /proc that a guest has open for writing. */
enum pg_proc_writing {
	PG_PROC_READ_ONLY,
	PG_PROC_COMM,
	PG_PROC_OOM_ADJ,
	PG_PROC_CLEAR_REFS,
	PG_PROC_MEMORY
};
struct pg_proc_write {
	uint64_t ino; /* of the memory file that stands for it */
	int pid, tid; /* pid 0: none */
	enum pg_proc_writing what;
};

/* The machine lock: see lock.c. */
struct pg_lock {
	pthread_mutex_t m;
	pthread_cond_t free, taken;
	bool held;
	_Atomic bool wanted; /* somebody has waited for a turn: the holder is to hand it over */
	_Atomic unsigned waiters;
	uint64_t turns;
	/* For pressure-stall figures: threads that wait for memory; while there are any, time in which others ran. */
	unsigned stalls;
	uint64_t ran_ns, since_ns; /* since: of the present turn, or of what was counted of it */
};

struct pg_linux {
	struct pg_vm *vm;                /* borrowed */
	struct pg_reclaim *reclaim;      /* borrowed; NULL: none */
	const struct pg_engine_ops *ops; /* borrowed */
	struct pg_engine *engine;        /* owned */
	struct pg_linux_hooks hooks;
	struct pg_lock lock;
	struct pg_thread *current; /* who holds the lock; NULL: nobody of the guest */

	/* from the configuration, owned copies */
	char *path;
	char **argv, **envp;
	bool aslr, seeded;
	uint64_t max_regions;
	uint64_t random_state[4]; /* of the seeded stream */
	uint64_t stack_limit;
	struct rlimit file_limit; /* the host's, which has it back at the end of the machine */

	/* processes */
	struct pg_process *processes; /* by age; zombies too */
	struct pg_process *init;      /* the first one: its end is the machine's result. Owned */
	unsigned process_count, thread_count; /* thread_count: host threads that have not ended */
	unsigned alive;                       /* processes that are no zombies */
	int next_pid;
	struct pg_terminal *terminals; /* those that control a session; owned */

	/* files */
	struct pg_file *files;       /* those whose objects live */
	struct pg_fds *fds;          /* tables */
	struct pg_fds *first_fds;    /* of the first process, and of Pagoda. Owned */
	uint64_t own_numbers[64];    /* bit n: pager descriptor n is in use in some table */
	pthread_mutex_t keeper_lock; /* one request at a time */
	pthread_t keeper;
	int keeper_ask, keeper_end; /* descriptors; -1: not running */
	struct pg_holder *holder;   /* owned; NULL: not needed so far */
	struct pg_open *
		opens; /* known open files: files/opens.c. Owned, but for what regions still hold */
	unsigned opens_idle;        /* of them without a mapping */
	unsigned kept_files;        /* files whose object is kept */
	struct pg_open_fs *open_fs; /* file systems on which a write-back failed; owned */

	/* the host */
	uint64_t proc_dev;               /* st_dev of /proc; 0: none */
	uint64_t frames_dev, frames_ino; /* the machine's memory: no guest call reaches it */
	uint64_t pagoda_dev, pagoda_ino; /* our own executable */
	int host_pid;
	uint64_t proc_write_dev;
	struct pg_proc_write proc_writes[64]; /* the last ones */
	unsigned proc_write_count;
	uint64_t vdso_bytes; /* what Linux maps for vvar and vdso natively */
	uint64_t start_ns;   /* CLOCK_MONOTONIC at create */
	pthread_t service;   /* that of pg_service_run(), from pg_service_begin() on */
	bool over;           /* the last thread has gone; guarded by the lock */
	uint64_t
		cpu_look; /* when the machine begins: in how many ns somebody's CPU time may be at its limit */
	struct sigaction former[PG_NSIG + 1];
	sigset_t former_mask;

	/* host timers by slot; guarded by the lock */
	struct pg_timer_slot {
		int pid;
		struct pg_timer *timer; /* NULL: free */
		uint16_t turn; /* counts who had it: told apart when their signals come late */
	} * timers;            /* owned */
	unsigned timer_cap;

	/* figures of the machine; those of processes are added when they are gone */
	uint64_t calls, execs, forks, signals, bytes_read, bytes_written, oom_kills;
	bool stopping; /* pg_linux_stop() was called: the next thread that runs kills all */
	struct pg_space_stats space_before;

	struct pg_partitions *partition; /* owned; NULL: a machine of pages */
	bool jobs; /* in pg_linux_run_jobs(): the machine is not over while no process is left */

	uint64_t waits;           /* futex waits begun */
	struct pg_sigfd *sigfds;  /* signalfd; owned */
	struct pg_shm *shm;       /* System V segments; owned; NULL: none yet */
	struct pg_sem *sem;       /* and sets of semaphores */
	struct pg_msg *msg;       /* and queues of messages */
	struct pg_proc_mem *mems; /* open files /proc/PID/mem, the last one first; owned */
	unsigned mem_count;
	struct pg_pidfd *pidfds; /* descriptors of processes; owned */
	struct pg_owner *owners; /* of descriptors, for SIGIO, the last one first; owned */
	unsigned owner_count;
	struct pg_peers *peers; /* Unix sockets of guests; owned; NULL: none yet */

	/* lines that hooks.unknown was told, each once */
	char **told;
	unsigned told_count;

	char error[PATH_MAX + 256];
};

/* --- linux/linux.c ---------------------------------------------------------------------------- */

void pg_linux_fail(struct pg_linux *l, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Tells hooks.unknown a line, once. */
void pg_linux_unknown(struct pg_thread *me, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* What Pagoda was started with, but for the options. */
void pg_linux_first_limits(const struct pg_linux *l, struct rlimit64 *limits);

/* --- linux/loop.c ----------------------------------------------------------------------------- */

/* What a guest thread does from its first instruction to its end. Lock held. */
void pg_linux_go(struct pg_thread *me);

/* --- linux/service.c -------------------------------------------------------------------------- */

/* The host's signals are caught and blocked in all threads made from now on. -EBUSY: another machine runs. */
PG_MUST_CHECK int pg_service_begin(struct pg_linux *l);
/* Brings host signals and timers to the guests until the machine is over. Without the lock. */
void pg_service_run(struct pg_linux *l);
/* The machine is over: pg_service_run() returns. Lock held. */
void pg_service_ring(struct pg_linux *l);
/* A limit of CPU time was set: it looks at them. */
void pg_service_look(struct pg_linux *l);
void pg_service_end(struct pg_linux *l);

/* --- linux/partition.c: processes in contiguous blocks ---------------------------------------- */

struct pg_partitions {
	struct pg_partition_options o;
	struct pg_partition_hooks hooks;
	const char *loading; /* the path of the program that is being loaded; NULL: none is */
	bool spawning;       /* for a scheduler, which is not asked for room */
	bool fork_waits;     /* `forked` is to be told when the child has a number */
	struct pg_partition_event forked;
};

/* o NULL: the machine must be one of pages. -EINVAL: it is not of the kind that o says; -ENOMEM. */
PG_MUST_CHECK int pg_partitions_create(struct pg_linux *l, const struct pg_partition_options *o);
void pg_partitions_destroy(struct pg_linux *l);
/* A guest thread is about to run guest code: for the first time, or behind a system call. */
void pg_partition_turn(struct pg_thread *me);
/* A child was made, and has a number. */
void pg_partition_forked(struct pg_linux *l, struct pg_process *child);

/* --- random.c --------------------------------------------------------------------------------- */

/* Where the stream begins. */
void pg_linux_seed(struct pg_linux *l, uint64_t seed);
/* n bytes of the seeded stream, or of the host's randomness. */
void pg_linux_random(struct pg_linux *l, void *buf, uint64_t n);
uint64_t pg_linux_random_below(struct pg_linux *l, uint64_t bound);

/* --- figures.c -------------------------------------------------------------------------------- */

/* Adds to the sums and largest peaks of *sum. */
void pg_linux_add_space(struct pg_space_stats *sum, const struct pg_space_stats *more);
void pg_linux_add_cpu(struct pg_cpu_stats *sum, const struct pg_cpu_stats *more);

/* --- lock.c: the machine lock ----------------------------------------------------------------- */

void pg_lock_init(struct pg_lock *k);
void pg_lock_destroy(struct pg_lock *k);
/* me NULL: somebody who is no guest thread. */
void pg_lock_take(struct pg_linux *l, struct pg_thread *me);
void pg_lock_give(struct pg_linux *l);
/* Hands the lock to whoever waits, and takes it again in turn. */
void pg_lock_turn(struct pg_thread *me);

/* --- host.c: calls to the host ---------------------------------------------------------------- */

void pg_block_begin(struct pg_thread *me);
void pg_block_end(struct pg_thread *me);
/*
 * A host system call that a signal for the guest interrupts, whenever it comes: the result, a negative errno, or
 * -PG_ERESTARTSYS if a signal came before or during it and nothing was done. Gives up the machine lock meanwhile.
 */
int64_t pg_host_call(struct pg_thread *me, long number, uint64_t a, uint64_t b, uint64_t c,
	uint64_t d, uint64_t e, uint64_t f);
#define PG_HOST(me, nr, a, b, c, d, e, f)                                                          \
	pg_host_call((me), (nr), (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d),       \
		(uint64_t)(e), (uint64_t)(f))
/* A host system call that does not block: the result or a negative errno. */
int64_t pg_host_quick(
	long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
#define PG_QUICK(nr, a, b, c, d, e, f)                                                             \
	pg_host_quick((nr), (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d),            \
		(uint64_t)(e), (uint64_t)(f))
/* Whether pc lies where pg_host_call() looks for signals and has not called yet; then *out is where to go on. */
bool pg_host_call_window(uint64_t pc, uint64_t *out);
/* The number under which the host keeps guest pid `pid`, and back. */
int64_t pg_host_pid(const struct pg_linux *l, int64_t pid);
int64_t pg_guest_pid(const struct pg_linux *l, int64_t pid);
/* A length or point in time, and the same in ns. */
static inline struct timespec pg_timespec(uint64_t ns)
{
	return (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
}
static inline uint64_t pg_timespec_ns(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}
/* Nanoseconds of a host clock. */
uint64_t pg_host_clock_ns(int clock);
uint64_t pg_host_vdso_bytes(void);

/* --- guest.c: the guest's memory -------------------------------------------------------------- */

/* 0 or -EFAULT (also when no frame is left: then l->oom is set too). */
PG_MUST_CHECK int pg_guest_read(struct pg_thread *me, void *dst, uint64_t src, uint64_t n);
PG_MUST_CHECK int pg_guest_write(struct pg_thread *me, uint64_t dst, const void *src, uint64_t n);
/* A string; its length, -EFAULT or -ENAMETOOLONG. */
PG_MUST_CHECK int64_t pg_guest_string(struct pg_thread *me, char *dst, uint64_t cap, uint64_t src);
/* Looks without faulting: how many bytes were there. For texts about system calls. */
uint64_t pg_guest_peek(struct pg_thread *me, void *dst, uint64_t src, uint64_t n);
/* How long something is to take, a timespec of the guest's: ns, at most INT64_MAX. 0, -EFAULT, -EINVAL. */
PG_MUST_CHECK int pg_guest_duration(struct pg_thread *me, uint64_t va, uint64_t *ns);
/* Whether [a, a + n) lies below the guest's top, as access_ok(). */
bool pg_guest_range_ok(const struct pg_thread *me, uint64_t a, uint64_t n);
/* The guest's iovecs: *out is malloc'ed, *total the sum. 0, -EINVAL, -EFAULT, -ENOMEM. */
PG_MUST_CHECK int pg_guest_iovecs(
	struct pg_thread *me, uint64_t va, uint64_t count, struct iovec **out, uint64_t *total);
/* Pins part of the guest's iovecs, from byte `skip` of them, at most `most` bytes. Bytes pinned; 0: bad address. */
uint64_t pg_guest_pin(struct pg_thread *me, const struct iovec *v, unsigned count, uint64_t skip,
	uint64_t most, enum pg_access access, struct iovec *host, unsigned *host_len, unsigned cap);
/* After a host call wrote `done` bytes into what was pinned, or failed; gives the pins back. */
void pg_guest_unpin(
	struct pg_thread *me, enum pg_access access, const struct iovec *host, unsigned host_len);
/*
 * Copies up to n bytes of what the iovecs name, from byte `skip` of them on, to buf (PG_READ) or from it (PG_WRITE): how many. For calls that may wait long, on a machine
 * where a process that waits must not be pinned.
 */
uint64_t pg_guest_copy(struct pg_thread *me, const struct iovec *v, unsigned count, uint64_t skip,
	enum pg_access access, uint8_t *buf, uint64_t n);
/* Most bytes that may be pinned at once on this machine. */
uint64_t pg_guest_pin_bytes(const struct pg_thread *me);

#endif
