/* SPDX-License-Identifier: MIT */
/*
 * tests/reclaim/example_swap.c: libpagoda with memory smaller than what is asked of it. It sees nothing but the installed headers
 * and the shared library; the check runs it.
 *
 *   cc example_swap.c $(pkg-config --cflags --libs pagoda)
 *
 * A machine of 1 MiB, a store of 16 MiB of compressed memory, a policy of our own (the page that came first goes first), and a
 * space into which 8 MiB are written and read back. Then the same with the library's clock.
 */
#include <pagoda/reclaim.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGES 2048u

/* ---- a policy: a ring of frame numbers in the order of their coming */

struct queue {
	struct pg_policy base; /* first */
	uint32_t frames, head, count, known;
	uint32_t ring[];
};

static int queue_create(
	const struct pg_policy_env *env, uint32_t frames, const char *args, struct pg_policy **out)
{
	struct queue *q;

	if (*args)
		return -EINVAL;
	q = calloc(1, sizeof *q + frames * sizeof *q->ring);
	if (!q)
		return -ENOMEM;
	q->frames = frames;
	*out = &q->base;
	return 0;
}

static void queue_destroy(struct pg_policy *p)
{
	free(p);
}

static void queue_push(struct queue *q, pg_pfn f)
{
	q->ring[(q->head + q->count++) % q->frames] = f.v;
}

static void queue_added(struct pg_policy *p, pg_pfn f, const struct pg_page_info *info)
{
	struct queue *q = (struct queue *)p;

	q->known++;
	queue_push(q, f);
}

/* It was freed. It may be in the ring, or picked. */
static void queue_removed(struct pg_policy *p, pg_pfn f)
{
	struct queue *q = (struct queue *)p;
	uint32_t n = q->count;

	q->known--;
	q->count = 0;
	for (uint32_t i = 0; i < n; i++) {
		pg_pfn g = {q->ring[(q->head + i) % q->frames]};

		if (g.v != f.v)
			queue_push(q, g);
	}
}

static pg_pfn queue_pick(struct pg_policy *p)
{
	struct queue *q = (struct queue *)p;
	pg_pfn f = {UINT32_MAX};

	if (q->count) {
		f.v = q->ring[q->head];
		q->head = (q->head + 1) % q->frames;
		q->count--;
	}
	return f;
}

static void queue_evicted(struct pg_policy *p, pg_pfn f, struct pg_page_key key)
{
	((struct queue *)p)->known--;
}

/* It could not go: it comes last. */
static void queue_kept(struct pg_policy *p, pg_pfn f)
{
	queue_push((struct queue *)p, f);
}

static uint64_t queue_pages(const struct pg_policy *p)
{
	return ((const struct queue *)p)->known;
}

static const char *queue_check(const struct pg_policy *p)
{
	const struct queue *q = (const struct queue *)p;

	return q->count <= q->known ? NULL : "more pages in the ring than known";
}

static const struct pg_policy_ops queue_policy = {.name = "queue",
	.summary = "the page that came first goes first",
	.source = "this file",
	.create = queue_create,
	.destroy = queue_destroy,
	.added = queue_added,
	.removed = queue_removed,
	.pick = queue_pick,
	.evicted = queue_evicted,
	.kept = queue_kept,
	.pages = queue_pages,
	.check = queue_check};

/* ---- a machine that uses it */

static uint64_t value_of(uint64_t page)
{
	return page * 0x9e3779b97f4a7c15u + 1;
}

/* Writes and reads PAGES pages. 0 if all bytes came back. */
static int guest(struct pg_space *s)
{
	pg_va a = {0}, at;
	uint64_t v;

	if (pg_space_map(s, &a, PAGES * PG_PAGE_SIZE, PG_READ | PG_WRITE, 7, 0, NULL, 0, NULL))
		return 1;
	for (uint64_t i = 0; i < PAGES; i++) {
		at.v = a.v + i * PG_PAGE_SIZE;
		v = value_of(i);
		if (pg_space_write(s, at, &v, sizeof v, 0) != sizeof v)
			return 1;
	}
	for (uint64_t i = 0; i < PAGES; i++) {
		at.v = a.v + i * PG_PAGE_SIZE;
		if (pg_space_read(s, &v, at, sizeof v, 0) != sizeof v || v != value_of(i))
			return 1;
	}
	return pg_space_check(s) != NULL;
}

static int run(struct pg_vm *vm, struct pg_reclaim_config *c)
{
	const struct pg_space_config layout = {
		.lo = {0x10000}, .hi = {0x7ffffffff000}, .mmap_top = {0x7ffff7fff000}};
	struct pg_reclaim_pressure waited[2];
	struct pg_reclaim_stats st;
	struct pg_reclaim *r;
	struct pg_space *s;
	int failed = 1;

	if (pg_reclaim_create(vm, c, &r))
		return 1;
	if (!pg_space_create(vm, &layout, &s)) {
		failed = guest(s);
		pg_reclaim_stats(r, &st);
		pg_reclaim_pressure(r, waited);
		printf("%s: %llu pages went to the store, %llu came back, %llu slots at most\n",
			pg_reclaim_policy(r)->name, (unsigned long long)st.swap_out,
			(unsigned long long)st.swap_in, (unsigned long long)st.slots_peak);
		failed |= st.swap_out < PAGES - 256 || st.swap_in < PAGES - 256 ||
			  waited[0].total_ns == 0;
		pg_space_destroy(s);
	}
	pg_reclaim_destroy(r);
	return failed;
}

int main(void)
{
	const struct pg_vm_config machine = {
		.memory_bytes = 1 << 20, .form = &pg_table_radix, .geometry = pg_geometry_x86_64};
	struct pg_reclaim_config own = {.own_policy = &queue_policy}, clock = {.policy = "clock"};
	struct pg_store *store;
	const char *why = NULL;
	struct pg_vm *vm;
	int failed = 1;

	if (pg_store_create("lz4:16M", NULL, &store, &why)) {
		fprintf(stderr, "no store: %s\n", why ? why : "no memory");
		return 1;
	}
	own.store = clock.store = store;
	if (!pg_vm_create(&machine, &vm)) {
		failed = run(vm, &own) | run(vm, &clock);
		pg_vm_destroy(vm);
	}
	pg_store_destroy(store);
	return failed;
}
