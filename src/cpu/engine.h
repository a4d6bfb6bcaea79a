/* SPDX-License-Identifier: MIT */
/*
 * cpu/engine.h: a guest CPU: what an engine that executes guest code offers.
 *
 * Called by linux/ (runs threads, handles exits) and tests. Calls mmu/ for each access and
 * space/ for each fault. Knows no files, processes or system calls: it stops and says why.
 */
#ifndef PG_CPU_ENGINE_H
#define PG_CPU_ENGINE_H

#include "base/types.h"
#include "mmu/tlb.h"
#include "space/space.h"

enum pg_gpr {
	PG_RAX,
	PG_RCX,
	PG_RDX,
	PG_RBX,
	PG_RSP,
	PG_RBP,
	PG_RSI,
	PG_RDI,
	PG_R8,
	PG_R9,
	PG_R10,
	PG_R11,
	PG_R12,
	PG_R13,
	PG_R14,
	PG_R15,
	PG_GPRS
};

/* x87, SSE and AVX state in the standard (non-compacted) XSAVE format. Intel SDM vol. 1, 13.4. */
#define PG_XSAVE_BYTES 4096
struct pg_xsave {
	_Alignas(64) uint8_t bytes[PG_XSAVE_BYTES];
};

/* The architectural state of a guest thread, precise whenever run() has returned. */
struct pg_cpu_regs {
	uint64_t gpr[PG_GPRS]; /* by enum pg_gpr: the x86 encoding order */
	uint64_t rip;
	uint64_t rflags; /* user-visible bits; IF and bit 1 always set */
	uint64_t fs_base, gs_base;
	struct pg_xsave *x; /* owned by the CPU; pg_engine_xsave_size() bytes are meaningful */
};

/* Why run() returned. regs.rip is the instruction that did not complete, except where said. */
enum pg_exit {
	PG_EXIT_SYSCALL, /* syscall executed: rip is behind it, rcx and r11 set as by hardware */
	PG_EXIT_FAULT, /* a page fault that space/ refused: see fault_va, fault_end, fault_access */
	PG_EXIT_GP,    /* general protection, non-canonical address: SIGSEGV SI_KERNEL, si_addr 0 */
	PG_EXIT_SS,    /* #SS, a non-canonical stack access: SIGBUS SI_KERNEL */
	PG_EXIT_DIVIDE,     /* #DE: SIGFPE FPE_INTDIV */
	PG_EXIT_FP,         /* unmasked x87 or SSE exception: SIGFPE, code from the status word */
	PG_EXIT_BREAKPOINT, /* int3: SIGTRAP, rip is behind it */
	PG_EXIT_ILLEGAL,    /* ud2 or invalid encoding: SIGILL ILL_ILLOPN */
	PG_EXIT_UNSUPPORTED, /* valid but not handled by this engine: SIGILL, its bytes to be shown */
	PG_EXIT_ALIGN,       /* #AC: SIGBUS BUS_ADRALN (a misaligned SSE operand is GP) */
	PG_EXIT_STEP, /* TF was set: one instruction done; SIGTRAP TRAP_TRACE, rip is behind it */
	PG_EXIT_INTERRUPTED, /* pg_engine interrupt(): between instructions */
	PG_EXIT_BUDGET,      /* the instruction budget of run() is used up (single-step testing) */
};

struct pg_exit_info {
	enum pg_exit why;
	pg_va fault_va;
	enum pg_access fault_access;
	enum pg_fault_end fault_end;
	uint8_t bytes[15]; /* of the instruction, for ILLEGAL and UNSUPPORTED */
	uint8_t length;    /* how many of them could be read */
};

/*
 * Exact counts of what completed on one CPU (stats) or on all that the engine ever had (totals). The four of translations are
 * the engine's in both. has_tlb false (fast mode): nothing was counted but
 * translations; instructions, accesses and TLB figures are absent, not zero.
 */
struct pg_cpu_stats {
	uint64_t instructions; /* completed; a rep string instruction is one */
	uint64_t loads,
		stores; /* data accesses, a read-modify-write is one of each; each element of a rep is one */
	uint64_t fetch_runs;     /* instruction fetch lookups, see translate.h */
	uint64_t page_crossings; /* accesses that needed two lookups */
	uint64_t
		data_lookups; /* all data lookups: loads + stores - RMW pairs + crossings + repeats after faults */
	uint64_t fetch_lookups;
	uint64_t blocks_translated, code_bytes, guest_bytes_translated;
	uint64_t translations_dropped; /* by stores into code, or unmapping */
	bool has_tlb;
	struct pg_mmu_stats mmu;
};

/* A transfer of control that has happened, for who follows calls. */
enum pg_transfer {
	PG_TRANSFER_NONE,
	PG_TRANSFER_CALL,
	PG_TRANSFER_RETURN,
	PG_TRANSFER_JUMP, /* through a word of memory next to the code, as from a procedure linkage table */
};

/*
 * Of a CPU: which of its next transfers are to be told at once, with all registers. The others may be told later, in order, but before
 * the CPU is left, or anything else is told of its thread. Whoever is told may change it. Wherever the CPU begins to run, or has
 * just been told of a watched address, all is set.
 */
struct pg_transfer_wish {
	bool all;
	uint64_t below; /* a call whose return address lies below this */
	uint64_t slot;  /* a return that takes its address from here; 0: none */
};

struct pg_transferred {
	enum pg_transfer how;
	uint64_t from;                  /* the address of the instruction */
	const struct pg_cpu_regs *regs; /* behind it: rip is where it leads. Borrowed */
	bool late;                      /* told later: of regs only rip and rsp are of then */
	struct pg_transfer_wish *wish;  /* of this CPU */
	int32_t undo;                   /* what rsp was before it: regs' + undo */
	uint64_t
		instructions; /* that this CPU has executed, this one included; 0 in fast mode and without AVX-512VL */
};

struct pg_engine_config {
	struct pg_vm *vm;
	struct pg_mmu_config mmu;
	bool fast;          /* host-mapped frames; no TLB figures */
	bool precise_flags; /* from the start: see set_precise_flags */
	uint64_t
		code_bytes; /* of the code cache, at least 4 MiB; 0: the default. When it is full it starts again */
	bool memory_counters; /* tests: counts as on a host without AVX-512VL */
	/*
	 * A CPU is about to execute the instruction at a watched address (pg_engine_ops.watch): regs is its precise state.
	 * Called in run(), machine lock held; must change nothing of the machine, but may watch more. If the instruction faults and is
	 * executed again, it is called again. NULL: nothing is watched.
	 */
	void (*reached)(void *ctx, const struct pg_cpu_regs *regs);
	void *reached_ctx; /* borrowed for the life of the engine */
	/*
	 * After each call, return and jump of enum pg_transfer, in run(), machine lock held; must change nothing but the wish. Each
	 * that is told at once leaves translated code, which costs some 100 ns, the others some 10; no figure changes but those of
	 * translations. NULL costs nothing.
	 */
	void (*transferred)(void *ctx, const struct pg_transferred *t);
	void *transferred_ctx; /* borrowed for the life of the engine */
};

struct pg_engine; /* shared by all CPUs of the machine: the code cache */
struct pg_cpu;    /* one guest thread's CPU; first member: struct pg_cpu_regs regs */

struct pg_engine_ops {
	const char *name;
	const char *summary;
	/* *why: a static sentence naming the cause when it fails. */
	int (*create)(const struct pg_engine_config *c, struct pg_engine **out, const char **why);
	void (*destroy)(struct pg_engine *e);
	/*
	 * A CPU for one guest thread, in the state of after exec, its figures 0. Quick: destroyed ones are used again. Many may be
	 * in one space, and in many. A space must outlive its CPUs' stay in it (cpu_switch, cpu_destroy). -ENOMEM.
	 */
	int (*cpu_create)(struct pg_engine *e, struct pg_space *s, struct pg_cpu **out);
	void (*cpu_destroy)(
		struct pg_cpu *c); /* not while it runs; its figures stay in the totals */
	struct pg_cpu_regs *(*regs)(struct pg_cpu *c); /* to read and set while not running */
	/* The thread goes on in another space (exec; NULL: in none until the next call). */
	void (*cpu_switch)(struct pg_cpu *c, struct pg_space *s);
	/*
	 * Runs until something that the engine cannot do itself. max_instructions 0: no limit; a limit is slow and for tests
	 * and single-stepping. Machine lock held from the call to the return, by whatever host thread calls: a CPU may
	 * run on one host thread now and on another later, two never at once. Only a pager may give the lock away, during
	 * a page fault; others may run then. If the code cache is full meanwhile they return PG_EXIT_INTERRUPTED.
	 */
	enum pg_exit (*run)(struct pg_cpu *c, uint64_t max_instructions, struct pg_exit_info *info);
	/*
	 * Makes run() return PG_EXIT_INTERRUPTED soon, that of c only. Async-signal-safe, from any host thread, no lock
	 * needed; sticky until run() has returned it.
	 */
	void (*interrupt)(struct pg_cpu *c);
	/* Bytes of a frame with translations changed by other means (pg_vm_hooks.code_written). */
	void (*code_written)(struct pg_engine *e, pg_pfn f);
	/*
	 * EFLAGS exact in every fault and trap. Without it flags that the program overwrites before anyone can read them may
	 * be stale in the state that a fault shows (never in what the program computes); with it checks save them, which
	 * costs about a fifth in exact mode. linux/ asks for it when a guest installs a handler that could look. Not while a
	 * CPU runs.
	 */
	void (*set_precise_flags)(struct pg_engine *e);
	/*
	 * From now on `reached` is told of every fetch run (cpu/translate.h) that begins at guest address rip, in whatever space: of
	 * every call, jump and return to it; not of a run that comes to it from the instruction before. No figure changes by it but
	 * those of translations. For good; watching an address twice is nothing. -ENOMEM.
	 */
	int (*watch)(struct pg_engine *e, uint64_t rip);
	void (*stats)(struct pg_cpu *c, struct pg_cpu_stats *out);
	void (*totals)(struct pg_engine *e, struct pg_cpu_stats *out);
	const char *(*check)(struct pg_engine *e);
	/* Highest usable guest address + 1 in this mode (2^47 - 4096, less in fast mode). */
	uint64_t (*address_top)(const struct pg_engine *e);
	/* What a program is not asked about lies below this: the stack, its image, mappings. In fast mode spaces that use more cost more. */
	uint64_t (*layout_top)(const struct pg_engine *e);
};

extern const struct pg_engine_ops pg_engine_translator;

/* The guest's XCR0 and the size of its XSAVE image; CPUID as the guest sees it. */
uint64_t pg_cpu_guest_xcr0(void);
uint32_t pg_cpu_guest_xsave_bytes(void);
void pg_cpu_guest_cpuid(uint32_t leaf, uint32_t sub, uint32_t out[4]); /* eax ebx ecx edx */

#endif
