/* SPDX-License-Identifier: MIT */
/*
 * ui/write/json.c: see json.h.
 *
 * Invariants:
 *   J1 what is written is well-formed whatever bytes a name holds: bytes that are not UTF-8 become U+FFFD.
 */
#include "ui/write/json.h"

#include <inttypes.h>

/* The length of the UTF-8 character at s, or 0 if there is none. Unicode 15, table 3-7. */
static unsigned utf8_length(const unsigned char *s)
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

void pg_json_text(struct pg_json *j, const char *text)
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
void pg_json_key(struct pg_json *j, const char *key)
{
	if (j->depth)
		fprintf(j->out, "%s\n%*s", j->first ? "" : ",", (int)j->depth * 2, "");
	j->first = false;
	if (key) {
		pg_json_text(j, key);
		fputs(": ", j->out);
	}
}

void pg_json_open(struct pg_json *j, const char *key, char bracket)
{
	pg_json_key(j, key);
	fputc(bracket, j->out);
	j->depth++;
	j->first = true;
}

void pg_json_close(struct pg_json *j, char bracket)
{
	j->depth--;
	if (!j->first)
		fprintf(j->out, "\n%*s", (int)j->depth * 2, "");
	fputc(bracket, j->out);
	j->first = false;
}

void pg_json_number(struct pg_json *j, const char *key, uint64_t n)
{
	pg_json_key(j, key);
	fprintf(j->out, "%" PRIu64, n);
}

/* An absent figure is null, never 0. */
void pg_json_number_if(struct pg_json *j, const char *key, uint64_t n, bool known)
{
	pg_json_key(j, key);
	if (known)
		fprintf(j->out, "%" PRIu64, n);
	else
		fputs("null", j->out);
}

void pg_json_fraction(struct pg_json *j, const char *key, double v)
{
	pg_json_key(j, key);
	fprintf(j->out, "%.6f", v);
}

void pg_json_fraction_if(struct pg_json *j, const char *key, double v, bool known)
{
	if (known)
		pg_json_fraction(j, key, v);
	else
		pg_json_string(j, key, NULL);
}

void pg_json_boolean(struct pg_json *j, const char *key, bool v)
{
	pg_json_key(j, key);
	fputs(v ? "true" : "false", j->out);
}

void pg_json_string(struct pg_json *j, const char *key, const char *text)
{
	pg_json_key(j, key);
	if (text)
		pg_json_text(j, text);
	else
		fputs("null", j->out);
}

/* Addresses are strings: most readers of JSON keep 53 bits of a number only. */
void pg_json_address(struct pg_json *j, const char *key, uint64_t a)
{
	char text[24];
	snprintf(text, sizeof text, "0x%" PRIx64, a);
	pg_json_string(j, key, text);
}

void pg_json_strings(struct pg_json *j, const char *key, char *const *text)
{
	pg_json_open(j, key, '[');
	for (; *text; text++)
		pg_json_string(j, NULL, *text);
	pg_json_close(j, ']');
}

/* A document begins: which form of it this is, and who wrote it. */
struct pg_json pg_json_begin(FILE *out, unsigned format)
{
	struct pg_json j = {.out = out, .first = true};

	pg_json_open(&j, NULL, '{');
	pg_json_number(&j, "format", format);
	pg_json_string(&j, "pagoda", PG_VERSION);
	return j;
}

void pg_json_end(struct pg_json *j)
{
	pg_json_close(j, '}');
	fputc('\n', j->out);
}
