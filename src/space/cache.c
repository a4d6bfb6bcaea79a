/* SPDX-License-Identifier: MIT */
/*
 * space/cache.c: frames for space/, and what is dropped from the page cache when there are none.
 *
 * Called by fault.c, object.c, pages.c and fork.c. Calls frame/ and, to unmap, pages.c.
 * Owns the order of the page cache: all frames in state CACHE, linked through their rows by age.
 *
 * What may be dropped: a page of an object with a pager, clean (no DIRTY flag, no D bit in any
 * entry), not pinned, not busy. First the oldest that no table names, then the oldest that some
 * do. Nothing is written back here and no anon is touched: that is reclaim/.
 */
#include "space/impl.h"

#include <errno.h>

void pg_cache_link(struct pg_vm *vm, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(vm->frames, f);

	row->next = UINT32_MAX;
	row->prev = vm->cache_last;
	if (row->prev == UINT32_MAX)
		vm->cache_first = f.v;
	else
		pg_frames_row(vm->frames, (pg_pfn){row->prev})->next = f.v;
	vm->cache_last = f.v;
}

void pg_cache_unlink(struct pg_vm *vm, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(vm->frames, f);

	if (row->prev == UINT32_MAX)
		vm->cache_first = row->next;
	else
		pg_frames_row(vm->frames, (pg_pfn){row->prev})->next = row->next;
	if (row->next == UINT32_MAX)
		vm->cache_last = row->prev;
	else
		pg_frames_row(vm->frames, (pg_pfn){row->next})->prev = row->prev;
	row->prev = row->next = UINT32_MAX;
}

/* True if the page could be dropped as far as its row tells. */
static bool droppable(const struct pg_frame *row)
{
	const struct pg_object *o = row->owner;

	return o && o->pager && !row->pins && !(row->flags & (PG_FRAME_DIRTY | PG_FRAME_BUSY));
}

bool pg_cache_drop_one(struct pg_vm *vm)
{
	for (int mapped = 0; mapped <= 1; mapped++) {
		uint32_t next;

		for (uint32_t v = vm->cache_first; v != UINT32_MAX; v = next) {
			struct pg_frame *row = pg_frames_row(vm->frames, (pg_pfn){v});

			next = row->next;
			if (!droppable(row) || (row->map_count > 0) != mapped)
				continue;
			if (mapped) {
				pg_pages_harvest(vm, (pg_pfn){v});
				if (row->flags & PG_FRAME_DIRTY)
					continue;
				pg_pages_remove_frame(vm, (pg_pfn){v});
			}
			pg_object_forget(row->owner, row->index, (pg_pfn){v});
			return true;
		}
	}
	return false;
}

int pg_cache_frame(struct pg_vm *vm, enum pg_frame_state state, void *owner, pg_pfn *out)
{
	int err = pg_frames_alloc(vm->frames, 0, state, owner, out);

	while (err == -ENOMEM && pg_cache_drop_one(vm))
		err = pg_frames_alloc(vm->frames, 0, state, owner, out);
	return err;
}
