/* SPDX-License-Identifier: MIT */
/*
 * cpu/slow.c: what a failed inline check calls, quickly.
 *
 * Called by the stubs with only general registers saved, so this file is compiled without vector
 * registers (see meson.build) and calls only mmu/, compiled alike. It finishes what the TLBs and the page table can
 * answer; everything else (faults, crossings, stores into code) returns 1 and goes the long way through run.c.
 */
#include "cpu/cpu.h"
#include "mmu/hit.h"

/* Leaves for run.c. */
static int leave_access(struct pg_cpu *c)
{
	c->target = (uint64_t)(uintptr_t)c->engine->stub_leave_access;
	return 1;
}

/* What a shared check stands for cannot be answered at once: its members are executed one by one if that code exists. */
static int take_apart(struct pg_cpu *c, uint32_t site)
{
	struct pg_engine *e = c->engine;
	const struct pg_site *s = pg_site_at(e, site);
	if (s->fragment == PG_NIL)
		return leave_access(c);
	uint64_t body = (uint64_t)(uintptr_t)pg_block_at(e, s->fragment)->body;
	bool back = s->flags == FLAGS_RAX;
	c->target = back ? (uint64_t)(uintptr_t)e->stub_flags_back : body;
	c->scratch[0] = body;
	return 1;
}

/* The TLB has the page of ea, but the view does not show it. */
static int not_shown(struct pg_cpu *c, uint64_t ea, uint32_t site, struct pg_tlb_way *way)
{
	struct pg_engine *e = c->engine;
	const struct pg_site *s = pg_site_at(e, site);
	/* To show it another page may have to go, and that could be one of an open group's. */
	if (!s->open && pg_view_show(c, way, s->group_last))
		return 0;
	if (s->group_last || s->open)
		return take_apart(c, site);
	c->scratch[0] =
		pg_view_outside(c, (const uint8_t *)(uintptr_t)way->host + (ea & PG_PAGE_MASK));
	c->scratch[1] = (uint64_t)(uintptr_t)s->alt;
	c->target = (uint64_t)(uintptr_t)e->stub_alt;
	return 1;
}

/* May the access that asked for `way` be made on the view? */
static bool is_inline(const struct pg_tlb_way *way, const struct pg_cold_access *cold)
{
	return way->shown && (!cold->wants_store || pg_tlb_way_takes_stores(way));
}

/*
 * One access across two pages. The view shows pages that follow each other in the same order, so if it shows both, the access can be made
 * there. If it turns out that it cannot, it is looked up again on the long way, which finds what was found here and changes nothing by it.
 */
static int across_pages(struct pg_cpu *c, uint64_t ea, const struct pg_cold_access *cold)
{
	const struct pg_site *s = pg_site_at(c->engine, cold->site);
	uint64_t second = (ea | PG_PAGE_MASK) + 1;
	struct pg_tlb_way *way;
	if (s->group_last || s->open)
		return take_apart(c, cold->site);
	if (s->aligned || (second & (PG_VIEW_PAGES * PG_PAGE_SIZE - 1)) == 0 || second >> 47 != 0)
		return leave_access(c);
	way = pg_mmu_hit_data(c->mmu, (pg_va){ea}, (enum pg_access)cold->access);
	if (!way || !is_inline(way, cold))
		return leave_access(c);
	way = pg_mmu_hit_data(c->mmu, (pg_va){second}, (enum pg_access)cold->access);
	if (!way || !is_inline(way, cold))
		return leave_access(c);
	c->crossings++;
	if (__builtin_expect(c->interrupt, 0))
		pg_mmu_poke(c->mmu);
	return 0;
}

int pg_slow_access(struct pg_cpu *c, uint64_t ea, const struct pg_cold_access *cold)
{
	struct pg_tlb_way *way;
	enum pg_mmu_result r = PG_MMU_OK;
	c->looked = 0;
	c->site = cold->site;
	if (cold->open == OPEN_CONFLICT)
		return take_apart(c, cold->site);
	if (ea >> 47 != 0)
		return leave_access(c);
	if ((ea & PG_PAGE_MASK) > cold->limit)
		return across_pages(c, ea, cold);
	/* Under a shared check only the first member's access is made now; the others must then be sure to hit. */
	way = pg_mmu_hit_data(c->mmu, (pg_va){ea}, (enum pg_access)cold->access);
	if (!way)
		r = pg_mmu_lookup_data(c->mmu, (pg_va){ea}, (enum pg_access)cold->access, &way);
	if (__builtin_expect(
		    r != PG_MMU_OK || (cold->wants_store && !pg_tlb_way_takes_stores(way)), 0)) {
		c->looked = (uint8_t)(1 + r);
		return leave_access(c);
	}
	if (__builtin_expect(c->interrupt, 0))
		pg_mmu_poke(c->mmu);
	return __builtin_expect(way->shown, 1) ? 0 : not_shown(c, ea, cold->site, way);
}

/* Fast mode: sets the mark of rip's page if the page table says that the code page `id` is there. */
static bool mark_again(struct pg_cpu *c, uint64_t rip, uint32_t id)
{
	const struct pg_engine *e = c->engine;
	const pg_pte need = PG_PTE_P | PG_PTE_US | PG_PTE_A;
	unsigned refs;
	pg_pte pte = c->table->form->walk(c->table, pg_vpn_of((pg_va){rip}), &refs);
	if ((pte & need) != need || (pte & PG_PTE_NX))
		return false;
	pg_pfn f = pg_pte_pfn(pte);
	if (!pg_code_lies_in(e, &e->frame_rows[f.v], f, id))
		return false;
	*pg_cpu_mark(c, pg_vpn_of((pg_va){rip}).v) = id;
	return true;
}

static int fast_fetch(struct pg_cpu *c, const struct pg_cold_fetch *cold)
{
	if (!mark_again(c, cold->rip, cold->id))
		return 1;
	if (cold->id2 && !mark_again(c, (cold->rip | PG_PAGE_MASK) + 1, cold->id2))
		return 1;
	/* A request that came meanwhile has emptied the marks before these were set. */
	return *c->asked != 0;
}

int pg_slow_fetch(struct pg_cpu *c, const struct pg_cold_fetch *cold)
{
	c->looked = 0;
	c->site = cold->block;
	if (*c->asked)
		return 1;
	if (!c->mmu)
		return fast_fetch(c, cold);
	struct pg_tlb_way *way = pg_mmu_hit_fetch(c->mmu, (pg_va){cold->rip});
	if (cold->id2) {
		/* Two pages, in order; what is not a plain hit goes the long way, which asks again. */
		if (!way || way->code_id != cold->id)
			return 1;
		way = pg_mmu_hit_fetch(c->mmu, (pg_va){(cold->rip | PG_PAGE_MASK) + 1});
		if (!way || way->code_id != cold->id2)
			return 1;
		if (__builtin_expect(c->interrupt, 0))
			pg_mmu_poke(c->mmu);
		return 0;
	}
	enum pg_mmu_result r = PG_MMU_OK;
	if (!way)
		r = pg_mmu_lookup_fetch(c->mmu, (pg_va){cold->rip}, &way);
	if (r != PG_MMU_OK || way->code_id != cold->id) {
		c->looked = (uint8_t)(1 + r);
		return 1;
	}
	if (__builtin_expect(c->interrupt, 0))
		pg_mmu_poke(c->mmu);
	return 0;
}

/* Is b's page the one that this CPU has there? Another space may have other code at the same address. */
static bool is_here(struct pg_cpu *c, const struct pg_block *b)
{
	if (!c->mmu)
		return true;
	return pg_mmu_peek_code_id(c->mmu, (pg_va){b->rip}) == pg_page_at(c->engine, b->page)->id;
}

int pg_slow_tell(struct pg_cpu *c, uint64_t to)
{
	struct pg_engine *e = c->engine;
	const struct pg_exit_row *x = pg_exit_at(e, c->site);
	const struct pg_block *b = pg_block_at(e, x->block);
	uint64_t rsp = c->regs.gpr[PG_RSP];

	c->noted = false;
	if (!c->told || c->told_count == PG_TOLD_ROOM || c->wish.all || (!c->mmu && *c->asked) ||
		!pg_is_canonical(to) || (x->transfer == PG_TRANSFER_CALL && rsp < c->wish.below) ||
		(x->transfer == PG_TRANSFER_RETURN &&
			rsp + (uint64_t)(int64_t)x->rsp_undo == c->wish.slot))
		return 1;
	c->noted = true;
	c->told[c->told_count++] =
		(struct pg_told){.from = b->rip + pg_row_at(e, b->rows + x->row)->guest,
			.to = to,
			.rsp = rsp,
			.instructions = e->vector_counts && !e->config.fast
						? c->count[PG_COUNT_INSNS] + (uint64_t)c->adj_insns
						: 0,
			.undo = x->rsp_undo,
			.how = x->transfer};
	return 0;
}

int pg_slow_indirect(struct pg_cpu *c, uint64_t rip)
{
	struct pg_engine *e = c->engine;
	uint32_t i = e->block_hash[pg_hash_rip(e, rip)];
	while (i != 0) {
		struct pg_block *b = pg_block_at(e, i);
		if (b->rip == rip && b->thunk && !pg_page_at(e, b->page)->retired &&
			is_here(c, b)) {
			pg_cpu_set_jump(c, rip, b->thunk);
			c->target = (uint64_t)(uintptr_t)b->thunk;
			return !c->mmu && *c->asked; /* see stop.c */
		}
		i = b->next;
	}
	return 1;
}
