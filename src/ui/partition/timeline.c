/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/timeline.c: a partition machine's log, drawn: memory as a bar after each event, and as rectangles over time.
 *
 *   log -> the blocks after each event (struct board) -> bars of characters
 *                                                     -> a rectangle for each stay of a block at a place, SVG
 *       -> what each job did (struct lane)            -> a lane for each job, SVG
 *
 * Called by ui/partition/run.c through jobs.h. Calls ui/write/svg.h and ui/write/format.h. Owns nothing that outlives a call.
 *
 * Invariants:
 *   TL1 the blocks on the board after an event are those that the log says are in memory, each at its last base.
 *   TL2 two rectangles of the memory chart overlap in no point of time and memory.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ui/partition/jobs.h"
#include "ui/write/format.h"
#include "ui/write/svg.h"

#define BAR 64 /* characters */

/* ---- the board: who is where */

struct place {
	int pid;
	unsigned job;
	uint64_t base, bytes;
	uint64_t since; /* clock */
};

struct board {
	struct place *at; /* owned: [n], in no order */
	size_t n, room;
};

static bool in_memory(const struct pg_job_event *e)
{
	switch (e->kind) {
	case PG_JOB_START:
	case PG_JOB_FORK:
	case PG_JOB_EXEC:
	case PG_JOB_GROW:
	case PG_JOB_MIGRATE:
	case PG_JOB_MOVE:
	case PG_JOB_SWAP_IN:
		return e->bytes != 0;
	default:
		return false;
	}
}

/*
 * Applies e. What it took off the board goes to *gone, with bytes 0 if nothing did. False: no memory.
 */
static bool apply(struct board *b, const struct pg_job_event *e, struct place *gone)
{
	*gone = (struct place){0};
	for (size_t i = 0; e->was_bytes && i < b->n; i++) {
		if (b->at[i].pid != e->pid || b->at[i].base != e->was_base)
			continue;
		*gone = b->at[i];
		b->at[i] = b->at[--b->n];
		break;
	}
	if (!in_memory(e))
		return true;
	if (b->n == b->room) {
		size_t room = b->room ? 2 * b->room : 16;
		struct place *more = realloc(b->at, room * sizeof *more);

		if (!more)
			return false;
		b->at = more;
		b->room = room;
	}
	b->at[b->n++] = (struct place){e->pid, e->job, e->base, e->bytes, e->clock};
	return true;
}

/* ---- text */

/* The letter of a job in bars. */
static char letter(unsigned job)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

	return job < sizeof letters - 1 ? letters[job] : '*';
}

static uint64_t overlap(const struct place *p, uint64_t from, uint64_t to)
{
	uint64_t low = p->base > from ? p->base : from;
	uint64_t high = p->base + p->bytes < to ? p->base + p->bytes : to;

	return low < high ? high - low : 0;
}

/* Each character stands for 1/BAR of memory and says who has most of it. */
static void fill_bar(const struct board *b, uint64_t memory, char bar[BAR + 1])
{
	for (unsigned i = 0; i < BAR; i++) {
		uint64_t from = memory / BAR * i + memory % BAR * i / BAR;
		uint64_t to = memory / BAR * (i + 1) + memory % BAR * (i + 1) / BAR;
		uint64_t most = 0, all = 0;
		char c = '.';

		for (size_t k = 0; k < b->n; k++) {
			uint64_t o = overlap(&b->at[k], from, to);

			all += o;
			if (o > most) {
				most = o;
				c = letter(b->at[k].job);
			}
		}
		bar[i] = to - from - all > most ? '.' : c;
	}
	bar[BAR] = 0;
}

/* Where each job is, for the two columns behind the bar. */
enum where { NOWHERE, QUEUE, MEMORY, STORE };

static void move_job(enum where *at, const struct pg_job_event *e)
{
	switch (e->kind) {
	case PG_JOB_ARRIVE:
	case PG_JOB_WAIT:
		at[e->job] = QUEUE;
		break;
	case PG_JOB_START:
	case PG_JOB_SWAP_IN:
		at[e->job] = MEMORY;
		break;
	case PG_JOB_SWAP_OUT:
		at[e->job] = STORE;
		break;
	case PG_JOB_END:
		at[e->job] = NOWHERE;
		break;
	case PG_JOB_REFUSE:
		if (at[e->job] == QUEUE)
			at[e->job] = NOWHERE;
		break;
	default:
		break;
	}
}

static void write_where(
	const enum where *at, size_t n, enum where which, const char *title, FILE *out)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		if (at[i] != which)
			continue;
		if (!any)
			fprintf(out, "  %s ", title);
		any = true;
		fputc(letter((unsigned)i), out);
	}
}

static void write_row(const struct pg_job_event *e, const struct pg_jobs *jobs,
	const struct board *b, const enum where *at, uint64_t memory, FILE *out)
{
	char bar[BAR + 1], count[PG_FORMAT_BYTES];

	fill_bar(b, memory, bar);
	fprintf(out, "%15s  %-8s %c |%s|", pg_format_count(e->clock, count),
		pg_job_event_names[e->kind], letter(e->job), bar);
	write_where(at, jobs->n, QUEUE, "queue", out);
	write_where(at, jobs->n, STORE, "store", out);
	fputc('\n', out);
}

/* A block that is given back because the job ends needs no row of its own. */
static bool has_row(const struct pg_job_log *log, size_t i)
{
	const struct pg_job_event *e = &log->event[i];

	if (e->kind == PG_JOB_FREE)
		return i + 1 == log->n || e[1].kind != PG_JOB_END || e[1].job != e->job;
	return e->kind != PG_JOB_RUN;
}

void pg_timeline_text(const struct pg_job_log *log, const struct pg_jobs *jobs,
	uint64_t memory_bytes, size_t rows, FILE *out)
{
	struct board board = {0};
	struct place gone;
	enum where *at = calloc(jobs->n, sizeof *at);
	size_t all = 0, row = 0;
	char text[PG_FORMAT_BYTES];

	for (size_t i = 0; i < log->n; i++)
		all += has_row(log, i);
	for (size_t i = 0; i < jobs->n && letter((unsigned)i) != '*'; i++)
		fprintf(out, "%s%c %s",
			!i       ? ""
			: i % 10 ? ", "
				 : ",\n",
			letter((unsigned)i), jobs->job[i].name);
	fprintf(out, "%s; each character is %s\n\n%15s  %-10s memory\n",
		letter((unsigned)jobs->n - 1) == '*' ? ", * the others" : "",
		pg_format_size(memory_bytes / BAR, text), "clock", "event");
	for (size_t i = 0; at && i < log->n; i++) {
		const struct pg_job_event *e = &log->event[i];

		if (!apply(&board, e, &gone))
			break;
		move_job(at, e);
		if (!has_row(log, i))
			continue;
		row++;
		/* The first half and the last half. */
		if (all <= rows || row <= rows / 2 || row > all - rows / 2)
			write_row(e, jobs, &board, at, memory_bytes, out);
		else if (row == rows / 2 + 1)
			fprintf(out, "%15s  %s events are left out\n", "...",
				pg_format_count(all - rows / 2 * 2, text));
	}
	free(board.at);
	free(at);
}

/* ---- SVG */

#define WIDTH 1100.0
#define LEFT 110.0
#define RIGHT 20.0
#define MEMORY_TOP 50.0
#define MEMORY_HEIGHT 360.0
#define LANES_TOP (MEMORY_TOP + MEMORY_HEIGHT + 60)
#define LANES_MOST 900.0
#define CURVES_HEIGHT 240.0

struct drawing {
	struct pg_svg svg;
	const struct pg_jobs *jobs;
	uint64_t memory, end;
	double lane; /* height of one */
};

static double x_of(const struct drawing *d, uint64_t clock)
{
	return LEFT + (WIDTH - LEFT - RIGHT) * ((double)clock / (double)(d->end ? d->end : 1));
}

/* Address 0 is at the bottom. */
static double y_of(const struct drawing *d, uint64_t address)
{
	return MEMORY_TOP + MEMORY_HEIGHT * (1 - (double)address / (double)d->memory);
}

/* A stay of a block at one place, over when something else is there. */
static void draw_stay(struct drawing *d, const struct place *p, uint64_t until)
{
	struct pg_svg_box box = {x_of(d, p->since), y_of(d, p->base + p->bytes), 0, 0};
	char tip[256], size[2][PG_FORMAT_BYTES], count[2][PG_FORMAT_BYTES];
	const char *name = d->jobs->job[p->job].name;

	box.w = x_of(d, until) - box.x;
	box.h = y_of(d, p->base) - box.y;
	if (until == p->since)
		return; /* it was over in the same instant */
	snprintf(tip, sizeof tip, "%s, process %d: %s at %s, from %s to %s", name, p->pid,
		pg_format_size(p->bytes, size[0]), pg_format_size(p->base, size[1]),
		pg_format_count(p->since, count[0]), pg_format_count(until, count[1]));
	pg_svg_rect(&d->svg, box, pg_svg_colour(p->job), tip);
	if (box.h > 12 && box.w > 7 * (double)strlen(name))
		pg_svg_text(&d->svg, box.x + box.w / 2, box.y + box.h / 2 + 4, PG_SVG_MIDDLE, 11,
			true, name);
}

static int draw_memory(struct drawing *d, const struct pg_job_log *log)
{
	struct pg_svg_box all = {LEFT, MEMORY_TOP, WIDTH - LEFT - RIGHT, MEMORY_HEIGHT};
	struct board board = {0};
	int e = 0;

	pg_svg_text(&d->svg, LEFT, MEMORY_TOP - 8, PG_SVG_START, 12, true, "memory");
	pg_svg_rect(&d->svg, all, "#f2f2f2", "holes");
	for (unsigned i = 0; i <= 4; i++) {
		char text[32];
		uint64_t at = d->memory / 4 * i;

		pg_svg_text(&d->svg, LEFT - 6, y_of(d, at) + 4, PG_SVG_END, 11, false,
			pg_svg_value((double)at, PG_SVG_BYTES, text));
	}
	for (size_t i = 0; i < log->n && !e; i++) {
		struct place gone;

		if (!apply(&board, &log->event[i], &gone))
			e = -ENOMEM;
		if (gone.bytes)
			draw_stay(d, &gone, log->event[i].clock);
	}
	for (size_t i = 0; i < board.n; i++)
		draw_stay(d, &board.at[i], d->end);
	free(board.at);
	return e;
}

/* What a job does. */
enum doing { ABSENT, WAITS, RUNS, STAYS, PAUSES, IS_OUT };

static const struct {
	const char *name, *colour; /* colour NULL: the job's */
} doings[] = {[WAITS] = {"waits in the queue", "#f0e442"},
	[RUNS] = {"runs", NULL},
	[STAYS] = {"in memory, others run", "#d0d0d0"},
	[PAUSES] = {"wants to grow, waits for room", "#d55e00"},
	[IS_OUT] = {"in the store", "#555555"}};

struct lane {
	enum doing doing;
	uint64_t since;
};

static void change(
	struct drawing *d, struct lane *lanes, unsigned job, enum doing to, uint64_t clock)
{
	struct lane *l = &lanes[job];
	char tip[160], count[2][PG_FORMAT_BYTES];

	if (l->doing == to)
		return;
	if (l->doing != ABSENT && clock > l->since) {
		const char *colour = doings[l->doing].colour;

		snprintf(tip, sizeof tip, "%s %s from %s to %s", d->jobs->job[job].name,
			doings[l->doing].name, pg_format_count(l->since, count[0]),
			pg_format_count(clock, count[1]));
		pg_svg_rect(&d->svg,
			(struct pg_svg_box){x_of(d, l->since), LANES_TOP + d->lane * job,
				x_of(d, clock) - x_of(d, l->since), d->lane * 0.8},
			colour ? colour : pg_svg_colour(job), tip);
	}
	*l = (struct lane){to, clock};
}

static void follow(struct drawing *d, struct lane *lanes, const struct pg_job_event *e)
{
	switch (e->kind) {
	case PG_JOB_ARRIVE:
		change(d, lanes, e->job, WAITS, e->clock);
		break;
	case PG_JOB_START:
	case PG_JOB_SWAP_IN:
		change(d, lanes, e->job, STAYS, e->clock);
		break;
	case PG_JOB_RUN:
		for (unsigned i = 0; i < d->jobs->n; i++)
			if (i != e->job && lanes[i].doing == RUNS)
				change(d, lanes, i, STAYS, e->clock);
		change(d, lanes, e->job, RUNS, e->clock);
		break;
	case PG_JOB_PAUSE:
		change(d, lanes, e->job, PAUSES, e->clock);
		break;
	case PG_JOB_SWAP_OUT:
		change(d, lanes, e->job, IS_OUT, e->clock);
		break;
	case PG_JOB_END:
		change(d, lanes, e->job, ABSENT, e->clock);
		break;
	case PG_JOB_REFUSE:
		if (lanes[e->job].doing == WAITS)
			change(d, lanes, e->job, ABSENT, e->clock);
		break;
	default:
		break;
	}
}

static double draw_legend(struct drawing *d, double y)
{
	double x = LEFT;

	for (unsigned i = WAITS; i <= IS_OUT; i++) {
		const char *colour = doings[i].colour;

		pg_svg_rect(&d->svg, (struct pg_svg_box){x, y, 10, 10},
			colour ? colour : pg_svg_colour(0), NULL);
		pg_svg_text(&d->svg, x + 14, y + 9, PG_SVG_START, 11, false, doings[i].name);
		x += 40 + 6.2 * (double)strlen(doings[i].name);
	}
	return y + 24;
}

static int draw_lanes(struct drawing *d, const struct pg_job_log *log)
{
	struct lane *lanes = calloc(d->jobs->n, sizeof *lanes);

	if (!lanes)
		return -ENOMEM;
	pg_svg_text(&d->svg, LEFT, LANES_TOP - 28, PG_SVG_START, 12, true, "jobs");
	draw_legend(d, LANES_TOP - 20);
	for (size_t i = 0; i < log->n; i++)
		follow(d, lanes, &log->event[i]);
	for (unsigned i = 0; i < d->jobs->n; i++) {
		change(d, lanes, i, ABSENT, d->end);
		if (d->lane >= 9)
			pg_svg_text(&d->svg, LEFT - 6, LANES_TOP + d->lane * (i + 0.6), PG_SVG_END,
				11, false, d->jobs->job[i].name);
	}
	free(lanes);
	return 0;
}

/* Free memory, and the largest hole of it: what is between the two curves is external fragmentation. */
static int draw_curves(struct drawing *d, const struct pg_job_log *log, double top)
{
	double *v = malloc((log->n + 1) * 3 * sizeof *v);
	double *x = v, *all = v + log->n + 1, *largest = all + log->n + 1;
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < log->n; i++) {
		const struct pg_job_event *e = &log->event[i];

		/* One point an instant: the last. */
		if (n && x[n - 1] == (double)e->clock)
			n--;
		x[n] = (double)e->clock;
		all[n] = (double)e->free_bytes;
		largest[n++] = (double)e->largest_bytes;
	}
	if (n && x[n - 1] < (double)d->end) {
		x[n] = (double)d->end;
		all[n] = all[n - 1];
		largest[n] = largest[n - 1];
		n++;
	}
	struct pg_svg_series series[] = {{.name = "free", .x = x, .y = all, .n = n, .steps = true},
		{.name = "largest hole", .x = x, .y = largest, .n = n, .steps = true}};
	struct pg_svg_axis ax = {.label = "instructions"},
			   ay = {.unit = PG_SVG_BYTES, .lo = 0, .hi = (double)d->memory};

	if (n)
		pg_svg_lines(&d->svg,
			(struct pg_svg_box){
				LEFT - 60, top, WIDTH - RIGHT + 14 - (LEFT - 60), CURVES_HEIGHT},
			"free memory", series, 2, &ax, &ay);
	free(v);
	return 0;
}

int pg_timeline_svg(const struct pg_job_log *log, const struct pg_jobs *jobs, uint64_t memory_bytes,
	uint64_t end, FILE *out)
{
	struct drawing d = {.jobs = jobs, .memory = memory_bytes, .end = end};
	double curves;
	int e;

	d.lane = (double)jobs->n * 20 > LANES_MOST ? LANES_MOST / (double)jobs->n : 20;
	curves = LANES_TOP + d.lane * (double)jobs->n + 20;
	pg_svg_begin(&d.svg, out, WIDTH, curves + CURVES_HEIGHT + 10, "partitions over time");
	e = draw_memory(&d, log);
	if (!e)
		e = draw_lanes(&d, log);
	if (!e)
		e = draw_curves(&d, log, curves);
	pg_svg_end(&d.svg);
	return e;
}
