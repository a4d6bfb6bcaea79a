/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/wberrors.c: who is told that a mapped file could not be written back: each open file, once.
 *
 *   wberrors FILE FLAG
 *
 * While the file FLAG exists, whoever runs this makes writes to FILE fail with EIO. Prints the result of each call that may tell.
 * tests/programs/failing.py knows what Linux says, and asks it where it can. R20.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

static const char *name, *flag;
static char *map;
static char letter = 'a';

static void failing(int yes)
{
	if (yes)
		close(open(flag, O_WRONLY | O_CREAT, 0600));
	else
		unlink(flag);
}

static int opened(void)
{
	int fd = open(name, O_RDWR);

	check(fd >= 0, "open");
	return fd;
}

static void say(const char *what, int result)
{
	printf("%s: %s\n", what, result == 0 ? "0" : errno == EIO ? "EIO" : strerror(errno));
	fflush(stdout);
}

static void *mapped(int fd)
{
	void *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	check(p != MAP_FAILED, "mmap");
	return p;
}

/* Stores something new into page n, which will not reach the disk. */
static void store(int n)
{
	map[(size_t)n * PAGE] = letter++;
	failing(1);
}

/* The page is written, in vain, and nobody is told. */
static void write_unseen(int fd)
{
	const struct timespec moment = {0, 300000000};

	check(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE) == 0, "sync_file_range");
	nanosleep(&moment, NULL); /* Linux only begins to write */
}

static int passed(int fd)
{
	struct iovec v = {&letter, 1};
	char control[CMSG_SPACE(sizeof(int))];
	struct msghdr h = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control};
	struct cmsghdr *c = (struct cmsghdr *)control;
	int s[2];

	check(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0, "socketpair");
	memset(control, 0, sizeof control);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	check(sendmsg(s[0], &h, 0) == 1, "sendmsg");
	check(recvmsg(s[1], &h, 0) == 1, "recvmsg");
	memcpy(&fd, CMSG_DATA(c), sizeof fd);
	close(s[0]);
	close(s[1]);
	return fd;
}

int main(int argc, char **argv)
{
	int a, b, c, d, e;
	char got = 0;
	pid_t pid;
	void *other;

	name = argv[1];
	flag = argv[2];
	a = opened();
	b = opened();
	map = mapped(a);
	other = mapped(b);

	store(0);
	say("1 fsync a", fsync(a));
	failing(0);
	say("1 fsync a again", fsync(a));
	d = dup(a);
	say("1 fsync dup of a", fsync(d));
	close(d);
	c = opened();
	say("1 fsync c, opened later", fsync(c));
	say("1 fsync b", fsync(b));
	say("1 fdatasync b again", fdatasync(b));
	say("1 fsync c again", fsync(c));

	store(1);
	write_unseen(a);
	failing(0);
	d = opened();
	say("2 fsync d, opened before anybody was told", fsync(d));
	e = opened();
	say("2 fsync e, opened after", fsync(e));
	say("2 sync_file_range a", sync_file_range(a, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE));
	say("2 fsync a", fsync(a));
	say("2 fdatasync b", fdatasync(b));
	say("2 msync of b's mapping", msync(other, 4 * PAGE, MS_SYNC));
	close(d);
	close(e);

	store(2);
	say("3 msync of a's mapping", msync(map, 4 * PAGE, MS_SYNC));
	failing(0);
	say("3 msync of a's mapping again", msync(map, 4 * PAGE, MS_SYNC));
	say("3 fsync a", fsync(a));
	say("3 msync of b's mapping", msync(other, 4 * PAGE, MS_SYNC));
	say("3 fsync b", fsync(b));
	say("3 fsync c", fsync(c));

	store(3);
	pid = fork();
	if (pid == 0) {
		say("4 fsync a in a child", fsync(a));
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	failing(0);
	say("4 fsync a in the parent", fsync(a));
	say("4 fsync b in the parent", fsync(b));
	d = passed(b);
	say("4 fsync b, passed through a socket", fsync(d));
	close(b);
	say("4 and b is closed", fsync(d));
	b = d;

	munmap(other, 4 * PAGE);
	store(0);
	check(pread(b, &got, 1, 0) == 1, "pread");
	printf("5 read: %s\n", got == map[0] ? "what was stored" : "something old");
	got = map[0];
	munmap(map, 4 * PAGE);
	say("5 fsync b, nothing mapped", fsync(b));
	failing(0);
	say("5 fsync b again", fsync(b));
	say("5 fsync a", fsync(a));
	d = opened();
	say("5 fsync d, opened later", fsync(d));
	close(b);
	b = opened();
	say("5 fsync b, opened anew", fsync(b));
	say("5 fsync c", fsync(c));
	map = mapped(b);
	printf("5 mapped again: %s\n", got == map[0] ? "what was stored" : "something old");

	store(1);
	write_unseen(a);
	failing(0);
	say("6 syncfs a", syncfs(a));
	say("6 syncfs a again", syncfs(a));
	e = opened();
	say("6 syncfs e, opened later", syncfs(e));
	say("6 syncfs c", syncfs(c));
	say("6 fsync e", fsync(e));
	say("6 fsync a", fsync(a));
	return 0;
}
