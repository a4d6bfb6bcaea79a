/* SPDX-License-Identifier: MIT */
/*
 * tests/store/model.c: every kind of store beside a plain map from slot to number, under random reservations, writes,
 * reads and releases; all invariants after every step. Rows R6, R11.
 *
 * What a store may do is in store.h: a page read with status 0 is the page written, whatever else fails.
 *
 * model [SEED [STEPS]]
 */
#include "pages.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_SLOTS 65536u
#define MAX_IO 400u

/* From chaos.c, if linked: host calls that move less than they were asked for. */
extern void chaos_begin(uint64_t seed) __attribute__((weak));

enum strictness {
	EXACT,   /* never full before all slots are taken; nothing fails */
	LIMITED, /* may be full at any time; nothing else fails */
	FAILING, /* anything may fail */
};

struct world {
	struct pg_store *store;
	enum strictness strict;
	struct pg_random r;
	uint64_t slots;
	uint64_t used;
	uint8_t taken[MAX_SLOTS]; /* 0 free, 1 reserved, 2 written */
	uint64_t seed[MAX_SLOTS];
	uint64_t next_seed;
	uint64_t wrote, read, refused, failed; /* pages */
	uint8_t *pages;                        /* MAX_IO of them */
	uint8_t *want;
};

#define FAIL(...)                                                                                  \
	do {                                                                                       \
		printf("model: %s: ", pg_store_name(w->store));                                    \
		printf(__VA_ARGS__);                                                               \
		printf("\n");                                                                      \
		return false;                                                                      \
	} while (0)

static bool do_reserve(struct world *w)
{
	unsigned want = 1 + (unsigned)pg_random_below(&w->r, pg_random_one_in(&w->r, 4) ? 256 : 16);
	pg_slot first;
	int got = pg_store_reserve(w->store, want, &first);

	if (got == -ENOSPC) {
		if (w->strict == EXACT && w->used != w->slots)
			FAIL("full with %lu of %lu slots taken", w->used, w->slots);
		return true;
	}
	if (got < 1 || (unsigned)got > want || first.v + (uint64_t)got > w->slots)
		FAIL("reserve(%u) gave %d from %u", want, got, first.v);
	if (first.v / PG_STORE_CLUSTER != (first.v + (unsigned)got - 1) / PG_STORE_CLUSTER)
		FAIL("a run across two clusters");
	if (first.v + (uint64_t)got > MAX_SLOTS) { /* more than is kept track of */
		pg_store_release(w->store, first, (unsigned)got);
		return true;
	}
	for (unsigned i = 0; i < (unsigned)got; i++) {
		if (w->taken[first.v + i])
			FAIL("slot %u reserved twice", first.v + i);
		w->taken[first.v + i] = 1;
	}
	w->used += (unsigned)got;
	return true;
}

/* A reserved slot at random; false if none was found quickly. */
static bool some_slot(struct world *w, uint32_t *out)
{
	uint64_t high = w->slots < MAX_SLOTS ? w->slots : MAX_SLOTS;

	for (int i = 0; i < 200; i++) {
		uint32_t s = (uint32_t)pg_random_below(&w->r, high);

		/* Low slots are in use more often: look there too. */
		s = i & 1 ? s : s % (uint32_t)(1 + w->used);
		if (w->taken[s]) {
			*out = s;
			return true;
		}
	}
	return false;
}

/* Up to MAX_IO reserved slots, in runs, none twice; how many. */
static unsigned gather(struct world *w, struct pg_store_io *io)
{
	unsigned n = 0, runs = 1 + (unsigned)pg_random_below(&w->r, 12);

	for (unsigned k = 0; k < runs; k++) {
		unsigned length = 1 + (unsigned)pg_random_below(&w->r, 40);
		uint32_t s;

		if (!some_slot(w, &s))
			break;
		for (; length > 0 && n < MAX_IO && s < w->slots && w->taken[s] &&
			!(w->taken[s] & 4);
			s++, length--) {
			w->taken[s] |= 4; /* chosen */
			io[n] = (struct pg_store_io){
				.slot = {s}, .page = w->pages + n * PG_PAGE_SIZE};
			n++;
		}
	}
	for (unsigned i = 0; i < n; i++)
		w->taken[io[i].slot.v] &= 3;
	return n;
}

static bool may_fail(const struct world *w, int status, bool write)
{
	if (w->strict == FAILING)
		return status == -EIO || status == -EILSEQ || status == -ENOSPC;
	return write && w->strict == LIMITED && status == -ENOSPC;
}

static bool do_write(struct world *w)
{
	struct pg_store_io io[MAX_IO];
	unsigned n = gather(w, io);
	int first = 0, rc;

	if (n == 0)
		return true;
	for (unsigned i = 0; i < n; i++) {
		w->seed[io[i].slot.v] = w->next_seed++;
		page_fill(io[i].page, w->seed[io[i].slot.v]);
	}
	rc = pg_store_write(w->store, io, n);
	for (unsigned i = 0; i < n; i++) {
		if (io[i].status && !may_fail(w, io[i].status, true))
			FAIL("write of slot %u gave %d", io[i].slot.v, io[i].status);
		w->taken[io[i].slot.v] = io[i].status ? 1 : 2;
		w->wrote += io[i].status == 0;
		w->refused += io[i].status != 0;
		first = first ? first : io[i].status;
	}
	if (rc != first)
		FAIL("write gave %d, its first status is %d", rc, first);
	return true;
}

static bool do_read(struct world *w)
{
	struct pg_store_io io[MAX_IO];
	unsigned n = gather(w, io);

	if (n == 0)
		return true;
	memset(w->pages, 0xee, n * PG_PAGE_SIZE);
	(void)!pg_store_read(w->store, io, n);
	for (unsigned i = 0; i < n; i++) {
		uint32_t s = io[i].slot.v;

		if (w->taken[s] == 1) {
			if (io[i].status != -ENODATA)
				FAIL("read of slot %u, never written, gave %d", s, io[i].status);
			continue;
		}
		if (io[i].status) {
			if (!may_fail(w, io[i].status, false))
				FAIL("read of slot %u gave %d", s, io[i].status);
			w->failed++;
			continue;
		}
		page_fill(w->want, w->seed[s]);
		if (memcmp(w->want, io[i].page, PG_PAGE_SIZE) != 0)
			FAIL("slot %u came back other than it was written", s);
		w->read++;
	}
	return true;
}

static bool do_release(struct world *w)
{
	unsigned length = 1 +
			  (unsigned)pg_random_below(&w->r, pg_random_one_in(&w->r, 3) ? 600 : 30),
		 n = 0;
	uint32_t s;

	if (!some_slot(w, &s))
		return true;
	while (n < length && s + n < w->slots && w->taken[s + n])
		w->taken[s + n++] = 0;
	pg_store_release(w->store, (pg_slot){s}, n);
	w->used -= n;
	return true;
}

static bool do_check(struct world *w)
{
	const char *broken = pg_store_check(w->store);
	struct pg_store_room room;
	struct pg_store_stats st;

	if (broken)
		FAIL("%s", broken);
	pg_store_room(w->store, &room);
	pg_store_stats(w->store, &st);
	if (room.used != w->used || st.slots_used != w->used)
		FAIL("%lu slots used, it says %lu and %lu", w->used, room.used, st.slots_used);
	if (st.pages_out != w->wrote)
		FAIL("%lu pages written, it says %lu", w->wrote, st.pages_out);
	if (st.memory_peak > room.limit_bytes)
		FAIL("memory of %lu bytes is above the limit of %lu", st.memory_peak,
			room.limit_bytes);
	return true;
}

static bool run(
	const char *spec, enum strictness strict, bool no_uring, uint64_t seed, unsigned steps)
{
	static struct world world;
	struct world *w = &world;
	struct pg_store_options options = {.no_uring = no_uring};
	struct pg_store_room room;
	const char *why = NULL;
	bool fine = true;
	int rc;

	memset(w, 0, sizeof(*w));
	w->strict = strict;
	w->next_seed = seed * 1000003;
	w->pages = page_new(MAX_IO);
	w->want = page_new(1);
	pg_random_seed(&w->r, seed);
	if (chaos_begin)
		chaos_begin(seed);
	rc = pg_store_create(spec, &options, &w->store, &why);
	if (rc < 0) {
		printf("model: %s: %d, %s\n", spec, rc, why ? why : "");
		fine = rc == -EINVAL && !strncmp(spec, "direct", 6); /* tmpfs has none */
	} else {
		pg_store_room(w->store, &room);
		w->slots = room.slots;
		for (unsigned i = 0; i < steps && fine; i++) {
			/* Phases in which the store fills up, and in which it empties. */
			uint64_t grow = i / 64 % 2 ? 4 : 2;
			uint64_t x = pg_random_below(&w->r, 10);

			fine = x < grow ? do_reserve(w)
			       : x < 6  ? do_write(w)
			       : x < 8  ? do_read(w)
					: do_release(w);
			fine = fine && do_check(w);
		}
		if (fine && (w->wrote == 0 || w->read == 0)) {
			printf("model: %s: nothing was written, or nothing read\n", spec);
			fine = false;
		}
		if (fine && strict == FAILING && w->refused + w->failed == 0) {
			printf("model: %s: nothing failed\n", spec);
			fine = false;
		}
		pg_store_destroy(w->store);
	}
	free(w->pages);
	free(w->want);
	return fine;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *spec;
		enum strictness strict;
	} cases[] = {
		{"4M", EXACT},
		{"3M", EXACT},
		{"20K", EXACT},
		{"file:model-swap:5M", EXACT},
		{"direct:3M", EXACT},
		{"zstd:2M", LIMITED},
		{"lz4:1M", LIMITED},
		{"lz4:64M", LIMITED},
		{"lz4:1M,4M", LIMITED},
		{"zstd:1M,lz4:1M,2M", LIMITED},
		{"1M,2M,zstd:1M", LIMITED},
		{"fault:eio@7/13:3M", FAILING},
		{"fault:short@20/50:3M", FAILING},
		{"fault:corrupt@3/11:3M", FAILING},
		{"fault:corrupt-in@3/11:lz4:2M", FAILING},
		{"fault:full@9/3:3M", FAILING},
		{"lz4:1M,fault:eio@2/3:4M,2M", FAILING},
		{"fault:corrupt-out@5/9:zstd:1M,2M", FAILING},
	};
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	unsigned steps = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 1200;
	unsigned passed = 0, failed = 0;
	char folder[] = "model-XXXXXX"; /* another of us may run in the same place */

	if (mkdtemp(folder) == NULL || chdir(folder) != 0)
		return 2;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int plain = 0; plain < 2; plain++) {
			bool file = !strstr(cases[i].spec, "zstd") && !strstr(cases[i].spec, "lz4");

			if (plain && !file)
				continue;
			if (run(cases[i].spec, cases[i].strict, plain, seed + i, steps))
				passed++;
			else
				failed++;
		}
	unlink("model-swap");
	if (chdir("..") != 0 || rmdir(folder) != 0)
		return 2;
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
