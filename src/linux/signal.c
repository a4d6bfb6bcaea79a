/* SPDX-License-Identifier: MIT */
/*
 * linux/signal.c: the guest's signals: queued, blocked, ignored, delivered.
 *
 * Called by linux.c between instructions and after system calls, and by the system calls of sys_signal.c. Calls
 * sigframe.c to enter a handler and sighost.c to take in what the host brought. Owns the queue.
 *
 * Invariants:
 *   G1 bit n-1 of pending is set exactly if signal n is on the queue.
 *   G2 a standard signal (1 .. 31) is on the queue at most once for the process and once for each thread; a real-time
 *      signal as often as it was sent.
 *   G3 SIGKILL and SIGSTOP are never blocked, caught or ignored.
 *   G4 within a signal oldest first; between signals those of faults first, then the lowest number, as Linux.
 *   G5 a system call that was interrupted ends in exactly one of: restarted, or -EINTR.
 */
#include "linux/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUE_MOST 4096
#define BIT(n) ((uint64_t)1 << ((n)-1))
#define FAULTS (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGFPE) | BIT(SIGSYS))
#define UNBLOCKABLE (BIT(SIGKILL) | BIT(SIGSTOP))

bool pg_signal_default_ignores(int signo)
{
	return signo == SIGCHLD || signo == SIGCONT || signo == SIGURG || signo == SIGWINCH;
}

static bool default_stops(int signo)
{
	return signo == SIGSTOP || signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU;
}

bool pg_signal_ignored(const struct pg_thread *me, int signo)
{
	const struct pg_sigaction *a = &me->proc->sig.act[signo];

	return a->handler == 1 || (a->handler == 0 && pg_signal_default_ignores(signo));
}

void pg_signal_init(struct pg_thread *me)
{
	me->proc->sig.queue_end = &me->proc->sig.queue;
	me->sig.alt_flags = SS_DISABLE;
}

void pg_signal_free(struct pg_thread *me)
{
	while (me->proc->sig.queue != NULL) {
		struct pg_queued *q = me->proc->sig.queue;

		me->proc->sig.queue = q->next;
		free(q);
	}
	me->proc->sig.queue_end = &me->proc->sig.queue;
	me->proc->sig.pending = 0;
}

void pg_signal_exec(struct pg_thread *me)
{
	for (int n = 1; n <= PG_NSIG; n++) {
		struct pg_sigaction *a = &me->proc->sig.act[n];

		*a = (struct pg_sigaction){.handler = a->handler == 1 ? 1 : 0};
		pg_sighost_update(me, n);
	}
	me->sig.alt_sp = me->sig.alt_size = 0;
	me->sig.alt_flags = SS_DISABLE;
	me->sig.restore_mask = false;
	me->sig.trapno = me->sig.error_code = me->sig.cr2 = 0;
}

int pg_signal_send(struct pg_thread *me, const union pg_siginfo *info, int tid)
{
	int n = info->host.si_signo;
	struct pg_queued *q;

	PG_ASSERT(n >= 1 && n <= PG_NSIG);
	if (pg_signal_ignored(me, n) && !(me->sig.blocked & BIT(n)) && me->proc->threads <= 1)
		return 0;
	for (q = n < 32 && (me->proc->sig.pending & BIT(n)) ? me->proc->sig.queue : NULL; q != NULL; q = q->next)
		if (q->info.host.si_signo == n && q->tid == tid)
			return 0;
	if (me->proc->sig.queued >= QUEUE_MOST)
		return -EAGAIN;
	q = malloc(sizeof(*q));
	if (q == NULL)
		return -EAGAIN;
	q->next = NULL;
	q->tid = tid;
	q->info = *info;
	*me->proc->sig.queue_end = q;
	me->proc->sig.queue_end = &q->next;
	me->proc->sig.pending |= BIT(n);
	me->proc->sig.queued++;
	return 0;
}

uint64_t pg_signal_pending(const struct pg_thread *me, int tid)
{
	uint64_t set = 0;

	if (me->proc->sig.pending == 0)
		return 0;
	for (const struct pg_queued *q = me->proc->sig.queue; q != NULL; q = q->next)
		if (q->tid == 0 || q->tid == tid)
			set |= BIT(q->info.host.si_signo);
	return set;
}

bool pg_signal_wakes(const struct pg_thread *me, const struct pg_thread *t)
{
	const struct pg_signals_own *own = t == me ? &me->sig : &t->sig;
	uint64_t can = pg_signal_pending(me, t->tid) & ~own->blocked;

	for (; can != 0; can &= can - 1)
		if (!pg_signal_ignored(me, __builtin_ctzll(can) + 1))
			return true;
	return false;
}

/* Takes the oldest signal n of the running thread off the queue. */
static void dequeue(struct pg_thread *me, int n, union pg_siginfo *info)
{
	struct pg_queued **at = &me->proc->sig.queue, *q;
	bool more = false;

	while (*at != NULL && ((*at)->info.host.si_signo != n ||
				      ((*at)->tid != 0 && (*at)->tid != me->tid)))
		at = &(*at)->next;
	PG_ASSERT(*at != NULL);
	q = *at;
	*info = q->info;
	*at = q->next;
	if (q->next == NULL)
		me->proc->sig.queue_end = at;
	free(q);
	me->proc->sig.queued--;
	for (q = me->proc->sig.queue; q != NULL; q = q->next)
		more = more || q->info.host.si_signo == n;
	if (!more)
		me->proc->sig.pending &= ~BIT(n);
}

int pg_signal_take(struct pg_thread *me, uint64_t set, union pg_siginfo *info)
{
	uint64_t can;
	int n;

	pg_sighost_collect(me);
	can = pg_signal_pending(me, me->tid) & set;
	if (can == 0)
		return 0;
	n = __builtin_ctzll(can & FAULTS ? can & FAULTS : can) + 1;
	dequeue(me, n, info);
	return n;
}

bool pg_signal_waiting(struct pg_thread *me)
{
	if (me->poke)
		pg_sighost_collect(me);
	return pg_signal_wakes(me, me);
}

void pg_signal_set_mask(struct pg_thread *me, uint64_t mask)
{
	me->sig.blocked = mask & ~UNBLOCKABLE;
	pg_sighost_mask(me);
}

/* --- faults of the guest's own ------------------------------------------------------------------- */

static void set_addr(union pg_siginfo *info, int signo, int code, uint64_t addr)
{
	memset(info, 0, sizeof(*info));
	info->host.si_signo = signo;
	info->host.si_code = code;
	memcpy(info->bytes + 16, &addr, sizeof(addr));
}

/* Killed by a fault: what to report. The registers are those at the fault. */
static void note_fault(struct pg_thread *me, int signo, int code, uint64_t addr)
{
	if (me->proc->ended)
		return;
	me->proc->end.fault = true;
	me->proc->end.si_code = code;
	me->proc->end.addr = addr;
	pg_linux_killed(me, signo);
}

static void told(struct pg_thread *me, int signo, const union pg_siginfo *info, uint64_t handler)
{
	uint64_t addr;

	memcpy(&addr, info->bytes + 16, sizeof(addr));
	if (me->machine->hooks.signal != NULL)
		me->machine->hooks.signal(me->machine->hooks.ctx, signo, info->host.si_code, addr, handler);
}

/*
 * Enters the handler of signo. A frame that does not fit is a SIGSEGV, whose own handler may have room on the
 * alternate stack; if that is what failed, the guest is killed.
 */
static void enter(struct pg_thread *me, int signo, const union pg_siginfo *info)
{
	struct pg_sigaction *a = &me->proc->sig.act[signo], used = *a;
	uint64_t save = me->sig.restore_mask ? me->sig.saved_mask : me->sig.blocked;

	told(me, signo, info, used.handler);
	if (used.flags & SA_RESETHAND) {
		a->handler = 0;
		pg_sighost_update(me, signo);
	}
	if (!pg_sigframe_push(me, signo, &used, info, save)) {
		me->proc->end.frame_failed = true;
		if (me->oom)
			return;
		if (signo == SIGSEGV)
			me->proc->sig.act[SIGSEGV].handler = 0;
		me->sig.restore_mask = false;
		pg_signal_force(me, SIGSEGV, SI_KERNEL, 0);
		return;
	}
	me->proc->end.frame_failed = false;
	me->sig.restore_mask = false;
	me->proc->sig.delivered++;
	pg_signal_set_mask(
		l, me->sig.blocked | used.mask | (used.flags & SA_NODEFER ? 0 : BIT(signo)));
}

void pg_signal_force(struct pg_thread *me, int signo, int code, uint64_t addr)
{
	union pg_siginfo info;

	set_addr(&info, signo, code, addr);
	if (me->proc->sig.act[signo].handler <= 1 || (me->sig.blocked & BIT(signo))) {
		told(me, signo, &info, 0);
		note_fault(me, signo, code, addr);
		return;
	}
	enter(me, signo, &info);
}

/* --- delivery -------------------------------------------------------------------------------------- */

/* The interrupted call begins anew, or fails with EINTR; rip is behind the syscall instruction still. */
static void settle_call(struct pg_thread *me, bool again)
{
	if (me->sig.restart == 0)
		return;
	if (again) {
		me->regs->gpr[PG_RAX] = me->sig.restart_rax;
		me->regs->rip -= 2;
	} else {
		me->regs->gpr[PG_RAX] = (uint64_t)-EINTR;
	}
	me->sig.restart = 0;
}

static bool restarts(const struct pg_thread *me, const struct pg_sigaction *a)
{
	return me->sig.restart == PG_ERESTARTNOINTR ||
	       (me->sig.restart == PG_ERESTARTSYS && (a->flags & SA_RESTART));
}

/* The default action of a signal that has no handler. */
static void act_default(struct pg_thread *me, int signo, const union pg_siginfo *info)
{
	if (pg_signal_default_ignores(signo))
		return;
	if (default_stops(signo)) {
		/* the whole machine stops, as the program would; whoever continues it continues both */
		kill(getpid(), SIGSTOP);
		return;
	}
	told(me, signo, info, 0);
	pg_linux_killed(me, signo);
}

void pg_signal_deliver(struct pg_thread *me)
{
	union pg_siginfo info;

	while (!me->proc->ended && !me->oom) {
		int n = pg_signal_take(me, ~me->sig.blocked, &info);
		const struct pg_sigaction *a = &me->proc->sig.act[n];

		if (n == 0)
			break;
		if (a->handler == 1)
			continue;
		if (a->handler == 0) {
			act_default(me, n, &info);
			continue;
		}
		settle_call(me, restarts(me, a));
		enter(me, n, &info);
	}
	if (me->proc->ended)
		return;
	settle_call(me, true);
	if (me->sig.restore_mask) {
		me->sig.restore_mask = false;
		pg_signal_set_mask(me, me->sig.saved_mask);
	}
}
