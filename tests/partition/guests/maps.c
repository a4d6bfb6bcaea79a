/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/guests/maps.c: prints /proc/self/maps; the addresses of things that must lie in it; and the break, before and after.
 */
#include <stdio.h>
#include <unistd.h>

static int data = 1;

int main(void)
{
	char line[512];
	int local;
	FILE *f;

	printf("code %p\ndata %p\nheap %p\nstack %p\n", (void *)(unsigned long)main, (void *)&data,
		(void *)((char *)sbrk(20000)), (void *)&local);
	printf("break %p\n", sbrk(0));
	f = fopen("/proc/self/maps", "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		fputs(line, stdout);
	return f == NULL;
}
