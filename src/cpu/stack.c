/* SPDX-License-Identifier: MIT */
/*
 * cpu/stack.c: emitting push, pop and leave.
 *
 * Called by translate.c. Each is an access at rsp (leave: at rbp) as access.c makes them, and a change of rsp by lea, which keeps the flags. The
 * register changes behind the last check, so a fault finds the state before the instruction. call and ret are in control.c.
 */
#include "cpu/translate.h"

void pg_emit_push(struct pg_translator *tr, struct pg_insn *in)
{
	struct pg_emit *m = pg_tr_out(tr);
	const ZydisDecodedOperand *op = &in->ops[0];
	bool narrow = in->zi.operand_width == 16;
	unsigned size = narrow ? 2 : 8, prefix = narrow ? 0x66 : 0, nth = 0;
	if (in->mem >= 0) {
		uint64_t constant = 0;
		bool known = pg_emit_address(tr, in, 0, &constant);
		struct pg_site *s =
			pg_emit_check(tr, in, nth++, size, PG_READ, known ? &constant : NULL);
		pg_emit_operand(tr, 0x8b, SC, !narrow, prefix);
		pg_emit_check_end(tr, s);
		if (pg_tr_fast(tr)) /* the second probe wants SC */
			e_gs_store(m, SC, ST(tmp_rcx));
	}
	pg_emit_stack_address(tr, in, -(int32_t)size);
	struct pg_site *s = pg_emit_check(tr, in, nth, size, PG_WRITE, NULL);
	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		pg_emit_store_imm(tr, (uint32_t)op->imm.value.s, narrow);
	} else if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		unsigned r = pg_gpr_of(op->reg.value);
		for (unsigned n = 0; pg_is_stolen(r) && pg_emit_pass(tr, n); n++) {
			if (pg_tr_fast(tr))
				pg_emit_guest(tr, SC, r);
			else
				e_gs_load(pg_emit_pass(tr, n), SC, ST_GPR(r));
		}
		if (pg_is_stolen(r))
			r = SC;
		pg_emit_operand(tr, 0x89, r, !narrow, prefix);
	} else {
		if (pg_tr_fast(tr))
			e_gs_load(m, SC, ST(tmp_rcx));
		pg_emit_operand(tr, 0x89, SC, !narrow, prefix);
	}
	pg_emit_check_end(tr, s);
	e_lea(m, H_RSP, H_RSP, H_NONE, 1, -(int32_t)size);
}

void pg_emit_pop(struct pg_translator *tr, struct pg_insn *in)
{
	struct pg_emit *m = pg_tr_out(tr);
	const ZydisDecodedOperand *op = &in->ops[0];
	bool narrow = in->zi.operand_width == 16, fast = pg_tr_fast(tr);
	unsigned size = narrow ? 2 : 8, prefix = narrow ? 0x66 : 0;
	pg_emit_stack_address(tr, in, 0);
	struct pg_site *s = pg_emit_check(tr, in, 0, size, PG_READ, NULL);
	if (in->mem >= 0) {
		pg_emit_operand(tr, 0x8b, SC, !narrow, prefix);
		pg_emit_check_end(tr, s);
		if (fast)
			e_gs_store(m, SC, ST(tmp_rcx));
		pg_operand_default(tr);
		uint64_t constant = 0;
		bool known = pg_emit_address(tr, in, (int32_t)size, &constant);
		s = pg_emit_check(tr, in, 1, size, PG_WRITE, known ? &constant : NULL);
		if (fast)
			e_gs_load(m, SC, ST(tmp_rcx));
		pg_emit_operand(tr, 0x89, SC, !narrow, prefix);
		pg_emit_check_end(tr, s);
		e_lea(m, H_RSP, H_RSP, H_NONE, 1, (int32_t)size);
		return;
	}
	unsigned r = pg_gpr_of(op->reg.value);
	if (r == H_RSP || pg_is_stolen(r)) {
		pg_emit_operand(tr, 0x8b, SC, !narrow, prefix);
		pg_emit_check_end(tr, s);
		e_lea(m, H_RSP, H_RSP, H_NONE, 1, (int32_t)size);
		if (narrow && pg_is_stolen(r)) { /* mov word gs:[r], SC */
			e8(m, 0x65);
			e8(m, 0x66);
			e_op_mem32(m, 0x89, SC, H_NONE, H_NONE, 1, ST_GPR(r));
		} else if (pg_is_stolen(r)) {
			e_gs_store(m, SC, ST_GPR(r));
		} else if (narrow) {
			ebytes(m, (const uint8_t[]){0x66, 0x44, 0x89, 0xdc}, 4); /* mov sp, r11w */
		} else {
			e_mov_rr(m, H_RSP, SC);
		}
		return;
	}
	pg_emit_operand(tr, 0x8b, r, !narrow, prefix);
	pg_emit_check_end(tr, s);
	e_lea(m, H_RSP, H_RSP, H_NONE, 1, (int32_t)size);
}

void pg_emit_leave(struct pg_translator *tr, struct pg_insn *in)
{
	struct pg_emit *m = pg_tr_out(tr);
	bool narrow = in->zi.operand_width == 16;
	unsigned size = narrow ? 2 : 8;
	e_mov_rr(m, SA, H_RBP);
	if (!pg_tr_fast(tr))
		pg_operand_set(tr, H_RBP, H_NONE, 1, 0, false);
	struct pg_site *s = pg_emit_check(tr, in, 0, size, PG_READ, NULL);
	pg_emit_operand(tr, 0x8b, SC, !narrow, narrow ? 0x66 : 0);
	pg_emit_check_end(tr, s);
	e_lea(m, H_RSP, H_RBP, H_NONE, 1, (int32_t)size);
	if (narrow)
		ebytes(m, (const uint8_t[]){0x66, 0x44, 0x89, 0xdd}, 4); /* mov bp, r11w */
	else
		e_mov_rr(m, H_RBP, SC);
}
