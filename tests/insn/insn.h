/* SPDX-License-Identifier: MIT */
/*
 * tests/insn/insn.h: the differential instruction tester: one case, two machines, one verdict.
 *
 * main.c asks generate.c for a case (code, registers, memory), gives it to two sides (native.c:
 * the real CPU in a traced child; engine.c: an engine of cpu/engine.h) and compare.c says where
 * they differ. A case is a function of (seed, index, class) alone.
 *
 * Glossary:
 *   case    code bytes, the state before, pokes into the base image, and how it is to be run.
 *   side    something that can run a case and tell the state after it.
 *   image   the bytes of all test pages between two cases; every case starts from image + pokes.
 *   end     why execution stopped, in the words of the guest: trap, signal and its address.
 *
 * Every page that holds code is filled with int3, so that any case ends at the first byte that it
 * does not itself provide.
 */
#ifndef PG_TESTS_INSN_H
#define PG_TESTS_INSN_H

#include "base/types.h"

#include <Zydis/Zydis.h>
#include <stdio.h>

/* ---- random numbers (random.c) ---- */

struct rng {
	uint64_t s;
};
uint64_t rng_next(struct rng *r);
static inline uint32_t rng_below(struct rng *r, uint32_t n) /* 0 .. n - 1; n > 0 */
{
	return (uint32_t)(((rng_next(r) >> 32) * n) >> 32);
}
static inline bool rng_chance(struct rng *r, uint32_t percent)
{
	return rng_below(r, 100) < percent;
}
uint64_t rng_value(struct rng *r);                      /* an integer that likes edges */
void rng_fill(struct rng *r, uint8_t *out, unsigned n); /* integers, floats, edges: any typed mix */

/* ---- what may not last for ever (deadline.c) ---- */

/* Calls f(arg) from a signal handler if it is not called off (f NULL) within some seconds. */
void insn_deadline(void (*f)(void *), void *arg);
void insn_deadline_init(void);

/* ---- the pages of a case (memory.c) ---- */

struct insn_page {
	uint64_t va;
	pg_prot prot; /* 0: mapped without rights */
};
#define INSN_PAGES 26
extern struct insn_page insn_pages[INSN_PAGES]; /* by page index; constant after insn_memory_init */
#define PAGE_CODE 0                             /* 3 pages, read and execute */
#define PAGE_SMC 3                              /* 3 pages, all rights */
#define CODE_VA 0x10000000ull
#define SMC_VA 0x10400000ull

extern uint8_t insn_image[INSN_PAGES][4096];

/* Fixes the addresses (all below `top`) and fills the image from a fixed seed. */
void insn_memory_init(uint64_t top);
int insn_page_of(uint64_t va); /* page index or -1 */
/* An address for an operand of n bytes: mostly inside a writable page, sometimes hostile. */
uint64_t insn_aim(struct rng *r, unsigned n, bool tame);
/* An address to jump to: int3 bytes mostly, else unmapped, not executable, non-canonical. */
uint64_t insn_aim_code(struct rng *r, uint64_t avoid);

/* ---- a case ---- */

#define INSN_XBYTES 832 /* x87 and SSE (512), header (64), upper halves of YMM (256) */
struct insn_state {
	_Alignas(64) uint8_t x[INSN_XBYTES]; /* standard XSAVE format, all three components */
	uint64_t gpr[16];                    /* x86 encoding order */
	uint64_t rip, rflags, fs_base, gs_base;
};

#define INSN_MAX 24   /* instructions of a block */
#define INSN_CODE 384 /* bytes of a block */
#define INSN_POKES 64
struct insn_poke {
	uint64_t va;
	unsigned len;
	uint8_t bytes[64];
};

enum insn_run {
	RUN_TO_BREAK,  /* engine without budget until it stops at an int3 */
	RUN_BUDGET_1,  /* engine one instruction at a time by budget until the int3 */
	RUN_TRAP_FLAG, /* TF set: one instruction */
};

struct insn_case {
	uint64_t seed, index;
	struct insn_state before;
	enum insn_run run;
	unsigned count; /* instructions */
	struct {
		uint16_t at;
		uint8_t len;
	} insn[INSN_MAX];
	unsigned code_len;
	uint8_t code[INSN_CODE];
	unsigned pokes;
	struct insn_poke poke[INSN_POKES];
	/* What the architecture leaves open here; see generate.c for who sets them. */
	/* Only when it ended in a fault, and then left open: */
	bool fault_any_byte; /* which byte, and for which reason: operands wider than the CPU's own accesses, masked stores */
	bool fault_may_be; /* whether it faults at all, or how: masked stores, unmasked x87 exceptions */
	bool fault_x87_top; /* whether an MMX store that faults has switched x87 to MMX already */
	bool fault_mxcsr;   /* whether a conversion that could not be stored has raised its flags */
	bool fault_upper; /* upper halves of rcx, rsi, rdi of a string instruction with 32-bit addresses */
	unsigned ignores;
	struct {
		uint64_t
			va; /* bytes [va, va + len) are not compared: x87 pointers, XSAVE headers */
		unsigned len;
		bool if_fault; /* only when it ended in a fault: a store of many parts may have begun */
	} ignore[8];
};

enum insn_end {
	END_BREAK,  /* int3 */
	END_STEP,   /* trap flag */
	END_MAPERR, /* SIGSEGV SEGV_MAPERR, addr */
	END_ACCERR, /* SIGSEGV SEGV_ACCERR, addr */
	END_BUS,    /* SIGBUS BUS_ADRERR, addr */
	END_GP,     /* SIGSEGV SI_KERNEL */
	END_SS,     /* SIGBUS SI_KERNEL: stack segment fault */
	END_ALIGN,  /* SIGBUS BUS_ADRALN */
	END_DIVIDE,
	END_FP,
	END_ILLEGAL,
	END_UNSUPPORTED, /* engine only: valid but not handled */
	END_SYSCALL,     /* engine only: the syscall instruction */
	END_TIMEOUT,     /* did not end in time */
	END_OTHER,
	ENDS,
};
const char *insn_end_name(enum insn_end e);

struct insn_result {
	struct insn_state after;
	enum insn_end end;
	uint64_t addr; /* for MAPERR, ACCERR, BUS; else 0 */
	uint64_t raw;  /* what the side itself called it: signal and code, or enum pg_exit */
};

/*
 * A side. Order: load, run, (page as often as wanted), restore. `page` is what the side's memory
 * holds now, 4096 bytes, borrowed until restore.
 */
struct insn_side {
	const char *name;
	void (*load)(struct insn_side *s, const struct insn_case *c);
	void (*run)(struct insn_side *s, const struct insn_case *c, struct insn_result *out);
	const uint8_t *(*page)(struct insn_side *s, unsigned index);
	void (*restore)(struct insn_side *s, const struct insn_case *c);
	void (*destroy)(struct insn_side *s);
};

/* NULL on failure, with the reason on stderr. */
struct insn_side *insn_native_create(void);
struct pg_engine_ops;
/* lazy: without precise flags (struct pg_engine_config). */
struct insn_side *insn_engine_create(
	const struct pg_engine_ops *ops, bool fast, bool lazy, const char *tlb);
uint64_t insn_engine_top(const struct pg_engine_ops *ops, bool fast);
/* Bytes of the case that lie on page `index`, applied to buf[4096]. */
void insn_case_apply(const struct insn_case *c, unsigned index, uint8_t *buf);
bool insn_case_touches(const struct insn_case *c, unsigned index);

/* ---- generation (templates.c, state.c, draw.c, generate.c, block.c) ---- */

enum insn_class {
	CLASS_ALU,
	CLASS_SHIFT,
	CLASS_BIT,
	CLASS_MULDIV,
	CLASS_STACK,
	CLASS_BRANCH,
	CLASS_STRING,
	CLASS_ATOMIC,
	CLASS_X87,
	CLASS_MMX,
	CLASS_SSE,
	CLASS_AVX,
	CLASS_MASKED,
	CLASS_STATE,
	CLASS_SEGMENT,
	CLASS_PRIVILEGED,
	CLASS_UNUSUAL,
	CLASS_SINGLE_LAST,               /* number of classes with templates */
	CLASS_BLOCK = CLASS_SINGLE_LAST, /* straight line with forward branches */
	CLASS_LOOP,                      /* a block run a few times around */
	CLASS_SMC,                       /* a block that changes code */
	CLASS_TRAP,                      /* any class, with the trap flag */
	CLASSES,
};
extern const char *const insn_class_names[CLASSES];

struct insn_template {
	uint64_t forms; /* bit reg * 8 + rm for register forms, bit reg for memory forms */
	uint16_t mnemonic;
	uint8_t encoding; /* 0 legacy, 1 VEX */
	uint8_t map;      /* 0 one byte, 1 0F, 2 0F38, 3 0F3A */
	uint8_t prefix;   /* mandatory: 0, 0x66, 0xf3, 0xf2 */
	uint8_t w, l;     /* REX.W / VEX.W; VEX.L */
	uint8_t opcode;
	bool modrm, memory;
};
void insn_templates_init(void);
unsigned insn_template_count(enum insn_class k);
/* Every mnemonic of the class has the same chance. */
const struct insn_template *insn_template_pick(enum insn_class k, struct rng *r);

/* Registers that a block keeps as pointers; 0 in `count` means free choice. */
struct insn_plan {
	unsigned count;
	uint8_t base[4];
	uint8_t index; /* a register kept small, or 0xff */
	uint16_t keep; /* bit g: general register g must not be written */
};
/*
 * Makes one instruction of the template at address va into out[15]; sets registers and pokes of c that it
 * wants, unless plan->count (then only pokes). Its length, or 0 when the draw was not usable.
 */
unsigned insn_make(struct insn_case *c, struct rng *r, const struct insn_template *t, uint64_t va,
	const struct insn_plan *plan, uint8_t out[15]);
void insn_state_random(struct insn_case *c, struct rng *r);
/* Bytes that may be the instruction, into b[40], zeroed before; immediates are random. Returns where they begin. */
unsigned insn_draw(
	struct rng *r, const struct insn_template *t, const struct insn_plan *plan, uint8_t *b);
void insn_ignore_add(struct insn_case *c, uint64_t va, unsigned len, bool if_fault);
void insn_poke_add(struct insn_case *c, uint64_t va, const void *bytes, unsigned n);

/* The case (seed, index) of a class. */
void insn_generate(struct insn_case *c, uint64_t seed, uint64_t index, enum insn_class k);
void insn_generate_block(struct insn_case *c, struct rng *r, enum insn_class k);

extern ZydisDecoder insn_decoder;

/* ---- verdict (compare.c) ---- */

/* True when they agree. Otherwise, if f, says where on f. */
/* In every case of this run, arithmetic flags may be stale when it ended in a fault or by the trap flag. */
extern bool insn_lazy_flags;
bool insn_agree(const struct insn_case *c, struct insn_side *a, const struct insn_result *ra,
	struct insn_side *b, const struct insn_result *rb, FILE *f);
void insn_print_code(const struct insn_case *c, FILE *f);
void insn_print_state(const struct insn_case *c, FILE *f);

#endif
