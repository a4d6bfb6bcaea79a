/* SPDX-License-Identifier: MIT */
/*
 * Programs that misuse malloc, one by name: abuse CASE. Run by harden.py under each family.
 *
 * Prints the address that the report must name, does the deed, and then what a program would go on to do, until the
 * allocator had to notice. Ends with status 0 if it did not.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap/layout.h"

/* What the compiler would warn of is the purpose. */
static void *(*volatile get)(size_t) = malloc;
static void *(*volatile again)(void *, size_t) = realloc;
static void (*volatile put)(void *) = free;
static size_t (*volatile usable)(void *) = malloc_usable_size;

static void report(const void *p)
{
	printf("%#lx\n", (unsigned long)p);
	fflush(stdout);
}

/* Allocates and frees until every list and page has been looked at. */
static void go_on(void)
{
	void *set[2000];

	for (int i = 0; i < 2000; i++)
		set[i] = get((size_t)(i % 50) * 32);
	for (int i = 0; i < 2000; i++)
		put(set[i]);
	malloc_trim(0);
}

static void twice(size_t size)
{
	char *a = get(size), *b = get(size);

	report(a);
	put(a);
	put(a);
	put(b);
}

static void twice_small(void)
{
	twice(40);
}

static void twice_page(void)
{
	twice(5000);
}

static void twice_large(void)
{
	twice(100000);
}

static void twice_huge(void)
{
	twice(8 << 20);
}

static void twice_with_others_between(void)
{
	char *set[10];

	for (int i = 0; i < 10; i++)
		set[i] = get(100);
	report(set[4]);
	for (int i = 2; i < 8; i++)
		put(set[i]);
	put(set[4]);
}

static void twice_after_it_was_written(void)
{
	char *a = get(64);

	get(64);
	report(a);
	put(a);
	memset(a, 0x41, 16);
	put(a);
	go_on();
}

static void *free_it(void *p)
{
	put(p);
	return NULL;
}

static void elsewhere(void *p)
{
	pthread_t t;

	pthread_create(&t, NULL, free_it, p);
	pthread_join(t, NULL);
}

static void twice_in_another_thread(void)
{
	char *a = get(40);

	report(a);
	elsewhere(a);
	elsewhere(a);
}

static void twice_here_then_there(void)
{
	char *a = get(40);

	report(a);
	put(a);
	elsewhere(a);
}

static void twice_there_then_here(void)
{
	char *a = get(40);

	report(a);
	elsewhere(a);
	put(a);
	go_on();
}

static void invalid_inside_block(void)
{
	char *a = get(200);

	report(a + 32);
	put(a + 32);
}

static void invalid_odd_address(void)
{
	char *a = get(200);

	report(a + 3);
	put(a + 3);
}

static void invalid_inside_large(void)
{
	char *a = get(200000);

	report(a + 65536);
	put(a + 65536);
}

static void invalid_inside_huge(void)
{
	char *a = get(20 << 20);

	report(a + 4096);
	put(a + 4096);
}

static void invalid_on_stack(void)
{
	long local[8] = {0};

	get(10);
	report(&local[2]);
	put(&local[2]);
}

static void invalid_static(void)
{
	static long place[8];

	get(10);
	report(&place[4]);
	put(&place[4]);
}

static void invalid_small_number(void)
{
	get(10);
	report((void *)16);
	put((void *)16);
}

static void invalid_not_canonical(void)
{
	get(10);
	report((void *)0xdeadbeef00000010u);
	put((void *)0xdeadbeef00000010u);
}

static void realloc_of_freed(void)
{
	char *a = get(80);

	get(80);
	report(a);
	put(a);
	again(a, 400);
}

static void realloc_of_invalid(void)
{
	char *a = get(80);

	report(a + 16);
	again(a + 16, 400);
}

static void usable_size_of_freed(void)
{
	char *a = get(80);

	get(80);
	report(a);
	put(a);
	usable(a);
}

/* What lies behind a block is overwritten; the report is about what was hit. */
static void overrun_into_next(void)
{
	char *a = get(40), *b = get(40), *c = get(40);

	report(b > a ? b : a);
	memset(a, 'x', malloc_usable_size(a) + 12);
	put(a);
	put(c);
	put(b);
}

static void overrun_found_by_victim(void)
{
	char *a = get(40), *b = get(40);

	report(b);
	a[malloc_usable_size(a)] ^= 1;
	put(b);
}

static void overrun_into_free_block(void)
{
	char *a = get(40), *b = get(3000), *c = get(40);

	put(b);
	report(b);
	memset(a, 'x', malloc_usable_size(a) + 16);
	put(a);
	put(c);
	go_on();
}

static void list_corrupted(void)
{
	char *a = get(3000), *b = get(40), *c = get(3000), *d = get(40);

	put(a);
	put(c);
	report(c);
	memset(c, 0x20, 16);
	put(b);
	put(d);
	go_on();
}

static void list_corrupted_one_bit(void)
{
	char *a = get(3000), *b = get(40), *c = get(3000), *d = get(40);

	put(a);
	put(c);
	report(c);
	c[1] ^= 4;
	put(b);
	put(d);
	go_on();
}

/* The header of a segment is run over from what lies before it. */
static void segment_header_overwritten(void)
{
	uintptr_t segment = (uintptr_t)get(40) & ~(PG_HEAP_SEGMENT_BYTES - 1);

	report((void *)segment);
	memset((void *)segment, 0x20, PG_HEAP_HEADER_OF(segment) - segment + 8);
	go_on();
	for (int i = 0; i < 100; i++)
		get(10000);
}

/* Not an error that can be seen; but it must break nothing. */
static void freed_block_written(void)
{
	char *set[100];

	for (int i = 0; i < 100; i++)
		set[i] = get(64);
	report(set[0]);
	for (int i = 0; i < 100; i++) {
		put(set[i]);
		memset(set[i], 0xff, 64);
	}
	go_on();
}

struct misuse {
	const char *name;
	void (*run)(void);
};

#define MISUSE(name)                                                                               \
	{                                                                                          \
#name, name                                                                        \
	}

static const struct misuse cases[] = {
	MISUSE(twice_small),
	MISUSE(twice_page),
	MISUSE(twice_large),
	MISUSE(twice_huge),
	MISUSE(twice_with_others_between),
	MISUSE(twice_after_it_was_written),
	MISUSE(twice_in_another_thread),
	MISUSE(twice_here_then_there),
	MISUSE(twice_there_then_here),
	MISUSE(invalid_inside_block),
	MISUSE(invalid_odd_address),
	MISUSE(invalid_inside_large),
	MISUSE(invalid_inside_huge),
	MISUSE(invalid_on_stack),
	MISUSE(invalid_static),
	MISUSE(invalid_small_number),
	MISUSE(invalid_not_canonical),
	MISUSE(realloc_of_freed),
	MISUSE(realloc_of_invalid),
	MISUSE(usable_size_of_freed),
	MISUSE(overrun_into_next),
	MISUSE(overrun_found_by_victim),
	MISUSE(overrun_into_free_block),
	MISUSE(list_corrupted),
	MISUSE(list_corrupted_one_bit),
	MISUSE(segment_header_overwritten),
	MISUSE(freed_block_written),
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		if (argc > 1 && strcmp(argv[1], cases[i].name) == 0) {
			cases[i].run();
			return 0;
		}
		if (argc == 1)
			puts(cases[i].name);
	}
	return argc == 1 ? 0 : 2;
}
