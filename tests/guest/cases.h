/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/cases.h: a guest program that is a table of small cases: `program NAME` runs one, `program` all.
 *
 * Each prints lines that are the same on every run on Linux. No process id, descriptor of the system's choice, time or
 * address is printed. A case that hangs is ended by SIGALRM.
 */
#ifndef TESTS_GUEST_CASES_H
#define TESTS_GUEST_CASES_H

#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

struct test_case {
	const char *name;
	void (*run)(void);
};

#define CASE_SECONDS 200 /* beyond what a loaded machine needs */

/* Whether Linux is at least this one: what it has since then cannot be compared on an older one. */
static inline int linux_since(int major, int minor)
{
	struct utsname u;
	int a = 0, b = 0;

	check(uname(&u) == 0 && sscanf(u.release, "%d.%d", &a, &b) == 2, "uname");
	return a > major || (a == major && b >= minor);
}

/* "NAME: ok", or the error's name. */
static inline void say_call(const char *name, long r)
{
	if (r < 0)
		printf("%s: %s\n", name, strerrorname_np(errno));
	else
		printf("%s: %ld\n", name, r);
	fflush(stdout);
}

/* Forks; the child runs f and leaves with what it returns, its output flushed. */
static inline pid_t child(int (*f)(void *), void *arg)
{
	pid_t p;

	fflush(stdout);
	p = fork();
	if (p == 0) {
		int r = f(arg);

		fflush(stdout);
		_exit(r);
	}
	if (p < 0) {
		printf("fork: %s\n", strerrorname_np(errno));
		fflush(stdout);
		exit(1);
	}
	return p;
}

/* Waits for p and says how it ended. */
static inline void reap(const char *who, pid_t p)
{
	int status = 0;
	pid_t r = waitpid(p, &status, 0);

	if (r != p)
		printf("%s: wait: %s\n", who, r < 0 ? strerrorname_np(errno) : "another");
	else if (WIFEXITED(status))
		printf("%s: exit %d\n", who, WEXITSTATUS(status));
	else
		printf("%s: killed by %s\n", who, sigabbrev_np(WTERMSIG(status)));
	fflush(stdout);
}

static inline void pause_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		;
}

/*
 * Waits until the first thread of p sleeps: for what only the kernel knows to have begun. Its state in /proc must say so for a while: a
 * system call that is over in a moment may be seen, too.
 */
static inline void until_asleep(pid_t p)
{
	char path[64], line[256];

	snprintf(path, sizeof path, "/proc/%d/stat", p);
	for (int seen = 0; seen < 6;) {
		int fd = open(path, O_RDONLY);
		ssize_t n = read(fd, line, sizeof line - 1);
		const char *c;

		close(fd);
		line[n > 0 ? n : 0] = 0;
		c = strrchr(line, ')');
		check(c != NULL, "a process that is to sleep");
		seen = c[2] == 'S' ? seen + 1 : 0;
		pause_ms(4);
	}
}

/* A pipe on which one process waits for another: let() ends await(). */
struct gate {
	int fd[2];
};

static inline struct gate gate_open(void)
{
	struct gate g;

	check(pipe(g.fd) == 0, "pipe");
	return g;
}

static inline void let(struct gate *g)
{
	check(write(g->fd[1], "x", 1) == 1, "let");
}

static inline void await(struct gate *g)
{
	char c;
	ssize_t r;

	do
		r = read(g->fd[0], &c, 1);
	while (r < 0 && errno == EINTR);
	check(r == 1, "await");
}

static inline uint64_t mix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ul;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ul;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebul;
	return z ^ (z >> 31);
}

static inline uint64_t sum_of(const void *data, size_t bytes)
{
	const uint8_t *p = data;
	uint64_t h = 0xcbf29ce484222325ul;

	for (size_t i = 0; i < bytes; i++)
		h = (h ^ p[i]) * 0x100000001b3ul;
	return h;
}

static inline int run_cases(const struct test_case *cases, int argc, char **argv)
{
	int found = 0;

	for (const struct test_case *c = cases; c->name; c++) {
		if (argc > 1 && strcmp(c->name, argv[1]) != 0)
			continue;
		found = 1;
		printf("-- %s\n", c->name);
		fflush(stdout);
		alarm(CASE_SECONDS);
		c->run();
		alarm(0);
		fflush(stdout);
	}
	if (!found)
		printf("no case %s\n", argv[1]);
	return !found;
}

#endif
