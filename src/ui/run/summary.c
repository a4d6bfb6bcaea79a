/* SPDX-License-Identifier: MIT */
/*
 * ui/run/summary.c: what a run cost, as text for people.
 *
 * Called by ui/run/run.c after the guest's end. Reads struct pg_report; every figure in it was counted.
 * What a mode does not count is said in words.
 *
 *   head, memory, page faults, address translation, execution, who caused the faults, what was
 *   touched, who un-shared memory after fork, processes, and the map if it was asked for
 */
#include <inttypes.h>

#include "trace/demangle.h"
#include "trace/faultlog.h"
#include "trace/symbols.h"
#include "ui/run/report.h"
#include "ui/write/format.h"
#include "ui/write/table.h"

#define WIDE 100 /* characters a line */
#define LABEL 22
#define VALUE 16
#define LABEL_WIDE 60 /* of a function */

struct summary {
	const struct pg_report *r;
	FILE *out;
	bool colour;
};

static void heading(const struct summary *s, const char *text, const char *note)
{
	fprintf(s->out, "\n%s%s%s%s%s\n", s->colour ? "\033[1m" : "", text,
		s->colour ? "\033[0m" : "", note[0] ? "  " : "", note);
}

static void row(const struct summary *s, const char *label, const char *value, const char *note)
{
	fprintf(s->out, "  %-*s%*s%s%s\n", LABEL, label, VALUE, value, note[0] ? "  " : "", note);
}

static void count_row(const struct summary *s, const char *label, uint64_t n, const char *note)
{
	char text[PG_FORMAT_BYTES];

	row(s, label, pg_format_count(n, text), note);
}

static void write_head(const struct summary *s)
{
	const struct pg_report *r = s->r;
	const struct pg_linux_end *e = &r->end;
	char size[PG_FORMAT_BYTES], name[PG_FORMAT_BYTES];

	fprintf(s->out, "\n%spagoda: %s%s ", s->colour ? "\033[1m" : "", r->program,
		s->colour ? "\033[0m" : "");
	if (e->exited)
		fprintf(s->out, "ended with status %d", e->code);
	else
		fprintf(s->out, "was killed by %s (status %d)", pg_signal_name(e->signal, name),
			r->status);
	fprintf(s->out, " on a machine of %s%s\n", pg_format_size(r->options->memory_bytes, size),
		r->options->fast ? ", fast mode" : "");
}

static void write_memory(const struct summary *s)
{
	const struct pg_report *r = s->r;
	const struct pg_space_stats *m = &r->stats.space;
	uint64_t memory = r->options->memory_bytes;
	uint64_t rss = m->rss_peak_pages * PG_PAGE_SIZE, used = r->frames.used_peak;
	char value[PG_FORMAT_BYTES], share[PG_FORMAT_BYTES], size[PG_FORMAT_BYTES];
	char note[4 * PG_FORMAT_BYTES];
	uint64_t nodes = m->table.node_frames_peak + m->table.shared_frames_peak;

	heading(s, "memory", "at its peak");
	row(s, "virtual (VSZ)", pg_format_size(m->vsz_peak_bytes, value), "");
	snprintf(note, sizeof note, "%s of the memory", pg_format_share(rss, memory, share));
	row(s, "resident (RSS)", pg_format_size(rss, value), note);
	snprintf(note, sizeof note, "%s; pages, file cache and page table: %s",
		pg_format_share(used, r->frames.total, share),
		pg_format_size(used * PG_PAGE_SIZE, size));
	count_row(s, "frames in use", used, note);
	if (m->table.shared_frames_peak)
		snprintf(note, sizeof note, "%" PRIu64 " frames; one table for the machine", nodes);
	else
		snprintf(note, sizeof note, "%" PRIu64 " node%s, a frame each", nodes,
			nodes == 1 ? "" : "s");
	row(s, "page table", pg_format_size(nodes * PG_PAGE_SIZE, value), note);
}

static void write_faults(const struct summary *s)
{
	static const struct {
		enum pg_fault_kind kind;
		const char *label;
		const char *note;
	} kinds[] = {
		{PG_FAULT_ZERO_READ, "zero page, read", "no frame of their own"},
		{PG_FAULT_ZERO_FILL, "zero fill", "first write: a frame of zeros"},
		{PG_FAULT_FILE_CACHE, "file, from cache", "the page was in a frame already"},
		{PG_FAULT_FILE_DISK, "file, from disk", "the page had to be read"},
		{PG_FAULT_COPY, "copy-on-write", ""},
		{PG_FAULT_SWAP_IN, "swapped in", ""},
		{PG_FAULT_SOFT, "soft", "only the page table had to learn"},
	};
	const struct pg_space_stats *m = &s->r->stats.space;
	uint64_t sum = 0;
	char text[PG_FORMAT_BYTES], note[4 * PG_FORMAT_BYTES];

	for (int k = 0; k < PG_FAULT_KINDS; k++)
		sum += m->faults[k];
	heading(s, "page faults", "");
	snprintf(note, sizeof note, "%s of them by system calls",
		pg_format_count(m->faults_by_kernel, text));
	count_row(s, "all", sum, m->faults_by_kernel ? note : "");
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		uint64_t n = m->faults[kinds[i].kind];
		if (n == 0 && kinds[i].kind == PG_FAULT_SWAP_IN)
			continue; /* a machine without swap need not say so */
		snprintf(note, sizeof note, "%s", kinds[i].note);
		if (kinds[i].kind == PG_FAULT_COPY && m->copies != n)
			snprintf(note, sizeof note,
				"%s pages were copied; the others' pages were read first",
				pg_format_count(m->copies, text));
		count_row(s, kinds[i].label, n, note);
	}
	if (m->faults_refused)
		count_row(s, "refused", m->faults_refused, "they became signals");
	count_row(s, "pages read in", m->pages_in, "");
}

/* "64 entries, 4 ways" */
static const char *tlb_text(const struct pg_tlb_geometry *g, char *text)
{
	snprintf(text, PG_FORMAT_BYTES, "%" PRIu32 " entries, %" PRIu32 " way%s", g->entries,
		g->ways, g->ways == 1 ? "" : "s");
	return text;
}

static void tlb_row(struct pg_text_table *t, uint64_t lookups, uint64_t misses, const char *label)
{
	char a[PG_FORMAT_BYTES], b[PG_FORMAT_BYTES], c[PG_FORMAT_BYTES], d[PG_FORMAT_BYTES];
	uint64_t hits = lookups - misses;
	const char *cells[] = {pg_format_count(lookups, a), pg_format_count(hits, b),
		pg_format_count(misses, c), pg_format_share(hits, lookups, d), label};

	pg_table_add(t, cells);
}

static void write_translation(const struct summary *s)
{
	const struct pg_cpu_stats *c = &s->r->stats.cpu;
	const struct pg_mmu_config *g = &s->r->options->mmu;
	char text[PG_FORMAT_BYTES], note[4 * PG_FORMAT_BYTES];
	struct pg_text_table t;

	heading(s, "address translation", "");
	if (!c->has_tlb) {
		fputs("  fast mode has no TLB and makes no walks: these figures are absent\n",
			s->out);
		return;
	}
	static const char *const head[] = {"lookups", "hits", "misses", "hit rate", "TLB"};
	pg_table_init(&t, 5, WIDE);
	pg_table_add(&t, head);
	const struct pg_mmu_stats *m = &c->mmu;
	if (g->l1i.entries) {
		snprintf(note, sizeof note, "first level, data (%s)", tlb_text(&g->l1d, text));
		tlb_row(&t, c->data_lookups, m->misses[PG_TLB_L1D], note);
		snprintf(note, sizeof note, "first level, fetch (%s)", tlb_text(&g->l1i, text));
		tlb_row(&t, c->fetch_lookups, m->misses[PG_TLB_L1I], note);
	} else {
		snprintf(note, sizeof note, "first level (%s)", tlb_text(&g->l1d, text));
		tlb_row(&t, c->data_lookups + c->fetch_lookups, m->misses[PG_TLB_L1D], note);
	}
	if (g->l2.entries) {
		snprintf(note, sizeof note, "second level (%s)", tlb_text(&g->l2, text));
		tlb_row(&t, m->l2_lookups, m->misses[PG_TLB_L2], note);
	}
	pg_table_write(&t, s->out);

	uint64_t walks = m->walks + m->dirty_walks;
	if (walks)
		snprintf(note, sizeof note, "%s references to page-table entries, %.2f a walk",
			pg_format_count(m->walk_refs, text), (double)m->walk_refs / (double)walks);
	else
		note[0] = '\0';
	count_row(s, "walks", walks, note);
	if (s->r->options->form != &pg_table_radix || m->walk_refs_saved) {
		snprintf(note, sizeof note, "99 %% of the walks make no more than these%s",
			m->walk_refs_saved ? "; walk caches spared the others" : "");
		count_row(s, "  references", pg_mmu_walk_percentile(m, 99), note);
	}
	if (m->dirty_walks)
		count_row(s, "  for a dirty bit", m->dirty_walks,
			"of these: the first write through an entry");
	if (m->faulting_lookups)
		count_row(
			s, "  in vain", m->faulting_lookups, "lookups that ended in a page fault");
	if (m->shootdowns)
		count_row(s, "invalidations", m->shootdowns, "");
	if (c->page_crossings)
		count_row(
			s, "page crossings", c->page_crossings, "accesses that needed two lookups");
}

static void write_execution(const struct summary *s)
{
	const struct pg_report *r = s->r;
	const struct pg_cpu_stats *c = &r->stats.cpu;
	char text[PG_FORMAT_BYTES], note[4 * PG_FORMAT_BYTES] = "";

	heading(s, "execution", "");
	if (c->instructions) {
		if (r->wall_s > 0)
			snprintf(note, sizeof note, "%.1f million a second",
				(double)c->instructions / r->wall_s / 1e6);
		count_row(s, "instructions", c->instructions, note);
	} else {
		fputs("  instructions are not counted in fast mode\n", s->out);
	}
	if (c->has_tlb) {
		count_row(s, "loads", c->loads, "");
		count_row(s, "stores", c->stores, "");
	} else {
		fputs("  loads and stores are not counted in fast mode\n", s->out);
	}
	count_row(s, "system calls", r->stats.system_calls, "");
	snprintf(text, sizeof text, "%.3f s", r->wall_s);
	snprintf(
		note, sizeof note, "processor: %.3f s user, %.3f s system", r->user_s, r->system_s);
	row(s, "time", text, note);
}

/* "3 of 120", when not all are shown. */
static const char *shown(size_t rows, size_t all, const char *what, char *text)
{
	if (rows < all)
		snprintf(text, PG_FORMAT_BYTES, "%zu of %zu %s", rows, all, what);
	else
		text[0] = '\0';
	return text;
}

static size_t row_limit(const struct summary *s, size_t all)
{
	unsigned top = s->r->options->top;
	return top && top < all ? top : all;
}

/* "memcpy (libc.so.6, memcpy.c:42)", the source left out where that would be too long, or "libc.so.6+0x1234". */
static void function_label(const struct pg_function_row *f, char *label, size_t cap)
{
	const char *module = pg_symbols_base_name(f->module);
	int length = LABEL_WIDE + 1;
	char name[160];

	if (!f->function && f->address == 0) {
		snprintf(label, cap, "%s", module); /* [exec]: no instruction did it */
		return;
	}
	if (!f->function) {
		snprintf(label, cap, "%s+0x%" PRIx64, module, f->address);
		return;
	}
	pg_brief_name(f->function, name, sizeof name);
	if (f->source)
		length = snprintf(label, cap, "%s (%s, %s:%d)", name, module,
			pg_symbols_base_name(f->source), f->line);
	if (length > LABEL_WIDE)
		snprintf(label, cap, "%s (%s)", name, module);
}

/* "read ahead: 120, asked for later: 100, gone unasked: 12" */
static void ahead_row(
	const struct summary *s, const char *label, uint64_t n, uint64_t used, uint64_t wasted)
{
	char a[PG_FORMAT_BYTES], b[PG_FORMAT_BYTES], note[4 * PG_FORMAT_BYTES];

	snprintf(note, sizeof note, "%s asked for later, %s dropped unasked",
		pg_format_count(used, a), pg_format_count(wasted, b));
	count_row(s, label, n, note);
}

static void write_swap(const struct summary *s)
{
	const struct pg_reclaim_stats *v = &s->r->reclaim;
	char a[PG_FORMAT_BYTES], b[PG_FORMAT_BYTES], note[4 * PG_FORMAT_BYTES];

	snprintf(note, sizeof note, "pages, in %s writes to %.40s; %s more had a good copy there",
		pg_format_count(v->swap_out_clusters, a), s->r->options->swap,
		pg_format_count(v->swap_dropped, b));
	count_row(s, "swapped out", v->swap_out, note);
	snprintf(note, sizeof note, "pages, in %s reads", pg_format_count(v->swap_in_clusters, a));
	count_row(s, "swapped in", v->swap_in, note);
	ahead_row(s, "  read ahead", v->swap_ahead, v->swap_ahead_used, v->swap_ahead_wasted);
	snprintf(note, sizeof note, "%s of the store", pg_format_share(v->slots_peak, v->slots, a));
	count_row(s, "  slots at the peak", v->slots_peak, note);
	if (v->swap_full)
		count_row(s, "  store full", v->swap_full, "times; private pages stayed");
	if (v->read_errors) {
		snprintf(note, sizeof note,
			"pages lost, %s of them by a wrong checksum; their owners got SIGBUS",
			pg_format_count(v->checksum_errors, a));
		count_row(s, "  read errors", v->read_errors, note);
	}
}

/* What did not fit. Nothing is said when all did. */
static void write_reclaim(const struct summary *s)
{
	const struct pg_reclaim_stats *v = &s->r->reclaim;
	char a[PG_FORMAT_BYTES], note[4 * PG_FORMAT_BYTES], text[PG_FORMAT_BYTES];

	if (!v->reclaimed && !v->runs_direct)
		return;
	snprintf(note, sizeof note, "replacement by %s", s->r->policy);
	heading(s, "memory was short", note);
	snprintf(note, sizeof note, "looks at accessed bits, %.1f for a frame",
		v->reclaimed ? (double)v->scanned / (double)v->reclaimed : 0.0);
	count_row(s, "frames reclaimed", v->reclaimed, "");
	count_row(s, "pages scanned", v->scanned, note);
	if (v->slots)
		write_swap(s);
	snprintf(note, sizeof note, "%s more were written back first",
		pg_format_count(v->file_written, a));
	count_row(s, "file pages dropped", v->file_dropped, v->file_written ? note : "");
	ahead_row(s, "  read ahead", v->file_ahead, v->file_ahead_used, v->file_ahead_wasted);
	if (v->lazy_dropped)
		count_row(s, "given up, dropped", v->lazy_dropped, "madvise(MADV_FREE)");
	snprintf(note, sizeof note, "pages came back; %s would not have gone with twice the memory",
		pg_format_count(v->refaults_near, a));
	count_row(s, "refaults", v->refaults, note);
	if (v->write_errors)
		count_row(s, "write errors", v->write_errors, "these pages stayed");
	count_row(s, "faults that waited", v->runs_direct, "for frames to become free");
	snprintf(text, sizeof text, "%.3f s", (double)v->some_ns / 1e9);
	snprintf(note, sizeof note, "somebody waited for memory; %.3f s everybody",
		(double)v->full_ns / 1e9);
	row(s, "stalled", text, note);
	if (v->thrashing) {
		snprintf(note, sizeof note,
			"times; processes were swapped out whole and waited %s times",
			pg_format_count(v->swapped_out_whole, a));
		count_row(s, "thrashing", v->thrashing, note);
	}
}

/* Something happened to it for want of memory. */
static bool was_short(const struct pg_fault_cost *c)
{
	return c->stall_ns || c->scanned || c->refaults || c->swap_in;
}

static bool waited_more(const struct pg_fault_cost *a, const struct pg_fault_cost *b)
{
	return a->refaults != b->refaults ? a->refaults > b->refaults : a->scanned > b->scanned;
}

/* The functions whose faults brought back most of what had been evicted, by selection: few are shown. */
static void write_waiting_functions(const struct summary *s)
{
	static const char *const head[] = {"waited", "refaults", "swapped in", "read ahead",
		"scanned", "reclaimed", "written", "function"};
	const struct pg_report *r = s->r;
	const struct pg_function_row *last = NULL;
	char text[8][PG_FORMAT_BYTES], label[512];
	struct pg_text_table t;

	heading(s, "who waited for memory",
		"functions whose faults brought back what had gone, and made room");
	pg_table_init(&t, 8, WIDE);
	pg_table_add(&t, head);
	for (size_t n = 0; n < row_limit(s, r->function_count); n++) {
		const struct pg_function_row *best = NULL;

		for (size_t i = 0; i < r->function_count; i++) {
			const struct pg_function_row *f = &r->functions[i];
			const struct pg_fault_cost *c = &f->tally.cost;
			bool after = !last || waited_more(&last->tally.cost, c) ||
				     (!waited_more(c, &last->tally.cost) && f > last);

			if (was_short(c) && after && (!best || waited_more(c, &best->tally.cost)))
				best = f;
		}
		if (!best)
			break;
		last = best;
		const struct pg_fault_cost *c = &best->tally.cost;
		snprintf(text[0], sizeof text[0], "%.1f ms", (double)c->stall_ns / 1e6);
		function_label(best, label, sizeof label);
		const char *cells[] = {text[0], pg_format_count(c->refaults, text[1]),
			pg_format_count(c->swap_in, text[2]), pg_format_count(c->ahead, text[3]),
			pg_format_count(c->scanned, text[4]),
			pg_format_count(c->reclaimed, text[5]),
			pg_format_count(c->swap_written, text[6]), label};
		pg_table_add(&t, cells);
	}
	pg_table_write(&t, s->out);
}

/* The same by process. */
static void write_waiting_processes(const struct summary *s)
{
	static const char *const head[] = {"pid", "waited", "refaults", "swapped in", "out",
		"read ahead", "used", "wasted", "scanned", "paused", "process"};
	const struct pg_report *r = s->r;
	size_t limit = row_limit(s, r->process_count);
	char text[11][PG_FORMAT_BYTES];
	struct pg_text_table t;

	heading(s, "memory by process", "pages; out: of the process's own pages");
	pg_table_init(&t, 11, WIDE);
	pg_table_add(&t, head);
	for (size_t i = r->process_count - limit; i < r->process_count; i++) {
		const struct pg_process_row *p = &r->processes[i];
		const struct pg_space_stats *m = &p->space;
		snprintf(text[0], sizeof text[0], "%d", p->pid);
		snprintf(text[1], sizeof text[1], "%.1f ms", (double)m->stall_ns / 1e6);
		snprintf(text[9], sizeof text[9], "%u, %.1f s", p->pauses, p->paused_s);
		const char *cells[] = {text[0], text[1], pg_format_count(m->refaults, text[2]),
			pg_format_count(m->swap_in, text[3]), pg_format_count(m->swap_out, text[4]),
			pg_format_count(m->swap_ahead + m->file_ahead, text[5]),
			pg_format_count(m->swap_ahead_used + m->file_ahead_used, text[6]),
			pg_format_count(m->swap_ahead_wasted + m->file_ahead_wasted, text[7]),
			pg_format_count(m->scanned, text[8]), p->pauses ? text[9] : "-", p->name};
		pg_table_add(&t, cells);
	}
	pg_table_write(&t, s->out);
}

static void write_functions(const struct summary *s)
{
	static const char *const plain[] = {"faults", "share", "read in", "frames", "function"};
	static const char *const timed[] = {
		"faults", "share", "read in", "frames", "waited", "function"};
	const bool waited =
		s->r->total.cost.stall_ns > 0; /* a machine with room has no such column */
	const struct pg_report *r = s->r;
	size_t limit = row_limit(s, r->function_count);
	char a[PG_FORMAT_BYTES], b[PG_FORMAT_BYTES], c[PG_FORMAT_BYTES], d[PG_FORMAT_BYTES];
	char e[PG_FORMAT_BYTES];
	struct pg_text_table t;

	heading(s, "who caused the faults", shown(limit, r->function_count, "functions", a));
	pg_table_init(&t, waited ? 6 : 5, WIDE);
	pg_table_add(&t, waited ? timed : plain);
	for (size_t i = 0; i < limit; i++) {
		const struct pg_function_row *f = &r->functions[i];
		char label[512];
		function_label(f, label, sizeof label);
		snprintf(e, sizeof e, "%.1f ms", (double)f->tally.cost.stall_ns / 1e6);
		const char *cells[] = {pg_format_count(f->tally.faults, a),
			pg_format_share(f->tally.faults, r->total.faults, b),
			pg_format_count(f->tally.pages_in, c), pg_format_count(f->tally.frames, d),
			waited ? e : label, label};
		pg_table_add(&t, cells);
	}
	pg_table_write(&t, s->out);
}

static bool more_unshared(const struct pg_tally *a, const struct pg_tally *b)
{
	return a->unshared > b->unshared;
}

/* The rows with the most pages un-shared, by selection: few are shown. */
static void write_unsharers(const struct summary *s)
{
	static const char *const head[] = {"pages", "share", "", "function or mapping"};
	const struct pg_report *r = s->r;
	char a[PG_FORMAT_BYTES], b[PG_FORMAT_BYTES], note[3 * PG_FORMAT_BYTES], label[512];
	struct pg_text_table t;

	snprintf(note, sizeof note, "%s pages that fork had shared were written to",
		pg_format_count(r->total.unshared, a));
	heading(s, "who un-shared memory after fork", note);
	pg_table_init(&t, 4, WIDE);
	pg_table_add(&t, head);
	for (int places = 0; places < 2; places++) {
		size_t count = places ? r->place_count : r->function_count;
		const struct pg_tally *last = NULL;
		size_t last_at = 0;

		for (size_t n = 0; n < row_limit(s, count); n++) {
			const struct pg_tally *best = NULL;
			size_t best_at = 0;
			for (size_t i = 0; i < count; i++) {
				const struct pg_tally *k =
					places ? &r->places[i].tally : &r->functions[i].tally;
				bool after = !last || more_unshared(last, k) ||
					     (k->unshared == last->unshared && i > last_at);
				if (k->unshared && after && (!best || more_unshared(k, best))) {
					best = k;
					best_at = i;
				}
			}
			if (!best)
				break;
			last = best;
			last_at = best_at;
			if (places)
				snprintf(label, sizeof label, "%s", r->places[best_at].name);
			else
				function_label(&r->functions[best_at], label, sizeof label);
			const char *cells[] = {pg_format_count(best->unshared, a),
				pg_format_share(best->unshared, r->total.unshared, b),
				places ? "in" : "by", label};
			pg_table_add(&t, cells);
		}
	}
	pg_table_write(&t, s->out);
}

static void write_processes(const struct summary *s)
{
	static const char *const head[] = {"pid", "parent", "status", "RSS peak", "faults",
		"un-shared", "instructions", "time", "process"};
	const struct pg_report *r = s->r;
	size_t limit = row_limit(s, r->process_count);
	char text[10][2 * PG_FORMAT_BYTES], note[PG_FORMAT_BYTES];
	struct pg_text_table t;

	if (limit < r->processes_ended)
		snprintf(note, sizeof note, "the last %zu of %" PRIu64, limit, r->processes_ended);
	else
		snprintf(note, sizeof note, "in the order in which they ended");
	heading(s, "processes", note);
	pg_table_init(&t, 9, WIDE);
	pg_table_add(&t, head);
	for (size_t i = r->process_count - limit; i < r->process_count; i++) {
		const struct pg_process_row *p = &r->processes[i];
		snprintf(text[0], sizeof text[0], "%d", p->pid);
		snprintf(text[1], sizeof text[1], "%d", p->parent);
		if (p->exited)
			snprintf(text[2], sizeof text[2], "%d", p->status);
		else
			snprintf(text[2], sizeof text[2], "%s", pg_signal_name(p->status, text[9]));
		snprintf(text[7], sizeof text[7], "%.3f s", p->wall_s);
		const char *cells[] = {text[0], text[1], text[2],
			pg_format_size(p->rss_peak_pages * PG_PAGE_SIZE, text[3]),
			pg_format_count(p->faults, text[4]), pg_format_count(p->unshared, text[5]),
			r->options->fast ? "-" : pg_format_count(p->instructions, text[6]), text[7],
			p->name};
		pg_table_add(&t, cells);
	}
	pg_table_write(&t, s->out);
}

static void write_places(const struct summary *s)
{
	static const char *const head[] = {"faults", "zero", "fill", "cache", "disk", "copy",
		"soft", "read in", "what was touched"};
	static const enum pg_fault_kind kinds[] = {PG_FAULT_ZERO_READ, PG_FAULT_ZERO_FILL,
		PG_FAULT_FILE_CACHE, PG_FAULT_FILE_DISK, PG_FAULT_COPY, PG_FAULT_SOFT};
	const struct pg_report *r = s->r;
	size_t limit = row_limit(s, r->place_count);
	char text[9][PG_FORMAT_BYTES];
	struct pg_text_table t;

	heading(s, "where", shown(limit, r->place_count, "mappings", text[0]));
	pg_table_init(&t, 9, WIDE);
	pg_table_add(&t, head);
	for (size_t i = 0; i < limit; i++) {
		const struct pg_place_row *p = &r->places[i];
		const char *cells[9];
		cells[0] = pg_format_count(p->tally.faults, text[0]);
		for (int k = 0; k < 6; k++)
			cells[k + 1] = pg_format_count(p->tally.by_kind[kinds[k]], text[k + 1]);
		cells[7] = pg_format_count(p->tally.pages_in, text[7]);
		cells[8] = p->name;
		pg_table_add(&t, cells);
	}
	pg_table_write(&t, s->out);
	if (r->lost)
		fprintf(s->out,
			"  %" PRIu64 " faults could not be attributed: the host is out of memory\n",
			r->lost);
}

/* The regions when the program ended, high to low, as layouts are drawn. */
static void write_map(const struct summary *s)
{
	static const char *const head[] = {"from", "size", "resident", "rights", "region"};
	static const char *const kernel[] = {
		"0x800000000000", "", "", "", "kernel space: no program can reach it"};
	const struct pg_report *r = s->r;
	struct pg_text_table t;

	heading(s, "map", "when it ended, from high addresses to low");
	pg_table_init(&t, 5, WIDE);
	pg_table_add(&t, head);
	pg_table_add(&t, kernel);
	for (size_t i = r->region_count; i-- > 0;) {
		const struct pg_region_row *g = &r->regions[i];
		char from[PG_FORMAT_BYTES], size[PG_FORMAT_BYTES], resident[PG_FORMAT_BYTES],
			rights[5];
		snprintf(from, sizeof from, "0x%012" PRIx64, g->start);
		const char *cells[] = {from, pg_format_size(g->end - g->start, size),
			g->resident_pages
				? pg_format_size(g->resident_pages * PG_PAGE_SIZE, resident)
				: "-",
			pg_rights_text(g->prot, g->shared, rights), g->name};
		pg_table_add(&t, cells);
	}
	pg_table_write(&t, s->out);
}

void pg_summary_write(const struct pg_report *r, FILE *out, bool colour)
{
	const struct summary s = {.r = r, .out = out, .colour = colour};

	write_head(&s);
	if (r->options->base_limit) {
		pg_blocks_summary(r, out, colour);
	} else {
		write_memory(&s);
		write_faults(&s);
		write_translation(&s);
	}
	write_execution(&s);
	if (!r->options->base_limit) {
		write_reclaim(&s);
		if (was_short(&r->total.cost)) {
			if (r->processes_ended > 1)
				write_waiting_processes(&s);
			write_waiting_functions(&s);
		}
	}
	if (r->function_count && !r->options->base_limit)
		write_functions(&s);
	if (r->place_count && !r->options->base_limit)
		write_places(&s);
	if (r->total.unshared)
		write_unsharers(&s);
	if (r->processes_ended > 1)
		write_processes(&s);
	if (r->options->map)
		write_map(&s);
}
