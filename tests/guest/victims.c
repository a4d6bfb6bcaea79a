/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/victims.c: one process calls the kernel with pages that need a frame each, while another takes all memory and is killed for it.
 *
 *   victims ROUNDS
 *
 * The calls of the first know nothing of that: as on Linux they wait until there is memory again. Prints `N of ROUNDS killed, M calls failed`.
 * Natively the other one ends before it has harmed anybody. Guards R12.
 */
#include "guest.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

enum { PAGES = 64, MOST = 2048 /* pages of the one that is killed */ };

static void takes_all(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);

	if (fd < 0 || write(fd, "1000", 4) != 4)
		_exit(2);
	for (unsigned i = 0; i < MOST; i++)
		*(volatile char *)map_anon(PAGE, PROT_READ | PROT_WRITE) = 1;
	_exit(0);
}

/* Every call has a page of p[PAGES] that has no frame. How many failed. */
static unsigned calls(char *p, const int pipes[2])
{
	unsigned failed = 0;

	madvise(p, (size_t)PAGES * PAGE, MADV_DONTNEED);
	for (unsigned i = 0; i + 3 < PAGES; i += 4) {
		char *q = p + (size_t)i * PAGE;
		struct timespec *t = (struct timespec *)(q + PAGE);

		failed += uname((struct utsname *)q) != 0;
		failed += syscall(SYS_clock_gettime, CLOCK_MONOTONIC, t) != 0;
		failed += write(pipes[1], "12345678", 8) != 8 ||
			  read(pipes[0], q + 3 * (size_t)PAGE - 4, 8) != 8 ||
			  memcmp(q + 3 * (size_t)PAGE - 4, "12345678", 8) != 0;
	}
	return failed;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 4, killed = 0, status, pipes[2];
	char *p = map_anon((size_t)PAGES * PAGE, PROT_READ | PROT_WRITE);
	unsigned failed = 0;

	if (pipe(pipes) != 0)
		return 1;
	for (int r = 0; r < rounds; r++) {
		pid_t pid = fork();

		if (pid == 0)
			takes_all();
		while (waitpid(pid, &status, WNOHANG) == 0)
			failed += calls(p, pipes);
		killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	}
	printf("%d of %d killed, %u calls failed\n", killed, rounds, failed);
	return 0;
}
