/* SPDX-License-Identifier: MIT */
/*
 * tests/partition/guests/heap.c: a heap that grows in steps, with data that must survive every move of the block: sorted lists, strings, pointers into the
 * stack and back. Same output natively. heap [ROUNDS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
	struct node *next, **stack; /* stack: a place in main's frame */
	unsigned key;
	char text[40];
};

static unsigned state = 1;

static unsigned next_random(void)
{
	return state = state * 1664525u + 1013904223u;
}

static int compare(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 12, n = 0;
	struct node *list = NULL, *anchor[16] = {NULL};
	unsigned *keys = NULL;
	unsigned long sum = 0;

	for (unsigned r = 0; r < rounds; r++) {
		for (unsigned i = 0; i < 1500; i++) {
			struct node *k = malloc(sizeof(*k));

			if (k == NULL)
				return 3;
			k->key = next_random();
			snprintf(k->text, sizeof(k->text), "%u of round %u", k->key, r);
			k->stack = &anchor[k->key % 16];
			k->next = list;
			list = *k->stack = k;
		}
		keys = realloc(keys, (r + 1) * 1500 * sizeof(*keys));
		if (keys == NULL)
			return 3;
		n = 0;
		for (struct node *k = list; k != NULL; k = k->next) {
			char text[40];

			snprintf(text, sizeof(text), "%u", k->key);
			if (strncmp(text, k->text, strlen(text)) != 0 || *k->stack == NULL)
				return 4;
			keys[n++] = k->key;
		}
		qsort(keys, n, sizeof(*keys), compare);
		for (unsigned i = 0; i < n; i++)
			sum = sum * 31 + keys[i];
		printf("round %u: %u nodes, %lx\n", r, n, sum);
	}
	for (unsigned i = 0; i < 16; i++)
		printf("%u ", anchor[i] != NULL ? anchor[i]->key : 0);
	putchar('\n');
	while (list != NULL) {
		struct node *k = list->next;

		free(list);
		list = k;
	}
	free(keys);
	return 0;
}
