/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/bus.c: a mapping longer than its file: SIGBUS behind the last page, zeros up to it. R12, R20.
 */
#include "guest.h"

static sigjmp_buf back;
static volatile int sig_seen, code;
static void *volatile addr;

static void on_signal(int sig, siginfo_t *si, void *ctx)
{
	(void)ctx;
	sig_seen = sig;
	code = si->si_code;
	addr = si->si_addr;
	siglongjmp(back, 1);
}

int main(void)
{
	char name[64];
	int fd = temporary_file(name, sizeof name);
	check(unlink(name) == 0, "unlink");
	check(write(fd, "0123456789", 10) == 10, "write");
	check(lseek(fd, PAGE + 100, SEEK_SET) > 0 && write(fd, "x", 1) == 1, "write");
	volatile char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	volatile char *q = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	check(p != MAP_FAILED && q != MAP_FAILED, "mmap");
	handle(SIGBUS, on_signal, 0);
	handle(SIGSEGV, on_signal, 0);
	printf("%c %c %d %d\n", p[0], q[9], p[10], p[PAGE + 100]);
	printf("behind the end in the last page: %d %d\n", p[2 * PAGE - 1], q[2 * PAGE - 1]);
	for (unsigned i = 0; i < 4; i++) {
		volatile char *at = (i & 1 ? q : p) + (i & 2 ? 3 : 2) * PAGE + 5;
		if (sigsetjmp(back, 1) == 0) {
			if (i & 1)
				*at = 1;
			else
				(void)*at;
			printf("no signal\n");
		} else {
			printf("signal %d code %d right address %d\n", sig_seen, code, addr == at);
		}
	}
	/* truncation takes pages away that were there */
	check(ftruncate(fd, 100) == 0, "ftruncate");
	if (sigsetjmp(back, 1) == 0) {
		(void)p[PAGE + 100];
		printf("no signal\n");
	} else {
		printf("after truncation: signal %d code %d\n", sig_seen, code);
	}
	printf("%c\n", p[5]);
	return 0;
}
