/* SPDX-License-Identifier: MIT */
/*
 * tests/complex/world.h: one small address space, twice: in a traced child that executes an
 * instruction on the hardware, and as plain buffers behind a pg_access_port for pg_complex_run().
 * Both start from the same registers and bytes; afterwards registers, flags, vector state, memory
 * and the fault must agree.
 *
 * The space (WORLD_PAGES pages from WORLD_BASE, below 4 GiB so that address-size prefixes reach
 * it): 0 none, 1 2 3 read-write, 4 read-only, 5 read-write, 6 none, 7 .. 14 read-write, 15 none.
 */
#ifndef TESTS_COMPLEX_WORLD_H
#define TESTS_COMPLEX_WORLD_H

#include <sys/types.h>

#include "cpu/complex.h"

#define WORLD_BASE ((uint64_t)0x20000000)
#define WORLD_CODE ((uint64_t)0x30000000)
#define WORLD_PAGES 16u
#define WORLD_BYTES (WORLD_PAGES * PG_PAGE_SIZE)

/* How an instruction ended, in the words of both sides. */
struct outcome {
	enum pg_complex_result result;
	uint64_t fault_va; /* PG_COMPLEX_FAULT: the first byte that could not be reached */
};

/* Figures of the port. */
struct port_counts {
	uint64_t lookups; /* pages resolved, and hits */
	uint64_t resolved;
	uint64_t loads, stores, misses;
};

/* A simulated TLB with LRU sets, to compare recency and misses. */
#define WORLD_TLB_SETS 4u
#define WORLD_TLB_WAYS 4u
struct world_tlb {
	unsigned sets, ways;                          /* at most the above */
	uint64_t vpn[WORLD_TLB_SETS][WORLD_TLB_WAYS]; /* most recently used first */
};

struct world {
	pid_t child; /* traced; owned */
	uint8_t *
		shared; /* the child's memory as we see it: WORLD_BYTES and a page of code; owned */
	uint8_t *pool[2]; /* our memory: pool[now] is in use, the other is poisoned; owned */
	unsigned now;
	unsigned mend_one_in; /* resolve() answers "mended" and moves all frames once in so many
				 calls; 0: never */
	uint64_t fault_va;    /* of the last refusal */
	struct port_counts counts;
	struct world_tlb tlb;
	uint64_t random; /* state of the generator */
	struct pg_access_port port;
	size_t xsave_bytes; /* of the child's register set */
	bool host_has_avx;
};

void world_open(struct world *w, uint64_t seed);
void world_close(struct world *w);

uint64_t world_random(struct world *w);
/* 0 .. n - 1 */
uint64_t world_pick(struct world *w, uint64_t n);

/* Writes the same bytes at a guest address on both sides; a range of mapped pages of the space. */
void world_write(struct world *w, uint64_t va, const void *bytes, size_t n);
/* The host address of a mapped guest byte on our side. */
uint8_t *world_at(struct world *w, uint64_t va);
/* The first page-wise difference between both sides: a guest address, or 0. */
uint64_t world_difference(struct world *w);
/* Makes our side's memory as the child's. */
void world_align(struct world *w);

void world_reset_counts(struct world *w, unsigned sets, unsigned ways);

/* Executes the instruction in the child; regs is what it leaves. */
struct outcome world_run_native(
	struct world *w, const uint8_t *bytes, size_t n, struct pg_cpu_regs *regs);
/* Executes it by pg_complex_run(), again and again while it says so. */
struct outcome world_run_complex(struct world *w, const ZydisDecodedInstruction *insn,
	const ZydisDecodedOperand *ops, struct pg_cpu_regs *regs);

#endif
