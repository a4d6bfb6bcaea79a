/* SPDX-License-Identifier: MIT */
/*
 * cpu/complex.h: the guest instructions that are executed in C.
 *
 * Called by the translator, which copies most instructions with their memory operand redirected,
 * for the minority that cannot be copied: those that touch memory outside their operand or element
 * by element (string, bit string, gather, masked, enter), those that hold state of the whole
 * machine (cpuid, xsave family, x87 environment, segments), and those that user mode may not
 * execute. Reaches guest memory only through struct pg_access_port, so that it is tested without a
 * translator.
 *
 * Path of one call: pg_complex_is() at translation; then, each time the instruction is reached,
 * pg_complex_run() with the registers stored in struct pg_cpu_regs, vector state included. The
 * scalar ones (complex.c, complex_scalar.c, complex_string.c, complex_system.c, cpuid.c) neither look
 * at regs->x nor touch the host's x87, SSE or AVX registers.
 *
 * Invariants:
 *   C1  A result other than DONE, AGAIN and BREAKPOINT leaves rip and every register as before the
 * instruction, except that a string instruction under rep, or a gather, keeps the elements that are
 * complete (Intel SDM vol. 2, REP, VPGATHER). C2  Memory is reached only inside fragments that
 * resolve() gave out since the last call of resolve() that returned more than 0 (see there). C3
 * count() is told exactly the loads and stores that completed, one for each element. C4  regs->x
 * stays a valid image for XRSTOR in the standard format: XSTATE_BV within XCR0 of the guest,
 * XCOMP_BV 0, no reserved bit of MXCSR set. Its x87 instruction and data pointers are not given to
 * the guest: it sees zeros.
 *
 * Not here: what is copied (translate), what CPUID says (cpuid.c), AVX-512 (masked in CPUID).
 */
#ifndef PG_CPU_COMPLEX_H
#define PG_CPU_COMPLEX_H

#include <Zydis/Zydis.h>

#include "cpu/engine.h"

/* Contiguous host bytes of a guest access. */
struct pg_fragment {
	uint8_t *host;
	unsigned n; /* bytes, 1 .. 4096 */
};

/* How these instructions reach guest memory. Given by the translator; over plain buffers in tests.
 */
struct pg_access_port {
	void *ctx;
	/*
	 * Makes [a, a + n), 1 <= n <= 4096, usable for a read, a write, or a read-modify-write
	 * (both): one lookup for each page touched, counted as the MMU does; loads and stores are
	 * not counted here (see count()). 0: *frags (1, or 2 when a page boundary is crossed)
	 * fragments, in order of address. > 0: a page fault was taken and mended. What was resolved
	 * before may have moved: the instruction, or the element of a string instruction, starts
	 * again, as on hardware. < 0: the guest may not; the port has recorded the fault. The
	 * result is PG_COMPLEX_FAULT. Fragments are valid until a call that does not return 0, or
	 * until the machine lock is released. [a, a + n) is canonical and does not wrap; it may be
	 * in the kernel's half, which is always refused.
	 */
	int (*resolve)(void *ctx, pg_va a, unsigned n, bool read, bool write,
		struct pg_fragment frag[2], unsigned *frags);
	/*
	 * Accesses that completed: each load and store of an element is one; a read-modify-write
	 * one of each. `hits`: lookups among them that were not made through resolve(), because
	 * they are known to hit the most recently used way.
	 */
	void (*count)(void *ctx, uint64_t loads, uint64_t stores, uint64_t hits);
	/*
	 * pg_mmu_pair_is_stable(): alternating accesses to the pages of a and b, just resolved in
	 * this order, hit from now on without changing the TLB. NULL: always true (no TLB is
	 * simulated).
	 */
	bool (*stable)(void *ctx, pg_va a, pg_va b);
};

enum pg_complex_result {
	PG_COMPLEX_DONE,  /* complete; rip is behind it */
	PG_COMPLEX_AGAIN, /* rep: some iterations done, rip still here; poll, then call again */
	PG_COMPLEX_FAULT, /* port->resolve() refused; it knows what */
	PG_COMPLEX_GP,    /* #GP: SIGSEGV, SI_KERNEL */
	PG_COMPLEX_SS,    /* #SS, a non-canonical address based on rsp or rbp: SIGBUS, SI_KERNEL */
	PG_COMPLEX_FP,    /* #MF, a pending x87 exception: SIGFPE */
	PG_COMPLEX_BREAKPOINT,  /* int 3 in its two-byte form: SIGTRAP; rip is behind it */
	PG_COMPLEX_ILLEGAL,     /* #UD, also for all that CPUID does not offer: SIGILL */
	PG_COMPLEX_UNSUPPORTED, /* valid on this host but not done here */
};

/* Iterations of a rep that one call runs, in bytes moved, before it returns PG_COMPLEX_AGAIN. */
#define PG_COMPLEX_REP_BYTES ((uint64_t)64 << 10)

/* Is this instruction executed by pg_complex_run()? ops: all operands, hidden ones too. */
bool pg_complex_is(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *ops);

/*
 * Executes one instruction at regs->rip, for which pg_complex_is(). Machine lock held, which is
 * what makes a locked access that crosses a page atomic. With TF set a rep does one iteration a
 * call.
 */
PG_MUST_CHECK enum pg_complex_result pg_complex_run(struct pg_cpu_regs *regs,
	const struct pg_access_port *port, const ZydisDecodedInstruction *insn,
	const ZydisDecodedOperand *ops);

/*
 * The linear address of a memory operand (a VSIB operand: without its index): base, index, scale,
 * displacement, RIP-relative to next_rip, wrapped at 32 bits under an address-size prefix, plus the
 * base of fs or gs.
 */
pg_va pg_operand_address(const struct pg_cpu_regs *regs, const ZydisDecodedInstruction *insn,
	const ZydisDecodedOperand *op, uint64_t next_rip);

/*
 * Zydis 4.0 gives an operand of the form "SIB, mod 0, base field 5" with an address-size prefix and REX.B the base r13d and
 * no displacement; it has no base and a displacement (Intel SDM vol. 2, table 2-3, note 1). Puts that right; to
 * be called once, after decoding, by whoever looks at mem.base or mem.disp. pg_operand_address() does not rely on it.
 */
void pg_operands_repair(const ZydisDecodedInstruction *insn, ZydisDecodedOperand *ops);

/* True if the first and the last byte of [a, a + n), n > 0, are canonical: bits 63 .. 47 equal. */
static inline bool pg_va_is_canonical(pg_va a, uint64_t n)
{
	uint64_t last = a.v + n - 1;
	return (uint64_t)((int64_t)(a.v << 16) >> 16) == a.v &&
	       (uint64_t)((int64_t)(last << 16) >> 16) == last;
}

/*
 * What an access to a non-canonical address through this operand raises: #SS when its segment is SS
 * (based on rsp or rbp without a segment override), else #GP.
 */
enum pg_complex_result pg_operand_fault(const ZydisDecodedOperand *op);

/* A general register by its Zydis name, any width (ah .. bh too). Writing 32 bits clears the upper
 * half. */
uint64_t pg_gpr_get(const struct pg_cpu_regs *regs, ZydisRegister r);
void pg_gpr_set(struct pg_cpu_regs *regs, ZydisRegister r, uint64_t v);

#endif
