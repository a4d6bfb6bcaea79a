/* SPDX-License-Identifier: MIT */
/*
 * mmu/tlb.h: the MMU of one guest CPU: translation lookaside buffers and the walker.
 *
 * Called by cpu/ for each guest access that its inline check did not answer, and by space/
 * (through struct pg_shootdown) when a mapping changes. Calls mmu/table.h.
 *
 * The inline check. For each set of a first-level TLB, `struct pg_tlb_fast` mirrors the most
 * recently used way. Under LRU a hit there changes no state, so translated code may check and use it
 * without telling anyone; every other access must call pg_mmu_lookup(). Hits are therefore
 * (accesses made) - (misses counted here), exact without being counted one by one.
 *
 * What is counted: one lookup for each data access (two for an access that crosses a page) and
 * one for each fetch run (cpu/ says what that is); a lookup that ends in a fault and is repeated counts again.
 */
#ifndef PG_MMU_TLB_H
#define PG_MMU_TLB_H

#include "base/types.h"
#include "mmu/table.h"

/*
 * The most recently used way of a set, as translated code wants it (32 bytes).
 * An address a may use it for an access of n bytes if a + neg <= 4096 - n as unsigned 64-bit
 * numbers; then the bytes are at host + (a + neg).
 * Where loads or stores are not allowed, neg is that of a non-canonical page of another set, which no
 * address that indexes this one can match. A TLB of a single set has no other: there an unusable entry
 * has neg = host = PG_TLB_NOWHERE, the first non-canonical address: it matches only addresses that no
 * guest can map, and the host access then traps as the guest's should. (An entry that allows loads but
 * no stores is unusable for both there, and they take the slow path.)
 */
struct pg_tlb_fast {
	uint64_t neg_read;  /* -(page address) if loads may use it */
	uint64_t neg_write; /* -(page address) if stores may: writable, dirty, no translations */
	uint64_t host;      /* address of the frame's first byte */
	uint32_t code_id;   /* cpu/'s mark of the translations bound to this page; 0: none */
	uint32_t way;       /* which way of its set it is; nothing to translated code */
};
#define PG_TLB_NOWHERE ((uint64_t)1 << 63)

/* Geometry of one TLB. */
struct pg_tlb_geometry {
	uint32_t entries; /* 0: this TLB is absent */
	uint32_t ways;    /* divides entries; entries / ways is a power of two; 1 .. 256 */
};

struct pg_mmu_config {
	struct pg_tlb_geometry l1d; /* data, or unified when l1i is absent */
	struct pg_tlb_geometry l1i; /* instruction; absent: unified */
	struct pg_tlb_geometry l2;  /* second level, unified; absent: one level */
	/* Entries of the page-walk cache of each inner level, for forms that use one; 0: none. */
	uint32_t walk_cache;
};

/*
 * Parses "64x4", "64x4,1536x12" (unified first level, then second) or "d64x4,i64x8,1536x12"
 * (split): ENTRIESxWAYS each. -EINVAL and *why (a static sentence) for anything else.
 */
PG_MUST_CHECK int pg_mmu_config_parse(
	const char *text, struct pg_mmu_config *out, const char **why);
/*
 * d2048x2,i2048x4,4096x8: a first level with the reach of a contemporary core's second. The more sets there are, the more
 * lookups find their page as the most recently used of its set and are answered inline: with a real
 * core's geometry (d64x4,i128x8,1536x12 is Intel's Skylake) a run takes about twice the time.
 */
extern const struct pg_mmu_config pg_mmu_config_default;

/* One entry, as pg_mmu_lookup() hands it out; valid until the next call on this MMU. */
struct pg_tlb_way {
	uint64_t vpn;  /* UINT64_MAX: invalid */
	uint64_t host; /* host address of the frame */
	uint32_t pfn;
	uint32_t code_id; /* see struct pg_tlb_fast; 0 on fill */
	uint16_t asid;
	uint8_t prot;  /* OR of enum pg_access that the entry allows */
	uint8_t dirty; /* D bit known to be set */
	uint8_t code;  /* stores must not go inline: the frame has translations */
	uint8_t ready; /* of prot, what needs no walk any more: PG_WRITE only if dirty */
	uint8_t shown; /* 1: the view shows it, so accesses may go inline; see pg_mmu_set_view() */
	uint8_t asked; /* the caller's, 0 on fill */
};

/* May stores go inline by this entry, if the view shows it? */
static inline bool pg_tlb_way_takes_stores(const struct pg_tlb_way *way)
{
	return way->dirty && !way->code && (way->prot & PG_WRITE);
}

/* Which TLB a figure is about. */
enum pg_tlb_which { PG_TLB_L1D, PG_TLB_L1I, PG_TLB_L2, PG_TLBS };

#define PG_WALK_LENGTHS 32

struct pg_mmu_stats {
	uint64_t slow_lookups[2]; /* calls of pg_mmu_lookup: [0] data, [1] fetch */
	uint64_t misses[PG_TLBS]; /* unified: data and fetch misses are both in L1D */
	uint64_t fetch_misses;    /* of misses[L1D] or misses[L1I]: those by fetch */
	uint64_t l2_lookups;      /* = first-level misses when there is a second level */
	uint64_t walks;
	uint64_t walk_refs; /* memory references made by walks */
	/* Walks by the references they made: [n] n, the last that many or more. Both kinds. */
	uint64_t walk_lengths[PG_WALK_LENGTHS];
	uint64_t walk_refs_saved;  /* references that page-walk caches made unnecessary */
	uint64_t dirty_walks;      /* extra walks to set a D bit; refs are in walk_refs too */
	uint64_t faulting_lookups; /* lookups that ended in a fault (to be repeated) */
	uint64_t shootdowns;       /* pages or ranges invalidated on request */
};

/* Someone who caches translations of a space and must be told when they change. */
struct pg_shootdown {
	struct pg_shootdown *next; /* owned by the space's list */
	/* Forget [start, end). Called with the machine lock held; must not fault or fail. */
	void (*invalidate)(struct pg_shootdown *self, pg_vpn start, pg_vpn end);
};

struct pg_mmu; /* one guest CPU's MMU */

/*
 * fast_d: one element per set of l1d; fast_i: per set of l1i, or NULL when unified. Borrowed
 * until destroy; the caller chooses where they lie so that its code can reach them.
 * -ENOMEM, or -EINVAL for a bad geometry.
 */
PG_MUST_CHECK int pg_mmu_create(const struct pg_mmu_config *c, struct pg_frames *fs,
	struct pg_tlb_fast *fast_d, struct pg_tlb_fast *fast_i, struct pg_mmu **out);
void pg_mmu_destroy(struct pg_mmu *m);

/*
 * For a caller that answers hits in the second most recently used way of a set itself. second_d, second_i: as
 * fast_d and fast_i of pg_mmu_create, the mirrors of these ways. When the check of one passes, the caller exchanges the
 * two elements of the set, which makes that way the most recently used, and adds 1 to exchanged[0] (data) or [1]
 * (fetch): a lookup, counted in slow_lookups. All borrowed until destroy. A level with a single set or way has no use for it: there
 * no check of a second mirror must be made.
 * Who exchanges while a signal handler may call pg_mmu_poke() must ask for its reason afterwards.
 */
void pg_mmu_set_second(struct pg_mmu *m, struct pg_tlb_fast *second_d, struct pg_tlb_fast *second_i,
	const uint64_t *exchanged);

/*
 * For a caller whose inline accesses do not go to the frames, but to a *view*: a stretch of the host's addresses in which page v of
 * a guest is page v mod PG_VIEW_PAGES. frames[PG_VIEW_PAGES], borrowed until destroy, says what the view maps: the frame's number +
 * 1, 0: nothing. It may map what no table has any more. An entry whose frame is not what the view maps at its page allows
 * nothing inline (struct pg_tlb_way.shown). To be called before the first lookup; without it all entries are shown.
 * No figure but slow_lookups depends on it.
 */
#define PG_VIEW_PAGES ((uint64_t)1 << 20)
void pg_mmu_set_view(struct pg_mmu *m, const uint32_t *frames);
/* The view's element of page v was changed (to frames[v mod PG_VIEW_PAGES]). At most 2^20 sets in the first level for data. */
void pg_mmu_view_changed(struct pg_mmu *m, pg_vpn v);
/* Has the first level for data an entry of another page than v that the view shows at v's place? */
bool pg_mmu_view_in_use(const struct pg_mmu *m, pg_vpn v);
/* Any of the view's elements were. */
void pg_mmu_view_changed_all(struct pg_mmu *m);

/*
 * Makes `table` (borrowed; NULL: none) the current one, its entries tagged asid. Nothing is flushed: entries of
 * other ASIDs stay, as on hardware; the inline mirrors are rebuilt.
 */
void pg_mmu_switch(struct pg_mmu *m, struct pg_table *table, uint16_t asid);

enum pg_mmu_result {
	PG_MMU_OK,
	PG_MMU_NOT_PRESENT, /* no valid entry: a page fault */
	PG_MMU_PROTECTION,  /* a valid entry without the right: a page fault */
};

/* pg_mmu_lookup() by kind: PG_READ or PG_WRITE, and PG_EXEC. */
enum pg_mmu_result pg_mmu_lookup_data(
	struct pg_mmu *m, pg_va a, enum pg_access access, struct pg_tlb_way **way);
enum pg_mmu_result pg_mmu_lookup_fetch(struct pg_mmu *m, pg_va a, struct pg_tlb_way **way);

/*
 * The hardware's way for one access to the page of `a`: first level, second level, walk; sets A, and D for
 * PG_WRITE; fills; makes the entry the most recently used of its set. On PG_MMU_OK *way is it.
 */
static inline enum pg_mmu_result pg_mmu_lookup(
	struct pg_mmu *m, pg_va a, enum pg_access access, struct pg_tlb_way **way)
{
	return access == PG_EXEC ? pg_mmu_lookup_fetch(m, a, way)
				 : pg_mmu_lookup_data(m, a, access, way);
}

/*
 * A lookup is known to hit the first level's most recently used ways n more times without state change, for
 * callers that work page by page (string instructions). Nothing to do for exactness; see
 * pg_mmu_pair_is_stable() for the one case where it is not true.
 * True if alternating accesses to the pages of a and b hit the first level from the second round on.
 */
bool pg_mmu_pair_is_stable(const struct pg_mmu *m, pg_va a, pg_va b);

/* Sets code_id of the first-level fetch entry of a's page, if there, and of its mirror. */
void pg_mmu_set_code_id(struct pg_mmu *m, pg_va a, uint32_t code_id);
/* Sets it to 0 if it is code_id. */
void pg_mmu_forget_code_id(struct pg_mmu *m, pg_vpn v, uint32_t code_id);
/* Marks every entry of frame f, any ASID, as holding translated code or not (struct pg_tlb_way.code). */
void pg_mmu_set_code(struct pg_mmu *m, pg_pfn f, bool code);
/* The same for the entry of page v of the current ASID only, if it names frame f. */
void pg_mmu_set_code_page(struct pg_mmu *m, pg_vpn v, pg_pfn f, bool code);

/*
 * The link to hang on the space whose table this MMU uses (pg_space_attach): forgets pages of the
 * ASID of the last pg_mmu_switch(). Owned by the MMU.
 */
struct pg_shootdown *pg_mmu_shootdown(struct pg_mmu *m);

/* Forgets pages [start, end) of an ASID. Cost: min(pages, entries). */
void pg_mmu_invalidate(struct pg_mmu *m, uint16_t asid, pg_vpn start, pg_vpn end);
void pg_mmu_flush(struct pg_mmu *m);
/* As pg_mmu_create() left it: no table, no entry, every figure 0. */
void pg_mmu_reset(struct pg_mmu *m);
/*
 * Makes every inline fetch check fail once more (mirror code_id = 0, recency untouched), so that a running CPU
 * comes to its slow path soon. Async-signal-safe. pg_mmu_lookup() restores the mirror.
 */
void pg_mmu_poke(struct pg_mmu *m);

void pg_mmu_stats(const struct pg_mmu *m, struct pg_mmu_stats *out);
/*
 * The references that `percent` per cent of the walks needed at most (1 .. 100); 0: there was no walk. PG_WALK_LENGTHS
 * - 1 means that many or more.
 */
unsigned pg_mmu_walk_percentile(const struct pg_mmu_stats *s, unsigned percent);
/* NULL if its numbered invariants hold (mirrors true, entries agree with the table), or which is broken. */
const char *pg_mmu_check(const struct pg_mmu *m);

#endif
