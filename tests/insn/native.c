/* SPDX-License-Identifier: MIT */
/*
 * tests/insn/native.c: the real CPU as a side: a traced child that holds the test pages and
 * nothing else.
 *
 * The pages are one memfd, mapped here for writing and in the child at their addresses with their
 * rights; so memory costs no system call. After the fork everything else is unmapped from the child by
 * injected munmap calls: a wild access finds in it exactly what it would find in a guest.
 *
 * The child is not single-stepped but continued to an int3: single-stepping would show a trap
 * flag to pushf that a guest would not see.
 *
 * Owns: the child (killed with us, PTRACE_O_EXITKILL), the memfd. Not here: what is compared.
 */
#include "insn.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define NATIVE_X_MAX 16384

struct native {
	struct insn_side side;
	pid_t child;
	int memfd;
	uint8_t *mem; /* page i at i * 4096 */
	struct user_regs_struct fresh;
	size_t x_bytes; /* of the host's XSAVE image as ptrace gives it */
	_Alignas(64) uint8_t x_fresh[NATIVE_X_MAX];
	_Alignas(64) uint8_t x[NATIVE_X_MAX];
	bool dead;
};

/* A case that does not end is ended. */
static void kill_child(void *arg)
{
	kill(((struct native *)arg)->child, SIGKILL);
}

static void child_main(const struct native *n)
{
	/* rseq and the robust list live in memory that is about to go. */
	if (__rseq_size)
		syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32, 1,
			RSEQ_SIG);
	syscall(SYS_set_robust_list, NULL, 24);
	syscall(SYS_set_tid_address, NULL);
	for (unsigned i = 0; i < INSN_PAGES; i++) {
		int prot = (insn_pages[i].prot & PG_READ ? PROT_READ : 0) |
			   (insn_pages[i].prot & PG_WRITE ? PROT_WRITE : 0) |
			   (insn_pages[i].prot & PG_EXEC ? PROT_EXEC : 0);
		/* over whatever the engine may have put there: a child made later inherits it */
		void *p = mmap((void *)insn_pages[i].va, 4096, prot, MAP_SHARED | MAP_FIXED,
			n->memfd, (off_t)i * 4096);
		if (p != (void *)insn_pages[i].va)
			_exit(3);
	}
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	kill(getpid(), SIGSTOP);
	_exit(4);
}

static int wait_stop(struct native *n)
{
	int status;
	while (waitpid(n->child, &status, __WALL) < 0)
		if (errno != EINTR)
			return -1;
	if (!WIFSTOPPED(status)) {
		n->dead = true;
		return -1;
	}
	return WSTOPSIG(status);
}

/* A system call made by the child from the first code page. */
static long inject(struct native *n, long nr, uint64_t a, uint64_t b)
{
	static const uint8_t text[] = {0x0f, 0x05, 0xcc};
	struct user_regs_struct u = n->fresh;
	memcpy(n->mem, text, sizeof text);
	u.rip = CODE_VA;
	u.rax = (unsigned long)nr;
	u.rdi = a;
	u.rsi = b;
	u.orig_rax = -1ul;
	if (ptrace(PTRACE_SETREGS, n->child, NULL, &u) || ptrace(PTRACE_CONT, n->child, NULL, 0) ||
		wait_stop(n) != SIGTRAP || ptrace(PTRACE_GETREGS, n->child, NULL, &u))
		return -EIO;
	memset(n->mem, 0xcc, sizeof text);
	return (long)u.rax;
}

/* ptrace does not touch NT and ID: what a case left in them is taken back by a popf. */
static void reset_flags(struct native *n)
{
	static const uint8_t text[] = {0x6a, 0x02, 0x9d, 0xcc}; /* push 2; popf; int3 */
	uint8_t *code = n->mem, *slot = n->mem + 4096 * insn_page_of(0x30000000) + 8, kept[8],
		kept_code[4];
	struct user_regs_struct u = n->fresh;
	memcpy(kept, slot, 8);
	memcpy(kept_code, code, sizeof text);
	memcpy(code, text, sizeof text);
	u.rip = CODE_VA;
	u.rsp = 0x30000010;
	u.orig_rax = -1ul;
	if (ptrace(PTRACE_SETREGS, n->child, NULL, &u) || ptrace(PTRACE_CONT, n->child, NULL, 0) ||
		wait_stop(n) != SIGTRAP)
		n->dead = true;
	memcpy(code, kept_code, sizeof text);
	memcpy(slot, kept, 8);
}

/* Unmaps everything but the test pages. */
static int strip(struct native *n)
{
	char path[64];
	static uint64_t lo[4096], hi[4096];
	unsigned count = 0;
	snprintf(path, sizeof path, "/proc/%d/maps", n->child);
	FILE *f = fopen(path, "r");
	char line[512];
	if (!f)
		return -errno;
	while (count < 4096 && fgets(line, sizeof line, f)) {
		unsigned long a, b;
		if (sscanf(line, "%lx-%lx", &a, &b) == 2 && insn_page_of(a) < 0 && a >> 63 == 0) {
			lo[count] = a;
			hi[count++] = b;
		}
	}
	fclose(f);
	for (unsigned i = 0; i < count; i++)
		if (inject(n, SYS_munmap, lo[i], hi[i] - lo[i]))
			return -EIO;
	return 0;
}

static int spawn(struct native *n)
{
	n->dead = false;
	fflush(NULL);
	n->child = fork();
	if (n->child < 0)
		return -errno;
	if (n->child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		child_main(n);
	}
	int sig = wait_stop(n);
	if (sig != SIGSTOP)
		return -EIO;
	if (ptrace(PTRACE_SETOPTIONS, n->child, NULL, PTRACE_O_EXITKILL) ||
		ptrace(PTRACE_GETREGS, n->child, NULL, &n->fresh))
		return -errno;
	struct iovec io = {n->x_fresh, sizeof n->x_fresh};
	if (ptrace(PTRACE_GETREGSET, n->child, NT_X86_XSTATE, &io))
		return -errno;
	n->x_bytes = io.iov_len;
	memset(n->x_fresh, 0, sizeof n->x_fresh);
	return strip(n);
}

static void native_load(struct insn_side *s, const struct insn_case *c)
{
	struct native *n = (struct native *)s;
	for (unsigned i = 0; i < INSN_PAGES; i++)
		if (insn_case_touches(c, i))
			insn_case_apply(c, i, n->mem + i * 4096);
}

static enum insn_end end_of(const siginfo_t *si, uint64_t *addr)
{
	*addr = 0;
	switch (si->si_signo) {
	case SIGTRAP:
		return si->si_code == SI_KERNEL    ? END_BREAK
		       : si->si_code == TRAP_TRACE ? END_STEP
						   : END_OTHER;
	case SIGSEGV:
		*addr = (uint64_t)si->si_addr;
		if (si->si_code == SEGV_MAPERR)
			return END_MAPERR;
		if (si->si_code == SEGV_ACCERR)
			return END_ACCERR;
		*addr = 0;
		return si->si_code == SI_KERNEL ? END_GP : END_OTHER;
	case SIGBUS:
		if (si->si_code == BUS_ADRALN)
			return END_ALIGN;
		if (si->si_code == SI_KERNEL)
			return END_SS;
		*addr = (uint64_t)si->si_addr;
		return END_BUS;
	case SIGFPE:
		return si->si_code == FPE_INTDIV ? END_DIVIDE : END_FP;
	case SIGILL:
		return END_ILLEGAL;
	default:
		return END_OTHER;
	}
}

static void native_run(struct insn_side *s, const struct insn_case *c, struct insn_result *out)
{
	struct native *n = (struct native *)s;
	memset(out, 0, sizeof *out);
	if (n->dead && spawn(n)) {
		out->end = END_OTHER;
		return;
	}
	struct user_regs_struct u = n->fresh;
	const uint64_t *g = c->before.gpr;
	u.rax = g[0], u.rcx = g[1], u.rdx = g[2], u.rbx = g[3];
	u.rsp = g[4], u.rbp = g[5], u.rsi = g[6], u.rdi = g[7];
	u.r8 = g[8], u.r9 = g[9], u.r10 = g[10], u.r11 = g[11];
	u.r12 = g[12], u.r13 = g[13], u.r14 = g[14], u.r15 = g[15];
	u.rip = c->before.rip;
	u.eflags = c->before.rflags;
	u.fs_base = c->before.fs_base;
	u.gs_base = c->before.gs_base;
	u.orig_rax = -1ul;
	memcpy(n->x, n->x_fresh, n->x_bytes);
	memcpy(n->x, c->before.x, INSN_XBYTES);
	struct iovec io = {n->x, n->x_bytes};
	siginfo_t si;
	insn_deadline(kill_child, n);
	if (ptrace(PTRACE_SETREGS, n->child, NULL, &u) ||
		ptrace(PTRACE_SETREGSET, n->child, NT_X86_XSTATE, &io) ||
		ptrace(PTRACE_CONT, n->child, NULL, 0) || wait_stop(n) < 0 ||
		ptrace(PTRACE_GETSIGINFO, n->child, NULL, &si) ||
		ptrace(PTRACE_GETREGS, n->child, NULL, &u) ||
		ptrace(PTRACE_GETREGSET, n->child, NT_X86_XSTATE, &io)) {
		insn_deadline(NULL, NULL);
		out->raw = (uint64_t)errno;
		out->end = n->dead ? END_TIMEOUT : END_OTHER;
		if (!n->dead) {
			kill(n->child, SIGKILL);
			wait_stop(n);
		}
		n->dead = true;
		return;
	}
	insn_deadline(NULL, NULL);
	uint64_t *h = out->after.gpr;
	h[0] = u.rax, h[1] = u.rcx, h[2] = u.rdx, h[3] = u.rbx;
	h[4] = u.rsp, h[5] = u.rbp, h[6] = u.rsi, h[7] = u.rdi;
	h[8] = u.r8, h[9] = u.r9, h[10] = u.r10, h[11] = u.r11;
	h[12] = u.r12, h[13] = u.r13, h[14] = u.r14, h[15] = u.r15;
	out->after.rip = u.rip;
	out->after.rflags = u.eflags;
	out->after.fs_base = u.fs_base;
	out->after.gs_base = u.gs_base;
	memcpy(out->after.x, n->x, INSN_XBYTES);
	/*
	 * The kernel saves by XSAVES, which writes MXCSR as a part of SSE: with SSE in its initial state ptrace shows a
	 * stale one, and the true one is initial too. Intel SDM vol. 1, 13.11.
	 */
	if (!(n->x[512] & 2)) {
		static const uint8_t initial[4] = {0x80, 0x1f, 0, 0};
		memcpy(out->after.x + 24, initial, 4);
	}
	out->end = end_of(&si, &out->addr);
	out->raw = (uint64_t)si.si_signo << 32 | (uint32_t)si.si_code;
	if (u.eflags & 0x204000)
		reset_flags(n);
}

static const uint8_t *native_page(struct insn_side *s, unsigned index)
{
	return ((struct native *)s)->mem + index * 4096;
}

static void native_restore(struct insn_side *s, const struct insn_case *c)
{
	struct native *n = (struct native *)s;
	for (unsigned i = 0; i < INSN_PAGES; i++)
		if (insn_case_touches(c, i) || memcmp(n->mem + i * 4096, insn_image[i], 4096) != 0)
			memcpy(n->mem + i * 4096, insn_image[i], 4096);
}

static void native_destroy(struct insn_side *s)
{
	struct native *n = (struct native *)s;
	if (!n->dead && n->child > 0) {
		kill(n->child, SIGKILL);
		wait_stop(n);
	}
	munmap(n->mem, INSN_PAGES * 4096);
	close(n->memfd);
	free(n);
}

struct insn_side *insn_native_create(void)
{
	struct native *n = aligned_alloc(64, (sizeof *n + 63) & ~(size_t)63);
	if (!n)
		return NULL;
	memset(n, 0, sizeof *n);
	n->side = (struct insn_side){
		"native", native_load, native_run, native_page, native_restore, native_destroy};
	n->memfd = memfd_create("insn", 0);
	if (n->memfd < 0 || ftruncate(n->memfd, INSN_PAGES * 4096)) {
		perror("native side: memfd");
		free(n);
		return NULL;
	}
	n->mem = mmap(NULL, INSN_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, n->memfd, 0);
	if (n->mem == MAP_FAILED) {
		perror("native side: mmap");
		close(n->memfd);
		free(n);
		return NULL;
	}
	memcpy(n->mem, insn_image, sizeof insn_image);
	if (spawn(n)) {
		fprintf(stderr, "native side: cannot make a traced child: %s\n", strerror(errno));
		native_destroy(&n->side);
		return NULL;
	}
	return &n->side;
}
