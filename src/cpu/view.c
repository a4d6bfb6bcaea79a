/* SPDX-License-Identifier: MIT */
/*
 * cpu/view.c: the view of exact mode: where inline accesses find the frames.
 *
 * Called by slow.c and run.c for an access to a page that the TLB has, but the view does not show. Calls mmu/ to tell it. What it is
 * for: access.c.
 *
 * Each CPU has one: 4 GiB of the host's addresses from GS upwards, in which guest page v is page v mod PG_VIEW_PAGES. The check before each
 * inline access has decided by the TLB's mirror that the access is allowed and that the view shows the page's frame. So the view itself
 * guards nothing: what it maps is always readable and writable, and stays mapped when the guest's page goes, is protected or
 * copied. It is a cache that is only ever filled; a CPU that is used again for another process keeps it, and may well find the
 * pages of libraries there.
 *
 * A page is put into the view once it was asked for ASKED times while in the first level, since a mapping costs as much as
 * a hundred accesses through C. If the frame is the one behind that of the page before, as when memory is touched in order, the next AHEAD
 * pages are guessed to go on alike. A page whose place is taken, most often by a frame that is no more, waits longer, and much longer if
 * the TLB has another page that is shown there, so that two pages of one place do not drive each other out all the time.
 *
 * The host grants a limited number of mappings (vm.max_map_count, 65530 by default). At MOST_MAPPINGS, or when a mapping is
 * refused, all views start again.
 *
 * Invariants:
 *   1. c->view[p] is f + 1 if the view maps frame f at page p, and 0 if it maps nothing there.
 *   2. An entry of c's TLB says `shown` only if the view maps its frame (mmu/tlb.c, M9).
 *
 * Compiled with general registers only: the guest's others are live (see meson.build). So system calls are made here.
 */
#include "cpu/cpu.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#define ASKED 4
#define ASKED_TAKEN 16
#define ASKED_IN_USE 250
#define AHEAD 16
#define MOST_MAPPINGS 40000

static int64_t call(
	int64_t n, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	register uint64_t r9 __asm__("r9") = f;
	int64_t result = n;
	__asm__ volatile("syscall"
			 : "+a"(result)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* Nothing is in c's view any more. */
static void start_again(struct pg_cpu *c)
{
	if (!c->has_view)
		return;
	uint64_t at = (uint64_t)(uintptr_t)pg_cpu_gs(c);
	/* Unmapped first: at the limit no old mapping may be cut. */
	call(SYS_munmap, at, PG_VIEW_PAGES << PG_PAGE_SHIFT, 0, 0, 0, 0);
	int64_t r = call(SYS_mmap, at, PG_VIEW_PAGES << PG_PAGE_SHIFT, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, (uint64_t)-1, 0);
	PG_ASSERT(r == (int64_t)at);
	call(SYS_madvise, (uint64_t)(uintptr_t)c->view, PG_VIEW_PAGES * sizeof(*c->view),
		MADV_DONTNEED, 0, 0, 0);
	pg_mmu_view_changed_all(c->mmu);
}

static void start_all_again(struct pg_engine *e)
{
	for (struct pg_cpu *c = e->cpus; c; c = c->next)
		start_again(c);
	for (struct pg_cpu *c = e->idle; c; c = c->next)
		start_again(c);
	e->view_mappings = 0;
}

/* How many pages from p on are mapped together, the first to frame f. */
static unsigned stretch(const struct pg_cpu *c, uint64_t p, uint32_t f)
{
	unsigned n = 1;
	if (p == 0 || c->view[p - 1] != f)
		return 1;
	while (n < AHEAD && p + n < PG_VIEW_PAGES && !c->view[p + n] && f + n < c->engine->n_frames)
		n++;
	return n;
}

bool pg_view_show(struct pg_cpu *c, struct pg_tlb_way *way, bool at_once)
{
	struct pg_engine *e = c->engine;
	uint64_t p = way->vpn % PG_VIEW_PAGES;
	uint32_t f = way->pfn;
	if (!c->has_view)
		return false;
	unsigned enough = at_once ? 0 : c->view[p] ? ASKED_TAKEN : ASKED;
	if (c->view[p] && pg_mmu_view_in_use(c->mmu, (pg_vpn){way->vpn}))
		enough = ASKED_IN_USE;
	if (way->asked < enough) {
		way->asked++;
		return false;
	}
	if (e->view_mappings >= MOST_MAPPINGS)
		start_all_again(e);
	unsigned n = stretch(c, p, f);
	uint64_t at = (uint64_t)(uintptr_t)pg_cpu_gs(c) + (p << PG_PAGE_SHIFT);
	for (unsigned tries = 0;; tries++) {
		int64_t r = call(SYS_mmap, at, n * PG_PAGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_FIXED | (n == 1 ? MAP_POPULATE : 0),
			(uint64_t)e->frames_fd, (uint64_t)f << PG_PAGE_SHIFT);
		if (r == (int64_t)at)
			break;
		if (tries == 1)
			return false;
		start_all_again(e);
	}
	/* A mapping that goes on an old one costs none, one in the middle of nothing two. */
	e->view_mappings += 2;
	if (p && c->view[p - 1])
		e->view_mappings -= c->view[p - 1] == f ? 2 : 1;
	for (unsigned i = 0; i < n; i++) {
		c->view[p + i] = f + i + 1;
		pg_mmu_view_changed(c->mmu, (pg_vpn){way->vpn - way->vpn % PG_VIEW_PAGES + p + i});
	}
	way->asked = 0; /* when another has taken the place, it waits again */
	return true;
}
