/* SPDX-License-Identifier: MIT */
/*
 * linux/process/process.h: what a guest process is: its threads, its memory, its signals and timers; and what may be done with them.
 *
 * Included by linux/machine/machine.h. The functions are those of this folder. All of it is guarded by the machine lock, but for what is marked
 * otherwise.
 */
#ifndef PG_LINUX_PROCESS_H
#define PG_LINUX_PROCESS_H

#include "linux/linux.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/uio.h>

struct pg_fds;
struct pg_terminal;
struct pg_sem_undos;

#define PG_NSIG 64
#define SA_RESTORER_FLAG 0x04000000u /* the C library hides it */

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

/* Users, groups and capabilities of a thread: a copy of its host thread's. Written by that thread, with the lock held. */
enum pg_cred_id { PG_REAL, PG_EFFECTIVE, PG_SAVED, PG_FILES };
struct pg_cred {
	uint32_t uid[4], gid[4];    /* by enum pg_cred_id */
	uint64_t permitted, usable; /* bit n: capability n; usable: the effective set */
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
	const void *key; /* a futex is one word of one page of something: see calls/futex.c */
	uint64_t offset;
	uint32_t bits;  /* of FUTEX_WAIT_BITSET */
	uint64_t since; /* order of waiting */
	uint64_t signals;
};

/* A space and how many processes are in it (vfork, clone(CLONE_VM)). */
struct pg_mm {
	struct pg_space *space; /* owned */
	unsigned users;         /* processes */
	unsigned looks;         /* of others who are in the middle of reading or writing it */
	struct pg_linux_layout layout;
	char exe[PATH_MAX]; /* absolute path, as /proc/self/exe */
	uint8_t auxv[512];  /* as /proc/self/auxv */
	uint32_t auxv_bytes;
	uint64_t exe_dev, exe_ino; /* of the file at exe when it was loaded */
	int dumpable; /* as prctl(PR_GET_DUMPABLE) says: 1, or 0 or 2: only the privileged look at it */
	uint64_t in_since; /* CLOCK_MONOTONIC: its block came to where it is, from a store or new */
	/* It waits while memory is short (pause.c): until then, CLOCK_MONOTONIC; 0: no. Pages that it had. How often so far. */
	uint64_t paused_until, paused_pages;
	unsigned pauses;
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
	struct pg_cred cred;
	uint64_t clear_tid, robust_list, robust_len;
	struct pg_sem_undos *undos; /* of semaphores; counted; NULL: none yet */
	struct pg_wait wait;

	/* the host's side */
	pthread_t host;
	_Atomic int host_tid;   /* 0: not running yet, or over */
	bool new_files, new_fs; /* to be copied when it begins */
	int not_ours; /* a descriptor of the maker's that the copy has not, plus one; 0: none */
	volatile sig_atomic_t
		poke; /* something came: stop what may block. Written by others with the lock held */
	uint64_t lock_ino;        /* of the file of which it waits for a lock; 0: none */
	bool in_host;             /* inside a host call that may block, without the lock */
	_Atomic uint32_t wake;    /* futex of pg_thread_sleep() */
	bool asleep;              /* in pg_thread_sleep() */
	bool woken;               /* what it slept for has come */
	bool must_end;            /* by exec or exit of another thread */
	struct pg_space *loading; /* of the program that execve makes ready; NULL: none. Borrowed */
	bool in_need;             /* asleep until its block comes in, or by a scheduler's wish */
	bool new_std;             /* std[] are to be its descriptors 0, 1, 2; -1: as they are */
	int std[3];

	/* the system call at work */
	uint64_t pc; /* address of the syscall instruction */
	unsigned number;
	bool no_result;   /* rax is not to be set: sigreturn, execve */
	unsigned stalled; /* it waits for memory: PSI's in_memstall */
	bool oom;         /* no frame while memory was touched: somebody is to be killed */
	unsigned
		spared; /* times within a second in which nobody was killed for this thread, since there were frames again */
	uint64_t spared_ns; /* when it was last */
	bool exiting;       /* this thread ends */
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
	struct pg_mm *mm;         /* counted; NULL: zombie */
	char comm[16];            /* of the first thread, when it has ended */
	struct pg_cred last_cred; /* of the last thread, when it has ended */
	struct pg_signals sig;
	uint64_t personality;
	struct rlimit64 limits[RLIM_NLIMITS];
	int oom_score_adj;
	unsigned pauses;                  /* for want of memory, see pause.c */
	uint64_t paused_ns, paused_since; /* since: 0: it is not paused */
	bool subreaper;
	int death_signal; /* PR_SET_PDEATHSIG */
	bool no_huge;     /* PR_SET_THP_DISABLE; nothing follows from it, there are no huge pages */

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
	uint64_t cpu_ns; /* host CPU time of threads that have ended */
	struct rusage
		ended_use; /* of these, what the host counts of system time, blocks and switches */
	struct rusage children;             /* of those waited for */
	struct pg_cpu_stats cpu_before;     /* of threads that have ended */
	struct pg_space_stats space_before; /* of programs that exec replaced */
	uint64_t execs, calls;
};

/* --- signal.c, sigframe.c --------------------------------------------------------------------- */

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
/* The same until a handler has run: then the old one is back. Where none is to run, the caller puts it back. */
void pg_signal_swap_mask(struct pg_thread *me, uint64_t mask);
/* Whether nobody could continue the process's group: then the terminal does not stop it. */
bool pg_signal_orphaned_group(const struct pg_process *p);
bool pg_signal_ignored(const struct pg_process *p, int signo);
/* Takes the signals of a set off the queue, unseen. */
void pg_signal_drop(struct pg_process *p, uint64_t set);

/* Builds the handler's frame and enters it. false: it does not fit. */
bool pg_sigframe_push(struct pg_thread *me, int signo, const struct pg_sigaction *act,
	const union pg_siginfo *info, uint64_t mask_to_save);
/* rt_sigreturn. false: the frame is bad. */
bool pg_sigframe_pop(struct pg_thread *me);
uint64_t pg_sigframe_min_stack(void);
bool pg_signal_on_alt(const struct pg_thread *me, uint64_t sp);

/* --- cred.c ----------------------------------------------------------------------------------- */

/* Those of the calling host thread. */
void pg_cred_read(struct pg_cred *c);
/* Whether the calling host thread has this capability (CAP_*). */
bool pg_cred_capable(int capability);
/* The thread changed its users, groups or capabilities on the host. */
void pg_cred_changed(struct pg_thread *me);
/* A new program: what it keeps of them. */
void pg_cred_exec(struct pg_thread *me);
/* Whether me may send a signal to the process, or its thread tid (0: none): 0 or -EPERM. */
int pg_cred_may_signal(const struct pg_thread *me, const struct pg_process *p, int tid, int signo);
/*
 * Whether me may look at the process and its memory mm (NULL: none) as a debugger does (Linux: ptrace_may_access()); files: as one who
 * opens files of /proc, by the ids for files.
 */
bool pg_cred_may_look(
	const struct pg_thread *me, const struct pg_process *p, const struct pg_mm *mm, bool files);

/* The same for files of its memory that are only read (Linux: mm_access()): who may watch the whole system may that too. */
bool pg_cred_may_read(
	const struct pg_thread *me, const struct pg_process *p, const struct pg_mm *mm);

/*
 * Whether the files of p in /proc that are their owner's alone are me's, or me may pass over that. The owner is root if p is not to be looked
 * at (Linux: task_dump_owner()).
 */
bool pg_cred_owns(const struct pg_thread *me, const struct pg_process *p);

/* --- thread.c --------------------------------------------------------------------------------- */

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
/* Wakes t if it is in pg_thread_sleep(), and that is all. */
void pg_thread_rouse(struct pg_thread *t);

/* --- process.c -------------------------------------------------------------------------------- */

PG_MUST_CHECK int pg_process_init(struct pg_linux *l, struct pg_thread **first);
/* A process that is nobody's child and does not run yet, with a thread of descriptors of its own. */
PG_MUST_CHECK int pg_process_orphan(struct pg_linux *l, struct pg_thread **first);
void pg_process_free(struct pg_process *p);
/* Its parent's number: the outside world's for the first one, 1 for orphans. */
int pg_process_ppid(const struct pg_process *p);
struct pg_process *pg_process_find(struct pg_linux *l, int pid);
/* Calls f for each process of the group until it returns false. */
void pg_process_each_of_group(
	struct pg_linux *l, int pgid, bool (*f)(void *ctx, struct pg_process *p), void *ctx);
/* CPU time so far of its threads on the host, ns. */
uint64_t pg_process_cpu_ns(const struct pg_process *p);
/* Sums for one process, with what ended threads and programs left. */
void pg_process_stats(
	const struct pg_process *p, struct pg_cpu_stats *cpu, struct pg_space_stats *space);

/* --- mm.c: the memory of processes ------------------------------------------------------------ */

struct pg_mm *pg_mm_make(struct pg_space *s);
void pg_mm_put(struct pg_mm *mm);
/* Around looking into another process's memory: a store or pager gives the machine lock up, and the process may end meanwhile. */
void pg_mm_look(struct pg_mm *mm);
void pg_mm_looked(struct pg_mm *mm);
/* exec: vfork's parent goes on, figures of the old program are kept. */
void pg_process_new_mm(struct pg_thread *me, struct pg_mm *mm);

/* --- fork.c ----------------------------------------------------------------------------------- */

/* clone() of all kinds: the new thread's or process's id, or a negative errno. */
struct pg_clone {
	uint64_t flags, stack, parent_tid, child_tid, tls, pidfd;
	int exit_signal;
};
int64_t pg_process_clone(struct pg_thread *me, const struct pg_clone *c);

/* --- end.c ------------------------------------------------------------------------------------ */

/* The process is to end; the first call counts. Its threads see it soon. */
void pg_process_exit(struct pg_thread *me, int code);
void pg_process_killed(struct pg_process *p, struct pg_thread *by, int signo);
/* The last thread is gone: descriptors, memory, children and parent are seen to. */
void pg_process_end(struct pg_process *p, struct pg_thread *last);
/* pg_linux_stop() was called: no process goes on. */
void pg_process_stop_all(struct pg_thread *me);
/* Stops and continues as a whole. */
void pg_process_stop(struct pg_process *p, int signo);
void pg_process_continue(struct pg_process *p);

/* --- oom.c: want of memory -------------------------------------------------------------------- */

/* How good a victim for want of memory: pages, moved by oom_score_adj; INT64_MIN: none. */
int64_t pg_process_badness(const struct pg_process *p);
/* Somebody has to be killed for memory; me waits until it is over, or is the one. */
void pg_process_oom(struct pg_thread *me);

/* --- pause.c ---------------------------------------------------------------------------------- */

/* Returns when me's process is not paused, or is to end. */
void pg_pause_wait(struct pg_thread *me);

#endif
