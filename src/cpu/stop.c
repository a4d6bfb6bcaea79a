/* SPDX-License-Identifier: MIT */
/*
 * cpu/stop.c: fast mode: how translated code is made to stop, soon and at a place where the state is precise.
 *
 * Called by traps.c and run.c. Translated code of fast mode asks nothing while it runs. Who wants it to stop takes the right to execute
 * away from all of it (pg_stop_close). The thread that runs traps at once, wherever it is, and gives the right back; if it was meant, the
 * block in which it stands (and, if that is a fragment, the one that it goes on in) is changed so that all its ways out lead to run.c, which finds the request.
 *
 *     exits          point at their cold code again, as before they were linked; each is linked again when it is taken next
 *     the last jump  leads to stub_leave_indirect until run.c enters code next (pg_stop_undo)
 *
 * Between blocks (a thunk, cold code) nothing can be changed: the host executes single instructions until it comes to a block or to C. In C
 * the request may have been looked at already, so the code is closed again.
 *
 * Invariants:
 *   1. Whoever enters or comes back to translated code while a request is unseen finds it closed, or stands in a block that was changed.
 *   2. One thread at a time executes translated code (the machine lock), so no other executes what is changed.
 */
#include "cpu/cpu.h"

#include <sys/mman.h>

/* The mapping is one for itself (code.c), so this needs no memory. */
static void protect(struct pg_engine *e, int prot)
{
	size_t bytes = (size_t)((uint8_t *)e->counters - e->code_start);
	PG_ASSERT(mprotect(e->code_start, bytes, prot) == 0);
}

void pg_stop_close(struct pg_engine *e)
{
	protect(e, PROT_READ | PROT_WRITE);
}

void pg_stop_undo(struct pg_engine *e)
{
	if (!e->stopped)
		return;
	struct pg_emit was = e->emit;
	e->emit = (struct pg_emit){.p = e->stopped, .end = e->stopped + PG_JUMP_BYTES};
	pg_emit_jump_table(e);
	e->emit = was;
	e->stopped = NULL;
}

/* The direct ways out of b lead to their cold code. */
static void lead_out(struct pg_engine *e, const struct pg_block *b)
{
	for (uint32_t i = b->exits; i < b->exits + b->n_exits; i++) {
		const struct pg_exit_row *x = pg_exit_at(e, i);
		if (x->patch)
			e_patch(x->patch, x->cold);
	}
}

uint64_t pg_stop_here(struct pg_cpu *c, uint64_t pc)
{
	struct pg_engine *e = c->engine;
	const uint8_t *p = (const uint8_t *)(uintptr_t)pc;
	/* A further request may have closed it between two steps. */
	protect(e, PROT_READ | PROT_WRITE | PROT_EXEC);
	e->stepping = false;
	if (!*c->asked)
		return pc;
	if (p < e->code_start || p >= (const uint8_t *)e->counters) {
		pg_stop_close(e);
		return pc;
	}
	const struct pg_block *b = pg_code_block_at(e, p);
	if (!b || p < b->body || p >= b->end) { /* not in a block's instructions */
		e->stepping = true;
		return pc;
	}
	lead_out(e, b);
	if (b->whole != PG_NIL && !b->jumps) {
		b = pg_block_at(e, b->whole);
		lead_out(e, b);
	}
	if (!b->jumps)
		return pc;
	pg_stop_undo(e);
	uint8_t *jump = b->end - PG_JUMP_BYTES;
	if (p > jump && p < b->end)
		return (uint64_t)(uintptr_t)e->stub_leave_indirect;
	e->stopped = jump;
	struct pg_emit m = {.p = jump, .end = b->end};
	e_jmp(&m, e->stub_leave_indirect);
	return pc;
}
