/* SPDX-License-Identifier: MIT */
/*
 * mmu/sets.h: a set-associative array under true LRU. Private to mmu/mmu.c and its siblings.
 *
 * A set is one block of memory: a mark and an age for each way, then the entries. Way w has mark w,
 * age w and slot w; nothing moves.
 *
 *   marks: 16 bits a way, padded to 8 bytes: a hash of page number and ASID
 *   ages:   8 bits a way, padded to 8 bytes: a permutation of 0 .. ways - 1, 0 the most recently
 * used slots: slot_bytes a way, from a multiple of 64 bytes on
 *
 * A mark only says where to look; whoever finds one compares page number and ASID in the entry. An
 * entry begins with its page number, UINT64_MAX when free. Free ways are the oldest.
 *
 * Marks are compared 4 and ages 8 at a time in a 64-bit register (no vector registers here): Knuth,
 * The Art of Computer Programming, vol. 4A, 7.1.3, "Multibyte". Small numbers of ways are given as
 * constants: then all loops unroll into straight code without a branch that depends on where the
 * hit was, which no predictor could foresee.
 */
#ifndef PG_MMU_SETS_H
#define PG_MMU_SETS_H

#include "base/types.h"

#define PG_MAX_WAYS 256u
#define PG_TLB_MAX_ENTRIES 65536u
#define PG_INLINE static inline __attribute__((always_inline))

#define PG_EACH_16 0x0001000100010001u /* times x: x in every lane of 16 bits */
#define PG_EACH_8 0x0101010101010101u

struct pg_sets {
	uint8_t *blocks;      /* owned; set s at blocks + s * block_bytes, 64-byte aligned */
	uint64_t mask;        /* sets - 1 */
	uint32_t block_bytes; /* pg_set_bytes() */
	uint32_t slot_bytes;
	uint32_t ways; /* 0: absent */
};

/* The age of lanes that are no way: older than all. Up to 64 ways it keeps below the top bit. */
PG_INLINE uint8_t pg_age_padding(unsigned ways)
{
	return ways <= 64 ? 0x7f : 0xff;
}

/* What an ASID adds to its marks; different for each, because the factor is odd. */
PG_INLINE uint16_t pg_mark_salt(uint16_t asid)
{
	return (uint16_t)(asid * 0x9e37u);
}

PG_INLINE uint16_t pg_mark(uint64_t vpn, uint16_t salt)
{
	return (uint16_t)(vpn ^ vpn >> 16 ^ salt);
}

PG_INLINE uint16_t *pg_set_marks(uint8_t *block)
{
	return (uint16_t *)(void *)block;
}

PG_INLINE uint8_t *pg_set_ages(uint8_t *block, unsigned ways)
{
	return block + (ways + 3) / 4 * 8;
}

PG_INLINE unsigned pg_set_slots_at(unsigned ways)
{
	return ((ways + 3) / 4 * 8 + (ways + 7) / 8 * 8 + 63) / 64 * 64;
}

/* Bytes of a block. */
PG_INLINE uint64_t pg_set_bytes(unsigned ways, unsigned slot_bytes)
{
	return (pg_set_slots_at(ways) + (uint64_t)ways * slot_bytes + 63) / 64 * 64;
}

/* The block of the set of page vpn; ways and slot_bytes as in s, as constants where they are known. */
PG_INLINE uint8_t *pg_set_block(
	const struct pg_sets *s, unsigned ways, unsigned slot_bytes, uint64_t vpn)
{
	uint64_t bytes =
		__builtin_constant_p(ways) ? pg_set_bytes(ways, slot_bytes) : s->block_bytes;

	return s->blocks + (vpn & s->mask) * bytes;
}

PG_INLINE uint8_t *pg_set_slot(uint8_t *block, unsigned ways, unsigned slot_bytes, unsigned way)
{
	return block + pg_set_slots_at(ways) + way * (uint64_t)slot_bytes;
}

/* Is the entry at `slot`, of the right mark, that of page vpn? */
PG_INLINE bool pg_slot_is(const uint8_t *slot, uint64_t vpn)
{
	return __builtin_expect(*(const uint64_t *)(const void *)slot == vpn, 1);
}

/* The top bit of each lane of 16 bits that is 0, and perhaps of some above such a lane. */
PG_INLINE uint64_t pg_zero_lanes_16(uint64_t x)
{
	return (x - PG_EACH_16) & ~x & (PG_EACH_16 << 15);
}

/*
 * The entry of page vpn marked `mark`, which says whose it is, and its way in *way; NULL: none.
 * slot_bytes is a constant, a multiple of 16.
 */
PG_INLINE void *pg_set_find(uint8_t *block, unsigned ways, unsigned slot_bytes, uint64_t vpn,
	uint16_t mark, unsigned *way)
{
	const uint64_t *marks = (const uint64_t *)(const void *)block;
	uint64_t want = mark * PG_EACH_16;

	if (ways <= 4) {
		/* One word: bit 16 * way + 15 of `seen`, so neither way nor slot needs a
		 * multiplication. */
		for (uint64_t seen = pg_zero_lanes_16(marks[0] ^ want); seen; seen &= seen - 1) {
			unsigned bit = (unsigned)__builtin_ctzll(seen);
			uint8_t *slot = block + pg_set_slots_at(ways) - 15 * (slot_bytes / 16) +
					bit * (uint64_t)(slot_bytes / 16);

			if (ways < 4 && bit >= 16 * ways)
				continue;
			if (pg_slot_is(slot, vpn)) {
				*way = bit / 16;
				return slot;
			}
		}
		return NULL;
	}
	/* Groups of 16 words: bit 16 * lane + word of `seen` is way 4 * word + lane. */
	for (unsigned group = 0; group < ways; group += 64) {
		unsigned n = ways - group < 64 ? ways - group : 64;
		uint64_t seen = 0;

		for (unsigned w = 0; w < (n + 3) / 4; w++)
			seen |= pg_zero_lanes_16(marks[group / 4 + w] ^ want) >> (15 - w);
		for (; seen; seen &= seen - 1) {
			unsigned bit = (unsigned)__builtin_ctzll(seen);
			unsigned i = group + 4 * (bit & 15) + (bit >> 4);
			uint8_t *slot = pg_set_slot(block, ways, slot_bytes, i);

			if (ways % 4 && i >= ways)
				continue;
			if (pg_slot_is(slot, vpn)) {
				*way = i;
				return slot;
			}
		}
	}
	return NULL;
}

/* Makes a way the most recently used: those younger than it grow older by one. */
PG_INLINE void pg_set_touch(uint8_t *block, unsigned ways, unsigned way)
{
	const uint64_t high = PG_EACH_8 << 7;
	uint8_t *bytes = pg_set_ages(block, ways);
	uint64_t *ages = (uint64_t *)(void *)bytes;
	uint64_t age = ways <= 8 ? ages[0] >> way * 8 & 0xff : bytes[way];
	uint64_t each = age * PG_EACH_8, own = age << way % 8 * 8;

	for (unsigned w = 0; w < (ways + 7) / 8; w++) {
		uint64_t x = ages[w], younger;

		if (ways <= 64)
			/* In 7 bits a lane: age + 127 - x reaches the top bit if x is less. */
			younger = each + (high - PG_EACH_8) - x;
		else
			/* The borrow out of each lane of x - age. */
			younger = (~x & each) | ((~x | each) & (((x | high) - (each & ~high)) ^
								       ((x ^ ~each) & high)));
		x += younger >> 7 & PG_EACH_8;
		/* All ones if the way is in this word; in a form that stays free of branches. */
		if (ways > 8)
			x -= own & (uint64_t)((int64_t)((uint64_t)(way / 8 ^ w) - 1) >> 63);
		else
			x -= own;
		ages[w] = x;
	}
}

/* Makes the least recently used way, a free one if there is one, the most recently used; which it
 * is. */
PG_INLINE unsigned pg_set_replace(uint8_t *block, unsigned ways)
{
	uint64_t *ages = (uint64_t *)(void *)pg_set_ages(block, ways);
	uint64_t oldest = (ways - 1) * PG_EACH_8;
	unsigned way = 0;

	for (unsigned w = 0; w < (ways + 7) / 8; w++) {
		unsigned lanes = ways - 8 * w < 8 ? ways - 8 * w : 8;
		uint64_t was = ages[w], x = was ^ oldest;
		/* The top bit of the lane that is 0, and perhaps of some above it. */
		uint64_t seen = (x - PG_EACH_8) & ~x & (PG_EACH_8 << 7);
		unsigned shift = (unsigned)__builtin_ctzll(seen | (uint64_t)1 << 63) - 7;

		/* All grow older by one; the oldest, at `ways` then, becomes 0. */
		was += PG_EACH_8 >> (64 - 8 * lanes);
		if (ways <= 8 || seen) {
			was -= (uint64_t)ways << shift;
			way = 8 * w + shift / 8;
		}
		ages[w] = was;
	}
	return way;
}

/* The way of an age below `ways`; 0: the most recently used. */
PG_INLINE unsigned pg_set_aged(uint8_t *block, unsigned ways, uint8_t age)
{
	const uint8_t *ages = pg_set_ages(block, ways);
	unsigned w = 0;

	while (ages[w] != age)
		w++;
	return w;
}

/* Makes a way the least recently used: those older than it grow younger by one. */
PG_INLINE void pg_set_retire(uint8_t *block, unsigned ways, unsigned way)
{
	uint8_t *ages = pg_set_ages(block, ways);
	uint8_t age = ages[way];

	for (unsigned w = 0; w < ways; w++)
		ages[w] -= ages[w] > age;
	ages[way] = (uint8_t)(ways - 1);
}

#endif
