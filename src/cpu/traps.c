/* SPDX-License-Identifier: MIT */
/*
 * cpu/traps.c: host signals that translated code raises: division, alignment, #GP, and in fast mode page faults.
 *
 * Called by the host kernel, on an alternate stack since rsp is the guest's. Signal handlers belong to the whole process,
 * so this file is the one place of cpu/ with state of its own: the handlers that were there before, and which
 * CPU the host thread is running.
 *
 * Invariants:
 *   1. A signal whose host pc is not in the code cache of the running CPU is not ours: it goes to the earlier handler.
 *   2. While a guest runs, GS is its CPU's; run.c never relies on GS.
 */
#include "cpu/fast.h"
#include "cpu/run.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
static struct sigaction before[sizeof(signals) / sizeof(signals[0])];
static bool prepared;
static _Thread_local struct pg_cpu *running;
static _Thread_local bool has_stack;
static pthread_key_t stack_key; /* of the alternate stack that this file gave the thread */
#define STACK_BYTES ((size_t)256 << 10)

/* The host thread ends. */
static void free_stack(void *p)
{
	const stack_t none = {.ss_flags = SS_DISABLE};
	sigaltstack(&none, NULL);
	munmap(p, STACK_BYTES);
}

/* The kernel must find a stack for a signal while rsp is the guest's. One that the thread has already serves. */
static void need_stack(void)
{
	stack_t old, ss = {.ss_size = STACK_BYTES};
	if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE)) {
		ss.ss_sp = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
		PG_ASSERT(ss.ss_sp != MAP_FAILED);
		PG_ASSERT(sigaltstack(&ss, NULL) == 0 &&
			  pthread_setspecific(stack_key, ss.ss_sp) == 0);
	}
	has_stack = true;
}

static void pass_on(int signo, siginfo_t *si, void *uc)
{
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (signals[i] != signo)
			continue;
		if (before[i].sa_flags & SA_SIGINFO) {
			before[i].sa_sigaction(signo, si, uc);
			return;
		}
		if (before[i].sa_handler != SIG_DFL && before[i].sa_handler != SIG_IGN) {
			before[i].sa_handler(signo);
			return;
		}
		/* The default: let the instruction, or the signal, come again and end the process. */
		signal(signo, SIG_DFL);
		if (si->si_code <= 0)
			raise(signo);
	}
}

#define FETCHED 16    /* in the error code of a page fault: it was an instruction */
#define STEP_FLAG 256 /* TF */

static void stop_here(struct pg_cpu *c, ucontext_t *uc)
{
	greg_t *r = uc->uc_mcontext.gregs;
	r[REG_RIP] = (greg_t)pg_stop_here(c, (uint64_t)r[REG_RIP]);
	r[REG_EFL] = (r[REG_EFL] & ~(greg_t)STEP_FLAG) | (c->engine->stepping ? STEP_FLAG : 0);
}

static void on_signal(int signo, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;
	struct pg_cpu *c = running;
	int saved = errno;
	uint64_t pc = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	/* int3 and icebp leave the pc behind the instruction. */
	uint64_t at = signo == SIGTRAP ? pc - 1 : pc;
	if (!c || !pg_in_code(c->engine, at) || si->si_code == SI_USER || si->si_code == SI_TKILL) {
		pass_on(signo, si, context);
		errno = saved;
		return;
	}
	if (c->engine->config.fast &&
		((signo == SIGSEGV && (uc->uc_mcontext.gregs[REG_ERR] & FETCHED)) ||
			(signo == SIGTRAP && c->engine->stepping))) {
		stop_here(c, uc);
		errno = saved;
		return;
	}
	c->trap.signo = signo;
	c->trap.code = si->si_code;
	c->trap.addr = (uint64_t)(uintptr_t)si->si_addr;
	c->trap.pc = at;
	c->trap.error = (uint64_t)uc->uc_mcontext.gregs[REG_ERR];
	c->trap.window = 0;
	if (c->engine->config.fast && signo == SIGSEGV && si->si_code != SI_KERNEL) {
		static const int number[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
			REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13,
			REG_R14, REG_R15};
		uint64_t gpr[16];
		for (unsigned i = 0; i < 16; i++)
			gpr[i] = (uint64_t)uc->uc_mcontext.gregs[number[i]];
		c->trap.window = pg_fast_fault(c, c->trap.addr, c->trap.error & 2, gpr);
		if (c->trap.window == 0) {
			/* another thread may have run meanwhile, and opened what was closed for this one */
			if (*c->asked)
				pg_stop_close(c->engine);
			errno = saved;
			return;
		}
	}
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)c->engine->stub_trap;
	errno = saved;
}

/* Once in the process. */
static int prepare(void)
{
	if (prepared)
		return 0;
	int r = pthread_key_create(&stack_key, free_stack);
	if (r != 0)
		return -r;
	/* For pg_interrupt. Without it (before Linux 4.14) a request from another thread may be seen late. */
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	prepared = true;
	return 0;
}

int pg_traps_install(void)
{
	struct sigaction sa, old;
	int r = prepare();
	if (r != 0)
		return r;
	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = on_signal;
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
	/* Nothing may interrupt the way from a trap to run.c but a trap. */
	sigfillset(&sa.sa_mask);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigdelset(&sa.sa_mask, signals[i]);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (sigaction(signals[i], &sa, &old) != 0)
			return -errno;
		if (!(old.sa_flags & SA_SIGINFO) || old.sa_sigaction != on_signal)
			before[i] = old;
	}
	return 0;
}

static void set_gs(uint64_t base)
{
	/* Linux says in AT_HWCAP2 whether user mode may write the base itself. */
	if (getauxval(AT_HWCAP2) & 2)
		__asm__ volatile("wrgsbase %0" : : "r"(base));
	else
		syscall(SYS_arch_prctl, ARCH_SET_GS, base);
}

void pg_traps_enter(struct pg_cpu *c)
{
	if (!has_stack)
		need_stack();
	running = c;
	set_gs((uint64_t)(uintptr_t)pg_cpu_gs(c));
}

void pg_traps_leave(void)
{
	running = NULL;
}

void pg_interrupt_again(struct pg_cpu *c)
{
	if (c->mmu)
		pg_mmu_poke(c->mmu);
	else
		pg_stop_close(c->engine);
	__asm__ volatile("" : : : "memory");
}

void pg_interrupt(struct pg_cpu *c)
{
	c->interrupt = 1;
	/*
	 * Another host thread may just have made a check good after it read `interrupt`, and that store may come after ours. Behind
	 * this barrier, on all host threads that run, it has come.
	 */
	if (!running || running != c->at)
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	struct pg_cpu *at = c->at;
	if (at)
		pg_interrupt_again(at);
}
