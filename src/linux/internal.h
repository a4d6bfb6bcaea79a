/* SPDX-License-Identifier: MIT */
/*
 * linux/internal.h: what the files of linux/ share and nobody else sees.
 *
 * One struct pg_linux is one machine's Linux: its processes and their threads. A guest thread is a host thread with a CPU of its
 * own. Everything here is guarded by the machine lock, but for what is marked otherwise.
 *
 * The machine lock: guest code and everything in this folder run with it held. Host calls that may block go
 * through pg_host_call(), which gives it up around the call; waits for other guests through pg_thread_sleep(). While a
 * thread holds it, pg_linux.current is that thread.
 *
 * Descriptors: the threads of one guest process share one host table of descriptors, and the number in the guest is that on the
 * host. A forked process gets a copy of the table from the host (unshare), so closing, sharing of offsets, locks and passing
 * are the host's own. The first process's table is that of Pagoda itself.
 */
#ifndef PG_LINUX_INTERNAL_H
#define PG_LINUX_INTERNAL_H

#include "linux/linux.h"

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

#define PG_NSIG 64
#define SA_RESTORER_FLAG 0x04000000u /* the C library hides it */
/* Pagoda's own use of host signals; the guest's numbers never reach the host. */
#define PG_HOST_KICK 64  /* gets a host thread out of a blocking call */
#define PG_HOST_TIMER 63 /* a guest's timer went off */

/* Linux's siginfo_t, 128 bytes, kept as the guest's bytes. */
union pg_siginfo {
	siginfo_t host;
	uint8_t bytes[128];
};

struct pg_sigaction {
	uint64_t handler; /* 0 default, 1 ignore, or an address */
	uint64_t flags;   /* SA_* as the guest gave them */
	uint64_t restorer;
	uint64_t mask;
};

/* A signal that waits for the guest. */
struct pg_queued {
	struct pg_queued *next;
	int tid; /* for this thread only; 0: for the process */
	union pg_siginfo info;
};

/* What of signals belongs to one thread. */
struct pg_signals_own {
	uint64_t blocked;    /* bit n-1: signal n */
	uint64_t saved_mask; /* to be put back after the handler (sigsuspend, pselect, ppoll) */
	bool restore_mask;   /* saved_mask is meaningful */
	uint32_t alt_flags;  /* SS_DISABLE, SS_AUTODISARM */
	uint64_t alt_sp, alt_size;
	/* of the last fault, as Linux leaves them in the thread and shows them in every frame */
	uint64_t trapno, error_code, cr2;
	/* the interrupted call that may have to be restarted; 0: none */
	int restart;
	uint64_t restart_rax;
};

/* What of signals belongs to the process. */
struct pg_signals {
	struct pg_sigaction act[PG_NSIG + 1];
	uint64_t pending;                     /* signals with at least one element of the queue */
	struct pg_queued *queue, **queue_end; /* owned, oldest first */
	unsigned queued;
	uint64_t delivered;
};

/* What a sleeping thread waits for, so that others know whom to wake. */
enum pg_wait_kind {
	PG_WAIT_NONE,
	PG_WAIT_FUTEX,  /* key, bits */
	PG_WAIT_CHILD,  /* a change of state of a child */
	PG_WAIT_SIGNAL, /* also blocked signals of `signals` */
};
struct pg_wait {
	enum pg_wait_kind kind;
	const void *key; /* a futex is one word of one page of something: see futex.c */
	uint64_t offset;
	uint32_t bits;  /* of FUTEX_WAIT_BITSET */
	uint64_t since; /* order of waiting */
	uint64_t signals;
};

/*
 * The descriptors of a process on the host: one host table. Besides the guest's it holds those of pagers: file N has the
 * same number in every table that has it.
 */
struct pg_fds {
	struct pg_fds *next; /* all of the machine */
	unsigned users;      /* threads */
	bool posix_locks;    /* the guest took fcntl locks: pager fds must not be closed */
	uint64_t *has;       /* owned: bit n: pager descriptor number n is open here */
	unsigned words;
};

/* A space and how many processes are in it (vfork, clone(CLONE_VM)). */
struct pg_mm {
	struct pg_space *space; /* owned */
	unsigned users;
	struct pg_linux_layout layout;
	char exe[PATH_MAX]; /* absolute path, as /proc/self/exe */
	uint8_t auxv[512];  /* as /proc/self/auxv */
	uint32_t auxv_bytes;
	uint64_t exe_dev, exe_ino; /* of the file at exe when it was loaded */
	bool dumpable;
};

/* A guest thread, which is a host thread. */
struct pg_thread {
	struct pg_thread *next;   /* of the process */
	struct pg_linux *machine; /* borrowed */
	struct pg_process *proc;  /* borrowed */
	struct pg_mm *mm;         /* the process's; NULL once left */
	struct pg_fds *fds;       /* counted */
	int tid;
	char comm[16];
	struct pg_cpu *cpu;       /* owned */
	struct pg_cpu_regs *regs; /* the cpu's */
	struct pg_signals_own sig;
	uint64_t clear_tid, robust_list, robust_len;
	struct pg_wait wait;

	/* the host's side */
	pthread_t host;
	_Atomic int host_tid;   /* 0: not running yet, or over */
	bool new_files, new_fs; /* to be copied when it begins */
	volatile sig_atomic_t
		poke; /* something came: stop what may block. Written by others with the lock held */
	bool in_host;          /* inside a host call that may block, without the lock */
	_Atomic uint32_t wake; /* futex of pg_thread_sleep() */
	bool asleep;           /* in pg_thread_sleep() */
	bool woken;            /* what it slept for has come */
	bool must_end;         /* by exec or exit of another thread */

	/* the system call at work */
	uint64_t pc; /* address of the syscall instruction */
	unsigned number;
	bool no_result;   /* rax is not to be set: sigreturn, execve */
	unsigned stalled; /* it waits for memory: PSI's in_memstall */
	bool oom;         /* no frame while memory was touched: somebody is to be killed */
	bool exiting;     /* this thread ends */
};

/* One interval timer or timer_create() timer of a guest, on a host timer. */
struct pg_timer {
	struct pg_timer *next; /* of the process */
	int id;                /* the guest's; -1 - which for setitimer */
	int host;              /* the host's */
	int slot;              /* in pg_linux.timers: what the host hands back */
	int signo, tid;        /* tid 0: the process */
	bool silent;           /* SIGEV_NONE */
	uint64_t value;
	int overrun;
};

enum pg_process_state { PG_RUNNING, PG_ZOMBIE };

/* A guest process. */
struct pg_process {
	struct pg_process *next;   /* all of the machine, by age */
	struct pg_linux *machine;  /* borrowed */
	struct pg_process *parent; /* NULL: the outside world's, as the first one */
	int pid, pgid, sid;
	struct pg_terminal *terminal; /* that controls it; borrowed. NULL: none */
	int hung_group; /* a leader whose terminal was hung up: the group that was in front */
	bool execed;    /* since fork: setpgid by the parent is refused */
	enum pg_process_state state;
	struct pg_thread *thread; /* list, the first one first */
	unsigned threads;
	struct pg_mm *mm; /* counted; NULL: zombie */
	char comm[16];    /* of the last thread, when it has ended */
	struct pg_signals sig;
	uint64_t personality;
	struct rlimit64 limits[RLIM_NLIMITS];
	int oom_score_adj;
	bool subreaper;
	int death_signal; /* PR_SET_PDEATHSIG */

	bool stopped; /* by a stop signal */
	int stop_signal;
	bool tell_stop, tell_cont; /* not yet waited for */
	bool exiting;              /* all threads are to end; how is in `end` */
	int exit_signal;           /* to the parent; 0: none */
	struct pg_thread *vfork;   /* who sleeps until we exec or exit */

	struct pg_timer *timers; /* owned */
	int next_timer;
	uint64_t start_ticks; /* since boot, as in /proc/self/stat */
	uint64_t start_ns;

	/* how it ended, and what it cost */
	struct pg_linux_end end;
	bool leave_told;
	uint64_t cpu_ns;                    /* host CPU time of threads that have ended */
	struct rusage children;             /* of those waited for */
	struct pg_cpu_stats cpu_before;     /* of threads that have ended */
	struct pg_space_stats space_before; /* of programs that exec replaced */
	uint64_t execs, calls;
};

/* A host file behind an object: the context of its pager. */
struct pg_file {
	struct pg_file *next; /* in pg_linux.files */
	struct pg_linux *machine;
	struct pg_object_key key;
	int fd;          /* the number under which the tables that have it hold it */
	bool writable;   /* fd may be written */
	uint8_t *window; /* a mapping of the file, if writes through fd are sealed; owned */
	uint64_t window_bytes;
};

/* The calling convention of the argument formatter, see table.c. */
struct pg_syscall {
	const char *name;
	int64_t (*run)(struct pg_thread *me, const uint64_t *a); /* NULL: not here */
	const char *args; /* a letter for each argument, see text.c */
};

/* A file of /proc that a guest has open for writing. */
enum pg_proc_writing { PG_PROC_READ_ONLY, PG_PROC_COMM, PG_PROC_OOM_ADJ, PG_PROC_CLEAR_REFS };
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
	volatile bool wanted; /* somebody has waited for a turn: the holder is to hand it over */
	unsigned waiters;
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
	int doorbell;        /* an eventfd: the machine is over */
	struct sigaction former[PG_NSIG + 1];
	sigset_t former_mask;

	/* host timers by slot; guarded by the lock */
	struct pg_timer_slot {
		int pid;
		struct pg_timer *timer; /* NULL: free */
	} * timers;                     /* owned */
	unsigned timer_cap;

	/* figures of the machine; those of processes are added when they are gone */
	uint64_t calls, execs, forks, signals, bytes_read, bytes_written, oom_kills;
	struct pg_space_stats space_before;

	uint64_t waits;          /* futex waits begun */
	struct pg_sigfd *sigfds; /* signalfd; owned */
	struct pg_shm *shm;      /* System V segments; owned; NULL: none yet */

	/* lines that hooks.unknown was told, each once */
	char **told;
	unsigned told_count;

	char error[PATH_MAX + 256];
};

/* --- linux.c ------------------------------------------------------------------------------------ */

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

/* --- lock.c: the machine lock --------------------------------------------------------------------- */

void pg_lock_init(struct pg_lock *k);
void pg_lock_destroy(struct pg_lock *k);
/* me NULL: somebody who is no guest thread. */
void pg_lock_take(struct pg_linux *l, struct pg_thread *me);
void pg_lock_give(struct pg_linux *l);
/* Hands the lock to whoever waits, and takes it again in turn. */
void pg_lock_turn(struct pg_thread *me);

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

/* 0 or -EFAULT (also when no frame is left: then l->oom is set too). */
PG_MUST_CHECK int pg_guest_read(struct pg_thread *me, void *dst, uint64_t src, uint64_t n);
PG_MUST_CHECK int pg_guest_write(struct pg_thread *me, uint64_t dst, const void *src, uint64_t n);
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
/* Most bytes that may be pinned at once on this machine. */
uint64_t pg_guest_pin_bytes(const struct pg_thread *me);

/* --- exec.c, script.c, stack.c -------------------------------------------------------------------- */

struct pg_exec_args {
	const char *filename; /* as given to execve: AT_EXECFN, comm */
	char **argv, **envp;  /* borrowed */
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
};
PG_MUST_CHECK int pg_stack_build(struct pg_thread *me, const struct pg_stack_in *in,
	struct pg_linux_layout *layout, uint64_t *sp, const char **why);
/* Frees a NULL-ended list of strings. */
void pg_strings_free(char **v);
char **pg_strings_copy(const char *const *v);

/* --- files.c: files as objects, descriptors -------------------------------------------------------- */

/*
 * The object of an open host file; a reference for the caller. writable: the descriptor may be written and shared
 * mappings of it will be. name: what maps show. -ENODEV for what cannot be mapped.
 */
PG_MUST_CHECK int pg_files_object(struct pg_thread *me, int fd, const struct stat *st,
	bool writable, const char *name, struct pg_object **out);
/* The object of the file, if it is mapped: borrowed, or NULL. */
struct pg_object *pg_files_find(struct pg_thread *me, const struct stat *st);
/*
 * The file is about to be sealed against writes, but for mappings that exist: its pager keeps one, to write back through. 0 or -errno.
 */
PG_MUST_CHECK int pg_files_keep_writable(struct pg_thread *me, const struct stat *st);
/* A table of descriptors; from: a copy of that one's record. NULL: no memory. */
struct pg_fds *pg_fds_make(struct pg_linux *l, const struct pg_fds *from);
/* One user less; the last one forgets it. The host's table goes with its last thread. */
void pg_fds_put(struct pg_linux *l, struct pg_fds *f);
/* The keeper of pager descriptors: gives a table what another one opened. */
PG_MUST_CHECK int pg_keeper_begin(struct pg_linux *l);
void pg_keeper_end(struct pg_linux *l);
/* Whether the guest may use this descriptor number. */
bool pg_fd_ok(int fd);
/* A descriptor that the host made, or its error: Pagoda's numbers are not for the guest, -EMFILE. */
int64_t pg_fd_given(int64_t fd);
/* Path of an open descriptor as the host knows it; false if it has none. */
bool pg_fd_path(int fd, char *out, size_t cap);

/* --- path.c ----------------------------------------------------------------------------------------- */

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

/* --- proc.c ----------------------------------------------------------------------------------------- */

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

/* --- signal.c, sigframe.c, service.c ------------------------------------------------------------------ */

void pg_signal_init(struct pg_signals *s);
void pg_signal_free(struct pg_signals *s);
/* exec: handlers go back to their defaults, the alternate stack is forgotten. */
void pg_signal_exec(struct pg_thread *me);
/* Queues a signal as sent, for one thread or (tid 0) for the process, and wakes who will take it. 0 or -EAGAIN. */
int pg_signal_send(struct pg_process *p, const union pg_siginfo *info, int tid);
/* The same with the sender's number: kill, tkill, the terminal. */
int pg_signal_post(struct pg_process *p, int signo, int code, int from, int tid);
/* The signals of the queue that thread t would take. */
uint64_t pg_signal_pending(const struct pg_thread *t);
/* A fault of the guest's own: delivered at once; kills if blocked or ignored. */
void pg_signal_force(struct pg_thread *me, int signo, int code, uint64_t addr);
/*
 * Whether the thread has to leave what it waits for: an unblocked signal that is not ignored, a stop, or its end. Takes note of
 * all pokes so far: look before each sleep.
 */
bool pg_signal_waiting(struct pg_thread *me);
/* Delivers all that waits: frames built, or the guest ended. Also settles an interrupted system call. */
void pg_signal_deliver(struct pg_thread *me);
/* Takes the first pending signal of a set: its number, or 0. */
int pg_signal_take(struct pg_thread *me, uint64_t set, union pg_siginfo *info);
void pg_signal_set_mask(struct pg_thread *me, uint64_t mask);
/* Whether nobody could continue the process's group: then the terminal does not stop it. */
bool pg_signal_orphaned_group(const struct pg_process *p);
bool pg_signal_ignored(const struct pg_process *p, int signo);
bool pg_signal_default_ignores(int signo);
/* Takes the signals of a set off the queue, unseen. */
void pg_signal_drop(struct pg_process *p, uint64_t set);

/* Builds the handler's frame and enters it. false: it does not fit. */
bool pg_sigframe_push(struct pg_thread *me, int signo, const struct pg_sigaction *act,
	const union pg_siginfo *info, uint64_t mask_to_save);
/* rt_sigreturn. false: the frame is bad. */
bool pg_sigframe_pop(struct pg_thread *me);
uint64_t pg_sigframe_min_stack(void);
bool pg_signal_on_alt(const struct pg_thread *me, uint64_t sp);

/* The host's signals are caught and blocked in all threads made from now on. -EBUSY: another machine runs. */
PG_MUST_CHECK int pg_service_begin(struct pg_linux *l);
/* Brings host signals and timers to the guests until the machine is over. Without the lock. */
void pg_service_run(struct pg_linux *l);
void pg_service_end(struct pg_linux *l);

/* --- thread.c ------------------------------------------------------------------------------------------- */

/* A thread of a process with a CPU on its space; not running. NULL: no memory. */
struct pg_thread *pg_thread_make(
	struct pg_process *p, struct pg_mm *mm, struct pg_fds *fds, int *err);
/* Undoes it: it never ran. */
void pg_thread_unmake(struct pg_thread *t);
/* Gives it a host thread; returns when that has its own descriptors. -EAGAIN: then unmake it. */
PG_MUST_CHECK int pg_thread_start(struct pg_thread *t);
/* The thread with this id in the machine, or NULL. */
struct pg_thread *pg_thread_find(struct pg_linux *l, int tid);
struct pg_thread *pg_thread_of(struct pg_process *p, int tid);
/* The guest thread of host thread tid, or NULL. */
struct pg_thread *pg_thread_of_host(struct pg_linux *l, int tid);
/* The running thread is over: the last words of its registers, then gone. Called by its host thread at the end. */
void pg_thread_end(struct pg_thread *me);
/* Words that others watch: the robust futexes it holds, and clear_tid. At its end and at exec. */
void pg_thread_farewell(struct pg_thread *me);
/* A table of descriptors of its own, if it shares one with another process. 0, -ENOMEM, or why the host refused. */
int pg_fds_own(struct pg_thread *me);
/* All other threads of the process are told to end and have ended. */
void pg_thread_alone(struct pg_thread *me);
/*
 * Sleeps, without the lock, until somebody woke it, a signal came or the time (CLOCK_MONOTONIC, ns; UINT64_MAX: for ever). The
 * caller has looked at pg_signal_waiting() with the lock held and looks again at everything afterwards.
 */
void pg_thread_sleep(struct pg_thread *me, uint64_t until);
/* It has something to look at: out of sleep, host call or guest code. */
void pg_thread_poke(struct pg_thread *t);
/* The same for what it sleeps for: woken is set. */
void pg_thread_wake(struct pg_thread *t);

/* --- process.c -------------------------------------------------------------------------------------------- */

PG_MUST_CHECK int pg_process_init(struct pg_linux *l, struct pg_thread **first);
/* Its parent's number: the outside world's for the first one, 1 for orphans. */
int pg_process_ppid(const struct pg_process *p);
struct pg_process *pg_process_find(struct pg_linux *l, int pid);
/* clone() of all kinds: the new thread's or process's id, or a negative errno. */
struct pg_clone {
	uint64_t flags, stack, parent_tid, child_tid, tls, pidfd;
	int exit_signal;
};
int64_t pg_process_clone(struct pg_thread *me, const struct pg_clone *c);
/* The process is to end; the first call counts. Its threads see it soon. */
void pg_process_exit(struct pg_thread *me, int code);
void pg_process_killed(struct pg_process *p, struct pg_thread *by, int signo);
/* Stops and continues as a whole. */
void pg_process_stop(struct pg_process *p, int signo);
void pg_process_continue(struct pg_process *p);
/* The last thread is gone: descriptors, memory, children and parent are seen to. */
void pg_process_end(struct pg_process *p, struct pg_thread *last);
/* exec: vfork's parent goes on, figures of the old program are kept. */
void pg_process_new_mm(struct pg_thread *me, struct pg_mm *mm);
void pg_process_free(struct pg_process *p);
struct pg_mm *pg_mm_make(struct pg_space *s);
void pg_mm_put(struct pg_mm *mm);
/* Calls f for each process of the group until it returns false. */
void pg_process_each_of_group(
	struct pg_linux *l, int pgid, bool (*f)(void *ctx, struct pg_process *p), void *ctx);
/* CPU time so far of its threads on the host, ns. */
uint64_t pg_process_cpu_ns(const struct pg_process *p);
/* As getrusage(); me: the running thread, or NULL. */
void pg_process_usage(const struct pg_process *p, const struct pg_thread *me, struct rusage *out);
/* Sums for one process, with what ended threads and programs left. */
void pg_process_stats(
	const struct pg_process *p, struct pg_cpu_stats *cpu, struct pg_space_stats *space);
/* How good a victim for want of memory: pages, moved by oom_score_adj; INT64_MIN: none. */
int64_t pg_process_badness(const struct pg_process *p);
/* Somebody has to be killed for memory; me waits until it is over, or is the one. */
void pg_process_oom(struct pg_thread *me);

/* --- futex.c ---------------------------------------------------------------------------------------------- */

/* Wakes at most n waiters on the word at va. How many. */
unsigned pg_futex_wake(struct pg_thread *me, uint64_t va, bool shared, unsigned n, uint32_t bits);

/* --- table.c, text.c ----------------------------------------------------------------------------------- */

const struct pg_syscall *pg_syscall_get(unsigned number); /* NULL: Linux has no such call */
/* Runs the system call in the guest's registers and sets rax. */
void pg_syscall_run(struct pg_thread *me);
void pg_syscall_text(struct pg_thread *me, const struct pg_syscall *s, const char *name,
	const uint64_t *a, bool returned, int64_t result, char *out, size_t cap);

/* --- io.c ------------------------------------------------------------------------------------------------ */

/* Reads or writes guest memory from or to a descriptor; offset -1: the descriptor's own. As preadv2/pwritev2. */
int64_t pg_io_read(struct pg_thread *me, int fd, const struct iovec *v, unsigned count,
	uint64_t total, int64_t offset, int flags);
int64_t pg_io_write(struct pg_thread *me, int fd, const struct iovec *v, unsigned count,
	uint64_t total, int64_t offset, int flags);
/* r, and the signal that goes with it if it is -EPIPE or -EFBIG: the host ignores SIGPIPE and SIGXFSZ for us. */
int64_t pg_io_signal(struct pg_thread *me, int64_t r);
/* Coherence around host calls on a descriptor (sendfile, copy_file_range): the bytes [start, end) of its file. */
void pg_io_before_read(struct pg_thread *me, int fd, uint64_t start, uint64_t end);
void pg_io_after_write(struct pg_thread *me, int fd, uint64_t start, uint64_t end);
void pg_io_truncated(struct pg_thread *me, int fd);
void pg_io_punched(struct pg_thread *me, int fd, uint64_t start, uint64_t end);

/* --- terminal.c: controlling terminals ------------------------------------------------------------------ */

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

/* --- sys_signalfd.c ------------------------------------------------------------------------------------- */

/* The process's queue of signals changed: poll of its signalfds is to tell. */
void pg_sigfd_changed(struct pg_process *p);
/* A child that has them too becomes the owner of its signalfds. */
void pg_sigfd_process_ends(struct pg_process *p);
void pg_sigfd_free(struct pg_linux *l);
/* Whether fd is a signalfd; then *result is what reading it gave. */
bool pg_sigfd_read(struct pg_thread *me, int fd, const struct iovec *v, unsigned count,
	uint64_t total, int64_t *result);

/* --- sys_time.c ---------------------------------------------------------------------------------------- */

/* Deletes the process's timers: those of timer_create, and at its end the interval timers too. */
void pg_timers_delete(struct pg_process *p, bool intervals);
/* The host's timer in `slot` went off. */
void pg_timer_fired(struct pg_linux *l, unsigned slot, int overrun);

/* --- sys_shm.c, sys_memfd.c ------------------------------------------------------------------------------ */

/* The machine is over: segments are forgotten. */
void pg_shm_end(struct pg_linux *l);
/* fcntl(F_ADD_SEALS). */
int64_t pg_memfd_seal(struct pg_thread *me, int fd, unsigned seals);

/* --- sys_mem.c ------------------------------------------------------------------------------------------- */

/* Tells the space what the process may have, now: before each call that may make it larger. */
void pg_mem_limits(struct pg_thread *me);

/* Bytes of the space that count against RLIMIT_AS. */
uint64_t pg_mem_vsz(struct pg_thread *me);

#endif
