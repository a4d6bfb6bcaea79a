/* SPDX-License-Identifier: MIT */
/*
 * What does not go call, return: longjmp, a handler on an alternate stack, contexts that take turns, tail calls, threads. The argument
 * names which.
 */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define KEEP(x) __asm__ volatile("" : : "r"(&(x)) : "memory")

static jmp_buf back;

NOINLINE void climb(int n)
{
	char room[48];

	KEEP(room);
	if (n == 0)
		longjmp(back, 1);
	climb(n - 1);
	KEEP(room);
}

NOINLINE void quiet(void)
{
	__asm__ volatile("" : : : "memory");
}

/* 5 times 11 calls of climb are left; quiet() is then called from main at main's own depth. */
static void jumps(void)
{
	volatile int times = 0;

	setjmp(back);
	if (times++ < 5)
		climb(10);
	quiet();
}

NOINLINE void in_handler(void)
{
	char room[32];

	quiet();
	KEEP(room);
}

static void handler(int signo)
{
	char room[32];

	in_handler();
	KEEP(room);
}

static char alternate[65536];

static void signals(void)
{
	stack_t s = {.ss_sp = alternate, .ss_size = sizeof alternate};
	struct sigaction a = {.sa_handler = handler, .sa_flags = SA_ONSTACK};

	sigaltstack(&s, NULL);
	sigaction(SIGUSR1, &a, NULL);
	for (int i = 0; i < 3; i++)
		raise(SIGUSR1);
	a.sa_flags = 0;
	sigaction(SIGUSR1, &a, NULL);
	raise(SIGUSR1);
	quiet();
}

static ucontext_t home, one, two;
static char stack_one[65536], stack_two[65536];

NOINLINE void turn(ucontext_t *from, ucontext_t *to, int depth)
{
	if (depth)
		turn(from, to, depth - 1);
	else
		swapcontext(from, to);
	quiet();
}

static void first(void)
{
	for (int i = 0; i < 10; i++)
		turn(&one, &two, 4);
}

static void second(void)
{
	for (int i = 0; i < 10; i++)
		turn(&two, &one, 7);
}

static void contexts(void)
{
	getcontext(&one);
	one.uc_stack.ss_sp = stack_one;
	one.uc_stack.ss_size = sizeof stack_one;
	one.uc_link = &home;
	makecontext(&one, first, 0);
	getcontext(&two);
	two.uc_stack.ss_sp = stack_two;
	two.uc_stack.ss_size = sizeof stack_two;
	two.uc_link = &home;
	makecontext(&two, second, 0);
	swapcontext(&home, &one);
	quiet();
}

NOINLINE int odd(int n);

NOINLINE int even(int n)
{
	quiet();
	return n == 0 ? 1 : odd(n - 1);
}

NOINLINE int odd(int n)
{
	quiet();
	return n == 0 ? 0 : even(n - 1);
}

static sem_t all_there;

NOINLINE void deep(int n)
{
	char room[64];

	KEEP(room);
	if (n)
		deep(n - 1);
	else {
		sem_post(&all_there);
		for (;;)
			pause();
	}
	KEEP(room);
}

static void *worker(void *levels)
{
	deep((int)(long)levels);
	return NULL;
}

NOINLINE void stop_here(void)
{
	quiet();
}

static void threads(void)
{
	pthread_t t;

	sem_init(&all_there, 0, 0);
	for (long i = 1; i <= 4; i++)
		pthread_create(&t, NULL, worker, (void *)(10 * i));
	for (int i = 0; i < 4; i++)
		sem_wait(&all_there);
	usleep(20000); /* into pause() */
	stop_here();
	_exit(0);
}

NOINLINE int ping(int n);

NOINLINE int pong(int n)
{
	char room[100];

	KEEP(room);
	int r = ping(n + 1);
	KEEP(room);
	return r + 1;
}

NOINLINE int ping(int n)
{
	char room[60];

	KEEP(room);
	int r = pong(n + 1);
	KEEP(room);
	return r + 1;
}

static void *overflowing(void *arg)
{
	return (void *)(long)ping(1);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	pthread_t t;

	if (!strcmp(what, "jumps"))
		jumps();
	if (!strcmp(what, "signals"))
		signals();
	if (!strcmp(what, "contexts"))
		contexts();
	if (!strcmp(what, "tails"))
		return even(20) == 0;
	if (!strcmp(what, "threads"))
		threads();
	if (!strcmp(what, "overflow"))
		return ping(1);
	if (!strcmp(what, "thread overflow")) {
		pthread_create(&t, NULL, overflowing, NULL);
		pthread_join(t, NULL);
	}
	return 0;
}
