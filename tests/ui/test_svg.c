/* SPDX-License-Identifier: MIT */
/*
 * tests/ui/test_svg.c: charts, read back from their text. Invariants V1 and V2 of ui/write/svg.c; R23.
 */
#include "ui/write/svg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct pg_svg_box box = {0, 0, 480, 300};

struct drawing {
	struct pg_svg s;
	char *text;
	size_t size;
};

static void begin(struct drawing *d, const char *title)
{
	FILE *f = open_memstream(&d->text, &d->size);

	assert_non_null(f);
	pg_svg_begin(&d->s, f, 480, 300, title);
}

static void end(struct drawing *d)
{
	pg_svg_end(&d->s);
	fclose(d->s.out);
}

/* The numbers of the first polyline whose points attribute follows `from`. */
static unsigned points(const char *from, double *out, unsigned cap)
{
	const char *p = strstr(from, "points=\"");
	unsigned n = 0;

	assert_non_null(p);
	for (p += strlen("points=\""); *p != '"' && n < cap; n++) {
		char *after;

		out[n] = strtod(p, &after);
		assert_ptr_not_equal(after, p);
		p = after + strspn(after, ", ");
	}
	return n;
}

static void near(double got, double want)
{
	if (got < want - 0.02 || got > want + 0.02)
		fail_msg("%g, expected %g", got, want);
}

static void lines_lie_where_their_values_are(void **state)
{
	const double x[] = {0, 1, 4}, y[] = {0, 10, 5};
	const struct pg_svg_series one = {.name = "one", .x = x, .y = y, .n = 3};
	const struct pg_svg_axis ax = {.lo = 0, .hi = 4}, ay = {.lo = 0, .hi = 10};
	struct drawing d;
	double p[20];

	begin(&d, NULL);
	pg_svg_lines(&d.s, box, "curve", &one, 1, &ax, &ay);
	end(&d);
	assert_int_equal(points(d.text, p, 20), 6);
	/* (0, 0) to (4, 10) is the plot: all else follows from its corners. */
	near(p[2] - p[0], (p[4] - p[0]) / 4);
	near(p[1] - p[5], (p[1] - p[3]) / 2);
	assert_true(p[1] > p[3] && p[4] > p[0]);
	free(d.text);
}

static void steps_hold_a_value_until_the_next(void **state)
{
	const double x[] = {2, 3, 5}, y[] = {1, 4, 2};
	const struct pg_svg_series one = {.x = x, .y = y, .n = 3, .steps = true};
	const struct pg_svg_axis ax = {.unit = PG_SVG_SECONDS}, ay = {.unit = PG_SVG_BYTES};
	struct drawing d;
	double p[20];

	begin(&d, "title");
	pg_svg_lines(&d.s, box, NULL, &one, 1, &ax, &ay);
	end(&d);
	assert_int_equal(points(d.text, p, 20), 10);
	near(p[2], p[4]); /* at x = 3: first the old value, then the new */
	near(p[3], p[1]);
	near(p[6], p[8]);
	near(p[7], p[5]);
	near((p[4] - p[0]) * 2, p[8] - p[4]);
	near((p[1] - p[5]) / 3, p[9] - p[5] - (p[1] - p[5]) / 3);
	free(d.text);
}

static void texts_are_escaped(void **state)
{
	static const char *const labels[] = {"<a&b>\"", "\x01\xff\xc3\xa9\xc0\x80", "\xef\xbf\xbf"};
	const double y[] = {1, 2, 3};
	const struct pg_svg_series one = {.y = y, .n = 3};
	const struct pg_svg_axis ay = {.label = "a < b"};
	struct drawing d;

	begin(&d, "x & y");
	pg_svg_bars(&d.s, box, "t", labels, 3, &one, 1, &ay);
	end(&d);
	assert_non_null(strstr(d.text, "<title>x &amp; y</title>"));
	assert_non_null(strstr(d.text, ">&lt;a&amp;b&gt;&quot;</text>"));
	assert_non_null(
		strstr(d.text, ">\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd</text>"));
	assert_non_null(strstr(d.text, ">a &lt; b</text>"));
	assert_null(strstr(d.text, "\xef\xbf\xbf"));
	assert_null(strchr(d.text, '\x01'));
	free(d.text);
}

static void nothing_to_draw_is_drawn(void **state)
{
	const struct pg_svg_axis axis = {0};
	struct drawing d;

	begin(&d, NULL);
	pg_svg_lines(&d.s, box, NULL, NULL, 0, &axis, &axis);
	pg_svg_bars(&d.s, box, NULL, NULL, 0, NULL, 0, &axis);
	end(&d);
	assert_null(strstr(d.text, "nan"));
	assert_null(strstr(d.text, "inf"));
	free(d.text);
}

static void values_are_short(void **state)
{
	static const struct {
		double v;
		enum pg_svg_unit unit;
		const char *text;
	} cases[] = {{0, PG_SVG_NUMBER, "0"}, {1200, PG_SVG_NUMBER, "1200"},
		{12000, PG_SVG_NUMBER, "12 k"}, {1234567, PG_SVG_NUMBER, "1.23 M"},
		{0.25, PG_SVG_NUMBER, "0.25"}, {36864, PG_SVG_BYTES, "36 KiB"},
		{100, PG_SVG_BYTES, "100 bytes"}, {1023 * 1024, PG_SVG_BYTES, "1023 KiB"},
		{0.0475, PG_SVG_SECONDS, "47.5 ms"}, {12.34, PG_SVG_SECONDS, "12.3 s"},
		{0, PG_SVG_SECONDS, "0 s"}, {0.125, PG_SVG_PERCENT, "12.5 %"}};
	char text[32];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_string_equal(pg_svg_value(cases[i].v, cases[i].unit, text), cases[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_lie_where_their_values_are),
		cmocka_unit_test(steps_hold_a_value_until_the_next),
		cmocka_unit_test(texts_are_escaped),
		cmocka_unit_test(nothing_to_draw_is_drawn),
		cmocka_unit_test(values_are_short),
	};

	return cmocka_run_group_tests_name("svg", tests, NULL, NULL);
}
