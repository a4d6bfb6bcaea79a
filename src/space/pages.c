/* SPDX-License-Identifier: MIT */
/*
 * space/pages.c: entries of a page table and all that hangs on one: the frame's map_count and
 * reverse map, resident counts, dirty bits, and telling those who cache translations.
 *
 * Called by every file of space/ that changes a mapping; nothing else calls the table's enter,
 * remove and update. Calls mmu/ through the form, frame/.
 *
 * Invariants (pg_space_check):
 *   P1 an entry lies inside a region and allows no more than the region does.
 *   P2 it names the frame of the page's anon, of its object's page, or the zero page where there is
 *      neither (read-only).
 *   P3 map_count of a frame is the number of entries that name it, and its reverse map names them
 *      all (the zero page has no reverse map).
 *   P4 the resident counts of region and space are those that a count gives; the zero page counts
 *      nowhere.
 *
 * The entry of a page in a region without rights keeps its frame and loses US, so that no access
 * of the guest matches it: the page stays resident, as it does on Linux after mprotect(PROT_NONE).
 */
#include "space/impl.h"

#include <errno.h>

pg_pte pg_pages_bits(const struct region *r, bool write)
{
	pg_pte bits = PG_PTE_P;

	if (r->pub.prot)
		bits |= PG_PTE_US;
	if (write && (r->pub.prot & PG_WRITE))
		bits |= PG_PTE_RW;
	if (!(r->pub.prot & PG_EXEC) && !r->space->no_nx)
		bits |= PG_PTE_NX;
	return bits;
}

void pg_pages_invalidate(struct pg_space *s, uint64_t start, uint64_t end)
{
	for (struct pg_shootdown *d = s->shootdowns; d; d = d->next)
		d->invalidate(d, (pg_vpn){start}, (pg_vpn){end});
}

/* Adds n (1 or -1) to the resident counts for an entry of r that names f. */
static void account(struct pg_space *s, struct region *r, pg_pfn f, int n)
{
	const struct pg_frame *row;

	if (f.v == s->vm->zero.v)
		return;
	row = pg_frames_row(s->vm->frames, f);
	if (row->state == PG_FRAME_ANON)
		s->st.rss_anon_pages += (uint64_t)n;
	else if (((struct pg_object *)row->owner)->shmem)
		s->st.rss_shmem_pages += (uint64_t)n;
	else
		s->st.rss_file_pages += (uint64_t)n;
	s->st.rss_pages += (uint64_t)n;
	if (s->st.rss_pages > s->st.rss_peak_pages)
		s->st.rss_peak_pages = s->st.rss_pages;
	if (r->pub.resident_pages != PG_RESIDENT_UNKNOWN)
		r->pub.resident_pages += (uint64_t)n;
}

/* One entry more for f. -ENOMEM: nothing changed. */
static int hang_on(struct pg_space *s, pg_pfn f, uint64_t vpn)
{
	if (f.v != s->vm->zero.v && pg_frames_rmap_add(s->vm->frames, f, s, (pg_vpn){vpn}))
		return -ENOMEM;
	if (pg_frames_row(s->vm->frames, f)->map_count++ == 0)
		pg_cache_sort(s->vm, f);
	if (s->vm->pageout.ctx && f.v != s->vm->zero.v)
		s->vm->pageout.page_in(s->vm->pageout.ctx, f, PG_IN_DEMAND);
	return 0;
}

/* One entry less for f. */
static void hang_off(struct pg_space *s, pg_pfn f, uint64_t vpn)
{
	struct pg_frame *row = pg_frames_row(s->vm->frames, f);

	if (f.v != s->vm->zero.v)
		pg_frames_rmap_remove(s->vm->frames, f, s, (pg_vpn){vpn});
	PG_ASSERT(row->map_count > 0);
	if (--row->map_count == 0)
		pg_cache_sort(s->vm, f);
}

void pg_pages_mark_dirty(struct pg_vm *vm, pg_pfn f)
{
	pg_cache_clear_lazy(vm, f);
	pg_frames_row(vm->frames, f)->flags |= PG_FRAME_DIRTY;
	pg_cache_sort(vm, f);
}

/* f is on one entry of a locked region less. */
static void unlocked(struct pg_vm *vm, pg_pfn f)
{
	if (vm->pageout.ctx && f.v != vm->zero.v)
		vm->pageout.page_unlocked(vm->pageout.ctx, f);
}

/* Keeps what an old entry's D bit says. */
static void harvest_bit(struct pg_space *s, pg_pte old)
{
	pg_pfn f = pg_pte_pfn(old);

	if ((old & PG_PTE_D) && f.v != s->vm->zero.v)
		pg_pages_mark_dirty(s->vm, f);
}

bool pg_pages_locked(struct pg_vm *vm, pg_pfn f)
{
	for (struct pg_rmap *m = pg_frames_row(vm->frames, f)->rmap; m; m = m->next) {
		struct region *r = pg_region_at(m->space, m->vpn.v << PG_PAGE_SHIFT);

		if (r && (r->pub.flags & PG_MAP_LOCKED))
			return true;
	}
	return false;
}

int pg_pages_enter(struct region *r, pg_vpn vpn, pg_pfn f, pg_pte bits)
{
	struct pg_space *s = r->space;
	struct pg_frame *row = pg_frames_row(s->vm->frames, f);
	pg_pte old = pg_table_find(s->table, vpn);
	bool same = old && pg_pte_pfn(old).v == f.v;
	int err;

	if (!same && hang_on(s, f, vpn.v))
		return -ENOMEM;
	if (same)
		bits |= old & (PG_PTE_A | PG_PTE_D);
	row->pins++; /* not to be dropped while a node is looked for */
	err = s->form->enter(s->table, vpn, pg_pte_make(f, bits));
	while (err == -ENOMEM && pg_cache_make_room(s->vm)) {
		old = pg_table_find(s->table, vpn); /* it may have been what was dropped */
		err = s->form->enter(s->table, vpn, pg_pte_make(f, bits));
	}
	row->pins--;
	if (err) {
		if (!same)
			hang_off(s, f, vpn.v);
		return -ENOMEM;
	}
	r->touched = true;
	if (old) {
		harvest_bit(s, old);
		if (!same) {
			account(s, r, pg_pte_pfn(old), -1);
			hang_off(s, pg_pte_pfn(old), vpn.v);
		}
		pg_pages_invalidate(s, vpn.v, vpn.v + 1);
	}
	if (!same)
		account(s, r, f, 1);
	return 0;
}

/* Takes the entry of vpn, old, out of the figures after it left the table. */
static void entry_gone(struct pg_space *s, struct region *r, uint64_t vpn, pg_pte old)
{
	harvest_bit(s, old);
	account(s, r, pg_pte_pfn(old), -1);
	hang_off(s, pg_pte_pfn(old), vpn);
	if (r->pub.flags & PG_MAP_LOCKED)
		unlocked(s->vm, pg_pte_pfn(old));
}

void pg_pages_remove(struct region *r, uint64_t start, uint64_t end)
{
	struct pg_space *s = r->space;
	uint64_t at = start;
	bool any = false;
	pg_vpn vpn;
	pg_pte pte;

	if (!r->touched)
		return;
	while (at < end && s->form->next(s->table, (pg_vpn){at}, (pg_vpn){end}, &vpn, &pte)) {
		pte = s->form->remove(s->table, vpn);
		entry_gone(s, r, vpn.v, pte);
		at = vpn.v + 1;
		any = true;
	}
	if (any)
		pg_pages_invalidate(s, start, end);
}

uint64_t pg_pages_forget_zero(
	struct pg_space *s, bool (*keep)(const void *ctx, pg_vpn vpn), const void *ctx)
{
	uint64_t at = s->c.lo.v >> PG_PAGE_SHIFT, end = (s->c.hi.v - 1) / PG_PAGE_SIZE + 1, n = 0;
	pg_vpn vpn;
	pg_pte pte;

	for (; at < end && s->form->next(s->table, (pg_vpn){at}, (pg_vpn){end}, &vpn, &pte);
		at = vpn.v + 1) {
		struct region *r;

		if (pg_pte_pfn(pte).v != s->vm->zero.v || keep(ctx, vpn))
			continue;
		r = pg_region_at(s, vpn.v << PG_PAGE_SHIFT);
		if (r->pub.flags & PG_MAP_LOCKED)
			continue;
		pg_pages_remove(r, vpn.v, vpn.v + 1);
		n++;
	}
	return n;
}

/* True if r alone holds the anon at vpn, so that a store needs no copy. */
static bool anon_is_ours(const struct region *r, uint64_t vpn)
{
	bool alone = false;
	struct pg_anon *a = pg_sparse_get(&r->anons, pg_region_index(r, vpn), &alone);

	return a && alone && a->refs == 1 && !pg_anon_is_empty(a);
}

void pg_pages_reprotect(struct region *r, uint64_t start, uint64_t end)
{
	struct pg_space *s = r->space;
	const pg_pte mask = PG_PTE_US | PG_PTE_RW | PG_PTE_NX;
	uint64_t at = start;
	bool any = false;
	pg_vpn vpn;
	pg_pte pte;

	if (!r->touched)
		return;
	while (at < end && s->form->next(s->table, (pg_vpn){at}, (pg_vpn){end}, &vpn, &pte)) {
		bool write = (r->pub.prot & PG_WRITE) &&
			     (pg_region_private(r) ? anon_is_ours(r, vpn.v)
						   : !pg_region_asks(r) ||
							     (pte & (PG_PTE_RW | PG_PTE_D)));
		pg_pte want = pg_pages_bits(r, write) & mask;

		if ((pte & mask) != want) {
			s->form->update(s->table, vpn, want, mask & ~want);
			any = true;
		}
		at = vpn.v + 1;
	}
	if (any)
		pg_pages_invalidate(s, start, end);
}

void pg_pages_unlock(struct region *r, uint64_t start, uint64_t end)
{
	struct pg_space *s = r->space;
	pg_vpn vpn;
	pg_pte pte;

	if (!r->touched)
		return;
	for (; start < end && s->form->next(s->table, (pg_vpn){start}, (pg_vpn){end}, &vpn, &pte);
		start = vpn.v + 1)
		unlocked(s->vm, pg_pte_pfn(pte));
}

void pg_pages_move(struct region *r, uint64_t start, uint64_t n, struct region *d, uint64_t to)
{
	struct pg_space *s = r->space;
	uint64_t at = start;
	bool any = false;
	pg_vpn vpn;
	pg_pte pte;

	if (!r->touched)
		return;
	while (at < start + n &&
		s->form->next(s->table, (pg_vpn){at}, (pg_vpn){start + n}, &vpn, &pte)) {
		uint64_t there = to + (vpn.v - start);
		pg_pfn f = pg_pte_pfn(pte);

		at = vpn.v + 1;
		any = true;
		pte = s->form->remove(s->table, vpn);
		entry_gone(s, r, vpn.v, pte);
		if (hang_on(s, f, there))
			continue; /* a soft fault brings it back */
		if (s->form->enter(s->table, (pg_vpn){there}, pte)) {
			hang_off(s, f, there);
			continue;
		}
		d->touched = true;
		account(s, d, f, 1);
	}
	if (any)
		pg_pages_invalidate(s, start, start + n);
}

void pg_pages_remove_frame(struct pg_vm *vm, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(vm->frames, f);

	while (row->rmap) {
		struct pg_space *s = row->rmap->space;
		uint64_t vpn = row->rmap->vpn.v;
		struct region *r = pg_region_at(s, vpn << PG_PAGE_SHIFT);
		pg_pte old = s->form->remove(s->table, (pg_vpn){vpn});

		PG_ASSERT(r && old && pg_pte_pfn(old).v == f.v);
		entry_gone(s, r, vpn, old);
		pg_pages_invalidate(s, vpn, vpn + 1);
	}
}

void pg_pages_harvest(struct pg_vm *vm, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(vm->frames, f);

	for (struct pg_rmap *m = row->rmap; m; m = m->next) {
		struct pg_space *s = m->space;
		pg_pte old = s->form->update(s->table, m->vpn, 0, PG_PTE_D);

		if (old & PG_PTE_D) {
			pg_pages_mark_dirty(vm, f);
			pg_pages_invalidate(s, m->vpn.v, m->vpn.v + 1);
		}
	}
	pg_cache_sort(vm, f);
}

uint64_t pg_pages_count(struct pg_space *s, uint64_t start, uint64_t end)
{
	uint64_t n = 0;
	pg_vpn vpn;
	pg_pte pte;

	while (start < end && s->form->next(s->table, (pg_vpn){start}, (pg_vpn){end}, &vpn, &pte)) {
		n += pg_pte_pfn(pte).v != s->vm->zero.v;
		start = vpn.v + 1;
	}
	return n;
}

uint64_t pg_pages_resident(struct region *r)
{
	if (r->pub.resident_pages == PG_RESIDENT_UNKNOWN)
		r->pub.resident_pages = pg_pages_count(
			r->space, r->pub.start.v >> PG_PAGE_SHIFT, r->pub.end.v >> PG_PAGE_SHIFT);
	return r->pub.resident_pages;
}
