/* SPDX-License-Identifier: MIT */
/*
 * cpu/pages.c: code pages: which guest page with which bytes has translations, and in which frames it lies.
 *
 * Called by run.c (control comes to a page, a store hits one), fast.c and engine.c (bytes changed by others). Calls code.c
 * to unlink blocks, mmu/ and fast.c to mark what must not be written inline.
 *
 * A *code page* is one guest page number with one content. Its id goes into the TLB entry of the page when control
 * comes there (pg_code_bind); blocks compare it at their entry. Several code pages of one page number live side by side,
 * for address spaces that have different bytes there; one code page serves all spaces that have the same bytes,
 * in the same frame (a file's page) or in copies of it (after fork). A *binding* is a frame that a code page lies in.
 *
 * When a store changes bytes that translations depend on, the page leaves that frame; if it lies in no other it is retired:
 * its id is never again in a TLB, so its blocks can never pass their check. When the page only moves (another
 * frame, the same bytes) it is bound to that one too and its blocks stay good.
 *
 * Numbered invariants:
 *   1. frame row has PG_FRAME_CODE <=> frame_bindings[f] is a list of bindings, not empty, each of a page with bytes
 *      equal to the frame's on every byte in `used`.
 *   2. A binding is on the list of its frame and on that of its page; a list may be that of a frame that was freed since
 *      (its flag is off), until the frame or the page is bound again.
 *   3. A retired page has no binding.
 */
#include "cpu/cpu.h"

#include <stdlib.h>

/* Beyond this many contents of one page number, those that lie in no frame are forgotten. */
#define MOST_CONTENTS 64

static uint32_t index_of(const struct pg_engine *e, const struct pg_code_page *p)
{
	return (uint32_t)(p - (const struct pg_code_page *)e->pages.p);
}

static bool is_marked(const struct pg_engine *e, uint32_t f)
{
	return pg_frames_row(e->frames, (pg_pfn){f})->flags & PG_FRAME_CODE;
}

/* Every TLB entry of frame f lets stores through to the slow path (code), or inline again. */
static void mark_entries(struct pg_engine *e, pg_pfn f, bool code)
{
	const struct pg_rmap *r = pg_frames_row(e->frames, f)->rmap;
	if (e->config.fast)
		return;
	if (!r) { /* the zero page is in no reverse map */
		for (struct pg_cpu *c = e->cpus; c; c = c->next)
			pg_mmu_set_code(c->mmu, f, code);
		return;
	}
	for (; r; r = r->next) {
		for (struct pg_cpu *c = e->cpus; c; c = c->next) {
			if (c->space == r->space)
				pg_mmu_set_code_page(c->mmu, r->vpn, f, code);
		}
	}
}

static void unmark_frame(struct pg_engine *e, pg_pfn f)
{
	pg_frames_row(e->frames, f)->flags &= (uint16_t)~PG_FRAME_CODE;
	mark_entries(e, f, false);
}

static void unlink_page(struct pg_engine *e, const struct pg_code_page *p)
{
	for (uint32_t i = p->blocks; i != PG_NIL; i = pg_block_at(e, i)->next_of_page)
		pg_code_unlink_block(e, pg_block_at(e, i));
	for (uint32_t i = p->blocks2; i != PG_NIL; i = pg_block_at(e, i)->next_of_page2)
		pg_code_unlink_block(e, pg_block_at(e, i));
}

/* No TLB and no mark has the id of p any more: whoever comes to the page looks what it is. */
static void forget_id(struct pg_engine *e, const struct pg_code_page *p)
{
	if (e->config.fast) /* exits that ask for no mark: see pg_code_link() */
		unlink_page(e, p);
	for (struct pg_cpu *w = e->windows; w; w = w->next) {
		if (*pg_cpu_mark(w, p->vpn) == p->id)
			*pg_cpu_mark(w, p->vpn) = 0;
	}
	for (struct pg_cpu *c = e->cpus; c && c->mmu; c = c->next)
		pg_mmu_forget_code_id(c->mmu, (pg_vpn){p->vpn}, p->id);
}

/* Takes binding i off both lists. The frame's mark stays. */
static void unbind(struct pg_engine *e, uint32_t i)
{
	struct pg_binding *b = pg_binding_at(e, i);
	uint32_t *at = &e->frame_bindings[b->frame];
	while (*at != i)
		at = &pg_binding_at(e, *at)->next_of_frame;
	*at = b->next_of_frame;
	at = &pg_page_at(e, b->page)->bindings;
	while (*at != i)
		at = &pg_binding_at(e, *at)->next_of_page;
	*at = b->next_of_page;
	b->next_of_frame = e->free_binding;
	e->free_binding = i;
}

/* unbind(), and the frame's mark goes with its last page. */
static void unbind_and_unmark(struct pg_engine *e, uint32_t i)
{
	uint32_t f = pg_binding_at(e, i)->frame;
	unbind(e, i);
	if (is_marked(e, f) && !e->frame_bindings[f])
		unmark_frame(e, (pg_pfn){f});
}

static void bind(struct pg_engine *e, struct pg_code_page *p, pg_pfn f)
{
	uint32_t i = e->free_binding;
	if (!is_marked(e, f.v)) {
		while (e->frame_bindings[f.v]) /* of what was in this frame before it was freed */
			unbind(e, e->frame_bindings[f.v]);
		pg_frames_row(e->frames, f)->flags |= PG_FRAME_CODE;
		mark_entries(e, f, true);
		if (e->config.fast)
			pg_fast_protect(e, f);
	}
	if (i)
		e->free_binding = pg_binding_at(e, i)->next_of_frame;
	else
		pg_vec_add(&e->bindings, sizeof(struct pg_binding), &i);
	*pg_binding_at(e, i) = (struct pg_binding){
		.page = index_of(e, p),
		.frame = f.v,
		.next_of_frame = e->frame_bindings[f.v],
		.next_of_page = p->bindings,
	};
	e->frame_bindings[f.v] = p->bindings = i;
}

/* p is never entered again. */
static void retire(struct pg_engine *e, struct pg_code_page *p)
{
	if (p->retired)
		return;
	pg_code_unlink_blocks(e, p);
	while (p->bindings)
		unbind_and_unmark(e, p->bindings);
	p->retired = true;
	e->dropped++;
	forget_id(e, p);
	uint32_t self = index_of(e, p);
	uint32_t *at = &e->page_hash[p->vpn & (PG_HASH_SIZE - 1)];
	while (*at != self)
		at = &pg_page_at(e, *at)->next;
	*at = p->next;
	free(p->copy);
	p->copy = NULL;
}

/* Does p lie in a marked frame other than f? */
static bool lies_elsewhere(struct pg_engine *e, const struct pg_code_page *p, uint32_t f)
{
	for (uint32_t i = p->bindings; i; i = pg_binding_at(e, i)->next_of_page) {
		if (pg_binding_at(e, i)->frame != f && is_marked(e, pg_binding_at(e, i)->frame))
			return true;
	}
	return false;
}

void pg_code_drop_frame(struct pg_engine *e, pg_pfn f)
{
	while (is_marked(e, f.v)) {
		uint32_t i = e->frame_bindings[f.v];
		struct pg_code_page *p = pg_page_at(e, pg_binding_at(e, i)->page);
		if (!lies_elsewhere(e, p, f.v)) {
			retire(e, p);
			continue;
		}
		e->dropped++;
		unbind_and_unmark(e, i);
		forget_id(e, p);
	}
}

bool pg_code_store_hits(struct pg_engine *e, pg_pfn f, uint32_t offset, uint32_t n)
{
	if (!is_marked(e, f.v))
		return false;
	for (uint32_t i = e->frame_bindings[f.v]; i; i = pg_binding_at(e, i)->next_of_frame) {
		const struct pg_code_page *p = pg_page_at(e, pg_binding_at(e, i)->page);
		for (uint32_t k = offset; k < offset + n && k < PG_PAGE_SIZE; k++) {
			if (p->used[k >> 6] >> (k & 63) & 1)
				return true;
		}
	}
	return false;
}

/* Are all bytes that translations of p depend on in `now` as they were? */
static bool same_bytes(const struct pg_code_page *p, const uint8_t *now)
{
	if (memcmp(p->copy, now, PG_PAGE_SIZE) == 0)
		return true;
	for (uint32_t k = 0; k < PG_PAGE_SIZE; k++) {
		if (p->copy[k] != now[k] && (p->used[k >> 6] >> (k & 63) & 1))
			return false;
	}
	return true;
}

/* The page of this number with these bytes, or NULL. Too many that lie nowhere are retired on the way. */
static struct pg_code_page *find_content(struct pg_engine *e, uint64_t vpn, const uint8_t *now)
{
	unsigned seen = 0;
	uint32_t i = e->page_hash[vpn & (PG_HASH_SIZE - 1)];
	while (i != 0) {
		struct pg_code_page *q = pg_page_at(e, i);
		i = q->next;
		if (q->vpn != vpn)
			continue;
		if (same_bytes(q, now))
			return q;
		if (++seen > MOST_CONTENTS && !lies_elsewhere(e, q, UINT32_MAX))
			retire(e, q);
	}
	return NULL;
}

static struct pg_code_page *make_page(struct pg_engine *e, uint64_t vpn, const uint8_t *now)
{
	uint32_t bucket = vpn & (PG_HASH_SIZE - 1), index;
	uint8_t *copy = malloc(PG_PAGE_SIZE);
	if (!copy)
		return NULL;
	memcpy(copy, now, PG_PAGE_SIZE);
	struct pg_code_page *p = pg_vec_add(&e->pages, sizeof(*p), &index);
	memset(p, 0, sizeof(*p));
	p->vpn = vpn;
	p->id = e->next_id++;
	p->blocks = p->blocks2 = PG_NIL;
	p->copy = copy;
	p->next = e->page_hash[bucket];
	e->page_hash[bucket] = index;
	return p;
}

struct pg_code_page *pg_code_bind(struct pg_cpu *c, pg_va a, pg_pfn f)
{
	struct pg_engine *e = c->engine;
	uint64_t vpn = pg_vpn_of(a).v;
	struct pg_code_page *p = NULL;
	if (is_marked(e, f.v)) {
		for (uint32_t i = e->frame_bindings[f.v]; i && !p;
			i = pg_binding_at(e, i)->next_of_frame) {
			if (pg_page_at(e, pg_binding_at(e, i)->page)->vpn == vpn)
				p = pg_page_at(e, pg_binding_at(e, i)->page);
		}
	}
	if (!p) {
		const uint8_t *now = pg_frames_bytes(e->frames, f);
		p = find_content(e, vpn, now);
		if (!p)
			p = make_page(e, vpn, now);
		if (!p)
			return NULL;
		bind(e, p, f);
	}
	if (c->mmu)
		pg_mmu_set_code_id(c->mmu, a, p->id);
	else
		*pg_cpu_mark(c, vpn) = p->id;
	return p;
}

void pg_code_refresh(struct pg_engine *e, struct pg_code_page *p, pg_pfn f)
{
	memcpy(p->copy, pg_frames_bytes(e->frames, f), PG_PAGE_SIZE);
}

void pg_code_settle(struct pg_engine *e, struct pg_code_page *p, pg_pfn f)
{
	bool any = false;
	for (uint32_t i = p->bindings, next; i; i = next) {
		const struct pg_binding *b = pg_binding_at(e, i);
		next = b->next_of_page;
		if (b->frame == f.v)
			continue;
		if (!is_marked(e, b->frame)) {
			unbind(e, i);
		} else if (!same_bytes(p, pg_frames_bytes(e->frames, (pg_pfn){b->frame}))) {
			unbind_and_unmark(e, i);
			any = true;
		}
	}
	if (any)
		forget_id(e, p);
}

void pg_code_unlink_range(struct pg_engine *e, uint64_t start, uint64_t end)
{
	if (end - start > e->pages.n) {
		for (uint32_t i = 1; i < e->pages.n; i++) {
			const struct pg_code_page *p = pg_page_at(e, i);
			if (!p->retired && p->vpn - start < end - start)
				unlink_page(e, p);
		}
		return;
	}
	for (uint64_t v = start; v < end; v++) {
		for (uint32_t i = e->page_hash[v & (PG_HASH_SIZE - 1)]; i != 0;
			i = pg_page_at(e, i)->next) {
			if (pg_page_at(e, i)->vpn == v)
				unlink_page(e, pg_page_at(e, i));
		}
	}
}

void pg_code_flush_pages(struct pg_engine *e)
{
	for (uint32_t i = 1; i < e->pages.n; i++) {
		struct pg_code_page *p = pg_page_at(e, i);
		while (p->bindings)
			unbind_and_unmark(e, p->bindings);
		free(p->copy);
	}
	memset(e->page_hash, 0, PG_HASH_SIZE * sizeof(uint32_t));
	e->pages.n = 1;    /* 0 ends chains */
	e->bindings.n = 1; /* 0 ends lists */
	e->free_binding = 0;
}

const char *pg_code_check_pages(struct pg_engine *e)
{
	for (uint32_t f = 0; f < pg_frames_total(e->frames); f++) {
		if (is_marked(e, f) && !e->frame_bindings[f])
			return "pages 1: a frame is marked and holds no code page";
	}
	for (uint32_t i = 1; i < e->pages.n; i++) {
		const struct pg_code_page *p = pg_page_at(e, i);
		if (p->retired && p->bindings)
			return "pages 3: a retired code page lies in a frame";
		for (uint32_t k = p->bindings; k; k = pg_binding_at(e, k)->next_of_page) {
			const struct pg_binding *b = pg_binding_at(e, k);
			uint32_t on = e->frame_bindings[b->frame];
			while (on && on != k)
				on = pg_binding_at(e, on)->next_of_frame;
			if (b->page != i || !on)
				return "pages 2: a binding is not on the lists of its page and "
				       "frame";
			if (is_marked(e, b->frame) &&
				!same_bytes(p, pg_frames_bytes(e->frames, (pg_pfn){b->frame})))
				return "pages 1: a frame's bytes differ from what was translated";
		}
	}
	return NULL;
}
