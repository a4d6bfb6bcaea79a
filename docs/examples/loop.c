/* SPDX-License-Identifier: MIT */
/* loop PAGES ROUNDS: writes one byte in each of so many pages, again and again, and says the sum of all bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	size_t pages = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
	unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 10;
	unsigned long sum = 0;
	unsigned char *p = mmap(
		NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 1;
	for (unsigned r = 0; r < rounds; r++)
		for (size_t i = 0; i < pages; i++)
			p[i * 4096 + i % 4096]++;
	for (size_t i = 0; i < pages; i++)
		sum += p[i * 4096 + i % 4096];
	printf("%lu\n", sum);
	return 0;
}
