/* SPDX-License-Identifier: MIT */
/*
 * cpu/cpuid.c: what CPUID says to the guest: the host's answer, less what the engine does not run.
 *
 * Called by complex_scalar.c (cpuid, xgetbv), complex_state.c (XCR0) and linux/ (AT_HWCAP, sizes of
 * signal frames). Feature words pass through lists of what is allowed, so that a future processor's
 * new bits stay hidden.
 *
 * Masked: AVX-512 and AVX10, AMX, APX, TSX, protection keys, CET, MPX, user interrupts, WAITPKG,
 * ENQCMD, SGX, Key Locker, FRED, processor trace, performance counters, XSAVES, 5-level paging,
 * virtualisation, MONITOR, AMD's CLZERO, MONITORX, RDPRU, LWP, XOP and TBM, and what the decoder
 * (Zydis 4.0) does not know. The number of the processor is always 0, so that the answer does not
 * depend on where the host runs us.
 *
 * Source: Intel SDM vol. 2, CPUID; vol. 1, 13.2; AMD APM vol. 3, appendix E.
 */
#include <cpuid.h>
#include <stdatomic.h>

#include "cpu/engine.h"

#define BIT(n) ((uint32_t)1 << (n))

enum { EAX, EBX, ECX, EDX };

#define XCR0_X87 ((uint64_t)1 << 0)
#define XCR0_SSE ((uint64_t)1 << 1)
#define XCR0_AVX ((uint64_t)1 << 2)

/* Intel SDM vol. 1, 13.4: legacy region and header; the AVX component is 256 bytes, behind them in
 * both formats. */
#define XSAVE_LEGACY_BYTES 576u
#define XSAVE_AVX_BYTES 256u

#define MAX_BASIC 0x1fu
#define MAX_EXTENDED 0x80000021u

static void host_cpuid(uint32_t leaf, uint32_t sub, uint32_t out[4])
{
	__cpuid_count(leaf, sub, out[EAX], out[EBX], out[ECX], out[EDX]);
}

static void zero(uint32_t out[4])
{
	out[EAX] = out[EBX] = out[ECX] = out[EDX] = 0;
}

uint64_t pg_cpu_guest_xcr0(void)
{
	uint32_t low, high;
	/* XSAVE is part of what this engine needs of its host, so that XGETBV is there. */
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low & (XCR0_X87 | XCR0_SSE | XCR0_AVX);
}

uint32_t pg_cpu_guest_xsave_bytes(void)
{
	return XSAVE_LEGACY_BYTES + (pg_cpu_guest_xcr0() & XCR0_AVX ? XSAVE_AVX_BYTES : 0);
}

/* Leaf 1: all that was there before AVX-512, less what only a kernel can use or the engine refuses.
 */
static void leaf_features(uint32_t out[4])
{
	out[EBX] &= 0x00ffffff; /* initial APIC id */
	out[ECX] &= ~(BIT(2) /* DTES64 */ | BIT(3) /* MONITOR */ | BIT(4) /* DS-CPL */ |
		      BIT(5) /* VMX */ | BIT(6) /* SMX */ | BIT(11) /* SDBG */ |
		      BIT(15) /* PDCM */ | BIT(18) /* DCA */);
	out[EDX] &= ~(BIT(20) | BIT(21) /* DS */);
}

/* Leaf 7, sub-leaf 0. */
static void leaf_structured(uint32_t out[4])
{
	out[EAX] = out[EAX] ? 1 : 0; /* sub-leaves up to 1 */
	out[EBX] &= BIT(0) /* FSGSBASE */ | BIT(1) /* TSC_ADJUST */ | BIT(3) /* BMI1 */ |
		    BIT(5) /* AVX2 */ | BIT(6) /* FDP_EXCPTN_ONLY */ | BIT(7) /* SMEP */ |
		    BIT(8) /* BMI2 */ | BIT(9) /* ERMS */ | BIT(10) /* INVPCID */ |
		    BIT(13) /* no FCS and FDS */ | BIT(18) /* RDSEED */ | BIT(19) /* ADX */ |
		    BIT(20) /* SMAP */ | BIT(23) /* CLFLUSHOPT */ | BIT(24) /* CLWB */ |
		    BIT(29) /* SHA */;
	out[ECX] &= BIT(0) /* PREFETCHWT1 */ | BIT(2) /* UMIP */ | BIT(8) /* GFNI */ |
		    BIT(9) /* VAES */ | BIT(10) /* VPCLMULQDQ */ | BIT(22) /* RDPID */ |
		    BIT(25) /* CLDEMOTE */ | BIT(27) /* MOVDIRI */ | BIT(28) /* MOVDIR64B */;
	out[EDX] &= BIT(4) /* FSRM */ | BIT(9) | BIT(10) /* MD_CLEAR */ | BIT(14) /* SERIALIZE */ |
		    BIT(26) | BIT(27) | BIT(28) | BIT(29) | BIT(30) |
		    BIT(31) /* speculation controls */;
}

/* Leaf 7, sub-leaf 1: AVX-VNNI and the fast short string operations. */
static void leaf_structured_1(uint32_t out[4])
{
	uint32_t eax = out[EAX] & (BIT(4) | BIT(10) | BIT(11) | BIT(12));
	zero(out);
	out[EAX] = eax;
}

static void leaf_xsave(uint32_t sub, uint32_t out[4])
{
	uint64_t xcr0 = pg_cpu_guest_xcr0();
	switch (sub) {
	case 0:
		out[EAX] = (uint32_t)xcr0;
		out[EBX] = out[ECX] = pg_cpu_guest_xsave_bytes();
		out[EDX] = 0;
		break;
	case 1:
		out[EAX] &= BIT(0) /* XSAVEOPT */ | BIT(1) /* XSAVEC */ |
			    BIT(2) /* XGETBV with ecx 1 */;
		out[EBX] = out[EAX] & BIT(1) ? pg_cpu_guest_xsave_bytes() : 0;
		out[ECX] = out[EDX] = 0;
		break;
	case 2:
		zero(out);
		if (xcr0 & XCR0_AVX) {
			out[EAX] = XSAVE_AVX_BYTES;
			out[EBX] = XSAVE_LEGACY_BYTES;
		}
		break;
	default:
		zero(out);
		break;
	}
}

static void leaf_extended_features(uint32_t out[4])
{
	out[ECX] &= BIT(0) /* LAHF */ | BIT(1) | BIT(4) | BIT(5) /* LZCNT */ | BIT(6) /* SSE4A */ |
		    BIT(7) /* misaligned SSE */ | BIT(8) /* PREFETCHW */ | BIT(9) |
		    BIT(16) /* FMA4 */ | BIT(22);
}

static bool is_intel(void)
{
	uint32_t out[4];
	host_cpuid(0, 0, out);
	return out[EBX] == 0x756e6547; /* "Genu" */
}

/* A leaf above the highest basic one gives that one's data on Intel, zeros elsewhere. */
static void out_of_range(uint32_t max, uint32_t sub, uint32_t out[4])
{
	zero(out);
	if (is_intel())
		pg_cpu_guest_cpuid(max, sub, out);
}

static void basic_leaf(uint32_t leaf, uint32_t sub, uint32_t out[4])
{
	uint32_t top[4];
	host_cpuid(0, 0, top);
	uint32_t max = top[EAX] < MAX_BASIC ? top[EAX] : MAX_BASIC;
	if (leaf > max) {
		out_of_range(max, sub, out);
		return;
	}
	host_cpuid(leaf, sub, out);
	switch (leaf) {
	case 0x0:
		out[EAX] = max;
		break;
	case 0x1:
		leaf_features(out);
		break;
	case 0x2:
	case 0x4:
	case 0x6:
	case 0x15:
	case 0x16:
	case 0x17:
	case 0x18:
		break; /* caches, TLBs, clocks: as on the host */
	case 0x7:
		if (sub == 0)
			leaf_structured(out);
		else if (sub == 1)
			leaf_structured_1(out);
		else
			zero(out);
		break;
	case 0xb:
	case 0x1f:
		out[EDX] = 0; /* x2APIC id */
		break;
	case 0xd:
		leaf_xsave(sub, out);
		break;
	default:
		zero(out);
		break;
	}
}

static void extended_leaf(uint32_t leaf, uint32_t sub, uint32_t out[4])
{
	uint32_t top[4];
	host_cpuid(0x80000000, 0, top);
	uint32_t max = top[EAX] < MAX_EXTENDED ? top[EAX] : MAX_EXTENDED;
	if (leaf > max) {
		uint32_t basic[4];
		host_cpuid(0, 0, basic);
		out_of_range(basic[EAX] < MAX_BASIC ? basic[EAX] : MAX_BASIC, sub, out);
		return;
	}
	host_cpuid(leaf, sub, out);
	switch (leaf) {
	case 0x80000000:
		out[EAX] = max;
		break;
	case 0x80000001:
		leaf_extended_features(out);
		break;
	case 0x80000008:
		out[EAX] = (out[EAX] & ~(uint32_t)0xff00) |
			   48u << 8; /* linear address bits: no 5-level paging */
		out[EBX] &= ~(BIT(0) /* CLZERO */ | BIT(1) | BIT(3) /* INVLPGB */ |
			      BIT(4) /* RDPRU */ | BIT(8) /* MCOMMIT */ | BIT(9) /* WBNOINVD */);
		break;
	case 0x80000021:
		out[EAX] &= BIT(6); /* loading a null selector clears the base */
		out[EBX] = out[ECX] = out[EDX] = 0;
		break;
	case 0x80000002:
	case 0x80000003:
	case 0x80000004:
	case 0x80000005:
	case 0x80000006:
	case 0x80000007:
	case 0x80000019:
	case 0x8000001a:
	case 0x8000001d:
		break;
	default:
		zero(out);
		break;
	}
}

/* Leaves of a hypervisor under the host (0x40000000 and up) pass through; those of other vendors are absent. */
static void answer(uint32_t leaf, uint32_t sub, uint32_t out[4])
{
	if (leaf < 0x40000000)
		basic_leaf(leaf, sub, out);
	else if (leaf < 0x80000000)
		host_cpuid(leaf, sub, out);
	else if (leaf < 0x80860000)
		extended_leaf(leaf, sub, out);
	else
		zero(out);
}

/*
 * Answers once given. They are facts of the host, the same for the life of the process and for every machine in it, and
 * asking again is dear: where the host is itself virtual, CPUID takes tens of microseconds. An entry is written once, by
 * whoever takes it from EMPTY; a question that finds its entry taken by another is answered without.
 */
enum { MEMO_EMPTY, MEMO_TAKEN, MEMO_READY };
#define MEMO_ENTRIES 128u
static struct memo {
	_Atomic uint32_t state;
	uint32_t leaf, sub, out[4];
} memos[MEMO_ENTRIES];

void pg_cpu_guest_cpuid(uint32_t leaf, uint32_t sub, uint32_t out[4])
{
	struct memo *m = &memos[(leaf ^ leaf >> 26 ^ sub * 37) % MEMO_ENTRIES];
	uint32_t state = atomic_load_explicit(&m->state, memory_order_acquire);
	if (state == MEMO_READY && m->leaf == leaf && m->sub == sub) {
		for (unsigned i = 0; i < 4; i++)
			out[i] = m->out[i];
		return;
	}
	answer(leaf, sub, out);
	if (state != MEMO_EMPTY ||
		!atomic_compare_exchange_strong(&m->state, &(uint32_t){MEMO_EMPTY}, MEMO_TAKEN))
		return;
	m->leaf = leaf;
	m->sub = sub;
	for (unsigned i = 0; i < 4; i++)
		m->out[i] = out[i];
	atomic_store_explicit(&m->state, MEMO_READY, memory_order_release);
}
