/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/pidfds.c: descriptors of processes: made, polled, waited for, signalled through, passed on, looked through. Guards R16.
 */
#include "cases.h"

#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define OF_THREAD O_EXCL

static int open_of(pid_t p, unsigned flags)
{
	return (int)syscall(SYS_pidfd_open, p, flags);
}

static long send_to(int fd, int signal, siginfo_t *info, unsigned flags)
{
	return syscall(SYS_pidfd_send_signal, fd, signal, info, flags);
}

/* What poll says now, of POLLIN alone. */
static void say_ready(const char *what, int fd, int ms)
{
	struct pollfd p = {fd, POLLIN, 0};
	int n = poll(&p, 1, ms);

	printf("%s: %d %s\n", what, n, n > 0 && (p.revents & POLLIN) ? "ended" : "runs");
	fflush(stdout);
}

/* The last lines of fdinfo, with a word for the number. */
static void say_info(int fd, pid_t p)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	check(f != NULL, path);
	while (fgets(line, sizeof line, f) != NULL) {
		int n;

		if (sscanf(line, "Pid: %d", &n) == 1)
			printf("Pid: %s\n", n == p ? "the child" : n == -1 ? "nobody" : "another");
		else if (sscanf(line, "NSpid: %d", &n) == 1)
			printf("NSpid: %s\n", n == p    ? "the child"
					      : n == -1 ? "nobody"
							: "another");
	}
	fclose(f);
	fflush(stdout);
}

static int waits_at(void *arg)
{
	await(arg);
	return 7;
}

static void case_open(void)
{
	struct gate g = gate_open();
	pid_t p = child(waits_at, &g);
	int fd = open_of(p, 0), again = open_of(p, O_NONBLOCK), copy = dup(fd);
	siginfo_t info = {0};
	char c;

	printf("open %d, cloexec %d, nonblock %d %d\n", fd >= 0, fcntl(fd, F_GETFD),
		(fcntl(fd, F_GETFL) & O_NONBLOCK) != 0, (fcntl(again, F_GETFL) & O_NONBLOCK) != 0);
	say_ready("child", fd, 0);
	say_call("read", read(fd, &c, 1));
	say_info(fd, p);
	say_call("nonblocking wait", waitid(P_PIDFD, (id_t)again, &info, WEXITED));
	say_call("looks", waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG));
	printf("none %d\n", info.si_pid);
	say_call("signal 0", send_to(fd, 0, NULL, 0));
	let(&g);
	say_ready("child", fd, 100000);
	say_ready("again", again, 0);
	say_ready("copy", copy, 0);
	say_call("signal to a zombie", send_to(fd, SIGTERM, NULL, 0));
	say_call("opened late", open_of(p, 0) >= 0 ? 0 : -1);
	say_info(fd, p);
	say_call("wait, look only", waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOWAIT));
	say_call("wait", waitid(P_PIDFD, (id_t)again, &info, WEXITED));
	printf("child %d code %d status %d\n", info.si_pid == p, info.si_code, info.si_status);
	say_call("wait again", waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
	say_ready("still", fd, 0);
	say_info(fd, p);
	say_call("signal to nobody", send_to(fd, SIGTERM, NULL, 0));
	say_call("open nobody", open_of(p, 0));
	say_call("open 0", open_of(0, 0));
	say_call("open -1", open_of(-1, 0));
	say_call("open with flags", open_of(getpid(), 1));
	say_call("no pidfd", send_to(1, 0, NULL, 0));
	say_call("not open", send_to(900, 0, NULL, 0));
	say_call("wait for no pidfd", waitid(P_PIDFD, 1, &info, WEXITED));
	say_call("wait for not open", waitid(P_PIDFD, 900, &info, WEXITED));
	close(fd);
	close(again);
	close(copy);
}

static volatile sig_atomic_t got, got_value, got_code;
static volatile pid_t got_from;

static void on_signal(int n, siginfo_t *info, void *context)
{
	got_value = info->si_value.sival_int;
	got_code = info->si_code;
	got_from = info->si_pid;
	got = n;
}

static int takes_signals(void *arg)
{
	struct gate *g = arg;
	pid_t parent = getppid();
	static const int wanted[] = {SIGUSR1, SIGUSR2};

	let(&g[0]);
	for (int i = 0; i < 2; i++) {
		for (int k = 0; k < 100000 && got != wanted[i]; k++)
			pause_ms(1);
		await(&g[1]);
		printf("got %s code %d value %d from the parent %d\n",
			got ? sigabbrev_np(got) : "none", got_code, i == 1 ? got_value : 0,
			got_from == parent);
		fflush(stdout);
		let(&g[0]);
	}
	await(&g[1]);
	return 0;
}

static void case_signal(void)
{
	struct sigaction a = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	struct gate g[2] = {gate_open(), gate_open()};
	siginfo_t info = {.si_signo = SIGUSR2, .si_code = SI_QUEUE};
	int fd, self = open_of(getpid(), 0);
	pid_t p;

	sigaction(SIGUSR1, &a, NULL);
	sigaction(SIGUSR2, &a, NULL);
	p = child(takes_signals, g);
	fd = open_of(p, 0);
	await(&g[0]);
	say_call("plain", send_to(fd, SIGUSR1, NULL, 0));
	let(&g[1]); /* now it may speak */
	await(&g[0]);
	info.si_pid = getpid();
	info.si_value.sival_int = 42;
	say_call("with a value", send_to(fd, SIGUSR2, &info, 0));
	let(&g[1]);
	await(&g[0]);
	say_call("another number", send_to(fd, SIGUSR1, &info, 0));
	info.si_code = SI_USER;
	say_call("as if by kill", send_to(fd, SIGUSR2, &info, 0));
	say_call("no such signal", send_to(fd, 65, NULL, 0));
	say_call("bad flags", send_to(fd, 0, NULL, 8));
	say_call("two kinds", send_to(fd, 0, NULL, 3));
	if (linux_since(6, 9))
		say_call("to the process", send_to(fd, 0, NULL, 2));
	say_call("bad address", send_to(fd, SIGUSR1, (void *)16, 0));
	say_call("to oneself", send_to(self, SIGUSR1, NULL, 0));
	printf("got %s\n", got ? sigabbrev_np(got) : "none");
	say_call("kill", send_to(fd, SIGKILL, NULL, 0));
	say_ready("killed", fd, 100000);
	reap("child", p);
	close(fd);
	close(self);
}

/* --- clone ------------------------------------------------------------------------------------------------------- */

static long clone_three(struct clone_args *c)
{
	return syscall(SYS_clone3, c, sizeof *c);
}

static void case_clone(void)
{
	int fd = -1;
	struct clone_args c = {
		.flags = CLONE_PIDFD, .pidfd = (uintptr_t)&fd, .exit_signal = SIGCHLD};
	struct gate g = gate_open();
	siginfo_t info = {0};
	long p;

	fflush(stdout);
	p = clone_three(&c);
	if (p == 0) {
		/* the parent's descriptor is not the child's */
		int there = fd >= 0 && fcntl(fd, F_GETFD) >= 0;

		await(&g);
		_exit(there ? 1 : 5);
	}
	check(p > 0, "clone3");
	printf("descriptor %d, cloexec %d\n", fd >= 0, fcntl(fd, F_GETFD));
	say_info(fd, (pid_t)p);
	say_ready("child", fd, 0);
	let(&g);
	say_ready("child", fd, 100000);
	say_call("wait", waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
	printf("status %d\n", info.si_status);
	close(fd);
	fd = -1;
	fflush(stdout);
	p = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0);
	if (p == 0)
		_exit(6);
	say_call("wait", waitid(P_PIDFD, (id_t)fd, &info, WEXITED));
	printf("status %d\n", info.si_status);
	close(fd);
	say_call("both words",
		syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &fd, 0, 0));
	c.pidfd = 16;
	p = clone_three(&c);
	if (p == 0)
		_exit(0);
	say_call("bad address", p);
	say_call("no child", waitpid(-1, NULL, 0));
}

/* --- waiting by other means -------------------------------------------------------------------------------------- */

static void case_epoll(void)
{
	struct gate g[3] = {gate_open(), gate_open(), gate_open()};
	int e = epoll_create1(0), fd[3];
	pid_t p[3];

	for (int i = 0; i < 3; i++) {
		struct epoll_event v = {.events = EPOLLIN, .data.u32 = (uint32_t)i};

		p[i] = child(waits_at, &g[i]);
		fd[i] = open_of(p[i], 0);
		say_call("add", epoll_ctl(e, EPOLL_CTL_ADD, fd[i], &v));
	}
	for (int i = 2; i >= 0; i--) {
		struct epoll_event v = {0};

		say_call("nobody yet", epoll_wait(e, &v, 1, 0));
		let(&g[i]);
		say_call("one", epoll_wait(e, &v, 1, 100000));
		printf("which %u\n", v.data.u32);
		reap("child", p[i]);
		close(fd[i]);
	}
	close(e);
}

static int receives(void *arg)
{
	int *pair = arg, fd = -1;
	char room[CMSG_SPACE(sizeof(int))], text[8];
	struct iovec v = {text, sizeof text};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};

	check(recvmsg(pair[1], &m, 0) == 1, "recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	say_call("signal 0", send_to(fd, 0, NULL, 0));
	say_call("end it", send_to(fd, SIGTERM, NULL, 0));
	say_ready("it", fd, 100000);
	return 0;
}

/* Passed to a third process, which is no relative of the one that is meant. */
static void case_passed(void)
{
	struct gate g = gate_open();
	pid_t p = child(waits_at, &g), q;
	int fd = open_of(p, 0), pair[2];
	char room[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec v = {"x", 1};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	q = child(receives, pair);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	check(sendmsg(pair[0], &m, 0) == 1, "sendmsg");
	reap("receiver", q);
	reap("child", p);
}

/* --- through it ------------------------------------------------------------------------------------------------- */

struct has {
	struct gate ready, done;
	int number;
	char *place;
};

static int has_file(void *arg)
{
	struct has *h = arg;
	int fd = memfd_create("theirs", 0);

	check(dup2(fd, h->number) == h->number, "dup2");
	check(write(h->number, "of the child", 12) == 12, "write");
	memset(h->place, 'c', 4 * PAGE);
	let(&h->ready);
	await(&h->done);
	printf("child at %ld, first byte %c\n", (long)lseek(h->number, 0, SEEK_CUR), h->place[0]);
	return 0;
}

static void case_through(void)
{
	struct has h = {gate_open(), gate_open(), 70, map_anon(4 * PAGE, PROT_READ | PROT_WRITE)};
	struct iovec v[2] = {{h.place, PAGE}, {h.place + 2 * PAGE, PAGE}};
	pid_t p = child(has_file, &h);
	int fd = open_of(p, 0), got_fd, self = open_of(getpid(), 0);
	char text[16] = "";

	await(&h.ready);
	got_fd = (int)syscall(SYS_pidfd_getfd, fd, 70, 0);
	printf("got %d, cloexec %d\n", got_fd >= 0, fcntl(got_fd, F_GETFD));
	say_call("read", pread(got_fd, text, 12, 0));
	printf("\"%s\"\n", text);
	say_call("seek", lseek(got_fd, 3, SEEK_SET)); /* one open file: the child sees it */
	say_call("not open there", syscall(SYS_pidfd_getfd, fd, 71, 0));
	say_call("flags", syscall(SYS_pidfd_getfd, fd, 70, 1));
	say_call("no pidfd", syscall(SYS_pidfd_getfd, 1, 70, 0));
	say_call("cold", syscall(SYS_process_madvise, fd, v, 2, MADV_COLD, 0));
	say_call("page out", syscall(SYS_process_madvise, fd, v, 2, MADV_PAGEOUT, 0));
	say_call("not for others", syscall(SYS_process_madvise, fd, v, 2, MADV_DONTNEED, 0));
	say_call("for oneself", syscall(SYS_process_madvise, self, v, 2, MADV_COLD, 0));
	say_call("flags", syscall(SYS_process_madvise, fd, v, 2, MADV_COLD, 1));
	say_call("no pidfd", syscall(SYS_process_madvise, 1, v, 2, MADV_COLD, 0));
	v[1].iov_base = (void *)16;
	say_call("half", syscall(SYS_process_madvise, fd, v, 2, MADV_COLD, 0));
	say_call("release who lives", syscall(SYS_process_mrelease, fd, 0));
	say_call("release with flags", syscall(SYS_process_mrelease, fd, 1));
	let(&h.done);
	reap("child", p);
	say_call("release who is gone", syscall(SYS_process_mrelease, fd, 0));
	say_call("advise who is gone", syscall(SYS_process_madvise, fd, v, 1, MADV_COLD, 0));
	say_call("look through who is gone", syscall(SYS_pidfd_getfd, fd, 70, 0));
}

/* --- threads ----------------------------------------------------------------------------------------------------- */

static pid_t thread_id;
static struct gate thread_goes;

static void *is_thread(void *arg)
{
	thread_id = gettid();
	let(arg);
	await(&thread_goes);
	return NULL;
}

static void case_thread(void)
{
	struct gate g = gate_open();
	pthread_t t;
	int fd;

	if (!linux_since(6, 9)) {
		printf("not on this kernel\n");
		return;
	}
	thread_goes = gate_open();
	check(pthread_create(&t, NULL, is_thread, &g) == 0, "pthread_create");
	await(&g);
	say_call("a thread as a process", open_of(thread_id, 0));
	fd = open_of(thread_id, OF_THREAD);
	printf("as a thread %d\n", fd >= 0);
	say_ready("thread", fd, 0);
	let(&thread_goes);
	say_ready("thread", fd, 100000);
	pthread_join(t, NULL);
	while (send_to(fd, 0, NULL, 0) == 0) /* who is told may be early */
		pause_ms(1);
	say_call("signal", send_to(fd, 0, NULL, 0));
}

/* --- sockets ------------------------------------------------------------------------------------------------------ */

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#define SO_PEERPIDFD 77
#endif
#define SENDERS_PIDFD 4

static int talks(void *arg)
{
	int *pair = arg;

	check(write(pair[0], "hello", 5) == 5, "write");
	close(pair[0]);
	return read(pair[2], (char[1]){0}, 1) != 1;
}

static void case_sockets(void)
{
	int pair[4], fd = -1, on = 1;
	char room[CMSG_SPACE(64)], text[8];
	struct iovec v = {text, sizeof text};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	socklen_t n = sizeof fd;
	pid_t p;

	if (!linux_since(6, 5)) {
		printf("not on this kernel\n");
		return;
	}
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(pair + 2) == 0, "socketpair");
	say_call("peer", getsockopt(pair[1], SOL_SOCKET, SO_PEERPIDFD, &fd, &n));
	say_info(fd, getpid());
	say_call("pass", setsockopt(pair[1], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on));
	p = child(talks, pair);
	check(recvmsg(pair[1], &m, 0) == 5, "recvmsg");
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
		printf("control %d\n", c->cmsg_type);
		if (c->cmsg_type == SENDERS_PIDFD) {
			memcpy(&fd, CMSG_DATA(c), sizeof fd);
			say_info(fd, p);
			say_ready("sender", fd, 0);
		}
	}
	check(write(pair[3], "x", 1) == 1, "write");
	say_ready("sender", fd, 100000);
	reap("sender", p);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"open", case_open}, {"signal", case_signal},
		{"clone", case_clone}, {"epoll", case_epoll}, {"passed", case_passed},
		{"through", case_through}, {"thread", case_thread}, {"sockets", case_sockets},
		{NULL, NULL}};

	return run_cases(cases, argc, argv);
}
