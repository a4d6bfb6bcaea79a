/* SPDX-License-Identifier: MIT */
/*
 * space/map.c: map, unmap, protect, sync, and every other change of a range of regions. Each checks
 * and reserves first and then commits.
 *
 * Called by linux/ (space.h). Calls region.c, pages.c, object.c, limit.c, and fault.c to populate.
 * Not here: mremap (remap.c), brk and stacks (grow.c), madvise (advise.c), mlock (lock.c).
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

bool pg_map_range_ok(const struct pg_space *s, uint64_t start, uint64_t *len)
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

int pg_map_try_cut(struct pg_space *s, uint64_t start, uint64_t end, struct pg_map_cuts *c)
{
	struct region *low = pg_region_at(s, start);
	struct region *high = pg_region_at(s, end - 1);

	*c = (struct pg_map_cuts){0};
	if (low && low->pub.start.v < start) {
		if (pg_region_split(s, low, start, &c->up))
			return -ENOMEM;
		c->low = low;
		if (high == low)
			high = c->up;
	}
	if (high && high->pub.end.v > end) {
		if (pg_region_split(s, high, end, &c->rest)) {
			pg_map_undo_cut(s, c);
			return -ENOMEM;
		}
		c->high = high;
	}
	return 0;
}

void pg_map_undo_cut(struct pg_space *s, const struct pg_map_cuts *c)
{
	if (c->rest)
		pg_region_unsplit(s, c->high, c->rest);
	if (c->up)
		pg_region_unsplit(s, c->low, c->up);
}

void pg_map_keep_cut(struct pg_space *s, const struct pg_map_cuts *c)
{
	struct region *const r[] = {c->low, c->up, c->high, c->rest};

	for (int i = 0; i < 4; i++) {
		if (r[i])
			pg_sparse_trim(&s->vm->anon_kind, &r[i]->anons);
	}
}

/* Cuts regions so that [start, end) begins and ends at region bounds. -ENOMEM: nothing changed. */
static int cut(struct pg_space *s, uint64_t start, uint64_t end)
{
	struct pg_map_cuts c;
	int err = pg_map_try_cut(s, start, end, &c);

	if (!err)
		pg_map_keep_cut(s, &c);
	return err;
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

bool pg_map_choose(struct pg_space *s, uint64_t hint, uint64_t len, uint64_t *out)
{
	struct region *next, *prev;

	hint = pg_align_up(hint, PG_PAGE_SIZE);
	if (hint && hint < s->c.lo.v)
		hint = s->c.lo.v;
	if (hint && pg_map_range_ok(s, hint, &len)) {
		next = pg_region_above(s, hint);
		prev = next ? pg_region_prev(next) : NULL;
		if (!next || (hint + len <= pg_region_guarded_start(s, next) &&
				     (!prev || prev->pub.end.v <= hint))) {
			*out = hint;
			return true;
		}
	}
	return pg_region_place(s, len, out);
}

enum pg_access pg_map_access(pg_prot prot, uint32_t flags)
{
	return (prot & PG_WRITE) && !(flags & PG_MAP_SHARED) ? PG_WRITE : PG_READ;
}

enum pg_fault_end pg_map_populate(
	struct pg_space *s, uint64_t start, uint64_t end, enum pg_access access)
{
	const pg_pte bits = access == PG_WRITE ? PG_PTE_A | PG_PTE_D : PG_PTE_A;

	for (uint64_t a = start; a < end; a += PG_PAGE_SIZE) {
		pg_vpn vpn = pg_vpn_of((pg_va){a});
		pg_pte e = pg_table_find(s->table, vpn);
		enum pg_fault_end how = PG_FAULT_RESUME;

		if (!pg_pte_serves(e, access))
			how = pg_space_fault(s, (pg_va){a}, access, 0, true);
		if (how != PG_FAULT_RESUME)
			return how;
		if ((e & bits) != bits)
			s->form->update(s->table, vpn, bits, 0);
	}
	return PG_FAULT_RESUME;
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
	r->pub.flags = q->flags & PG_MAP_KEPT;
	r->pub.name = r->name ? r->name->text : "";
	r->pub.kind = q->object                     ? PG_REGION_FILE
		      : q->flags & PG_MAP_GROWSDOWN ? PG_REGION_STACK
						    : PG_REGION_ANON;
	r->pub.charged = pg_limit_accountable(q->prot, q->flags);
	r->error_seen = q->object ? pg_object_error_now(q->object) : 0;
	if (q->object && (q->flags & PG_MAP_SHARED) && s->opening) {
		r->open = s->opening;
		r->open->maps++;
	}
	r->index = (pg_region_has_offset(r, q->object) ? q->offset : q->start) >> PG_PAGE_SHIFT;
	r->pub.offset = pg_region_has_offset(r, q->object) ? q->offset : 0;
	*out = r;
	return 0;
}

/* -ENOMEM if the request, less what it replaces, is over the limits of address space or memory. */
static int within_limits(struct pg_space *s, const struct request *q)
{
	uint64_t len = q->end - q->start, gone = 0, uncharged = 0;

	for (struct region *r = pg_region_above(s, q->start); r && r->pub.start.v < q->end;
		r = pg_region_next(r)) {
		uint64_t from = r->pub.start.v > q->start ? r->pub.start.v : q->start;
		uint64_t to = r->pub.end.v < q->end ? r->pub.end.v : q->end;

		gone += to - from;
		uncharged += r->pub.charged ? to - from : 0;
	}
	if (!pg_limit_may_expand(s, q->prot, q->flags, len - gone))
		return -ENOMEM;
	if (pg_limit_accountable(q->prot, q->flags) && !pg_limit_commit_ok(s->vm, len - uncharged))
		return -ENOMEM;
	return 0;
}

/* Maps the checked request: reserve, replace, insert, merge. */
static int commit(struct pg_space *s, const struct request *q)
{
	struct region *there = pg_region_above(s, q->start);
	struct region *r = NULL, *dead = NULL;
	int err;

	err = within_limits(s, q);
	if (err)
		return err;
	err = build(s, q, &r);
	if (err)
		return err;
	if (there && there->pub.start.v < q->end) {
		err = cut(s, q->start, q->end);
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
		return *len && pg_map_choose(s, want, *len, out) ? 0 : -ENOMEM;
	}
	if (want & PG_PAGE_MASK)
		return -EINVAL;
	if (want < s->c.lo.v)
		return -EPERM;
	if (!pg_map_range_ok(s, want, len))
		return -ENOMEM;
	*out = want;
	if (!(flags & PG_MAP_FIXED_FREE))
		return 0;
	r = pg_region_above(s, want);
	return r && r->pub.start.v < want + *len ? -EEXIST : 0;
}

/* What asking for locked pages, or having to lock all to come, costs: 0, -EPERM, -EAGAIN. */
static int settle_locks(struct pg_space *s, unsigned *flags, uint64_t len)
{
	bool asked = *flags & PG_MAP_LOCKED;
	int err;

	if (s->vm->overcommit == PG_OVERCOMMIT_NEVER)
		*flags &= ~(unsigned)PG_MAP_NORESERVE; /* not honoured then, as on Linux */
	*flags |= s->lock_later;
	if (!(*flags & PG_MAP_LOCKED))
		return 0;
	err = pg_limit_may_lock(s, len);
	return err == -EPERM && !asked ? -EAGAIN : err;
}

/* An object for shared anonymous memory of len bytes. */
static int make_shared(
	struct pg_space *s, const char *name, uint64_t len, unsigned flags, struct pg_object **out)
{
	bool existed;
	int err = pg_object_open(s->vm, (struct pg_object_key){0, 0},
		name ? name : "/dev/zero (deleted)", NULL, NULL, len, out, &existed);

	if (err || (flags & PG_MAP_NORESERVE))
		return err;
	err = pg_object_charge(*out);
	if (err)
		pg_object_unref(*out);
	return err;
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
	int err;

	if (!len || (offset & PG_PAGE_MASK) || (prot & ~max_prot))
		return -EINVAL;
	if ((flags & PG_MAP_GROWSDOWN) && (object || (flags & PG_MAP_SHARED)))
		return -EINVAL;
	if (s->block || (s->c.max_regions && s->st.regions > s->c.max_regions))
		return -ENOMEM;
	err = settle_address(s, addr->v, &len, flags, &q.start);
	if (err)
		return err;
	q.end = q.start + len;
	if (object && offset + len < offset)
		return -EOVERFLOW;
	err = settle_locks(s, &flags, len);
	if (err)
		return err;
	q.flags = flags;
	if (!object && (flags & PG_MAP_SHARED)) {
		err = make_shared(s, name, len, flags, &made);
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
	if (prot && (flags & (PG_MAP_POPULATE | PG_MAP_LOCKED)) && !(flags & PG_MAP_LOCKONFAULT))
		(void)pg_map_populate(s, q.start, q.end, pg_map_access(prot, flags));
	return 0;
}

int pg_space_unmap(struct pg_space *s, pg_va addr, uint64_t len)
{
	struct region *r;
	uint64_t end;

	len = pg_align_up(len, PG_PAGE_SIZE);
	if ((addr.v & PG_PAGE_MASK) || !len || addr.v > s->c.hi.v || len > s->c.hi.v - addr.v)
		return -EINVAL;
	end = addr.v + len;
	if (addr.v < s->c.lo.v) /* nothing is there, which is no reason to refuse the rest */
		addr = s->c.lo;
	r = pg_region_above(s, addr.v);
	if (!r || r->pub.start.v >= end)
		return 0;
	if (s->block)
		return -EINVAL;
	if (r->pub.start.v < addr.v && r->pub.end.v > end && s->c.max_regions &&
		s->st.regions >= s->c.max_regions)
		return -ENOMEM;
	if (cut(s, addr.v, end))
		return -ENOMEM;
	pg_map_bury(s->vm, pg_map_clear(s, addr.v, end));
	return 0;
}

/* True if r would be another region after the change. */
static bool alters(const struct region *r, const struct pg_map_change *c)
{
	uint32_t flags = (r->pub.flags | c->set) & ~c->clear;

	return flags != r->pub.flags || (c->new_prot && r->pub.prot != c->prot);
}

/* Linux's mprotect_fixup() on VM_ACCOUNT. */
static bool charged_then(const struct region *r, const struct pg_map_change *c)
{
	if (!c->new_prot)
		return r->pub.charged;
	if (c->prot & PG_WRITE)
		return r->pub.charged ||
		       (!(r->pub.prot & PG_WRITE) && pg_limit_accountable(c->prot, r->pub.flags));
	return r->pub.charged && (r->pub.object || r->anon_id);
}

/* -ENOMEM if the change of [start, end), all mapped, asks for too many regions or too much memory. */
static int change_check(
	struct pg_space *s, uint64_t start, uint64_t end, const struct pg_map_change *c)
{
	uint64_t data = 0, charge = 0;
	unsigned cuts = 0;

	for (struct region *r = pg_region_at(s, start); r && r->pub.start.v < end;
		r = pg_region_next(r)) {
		uint64_t from = r->pub.start.v > start ? r->pub.start.v : start;
		uint64_t to = r->pub.end.v < end ? r->pub.end.v : end;

		if (!alters(r, c))
			continue;
		cuts += (r->pub.start.v < start) + (r->pub.end.v > end);
		/* mprotect_fixup(): refused only if the old rights would be within the limits */
		if (c->new_prot && pg_limit_is_data(c->prot, r->pub.flags) &&
			!pg_limit_is_data(r->pub.prot, r->pub.flags) &&
			pg_limit_may_expand(s, r->pub.prot, r->pub.flags, to - from))
			data += to - from;
		if (charged_then(r, c) && !r->pub.charged)
			charge += to - from;
	}
	if (cuts && s->c.max_regions && s->st.regions + cuts > s->c.max_regions)
		return -ENOMEM;
	if ((data && !pg_limit_data_ok(s, data)) || (charge && !pg_limit_commit_ok(s->vm, charge)))
		return -ENOMEM;
	return 0;
}

/* Changes the piece [from, to) of r, which lies inside r; whole: it was a region before the change. */
static int change_piece(struct pg_space *s, struct region *r, uint64_t from, uint64_t to,
	bool whole, const struct pg_map_change *c)
{
	bool charged, unlocks;

	if (!alters(r, c))
		return 0;
	if (cut(s, from, to))
		return -ENOMEM;
	r = pg_region_at(s, from);
	unlocks = (r->pub.flags & c->clear & PG_MAP_LOCKED) != 0;
	charged = charged_then(r, c);
	pg_region_tally_out(r);
	r->pub.charged = charged;
	r->pub.flags = (r->pub.flags | c->set) & ~c->clear;
	if (c->new_prot)
		r->pub.prot = c->prot;
	pg_region_tally_in(r);
	if (c->new_prot)
		pg_pages_reprotect(r, from >> PG_PAGE_SHIFT, to >> PG_PAGE_SHIFT);
	if (unlocks)
		pg_pages_unlock(r, from >> PG_PAGE_SHIFT, to >> PG_PAGE_SHIFT);
	/* Linux merges by moving borders, and does not take a region away that knows of its end */
	if (!whole || !r->pub.object || !r->pub.object->segment)
		pg_region_merge(s, r);
	return 0;
}

int pg_map_change_range(
	struct pg_space *s, uint64_t start, uint64_t end, const struct pg_map_change *c)
{
	struct region *first = pg_region_at(s, start), *last = pg_region_at(s, end - 1);
	bool cut_low = first->pub.start.v<start, cut_high = last->pub.end.v> end;
	int err = change_check(s, start, end, c);

	if (err)
		return err;
	/* What can fail is the cuts at both ends; made first, they leave nothing else to fail. */
	if (alters(first, c) || alters(last, c)) {
		uint64_t from = alters(first, c) ? start : first->pub.end.v;
		uint64_t to = alters(last, c) ? end : last->pub.start.v;

		if (from < to && cut(s, from, to))
			return -ENOMEM;
	}
	for (uint64_t at = start; at < end;) {
		struct region *r = pg_region_at(s, at);
		uint64_t to = r->pub.end.v < end ? r->pub.end.v : end;

		err = change_piece(
			s, r, at, to, !(at == start && cut_low) && !(to == end && cut_high), c);
		PG_ASSERT(!err);
		at = to;
	}
	return 0;
}

static bool locked_private(const struct region *r)
{
	return (r->pub.flags & (PG_MAP_LOCKED | PG_MAP_LOCKONFAULT | PG_MAP_SHARED)) ==
	       PG_MAP_LOCKED;
}

int pg_space_protect(struct pg_space *s, pg_va addr, uint64_t len, pg_prot prot)
{
	const struct pg_map_change c = {.new_prot = true, .prot = prot};
	bool opened = false;
	uint64_t end;
	int err;

	if (addr.v & PG_PAGE_MASK)
		return -EINVAL;
	if (!len)
		return 0;
	if (!pg_map_range_ok(s, addr.v, &len))
		return -ENOMEM;
	end = addr.v + len;
	if (!pg_map_whole(s, addr.v, end))
		return -ENOMEM;
	if (s->block)
		return 0; /* there are no rights of single pages */
	for (struct region *r = pg_region_at(s, addr.v); r && r->pub.start.v < end;
		r = pg_region_next(r)) {
		if (prot & ~r->pub.max_prot)
			return -EACCES;
		opened = opened || (!(r->pub.prot & PG_WRITE) && locked_private(r));
	}
	err = pg_map_change_range(s, addr.v, end, &c);
	/* As Linux: what is locked and becomes writable is copied now, not when it is written. */
	for (uint64_t at = addr.v; !err && opened && (prot & PG_WRITE) && at < end;) {
		struct region *r = pg_region_at(s, at);
		uint64_t from = at;

		if (!r)
			break;
		at = r->pub.end.v < end ? r->pub.end.v : end;
		if (locked_private(r))
			(void)pg_map_populate(s, from, at, PG_WRITE);
	}
	return err;
}

/* An error of an earlier write-back that the mapping of o at `a`, if it is still there, was not told. */
static int tell_error(struct pg_space *s, uint64_t a, struct pg_object *o)
{
	struct region *r = pg_region_at(s, a);

	if (!r || r->pub.object != o)
		return 0;
	return pg_object_error_since(o, r->open ? &r->open->seen : &r->error_seen);
}

void pg_space_opening(struct pg_space *s, struct pg_open_file *f)
{
	s->opening = f;
}

int pg_space_sync(struct pg_space *s, pg_va addr, uint64_t len)
{
	uint64_t at, end;
	int err = 0;

	if (addr.v & PG_PAGE_MASK)
		return -EINVAL;
	if (!len)
		return 0;
	if (!pg_map_range_ok(s, addr.v, &len) || !pg_map_whole(s, addr.v, addr.v + len))
		return -ENOMEM;
	end = addr.v + len;
	for (at = addr.v; at < end;) {
		struct region *r = pg_region_above(s, at);
		uint64_t from, to;
		struct pg_object *o;
		int e = 0, told;

		if (!r || r->pub.start.v >= end)
			break;
		from = r->pub.start.v > at ? r->pub.start.v : at;
		to = r->pub.end.v < end ? r->pub.end.v : end;
		o = r->pub.object;
		at = to;
		if (o && !pg_region_private(r)) {
			uint64_t first = pg_region_index(r, from >> PG_PAGE_SHIFT);

			pg_object_ref(o); /* the pager may release the lock */
			e = pg_object_sync(
				o, first << PG_PAGE_SHIFT, (first << PG_PAGE_SHIFT) + (to - from));
			told = tell_error(s, from, o);
			e = e ? e : told;
			pg_object_unref(o);
		}
		err = err ? err : e;
	}
	return err;
}
