/* SPDX-License-Identifier: MIT */
/*
 * bench/micro.c: what single events of virtual memory cost, measured by the program that causes
 * them. Run natively it measures Linux and the hardware, run by Pagoda it measures Pagoda.
 *
 *   micro FILE     FILE: at least 16 MiB, in the page cache of whoever runs it after the first pass
 *
 * On a fault on a file page Linux maps up to 16 neighbours that are in its cache too; only one page
 * in 16 is touched here, and faults are counted by the system itself.
 *
 * Prints one line each: a name, nanoseconds per event. The best of several passes, since everything
 * that disturbs a pass makes it slower.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	PAGES = 4096,
	PASSES = 5,
	AROUND = 16,
	PAIRS = 4096,
	WORDS = 2048,
	SWEEPS = 200
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *map(int fd)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE;
	int prot = fd < 0 ? PROT_READ | PROT_WRITE : PROT_READ;
	void *p = mmap(NULL, (size_t)PAGES * PAGE, prot, flags, fd, 0);

	if (p == MAP_FAILED) {
		perror("micro: mmap");
		exit(1);
	}
	madvise(p, (size_t)PAGES * PAGE, MADV_NOHUGEPAGE); /* pages of 4 KiB on both sides */
	return p;
}

static uint64_t faults(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_minflt + u.ru_majflt);
}

/* Touches one page in `step`; picoseconds per fault that this caused, by the system's own count. */
static uint64_t touch(volatile uint8_t *p, int step, int write)
{
	uint64_t count = faults(), before = now_ns();

	for (int i = 0; i < PAGES; i += step) {
		if (write)
			p[(size_t)i * PAGE] = 1;
		else
			(void)p[(size_t)i * PAGE];
	}
	uint64_t ns = now_ns() - before;
	count = faults() - count;
	return count ? ns * 1000 / count : UINT64_MAX;
}

static void show(const char *name, uint64_t ns, uint64_t events)
{
	printf("%-16s %.2f\n", name, (double)ns / (double)events);
}

int main(int argc, char **argv)
{
	static volatile uint64_t words[WORDS];
	uint64_t best_fill = UINT64_MAX, best_zero = UINT64_MAX, best_file = UINT64_MAX;
	uint64_t best_pair = UINT64_MAX, best_load = UINT64_MAX, sum = 0;
	int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;

	if (fd < 0) {
		fprintf(stderr, "usage: micro FILE (of at least 16 MiB)\n");
		return 2;
	}
	for (int pass = 0; pass < PASSES; pass++) {
		uint8_t *p = map(-1);
		uint64_t ns = touch(p, 1, 0);
		if (ns < best_zero)
			best_zero = ns;
		munmap(p, (size_t)PAGES * PAGE);

		p = map(-1);
		ns = touch(p, 1, 1);
		if (ns < best_fill)
			best_fill = ns;
		munmap(p, (size_t)PAGES * PAGE);

		p = map(fd);
		ns = touch(p, AROUND, 0);
		if (ns < best_file)
			best_file = ns;
		munmap(p, (size_t)PAGES * PAGE);

		uint64_t before = now_ns();
		for (int i = 0; i < PAIRS; i++) {
			p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);
			munmap(p, PAGE);
		}
		ns = now_ns() - before;
		if (ns < best_pair)
			best_pair = ns;

		before = now_ns();
		for (int s = 0; s < SWEEPS; s++)
			for (int i = 0; i < WORDS; i += 8)
				sum += words[i] + words[i + 1] + words[i + 2] + words[i + 3] +
				       words[i + 4] + words[i + 5] + words[i + 6] + words[i + 7];
		ns = now_ns() - before;
		if (ns < best_load)
			best_load = ns;
	}
	show("anonymous_write", best_fill, 1000);
	show("anonymous_read", best_zero, 1000);
	show("file_cached", best_file, 1000);
	show("mmap_munmap", best_pair, PAIRS);
	show("load_hit", best_load, (uint64_t)SWEEPS * WORDS);
	return sum != 0;
}
