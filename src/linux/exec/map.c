/* SPDX-License-Identifier: MIT */
/*
 * linux/exec/map.c: a program's segments and its stack in a new space, where Linux puts them.
 *
 * Called by exec.c. Calls files/objects.c, stack.c and space/.
 *
 * The layout is Linux's for x86-64 without randomisation, drawn from the engine's address top T (2^47 - 4096 when
 * nothing limits it):
 *
 *   non-PIE at its own addresses; PIE at 2/3 T; heap behind the program's bss (a static PIE: at 2/3 T)
 *   mappings downwards from T - gap, the interpreter first; gap = the stack limit and its guard, 128 MiB at least
 *   stack downwards from T
 *
 * Where Linux has mapped its vvar and vdso pages there is a region of the same size without rights, named
 * [no vdso]: there is no vDSO here, and what follows lies where it lies natively.
 *
 * Source: Linux fs/binfmt_elf.c load_elf_binary(), arch/x86/mm/mmap.c.
 */
#include "linux/exec/load.h"
#include "linux/files/files.h"

#include <errno.h>

#define STACK_GAP_PAGES 256 /* as Linux's stack_guard_gap */

/* --- the layout ----------------------------------------------------------------------------------- */

/* How many of Linux's random bits are left where the address space is smaller than 2^47. */
static unsigned random_bits(const struct pg_load *x, unsigned bits)
{
	unsigned top = 63 - (unsigned)__builtin_clzll(x->top + PG_PAGE_SIZE);

	return top >= 47 ? bits : bits > 47 - top ? bits - (47 - top) : 0;
}

static uint64_t random_pages(struct pg_load *x, unsigned bits)
{
	return pg_linux_random_below(x->me->machine, (uint64_t)1 << random_bits(x, bits)) *
	       PG_PAGE_SIZE;
}

/*
 * Linux's ELF_ET_DYN_BASE. In a smaller address space it is that, less whole multiples of what one entry of a radix table's root
 * spans, as the top is: so the same program has as many page-table nodes in either, and as many frames for the rest.
 */
static uint64_t dyn_base(const struct pg_load *x)
{
	const uint64_t base = (((uint64_t)1 << 47) - PG_PAGE_SIZE) / 3 * 2,
		       span = (uint64_t)1 << 39, most = x->top / 3 * 2;

	return base <= most ? base : base - pg_align_up(base - most, span);
}

int pg_load_make_space(struct pg_load *x)
{
	struct pg_thread *me = x->me;
	uint64_t top = x->top, limit = me->proc->limits[RLIMIT_STACK].rlim_cur;
	uint64_t gap = limit, pad = STACK_GAP_PAGES * PG_PAGE_SIZE, least = (uint64_t)128 << 20,
		 most = top / 6 * 5;
	struct pg_space_config c = {0};
	int err;

	if (me->machine->aslr)
		pad += ((uint64_t)1 << random_bits(x, 22)) * PG_PAGE_SIZE;
	if (gap + pad > gap)
		gap += pad;
	if (gap < least)
		gap = least;
	if (gap > most)
		gap = most;
	x->layout.mmap_top = pg_align_up(
		top - gap - (me->machine->aslr ? random_pages(x, 28) : 0), PG_PAGE_SIZE);
	x->layout.stack_top = top - (me->machine->aslr ? random_pages(x, 22) : 0);
	c.lo.v = PG_MMAP_MIN_ADDR;
	c.hi.v = x->layout.address_top;
	c.mmap_top.v = x->layout.mmap_top;
	c.stack_limit_bytes = limit;
	c.stack_gap_bytes = STACK_GAP_PAGES * PG_PAGE_SIZE;
	c.max_regions = me->machine->max_regions;
	err = pg_space_create(me->machine->vm, &c, &x->space);
	if (err != 0)
		return pg_load_fail(x, err, x->filename,
			"the machine has too little memory for an address space");
	return 0;
}

void pg_load_note_bounds(struct pg_load *x)
{
	const struct pg_elf *e = &x->exe.elf;
	struct pg_linux_layout *y = &x->layout;
	uint64_t bias = x->exe.bias, brk = 0;

	y->code_start = UINT64_MAX;
	for (unsigned i = 0; i < e->segments; i++) {
		const struct pg_elf_segment *s = &e->segment[i];

		if ((s->prot & PG_EXEC) && s->vaddr + bias < y->code_start)
			y->code_start = s->vaddr + bias;
		if ((s->prot & PG_EXEC) && s->vaddr + s->filesz + bias > y->code_end)
			y->code_end = s->vaddr + s->filesz + bias;
		if (s->vaddr + bias > y->data_start)
			y->data_start = s->vaddr + bias;
		if (s->vaddr + s->filesz + bias > y->data_end)
			y->data_end = s->vaddr + s->filesz + bias;
		if (s->vaddr + s->memsz + bias > brk)
			brk = s->vaddr + s->memsz + bias;
	}
	if (y->code_start == UINT64_MAX)
		y->code_start = 0;
	if (e->position_free && !x->has_interp)
		brk = dyn_base(x); /* a static PIE lies among the mappings: its heap does not */
	brk = pg_align_up(brk, PG_PAGE_SIZE);
	if (x->me->machine->aslr)
		brk += random_pages(x, 13);
	y->brk_start = brk;
	y->exe_base = bias;
	y->interp_base = x->has_interp ? x->interp.base : 0;
	y->entry = e->entry + bias;
	y->phdr = e->phdr_mapped ? e->phdr_vaddr + bias : 0;
}

/* --- mapping -------------------------------------------------------------------------------------- */

static const char *map_phrase(int err)
{
	switch (err) {
	case -ENOMEM:
		return "too large: no room for its segments in the address space or in memory";
	case -EEXIST:
		return "its segments lie over one another or over the stack";
	case -EPERM:
		return "its segments lie below 64 KiB";
	default:
		return "its segments cannot be mapped";
	}
}

/* Maps one segment at bias + vaddr. at: the page to put it at, result of a search if not fixed. */
static int map_segment(struct pg_load *x, struct pg_load_file *m, const struct pg_elf_segment *s,
	uint64_t bias, unsigned flags, uint64_t total, pg_va *at)
{
	const pg_prot all = PG_READ | PG_WRITE | PG_EXEC;
	uint64_t page = pg_align_down(bias + s->vaddr, PG_PAGE_SIZE);
	uint64_t head = s->vaddr & PG_PAGE_MASK, len = pg_align_up(s->filesz + head, PG_PAGE_SIZE);
	uint64_t mem_end, file_end;
	int err;

	at->v = page;
	if (s->filesz != 0) {
		uint64_t want = total > len ? total : len;

		err = pg_space_map(x->space, at, want, s->prot, all, flags, m->object,
			s->offset - head, m->path);
		if (err != 0)
			return err;
		if (want > len && pg_space_unmap(x->space, (pg_va){at->v + len}, want - len) != 0)
			return -ENOMEM;
	} else {
		len = 0;
		if (!(flags & (PG_MAP_FIXED | PG_MAP_FIXED_FREE))) {
			/* find room, then fall through to the anonymous part */
			err = pg_space_map(x->space, at, total, 0, all, 0, NULL, 0, "");
			if (err != 0)
				return err;
			if (pg_space_unmap(x->space, *at, total) != 0)
				return -ENOMEM;
		}
	}
	if (s->memsz == s->filesz)
		return 0;
	mem_end = pg_align_up(at->v + head + s->memsz, PG_PAGE_SIZE);
	file_end = at->v + len;
	if (s->filesz != 0) {
		static const uint8_t zeros[PG_PAGE_SIZE];
		uint64_t from = at->v + head + s->filesz, n = -from & PG_PAGE_MASK;

		if (n != 0 && pg_space_write(x->space, (pg_va){from}, zeros, n, 0) != n &&
			(s->prot & PG_WRITE))
			return -EFAULT;
	}
	if (mem_end > file_end) {
		pg_va a = {file_end};
		pg_prot prot = PG_READ | PG_WRITE | (s->prot & PG_EXEC);

		return pg_space_map(x->space, &a, mem_end - file_end, prot, all,
			flags & PG_MAP_FIXED_FREE ? PG_MAP_FIXED_FREE : PG_MAP_FIXED, NULL, 0, "");
	}
	return 0;
}

/* Maps all segments. hint: where a position-free image goes; 0: wherever there is room. */
static int map_image(struct pg_load *x, struct pg_load_file *m, uint64_t hint, bool fixed)
{
	const struct pg_elf *e = &m->elf;
	const char *why = NULL;
	uint64_t top = x->layout.address_top, span = e->hi - e->lo;
	int err;

	err = pg_files_object(x->me, m->fd, &m->st, false, m->path, &m->object);
	if (err != 0)
		return pg_load_fail(x, err, m->path,
			err == -EMFILE
				? "cannot be mapped: no descriptor is left for it (ulimit -Hn)"
				: "cannot be mapped");
	if (span > top || (!e->position_free && e->hi > top))
		return pg_load_fail(
			x, -ENOMEM, m->path, "its segments lie outside the address space");
	m->bias = e->position_free ? pg_align_down(hint - e->lo, PG_PAGE_SIZE) : 0;
	if (e->position_free && hint == 0)
		m->bias = 0;
	for (unsigned i = 0; i < e->segments; i++) {
		const struct pg_elf_segment *s = &e->segment[i];
		unsigned flags = PG_MAP_FIXED;
		bool search = i == 0 && e->position_free && !fixed;
		pg_va at;

		if (i == 0)
			flags = search ? 0 : PG_MAP_FIXED_FREE;
		if (search && e->max_align > PG_PAGE_SIZE && e->max_align < top - span) {
			/* more room, then the aligned place in it */
			at.v = 0;
			err = pg_space_map(
				x->space, &at, span + e->max_align, 0, 0, 0, NULL, 0, "");
			if (err == 0)
				err = pg_space_unmap(x->space, at, span + e->max_align);
			if (err != 0)
				return pg_load_fail(x, err, m->path, map_phrase(err));
			m->bias = pg_align_up(at.v, e->max_align) - e->lo;
			flags = PG_MAP_FIXED_FREE;
			search = false;
		}
		if (m->bias + s->vaddr + s->memsz > top)
			return pg_load_fail(
				x, -ENOMEM, m->path, "its segments lie outside the address space");
		err = map_segment(
			x, m, s, m->bias, flags, i == 0 && e->position_free ? span : 0, &at);
		if (err != 0)
			why = map_phrase(err);
		if (why != NULL)
			return pg_load_fail(x, err, m->path, why);
		if (search)
			m->bias = at.v - e->lo;
	}
	m->base = m->bias + e->lo;
	return 0;
}

int pg_load_map(struct pg_load *x)
{
	struct pg_thread *me = x->me;
	struct pg_stack_in in = {0};
	const char *why = "";
	uint64_t hint = 0;
	int err;

	in.auxv = x->auxv;
	in.auxv_bytes = &x->auxv_bytes;
	in.space = x->space;
	in.top = x->layout.stack_top;
	in.execfn = x->args->filename;
	in.argv = x->argv;
	in.envp = x->args->envp;
	in.stack_limit = me->proc->limits[RLIMIT_STACK].rlim_cur;
	in.exec_stack = x->exe.elf.stack_exec;
	if (x->has_interp) {
		hint = dyn_base(x) + (me->machine->aslr ? random_pages(x, 28) : 0);
		if (x->exe.elf.max_align != 0)
			hint &= ~(x->exe.elf.max_align - 1);
	}
	err = map_image(x, &x->exe, hint, x->has_interp);
	if (err == 0 && x->has_interp)
		err = map_image(x, &x->interp, 0, false);
	if (err != 0)
		return err;
	if (me->machine->vdso_bytes != 0 && !me->machine->aslr) {
		pg_va at = {0};

		err = pg_space_map(
			x->space, &at, me->machine->vdso_bytes, 0, 0, 0, NULL, 0, "[no vdso]");
		if (err != 0)
			return pg_load_fail(x, err, x->filename, "no room in the address space");
	}
	pg_load_note_bounds(x);
	in.phdr = x->layout.phdr;
	in.phnum = x->exe.elf.phnum;
	in.base = x->layout.interp_base;
	in.entry = x->layout.entry;
	err = pg_stack_build(me, &in, &x->layout, &x->sp, &why);
	if (err != 0)
		return pg_load_fail(x, err, x->filename, why);
	pg_space_set_brk_start(x->space, (pg_va){x->layout.brk_start});
	x->entry = x->has_interp ? x->interp.elf.entry + x->interp.bias : x->layout.entry;
	return 0;
}
