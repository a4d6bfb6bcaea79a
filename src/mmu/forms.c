/* SPDX-License-Identifier: MIT */
/*
 * mmu/forms.c: the registry of page-table forms. Feeds the command line, the tests and the reports
 * alike; a new form is one file and one line here.
 */
#include "mmu/table.h"

const struct pg_table_form *const pg_table_forms[] = {
	&pg_table_radix,
	NULL,
};
