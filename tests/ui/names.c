/* SPDX-License-Identifier: MIT */
/*
 * Demangles the names on standard input, a line each: what pg_demangle() makes of it ("-" when it is no mangled name), a tab, and its brief form.
 * names.py compares them with c++filt's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/demangle.h"

int main(void)
{
	static char line[1 << 16], brief[1 << 16];

	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = '\0';
		char *name = pg_demangle(line);
		printf("%s\t%s\n", name ? name : "-",
			pg_brief_name(name ? name : line, brief, sizeof brief));
		free(name);
	}
	return 0;
}
