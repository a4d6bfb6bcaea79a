/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/job.c: a program for a partition: static, not position-independent, and with output that says whether its memory is
 * still what it wrote there. Natively it prints the same.
 *
 *   job work TAG ROUNDS WORDS    rounds over an array from malloc; a line each
 *   job grow TAG STEPS BYTES     the break moves up step by step; all that was written before is summed again after each
 *   job fork TAG CHILDREN        children sum their copy of the parent's array and exit with a part of it; one line each
 *   job wild TAG                 a line, then a store far beyond the limit
 *   job deep TAG BYTES           so many bytes of stack are used
 *   job copy TAG                 standard input to standard output, and a line on standard error
 *   job exit TAG STATUS          a line and that status
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *tag;

static void say(unsigned round, unsigned long sum)
{
	char line[100];
	int n = snprintf(line, sizeof line, "%s %u %lu\n", tag, round, sum);

	if (write(1, line, (size_t)n) != n)
		_exit(99);
}

static unsigned next(unsigned long *x)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*x >> 32);
}

static unsigned long seed(void)
{
	unsigned long x = 1;

	for (const char *s = tag; *s; s++)
		x = x * 31 + (unsigned char)*s;
	return x;
}

static int work(unsigned rounds, size_t words)
{
	unsigned *p = calloc(words, sizeof *p);
	unsigned long x = seed(), sum = 0;

	if (!p) {
		say(0, 0);
		return 3;
	}
	for (unsigned r = 1; r <= rounds; r++) {
		for (size_t i = 0; i < words; i++)
			p[i] ^= next(&x);
		for (size_t i = 0; i < words; i++)
			sum = sum * 31 + p[i];
		say(r, sum);
	}
	return 0;
}

static int grow(unsigned steps, size_t bytes)
{
	unsigned *start = sbrk(0);
	unsigned long x = seed();
	size_t words = 0;

	for (unsigned s = 1; s <= steps; s++) {
		unsigned long sum = 0;

		if (sbrk((long)bytes) == (void *)-1) {
			say(s, 0);
			return 3;
		}
		while (words < s * bytes / sizeof *start)
			start[words++] = next(&x);
		for (size_t i = 0; i < words; i++)
			sum = sum * 31 + start[i];
		say(s, sum);
	}
	return 0;
}

static int forks(unsigned children)
{
	enum { words = 10000 };
	static unsigned p[words];
	unsigned long x = seed();

	for (size_t i = 0; i < words; i++)
		p[i] = next(&x);
	for (unsigned c = 1; c <= children; c++) {
		int status;
		pid_t pid = fork();

		if (pid < 0)
			return 3;
		if (pid == 0) {
			unsigned long sum = 0;

			for (size_t i = 0; i < words; i++)
				sum = sum * 31 + (p[i] += c);
			say(c, sum);
			_exit((int)(sum & 63));
		}
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
			return 4;
		say(100 + c, (unsigned long)WEXITSTATUS(status) + p[c]);
	}
	return 0;
}

static unsigned long deep(size_t bytes)
{
	volatile unsigned char block[4096];
	unsigned long sum;

	memset((void *)(unsigned long)block, (int)(bytes / 4096 & 255), sizeof block);
	sum = bytes > sizeof block ? deep(bytes - sizeof block) : 0;
	for (size_t i = 0; i < sizeof block; i++)
		sum = sum * 31 + block[i];
	return sum;
}

static int copy(void)
{
	char text[100];
	ssize_t n;

	while ((n = read(0, text, sizeof text)) > 0)
		if (write(1, text, (size_t)n) != n)
			return 3;
	dprintf(2, "%s copied\n", tag);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	unsigned n = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 0) : 0;
	size_t size = argc > 4 ? strtoul(argv[4], NULL, 0) : 0;

	tag = argc > 2 ? argv[2] : "";
	if (!strcmp(what, "work"))
		return work(n, size);
	if (!strcmp(what, "grow"))
		return grow(n, size);
	if (!strcmp(what, "fork"))
		return forks(n);
	if (!strcmp(what, "copy"))
		return copy();
	if (!strcmp(what, "deep")) {
		say(n, deep(n));
		return 0;
	}
	say(0, seed());
	if (!strcmp(what, "wild"))
		*(volatile unsigned *)0x7e0000000000 = 1;
	return !strcmp(what, "exit") ? (int)n : 2;
}
