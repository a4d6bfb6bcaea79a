/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/test_blocks.c: spaces of one contiguous block (space/block.h) under random operations, beside a model that keeps the byte of each
 * logical page and nothing of frames.
 *
 * Guards B1 to B5 and requirements R1 (blocks, swapping of whole processes) and R2 (growth in place and by migration): after each step the bytes of
 * image, heap and stack are those that were written, new ones are zero, each page is translated as the textbook's formula
 * says, no frame is in two blocks, and an MMU that looked at a page before does not remember where it was.
 * The n-th allocation fails in some runs, and so does the n-th access of the store: then the operation has changed nothing.
 */
#include "base/random.h"
#include "mmu/tlb.h"
#include "space/impl.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PAGE 4096ull
#define FRAMES 512u /* 2 MiB */
#define SPACES 6
#define SPAN 300u /* pages that a model can hold */
#define ORIGIN 0x400u
#define IMAGE 5u

/* ---- failing allocations */

static uint64_t countdown;
static bool fired;

void *__real_pg_mem_alloc(struct pg_mem *m, size_t bytes);
void *__wrap_pg_mem_alloc(struct pg_mem *m, size_t bytes);

void *__wrap_pg_mem_alloc(struct pg_mem *m, size_t bytes)
{
	if (countdown && --countdown == 0) {
		fired = true;
		return NULL;
	}
	return __real_pg_mem_alloc(m, bytes);
}

/* ---- the model */

struct process {
	struct pg_space *s; /* NULL: none */
	uint64_t heap,
		stack; /* pages that it may count on: image and heap from the origin up, stack from the top down */
	uint8_t low[SPAN],
		high[SPAN]; /* what each of their pages holds; high[0] is the topmost page */
	bool out;
};

struct rig {
	struct pg_vm *vm;
	struct pg_store *store;
	struct process p[SPACES];
	struct pg_random r;
	uint64_t span; /* pages */
	bool compacts; /* what the hook does */
	unsigned events[PG_BLOCK_EVENTS];
	struct pg_fault_event fault;
	struct pg_mmu *mmu;
	struct pg_tlb_fast fast_d[64];
	struct process *seen; /* whom the MMU looks at; NULL: nobody */
};

static void on_event(void *ctx, const struct pg_block_event *e)
{
	struct rig *g = ctx;

	g->events[e->kind]++;
}

static void on_fault(void *ctx, const struct pg_fault_event *e)
{
	struct rig *g = ctx;

	g->fault = *e;
}

static bool on_room(void *ctx, struct pg_space *s, uint64_t pages, enum pg_block_want what)
{
	struct rig *g = ctx;

	return g->compacts && pg_block_compact(g->vm, NULL) > 0;
}

static bool on_need(void *ctx, struct pg_space *s)
{
	return pg_block_swap_in(s) == 0;
}

static void begin(
	struct rig *g, enum pg_partition_fit fit, uint64_t seed, bool fixed, const char *store)
{
	const struct pg_block_config blocks = {.fit = fit};
	const struct pg_vm_config c = {.memory_bytes = FRAMES * PAGE,
		.form = &pg_table_base_limit,
		.geometry = pg_geometry_x86_64,
		.hooks = {.ctx = g, .fault = on_fault},
		.blocks = &blocks};
	const struct pg_mmu_config tlb = {.l1d = {64, 4}};
	const struct pg_block_hooks hooks = {
		.ctx = g, .event = on_event, .room = on_room, .need = on_need};

	memset(g, 0, sizeof *g);
	pg_random_seed(&g->r, seed);
	g->span = fixed ? 0 : SPAN;
	assert_int_equal(pg_vm_create(&c, &g->vm), 0);
	pg_vm_set_block_hooks(g->vm, &hooks);
	assert_int_equal(pg_store_create(store, NULL, &g->store, NULL), 0);
	assert_int_equal(pg_mmu_create(&tlb, pg_vm_frames(g->vm), g->fast_d, NULL, &g->mmu), 0);
}

static void look_at(struct rig *g, struct process *p)
{
	if (g->seen)
		pg_space_detach(g->seen->s, pg_mmu_shootdown(g->mmu));
	g->seen = p;
	pg_mmu_flush(g->mmu); /* nobody tells it of a space that it is not attached to */
	pg_mmu_switch(g->mmu, p ? pg_space_table(p->s) : NULL, p ? pg_space_asid(p->s) : 0);
	if (p)
		pg_space_attach(p->s, pg_mmu_shootdown(g->mmu));
}

static void end_process(struct rig *g, struct process *p)
{
	if (g->seen == p)
		look_at(g, NULL);
	pg_space_destroy(p->s);
	p->s = NULL;
}

static void end(struct rig *g)
{
	for (int i = 0; i < SPACES; i++)
		if (g->p[i].s)
			end_process(g, &g->p[i]);
	pg_mmu_destroy(g->mmu);
	pg_vm_destroy(g->vm);
	pg_store_destroy(g->store);
}

static struct pg_space *fresh_space(struct rig *g)
{
	const struct pg_space_config c = {.lo.v = 0x10000,
		.hi.v = 0x7ffffffff000,
		.mmap_top.v = 0x7ffffffff000,
		.stack_limit_bytes = 64 * PAGE};
	struct pg_space *s;

	return pg_space_create(g->vm, &c, &s) ? NULL : s;
}

/* ---- what must hold at any time */

/* The page's frame by the formula of the textbook, or, for the stack of a block that may grow, from its end; -1: beyond. */
static int64_t formula(const struct pg_block_info *b, uint64_t vpn)
{
	int64_t o = (int64_t)(b->origin.v / PAGE), t = (int64_t)(b->top.v / PAGE), v = (int64_t)vpn;

	if (!b->placed)
		return -1;
	if (v >= o && v < o + (int64_t)b->low_pages)
		return (int64_t)b->base + v - o;
	if (v < t && v >= t - (int64_t)b->stack_pages)
		return (int64_t)b->base + (int64_t)b->pages - (t - v);
	return -1;
}

static void check_translation(struct rig *g, struct process *p, uint8_t *taken)
{
	struct pg_block_info b;

	assert_true(pg_block_info(p->s, &b));
	assert_int_equal(b.low_pages + b.stack_pages, b.pages);
	assert_true(b.low_pages >= p->heap && b.stack_pages >= p->stack);
	for (uint64_t v = ORIGIN - 8; v < b.top.v / PAGE + 8; v++) {
		int64_t f = formula(&b, v);
		pg_pte e = pg_table_find(pg_space_table(p->s), (pg_vpn){v});

		assert_int_equal(e != 0, f >= 0);
		if (f < 0)
			continue;
		assert_int_equal(pg_pte_pfn(e).v, f);
		assert_true(f < (int64_t)FRAMES);
		/* another process's, or another page's: the two parts of a fixed block are one */
		assert_false(taken[f]);
		taken[f] = 1;
	}
}

static void check_bytes(struct rig *g, const struct process *p)
{
	uint64_t top = p->s->block->r.top;

	for (uint64_t i = 0; i < p->heap; i++) {
		const uint8_t *b = pg_frames_bytes(pg_vm_frames(g->vm),
			pg_space_resident(p->s, (pg_va){(ORIGIN + i) * PAGE}, NULL));
		assert_int_equal(b[0], p->low[i]);
		assert_int_equal(b[PAGE - 1], p->low[i]);
	}
	for (uint64_t i = 0; i < p->stack; i++) {
		const uint8_t *b = pg_frames_bytes(pg_vm_frames(g->vm),
			pg_space_resident(p->s, (pg_va){(top - 1 - i) * PAGE}, NULL));
		assert_int_equal(b[0], p->high[i]);
		assert_int_equal(b[PAGE - 1], p->high[i]);
	}
}

static void check_all(struct rig *g)
{
	uint8_t taken[FRAMES] = {0};
	const char *bad = NULL;

	for (int i = 0; i < SPACES; i++) {
		struct process *p = &g->p[i];

		if (!p->s)
			continue;
		bad = bad ? bad : pg_space_check(p->s);
		if (p->out) {
			assert_true(pg_pfn_is_none(
				pg_space_resident(p->s, (pg_va){ORIGIN * PAGE}, NULL)));
			continue;
		}
		check_translation(g, p, taken);
		check_bytes(g, p);
	}
	bad = bad ? bad : pg_mmu_check(g->mmu);
	if (bad)
		fail_msg("%s", bad);
}

/* What the MMU says of a random page is what the process would find there. */
static void look(struct rig *g)
{
	struct process *p = g->seen;
	struct pg_tlb_way *way;
	uint64_t i;

	if (!p || p->out)
		return;
	for (int n = 0; n < 4; n++) {
		i = pg_random_below(&g->r, p->heap);
		assert_int_equal(
			pg_mmu_lookup(g->mmu, (pg_va){(ORIGIN + i) * PAGE + 7}, PG_WRITE, &way),
			PG_MMU_OK);
		assert_int_equal(*(const uint8_t *)(uintptr_t)way->host, p->low[i]);
	}
	i = pg_random_below(&g->r, p->stack);
	assert_int_equal(
		pg_mmu_lookup(g->mmu, (pg_va){(p->s->block->r.top - 1 - i) * PAGE}, PG_READ, &way),
		PG_MMU_OK);
	assert_int_equal(*(const uint8_t *)(uintptr_t)way->host, p->high[i]);
}

/* ---- steps */

static struct process *any(struct rig *g)
{
	struct process *p = &g->p[pg_random_below(&g->r, SPACES)];

	return p->s ? p : NULL;
}

static void step_place(struct rig *g)
{
	struct pg_block_shape h = {.origin.v = ORIGIN * PAGE,
		.image_pages = IMAGE,
		.stack_pages = 1 + pg_random_below(&g->r, 4),
		.step_pages = 1 + pg_random_below(&g->r, 8),
		.name = "/image"};
	struct pg_partition_figures f;
	struct process *p = g->p;
	int err;

	while (p < g->p + SPACES && p->s)
		p++;
	if (p == g->p + SPACES)
		return;
	h.pages = h.image_pages + h.stack_pages + pg_random_below(&g->r, 60);
	h.span_pages = g->span ? g->span : h.pages;
	memset(p, 0, sizeof *p);
	p->s = fresh_space(g);
	if (!p->s)
		return;
	pg_partition_figures(pg_vm_partition(g->vm), &f);
	err = pg_block_place(p->s, &h);
	if (err) {
		assert_true(fired ? err == -ENOMEM : err == -ENOSPC && f.largest < h.pages);
		pg_space_destroy(p->s);
		p->s = NULL;
		return;
	}
	pg_space_set_brk_start(p->s, (pg_va){(ORIGIN + IMAGE) * PAGE});
	p->heap = IMAGE;
	p->stack = h.stack_pages;
	look_at(g, p);
}

/* Writes a page; one that is out comes in for it, if there is room. */
static void fill(struct rig *g, struct process *p, uint64_t vpn, uint8_t *cell)
{
	uint8_t bytes[PAGE], value = (uint8_t)pg_random_next(&g->r);
	uint64_t done;

	memset(bytes, value, sizeof bytes);
	done = pg_space_write(p->s, (pg_va){vpn * PAGE}, bytes, PAGE, 1);
	assert_int_equal(done, p->out && done == 0 ? 0 : PAGE);
	if (done) {
		*cell = value;
		p->out = false;
	}
}

static void step_write(struct rig *g, struct process *p)
{
	uint64_t i = pg_random_below(&g->r, p->heap), k = pg_random_below(&g->r, p->stack);

	fill(g, p, ORIGIN + i, &p->low[i]);
	fill(g, p, p->s->block->r.top - 1 - k, &p->high[k]);
}

/* A wild store into the room, which is nobody's but within the limit: nobody may see it. */
static void step_smear(struct rig *g, struct process *p)
{
	uint8_t junk = 0xee;

	if (!p->out && p->s->block->r.low > p->heap)
		assert_int_equal(
			pg_space_write(p->s, (pg_va){(ORIGIN + p->heap) * PAGE}, &junk, 1, 1), 1);
}

static void step_brk(struct rig *g, struct process *p)
{
	uint64_t want =
		IMAGE + pg_random_below(&g->r, pg_random_one_in(&g->r, 4) ? 120 : p->heap + 12);
	pg_va got, now = p->s->brk, to = {(ORIGIN + want) * PAGE};

	if (p->out || want + p->stack > SPAN)
		return;
	got = pg_space_brk(p->s, to, UINT64_MAX);
	assert_true(got.v == to.v || got.v == now.v);
	if (got.v == to.v) {
		for (uint64_t i = p->heap; i < want; i++)
			p->low[i] = 0;
		p->heap = want;
	} else {
		assert_true(want > p->heap);
	}
}

static void step_stack(struct rig *g, struct process *p)
{
	uint64_t depth = 1 + pg_random_below(&g->r, p->stack + 6);
	pg_va a;
	enum pg_fault_end end;

	if (p->out || depth + p->heap > SPAN || depth > 64)
		return;
	a.v = (p->s->block->r.top - depth) * PAGE;
	if (depth <= p->stack)
		return;
	end = pg_space_fault(p->s, a, PG_WRITE, 1, false);
	if (end != PG_FAULT_RESUME) {
		assert_int_equal(
			end, p->s->block->r.top - p->s->block->r.origin < p->heap + depth &&
					     pg_block_heap_end(p->s) + depth >
						     p->s->block->r.top - ORIGIN
				     ? PG_FAULT_LIMIT
				     : PG_FAULT_STACK);
		return;
	}
	if (p->s->block->r.pages - p->s->block->r.low >= depth) {
		memset(p->high + p->stack, 0, depth - p->stack);
		p->stack = depth;
	} /* else it is room of a block where both parts are one: within the limit, not yet the stack's */
}

static void step_wild(struct rig *g, struct process *p)
{
	static const uint64_t wild[] = {
		0, 0x10000, (ORIGIN - 1) * PAGE, 0x7fff00000000, (ORIGIN + 10000) * PAGE};
	uint64_t a = wild[pg_random_below(&g->r, 5)];
	uint64_t refused = p->s->st.faults_refused;

	if (p->out)
		return;
	assert_int_equal(pg_space_fault(p->s, (pg_va){a}, PG_WRITE, 3, false), PG_FAULT_LIMIT);
	assert_int_equal(g->fault.end, PG_FAULT_LIMIT);
	assert_int_equal(p->s->st.faults_refused, refused + 1);
}

static void step_fork(struct rig *g, struct process *p)
{
	struct process *k = g->p;

	while (k < g->p + SPACES && k->s)
		k++;
	if (k == g->p + SPACES || p->out)
		return;
	*k = *p;
	k->s = fresh_space(g);
	if (!k->s)
		return;
	if (pg_space_fork(p->s, k->s)) {
		pg_space_destroy(k->s);
		k->s = NULL;
	}
}

static void step_swap(struct rig *g, struct process *p)
{
	bool was_out = p->out;
	int err = was_out ? pg_block_swap_in(p->s) : pg_block_swap_out(p->s, g->store);

	if (!err)
		p->out = !was_out;
	else
		assert_true(err == -ENOSPC || err == -ENOMEM || err == -EIO);
	assert_int_equal(
		p->out ? pg_block_swap_out(p->s, g->store) : pg_block_swap_in(p->s), -EALREADY);
}

/* A block with a pinned frame stays where it is; others move around it. */
static void step_pin(struct rig *g, struct process *p)
{
	struct pg_block_info before, after;
	enum pg_fault_end how;
	struct iovec v;
	unsigned n = 0;

	if (p->out)
		return;
	assert_true(pg_block_info(p->s, &before));
	assert_int_equal(
		pg_space_pin(p->s, (pg_va){ORIGIN * PAGE}, 9, PG_READ, 1, &v, &n, 1, &how), 9);
	assert_int_equal(pg_block_swap_out(p->s, g->store), -EBUSY);
	pg_block_compact(g->vm, NULL);
	assert_true(pg_block_info(p->s, &after));
	assert_int_equal(after.base, before.base);
	assert_int_equal(after.pins, 1);
	pg_space_unpin(p->s, PG_READ, &v, n);
}

static void step_compact(struct rig *g)
{
	struct pg_partition_figures f;

	pg_block_compact(g->vm, NULL);
	pg_partition_figures(pg_vm_partition(g->vm), &f);
	assert_true(f.holes <= 1);
	assert_int_equal(f.largest, f.free);
}

static void step(struct rig *g)
{
	unsigned what = (unsigned)pg_random_below(&g->r, 100);
	struct process *p = any(g);

	g->compacts = pg_random_one_in(&g->r, 3);
	if (!p || what < 8)
		step_place(g);
	else if (what < 25)
		step_write(g, p);
	else if (what < 45)
		step_brk(g, p);
	else if (what < 58)
		step_stack(g, p);
	else if (what < 62)
		step_smear(g, p);
	else if (what < 66)
		step_wild(g, p);
	else if (what < 72)
		step_fork(g, p);
	else if (what < 84)
		step_swap(g, p);
	else if (what < 88)
		step_pin(g, p);
	else if (what < 91)
		step_compact(g);
	else if (what < 94)
		look_at(g, p);
	else
		end_process(g, p);
	look(g);
}

/* ---- tests */

static void blocks_keep_their_bytes_wherever_they_go(void **state)
{
	unsigned sum[PG_BLOCK_EVENTS] = {0};

	(void)state;
	for (uint64_t run = 0; run < 16; run++) {
		struct rig g;

		begin(&g, (enum pg_partition_fit)(run % PG_PARTITION_FITS), run + 1, run >= 11,
			"4M");
		for (int i = 0; i < 600; i++) {
			step(&g);
			check_all(&g);
		}
		for (int k = 0; k < PG_BLOCK_EVENTS; k++)
			sum[k] += g.events[k];
		end(&g);
	}
	for (int k = 0; k < PG_BLOCK_EVENTS; k++) /* the runs reach what they are to test */
		if (k != PG_BLOCK_WAIT && sum[k] < 30)
			fail_msg("only %u of %s", sum[k], pg_block_event_names[k]);
}

static void a_failed_allocation_changes_nothing(void **state)
{
	unsigned failed = 0;

	(void)state;
	for (uint64_t run = 0; run < 4; run++) {
		struct rig g;

		begin(&g, PG_PARTITION_FIRST, run + 100, false, "4M");
		for (int i = 0; i < 400; i++) {
			fired = false;
			countdown = 1 + pg_random_below(&g.r, 6);
			step(&g);
			countdown = 0;
			failed += fired;
			fired = false;
			check_all(&g);
		}
		end(&g);
	}
	assert_true(failed > 100);
}

static void a_failed_store_leaves_the_process_where_it_was(void **state)
{
	static const char *const stores[] = {
		"fault:eio@300/211:4M", "fault:full@700/301:4M", "800K"};

	(void)state;
	for (uint64_t run = 0; run < 3; run++) {
		struct rig g;

		begin(&g, PG_PARTITION_BEST, run + 200, false, stores[run]);
		for (int i = 0; i < 400; i++) {
			step(&g);
			check_all(&g);
		}
		assert_true(g.events[PG_BLOCK_SWAP_OUT] > 3);
		assert_null(pg_store_check(g.store));
		end(&g);
	}
}

/* A fixed block is the textbook's machine: one base, one limit, the same formula for all of it. */
static void fixed_block_is_one_base_and_one_limit(void **state)
{
	struct pg_block_shape h = {.origin.v = ORIGIN * PAGE,
		.image_pages = IMAGE,
		.stack_pages = 3,
		.pages = 20,
		.span_pages = 20,
		.name = "/image"};
	struct pg_space *a, *b;
	struct rig g;

	(void)state;
	begin(&g, PG_PARTITION_FIRST, 1, true, "4M");
	a = fresh_space(&g);
	b = fresh_space(&g);
	assert_int_equal(pg_block_place(a, &h), 0);
	assert_int_equal(pg_block_place(b, &h), 0);
	pg_space_set_brk_start(b, (pg_va){(ORIGIN + IMAGE) * PAGE});
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(
			pg_space_resident(b, (pg_va){(ORIGIN + i) * PAGE}, NULL).v, 20 + i);
	assert_true(pg_pfn_is_none(pg_space_resident(b, (pg_va){(ORIGIN + 20) * PAGE}, NULL)));
	assert_true(pg_pfn_is_none(pg_space_resident(b, (pg_va){(ORIGIN - 1) * PAGE}, NULL)));
	/* the heap may come up to the stack, not into it */
	assert_int_equal(pg_space_brk(b, (pg_va){(ORIGIN + 18) * PAGE}, UINT64_MAX).v,
		(ORIGIN + IMAGE) * PAGE);
	assert_int_equal(
		pg_space_brk(b, (pg_va){(ORIGIN + 17) * PAGE}, UINT64_MAX).v, (ORIGIN + 17) * PAGE);
	h.pages = FRAMES + 1;
	h.span_pages = FRAMES + 1;
	pg_space_destroy(a);
	a = fresh_space(&g);
	assert_int_equal(pg_block_place(a, &h), -EFBIG);
	pg_space_destroy(a);
	pg_space_destroy(b);
	end(&g);
}

/* Nothing is mapped into a block and nothing taken out of it. */
static void mapping_calls_are_refused(void **state)
{
	const struct pg_block_shape h = {.origin.v = ORIGIN * PAGE,
		.image_pages = IMAGE,
		.stack_pages = 3,
		.pages = 20,
		.span_pages = 100,
		.name = "/image"};
	const pg_va in = {ORIGIN * PAGE}, nowhere = {0x10000000};
	pg_va at = {0};
	struct pg_space *s;
	struct rig g;

	(void)state;
	begin(&g, PG_PARTITION_FIRST, 1, false, "4M");
	s = fresh_space(&g);
	assert_int_equal(pg_block_place(s, &h), 0);
	assert_int_equal(pg_space_map(s, &at, PAGE, PG_READ, PG_READ, 0, NULL, 0, NULL), -ENOMEM);
	at.v = in.v;
	assert_int_equal(
		pg_space_map(s, &at, PAGE, PG_READ, PG_READ, PG_MAP_FIXED, NULL, 0, NULL), -ENOMEM);
	assert_int_equal(pg_space_unmap(s, in, PAGE), -EINVAL);
	assert_int_equal(pg_space_unmap(s, nowhere, PAGE), 0);
	assert_int_equal(pg_space_remap(s, in, PAGE, 2 * PAGE, PG_REMAP_MAYMOVE, &at), -ENOMEM);
	assert_int_equal(pg_space_protect(s, in, PAGE, PG_READ), 0);
	assert_int_equal(pg_space_protect(s, nowhere, PAGE, PG_READ), -ENOMEM);
	assert_int_equal(pg_space_advise(s, in, PAGE, PG_ADVISE_DISCARD), -EINVAL);
	assert_int_equal(pg_space_advise(s, in, PAGE, PG_ADVISE_FREE), 0);
	assert_int_equal(pg_space_lock(s, in, PAGE, PG_MAP_LOCKED), 0);
	assert_int_equal(pg_space_lock(s, nowhere, PAGE, PG_MAP_LOCKED), -ENOMEM);
	assert_int_equal(pg_space_sync(s, in, PAGE), 0);
	assert_null(pg_space_check(s));
	pg_space_destroy(s);
	end(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_keep_their_bytes_wherever_they_go),
		cmocka_unit_test(a_failed_allocation_changes_nothing),
		cmocka_unit_test(a_failed_store_leaves_the_process_where_it_was),
		cmocka_unit_test(fixed_block_is_one_base_and_one_limit),
		cmocka_unit_test(mapping_calls_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
