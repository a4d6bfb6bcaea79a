/* SPDX-License-Identifier: MIT */
/*
 * space/grow.c: the two regions that grow: the heap, by brk, and a stack, by a fault below it.
 *
 * Called by linux/ (brk) and fault.c (stack). Calls region.c, map.c.
 * Rules as Linux's mm/mmap.c: brk() and expand_downwards(). Nothing depends on the stack pointer.
 */
#include "space/impl.h"

#include <errno.h>

/* The lowest address that the stack r may ever hold. */
static uint64_t lowest_of(const struct pg_space *s, const struct region *r)
{
	uint64_t limit = pg_align_down(s->c.stack_limit_bytes, PG_PAGE_SIZE);
	uint64_t low = r->pub.end.v > limit ? r->pub.end.v - limit : 0;

	return low > s->c.lo.v ? low : s->c.lo.v;
}

bool pg_grow_stack(struct pg_space *s, struct region *r, uint64_t a, bool *overflow)
{
	uint64_t start = pg_align_down(a, PG_PAGE_SIZE);
	uint64_t low = lowest_of(s, r), more;
	struct region *prev = pg_region_prev(r);

	*overflow = low < s->c.stack_gap_bytes || a >= low - s->c.stack_gap_bytes;
	if (start < s->c.lo.v)
		return false;
	if (prev && prev->pub.prot && !(prev->pub.flags & PG_MAP_GROWSDOWN) &&
		start - prev->pub.end.v < s->c.stack_gap_bytes)
		return false;
	pg_region_want_anon_id(s, r); /* as Linux prepares the anon_vma, before the limit */
	more = r->pub.start.v - start;
	if (start < low || r->index < more >> PG_PAGE_SHIFT ||
		!pg_limit_may_expand(s, r->pub.prot, r->pub.flags, more))
		return false;
	if ((r->pub.flags & PG_MAP_LOCKED) && pg_limit_may_lock(s, more))
		return false;
	if (r->pub.charged && !pg_limit_commit_ok(s->vm, more))
		return false;
	pg_region_resize(s, r, start, r->pub.end.v);
	pg_map_count_vsz(s);
	return true;
}

void pg_space_set_brk_start(struct pg_space *s, pg_va start)
{
	s->brk_start = s->brk = start;
}

void pg_space_set_stack_limit(struct pg_space *s, uint64_t bytes)
{
	s->c.stack_limit_bytes = bytes;
}

/* True if [from, to + one page) is free, guards of stacks included. */
static bool room_for_heap(struct pg_space *s, uint64_t from, uint64_t to)
{
	struct region *next = pg_region_above(s, from);

	return to <= s->c.hi.v && s->c.hi.v - to >= PG_PAGE_SIZE &&
	       (!next || to + PG_PAGE_SIZE <= pg_region_guarded_start(s, next));
}

/* Extends the heap from `from` to `to`, page-aligned; false: no room or memory. */
static bool heap_up(struct pg_space *s, uint64_t from, uint64_t to)
{
	struct region *prev, *r;
	int err;

	if (!room_for_heap(s, from, to) ||
		!pg_limit_may_expand(s, PG_READ | PG_WRITE, 0, to - from) ||
		!pg_limit_commit_ok(s->vm, to - from))
		return false;
	if (s->lock_later && pg_limit_may_lock(s, to - from))
		return false;
	prev = from > s->brk_start.v ? pg_region_at(s, from - 1) : NULL;
	if (prev && prev->pub.kind == PG_REGION_HEAP && prev->pub.end.v == from &&
		prev->pub.prot == (PG_READ | PG_WRITE) && prev->pub.charged && !prev->anon_forked &&
		prev->pub.flags == s->lock_later &&
		pg_region_index(prev, from >> PG_PAGE_SHIFT) == from >> PG_PAGE_SHIFT) {
		pg_region_resize(s, prev, prev->pub.start.v, to);
		pg_map_count_vsz(s);
		return true;
	}
	if (s->c.max_regions && s->st.regions > s->c.max_regions)
		return false;
	r = pg_region_alloc(s);
	if (!r)
		return false;
	r->name = pg_name_get(s->vm, "[heap]", &err);
	if (err) {
		pg_mem_free(&s->vm->mem, r);
		return false;
	}
	r->pub.start.v = from;
	r->pub.end.v = to;
	r->pub.prot = PG_READ | PG_WRITE;
	r->pub.max_prot = PG_READ | PG_WRITE | PG_EXEC;
	r->pub.kind = PG_REGION_HEAP;
	r->pub.flags = s->lock_later;
	r->pub.name = r->name->text;
	r->index = from >> PG_PAGE_SHIFT;
	r->pub.charged = true;
	pg_region_insert(s, r);
	pg_map_count_vsz(s);
	return true;
}

pg_va pg_space_brk(struct pg_space *s, pg_va want, uint64_t data_limit_bytes)
{
	uint64_t from = pg_align_up(s->brk.v, PG_PAGE_SIZE);
	uint64_t to = pg_align_up(want.v, PG_PAGE_SIZE);
	bool done;

	if (s->block)
		return pg_block_brk(s, want, data_limit_bytes);
	if (want.v < s->brk_start.v || to < want.v || want.v - s->brk_start.v > data_limit_bytes)
		return s->brk;
	if (to == from)
		done = true;
	else if (to < from)
		done = pg_space_unmap(s, (pg_va){to}, from - to) == 0;
	else
		done = heap_up(s, from, to);
	if (done)
		s->brk = want;
	if (done && to > from &&
		(s->lock_later & (PG_MAP_LOCKED | PG_MAP_LOCKONFAULT)) == PG_MAP_LOCKED)
		(void)pg_map_populate(s, from, to, PG_WRITE);
	return s->brk;
}
