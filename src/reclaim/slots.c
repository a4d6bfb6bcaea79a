/* SPDX-License-Identifier: MIT */
/*
 * reclaim/slots.c: the slots of the store that are in use, and whose page each one is.
 *
 * Called by pageout.c, pagein.c, and by space/ when an anon or an object gives a slot up. Calls the store.
 * Owns the table of slots; the owners are borrowed. Invariants: R2 (impl.h).
 */
#include "reclaim/impl.h"

#include <errno.h>
#include <sys/mman.h>

static size_t table_bytes(const struct pg_reclaim *r)
{
	return r->slot_count * sizeof *r->slots;
}

int pg_reclaim_slots_init(struct pg_reclaim *r)
{
	struct pg_store_room room;
	void *p;

	if (!r->store)
		return 0;
	pg_store_room(r->store, &room);
	r->slot_count = room.slots;
	p = mmap(NULL, table_bytes(r), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	r->slots = p;
	pg_vm_set_swap(r->vm, r->slot_count);
	return 0;
}

void pg_reclaim_slots_fini(struct pg_reclaim *r)
{
	if (!r->slots)
		return;
	pg_vm_set_swap(r->vm, 0);
	munmap(r->slots, table_bytes(r));
}

unsigned pg_reclaim_slots_reserve(struct pg_reclaim *r, unsigned n, pg_slot *first)
{
	int got = pg_store_reserve(r->store, n, first);

	if (got <= 0) {
		r->st.swap_full += !r->swap_full;
		r->swap_full = true;
		return 0;
	}
	PG_ASSERT((uint64_t)first->v + (unsigned)got <= r->slot_count);
	return (unsigned)got;
}

void pg_reclaim_slots_own(struct pg_reclaim *r, pg_slot s, void *owner, uint64_t index, bool object)
{
	struct pg_slot_row *row = &r->slots[s.v];

	PG_ASSERT(!row->owner);
	*row = (struct pg_slot_row){owner, index, row->given + 1, object};
	if (++r->slots_used > r->st.slots_peak)
		r->st.slots_peak = r->slots_used;
}

void pg_reclaim_slots_free(void *ctx, pg_slot s)
{
	struct pg_reclaim *r = ctx;

	PG_ASSERT(r->slots[s.v].owner);
	r->slots[s.v].owner = NULL;
	r->slots_used--;
	r->swap_full = false;
	r->slots_back++;
	pg_store_release(r->store, s, 1);
}

struct pg_anon *pg_reclaim_slots_anon(const struct pg_reclaim *r, uint64_t s)
{
	const struct pg_slot_row *row = s < r->slot_count ? &r->slots[s] : NULL;
	struct pg_anon *a = row && !row->object ? row->owner : NULL;

	return a && pg_pfn_is_none(a->pfn) ? a : NULL;
}

static const char *check_slot(const struct pg_reclaim *r, uint64_t s)
{
	const struct pg_slot_row *row = &r->slots[s];
	const void *v;

	if (!pg_store_is_reserved(r->store, (pg_slot){(uint32_t)s}))
		return "R2: a slot that the store has not reserved";
	if (!row->object)
		return ((struct pg_anon *)row->owner)->slot.v == s
			       ? NULL
			       : "R2: a slot's anon does not name it";
	v = pg_sparse_get(&((struct pg_object *)row->owner)->slots, row->index, NULL);
	return (uintptr_t)v == s + 1 ? NULL : "R2: a slot's object does not name it";
}

const char *pg_reclaim_slots_check(const struct pg_reclaim *r)
{
	const char *bad = NULL;
	uint64_t n = 0;

	for (uint64_t s = 0; s < r->slot_count && !bad && n < r->slots_used; s++) {
		if (!r->slots[s].owner)
			continue;
		n++;
		bad = check_slot(r, s);
	}
	return bad || n == r->slots_used ? bad : "R2: the count of slots in use";
}
