/* SPDX-License-Identifier: MIT */
/*
 * linux/process/cred.c: who a guest thread is to others, and what it may do to them: signals, looking at memory and descriptors.
 *
 * Called by calls/process.c and exec/exec.c (changes of users and capabilities), calls/signal.c and calls/pidfd.c (signals), calls/vm.c, proc/proc.c (looking).
 *
 * Users, groups and capabilities are those of the thread's host thread, which the host keeps and enforces for files. Here is a copy of them,
 * for what one guest does to another, of which the host knows nothing. Priorities, policies and affinities are set on host
 * threads, so the host checks those itself.
 *
 * Source: Linux kernel/signal.c check_kill_permission(), kernel/ptrace.c __ptrace_may_access(), kernel/cred.c commit_creds(),
 * security/commoncap.c, 6.18.
 */
#include "linux/machine/machine.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_LAST_CAP
#define CAP_LAST_CAP 40
#endif

void pg_cred_read(struct pg_cred *c)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {{0}};

	memset(c, 0, sizeof(*c));
	(void)syscall(SYS_getresuid, &c->uid[PG_REAL], &c->uid[PG_EFFECTIVE], &c->uid[PG_SAVED]);
	(void)syscall(SYS_getresgid, &c->gid[PG_REAL], &c->gid[PG_EFFECTIVE], &c->gid[PG_SAVED]);
	c->uid[PG_FILES] = (uint32_t)syscall(SYS_setfsuid, -1); /* changes nothing */
	c->gid[PG_FILES] = (uint32_t)syscall(SYS_setfsgid, -1);
	if (syscall(SYS_capget, &h, d) == 0) {
		c->permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
		c->usable = d[0].effective | (uint64_t)d[1].effective << 32;
	}
}

bool pg_cred_capable(int capability)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {{0}};

	return syscall(SYS_capget, &h, d) == 0 &&
	       (d[capability / 32].effective >> (capability % 32) & 1);
}

/* fs.suid_dumpable of the host. */
static int suid_dumpable(void)
{
	FILE *f = fopen("/proc/sys/fs/suid_dumpable", "re");
	int v = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%d", &v) != 1 || v == 1)
		v = 0; /* 1 is for debugging only: as if nothing were protected; not offered */
	fclose(f);
	return v;
}

void pg_cred_changed(struct pg_thread *me)
{
	const struct pg_cred old = me->cred;
	struct pg_cred *new = &me->cred;

	pg_cred_read(new);
	if (old.uid[PG_EFFECTIVE] == new->uid[PG_EFFECTIVE] &&
		old.gid[PG_EFFECTIVE] == new->gid[PG_EFFECTIVE] &&
		old.uid[PG_FILES] == new->uid[PG_FILES] &&
		old.gid[PG_FILES] == new->gid[PG_FILES] && !(new->permitted & ~old.permitted))
		return;
	me->mm->dumpable = suid_dumpable();
	me->proc->death_signal = 0;
}

/* A program that root does not run has the ambient capabilities only; saved ids are the effective ones. */
void pg_cred_exec(struct pg_thread *me)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {{0}};
	const struct pg_cred *c = &me->cred;
	uint64_t ambient = 0;

	if (c->uid[PG_SAVED] != c->uid[PG_EFFECTIVE] || c->uid[PG_FILES] != c->uid[PG_EFFECTIVE])
		(void)syscall(SYS_setresuid, -1, c->uid[PG_EFFECTIVE], c->uid[PG_EFFECTIVE]);
	if (c->gid[PG_SAVED] != c->gid[PG_EFFECTIVE] || c->gid[PG_FILES] != c->gid[PG_EFFECTIVE])
		(void)syscall(SYS_setresgid, -1, c->gid[PG_EFFECTIVE], c->gid[PG_EFFECTIVE]);
	(void)prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	if (c->permitted != 0 && c->uid[PG_REAL] != 0 && c->uid[PG_EFFECTIVE] != 0 &&
		syscall(SYS_capget, &h, d) == 0) {
		for (int i = 0; i <= CAP_LAST_CAP; i++)
			if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1)
				ambient |= (uint64_t)1 << i;
		d[0].permitted = d[0].effective = (uint32_t)ambient;
		d[1].permitted = d[1].effective = (uint32_t)(ambient >> 32);
		(void)syscall(SYS_capset, &h, d);
	}
	pg_cred_read(&me->cred);
	me->mm->dumpable =
		c->uid[PG_REAL] == c->uid[PG_EFFECTIVE] && c->gid[PG_REAL] == c->gid[PG_EFFECTIVE]
			? 1
			: suid_dumpable();
}

static bool can(const struct pg_thread *me, int capability)
{
	return me->cred.usable >> capability & 1;
}

/* Of a thread, or of a process: its first thread's, or as they were at its end. */
static const struct pg_cred *cred_of(const struct pg_process *p, int tid)
{
	const struct pg_thread *t = p->thread;

	while (t != NULL && tid != 0 && t->tid != tid)
		t = t->next;
	return t != NULL ? &t->cred : &p->last_cred;
}

int pg_cred_may_signal(const struct pg_thread *me, const struct pg_process *p, int tid, int signo)
{
	const struct pg_cred *mine = &me->cred, *its = cred_of(p, tid);

	if (p == me->proc || can(me, CAP_KILL))
		return 0;
	for (enum pg_cred_id i = PG_REAL; i <= PG_EFFECTIVE; i++)
		if (mine->uid[i] == its->uid[PG_REAL] || mine->uid[i] == its->uid[PG_SAVED])
			return 0;
	return signo == SIGCONT && p->sid == me->proc->sid ? 0 : -EPERM;
}

static bool all_are(const uint32_t *id, uint32_t wanted)
{
	return id[PG_REAL] == wanted && id[PG_EFFECTIVE] == wanted && id[PG_SAVED] == wanted;
}

bool pg_cred_may_look(
	const struct pg_thread *me, const struct pg_process *p, const struct pg_mm *mm, bool files)
{
	const struct pg_cred *mine = &me->cred, *its = cred_of(p, 0);
	const enum pg_cred_id as = files ? PG_FILES : PG_REAL;

	if (p == me->proc || can(me, CAP_SYS_PTRACE))
		return true;
	return all_are(its->uid, mine->uid[as]) && all_are(its->gid, mine->gid[as]) &&
	       (mm == NULL || mm->dumpable == 1) &&
	       !(its->permitted & ~(files ? mine->usable : mine->permitted));
}

bool pg_cred_may_read(
	const struct pg_thread *me, const struct pg_process *p, const struct pg_mm *mm)
{
	return pg_cred_may_look(me, p, mm, true) || can(me, CAP_PERFMON) || can(me, CAP_SYS_ADMIN);
}

bool pg_cred_owns(const struct pg_thread *me, const struct pg_process *p)
{
	const struct pg_mm *mm = p->state == PG_ZOMBIE ? NULL : p->mm;
	uint32_t owner = mm != NULL && mm->dumpable == 1 ? cred_of(p, 0)->uid[PG_EFFECTIVE] : 0;

	return me->cred.uid[PG_FILES] == owner || can(me, CAP_DAC_OVERRIDE);
}
