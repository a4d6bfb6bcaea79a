/* SPDX-License-Identifier: MIT */
/*
 * linux/linux.h: the Linux that a guest program sees: exec, system calls, signals, /proc.
 *
 * Called by ui/ (makes one, loads a program, runs it, asks how it ended) and by trace/ (reads, never
 * changes). Calls cpu/ through struct pg_engine_ops, memory through space/space.h, and the host.
 *
 * Life: pg_linux_create -> pg_linux_load -> pg_linux_run -> (ask) -> pg_linux_destroy. The machine's
 * memory (struct pg_vm) is made by the caller before and destroyed by it after.
 *
 * Guest processes and threads live in one host process, each guest thread on a host thread of its own; one at a time runs, whoever
 * has the machine lock. The state is in the handle, but a host process can receive signals for one machine only: a second
 * pg_linux_run() at the same time is refused with -EBUSY.
 *
 * Nothing here prints or exits. Guest descriptors are host descriptors of the same number; Pagoda's own
 * are moved above pg_linux_fd_limit() where no guest call reaches them. The first process uses the caller's descriptors.
 */
#ifndef PG_LINUX_LINUX_H
#define PG_LINUX_LINUX_H

#include "base/types.h"
#include "cpu/engine.h"
#include "space/space.h"

/* The guest's own process id, parent's id, the same on every run so that figures repeat. */
#define PG_LINUX_PID 1000
#define PG_LINUX_PPID 999

struct pg_reclaim;
struct pg_linux; /* one machine's Linux */
struct pg_linux_end;
struct pg_linux_process;
struct pg_partition_options;

/* One finished system call, for --verbose. Borrowed during the call of the hook. */
struct pg_linux_call {
	unsigned number;  /* as in rax */
	const char *name; /* "openat"; "syscall_999" for a number that Linux does not know either */
	bool known;       /* false: there is no such call here, answered ENOSYS */
	uint64_t args[6];
	int64_t result; /* as the guest sees it in rax: negative errno on failure; for exit calls and a
	                      sigreturn: 0 */
	bool returned; /* false: exit, exit_group, execve that succeeded, a fatal signal */
	const char
		*text; /* one line without newline, "openat(AT_FDCWD, \"/etc/passwd\", 0x0) = 3" */
};

/* What linux/ tells the floors above. Any member may be NULL. None may touch guest memory or change anything. */
struct pg_linux_hooks {
	void *ctx; /* borrowed for the life of the handle */
	/*
	 * After each page fault, as pg_vm_hooks.fault (linux/ owns the machine's hooks and hands this one on).
	 * pg_linux_space(), _regs() and _each_region may be used in it.
	 */
	void (*fault)(void *ctx, const struct pg_fault_event *e);
	/* A system call, or an operation of one (ioctl, prctl), that Pagoda does not have: `what` is a line
	 * such as "system call 435 (clone3) is not there: ENOSYS". Called once for each different line. */
	void (*unknown)(void *ctx, unsigned number, const char *name, const char *what);
	/* After each system call. NULL costs nothing. */
	void (*call)(void *ctx, const struct pg_linux_call *c);
	/* A program was loaded, by pg_linux_load() or by the guest's execve: a new space, regions and symbols. */
	void (*exec)(void *ctx, const char *path);
	/*
	 * A process leaves its space (it ended or execs another program): the last moment at which its
	 * regions and pages can be read. The first process's last space in fact stays until pg_linux_destroy().
	 */
	void (*leave)(void *ctx);
	/*
	 * A process is about to end, as *end says; tid: by which thread of its own, 0: by somebody else. Its threads are all
	 * still there (pg_linux_each_thread), their registers as they were when they stopped.
	 */
	void (*ending)(void *ctx, int pid, int tid, const struct pg_linux_end *end);
	/* A process was made by another one; it has not run yet. */
	void (*fork)(void *ctx, int parent, int child);
	/* A process is over: its memory and descriptors are gone. Borrowed during the call. */
	void (*ended)(void *ctx, const struct pg_linux_process *p);
	/*
	 * The thread that runs is about to execute the instruction at an address that pg_linux_watch() was given: see
	 * pg_engine_config.reached. regs is its state (pg_linux_regs() may be behind in fast mode).
	 */
	void (*reached)(void *ctx, const struct pg_cpu_regs *regs);
	/* The process has mapped part of a file that may be executed: a library was loaded. */
	void (*code)(void *ctx);
	/* A call, return or jump has happened in the thread that runs: pg_engine_config.transferred. NULL costs nothing. */
	void (*transferred)(void *ctx, const struct pg_transferred *t);
	/* A signal is delivered to the guest. handler 0: its default action. */
	void (*signal)(void *ctx, int signo, int si_code, uint64_t address, uint64_t handler);
};

struct pg_linux_config {
	struct pg_vm *vm;                   /* borrowed; its hooks are set by pg_linux_create() */
	struct pg_reclaim *reclaim;         /* of vm; borrowed. NULL: there is no swap */
	const struct pg_engine_ops *engine; /* borrowed */
	struct pg_mmu_config mmu;           /* for the engine */
	bool fast;                          /* for the engine */

	const char
		*path; /* the program: with a '/' as it is, else searched in envp's PATH. Copied */
	const char *const
		*argv; /* NULL-ended, argv[0] included, copied. Must have one element at least */
	const char *const *envp; /* NULL-ended, copied */

	uint64_t stack_limit_bytes; /* RLIMIT_STACK, soft; 0: the host's; UINT64_MAX: unlimited */
	bool aslr;                  /* randomise the layout, as Linux with randomize_va_space = 2 */
	bool seeded;                /* take `seed`; else the host's randomness everywhere */
	uint64_t seed;              /* of the layout (if aslr), AT_RANDOM and getrandom() */
	uint64_t max_regions;       /* as vm.max_map_count; 0: Linux's default 65530 */

	/* Read by create only. A machine whose memory is of blocks (struct pg_vm_config.blocks); NULL: of pages. */
	const struct pg_partition_options *partition; /* linux/partition.h */

	struct pg_linux_hooks hooks;
};

/* How the guest ended. */
struct pg_linux_end {
	bool exited;       /* exit or exit_group: code; else killed by `signal` */
	int code;          /* 0 .. 255 */
	int signal;        /* 1 .. 64 */
	bool oom;          /* killed because no frame was left (signal is SIGKILL) */
	bool stopped;      /* killed by pg_linux_stop() (signal is SIGKILL) */
	bool fault;        /* killed by a synchronous fault: the fields below say which */
	bool unhandled;    /* the engine does not handle this instruction (PG_EXIT_UNSUPPORTED) */
	bool frame_failed; /* a signal handler's frame did not fit on the guest's stack */
	int si_code;       /* as in siginfo: SEGV_MAPERR ... */
	uint64_t addr;     /* si_addr; 0 where Linux gives none */
	enum pg_access access; /* for SIGSEGV and SIGBUS by a page; 0: not known */
	enum pg_fault_end why; /* the same, finer: PG_FAULT_STACK is a stack overflow */
	uint64_t pc; /* guest instruction where it ended; for exit the syscall instruction */
	uint64_t sp;
	uint8_t bytes[15]; /* of the instruction at pc, for SIGILL */
	uint8_t length;    /* how many of them are known */
};

/* A process that is over. */
struct pg_linux_process {
	int pid, parent;
	const char *name; /* as /proc/PID/comm */
	const struct pg_linux_end *end;
	struct pg_cpu_stats cpu;     /* of its threads */
	struct pg_space_stats space; /* of its programs; what it shared by vfork is its parent's */
	uint64_t system_calls, execs;
	uint64_t cpu_ns;  /* on the host */
	uint64_t wall_ns; /* from its making to its end */
	unsigned pauses;  /* times that it had to wait for others because memory was short */
	uint64_t paused_ns;
};

/* The exit status a shell would show: code, or 128 + signal. */
int pg_linux_status(const struct pg_linux_end *e);

/*
 * Makes the Linux and its engine. Errors: -ENOMEM, -EINVAL, or the engine's; *why is then a sentence (owned by
 * nobody: static) that names the cause.
 */
PG_MUST_CHECK int pg_linux_create(
	const struct pg_linux_config *c, struct pg_linux **out, const char **why);
void pg_linux_destroy(struct pg_linux *l);

/*
 * Loads the program of the configuration into a new space. On failure a negative errno, and
 * pg_linux_error() is one sentence that names the cause and the file ("/bin/x: not an ELF file ...").
 */
PG_MUST_CHECK int pg_linux_load(struct pg_linux *l);
const char *pg_linux_error(
	const struct pg_linux *l); /* "" if there was none; valid until destroy */

/*
 * Runs the guest to its end and says how it was. While it runs host signals are caught and
 * handed to the guest; afterwards their former actions are back. -EBUSY: another one runs in
 * this process; -EINVAL: nothing is loaded. 0 however the guest ended.
 */
PG_MUST_CHECK int pg_linux_run(struct pg_linux *l, struct pg_linux_end *out);

/* Figures, exact, at any time after load; with several programs by exec: sums, and the largest peaks. */
struct pg_linux_stats {
	struct pg_cpu_stats cpu;
	struct pg_space_stats space;
	uint64_t system_calls;
	uint64_t signals;    /* delivered to handlers */
	uint64_t execs;      /* programs loaded, the first included */
	uint64_t forks;      /* processes made, the first not included */
	uint64_t bytes_read; /* by the guest's system calls, into its memory */
	uint64_t bytes_written;
	uint64_t oom_kills; /* processes killed because no frame was left */
};
void pg_linux_stats(struct pg_linux *l, struct pg_linux_stats *out);

/* All guest processes are killed, soon. May be called by hooks. */
void pg_linux_stop(struct pg_linux *l);

/*
 * For hooks of the floors below that want to wait for the host: the machine lock is given away by the thread that runs, so
 * that others go on, and taken again. What begin returns goes to end.
 */
void *pg_linux_wait_begin(struct pg_linux *l);
void pg_linux_wait_end(struct pg_linux *l, void *waiting);
/*
 * For struct pg_reclaim_hooks.stalling: the thread that runs begins (1) or ends (-1) to wait for memory, or neither (0). Returns
 * the time, in ns, in which threads that did not wait ran while others did.
 */
uint64_t pg_linux_stalling(struct pg_linux *l, int more);

/*
 * Memory is short, and s was swapped out whole: its process does not run until there is room for its `pages`, its turn has come
 * or nobody else runs (process/pause.c). True, and which process it is, if that happens to it for the first time. *name is borrowed.
 */
bool pg_linux_pause(
	struct pg_linux *l, struct pg_space *s, uint64_t pages, int *pid, const char **name);
/* How often the process of s was paused so far; UINT_MAX: it is paused now, or s is no process's. */
unsigned pg_linux_pauses(struct pg_linux *l, struct pg_space *s);

/* --- for the tracer: the present state, to be read only --------------------------------------- */

/* All of these speak of the thread that runs (in a hook: whose doing it is), else of the first process. */
struct pg_space *pg_linux_space(struct pg_linux *l);
int pg_linux_pid(const struct pg_linux *l);
/* The guest's registers: precise between instructions and in every hook but `fault`, where rip, rsp and rbp are to be
 * taken as a hint unless pg_fault_event.by_kernel (the engine may hold the registers of a running block). */
const struct pg_cpu_regs *pg_linux_regs(const struct pg_linux *l);
/* A guest thread, as others see it. */
struct pg_linux_thread {
	int tid;
	const char *name; /* as /proc/PID/task/TID/comm */
	const struct pg_cpu_regs
		*regs; /* borrowed; precise unless the thread waits inside a page fault */
	uint64_t alt_sp, alt_size; /* its alternate signal stack; size 0: none */
};
/* Calls f for each thread of process pid, the first one first, until it returns false. */
void pg_linux_each_thread(struct pg_linux *l, int pid,
	bool (*f)(void *ctx, const struct pg_linux_thread *t), void *ctx);
/* The space of process pid; NULL: it has none (any more). Borrowed. */
struct pg_space *pg_linux_space_of(struct pg_linux *l, int pid);
/* Its thread id. */
int pg_linux_tid(const struct pg_linux *l);
/* From now on hooks.reached, which must be set, is told of address rip: pg_engine_ops.watch. -ENOMEM. */
PG_MUST_CHECK int pg_linux_watch(struct pg_linux *l, uint64_t rip);
/* The absolute path of the running program, as /proc/self/exe; "" before load. */
const char *pg_linux_program(const struct pg_linux *l);
/* The name as in /proc/self/comm. */
const char *pg_linux_comm(const struct pg_linux *l);

/* Where exec put things, for maps and drawings. */
struct pg_linux_layout {
	uint64_t exe_base;    /* what the program's addresses are moved by; 0 for a non-PIE */
	uint64_t interp_base; /* the same for its interpreter; 0: none */
	uint64_t entry;       /* the program's entry point */
	uint64_t phdr;        /* address of its program headers; 0: not mapped */
	uint64_t code_start, code_end, data_start, data_end; /* as in /proc/self/stat */
	uint64_t brk_start;
	uint64_t mmap_top;    /* mappings are placed downwards from here */
	uint64_t stack_top;   /* end of the stack region */
	uint64_t stack_start; /* rsp at the entry point */
	uint64_t args_start, args_end, env_start, env_end;
	uint64_t address_top; /* one beyond the highest address of a program in this mode */
};
const struct pg_linux_layout *pg_linux_layout(const struct pg_linux *l);

/* --- descriptors ------------------------------------------------------------------------------ */

/*
 * Moves one of the caller's own descriptors out of the guest's way and returns its new number (close-on-exec);
 * the old number is closed. On failure the negative errno, the old one still open. May be called before or after
 * create, not while the guest runs. For every file that Pagoda keeps open while the guest runs.
 */
PG_MUST_CHECK int pg_linux_own_fd(int fd);
/* Descriptors from this number on are Pagoda's. */
int pg_linux_fd_limit(void);

#endif
