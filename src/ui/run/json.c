/* SPDX-License-Identifier: MIT */
/*
 * ui/run/json.c: every figure of a run as one JSON object (RFC 8259); docs/json.md is its schema.
 *
 * Called by ui/run/run.c. Reads struct pg_report. A figure that the mode does not have is null.
 *
 * Invariants:
 *   J2 the same keys are there in every run.
 */

#include "ui/write/json.h"
#include "trace/faultlog.h"
#include "ui/run/report.h"
#include "ui/write/format.h"

static const char *const kind_keys[PG_FAULT_KINDS] = {
	[PG_FAULT_SOFT] = "soft",
	[PG_FAULT_ZERO_READ] = "zero_read",
	[PG_FAULT_ZERO_FILL] = "zero_fill",
	[PG_FAULT_FILE_CACHE] = "file_cache",
	[PG_FAULT_FILE_DISK] = "file_disk",
	[PG_FAULT_COPY] = "copy",
	[PG_FAULT_SWAP_IN] = "swap_in",
};

static void write_machine(struct pg_json *j, const struct pg_report *r)
{
	const struct pg_options *o = r->options;
	const struct {
		const char *key;
		const struct pg_tlb_geometry *g;
	} tlbs[] = {{"l1_data", &o->mmu.l1d}, {"l1_fetch", &o->mmu.l1i}, {"l2", &o->mmu.l2}};

	pg_json_open(j, "machine", '{');
	pg_json_number(j, "memory_bytes", o->memory_bytes);
	pg_json_number(j, "page_bytes", PG_PAGE_SIZE);
	pg_json_string(j, "mode", o->fast ? "fast" : "exact");
	pg_json_string(j, "mmu", o->base_limit ? "base-limit" : "paging");
	pg_json_string(j, "page_table", o->base_limit ? NULL : o->form->name);
	pg_json_string(j, "page_table_shape", o->base_limit ? NULL : o->table_text);
	pg_json_number_if(j, "page_table_levels", o->geometry.levels,
		o->form == &pg_table_radix && !o->base_limit);
	pg_json_open(j, "tlb", '{');
	for (int i = 0; i < 3; i++) {
		bool there = !o->fast && !o->base_limit && tlbs[i].g->entries > 0;
		if (!there) {
			pg_json_string(j, tlbs[i].key, NULL);
			continue;
		}
		pg_json_open(j, tlbs[i].key, '{');
		pg_json_number(j, "entries", tlbs[i].g->entries);
		pg_json_number(j, "ways", tlbs[i].g->ways);
		pg_json_close(j, '}');
	}
	pg_json_close(j, '}');
	pg_json_boolean(j, "aslr", o->aslr);
	pg_json_number_if(j, "seed", o->seed, o->seeded);
	pg_json_close(j, '}');
}

static void write_end(struct pg_json *j, const struct pg_report *r)
{
	const struct pg_linux_end *e = &r->end;
	char name[PG_FORMAT_BYTES], text[1024];

	pg_json_open(j, "end", '{');
	pg_json_number(j, "status", (uint64_t)r->status);
	pg_json_number_if(j, "exit_code", (uint64_t)e->code, e->exited);
	pg_json_string(j, "signal", e->exited ? NULL : pg_signal_name(e->signal, name));
	pg_json_boolean(j, "out_of_memory", e->oom);
	pg_json_boolean(j, "stopped", e->stopped);
	pg_json_boolean(j, "stack_overflow", !e->exited && e->fault && e->why == PG_FAULT_STACK);
	pg_json_string(j, "text", pg_ending_text(r, text, sizeof text) ? text : NULL);
	if (!e->exited && e->fault) {
		pg_json_address(j, "address", e->addr);
		pg_json_address(j, "pc", e->pc);
		pg_json_string(j, "where", r->where);
	} else {
		pg_json_string(j, "address", NULL);
		pg_json_string(j, "pc", NULL);
		pg_json_string(j, "where", NULL);
	}
	pg_json_close(j, '}');
}

static void write_memory(struct pg_json *j, const struct pg_report *r)
{
	const struct pg_space_stats *m = &r->stats.space;

	pg_json_open(j, "memory", '{');
	pg_json_number(j, "vsz_bytes", m->vsz_bytes);
	pg_json_number(j, "vsz_peak_bytes", m->vsz_peak_bytes);
	pg_json_number(j, "rss_bytes", m->rss_pages * PG_PAGE_SIZE);
	pg_json_number(j, "rss_peak_bytes", m->rss_peak_pages * PG_PAGE_SIZE);
	pg_json_number(j, "rss_anon_bytes", m->rss_anon_pages * PG_PAGE_SIZE);
	pg_json_number(j, "rss_file_bytes", m->rss_file_pages * PG_PAGE_SIZE);
	pg_json_number(j, "rss_shmem_bytes", m->rss_shmem_pages * PG_PAGE_SIZE);
	pg_json_number(j, "frames_total", r->frames.total);
	pg_json_number(j, "frames_used_peak", r->frames.used_peak);
	pg_json_number(j, "page_table_frames", m->table.node_frames);
	pg_json_number(j, "page_table_frames_peak", m->table.node_frames_peak);
	pg_json_number(j, "page_table_entries", m->table.entries);
	pg_json_number(j, "page_table_shared_frames", m->table.shared_frames);
	pg_json_number(j, "page_table_shared_frames_peak", m->table.shared_frames_peak);
	pg_json_number(j, "page_table_displaced", m->table.displaced);
	pg_json_number(j, "page_table_restored", m->table.restored);
	pg_json_number(j, "regions", m->regions);
	pg_json_number(j, "regions_peak", m->regions_peak);
	pg_json_close(j, '}');
}

static void write_faults(struct pg_json *j, const struct pg_report *r)
{
	const struct pg_space_stats *m = &r->stats.space;
	uint64_t sum = 0;

	if (r->options->base_limit) {
		pg_json_string(j, "faults", NULL);
		return;
	}
	pg_json_open(j, "faults", '{');
	for (int k = 0; k < PG_FAULT_KINDS; k++)
		sum += m->faults[k];
	pg_json_number(j, "all", sum);
	for (int k = 0; k < PG_FAULT_KINDS; k++)
		pg_json_number(j, kind_keys[k], m->faults[k]);
	pg_json_number(j, "by_kernel", m->faults_by_kernel);
	pg_json_number(j, "refused", m->faults_refused);
	pg_json_number(j, "pages_copied", m->copies);
	pg_json_number(j, "pages_in", m->pages_in);
	pg_json_number(j, "minor", m->minor);
	pg_json_number(j, "major", m->major);
	pg_json_number(j, "not_attributed", r->lost);
	pg_json_close(j, '}');
}

static void write_translation(struct pg_json *j, const struct pg_report *r)
{
	const struct pg_cpu_stats *c = &r->stats.cpu;
	const struct pg_mmu_stats *m = &c->mmu;
	const struct pg_mmu_config *g = &r->options->mmu;

	if (!c->has_tlb || r->options->base_limit) {
		pg_json_string(j, "translation", NULL);
		return;
	}
	pg_json_open(j, "translation", '{');
	pg_json_number(j, "data_lookups", c->data_lookups);
	pg_json_number(j, "fetch_lookups", c->fetch_lookups);
	pg_json_number(j, "data_lookups_not_inline", m->slow_lookups[0]);
	pg_json_number(j, "fetch_lookups_not_inline", m->slow_lookups[1]);
	pg_json_number(j, "l1_data_misses", m->misses[PG_TLB_L1D]);
	pg_json_number_if(j, "l1_fetch_misses", m->misses[PG_TLB_L1I], g->l1i.entries > 0);
	pg_json_number_if(j, "l2_lookups", m->l2_lookups, g->l2.entries > 0);
	pg_json_number_if(j, "l2_misses", m->misses[PG_TLB_L2], g->l2.entries > 0);
	pg_json_number(j, "walks", m->walks);
	pg_json_number(j, "dirty_walks", m->dirty_walks);
	pg_json_number(j, "walk_references", m->walk_refs);
	pg_json_number(j, "walk_references_saved", m->walk_refs_saved);
	pg_json_number(j, "walk_references_p99", pg_mmu_walk_percentile(m, 99));
	pg_json_open(j, "walk_lengths", '[');
	for (int i = 0; i < PG_WALK_LENGTHS; i++)
		pg_json_number(j, NULL, m->walk_lengths[i]);
	pg_json_close(j, ']');
	pg_json_number(j, "faulting_lookups", m->faulting_lookups);
	pg_json_number(j, "invalidations", m->shootdowns);
	pg_json_number(j, "page_crossings", c->page_crossings);
	pg_json_close(j, '}');
}

static void write_execution(struct pg_json *j, const struct pg_report *r)
{
	const struct pg_linux_stats *l = &r->stats;
	const struct pg_cpu_stats *c = &l->cpu;

	pg_json_open(j, "execution", '{');
	pg_json_number_if(j, "instructions", c->instructions, c->instructions > 0);
	pg_json_number_if(j, "loads", c->loads, c->has_tlb);
	pg_json_number_if(j, "stores", c->stores, c->has_tlb);
	pg_json_number(j, "system_calls", l->system_calls);
	pg_json_number(j, "signals_handled", l->signals);
	pg_json_number(j, "programs_loaded", l->execs);
	pg_json_number(j, "bytes_read", l->bytes_read);
	pg_json_number(j, "bytes_written", l->bytes_written);
	pg_json_number(j, "blocks_translated", c->blocks_translated);
	pg_json_number(j, "translations_dropped", c->translations_dropped);
	pg_json_number(j, "code_bytes", c->code_bytes);
	pg_json_number(j, "guest_bytes_translated", c->guest_bytes_translated);
	pg_json_fraction(j, "wall_seconds", r->wall_s);
	pg_json_fraction(j, "user_seconds", r->user_s);
	pg_json_fraction(j, "system_seconds", r->system_s);
	pg_json_close(j, '}');
}

/* What left memory and came back, and what that cost. `swap` is null without a store. */
static void write_reclaim(struct pg_json *j, const struct pg_report *r)
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
		pg_json_string(j, "reclaim", NULL);
		pg_json_string(j, "swap", NULL);
		return;
	}
	pg_json_open(j, "reclaim", '{');
	pg_json_string(j, "policy", r->policy);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		pg_json_number(j, rows[i].key, rows[i].n);
	pg_json_fraction(j, "stalled_some_seconds", (double)s->some_ns / 1e9);
	pg_json_fraction(j, "stalled_full_seconds", (double)s->full_ns / 1e9);
	pg_json_close(j, '}');
	if (!s->slots) {
		pg_json_string(j, "swap", NULL);
		return;
	}
	pg_json_open(j, "swap", '{');
	pg_json_string(j, "stores", r->options->swap);
	pg_json_number(j, "out", s->swap_out);
	pg_json_number(j, "out_calls", s->swap_out_clusters);
	pg_json_number(j, "dropped", s->swap_dropped);
	pg_json_number(j, "in", s->swap_in);
	pg_json_number(j, "in_calls", s->swap_in_clusters);
	pg_json_number(j, "read_ahead", s->swap_ahead);
	pg_json_number(j, "read_ahead_used", s->swap_ahead_used);
	pg_json_number(j, "read_ahead_wasted", s->swap_ahead_wasted);
	pg_json_number(j, "slots", s->slots);
	pg_json_number(j, "slots_peak", s->slots_peak);
	pg_json_number(j, "full", s->swap_full);
	pg_json_number(j, "read_errors", s->read_errors);
	pg_json_number(j, "checksum_errors", s->checksum_errors);
	pg_json_number(j, "bytes_out", t->bytes_out);
	pg_json_number(j, "bytes_in", t->bytes_in);
	pg_json_number(j, "same_filled", t->same_filled);
	pg_json_number(j, "incompressible", t->incompressible);
	pg_json_number(j, "memory_peak_bytes", t->memory_peak);
	pg_json_close(j, '}');
}

static void write_tally(struct pg_json *j, const struct pg_tally *t)
{
	pg_json_number(j, "faults", t->faults);
	for (int k = 0; k < PG_FAULT_KINDS; k++)
		pg_json_number(j, kind_keys[k], t->by_kind[k]);
	pg_json_number(j, "refused", t->refused);
	pg_json_number(j, "by_kernel", t->by_kernel);
	pg_json_number(j, "unshared", t->unshared);
	pg_json_number(j, "pages_in", t->pages_in);
	pg_json_number(j, "frames", t->frames);
	pg_json_number(j, "scanned", t->cost.scanned);
	pg_json_number(j, "reclaimed", t->cost.reclaimed);
	pg_json_number(j, "pages_swapped_out", t->cost.swap_written);
	pg_json_number(j, "pages_swapped_in", t->cost.swap_in);
	pg_json_number(j, "read_ahead", t->cost.ahead);
	pg_json_number(j, "refaults", t->cost.refaults);
	pg_json_fraction(j, "stalled_seconds", (double)t->cost.stall_ns / 1e9);
}

static void write_functions(struct pg_json *j, const struct pg_report *r)
{
	pg_json_open(j, "functions", '[');
	for (size_t i = 0; i < r->function_count; i++) {
		const struct pg_function_row *f = &r->functions[i];
		pg_json_open(j, NULL, '{');
		pg_json_string(j, "function", f->function);
		pg_json_string(j, "symbol", f->symbol);
		pg_json_string(j, "module", f->module);
		pg_json_address(j, "address", f->address);
		pg_json_string(j, "source", f->source);
		pg_json_number_if(j, "line", (uint64_t)f->line, f->source && f->line > 0);
		write_tally(j, &f->tally);
		pg_json_close(j, '}');
	}
	pg_json_close(j, ']');
}

static void write_places(struct pg_json *j, const struct pg_report *r)
{
	pg_json_open(j, "places", '[');
	for (size_t i = 0; i < r->place_count; i++) {
		const struct pg_place_row *p = &r->places[i];
		pg_json_open(j, NULL, '{');
		pg_json_string(j, "name", p->name);
		pg_json_boolean(j, "file", p->file);
		write_tally(j, &p->tally);
		pg_json_close(j, '}');
	}
	pg_json_close(j, ']');
}

/* What want of memory cost a process, or all. */
static void write_shortage(struct pg_json *j, const struct pg_space_stats *m)
{
	pg_json_number(j, "swap_in", m->swap_in);
	pg_json_number(j, "swap_out", m->swap_out);
	pg_json_number(j, "swap_read_ahead", m->swap_ahead);
	pg_json_number(j, "swap_read_ahead_used", m->swap_ahead_used);
	pg_json_number(j, "swap_read_ahead_wasted", m->swap_ahead_wasted);
	pg_json_number(j, "file_read_ahead", m->file_ahead);
	pg_json_number(j, "file_read_ahead_used", m->file_ahead_used);
	pg_json_number(j, "file_read_ahead_wasted", m->file_ahead_wasted);
	pg_json_number(j, "refaults", m->refaults);
	pg_json_number(j, "scanned", m->scanned);
	pg_json_number(j, "reclaimed", m->reclaimed);
	pg_json_number(j, "direct_reclaims", m->direct_reclaims);
	pg_json_fraction(j, "stalled_seconds", (double)m->stall_ns / 1e9);
}

static void write_processes(struct pg_json *j, const struct pg_report *r)
{
	pg_json_number(j, "processes_ended", r->processes_ended);
	pg_json_open(j, "processes", '[');
	for (size_t i = 0; i < r->process_count; i++) {
		const struct pg_process_row *p = &r->processes[i];
		pg_json_open(j, NULL, '{');
		pg_json_number(j, "pid", (uint64_t)p->pid);
		pg_json_number(j, "parent", (uint64_t)p->parent);
		pg_json_string(j, "name", p->name);
		pg_json_number_if(j, "code", (uint64_t)p->status, p->exited);
		pg_json_number_if(j, "signal", (uint64_t)p->status, !p->exited);
		pg_json_number_if(j, "instructions", p->instructions, !r->options->fast);
		pg_json_number(j, "faults", p->faults);
		pg_json_number(j, "minor", p->minor);
		pg_json_number(j, "major", p->major);
		pg_json_number(j, "pages_copied", p->copies);
		pg_json_number(j, "pages_unshared", p->unshared);
		pg_json_number(j, "rss_peak_bytes", p->rss_peak_pages * PG_PAGE_SIZE);
		pg_json_number(j, "system_calls", p->system_calls);
		pg_json_number(j, "programs", p->execs);
		write_shortage(j, &p->space);
		pg_json_number(j, "pauses", p->pauses);
		pg_json_fraction(j, "paused_seconds", p->paused_s);
		pg_json_fraction(j, "processor_seconds", p->cpu_s);
		pg_json_fraction(j, "wall_seconds", p->wall_s);
		pg_json_close(j, '}');
	}
	pg_json_close(j, ']');
}

static void write_regions(struct pg_json *j, const struct pg_report *r)
{
	pg_json_open(j, "regions", '[');
	for (size_t i = 0; i < r->region_count; i++) {
		const struct pg_region_row *g = &r->regions[i];
		char rights[5];
		pg_json_open(j, NULL, '{');
		pg_json_address(j, "start", g->start);
		pg_json_address(j, "end", g->end);
		pg_json_string(j, "rights", pg_rights_text(g->prot, g->shared, rights));
		pg_json_number(j, "offset", g->offset);
		pg_json_number(j, "resident_bytes", g->resident_pages * PG_PAGE_SIZE);
		pg_json_string(j, "name", g->name);
		pg_json_close(j, '}');
	}
	pg_json_close(j, ']');
}

void pg_report_json(const struct pg_report *r, FILE *out)
{
	struct pg_json j = pg_json_begin(out, 1);

	pg_json_string(&j, "program", r->program);
	pg_json_strings(&j, "arguments", r->options->command);
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
	pg_json_end(&j);
}
