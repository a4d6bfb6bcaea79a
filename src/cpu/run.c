/* SPDX-License-Identifier: MIT */
/*
 * cpu/run.c: the run loop: into translated code, out again, and what has to be done in between.
 *
 * Called by linux/ and tests through pg_engine_translator (engine.c). Calls translate.c, code.c and pages.c for code, mmu/ and
 * space/ for memory, run_access.c for accesses that left translated code, run_complex.c for instructions executed in C.
 *
 * One turn: dispatch() finds or makes the block at regs.rip (its fetch lookup included), enter() runs until code leaves,
 * the reason is handled, and either the code goes on where it left or the next turn begins.
 */
#include "cpu/run.h"

#include "cpu/fast.h"
#include "cpu/watch.h"

#include <errno.h>

static enum pg_leave enter(struct pg_cpu *c, const void *target)
{
	c->target = (uint64_t)(uintptr_t)target;
	typedef uint32_t enter_fn(void);
	uint32_t why = ((enter_fn *)(void *)c->engine->stub_enter)();
	return (enum pg_leave)why;
}

void pg_recover_flags(struct pg_cpu *c, enum pg_flags_at at)
{
	uint64_t bits = c->host_flags, packed = c->flags_mem;
	if (at == FLAGS_RAX) {
		packed = c->regs.gpr[PG_RAX];
		c->regs.gpr[PG_RAX] = c->tmp_rax;
	}
	if (at == FLAGS_RAX || at == FLAGS_MEM)
		bits = (packed >> 8 & (FL_ALL & 0xff)) | (packed & 1 ? FL_OF : 0);
	c->regs.rflags = (c->regs.rflags & ~(uint64_t)FL_ALL) | (bits & FL_ALL);
}

void pg_load_flags(struct pg_cpu *c)
{
	uint64_t f = c->regs.rflags;
	c->host_flags = (f & FL_ALL) | 0x202;
	c->flags_mem = (f & 0xff) << 8 | (f & FL_OF ? 1 : 0);
}

void pg_uncount(struct pg_cpu *c, const struct pg_block *b, unsigned row)
{
	struct pg_engine *e = c->engine;
	const struct pg_insn_row *r = pg_row_at(e, b->rows + row);
	const struct pg_segment *s = pg_segment_at(e, b->segments + r->segment);
	if (e->config.fast)
		return;
	c->adj_insns -= s->insns - r->insns;
	c->adj_loads -= s->loads - r->loads;
	c->adj_stores -= s->stores - r->stores;
	c->adj_lookups -= s->lookups - r->lookups;
}

void pg_stop_before(struct pg_cpu *c, const struct pg_block *b, unsigned row)
{
	pg_uncount(c, b, row);
	c->regs.rip = b->rip + pg_row_at(c->engine, b->rows + row)->guest;
}

static void set_fault(struct pg_cpu *c, uint64_t va, enum pg_access access, enum pg_fault_end end)
{
	c->info.why = PG_EXIT_FAULT;
	c->info.fault_va = (pg_va){va};
	c->info.fault_access = access;
	c->info.fault_end = end;
}

/*
 * One lookup of the page of va, by MMU or, in fast mode, by the page table. 0: allowed, *f and *code set; 1: a fault was
 * taken and mended, look again; -1: refused, info set. first: a result that slow.c already has (struct pg_cpu.looked).
 */
static int look(
	struct pg_cpu *c, uint64_t va, enum pg_access access, uint8_t *first, pg_pfn *f, bool *code)
{
	struct pg_engine *e = c->engine;
	bool allowed;
	if (va >= PG_USER_TOP) {
		allowed = false;
	} else if (e->config.fast) {
		pg_pte pte = 0;
		*f = pg_space_walk(c->space, (pg_va){va}, &pte);
		allowed = (pte & PG_PTE_P) && (pte & PG_PTE_US) &&
			  (access != PG_WRITE || (pte & PG_PTE_RW)) &&
			  (access != PG_EXEC || !(pte & PG_PTE_NX));
		if (allowed)
			pg_space_table(c->space)->form->update(pg_space_table(c->space),
				pg_vpn_of((pg_va){va}),
				PG_PTE_A | (access == PG_WRITE ? PG_PTE_D : 0), 0);
	} else {
		struct pg_tlb_way *way = NULL;
		enum pg_mmu_result r;
		if (first && *first > 1)
			r = (enum pg_mmu_result)(*first - 1);
		else
			r = pg_mmu_lookup(c->mmu, (pg_va){va}, access, &way);
		if (first)
			*first = 0;
		allowed = r == PG_MMU_OK;
		if (allowed)
			*f = (pg_pfn){way->pfn};
	}
	if (allowed) {
		*code = pg_frames_row(e->frames, *f)->flags & PG_FRAME_CODE;
		return 0;
	}
	enum pg_fault_end end = pg_cpu_fault(c, va, access, c->regs.rip);
	if (end == PG_FAULT_RESUME)
		return 1;
	set_fault(c, va, access, end);
	return -1;
}

int pg_resolve(
	struct pg_cpu *c, uint64_t va, unsigned n, enum pg_access access, struct pg_fragments *fr)
{
	uint8_t *first = &c->looked;
	unsigned head = (unsigned)(PG_PAGE_SIZE - (va & PG_PAGE_MASK));
	fr->n = n > head ? 2 : 1;
	fr->len[0] = n > head ? head : n;
	fr->len[1] = n - fr->len[0];
	unsigned rounds = 0;
	if (fr->n == 2)
		c->looked = 0;
	for (unsigned i = 0; i < fr->n;) {
		uint64_t a = i ? va + head : va;
		int r = look(c, a, access, i ? NULL : first, &fr->frame[i], &fr->code[i]);
		if (r == 0) {
			fr->host[i] = (uint8_t *)pg_frames_bytes(c->engine->frames, fr->frame[i]) +
				      (a & PG_PAGE_MASK);
			i++;
			continue;
		}
		c->extra_lookups += i + 1;
		if (r == 1 && ++rounds == 64) {
			/* each of two pages drives the other out: one frame too few */
			set_fault(c, a, access, PG_FAULT_OOM);
			r = -1;
		}
		if (r < 0)
			return -1;
		i = 0; /* the instruction starts again: the first page may have gone meanwhile */
	}
	return 0;
}

bool pg_drop_overwritten(struct pg_cpu *c, const struct pg_fragments *fr)
{
	bool any = false;
	for (unsigned i = 0; i < fr->n; i++) {
		if (fr->code[i] &&
			pg_code_store_hits(c->engine, fr->frame[i],
				(uint32_t)((uintptr_t)fr->host[i] & PG_PAGE_MASK), fr->len[i])) {
			pg_code_drop_frame(c->engine, fr->frame[i]);
			any = true;
		}
	}
	return any;
}

/* --- finding the next block ------------------------------------------------------------------ */

/* Fetch lookup(s) of one page with faults; 0 and *f, or -1 and info. */
static int fetch_page(struct pg_cpu *c, uint64_t va, uint8_t *first, pg_pfn *f)
{
	bool code;
	for (;;) {
		int r = look(c, va, PG_EXEC, first, f, &code);
		if (r == 0)
			return 0;
		c->fetch_extra++;
		if (r < 0)
			return -1;
	}
}

/* What a temporary block that is made now takes back. */
static void mark(struct pg_cpu *c)
{
	struct pg_engine *e = c->engine;
	c->tmp_marks[0] = e->sites.n;
	c->tmp_marks[1] = e->exits.n;
	c->tmp_marks[2] = e->complexes.n;
	c->tmp_marks[3] = e->n_counters;
	c->cold_mark = e->cold.p;
}

bool pg_make_room(struct pg_cpu *c)
{
	if (pg_code_flush(c->engine) && c->space)
		return true;
	c->info.why = PG_EXIT_INTERRUPTED;
	return false;
}

/*
 * The block at regs.rip, made if need be, its fetch lookups done. NULL: info is set. temporary: for one instruction.
 */
static struct pg_block *dispatch(struct pg_cpu *c, bool temporary)
{
	struct pg_engine *e = c->engine;
	uint64_t rip = c->regs.rip;
	uint8_t *first = &c->looked;
	pg_pfn f, f2;
	unsigned rounds = 0;
	if (!pg_is_canonical(rip)) {
		c->info.why = PG_EXIT_GP;
		return NULL;
	}
again:
	if (pg_code_is_full(e) && !pg_make_room(c))
		return NULL;
	if (fetch_page(c, rip, first, &f) != 0)
		return NULL;
	struct pg_code_page *p = pg_code_bind(c, (pg_va){rip}, f);
	if (!p) {
		set_fault(c, rip, PG_EXEC, PG_FAULT_OOM);
		return NULL;
	}
	uint32_t page = (uint32_t)(p - (struct pg_code_page *)e->pages.p);
	struct pg_block *b = temporary ? NULL : pg_code_find(e, rip, page);
	if (b && b->page2 == PG_NIL)
		return b;
	if (!b) {
		pg_code_refresh(e, p, f);
		mark(c);
		b = pg_translate(c, rip, p, NULL, temporary ? 1 : PG_BLOCK_INSNS, temporary);
		if (b) {
			pg_code_settle(e, p, f);
			return b;
		}
		if (e->emit.full || e->cold.full) {
			if (!pg_make_room(c))
				return NULL;
			goto again;
		}
		b = NULL;
	}
	/* The instruction lies across two pages. */
	uint64_t next = pg_align_down(rip, PG_PAGE_SIZE) + PG_PAGE_SIZE;
	if (fetch_page(c, next, NULL, &f2) != 0)
		return NULL;
	struct pg_code_page *p2 = pg_code_bind(c, (pg_va){next}, f2);
	p = pg_page_at(e, page);
	/* The fault on the second page may have evicted the first: its frame then holds other bytes. */
	if (!p2 || p->retired || pg_space_resident(c->space, (pg_va){rip}, NULL).v != f.v) {
		first = NULL;
		c->fetch_extra += 2;
		if (++rounds == 16) {
			/* each of the two pages drives the other out: one frame too few */
			set_fault(c, rip, PG_EXEC, PG_FAULT_OOM);
			return NULL;
		}
		goto again;
	}
	uint32_t page2 = (uint32_t)(p2 - (struct pg_code_page *)e->pages.p);
	for (; b && !temporary; b = b->next == 0 ? NULL : pg_block_at(e, b->next)) {
		if (b->rip == rip && b->page == page && b->page2 == page2)
			return b;
	}
	pg_code_refresh(e, p, f);
	pg_code_refresh(e, p2, f2);
	mark(c);
	b = pg_translate(c, rip, p, p2, 1, temporary);
	if (!b) {
		PG_ASSERT(e->emit.full || e->cold.full);
		if (!pg_make_room(c))
			return NULL;
		goto again;
	}
	pg_code_settle(e, p, f);
	pg_code_settle(e, p2, f2);
	return b;
}

/* --- reasons to have left -------------------------------------------------------------------- */

enum pg_turn pg_exit_with(struct pg_cpu *c, enum pg_exit why)
{
	c->info.why = why;
	return TURN_EXIT;
}

/* --- host signals in translated code --------------------------------------------------------- */

struct pg_block *pg_find_host_pc(struct pg_engine *e, struct pg_cpu *c, uint64_t pc, unsigned *row)
{
	const uint8_t *p = (const uint8_t *)(uintptr_t)pc;
	if (p >= e->cross_slot && p < e->cross_slot + 4096) {
		const struct pg_site *s = pg_site_at(e, c->cross.site);
		*row = s->row;
		return pg_block_at(e, s->block);
	}
	if (p >=
		e->code +
			e->hot_bytes) { /* a second copy of a checked operation: the last site whose copy begins at or before p */
		uint32_t lo = 0, hi = e->sites.n;
		while (lo < hi) {
			uint32_t mid = lo + (hi - lo) / 2;
			if (pg_site_at(e, mid)->alt <= p)
				lo = mid + 1;
			else
				hi = mid;
		}
		PG_ASSERT(lo > 0);
		const struct pg_site *s = pg_site_at(e, lo - 1);
		*row = s->row;
		return pg_block_at(e, s->block);
	}
	struct pg_block *b = pg_code_block_at(e, p);
	PG_ASSERT(b && p < b->end);
	unsigned r = 0;
	while (r + 1 < b->n_rows && b->body + pg_row_at(e, b->rows + r + 1)->host <= p)
		r++;
	*row = r;
	return b;
}

static void swap_bytes(uint64_t *r)
{
	uint64_t v = *r;
	*r = (v & ~(uint64_t)0xffff) | (v & 0xff) << 8 | (v >> 8 & 0xff);
}

static enum pg_turn leave_trap(struct pg_cpu *c, bool *step)
{
	struct pg_engine *e = c->engine;
	unsigned row;
	struct pg_block *b = pg_find_host_pc(e, c, c->trap.pc, &row);
	const struct pg_insn_row *r = pg_row_at(e, b->rows + row);
	if (c->trap.window == 4) {
		const struct pg_site *s = pg_site_at(e, c->trap.site);
		pg_recover_flags(c, (enum pg_flags_at)s->flags);
		c->regs.rip = b->rip + s->size;
		return TURN_NEXT;
	}
	pg_recover_flags(c, (enum pg_flags_at)r->flags);
	if (r->swap && c->trap.window != 3 && c->trap.window != 5)
		swap_bytes(&c->regs.gpr[r->swap - 1]);
	pg_stop_before(c, b, row);
	if (c->trap.window) {
		if (c->trap.window == 2) {
			*step = true;
			return TURN_NEXT;
		}
		if (c->trap.window >= 5) {
			c->wider = true;
			return pg_exit_with(c, PG_EXIT_INTERRUPTED);
		}
		/* The host saw the probe only. ES in the status word: SDM vol. 3, table 6-2. */
		if (c->info.why == PG_EXIT_FAULT && c->trap.x87 && (c->regs.x->bytes[2] & 0x80))
			return pg_exit_with(c, PG_EXIT_FP);
		return TURN_EXIT;
	}
	switch (c->trap.signo) {
	case SIGFPE:
		return pg_exit_with(c, c->trap.code == FPE_INTDIV || c->trap.code == FPE_INTOVF
					       ? PG_EXIT_DIVIDE
					       : PG_EXIT_FP);
	case SIGILL:
		return pg_exit_with(c, PG_EXIT_ILLEGAL);
	case SIGBUS:
		return pg_exit_with(c, c->trap.code == BUS_ADRALN ? PG_EXIT_ALIGN : PG_EXIT_SS);
	case SIGTRAP:
		return pg_exit_with(c, PG_EXIT_BREAKPOINT);
	default:
		/* Only #GP can be the guest's doing: frames are always mapped. */
		PG_ASSERT(c->trap.code == SI_KERNEL);
		return pg_exit_with(c, PG_EXIT_GP);
	}
}

/* --- the loop -------------------------------------------------------------------------------- */

static void read_bytes(struct pg_cpu *c)
{
	/* Through the page table, without faults: the instruction was just fetched. */
	c->info.length = 0;
	for (unsigned i = 0; i < sizeof(c->info.bytes); i++) {
		pg_va a = {c->regs.rip + i};
		pg_pfn f = a.v < PG_USER_TOP ? pg_space_resident(c->space, a, NULL) : PG_PFN_NONE;
		if (pg_pfn_is_none(f))
			break;
		c->info.bytes[i] =
			((uint8_t *)pg_frames_bytes(c->engine->frames, f))[a.v & PG_PAGE_MASK];
		c->info.length++;
	}
}

/* The transfer of exit x has happened. */
static void tell_transfer(struct pg_cpu *c, const struct pg_exit_row *x)
{
	struct pg_engine *e = c->engine;
	const struct pg_block *b = pg_block_at(e, x->block);
	struct pg_transferred t = {.how = (enum pg_transfer)x->transfer,
		.from = b->rip + pg_row_at(e, b->rows + x->row)->guest,
		.regs = &c->regs,
		.wish = &c->wish,
		.undo = x->rsp_undo};
	if (!e->config.fast && e->vector_counts)
		t.instructions = c->count[PG_COUNT_INSNS] + (uint64_t)c->adj_insns;
	if (!c->told) /* no memory: each is told at once */
		c->told = malloc(PG_TOLD_ROOM * sizeof *c->told);
	e->config.transferred(e->config.transferred_ctx, &t);
}

/* Tells the transfers that were noted since the last time. */
static void tell_noted(struct pg_cpu *c)
{
	struct pg_engine *e = c->engine;
	struct pg_cpu_regs regs = c->regs;
	uint32_t n = c->told_count;

	c->told_count = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct pg_told *t = &c->told[i];
		struct pg_transferred said = {.how = (enum pg_transfer)t->how,
			.from = t->from,
			.regs = &regs,
			.late = true,
			.wish = &c->wish,
			.undo = t->undo,
			.instructions = t->instructions};

		regs.rip = t->to;
		regs.gpr[PG_RSP] = t->rsp;
		e->config.transferred(e->config.transferred_ctx, &said);
	}
}

static enum pg_turn handle(
	struct pg_cpu *c, enum pg_leave why, struct pg_block *entered, bool *step)
{
	struct pg_engine *e = c->engine;
	struct pg_exit_row *x;
	struct pg_block *b;
	bool noted = c->noted;

	c->noted = false;
	if (c->told_count)
		tell_noted(c);
	switch (why) {
	case LEAVE_ACCESS:
		return pg_leave_access(c, step);
	case LEAVE_COMMIT:
		return pg_leave_commit(c);
	case LEAVE_FETCH:
		b = pg_block_at(e, c->site);
		/* If b wants none another block that is there in its stead might: see pg_code_link. */
		pg_recover_flags(c, b->entry_live ? FLAGS_RAX : FLAGS_MEM);
		c->regs.rip = b->rip;
		c->missed = c->site;
		c->link_generation = e->generation;
		return TURN_NEXT;
	case LEAVE_CHAIN: {
		x = pg_exit_at(e, c->site);
		pg_recover_flags(c, (enum pg_flags_at)x->flags);
		c->regs.rip = x->target;
		c->link = x->no_chain ? PG_NIL : c->site;
		c->link_generation = e->generation;
		return TURN_NEXT;
	}
	case LEAVE_INDIRECT:
		pg_recover_flags(c, FLAGS_MEM);
		c->regs.rip = c->scratch[0];
		x = pg_exit_at(e, c->site);
		if (!pg_is_canonical(c->regs.rip)) {
			/* The transfer itself faults. What a call pushed stays below rsp. */
			c->regs.gpr[PG_RSP] += (uint64_t)(int64_t)x->rsp_undo;
			pg_stop_before(c, pg_block_at(e, x->block), x->row);
			return pg_exit_with(c, PG_EXIT_GP);
		}
		c->link_indirect = !entered->temporary && !x->no_chain;
		if (x->transfer && !noted)
			tell_transfer(c, x);
		return TURN_NEXT;
	case LEAVE_SYSCALL:
		x = pg_exit_at(e, c->site);
		pg_recover_flags(c, (enum pg_flags_at)x->flags);
		c->regs.rip = x->target;
		c->regs.gpr[PG_RCX] = x->target;
		c->regs.gpr[PG_R11] = c->regs.rflags;
		return pg_exit_with(c, PG_EXIT_SYSCALL);
	case LEAVE_STOP:
		x = pg_exit_at(e, c->site);
		pg_recover_flags(c, (enum pg_flags_at)x->flags);
		c->regs.rip = x->target;
		return pg_exit_with(c, (enum pg_exit)x->stop);
	case LEAVE_COMPLEX:
		return pg_leave_complex(c);
	case LEAVE_TRAP:
		return leave_trap(c, step);
	case LEAVE_NONE:
		break;
	}
	PG_ASSERT(!"translated code left for no reason");
}

/*
 * The check of block `missed` failed, and b is what is there in this space: what led to the wrong one is to lead to b. If that was
 * the jump slot (of before an exec, or of another CPU in this one's place) it is set; exits come here once more.
 */
static void relink(struct pg_cpu *c, struct pg_block *missed, struct pg_block *b)
{
	if (missed->thunk && missed->rip == b->rip) /* behind its slot, perhaps */
		c->link_indirect = true;
	pg_code_unlink_exits(c->engine, missed);
}

/* Exit x is no more on the list of the block that it led to. */
static void take_off_list(struct pg_engine *e, uint32_t x)
{
	uint32_t *at = &pg_block_at(e, pg_exit_at(e, x)->linked)->in;
	while (*at != x)
		at = &pg_exit_at(e, *at)->next_in;
	*at = pg_exit_at(e, x)->next_in;
}

/* Points the exit that led here at b, and the jump table. */
static void link_to(struct pg_cpu *c, struct pg_block *b)
{
	struct pg_engine *e = c->engine;
	if (c->missed != PG_NIL && c->link_generation == e->generation &&
		pg_block_at(e, c->missed) != b)
		relink(c, pg_block_at(e, c->missed), b);
	if (pg_watch_has(e, b->rip))
		return; /* whoever comes here is to pass run() */
	if (c->link != PG_NIL && c->link_generation == e->generation) {
		struct pg_exit_row *x = pg_exit_at(e, c->link);
		uint32_t index = (uint32_t)(b - (struct pg_block *)e->blocks.p);
		e_patch(x->patch, pg_code_link(e, b, x));
		if (x->linked != index) {
			if (x->linked)
				take_off_list(e, c->link);
			x->linked = index;
			x->next_in = b->in;
			b->in = c->link;
		}
	}
	if (c->link_indirect) {
		pg_cpu_set_jump(c, b->rip, pg_code_thunk(e, b));
	}
}

/*
 * Runs one block, made for it alone if temporary. TURN_NEXT: the next turn is at regs.rip. TURN_EXIT: info is set.
 */
static enum pg_turn run_block(struct pg_cpu *c, bool temporary, bool *step)
{
	struct pg_engine *e = c->engine;
	struct pg_block *b = dispatch(c, temporary);
	if (!b) {
		c->link = c->missed = PG_NIL;
		c->link_indirect = false;
		return TURN_EXIT;
	}
	if (c->jump_generation != e->generation)
		pg_cpu_empty_jumps(c);
	uint32_t blocks = e->blocks.n;
	uint32_t index = (uint32_t)(b - (struct pg_block *)e->blocks.p);
	uint8_t *code = temporary ? b->entry : NULL;
	uint8_t *cold = c->cold_mark, *code_end = e->emit.p, *cold_end = e->cold.p;
	if (!temporary)
		link_to(c, b);
	c->link = c->missed = PG_NIL;
	c->link_indirect = false;
	pg_load_flags(c);
	if (e->config.fast)
		c->scratch[1] = PG_FAST_SHIFT;
	const void *target = b->body;
	enum pg_turn t;
	/* A request that came while the block was looked up, which made its check good again. */
	if (*c->asked)
		pg_interrupt_again(c);
	for (;;) {
		pg_stop_undo(e);
		enum pg_leave why = enter(c, target);
		t = handle(c, why, pg_block_at(e, index), step);
		if (t != TURN_GO_ON)
			break;
		if (*c->asked)
			pg_interrupt_again(c);
		target = (const void *)(uintptr_t)c->target;
		if (e->config.fast && why == LEAVE_COMPLEX)
			c->scratch[1] = PG_FAST_SHIFT;
	}
	if (temporary) {
		/* Take its records back, keeping what it counted, unless others were made behind it while it waited for a page. */
		b = pg_block_at(e, index);
		if (!e->config.fast)
			pg_code_fold(c, b);
		if (e->blocks.n != blocks || e->emit.p != code_end || e->cold.p != cold_end)
			return t;
		e->rows.n = b->rows;
		e->segments.n = b->segments;
		e->sites.n = c->tmp_marks[0];
		e->exits.n = c->tmp_marks[1];
		e->complexes.n = c->tmp_marks[2];
		if (!e->vector_counts)
			e->n_counters = c->tmp_marks[3];
		e->blocks.n = index;
		e->emit.p = code;
		e->cold.p = cold;
	}
	return t;
}

/* Fast mode: rsp or fs_base are not what blocks expect where they begin. */
static bool has_wild_base(const struct pg_cpu *c)
{
	return c->engine->config.fast &&
	       (c->regs.gpr[PG_RSP] >= c->top || c->regs.fs_base >= c->top);
}

/* The CPU is about to execute a watched instruction. */
static void tell_reached(struct pg_cpu *c)
{
	c->engine->config.reached(c->engine->config.reached_ctx, &c->regs);
	c->wish.all = true;
}

/* Returns how many of max_instructions, if that is not 0, are left. */
static uint64_t run(struct pg_cpu *c, uint64_t max_instructions)
{
	bool step = false;
	enum pg_turn t = TURN_NEXT;
	uint64_t left = max_instructions;
	memset(&c->info, 0, sizeof(c->info));
	c->link = c->missed = PG_NIL;
	c->link_indirect = false;
	c->looked = 0;
	c->wish.all = true;
	pg_code_count_for(c);
	pg_traps_enter(c);
	for (;;) {
		bool tf = c->regs.rflags & 0x100;
		bool alone = step || tf || max_instructions || has_wild_base(c);
		if (*c->asked && !step) {
			*c->asked = 0;
			pg_exit_with(c, PG_EXIT_INTERRUPTED);
			break;
		}
		if (!step && pg_watch_has(c->engine, c->regs.rip))
			tell_reached(c);
		step = false;
		t = run_block(c, alone, &step);
		if (t == TURN_EXIT)
			break;
		if (step)
			continue; /* the same instruction again, alone */
		if (tf) {
			pg_exit_with(c, PG_EXIT_STEP);
			break;
		}
		if (max_instructions && --left == 0) {
			pg_exit_with(c, PG_EXIT_BUDGET);
			break;
		}
	}
	pg_traps_leave();
	if (c->info.why == PG_EXIT_ILLEGAL || c->info.why == PG_EXIT_UNSUPPORTED)
		read_bytes(c);
	return left;
}

enum pg_exit pg_run(struct pg_cpu *c, uint64_t max_instructions, struct pg_exit_info *info)
{
	struct pg_cpu *at;
again:
	at = c->mmu ? c : pg_window_begin(c);
	if (!at) {
		if (info)
			*info = (struct pg_exit_info){.why = PG_EXIT_INTERRUPTED};
		return PG_EXIT_INTERRUPTED;
	}
	max_instructions = run(at, max_instructions);
	if (at != c)
		pg_window_end(at, c);
	if (at->wider) { /* the same instruction, in a wide window */
		at->wider = false;
		c->wide = true;
		goto again;
	}
	if (info)
		*info = at->info;
	return at->info.why;
}
