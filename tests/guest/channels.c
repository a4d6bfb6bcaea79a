/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/channels.c: descriptors among processes: sockets and SCM_RIGHTS, epoll and what it waits for, pipes and the calls
 * that move their pages, and what is inherited. Guards R16, R20.
 */
#include "cases.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

static ssize_t send_fd(int over, int fd, const char *text)
{
	char room[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec v = {(void *)text, strlen(text)};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	return sendmsg(over, &m, 0);
}

static int receive_fd(int over, char *text, size_t cap, int flags)
{
	char room[CMSG_SPACE(sizeof(int))];
	struct iovec v = {text, cap};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	struct cmsghdr *c;
	int fd = -1;

	say_call("receive", recvmsg(over, &m, flags));
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	return fd;
}

static int gets_fd(void *arg)
{
	int *pair = arg, fd;
	char text[32] = "";

	close(pair[0]);
	fd = receive_fd(pair[1], text, sizeof text - 1, MSG_CMSG_CLOEXEC);
	printf("child: \"%s\", descriptor %d, cloexec %d\n", text, fd >= 0,
		fcntl(fd, F_GETFD) == FD_CLOEXEC);
	say_call("child writes", write(fd, "from the child", 14));
	say_call("child seeks", lseek(fd, 3, SEEK_SET));
	return 0;
}

static void case_rights(void)
{
	int pair[2], fd = memfd_create("rights", 0);
	char text[32] = "";
	ssize_t sent;
	pid_t p;

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	p = child(gets_fd, pair);
	sent = send_fd(pair[0], fd, "take this");
	reap("child", p);
	say_call("sent", sent);
	printf("position %ld\n", (long)lseek(fd, 0, SEEK_CUR));
	say_call("read", pread(fd, text, sizeof text - 1, 0));
	printf("\"%s\"\n", text);
	close(pair[1]);
	say_call("nobody there", send(pair[0], "x", 1, MSG_NOSIGNAL));
	close(pair[0]);
	close(fd);
}

static int client(void *arg)
{
	struct sockaddr_in *to = arg;
	int s = socket(AF_INET, SOCK_STREAM, 0);
	char text[64] = "";

	say_call("connect", connect(s, (struct sockaddr *)to, sizeof *to));
	say_call("client sends", send(s, "hello", 5, 0));
	say_call("client receives", recv(s, text, sizeof text, MSG_WAITALL));
	printf("client has \"%s\"\n", text);
	return 0;
}

static void case_tcp(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	int s = socket(AF_INET, SOCK_STREAM, 0), c;
	char text[8] = "";
	long r[3];
	pid_t p;

	say_call("bind", bind(s, (struct sockaddr *)&a, sizeof a));
	say_call("listen", listen(s, 4));
	getsockname(s, (struct sockaddr *)&a, &n);
	p = child(client, &a);
	c = accept4(s, NULL, NULL, SOCK_CLOEXEC);
	check(c >= 0, "accept");
	r[0] = recv(c, text, 5, MSG_WAITALL);
	r[1] = send(c, text, 5, 0);
	r[2] = shutdown(c, SHUT_WR);
	reap("client", p); /* it speaks first */
	printf("server received %ld sent %ld shut down %ld\n", r[0], r[1], r[2]);
	say_call("end", recv(c, text, 5, 0));
	close(c);
	close(s);
}

static void case_unix(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int s = socket(AF_UNIX, SOCK_DGRAM, 0), c = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct ucred who;
	socklen_t n = sizeof who;
	int pair[2];
	char text[16] = "";

	unlink("socket");
	say_call("bind", bind(s, (struct sockaddr *)&a, sizeof a));
	say_call("send", sendto(c, "gram", 4, 0, (struct sockaddr *)&a, sizeof a));
	say_call("receive", recv(s, text, sizeof text, 0));
	say_call("bind again", bind(c, (struct sockaddr *)&a, sizeof a));
	check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0, "socketpair");
	say_call("two", write(pair[0], "ab", 2));
	say_call("three", write(pair[0], "cde", 3));
	say_call("first packet", read(pair[1], text, sizeof text));
	say_call("second packet, cut", read(pair[1], text, 2));
	say_call("nothing", recv(pair[1], text, 2, MSG_DONTWAIT));
	say_call("credentials", getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &who, &n));
	printf("of this process %d\n", who.pid == getpid());
	unlink("socket");
	close(s);
	close(c);
	close(pair[0]);
	close(pair[1]);
}

static void say_events(const char *what, int e, int timeout)
{
	struct epoll_event v[8];
	int n = epoll_wait(e, v, 8, timeout);
	unsigned sum = 0, bits = 0;

	for (int i = 0; i < n; i++) {
		sum += v[i].data.u32;
		bits |= v[i].events;
	}
	printf("%s: %d, whose %u, events %x\n", what, n, sum, bits);
	fflush(stdout);
}

static void watch(int e, int fd, uint32_t events, uint32_t name)
{
	struct epoll_event v = {.events = events, .data.u32 = name};

	say_call("add", epoll_ctl(e, EPOLL_CTL_ADD, fd, &v));
}

static int wakes(void *arg)
{
	uint64_t n = 5;

	pause_ms(30);
	return write((int)(long)arg, &n, 8) != 8;
}

static void case_epoll(void)
{
	int e = epoll_create1(EPOLL_CLOEXEC), event = eventfd(2, EFD_NONBLOCK), fd[2];
	struct epoll_event v = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = 100};
	uint64_t n;
	pid_t p;

	check(pipe(fd) == 0, "pipe");
	watch(e, event, EPOLLIN, 1);
	watch(e, fd[0], EPOLLIN | EPOLLET, 10);
	watch(e, event, EPOLLIN, 1);
	say_events("counter is 2", e, 0);
	say_call("read", read(event, &n, 8));
	printf("counter %lu\n", n);
	say_events("nothing", e, 10);
	say_call("write", write(fd[1], "ab", 2));
	say_events("edge", e, 0);
	say_events("edge again", e, 0);
	p = child(wakes, (void *)(long)event);
	say_events("another process writes", e, 100000);
	reap("writer", p);
	say_call("read", read(event, &n, 8));
	say_call("read of nothing", read(event, &n, 8));
	say_call("modify", epoll_ctl(e, EPOLL_CTL_MOD, fd[0], &v));
	say_events("once", e, 0);
	say_events("once only", e, 0);
	say_call("delete", epoll_ctl(e, EPOLL_CTL_DEL, event, NULL));
	say_call("delete again", epoll_ctl(e, EPOLL_CTL_DEL, event, NULL));
	close(fd[1]);
	v.events = EPOLLIN;
	epoll_ctl(e, EPOLL_CTL_MOD, fd[0], &v);
	say_events("closed", e, 0);
	close(fd[0]);
	close(event);
	close(e);
}

static void case_eventfd(void)
{
	int e = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
	uint64_t n = 0;

	for (int i = 0; i < 4; i++) {
		say_call("semaphore", read(e, &n, 8));
		printf("%lu\n", n);
	}
	n = ~0ul;
	say_call("too much", write(e, &n, 8));
	say_call("too short", write(e, &n, 4));
	close(e);
}

static int signals_parent(void *arg)
{
	pause_ms(20);
	return kill(getppid(), SIGUSR1);
}

static void case_signalfd(void)
{
	struct signalfd_siginfo info;
	union sigval v = {.sival_int = 31};
	sigset_t s;
	int fd;
	pid_t p;

	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	sigaddset(&s, SIGCHLD);
	sigprocmask(SIG_BLOCK, &s, NULL);
	fd = signalfd(-1, &s, SFD_CLOEXEC);
	check(fd >= 0, "signalfd");
	p = child(signals_parent, NULL);
	say_call("read", read(fd, &info, sizeof info));
	printf("%s from the child %d\n", sigabbrev_np((int)info.ssi_signo),
		info.ssi_pid == (uint32_t)p);
	say_call("read", read(fd, &info, sizeof info));
	printf("%s code %d status %d\n", sigabbrev_np((int)info.ssi_signo), info.ssi_code,
		info.ssi_status);
	reap("child", p);
	sigqueue(getpid(), SIGUSR1, v);
	say_call("read", read(fd, &info, sizeof info));
	printf("value %d\n", info.ssi_int);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	say_call("nothing", read(fd, &info, sizeof info));
	sigprocmask(SIG_UNBLOCK, &s, NULL);
	close(fd);
}

static void case_timerfd(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct itimerspec t = {{0, 2000000}, {0, 5000000}}, now;
	struct pollfd p = {fd, POLLIN, 0};
	uint64_t n = 0;

	say_call("settime", timerfd_settime(fd, 0, &t, NULL));
	say_call("poll", poll(&p, 1, 100000));
	say_call("read", read(fd, &n, 8));
	printf("at least one %d\n", n >= 1);
	say_call("gettime", timerfd_gettime(fd, &now));
	printf("every %ld ns\n", now.it_interval.tv_nsec);
	memset(&t, 0, sizeof t);
	timerfd_settime(fd, 0, &t, NULL);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	(void)!read(fd, &n, 8);
	say_call("off", read(fd, &n, 8));
	close(fd);
}

static int makes_files(void *arg)
{
	int fd = open("watched/one", O_CREAT | O_WRONLY, 0600);

	check(write(fd, "x", 1) == 1, "write");
	close(fd);
	rename("watched/one", "watched/two");
	unlink("watched/two");
	return 0;
}

static void case_inotify(void)
{
	char room[4096] __attribute__((aligned(8)));
	int i = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	ssize_t n;

	mkdir("watched", 0700);
	say_call("watch",
		inotify_add_watch(i, "watched", IN_CREATE | IN_MODIFY | IN_MOVE | IN_DELETE));
	reap("child", child(makes_files, NULL));
	n = read(i, room, sizeof room);
	for (ssize_t at = 0; at < n;) {
		struct inotify_event *v = (struct inotify_event *)(room + at);

		printf("event %x %s\n", v->mask, v->len ? v->name : "");
		at += (ssize_t)(sizeof *v + v->len);
	}
	say_call("no more", read(i, room, sizeof room));
	rmdir("watched");
	close(i);
}

/* splice, tee, vmsplice and sendfile: bytes and counts. */
static void case_splice(void)
{
	int a[2], b[2], file = memfd_create("splice", 0), out = memfd_create("out", 0);
	uint8_t *page = map_anon(4 * PAGE, PROT_READ | PROT_WRITE), back[4 * PAGE];
	struct iovec v = {page + 100, 2 * PAGE};
	uint64_t seed = 1;
	loff_t at = 50;
	off_t from = 10;

	check(pipe(a) == 0 && pipe(b) == 0, "pipe");
	for (size_t i = 0; i < 4 * PAGE; i++)
		page[i] = (uint8_t)mix(&seed);
	say_call("write", write(file, page, 4 * PAGE));
	say_call("splice in", splice(file, &at, a[1], NULL, 5000, 0));
	printf("offset %ld\n", (long)at);
	say_call("tee", tee(a[0], b[1], 3000, 0));
	say_call("splice out", splice(a[0], NULL, out, NULL, 5000, SPLICE_F_MOVE));
	say_call("read the copy", read(b[0], back, sizeof back));
	printf("copy %016lx\n", sum_of(back, 3000));
	say_call("vmsplice", vmsplice(a[1], &v, 1, 0));
	memset(back, 0, sizeof back);
	say_call("read it", read(a[0], back, sizeof back));
	printf("spliced %016lx\n", sum_of(back, 2 * PAGE));
	say_call("sendfile", sendfile(out, file, &from, 6000));
	printf("offset %ld, position %ld\n", (long)from, (long)lseek(out, 0, SEEK_CUR));
	say_call("read all", pread(out, back, sizeof back, 0));
	printf("all %016lx\n", sum_of(back, 11000));
	say_call("copy_file_range", copy_file_range(file, &at, out, NULL, 1000, 0));
	printf("offset %ld\n", (long)at);
	say_call("no pipe", splice(file, NULL, out, NULL, 10, 0));
	fcntl(a[0], F_SETFL, O_NONBLOCK);
	say_call("empty", splice(a[0], NULL, out, NULL, 10, SPLICE_F_NONBLOCK));
	printf("pipe of %d bytes\n", fcntl(a[1], F_GETPIPE_SZ));
	say_call("larger", fcntl(a[1], F_SETPIPE_SZ, 1 << 17));
}

static int writes_much(void *arg)
{
	int *fd = arg;
	uint8_t block[3000];
	uint64_t seed = 5;
	size_t sum = 0;

	close(fd[0]);
	for (int i = 0; i < 100; i++) {
		for (size_t k = 0; k < sizeof block; k++)
			block[k] = (uint8_t)mix(&seed);
		for (size_t done = 0; done < sizeof block;) {
			ssize_t r = write(fd[1], block + done, sizeof block - done);

			check(r > 0, "write");
			done += (size_t)r;
		}
		sum += sizeof block;
	}
	printf("wrote %zu\n", sum);
	return 0;
}

static void case_pipe(void)
{
	static uint8_t all[400000];
	size_t sum = 0;
	ssize_t r;
	int fd[2];
	pid_t p;

	check(pipe(fd) == 0, "pipe");
	p = child(writes_much, fd);
	close(fd[1]);
	while ((r = read(fd[0], all + sum, sizeof all - sum)) > 0)
		sum += (size_t)r;
	reap("writer", p);
	printf("read %zu %016lx\n", sum, sum_of(all, sum));
	close(fd[0]);
	signal(SIGPIPE, SIG_IGN);
	check(pipe(fd) == 0, "pipe");
	close(fd[0]);
	say_call("nobody reads", write(fd[1], "x", 1));
	signal(SIGPIPE, SIG_DFL);
}

static void case_select(void)
{
	struct timeval t = {0, 10000};
	struct timespec s = {0, 10000000};
	struct pollfd p[2];
	int fd[2];
	fd_set in;

	check(pipe(fd) == 0, "pipe");
	FD_ZERO(&in);
	FD_SET(fd[0], &in);
	say_call("nothing", select(fd[0] + 1, &in, NULL, NULL, &t));
	printf("set %d\n", FD_ISSET(fd[0], &in) != 0);
	(void)!write(fd[1], "x", 1);
	FD_SET(fd[0], &in);
	say_call("something", pselect(fd[0] + 1, &in, NULL, NULL, &s, NULL));
	p[0] = (struct pollfd){fd[0], POLLIN, 0};
	p[1] = (struct pollfd){fd[1], POLLOUT, 0};
	say_call("both", ppoll(p, 2, &s, NULL));
	printf("%x %x\n", p[0].revents, p[1].revents);
	close(fd[1]);
	say_call("hung up", poll(p, 1, 0));
	printf("%x\n", p[0].revents);
	p[0].fd = 900;
	say_call("not open", poll(p, 1, 0));
	printf("%x\n", p[0].revents);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"rights", case_rights}, {"tcp", case_tcp},
		{"unix", case_unix}, {"epoll", case_epoll}, {"eventfd", case_eventfd},
		{"signalfd", case_signalfd}, {"timerfd", case_timerfd}, {"inotify", case_inotify},
		{"splice", case_splice}, {"pipe", case_pipe}, {"select", case_select},
		{NULL, NULL}};

	return run_cases(cases, argc, argv);
}
