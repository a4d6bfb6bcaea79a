/* SPDX-License-Identifier: MIT */
/*
 * Parts of trace/ that the stack is followed by: cycles beside a slow search, lines over time beside all values, DWARF expressions
 * beside the standard's own words, chains folded. Requirement R15.
 */
#include <dwarf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "trace/calltree.h"
#include "trace/cycle.h"
#include "trace/film.h"
#include "trace/location.h"

/* --- cycles -------------------------------------------------------------------------------------- */

static struct pg_cycle cycle_of(const char *innermost_first)
{
	uint32_t functions[256];
	size_t n = strlen(innermost_first);
	struct pg_cycle c;

	for (size_t i = 0; i < n; i++)
		functions[i] = (uint32_t)innermost_first[i];
	pg_cycle_find(functions, n, &c);
	return c;
}

static void cycle_of_one_function_counts_its_calls(void **state)
{
	struct pg_cycle c = cycle_of("xffffffffms");

	assert_int_equal(c.first, 1);
	assert_int_equal(c.length, 1);
	assert_int_equal(c.turns, 8);
}

static void cycle_of_three_begins_with_the_outermost(void **state)
{
	/* main, a, b, c, a, b, c, a, b, c, a: the last turn is not whole */
	struct pg_cycle c = cycle_of("acbacbacbam");

	assert_int_equal(c.length, 3);
	assert_int_equal(c.turns, 3);
	assert_int_equal(c.first, 1);
}

static void cycle_is_none_where_nothing_repeats(void **state)
{
	assert_int_equal(cycle_of("abcdefgh").length, 0);
	assert_int_equal(cycle_of("aab").length, 0);
	assert_int_equal(cycle_of("a").length, 0);
	assert_int_equal(cycle_of("").length, 0);
}

/* By definition: for each start and length, as long as each element equals the one a turn before it. */
static size_t most_covered(const uint32_t *f, size_t n)
{
	size_t most = 0;

	for (size_t first = 0; first < n && first < PG_CYCLE_MOST; first++)
		for (size_t length = 1; length <= PG_CYCLE_MOST && first + length <= n; length++) {
			size_t end = first + length;

			while (end < n && f[end] == f[first + (end - first) % length])
				end++;
			size_t turns = (end - first) / length;
			if (turns >= 3 && turns * length > most)
				most = turns * length;
		}
	return most;
}

static void cycle_covers_as_much_as_any(void **state)
{
	struct pg_random r;
	uint32_t f[60];

	pg_random_seed(&r, 11);
	for (int round = 0; round < 3000; round++) {
		size_t n = pg_random_below(&r, 60), length = 1 + pg_random_below(&r, 5);
		struct pg_cycle c;

		for (size_t i = 0; i < n; i++)
			f[i] = pg_random_below(&r, 12) == 0 || i < length
				       ? (uint32_t)pg_random_below(&r, 3)
				       : f[i - length];
		pg_cycle_find(f, n, &c);
		assert_int_equal(c.turns * c.length, most_covered(f, n));
		for (size_t i = c.first + c.length; i < c.first + c.turns * c.length; i++)
			assert_int_equal(f[i], f[i - c.length]);
	}
}

/* --- over time ----------------------------------------------------------------------------------- */

static void line_keeps_the_lowest_and_highest_of_each_point(void **state)
{
	static struct pg_film_line line;
	enum { EVENTS = 50000 };
	static uint64_t bytes[EVENTS];
	struct pg_random r;

	pg_random_seed(&r, 3);
	for (uint64_t i = 0; i < EVENTS; i++) {
		bytes[i] = pg_random_below(&r, 100000);
		pg_film_line_add(&line, i, (uint32_t)(bytes[i] / 10), bytes[i]);
	}
	assert_true(line.width * PG_FILM_POINTS >= EVENTS && line.count <= PG_FILM_POINTS);
	for (uint64_t p = 0; p < line.count; p++) {
		uint64_t low = UINT64_MAX, high = 0;

		for (uint64_t i = p * line.width; i < (p + 1) * line.width && i < EVENTS; i++) {
			low = bytes[i] < low ? bytes[i] : low;
			high = bytes[i] > high ? bytes[i] : high;
		}
		assert_true(line.points[p].set);
		assert_int_equal(line.points[p].bytes_low, low);
		assert_int_equal(line.points[p].bytes_high, high);
		assert_int_equal(line.points[p].depth_low, low / 10);
		assert_int_equal(line.points[p].depth_high, high / 10);
	}
}

static void film_keeps_every_so_many_events_and_no_more(void **state)
{
	struct pg_film film = {.step = 1};

	for (uint64_t i = 0; i < 20000; i++) {
		struct pg_film_call call = {(uint32_t)i, 0};
		struct pg_film_frame f = {.event = i, .count = 1, .depth = 1, .calls = &call};

		if (i % film.step == 0)
			assert_true(pg_film_add(&film, &f));
	}
	assert_true(film.count <= PG_FILM_FRAMES && film.count > PG_FILM_FRAMES / 2);
	for (size_t i = 0; i < film.count; i++) {
		assert_int_equal(film.frames[i].event, i * film.step);
		assert_int_equal(film.frames[i].calls[0].function, i * film.step);
	}
	pg_film_clear(&film);
}

/* --- expressions --------------------------------------------------------------------------------- */

static uint64_t value_of(const Dwarf_Op *ops, size_t count, enum pg_located want)
{
	uint64_t regs[PG_DWARF_REGS], v;
	struct pg_location_frame f = {.regs = regs,
		.known = 0x1ffff & ~(1u << 5),
		.cfa = 0x7000,
		.has_cfa = true,
		.load = 0x100000};

	for (unsigned i = 0; i < PG_DWARF_REGS; i++)
		regs[i] = 1000 + i;
	assert_int_equal(pg_location_value(&f, ops, count, NULL, &v), want);
	return v;
}
#define VALUE(...)                                                                                 \
	value_of((const Dwarf_Op[]){__VA_ARGS__},                                                  \
		sizeof((const Dwarf_Op[]){__VA_ARGS__}) / sizeof(Dwarf_Op), PG_LOCATED_OK)
#define OP(a)                                                                                      \
	{                                                                                          \
		.atom = DW_OP_##a                                                                  \
	}
#define OP1(a, n)                                                                                  \
	{                                                                                          \
		.atom = DW_OP_##a, .number = (Dwarf_Word)(n)                                       \
	}

/* DWARF 5, D.1.2: examples of stack operations; 2.5.1: what each does. */
static void expressions_do_what_the_standard_says(void **state)
{
	assert_int_equal(VALUE(OP(lit17), OP(lit29), OP1(const4u, 1000), OP(swap), OP(drop)), 1000);
	/* 17 29 1000: over copies 29, pick 2 copies 17 */
	assert_int_equal(VALUE(OP(lit17), OP(lit29), OP1(const4u, 1000), OP(over)), 29);
	assert_int_equal(VALUE(OP(lit17), OP(lit29), OP1(const4u, 1000), OP1(pick, 2)), 17);
	/* rot: the top becomes the third, the others move up */
	assert_int_equal(VALUE(OP(lit17), OP(lit29), OP1(const4u, 1000), OP(rot)), 29);
	assert_int_equal(
		VALUE(OP(lit17), OP(lit29), OP1(const4u, 1000), OP(rot), OP(drop), OP(drop)), 1000);
	assert_int_equal(VALUE(OP1(breg6, -16)), 1006 - 16);
	assert_int_equal(VALUE(OP(reg3)), 1003);
	assert_int_equal(VALUE(OP(call_frame_cfa), OP1(plus_uconst, 8)), 0x7008);
	assert_int_equal(VALUE(OP1(addr, 0x4000)), 0x104000);
	assert_int_equal(VALUE(OP1(consts, -9), OP(lit2), OP(div)), (uint64_t)-4);
	assert_int_equal(VALUE(OP1(const8u, 9), OP(lit2), OP(mod)), 1);
	assert_int_equal(VALUE(OP1(consts, -8), OP(lit1), OP(shra)), (uint64_t)-4);
	assert_int_equal(VALUE(OP1(consts, -8), OP(lit1), OP(shr)), (uint64_t)-8 >> 1);
	assert_int_equal(VALUE(OP1(consts, -1), OP(lit1), OP(lt)), 1);
	assert_int_equal(VALUE(OP(lit5), OP(neg), OP(abs)), 5);
	assert_int_equal(VALUE(OP(lit0), OP(not )), UINT64_MAX);
}

/* A branch goes to the byte that is its distance from behind itself. Here: 1, bra over "lit5" to "lit7". */
static void expressions_branch(void **state)
{
	const Dwarf_Op taken[] = {{.atom = DW_OP_lit1, .offset = 0},
		{.atom = DW_OP_bra, .number = 1, .offset = 1}, {.atom = DW_OP_lit5, .offset = 4},
		{.atom = DW_OP_lit7, .offset = 5}},
		       endless[] = {{.atom = DW_OP_skip, .number = (Dwarf_Word)-3, .offset = 0}};

	assert_int_equal(value_of(taken, 4, PG_LOCATED_OK), 7);
	value_of(endless, 1, PG_LOCATED_UNKNOWN);
}

static void expressions_that_cannot_be_are_refused(void **state)
{
	const Dwarf_Op lost[] = {OP1(breg5, 0)}, empty[] = {OP(plus)},
		       zero[] = {OP(lit1), OP(lit0), OP(div)}, odd[] = {OP(form_tls_address)};

	value_of(lost, 1, PG_LOCATED_UNREADABLE); /* nobody kept register 5 */
	value_of(empty, 1, PG_LOCATED_UNKNOWN);
	value_of(zero, 3, PG_LOCATED_UNKNOWN);
	value_of(odd, 1, PG_LOCATED_UNKNOWN);
	value_of(empty, 0, PG_LOCATED_UNKNOWN);
}

/* A variable in two registers and a piece that was optimised out. */
static void locations_of_pieces_are_put_together(void **state)
{
	uint64_t regs[PG_DWARF_REGS] = {[0] = 0x1122334455667788, [3] = 0xaabbccdd}, at;
	struct pg_location_frame f = {.regs = regs, .known = 9};
	const Dwarf_Op both[] = {OP(reg0), OP1(piece, 4), OP(reg3), OP1(piece, 4)},
		       half[] = {OP(reg0), OP1(piece, 4), OP1(piece, 4)};
	uint8_t bytes[8];
	size_t got;

	assert_int_equal(pg_location_read(&f, both, 4, bytes, 8, &got, &at), PG_LOCATED_OK);
	assert_int_equal(got, 8);
	assert_memory_equal(bytes, "\x88\x77\x66\x55\xdd\xcc\xbb\xaa", 8);
	assert_int_equal(pg_location_read(&f, half, 3, bytes, 8, &got, &at), PG_LOCATED_OPTIMISED);
	assert_int_equal(pg_location_read(&f, both, 0, bytes, 8, &got, &at), PG_LOCATED_OPTIMISED);
}

/* --- folded chains ------------------------------------------------------------------------------- */

/* A tree of 40 functions, without any file: 60,000 chains of random weights; the sum of all lines is that of all nodes. */
static void folded_lines_add_up_however_many_chains(void **state)
{
	struct pg_call_tree t;
	struct pg_random r;
	uint64_t sum = 0, lines = 0, told = 0;
	char *text = NULL, *line;
	size_t size;

	pg_random_seed(&r, 5);
	assert_int_equal(pg_call_tree_create(NULL, &t), 0);
	t.functions = calloc(40, sizeof *t.functions);
	for (t.function_count = 0; t.function_count < 40; t.function_count++) {
		char name[16];

		snprintf(name, sizeof name, "f %u", t.function_count);
		t.functions[t.function_count].name = strdup(name);
		t.functions[t.function_count].path = "";
	}
	while (t.node_count < 60000) {
		uint32_t parent = (uint32_t)pg_random_below(&r, t.node_count),
			 n = pg_call_tree_child(&t, parent, (uint32_t)pg_random_below(&r, 40)),
			 chain[600];
		uint64_t w = pg_random_below(&r, 1000);

		/* and one that is 500 deep */
		for (uint32_t i = 0; t.node_count > 30000 && t.node_count < 30500 && i < 500; i++)
			n = pg_call_tree_child(&t, n, i % 40);
		t.nodes[n].instructions += w;
		sum += w;
		assert_true(pg_call_tree_chain(&t, n, chain, 600) >= 1);
		assert_int_equal(pg_call_tree_child(&t, t.nodes[n].parent, t.nodes[n].function), n);
	}
	FILE *out = open_memstream(&text, &size);
	pg_call_tree_folded(&t, PG_CALL_INSTRUCTIONS, out);
	fclose(out);
	for (char *at = text; (line = strsep(&at, "\n")) && line[0]; lines++) {
		char *blank = strrchr(line, ' ');

		assert_non_null(blank);
		assert_ptr_equal(strchr(line, ' '), blank); /* names have none */
		told += strtoull(blank + 1, NULL, 10);
	}
	assert_int_equal(told, sum);
	assert_true(lines > 10000 && lines < 60000);
	free(text);
	pg_call_tree_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cycle_of_one_function_counts_its_calls),
		cmocka_unit_test(cycle_of_three_begins_with_the_outermost),
		cmocka_unit_test(cycle_is_none_where_nothing_repeats),
		cmocka_unit_test(cycle_covers_as_much_as_any),
		cmocka_unit_test(line_keeps_the_lowest_and_highest_of_each_point),
		cmocka_unit_test(film_keeps_every_so_many_events_and_no_more),
		cmocka_unit_test(expressions_do_what_the_standard_says),
		cmocka_unit_test(expressions_branch),
		cmocka_unit_test(expressions_that_cannot_be_are_refused),
		cmocka_unit_test(locations_of_pieces_are_put_together),
		cmocka_unit_test(folded_lines_add_up_however_many_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
