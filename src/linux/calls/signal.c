/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/signal.c: system calls about signals.
 *
 * Called through table.c. Queueing and delivery are process/signal.c's. Signals between guests never
 * leave Pagoda.
 */
#include "linux/calls/syscalls.h"
#include "linux/machine/machine.h"

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
		if (pg_signal_ignored(me->proc, n))
			pg_signal_drop(me->proc, BIT(n)); /* what waits of it is forgotten */
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
	set = pg_signal_pending(me) & me->sig.blocked;
	return pg_guest_write(me, a[0], &set, a[1]);
}

int64_t pg_sys_pause(struct pg_thread *me, const uint64_t *a)
{
	while (!pg_signal_waiting(me))
		pg_thread_sleep(me, UINT64_MAX);
	return -PG_ERESTARTNOHAND;
}

int64_t pg_sys_rt_sigsuspend(struct pg_thread *me, const uint64_t *a)
{
	uint64_t set;

	if (a[1] != SIGSET_BYTES)
		return -EINVAL;
	if (pg_guest_read(me, &set, a[0], sizeof(set)) != 0)
		return -EFAULT;
	pg_signal_swap_mask(me, set);
	return pg_sys_pause(me, a);
}

int64_t pg_sys_rt_sigtimedwait(struct pg_thread *me, const uint64_t *a)
{
	uint64_t set, ns, until = UINT64_MAX, blocked = me->sig.blocked;
	union pg_siginfo info;
	int n, err;

	if (a[3] != SIGSET_BYTES)
		return -EINVAL;
	if (pg_guest_read(me, &set, a[0], sizeof(set)) != 0)
		return -EFAULT;
	set &= ~UNBLOCKABLE;
	if (a[2] != 0) {
		err = pg_guest_duration(me, a[2], &ns);
		if (err != 0)
			return err;
		until = pg_host_clock_ns(CLOCK_MONOTONIC) + ns;
	}
	/* what is waited for is not delivered meanwhile, nor dropped because it would be ignored */
	me->sig.blocked |= set;
	me->wait = (struct pg_wait){.kind = PG_WAIT_SIGNAL, .signals = set};
	for (;;) {
		n = pg_signal_take(me, set, &info);
		if (n != 0 || pg_signal_waiting(me) || pg_host_clock_ns(CLOCK_MONOTONIC) >= until)
			break;
		pg_thread_sleep(me, until);
	}
	me->wait.kind = PG_WAIT_NONE;
	me->sig.blocked = blocked;
	me->poke = 1; /* others may have come meanwhile */
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
				      : on                    ? SS_ONSTACK
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

static bool number_ok(int n)
{
	return n >= 0 && n <= PG_NSIG;
}

struct sending {
	struct pg_thread *me;
	int signo, code;
	unsigned sent;
	const struct pg_process *but; /* not to this one */
	int result; /* of a group: 0 as soon as one was reached, else the last error */
	int last;   /* of all: the last error but -EPERM */
};

static bool send_to(void *ctx, struct pg_process *p)
{
	struct sending *s = ctx;

	int err;

	if (p == s->but)
		return true;
	s->sent++;
	err = pg_cred_may_signal(s->me, p, 0, s->signo);
	if (err == 0 && s->signo != 0)
		err = pg_signal_post(p, s->signo, s->code, s->me->proc->pid, 0);
	if (s->result != 0)
		s->result = err;
	if (err != -EPERM)
		s->last = err;
	return true;
}

/*
 * To a process of the machine, a group of it, or all. Nobody outside is reached but the parent of the first process: a number
 * means one thing here and another on the host.
 */
int64_t pg_sys_kill(struct pg_thread *me, const uint64_t *a)
{
	int pid = (int)a[0], n = (int)a[1];
	struct pg_linux *l = me->machine;
	struct sending s = {.me = me, .signo = n, .code = SI_USER, .result = -ESRCH};
	struct pg_process *p;
	int err;

	if (!number_ok(n))
		return -EINVAL;
	if (pid > 0) {
		p = pg_process_find(l, pid);
		if (p != NULL) {
			err = pg_cred_may_signal(me, p, 0, n);
			return err != 0 || n == 0 ? err
						  : pg_signal_post(p, n, SI_USER, me->proc->pid, 0);
		}
		return pid == PG_LINUX_PPID ? PG_QUICK(SYS_kill, getppid(), n, 0, 0, 0, 0) : -ESRCH;
	}
	if (pid == -1) {
		s.but = me->proc;
		for (struct pg_process *next = l->processes; (p = next) != NULL;) {
			next = p->next;
			if (p->state == PG_RUNNING)
				send_to(&s, p);
		}
		return s.sent != 0 ? s.last : -ESRCH;
	} else {
		pg_process_each_of_group(l, pid == 0 ? me->proc->pgid : -pid, send_to, &s);
	}
	return s.result;
}

static int64_t to_thread(struct pg_thread *me, int tgid, int tid, int n)
{
	struct pg_thread *t;
	int err;

	if (!number_ok(n))
		return -EINVAL;
	t = pg_thread_find(me->machine, tid);
	if (t == NULL || (tgid != 0 && t->proc->pid != tgid))
		return -ESRCH;
	err = pg_cred_may_signal(me, t->proc, tid, n);
	return err != 0 || n == 0 ? err : pg_signal_post(t->proc, n, SI_TKILL, me->proc->pid, tid);
}

int64_t pg_sys_tkill(struct pg_thread *me, const uint64_t *a)
{
	return (int)a[0] <= 0 ? -EINVAL : to_thread(me, 0, (int)a[0], (int)a[1]);
}

int64_t pg_sys_tgkill(struct pg_thread *me, const uint64_t *a)
{
	if ((int)a[0] <= 0 || (int)a[1] <= 0)
		return -EINVAL;
	return to_thread(me, (int)a[0], (int)a[1], (int)a[2]);
}

static int64_t queue_info(struct pg_thread *me, int pid, int tid, int n, uint64_t from)
{
	struct pg_process *p = pg_process_find(me->machine, pid);
	union pg_siginfo info;
	int err;

	if (pg_guest_read(me, &info, from, sizeof(info)) != 0)
		return -EFAULT;
	if (!number_ok(n))
		return -EINVAL;
	info.host.si_signo = n;
	if (p != me->proc && (info.host.si_code >= 0 || info.host.si_code == SI_TKILL))
		return -EPERM;
	if (p == NULL || (tid != 0 && pg_thread_of(p, tid) == NULL))
		return -ESRCH;
	err = pg_cred_may_signal(me, p, tid, n);
	return err != 0 || n == 0 ? err : pg_signal_send(p, &info, tid);
}

int64_t pg_sys_rt_sigqueueinfo(struct pg_thread *me, const uint64_t *a)
{
	return queue_info(me, (int)a[0], 0, (int)a[1], a[2]);
}

int64_t pg_sys_rt_tgsigqueueinfo(struct pg_thread *me, const uint64_t *a)
{
	if ((int)a[0] <= 0 || (int)a[1] <= 0)
		return -EINVAL;
	return queue_info(me, (int)a[0], (int)a[1], (int)a[2], a[3]);
}
