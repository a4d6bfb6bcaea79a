/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/peers.c: process ids that the kernel tells one process of another: the other end of a Unix socket, the sender of a message,
 * the holder of a lock, the owner of a descriptor. Guards R16.
 */
#include "cases.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Who is who: a number that differs from run to run becomes a name. */
static pid_t names[4];
static const char *const called[] = {"parent", "first", "second", "third"};

static const char *name_of(pid_t p)
{
	for (int i = 0; i < 4; i++)
		if (names[i] == p && p != 0)
			return called[i];
	return p == 0 ? "nobody" : p == getpid() ? "self" : "another";
}

static void say_peer(const char *what, int fd)
{
	struct ucred c = {-5, 0, 0};
	socklen_t n = sizeof c;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) != 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else
		printf("%s: %s, user %d %d\n", what, name_of(c.pid), (int)c.uid, (int)c.gid);
	fflush(stdout);
}

/* --- the other end ------------------------------------------------------------------------------------------- */

static int looks(void *arg)
{
	int *pair = arg;

	say_peer("in the child", pair[1]);
	return 0;
}

struct place {
	struct sockaddr_un name;
	socklen_t len;
	struct gate go, went;
	bool close_early;
};

static struct place in_files(const char *path)
{
	struct place p = {.name = {.sun_family = AF_UNIX}, .go = gate_open(), .went = gate_open()};

	strcpy(p.name.sun_path, path);
	p.len = sizeof p.name;
	return p;
}

/* A name that no other run has. */
static struct place abstract(void)
{
	struct place p = in_files("");
	uint64_t random;

	check(getrandom(&random, sizeof random, 0) == sizeof random, "getrandom");
	p.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			    (size_t)sprintf(p.name.sun_path + 1, "pagoda-%016lx", random) + 1);
	return p;
}

static int connects(void *arg)
{
	struct place *p = arg;
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	say_peer("before", s);
	check(connect(s, (struct sockaddr *)&p->name, p->len) == 0, "connect");
	say_peer("client", s);
	if (p->close_early)
		close(s);
	let(&p->went);
	await(&p->go);
	return 0;
}

static void serve(struct place *p, int clients)
{
	int s = socket(AF_UNIX, SOCK_STREAM, 0), c[3];

	check(bind(s, (struct sockaddr *)&p->name, p->len) == 0, "bind");
	say_peer("bound", s);
	check(listen(s, 5) == 0, "listen");
	say_peer("listening", s);
	for (int i = 0; i < clients; i++) {
		names[i + 1] = child(connects, p);
		await(&p->went);
	}
	for (int i = 0; i < clients; i++) {
		c[i] = accept(s, NULL, NULL);
		say_peer("accepted", c[i]);
	}
	for (int i = 0; i < clients; i++)
		let(&p->go);
	for (int i = 0; i < clients; i++)
		reap("client", names[i + 1]);
	for (int i = 0; i < clients; i++) {
		say_peer("after its end", c[i]);
		close(c[i]);
	}
	close(s);
}

static void case_cred(void)
{
	int pair[2], tcp = socket(AF_INET, SOCK_STREAM, 0);
	struct place file = in_files("peers-socket"), nowhere = abstract();

	names[0] = getpid();
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	say_peer("pair", pair[0]);
	reap("child", child(looks, pair));
	unlink("peers-socket");
	serve(&file, 3);
	unlink("peers-socket");
	serve(&nowhere, 2);
	nowhere = abstract();
	strcat(nowhere.name.sun_path + 1, "b");
	nowhere.len++;
	nowhere.close_early = true;
	serve(&nowhere, 2);
	say_peer("another family", tcp);
	say_peer("a datagram socket", socket(AF_UNIX, SOCK_DGRAM, 0));
}

static int serves_one(void *arg)
{
	struct place *p = arg;
	int s = socket(AF_UNIX, SOCK_SEQPACKET, 0), c;

	check(bind(s, (struct sockaddr *)&p->name, p->len) == 0, "bind");
	check(listen(s, 5) == 0, "listen");
	let(&p->went);
	c = accept(s, NULL, NULL);
	names[0] = getppid();
	say_peer("the server's", c);
	check(write(c, "x", 1) == 1, "write");
	return 0;
}

static void case_client(void)
{
	struct place p = in_files("peers-other");
	int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	char text[8];

	unlink("peers-other");
	names[1] = child(serves_one, &p);
	await(&p.went);
	check(connect(s, (struct sockaddr *)&p.name, p.len) == 0, "connect");
	check(read(s, text, 8) == 1, "read");
	say_peer("the client's", s);
	close(s);
	reap("server", names[1]);
	unlink("peers-other");
}

/* --- who sent it --------------------------------------------------------------------------------------------- */

static void take(int fd, size_t most, int flags)
{
	char room[CMSG_SPACE(sizeof(struct ucred))], text[64] = "";
	struct iovec v = {text, most};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	ssize_t n = recvmsg(fd, &m, flags);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	struct ucred who;

	if (n < 0) {
		printf("none: %s\n", strerrorname_np(errno));
		return;
	}
	printf("\"%s\"", text);
	if (n > 0 && c != NULL && c->cmsg_type == SCM_CREDENTIALS) {
		memcpy(&who, CMSG_DATA(c), sizeof who);
		printf(" from %s, user %d", name_of(who.pid), (int)who.uid);
	}
	printf("\n");
	fflush(stdout);
}

static long send_as(int fd, const char *text, pid_t pid, uid_t uid)
{
	char room[CMSG_SPACE(sizeof(struct ucred))] = {0};
	struct iovec v = {(char *)text, strlen(text)};
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	struct ucred who = {pid, uid, getgid()};

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof who);
	memcpy(CMSG_DATA(c), &who, sizeof who);
	return sendmsg(fd, &m, 0);
}

struct talk {
	int fd;
	const char *text;
	struct sockaddr_un to;
};

static int says(void *arg)
{
	struct talk *t = arg;

	return send(t->fd, t->text, strlen(t->text), 0) < 0;
}

static int says_to(void *arg)
{
	struct talk *t = arg;
	int s = socket(AF_UNIX, SOCK_DGRAM, 0);

	return sendto(s, t->text, strlen(t->text), 0, (struct sockaddr *)&t->to, sizeof t->to) < 0;
}

static int writes_it(void *arg)
{
	struct talk *t = arg;

	return write(t->fd, t->text, strlen(t->text)) < 0;
}

static int lies(void *arg)
{
	struct talk *t = arg;

	if (setgid(65534) != 0 || setuid(65534) != 0)
		return 1;
	say_call("as oneself", send_as(t->fd, "honest", getpid(), getuid()));
	say_call("as the parent", send_as(t->fd, "lie", getppid(), getuid()));
	say_call("as root", send_as(t->fd, "lie", getpid(), 0));
	return 0;
}

static void case_passed(void)
{
	int pair[2], grams[2], on = 1, s = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct talk t = {.text = "one", .to = {AF_UNIX, "peers-grams"}};

	names[0] = getpid();
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	check(socketpair(AF_UNIX, SOCK_DGRAM, 0, grams) == 0, "socketpair");
	setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
	setsockopt(grams[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
	t.fd = pair[0];
	reap("one", names[1] = child(says, &t));
	t.text = "two";
	reap("two", names[2] = child(writes_it, &t));
	check(write(pair[0], "parent", 6) == 6, "write");
	t.text = "three";
	reap("three", names[3] = child(says, &t));
	take(pair[1], 2, 0);
	take(pair[1], 60, MSG_PEEK);
	take(pair[1], 60, 0);
	take(pair[1], 60, 0);
	take(pair[1], 60, 0);
	take(pair[1], 60, 0);
	take(pair[1], 60, MSG_DONTWAIT);
	t.fd = grams[0];
	reap("gram", names[1] = child(says, &t));
	check(write(grams[0], "parent", 6) == 6, "write");
	reap("gram", names[2] = child(writes_it, &t));
	take(grams[1], 60, MSG_PEEK);
	take(grams[1], 60, 0);
	check(read(grams[1], (char[8]){0}, 8) == 6, "read");
	take(grams[1], 60, 0);
	take(grams[1], 60, MSG_DONTWAIT);
	/* to a name */
	unlink("peers-grams");
	check(bind(s, (struct sockaddr *)&t.to, sizeof t.to) == 0, "bind");
	setsockopt(s, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
	t.text = "to a name";
	reap("named", names[1] = child(says_to, &t));
	t.text = "and another";
	reap("named", names[2] = child(says_to, &t));
	take(s, 60, 0);
	take(s, 60, 0);
	unlink("peers-grams");
	/* told by the sender */
	say_call("as itself", send_as(pair[0], "itself", getpid(), getuid()));
	take(pair[1], 60, 0);
	say_call("as another", send_as(pair[0], "another", getppid(), getuid()));
	take(pair[1], 60, 0);
	say_call("as nobody there", send_as(pair[0], "none", 1 << 21, getuid()));
	t.fd = pair[0];
	reap("liar", names[1] = child(lies, &t));
	take(pair[1], 60, 0);
	/* not asked for */
	on = 0;
	setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
	say_call("plain", write(pair[0], "plain", 5));
	take(pair[1], 60, 0);
}

static int sends_first(void *arg)
{
	struct place *p = arg;
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	check(connect(s, (struct sockaddr *)&p->name, p->len) == 0, "connect");
	check(write(s, "early", 5) == 5, "write");
	let(&p->went);
	await(&p->go);
	return 0;
}

/* What was sent before it was accepted. */
static void case_early(void)
{
	struct place p = abstract();
	int s = socket(AF_UNIX, SOCK_STREAM, 0), c, on = 1;

	names[0] = getpid();
	setsockopt(s, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
	check(bind(s, (struct sockaddr *)&p.name, p.len) == 0, "bind");
	check(listen(s, 5) == 0, "listen");
	names[1] = child(sends_first, &p);
	await(&p.went);
	c = accept(s, NULL, NULL);
	setsockopt(c, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
	take(c, 60, 0);
	let(&p.go);
	reap("client", names[1]);
}

/* --- locks --------------------------------------------------------------------------------------------------- */

struct locks {
	struct gate held, let_go;
	const char *file;
};

static int holds(void *arg)
{
	struct locks *l = arg;
	int fd = open(l->file, O_RDWR);
	struct flock a = {.l_type = F_WRLCK, .l_start = 10, .l_len = 10};
	struct flock b = {.l_type = F_RDLCK, .l_start = 40, .l_len = 50};

	check(fcntl(fd, F_SETLK, &a) == 0 && fcntl(fd, F_SETLK, &b) == 0, "F_SETLK");
	let(&l->held);
	await(&l->let_go);
	return 0;
}

static int holds_for_file(void *arg)
{
	struct locks *l = arg;
	int fd = open(l->file, O_RDWR);
	struct flock a = {.l_type = F_WRLCK, .l_start = 100, .l_len = 10};

	check(fcntl(fd, F_OFD_SETLK, &a) == 0 && flock(fd, LOCK_EX) == 0, "F_OFD_SETLK");
	let(&l->held);
	await(&l->let_go);
	return 0;
}

static void ask(int fd, int command, short type, long start, long n)
{
	struct flock k = {.l_type = type, .l_start = start, .l_len = n};

	if (fcntl(fd, command, &k) != 0)
		printf("ask: %s\n", strerrorname_np(errno));
	else if (k.l_type == F_UNLCK)
		printf("free\n");
	else
		printf("%s from %ld, %ld, by %s\n", k.l_type == F_WRLCK ? "write" : "read",
			(long)k.l_start, (long)k.l_len,
			k.l_pid == -1 ? "a file" : name_of(k.l_pid));
}

/* The lines about the file, who instead of the number, sorted: the kernel lists them by processor. */
static void say_list(const char *path, const char *file)
{
	char line[256], all[16][256];
	struct stat st;
	FILE *f = fopen(path, "r");
	int n = 0;

	check(f != NULL && stat(file, &st) == 0, path);
	while (fgets(line, sizeof line, f) != NULL && n < 16) {
		char type[16], mode[16], rw[16], start[24], end[24];
		const char *at = strchr(line, ':');
		unsigned long ino;
		int pid;

		if (at != NULL && strncmp(line, "lock:", 5) == 0)
			at = strchr(at + 1, ':');
		if (at == NULL ||
			sscanf(at + 1, "%15s %15s %15s %d %*x:%*x:%lu %23s %23s", type, mode, rw,
				&pid, &ino, start, end) != 7 ||
			ino != st.st_ino)
			continue;
		snprintf(all[n++], sizeof all[0], "%s %s %s %s %s %s", type, mode, rw,
			pid == -1 ? "a file" : name_of(pid), start, end);
	}
	fclose(f);
	qsort(all, (size_t)n, sizeof all[0], (int (*)(const void *, const void *))strcmp);
	for (int i = 0; i < n; i++)
		printf("  %s\n", all[i]);
	fflush(stdout);
}

static int waits_for_lock(void *arg)
{
	int *fd = arg;
	struct flock a = {.l_type = F_WRLCK, .l_start = 300, .l_len = 1};
	struct flock b = {.l_type = F_WRLCK, .l_start = 301, .l_len = 1};

	check(fcntl(fd[0], F_SETLK, &b) == 0, "F_SETLK");
	check(write(fd[1], "x", 1) == 1, "write");
	return fcntl(fd[0], F_SETLKW, &a) != 0;
}

static void case_locks(void)
{
	struct locks l = {gate_open(), gate_open(), "peers-locks"};
	int fd = open(l.file, O_RDWR | O_CREAT | O_TRUNC, 0600), two[2];
	struct flock k = {.l_type = F_WRLCK, .l_start = 300, .l_len = 1};
	struct gate g = gate_open();

	names[0] = getpid();
	names[1] = child(holds, &l);
	await(&l.held);
	names[2] = child(holds_for_file, &l);
	await(&l.held);
	ask(fd, F_GETLK, F_WRLCK, 0, 0);
	ask(fd, F_GETLK, F_RDLCK, 15, 1);
	ask(fd, F_GETLK, F_RDLCK, 30, 40);
	ask(fd, F_GETLK, F_WRLCK, 50, 10);
	ask(fd, F_GETLK, F_WRLCK, 105, 1);
	ask(fd, F_OFD_GETLK, F_WRLCK, 12, 1);
	ask(fd, F_OFD_GETLK, F_WRLCK, 105, 1);
	ask(fd, F_GETLK, F_WRLCK, 0, 10);
	printf("/proc/locks\n");
	say_list("/proc/locks", l.file);
	let(&l.let_go);
	let(&l.let_go);
	reap("holder", names[1]);
	reap("holder", names[2]);
	ask(fd, F_GETLK, F_WRLCK, 0, 0);
	/* one that is waited for */
	check(fcntl(fd, F_SETLK, &k) == 0, "F_SETLK");
	printf("own, in fdinfo\n");
	{
		char path[64];

		snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
		say_list(path, l.file);
	}
	two[0] = fd;
	two[1] = g.fd[1];
	names[3] = child(waits_for_lock, two);
	await(&g);
	ask(fd, F_GETLK, F_WRLCK, 301, 1);
	until_asleep(names[3]);
	k.l_start = 301;
	say_call("each waits for the other", fcntl(fd, F_SETLKW, &k));
	k.l_start = 300;
	k.l_type = F_UNLCK;
	say_call("let go", fcntl(fd, F_SETLK, &k));
	reap("waiter", names[3]);
	unlink(l.file);
}

/* --- owners -------------------------------------------------------------------------------------------------- */

static void say_owner(int fd)
{
	struct f_owner_ex o = {-1, -1};

	say_call("ask", fcntl(fd, F_GETOWN_EX, &o));
	printf("%s %s, signal %d\n",
		o.type == F_OWNER_TID   ? "thread"
		: o.type == F_OWNER_PID ? "process"
					: "group",
		name_of(o.pid), fcntl(fd, F_GETSIG));
}

static volatile sig_atomic_t came, came_fd, came_code;

static void on_io(int n, siginfo_t *info, void *context)
{
	came_fd = info->si_fd;
	came_code = info->si_code;
	came = n;
}

static int gets_signal(void *arg)
{
	int *pair = arg;
	char c;

	came = 0;
	check(write(pair[1], "r", 1) == 1, "write");
	while (came == 0) /* or SIGALRM ends the parent */
		pause_ms(1);
	printf("child: signal %s, code %d, descriptor %d\n",
		came == SIGRTMIN ? "RTMIN"
		: came == SIGIO  ? "IO"
				 : "none",
		came == SIGRTMIN ? came_code : 0, came == SIGRTMIN ? came_fd == pair[2] : 0);
	return read(pair[0], &c, 1) != 1;
}

static void case_owner(void)
{
	struct sigaction a = {.sa_sigaction = on_io, .sa_flags = SA_SIGINFO};
	int pair[2], other[2], three[3];
	char c;

	names[0] = getpid();
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, other) == 0, "socketpair");
	sigaction(SIGIO, &a, NULL);
	sigaction(SIGRTMIN, &a, NULL);
	say_owner(pair[0]);
	say_call("own", fcntl(pair[0], F_SETOWN, getpid()));
	say_owner(pair[0]);
	say_call("nobody there", fcntl(pair[0], F_SETOWN, 1 << 21));
	say_call("group", fcntl(pair[0], F_SETOWN, -getpgrp()) == 0 &&
				  fcntl(pair[0], F_GETOWN) == -getpgrp());
	say_call(
		"thread", fcntl(pair[0], F_SETOWN_EX, &(struct f_owner_ex){F_OWNER_TID, gettid()}));
	say_owner(pair[0]);
	say_call("bad kind", fcntl(pair[0], F_SETOWN_EX, &(struct f_owner_ex){9, 1}));
	say_call("no longer", fcntl(pair[0], F_SETOWN, 0));
	say_owner(pair[0]);
	say_call("bad signal", fcntl(pair[0], F_SETSIG, 65));
	/* a child is the owner: with details, and without */
	three[0] = pair[0];
	three[1] = other[1];
	three[2] = pair[0];
	for (int i = 0; i < 2; i++) {
		names[1] = child(gets_signal, three);
		check(read(other[0], &c, 1) == 1, "read");
		say_call("set", fcntl(pair[0], F_SETOWN, names[1]));
		say_call("signal", fcntl(pair[0], F_SETSIG, i == 0 ? SIGRTMIN : 0));
		say_owner(pair[0]);
		say_call("async", fcntl(pair[0], F_SETFL, O_ASYNC));
		check(write(pair[1], "x", 1) == 1, "write");
		reap("owner", names[1]);
		fcntl(pair[0], F_SETFL, 0);
	}
	say_owner(pair[0]);
	printf("parent had %d\n", came);
	say_call("not open", fcntl(900, F_GETOWN));
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"cred", case_cred}, {"client", case_client},
		{"passed", case_passed}, {"early", case_early}, {"locks", case_locks},
		{"owner", case_owner}, {NULL, NULL}};

	return run_cases(cases, argc, argv);
}
