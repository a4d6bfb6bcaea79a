/* SPDX-License-Identifier: MIT */
/*
 * The texts made from a report that is made up here: every figure a number of its own, so that a mix-up
 * shows. Guards J1 of ui/write/json.c and J2 of ui/run/json.c.
 *
 *   test_report --show    prints the summary, to look at
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "ui/run/report.h"

/* linux/ is not linked here; no file is opened either. */
int pg_linux_own_fd(int fd)
{
	return fd;
}

static char *command[] = {"/usr/bin/demo", "-x", NULL};
static struct pg_options options;
static struct pg_function_row functions[12];
static struct pg_place_row places[3];
static struct pg_region_row regions[1];

static struct pg_report made_up(bool fast)
{
	options = (struct pg_options){
		.memory_bytes = 64 << 20,
		.mmu = pg_mmu_config_default,
		.fast = fast,
		.form = &pg_table_radix,
		.geometry = pg_geometry_x86_64,
		.seeded = true,
		.seed = 1,
		.top = 10,
		.command = command,
	};
	struct pg_report r = {
		.options = &options,
		.program = command[0],
		.end = {.exited = true, .code = 3},
		.status = 3,
		.wall_s = 0.5,
		.user_s = 0.4,
		.system_s = 0.1,
		.functions = functions,
		.function_count = 12,
		.places = places,
		.place_count = 3,
		.regions = regions,
		.region_count = 1,
	};
	r.frames.total = 16384;
	r.frames.used_peak = 3001;
	struct pg_space_stats *m = &r.stats.space;
	m->vsz_peak_bytes = (uint64_t)1234 << 20;
	m->rss_peak_pages = 2002;
	m->table.node_frames_peak = 17;
	for (int k = 0; k < PG_FAULT_KINDS; k++)
		m->faults[k] = 1001 + (uint64_t)k;
	m->faults_by_kernel = 77;
	m->pages_in = 555;
	m->copies = 1100;
	struct pg_cpu_stats *c = &r.stats.cpu;
	c->has_tlb = !fast;
	if (!fast) {
		c->instructions = 123456789;
		c->loads = 33333333;
		c->stores = 22222222;
		c->data_lookups = 55555555;
		c->fetch_lookups = 11111111;
		c->mmu.misses[PG_TLB_L1D] = 5555;
		c->mmu.misses[PG_TLB_L1I] = 444;
		c->mmu.misses[PG_TLB_L2] = 333;
		c->mmu.l2_lookups = 5999;
		c->mmu.walks = 333;
		c->mmu.walk_refs = 1400;
		c->mmu.dirty_walks = 17;
	}
	r.stats.system_calls = 88;
	for (int i = 0; i < 12; i++)
		functions[i] = (struct pg_function_row){
			.function = i % 2 ? "memcpy" : NULL,
			.module = "/usr/lib/x86_64-linux-gnu/libexample.so.6",
			.address = 0x12340,
			.source = i == 1 ? "/build/source/string/memcpy.c" : NULL,
			.line = i == 1 ? 42 : 0,
			.tally = {.faults = 700u - (unsigned)i, .pages_in = 3, .frames = 600},
		};
	r.total.faults = 7028;
	places[0] = (struct pg_place_row){.name = "[heap]", .tally = {.faults = 4000}};
	places[1] = (struct pg_place_row){
		.name = "/usr/lib/x86_64-linux-gnu/a/path/that/is/far/too/long/for/one/line/of/any/"
			"terminal/of/the/usual/width/libexample.so.6",
		.file = true,
		.tally = {.faults = 3000}};
	places[2] = (struct pg_place_row){
		.name = "bad \xff\xfe \" \\ \n name", .tally = {.faults = 28}};
	regions[0] = (struct pg_region_row){
		.start = 0x1000, .end = 0x3000, .prot = PG_READ, .name = "x"};
	return r;
}

static char *summary_of(const struct pg_report *r)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	pg_summary_write(r, f, false);
	fclose(f);
	return text;
}

static char *json_of(const struct pg_report *r)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	pg_report_json(r, f);
	fclose(f);
	return text;
}

static void assert_says(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no '%s' in:\n%s", part, text);
}

static void summary_exact_has_every_figure(void **state)
{
	static const char *const parts[] = {"status 3", "64 MiB", "1.2 GiB", "7.8 MiB", "12.2 %",
		"3,001", "18.3 %", "68 KiB", "17 nodes", "7,028", "77 of them", "1,001", "1,002",
		"1,003", "1,004", "1,005", "1,006", "1,007", "555", "1,100 pages were copied",
		"55,555,555", "55,550,000", "99.99 %", "11,111,111", "5,999", "94.4 %", "350",
		"1,400 references", "4.00 a walk", "123,456,789", "246.9 million", "33,333,333",
		"22,222,222", "88", "0.500 s", "10 of 12", "\" \\ ? name",
		"memcpy (libexample.so.6, memcpy.c:42)", "libexample.so.6+0x12340", "[heap]"};
	struct pg_report r = made_up(false);
	char *text = summary_of(&r);

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		assert_says(text, parts[i]);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strlen(line) > 100)
			fail_msg("%zu characters: %s", strlen(line), line);
	free(text);
}

static void summary_has_the_map_if_asked_for(void **state)
{
	struct pg_report r = made_up(false);
	char *text = summary_of(&r);

	assert_null(strstr(text, "kernel space"));
	free(text);
	options.map = true;
	text = summary_of(&r);
	assert_says(text, "0x800000000000                           kernel space");
	assert_says(text, "0x000000001000  8 KiB         -    r--p  x");
	free(text);
}

static void summary_fast_has_no_figures_that_are_not_counted(void **state)
{
	struct pg_report r = made_up(true);
	char *text = summary_of(&r);

	assert_says(text, "these figures are absent");
	assert_says(text, "not counted in fast mode");
	assert_null(strstr(text, "hit rate"));
	assert_null(strstr(text, "million a second"));
	free(text);
}

static void json_fast_has_null_for_what_is_not_counted(void **state)
{
	struct pg_report r = made_up(true);
	char *text = json_of(&r);

	assert_says(text, "\"translation\": null");
	assert_says(text, "\"instructions\": null");
	assert_says(text, "\"loads\": null");
	free(text);
}

static void json_names_of_any_bytes_are_escaped(void **state)
{
	struct pg_report r = made_up(false);
	char *text = json_of(&r);

	assert_says(text, "\"bad \\ufffd\\ufffd \\\" \\\\ \\u000a name\"");
	assert_says(text, "\"exit_code\": 3");
	assert_says(text, "\"signal\": null");
	free(text);
}

static void ending_by_exit_has_no_text(void **state)
{
	struct pg_report r = made_up(false);
	char text[512];

	assert_false(pg_ending_text(&r, text, sizeof text));
}

static void ending_by_signal_says_what_and_where(void **state)
{
	static char where[] = "main+0x12 (demo, demo.c:7)",
		    what[] = "the r-xp region of /usr/bin/demo";
	static const struct {
		struct pg_linux_end end;
		const char *says;
	} cases[] = {
		{{.signal = SIGKILL, .oom = true}, "out of memory, all frames of 64 MiB"},
		{{.signal = SIGTERM}, "killed by SIGTERM"},
		{{.signal = SIGSEGV,
			 .fault = true,
			 .access = PG_WRITE,
			 .why = PG_FAULT_MAPERR,
			 .addr = 0x10},
			"killed by SIGSEGV: write of 0x10, where nothing is mapped, in main+0x12"},
		{{.signal = SIGSEGV, .fault = true, .access = PG_EXEC, .why = PG_FAULT_MAPERR},
			"SIGSEGV: exec of 0x0, where nothing is mapped"},
		{{.signal = SIGSEGV, .fault = true, .access = PG_WRITE, .why = PG_FAULT_ACCERR},
			"which the r-xp region of /usr/bin/demo does not allow"},
		{{.signal = SIGSEGV, .fault = true, .access = PG_WRITE, .why = PG_FAULT_STACK},
			"stack overflow"},
		{{.signal = SIGBUS, .fault = true, .access = PG_READ, .why = PG_FAULT_BUS},
			"beyond the end"},
		{{.signal = SIGSEGV, .fault = true}, "general protection"},
		{{.signal = SIGILL,
			 .fault = true,
			 .unhandled = true,
			 .bytes = {0x62, 0xf1},
			 .length = 2},
			"an instruction that Pagoda does not handle yet, bytes 62 f1"},
		{{.signal = SIGILL, .fault = true, .bytes = {0x0f, 0x0b}, .length = 2},
			"an illegal instruction, bytes 0f 0b"},
		{{.signal = SIGFPE, .fault = true, .si_code = FPE_INTDIV}, "division"},
		{{.signal = SIGSEGV, .frame_failed = true}, "no room on the stack"},
		{{.signal = 40}, "killed by signal 40"},
	};
	struct pg_report r = made_up(false);
	char text[512];

	r.where = where;
	r.what = what;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		r.end = cases[i].end;
		assert_true(pg_ending_text(&r, text, sizeof text));
		assert_says(text, cases[i].says);
		assert_null(strchr(text, '\n'));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(summary_exact_has_every_figure),
		cmocka_unit_test(summary_has_the_map_if_asked_for),
		cmocka_unit_test(summary_fast_has_no_figures_that_are_not_counted),
		cmocka_unit_test(json_fast_has_null_for_what_is_not_counted),
		cmocka_unit_test(json_names_of_any_bytes_are_escaped),
		cmocka_unit_test(ending_by_exit_has_no_text),
		cmocka_unit_test(ending_by_signal_says_what_and_where),
	};

	if (argc == 2 && strcmp(argv[1], "--show") == 0) {
		struct pg_report r = made_up(false);
		pg_summary_write(&r, stdout, false);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
