/* SPDX-License-Identifier: MIT */
/*
 * linux/machine/figures.c: figures of several spaces or CPUs as one: sums of what was counted, and the largest peaks.
 *
 * Called by whoever adds up: linux/present.c (the machine), process/ (a process, and what ended ones leave). Owns nothing.
 */
#include "linux/machine/machine.h"

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void pg_linux_add_space(struct pg_space_stats *sum, const struct pg_space_stats *more)
{
	sum->vsz_bytes = more->vsz_bytes;
	sum->rss_pages = more->rss_pages;
	sum->rss_anon_pages = more->rss_anon_pages;
	sum->rss_file_pages = more->rss_file_pages;
	sum->rss_shmem_pages = more->rss_shmem_pages;
	sum->regions = more->regions;
	sum->vsz_peak_bytes = larger(sum->vsz_peak_bytes, more->vsz_peak_bytes);
	sum->rss_peak_pages = larger(sum->rss_peak_pages, more->rss_peak_pages);
	sum->regions_peak = larger(sum->regions_peak, more->regions_peak);
	sum->table.node_frames_peak =
		larger(sum->table.node_frames_peak, more->table.node_frames_peak);
	sum->table.node_frames = more->table.node_frames;
	sum->table.entries = more->table.entries;
	/* One table for the machine, if any: the same in all spaces. */
	sum->table.shared_frames = more->table.shared_frames;
	sum->table.shared_frames_peak =
		larger(sum->table.shared_frames_peak, more->table.shared_frames_peak);
	sum->table.displaced += more->table.displaced;
	sum->table.restored += more->table.restored;
	for (unsigned i = 0; i < PG_FAULT_KINDS; i++)
		sum->faults[i] += more->faults[i];
	sum->faults_by_kernel += more->faults_by_kernel;
	sum->faults_refused += more->faults_refused;
	sum->copies += more->copies;
	sum->pages_in += more->pages_in;
	sum->swap_in += more->swap_in;
	sum->swap_out += more->swap_out;
	sum->refaults += more->refaults;
	sum->swap_ahead += more->swap_ahead;
	sum->swap_ahead_used += more->swap_ahead_used;
	sum->swap_ahead_wasted += more->swap_ahead_wasted;
	sum->file_ahead += more->file_ahead;
	sum->file_ahead_used += more->file_ahead_used;
	sum->file_ahead_wasted += more->file_ahead_wasted;
	sum->scanned += more->scanned;
	sum->reclaimed += more->reclaimed;
	sum->direct_reclaims += more->direct_reclaims;
	sum->stall_ns += more->stall_ns;
	sum->minor += more->minor;
	sum->major += more->major;
}

void pg_linux_add_cpu(struct pg_cpu_stats *sum, const struct pg_cpu_stats *more)
{
	struct pg_mmu_stats *m = &sum->mmu;
	const struct pg_mmu_stats *n = &more->mmu;

	sum->instructions += more->instructions;
	sum->loads += more->loads;
	sum->stores += more->stores;
	sum->fetch_runs += more->fetch_runs;
	sum->page_crossings += more->page_crossings;
	sum->data_lookups += more->data_lookups;
	sum->fetch_lookups += more->fetch_lookups;
	/* of the engine, not of a CPU */
	sum->blocks_translated = larger(sum->blocks_translated, more->blocks_translated);
	sum->code_bytes = larger(sum->code_bytes, more->code_bytes);
	sum->guest_bytes_translated =
		larger(sum->guest_bytes_translated, more->guest_bytes_translated);
	sum->translations_dropped = larger(sum->translations_dropped, more->translations_dropped);
	sum->has_tlb = more->has_tlb;
	for (unsigned i = 0; i < 2; i++)
		m->slow_lookups[i] += n->slow_lookups[i];
	for (unsigned i = 0; i < PG_TLBS; i++)
		m->misses[i] += n->misses[i];
	m->fetch_misses += n->fetch_misses;
	m->l2_lookups += n->l2_lookups;
	m->walks += n->walks;
	m->walk_refs += n->walk_refs;
	m->walk_refs_saved += n->walk_refs_saved;
	for (unsigned i = 0; i < PG_WALK_LENGTHS; i++)
		m->walk_lengths[i] += n->walk_lengths[i];
	m->dirty_walks += n->dirty_walks;
	m->faulting_lookups += n->faulting_lookups;
	m->shootdowns += n->shootdowns;
}
