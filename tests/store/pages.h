/* SPDX-License-Identifier: MIT */
/*
 * tests/store/pages.h: pages whose bytes follow from a number, of every kind that a store tells apart.
 */
#ifndef TESTS_STORE_PAGES_H
#define TESTS_STORE_PAGES_H

#include "base/random.h"
#include "base/types.h"

#include <stdlib.h>
#include <string.h>

/* What the page of a seed looks like. */
enum page_kind {
	PAGE_ZERO,
	PAGE_SAME,   /* one word repeated */
	PAGE_TEXT,   /* compresses well */
	PAGE_HALF,   /* random up to some point, zero behind it: compresses to any size */
	PAGE_RANDOM, /* does not compress */
	PAGE_ALMOST, /* one word repeated, but for one byte somewhere */
	PAGE_KINDS,
};

static inline enum page_kind page_kind_of(uint64_t seed)
{
	return (enum page_kind)(seed % PAGE_KINDS);
}

/* The page of a seed, the same each time. */
static inline void page_fill(void *page, uint64_t seed)
{
	static const char text[] = "the quick brown fox jumps over the lazy dog; ";
	struct pg_random r;
	uint64_t *word = page;
	uint8_t *byte = page;
	size_t words = PG_PAGE_SIZE / sizeof(*word), n = 0;

	pg_random_seed(&r, seed);
	memset(page, 0, PG_PAGE_SIZE);
	switch (page_kind_of(seed)) {
	case PAGE_SAME:
	case PAGE_ALMOST:
		word[0] = pg_random_next(&r);
		for (size_t i = 1; i < words; i++)
			word[i] = word[0];
		if (page_kind_of(seed) == PAGE_ALMOST)
			byte[pg_random_below(&r, PG_PAGE_SIZE)] ^= 1;
		break;
	case PAGE_TEXT:
		for (size_t i = 0; i < PG_PAGE_SIZE; i++)
			byte[i] = (uint8_t)text[i % (sizeof(text) - 1)];
		for (size_t i = 0; i < 40; i++)
			byte[pg_random_below(&r, PG_PAGE_SIZE)] = (uint8_t)pg_random_next(&r);
		break;
	case PAGE_HALF:
		n = pg_random_below(&r, words);
		break;
	case PAGE_RANDOM:
		n = words;
		break;
	default:
		break;
	}
	for (size_t i = 0; i < n; i++)
		word[i] = pg_random_next(&r);
}

static inline void *page_new(size_t pages)
{
	void *p = aligned_alloc(PG_PAGE_SIZE, pages * PG_PAGE_SIZE);

	PG_ASSERT(p);
	return p;
}

#endif
