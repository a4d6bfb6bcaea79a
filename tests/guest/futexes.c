/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/futexes.c: futex(2) among threads and processes: wait, wake, requeue, bitsets, wake-op, robust lists; priority
 * inheritance, which must be right or refused. Guards R19.
 */
#include "cases.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

static uint32_t *word; /* shared by all: [0..15] */

static long futex(
	uint32_t *a, int op, uint32_t v, const struct timespec *t, uint32_t *b, uint32_t v3)
{
	return syscall(SYS_futex, a, op, v, t, b, v3);
}

/* The same, with a number in place of the time. */
static long futex_n(uint32_t *a, int op, uint32_t v, uint64_t n, uint32_t *b, uint32_t v3)
{
	return syscall(SYS_futex, a, op, v, n, b, v3);
}

static void case_errors(void)
{
	struct timespec soon = {0, 5000000}, bad = {0, 2000000000};

	word[0] = 1;
	say_call("another value", futex(word, FUTEX_WAIT, 2, NULL, NULL, 0));
	say_call("timeout", futex(word, FUTEX_WAIT, 1, &soon, NULL, 0));
	say_call("timeout, private", futex(word, FUTEX_WAIT_PRIVATE, 1, &soon, NULL, 0));
	say_call("bad time", futex(word, FUTEX_WAIT, 1, &bad, NULL, 0));
	say_call("unaligned", futex((uint32_t *)((char *)word + 2), FUTEX_WAIT, 1, NULL, NULL, 0));
	say_call("not mapped", futex((uint32_t *)4096, FUTEX_WAIT, 1, NULL, NULL, 0));
	say_call("wake nobody", futex(word, FUTEX_WAKE, 1, NULL, NULL, 0));
	say_call("no bits", futex(word, FUTEX_WAIT_BITSET, 1, NULL, NULL, 0));
	say_call("compare", futex_n(word, FUTEX_CMP_REQUEUE, 1, 1, word + 1, 99));
	say_call("no such call", futex(word, 99, 1, NULL, NULL, 0));
	clock_gettime(CLOCK_MONOTONIC, &soon);
	say_call("absolute, over", futex(word, FUTEX_WAIT_BITSET, 1, &soon, NULL, ~0u));
	clock_gettime(CLOCK_REALTIME, &soon);
	say_call("real time, over",
		futex(word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 1, &soon, NULL, ~0u));
}

static int waiter(void *arg)
{
	uint32_t i = (uint32_t)(long)arg;

	__atomic_add_fetch(word + 8, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(word + i, __ATOMIC_SEQ_CST) == 0)
		futex(word + i, FUTEX_WAIT, 0, NULL, NULL, 0);
	return 0;
}

/* All of p[n] have come, and sleep. */
static void until_waiting(const pid_t *p, uint32_t n)
{
	while (__atomic_load_n(word + 8, __ATOMIC_SEQ_CST) < n)
		pause_ms(1);
	for (uint32_t i = 0; i < n; i++)
		until_asleep(p[i]);
}

static void case_processes(void)
{
	pid_t p[3];

	memset(word, 0, 64);
	for (int i = 0; i < 3; i++)
		p[i] = child(waiter, (void *)0);
	until_waiting(p, 3);
	word[0] = 1;
	say_call("wake 2", futex(word, FUTEX_WAKE, 2, NULL, NULL, 0));
	say_call("wake all", futex(word, FUTEX_WAKE, 99, NULL, NULL, 0));
	for (int i = 0; i < 3; i++)
		reap("waiter", p[i]);
}

/* Three wait at [0]; one is woken, the others moved to [1] and woken there. */
static int moved(void *arg)
{
	__atomic_add_fetch(word + 8, 1, __ATOMIC_SEQ_CST);
	return futex(word, FUTEX_WAIT, 0, NULL, NULL, 0) != 0;
}

static void case_requeue(void)
{
	pid_t p[4];

	memset(word, 0, 64);
	for (int i = 0; i < 4; i++)
		p[i] = child(moved, NULL);
	until_waiting(p, 4);
	say_call("compare and requeue", futex_n(word, FUTEX_CMP_REQUEUE, 1, 2, word + 1, 0));
	say_call("wake the moved", futex(word + 1, FUTEX_WAKE, 99, NULL, NULL, 0));
	say_call("requeue", futex_n(word, FUTEX_REQUEUE, 0, 1, word + 2, 0));
	say_call("wake the old", futex(word, FUTEX_WAKE, 99, NULL, NULL, 0));
	say_call("wake the new", futex(word + 2, FUTEX_WAKE, 99, NULL, NULL, 0));
	for (int i = 0; i < 4; i++)
		reap("waiter", p[i]);
}

static int on_bits(void *arg)
{
	__atomic_add_fetch(word + 8, 1, __ATOMIC_SEQ_CST);
	return futex(word, FUTEX_WAIT_BITSET, 0, NULL, NULL, (uint32_t)(long)arg) != 0;
}

static void case_bitset(void)
{
	pid_t p[2];

	memset(word, 0, 64);
	p[0] = child(on_bits, (void *)1);
	p[1] = child(on_bits, (void *)2);
	until_waiting(p, 2);
	say_call("bit 4", futex(word, FUTEX_WAKE_BITSET, 99, NULL, NULL, 4));
	say_call("bit 2", futex(word, FUTEX_WAKE_BITSET, 99, NULL, NULL, 2));
	reap("second", p[1]);
	say_call("any", futex(word, FUTEX_WAKE_BITSET, 99, NULL, NULL, ~0u));
	reap("first", p[0]);
}

static void case_wake_op(void)
{
	pid_t p;

	memset(word, 0, 64);
	word[1] = 5;
	p = child(moved, NULL);
	until_waiting(&p, 1);
	say_call("wake op", futex_n(word, FUTEX_WAKE_OP, 1, 1, word + 1,
				    FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5)));
	printf("word %u\n", word[1]);
	reap("waiter", p);
}

/* Threads, by the C library: condition variables and barriers requeue. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ready = PTHREAD_COND_INITIALIZER;
static int turn, rounds;

static void *takes_turns(void *arg)
{
	int me = (int)(long)arg;

	for (int i = 0; i < 300; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 4 != me)
			pthread_cond_wait(&ready, &mutex);
		turn++;
		rounds += me;
		pthread_cond_broadcast(&ready);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void case_threads(void)
{
	pthread_t t[4];

	turn = rounds = 0;
	for (long i = 0; i < 4; i++)
		pthread_create(t + i, NULL, takes_turns, (void *)i);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	printf("turns %d, sum %d\n", turn, rounds);
}

struct shared {
	pthread_mutex_t mutex;
	int value;
};

static int dies_holding(void *arg)
{
	struct shared *s = arg;

	pthread_mutex_lock(&s->mutex);
	s->value = 1;
	_exit(0);
}

/* A robust mutex whose holder died says so to the next. */
static void case_robust(void)
{
	struct shared *s =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t a;
	int r;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&s->mutex, &a);
	reap("holder", child(dies_holding, s));
	r = pthread_mutex_lock(&s->mutex);
	printf("lock: %s, value %d\n", strerrorname_np(r), s->value);
	printf("consistent %d", pthread_mutex_consistent(&s->mutex));
	printf(" unlock %d", pthread_mutex_unlock(&s->mutex));
	printf(" lock %d\n", pthread_mutex_lock(&s->mutex));
}

static void *increments(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < 500; i++) {
		pthread_mutex_lock(&s->mutex);
		s->value++;
		pthread_mutex_unlock(&s->mutex);
	}
	return NULL;
}

static int increments_too(void *arg)
{
	increments(arg);
	return 0;
}

/* With priority inheritance: threads and a process; "refused" is an honest answer and is told. */
static void case_inherit(void)
{
	struct shared *s =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t a;
	pthread_t t[3];
	pid_t p;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	if (pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT) != 0 ||
		pthread_mutex_init(&s->mutex, &a) != 0) {
		printf("refused\n");
		return;
	}
	p = child(increments_too, s);
	for (int i = 0; i < 3; i++)
		pthread_create(t + i, NULL, increments, s);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	reap("child", p);
	printf("value %d\n", s->value);
}

/* A word in a file that two processes map at different places is one futex. */
static int waits_in_file(void *arg)
{
	int fd = (int)(long)arg;
	uint32_t *mine;

	map_anon(3 * PAGE, PROT_NONE); /* so that it lies elsewhere */
	mine = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	__atomic_add_fetch(word + 8, 1, __ATOMIC_SEQ_CST);
	return futex(mine, FUTEX_WAIT, 0, NULL, NULL, 0) != 0;
}

static void case_file(void)
{
	int fd = memfd_create("futex", 0);
	uint32_t *mine;
	pid_t p;

	memset(word, 0, 64);
	check(ftruncate(fd, PAGE) == 0, "ftruncate");
	p = child(waits_in_file, (void *)(long)fd);
	until_waiting(&p, 1);
	mine = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	say_call("private", futex(mine, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
	say_call("shared", futex(mine, FUTEX_WAKE, 1, NULL, NULL, 0));
	reap("waiter", p);
}

static void *joins(void *arg)
{
	return arg;
}

static void case_clear_tid(void)
{
	for (int i = 0; i < 200; i++) {
		pthread_t t;

		check(pthread_create(&t, NULL, joins, NULL) == 0, "thread");
		pthread_join(t, NULL);
	}
	printf("200 threads joined\n");
}

/*
 * What the kernel does with a word is one step, also where the page has yet to be found a frame: on a new page each time, one thread has
 * the kernel change the word, the other changes it itself. Lost is what comes between a reading and a writing. (With memory that
 * is short and a slow store: tests/programs/shortage.py.)
 */
enum {
	STEPS = 256,
	FULL = 1536,
	APART = 2 << 20
}; /* a node of the page table for each: a frame goes between the reading and the writing */

static uint8_t *steps;
static uint32_t begun[2], inside[STEPS], intruded;

static uint32_t *step(long me, int i)
{
	__atomic_store_n(begun + me, i + 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(begun + !me, __ATOMIC_SEQ_CST) <= (uint32_t)i)
		sched_yield();
	return (uint32_t *)(steps + (size_t)i * APART);
}

static void *adds(void *arg)
{
	long me = (long)arg;

	for (int i = 0; i < STEPS; i++) {
		uint32_t *w = step(me, i);

		if (me == 0)
			futex_n(word, FUTEX_WAKE_OP, 0, 0, w,
				FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 1));
		else
			__atomic_add_fetch(w, 1, __ATOMIC_SEQ_CST);
	}
	__atomic_store_n(begun + me, STEPS + 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *locks(void *arg)
{
	long me = (long)arg;
	uint32_t tid = (uint32_t)syscall(SYS_gettid);

	for (int i = 0; i < STEPS; i++) {
		uint32_t *w = step(me, i), is = 0;

		if (me == 0 || !__atomic_compare_exchange_n(
				       w, &is, tid, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			check(futex(w, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0, "lock");
		intruded += __atomic_exchange_n(inside + i, 1, __ATOMIC_SEQ_CST);
		if (me == 1)
			pause_ms(2);
		__atomic_store_n(inside + i, 0, __ATOMIC_SEQ_CST);
		is = tid;
		if (!__atomic_compare_exchange_n(w, &is, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			intruded += futex(w, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) != 0;
	}
	__atomic_store_n(begun + me, STEPS + 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void both(void *(*f)(void *))
{
	pthread_t t[2];

	memset(begun, 0, sizeof(begun));
	steps = mmap(NULL, (size_t)STEPS * APART, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	check(steps != MAP_FAILED, "mmap");
	for (long i = 0; i < 2; i++)
		check(pthread_create(t + i, NULL, f, (void *)i) == 0, "thread");
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

static void case_one_step(void)
{
	uint8_t *full = map_anon(FULL * PAGE, PROT_READ | PROT_WRITE);
	unsigned lost = 0;

	for (int i = 0; i < FULL; i++)
		full[(size_t)i * PAGE] = 1;
	both(adds);
	for (int i = 0; i < STEPS; i++)
		lost += *(uint32_t *)(steps + (size_t)i * APART) != 2;
	both(locks);
	printf("sums that are wrong: %u; two owners: %u times\n", lost, intruded);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {{"errors", case_errors}, {"threads", case_threads},
		{"clear_tid", case_clear_tid}, {"processes", case_processes},
		{"requeue", case_requeue}, {"bitset", case_bitset}, {"wake_op", case_wake_op},
		{"robust", case_robust}, {"inherit", case_inherit}, {"file", case_file},
		{"one_step", case_one_step}, {NULL, NULL}};

	word = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(word != MAP_FAILED, "mmap");
	return run_cases(cases, argc, argv);
}
