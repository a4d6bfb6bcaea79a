/* SPDX-License-Identifier: MIT */
/*
 * reclaim/working.c: the working set: how many pages were accessed since somebody last asked.
 *
 * Called by upper floors that sample it. Looks at the accessed bits through the reverse map, as policies do.
 * Source: P. J. Denning, "The working set model for program behavior", CACM 11(5), 1968: W(t, tau), with the time
 * between two calls for tau.
 */
#include "reclaim/impl.h"

uint64_t pg_reclaim_working_set(struct pg_reclaim *r)
{
	uint64_t scanned = r->st.scanned, pages = 0;

	for (uint32_t f = 0; f < r->total; f++) {
		const struct pg_frame *row = pg_frames_row(r->frames, (pg_pfn){f});

		if ((row->state == PG_FRAME_ANON || row->state == PG_FRAME_CACHE) && row->rmap)
			pages += r->env.accessed(r->env.ctx, (pg_pfn){f});
	}
	r->st.scanned = scanned; /* nobody was looking for a page to evict */
	return pages;
}
