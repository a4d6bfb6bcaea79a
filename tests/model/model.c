/* SPDX-License-Identifier: MIT */
/*
 * tests/model/model.c: see model.h. The rules are those of Linux (mmap(2), mprotect(2), mremap(2),
 * madvise(2), msync(2), brk(2), fork(2) and the merging of mm/vma.c), written down once more and as
 * plainly as possible.
 */
#include "model_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const unsigned probe_at[PROBES] = {0, 1, 1023, 2048, 4000, 4095};
static const uint8_t zeros[PROBES];

uint8_t op_byte(const struct op *op, uint64_t at)
{
	return (uint8_t)(op->value + at * 7 + (at >> 12));
}

/* ---- anons and objects */

static struct m_anon *anon_new(const uint8_t *bytes)
{
	struct m_anon *a = malloc(sizeof *a);

	a->refs = 1;
	a->lazy = false;
	memcpy(a->byte, bytes, PROBES);
	return a;
}

void m_anon_drop(struct m_page *p)
{
	if (p->anon && --p->anon->refs == 0)
		free(p->anon);
	p->anon = NULL;
}

void m_page_clear(struct m_page *p)
{
	m_anon_drop(p);
	p->entry = NONE;
	p->writable = false;
}

struct m_region *model_region(struct m_space *s, int page)
{
	for (int i = 0; i < s->regions; i++) {
		if (page >= s->region[i].start && page < s->region[i].end)
			return &s->region[i];
	}
	return NULL;
}

long m_index_of(const struct m_region *r, int page)
{
	return r->index + (page - r->start);
}

bool m_is_private(const struct m_region *r)
{
	return !(r->flags & PG_MAP_SHARED);
}

/* Entries of all spaces that map page `index` of object o. */
static int mapped(struct model *m, int o, long index)
{
	int n = 0;

	for (int i = 0; i < SPACES; i++) {
		struct m_space *s = &m->space[i];

		for (int p = 0; s->used && p < PAGES; p++) {
			struct m_region *r = model_region(s, p);

			n += r && r->object == o && s->page[p].entry == FILE_PAGE &&
			     m_index_of(r, p) == index;
		}
	}
	return n;
}

void m_write_back(struct model *m, int o, long index)
{
	struct m_object *b = &m->object[o];

	if (!b->shmem && index < OBJECT_PAGES && b->dirty[index]) {
		for (unsigned k = 0; k < PROBES; k++) {
			if ((uint64_t)index * 4096 + probe_at[k] < b->size)
				b->disk[index][k] = b->byte[index][k];
		}
		b->dirty[index] = false;
	}
}

const uint8_t *model_bytes(struct model *m, struct m_space *s, int page)
{
	struct m_region *r = model_region(s, page);

	switch (s->page[page].entry) {
	case ANON:
		return s->page[page].anon->byte;
	case FILE_PAGE:
		return m->object[r->object].byte[m_index_of(r, page)];
	default:
		return zeros;
	}
}

/* ---- the list of regions */

void m_insert_at(struct m_space *s, int i, struct m_region r)
{
	memmove(&s->region[i + 1], &s->region[i], (size_t)(s->regions - i) * sizeof r);
	s->region[i] = r;
	s->regions++;
}

void m_remove_at(struct m_space *s, int i)
{
	s->regions--;
	memmove(&s->region[i], &s->region[i + 1], (size_t)(s->regions - i) * sizeof s->region[0]);
}

/* The place in the list of the first region with end > page. */
int m_position(struct m_space *s, int page)
{
	int i = 0;

	while (i < s->regions && s->region[i].end <= page)
		i++;
	return i;
}

void m_cut(struct m_space *s, int page)
{
	struct m_region *r = model_region(s, page);
	struct m_region up;

	if (!r || r->start == page)
		return;
	up = *r;
	up.start = page;
	up.index = m_index_of(r, page);
	r->end = page;
	m_insert_at(s, (int)(r - s->region) + 1, up);
}

static bool same_name(const struct m_region *a, const struct m_region *b)
{
	return !strcmp(a->name, b->name);
}

/* Alike but for rights. */
static bool alike(const struct m_region *a, const struct m_region *b)
{
	return a->end == b->start && a->object == b->object && a->kind == b->kind &&
	       same_name(a, b) && a->flags == b->flags && a->max_prot == b->max_prot &&
	       a->charged == b->charged && m_index_of(a, b->start) == b->index;
}

bool m_can_merge(const struct m_region *a, const struct m_region *b)
{
	if (!alike(a, b) || a->prot != b->prot)
		return false;
	if (a->anon_id && b->anon_id)
		return a->anon_id == b->anon_id;
	if (a->anon_id)
		return !a->forked;
	return !b->anon_id || !b->forked;
}

static bool merge_with_next(struct m_space *s, int i)
{
	if (i < 0 || i + 1 >= s->regions || !m_can_merge(&s->region[i], &s->region[i + 1]))
		return false;
	s->region[i].end = s->region[i + 1].end;
	s->region[i].guarded |= s->region[i + 1].guarded;
	if (!s->region[i].anon_id) {
		s->region[i].anon_id = s->region[i + 1].anon_id;
		s->region[i].forked = s->region[i + 1].forked;
	}
	m_remove_at(s, i + 1);
	return true;
}

void m_merge_around(struct m_space *s, int i)
{
	if (merge_with_next(s, i - 1))
		i--;
	merge_with_next(s, i);
}

/* The first page that counts as r's, with the guard of a stack. */
static int guarded(const struct m_region *r)
{
	int g = r->flags & PG_MAP_GROWSDOWN ? r->start - STACK_GAP : r->start;

	return g > -FIRST ? g : -FIRST;
}

/* True if [start, end) is free and keeps away from a stack that comes next above. */
bool m_is_free(struct m_space *s, int start, int end)
{
	int i = 0;

	while (i < s->regions && s->region[i].end <= start)
		i++;
	return i == s->regions || (s->region[i].start >= end && guarded(&s->region[i]) >= end);
}

int m_place(struct model *m, struct m_space *s, int pages)
{
	for (int at = m->top - pages; at >= 0; at--) {
		if (m_is_free(s, at, at + pages))
			return at;
	}
	for (int at = 0; at + pages <= PAGES; at++) {
		if (m_is_free(s, at, at + pages))
			return at;
	}
	return -1;
}

bool m_hint_free(struct m_space *s, int start, int pages)
{
	return start + pages <= PAGES && m_is_free(s, start, start + pages);
}

int m_take_out(struct m_space *s, int start, int end, struct m_region *gone)
{
	int n = 0;

	m_cut(s, start);
	m_cut(s, end);
	for (int p = start; p < end; p++) {
		m_page_clear(&s->page[p]);
		s->page[p].guard = false;
	}
	for (int i = m_position(s, start); i < s->regions && s->region[i].start < end;) {
		gone[n++] = s->region[i];
		m_remove_at(s, i);
	}
	return n;
}

void m_settle(struct model *m, const struct m_region *gone, int n)
{
	for (int i = 0; i < n; i++) {
		const struct m_region *r = &gone[i];

		if (r->object < 0 || m_is_private(r) || !(r->max_prot & PG_WRITE))
			continue;
		for (int p = r->start; p < r->end; p++) {
			if (!mapped(m, r->object, m_index_of(r, p)))
				m_write_back(m, r->object, m_index_of(r, p));
		}
	}
}

void m_clear(struct model *m, struct m_space *s, int start, int end)
{
	struct m_region gone[PAGES];

	m_settle(m, gone, m_take_out(s, start, end, gone));
}

void model_forget_tail(struct m_object *o, int index)
{
	for (unsigned k = 0; k < PROBES; k++) {
		if ((uint64_t)index * 4096 + probe_at[k] >= o->size)
			o->byte[index][k] = 0;
	}
}

int m_sharers(struct model *m, struct m_space *s, int page)
{
	struct m_page *is = &s->page[page];
	struct m_region *r = model_region(s, page);
	int n = 0;

	if (is->entry == FILE_PAGE)
		return mapped(m, r->object, m_index_of(r, page));
	for (int i = 0; i < SPACES; i++) {
		for (int p = 0; m->space[i].used && p < PAGES; p++)
			n += m->space[i].page[p].entry == ANON &&
			     m->space[i].page[p].anon == is->anon;
	}
	return n;
}

bool m_whole(struct m_space *s, int start, int end)
{
	for (int p = start; p < end; p++) {
		if (!model_region(s, p))
			return false;
	}
	return true;
}

/* ---- faults */

static bool may(pg_prot prot, enum pg_access access)
{
	return access == PG_READ ? prot != 0 : (prot & access) != 0;
}

/* Linux's anon_vma_prepare() with its look at the neighbours. */
void m_want_anon_id(struct model *m, struct m_space *s, struct m_region *r)
{
	int i = (int)(r - s->region);

	if (r->anon_id)
		return;
	if (i + 1 < s->regions && alike(r, r + 1) && r[1].anon_id && !r[1].forked)
		r->anon_id = r[1].anon_id;
	else if (i > 0 && alike(r - 1, r) && r[-1].anon_id && !r[-1].forked)
		r->anon_id = r[-1].anon_id;
	else
		r->anon_id = ++m->last_anon_id;
}

static bool grow(struct model *m, struct m_space *s, struct m_region *r, int page, bool *overflow)
{
	int low = r->end - STACK_LIMIT;
	int i = (int)(r - s->region);
	struct m_region *prev = i ? r - 1 : NULL;

	if (low < 0)
		low = 0;
	*overflow = page >= low - STACK_GAP;
	if (page < 0)
		return false;
	if (prev && prev->prot && !(prev->flags & PG_MAP_GROWSDOWN) && page - prev->end < STACK_GAP)
		return false;
	m_want_anon_id(m, s, r);
	if (page < low || r->index < r->start - page)
		return false;
	r->index -= r->start - page;
	r->start = page;
	return true;
}

static void take_anon(
	struct model *m, struct m_space *s, struct m_region *r, int page, const uint8_t *bytes)
{
	struct m_page *p = &s->page[page];
	struct m_anon *a = anon_new(bytes);

	m_want_anon_id(m, s, r);
	m_anon_drop(p);
	p->anon = a;
	p->entry = ANON;
	p->writable = true;
}

static void fault_object(struct model *m, struct m_space *s, struct m_region *r, int page,
	enum pg_access access, struct m_event *e)
{
	struct m_object *o = &m->object[r->object];
	long index = m_index_of(r, page);
	bool read = false, made = false;

	if ((uint64_t)index >= (o->size + 4095) / 4096) {
		if (m_is_private(r) && access == PG_WRITE)
			m_want_anon_id(m, s, r);
		e->end = PG_FAULT_BUS;
		return;
	}
	e->fcase = m_is_private(r) && access == PG_WRITE ? PG_CASE_2B : PG_CASE_2A;
	if (!o->cached[index]) {
		if (o->broken[index]) {
			e->end = PG_FAULT_BUS;
			return;
		}
		o->cached[index] = made = true;
		read = !o->shmem;
		s->pages_in += read;
	}
	if (e->fcase == PG_CASE_2B) {
		s->copies++;
		take_anon(m, s, r, page, o->byte[index]);
		e->kind = read ? PG_FAULT_FILE_DISK : PG_FAULT_COPY;
		return;
	}
	s->page[page].entry = FILE_PAGE;
	s->page[page].writable = !m_is_private(r) && (r->prot & PG_WRITE);
	e->kind = read ? PG_FAULT_FILE_DISK : made ? PG_FAULT_ZERO_FILL : PG_FAULT_FILE_CACHE;
}

static void fault_private(struct model *m, struct m_space *s, struct m_region *r, int page,
	enum pg_access access, struct m_event *e)
{
	struct m_page *p = &s->page[page];

	if (p->anon && access == PG_WRITE && p->anon->refs > 1) {
		e->fcase = PG_CASE_1B;
		e->kind = PG_FAULT_COPY;
		s->copies++;
		take_anon(m, s, r, page, p->anon->byte);
	} else if (p->anon) {
		e->fcase = PG_CASE_1A;
		e->kind = PG_FAULT_SOFT;
		p->entry = ANON;
		p->writable = (r->prot & PG_WRITE) && p->anon->refs == 1;
	} else if (access == PG_WRITE) {
		e->fcase = PG_CASE_3B;
		e->kind = PG_FAULT_ZERO_FILL;
		take_anon(m, s, r, page, zeros);
	} else {
		e->fcase = PG_CASE_3A;
		e->kind = PG_FAULT_ZERO_READ;
		p->entry = ZERO;
		p->writable = false;
	}
}

bool m_serves(const struct m_region *r, const struct m_page *p, enum pg_access access)
{
	if (p->entry == NONE || !may(r->prot, access))
		return false;
	return access != PG_WRITE || p->writable;
}

static enum pg_fault_end fault_once(
	struct model *m, struct m_space *s, int page, enum pg_access access, bool by_kernel)
{
	struct m_event e = {.page = page, .end = PG_FAULT_RESUME};
	struct m_region *r = page >= 0 && page < PAGES ? model_region(s, page) : NULL;
	bool overflow;

	if (!r) {
		int i = m_position(s, page);

		e.end = PG_FAULT_MAPERR;
		if (i < s->regions && (s->region[i].flags & PG_MAP_GROWSDOWN)) {
			r = &s->region[i];
			if (grow(m, s, r, page, &overflow)) {
				e.end = PG_FAULT_RESUME;
				e.grew = true;
			} else if (overflow) {
				e.end = PG_FAULT_STACK;
			}
		}
	}
	if (e.end == PG_FAULT_RESUME && !may(r->prot, access))
		e.end = PG_FAULT_ACCERR;
	if (e.end == PG_FAULT_RESUME && s->page[page].guard)
		e.end = PG_FAULT_MAPERR;
	if (e.end == PG_FAULT_RESUME) {
		if (m_serves(r, &s->page[page], access))
			e.fcase = PG_CASE_0;
		else if (r->object >= 0 && !(m_is_private(r) && s->page[page].anon))
			fault_object(m, s, r, page, access, &e);
		else
			fault_private(m, s, r, page, access, &e);
	}
	if (e.end == PG_FAULT_RESUME) {
		s->faults[e.kind]++;
		s->by_kernel += by_kernel;
		if (e.kind == PG_FAULT_FILE_DISK)
			s->major++;
		else
			s->minor++;
	} else {
		s->refused++;
	}
	if (m->events < EVENTS)
		m->event[m->events++] = e;
	return e.end;
}

/* A fetch from an absent page that may be read only brings it in, then is refused. */
enum pg_fault_end m_fault(
	struct model *m, struct m_space *s, int page, enum pg_access access, bool by_kernel)
{
	const struct m_region *r = page >= 0 && page < PAGES ? model_region(s, page) : NULL;
	int i = r || page < 0 || page >= PAGES ? s->regions : m_position(s, page);

	if (i < s->regions && (s->region[i].flags & PG_MAP_GROWSDOWN))
		r = &s->region[i];
	if (access == PG_EXEC && r && may(r->prot, PG_READ) && !may(r->prot, PG_EXEC) &&
		s->page[page].entry == NONE) {
		enum pg_fault_end end = fault_once(m, s, page, PG_READ, by_kernel);

		if (end != PG_FAULT_RESUME)
			return end;
	}
	return fault_once(m, s, page, access, by_kernel);
}

bool model_peek(struct model *m, struct m_space *s, int page, uint8_t *bytes)
{
	struct m_region *r = model_region(s, page);
	struct m_object *o;
	long index;

	memset(bytes, 0, PROBES);
	if (!r || !r->prot || s->page[page].guard)
		return false;
	if (m_is_private(r) && s->page[page].anon) {
		memcpy(bytes, s->page[page].anon->byte, PROBES);
		return true;
	}
	if (r->object < 0)
		return true;
	o = &m->object[r->object];
	index = m_index_of(r, page);
	if ((uint64_t)index >= (o->size + 4095) / 4096 || (o->broken[index] && !o->cached[index]))
		return false;
	memcpy(bytes, o->byte[index], PROBES);
	return true;
}

void model_grow(struct model *m, struct m_space *s, int page)
{
	bool overflow;

	if (!grow(m, s, &s->region[m_position(s, page)], page, &overflow))
		abort();
}
