/* SPDX-License-Identifier: MIT */
/*
 * tests/model/model_calls.c: an operation applied to the model, and those that are no mapping calls: accesses, truncation, fork,
 * exit. See model.h; what they stand on is in model.c.
 */
#include "model_parts.h"

#include <stdlib.h>
#include <string.h>

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
		int p = m_page_of(a);
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

	for (int i = 0; i < SPACES; i++) {
		struct m_space *s = &m->space[i];

		for (int p = 0; s->used && p < PAGES; p++) {
			struct m_region *r = model_region(s, p);

			if (r && r->object == op->object && m_index_of(r, p) >= first)
				m_page_clear(&s->page[p]);
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

static struct outcome do_punch(struct model *m, const struct op *op)
{
	m_make_hole(m, op->object, op->offset, op->offset + op->len);
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
			if (!m_is_private(r) || !r->anon_id)
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
		out = m_do_map(m, s, op);
		break;
	case OP_UNMAP:
		out = m_do_unmap(m, s, op);
		break;
	case OP_PROTECT:
		out = m_do_protect(m, s, op);
		break;
	case OP_REMAP:
		out = m_do_remap(m, s, op);
		break;
	case OP_DISCARD:
		out = m_do_discard(m, s, op);
		break;
	case OP_SYNC:
		out = m_do_sync(m, s, op);
		break;
	case OP_BRK:
		out = m_do_brk(m, s, op);
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
		out = m_do_advise(m, s, op);
		break;
	case OP_MARK:
		out = m_do_mark(s, op);
		break;
	case OP_LOCK:
		out = m_do_lock(m, s, op);
		break;
	case OP_LOCK_ALL:
		out = m_do_lock_all(m, s, op);
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
