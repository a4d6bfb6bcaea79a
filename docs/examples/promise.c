/* SPDX-License-Identifier: MIT */
/*
 * Asks for memory that it never touches: once 200 MiB, then up to a hundred times 16 MiB.
 */
#include <stdio.h>
#include <sys/mman.h>

static int map(size_t mib)
{
	return mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	       MAP_FAILED;
}

int main(void)
{
	int large = map(200), n = 0;

	while (n < 100 && map(16))
		n++;
	printf("200 MiB in one piece: %s; %d pieces of 16 MiB\n", large ? "granted" : "refused", n);
	return 0;
}
