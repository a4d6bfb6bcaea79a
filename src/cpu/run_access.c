/* SPDX-License-Identifier: MIT */
/*
 * cpu/run_access.c: data accesses for which translated code was left: what neither the inline check nor slow.c answers. Faults, accesses
 * across two pages, stores into translated code, shared checks that are to be taken apart.
 *
 * Called by run.c. Calls its pg_resolve() for memory, and translate.c for a group's second translation.
 */
#include "cpu/run.h"

/* The access of site s does not happen: the state is that before its instruction. */
static void stop_before_site(struct pg_cpu *c, const struct pg_site *s, const struct pg_block *b)
{
	pg_recover_flags(c, (enum pg_flags_at)s->flags);
	pg_stop_before(c, b, s->row);
}

/* On in the translation in which each access has its own check, at the instruction of the site. */
static enum pg_turn go_apart(struct pg_cpu *c, struct pg_site *s, const struct pg_block *b)
{
	c->looked = 0;
	if (pg_page_at(c->engine, b->page)->retired) {
		/* Overwritten by another thread during a wait: what it was made of is gone. */
		stop_before_site(c, s, b);
		return TURN_NEXT;
	}
	if (s->fragment == PG_NIL) {
		struct pg_block *f = pg_translate_fragment(c, c->site);
		if (!f) { /* no room: the instruction is executed by a new block after a flush */
			stop_before_site(c, s, b);
			return pg_make_room(c) ? TURN_NEXT : TURN_EXIT;
		}
		s->fragment = (uint32_t)(f - (struct pg_block *)c->engine->blocks.p);
	}
	if (s->flags == FLAGS_RAX) {
		pg_recover_flags(c, FLAGS_RAX);
		pg_load_flags(c);
	}
	c->target = (uint64_t)(uintptr_t)pg_block_at(c->engine, s->fragment)->body;
	return TURN_GO_ON;
}

/*
 * A shared check failed. If what failed was the first access, and all members are sure to hit once it is done, the group goes
 * on; else its ungrouped form is executed.
 */
static enum pg_turn leave_group(struct pg_cpu *c, struct pg_site *s, struct pg_block *b)
{
	uint64_t ea = c->scratch[0], first = ea + s->first_off;
	struct pg_fragments fr;
	/* Alignment comes before the page: each access for itself. */
	bool misaligned = s->aligned && (first & (s->first_size - 1u));
	if (!c->engine->config.fast && !misaligned && pg_is_canonical(ea) &&
		pg_is_canonical(ea + s->size - 1) &&
		(ea & PG_PAGE_MASK) + s->size <= PG_PAGE_SIZE && ea < PG_USER_TOP) {
		if (pg_resolve(c, first, s->first_size, (enum pg_access)s->first_access, &fr) !=
			0) {
			stop_before_site(c, s, b);
			if (s->x87 && (c->regs.x->bytes[2] & 0x80))
				return pg_exit_with(c, PG_EXIT_FP);
			return TURN_EXIT;
		}
		/* The page is the most recently used of its set now: asking again changes nothing. */
		struct pg_tlb_way *way;
		if (!s->open &&
			pg_mmu_lookup(c->mmu, (pg_va){ea}, (enum pg_access)s->first_access, &way) ==
				PG_MMU_OK &&
			(s->access != PG_WRITE || pg_tlb_way_takes_stores(way)) &&
			(way->shown || pg_view_show(c, way, true))) {
			c->target = (uint64_t)(uintptr_t)s->resume;
			return TURN_GO_ON;
		}
	}
	return go_apart(c, s, b);
}

enum pg_turn pg_leave_access(struct pg_cpu *c, bool *step)
{
	struct pg_engine *e = c->engine;
	struct pg_site *s = pg_site_at(e, c->site);
	struct pg_block *b = pg_block_at(e, s->block);
	uint64_t ea = c->scratch[0];
	struct pg_fragments fr;
	uint64_t rip = b->rip + pg_row_at(e, b->rows + s->row)->guest;

	c->regs.rip = rip;
	if (s->group_last)
		return leave_group(c, s, b);
	/* Alignment is checked before the page is looked at. Intel SDM vol. 2, 2.4: exception types 1, 2, 4. */
	bool misaligned = s->aligned && (ea & (s->size - 1u));
	if (!pg_is_canonical(ea) || !pg_is_canonical(ea + s->size - 1) || misaligned) {
		stop_before_site(c, s, b);
		c->extra_lookups += s->nth;
		return pg_exit_with(c, s->stack && !misaligned ? PG_EXIT_SS : PG_EXIT_GP);
	}
	if (pg_resolve(c, ea, s->size, (enum pg_access)s->access, &fr) != 0) {
		stop_before_site(c, s, b);
		c->extra_lookups += s->nth;
		/* A pending x87 exception comes before the page fault: ES in the status word. SDM vol. 3, table 6-2. */
		if (s->x87 && (c->regs.x->bytes[2] & 0x80))
			return pg_exit_with(c, PG_EXIT_FP);
		return TURN_EXIT;
	}
	if (s->access == PG_WRITE && pg_drop_overwritten(c, &fr)) {
		stop_before_site(c, s, b);
		c->extra_lookups += s->nth + fr.n;
		*step = true;
		return TURN_NEXT;
	}
	/* The pages of open groups may have gone; the same access, made again, finds what is here now and changes nothing by it. */
	if (s->open)
		return go_apart(c, s, b);
	if (fr.n == 1) {
		c->scratch[0] = pg_view_outside(c, fr.host[0]);
		c->target = (uint64_t)(uintptr_t)s->alt;
		return TURN_GO_ON;
	}
	/* Across two pages: a copy of the operation works on the bounce buffer. */
	c->crossings++;
	unsigned shift = c->cross.shift = ea & 63;
	memcpy(c->bounce + shift, fr.host[0], fr.len[0]);
	memcpy(c->bounce + shift + fr.len[0], fr.host[1], fr.len[1]);
	struct pg_emit m = {e->cross_slot, e->cross_slot + 4096, false};
	const uint8_t *behind =
		s->alt + s->alt_len + 5 + *(const int32_t *)(const void *)(s->alt + s->alt_len + 1);
	ebytes(&m, s->alt, s->alt_len);
	c->cross.site = c->site;
	if (s->access == PG_WRITE) {
		memcpy(c->cross.host, fr.host, sizeof(fr.host));
		memcpy(c->cross.len, fr.len, sizeof(fr.len));
		c->cross.resume = (uint64_t)(uintptr_t)behind;
		e_jmp(&m, e->stub_commit);
	} else {
		e_jmp(&m, behind);
	}
	c->scratch[0] = pg_view_outside(c, c->bounce + shift);
	c->target = (uint64_t)(uintptr_t)e->cross_slot;
	return TURN_GO_ON;
}

enum pg_turn pg_leave_commit(struct pg_cpu *c)
{
	uint8_t *from = c->bounce + c->cross.shift;
	memcpy(c->cross.host[0], from, c->cross.len[0]);
	memcpy(c->cross.host[1], from + c->cross.len[0], c->cross.len[1]);
	c->target = c->cross.resume;
	return TURN_GO_ON;
}
