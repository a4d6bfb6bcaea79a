/* SPDX-License-Identifier: MIT */
/*
 * cpu/code.c: the code cache: its memory and records, the blocks in it and the ways between them, counters in memory.
 *
 * Called by run.c, translate.c and pages.c, which knows to which guest pages blocks belong. Owns the code mapping and all records.
 *
 * An exit to a block of another code page leaves the guest's flags where they can be had even if the block's check
 * fails (pg_code_link): in an address space that has other bytes there, other code wants them. Fast mode
 * need not while there has been one address space only: what leads to a page is undone when it is unmapped there.
 */
#include "cpu/cpu.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define CODE_BYTES ((size_t)384 << 20)
#define LEAST_CODE_BYTES ((size_t)4 << 20)
#define HUGE_PAGE ((size_t)2 << 20) /* the host's: code begins with one, if there is room */
#define COUNTERS ((uint32_t)8 << 20)

/* The hash table of blocks begins small, since true has a thousand of them, and grows: a compiler has some 300,000. */
#define FIRST_HASH_BITS 11
#define MOST_HASH_BITS 19

/* Records are reserved as address space once; memory is taken as they are written. */
enum {
	CAP_BLOCKS = 2 << 20,
	CAP_ROWS = 24 << 20,
	CAP_SEGMENTS = 6 << 20,
	CAP_SITES = 12 << 20,
	CAP_EXITS = 6 << 20,
	CAP_COMPLEX = 128 << 10,
	CAP_PAGES = 512 << 10,
	CAP_BINDINGS = 1 << 20,
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

/* Fast mode: what may be closed is a mapping for itself, so that closing it needs no other. See stop.c. */
static bool keep_apart(struct pg_engine *e)
{
	return mprotect(e->code, (size_t)(e->code_start - e->code), PROT_READ | PROT_EXEC) == 0 &&
	       mprotect(e->counters, COUNTERS * sizeof(uint64_t), PROT_READ | PROT_WRITE) == 0;
}

/*
 * Fewer host TLB misses on what is executed; best effort. A huge page is cleared when it is first touched: not for the stubs alone, nor for
 * the cold code of a small program.
 */
static void want_huge_pages(struct pg_engine *e)
{
	uint8_t *hot = e->config.fast ? e->code_start : e->code;
	size_t cold = (size_t)((uint8_t *)e->counters - e->cold.p);
	madvise(hot, (size_t)(e->cold.p - hot), MADV_HUGEPAGE);
	if (cold > HUGE_PAGE)
		madvise(e->cold.p + HUGE_PAGE, cold - HUGE_PAGE, MADV_HUGEPAGE);
}

int pg_code_create(struct pg_engine *e, const char **why)
{
	uint32_t frames = (uint32_t)pg_frames_total(e->frames);
	size_t code = e->config.code_bytes ? e->config.code_bytes : CODE_BYTES;
	if (code < LEAST_CODE_BYTES || code > CODE_BYTES) {
		*why = "a code cache has 4 to 384 MiB";
		return -EINVAL;
	}
	code = pg_align_up(code, PG_PAGE_SIZE);
	e->hot_bytes = pg_align_up(code / 3 * 2, PG_PAGE_SIZE);
	e->code_bytes = code + COUNTERS * sizeof(uint64_t);
	e->code = reserve(e->code_bytes, PROT_READ | PROT_WRITE | PROT_EXEC);
	bool ok = e->code && vec_init(&e->blocks, sizeof(struct pg_block), CAP_BLOCKS) &&
		  vec_init(&e->rows, sizeof(struct pg_insn_row), CAP_ROWS) &&
		  vec_init(&e->segments, sizeof(struct pg_segment), CAP_SEGMENTS) &&
		  vec_init(&e->sites, sizeof(struct pg_site), CAP_SITES) &&
		  vec_init(&e->exits, sizeof(struct pg_exit_row), CAP_EXITS) &&
		  vec_init(&e->complexes, sizeof(struct pg_complex_row), CAP_COMPLEX) &&
		  vec_init(&e->pages, sizeof(struct pg_code_page), CAP_PAGES) &&
		  vec_init(&e->bindings, sizeof(struct pg_binding), CAP_BINDINGS);
	e->block_hash_bits = FIRST_HASH_BITS;
	e->block_hash = calloc((size_t)1 << e->block_hash_bits, sizeof(uint32_t));
	e->page_hash = calloc(PG_HASH_SIZE, sizeof(uint32_t));
	e->frame_bindings = reserve((size_t)frames * sizeof(uint32_t), PROT_READ | PROT_WRITE);
	if (!ok || !e->block_hash || !e->page_hash || !e->frame_bindings) {
		*why = "no memory for the code cache (it needs a writable and executable mapping)";
		return -ENOMEM;
	}
	e->counters = (uint64_t *)(void *)(e->code + code);
	e->cap_counters = COUNTERS;
	e->next_id = 1;
	e->blocks.n = e->pages.n = e->bindings.n = 1; /* 0 ends lists */
	e->emit.p = e->code;
	e->emit.end = e->code + e->hot_bytes;
	e->cold.p = e->code + e->hot_bytes;
	e->cold.end = e->code + code;
	pg_stubs_make(e);
	e->cross_slot = e->emit.p = e->code + 4096;
	e->emit.p += 4096;
	if (e->config.fast && code >= 16 * HUGE_PAGE)
		e->emit.p = (uint8_t *)(uintptr_t)pg_align_up((uintptr_t)e->emit.p, HUGE_PAGE);
	e->code_start = e->emit.p;
	if (e->config.fast && !keep_apart(e)) {
		*why = "the host has no room for another mapping";
		return -ENOMEM;
	}
	want_huge_pages(e);
	return 0;
}

void pg_code_destroy(struct pg_engine *e)
{
	for (uint32_t i = 1; i < e->pages.n; i++)
		free(pg_page_at(e, i)->copy);
	vec_free(&e->blocks, sizeof(struct pg_block));
	vec_free(&e->rows, sizeof(struct pg_insn_row));
	vec_free(&e->segments, sizeof(struct pg_segment));
	vec_free(&e->sites, sizeof(struct pg_site));
	vec_free(&e->exits, sizeof(struct pg_exit_row));
	vec_free(&e->complexes, sizeof(struct pg_complex_row));
	vec_free(&e->pages, sizeof(struct pg_code_page));
	vec_free(&e->bindings, sizeof(struct pg_binding));
	if (e->code)
		munmap(e->code, e->code_bytes);
	if (e->frame_bindings)
		munmap(e->frame_bindings, pg_frames_total(e->frames) * sizeof(uint32_t));
	free(e->block_hash);
	free(e->page_hash);
}

bool pg_code_is_full(const struct pg_engine *e)
{
	const uint32_t room = 4096;
	return e->flush_wanted || e->emit.end - e->emit.p < 1 << 20 ||
	       e->cold.end - e->cold.p < 1 << 20 ||
	       e->n_counters + PG_COUNT_LANES * room > e->cap_counters ||
	       e->blocks.n + room > e->blocks.cap || e->rows.n + room > e->rows.cap ||
	       e->segments.n + room > e->segments.cap || e->sites.n + room > e->sites.cap ||
	       e->exits.n + room > e->exits.cap || e->complexes.n + room > e->complexes.cap ||
	       e->pages.n + room > e->pages.cap || e->bindings.n + room > e->bindings.cap;
}

/* What counter i, of segment s, has counted is c's. */
static void fold(struct pg_cpu *c, uint32_t i, const struct pg_segment *s)
{
	struct pg_engine *e = c->engine;
	uint64_t n = e->counters[i];
	e->counters[i] = 0;
	c->folded.insns += n * s->insns;
	c->folded.loads += n * s->loads;
	c->folded.stores += n * s->stores;
	c->folded.lookups += n * s->lookups;
	if (s->fetches) {
		c->folded.runs += n;
		c->folded.fetches += n * s->fetches;
	}
}

void pg_code_fold(struct pg_cpu *c, struct pg_block *b)
{
	for (uint32_t i = 0; !c->engine->vector_counts && i < b->n_segments; i++) {
		struct pg_segment *s = pg_segment_at(c->engine, b->segments + i);
		fold(c, s->counter, s);
	}
}

void pg_code_fold_all(struct pg_engine *e)
{
	struct pg_cpu *c = e->counting;
	if (!c)
		return;
	/* Each segment has one counter, in the same order. Most are 0: eight are looked at at once. */
	for (uint32_t i = 0; i < e->n_counters; i++) {
		const uint64_t *at = &e->counters[i];
		if (i % 8 == 0 && i + 8 <= e->n_counters &&
			!(at[0] | at[1] | at[2] | at[3] | at[4] | at[5] | at[6] | at[7]))
			i += 7;
		else if (*at)
			fold(c, i, pg_segment_at(e, i));
	}
}

void pg_code_count_for(struct pg_cpu *c)
{
	struct pg_engine *e = c->engine;
	if (e->config.fast || e->vector_counts || e->counting == c)
		return;
	pg_code_fold_all(e);
	e->counting = c;
}

bool pg_code_flush(struct pg_engine *e)
{
	if (e->inside) {
		e->flush_wanted = true;
		return false;
	}
	e->flush_wanted = false;
	e->stopped = NULL;
	pg_code_fold_all(e);
	pg_code_flush_pages(e);
	memset(e->block_hash, 0, sizeof(uint32_t) << e->block_hash_bits);
	e->blocks_hashed = 0;
	e->blocks.n = 1; /* 0 ends chains */
	e->rows.n = e->segments.n = e->sites.n = e->exits.n = e->complexes.n = 0;
	e->n_counters = 0;
	e->emit.p = e->code_start;
	e->cold.p = e->code + e->hot_bytes;
	e->emit.full = e->cold.full = false;
	e->flushes++;
	e->generation++; /* what CPUs keep is emptied when they run next */
	pg_window_give_up_zero(e);
	return true;
}

void pg_code_unlink_exits(struct pg_engine *e, struct pg_block *b)
{
	for (uint32_t i = b->in; i != PG_NIL;) {
		struct pg_exit_row *x = pg_exit_at(e, i);
		e_patch(x->patch, x->cold);
		x->linked = 0;
		i = x->next_in;
	}
	b->in = PG_NIL;
}

void pg_code_unlink_block(struct pg_engine *e, struct pg_block *b)
{
	pg_code_unlink_exits(e, b);
	if (!b->thunk)
		return;
	struct pg_emit m = {.p = b->thunk, .end = b->thunk + 5};
	e_jmp(&m, e->stub_indirect);
	b->was_thunk = b->thunk;
	b->thunk = NULL;
}

void pg_code_unlink_blocks(struct pg_engine *e, struct pg_code_page *p)
{
	for (uint32_t i = p->blocks; i != PG_NIL; i = pg_block_at(e, i)->next_of_page)
		pg_code_unlink_block(e, pg_block_at(e, i));
	for (uint32_t i = p->blocks2; i != PG_NIL; i = pg_block_at(e, i)->next_of_page2)
		pg_code_unlink_block(e, pg_block_at(e, i));
	p->blocks = p->blocks2 = PG_NIL;
}

static bool is_retired(struct pg_engine *e, const struct pg_block *b)
{
	return pg_page_at(e, b->page)->retired ||
	       (b->page2 != PG_NIL && pg_page_at(e, b->page2)->retired);
}

struct pg_block *pg_code_find(struct pg_engine *e, uint64_t rip, uint32_t page)
{
	uint32_t *at = &e->block_hash[pg_hash_rip(e, rip)];
	while (*at != 0) {
		struct pg_block *b = pg_block_at(e, *at);
		if (is_retired(e, b)) {
			*at = b->next;
			continue;
		}
		if (b->rip == rip && b->page == page)
			return b;
		at = &b->next;
	}
	return NULL;
}

struct pg_block *pg_code_block_at(struct pg_engine *e, const uint8_t *pc)
{
	uint32_t lo = 1, hi = e->blocks.n;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (pg_block_at(e, mid)->entry <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo > 1 ? pg_block_at(e, lo - 1) : NULL;
}

static void enter_hash(struct pg_engine *e, struct pg_block *b)
{
	uint32_t *bucket = &e->block_hash[pg_hash_rip(e, b->rip)];
	b->next = *bucket;
	*bucket = (uint32_t)(b - (struct pg_block *)e->blocks.p);
	e->blocks_hashed++;
}

/* A table of four times the size, without the blocks of retired pages, if the host has memory for it. */
static void grow_hash(struct pg_engine *e)
{
	uint32_t *old = e->block_hash, n = 1u << e->block_hash_bits;
	uint32_t *table = calloc((size_t)n * 4, sizeof(uint32_t));
	if (!table)
		return;
	e->block_hash = table;
	e->block_hash_bits += 2;
	e->blocks_hashed = 0;
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t k = old[i], next; k != 0; k = next) {
			struct pg_block *b = pg_block_at(e, k);
			next = b->next;
			if (!is_retired(e, b))
				enter_hash(e, b);
		}
	}
	free(old);
}

void pg_code_insert(struct pg_engine *e, struct pg_block *b)
{
	uint32_t index = (uint32_t)(b - (struct pg_block *)e->blocks.p);
	if (e->blocks_hashed >= 1u << e->block_hash_bits && e->block_hash_bits < MOST_HASH_BITS)
		grow_hash(e);
	enter_hash(e, b);
	struct pg_code_page *p = pg_page_at(e, b->page);
	b->next_of_page = p->blocks;
	p->blocks = index;
	if (b->page2 != PG_NIL) {
		p = pg_page_at(e, b->page2);
		b->next_of_page2 = p->blocks2;
		p->blocks2 = index;
	}
	pg_segment_at(e, b->segments)->fetches = b->fetches;
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

/* mov r11, imm64; cmp r9, r11. As data the address would be fetched once more, into the host's other cache. */
static void emit_compare(struct pg_emit *m, uint64_t rip)
{
	ebytes(m, (const uint8_t[]){PG_THUNK_BEGIN, 0xbb}, 2);
	e64(m, rip);
	ebytes(m, (const uint8_t[]){0x4d, 0x39, 0xd9}, 3);
}

uint8_t *pg_code_emit_thunk(struct pg_engine *e, const struct pg_block *b)
{
	struct pg_emit *m = &e->emit;
	uint8_t *at = m->p;
	emit_compare(m, b->rip);
	e_jcc(m, CC_NE, e->stub_indirect);
	if (b->entry_live)
		pg_emit_restore_flags(m);
	return at;
}

uint8_t *pg_code_thunk(struct pg_engine *e, struct pg_block *b)
{
	if (!b->thunk && b->was_thunk) { /* as it was when it was new */
		struct pg_emit m = {.p = b->was_thunk, .end = b->was_thunk + 13};
		emit_compare(&m, b->rip);
		e_patch(b->was_thunk + PG_THUNK_ELSE, e->stub_indirect);
		b->thunk = b->was_thunk;
	}
	if (!b->thunk) {
		uint8_t *at = pg_code_emit_thunk(e, b);
		e_jmp(&e->emit, b->entry);
		b->thunk = at;
	}
	return b->thunk;
}

uint8_t *pg_code_link(struct pg_engine *e, struct pg_block *b, const struct pg_exit_row *x)
{
	const struct pg_block *from = pg_block_at(e, x->block);
	/* one address space: what leads to a page is undone when it is unmapped there */
	bool other = !(e->config.fast && e->spaces == PG_SPACES_ONE) &&
		     (from->page != b->page || from->page2 != PG_NIL || b->page2 != PG_NIL);
	bool in_memory = x->flags == FLAGS_MEM;
	bool restore = b->entry_live && in_memory;
	bool store = (b->entry_mem || (other && !b->entry_live)) && !in_memory;
	if (!restore && !store)
		return b->entry;
	if (!b->moved) { /* a block wants one of the two only */
		struct pg_emit *m = &e->emit;
		b->moved = m->p;
		if (restore)
			pg_emit_restore_flags(m);
		else
			pg_emit_store_flags(m);
		e_jmp(m, b->entry);
	}
	return b->moved;
}
