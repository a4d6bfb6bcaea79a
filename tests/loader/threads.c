/* SPDX-License-Identifier: MIT */
/*
 * tests/loader/threads.c: threads (R16), run natively and under Pagoda: the output must be equal.
 *
 * Mutexes, conditions, joins, thread-local data, a thread that spins until another has run, threads that block in read and
 * poll while others run, signals to a thread, a stack that the program gives, cancellation, ends of the first thread.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int count, go;
static __thread int mine;
static int fds[2];
static volatile sig_atomic_t caught;
static pthread_t caught_by;

static void *adder(void *arg)
{
	pthread_mutex_lock(&lock);
	while (!go)
		pthread_cond_wait(&cond, &lock);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < 5000; i++) {
		pthread_mutex_lock(&lock);
		count++;
		mine++;
		pthread_mutex_unlock(&lock);
	}
	return (void *)(intptr_t)mine;
}

static void *reader(void *arg)
{
	char *b = calloc(1, 16);

	if (read(fds[0], b, 15) < 0)
		b[0] = '?';
	return b;
}

static void *poller(void *arg)
{
	struct pollfd p = {.fd = fds[0], .events = POLLIN};
	int r = poll(&p, 1, *(int *)arg);

	return (void *)(intptr_t)(r * 100 + p.revents);
}

static void *setter(void *arg)
{
	usleep(2000);
	__atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void on_signal(int n)
{
	caught = n;
	caught_by = pthread_self();
}

static int slept;

static void *sleeper(void *arg)
{
	struct timespec t = {60, 0};
	int err = nanosleep(&t, &t) < 0 ? errno : 0;

	__atomic_store_n(&slept, 1, __ATOMIC_SEQ_CST);
	return (void *)(intptr_t)err;
}

static void *deep(void *arg)
{
	volatile char room[100000];

	memset((char *)room, 1, sizeof(room));
	return (void *)((char *)room >= (char *)arg && (char *)room < (char *)arg + 262144);
}

static void *endless(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void *last(void *arg)
{
	usleep(5000);
	printf("the last thread ends the process\n");
	fflush(stdout);
	exit(7);
}

static void *join(pthread_t t)
{
	void *r = NULL;

	pthread_join(t, &r);
	return r;
}

int main(void)
{
	pthread_t t[8], u;
	pthread_attr_t attr;
	struct timespec soon;
	long sum = 0;
	int flag = 0, ms = 20;
	void *stack;
	sem_t sem;

	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, adder, NULL);
	usleep(1000);
	pthread_mutex_lock(&lock);
	go = 1;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < 8; i++)
		sum += (long)(intptr_t)join(t[i]);
	printf("counted %d, by themselves %ld, here %d\n", count, sum, mine);
	if (pipe(fds) != 0)
		return 2;
	pthread_create(&u, NULL, reader, NULL);
	usleep(1000);
	printf("wrote %zd\n", write(fds[1], "hello", 5));
	printf("a thread read %s\n", (char *)join(u));
	pthread_create(&u, NULL, poller, &ms);
	printf("poll without data %ld\n", (long)(intptr_t)join(u));
	ms = 100000;
	pthread_create(&u, NULL, poller, &ms);
	usleep(1000);
	printf("wrote %zd\n", write(fds[1], "x", 1));
	printf("poll with data %ld\n", (long)(intptr_t)join(u));
	pthread_create(&u, NULL, setter, &flag);
	while (!__atomic_load_n(&flag, __ATOMIC_SEQ_CST))
		;
	join(u);
	printf("spun until it was set\n");
	signal(SIGUSR1, on_signal);
	siginterrupt(SIGUSR1, 1);
	pthread_create(&u, NULL, sleeper, NULL);
	do {
		usleep(2000); /* the first ones may come before it sleeps */
		pthread_kill(u, SIGUSR1);
	} while (!__atomic_load_n(&slept, __ATOMIC_SEQ_CST));
	printf("interrupted sleep %s\n", strerrorname_np((int)(intptr_t)join(u)));
	printf("signal %d, by the right thread %d\n", (int)caught,
		pthread_equal(caught_by, u) != 0);
	stack = mmap(NULL, 262144, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, 262144);
	pthread_create(&u, &attr, deep, stack);
	printf("on the given stack %d\n", join(u) != NULL);
	pthread_create(&u, NULL, endless, NULL);
	pthread_cancel(u);
	printf("cancelled %d\n", join(u) == PTHREAD_CANCELED);
	sem_init(&sem, 0, 0);
	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_nsec += 5000000;
	if (soon.tv_nsec >= 1000000000) {
		soon.tv_nsec -= 1000000000;
		soon.tv_sec++;
	}
	printf("timed wait %d", sem_timedwait(&sem, &soon));
	printf(" %s\n", strerrorname_np(errno));
	printf("ids differ %d\n", syscall(SYS_gettid) == getpid());
	pthread_create(&u, NULL, last, NULL);
	fflush(stdout);
	pthread_exit(NULL);
}
