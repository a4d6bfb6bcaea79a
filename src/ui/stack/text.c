/* SPDX-License-Identifier: MIT */
/*
 * ui/stack/text.c: stacks as text.
 *
 * Called by stack.c. Knows what was seen only.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/demangle.h"
#include "trace/location.h"
#include "ui/stack/stack.h"
#include "ui/write/format.h"
#include "ui/write/table.h"

#define WIDE 110

const char *pg_stack_scope_name(
	const struct pg_scope *s, const struct pg_picture_frame *f, char *text, size_t cap)
{
	if (f->f.signal)
		snprintf(text, cap, "<signal handler called>");
	else if (s->function)
		pg_brief_name(s->function, text, cap);
	else if (s->module[0])
		snprintf(text, cap, "%s, no name", pg_symbols_base_name(s->module));
	else
		snprintf(text, cap, "0x%" PRIx64, f->f.pc);
	return text;
}

static void write_place(const struct pg_scope *s, FILE *out)
{
	if (s->source)
		fprintf(out, " (%s:%d)", pg_symbols_base_name(s->source), s->line);
	else if (s->module[0])
		fprintf(out, " (%s)", pg_symbols_base_name(s->module));
}

static void write_variable(const struct pg_variable *v, FILE *out)
{
	fprintf(out, "        %s %s = %s", v->argument ? "argument" : "local   ", v->name,
		v->value);
	char type[160];

	fprintf(out, "  (%s", pg_brief_name(v->type, type, sizeof type));
	if (v->at)
		fprintf(out, " at 0x%" PRIx64, v->at);
	fputs(")\n", out);
}

static void write_frame(const struct pg_picture *t, size_t i, FILE *out)
{
	const struct pg_picture_frame *f = &t->frames[i];
	char name[160], size[PG_FORMAT_BYTES];

	for (size_t k = 0; k < f->scope_count; k++) {
		const struct pg_scope *s = &f->scopes[k];

		if (k == 0)
			fprintf(out, "  #%-3zu ", f->level);
		else
			fputs("       ", out);
		fputs(pg_stack_scope_name(s, f, name, sizeof name), out);
		if (!s->inlined && s->function && !f->f.signal)
			fprintf(out, "+0x%" PRIx64, s->offset);
		write_place(s, out);
		if (s->inlined)
			fputs(", inlined into", out);
		fputc('\n', out);
		if (k + 1 == f->scope_count && f->f.cfa > f->f.regs[PG_DWARF_RSP])
			fprintf(out, "        frame 0x%" PRIx64 " .. 0x%" PRIx64 ", %s",
				f->f.regs[PG_DWARF_RSP], f->f.cfa,
				pg_format_size(f->f.cfa - f->f.regs[PG_DWARF_RSP], size));
		else if (k + 1 == f->scope_count)
			fprintf(out, "        frame from 0x%" PRIx64, f->f.regs[PG_DWARF_RSP]);
		if (k + 1 == f->scope_count) {
			if (f->f.return_at)
				fprintf(out, "; return address 0x%" PRIx64 " at 0x%" PRIx64,
					f->return_address, f->f.return_at);
			if (f->f.saved_rbp_at)
				fprintf(out, "; saved rbp 0x%" PRIx64 " at 0x%" PRIx64,
					f->saved_rbp, f->f.saved_rbp_at);
			if (f->f.by == PG_UNWIND_BASE)
				fputs("; caller by the base pointer", out);
			if (f->f.by == PG_UNWIND_CALLED)
				fputs("; no code there", out);
			fputc('\n', out);
		}
		for (size_t v = 0; v < s->count; v++)
			write_variable(&s->variables[v], out);
	}
	if (f->f.by == PG_UNWIND_LOST)
		fputs("       its caller is not to be found\n", out);
}

static void write_pages(const struct pg_picture *t, FILE *out)
{
	static const char marks[] = {[PG_PICTURE_UNTOUCHED] = '.',
		[PG_PICTURE_RESIDENT] = '#',
		[PG_PICTURE_SWAPPED] = 's'};
	size_t shown = t->page_count < 64 ? t->page_count : 64;

	fprintf(out, "  pages from the stack pointer's up: %zu of %zu in memory", t->resident,
		t->page_count);
	if (t->swapped)
		fprintf(out, ", %zu swapped out", t->swapped);
	fputs("  [", out);
	for (size_t i = 0; i < shown; i++)
		fputc(marks[t->pages[i]], out);
	fprintf(out, "%s]\n", shown < t->page_count ? "..." : "");
	if (t->resident_below)
		fprintf(out, "  below it %zu page%s in memory still: calls that returned left %s\n",
			t->resident_below, t->resident_below == 1 ? " is" : "s are",
			t->resident_below == 1 ? "it" : "them");
}

static void write_mapping(const struct pg_picture *t, FILE *out)
{
	char size[PG_FORMAT_BYTES];

	if (t->high <= t->low) {
		fprintf(out, "  the stack pointer 0x%" PRIx64 " is in no mapping\n", t->sp);
		return;
	}
	fprintf(out, "  mapping 0x%" PRIx64 " .. 0x%" PRIx64 ", %s%s", t->low, t->high,
		pg_format_size(t->high - t->low, size),
		t->alternate ? ", with the alternate signal stack" : "");
	if (t->grows)
		fprintf(out, "; may grow down to 0x%" PRIx64 ", %s in all", t->floor,
			pg_format_size(t->high - t->floor, size));
	if (t->guard_high > t->guard_low)
		fprintf(out, "; guard 0x%" PRIx64 " .. 0x%" PRIx64 ", %s", t->guard_low,
			t->guard_high, pg_format_size(t->guard_high - t->guard_low, size));
	else
		fputs("; no guard below it", out);
	fputc('\n', out);
	write_pages(t, out);
}

static void write_thread(const struct pg_stack_result *r, const struct pg_picture *t, FILE *out)
{
	char count[PG_FORMAT_BYTES], size[PG_FORMAT_BYTES];
	uint64_t used = 0;

	for (size_t i = t->count; i-- > 0 && !used;)
		if (t->frames[i].f.cfa > t->sp)
			used = t->frames[i].f.cfa - t->sp;
	fprintf(out, "\nthread %d %s%s: %s frames, %s\n", t->tid, t->name,
		t->here ? ", the one at this moment" : "", pg_format_count(t->depth, count),
		pg_format_size(used, size));
	for (size_t i = 0; i < t->count; i++) {
		if (i == t->inner && t->depth > t->count)
			fprintf(out, "  ... %s frames more\n",
				pg_format_count(t->depth - t->count, count));
		write_frame(t, i, out);
	}
	if (t->cycle_names)
		fprintf(out, "  repeated: %s, %s times\n", t->cycle_names,
			pg_format_count(t->cycle.turns, count));
	write_mapping(t, out);
}

/* --- side by side --------------------------------------------------------------------------------- */

#define COLUMN 24
#define COLUMNS 4

static void write_column(const char *text, bool last, FILE *out)
{
	size_t n = strlen(text);

	if (n > COLUMN)
		fprintf(out, "%.*s...", COLUMN - 3, text);
	else
		fprintf(out, last ? "%.*s" : "%-*s", COLUMN, text);
	fputs(last ? "\n" : " | ", out);
}

/* The i-th scope from the outermost of a thread, as its column shows it; false: there is none. */
static bool column_line(const struct pg_picture *t, size_t line, char *text, size_t cap)
{
	char name[160], size[PG_FORMAT_BYTES];
	size_t at = 0;

	for (size_t i = t->count; i-- > 0;) {
		const struct pg_picture_frame *f = &t->frames[i];

		for (size_t k = f->scope_count; k-- > 0;) {
			if (at++ != line)
				continue;
			pg_stack_scope_name(&f->scopes[k], f, name, sizeof name);
			if (f->scopes[k].inlined)
				snprintf(text, cap, "%.17s, inlined", name);
			else if (f->f.cfa > f->f.regs[PG_DWARF_RSP])
				snprintf(text, cap, "%.15s%*s%8s", name,
					(int)(strlen(name) < 15 ? 16 - strlen(name) : 1), "",
					pg_format_size(f->f.cfa - f->f.regs[PG_DWARF_RSP], size));
			else
				snprintf(text, cap, "%.60s", name);
			return true;
		}
		if (i == t->inner && t->depth > t->count && at++ == line) {
			snprintf(text, cap, "... %zu more", t->depth - t->count);
			return true;
		}
	}
	return false;
}

static void write_side_by_side(const struct pg_stack_result *r, FILE *out)
{
	fputs("\nside by side, outermost on top:\n", out);
	for (size_t first = 0; first < r->thread_count; first += COLUMNS) {
		size_t n = r->thread_count - first < COLUMNS ? r->thread_count - first : COLUMNS;
		char text[64];

		fputc('\n', out);
		for (size_t c = 0; c < n; c++) {
			const struct pg_picture *t = &r->threads[first + c];
			snprintf(
				text, sizeof text, "%d %s%s", t->tid, t->name, t->here ? " *" : "");
			write_column(text, c + 1 == n, out);
		}
		for (size_t line = 0;; line++) {
			bool any = false;

			for (size_t c = 0; c < n; c++)
				any |= column_line(&r->threads[first + c], line, text, sizeof text);
			if (!any)
				break;
			for (size_t c = 0; c < n; c++) {
				if (!column_line(&r->threads[first + c], line, text, sizeof text))
					text[0] = '\0';
				write_column(text, c + 1 == n, out);
			}
		}
	}
}

/* --- over time ------------------------------------------------------------------------------------ */

/* "main -> f -> g", what repeats only once: "f -> g (12 times)". */
static void write_chain(const struct pg_call_tree *t, uint32_t node, FILE *out)
{
	uint32_t depth = pg_call_tree_chain(t, node, NULL, 0), i = 0, column = 4;
	uint32_t *chain = malloc((depth + !depth) * sizeof *chain);

	if (!chain)
		return;
	pg_call_tree_chain(t, node, chain, depth);
	fputs("    ", out);
	while (i < depth) {
		uint32_t length = 1, turns = 1;

		/* the shortest cycle of which there are three turns from here on */
		for (uint32_t l = 1; l <= 8 && turns < 3; l++) {
			uint32_t k = i;
			while (k + l < depth && chain[k] == chain[k + l])
				k++;
			turns = (k - i) / l + 1;
			length = l;
		}
		if (turns < 3)
			length = turns = 1;
		for (uint32_t k = 0; k < length; k++) {
			char name[160];

			pg_brief_name(t->functions[chain[i + k]].name, name, sizeof name);

			if (column > 4 && column + strlen(name) + 4 > WIDE) {
				fputs("\n   ", out);
				column = 4;
			}
			fprintf(out, "%s%s", i + k ? " -> " : "", name);
			column += (uint32_t)strlen(name) + 4;
		}
		if (turns > 1) {
			if (length > 1)
				fprintf(out, " (these %" PRIu32 " %" PRIu32 " times)", length,
					turns);
			else
				fprintf(out, " (%" PRIu32 " times)", turns);
			column += 20;
		}
		i += length * turns;
	}
	fputc('\n', out);
	free(chain);
}

struct order {
	const struct pg_call_function *f;
};

static int by_largest(const void *a, const void *b)
{
	const struct pg_call_function *x = ((const struct order *)a)->f,
				      *y = ((const struct order *)b)->f;

	if (x->bytes_max != y->bytes_max)
		return x->bytes_max < y->bytes_max ? 1 : -1;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return strcmp(x->name, y->name);
}

static void write_functions(const struct pg_stack_result *r, FILE *out)
{
	const struct pg_call_tree *t = &r->calls->tree;
	struct order *rows = calloc(t->function_count + 1, sizeof *rows);
	struct pg_text_table table;
	uint32_t n = 0;

	for (uint32_t i = 0; rows && i < t->function_count; i++)
		if (t->functions[i].calls)
			rows[n++].f = &t->functions[i];
	if (!rows || !n) {
		free(rows);
		return;
	}
	qsort(rows, n, sizeof *rows, by_largest);
	uint32_t shown = r->top && r->top < n ? r->top : n;
	fprintf(out, "\nbytes of stack by function, %" PRIu32 " of %" PRIu32 ":\n\n", shown, n);
	pg_table_init(&table, 6, WIDE);
	pg_table_add(&table, (const char *const[]){"largest frame", "all its frames", "calls",
				     "deepest", "instructions", "function"});
	for (uint32_t i = 0; i < shown; i++) {
		const struct pg_call_function *f = rows[i].f;
		char a[PG_FORMAT_BYTES], b[PG_FORMAT_BYTES], c[PG_FORMAT_BYTES], d[PG_FORMAT_BYTES],
			e[PG_FORMAT_BYTES], g[256], name[160];

		pg_brief_name(f->name, name, sizeof name);
		if (f->path[0] && f->symbol)
			snprintf(g, sizeof g, "%s (%s)", name, pg_symbols_base_name(f->path));
		else
			snprintf(g, sizeof g, "%s", name);
		pg_table_add(&table,
			(const char *const[]){pg_format_count(f->bytes_max, a),
				pg_format_count(f->bytes, b), pg_format_count(f->calls, c),
				pg_format_count(f->depth_max, d),
				r->calls->counted ? pg_format_count(f->instructions, e) : "-", g});
	}
	pg_table_write(&table, out);
	free(rows);
}

static void write_odd(const struct pg_calls *c, FILE *out)
{
	const struct {
		uint64_t n;
		const char *what;
	} odd[] = {{c->tails, "functions were entered by a jump (tail calls)"},
		{c->cut, "calls were left without a return (longjmp, exceptions, the end of a "
			 "context)"},
		{c->strays, "returns led to where nobody had called from"},
		{c->switches, "switches between stacks of one thread"},
		{c->handlers, "signal handlers ran"},
		{c->tree.merged, "calls are counted with their caller: too many different chains"}};
	char count[PG_FORMAT_BYTES];

	for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; i++)
		if (odd[i].n)
			fprintf(out, "  %s %s\n", pg_format_count(odd[i].n, count), odd[i].what);
}

/* Depth over the run as a row of marks, eight heights. */
static void write_line(const struct pg_calls *c, const struct pg_calls_thread *t, FILE *out)
{
	static const char *const marks[] = {" ", "\u2581", "\u2582", "\u2583", "\u2584", "\u2585",
		"\u2586", "\u2587", "\u2588"};
	const unsigned wide = 64;
	uint64_t last = 0;

	if (!t->bytes_max || !t->line.width)
		return;
	fputs("    [", out);
	for (unsigned i = 0; i < wide; i++) {
		uint64_t per = c->events / t->line.width + 1, high = 0;
		unsigned from = (unsigned)(i * per / wide), to = (unsigned)((i + 1) * per / wide);
		bool any = false;

		for (unsigned k = from; k < (to > from ? to : from + 1) && k < t->line.count; k++)
			if (t->line.points[k].set) {
				any = true;
				if (t->line.points[k].bytes_high > high)
					high = t->line.points[k].bytes_high;
			}
		if (any)
			last = high;
		fputs(marks[(last * 8 + t->bytes_max - 1) / t->bytes_max], out);
	}
	fputs("]\n", out);
}

static void write_over_time(const struct pg_stack_result *r, FILE *out)
{
	const struct pg_calls *c = r->calls;
	char a[PG_FORMAT_BYTES], b[PG_FORMAT_BYTES], d[PG_FORMAT_BYTES];

	fprintf(out, "\nover time: %s calls, %s returns, from the program's entry point on\n",
		pg_format_count(c->calls, a), pg_format_count(c->returns, b));
	write_odd(c, out);
	for (unsigned i = 0; i < c->thread_count; i++) {
		const struct pg_calls_thread *t = c->threads[i];

		fprintf(out, "\n  thread %d: %s calls, at most %s on its stack, ", t->tid,
			pg_format_count(t->calls, a), pg_format_count(t->depth_max, b));
		fprintf(out, "at most %s bytes of stack\n", pg_format_count(t->bytes_max, d));
		write_line(c, t, out);
		fputs("  its deepest chain:\n", out);
		write_chain(&c->tree, t->bytes_max_node, out);
		if (t->depth_max_node != t->bytes_max_node) {
			fputs("  the chain with the most calls:\n", out);
			write_chain(&c->tree, t->depth_max_node, out);
		}
	}
	write_functions(r, out);
}

void pg_stack_text(const struct pg_stack_result *r, FILE *out)
{
	char text[PG_FORMAT_BYTES];

	if (r->overflowed) {
		if (r->overflow)
			fprintf(out, "\nstack overflow: %s\n", r->overflow);
		else
			fprintf(out, "\nstack overflow, %s frames: nothing repeats\n",
				pg_format_count(r->overflow_depth, text));
	}
	if (r->taken) {
		fprintf(out, "\nstacks of %s %s", r->title, r->moment);
		if (r->instructions)
			fprintf(out, " (the thread has executed %s instructions)",
				pg_format_count(r->instructions, text));
		fputc('\n', out);
		if (r->missed)
			fprintf(out,
				"a deeper moment, %s bytes, was left by a jump and cannot be "
				"shown\n",
				pg_format_count(r->missed, text));
		for (size_t i = 0; i < r->thread_count; i++)
			write_thread(r, &r->threads[i], out);
		if (r->threads_left_out)
			fprintf(out, "\n%zu threads more are not shown\n", r->threads_left_out);
		if (r->thread_count > 1)
			write_side_by_side(r, out);
	}
	write_over_time(r, out);
}
