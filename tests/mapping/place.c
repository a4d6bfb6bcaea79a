/* SPDX-License-Identifier: MIT */
/*
 * tests/mapping/place.c: what is said, random numbers, addresses.
 *
 * Called by all other files. Owns the text of the present step.
 */
#include "mapping.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/syscall.h>

static char text[1 << 20];
static size_t used;
static uint64_t state;

void out_clear(void)
{
	used = 0;
}

const char *out_text(size_t *bytes)
{
	*bytes = used;
	return text;
}

void say_raw(const char *from, size_t bytes)
{
	if (bytes > sizeof text - used)
		bytes = sizeof text - used;
	memcpy(text + used, from, bytes);
	used += bytes;
}

void say(const char *format, ...)
{
	char line[2048];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	if (n > 0)
		say_raw(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

void atmost_count(uint64_t n)
{
	if (!*w.stale)
		say("\n~n %lx\n ", n);
}

void atmost_bits(uint64_t bits)
{
	if (!*w.stale)
		say("\n~b %lx\n ", bits);
}

uint64_t hash(uint64_t h, const void *data, size_t bytes)
{
	const unsigned char *p = data;

	for (; bytes >= 8; bytes -= 8, p += 8) {
		uint64_t x;

		memcpy(&x, p, 8);
		h = (h ^ x) * 0x9e3779b97f4a7c15ul;
		h ^= h >> 29;
	}
	for (; bytes; bytes--)
		h = (h ^ *p++) * 0x100000001b3ul;
	return h;
}

/* splitmix64 */
static uint64_t next(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15ul;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ul;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebul;
	return z ^ (z >> 31);
}

void draw_start(uint64_t seed, uint64_t step)
{
	state = seed * 0x100000001b3ul + step;
	state = next() ^ (step << 32);
	next();
}

uint64_t below(uint64_t n)
{
	return (next() >> 16) % n;
}

bool chance(unsigned percent)
{
	return below(100) < percent;
}

bool has(unsigned part)
{
	return (w.parts & part) == part;
}

const char *where(uint64_t a)
{
	static char buffers[8][40];
	static unsigned turn;
	char *b = buffers[turn++ % 8];

	if (a >= ARENA && a <= ARENA + ARENA_PAGES * PAGE)
		snprintf(b, 40, "A+%lx.%03lx", (a - ARENA) / PAGE, a % PAGE);
	else if (a > w.top - FREE_BYTES && a <= w.top)
		snprintf(b, 40, "F-%lx.%03lx", (w.top - a + PAGE - 1) / PAGE, a % PAGE);
	else if (a > w.top && a < w.top + WALL)
		snprintf(b, 40, "F+%lx.%03lx", (a - w.top) / PAGE, a % PAGE);
	else if (a >= w.brk - 64 * PAGE && a < w.brk + HEAP_BYTES)
		snprintf(b, 40, "H%+ld", (long)(a - w.brk));
	else
		snprintf(b, 40, "%#lx", a);
	return b;
}

uint64_t some_page(void)
{
	uint64_t kind = below(100);

	if (kind < 75)
		return ARENA + w.cut[below(CUTS)] * PAGE;
	if (kind < 90 || !has(PART_PLACE))
		return ARENA + (HOT + below(HOT_PAGES)) * PAGE;
	kind = w.slot[below(SLOTS)];
	if (!kind)
		return ARENA + HOT * PAGE;
	kind += chance(50) ? below(8) * PAGE : 0;
	return kind >= w.top && kind < w.top + WALL ? w.top - PAGE : kind;
}

uint64_t some_address(void)
{
	uint64_t kind = below(100), a = some_page();

	if (kind < 30)
		return a;
	if (kind < 45)
		return a + PAGE - 1 - below(17);
	if (kind < 55)
		return a - 1 - below(17);
	if (kind < 62 && has(PART_BRK))
		return w.brk + below(24 * PAGE);
	if (kind < 72 && has(PART_GROW))
		return a - below(400 * PAGE);
	return a + below(6 * PAGE);
}

uint64_t some_length(void)
{
	uint64_t kind = below(100);

	if (kind < 4)
		return 0;
	if (kind < 12)
		return 1 + below(12 * PAGE);
	return (1 + below(chance(70) ? 6 : 16)) * PAGE;
}

void some_range(uint64_t *a, uint64_t *bytes)
{
	uint64_t b;

	*a = some_page();
	*bytes = some_length();
	if (chance(55)) {
		b = ARENA + w.cut[below(CUTS)] * PAGE;
		if (b > *a && b - *a < 64 * PAGE)
			*bytes = b - *a;
	}
	if (chance(2))
		*a += 1 + below(PAGE - 1);
	if (*a<w.top && * a> w.top - FREE_BYTES && *bytes > w.top - *a)
		*bytes = w.top - *a; /* not into the wall */
}

uint64_t edge_address(void)
{
	static const uint64_t edges[] = {0, 0x1000, 0x7ffffffff000, 0x800000000000,
		0xffff800000000000, 0xffffffffff600000, 0xfffffffffffff000, 0x123456789000000};

	return edges[below(sizeof edges / sizeof *edges)];
}

uint64_t edge_length(void)
{
	static const uint64_t edges[] = {0, 1, PAGE - 1, 1ul << 47, (1ul << 47) + PAGE, 1ul << 63,
		0 - PAGE, 0ul - 1, 0ul - PAGE + 1};

	return edges[below(sizeof edges / sizeof *edges)];
}

static bool error_result(int64_t r)
{
	if (r < -4095 || r >= 0)
		return false;
	say(" -%s", strerrorname_np((int)-r) ? strerrorname_np((int)-r) : "?");
	return true;
}

void say_result(int64_t r)
{
	if (!error_result(r))
		say(" =%ld", r);
}

void say_address_result(int64_t r)
{
	if (!error_result(r))
		say(" =%s", where((uint64_t)r));
}

int64_t call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	register uint64_t r9 __asm__("r9") = f;
	int64_t r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
}
