/* SPDX-License-Identifier: MIT */
/*
 * linux/partition.h: the partition machine: processes that are each one contiguous block of memory, and what a scheduler may do with them.
 *
 * Called by ui/ (run/run.c, and the scheduler of `pagoda partition run`). Calls space/block.h.
 *
 * Two ways to use it:
 *   - pg_linux_load, pg_linux_run as ever, with pg_linux_config.partition set: the built-in policy makes room.
 *   - pg_linux_run_jobs() with a scheduler of the caller's, which starts programs when it likes (pg_partition_spawn), and
 *     whose hooks say what becomes of a request that finds no hole.
 *
 * The machine lock. All pg_partition_* functions want it. In hooks it is held; a scheduler takes it with pg_partition_lock(). While it is held no guest
 * runs: every guest thread waits for it, sleeps, or is in a host call. A process whose thread is in a host call that uses its memory
 * is pinned: it is not moved and not swapped out (-EBUSY), try again when it is out of that call.
 * No pg_partition function gives the lock up but pg_partition_sleep().
 */
#ifndef PG_LINUX_PARTITION_H
#define PG_LINUX_PARTITION_H

#include "linux/linux.h"
#include "space/block.h"

/* For pg_linux_config.partition; the machine's memory (struct pg_vm) must be one of blocks. */
struct pg_partition_options {
	uint64_t bytes;       /* of a new block; 0: image, heap_bytes and stack_bytes */
	uint64_t heap_bytes;  /* room for the heap; 0: 1 MiB */
	uint64_t stack_bytes; /* room for the stack, beside arguments and environment; 0: 128 KiB */
	bool fixed;           /* blocks never grow: one base and one limit */
	bool compact; /* the built-in policy slides blocks down when that makes a hole large enough */
	struct pg_store *store; /* borrowed; where processes are swapped out to; NULL: nowhere */
};

/* What happened, for a log. Borrowed during the call of the hook. */
struct pg_partition_event {
	enum pg_block_event_kind kind;
	int pid;              /* 0: not known yet */
	const char *name;     /* of the program: the last part of its path */
	uint64_t ns;          /* since the machine was made */
	uint64_t base, bytes; /* physical; refuse and wait: base 0, the bytes that are wanted */
	uint64_t was_base, was_bytes; /* before it; both 0: in no frame */
	uint64_t copied_bytes;
	uint64_t address;                        /* limit: the logical address */
	uint64_t free_bytes, largest_hole_bytes; /* after it */
	uint64_t blocks, holes;
};

/* What a scheduler wants to be told and asked; any may be NULL. The lock is held. Set before anything is loaded. */
struct pg_partition_hooks {
	void *ctx;
	void (*event)(void *ctx, const struct pg_partition_event *e);
	/*
	 * A process that runs (pid) wants `bytes` in one piece and there is no such hole: to grow, for a fork, for another program (exec).
	 * True: look again, something was freed or moved; false: it is refused (brk and fork say ENOMEM, a stack ends with SIGSEGV).
	 * May wait with pg_partition_sleep(). NULL: the built-in policy.
	 */
	bool (*room)(void *ctx, int pid, uint64_t bytes, enum pg_block_want what);
	/*
	 * A process that is swapped out could run. It sleeps until pg_partition_swap_in(); this is to make the scheduler think of
	 * it. NULL: the built-in policy brings it in, swapping out others for it.
	 */
	void (*ready)(void *ctx, int pid);
	/*
	 * A guest thread is about to run guest code: before its first instruction (a new program, a forked child), and after each system call.
	 * pg_partition_sleep() is allowed; its process is not pinned then and may be swapped out and in.
	 */
	void (*turn)(void *ctx, int pid);
};
void pg_partition_set_hooks(struct pg_linux *l, const struct pg_partition_hooks *h);

/* For a thread that is no guest's. */
void pg_partition_lock(struct pg_linux *l);
void pg_partition_unlock(struct pg_linux *l);

/*
 * Only in the hooks `room` and `turn`: the guest thread sleeps, without the lock, until pg_partition_wake() or until it is to end; false then: refuse. Its
 * process may be swapped out meanwhile; pg_partition_swap_in() then gives it the larger block that it waits for.
 */
bool pg_partition_sleep(struct pg_linux *l);
/* All that sleep in it look again. */
void pg_partition_wake(struct pg_linux *l);

/* A program to be started. */
struct pg_partition_job {
	const char *path;        /* as pg_linux_config.path */
	const char *const *argv; /* NULL-ended, argv[0] included */
	const char *const *envp; /* NULL-ended */
	uint64_t bytes;          /* of its block; 0: by the options */
	int in, out,
		err; /* the caller's descriptors to be its 0, 1 and 2; -1: Pagoda's own. Copied */
};
/*
 * How large its block would be, without making one. -ENOEXEC: it cannot run in a partition, -ENOENT and the like; pg_linux_error() says
 * why. -EFBIG: larger than the machine's memory.
 */
PG_MUST_CHECK int pg_partition_size(
	struct pg_linux *l, const struct pg_partition_job *j, uint64_t *bytes);
/*
 * Finds a hole (never asks `room`), loads the program and lets it run: *pid. -ENOSPC: no hole, nothing has happened; else as pg_partition_size().
 * On the scheduler's thread of pg_linux_run_jobs() only (its descriptors are copied). The first has pid 1000. hooks.ended of struct pg_linux_config tells of its end, and of those it forked.
 */
PG_MUST_CHECK int pg_partition_spawn(
	struct pg_linux *l, const struct pg_partition_job *j, int *pid);

/* By process; -ESRCH: there is none of that number. Otherwise as pg_block_swap_out(), pg_block_swap_in(). Its threads sleep while it is out. */
PG_MUST_CHECK int pg_partition_swap_out(struct pg_linux *l, int pid);
PG_MUST_CHECK int pg_partition_swap_in(struct pg_linux *l, int pid);
/* Ends a process as by SIGKILL; 0 or -ESRCH. */
int pg_partition_kill(struct pg_linux *l, int pid);
/* pg_block_compact(). */
unsigned pg_partition_compact(struct pg_linux *l, uint64_t *bytes);
PG_MUST_CHECK int pg_partition_info(struct pg_linux *l, int pid, struct pg_block_info *out);
/* Guest instructions of all threads so far; 0 in fast mode. */
uint64_t pg_partition_clock(struct pg_linux *l);
/* Bytes; what frame/partition.h has in frames is in *f as it is. */
void pg_partition_figures_of(struct pg_linux *l, struct pg_partition_figures *f);

/*
 * Runs the machine without a first program: calls scheduler(ctx) on a thread of its own, without the lock; when it has returned and no
 * process is left, the machine is over. -EBUSY as pg_linux_run().
 */
PG_MUST_CHECK int pg_linux_run_jobs(struct pg_linux *l, void (*scheduler)(void *ctx), void *ctx);

#endif
