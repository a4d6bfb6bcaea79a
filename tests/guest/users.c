/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/users.c: what processes of one user may do to those of another: signals, looking, priorities. Needs root, else says so. R16.
 *
 * An actor forks a target, so that Yama's rules for debuggers allow what the users allow. The numbers of users are nobody's.
 */
#include "cases.h"

#include <dirent.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define A 54321
#define B 54322

struct ids {
	uid_t r, e, s;
};

static void become(struct ids i)
{
	check(setresgid(A, A, A) == 0 && setresuid(i.r, i.e, i.s) == 0, "setresuid");
}

struct trial {
	struct ids actor, target;
	void (*act)(pid_t target);
	void (*prepare)(void); /* of the target, as itself; may be NULL */
};

static char shared_word[] = "a word of memory";
static int target_fd;

/* The target lives until the actor has gone. */
static int actor(void *arg)
{
	const struct trial *t = arg;
	int ready[2], live[2];
	char c;
	pid_t p;

	check(pipe(ready) == 0 && pipe(live) == 0, "pipe");
	p = fork();
	if (p == 0) {
		signal(SIGUSR1, SIG_IGN);
		signal(SIGRTMIN, SIG_IGN);
		close(live[1]);
		become(t->target);
		target_fd = live[0];
		if (t->prepare)
			t->prepare();
		check(write(ready[1], "", 1) == 1, "write");
		while (read(live[0], &c, 1) != 0)
			;
		_exit(0);
	}
	target_fd = live[0];
	check(read(ready[0], &c, 1) == 1, "read");
	become(t->actor);
	t->act(p);
	return 0;
}

static void try(const char *what, struct trial t)
{
	pid_t p;

	if (geteuid() != 0) {
		printf("%s: not root\n", what);
		return;
	}
	printf("%s\n", what);
	p = child(actor, &t);
	reap("actor", p);
}

/* ---- signals */

static long queue_to(pid_t p, int tid)
{
	siginfo_t i = {.si_signo = SIGRTMIN, .si_code = SI_QUEUE};

	i.si_pid = getpid();
	i.si_uid = getuid();
	return tid ? syscall(SYS_rt_tgsigqueueinfo, p, tid, SIGRTMIN, &i)
		   : syscall(SYS_rt_sigqueueinfo, p, SIGRTMIN, &i);
}

static void all_signals(pid_t p)
{
	int fd = (int)syscall(SYS_pidfd_open, p, 0);

	say_call("kill 0", kill(p, 0));
	say_call("kill SIGUSR1", kill(p, SIGUSR1));
	say_call("kill SIGCONT", kill(p, SIGCONT));
	say_call("tkill", syscall(SYS_tkill, p, SIGUSR1));
	say_call("tgkill", syscall(SYS_tgkill, p, p, SIGUSR1));
	say_call("rt_sigqueueinfo", queue_to(p, 0));
	say_call("rt_tgsigqueueinfo", queue_to(p, p));
	say_call("pidfd_send_signal", syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0));
	say_call("pidfd_send_signal 0", syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
}

static void other_session(pid_t p)
{
	check(setsid() > 0 || errno == EPERM, "setsid");
	say_call("SIGCONT from another session", kill(p, SIGCONT));
}

static void case_signals(void)
{
	static const struct ids who[] = {{A, A, A}, {B, B, B}, {A, B, B}, {B, A, B}, {B, B, A},
		{A, B, A}, {0, A, A}, {A, 0, A}};
	char name[64];

	for (unsigned i = 0; i < 8; i++)
		for (unsigned k = 0; k < 8; k++) {
			snprintf(name, sizeof name, "actor %u target %u", i, k);
			try(name, (struct trial){who[i], who[k], all_signals, NULL});
		}
	try("session", (struct trial){{A, A, A}, {B, B, B}, other_session, NULL});
	try("session, own user", (struct trial){{A, A, A}, {A, A, A}, other_session, NULL});
}

static int got;

static void count(int n)
{
	got++;
}

/* A group of three: whoever may not be reached is left out, and one who was is enough. */
static int group_actor(void *arg)
{
	const uid_t *users = arg;
	int ready[2], live[2], told[2];
	pid_t pid[2];
	char c;

	check(pipe(ready) == 0 && pipe(live) == 0 && pipe(told) == 0, "pipe");
	for (int i = 0; i < 2; i++)
		if ((pid[i] = fork()) == 0) {
			struct sigaction a = {.sa_handler = count};

			sigaction(SIGUSR1, &a, NULL);
			close(live[1]);
			become((struct ids){users[i], users[i], users[i]});
			check(write(ready[1], "", 1) == 1, "write");
			while (read(live[0], &c, 1) < 0)
				;
			check(write(told[1], got ? "x" : "", got ? 1 : 0) >= 0, "write");
			_exit(0);
		}
	signal(SIGUSR1, SIG_IGN);
	for (int i = 0; i < 2; i++)
		check(read(ready[0], &c, 1) == 1 && setpgid(pid[i], pid[0]) == 0, "setpgid");
	become((struct ids){A, A, A});
	say_call("0 to the group", kill(-pid[0], 0));
	say_call("kill of the group", kill(-pid[0], SIGUSR1));
	say_call("kill of all", kill(-1, SIGUSR1));
	say_call("0 to all", kill(-1, 0));
	close(live[1]);
	close(told[1]);
	for (got = 0; read(told[0], &c, 1) == 1; got++)
		;
	printf("%d were reached\n", got);
	return 0;
}

static void case_groups(void)
{
	static uid_t users[4][2] = {{A, A}, {A, B}, {B, A}, {B, B}};

	for (int i = 0; i < 4; i++) {
		printf("group %d\n", i);
		if (geteuid() == 0)
			reap("actor", child(group_actor, users[i]));
	}
}

/* ---- looking */

static void say_open(const char *file, pid_t p)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "/proc/%d/%s", p, file);
	fd = open(path, O_RDONLY);
	printf("%s: %s\n", file, fd < 0 ? strerrorname_np(errno) : "opened");
	if (fd >= 0)
		close(fd);
}

static void all_looks(pid_t p)
{
	static const char *const files[] = {"mem", "maps", "smaps", "smaps_rollup", "environ",
		"auxv", "pagemap", "status", "stat", "statm", "cmdline", "comm", "limits", "fd",
		"cwd", "oom_score_adj"};
	static const char *const links[] = {"exe", "cwd", "root", "fd/0"};
	char there[sizeof shared_word] = "", path[64], to[256];
	struct iovec mine = {there, sizeof there}, other = {shared_word, sizeof shared_word};
	int fd = (int)syscall(SYS_pidfd_open, p, 0);
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, p};
	struct __user_cap_data_struct d[2];
	void *list;
	size_t n;

	say_call("process_vm_readv", process_vm_readv(p, &mine, 1, &other, 1, 0));
	say_call("process_vm_writev", process_vm_writev(p, &other, 1, &other, 1, 0));
	say_call("pidfd_getfd", syscall(SYS_pidfd_getfd, fd, target_fd, 0) >= 0 ? 0 : -1);
	say_call("get_robust_list", syscall(SYS_get_robust_list, p, &list, &n));
	say_call("capget", syscall(SYS_capget, &h, d));
	for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++)
		say_open(files[i], p);
	for (unsigned i = 0; i < sizeof links / sizeof links[0]; i++) {
		snprintf(path, sizeof path, "/proc/%d/%s", p, links[i]);
		printf("link %s: %s\n", links[i],
			readlink(path, to, sizeof to) < 0 ? strerrorname_np(errno) : "read");
	}
	fflush(stdout);
}

static void not_dumpable(void)
{
	check(prctl(PR_SET_DUMPABLE, 0) == 0, "prctl");
}

static void dumpable(void)
{
	check(prctl(PR_SET_DUMPABLE, 1) == 0, "prctl");
}

static void look_without_right(pid_t p)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2];

	check(syscall(SYS_capget, &h, d) == 0, "capget");
	d[0].effective &=
		~(1u << CAP_SYS_PTRACE | 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
	d[0].effective &= ~(1u << CAP_SYS_ADMIN);
	d[1].effective &= ~(1u << (38 - 32)); /* CAP_PERFMON: since Linux 6.11 it may read maps */
	d[0].permitted = d[0].effective;
	d[1].permitted = d[1].effective;
	check(syscall(SYS_capset, &h, d) == 0, "capset");
	all_looks(p);
}

static void case_looks(void)
{
	try("root at a user", (struct trial){{0, 0, 0}, {A, A, A}, all_looks, NULL});
	try("a user at another", (struct trial){{A, A, A}, {B, B, B}, all_looks, dumpable});
	try("a user at its own, which was root",
		(struct trial){{A, A, A}, {A, A, A}, all_looks, NULL});
	try("a user at its own", (struct trial){{A, A, A}, {A, A, A}, all_looks, dumpable});
	try("at one that hides", (struct trial){{A, A, A}, {A, A, A}, all_looks, not_dumpable});
	try("at one that is two", (struct trial){{A, A, A}, {A, B, A}, all_looks, dumpable});
	try("at root", (struct trial){{A, A, A}, {0, 0, 0}, all_looks, NULL});
	try("root without the right",
		(struct trial){{0, 0, 0}, {A, A, A}, look_without_right, dumpable});
	try("root without the right at root",
		(struct trial){{0, 0, 0}, {0, 0, 0}, look_without_right, NULL});
}

static int say_dumpable(void *arg)
{
	say_call("at first", prctl(PR_GET_DUMPABLE));
	if (geteuid() != 0)
		return 0;
	say_call("setfsuid", setfsuid(A));
	say_call("after setfsuid", prctl(PR_GET_DUMPABLE));
	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	check(setresuid(-1, 0, B) == 0, "setresuid");
	say_call("after a saved user", prctl(PR_GET_DUMPABLE));
	check(setresuid(A, A, A) == 0, "setresuid");
	say_call("after setresuid", prctl(PR_GET_DUMPABLE));
	int sig = -1;
	prctl(PR_GET_PDEATHSIG, &sig);
	printf("pdeathsig %d\n", sig);
	say_open("environ", getpid());
	say_open("maps", getpid());
	say_open("mem", getpid());
	say_call("PR_SET_DUMPABLE 2", prctl(PR_SET_DUMPABLE, 2));
	say_call("PR_SET_DUMPABLE 1", prctl(PR_SET_DUMPABLE, 1));
	say_open("environ", getpid());
	return 0;
}

static void case_dumpable(void)
{
	reap("child", child(say_dumpable, NULL));
}

/* ---- what the host decides */

static void all_changes(pid_t p)
{
	struct sched_param s = {0};
	struct rlimit l;
	cpu_set_t set;

	say_call("getpriority", getpriority(PRIO_PROCESS, (id_t)p));
	say_call("setpriority 5", setpriority(PRIO_PROCESS, (id_t)p, 5));
	say_call("setpriority 1", setpriority(PRIO_PROCESS, (id_t)p, 1));
	say_call("sched_setscheduler", sched_setscheduler(p, SCHED_BATCH, &s));
	say_call("sched_getscheduler", sched_getscheduler(p));
	say_call("sched_setscheduler FIFO",
		sched_setscheduler(p, SCHED_FIFO, &(struct sched_param){1}));
	sched_getaffinity(0, sizeof set, &set);
	say_call("sched_setaffinity", sched_setaffinity(p, sizeof set, &set));
	say_call("ioprio_set", syscall(SYS_ioprio_set, 1, p, 2 << 13 | 5));
	say_call("prlimit", prlimit(p, RLIMIT_CORE, NULL, &l));
	say_call("getpgid", getpgid(p) > 0 ? 0 : -1);
	say_call("getsid", getsid(p) > 0 ? 0 : -1);
}

static void case_changes(void)
{
	try("own", (struct trial){{A, A, A}, {A, A, A}, all_changes, dumpable});
	try("another's", (struct trial){{A, A, A}, {B, B, B}, all_changes, dumpable});
	try("as its real user", (struct trial){{B, A, B}, {A, B, B}, all_changes, dumpable});
}

/* ---- what a program begins with */

static int say_exec(void *arg)
{
	const struct ids *i = arg;

	become(*i);
	execl("/proc/self/exe", "users", "ids", NULL);
	say_call("exec", -1);
	return 1;
}

static void case_ids(void)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {{0}};
	uid_t r, e, s;

	getresuid(&r, &e, &s);
	syscall(SYS_capget, &h, d);
	printf("%d %d %d, capabilities %s %s, dumpable %d\n", r, e, s,
		d[0].permitted ? "some" : "none", d[0].effective ? "some" : "none",
		prctl(PR_GET_DUMPABLE));
}

static void case_exec(void)
{
	static struct ids who[] = {{A, A, A}, {A, B, A}, {A, A, 0}, {0, A, 0}};

	for (int i = 0; i < 4 && geteuid() == 0; i++)
		reap("exec", child(say_exec, &who[i]));
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"signals", case_signals}, {"groups", case_groups},
		{"looks", case_looks}, {"dumpable", case_dumpable}, {"changes", case_changes},
		{"exec", case_exec}, {"ids", case_ids}, {NULL, NULL}};

	return run_cases(cases, argc, argv);
}
