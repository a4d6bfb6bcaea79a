/* SPDX-License-Identifier: MIT */
/*
 * cpu/control.c: emitting transfers of control, and the ways out of translated code.
 *
 * Called by translate.c. A direct transfer is a jump that run.c points at its target's block once that
 * exists. An indirect one goes through the CPU's jump table, indexed by the low 16 bits of the guest
 * address; the slot holds a thunk that compares the whole address (code.c). Before an indirect jump the flags are always in
 * flags_mem, since the target is not known; a thunk fetches them from there if its block wants them.
 */
#include "cpu/fast.h"
#include "cpu/translate.h"

void pg_emit_exit(struct pg_translator *tr, uint64_t target)
{
	uint8_t *at = e_jmp(pg_tr_out(tr), NULL);
	pg_cold_exit(tr, at, target, tr->saved ? FLAGS_MEM : FLAGS_EFLAGS);
}

/* The transfer of exit record x is to be told, if anybody listens: True if so. */
static bool is_told(struct pg_translator *tr, uint32_t x, enum pg_transfer how, int32_t rsp_undo)
{
	struct pg_exit_row *row = pg_exit_at(tr->e, x);
	row->rsp_undo = rsp_undo;
	if (!tr->e->config.transferred || how == PG_TRANSFER_NONE)
		return false;
	row->transfer = (uint8_t)how;
	return true;
}

/* SA = guest address. */
static void emit_indirect(struct pg_translator *tr, enum pg_transfer how, int32_t rsp_undo)
{
	struct pg_emit *m = pg_tr_out(tr);
	pg_emit_save_flags(tr);
	uint32_t x = pg_exit_record(tr, 0, FLAGS_MEM);
	bool told = is_told(tr, x, how, rsp_undo);
	/* LEAVE_INDIRECT finds it at `site`: in exact mode the stub puts it there, since few jumps come to it. */
	if (pg_tr_fast(tr) || tr->temporary)
		e_gs_store_imm32(m, ST(site), x);
	else
		e_mov_imm(m, SB, x);
	if (tr->temporary) {
		e_gs_store_imm32(m, ST(leave), LEAVE_INDIRECT);
		e_jmp(m, tr->e->stub_leave);
	} else if (told) {
		e_jmp(m, tr->e->stub_tell);
	} else {
		pg_emit_jump_table(tr->e);
		tr->b->jumps = true;
	}
}

/* The push of a call: the return address below rsp. */
static void emit_push_return(struct pg_translator *tr, struct pg_insn *in, unsigned nth)
{
	uint64_t ret = in->rip + in->length;
	pg_operand_default(tr);
	pg_emit_stack_address(tr, in, -8);
	struct pg_site *s = pg_emit_check(tr, in, nth, 8, PG_WRITE, NULL);
	if ((int64_t)ret == (int32_t)ret) {
		pg_emit_store_imm(tr, (uint32_t)ret, false);
	} else {
		for (unsigned n = 0; pg_emit_pass(tr, n); n++)
			e_mov_imm(pg_emit_pass(tr, n), SC, ret);
		pg_emit_operand(tr, 0x89, SC, true, 0);
	}
	pg_emit_check_end(tr, s);
}

static void emit_call_indirect(struct pg_translator *tr, struct pg_insn *in)
{
	struct pg_emit *m = pg_tr_out(tr);
	unsigned nth = 0;
	if (in->mem >= 0) {
		uint64_t constant = 0;
		bool known = pg_emit_address(tr, in, 0, &constant);
		struct pg_site *s =
			pg_emit_check(tr, in, nth++, 8, PG_READ, known ? &constant : NULL);
		pg_emit_operand(tr, 0x8b, SC, true, 0);
		pg_emit_check_end(tr, s);
		e_gs_store(m, SC, ST(tmp_rcx));
	}
	emit_push_return(tr, in, nth);
	if (in->mem >= 0)
		e_gs_load(m, SA, ST(tmp_rcx));
	else
		pg_emit_register_to(tr, SA, in->ops[0].reg.value);
	e_lea(m, H_RSP, H_RSP, H_NONE, 1, -8);
	emit_indirect(tr, PG_TRANSFER_CALL, 8);
}

/* jrcxz and loop have 8-bit displacements only: around a long jump. */
static void emit_loop(struct pg_translator *tr, struct pg_insn *in)
{
	struct pg_emit *m = pg_tr_out(tr);
	ebytes(m, in->bytes, in->length - 1u);
	e8(m, 2);
	ebytes(m, (const uint8_t[]){0xeb, 0x05}, 2);
	uint8_t *at = e_jmp(m, NULL);
	pg_cold_exit(tr, at, pg_branch_target(in), tr->saved ? FLAGS_MEM : FLAGS_EFLAGS);
}

void pg_emit_control(struct pg_translator *tr, struct pg_insn *in)
{
	struct pg_emit *m = pg_tr_out(tr);
	uint64_t constant = 0;
	struct pg_site *s;
	if (in->kind == K_JMP || in->kind == K_JCC || in->kind == K_LOOP || in->kind == K_JMP_IND)
		pg_fast_boundary(tr, in->rip, !in->hard && tr->saved);
	switch ((enum pg_kind)in->kind) {
	case K_JMP:
		pg_emit_exit(tr, pg_branch_target(in));
		break;
	case K_JCC:
		s = NULL;
		uint8_t *at = e_jcc(m, in->zi.opcode & 15u, NULL);
		pg_cold_exit(tr, at, pg_branch_target(in), FLAGS_EFLAGS);
		break;
	case K_LOOP:
		emit_loop(tr, in);
		break;
	case K_CALL:
		emit_push_return(tr, in, 0);
		e_lea(m, H_RSP, H_RSP, H_NONE, 1, -8);
		if (!tr->e->config.transferred) {
			pg_emit_exit(tr, pg_branch_target(in));
			break;
		}
		e_mov_imm(m, SA, pg_branch_target(in));
		emit_indirect(tr, PG_TRANSFER_CALL, 8);
		break;
	case K_CALL_IND:
		emit_call_indirect(tr, in);
		break;
	case K_JMP_IND:
		if (in->mem >= 0) {
			bool known = pg_emit_address(tr, in, 0, &constant);
			s = pg_emit_check(tr, in, 0, 8, PG_READ, known ? &constant : NULL);
			pg_emit_operand(tr, 0x8b, SA, true, 0);
			pg_emit_check_end(tr, s);
		} else {
			pg_emit_register_to(tr, SA, in->ops[0].reg.value);
		}
		/* a procedure linkage table jumps through a word at a distance from the code */
		emit_indirect(tr,
			in->mem >= 0 && in->ops[in->mem].mem.base == ZYDIS_REGISTER_RIP
				? PG_TRANSFER_JUMP
				: PG_TRANSFER_NONE,
			0);
		break;
	default: /* K_RET */
		pg_emit_stack_address(tr, in, 0);
		s = pg_emit_check(tr, in, 0, 8, PG_READ, NULL);
		pg_emit_operand(tr, 0x8b, SA, true, 0);
		pg_emit_check_end(tr, s);
		int32_t pop = 8 + (in->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE
						  ? (int32_t)(in->ops[0].imm.value.u & 0xffff)
						  : 0);
		e_lea(m, H_RSP, H_RSP, H_NONE, 1, pop);
		emit_indirect(tr, PG_TRANSFER_RETURN, -pop);
		break;
	}
}

void pg_emit_stop(struct pg_translator *tr, uint64_t rip, enum pg_exit why, bool syscall)
{
	struct pg_emit *m = pg_tr_out(tr);
	uint32_t index = pg_exit_record(tr, rip, tr->saved ? FLAGS_MEM : FLAGS_EFLAGS);
	pg_exit_at(tr->e, index)->stop = (uint8_t)why;
	e_gs_store_imm32(m, ST(site), index);
	e_gs_store_imm32(m, ST(leave), syscall ? LEAVE_SYSCALL : LEAVE_STOP);
	e_jmp(m, tr->e->stub_leave);
}

void pg_emit_complex(struct pg_translator *tr, struct pg_insn *in)
{
	struct pg_emit *m = pg_tr_out(tr);
	uint32_t index;
	struct pg_complex_row *c = pg_vec_add(&tr->e->complexes, sizeof(*c), &index);
	c->block = tr->block;
	c->row = (uint8_t)(tr->b->n_rows - 1);
	c->kind = in->kind;
	c->rip = in->rip;
	c->insn = in->zi;
	memcpy(c->ops, in->ops, sizeof(c->ops));
	e_gs_store_imm32(m, ST(site), index);
	e_gs_store_imm32(m, ST(leave), LEAVE_COMPLEX);
	e_jmp(m, tr->e->stub_leave);
	c->resume = m->p;
}
