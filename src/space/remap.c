/* SPDX-License-Identifier: MIT */
/*
 * space/remap.c: mremap: shrink, grow in place, move with all pages, duplicate a shared mapping.
 *
 * Called by linux/ (space.h). Calls region.c, pages.c, map.c, limit.c.
 * Rules as Linux 6.17's mm/mremap.c. A move copies no page: the anon layer and the entries go over
 * as they are.
 *
 * In the order of the functions below: what a move needs (a place, a region, cuts at both ends of the
 * old range and of the new one) is had first; then the new range is cleared and the pages go over.
 */
#include "space/impl.h"

#include <errno.h>

/* One move; olen and nlen in bytes, whole pages. */
struct move {
	uint64_t old, olen, to, nlen;
	unsigned flags;
};

/* -EAGAIN, -ENOMEM or 0: r may have `more` bytes more; charge: of these, to be promised. */
static int may_grow(struct pg_space *s, const struct region *r, uint64_t more, uint64_t charge)
{
	if ((r->pub.flags & PG_MAP_LOCKED) && more && pg_limit_may_lock(s, more))
		return -EAGAIN;
	if (more && !pg_limit_may_expand(s, r->pub.prot, r->pub.flags, more))
		return -ENOMEM;
	return r->pub.charged && !pg_limit_commit_ok(s->vm, charge) ? -ENOMEM : 0;
}

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
	d->pub.charged = r->pub.charged;
	d->forked = r->forked;
	pg_region_copy_open(r, d);
	d->anon_id = r->anon_id;
	d->anon_forked = r->anon_forked;
	d->overhang = r->overhang;
	d->guarded = r->guarded;
	d->index = !r->pub.object && !r->anon_id ? start >> PG_PAGE_SHIFT : index;
	d->pub.offset = pg_region_has_offset(r, r->pub.object) ? d->index << PG_PAGE_SHIFT : 0;
	if (named && r->name) { /* "[heap]" and "[stack]" belong to the place */
		d->name = r->name;
		d->name->refs++;
		d->pub.name = d->name->text;
	}
	return d;
}

/*
 * Moves the anons of the n pages from vpn of r to *out, empty before. -ENOMEM: nothing changed.
 * The two ends of what is left join again: they were one tree a moment ago, and both ways to the
 * seam are owned (sparse.h).
 */
static int extract(struct region *r, uint64_t vpn, uint64_t n, struct pg_sparse *out)
{
	const struct pg_sparse_kind *k = &r->space->vm->anon_kind;
	struct pg_sparse rest;
	int err = pg_sparse_split(k, &r->anons, pg_region_index(r, vpn), out), joined;

	if (err)
		return err;
	err = pg_sparse_split(k, out, pg_region_index(r, vpn + n), &rest);
	joined = pg_sparse_join(k, &r->anons, err ? out : &rest);
	PG_ASSERT(!joined);
	if (!err) {
		pg_sparse_trim(k, &r->anons);
		pg_sparse_trim(k, out);
	}
	return err;
}

/*
 * Leaves r, whose pages [old, old + len) have gone to d with their anons, where it is. As Linux: d merges first, with r too if that has no
 * anon yet; then what holds the old range is unlocked, d with it if they are one.
 */
static void leave_behind(
	struct pg_space *s, struct region *r, struct region *d, const struct move *m)
{
	bool all = r->pub.start.v == m->old && r->pub.end.v == m->old + m->olen;

	pg_pages_move(
		r, m->old >> PG_PAGE_SHIFT, m->olen >> PG_PAGE_SHIFT, d, m->to >> PG_PAGE_SHIFT);
	d = pg_region_merge(s, d);
	r = pg_region_at(s, m->old);
	pg_region_tally_out(r);
	r->pub.flags &= ~(uint32_t)(PG_MAP_LOCKED | PG_MAP_LOCKONFAULT);
	pg_region_tally_in(r);
	if (all && r != d) {
		r->anon_id = 0;
		r->anon_forked = false;
	}
}

/* r, cut out, gives all it has to d and goes; what is behind it of the old range is taken out. */
static struct region *take_along(
	struct pg_space *s, struct region *r, struct region *d, const struct move *m)
{
	uint64_t keep = m->olen < m->nlen ? m->olen : m->nlen;

	d->anons = r->anons;
	r->anons = (struct pg_sparse){0};
	pg_pages_move(r, m->old >> PG_PAGE_SHIFT, keep >> PG_PAGE_SHIFT, d, m->to >> PG_PAGE_SHIFT);
	pg_region_unlink(s, r);
	pg_region_free(s->vm, r);
	return keep < m->olen ? pg_map_clear(s, m->old + keep, m->old + m->olen) : NULL;
}

/* Cuts what the move needs, in the order of `c`. -ENOMEM: nothing changed. */
static int cut_all(struct pg_space *s, const struct move *m, struct pg_map_cuts c[3])
{
	const bool leave = m->flags & PG_REMAP_DONTUNMAP;
	const uint64_t keep = m->olen < m->nlen ? m->olen : m->nlen;
	const struct {
		uint64_t start, len;
	} want[3] = {{m->to, m->flags & PG_REMAP_FIXED ? m->nlen : 0},
		{m->old, leave ? 0 : m->olen}, {m->old, leave || keep == m->olen ? 0 : keep}};

	for (int i = 0; i < 3; i++) {
		c[i] = (struct pg_map_cuts){0};
		if (!want[i].len ||
			!pg_map_try_cut(s, want[i].start, want[i].start + want[i].len, &c[i]))
			continue;
		while (i-- > 0)
			pg_map_undo_cut(s, &c[i]);
		return -ENOMEM;
	}
	return 0;
}

/* Moves [m->old, + olen) of r to m->to, chosen and allowed; a FIXED one is cleared first. */
static int move_to(struct pg_space *s, struct region *r, const struct move *m)
{
	struct pg_sparse anons = {0};
	struct pg_map_cuts c[3];
	struct region *d, *dead = NULL, *tail = NULL;
	const bool leave = m->flags & PG_REMAP_DONTUNMAP;

	d = like(s, r, m->to, m->nlen, pg_region_index(r, m->old >> PG_PAGE_SHIFT));
	if (!d)
		return -ENOMEM;
	if (cut_all(s, m, c)) {
		pg_region_free(s->vm, d);
		return -ENOMEM;
	}
	r = pg_region_at(s, m->old);
	if (leave && extract(r, m->old >> PG_PAGE_SHIFT, m->olen >> PG_PAGE_SHIFT, &anons)) {
		pg_map_undo_cut(s, &c[0]);
		pg_region_free(s->vm, d);
		return -ENOMEM;
	}
	for (int i = 0; i < 3; i++)
		pg_map_keep_cut(s, &c[i]);
	if (m->flags & PG_REMAP_FIXED)
		dead = pg_map_clear(s, m->to, m->to + m->nlen);
	if (r->pub.object)
		pg_region_link_object(d, r->pub.object);
	pg_region_insert(s, d);
	d->anons = anons;
	if (leave) {
		leave_behind(s, r, d, m);
	} else {
		if (m->olen)
			tail = take_along(s, r, d, m);
		pg_region_merge(s, d);
	}
	pg_map_count_vsz(s);
	pg_map_bury(s->vm, dead);
	pg_map_bury(s->vm, tail);
	return 0;
}

/* Brings in what a locked region grew by. */
static void populate_growth(struct pg_space *s, uint64_t at, const struct move *m)
{
	struct region *r = pg_region_at(s, at);

	if (m->nlen > m->olen && r && r->pub.prot &&
		(r->pub.flags & (PG_MAP_LOCKED | PG_MAP_LOCKONFAULT)) == PG_MAP_LOCKED)
		(void)pg_map_populate(
			s, at + m->olen, at + m->nlen, pg_map_access(r->pub.prot, r->pub.flags));
}

/* Linux's check_prep_vma() for a move or growth from m->old, in r: what stays must be all of one region. */
static int check_region(const struct region *r, const struct move *m)
{
	uint64_t keep = m->olen < m->nlen ? m->olen : m->nlen;

	if (!m->olen && pg_region_private(r))
		return -EINVAL;
	return keep > r->pub.end.v - m->old ? -EFAULT : 0;
}

/* Moves one range of one region to m->to, or near it, and tells where. */
static int move_one(struct pg_space *s, struct move *m)
{
	const bool leave = m->flags & PG_REMAP_DONTUNMAP;
	struct region *r = pg_region_at(s, m->old);
	uint64_t grow, more;
	int err;

	if (!r)
		return -EFAULT;
	err = check_region(r, m);
	if (err)
		return err;
	grow = m->nlen > m->olen ? m->nlen - m->olen : 0;
	more = leave ? m->nlen : grow;
	if (s->c.max_regions && s->st.regions + 3 >= s->c.max_regions)
		return -ENOMEM;
	err = may_grow(s, r, grow, more);
	if (!err && leave && !pg_limit_may_expand(s, r->pub.prot, r->pub.flags, more))
		err = -ENOMEM;
	if (!err && !(m->flags & PG_REMAP_FIXED) && !pg_map_choose(s, m->to, m->nlen, &m->to))
		err = -ENOMEM;
	return err ? err : move_to(s, r, m);
}

/* Moves all regions of the range, each as far as the first, the gaps between them kept. */
static int move_all(struct pg_space *s, uint64_t old, uint64_t len, unsigned flags, pg_va *at)
{
	uint64_t target = at->v, last_end = 0, end = old + len;
	struct region *r = pg_region_above(s, old);
	bool first = true;

	if (!r || r->pub.start.v > old)
		return -EFAULT;
	for (uint64_t from = old; r && r->pub.start.v < end; r = pg_region_above(s, from)) {
		struct move m = {
			.old = r->pub.start.v > old ? r->pub.start.v : old, .flags = flags};
		uint64_t r_end = r->pub.end.v;
		int err;

		if (m.old < from)
			m.old = from;
		/* Linux: its file places mappings itself, so that FIXED might not be kept to */
		if (r->pub.object && r->pub.object->segment && (!first || r_end < end))
			return -EFAULT;
		m.olen = m.nlen = (r_end < end ? r_end : end) - m.old;
		m.to = target + (first ? 0 : m.old - last_end);
		from = last_end = r_end;
		err = move_one(s, &m);
		if (err)
			return err;
		if (first)
			at->v = m.to;
		target = m.to + m.nlen;
		first = false;
		if (from >= end)
			break;
	}
	return 0;
}

/* What mremap(2) checks before it looks at regions. */
static int check_params(
	const struct pg_space *s, uint64_t old, const struct move *m, unsigned flags)
{
	if ((flags & ~7u) || (old & PG_PAGE_MASK) || !m->nlen || m->nlen > s->c.hi.v)
		return -EINVAL;
	if (!(flags & (PG_REMAP_FIXED | PG_REMAP_DONTUNMAP)))
		return 0;
	if (m->to > s->c.hi.v - m->nlen || (m->to & PG_PAGE_MASK) || !(flags & PG_REMAP_MAYMOVE))
		return -EINVAL;
	if ((flags & PG_REMAP_DONTUNMAP) && m->olen != m->nlen)
		return -EINVAL;
	if (old + m->olen > m->to && m->to + m->nlen > old)
		return -EINVAL;
	if ((flags & PG_REMAP_FIXED) && m->to <= old && m->to + m->nlen > old)
		return -EFAULT; /* of length 0: what is to be duplicated would be replaced */
	if (s->c.max_regions && s->st.regions + 5 >= s->c.max_regions)
		return -ENOMEM;
	return (flags & PG_REMAP_FIXED) && m->to < s->c.lo.v ? -EPERM : 0;
}

/* Grows r, from m->old to its end, in place or elsewhere. */
static int grow(struct pg_space *s, struct region *r, struct move *m, pg_va *at)
{
	uint64_t more = m->nlen - m->olen;
	int err = check_region(r, m);

	if (err)
		return err;
	err = may_grow(s, r, more, more);
	if (err)
		return err;
	if (m->olen && m->old + m->olen == r->pub.end.v && grow_in_place(s, r, m->old + m->nlen)) {
		at->v = m->old;
		return 0;
	}
	if (!(m->flags & PG_REMAP_MAYMOVE))
		return -ENOMEM;
	err = move_one(s, m);
	at->v = m->to;
	return err;
}

int pg_space_remap(struct pg_space *s, pg_va old, uint64_t old_len, uint64_t new_len,
	unsigned flags, pg_va *at)
{
	struct move m = {.old = old.v,
		.olen = pg_align_up(old_len, PG_PAGE_SIZE),
		.nlen = pg_align_up(new_len, PG_PAGE_SIZE),
		.flags = flags};
	bool elsewhere = flags & (PG_REMAP_FIXED | PG_REMAP_DONTUNMAP);
	struct region *r;
	int err;

	m.to = elsewhere ? at->v : 0;
	err = check_params(s, old.v, &m, flags);
	if (err)
		return err;
	if ((flags & PG_REMAP_FIXED) && m.olen == m.nlen && !s->block)
		return move_all(s, old.v, m.olen, flags, at);
	r = pg_region_at(s, old.v);
	if (!r)
		return -EFAULT;
	if (s->block)
		return -ENOMEM;
	if (elsewhere) {
		err = move_one(s, &m);
		if (!err)
			at->v = m.to;
	} else if (m.nlen > m.olen) {
		err = grow(s, r, &m, at);
	} else {
		*at = old;
		return m.olen == m.nlen
			       ? 0
			       : pg_space_unmap(s, (pg_va){old.v + m.nlen}, m.olen - m.nlen);
	}
	if (!err)
		populate_growth(s, at->v, &m);
	return err;
}
