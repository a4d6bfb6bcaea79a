/* SPDX-License-Identifier: MIT */
/*
 * tests/residency/places.c: a guest that touches chosen pages of each kind of region and says which.
 *
 * places FILE: FILE has PLACES_FILE_PAGES pages of place_file_word(). Nothing is printed, so that the C library touches
 * nothing behind the table's back. Exit status 0 if each call did as asked; 1 and a line if not. Built static and static-PIE, run by
 * test_residency.c on a Pagoda machine and on Linux. STACK_PAGES is given by meson.build: with 64 the stack grows beyond what
 * exec made of it, with 24 it does not.
 */
#include "places.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul
#define ALIGNED __attribute__((aligned(4096)))

static ALIGNED struct place table[PLACES_MAX];
static unsigned places;

static ALIGNED volatile uint8_t data[40 * PAGE] = {[0 ... 40 * PAGE - 1] = PLACE_DATA_BYTE};
static ALIGNED volatile uint8_t bss[40 * PAGE];
static ALIGNED const volatile uint8_t constants[40 * PAGE] = {
	[0 ... 40 * PAGE - 1] = PLACE_CONST_BYTE};

static uint64_t sum; /* of what is read, so that reads are made */

static void fail(const char *what, size_t n)
{
	if (write(2, what, n) < 0)
		_exit(2);
	_exit(1);
}
#define CHECK(cond)                                                                                \
	((cond) ? (void)0 : fail("places: not " #cond "\n", sizeof "places: not " #cond))

static void note(volatile const void *page, enum place_state state, unsigned written,
	enum place_rest rest, unsigned file_page)
{
	CHECK(places < PLACES_MAX);
	table[places++] = (struct place){(uint64_t)page, state, written, rest, file_page};
}

/* Writes the first `words` words of a page. */
static void fill(volatile void *page, unsigned words)
{
	volatile uint64_t *p = page;

	for (unsigned i = 0; i < words; i++)
		p[i] = place_word((uint64_t)(p + i));
}

static void look(volatile const void *page)
{
	sum += *(volatile const uint64_t *)page;
}

/* Pages 0, 3 and 8 written, 5 only read, 1 and 9 never touched, of ten pages or more of private zeros. */
static void use_private(volatile uint8_t *p)
{
	fill(p, PLACES_WORDS);
	note(p, PLACE_PRIVATE, PLACES_WORDS, PLACE_REST_ZERO, 0);
	note(p + PAGE, PLACE_ABSENT, 0, PLACE_REST_ZERO, 0);
	fill(p + 3 * PAGE, 100);
	note(p + 3 * PAGE, PLACE_PRIVATE, 100, PLACE_REST_ZERO, 0);
	look(p + 5 * PAGE);
	note(p + 5 * PAGE, PLACE_ZERO, 0, PLACE_REST_ZERO, 0);
	look(p + 8 * PAGE); /* zero page first, then a frame of its own */
	fill(p + 8 * PAGE, 1);
	note(p + 8 * PAGE, PLACE_PRIVATE, 1, PLACE_REST_ZERO, 0);
	note(p + 9 * PAGE, PLACE_ABSENT, 0, PLACE_REST_ZERO, 0);
}

static void use_program(void)
{
	fill(data + 2 * PAGE, PLACES_WORDS);
	note(data + 2 * PAGE, PLACE_PRIVATE, PLACES_WORDS, PLACE_REST_DATA, 0);
	fill(data + 4 * PAGE, 7);
	note(data + 4 * PAGE, PLACE_PRIVATE, 7, PLACE_REST_DATA, 0);
	note(data + 6 * PAGE, PLACE_ABSENT, 0, PLACE_REST_DATA, 0);
	look(data + 20 * PAGE);
	note(data + 20 * PAGE, PLACE_CACHE, 0, PLACE_REST_DATA, 0);
	look(constants + 18 * PAGE);
	note(constants + 18 * PAGE, PLACE_CACHE, 0, PLACE_REST_CONST, 0);
	note(constants + 20 * PAGE, PLACE_ABSENT, 0, PLACE_REST_CONST, 0);
	use_private(bss + 8 * PAGE);
}

static void use_heap(void)
{
	uint64_t at = (uint64_t)sbrk(0);

	CHECK(sbrk(24 * PAGE) == (void *)at);
	at = (at + PAGE - 1) & ~(PAGE - 1);
	use_private((volatile uint8_t *)at + 4 * PAGE);
}

static volatile uint8_t *map(size_t pages, int flags, int fd)
{
	void *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static void use_anonymous(void)
{
	volatile uint8_t *p = map(32, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	use_private(p);
	/* given back: no frame any more; one of them comes again, as zeros */
	fill(p + 12 * PAGE, PLACES_WORDS);
	fill(p + 13 * PAGE, PLACES_WORDS);
	CHECK(madvise((void *)(p + 12 * PAGE), 2 * PAGE, MADV_DONTNEED) == 0);
	fill(p + 13 * PAGE, 3);
	note(p + 12 * PAGE, PLACE_ABSENT, 0, PLACE_REST_ZERO, 0);
	note(p + 13 * PAGE, PLACE_PRIVATE, 3, PLACE_REST_ZERO, 0);
	/* rights taken away: the frame and its bytes stay */
	fill(p + 16 * PAGE, PLACES_WORDS);
	CHECK(mprotect((void *)(p + 16 * PAGE), PAGE, PROT_READ) == 0);
	note(p + 16 * PAGE, PLACE_PRIVATE, PLACES_WORDS, PLACE_REST_ZERO, 0);
	/* unmapped: nothing */
	fill(p + 20 * PAGE, PLACES_WORDS);
	CHECK(munmap((void *)(p + 20 * PAGE), 2 * PAGE) == 0);
	note(p + 20 * PAGE, PLACE_UNMAPPED, 0, PLACE_REST_ZERO, 0);
	note(p + 21 * PAGE, PLACE_UNMAPPED, 0, PLACE_REST_ZERO, 0);
	use_private(p + 22 * PAGE);
}

static void use_shared(void)
{
	volatile uint8_t *p = map(16, MAP_SHARED | MAP_ANONYMOUS, -1);

	fill(p + PAGE, PLACES_WORDS);
	note(p + PAGE, PLACE_CACHE, PLACES_WORDS, PLACE_REST_ZERO, 0);
	fill(p + 2 * PAGE, 5);
	note(p + 2 * PAGE, PLACE_CACHE, 5, PLACE_REST_ZERO, 0);
	look(p + 7 * PAGE); /* shared memory has no zero page: others may write it */
	note(p + 7 * PAGE, PLACE_CACHE, 0, PLACE_REST_ZERO, 0);
	note(p + 9 * PAGE, PLACE_ABSENT, 0, PLACE_REST_ZERO, 0);
}

static void use_file(const char *path)
{
	int fd = open(path, O_RDONLY);

	CHECK(fd >= 0);
	volatile uint8_t *p = map(PLACES_FILE_PAGES, MAP_PRIVATE, fd);

	look(p + 5 * PAGE);
	note(p + 5 * PAGE, PLACE_CACHE, 0, PLACE_REST_FILE, 5);
	look(p + 6 * PAGE);
	note(p + 6 * PAGE, PLACE_CACHE, 0, PLACE_REST_FILE, 6);
	fill(p + 60 * PAGE, 300); /* a copy of its own: the start new, the rest the file's */
	note(p + 60 * PAGE, PLACE_PRIVATE, 300, PLACE_REST_FILE, 60);
	note(p + 61 * PAGE, PLACE_ABSENT, 0, PLACE_REST_FILE, 61);
	look(p + 7 * PAGE); /* first the file's, then a copy */
	fill(p + 7 * PAGE, 1);
	note(p + 7 * PAGE, PLACE_PRIVATE, 1, PLACE_REST_FILE, 7);
	note(p + 9 * PAGE, PLACE_ABSENT, 0, PLACE_REST_FILE, 9);
	note(p + 80 * PAGE, PLACE_ABSENT, 0, PLACE_REST_FILE, 80);

	/* the same file a second time: the same frames */
	p = map(16, MAP_PRIVATE, fd);
	look(p + 5 * PAGE);
	note(p + 5 * PAGE, PLACE_CACHE, 0, PLACE_REST_FILE, 5);
	close(fd);
}

/* In a function of its own: the pages of `area` are live until the call that announces them. */
static __attribute__((noinline)) void use_stack_and_announce(void)
{
	ALIGNED volatile uint8_t area[STACK_PAGES * PAGE];
	volatile uint8_t *const first = area + STACK_PAGES * 13 / 16 * PAGE;
	volatile uint8_t *const second = area + STACK_PAGES / 8 * PAGE;
	volatile uint8_t *const third = area + STACK_PAGES * 5 / 16 * PAGE;

	fill(first, PLACES_WORDS);
	note(first, PLACE_PRIVATE, PLACES_WORDS, PLACE_REST_ZERO, 0);
	note(area + STACK_PAGES * 10 / 16 * PAGE, PLACE_ABSENT, 0, PLACE_REST_ZERO, 0);
	fill(second, 9);
	note(second, PLACE_PRIVATE, 9, PLACE_REST_ZERO, 0);
	look(third);
	note(third, PLACE_ZERO, 0, PLACE_REST_ZERO, 0);
	note(area + STACK_PAGES * 7 / 16 * PAGE, PLACE_ABSENT, 0, PLACE_REST_ZERO, 0);
	syscall(PLACES_CALL, table, (unsigned long)places);
	look(first);
}

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	use_program();
	use_heap();
	use_anonymous();
	use_shared();
	use_file(argv[1]);
	use_stack_and_announce();
	return 0;
}
