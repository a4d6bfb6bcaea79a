/* SPDX-License-Identifier: MIT */
/*
 * mmu/base_limit.h: address translation by base and limit: no table, no walk, an addition and a comparison.
 *
 * Made and set by space/block.c, asked by mmu/mmu.c and space/ as if it were a page table. It has no nodes and makes no memory
 * references; nothing is entered or removed. There are no rights for single pages: what is within the limit may be read, written and
 * executed.
 *
 * A process's memory is one block of `pages` frames from `base` on. In pages:
 *
 *     logical                                     physical
 *
 *     top      +--------+ - - - - - - - - - - -  +--------+ base + pages
 *              | stack  |                        | stack  |
 *              +--------+                        +--------+ base + low
 *                nothing: a trap                 |  room  |
 *     origin   +--------+ - - - - - - - - - - -  |  heap  |
 *      + low   |  room  |                        | image  |
 *              |  heap  |                        +--------+ base
 *              | image  |
 *     origin   +--------+
 *
 *     vpn - origin < low           frame = base + (vpn - origin)
 *     top - vpn <= pages - low     frame = base + pages - (top - vpn)
 *     else                         beyond the limit
 *
 * If top = origin + pages the two lines say the same: that is the textbook's machine, one base and one limit. Such a block cannot grow: its stack
 * would have to get other addresses. With a higher top the stack is counted from the end of the block, by a pair of base and limit of its
 * own, so it keeps its addresses when the block becomes larger and its bytes move to the new end. The PDP-11's segments
 * were used so by Unix (Sixth Edition, sbreak() in sys1.c copies the stack up), and the VAX's regions P0 and P1.
 */
#ifndef PG_MMU_BASE_LIMIT_H
#define PG_MMU_BASE_LIMIT_H

#include "mmu/table.h"

/* The registers, all in pages. pages 0: nothing is within the limit. */
struct pg_base_limit {
	uint64_t origin; /* page number of the lowest logical address */
	uint64_t top;    /* page number behind the highest; at least origin + pages */
	uint64_t base;   /* the block's first frame */
	uint64_t pages;  /* of the block */
	uint64_t low;    /* of these: counted from the origin up; the others from top down */
};

/* Not among pg_table_forms: it is chosen by the kind of machine. Its geometry is only the width of addresses. */
extern const struct pg_table_form pg_table_base_limit;

/* Loads the registers. Whoever caches translations is to be told by the caller. */
void pg_base_limit_set(struct pg_table *t, const struct pg_base_limit *r);

/* The frame of a page, or UINT64_MAX: beyond the limit. */
static inline uint64_t pg_base_limit_frame(const struct pg_base_limit *r, uint64_t vpn)
{
	if (vpn - r->origin < r->low)
		return r->base + (vpn - r->origin);
	if (vpn < r->top && r->top - vpn <= r->pages - r->low)
		return r->base + r->pages - (r->top - vpn);
	return UINT64_MAX;
}

#endif
