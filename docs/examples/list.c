/* SPDX-License-Identifier: MIT */
/* A list of strings: some items are freed, and one string that nobody frees outlives its item. */
#include <stdlib.h>
#include <string.h>

struct item {
	struct item *next;
	char *text;
};

static char *make_text(int n)
{
	char *text = malloc(100 + (size_t)n % 7 * 400);

	memset(text, 'x', 100);
	return text;
}

static struct item *push(struct item *list, int n)
{
	struct item *i = malloc(sizeof *i);

	i->next = list;
	i->text = make_text(n);
	return i;
}

static struct item *pop(struct item *list)
{
	struct item *next = list->next;

	if (list->text[0] == 'x')
		free(list->text);
	free(list);
	return next;
}

int main(void)
{
	struct item *list = NULL;

	for (int i = 0; i < 60; i++)
		list = push(list, i);
	list->text[0] = 'y';
	for (int i = 0; i < 30; i++)
		list = pop(list);
	return list == NULL;
}
