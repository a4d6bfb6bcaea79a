/* SPDX-License-Identifier: MIT */
/*
 * ui/write/table.h: tables of aligned text.
 *
 * Called by ui/run/summary.c.
 */
#ifndef PG_UI_WRITE_TABLE_H
#define PG_UI_WRITE_TABLE_H

#include <stdio.h>

#include "base/types.h"

#define PG_TABLE_COLUMNS 12

struct pg_text_table {
	unsigned columns; /* 1 .. PG_TABLE_COLUMNS; the last is left-aligned, the others right */
	unsigned wide;    /* characters a line should not exceed: the last column is shortened */
	char **cells;     /* owned; row after row, NULL: no memory was left for it */
	size_t rows;
};

/* An empty table. */
void pg_table_init(struct pg_text_table *t, unsigned columns, unsigned wide);
/* Adds a row of t->columns texts, all copied. Leaves the row out if there is no memory. */
void pg_table_add(struct pg_text_table *t, const char *const *texts);
/* Writes and frees all. */
void pg_table_write(struct pg_text_table *t, FILE *out);

#endif
