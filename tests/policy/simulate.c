/* SPDX-License-Identifier: MIT */
/*
 * tests/policy/simulate.c: runs reference strings through policies, for other programs.
 *
 * Reads jobs from standard input, one a line: NAME FRAMES SEED REFERENCE..., a reference being a page number, with "w" behind it if
 * it is a write, with "f" in front of it if the page is a file's. NAME is a policy's or "opt". Prints for each job a line of "1" (miss) and "0".
 */
#include "reclaim/simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int job(char *line)
{
	char *save, *word = strtok_r(line, " \n", &save);
	const struct pg_policy_ops *ops = NULL;
	const char *name = word, *args = "";
	size_t n = 0, max = 1024;
	struct pg_reference *refs = malloc(max * sizeof *refs);
	uint32_t frames = 0;
	uint64_t seed = 0;
	uint8_t *missed;
	struct pg_simulation out;
	int rc;

	for (int i = 0; word; i++, word = strtok_r(NULL, " \n", &save)) {
		char *end;

		if (i == 1)
			frames = (uint32_t)strtoul(word, NULL, 10);
		if (i == 2)
			seed = strtoull(word, NULL, 10);
		if (i < 3)
			continue;
		if (n == max)
			refs = realloc(refs, (max *= 2) * sizeof *refs);
		refs[n] = (struct pg_reference){{*word == 'f', 0}, false};
		refs[n].page.index = strtoull(word + (*word == 'f'), &end, 10);
		refs[n++].write = *end == 'w';
	}
	missed = malloc(n + 1);
	if (strcmp(name, "opt") != 0) {
		ops = pg_policy_find(name, &args);
		if (!ops) {
			fprintf(stderr, "simulate: no policy %s\n", name);
			return 1;
		}
	}
	rc = ops ? pg_policy_simulate(ops, args, seed, frames, refs, n, missed, &out)
		 : pg_policy_optimum(frames, refs, n, missed, &out);
	for (size_t i = 0; i < n && rc == 0; i++)
		putchar('0' + missed[i]);
	putchar('\n');
	free(missed);
	free(refs);
	return rc != 0;
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t size = 0;
	int rc = 0;

	if (argc > 1) {
		for (int i = 0; pg_policies[i]; i++)
			printf("%s\n", pg_policies[i]->name);
		return 0;
	}
	while (rc == 0 && getline(&line, &size, stdin) > 0)
		rc = job(line);
	free(line);
	return rc;
}
