/* SPDX-License-Identifier: MIT */
/*
 * space/limit.c: what a space may have, and what a machine may promise.
 *
 * Called by map.c, remap.c, grow.c, fork.c, lock.c and object.c before they commit, and by the upper
 * floors (space.h) to set limits. Calls frame/ for the size of memory. Owns nothing; the sums are
 * kept by region.c (tally).
 * Rules as Linux: may_expand_vm() (mm/mmap.c), mlock_future_ok(), __vm_enough_memory() (mm/util.c).
 *
 * Not followed: the reserves that Linux keeps for root (admin_reserve_kbytes, user_reserve_kbytes).
 */
#include "space/impl.h"

#include <errno.h>

void pg_space_set_limits(struct pg_space *s, const struct pg_space_limits *l)
{
	s->limits = *l;
}

bool pg_limit_is_data(pg_prot prot, uint32_t flags)
{
	return (prot & PG_WRITE) && !(flags & (PG_MAP_SHARED | PG_MAP_GROWSDOWN));
}

bool pg_limit_accountable(pg_prot prot, uint32_t flags)
{
	return (prot & PG_WRITE) && !(flags & (PG_MAP_SHARED | PG_MAP_NORESERVE));
}

/* have + more <= most, in bytes; limits count whole pages. */
static bool fits(uint64_t have, uint64_t more, uint64_t most)
{
	most = pg_align_down(most, PG_PAGE_SIZE);
	return more <= most && have <= most - more;
}

bool pg_limit_data_ok(const struct pg_space *s, uint64_t more)
{
	return s->limits.data_bytes == UINT64_MAX ||
	       fits(s->st.data_bytes, more, s->limits.data_bytes);
}

bool pg_limit_may_expand(const struct pg_space *s, pg_prot prot, uint32_t flags, uint64_t more)
{
	if (s->limits.as_bytes != UINT64_MAX && !fits(s->st.vsz_bytes, more, s->limits.as_bytes))
		return false;
	return !pg_limit_is_data(prot, flags) || pg_limit_data_ok(s, more);
}

int pg_limit_may_lock(const struct pg_space *s, uint64_t more)
{
	if (s->limits.locked_bytes == 0)
		return -EPERM;
	if (s->limits.locked_bytes != UINT64_MAX &&
		!fits(s->st.locked_bytes, more, s->limits.locked_bytes))
		return -EAGAIN;
	return 0;
}

uint64_t pg_vm_committed(const struct pg_vm *vm)
{
	return vm->committed_pages << PG_PAGE_SHIFT;
}

uint64_t pg_vm_commit_limit(const struct pg_vm *vm)
{
	uint64_t total = pg_frames_total(vm->frames);

	return (total * vm->overcommit_percent / 100 + vm->swap_pages) << PG_PAGE_SHIFT;
}

void pg_vm_set_overcommit(struct pg_vm *vm, enum pg_overcommit how, unsigned percent)
{
	vm->overcommit = how;
	vm->overcommit_percent = percent;
}

uint64_t pg_vm_swap(const struct pg_vm *vm)
{
	return vm->swap_pages;
}

void pg_vm_set_swap(struct pg_vm *vm, uint64_t swap_pages)
{
	vm->swap_pages = swap_pages;
}

bool pg_limit_commit_ok(const struct pg_vm *vm, uint64_t bytes)
{
	uint64_t pages = bytes >> PG_PAGE_SHIFT;

	switch (vm->overcommit) {
	case PG_OVERCOMMIT_GUESS:
		return pages <= pg_frames_total(vm->frames) + vm->swap_pages;
	case PG_OVERCOMMIT_NEVER:
		return !pages || fits(pg_vm_committed(vm), bytes, pg_vm_commit_limit(vm));
	case PG_OVERCOMMIT_ALWAYS:
		break;
	}
	return true;
}
