/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/limit.c: what a process may use and has used: rlimits, with CPU time among them, and rusage.
 *
 * Called through table.c, by wait.c and time.c (use), and by linux/service.c, which looks at the CPU time of limited processes when
 * pg_limit_cpu() says so. Source of what RLIMIT_CPU does: Linux kernel/time/posix-cpu-timers.c, check_process_timers(), 6.18.
 */
#include "linux/calls/syscalls.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define LOOK_AGAIN (SECOND / 100) /* at least this long between two looks at CPU times */

/* --- limits and use --------------------------------------------------------------------------------------------------- */

/*
 * Limits that the host enforces for us are set there too: those of priorities. The host has one set for all guests: the last one
 * that was set holds. Limits of memory, of files (files/io.c), descriptors, processes and CPU time are kept here. The host's own limit on the size of
 * files, which is all guests', is as wide as it may be (linux/service.c): it goes up with a guest's that may raise it.
 */
static int host_limit(unsigned what, const struct rlimit64 *r)
{
	struct rlimit h = {r->rlim_cur, r->rlim_max};

	if (what == RLIMIT_FSIZE) {
		if (getrlimit(RLIMIT_FSIZE, &h) != 0 || h.rlim_max >= r->rlim_max)
			return 0;
		h.rlim_cur = h.rlim_max = r->rlim_max;
	} else if (what != RLIMIT_NICE && what != RLIMIT_RTPRIO) {
		return 0;
	}
	return setrlimit((__rlimit_resource_t)what, &h) != 0 ? -errno : 0;
}

static int64_t set_limit(
	struct pg_thread *me, struct pg_process *p, unsigned what, const struct rlimit64 *want)
{
	int err;

	if (want->rlim_cur > want->rlim_max)
		return -EINVAL;
	if (want->rlim_max > p->limits[what].rlim_max && !pg_cred_capable(CAP_SYS_RESOURCE))
		return -EPERM;
	err = host_limit(what, want);
	if (err != 0)
		return err;
	p->limits[what] = *want;
	if (what == RLIMIT_STACK && p->mm != NULL)
		pg_space_set_stack_limit(p->mm->space, want->rlim_cur);
	if (what == RLIMIT_CPU)
		pg_service_look(me->machine);
	return 0;
}

int64_t pg_sys_getrlimit(struct pg_thread *me, const uint64_t *a)
{
	if ((unsigned)a[0] >= RLIM_NLIMITS)
		return -EINVAL;
	return pg_guest_write(me, a[1], &me->proc->limits[(unsigned)a[0]], sizeof(struct rlimit64));
}

int64_t pg_sys_setrlimit(struct pg_thread *me, const uint64_t *a)
{
	struct rlimit64 want;

	if (pg_guest_read(me, &want, a[1], sizeof(want)) != 0)
		return -EFAULT;
	if ((unsigned)a[0] >= RLIM_NLIMITS)
		return -EINVAL;
	return set_limit(me, me->proc, (unsigned)a[0], &want);
}

/* The process or the one of the thread with this number; 0: the caller's. */
static struct pg_process *process_of(struct pg_thread *me, int id)
{
	struct pg_process *p = id == 0 ? me->proc : pg_process_find(me->machine, id);
	const struct pg_thread *t = p == NULL ? pg_thread_find(me->machine, id) : NULL;

	return t != NULL ? t->proc : p;
}

/* Whether the caller may look at and change another's limits: all its users and groups are the caller's, or the caller is privileged. */
static bool may_change(const struct pg_process *p)
{
	unsigned u[3] = {0}, g[3] = {0};
	char path[64], line[128];
	FILE *f = NULL;

	if (pg_cred_capable(CAP_SYS_RESOURCE))
		return true;
	if (p->thread != NULL) {
		snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)p->thread->host_tid);
		f = fopen(path, "re");
	}
	if (f == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL) {
		(void)sscanf(line, "Uid: %u %u %u", &u[0], &u[1], &u[2]);
		(void)sscanf(line, "Gid: %u %u %u", &g[0], &g[1], &g[2]);
	}
	fclose(f);
	for (int i = 0; i < 3; i++)
		if (u[i] != getuid() || g[i] != getgid())
			return false;
	return true;
}

int64_t pg_sys_prlimit64(struct pg_thread *me, const uint64_t *a)
{
	struct rlimit64 want, old;
	unsigned what = (unsigned)a[1];
	struct pg_process *p;
	int64_t r = 0;

	if (what >= RLIM_NLIMITS)
		return -EINVAL;
	if (a[2] != 0 && pg_guest_read(me, &want, a[2], sizeof(want)) != 0)
		return -EFAULT;
	p = process_of(me, (int)a[0]);
	if (p == NULL)
		return -ESRCH;
	if (p != me->proc && !may_change(p))
		return -EPERM;
	old = p->limits[what];
	if (a[2] != 0)
		r = set_limit(me, p, what, &want);
	if (r == 0 && a[3] != 0)
		r = pg_guest_write(me, a[3], &old, sizeof(old));
	return r;
}

/* --- CPU time ------------------------------------------------------------------------------------------------------ */

static bool limited(const struct pg_process *p)
{
	return p->state == PG_RUNNING && !p->exiting &&
	       (p->limits[RLIMIT_CPU].rlim_cur != RLIM64_INFINITY ||
		       p->limits[RLIMIT_CPU].rlim_max != RLIM64_INFINITY);
}

/* Sends what the process's CPU time asks for; nanoseconds until it may ask for more. */
static uint64_t look_at(struct pg_process *p)
{
	struct rlimit64 *r = &p->limits[RLIMIT_CPU];
	uint64_t used = pg_process_cpu_ns(p), next;

	if (r->rlim_max != RLIM64_INFINITY && used / SECOND >= r->rlim_max) {
		(void)pg_signal_post(p, SIGKILL, SI_KERNEL, 0, 0);
		return UINT64_MAX;
	}
	if (r->rlim_cur != RLIM64_INFINITY && used / SECOND >= r->rlim_cur) {
		(void)pg_signal_post(p, SIGXCPU, SI_KERNEL, 0, 0);
		r->rlim_cur++; /* once a second: Linux keeps count in the limit, too */
	}
	next = r->rlim_cur < r->rlim_max ? r->rlim_cur : r->rlim_max;
	return next < UINT64_MAX / SECOND && next * SECOND > used ? next * SECOND - used : 0;
}

uint64_t pg_limit_cpu(struct pg_linux *l)
{
	uint64_t least = UINT64_MAX;

	for (struct pg_process *p = l->processes, *next; p != NULL; p = next) {
		uint64_t ns;

		next = p->next;
		if (!limited(p))
			continue;
		ns = look_at(p);
		/* threads that are in the host at once use the time of several processors */
		ns = p->threads > 1 ? ns / p->threads : ns;
		ns = ns < LOOK_AGAIN ? LOOK_AGAIN : ns;
		least = ns < least ? ns : least;
	}
	return least;
}

/* --- use ------------------------------------------------------------------------------------------------------------- */

static struct timeval to_timeval(uint64_t ns)
{
	return (struct timeval){(time_t)(ns / SECOND), (suseconds_t)(ns % SECOND / 1000)};
}

void pg_usage_add(struct rusage *sum, const struct rusage *more)
{
	timeradd(&sum->ru_utime, &more->ru_utime, &sum->ru_utime);
	timeradd(&sum->ru_stime, &more->ru_stime, &sum->ru_stime);
	if (more->ru_maxrss > sum->ru_maxrss)
		sum->ru_maxrss = more->ru_maxrss;
	sum->ru_minflt += more->ru_minflt;
	sum->ru_majflt += more->ru_majflt;
	sum->ru_inblock += more->ru_inblock;
	sum->ru_oublock += more->ru_oublock;
	sum->ru_nvcsw += more->ru_nvcsw;
	sum->ru_nivcsw += more->ru_nivcsw;
}

/* System time, in ticks, of a thread that runs; what the host keeps of others can be read only in its /proc. */
static uint64_t system_ns(const struct pg_thread *t)
{
	unsigned long long ticks = 0;
	char path[64], line[1024], *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)t->host_tid);
	f = t->host_tid != 0 ? fopen(path, "re") : NULL;
	if (f == NULL)
		return 0;
	if (fgets(line, sizeof(line), f) != NULL && (p = strrchr(line, ')')) != NULL)
		(void)!sscanf(
			p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %llu", &ticks);
	fclose(f);
	return ticks * (SECOND / (unsigned long)sysconf(_SC_CLK_TCK));
}

void pg_process_usage(const struct pg_process *p, const struct pg_thread *me, struct rusage *out)
{
	uint64_t ns = pg_process_cpu_ns(p), sys;
	struct pg_space_stats s;
	struct rusage mine;

	*out = p->ended_use;
	sys = (uint64_t)out->ru_stime.tv_sec * SECOND + (uint64_t)out->ru_stime.tv_usec * 1000u;
	for (const struct pg_thread *t = p->thread; t != NULL; t = t->next) {
		if (t != me || getrusage(RUSAGE_THREAD, &mine) != 0) {
			sys += system_ns(t);
			continue;
		}
		sys += (uint64_t)mine.ru_stime.tv_sec * SECOND +
		       (uint64_t)mine.ru_stime.tv_usec * 1000u;
		out->ru_inblock += mine.ru_inblock;
		out->ru_oublock += mine.ru_oublock;
		out->ru_nvcsw += mine.ru_nvcsw;
		out->ru_nivcsw += mine.ru_nivcsw;
	}
	out->ru_stime = to_timeval(sys < ns ? sys : ns);
	out->ru_utime = to_timeval(sys < ns ? ns - sys : 0);
	pg_process_stats(p, NULL, &s);
	out->ru_maxrss = (long)(s.rss_peak_pages * PG_PAGE_SIZE / 1024);
	out->ru_minflt = (long)s.minor;
	out->ru_majflt = (long)s.major;
}

int64_t pg_sys_getrusage(struct pg_thread *me, const uint64_t *a)
{
	struct rusage ru;

	switch ((int)a[0]) {
	case RUSAGE_CHILDREN:
		ru = me->proc->children;
		break;
	case RUSAGE_SELF:
		pg_process_usage(me->proc, me, &ru);
		break;
	case RUSAGE_THREAD:
		pg_process_usage(me->proc, me, &ru); /* faults are counted by process */
		if (me->proc->threads > 1) {
			struct rusage mine;

			getrusage(RUSAGE_THREAD, &mine);
			ru.ru_utime = mine.ru_utime;
			ru.ru_stime = mine.ru_stime;
		}
		break;
	default:
		return -EINVAL;
	}
	return pg_guest_write(me, a[1], &ru, sizeof(ru));
}
