/* SPDX-License-Identifier: MIT */
/*
 * tests/model/model.c: see model.h. The rules are those of Linux (mmap(2), mprotect(2), mremap(2),
 * madvise(2), msync(2), brk(2), fork(2) and the merging of mm/vma.c), written down once more and as
 * plainly as possible.
 */
#include "model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LO ((uint64_t)FIRST * 4096)
#define HI (LO + (uint64_t)PAGES * 4096)

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
	memcpy(a->byte, bytes, PROBES);
	return a;
}

static void anon_drop(struct m_page *p)
{
	if (p->anon && --p->anon->refs == 0)
		free(p->anon);
	p->anon = NULL;
}

static void page_clear(struct m_page *p)
{
	anon_drop(p);
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

static long index_of(const struct m_region *r, int page)
{
	return r->index + (page - r->start);
}

static bool is_private(const struct m_region *r)
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
			     index_of(r, p) == index;
		}
	}
	return n;
}

static void write_back(struct model *m, int o, long index)
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
		return m->object[r->object].byte[index_of(r, page)];
	default:
		return zeros;
	}
}

/* ---- the list of regions */

static void insert_at(struct m_space *s, int i, struct m_region r)
{
	memmove(&s->region[i + 1], &s->region[i], (size_t)(s->regions - i) * sizeof r);
	s->region[i] = r;
	s->regions++;
}

static void remove_at(struct m_space *s, int i)
{
	s->regions--;
	memmove(&s->region[i], &s->region[i + 1], (size_t)(s->regions - i) * sizeof s->region[0]);
}

static int position(struct m_space *s, int page) /* of the first region with end > page */
{
	int i = 0;

	while (i < s->regions && s->region[i].end <= page)
		i++;
	return i;
}

static void cut(struct m_space *s, int page)
{
	struct m_region *r = model_region(s, page);
	struct m_region up;

	if (!r || r->start == page)
		return;
	up = *r;
	up.start = page;
	up.index = index_of(r, page);
	r->end = page;
	insert_at(s, (int)(r - s->region) + 1, up);
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
	       a->charged == b->charged && index_of(a, b->start) == b->index;
}

static bool can_merge(const struct m_region *a, const struct m_region *b)
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
	if (i < 0 || i + 1 >= s->regions || !can_merge(&s->region[i], &s->region[i + 1]))
		return false;
	s->region[i].end = s->region[i + 1].end;
	if (!s->region[i].anon_id) {
		s->region[i].anon_id = s->region[i + 1].anon_id;
		s->region[i].forked = s->region[i + 1].forked;
	}
	remove_at(s, i + 1);
	return true;
}

static void merge_around(struct m_space *s, int i)
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
static bool is_free(struct m_space *s, int start, int end)
{
	int i = 0;

	while (i < s->regions && s->region[i].end <= start)
		i++;
	return i == s->regions || (s->region[i].start >= end && guarded(&s->region[i]) >= end);
}

static int place(struct model *m, struct m_space *s, int pages)
{
	for (int at = m->top - pages; at >= 0; at--) {
		if (is_free(s, at, at + pages))
			return at;
	}
	for (int at = 0; at + pages <= PAGES; at++) {
		if (is_free(s, at, at + pages))
			return at;
	}
	return -1;
}

static void clear(struct model *m, struct m_space *s, int start, int end)
{
	struct m_region gone[PAGES];
	int n = 0;

	cut(s, start);
	cut(s, end);
	for (int p = start; p < end; p++)
		page_clear(&s->page[p]);
	for (int i = position(s, start); i < s->regions && s->region[i].start < end;) {
		gone[n++] = s->region[i];
		remove_at(s, i);
	}
	for (int i = 0; i < n; i++) {
		struct m_region *r = &gone[i];

		if (r->object < 0 || is_private(r) || !(r->max_prot & PG_WRITE))
			continue;
		for (int p = r->start; p < r->end; p++) {
			if (!mapped(m, r->object, index_of(r, p)))
				write_back(m, r->object, index_of(r, p));
		}
	}
}

static bool whole(struct m_space *s, int start, int end)
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
static void want_anon_id(struct model *m, struct m_space *s, struct m_region *r)
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
	want_anon_id(m, s, r);
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

	want_anon_id(m, s, r);
	anon_drop(p);
	p->anon = a;
	p->entry = ANON;
	p->writable = true;
}

static void fault_object(struct model *m, struct m_space *s, struct m_region *r, int page,
	enum pg_access access, struct m_event *e)
{
	struct m_object *o = &m->object[r->object];
	long index = index_of(r, page);
	bool read = false, made = false;

	if ((uint64_t)index >= (o->size + 4095) / 4096) {
		e->end = PG_FAULT_BUS;
		return;
	}
	e->fcase = is_private(r) && access == PG_WRITE ? PG_CASE_2B : PG_CASE_2A;
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
	s->page[page].writable = !is_private(r) && (r->prot & PG_WRITE);
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

static bool serves(const struct m_region *r, const struct m_page *p, enum pg_access access)
{
	if (p->entry == NONE || !may(r->prot, access))
		return false;
	return access != PG_WRITE || p->writable;
}

static enum pg_fault_end fault(
	struct model *m, struct m_space *s, int page, enum pg_access access, bool by_kernel)
{
	struct m_event e = {.page = page, .end = PG_FAULT_RESUME};
	struct m_region *r = page >= 0 && page < PAGES ? model_region(s, page) : NULL;
	bool overflow;

	if (!r) {
		int i = position(s, page);

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
	if (e.end == PG_FAULT_RESUME) {
		if (serves(r, &s->page[page], access))
			e.fcase = PG_CASE_0;
		else if (r->object >= 0 && !(is_private(r) && s->page[page].anon))
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

bool model_peek(struct model *m, struct m_space *s, int page, uint8_t *bytes)
{
	struct m_region *r = model_region(s, page);
	struct m_object *o;
	long index;

	memset(bytes, 0, PROBES);
	if (!r || !r->prot)
		return false;
	if (is_private(r) && s->page[page].anon) {
		memcpy(bytes, s->page[page].anon->byte, PROBES);
		return true;
	}
	if (r->object < 0)
		return true;
	o = &m->object[r->object];
	index = index_of(r, page);
	if ((uint64_t)index >= (o->size + 4095) / 4096 || (o->broken[index] && !o->cached[index]))
		return false;
	memcpy(bytes, o->byte[index], PROBES);
	return true;
}

void model_grow(struct model *m, struct m_space *s, int page)
{
	bool overflow;

	if (!grow(m, s, &s->region[position(s, page)], page, &overflow))
		abort();
}

/* ---- the operations */

static int page_of(uint64_t a)
{
	return (int)(int64_t)(a >> 12) - FIRST;
}

static void populate(struct model *m, struct m_space *s, int start, int end, const struct op *op)
{
	bool write = (op->prot & PG_WRITE) && !(op->flags & PG_MAP_SHARED);

	for (int p = start; op->prot && p < end; p++) {
		if (fault(m, s, p, write ? PG_WRITE : PG_READ, true) != PG_FAULT_RESUME)
			return;
	}
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
		if (!hint || at + pages > PAGES || !is_free(s, at, at + pages))
			at = place(m, s, pages);
		if (at < 0)
			return (struct outcome){-ENOMEM, 0};
	}
	r = (struct m_region){.start = at,
		.end = at + pages,
		.prot = op->prot,
		.max_prot = op->max_prot,
		.object = op->object,
		.name = "",
		.flags = op->flags &
			 (PG_MAP_SHARED | PG_MAP_GROWSDOWN | PG_MAP_NORESERVE | PG_MAP_LOCKED)};
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
	clear(m, s, at, at + pages);
	i = position(s, at);
	insert_at(s, i, r);
	merge_around(s, i);
	if (op->flags & (PG_MAP_POPULATE | PG_MAP_LOCKED))
		populate(m, s, at, at + pages, op);
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
	int i = position(s, start);

	if (i < s->regions && s->region[i].start < start && s->region[i].end > end &&
		s->max_regions && s->regions >= s->max_regions)
		return -ENOMEM;
	clear(m, s, start, end);
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

	if (op->addr % 4096)
		return (struct outcome){-EINVAL, 0};
	if (!op->len)
		return (struct outcome){0, 0};
	if (!range(op, op->len, &start, &end) || !whole(s, start, end))
		return (struct outcome){-ENOMEM, 0};
	for (int i = position(s, start); i < s->regions && s->region[i].start < end; i++) {
		struct m_region *r = &s->region[i];

		if (op->prot & ~r->max_prot)
			return (struct outcome){-EACCES, 0};
		if (r->prot != op->prot)
			cuts += (r->start < start) + (r->end > end);
	}
	if (cuts && s->max_regions && s->regions + cuts > s->max_regions)
		return (struct outcome){-ENOMEM, 0};
	for (int at = start; at < end;) {
		struct m_region *r = model_region(s, at);
		int to = r->end < end ? r->end : end;

		if (r->prot != op->prot) {
			cut(s, at);
			cut(s, to);
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
					(!is_private(r) ||
						(s->page[p].anon && s->page[p].anon->refs == 1));
			merge_around(s, (int)(r - s->region));
		}
		at = to;
	}
	return (struct outcome){0, 0};
}

static struct outcome move(struct model *m, struct m_space *s, int old, int olen, int nlen)
{
	struct m_region *r = model_region(s, old), d;
	int to, i;

	if (s->max_regions && s->regions + 3 >= s->max_regions)
		return (struct outcome){-ENOMEM, 0};
	to = place(m, s, nlen);
	if (to < 0)
		return (struct outcome){-ENOMEM, 0};
	d = *r;
	d.start = to;
	d.end = to + nlen;
	d.index = d.object < 0 && !d.anon_id ? to + FIRST : index_of(r, old);
	if (d.kind == PG_REGION_HEAP || d.kind == PG_REGION_STACK)
		d.name = "";
	if (d.kind == PG_REGION_HEAP)
		d.kind = PG_REGION_ANON;
	if (olen) {
		cut(s, old);
		cut(s, old + olen);
		remove_at(s, position(s, old));
		for (int p = 0; p < olen; p++) {
			s->page[to + p] = s->page[old + p];
			s->page[old + p] = (struct m_page){0};
		}
	}
	i = position(s, to);
	insert_at(s, i, d);
	merge_around(s, i);
	return (struct outcome){0, LO + (uint64_t)to * 4096};
}

static struct outcome do_remap(struct model *m, struct m_space *s, const struct op *op)
{
	int olen = (int)((op->len + 4095) / 4096), nlen = (int)((op->new_len + 4095) / 4096);
	int old = page_of(op->addr), i;
	struct m_region *r;

	if (op->addr % 4096 || !nlen)
		return (struct outcome){-EINVAL, 0};
	r = old >= 0 ? model_region(s, old) : NULL;
	if (!r)
		return (struct outcome){-EFAULT, 0};
	if (!olen && is_private(r))
		return (struct outcome){-EINVAL, 0};
	if (olen == nlen)
		return (struct outcome){0, op->addr};
	if (olen > nlen) {
		if (old + olen > PAGES)
			return (struct outcome){-EINVAL, op->addr};
		return (struct outcome){do_unmap_range(m, s, old + nlen, old + olen), op->addr};
	}
	if (old + olen > r->end)
		return (struct outcome){-EFAULT, 0};
	i = (int)(r - s->region);
	if (olen && old + olen == r->end && old + nlen <= PAGES &&
		(i + 1 == s->regions || s->region[i + 1].start >= old + nlen)) {
		r->end = old + nlen;
		merge_around(s, i);
		return (struct outcome){0, op->addr};
	}
	return op->may_move ? move(m, s, old, olen, nlen) : (struct outcome){-ENOMEM, 0};
}

static struct outcome do_discard(struct model *m, struct m_space *s, const struct op *op)
{
	int start, end;

	if (op->addr % 4096)
		return (struct outcome){-EINVAL, 0};
	if (!op->len)
		return (struct outcome){0, 0};
	if (!range(op, op->len, &start, &end) || !whole(s, start, end))
		return (struct outcome){-ENOMEM, 0};
	for (int p = start; p < end; p++) {
		if (model_region(s, p)->flags & PG_MAP_LOCKED)
			return (struct outcome){-EINVAL, 0};
	}
	for (int p = start; p < end; p++)
		page_clear(&s->page[p]);
	return (struct outcome){0, 0};
}

static struct outcome do_sync(struct model *m, struct m_space *s, const struct op *op)
{
	int start, end;

	if (op->addr % 4096)
		return (struct outcome){-EINVAL, 0};
	if (!op->len)
		return (struct outcome){0, 0};
	if (!range(op, op->len, &start, &end) || !whole(s, start, end))
		return (struct outcome){-ENOMEM, 0};
	for (int p = start; p < end; p++) {
		struct m_region *r = model_region(s, p);

		if (r->object >= 0 && !is_private(r))
			write_back(m, r->object, index_of(r, p));
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
		if (!is_free(s, from, to + 1))
			return now;
		i = position(s, from) - 1;
		r = (struct m_region){.start = from,
			.end = to,
			.prot = PG_READ | PG_WRITE,
			.max_prot = PG_READ | PG_WRITE | PG_EXEC,
			.kind = PG_REGION_HEAP,
			.object = -1,
			.name = "[heap]",
			.charged = true,
			.index = from + FIRST};
		if (from > s->brk_start && i >= 0 && can_merge(&s->region[i], &r)) {
			s->region[i].end = to;
		} else {
			if (s->max_regions && s->regions > s->max_regions)
				return now;
			insert_at(s, i + 1, r);
		}
	}
	s->brk = op->addr - LO;
	return (struct outcome){0, op->addr};
}

static void store(struct model *m, struct m_space *s, int page, unsigned probe, uint8_t value)
{
	struct m_region *r = model_region(s, page);

	if (s->page[page].entry == ANON) {
		s->page[page].anon->byte[probe] = value;
	} else {
		m->object[r->object].byte[index_of(r, page)][probe] = value;
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

		if ((!by_kernel || !r || !serves(r, &s->page[p], op->access)) &&
			fault(m, s, p, op->access, by_kernel) != PG_FAULT_RESUME)
			break;
		r = model_region(s, p);
		if (op->access == PG_WRITE && s->page[p].entry == FILE_PAGE)
			m->object[r->object].dirty[index_of(r, p)] = true;
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

	for (int i = 0; i < SPACES; i++) {
		struct m_space *s = &m->space[i];

		for (int p = 0; s->used && p < PAGES; p++) {
			struct m_region *r = model_region(s, p);

			if (r && r->object == op->object && index_of(r, p) >= first)
				page_clear(&s->page[p]);
		}
	}
	o->size = op->len;
	for (long i = 0; i < OBJECT_PAGES; i++) {
		for (unsigned k = 0; k < PROBES; k++) {
			if ((uint64_t)i * 4096 + probe_at[k] >= op->len)
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

	for (uint64_t i = 0; i < OBJECT_PAGES; i++) {
		for (unsigned k = 0; k < PROBES; k++) {
			uint64_t at = i * 4096 + probe_at[k];

			if (at >= op->offset && at < op->offset + op->len)
				o->byte[i][k] = o->disk[i][k] = op_byte(op, at);
		}
	}
	return (struct outcome){0, 0};
}

static struct outcome do_fork(struct model *m, struct m_space *s, struct m_space *c)
{
	*c = *s;
	memset(c->faults, 0, sizeof c->faults);
	c->refused = c->copies = c->pages_in = c->minor = c->major = c->by_kernel = 0;
	for (int i = 0; i < c->regions; i++) {
		struct m_region *r = &c->region[i];

		r->flags &= ~(unsigned)PG_MAP_LOCKED;
		for (int p = r->start; p < r->end; p++) {
			if (c->page[p].anon)
				c->page[p].anon->refs++;
			if (is_private(r))
				s->page[p].writable = c->page[p].writable = false;
			if (!is_private(r) || !r->anon_id)
				c->page[p].entry = NONE;
			if (!is_private(r))
				c->page[p].writable = false;
		}
		if (r->anon_id) {
			r->anon_id = ++m->last_anon_id;
			r->forked = true;
		}
	}
	return (struct outcome){0, 0};
}

static struct outcome do_exit(struct model *m, struct m_space *s)
{
	clear(m, s, 0, PAGES);
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
			anon_drop(&m->space[i].page[p]);
	}
}
