/* SPDX-License-Identifier: MIT */
/*
 * linux/files/owner.c: who gets the signals of a descriptor: F_SETOWN and its family, F_SETSIG, O_ASYNC, and SIGIO and SIGURG.
 *
 * Called by calls/fd.c, and by linux/service.c when the host's signal comes. To the host Pagoda is the owner of every descriptor that a guest has
 * given one, and the signal is PG_HOST_IO, which names the descriptor; who is meant is kept here.
 *
 * A file is known by device and inode, so two opens of one file, or the ends of one pipe, have one owner: the last that was set. The
 * host's signal names a number, which several guests may use: all owners of such a number get theirs.
 */
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define OWNERS_MOST 1024 /* files are not told of as they are closed: the oldest is forgotten */

struct pg_owner {
	struct pg_owner *next;
	uint64_t dev, ino;
	struct f_owner_ex who; /* a guest's number; 0: nobody */
	int sig;               /* F_SETSIG; 0: SIGIO without details */
	int fd;                /* of the table in which O_ASYNC was set */
	bool socket;
};

static void drop_oldest(struct pg_linux *l)
{
	struct pg_owner **at = &l->owners;

	while ((*at)->next != NULL)
		at = &(*at)->next;
	free(*at);
	*at = NULL;
	l->owner_count--;
}

static struct pg_owner *find(struct pg_linux *l, int fd, bool make)
{
	struct pg_owner *o = l->owners;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return NULL;
	while (o != NULL && (o->ino != st.st_ino || o->dev != st.st_dev))
		o = o->next;
	if (o != NULL || !make)
		return o;
	if (l->owner_count >= OWNERS_MOST)
		drop_oldest(l);
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return NULL;
	*o = (struct pg_owner){.next = l->owners,
		.dev = st.st_dev,
		.ino = st.st_ino,
		.fd = fd,
		.socket = S_ISSOCK(st.st_mode)};
	l->owners = o;
	l->owner_count++;
	return o;
}

void pg_owners_end(struct pg_linux *l)
{
	while (l->owners != NULL) {
		struct pg_owner *o = l->owners;

		l->owners = o->next;
		free(o);
	}
}

static bool group_there(const struct pg_linux *l, int pgid)
{
	for (const struct pg_process *p = l->processes; p != NULL; p = p->next)
		if (p->pgid == pgid)
			return true;
	return false;
}

static bool there(struct pg_linux *l, const struct f_owner_ex *who)
{
	return who->type == F_OWNER_PGRP ? group_there(l, who->pid)
	       : who->type == F_OWNER_PID
		       ? pg_process_find(l, who->pid) != NULL || pg_thread_find(l, who->pid) != NULL
		       : pg_thread_find(l, who->pid) != NULL;
}

int64_t pg_owner_set(struct pg_thread *me, int fd, const struct f_owner_ex *who)
{
	struct pg_linux *l = me->machine;
	struct pg_owner *o;
	int64_t r;

	if (fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	if (who->type != F_OWNER_TID && who->type != F_OWNER_PID && who->type != F_OWNER_PGRP)
		return -EINVAL;
	if (who->pid < 0 || (who->pid != 0 && !there(l, who)))
		return -ESRCH;
	r = PG_QUICK(SYS_fcntl, fd, F_SETOWN, who->pid != 0 ? l->host_pid : 0, 0, 0, 0);
	if (r != 0)
		return r;
	o = find(l, fd, who->pid != 0);
	if (o == NULL)
		return who->pid != 0 ? -ENOMEM : 0;
	o->who = *who;
	return PG_QUICK(SYS_fcntl, fd, F_SETSIG, PG_HOST_IO, 0, 0, 0);
}

int64_t pg_owner_get(struct pg_thread *me, int fd, struct f_owner_ex *who)
{
	const struct pg_owner *o = find(me->machine, fd, false);
	int64_t r;

	*who = (struct f_owner_ex){.type = F_OWNER_TID};
	r = PG_QUICK(SYS_fcntl, fd, F_GETOWN_EX, (uintptr_t)who, 0, 0, 0);
	if (r != 0)
		return r;
	if (who->pid == me->machine->host_pid && o != NULL)
		*who = o->who;
	else
		who->pid = (pid_t)pg_guest_pid(me->machine, who->pid);
	if (who->pid != 0 && o != NULL && !there(me->machine, who))
		who->pid = 0; /* it is gone */
	return 0;
}

int64_t pg_owner_signal(struct pg_thread *me, int fd, bool set, int sig)
{
	struct pg_owner *o;

	if (fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	if (!set) {
		o = find(me->machine, fd, false);
		return o != NULL ? o->sig : PG_QUICK(SYS_fcntl, fd, F_GETSIG, 0, 0, 0, 0);
	}
	if (sig < 0 || sig > PG_NSIG)
		return -EINVAL;
	o = find(me->machine, fd, true);
	if (o == NULL)
		return -ENOMEM;
	o->sig = sig;
	return PG_QUICK(SYS_fcntl, fd, F_SETSIG, PG_HOST_IO, 0, 0, 0);
}

void pg_owner_async(struct pg_thread *me, int fd)
{
	struct pg_owner *o = find(me->machine, fd, true);

	if (o == NULL)
		return;
	o->fd = fd;
	PG_QUICK(SYS_fcntl, fd, F_SETSIG, PG_HOST_IO, 0, 0, 0);
}

static bool send_one(void *ctx, struct pg_process *p)
{
	(void)pg_signal_send(p, ctx, 0);
	return true;
}

static void send(struct pg_linux *l, const struct f_owner_ex *who, union pg_siginfo *info)
{
	struct pg_process *p = pg_process_find(l, who->pid);
	struct pg_thread *t = pg_thread_find(l, who->pid);

	if (who->type == F_OWNER_PGRP)
		pg_process_each_of_group(l, who->pid, send_one, info);
	else if (who->type == F_OWNER_TID && t != NULL)
		(void)pg_signal_send(t->proc, info, t->tid);
	else if (p != NULL || t != NULL)
		(void)pg_signal_send(p != NULL ? p : t->proc, info, 0);
}

bool pg_owner_signalled(struct pg_linux *l, int signo, int fd, int code, uint64_t band)
{
	bool any = false;

	for (const struct pg_owner *o = l->owners; o != NULL; o = o->next) {
		union pg_siginfo info;

		if (o->who.pid == 0 || (signo == SIGURG ? !o->socket : o->fd != fd))
			continue;
		memset(&info, 0, sizeof(info));
		info.host.si_signo = signo == SIGURG ? SIGURG : o->sig != 0 ? o->sig : SIGIO;
		info.host.si_code = SI_KERNEL;
		if (signo != SIGURG && o->sig != 0) {
			info.host.si_code = code;
			info.host.si_band = (long)band;
			info.host.si_fd = fd;
		}
		send(l, &o->who, &info);
		any = true;
	}
	return any;
}
