/* SPDX-License-Identifier: MIT */
/*
 * Functions and lines of files, asked about the test program itself, with and without its symbols.
 * The expectation comes from the loader: where the function is in memory, and which part of the
 * file that is.
 *
 *   test_symbols COPY    COPY: where a stripped copy may be written
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/linux.h"
#include "trace/symbols.h"

static const char *stripped;
static char own_path[4096];

/* linux/ would move the descriptor; here nobody is to be kept from seeing it. */
int pg_linux_own_fd(int fd)
{
	return fd;
}

/* What is asked about: not static, not inlined, and long enough to have an inside. */
int pg_test_probe(int n);
__attribute__((noinline)) int pg_test_probe(int n)
{
	int sum = 0;
	for (int i = 0; i < n; i++)
		sum += i * n + (sum >> 3);
	return sum;
}
#define PROBE_LINE 36 /* of the function above */

/* The place in the file of an address of this process. */
static uint64_t file_offset_of(const void *address)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4096];
	uint64_t start, end, offset, found = UINT64_MAX;

	assert_non_null(maps);
	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, &start, &end, &offset) ==
				3 &&
			(uintptr_t)address >= start && (uintptr_t)address < end)
			found = (uintptr_t)address - start + offset;
	fclose(maps);
	assert_true(found != UINT64_MAX);
	return found;
}

static const void *probe(int bytes)
{
	return (const char *)(uintptr_t)&pg_test_probe + bytes;
}

static void function_with_symbols_has_name_offset_and_line(void **state)
{
	struct pg_symbols *s;
	struct pg_symbol found;
	char text[128];

	assert_int_equal(pg_symbols_create(&s), 0);
	assert_true(pg_symbols_find(s, own_path, file_offset_of(probe(5)), &found));
	assert_string_equal(found.function, "pg_test_probe");
	assert_int_equal(found.offset, 5);
	assert_non_null(found.source);
	assert_string_equal(pg_symbols_base_name(found.source), "test_symbols.c");
	assert_in_range(found.line, PROBE_LINE, PROBE_LINE + 4);
	pg_symbols_format(s, own_path, file_offset_of(probe(5)), 0, text, sizeof text);
	assert_string_equal(text, "pg_test_probe+0x5");
	pg_symbols_destroy(s);
}

static void function_stripped_is_found_by_its_start(void **state)
{
	struct pg_symbols *s;
	struct pg_symbol with, without;
	uint64_t offset = file_offset_of(probe(5));

	assert_int_equal(pg_symbols_create(&s), 0);
	assert_true(pg_symbols_find(s, own_path, offset, &with));
	assert_true(pg_symbols_find(s, stripped, offset, &without));
	assert_null(without.function);
	assert_int_equal(without.address, with.address);
	assert_int_equal(without.offset, 5);
	assert_null(without.source);
	pg_symbols_destroy(s);
}

static void byte_outside_segments_is_refused(void **state)
{
	struct pg_symbols *s;
	struct pg_symbol found;

	assert_int_equal(pg_symbols_create(&s), 0);
	assert_false(pg_symbols_find(s, own_path, (uint64_t)1 << 40, &found));
	assert_null(found.function);
	pg_symbols_destroy(s);
}

static void file_unreadable_is_refused_twice(void **state)
{
	struct pg_symbols *s;
	struct pg_symbol found;
	char text[128];

	assert_int_equal(pg_symbols_create(&s), 0);
	for (int i = 0; i < 2; i++) {
		assert_false(pg_symbols_find(s, "/no/such/file", 0, &found));
		assert_false(pg_symbols_find(s, "/dev/null", 0, &found));
		assert_false(pg_symbols_find(s, "/proc/self/maps", 0, &found));
	}
	pg_symbols_format(s, "/no/such/file", 0x123, 0, text, sizeof text);
	assert_string_equal(text, "file+0x123");
	pg_symbols_format(s, NULL, 0, 0xabc, text, sizeof text);
	assert_string_equal(text, "0xabc");
	pg_symbols_destroy(s);
}

static void base_name_any_is_behind_the_last_slash(void **state)
{
	assert_string_equal(pg_symbols_base_name("/usr/bin/true"), "true");
	assert_string_equal(pg_symbols_base_name("true"), "true");
	assert_string_equal(pg_symbols_base_name("[heap]"), "[heap]");
	assert_string_equal(pg_symbols_base_name("a/"), "a/");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(function_with_symbols_has_name_offset_and_line),
		cmocka_unit_test(function_stripped_is_found_by_its_start),
		cmocka_unit_test(byte_outside_segments_is_refused),
		cmocka_unit_test(file_unreadable_is_refused_twice),
		cmocka_unit_test(base_name_any_is_behind_the_last_slash),
	};
	char command[9000];

	if (argc != 2 || readlink("/proc/self/exe", own_path, sizeof own_path - 1) < 0)
		return 2;
	stripped = argv[1];
	snprintf(command, sizeof command, "strip --strip-all -o '%s' '%s'", stripped, own_path);
	if (system(command) != 0)
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
