/* SPDX-License-Identifier: MIT */
/*
 * tests/insn/main.c: the differential instruction tester's command line and loop.
 *
 *   insn [--seed N] [--count N] [--class NAME[,NAME]] [--mode exact|fast|native] [--index N | --from N] [--tlb SPEC]
 *        [--verbose] [--limit N] [--lazy] [--break]
 *
 * --lazy runs the engine without precise flags (struct pg_engine_config), and then does not compare them after faults.
 *
 * For each class it runs `count` cases on the real CPU and on the engine and compares. --mode native compares the real
 * CPU with itself (two traced children): the tester's own test. With --break each result of the second side is
 * falsified in one place, and every case must be found to differ: the test of the comparison. The loop runs in a worker process, so that a
 * crash of the engine is one failed case with its code shown, and the next case goes on.
 * Exit status: 0 all agree, 1 some do not, 2 usage or no start.
 */
#include "cpu/engine.h"
#include "insn.h"

#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum mode { MODE_EXACT, MODE_FAST, MODE_NATIVE };
static const char *const mode_names[] = {"exact", "fast", "native"};

#define TALLY 2048
struct tally { /* by the mnemonic of the (first) instruction that fails */
	uint16_t mnemonic;
	bool unsupported;
	uint32_t count;
};

/* Shared between the worker and its parent. */
struct progress {
	uint64_t index; /* the case in work */
	uint64_t cases, failures, unsupported, crashes;
	uint64_t ends[ENDS];
	uint32_t tallies;
	struct tally tally[TALLY];
};

struct options {
	uint64_t seed, count, index; /* cases [index, count) of each class */
	bool one, verbose, falsify;
	enum mode mode;
	const char *tlb;
	uint32_t limit; /* reports per mnemonic */
	bool classes[CLASSES];
};

static uint16_t mnemonic_at(const struct insn_case *c, unsigned k)
{
	ZydisDecodedInstruction i;
	ZydisDecoderContext ctx;
	if (k >= c->count || !ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&insn_decoder, &ctx,
				     c->code + c->insn[k].at, c->insn[k].len, &i)))
		return 0;
	return (uint16_t)i.mnemonic;
}

/* Counts one more; how many there were before. */
static uint32_t tally_add(struct progress *p, uint16_t mnemonic, bool unsupported)
{
	for (uint32_t i = 0; i < p->tallies; i++)
		if (p->tally[i].mnemonic == mnemonic && p->tally[i].unsupported == unsupported)
			return p->tally[i].count++;
	if (p->tallies < TALLY)
		p->tally[p->tallies++] = (struct tally){mnemonic, unsupported, 1};
	return 0;
}

/* Changes one thing that must be noticed; which one, the case's number says. */
static void falsify(const struct insn_case *c, struct insn_side *b, struct insn_result *rb)
{
	uint64_t n = c->index;
	uint8_t *page = (uint8_t *)(uintptr_t)b->page(b, 6 + n % 3);
	/* what may be left open would not be noticed */
	rb->after.x[512] = 7; /* all components are there, in their initial state or not */
	bool open = c->ignores || c->fault_any_byte || c->fault_may_be || c->fault_x87_top ||
		    c->fault_mxcsr;
	switch (open ? 0 : n % 10) {
	case 0:
		rb->after.gpr[n / 10 % 16] ^= (uint64_t)1 << n % 32;
		break;
	case 1:
		rb->after.rip++;
		break;
	case 2:
		rb->after.rflags ^= n & 16 ? 1 : 0x800;
		break;
	case 3:
		rb->after.x[160 + n % 256] ^= 1;
		break;
	case 4:
		rb->after.x[576 + n % 256] ^= 0x80;
		break;
	case 5:
		rb->after.x[32 + 16 * (n / 10 % 8) + n / 100 % 10] ^= 1;
		break;
	case 6:
		rb->after.x[n & 16 ? 2 : 25] ^= 1;
		break;
	case 7:
		rb->end = rb->end == END_BREAK ? END_GP : END_BREAK;
		break;
	case 8:
		rb->addr ^= 4096;
		break;
	default:
		page[n % 4096] ^= 1;
		break;
	}
}

static bool falsifying;

static bool run_both(const struct insn_case *c, struct insn_side *a, struct insn_side *b,
	struct insn_result *ra, struct insn_result *rb, FILE *f)
{
	a->load(a, c);
	b->load(b, c);
	a->run(a, c, ra);
	b->run(b, c, rb);
	if (falsifying)
		falsify(c, b, rb);
	/* what the CPU refuses, the engine may refuse in either way */
	if (ra->end == END_ILLEGAL && rb->end == END_UNSUPPORTED && ra->after.rip == rb->after.rip)
		rb->end = END_ILLEGAL;
	bool same = insn_agree(c, a, ra, b, rb, f);
	a->restore(a, c);
	b->restore(b, c);
	return same;
}

static bool is_nop(const struct insn_case *c, unsigned k)
{
	for (unsigned b = 0; b < c->insn[k].len; b++)
		if (c->code[c->insn[k].at + b] != 0x90)
			return false;
	return true;
}

/* Turns instructions of a failing block into nops as long as it still fails; not those that end a counted loop. */
static void shrink(struct insn_case *c, bool counted, struct insn_side *a, struct insn_side *b)
{
	struct insn_result ra, rb;
	bool again = c->count > 1;
	while (again) {
		again = false;
		for (unsigned k = 0; k < c->count; k++) {
			struct insn_case less = *c;
			if (is_nop(c, k) || (counted && k + 2 >= c->count))
				continue;
			memset(less.code + c->insn[k].at, 0x90, c->insn[k].len);
			/* without some instruction it may not end any more: that is another story */
			if (!run_both(&less, a, b, &ra, &rb, NULL) && rb.end != END_UNSUPPORTED &&
				ra.end != END_TIMEOUT && rb.end != END_TIMEOUT) {
				*c = less;
				again = true;
			}
		}
	}
}

static void report(struct insn_case *c, const char *class, const struct options *o,
	struct insn_side *a, struct insn_side *b)
{
	struct insn_result ra, rb;
	shrink(c, strcmp(class, "loop") == 0, a, b);
	printf("FAIL --mode %s --class %s --seed %lu --index %lu%s%s\n", mode_names[o->mode], class,
		c->seed, c->index,
		o->tlb            ? " --tlb "
		: insn_lazy_flags ? " --lazy"
				  : "",
		o->tlb ? o->tlb : "");
	for (unsigned k = 0; k < c->count; k++) {
		struct insn_case line = *c;
		line.count = 1;
		line.insn[0] = c->insn[k];
		if (!is_nop(c, k))
			insn_print_code(&line, stdout);
	}
	printf("  run: %s\n", c->run == RUN_BUDGET_1    ? "budget 1"
			      : c->run == RUN_TRAP_FLAG ? "trap flag"
							: "to int3");
	if (run_both(c, a, b, &ra, &rb, stdout))
		printf("  (agrees when run again)\n");
	if (o->verbose)
		insn_print_state(c, stdout);
	fflush(stdout);
}

/* What the engine refuses by design: loading segment registers, and cmpxchg [mem], ah, whose accumulator is al. */
static bool is_known_refusal(const struct insn_case *c, unsigned k)
{
	ZydisDecodedInstruction i;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	if (k >= c->count || !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&insn_decoder,
				     c->code + c->insn[k].at, c->insn[k].len, &i, ops)))
		return false;
	if (i.mnemonic == ZYDIS_MNEMONIC_CMPXCHG)
		return ops[1].reg.value == ZYDIS_REGISTER_AH;
	return i.operand_count_visible && ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       (i.mnemonic == ZYDIS_MNEMONIC_LFS || i.mnemonic == ZYDIS_MNEMONIC_LGS ||
		       i.mnemonic == ZYDIS_MNEMONIC_LSS || i.mnemonic == ZYDIS_MNEMONIC_MOV ||
		       i.mnemonic == ZYDIS_MNEMONIC_POP);
}

static void one_case(struct progress *p, struct insn_case *c, enum insn_class k,
	const struct options *o, struct insn_side *a, struct insn_side *b)
{
	struct insn_result ra, rb;
	insn_generate(c, o->seed, p->index, k);
	bool same = run_both(c, a, b, &ra, &rb, NULL);
	p->cases++;
	p->ends[ra.end]++;
	if (o->verbose && o->one) {
		insn_print_code(c, stdout);
		insn_print_state(c, stdout);
		printf("  native ends with %s at %lx\n", insn_end_name(ra.end), ra.addr);
	}
	if (o->falsify) { /* agreement is the failure */
		p->failures += same && ra.end != END_ALIGN;
		return;
	}
	if (same)
		return;
	if (rb.end == END_UNSUPPORTED) {
		unsigned at = 0;
		for (unsigned i = 0; i < c->count; i++)
			if (c->before.rip + c->insn[i].at == rb.after.rip)
				at = i;
		bool known = is_known_refusal(c, at);
		p->unsupported++;
		p->failures += !known;
		if (tally_add(p, mnemonic_at(c, at), true) == 0 && (o->verbose || !known))
			report(c, insn_class_names[k], o, a, b);
		return;
	}
	p->failures++;
	uint16_t m = c->count == 1 ? mnemonic_at(c, 0) : 0;
	if (tally_add(p, m, false) < o->limit || o->one)
		report(c, insn_class_names[k], o, a, b);
}

static void worker(struct progress *p, enum insn_class k, const struct options *o)
{
	struct insn_case *c = malloc(sizeof *c);
	insn_deadline_init();
	struct insn_side *a = insn_native_create();
	struct insn_side *b = o->mode == MODE_NATIVE
				      ? insn_native_create()
				      : insn_engine_create(&pg_engine_translator,
						o->mode == MODE_FAST, insn_lazy_flags, o->tlb);
	if (!a || !b || !c)
		_exit(2);
	for (; p->index < o->count; p->index++)
		one_case(p, c, k, o, a, b);
	a->destroy(a);
	b->destroy(b);
	fflush(stdout);
	_exit(0);
}

static bool run_class(struct progress *p, enum insn_class k, const struct options *o)
{
	uint64_t f0 = p->failures, u0 = p->unsupported, c0 = p->cases, x0 = p->crashes;
	p->index = o->index;
	while (p->index < o->count && p->crashes - x0 < 20) {
		int status;
		fflush(NULL);
		pid_t pid = fork();
		if (pid < 0)
			return false;
		if (pid == 0)
			worker(p, k, o);
		if (waitpid(pid, &status, 0) < 0)
			return false;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			break;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
			return false;
		struct insn_case c;
		insn_generate(&c, o->seed, p->index, k);
		p->crashes++;
		p->failures++;
		tally_add(p, c.count == 1 ? mnemonic_at(&c, 0) : 0, false);
		printf("CRASH (%s %d) --mode %s --class %s --seed %lu --index %lu\n",
			WIFSIGNALED(status) ? "signal" : "exit",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
			mode_names[o->mode], insn_class_names[k], o->seed, p->index);
		insn_print_code(&c, stdout);
		p->index++;
	}
	printf("%-10s %8lu cases, %lu failed, %lu unsupported\n", insn_class_names[k],
		p->cases - c0, p->failures - f0, p->unsupported - u0);
	return true;
}

static void print_tallies(const struct progress *p)
{
	for (int u = 0; u < 2; u++) {
		bool any = false;
		for (uint32_t i = 0; i < p->tallies; i++) {
			if (p->tally[i].unsupported != (u == 1))
				continue;
			if (!any)
				printf("%s:", u ? "unsupported" : "failing");
			any = true;
			printf(" %s(%u)",
				p->tally[i].mnemonic ? ZydisMnemonicGetString(p->tally[i].mnemonic)
						     : "block",
				p->tally[i].count);
		}
		if (any)
			printf("\n");
	}
	printf("native ends:");
	for (unsigned e = 0; e < ENDS; e++)
		if (p->ends[e])
			printf(" %s %lu,", insn_end_name(e), p->ends[e]);
	printf("\n");
}

static bool parse_classes(struct options *o, char *text)
{
	for (char *name = strtok(text, ","); name; name = strtok(NULL, ",")) {
		unsigned k = 0;
		while (k < CLASSES && strcmp(name, insn_class_names[k]) != 0)
			k++;
		if (k == CLASSES) {
			fprintf(stderr, "insn: no class %s; there are:", name);
			for (k = 0; k < CLASSES; k++)
				fprintf(stderr, " %s", insn_class_names[k]);
			fprintf(stderr, "\n");
			return false;
		}
		o->classes[k] = true;
	}
	return true;
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {{"seed", 1, 0, 's'}, {"count", 1, 0, 'c'},
		{"class", 1, 0, 'k'}, {"mode", 1, 0, 'm'}, {"index", 1, 0, 'i'}, {"tlb", 1, 0, 't'},
		{"verbose", 0, 0, 'v'}, {"limit", 1, 0, 'l'}, {"from", 1, 0, 'f'},
		{"break", 0, 0, 'b'}, {"lazy", 0, 0, 'z'}, {0}};
	bool any = false;
	int opt;
	*o = (struct options){.seed = 1, .count = 1000, .limit = 3};
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case 's':
			o->seed = strtoull(optarg, NULL, 0);
			break;
		case 'c':
			o->count = strtoull(optarg, NULL, 0);
			break;
		case 'i':
			o->index = strtoull(optarg, NULL, 0);
			o->one = true;
			break;
		case 'f':
			o->index = strtoull(optarg, NULL, 0);
			break;
		case 'l':
			o->limit = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 't':
			o->tlb = optarg;
			break;
		case 'z':
			insn_lazy_flags = true;
			break;
		case 'b':
			o->falsify = falsifying = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'm':
			for (o->mode = MODE_EXACT; strcmp(optarg, mode_names[o->mode]) != 0;)
				if (++o->mode > MODE_NATIVE)
					return -1;
			break;
		case 'k':
			if (!parse_classes(o, optarg))
				return -1;
			any = true;
			break;
		default:
			return -1;
		}
	}
	if (o->one)
		o->count = o->index + 1;
	for (unsigned k = 0; k < CLASSES && !any; k++)
		o->classes[k] = true;
	return optind == argc ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct options o;
	if (parse(argc, argv, &o)) {
		fprintf(stderr, "usage: insn [--seed N] [--count N] [--class NAME,...] "
				"[--mode exact|fast|native] [--index N] [--tlb SPEC] [--limit N] "
				"[--verbose] [--lazy] [--break]\n");
		return 2;
	}
	struct progress *p =
		mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return 2;
	/* Tracer and child on one CPU: five times faster than waking another. */
	int cpu = sched_getcpu();
	cpu_set_t set;
	CPU_ZERO(&set);
	if (cpu >= 0) {
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof set, &set))
			perror("insn: sched_setaffinity");
	}
	insn_templates_init();
	insn_memory_init(o.mode == MODE_NATIVE
				 ? (uint64_t)1 << 47
				 : insn_engine_top(&pg_engine_translator, o.mode == MODE_FAST));
	for (unsigned k = 0; k < CLASSES; k++)
		if (o.classes[k] && !run_class(p, (enum insn_class)k, &o)) {
			fprintf(stderr, "insn: cannot start\n");
			return 2;
		}
	print_tallies(p);
	printf("%lu cases, %lu failed, %lu unsupported, %lu crashes\n", p->cases, p->failures,
		p->unsupported, p->crashes);
	return p->failures ? 1 : 0;
}
