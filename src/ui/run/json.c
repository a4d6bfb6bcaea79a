/* SPDX-License-Identifier: MIT */
/*
 * ui/run/json.c: every figure of a run as one JSON object (RFC 8259); docs/json.md is its schema.
 *
 * Called by ui/run/run.c. Reads struct pg_report. A figure that the mode does not have is null.
 *
 * Invariants:
 *   J1 what is written is well-formed whatever bytes a name holds: bytes that are not UTF-8 become
 * U+FFFD. J2 the same keys are there in every run.
 */
#include <inttypes.h>
#include <string.h>

#include "trace/faultlog.h"
#include "ui/run/report.h"
#include "ui/write/format.h"
#include "ui/write/json.h"

static const char *const kind_keys[PG_FAULT_KINDS] = {
	[PG_FAULT_SOFT] = "soft",
	[PG_FAULT_ZERO_READ] = "zero_read",
	[PG_FAULT_ZERO_FILL] = "zero_fill",
	[PG_FAULT_FILE_CACHE] = "file_cache",
	[PG_FAULT_FILE_DISK] = "file_disk",
	[PG_FAULT_COPY] = "copy",
	[PG_FAULT_SWAP_IN] = "swap_in",
};

static void write_machine(struct json *j, const struct pg_report *r)
{
	const struct pg_options *o = r->options;
	const struct {
		const char *key;
		const struct pg_tlb_geometry *g;
	} tlbs[] = {{"l1_data", &o->mmu.l1d}, {"l1_fetch", &o->mmu.l1i}, {"l2", &o->mmu.l2}};

	open_(j, "machine", '{');
	number(j, "memory_bytes", o->memory_bytes);
	number(j, "page_bytes", PG_PAGE_SIZE);
	string(j, "mode", o->fast ? "fast" : "exact");
	string(j, "mmu", o->base_limit ? "base-limit" : "paging");
	string(j, "page_table", o->base_limit ? NULL : o->form->name);
	string(j, "page_table_shape", o->base_limit ? NULL : o->table_text);
	number_if(j, "page_table_levels", o->geometry.levels,
		o->form == &pg_table_radix && !o->base_limit);
	open_(j, "tlb", '{');
	for (int i = 0; i < 3; i++) {
		bool there = !o->fast && !o->base_limit && tlbs[i].g->entries > 0;
		if (!there) {
			string(j, tlbs[i].key, NULL);
			continue;
		}
		open_(j, tlbs[i].key, '{');
		number(j, "entries", tlbs[i].g->entries);
		number(j, "ways", tlbs[i].g->ways);
		close_(j, '}');
	}
	close_(j, '}');
	boolean(j, "aslr", o->aslr);
	number_if(j, "seed", o->seed, o->seeded);
	close_(j, '}');
}

static void write_end(struct json *j, const struct pg_report *r)
{
	const struct pg_linux_end *e = &r->end;
	char name[PG_FORMAT_BYTES], text[1024];

	open_(j, "end", '{');
	number(j, "status", (uint64_t)r->status);
	number_if(j, "exit_code", (uint64_t)e->code, e->exited);
	string(j, "signal", e->exited ? NULL : pg_signal_name(e->signal, name));
	boolean(j, "out_of_memory", e->oom);
	boolean(j, "stopped", e->stopped);
	boolean(j, "stack_overflow", !e->exited && e->fault && e->why == PG_FAULT_STACK);
	string(j, "text", pg_ending_text(r, text, sizeof text) ? text : NULL);
	if (!e->exited && e->fault) {
		address(j, "address", e->addr);
		address(j, "pc", e->pc);
		string(j, "where", r->where);
	} else {
		string(j, "address", NULL);
		string(j, "pc", NULL);
		string(j, "where", NULL);
	}
	close_(j, '}');
}

static void write_memory(struct json *j, const struct pg_report *r)
{
	const struct pg_space_stats *m = &r->stats.space;

	open_(j, "memory", '{');
	number(j, "vsz_bytes", m->vsz_bytes);
	number(j, "vsz_peak_bytes", m->vsz_peak_bytes);
	number(j, "rss_bytes", m->rss_pages * PG_PAGE_SIZE);
	number(j, "rss_peak_bytes", m->rss_peak_pages * PG_PAGE_SIZE);
	number(j, "rss_anon_bytes", m->rss_anon_pages * PG_PAGE_SIZE);
	number(j, "rss_file_bytes", m->rss_file_pages * PG_PAGE_SIZE);
	number(j, "rss_shmem_bytes", m->rss_shmem_pages * PG_PAGE_SIZE);
	number(j, "frames_total", r->frames.total);
	number(j, "frames_used_peak", r->frames.used_peak);
	number(j, "page_table_frames", m->table.node_frames);
	number(j, "page_table_frames_peak", m->table.node_frames_peak);
	number(j, "page_table_entries", m->table.entries);
	number(j, "page_table_shared_frames", m->table.shared_frames);
	number(j, "page_table_shared_frames_peak", m->table.shared_frames_peak);
	number(j, "page_table_displaced", m->table.displaced);
	number(j, "page_table_restored", m->table.restored);
	number(j, "regions", m->regions);
	number(j, "regions_peak", m->regions_peak);
	close_(j, '}');
}

static void write_faults(struct json *j, const struct pg_report *r)
{
	const struct pg_space_stats *m = &r->stats.space;
	uint64_t sum = 0;

	if (r->options->base_limit) {
		string(j, "faults", NULL);
		return;
	}
	open_(j, "faults", '{');
	for (int k = 0; k < PG_FAULT_KINDS; k++)
		sum += m->faults[k];
	number(j, "all", sum);
	for (int k = 0; k < PG_FAULT_KINDS; k++)
		number(j, kind_keys[k], m->faults[k]);
	number(j, "by_kernel", m->faults_by_kernel);
	number(j, "refused", m->faults_refused);
	number(j, "pages_copied", m->copies);
	number(j, "pages_in", m->pages_in);
	number(j, "minor", m->minor);
	number(j, "major", m->major);
	number(j, "not_attributed", r->lost);
	close_(j, '}');
}

static void write_translation(struct json *j, const struct pg_report *r)
{
	const struct pg_cpu_stats *c = &r->stats.cpu;
	const struct pg_mmu_stats *m = &c->mmu;
	const struct pg_mmu_config *g = &r->options->mmu;

	if (!c->has_tlb || r->options->base_limit) {
		string(j, "translation", NULL);
		return;
	}
	open_(j, "translation", '{');
	number(j, "data_lookups", c->data_lookups);
	number(j, "fetch_lookups", c->fetch_lookups);
	number(j, "data_lookups_not_inline", m->slow_lookups[0]);
	number(j, "fetch_lookups_not_inline", m->slow_lookups[1]);
	number(j, "l1_data_misses", m->misses[PG_TLB_L1D]);
	number_if(j, "l1_fetch_misses", m->misses[PG_TLB_L1I], g->l1i.entries > 0);
	number_if(j, "l2_lookups", m->l2_lookups, g->l2.entries > 0);
	number_if(j, "l2_misses", m->misses[PG_TLB_L2], g->l2.entries > 0);
	number(j, "walks", m->walks);
	number(j, "dirty_walks", m->dirty_walks);
	number(j, "walk_references", m->walk_refs);
	number(j, "walk_references_saved", m->walk_refs_saved);
	number(j, "walk_references_p99", pg_mmu_walk_percentile(m, 99));
	open_(j, "walk_lengths", '[');
	for (int i = 0; i < PG_WALK_LENGTHS; i++)
		number(j, NULL, m->walk_lengths[i]);
	close_(j, ']');
	number(j, "faulting_lookups", m->faulting_lookups);
	number(j, "invalidations", m->shootdowns);
	number(j, "page_crossings", c->page_crossings);
	close_(j, '}');
}

static void write_execution(struct json *j, const struct pg_report *r)
{
	const struct pg_linux_stats *l = &r->stats;
	const struct pg_cpu_stats *c = &l->cpu;

	open_(j, "execution", '{');
	number_if(j, "instructions", c->instructions, c->instructions > 0);
	number_if(j, "loads", c->loads, c->has_tlb);
	number_if(j, "stores", c->stores, c->has_tlb);
	number(j, "system_calls", l->system_calls);
	number(j, "signals_handled", l->signals);
	number(j, "programs_loaded", l->execs);
	number(j, "bytes_read", l->bytes_read);
	number(j, "bytes_written", l->bytes_written);
	number(j, "blocks_translated", c->blocks_translated);
	number(j, "translations_dropped", c->translations_dropped);
	number(j, "code_bytes", c->code_bytes);
	number(j, "guest_bytes_translated", c->guest_bytes_translated);
	fraction(j, "wall_seconds", r->wall_s);
	fraction(j, "user_seconds", r->user_s);
	fraction(j, "system_seconds", r->system_s);
	close_(j, '}');
}

/* What left memory and came back, and what that cost. `swap` is null without a store. */
static void write_reclaim(struct json *j, const struct pg_report *r)
{
	const struct pg_reclaim_stats *s = &r->reclaim;
	const struct pg_store_stats *t = &r->store;
	const struct {
		const char *key;
		uint64_t n;
	} rows[] = {{"scanned", s->scanned}, {"picked", s->picked}, {"reclaimed", s->reclaimed},
		{"kept", s->kept}, {"file_dropped", s->file_dropped},
		{"file_written", s->file_written}, {"lazy_dropped", s->lazy_dropped},
		{"file_read_ahead", s->file_ahead}, {"file_read_ahead_used", s->file_ahead_used},
		{"file_read_ahead_wasted", s->file_ahead_wasted}, {"refaults", s->refaults},
		{"refaults_near", s->refaults_near}, {"runs_ahead", s->runs_ahead},
		{"runs_direct", s->runs_direct}, {"write_errors", s->write_errors},
		{"thrashing", s->thrashing}, {"swapped_out_whole", s->swapped_out_whole},
		{"oom_kills", r->stats.oom_kills}, {"low_frames", s->low_frames},
		{"high_frames", s->high_frames}};

	if (r->options->base_limit) {
		string(j, "reclaim", NULL);
		string(j, "swap", NULL);
		return;
	}
	open_(j, "reclaim", '{');
	string(j, "policy", r->policy);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		number(j, rows[i].key, rows[i].n);
	fraction(j, "stalled_some_seconds", (double)s->some_ns / 1e9);
	fraction(j, "stalled_full_seconds", (double)s->full_ns / 1e9);
	close_(j, '}');
	if (!s->slots) {
		string(j, "swap", NULL);
		return;
	}
	open_(j, "swap", '{');
	string(j, "stores", r->options->swap);
	number(j, "out", s->swap_out);
	number(j, "out_calls", s->swap_out_clusters);
	number(j, "dropped", s->swap_dropped);
	number(j, "in", s->swap_in);
	number(j, "in_calls", s->swap_in_clusters);
	number(j, "read_ahead", s->swap_ahead);
	number(j, "read_ahead_used", s->swap_ahead_used);
	number(j, "read_ahead_wasted", s->swap_ahead_wasted);
	number(j, "slots", s->slots);
	number(j, "slots_peak", s->slots_peak);
	number(j, "full", s->swap_full);
	number(j, "read_errors", s->read_errors);
	number(j, "checksum_errors", s->checksum_errors);
	number(j, "bytes_out", t->bytes_out);
	number(j, "bytes_in", t->bytes_in);
	number(j, "same_filled", t->same_filled);
	number(j, "incompressible", t->incompressible);
	number(j, "memory_peak_bytes", t->memory_peak);
	close_(j, '}');
}

static void write_tally(struct json *j, const struct pg_tally *t)
{
	number(j, "faults", t->faults);
	for (int k = 0; k < PG_FAULT_KINDS; k++)
		number(j, kind_keys[k], t->by_kind[k]);
	number(j, "refused", t->refused);
	number(j, "by_kernel", t->by_kernel);
	number(j, "unshared", t->unshared);
	number(j, "pages_in", t->pages_in);
	number(j, "frames", t->frames);
	number(j, "scanned", t->cost.scanned);
	number(j, "reclaimed", t->cost.reclaimed);
	number(j, "pages_swapped_out", t->cost.swap_written);
	number(j, "pages_swapped_in", t->cost.swap_in);
	number(j, "read_ahead", t->cost.ahead);
	number(j, "refaults", t->cost.refaults);
	fraction(j, "stalled_seconds", (double)t->cost.stall_ns / 1e9);
}

static void write_functions(struct json *j, const struct pg_report *r)
{
	open_(j, "functions", '[');
	for (size_t i = 0; i < r->function_count; i++) {
		const struct pg_function_row *f = &r->functions[i];
		open_(j, NULL, '{');
		string(j, "function", f->function);
		string(j, "symbol", f->symbol);
		string(j, "module", f->module);
		address(j, "address", f->address);
		string(j, "source", f->source);
		number_if(j, "line", (uint64_t)f->line, f->source && f->line > 0);
		write_tally(j, &f->tally);
		close_(j, '}');
	}
	close_(j, ']');
}

static void write_places(struct json *j, const struct pg_report *r)
{
	open_(j, "places", '[');
	for (size_t i = 0; i < r->place_count; i++) {
		const struct pg_place_row *p = &r->places[i];
		open_(j, NULL, '{');
		string(j, "name", p->name);
		boolean(j, "file", p->file);
		write_tally(j, &p->tally);
		close_(j, '}');
	}
	close_(j, ']');
}

/* What want of memory cost a process, or all. */
static void write_shortage(struct json *j, const struct pg_space_stats *m)
{
	number(j, "swap_in", m->swap_in);
	number(j, "swap_out", m->swap_out);
	number(j, "swap_read_ahead", m->swap_ahead);
	number(j, "swap_read_ahead_used", m->swap_ahead_used);
	number(j, "swap_read_ahead_wasted", m->swap_ahead_wasted);
	number(j, "file_read_ahead", m->file_ahead);
	number(j, "file_read_ahead_used", m->file_ahead_used);
	number(j, "file_read_ahead_wasted", m->file_ahead_wasted);
	number(j, "refaults", m->refaults);
	number(j, "scanned", m->scanned);
	number(j, "reclaimed", m->reclaimed);
	number(j, "direct_reclaims", m->direct_reclaims);
	fraction(j, "stalled_seconds", (double)m->stall_ns / 1e9);
}

static void write_processes(struct json *j, const struct pg_report *r)
{
	number(j, "processes_ended", r->processes_ended);
	open_(j, "processes", '[');
	for (size_t i = 0; i < r->process_count; i++) {
		const struct pg_process_row *p = &r->processes[i];
		open_(j, NULL, '{');
		number(j, "pid", (uint64_t)p->pid);
		number(j, "parent", (uint64_t)p->parent);
		string(j, "name", p->name);
		number_if(j, "code", (uint64_t)p->status, p->exited);
		number_if(j, "signal", (uint64_t)p->status, !p->exited);
		number_if(j, "instructions", p->instructions, !r->options->fast);
		number(j, "faults", p->faults);
		number(j, "minor", p->minor);
		number(j, "major", p->major);
		number(j, "pages_copied", p->copies);
		number(j, "pages_unshared", p->unshared);
		number(j, "rss_peak_bytes", p->rss_peak_pages * PG_PAGE_SIZE);
		number(j, "system_calls", p->system_calls);
		number(j, "programs", p->execs);
		write_shortage(j, &p->space);
		number(j, "pauses", p->pauses);
		fraction(j, "paused_seconds", p->paused_s);
		fraction(j, "processor_seconds", p->cpu_s);
		fraction(j, "wall_seconds", p->wall_s);
		close_(j, '}');
	}
	close_(j, ']');
}

static void write_regions(struct json *j, const struct pg_report *r)
{
	open_(j, "regions", '[');
	for (size_t i = 0; i < r->region_count; i++) {
		const struct pg_region_row *g = &r->regions[i];
		char rights[5];
		open_(j, NULL, '{');
		address(j, "start", g->start);
		address(j, "end", g->end);
		string(j, "rights", pg_rights_text(g->prot, g->shared, rights));
		number(j, "offset", g->offset);
		number(j, "resident_bytes", g->resident_pages * PG_PAGE_SIZE);
		string(j, "name", g->name);
		close_(j, '}');
	}
	close_(j, ']');
}

void pg_json_write(const struct pg_report *r, FILE *out)
{
	struct json j = json_begin(out, 1);

	string(&j, "program", r->program);
	strings(&j, "arguments", r->options->command);
	write_machine(&j, r);
	write_end(&j, r);
	write_memory(&j, r);
	write_faults(&j, r);
	write_translation(&j, r);
	pg_blocks_json(r, &j);
	write_execution(&j, r);
	write_reclaim(&j, r);
	write_functions(&j, r);
	write_places(&j, r);
	write_processes(&j, r);
	write_regions(&j, r);
	json_end(&j);
}
