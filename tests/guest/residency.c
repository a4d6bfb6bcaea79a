/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/residency.c: touches known pages of known regions and leaves known bytes there, for a test that
 * looks into the frames from outside. R4, R11, R13.
 *
 * Region at 0x12a00000000, 16 pages, private: page i is written with 8 bytes 0xc0de0000 + i if i is even,
 * only read if i is 1 or 3, never touched otherwise. Region at 0x12b00000000, 4 pages: never touched. Ends by exit_group
 * with all that in place.
 */
#include "guest.h"

int main(void)
{
	volatile uint64_t *p = mmap((void *)0x12a00000000, 16 * PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	void *q = mmap((void *)0x12b00000000, 4 * PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	uint64_t sum = 0;
	check((uint64_t)p == 0x12a00000000 && (uint64_t)q == 0x12b00000000, "mmap at fixed places");
	for (unsigned i = 0; i < 16; i += 2)
		p[i * 512] = 0xc0de0000 + i;
	sum += p[512] + p[3 * 512];
	printf("%p %p %lu\n", (void *)p, q, sum);
	/* statm's resident pages lag behind by up to 64 before Linux 6.2 */
	FILE *f = fopen("/proc/self/statm", "r"), *g = fopen("/proc/self/smaps_rollup", "r");
	unsigned long size = 0, resident = 0;
	char line[256];
	check(f && fscanf(f, "%lu", &size) == 1, "statm");
	while (g && fgets(line, sizeof line, g) && sscanf(line, "Rss: %lu kB", &resident) != 1)
		;
	printf("resident at least 8: %d, mapped at least 20: %d\n", resident >= 32, size >= 20);
	return 0;
}
