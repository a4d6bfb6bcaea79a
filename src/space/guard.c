/* SPDX-License-Identifier: MIT */
/*
 * space/guard.c: guard pages: MADV_GUARD_INSTALL and MADV_GUARD_REMOVE.
 *
 * Called by advise.c, and by object.c for the taking out of private pages. Calls sparse.h and pages.c. Owns nothing: a guarded page has the
 * machine's one guard anon (struct pg_vm) in the anon layer of its region, a shared region's too. That anon is in no frame and no slot, so whatever
 * looks for data finds none; fork, split, merge and move take it along with the layer; only unmapping and GUARD_REMOVE take it
 * away. The page fault refuses it (fault.c). Rules as Linux's mm/madvise.c, 6.18: there `guarded` is VM_MAYBE_GUARD, which stays for good, is copied
 * by fork, and keeps no neighbours apart; only an anonymous region gets an anon_vma by it.
 *
 * Invariants (pg_space_check):
 *   U1 a region that has a guard has `guarded` set.
 *   U2 no entry is for a guarded page.
 *   U3 a shared region has no anons but guards.
 */
#include "space/impl.h"

#include <errno.h>

static bool is_guard(const struct pg_vm *vm, const struct pg_anon *a)
{
	return a == &vm->guard;
}

bool pg_guard_at(const struct region *r, uint64_t index)
{
	return r->guarded && is_guard(r->space->vm, pg_sparse_get(&r->anons, index, NULL));
}

int pg_guard_install(struct region *r, uint64_t first, uint64_t last)
{
	const struct pg_sparse_kind *k = &r->space->vm->anon_kind;
	struct pg_anon *guard = &r->space->vm->guard;
	uint64_t vpn = (r->pub.start.v >> PG_PAGE_SHIFT) - r->index;
	struct pg_sparse_place place;

	/* What can fail: a leaf of its own for each of the pages. */
	for (uint64_t i = first; i <= last; i = (i | (PG_SPARSE_FAN - 1)) + 1) {
		if (pg_sparse_reserve(k, &r->anons, i, &place))
			return -ENOMEM;
	}
	r->guarded = true;
	if (pg_region_private(r) && !r->pub.object)
		pg_region_want_anon_id(r->space, r);
	pg_pages_remove(r, vpn + first, vpn + last + 1);
	for (uint64_t i = first; i <= last; i++) {
		int err = pg_sparse_reserve(k, &r->anons, i, &place);

		PG_ASSERT(!err);
		if (is_guard(r->space->vm, place.leaf->slot[place.at]))
			continue;
		pg_anon_ref(r->space->vm, guard);
		pg_sparse_put(k, &place, guard);
	}
	return 0;
}

/* The ways to all values of [first, last] become r's own. -ENOMEM: what it holds is unchanged. */
static int own_ways(struct region *r, uint64_t first, uint64_t last)
{
	uint64_t index;

	for (; first <= last && pg_sparse_next(&r->anons, first, last, &index); first = index + 1) {
		if (pg_sparse_unshare(&r->space->vm->anon_kind, &r->anons, index))
			return -ENOMEM;
	}
	return 0;
}

/* Takes the guards, or all else, of [first, last] out, whose ways are r's own. */
static void take_out(struct region *r, uint64_t first, uint64_t last, bool guards)
{
	const struct pg_anon *a;
	uint64_t index;

	for (; first <= last && (a = pg_sparse_next(&r->anons, first, last, &index));
		first = index + 1) {
		if (is_guard(r->space->vm, a) == guards)
			pg_sparse_erase(&r->space->vm->anon_kind, &r->anons, index, index);
	}
}

int pg_guard_remove(struct region *r, uint64_t first, uint64_t last)
{
	if (!r->guarded)
		return 0;
	if (own_ways(r, first, last))
		return -ENOMEM;
	take_out(r, first, last, true);
	return 0;
}

int pg_guard_erase_ready(struct region *r, uint64_t first, uint64_t last)
{
	const struct pg_sparse_kind *k = &r->space->vm->anon_kind;

	if (r->guarded)
		return own_ways(r, first, last);
	return pg_sparse_unshare(k, &r->anons, first) || pg_sparse_unshare(k, &r->anons, last)
		       ? -ENOMEM
		       : 0;
}

void pg_guard_erase(struct region *r, uint64_t first, uint64_t last)
{
	if (r->guarded)
		take_out(r, first, last, false);
	else
		pg_sparse_erase(&r->space->vm->anon_kind, &r->anons, first, last);
}
