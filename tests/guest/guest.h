/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/guest.h: what the guest programs share: catching a fault and going on behind it.
 *
 * A guest program knows nothing of Pagoda. It prints only what is the same on every run on Linux, so that a native run
 * is the expectation.
 */
#ifndef TESTS_GUEST_H
#define TESTS_GUEST_H

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096ul

static inline void check(int ok, const char *what)
{
	if (!ok) {
		printf("FAILED: %s\n", what);
		exit(1);
	}
}

static inline void *map_anon(size_t bytes, int prot)
{
	void *p = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(p != MAP_FAILED, "mmap");
	return p;
}

/*
 * A new empty file under /tmp, open to read and write; its name into name. Not mkstemp: of 23 calls, one asks for random bits a
 * second time, and the number of system calls must be the same in every run. With the time in it, for Pagoda's random numbers are the same in each
 * run, and two may run at once.
 */
static inline int temporary_file(char *name, size_t bytes)
{
	uint64_t random;
	struct timespec t;
	check(getrandom(&random, sizeof random, 0) == sizeof random, "getrandom");
	check(syscall(SYS_clock_gettime, CLOCK_REALTIME, &t) == 0, "clock_gettime");
	snprintf(name, bytes, "/tmp/pagoda-guest-%016lx-%lx%08lx", random, (unsigned long)t.tv_sec,
		(unsigned long)t.tv_nsec);
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0, "temporary file");
	return fd;
}

static inline void handle(int sig, void (*f)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa;
	memset(&sa, 0, sizeof sa);
	sa.sa_sigaction = f;
	sa.sa_flags = SA_SIGINFO | flags;
	check(sigaction(sig, &sa, NULL) == 0, "sigaction");
}

#endif
