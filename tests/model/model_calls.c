/* SPDX-License-Identifier: MIT */
/*
 * tests/model/model_calls.c: the mapping calls of the model: map, unmap, protect, remap, discard, sync,
 * brk, accesses, truncation, fork. See model.h; what they stand on is in model.c.
 */
#include "model_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the operations */

static int page_of(uint64_t a)
{
	return (int)(int64_t)(a >> 12) - FIRST;
}

#define LOCKS ((unsigned)(PG_MAP_LOCKED | PG_MAP_LOCKONFAULT))

/* Faults in what does not allow the access; how the first that cannot be had ended. */
static enum pg_fault_end bring_in(
	struct model *m, struct m_space *s, int start, int end, enum pg_access access)
{
	for (int p = start; p < end; p++) {
		struct m_region *r = model_region(s, p);
		enum pg_fault_end how = PG_FAULT_RESUME;

		if (!r || !m_serves(r, &s->page[p], access))
			how = m_fault(m, s, p, access, true);
		if (how != PG_FAULT_RESUME)
			return how;
		r = model_region(s, p);
		if (access == PG_WRITE && s->page[p].entry == FILE_PAGE)
			m->object[r->object].dirty[m_index_of(r, p)] = true;
		if (access == PG_WRITE && s->page[p].anon)
			s->page[p].anon->lazy = false;
	}
	return PG_FAULT_RESUME;
}

static enum pg_access as_region(const struct m_region *r)
{
	return (r->prot & PG_WRITE) && m_is_private(r) ? PG_WRITE : PG_READ;
}

static int free_object(struct model *m)
{
	for (int i = FILES + 1; i < OBJECTS; i++) {
		if (!m->object[i].used)
			return i;
	}
	abort();
}

static struct outcome do_map(struct model *m, struct m_space *s, const struct op *op)
{
	bool fixed = op->flags & (PG_MAP_FIXED | PG_MAP_FIXED_FREE);
	int pages = (int)((op->len + 4095) / 4096), at, i;
	uint64_t hint = (op->addr + 4095) / 4096 * 4096;
	struct m_region r = {0};

	if (!op->len || op->offset % 4096 || (op->prot & ~op->max_prot))
		return (struct outcome){-EINVAL, 0};
	if ((op->flags & PG_MAP_GROWSDOWN) && (op->object >= 0 || (op->flags & PG_MAP_SHARED)))
		return (struct outcome){-EINVAL, 0};
	if (s->max_regions && s->regions > s->max_regions)
		return (struct outcome){-ENOMEM, 0};
	if (fixed) {
		if (op->addr % 4096)
			return (struct outcome){-EINVAL, 0};
		if (op->addr < LO)
			return (struct outcome){-EPERM, 0};
		at = page_of(op->addr);
		if (at + pages > PAGES)
			return (struct outcome){-ENOMEM, 0};
		for (int p = at; (op->flags & PG_MAP_FIXED_FREE) && p < at + pages; p++) {
			if (model_region(s, p))
				return (struct outcome){-EEXIST, 0};
		}
	} else {
		if (hint && hint < LO)
			hint = LO;
		at = page_of(hint);
		if (!hint || at + pages > PAGES || !m_is_free(s, at, at + pages))
			at = m_place(m, s, pages);
		if (at < 0)
			return (struct outcome){-ENOMEM, 0};
	}
	r = (struct m_region){.start = at,
		.end = at + pages,
		.prot = op->prot,
		.max_prot = op->max_prot,
		.object = op->object,
		.name = "",
		.flags = op->flags & (PG_MAP_SHARED | PG_MAP_GROWSDOWN | PG_MAP_NORESERVE |
					     PG_MAP_LOCKED | PG_MAP_LOCKONFAULT)};
	r.flags |= s->lock_later;
	if (r.object < 0 && (r.flags & PG_MAP_SHARED)) {
		r.object = free_object(m);
		m->object[r.object] = (struct m_object){
			.used = true, .shmem = true, .size = (uint64_t)pages * 4096};
	}
	r.kind = r.object >= 0                ? PG_REGION_FILE
		 : r.flags & PG_MAP_GROWSDOWN ? PG_REGION_STACK
					      : PG_REGION_ANON;
	if (r.object >= 0)
		r.name = r.object < FILES + 1 ? "object" : "/dev/zero (deleted)";
	r.index = op->object >= 0 ? (long)(op->offset / 4096) : r.object >= 0 ? 0 : at + FIRST;
	r.charged = (r.prot & PG_WRITE) && !(r.flags & (PG_MAP_SHARED | PG_MAP_NORESERVE));
	m_clear(m, s, at, at + pages);
	i = m_position(s, at);
	m_insert_at(s, i, r);
	m_merge_around(s, i);
	if (((r.flags & PG_MAP_LOCKED) || (op->flags & PG_MAP_POPULATE)) &&
		!(r.flags & PG_MAP_LOCKONFAULT) && r.prot)
		bring_in(m, s, at, at + pages,
			(r.prot & PG_WRITE) && !(r.flags & PG_MAP_SHARED) ? PG_WRITE : PG_READ);
	return (struct outcome){0, LO + (uint64_t)at * 4096};
}

/* 0 and page bounds, or not a range of the space. */
static bool range(const struct op *op, uint64_t len, int *start, int *end)
{
	uint64_t n = (len + 4095) / 4096 * 4096;

	*start = page_of(op->addr);
	*end = *start + (int)(n / 4096);
	return n && op->addr >= LO && op->addr + n <= HI;
}

static int do_unmap_range(struct model *m, struct m_space *s, int start, int end)
{
	int i = m_position(s, start);

	if (i < s->regions && s->region[i].start < start && s->region[i].end > end &&
		s->max_regions && s->regions >= s->max_regions)
		return -ENOMEM;
	m_clear(m, s, start, end);
	return 0;
}

static struct outcome do_unmap(struct model *m, struct m_space *s, const struct op *op)
{
	int start, end;

	if (op->addr % 4096 || !range(op, op->len, &start, &end))
		return (struct outcome){-EINVAL, 0};
	return (struct outcome){do_unmap_range(m, s, start, end), 0};
}

static struct outcome do_protect(struct model *m, struct m_space *s, const struct op *op)
{
	int start, end, cuts = 0;
	bool opened = false;

	if (op->addr % 4096)
		return (struct outcome){-EINVAL, 0};
	if (!op->len)
		return (struct outcome){0, 0};
	if (!range(op, op->len, &start, &end) || !m_whole(s, start, end))
		return (struct outcome){-ENOMEM, 0};
	for (int i = m_position(s, start); i < s->regions && s->region[i].start < end; i++) {
		struct m_region *r = &s->region[i];

		if (op->prot & ~r->max_prot)
			return (struct outcome){-EACCES, 0};
		opened = opened || (!(r->prot & PG_WRITE) &&
					   (r->flags & (LOCKS | PG_MAP_SHARED)) == PG_MAP_LOCKED);
		if (r->prot != op->prot)
			cuts += (r->start < start) + (r->end > end);
	}
	if (cuts && s->max_regions && s->regions + cuts > s->max_regions)
		return (struct outcome){-ENOMEM, 0};
	for (int at = start; at < end;) {
		struct m_region *r = model_region(s, at);
		int to = r->end < end ? r->end : end;

		if (r->prot != op->prot) {
			m_cut(s, at);
			m_cut(s, to);
			r = model_region(s, at);
			r->prot = op->prot;
			if ((r->prot & PG_WRITE) &&
				!(r->flags & (PG_MAP_SHARED | PG_MAP_NORESERVE)))
				r->charged = true;
			else if (!(r->prot & PG_WRITE) && r->object < 0 && !r->anon_id)
				r->charged = false;
			for (int p = at; p < to; p++)
				s->page[p].writable =
					s->page[p].entry != NONE && (r->prot & PG_WRITE) &&
					(!m_is_private(r) ||
						(s->page[p].anon && s->page[p].anon->refs == 1));
			m_merge_around(s, (int)(r - s->region));
		}
		at = to;
	}
	for (int at = start; opened && (op->prot & PG_WRITE) && at < end;) {
		struct m_region *r = model_region(s, at);
		int to = r->end < end ? r->end : end;

		if ((r->flags & (LOCKS | PG_MAP_SHARED)) == PG_MAP_LOCKED)
			(void)bring_in(m, s, at, to, PG_WRITE);
		at = to;
	}
	return (struct outcome){0, 0};
}

/* Moves old .. old + olen, inside one region, to page `to` (-1: none wanted). */
static struct outcome move(
	struct model *m, struct m_space *s, int old, int olen, int nlen, int to, unsigned flags)
{
	int keep = olen < nlen ? olen : nlen, i, cleared = 0, behind = 0;
	struct m_region *r = model_region(s, old), d;
	struct m_region gone[PAGES], tail[PAGES];

	if (!r)
		return (struct outcome){-EFAULT, 0};
	if (!olen && m_is_private(r))
		return (struct outcome){-EINVAL, 0};
	if (old + keep > r->end)
		return (struct outcome){-EFAULT, 0};
	if (s->max_regions && s->regions + 3 >= s->max_regions)
		return (struct outcome){-ENOMEM, 0};
	if (!(flags & PG_REMAP_FIXED) && (to < 0 || !m_hint_free(s, to, nlen)))
		to = m_place(m, s, nlen);
	if (to < 0)
		return (struct outcome){-ENOMEM, 0};
	d = *r;
	d.start = to;
	d.end = to + nlen;
	d.index = d.object < 0 && !d.anon_id ? to + FIRST : m_index_of(r, old);
	if (d.kind == PG_REGION_HEAP || d.kind == PG_REGION_STACK)
		d.name = "";
	if (d.kind == PG_REGION_HEAP)
		d.kind = PG_REGION_ANON;
	if (flags & PG_REMAP_FIXED)
		cleared = m_take_out(s, to, to + nlen, gone);
	for (int p = 0; p < keep; p++) {
		s->page[to + p] = s->page[old + p];
		s->page[old + p] = (struct m_page){0};
	}
	if (olen && !(flags & PG_REMAP_DONTUNMAP)) {
		m_cut(s, old);
		m_cut(s, old + keep);
		m_remove_at(s, m_position(s, old));
		behind = m_take_out(s, old + keep, old + olen, tail);
	}
	i = m_position(s, to);
	m_insert_at(s, i, d);
	m_merge_around(s, i);
	if (flags & PG_REMAP_DONTUNMAP) { /* both, if they have become one */
		r = model_region(s, old);
		r->flags &= ~LOCKS;
		if (r->start == old && r->end == old + olen) {
			r->anon_id = 0;
			r->forked = false;
		}
	}
	m_settle(m, gone, cleared);
	m_settle(m, tail, behind);
	return (struct outcome){0, LO + (uint64_t)to * 4096};
}

/* Linux 6.17: a move without a change of size may take several regions along. */
static struct outcome move_all(
	struct model *m, struct m_space *s, const struct op *op, int old, int len, int to)
{
	struct outcome out = {-EFAULT, 0}, one;
	int target = to, last_end = old, done = 0, i;

	if (!model_region(s, old))
		return out;
	for (int at = old; at < old + len; at = last_end) {
		i = m_position(s, at);
		if (i == s->regions || s->region[i].start >= old + len)
			break;
		if (s->region[i].start > at)
			at = s->region[i].start;
		if (done)
			target += at - last_end;
		last_end = s->region[i].end;
		one = move(m, s, at, (last_end < old + len ? last_end : old + len) - at,
			(last_end < old + len ? last_end : old + len) - at, target, op->flags);
		if (one.result)
			return one;
		if (!done++)
			out = one;
		target = page_of(one.addr) + (last_end < old + len ? last_end : old + len) - at;
	}
	return out;
}

static void populate_growth(struct model *m, struct m_space *s, int at, int olen, int nlen)
{
	struct m_region *r = model_region(s, at);

	if ((r->flags & LOCKS) == PG_MAP_LOCKED && nlen > olen && r->prot)
		(void)bring_in(m, s, at + olen, at + nlen, as_region(r));
}

static struct outcome do_remap(struct model *m, struct m_space *s, const struct op *op)
{
	int olen = (int)((op->len + 4095) / 4096), nlen = (int)((op->new_len + 4095) / 4096);
	bool elsewhere = op->flags & (PG_REMAP_FIXED | PG_REMAP_DONTUNMAP);
	int old = page_of(op->addr), to = page_of(op->to), i;
	struct outcome out;
	struct m_region *r;

	if (op->addr % 4096 || !nlen || nlen > PAGES + FIRST)
		return (struct outcome){-EINVAL, 0};
	if (elsewhere) {
		if (to + nlen > PAGES || op->to % 4096 || !(op->flags & PG_REMAP_MAYMOVE))
			return (struct outcome){-EINVAL, 0};
		if ((op->flags & PG_REMAP_DONTUNMAP) && olen != nlen)
			return (struct outcome){-EINVAL, 0};
		if (old + olen > to && to + nlen > old)
			return (struct outcome){-EINVAL, 0};
		if ((op->flags & PG_REMAP_FIXED) && to <= old && to + nlen > old)
			return (struct outcome){-EFAULT, 0};
		if (s->max_regions && s->regions + 5 >= s->max_regions)
			return (struct outcome){-ENOMEM, 0};
		if ((op->flags & PG_REMAP_FIXED) && op->to < LO)
			return (struct outcome){-EPERM, 0};
		if (olen == nlen && (op->flags & PG_REMAP_FIXED))
			return move_all(m, s, op, old, olen, to);
	}
	r = old >= 0 ? model_region(s, old) : NULL;
	if (!r)
		return (struct outcome){-EFAULT, 0};
	if (elsewhere) {
		out = move(m, s, old, olen, nlen, to, op->flags);
	} else if (olen == nlen) {
		return (struct outcome){0, op->addr};
	} else if (olen > nlen) {
		if (old + olen > PAGES)
			return (struct outcome){-EINVAL, op->addr};
		return (struct outcome){do_unmap_range(m, s, old + nlen, old + olen), op->addr};
	} else {
		if (!olen && m_is_private(r))
			return (struct outcome){-EINVAL, 0};
		if (old + olen > r->end)
			return (struct outcome){-EFAULT, 0};
		i = (int)(r - s->region);
		out = (struct outcome){-ENOMEM, 0};
		if (olen && old + olen == r->end && old + nlen <= PAGES &&
			(i + 1 == s->regions || s->region[i + 1].start >= old + nlen)) {
			r->end = old + nlen;
			m_merge_around(s, i);
			out = (struct outcome){0, op->addr};
		} else if (op->flags & PG_REMAP_MAYMOVE) {
			out = move(m, s, old, olen, nlen, -1, op->flags);
		}
	}
	if (!out.result)
		populate_growth(m, s, page_of(out.addr), olen, nlen);
	return out;
}

/* Changes flags of start .. end, all mapped, with Linux's cuts and merges. */
static int change_flags(struct m_space *s, int start, int end, unsigned set, unsigned clear)
{
	int cuts = 0;

	for (int i = m_position(s, start); i < s->regions && s->region[i].start < end; i++) {
		struct m_region *r = &s->region[i];

		if (((r->flags | set) & ~clear) != r->flags)
			cuts += (r->start < start) + (r->end > end);
	}
	if (cuts && s->max_regions && s->regions + cuts > s->max_regions)
		return -ENOMEM;
	for (int at = start; at < end;) {
		struct m_region *r = model_region(s, at);
		int to = r->end < end ? r->end : end;

		if (((r->flags | set) & ~clear) != r->flags) {
			m_cut(s, at);
			m_cut(s, to);
			r = model_region(s, at);
			r->flags = (r->flags | set) & ~clear;
			m_merge_around(s, (int)(r - s->region));
		}
		at = to;
	}
	return 0;
}

/* The checks that all advice shares: -EINVAL, -ENOMEM, 1: nothing to do, or 0 and the pages. */
static int advice_range(struct m_space *s, const struct op *op, int *start, int *end)
{
	if (op->addr % 4096)
		return -EINVAL;
	if (!op->len)
		return 1;
	return !range(op, op->len, start, end) || !m_whole(s, *start, *end) ? -ENOMEM : 0;
}

static struct outcome do_mark(struct m_space *s, const struct op *op)
{
	int start, end, err = advice_range(s, op, &start, &end);

	if (err)
		return (struct outcome){err < 0 ? err : 0, 0};
	for (int p = start; (op->flags & PG_MAP_WIPEONFORK) && p < end; p++) {
		if (model_region(s, p)->object >= 0)
			return (struct outcome){-EINVAL, 0};
	}
	return (struct outcome){change_flags(s, start, end, op->flags, op->clear), 0};
}

/* Faults start .. end in, region by region: what mlock answers. */
static int lock_in(struct model *m, struct m_space *s, int start, int end)
{
	while (start < end) {
		struct m_region *r = model_region(s, start);
		int to = r->end < end ? r->end : end;

		if (!r->prot || bring_in(m, s, start, to, as_region(r)) != PG_FAULT_RESUME)
			return -ENOMEM;
		start = to;
	}
	return 0;
}

static struct outcome do_lock(struct model *m, struct m_space *s, const struct op *op)
{
	struct op whole = *op;
	int start, end, err;

	whole.addr = op->addr / 4096 * 4096;
	whole.len = op->len + op->addr % 4096;
	if (!whole.len)
		return (struct outcome){0, 0};
	if (!range(&whole, whole.len, &start, &end) || !m_whole(s, start, end)) {
		for (end = start; model_region(s, end);)
			end++;
		if (end > start)
			(void)change_flags(s, start, end, op->flags, LOCKS & ~op->flags);
		return (struct outcome){-ENOMEM, 0};
	}
	err = change_flags(s, start, end, op->flags, LOCKS & ~op->flags);
	if (!err && op->flags == PG_MAP_LOCKED)
		err = lock_in(m, s, start, end);
	return (struct outcome){err, 0};
}

static struct outcome do_lock_all(struct model *m, struct m_space *s, const struct op *op)
{
	s->lock_later = op->clear;
	if (!op->flags && op->clear)
		return (struct outcome){0, 0};
	for (int p = 0; p < PAGES; p++) {
		struct m_region *r = model_region(s, p);

		if (!r)
			continue;
		p = r->end - 1;
		(void)change_flags(s, r->start, r->end, op->flags, LOCKS & ~op->flags);
	}
	for (int i = 0; op->flags == PG_MAP_LOCKED && i < s->regions; i++)
		(void)lock_in(m, s, s->region[i].start, s->region[i].end);
	return (struct outcome){0, 0};
}

static int refused(const struct m_region *r, enum pg_advice advice)
{
	bool locked = r->flags & PG_MAP_LOCKED;

	switch (advice) {
	case PG_ADVISE_DISCARD:
	case PG_ADVISE_COLD:
	case PG_ADVISE_PAGEOUT:
	case PG_ADVISE_GUARD_INSTALL:
		return locked ? -EINVAL : 0;
	case PG_ADVISE_FREE:
		return locked || r->object >= 0 ? -EINVAL : 0;
	case PG_ADVISE_REMOVE:
		if (locked || r->object < 0)
			return -EINVAL;
		return m_is_private(r) || !(r->max_prot & PG_WRITE) ? -EACCES : 0;
	default:
		return 0;
	}
}

/* Bytes from .. to of the object read as zero, whole pages leave every table. */
static void make_hole(struct model *m, int object, uint64_t from, uint64_t to)
{
	struct m_object *o = &m->object[object];

	for (long i = 0; i < OBJECT_PAGES; i++) {
		uint64_t base = (uint64_t)i * 4096;

		for (unsigned k = 0; k < PROBES; k++) {
			if (base + probe_at[k] >= from && base + probe_at[k] < to)
				o->byte[i][k] = o->disk[i][k] = 0;
		}
		if (base < from || base + 4096 > to)
			continue;
		o->cached[i] = o->dirty[i] = false;
		for (int k = 0; k < SPACES; k++) {
			struct m_space *s = &m->space[k];

			for (int p = 0; s->used && p < PAGES; p++) {
				struct m_region *r = model_region(s, p);

				if (r && r->object == object && m_index_of(r, p) == i &&
					s->page[p].entry == FILE_PAGE)
					s->page[p].entry = NONE, s->page[p].writable = false;
			}
		}
	}
}

/* madvise(MADV_PAGEOUT): clean file pages that only this entry maps and no locked region. */
static void page_out(struct model *m, struct m_space *s, int p)
{
	struct m_region *r = model_region(s, p);
	struct m_object *o;
	long index = m_index_of(r, p);

	if (s->page[p].entry != FILE_PAGE || m_sharers(m, s, p) != 1)
		return;
	o = &m->object[r->object];
	if (o->shmem || o->dirty[index])
		return;
	o->cached[index] = false;
	model_forget_tail(o, (int)index);
	s->page[p].entry = NONE;
	s->page[p].writable = false;
}

static void read_ahead(struct model *m, struct m_region *r, int p)
{
	struct m_object *o = r->object >= 0 ? &m->object[r->object] : NULL;
	long index = m_index_of(r, p);

	if (o && !o->shmem && (uint64_t)index < (o->size + 4095) / 4096)
		o->cached[index] = true;
}

static void advise_page(struct model *m, struct m_space *s, int p, enum pg_advice advice)
{
	struct m_region *r = model_region(s, p);
	uint64_t at = (uint64_t)m_index_of(r, p) * 4096;

	switch (advice) {
	case PG_ADVISE_DISCARD:
	case PG_ADVISE_DISCARD_LOCKED:
		m_page_clear(&s->page[p]);
		break;
	case PG_ADVISE_FREE:
		if (s->page[p].anon && s->page[p].anon->refs == 1)
			s->page[p].anon->lazy = true;
		break;
	case PG_ADVISE_PAGEOUT:
		page_out(m, s, p);
		break;
	case PG_ADVISE_GUARD_INSTALL:
		m_page_clear(&s->page[p]);
		s->page[p].guard = true;
		r->guarded = true;
		if (m_is_private(r) && r->object < 0)
			m_want_anon_id(m, s, r);
		break;
	case PG_ADVISE_GUARD_REMOVE:
		s->page[p].guard = false;
		break;
	case PG_ADVISE_REMOVE:
		make_hole(m, r->object, at, at + 4096);
		break;
	default:
		break;
	}
}

/* Region by region, until a page that cannot be read: a hint. */
static void will_need(struct model *m, struct m_space *s, int start, int end)
{
	for (int p = start; p < end; p++) {
		struct m_region *r = model_region(s, p);
		struct m_object *o = r->object >= 0 ? &m->object[r->object] : NULL;
		long index = m_index_of(r, p);

		if (o && index < OBJECT_PAGES && o->broken[index] && !o->cached[index] &&
			(uint64_t)index < (o->size + 4095) / 4096)
			p = r->end - 1;
		else
			read_ahead(m, r, p);
	}
}

static struct outcome do_advise(struct model *m, struct m_space *s, const struct op *op)
{
	int start, end, err = advice_range(s, op, &start, &end);
	enum pg_access access = op->advice == PG_ADVISE_POPULATE_READ ? PG_READ : PG_WRITE;

	for (int p = start; !err && p < end; p++)
		err = refused(model_region(s, p), op->advice);
	if (err)
		return (struct outcome){err < 0 ? err : 0, 0};
	if (op->advice == PG_ADVISE_POPULATE_READ || op->advice == PG_ADVISE_POPULATE_WRITE) {
		for (int p = start; p < end; p++) {
			if (!(model_region(s, p)->prot & access))
				return (struct outcome){-EINVAL, 0};
			if (bring_in(m, s, p, p + 1, access) != PG_FAULT_RESUME)
				return (struct outcome){-EFAULT, 0};
		}
	} else if (op->advice == PG_ADVISE_WILLNEED) {
		will_need(m, s, start, end);
	}
	for (int p = start; p < end; p++)
		advise_page(m, s, p, op->advice);
	return (struct outcome){0, 0};
}

static struct outcome do_discard(struct model *m, struct m_space *s, const struct op *op)
{
	struct op same = *op;

	same.advice = PG_ADVISE_DISCARD;
	return do_advise(m, s, &same);
}

static struct outcome do_sync(struct model *m, struct m_space *s, const struct op *op)
{
	int start, end;

	if (op->addr % 4096)
		return (struct outcome){-EINVAL, 0};
	if (!op->len)
		return (struct outcome){0, 0};
	if (!range(op, op->len, &start, &end) || !m_whole(s, start, end))
		return (struct outcome){-ENOMEM, 0};
	for (int p = start; p < end; p++) {
		struct m_region *r = model_region(s, p);

		if (r->object < 0 || m_is_private(r))
			continue;
		if (!m->object[r->object].shmem &&
			m_index_of(r, p) == (long)(m->object[r->object].size / 4096))
			model_forget_tail(&m->object[r->object], (int)m_index_of(r, p));
		m_write_back(m, r->object, m_index_of(r, p));
	}
	return (struct outcome){0, 0};
}

/* op->addr: the break wanted; op->len: the data limit. */
static struct outcome do_brk(struct model *m, struct m_space *s, const struct op *op)
{
	uint64_t start = LO + (uint64_t)s->brk_start * 4096;
	int from = (int)((s->brk + 4095) / 4096), to = page_of(op->addr + 4095), i;
	struct outcome now = {0, LO + s->brk};
	struct m_region r;

	if (op->addr < start || op->addr - start > op->len)
		return now;
	if (to < from && do_unmap_range(m, s, to, from))
		return now;
	if (to > from) {
		if (to + 1 > PAGES)
			return now;
		if (!m_is_free(s, from, to + 1))
			return now;
		i = m_position(s, from) - 1;
		r = (struct m_region){.start = from,
			.end = to,
			.prot = PG_READ | PG_WRITE,
			.max_prot = PG_READ | PG_WRITE | PG_EXEC,
			.kind = PG_REGION_HEAP,
			.object = -1,
			.name = "[heap]",
			.charged = true,
			.flags = s->lock_later,
			.index = from + FIRST};
		if (from > s->brk_start && i >= 0 && m_can_merge(&s->region[i], &r)) {
			s->region[i].end = to;
		} else {
			if (s->max_regions && s->regions > s->max_regions)
				return now;
			m_insert_at(s, i + 1, r);
		}
	}
	s->brk = op->addr - LO;
	if (to > from && s->lock_later == PG_MAP_LOCKED)
		(void)bring_in(m, s, from, to, PG_WRITE);
	return (struct outcome){0, op->addr};
}

static void store(struct model *m, struct m_space *s, int page, unsigned probe, uint8_t value)
{
	struct m_region *r = model_region(s, page);

	if (s->page[page].entry == ANON) {
		s->page[page].anon->byte[probe] = value;
		s->page[page].anon->lazy = false;
	} else {
		m->object[r->object].byte[m_index_of(r, page)][probe] = value;
	}
}

/* Faults the pages of the access in and, for a write, stores. */
static struct outcome do_access(
	struct model *m, struct m_space *s, const struct op *op, bool by_kernel)
{
	uint64_t a = op->addr, end = op->addr + op->len;

	while (a < end) {
		uint64_t to = (a / 4096 + 1) * 4096 < end ? (a / 4096 + 1) * 4096 : end;
		int p = page_of(a);
		struct m_region *r = p >= 0 && p < PAGES ? model_region(s, p) : NULL;

		if ((!by_kernel || !r || !m_serves(r, &s->page[p], op->access)) &&
			m_fault(m, s, p, op->access, by_kernel) != PG_FAULT_RESUME)
			break;
		r = model_region(s, p);
		if (op->access == PG_WRITE && s->page[p].entry == FILE_PAGE)
			m->object[r->object].dirty[m_index_of(r, p)] = true;
		if (op->access == PG_WRITE && s->page[p].anon)
			s->page[p].anon->lazy = false;
		for (unsigned i = 0; op->access == PG_WRITE && i < PROBES; i++) {
			uint64_t at = (a & ~4095ull) + probe_at[i];

			if (at >= a && at < to)
				store(m, s, p, i, op_byte(op, at));
		}
		a = to;
	}
	return (struct outcome){(int64_t)(a - op->addr), 0};
}

static struct outcome do_truncate(struct model *m, const struct op *op)
{
	struct m_object *o = &m->object[op->object];
	long first = (long)((op->len + 4095) / 4096);
	uint64_t valid = op->len > o->size && !o->shmem ? o->size : op->len;

	for (int i = 0; i < SPACES; i++) {
		struct m_space *s = &m->space[i];

		for (int p = 0; s->used && p < PAGES; p++) {
			struct m_region *r = model_region(s, p);

			if (r && r->object == op->object && m_index_of(r, p) >= first)
				m_page_clear(&s->page[p]);
		}
	}
	if (op->len > o->size && o->shmem)
		valid = UINT64_MAX; /* memory that grows has what was stored behind its end */
	o->size = op->len;
	for (long i = 0; i < OBJECT_PAGES; i++) {
		for (unsigned k = 0; k < PROBES; k++) {
			if ((uint64_t)i * 4096 + probe_at[k] >= valid)
				o->byte[i][k] = o->disk[i][k] = 0;
		}
		if (i >= first)
			o->cached[i] = o->dirty[i] = false;
	}
	return (struct outcome){0, 0};
}

static struct outcome do_host_write(struct model *m, const struct op *op)
{
	struct m_object *o = &m->object[op->object];
	uint64_t end = op->offset + op->len, was = o->size;

	if (op->len && end > o->size)
		o->size = end;

	for (uint64_t i = 0; i < OBJECT_PAGES; i++) {
		for (unsigned k = 0; k < PROBES; k++) {
			uint64_t at = i * 4096 + probe_at[k];

			if (at >= op->offset && at < end)
				o->byte[i][k] = o->disk[i][k] = op_byte(op, at);
			else if (op->len && at >= was && at < op->offset && !o->shmem)
				o->byte[i][k] = o->disk[i][k] = 0; /* a hole */
		}
	}
	return (struct outcome){0, 0};
}

static struct outcome do_punch(struct model *m, const struct op *op)
{
	make_hole(m, op->object, op->offset, op->offset + op->len);
	return (struct outcome){0, 0};
}

static struct outcome do_fork(struct model *m, struct m_space *s, struct m_space *c)
{
	*c = *s;
	memset(c->faults, 0, sizeof c->faults);
	c->refused = c->copies = c->pages_in = c->minor = c->major = c->by_kernel = 0;
	for (int i = 0; i < c->regions; i++) {
		struct m_region *r = &c->region[i];

		r->flags &= ~LOCKS;
		for (int p = r->start; p < r->end; p++) {
			if (r->flags & (PG_MAP_DONTFORK | PG_MAP_WIPEONFORK)) {
				c->page[p] = (struct m_page){0};
				continue;
			}
			if (c->page[p].anon)
				c->page[p].anon->refs++;
			if (m_is_private(r))
				s->page[p].writable = c->page[p].writable = false;
			if (!m_is_private(r) || !(r->anon_id || r->guarded))
				c->page[p].entry = NONE;
			if (!m_is_private(r))
				c->page[p].writable = false;
		}
		if (r->flags & PG_MAP_WIPEONFORK) {
			r->anon_id = 0;
			r->forked = false;
		} else if (r->anon_id) {
			r->anon_id = ++m->last_anon_id;
			r->forked = true;
		}
	}
	for (int i = 0; i < c->regions; i++) {
		if (c->region[i].flags & PG_MAP_DONTFORK)
			m_remove_at(c, i--);
	}
	c->lock_later = 0;
	return (struct outcome){0, 0};
}

static struct outcome do_exit(struct model *m, struct m_space *s)
{
	m_clear(m, s, 0, PAGES);
	*s = (struct m_space){0};
	return (struct outcome){0, 0};
}

/* Objects made by map go with their last region. */
static void collect(struct model *m)
{
	for (int o = FILES + 1; o < OBJECTS; o++) {
		bool used = false;

		for (int i = 0; i < SPACES; i++) {
			for (int k = 0; k < m->space[i].regions; k++)
				used = used || m->space[i].region[k].object == o;
		}
		m->object[o].used = used;
	}
}

struct outcome model_apply(struct model *m, const struct op *op)
{
	struct m_space *s = &m->space[op->space];
	struct outcome out = {0};

	m->events = 0;
	switch (op->kind) {
	case OP_MAP:
		out = do_map(m, s, op);
		break;
	case OP_UNMAP:
		out = do_unmap(m, s, op);
		break;
	case OP_PROTECT:
		out = do_protect(m, s, op);
		break;
	case OP_REMAP:
		out = do_remap(m, s, op);
		break;
	case OP_DISCARD:
		out = do_discard(m, s, op);
		break;
	case OP_SYNC:
		out = do_sync(m, s, op);
		break;
	case OP_BRK:
		out = do_brk(m, s, op);
		break;
	case OP_WRITE:
	case OP_READ:
		out = do_access(m, s, op, true);
		break;
	case OP_FAULT:
		out = do_access(m, s, op, false);
		break;
	case OP_TRUNCATE:
		out = do_truncate(m, op);
		break;
	case OP_HOST_WRITE:
		out = do_host_write(m, op);
		break;
	case OP_PUNCH:
		out = do_punch(m, op);
		break;
	case OP_ADVISE:
		out = do_advise(m, s, op);
		break;
	case OP_MARK:
		out = do_mark(s, op);
		break;
	case OP_LOCK:
		out = do_lock(m, s, op);
		break;
	case OP_LOCK_ALL:
		out = do_lock_all(m, s, op);
		break;
	case OP_FORK:
		out = do_fork(m, s, &m->space[op->other]);
		break;
	case OP_EXIT:
		out = do_exit(m, s);
		break;
	case OP_KINDS:
		break;
	}
	collect(m);
	return out;
}

void model_init(struct model *m, int max_regions, int top)
{
	memset(m, 0, sizeof *m);
	m->top = top;
	m->space[0].used = true;
	m->space[0].max_regions = max_regions;
	m->space[0].brk_start = 8;
	m->space[0].brk = 8 * 4096;
	for (int i = 0; i <= FILES; i++) {
		m->object[i].used = true;
		m->object[i].shmem = i == FILES;
		m->object[i].size = i == 0 ? 20 * 4096 : i == 1 ? 9 * 4096 + 1500 : 12 * 4096;
	}
}

void model_free(struct model *m)
{
	for (int i = 0; i < SPACES; i++) {
		for (int p = 0; p < PAGES; p++)
			m_anon_drop(&m->space[i].page[p]);
	}
}
