/* SPDX-License-Identifier: MIT */
/*
 * mmu/sets.h: a set-associative array of tags under true LRU. Private to mmu/mmu.c and its
 * siblings.
 *
 * A set is one block of memory: its tags, most recently used first; an order byte for each, the
 * slot in which the entry of that tag lies; then the slots. Entries never move, tags and order
 * bytes do, so that the most recent is always at position 0 and the one to go at the end.
 *
 *   tags:  t0 t1 .. t(ways-1)    8 bytes each, t0 the most recently used
 *   order: s0 s1 .. s(ways-1)    1 byte each, padded to 8; a permutation of 0 .. ways - 1
 *   slots: ways entries of slot_bytes; the entry of tag ti is in slot si
 *
 * A tag is page number << 16 | ASID. That loses the top 4 bits of a 52-bit page number, so whoever
 * finds a tag compares the page number in the entry as well. Free positions come last.
 *
 * Small numbers of ways are given as constants, so that the loops unroll into straight code.
 */
#ifndef PG_MMU_SETS_H
#define PG_MMU_SETS_H

#include "base/types.h"

#define PG_TAG_FREE UINT64_MAX /* no entry; its page number is UINT64_MAX */
#define PG_MAX_WAYS 256u
#define PG_TLB_MAX_ENTRIES 65536u
#define PG_INLINE static inline __attribute__((always_inline))

struct pg_sets {
	uint8_t *blocks; /* owned; set s at blocks + s * block_bytes, 64-byte aligned */
	uint32_t block_bytes;
	uint32_t slots_at; /* offset of slot 0 in a block */
	uint32_t slot_bytes;
	uint32_t ways; /* 0: absent */
	uint64_t mask; /* sets - 1 */
};

PG_INLINE uint64_t pg_tag(uint64_t vpn, uint16_t asid)
{
	return vpn << 16 | asid;
}

PG_INLINE uint8_t *pg_sets_block(const struct pg_sets *s, uint64_t vpn)
{
	return s->blocks + (vpn & s->mask) * s->block_bytes;
}

PG_INLINE uint64_t *pg_set_tags(uint8_t *block)
{
	return (uint64_t *)(void *)block;
}

PG_INLINE uint8_t *pg_set_order(uint8_t *block, unsigned ways)
{
	return block + 8 * ways;
}

PG_INLINE uint32_t pg_slots_at(unsigned ways)
{
	return (uint32_t)pg_align_up(8 * ways + pg_align_up(ways, 8), 16);
}

/* The position of a tag, or `ways`. */
PG_INLINE unsigned pg_set_find(uint8_t *block, unsigned ways, uint64_t tag)
{
	const uint64_t *t = pg_set_tags(block);
	unsigned i = 0;

	while (i < ways && t[i] != tag)
		i++;
	return i;
}

/*
 * Moves what is at position `at` to the front under the given tag and moves those before it one
 * back; its slot. With at = ways - 1 and a new tag this replaces the least recently used.
 */
PG_INLINE unsigned pg_set_to_front(uint8_t *block, unsigned ways, unsigned at, uint64_t tag)
{
	uint64_t *t = pg_set_tags(block);
	uint8_t *order = pg_set_order(block, ways);
	uint64_t *o = (uint64_t *)(void *)order;
	unsigned slot = order[at];
	uint64_t carry = slot;

	for (unsigned i = at; i > 0; i--)
		t[i] = t[i - 1];
	t[0] = tag;
	/* Order bytes, 8 at a time: whole words first, then the bytes up to `at`. */
	for (; at >= 8; at -= 8, o++) {
		uint64_t was = *o;

		*o = was << 8 | carry;
		carry = was >> 56;
	}
	{
		uint64_t was = *o, part = ((uint64_t)2 << (8 * at + 7)) - 1;

		*o = (was & ~part) | ((was << 8 | carry) & part);
	}
	return slot;
}

/* Frees position `at`: those behind it move up. Its slot goes to the end. */
PG_INLINE void pg_set_drop(uint8_t *block, unsigned ways, unsigned at)
{
	uint64_t *t = pg_set_tags(block);
	uint8_t *order = pg_set_order(block, ways);
	uint8_t slot = order[at];

	for (; at + 1 < ways; at++) {
		t[at] = t[at + 1];
		order[at] = order[at + 1];
	}
	t[at] = PG_TAG_FREE;
	order[at] = slot;
}

#endif
