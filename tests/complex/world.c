/* SPDX-License-Identifier: MIT */
/* tests/complex/world.c: see world.h. */
#include "world.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu/complex_image.h"

#define CODE_OFFSET WORLD_BYTES
#define SHARED_BYTES (WORLD_BYTES + PG_PAGE_SIZE)
#define POISON 0xcc
#define USER_FLAGS                                                                                 \
	((uint64_t)0x245fd5) /* CF PF AF ZF SF TF DF OF NT RF AC ID, and IF is always set */

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static const int page_prot[WORLD_PAGES] = {0, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
	PROT_READ | PROT_WRITE, PROT_READ, PROT_READ | PROT_WRITE, 0, PROT_READ | PROT_WRITE,
	PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
	PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
	PROT_READ | PROT_WRITE, 0};

uint64_t world_random(struct world *w)
{
	/* xorshift64* */
	uint64_t x = w->random;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	w->random = x;
	return x * 0x2545f4914f6cdd1d;
}

uint64_t world_pick(struct world *w, uint64_t n)
{
	return world_random(w) % n;
}

/* Our side. */

static bool page_of(uint64_t va, unsigned *page)
{
	if (va < WORLD_BASE || va >= WORLD_BASE + WORLD_BYTES)
		return false;
	*page = (unsigned)((va - WORLD_BASE) >> PG_PAGE_SHIFT);
	return page_prot[*page] != 0;
}

static uint8_t *our_byte(struct world *w, uint64_t va)
{
	unsigned page;
	if (!page_of(va, &page))
		return NULL;
	return w->pool[w->now] + page * PG_PAGE_SIZE + (va & PG_PAGE_MASK);
}

uint8_t *world_at(struct world *w, uint64_t va)
{
	uint8_t *p = our_byte(w, va);
	if (!p)
		die("world_at");
	return p;
}

/* All frames move, as after an eviction: what was resolved before is now poison. */
static void move_frames(struct world *w)
{
	unsigned next = !w->now;
	memcpy(w->pool[next], w->pool[w->now], WORLD_BYTES);
	memset(w->pool[w->now], POISON, WORLD_BYTES);
	w->now = next;
}

static void touch_tlb(struct world *w, uint64_t vpn)
{
	struct world_tlb *t = &w->tlb;
	uint64_t *set = t->vpn[vpn % t->sets];
	unsigned i = 0;
	while (i < t->ways && set[i] != vpn)
		i++;
	if (i == t->ways) {
		w->counts.misses++;
		i--;
	}
	memmove(set + 1, set, i * sizeof(*set));
	set[0] = vpn;
}

static bool stable(void *ctx, pg_va a, pg_va b)
{
	struct world *w = ctx;
	uint64_t p = pg_vpn_of(a).v, q = pg_vpn_of(b).v;
	return p == q || p % w->tlb.sets != q % w->tlb.sets || w->tlb.ways > 1;
}

static void count(void *ctx, uint64_t loads, uint64_t stores, uint64_t hits)
{
	struct world *w = ctx;
	w->counts.loads += loads;
	w->counts.stores += stores;
	w->counts.lookups += hits;
}

static int resolve(void *ctx, pg_va a, unsigned n, bool read, bool write,
	struct pg_fragment frag[2], unsigned *frags)
{
	struct world *w = ctx;
	(void)read;
	if (n == 0 || n > PG_PAGE_SIZE || !pg_va_is_canonical(a, n)) {
		fprintf(stderr, "resolve() called with a range that its contract excludes\n");
		exit(2);
	}
	*frags = 0;
	for (uint64_t at = a.v; at < a.v + n;) {
		uint64_t room = PG_PAGE_SIZE - (at & PG_PAGE_MASK), left = a.v + n - at;
		unsigned page;
		w->counts.lookups++;
		w->counts.resolved++;
		touch_tlb(w, at >> PG_PAGE_SHIFT);
		if (!page_of(at, &page) || (write && !(page_prot[page] & PROT_WRITE))) {
			w->fault_va = at;
			return -EFAULT;
		}
		frag[*frags] = (struct pg_fragment){
			our_byte(w, at), (unsigned)(room < left ? room : left)};
		at += frag[(*frags)++].n;
	}
	if (w->mend_one_in && world_pick(w, w->mend_one_in) == 0) {
		move_frames(w);
		return 1;
	}
	return 0;
}

void world_reset_counts(struct world *w, unsigned sets, unsigned ways)
{
	memset(&w->counts, 0, sizeof(w->counts));
	w->tlb.sets = sets;
	w->tlb.ways = ways;
	memset(w->tlb.vpn, 0xff, sizeof(w->tlb.vpn));
}

struct outcome world_run_complex(struct world *w, const ZydisDecodedInstruction *insn,
	const ZydisDecodedOperand *ops, struct pg_cpu_regs *regs)
{
	struct outcome out = {.fault_va = 0};
	do
		out.result = pg_complex_run(regs, &w->port, insn, ops);
	while (out.result == PG_COMPLEX_AGAIN);
	if (out.result == PG_COMPLEX_FAULT)
		out.fault_va = w->fault_va;
	return out;
}

/* Both sides. */

void world_write(struct world *w, uint64_t va, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned page;
		if (!page_of(va + i, &page))
			continue;
		uint8_t b = ((const uint8_t *)bytes)[i];
		*our_byte(w, va + i) = b;
		w->shared[page * PG_PAGE_SIZE + ((va + i) & PG_PAGE_MASK)] = b;
	}
}

uint64_t world_difference(struct world *w)
{
	for (uint64_t i = 0; i < WORLD_BYTES; i += PG_PAGE_SIZE) {
		if (memcmp(w->shared + i, w->pool[w->now] + i, PG_PAGE_SIZE) == 0)
			continue;
		for (uint64_t j = i;; j++)
			if (w->shared[j] != w->pool[w->now][j])
				return WORLD_BASE + j;
	}
	return 0;
}

void world_align(struct world *w)
{
	memcpy(w->pool[w->now], w->shared, WORLD_BYTES);
}

/* The child. */

static void child_main(int fd)
{
	for (unsigned i = 0; i < WORLD_PAGES; i++) {
		void *at = (void *)(WORLD_BASE + i * PG_PAGE_SIZE);
		if (mmap(at, PG_PAGE_SIZE, page_prot[i], MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
			    (off_t)(i * PG_PAGE_SIZE)) != at)
			die("mmap");
	}
	if (mmap((void *)WORLD_CODE, PG_PAGE_SIZE, PROT_READ | PROT_EXEC,
		    MAP_SHARED | MAP_FIXED_NOREPLACE, fd, CODE_OFFSET) != (void *)WORLD_CODE)
		die("mmap");
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		die("ptrace");
	raise(SIGSTOP);
	_exit(0);
}

static void wait_stop(struct world *w, int *sig)
{
	int status;
	if (waitpid(w->child, &status, 0) != w->child || !WIFSTOPPED(status))
		die("the traced child is gone");
	*sig = WSTOPSIG(status);
}

/*
 * While the SSE component is in its initial state, which includes MXCSR, Linux may hand out an
 * older MXCSR: XSAVES does not write it then.
 */
static void read_xstate(struct world *w, struct pg_xsave *x)
{
	struct iovec v = {x->bytes, sizeof(x->bytes)};
	if (ptrace(PTRACE_GETREGSET, w->child, NT_X86_XSTATE, &v) < 0)
		die("PTRACE_GETREGSET");
	w->xsave_bytes = v.iov_len;
	uint32_t initial = IMAGE_MXCSR_INITIAL;
	if (!(image_in_use(x) & IMAGE_SSE))
		memcpy(x->bytes + IMAGE_MXCSR, &initial, sizeof(initial));
}

void world_open(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->random = seed | 1;
	w->port = (struct pg_access_port){
		.ctx = w, .resolve = resolve, .count = count, .stable = stable};
	w->host_has_avx = pg_cpu_guest_xcr0() & 4;
	world_reset_counts(w, 4, 4);
	int fd = memfd_create("world", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)SHARED_BYTES) < 0)
		die("memfd");
	w->shared = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (w->shared == MAP_FAILED)
		die("mmap");
	for (unsigned i = 0; i < 2; i++) {
		w->pool[i] = aligned_alloc(PG_PAGE_SIZE, WORLD_BYTES);
		if (!w->pool[i])
			die("aligned_alloc");
		memset(w->pool[i], 0, WORLD_BYTES);
	}
	fflush(NULL);
	w->child = fork();
	if (w->child < 0)
		die("fork");
	if (w->child == 0)
		child_main(fd);
	close(fd);
	int sig;
	wait_stop(w, &sig);
	if (ptrace(PTRACE_SETOPTIONS, w->child, NULL, PTRACE_O_EXITKILL) < 0)
		die("PTRACE_SETOPTIONS");
	static struct pg_xsave x;
	read_xstate(w, &x);
}

void world_close(struct world *w)
{
	kill(w->child, SIGKILL);
	waitpid(w->child, NULL, 0);
	munmap(w->shared, SHARED_BYTES);
	free(w->pool[0]);
	free(w->pool[1]);
}

static void to_user(const struct pg_cpu_regs *r, struct user_regs_struct *u)
{
	const uint64_t *g = r->gpr;
	u->rax = g[PG_RAX];
	u->rcx = g[PG_RCX];
	u->rdx = g[PG_RDX];
	u->rbx = g[PG_RBX];
	u->rsp = g[PG_RSP];
	u->rbp = g[PG_RBP];
	u->rsi = g[PG_RSI];
	u->rdi = g[PG_RDI];
	u->r8 = g[PG_R8];
	u->r9 = g[PG_R9];
	u->r10 = g[PG_R10];
	u->r11 = g[PG_R11];
	u->r12 = g[PG_R12];
	u->r13 = g[PG_R13];
	u->r14 = g[PG_R14];
	u->r15 = g[PG_R15];
	u->rip = r->rip;
	u->eflags = r->rflags;
	u->fs_base = r->fs_base;
	u->gs_base = r->gs_base;
	u->orig_rax = (uint64_t)-1;
}

static void from_user(const struct user_regs_struct *u, struct pg_cpu_regs *r)
{
	const uint64_t g[PG_GPRS] = {u->rax, u->rcx, u->rdx, u->rbx, u->rsp, u->rbp, u->rsi, u->rdi,
		u->r8, u->r9, u->r10, u->r11, u->r12, u->r13, u->r14, u->r15};
	memcpy(r->gpr, g, sizeof(g));
	r->rip = u->rip;
	r->rflags = u->eflags & (USER_FLAGS | 0x202);
	r->fs_base = u->fs_base;
	r->gs_base = u->gs_base;
}

static struct outcome outcome_of(int sig, const siginfo_t *si)
{
	struct outcome out = {.result = PG_COMPLEX_UNSUPPORTED};
	switch (sig) {
	case SIGTRAP:
		out.result = PG_COMPLEX_DONE;
		break;
	case SIGSEGV:
		out.result = si->si_code == SI_KERNEL ? PG_COMPLEX_GP : PG_COMPLEX_FAULT;
		break;
	case SIGBUS:
		out.result = PG_COMPLEX_SS;
		break;
	case SIGFPE:
		out.result = PG_COMPLEX_FP;
		break;
	case SIGILL:
		out.result = PG_COMPLEX_ILLEGAL;
		break;
	default:
		fprintf(stderr, "unexpected signal %d\n", sig);
		exit(2);
	}
	if (out.result == PG_COMPLEX_FAULT)
		out.fault_va = (uint64_t)si->si_addr;
	return out;
}

struct outcome world_run_native(
	struct world *w, const uint8_t *bytes, size_t n, struct pg_cpu_regs *regs)
{
	struct user_regs_struct u;
	uint8_t *code = w->shared + CODE_OFFSET + (regs->rip - WORLD_CODE);
	memcpy(code, bytes, n);
	memset(code + n, 0xcc, 16);
	struct iovec v = {regs->x->bytes, w->xsave_bytes};
	if (ptrace(PTRACE_SETREGSET, w->child, NT_X86_XSTATE, &v) < 0)
		die("PTRACE_SETREGSET");
	if (ptrace(PTRACE_GETREGS, w->child, NULL, &u) < 0)
		die("PTRACE_GETREGS");
	to_user(regs, &u);
	if (ptrace(PTRACE_SETREGS, w->child, NULL, &u) < 0)
		die("PTRACE_SETREGS");
	if (ptrace(PTRACE_CONT, w->child, NULL, NULL) < 0)
		die("PTRACE_CONT");
	int sig;
	siginfo_t si;
	wait_stop(w, &sig);
	if (ptrace(PTRACE_GETSIGINFO, w->child, NULL, &si) < 0 ||
		ptrace(PTRACE_GETREGS, w->child, NULL, &u) < 0)
		die("PTRACE_GETSIGINFO");
	read_xstate(w, regs->x);
	from_user(&u, regs);
	struct outcome out = outcome_of(sig, &si);
	if (out.result == PG_COMPLEX_DONE)
		regs->rip--; /* the int3 behind it */
	return out;
}
