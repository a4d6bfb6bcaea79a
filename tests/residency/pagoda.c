/* SPDX-License-Identifier: MIT */
/*
 * tests/residency/pagoda.c: looks at a guest from outside, by the machine's own page table and frames.
 *
 * Makes a machine as `pagoda run` does, runs the guest, and at its announcement (an unknown system call, so linux/ tells
 * the hook) walks the table page by page and copies the bytes of the frames that it names. Nothing here asks the guest
 * or goes through a system call of it; the bytes are read from the machine's memory file.
 */
#include "look.h"

#include "linux/linux.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct looker {
	struct look *look;
	struct pg_vm *vm;
	struct pg_linux *linux;
	struct pg_space *space;
	const struct pg_region *region; /* during one call of see_region() */
};

/* The bytes of a frame, from the memory file; they must be those at its host address. */
static bool read_frame(struct looker *k, pg_pfn f, uint8_t bytes[LOOK_PAGE])
{
	struct pg_frames *fs = pg_vm_frames(k->vm);

	if (f.v >= pg_frames_total(fs)) {
		look_trouble(k->look, "frame %u is beyond the memory", f.v);
		return false;
	}
	if (pread(pg_frames_fd(fs), bytes, LOOK_PAGE, (off_t)f.v * (off_t)LOOK_PAGE) !=
		(ssize_t)LOOK_PAGE) {
		look_trouble(k->look, "frame %u cannot be read", f.v);
		return false;
	}
	if (memcmp(bytes, pg_frames_bytes(fs, f), LOOK_PAGE) != 0) {
		look_trouble(k->look, "frame %u differs from its place in the file", f.v);
		return false;
	}
	return true;
}

static pg_pte walk(struct looker *k, uint64_t address)
{
	const struct pg_table *t = pg_space_table(k->space);
	unsigned refs = 0;

	return t->form->walk(t, pg_vpn_of((pg_va){address}), &refs);
}

static void see_page(struct looker *k, uint64_t address)
{
	struct pg_frames *fs = pg_vm_frames(k->vm);
	const struct pg_region *r = k->region;
	pg_pte e = walk(k, address), same = 0;
	pg_pfn resident = pg_space_resident(k->space, (pg_va){address}, &same);

	if (!(e & PG_PTE_P)) {
		if (e != 0 || !pg_pfn_is_none(resident))
			look_trouble(k->look, "%lx: no entry, but a frame", (unsigned long)address);
		return;
	}
	if (resident.v != pg_pte_pfn(e).v || same != e)
		look_trouble(k->look, "%lx: pg_space_resident() and the walk differ",
			(unsigned long)address);
	struct look_page *p = look_add_page(k->look);
	const struct pg_frame *row;

	p->address = address;
	p->number = pg_pte_pfn(e).v;
	p->writable = e & PG_PTE_RW;
	p->dirty = e & PG_PTE_D;
	p->has_bytes = read_frame(k, pg_pte_pfn(e), p->bytes);
	p->frame = LOOK_OTHER;
	if (!p->has_bytes)
		return;
	row = pg_frames_row(fs, pg_pte_pfn(e));
	p->map_count = row->map_count;
	if (p->number == pg_vm_zero_page(k->vm).v)
		p->frame = LOOK_ZERO;
	else if (row->state == PG_FRAME_ANON)
		p->frame = LOOK_PRIVATE;
	else if (row->state == PG_FRAME_CACHE)
		p->frame = LOOK_CACHE;
	p->in_place = row->owner == r->object &&
		      row->index == (r->offset + address - r->start.v) / LOOK_PAGE;
}

static bool see_region(void *ctx, const struct pg_region *r)
{
	struct looker *k = ctx;
	struct look_region *out = look_add_region(k->look);

	out->start = r->start.v;
	out->end = r->end.v;
	out->resident = r->resident_pages;
	out->offset = r->object ? r->offset : 0;
	snprintf(out->rights, sizeof out->rights, "%c%c%c%c", r->prot & PG_READ ? 'r' : '-',
		r->prot & PG_WRITE ? 'w' : '-', r->prot & PG_EXEC ? 'x' : '-',
		r->flags & PG_MAP_SHARED ? 's' : 'p');
	snprintf(out->name, sizeof out->name, "%s", r->name ? r->name : "");
	k->region = r;
	for (uint64_t a = r->start.v; a < r->end.v; a += LOOK_PAGE)
		see_page(k, a);
	return true;
}

/* The guest's table of places: bytes of frames, like everything else here. */
static void see_places(struct looker *k, uint64_t address, uint64_t count)
{
	struct look *l = k->look;
	uint64_t bytes = count * sizeof *l->places;

	if (count == 0 || count > PLACES_MAX || address % LOOK_PAGE != 0) {
		look_trouble(l, "no table of places at %lx", (unsigned long)address);
		return;
	}
	for (uint64_t at = 0; at < bytes; at += LOOK_PAGE) {
		const struct look_page *p = look_at(l, address + at);
		uint64_t n = bytes - at < LOOK_PAGE ? bytes - at : LOOK_PAGE;

		if (!p) {
			look_trouble(l, "the table of places is not in a frame");
			return;
		}
		memcpy((uint8_t *)l->places + at, p->bytes, n);
	}
	l->place_count = count;
}

/* Entries that lie in no region: there must be none. */
static void see_strays(struct looker *k)
{
	const struct pg_table *t = pg_space_table(k->space);
	pg_vpn at = {0}, found;
	const pg_vpn end = {(uint64_t)1 << 35};
	pg_pte e;
	size_t n = 0;

	for (; t->form->next(t, at, end, &found, &e); at.v = found.v + 1, n++)
		if (!look_at(k->look, found.v << PG_PAGE_SHIFT))
			look_trouble(k->look, "%lx: an entry in no region",
				(unsigned long)(found.v << PG_PAGE_SHIFT));
	if (n != k->look->page_count)
		look_trouble(
			k->look, "%zu entries by next(), %zu by walks", n, k->look->page_count);
}

static void on_unknown(void *ctx, unsigned number, const char *name, const char *what)
{
	struct looker *k = ctx;
	struct look *l = k->look;
	const struct pg_cpu_regs *regs = pg_linux_regs(k->linux);
	struct pg_space_stats stats;
	struct pg_frames_stats frames;

	if (number != PLACES_CALL)
		return;
	if (l->looks++ != 0)
		return;
	k->space = pg_linux_space(k->linux);
	pg_space_each_region(k->space, see_region, k);
	see_places(k, regs->gpr[PG_RDI], regs->gpr[PG_RSI]);
	see_strays(k);
	for (size_t i = 0; i < l->place_count; i++)
		if (l->places[i].state == PLACE_UNMAPPED && walk(k, l->places[i].address) != 0)
			look_trouble(l, "%lx: unmapped, but an entry",
				(unsigned long)l->places[i].address);
	pg_space_stats(k->space, &stats);
	l->vsz_bytes = stats.vsz_bytes;
	l->rss_pages = stats.rss_pages;
	l->entries = stats.table.entries;
	pg_frames_stats(pg_vm_frames(k->vm), &frames);
	l->frames_not_free = frames.total - frames.by_state[PG_FRAME_FREE];
	l->frames_private = frames.by_state[PG_FRAME_ANON];
	l->frames_cache = frames.by_state[PG_FRAME_CACHE];
	l->frames_table = frames.by_state[PG_FRAME_TABLE];
	const char *broken = pg_space_check(k->space);
	if (broken)
		look_trouble(l, "pg_space_check(): %s", broken);
}

void look_pagoda(
	const struct look_machine *m, const char *program, const char *file, struct look *out)
{
	struct looker k = {.look = out};
	const struct pg_vm_config memory = {
		.memory_bytes = m->memory_bytes,
		.form = &pg_table_radix,
		.geometry = m->five_levels ? pg_geometry_x86_64_5 : pg_geometry_x86_64,
	};
	const char *const argv[] = {program, file, NULL};
	struct pg_linux_config config = {
		.engine = &pg_engine_translator,
		.mmu = pg_mmu_config_default,
		.fast = m->fast,
		.path = program,
		.argv = argv,
		.envp = look_environment,
		.stack_limit_bytes = LOOK_STACK_LIMIT,
		.seeded = true,
		.seed = 1,
		.hooks = {.ctx = &k, .unknown = on_unknown},
	};
	struct pg_linux_end end;
	const char *why = "";
	int error;

	memset(out, 0, sizeof *out);
	error = pg_vm_create(&memory, &k.vm);
	if (error) {
		look_trouble(out, "no machine: %s", strerror(-error));
		return;
	}
	config.vm = k.vm;
	error = pg_linux_create(&config, &k.linux, &why);
	if (error)
		look_trouble(out, "no Linux: %s", why ? why : strerror(-error));
	else if (pg_linux_load(k.linux) != 0)
		look_trouble(out, "%s", pg_linux_error(k.linux));
	else if (pg_linux_run(k.linux, &end) != 0)
		look_trouble(out, "the guest did not run");
	else
		out->status = pg_linux_status(&end);
	if (out->looks != 1)
		look_trouble(out, "the guest announced itself %u times", out->looks);
	if (k.linux)
		pg_linux_destroy(k.linux);
	pg_vm_destroy(k.vm);
}
