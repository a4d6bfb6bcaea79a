/* SPDX-License-Identifier: MIT */
/*
 * A program that knows its frames: each function says its frame address, its return address and where its locals lie. Built with and
 * without optimisation and frame pointers; stack.py compares what it says, what `pagoda stack` shows, and what gdb shows natively.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))
#define KEEP(x) __asm__ volatile("" : : "r"(&(x)) : "memory")

enum colour { RED, GREEN = 5, BLUE };
struct point {
	int x, y;
};
struct shape {
	const char *name;
	struct point at[2];
	enum colour colour;
	unsigned bits : 3, more : 5;
	double size;
};

static void say(const char *name, void *frame, void *back, void *local)
{
	printf("%s %p %p %p\n", name, frame, back, local);
}

/* Here the picture is taken: nothing is called any more. */
NOINLINE void stop_here(void)
{
	__asm__ volatile("nop" : : : "memory");
}

NOINLINE int leaf(int n, const char *word)
{
	char buffer[16] = "";
	long sum = n;

	snprintf(buffer, sizeof buffer, "%s-%d", word, n);
	KEEP(buffer);
	KEEP(sum);
	say("leaf", __builtin_frame_address(0), __builtin_return_address(0), buffer);
	fflush(stdout);
	stop_here();
	KEEP(sum);
	return (int)sum + buffer[0];
}

NOINLINE int with_shape(struct shape *s, enum colour c)
{
	struct shape mine = *s;
	bool yes = c == GREEN;
	signed char letter = 'Q';
	float half = 0.5f;
	unsigned long big = 0xfedcba9876543210ul;
	struct point *to = &s->at[1];

	mine.colour = c;
	KEEP(mine);
	KEEP(yes);
	KEEP(letter);
	KEEP(half);
	KEEP(big);
	KEEP(to);
	say("with_shape", __builtin_frame_address(0), __builtin_return_address(0), &mine);
	int got = leaf(to->x + letter, s->name);
	KEEP(mine);
	KEEP(yes);
	KEEP(letter);
	KEEP(half);
	KEEP(big);
	KEEP(to);
	return got + mine.at[0].x;
}

static inline __attribute__((always_inline)) int folded_in(struct shape *s, int k)
{
	int twice = 2 * k;

	KEEP(twice);
	int got = with_shape(s, GREEN);
	KEEP(twice);
	return got + twice;
}

NOINLINE int recurse(int depth, struct shape *s)
{
	int numbers[4] = {depth, depth * depth, -depth, 7};
	int got;

	KEEP(numbers);
	say("recurse", __builtin_frame_address(0), __builtin_return_address(0), numbers);
	got = depth ? recurse(depth - 1, s) : folded_in(s, numbers[3]);
	KEEP(numbers);
	return got + numbers[0];
}

int main(void)
{
	struct shape shape = {"square", {{1, 2}, {30, 40}}, BLUE, 5, 17, 2.25};

	say("main", __builtin_frame_address(0), __builtin_return_address(0), &shape);
	return recurse(3, &shape) == 0;
}
