/* SPDX-License-Identifier: MIT */
/*
 * tests/model/model_advise.c: the calls of the model about pages that are mapped: advice, locks, discard, sync. See model.h; what
 * they stand on is in model.c.
 */
#include "model_parts.h"

#include <errno.h>

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
	return !m_range(op, op->len, start, end) || !m_whole(s, *start, *end) ? -ENOMEM : 0;
}

struct outcome m_do_mark(struct m_space *s, const struct op *op)
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

		if (!r->prot || m_bring_in(m, s, start, to, m_as_region(r)) != PG_FAULT_RESUME)
			return -ENOMEM;
		start = to;
	}
	return 0;
}

struct outcome m_do_lock(struct model *m, struct m_space *s, const struct op *op)
{
	struct op whole = *op;
	int start, end, err;

	whole.addr = op->addr / 4096 * 4096;
	whole.len = op->len + op->addr % 4096;
	if (!whole.len)
		return (struct outcome){0, 0};
	if (!m_range(&whole, whole.len, &start, &end))
		return (struct outcome){-ENOMEM, 0};
	if (!m_whole(s, start, end)) {
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

struct outcome m_do_lock_all(struct model *m, struct m_space *s, const struct op *op)
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
void m_make_hole(struct model *m, int object, uint64_t from, uint64_t to)
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
		m_want_anon_id(m, s, r);
		break;
	case PG_ADVISE_GUARD_REMOVE:
		s->page[p].guard = false;
		break;
	case PG_ADVISE_REMOVE:
		m_make_hole(m, r->object, at, at + 4096);
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

struct outcome m_do_advise(struct model *m, struct m_space *s, const struct op *op)
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
			if (m_bring_in(m, s, p, p + 1, access) != PG_FAULT_RESUME)
				return (struct outcome){-EFAULT, 0};
		}
	} else if (op->advice == PG_ADVISE_WILLNEED) {
		will_need(m, s, start, end);
	}
	for (int p = start; p < end; p++)
		advise_page(m, s, p, op->advice);
	return (struct outcome){0, 0};
}

struct outcome m_do_discard(struct model *m, struct m_space *s, const struct op *op)
{
	struct op same = *op;

	same.advice = PG_ADVISE_DISCARD;
	return m_do_advise(m, s, &same);
}

struct outcome m_do_sync(struct model *m, struct m_space *s, const struct op *op)
{
	int start, end;

	if (op->addr % 4096)
		return (struct outcome){-EINVAL, 0};
	if (!op->len)
		return (struct outcome){0, 0};
	if (!m_range(op, op->len, &start, &end) || !m_whole(s, start, end))
		return (struct outcome){-ENOMEM, 0};
	for (int p = start; p < end; p++) {
		struct m_region *r = model_region(s, p);

		if (r->object >= 0 && !m_is_private(r))
			m_write_back(m, r->object, m_index_of(r, p));
	}
	return (struct outcome){0, 0};
}
