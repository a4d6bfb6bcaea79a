/* SPDX-License-Identifier: MIT */
/*
 * docs/examples/sorter.c: sorts so many arrays of so many numbers, and says after each what the middle one is.
 * sorter ARRAYS NUMBERS
 */
#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	int arrays = argc > 1 ? atoi(argv[1]) : 3, numbers = argc > 2 ? atoi(argv[2]) : 50000;
	int *a = malloc((size_t)numbers * sizeof *a);

	if (!a || numbers < 1)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int k = 1; k <= arrays; k++) {
		for (int i = 0; i < numbers; i++)
			a[i] = rand();
		qsort(a, (size_t)numbers, sizeof *a, compare);
		printf("array %d of %d numbers: %d\n", k, numbers, a[numbers / 2]);
	}
	free(a);
	return 0;
}
