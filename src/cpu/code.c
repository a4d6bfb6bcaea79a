/* SPDX-License-Identifier: MIT */
/*
 * cpu/code.c: the code cache: its memory, the translations of guest pages, and who finds them.
 *
 * Called by run.c, slow.c (tables only) and translate.c. Owns the code mapping, all records and the copies of guest pages.
 *
 * A *code page* is one guest page with one content. Its id goes into the TLB entry of the page when control
 * comes there (pg_code_bind); blocks compare it at their entry. When a store changes the bytes, the page is retired: its
 * id is never again in a TLB, so its blocks can never pass their check. When the page only moves (another frame, the same
 * bytes) it is bound again and its blocks stay good.
 *
 * Numbered invariants:
 *   1. frame row has PG_FRAME_CODE <=> frame_pages[f] is the list of code pages bound to f, each with bytes
 *      equal to the frame's on every byte in `used`.
 *   2. A code page is on the list of at most one frame.
 *   3. A retired page is on no list.
 */
#include "cpu/cpu.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define CODE_BYTES ((size_t)384 << 20)
#define FIXED_COUNTERS (2 * PG_COUNT_LANES)
#define HOT_BYTES ((size_t)256 << 20)
#define COUNTERS ((uint32_t)8 << 20)

/* Records are reserved as address space once; memory is taken as they are written. */
enum {
	CAP_BLOCKS = 2 << 20,
	CAP_ROWS = 24 << 20,
	CAP_SEGMENTS = 6 << 20,
	CAP_SITES = 12 << 20,
	CAP_EXITS = 6 << 20,
	CAP_COMPLEX = 128 << 10,
	CAP_PAGES = 512 << 10,
};

static void *reserve(size_t bytes, int prot)
{
	void *p = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void *pg_vec_add(struct pg_vec *v, size_t size, uint32_t *index)
{
	PG_ASSERT(v->n < v->cap);
	*index = v->n++;
	return (uint8_t *)v->p + *index * size;
}

static bool vec_init(struct pg_vec *v, size_t size, uint32_t cap)
{
	v->p = reserve(size * cap, PROT_READ | PROT_WRITE);
	v->n = 0;
	v->cap = cap;
	return v->p != NULL;
}

static void vec_free(struct pg_vec *v, size_t size)
{
	if (v->p)
		munmap(v->p, size * v->cap);
}

int pg_code_create(struct pg_engine *e, const char **why)
{
	uint32_t frames = (uint32_t)pg_frames_total(e->frames);
	e->code_bytes = CODE_BYTES + COUNTERS * sizeof(uint64_t) + CAP_PAGES * sizeof(uint32_t);
	e->code = reserve(e->code_bytes, PROT_READ | PROT_WRITE | PROT_EXEC);
	bool ok = e->code && vec_init(&e->blocks, sizeof(struct pg_block), CAP_BLOCKS) &&
		  vec_init(&e->rows, sizeof(struct pg_insn_row), CAP_ROWS) &&
		  vec_init(&e->segments, sizeof(struct pg_segment), CAP_SEGMENTS) &&
		  vec_init(&e->sites, sizeof(struct pg_site), CAP_SITES) &&
		  vec_init(&e->exits, sizeof(struct pg_exit_row), CAP_EXITS) &&
		  vec_init(&e->complexes, sizeof(struct pg_complex_row), CAP_COMPLEX) &&
		  vec_init(&e->pages, sizeof(struct pg_code_page), CAP_PAGES);
	e->block_hash = malloc(PG_HASH_SIZE * sizeof(uint32_t));
	e->page_hash = malloc(PG_HASH_SIZE * sizeof(uint32_t));
	e->frame_pages = reserve((size_t)frames * sizeof(uint32_t), PROT_READ | PROT_WRITE);
	if (!ok || !e->block_hash || !e->page_hash || !e->frame_pages) {
		*why = "no memory for the code cache (it needs a writable and executable mapping)";
		return -ENOMEM;
	}
	memset(e->block_hash, 0xff, PG_HASH_SIZE * sizeof(uint32_t));
	memset(e->page_hash, 0xff, PG_HASH_SIZE * sizeof(uint32_t));
	e->counters = (uint64_t *)(void *)(e->code + CODE_BYTES);
	e->cap_counters = COUNTERS;
	/* What a run adds to xmm17: one run, and its one or two fetch lookups. */
	e->n_counters = FIXED_COUNTERS;
	e->counters[PG_COUNT_LANES] = e->counters[PG_COUNT_LANES + 2] = 1;
	e->counters[PG_COUNT_LANES + 1] = 1;
	e->counters[PG_COUNT_LANES + 3] = 2;
	e->live = (uint32_t *)(void *)(e->counters + COUNTERS);
	e->next_id = 1;
	e->emit.p = e->code;
	e->emit.end = e->code + HOT_BYTES;
	e->cold.p = e->code + HOT_BYTES;
	e->cold.end = e->code + CODE_BYTES;
	/* Fewer host TLB misses on what is executed; best effort. */
	madvise(e->code, CODE_BYTES, MADV_HUGEPAGE);
	pg_stubs_make(e);
	e->cross_slot = e->emit.p = e->code + 4096;
	e->emit.p += 4096;
	e->code_start = e->emit.p;
	return 0;
}

void pg_code_destroy(struct pg_engine *e)
{
	for (uint32_t i = 0; i < e->pages.n; i++)
		free(pg_page_at(e, i)->copy);
	vec_free(&e->blocks, sizeof(struct pg_block));
	vec_free(&e->rows, sizeof(struct pg_insn_row));
	vec_free(&e->segments, sizeof(struct pg_segment));
	vec_free(&e->sites, sizeof(struct pg_site));
	vec_free(&e->exits, sizeof(struct pg_exit_row));
	vec_free(&e->complexes, sizeof(struct pg_complex_row));
	vec_free(&e->pages, sizeof(struct pg_code_page));
	if (e->code)
		munmap(e->code, e->code_bytes);
	if (e->frame_pages)
		munmap(e->frame_pages, pg_frames_total(e->frames) * sizeof(uint32_t));
	free(e->block_hash);
	free(e->page_hash);
}

bool pg_code_is_full(const struct pg_engine *e)
{
	const uint32_t room = 4096;
	return e->emit.end - e->emit.p < 1 << 20 || e->cold.end - e->cold.p < 1 << 20 ||
	       e->n_counters + PG_COUNT_LANES * room > e->cap_counters ||
	       e->blocks.n + room > e->blocks.cap || e->rows.n + room > e->rows.cap ||
	       e->segments.n + room > e->segments.cap || e->sites.n + room > e->sites.cap ||
	       e->exits.n + room > e->exits.cap || e->complexes.n + room > e->complexes.cap ||
	       e->pages.n + room > e->pages.cap;
}

/* What the counters of block b stand for is added to the totals, and they start again at 0. */
void pg_code_fold(struct pg_engine *e, struct pg_block *b)
{
	if (e->vector_counts)
		return;
	for (uint32_t i = 0; i < b->n_segments; i++) {
		struct pg_segment *s = pg_segment_at(e, b->segments + i);
		uint64_t n = e->counters[s->counter];
		e->counters[s->counter] = 0;
		e->t_insns += n * s->insns;
		e->t_loads += n * s->loads;
		e->t_stores += n * s->stores;
		e->t_lookups += n * s->lookups;
		if (i == 0) {
			e->t_runs += n;
			e->t_fetches += n * b->fetches;
		}
	}
}

void pg_code_fold_all(struct pg_engine *e)
{
	if (e->config.fast || e->vector_counts)
		return;
	for (uint32_t i = 0; i < e->blocks.n; i++)
		pg_code_fold(e, pg_block_at(e, i));
}

void pg_code_clear_jumps(struct pg_engine *e)
{
	for (struct pg_cpu *c = e->cpus; c; c = c->next) {
		uint64_t *jump = pg_cpu_jump_slot(c, 0);
		for (uint32_t i = 0; i < PG_JUMP_ENTRIES; i++)
			jump[i] = (uint64_t)(uintptr_t)e->stub_indirect;
	}
}

static void unmark_frame(struct pg_engine *e, pg_pfn f)
{
	pg_frames_row(e->frames, f)->flags &= (uint16_t)~PG_FRAME_CODE;
	e->frame_pages[f.v] = PG_NIL;
	for (struct pg_cpu *c = e->cpus; c; c = c->next) {
		if (c->mmu)
			pg_mmu_set_code(c->mmu, f, false);
	}
}

static void forget_id(struct pg_engine *e, const struct pg_code_page *p)
{
	for (struct pg_cpu *c = e->cpus; c; c = c->next) {
		if (c->mmu)
			pg_mmu_set_code_id(c->mmu, pg_va_of((pg_vpn){p->vpn}), 0);
	}
}

void pg_code_flush(struct pg_engine *e)
{
	pg_code_fold_all(e);
	for (uint32_t i = 0; i < e->pages.n; i++) {
		struct pg_code_page *p = pg_page_at(e, i);
		forget_id(e, p);
		if (p->pfn != PG_NIL &&
			pg_frames_row(e->frames, (pg_pfn){p->pfn})->flags & PG_FRAME_CODE)
			unmark_frame(e, (pg_pfn){p->pfn});
		free(p->copy);
		if (e->config.fast)
			e->live[i] = 0;
	}
	memset(e->block_hash, 0xff, PG_HASH_SIZE * sizeof(uint32_t));
	memset(e->page_hash, 0xff, PG_HASH_SIZE * sizeof(uint32_t));
	e->blocks.n = e->rows.n = e->segments.n = e->sites.n = e->exits.n = e->complexes.n =
		e->pages.n = 0;
	e->n_counters = FIXED_COUNTERS;
	e->emit.p = e->code_start;
	e->cold.p = e->code + HOT_BYTES;
	e->emit.full = e->cold.full = false;
	e->flushes++;
	e->generation++;
	pg_code_clear_jumps(e);
}

static void unlink_from_frame(struct pg_engine *e, struct pg_code_page *p)
{
	if (p->pfn == PG_NIL)
		return;
	if (pg_frames_row(e->frames, (pg_pfn){p->pfn})->flags & PG_FRAME_CODE) {
		uint32_t *at = &e->frame_pages[p->pfn];
		uint32_t self = (uint32_t)(p - (struct pg_code_page *)e->pages.p);
		while (*at != PG_NIL && *at != self)
			at = &pg_page_at(e, *at)->next_frame;
		if (*at == self)
			*at = p->next_frame;
	}
	p->pfn = PG_NIL;
	p->next_frame = PG_NIL;
}

/* Nobody jumps to b any more: exits point at their cold code again, jump slots are empty. */
static void unlink_block(struct pg_engine *e, struct pg_block *b)
{
	for (uint32_t i = b->in; i != PG_NIL;) {
		struct pg_exit_row *x = pg_exit_at(e, i);
		e_patch(x->patch, x->cold);
		i = x->next_in;
	}
	b->in = PG_NIL;
	if (!b->thunk)
		return;
	for (struct pg_cpu *c = e->cpus; c; c = c->next) {
		uint64_t *slot = pg_cpu_jump_slot(c, b->rip);
		if (*slot == (uint64_t)(uintptr_t)b->thunk)
			*slot = (uint64_t)(uintptr_t)e->stub_indirect;
	}
	b->thunk = NULL;
}

void pg_code_retire(struct pg_engine *e, struct pg_code_page *p)
{
	if (p->retired)
		return;
	for (uint32_t i = p->blocks; i != PG_NIL; i = pg_block_at(e, i)->next_of_page)
		unlink_block(e, pg_block_at(e, i));
	p->blocks = PG_NIL;
	unlink_from_frame(e, p);
	p->retired = true;
	e->dropped++;
	forget_id(e, p);
	if (e->config.fast)
		e->live[p - (struct pg_code_page *)e->pages.p] = 0;
	uint32_t self = (uint32_t)(p - (struct pg_code_page *)e->pages.p);
	uint32_t *at = &e->page_hash[p->vpn & (PG_HASH_SIZE - 1)];
	while (*at != PG_NIL && *at != self)
		at = &pg_page_at(e, *at)->next;
	if (*at == self)
		*at = p->next;
	free(p->copy);
	p->copy = NULL;
}

void pg_code_drop_frame(struct pg_engine *e, pg_pfn f)
{
	if (!(pg_frames_row(e->frames, f)->flags & PG_FRAME_CODE))
		return;
	while (e->frame_pages[f.v] != PG_NIL)
		pg_code_retire(e, pg_page_at(e, e->frame_pages[f.v]));
	unmark_frame(e, f);
}

bool pg_code_store_hits(struct pg_engine *e, pg_pfn f, uint32_t offset, uint32_t n)
{
	if (!(pg_frames_row(e->frames, f)->flags & PG_FRAME_CODE))
		return false;
	for (uint32_t i = e->frame_pages[f.v]; i != PG_NIL; i = pg_page_at(e, i)->next_frame) {
		const struct pg_code_page *p = pg_page_at(e, i);
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

static void link_to_frame(struct pg_engine *e, struct pg_code_page *p, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(e->frames, f);
	uint32_t self = (uint32_t)(p - (struct pg_code_page *)e->pages.p);
	if (!(row->flags & PG_FRAME_CODE)) {
		row->flags |= PG_FRAME_CODE;
		e->frame_pages[f.v] = PG_NIL;
		for (struct pg_cpu *c = e->cpus; c; c = c->next) {
			if (c->mmu)
				pg_mmu_set_code(c->mmu, f, true);
		}
		if (e->config.fast)
			pg_fast_protect(e, f);
	}
	p->pfn = f.v;
	p->next_frame = e->frame_pages[f.v];
	e->frame_pages[f.v] = self;
}

/* The page has other bytes than any translation of it knows: what was linked to those must not be entered that way. */
static void retire_others(struct pg_engine *e, uint64_t vpn)
{
	uint32_t i = e->page_hash[vpn & (PG_HASH_SIZE - 1)];
	while (i != PG_NIL) {
		struct pg_code_page *q = pg_page_at(e, i);
		i = q->next;
		if (q->vpn == vpn)
			pg_code_retire(e, q);
	}
}

struct pg_code_page *pg_code_bind(struct pg_cpu *c, pg_va a, pg_pfn f)
{
	struct pg_engine *e = c->engine;
	uint64_t vpn = pg_vpn_of(a).v;
	const uint8_t *now = pg_frames_bytes(e->frames, f);
	bool code = pg_frames_row(e->frames, f)->flags & PG_FRAME_CODE;
	struct pg_code_page *p = NULL;
	uint32_t bucket = vpn & (PG_HASH_SIZE - 1);

	if (code) {
		for (uint32_t i = e->frame_pages[f.v]; i != PG_NIL && !p;
			i = pg_page_at(e, i)->next_frame) {
			if (pg_page_at(e, i)->vpn == vpn)
				p = pg_page_at(e, i);
		}
	}
	if (!p) {
		for (uint32_t i = e->page_hash[bucket]; i != PG_NIL; i = pg_page_at(e, i)->next) {
			struct pg_code_page *q = pg_page_at(e, i);
			if (q->vpn == vpn && same_bytes(q, now)) {
				p = q;
				break;
			}
		}
		if (p) {
			unlink_from_frame(e, p);
		} else {
			uint8_t *copy = malloc(PG_PAGE_SIZE);
			if (!copy)
				return NULL;
			retire_others(e, vpn);
			uint32_t index;
			p = pg_vec_add(&e->pages, sizeof(*p), &index);
			memset(p, 0, sizeof(*p));
			p->vpn = vpn;
			p->id = e->next_id++;
			p->blocks = PG_NIL;
			p->copy = copy;
			p->pfn = PG_NIL;
			p->next = e->page_hash[bucket];
			e->page_hash[bucket] = index;
		}
		/* Bytes that no translation depends on may have changed: translate from what is there now. */
		memcpy(p->copy, now, PG_PAGE_SIZE);
		link_to_frame(e, p, f);
	}
	if (c->mmu)
		pg_mmu_set_code_id(c->mmu, a, p->id);
	else
		e->live[p - (struct pg_code_page *)e->pages.p] = p->id;
	return p;
}

struct pg_block *pg_code_find(struct pg_engine *e, uint64_t rip, uint32_t page)
{
	uint32_t *at = &e->block_hash[pg_hash_rip(rip)];
	while (*at != PG_NIL) {
		struct pg_block *b = pg_block_at(e, *at);
		if (pg_page_at(e, b->page)->retired) {
			*at = b->next;
			continue;
		}
		if (b->rip == rip && b->page == page)
			return b;
		at = &b->next;
	}
	return NULL;
}

void pg_code_insert(struct pg_engine *e, struct pg_block *b)
{
	uint32_t *bucket = &e->block_hash[pg_hash_rip(b->rip)];
	uint32_t index = (uint32_t)(b - (struct pg_block *)e->blocks.p);
	b->next = *bucket;
	*bucket = index;
	struct pg_code_page *p = pg_page_at(e, b->page);
	b->next_of_page = p->blocks;
	p->blocks = index;
}

void pg_emit_store_flags(struct pg_emit *m)
{
	e_mov_rr(m, SC, H_RAX);
	ebytes(m, (const uint8_t[]){0x9f, 0x0f, 0x90, 0xc0}, 4); /* lahf; seto al */
	e_gs_store(m, H_RAX, ST(flags_mem));
	e_mov_rr(m, H_RAX, SC);
}

void pg_emit_restore_flags(struct pg_emit *m)
{
	e_mov_rr(m, SC, H_RAX);
	e_gs_load(m, H_RAX, ST(flags_mem));
	ebytes(m, (const uint8_t[]){0x04, 0x7f, 0x9e}, 3);
	e_mov_rr(m, H_RAX, SC);
}

/* The entry of b for indirect jumps: SA must be its address, flags are in memory. */
uint8_t *pg_code_thunk(struct pg_engine *e, struct pg_block *b)
{
	struct pg_emit *m = &e->emit;
	if (b->thunk)
		return b->thunk;
	uint8_t *at = m->p;
	e_mov_imm(m, SB, b->rip);
	ebytes(m, (const uint8_t[]){0x4d, 0x39, 0xf5}, 3); /* cmp r13, r14 */
	e_jcc(m, CC_NE, e->stub_indirect);
	if (e->config.fast)
		e_mov_imm(m, SB, PG_FAST_SHIFT);
	if (b->entry_live)
		pg_emit_restore_flags(m);
	e_jmp(m, b->entry);
	return b->thunk = at;
}

/* Where a direct exit whose flags are at `flags` may jump to enter b. */
uint8_t *pg_code_link(struct pg_engine *e, struct pg_block *b, enum pg_flags_at flags)
{
	bool restore = b->entry_live && flags == FLAGS_MEM;
	bool store = b->entry_mem && flags == FLAGS_EFLAGS;
	if (!restore && !store)
		return b->entry;
	if (!b->moved) { /* a block wants one of the two only */
		struct pg_emit *m = &e->emit;
		uint8_t *at = m->p;
		if (restore)
			pg_emit_restore_flags(m);
		else
			pg_emit_store_flags(m);
		e_jmp(m, b->entry);
		b->moved = at;
	}
	return b->moved;
}
