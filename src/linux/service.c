/* SPDX-License-Identifier: MIT */
/*
 * linux/service.c: the host's signals, brought to the guests, by the thread that called pg_linux_run().
 *
 * Guests' host threads have all host signals blocked, but those of faults, which are the engine's (cpu/traps.c), and PG_HOST_KICK.
 * The service thread waits for them and sends what comes to the process that it is for: from the terminal to
 * the foreground group, from a guest's timer to its owner, everything else to the first process. It waits by sigwaitinfo(), not
 * by a signalfd: Linux wakes whoever polls a signalfd on every signal of the process, also on those that it does not hold, so each
 * fault of fast mode would wake this thread.
 *
 * SIGPIPE and SIGXFSZ are ignored on the host: the calls that would raise them say so by EPIPE and EFBIG, and the guest's signal is made
 * from that (files/io.c, calls/socket.c).
 *
 * Invariants:
 *   V1 no handler of ours touches anything: that of PG_HOST_KICK only moves a host call's program counter out of its window.
 *   V2 what Pagoda was started with (ignored and blocked signals) is what the first process starts with.
 */
#include "linux/calls/calls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define BIT(n) ((uint64_t)1 << ((n)-1))
#define ENGINES (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGTRAP))

/* Signal handlers and masks are the host process's: one machine at a time. */
static _Atomic bool busy;

static bool ours(int n)
{
	/* 32 and 33 are the C library's own */
	return n != SIGKILL && n != SIGSTOP && n != 32 && n != 33 && !(ENGINES & BIT(n));
}

static void on_kick(int n, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uint64_t go;

	if (pg_host_call_window((uint64_t)uc->uc_mcontext.gregs[REG_RIP], &go))
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)go;
}

/*
 * Signals that the C library keeps for itself do not pass its own call, and it takes 33 when the first thread is made: so what
 * Pagoda was started with is looked up before main().
 */
static bool library_signal_ignored[2];

__attribute__((constructor)) static void look_at_library_signals(void)
{
	for (int n = 32; n <= 33; n++) {
		struct {
			uint64_t handler, flags, restorer, mask;
		} a = {0};

		library_signal_ignored[n - 32] = syscall(SYS_rt_sigaction, n, NULL, &a, 8) == 0 &&
						 a.handler == (uint64_t)(uintptr_t)SIG_IGN;
	}
}

static void inherit(struct pg_linux *l)
{
	struct pg_process *p = l->init;

	if (p == NULL)
		return; /* jobs begin with nothing ignored or blocked */
	for (int n = 32; n <= 33; n++)
		if (library_signal_ignored[n - 32])
			p->sig.act[n].handler = 1;

	for (int n = 1; n <= PG_NSIG; n++) {
		if (n != SIGKILL && n != SIGSTOP && sigismember(&l->former_mask, n) == 1)
			p->thread->sig.blocked |= BIT(n);
		if (ours(n) && l->former[n].sa_handler == SIG_IGN && p->sig.act[n].handler == 0)
			p->sig.act[n].handler = 1;
	}
}

int pg_service_begin(struct pg_linux *l)
{
	struct sigaction kick = {.sa_sigaction = on_kick, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	bool free_now = false;
	/* guests have limits of their own on the size of files: the host's is out of the way */
	struct rlimit most = {l->file_limit.rlim_max, l->file_limit.rlim_max};
	sigset_t block;

	if (!atomic_compare_exchange_strong(&busy, &free_now, true))
		return -EBUSY;
	l->service = pthread_self();
	sigfillset(&block);
	sigdelset(&block, PG_HOST_KICK);
	for (int n = 1; n <= PG_NSIG; n++) {
		if (ENGINES & BIT(n))
			sigdelset(&block, n);
		if (ours(n))
			sigaction(n, NULL, &l->former[n]);
	}
	sigfillset(&kick.sa_mask);
	sigaction(PG_HOST_KICK, &kick, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGXFSZ, &ignore, NULL);
	setrlimit(RLIMIT_FSIZE, &most);
	pthread_sigmask(SIG_SETMASK, &block, &l->former_mask);
	inherit(l);
	return 0;
}

static bool send_one(void *ctx, struct pg_process *p)
{
	const union pg_siginfo *info = ctx;

	(void)pg_signal_send(p, info, 0); /* a full queue drops it, as Linux */
	return true;
}

/* Who is meant by a signal to Pagoda. */
static void hand_on(struct pg_linux *l, union pg_siginfo *info)
{
	int n = info->host.si_signo;
	bool terminal = info->host.si_code == SI_KERNEL &&
			(n == SIGINT || n == SIGQUIT || n == SIGTSTP || n == SIGWINCH);

	if (terminal && pg_terminal_host_foreground(l) > 0) {
		pg_process_each_of_group(l, pg_terminal_host_foreground(l), send_one, info);
		return;
	}
	if (l->init == NULL || l->init->state == PG_ZOMBIE || n == SIGCONT) {
		/* the program itself is over, or the whole machine was stopped: all that is left is meant */
		for (struct pg_process *p = l->processes, *next; p != NULL; p = next) {
			next = p->next;
			send_one(info, p);
		}
		return;
	}
	send_one(info, l->init);
}

static void take(struct pg_linux *l, const siginfo_t *s)
{
	union pg_siginfo info;

	if (s->si_signo == PG_HOST_TIMER && s->si_code == SI_TIMER) {
		pg_timer_fired(l, (unsigned)s->si_value.sival_int, s->si_overrun);
		return;
	}
	if ((s->si_signo == PG_HOST_IO || (s->si_signo == SIGURG && s->si_code == SI_KERNEL)) &&
		(pg_owner_signalled(l, s->si_signo, s->si_fd, s->si_code, (uint64_t)s->si_band) ||
			s->si_signo == PG_HOST_IO))
		return;
	if (s->si_signo == SIGCHLD || s->si_signo == PG_HOST_TIMER)
		return; /* no guest's child is one of the host's */
	memset(&info, 0, sizeof(info));
	info.host.si_signo = s->si_signo;
	info.host.si_code = s->si_code;
	if (s->si_code == SI_USER || s->si_code == SI_TKILL || s->si_code == SI_QUEUE) {
		info.host.si_pid = (pid_t)pg_guest_pid(l, (unsigned)s->si_pid);
		info.host.si_uid = s->si_uid;
		info.host.si_value.sival_ptr = s->si_value.sival_ptr;
	} else if (s->si_signo == SIGIO) {
		info.host.si_band = s->si_band;
		info.host.si_fd = s->si_fd;
	}
	hand_on(l, &info);
}

void pg_service_run(struct pg_linux *l)
{
	siginfo_t s;
	sigset_t set;
	bool over = false;
	uint64_t wait = l->cpu_look;

	sigemptyset(&set);
	for (int n = 1; n <= PG_NSIG; n++)
		if (ours(n) && n != PG_HOST_KICK)
			sigaddset(&set, n);
	while (!over) {
		struct timespec t = pg_timespec(wait);
		int n = sigtimedwait(&set, &s, wait == UINT64_MAX ? NULL : &t);

		pg_lock_take(l, NULL);
		over = l->over;
		if (n > 0 && !over)
			take(l, &s);
		wait = pg_limit_cpu(l);
		pg_lock_give(l);
	}
}

void pg_service_look(struct pg_linux *l)
{
	pthread_kill(l->service, PG_HOST_TIMER);
}

void pg_service_ring(struct pg_linux *l)
{
	l->over = true;
	pthread_kill(l->service, PG_HOST_TIMER);
}

void pg_service_end(struct pg_linux *l)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	/* What a timer sent at last is pending still, and would end this process: being ignored throws it away. */
	sigaction(PG_HOST_TIMER, &ignore, NULL);
	sigaction(PG_HOST_KICK, &ignore, NULL);
	sigaction(PG_HOST_IO, &ignore, NULL);
	for (int n = 1; n <= PG_NSIG; n++)
		if (ours(n))
			sigaction(n, &l->former[n], NULL);
	pthread_sigmask(SIG_SETMASK, &l->former_mask, NULL);
	setrlimit(RLIMIT_FSIZE, &l->file_limit);
	atomic_store(&busy, false);
}
