/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/advise.c: system calls about pages that are mapped: madvise, mincore, msync, mlock and their families.
 *
 * Called through table.c. Goes over a range as Linux does: region by region, which of them fail it or are left out, and what a hole
 * means, is the call's own; what happens to pages is space/'s.
 * Source: Linux mm/madvise.c, mm/mincore.c, mm/msync.c, mm/mlock.c, 6.18.
 */
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/*
 * Calls f for the part of each region in [start, end), low to high, until it fails. -ENOMEM at the end if there was a
 * hole and nothing else failed, as Linux's walks do. f may change regions.
 */
static int each_part(struct pg_thread *me, uint64_t start, uint64_t end,
	int (*f)(struct pg_thread *me, const struct pg_region *r, uint64_t from, uint64_t to,
		void *ctx),
	void *ctx)
{
	bool hole = false;
	struct pg_region r;

	while (start < end) {
		uint64_t to;
		int err;

		if (!pg_space_find(me->mm->space, (pg_va){start}, true, &r) || r.start.v >= end)
			return -ENOMEM;
		if (r.start.v > start) {
			hole = true;
			start = r.start.v;
		}
		to = r.end.v < end ? r.end.v : end;
		err = f(me, &r, start, to, ctx);
		if (err != 0)
			return err;
		start = to;
	}
	return hole ? -ENOMEM : 0;
}

/* --- msync ------------------------------------------------------------------------------------------------------ */

struct sync {
	uint64_t next; /* where the part before ended */
	int flags;
};

static int sync_part(
	struct pg_thread *me, const struct pg_region *r, uint64_t from, uint64_t to, void *ctx)
{
	struct sync *s = ctx;
	struct pg_object_key key;
	int err;

	if (s->flags == MS_ASYNC && from != s->next)
		return -ENOMEM; /* Linux stops at a hole then */
	s->next = to;
	if ((s->flags & MS_INVALIDATE) && (r->flags & PG_MAP_LOCKED))
		return -EBUSY;
	if (!(s->flags & MS_SYNC) || r->object == NULL || !(r->flags & PG_MAP_SHARED))
		return 0;
	key = pg_object_get_key(r->object);
	err = pg_space_sync(me->mm->space, (pg_va){from}, to - from);
	return err != 0 || key.device == 0 ? err : pg_files_to_disk(me, key);
}

int64_t pg_sys_msync(struct pg_thread *me, const uint64_t *a)
{
	uint64_t len = pg_align_up(a[1], PG_PAGE_SIZE);
	struct sync s = {.next = a[0], .flags = (int)a[2]};

	if ((s.flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || (a[0] & PG_PAGE_MASK) ||
		(s.flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
		return -EINVAL;
	if (a[0] + len < a[0])
		return -ENOMEM;
	return each_part(me, a[0], a[0] + len, sync_part, &s);
}

/* --- madvise ---------------------------------------------------------------------------------------------------- */

/* Advice that only marks regions. */
static const struct mark {
	int advice;
	uint32_t set, clear;
} marks[] = {
	{MADV_NORMAL, 0, PG_MAP_RANDOM | PG_MAP_SEQUENTIAL},
	{MADV_RANDOM, PG_MAP_RANDOM, PG_MAP_SEQUENTIAL},
	{MADV_SEQUENTIAL, PG_MAP_SEQUENTIAL, PG_MAP_RANDOM},
	{MADV_DONTFORK, PG_MAP_DONTFORK, 0},
	{MADV_DOFORK, 0, PG_MAP_DONTFORK},
	{MADV_WIPEONFORK, PG_MAP_WIPEONFORK, 0},
	{MADV_KEEPONFORK, 0, PG_MAP_WIPEONFORK},
	{MADV_DONTDUMP, PG_MAP_DONTDUMP, 0},
	{MADV_DODUMP, 0, PG_MAP_DONTDUMP},
	{MADV_HUGEPAGE, PG_MAP_HUGE, PG_MAP_NOHUGE},
	{MADV_NOHUGEPAGE, PG_MAP_NOHUGE, PG_MAP_HUGE},
	{MADV_MERGEABLE, PG_MAP_MERGEABLE, 0},
	{MADV_UNMERGEABLE, 0, PG_MAP_MERGEABLE},
};

/* Advice about pages. */
static const struct deed {
	int advice;
	enum pg_advice what;
} deeds[] = {
	{MADV_DONTNEED, PG_ADVISE_DISCARD},
	{MADV_DONTNEED_LOCKED, PG_ADVISE_DISCARD_LOCKED},
	{MADV_FREE, PG_ADVISE_FREE},
	{MADV_WILLNEED, PG_ADVISE_WILLNEED},
	{MADV_REMOVE, PG_ADVISE_REMOVE},
	{MADV_COLD, PG_ADVISE_COLD},
	{MADV_PAGEOUT, PG_ADVISE_PAGEOUT},
	{MADV_POPULATE_READ, PG_ADVISE_POPULATE_READ},
	{MADV_POPULATE_WRITE, PG_ADVISE_POPULATE_WRITE},
	{MADV_GUARD_INSTALL, PG_ADVISE_GUARD_INSTALL},
	{MADV_GUARD_REMOVE, PG_ADVISE_GUARD_REMOVE},
};

static const struct mark *find_mark(int advice)
{
	for (unsigned i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (marks[i].advice == advice)
			return &marks[i];
	return NULL;
}

static const struct deed *find_deed(int advice)
{
	for (unsigned i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
		if (deeds[i].advice == advice)
			return &deeds[i];
	return NULL;
}

static int mark_part(
	struct pg_thread *me, const struct pg_region *r, uint64_t from, uint64_t to, void *ctx)
{
	const struct mark *m = ctx;

	if ((m->set & PG_MAP_MERGEABLE) && (r->object != NULL || (r->flags & PG_MAP_SHARED)))
		return 0; /* nothing that could be merged: no mark, no error */
	return pg_space_mark(me->mm->space, (pg_va){from}, to - from, m->set, m->clear);
}

static int deed_part(
	struct pg_thread *me, const struct pg_region *r, uint64_t from, uint64_t to, void *ctx)
{
	const struct deed *d = ctx;
	bool populate = d->what == PG_ADVISE_POPULATE_READ || d->what == PG_ADVISE_POPULATE_WRITE;
	int err = pg_space_advise(me->mm->space, (pg_va){from}, to - from, d->what);

	if (populate && err == -ENOMEM)
		me->oom = true; /* the range is mapped: it is a frame that was not to be had */
	return err;
}

/* Populating stops at a hole; all else goes on behind it. */
static uint64_t to_first_hole(struct pg_thread *me, uint64_t start, uint64_t end)
{
	struct pg_region r;

	while (start < end && pg_space_find(me->mm->space, (pg_va){start}, false, &r))
		start = r.end.v < end ? r.end.v : end;
	return start;
}

int64_t pg_sys_madvise(struct pg_thread *me, const uint64_t *a)
{
	uint64_t len = pg_align_up(a[1], PG_PAGE_SIZE), end = a[0] + len, hole;
	int advice = (int)a[2], err;
	const struct mark *m = find_mark(advice);
	const struct deed *d = find_deed(advice);

	if (m == NULL && d == NULL && advice != MADV_COLLAPSE) {
		pg_linux_unknown(me, "madvise advice %d is not there: EINVAL", advice);
		return -EINVAL;
	}
	if ((a[0] & PG_PAGE_MASK) || (a[1] != 0 && len == 0) || end < a[0])
		return -EINVAL;
	if (len == 0)
		return 0;
	if (m != NULL)
		return each_part(me, a[0], end, mark_part, (void *)m);
	if (d == NULL)
		return -EINVAL; /* MADV_COLLAPSE: no mapping here can have a huge page */
	if (d->what != PG_ADVISE_POPULATE_READ && d->what != PG_ADVISE_POPULATE_WRITE)
		return each_part(me, a[0], end, deed_part, (void *)d);
	hole = to_first_hole(me, a[0], end);
	err = each_part(me, a[0], hole, deed_part, (void *)d);
	return err == 0 && hole < end ? -ENOMEM : err;
}

/* --- mincore ------------------------------------------------------------------------------------------------------ */

int64_t pg_sys_mincore(struct pg_thread *me, const uint64_t *a)
{
	uint64_t len = pg_align_up(a[1], PG_PAGE_SIZE), end = a[0] + len, out = a[2];
	struct pg_region r;
	uint8_t in[256];

	if (a[0] & PG_PAGE_MASK)
		return -EINVAL;
	if (!pg_guest_range_ok(me, a[0], a[1]))
		return -ENOMEM;
	if (!pg_guest_range_ok(me, a[2], len / PG_PAGE_SIZE))
		return -EFAULT;
	for (uint64_t at = a[0]; at < end;) {
		uint64_t n = 0, to;

		if (!pg_space_find(me->mm->space, (pg_va){at}, false, &r))
			return -ENOMEM;
		to = r.end.v < end ? r.end.v : end;
		for (; at < to && n < sizeof(in); at += PG_PAGE_SIZE)
			in[n++] = pg_space_in_core(me->mm->space, (pg_va){at});
		if (pg_guest_write(me, out, in, n) != 0)
			return -EFAULT;
		out += n;
	}
	return 0;
}

/* --- mlock -------------------------------------------------------------------------------------------------------- */

static int64_t lock_range(struct pg_thread *me, uint64_t start, uint64_t bytes, unsigned flags)
{
	uint64_t len = pg_align_up(bytes + (start & PG_PAGE_MASK), PG_PAGE_SIZE);
	uint64_t from = pg_align_down(start, PG_PAGE_SIZE);
	int err;

	pg_mem_limits(me);
	if (from + len < from)
		return -EINVAL;
	err = pg_space_lock(me->mm->space, (pg_va){from}, len, flags);
	if (err == -EAGAIN)
		me->oom = true;
	return err;
}

int64_t pg_sys_mlock(struct pg_thread *me, const uint64_t *a)
{
	return lock_range(me, a[0], a[1], PG_MAP_LOCKED);
}

int64_t pg_sys_mlock2(struct pg_thread *me, const uint64_t *a)
{
	if ((int)a[2] & ~1)
		return -EINVAL;
	return lock_range(
		me, a[0], a[1], PG_MAP_LOCKED | ((a[2] & 1) != 0 ? PG_MAP_LOCKONFAULT : 0));
}

int64_t pg_sys_munlock(struct pg_thread *me, const uint64_t *a)
{
	return lock_range(me, a[0], a[1], 0);
}

int64_t pg_sys_mlockall(struct pg_thread *me, const uint64_t *a)
{
	const int current = 1, future = 2, onfault = 4;
	int flags = (int)a[0];
	unsigned lock =
		PG_MAP_LOCKED | ((flags & onfault) != 0 ? (unsigned)PG_MAP_LOCKONFAULT : 0u);

	if (flags == 0 || (flags & ~(current | future | onfault)) || flags == onfault)
		return -EINVAL;
	pg_mem_limits(me);
	return pg_space_lock_all(me->mm->space, (flags & current) != 0 ? lock : 0u,
		(flags & future) != 0 ? lock : 0u);
}

int64_t pg_sys_munlockall(struct pg_thread *me, const uint64_t *a)
{
	return pg_space_lock_all(me->mm->space, 0, 0);
}
