/* SPDX-License-Identifier: MIT */
/*
 * Writes 64 pages, forks, and counts the page faults of reading and writing them on both sides.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 64

static long faults(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_minflt + u.ru_majflt;
}

/* Touches the first n pages and says how many faults it took. */
static void touch(volatile char *p, int n, int write, const char *what)
{
	long before = faults();

	for (int i = 0; i < n; i++) {
		if (write)
			p[i * 4096] = (char)write;
		else
			(void)p[i * 4096];
	}
	printf("%-40s %3ld faults\n", what, faults() - before);
	fflush(stdout);
}

int main(void)
{
	char *p = mmap(
		NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 1;
	setvbuf(stdout, malloc(4096), _IOFBF, 4096);
	touch(p, PAGES, 1, "the parent writes 64 pages");
	if (fork() == 0) {
		touch(p, PAGES, 0, "the child reads them");
		touch(p, 10, 2, "the child writes ten: copies");
		_exit(0);
	}
	wait(NULL);
	touch(p, PAGES, 3, "the parent writes all: nobody shares them");
	return p[9 * 4096] == 3 ? 0 : 1;
}
