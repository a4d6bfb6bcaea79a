/* SPDX-License-Identifier: MIT */
/*
 * ui/stack/svg.c: stacks drawn: all threads side by side, growing downwards, and their depth over time.
 *
 * Called by stack.c. Calls write/svg.c. A frame's height follows the logarithm of its size, so that small ones can be read; what it holds, by
 * name and value, is its tooltip.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trace/location.h"
#include "ui/stack/stack.h"
#include "ui/write/format.h"
#include "ui/write/svg.h"

#define COLUMN 250.0
#define GAP 40.0
#define TOP 90.0
#define CHART 260.0

#define ROWS 8 /* words of a frame that are named in it */

/* A word of a frame: what it is, and where; 0: in no memory. */
struct word {
	uint64_t at;
	char text[64];
};

static int by_address(const void *a, const void *b)
{
	const struct word *x = a, *y = b;

	return x->at < y->at ? 1 : x->at > y->at ? -1 : 0;
}

/* The words of a frame from its end downwards; what lies in no memory comes last. How many. */
static size_t words_of(const struct pg_picture_frame *f, struct word words[ROWS])
{
	size_t n = 0;

	if (f->f.return_at) {
		words[n].at = f->f.return_at;
		snprintf(words[n++].text, sizeof words[0].text, "return address 0x%" PRIx64,
			f->return_address);
	}
	if (f->f.saved_rbp_at) {
		words[n].at = f->f.saved_rbp_at;
		snprintf(words[n++].text, sizeof words[0].text, "saved rbp 0x%" PRIx64,
			f->saved_rbp);
	}
	for (size_t k = f->scope_count; k-- > 0;)
		for (size_t v = 0; v < f->scopes[k].count && n < ROWS; v++) {
			const struct pg_variable *x = &f->scopes[k].variables[v];

			if (x->located != PG_LOCATED_OK)
				continue;
			words[n].at = x->at;
			snprintf(words[n++].text, sizeof words[0].text, "%.20s = %.38s", x->name,
				x->value);
		}
	qsort(words, n, sizeof *words, by_address);
	return n;
}

static double height_of(const struct pg_picture_frame *f)
{
	uint64_t bytes =
		f->f.cfa > f->f.regs[PG_DWARF_RSP] ? f->f.cfa - f->f.regs[PG_DWARF_RSP] : 8;
	struct word words[ROWS];
	double h = 18 + 7 * log2((double)bytes / 16), least = 20 + 11 * (double)words_of(f, words);

	return h < least ? least : h > 110 ? fmax(least, 110) : h;
}

static double column_height(const struct pg_picture *t)
{
	double h = t->depth > t->count ? 24 : 0;

	for (size_t i = 0; i < t->count; i++)
		h += height_of(&t->frames[i]);
	return h;
}

/* A colour of a function: the same wherever it appears. */
static const char *colour_of(const char *name)
{
	static const char *const colours[] = {"#cfe3f3", "#fbe3b9", "#c9ebdd", "#f6d5c3", "#ead4e3",
		"#f7f3b5", "#d9dff0", "#e3ead0", "#f1dcdc"};
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return colours[h % (sizeof colours / sizeof colours[0])];
}

static void tip_of(const struct pg_picture_frame *f, char *tip, size_t cap)
{
	size_t n = 0;
	char name[160];

	for (size_t k = 0; k < f->scope_count && n < cap; k++) {
		const struct pg_scope *s = &f->scopes[k];

		n += (size_t)snprintf(tip + n, cap - n, "%s%s",
			pg_stack_scope_name(s, f, name, sizeof name),
			s->inlined ? " (inlined)" : "");
		if (n < cap && s->source)
			n += (size_t)snprintf(tip + n, cap - n, " %s:%d",
				pg_symbols_base_name(s->source), s->line);
		for (size_t v = 0; v < s->count && n < cap; v++)
			n += (size_t)snprintf(tip + n, cap - n, "\n  %s = %s", s->variables[v].name,
				s->variables[v].value);
		if (n < cap)
			n += (size_t)snprintf(tip + n, cap - n, "\n");
	}
	if (n < cap && f->f.return_at)
		snprintf(tip + n, cap - n, "return address at 0x%" PRIx64, f->f.return_at);
}

static void draw_frame(
	struct pg_svg *s, const struct pg_picture_frame *f, double x, double y, double h)
{
	char name[160], text[256], tip[2048], size[PG_FORMAT_BYTES];
	const struct pg_scope *outer = &f->scopes[f->scope_count - 1];

	tip_of(f, tip, sizeof tip);
	pg_stack_scope_name(outer, f, name, sizeof name);
	pg_svg_rect(s, (struct pg_svg_box){x, y, COLUMN - 30, h}, colour_of(name), tip);
	pg_svg_line(s, x, y + h, x + COLUMN - 30, y + h, "#666666", 0.5);
	name[22] = '\0';
	pg_svg_text(s, x + 5, y + 13, PG_SVG_START, 11, false, name);
	if (f->f.cfa > f->f.regs[PG_DWARF_RSP])
		pg_svg_text(s, x + COLUMN - 35, y + 13, PG_SVG_END, 9, false,
			pg_format_size(f->f.cfa - f->f.regs[PG_DWARF_RSP], size));
	struct word words[ROWS];
	size_t n = words_of(f, words);
	double line = y + 26;
	for (size_t i = 0; i < n; i++, line += 11) {
		snprintf(text, sizeof text, "%.40s", words[i].text);
		pg_svg_text(s, x + 10, line, PG_SVG_START, 8.5, false, text);
	}
}

/* Pages beside the frames: one square each, at most 40, high to low. */
static void draw_pages(struct pg_svg *s, const struct pg_picture *t, double x, double y, double h)
{
	size_t n = t->page_count < 40 ? t->page_count : 40;
	double each = n ? h / (double)n : 0;

	if (each > 40)
		each = 40;
	for (size_t i = 0; i < n; i++) {
		uint8_t state = t->pages[t->page_count - 1 - i];
		char tip[96];

		snprintf(tip, sizeof tip, "page 0x%" PRIx64 ": %s",
			t->high - (i + 1) * PG_PAGE_SIZE,
			state == PG_PICTURE_RESIDENT  ? "in memory"
			: state == PG_PICTURE_SWAPPED ? "swapped out"
						      : "not touched");
		pg_svg_rect(s, (struct pg_svg_box){x, y + (double)i * each, 12, each - 1},
			state == PG_PICTURE_RESIDENT  ? "#0072b2"
			: state == PG_PICTURE_SWAPPED ? "#d55e00"
						      : "#e6e6e6",
			tip);
	}
}

static void draw_thread(struct pg_svg *s, const struct pg_picture *t, double x, double y)
{
	char text[160], size[PG_FORMAT_BYTES], tip[160];
	double top = y;

	snprintf(text, sizeof text, "thread %d %s%s", t->tid, t->name, t->here ? " *" : "");
	pg_svg_text(s, x, y - 22, PG_SVG_START, 12, true, text);
	snprintf(text, sizeof text, "%zu frames, from 0x%" PRIx64, t->depth,
		t->count ? t->frames[t->count - 1].f.regs[PG_DWARF_RSP] : t->sp);
	pg_svg_text(s, x, y - 8, PG_SVG_START, 9, false, text);
	for (size_t i = t->count; i-- > 0;) {
		double h = height_of(&t->frames[i]);

		draw_frame(s, &t->frames[i], x, y, h);
		y += h;
		if (i == t->inner && t->depth > t->count) {
			snprintf(text, sizeof text, "... %zu frames more", t->depth - t->count);
			pg_svg_text(s, x + 5, y + 16, PG_SVG_START, 10, false, text);
			y += 24;
		}
	}
	snprintf(text, sizeof text, "rsp 0x%" PRIx64, t->sp);
	pg_svg_line(s, x - 8, y, x + COLUMN - 22, y, "#d55e00", 2);
	pg_svg_text(s, x, y + 14, PG_SVG_START, 10, true, text);
	draw_pages(s, t, x + COLUMN - 26, top, y - top);
	if (t->high > t->low) {
		snprintf(text, sizeof text, "%s to the limit",
			pg_format_size(t->sp - t->floor, size));
		if (t->sp < t->floor)
			snprintf(text, sizeof text, "beyond the limit");
		pg_svg_text(s, x, y + 30, PG_SVG_START, 10, false, text);
	}
	if (t->guard_high > t->guard_low) {
		snprintf(tip, sizeof tip, "guard 0x%" PRIx64 " .. 0x%" PRIx64, t->guard_low,
			t->guard_high);
		pg_svg_rect(s, (struct pg_svg_box){x, y + 38, COLUMN - 30, 14}, "#999999", tip);
		snprintf(text, sizeof text, "guard, %s",
			pg_format_size(t->guard_high - t->guard_low, size));
		pg_svg_text(s, x + 5, y + 49, PG_SVG_START, 10, false, text);
	}
}

static void draw_time(struct pg_svg *s, const struct pg_calls *c, struct pg_svg_box box)
{
	unsigned n = c->thread_count < 7 ? c->thread_count : 7;
	struct pg_svg_series series[7];
	char names[7][32];
	const struct pg_svg_axis x = {.label = "calls and returns of the run",
					 .hi = (double)c->events},
				 y = {.label = "bytes of stack", .unit = PG_SVG_BYTES};

	memset(series, 0, sizeof series);
	for (unsigned i = 0; i < n; i++) {
		const struct pg_calls_thread *t = c->threads[i];
		double *xs = calloc(2 * PG_FILM_POINTS, sizeof *xs);

		if (!xs) {
			n = i;
			break;
		}
		double *ys = xs + PG_FILM_POINTS;
		size_t k = 0;
		for (unsigned p = 0; p < t->line.count; p++) {
			if (!t->line.points[p].set)
				continue;
			xs[k] = (double)(p * t->line.width);
			ys[k++] = (double)t->line.points[p].bytes_high;
		}
		snprintf(names[i], sizeof names[i], "thread %d", t->tid);
		series[i] = (struct pg_svg_series){
			.name = names[i], .x = xs, .y = ys, .n = k, .steps = true};
	}
	pg_svg_lines(s, box, "Stack in use over the run", series, n, &x, &y);
	for (unsigned i = 0; i < n; i++)
		free((void *)(uintptr_t)series[i].x);
}

void pg_stack_svg(const struct pg_stack_result *r, FILE *out)
{
	struct pg_svg s;
	double high = 0, wide = (COLUMN + GAP) * (double)r->thread_count + GAP;
	char title[512];

	for (size_t i = 0; i < r->thread_count; i++)
		high = fmax(high, column_height(&r->threads[i]));
	if (wide < 640)
		wide = 640;
	snprintf(title, sizeof title, "Stacks of %s %s", pg_symbols_base_name(r->title),
		r->taken ? r->moment : "");
	pg_svg_begin(&s, out, wide, TOP + high + 90 + CHART + 20, title);
	for (size_t i = 0; i < r->thread_count; i++)
		draw_thread(&s, &r->threads[i], GAP + (COLUMN + GAP) * (double)i, TOP);
	draw_time(&s, r->calls, (struct pg_svg_box){GAP, TOP + high + 90, wide - 2 * GAP, CHART});
	pg_svg_end(&s);
}
