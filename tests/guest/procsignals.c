/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/procsignals.c: signals among processes and threads, timers, and waiting for children. Guards R12, R16.
 */
#include "cases.h"

#include <limits.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define LOG 64

static struct {
	int number, code, value;
} volatile seen[LOG];
static volatile sig_atomic_t seen_count;

static void record(int number, siginfo_t *info, void *context)
{
	int i = seen_count;

	if (i < LOG) {
		seen[i].number = number;
		seen[i].code = info->si_code;
		seen[i].value = info->si_value.sival_int;
		seen_count = i + 1;
	}
}

static void forget(void)
{
	seen_count = 0;
}

static void say_seen(const char *what)
{
	printf("%s:", what);
	for (int i = 0; i < seen_count; i++)
		if (seen[i].code == SI_QUEUE)
			printf(" %d(%d)", seen[i].number - SIGRTMIN, seen[i].value);
		else
			printf(" %s/%d", sigabbrev_np(seen[i].number) ?: "RT", seen[i].code);
	printf("\n");
	forget();
}

static void block(int number, int how)
{
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, number);
	sigprocmask(how, &s, NULL);
}

/* Queued ones come lowest first, in their order; others once. */
static void case_queue(void)
{
	static const int order[] = {2, 0, 1, 0, 2, 1, 0};
	union sigval v;

	for (int i = 0; i < 3; i++) {
		handle(SIGRTMIN + i, record, 0);
		block(SIGRTMIN + i, SIG_BLOCK);
	}
	handle(SIGUSR1, record, 0);
	block(SIGUSR1, SIG_BLOCK);
	for (int i = 0; i < 7; i++) {
		v.sival_int = i;
		check(sigqueue(getpid(), SIGRTMIN + order[i], v) == 0, "sigqueue");
		kill(getpid(), SIGUSR1);
	}
	for (int i = 2; i >= 0; i--)
		block(SIGRTMIN + i, SIG_UNBLOCK);
	say_seen("one after another");
	block(SIGUSR1, SIG_UNBLOCK);
	say_seen("usual");
}

static void case_timedwait(void)
{
	struct timespec none = {0, 0}, some = {0, 20000000};
	struct timespec ever = {.tv_sec = LONG_MAX}; /* no sum of nanoseconds holds it */
	struct itimerval soon = {.it_value.tv_usec = 30000};
	union sigval v = {.sival_int = 77};
	siginfo_t info;
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGRTMIN + 3);
	sigaddset(&s, SIGUSR2);
	sigprocmask(SIG_BLOCK, &s, NULL);
	say_call("nothing there", sigtimedwait(&s, &info, &none));
	say_call("nothing comes", sigtimedwait(&s, &info, &some));
	sigqueue(getpid(), SIGRTMIN + 3, v);
	kill(getpid(), SIGUSR2);
	printf("first %s\n", sigabbrev_np(sigwaitinfo(&s, &info)) ?: "RT");
	printf("then %d", sigwaitinfo(&s, &info) - SIGRTMIN);
	printf(" value %d code %d\n", info.si_value.sival_int, info.si_code);
	say_call("empty again", sigtimedwait(&s, &info, &none));
	block(SIGALRM, SIG_BLOCK);
	sigaddset(&s, SIGALRM);
	setitimer(ITIMER_REAL, &soon, NULL);
	say_call("at last", sigtimedwait(&s, &info, &ever));
	sigpending(&s);
	printf("pending %d\n", sigismember(&s, SIGUSR2));
	block(SIGUSR2, SIG_UNBLOCK);
}

static int kill_after(void *arg)
{
	pause_ms(30);
	kill(getppid(), (int)(long)arg);
	return 0;
}

/* read(2) that a signal interrupts: goes on with SA_RESTART, else EINTR. */
static void case_restart(void)
{
	for (int flags = 0; flags < 2; flags++) {
		int fd[2];
		char c;
		pid_t p, q;

		check(pipe(fd) == 0, "pipe");
		handle(SIGUSR1, record, flags ? SA_RESTART : 0);
		p = child(kill_after, (void *)SIGUSR1);
		fflush(stdout);
		q = fork();
		if (q == 0) {
			pause_ms(120);
			_exit(write(fd[1], "y", 1) != 1);
		}
		say_call(flags ? "read, restarted" : "read, interrupted", read(fd[0], &c, 1));
		say_seen("signal");
		reap("sender", p);
		reap("writer", q);
		close(fd[0]);
		close(fd[1]);
	}
	handle(SIGUSR1, record, SA_RESTART);
	child(kill_after, (void *)SIGUSR1);
	say_call("pause", pause());
	wait(NULL);
	forget();
}

static char *stack_base;

static void on_stack(int number, siginfo_t *info, void *context)
{
	char here;
	stack_t now;

	sigaltstack(NULL, &now);
	printf("on the other stack %d, flags %d\n",
		&here >= stack_base && &here < stack_base + 65536, now.ss_flags);
}

static void case_altstack(void)
{
	stack_t s = {.ss_size = 65536}, old;

	s.ss_sp = stack_base = map_anon(65536, PROT_READ | PROT_WRITE);
	say_call("sigaltstack", sigaltstack(&s, NULL));
	handle(SIGUSR1, on_stack, SA_ONSTACK);
	raise(SIGUSR1);
	sigaltstack(NULL, &old);
	printf("after: flags %d size %zu\n", old.ss_flags, old.ss_size);
	s.ss_size = 100;
	say_call("too small", sigaltstack(&s, NULL));
	s.ss_flags = SS_DISABLE;
	say_call("off", sigaltstack(&s, NULL));
	handle(SIGUSR1, record, 0);
}

static void wait_for(int n)
{
	for (int i = 0; i < 400 && seen_count < n; i++)
		pause_ms(5);
}

static void case_timers(void)
{
	struct itimerval once = {{0, 0}, {0, 10000}}, cpu = {{0, 0}, {0, 5000}};
	struct itimerspec spec = {{0, 5000000}, {0, 5000000}}, none = {{0, 0}, {0, 0}};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 4};
	timer_t t;

	handle(SIGALRM, record, 0);
	handle(SIGVTALRM, record, 0);
	handle(SIGRTMIN + 4, record, 0);
	setitimer(ITIMER_REAL, &once, NULL);
	wait_for(1);
	say_seen("ITIMER_REAL");
	setitimer(ITIMER_VIRTUAL, &cpu, NULL);
	for (volatile long i = 0; i < 2000000000 && seen_count == 0; i++)
		;
	say_seen("ITIMER_VIRTUAL");
	event.sigev_value.sival_int = 5;
	say_call("timer_create", timer_create(CLOCK_MONOTONIC, &event, &t));
	say_call("timer_settime", timer_settime(t, 0, &spec, NULL));
	wait_for(3);
	say_call("timer_settime", timer_settime(t, 0, &none, NULL));
	printf("at least three: %d, code %d, value %d\n", seen_count >= 3, seen[0].code == SI_TIMER,
		seen[0].value);
	say_call("timer_delete", timer_delete(t));
	signal(SIGALRM, SIG_DFL);
	forget();
	alarm(CASE_SECONDS);
}

static int leaves(void *arg)
{
	return (int)(long)arg;
}

static int waits(void *arg)
{
	while (arg == NULL)
		pause();
	return 0;
}

static int kills_itself(void *arg)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	signal((int)(long)arg, SIG_DFL);
	raise((int)(long)arg);
	return 1;
}

static void say_info(const char *what, int r, const siginfo_t *info, pid_t p)
{
	if (r != 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else if (info->si_pid == 0)
		printf("%s: nothing\n", what);
	else
		printf("%s: it %d, %s, code %d, status %d\n", what, info->si_pid == p,
			sigabbrev_np(info->si_signo), info->si_code, info->si_status);
}

static void case_wait(void)
{
	siginfo_t info;
	struct rusage usage;
	int status = 0;
	pid_t p;

	say_call("no child", waitpid(-1, &status, 0));
	p = child(waits, NULL);
	say_call("WNOHANG", waitpid(p, &status, WNOHANG));
	memset(&info, 0, sizeof info);
	say_info("waitid WNOHANG", waitid(P_PID, (id_t)p, &info, WEXITED | WNOHANG), &info, p);
	kill(p, SIGSTOP);
	say_info("stopped", waitid(P_PID, (id_t)p, &info, WSTOPPED), &info, p);
	kill(p, SIGCONT);
	say_info("continued", waitid(P_PID, (id_t)p, &info, WCONTINUED), &info, p);
	kill(p, SIGSTOP);
	check(waitpid(p, &status, WUNTRACED) == p, "WUNTRACED");
	printf("stopped %d by %d\n", WIFSTOPPED(status), WSTOPSIG(status));
	kill(p, SIGCONT);
	check(waitpid(p, &status, WCONTINUED) == p, "WCONTINUED");
	printf("continued %d\n", WIFCONTINUED(status));
	kill(p, SIGKILL);
	say_info("WNOWAIT", waitid(P_PID, (id_t)p, &info, WEXITED | WNOWAIT), &info, p);
	reap("again", p);
	say_call("gone", waitpid(p, &status, 0));
	p = child(leaves, (void *)300);
	say_info("exit 300", waitid(P_ALL, 0, &info, WEXITED), &info, p);
	p = child(kills_itself, (void *)SIGTERM);
	say_info("SIGTERM", waitid(P_PID, (id_t)p, &info, WEXITED), &info, p);
	p = child(kills_itself, (void *)SIGABRT);
	check(wait4(p, &status, 0, &usage) == p, "wait4");
	printf("abort: %s, faults counted %d\n", sigabbrev_np(WTERMSIG(status)),
		usage.ru_minflt > 0);
	say_call("bad options", waitid(P_PID, (id_t)p, &info, 0));
	say_call("bad wait", waitpid(-1, &status, 0x1000));
}

static void case_groups(void)
{
	int status = 0, n = 0;
	pid_t first = child(waits, NULL), second;

	setpgid(first, first);
	second = child(waits, NULL);
	setpgid(second, first);
	printf("group of both: %d %d\n", getpgid(first) == first, getpgid(second) == first);
	say_call("other group", waitpid(-getpgrp(), &status, WNOHANG));
	say_call("kill", kill(-first, SIGTERM));
	while (waitpid(-first, &status, 0) > 0)
		n += WTERMSIG(status) == SIGTERM;
	printf("both ended: %d\n", n);
	say_call("kill nobody", kill(-first, 0));
	say_call("bad signal", kill(getpid(), 65));
}

static volatile sig_atomic_t children;

static void on_child(int number, siginfo_t *info, void *context)
{
	children += info->si_code == CLD_EXITED ? info->si_status : 1000;
}

static void case_sigchld(void)
{
	int status = 0;
	pid_t p;

	handle(SIGCHLD, on_child, 0);
	for (long i = 1; i <= 3; i++) {
		p = child(leaves, (void *)i);
		reap("child", p);
	}
	printf("told %d\n", (int)children);
	children = 0;
	handle(SIGCHLD, on_child, SA_NOCLDSTOP);
	p = child(waits, NULL);
	kill(p, SIGSTOP);
	check(waitpid(p, &status, WUNTRACED) == p, "wait");
	printf("of a stop: %d\n", (int)children);
	kill(p, SIGKILL);
	reap("killed", p);
	printf("told %d\n", (int)children);
	signal(SIGCHLD, SIG_IGN);
	p = child(leaves, (void *)7);
	say_call("ignored: wait", waitpid(p, &status, 0));
	signal(SIGCHLD, SIG_DFL);
}

static int inherits(void *arg)
{
	sigset_t s;
	struct sigaction a;

	sigprocmask(SIG_BLOCK, NULL, &s);
	sigpending((sigset_t *)arg);
	printf("child: blocked %d pending %d", sigismember(&s, SIGUSR1), sigismember(arg, SIGUSR1));
	sigaction(SIGUSR2, NULL, &a);
	printf(" handler kept %d\n", a.sa_sigaction == record);
	return 0;
}

static void case_inherit(void)
{
	static char *const argv[] = {
		"sh", "-c", "grep -E 'SigBlk|SigIgn|SigCgt' /proc/self/status", NULL};
	sigset_t s;
	pid_t p;

	handle(SIGUSR1, record, 0);
	handle(SIGUSR2, record, 0);
	block(SIGUSR1, SIG_BLOCK);
	raise(SIGUSR1);
	reap("child", child(inherits, &s));
	signal(SIGHUP, SIG_IGN);
	fflush(stdout);
	p = fork();
	if (p == 0) {
		execv("/bin/sh", argv);
		_exit(127);
	}
	reap("exec", p);
	signal(SIGHUP, SIG_DFL);
	block(SIGUSR1, SIG_UNBLOCK);
	say_seen("at last");
}

static void *sleeps(void *arg)
{
	sigset_t s;

	sigemptyset(&s);
	pthread_sigmask(SIG_SETMASK, &s, NULL);
	*(volatile pid_t *)arg = (pid_t)syscall(SYS_gettid);
	while (seen_count == 0)
		pause_ms(2);
	return NULL;
}

/* A signal for a thread goes to it; one for the process to a thread that does not block it. */
static void case_threads(void)
{
	volatile pid_t tid = 0;
	pthread_t t;

	handle(SIGUSR1, record, 0);
	block(SIGUSR1, SIG_BLOCK);
	pthread_create(&t, NULL, sleeps, (void *)&tid);
	while (tid == 0)
		pause_ms(1);
	kill(getpid(), SIGUSR1);
	pthread_join(t, NULL);
	say_seen("process");
	tid = 0;
	pthread_create(&t, NULL, sleeps, (void *)&tid);
	while (tid == 0)
		pause_ms(1);
	say_call("tgkill", syscall(SYS_tgkill, getpid(), tid, SIGUSR1));
	pthread_join(t, NULL);
	say_seen("thread");
	say_call("tgkill of a gone thread", syscall(SYS_tgkill, getpid(), tid, 0));
	block(SIGUSR1, SIG_UNBLOCK);
}

static int dies_with_parent(void *arg);

static int middle(void *arg)
{
	child(dies_with_parent, arg);
	await((struct gate *)arg);
	return 0;
}

static int dies_with_parent(void *arg)
{
	struct gate *g = arg;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	let(g);
	close(g[1].fd[0]);
	pause();
	return 1;
}

/* PR_SET_PDEATHSIG: seen by the end of the pipe that only the dying one still has. */
static void case_deathsig(void)
{
	struct gate g[2] = {gate_open(), gate_open()};
	char c;
	pid_t p = child(middle, g);

	reap("middle", p);
	close(g[1].fd[1]);
	say_call("end of the pipe", read(g[1].fd[0], &c, 1));
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"queue", case_queue},
		{"timedwait", case_timedwait}, {"restart", case_restart},
		{"altstack", case_altstack}, {"timers", case_timers}, {"wait", case_wait},
		{"groups", case_groups}, {"sigchld", case_sigchld}, {"inherit", case_inherit},
		{"threads", case_threads}, {"deathsig", case_deathsig}, {NULL, NULL}};

	return run_cases(cases, argc, argv);
}
