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
 * What a process is stands in process/process.h, what its descriptors are in files/files.h; this file has the machine around them.
 */
#ifndef PG_LINUX_MACHINE_H
#define PG_LINUX_MACHINE_H

#include "linux/exec/elf.h"
#include "linux/files/files.h"
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

/* The calling convention of the argument formatter, see calls/table.c. */
struct pg_syscall {
	const char *name;
	int64_t (*run)(struct pg_thread *me, const uint64_t *a); /* NULL: not here */
	const char *args; /* a letter for each argument, see calls/text.c */
};

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

/* --- linux/linux.c ------------------------------------------------------------------------------------ */

void pg_linux_fail(struct pg_linux *l, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Tells hooks.unknown a line, once. */
void pg_linux_unknown(struct pg_thread *me, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* n bytes of the seeded stream, or of the host's randomness. */
void pg_linux_random(struct pg_linux *l, void *buf, uint64_t n);
uint64_t pg_linux_random_below(struct pg_linux *l, uint64_t bound);
/* Adds to the sums and largest peaks of *sum. */
void pg_linux_add_space(struct pg_space_stats *sum, const struct pg_space_stats *more);
void pg_linux_add_cpu(struct pg_cpu_stats *sum, const struct pg_cpu_stats *more);
/* What a guest thread does from its first instruction to its end. Lock held. */
void pg_linux_go(struct pg_thread *me);

/* As execvp(3): the first executable of that name in PATH of envp. 0, or a negative errno and the error is set. */
PG_MUST_CHECK int pg_linux_find_program(
	struct pg_linux *l, const char *path, char *const *envp, char out[PATH_MAX]);
/* What Pagoda was started with, but for the options. */
void pg_linux_first_limits(const struct pg_linux *l, struct rlimit64 *limits);

/* --- linux/partition.c: processes in contiguous blocks ------------------------------------------------- */

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

/* exec/block.c: the block of a static program. */
struct pg_block_program {
	struct pg_thread *me;
	const char *file; /* for messages */
	const char *path; /* for maps */
	int fd;
	const struct pg_elf *elf;
	char *const *argv, *const *envp;
	uint64_t bytes; /* wanted of the block; 0: by the options */
	uint64_t address_top;
};
/* Whether it can be loaded, and into what. A negative errno: the error is set. */
PG_MUST_CHECK int pg_block_program_shape(
	const struct pg_block_program *b, struct pg_block_shape *shape);
/* Places it in s and copies its segments. */
PG_MUST_CHECK int pg_block_program_load(
	const struct pg_block_program *b, const struct pg_block_shape *shape, struct pg_space *s);

/* --- lock.c: the machine lock --------------------------------------------------------------------- */

void pg_lock_init(struct pg_lock *k);
void pg_lock_destroy(struct pg_lock *k);
/* me NULL: somebody who is no guest thread. */
void pg_lock_take(struct pg_linux *l, struct pg_thread *me);
void pg_lock_give(struct pg_linux *l);
/* Hands the lock to whoever waits, and takes it again in turn. */
void pg_lock_turn(struct pg_thread *me);

/* --- process/pause.c ----------------------------------------------------------------------------------- */

/* Returns when me's process is not paused, or is to end. */
void pg_pause_wait(struct pg_thread *me);

/* --- host.c: calls to the host ------------------------------------------------------------------ */

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
/* Nanoseconds of a host clock. */
uint64_t pg_host_clock_ns(int clock);
uint64_t pg_host_vdso_bytes(void);

/* --- guest.c: the guest's memory ------------------------------------------------------------------ */

/*
 * There is no frame for what a call needs. As in Linux the call waits for the victim's end and goes on; it knows nothing of it, unless the
 * victim is its own process. False: then, or if it is no running guest's (a program is being loaded): me->oom says so.
 */
bool pg_guest_wait_for_frames(struct pg_thread *me);
/* 0 or -EFAULT. When no frame is left they wait for somebody's end; -EFAULT only if it is the caller's own. */
PG_MUST_CHECK int pg_guest_read(struct pg_thread *me, void *dst, uint64_t src, uint64_t n);
PG_MUST_CHECK int pg_guest_write(struct pg_thread *me, uint64_t dst, const void *src, uint64_t n);
/*
 * A word (at: a multiple of 4) to be read and changed as one step: between pg_guest_read() and pg_guest_write() others may run, since either may
 * wait for a page. NULL: -EFAULT. The caller does not wait for anything until pg_guest_word_done(), to which it gives the same page.
 */
PG_MUST_CHECK uint32_t *pg_guest_word(struct pg_thread *me, uint64_t at, struct iovec *page);
void pg_guest_word_done(struct pg_thread *me, struct iovec *page);
/* A string; its length, -EFAULT or -ENAMETOOLONG. */
PG_MUST_CHECK int64_t pg_guest_string(struct pg_thread *me, char *dst, uint64_t cap, uint64_t src);
/* Looks without faulting: how many bytes were there. For texts about system calls. */
uint64_t pg_guest_peek(struct pg_thread *me, void *dst, uint64_t src, uint64_t n);
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

/* --- exec/exec.c, exec/block.c, exec/stack.c -------------------------------------------------------------- */

struct pg_exec_args {
	const char *filename; /* as given to execve: AT_EXECFN, comm */
	char **argv, **envp;  /* borrowed */
	/* On a partition machine: of its block; 0: by the options. */
	uint64_t block_bytes;
	uint64_t *size; /* not NULL: nothing is loaded, this becomes the bytes of its block */
};
/*
 * Replaces the program. On failure a negative errno, pg_linux_error() set and the old program as it was. After the point
 * of no return a failure ends the guest with SIGKILL and 0 is returned.
 */
PG_MUST_CHECK int pg_exec(struct pg_thread *me, const struct pg_exec_args *x);
/* Lays out argv, envp and auxv on the new space's stack; sets the layout's fields of it, in->auxv and *sp. */
struct pg_stack_in {
	uint8_t *auxv; /* 512 bytes: what is written there goes here too */
	uint32_t *auxv_bytes;
	struct pg_space *space;
	uint64_t top; /* end of the stack region: STACK_TOP less randomisation */
	uint64_t phdr, phnum, base, entry;
	const char *execfn;
	char **argv, **envp;
	uint64_t stack_limit;
	bool exec_stack;
	bool mapped; /* the stack is there already */
};
PG_MUST_CHECK int pg_stack_build(struct pg_thread *me, const struct pg_stack_in *in,
	struct pg_linux_layout *layout, uint64_t *sp, const char **why);
/* Frees a NULL-ended list of strings. */
void pg_strings_free(char **v);
char **pg_strings_copy(const char *const *v);

/* --- files/path.c ----------------------------------------------------------------------------------------- */

/*
 * Reads a path from the guest and turns the guest's /proc names into the host's: /proc/1000 into /proc/self,
 * .../exe into the program. 0 or a negative errno.
 */
PG_MUST_CHECK int pg_path_get(struct pg_thread *me, uint64_t va, char out[PATH_MAX]);
/* The same for a string at hand. */
PG_MUST_CHECK int pg_path_map(struct pg_thread *me, const char *in, char out[PATH_MAX]);
/* A name below /proc that speaks of a guest. */
struct pg_proc_name {
	struct pg_process *proc;  /* NULL: of nobody */
	struct pg_thread *thread; /* where one is named; else NULL */
	bool task_list;           /* the directory /proc/N/task itself */
	const char *rest;         /* behind the directory, in the path; "": the directory */
};
/* Whether `in` names /proc/N, /proc/self or anything in it. */
bool pg_path_proc(struct pg_thread *me, const char *in, struct pg_proc_name *out);
/* The program that an exe link names: "" for a zombie, NULL if the path is no such link. It is not followed. */
const char *pg_path_exe_link(struct pg_thread *me, const char *path);

/* --- proc/proc.c ----------------------------------------------------------------------------------------- */

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

/* --- calls/table.c, calls/text.c ----------------------------------------------------------------------------------- */

const struct pg_syscall *pg_syscall_get(unsigned number); /* NULL: Linux has no such call */
/* Runs the system call in the guest's registers and sets rax. */
void pg_syscall_run(struct pg_thread *me);
void pg_syscall_text(struct pg_thread *me, const struct pg_syscall *s, const char *name,
	const uint64_t *a, bool returned, int64_t result, char *out, size_t cap);

/* --- files/terminal.c: controlling terminals ------------------------------------------------------------------ */

/* Pagoda's own terminal, if it has one, is the first process's. */
void pg_terminal_init(struct pg_process *p);
void pg_terminals_free(struct pg_linux *l);
/* The group in the foreground of Pagoda's own terminal; 0: not known. */
int pg_terminal_host_foreground(const struct pg_linux *l);
/* As fields tty_nr and tpgid of /proc/PID/stat. */
void pg_terminal_stat(const struct pg_process *p, uint32_t *dev, int *foreground);
/* Before a read or write: 0 to go on, or the call's result: the caller's group is in the background. */
int64_t pg_terminal_before_read(struct pg_thread *me, int fd);
int64_t pg_terminal_before_write(struct pg_thread *me, int fd);
/* `done` bytes of v were written to fd: if it is a pty's master, keys among them send their signals. */
void pg_terminal_written(
	struct pg_thread *me, int fd, const struct iovec *v, unsigned count, uint64_t done);
/* /dev/tty becomes the name of the caller's terminal. 0 or -ENXIO. */
int pg_terminal_path(struct pg_thread *me, char path[PATH_MAX]);
/* What was opened may become the session's terminal. */
void pg_terminal_opened(struct pg_thread *me, int fd, int flags);
/* Descriptors were closed: the sessions of those whose master is gone are hung up. */
void pg_terminal_closed(struct pg_linux *l);
/* Its descriptors are closed: a leader's session loses the terminal. */
void pg_terminal_process_ends(struct pg_process *p);
/* Whether the request was seen to here; then *result is the call's. */
bool pg_terminal_ioctl(
	struct pg_thread *me, int fd, unsigned request, uint64_t arg, int64_t *result);

/* --- calls/shm.c, calls/sem.c, calls/msg.c, calls/memfd.c ------------------------------------------------------------------------------ */

/* The machine is over: segments are forgotten. */
void pg_shm_end(struct pg_linux *l);
/* The same for semaphores and queues of messages: nobody waits for them any more. */
void pg_sem_end(struct pg_linux *l);
void pg_msg_end(struct pg_linux *l);
/* `to` writes to the list of undos of semaphores that `from` writes to (CLONE_SYSVSEM). 0 or -ENOMEM. */
PG_MUST_CHECK int pg_sem_share(struct pg_thread *from, struct pg_thread *to);
/* The thread leaves its list; the last one to leave carries the undos out. */
void pg_sem_leave(struct pg_thread *t);
/* fcntl(F_ADD_SEALS). */
int64_t pg_memfd_seal(struct pg_thread *me, int fd, unsigned seals);

/* --- calls/mem.c ------------------------------------------------------------------------------------------- */

/* Tells the space what the process may have, now: before each call that may make it larger. */
void pg_mem_limits(struct pg_thread *me);

#endif
