/* SPDX-License-Identifier: MIT */
/*
 * reclaim/pageout.c: how a page leaves its frame.
 *
 * Called by reclaim.c (when frames are wanted) and space/ (MADV_PAGEOUT). Calls the policy (which one), space/pages.c (to take it out
 * of every page table by the reverse map), the store and the files' pagers.
 *
 * What happens to a page that was picked:
 *
 *   in use by a host call, or asked for just now     stays
 *   in a locked region                               held, unknown to the policy
 *   of a file, clean                                 out of all tables, dropped
 *   of a file, dirty                                 written by its pager first, if the lock may be released; else stays
 *   private or shared memory, its slot's copy good   out of all tables, dropped
 *   private, given up by MADV_FREE and not written   out of all tables, dropped; reads as zero
 *   private or shared memory, else                   out of all tables, written to a new slot with others (a batch), dropped
 *     when there is no slot                          held
 *     when it could not be written                   stays; a fault puts it back into the table
 *
 * D bits are moved to the frame's row before anything is decided. A batch is pinned from when its first page is queued: while the lock is
 * released, to write it or a file's page before it, its pages may be faulted back in, written or freed; what is found afterwards decides.
 */
#include "reclaim/impl.h"

#include <errno.h>

/* What became of one page. */
enum outcome { WENT, STAYS, QUEUED };

struct batch {
	pg_pfn f[PG_BATCH];
	unsigned n;
	bool may_release;
};

static struct pg_frame *row_of(const struct pg_reclaim *r, pg_pfn f)
{
	return pg_frames_row(r->frames, f);
}

bool pg_reclaim_locked(const struct pg_reclaim *r, pg_pfn f)
{
	return r->vm->locked_bytes && pg_pages_locked(r->vm, f);
}

/* Asked for so lately that it must stay; not more than a quarter of the pages, but two. */
static bool is_recent(const struct pg_reclaim *r, pg_pfn f)
{
	uint64_t quarter = r->policy->ops->pages(r->policy) / 4;

	quarter = quarter < 2 ? 2 : quarter;
	return r->demands - r->pages[f.v].asked < (quarter < PG_RECENT ? quarter : PG_RECENT);
}

/* The page of f, on no table any more and with nothing to write, leaves. */
static void drop(struct pg_reclaim *r, pg_pfn f)
{
	struct pg_frame *row = row_of(r, f);
	struct pg_page_key key = pg_reclaim_key(row);

	r->pages[f.v].leaves = 1;
	if (row->state == PG_FRAME_ANON) {
		((struct pg_anon *)row->owner)->pfn = PG_PFN_NONE;
		pg_cache_clear_lazy(r->vm, f);
		pg_frame_release(r->vm, f);
	} else {
		pg_object_forget(row->owner, row->index, f);
	}
	pg_reclaim_went(r, f, key);
}

/* The page of f is still the one that was picked or taken. */
static bool is_ours(const struct pg_reclaim *r, pg_pfn f)
{
	return r->pages[f.v].at == PG_AT_PICKED || r->pages[f.v].at == PG_AT_TAKEN;
}

/* A page of a file, which has one reference more meanwhile. */
static enum outcome drop_file(struct pg_reclaim *r, pg_pfn f, bool may_release)
{
	struct pg_fault_event *fault = r->faulting;
	struct pg_frame *row = row_of(r, f);
	bool direct = r->direct;
	int err;

	if (row->flags & PG_FRAME_DIRTY) {
		if (!may_release)
			return STAYS;
		err = pg_object_write_page(row->owner, row->index, f); /* may release the lock */
		r->faulting = fault;
		r->direct = direct;
		r->st.write_errors += err != 0;
		if (!is_ours(r, f))
			return WENT; /* cut off or freed meanwhile; the policy was told */
		pg_pages_harvest(r->vm, f);
		if (err || row->pins || (row->flags & PG_FRAME_DIRTY))
			return STAYS;
		r->st.file_written++;
		r->st.file_dropped--;
	}
	pg_pages_remove_frame(r->vm, f);
	if (row->flags & PG_FRAME_DIRTY)
		return STAYS;
	drop(r, f);
	r->st.file_dropped++;
	return WENT;
}

/* The slot whose copy of the page is still good, or PG_SLOT_NONE. */
static pg_slot good_slot(const struct pg_frame *row)
{
	if (row->state != PG_FRAME_ANON || (row->flags & PG_FRAME_DIRTY))
		return PG_SLOT_NONE;
	return ((struct pg_anon *)row->owner)->slot;
}

/* A page of private or shared memory. */
static enum outcome drop_own(struct pg_reclaim *r, pg_pfn f, struct batch *b)
{
	struct pg_frame *row = row_of(r, f);
	struct pg_space *s = row->rmap ? row->rmap->space : NULL;

	if (row->flags & PG_FRAME_LAZY) {
		pg_pages_remove_frame(r->vm, f);
		drop(r, f);
		r->st.lazy_dropped++;
		return WENT;
	}
	if (pg_slot_is_none(good_slot(row)) && r->swap_full &&
		(row->state != PG_FRAME_ANON ||
			pg_slot_is_none(((struct pg_anon *)row->owner)->slot))) {
		pg_reclaim_hold(r, f, PG_AT_NO_ROOM);
		return STAYS;
	}
	pg_pages_remove_frame(r->vm, f);
	if (!pg_slot_is_none(good_slot(row))) {
		drop(r, f);
		r->st.swap_dropped++;
		return WENT;
	}
	if (s)
		s->st.swap_out++;
	row->pins++;
	row->flags |= PG_FRAME_BUSY;
	b->f[b->n++] = f;
	return QUEUED;
}

/* A page that was picked or taken. */
static enum outcome try_page(struct pg_reclaim *r, pg_pfn f, struct batch *b)
{
	struct pg_frame *row = row_of(r, f);
	struct pg_object *file = NULL;
	enum outcome what;

	if (row->pins || (row->flags & PG_FRAME_BUSY) ||
		(r->pages[f.v].at == PG_AT_PICKED && is_recent(r, f))) {
		pg_reclaim_stays(r, f);
		return STAYS;
	}
	if (pg_reclaim_locked(r, f)) {
		pg_reclaim_hold(r, f, PG_AT_LOCKED);
		return STAYS;
	}
	pg_pages_harvest(r->vm, f);
	if (row->state == PG_FRAME_CACHE && ((struct pg_object *)row->owner)->pager) {
		file = row->owner;
		pg_object_ref(file);
		what = drop_file(r, f, b->may_release);
	} else {
		what = drop_own(r, f, b);
	}
	if (what == STAYS && is_ours(r, f))
		pg_reclaim_stays(r, f);
	if (file)
		pg_object_unref(file);
	return what;
}

/* ---- writing a batch */

/* A slot whose bytes are no longer those of the page in f is given back. */
static void free_stale(struct pg_reclaim *r, pg_pfn f)
{
	struct pg_frame *row = row_of(r, f);
	struct pg_anon *a = row->owner;

	if (row->state != PG_FRAME_ANON || pg_slot_is_none(a->slot))
		return;
	pg_reclaim_slots_free(r, a->slot);
	a->slot = PG_SLOT_NONE;
}

/* The batch waits no more for the page of f. */
static void let_go(struct pg_reclaim *r, pg_pfn f)
{
	struct pg_frame *row = row_of(r, f);

	row->pins--;
	row->flags &= (uint16_t)~PG_FRAME_BUSY;
}

/* Lets go of a page that was freed while the lock was released: it has no owner, and the policy was told. False: it has one. */
static bool let_go_if_freed(struct pg_reclaim *r, pg_pfn f)
{
	if (row_of(r, f)->owner)
		return false;
	let_go(r, f);
	if (!row_of(r, f)->pins)
		pg_frames_free(r->frames, f);
	return true;
}

/* Pages that were freed before the batch is written: a file's page was written in between, see drop_file(). */
static void leave_out_freed(struct pg_reclaim *r, struct batch *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->n; i++) {
		if (!let_go_if_freed(r, b->f[i]))
			b->f[n++] = b->f[i];
	}
	b->n = n;
}

/* Lowest key first: pages that were made one after another get slots one after another. */
static void sort_batch(struct pg_reclaim *r, struct batch *b)
{
	for (unsigned i = 1; i < b->n; i++) {
		pg_pfn f = b->f[i];
		struct pg_page_key k = pg_reclaim_key(row_of(r, f));
		unsigned j = i;

		for (; j > 0; j--) {
			struct pg_page_key o = pg_reclaim_key(row_of(r, b->f[j - 1]));

			if (o.object < k.object || (o.object == k.object && o.index < k.index))
				break;
			b->f[j] = b->f[j - 1];
		}
		b->f[j] = f;
	}
}

/* The page of f has been written to slot s: names it. -ENOMEM: no record. */
static int take_slot(struct pg_reclaim *r, pg_pfn f, pg_slot s)
{
	struct pg_frame *row = row_of(r, f);
	struct pg_sparse_place place;
	struct pg_object *o = row->owner;

	if (row->state == PG_FRAME_ANON) {
		((struct pg_anon *)row->owner)->slot = s;
		pg_reclaim_slots_own(r, s, row->owner, 0, false);
		return 0;
	}
	if (pg_sparse_reserve(&r->vm->page_kind, &o->slots, row->index, &place))
		return -ENOMEM;
	pg_sparse_put(&r->vm->page_kind, &place, (void *)((uintptr_t)s.v + 1));
	pg_reclaim_slots_own(r, s, o, row->index, true);
	return 0;
}

/* A page that was queued is not written: it stays, or is held. */
static void unqueue(struct pg_reclaim *r, pg_pfn f, bool no_room)
{
	struct pg_frame *row = row_of(r, f);

	row->flags |= PG_FRAME_DIRTY;
	if (no_room)
		pg_reclaim_hold(r, f, PG_AT_NO_ROOM);
	else
		pg_reclaim_stays(r, f);
}

/* After the write: the pin goes, and the page if nobody wants it. 1 if a frame is free. */
static unsigned finish(struct pg_reclaim *r, pg_pfn f, const struct pg_store_io *io)
{
	struct pg_frame *row = row_of(r, f);

	if (let_go_if_freed(r, f)) {
		pg_store_release(r->store, io->slot, 1);
		return 0;
	}
	let_go(r, f);
	if (io->status || row->map_count || row->pins || (row->flags & PG_FRAME_DIRTY)) {
		r->st.write_errors += io->status && io->status != -ENOSPC;
		pg_store_release(r->store, io->slot, 1);
		unqueue(r, f, io->status == -ENOSPC);
		return 0;
	}
	if (take_slot(r, f, io->slot)) {
		pg_store_release(r->store, io->slot, 1);
		unqueue(r, f, false);
		return 0;
	}
	drop(r, f);
	r->st.swap_out++;
	if (r->faulting)
		r->faulting->cost.swap_written++;
	return 1;
}

/* Writes the batch; how many frames became free. */
static unsigned flush(struct pg_reclaim *r, struct batch *b)
{
	struct pg_store_io io[PG_BATCH];
	unsigned n = 0, freed = 0, got;
	struct pg_unlocked u;
	pg_slot first;

	leave_out_freed(r, b);
	if (!b->n)
		return 0;
	sort_batch(r, b);
	for (unsigned i = 0; i < b->n; i++)
		free_stale(r, b->f[i]);
	while (n < b->n && (got = pg_reclaim_slots_reserve(r, b->n - n, &first))) {
		for (unsigned i = 0; i < got; i++, n++) {
			io[n] = (struct pg_store_io){
				.slot = {first.v + i}, .page = pg_frames_bytes(r->frames, b->f[n])};
			row_of(r, b->f[n])->flags &= (uint16_t)~PG_FRAME_DIRTY;
		}
	}
	for (unsigned i = n; i < b->n; i++) { /* no slot */
		let_go(r, b->f[i]);
		unqueue(r, b->f[i], true);
	}
	if (n) {
		int err;

		if (b->may_release)
			u = pg_reclaim_unlock(r);
		err = pg_store_write(r->store, io, n);
		if (b->may_release)
			pg_reclaim_lock(r, u);
		r->st.swap_out_clusters += !err;
	}
	for (unsigned i = 0; i < n; i++)
		freed += finish(r, b->f[i], &io[i]);
	b->n = 0;
	return freed;
}

uint64_t pg_reclaim_shrink(struct pg_reclaim *r, uint64_t n, bool may_release)
{
	struct batch b = {.may_release = may_release};
	uint64_t tries = r->policy->ops->pages(r->policy), freed = 0;

	for (; freed < n && pg_cache_drop_lazy(r->vm); freed++) {
		r->st.reclaimed++;
		r->st.lazy_dropped++;
	}
	do { /* again if others wanted back all that was written: only a look at every page may be in vain */
		for (; tries && freed + b.n < n; tries--) {
			pg_pfn f = r->policy->ops->pick(r->policy);

			if (pg_pfn_is_none(f)) {
				tries = 0;
				break;
			}
			r->st.picked++;
			r->pages[f.v].at = PG_AT_PICKED;
			freed += try_page(r, f, &b) == WENT;
			if (b.n == PG_BATCH)
				freed += flush(r, &b);
		}
		freed += flush(r, &b);
	} while (n && !freed && tries);
	pg_reclaim_end_round(r);
	return freed;
}

/* Takes the page of f from the policy to be evicted. False: it is not there. */
static bool take(struct pg_reclaim *r, pg_pfn f)
{
	if (r->pages[f.v].at != PG_AT_POLICY)
		return false;
	r->policy->ops->removed(r->policy, f);
	r->pages[f.v].at = PG_AT_TAKEN;
	return true;
}

bool pg_reclaim_evict(void *ctx, pg_pfn f)
{
	struct pg_reclaim *r = ctx;
	struct batch b = {0};

	return take(r, f) && (try_page(r, f, &b) == WENT || flush(r, &b) == 1);
}

uint64_t pg_reclaim_swap_out_space(struct pg_reclaim *r, struct pg_space *s)
{
	uint64_t at = s->c.lo.v >> PG_PAGE_SHIFT, n = 0;
	uint64_t end = (s->c.hi.v - 1) / PG_PAGE_SIZE + 1;
	struct batch b = {0};
	pg_vpn vpn;
	pg_pte pte;

	while (at < end && s->form->next(s->table, (pg_vpn){at}, (pg_vpn){end}, &vpn, &pte)) {
		at = vpn.v + 1;
		if (!take(r, pg_pte_pfn(pte)))
			continue;
		n += try_page(r, pg_pte_pfn(pte), &b) == WENT;
		if (b.n == PG_BATCH)
			n += flush(r, &b);
	}
	return n + flush(r, &b);
}
