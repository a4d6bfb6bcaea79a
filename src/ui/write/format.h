/* SPDX-License-Identifier: MIT */
/*
 * ui/write/format.h: numbers as people read them.
 *
 * Called by ui/run/summary.c and ui/words/options.c.
 */
#ifndef PG_UI_WRITE_FORMAT_H
#define PG_UI_WRITE_FORMAT_H

#include "base/types.h"

#define PG_FORMAT_BYTES 64 /* enough for any of these */

/* "1,234,567" into text[PG_FORMAT_BYTES]. Returns text, as all of these do. */
const char *pg_format_count(uint64_t n, char *text);
/* "512 bytes", "64 KiB", "9.8 MiB": three digits or so, exact where that is short. */
const char *pg_format_size(uint64_t bytes, char *text);
/* 100 * part / whole as "12.3 %"; "-" when whole is 0. A share that is not all never shows as 100
 * %. */
const char *pg_format_share(uint64_t part, uint64_t whole, char *text);

/*
 * Parses a size: a whole number of bytes, or of 1024 to the power of one of K, M, G, T ("64K",
 * "64KiB"). -EINVAL: not a size; -ERANGE: more than 64 bits hold.
 */
PG_MUST_CHECK int pg_parse_size(const char *text, uint64_t *out);
/* A whole number, decimal or 0x. -EINVAL, -ERANGE. */
PG_MUST_CHECK int pg_parse_number(const char *text, uint64_t *out);

#endif
