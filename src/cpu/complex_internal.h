/* SPDX-License-Identifier: MIT */
/*
 * cpu/complex_internal.h: what the files of complex.h share.
 *
 *   complex.c         which instruction goes where, operands, registers     general registers only
 *   complex_string.c  movs, stos, lods, scas, cmps, with rep                general registers only
 *   complex_scalar.c  bit strings, cmpxchg8b/16b, enter, xlat, cpuid, bases general registers only
 *   complex_system.c  segments, descriptor tables, far transfers, refusals  general registers only
 *   complex_vector.c  gathers and masked moves
 *   complex_state.c   xsave and fxsave families, x87 environment
 */
#ifndef PG_CPU_COMPLEX_INTERNAL_H
#define PG_CPU_COMPLEX_INTERNAL_H

#include "cpu/complex.h"

#define FLAG_CF ((uint64_t)1 << 0)
#define FLAG_PF ((uint64_t)1 << 2)
#define FLAG_AF ((uint64_t)1 << 4)
#define FLAG_ZF ((uint64_t)1 << 6)
#define FLAG_SF ((uint64_t)1 << 7)
#define FLAG_TF ((uint64_t)1 << 8)
#define FLAG_DF ((uint64_t)1 << 10)
#define FLAG_OF ((uint64_t)1 << 11)
#define FLAG_NT ((uint64_t)1 << 14)
#define FLAGS_STATUS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* One instruction being executed. All borrowed for the call. */
struct complex_op {
	struct pg_cpu_regs *regs;
	const struct pg_access_port *port;
	const ZydisDecodedInstruction *insn;
	const ZydisDecodedOperand *ops;
	uint64_t next_rip; /* set as regs->rip by pg_complex_run() on DONE, unless the handler has
			      transferred control */
	bool jumped;       /* the handler has set regs->rip */
};

/* Executes it; a result other than DONE and AGAIN obeys C1. */
typedef enum pg_complex_result (*complex_handler)(struct complex_op *op);

/* What a complete access covered: one or two fragments. */
struct complex_access {
	struct pg_fragment frag[2];
	unsigned frags;
};

/*
 * port->resolve() with its answer as the handlers want it: DONE; AGAIN for "start the instruction
 * again" (never to be returned from pg_complex_run); FAULT; GP for a non-canonical range (the
 * caller turns it into SS where that is due).
 */
enum pg_complex_result complex_resolve(struct complex_op *op, pg_va a, unsigned n, bool read,
	bool write, struct complex_access *out);
/* Copies the whole access to or from dst/src; n is what was resolved. No vector register is used.
 */
void complex_copy_out(const struct complex_access *acc, void *dst);
void complex_copy_in(const struct complex_access *acc, const void *src);

/* One load or store of n bytes, restarted until it is complete or fails, and counted. */
enum pg_complex_result complex_load(struct complex_op *op, pg_va a, void *dst, unsigned n);
enum pg_complex_result complex_store(struct complex_op *op, pg_va a, const void *src, unsigned n);

/* The first memory operand, or NULL. */
const ZydisDecodedOperand *complex_memory_operand(const struct complex_op *op);
pg_va complex_address(const struct complex_op *op, const ZydisDecodedOperand *mem);
/* The base that a segment register adds to an address in 64-bit mode: 0 for all but fs and gs. */
uint64_t complex_segment_base(const struct pg_cpu_regs *regs, ZydisRegister segment);

/* Writes a register's own bits and keeps the others, of 32-bit registers too. */
void complex_gpr_merge(struct pg_cpu_regs *regs, ZydisRegister r, uint64_t v);

/* The result of an access through mem: the fault of a non-canonical address is the one that this operand raises. */
static inline enum pg_complex_result complex_as_operand(
	enum pg_complex_result r, const ZydisDecodedOperand *mem)
{
	return r == PG_COMPLEX_GP ? pg_operand_fault(mem) : r;
}

/* Does our CPUID offer this instruction? */
bool complex_is_offered(ZydisMnemonic m);

enum pg_complex_result complex_string(struct complex_op *op);
enum pg_complex_result complex_bit_string(struct complex_op *op);
enum pg_complex_result complex_cmpxchg8b(struct complex_op *op);
enum pg_complex_result complex_cmpxchg16b(struct complex_op *op);
enum pg_complex_result complex_enter(struct complex_op *op);
enum pg_complex_result complex_xlat(struct complex_op *op);
enum pg_complex_result complex_cpuid(struct complex_op *op);
enum pg_complex_result complex_xgetbv(struct complex_op *op);
enum pg_complex_result complex_rdpid(struct complex_op *op);
enum pg_complex_result complex_rdtscp(struct complex_op *op);
enum pg_complex_result complex_base(struct complex_op *op);
enum pg_complex_result complex_movdir64b(struct complex_op *op);
enum pg_complex_result complex_cache_line(struct complex_op *op);
enum pg_complex_result complex_serialize(struct complex_op *op);

enum pg_complex_result complex_segment_move(struct complex_op *op);
enum pg_complex_result complex_segment_push(struct complex_op *op);
enum pg_complex_result complex_segment_pop(struct complex_op *op);
enum pg_complex_result complex_segment_load_far(struct complex_op *op);
enum pg_complex_result complex_descriptor_query(struct complex_op *op);
enum pg_complex_result complex_table_store(struct complex_op *op);
enum pg_complex_result complex_iret(struct complex_op *op);
enum pg_complex_result complex_far_return(struct complex_op *op);
enum pg_complex_result complex_far_branch(struct complex_op *op);
enum pg_complex_result complex_privileged(struct complex_op *op);
enum pg_complex_result complex_illegal(struct complex_op *op);
enum pg_complex_result complex_unsupported(struct complex_op *op);

enum pg_complex_result complex_gather(struct complex_op *op);
enum pg_complex_result complex_masked_move(struct complex_op *op);
enum pg_complex_result complex_maskmovdqu(struct complex_op *op);
enum pg_complex_result complex_maskmovq(struct complex_op *op);

enum pg_complex_result complex_state_save(struct complex_op *op);
enum pg_complex_result complex_state_restore(struct complex_op *op);
enum pg_complex_result complex_x87_save(struct complex_op *op);
enum pg_complex_result complex_x87_restore(struct complex_op *op);

#endif
