/* SPDX-License-Identifier: MIT */
/*
 * space/measure.c: what a region has in memory, as /proc/PID/smaps, pagemap and mincore(2) say it.
 *
 * Called by linux/ and ui/ (space.h). Reads entries, frames and anons; clearing accessed bits is the
 * one thing that it changes. Definitions as Linux's fs/proc/task_mmu.c and mm/mincore.c: a page is
 * shared if more than one entry names its frame; the zero page counts nowhere.
 */
#include "space/impl.h"

/* Shares are kept in units of 2^-12 byte, as Linux's PSS_SHIFT. */
#define SHARE ((PG_PAGE_SIZE) << 12)

/* Adds the page of r that the entry pte names. */
static void add_page(const struct region *r, pg_pte pte, struct pg_region_figures *out)
{
	const struct pg_vm *vm = r->space->vm;
	const struct pg_frame *row = pg_frames_row(vm->frames, pg_pte_pfn(pte));
	bool anon = row->state != PG_FRAME_CACHE, shared = row->map_count > 1;
	bool dirty = (pte & PG_PTE_D) || (row->flags & PG_FRAME_DIRTY);
	uint64_t share = SHARE / row->map_count;

	out->rss += PG_PAGE_SIZE;
	out->pss += share;
	if (dirty)
		out->pss_dirty += share;
	if (anon) {
		out->anonymous += PG_PAGE_SIZE;
		out->pss_anon += share;
		out->lazy_free += (row->flags & PG_FRAME_LAZY) && !dirty ? PG_PAGE_SIZE : 0;
	} else {
		*(((struct pg_object *)row->owner)->shmem ? &out->pss_shmem : &out->pss_file) +=
			share;
	}
	if (r->pub.flags & PG_MAP_LOCKED)
		out->pss_locked += share;
	if (pte & PG_PTE_A)
		out->referenced += PG_PAGE_SIZE;
	if (shared)
		*(dirty ? &out->shared_dirty : &out->shared_clean) += PG_PAGE_SIZE;
	else
		*(dirty ? &out->private_dirty : &out->private_clean) += PG_PAGE_SIZE;
}

/* The regions of all spaces that hold anon a at index. */
static uint64_t holders(struct pg_vm *vm, uint64_t index, const struct pg_anon *a)
{
	uint64_t n = 0;

	for (struct pg_space *s = vm->spaces; s; s = s->next) {
		for (struct region *r = pg_region_first(s); r; r = pg_region_next(r))
			n += r->anons.root && pg_sparse_get(&r->anons, index, NULL) == a;
	}
	return n;
}

/* Adds the pages of r that are in a store and in no frame. Of shared memory `swap` only, as Linux does. */
static void add_swapped(const struct region *r, struct pg_region_figures *out)
{
	uint64_t first = pg_region_index(r, r->pub.start.v >> PG_PAGE_SHIFT);
	uint64_t last = first + ((r->pub.end.v - r->pub.start.v) >> PG_PAGE_SHIFT) - 1;
	uint64_t at = first, index;
	struct pg_anon *a;

	while (r->pub.object && r->pub.object->slots.root && at <= last &&
		pg_sparse_next(&r->pub.object->slots, at, last, &index)) {
		out->swap += PG_PAGE_SIZE;
		at = index + 1;
	}
	at = 0;
	while ((a = pg_sparse_next(&r->anons, at, UINT64_MAX, &index))) {
		bool alone = false;

		at = index + 1;
		if (!pg_pfn_is_none(a->pfn) || pg_slot_is_none(a->slot))
			continue;
		(void)pg_sparse_get(&r->anons, index, &alone);
		out->swap += PG_PAGE_SIZE;
		out->swap_pss +=
			SHARE / (alone && a->refs == 1 ? 1 : holders(r->space->vm, index, a));
	}
}

bool pg_space_measure(struct pg_space *s, pg_va a, struct pg_region_figures *out)
{
	struct region *r = pg_region_at(s, a.v);
	uint64_t at, end;
	pg_vpn vpn;
	pg_pte pte;

	*out = (struct pg_region_figures){0};
	if (!r)
		return false;
	at = r->pub.start.v >> PG_PAGE_SHIFT;
	end = r->pub.end.v >> PG_PAGE_SHIFT;
	while (r->touched && at < end &&
		s->form->next(s->table, (pg_vpn){at}, (pg_vpn){end}, &vpn, &pte)) {
		if (pg_pte_pfn(pte).v != s->vm->zero.v)
			add_page(r, pte, out);
		at = vpn.v + 1;
	}
	add_swapped(r, out);
	out->guards = r->guarded;
	return true;
}

void pg_space_clear_referenced(struct pg_space *s, bool anon, bool other)
{
	uint64_t at = 0, end = (s->c.hi.v - 1) / PG_PAGE_SIZE + 1;
	pg_vpn vpn;
	pg_pte pte;

	while (at < end && s->form->next(s->table, (pg_vpn){at}, (pg_vpn){end}, &vpn, &pte)) {
		bool is_anon =
			pg_frames_row(s->vm->frames, pg_pte_pfn(pte))->state == PG_FRAME_ANON;

		at = vpn.v + 1;
		if ((pte & PG_PTE_A) && (is_anon ? anon : other))
			s->form->update(s->table, vpn, 0, PG_PTE_A);
	}
	pg_pages_invalidate(
		s, s->c.lo.v >> PG_PAGE_SHIFT, end); /* so that the bits are set again */
}

int64_t pg_space_badness(struct pg_space *s, int adj)
{
	uint64_t all = pg_frames_total(s->vm->frames) + s->vm->swap_pages;
	struct pg_space_stats st;

	if (adj <= -1000)
		return INT64_MIN;
	pg_space_stats(s, &st);
	return (int64_t)(st.rss_pages + pg_space_swap_pages(s) + st.table.node_frames) +
	       (int64_t)adj * (int64_t)(all / 1000);
}

/* Linux's bits of a pagemap entry. */
#define MAP_EXCLUSIVE ((uint64_t)1 << 56)
#define MAP_GUARD ((uint64_t)1 << 58)
#define MAP_FILE ((uint64_t)1 << 61)
#define MAP_SWAPPED ((uint64_t)1 << 62)
#define MAP_PRESENT ((uint64_t)1 << 63)

uint64_t pg_space_pagemap(struct pg_space *s, pg_vpn vpn)
{
	struct region *r = pg_region_at(s, pg_va_of(vpn).v);
	const struct pg_frame *row;
	struct pg_anon *a;
	uint64_t bits;
	pg_pte pte;

	if (!r)
		return 0;
	if (pg_guard_at(r, pg_region_index(r, vpn.v)))
		return MAP_GUARD;
	pte = pg_table_find(s->table, vpn);
	if (!pte) {
		a = pg_sparse_get(&r->anons, pg_region_index(r, vpn.v), NULL);
		if (!a || !pg_pfn_is_none(a->pfn) || pg_slot_is_none(a->slot))
			return 0;
		return MAP_SWAPPED | (uint64_t)a->slot.v << 5; /* store 0; the offset from bit 5 */
	}
	row = pg_frames_row(s->vm->frames, pg_pte_pfn(pte));
	bits = MAP_PRESENT | pg_pte_pfn(pte).v;
	if (pg_pte_pfn(pte).v == s->vm->zero.v)
		return bits;
	if (row->state == PG_FRAME_CACHE)
		bits |= MAP_FILE;
	return row->map_count == 1 ? bits | MAP_EXCLUSIVE : bits;
}

bool pg_space_in_core(struct pg_space *s, pg_va a)
{
	struct region *r = pg_region_at(s, a.v);
	struct pg_anon *anon;
	uint64_t index;

	if (!r)
		return false;
	if (pg_table_find(s->table, pg_vpn_of(a)))
		return true;
	index = pg_region_index(r, pg_vpn_of(a).v);
	anon = pg_sparse_get(&r->anons, index, NULL);
	if (anon && !pg_anon_is_empty(anon))
		return !pg_pfn_is_none(anon->pfn);
	return r->pub.object && !pg_pfn_is_none(pg_object_page(r->pub.object, index));
}
