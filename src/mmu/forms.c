/* SPDX-License-Identifier: MIT */
/*
 * mmu/forms.c: the registry of page-table forms. Feeds the command line, the tests and the reports
 * alike; a new form is one file and one line here.
 */
#include "mmu/table.h"

#include <errno.h>
#include <string.h>

const struct pg_table_form *const pg_table_forms[] = {
	&pg_table_radix,
	&pg_table_hashed,
	&pg_table_inverted,
	NULL,
};

int pg_table_parse(const char *text, const struct pg_table_form **form, struct pg_geometry *g,
	const char **why)
{
	size_t length = strcspn(text, ":");

	*form = NULL;
	*why = "there is no such form";
	for (int i = 0; pg_table_forms[i]; i++)
		if (strlen(pg_table_forms[i]->name) == length &&
			strncmp(pg_table_forms[i]->name, text, length) == 0)
			*form = pg_table_forms[i];
	if (!*form)
		return -EINVAL;
	*why = (*form)->parse(text[length] ? text + length + 1 : NULL, g);
	return *why ? -EINVAL : 0;
}
