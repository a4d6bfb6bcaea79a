/* SPDX-License-Identifier: MIT */
/*
 * mmu/mmu_private.h: what struct pg_mmu is made of. Private to mmu/mmu.c, tlb.c, mmu_check.c and hit.h.
 *
 * Glossary:
 *   level     one TLB: first-level data, first-level instruction, second level.
 *   mirror    the element of the caller's fast_d or fast_i array for a set.
 *   image     what the mirror of a set should say when this entry is its most recently used.
 *   second    the mirror of the second most recently used way, where the caller wants one.
 */
#ifndef PG_MMU_PRIVATE_H
#define PG_MMU_PRIVATE_H

#include "mmu/sets.h"
#include "mmu/tlb.h"
#include "mmu/walk_cache.h"

/* An entry of a first-level TLB: one host cache line. */
struct pg_l1_entry {
	struct pg_tlb_way way;
	struct pg_tlb_fast image; /* always that of `way` in its set */
};
_Static_assert(sizeof(struct pg_l1_entry) == 64, "an entry is a cache line");

/* An entry of the second level. */
struct pg_l2_entry {
	uint64_t vpn; /* UINT64_MAX: free */
	uint32_t pfn;
	uint16_t asid;
	uint8_t prot;
	uint8_t bits; /* OR of PG_L2_DIRTY, PG_L2_CODE: as in struct pg_tlb_way */
};
#define PG_L2_DIRTY 1u
#define PG_L2_CODE 2u
_Static_assert(sizeof(struct pg_l2_entry) == 16, "four entries in a cache line");

struct pg_level1 {
	_Alignas(64) struct pg_sets sets;
	struct pg_tlb_fast *fast;   /* borrowed: one mirror for each set */
	struct pg_tlb_fast *second; /* the same; NULL: none */
	uint8_t data, fetch;        /* 1 or 0: what it answers: both when unified */
};

struct pg_mmu {
	/* [0] answers data accesses, [1] fetches; when unified they are equal, sharing all arrays.
	 */
	struct pg_level1 l1[2];
	struct pg_sets l2; /* ways 0: none */
	uint16_t asid;
	uint16_t salt;          /* pg_mark_salt(asid) */
	volatile uint8_t poked; /* since the last fetch lookup: data lookups leave code_id 0 */
	bool unified;
	struct pg_table *table;           /* borrowed; NULL: nothing is mapped */
	struct pg_walk_cache *walk_cache; /* in use with this table; NULL: none */
	struct pg_walk_cache *own_cache;  /* owned; NULL: configured without */
	uint8_t *bytes;                   /* of frame 0 */
	const struct pg_frame *rows;
	const uint32_t *view; /* borrowed: what the caller's view maps; NULL: it has none */
	/* First-level misses: [0] data, [1] fetch. What follows from them is filled in by
	 * pg_mmu_stats. */
	uint64_t l1_misses[2];
	struct pg_mmu_stats stats;
	const uint64_t *exchanged; /* [2], borrowed: hits in second mirrors; NULL: none */
	struct pg_shootdown shootdown;
	uint32_t frames;
};

PG_INLINE struct pg_l1_entry *pg_l1_slot(uint8_t *block, unsigned ways, unsigned way)
{
	return (struct pg_l1_entry *)(void *)pg_set_slot(
		block, ways, sizeof(struct pg_l1_entry), way);
}

PG_INLINE struct pg_l2_entry *pg_l2_slot(uint8_t *block, unsigned ways, unsigned way)
{
	return (struct pg_l2_entry *)(void *)pg_set_slot(
		block, ways, sizeof(struct pg_l2_entry), way);
}

/* The block of the set of page vpn in a level, of `ways` ways. */
PG_INLINE uint8_t *pg_l1_block(const struct pg_sets *s, unsigned ways, uint64_t vpn)
{
	return pg_set_block(s, ways, sizeof(struct pg_l1_entry), vpn);
}

PG_INLINE uint8_t *pg_l2_block(const struct pg_sets *s, unsigned ways, uint64_t vpn)
{
	return pg_set_block(s, ways, sizeof(struct pg_l2_entry), vpn);
}

/* The entry of page vpn marked `mark`, see pg_mark(), and its way in *way; NULL: none. */
PG_INLINE struct pg_l1_entry *pg_l1_find(
	uint8_t *block, unsigned ways, uint64_t vpn, uint16_t mark, unsigned *way)
{
	return pg_set_find(block, ways, sizeof(struct pg_l1_entry), vpn, mark, way);
}

PG_INLINE struct pg_l2_entry *pg_l2_find(
	uint8_t *block, unsigned ways, uint64_t vpn, uint16_t mark, unsigned *way)
{
	return pg_set_find(block, ways, sizeof(struct pg_l2_entry), vpn, mark, way);
}

_Static_assert(PG_READ == 1 && PG_WRITE == 2 && PG_EXEC == 4, "rights are taken apart by shifts");

/*
 * The caller may have exchanged the two youngest ways of a set since its ages were last written: lets them say so. To be
 * called before the ages of a first level are read.
 */
PG_INLINE void pg_l1_order(const struct pg_level1 *l, uint8_t *block, unsigned ways, uint64_t set)
{
	uint8_t *ages = pg_set_ages(block, ways);

	if (!l->second || !ages[l->fast[set].way])
		return;
	ages[l->fast[set].way] = 0;
	ages[l->second[set].way] = 1;
}

/* The neg of a mirror of set `set` that allows nothing. */
PG_INLINE uint64_t pg_l1_never(const struct pg_level1 *l, uint64_t set)
{
	return PG_TLB_NOWHERE - (l->sets.mask && !set ? PG_PAGE_SIZE : 0);
}

/* Sets e->image, but for its way, from e->way, an entry of set `set`. */
PG_INLINE void pg_l1_make_image(const struct pg_level1 *l, struct pg_l1_entry *e, uint64_t set)
{
	const struct pg_tlb_way *w = &e->way;
	struct pg_tlb_fast *i = &e->image;
	/* Masks instead of conditions: what a page allows is hard to predict. */
	uint64_t reads = -(uint64_t)(w->prot & l->data & w->shown); /* PG_READ is 1 */
	uint64_t writes = -(uint64_t)(w->ready >> 1 & (w->code ^ 1u) & 1);
	uint64_t usable = reads & (writes | -(uint64_t)(l->sets.mask != 0));
	/*
	 * Where loads may go inline but stores may not, `host` is a real address, and NOWHERE would
	 * let a store to the page of that name through. So in its own set, 0, neg names the
	 * next page, whose set is 1. A single set has no such page: the slow path answers then.
	 */
	uint64_t never = pg_l1_never(l, set);
	uint64_t neg = -(w->vpn << PG_PAGE_SHIFT);

	i->neg_read = (neg & usable) | (never & ~usable);
	writes &= usable;
	i->neg_write = (neg & writes) | (never & ~writes);
	i->host = (w->host & usable) | (PG_TLB_NOWHERE & ~usable);
	i->code_id = w->code_id & -(uint32_t)(l->fetch & w->prot >> 2); /* PG_EXEC is 4 */
}

/* Does the view show frame pfn at page vpn? 1 or 0. */
PG_INLINE uint8_t pg_l1_is_shown(const struct pg_mmu *m, uint64_t vpn, uint32_t pfn)
{
	return !m->view || m->view[vpn % PG_VIEW_PAGES] == pfn + 1;
}

/* Sets what follows from the rest of e->way, and e->image. */
PG_INLINE void pg_l1_settle(const struct pg_level1 *l, struct pg_l1_entry *e, uint64_t set)
{
	e->way.ready = (uint8_t)(e->way.prot & ~(e->way.dirty ? 0 : PG_WRITE));
	pg_l1_make_image(l, e, set);
}

/* e has become the youngest of its set: what the mirror showed is the second now. The mirror is to be made again. */
PG_INLINE void pg_l1_front(const struct pg_level1 *l, const struct pg_l1_entry *e, uint64_t set)
{
	struct pg_tlb_fast *f = &l->fast[set];

	if (l->second && f->way != e->image.way)
		l->second[set] = *f;
	f->way = e->image.way;
}

/* Shows e, just used for an access, as the mirror of its set. A fetch ends a poke. */
PG_INLINE void pg_l1_show(struct pg_mmu *m, const struct pg_level1 *l, const struct pg_l1_entry *e,
	uint64_t set, enum pg_access access)
{
	struct pg_tlb_fast *f = &l->fast[set];

	pg_l1_front(l, e, set);
	f->neg_read = e->image.neg_read;
	f->neg_write = e->image.neg_write;
	f->host = e->image.host;
	f->code_id = e->image.code_id;
	if (access == PG_EXEC)
		m->poked = 0;
	else if (__builtin_expect(m->poked, 0))
		f->code_id = 0;
}

/* Drops the entry of (vpn, asid), if there. */
void pg_l1_drop(const struct pg_mmu *m, const struct pg_level1 *l, uint64_t vpn, uint16_t asid);
void pg_l2_drop(struct pg_mmu *m, uint64_t vpn, uint16_t asid);

#endif
