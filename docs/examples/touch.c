/* SPDX-License-Identifier: MIT */
/*
 * Reserves memory and touches some of it: the kinds of page fault, one after another.
 *
 *   touch RESERVE READ WRITE    in pages: reserves RESERVE, reads the first READ, writes the first
 * WRITE
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

static void read_pages(volatile char *p, long pages)
{
	for (long i = 0; i < pages; i++)
		(void)p[i * PAGE];
}

static void write_pages(volatile char *p, long pages)
{
	for (long i = 0; i < pages; i++)
		p[i * PAGE] = 1;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	long reserve = atol(argv[1]);
	char *p = mmap(NULL, (size_t)reserve * PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	read_pages(p, atol(argv[2]));
	write_pages(p, atol(argv[3]));
	return 0;
}
