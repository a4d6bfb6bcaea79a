/* SPDX-License-Identifier: MIT */
/*
 * reclaim/thrash.c: is the machine busy with nothing but paging, and what is done about it; and who ends when
 * nothing helps.
 *
 * Called by reclaim.c for each page that comes in, and by the upper floors when memory is out. Calls pageout.c.
 *
 * A refault is near if not more pages were evicted since its own eviction than the machine has frames: with twice the memory
 * it would not have happened (the distance of Linux's mm/workingset.c). Pages in are counted in windows of a quarter of the frames.
 * Two windows in a row with more than half near refaults: the machine thrashes; one with less than a quarter: it does not any more.
 * The cure is that of Denning ("Thrashing: its causes and prevention", 1968): one process less in memory. Of those that have at least
 * a sixteenth of it, the one that was made to wait least often, and of these the largest, is swapped out whole, and the upper floors
 * are asked to let it wait. The last one that runs is left alone: then the user is told only.
 *
 * Out of memory: mm/oom_kill.c; what a space counts for is pg_space_badness() (space/measure.c).
 */
#include "reclaim/impl.h"

#include <limits.h>

/* How often s was made to wait; UINT_MAX: it cannot be now, or is too small to matter. */
static unsigned pauses(const struct pg_reclaim *r, struct pg_space *s)
{
	if (s->st.rss_pages < r->total / 16)
		return UINT_MAX;
	if (r->hooks.pauses)
		return r->hooks.pauses(r->hooks.ctx, s);
	return r->faulting && r->faulting->space == s ? UINT_MAX : 0;
}

/* Who goes; NULL: nobody, there are no two that could. */
static struct pg_space *choose(const struct pg_reclaim *r)
{
	struct pg_space *best = NULL;
	unsigned least = UINT_MAX, count = !r->hooks.pauses;

	for (struct pg_space *s = r->vm->spaces; s; s = s->next) {
		unsigned n = pauses(r, s);

		if (n == UINT_MAX)
			continue;
		count++;
		if (!best || n < least || (n == least && s->st.rss_pages > best->st.rss_pages)) {
			best = s;
			least = n;
		}
	}
	return count > 1 ? best : NULL;
}

static void begin(struct pg_reclaim *r)
{
	struct pg_space *out = choose(r);
	uint64_t n = out ? pg_reclaim_swap_out_space(r, out) : 0;

	r->st.thrashing += !r->is_thrashing;
	r->st.swapped_out_whole += out != NULL;
	if ((out || !r->is_thrashing) && r->hooks.thrashing)
		r->hooks.thrashing(r->hooks.ctx, true, out, n);
	r->is_thrashing = true;
}

void pg_reclaim_note_in(struct pg_reclaim *r, bool near)
{
	uint64_t window = r->total / 4 > 64 ? r->total / 4 : 64;

	r->window_in++;
	r->window_refaults += near;
	if (r->window_in < window)
		return;
	r->windows_bad = r->window_refaults > window / 2 ? r->windows_bad + 1 : 0;
	if (r->windows_bad >= 2) {
		r->windows_bad = 0;
		r->want_relief = true; /* not here: somebody is in the middle of a fault */
	} else if (r->is_thrashing && r->window_refaults < window / 4) {
		r->is_thrashing = false;
		if (r->hooks.thrashing)
			r->hooks.thrashing(r->hooks.ctx, false, NULL, 0);
	}
	r->window_in = r->window_refaults = 0;
}

void pg_reclaim_relieve(struct pg_reclaim *r)
{
	if (!r->want_relief)
		return;
	r->want_relief = false;
	begin(r);
}

struct pg_space *pg_reclaim_oom_victim(
	struct pg_reclaim *r, int (*adj)(void *ctx, struct pg_space *s), void *ctx, int64_t *points)
{
	struct pg_space *worst = NULL;

	for (struct pg_space *s = r->vm->spaces; s; s = s->next) {
		int64_t p = pg_space_badness(s, adj ? adj(ctx, s) : 0);

		if (p != INT64_MIN && (!worst || p > *points)) {
			worst = s;
			*points = p;
		}
	}
	return worst;
}
