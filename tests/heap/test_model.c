/* SPDX-License-Identifier: MIT */
/*
 * Random operations beside a model (R18, R19): what is in each block, and which bytes belong to whom.
 *
 * The model is a table of blocks with size and seed of their contents, and, for the operations of one thread, an ordered
 * list of their ranges: no two may overlap. Threads exchange blocks, so that most are freed by another than made them;
 * threads end and begin; children are forked meanwhile, check what they inherited, and go on allocating.
 *
 * Run with glibc's allocator and with each family preloaded. test_model [ROUNDS [SEED]]; "N passed, N failed".
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/random.h"

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                    \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

struct block {
	unsigned char *p; /* NULL: none */
	size_t size;
	uint64_t seed;
};

static size_t draw_size(struct pg_random *r)
{
	uint64_t d = pg_random_next(r);

	switch (d & 31) {
	case 0:
		return d >> 8 & 0x1fffff; /* to 2 MiB */
	case 1:
	case 2:
		return d >> 8 & 0x1ffff; /* to 128 KiB */
	case 3:
	case 4:
	case 5:
		return d >> 8 & 0x3fff;
	case 6:
		return 0;
	default:
		return d >> 8 & 0xff;
	}
}

/* Large blocks are checked at their edges and at some places between. */
static size_t step_of(size_t size)
{
	return size > 8192 ? size / 509 : 1;
}

static unsigned char byte_of(uint64_t seed, size_t i)
{
	return (unsigned char)(seed + i * 0x9e37u + (i >> 8));
}

static void fill(struct block *b)
{
	for (size_t i = 0; i < b->size; i += step_of(b->size))
		b->p[i] = byte_of(b->seed, i);
	if (b->size)
		b->p[b->size - 1] = byte_of(b->seed, b->size - 1);
}

/* Whether the first n bytes are as they were written when the size was `size`. */
static int holds(const struct block *b, size_t n)
{
	for (size_t i = 0; i < n; i += step_of(b->size)) {
		if (b->p[i] != byte_of(b->seed, i))
			return 0;
	}
	return n < b->size || n == 0 || b->p[n - 1] == byte_of(b->seed, n - 1);
}

static int is_zero(const struct block *b)
{
	for (size_t i = 0; i < b->size; i++) {
		if (b->p[i])
			return 0;
	}
	return 1;
}

static void make(struct block *b, struct pg_random *r)
{
	uint64_t d = pg_random_next(r);
	size_t align = 16;

	b->size = draw_size(r);
	b->seed = d;
	switch (d & 15) {
	case 0:
		b->p = calloc(b->size ? b->size : 1, 1);
		CHECK(b->p && is_zero(b));
		break;
	case 1:
		align = 8ul << (d >> 8 & 15);
		CHECK(posix_memalign((void **)&b->p, align, b->size) == 0);
		break;
	case 2:
		b->p = realloc(NULL, b->size);
		break;
	default:
		b->p = malloc(b->size);
	}
	CHECK(b->p && (uintptr_t)b->p % (align < 16 ? 16 : align) == 0);
	CHECK(malloc_usable_size(b->p) >= b->size);
	fill(b);
}

static void resize(struct block *b, struct pg_random *r)
{
	size_t size = draw_size(r);

	if (size == 0)
		size = 1;
	unsigned char *p = realloc(b->p, size);
	CHECK(p);
	b->p = p;
	CHECK(holds(b, size < b->size ? size : b->size));
	b->size = size;
	fill(b);
}

static void drop(struct block *b)
{
	CHECK(holds(b, b->size));
	free(b->p);
	b->p = NULL;
}

/* --- one thread: no two blocks overlap -------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
	const struct block *x = *(struct block *const *)a, *y = *(struct block *const *)b;

	return x->p < y->p ? -1 : x->p > y->p;
}

static void alone(size_t rounds, uint64_t seed)
{
	enum { SLOTS = 1500 };
	static struct block slots[SLOTS], *order[SLOTS];
	struct pg_random r;

	pg_random_seed(&r, seed);
	for (size_t i = 0; i < rounds; i++) {
		struct block *b = &slots[pg_random_next(&r) % SLOTS];
		if (!b->p)
			make(b, &r);
		else if (pg_random_next(&r) % 4 == 0)
			resize(b, &r);
		else
			drop(b);
		if (i % (rounds / 20 + 1) != 0)
			continue;
		size_t n = 0;
		for (int k = 0; k < SLOTS; k++) {
			if (slots[k].p)
				order[n++] = &slots[k];
		}
		qsort(order, n, sizeof order[0], by_address);
		for (size_t k = 0; k + 1 < n; k++)
			CHECK(order[k]->p + malloc_usable_size(order[k]->p) <= order[k + 1]->p);
		if (i % 3 == 0)
			malloc_trim(0);
	}
	for (int k = 0; k < SLOTS; k++) {
		if (slots[k].p)
			drop(&slots[k]);
	}
}

/* --- threads: blocks go from hand to hand ------------------------------------------------------------- */

#define SHARED 512

static struct block shared[SHARED];
static pthread_mutex_t locks[SHARED];
static size_t thread_rounds;

struct hand {
	pthread_t thread;
	uint64_t seed;
};

static void *hand(void *of)
{
	struct hand *h = of;
	struct pg_random r;
	struct block own[32] = {{NULL, 0, 0}};

	pg_random_seed(&r, h->seed);
	for (size_t i = 0; i < thread_rounds; i++) {
		struct block *mine = &own[pg_random_next(&r) % 32];
		uint64_t d = pg_random_next(&r);
		size_t k = d >> 8 & (SHARED - 1);
		if (!mine->p)
			make(mine, &r);
		else if ((d & 7) == 0)
			resize(mine, &r);
		else if ((d & 7) == 1)
			drop(mine);
		if ((d & 16) == 0)
			continue;
		pthread_mutex_lock(&locks[k]);
		struct block other = shared[k];
		shared[k] = *mine;
		*mine = other;
		pthread_mutex_unlock(&locks[k]);
		if (mine->p)
			CHECK(holds(mine, mine->size));
	}
	for (int i = 0; i < 32; i++) {
		if (own[i].p)
			drop(&own[i]);
	}
	return NULL;
}

/* What a child of the fork does with what it inherited; the locks of the test are held. */
static void child(uint64_t seed)
{
	struct pg_random r;

	alarm(200);
	pg_random_seed(&r, seed);
	for (int i = 0; i < SHARED; i++) {
		if (shared[i].p)
			drop(&shared[i]);
		make(&shared[i], &r);
	}
	for (int i = 0; i < 3000; i++) {
		struct block *b = &shared[pg_random_next(&r) % SHARED];
		if (!b->p)
			make(b, &r);
		else
			drop(b);
	}
	_exit(0);
}

static void together(size_t rounds, uint64_t seed)
{
	enum { HANDS = 4, GENERATIONS = 3 };
	struct hand hands[HANDS];

	thread_rounds = rounds / (HANDS * GENERATIONS);
	for (int i = 0; i < SHARED; i++)
		pthread_mutex_init(&locks[i], NULL);
	for (int generation = 0; generation < GENERATIONS; generation++) {
		for (int i = 0; i < HANDS; i++) {
			hands[i].seed = seed + (uint64_t)(generation * HANDS + i);
			CHECK(pthread_create(&hands[i].thread, NULL, hand, &hands[i]) == 0);
		}
		for (int forks = 0; forks < 4; forks++) {
			int status;
			for (int i = 0; i < SHARED; i++)
				pthread_mutex_lock(&locks[i]);
			pid_t pid = fork();
			if (pid == 0)
				child(seed + (uint64_t)forks);
			for (int i = 0; i < SHARED; i++)
				pthread_mutex_unlock(&locks[i]);
			CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
			CHECK(status == 0);
		}
		for (int i = 0; i < HANDS; i++)
			CHECK(pthread_join(hands[i].thread, NULL) == 0);
	}
	for (int i = 0; i < SHARED; i++) {
		if (shared[i].p)
			drop(&shared[i]);
	}
}

int main(int argc, char **argv)
{
	size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 40000;
	uint64_t seed = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;

	alone(rounds, seed);
	together(rounds, seed);
	malloc_trim(0);
	alone(rounds / 2, seed + 1);
	printf("3 passed, 0 failed\n");
	return 0;
}
