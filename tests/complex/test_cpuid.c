/* SPDX-License-Identifier: MIT */
/*
 * tests/complex/test_cpuid.c: what the guest's processor says of itself, and the instructions whose
 * answer is ours rather than the host's; long repetitions.
 *
 * Guards: the guest is never offered what the engine does not run (an instruction that CPUID denies
 * is illegal); answers do not depend on the host's processor number; C1 and C3 of cpu/complex.h for
 * a rep that takes several calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <cpuid.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/complex.h"
#include "cpu/complex_image.h"

enum { EAX, EBX, ECX, EDX };

/* A flat guest memory, for the repetitions. */
#define FLAT_BASE ((uint64_t)0x10000000)
#define FLAT_BYTES ((uint64_t)1 << 20)

struct flat {
	uint8_t *bytes; /* owned */
	uint64_t resolved, hits, loads, stores;
};

static int flat_resolve(void *ctx, pg_va a, unsigned n, bool read, bool write,
	struct pg_fragment frag[2], unsigned *frags)
{
	struct flat *f = ctx;
	uint64_t at = a.v - FLAT_BASE, end = at + n;
	(void)read;
	(void)write;
	*frags = 0;
	if (at >= FLAT_BYTES || end > FLAT_BYTES)
		return -1;
	while (at < end) {
		uint64_t room = PG_PAGE_SIZE - (at & PG_PAGE_MASK);
		frag[*frags] = (struct pg_fragment){
			f->bytes + at, (unsigned)(room < end - at ? room : end - at)};
		at += frag[(*frags)++].n;
		f->resolved++;
	}
	return 0;
}

static void flat_count(void *ctx, uint64_t loads, uint64_t stores, uint64_t hits)
{
	struct flat *f = ctx;
	f->loads += loads;
	f->stores += stores;
	f->hits += hits;
}

struct fixture {
	struct flat flat;
	struct pg_access_port port;
	struct pg_cpu_regs regs;
	struct pg_xsave x;
};

static int set_up(void **state)
{
	struct fixture *f = aligned_alloc(64, pg_align_up(sizeof(*f), 64));
	memset(f, 0, sizeof(*f));
	f->flat.bytes = aligned_alloc(PG_PAGE_SIZE, FLAT_BYTES);
	memset(f->flat.bytes, 0, FLAT_BYTES);
	f->port = (struct pg_access_port){&f->flat, flat_resolve, flat_count, NULL};
	f->regs.x = &f->x;
	f->regs.rip = 0x400000;
	f->regs.rflags = 0x202;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	free(f->flat.bytes);
	free(f);
	return 0;
}

#define RUN(f, ...) run(f, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static enum pg_complex_result run(struct fixture *f, const uint8_t *bytes, size_t n)
{
	ZydisDecoder decoder;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, n, &insn, ops)));
	assert_true(pg_complex_is(&insn, ops));
	return pg_complex_run(&f->regs, &f->port, &insn, ops);
}

static void host(uint32_t leaf, uint32_t sub, uint32_t out[4])
{
	__cpuid_count(leaf, sub, out[EAX], out[EBX], out[ECX], out[EDX]);
}

/* Every feature offered is one that the host has. */
static void cpuid_features_are_the_hosts(void **state)
{
	(void)state;
	static const struct {
		uint32_t leaf, sub;
		unsigned words; /* bit i: out[i] holds features */
	} words[] = {{1, 0, 0xc}, {7, 0, 0xe}, {7, 1, 0xf}, {0xd, 0, 1}, {0xd, 1, 1},
		{0x80000001, 0, 0xc}, {0x80000008, 0, 2}};
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		uint32_t guest[4], real[4];
		pg_cpu_guest_cpuid(words[i].leaf, words[i].sub, guest);
		host(words[i].leaf, words[i].sub, real);
		for (unsigned j = 0; j < 4; j++)
			if (words[i].words >> j & 1)
				assert_int_equal(guest[j] & ~real[j], 0);
	}
}

static void cpuid_what_is_not_run_is_not_offered(void **state)
{
	(void)state;
	static const struct {
		uint32_t leaf, sub, word, bits;
	} masked[] = {
		{1, 0, ECX, 1u << 3 | 1u << 5 | 1u << 6}, /* MONITOR, VMX, SMX */
		{7, 0, EBX,
			1u << 2 | 1u << 4 | 1u << 11 | 1u << 14 |
				1u << 25}, /* SGX, HLE, RTM, MPX, PT */
		{7, 0, EBX,
			1u << 16 | 1u << 17 | 1u << 21 | 3u << 26 | 1u << 28 |
				3u << 30}, /* AVX-512 */
		{7, 0, ECX,
			1u << 1 | 3u << 3 | 1u << 5 | 1u << 6 |
				1u << 7}, /* VBMI, PKU, OSPKE, WAITPKG, VBMI2, SHSTK */
		{7, 0, ECX,
			3u << 11 | 1u << 14 | 1u << 16 | 1u << 23 |
				1u << 29}, /* VNNI, BITALG, POPCNTDQ, LA57, KL, ENQCMD */
		{7, 0, EDX,
			3u << 2 | 1u << 5 | 1u << 8 | 1u << 16 |
				1u << 20}, /* 4VNNIW, 4FMAPS, UINTR, VP2INTERSECT, TSXLDTRK, IBT */
		{7, 0, EDX, 1u << 22 | 1u << 23 | 3u << 24}, /* AMX-BF16, AVX512-FP16, AMX */
		{7, 1, EAX, 1u << 5 | 1u << 17 | 1u << 21},  /* AVX512-BF16, FRED, AMX-FP16 */
		{7, 1, EDX, 0xffffffff},                     /* AVX10, APX and others */
		{0xd, 0, EAX, ~7u}, {0xd, 0, EDX, ~0u}, {0xd, 1, EAX, 3u << 3}, /* XSAVES, XFD */
		{0xd, 1, ECX, ~0u}, {0xd, 5, EAX, ~0u}, {0xd, 17, EAX, ~0u}, {0x14, 0, EBX, ~0u},
		{0x1d, 0, EAX, ~0u}, {0x12, 0, EAX, ~0u},
		{0x80000001, 0, ECX,
			1u << 2 | 1u << 11 | 1u << 15 | 1u << 21 |
				1u << 29},               /* SVM, XOP, LWP, TBM, MONITORX */
		{0x80000008, 0, EBX, 1u << 0 | 1u << 4}, /* CLZERO, RDPRU */
	};
	for (unsigned i = 0; i < sizeof(masked) / sizeof(masked[0]); i++) {
		uint32_t guest[4];
		pg_cpu_guest_cpuid(masked[i].leaf, masked[i].sub, guest);
		assert_int_equal(guest[masked[i].word] & masked[i].bits, 0);
	}
}

/* What the host can do and the engine runs is kept: a guest that wants AVX2 gets it. */
static void cpuid_what_is_run_is_kept(void **state)
{
	(void)state;
	uint32_t guest[4], real[4];
	pg_cpu_guest_cpuid(1, 0, guest);
	host(1, 0, real);
	uint32_t ecx = 1u << 0 | 1u << 9 | 1u << 12 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23 |
		       1u << 25 | 1u << 26 | 1u << 27 |
		       1u << 28; /* SSE3 .. AVX, FMA, CX16, OSXSAVE */
	assert_int_equal(guest[ECX] & ecx, real[ECX] & ecx);
	assert_int_equal(guest[EDX] & 0x07808111, real[EDX] & 0x07808111);
	pg_cpu_guest_cpuid(7, 0, guest);
	host(7, 0, real);
	uint32_t ebx = 1u << 0 | 1u << 3 | 1u << 5 | 1u << 8 |
		       1u << 9; /* FSGSBASE, BMI1, AVX2, BMI2, ERMS */
	assert_int_equal(guest[EBX] & ebx, real[EBX] & ebx);
}

static void cpuid_xsave_leaf_agrees_with_xgetbv(void **state)
{
	struct fixture *f = *state;
	uint32_t guest[4], avx[4];
	pg_cpu_guest_cpuid(0xd, 0, guest);
	assert_int_equal(guest[EAX], pg_cpu_guest_xcr0());
	assert_int_equal(guest[EBX], pg_cpu_guest_xsave_bytes());
	assert_int_equal(guest[ECX], guest[EBX]);
	f->regs.gpr[PG_RCX] = 0;
	assert_int_equal(RUN(f, 0x0f, 0x01, 0xd0), PG_COMPLEX_DONE);
	assert_int_equal(f->regs.gpr[PG_RAX], pg_cpu_guest_xcr0());
	assert_int_equal(f->regs.gpr[PG_RDX], 0);
	pg_cpu_guest_cpuid(0xd, 2, guest);
	host(0xd, 2, avx);
	if (pg_cpu_guest_xcr0() & 4) {
		assert_int_equal(guest[EAX], avx[EAX]);
		assert_int_equal(guest[EBX], avx[EBX]);
		assert_int_equal(pg_cpu_guest_xsave_bytes(), avx[EAX] + avx[EBX]);
	}
	f->regs.gpr[PG_RCX] = 2;
	assert_int_equal(RUN(f, 0x0f, 0x01, 0xd0), PG_COMPLEX_GP);
}

/* The numbers that tell one processor of the host from another are 0. */
static void cpuid_processor_numbers_are_zero(void **state)
{
	(void)state;
	uint32_t out[4];
	pg_cpu_guest_cpuid(1, 0, out);
	assert_int_equal(out[EBX] >> 24, 0);
	for (uint32_t sub = 0; sub < 3; sub++) {
		pg_cpu_guest_cpuid(0xb, sub, out);
		assert_int_equal(out[EDX], 0);
		pg_cpu_guest_cpuid(0x1f, sub, out);
		assert_int_equal(out[EDX], 0);
	}
	pg_cpu_guest_cpuid(0x1a, 0, out);
	assert_int_equal(out[EAX], 0);
	pg_cpu_guest_cpuid(0x8000001e, 0, out);
	if (out[EAX] !=
		0) { /* above the highest extended leaf, Intel answers with the highest basic one */
		uint32_t top[4], basic[4];
		pg_cpu_guest_cpuid(0x80000000, 0, top);
		assert_true(top[EAX] < 0x8000001e);
		pg_cpu_guest_cpuid(0, 0, top);
		pg_cpu_guest_cpuid(top[EAX], 0, basic);
		assert_memory_equal(out, basic, sizeof(out));
	}
}

/* A second question, answered from memory, and one that shares its place there have the same answers as the first. */
static void cpuid_asked_again_answers_the_same(void **state)
{
	(void)state;
	enum { LEAVES = 0x24, SUBS = 8 };
	static uint32_t first[2][LEAVES][SUBS][4];
	for (unsigned round = 0; round < 2; round++) {
		for (uint32_t leaf = 0; leaf < LEAVES; leaf++) {
			for (uint32_t sub = 0; sub < SUBS; sub++) {
				for (unsigned high = 0; high < 2; high++) {
					uint32_t out[4];
					pg_cpu_guest_cpuid(leaf | high << 31, sub, out);
					if (round == 0)
						memcpy(first[high][leaf][sub], out, sizeof(out));
					else
						assert_memory_equal(
							first[high][leaf][sub], out, sizeof(out));
				}
			}
		}
	}
	/* these two share a place: one is the highest extended leaf's number, the other is out of range */
	assert_true(first[1][0][0][EAX] >= 0x80000000);
	assert_true(first[0][0x20][0][EAX] < 0x80000000);
}

static void cpuid_instruction_clears_upper_halves(void **state)
{
	struct fixture *f = *state;
	uint32_t out[4];
	memset(f->regs.gpr, 0xff, sizeof(f->regs.gpr));
	f->regs.gpr[PG_RAX] = (uint64_t)0xdead << 32 | 7;
	f->regs.gpr[PG_RCX] = (uint64_t)0xdead << 32;
	assert_int_equal(RUN(f, 0x0f, 0xa2), PG_COMPLEX_DONE);
	pg_cpu_guest_cpuid(7, 0, out);
	assert_int_equal(f->regs.gpr[PG_RAX], out[EAX]);
	assert_int_equal(f->regs.gpr[PG_RBX], out[EBX]);
	assert_int_equal(f->regs.gpr[PG_RCX], out[ECX]);
	assert_int_equal(f->regs.gpr[PG_RDX], out[EDX]);
	assert_int_equal(f->regs.rip, 0x400002);
}

/* rdpid, rdtscp and Linux's segment limit all say processor 0. */
static void processor_number_is_zero(void **state)
{
	struct fixture *f = *state;
	f->regs.gpr[PG_RDX] = UINT64_MAX;
	assert_int_equal(RUN(f, 0xf3, 0x0f, 0xc7, 0xfa), PG_COMPLEX_DONE);
	assert_int_equal(f->regs.gpr[PG_RDX], 0);
	f->regs.gpr[PG_RCX] = UINT64_MAX;
	assert_int_equal(RUN(f, 0x0f, 0x01, 0xf9), PG_COMPLEX_DONE);
	assert_int_equal(f->regs.gpr[PG_RCX], 0);
	uint64_t then = f->regs.gpr[PG_RAX] | f->regs.gpr[PG_RDX] << 32;
	assert_int_equal(RUN(f, 0x0f, 0x01, 0xf9), PG_COMPLEX_DONE);
	assert_true((f->regs.gpr[PG_RAX] | f->regs.gpr[PG_RDX] << 32) > then);
	f->regs.gpr[PG_RCX] = 0x7b;
	assert_int_equal(RUN(f, 0x0f, 0x03, 0xc1), PG_COMPLEX_DONE); /* lsl eax, ecx */
	if (f->regs.rflags & 0x40)
		assert_int_equal(f->regs.gpr[PG_RAX], 0);
}

/* Illegal because our CPUID does not offer it, whatever the host can do. */
static void instruction_not_offered_is_illegal(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(RUN(f, 0xc7, 0xf8, 0, 0, 0, 0), PG_COMPLEX_ILLEGAL); /* xbegin */
	assert_int_equal(RUN(f, 0x0f, 0x01, 0xd6), PG_COMPLEX_ILLEGAL);       /* xtest */
	assert_int_equal(RUN(f, 0x0f, 0x01, 0xd5), PG_COMPLEX_ILLEGAL);       /* xend */
	assert_int_equal(RUN(f, 0xc6, 0xf8, 0), PG_COMPLEX_ILLEGAL);          /* xabort */
	assert_int_equal(RUN(f, 0x0f, 0xc7, 0x28), PG_COMPLEX_ILLEGAL);       /* xsaves */
	assert_int_equal(RUN(f, 0x0f, 0x01, 0xee), PG_COMPLEX_ILLEGAL);       /* rdpkru */
	assert_int_equal(RUN(f, 0xf2, 0x0f, 0x01, 0xe8), PG_COMPLEX_ILLEGAL); /* xsusldtrk */
	assert_int_equal(RUN(f, 0x0f, 0x01, 0xfc), PG_COMPLEX_ILLEGAL);       /* clzero */
	assert_int_equal(RUN(f, 0x0f, 0x01, 0xc1), PG_COMPLEX_ILLEGAL);       /* vmcall */
	assert_int_equal(RUN(f, 0xf2, 0x0f, 0xae, 0xf0), PG_COMPLEX_ILLEGAL); /* umwait */
	assert_int_equal(f->regs.rip, 0x400000);
}

static void interrupt_vectors_are_told_apart(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(RUN(f, 0xcd, 0x80), PG_COMPLEX_UNSUPPORTED);
	assert_int_equal(RUN(f, 0xcd, 0x0d), PG_COMPLEX_GP);
	assert_int_equal(RUN(f, 0xf1), PG_COMPLEX_UNSUPPORTED);
	assert_int_equal(f->regs.rip, 0x400000);
	assert_int_equal(RUN(f, 0xcd, 0x03), PG_COMPLEX_BREAKPOINT);
	assert_int_equal(f->regs.rip, 0x400002);
}

/* What Linux would accept but the machine does not model says so; nothing changes. */
static void segment_other_than_null_is_refused(void **state)
{
	struct fixture *f = *state;
	f->regs.fs_base = 0x1234;
	f->regs.gpr[PG_RAX] = 0x2b;
	assert_int_equal(RUN(f, 0x8e, 0xd8), PG_COMPLEX_UNSUPPORTED); /* mov ds, eax */
	assert_int_equal(RUN(f, 0x8e, 0xe0), PG_COMPLEX_UNSUPPORTED); /* mov fs, eax */
	assert_int_equal(RUN(f, 0x8e, 0xd0), PG_COMPLEX_DONE);        /* mov ss, eax: what it is */
	f->regs.gpr[PG_RAX] = 0xfff3;
	assert_int_equal(RUN(f, 0x8e, 0xd8), PG_COMPLEX_GP);
	f->regs.gpr[PG_RAX] = 0;
	assert_int_equal(RUN(f, 0x8e, 0xd0), PG_COMPLEX_GP); /* mov ss, 0 */
	assert_int_equal(f->regs.fs_base, 0x1234);
	uint8_t far[10] = {0x78, 0x56, 0x34, 0x12, 0, 0, 0, 0, 0, 0};
	memcpy(f->flat.bytes, far, sizeof(far));
	f->regs.gpr[PG_RBX] = FLAT_BASE;
	assert_int_equal(RUN(f, 0x48, 0x0f, 0xb4, 0x0b), PG_COMPLEX_DONE); /* lfs rcx, [rbx] */
	assert_int_equal(f->regs.gpr[PG_RCX], 0x12345678);
	assert_int_equal(f->regs.fs_base, 0);
}

/* A long rep comes back between pages, with rip still on it; in the end every element was counted
 * once. */
static void rep_longer_than_its_share_comes_back(void **state)
{
	struct fixture *f = *state;
	uint64_t count = 300001, left = count;
	unsigned calls = 1;
	for (uint64_t i = 0; i < count; i++)
		f->flat.bytes[i] = (uint8_t)(i * 7 + (i >> 9));
	f->regs.gpr[PG_RSI] = FLAT_BASE;
	f->regs.gpr[PG_RDI] = FLAT_BASE + 500003;
	f->regs.gpr[PG_RCX] = count;
	while (RUN(f, 0xf3, 0xa4) == PG_COMPLEX_AGAIN) {
		assert_int_equal(f->regs.rip, 0x400000);
		assert_int_equal(left - f->regs.gpr[PG_RCX], PG_COMPLEX_REP_BYTES);
		left = f->regs.gpr[PG_RCX];
		calls++;
	}
	assert_int_equal(calls, (count + PG_COMPLEX_REP_BYTES - 1) / PG_COMPLEX_REP_BYTES);
	assert_int_equal(f->regs.rip, 0x400002);
	assert_int_equal(f->regs.gpr[PG_RCX], 0);
	assert_int_equal(f->regs.gpr[PG_RSI], FLAT_BASE + count);
	assert_int_equal(f->regs.gpr[PG_RDI], FLAT_BASE + 500003 + count);
	assert_memory_equal(f->flat.bytes, f->flat.bytes + 500003, count);
	assert_int_equal(f->flat.loads, count);
	assert_int_equal(f->flat.stores, count);
	assert_int_equal(f->flat.resolved + f->flat.hits, 2 * count);
}

/* Only what the guest's XCR0 has is saved, whatever is asked for. */
static void xsave_of_everything_stays_within_xcr0(void **state)
{
	struct fixture *f = *state;
	uint64_t bv;
	uint16_t fcw = 0x37f;
	uint32_t mxcsr = 0x1f80;
	memcpy(f->x.bytes + IMAGE_FCW, &fcw, 2);
	memcpy(f->x.bytes + IMAGE_MXCSR, &mxcsr, 4);
	memset(f->x.bytes + IMAGE_XMM, 0x11, 256);
	memset(f->x.bytes + IMAGE_AVX, 0x22, 256);
	image_set_in_use(&f->x, pg_cpu_guest_xcr0());
	memset(f->flat.bytes, 0xee, 8192);
	memset(f->flat.bytes + 512, 0, 64);
	f->regs.gpr[PG_RAX] = f->regs.gpr[PG_RDX] = UINT64_MAX;
	f->regs.gpr[PG_RBX] = FLAT_BASE;
	assert_int_equal(RUN(f, 0x0f, 0xae, 0x23), PG_COMPLEX_DONE); /* xsave [rbx] */
	memcpy(&bv, f->flat.bytes + 512, 8);
	assert_int_equal(bv & ~pg_cpu_guest_xcr0(), 0);
	assert_int_equal(
		f->flat.bytes[pg_cpu_guest_xsave_bytes() - 1], pg_cpu_guest_xcr0() & 4 ? 0x22 : 0);
	assert_int_equal(f->flat.bytes[pg_cpu_guest_xsave_bytes()], 0xee);
	assert_int_equal(f->flat.loads, 1);
	assert_int_equal(f->flat.stores, 1);
}

/* Where the x87 unit was when it last worked is the host's business: a guest sees zeros, in every format. */
static void x87_pointers_of_the_host_are_not_shown(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint8_t code[4], size;
		bool wide; /* legacy region: FOP at 6, pointers in 8 .. 23; else the 28-byte environment */
	} saves[] = {
		{{0x0f, 0xae, 0x03}, 3, true},       /* fxsave [rbx] */
		{{0x48, 0x0f, 0xae, 0x03}, 4, true}, /* fxsave64 */
		{{0x0f, 0xae, 0x23}, 3, true},       /* xsave */
		{{0x48, 0x0f, 0xae, 0x23}, 4, true}, /* xsave64 */
		{{0xd9, 0x33}, 2, false},            /* fnstenv */
		{{0xdd, 0x33}, 2, false},            /* fnsave */
	};
	const uint8_t zeros[16] = {0};
	for (unsigned i = 0; i < sizeof(saves) / sizeof(saves[0]); i++) {
		uint16_t fcw = 0x37f;
		uint32_t mxcsr = 0x1f80;
		memset(&f->x, 0, sizeof(f->x));
		memcpy(f->x.bytes + IMAGE_FCW, &fcw, 2);
		memset(f->x.bytes + IMAGE_FOP, 0x5a, IMAGE_POINTERS_END - IMAGE_FOP);
		f->x.bytes[IMAGE_FOP + 1] = 2; /* 11 bits */
		memcpy(f->x.bytes + IMAGE_MXCSR, &mxcsr, 4);
		f->x.bytes[IMAGE_FTW] = 0xff;
		f->x.bytes[IMAGE_ST] = 0x77;
		image_set_in_use(&f->x, pg_cpu_guest_xcr0());
		memset(f->flat.bytes, 0, 1024);
		f->regs.gpr[PG_RAX] = f->regs.gpr[PG_RDX] = UINT64_MAX;
		f->regs.gpr[PG_RBX] = FLAT_BASE;
		assert_int_equal(run(f, saves[i].code, saves[i].size), PG_COMPLEX_DONE);
		assert_int_equal(f->flat.bytes[0], 0x7f);
		if (saves[i].wide) {
			assert_memory_equal(f->flat.bytes + 6, zeros, 2);
			assert_memory_equal(f->flat.bytes + 8, zeros, 16);
		} else {
			assert_memory_equal(f->flat.bytes + 12, zeros,
				8); /* instruction, its selector, opcode */
			assert_memory_equal(f->flat.bytes + 20, zeros, 6); /* data, its selector */
		}
	}
}

/* The last processor of those we may use: its numbers are not 0 where there are several. */
static void use_last_processor(void)
{
	cpu_set_t usable, last;
	if (sched_getaffinity(0, sizeof(usable), &usable) != 0)
		return;
	CPU_ZERO(&last);
	for (int i = CPU_SETSIZE - 1; i >= 0; i--) {
		if (CPU_ISSET(i, &usable)) {
			CPU_SET(i, &last);
			(void)sched_setaffinity(0, sizeof(last), &last);
			return;
		}
	}
}

int main(void)
{
	use_last_processor();
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(cpuid_features_are_the_hosts),
		T(cpuid_what_is_not_run_is_not_offered),
		T(cpuid_what_is_run_is_kept),
		T(cpuid_xsave_leaf_agrees_with_xgetbv),
		T(cpuid_processor_numbers_are_zero),
		T(cpuid_asked_again_answers_the_same),
		T(cpuid_instruction_clears_upper_halves),
		T(processor_number_is_zero),
		T(instruction_not_offered_is_illegal),
		T(interrupt_vectors_are_told_apart),
		T(segment_other_than_null_is_refused),
		T(rep_longer_than_its_share_comes_back),
		T(xsave_of_everything_stays_within_xcr0),
		T(x87_pointers_of_the_host_are_not_shown),
	};
	return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}
