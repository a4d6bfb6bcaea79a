/* SPDX-License-Identifier: MIT */
/* docs/processes.md: a server that fills a table and forks workers, which only read it, but count their readers in it. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ITEMS 32768

struct item {
	long readers;
	long value;
	char rest[112];
};

static struct item *table;

static void fill(void)
{
	table = calloc(ITEMS, sizeof(*table));
	for (int i = 0; i < ITEMS; i++)
		table[i].value = i;
}

static long look(int i)
{
	table[i].readers++; /* the culprit */
	return table[i].value;
}

int main(void)
{
	fill();
	for (int worker = 1; worker <= 2; worker++) {
		if (fork() == 0) {
			long sum = 0;

			for (int i = 0; i < ITEMS; i += worker)
				sum += look(i);
			_exit(sum == 0);
		}
		wait(NULL);
	}
	return 0;
}
