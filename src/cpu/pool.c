/* SPDX-License-Identifier: MIT */
/*
 * cpu/pool.c: CPUs: made, ended and made again, moved between address spaces, and their figures.
 *
 * Called by engine.c and run.c. Calls mmu/, in fast mode window.c, for what translates a CPU's addresses.
 *
 * A CPU is one host mapping, see struct pg_cpu: a fork needs one, and a shell forks thousands of times. So an ended CPU is kept and
 * used again, up to MOST_IDLE of them. Its jump table is not cleared: a slot is a thunk that compares the guest's address, the
 * block behind it looks whether its page is there, and a slot that leads to a wrong one is set right (run.c).
 * Only a flush of the code cache empties jump tables, each when its CPU runs next.
 *
 * Invariants:
 *   1. e->cpus are the CPUs in use, each attached to its space or to none; e->idle the others, in no space.
 *   2. What an idle CPU counted is in e->gone; the engine's totals are those and all of e->cpus.
 */
#include "cpu/fast.h"

#include <errno.h>
#include <sys/mman.h>
#include <xmmintrin.h>

#define MOST_IDLE 64

/* The state of a CPU that was never used, in an area that may have been. As after exec. */
static void reset(struct pg_engine *e, struct pg_cpu *c)
{
	struct pg_mmu *mmu = c->mmu;
	uint8_t *area = c->area, *x = c->regs.x->bytes;
	size_t area_bytes = c->area_bytes;
	uint32_t *view = c->view;
	bool has_view = c->has_view;
	uint64_t jump_generation = c->jump_generation;
	struct pg_told *told = c->told;
	memset(c, 0, offsetof(struct pg_cpu, bounce));
	c->engine = e;
	c->mmu = mmu;
	c->area = area;
	c->area_bytes = area_bytes;
	c->view = view;
	c->has_view = has_view;
	c->jump_generation = jump_generation;
	c->told = told;
	c->regs.x = (struct pg_xsave *)(void *)x;
	c->self = (uint64_t)(uintptr_t)c;
	c->x_addr = (uint64_t)(uintptr_t)x;
	c->asked = &c->interrupt;
	c->at = mmu ? c : NULL;
	c->mxcsr_host = _mm_getcsr();
	c->regs.rflags = 0x202;
	/* FCW 0x37f, MXCSR 0x1f80, everything else in its initial state. */
	memset(x, 0, PG_XSAVE_BYTES);
	x[0] = 0x7f;
	x[1] = 0x03;
	x[24] = 0x80;
	x[25] = 0x1f;
	x[512] = 3;
}

static void free_cpu(struct pg_cpu *c)
{
	if (c->mmu)
		pg_mmu_destroy(c->mmu);
	free(c->told);
	munmap(c->area, c->area_bytes);
}

static void add_cpu(struct pg_cpu_stats *out, const struct pg_cpu *c);

/* Fast mode: all but registers is in the window. */
static int map_fast(struct pg_cpu **out)
{
	size_t bytes = sizeof(struct pg_cpu) + sizeof(struct pg_xsave);
	struct pg_cpu *c =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c == MAP_FAILED)
		return -ENOMEM;
	c->area = (uint8_t *)c;
	c->area_bytes = bytes;
	c->regs.x = (struct pg_xsave *)(void *)(c + 1);
	*out = c;
	return 0;
}

/* A CPU with its tables below GS and its view above, if the host has room for one. */
static int map_exact(struct pg_engine *e, struct pg_cpu **out)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	size_t bytes = e->area_below + e->area_above;
	uint8_t *area = mmap(NULL, bytes, PROT_NONE, flags, -1, 0);
	bool has_view = area != MAP_FAILED;
	if (!has_view) {
		bytes = e->area_below;
		area = mmap(NULL, bytes, PROT_NONE, flags, -1, 0);
	}
	if (area == MAP_FAILED)
		return -ENOMEM;
	if (mprotect(area, e->area_below, PROT_READ | PROT_WRITE) != 0) {
		munmap(area, bytes);
		return -ENOMEM;
	}
	uint8_t *gs = area + e->area_below;
	struct pg_cpu *c = (struct pg_cpu *)(void *)(gs - PG_GS_HOLE) - 1;
	c->area = area;
	c->area_bytes = bytes;
	c->jump_generation = UINT64_MAX;
	c->regs.x = (struct pg_xsave *)(void *)area;
	int r = pg_mmu_create(&e->config.mmu, e->frames,
		(struct pg_tlb_fast *)(void *)(gs + e->off_fast_d),
		e->sets_i ? (struct pg_tlb_fast *)(void *)(gs + e->off_fast_i) : NULL, &c->mmu);
	if (r != 0) {
		munmap(area, bytes);
		return r;
	}
	uint8_t *second = gs + e->to_second;
	pg_mmu_set_second(c->mmu, (struct pg_tlb_fast *)(void *)(second + e->off_fast_d),
		e->sets_i ? (struct pg_tlb_fast *)(void *)(second + e->off_fast_i) : NULL,
		c->exchanged);
	c->has_view = has_view;
	c->view = (uint32_t *)(void *)(gs - e->view_below);
	pg_mmu_set_view(c->mmu, c->view);
	*out = c;
	return 0;
}

int pg_cpu_make(struct pg_engine *e, struct pg_space *s, struct pg_cpu **out)
{
	struct pg_cpu *c = e->idle;
	*out = NULL;
	if (c) {
		e->idle = c->next;
		e->n_idle--;
		if (c->mmu)
			pg_mmu_reset(c->mmu);
	} else {
		int r = e->config.fast ? map_fast(&c) : map_exact(e, &c);
		if (r != 0)
			return r;
	}
	reset(e, c);
	c->next = e->cpus;
	e->cpus = c;
	pg_cpu_enter_space(c, s);
	*out = c;
	return 0;
}

void pg_cpu_end(struct pg_cpu *c)
{
	struct pg_engine *e = c->engine;
	struct pg_cpu **at = &e->cpus;
	pg_code_fold_all(e);
	add_cpu(&e->gone, c);
	if (e->counting == c)
		e->counting = NULL;
	pg_cpu_leave_space(c);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	if (e->n_idle == MOST_IDLE) {
		free_cpu(c);
		return;
	}
	c->next = e->idle;
	e->idle = c;
	e->n_idle++;
}

void pg_cpu_drain(struct pg_engine *e)
{
	while (e->idle) {
		struct pg_cpu *c = e->idle;
		e->idle = c->next;
		free_cpu(c);
	}
	e->n_idle = 0;
}

/*
 * While all that ran was in one space, exits need not reckon with other code at the same addresses, see
 * pg_code_link(); those made in this belief go when another space comes.
 */
static void note_space(struct pg_engine *e, const struct pg_cpu *c, const struct pg_space *s)
{
	bool first = e->spaces == PG_SPACES_NONE, known = false;
	for (const struct pg_cpu *k = e->cpus; k; k = k->next)
		known |= k != c && k->space == s;
	if (first) {
		e->spaces = PG_SPACES_ONE;
	} else if (!known && e->spaces == PG_SPACES_ONE) {
		e->spaces = PG_SPACES_MANY;
		if (e->config.fast)
			pg_code_flush(e); /* if that must wait, it comes before c runs */
	}
}

void pg_cpu_enter_space(struct pg_cpu *c, struct pg_space *s)
{
	c->space = NULL;
	c->wide = false;
	if (!s)
		return;
	note_space(c->engine, c, s);
	c->space = s;
	if (!c->mmu)
		return;
	pg_mmu_switch(c->mmu, pg_space_table(s), pg_space_asid(s));
	pg_space_attach(s, pg_mmu_shootdown(c->mmu));
}

void pg_cpu_leave_space(struct pg_cpu *c)
{
	if (!c->space)
		return;
	if (c->mmu)
		pg_space_detach(c->space, pg_mmu_shootdown(c->mmu));
	else
		pg_window_leave(c);
	c->space = NULL;
}

enum pg_fault_end pg_cpu_fault(struct pg_cpu *c, uint64_t va, enum pg_access access, uint64_t rip)
{
	struct pg_engine *e = c->engine;
	uint8_t own[offsetof(struct pg_cpu, engine)];
	uint64_t turns = e->turns;
	if (!c->mmu) /* another thread of the space may run on this very window */
		memcpy(own, c, sizeof(own));
	e->inside++;
	c->pins++;
	enum pg_fault_end end = pg_space_fault(c->space, (pg_va){va}, access, rip, false);
	c->pins--;
	e->inside--;
	if (!c->mmu && e->turns != turns)
		memcpy(c, own, sizeof(own));
	e->turns++; /* this one goes on: whoever waits still is to restore, too */
	pg_code_count_for(c);
	return end;
}

void pg_cpu_empty_jumps(struct pg_cpu *c)
{
	uint64_t *jump = pg_cpu_jump_slot(c, 0);
	for (uint32_t i = 0; i < PG_JUMP_ENTRIES; i++)
		jump[i] = (uint64_t)(uintptr_t)c->engine->stub_indirect;
	c->jump_generation = c->engine->generation;
}

/* --- figures --------------------------------------------------------------------------------- */

static void add_mmu(struct pg_mmu_stats *to, const struct pg_mmu *m)
{
	struct pg_mmu_stats s;
	_Static_assert(sizeof(s) % sizeof(uint64_t) == 0, "it consists of 64-bit counters");
	pg_mmu_stats(m, &s);
	for (size_t i = 0; i < sizeof(s) / sizeof(uint64_t); i++)
		((uint64_t *)to)[i] += ((const uint64_t *)&s)[i];
}

/* Adds what c counted. Counters in memory are folded. */
static void add_cpu(struct pg_cpu_stats *out, const struct pg_cpu *c)
{
	if (!c->mmu)
		return;
	out->instructions += c->folded.insns + c->count[PG_COUNT_INSNS] + (uint64_t)c->adj_insns;
	out->loads += c->folded.loads + c->count[PG_COUNT_LOADS] + (uint64_t)c->adj_loads;
	out->stores += c->folded.stores + c->count[PG_COUNT_STORES] + (uint64_t)c->adj_stores;
	out->data_lookups += c->folded.lookups + c->count[PG_COUNT_LOADS] +
			     c->count[PG_COUNT_STORES] - c->count[PG_COUNT_BOTH] +
			     (uint64_t)c->adj_lookups + c->extra_lookups + c->crossings;
	out->fetch_runs += c->folded.runs + c->count[PG_COUNT_FETCHES] - c->count[PG_COUNT_SECOND];
	out->fetch_lookups += c->folded.fetches + c->count[PG_COUNT_FETCHES] + c->fetch_extra;
	out->page_crossings += c->crossings + c->port_crossings;
	add_mmu(&out->mmu, c->mmu);
}

static void begin(struct pg_engine *e, struct pg_cpu_stats *out)
{
	pg_code_fold_all(e);
	out->blocks_translated = e->blocks_translated;
	out->code_bytes = e->code_made;
	out->guest_bytes_translated = e->guest_bytes;
	out->translations_dropped = e->dropped;
	out->has_tlb = !e->config.fast;
}

void pg_cpu_stats(struct pg_cpu *c, struct pg_cpu_stats *out)
{
	memset(out, 0, sizeof(*out));
	begin(c->engine, out);
	add_cpu(out, c);
}

void pg_cpu_totals(struct pg_engine *e, struct pg_cpu_stats *out)
{
	*out = e->gone;
	begin(e, out);
	for (struct pg_cpu *c = e->cpus; c; c = c->next)
		add_cpu(out, c);
}
