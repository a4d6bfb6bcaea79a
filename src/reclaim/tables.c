/* SPDX-License-Identifier: MIT */
/*
 * reclaim/tables.c: page tables that nothing but the page of zeros keeps.
 *
 * Called by reclaim.c when the policy's pages do not free as many frames as are wanted, and after each fault. Calls space/pages.c.
 *
 * A node of a page table is freed when its last entry goes, and entries go with their pages. Not so those of the page of zeros, which no
 * policy knows: a program that reads a sparse terabyte would fill memory with nodes that lead to it. Page tables are a cache, so
 * these entries may go too; reading there again is a fault that costs nothing else. The pages that were asked for last stay,
 * as others do (PG_RECENT): an instruction may read two.
 */
#include "reclaim/impl.h"

struct asked {
	const struct pg_reclaim *r;
	uint32_t space;
};

/* Asked for lately. */
static bool is_recent(const void *ctx, pg_vpn vpn)
{
	const struct asked *a = ctx;

	for (unsigned i = 0; i < PG_RECENT; i++) {
		const struct pg_zero_page *z = &a->r->zeros[i];

		if (z->space == a->space && z->vpn == vpn.v)
			return true;
	}
	return false;
}

void pg_reclaim_note_zero(struct pg_reclaim *r, const struct pg_fault_event *e)
{
	if (e->frame.v == r->vm->zero.v)
		r->zeros[r->zeros_noted++ % PG_RECENT] =
			(struct pg_zero_page){e->space->number, e->va.v >> PG_PAGE_SHIFT};
}

uint64_t pg_reclaim_drop_zero(struct pg_reclaim *r)
{
	uint64_t before = pg_frames_free_count(r->frames), now;

	if (pg_frames_row(r->frames, r->vm->zero)->map_count <= PG_RECENT)
		return 0;
	for (struct pg_space *s = r->vm->spaces; s; s = s->next) {
		struct asked a = {r, s->number};

		if (s->table)
			(void)pg_pages_forget_zero(s, is_recent, &a);
	}
	now = pg_frames_free_count(r->frames);
	return now > before ? now - before : 0;
}
