/* SPDX-License-Identifier: MIT */
/*
 * cpu/complex_string.c: movs, stos, lods, scas and cmps, alone and under rep, page by page.
 *
 * Called by complex.c. A run is a number of elements that lie, on each side, wholly within one
 * page. The first element of a run resolves its pages through the port as every element would; the
 * others are known to hit, unless the TLB cannot hold both pages at once (port->stable), where each
 * element resolves its own. The host's own rep instruction of the same kind, size and direction
 * executes the run on the frames, so that overlap, flags and speed are the processor's. An element
 * that crosses a page is executed on a bounce buffer.
 *
 * Invariants:
 *   S1  Registers change after a run is complete, never within it; a fault therefore finds rcx, rsi
 * and rdi at the element that faulted. Under rep and an address-size prefix a fault, or a count of
 * 0, leaves the upper half of rcx 0, and with movs and stos that of rsi and rdi, even before the
 * first element, as on hardware. S2  The flags of scas and cmps change only when the instruction is
 * complete (Intel SDM vol. 2, REP: a fault finds the flags from before the instruction).
 *
 * Built with general registers only. Source: Intel SDM vol. 1, 7.3.9; vol. 2, REP/REPE/REPNE.
 */
#include "cpu/complex_internal.h"

enum string_kind { STRING_MOVS, STRING_STOS, STRING_LODS, STRING_SCAS, STRING_CMPS };
enum string_rep { REP_NONE, REP_E, REP_NE }; /* for movs, stos and lods both are rep */

struct string_run {
	struct complex_op *op; /* const from the start, as are all fields down to `down` */
	enum string_kind kind;
	enum string_rep rep;
	unsigned size;         /* of an element: 1, 2, 4, 8 bytes */
	uint64_t address_mask; /* of rcx, rsi, rdi: 2^64 - 1, or 2^32 - 1 under an address-size
				  prefix */
	uint64_t source_base;  /* fs or gs base for rsi */
	bool down;             /* DF */
	uint64_t flags;        /* FLAGS_STATUS of the last comparison; scas, cmps */
	uint64_t accumulator;  /* rax with the last element; lods */
};

static bool reads_source(enum string_kind k)
{
	return k == STRING_MOVS || k == STRING_LODS || k == STRING_CMPS;
}

static bool has_destination(enum string_kind k)
{
	return k != STRING_LODS;
}

static bool compares(enum string_kind k)
{
	return k == STRING_SCAS || k == STRING_CMPS;
}

/* The last of F2 and F3 before the opcode counts. */
static enum string_rep rep_of(const ZydisDecodedInstruction *insn)
{
	enum string_rep rep = REP_NONE;
	for (unsigned i = 0; i < insn->raw.prefix_count; i++) {
		if (insn->raw.prefixes[i].value == 0xf3)
			rep = REP_E;
		else if (insn->raw.prefixes[i].value == 0xf2)
			rep = REP_NE;
	}
	return rep;
}

static void begin(struct string_run *s, struct complex_op *op)
{
	const ZydisDecodedInstruction *insn = op->insn;
	/* field by field: a compiler may call memset() for a whole struct */
	s->op = op;
	s->rep = rep_of(insn);
	s->source_base = 0;
	s->flags = 0;
	switch (insn->opcode & 0xfe) {
	case 0xa4:
		s->kind = STRING_MOVS;
		break;
	case 0xa6:
		s->kind = STRING_CMPS;
		break;
	case 0xaa:
		s->kind = STRING_STOS;
		break;
	case 0xac:
		s->kind = STRING_LODS;
		break;
	default:
		PG_ASSERT((insn->opcode & 0xfe) == 0xae);
		s->kind = STRING_SCAS;
		break;
	}
	s->size = insn->opcode & 1 ? insn->operand_width / 8u : 1;
	s->address_mask = insn->address_width == 32 ? UINT32_MAX : UINT64_MAX;
	s->down = op->regs->rflags & FLAG_DF;
	s->accumulator = op->regs->gpr[PG_RAX];
	for (unsigned i = 0; i < insn->operand_count; i++) {
		const ZydisDecodedOperand *o = &op->ops[i];
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
			(o->mem.base == ZYDIS_REGISTER_RSI || o->mem.base == ZYDIS_REGISTER_ESI))
			s->source_base = complex_segment_base(op->regs, o->mem.segment);
	}
}

/*
 * How many elements, at least 1 and at most max, starting at effective address ea lie within one
 * page (or: the first crosses a page, and the answer is 1) without the effective address wrapping
 * in between.
 */
static uint64_t run_length(const struct string_run *s, uint64_t ea, uint64_t base, uint64_t max)
{
	uint64_t off = (base + ea) & PG_PAGE_MASK;
	uint64_t n;
	if (off + s->size > PG_PAGE_SIZE)
		return 1;
	n = s->down ? off / s->size + 1 : (PG_PAGE_SIZE - off) / s->size;
	uint64_t before_wrap =
		(s->down ? ea : s->address_mask - ea) / s->size; /* elements after the first */
	if (n - 1 > before_wrap)
		n = before_wrap + 1;
	return n < max ? n : max;
}

/* The host's flags after a comparison, from lahf and seto. */
static uint64_t flags_of(uint64_t ax_after_lahf, uint8_t of)
{
	return (((ax_after_lahf >> 8) & 0xff) & (FLAGS_STATUS & ~FLAG_OF)) | (of ? FLAG_OF : 0);
}

#define DOWN_UP(instruction)                                                                       \
	if (down)                                                                                  \
		__asm__ volatile("std\n\t" instruction "\n\tcld"                                   \
				 : "+S"(si), "+D"(di), "+c"(n)                                     \
				 : "a"(ax)                                                         \
				 : "memory", "cc");                                                \
	else                                                                                       \
		__asm__ volatile(instruction                                                       \
				 : "+S"(si), "+D"(di), "+c"(n)                                     \
				 : "a"(ax)                                                         \
				 : "memory", "cc")

/* The lahf of the last comparison leaves rax; it is put in last. DF must be clear again for C. */
#define COMPARE_DOWN_UP(instruction)                                                               \
	__asm__ volatile("test %[dn], %[dn]\n\tjz 1f\n\tstd\n1:\t" instruction                     \
			 "\n\tlahf\n\tseto %[of]\n\tcld"                                           \
			 : "+S"(si), "+D"(di), "+c"(n), "+a"(ax), [of] "=&q"(of)                   \
			 : [dn] "r"((unsigned)down)                                                \
			 : "memory", "cc")

/* Runs n elements of movs or stos on host memory; si and di are the first elements' addresses. */
static void host_move(enum string_kind kind, unsigned size, bool down, uint8_t *si, uint8_t *di,
	uint64_t n, uint64_t ax)
{
	if (kind == STRING_MOVS) {
		switch (size) {
		case 1:
			DOWN_UP("rep movsb");
			return;
		case 2:
			DOWN_UP("rep movsw");
			return;
		case 4:
			DOWN_UP("rep movsl");
			return;
		default:
			DOWN_UP("rep movsq");
			return;
		}
	}
	switch (size) {
	case 1:
		DOWN_UP("rep stosb");
		return;
	case 2:
		DOWN_UP("rep stosw");
		return;
	case 4:
		DOWN_UP("rep stosl");
		return;
	default:
		DOWN_UP("rep stosq");
		return;
	}
}

/* Compares up to n elements; returns how many were compared, the flags of the last one in *flags.
 */
static uint64_t host_compare(enum string_kind kind, enum string_rep rep, unsigned size, bool down,
	uint8_t *si, uint8_t *di, uint64_t n, uint64_t ax, uint64_t *flags)
{
	const uint64_t max = n;
	uint8_t of = 0;
	bool ne = rep == REP_NE;
	if (kind == STRING_CMPS) {
		switch (size) {
		case 1:
			if (ne)
				COMPARE_DOWN_UP("repne cmpsb");
			else
				COMPARE_DOWN_UP("repe cmpsb");
			break;
		case 2:
			if (ne)
				COMPARE_DOWN_UP("repne cmpsw");
			else
				COMPARE_DOWN_UP("repe cmpsw");
			break;
		case 4:
			if (ne)
				COMPARE_DOWN_UP("repne cmpsl");
			else
				COMPARE_DOWN_UP("repe cmpsl");
			break;
		default:
			if (ne)
				COMPARE_DOWN_UP("repne cmpsq");
			else
				COMPARE_DOWN_UP("repe cmpsq");
			break;
		}
	} else {
		switch (size) {
		case 1:
			if (ne)
				COMPARE_DOWN_UP("repne scasb");
			else
				COMPARE_DOWN_UP("repe scasb");
			break;
		case 2:
			if (ne)
				COMPARE_DOWN_UP("repne scasw");
			else
				COMPARE_DOWN_UP("repe scasw");
			break;
		case 4:
			if (ne)
				COMPARE_DOWN_UP("repne scasl");
			else
				COMPARE_DOWN_UP("repe scasl");
			break;
		default:
			if (ne)
				COMPARE_DOWN_UP("repne scasq");
			else
				COMPARE_DOWN_UP("repe scasq");
			break;
		}
	}
	*flags = flags_of(ax, of);
	return max - n;
}

/* rax as lods leaves it. */
static uint64_t merged(uint64_t rax, const uint8_t *element, unsigned size)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)element[i] << (8 * i);
	if (size == 4 || size == 8)
		return v;
	uint64_t mask = size == 1 ? 0xff : 0xffff;
	return (rax & ~mask) | v;
}

/* Executes n elements at these host addresses; returns how many were done (fewer only when a
 * comparison ended it). */
static uint64_t host_run(struct string_run *s, uint8_t *si, uint8_t *di, uint64_t n)
{
	uint64_t rax = s->op->regs->gpr[PG_RAX];
	switch (s->kind) {
	case STRING_MOVS:
	case STRING_STOS:
		host_move(s->kind, s->size, s->down, si, di, n, rax);
		return n;
	case STRING_LODS: {
		const uint8_t *last = s->down ? si - (n - 1) * s->size : si + (n - 1) * s->size;
		s->accumulator = merged(s->accumulator, last, s->size);
		return n;
	}
	default:
		return host_compare(s->kind, s->rep, s->size, s->down, si, di, n, rax, &s->flags);
	}
}

/* One element, at least one side of which crosses a page: executed on copies. */
static void bounce(
	struct string_run *s, const struct complex_access *src, const struct complex_access *dst)
{
	uint8_t a[8], b[8];
	if (reads_source(s->kind))
		complex_copy_out(src, a);
	if (compares(s->kind))
		complex_copy_out(dst, b);
	(void)host_run(s, a, b, 1);
	if (!compares(s->kind) && has_destination(s->kind))
		complex_copy_in(dst, b);
}

/* Does the repetition end after an element that left these flags? */
static bool ended(const struct string_run *s)
{
	if (!compares(s->kind))
		return false;
	return (s->rep == REP_E) != ((s->flags & FLAG_ZF) != 0);
}

/* esi, edi and ecx clear the upper half when they are written. */
static void advance(const struct string_run *s, unsigned reg, uint64_t n)
{
	uint64_t *r = &s->op->regs->gpr[reg];
	uint64_t step = n * s->size;
	*r = (s->down ? *r - step : *r + step) & s->address_mask;
}

/*
 * Resolves and executes one run of at most max elements. *done: elements executed. AGAIN: start
 * this run again (the guest sees nothing of it). On anything but DONE nothing has changed.
 */
static enum pg_complex_result one_run(struct string_run *s, uint64_t max, uint64_t *done)
{
	struct complex_op *op = s->op;
	const struct pg_access_port *port = op->port;
	bool source = reads_source(s->kind), destination = has_destination(s->kind);
	uint64_t si = op->regs->gpr[PG_RSI] & s->address_mask,
		 di = op->regs->gpr[PG_RDI] & s->address_mask;
	pg_va sa = {si + s->source_base}, da = {di};
	struct complex_access src, dst;
	enum pg_complex_result r;
	uint64_t n = max;

	src.frags = dst.frags = 0; /* a side that there is not */
	src.frag[0].host = dst.frag[0].host = NULL;
	n = source ? run_length(s, si, s->source_base, n) : n;
	n = destination ? run_length(s, di, 0, n) : n;
	if (compares(s->kind)) { /* the destination first, as on hardware */
		r = complex_resolve(op, da, s->size, true, false, &dst);
		if (r == PG_COMPLEX_DONE && source)
			r = complex_resolve(op, sa, s->size, true, false, &src);
	} else {
		r = source ? complex_resolve(op, sa, s->size, true, false, &src) : PG_COMPLEX_DONE;
		if (r == PG_COMPLEX_DONE && destination)
			r = complex_resolve(op, da, s->size, false, true, &dst);
	}
	if (r != PG_COMPLEX_DONE)
		return r;
	if (src.frags == 2 || dst.frags == 2) {
		bounce(s, &src, &dst);
		*done = 1;
	} else {
		if (n > 1 && source && destination && pg_vpn_of(sa).v != pg_vpn_of(da).v &&
			port->stable && !port->stable(port->ctx, sa, da))
			n = 1;
		*done = host_run(s, src.frag[0].host, dst.frag[0].host, n);
	}
	uint64_t sides = (uint64_t)source + destination;
	uint64_t stores = destination && !compares(s->kind) ? *done : 0;
	port->count(port->ctx, sides * *done - stores, stores, sides * (*done - 1));
	return PG_COMPLEX_DONE;
}

static void finish(const struct string_run *s)
{
	struct pg_cpu_regs *regs = s->op->regs;
	if (compares(s->kind))
		regs->rflags = (regs->rflags & ~FLAGS_STATUS) | s->flags;
	if (s->kind == STRING_LODS)
		regs->gpr[PG_RAX] = s->accumulator;
}

static void step_registers(const struct string_run *s, uint64_t n)
{
	if (reads_source(s->kind))
		advance(s, PG_RSI, n);
	if (has_destination(s->kind))
		advance(s, PG_RDI, n);
}

/* What is left in the registers when nothing, or nothing more, could be done: see S1. */
static void settle(const struct string_run *s, uint64_t left)
{
	s->op->regs->gpr[PG_RCX] = left;
	if (s->kind == STRING_MOVS || s->kind == STRING_STOS)
		step_registers(s, 0);
}

enum pg_complex_result complex_string(struct complex_op *op)
{
	struct string_run s;
	enum pg_complex_result r;
	uint64_t done;

	begin(&s, op);
	if (s.rep == REP_NONE) {
		do
			r = one_run(&s, 1, &done);
		while (r == PG_COMPLEX_AGAIN);
		if (r == PG_COMPLEX_DONE) {
			step_registers(&s, 1);
			finish(&s);
		}
		return r;
	}

	uint64_t *rcx = &op->regs->gpr[PG_RCX];
	uint64_t left = *rcx & s.address_mask;
	uint64_t budget = op->regs->rflags & FLAG_TF ? 1 : PG_COMPLEX_REP_BYTES / s.size;
	if (left == 0) {
		settle(&s, left);
		return PG_COMPLEX_DONE;
	}
	for (;;) {
		r = one_run(&s, left < budget ? left : budget, &done);
		if (r == PG_COMPLEX_AGAIN)
			continue;
		if (r != PG_COMPLEX_DONE) {
			/* lods: the elements before the fault have been loaded */
			if (s.kind == STRING_LODS)
				finish(&s);
			settle(&s, left);
			return r;
		}
		step_registers(&s, done);
		left -= done;
		budget -= done;
		*rcx = left;
		if (left == 0 || ended(&s)) {
			finish(&s);
			return PG_COMPLEX_DONE;
		}
		if (budget == 0) {
			if (s.kind == STRING_LODS)
				finish(&s);
			return PG_COMPLEX_AGAIN;
		}
	}
}
