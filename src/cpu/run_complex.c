/* SPDX-License-Identifier: MIT */
/*
 * cpu/run_complex.c: the run loop's part of instructions that are executed in C: their way to memory, the few that are done
 * here, and where control goes on.
 *
 * Called by run.c when translated code was left for one (LEAVE_COMPLEX). Calls complex.c for what the instruction does, and
 * run.c for memory.
 */
#include "cpu/fast.h"
#include "cpu/run.h"

static int port_resolve(void *ctx, pg_va a, unsigned n, bool read, bool write,
	struct pg_fragment frag[2], unsigned *frags)
{
	struct pg_cpu *c = ctx;
	struct pg_fragments fr;
	uint64_t before = c->extra_lookups;
	c->looked = 0;
	if (pg_resolve(c, a.v, n, write ? PG_WRITE : PG_READ, &fr) != 0)
		return -1;
	if (c->extra_lookups != before) {
		/* Faults were mended on the way; the fragments are right, but earlier ones may not be. */
		c->extra_lookups += fr.n;
		return 1;
	}
	if (write && pg_drop_overwritten(c, &fr))
		c->smc = true;
	c->port_lookups += fr.n;
	c->port_crossings += fr.n - 1;
	for (unsigned i = 0; i < fr.n; i++)
		frag[i] = (struct pg_fragment){fr.host[i], fr.len[i]};
	*frags = fr.n;
	return 0;
}

static void port_count(void *ctx, uint64_t loads, uint64_t stores, uint64_t hits)
{
	struct pg_cpu *c = ctx;
	if (c->engine->config.fast)
		return;
	c->adj_loads += (int64_t)loads;
	c->adj_stores += (int64_t)stores;
	c->adj_lookups += (int64_t)hits;
}

static bool port_stable(void *ctx, pg_va a, pg_va b)
{
	struct pg_cpu *c = ctx;
	return !c->mmu || pg_mmu_pair_is_stable(c->mmu, a, b);
}

static bool port_copy(struct pg_cpu *c, uint64_t a, void *data, unsigned n, bool write)
{
	struct pg_fragment frag[2];
	unsigned frags = 0;
	int r;
	do
		r = port_resolve(c, (pg_va){a}, n, !write, write, frag, &frags);
	while (r > 0);
	if (r < 0)
		return false;
	uint8_t *p = data;
	for (unsigned i = 0; i < frags; p += frag[i].n, i++) {
		if (write)
			memcpy(frag[i].host, p, frag[i].n);
		else
			memcpy(p, frag[i].host, frag[i].n);
	}
	port_count(c, !write, write, 0);
	return true;
}

/* Flags that popf may change in user mode: arithmetic, TF, DF, NT, AC, ID. Intel SDM vol. 2, POPF. */
#define POPF_MASK ((uint64_t)(FL_ALL | 0x100 | 0x400 | 0x4000 | 0x40000 | 0x200000))

static enum pg_complex_result run_pushf(struct pg_cpu *c, const struct pg_complex_row *x)
{
	unsigned n = x->insn.operand_width == 16 ? 2 : 8;
	uint64_t sp = c->regs.gpr[PG_RSP] - n, v = (c->regs.rflags & (POPF_MASK)) | 0x202;
	if (!pg_va_is_canonical((pg_va){sp}, n))
		return PG_COMPLEX_SS;
	if (!port_copy(c, sp, &v, n, true))
		return PG_COMPLEX_FAULT;
	c->regs.gpr[PG_RSP] = sp;
	c->regs.rip += x->insn.length;
	return PG_COMPLEX_DONE;
}

static enum pg_complex_result run_popf(struct pg_cpu *c, const struct pg_complex_row *x)
{
	unsigned n = x->insn.operand_width == 16 ? 2 : 8;
	uint64_t sp = c->regs.gpr[PG_RSP], v = c->regs.rflags;
	if (!pg_va_is_canonical((pg_va){sp}, n))
		return PG_COMPLEX_SS;
	if (!port_copy(c, sp, &v, n, false))
		return PG_COMPLEX_FAULT;
	uint64_t mask = n == 2 ? POPF_MASK & 0xffff : POPF_MASK;
	c->regs.rflags = (c->regs.rflags & ~mask) | (v & mask) | 0x202;
	c->regs.gpr[PG_RSP] = sp + n;
	c->regs.rip += x->insn.length;
	return PG_COMPLEX_DONE;
}

static enum pg_complex_result run_set_df(struct pg_cpu *c, const struct pg_complex_row *x)
{
	const uint64_t df = 0x400;
	c->regs.rflags = (c->regs.rflags & ~df) | (x->insn.mnemonic == ZYDIS_MNEMONIC_STD ? df : 0);
	c->regs.rip += x->insn.length;
	return PG_COMPLEX_DONE;
}

enum pg_turn pg_leave_complex(struct pg_cpu *c)
{
	struct pg_engine *e = c->engine;
	const struct pg_complex_row *x = pg_complex_at(e, c->site);
	struct pg_block *b = pg_block_at(e, x->block);
	const struct pg_access_port port = {c, port_resolve, port_count, port_stable};
	uint64_t next = x->rip + x->insn.length;

	pg_recover_flags(c, (enum pg_flags_at)pg_row_at(e, b->rows + x->row)->flags);
	c->regs.rip = x->rip;
	c->smc = false;
	enum pg_complex_result r;
	for (;;) {
		c->port_lookups = 0;
		if (x->kind == K_PUSHF)
			r = run_pushf(c, x);
		else if (x->kind == K_POPF)
			r = run_popf(c, x);
		else if (x->kind == K_SET_DF)
			r = run_set_df(c, x);
		else
			r = pg_complex_run(&c->regs, &port, &x->insn, x->ops);
		c->adj_lookups += e->config.fast ? 0 : (int64_t)c->port_lookups;
		if (r != PG_COMPLEX_AGAIN || *c->asked || (c->regs.rflags & 0x100))
			break;
	}
	switch (r) {
	case PG_COMPLEX_DONE:
		c->adj_insns += !e->config.fast;
		break;
	case PG_COMPLEX_AGAIN:
		pg_uncount(c, b, x->row);
		return TURN_NEXT;
	case PG_COMPLEX_FAULT:
		pg_uncount(c, b, x->row);
		return TURN_EXIT;
	case PG_COMPLEX_GP:
		pg_uncount(c, b, x->row);
		return pg_exit_with(c, PG_EXIT_GP);
	case PG_COMPLEX_SS:
		pg_uncount(c, b, x->row);
		return pg_exit_with(c, PG_EXIT_SS);
	case PG_COMPLEX_FP:
		pg_uncount(c, b, x->row);
		return pg_exit_with(c, PG_EXIT_FP);
	case PG_COMPLEX_ILLEGAL:
		pg_uncount(c, b, x->row);
		return pg_exit_with(c, PG_EXIT_ILLEGAL);
	case PG_COMPLEX_BREAKPOINT:
		pg_uncount(c, b, x->row);
		return pg_exit_with(c, PG_EXIT_BREAKPOINT);
	case PG_COMPLEX_UNSUPPORTED:
		pg_uncount(c, b, x->row);
		return pg_exit_with(c, PG_EXIT_UNSUPPORTED);
	}
	bool wild = e->config.fast && c->regs.fs_base >= c->top;
	if (c->smc || c->regs.rip != next || b->temporary || x->kind == K_POPF || wild) {
		/* Counts behind this instruction in its segment did not happen here. */
		if (x->row + 1u < b->n_rows && pg_row_at(e, b->rows + x->row + 1)->segment ==
						       pg_row_at(e, b->rows + x->row)->segment)
			pg_uncount(c, b, x->row + 1u);
		return TURN_NEXT;
	}
	pg_load_flags(c);
	c->target = (uint64_t)(uintptr_t)x->resume;
	return TURN_GO_ON;
}
