/* SPDX-License-Identifier: MIT */
/*
 * space/advise.c: madvise: what is to happen to the pages of a range, and marks that regions keep.
 *
 * Called by linux/ (space.h). Calls region.c, pages.c, object.c, cache.c, map.c.
 * Rules as Linux's mm/madvise.c. Each kind of advice checks the whole range first.
 */
#include "space/impl.h"

#include <errno.h>

/* One piece of the range: pages [start, end) of r, in bytes. */
struct piece {
	struct region *r;
	uint64_t start, end;
};

/* The next piece of [*at, end), which is all mapped; moves *at behind it. False: none. */
static bool next_piece(struct pg_space *s, uint64_t *at, uint64_t end, struct piece *p)
{
	struct region *r = *at < end ? pg_region_at(s, *at) : NULL;

	if (!r)
		return false;
	*p = (struct piece){r, *at, r->pub.end.v < end ? r->pub.end.v : end};
	*at = p->end;
	return true;
}

static uint64_t first_index(const struct piece *p)
{
	return pg_region_index(p->r, p->start >> PG_PAGE_SHIFT);
}

static uint64_t last_index(const struct piece *p)
{
	return pg_region_index(p->r, (p->end >> PG_PAGE_SHIFT) - 1);
}

/* ---- discard */

/* Drops the pages of the piece; what it needs was reserved. */
static void discard_piece(const struct piece *p)
{
	pg_pages_remove(p->r, p->start >> PG_PAGE_SHIFT, p->end >> PG_PAGE_SHIFT);
	if (pg_region_private(p->r))
		pg_guard_erase(p->r, first_index(p), last_index(p));
}

static int discard(struct pg_space *s, uint64_t start, uint64_t end)
{
	struct piece p;

	/* What can fail: the ways to what is taken out become the region's own. */
	for (uint64_t at = start; next_piece(s, &at, end, &p);) {
		if (pg_guard_erase_ready(p.r, first_index(&p), last_index(&p)))
			return -ENOMEM;
	}
	for (uint64_t at = start; next_piece(s, &at, end, &p);)
		discard_piece(&p);
	return 0;
}

/* ---- free */

/* Lets go of one private page, if it is this region's alone and in a frame that nobody is using. */
static void free_page(struct pg_space *s, struct region *r, uint64_t index)
{
	uint64_t vpn = (r->pub.start.v >> PG_PAGE_SHIFT) + (index - r->index);
	bool alone = false;
	struct pg_anon *a = pg_sparse_get(&r->anons, index, &alone);

	if (!a || !alone || a->refs != 1)
		return;
	if (!pg_pfn_is_none(a->pfn) && pg_frames_row(s->vm->frames, a->pfn)->pins)
		return;
	if (!pg_slot_is_none(a->slot)) /* what is there would be older than what is given up */
		s->vm->pageout.slot_free(s->vm->pageout.ctx, a->slot);
	a->slot = PG_SLOT_NONE;
	if (pg_pfn_is_none(a->pfn))
		return;
	s->form->update(s->table, (pg_vpn){vpn}, 0, PG_PTE_A | PG_PTE_D);
	pg_cache_set_lazy(s->vm, a->pfn);
}

static void free_piece(struct pg_space *s, const struct piece *p)
{
	uint64_t at = first_index(p), last = last_index(p), index;

	while (pg_sparse_next(&p->r->anons, at, last, &index)) {
		free_page(s, p->r, index);
		at = index + 1;
	}
	/* Whoever caches an entry must come back to set its D bit. */
	pg_pages_invalidate(s, p->start >> PG_PAGE_SHIFT, p->end >> PG_PAGE_SHIFT);
}

/* ---- willneed */

/*
 * Reads the private pages of [start, end) that are in a store, as long as an eighth of the frames is free. The store may
 * release the machine lock: each page is looked up anew.
 */
static void swap_ahead(struct pg_space *s, uint64_t start, uint64_t end)
{
	const struct pg_pageout *out = &s->vm->pageout;
	struct pg_frames *fs = s->vm->frames;
	uint32_t brought;

	for (uint64_t a = start; out->ctx && a < end; a += PG_PAGE_SIZE) {
		struct region *r = pg_region_at(s, a);
		uint64_t index = r ? pg_region_index(r, a >> PG_PAGE_SHIFT) : 0;
		struct pg_anon *anon = r ? pg_sparse_get(&r->anons, index, NULL) : NULL;

		if (!anon || !pg_pfn_is_none(anon->pfn) || pg_slot_is_none(anon->slot))
			continue;
		if (pg_frames_free_count(fs) <= pg_frames_total(fs) / 8 ||
			out->anon_in(out->ctx, r, index, anon, PG_READ, &brought))
			return;
	}
}

/*
 * Brings the object's pages of the piece into the cache, as long as an eighth of the frames is free. A
 * hint: errors end it. The pager may release the machine lock, so the region is void afterwards.
 */
static void read_ahead(struct pg_space *s, const struct piece *p)
{
	struct pg_frames *fs = s->vm->frames;
	struct pg_object *o = p->r->pub.object;
	uint64_t last = last_index(p);
	uint32_t brought;

	if (!o)
		swap_ahead(s, p->start, p->end);
	if (!o || !o->pager || o->shmem) /* what of shared memory is nowhere yet stays so */
		return;
	pg_object_ref(o);
	for (uint64_t i = first_index(p); i <= last; i++) {
		if (i >= pg_align_up(pg_object_bytes(o), PG_PAGE_SIZE) >> PG_PAGE_SHIFT ||
			pg_frames_free_count(fs) <= pg_frames_total(fs) / 8)
			break;
		if (pg_pfn_is_none(pg_object_page(o, i)) && pg_object_fill(o, i, &brought))
			break;
	}
	pg_object_unref(o);
}

/* ---- remove */

/* Makes a hole in the object. The pager may release the machine lock. */
static int punch(const struct piece *p)
{
	struct pg_object *o = p->r->pub.object;
	uint64_t start = first_index(p) << PG_PAGE_SHIFT, end = (last_index(p) + 1)
								<< PG_PAGE_SHIFT;
	int err = 0;

	if (o->pager && !o->pager->punch)
		return -EOPNOTSUPP;
	pg_object_ref(o);
	pg_object_lock(o);
	pg_object_punched(o, start, end); /* first: what is dirty must not be written behind it */
	if (o->pager)
		err = o->pager->punch(o->ctx, start, end);
	if (o->pager)
		pg_object_punched(o, start, end);
	pg_object_unlock(o);
	pg_object_unref(o);
	return err;
}

/* ---- cold, pageout */

/* Forgets that the pages of the piece were accessed. */
static void cool(struct pg_space *s, const struct piece *p)
{
	uint64_t at = p->start >> PG_PAGE_SHIFT, end = p->end >> PG_PAGE_SHIFT;
	pg_vpn vpn;
	pg_pte pte;

	while (at < end && s->form->next(s->table, (pg_vpn){at}, (pg_vpn){end}, &vpn, &pte)) {
		if (pte & PG_PTE_A)
			s->form->update(s->table, vpn, 0, PG_PTE_A);
		at = vpn.v + 1;
	}
	pg_pages_invalidate(s, p->start >> PG_PAGE_SHIFT, end);
}

/* Sends the pages of the piece out that nobody else maps: without reclaim/ only those that need no store. */
static void send_out(struct pg_space *s, const struct piece *p)
{
	uint64_t at = p->start >> PG_PAGE_SHIFT, end = p->end >> PG_PAGE_SHIFT;
	pg_vpn vpn;
	pg_pte pte;

	while (at < end && s->form->next(s->table, (pg_vpn){at}, (pg_vpn){end}, &vpn, &pte)) {
		const struct pg_frame *row = pg_frames_row(s->vm->frames, pg_pte_pfn(pte));

		at = vpn.v + 1;
		if (row->map_count == 1 && s->vm->pageout.ctx)
			(void)s->vm->pageout.evict(s->vm->pageout.ctx, pg_pte_pfn(pte));
		else if (row->state == PG_FRAME_CACHE && row->map_count == 1)
			(void)pg_cache_drop(s->vm, pg_pte_pfn(pte));
	}
}

/* ---- populate */

static int populate(struct pg_space *s, uint64_t start, uint64_t end, enum pg_access access)
{
	struct piece p;

	while (start < end) {
		if (!next_piece(s, &start, end, &p))
			return -ENOMEM;
		if (!(p.r->pub.prot & access))
			return -EINVAL;
		switch (pg_map_populate(s, p.start, p.end, access)) {
		case PG_FAULT_RESUME:
			break;
		case PG_FAULT_OOM:
			return -ENOMEM;
		default:
			return -EFAULT;
		}
	}
	return 0;
}

/* Private /dev/zero is memory without an object, but to Linux it has a file. */
static bool has_file_name(const struct region *r)
{
	return r->name && r->name->text[0] == '/';
}

/* 0, or why this region does not take the advice. */
static int check_region(const struct region *r, enum pg_advice advice)
{
	bool locked = r->pub.flags & PG_MAP_LOCKED;

	switch (advice) {
	case PG_ADVISE_DISCARD:
	case PG_ADVISE_COLD:
	case PG_ADVISE_PAGEOUT:
	case PG_ADVISE_GUARD_INSTALL:
		return locked ? -EINVAL : 0;
	case PG_ADVISE_FREE:
		return locked || r->pub.object ? -EINVAL : 0;
	case PG_ADVISE_REMOVE:
		if (locked || (!r->pub.object && !has_file_name(r)))
			return -EINVAL;
		return pg_region_private(r) || !(r->pub.max_prot & PG_WRITE) ? -EACCES : 0;
	default:
		return 0;
	}
}

static int act(struct pg_space *s, const struct piece *p, enum pg_advice advice)
{
	switch (advice) {
	case PG_ADVISE_FREE:
		free_piece(s, p);
		break;
	case PG_ADVISE_WILLNEED:
		read_ahead(s, p);
		break;
	case PG_ADVISE_REMOVE:
		return punch(p);
	case PG_ADVISE_PAGEOUT:
		send_out(s, p);
		break;
	case PG_ADVISE_COLD:
		cool(s, p);
		break;
	case PG_ADVISE_GUARD_INSTALL:
		return pg_guard_install(p->r, first_index(p), last_index(p));
	case PG_ADVISE_GUARD_REMOVE:
		return pg_guard_remove(p->r, first_index(p), last_index(p));
	default:
		return -EINVAL;
	}
	return 0;
}

/* All of a block is in memory, and stays: advice that only hints is taken, what promises something is not. */
static int on_block(enum pg_advice advice)
{
	switch (advice) {
	case PG_ADVISE_FREE:
	case PG_ADVISE_WILLNEED:
	case PG_ADVISE_COLD:
	case PG_ADVISE_PAGEOUT:
	case PG_ADVISE_POPULATE_READ:
	case PG_ADVISE_POPULATE_WRITE:
		return 0;
	default:
		return -EINVAL;
	}
}

int pg_space_advise(struct pg_space *s, pg_va addr, uint64_t len, enum pg_advice advice)
{
	struct piece p;
	uint64_t end;
	int err = 0;

	if (addr.v & PG_PAGE_MASK)
		return -EINVAL;
	if (!len)
		return 0;
	if (!pg_map_range_ok(s, addr.v, &len) || !pg_map_whole(s, addr.v, addr.v + len))
		return -ENOMEM;
	if (s->block)
		return on_block(advice);
	end = addr.v + len;
	for (uint64_t at = addr.v; next_piece(s, &at, end, &p);) {
		err = check_region(p.r, advice);
		if (err)
			return err;
	}
	switch (advice) {
	case PG_ADVISE_DISCARD:
	case PG_ADVISE_DISCARD_LOCKED:
		return discard(s, addr.v, end);
	case PG_ADVISE_POPULATE_READ:
		return populate(s, addr.v, end, PG_READ);
	case PG_ADVISE_POPULATE_WRITE:
		return populate(s, addr.v, end, PG_WRITE);
	default:
		break;
	}
	for (uint64_t at = addr.v; !err && next_piece(s, &at, end, &p);)
		err = act(s, &p, advice);
	return err;
}

int pg_space_discard(struct pg_space *s, pg_va addr, uint64_t len)
{
	return pg_space_advise(s, addr, len, PG_ADVISE_DISCARD);
}

int pg_space_mark(struct pg_space *s, pg_va addr, uint64_t len, uint32_t set, uint32_t clear)
{
	const struct pg_map_change c = {.set = set, .clear = clear};
	struct piece p;

	if ((addr.v & PG_PAGE_MASK) || ((set | clear) & ~(uint32_t)0xff00))
		return -EINVAL;
	if (!len)
		return 0;
	if (!pg_map_range_ok(s, addr.v, &len) || !pg_map_whole(s, addr.v, addr.v + len))
		return -ENOMEM;
	if (s->block) /* a block is copied whole; the rest is only noted */
		return set & (PG_MAP_DONTFORK | PG_MAP_WIPEONFORK) ? -EINVAL : 0;
	for (uint64_t at = addr.v;
		(set & PG_MAP_WIPEONFORK) && next_piece(s, &at, addr.v + len, &p);) {
		if (pg_region_has_offset(p.r, p.r->pub.object))
			return -EINVAL;
	}
	return pg_map_change_range(s, addr.v, addr.v + len, &c);
}
