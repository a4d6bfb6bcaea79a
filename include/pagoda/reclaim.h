/* SPDX-License-Identifier: MIT */
/*
 * pagoda/reclaim.h: memory smaller than what is asked of it: which pages leave their frames, where they go, and how
 * they come back.
 *
 * Made after the machine (pg_vm_create) and before its first address space, ended after the last. From then on everything
 * happens by itself, in page faults: frames are freed before there are none, pages that are gone come back. You choose the
 * policy (pagoda/policy.h), one of the library's or your own, and the store (pagoda/store.h). All calls want the lock that you
 * hold around all calls on the machine. Example: tests/reclaim/example_swap.c.
 */
#ifndef PAGODA_RECLAIM_H
#define PAGODA_RECLAIM_H

#ifndef PG_SPACE_SPACE_H /* the library's own sources have it already */
#include "pagoda/pagoda.h"
#endif
#include "pagoda/policy.h"
#include "pagoda/store.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pg_reclaim;

/* What the user is to be told, and what only upper floors know. Any member may be NULL. */
struct pg_reclaim_hooks {
	void *ctx; /* borrowed */
	/* Around calls of the store made at a fault's beginning: the machine lock may be released. Both or none. */
	void *(*unlock)(void *ctx);              /* what it returns is handed to lock */
	void (*lock)(void *ctx, void *unlocked); /* holds the lock again */
	/*
	 * The thread that calls begins to wait for memory (1), has it (-1), or asks (0). Returns the time, in ns since any moment, in
	 * which threads that did not wait ran, up to now; of interest only while somebody waits. NULL: nobody else runs, each stall is
	 * "full".
	 */
	uint64_t (*stalling)(void *ctx, int more);
	/*
	 * How often s was made to wait for others so far, by `thrashing`; UINT_MAX: it waits now, or cannot. NULL: nobody can, and
	 * then the space that faults is never the one to go.
	 */
	unsigned (*pauses)(void *ctx, struct pg_space *s);
	/*
	 * Thrashing was found (on), or is over. out: the space that was swapped out whole for it, with its pages, and should not run
	 * for a while; or NULL: there is no second one of any size.
	 */
	void (*thrashing)(void *ctx, bool on, struct pg_space *out, uint64_t pages);
};

struct pg_reclaim_config {
	const char *policy; /* "NAME" or "NAME:ARGS"; NULL: the first of pg_policies[] */
	const struct pg_policy_ops *
		own_policy; /* not NULL: this one, and `policy` is its arguments or NULL; borrowed */
	struct pg_store
		*store; /* borrowed; NULL: private pages stay, only pages of files are evicted */
	uint64_t seed;  /* for policies that draw lots */
	/* Free frames, as shares of all in 1/1024: below `min` a fault waits, below `low` pages are evicted ahead of need until
	 * `high` are free. All 0: 8, 16, 32. At least 4, 8 and 16 frames. */
	unsigned min_share, low_share, high_share;
	unsigned
		swap_window; /* pages read at once from a store at most, 1 .. 32; 0: 8, as Linux's page-cluster 3 */
	unsigned
		file_window; /* pages read ahead in a file at most, 1 .. 256; 0: 32, as Linux's 128 KiB */
	struct pg_reclaim_hooks hooks;
};

/* -EINVAL: no such policy, or its arguments; -ENOMEM. */
PG_MUST_CHECK int pg_reclaim_create(
	struct pg_vm *vm, const struct pg_reclaim_config *c, struct pg_reclaim **out);
void pg_reclaim_destroy(struct pg_reclaim *r); /* NULL: nothing */

/* Since the beginning; pages unless it says otherwise. */
struct pg_reclaim_stats {
	uint64_t scanned; /* looks at a page's accessed bits */
	uint64_t scanned_direct,
		reclaimed_direct; /* of scanned, reclaimed: while somebody waited */
	uint64_t picked;          /* pages the policy chose */
	uint64_t reclaimed;       /* frames freed; sum of the next four */
	uint64_t swap_out;        /* by writing to a store */
	uint64_t swap_dropped;    /* by dropping: the slot's copy was still good */
	uint64_t file_dropped;    /* clean pages of files */
	uint64_t file_written;    /* dirty pages of files, written back first */
	uint64_t
		lazy_dropped; /* private pages that their owner gave up (MADV_FREE); in reclaimed too */
	uint64_t kept;        /* picked, but in use, just come, or not written */
	uint64_t swap_out_clusters;
	uint64_t swap_in; /* read from a store, read-ahead included */
	uint64_t swap_in_clusters;
	uint64_t swap_ahead, swap_ahead_used,
		swap_ahead_wasted; /* read ahead; asked for later; gone unasked */
	uint64_t file_ahead, file_ahead_used, file_ahead_wasted;
	uint64_t refaults;          /* came back after eviction: by demand or read-ahead */
	uint64_t refaults_file;     /* of these: pages of files */
	uint64_t refaults_near;     /* of refaults: not more evictions ago than there are frames */
	uint64_t runs_ahead;        /* reclaim because few frames were free */
	uint64_t runs_direct;       /* reclaim that a fault waited for */
	uint64_t read_errors;       /* pages that a store could not give back */
	uint64_t checksum_errors;   /* of these: the bytes were wrong */
	uint64_t write_errors;      /* pages that could not be written, file or store */
	uint64_t swap_full;         /* times that no slot was free */
	uint64_t thrashing;         /* times that it began */
	uint64_t swapped_out_whole; /* processes */
	uint64_t slots, slots_used, slots_peak;
	uint64_t some_ns, full_ns; /* pg_reclaim_pressure() */
	/* Now. */
	uint64_t known, locked,
		no_room; /* pages that could go, that are locked, for which there is no slot */
	uint64_t min_frames, low_frames, high_frames;
	bool is_thrashing;
};
void pg_reclaim_stats(const struct pg_reclaim *r, struct pg_reclaim_stats *out);

/* Time in which somebody waited for memory [0], and in which nobody did anything else [1]: Documentation/accounting/psi.rst. */
struct pg_reclaim_pressure {
	uint64_t total_ns;
	unsigned avg[3]; /* of the last 10, 60, 300 s: hundredths of a per cent */
};
void pg_reclaim_pressure(struct pg_reclaim *r, struct pg_reclaim_pressure out[2]);
/* Pages that are in a frame and have a slot with the same bytes or older ones. Looks at every frame. */
uint64_t pg_reclaim_swap_cached(const struct pg_reclaim *r);
const struct pg_policy_ops *pg_reclaim_policy(const struct pg_reclaim *r);
struct pg_store *pg_reclaim_store(const struct pg_reclaim *r); /* NULL: none */

/*
 * Pages in frames that were accessed since the last call, through any mapping; the shared page of zeros is none of them. Forgets
 * that they were, so a policy that looks later does not see it: for machines with memory enough. Looks at every frame.
 */
uint64_t pg_reclaim_working_set(struct pg_reclaim *r);

/* Frees at least n frames if it can; the number freed. May release the machine lock. */
uint64_t pg_reclaim_free_frames(struct pg_reclaim *r, uint64_t n);
/* Evicts all pages of s that can be and are mapped; how many. */
uint64_t pg_reclaim_swap_out_space(struct pg_reclaim *r, struct pg_space *s);

/*
 * Out of memory: the space whose end frees most, as the kernel's oom_badness() counts: resident pages, swapped pages and
 * page-table frames, plus oom_score_adj thousandths of all memory and swap. adj: oom_score_adj of a space, -1000 .. 1000;
 * -1000: never. NULL: 0 for all. Returns NULL if nobody may be killed. *points: of the victim.
 */
struct pg_space *pg_reclaim_oom_victim(struct pg_reclaim *r,
	int (*adj)(void *ctx, struct pg_space *s), void *ctx, int64_t *points);

/* NULL if the numbered invariants of reclaim/ hold, or which is broken. Slow. Part of pg_space_check(). */
const char *pg_reclaim_check(const struct pg_reclaim *r);

#ifdef __cplusplus
}
#endif

#endif
