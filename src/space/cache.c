/* SPDX-License-Identifier: MIT */
/*
 * space/cache.c: frames for space/, and what is dropped from the page cache when there are none.
 *
 * Called by fault.c, object.c, pages.c and fork.c. Calls frame/ and, to unmap, pages.c.
 * Owns the lists of the page cache: every frame in state CACHE with an owner is on exactly one, by
 * age, linked through its row:
 *
 *   UNMAPPED  could be dropped at once: it has a pager, is not DIRTY, and no table names it
 *   MAPPED    the same, but tables name it (a D bit there may yet make it dirty)
 *   HELD      must stay: DIRTY, or of an object without a pager
 *
 * And one for private pages whose owner can do without them (madvise(MADV_FREE)): LAZY. Such a frame goes
 * before any page of the cache, unless it turns out to have been written since; its anon is
 * empty then, which reads as zero.
 *
 * Whoever changes map_count to or from 0 or the DIRTY flag calls pg_cache_sort(). So finding what
 * to drop is O(1) but for pinned and locked pages, which are skipped. The oldest of UNMAPPED goes
 * first, then the oldest of MAPPED. Nothing is written back here: that is reclaim/, which, if it is
 * there, chooses itself what goes but for the LAZY ones (space/pageout.h).
 */
#include "space/impl.h"

#include <errno.h>

/* The list that a page belongs on, as far as its row tells. */
static enum pg_cache_list list_of(const struct pg_frame *row)
{
	const struct pg_object *o = row->owner;

	if (row->state == PG_FRAME_ANON)
		return PG_CACHE_LAZY;
	if (!o->pager || (row->flags & PG_FRAME_DIRTY))
		return PG_CACHE_HELD;
	return row->map_count ? PG_CACHE_MAPPED : PG_CACHE_UNMAPPED;
}

void pg_cache_link(struct pg_vm *vm, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(vm->frames, f);
	struct pg_cache_ends *l;

	row->spare = list_of(row);
	l = &vm->cache[row->spare];
	row->next = UINT32_MAX;
	row->prev = l->last;
	if (row->prev == UINT32_MAX)
		l->first = f.v;
	else
		pg_frames_row(vm->frames, (pg_pfn){row->prev})->next = f.v;
	l->last = f.v;
}

void pg_cache_unlink(struct pg_vm *vm, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(vm->frames, f);
	struct pg_cache_ends *l = &vm->cache[row->spare];

	if (row->prev == UINT32_MAX)
		l->first = row->next;
	else
		pg_frames_row(vm->frames, (pg_pfn){row->prev})->next = row->next;
	if (row->next == UINT32_MAX)
		l->last = row->prev;
	else
		pg_frames_row(vm->frames, (pg_pfn){row->next})->prev = row->prev;
	row->prev = row->next = UINT32_MAX;
	row->spare = 0;
}

void pg_cache_sort(struct pg_vm *vm, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(vm->frames, f);

	if (row->state != PG_FRAME_CACHE || !row->owner || row->spare == list_of(row))
		return;
	pg_cache_unlink(vm, f);
	pg_cache_link(vm, f);
}

void pg_cache_set_lazy(struct pg_vm *vm, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(vm->frames, f);

	row->flags &= (uint16_t)~PG_FRAME_DIRTY;
	if (row->flags & PG_FRAME_LAZY)
		return;
	row->flags |= PG_FRAME_LAZY;
	pg_cache_link(vm, f);
}

void pg_cache_clear_lazy(struct pg_vm *vm, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(vm->frames, f);

	if (!(row->flags & PG_FRAME_LAZY))
		return;
	row->flags &= (uint16_t)~PG_FRAME_LAZY;
	pg_cache_unlink(vm, f);
}

bool pg_cache_drop_lazy(struct pg_vm *vm)
{
	uint32_t next;

	for (uint32_t v = vm->cache[PG_CACHE_LAZY].first; v != UINT32_MAX; v = next) {
		struct pg_frame *row = pg_frames_row(vm->frames, (pg_pfn){v});
		struct pg_anon *a = row->owner;

		next = row->next;
		pg_pages_harvest(vm, (pg_pfn){v});
		if (row->pins || !(row->flags & PG_FRAME_LAZY))
			continue; /* in use, or it was written */
		if (vm->locked_bytes && pg_pages_locked(vm, (pg_pfn){v}))
			continue;
		pg_pages_remove_frame(vm, (pg_pfn){v});
		pg_cache_clear_lazy(vm, (pg_pfn){v});
		a->pfn = PG_PFN_NONE;
		pg_frame_release(vm, (pg_pfn){v});
		return true;
	}
	return false;
}

bool pg_cache_drop(struct pg_vm *vm, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(vm->frames, f);
	const struct pg_object *o = row->owner;

	if (row->pins || !o || !o->pager)
		return false;
	if (vm->locked_bytes && pg_pages_locked(vm, f))
		return false;
	pg_pages_harvest(vm, f);
	if (row->flags & PG_FRAME_DIRTY)
		return false; /* it is on HELD now */
	pg_pages_remove_frame(vm, f);
	pg_object_forget(row->owner, row->index, f);
	return true;
}

/* Drops the oldest page of a list that can be; false: none. */
static bool drop_from(struct pg_vm *vm, enum pg_cache_list list)
{
	uint32_t next;

	for (uint32_t v = vm->cache[list].first; v != UINT32_MAX; v = next) {
		next = pg_frames_row(vm->frames, (pg_pfn){v})->next;
		if (pg_cache_drop(vm, (pg_pfn){v}))
			return true;
	}
	return false;
}

/* Drops one clean page of an object, oldest first, unmapped ones before mapped. False: none. */
static bool drop_one(struct pg_vm *vm)
{
	return pg_cache_drop_lazy(vm) || drop_from(vm, PG_CACHE_UNMAPPED) ||
	       drop_from(vm, PG_CACHE_MAPPED);
}

bool pg_cache_make_room(struct pg_vm *vm)
{
	return vm->pageout.ctx ? vm->pageout.make_room(vm->pageout.ctx) : drop_one(vm);
}

int pg_cache_frame(struct pg_vm *vm, enum pg_frame_state state, void *owner, pg_pfn *out)
{
	int err = pg_frames_alloc(vm->frames, 0, state, owner, out);

	while (err == -ENOMEM && pg_cache_make_room(vm))
		err = pg_frames_alloc(vm->frames, 0, state, owner, out);
	return err;
}
