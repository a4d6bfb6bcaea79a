/* SPDX-License-Identifier: MIT */
/*
 * tests/model/model_map.c: the calls of the model that change regions: map, unmap, protect, remap, brk. See model.h; what they
 * stand on is in model.c.
 */
#include "model_parts.h"

#include <errno.h>
#include <stdlib.h>

static int free_object(struct model *m)
{
	for (int i = FILES + 1; i < OBJECTS; i++) {
		if (!m->object[i].used)
			return i;
	}
	abort();
}

/* Faults in what does not allow the access; how the first that cannot be had ended. */
enum pg_fault_end m_bring_in(
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

enum pg_access m_as_region(const struct m_region *r)
{
	return (r->prot & PG_WRITE) && m_is_private(r) ? PG_WRITE : PG_READ;
}

/* 0 and page bounds, or not a range of the space. */
bool m_range(const struct op *op, uint64_t len, int *start, int *end)
{
	uint64_t n = (len + 4095) / 4096 * 4096;

	*start = m_page_of(op->addr);
	*end = *start + (int)(n / 4096);
	return n && op->addr >= LO && op->addr + n <= HI;
}

struct outcome m_do_map(struct model *m, struct m_space *s, const struct op *op)
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
		at = m_page_of(op->addr);
		if (at + pages > PAGES)
			return (struct outcome){-ENOMEM, 0};
		for (int p = at; (op->flags & PG_MAP_FIXED_FREE) && p < at + pages; p++) {
			if (model_region(s, p))
				return (struct outcome){-EEXIST, 0};
		}
	} else {
		if (hint && hint < LO)
			hint = LO;
		at = m_page_of(hint);
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
		m_bring_in(m, s, at, at + pages,
			(r.prot & PG_WRITE) && !(r.flags & PG_MAP_SHARED) ? PG_WRITE : PG_READ);
	return (struct outcome){0, LO + (uint64_t)at * 4096};
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

struct outcome m_do_unmap(struct model *m, struct m_space *s, const struct op *op)
{
	int start, end;

	if (op->addr % 4096 || !m_range(op, op->len, &start, &end))
		return (struct outcome){-EINVAL, 0};
	return (struct outcome){do_unmap_range(m, s, start, end), 0};
}

struct outcome m_do_protect(struct model *m, struct m_space *s, const struct op *op)
{
	int start, end, cuts = 0;
	bool opened = false;

	if (op->addr % 4096)
		return (struct outcome){-EINVAL, 0};
	if (!op->len)
		return (struct outcome){0, 0};
	if (!m_range(op, op->len, &start, &end) || !m_whole(s, start, end))
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
			(void)m_bring_in(m, s, at, to, PG_WRITE);
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
	if (flags & PG_REMAP_DONTUNMAP) {
		r = model_region(s, old);
		r->flags &= ~LOCKS;
		if (r->start == old && r->end == old + olen) {
			r->anon_id = 0;
			r->forked = false;
		}
	} else if (olen) {
		m_cut(s, old);
		m_cut(s, old + keep);
		m_remove_at(s, m_position(s, old));
		behind = m_take_out(s, old + keep, old + olen, tail);
	}
	i = m_position(s, to);
	m_insert_at(s, i, d);
	m_merge_around(s, i);
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
		target = m_page_of(one.addr) + (last_end < old + len ? last_end : old + len) - at;
	}
	return out;
}

static void populate_growth(struct model *m, struct m_space *s, int at, int olen, int nlen)
{
	struct m_region *r = model_region(s, at);

	if ((r->flags & LOCKS) == PG_MAP_LOCKED && nlen > olen && r->prot)
		(void)m_bring_in(m, s, at + olen, at + nlen, m_as_region(r));
}

struct outcome m_do_remap(struct model *m, struct m_space *s, const struct op *op)
{
	int olen = (int)((op->len + 4095) / 4096), nlen = (int)((op->new_len + 4095) / 4096);
	bool elsewhere = op->flags & (PG_REMAP_FIXED | PG_REMAP_DONTUNMAP);
	int old = m_page_of(op->addr), to = m_page_of(op->to), i;
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
		populate_growth(m, s, m_page_of(out.addr), olen, nlen);
	return out;
}

/* op->addr: the break wanted; op->len: the data limit. */
struct outcome m_do_brk(struct model *m, struct m_space *s, const struct op *op)
{
	uint64_t start = LO + (uint64_t)s->brk_start * 4096;
	int from = (int)((s->brk + 4095) / 4096), to = m_page_of(op->addr + 4095), i;
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
		(void)m_bring_in(m, s, from, to, PG_WRITE);
	return (struct outcome){0, op->addr};
}
