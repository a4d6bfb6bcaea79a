/* SPDX-License-Identifier: MIT */
/*
 * linux/loop.c: the loop that runs a guest thread: guest code until it stops, then why it stopped.
 *
 * Called by process/thread.c on each guest thread's host thread, lock held. Calls cpu/ to run the guest. A system call goes to calls/table.c; a page
 * fault that space/ refused (cpu/ has asked it: this loop never sees one that was served) and all else that the CPU cannot do
 * becomes a signal here, which process/signal.c delivers before guest code goes on.
 */
#include "linux/calls/calls.h"
#include "linux/machine/machine.h"

#include <string.h>

/*
 * Whether Linux would say "protection" and not "not present" in the error code: a page that is there without the
 * right (without any right it is not there), and every address of the kernel, about which it tells nothing.
 */
static bool entry_is_there(struct pg_thread *me, pg_va a)
{
	struct pg_region r;

	if (!pg_guest_range_ok(me, a.v, 1))
		return a.v >= ((uint64_t)1 << 47) - PG_PAGE_SIZE;
	if (!pg_space_find(me->mm->space, a, false, &r) || r.prot == 0)
		return false;
	return !pg_pfn_is_none(pg_space_resident(me->mm->space, a, NULL));
}

/* A page fault that space/ refused becomes a signal, with the numbers Linux leaves in the thread. */
static void refuse_fault(struct pg_thread *me, const struct pg_exit_info *i)
{
	struct pg_signals_own *s = &me->sig;
	int signo = SIGSEGV, code = SEGV_MAPERR;

	me->proc->end.access = i->fault_access;
	me->proc->end.why = i->fault_end;
	switch (i->fault_end) {
	case PG_FAULT_OOM:
		me->oom = true;
		return;
	case PG_FAULT_ACCERR:
		code = SEGV_ACCERR;
		break;
	case PG_FAULT_BUS:
		signo = SIGBUS;
		code = BUS_ADRERR;
		break;
	case PG_FAULT_MAPERR:
	case PG_FAULT_STACK:
	case PG_FAULT_LIMIT:
	case PG_FAULT_RESUME:
		break;
	}
	s->trapno = 14;
	s->cr2 = i->fault_va.v;
	/* user mode; write; fetch. "Present" is set where an entry was there without the right. */
	s->error_code =
		4 | (i->fault_access == PG_WRITE ? 2 : 0) | (i->fault_access == PG_EXEC ? 16 : 0);
	if (entry_is_there(me, i->fault_va))
		s->error_code |= 1;
	pg_signal_force(me, signo, code, i->fault_va.v);
}

/* Which floating-point exception: the SSE status if one is unmasked there, else the x87's. */
static int fp_code(const struct pg_thread *me, uint64_t *trapno)
{
	const uint8_t *x = me->regs->x->bytes;
	uint32_t mxcsr;
	uint16_t cw, sw, e;

	memcpy(&mxcsr, x + 24, sizeof(mxcsr));
	memcpy(&cw, x, sizeof(cw));
	memcpy(&sw, x + 2, sizeof(sw));
	e = (uint16_t)(mxcsr & ~(mxcsr >> 7) & 0x3f);
	*trapno = 19;
	if (e == 0) {
		e = sw & ~cw & 0x3f;
		*trapno = 16;
	}
	if (e & 0x01)
		return FPE_FLTINV;
	if (e & 0x04)
		return FPE_FLTDIV;
	if (e & 0x08)
		return FPE_FLTOVF;
	if (e & 0x12)
		return FPE_FLTUND;
	return e & 0x20 ? FPE_FLTRES : 0;
}

static void note_bytes(struct pg_thread *me, const struct pg_exit_info *i)
{
	me->proc->end.length =
		i->length <= sizeof(me->proc->end.bytes) ? i->length : sizeof(me->proc->end.bytes);
	memcpy(me->proc->end.bytes, i->bytes, me->proc->end.length);
}

static void trap(struct pg_thread *me, uint64_t trapno, int signo, int code, uint64_t addr)
{
	me->sig.trapno = trapno;
	me->sig.error_code = 0;
	pg_signal_force(me, signo, code, addr);
}

static void handle(struct pg_thread *me, enum pg_exit why, const struct pg_exit_info *i)
{
	uint64_t rip = me->regs->rip, trapno;
	int code;

	switch (why) {
	case PG_EXIT_SYSCALL:
		me->pc = rip - 2;
		pg_syscall_run(me);
		if (me->machine->partition != NULL && !me->proc->exiting && !me->must_end)
			pg_partition_turn(me);
		break;
	case PG_EXIT_FAULT:
		refuse_fault(me, i);
		break;
	case PG_EXIT_GP:
		trap(me, 13, SIGSEGV, SI_KERNEL, 0);
		break;
	case PG_EXIT_DIVIDE:
		trap(me, 0, SIGFPE, FPE_INTDIV, rip);
		break;
	case PG_EXIT_FP:
		code = fp_code(me, &trapno);
		trap(me, trapno, SIGFPE, code, rip);
		break;
	case PG_EXIT_BREAKPOINT:
		trap(me, 3, SIGTRAP, SI_KERNEL, 0);
		break;
	case PG_EXIT_STEP:
		trap(me, 1, SIGTRAP, TRAP_TRACE, rip);
		break;
	case PG_EXIT_UNSUPPORTED:
		me->proc->end.unhandled = true;
		note_bytes(me, i);
		trap(me, 6, SIGILL, ILL_ILLOPN, rip);
		break;
	case PG_EXIT_ILLEGAL:
		note_bytes(me, i);
		trap(me, 6, SIGILL, ILL_ILLOPN, rip);
		break;
	case PG_EXIT_SS:
		trap(me, 12, SIGBUS, SI_KERNEL, 0);
		break;
	case PG_EXIT_ALIGN:
		trap(me, 17, SIGBUS, BUS_ADRALN, 0);
		break;
	case PG_EXIT_INTERRUPTED:
	case PG_EXIT_BUDGET:
		break;
	}
}

/* Nothing runs before it goes on; whoever stops it again or ends it is seen too. */
static void while_stopped(struct pg_thread *me)
{
	while (me->proc->stopped && !me->proc->exiting && !me->must_end) {
		me->poke = 0;
		pg_thread_sleep(me, UINT64_MAX);
	}
}

void pg_linux_go(struct pg_thread *me)
{
	struct pg_process *p = me->proc;
	struct pg_linux *l = me->machine;

	if (l->partition != NULL)
		pg_partition_turn(me);
	while (!me->exiting && !me->must_end && !p->exiting) {
		struct pg_exit_info info = {0};
		enum pg_exit why;

		if (l->lock.wanted)
			pg_lock_turn(me);
		if (l->stopping) {
			pg_process_stop_all(me);
			continue;
		}
		if (me->oom) {
			pg_process_oom(me);
			continue;
		}
		if (p->stopped) {
			while_stopped(me);
			continue;
		}
		if (me->mm->paused_until != 0) {
			pg_pause_wait(me);
			continue;
		}
		if (me->poke || me->sig.restart != 0 || me->sig.restore_mask ||
			(pg_signal_pending(me) & ~me->sig.blocked) != 0) {
			me->poke = 0;
			pg_signal_deliver(me);
			continue;
		}
		why = l->ops->run(me->cpu, 0, &info);
		handle(me, why, &info);
	}
}
