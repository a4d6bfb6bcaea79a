/* SPDX-License-Identifier: MIT */
/*
 * space/block_calls.c: what a program does to a space that is one block: an access beyond the limit, brk, fork.
 *
 * Called by fault.c, grow.c, fork.c and the mapping calls of space/, which hand over when a space has a block. Calls block.c, block_move.c.
 *
 * There is nothing to map: mmap, mremap and whatever maps answer -ENOMEM, munmap of anything in the block -EINVAL. There are no rights of
 * single pages: mprotect of what is there succeeds and changes nothing, as do locks, and advice that promises nothing. Advice after which pages must
 * read as zero is -EINVAL.
 */
#include "space/impl.h"

#include <errno.h>
#include <string.h>

bool pg_block_want_in(struct pg_space *s)
{
	const struct pg_block_hooks *h = &s->vm->blocks->hooks;

	while (!s->block->place)
		if (!s->block->slots || !h->need || !h->need(h->ctx, s))
			return false;
	return true;
}

/* ---- the trap */

/* The stack may grow so that it holds va: how many pages it is then; 0: it may not. */
static uint64_t stack_for(const struct pg_space *s, pg_va va)
{
	const struct pg_base_limit *r = &s->block->r;
	uint64_t vpn = pg_vpn_of(va).v, most = s->c.stack_limit_bytes >> PG_PAGE_SHIFT;

	if (vpn >= r->top || vpn < r->origin + pg_block_heap_end(s) || r->top - vpn > most)
		return 0;
	return r->top - vpn;
}

/* A stack that is to have `pages` gets them in steps, so that not each page is a trap: as far as room, limit and span allow. */
static uint64_t stack_step(const struct pg_space *s, uint64_t pages)
{
	const struct pg_base_limit *r = &s->block->r;
	uint64_t step = s->block->shape.step_pages, low = pg_block_heap_end(s);
	uint64_t most = s->c.stack_limit_bytes >> PG_PAGE_SHIFT, more = pages;

	if (step)
		more = (pages + step - 1) / step * step;
	if (low + pages <= r->pages && low + more > r->pages)
		return pages + (r->pages - low - pages) / 2; /* no need of a larger block yet */
	return more <= most && low + more <= r->top - r->origin ? more : pages;
}

/* How it ends; *grew: pages of the stack were added. */
static enum pg_fault_end resolve(struct pg_space *s, pg_va va, bool *grew)
{
	uint64_t stack, more;

	if (!pg_block_want_in(s))
		return PG_FAULT_OOM;
	if (pg_base_limit_frame(&s->block->r, pg_vpn_of(va).v) != UINT64_MAX)
		return PG_FAULT_RESUME;
	stack = stack_for(s, va);
	if (!stack)
		return PG_FAULT_LIMIT;
	*grew = true;
	more = stack_step(s, stack);
	return pg_block_grow(s, pg_block_heap_end(s), more) ? PG_FAULT_STACK : PG_FAULT_RESUME;
}

enum pg_fault_end pg_block_fault(
	struct pg_space *s, pg_va va, enum pg_access access, uint64_t pc, bool by_kernel)
{
	struct pg_fault_event e = {.space = s,
		.va = va,
		.access = access,
		.pc = pc,
		.by_kernel = by_kernel,
		.frame = PG_PFN_NONE,
		.copied_from = PG_PFN_NONE};
	struct region *r;

	e.end = resolve(s, va, &e.stack_grew);
	if (e.end == PG_FAULT_RESUME && !e.stack_grew)
		return e.end; /* it was only out, or another thread was quicker */
	if (e.end != PG_FAULT_RESUME) {
		struct pg_block_event limit = {.kind = PG_BLOCK_LIMIT,
			.space = s,
			.base = s->block->r.base,
			.pages = s->block->r.pages,
			.address = va.v};

		e.stack_grew = false;
		s->st.faults_refused++;
		if (!by_kernel)
			pg_block_tell(s->vm, &limit);
	}
	r = pg_region_at(s, va.v);
	e.region = r ? &r->pub : NULL;
	if (s->vm->hooks.fault)
		s->vm->hooks.fault(s->vm->hooks.ctx, &e);
	return e.end;
}

/* ---- calls */

pg_va pg_block_brk(struct pg_space *s, pg_va want, uint64_t most)
{
	uint64_t from = pg_align_up(s->brk.v, PG_PAGE_SIZE);
	uint64_t to = pg_align_up(want.v, PG_PAGE_SIZE);
	const struct pg_base_limit *r = &s->block->r;

	if (want.v < s->brk_start.v || to < want.v || want.v - s->brk_start.v > most)
		return s->brk;
	if (to > from) {
		if (to >> PG_PAGE_SHIFT > r->top ||
			pg_block_grow(s, (to >> PG_PAGE_SHIFT) - r->origin, 0))
			return s->brk;
		/* the room may have been written to: nothing forbids it */
		from = pg_align_up(s->brk.v, PG_PAGE_SIZE);
		if (to > from)
			memset(pg_block_bytes(s, (from >> PG_PAGE_SHIFT) - r->origin), 0,
				to - from);
	}
	s->brk = want;
	pg_block_show(s);
	return s->brk;
}

/* A place for a copy of parent's block, which may have become another meanwhile. NULL: refused. */
static struct pg_partition_block *place_for_fork(struct pg_space *parent)
{
	struct pg_blocks *m = parent->vm->blocks;
	struct pg_partition_block *place;
	uint64_t pages;

	for (;;) {
		if (!pg_block_want_in(parent))
			return NULL;
		pages = parent->block->r.pages;
		int err = pg_partition_alloc(m->partition, pages, &place);
		if (!err)
			return place;
		if (err != -ENOSPC || !m->hooks.room ||
			!m->hooks.room(m->hooks.ctx, parent, pages, PG_WANT_FORK))
			break;
	}
	struct pg_block_event e = {.kind = PG_BLOCK_REFUSE, .space = parent, .pages = pages};
	pg_block_tell(parent->vm, &e);
	return NULL;
}

int pg_block_fork(struct pg_space *parent, struct pg_space *child)
{
	struct pg_partition_block *place = place_for_fork(parent);
	struct pg_block_event e = {.kind = PG_BLOCK_FORK, .space = child};
	struct pg_block_shape shape;
	int err;

	if (!place)
		return -ENOMEM;
	child->c = parent->c;
	child->limits = parent->limits;
	child->brk_start = parent->brk_start;
	child->brk = parent->brk;
	shape = parent->block->shape;
	shape.pages = parent->block->r.pages;
	shape.name = parent->block->regions[0]->pub.name;
	err = pg_block_make_records(child, &shape);
	if (err) {
		pg_partition_free(parent->vm->blocks->partition, place);
		return err;
	}
	child->block->place = place;
	child->block->r = parent->block->r;
	child->block->r.base = pg_partition_start(place);
	memcpy(pg_block_bytes(child, 0), pg_block_bytes(parent, 0),
		child->block->r.pages << PG_PAGE_SHIFT);
	pg_block_own(child);
	pg_block_show(child);
	e.base = child->block->r.base;
	e.pages = e.copied_pages = child->block->r.pages;
	pg_block_tell(parent->vm, &e);
	return 0;
}
