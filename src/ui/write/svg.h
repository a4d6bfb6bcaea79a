/* SPDX-License-Identifier: MIT */
/*
 * ui/write/svg.h: drawings as SVG 1.1 files: charts of bars, of curves and of steps over time, and the rectangles, lines and
 * words that other drawings are made of.
 *
 * Called by ui/compare/compare.c and whoever draws. Knows nothing of what is drawn. One drawing is begun, filled and ended;
 * several charts may stand in it, each in a box of its own. Units are the drawing's pixels, y downwards.
 *
 * Colours that nobody chose are those of Okabe and Ito ("Color Universal Design", 2008), which people of all kinds
 * of colour vision can tell apart. Every bar and point has its exact value as a tooltip (a <title>).
 */
#ifndef PG_UI_WRITE_SVG_H
#define PG_UI_WRITE_SVG_H

#include <stdio.h>

#include "base/types.h"

struct pg_svg {
	FILE *out; /* borrowed */
	double width, height;
};

struct pg_svg_box {
	double x, y, w, h;
};

enum pg_svg_anchor { PG_SVG_START, PG_SVG_MIDDLE, PG_SVG_END };

/* How the numbers of an axis are written. */
enum pg_svg_unit {
	PG_SVG_NUMBER, /* 1200, 1.2 M */
	PG_SVG_BYTES,  /* KiB, MiB, ... */
	PG_SVG_SECONDS,
	PG_SVG_PERCENT, /* of 1: 0.25 is 25 % */
};

struct pg_svg_axis {
	const char *label; /* NULL: none */
	enum pg_svg_unit unit;
	double lo, hi; /* equal: chosen from what is shown; bars begin at 0 at any rate */
};

/* One row of values. Lines: n points x[i], y[i]. Bars: y[i] for each of the n labels; x is not read. */
struct pg_svg_series {
	const char *name; /* in the legend, which there is for two and more; NULL: none */
	const double *x, *y;
	size_t n;
	const char *colour; /* NULL: by its place */
	bool steps;         /* lines: a value holds until the next point, as in a timeline */
};

/* The head of the file; white background; title: of the whole, a <title> and in bold on top, or NULL. */
void pg_svg_begin(struct pg_svg *s, FILE *out, double width, double height, const char *title);
void pg_svg_end(struct pg_svg *s);

/* Texts may hold anything: they are escaped, and what is no UTF-8 or no XML becomes U+FFFD. */
void pg_svg_text(struct pg_svg *s, double x, double y, enum pg_svg_anchor anchor, double size,
	bool bold, const char *text);
/* tip: tooltip, or NULL. fill: a colour, "none" for an outline. */
void pg_svg_rect(struct pg_svg *s, struct pg_svg_box box, const char *fill, const char *tip);
void pg_svg_line(struct pg_svg *s, double x1, double y1, double x2, double y2, const char *colour,
	double width);
/* The i-th colour; they repeat after 7. */
const char *pg_svg_colour(size_t i);

/* "1.2 M", "64 KiB", "0.35 s", "12 %" into text[32]; returns text. */
const char *pg_svg_value(double v, enum pg_svg_unit unit, char *text);

/* A group of bars for each of n labels, a bar of each series in it, from 0 up. Values are finite and not negative. */
void pg_svg_bars(struct pg_svg *s, struct pg_svg_box box, const char *title,
	const char *const *labels, size_t n, const struct pg_svg_series *series, size_t count,
	const struct pg_svg_axis *y);
/* Curves through the points of each series, x ascending. */
void pg_svg_lines(struct pg_svg *s, struct pg_svg_box box, const char *title,
	const struct pg_svg_series *series, size_t count, const struct pg_svg_axis *x,
	const struct pg_svg_axis *y);

#endif
