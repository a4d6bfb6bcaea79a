/* SPDX-License-Identifier: MIT */
/*
 * cpu/translate.h: from guest instructions to a block of host code.
 *
 * Called by run.c. decode.c reads and classifies a run of instructions and finds where flags live;
 * translate.c emits the block; access.c emits data accesses; control.c emits transfers of control.
 *
 * A *fetch run* is what one instruction lookup stands for. A run starts at the first instruction, after
 * every taken transfer of control, after a system call and after anything else that stops the CPU or drops the
 * translation of the running page (a store into it). It ends, besides, before an instruction in another page than its first
 * one, after PG_BLOCK_INSNS instructions, and around an instruction that lies across two pages: that is a run
 * of its own with two lookups. popf ends a run too. A conditional branch that is not taken does not end it. A block of host code is one run.
 */
#ifndef PG_CPU_TRANSLATE_H
#define PG_CPU_TRANSLATE_H

#include "cpu/complex.h"
#include "cpu/cpu.h"

/* The six arithmetic flags, in their places in EFLAGS. */
#define FL_CF 0x001u
#define FL_PF 0x004u
#define FL_AF 0x010u
#define FL_ZF 0x040u
#define FL_SF 0x080u
#define FL_OF 0x800u
#define FL_ALL (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

/* What the translator does with an instruction. */
enum pg_kind {
	K_COPY,    /* touches no memory: copied */
	K_MEM,     /* one explicit memory operand: redirected */
	K_LEA,     /* address only */
	K_NOTHING, /* nop, endbr, prefetch: no access, no effect */
	K_PUSH,    /* register, immediate or memory */
	K_POP,
	K_LEAVE,
	K_MOFFS, /* mov al/eax/rax, [imm64] and back */
	K_JMP,   /* direct */
	K_JCC,
	K_LOOP,    /* jrcxz, loop, loope, loopne */
	K_CALL,    /* direct */
	K_JMP_IND, /* register or memory */
	K_CALL_IND,
	K_RET,
	K_SYSCALL,
	K_COMPLEX, /* by complex.c */
	K_PUSHF,   /* in C, in run_complex.c */
	K_POPF,
	K_SET_DF, /* std, cld: likewise, rare enough */
	K_STOP,   /* always stops; `stop` says how */
};

enum pg_group { GROUP_NONE, GROUP_FIRST, GROUP_MEMBER };

/* A group that is open at an access of another: its bytes are [base + low, base + high), base as it is there. */
struct pg_open_group {
	uint8_t base;
	int16_t low, high;
};
#define PG_OPEN_GROUPS 2

struct pg_insn {
	uint64_t rip;
	uint8_t bytes[15];
	uint8_t length;
	uint8_t kind;       /* enum pg_kind */
	uint8_t stop;       /* K_STOP: enum pg_exit */
	int8_t mem;         /* index of the memory operand that is accessed or computed, -1: none */
	bool reads, writes; /* memory, for K_MEM */
	uint16_t size;      /* bytes of the memory operand */
	uint32_t tested, killed,
		written; /* arithmetic flags: read; surely overwritten; perhaps changed */
	uint32_t hard,
		soft; /* live just before it: for a reader in this block; for whoever comes after */
	uint16_t stolen_in,
		stolen_out; /* bits SA..SC: read, written (outside of address computation) */
	uint8_t loads, stores, lookups; /* when it completes, no page crossed */
	/* Its place in a shared check, see group.c. */
	uint8_t group;        /* enum pg_group */
	uint8_t group_last;   /* FIRST: index of the last member */
	uint8_t group_base;   /* the base register */
	bool group_store;     /* FIRST: some member stores */
	int16_t group_off;    /* of this access from the lowest byte of the group */
	int16_t group_low;    /* FIRST: of the lowest byte from the base */
	uint16_t group_span;  /* FIRST: bytes from the lowest to the highest */
	uint16_t group_align; /* FIRST: struct pg_site.align */
	uint8_t n_open;       /* groups that this access stands in without being a member */
	uint8_t until; /* last row of all groups that are open here, or begin before they end */
	struct pg_open_group open[PG_OPEN_GROUPS];
	uint16_t written_gprs; /* bit r: it or a part of it may be written */
	ZydisDecodedInstruction zi;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

/* What a failed check has left in SA and SB. */
enum pg_cold_state {
	COLD_ADDED_INDEXED, /* SA: address + tag, which is at gs:[SB + disp] */
	COLD_ADDED,         /* SA: address + tag, which is at gs:[disp] */
	COLD_KEPT_INDEXED,  /* SA: address */
	COLD_KEPT,          /* SA: address, and the tag is at gs:[disp] */
	COLD_KNOWN,         /* the same, but SA is not the address yet */
};

#define PG_COUNT_POOL 4096

struct pg_forms;

struct pg_translator {
	struct pg_engine *e;
	struct pg_forms *forms;            /* owned */
	struct pg_code_page *page, *page2; /* page2: of an instruction across pages */
	struct pg_insn insn[PG_BLOCK_INSNS];
	unsigned n;
	struct pg_block *b;
	uint32_t block; /* its index */
	bool temporary;
	bool ungrouped; /* every access has its own check: a fragment */
	/* The operand of the current access: gs:[op_base + op_index * op_scale + disp]; gs:[SA] by default. */
	unsigned op_base, op_index, op_scale;
	int32_t disp;
	bool keep; /* exact mode: the check leaves SA alone, it is part of the operand */
	/*
	 * Fast mode. op_good: no probe is needed. Else op_probe is probed, and what it was probed for is op_probe_disp behind it;
	 * op_marks are known to be good then.
	 */
	bool op_good;
	unsigned op_probe;
	int32_t op_probe_disp;
	uint16_t op_marks;
	/* Exact mode: the operation again, as it goes to cold code (struct pg_site.alt). p NULL: there is none. */
	struct pg_emit alt;
	uint8_t alt_bytes[64];
	uint16_t probed;       /* fast mode: registers known to be good addresses, see fast.h */
	uint16_t short_values; /* fast mode: registers known to be below 2^32 */
	bool rsp_moved;        /* fast mode: by a constant, and no access off rsp was made since */
	bool saved;            /* this generation of flags is in flags_mem */
	/* Fast mode: at this point of the code these host registers (bits SA..SC) hold the guest's registers of the same names. */
	const uint8_t *held_at;
	uint16_t held;
	/* Cold code, emitted behind the block. */
	struct pg_cold {
		uint8_t *from; /* rel32 to patch */
		uint32_t site;
		uint8_t kind;     /* 0 access, 1 exit, 2 fetch */
		uint8_t recover;  /* an access: enum pg_cold_state */
		uint8_t row;      /* an access: of its instruction */
		int32_t disp;     /* of the tag that was added */
		uint64_t address; /* COLD_KNOWN: of the access */
	} cold[PG_BLOCK_INSNS * 6 + 8];
	unsigned n_cold;
	/*
	 * With vector counts: where the addition at the begin of each segment names what it adds, and what was added
	 * before: a direct-mapped cache of lanes, by what they hold. A flush of the code empties it.
	 */
	struct pg_count_places {
		uint8_t *common, *rare; /* rare: NULL if there is nothing of the kind */
	} counted[PG_BLOCK_INSNS + 1];
	struct pg_counted {
		uint64_t what;
		uint32_t lanes; /* index of the first */
	} pool[PG_COUNT_POOL];
	uint64_t pool_generation;
	/* Counts of the current segment up to the current instruction. */
	struct pg_segment *segment;
	unsigned n_segments;
};

/*
 * Reads a run of at most `limit` instructions that starts at rip in tr->page (bound) into tr->insn, classified, with
 * the liveness of flags. Returns their number, at least 1.
 */
unsigned pg_decode_run(struct pg_translator *tr, uint64_t rip, unsigned limit);

/*
 * Translates the block at rip. page: of rip's first byte; page2: of its last if it lies across two pages, else NULL.
 * limit: instructions. temporary: for one execution; not entered in any table. NULL: the code cache is full.
 */
struct pg_block *pg_translate(struct pg_cpu *c, uint64_t rip, struct pg_code_page *page,
	struct pg_code_page *page2, unsigned limit, bool temporary);

/* Marks the groups of tr->insn. */
void pg_find_groups(struct pg_translator *tr);
/*
 * The instructions of a shared check's group, each with its own: what is executed when the check fails. Goes on in the
 * block behind the group. NULL: the code cache is full.
 */
struct pg_block *pg_translate_fragment(struct pg_cpu *c, uint32_t site);

/* access.c, stack.c and control.c: emit one instruction each. */
void pg_emit_memory(struct pg_translator *tr, struct pg_insn *in);
void pg_emit_lea(struct pg_translator *tr, struct pg_insn *in);
void pg_emit_copy(struct pg_translator *tr, struct pg_insn *in);
void pg_emit_push(struct pg_translator *tr, struct pg_insn *in);
void pg_emit_pop(struct pg_translator *tr, struct pg_insn *in);
void pg_emit_leave(struct pg_translator *tr, struct pg_insn *in);
void pg_emit_moffs(struct pg_translator *tr, struct pg_insn *in);
void pg_emit_control(struct pg_translator *tr, struct pg_insn *in);
void pg_emit_complex(struct pg_translator *tr, struct pg_insn *in);
void pg_emit_stop(struct pg_translator *tr, uint64_t rip, enum pg_exit why, bool syscall);
/* A way out to a known guest address, at the end of a block. */
void pg_emit_exit(struct pg_translator *tr, uint64_t target);

/*
 * If the access belongs to a shared check: its first member's address (the lowest byte of the group) goes into SA, later
 * members find it there; the operand is set (exact mode, the base in its own register: by the caller). False: the caller computes
 * its own address.
 */
bool pg_emit_group_address(struct pg_translator *tr, const struct pg_insn *in);
/* The same for an access at rsp + disp, which needs no further computation. */
bool pg_emit_stack_address(struct pg_translator *tr, const struct pg_insn *in, int32_t disp);

/*
 * One data access. In: the address in SA, the operand set. Out: the operation may use that operand, relative to GS. The check goes
 * cold for everything it cannot answer. nth: accesses of this instruction before it. The operation follows, by pg_emit_operand,
 * pg_emit_store_imm and pg_emit_pass, then pg_emit_check_end.
 */
struct pg_site *pg_emit_check(struct pg_translator *tr, struct pg_insn *in, unsigned nth,
	unsigned size, enum pg_access access, const uint64_t *constant);
/* The operation behind the check is complete. */
void pg_emit_check_end(struct pg_translator *tr, struct pg_site *s);
/* Where what belongs to the operation goes: n = 0, and 1 if it is to be in cold code, too (struct pg_site.alt); NULL: no more. */
struct pg_emit *pg_emit_pass(struct pg_translator *tr, unsigned n);
/* opcode reg, [checked operand]. wide: REX.W. prefix: 0x66 or 0. */
void pg_emit_operand(
	struct pg_translator *tr, unsigned opcode, unsigned reg, bool wide, unsigned prefix);
/* mov [checked operand], imm: 8 bytes from the sign-extended imm, or 2. */
void pg_emit_store_imm(struct pg_translator *tr, uint32_t imm, bool narrow);
/* to = the place among the mirrors of the set of an address. Both are r8 or above. */
void pg_emit_set(struct pg_engine *e, struct pg_emit *m, unsigned to, unsigned address);
/* The end of it: modulo the size of all mirrors. */
void pg_emit_mask_set(struct pg_engine *e, struct pg_emit *m, unsigned set);
/* Flags into flags_mem if someone may still want them and they are not there yet. */
void pg_emit_save_flags(struct pg_translator *tr);

/*
 * The linear address of the memory operand into SA (uses SB; in fast mode SC), unless the operand that is set does without. rsp_adjust: what rsp
 * will have grown by when the address is computed (pop to memory). True and *constant if it is known now.
 */
bool pg_emit_address(
	struct pg_translator *tr, const struct pg_insn *in, int32_t rsp_adjust, uint64_t *constant);
void pg_emit_register_to(struct pg_translator *tr, unsigned dst, ZydisRegister r);
/* Cold code to be emitted behind the block: of a check, of an exit. */
void pg_cold_access(struct pg_translator *tr, uint8_t *from, uint32_t site,
	enum pg_cold_state state, int32_t disp);
void pg_cold_exit(struct pg_translator *tr, uint8_t *from, uint64_t target, enum pg_flags_at flags);
uint32_t pg_exit_record(struct pg_translator *tr, uint64_t target, enum pg_flags_at flags);

/* The host register number of a general register of any width (ah .. bh: of the whole one); H_NONE for others. */
static inline unsigned pg_gpr_of(ZydisRegister r)
{
	_Static_assert(ZYDIS_REGISTER_R15B - ZYDIS_REGISTER_AL == 19 &&
			       ZYDIS_REGISTER_R15W - ZYDIS_REGISTER_AX == 15 &&
			       ZYDIS_REGISTER_R15D - ZYDIS_REGISTER_EAX == 15 &&
			       ZYDIS_REGISTER_R15 - ZYDIS_REGISTER_RAX == 15,
		"each width's registers are numbered in one row");
	if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
		return (unsigned)(r - ZYDIS_REGISTER_RAX);
	if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
		return (unsigned)(r - ZYDIS_REGISTER_EAX);
	if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
		return (unsigned)(r - ZYDIS_REGISTER_AX);
	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL)
		return (unsigned)(r - ZYDIS_REGISTER_AL);
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_R15B) /* ah .. bh, spl .. dil, r8b .. */
		return (unsigned)(r - ZYDIS_REGISTER_AH);
	return H_NONE;
}

/* Where a direct jump, call or loop goes. */
static inline uint64_t pg_branch_target(const struct pg_insn *in)
{
	ZyanU64 t = 0;
	ZydisCalcAbsoluteAddress(&in->zi, &in->ops[0], in->rip, &t);
	return t;
}

/* Executed in C or not at all: run.c counts it when it completes. */
static inline bool pg_counted_in_c(const struct pg_insn *in)
{
	return in->kind == K_COMPLEX || in->kind == K_PUSHF || in->kind == K_POPF ||
	       in->kind == K_SET_DF || in->kind == K_STOP;
}

/*
 * The guest's register r, one of the stolen, into dst. In fast mode it may be at hand, which saves the way through memory; in exact mode
 * a check that failed may come back to any instruction, so nothing is at hand there.
 */
void pg_emit_guest(struct pg_translator *tr, unsigned dst, unsigned r);
/* What pg_emit_guest() found at hand before it emitted anything more, as bits. */
static inline uint16_t pg_held(const struct pg_translator *tr)
{
	return tr->held_at == tr->e->emit.p ? tr->held : 0;
}
/* From here on `held` are at hand. */
static inline void pg_hold(struct pg_translator *tr, uint16_t held)
{
	tr->held = tr->e->config.fast ? held : 0;
	tr->held_at = tr->e->emit.p;
}

/* Guest registers that have no host register. */
static inline bool pg_is_stolen(unsigned r)
{
	return r >= SA && r <= SC;
}

/* What the operation behind the next check names. keep: SA is it, or is needed by it, and stays the address. */
void pg_operand_set(struct pg_translator *tr, unsigned base, unsigned index, unsigned scale,
	int64_t disp, bool keep);
/* The next access is by gs:[SA], unless something else is said. */
static inline void pg_operand_default(struct pg_translator *tr)
{
	tr->op_base = SA;
	tr->op_index = H_NONE;
	tr->op_scale = 1;
	tr->disp = 0;
	tr->keep = true;
	tr->op_good = false;
	tr->op_probe = SA;
	tr->op_probe_disp = 0;
	tr->op_marks = 0;
}

/* Where the block's code is written; cold code is elsewhere. */
static inline struct pg_emit *pg_tr_out(struct pg_translator *tr)
{
	return &tr->e->emit;
}

static inline bool pg_tr_fast(const struct pg_translator *tr)
{
	return tr->e->config.fast;
}

#endif
