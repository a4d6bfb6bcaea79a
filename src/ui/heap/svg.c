/* SPDX-License-Identifier: MIT */
/*
 * ui/heap/svg.c: a heap as a drawing: memory in rows, a rectangle for each chunk, links of the free lists, pages; then curves over time.
 *
 * Called by ui/heap/heap.c. An area is drawn in rows of equal bytes, chosen so that all areas fit. Chunks too small to see are
 * drawn together.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ui/heap/heap.h"
#include "ui/write/format.h"
#include "ui/write/svg.h"

#define WIDTH 1120.0
#define LEFT 150.0  /* of the memory in a row; addresses stand before it */
#define ROOM 950.0  /* width of a row */
#define ROW 22.0    /* height: chunks, and pages below them */
#define CHUNKS 13.0 /* height of the chunks in it */
#define ROWS 120u   /* of all areas, at most */
#define AREAS 24u   /* drawn at most */
#define LINKS 400u  /* drawn at most */
#define THIN 0.6    /* chunks narrower than this are drawn together */

static const char *const colours[PG_CHUNK_STATES] = {
	"#0072b2", "#f0e442", "#e69f00", "#cdeccd", "#cc79a7", "#888888"};

struct view {
	const struct pg_heap_show *s;
	struct pg_svg *g;
	uint64_t bytes; /* of a row */
	double top[AREAS];
	uint32_t areas;
};

static uint64_t rows_of(const struct pg_heap_area *a, uint64_t bytes)
{
	uint64_t start = a->start & ~(bytes - 1);

	return (a->end - start + bytes - 1) / bytes;
}

static uint64_t choose_bytes(const struct pg_heap_picture *p, uint32_t areas)
{
	for (uint64_t bytes = PG_PAGE_SIZE;; bytes *= 2) {
		uint64_t rows = 0;
		for (uint32_t i = 0; i < areas; i++)
			rows += rows_of(&p->areas[i], bytes);
		if (rows <= ROWS || bytes >= (uint64_t)1 << 40)
			return bytes;
	}
}

static void place(const struct view *v, uint32_t area, uint64_t at, double *x, double *y)
{
	const struct pg_heap_area *a = &v->s->p->areas[area];
	uint64_t offset = at - (a->start & ~(v->bytes - 1));

	*x = LEFT + ROOM * (double)(offset % v->bytes) / (double)v->bytes;
	*y = v->top[area] + ROW * (double)(offset / v->bytes);
}

/* [from, to), in as many rows as it lies in. */
static void stretch(const struct view *v, uint32_t area, uint64_t from, uint64_t to, double down,
	double height, const char *colour, const char *tip)
{
	while (from < to) {
		uint64_t end = (from & ~(v->bytes - 1)) + v->bytes;
		double x, y;

		if (end > to)
			end = to;
		place(v, area, from, &x, &y);
		double w = ROOM * (double)(end - from) / (double)v->bytes;
		if (w > 2)
			w -= 0.5; /* a gap between neighbours */
		pg_svg_rect(v->g, (struct pg_svg_box){x, y + down, w, height}, colour, tip);
		from = end;
	}
}

static void chunk_tip(const struct view *v, const struct pg_heap_chunk *c, char *tip, size_t cap)
{
	const struct pg_heap_picture *p = v->s->p;
	int n = snprintf(tip, cap, "0x%" PRIx64 ": %" PRIu64 " bytes, %s", c->block, c->size,
		pg_heap_state_names[c->state]);

	if (c->requested != PG_HEAP_UNKNOWN)
		n += snprintf(tip + n, cap - (size_t)n, ", asked for %" PRIu64, c->requested);
	if (c->site != PG_HEAP_NONE) {
		const struct pg_heap_frame *f = &p->sites[c->site].frames[0];
		n += snprintf(tip + n, cap - (size_t)n, " by %.60s", f->function);
		if (f->source)
			n += snprintf(tip + n, cap - (size_t)n, " (%.60s:%d)",
				pg_symbols_base_name(f->source), f->line);
	}
	if (c->list != PG_HEAP_NONE)
		n += snprintf(tip + n, cap - (size_t)n, "; %s", p->lists[c->list].name);
	if (c->next != PG_HEAP_NONE && (size_t)n < cap)
		snprintf(tip + n, cap - (size_t)n, " -> 0x%" PRIx64, p->chunks[c->next].block);
}

static void draw_chunks(const struct view *v, uint32_t area)
{
	const struct pg_heap_picture *p = v->s->p;
	const struct pg_heap_area *a = &p->areas[area];
	uint64_t thin = (uint64_t)(THIN * (double)v->bytes / ROOM);

	for (uint32_t i = a->first; i < a->first + a->count;) {
		const struct pg_heap_chunk *c = &p->chunks[i];
		uint64_t from = c->address, to = from + c->size;
		uint32_t n = 1;
		char tip[400];

		chunk_tip(v, c, tip, sizeof tip);
		i++;
		while (to - from < thin && i < a->first + a->count &&
			p->chunks[i].state == c->state && p->chunks[i].address == to &&
			p->chunks[i].size < thin) {
			to += p->chunks[i++].size;
			n++;
		}
		if (n > 1)
			snprintf(tip, sizeof tip, "%u chunks, %" PRIu64 " bytes, %s", n, to - from,
				pg_heap_state_names[c->state]);
		stretch(v, area, from, to, 0, CHUNKS, colours[c->state], tip);
	}
}

/* A line below the chunks where pages are in memory; another colour where none of their bytes is in use. */
static void draw_pages(const struct view *v, uint32_t area)
{
	const struct pg_heap_picture *p = v->s->p;
	const struct pg_heap_area *a = &p->areas[area];
	uint64_t first = a->start & ~PG_PAGE_MASK;
	uint32_t c = a->first;

	if (!a->there)
		return;
	for (uint64_t page = 0; page < a->pages; page++) {
		uint64_t from = first + page * PG_PAGE_SIZE, to = from + PG_PAGE_SIZE;
		bool used = false;

		for (; c < a->first + a->count && p->chunks[c].address < to; c++) {
			used |= p->chunks[c].state == PG_CHUNK_USED &&
				p->chunks[c].address + p->chunks[c].size > from;
			if (p->chunks[c].address + p->chunks[c].size > to)
				break;
		}
		if (!a->there[page])
			continue;
		if (from < a->start)
			from = a->start;
		if (to > a->end)
			to = a->end;
		stretch(v, area, from, to, CHUNKS + 1, 3, used ? "#009e73" : "#d55e00",
			used ? "a page in memory" : "a page in memory that holds no block in use");
	}
}

static bool area_of(const struct view *v, uint32_t chunk, uint32_t *area)
{
	for (uint32_t i = 0; i < v->areas; i++) {
		const struct pg_heap_area *a = &v->s->p->areas[i];
		if (chunk >= a->first && chunk < a->first + a->count) {
			*area = i;
			return true;
		}
	}
	return false;
}

static void draw_links(const struct view *v)
{
	const struct pg_heap_picture *p = v->s->p;
	unsigned drawn = 0;

	for (uint32_t i = 0; i < p->chunk_count && drawn < LINKS; i++) {
		uint32_t to = p->chunks[i].next, from_area, to_area;
		double x1, y1, x2, y2;

		if (to == PG_HEAP_NONE || !area_of(v, i, &from_area) || !area_of(v, to, &to_area))
			continue;
		place(v, from_area, p->chunks[i].address, &x1, &y1);
		place(v, to_area, p->chunks[to].address, &x2, &y2);
		pg_svg_line(
			v->g, x1 + 2, y1 + CHUNKS / 2, x2 + 2, y2 + CHUNKS / 2, "#00000055", 0.6);
		drawn++;
	}
}

static double draw_legend(const struct view *v, double y)
{
	static const char *const words[PG_CHUNK_STATES] = {
		"in use", "free", "cached", "top", "the allocator's own", "not the heap's"};
	double x = LEFT;

	for (int i = 0; i < PG_CHUNK_STATES; i++) {
		pg_svg_rect(v->g, (struct pg_svg_box){x, y, 14, 10}, colours[i], NULL);
		pg_svg_text(v->g, x + 19, y + 9, PG_SVG_START, 11, false, words[i]);
		x += 34 + 6.5 * (double)strlen(words[i]);
	}
	pg_svg_rect(v->g, (struct pg_svg_box){x, y + 4, 14, 3}, "#009e73", NULL);
	pg_svg_text(v->g, x + 19, y + 9, PG_SVG_START, 11, false, "page in memory");
	x += 125;
	pg_svg_rect(v->g, (struct pg_svg_box){x, y + 4, 14, 3}, "#d55e00", NULL);
	pg_svg_text(v->g, x + 19, y + 9, PG_SVG_START, 11, false, "without a block in use");
	return y + 24;
}

static void draw_memory(struct view *v)
{
	const struct pg_heap_picture *p = v->s->p;

	for (uint32_t i = 0; i < v->areas; i++) {
		const struct pg_heap_area *a = &p->areas[i];
		uint64_t start = a->start & ~(v->bytes - 1);
		char text[200], size[PG_FORMAT_BYTES];

		snprintf(text, sizeof text, "%s, %s", a->name,
			pg_format_size(a->end - a->start, size));
		pg_svg_text(v->g, LEFT, v->top[i] - 5, PG_SVG_START, 12, true, text);
		for (uint64_t k = 0; k < rows_of(a, v->bytes); k++) {
			snprintf(text, sizeof text, "%012" PRIx64, start + k * v->bytes);
			pg_svg_text(v->g, LEFT - 8, v->top[i] + ROW * (double)k + 10, PG_SVG_END,
				10, false, text);
		}
		draw_chunks(v, i);
		draw_pages(v, i);
	}
	draw_links(v);
}

/* --- curves ---------------------------------------------------------------------------------------------- */

static void draw_curves(const struct view *v, double y)
{
	const struct pg_heap_picture *p = v->s->p;
	enum { CURVES = 8 };
	double *all = calloc((size_t)p->sample_count * (CURVES + 1) + 1, sizeof *all), *c[CURVES];
	double *x = all;
	size_t n = p->sample_count;

	if (!all)
		return;
	for (int i = 0; i < CURVES; i++)
		c[i] = all + n * (size_t)(i + 1);
	for (size_t i = 0; i < n; i++) {
		const struct pg_heap_sample *s = &p->samples[i];
		x[i] = (double)s->calls;
		c[0][i] = (double)s->live_bytes;
		c[1][i] = (double)s->heap_bytes;
		c[2][i] = (double)(s->resident_pages * PG_PAGE_SIZE);
		c[3][i] = (double)(s->idle_pages * PG_PAGE_SIZE);
		c[4][i] = s->known_usable ? 1 - (double)s->known_requested / (double)s->known_usable
					  : 0;
		c[5][i] = s->hole_bytes ? 1 - (double)s->largest_hole / (double)s->hole_bytes : 0;
		c[6][i] = (double)s->splits;
		c[7][i] = (double)s->coalesces;
	}
	const struct pg_svg_series bytes[] = {{"live, as asked for", x, c[0], n, NULL, true},
		{"heap", x, c[1], n, NULL, true}, {"in memory", x, c[2], n, NULL, true},
		{"of it idle", x, c[3], n, NULL, true}};
	const struct pg_svg_series shares[] = {
		{"internal", x, c[4], n, NULL, true}, {"external", x, c[5], n, NULL, true}};
	const struct pg_svg_series events[] = {
		{"splits", x, c[6], n, NULL, true}, {"coalesces", x, c[7], n, NULL, true}};
	const struct pg_svg_axis calls = {.label = "calls of the allocator"};
	const double w = WIDTH / (p->cuts_known ? 3 : 2);

	pg_svg_lines(v->g, (struct pg_svg_box){0, y, w, 260}, "bytes", bytes, 4, &calls,
		&(struct pg_svg_axis){.unit = PG_SVG_BYTES});
	pg_svg_lines(v->g, (struct pg_svg_box){w, y, w, 260}, "fragmentation", shares, 2, &calls,
		&(struct pg_svg_axis){.unit = PG_SVG_PERCENT});
	if (p->cuts_known)
		pg_svg_lines(v->g, (struct pg_svg_box){2 * w, y, w, 260}, "splits and coalesces",
			events, 2, &calls, &(struct pg_svg_axis){.unit = PG_SVG_NUMBER});
	free(all);
}

void pg_heap_svg(const struct pg_heap_show *s, FILE *out)
{
	const struct pg_heap_picture *p = s->p;
	struct pg_svg g;
	struct view v = {.s = s, .g = &g, .areas = p->area_count < AREAS ? p->area_count : AREAS};
	double y = 96;
	char text[400], a[PG_FORMAT_BYTES], b[PG_FORMAT_BYTES], c[PG_FORMAT_BYTES];

	v.bytes = choose_bytes(p, v.areas);
	for (uint32_t i = 0; i < v.areas; i++) {
		v.top[i] = y;
		y += ROW * (double)rows_of(&p->areas[i], v.bytes) + 26;
	}
	snprintf(text, sizeof text, "heap of %.150s, %s, %s", p->program, p->allocator, p->moment);
	pg_svg_begin(&g, out, WIDTH, y + 20 + (p->sample_count > 1 ? 270 : 0), text);
	snprintf(text, sizeof text, "%s in use, %s free in %" PRIu64 " holes, a row is %s%s",
		pg_format_size(p->bytes[PG_CHUNK_USED], a), pg_format_size(p->hole_bytes, b),
		p->holes, pg_format_size(v.bytes, c),
		p->area_count > v.areas ? "; not all areas are drawn" : "");
	pg_svg_text(&g, WIDTH / 2, 44, PG_SVG_MIDDLE, 12, false, text);
	draw_legend(&v, 56);
	draw_memory(&v);
	if (p->sample_count > 1)
		draw_curves(&v, y);
	pg_svg_end(&g);
}
