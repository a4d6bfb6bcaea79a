/* SPDX-License-Identifier: MIT */
/*
 * linux/sighost.c: the host's signals, caught and brought to the guest.
 *
 * Called by linux.c around a run and by signal.c. The only file with state outside the handle: a host signal handler
 * is given no argument of ours, so the one running machine of this process is named by a static pointer.
 *
 * The handler writes one record into the inbox, pokes and interrupts the engine; all else is done by the
 * guest's thread, in pg_sighost_collect(). The signals of faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP) belong to the
 * engine and are not touched here.
 *
 * What is caught follows the guest's action: a handler of its own or a default that kills or stops: caught. Ignored, by
 * choice or default: so on the host too, whose system calls then behave as the guest expects.
 */
#include "linux/internal.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#define BIT(n) ((uint64_t)1 << ((n)-1))
#define ENGINES (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGTRAP))
#define JOB_CONTROL (BIT(SIGTTIN) | BIT(SIGTTOU))

static struct pg_linux *_Atomic running;

static bool catchable(int n)
{
	/* 32 and 33 are the C library's own */
	return n != SIGKILL && n != SIGSTOP && n != 32 && n != 33 && !(ENGINES & BIT(n));
}

static void on_signal(int n, siginfo_t *info, void *context)
{
	struct pg_linux *l = atomic_load(&running);
	struct pg_inbox *in;
	ucontext_t *uc = context;
	uint64_t go;
	uint32_t head;
	int saved = errno;

	if (l == NULL)
		return;
	in = &l->sig.in;
	head = atomic_load_explicit(&in->head, memory_order_relaxed);
	if (head - atomic_load_explicit(&in->tail, memory_order_acquire) < PG_INBOX) {
		memcpy(&in->ring[head % PG_INBOX], info, sizeof(in->ring[0]));
		in->ring[head % PG_INBOX].host.si_signo = n;
		atomic_store_explicit(&in->head, head + 1, memory_order_release);
	} else {
		atomic_fetch_or(&in->lost, BIT(n));
	}
	in->poke = 1;
	if (pg_host_call_window((uint64_t)uc->uc_mcontext.gregs[REG_RIP], &go))
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)go;
	if (l->cpu != NULL)
		l->ops->interrupt(l->cpu);
	errno = saved;
}

void pg_sighost_update(struct pg_linux *l, int n)
{
	const struct pg_sigaction *a = &l->sig.act[n];
	struct sigaction s = {0};

	if (atomic_load(&running) != l || !catchable(n))
		return;
	sigfillset(&s.sa_mask);
	/* the engine's own traps are never blocked in here: none can happen */
	s.sa_flags = SA_SIGINFO | SA_ONSTACK;
	if (n == SIGCHLD)
		s.sa_flags |= (int)(a->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT));
	if (a->handler == 1) {
		s.sa_flags = 0;
		s.sa_handler = SIG_IGN;
		l->sig.caught &= ~BIT(n);
	} else if (a->handler == 0 && pg_signal_default_ignores(n)) {
		s.sa_flags = 0;
		s.sa_handler = SIG_DFL;
		l->sig.caught &= ~BIT(n);
	} else {
		s.sa_sigaction = on_signal;
		l->sig.caught |= BIT(n);
	}
	sigaction(n, &s, NULL);
}

void pg_sighost_mask(struct pg_linux *l)
{
	sigset_t block, open;
	const int each[2] = {SIGTTIN, SIGTTOU};

	if (atomic_load(&running) != l)
		return;
	if (((l->sig.own.blocked ^ l->sig.in_host_mask) & JOB_CONTROL) == 0)
		return;
	l->sig.in_host_mask = l->sig.own.blocked;
	sigemptyset(&block);
	sigemptyset(&open);
	for (unsigned i = 0; i < 2; i++)
		sigaddset(l->sig.own.blocked & BIT(each[i]) ? &block : &open, each[i]);
	pthread_sigmask(SIG_BLOCK, &block, NULL);
	pthread_sigmask(SIG_UNBLOCK, &open, NULL);
}

static void take_in(struct pg_linux *l, union pg_siginfo *info)
{
	int code = info->host.si_code;

	/* sent by a process: whose number is the guest's view of it */
	if (code == SI_USER || code == SI_TKILL || code == SI_QUEUE ||
		info->host.si_signo == SIGCHLD)
		info->host.si_pid = (pid_t)pg_guest_pid(l, info->host.si_pid);
	(void)pg_signal_send(l, info, 0); /* a full queue drops it, as Linux */
}

void pg_sighost_collect(struct pg_linux *l)
{
	struct pg_inbox *in = &l->sig.in;
	uint64_t lost;
	uint32_t tail;

	if (!in->poke)
		return;
	in->poke = 0;
	atomic_thread_fence(memory_order_seq_cst);
	tail = atomic_load_explicit(&in->tail, memory_order_relaxed);
	while (tail != atomic_load_explicit(&in->head, memory_order_acquire)) {
		union pg_siginfo info = in->ring[tail % PG_INBOX];

		atomic_store_explicit(&in->tail, ++tail, memory_order_release);
		take_in(l, &info);
	}
	lost = atomic_exchange(&in->lost, 0);
	for (; lost != 0; lost &= lost - 1) {
		union pg_siginfo info;

		memset(&info, 0, sizeof(info));
		info.host.si_signo = __builtin_ctzll(lost) + 1;
		take_in(l, &info);
	}
}

int pg_sighost_begin(struct pg_linux *l)
{
	struct pg_linux *none = NULL;
	sigset_t set;
	uint64_t mask = 0;

	if (!atomic_compare_exchange_strong(&running, &none, l))
		return -EBUSY;
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	for (int n = 1; n <= PG_NSIG; n++) {
		if (sigismember(&set, n) == 1)
			mask |= BIT(n);
		if (!catchable(n) || sigaction(n, NULL, &l->sig.former[n]) != 0)
			continue;
		/* what Pagoda was started with is what the program would have been started with */
		if (l->sig.former[n].sa_handler == SIG_IGN && l->sig.act[n].handler == 0)
			l->sig.act[n].handler = 1;
		pg_sighost_update(l, n);
	}
	l->sig.former_mask = mask;
	l->sig.own.blocked |= mask & ~(BIT(SIGKILL) | BIT(SIGSTOP));
	sigemptyset(&set);
	for (int n = 1; n <= PG_NSIG; n++)
		if (catchable(n) && !(BIT(n) & JOB_CONTROL & l->sig.own.blocked))
			sigaddset(&set, n);
	l->sig.in_host_mask = l->sig.own.blocked;
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return 0;
}

void pg_sighost_end(struct pg_linux *l)
{
	sigset_t set;

	pg_timers_delete(l, true); /* their signals are the guest's */
	for (int n = 1; n <= PG_NSIG; n++)
		if (catchable(n))
			sigaction(n, &l->sig.former[n], NULL);
	sigemptyset(&set);
	for (int n = 1; n <= PG_NSIG; n++)
		if (l->sig.former_mask & BIT(n))
			sigaddset(&set, n);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	atomic_store(&running, NULL);
}
