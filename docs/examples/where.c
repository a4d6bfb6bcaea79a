/* SPDX-License-Identifier: MIT */
/*
 * Prints where the parts of a process lie, high to low.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int data = 1;
static int bss;
static const int constant = 1;

int main(void)
{
	int local = 0;
	void *mapped = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *heap = malloc(16);

	printf("stack    %14p\n", (void *)&local);
	printf("mapping  %14p\n", mapped);
	printf("library  %14p\n", (void *)printf);
	printf("break    %14p\n", sbrk(0));
	printf("heap     %14p\n", heap);
	printf("bss      %14p\n", (void *)&bss);
	printf("data     %14p\n", (void *)&data);
	printf("constant %14p\n", (const void *)&constant);
	printf("text     %14p\n", (void *)main);
	free(heap);
	return 0;
}
