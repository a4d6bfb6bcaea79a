/* SPDX-License-Identifier: MIT */
/*
 * mmu/table.h: page tables: what every form offers, and the entry format.
 *
 * Called by mmu/tlb.c (walks) and space/ (enter, remove). One form is one file and one row of
 * pg_table_forms[]. A table is a cache of the truth in space/: it may forget any entry at any
 * time and the fault handler brings it back.
 */
#ifndef PG_MMU_TABLE_H
#define PG_MMU_TABLE_H

#include "base/types.h"
#include "frame/frame.h"

/* A page-table entry in x86-64 format. Intel SDM vol. 3A, 4.5, table 4-20. */
typedef uint64_t pg_pte;
#define PG_PTE_P ((pg_pte)1 << 0)   /* present: the entry names a frame */
#define PG_PTE_RW ((pg_pte)1 << 1)  /* writes allowed */
#define PG_PTE_US ((pg_pte)1 << 2)  /* user access allowed: set on every guest page */
#define PG_PTE_A ((pg_pte)1 << 5)   /* accessed: set by a walk */
#define PG_PTE_D ((pg_pte)1 << 6)   /* dirty: set by the first write */
#define PG_PTE_PS ((pg_pte)1 << 7)  /* reserved for large pages */
#define PG_PTE_NX ((pg_pte)1 << 63) /* instruction fetch not allowed */
#define PG_PTE_FRAME ((pg_pte)0x000ffffffffff000)

static inline pg_pfn pg_pte_pfn(pg_pte e)
{
	return (pg_pfn){(uint32_t)((e & PG_PTE_FRAME) >> PG_PAGE_SHIFT)};
}

static inline pg_pte pg_pte_make(pg_pfn f, pg_pte bits)
{
	return ((pg_pte)f.v << PG_PAGE_SHIFT) | bits;
}

#define PG_MAX_LEVELS 6
#define PG_MAX_CLUSTER 16    /* pages of one element of a hashed table */
#define PG_MAX_WALK_CACHE 64 /* entries of a page-walk cache, each level */

/* The shape of a table. Every form has the page size and the address bits (the sum of bits[]). */
struct pg_geometry {
	uint8_t page_shift;          /* log2 of the page size, 12 for the machine */
	uint8_t levels;              /* 2 .. PG_MAX_LEVELS */
	uint8_t entry_bytes;         /* 8, or 4 for 32-bit radix tables (then no NX) */
	uint8_t bits[PG_MAX_LEVELS]; /* radix: index bits per level, root first */
	uint8_t cluster;      /* hashed: pages of an element, a power of two to 16; 0 means 1 */
	uint8_t grow_at_once; /* hashed: 1: all chains move when it grows; 0: two at each change */
	uint8_t anchors;      /* inverted: anchors for each frame, 1, 2, 4 or 8; 0 means 1 */
	uint16_t walk_cache;  /* radix: entries of each level's page-walk cache; 0: none */
};

extern const struct pg_geometry pg_geometry_x86_64;   /* 4 levels of 9, 48 bits */
extern const struct pg_geometry pg_geometry_x86_64_5; /* 5 levels of 9, 57 bits */
extern const struct pg_geometry pg_geometry_x86_32;   /* 2 levels of 10, 32 bits */
extern const struct pg_geometry pg_geometry_full64;   /* 6 levels, all 64 bits */

/* Bits of a page number. */
static inline unsigned pg_geometry_vpn_bits(const struct pg_geometry *g)
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->levels && i < PG_MAX_LEVELS; i++)
		n += g->bits[i];
	return n;
}

struct pg_table_stats {
	uint64_t node_frames;        /* frames that this table alone holds now */
	uint64_t node_frames_peak;   /* the most ever */
	uint64_t entries;            /* present leaf entries now */
	uint64_t shared_frames;      /* frames that all tables of the machine share, counted once */
	uint64_t shared_frames_peak; /* the most ever */
	uint64_t
		displaced; /* times that the hardware lost an entry because its frame got another */
	uint64_t restored; /* times that such an entry was given back by restore */
};

struct pg_table;      /* one address space's page table; its first member is its form */
struct pg_walk_cache; /* mmu/walk_cache.h */

/* What a table is made for. */
struct pg_table_config {
	struct pg_frames *frames;           /* borrowed */
	const struct pg_geometry *geometry; /* read by create only */
	void *machine;                      /* what open() gave, or NULL */
	uint16_t owner;                     /* unique among the tables of the machine */
	/*
	 * The hardware does not see vpn's entry any more although it was not removed: whoever
	 * caches it forgets it. Called inside enter and restore of any table of the machine. May be NULL.
	 */
	void (*displaced)(void *ctx, pg_vpn vpn);
	void *ctx;
};

/*
 * A page-table form. All calls want the machine lock. vpn must be inside the geometry.
 *
 * Two views. The table *has* every entry that was entered and not removed: find, next, remove and
 * update mean these. The hardware *sees* those that walk finds: all, but under a form with one
 * entry for each frame.
 */
struct pg_table_form {
	const char *name;    /* as on the command line */
	const char *summary; /* one line for `--page-table help` */
	const char *shapes;  /* lines for it: what may follow behind `name:` */
	/* What stands behind `name:`, or NULL, into *g. NULL, or a sentence: what is wrong. */
	const char *(*parse)(const char *text, struct pg_geometry *g);
	/* What all tables of a machine share: made first, ended last. NULL: nothing. -ENOMEM. */
	int (*open)(struct pg_frames *fs, const struct pg_geometry *g, void **machine);
	void (*close)(void *machine);
	/* -ENOMEM: no frame for the root; -EINVAL: geometry not for this form. */
	int (*create)(const struct pg_table_config *c, struct pg_table **out);
	void (*destroy)(struct pg_table *t); /* gives all nodes back */
	/*
	 * Enters or replaces vpn; pte has P. A 4-byte entry drops NX. The hardware sees it
	 * afterwards. -ENOMEM: no frame for a node; -EINVAL: vpn is outside the geometry; the
	 * table is unchanged.
	 */
	int (*enter)(struct pg_table *t, pg_vpn vpn, pg_pte pte);
	/* Removes vpn; the old entry with its A and D bits, or 0. Frees nodes that become empty. */
	pg_pte (*remove)(struct pg_table *t, pg_vpn vpn);
	/*
	 * Hardware's walk, no side effects: the entry or 0; *refs = memory references made: reads of
	 * at most a cache line (64 bytes, aligned). A vpn outside the geometry has no entry and costs
	 * no reference.
	 */
	pg_pte (*walk)(const struct pg_table *t, pg_vpn vpn, unsigned *refs);
	/* The same beginning as far down as the cache knows, and filling it. NULL: no use for one. */
	pg_pte (*walk_cached)(
		const struct pg_table *t, pg_vpn vpn, struct pg_walk_cache *cache, unsigned *refs);
	/* The entry that the table has, or 0. NULL: what walk sees. See pg_table_find(). */
	pg_pte (*find)(const struct pg_table *t, pg_vpn vpn);
	/* Makes the hardware see vpn, which the table has. Cannot fail. NULL: it always does. */
	void (*restore)(struct pg_table *t, pg_vpn vpn);
	/*
	 * entry = (entry & ~clear) | set if present; the old entry, or 0 if there was none. Never
	 * clears P. walk, walk_cached and update keep to the general registers: see meson.build.
	 */
	pg_pte (*update)(struct pg_table *t, pg_vpn vpn, pg_pte set, pg_pte clear);
	/* The first present entry in [from, end): true and *found, *pte. */
	bool (*next)(const struct pg_table *t, pg_vpn from, pg_vpn end, pg_vpn *found, pg_pte *pte);
	void (*stats)(const struct pg_table *t, struct pg_table_stats *out);
	/* NULL if its numbered invariants hold, or which is broken. */
	const char *(*check)(const struct pg_table *t);
};

struct pg_table {
	const struct pg_table_form *form;
};

/* All forms, ended by NULL; the first is the default. */
extern const struct pg_table_form *const pg_table_forms[];
extern const struct pg_table_form pg_table_radix;
extern const struct pg_table_form pg_table_hashed;
extern const struct pg_table_form pg_table_inverted;

/*
 * Parses NAME or NAME:SHAPE, as in "radix:5" or "hashed:clustered=8"; the addresses are those of
 * x86-64 unless SHAPE says otherwise. -EINVAL and *why (a static sentence); *form is NULL if there is none of that name.
 */
PG_MUST_CHECK int pg_table_parse(const char *text, const struct pg_table_form **form,
	struct pg_geometry *g, const char **why);

static inline pg_pte pg_table_find(const struct pg_table *t, pg_vpn vpn)
{
	unsigned refs;

	return t->form->find ? t->form->find(t, vpn) : t->form->walk(t, vpn, &refs);
}

#endif
