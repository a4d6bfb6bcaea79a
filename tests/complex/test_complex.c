/* SPDX-License-Identifier: MIT */
/*
 * tests/complex/test_complex.c: the instructions executed in C against the hardware, thousands of
 * random states each.
 *
 * Guards the invariants C1 .. C4 of cpu/complex.h and S1, S2 of cpu/complex_string.c, and with them
 * row R4 (every access is translated, and counted) and R12 (resume at the very instruction). For
 * each class:
 *   - registers, flags, vector state, memory and fault equal the hardware's;
 *   - the same while every third resolution finds the frames moved (a fault was taken and mended);
 *   - a rep in one go equals one iteration at a time in result, counts, TLB misses and TLB order.
 *
 * usage: test_complex [CLASS-NUMBER [ROUNDS [SEED]]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "cpu/complex_image.h"

#define SEED 0x7061676f6461u
#define TF ((uint64_t)0x100)

struct decoded {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

static bool decode(const struct test_case *c, struct decoded *d)
{
	ZydisDecoder decoder;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, c->bytes, c->n, &d->insn, d->ops));
}

static void show(const struct test_case *c, uint64_t round, const char *what)
{
	fprintf(stderr, "round %llu: %s:", (unsigned long long)round, what);
	for (unsigned i = 0; i < c->n; i++)
		fprintf(stderr, " %02x", c->bytes[i]);
	fprintf(stderr, "\n");
}

static void show_outcome(const char *who, struct outcome o, const struct pg_cpu_regs *r)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
	fprintf(stderr, "  %s: result %d at %llx, rip %llx flags %llx fs %llx gs %llx", who,
		o.result, (unsigned long long)o.fault_va, (unsigned long long)r->rip,
		(unsigned long long)r->rflags, (unsigned long long)r->fs_base,
		(unsigned long long)r->gs_base);
	for (unsigned i = 0; i < PG_GPRS; i++)
		fprintf(stderr, "%s%s %llx", i % 8 ? " " : "\n    ", names[i],
			(unsigned long long)r->gpr[i]);
	fprintf(stderr, "\n");
}

/* What is architecture in two images: NULL if they agree. */
static const char *image_difference(const struct pg_xsave *a, const struct pg_xsave *b)
{
	static struct pg_xsave x, y;
	static char what[64];
	x = *a;
	y = *b;
	image_normalise(&x);
	image_normalise(&y);
	for (unsigned i = 0; i < IMAGE_END; i++) {
		if ((i >= IMAGE_MXCSR + 4 && i < IMAGE_ST) ||
			(i >= IMAGE_LEGACY_END && i < IMAGE_AVX))
			continue;
		if (i >= IMAGE_ST && i < IMAGE_XMM && (i & 15) >= 10)
			continue;
		if (i == 5)
			continue; /* reserved, beside FTW */
		if (x.bytes[i] != y.bytes[i]) {
			snprintf(what, sizeof(what), "image byte %u: %02x, %02x", i, x.bytes[i],
				y.bytes[i]);
			return what;
		}
	}
	return NULL;
}

static const char *difference(struct world *w, struct outcome a, const struct pg_cpu_regs *ra,
	struct outcome b, const struct pg_cpu_regs *rb)
{
	static char what[64];
	if (a.result != b.result || a.fault_va != b.fault_va)
		return "outcome";
	if (memcmp(ra->gpr, rb->gpr, sizeof(ra->gpr)) != 0)
		return "general registers";
	if (ra->rip != rb->rip)
		return "rip";
	if (ra->rflags != rb->rflags)
		return "flags";
	if (ra->fs_base != rb->fs_base || ra->gs_base != rb->gs_base)
		return "bases";
	/* xrstor that finds a reserved bit of MXCSR set has loaded other components by then */
	const char *image = a.result == PG_COMPLEX_GP ? NULL : image_difference(ra->x, rb->x);
	if (image)
		return image;
	uint64_t at = world_difference(w);
	if (at) {
		snprintf(what, sizeof(what), "memory at %llx", (unsigned long long)at);
		return what;
	}
	return NULL;
}

/* One iteration at a time has the same result, the same counts, and leaves the same TLB. */
static bool same_by_iteration(struct world *w, const struct decoded *d,
	const struct pg_cpu_regs *before, const struct pg_cpu_regs *after, struct outcome out,
	const uint8_t *memory, const struct pg_xsave *x)
{
	static struct pg_xsave mine;
	static uint8_t end[WORLD_BYTES];
	struct port_counts counts = w->counts;
	struct world_tlb tlb = w->tlb;
	struct pg_cpu_regs regs = *before;
	mine = *x;
	regs.x = &mine;
	memcpy(end, w->pool[w->now], WORLD_BYTES);
	memcpy(w->pool[w->now], memory, WORLD_BYTES);
	world_reset_counts(w, tlb.sets, tlb.ways);
	regs.rflags |= TF;
	struct outcome slow = world_run_complex(w, &d->insn, d->ops, &regs);
	regs.rflags &= ~TF;
	bool same = slow.result == out.result && slow.fault_va == out.fault_va &&
		    regs.rip == after->rip && memcmp(regs.gpr, after->gpr, sizeof(regs.gpr)) == 0 &&
		    regs.rflags == after->rflags &&
		    memcmp(end, w->pool[w->now], WORLD_BYTES) == 0 &&
		    memcmp(&tlb, &w->tlb, sizeof(tlb)) == 0 && counts.loads == w->counts.loads &&
		    counts.stores == w->counts.stores && counts.misses == w->counts.misses &&
		    counts.lookups == w->counts.lookups;
	if (!same)
		fprintf(stderr,
			"at once: %llu loads %llu stores %llu lookups %llu misses; one by one: "
			"%llu %llu %llu %llu\n",
			(unsigned long long)counts.loads, (unsigned long long)counts.stores,
			(unsigned long long)counts.lookups, (unsigned long long)counts.misses,
			(unsigned long long)w->counts.loads, (unsigned long long)w->counts.stores,
			(unsigned long long)w->counts.lookups,
			(unsigned long long)w->counts.misses);
	return same;
}

struct run {
	const struct case_class *class;
	unsigned rounds;
	unsigned mend_one_in;
	uint64_t seed;
};

/* The page of a fault; all of the unmapped space below and above the mapped pages as one: its pages
 * may be probed in any order. */
static uint64_t same_hole(uint64_t va)
{
	uint64_t page = va & ~PG_PAGE_MASK, first = WORLD_BASE,
		 last = WORLD_BASE + WORLD_BYTES - PG_PAGE_SIZE;
	return page < first ? first : page > last ? last : page;
}

/* One case on both sides, from the registers and the memory given; what differs, or NULL. */
struct trial {
	struct pg_cpu_regs native, mine;
	struct outcome a, b;
	struct pg_xsave native_x, mine_x;
};

static const char *try_case(struct world *w, const struct run *run, const struct test_case *c,
	const struct decoded *d, const uint8_t *memory, struct trial *t)
{
	t->native_x = *c->regs.x;
	t->mine_x = *c->regs.x;
	t->native = t->mine = c->regs;
	t->native.x = &t->native_x;
	t->mine.x = &t->mine_x;
	memcpy(w->shared, memory, WORLD_BYTES);
	memcpy(w->pool[w->now], memory, WORLD_BYTES);
	world_reset_counts(w, w->tlb.sets, w->tlb.ways);
	w->mend_one_in = run->mend_one_in;
	t->a = world_run_native(w, c->bytes, c->n, &t->native);
	t->b = world_run_complex(w, &d->insn, d->ops, &t->mine);
	w->mend_one_in = 0;
	if (run->class->fault_page && t->a.result == PG_COMPLEX_FAULT &&
		t->b.result == PG_COMPLEX_FAULT) {
		t->a.fault_va = same_hole(t->a.fault_va);
		t->b.fault_va = same_hole(t->b.fault_va);
	}
	return difference(w, t->a, &t->native, t->b, &t->mine);
}

static unsigned run_class(const struct run *run, unsigned results[16])
{
	static struct pg_xsave start;
	static uint8_t memory[WORLD_BYTES];
	static struct trial t;
	struct world w;
	unsigned bad = 0;
	world_open(&w, run->seed);
	for (unsigned i = 0; i < run->rounds && bad < 10; i++) {
		struct test_case c = {.regs.x = &start};
		struct decoded d;
		case_random_image(&w, &start);
		run->class->make(&w, &c);
		if (!decode(&c, &d) || !pg_complex_is(&d.insn, d.ops)) {
			show(&c, i, "not an instruction of ours");
			bad++;
			continue;
		}
		memcpy(memory, w.pool[w.now], WORLD_BYTES);
		world_reset_counts(&w, 1u << world_pick(&w, 3), (unsigned)world_pick(&w, 4) + 1);
		const char *what = try_case(&w, run, &c, &d, memory, &t);
		for (unsigned again = 0; what && run->class->unsteady && again < 3; again++)
			what = try_case(&w, run, &c, &d, memory, &t);
		results[t.b.result]++;
		if (what) {
			show(&c, i, what);
			show_outcome("before", (struct outcome){0}, &c.regs);
			show_outcome("native", t.a, &t.native);
			show_outcome("ours", t.b, &t.mine);
			bad++;
		} else if (!run->mend_one_in && !run->class->fault_page &&
			   !same_by_iteration(&w, &d, &c.regs, &t.mine, t.b, memory, &start)) {
			show(&c, i, "one iteration at a time differs");
			show_outcome("before", (struct outcome){0}, &c.regs);
			bad++;
		}
		world_align(&w);
	}
	world_close(&w);
	return bad;
}

static void class_equals_hardware(void **state)
{
	const struct case_class *class = *state;
	unsigned results[16] = {0};
	if (class->comparable && !class->comparable())
		skip();
	struct run run = {class, class->rounds, 0, SEED};
	assert_int_equal(run_class(&run, results), 0);
	run.rounds /= 4;
	run.mend_one_in = 3;
	run.seed ^= 0x55;
	assert_int_equal(run_class(&run, results), 0);
	printf("%s: done %u fault %u gp %u ss %u fp %u illegal %u unsupported %u\n", class->name,
		results[PG_COMPLEX_DONE], results[PG_COMPLEX_FAULT], results[PG_COMPLEX_GP],
		results[PG_COMPLEX_SS], results[PG_COMPLEX_FP], results[PG_COMPLEX_ILLEGAL],
		results[PG_COMPLEX_UNSUPPORTED]);
}

/* Every form of ModRM and SIB, with and without an address-size prefix, as the hardware's lea has it. */
static void operand_address_equals_lea(void **state)
{
	static struct pg_xsave x;
	struct world w;
	(void)state;
	world_open(&w, SEED);
	case_random_image(&w, &x);
	for (unsigned i = 0; i < 5000; i++) {
		struct test_case c = {.regs.x = &x};
		struct decoded d;
		uint8_t modrm =
			(uint8_t)((world_pick(&w, 3) << 6) | PG_RDX << 3 | world_pick(&w, 8));
		if (i % 4 == 0)
			modrm = (uint8_t)((modrm & 0xf8) | 4);
		if (world_pick(&w, 3) == 0)
			c.bytes[c.n++] = 0x67;
		c.bytes[c.n++] = (uint8_t)(0x48 | world_pick(&w, 4)); /* REX.W, any X and B */
		c.bytes[c.n++] = 0x8d;
		c.bytes[c.n++] = modrm;
		for (unsigned j = 0; j < 5;
			j++) /* SIB and displacement, as far as the form has them */
			c.bytes[c.n++] = (uint8_t)world_random(&w);
		for (unsigned j = 0; j < PG_GPRS; j++)
			c.regs.gpr[j] = world_random(&w);
		c.regs.rip = WORLD_CODE + world_pick(&w, 64);
		c.regs.rflags = 0x202;
		assert_true(decode(&c, &d));
		c.n = d.insn.length;
		struct pg_cpu_regs native = c.regs;
		struct outcome o = world_run_native(&w, c.bytes, c.n, &native);
		assert_int_equal(o.result, PG_COMPLEX_DONE);
		uint64_t lea = native.gpr[PG_RDX], next = c.regs.rip + c.n;
		if (pg_operand_address(&c.regs, &d.insn, &d.ops[1], next).v != lea) {
			show(&c, i, "address");
			fail();
		}
		/* and once more from repaired operands, by their fields alone */
		pg_operands_repair(&d.insn, d.ops);
		d.insn.raw.sib.offset = 0;
		assert_int_equal(pg_operand_address(&c.regs, &d.insn, &d.ops[1], next).v, lea);
	}
	world_close(&w);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[32];
	PG_ASSERT(case_class_count < 32);
	if (argc > 1) {
		unsigned results[16] = {0}, n = (unsigned)atoi(argv[1]) % case_class_count;
		struct run run = {&case_classes[n],
			argc > 2 ? (unsigned)atoi(argv[2]) : case_classes[n].rounds, 0,
			argc > 3 ? strtoull(argv[3], NULL, 0) : SEED};
		return run_class(&run, results) != 0;
	}
	for (unsigned i = 0; i < case_class_count; i++)
		tests[i] = (struct CMUnitTest){case_classes[i].name, class_equals_hardware, NULL,
			NULL, (void *)&case_classes[i]};
	tests[case_class_count] = (struct CMUnitTest)cmocka_unit_test(operand_address_equals_lea);
	return _cmocka_run_group_tests("complex", tests, case_class_count + 1, NULL, NULL);
}
