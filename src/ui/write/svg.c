/* SPDX-License-Identifier: MIT */
/*
 * ui/write/svg.c: see svg.h.
 *
 * Invariants:
 *   V1 what is written is well-formed XML whatever bytes a text holds.
 *   V2 a bar's height, and the place of a point, is proportional to its value on the axis shown.
 */
#include "ui/write/svg.h"

#include <math.h>
#include <string.h>

#define INK "#222222"
#define FAINT "#dddddd"
#define FONT 12.0
#define TICKS 5 /* about so many on an axis */

const char *pg_svg_colour(size_t i)
{
	static const char *const colours[] = {
		"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999"};

	return colours[i % (sizeof colours / sizeof colours[0])];
}

/* The length of the UTF-8 character at s that XML 1.0 allows, or 0. Unicode 15, table 3-7; XML, 2.2. */
static unsigned character(const unsigned char *s)
{
	unsigned n;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	for (unsigned i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f) ||
		(s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe))
		return 0;
	return n;
}

static void write_text(FILE *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s) {
		unsigned n = character(s);

		if (n == 0) {
			fputs("\xef\xbf\xbd", out);
			s++;
			continue;
		}
		if (*s == '&')
			fputs("&amp;", out);
		else if (*s == '<')
			fputs("&lt;", out);
		else if (*s == '>')
			fputs("&gt;", out);
		else if (*s == '"')
			fputs("&quot;", out);
		else
			fwrite(s, 1, n, out);
		s += n;
	}
}

void pg_svg_begin(struct pg_svg *s, FILE *out, double width, double height, const char *title)
{
	*s = (struct pg_svg){out, width, height};
	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"%g\" "
		"height=\"%g\" "
		"viewBox=\"0 0 %g %g\" font-family=\"sans-serif\">\n",
		width, height, width, height);
	if (title) {
		fputs("<title>", out);
		write_text(out, title);
		fputs("</title>\n", out);
	}
	pg_svg_rect(s, (struct pg_svg_box){0, 0, width, height}, "#ffffff", NULL);
	if (title)
		pg_svg_text(s, width / 2, 22, PG_SVG_MIDDLE, 15, true, title);
}

void pg_svg_end(struct pg_svg *s)
{
	fputs("</svg>\n", s->out);
}

void pg_svg_text(struct pg_svg *s, double x, double y, enum pg_svg_anchor anchor, double size,
	bool bold, const char *text)
{
	static const char *const anchors[] = {"start", "middle", "end"};

	fprintf(s->out,
		"<text x=\"%.2f\" y=\"%.2f\" font-size=\"%g\" text-anchor=\"%s\"%s fill=\"" INK
		"\">",
		x, y, size, anchors[anchor], bold ? " font-weight=\"bold\"" : "");
	write_text(s->out, text);
	fputs("</text>\n", s->out);
}

void pg_svg_rect(struct pg_svg *s, struct pg_svg_box b, const char *fill, const char *tip)
{
	fprintf(s->out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"%s",
		b.x, b.y, b.w, b.h, fill, strcmp(fill, "none") ? "" : " stroke=\"" INK "\"");
	if (!tip) {
		fputs("/>\n", s->out);
		return;
	}
	fputs("><title>", s->out);
	write_text(s->out, tip);
	fputs("</title></rect>\n", s->out);
}

void pg_svg_line(struct pg_svg *s, double x1, double y1, double x2, double y2, const char *colour,
	double width)
{
	fprintf(s->out,
		"<line x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\" stroke=\"%s\" "
		"stroke-width=\"%g\"/>\n",
		x1, y1, x2, y2, colour, width);
}

const char *pg_svg_value(double v, enum pg_svg_unit unit, char *text)
{
	static const char *const binary[] = {" bytes", " KiB", " MiB", " GiB", " TiB"};
	static const char *const decimal[] = {"", " k", " M", " G", " T"};
	double step = unit == PG_SVG_BYTES ? 1024 : 1000;
	int i = 0;

	switch (unit) {
	case PG_SVG_SECONDS:
		snprintf(text, 32, "%.3g %s", v < 0.9995 && v > 0 ? v * 1000 : v,
			v < 0.9995 && v > 0 ? "ms" : "s");
		return text;
	case PG_SVG_PERCENT:
		snprintf(text, 32, "%.3g %%", v * 100);
		return text;
	case PG_SVG_NUMBER:
	case PG_SVG_BYTES:
		break;
	}
	if (unit == PG_SVG_NUMBER)
		step = fabs(v) >= 10000 ? 1000 : INFINITY;
	while (i < 4 && fabs(v) >= step) {
		v /= step;
		i++;
	}
	if (fabs(v) >= 1000)
		snprintf(text, 32, "%.0f%s", v, unit == PG_SVG_BYTES ? binary[i] : decimal[i]);
	else
		snprintf(text, 32, "%.3g%s", v, unit == PG_SVG_BYTES ? binary[i] : decimal[i]);
	return text;
}

/* ---- axes */

/* An axis as drawn: values [lo, hi] lie at pixels [from, to], marked every `tick`. */
struct scale {
	double lo, hi, from, to, tick;
	enum pg_svg_unit unit;
};

/* A round distance of marks: 1, 2 or 5 times a power of ten, of bytes 1, 2, 4, ... */
static double round_tick(double span, enum pg_svg_unit unit)
{
	double rough = span / TICKS, power;

	if (unit == PG_SVG_BYTES)
		return exp2(ceil(log2(rough)));
	power = pow(10, floor(log10(rough)));
	if (rough <= power)
		return power;
	if (rough <= 2 * power)
		return 2 * power;
	return rough <= 5 * power ? 5 * power : 10 * power;
}

static struct scale make_scale(
	const struct pg_svg_axis *a, double lo, double hi, double from, double to)
{
	struct scale s = {.lo = a->lo, .hi = a->hi, .from = from, .to = to, .unit = a->unit};

	if (a->lo < a->hi) {
		s.tick = round_tick(a->hi - a->lo, a->unit);
		return s;
	}
	if (!(lo < hi))
		hi = lo + 1;
	s.tick = round_tick(hi - lo, a->unit);
	s.lo = floor(lo / s.tick) * s.tick;
	s.hi = ceil(hi / s.tick) * s.tick;
	return s;
}

static double place(const struct scale *s, double v)
{
	return s->from + (v - s->lo) / (s->hi - s->lo) * (s->to - s->from);
}

/* Where the values of a chart lie within its box: room for title, legend and the numbers of the axes. */
static struct pg_svg_box plot_box(
	struct pg_svg_box b, double bottom, const struct pg_svg_axis *y, bool legend)
{
	double top = legend ? 46 : 28, left = y->label ? 76 : 60;

	return (struct pg_svg_box){b.x + left, b.y + top, b.w - left - 14, b.h - top - bottom};
}

static void draw_frame(struct pg_svg *s, struct pg_svg_box b, struct pg_svg_box p,
	const char *title, const struct pg_svg_series *series, size_t count, bool legend)
{
	double x = p.x;

	if (title)
		pg_svg_text(s, b.x + b.w / 2, b.y + 16, PG_SVG_MIDDLE, 13, true, title);
	for (size_t i = 0; legend && i < count; i++) {
		const char *name = series[i].name ? series[i].name : "";

		pg_svg_rect(s, (struct pg_svg_box){x, b.y + 26, 10, 10},
			series[i].colour ? series[i].colour : pg_svg_colour(i), NULL);
		pg_svg_text(s, x + 14, b.y + 35, PG_SVG_START, FONT - 1, false, name);
		x += 30 + 6.5 * (double)strlen(name);
	}
}

static void draw_y(struct pg_svg *s, struct pg_svg_box p, const struct scale *y, const char *label)
{
	char text[32];

	for (double k = ceil(y->lo / y->tick - 1e-9) + 0.0;
		k * y->tick <= y->hi * (1 + 1e-9) + 1e-12; k++) {
		double at = place(y, k * y->tick);

		pg_svg_line(s, p.x, at, p.x + p.w, at, FAINT, 1);
		pg_svg_text(s, p.x - 6, at + 4, PG_SVG_END, FONT - 1, false,
			pg_svg_value(k * y->tick, y->unit, text));
	}
	if (label) {
		fprintf(s->out, "<g transform=\"rotate(-90 %.2f %.2f)\">", p.x - 62, p.y + p.h / 2);
		pg_svg_text(s, p.x - 62, p.y + p.h / 2 + 4, PG_SVG_MIDDLE, FONT - 1, false, label);
		fputs("</g>\n", s->out);
	}
}

static void draw_x(struct pg_svg *s, struct pg_svg_box p, const struct scale *x, const char *label)
{
	char text[32];

	for (double k = ceil(x->lo / x->tick - 1e-9) + 0.0;
		k * x->tick <= x->hi * (1 + 1e-9) + 1e-12; k++) {
		double at = place(x, k * x->tick);

		pg_svg_line(s, at, p.y + p.h, at, p.y + p.h + 4, INK, 1);
		pg_svg_text(s, at, p.y + p.h + 17, PG_SVG_MIDDLE, FONT - 1, false,
			pg_svg_value(k * x->tick, x->unit, text));
	}
	if (label)
		pg_svg_text(
			s, p.x + p.w / 2, p.y + p.h + 36, PG_SVG_MIDDLE, FONT - 1, false, label);
}

/* ---- charts */

/* The width that the longest label takes, about. */
static double widest(const char *const *labels, size_t n)
{
	size_t most = 0;

	for (size_t i = 0; i < n; i++)
		most = strlen(labels[i]) > most ? strlen(labels[i]) : most;
	return 6.2 * (double)most + 6;
}

/* A label below a group of bars, slanted where they would run into each other. */
static void draw_label(struct pg_svg *s, double x, double y, bool slanted, const char *text)
{
	if (!slanted) {
		pg_svg_text(s, x, y + 2, PG_SVG_MIDDLE, FONT - 1, false, text);
		return;
	}
	fprintf(s->out, "<g transform=\"rotate(-24 %.2f %.2f)\">", x, y);
	pg_svg_text(s, x + 4, y, PG_SVG_END, FONT - 1, false, text);
	fputs("</g>\n", s->out);
}

void pg_svg_bars(struct pg_svg *s, struct pg_svg_box box, const char *title,
	const char *const *labels, size_t n, const struct pg_svg_series *series, size_t count,
	const struct pg_svg_axis *axis)
{
	double longest = widest(labels, n);
	bool slanted = n && longest > (box.w - 74) / (double)n;
	struct pg_svg_box p = plot_box(box, slanted ? 26 + 0.4 * longest : 26, axis, count > 1);
	double most = 0, group = n ? p.w / (double)n : p.w;
	double wide = 0.7 * group / (double)(count ? count : 1);
	struct scale y;
	char text[32], tip[160];

	for (size_t k = 0; k < count; k++)
		for (size_t i = 0; i < n && i < series[k].n; i++)
			most = fmax(most, series[k].y[i]);
	y = make_scale(axis, 0, 1.05 * most, p.y + p.h, p.y);
	draw_frame(s, box, p, title, series, count, count > 1);
	draw_y(s, p, &y, axis->label);
	for (size_t i = 0; i < n; i++) {
		double x = p.x + group * ((double)i + 0.15);

		for (size_t k = 0; k < count; k++) {
			double at;

			if (i >= series[k].n)
				continue;
			at = place(&y, series[k].y[i]);
			snprintf(tip, sizeof tip, "%.60s%s%.60s: %.10g", labels[i],
				series[k].name ? ", " : "", series[k].name ? series[k].name : "",
				series[k].y[i]);
			pg_svg_rect(s,
				(struct pg_svg_box){x + wide * (double)k, at, wide, p.y + p.h - at},
				series[k].colour ? series[k].colour
				: count > 1      ? pg_svg_colour(k)
						 : pg_svg_colour(i),
				tip);
			pg_svg_text(s, x + wide * ((double)k + 0.5), at - 3, PG_SVG_MIDDLE,
				FONT - 2, false, pg_svg_value(series[k].y[i], axis->unit, text));
		}
		draw_label(s, p.x + group * ((double)i + 0.5), p.y + p.h + 14, slanted, labels[i]);
	}
	pg_svg_line(s, p.x, p.y + p.h, p.x + p.w, p.y + p.h, INK, 1);
}

void pg_svg_lines(struct pg_svg *s, struct pg_svg_box box, const char *title,
	const struct pg_svg_series *series, size_t count, const struct pg_svg_axis *x_axis,
	const struct pg_svg_axis *y_axis)
{
	struct pg_svg_box p = plot_box(box, x_axis->label ? 44 : 26, y_axis, count > 1);
	double x_lo = INFINITY, x_hi = -INFINITY, y_lo = 0, y_hi = -INFINITY;
	struct scale x, y;

	for (size_t k = 0; k < count; k++) {
		for (size_t i = 0; i < series[k].n; i++) {
			x_lo = fmin(x_lo, series[k].x[i]);
			x_hi = fmax(x_hi, series[k].x[i]);
			y_lo = fmin(y_lo, series[k].y[i]);
			y_hi = fmax(y_hi, series[k].y[i]);
		}
	}
	if (!isfinite(x_lo)) /* nothing to draw */
		x_lo = x_hi = y_hi = 0;
	x = make_scale(x_axis, x_lo, x_hi, p.x, p.x + p.w);
	if (!(x_axis->lo < x_axis->hi) && x_lo < x_hi) { /* a curve fills the width */
		x.lo = x_lo;
		x.hi = x_hi;
	}
	y = make_scale(y_axis, y_lo, y_hi, p.y + p.h, p.y);
	draw_frame(s, box, p, title, series, count, count > 1);
	draw_y(s, p, &y, y_axis->label);
	draw_x(s, p, &x, x_axis->label);
	for (size_t k = 0; k < count; k++) {
		const struct pg_svg_series *r = &series[k];

		if (!r->n)
			continue;
		fprintf(s->out,
			"<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\" points=\"",
			r->colour ? r->colour : pg_svg_colour(k));
		for (size_t i = 0; i < r->n; i++) {
			if (r->steps && i)
				fprintf(s->out, "%.2f,%.2f ", place(&x, r->x[i]),
					place(&y, r->y[i - 1]));
			fprintf(s->out, "%.2f,%.2f ", place(&x, r->x[i]), place(&y, r->y[i]));
		}
		fputs("\"><title>", s->out);
		write_text(s->out, r->name ? r->name : "");
		fputs("</title></polyline>\n", s->out);
	}
	pg_svg_line(s, p.x, p.y + p.h, p.x + p.w, p.y + p.h, INK, 1);
	pg_svg_line(s, p.x, p.y, p.x, p.y + p.h, INK, 1);
}
