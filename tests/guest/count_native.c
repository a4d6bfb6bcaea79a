/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/count_native.c: an independent counter: runs a static program on the real CPU, one instruction at a
 * time, decodes each and counts. Used by tests/programs to check Pagoda's figures. R23.
 *
 *   count_native [--tlb SETSxWAYS,SETSxWAYS]... PROGRAM [ARGS...]     prints one JSON object on stdout; the program's own output is discarded
 *
 * What is counted is what cpu/engine.h and mmu/tlb.h define:
 *   instructions  completed; a repeated string instruction is one (the trap flag stops after each element)
 *   loads, stores data accesses; a read-modify-write is one of each; each element of a rep is one;
 *                 system calls touch memory but execute no instruction: not counted
 *   crossings     accesses that touch two pages, a read-modify-write once
 *   fetch_lookups one for each run: the first instruction, each taken transfer of control, the first behind a system call, each new
 *                 page in straight line, each 32 instructions (cpu/translate.h); an instruction across two pages is a run of its own with two lookups, and
 *                 the next one begins a new run
 *   data_pages, code_pages  distinct pages touched by instructions
 *   data_misses, fetch_misses  for each --tlb, of a first-level TLB for data and one for fetches of that many sets and ways, each set a
 *                 list in the order of use that is searched and moved: nothing of mmu/ is used
 *
 * Faults happen natively too, but elsewhere, so lookups repeated after faults are not in here.
 * Not handled: gathers, masked moves and the xsave family (said on stderr, exit 2).
 */
#include <Zydis/Zydis.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_RUN 32      /* PG_BLOCK_INSNS of cpu/cpu.h */
#define MAX_PAGES 65536 /* a power of two: slots of the page sets */

struct page_set {
	uint64_t slot[MAX_PAGES]; /* page number + 1; 0: free */
	uint64_t count;
};

#define MAX_SETS 1024
#define MAX_WAYS 16
#define MAX_TLBS 8

/* A TLB: page numbers + 1, the most recently used one first; 0: none. */
struct tlb {
	unsigned sets, ways;
	uint64_t page[MAX_SETS][MAX_WAYS];
	uint64_t misses;
};

struct counts {
	uint64_t instructions, loads, stores, crossings, fetch_lookups;
	struct page_set data, code;
	struct tlb data_tlb[MAX_TLBS], fetch_tlb[MAX_TLBS];
	unsigned tlbs;
};

static void look_up(struct tlb *t, uint64_t page)
{
	uint64_t *set = t->page[page % t->sets];
	unsigned i = 0;
	while (i < t->ways && set[i] != page + 1)
		i++;
	if (i == t->ways) {
		t->misses++;
		i--;
	}
	memmove(set + 1, set, i * sizeof *set);
	set[0] = page + 1;
}

static void look_up_all(struct tlb *t, const struct counts *c, uint64_t page)
{
	for (unsigned i = 0; i < c->tlbs; i++)
		look_up(&t[i], page);
}

static void touch(struct page_set *s, uint64_t page)
{
	uint64_t h = page * 0x9e3779b97f4a7c15ull >> 48;
	while (s->slot[h % MAX_PAGES] && s->slot[h % MAX_PAGES] != page + 1)
		h++;
	if (s->slot[h % MAX_PAGES])
		return;
	if (++s->count == MAX_PAGES) {
		fprintf(stderr, "count_native: too many pages\n");
		exit(2);
	}
	s->slot[h % MAX_PAGES] = page + 1;
}

static uint64_t reg_value(const struct user_regs_struct *u, ZydisRegister r)
{
	const unsigned long long g[16] = {u->rax, u->rcx, u->rdx, u->rbx, u->rsp, u->rbp, u->rsi,
		u->rdi, u->r8, u->r9, u->r10, u->r11, u->r12, u->r13, u->r14, u->r15};
	ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
	if (full < ZYDIS_REGISTER_RAX || full > ZYDIS_REGISTER_R15)
		return 0;
	uint64_t v = g[full - ZYDIS_REGISTER_RAX];
	switch (ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, r)) {
	case 32:
		return v & 0xffffffff;
	case 8:
		return v & 0xff;
	default:
		return v;
	}
}

static uint64_t address_of(const struct user_regs_struct *u, const ZydisDecodedInstruction *i,
	const ZydisDecodedOperand *o)
{
	uint64_t a = (uint64_t)o->mem.disp.value;
	if (o->mem.base == ZYDIS_REGISTER_RIP)
		a += u->rip + i->length;
	else
		a += reg_value(u, o->mem.base);
	a += reg_value(u, o->mem.index) * o->mem.scale;
	if (i->address_width == 32)
		a &= 0xffffffff;
	if (o->mem.segment == ZYDIS_REGISTER_FS)
		a += u->fs_base;
	if (o->mem.segment == ZYDIS_REGISTER_GS)
		a += u->gs_base;
	return a;
}

static void count_access(struct counts *c, uint64_t a, unsigned n, bool load, bool store)
{
	c->loads += load;
	c->stores += store;
	touch(&c->data, a >> 12);
	look_up_all(c->data_tlb, c, a >> 12);
	if ((a & 4095) + n > 4096) {
		c->crossings++;
		touch(&c->data, (a + n - 1) >> 12);
		look_up_all(c->data_tlb, c, (a + n - 1) >> 12);
	}
}

static bool is_bit_string(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *ops)
{
	return (i->mnemonic == ZYDIS_MNEMONIC_BT || i->mnemonic == ZYDIS_MNEMONIC_BTS ||
		       i->mnemonic == ZYDIS_MNEMONIC_BTR || i->mnemonic == ZYDIS_MNEMONIC_BTC) &&
	       ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
}

static void count_data(struct counts *c, const struct user_regs_struct *u,
	const ZydisDecodedInstruction *i, const ZydisDecodedOperand *ops)
{
	bool rep = i->attributes &
		   (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
	if (i->meta.category == ZYDIS_CATEGORY_AVX2GATHER ||
		i->meta.category == ZYDIS_CATEGORY_XSAVE ||
		i->meta.category == ZYDIS_CATEGORY_XSAVEOPT) {
		fprintf(stderr, "count_native: cannot count %s\n",
			ZydisMnemonicGetString(i->mnemonic));
		exit(2);
	}
	if (i->meta.category == ZYDIS_CATEGORY_NOP || i->meta.category == ZYDIS_CATEGORY_WIDENOP ||
		i->meta.category == ZYDIS_CATEGORY_PREFETCH)
		return;
	if (rep && i->meta.category == ZYDIS_CATEGORY_STRINGOP &&
		(i->address_width == 32 ? u->rcx & 0xffffffff : u->rcx) == 0)
		return;
	for (unsigned k = 0; k < i->operand_count; k++) {
		const ZydisDecodedOperand *o = &ops[k];
		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.type != ZYDIS_MEMOP_TYPE_MEM)
			continue;
		bool load = o->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
		bool store = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
		uint64_t a = address_of(u, i, o);
		unsigned n = o->size / 8;
		/* what goes onto the stack lies below the stack pointer that we see */
		if (o->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
			o->mem.base == ZYDIS_REGISTER_RSP && store && !load)
			a -= n;
		if (is_bit_string(i, ops)) {
			int64_t bit = (int64_t)reg_value(u, ops[1].reg.value);
			unsigned w = i->operand_width;
			bit = w == 16 ? (int16_t)bit : w == 32 ? (int32_t)bit : bit;
			a += (uint64_t)((bit >> (w == 16 ? 4 : w == 32 ? 5 : 6)) * (w / 8));
		}
		count_access(c, a, n, load, store);
	}
}

/* Counts the instruction at u->rip; false when there is none to decode. */
static bool read_code(pid_t pid, uint64_t rip, uint8_t *buf, size_t *n)
{
	struct iovec to = {buf, 15}, from = {(void *)rip, 15};
	ssize_t got = process_vm_readv(pid, &to, 1, &from, 1, 0);
	if (got < 15) {
		from.iov_len = to.iov_len = 4096 - (rip & 4095) < 15 ? 4096 - (rip & 4095) : 15;
		got = process_vm_readv(pid, &to, 1, &from, 1, 0);
	}
	*n = got > 0 ? (size_t)got : 0;
	return got > 0;
}

static int count(pid_t pid, struct counts *c, int *status)
{
	ZydisDecoder d;
	uint64_t next = UINT64_MAX, last_page = UINT64_MAX, rep_at = UINT64_MAX;
	unsigned run = 0; /* instructions of the present run so far */
	ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (;;) {
		struct user_regs_struct u;
		ZydisDecodedInstruction i;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		uint8_t buf[15];
		size_t n;
		if (ptrace(PTRACE_GETREGS, pid, NULL, &u))
			return -errno;
		if (!read_code(pid, u.rip, buf, &n) ||
			!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, buf, n, &i, ops)))
			return -EILSEQ;
		bool rep = i.meta.category == ZYDIS_CATEGORY_STRINGOP &&
			   (i.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
						   ZYDIS_ATTRIB_HAS_REPNE));
		if (!(rep && rep_at == u.rip)) {
			c->instructions++;
			uint64_t first = u.rip >> 12, last = (u.rip + i.length - 1) >> 12;
			if (first != last) {
				c->fetch_lookups += 2;
				look_up_all(c->fetch_tlb, c, first);
				look_up_all(c->fetch_tlb, c, last);
				last_page = UINT64_MAX; /* the next one begins a new run */
			} else {
				if (u.rip != next || first != last_page || run == MAX_RUN) {
					c->fetch_lookups++;
					look_up_all(c->fetch_tlb, c, first);
					run = 0;
				}
				run++;
				last_page = first;
			}
			touch(&c->code, first);
			touch(&c->code, last);
		}
		count_data(c, &u, &i, ops);
		uint64_t at = u.rip;
		next = u.rip + i.length;
		bool syscall_insn = i.mnemonic == ZYDIS_MNEMONIC_SYSCALL;
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, 0) || waitpid(pid, status, 0) < 0)
			return -errno;
		if (!WIFSTOPPED(*status))
			return 0;
		if (WSTOPSIG(*status) != SIGTRAP) {
			fprintf(stderr, "count_native: signal %d\n", WSTOPSIG(*status));
			return -EINTR;
		}
		if (ptrace(PTRACE_GETREGS, pid, NULL, &u))
			return -errno;
		rep_at = rep && u.rip == at ? at : UINT64_MAX;
		if (syscall_insn)
			next = UINT64_MAX;
	}
}

static void print_misses(const char *key, const struct tlb *t, unsigned n)
{
	printf(", \"%s\": [", key);
	for (unsigned i = 0; i < n; i++)
		printf("%s%lu", i ? ", " : "", t[i].misses);
	printf("]");
}

int main(int argc, char **argv)
{
	static struct counts c;
	int status;
	for (; argc > 2 && strcmp(argv[1], "--tlb") == 0; argc -= 2, argv += 2) {
		struct tlb *d = &c.data_tlb[c.tlbs], *f = &c.fetch_tlb[c.tlbs];
		if (c.tlbs == MAX_TLBS ||
			sscanf(argv[2], "%ux%u,%ux%u", &d->sets, &d->ways, &f->sets, &f->ways) !=
				4 ||
			!d->sets || !f->sets || !d->ways || !f->ways || d->sets > MAX_SETS ||
			f->sets > MAX_SETS || d->ways > MAX_WAYS || f->ways > MAX_WAYS) {
			fprintf(stderr, "count_native: no such TLB: %s\n", argv[2]);
			return 2;
		}
		c.tlbs++;
	}
	if (argc < 2) {
		fprintf(stderr,
			"usage: count_native [--tlb SETSxWAYS,SETSxWAYS]... PROGRAM [ARGS...]\n");
		return 2;
	}
	/* tracer and program on one CPU: several times faster */
	int cpu = sched_getcpu();
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0u : (unsigned)cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set))
		perror("count_native: sched_setaffinity");
	pid_t pid = fork();
	if (pid < 0)
		return 2;
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execv(argv[1], argv + 1);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status)) {
		fprintf(stderr, "count_native: %s did not start\n", argv[1]);
		return 2;
	}
	int rc = count(pid, &c, &status);
	if (rc) {
		fprintf(stderr, "count_native: %s\n", strerror(-rc));
		kill(pid, SIGKILL);
		return 2;
	}
	printf("{\"instructions\": %lu, \"loads\": %lu, \"stores\": %lu, \"page_crossings\": %lu, "
	       "\"fetch_lookups\": %lu, \"data_pages\": %lu, \"code_pages\": %lu",
		c.instructions, c.loads, c.stores, c.crossings, c.fetch_lookups, c.data.count,
		c.code.count);
	print_misses("data_misses", c.data_tlb, c.tlbs);
	print_misses("fetch_misses", c.fetch_tlb, c.tlbs);
	printf("}\n");
	return 0;
}
