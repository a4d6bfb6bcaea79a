/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/owners.c: several processes whose pages go to a store that may lose some: who is told, and is all else right?
 *
 *   owners PROCESSES PAGES ROUNDS
 *
 * Each process has PAGES pages of its own, and a few that it shares with all and a few that came by fork. It touches
 * them in turn by every way there is: loads, stores, buffers of system calls, madvise, mlock, mremap, fork. A page's bytes are a
 * function of its owner and number. A lost page is told by SIGBUS or by an error of the call; then it is not touched any more.
 *
 * Prints `told N killed K`, N pages over all processes; status 1 if any byte was other than it should be.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
#define COMMON 24u /* pages shared by all, and as many that came by fork */
#define WAYS 8u

struct area {
	uint8_t *p;
	unsigned owner, pages;
	uint8_t gone[4096]; /* of a page: it is lost */
};

static struct area areas[3];
static sigjmp_buf lost;
static volatile uintptr_t touched;

/* A page of its stack or its data is gone for good: it ends. If it is these that are gone, the signal is blocked and kills. */
static void on_bus(int signo, siginfo_t *i, void *context)
{
	if ((uintptr_t)i->si_addr / PAGE != touched / PAGE)
		_exit(1);
	siglongjmp(lost, 1);
}

static uint64_t word(unsigned owner, unsigned page, unsigned k)
{
	return (owner * 1000003ull + page) * 0x9e3779b97f4a7c15u + k * 77;
}

static void fill(uint8_t *p, unsigned owner, unsigned page)
{
	for (unsigned k = 0; k < PAGE / 8; k += 3)
		((uint64_t *)p)[k] = word(owner, page, k);
}

static int right(const uint8_t *p, unsigned owner, unsigned page)
{
	for (unsigned k = 0; k < PAGE / 8; k += 3)
		if (((const volatile uint64_t *)p)[k] != word(owner, page, k))
			return 0;
	return 1;
}

/* Touches one page by one way: 1 it is right, 0 it is wrong, -1 the call said that it is lost. May jump to `lost`. */
static int touch(uint8_t *p, unsigned owner, unsigned page, unsigned way, const int fd[2])
{
	static uint8_t copy[PAGE];
	struct iovec here = {copy, PAGE}, there = {p, PAGE};
	ssize_t n;

	switch (way) {
	case 0:
		fill(p, owner, page);
		return 1;
	case 1: /* a call reads it */
		n = write(fd[1], p, PAGE);
		if (n > 0 && read(fd[0], copy, (size_t)n) != n)
			_exit(1); /* copy is lost */
		return n != PAGE ? -1 : right(copy, owner, page);
	case 2: /* a call writes it */
		fill(copy, owner, page);
		if (write(fd[1], copy, PAGE) != PAGE)
			_exit(1);
		n = read(fd[0], p, PAGE);
		if (n == PAGE)
			return right(p, owner, page);
		if (n < PAGE) /* the pipe is to be empty again */
			(void)!read(fd[0], copy, n < 0 ? PAGE : PAGE - (size_t)n);
		return -1;
	case 3:
		madvise(p, PAGE, MADV_WILLNEED);
		return right(p, owner, page);
	case 4:
		if (mlock(p, PAGE) != 0)
			return errno == EPERM || errno == ENOMEM || errno == EAGAIN
				       ? right(p, owner, page)
				       : 0;
		munlock(p, PAGE);
		return right(p, owner, page);
	case 5:
		n = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
		return n != PAGE ? -1 : right(copy, owner, page);
	case 6:
		madvise(p, PAGE, MADV_PAGEOUT);
		return right(p, owner, page);
	default:
		return right(p, owner, page);
	}
}

/* All pages of an area once. How many were found to be lost now, or -1: wrong bytes. */
static int visit(struct area *a, unsigned round, const int fd[2])
{
	volatile int told = 0;

	for (volatile unsigned i = 0; i < a->pages; i++) {
		uint8_t *p = a->p + (size_t)i * PAGE;
		int how;

		if (a->gone[i])
			continue;
		touched = (uintptr_t)p;
		if (sigsetjmp(lost, 1) != 0) {
			touched = 0;
			a->gone[i] = 1;
			told++;
			continue;
		}
		how = touch(p, a->owner, i, (i * 7 + round) % WAYS, fd);
		if (how == 0) {
			fprintf(stderr, "page %u of owner %u is wrong, by way %u: %s\n", i,
				a->owner, (i * 7 + round) % WAYS, strerror(errno));
			return -1;
		}
		if (how < 0) {
			a->gone[i] = 1;
			told++;
		}
	}
	return told;
}

static uint8_t *pages(unsigned n, int flags)
{
	uint8_t *p =
		mmap(NULL, (size_t)n * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* One process: its number of lost pages, or 200 for wrong bytes. */
static int process(unsigned rounds)
{
	struct sigaction act = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
	int fd[2], told = 0;

	sigaction(SIGBUS, &act, NULL);
	if (pipe(fd) != 0) {
		perror("pipe");
		return 201;
	}
	for (unsigned r = 0; r < rounds; r++)
		for (unsigned k = 0; k < 3; k++) {
			int n = visit(&areas[k], r, fd);

			if (n < 0)
				return 200;
			told += n;
		}
	return told < 199 ? told : 199;
}

int main(int argc, char **argv)
{
	unsigned processes = argc > 1 ? (unsigned)atoi(argv[1]) : 3;
	unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 200;
	unsigned rounds = argc > 3 ? (unsigned)atoi(argv[3]) : 3;
	int told = 0, wrong = 0, killed = 0, status;

	areas[1] = (struct area){.p = pages(COMMON, MAP_SHARED), .owner = 90, .pages = COMMON};
	areas[2] = (struct area){.p = pages(COMMON, MAP_PRIVATE), .owner = 91, .pages = COMMON};
	for (unsigned k = 1; k < 3; k++)
		for (unsigned i = 0; i < COMMON; i++)
			fill(areas[k].p + (size_t)i * PAGE, areas[k].owner, i);
	for (unsigned k = 0; k < processes; k++) {
		if (fork() != 0)
			continue;
		areas[0] = (struct area){.p = pages(n, MAP_PRIVATE), .owner = k, .pages = n};
		for (unsigned i = 0; i < n; i++)
			fill(areas[0].p + (size_t)i * PAGE, k, i);
		_exit(process(rounds));
	}
	while (wait(&status) > 0) {
		if (WIFSIGNALED(status) &&
			(WTERMSIG(status) == SIGBUS || WTERMSIG(status) == SIGSEGV))
			told++; /* before it had a handler; or its stack, so that there was no place for the frame */
		else if (!WIFEXITED(status))
			killed++;
		else if (WEXITSTATUS(status) >= 200)
			wrong++;
		else
			told += WEXITSTATUS(status);
	}
	printf("told %d killed %d\n", told, killed);
	return wrong != 0;
}
