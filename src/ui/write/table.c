/* SPDX-License-Identifier: MIT */
/*
 * ui/write/table.c: tables of aligned text: columns as wide as their widest cell, two spaces between.
 *
 * Called by ui/run/summary.c. Owns the cells until pg_table_write().
 */
#include "ui/write/table.h"

#include <stdlib.h>
#include <string.h>

void pg_table_init(struct pg_text_table *t, unsigned columns, unsigned wide)
{
	PG_ASSERT(columns >= 1 && columns <= PG_TABLE_COLUMNS);
	*t = (struct pg_text_table){.columns = columns, .wide = wide};
}

void pg_table_add(struct pg_text_table *t, const char *const *texts)
{
	char **cells = realloc(t->cells, (t->rows + 1) * t->columns * sizeof *cells);

	if (!cells)
		return;
	t->cells = cells;
	for (unsigned i = 0; i < t->columns; i++) {
		char *cell = strdup(texts[i]);
		/* a name may hold anything; a line must stay a line */
		for (char *c = cell; c && *c; c++)
			if ((unsigned char)*c < 0x20 || *c == 0x7f)
				*c = '?';
		cells[t->rows * t->columns + i] = cell;
	}
	t->rows++;
}

/* Characters of UTF-8 text: bytes that do not continue another. */
static size_t width(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

/* The end of text that fits into `room` characters, on a character's border. */
static const char *tail(const char *text, size_t room)
{
	size_t skip = width(text);

	skip = skip > room ? skip - room : 0;
	while (skip > 0 && *text) {
		text++;
		if ((*text & 0xc0) != 0x80)
			skip--;
	}
	return text;
}

void pg_table_write(struct pg_text_table *t, FILE *out)
{
	size_t widths[PG_TABLE_COLUMNS] = {0}, before = 0;

	for (size_t i = 0; i < t->rows * t->columns; i++) {
		size_t w = t->cells[i] ? width(t->cells[i]) : 0;
		if (w > widths[i % t->columns])
			widths[i % t->columns] = w;
	}
	for (unsigned c = 0; c + 1 < t->columns; c++)
		before += widths[c] + 2;
	size_t room = before + 20 < t->wide ? t->wide - before - 2 : 20;

	for (size_t row = 0; row < t->rows; row++) {
		for (unsigned c = 0; c < t->columns; c++) {
			const char *text = t->cells[row * t->columns + c];
			text = text ? text : "?";
			if (c + 1 < t->columns) {
				fprintf(out, "  %*s%s", (int)(widths[c] - width(text)), "", text);
				continue;
			}
			if (width(text) > room)
				fprintf(out, "  ...%s\n", tail(text, room - 3));
			else
				fprintf(out, "  %s\n", text);
		}
	}
	for (size_t i = 0; i < t->rows * t->columns; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct pg_text_table){0};
}
