/* SPDX-License-Identifier: MIT */
/*
 * mmu/records.h: small records in frames: what the nodes of hashed and inverted tables are made of.
 *
 * Called by pageset.c, chains.c and the forms on top of them. Calls frame/. Each frame of a pool is
 * cut into slots of one size; a frame whose last slot is given back goes back too. So records cost
 * frames, as everything.
 *
 * A *link* is how one record names another: its physical address with bit 0 set; 0 is none. Bits 48
 * up are the user's.
 */
#ifndef PG_MMU_RECORDS_H
#define PG_MMU_RECORDS_H

#include "mmu/table.h"

typedef uint64_t pg_link;
#define PG_LINK_BITS 48 /* of a link; PG_LINK_MASK takes the user's bits off */
#define PG_LINK_MASK (((uint64_t)1 << PG_LINK_BITS) - 1)

/* The frames that a table holds, with their peak. */
struct pg_node_count {
	uint64_t frames, peak;
};

struct pg_records {
	struct pg_frames *fs;        /* borrowed */
	uint8_t *bytes;              /* of frame 0 */
	void *owner;                 /* of the frames, in their rows */
	struct pg_node_count *count; /* borrowed */
	uint32_t slot_bytes;         /* a multiple of 16 */
	uint32_t per_frame;
	uint32_t partial; /* the first frame with a free slot, a list by prev and next of its row */
	uint64_t frames, used; /* frames held; slots taken */
};

/* A pool without frames. */
void pg_records_init(struct pg_records *p, struct pg_frames *fs, void *owner,
	struct pg_node_count *count, uint32_t slot_bytes);
/* A slot, zeroed; 0: no frame is left. */
pg_link pg_records_take(struct pg_records *p);
void pg_records_give(struct pg_records *p, pg_link slot);
/* NULL if N1 to N3 hold, or which is broken. */
const char *pg_records_check(const struct pg_records *p);

/* A block of frames counted for a table, zeroed; its link, or 0. */
pg_link pg_node_take(
	struct pg_frames *fs, unsigned order, void *owner, struct pg_node_count *count);
void pg_node_give(struct pg_frames *fs, pg_link node, struct pg_node_count *count);

/* The host address of what a link names. */
static inline void *pg_link_at(uint8_t *bytes, pg_link l)
{
	return bytes + (l & (PG_LINK_MASK - 1));
}

static inline pg_link pg_link_of(const uint8_t *bytes, const void *at)
{
	return (pg_link)((const uint8_t *)at - bytes) | 1;
}

#endif
