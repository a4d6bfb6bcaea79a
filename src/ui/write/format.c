/* SPDX-License-Identifier: MIT */
/*
 * ui/write/format.c: numbers as people read them, and sizes as people write them.
 *
 * Called by the rest of ui/. Pure functions; owns nothing.
 */
#include "ui/write/format.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *pg_format_count(uint64_t n, char *text)
{
	char digits[24];
	int length = snprintf(digits, sizeof digits, "%" PRIu64, n);
	char *to = text;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return text;
}

const char *pg_format_size(uint64_t bytes, char *text)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned unit = 0;
	uint64_t whole = bytes, rest = 0;

	while (whole >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
		rest |= (whole & 1023) ? 1 : 0;
		whole >>= 10;
		unit++;
	}
	if (unit == 0 || rest == 0) {
		snprintf(text, PG_FORMAT_BYTES, "%" PRIu64 " %s", whole, units[unit]);
		return text;
	}
	double value = (double)bytes / (double)((uint64_t)1 << (10 * unit));
	snprintf(text, PG_FORMAT_BYTES, value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

const char *pg_format_share(uint64_t part, uint64_t whole, char *text)
{
	if (whole == 0) {
		snprintf(text, PG_FORMAT_BYTES, "-");
		return text;
	}
	double share = 100.0 * (double)part / (double)whole;
	if (part > 0 && share < 0.05) {
		snprintf(text, PG_FORMAT_BYTES, "<0.1 %%");
		return text;
	}
	/* from 99 on two digits, and as many more as it takes that what is not all does not look so
	 */
	for (int digits = share >= 99 && part != whole ? 2 : 1; digits <= 9; digits++) {
		snprintf(text, PG_FORMAT_BYTES, "%.*f %%", digits, share);
		if (part == whole || strncmp(text, "100", 3) != 0)
			break;
	}
	return text;
}

int pg_parse_number(const char *text, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 0);
	if (errno == ERANGE)
		return -ERANGE;
	if (*end)
		return -EINVAL;
	*out = v;
	return 0;
}

int pg_parse_size(const char *text, uint64_t *out)
{
	static const char letters[] = "KMGT";
	char *end;
	unsigned shift = 0;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (errno == ERANGE)
		return -ERANGE;
	const char *letter = *end ? strchr(letters, toupper((unsigned char)*end)) : NULL;
	if (letter) {
		shift = 10 * (unsigned)(letter - letters + 1);
		end++;
		if (strcmp(end, "iB") == 0)
			end += 2;
	}
	if (strcmp(end, "B") == 0)
		end++;
	if (*end)
		return -EINVAL;
	if (shift && v > UINT64_MAX >> shift)
		return -ERANGE;
	*out = (uint64_t)v << shift;
	return 0;
}
