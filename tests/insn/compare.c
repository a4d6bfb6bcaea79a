/* SPDX-License-Identifier: MIT */
/*
 * tests/insn/compare.c: do two results of one case agree, and if not, where.
 *
 * Everything is compared: both sides run on the same CPU, so that even flags that the
 * architecture leaves undefined come out the same, except where a case says otherwise
 * (struct insn_case). The resume flag is the CPU's own between fault and handler and never compared.
 */
#include "insn.h"

#include <string.h>

const char *insn_end_name(enum insn_end e)
{
	static const char *const names[ENDS] = {"int3", "trap flag", "SIGSEGV MAPERR",
		"SIGSEGV ACCERR", "SIGBUS ADRERR", "SIGSEGV GP", "SIGBUS SS", "SIGBUS ADRALN",
		"SIGFPE divide", "SIGFPE fp", "SIGILL", "unsupported", "syscall", "timeout",
		"other"};
	return e < ENDS ? names[e] : "?";
}

static const char *const gpr_names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
	"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};

#define RFLAGS_RF ((uint64_t)1 << 16)
#define RFLAGS_ARITHMETIC ((uint64_t)0x8d5)
#define X_BV 512 /* XSTATE_BV */
#define X_AVX 576

/* Components in their initial configuration need not be in the image, but MXCSR is. Intel SDM vol. 1, 13.6 to 13.8. */
static void normalize(uint8_t *to, const uint8_t *x)
{
	uint64_t bv;
	memcpy(&bv, x + X_BV, 8);
	memcpy(to, x, INSN_XBYTES);
	if (!(bv & 1)) {
		memset(to, 0, 24);
		to[0] = 0x7f;
		to[1] = 0x03;
		memset(to + 32, 0, 128);
	}
	if (!(bv & 2))
		memset(to + 160, 0, 256);
	if (!(bv & 4))
		memset(to + X_AVX, 0, 256);
	memset(to + 6, 0, 18); /* FOP, FIP, FDP */
	memset(to + 28, 0, 4); /* MXCSR_MASK */
	for (unsigned i = 0; i < 8; i++)
		memset(to + 32 + 16 * i + 10, 0, 6);
	memset(to + 416, 0, 160); /* reserved, header */
}

static bool same_x(const struct insn_result *ra, const struct insn_result *rb, const char *an,
	const char *bn, bool but_x87, bool but_mxcsr, FILE *f)
{
	uint8_t a[INSN_XBYTES], b[INSN_XBYTES];
	bool same = true;
	normalize(a, ra->after.x);
	normalize(b, rb->after.x);
	if (but_mxcsr)
		a[24] = b[24];
	if (but_x87) {
		memset(a, 0, 24), memset(b, 0, 24);
		memset(a + 32, 0, 128), memset(b + 32, 0, 128);
	}
	if (memcmp(a, b, sizeof a) == 0)
		return true;
	for (unsigned o = 0; o < INSN_XBYTES && f; o += 16) {
		if (memcmp(a + o, b + o, 16) == 0)
			continue;
		if (o < 16)
			fprintf(f, "  x87 cw/sw/tag");
		else if (o < 32)
			fprintf(f, "  mxcsr");
		else if (o < 160)
			fprintf(f, "  st%u", (o - 32) / 16);
		else if (o < 416)
			fprintf(f, "  xmm%u", (o - 160) / 16);
		else
			fprintf(f, "  ymm%u high", (o - X_AVX) / 16);
		fprintf(f, "\n    %-10s ", an);
		for (unsigned i = 0; i < 16; i++)
			fprintf(f, "%02x", a[o + i]);
		fprintf(f, "\n    %-10s ", bn);
		for (unsigned i = 0; i < 16; i++)
			fprintf(f, "%02x", b[o + i]);
		fprintf(f, "\n");
	}
	same = false;
	return same;
}

static void field(FILE *f, bool *same, const char *name, uint64_t before, uint64_t a, uint64_t b,
	const char *an, const char *bn)
{
	if (a == b)
		return;
	*same = false;
	if (f)
		fprintf(f, "  %-8s before %016lx  %s %016lx  %s %016lx\n", name, before, an, a, bn,
			b);
}

static bool is_ignored(const struct insn_case *c, uint64_t va, bool faulted)
{
	for (unsigned i = 0; i < c->ignores; i++)
		if (va - c->ignore[i].va < c->ignore[i].len && (faulted || !c->ignore[i].if_fault))
			return true;
	return false;
}

static bool same_memory(const struct insn_case *c, struct insn_side *sa, struct insn_side *sb,
	bool faulted, FILE *f)
{
	bool same = true;
	unsigned shown = 0;
	for (unsigned i = 0; i < INSN_PAGES; i++) {
		const uint8_t *a = sa->page(sa, i), *b = sb->page(sb, i);
		if (memcmp(a, b, 4096) == 0)
			continue;
		uint8_t before[4096];
		memcpy(before, insn_image[i], 4096);
		insn_case_apply(c, i, before);
		for (unsigned o = 0; o < 4096; o++) {
			if (a[o] == b[o] || is_ignored(c, insn_pages[i].va + o, faulted))
				continue;
			same = false;
			if (f && shown++ < 40)
				fprintf(f, "  [%lx] before %02x  %s %02x  %s %02x\n",
					insn_pages[i].va + o, before[o], sa->name, a[o], sb->name,
					b[o]);
		}
	}
	if (shown > 40)
		fprintf(f, "  ... %u bytes of memory differ\n", shown);
	return same;
}

bool insn_lazy_flags;

static bool is_bad_address(enum insn_end e)
{
	return e == END_MAPERR || e == END_ACCERR || e == END_GP || e == END_SS;
}

static bool may_be_fault(enum insn_end e)
{
	return e == END_BREAK || e == END_FP || is_bad_address(e);
}

bool insn_agree(const struct insn_case *c, struct insn_side *sa, const struct insn_result *ra,
	struct insn_side *sb, const struct insn_result *rb, FILE *f)
{
	bool same = true;
	/* Alignment checks (the AC flag, which popf may set) are not part of the guest: docs/QUIRKS.md */
	if (ra->end == END_ALIGN)
		return true;
	if (c->fault_may_be && ra->end != rb->end && may_be_fault(ra->end) && may_be_fault(rb->end))
		return true;
	if (ra->end != rb->end &&
		!(c->fault_any_byte && is_bad_address(ra->end) && is_bad_address(rb->end))) {
		same = false;
		if (f)
			fprintf(f, "  end      %s: %s (%lx)  %s: %s (%lx)\n", sa->name,
				insn_end_name(ra->end), ra->raw, sb->name, insn_end_name(rb->end),
				rb->raw);
	}
	bool faulted = ra->end != END_BREAK && ra->end != END_STEP;
	uint64_t ignored =
		RFLAGS_RF |
		((faulted || ra->end == END_STEP) && insn_lazy_flags ? RFLAGS_ARITHMETIC : 0);
	uint64_t addr_mask = c->fault_any_byte ? 0 : ~(uint64_t)0;
	field(f, &same, "si_addr", 0, ra->addr & addr_mask, rb->addr & addr_mask, sa->name,
		sb->name);
	field(f, &same, "rip", c->before.rip, ra->after.rip, rb->after.rip, sa->name, sb->name);
	field(f, &same, "rflags", c->before.rflags, ra->after.rflags & ~ignored,
		rb->after.rflags & ~ignored, sa->name, sb->name);
	for (unsigned i = 0; i < 16; i++) {
		bool low = faulted && c->fault_upper && (i == 1 || i == 6 || i == 7);
		uint64_t mask = low ? 0xffffffff : ~(uint64_t)0;
		field(f, &same, gpr_names[i], c->before.gpr[i], ra->after.gpr[i] & mask,
			rb->after.gpr[i] & mask, sa->name, sb->name);
	}
	field(f, &same, "fs_base", c->before.fs_base, ra->after.fs_base, rb->after.fs_base,
		sa->name, sb->name);
	field(f, &same, "gs_base", c->before.gs_base, ra->after.gs_base, rb->after.gs_base,
		sa->name, sb->name);
	if (!same_x(ra, rb, sa->name, sb->name, faulted && c->fault_x87_top,
		    faulted && c->fault_mxcsr, f))
		same = false;
	if (!same_memory(c, sa, sb, faulted, f))
		same = false;
	return same;
}

void insn_print_code(const struct insn_case *c, FILE *f)
{
	ZydisFormatter fmt;
	ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
	for (unsigned i = 0; i < c->count; i++) {
		const uint8_t *p = c->code + c->insn[i].at;
		ZydisDecodedInstruction insn;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		char text[128] = "(does not decode)";
		uint64_t va = c->before.rip + c->insn[i].at;
		if (ZYAN_SUCCESS(
			    ZydisDecoderDecodeFull(&insn_decoder, p, c->insn[i].len, &insn, ops)))
			ZydisFormatterFormatInstruction(&fmt, &insn, ops,
				insn.operand_count_visible, text, sizeof text, va, NULL);
		fprintf(f, "  %lx: %-48s", va, text);
		for (unsigned b = 0; b < c->insn[i].len; b++)
			fprintf(f, " %02x", p[b]);
		fprintf(f, "\n");
	}
}

void insn_print_state(const struct insn_case *c, FILE *f)
{
	const struct insn_state *s = &c->before;
	for (unsigned i = 0; i < 16; i++)
		fprintf(f, "  %-3s=%016lx%s", gpr_names[i], s->gpr[i], i % 4 == 3 ? "\n" : "");
	fprintf(f, "  rip=%016lx rflags=%08lx fs=%lx gs=%lx\n", s->rip, s->rflags, s->fs_base,
		s->gs_base);
	for (unsigned i = 0; i < c->pokes; i++) {
		fprintf(f, "  poke %lx:", c->poke[i].va);
		for (unsigned b = 0; b < c->poke[i].len; b++)
			fprintf(f, " %02x", c->poke[i].bytes[b]);
		fprintf(f, "\n");
	}
}
