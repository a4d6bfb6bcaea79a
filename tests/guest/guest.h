/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/guest.h: what the guest programs share: catching a fault and going on behind it.
 *
 * A guest program knows nothing of Pagoda. It prints only what is the same on every run on Linux, so that a native run
 * is the expectation.
 */
#ifndef TESTS_GUEST_H
#define TESTS_GUEST_H

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

static inline void handle(int sig, void (*f)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa;
	memset(&sa, 0, sizeof sa);
	sa.sa_sigaction = f;
	sa.sa_flags = SA_SIGINFO | flags;
	check(sigaction(sig, &sa, NULL) == 0, "sigaction");
}

#endif
