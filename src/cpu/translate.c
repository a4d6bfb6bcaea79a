/* SPDX-License-Identifier: MIT */
/*
 * cpu/translate.c: one block: its check, its instructions, its exits, its cold code.
 *
 * Called by run.c. Uses decode.c for the instructions, access.c and control.c to emit them.
 *
 *     entry:    is this page the most recently used fetch entry of its set, with this translation?
 *     body:     count the segment; instructions; after each conditional branch a new segment
 *     exits:    jumps, patched to the next block's entry once that is known
 *     cold:     for each check that may fail: address into SA, site number, jump to a stub
 *
 * Invariant 1. A row is written for each instruction before its first byte is emitted, so that any host address
 *    between two rows belongs to the earlier one.
 */
#include "cpu/translate.h"
#include "cpu/fast.h"
#include "cpu/watch.h"

enum { COLD_ACCESS, COLD_EXIT, COLD_FETCH };

static enum pg_flags_at flags_now(const struct pg_translator *tr, const struct pg_insn *in)
{
	if (in->hard)
		return FLAGS_EFLAGS;
	if (in->soft)
		return tr->saved ? FLAGS_MEM : FLAGS_EFLAGS;
	return FLAGS_DEAD;
}

void pg_emit_save_flags(struct pg_translator *tr)
{
	struct pg_emit *m = pg_tr_out(tr);
	if (tr->saved)
		return;
	pg_emit_store_flags(m);
	tr->saved = true;
}

static void row_begin(struct pg_translator *tr, struct pg_insn *in)
{
	uint32_t index;
	struct pg_insn_row *r = pg_vec_add(&tr->e->rows, sizeof(*r), &index);
	r->guest = (uint16_t)(in->rip - tr->b->rip);
	r->host = (uint16_t)(pg_tr_out(tr)->p - tr->b->body);
	r->segment = (uint8_t)(tr->n_segments - 1);
	r->insns = tr->segment->insns;
	r->loads = tr->segment->loads;
	r->stores = tr->segment->stores;
	r->lookups = tr->segment->lookups;
	r->flags = FLAGS_EFLAGS;
	r->swap = 0;
	r->saved = tr->saved;
	pg_operand_default(tr);
	tr->b->n_rows++;
}

/*
 * What a segment adds: vpaddq ymm16, ymm16, [rip + d], and rare: ymm17. fill_counts() says what.
 * EVEX: Intel SDM vol. 2, 2.7. Returns where d is, to be set.
 */
static uint8_t *emit_count(struct pg_emit *m, bool rare)
{
	ebytes(m, (const uint8_t[]){0x62, 0xe1, rare ? 0xf5 : 0xfd, 0x20, 0xd4, rare ? 0x0d : 0x05},
		6);
	e32(m, 0);
	return m->p - 4;
}

/* Does the segment that begins with `first` have a load that is a store, too, or does it begin a run of two fetches? */
static bool counts_rare(const struct pg_translator *tr, const struct pg_insn *first)
{
	if (tr->page2)
		return true;
	for (const struct pg_insn *in = first; in < tr->insn + tr->n; in++) {
		if (in->loads + in->stores > in->lookups)
			return true;
		if (in->kind == K_JCC || in->kind == K_LOOP)
			break;
	}
	return false;
}

/* The additions where the segment that begins with `first` begins. */
static struct pg_count_places emit_counts(
	const struct pg_translator *tr, struct pg_emit *m, const struct pg_insn *first)
{
	uint8_t *common = emit_count(m, false);
	return (struct pg_count_places){
		common, counts_rare(tr, first) ? emit_count(m, true) : NULL};
}

/* A new segment begins: what follows is executed once for each count of its counter. */
static void begin_segment(struct pg_translator *tr, struct pg_insn *first)
{
	struct pg_engine *e = tr->e;
	struct pg_emit *m = pg_tr_out(tr);
	uint32_t index;
	tr->segment = pg_vec_add(&e->segments, sizeof(*tr->segment), &index);
	memset(tr->segment, 0, sizeof(*tr->segment));
	tr->segment->counter = e->n_counters;
	tr->n_segments++;
	tr->b->n_segments++;
	if (pg_tr_fast(tr))
		return;
	if (e->vector_counts) {
		tr->counted[tr->n_segments - 1] = emit_counts(tr, m, first);
		return;
	}
	uint64_t *counter = &e->counters[e->n_counters++];
	if ((first->hard | first->soft) == 0 || (!first->hard && tr->saved)) {
		ebytes(m, (const uint8_t[]){0x48, 0x83, 0x05}, 3); /* add qword [rip + d], 1 */
		e32(m, (uint32_t)((uint8_t *)counter - (m->p + 5)));
		e8(m, 1);
		return;
	}
	ebytes(m, (const uint8_t[]){0x4c, 0x8b, 0x0d}, 3); /* mov r9, [rip + d] */
	e32(m, (uint32_t)((uint8_t *)counter - (m->p + 4)));
	e_lea(m, SA, SA, H_NONE, 1, 1);
	ebytes(m, (const uint8_t[]){0x4c, 0x89, 0x0d}, 3); /* mov [rip + d], r9 */
	e32(m, (uint32_t)((uint8_t *)counter - (m->p + 4)));
}

/* The lanes [PG_COUNT_COMMON] that hold these four numbers, each below 2^8. */
static const uint64_t *lanes_of(struct pg_translator *tr, const uint64_t add[PG_COUNT_COMMON])
{
	struct pg_engine *e = tr->e;
	uint64_t what = add[0] | add[1] << 8 | add[2] << 16 | add[3] << 24 | (uint64_t)1 << 32;
	struct pg_counted *c = &tr->pool[what * 0x9e3779b97f4a7c15u >> 52];
	_Static_assert(PG_COUNT_POOL == 1 << 12, "the top 12 bits are an index");
	if (tr->pool_generation != e->generation) {
		memset(tr->pool, 0, sizeof(tr->pool));
		tr->pool_generation = e->generation;
	}
	if (c->what != what) {
		c->what = what;
		c->lanes = e->n_counters;
		memcpy(&e->counters[e->n_counters], add, PG_COUNT_COMMON * sizeof(*add));
		e->n_counters += PG_COUNT_COMMON;
	}
	return &e->counters[c->lanes];
}

/* What is added at these places: of segment s, whose run makes so many fetch lookups. */
static void fill_count(struct pg_translator *tr, const struct pg_count_places *at,
	const struct pg_segment *s, unsigned fetches)
{
	const uint64_t common[] = {s->insns, s->loads, s->stores, fetches};
	const uint64_t rare[PG_COUNT_COMMON] = {
		(uint64_t)s->loads + s->stores - s->lookups, fetches > 1 ? fetches - 1 : 0};
	PG_ASSERT(at->rare || (rare[0] == 0 && rare[1] == 0));
	if (tr->e->emit.full)
		return;
	e_patch(at->common, (const uint8_t *)lanes_of(tr, common));
	if (at->rare)
		e_patch(at->rare, (const uint8_t *)lanes_of(tr, rare));
}

/* With vector counts: what each segment of the block adds, now that it is known. */
static void fill_counts(struct pg_translator *tr)
{
	struct pg_engine *e = tr->e;
	const struct pg_block *b = tr->b;
	for (unsigned i = 0; e->vector_counts && i < b->n_segments; i++)
		fill_count(tr, &tr->counted[i], pg_segment_at(e, b->segments + i),
			i == 0 && !tr->temporary ? b->fetches : 0);
}

static void add_cold(struct pg_translator *tr, uint8_t *from, uint8_t kind, uint32_t site,
	uint8_t recover, int32_t disp)
{
	PG_ASSERT(tr->n_cold < sizeof(tr->cold) / sizeof(tr->cold[0]));
	struct pg_cold *c = &tr->cold[tr->n_cold++];
	c->from = from;
	c->kind = kind;
	c->site = site;
	c->recover = recover;
	c->row = (uint8_t)(tr->b->n_rows ? tr->b->n_rows - 1 : 0);
	c->disp = disp;
}

void pg_cold_access(struct pg_translator *tr, uint8_t *from, uint32_t site,
	enum pg_cold_state state, int32_t disp)
{
	add_cold(tr, from, COLD_ACCESS, site, (uint8_t)state, disp);
}

/* The record of a way out; where the jump that leads to it is patched, cold code is emitted later. */
uint32_t pg_exit_record(struct pg_translator *tr, uint64_t target, enum pg_flags_at flags)
{
	uint32_t index;
	struct pg_exit_row *x = pg_vec_add(&tr->e->exits, sizeof(*x), &index);
	memset(x, 0, sizeof(*x));
	x->block = tr->block;
	x->row = (uint8_t)(tr->b->n_rows ? tr->b->n_rows - 1 : 0);
	x->flags = (uint8_t)flags;
	x->target = target;
	x->no_chain = tr->temporary;
	return index;
}

void pg_cold_exit(struct pg_translator *tr, uint8_t *from, uint64_t target, enum pg_flags_at flags)
{
	uint32_t x = pg_exit_record(tr, target, flags);
	pg_exit_at(tr->e, x)->patch = from;
	add_cold(tr, from, COLD_EXIT, x, 0, 0);
}

/* cmp dword gs:[code_id of the page's set, or what lies `behind` it], id */
static void emit_compare_id(
	struct pg_translator *tr, struct pg_emit *m, const struct pg_code_page *p, int32_t behind)
{
	struct pg_engine *e = tr->e;
	uint32_t set = (uint32_t)p->vpn & (e->sets_fetch - 1);
	int32_t at_id = e->off_fetch + (int32_t)(set * sizeof(struct pg_tlb_fast)) +
			(int32_t)offsetof(struct pg_tlb_fast, code_id);
	if (pg_tr_fast(tr))
		at_id = e->off_marks + (int32_t)((p->vpn & (PG_MARKS - 1)) * sizeof(uint32_t));
	e8(m, 0x65);
	e8(m, 0x81);
	e_mem(m, 7, H_NONE, H_NONE, 1, at_id + behind);
	e32(m, p->id);
}

/* Cold code: a quick stub is called, with a record behind that says for what; then on at `resume`. */
static void emit_quick_call(struct pg_emit *m, const uint8_t *stub, const uint8_t *resume)
{
	e_gs_store(m, H_RSP, ST_GPR(H_RSP));
	e_gs_load(m, H_RSP, ST(quick_sp));
	e_call(m, stub);
	const uint8_t *back = m->p;
	e_gs_load(m, H_RSP, ST_GPR(H_RSP));
	e_jmp(m, resume);
	PG_ASSERT(m->full || m->p - back == PG_COLD_ID);
}

static void emit_access_record(struct pg_translator *tr, struct pg_emit *m, const struct pg_cold *c,
	enum pg_cold_open open)
{
	const struct pg_site *s = pg_site_at(tr->e, c->site);
	unsigned limit = (unsigned)PG_PAGE_SIZE - s->size;
	e32(m, c->site);
	e8(m, limit & 255);
	e8(m, limit >> 8);
	e8(m, s->group_last ? s->first_access : s->access);
	e8(m, s->access == PG_WRITE);
	e8(m, open);
}

static void emit_fetch_record(struct pg_translator *tr, struct pg_emit *m, const struct pg_cold *c)
{
	e32(m, c->site);
	e32(m, tr->page->id);
	e32(m, tr->page2 ? tr->page2->id : 0);
	e64(m, tr->b->rip);
}

/*
 * Does the access, whose set's place is in SB, share its set with the pages of groups that are open at it? Fills `jumps`, to be patched, and
 * returns their number.
 */
static unsigned emit_conflicts(struct pg_translator *tr, struct pg_emit *m,
	const struct pg_insn *in, uint8_t *jumps[2 * PG_OPEN_GROUPS])
{
	unsigned n = 0;
	for (unsigned i = 0; i < in->n_open; i++) {
		const struct pg_open_group *g = &in->open[i];
		const int32_t ends[2] = {g->low, g->high - 1};
		for (unsigned k = 0; k < 2; k++) {
			e_lea(m, SC, g->base, H_NONE, 1, ends[k]);
			pg_emit_set(tr->e, m, SC, SC);
			ebytes(m, (const uint8_t[]){0x45, 0x39, 0xd3}, 3); /* cmp r11d, r10d */
			jumps[n++] = e_jcc(m, CC_E, NULL);
		}
	}
	return n;
}

static void emit_cold(struct pg_translator *tr)
{
	struct pg_engine *e = tr->e;
	struct pg_emit *m = &e->cold;
	for (unsigned i = 0; i < tr->n_cold; i++) {
		struct pg_cold *c = &tr->cold[i];
		uint8_t *conflicts[2 * PG_OPEN_GROUPS];
		unsigned n_conflicts = 0;
		if (!e->emit.full)
			e_patch(c->from, m->p);
		const uint8_t *stub =
			tr->page2 || !e->second_fetch ? e->stub_fetch : e->stub_fetch_one;
		if (c->kind == COLD_ACCESS) {
			/* The stubs want the address in SA, and its set in SB. */
			bool store = pg_site_at(e, c->site)->access == PG_WRITE;
			if (c->recover == COLD_ADDED_INDEXED)
				e_op_gs_index(m, 0x2b, SA, SB, c->disp);
			else if (c->recover == COLD_ADDED)
				e_gs_op(m, 0x2b, SA, c->disp);
			else if (c->recover == COLD_KEPT_INDEXED)
				pg_emit_set(e, m, SB, SA);
			else if (c->recover == COLD_KNOWN)
				e_mov_imm(m, SA, c->address);
			if (e->second_d && (c->recover == COLD_ADDED || c->recover == COLD_KEPT ||
						   c->recover == COLD_KNOWN))
				e_mov_imm(m, SB, (uint32_t)(c->disp - pg_tag_at(e, store)));
			stub = e->stub_access;
			if (e->second_d) {
				const struct pg_site *s = pg_site_at(e, c->site);
				if (s->open)
					n_conflicts =
						emit_conflicts(tr, m, &tr->insn[c->row], conflicts);
				stub = store ? e->stub_store : e->stub_load;
				if (s->group_last) {
					e_mov_imm(m, SC, pg_group_measure(s));
					stub = store ? e->stub_group_store : e->stub_group_load;
				} else {
					e_op_gs_index(m, 0x03, SA, SB,
						pg_tag_at(e, store) + e->to_second);
					e_cmp_imm(m, SA, (uint32_t)PG_PAGE_SIZE - s->size);
				}
			}
		} else if (c->kind == COLD_FETCH && stub == e->stub_fetch_one) {
			uint32_t set = (uint32_t)tr->page->vpn & (e->sets_fetch - 1);
			e_mov_imm(m, SB, set * sizeof(struct pg_tlb_fast));
			emit_compare_id(tr, m, tr->page, e->to_second);
		}
		if (c->kind == COLD_EXIT) {
			pg_exit_at(e, c->site)->cold = m->p;
			e_gs_store_imm32(m, ST(site), c->site);
			e_jmp(m, e->stub_chain);
			continue;
		}
		emit_quick_call(m, stub,
			c->kind == COLD_ACCESS ? pg_site_at(e, c->site)->resume : tr->b->fetched);
		if (c->kind == COLD_FETCH) {
			emit_fetch_record(tr, m, c);
			continue;
		}
		emit_access_record(
			tr, m, c, !pg_site_at(e, c->site)->open ? OPEN_NONE : OPEN_APART);
		if (n_conflicts == 0)
			continue;
		for (unsigned k = 0; k < n_conflicts && !m->full; k++)
			e_patch(conflicts[k], m->p);
		emit_quick_call(m, e->stub_access, pg_site_at(e, c->site)->resume);
		emit_access_record(tr, m, c, OPEN_CONFLICT);
	}
}

static void emit_page_check(struct pg_translator *tr, const struct pg_code_page *p)
{
	emit_compare_id(tr, pg_tr_out(tr), p, 0);
	add_cold(tr, e_jcc(pg_tr_out(tr), CC_NE, NULL), COLD_FETCH, tr->block, 0, 0);
}

static void emit_entry(struct pg_translator *tr)
{
	struct pg_emit *m = pg_tr_out(tr);
	struct pg_block *b = tr->b;
	b->entry = m->p;
	/* Fast mode, one address space: what leads to a page is undone when it is unmapped there. */
	bool check = !tr->temporary && !(pg_tr_fast(tr) && tr->e->spaces == PG_SPACES_ONE);
	if (check) {
		if (b->entry_live) {
			e_gs_store(m, H_RAX, ST(tmp_rax));
			ebytes(m, (const uint8_t[]){0x9f, 0x0f, 0x90, 0xc0}, 4);
		}
		emit_page_check(tr, tr->page);
		if (tr->page2)
			emit_page_check(tr, tr->page2);
		b->fetched = m->p;
		if (b->entry_live) {
			ebytes(m, (const uint8_t[]){0x04, 0x7f, 0x9e}, 3); /* add al, 127; sahf */
			e_gs_load(m, H_RAX, ST(tmp_rax));
		}
	}
	b->body = m->p;
	if (!check)
		b->fetched = b->body;
}

static void emit_insn(struct pg_translator *tr, struct pg_insn *in)
{
	switch ((enum pg_kind)in->kind) {
	case K_COPY:
		pg_emit_copy(tr, in);
		break;
	case K_MEM:
		pg_emit_memory(tr, in);
		break;
	case K_LEA:
		pg_emit_lea(tr, in);
		break;
	case K_NOTHING:
		break;
	case K_PUSH:
		pg_emit_push(tr, in);
		break;
	case K_POP:
		pg_emit_pop(tr, in);
		break;
	case K_LEAVE:
		pg_emit_leave(tr, in);
		break;
	case K_MOFFS:
		pg_emit_moffs(tr, in);
		break;
	case K_SET_DF:
	case K_COMPLEX:
	case K_PUSHF:
	case K_POPF:
		pg_emit_complex(tr, in);
		break;
	case K_SYSCALL:
		pg_emit_stop(tr, in->rip + in->length, PG_EXIT_SYSCALL, true);
		break;
	case K_STOP:
		/* A breakpoint is a trap: rip is behind it. */
		pg_emit_stop(tr, in->stop == PG_EXIT_BREAKPOINT ? in->rip + in->length : in->rip,
			(enum pg_exit)in->stop, false);
		break;
	case K_JMP:
	case K_JCC:
	case K_LOOP:
	case K_CALL:
	case K_JMP_IND:
	case K_CALL_IND:
	case K_RET:
		pg_emit_control(tr, in);
		break;
	}
}

void pg_emit_guest(struct pg_translator *tr, unsigned dst, unsigned r)
{
	struct pg_emit *m = pg_tr_out(tr);
	uint16_t held = pg_held(tr);
	if (!(held >> r & 1))
		e_gs_load(m, dst, ST_GPR(r));
	else if (dst != r)
		e_mov_rr(m, dst, r);
	held &= (uint16_t) ~(1u << dst);
	if (dst == r)
		held |= (uint16_t)(1u << r);
	pg_hold(tr, held);
}

/* Where the flags are when the operation of `in` is executed: behind its checks, before what follows it. */
static void set_row_flags(struct pg_translator *tr, struct pg_insn_row *r, const struct pg_insn *in)
{
	if (pg_tr_fast(tr)) /* probes leave EFLAGS alone: only an earlier save moved them */
		r->flags = (uint8_t)(!in->hard && r->saved ? FLAGS_MEM : FLAGS_EFLAGS);
	else
		r->flags = (uint8_t)flags_now(tr, in);
}

static bool goes_on(const struct pg_insn *last)
{
	switch (last->kind) {
	case K_JMP:
	case K_CALL:
	case K_JMP_IND:
	case K_CALL_IND:
	case K_RET:
	case K_SYSCALL:
	case K_STOP:
		return false;
	default:
		return true;
	}
}

/* The translator's scratch for one piece of code of a page: everything but the decoded instructions starts afresh. */
static void begin(struct pg_translator *tr, struct pg_engine *e, struct pg_code_page *page,
	struct pg_code_page *page2)
{
	tr->e = e;
	tr->page = page;
	tr->page2 = page2;
	tr->temporary = tr->ungrouped = tr->saved = false;
	tr->n = tr->n_cold = tr->n_segments = 0;
	tr->segment = NULL;
	tr->probed = tr->short_values = 0;
	tr->rsp_moved = false;
	tr->held = 0;
	tr->held_at = NULL;
	tr->alt.p = NULL;
	pg_operand_default(tr);
}

/* Does a loop begin at rip? What led here was a direct jump back. */
static bool is_loop_head(const struct pg_cpu *c, uint64_t rip)
{
	struct pg_engine *e = c->engine;
	if (c->link == PG_NIL || c->link_generation != e->generation)
		return false;
	const struct pg_exit_row *x = pg_exit_at(e, c->link);
	const struct pg_block *from = pg_block_at(e, x->block);
	return from->rip + pg_row_at(e, from->rows + x->row)->guest >= rip;
}

/* As a compiler does it; the host reads instructions in lines. */
static void align_code(struct pg_emit *m)
{
	const unsigned line = 32;
	for (unsigned n = -(unsigned)(uintptr_t)m->p % line; n; n--)
		e8(m, 0xcc);
}

struct pg_block *pg_translate(struct pg_cpu *c, uint64_t rip, struct pg_code_page *page,
	struct pg_code_page *page2, unsigned limit, bool temporary)
{
	struct pg_engine *e = c->engine;
	struct pg_translator *tr = e->tr;
	begin(tr, e, page, page2);
	tr->temporary = temporary;
	if (!pg_decode_run(tr, rip, limit))
		return NULL;
	if (!temporary)
		pg_find_groups(tr);

	if (!temporary && is_loop_head(c, rip))
		align_code(&e->emit);
	uint8_t *start = e->emit.p;
	struct pg_block *b = pg_vec_add(&e->blocks, sizeof(*b), &tr->block);
	memset(b, 0, sizeof(*b));
	tr->b = b;
	b->rip = rip;
	b->page = (uint32_t)(page - (struct pg_code_page *)e->pages.p);
	b->page2 = page2 ? (uint32_t)(page2 - (struct pg_code_page *)e->pages.p) : PG_NIL;
	b->next = 0;
	b->in = b->next_of_page = b->whole = PG_NIL;
	b->rows = e->rows.n;
	b->segments = e->segments.n;
	b->exits = e->exits.n;
	b->temporary = temporary;
	b->fetches = page2 ? 2 : 1;
	b->entry_live = tr->insn[0].hard != 0;
	b->entry_mem = !b->entry_live && tr->insn[0].soft;
	tr->saved = b->entry_mem;
	if (pg_tr_fast(tr) && !temporary)
		tr->probed = 1u << H_RSP; /* see fast.c */
	if (c->link_indirect && !temporary &&
		!pg_watch_has(
			e, rip)) /* what leads here is an indirect jump: it falls into the block */
		b->thunk = pg_code_emit_thunk(e, b);
	emit_entry(tr);
	begin_segment(tr, &tr->insn[0]);
	for (unsigned i = 0; i < tr->n; i++) {
		struct pg_insn *in = &tr->insn[i];
		if (i > 0 && (tr->insn[i - 1].kind == K_JCC || tr->insn[i - 1].kind == K_LOOP))
			begin_segment(tr, in);
		row_begin(tr, in);
		uint32_t row = e->rows.n - 1;
		const uint8_t *before = e->emit.p;
		uint16_t held = pg_held(tr);
		emit_insn(tr, in);
		if (in->kind == K_JCC && e->emit.p - before == 6) /* nothing but the jump */
			pg_hold(tr, held);
		if (!pg_counted_in_c(in)) {
			tr->segment->insns++;
			tr->segment->loads += in->loads;
			tr->segment->stores += in->stores;
			tr->segment->lookups += in->lookups;
		}
		set_row_flags(tr, pg_row_at(e, row), in);
		if (in->written)
			tr->saved = false;
		if (pg_tr_fast(tr))
			pg_fast_after(tr, in);
	}
	struct pg_insn *last = &tr->insn[tr->n - 1];
	b->tail = e->emit.p;
	b->tail_saved = tr->saved;
	if (goes_on(last)) {
		pg_fast_boundary(tr, last->rip + last->length, tr->saved);
		pg_emit_exit(tr, last->rip + last->length);
	}
	b->bytes = (uint16_t)(last->rip + last->length - rip);
	emit_cold(tr);
	b->end = e->emit.p;
	b->n_exits = e->exits.n - b->exits;
	fill_counts(tr);
	if (e->emit.full || e->cold.full)
		return NULL;
	if (!temporary) {
		e->blocks_translated++;
		e->code_made += (uint64_t)(e->emit.p - start);
		e->guest_bytes += b->bytes;
		pg_code_insert(e, b);
	}
	return b;
}

/* In a fragment: a later segment of the whole block begins. (With counters in memory no group goes on so far.) */
static void recount(struct pg_translator *tr, const struct pg_insn *first, unsigned segment)
{
	struct pg_engine *e = tr->e;
	if (!e->vector_counts)
		return;
	struct pg_count_places at = emit_counts(tr, &e->emit, first);
	fill_count(tr, &at, pg_segment_at(e, tr->b->segments + segment), 0);
}

struct pg_block *pg_translate_fragment(struct pg_cpu *c, uint32_t site)
{
	struct pg_engine *e = c->engine;
	struct pg_translator *tr = e->tr;
	const struct pg_site *s = pg_site_at(e, site);
	const struct pg_block *whole = pg_block_at(e, s->block);
	unsigned first = s->row, last = s->until;
	begin(tr, e, pg_page_at(e, whole->page), NULL);
	tr->ungrouped = true;
	tr->saved = s->flags == FLAGS_MEM;
	PG_ASSERT(
		!whole->temporary && pg_decode_run(tr, whole->rip, whole->n_rows) == whole->n_rows);

	struct pg_block *b = pg_vec_add(&e->blocks, sizeof(*b), &tr->block);
	*b = *whole;
	tr->b = b;
	b->next = 0;
	b->in = b->next_of_page = PG_NIL;
	b->thunk = b->was_thunk = b->moved = NULL;
	b->whole = s->block;
	b->exits = e->exits.n;
	b->jumps = false;
	b->rows = e->rows.n;
	b->n_rows = 0;
	b->n_segments = 0; /* they are the whole block's, which has counted the first here */
	b->entry = b->fetched = b->body = e->emit.p;
	for (unsigned i = first; i <= last; i++) {
		struct pg_insn *in = &tr->insn[i];
		uint32_t index;
		if (i > first && tr->insn[i - 1].kind == K_JCC)
			recount(tr, in, pg_row_at(e, whole->rows + i)->segment);
		struct pg_insn_row *r = pg_vec_add(&e->rows, sizeof(*r), &index);
		*r = *pg_row_at(e, whole->rows + i);
		r->host = (uint16_t)(e->emit.p - b->body);
		r->saved = tr->saved;
		b->n_rows++;
		pg_operand_default(tr);
		emit_insn(tr, in);
		set_row_flags(tr, r, in);
		if (in->written)
			tr->saved = false;
	}
	if (goes_on(&tr->insn[last])) {
		bool more = last + 1u < whole->n_rows;
		const struct pg_insn_row *next = pg_row_at(e, whole->rows + last + 1);
		if (tr->saved && !(more ? next->saved : whole->tail_saved))
			pg_emit_restore_flags(&e->emit);
		e_jmp(&e->emit, more ? whole->body + next->host : whole->tail);
	}
	emit_cold(tr);
	b->end = e->emit.p;
	b->n_exits = e->exits.n - b->exits;
	return e->emit.full || e->cold.full ? NULL : b;
}
