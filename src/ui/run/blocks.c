/* SPDX-License-Identifier: MIT */
/*
 * ui/run/blocks.c: the event log of a partition machine, and what the summary says of such a machine.
 *
 * Called by ui/run/run.c, ui/run/summary.c and ui/run/json.c. Owns the rows of a log. What a machine of blocks has not (page faults, a TLB, a page table) is
 * not printed as 0: these sections are not there.
 */
#include "ui/run/blocks.h"

#include <stdlib.h>

#include "ui/run/report.h"
#include "ui/write/format.h"
#include "ui/write/json.h"

/* ---- the log */

void pg_block_log_add(void *ctx, const struct pg_partition_event *e)
{
	struct pg_block_log *l = ctx;
	size_t n = l->count;
	struct pg_block_row *row;

	l->counts[e->kind]++;
	if ((n & (n - 1)) == 0) { /* room doubles at each power of two */
		void *more = realloc(l->rows, (n ? 2 * n : 1) * sizeof *l->rows);
		if (!more) {
			l->lost++;
			return;
		}
		l->rows = more;
	}
	row = &l->rows[l->count++];
	row->e = *e;
	row->e.name = NULL;
	snprintf(row->name, sizeof row->name, "%s", e->name ? e->name : "");
}

void pg_block_log_free(struct pg_block_log *l)
{
	free(l->rows);
	*l = (struct pg_block_log){0};
}

static bool is_a_wish(enum pg_block_event_kind k)
{
	return k == PG_BLOCK_REFUSE || k == PG_BLOCK_WAIT;
}

static void write_event(struct pg_json *j, const struct pg_block_row *row)
{
	const struct pg_partition_event *e = &row->e;
	bool placed =
		!is_a_wish(e->kind) && e->kind != PG_BLOCK_FREE && e->kind != PG_BLOCK_SWAP_OUT;

	pg_json_open(j, NULL, '{');
	pg_json_fraction(j, "seconds", (double)e->ns / 1e9);
	pg_json_string(j, "event", pg_block_event_names[e->kind]);
	pg_json_number_if(j, "pid", (uint64_t)e->pid, e->pid > 0);
	pg_json_string(j, "process", row->name);
	pg_json_number_if(j, "base", e->base, placed);
	pg_json_number(j, "bytes", e->kind == PG_BLOCK_FREE ? e->was_bytes : e->bytes);
	pg_json_number_if(j, "was_base", e->was_base, e->was_bytes > 0);
	pg_json_number_if(j, "was_bytes", e->was_bytes, e->was_bytes > 0);
	pg_json_number(j, "copied_bytes", e->copied_bytes);
	if (e->kind == PG_BLOCK_LIMIT)
		pg_json_address(j, "address", e->address);
	pg_json_number(j, "free_bytes", e->free_bytes);
	pg_json_number(j, "largest_hole_bytes", e->largest_hole_bytes);
	pg_json_number(j, "blocks", e->blocks);
	pg_json_number(j, "holes", e->holes);
	pg_json_close(j, '}');
}

void pg_block_log_write(const struct pg_block_log *l, const struct pg_options *o, FILE *out)
{
	struct pg_json j = {.out = out, .first = true};

	pg_json_open(&j, NULL, '{');
	pg_json_number(&j, "format", 1);
	pg_json_number(&j, "memory_bytes", o->memory_bytes);
	pg_json_string(&j, "fit", pg_partition_fit_names[o->fit]);
	pg_json_number(&j, "events_lost", l->lost);
	pg_json_open(&j, "events", '[');
	for (size_t i = 0; i < l->count; i++)
		write_event(&j, &l->rows[i]);
	pg_json_close(&j, ']');
	pg_json_end(&j);
}

/* ---- the report */

static uint64_t used_peak(const struct pg_report *r)
{
	return r->frames.used_peak * PG_PAGE_SIZE;
}

static uint64_t largest_block(const struct pg_report *r)
{
	uint64_t most = 0;

	for (size_t i = 0; i < r->blocks.count; i++) {
		const struct pg_partition_event *e = &r->blocks.rows[i].e;
		if (!is_a_wish(e->kind) && e->bytes > most)
			most = e->bytes;
	}
	return most;
}

static uint64_t copied(const struct pg_report *r, enum pg_block_event_kind kind)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < r->blocks.count; i++)
		if (r->blocks.rows[i].e.kind == kind)
			sum += r->blocks.rows[i].e.copied_bytes;
	return sum;
}

static void row(FILE *out, const char *label, const char *value, const char *note)
{
	fprintf(out, "  %-22s%16s%s%s\n", label, value, note[0] ? "  " : "", note);
}

static void events_row(
	const struct pg_report *r, FILE *out, enum pg_block_event_kind kind, const char *label)
{
	uint64_t n = r->blocks.counts[kind], bytes = copied(r, kind);
	char value[PG_FORMAT_BYTES], size[PG_FORMAT_BYTES], note[2 * PG_FORMAT_BYTES] = "";

	if (!n)
		return;
	if (bytes)
		snprintf(note, sizeof note, "%s moved", pg_format_size(bytes, size));
	row(out, label, pg_format_count(n, value), note);
}

static void heading(FILE *out, const char *text, const char *note, bool colour)
{
	fprintf(out, "\n%s%s%s%s%s\n", colour ? "\033[1m" : "", text, colour ? "\033[0m" : "",
		note[0] ? "  " : "", note);
}

static void write_memory(const struct pg_report *r, FILE *out, bool colour)
{
	static const struct {
		enum pg_block_event_kind kind;
		const char *label;
	} kinds[] = {
		{PG_BLOCK_FORK, "forked"},
		{PG_BLOCK_GROW, "grown in place"},
		{PG_BLOCK_MIGRATE, "grown by migration"},
		{PG_BLOCK_MOVE, "moved by compaction"},
		{PG_BLOCK_SWAP_OUT, "swapped out"},
		{PG_BLOCK_SWAP_IN, "swapped in"},
		{PG_BLOCK_WAIT, "waited"},
		{PG_BLOCK_REFUSE, "refused"},
	};
	uint64_t memory = r->options->memory_bytes;
	char value[PG_FORMAT_BYTES], share[PG_FORMAT_BYTES], note[2 * PG_FORMAT_BYTES];

	snprintf(note, sizeof note, "contiguous blocks, %s-fit",
		pg_partition_fit_names[r->options->fit]);
	heading(out, "memory", note, colour);
	snprintf(note, sizeof note, "%s of the memory",
		pg_format_share(largest_block(r), memory, share));
	row(out, "largest block", pg_format_size(largest_block(r), value), note);
	snprintf(note, sizeof note, "%s of the memory",
		pg_format_share(used_peak(r), memory, share));
	row(out, "all, at the peak", pg_format_size(used_peak(r), value), note);
	row(out, "blocks placed", pg_format_count(r->blocks.counts[PG_BLOCK_PLACE], value), "");
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		events_row(r, out, kinds[i].kind, kinds[i].label);
}

/* One for each access, however many pages it lies in. */
static uint64_t data_checks(const struct pg_report *r)
{
	return r->stats.cpu.data_lookups - r->stats.cpu.page_crossings;
}

static void write_translation(const struct pg_report *r, FILE *out, bool colour)
{
	const struct pg_cpu_stats *c = &r->stats.cpu;
	char value[PG_FORMAT_BYTES];

	heading(out, "address translation", "base and limit: no page table, no TLB, no walk",
		colour);
	if (c->has_tlb) {
		row(out, "checks", pg_format_count(data_checks(r) + c->fetch_lookups, value), "");
		row(out, "  data", pg_format_count(data_checks(r), value), "one an access");
		row(out, "  fetches", pg_format_count(c->fetch_lookups, value),
			"one for each run of instructions");
	} else {
		fputs("  checks are made by the host in fast mode, and not counted\n", out);
	}
	row(out, "beyond the limit", pg_format_count(r->stats.space.faults_refused, value),
		r->stats.space.faults_refused ? "traps; and addresses that system calls refused"
					      : "");
}

void pg_blocks_summary(const struct pg_report *r, FILE *out, bool colour)
{
	write_memory(r, out, colour);
	write_translation(r, out, colour);
}

void pg_blocks_json(const struct pg_report *r, struct pg_json *j)
{
	const struct pg_cpu_stats *c = &r->stats.cpu;

	if (!r->options->base_limit) {
		pg_json_string(j, "partition", NULL);
		return;
	}
	pg_json_open(j, "partition", '{');
	pg_json_string(j, "fit", pg_partition_fit_names[r->options->fit]);
	pg_json_number(j, "largest_block_bytes", largest_block(r));
	pg_json_number(j, "used_peak_bytes", used_peak(r));
	for (int k = 0; k < PG_BLOCK_EVENTS; k++)
		pg_json_number(j, pg_block_event_names[k], r->blocks.counts[k]);
	pg_json_number_if(j, "data_checks", data_checks(r), c->has_tlb);
	pg_json_number_if(j, "fetch_checks", c->fetch_lookups, c->has_tlb);
	pg_json_number(j, "beyond_limit", r->stats.space.faults_refused);
	pg_json_close(j, '}');
}
