/* SPDX-License-Identifier: MIT */
/*
 * space/peek.c: the bytes of a space as they are, for who draws a machine: no fault, no bit set, no page moved.
 *
 * Called by trace/ (space.h), in any hook. A page is taken from where it is: its anon's frame, its slot, the page cache; a private
 * page that was never written reads as zero. What only a file has is not read.
 */
#include "space/impl.h"

#include <string.h>

/* Where the page of a is: *f, or *slot, or neither: zeroes (false: only its file has it, or nothing is mapped). */
static bool find_page(struct pg_space *s, pg_va a, pg_pfn *f, pg_slot *slot)
{
	struct region *r = pg_region_at(s, a.v);
	struct pg_anon *anon;
	uint64_t index;

	*f = PG_PFN_NONE;
	*slot = PG_SLOT_NONE;
	if (s->block) { /* one block: it has frames or is out, whole */
		uint64_t frame = pg_base_limit_frame(&s->block->r, pg_vpn_of(a).v);

		if (frame != UINT64_MAX)
			f->v = (uint32_t)frame;
		return frame != UINT64_MAX;
	}
	if (!r)
		return false;
	index = pg_region_index(r, pg_vpn_of(a).v);
	anon = pg_sparse_get(&r->anons, index, NULL);
	if (anon && !pg_anon_is_empty(anon)) {
		*f = anon->pfn;
		if (pg_pfn_is_none(*f))
			*slot = anon->slot;
		return true;
	}
	if (!r->pub.object)
		return true;
	*f = pg_object_page(r->pub.object, index);
	return !pg_pfn_is_none(*f);
}

uint64_t pg_space_peek(struct pg_space *s, void *dst, pg_va src, uint64_t n)
{
	struct pg_vm *vm = s->vm;
	uint64_t done = 0;

	while (done < n) {
		pg_va a = {src.v + done};
		uint64_t offset = a.v & PG_PAGE_MASK, part = PG_PAGE_SIZE - offset;
		_Alignas(PG_PAGE_SIZE) uint8_t page[PG_PAGE_SIZE];
		char *to = (char *)dst + done;
		pg_pfn f;
		pg_slot slot;

		if (part > n - done)
			part = n - done;
		if (!find_page(s, a, &f, &slot))
			break;
		if (!pg_pfn_is_none(f)) {
			memcpy(to, (char *)pg_frames_bytes(vm->frames, f) + offset, part);
		} else if (pg_slot_is_none(slot)) {
			memset(to, 0, part);
		} else {
			if (!vm->pageout.slot_peek ||
				vm->pageout.slot_peek(vm->pageout.ctx, slot, page) != 0)
				break;
			memcpy(to, page + offset, part);
		}
		done += part;
	}
	return done;
}

enum pg_page_place pg_space_place(struct pg_space *s, pg_va a)
{
	pg_pfn f;
	pg_slot slot;

	if (!find_page(s, a, &f, &slot))
		return PG_PLACE_NOWHERE;
	if (!pg_pfn_is_none(f))
		return PG_PLACE_FRAME;
	return pg_slot_is_none(slot) ? PG_PLACE_NOWHERE : PG_PLACE_SLOT;
}
