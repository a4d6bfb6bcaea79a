/* SPDX-License-Identifier: MIT */
/*
 * ui/size/show.c: what `pagoda size` found out, as text, JSON and SVG.
 *
 * Called by ui/size/size.c. Calls the writers of tables, JSON and SVG.
 */
#include <stdlib.h>
#include <string.h>

#include "ui/size/size.h"
#include "ui/write/format.h"
#include "ui/write/json.h"
#include "ui/write/svg.h"
#include "ui/write/table.h"

#define WIDE 112
#define BAR 22     /* characters of the longest bar */
#define COLUMNS 64 /* of the working set */
#define ROWS 8

static const char *seconds_text(double s, char *text)
{
	snprintf(text, PG_FORMAT_BYTES, s < 0.0005 ? "0 s" : s < 9.995 ? "%.3f s" : "%.1f s", s);
	return text;
}

/* How the run of a point ended, if not well; "" else. */
static const char *ending(const struct pg_size_point *p, char *text)
{
	char took[PG_FORMAT_BYTES];

	if (p->stopped && p->major)
		snprintf(text, PG_FORMAT_BYTES, "stopped: %.24s faults",
			pg_format_count(p->major, took));
	else if (p->stopped)
		snprintf(text, PG_FORMAT_BYTES, "stopped after %.40s",
			seconds_text(p->seconds, took));
	else if (p->oom)
		snprintf(text, PG_FORMAT_BYTES, "killed: out of memory");
	else if (!p->works)
		snprintf(text, PG_FORMAT_BYTES, "failed: status %d", p->status);
	else
		text[0] = 0;
	return text;
}

static uint64_t most_major(const struct pg_size_result *r)
{
	uint64_t most = 1;

	for (size_t i = 0; i < r->n; i++)
		if (r->points[i].works && r->points[i].major > most)
			most = r->points[i].major;
	return most;
}

static void text_points(const struct pg_size_result *r, FILE *out)
{
	static const char *const head[] = {"memory", "share", "major", "all faults", "read in",
		"swapped out", "resident", "stalled", "time", "major faults"};
	struct pg_text_table t;
	uint64_t most = most_major(r);

	pg_table_init(&t, 10, WIDE);
	pg_table_add(&t, head);
	for (size_t i = 0; i < r->n; i++) {
		const struct pg_size_point *p = &r->points[i];
		char text[9][PG_FORMAT_BYTES], last[PG_FORMAT_BYTES + BAR] = "";
		const char *cells[10] = {pg_format_size(p->memory_bytes, text[0]), text[1], "-",
			"-", "-", "-", "-", "-", "-", last};

		snprintf(text[1], sizeof text[1], "%.0f %%",
			100.0 * (double)p->memory_bytes / (double)r->points[0].memory_bytes);
		if (p->works) {
			cells[2] = pg_format_count(p->major, text[2]);
			cells[3] = pg_format_count(p->faults, text[3]);
			cells[4] = pg_format_count(p->pages_in, text[4]);
			cells[5] = pg_format_count(p->swap_out, text[5]);
			cells[6] = pg_format_size(p->rss_peak_bytes, text[6]);
			cells[7] = seconds_text(p->stall_seconds, text[7]);
			cells[8] = seconds_text(p->seconds, text[8]);
			memset(last, '#', (size_t)(p->major * BAR / most));
		} else {
			ending(p, last);
		}
		pg_table_add(&t, cells);
	}
	pg_table_write(&t, out);
}

/* The largest working set of the windows that reach into [from, to). */
static uint64_t largest(const struct pg_size_result *r, double from, double to)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < r->sample_count; i++) {
		const struct pg_size_sample *s = &r->samples[i];

		if ((double)s->from < to && (double)s->to > from && s->pages > pages)
			pages = s->pages;
	}
	return pages;
}

static void text_working_set(const struct pg_size_result *r, FILE *out)
{
	uint64_t end, most, column[COLUMNS];
	char text[PG_FORMAT_BYTES], time[32];

	if (r->sample_count == 0)
		return;
	end = r->samples[r->sample_count - 1].to;
	most = largest(r, 0, (double)end + 1);
	if (end == 0 || most == 0)
		return;
	for (int c = 0; c < COLUMNS; c++)
		column[c] = largest(r, (double)end * c / COLUMNS, (double)end * (c + 1) / COLUMNS);
	fprintf(out,
		"\nworking set  pages accessed in each of %zu windows of the run with all memory\n",
		r->sample_count);
	for (int row = ROWS; row > 0; row--) {
		fprintf(out, "%10s |",
			row == ROWS ? pg_format_size(most * PG_PAGE_SIZE, text)
			: row == 1  ? "0"
				    : "");
		int last = COLUMNS;

		while (last > 0 && column[last - 1] * ROWS <= most * (uint64_t)(row - 1))
			last--;
		for (int c = 0; c < last; c++)
			fputc(column[c] * ROWS > most * (uint64_t)(row - 1) ? '#' : ' ', out);
		fputc('\n', out);
	}
	fprintf(out, "%10s +", "");
	for (int c = 0; c < COLUMNS; c++)
		fputc('-', out);
	pg_svg_value((double)end, PG_SVG_NUMBER, time);
	fprintf(out, "\n%10s  0%*s%s\n", "", COLUMNS - 1, time, " instructions");
}

static void line(FILE *out, const char *name, uint64_t bytes, const char *what)
{
	char text[PG_FORMAT_BYTES];

	fprintf(out, "  %-22s %10s%s%s\n", name, bytes ? pg_format_size(bytes, text) : "-",
		what[0] ? "  " : "", what);
}

void pg_size_text(const struct pg_size_result *r, FILE *out)
{
	const struct pg_size_advice *a = &r->advice;
	char text[160], count[PG_FORMAT_BYTES], size[PG_FORMAT_BYTES];

	fprintf(out, "\nmemory and page faults  policy %s, %s%s\n", r->policy,
		r->swap[0] ? "swap " : "no swap", r->swap);
	text_points(r, out);
	text_working_set(r, out);
	fputs("\nwhat it needs\n", out);
	line(out, r->bounded ? "all there was" : "all it can use", a->full_bytes,
		r->bounded ? "the largest memory that was allowed; pages were evicted even then"
			   : "nothing is ever evicted");
	snprintf(text, sizeof text, "%s major faults or fewer: %s%s%s%s",
		pg_format_count(a->major_allowed, count),
		a->by_time ? "the others cost a tenth of its time at 100 us each"
			   : "a tenth more than with all, and 16",
		a->short_bytes ? "; not with " : "",
		a->short_bytes ? pg_format_size(a->enough_bytes - a->short_bytes, size) : "",
		a->short_bytes ? " less" : "");
	line(out, "enough", a->enough_bytes, text);
	line(out, "knee", a->knee_bytes,
		a->knee_bytes ? "here the curve of major faults bends most" : "the curve has none");
	line(out, "smallest that worked", a->floor_bytes, "");
	snprintf(text, sizeof text, "enough, and an eighth as a margin%s",
		a->recommended_bytes == a->full_bytes ? ", but no more than all" : "");
	line(out, "recommended", a->recommended_bytes, text);
}

static void json_point(struct pg_json *j, const struct pg_size_point *p)
{
	pg_json_open(j, NULL, '{');
	pg_json_number(j, "memory_bytes", p->memory_bytes);
	pg_json_boolean(j, "works", p->works);
	pg_json_boolean(j, "same_output", p->same);
	pg_json_number(j, "status", (uint64_t)p->status);
	pg_json_boolean(j, "out_of_memory", p->oom);
	pg_json_boolean(j, "stopped", p->stopped);
	pg_json_number_if(j, "major_faults", p->major, p->works);
	pg_json_number_if(j, "faults", p->faults, p->works);
	pg_json_number_if(j, "pages_in", p->pages_in, p->works);
	pg_json_number_if(j, "swap_in", p->swap_in, p->works);
	pg_json_number_if(j, "swap_out", p->swap_out, p->works);
	pg_json_number_if(j, "refaults", p->refaults, p->works);
	pg_json_number_if(j, "reclaimed", p->reclaimed, p->works);
	pg_json_number_if(j, "scanned", p->scanned, p->works);
	pg_json_number_if(j, "rss_peak_bytes", p->rss_peak_bytes, p->works);
	pg_json_fraction(j, "stall_seconds", p->stall_seconds);
	pg_json_fraction(j, "wall_seconds", p->seconds);
	pg_json_close(j, '}');
}

void pg_size_json(const struct pg_size_result *r, FILE *out)
{
	const struct pg_size_advice *a = &r->advice;
	struct pg_json j = pg_json_begin(out, 1);

	pg_json_strings(&j, "command", r->command);
	pg_json_string(&j, "policy", r->policy);
	pg_json_string(&j, "swap", r->swap[0] ? r->swap : NULL);
	pg_json_boolean(&j, "bounded", r->bounded);
	pg_json_number(&j, "full_bytes", a->full_bytes);
	pg_json_number(&j, "enough_bytes", a->enough_bytes);
	pg_json_number_if(&j, "not_enough_bytes", a->short_bytes, a->short_bytes > 0);
	pg_json_number_if(&j, "knee_bytes", a->knee_bytes, a->knee_bytes > 0);
	pg_json_number(&j, "floor_bytes", a->floor_bytes);
	pg_json_number(&j, "recommended_bytes", a->recommended_bytes);
	pg_json_number(&j, "margin_bytes", a->recommended_bytes - a->enough_bytes);
	pg_json_number(&j, "major_faults_allowed", a->major_allowed);
	pg_json_open(&j, "points", '[');
	for (size_t i = 0; i < r->n; i++)
		json_point(&j, &r->points[i]);
	pg_json_close(&j, ']');
	pg_json_string(&j, "working_set_unit", "instructions");
	pg_json_open(&j, "working_set", '[');
	for (size_t i = 0; i < r->sample_count; i++) {
		pg_json_open(&j, NULL, '{');
		pg_json_number(&j, "from", r->samples[i].from);
		pg_json_number(&j, "to", r->samples[i].to);
		pg_json_number(&j, "bytes", r->samples[i].pages * PG_PAGE_SIZE);
		pg_json_close(&j, '}');
	}
	pg_json_close(&j, ']');
	pg_json_end(&j);
}

/* Major faults, time and resident memory against memory, of the runs that worked. */
static void svg_curves(const struct pg_size_result *r, struct pg_svg *s)
{
	double x[PG_SIZE_POINTS], y[4][PG_SIZE_POINTS];
	size_t n = 0;
	const struct pg_svg_axis memory = {.label = "memory", .unit = PG_SVG_BYTES};

	for (size_t i = r->n; i > 0; i--) {
		const struct pg_size_point *p = &r->points[i - 1];

		if (!p->works)
			continue;
		x[n] = (double)p->memory_bytes;
		y[0][n] = (double)p->major;
		y[1][n] = p->seconds;
		y[2][n] = p->stall_seconds;
		y[3][n] = (double)p->rss_peak_bytes;
		n++;
	}
	const struct pg_svg_series major = {.x = x, .y = y[0], .n = n};
	const struct pg_svg_series time[] = {{.name = "time", .x = x, .y = y[1], .n = n},
		{.name = "stalled", .x = x, .y = y[2], .n = n}};
	const struct pg_svg_series rss = {.x = x, .y = y[3], .n = n};

	pg_svg_lines(s, (struct pg_svg_box){0, 60, 480, 300}, "major page faults", &major, 1,
		&memory, &(struct pg_svg_axis){.unit = PG_SVG_NUMBER});
	pg_svg_lines(s, (struct pg_svg_box){480, 60, 480, 300}, "time", time, 2, &memory,
		&(struct pg_svg_axis){.unit = PG_SVG_SECONDS});
	pg_svg_lines(s, (struct pg_svg_box){0, 370, 480, 300}, "resident memory at its peak", &rss,
		1, &memory, &(struct pg_svg_axis){.unit = PG_SVG_BYTES});
}

static void svg_working_set(const struct pg_size_result *r, struct pg_svg *s)
{
	double *x = calloc(r->sample_count + 2, sizeof *x),
	       *y = calloc(r->sample_count + 2, sizeof *y);
	size_t n = 0;

	for (; x && y && n < r->sample_count; n++) {
		x[n] = (double)r->samples[n].from;
		y[n] = (double)(r->samples[n].pages * PG_PAGE_SIZE);
	}
	if (n > 0) {
		x[n] = (double)r->samples[n - 1].to;
		y[n] = y[n - 1];
		n++;
		pg_svg_lines(s, (struct pg_svg_box){480, 370, 480, 300}, "working set over time",
			&(struct pg_svg_series){.x = x, .y = y, .n = n, .steps = true}, 1,
			&(struct pg_svg_axis){.label = "instructions", .unit = PG_SVG_NUMBER},
			&(struct pg_svg_axis){.unit = PG_SVG_BYTES});
	}
	free(x);
	free(y);
}

void pg_size_svg(const struct pg_size_result *r, FILE *out)
{
	char title[256], size[3][PG_FORMAT_BYTES];
	const struct pg_size_advice *a = &r->advice;
	struct pg_svg s;

	snprintf(title, sizeof title, "memory needed by %.180s", r->command[0]);
	pg_svg_begin(&s, out, 960, 690, title);
	snprintf(title, sizeof title, "recommended %s; enough %s; knee %s",
		pg_format_size(a->recommended_bytes, size[0]),
		pg_format_size(a->enough_bytes, size[1]),
		a->knee_bytes ? pg_format_size(a->knee_bytes, size[2]) : "none");
	pg_svg_text(&s, 480, 44, PG_SVG_MIDDLE, 13, false, title);
	svg_curves(r, &s);
	svg_working_set(r, &s);
	pg_svg_end(&s);
}
