/* SPDX-License-Identifier: MIT */
/*
 * space/map.c: map, unmap, protect, discard, sync. Each checks and reserves first and then commits.
 *
 * Called by linux/ (space.h). Calls region.c, pages.c, object.c, and fault.c to populate.
 * Not here: mremap (remap.c), brk and stacks (grow.c).
 *
 * The order of an unmapping: entries leave the tables; everybody who caches translations is told;
 * only then do anons and objects lose their references, so that no frame is free while somebody
 * can still reach it.
 */
#include "space/impl.h"

#include <errno.h>

void pg_map_count_vsz(struct pg_space *s)
{
	if (s->st.vsz_bytes > s->st.vsz_peak_bytes)
		s->st.vsz_peak_bytes = s->st.vsz_bytes;
}

/* [start, start + *len) with *len rounded up to pages lies in [lo, hi). */
static bool range_ok(const struct pg_space *s, uint64_t start, uint64_t *len)
{
	uint64_t n = pg_align_up(*len, PG_PAGE_SIZE);

	if (n == 0 || start < s->c.lo.v || start > s->c.hi.v || n > s->c.hi.v - start)
		return false;
	*len = n;
	return true;
}

bool pg_map_whole(struct pg_space *s, uint64_t start, uint64_t end)
{
	for (struct region *r = pg_region_at(s, start); r; r = pg_region_next(r)) {
		if (r->pub.start.v > start)
			return false;
		if (r->pub.end.v >= end)
			return true;
		start = r->pub.end.v;
	}
	return false;
}

int pg_map_cut(struct pg_space *s, uint64_t start, uint64_t end)
{
	struct region *low = pg_region_at(s, start);
	struct region *high = pg_region_at(s, end - 1);
	struct region *up = NULL, *rest;

	if (low && low->pub.start.v < start) {
		if (pg_region_split(s, low, start, &up))
			return -ENOMEM;
		if (high == low)
			high = up;
	}
	if (high && high->pub.end.v > end && pg_region_split(s, high, end, &rest)) {
		if (up)
			pg_region_unsplit(s, low, up);
		return -ENOMEM;
	}
	if (low)
		pg_sparse_trim(&s->vm->anon_kind, &low->anons);
	if (up)
		pg_sparse_trim(&s->vm->anon_kind, &up->anons);
	if (high)
		pg_sparse_trim(&s->vm->anon_kind, &high->anons);
	return 0;
}

struct region *pg_map_clear(struct pg_space *s, uint64_t start, uint64_t end)
{
	struct region *r, *next, *dead = NULL;

	for (r = pg_region_above(s, start); r && r->pub.start.v < end; r = next) {
		next = pg_region_next(r);
		pg_pages_remove(r, r->pub.start.v >> PG_PAGE_SHIFT, r->pub.end.v >> PG_PAGE_SHIFT);
		pg_region_unlink(s, r);
		r->dead_next = dead;
		dead = r;
	}
	return dead;
}

/* Writes back the dirty pages that r was the last to map; what fails stays dirty in the cache. */
static void write_back_last(struct region *r)
{
	uint64_t pages = (r->pub.end.v - r->pub.start.v) >> PG_PAGE_SHIFT;

	if (r->pub.object && !pg_region_private(r) && (r->pub.max_prot & PG_WRITE))
		pg_object_write_back(r->pub.object, r->index, r->index + pages - 1, true);
}

void pg_map_bury(struct pg_vm *vm, struct region *dead)
{
	struct region *next;

	for (; dead; dead = next) {
		next = dead->dead_next;
		write_back_last(dead);
		pg_region_free(vm, dead);
	}
}

/* Chooses where to map len bytes without FIXED; hint as mmap(2). */
static int choose(struct pg_space *s, uint64_t hint, uint64_t len, uint64_t *out)
{
	struct region *next, *prev;

	hint = pg_align_up(hint, PG_PAGE_SIZE);
	if (hint && hint < s->c.lo.v)
		hint = s->c.lo.v;
	if (hint && range_ok(s, hint, &len)) {
		next = pg_region_above(s, hint);
		prev = next ? pg_region_prev(next) : NULL;
		if (!next || (hint + len <= pg_region_guarded_start(s, next) &&
				     (!prev || prev->pub.end.v <= hint))) {
			*out = hint;
			return 0;
		}
	}
	return pg_region_place(s, len, out) ? 0 : -ENOMEM;
}

/* Brings all pages in as Linux's populate does: errors end it and are ignored. */
static void populate(struct pg_space *s, uint64_t start, uint64_t end, pg_prot prot, bool shared)
{
	enum pg_access access = (prot & PG_WRITE) && !shared ? PG_WRITE : PG_READ;

	if (!prot)
		return;
	for (uint64_t a = start; a < end; a += PG_PAGE_SIZE) {
		if (pg_space_fault(s, (pg_va){a}, access, 0, true) != PG_FAULT_RESUME)
			return;
	}
}

struct request {
	uint64_t start, end;
	pg_prot prot, max_prot;
	unsigned flags;
	struct pg_object *object;
	uint64_t offset;
	const char *name;
};

/* Everything of a new region that can fail. */
static int build(struct pg_space *s, const struct request *q, struct region **out)
{
	struct region *r = pg_region_alloc(s);
	const char *name = q->name;
	int err;

	if (!r)
		return -ENOMEM;
	if (!name && q->object)
		name = pg_object_name(q->object);
	r->name = pg_name_get(s->vm, name, &err);
	if (err) {
		pg_mem_free(&s->vm->mem, r);
		return err;
	}
	r->pub.start.v = q->start;
	r->pub.end.v = q->end;
	r->pub.prot = q->prot;
	r->pub.max_prot = q->max_prot;
	r->pub.flags = (uint8_t)(q->flags & (PG_MAP_SHARED | PG_MAP_GROWSDOWN | PG_MAP_NORESERVE |
						    PG_MAP_LOCKED));
	r->pub.name = r->name ? r->name->text : "";
	r->pub.kind = q->object                     ? PG_REGION_FILE
		      : q->flags & PG_MAP_GROWSDOWN ? PG_REGION_STACK
						    : PG_REGION_ANON;
	r->charged = (q->prot & PG_WRITE) && !(q->flags & (PG_MAP_SHARED | PG_MAP_NORESERVE));
	r->index = (q->object ? q->offset : q->start) >> PG_PAGE_SHIFT;
	r->pub.offset = q->object ? q->offset : 0;
	*out = r;
	return 0;
}

/* Maps the checked request: reserve, replace, insert, merge. */
static int commit(struct pg_space *s, const struct request *q)
{
	struct region *there = pg_region_above(s, q->start);
	struct region *r = NULL, *dead = NULL;
	int err;

	err = build(s, q, &r);
	if (err)
		return err;
	if (there && there->pub.start.v < q->end) {
		err = pg_map_cut(s, q->start, q->end);
		if (err) {
			pg_region_free(s->vm, r);
			return err;
		}
		dead = pg_map_clear(s, q->start, q->end);
	}
	if (q->object)
		pg_region_link_object(r, q->object);
	pg_region_insert(s, r);
	pg_map_count_vsz(s);
	pg_region_merge(s, r);
	pg_map_bury(s->vm, dead);
	return 0;
}

/* -EEXIST, -EPERM, -ENOMEM or 0 and where to map. */
static int settle_address(
	struct pg_space *s, uint64_t want, uint64_t *len, unsigned flags, uint64_t *out)
{
	struct region *r;

	if (!(flags & (PG_MAP_FIXED | PG_MAP_FIXED_FREE))) {
		*len = pg_align_up(*len, PG_PAGE_SIZE);
		return *len ? choose(s, want, *len, out) : -ENOMEM;
	}
	if (want & PG_PAGE_MASK)
		return -EINVAL;
	if (want < s->c.lo.v)
		return -EPERM;
	if (!range_ok(s, want, len))
		return -ENOMEM;
	*out = want;
	if (!(flags & PG_MAP_FIXED_FREE))
		return 0;
	r = pg_region_above(s, want);
	return r && r->pub.start.v < want + *len ? -EEXIST : 0;
}

int pg_space_map(struct pg_space *s, pg_va *addr, uint64_t len, pg_prot prot, pg_prot max_prot,
	unsigned flags, struct pg_object *object, uint64_t offset, const char *name)
{
	struct request q = {.prot = prot,
		.max_prot = max_prot,
		.flags = flags,
		.object = object,
		.offset = offset,
		.name = name};
	struct pg_object *made = NULL;
	bool existed;
	int err;

	if (!len || (offset & PG_PAGE_MASK) || (prot & ~max_prot))
		return -EINVAL;
	if ((flags & PG_MAP_GROWSDOWN) && (object || (flags & PG_MAP_SHARED)))
		return -EINVAL;
	if (s->c.max_regions && s->st.regions > s->c.max_regions)
		return -ENOMEM;
	err = settle_address(s, addr->v, &len, flags, &q.start);
	if (err)
		return err;
	q.end = q.start + len;
	if (object && offset + len < offset)
		return -EOVERFLOW;
	if (!object && (flags & PG_MAP_SHARED)) {
		err = pg_object_open(s->vm, (struct pg_object_key){0, 0},
			name ? name : "/dev/zero (deleted)", NULL, NULL, len, &made, &existed);
		if (err)
			return err;
		q.object = made;
		q.offset = 0;
	}
	err = commit(s, &q);
	if (made)
		pg_object_unref(made); /* the region has its own reference */
	if (err)
		return err;
	addr->v = q.start;
	if (flags & (PG_MAP_POPULATE | PG_MAP_LOCKED))
		populate(s, q.start, q.end, prot, flags & PG_MAP_SHARED);
	return 0;
}

int pg_space_unmap(struct pg_space *s, pg_va addr, uint64_t len)
{
	struct region *r;
	uint64_t end;

	if ((addr.v & PG_PAGE_MASK) || !range_ok(s, addr.v, &len))
		return -EINVAL;
	end = addr.v + len;
	r = pg_region_above(s, addr.v);
	if (!r || r->pub.start.v >= end)
		return 0;
	if (r->pub.start.v < addr.v && r->pub.end.v > end && s->c.max_regions &&
		s->st.regions >= s->c.max_regions)
		return -ENOMEM;
	if (pg_map_cut(s, addr.v, end))
		return -ENOMEM;
	pg_map_bury(s->vm, pg_map_clear(s, addr.v, end));
	return 0;
}

/* 0 if every region of [start, end) may have prot; how many cuts the change makes. */
static int protect_check(
	struct pg_space *s, uint64_t start, uint64_t end, pg_prot prot, unsigned *cuts)
{
	*cuts = 0;
	if (!pg_map_whole(s, start, end))
		return -ENOMEM;
	for (struct region *r = pg_region_at(s, start); r && r->pub.start.v < end;
		r = pg_region_next(r)) {
		if (prot & ~r->pub.max_prot)
			return -EACCES;
		if (r->pub.prot == prot)
			continue;
		*cuts += r->pub.start.v < start;
		*cuts += r->pub.end.v > end;
	}
	return 0;
}

/* Linux's mprotect_fixup() on VM_ACCOUNT. */
static void recharge(struct region *r)
{
	if ((r->pub.prot & PG_WRITE) && !(r->pub.flags & (PG_MAP_SHARED | PG_MAP_NORESERVE)))
		r->charged = true;
	else if (!(r->pub.prot & PG_WRITE) && !r->pub.object && !r->anon_id)
		r->charged = false;
}

/* Gives the piece [from, to) of r, which lies inside r, other rights. */
static int protect_piece(
	struct pg_space *s, struct region *r, uint64_t from, uint64_t to, pg_prot prot)
{
	if (r->pub.prot == prot)
		return 0;
	if (pg_map_cut(s, from, to))
		return -ENOMEM;
	r = pg_region_at(s, from);
	r->pub.prot = prot;
	recharge(r);
	pg_pages_reprotect(r, from >> PG_PAGE_SHIFT, to >> PG_PAGE_SHIFT);
	pg_region_merge(s, r);
	return 0;
}

int pg_space_protect(struct pg_space *s, pg_va addr, uint64_t len, pg_prot prot)
{
	struct region *first, *last;
	uint64_t end, at;
	unsigned cuts;
	int err;

	if (addr.v & PG_PAGE_MASK)
		return -EINVAL;
	if (!len)
		return 0;
	if (!range_ok(s, addr.v, &len))
		return -ENOMEM;
	end = addr.v + len;
	err = protect_check(s, addr.v, end, prot, &cuts);
	if (err)
		return err;
	if (cuts && s->c.max_regions && s->st.regions + cuts > s->c.max_regions)
		return -ENOMEM;
	/* What can fail is the cuts at both ends; made first, they leave nothing else to fail. */
	first = pg_region_at(s, addr.v);
	last = pg_region_at(s, end - 1);
	if (first->pub.prot != prot || last->pub.prot != prot) {
		uint64_t from = first->pub.prot != prot ? addr.v : first->pub.end.v;
		uint64_t to = last->pub.prot != prot ? end : last->pub.start.v;

		if (from < to && pg_map_cut(s, from, to))
			return -ENOMEM;
	}
	for (at = addr.v; at < end;) {
		struct region *r = pg_region_at(s, at);
		uint64_t to = r->pub.end.v < end ? r->pub.end.v : end;

		err = protect_piece(s, r, at, to, prot);
		PG_ASSERT(!err);
		at = to;
	}
	return 0;
}

/* Drops the pages of [from, to) of r; what it needs was reserved. */
static void discard_piece(struct pg_space *s, struct region *r, uint64_t from, uint64_t to)
{
	pg_pages_remove(r, from >> PG_PAGE_SHIFT, to >> PG_PAGE_SHIFT);
	if (pg_region_private(r))
		pg_sparse_erase(&s->vm->anon_kind, &r->anons,
			pg_region_index(r, from >> PG_PAGE_SHIFT),
			pg_region_index(r, (to >> PG_PAGE_SHIFT) - 1));
}

/* 0, -EINVAL (locked), -ENOMEM; makes the anon layers at both ends of [start, end) writable. */
static int discard_reserve(struct pg_space *s, uint64_t start, uint64_t end)
{
	const struct pg_sparse_kind *k = &s->vm->anon_kind;

	for (struct region *r = pg_region_at(s, start); r && r->pub.start.v < end;
		r = pg_region_next(r)) {
		uint64_t from = r->pub.start.v > start ? r->pub.start.v : start;
		uint64_t to = r->pub.end.v < end ? r->pub.end.v : end;

		if (r->pub.flags & PG_MAP_LOCKED)
			return -EINVAL;
		if (pg_sparse_unshare(k, &r->anons, pg_region_index(r, from >> PG_PAGE_SHIFT)) ||
			pg_sparse_unshare(
				k, &r->anons, pg_region_index(r, (to >> PG_PAGE_SHIFT) - 1)))
			return -ENOMEM;
	}
	return 0;
}

int pg_space_discard(struct pg_space *s, pg_va addr, uint64_t len)
{
	uint64_t end;
	int err;

	if (addr.v & PG_PAGE_MASK)
		return -EINVAL;
	if (!len)
		return 0;
	if (!range_ok(s, addr.v, &len) || !pg_map_whole(s, addr.v, addr.v + len))
		return -ENOMEM;
	end = addr.v + len;
	err = discard_reserve(s, addr.v, end);
	if (err)
		return err;
	for (struct region *r = pg_region_at(s, addr.v); r && r->pub.start.v < end;
		r = pg_region_next(r))
		discard_piece(s, r, r->pub.start.v > addr.v ? r->pub.start.v : addr.v,
			r->pub.end.v < end ? r->pub.end.v : end);
	return 0;
}

int pg_space_sync(struct pg_space *s, pg_va addr, uint64_t len)
{
	uint64_t at, end;
	int err = 0;

	if (addr.v & PG_PAGE_MASK)
		return -EINVAL;
	if (!len)
		return 0;
	if (!range_ok(s, addr.v, &len) || !pg_map_whole(s, addr.v, addr.v + len))
		return -ENOMEM;
	end = addr.v + len;
	for (at = addr.v; at < end;) {
		struct region *r = pg_region_above(s, at);
		uint64_t from, to;
		struct pg_object *o;
		int e = 0;

		if (!r || r->pub.start.v >= end)
			break;
		from = r->pub.start.v > at ? r->pub.start.v : at;
		to = r->pub.end.v < end ? r->pub.end.v : end;
		o = r->pub.object;
		at = to;
		if (o && !pg_region_private(r)) {
			uint64_t first = pg_region_index(r, from >> PG_PAGE_SHIFT);

			pg_object_ref(o); /* the pager may release the lock */
			e = pg_object_write_back(
				o, first, first + ((to - from) >> PG_PAGE_SHIFT) - 1, false);
			pg_object_unref(o);
		}
		err = err ? err : e;
	}
	return err;
}
