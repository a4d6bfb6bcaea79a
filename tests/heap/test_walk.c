/* SPDX-License-Identifier: MIT */
/*
 * The heap walked from memory alone, by heap/layout.h, beside what the program knows of its blocks (R18; H1 to H4): every
 * live block is found where it is, no other is, and what must not touch does not. This is how a walker outside does it.
 * Linked with the static library. "N passed, N failed".
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "heap/layout.h"

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                    \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define SLOTS 4000

static void *live[SLOTS];
static size_t sizes[SLOTS];

/* Blocks in use that the walk found; static, so that the walk does not change what it walks. */
static struct {
	uint64_t address, size;
} found[400000];
static size_t found_count;

static void add(uint64_t address, uint64_t size)
{
	CHECK(found_count < sizeof found / sizeof found[0]);
	found[found_count].address = address;
	found[found_count++].size = size;
}

static void walk_list(void)
{
	const struct pg_heap_root *r = &pg_heap_root;
	uint64_t prev = 0, free_blocks = 0;
	int prev_free = 0;

	for (uint64_t at = r->list.start; at != r->list.end; at += prev) {
		const struct pg_heap_block *b = (const void *)at;
		CHECK((uint64_t)b->prev_units * PG_HEAP_UNIT == prev); /* H1 */
		int is_free = !(b->size_flags & PG_HEAP_USED);
		CHECK(!(is_free && prev_free)); /* H2 */
		prev = b->size_flags & ~(uint64_t)PG_HEAP_FLAGS;
		CHECK(prev >= PG_HEAP_BLOCK_MIN && at + prev <= r->list.end);
		prev_free = is_free;
		free_blocks += (uint64_t)is_free;
		if (!is_free && !(b->size_flags & PG_HEAP_FENCE))
			add(at + PG_HEAP_HEADER, prev - PG_HEAP_HEADER);
	}
	const struct pg_heap_block *end = (const void *)r->list.end;
	CHECK((end->size_flags & ~(uint64_t)PG_HEAP_FLAGS) == 0);
	/* H2: the list has as many, in the order of addresses; links are XOR the secret and their own address. */
	uint64_t last = 0;
	for (uint64_t at = r->list.free; at;) {
		const struct pg_heap_block *b = (const void *)at;
		CHECK(at > last && !(b->size_flags & PG_HEAP_USED));
		CHECK((b->prev ^ r->list_secret ^ (uint64_t)&b->prev) == last);
		last = at;
		at = b->next ^ r->list_secret ^ (uint64_t)&b->next;
		free_blocks--;
	}
	CHECK(free_blocks == 0);
}

static void walk_page(const struct pg_heap_page *page)
{
	const struct pg_heap_bits *bits = (const void *)page->bits;

	for (uint32_t i = 0; i < page->capacity; i++) {
		int is_free = bits->free[i / 64] >> (i % 64) & 1,
		    remote = bits->remote[i / 64] >> (i % 64) & 1;
		CHECK(!(is_free && remote)); /* H3 */
		if (!is_free && !remote)
			add(page->start + (uint64_t)i * page->block_size, page->block_size);
	}
	for (uint32_t i = page->capacity;
		i < PG_HEAP_BIT_WORDS * 64 && i < (page->capacity + 63u) / 64 * 64; i++)
		CHECK(!(bits->free[i / 64] >> (i % 64) & 1));
}

static void walk_segment(uint64_t start)
{
	const struct pg_heap_segment *s = (const void *)PG_HEAP_HEADER_OF(start);
	uint64_t covered = s->free | ((1ul << PG_HEAP_HEADER_SLICES) - 1);

	CHECK(s->address == start);
	CHECK((s->dirty & ~s->free) == 0);
	CHECK((s->free & ((1ul << PG_HEAP_HEADER_SLICES) - 1)) == 0);
	for (unsigned i = PG_HEAP_HEADER_SLICES; i < PG_HEAP_SLICES; i++) {
		const struct pg_heap_page *page = &s->pages[i];
		if (!page->heap)
			continue;
		CHECK(page->slices >= 1 && i + page->slices <= PG_HEAP_SLICES);
		for (unsigned k = i; k < i + page->slices; k++) {
			CHECK(!(covered >> k & 1)); /* H4 */
			covered |= 1ul << k;
		}
		walk_page(page);
	}
	CHECK(covered == ~0ul); /* H4 */
}

static void walk(void)
{
	const struct pg_heap_root *r = &pg_heap_root;

	found_count = 0;
	CHECK(r->magic == PG_HEAP_MAGIC && r->version == PG_HEAP_VERSION);
	if (r->family != PG_HEAP_SHARDED)
		walk_list();
	const uint64_t *known = (const void *)r->known;
	for (uint64_t i = 0; i < r->known_words; i++) {
		for (uint64_t word = known[i]; word; word &= word - 1)
			walk_segment(
				(i * 64 + (unsigned)__builtin_ctzl(word)) << PG_HEAP_SEGMENT_SHIFT);
	}
	const struct pg_heap_huge *huge = (const void *)r->huge;
	for (uint64_t i = 0; i < r->huge_rows; i++) {
		if (huge[i].address > 1)
			add(huge[i].address, huge[i].size);
	}
}

static int by_address(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Every live block is among those found, and the others are the few of before. */
static void compare(size_t others)
{
	size_t matched = 0;

	walk();
	for (int i = 0; i < SLOTS; i++) {
		if (!live[i])
			continue;
		size_t k = 0;
		for (; k < found_count; k++) {
			if (found[k].address == (uint64_t)live[i])
				break;
		}
		CHECK(k < found_count && found[k].size >= sizes[i]);
		matched++;
	}
	CHECK(found_count == matched + others);
	qsort(found, found_count, sizeof found[0], by_address);
	for (size_t k = 0; k + 1 < found_count; k++)
		CHECK(found[k].address + found[k].size <= found[k + 1].address);
}

static void *drop_odd(void *unused)
{
	for (int i = 1; i < SLOTS; i += 2) {
		free(live[i]);
		live[i] = NULL;
	}
	return NULL;
}

static size_t blocks_found(void)
{
	walk();
	return found_count;
}

int main(void)
{
	struct pg_random r;
	pthread_t t;

	pg_random_seed(&r, 5);
	/* What the C library keeps: from the first thread's end on, it does not change. */
	pthread_create(&t, NULL, drop_odd, NULL);
	pthread_join(t, NULL);
	size_t others = blocks_found();
	for (int round = 0; round < 6; round++) {
		for (int i = 0; i < SLOTS; i++) {
			uint64_t d = pg_random_next(&r);
			if (d & 1)
				continue;
			free(live[i]);
			sizes[i] = (d >> 8 & 0x3ff) << ((d >> 20 & 15) == 0 ? (d >> 24) % 12 : 0);
			live[i] = d & 2 ? malloc(sizes[i]) : NULL;
		}
		compare(others);
		if (round == 3) { /* frees from elsewhere wait in the remote bits */
			pthread_create(&t, NULL, drop_odd, NULL);
			pthread_join(t, NULL);
			compare(others);
		}
	}
	drop_odd(NULL);
	for (int i = 0; i < SLOTS; i++)
		free(live[i]), live[i] = NULL;
	compare(others);
	printf("7 passed, 0 failed\n");
	return 0;
}
