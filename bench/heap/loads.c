/* SPDX-License-Identifier: MIT */
/*
 * bench/heap/loads.c: workloads for allocators: bench_heap LOAD [THREADS [SCALE]], run by bench/heap.py under each of them.
 *
 * Prints one line: operations, seconds of wall clock, seconds of processor time, peak resident KiB before and after the
 * load. An operation is one malloc, realloc or free. Blocks are written to: first and last byte, and one of each page.
 *
 *   small     64-byte blocks, a thousand at a time
 *   tiny      objects of 8 to 48 bytes with short lives, as of a program that computes with long numbers (cfrac)
 *   random    16 bytes to 32 KiB, small ones more often, a live set of 20,000 blocks replaced at random
 *   large     20 KiB to 4 MiB, a live set of 40
 *   larson    each thread replaces blocks of 10 to 500 bytes in its set, then leaves the set to a new thread
 *             (Larson and Krishnan, ISMM 1998)
 *   pass      producers allocate, consumers free
 *   realloc   buffers that grow, a hundred side by side to 100 KiB, one by one to 16 MiB
 *   stack     no allocation: alloca of the same sizes as `small`, for comparison
 *   newheap   the first touch of each page of a large block; an operation is a page
 *   newstack  the first touch of each page of a thread's stack
 */
#include <alloca.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static unsigned threads = 2;
static double scale = 1;

struct random {
	uint64_t s;
};

static uint64_t draw(struct random *r)
{
	r->s ^= r->s << 13;
	r->s ^= r->s >> 7;
	r->s ^= r->s << 17;
	return r->s * 0x2545f4914f6cdd1du >> 16;
}

static size_t scaled(double n)
{
	return (size_t)(n * scale) + 1;
}

/* Writes to a block as a program would, and gives it back. */
static void *touched(void *p, size_t size)
{
	char *c = p;

	if (!c) {
		fprintf(stderr, "bench_heap: no memory\n");
		exit(1);
	}
	for (size_t i = 0; i < size; i += 4096)
		*(volatile char *)(c + i) = 1;
	if (size)
		*(volatile char *)(c + size - 1) = 1;
	return p;
}

/* --- one thread -------------------------------------------------------------------------------- */

static uint64_t small(unsigned seed)
{
	void *set[1000];
	size_t rounds = scaled(12000);

	for (size_t i = 0; i < rounds; i++) {
		for (int k = 0; k < 1000; k++)
			set[k] = touched(malloc(64), 64);
		for (int k = 0; k < 1000; k++)
			free(set[k]);
	}
	return rounds * 2000;
}

static uint64_t tiny(unsigned seed)
{
	enum { LIVE = 512 };
	struct random r = {seed * 77777ul + 12345};
	void *set[LIVE] = {NULL};
	size_t n = scaled(8e6);

	for (size_t i = 0; i < n; i++) {
		uint64_t d = draw(&r);
		/* Mostly the newest go; now and then an old one. */
		size_t k = d & 7 ? (i + (d >> 3 & 15)) % LIVE : (d >> 8) % LIVE;
		size_t size = 8 + (d >> 20 & 5) * 8;
		free(set[k]);
		set[k] = touched(malloc(size), size);
	}
	for (int k = 0; k < LIVE; k++)
		free(set[k]);
	return 2 * n;
}

static size_t draw_size(struct random *r)
{
	uint64_t d = draw(r);
	unsigned top = 4 + (d & 3) + (d >> 2 & 3) + ((d >> 4 & 7) == 0 ? d >> 7 & 3 : 0) +
		       ((d >> 9 & 31) == 0 ? 3 : 0);

	return (1ul << top) + (d >> 20 & ((1ul << top) - 1));
}

static uint64_t random_sizes(unsigned seed)
{
	enum { LIVE = 20000 };
	struct random r = {seed * 99991ul + 7};
	void **set = calloc(LIVE, sizeof *set);
	size_t n = scaled(3e6);

	for (size_t i = 0; i < n; i++) {
		size_t k = draw(&r) % LIVE, size = draw_size(&r);
		free(set[k]);
		set[k] = touched(malloc(size), size);
	}
	for (int k = 0; k < LIVE; k++)
		free(set[k]);
	free(set);
	return 2 * n;
}

static uint64_t large(unsigned seed)
{
	enum { LIVE = 40 };
	struct random r = {seed * 31337ul + 99};
	void *set[LIVE] = {NULL};
	size_t n = scaled(20000);

	for (size_t i = 0; i < n; i++) {
		uint64_t d = draw(&r);
		size_t top = 14 + d % 7 + (d >> 8 & 1);
		size_t size = 4096 + (1ul << top) + (d >> 20 & ((1ul << top) - 1));
		free(set[d >> 40 & 31]);
		set[d >> 40 & 31] = touched(malloc(size), size);
	}
	for (int k = 0; k < LIVE; k++)
		free(set[k]);
	return 2 * n;
}

static uint64_t realloc_growth(unsigned seed)
{
	struct random r = {seed * 4711ul + 3};
	uint64_t ops = 0;

	for (size_t round = scaled(30); round; round--) {
		char *set[100] = {NULL};
		size_t size[100] = {0};
		for (int done = 0; done < 100;) {
			unsigned k = (unsigned)(draw(&r) % 100);
			if (size[k] > 100000)
				continue;
			size[k] += 16 + size[k] / 4 + draw(&r) % 64;
			set[k] = realloc(set[k], size[k]);
			touched(set[k], size[k]);
			ops++;
			done += size[k] > 100000;
		}
		for (int k = 0; k < 100; k++)
			free(set[k]);
		ops += 100;
	}
	for (size_t round = scaled(20); round; round--) {
		char *p = NULL;
		for (size_t size = 1000; size < 16 << 20; size += size / 8) {
			p = realloc(p, size);
			touched(p, size);
			ops++;
		}
		free(p);
		ops++;
	}
	return ops;
}

static __attribute__((noinline)) void on_stack(size_t size)
{
	touched(alloca(size), size);
}

static uint64_t stack(unsigned seed)
{
	size_t n = scaled(12e6);

	for (size_t i = 0; i < n; i++)
		on_stack(64);
	return 2 * n;
}

enum { FRESH_BYTES = 32 << 20 };

static uint64_t new_heap(unsigned seed)
{
	size_t rounds = scaled(10);

	for (size_t i = 0; i < rounds; i++) {
		void *p = touched(malloc(FRESH_BYTES), FRESH_BYTES);
		free(p);
		malloc_trim(0);
	}
	return rounds * (FRESH_BYTES / 4096);
}

static void *deep(void *unused)
{
	on_stack(FRESH_BYTES);
	return NULL;
}

static uint64_t new_stack(unsigned seed)
{
	size_t rounds = scaled(10);
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, FRESH_BYTES + (1 << 20));
	for (size_t i = 0; i < rounds; i++) {
		if (pthread_create(&t, &attr, deep, NULL) != 0)
			exit(1);
		pthread_join(t, NULL);
	}
	return rounds * (FRESH_BYTES / 4096);
}

/* --- threads --------------------------------------------------------------------------------------- */

struct larson {
	struct random r;
	void **set;
	unsigned rounds;
	uint64_t ops;
	pthread_t next;
};

enum { LARSON_SET = 1000, LARSON_ROUND = 50000 };

static void *larson_thread(void *of)
{
	struct larson *l = of;

	for (int i = 0; i < LARSON_ROUND; i++) {
		size_t k = draw(&l->r) % LARSON_SET, size = 10 + draw(&l->r) % 491;
		free(l->set[k]);
		l->set[k] = touched(malloc(size), size);
	}
	l->ops += 2 * LARSON_ROUND;
	if (--l->rounds)
		pthread_create(&l->next, NULL, larson_thread, l);
	return NULL;
}

static uint64_t larson(unsigned seed)
{
	struct larson *all = calloc(threads, sizeof *all);
	uint64_t ops = 0;

	for (unsigned i = 0; i < threads; i++) {
		all[i].r.s = 1000003ul * (i + 1);
		all[i].set = calloc(LARSON_SET, sizeof(void *));
		all[i].rounds = (unsigned)scaled(60.0 / threads);
		pthread_create(&all[i].next, NULL, larson_thread, &all[i]);
	}
	for (unsigned i = 0; i < threads; i++) {
		unsigned left;
		do { /* the thread joined may have begun another */
			pthread_t joined = all[i].next;
			pthread_join(joined, NULL);
			left = all[i].rounds;
			if (!left && pthread_equal(joined, all[i].next))
				break;
		} while (1);
		ops += all[i].ops;
		for (int k = 0; k < LARSON_SET; k++)
			free(all[i].set[k]);
		free(all[i].set);
	}
	free(all);
	return ops;
}

struct ring {
	void *slot[1024];
	size_t head __attribute__((aligned(64)));
	size_t tail __attribute__((aligned(64)));
	size_t count;
	unsigned seed;
};

static void *produce(void *of)
{
	struct ring *ring = of;
	struct random r = {ring->seed * 271828ul + 1};

	for (size_t i = 0; i < ring->count; i++) {
		size_t size = 16 + draw(&r) % 240;
		void *p = touched(malloc(size), size);
		while (i - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) >= 1024)
			sched_yield();
		ring->slot[i % 1024] = p;
		__atomic_store_n(&ring->head, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void *consume(void *of)
{
	struct ring *ring = of;

	for (size_t i = 0; i < ring->count; i++) {
		while (__atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) == i)
			sched_yield();
		free(ring->slot[i % 1024]);
		__atomic_store_n(&ring->tail, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static uint64_t pass(unsigned seed)
{
	unsigned pairs = threads > 1 ? threads / 2 : 1;
	struct ring *rings = aligned_alloc(64, pairs * sizeof *rings);
	pthread_t *ends = calloc(2 * pairs, sizeof *ends);
	size_t n = scaled(3e6 / pairs);

	memset(rings, 0, pairs * sizeof *rings);
	for (unsigned i = 0; i < pairs; i++) {
		rings[i].count = n;
		rings[i].seed = i + 1;
		pthread_create(&ends[2 * i], NULL, produce, &rings[i]);
		pthread_create(&ends[2 * i + 1], NULL, consume, &rings[i]);
	}
	for (unsigned i = 0; i < 2 * pairs; i++)
		pthread_join(ends[i], NULL);
	free(ends);
	free(rings);
	return 2 * n * pairs;
}

/* --- main --------------------------------------------------------------------------------------------- */

struct load {
	const char *name;
	uint64_t (*run)(unsigned seed); /* returns operations */
	int alone;                      /* run by each thread; else it makes its own */
};

static const struct load loads[] = {
	{"small", small, 1},
	{"tiny", tiny, 1},
	{"random", random_sizes, 1},
	{"large", large, 1},
	{"larson", larson, 0},
	{"pass", pass, 0},
	{"realloc", realloc_growth, 1},
	{"stack", stack, 1},
	{"newheap", new_heap, 1},
	{"newstack", new_stack, 1},
};

static const struct load *chosen;

static void *one_thread(void *seed)
{
	return (void *)chosen->run((unsigned)(uintptr_t)seed);
}

static uint64_t run(void)
{
	pthread_t others[64];
	uint64_t ops = 0;
	void *part;

	if (!chosen->alone)
		return chosen->run(1);
	scale /= threads;
	for (unsigned i = 1; i < threads; i++)
		pthread_create(&others[i], NULL, one_thread, (void *)(uintptr_t)(i + 1));
	ops = chosen->run(1);
	for (unsigned i = 1; i < threads; i++) {
		pthread_join(others[i], &part);
		ops += (uint64_t)part;
	}
	return ops;
}

static double seconds(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* VmHWM; getrusage() would count what the process was before exec. */
static long peak_kib(void)
{
	char text[4096], *at;
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);

	close(fd);
	text[n > 0 ? n : 0] = 0;
	at = strstr(text, "VmHWM:");
	return at ? atol(at + 6) : 0;
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof loads / sizeof loads[0]; i++) {
		if (strcmp(argv[1], loads[i].name) == 0)
			chosen = &loads[i];
	}
	threads = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
	scale = argc > 3 ? atof(argv[3]) : 1;
	if (!chosen || threads < 1 || threads > 64 || scale <= 0) {
		fprintf(stderr,
			"usage: bench_heap "
			"small|tiny|random|large|larson|pass|realloc|stack|newheap|newstack "
			"[THREADS [SCALE]]\n");
		return 2;
	}
	long before = peak_kib();
	double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t ops = run();
	wall = seconds(CLOCK_MONOTONIC) - wall;
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%llu %.6f %.6f %ld %ld\n", (unsigned long long)ops, wall, cpu, before, peak_kib());
	return 0;
}
