/* SPDX-License-Identifier: MIT */
/*
 * tests/mapping/access.c: the steps that touch memory: by instruction, with a handler for what it raises, and by system
 * calls whose buffers may be bad.
 *
 * Called by mapping.c. A fault inside attempt() is told and jumped out of; one elsewhere ends the program with status 3.
 */
#include "mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#define SCRATCH (32 * PAGE)

static sigjmp_buf back;
static volatile sig_atomic_t armed;
static struct {
	int number, code;
	uint64_t address, error, rcx;
} raised;
static unsigned char scratch[SCRATCH];

static void on_signal(int number, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	raised.number = number;
	raised.code = info->si_code;
	raised.address = (uintptr_t)info->si_addr;
	raised.error = (uint64_t)u->uc_mcontext.gregs[REG_ERR];
	raised.rcx = (uint64_t)u->uc_mcontext.gregs[REG_RCX];
	if (!armed) {
		static const char text[] = "a fault that was not expected\n";

		(void)!write(2, text, sizeof text - 1);
		_exit(3);
	}
	armed = 0;
	siglongjmp(back, 1);
}

void access_start(void)
{
	struct sigaction a = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};

	sigaction(SIGSEGV, &a, NULL);
	sigaction(SIGBUS, &a, NULL);
	sigaction(SIGILL, &a, NULL);
	sigaction(SIGFPE, &a, NULL);
}

/* The kind of access is in the error code: 2 a write, 16 a fetch. Whether an entry was there (1) is the system's own affair. */
void say_signal(void)
{
	say(" !%s code %d at %s %s", sigabbrev_np(raised.number), raised.code,
		where(raised.address),
		raised.error & 16  ? "fetch"
		: raised.error & 2 ? "store"
				   : "load");
}

bool peek(uint64_t a, uint64_t *word)
{
	if (sigsetjmp(back, 0))
		return false;
	armed = 1;
	*word = *(volatile uint64_t *)a;
	armed = 0;
	return true;
}

bool poke(uint64_t a, uint64_t word)
{
	if (sigsetjmp(back, 0))
		return false;
	armed = 1;
	*(volatile uint64_t *)a = word;
	armed = 0;
	return true;
}

static void load(uint64_t a, unsigned kind)
{
	uint64_t word = 0, second = 0;

	if (sigsetjmp(back, 0)) {
		say_signal();
		return;
	}
	armed = 1;
	switch (kind) {
	case 0:
		word = *(volatile uint8_t *)a;
		break;
	case 1:
		word = *(volatile uint64_t *)a;
		break;
	default:
		__asm__ volatile("movups (%2), %%xmm0\n\tmovq %%xmm0, %0\n\tmovhlps %%xmm0, "
				 "%%xmm0\n\tmovq %%xmm0, %1"
				 : "=r"(word), "=r"(second)
				 : "r"(a)
				 : "xmm0", "memory");
	}
	armed = 0;
	say(" %lx", word ^ second);
}

static void store(uint64_t a, unsigned kind, uint64_t value)
{
	uint64_t old = value;

	if (sigsetjmp(back, 0)) {
		say_signal();
		return;
	}
	armed = 1;
	switch (kind) {
	case 0:
		*(volatile uint8_t *)a = (uint8_t)value;
		break;
	case 1:
		*(volatile uint64_t *)a = value;
		break;
	case 2:
		__asm__ volatile("movq %0, %%xmm0\n\tpunpcklqdq %%xmm0, %%xmm0\n\tmovups %%xmm0, "
				 "(%1)" ::"r"(value),
				 "r"(a)
				 : "xmm0", "memory");
		break;
	case 3:
		__asm__ volatile("lock xaddq %0, (%1)" : "+r"(old) : "r"(a) : "memory");
		break;
	case 4:
		__asm__ volatile("addq %0, (%1)" ::"r"(value), "r"(a) : "memory");
		break;
	default:
		__asm__ volatile("lock cmpxchgq %2, (%1)" /* writes even if unequal */
				 : "+a"(old)
				 : "r"(a), "r"(value)
				 : "memory");
	}
	armed = 0;
	if (kind > 2)
		say(" %lx", old);
}

void step_touch(void)
{
	uint64_t a = some_address(), value = below(1ul << 40) | 1;
	unsigned kind;

	if (has(PART_EDGE) && chance(4))
		a = edge_address() + below(PAGE);
	if (chance(45)) {
		kind = (unsigned)below(3);
		say("load%u %s", kind, where(a));
		load(a, kind);
	} else {
		kind = (unsigned)below(6);
		say("store%u %s %lx", kind, where(a), value);
		store(a, kind, value);
	}
}

/* rep stosb, rep movsq: how far it came is in rcx. */
void step_string(void)
{
	uint64_t a = some_address(), from = some_address(), n = 1 + below(3 * PAGE), left = n;
	bool copy = chance(50);

	if (copy)
		n = left = n / 8 + 1;
	say("%s %s", copy ? "movsq" : "stosb", where(a));
	if (copy)
		say(" from %s", where(from));
	say(" %lx", n);
	if (sigsetjmp(back, 0)) {
		say_signal();
		say(" left %lx", raised.rcx);
		return;
	}
	armed = 1;
	if (copy)
		__asm__ volatile("cld\n\trep movsq" : "+D"(a), "+S"(from), "+c"(left)::"memory");
	else
		__asm__ volatile("cld\n\trep stosb" : "+D"(a), "+c"(left) : "a"(0x5a) : "memory");
	armed = 0;
	say(" left %lx", left);
}

static void run_at(uint64_t a)
{
	if (sigsetjmp(back, 0)) {
		say_signal();
		return;
	}
	armed = 1;
	((void (*)(void))a)();
	armed = 0;
	say(" ran");
}

/* Whether nothing at a, nor a stack that could grow there, may be executed. */
static bool refuses_fetch(uint64_t a)
{
	static struct region r[600];
	unsigned n = regions(r, 600);

	for (unsigned i = 0; i < n; i++)
		if (a < r[i].end)
			return r[i].rights[2] != 'x';
	return false;
}

/*
 * Jumps to where nothing may be executed, whether the page is there or not. Elsewhere puts a return instruction there and runs
 * it; where it cannot be written, runs what is there if it is one.
 */
void step_fetch(void)
{
	uint64_t a = some_address(), word = 0;
	bool plant = chance(70), look = chance(50);

	say("fetch %s", where(a));
	if (!look && refuses_fetch(a)) {
		run_at(a);
		return;
	}
	if (plant && !poke(a, 0xc3c3c3c3c3c3c3c3ul))
		say_signal();
	if (!peek(a, &word)) {
		say_signal();
		return;
	} else if ((word & 0xff) != 0xc3) {
		return;
	}
	run_at(a);
}

/* ---- system calls */

static void fill(uint64_t n)
{
	uint8_t x = (uint8_t)(1 + below(250));

	for (uint64_t i = 0; i < n; i++)
		scratch[i] = (unsigned char)(x + i * 7 + i / PAGE);
}

/*
 * Into the arena: from a file or a pipe. A pipe's buffer lies in one page: when a part of it is bad Linux goes by the pipe's own
 * pages, which nobody promises.
 */
void step_read(void)
{
	uint64_t a = some_address(), n = 1 + below(5 * PAGE);
	bool by_pipe = chance(25);

	if (by_pipe)
		n = 1 + n % (PAGE - a % PAGE);
	fill(n);
	say("%s into %s %#lx", by_pipe ? "read" : "pread", where(a), n);
	if (by_pipe) {
		(void)!write(w.pipe[1], scratch, n);
		say_result(call(SYS_read, (uint64_t)w.pipe[0], a, n, 0, 0, 0));
		say(" then %ld", (long)read(w.pipe[0], scratch, SCRATCH));
		return;
	}
	(void)!pwrite(w.scratch, scratch, n, 0);
	say_result(call(SYS_pread64, (uint64_t)w.scratch, a, n, 0, 0, 0));
}

/* Out of the arena; what came is read again. */
void step_write(void)
{
	uint64_t a = some_address(), n = 1 + below(5 * PAGE);
	bool by_pipe = chance(25);
	int64_t r;

	if (by_pipe)
		n = 1 + n % (PAGE - a % PAGE);
	say("%s from %s %#lx", by_pipe ? "write" : "pwrite", where(a), n);
	r = by_pipe ? call(SYS_write, (uint64_t)w.pipe[1], a, n, 0, 0, 0)
		    : call(SYS_pwrite64, (uint64_t)w.scratch, a, n, 0, 0, 0);
	say_result(r);
	if (r <= 0)
		return;
	memset(scratch, 0, (size_t)r);
	r = by_pipe ? read(w.pipe[0], scratch, (size_t)r) : pread(w.scratch, scratch, (size_t)r, 0);
	say(" got %ld %lx", r, hash(HASH, scratch, r > 0 ? (size_t)r : 0));
}

void step_vector(void)
{
	struct iovec v[4];
	unsigned n = 1 + (unsigned)below(4);
	bool in = chance(50);
	uint64_t sum = 0;
	int64_t r;

	say("%s", in ? "preadv" : "pwritev");
	for (unsigned i = 0; i < n; i++) {
		v[i].iov_base = (void *)some_address();
		v[i].iov_len = chance(10) ? 0 : 1 + below(2 * PAGE);
		sum += v[i].iov_len;
		say(" %s %#lx", where((uintptr_t)v[i].iov_base), v[i].iov_len);
	}
	fill(sum);
	if (in)
		(void)!pwrite(w.scratch, scratch, sum, 0);
	r = call(in ? SYS_preadv : SYS_pwritev, (uint64_t)w.scratch, (uintptr_t)v, n, 0, 0, 0);
	say_result(r);
	if (in || r <= 0)
		return;
	r = pread(w.scratch, scratch, (size_t)r, 0);
	say(" got %ld %lx", r, hash(HASH, scratch, r > 0 ? (size_t)r : 0));
}

/* Calls that read or write one thing: a time, a name, two numbers. */
void step_other(void)
{
	uint64_t a = some_address();
	int64_t r;

	switch (below(6)) {
	case 0:
		say("clock_getres %s", where(a));
		say_result(call(SYS_clock_getres, 1, a, 0, 0, 0, 0));
		break;
	case 1:
		say("getrlimit %s", where(a));
		say_result(call(SYS_getrlimit, 6 /* NPROC */, a, 0, 0, 0, 0));
		if (poke(a, 0) && poke(a + 8, 0)) /* what the limit is differs */
			say(" cleared");
		break;
	case 2:
		a &= ~7ul; /* names are read by words, perhaps into the next page */
		say("open %s", where(a));
		r = call(
			SYS_openat, (uint64_t)AT_FDCWD, a, O_RDONLY | O_NOFOLLOW | O_PATH, 0, 0, 0);
		say("%s", r == -EFAULT ? " bad" : " good");
		if (r >= 0)
			close((int)r);
		break;
	case 3:
		say("rt_sigprocmask %s", where(a));
		say_result(call(SYS_rt_sigprocmask, SIG_UNBLOCK, a, 0, 8, 0, 0));
		break;
	case 4:
		say("nanosleep %s", where(a));
		if (poke(a, 0) && poke(a + 8, 1000))
			say_result(call(SYS_nanosleep, a, 0, 0, 0, 0, 0));
		else
			say_signal();
		break;
	default:
		say("pipe2 %s", where(a));
		r = call(SYS_pipe2, a, O_CLOEXEC, 0, 0, 0, 0);
		say_result(r);
		if (r == 0) {
			uint64_t ends = 0;

			if (peek(a, &ends)) {
				close((int)ends);
				close((int)(ends >> 32));
			}
			if (poke(a, 0)) /* their numbers may differ */
				say(" closed");
		}
	}
}

/* process_vm_readv and its like, on this process. */
void step_vm(void)
{
	struct iovec here[2], there[2];
	bool in = chance(50);
	unsigned n = 1 + (unsigned)below(2);

	say("process_vm_%sv", in ? "read" : "write");
	for (unsigned i = 0; i < 2; i++) {
		if (has(PART_GROW)) { /* Linux grows no stack of another process's: not below one */
			say(" not with stacks");
			return;
		}
		here[i].iov_base = (void *)some_address();
		here[i].iov_len = 1 + below(2 * PAGE);
		there[i].iov_base = (void *)some_address();
		there[i].iov_len = 1 + below(2 * PAGE);
	}
	for (unsigned i = 0; i < n; i++)
		say(" %s %#lx %s %#lx", where((uintptr_t)here[i].iov_base), here[i].iov_len,
			where((uintptr_t)there[i].iov_base), there[i].iov_len);
	say_result(call(in ? SYS_process_vm_readv : SYS_process_vm_writev, (uint64_t)getpid(),
		(uintptr_t)here, n, (uintptr_t)there, n, 0));
}
