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

/* The shape of a radix table; other forms use page_shift and address bits only. */
struct pg_geometry {
	uint8_t page_shift;          /* log2 of the page size, 12 for the machine */
	uint8_t levels;              /* 2 .. PG_MAX_LEVELS */
	uint8_t entry_bytes;         /* 8, or 4 for 32-bit tables (then no NX) */
	uint8_t bits[PG_MAX_LEVELS]; /* index bits per level, root first */
};

extern const struct pg_geometry pg_geometry_x86_64;   /* 4 levels of 9, 48 bits */
extern const struct pg_geometry pg_geometry_x86_64_5; /* 5 levels of 9, 57 bits */
extern const struct pg_geometry pg_geometry_x86_32;   /* 2 levels of 10, 32 bits */
extern const struct pg_geometry pg_geometry_full64;   /* 6 levels, all 64 bits */

struct pg_table_stats {
	uint64_t node_frames;      /* frames held by nodes now */
	uint64_t node_frames_peak; /* the most ever */
	uint64_t entries;          /* present leaf entries now */
};

struct pg_table; /* one address space's page table; its first member is its form */

/*
 * A page-table form. All calls want the machine lock. vpn must be inside the geometry.
 */
struct pg_table_form {
	const char *name;    /* as on the command line */
	const char *summary; /* one line for `--page-table help` */
	/* -ENOMEM: no frame for the root; -EINVAL: geometry not for this form. */
	int (*create)(struct pg_frames *fs, const struct pg_geometry *g, struct pg_table **out);
	void (*destroy)(struct pg_table *t); /* gives all nodes back */
	/*
	 * Enters or replaces vpn; pte has P. A 4-byte entry drops NX. -ENOMEM: no frame for a
	 * node; -EINVAL: vpn is outside the geometry; the table is unchanged.
	 */
	int (*enter)(struct pg_table *t, pg_vpn vpn, pg_pte pte);
	/* Removes vpn; the old entry with its A and D bits, or 0. Frees nodes that become empty. */
	pg_pte (*remove)(struct pg_table *t, pg_vpn vpn);
	/*
	 * Hardware's walk, no side effects: the entry or 0; *refs = memory references made. A vpn
	 * outside the geometry has no entry and costs no reference.
	 */
	pg_pte (*walk)(const struct pg_table *t, pg_vpn vpn, unsigned *refs);
	/*
	 * entry = (entry & ~clear) | set if present; the old entry, or 0 if there was none. Never
	 * clears P. walk and update keep to the general registers: see meson.build.
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

/* All forms, ended by NULL. */
extern const struct pg_table_form *const pg_table_forms[];
extern const struct pg_table_form pg_table_radix;

#endif
