/* SPDX-License-Identifier: MIT */
/*
 * tests/heapview/known.c: a program that knows its heap: it says on standard output what `pagoda heap` is to find.
 *
 *     block ADDRESS REQUESTED USABLE LINE   for each block that it has at its end; LINE called malloc
 *     most BYTES CALL                       the most bytes it ever had, and after which of its calls
 *     info FIELD VALUE ...                  mallinfo2() at that moment; then it ends at once
 *
 * Arguments: a seed, the number of operations, threads (0: none), and options: "small" (no block above 1 KiB), "few" (12 blocks at
 * most, so that there are frees soon), "fork" (the child does
 * it all). It prints without the allocator.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS 600
#define THREADS 4

static struct block {
	void *p;
	size_t requested;
	int line;
} blocks[THREADS + 1][BLOCKS];

static unsigned long operations;
static int small;
static size_t room = BLOCKS;
static size_t live, most; /* of the first thread */
static unsigned long calls, most_call;

static void say(const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (write(1, text, (size_t)n) != n)
		_exit(3);
}

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13; /* Marsaglia, xorshift64 */
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static size_t a_size(uint64_t *r)
{
	static const size_t kinds[] = {24, 100, 500, 1000, 5000, 40000, 300000};
	return next(r) % kinds[next(r) % (small ? 4u : 7u)];
}

static void count(long bytes)
{
	calls++;
	live += (size_t)bytes;
	if (live > most) {
		most = live;
		most_call = calls;
	}
}

static void fill(struct block *b)
{
	if (!b->p)
		_exit(4);
	memset(b->p, 0x5a, b->requested);
}

/* One operation on a block; counted if it is the first thread's. */
static void step(struct block *b, uint64_t *r, int counted)
{
	long before = b->p ? (long)b->requested : 0;

	if (b->p && next(r) % 4) {
		free(b->p);
		*b = (struct block){0};
		if (counted)
			count(-before);
		return;
	}
	size_t n = a_size(r);
	switch (b->p ? 5 : next(r) % 5) {
	case 0:
		*b = (struct block){calloc(n / 8 + 1, 8), (n / 8 + 1) * 8, __LINE__};
		break;
	case 1:
		*b = (struct block){aligned_alloc(64, n + 1), n + 1, __LINE__};
		break;
	case 2:
		*b = (struct block){NULL, n, __LINE__ + 1};
		if (posix_memalign(&b->p, 4096, n))
			_exit(4);
		break;
	case 5:
		*b = (struct block){realloc(b->p, n + 1), n + 1, __LINE__};
		break;
	default:
		*b = (struct block){malloc(n), n, __LINE__};
		break;
	}
	fill(b);
	if (counted)
		count((long)b->requested - before);
}

static atomic_int ready, go_on;

static pthread_t ids[THREADS + 1];

static void *thread(void *arg)
{
	size_t self = (size_t)arg;
	uint64_t r = 77 * self + 1;

	for (unsigned long i = 0; i < operations; i++)
		step(&blocks[self][next(&r) % BLOCKS], &r, 0);
	ready++;
	if (self % 2)
		return NULL; /* its cache goes, its blocks stay */
	while (!go_on)
		usleep(1000);
	return NULL;
}

static void tell(void)
{
	for (size_t t = 0; t <= THREADS; t++) {
		for (size_t i = 0; i < BLOCKS; i++) {
			const struct block *b = &blocks[t][i];
			if (b->p)
				say("block %p %zu %zu %d\n", b->p, b->requested,
					malloc_usable_size(b->p), b->line);
		}
	}
	say("most %zu %lu\n", most, most_call);
	struct mallinfo2 m = mallinfo2();
	say("info arena %zu ordblks %zu smblks %zu hblks %zu hblkhd %zu fsmblks %zu uordblks %zu "
	    "fordblks %zu keepcost %zu\n",
		m.arena, m.ordblks, m.smblks, m.hblks, m.hblkhd, m.fsmblks, m.uordblks, m.fordblks,
		m.keepcost);
	_exit(0);
}

int main(int argc, char **argv)
{
	uint64_t r = argc > 1 ? strtoul(argv[1], NULL, 10) * 2 + 1 : 1;
	size_t threads = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	int forks = 0;

	operations = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
	for (int i = 4; i < argc; i++) {
		small |= !strcmp(argv[i], "small");
		forks |= !strcmp(argv[i], "fork");
		room = !strcmp(argv[i], "few") ? 12 : room;
	}
	for (unsigned long i = 0; i < operations; i++)
		step(&blocks[0][next(&r) % room], &r, 1);
	if (forks && fork()) {
		int status;
		wait(&status);
		_exit(WEXITSTATUS(status));
	}
	for (size_t i = 1; i <= threads; i++) {
		if (pthread_create(&ids[i], NULL, thread, (void *)i))
			_exit(5);
	}
	while ((size_t)ready < threads)
		usleep(1000);
	for (size_t i = 1; i <= threads; i += 2)
		pthread_join(ids[i], NULL);
	for (size_t i = 0; threads && i < BLOCKS; i += 3) { /* blocks of other threads */
		struct block *b = &blocks[1 + i % threads][i];
		free(b->p);
		*b = (struct block){0};
	}
	tell();
}
