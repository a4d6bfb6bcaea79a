/* SPDX-License-Identifier: MIT */
/*
 * space/fork.c: a second address space with the same contents.
 *
 * Called by linux/ (space.h). Calls region.c, sparse.h, pages.c, limit.c.
 * The anon layers are shared by reference and copied node by node as either side writes
 * (sparse.h); entries of private pages lose their write right in the parent; as on Linux the child
 * gets entries for what has anons or guards and finds the rest by faults.
 */
#include "space/impl.h"

#include <errno.h>
#include <string.h>

/* The child's region for r: same object, name, shared anon layer. NULL: no memory. */
static struct region *twin(struct pg_space *child, const struct region *r)
{
	struct region *c = pg_region_alloc(child);

	if (!c)
		return NULL;
	c->pub = r->pub;
	c->pub.object = NULL;
	c->pub.resident_pages = 0;
	c->pub.flags &= ~(uint32_t)(PG_MAP_LOCKED | PG_MAP_LOCKONFAULT);
	c->index = r->index;
	c->name = r->name;
	if (c->name)
		c->name->refs++;
	c->pub.charged = r->pub.charged;
	c->forked = pg_region_private(r);
	c->guarded = r->guarded;
	pg_region_copy_open(r, c);
	if (!(r->pub.flags & PG_MAP_WIPEONFORK)) {
		c->overhang = r->overhang;
		if (r->anon_id) {
			c->anon_id = ++child->vm->last_anon_id;
			c->anon_forked = true;
		}
		pg_sparse_share(&r->anons, &c->anons);
	}
	if (r->pub.object)
		pg_region_link_object(c, r->pub.object);
	pg_region_insert(child, c);
	return c;
}

/* A copy of the page in f for c alone: a host call is using the parent's. */
static int copy_pinned(struct region *c, uint64_t vpn, pg_pfn f)
{
	struct pg_vm *vm = c->space->vm;
	struct pg_sparse_place place;
	struct pg_anon *a;

	if (pg_sparse_reserve(&vm->anon_kind, &c->anons, pg_region_index(c, vpn), &place))
		return -ENOMEM;
	a = pg_anon_new(vm);
	if (!a)
		return -ENOMEM;
	if (pg_cache_frame(vm, PG_FRAME_ANON, a, &a->pfn)) {
		a->pfn = PG_PFN_NONE;
		pg_anon_unref(vm, a);
		return -ENOMEM;
	}
	memcpy(pg_frames_bytes(vm->frames, a->pfn), pg_frames_bytes(vm->frames, f), PG_PAGE_SIZE);
	pg_sparse_put(&vm->anon_kind, &place, a);
	if (vm->pageout.ctx)
		vm->pageout.page_in(vm->pageout.ctx, a->pfn, PG_IN_DEMAND);
	return 0;
}

/* Write-protects r's entries and gives c its own. */
static int share_entries(struct region *r, struct region *c)
{
	struct pg_space *s = r->space;
	uint64_t at = r->pub.start.v >> PG_PAGE_SHIFT;
	uint64_t end = r->pub.end.v >> PG_PAGE_SHIFT;
	const uint64_t start = at;
	int err = 0;
	pg_vpn vpn;
	pg_pte pte;

	if (!r->touched || !pg_region_private(r) || (r->pub.flags & PG_MAP_WIPEONFORK))
		return 0;
	while (!err && at < end &&
		s->form->next(s->table, (pg_vpn){at}, (pg_vpn){end}, &vpn, &pte)) {
		pg_pfn f = pg_pte_pfn(pte);
		const struct pg_frame *row = pg_frames_row(s->vm->frames, f);

		at = vpn.v + 1;
		if (row->state == PG_FRAME_ANON && row->pins) {
			err = copy_pinned(c, vpn.v, f);
			continue;
		}
		if (pte & PG_PTE_RW)
			s->form->update(s->table, vpn, 0, PG_PTE_RW);
		if (r->anon_id || r->guarded)
			err = pg_pages_enter(c, vpn, f, pg_pages_bits(c, false) | (pte & PG_PTE_D));
	}
	pg_pages_invalidate(s, start, end);
	return err;
}

int pg_space_fork(struct pg_space *parent, struct pg_space *child)
{
	struct region *r, *c;

	PG_ASSERT(!child->regions.root && child->vm == parent->vm);
	if (parent->block)
		return pg_block_fork(parent, child);
	for (r = pg_region_first(parent); r; r = pg_region_next(r)) {
		if (r->pub.flags & PG_MAP_DONTFORK)
			continue;
		if (r->pub.charged &&
			!pg_limit_commit_ok(parent->vm, r->pub.end.v - r->pub.start.v))
			goto fail;
		c = twin(child, r);
		if (!c || share_entries(r, c))
			goto fail;
	}
	for (r = pg_region_first(parent); r; r = pg_region_next(r))
		r->forked = r->forked ||
			    (pg_region_private(r) &&
				    !(r->pub.flags & (PG_MAP_DONTFORK | PG_MAP_WIPEONFORK)));
	child->c = parent->c;
	child->limits = parent->limits;
	child->brk_start = parent->brk_start;
	child->brk = parent->brk;
	pg_map_count_vsz(child);
	return 0;
fail:
	pg_map_bury(child->vm, pg_map_clear(child, 0, UINT64_MAX));
	child->st = (struct pg_space_stats){0};
	return -ENOMEM;
}
