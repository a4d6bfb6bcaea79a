/* SPDX-License-Identifier: MIT */
/*
 * tests/store/batch.h: a store that a test made, and batches of pages written to it and read back. Header only; for test_store.c and
 * test_layers.c.
 */
#ifndef PG_TESTS_STORE_BATCH_H
#define PG_TESTS_STORE_BATCH_H

#include "pages.h"
#include "store/fault.h"
#include "store/slots.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct pg_store_options plain = {.no_uring = true};

static inline struct pg_store *make(const char *spec)
{
	struct pg_store *s = NULL;
	const char *why = NULL;
	int rc = pg_store_create(spec, &plain, &s, &why);

	if (rc < 0)
		print_error("%s: %d %s\n", spec, rc, why ? why : "");
	assert_int_equal(rc, 0);
	assert_null(pg_store_check(s));
	return s;
}

static inline void unmake(struct pg_store *s)
{
	assert_null(pg_store_check(s));
	pg_store_destroy(s);
}

/* A batch of pages in slots that follow each other, of seeds seed, seed + 1, ... */
struct batch {
	unsigned n;
	uint64_t seed;
	struct pg_store_io io[256];
	uint8_t *pages;
};

static inline void batch_begin(struct batch *b, struct pg_store *s, unsigned n, uint64_t seed)
{
	b->n = n;
	b->seed = seed;
	b->pages = page_new(n);
	for (unsigned i = 0; i < n;) {
		pg_slot first;
		int got = pg_store_reserve(s, n - i, &first);

		assert_true(got > 0);
		for (int k = 0; k < got; k++, i++)
			b->io[i] = (struct pg_store_io){.slot = {first.v + (unsigned)k},
				.page = b->pages + i * PG_PAGE_SIZE};
	}
}

static inline int batch_write(struct batch *b, struct pg_store *s)
{
	for (unsigned i = 0; i < b->n; i++)
		page_fill(b->io[i].page, b->seed + i);
	return pg_store_write(s, b->io, b->n);
}

/* Reads; pages with status 0 must be right. */
static inline int batch_read(struct batch *b, struct pg_store *s)
{
	uint8_t *want = page_new(1);
	int rc;

	memset(b->pages, 0x55, b->n * PG_PAGE_SIZE);
	rc = pg_store_read(s, b->io, b->n);
	for (unsigned i = 0; i < b->n; i++) {
		page_fill(want, b->seed + i);
		if (b->io[i].status == 0)
			assert_memory_equal(want, b->io[i].page, PG_PAGE_SIZE);
	}
	free(want);
	return rc;
}

static inline void batch_end(struct batch *b, struct pg_store *s)
{
	for (unsigned i = 0; i < b->n; i++)
		pg_store_release(s, b->io[i].slot, 1);
	free(b->pages);
}

#endif
