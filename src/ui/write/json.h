/* SPDX-License-Identifier: MIT */
/*
 * ui/write/json.h: writing JSON (RFC 8259): nested objects and arrays, well-formed whatever bytes a text holds.
 *
 * Included by the files of ui/ that write JSON. Keys are NULL inside arrays.
 */
#ifndef PG_UI_WRITE_JSON_H
#define PG_UI_WRITE_JSON_H

#include <stdio.h>

#include "base/types.h"

/* A writer of nested objects and arrays; commas and indentation are its business. */
struct pg_json {
	FILE *out;
	unsigned depth;
	bool first; /* nothing was written yet on this level */
};

/* A document begins: which form of it this is, and who wrote it. */
struct pg_json pg_json_begin(FILE *out, unsigned format);
void pg_json_end(struct pg_json *j);

/* bracket: '{' or '[', and its counterpart. */
void pg_json_open(struct pg_json *j, const char *key, char bracket);
void pg_json_close(struct pg_json *j, char bracket);

void pg_json_number(struct pg_json *j, const char *key, uint64_t n);
/* An absent figure is null, never 0. */
void pg_json_number_if(struct pg_json *j, const char *key, uint64_t n, bool known);
void pg_json_fraction(struct pg_json *j, const char *key, double v);
void pg_json_fraction_if(struct pg_json *j, const char *key, double v, bool known);
void pg_json_boolean(struct pg_json *j, const char *key, bool v);
/* text NULL: null. */
void pg_json_string(struct pg_json *j, const char *key, const char *text);
/* Addresses are strings: most readers of JSON keep 53 bits of a number only. */
void pg_json_address(struct pg_json *j, const char *key, uint64_t a);
/* An array of the strings of a list that NULL ends. */
void pg_json_strings(struct pg_json *j, const char *key, char *const *text);

/* For what none of these writes: an element begins (comma, line, and the key if there is one); its text in quotes. */
void pg_json_key(struct pg_json *j, const char *key);
void pg_json_text(struct pg_json *j, const char *text);

#endif
