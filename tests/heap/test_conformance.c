/* SPDX-License-Identifier: MIT */
/*
 * The interface of malloc, as glibc has it (R18). This program knows nothing of libpagoda-malloc: it is run with glibc's own
 * allocator, which must pass too, and with ours preloaded, once for each family.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The compiler must neither know what malloc does nor that a size is absurd. */
static void *(*volatile do_malloc)(size_t) = malloc;
static void *(*volatile do_calloc)(size_t, size_t) = calloc;
static void *(*volatile do_realloc)(void *, size_t) = realloc;
static void *(*volatile do_reallocarray)(void *, size_t, size_t) = reallocarray;
static void (*volatile do_free)(void *) = free;
static void *(*volatile do_memalign)(size_t, size_t) = memalign;
static void *(*volatile do_aligned_alloc)(size_t, size_t) = aligned_alloc;
static int (*volatile do_posix_memalign)(void **, size_t, size_t) = posix_memalign;

static const size_t sizes[] = {0, 1, 8, 15, 16, 17, 24, 31, 32, 33, 100, 127, 128, 129, 255, 256,
	257, 1000, 1024, 1025, 4095, 4096, 4097, 10000, 16384, 16385, 65535, 65536, 65537, 131072,
	200000, 1048576, 1048577, 3000000, 5000000};
#define SIZES (sizeof sizes / sizeof sizes[0])

static void fill(void *p, size_t size, unsigned seed)
{
	unsigned char *c = p;

	for (size_t i = 0; i < size; i++)
		c[i] = (unsigned char)(seed + i * 7);
}

static int filled(const void *p, size_t size, unsigned seed)
{
	const unsigned char *c = p;

	for (size_t i = 0; i < size; i++) {
		if (c[i] != (unsigned char)(seed + i * 7))
			return 0;
	}
	return 1;
}

/* --- blocks ------------------------------------------------------------------------------------ */

static void malloc_any_size_is_aligned_and_apart(void **state)
{
	void *set[SIZES];

	for (size_t i = 0; i < SIZES; i++) {
		set[i] = do_malloc(sizes[i]);
		assert_non_null(set[i]);
		assert_int_equal((uintptr_t)set[i] % 16, 0);
		fill(set[i], sizes[i], (unsigned)i);
	}
	for (size_t i = 0; i < SIZES; i++) {
		assert_true(filled(set[i], sizes[i], (unsigned)i));
		for (size_t k = 0; k < i; k++)
			assert_ptr_not_equal(set[i], set[k]);
	}
	for (size_t i = 0; i < SIZES; i++)
		do_free(set[i]);
}

static void malloc_size_zero_gives_blocks(void **state)
{
	void *a = do_malloc(0), *b = do_malloc(0), *c = do_calloc(0, 5);

	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
	assert_ptr_not_equal(a, b);
	do_free(a);
	do_free(b);
	do_free(c);
}

static void malloc_too_large_is_enomem(void **state)
{
	static const size_t absurd[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 4096,
		(size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX, PTRDIFF_MAX - 4096, (size_t)1 << 60};

	for (size_t i = 0; i < sizeof absurd / sizeof absurd[0]; i++) {
		errno = 0;
		assert_null(do_malloc(absurd[i]));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(do_calloc(1, absurd[i]));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(do_memalign(64, absurd[i]));
		assert_int_equal(errno, ENOMEM);
	}
}

static void calloc_overflow_is_enomem(void **state)
{
	errno = 0;
	assert_null(do_calloc(SIZE_MAX / 2, 3));
	assert_int_equal(errno, ENOMEM);
	errno = 0;
	assert_null(do_reallocarray(NULL, SIZE_MAX / 2, 3));
	assert_int_equal(errno, ENOMEM);
}

static void calloc_after_dirty_blocks_is_zero(void **state)
{
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < SIZES; i++) {
			unsigned char *p = do_malloc(sizes[i]);
			assert_non_null(p);
			memset(p, 0xaa, sizes[i]);
			do_free(p);
			p = do_calloc(1, sizes[i]);
			assert_non_null(p);
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(p[k], 0);
			memset(p, 0x55, sizes[i]);
			do_free(p);
		}
	}
}

static void free_keeps_errno(void **state)
{
	void *small = do_malloc(100), *large = do_malloc(30 << 20);

	errno = 1234;
	do_free(NULL);
	do_free(small);
	do_free(large);
	assert_int_equal(errno, 1234);
}

/* --- realloc ------------------------------------------------------------------------------------ */

static void realloc_to_any_size_keeps_contents(void **state)
{
	for (size_t i = 0; i < SIZES; i++) {
		for (size_t k = 0; k < SIZES; k++) {
			size_t common = sizes[i] < sizes[k] ? sizes[i] : sizes[k];
			if (sizes[k] == 0)
				continue;
			void *p = do_malloc(sizes[i]);
			fill(p, sizes[i], (unsigned)(i + k));
			p = do_realloc(p, sizes[k]);
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % 16, 0);
			assert_true(filled(p, common, (unsigned)(i + k)));
			fill(p, sizes[k], 9);
			do_free(p);
		}
	}
}

static void realloc_null_is_malloc_and_zero_frees(void **state)
{
	void *p = do_realloc(NULL, 40);

	assert_non_null(p);
	assert_null(do_realloc(p, 0));
	p = do_realloc(NULL, 0);
	assert_non_null(p);
	do_free(p);
	p = do_reallocarray(NULL, 10, 10);
	assert_non_null(p);
	fill(p, 100, 1);
	p = do_reallocarray(p, 100, 10);
	assert_true(filled(p, 100, 1));
	do_free(p);
}

static void realloc_failed_leaves_block(void **state)
{
	static const size_t from[] = {20, 5000, 70000, 3000000};

	for (int i = 0; i < 4; i++) {
		void *p = do_malloc(from[i]);
		fill(p, from[i], 3);
		errno = 0;
		assert_null(do_realloc(p, PTRDIFF_MAX));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(do_realloc(p, SIZE_MAX - 100));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(do_reallocarray(p, SIZE_MAX / 4, 5));
		assert_int_equal(errno, ENOMEM);
		assert_true(filled(p, from[i], 3));
		do_free(p);
	}
}

static void realloc_step_by_step_keeps_contents(void **state)
{
	unsigned char *p = NULL;
	size_t size = 0;

	for (size_t next = 1; next < 12u << 20; next += next / 5 + 1) {
		p = do_realloc(p, next);
		assert_non_null(p);
		for (size_t k = size; k < next; k++)
			p[k] = (unsigned char)(k * 7);
		size = next;
	}
	assert_true(filled(p, size, 0));
	while (size > 10) {
		size -= size / 5 + 1;
		p = do_realloc(p, size);
		assert_true(filled(p, size, 0));
	}
	do_free(p);
}

/* --- alignment ----------------------------------------------------------------------------------- */

static void memalign_every_power_of_two_is_aligned(void **state)
{
	for (size_t align = 1; align <= 8u << 20; align *= 2) {
		void *set[SIZES];
		for (size_t i = 0; i < SIZES; i++) {
			set[i] = do_memalign(align, sizes[i]);
			assert_non_null(set[i]);
			assert_int_equal((uintptr_t)set[i] % align, 0);
			assert_true(malloc_usable_size(set[i]) >= sizes[i]);
			fill(set[i], sizes[i], (unsigned)i);
		}
		for (size_t i = 0; i < SIZES; i += 2)
			do_free(set[i]);
		for (size_t i = 1; i < SIZES; i += 2) {
			assert_true(filled(set[i], sizes[i], (unsigned)i));
			set[i] = do_realloc(set[i], sizes[i] + 100);
			assert_true(filled(set[i], sizes[i], (unsigned)i));
			do_free(set[i]);
		}
	}
}

static void memalign_odd_alignment_is_rounded_up(void **state)
{
	void *p = do_memalign(24, 100), *q = do_memalign(3000, 100), *r = do_aligned_alloc(64, 100),
	     *s = do_memalign(0, 8);

	assert_non_null(p);
	assert_int_equal((uintptr_t)p % 32, 0);
	assert_int_equal((uintptr_t)q % 4096, 0);
	assert_int_equal((uintptr_t)r % 64, 0);
	assert_non_null(s);
	do_free(p);
	do_free(q);
	do_free(r);
	do_free(s);
	errno = 0;
	assert_null(do_memalign(SIZE_MAX / 2 + 2, 8));
	assert_int_equal(errno, EINVAL);
}

static void posix_memalign_bad_alignment_is_einval(void **state)
{
	static const size_t bad[] = {0, 1, 2, 4, 3, 12, 24, 4095, SIZE_MAX};
	void *mark = state, *p;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		p = mark;
		assert_int_equal(do_posix_memalign(&p, bad[i], 10), EINVAL);
		assert_ptr_equal(p, mark);
	}
	p = mark;
	assert_int_equal(do_posix_memalign(&p, 64, PTRDIFF_MAX), ENOMEM);
	assert_ptr_equal(p, mark);
	assert_int_equal(do_posix_memalign(&p, 8, 10), 0);
	do_free(p);
}

static void valloc_and_pvalloc_are_page_aligned(void **state)
{
	void *p = valloc(10), *q = pvalloc(10), *r = pvalloc(4097);

	assert_int_equal((uintptr_t)p % 4096, 0);
	assert_int_equal((uintptr_t)q % 4096, 0);
	assert_true(malloc_usable_size(q) >= 4096);
	assert_true(malloc_usable_size(r) >= 8192);
	memset(q, 1, 4096);
	memset(r, 1, 8192);
	do_free(p);
	do_free(q);
	do_free(r);
	void *(*volatile do_pvalloc)(size_t) = pvalloc;
	errno = 0;
	assert_null(do_pvalloc(SIZE_MAX));
	assert_int_equal(errno, ENOMEM);
}

/* --- what is asked about the heap ------------------------------------------------------------------ */

static void usable_size_covers_and_may_be_written(void **state)
{
	unsigned char *set[SIZES];
	size_t usable[SIZES];

	assert_int_equal(malloc_usable_size(NULL), 0);
	for (size_t i = 0; i < SIZES; i++) {
		set[i] = do_malloc(sizes[i]);
		usable[i] = malloc_usable_size(set[i]);
		assert_true(usable[i] >= sizes[i]);
		fill(set[i], usable[i], (unsigned)i);
	}
	for (size_t i = 0; i < SIZES; i++) {
		assert_true(filled(set[i], usable[i], (unsigned)i));
		do_free(set[i]);
	}
}

static size_t resident_bytes(void)
{
	unsigned long size, resident;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
	fclose(f);
	return resident * 4096;
}

static void free_and_trim_give_memory_back(void **state)
{
	static const size_t of[] = {100, 1000, 30000, 400000, 5000000};
	enum { TOTAL = 60 << 20 };

	for (int i = 0; i < 5; i++) {
		size_t n = TOTAL / of[i], before = resident_bytes();
		char **set = do_calloc(n, sizeof *set);
		for (size_t k = 0; k < n; k++) {
			set[k] = do_malloc(of[i]);
			memset(set[k], 1, of[i]);
		}
		assert_true(resident_bytes() > before + TOTAL / 2);
		for (size_t k = 0; k < n; k++)
			do_free(set[k]);
		do_free(set);
		malloc_trim(0);
		assert_true(resident_bytes() < before + TOTAL / 8);
	}
}

static void mallinfo2_follows_what_is_in_use(void **state)
{
	enum { N = 2000 };
	static void *set[N];
	struct mallinfo2 before = mallinfo2();

	for (int i = 0; i < N; i++)
		set[i] = do_malloc(1000);
	struct mallinfo2 full = mallinfo2();
	assert_true(full.uordblks >= before.uordblks + N * 1000ul);
	assert_true(full.uordblks <= before.uordblks + N * 1100ul);
	assert_true(full.arena + full.hblkhd >= full.uordblks);
	for (int i = 0; i < N; i++)
		do_free(set[i]);
	struct mallinfo2 after = mallinfo2();
	assert_true(after.uordblks <= before.uordblks + 4096);
	void *huge = do_malloc(40 << 20);
	struct mallinfo2 with = mallinfo2();
	assert_true(with.uordblks + with.hblkhd >= after.uordblks + after.hblkhd + (40ul << 20));
	do_free(huge);
}

static void malloc_info_writes_a_document(void **state)
{
	char *text = NULL;
	size_t length = 0;
	FILE *f = open_memstream(&text, &length);

	assert_int_not_equal(malloc_info(1, f), 0);
	assert_int_equal(malloc_info(0, f), 0);
	fclose(f);
	assert_non_null(strstr(text, "<malloc version="));
	assert_non_null(strstr(text, "</malloc>"));
	free(text);
}

/* --- limits of the address space ------------------------------------------------------------------- */

struct limit {
	int resource;
	size_t block;
};

/* In a child: fills what the limit leaves, is told ENOMEM, frees everything, and can allocate again. */
static void fill_limit(const struct limit *l)
{
	enum { ROOM = 48 << 20 };
	unsigned long pages;
	FILE *f = fopen("/proc/self/statm", "r");
	void **list = NULL;
	size_t got = 0;

	if (!f || fscanf(f, l->resource == RLIMIT_AS ? "%lu" : "%*u %*u %*u %*u %*u %lu", &pages) !=
			  1)
		_exit(10);
	fclose(f);
	struct rlimit r = {pages * 4096 + ROOM, pages * 4096 + ROOM};
	if (setrlimit(l->resource, &r) != 0)
		_exit(11);
	for (;;) {
		errno = 0;
		void **p = do_malloc(l->block);
		if (!p)
			break;
		*p = list; /* a chain through the blocks */
		list = p;
		got += l->block;
		if (got > r.rlim_cur)
			_exit(12);
	}
	if (errno != ENOMEM)
		_exit(13);
	if (got < ROOM / 2)
		_exit(14);
	errno = 0;
	if (do_calloc(1, ROOM) || errno != ENOMEM)
		_exit(15);
	errno = 0;
	if (do_realloc(NULL, 2ul * ROOM) || errno != ENOMEM)
		_exit(16);
	void *aligned;
	if (do_posix_memalign(&aligned, 4096, ROOM) != ENOMEM)
		_exit(17);
	while (list) {
		void **next = *list;
		do_free(list);
		list = next;
	}
	if (!do_malloc(l->block) || !do_malloc(100))
		_exit(18);
	_exit(0);
}

static void malloc_at_limit_is_enomem(void **state)
{
	static const struct limit limits[] = {{RLIMIT_AS, 1000}, {RLIMIT_AS, 100000},
		{RLIMIT_AS, 3 << 20}, {RLIMIT_DATA, 1000}, {RLIMIT_DATA, 100000},
		{RLIMIT_DATA, 3 << 20}};

	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
		int status;
		pid_t child = fork();
		if (child == 0)
			fill_limit(&limits[i]);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (status != 0)
			print_error("limit %d, blocks of %zu: status %x\n", limits[i].resource,
				limits[i].block, status);
		assert_int_equal(status, 0);
	}
}

/* Something lies right behind the program break. */
static void malloc_with_break_blocked_works(void **state)
{
	enum { N = 20000 };
	int status;
	pid_t child = fork();

	if (child == 0) {
		static char *set[N];
		uintptr_t at = ((uintptr_t)sbrk(0) + 4095) / 4096 * 4096;
		if (mmap((void *)at, 4096, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)at)
			_exit(1);
		for (int i = 0; i < N; i++) {
			size_t size = 500 + (size_t)(i % 7 == 0) * 4000;
			set[i] = i % 3   ? do_malloc(size)
				 : i % 2 ? do_calloc(1, size)
					 : do_memalign(64, size);
			if (!set[i])
				_exit(2);
			memset(set[i], i, size);
		}
		for (int i = 0; i < N; i++) {
			if (i % 5 == 0)
				set[i] = do_realloc(set[i], 20000);
			if (!set[i] || malloc_usable_size(set[i]) < 500 || set[i][499] != (char)i)
				_exit(3);
			do_free(set[i]);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* --- early, late, and in a fork ---------------------------------------------------------------------- */

static void *early_block, *early_from_constructor;

/* Runs before any constructor, of any library. */
static void before_constructors(int argc, char **argv, char **env)
{
	early_block = malloc(100);
	early_block = realloc(early_block, 5000);
	free(malloc(2 << 20));
	fill(early_block, 5000, 4);
}

__attribute__((section(".preinit_array"), used)) static void (*preinit)(
	int, char **, char **) = before_constructors;

__attribute__((constructor)) static void in_constructor(void)
{
	early_from_constructor = calloc(10, 10);
}

static void malloc_before_constructors_works(void **state)
{
	assert_non_null(early_block);
	assert_true(filled(early_block, 5000, 4));
	assert_non_null(early_from_constructor);
	do_free(early_block);
	do_free(early_from_constructor);
}

static pthread_key_t keys[3];
static unsigned destroyed;

/* Sets itself again, so that the system calls it in each of its rounds; allocates and frees in each. */
static void at_end(void *p)
{
	void *q = do_malloc(300);

	fill(q, 300, 8);
	do_free(p);
	__atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
	pthread_setspecific(keys[__atomic_load_n(&destroyed, __ATOMIC_RELAXED) % 3], q);
}

static void *short_life(void *unused)
{
	for (int i = 0; i < 3; i++)
		pthread_setspecific(keys[i], do_malloc(200));
	do_free(do_malloc(20000));
	return do_malloc(50);
}

static void malloc_in_thread_destructors_works(void **state)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_key_create(&keys[i], at_end), 0);
	for (int i = 0; i < 200; i++) {
		pthread_t t;
		void *p;
		assert_int_equal(pthread_create(&t, NULL, short_life, NULL), 0);
		assert_int_equal(pthread_join(t, &p), 0);
		do_free(p);
	}
	assert_true(destroyed >= 600);
	for (int i = 0; i < 3; i++)
		pthread_key_delete(keys[i]);
}

static volatile int stop;

static void *churn(void *seed)
{
	void *set[64] = {NULL};
	uintptr_t r = (uintptr_t)seed;

	while (!stop) {
		r = r * 6364136223846793005u + 1442695040888963407u;
		size_t k = r >> 40 & 63;
		do_free(set[k]);
		set[k] = do_malloc((r >> 20 & 4095) << ((r >> 36 & 31) == 0 ? 8 : 0));
	}
	for (int i = 0; i < 64; i++)
		do_free(set[i]);
	return NULL;
}

/* Run around fork; before ours or after, they may allocate. */
static void *around;

static void around_fork(void)
{
	around = do_realloc(around, 3000);
	do_free(do_malloc(300000));
}

static void fork_while_threads_allocate_leaves_child_a_heap(void **state)
{
	pthread_t others[3];
	void *kept[100];

	pthread_atfork(around_fork, around_fork, around_fork);
	stop = 0;
	for (uintptr_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&others[i], NULL, churn, (void *)(i + 1)), 0);
	for (int i = 0; i < 100; i++) {
		kept[i] = do_malloc((size_t)i * 50);
		fill(kept[i], (size_t)i * 50, (unsigned)i);
	}
	for (int round = 0; round < 60; round++) {
		int status;
		pid_t child = fork();
		if (child == 0) {
			alarm(200); /* a lock held in the fork would be for ever */
			for (int i = 0; i < 100; i++) {
				if (!filled(kept[i], (size_t)i * 50, (unsigned)i))
					_exit(1);
				do_free(kept[i]);
			}
			stop = 1;
			pthread_t t; /* a thread of the child's */
			if (pthread_create(&t, NULL, churn, (void *)7) || pthread_join(t, NULL))
				_exit(2);
			for (int i = 0; i < 2000; i++)
				do_free(do_malloc((size_t)i * 20));
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	stop = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(others[i], NULL);
	for (int i = 0; i < 100; i++) {
		assert_true(filled(kept[i], (size_t)i * 50, (unsigned)i));
		do_free(kept[i]);
	}
}

/* Blocks outlive the thread that made them, and the last reference frees them elsewhere. */
static void *make_blocks(void *unused)
{
	void **set = do_malloc(3000 * sizeof *set);

	for (int i = 0; i < 3000; i++) {
		size_t size = i % 100 == 0 ? 50000 : (size_t)(i % 40) * 20;
		set[i] = do_malloc(size);
		fill(set[i], size, (unsigned)i);
	}
	return set;
}

static void blocks_of_ended_threads_are_freed_by_others(void **state)
{
	for (int round = 0; round < 30; round++) {
		pthread_t t;
		void **set, *result;
		assert_int_equal(pthread_create(&t, NULL, make_blocks, NULL), 0);
		assert_int_equal(pthread_join(t, &result), 0);
		set = result;
		for (int i = 0; i < 3000; i++) {
			assert_true(filled(
				set[i], i % 100 == 0 ? 50000 : (size_t)(i % 40) * 20, (unsigned)i));
			do_free(set[i]);
		}
		do_free(set);
	}
	malloc_trim(0);
	assert_true(mallinfo2().uordblks < 8u << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malloc_any_size_is_aligned_and_apart),
		cmocka_unit_test(malloc_size_zero_gives_blocks),
		cmocka_unit_test(malloc_too_large_is_enomem),
		cmocka_unit_test(calloc_overflow_is_enomem),
		cmocka_unit_test(calloc_after_dirty_blocks_is_zero),
		cmocka_unit_test(free_keeps_errno),
		cmocka_unit_test(realloc_to_any_size_keeps_contents),
		cmocka_unit_test(realloc_null_is_malloc_and_zero_frees),
		cmocka_unit_test(realloc_failed_leaves_block),
		cmocka_unit_test(realloc_step_by_step_keeps_contents),
		cmocka_unit_test(memalign_every_power_of_two_is_aligned),
		cmocka_unit_test(memalign_odd_alignment_is_rounded_up),
		cmocka_unit_test(posix_memalign_bad_alignment_is_einval),
		cmocka_unit_test(valloc_and_pvalloc_are_page_aligned),
		cmocka_unit_test(usable_size_covers_and_may_be_written),
		cmocka_unit_test(free_and_trim_give_memory_back),
		cmocka_unit_test(mallinfo2_follows_what_is_in_use),
		cmocka_unit_test(malloc_info_writes_a_document),
		cmocka_unit_test(malloc_at_limit_is_enomem),
		cmocka_unit_test(malloc_with_break_blocked_works),
		cmocka_unit_test(malloc_before_constructors_works),
		cmocka_unit_test(malloc_in_thread_destructors_works),
		cmocka_unit_test(fork_while_threads_allocate_leaves_child_a_heap),
		cmocka_unit_test(blocks_of_ended_threads_are_freed_by_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
