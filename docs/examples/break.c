/* SPDX-License-Identifier: MIT */
/*
 * Moves the program break by 1 MiB, looks at its memory, touches ten pages, looks again.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Pages of size and of residence, of the whole process: the first two numbers of /proc/self/statm.
 */
static void show(const char *when)
{
	long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fscanf(f, "%ld %ld", &size, &resident) == 2)
		printf("%-28s break %p  size %ld pages  resident %ld pages\n", when, sbrk(0), size,
			resident);
	if (f)
		fclose(f);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	show("at the start");
	show("once more");
	char *p = sbrk(256 * 4096);
	show("the break moved by 256 pages");
	for (int i = 0; i < 10; i++)
		p[i * 4096] = 1;
	show("ten of them written");
	if (sbrk(-256 * 4096) != (void *)-1)
		show("the break moved back");
	return 0;
}
