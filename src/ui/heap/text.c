/* SPDX-License-Identifier: MIT */
/*
 * ui/heap/text.c: a heap as text: figures, a map of memory in one character a cell, free lists, the timeline, sites, blocks.
 *
 * Called by ui/heap/heap.c. The characters of the map say all; colours repeat it, for terminals.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/demangle.h"
#include "ui/heap/heap.h"
#include "ui/write/format.h"
#include "ui/write/table.h"

#define CELLS 64    /* of a line of the map */
#define MAP_LINES 8 /* of an area, at most */
#define LINKS 6     /* of a list, shown */
#define WHO 96      /* characters of a site in a table */
#define TABLE 240   /* no line is that long: what is too long was cut before */

double pg_heap_internal(const struct pg_heap_picture *p)
{
	return p->known_usable ? 1 - (double)p->known_requested / (double)p->known_usable : -1;
}

double pg_heap_external(const struct pg_heap_picture *p)
{
	return p->hole_bytes ? 1 - (double)p->largest_hole / (double)p->hole_bytes : -1;
}

static const char *size(uint64_t n, char *text)
{
	return pg_format_size(n, text);
}

static const char *count(uint64_t n, char *text)
{
	return pg_format_count(n, text);
}

static const char *share(double v, char *text)
{
	if (v < 0)
		snprintf(text, PG_FORMAT_BYTES, "-");
	else
		snprintf(text, PG_FORMAT_BYTES, "%.1f %%", 100 * v);
	return text;
}

static void heading(const struct pg_heap_show *s, FILE *out, const char *text, const char *note)
{
	fprintf(out, "\n%s%s%s%s%s\n", s->colour ? "\033[1m" : "", text, s->colour ? "\033[0m" : "",
		note[0] ? "  " : "", note);
}

/* --- the figures ------------------------------------------------------------------------------------------- */

/* "make_text (list.c:13) < push (list.c:24)", into text[cap]. */
static void site_text(const struct pg_heap_site *site, char *text, size_t cap)
{
	size_t n = 0;

	text[0] = 0;
	for (uint32_t i = 0; i < site->depth && n + 1 < cap; i++) {
		const struct pg_heap_frame *f = &site->frames[i];
		char name[160];

		n += (size_t)snprintf(text + n, cap - n, "%s%s", i ? " < " : "",
			pg_brief_name(f->function, name, sizeof name));
		if (f->source && n < cap)
			n += (size_t)snprintf(text + n, cap - n, " (%s:%d)",
				pg_symbols_base_name(f->source), f->line);
	}
	if (n >= cap)
		memcpy(text + cap - 4, "...", 4);
}

static void figures(const struct pg_heap_show *s, FILE *out)
{
	const struct pg_heap_picture *p = s->p;
	char a[PG_FORMAT_BYTES], b[PG_FORMAT_BYTES], c[PG_FORMAT_BYTES], d[PG_FORMAT_BYTES],
		e[PG_FORMAT_BYTES], f[PG_FORMAT_BYTES];

	fprintf(out, "\n%spagoda: heap of %s%s, process %d, %s %s: %s calls of the allocator",
		s->colour ? "\033[1m" : "", p->program, s->colour ? "\033[0m" : "", p->pid,
		p->allocator, p->moment, count(p->calls, a));
	if (p->instructions)
		fprintf(out, ", %s instructions", count(p->instructions, b));
	fputc('\n', out);
	fprintf(out, "  %-10s %s in %u area%s; %s pages, %s in memory%s%s\n", "heap",
		size(p->heap_bytes, a), p->area_count, p->area_count == 1 ? "" : "s",
		count(p->pages, b), count(p->resident, c), p->swapped ? ", swapped out " : "",
		p->swapped ? count(p->swapped, d) : "");
	fprintf(out, "  %-10s %s in %s blocks; asked for %s in %s; internal fragmentation %s\n",
		"in use", size(p->bytes[PG_CHUNK_USED], a), count(p->count[PG_CHUNK_USED], b),
		size(p->known_requested, c), count(p->known_blocks, d),
		share(pg_heap_internal(p), e));
	fprintf(out, "  %-10s %s in %s holes, the largest %s; external fragmentation %s", "free",
		size(p->hole_bytes, a), count(p->holes, b), size(p->largest_hole, c),
		share(pg_heap_external(p), d));
	if (p->count[PG_CHUNK_CACHED])
		fprintf(out, "; of these cached %s in %s", size(p->bytes[PG_CHUNK_CACHED], e),
			count(p->count[PG_CHUNK_CACHED], f));
	fputc('\n', out);
	if (p->count[PG_CHUNK_TOP])
		fprintf(out, "  %-10s %s\n", "top", size(p->bytes[PG_CHUNK_TOP], a));
	if (p->bytes[PG_CHUNK_META] + p->bytes[PG_CHUNK_FENCE])
		fprintf(out, "  %-10s %s are the allocator's own\n", "own",
			size(p->bytes[PG_CHUNK_META] + p->bytes[PG_CHUNK_FENCE], a));
	fprintf(out, "  %-10s %s in memory without a block in use, %s of them free throughout\n",
		"idle pages", count(p->idle, a), count(p->idle_inside, b));
	fprintf(out, "  %-10s %s live bytes, at call %s\n", "peak", size(p->peak_bytes, a),
		count(p->peak_call, b));
	if (p->cuts_known)
		fprintf(out,
			"  %-10s %s splits, %s coalesces; %s cut from the top, %s joined to it\n",
			"events", count(p->splits, a), count(p->coalesces, b),
			count(p->from_top, c), count(p->to_top, d));
	if (p->failed)
		fprintf(out, "  %-10s %s calls got nothing\n", "failed", count(p->failed, a));
	if (p->misuses) {
		char site[200] = "an unknown caller";

		if (p->misuse_site != PG_HEAP_NONE)
			site_text(&p->sites[p->misuse_site], site, sizeof site);
		fprintf(out,
			"  %-10s %s %s gave back what is no block (any more); the first "
			"0x%" PRIx64 ", by %s\n",
			"misuse", count(p->misuses, a), p->misuses == 1 ? "call" : "calls",
			p->misuse_block, site);
	}
	if (p->note[0])
		fprintf(out, "  %-10s %s\n", "note", p->note);
	if (p->problem[0])
		fprintf(out, "  %-10s %s\n", "problem", p->problem);
}

/* --- the map ---------------------------------------------------------------------------------------------------- */

enum cell { FULL, MOST, SOME, HOLE, CACHED, TOP, OWN, FENCE, GONE, CELL_KINDS };

static const struct {
	char letter;
	const char *colour, *what;
} kinds[CELL_KINDS] = {
	[FULL] = {'#', "\033[48;5;25;38;5;15m", "in use"},
	[MOST] = {'+', "\033[48;5;31;38;5;15m", "more than half of it"},
	[SOME] = {'-', "\033[48;5;74;38;5;16m", "less"},
	[HOLE] = {'.', "\033[48;5;186;38;5;16m", "free"},
	[CACHED] = {'c', "\033[48;5;180;38;5;16m", "cached"},
	[TOP] = {'=', "\033[48;5;151;38;5;16m", "top"},
	[OWN] = {'m', "\033[48;5;139;38;5;16m", "the allocator's"},
	[FENCE] = {'|', "\033[48;5;240;38;5;15m", "not the heap's"},
	[GONE] = {' ', "", "free, and no page there"},
};

/* What is in a stretch of an area. *from: the first chunk that may reach into it; moved on. */
static enum cell look_at(const struct pg_heap_show *s, const struct pg_heap_area *a, uint32_t *from,
	uint64_t start, uint64_t end, const uint8_t *there)
{
	const struct pg_heap_picture *p = s->p;
	uint64_t bytes[PG_CHUNK_STATES] = {0}, most = 0;
	unsigned best = PG_CHUNK_FREE;
	bool any = !there;

	for (; *from < a->first + a->count; (*from)++) {
		const struct pg_heap_chunk *c = &p->chunks[*from];
		uint64_t lo = c->address > start ? c->address : start;
		uint64_t hi = c->address + c->size < end ? c->address + c->size : end;
		if (c->address >= end)
			break;
		if (hi > lo)
			bytes[c->state] += hi - lo;
		if (c->address + c->size > end)
			break;
	}
	for (uint64_t page = start & ~PG_PAGE_MASK; there && page < end; page += PG_PAGE_SIZE)
		any |= there[(page - (a->start & ~PG_PAGE_MASK)) >> PG_PAGE_SHIFT];
	if (bytes[PG_CHUNK_USED] == end - start)
		return FULL;
	if (bytes[PG_CHUNK_USED])
		return 2 * bytes[PG_CHUNK_USED] > end - start ? MOST : SOME;
	for (unsigned i = 0; i < PG_CHUNK_STATES; i++) {
		if (bytes[i] > most) {
			most = bytes[i];
			best = i;
		}
	}
	if (!any || most == 0)
		return GONE;
	switch ((enum pg_chunk_state)best) {
	case PG_CHUNK_CACHED:
		return CACHED;
	case PG_CHUNK_TOP:
		return TOP;
	case PG_CHUNK_META:
		return OWN;
	case PG_CHUNK_FENCE:
		return FENCE;
	default:
		return HOLE;
	}
}

static void map_line(const struct pg_heap_show *s, FILE *out, const enum cell *cells, int n)
{
	int last = -1;

	for (int i = 0; i < n; i++) {
		if (s->colour && (int)cells[i] != last)
			fprintf(out, "\033[0m%s", kinds[cells[i]].colour);
		fputc(kinds[cells[i]].letter, out);
		last = (int)cells[i];
	}
	fputs(s->colour ? "\033[0m|\n" : "|\n", out);
}

static void map_area(const struct pg_heap_show *s, const struct pg_heap_area *a, FILE *out)
{
	char t[5][PG_FORMAT_BYTES];
	uint64_t cell = 16, at = a->start;
	uint32_t from = a->first;
	bool skipped = false;

	while ((a->end - a->start + cell - 1) / cell > CELLS * MAP_LINES)
		cell *= 2;
	fprintf(out, "\n  %s: %s at 0x%" PRIx64 ", %s chunks; %s pages, in memory %s, idle %s\n",
		a->name, size(a->end - a->start, t[0]), a->start, count(a->count, t[1]),
		count(a->pages, t[2]), count(a->resident, t[3]), count(a->idle, t[4]));
	fprintf(out, "  a character is %s\n", size(cell, t[0]));
	while (at < a->end) {
		enum cell cells[CELLS];
		uint64_t line = at;
		bool all_gone = true;
		int n = 0;

		for (; n < CELLS && at < a->end; n++) {
			uint64_t end = at + cell < a->end ? at + cell : a->end;
			cells[n] = look_at(s, a, &from, at, end, a->there);
			all_gone &= cells[n] == GONE;
			at = end;
		}
		if (all_gone && line > a->start && at < a->end) {
			skipped = true; /* lines of nothing are left out */
			continue;
		}
		if (skipped)
			fprintf(out, "  %16s  ...\n", "");
		skipped = false;
		fprintf(out, "  %016" PRIx64 " |", line);
		map_line(s, out, cells, n);
	}
}

static void map(const struct pg_heap_show *s, FILE *out)
{
	const struct pg_heap_picture *p = s->p;
	uint32_t most = s->top ? s->top : p->area_count, shown = 0;

	heading(s, out, "memory map", "");
	fputs("  ", out);
	for (int i = 0; i < CELL_KINDS; i++) {
		if (s->colour)
			fprintf(out, "%s%c\033[0m", kinds[i].colour, kinds[i].letter);
		else
			fprintf(out, "%c", kinds[i].letter == ' ' ? '_' : kinds[i].letter);
		fprintf(out, " %s%s", kinds[i].what, i + 1 < CELL_KINDS ? "  " : "\n");
	}
	for (uint32_t i = 0; i < p->area_count && shown < most; i++, shown++)
		map_area(s, &p->areas[i], out);
	if (p->area_count > shown)
		fprintf(out, "\n  and %u more areas: --top 0 shows all\n", p->area_count - shown);
}

/* --- lists ------------------------------------------------------------------------------------------------------- */

static void lists(const struct pg_heap_show *s, FILE *out)
{
	static const char *const head[] = {"chunks", "bytes", "list"};
	const struct pg_heap_picture *p = s->p;
	uint32_t most = s->top ? s->top : p->list_count;
	struct pg_text_table t;

	if (p->list_count == 0)
		return;
	heading(s, out, "free lists", "in the order in which the allocator would take them");
	pg_table_init(&t, 3, TABLE);
	pg_table_add(&t, head);
	for (uint32_t i = 0; i < p->list_count && i < most; i++) {
		const struct pg_heap_list *l = &p->lists[i];
		char a[PG_FORMAT_BYTES], b[PG_FORMAT_BYTES], line[256];
		const char *cells[3] = {count(l->count, a), count(l->bytes, b), line};
		int n = snprintf(line, sizeof line, "%s:", l->name);
		unsigned links = 0;

		for (uint32_t c = l->first; c != PG_HEAP_NONE && links < LINKS;
			c = p->chunks[c].next, links++)
			n += snprintf(line + n, sizeof line - (size_t)n, " %s0x%" PRIx64,
				links ? "-> " : "", p->chunks[c].block);
		if (l->count > links)
			snprintf(line + n, sizeof line - (size_t)n, " ...");
		pg_table_add(&t, cells);
	}
	pg_table_write(&t, out);
	if (p->list_count > most)
		fprintf(out, "  and %u more: --top 0 shows all\n", p->list_count - most);
}

/* --- the timeline ------------------------------------------------------------------------------------------------- */

struct row {
	const char *name;
	double (*value)(const struct pg_heap_sample *s);
	bool is_share;
};

static double live(const struct pg_heap_sample *s)
{
	return (double)s->live_bytes;
}

static double whole(const struct pg_heap_sample *s)
{
	return (double)s->heap_bytes;
}

static double resident(const struct pg_heap_sample *s)
{
	return (double)(s->resident_pages * PG_PAGE_SIZE);
}

static double idle(const struct pg_heap_sample *s)
{
	return (double)(s->idle_pages * PG_PAGE_SIZE);
}

static double internal(const struct pg_heap_sample *s)
{
	return s->known_usable ? 1 - (double)s->known_requested / (double)s->known_usable : 0;
}

static double external(const struct pg_heap_sample *s)
{
	return s->hole_bytes ? 1 - (double)s->largest_hole / (double)s->hole_bytes : 0;
}

static void timeline(const struct pg_heap_show *s, FILE *out)
{
	static const struct row rows[] = {{"live bytes", live, false}, {"heap", whole, false},
		{"in memory", resident, false}, {"of it idle", idle, false},
		{"internal fragm.", internal, true}, {"external fragm.", external, true}};
	static const char levels[] = " .:-=+*#";
	const struct pg_heap_picture *p = s->p;
	char a[PG_FORMAT_BYTES], b[PG_FORMAT_BYTES];

	if (p->sample_count < 2)
		return;
	uint64_t end = p->samples[p->sample_count - 1].calls, begin = p->samples[0].calls;
	snprintf(a, sizeof a, "calls %s to ", count(begin, b));
	strncat(a, count(end, b), sizeof a - strlen(a) - 1);
	heading(s, out, "over time", a);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		double most = 0;
		uint32_t k = 0;
		for (uint32_t j = 0; j < p->sample_count; j++) {
			double v = rows[i].value(&p->samples[j]);
			most = v > most ? v : most;
		}
		fprintf(out, "  %-16s |", rows[i].name);
		for (int c = 0; c < CELLS; c++) {
			uint64_t to = begin + (end - begin) * (uint64_t)(c + 1) / CELLS;
			while (k + 1 < p->sample_count && p->samples[k + 1].calls <= to)
				k++;
			double v = rows[i].value(&p->samples[k]);
			fputc(levels[most > 0 ? (int)(v / most * 6.999 + (v > 0)) : 0], out);
		}
		fprintf(out, "| most %s\n",
			rows[i].is_share ? share(most, a) : size((uint64_t)most, a));
	}
}

/* --- sites ----------------------------------------------------------------------------------------------------------- */

static int by_pages(const void *va, const void *vb)
{
	const struct pg_heap_site *a = *(const struct pg_heap_site *const *)va,
				  *b = *(const struct pg_heap_site *const *)vb;

	if (a->resident_pages != b->resident_pages)
		return a->resident_pages < b->resident_pages ? 1 : -1;
	return (a > b) - (a < b);
}

static void sites(const struct pg_heap_show *s, FILE *out)
{
	static const char *const head[] = {
		"live bytes", "blocks", "pages", "alone", "most bytes", "calls", "who asked"};
	const struct pg_heap_picture *p = s->p;
	const struct pg_heap_site **order = calloc((size_t)p->site_count + 1, sizeof *order);
	uint32_t n = 0, most;

	for (uint32_t i = 0; order && i < p->site_count; i++) {
		if (p->sites[i].live_blocks)
			order[n++] = &p->sites[i];
	}
	most = s->top && s->top < n ? s->top : n;
	for (int round = 0; round < 2 && n; round++) {
		struct pg_text_table t;

		if (round == 1) {
			qsort(order, n, sizeof *order, by_pages);
			bool same = true;
			for (uint32_t i = 0; i < most; i++)
				same &= i == 0 || order[i - 1] < order[i];
			if (same && n == most)
				break; /* it would be the same table */
		}
		heading(s, out, round ? "who holds pages" : "who asked for what is live",
			round ? "pages in memory with a block of theirs; alone: with no other's"
			      : "");
		pg_table_init(&t, 7, TABLE);
		pg_table_add(&t, head);
		for (uint32_t i = 0; i < most; i++) {
			char text[6][PG_FORMAT_BYTES], name[WHO];
			const struct pg_heap_site *w = order[i];
			const char *cells[7] = {count(w->live_bytes, text[0]),
				count(w->live_blocks, text[1]), count(w->resident_pages, text[2]),
				count(w->alone_pages, text[3]), count(w->peak_bytes, text[4]),
				count(w->calls, text[5]), name};
			site_text(w, name, sizeof name);
			pg_table_add(&t, cells);
		}
		pg_table_write(&t, out);
		if (n > most)
			fprintf(out, "  and %u more: --top 0 shows all\n", n - most);
	}
	free(order);
}

/* --- blocks --------------------------------------------------------------------------------------------------------- */

static void blocks(const struct pg_heap_show *s, FILE *out)
{
	static const char *const head[] = {
		"block", "chunk", "usable", "asked for", "state", "page", "call", "where"};
	const struct pg_heap_picture *p = s->p;

	if (!s->blocks)
		return;
	heading(s, out, "blocks",
		"by address; page: of its first byte, counted from the area's; ' not in memory");
	for (uint32_t i = 0; i < p->area_count; i++) {
		const struct pg_heap_area *a = &p->areas[i];
		struct pg_text_table t;

		fprintf(out, "\n  %s\n", a->name);
		pg_table_init(&t, 8, TABLE);
		pg_table_add(&t, head);
		for (uint32_t k = a->first; k < a->first + a->count; k++) {
			const struct pg_heap_chunk *c = &p->chunks[k];
			char text[6][PG_FORMAT_BYTES], where[WHO] = "";
			const char *cells[8] = {text[0], count(c->size, text[1]),
				count(c->usable, text[2]), "-", pg_heap_state_names[c->state],
				text[4], "-", where};
			uint64_t page =
				((c->address & ~PG_PAGE_MASK) - (a->start & ~PG_PAGE_MASK)) >>
				PG_PAGE_SHIFT;

			snprintf(text[0], sizeof text[0], "0x%" PRIx64, c->block);
			snprintf(text[4], sizeof text[4], "%" PRIu64 "%s", page,
				a->there && a->there[page] ? "" : "'");
			if (c->requested != PG_HEAP_UNKNOWN)
				cells[3] = count(c->requested, text[3]);
			if (c->call)
				cells[6] = count(c->call, text[5]);
			if (c->site != PG_HEAP_NONE)
				site_text(&p->sites[c->site], where, sizeof where);
			else if (c->list != PG_HEAP_NONE)
				snprintf(where, sizeof where, "%s%s", p->lists[c->list].name,
					c->next == PG_HEAP_NONE ? ", the last" : "");
			if (c->list != PG_HEAP_NONE && c->next != PG_HEAP_NONE)
				snprintf(where, sizeof where, "%s -> 0x%" PRIx64,
					p->lists[c->list].name, p->chunks[c->next].block);
			pg_table_add(&t, cells);
		}
		pg_table_write(&t, out);
	}
}

void pg_heap_text(const struct pg_heap_show *s, FILE *out)
{
	figures(s, out);
	if (s->p->area_count)
		map(s, out);
	lists(s, out);
	timeline(s, out);
	sites(s, out);
	blocks(s, out);
}
