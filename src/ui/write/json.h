/* SPDX-License-Identifier: MIT */
/*
 * ui/write/json.h: writing JSON (RFC 8259): nested objects and arrays, well-formed whatever bytes a text holds.
 *
 * Included by the files of ui/ that write JSON. Keys are NULL inside arrays.
 */
#ifndef PG_UI_WRITE_JSON_H
#define PG_UI_WRITE_JSON_H

#include <inttypes.h>
#include <stdio.h>

#include "base/types.h"

/* A writer of nested objects and arrays; commas and indentation are its business. */
struct json {
	FILE *out;
	unsigned depth;
	bool first; /* nothing was written yet on this level */
};

/* The length of the UTF-8 character at s, or 0 if there is none. Unicode 15, table 3-7. */
static inline unsigned utf8_length(const unsigned char *s)
{
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	unsigned n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	for (unsigned i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static inline void write_text(struct json *j, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	fputc('"', j->out);
	while (*s) {
		unsigned n = utf8_length(s);
		if (n == 0) {
			fputs("\\ufffd", j->out);
			s++;
		} else if (*s == '"' || *s == '\\') {
			fprintf(j->out, "\\%c", *s++);
		} else if (*s < 0x20 || *s == 0x7f) {
			fprintf(j->out, "\\u%04x", *s++);
		} else {
			fwrite(s, 1, n, j->out);
			s += n;
		}
	}
	fputc('"', j->out);
}

/* Begins an element: comma, line, and the key if there is one. */
static inline void begin(struct json *j, const char *key)
{
	if (j->depth)
		fprintf(j->out, "%s\n%*s", j->first ? "" : ",", (int)j->depth * 2, "");
	j->first = false;
	if (key) {
		write_text(j, key);
		fputs(": ", j->out);
	}
}

static inline void open_(struct json *j, const char *key, char bracket)
{
	begin(j, key);
	fputc(bracket, j->out);
	j->depth++;
	j->first = true;
}

static inline void close_(struct json *j, char bracket)
{
	j->depth--;
	if (!j->first)
		fprintf(j->out, "\n%*s", (int)j->depth * 2, "");
	fputc(bracket, j->out);
	j->first = false;
}

static inline void number(struct json *j, const char *key, uint64_t n)
{
	begin(j, key);
	fprintf(j->out, "%" PRIu64, n);
}

/* An absent figure is null, never 0. */
static inline void number_if(struct json *j, const char *key, uint64_t n, bool known)
{
	begin(j, key);
	if (known)
		fprintf(j->out, "%" PRIu64, n);
	else
		fputs("null", j->out);
}

static inline void fraction(struct json *j, const char *key, double v)
{
	begin(j, key);
	fprintf(j->out, "%.6f", v);
}

static inline void boolean(struct json *j, const char *key, bool v)
{
	begin(j, key);
	fputs(v ? "true" : "false", j->out);
}

static inline void string(struct json *j, const char *key, const char *text)
{
	begin(j, key);
	if (text)
		write_text(j, text);
	else
		fputs("null", j->out);
}

/* Addresses are strings: most readers of JSON keep 53 bits of a number only. */
static inline void address(struct json *j, const char *key, uint64_t a)
{
	char text[24];
	snprintf(text, sizeof text, "0x%" PRIx64, a);
	string(j, key, text);
}

static inline void strings(struct json *j, const char *key, char *const *text)
{
	open_(j, key, '[');
	for (; *text; text++)
		string(j, NULL, *text);
	close_(j, ']');
}

/* A document begins: which form of it this is, and who wrote it. */
static inline struct json json_begin(FILE *out, unsigned format)
{
	struct json j = {.out = out, .first = true};

	open_(&j, NULL, '{');
	number(&j, "format", format);
	string(&j, "pagoda", PG_VERSION);
	return j;
}

static inline void json_end(struct json *j)
{
	close_(j, '}');
	fputc('\n', j->out);
}

#endif
