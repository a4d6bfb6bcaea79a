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

/* Locking can be done and -ENOMEM: before a hole, or when a page is not to be had. True: the range is locked as was wanted. */
static bool is_locked(const struct run *t, const struct op *op)
{
	const uint32_t locks = PG_MAP_LOCKED | PG_MAP_LOCKONFAULT;
	uint64_t at = op->addr & ~4095ull, end = op->addr + op->len;
	struct pg_region r;

	while (at < end && pg_space_find(t->r->space[op->space], (pg_va){at}, false, &r)) {
		if ((r.flags & locks) != op->flags)
			return false;
		at = r.end.v;
	}
	return true;
}

/* Done, or refused for another reason than memory. */
static bool succeeded(const struct run *t, const struct op *op, struct outcome got)
{
	if (op->kind == OP_BRK)
		return got.addr == op->addr;
	if (op_is_access(op))
		return got.result == (int64_t)op->len ||
		       (t->r->events && t->r->event[t->r->events - 1].end != PG_FAULT_OOM);
	if (op->kind == OP_LOCK && (got.result == -EAGAIN || got.result == -ENOMEM))
		return is_locked(t, op); /* not all pages could be had */
	return got.result == 0;
}

/* These may leave pages unmapped or mapped that were not, when they fail: contents are the same. */
static bool may_leave_pages(const struct op *op)
{
	return op->kind == OP_ADVISE &&
	       (op->advice == PG_ADVISE_POPULATE_READ || op->advice == PG_ADVISE_POPULATE_WRITE);
}

static void expect_failure(struct run *t, struct outcome got)
{
	if (op_is_access(&t->op)) {
		if (got.result != 0 || !t->r->events ||
			t->r->event[t->r->events - 1].end != PG_FAULT_OOM)
			run_differ(t, "an access failed otherwise than for want of memory");
		else if (t->r->event[0].grew)
			model_grow(t->m, &t->m->space[t->op.space], t->r->event[0].page);
	} else if (t->op.kind != OP_BRK && got.result != -ENOMEM) {
		run_differ(t, "result %lld where memory failed", (long long)got.result);
	}
}

/* A move of several regions may end after some of them: it is made one of one region. */
static void one_region(struct run *t)
{
	struct pg_region r;

	if (!(t->op.flags & (PG_REMAP_FIXED | PG_REMAP_DONTUNMAP)) ||
		!pg_space_find(t->r->space[t->op.space], (pg_va){t->op.addr}, false, &r))
		return;
	if (t->op.len > r.end.v - t->op.addr)
		t->op.len = t->op.new_len = r.end.v - t->op.addr;
}

/* True: go on; false: the sequence ends here. */
static bool step(struct run *t)
{
	struct outcome got, want;

	run_choose(t);
	if (op_is_access(&t->op) && (t->op.addr & 4095) + t->op.len > 4096)
		t->op.len = 4096 - (t->op.addr & 4095); /* one page: it is done or not */
	if (t->op.kind == OP_REMAP)
		one_region(t);
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
		if (may_leave_pages(&t->op)) {
			run_compare_contents(t);
			return false;
		}
		run_forgive(t);
		run_compare(t);
		if (t->broken)
			return false;
	}
	wanted = 0;
	t->r->arm = NULL;
	want = model_apply(t->m, &t->op);
	if ((got.result != want.result && !(fired && got.result == -EAGAIN)) ||
		(!want.result && got.addr != want.addr))
		run_differ(t, "result %lld, in the model %lld", (long long)got.result,
			(long long)want.result);
	if (!fired)
		run_compare(t);
	else
		run_compare_contents(t);
	return !fired && !t->broken;
}

static bool sequence(uint64_t seed, const struct pg_table_form *form, uint64_t *steps)
{
	static struct model m;
	static struct rig r;
	struct run t = {.m = &m, .r = &r};

	run_begin(&t, seed, 4 << 20, form);
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

	for (int i = 0; pg_table_forms[i]; i++) {
		/* The default form for all seeds, each other one for a third of them. */
		for (uint64_t seed = first; seed < first + n; seed++) {
			if (i && n >= 3 && seed % 3 != (uint64_t)i % 3)
				continue;
			if (!sequence(seed, pg_table_forms[i], &steps)) {
				fprintf(stderr, "page table: %s\n", pg_table_forms[i]->name);
				return 1;
			}
		}
	}
	printf("%llu sequences, %llu operations, every allocation failed: no difference\n",
		(unsigned long long)n, (unsigned long long)steps);
	return 0;
}
