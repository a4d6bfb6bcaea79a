/* SPDX-License-Identifier: MIT */
/*
 * cpu/stubs.c: the fixed pieces of host code: in, out, and the quick calls of slow.c.
 *
 * Made once per engine at the start of the code cache. Called by run.c (enter) and jumped to by
 * translated code.
 *
 * Two ways out of translated code:
 *   quick   for a check that failed: looks at the set's second mirror, exchanges it with the first if that is the
 *           one (mmu/tlb.h), and goes on; else saves the registers that a C function may change, calls a
 *           function of slow.c that was compiled without vector registers, and goes on;
 *   leave   saves all general registers, EFLAGS and the vector state, and returns from `enter` to run.c.
 */
#include "cpu/translate.h"

static const uint8_t caller_saved[] = {H_RAX, H_RCX, H_RDX, H_RSI, H_RDI, H_R8};
static const uint8_t callee_kept[] = {H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15};

static void emit_leave(struct pg_engine *e, enum pg_leave why)
{
	e_gs_store_imm32(&e->emit, ST(leave), why);
	e_jmp(&e->emit, e->stub_leave);
}

enum quick_args { ARGS_ACCESS, ARGS_FETCH, ARGS_INDIRECT };

/* Saves what C may change (the stolen registers, too: they hold an address, fast mode's constant, what push is to store), calls fn, restores it; the flags tell whether fn returned 0. */
static void emit_quick_call(struct pg_engine *e, const void *fn, enum quick_args args)
{
	struct pg_emit *m = &e->emit;
	for (unsigned i = 0; i < sizeof(caller_saved); i++)
		e_gs_store(m, caller_saved[i], ST_GPR(caller_saved[i]));
	for (unsigned i = 0; i < 3; i++)
		e_gs_store(m, SA + i, ST(tmp_scratch) + 8 * (int32_t)i);
	e_gs_load(m, H_RDI, ST(self));
	switch (args) {
	case ARGS_ACCESS: /* SA, the record behind the call */
		e_op_mem(m, 0x8b, H_RDX, H_RSP, H_NONE, 1, 0);
		e_lea(m, H_RDX, H_RDX, H_NONE, 1, PG_COLD_ID);
		e_mov_rr(m, H_RSI, SA);
		break;
	case ARGS_FETCH: /* the record behind the call */
		e_op_mem(m, 0x8b, H_RSI, H_RSP, H_NONE, 1, 0);
		e_lea(m, H_RSI, H_RSI, H_NONE, 1, PG_COLD_ID);
		break;
	case ARGS_INDIRECT: /* jumped to, on the guest's stack */
		e_gs_store(m, H_RSP, ST_GPR(H_RSP));
		e_gs_load(m, H_RSP, ST(host_sp));
		e_mov_rr(m, H_RSI, SA);
		break;
	}
	e_mov_imm(m, H_RAX, (uint64_t)(uintptr_t)fn);
	ebytes(m, (const uint8_t[]){0xff, 0xd0, 0x85, 0xc0}, 4); /* call rax; test eax, eax */
	for (unsigned i = 0; i < sizeof(caller_saved); i++)
		e_gs_load(m, caller_saved[i], ST_GPR(caller_saved[i]));
	for (unsigned i = 0; i < 3; i++)
		e_gs_load(m, SA + i, ST(tmp_scratch) + 8 * (int32_t)i);
}

/* To the thunk of the guest address in SA: see control.c. */
void pg_emit_jump_table(struct pg_engine *e)
{
	struct pg_emit *m = &e->emit;

	ebytes(m, (const uint8_t[]){0x45, 0x0f, 0xb7, 0xd9}, 4); /* movzx r11d, r9w */
	e8(m, 0x65);
	e8(m, e_rex(false, 4, SC, H_NONE));
	e8(m, 0xff);
	e_mem(m, 4, H_NONE, SC, 8, e->off_jump);
}

/* Exact mode: which exit the indirect jump is, from SB to `site`. */
static void emit_site(struct pg_engine *e)
{
	if (e->config.fast)
		return;
	e8(&e->emit, 0x65);
	e_op_mem32(&e->emit, 0x89, SB, H_NONE, H_NONE, 1, ST(site));
}

/* jmp gs:[target] */
static void emit_jmp_target(struct pg_emit *m)
{
	e8(m, 0x65);
	e8(m, 0xff);
	e_mem(m, 4, H_NONE, H_NONE, 1, ST(target));
}

/* vmovdqu64 between ymm16, ymm17 and their places in the state. */
static void emit_counts(struct pg_engine *e, bool load)
{
	struct pg_emit *m = &e->emit;
	unsigned opcode = load ? 0x6f : 0x7f;
	if (!e->vector_counts)
		return;
	for (unsigned i = 0; i < 2; i++) {
		ebytes(m, (const uint8_t[]){0x65, 0x62, 0xe1, 0xfe, 0x28}, 5);
		e8(m, opcode);
		ebytes(m, (const uint8_t[]){(uint8_t)(0x04 | i << 3), 0x25}, 2);
		e32(m, (uint32_t)(ST(count) + (int32_t)(i * PG_COUNT_COMMON * sizeof(uint64_t))));
	}
}

/* Exchanges the mirror at gs:[SB + at] with its second. */
static void emit_exchange(struct pg_engine *e, int32_t at)
{
	struct pg_emit *m = &e->emit;
	int32_t second = at + e->to_second;
	if (e->vector_counts) {
		/* vmovdqu64 ymm18, gs:[r10 + at]; ymm19, gs:[r10 + second]; and back the other way round */
		for (unsigned i = 0; i < 4; i++) {
			ebytes(m, (const uint8_t[]){0x65, 0x62, 0xc1, 0xfe, 0x28}, 5);
			e8(m, i < 2 ? 0x6f : 0x7f);
			e8(m, i & 1 ? 0x9a : 0x92);
			e32(m, (uint32_t)(i == 0 || i == 3 ? at : second));
		}
		return;
	}
	e_gs_store(m, H_RAX, ST_GPR(H_RAX));
	e_gs_store(m, H_RCX, ST_GPR(H_RCX));
	for (int32_t i = 0; i < (int32_t)sizeof(struct pg_tlb_fast); i += 8) {
		e_op_gs_index(m, 0x8b, H_RAX, SB, at + i);
		e_op_gs_index(m, 0x8b, H_RCX, SB, second + i);
		e_op_gs_index(m, 0x89, H_RAX, SB, second + i);
		e_op_gs_index(m, 0x89, H_RCX, SB, at + i);
	}
	e_gs_load(m, H_RCX, ST_GPR(H_RCX));
	e_gs_load(m, H_RAX, ST_GPR(H_RAX));
}

/* Behind an exchange: to the way through C if an interrupt came meanwhile, else it counts. Returns the jump's place. */
static uint8_t *emit_exchanged(struct pg_engine *e, unsigned which)
{
	struct pg_emit *m = &e->emit;
	ebytes(m, (const uint8_t[]){0x65, 0x83}, 2); /* cmp dword gs:[interrupt], 0 */
	e_mem(m, 7, H_NONE, H_NONE, 1, ST(interrupt));
	e8(m, 0);
	uint8_t *at = e_jcc(m, CC_NE, NULL);
	ebytes(m, (const uint8_t[]){0x65, 0x48, 0x83}, 3); /* add qword gs:[exchanged], 1 */
	e_mem(m, 0, H_NONE, H_NONE, 1, ST(exchanged) + 8 * (int32_t)which);
	e8(m, 1);
	return at;
}

/*
 * A failed data check, called from cold code, which has asked the second mirror: SA = address + its tag, and is the address afterwards; SB = its set's
 * place among the mirrors; above: it does not allow the access.
 */
static uint8_t *make_second(struct pg_engine *e, bool store)
{
	struct pg_emit *m = &e->emit;
	uint8_t *start = m->p;
	int32_t tag = pg_tag_at(e, store);
	uint8_t *miss = e_jcc(m, CC_A, NULL);
	emit_exchange(e, e->off_fast_d);
	uint8_t *interrupted = emit_exchanged(e, 0);
	e_op_gs_index(m, 0x2b, SA, SB, tag);
	e8(m, 0xc3);
	e_patch(interrupted, m->p); /* the tag that was added is the first mirror's now */
	e_op_gs_index(m, 0x2b, SA, SB, tag);
	e_jmp(m, e->stub_access);
	e_patch(miss, m->p);
	e_op_gs_index(m, 0x2b, SA, SB, tag + e->to_second);
	e_jmp(m, e->stub_access);
	return start;
}

/*
 * A failed shared check, called from cold code: SA = address, and stays so; SB = its set's place among the mirrors; SC = its measure
 * (pg_group_measure). If the group lies across two pages, each of them the most recently used of its set, and no member across both, then all members hit
 * and change nothing.
 */
static uint8_t *make_group(struct pg_engine *e, bool store)
{
	struct pg_emit *m = &e->emit;
	uint8_t *start = m->p, *miss[4];
	int32_t tag = pg_tag_at(e, store);
	e_gs_store(m, H_RAX, ST_GPR(H_RAX));
	ebytes(m, (const uint8_t[]){0x41, 0x0f, 0xb7, 0xc3}, 4); /* movzx eax, r11w */
	ebytes(m, (const uint8_t[]){0x41, 0xc1, 0xeb, 16}, 4);   /* shr r11d, 16 */
	e_lea(m, H_RAX, H_RAX, SA, 1, 0);                        /* of its last byte */
	ebytes(m, (const uint8_t[]){0x45, 0x21, 0xcb}, 3);       /* and r11d, r9d */
	e_gs_store(m, SC, ST(scratch));
	e_mov_rr(m, SC, H_RAX);
	ebytes(m, (const uint8_t[]){0x4d, 0x31, 0xcb}, 3); /* xor r11, r9 */
	e_cmp_imm(m, SC, PG_PAGE_SIZE);
	uint8_t *across = e_jcc(m, CC_AE, NULL);
	e_op_gs_index(m, 0x03, H_RAX, SB, tag + e->to_second);
	e_cmp_imm(m, H_RAX, PG_PAGE_SIZE);
	miss[0] = e_jcc(m, CC_AE, NULL);
	e_gs_load(m, H_RAX, ST_GPR(H_RAX));
	emit_exchange(e, e->off_fast_d);
	uint8_t *interrupted = emit_exchanged(e, 0);
	e8(m, 0xc3);
	e_patch(across, m->p);
	e_gs_load(m, SC, ST(scratch));
	ebytes(m, (const uint8_t[]){0x45, 0x85, 0xdb}, 3); /* test r11d, r11d */
	miss[1] = e_jcc(m, CC_NE, NULL);
	e_mov_rr(m, SC, SA);
	e_op_gs_index(m, 0x03, SC, SB, tag);
	e_cmp_imm(m, SC, PG_PAGE_SIZE);
	miss[2] = e_jcc(m, CC_AE, NULL);
	e_lea(m, SB, SB, H_NONE, 1, sizeof(struct pg_tlb_fast));
	pg_emit_mask_set(e, m, SB);
	e_op_gs_index(m, 0x03, H_RAX, SB, tag);
	e_cmp_imm(m, H_RAX, PG_PAGE_SIZE);
	miss[3] = e_jcc(m, CC_AE, NULL);
	e_gs_load(m, H_RAX, ST_GPR(H_RAX));
	e8(m, 0xc3);
	for (unsigned i = 0; i < 4; i++)
		e_patch(miss[i], m->p);
	e_gs_load(m, H_RAX, ST_GPR(H_RAX));
	e_patch(interrupted, m->p);
	e_jmp(m, e->stub_access);
	return start;
}

/* A failed fetch check of a block in one page, called from cold code: SB as above; equal: the second mirror has it. Goes on as stub_fetch does. */
static uint8_t *make_second_fetch(struct pg_engine *e)
{
	struct pg_emit *m = &e->emit;
	uint8_t *start = m->p;
	uint8_t *miss = e_jcc(m, CC_NE, NULL);
	emit_exchange(e, e->off_fetch);
	uint8_t *interrupted = emit_exchanged(e, 1);
	e8(m, 0xc3);
	e_patch(miss, m->p);
	e_patch(interrupted, m->p);
	e_jmp(m, e->stub_fetch);
	return start;
}

static void make_leave(struct pg_engine *e)
{
	struct pg_emit *m = &e->emit;
	e->stub_leave = m->p;
	e_gs_store(m, H_RSP, ST_GPR(H_RSP));
	e_gs_load(m, H_RSP, ST(host_sp));
	e8(m, 0x9c); /* pushfq; pop gs:[host_flags] */
	e8(m, 0x65);
	e8(m, 0x8f);
	e_mem(m, 0, H_NONE, H_NONE, 1, ST(host_flags));
	for (unsigned i = 0; i < sizeof(caller_saved); i++)
		e_gs_store(m, caller_saved[i], ST_GPR(caller_saved[i]));
	for (unsigned i = 0; i < sizeof(callee_kept); i++)
		e_gs_store(m, callee_kept[i], ST_GPR(callee_kept[i]));
	for (unsigned i = 0; i < 3; i++)
		e_gs_store(m, SA + i, ST(scratch) + 8 * (int32_t)i);
	emit_counts(e, false);
	/* xsave64 [rcx] with x87, SSE, AVX; then the host's own floating-point environment. */
	e_gs_load(m, H_RCX, ST(x_addr));
	e_mov_imm(m, H_RAX, 7);
	ebytes(m, (const uint8_t[]){0x31, 0xd2}, 2);             /* xor edx, edx */
	ebytes(m, (const uint8_t[]){0x48, 0x0f, 0xae, 0x21}, 4); /* xsave64 [rcx] */
	ebytes(m, (const uint8_t[]){0xdb, 0xe3}, 2);             /* fninit */
	e8(m, 0x65);                                             /* ldmxcsr gs:[mxcsr_host] */
	e8(m, 0x0f);
	e8(m, 0xae);
	e_mem(m, 2, H_NONE, H_NONE, 1, ST(mxcsr_host));
	ebytes(m, (const uint8_t[]){0xc5, 0xf8, 0x77}, 3); /* vzeroupper */
	e8(m, 0xfc);                                       /* cld */
	e8(m, 0x65);                                       /* mov eax, gs:[leave] */
	e_op_mem32(m, 0x8b, H_RAX, H_NONE, H_NONE, 1, ST(leave));
	ebytes(m, (const uint8_t[]){0x48, 0x83, 0xc4, 0x08}, 4); /* add rsp, 8 */
	ebytes(m,
		(const uint8_t[]){0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3},
		11); /* pop r15 r14 r13 r12 rbp rbx; ret */
}

static void make_enter(struct pg_engine *e)
{
	struct pg_emit *m = &e->emit;
	e->stub_enter = m->p;
	ebytes(m, (const uint8_t[]){0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57},
		10);                                             /* push rbx rbp r12 r13 r14 r15 */
	ebytes(m, (const uint8_t[]){0x48, 0x83, 0xec, 0x08}, 4); /* sub rsp, 8 */
	e_gs_store(m, H_RSP, ST(host_sp));
	e_lea(m, H_RAX, H_RSP, H_NONE, 1, -8);
	e_gs_store(m, H_RAX, ST(quick_sp));
	e_gs_load(m, H_RCX, ST(x_addr));
	e_mov_imm(m, H_RAX, 7);
	ebytes(m, (const uint8_t[]){0x31, 0xd2}, 2);
	ebytes(m, (const uint8_t[]){0x48, 0x0f, 0xae, 0x29}, 4); /* xrstor64 [rcx] */
	emit_counts(e, true);
	e8(m, 0x65); /* push gs:[host_flags]; popfq */
	e8(m, 0xff);
	e_mem(m, 6, H_NONE, H_NONE, 1, ST(host_flags));
	e8(m, 0x9d);
	for (unsigned i = 0; i < 3; i++)
		e_gs_load(m, SA + i, ST(scratch) + 8 * (int32_t)i);
	for (unsigned i = 0; i < sizeof(callee_kept); i++)
		e_gs_load(m, callee_kept[i], ST_GPR(callee_kept[i]));
	for (unsigned i = 0; i < sizeof(caller_saved); i++)
		e_gs_load(m, caller_saved[i], ST_GPR(caller_saved[i]));
	e_gs_load(m, H_RSP, ST_GPR(H_RSP));
	emit_jmp_target(m);
}

void pg_stubs_make(struct pg_engine *e)
{
	struct pg_emit *m = &e->emit;
	make_leave(e);
	make_enter(e);

	/* A failed data check, called from cold code: SA = address, and stays so. Returns to go on with the operation. */
	e->stub_leave_access = m->p;
	emit_leave(e, LEAVE_ACCESS);
	uint8_t *other = m->p;
	e_gs_load(m, H_RSP, ST_GPR(H_RSP));
	emit_jmp_target(m);
	e->stub_access = m->p;
	emit_quick_call(e, (const void *)pg_slow_access, ARGS_ACCESS);
	e_jcc(m, CC_NE, other);
	e8(m, 0xc3);
	e->stub_alt =
		m->p; /* the page is not in the view: scratch is SA, and where the operation is on gs:[SA] */
	e_gs_load(m, SA, ST(scratch));
	e8(m, 0x65); /* jmp gs:[scratch + 8] */
	e8(m, 0xff);
	e_mem(m, 4, H_NONE, H_NONE, 1, ST(scratch) + 8);

	/* A failed fetch check, called from cold code. */
	uint8_t *leave_fetch = m->p;
	e_gs_load(m, H_RSP, ST_GPR(H_RSP));
	emit_leave(e, LEAVE_FETCH);
	e->stub_fetch = m->p;
	emit_quick_call(e, (const void *)pg_slow_fetch, ARGS_FETCH);
	e_jcc(m, CC_NE, leave_fetch);
	e8(m, 0xc3);

	if (e->second_d) {
		e->stub_load = make_second(e, false);
		e->stub_store = make_second(e, true);
		e->stub_group_load = make_group(e, false);
		e->stub_group_store = make_group(e, true);
	}
	if (e->second_fetch)
		e->stub_fetch_one = make_second_fetch(e);

	/* A check that kept the flags in rax failed, its group goes on elsewhere: gives them back first. */
	e->stub_flags_back = m->p;
	ebytes(m, (const uint8_t[]){0x04, 0x7f, 0x9e}, 3); /* add al, 127; sahf */
	e_gs_load(m, H_RAX, ST(tmp_rax));
	e8(m, 0x65); /* jmp gs:[scratch] */
	e8(m, 0xff);
	e_mem(m, 4, H_NONE, H_NONE, 1, ST(scratch));

	/* An indirect jump whose table slot is empty or another's: SA = guest target, exact mode: SB = exit, flags in MEM. */
	uint8_t *leave_indirect = e->stub_leave_indirect = m->p;
	emit_leave(e, LEAVE_INDIRECT);
	e->stub_indirect = m->p;
	emit_site(e);
	emit_quick_call(e, (const void *)pg_slow_indirect, ARGS_INDIRECT);
	e_gs_load(m, H_RSP, ST_GPR(H_RSP));
	e_jcc(m, CC_NE, leave_indirect);
	emit_jmp_target(m);

	/* A transfer that somebody is told of: noted, and on as an indirect jump, or out. SA = guest target, SB as above, flags in MEM. */
	e->stub_tell = m->p;
	emit_site(e);
	emit_counts(e, false);
	emit_quick_call(e, (const void *)pg_slow_tell, ARGS_INDIRECT);
	e_gs_load(m, H_RSP, ST_GPR(H_RSP));
	e_jcc(m, CC_NE, leave_indirect);
	pg_emit_jump_table(e);

	e->stub_chain = m->p;
	emit_leave(e, LEAVE_CHAIN);
	e->stub_commit = m->p;
	emit_leave(e, LEAVE_COMMIT);
	e->stub_trap = m->p;
	emit_leave(e, LEAVE_TRAP);
	e->code_start = m->p;
}
