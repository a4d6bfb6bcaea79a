/* SPDX-License-Identifier: MIT */
/*
 * space/remap.c: mremap: shrink, grow in place, or move with all pages.
 *
 * Called by linux/ (space.h). Calls region.c, pages.c, map.c. Rules as Linux's mm/mremap.c.
 * A move copies no page: the anon layer and the entries go over as they are.
 */
#include "space/impl.h"

#include <errno.h>

/* Makes room behind r, which ends at old_end, if it is free; true: r reaches new_end now. */
static bool grow_in_place(struct pg_space *s, struct region *r, uint64_t new_end)
{
	struct region *next = pg_region_next(r);

	if (new_end > s->c.hi.v || (next && next->pub.start.v < new_end))
		return false;
	pg_region_resize(s, r, r->pub.start.v, new_end);
	pg_map_count_vsz(s);
	pg_region_merge(s, r);
	return true;
}

/* A region like r at start, for the pages from `index`; not yet in the tree. NULL: no memory. */
static struct region *like(
	struct pg_space *s, const struct region *r, uint64_t start, uint64_t len, uint64_t index)
{
	struct region *d = pg_region_alloc(s);
	bool named = r->pub.kind == PG_REGION_ANON || r->pub.kind == PG_REGION_FILE;

	if (!d)
		return NULL;
	d->pub.start.v = start;
	d->pub.end.v = start + len;
	d->pub.prot = r->pub.prot;
	d->pub.max_prot = r->pub.max_prot;
	d->pub.flags = r->pub.flags;
	d->pub.kind = r->pub.kind == PG_REGION_HEAP ? PG_REGION_ANON : r->pub.kind;
	d->charged = r->charged;
	d->anon_id = r->anon_id;
	d->anon_forked = r->anon_forked;
	d->overhang = r->overhang;
	d->index = !r->pub.object && !r->anon_id ? start >> PG_PAGE_SHIFT : index;
	d->pub.offset = r->pub.object ? d->index << PG_PAGE_SHIFT : 0;
	if (named && r->name) { /* "[heap]" and "[stack]" belong to the place */
		d->name = r->name;
		d->name->refs++;
		d->pub.name = d->name->text;
	}
	return d;
}

/* Moves [old, old + old_len) of r to a new place of new_len bytes. */
static int move(struct pg_space *s, struct region *r, uint64_t old, uint64_t old_len,
	uint64_t new_len, pg_va *result)
{
	struct region *d;
	uint64_t to;

	if (s->c.max_regions && s->st.regions + 3 >= s->c.max_regions)
		return -ENOMEM;
	if (!pg_region_place(s, new_len, &to))
		return -ENOMEM;
	d = like(s, r, to, new_len, pg_region_index(r, old >> PG_PAGE_SHIFT));
	if (!d)
		return -ENOMEM;
	if (old_len && pg_map_cut(s, old, old + old_len)) {
		pg_region_free(s->vm, d);
		return -ENOMEM;
	}
	r = pg_region_at(s, old);
	if (r->pub.object)
		pg_region_link_object(d, r->pub.object);
	pg_region_insert(s, d);
	if (old_len) {
		d->anons = r->anons;
		r->anons = (struct pg_sparse){0};
		pg_pages_move(
			r, old >> PG_PAGE_SHIFT, old_len >> PG_PAGE_SHIFT, d, to >> PG_PAGE_SHIFT);
		pg_region_unlink(s, r);
		pg_region_free(s->vm, r);
	}
	pg_map_count_vsz(s);
	pg_region_merge(s, d);
	result->v = to;
	return 0;
}

int pg_space_remap(struct pg_space *s, pg_va old, uint64_t old_len, uint64_t new_len, bool may_move,
	pg_va *result)
{
	uint64_t olen = pg_align_up(old_len, PG_PAGE_SIZE);
	uint64_t nlen = pg_align_up(new_len, PG_PAGE_SIZE);
	struct region *r;

	if ((old.v & PG_PAGE_MASK) || !nlen || (old_len && !olen) || nlen > s->c.hi.v ||
		olen > s->c.hi.v)
		return -EINVAL;
	r = pg_region_at(s, old.v);
	if (!r)
		return -EFAULT;
	if (!olen && pg_region_private(r))
		return -EINVAL;
	*result = old;
	if (olen >= nlen)
		return olen == nlen ? 0 : pg_space_unmap(s, (pg_va){old.v + nlen}, olen - nlen);
	if (olen > r->pub.end.v - old.v)
		return -EFAULT;
	if (olen && old.v + olen == r->pub.end.v && grow_in_place(s, r, old.v + nlen))
		return 0;
	return may_move ? move(s, r, old.v, olen, nlen, result) : -ENOMEM;
}
