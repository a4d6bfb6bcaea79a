/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/highmap.c: addresses far above where Linux's smaller systems would end: 16 TiB reserved in one piece and used in its middle,
 * also by a child; pages at fixed addresses of 2^45 and 2^46, with code, a stack and strings in them; and faults above all of that.
 */
#include "guest.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <ucontext.h>

static sigjmp_buf back;
static volatile uintptr_t fault_at;

static void on_fault(int signo, siginfo_t *si, void *uc)
{
	(void)signo;
	(void)uc;
	fault_at = (uintptr_t)si->si_addr;
	siglongjmp(back, 1);
}

static void touch(uintptr_t a)
{
	if (sigsetjmp(back, 1) == 0) {
		*(volatile char *)a = 1;
		printf("%#lx: written\n", (unsigned long)a);
	} else {
		printf("%#lx: fault at %#lx\n", (unsigned long)a, (unsigned long)fault_at);
	}
}

static ucontext_t here, there;

static void on_high_stack(void)
{
	char text[300];
	volatile unsigned long sum = 0;

	for (unsigned i = 0; i < 1000; i++)
		sum += (unsigned long)snprintf(text, sizeof(text), "%u in %s", i, "a frame");
	printf("on its own stack: %lu %s\n", sum, text);
}

static void at_fixed(unsigned bit)
{
	uint8_t *p = (uint8_t *)((uintptr_t)1 << bit);
	uint8_t *got = mmap(p, 64 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	static const uint8_t code[] = {0x8d, 0x04, 0x7f, 0xc3}; /* lea eax, [rdi + rdi * 2]; ret */

	check(got == p, "mmap at a fixed address");
	memcpy(p, code, sizeof(code));
	printf("2^%u: %u\n", bit, ((unsigned (*)(unsigned))p)(14));
	memset(p + PAGE, 'x', 3 * PAGE);
	memmove(p + PAGE + 1, p + PAGE, 2 * PAGE);
	p[4 * PAGE - 1] = 0;
	printf("2^%u: %zu\n", bit, strlen((char *)p + PAGE));
	check(getcontext(&there) == 0, "getcontext");
	there.uc_stack.ss_sp = p + 8 * PAGE;
	there.uc_stack.ss_size = 32 * PAGE;
	there.uc_link = &here;
	makecontext(&there, on_high_stack, 0);
	check(swapcontext(&here, &there) == 0, "swapcontext");
	touch((uintptr_t)p + 64 * PAGE);
	touch((uintptr_t)p - 1);
}

int main(void)
{
	const size_t tib = (size_t)1 << 40;
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	check(sigaction(SIGSEGV, &sa, NULL) == 0, "sigaction");
	at_fixed(45);
	at_fixed(46);
	char *p =
		mmap(NULL, 16 * tib, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	check(p != MAP_FAILED, "mmap of 16 TiB");
	char *middle = p + 8 * tib;
	check(mprotect(middle, 16 * PAGE, PROT_READ | PROT_WRITE) == 0, "mprotect");
	strcpy(middle + PAGE - 3, "across two pages");
	fflush(stdout);
	pid_t child = fork();
	check(child >= 0, "fork");
	if (child == 0) {
		strcat(middle + PAGE - 3, ", by the child");
		printf("%s\n", middle + PAGE - 3);
		fflush(stdout);
		_exit(7);
	}
	int status = 0;
	check(waitpid(child, &status, 0) == child, "waitpid");
	printf("%s: %d\n", middle + PAGE - 3, WEXITSTATUS(status));
	check(munmap(p, 16 * tib) == 0, "munmap");
	touch(0x700000000000);
	touch(0x7fffffffe000 - 0x10000000000);
	return 0;
}
