/* SPDX-License-Identifier: MIT */
/*
 * reclaim/impl.h: the records of reclaim/, for its own files and for tests that look inside. Guarded by the machine lock.
 *
 * Invariants (pg_reclaim_check):
 *   R1 a frame is known (not PG_AT_NONE) only if it is ANON or CACHE with an owner; the policy knows exactly the pages AT_POLICY and
 *      AT_PICKED and AT_ASIDE; each held page is on the queue of its place.
 *   R2 a slot in use belongs to one anon or one page of one object without pager, which names it; its store has reserved it; there
 *      are slots_used of them. What was read from one is its owner's only if it was not given to another meanwhile.
 *   R3 min < low < high.
 */
#ifndef PG_RECLAIM_IMPL_H
#define PG_RECLAIM_IMPL_H

#include "reclaim/lists.h"
#include "reclaim/reclaim.h"
#include "space/impl.h"

#define PG_BATCH 32u /* pages written to a store at once, SWAP_CLUSTER_MAX */
#define PG_RECENT                                                                                  \
	16u /* pages asked for last stay: an instruction and its operands must be able to be in memory at once */

/* Where a page stands. */
enum pg_at {
	PG_AT_NONE = 0, /* unknown */
	PG_AT_POLICY,
	PG_AT_PICKED, /* the policy knows it and waits for the outcome */
	PG_AT_ASIDE, /* picked and stays: the policy is told when this round is over, so that it picks another one */
	PG_AT_TAKEN,   /* taken from the policy to be evicted at somebody's wish */
	PG_AT_LOCKED,  /* held: mlock */
	PG_AT_NO_ROOM, /* held: no slot for it */
};

/* Whether it was read ahead and not asked for yet: from a store, or by an object's pager. */
enum pg_ahead { PG_AHEAD_NOT = 0, PG_AHEAD_SWAP, PG_AHEAD_FILE };

struct pg_page_state {
	uint8_t at;      /* enum pg_at */
	uint8_t ahead;   /* enum pg_ahead */
	uint8_t leaves;  /* being evicted: page_gone has nothing to tell the policy */
	uint8_t back;    /* not in yet: its bytes were read from a store, so it had been evicted */
	uint32_t asked;  /* the value of `demands` when it was asked for last */
	uint32_t reader; /* if ahead: number of the space whose fault read it; 0: none's */
};

/* A slot's owner: an anon, or page `index` of an object without pager. */
struct pg_slot_row {
	void *owner; /* NULL: not in use */
	uint64_t index;
	uint32_t given; /* how often it got an owner, modulo 2^32 */
	bool object;
};

/* Pressure-stall figures, see pressure.c. [0] some, [1] full. */
struct pg_pressure {
	unsigned waiting;    /* threads */
	uint64_t at, ran;    /* time of the last change, and what the hook said then */
	uint64_t last, next; /* averages were made, are to be made; next 0: never yet */
	uint64_t seen[2];    /* of the totals, in the averages */
	uint64_t avg[2][3];  /* per cent, 11 bits behind the point */
};

/* Where the page of zeros was read. */
struct pg_zero_page {
	uint32_t space; /* its number; 0: none */
	uint64_t vpn;
};

struct pg_reclaim {
	struct pg_vm *vm;         /* borrowed */
	struct pg_frames *frames; /* borrowed */
	struct pg_store *store;   /* borrowed; NULL: none */
	struct pg_reclaim_hooks hooks;
	struct pg_policy *policy; /* owned */
	struct pg_policy_env env;
	uint32_t total; /* frames */
	uint64_t min, low, high;
	struct pg_page_state *pages; /* [total]; owned */
	struct pg_lists held;        /* locked, no room, aside (reclaim.c) */
	unsigned failures;           /* reclaims in a row that freed nothing, up to a limit */
	unsigned rest;               /* faults that pass before it is tried again */
	struct pg_ghosts ghosts;     /* evicted pages; value: the clock at their eviction */
	uint64_t clock;              /* evictions so far */
	uint32_t demands;
	uint64_t filled;                      /* pages added, for ticks */
	struct pg_fault_event *faulting;      /* the fault whose thread has the lock; NULL: none */
	struct pg_zero_page zeros[PG_RECENT]; /* the last ones, a ring */
	uint32_t zeros_noted;
	/* Slots. */
	struct pg_slot_row *slots; /* [slot_count]; owned, mapped */
	uint64_t slot_count, slots_used;
	bool swap_full;      /* no slot was free, and none was given back since */
	uint64_t slots_back; /* given back since held pages were tried again */
	/* Read-ahead from a store: Linux mm/swap_state.c. */
	unsigned swap_window, swap_hits, swap_last_window;
	uint32_t swap_last_slot;
	unsigned file_window;
	/* Thrashing: pages in and near refaults of this window of `total` / 4 pages in. */
	uint64_t window_in, window_refaults;
	unsigned windows_bad;
	bool is_thrashing, want_relief;
	struct pg_pressure pressure;
	bool direct; /* somebody waits for the frames that are being freed */
	struct pg_reclaim_stats st;
};

/* ---- reclaim.c */
struct pg_page_key pg_reclaim_key(const struct pg_frame *row);
void pg_reclaim_page_in(void *ctx, pg_pfn f, enum pg_page_in how);
/* A page that was picked or taken: it went, it stays, or it is held back. */
void pg_reclaim_went(struct pg_reclaim *r, pg_pfn f, struct pg_page_key key);
void pg_reclaim_stays(struct pg_reclaim *r, pg_pfn f);
/* The round is over: the policy is told of the pages that stayed. */
void pg_reclaim_end_round(struct pg_reclaim *r);
void pg_reclaim_hold(struct pg_reclaim *r, pg_pfn f, enum pg_at at);
uint64_t pg_reclaim_now_ns(void);
/* Around calls of the store that may take long: the machine lock is released if the upper floors have one. */
struct pg_unlocked {
	void *token;
	struct pg_fault_event *fault;
	bool direct;
};
struct pg_unlocked pg_reclaim_unlock(struct pg_reclaim *r);
void pg_reclaim_lock(struct pg_reclaim *r, struct pg_unlocked u);

/* ---- pressure.c */
/* The thread that has the lock waits for memory, until end. The lock may be released between. */
struct pg_stall pg_reclaim_stall_begin(struct pg_reclaim *r);
void pg_reclaim_stall_end(struct pg_reclaim *r, struct pg_stall stall);

/* ---- pageout.c */
/* Evicts pages that the policy picks until n frames are free; how many. may_release: the machine lock. */
uint64_t pg_reclaim_shrink(struct pg_reclaim *r, uint64_t n, bool may_release);
bool pg_reclaim_evict(void *ctx, pg_pfn f);
/* True if a region that maps it is locked. */
bool pg_reclaim_locked(const struct pg_reclaim *r, pg_pfn f);

/* ---- pagein.c */
int pg_reclaim_anon_in(void *ctx, struct region *region, uint64_t index, struct pg_anon *a,
	enum pg_access access, uint32_t *brought);
int pg_reclaim_slot_peek(void *ctx, pg_slot slot, void *bytes);
int pg_reclaim_object_in(void *ctx, struct pg_object *o, uint64_t index, void *bytes);
void pg_reclaim_object_cut(
	void *ctx, struct pg_object *o, uint64_t index, unsigned from, unsigned to);
uint32_t pg_reclaim_file_window(void *ctx, struct pg_object *o, uint64_t index, uint64_t *first);

/* ---- slots.c */
PG_MUST_CHECK int pg_reclaim_slots_init(struct pg_reclaim *r);
void pg_reclaim_slots_fini(struct pg_reclaim *r);
/* Up to n slots, neighbours; how many, 0: none. They have no owner yet. */
unsigned pg_reclaim_slots_reserve(struct pg_reclaim *r, unsigned n, pg_slot *first);
void pg_reclaim_slots_own(
	struct pg_reclaim *r, pg_slot s, void *owner, uint64_t index, bool object);
void pg_reclaim_slots_free(void *ctx, pg_slot s);
/* The anon that has slot s and no frame, or NULL. */
struct pg_anon *pg_reclaim_slots_anon(const struct pg_reclaim *r, uint64_t s);
const char *pg_reclaim_slots_check(const struct pg_reclaim *r);

/* ---- tables.c */
/* A fault is over: notes it if it mapped the page of zeros. */
void pg_reclaim_note_zero(struct pg_reclaim *r, const struct pg_fault_event *e);
/* Takes the page of zeros out of all tables, and so frees their empty nodes; how many frames that were. */
uint64_t pg_reclaim_drop_zero(struct pg_reclaim *r);

/* ---- thrash.c */
void pg_reclaim_note_in(struct pg_reclaim *r, bool near);
/* At a place where pages may go: does what thrashing asks for. */
void pg_reclaim_relieve(struct pg_reclaim *r);

#endif
