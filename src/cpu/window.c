/* SPDX-License-Identifier: MIT */
/*
 * cpu/window.c: the windows of fast mode: which address space has which, and the CPU that stands in one.
 *
 * Called by pool.c and run.c. Calls fast.c for what is in a window.
 *
 * A window is a stretch of the host's address space with room for every address of a guest, and below it the struct pg_cpu that
 * translated code works on, its marks and its jump table (fast.c has the picture). All threads of a space share its
 * window: a page is mapped once for all of them. One thread runs at a time, so while it does its registers are in the window's
 * struct pg_cpu, and otherwise in its own, which is what linux/ holds.
 *
 * The host has room for some thirty windows. They are a cache: a space gets one when a thread of it runs, and
 * when there is none left the one that was not used for longest is emptied and taken. No window is unmapped before the engine ends,
 * so that a request (pg_interrupt) from another host thread always finds memory.
 *
 * While there has been one space only its window is one at host address 0: the guest's memory is at the guest's own addresses, and code
 * names it without GS, whose base makes each load of a chain wait two cycles longer. Code without GS and this window
 * go together. Both are given up when another space comes (pg_code_flush), and windows elsewhere are made. If something of the
 * host is in the way, these are all there is.
 *
 * Invariants:
 *   1. At most one window is of a space; it is attached to it. A window without space is empty.
 *   2. A space that a window is of has a CPU in e->cpus.
 *   3. e->plain is changed only when there is no translated code, and is set only while the one window in use is e->at_zero.
 */
#include "cpu/fast.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <xmmintrin.h>

static struct pg_cpu *make(struct pg_engine *e, uint64_t top, bool at_zero)
{
	size_t bytes;
	struct pg_window_chunk *chunks = calloc(PG_WINDOW_CHUNKS, sizeof(*chunks));
	uint8_t *gs,
		*area = chunks ? pg_fast_reserve(e->area_below, top, at_zero, &bytes, &gs) : NULL;
	if (!area) {
		free(chunks);
		return NULL;
	}
	struct pg_cpu *w = (struct pg_cpu *)(void *)(gs - PG_GS_HOLE) - 1;
	w->engine = e;
	w->area = area;
	w->area_bytes = bytes;
	w->window = at_zero ? NULL : gs;
	w->chunks = chunks;
	w->top = top;
	w->self = (uint64_t)(uintptr_t)w;
	w->mxcsr_host = _mm_getcsr();
	w->jump_generation = UINT64_MAX;
	w->next = e->windows;
	e->windows = w;
	return w;
}

/* The first of those that are not at 0. */
static bool make_others(struct pg_engine *e)
{
	/* The wide one is there from the start: among ordinary ones there would be no room for it later. */
	if (!make(e, PG_FAST_WIDE, false))
		e->fast_top = PG_FAST_TOP;
	return make(e, PG_FAST_TOP, false) != NULL;
}

bool pg_window_first(struct pg_engine *e)
{
	e->fast_top = PG_FAST_WIDE;
	e->at_zero = make(e, PG_FAST_WIDE, true);
	e->plain = e->at_zero != NULL;
	return e->plain || make_others(e);
}

static void give_back(struct pg_cpu *w)
{
	if (!w->space)
		return;
	pg_space_detach(w->space, &w->window_shootdown);
	w->space = NULL;
	pg_fast_empty(w);
}

void pg_window_give_up_zero(struct pg_engine *e)
{
	struct pg_cpu *w = e->at_zero;
	if (!w || e->spaces != PG_SPACES_MANY)
		return;
	give_back(w);
	pg_fast_release_zero(w);
	w->top = 0;
	e->at_zero = NULL;
	e->plain = false;
	PG_ASSERT(make_others(e) && e->fast_top == PG_FAST_WIDE);
}

/* The wide window, whoever has it, or NULL: threads wait for page faults in it. */
static struct pg_cpu *claim_wide(struct pg_engine *e)
{
	struct pg_cpu *w = e->windows;
	while (w->top != PG_FAST_WIDE)
		w = w->next;
	if (w->pins)
		return NULL;
	give_back(w);
	return w;
}

/* A window for a space that has none, or NULL. */
static struct pg_cpu *claim(struct pg_engine *e)
{
	struct pg_cpu *oldest = NULL, *w;
	if (e->plain)
		return e->at_zero;
	for (w = e->windows; w; w = w->next) {
		if (w->top != PG_FAST_TOP)
			continue;
		if (!w->space)
			return w;
		if (!w->pins && (!oldest || w->turn < oldest->turn))
			oldest = w;
	}
	w = e->windows_full ? NULL : make(e, PG_FAST_TOP, false);
	if (w)
		return w;
	e->windows_full = true;
	if (oldest)
		give_back(oldest);
	return oldest;
}

static struct pg_cpu *window_of(struct pg_engine *e, const struct pg_space *s)
{
	struct pg_cpu *w = e->windows;
	while (w && w->space != s)
		w = w->next;
	return w;
}

struct pg_cpu *pg_window_begin(struct pg_cpu *c)
{
	struct pg_engine *e = c->engine;
	struct pg_cpu *w = c->at;
	if (e->plain && e->spaces == PG_SPACES_MANY) {
		if (!pg_code_flush(e))
			return NULL;
		w = NULL;
	}
	if (!w || w->space != c->space || (c->wide && w->top == PG_FAST_TOP)) {
		w = window_of(e, c->space);
		if (w && c->wide && w->top == PG_FAST_TOP) {
			if (w->pins)
				return NULL;
			give_back(w);
			w = NULL;
		}
		if (!w) {
			w = c->wide ? claim_wide(e) : claim(e);
			if (!w)
				return NULL;
			w->space = c->space;
			w->table = pg_space_table(c->space);
			pg_fast_attach(w);
		}
		c->at = w;
	}
	w->turn = ++e->turns;
	w->regs = c->regs;
	w->x_addr = (uint64_t)(uintptr_t)c->regs.x;
	w->asked = &c->interrupt;
	return w;
}

void pg_window_end(struct pg_cpu *w, struct pg_cpu *c)
{
	c->regs = w->regs;
}

void pg_window_leave(struct pg_cpu *c)
{
	struct pg_engine *e = c->engine;
	c->at = NULL;
	for (struct pg_cpu *k = e->cpus; k; k = k->next) {
		if (k != c && k->space == c->space)
			return;
	}
	struct pg_cpu *w = window_of(e, c->space);
	if (w)
		give_back(w);
}

void pg_window_free_all(struct pg_engine *e)
{
	while (e->windows) {
		struct pg_cpu *w = e->windows;
		e->windows = w->next;
		free(w->chunks);
		free(w->told);
		if (w == e->at_zero)
			pg_fast_release_zero(w);
		munmap(w->area, w->area_bytes);
	}
}
