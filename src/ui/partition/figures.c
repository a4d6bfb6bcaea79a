/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/figures.c: what became of streams of requests, as tables, JSON and drawings.
 *
 * Called by ui/partition/simulate.c. Calls ui/write/table.h, ui/write/json.h and ui/write/svg.h. Owns nothing.
 */
#include <string.h>

#include "ui/partition/internal.h"
#include "ui/write/format.h"
#include "ui/write/json.h"
#include "ui/write/svg.h"
#include "ui/write/table.h"

#define WIDE 120

static const char *const queue_names[] = {"none", "fifo", "priority"};

const char *pg_partition_server(const struct pg_partition_trials *t, unsigned i)
{
	return i < t->n_fits ? pg_partition_fit_names[t->fits[i]] : "paging";
}

/* ---- figures of figures */

static double share(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

/* Of free memory, what is not in the largest hole; what holes below the mean size have. */
static double external_of(const struct pg_stream_sample *m)
{
	return m->free_bytes ? 1 - share((double)m->largest_bytes, (double)m->free_bytes) : 0;
}

static double unusable_of(const struct pg_stream_sample *m)
{
	return share((double)m->unusable_bytes, (double)m->free_bytes);
}

static double mean(const struct pg_stream_result *r, double (*of)(const struct pg_stream_sample *m))
{
	double sum = 0;

	for (uint64_t i = 0; i < r->samples; i++)
		sum += of(&r->sample[i]);
	return share(sum, (double)r->samples);
}

/* Of what was given, what was not asked for. */
static double internal(const struct pg_stream_result *r)
{
	return share(r->given_bytes - r->asked_bytes, r->given_bytes);
}

/* Holes a block: half the share of allocations that leave a rest. */
static double rule(const struct pg_stream_result *r)
{
	return share((double)(r->allocations - r->exact), 2 * (double)r->allocations);
}

static uint64_t served(const struct pg_stream_result *r)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < PG_STREAM_PRIORITIES; i++)
		n += r->priority[i].served;
	return n;
}

/* Units of time that one of those served waited, on average. */
static double wait_mean(const struct pg_stream_result *r)
{
	double sum = 0;

	for (unsigned i = 0; i < PG_STREAM_PRIORITIES; i++)
		sum += r->priority[i].wait;
	return share(sum, (double)served(r));
}

static double wait_of(const struct pg_stream_result *r, unsigned priority)
{
	return share(r->priority[priority].wait, (double)r->priority[priority].served);
}

/* ---- text */

static const char *percent(double v, char *text)
{
	snprintf(text, PG_FORMAT_BYTES, "%.2f %%", 100 * v);
	return text;
}

static const char *decimal(double v, int digits, char *text)
{
	snprintf(text, PG_FORMAT_BYTES, "%.*f", digits, v);
	return text;
}

static void write_table(
	const struct pg_partition_trials *t, const struct pg_partition_trial *trial, FILE *out)
{
	static const char *const head[] = {"time", "search", "used", "failed", "scattered",
		"external", "unusable", "internal", "holes/block", "rule", "memory"};
	struct pg_text_table table;
	char text[11][PG_FORMAT_BYTES];

	pg_table_init(&table, 11, WIDE);
	pg_table_add(&table, head);
	for (unsigned i = 0; i <= t->n_fits; i++) {
		const struct pg_stream_result *r = &trial->served[i].r;
		double n = (double)r->requests;
		bool fit = i < t->n_fits;
		const char *cells[11] = {text[0],
			fit ? decimal((double)r->steps / n, 1, text[1]) : "-",
			percent(r->asked_bytes / (double)trial->stream.memory_bytes, text[2]),
			percent((double)r->failed / n, text[3]),
			percent((double)r->scattered / n, text[4]),
			fit ? percent(mean(r, external_of), text[5]) : "-",
			fit ? percent(mean(r, unusable_of), text[6]) : "-",
			percent(internal(r), text[7]),
			fit ? decimal(share(r->holes, r->blocks), 4, text[8]) : "-",
			fit ? decimal(rule(r), 4, text[9]) : "-", pg_partition_server(t, i)};

		snprintf(text[0], sizeof text[0], "%.2f s", trial->served[i].seconds);
		pg_table_add(&table, cells);
	}
	pg_table_write(&table, out);
}

static void write_waits(
	const struct pg_partition_trials *t, const struct pg_partition_trial *trial, FILE *out)
{
	static const char *const head[] = {"waited", "mean wait", "longest", "wait of 9",
		"wait of 0", "in queue", "longest", "at the end", "memory"};
	bool urgent = trial->stream.queue == PG_QUEUE_PRIORITY;
	struct pg_text_table table;
	char text[9][PG_FORMAT_BYTES];

	pg_table_init(&table, 9, WIDE);
	pg_table_add(&table, head);
	for (unsigned i = 0; i <= t->n_fits; i++) {
		const struct pg_stream_result *r = &trial->served[i].r;
		const char *cells[9] = {percent((double)r->waited / (double)r->requests, text[0]),
			decimal(wait_mean(r), 1, text[1]), decimal(r->longest_wait, 0, text[2]),
			urgent ? decimal(wait_of(r, 9), 1, text[3]) : "-",
			urgent ? decimal(wait_of(r, 0), 1, text[4]) : "-",
			decimal(r->waiting, 1, text[5]), pg_format_count(r->longest_queue, text[6]),
			pg_format_count(r->waiting_last, text[7]), pg_partition_server(t, i)};

		pg_table_add(&table, cells);
	}
	fputc('\n', out);
	pg_table_write(&table, out);
}

/* "uniform sizes, exponential lifetimes", or "FILE". Returns text[n]. */
static const char *describe(
	const struct pg_partition_trials *t, const struct pg_stream *s, char *text, size_t n)
{
	if (t->source)
		snprintf(text, n, "%s", t->source);
	else if (s->lifetimes == PG_LIFETIME_EXPONENTIAL)
		snprintf(text, n, "%s sizes", pg_stream_size_names[s->sizes]);
	else
		snprintf(text, n, "%s sizes, %s lifetimes", pg_stream_size_names[s->sizes],
			pg_stream_lifetime_names[s->lifetimes]);
	return text;
}

void pg_partition_write_text(const struct pg_partition_trials *t, FILE *out)
{
	for (size_t k = 0; k < t->n; k++) {
		const struct pg_partition_trial *trial = &t->trial[k];
		const struct pg_stream *s = &trial->stream;
		const struct pg_stream_result *r = &trial->served[0].r;
		char text[3][PG_FORMAT_BYTES], name[256];

		fprintf(out, "%s%s requests", k ? "\n" : "", pg_format_count(r->requests, text[0]));
		if (r->warm)
			fprintf(out, " behind the first %s", pg_format_count(r->warm, text[1]));
		fprintf(out, ", %s, %s of memory, load %.3g, holes in a %s%s\n",
			describe(t, s, name, sizeof name), pg_format_size(s->memory_bytes, text[2]),
			s->load, t->linear ? "list" : "tree",
			r->equilibrium ? "" : "; too few to reach equilibrium");
		if (s->queue != PG_QUEUE_NONE)
			fprintf(out, "who finds no room waits: %s%s\n",
				s->queue == PG_QUEUE_FIFO ? "the oldest first"
							  : "the most urgent first",
				s->backfill ? ", of those who fit" : "");
		fputc('\n', out);
		write_table(t, trial, out);
		if (s->queue != PG_QUEUE_NONE)
			write_waits(t, trial, out);
	}
}

/* ---- JSON */

static void write_samples(struct pg_json *j, const struct pg_stream_result *r, bool fit)
{
	pg_json_open(j, "samples", '[');
	for (uint64_t i = 0; i < r->samples; i++) {
		const struct pg_stream_sample *m = &r->sample[i];

		pg_json_open(j, NULL, '{');
		pg_json_number(j, "request", m->request);
		pg_json_number(j, "blocks", m->blocks);
		pg_json_number_if(j, "holes", m->holes, fit);
		pg_json_number(j, "asked_bytes", m->asked_bytes);
		pg_json_number(j, "free_bytes", m->free_bytes);
		pg_json_number_if(j, "largest_hole_bytes", m->largest_bytes, fit);
		pg_json_number_if(j, "unusable_bytes", m->unusable_bytes, fit);
		pg_json_number(j, "waiting", m->waiting);
		pg_json_close(j, '}');
	}
	pg_json_close(j, ']');
}

static void write_queue(struct pg_json *j, const struct pg_stream_result *r)
{
	pg_json_open(j, "queue", '{');
	pg_json_number(j, "waited", r->waited);
	pg_json_fraction(j, "wait_mean", wait_mean(r));
	pg_json_fraction(j, "wait_longest", r->longest_wait);
	pg_json_fraction(j, "length_mean", r->waiting);
	pg_json_number(j, "length_longest", r->longest_queue);
	pg_json_number(j, "length_last", r->waiting_last);
	pg_json_open(j, "priorities", '[');
	for (unsigned i = 0; i < PG_STREAM_PRIORITIES; i++) {
		pg_json_open(j, NULL, '{');
		pg_json_number(j, "priority", i);
		pg_json_number(j, "served", r->priority[i].served);
		pg_json_fraction(j, "wait_mean", wait_of(r, i));
		pg_json_close(j, '}');
	}
	pg_json_close(j, ']');
	pg_json_close(j, '}');
}

static void write_served(struct pg_json *j, const struct pg_partition_trials *t,
	const struct pg_partition_trial *trial, unsigned i)
{
	const struct pg_stream_result *r = &trial->served[i].r;
	bool fit = i < t->n_fits;

	pg_json_open(j, NULL, '{');
	pg_json_string(j, "memory", pg_partition_server(t, i));
	pg_json_fraction(j, "processor_seconds", trial->served[i].seconds);
	pg_json_number(j, "served", served(r));
	pg_json_number(j, "failed", r->failed);
	pg_json_number(j, "scattered", r->scattered);
	pg_json_number_if(j, "search_steps", r->steps, fit);
	pg_json_number_if(j, "exact", r->exact, fit);
	pg_json_fraction(j, "asked_bytes_mean", r->asked_bytes);
	pg_json_fraction(j, "given_bytes_mean", r->given_bytes);
	pg_json_fraction(j, "blocks_mean", r->blocks);
	pg_json_fraction_if(j, "holes_mean", r->holes, fit);
	pg_json_fraction_if(j, "holes_per_block", share(r->holes, r->blocks), fit);
	pg_json_fraction_if(j, "fifty_percent_rule", rule(r), fit);
	pg_json_fraction_if(j, "external_fragmentation", mean(r, external_of), fit);
	pg_json_fraction_if(j, "unusable", mean(r, unusable_of), fit);
	pg_json_fraction(j, "internal_fragmentation", internal(r));
	if (trial->stream.queue != PG_QUEUE_NONE)
		write_queue(j, r);
	write_samples(j, r, fit);
	pg_json_close(j, '}');
}

static void write_stream(struct pg_json *j, const struct pg_partition_trials *t,
	const struct pg_partition_trial *trial)
{
	const struct pg_stream *s = &trial->stream;
	const struct pg_stream_result *r = &trial->served[0].r;
	bool random = !t->source;

	pg_json_open(j, NULL, '{');
	pg_json_string(j, "recorded", t->source);
	pg_json_string(j, "sizes", random ? pg_stream_size_names[s->sizes] : NULL);
	pg_json_string(j, "lifetimes", random ? pg_stream_lifetime_names[s->lifetimes] : NULL);
	pg_json_number_if(j, "seed", s->seed, random);
	pg_json_fraction(j, "load", s->load);
	pg_json_number(j, "mean_bytes", r->mean_bytes);
	pg_json_number(j, "memory_bytes", s->memory_bytes);
	pg_json_number(j, "page_bytes", s->page_bytes);
	pg_json_string(j, "queue", queue_names[s->queue]);
	pg_json_boolean(j, "backfill", s->backfill);
	pg_json_number(j, "warm_requests", r->warm);
	pg_json_number(j, "requests", r->requests);
	pg_json_boolean(j, "equilibrium", r->equilibrium);
	pg_json_open(j, "served", '[');
	for (unsigned i = 0; i <= t->n_fits; i++)
		write_served(j, t, trial, i);
	pg_json_close(j, ']');
	pg_json_close(j, '}');
}

int pg_partition_write_json(const struct pg_partition_trials *t, const char *path)
{
	struct pg_output o = {.path = path};
	int status = pg_output_begin("partition", &o);
	struct pg_json j;

	if (status)
		return status;
	j = pg_json_begin(o.file, 2);
	pg_json_string(&j, "holes", t->linear ? "list" : "tree");
	pg_json_open(&j, "streams", '[');
	for (size_t k = 0; k < t->n; k++)
		write_stream(&j, t, &t->trial[k]);
	pg_json_close(&j, ']');
	pg_json_end(&j);
	return pg_output_end("partition", &o);
}

/* ---- SVG: for each stream a row of charts over the requests */

#define CHART_WIDTH 420.0
#define CHART_HEIGHT 280.0

static double used_of(const struct pg_stream_sample *m)
{
	return (double)m->asked_bytes;
}

static double waiting_of(const struct pg_stream_sample *m)
{
	return (double)m->waiting;
}

static const struct {
	const char *title;
	double (*of)(const struct pg_stream_sample *m);
	enum pg_svg_unit unit;
	bool of_paging;
} charts[] = {{"memory asked for by those present", used_of, PG_SVG_BYTES, true},
	{"external: free, but not in the largest hole", external_of, PG_SVG_PERCENT, false},
	{"unusable: in holes below the mean size", unusable_of, PG_SVG_PERCENT, false},
	{"waiting", waiting_of, PG_SVG_NUMBER, true}};

static void draw_chart(struct pg_svg *svg, struct pg_svg_box box,
	const struct pg_partition_trials *t, const struct pg_partition_trial *trial, size_t chart)
{
	struct pg_svg_series series[PG_PARTITION_FITS + 1];
	static double x[PG_PARTITION_FITS + 1][PG_STREAM_SAMPLES];
	static double y[PG_PARTITION_FITS + 1][PG_STREAM_SAMPLES];
	unsigned n = t->n_fits + charts[chart].of_paging;
	struct pg_svg_axis ax = {.label = "requests"}, ay = {.unit = charts[chart].unit};

	for (unsigned i = 0; i < n; i++) {
		const struct pg_stream_result *r = &trial->served[i].r;

		for (uint64_t k = 0; k < r->samples; k++) {
			x[i][k] = (double)r->sample[k].request;
			y[i][k] = charts[chart].of(&r->sample[k]);
		}
		series[i] = (struct pg_svg_series){
			.name = pg_partition_server(t, i), .x = x[i], .y = y[i], .n = r->samples};
	}
	pg_svg_lines(svg, box, charts[chart].title, series, n, &ax, &ay);
}

int pg_partition_write_svg(const struct pg_partition_trials *t, const char *path)
{
	bool queue = t->trial[0].stream.queue != PG_QUEUE_NONE;
	size_t n = sizeof charts / sizeof charts[0] - !queue;
	struct pg_output o = {.path = path};
	int status = pg_output_begin("partition", &o);
	struct pg_svg svg;

	if (status)
		return status;
	pg_svg_begin(&svg, o.file, CHART_WIDTH * (double)n, 40 + (CHART_HEIGHT + 30) * (double)t->n,
		"contiguous partitions and paging");
	for (size_t k = 0; k < t->n; k++) {
		double top = 40 + (CHART_HEIGHT + 30) * (double)k;
		char name[256], size[PG_FORMAT_BYTES], text[400];

		snprintf(text, sizeof text, "%s, %s of memory, load %.3g",
			describe(t, &t->trial[k].stream, name, sizeof name),
			pg_format_size(t->trial[k].stream.memory_bytes, size),
			t->trial[k].stream.load);
		pg_svg_text(&svg, 20, top + 18, PG_SVG_START, 12, true, text);
		for (size_t c = 0; c < n; c++)
			draw_chart(&svg,
				(struct pg_svg_box){CHART_WIDTH * (double)c, top + 24, CHART_WIDTH,
					CHART_HEIGHT},
				t, &t->trial[k], c);
	}
	pg_svg_end(&svg);
	return pg_output_end("partition", &o);
}
