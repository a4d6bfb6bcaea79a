/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/wait.c: system calls that wait for children.
 *
 * Called through table.c. Children change state in process/end.c, which pokes whoever waits here.
 */
#include "linux/calls/syscalls.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __WNOTHREAD
#define __WNOTHREAD 0x20000000
#endif

/* Which children are meant, and which of their changes. */
struct wanted {
	int type; /* P_ALL, P_PID, P_PGID */
	int id;
	int options; /* W* */
};

/* What was found. */
struct news {
	int pid, code, status; /* code: CLD_* */
	struct rusage use;
};

static bool meant(const struct wanted *w, const struct pg_process *me, const struct pg_process *p)
{
	bool clone_child = p->exit_signal != SIGCHLD;

	if (p->parent != me)
		return false;
	if (!(w->options & __WALL) && clone_child != ((w->options & __WCLONE) != 0))
		return false;
	return w->type == P_ALL || (w->type == P_PID && p->pid == w->id) ||
	       (w->type == P_PGID && p->pgid == w->id);
}

/* Takes one change of state of p that is wanted. */
static bool take(
	const struct wanted *w, struct pg_process *me, struct pg_process *p, struct news *n)
{
	bool keep = (w->options & WNOWAIT) != 0;

	n->pid = p->pid;
	if (p->state == PG_ZOMBIE) {
		if (!(w->options & WEXITED))
			return false;
		n->code = p->end.exited ? CLD_EXITED : CLD_KILLED;
		n->status = p->end.exited ? p->end.code : p->end.signal;
		pg_process_usage(p, NULL, &n->use);
		if (!keep) {
			pg_usage_add(&me->children, &n->use);
			pg_usage_add(&me->children, &p->children);
			pg_process_free(p);
		}
		return true;
	}
	if (p->stopped && p->tell_stop && (w->options & WSTOPPED)) {
		n->code = CLD_STOPPED;
		n->status = p->stop_signal;
		p->tell_stop = keep;
	} else if (!p->stopped && p->tell_cont && (w->options & WCONTINUED)) {
		n->code = CLD_CONTINUED;
		n->status = SIGCONT;
		p->tell_cont = keep;
	} else {
		return false;
	}
	pg_process_usage(p, NULL, &n->use);
	return true;
}

/* 1: n is filled; 0: nothing yet (WNOHANG); or a negative errno. */
static int64_t wait_for(struct pg_thread *me, const struct wanted *w, struct news *n)
{
	int64_t r = 0;

	memset(n, 0, sizeof(*n));
	me->wait.kind = PG_WAIT_CHILD;
	for (;;) {
		bool any = false, found = false;

		for (struct pg_process *p = me->machine->processes, *next; p != NULL && !found;
			p = next) {
			next = p->next;
			if (!meant(w, me->proc, p))
				continue;
			any = true;
			found = take(w, me->proc, p, n);
		}
		if (found)
			r = 1;
		else if (!any)
			r = -ECHILD;
		else if (!(w->options & WNOHANG) && pg_signal_waiting(me))
			r = -PG_ERESTARTSYS;
		if (r != 0 || (w->options & WNOHANG))
			break;
		pg_thread_sleep(me, UINT64_MAX);
	}
	me->wait.kind = PG_WAIT_NONE;
	return r;
}

static int status_word(const struct news *n)
{
	switch (n->code) {
	case CLD_EXITED:
		return W_EXITCODE(n->status, 0);
	case CLD_STOPPED:
		return W_STOPCODE(n->status);
	case CLD_CONTINUED:
		return 0xffff;
	default:
		return n->status;
	}
}

int64_t pg_sys_wait4(struct pg_thread *me, const uint64_t *a)
{
	int pid = (int)a[0], options = (int)a[2], status;
	struct wanted w = {.type = P_ALL, .options = options | WEXITED};
	struct news n;
	int64_t r;

	if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	if (pid > 0)
		w = (struct wanted){P_PID, pid, w.options};
	else if (pid != -1)
		w = (struct wanted){P_PGID, pid == 0 ? me->proc->pgid : -pid, w.options};
	r = wait_for(me, &w, &n);
	if (r <= 0)
		return r;
	status = status_word(&n);
	if (a[1] != 0 && pg_guest_write(me, a[1], &status, sizeof(status)) != 0)
		return -EFAULT;
	if (a[3] != 0 && pg_guest_write(me, a[3], &n.use, sizeof(n.use)) != 0)
		return -EFAULT;
	return n.pid;
}

int64_t pg_sys_waitid(struct pg_thread *me, const uint64_t *a)
{
	struct wanted w = {(int)a[0], (int)a[1], (int)a[3]};
	union pg_siginfo info;
	bool polls = false; /* a descriptor with O_NONBLOCK: nothing yet is an error */
	struct news n;
	int64_t r;

	if ((w.options & ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD |
				 __WCLONE | __WALL)) ||
		!(w.options & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	switch (w.type) {
	case P_ALL:
		break;
	case P_PID:
		if (w.id <= 0)
			return -EINVAL;
		break;
	case P_PGID:
		if (w.id < 0)
			return -EINVAL;
		if (w.id == 0)
			w.id = me->proc->pgid;
		break;
	case 3: /* P_PIDFD */
		if (w.id < 0)
			return -EINVAL;
		polls = !(w.options & WNOHANG) && (fcntl(w.id, F_GETFL) & O_NONBLOCK);
		w.id = pg_pidfd_pid(me, w.id);
		if (w.id < 0)
			return w.id;
		w.type = P_PID;
		w.options |= polls ? WNOHANG : 0;
		break;
	default:
		return -EINVAL;
	}
	r = wait_for(me, &w, &n);
	if (r < 0)
		return r;
	if (r == 0 && polls)
		return -EAGAIN;
	memset(&info, 0, sizeof(info));
	if (r > 0) {
		info.host.si_signo = SIGCHLD;
		info.host.si_code = n.code;
		info.host.si_pid = n.pid;
		info.host.si_uid = getuid();
		info.host.si_status = n.status;
	}
	if (a[4] != 0 && r > 0 && pg_guest_write(me, a[4], &n.use, sizeof(n.use)) != 0)
		return -EFAULT;
	return a[2] != 0 ? pg_guest_write(me, a[2], &info, sizeof(info)) : 0;
}
