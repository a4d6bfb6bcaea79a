/* SPDX-License-Identifier: MIT */
/*
 * mmu/chains.h: a hash table with chains, in frames: what a hashed page table is, and where an
 * inverted one keeps the mappings that have no entry.
 *
 *   heads   an array of links in one block of frames; a page's chain is chosen by the
 *           high bits of a product (Knuth, The Art of Computer Programming, vol. 3, 6.4)
 *   element page number (or number of a group of pages), owner, link to the next, entries
 *
 * When there are more elements than heads, an array of twice the size takes its place: at once, or
 * two chains at each change (`moved` says how far), so that no change takes long. If there is no
 * such block of frames the old one stays and chains get longer. With an eighth as many
 * elements as heads it shrinks.
 *
 * Called by hashed.c and inverted.c. Calls records.c.
 */
#ifndef PG_MMU_CHAINS_H
#define PG_MMU_CHAINS_H

#include "mmu/records.h"

struct pg_element {
	uint64_t page;
	uint64_t link; /* owner << PG_LINK_BITS | link of the next */
	pg_pte pte[];  /* one, or one for each page of the group */
};

struct pg_heads {
	pg_link at; /* 0: none */
	unsigned bits;
};

struct pg_chains {
	struct pg_frames *fs;    /* borrowed */
	struct pg_records *pool; /* borrowed: where elements come from */
	uint8_t *bytes;          /* of frame 0 */
	void *owner;             /* of the frames */
	struct pg_node_count *count;
	struct pg_heads heads;
	struct pg_heads old; /* while growing: what is not moved yet */
	uint64_t moved;      /* chains of old that are empty now: [0, moved) */
	uint64_t elements;
	bool at_once;
};

/* Bytes of a slot for elements of n entries. */
static inline uint32_t pg_element_bytes(unsigned n)
{
	return (uint32_t)pg_align_up(sizeof(struct pg_element) + n * sizeof(pg_pte), 16);
}

/* -ENOMEM: no frame for the heads. */
PG_MUST_CHECK int pg_chains_init(struct pg_chains *c, struct pg_frames *fs, struct pg_records *pool,
	void *owner, struct pg_node_count *count, bool at_once);
/* Gives heads and elements back. */
void pg_chains_end(struct pg_chains *c);
/* A new element, its entries 0, for (owner, page), which has none. NULL: no frame; unchanged. */
struct pg_element *pg_chains_add(struct pg_chains *c, uint16_t owner, uint64_t page);
/* Takes the element of (owner, page), which is there, out. */
void pg_chains_remove(struct pg_chains *c, uint16_t owner, uint64_t page);
/* Makes the element of (owner, page), which is there, that of another, which has none. */
struct pg_element *pg_chains_rename(
	struct pg_chains *c, uint16_t owner, uint64_t page, uint16_t to_owner, uint64_t to_page);
/* Calls f for each element; a sentence from it ends that. Then H1 to H3. */
const char *pg_chains_check(const struct pg_chains *c,
	const char *(*f)(void *ctx, uint16_t owner, const struct pg_element *e), void *ctx);

static inline uint64_t pg_chains_hash(uint16_t owner, uint64_t page)
{
	return (page ^ (uint64_t)owner << 47 ^ (uint64_t)owner << 20) * 0x9e3779b97f4a7c15u;
}

/* The head of a chain. */
static inline pg_link *pg_chains_head(const struct pg_chains *c, uint64_t hash)
{
	const struct pg_heads *h = &c->heads;

	if (__builtin_expect(c->old.at != 0, 0) && hash >> (64 - c->old.bits) >= c->moved)
		h = &c->old;
	return (pg_link *)pg_link_at(c->bytes, h->at) + (hash >> (64 - h->bits));
}

/* The element of (owner, page) or NULL. *refs += the head and the elements read. Calls nothing. */
static inline struct pg_element *pg_chains_find(
	const struct pg_chains *c, uint16_t owner, uint64_t page, unsigned *refs)
{
	pg_link l = *pg_chains_head(c, pg_chains_hash(owner, page));
	unsigned n = 1;

	while (l & PG_LINK_MASK) {
		struct pg_element *e = pg_link_at(c->bytes, l);

		n++;
		if (e->page == page && e->link >> PG_LINK_BITS == owner) {
			*refs += n;
			return e;
		}
		l = e->link;
	}
	*refs += n;
	return NULL;
}

#endif
