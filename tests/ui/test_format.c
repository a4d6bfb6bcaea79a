/* SPDX-License-Identifier: MIT */
/*
 * Numbers, sizes and tables as ui/ writes and reads them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/write/format.h"
#include "ui/write/table.h"

static void count_any_has_separators(void **state)
{
	char text[PG_FORMAT_BYTES];

	assert_string_equal(pg_format_count(0, text), "0");
	assert_string_equal(pg_format_count(999, text), "999");
	assert_string_equal(pg_format_count(1000, text), "1,000");
	assert_string_equal(pg_format_count(1234567, text), "1,234,567");
	assert_string_equal(pg_format_count(UINT64_MAX, text), "18,446,744,073,709,551,615");
}

static void size_any_is_exact_or_rounded(void **state)
{
	char text[PG_FORMAT_BYTES];

	assert_string_equal(pg_format_size(0, text), "0 bytes");
	assert_string_equal(pg_format_size(1023, text), "1023 bytes");
	assert_string_equal(pg_format_size(4096, text), "4 KiB");
	assert_string_equal(pg_format_size(64 << 20, text), "64 MiB");
	assert_string_equal(pg_format_size((64 << 20) + 4096, text), "64.0 MiB");
	assert_string_equal(pg_format_size(1536, text), "1.5 KiB");
	assert_string_equal(pg_format_size((uint64_t)300 << 20 | 1, text), "300 MiB");
	assert_string_equal(pg_format_size(UINT64_MAX, text), "16.0 EiB");
}

static void share_almost_all_is_not_all(void **state)
{
	char text[PG_FORMAT_BYTES];

	assert_string_equal(pg_format_share(1, 3, text), "33.3 %");
	assert_string_equal(pg_format_share(3, 3, text), "100.0 %");
	assert_string_equal(pg_format_share(0, 3, text), "0.0 %");
	assert_string_equal(pg_format_share(0, 0, text), "-");
	assert_string_equal(pg_format_share(9999, 10000, text), "99.99 %");
	assert_string_equal(pg_format_share(999999, 1000000, text), "99.9999 %");
	assert_string_equal(pg_format_share(1, 1000000, text), "<0.1 %");
}

static void size_text_well_formed_is_parsed(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"0", 0}, {"4096", 4096}, {"64K", 64 << 10}, {"64k", 64 << 10}, {"1M", 1 << 20},
		{"2G", (uint64_t)2 << 30}, {"1T", (uint64_t)1 << 40}, {"64KiB", 64 << 10},
		{"64MB", 64 << 20}, {"18446744073709551615", UINT64_MAX}};

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		uint64_t bytes = 1;
		assert_int_equal(pg_parse_size(good[i].text, &bytes), 0);
		assert_true(bytes == good[i].bytes);
	}
}

static void size_text_ill_formed_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "M", "-1", "+1", " 1", "1 M", "1.5G", "64Q", "64Kb", "64KiBx", "0x10", "1e3"};
	uint64_t bytes;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(pg_parse_size(bad[i], &bytes), -EINVAL);
	assert_int_equal(pg_parse_size("18446744073709551616", &bytes), -ERANGE);
	assert_int_equal(pg_parse_size("16777216T", &bytes), -ERANGE);
	assert_int_equal(pg_parse_size("18014398509481984K", &bytes), -ERANGE);
}

static void number_text_any_is_parsed_or_refused(void **state)
{
	uint64_t n = 0;

	assert_int_equal(pg_parse_number("42", &n), 0);
	assert_true(n == 42);
	assert_int_equal(pg_parse_number("0xffffffffffffffff", &n), 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(pg_parse_number("0x10000000000000000", &n), -ERANGE);
	assert_int_equal(pg_parse_number("-1", &n), -EINVAL);
	assert_int_equal(pg_parse_number("1x", &n), -EINVAL);
	assert_int_equal(pg_parse_number("", &n), -EINVAL);
}

static char *written(struct pg_text_table *t)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	pg_table_write(t, f);
	fclose(f);
	return text;
}

static void table_two_rows_are_aligned(void **state)
{
	static const char *const first[] = {"1", "22", "left"};
	static const char *const second[] = {"1,000", "2", "le"};
	struct pg_text_table t;

	pg_table_init(&t, 3, 80);
	pg_table_add(&t, first);
	pg_table_add(&t, second);
	char *text = written(&t);
	assert_string_equal(text, "      1  22  left\n  1,000   2  le\n");
	free(text);
}

static void table_long_last_column_keeps_its_end(void **state)
{
	static const char *const cells[] = {"1", "/a/very/long/path/to/a/library/libexample.so.1"};
	struct pg_text_table t;

	pg_table_init(&t, 2, 30);
	pg_table_add(&t, cells);
	char *text = written(&t);
	assert_string_equal(text, "  1  ...ibrary/libexample.so.1\n");
	assert_int_equal(strlen(text) - 1, 30);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(count_any_has_separators),
		cmocka_unit_test(size_any_is_exact_or_rounded),
		cmocka_unit_test(share_almost_all_is_not_all),
		cmocka_unit_test(size_text_well_formed_is_parsed),
		cmocka_unit_test(size_text_ill_formed_is_refused),
		cmocka_unit_test(number_text_any_is_parsed_or_refused),
		cmocka_unit_test(table_two_rows_are_aligned),
		cmocka_unit_test(table_long_last_column_keeps_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
