/* SPDX-License-Identifier: MIT */
/*
 * space/lock.c: memory that must stay: mlock and its family.
 *
 * Called by linux/ (space.h). Calls map.c to change and populate regions, limit.c.
 * Rules as Linux's mm/mlock.c. What locked means is in the places that drop pages: cache.c and
 * reclaim/ ask pg_pages_locked().
 */
#include "space/impl.h"

#include <errno.h>

#define LOCKS ((uint32_t)(PG_MAP_LOCKED | PG_MAP_LOCKONFAULT))

/* Locked bytes of [start, end). */
static uint64_t locked_in(struct pg_space *s, uint64_t start, uint64_t end)
{
	uint64_t n = 0;

	for (struct region *r = pg_region_above(s, start); r && r->pub.start.v < end;
		r = pg_region_next(r)) {
		uint64_t from = r->pub.start.v > start ? r->pub.start.v : start;
		uint64_t to = r->pub.end.v < end ? r->pub.end.v : end;

		n += r->pub.flags & PG_MAP_LOCKED ? to - from : 0;
	}
	return n;
}

/*
 * Brings the pages of [start, end) in, region by region; a region that is gone meanwhile, or has no
 * rights, ends it: -ENOMEM, as does a page beyond its object. -EAGAIN: no frame.
 */
static int bring_in(struct pg_space *s, uint64_t start, uint64_t end)
{
	while (start < end) {
		struct region *r = pg_region_at(s, start);
		uint64_t to;

		if (!r || !r->pub.prot)
			return -ENOMEM;
		to = r->pub.end.v < end ? r->pub.end.v : end;
		switch (pg_map_populate(s, start, to, pg_map_access(r->pub.prot, r->pub.flags))) {
		case PG_FAULT_RESUME:
			break;
		case PG_FAULT_OOM:
			return -EAGAIN;
		default:
			return -ENOMEM;
		}
		start = to;
	}
	return 0;
}

/* The end of what is mapped from start on without a hole. */
static uint64_t mapped_to(struct pg_space *s, uint64_t start)
{
	for (struct region *r = pg_region_at(s, start); r && r->pub.start.v <= start;
		r = pg_region_next(r))
		start = r->pub.end.v;
	return start;
}

int pg_space_lock(struct pg_space *s, pg_va addr, uint64_t len, unsigned flags)
{
	const struct pg_map_change c = {.set = flags, .clear = LOCKS & ~flags};
	uint64_t start = pg_align_down(addr.v, PG_PAGE_SIZE), end;
	int err;

	if (flags & ~LOCKS)
		return -EINVAL;
	if (flags && s->limits.locked_bytes == 0)
		return -EPERM;
	len += addr.v - start;
	if (!len)
		return 0;
	len = pg_align_up(len, PG_PAGE_SIZE);
	end = start + len;
	if (!len || end < start)
		return -EINVAL;
	if (s->block)
		return pg_map_whole(s, start, end) ? 0 : -ENOMEM;
	if (flags && pg_limit_may_lock(s, len) &&
		pg_limit_may_lock(s, len - locked_in(s, start, end)))
		return -ENOMEM;
	if (!pg_map_whole(s, start, end)) {
		end = mapped_to(s, start);
		err = end > start ? pg_map_change_range(s, start, end, &c) : 0;
		return -ENOMEM;
	}
	err = pg_map_change_range(s, start, end, &c);
	return err || !flags || (flags & PG_MAP_LOCKONFAULT) ? err : bring_in(s, start, end);
}

int pg_space_lock_all(struct pg_space *s, unsigned now, unsigned later)
{
	const struct pg_map_change c = {.set = now, .clear = LOCKS & ~now};
	struct region *r;

	if ((now | later) & ~LOCKS)
		return -EINVAL;
	if ((now || later) && s->limits.locked_bytes == 0)
		return -EPERM;
	if (now && s->st.vsz_bytes > s->limits.locked_bytes)
		return -ENOMEM;
	if (s->block)
		return 0;
	s->lock_later = later;
	if (!now && later)
		return 0; /* what is there stays as it is */
	for (uint64_t at = 0; (r = pg_region_above(s, at));) {
		at = r->pub.end.v;
		/* A whole region: it is not cut, so this does not fail. */
		if (pg_map_change_range(s, r->pub.start.v, at, &c))
			return -ENOMEM;
	}
	for (uint64_t at = 0; now == PG_MAP_LOCKED && (r = pg_region_above(s, at));) {
		at = r->pub.end.v;
		if (bring_in(s, r->pub.start.v, at) == -EAGAIN)
			break; /* other errors are ignored, as on Linux */
	}
	return 0;
}
