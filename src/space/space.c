/* SPDX-License-Identifier: MIT */
/*
 * space/space.c: address spaces: making and ending them, and what others may ask of them.
 *
 * Called by the upper floors (space.h). Calls region.c, pages.c, map.c and the table's form.
 * Owns struct pg_space and its page table.
 * Not here: mapping calls (map.c, remap.c, grow.c), faults (fault.c), system calls' access
 * (access.c).
 */
#include "space/impl.h"

#include <errno.h>

/* A free address-space number, or -ENOMEM: 65 535 spaces live. */
static int asid_take(struct pg_vm *vm, uint16_t *out)
{
	for (uint32_t i = 0; i < 65536; i++) {
		uint32_t a = (vm->asid_hint + i) & 0xffff;

		if (a == 0 || (vm->asids[a / 64] >> (a % 64) & 1))
			continue;
		vm->asids[a / 64] |= (uint64_t)1 << (a % 64);
		vm->asid_hint = a + 1;
		*out = (uint16_t)a;
		return 0;
	}
	return -ENOMEM;
}

static void asid_give(struct pg_vm *vm, uint16_t a)
{
	vm->asids[a / 64] &= ~((uint64_t)1 << (a % 64));
}

static bool config_ok(const struct pg_vm *vm, const struct pg_space_config *c)
{
	unsigned bits = vm->geometry.page_shift + pg_geometry_vpn_bits(&vm->geometry);

	return c->lo.v < c->hi.v && c->mmap_top.v <= c->hi.v && c->mmap_top.v > c->lo.v &&
	       !((c->lo.v | c->hi.v | c->mmap_top.v | c->stack_gap_bytes) & PG_PAGE_MASK) &&
	       (bits >= 64 || c->hi.v <= (uint64_t)1 << bits);
}

/* The hardware lost sight of a page because its frame's entry went to another. */
static void displaced(void *ctx, pg_vpn vpn)
{
	pg_pages_invalidate(ctx, vpn.v, vpn.v + 1);
}

static int table_make(struct pg_space *s)
{
	const struct pg_table_config c = {.frames = s->vm->frames,
		.geometry = &s->vm->geometry,
		.machine = s->vm->tables,
		.owner = s->asid,
		.displaced = displaced,
		.ctx = s};

	return s->form->create(&c, &s->table);
}

int pg_space_create(struct pg_vm *vm, const struct pg_space_config *c, struct pg_space **out)
{
	struct pg_space *s;
	int err;

	if (!config_ok(vm, c))
		return -EINVAL;
	s = pg_mem_alloc(&vm->mem, sizeof *s);
	if (!s)
		return -ENOMEM;
	s->vm = vm;
	s->c = *c;
	s->form = vm->form;
	s->limits = (struct pg_space_limits){UINT64_MAX, UINT64_MAX, UINT64_MAX};
	pg_region_init(s);
	s->no_nx = vm->geometry.entry_bytes == 4;
	err = asid_take(vm, &s->asid);
	if (err)
		goto fail;
	err = table_make(s);
	while (err == -ENOMEM && pg_cache_make_room(vm))
		err = table_make(s);
	if (err)
		goto fail_asid;
	s->next = vm->spaces;
	if (vm->spaces)
		vm->spaces->prev = s;
	vm->spaces = s;
	vm->space_count++;
	s->number = ++vm->last_space_number;
	*out = s;
	return 0;
fail_asid:
	asid_give(vm, s->asid);
fail:
	pg_mem_free(&vm->mem, s);
	return err;
}

void pg_space_destroy(struct pg_space *s)
{
	struct pg_vm *vm = s->vm;

	pg_block_drop(s);
	if (s->regions.root)
		pg_map_bury(vm, pg_map_clear(s, 0, UINT64_MAX));
	PG_ASSERT(!s->st.rss_pages && !s->st.vsz_bytes);
	s->form->destroy(s->table);
	asid_give(vm, s->asid);
	if (s->prev)
		s->prev->next = s->next;
	else
		vm->spaces = s->next;
	if (s->next)
		s->next->prev = s->prev;
	vm->space_count--;
	pg_mem_free(&vm->mem, s);
}

const struct pg_space_config *pg_space_configuration(const struct pg_space *s)
{
	return &s->c;
}

struct pg_table *pg_space_table(struct pg_space *s)
{
	return s->table;
}

uint16_t pg_space_asid(const struct pg_space *s)
{
	return s->asid;
}

void pg_space_attach(struct pg_space *s, struct pg_shootdown *sd)
{
	sd->next = s->shootdowns;
	s->shootdowns = sd;
}

void pg_space_detach(struct pg_space *s, struct pg_shootdown *sd)
{
	struct pg_shootdown **at = &s->shootdowns;

	while (*at && *at != sd)
		at = &(*at)->next;
	PG_ASSERT(*at);
	*at = sd->next;
	sd->next = NULL;
}

bool pg_space_find(struct pg_space *s, pg_va a, bool or_above, struct pg_region *out)
{
	struct region *r = pg_region_above(s, a.v);

	if (!r || (!or_above && r->pub.start.v > a.v))
		return false;
	pg_pages_resident(r);
	*out = r->pub;
	return true;
}

void pg_space_each_region(
	struct pg_space *s, bool (*f)(void *ctx, const struct pg_region *r), void *ctx)
{
	struct region *next;

	for (struct region *r = pg_region_first(s); r; r = next) {
		next = pg_region_next(r);
		pg_pages_resident(r);
		if (!f(ctx, &r->pub))
			return;
	}
}

pg_pfn pg_space_resident(struct pg_space *s, pg_va a, pg_pte *pte)
{
	pg_pte e = s->block || pg_region_at(s, a.v) ? pg_table_find(s->table, pg_vpn_of(a)) : 0;

	if (pte)
		*pte = e;
	return e ? pg_pte_pfn(e) : PG_PFN_NONE;
}

uint64_t pg_space_swap_pages(struct pg_space *s)
{
	uint64_t n = 0;

	if (s->block)
		return s->block->slots ? s->block->r.pages : 0;
	for (struct region *r = pg_region_first(s); r; r = pg_region_next(r)) {
		const struct pg_anon *a;
		uint64_t at = 0, index;

		while ((a = pg_sparse_next(&r->anons, at, UINT64_MAX, &index))) {
			n += pg_pfn_is_none(a->pfn) && !pg_slot_is_none(a->slot);
			at = index + 1;
		}
	}
	return n;
}

pg_pfn pg_space_walk(struct pg_space *s, pg_va a, pg_pte *pte)
{
	unsigned refs;

	*pte = s->block || pg_region_at(s, a.v) ? s->form->walk(s->table, pg_vpn_of(a), &refs) : 0;
	return *pte ? pg_pte_pfn(*pte) : PG_PFN_NONE;
}

void pg_space_stats(const struct pg_space *s, struct pg_space_stats *out)
{
	*out = s->st;
	s->form->stats(s->table, &out->table);
}
