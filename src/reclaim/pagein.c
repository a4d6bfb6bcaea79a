/* SPDX-License-Identifier: MIT */
/*
 * reclaim/pagein.c: how a page comes back, and what is read beside it.
 *
 * Called by space/ (faults, through struct pg_pageout). Calls the store, frame/.
 *
 * From a store a fault reads its page and, while frames are free, others that are likely wanted: private pages at the addresses
 * around it, then pages in the slots around it. How many: as many as lately proved useful (mm/swap_state.c,
 * __swapin_nr_pages()): two more than were asked for since the last time, as a power of two, not less than half of last time's. A
 * page that was read ahead is in no table until a fault asks for it; that is a soft fault.
 *
 * From a file: mm/readahead.c's windows. A read at the beginning of the file or right behind the last one begins a small window;
 * a read inside the window's last part, or at its end, moves on to the next one, which is twice to four times as large; any
 * other reads its page alone and forgets the window.
 */
#include "reclaim/impl.h"

#include <errno.h>
#include <string.h>

#define MAX_WINDOW 32u

/* Pages being read. */
struct wants {
	struct pg_anon *a[MAX_WINDOW];
	struct pg_store_io io[MAX_WINDOW];
	pg_pfn f[MAX_WINDOW];
	uint32_t given[MAX_WINDOW]; /* of the slot, when it was asked for */
	unsigned n;
};

static unsigned round_up_pow2(unsigned v)
{
	unsigned p = 1;

	while (p < v)
		p *= 2;
	return p;
}

/* How many pages to read from the store for a page at `slot`. */
static unsigned window_of(struct pg_reclaim *r, uint32_t slot)
{
	unsigned n = r->swap_hits + 2;

	if (n == 2) { /* nothing was used: go on only if this looks sequential */
		if (slot != r->swap_last_slot + 1 && slot != r->swap_last_slot - 1)
			n = 1;
	} else {
		n = round_up_pow2(n < 4 ? 4 : n);
	}
	if (n > r->swap_window)
		n = r->swap_window;
	if (n < r->swap_last_window / 2)
		n = r->swap_last_window / 2;
	r->swap_hits = 0;
	r->swap_last_window = n;
	r->swap_last_slot = slot;
	return n;
}

static bool wanted(const struct wants *w, const struct pg_anon *a)
{
	for (unsigned i = 0; i < w->n; i++) {
		if (w->a[i] == a)
			return true;
	}
	return false;
}

/* Adds a, whose bytes go to frame f. */
static void want(struct pg_reclaim *r, struct wants *w, struct pg_anon *a, pg_pfn f)
{
	w->a[w->n] = a;
	w->f[w->n] = f;
	w->given[w->n] = r->slots[a->slot.v].given;
	w->io[w->n] = (struct pg_store_io){.slot = a->slot, .page = pg_frames_bytes(r->frames, f)};
	pg_frames_row(r->frames, f)->flags |= PG_FRAME_BUSY;
	a->refs++; /* it must not go while the lock is released */
	w->n++;
}

/* Adds a page that nobody has asked for, if it is in a slot only and a frame is to be had. */
static void want_more(struct pg_reclaim *r, struct wants *w, struct pg_anon *a)
{
	pg_pfn f;

	if (!a || pg_slot_is_none(a->slot) || !pg_pfn_is_none(a->pfn) || wanted(w, a))
		return;
	if (pg_frames_free_count(r->frames) <= r->low ||
		pg_frames_alloc(r->frames, 0, PG_FRAME_ANON, a, &f))
		return;
	want(r, w, a, f);
}

static void want_around(struct pg_reclaim *r, struct wants *w, struct region *region,
	uint64_t index, uint32_t slot, unsigned n)
{
	uint64_t from = index & ~(uint64_t)(n - 1);
	uint32_t first = slot & ~(n - 1);
	uint64_t pages = (region->pub.end.v - region->pub.start.v) >> PG_PAGE_SHIFT;

	for (uint64_t i = from; i < from + n && w->n < n; i++) {
		if (i >= region->index && i < region->index + pages)
			want_more(r, w, pg_sparse_get(&region->anons, i, NULL));
	}
	for (uint32_t s = first; s < first + n && w->n < n; s++)
		want_more(r, w, pg_reclaim_slots_anon(r, s));
}

/*
 * While the lock was released somebody else brought the page in: what was read, or not, means nothing. So too if it went out again, even
 * to the same slot: another page may have had that between.
 */
static bool is_stale(const struct pg_reclaim *r, const struct wants *w, unsigned i)
{
	const struct pg_anon *a = w->a[i];
	pg_slot s = w->io[i].slot;

	return !pg_pfn_is_none(a->pfn) || a->slot.v != s.v || r->slots[s.v].given != w->given[i];
}

/* The read of w->a[i] is over: it has its frame now, or the frame goes back. */
static void settle(struct pg_reclaim *r, struct wants *w, unsigned i, enum pg_access access)
{
	struct pg_anon *a = w->a[i];
	pg_pfn f = w->f[i];
	struct pg_store_room room;
	int status = w->io[i].status;

	pg_frames_row(r->frames, f)->flags &= (uint16_t)~PG_FRAME_BUSY;
	if (status && !is_stale(r, w, i)) {
		r->st.read_errors++;
		r->st.checksum_errors += status == -EILSEQ;
	}
	if (status || is_stale(r, w, i) || a->refs == 1) {
		pg_frame_release(r->vm, f);
		pg_anon_unref(r->vm, a);
		return;
	}
	a->pfn = f;
	a->refs--;
	r->st.swap_in++;
	/* Linux: do_swap_page() frees the slot when it will be stale, or swap is more than half full. */
	pg_store_room(r->store, &room);
	if (i == 0 && ((access == PG_WRITE && a->refs == 1) || 2 * r->slots_used > room.slots)) {
		pg_reclaim_slots_free(r, a->slot);
		a->slot = PG_SLOT_NONE;
	}
	r->pages[f.v].back = 1;
	pg_reclaim_page_in(r, f, i == 0 ? PG_IN_DEMAND : PG_IN_READAHEAD);
}

int pg_reclaim_anon_in(void *ctx, struct region *region, uint64_t index, struct pg_anon *a,
	enum pg_access access, uint32_t *brought)
{
	struct pg_reclaim *r = ctx;
	struct wants w = {.n = 0};
	struct pg_unlocked u;
	struct pg_stall stall;
	uint64_t before;
	pg_pfn f;
	int err = pg_cache_frame(r->vm, PG_FRAME_ANON, a, &f);

	if (err)
		return err;
	stall = pg_reclaim_stall_begin(r);
	want(r, &w, a, f);
	want_around(r, &w, region, index, a->slot.v, window_of(r, a->slot.v));
	u = pg_reclaim_unlock(r);
	(void)!pg_store_read(r->store, w.io, w.n); /* each page has its own status */
	pg_reclaim_lock(r, u);
	pg_reclaim_stall_end(r, stall);
	r->st.swap_in_clusters++;
	before = r->st.swap_in;
	err = is_stale(r, &w, 0) ? 0 : w.io[0].status; /* stale: the fault looks again */
	for (unsigned i = 0; i < w.n; i++)
		settle(r, &w, i, access);
	*brought = (uint32_t)(r->st.swap_in - before);
	if (r->faulting)
		r->faulting->cost.swap_in += *brought;
	return err == -ENOMEM ? -EIO : err; /* -ENOMEM would ask for frames */
}

int pg_reclaim_object_in(void *ctx, struct pg_object *o, uint64_t index, void *bytes)
{
	struct pg_reclaim *r = ctx;
	uintptr_t v = (uintptr_t)pg_sparse_get(&o->slots, index, NULL);
	struct pg_store_io io = {.slot = {(uint32_t)(v - 1)}, .page = bytes};
	struct pg_stall stall;
	int err;

	if (!v)
		return 0;
	stall = pg_reclaim_stall_begin(r);
	err = pg_store_read(r->store, &io, 1);
	r->st.swap_in_clusters++;
	pg_reclaim_stall_end(r, stall);
	if (err) {
		r->st.read_errors++;
		r->st.checksum_errors += err == -EILSEQ;
		return err == -ENOMEM ? -EIO : err;
	}
	r->st.swap_in++;
	r->pages[((uint8_t *)bytes - (uint8_t *)pg_frames_bytes(r->frames, (pg_pfn){0})) >>
		 PG_PAGE_SHIFT]
		.back = 1;
	if (r->faulting)
		r->faulting->cost.swap_in++;
	return 1;
}

int pg_reclaim_slot_peek(void *ctx, pg_slot slot, void *bytes)
{
	struct pg_reclaim *r = ctx;
	struct pg_store_io io = {.slot = slot, .page = bytes};

	return pg_store_read(r->store, &io, 1);
}

void pg_reclaim_object_cut(
	void *ctx, struct pg_object *o, uint64_t index, unsigned from, unsigned to)
{
	struct pg_reclaim *r = ctx;
	uintptr_t v = (uintptr_t)pg_sparse_get(&o->slots, index, NULL);
	uint8_t bytes[PG_PAGE_SIZE] __attribute__((aligned(4096)));
	struct pg_store_io io = {.slot = {(uint32_t)(v - 1)}, .page = bytes};

	if (!v || pg_store_read(r->store, &io, 1))
		return; /* unreadable: whoever wants it will be told */
	memset(bytes + from, 0, to - from);
	r->st.write_errors +=
		pg_store_write(r->store, &io, 1) != 0; /* it has no data now: the same */
}

/* mm/readahead.c, get_init_ra_size() for a request of one page. */
static unsigned first_window(unsigned max)
{
	return max / 32 >= 1 ? 4 : max / 4 >= 1 ? 2 : max;
}

/* mm/readahead.c, get_next_ra_size(). */
static uint64_t next_window(uint64_t cur, unsigned max)
{
	if (cur < max / 16)
		return 4 * cur;
	return cur <= max / 2 ? 2 * cur : max;
}

uint32_t pg_reclaim_file_window(void *ctx, struct pg_object *o, uint64_t index, uint64_t *first)
{
	struct pg_reclaim *r = ctx;
	uint64_t end = o->ra_start + o->ra_size, free = pg_frames_free_count(r->frames);
	uint64_t room = free > r->high ? free - r->high : 0;

	*first = index;
	if (o->ra_size && index >= end - o->ra_async && index <= end) {
		o->ra_start = end;
		o->ra_size = next_window(o->ra_size, r->file_window);
		o->ra_async = o->ra_size;
	} else if (index == 0 || index == o->ra_prev + 1) {
		o->ra_start = index;
		o->ra_size = first_window(r->file_window);
		o->ra_async = o->ra_size > 1 ? o->ra_size - 1 : o->ra_size;
	} else {
		o->ra_start = o->ra_size = o->ra_async = 0;
	}
	o->ra_prev = index;
	if (!o->ra_size || room <= 1)
		return 1;
	end = o->ra_start + o->ra_size;
	if (end - index > room)
		end = index + room;
	return end > index ? (uint32_t)(end - index) : 1;
}
