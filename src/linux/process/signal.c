/* SPDX-License-Identifier: MIT */
/*
 * linux/process/signal.c: the guest's signals: queued, blocked, ignored, delivered.
 *
 * Called by linux/loop.c between instructions and after system calls, and by the system calls of calls/signal.c. Calls
 * sigframe.c to enter a handler and end.c for what kills and stops. Owns the queues.
 *
 * Invariants:
 *   G1 bit n-1 of pending is set exactly if signal n is on the queue.
 *   G2 a standard signal (1 .. 31) is on the queue at most once for the process and once for each thread; a real-time
 *      signal as often as it was sent.
 *   G3 SIGKILL and SIGSTOP are never blocked, caught or ignored.
 *   G4 within a signal oldest first; between signals those of faults first, then the lowest number, as Linux.
 *   G5 a system call that was interrupted ends in exactly one of: restarted, or -EINTR.
 */
#include "linux/calls/calls.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUE_MOST 4096
#define BIT(n) ((uint64_t)1 << ((n)-1))
#define FAULTS (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGFPE) | BIT(SIGSYS))
#define STOPS (BIT(SIGSTOP) | BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU))
#define UNBLOCKABLE (BIT(SIGKILL) | BIT(SIGSTOP))

static bool default_ignores(int signo)
{
	return signo == SIGCHLD || signo == SIGCONT || signo == SIGURG || signo == SIGWINCH;
}

static bool default_stops(int signo)
{
	return signo == SIGSTOP || signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU;
}

bool pg_signal_ignored(const struct pg_process *p, int signo)
{
	const struct pg_sigaction *a = &p->sig.act[signo];

	return a->handler == 1 || (a->handler == 0 && default_ignores(signo));
}

void pg_signal_init(struct pg_signals *s)
{
	s->queue_end = &s->queue;
}

void pg_signal_free(struct pg_signals *s)
{
	while (s->queue != NULL) {
		struct pg_queued *q = s->queue;

		s->queue = q->next;
		free(q);
	}
	s->queue_end = &s->queue;
	s->pending = 0;
	s->queued = 0;
}

void pg_signal_exec(struct pg_thread *me)
{
	for (int n = 1; n <= PG_NSIG; n++) {
		struct pg_sigaction *a = &me->proc->sig.act[n];

		*a = (struct pg_sigaction){.handler = a->handler == 1 ? 1 : 0};
	}
	me->sig.alt_sp = me->sig.alt_size = 0;
	me->sig.alt_flags = SS_DISABLE;
	me->sig.restore_mask = false;
	me->sig.trapno = me->sig.error_code = me->sig.cr2 = 0;
}

/* --- the queue ---------------------------------------------------------------------------------------- */

static struct pg_queued *take_out(struct pg_signals *s, struct pg_queued **at)
{
	struct pg_queued *q = *at;

	*at = q->next;
	if (q->next == NULL)
		s->queue_end = at;
	s->queued--;
	return q;
}

static void count_pending(struct pg_signals *s)
{
	s->pending = 0;
	for (const struct pg_queued *q = s->queue; q != NULL; q = q->next)
		s->pending |= BIT(q->info.host.si_signo);
}

void pg_signal_drop(struct pg_process *p, uint64_t set)
{
	struct pg_queued **at = &p->sig.queue;

	if ((p->sig.pending & set) == 0)
		return;
	while (*at != NULL)
		if (set & BIT((*at)->info.host.si_signo))
			free(take_out(&p->sig, at));
		else
			at = &(*at)->next;
	count_pending(&p->sig);
	pg_sigfd_changed(p);
}

static bool takes(const struct pg_thread *t, int n)
{
	return (!(t->sig.blocked & BIT(n)) ||
		       (t->wait.kind == PG_WAIT_SIGNAL && (t->wait.signals & BIT(n)))) &&
	       !t->must_end;
}

/* Who has to look: the thread meant, or the first one that would take it. */
static void wake_taker(struct pg_process *p, int n, int tid)
{
	if (tid != 0) {
		struct pg_thread *t = pg_thread_of(p, tid);

		if (t != NULL)
			pg_thread_poke(t);
		return;
	}
	for (struct pg_thread *t = p->thread; t != NULL; t = t->next)
		if (takes(t, n)) {
			pg_thread_poke(t);
			return;
		}
}

/* Whether it is thrown away at once: ignored, and nobody has it blocked or waits for it. */
static bool thrown_away(struct pg_process *p, int n, int tid)
{
	if (!pg_signal_ignored(p, n))
		return false;
	for (const struct pg_thread *t = p->thread; t != NULL; t = t->next)
		if ((tid == 0 || t->tid == tid) && (t->sig.blocked & BIT(n)))
			return false;
	return true;
}

int pg_signal_send(struct pg_process *p, const union pg_siginfo *info, int tid)
{
	int n = info->host.si_signo;
	struct pg_queued *q;

	PG_ASSERT(n >= 1 && n <= PG_NSIG);
	if (p->state == PG_ZOMBIE || p->exiting)
		return 0;
	if (n == SIGKILL) {
		pg_process_killed(p, p->machine->current, SIGKILL);
		return 0;
	}
	if (n == SIGCONT) {
		pg_signal_drop(p, STOPS);
		pg_process_continue(p);
	} else if (STOPS & BIT(n)) {
		pg_signal_drop(p, BIT(SIGCONT));
	}
	if (thrown_away(p, n, tid))
		return 0;
	for (q = n < 32 && (p->sig.pending & BIT(n)) ? p->sig.queue : NULL; q != NULL; q = q->next)
		if (q->info.host.si_signo == n && q->tid == tid)
			return 0;
	if (p->sig.queued >= QUEUE_MOST)
		return -EAGAIN;
	q = malloc(sizeof(*q));
	if (q == NULL)
		return -EAGAIN;
	q->next = NULL;
	q->tid = tid;
	q->info = *info;
	*p->sig.queue_end = q;
	p->sig.queue_end = &q->next;
	p->sig.pending |= BIT(n);
	p->sig.queued++;
	pg_sigfd_changed(p);
	wake_taker(p, n, tid);
	return 0;
}

int pg_signal_post(struct pg_process *p, int signo, int code, int from, int tid)
{
	union pg_siginfo info;

	memset(&info, 0, sizeof(info));
	info.host.si_signo = signo;
	info.host.si_code = code;
	info.host.si_pid = from;
	info.host.si_uid = getuid();
	return pg_signal_send(p, &info, tid);
}

uint64_t pg_signal_pending(const struct pg_thread *t)
{
	uint64_t set = 0;

	if (t->proc->sig.pending == 0)
		return 0;
	for (const struct pg_queued *q = t->proc->sig.queue; q != NULL; q = q->next)
		if (q->tid == 0 || q->tid == t->tid)
			set |= BIT(q->info.host.si_signo);
	return set;
}

/* Takes the oldest signal n of the thread off the queue. */
static void dequeue(struct pg_thread *me, int n, union pg_siginfo *info)
{
	struct pg_signals *s = &me->proc->sig;
	struct pg_queued **at = &s->queue, *q;

	while (*at != NULL &&
		((*at)->info.host.si_signo != n || ((*at)->tid != 0 && (*at)->tid != me->tid)))
		at = &(*at)->next;
	PG_ASSERT(*at != NULL);
	q = take_out(s, at);
	*info = q->info;
	free(q);
	count_pending(s);
	pg_sigfd_changed(me->proc);
}

int pg_signal_take(struct pg_thread *me, uint64_t set, union pg_siginfo *info)
{
	uint64_t can = pg_signal_pending(me) & set;
	int n;

	if (can == 0)
		return 0;
	n = __builtin_ctzll(can & FAULTS ? can & FAULTS : can) + 1;
	dequeue(me, n, info);
	return n;
}

bool pg_signal_waiting(struct pg_thread *me)
{
	uint64_t can;

	me->poke = 0;
	if (me->must_end || me->proc->exiting || me->proc->stopped)
		return true;
	can = pg_signal_pending(me) & ~me->sig.blocked;
	for (; can != 0; can &= can - 1)
		if (!pg_signal_ignored(me->proc, __builtin_ctzll(can) + 1))
			return true;
	return false;
}

void pg_signal_set_mask(struct pg_thread *me, uint64_t mask)
{
	uint64_t opened = me->sig.blocked & ~mask, closed = mask & ~me->sig.blocked;

	me->sig.blocked = mask & ~UNBLOCKABLE;
	if (opened & me->proc->sig.pending)
		me->poke = 1;
	/* what this thread was to take and takes no more is another's */
	closed &= me->proc->sig.pending;
	for (; closed != 0; closed &= closed - 1)
		wake_taker(me->proc, __builtin_ctzll(closed) + 1, 0);
}

void pg_signal_swap_mask(struct pg_thread *me, uint64_t mask)
{
	me->sig.saved_mask = me->sig.blocked;
	me->sig.restore_mask = true;
	pg_signal_set_mask(me, mask);
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
	if (me->proc->exiting)
		return;
	me->proc->end.fault = true;
	me->proc->end.si_code = code;
	me->proc->end.addr = addr;
	pg_process_killed(me->proc, me, signo);
}

static void told(struct pg_thread *me, int signo, const union pg_siginfo *info, uint64_t handler)
{
	uint64_t addr;

	memcpy(&addr, info->bytes + 16, sizeof(addr));
	if (me->machine->hooks.signal != NULL)
		me->machine->hooks.signal(
			me->machine->hooks.ctx, signo, info->host.si_code, addr, handler);
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
		me, me->sig.blocked | used.mask | (used.flags & SA_NODEFER ? 0 : BIT(signo)));
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

/*
 * Whether nobody could continue the group: no parent outside it in the same session. Such a group is not stopped by the terminal. The
 * first process's parent is the outside world, which can.
 */
bool pg_signal_orphaned_group(const struct pg_process *p)
{
	for (const struct pg_process *k = p->machine->processes; k != NULL; k = k->next) {
		if (k->pgid != p->pgid || k->state == PG_ZOMBIE)
			continue;
		if (k == p->machine->init || (k->parent != NULL && k->parent->pgid != p->pgid &&
						     k->parent->sid == p->sid))
			return false;
	}
	return true;
}

static bool all_stopped(const struct pg_linux *l)
{
	for (const struct pg_process *p = l->processes; p != NULL; p = p->next)
		if (p->state == PG_RUNNING && !p->stopped)
			return false;
	return true;
}

/* The default action of a signal that has no handler. */
static void act_default(struct pg_thread *me, int signo, const union pg_siginfo *info)
{
	if (default_ignores(signo))
		return;
	if (default_stops(signo)) {
		if (signo != SIGSTOP && pg_signal_orphaned_group(me->proc))
			return;
		pg_process_stop(me->proc, signo);
		/* nobody inside can go on: the machine stops, as the program would; who continues it continues them */
		if (all_stopped(me->machine))
			kill(getpid(), SIGSTOP);
		return;
	}
	told(me, signo, info, 0);
	pg_process_killed(me->proc, me, signo);
}

void pg_signal_deliver(struct pg_thread *me)
{
	union pg_siginfo info;

	while (!me->proc->exiting && !me->proc->stopped && !me->oom) {
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
	if (me->proc->exiting)
		return;
	settle_call(me, true);
	if (me->sig.restore_mask) {
		me->sig.restore_mask = false;
		pg_signal_set_mask(me, me->sig.saved_mask);
	}
}
