/* SPDX-License-Identifier: MIT */
/*
 * tests/guest/eater.c: touches ARG MiB, a page at a time, and says so at the end. With less memory than that the machine
 * must kill it (137) and nothing else may happen.
 */
#include "guest.h"

int main(int argc, char **argv)
{
	size_t mib = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
	uint8_t *p = map_anon(mib << 20, PROT_READ | PROT_WRITE);
	for (size_t i = 0; i < mib << 20; i += PAGE)
		p[i] = (uint8_t)(i >> 12);
	size_t right = 0;
	for (size_t i = 0; i < mib << 20; i += PAGE)
		right += p[i] == (uint8_t)(i >> 12);
	printf("%zu pages touched and right\n", right);
	return 0;
}
