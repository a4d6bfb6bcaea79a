/* SPDX-License-Identifier: MIT */
/*
 * linux/sys_signal.c: system calls about signals.
 *
 * Called through table.c. Queueing and delivery are signal.c's. A signal to the guest itself never leaves Pagoda;
 * one to another process goes to the host.
 */
#include "linux/internal.h"
#include "linux/syscalls.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BIT(n) ((uint64_t)1 << ((n)-1))
#define UNBLOCKABLE (BIT(SIGKILL) | BIT(SIGSTOP))
#define SIGSET_BYTES 8
#define SS_AUTODISARM_FLAG 0x80000000u

/* The kernel's struct sigaction of x86-64. */
struct guest_action {
	uint64_t handler, flags, restorer, mask;
};

/* Can a handler of this signal see the registers of an instruction that trapped? */
static bool shows_traps(int n, uint64_t handler)
{
	if (handler == (uint64_t)(uintptr_t)SIG_DFL || handler == (uint64_t)(uintptr_t)SIG_IGN)
		return false;
	return n == SIGSEGV || n == SIGBUS || n == SIGFPE || n == SIGILL || n == SIGTRAP;
}

int64_t pg_sys_rt_sigaction(struct pg_thread *me, const uint64_t *a)
{
	int n = (int)a[0];
	struct guest_action new = {0}, old;

	if (a[3] != SIGSET_BYTES)
		return -EINVAL;
	if (a[1] != 0 && pg_guest_read(me, &new, a[1], sizeof(new)) != 0)
		return -EFAULT;
	if (n < 1 || n > PG_NSIG || (a[1] != 0 && (n == SIGKILL || n == SIGSTOP)))
		return -EINVAL;
	old = (struct guest_action){me->proc->sig.act[n].handler, me->proc->sig.act[n].flags,
		me->proc->sig.act[n].restorer, me->proc->sig.act[n].mask};
	if (a[1] != 0) {
		me->proc->sig.act[n] = (struct pg_sigaction){
			new.handler, new.flags, new.restorer, new.mask & ~UNBLOCKABLE};
		if (shows_traps(n, new.handler))
			me->machine->ops->set_precise_flags(me->machine->engine);
		pg_sighost_update(me, n);
		if (pg_signal_ignored(me, n)) {
			/* what waits of it is forgotten */
			union pg_siginfo gone;

			while (pg_signal_take(me, BIT(n), &gone) != 0)
				;
		}
	}
	return a[2] != 0 ? pg_guest_write(me, a[2], &old, sizeof(old)) : 0;
}

int64_t pg_sys_rt_sigprocmask(struct pg_thread *me, const uint64_t *a)
{
	uint64_t old = me->sig.blocked, set;

	if (a[3] != SIGSET_BYTES)
		return -EINVAL;
	if (a[1] != 0) {
		if (pg_guest_read(me, &set, a[1], sizeof(set)) != 0)
			return -EFAULT;
		switch ((int)a[0]) {
		case SIG_BLOCK:
			pg_signal_set_mask(me, old | set);
			break;
		case SIG_UNBLOCK:
			pg_signal_set_mask(me, old & ~set);
			break;
		case SIG_SETMASK:
			pg_signal_set_mask(me, set);
			break;
		default:
			return -EINVAL;
		}
	}
	return a[2] != 0 ? pg_guest_write(me, a[2], &old, sizeof(old)) : 0;
}

int64_t pg_sys_rt_sigpending(struct pg_thread *me, const uint64_t *a)
{
	uint64_t set;

	if (a[1] > SIGSET_BYTES)
		return -EINVAL;
	pg_sighost_collect(me);
	set = me->proc->sig.pending & me->sig.blocked;
	return pg_guest_write(me, a[0], &set, a[1]);
}

/* Waits on the host until a signal comes, or until *until_ns of CLOCK_MONOTONIC (UINT64_MAX: for ever). */
static void wait_for_signal(struct pg_thread *me, uint64_t until_ns)
{
	struct timespec t, *tp = NULL;

	if (until_ns != UINT64_MAX) {
		uint64_t now = pg_host_clock_ns(CLOCK_MONOTONIC),
			 left = until_ns > now ? until_ns - now : 0;

		t = (struct timespec){(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
		tp = &t;
	}
	(void)PG_HOST(me, SYS_ppoll, 0, 0, (uintptr_t)tp, 0, 0, 0);
}

int64_t pg_sys_pause(struct pg_thread *me, const uint64_t *a)
{
	const struct pg_wait w = {.deadline = UINT64_MAX};

	while (!pg_signal_waiting(me)) {
		if (pg_thread_shared(me))
			return pg_thread_wait(me, &w);
		wait_for_signal(me, UINT64_MAX);
	}
	return -PG_ERESTARTNOHAND;
}

int64_t pg_sys_rt_sigsuspend(struct pg_thread *me, const uint64_t *a)
{
	uint64_t set;

	if (a[1] != SIGSET_BYTES)
		return -EINVAL;
	if (pg_guest_read(me, &set, a[0], sizeof(set)) != 0)
		return -EFAULT;
	if (!me->again) {
		me->sig.saved_mask = me->sig.blocked;
		me->sig.restore_mask = true;
		pg_signal_set_mask(me, set);
	}
	return pg_sys_pause(me, a);
}

int64_t pg_sys_rt_sigtimedwait(struct pg_thread *me, const uint64_t *a)
{
	uint64_t set, until = UINT64_MAX, blocked = me->sig.blocked;
	union pg_siginfo info;
	struct timespec t;
	int n;

	if (a[3] != SIGSET_BYTES)
		return -EINVAL;
	if (pg_guest_read(me, &set, a[0], sizeof(set)) != 0)
		return -EFAULT;
	set &= ~UNBLOCKABLE;
	if (a[2] != 0) {
		if (pg_guest_read(me, &t, a[2], sizeof(t)) != 0)
			return -EFAULT;
		if (t.tv_sec < 0 || t.tv_nsec < 0 || t.tv_nsec >= 1000000000)
			return -EINVAL;
		until = pg_host_clock_ns(CLOCK_MONOTONIC) + (uint64_t)t.tv_sec * 1000000000u +
			(uint64_t)t.tv_nsec;
		until = pg_thread_deadline(me, until);
	}
	/* what is waited for is not delivered meanwhile, nor dropped because it would be ignored */
	me->sig.blocked |= set;
	for (;;) {
		n = pg_signal_take(me, set, &info);
		if (n != 0 || pg_signal_waiting(me) || pg_host_clock_ns(CLOCK_MONOTONIC) >= until)
			break;
		if (pg_thread_shared(me)) {
			const struct pg_wait w = {.deadline = until, .signals = set};

			me->sig.blocked = blocked;
			return pg_thread_wait(me, &w);
		}
		wait_for_signal(me, until);
	}
	me->sig.blocked = blocked;
	if (n == 0)
		return pg_signal_waiting(me) ? -EINTR : -EAGAIN;
	if (a[1] != 0 && pg_guest_write(me, a[1], &info, sizeof(info)) != 0)
		return -EFAULT;
	return n;
}

int64_t pg_sys_sigaltstack(struct pg_thread *me, const uint64_t *a)
{
	struct {
		uint64_t sp;
		int32_t flags;
		uint32_t pad;
		uint64_t size;
	} new, old;
	bool on = pg_signal_on_alt(me, me->regs->gpr[PG_RSP]);
	uint32_t mode;

	memset(&old, 0, sizeof(old));
	old.sp = me->sig.alt_sp;
	old.size = me->sig.alt_size;
	old.flags = (int32_t)((me->sig.alt_flags & SS_AUTODISARM_FLAG) |
			      (me->sig.alt_flags & SS_DISABLE ? SS_DISABLE
				      : on                       ? SS_ONSTACK
								 : 0));
	if (a[0] != 0) {
		if (pg_guest_read(me, &new, a[0], sizeof(new)) != 0)
			return -EFAULT;
		if (on)
			return -EPERM;
		mode = (uint32_t) new.flags & ~SS_AUTODISARM_FLAG;
		if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
			return -EINVAL;
		if (mode == SS_DISABLE) {
			new.sp = new.size = 0;
		} else if (new.size < 2048) {
			return -ENOMEM;
		}
		me->sig.alt_sp = new.sp;
		me->sig.alt_size = new.size;
		me->sig.alt_flags = (mode == SS_DISABLE ? SS_DISABLE : 0) |
				       ((uint32_t) new.flags &SS_AUTODISARM_FLAG);
	}
	return a[1] != 0 ? pg_guest_write(me, a[1], &old, sizeof(old)) : 0;
}

int64_t pg_sys_rt_sigreturn(struct pg_thread *me, const uint64_t *a)
{
	me->no_result = true;
	if (!pg_sigframe_pop(me))
		pg_signal_force(me, SIGSEGV, SI_KERNEL, 0);
	return 0;
}

/* --- sending -------------------------------------------------------------------------------------------------- */

static int64_t send_self(struct pg_thread *me, int n, int code, int tid)
{
	union pg_siginfo info;

	memset(&info, 0, sizeof(info));
	info.host.si_signo = n;
	info.host.si_code = code;
	info.host.si_pid = PG_LINUX_PID;
	info.host.si_uid = getuid();
	return pg_signal_send(me, &info, tid);
}

static bool number_ok(int n)
{
	return n >= 0 && n <= PG_NSIG;
}

int64_t pg_sys_kill(struct pg_thread *me, const uint64_t *a)
{
	int pid = (int)a[0], n = (int)a[1];

	if (!number_ok(n))
		return -EINVAL;
	if (pid == PG_LINUX_PID)
		return n == 0 ? 0 : send_self(me, n, SI_USER, 0);
	if (pid == -PG_LINUX_PID)
		pid = -me->machine->host_pid;
	return PG_QUICK(SYS_kill, pid > 0 ? pg_host_pid(me, pid) : pid, n, 0, 0, 0, 0);
}

int64_t pg_sys_tkill(struct pg_thread *me, const uint64_t *a)
{
	int tid = (int)a[0], n = (int)a[1];

	if (tid <= 0 || !number_ok(n))
		return -EINVAL;
	if (pg_thread_find(me, tid) != NULL)
		return n == 0 ? 0 : send_self(me, n, SI_TKILL, tid);
	return PG_QUICK(SYS_tkill, pg_host_pid(me, tid), n, 0, 0, 0, 0);
}

int64_t pg_sys_tgkill(struct pg_thread *me, const uint64_t *a)
{
	int tgid = (int)a[0], tid = (int)a[1], n = (int)a[2];

	if (tid <= 0 || tgid <= 0 || !number_ok(n))
		return -EINVAL;
	if (tgid == PG_LINUX_PID) {
		if (pg_thread_find(me, tid) == NULL)
			return -ESRCH;
		return n == 0 ? 0 : send_self(me, n, SI_TKILL, tid);
	}
	return PG_QUICK(SYS_tgkill, pg_host_pid(me, tgid), pg_host_pid(me, tid), n, 0, 0, 0);
}

static int64_t queue_info(struct pg_thread *me, int pid, int tid, int n, uint64_t from)
{
	union pg_siginfo info;

	if (!number_ok(n))
		return -EINVAL;
	if (pg_guest_read(me, &info, from, sizeof(info)) != 0)
		return -EFAULT;
	info.host.si_signo = n;
	if (pid != PG_LINUX_PID) {
		if (info.host.si_code >= 0 || info.host.si_code == SI_TKILL)
			return -EPERM;
		return PG_QUICK(
			SYS_rt_sigqueueinfo, pg_host_pid(me, pid), n, (uintptr_t)&info, 0, 0, 0);
	}
	return n == 0 ? 0 : pg_signal_send(me, &info, tid);
}

int64_t pg_sys_rt_sigqueueinfo(struct pg_thread *me, const uint64_t *a)
{
	return queue_info(me, (int)a[0], 0, (int)a[1], a[2]);
}

int64_t pg_sys_rt_tgsigqueueinfo(struct pg_thread *me, const uint64_t *a)
{
	if ((int)a[0] <= 0 || (int)a[1] <= 0)
		return -EINVAL;
	if ((int)a[0] == PG_LINUX_PID && pg_thread_find(me, (int)a[1]) == NULL)
		return -ESRCH;
	return queue_info(me, (int)a[0], (int)a[1], (int)a[2], a[3]);
}
