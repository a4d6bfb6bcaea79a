/* SPDX-License-Identifier: MIT */
/*
 * The command line of `pagoda run`: what is taken, and that all else is refused with a sentence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/words/options.h"

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})

static char why[512];

static enum pg_options_result parse(char **words, struct pg_options *o)
{
	int count = 0;

	while (words[count])
		count++;
	why[0] = '\0';
	FILE *nowhere = fopen("/dev/null", "w");
	assert_non_null(nowhere);
	enum pg_options_result result = pg_options_parse(count, words, o, nowhere, why, sizeof why);
	fclose(nowhere);
	return result;
}

static void defaults_program_only_repeat(void **state)
{
	struct pg_options o;

	assert_int_equal(parse(WORDS("true"), &o), PG_OPTIONS_RUN);
	assert_true(o.memory_bytes == 256 << 20);
	assert_true(o.seeded && o.seed == 1 && !o.aslr);
	assert_true(o.stack_limit_bytes == 8 << 20);
	assert_false(o.fast || o.quiet || o.verbose || o.faults.wanted || o.explain.wanted);
	assert_true(o.form == &pg_table_radix && o.geometry.levels == 4);
	assert_null(o.json_path);
	assert_string_equal(o.command[0], "true");
}

static void options_all_are_taken_in_both_spellings(void **state)
{
	struct pg_options o;

	assert_int_equal(
		parse(WORDS("--memory", "64M", "--tlb=16x4", "--page-table", "radix:5", "--aslr",
			      "--seed=7", "--stack-limit", "unlimited", "--quiet", "--verbose",
			      "--json", "j", "--output=o", "--map", "--trace-faults", "--explain=e",
			      "--top", "3", "--", "ls", "-l", "--quiet"),
			&o),
		PG_OPTIONS_RUN);
	assert_true(o.memory_bytes == 64 << 20);
	assert_int_equal(o.mmu.l1d.entries, 16);
	assert_int_equal(o.mmu.l1d.ways, 4);
	assert_int_equal(o.mmu.l2.entries, 0);
	assert_int_equal(o.geometry.levels, 5);
	assert_true(o.aslr && o.seeded && o.seed == 7);
	assert_true(o.stack_limit_bytes == UINT64_MAX);
	assert_true(o.quiet && o.verbose && o.map);
	assert_string_equal(o.json_path, "j");
	assert_string_equal(o.output_path, "o");
	assert_true(o.faults.wanted && !o.faults.path);
	assert_true(o.explain.wanted);
	assert_string_equal(o.explain.path, "e");
	assert_int_equal(o.top, 3);
	assert_string_equal(o.command[0], "ls");
	assert_string_equal(o.command[2], "--quiet");
}

static void options_behind_the_program_are_the_programs(void **state)
{
	struct pg_options o;

	assert_int_equal(parse(WORDS("ls", "--fast"), &o), PG_OPTIONS_RUN);
	assert_false(o.fast);
	assert_string_equal(o.command[1], "--fast");
}

static void aslr_without_seed_is_not_seeded(void **state)
{
	struct pg_options o;

	assert_int_equal(parse(WORDS("--aslr", "true"), &o), PG_OPTIONS_RUN);
	assert_true(o.aslr && !o.seeded);
}

static void help_and_list_are_told_apart(void **state)
{
	struct pg_options o;

	assert_int_equal(parse(WORDS("--help"), &o), PG_OPTIONS_HELP);
	assert_int_equal(parse(WORDS("-h"), &o), PG_OPTIONS_HELP);
	assert_int_equal(parse(WORDS("--page-table", "help"), &o), PG_OPTIONS_LIST);
}

static void words_bad_are_refused_with_a_sentence(void **state)
{
	static const struct {
		char *words[4];
		const char *says;
	} bad[] = {
		{{"--memroy", "64M", "true"}, "did you mean --memory?"},
		{{"--zzzzzzzz", "true"}, "--help"},
		{{"-x", "true"}, "no option '-x'"},
		{{"--memory"}, "needs a value"},
		{{"--memory", "much", "true"}, "is not a size"},
		{{"--memory=", "true"}, "is not a size"},
		{{"--memory", "512K", "true"}, "too small"},
		{{"--memory", "1048577", "true"}, "multiple of 64K"},
		{{"--memory", "1000000G", "true"}, "more than this host has"},
		{{"--memory", "99999999999999999999T", "true"}, "is not a size"},
		{{"--tlb", "3x2", "true"}, "--tlb: '3x2'"},
		{{"--tlb", "", "true"}, "--tlb"},
		{{"--page-table", "magic", "true"}, "no form 'magic'"},
		{{"--page-table", "radix:3", "true"}, "use 4 or 5"},
		{{"--page-table", "radix:", "true"}, "use 4 or 5"},
		{{"--seed", "x", "true"}, "whole number"},
		{{"--stack-limit", "1K", "true"}, "too small"},
		{{"--fast=yes", "true"}, "takes no value"},
		{{"--json=", "true"}, "empty"},
		{{"--trace-faults=", "true"}, "empty"},
		{{"--top", "many", "true"}, "number of rows"},
		{{"--max-faults", "0", "true"}, "number of page faults"},
		{{"--quiet"}, "no program given"},
		{{"--"}, "no program given"},
		{{"--", ""}, "no program given"},
	};
	struct pg_options o;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char *words[5] = {
			bad[i].words[0], bad[i].words[1], bad[i].words[2], bad[i].words[3]};
		assert_int_equal(parse(words, &o),
			strstr(bad[i].says, "no program") ? PG_OPTIONS_EMPTY : PG_OPTIONS_BAD);
		if (!strstr(why, bad[i].says))
			fail_msg("'%s' says '%s', not '%s'", words[0], why, bad[i].says);
		assert_null(strchr(why, '\n'));
	}
	assert_int_equal(parse(WORDS("--fast", "--tlb", "16x4", "true"), &o), PG_OPTIONS_BAD);
	assert_non_null(strstr(why, "leave out"));
}

/* Linux's three modes, by number and by name. */
static void overcommit_accepts_numbers_and_names(void **state)
{
	struct pg_options o;

	assert_int_equal(parse(WORDS("true"), &o), PG_OPTIONS_RUN);
	assert_int_equal(o.overcommit, PG_OVERCOMMIT_GUESS);
	assert_int_equal(parse(WORDS("--overcommit", "1", "true"), &o), PG_OPTIONS_RUN);
	assert_int_equal(o.overcommit, PG_OVERCOMMIT_ALWAYS);
	assert_int_equal(parse(WORDS("--overcommit=never:80", "true"), &o), PG_OPTIONS_RUN);
	assert_int_equal(o.overcommit, PG_OVERCOMMIT_NEVER);
	assert_int_equal(o.overcommit_percent, 80);
	assert_int_equal(parse(WORDS("--overcommit", "3", "true"), &o), PG_OPTIONS_BAD);
	assert_int_equal(parse(WORDS("--overcommit", "always:5", "true"), &o), PG_OPTIONS_BAD);
	assert_int_equal(parse(WORDS("--overcommit", "never:x", "true"), &o), PG_OPTIONS_BAD);
}

/* Options of one kind of machine are refused with the other, and named. */
static void machine_of_blocks_has_options_of_its_own(void **state)
{
	struct pg_options o;

	assert_int_equal(parse(WORDS("true"), &o), PG_OPTIONS_RUN);
	assert_false(o.base_limit);
	assert_int_equal(
		parse(WORDS("--mmu", "base-limit", "--fit", "worst", "--partition=3M", "--heap",
			      "1k", "--fixed", "--compact", "--partition-log", "f", "true"),
			&o),
		PG_OPTIONS_RUN);
	assert_true(o.base_limit && o.fixed && o.compact);
	assert_int_equal(o.fit, PG_PARTITION_WORST);
	assert_int_equal(o.partition_bytes, 3 << 20);
	assert_int_equal(o.heap_bytes, 4096);
	assert_string_equal(o.partition_log, "f");
	assert_int_equal(parse(WORDS("--mmu", "paging", "true"), &o), PG_OPTIONS_RUN);
	assert_int_equal(parse(WORDS("--mmu", "segments", "true"), &o), PG_OPTIONS_BAD);
	assert_int_equal(parse(WORDS("--fit", "best", "true"), &o), PG_OPTIONS_BAD);
	assert_non_null(strstr(why, "--fit is of --mmu base-limit"));
	assert_int_equal(parse(WORDS("--replace", "clock", "--mmu", "base-limit", "true"), &o),
		PG_OPTIONS_BAD);
	assert_non_null(strstr(why, "--replace has no meaning"));
	assert_int_equal(
		parse(WORDS("--mmu", "base-limit", "--heap", "x", "true"), &o), PG_OPTIONS_BAD);
	assert_int_equal(
		parse(WORDS("--mmu", "base-limit", "--fit", "any", "true"), &o), PG_OPTIONS_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machine_of_blocks_has_options_of_its_own),
		cmocka_unit_test(defaults_program_only_repeat),
		cmocka_unit_test(options_all_are_taken_in_both_spellings),
		cmocka_unit_test(options_behind_the_program_are_the_programs),
		cmocka_unit_test(aslr_without_seed_is_not_seeded),
		cmocka_unit_test(help_and_list_are_told_apart),
		cmocka_unit_test(words_bad_are_refused_with_a_sentence),
		cmocka_unit_test(overcommit_accepts_numbers_and_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
