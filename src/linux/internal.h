/* SPDX-License-Identifier: MIT */
/*
 * linux/internal.h: what the files of linux/ share and nobody else sees.
 *
 * One struct pg_linux is one machine's Linux: one process and its threads. Everything in it is guarded by the
 * machine lock, but for struct pg_inbox, which a host signal handler writes, and the ticker's two flags.
 *
 * The machine lock: guest code and everything in this folder run with it held. Host calls that may block go
 * through pg_host_call(), which gives it up around the call (pg_machine_block_begin/end).
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
#define PG_EWAIT 600          /* not over: the thread waits, see struct pg_wait */

#define PG_NSIG 64
#define SA_RESTORER_FLAG 0x04000000u /* the C library hides it */
#define PG_INBOX 256

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

/*
 * From the host's signal handler to the guest's thread: one writer (host signals are all blocked in the handler), one
 * reader. head and tail only grow.
 */
struct pg_inbox {
	volatile sig_atomic_t poke; /* something came: stop what may block */
	_Atomic uint32_t head, tail;
	_Atomic uint64_t lost; /* bit n-1: signal n came when the ring was full */
	union pg_siginfo ring[PG_INBOX];
};

/* What of signals belongs to one thread; that of the running one is in the handle. */
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

struct pg_signals {
	struct pg_sigaction act[PG_NSIG + 1];
	struct pg_signals_own own;            /* of the running thread */
	uint64_t pending;                     /* signals with at least one element of the queue */
	struct pg_queued *queue, **queue_end; /* owned, oldest first */
	unsigned queued;
	uint64_t delivered;
	uint64_t caught; /* host signals for which our handler is installed */
	struct sigaction former[PG_NSIG + 1];
	uint64_t former_mask;
	uint64_t in_host_mask; /* the guest mask that the host mask was last made from */
	struct pg_inbox in;
};

/*
 * What a thread waits for. A system call that must wait fills it by pg_thread_wait() and returns -PG_EWAIT; when the
 * wait is over the call is run again with l->again set, and finds here how it was.
 */
struct pg_wait {
	bool on;            /* the thread waits */
	bool woken;         /* by pg_thread_wake() */
	uint64_t key;       /* futex address; 0: none */
	uint32_t bits;      /* of FUTEX_WAIT_BITSET */
	uint64_t deadline;  /* CLOCK_MONOTONIC, ns; UINT64_MAX: none */
	uint64_t signals;   /* blocked signals that end the wait too: sigtimedwait */
	struct pollfd *fds; /* owned: descriptors of which any ends the wait */
	unsigned fd_count;
};

/*
 * A guest thread. The running one's registers are in the CPU and its signals in the handle; those of the others are here. One
 * thread's turn lasts until it waits, yields, or was interrupted by the ticker.
 */
struct pg_thread {
	struct pg_thread *next; /* ring */
	int tid;
	struct pg_cpu_regs regs; /* x not used */
	uint8_t *x;              /* owned: the XSAVE image */
	struct pg_signals_own sig;
	uint64_t clear_tid, robust_list, robust_len;
	uint64_t pc;
	struct pg_wait wait;
};

/* A host file behind an object: the context of its pager. */
struct pg_file {
	struct pg_file *next; /* in pg_linux.files */
	struct pg_linux *l;
	struct pg_object_key key;
	int fd;        /* owned, above the guest's; -1 after close */
	bool writable; /* fd may be written */
};

/* The calling convention of the argument formatter, see table.c. */
struct pg_syscall {
	const char *name;
	int64_t (*run)(struct pg_linux *l, const uint64_t *a); /* NULL: not here */
	const char *args; /* a letter for each argument, see text.c */
};

struct pg_linux {
	struct pg_vm *vm;                /* borrowed */
	const struct pg_engine_ops *ops; /* borrowed */
	struct pg_engine *engine;        /* owned */
	struct pg_cpu *cpu;              /* owned; NULL before load */
	struct pg_cpu_regs *regs;        /* the cpu's */
	struct pg_space *space;          /* owned; NULL before load */
	struct pg_linux_hooks hooks;
	pthread_mutex_t lock; /* the machine lock */

	/* from the configuration, owned copies */
	char *path;
	char **argv, **envp;
	bool aslr, seeded;
	uint64_t max_regions;
	uint64_t random_state[4]; /* of the seeded stream */
	uint64_t stack_limit;

	/* the program */
	char exe[PATH_MAX]; /* absolute path, as /proc/self/exe */
	char comm[16];
	struct pg_linux_layout layout;
	uint8_t auxv[512]; /* as /proc/self/auxv */
	uint32_t auxv_bytes;
	uint64_t exe_dev, exe_ino; /* of the file at exe when it was loaded */
	uint64_t personality;
	bool dumpable;
	bool lock_future; /* mlockall(MCL_FUTURE) */

	struct rlimit64 limits[RLIM_NLIMITS];
	struct pg_signals sig;
	struct pg_file *files; /* those whose objects live */
	bool posix_locks;      /* the guest took fcntl locks: pager fds must not be closed */
	int *kept_fds;         /* owned: such fds, closed at the end */
	unsigned kept_count, kept_cap;

	/* the host */
	uint64_t proc_dev;               /* st_dev of /proc; 0: none */
	uint64_t frames_dev, frames_ino; /* the machine's memory: no guest call reaches it */
	uint64_t pagoda_dev, pagoda_ino; /* our own executable */
	int host_pid;
	uint64_t vdso_bytes;  /* what Linux maps for vvar and vdso natively */
	uint64_t start_ns;    /* CLOCK_MONOTONIC at create */
	uint64_t start_ticks; /* since boot, as in /proc/self/stat */

	/* the guest's timers on the host, by timer_create */
	int *timers; /* owned */
	unsigned timer_count;

	/* threads */
	struct pg_thread *thread; /* the running one; NULL before load */
	unsigned threads;
	int next_tid;
	bool yield;                      /* the running thread gave up its turn */
	volatile sig_atomic_t turn_over; /* set by the ticker */
	bool switched;                   /* another thread came in during a system call */
	pthread_t ticker;                /* ends turns; runs while there are two threads or more */
	_Atomic int ticking;

	/* the system call at work */
	bool again;  /* it is run again after a wait */
	uint64_t pc; /* address of the syscall instruction */
	unsigned number;
	bool no_result; /* rax is not to be set: sigreturn, execve */
	bool oom;       /* no frame while memory was touched: the guest is to be killed */
	bool ended;
	struct pg_linux_end end;
	bool leave_told;

	/* figures */
	uint64_t calls, execs, bytes_read, bytes_written;
	struct pg_cpu_stats cpu_before; /* of programs that exec replaced */
	struct pg_space_stats space_before;

	/* lines that hooks.unknown was told, each once */
	char **told;
	unsigned told_count;

	char error[PATH_MAX + 256];
};

/* --- linux.c ------------------------------------------------------------------------------------ */

void pg_linux_fail(struct pg_linux *l, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Tells hooks.unknown a line, once. */
void pg_linux_unknown(struct pg_linux *l, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The guest is over; the first call counts. */
void pg_linux_exit(struct pg_linux *l, int code);
void pg_linux_killed(struct pg_linux *l, int signo);
/* n bytes of the seeded stream, or of the host's randomness. */
void pg_linux_random(struct pg_linux *l, void *buf, uint64_t n);
uint64_t pg_linux_random_below(struct pg_linux *l, uint64_t bound);
/* Calls hooks.leave once for this program. */
void pg_linux_leave(struct pg_linux *l);
void pg_linux_add_stats(struct pg_linux *l, struct pg_cpu_stats *cpu, struct pg_space_stats *space);

/* --- host.c: calls to the host ------------------------------------------------------------------ */

void pg_machine_block_begin(struct pg_linux *l);
void pg_machine_block_end(struct pg_linux *l);
/*
 * A host system call that a signal for the guest interrupts, whenever it comes: the result, a negative errno, or
 * -PG_ERESTARTSYS if a signal came before or during it and nothing was done. Gives up the machine lock meanwhile.
 */
int64_t pg_host_call(struct pg_linux *l, long number, uint64_t a, uint64_t b, uint64_t c,
	uint64_t d, uint64_t e, uint64_t f);
#define PG_HOST(l, nr, a, b, c, d, e, f)                                                           \
	pg_host_call((l), (nr), (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d),        \
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
PG_MUST_CHECK int pg_guest_read(struct pg_linux *l, void *dst, uint64_t src, uint64_t n);
PG_MUST_CHECK int pg_guest_write(struct pg_linux *l, uint64_t dst, const void *src, uint64_t n);
/* A string; its length, -EFAULT or -ENAMETOOLONG. */
PG_MUST_CHECK int64_t pg_guest_string(struct pg_linux *l, char *dst, uint64_t cap, uint64_t src);
/* Looks without faulting: how many bytes were there. For texts about system calls. */
uint64_t pg_guest_peek(struct pg_linux *l, void *dst, uint64_t src, uint64_t n);
/* Whether [a, a + n) lies below the guest's top, as access_ok(). */
bool pg_guest_range_ok(const struct pg_linux *l, uint64_t a, uint64_t n);
/* The guest's iovecs: *out is malloc'ed, *total the sum. 0, -EINVAL, -EFAULT, -ENOMEM. */
PG_MUST_CHECK int pg_guest_iovecs(
	struct pg_linux *l, uint64_t va, uint64_t count, struct iovec **out, uint64_t *total);
/* Pins part of the guest's iovecs, from byte `skip` of them, at most `most` bytes. Bytes pinned; 0: bad address. */
uint64_t pg_guest_pin(struct pg_linux *l, const struct iovec *v, unsigned count, uint64_t skip,
	uint64_t most, enum pg_access access, struct iovec *host, unsigned *host_len, unsigned cap);
/* After a host call wrote `done` bytes into what was pinned, or failed; gives the pins back. */
void pg_guest_unpin(
	struct pg_linux *l, enum pg_access access, const struct iovec *host, unsigned host_len);
/* Most bytes that may be pinned at once on this machine. */
uint64_t pg_guest_pin_bytes(const struct pg_linux *l);

/* --- exec.c, script.c, stack.c -------------------------------------------------------------------- */

struct pg_exec_args {
	const char *filename; /* as given to execve: AT_EXECFN, comm */
	char **argv, **envp;  /* borrowed */
};
/*
 * Replaces the program. On failure a negative errno, pg_linux_error() set and the old program as it was. After the point
 * of no return a failure ends the guest with SIGKILL and 0 is returned.
 */
PG_MUST_CHECK int pg_exec(struct pg_linux *l, const struct pg_exec_args *x);
/* Lays out argv, envp and auxv on the new space's stack; sets l->layout's fields of it, l->auxv and *sp. */
struct pg_stack_in {
	struct pg_space *space;
	uint64_t top; /* end of the stack region: STACK_TOP less randomisation */
	uint64_t phdr, phnum, base, entry;
	const char *execfn;
	char **argv, **envp;
	uint64_t stack_limit;
	bool exec_stack;
};
PG_MUST_CHECK int pg_stack_build(struct pg_linux *l, const struct pg_stack_in *in,
	struct pg_linux_layout *layout, uint64_t *sp, const char **why);
/* Frees a NULL-ended list of strings. */
void pg_strings_free(char **v);
char **pg_strings_copy(const char *const *v);

/* --- files.c: files as objects, descriptors -------------------------------------------------------- */

/*
 * The object of an open host file; a reference for the caller. writable: the descriptor may be written and shared
 * mappings of it will be. name: what maps show. -ENODEV for what cannot be mapped.
 */
PG_MUST_CHECK int pg_files_object(struct pg_linux *l, int fd, const struct stat *st, bool writable,
	const char *name, struct pg_object **out);
/* The object of the file, if it is mapped: borrowed, or NULL. */
struct pg_object *pg_files_find(struct pg_linux *l, const struct stat *st);
void pg_files_close_kept(struct pg_linux *l);
/* Whether the guest may use this descriptor number. */
bool pg_fd_ok(int fd);
/* Path of an open descriptor as the host knows it; false if it has none. */
bool pg_fd_path(int fd, char *out, size_t cap);

/* --- path.c ----------------------------------------------------------------------------------------- */

/*
 * Reads a path from the guest and turns the guest's /proc names into the host's: /proc/1000 into /proc/self,
 * .../exe into the program. 0 or a negative errno.
 */
PG_MUST_CHECK int pg_path_get(struct pg_linux *l, uint64_t va, char out[PATH_MAX]);
/* The same for a string at hand. */
PG_MUST_CHECK int pg_path_map(struct pg_linux *l, const char *in, char out[PATH_MAX]);
/* Whether the path names our exe link without following it. */
bool pg_path_is_exe_link(struct pg_linux *l, const char *path);

/* --- proc.c ----------------------------------------------------------------------------------------- */

/*
 * The guest opened what the host calls `path`, under the host's /proc: the descriptor to give it instead, -errno
 * to refuse, or 1 if the host's file is right.
 */
int pg_proc_open(struct pg_linux *l, const char *path, int flags);

/* --- signal.c, sigframe.c, sighost.c ------------------------------------------------------------------ */

void pg_signal_init(struct pg_linux *l);
void pg_signal_free(struct pg_linux *l);
/* exec: handlers go back to their defaults, the alternate stack is forgotten. */
void pg_signal_exec(struct pg_linux *l);
/* Queues a signal for the guest, as sent, for one thread or (tid 0) for the process. 0 or -EAGAIN. */
int pg_signal_send(struct pg_linux *l, const union pg_siginfo *info, int tid);
/* The signals of the queue that thread tid would take. */
uint64_t pg_signal_pending(const struct pg_linux *l, int tid);
/* Whether thread t has a signal that ends a wait. */
bool pg_signal_wakes(const struct pg_linux *l, const struct pg_thread *t);
/* A fault of the guest's own: delivered at once; kills if blocked or ignored. */
void pg_signal_force(struct pg_linux *l, int signo, int code, uint64_t addr);
/* Takes in what the host brought; true if an unblocked signal waits that is not ignored. */
bool pg_signal_waiting(struct pg_linux *l);
/* Delivers all that waits: frames built, or the guest ended. Also settles an interrupted system call. */
void pg_signal_deliver(struct pg_linux *l);
/* Takes the first pending signal of a set: its number, or 0. */
int pg_signal_take(struct pg_linux *l, uint64_t set, union pg_siginfo *info);
void pg_signal_set_mask(struct pg_linux *l, uint64_t mask);
bool pg_signal_ignored(const struct pg_linux *l, int signo);
bool pg_signal_default_ignores(int signo);

/* Builds the handler's frame and enters it. false: it does not fit. */
bool pg_sigframe_push(struct pg_linux *l, int signo, const struct pg_sigaction *act,
	const union pg_siginfo *info, uint64_t mask_to_save);
/* rt_sigreturn. false: the frame is bad. */
bool pg_sigframe_pop(struct pg_linux *l);
uint64_t pg_sigframe_min_stack(void);
bool pg_signal_on_alt(const struct pg_linux *l, uint64_t sp);

/* The host's signals. -EBUSY. */
PG_MUST_CHECK int pg_sighost_begin(struct pg_linux *l);
void pg_sighost_end(struct pg_linux *l);
/* Catches or releases a host signal as the guest's action wants it. */
void pg_sighost_update(struct pg_linux *l, int signo);
/* Job-control signals are blocked on the host while the guest blocks them. */
void pg_sighost_mask(struct pg_linux *l);
void pg_sighost_collect(struct pg_linux *l);

/* --- thread.c ------------------------------------------------------------------------------------------- */

/* The first thread, for a new program; all others are gone. -ENOMEM. */
PG_MUST_CHECK int pg_thread_begin(struct pg_linux *l);
void pg_thread_free(struct pg_linux *l);
/* The thread with this id, or NULL. */
struct pg_thread *pg_thread_find(struct pg_linux *l, int tid);
/* A copy of the running thread as clone(2) makes it: tid or a negative errno. */
int64_t pg_thread_clone(struct pg_linux *l, uint64_t flags, uint64_t stack, uint64_t parent_tid,
	uint64_t child_tid, uint64_t tls);
/* The running thread ends; with the last one the guest. */
void pg_thread_exit(struct pg_linux *l, int code);
/* Whether waiting must give other threads their turn, so that a host call may not block. */
bool pg_thread_shared(const struct pg_linux *l);
/* Makes the running thread wait; returns -PG_EWAIT. */
int64_t pg_thread_wait(struct pg_linux *l, const struct pg_wait *w);
/* Waits for a descriptor if there are other threads and it is not ready: 0 or -PG_EWAIT. */
int64_t pg_thread_wait_fd(struct pg_linux *l, int fd, short events);
/* The deadline of a call: `until`, or what it was when the call was run first. */
uint64_t pg_thread_deadline(const struct pg_linux *l, uint64_t until);
/* Ends the waits of at most n threads on `key` whose bits meet `bits`; how many. */
unsigned pg_thread_wake(struct pg_linux *l, uint64_t key, unsigned n, uint32_t bits);
/* Moves at most n waiting threads from one key to another; how many. */
unsigned pg_thread_requeue(struct pg_linux *l, uint64_t key, uint64_t to, unsigned n);
/* Whose turn is next; waits on the host until somebody's is. */
void pg_thread_schedule(struct pg_linux *l);

/* --- table.c, text.c ----------------------------------------------------------------------------------- */

const struct pg_syscall *pg_syscall_get(unsigned number); /* NULL: Linux has no such call */
/* Runs the system call in the guest's registers and sets rax. */
void pg_syscall_run(struct pg_linux *l);
void pg_syscall_text(struct pg_linux *l, const struct pg_syscall *s, const char *name,
	const uint64_t *a, bool returned, int64_t result, char *out, size_t cap);

/* --- io.c ------------------------------------------------------------------------------------------------ */

/* Reads or writes guest memory from or to a descriptor; offset -1: the descriptor's own. As preadv2/pwritev2. */
int64_t pg_io_read(struct pg_linux *l, int fd, const struct iovec *v, unsigned count,
	uint64_t total, int64_t offset, int flags);
int64_t pg_io_write(struct pg_linux *l, int fd, const struct iovec *v, unsigned count,
	uint64_t total, int64_t offset, int flags);
/* Coherence around host calls on a descriptor (sendfile, copy_file_range): the bytes [start, end) of its file. */
void pg_io_before_read(struct pg_linux *l, int fd, uint64_t start, uint64_t end);
void pg_io_after_write(struct pg_linux *l, int fd, uint64_t start, uint64_t end);
void pg_io_truncated(struct pg_linux *l, int fd);

/* --- sys_time.c ---------------------------------------------------------------------------------------- */

/* Deletes the guest's timers: those of timer_create, and at its end the interval timers too. */
void pg_timers_delete(struct pg_linux *l, bool intervals);

/* --- mem.c ----------------------------------------------------------------------------------------------- */

/* Bytes of the space that count against RLIMIT_AS. */
uint64_t pg_mem_vsz(struct pg_linux *l);

#endif
