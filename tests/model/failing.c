/* SPDX-License-Identifier: MIT */
/*
 * tests/model/failing.c: random operations, in each of which the n-th allocation fails, for every n
 * until none does; once only that one, once all from it on.
 *
 *   failing [SEQUENCES [FIRST_SEED]]
 *
 * The allocations are those of space/ (pg_mem_alloc), of frames, for pages and for page-table nodes
 * (pg_frames_alloc), and of the reverse map (pg_frames_rmap_add), wrapped by the linker. An
 * operation that says it failed must have changed nothing (but what may always happen: clean file
 * pages leave the cache, a stack has grown before its page could not be had); one that says it
 * succeeded although an allocation failed may have merged less or populated less: then contents and
 * rights must be right, and the sequence ends. Guards decision 8 of the design: check everything,
 * then commit.
 */
#include "drive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LO ((uint64_t)FIRST * 4096)
#define STEPS 40
#define SEQUENCES 120

static uint64_t wanted;    /* fail this one from arm() on; 0: none */
static uint64_t countdown; /* 0: not armed, or over */
static bool fired, keep_failing;

void *__real_pg_mem_alloc(struct pg_mem *m, size_t bytes);
int __real_pg_frames_alloc(
	struct pg_frames *fs, unsigned order, enum pg_frame_state state, void *owner, pg_pfn *out);
int __real_pg_frames_rmap_add(struct pg_frames *fs, pg_pfn f, void *space, pg_vpn vpn);
void *__wrap_pg_mem_alloc(struct pg_mem *m, size_t bytes);
int __wrap_pg_frames_alloc(
	struct pg_frames *fs, unsigned order, enum pg_frame_state state, void *owner, pg_pfn *out);
int __wrap_pg_frames_rmap_add(struct pg_frames *fs, pg_pfn f, void *space, pg_vpn vpn);

/* One allocation more: does it fail? */
static bool fails(void)
{
	if (countdown && --countdown == 0) {
		fired = true;
		return true;
	}
	return fired && keep_failing && wanted;
}

void *__wrap_pg_mem_alloc(struct pg_mem *m, size_t bytes)
{
	return fails() ? NULL : __real_pg_mem_alloc(m, bytes);
}

int __wrap_pg_frames_alloc(
	struct pg_frames *fs, unsigned order, enum pg_frame_state state, void *owner, pg_pfn *out)
{
	return fails() ? -ENOMEM : __real_pg_frames_alloc(fs, order, state, owner, out);
}

int __wrap_pg_frames_rmap_add(struct pg_frames *fs, pg_pfn f, void *space, pg_vpn vpn)
{
	return fails() ? -ENOMEM : __real_pg_frames_rmap_add(fs, f, space, vpn);
}

static void arm(void)
{
	countdown = wanted;
}

/* Makes the model forget what a machine short of memory may drop, or may have brought in before. */
static void forgive_space(struct run *t, int i)
{
	struct m_space *m = &t->m->space[i];
	struct pg_space_stats st;

	for (int p = 0; p < PAGES; p++) {
		pg_pte e;
		pg_pfn f = pg_space_resident(t->r->space[i], (pg_va){LO + (uint64_t)p * 4096}, &e);

		if (m->page[p].entry == FILE_PAGE && pg_pfn_is_none(f))
			m->page[p].entry = NONE;
		if (m->page[p].writable && !(e & PG_PTE_RW))
			m->page[p].writable = false; /* a fork that failed protects pages first */
	}
	pg_space_stats(t->r->space[i], &st);
	m->refused = st.faults_refused;
	m->pages_in = st.pages_in;
}

/* Dirty pages that no table names may have been written back when a child that failed went. */
static void forgive_file(struct run *t, int o)
{
	struct m_object *m = &t->m->object[o];

	for (int i = 0; i < OBJECT_PAGES; i++) {
		for (int k = 0; m->dirty[i] && k < PROBES; k++) {
			uint8_t now = t->r->file[o].bytes[i * 4096 + (int)probe_at[k]];

			if (now == m->byte[i][k])
				m->disk[i][k] = now;
		}
	}
}

static void forgive(struct run *t)
{
	for (int o = 0; o < FILES && t->op.kind == OP_FORK; o++)
		forgive_file(t, o);
	for (int i = 0; i < SPACES; i++) {
		if (t->r->space[i])
			forgive_space(t, i);
	}
	for (int o = 0; o < OBJECTS; o++) {
		for (int i = 0; t->m->object[o].used && t->r->object[o] && i < OBJECT_PAGES; i++)
			t->m->object[o].cached[i] =
				!pg_pfn_is_none(pg_object_page(t->r->object[o], (uint64_t)i));
	}
}

/* Rights and contents of every page, by reading them. */
static void compare_contents(struct run *t, int i)
{
	for (int p = 0; p < PAGES; p++) {
		struct m_region *m = model_region(&t->m->space[i], p);
		pg_va a = {LO + (uint64_t)p * 4096};
		uint8_t want[PROBES], got[4096];
		struct pg_region r;
		bool there = pg_space_find(t->r->space[i], a, false, &r), readable;

		if (there != (m != NULL) || (m && (r.prot != m->prot || r.max_prot != m->max_prot ||
							  r.flags != m->flags))) {
			run_differ(t, "space %d page %d: region or rights after a failure", i, p);
			return;
		}
		if (!m)
			continue; /* not to be touched: a stack above would grow */
		readable = model_peek(t->m, &t->m->space[i], p, want);
		if (readable != (pg_space_read(t->r->space[i], got, a, 4096, 0) == 4096)) {
			run_differ(t, "space %d page %d: readable or not after a failure", i, p);
			return;
		}
		for (int k = 0; readable && k < PROBES; k++) {
			if (got[probe_at[k]] != want[k])
				run_differ(t, "space %d page %d: contents after a failure", i, p);
		}
	}
}

static void compare_loosely(struct run *t)
{
	for (int i = 0; i < SPACES && !t->broken; i++) {
		const char *bad = t->r->space[i] ? pg_space_check(t->r->space[i]) : NULL;

		if (bad)
			run_differ(t, "space %d after a failure: %s", i, bad);
		else if (t->r->space[i])
			compare_contents(t, i);
	}
}

static bool is_access(const struct op *op)
{
	return op->kind == OP_READ || op->kind == OP_WRITE || op->kind == OP_FAULT;
}

/* Done, or refused for another reason than memory. */
static bool succeeded(const struct run *t, const struct op *op, struct outcome got)
{
	if (op->kind == OP_BRK)
		return got.addr == op->addr;
	if (is_access(op))
		return got.result == (int64_t)op->len ||
		       (t->r->events && t->r->event[t->r->events - 1].end != PG_FAULT_OOM);
	return got.result == 0;
}

static void expect_failure(struct run *t, struct outcome got)
{
	if (is_access(&t->op)) {
		if (got.result != 0 || !t->r->events ||
			t->r->event[t->r->events - 1].end != PG_FAULT_OOM)
			run_differ(t, "an access failed otherwise than for want of memory");
		else if (t->r->event[0].grew)
			model_grow(t->m, &t->m->space[t->op.space], t->r->event[0].page);
	} else if (t->op.kind != OP_BRK && got.result != -ENOMEM) {
		run_differ(t, "result %lld where memory failed", (long long)got.result);
	}
}

/* True: go on; false: the sequence ends here. */
static bool step(struct run *t)
{
	struct outcome got, want;

	run_choose(t);
	if (is_access(&t->op) && (t->op.addr & 4095) + t->op.len > 4096)
		t->op.len = 4096 - (t->op.addr & 4095); /* one page: it is done or not */
	keep_failing = run_chance(t, 50);
	t->r->arm = arm;
	for (wanted = 1;; wanted++) {
		fired = false;
		got = rig_apply(t->r, &t->op);
		countdown = 0;
		if (!fired || succeeded(t, &t->op, got))
			break;
		fired = false;
		expect_failure(t, got);
		forgive(t);
		run_compare(t);
		if (t->broken)
			return false;
	}
	wanted = 0;
	t->r->arm = NULL;
	want = model_apply(t->m, &t->op);
	if (got.result != want.result || (!want.result && got.addr != want.addr))
		run_differ(t, "result %lld, in the model %lld", (long long)got.result,
			(long long)want.result);
	if (!fired)
		run_compare(t);
	else
		compare_loosely(t);
	return !fired && !t->broken;
}

static bool sequence(uint64_t seed, uint64_t *steps)
{
	static struct model m;
	static struct rig r;
	struct run t = {.m = &m, .r = &r};

	run_begin(&t, seed, 4 << 20, &pg_table_radix);
	for (t.step = 0; t.step < STEPS && step(&t); t.step++)
		++*steps;
	run_end(&t);
	return !t.broken;
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 0) : SEQUENCES;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	uint64_t steps = 0;

	for (uint64_t seed = first; seed < first + n; seed++) {
		if (!sequence(seed, &steps))
			return 1;
	}
	printf("%llu sequences, %llu operations, every allocation failed: no difference\n",
		(unsigned long long)n, (unsigned long long)steps);
	return 0;
}
