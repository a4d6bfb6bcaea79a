/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/limits.c: limits of another process and of CPU time, use of resources, and scheduling. Guards R13, R16.
 */
#include "cases.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* --- CPU time ---------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t times;

static void on_limit(int n)
{
	times++;
	signal(SIGXCPU, SIG_DFL);
}

static void spin(void)
{
	volatile unsigned long n = 0;

	for (;;)
		n = n + 1;
}

static int spins(void *arg)
{
	struct rlimit *l = arg;

	signal(SIGXCPU, on_limit);
	check(setrlimit(RLIMIT_CPU, l) == 0, "setrlimit");
	while (times == 0)
		;
	getrlimit(RLIMIT_CPU, l);
	printf("soft %ld\n", (long)l->rlim_cur);
	fflush(stdout);
	spin();
	return 0;
}

static int is_limited(void *arg)
{
	await(arg);
	spin();
	return 0;
}

static void case_cpu(void)
{
	struct rlimit soft = {1, RLIM_INFINITY}, hard = {1, 1};
	struct gate g = gate_open();
	pid_t p;

	reap("caught, then not", child(spins, &soft));
	p = child(is_limited, &g);
	say_call("another's", prlimit(p, RLIMIT_CPU, &hard, NULL));
	let(&g);
	reap("limited", p);
}

/* --- limits of others --------------------------------------------------------------------------------------------- */

static int sees_limit(void *arg)
{
	struct gate *g = arg;
	struct rlimit l;

	await(g);
	getrlimit(RLIMIT_CORE, &l);
	printf("child: %ld %ld\n", (long)l.rlim_cur, (long)l.rlim_max);
	fflush(stdout);
	let(&g[1]);
	await(g);
	return 0;
}

static int as_nobody(void *arg)
{
	struct rlimit l;

	if (setgid(65534) != 0 || setuid(65534) != 0)
		return 1;
	say_call("root's", prlimit(*(pid_t *)arg, RLIMIT_CORE, NULL, &l));
	say_call("own", prlimit(0, RLIMIT_CORE, NULL, &l));
	say_call("own, by number", prlimit(getpid(), RLIMIT_CORE, NULL, &l));
	l.rlim_max = l.rlim_cur = 10;
	say_call("less", prlimit(0, RLIMIT_CORE, &l, NULL));
	l.rlim_max = 11;
	say_call("more", prlimit(0, RLIMIT_CORE, &l, NULL));
	return 0;
}

static void case_others(void)
{
	struct gate g[2] = {gate_open(), gate_open()};
	struct rlimit new = {1000, 2000}, old = {0, 0};
	pid_t p = child(sees_limit, g);

	say_call("set", prlimit(p, RLIMIT_CORE, &new, NULL));
	say_call("get", prlimit(p, RLIMIT_CORE, NULL, &old));
	printf("%ld %ld\n", (long)old.rlim_cur, (long)old.rlim_max);
	let(g);
	await(&g[1]);
	new.rlim_cur = 3000;
	say_call("soft above hard", prlimit(p, RLIMIT_CORE, &new, NULL));
	say_call("no such limit", prlimit(p, 99, NULL, &old));
	reap("nobody", child(as_nobody, &p));
	let(g);
	reap("child", p);
	say_call("gone", prlimit(p, RLIMIT_CORE, NULL, &old));
}

/* --- use ---------------------------------------------------------------------------------------------------------- */

#define PAGES 6000

static int touches(void *arg)
{
	char *p = map_anon(PAGES * PAGE, PROT_READ | PROT_WRITE);
	struct rusage u;

	madvise(p, PAGES * PAGE, MADV_NOHUGEPAGE); /* one fault for each page */

	for (long i = 0; i < PAGES; i++)
		p[i * PAGE] = 1;
	munmap(p, PAGES * PAGE);
	getrusage(RUSAGE_SELF, &u);
	printf("itself: peak %d, faults %d, major few %d\n",
		u.ru_maxrss >= PAGES * 3 && u.ru_maxrss < PAGES * 4 + 8192,
		u.ru_minflt >= PAGES && u.ru_minflt < PAGES + 2000, u.ru_majflt < 200);
	return 0;
}

static int waits_for_touches(void *arg)
{
	struct rusage u;

	reap("grandchild", child(touches, NULL));
	getrusage(RUSAGE_SELF, &u);
	printf("not its own %d\n", u.ru_minflt < PAGES);
	return 0;
}

static void case_use(void)
{
	struct rusage u, before;
	int status;
	pid_t p;

	p = child(touches, NULL);
	check(wait4(p, &status, 0, &u) == p, "wait4");
	printf("child: peak %d, faults %d\n", u.ru_maxrss >= PAGES * 3, u.ru_minflt >= PAGES);
	getrusage(RUSAGE_CHILDREN, &before);
	printf("summed %d\n", before.ru_maxrss >= u.ru_maxrss && before.ru_minflt >= u.ru_minflt);
	p = child(waits_for_touches, NULL);
	check(wait4(p, &status, 0, &u) == p, "wait4");
	/* who waited counts, and whom it waited for */
	getrusage(RUSAGE_CHILDREN, &u);
	printf("grandchild: faults %d, peak %d\n", u.ru_minflt >= before.ru_minflt + PAGES,
		u.ru_maxrss >= PAGES * 3);
	say_call("nobody's", getrusage(7, &u));
}

/* --- scheduling ---------------------------------------------------------------------------------------------------- */

struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t least, most;
};

static int stays(void *arg)
{
	await(arg);
	return 0;
}

static void case_sched(void)
{
	struct attributes a = {0};
	struct sched_param param = {0};
	struct gate g = gate_open();
	cpu_set_t set;
	pid_t p;

	/* a group of its own: nobody else's priority is changed */
	check(setpgid(0, 0) == 0 || errno == EPERM, "setpgid");
	p = child(stays, &g);

	say_call("policy", sched_getscheduler(0));
	say_call("of the child", sched_getscheduler(p));
	say_call("batch", sched_setscheduler(p, SCHED_BATCH, &param));
	say_call("of the child", sched_getscheduler(p));
	say_call("of oneself", sched_getscheduler(0));
	say_call("no such policy", sched_setscheduler(p, 99, &param));
	say_call("negative", sched_setscheduler(-1, SCHED_OTHER, &param));
	say_call("nobody", sched_getscheduler(1 << 21));
	param.sched_priority = 5;
	say_call("priority without right", sched_setscheduler(p, SCHED_OTHER, &param));
	say_call("get", syscall(SYS_sched_getattr, p, &a, sizeof a, 0));
	printf("size %u policy %u nice %d\n", a.size, a.policy, a.nice);
	a.nice = 7;
	say_call("set", syscall(SYS_sched_setattr, p, &a, 0));
	say_call("get", syscall(SYS_sched_getattr, p, &a, 48, 0));
	printf("size %u policy %u nice %d\n", a.size, a.policy, a.nice);
	say_call("too small", syscall(SYS_sched_getattr, p, &a, 8, 0));
	say_call("get, flags", syscall(SYS_sched_getattr, p, &a, sizeof a, 1));
	a.size = 4096 * 2;
	say_call("too large", syscall(SYS_sched_setattr, p, &a, 0));
	errno = 0;
	say_call("nice of the child", getpriority(PRIO_PROCESS, (id_t)p));
	say_call("own", getpriority(PRIO_PROCESS, 0));
	say_call("renice", setpriority(PRIO_PROCESS, (id_t)p, 9));
	say_call("nice of the child", getpriority(PRIO_PROCESS, (id_t)p));
	say_call("whose", getpriority(PRIO_PROCESS, 1 << 21));
	say_call("of the group", setpriority(PRIO_PGRP, 0, 3));
	say_call("own", getpriority(PRIO_PROCESS, 0));
	say_call("least of the group", getpriority(PRIO_PGRP, 0));
	say_call("no such kind", getpriority(9, 0));
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	say_call("affinity", sched_setaffinity(p, sizeof set, &set));
	CPU_ZERO(&set);
	say_call("affinity of none", sched_setaffinity(p, sizeof set, &set));
	printf("affinity %d\n", sched_getaffinity(p, sizeof set, &set) == 0 &&
					CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set));
	say_call("ioprio", syscall(SYS_ioprio_set, 1, p, 3 << 13));
	say_call("ioprio", syscall(SYS_ioprio_get, 1, p));
	say_call("ioprio of nobody", syscall(SYS_ioprio_get, 1, 1 << 21));
	let(&g);
	reap("child", p);
}

/* --- sizes of files ----------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t too_large;

static void on_size(int n)
{
	too_large++;
}

static void say_size(const char *what, long r)
{
	printf("%s: %ld%s%s, %d signals\n", what, r, r < 0 ? " " : "", r < 0 ? strerror(errno) : "",
		(int)too_large);
	fflush(stdout);
}

/* All that makes a file grow, at a limit of 6000 bytes. Pipes have none. (FALLOC_FL_KEEP_SIZE may pass it, but not on tmpfs.) */
static int grows(void *arg)
{
	static char page[4096];
	struct rlimit limit = {6000, RLIM_INFINITY};
	struct iovec v[2] = {{page, 3000}, {page, 3000}};
	int fd = open("limited", O_RDWR | O_CREAT | O_TRUNC, 0600),
	    from = open("source", O_RDWR | O_CREAT | O_TRUNC, 0600), pipes[2];
	off_t at;

	signal(SIGXFSZ, on_size);
	check(write(from, page, sizeof page) == sizeof page && pipe(pipes) == 0, "files");
	say_size("limit", setrlimit(RLIMIT_FSIZE, &limit));
	say_size("write", write(fd, page, sizeof page));
	say_size("write up to it", write(fd, page, sizeof page));
	say_size("write at it", write(fd, page, 1));
	say_size("write nothing at it", write(fd, page, 0));
	say_size("pwrite beyond it", pwrite(fd, page, 1, 9000));
	say_size("pwrite below it", pwrite(fd, page, 10, 0));
	say_size("pwritev", pwritev(fd, v, 2, 3));
	say_size("pwritev to it", pwritev(fd, v, 2, 5000));
	say_size("ftruncate", ftruncate(fd, 6001));
	say_size("truncate", truncate("limited", 7000));
	say_size("ftruncate to it", ftruncate(fd, 6000));
	say_size("smaller", ftruncate(fd, 100));
	say_size("fallocate", fallocate(fd, 0, 0, 7000));
	check(lseek(fd, 5990, SEEK_SET) == 5990 && lseek(from, 0, SEEK_SET) == 0, "lseek");
	say_size("sendfile", sendfile(fd, from, NULL, 100));
	say_size("sendfile at it", sendfile(fd, from, NULL, 100));
	at = 5980;
	check(lseek(from, 0, SEEK_SET) == 0, "lseek");
	say_size("copy_file_range", copy_file_range(from, NULL, fd, &at, 100, 0));
	say_size("copy_file_range at it", copy_file_range(from, NULL, fd, &at, 100, 0));
	check(write(pipes[1], page, 200) == 200, "pipe");
	at = 5950;
	say_size("splice", splice(pipes[0], NULL, fd, &at, 100, 0));
	say_size("splice at it", splice(pipes[0], NULL, fd, &at, 100, 0));
	check(fcntl(fd, F_SETFL, O_APPEND) == 0, "append");
	say_size("append", pwrite(fd, page, 100, 0));
	say_size("size", lseek(fd, 0, SEEK_END));
	say_size("into a pipe", write(pipes[1], page, sizeof page));
	limit.rlim_cur = RLIM_INFINITY;
	say_size("no limit", setrlimit(RLIMIT_FSIZE, &limit));
	say_size("append", write(fd, page, 100));
	return 0;
}

static int dies_of_size(void *arg)
{
	struct rlimit none = {0, 0};
	int fd = open("limited", O_RDWR | O_CREAT | O_TRUNC, 0600);

	check(setrlimit(RLIMIT_FSIZE, &none) == 0, "limit");
	await(arg);
	return (int)write(fd, "x", 1);
}

/* The limit is of one process: its parent writes on. */
static void case_size(void)
{
	struct gate g = gate_open();
	int fd = open("free", O_RDWR | O_CREAT | O_TRUNC, 0600);
	pid_t p = child(grows, NULL);

	reap("grows", p);
	p = child(dies_of_size, &g);
	usleep(20000);
	say_size("of the parent", write(fd, "12345", 5));
	let(&g);
	reap("dies", p);
	say_size("of the parent", write(fd, "12345", 5));
	close(fd);
	unlink("limited");
	unlink("source");
	unlink("free");
}

/* --- capabilities --------------------------------------------------------------------------------------------------- */

/* How libcap-ng asks which version there is. */
static void case_capabilities(void)
{
	struct __user_cap_header_struct h = {0, 0};
	struct __user_cap_data_struct d[2];

	say_call("which version", syscall(SYS_capget, &h, NULL));
	printf("version %x\n", h.version);
	h = (struct __user_cap_header_struct){0x1234, 0};
	say_call("no version", syscall(SYS_capget, &h, d));
	printf("version %x\n", h.version);
	h.pid = getpid();
	say_call("own", syscall(SYS_capget, &h, d));
	h = (struct __user_cap_header_struct){0x1234, 0};
	say_call("set, no version", syscall(SYS_capset, &h, d));
	printf("version %x\n", h.version);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"cpu", case_cpu}, {"others", case_others},
		{"use", case_use}, {"sched", case_sched}, {"size", case_size},
		{"capabilities", case_capabilities}, {NULL, NULL}};

	return run_cases(cases, argc, argv);
}
