/* SPDX-License-Identifier: MIT */
/*
 * space/anon.c: an anon: one private page's worth of data, in a frame, in a slot, or not yet made.
 *
 * Called by fault.c and fork.c, and by the anon layers (sparse.h) when a leaf takes or drops one.
 * Owns the frame and the slot of an anon while anyone refers to it. A slot is shared by all who share the anon: its
 * reference count is the anon's. reclaim/ moves the bytes (space/pageout.h).
 *
 * Invariants (pg_space_check):
 *   A1 refs is the number of leaves that hold the anon.
 *   A2 its frame, if it has one, is in state ANON and names it as owner.
 *   A3 an entry that allows stores to its frame exists only if one region alone holds it.
 *   A4 a frame with LAZY is an anon's, is not DIRTY and is on the list of lazy frames.
 */
#include "space/impl.h"

struct pg_anon *pg_anon_new(struct pg_vm *vm)
{
	struct pg_anon *a = pg_mem_alloc(&vm->mem, sizeof *a);

	if (a)
		*a = (struct pg_anon){.refs = 1,
			.pfn = PG_PFN_NONE,
			.slot = PG_SLOT_NONE,
			.number = ++vm->last_anon_number};
	return a;
}

void pg_anon_ref(void *vm, void *anon)
{
	((struct pg_anon *)anon)->refs++;
}

void pg_anon_unref(void *ctx, void *anon)
{
	struct pg_vm *vm = ctx;
	struct pg_anon *a = anon;

	PG_ASSERT(a->refs > 0);
	if (--a->refs > 0)
		return;
	if (!pg_slot_is_none(a->slot))
		vm->pageout.slot_free(vm->pageout.ctx, a->slot);
	if (!pg_pfn_is_none(a->pfn)) {
		pg_cache_clear_lazy(vm, a->pfn);
		pg_frame_release(vm, a->pfn);
	}
	pg_mem_free(&vm->mem, a);
}

void pg_frame_release(struct pg_vm *vm, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(vm->frames, f);

	if (vm->pageout.ctx)
		vm->pageout.page_gone(vm->pageout.ctx, f);
	row->owner = NULL;
	row->flags &= (uint16_t)~PG_FRAME_DIRTY;
	if (!row->pins)
		pg_frames_free(vm->frames, f);
}
