/* SPDX-License-Identifier: MIT */
/*
 * cpu/engine.c: the translator as an engine: making, ending and asking it.
 *
 * Called by linux/ and tests through pg_engine_translator.
 */
#include "cpu/fast.h"
#include "cpu/run.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <xmmintrin.h>

static uint32_t sets_of(const struct pg_tlb_geometry *g)
{
	return g->entries ? g->entries / g->ways : 0;
}

/*
 * Where the tables of a CPU lie: the TLB mirrors from GS upwards (the shortest displacements are for what is used most;
 * fast mode has its window there), everything else below. Bytes of each part, whole pages.
 */
static size_t lay_out(struct pg_engine *e, size_t *above)
{
	e->off_fast_d = 0;
	e->off_fast_i = (int32_t)(e->sets_d * sizeof(struct pg_tlb_fast));
	e->off_fetch = e->sets_i ? e->off_fast_i : e->off_fast_d;
	e->sets_fetch = e->sets_i ? e->sets_i : e->sets_d;
	e->to_second = (int32_t)((e->sets_d + e->sets_i) * sizeof(struct pg_tlb_fast));
	e->second_d = e->sets_d > 1 && e->config.mmu.l1d.ways > 1;
	e->second_fetch = e->sets_i ? e->sets_i > 1 && e->config.mmu.l1i.ways > 1 : e->second_d;
	*above = pg_align_up(2 * (size_t)e->to_second, PG_PAGE_SIZE);
	size_t below = PG_GS_HOLE + sizeof(struct pg_cpu) + PG_JUMP_ENTRIES * sizeof(uint64_t);
	e->off_jump = -(int32_t)below;
	return pg_align_up(below + sizeof(struct pg_xsave) + 64, PG_PAGE_SIZE);
}

static void destroy(struct pg_engine *e)
{
	PG_ASSERT(!e->cpus);
	pg_code_destroy(e);
	free(e->tr);
	free(e);
}

static int create(const struct pg_engine_config *config, struct pg_engine **out, const char **why)
{
	*out = NULL;
	*why = "out of host memory";
	if (!__builtin_cpu_supports("avx")) {
		*why = "this CPU lacks AVX and XSAVE, which the translator needs";
		return -ENOTSUP;
	}
	if (config->fast && !__builtin_cpu_supports("bmi2")) {
		*why = "--fast needs a CPU with BMI2";
		return -ENOTSUP;
	}
	struct pg_engine *e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->config = *config;
	e->frames = pg_vm_frames(config->vm);
	e->bmi2 = __builtin_cpu_supports("bmi2");
	e->vector_counts = !config->fast && __builtin_cpu_supports("avx512vl");
	e->sets_d = config->fast ? 0 : sets_of(&config->mmu.l1d);
	e->sets_i = config->fast ? 0 : sets_of(&config->mmu.l1i);
	if (!config->fast && (e->sets_d == 0 || e->sets_d > 4096 || e->sets_i > 4096)) {
		*why = "a first-level TLB has 1 to 4096 sets";
		free(e);
		return -EINVAL;
	}
	size_t above;
	lay_out(e, &above);
	e->tr = calloc(1, sizeof(*e->tr));
	int r = e->tr ? pg_code_create(e, why) : -ENOMEM;
	if (r == 0)
		r = pg_traps_install();
	if (r != 0) {
		destroy(e);
		return r;
	}
	ZydisDecoderInit(&e->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisDecoderEnableMode(&e->decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(&e->decoder, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_TRUE);
	*out = e;
	return 0;
}

static void cpu_attach(struct pg_cpu *c)
{
	if (c->engine->config.fast) {
		pg_fast_attach(c);
	} else {
		pg_mmu_switch(c->mmu, pg_space_table(c->space), pg_space_asid(c->space));
		pg_space_attach(c->space, pg_mmu_shootdown(c->mmu));
	}
}

static void cpu_detach(struct pg_cpu *c)
{
	if (!c->space)
		return;
	pg_space_detach(
		c->space, c->engine->config.fast ? &c->window_shootdown : pg_mmu_shootdown(c->mmu));
	c->space = NULL;
}

static void cpu_destroy(struct pg_cpu *c)
{
	struct pg_engine *e = c->engine;
	cpu_detach(c);
	for (struct pg_cpu **at = &e->cpus; *at; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	if (c->mmu)
		pg_mmu_destroy(c->mmu);
	munmap(c->area, c->area_bytes);
}

static int cpu_create(struct pg_engine *e, struct pg_space *s, struct pg_cpu **out)
{
	size_t above, below = lay_out(e, &above), bytes;
	uint8_t *area, *gs;
	*out = NULL;
	if (e->config.fast) {
		if (e->cpus)
			return -ENOTSUP; /* one window, one address space: see docs/QUIRKS.md */
		area = pg_fast_reserve(below, &bytes, &gs);
		if (!area)
			return -ENOMEM;
	} else {
		bytes = below + above;
		area = mmap(
			NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (area == MAP_FAILED)
			return -ENOMEM;
		gs = area + below;
	}
	struct pg_cpu *c = (struct pg_cpu *)(void *)(gs - PG_GS_HOLE) - 1;
	c->engine = e;
	c->area = area;
	c->area_bytes = bytes;
	c->window = e->config.fast ? gs : NULL;
	c->regs.x = (struct pg_xsave *)(void *)(gs - below);
	c->self = (uint64_t)(uintptr_t)c;
	c->x_addr = (uint64_t)(uintptr_t)c->regs.x;
	c->mxcsr_host = _mm_getcsr();
	c->regs.rflags = 0x202;
	c->link = PG_NIL;
	/* As after exec: FCW 0x37f, MXCSR 0x1f80, everything else in its initial state. */
	c->regs.x->bytes[0] = 0x7f;
	c->regs.x->bytes[1] = 0x03;
	c->regs.x->bytes[24] = 0x80;
	c->regs.x->bytes[25] = 0x1f;
	c->regs.x->bytes[512] = 3;
	if (!e->config.fast) {
		int r = pg_mmu_create(&e->config.mmu, e->frames,
			(struct pg_tlb_fast *)(void *)(gs + e->off_fast_d),
			e->sets_i ? (struct pg_tlb_fast *)(void *)(gs + e->off_fast_i) : NULL,
			&c->mmu);
		if (r != 0) {
			munmap(area, bytes);
			return r;
		}
		uint8_t *second = gs + e->to_second;
		pg_mmu_set_second(c->mmu, (struct pg_tlb_fast *)(void *)(second + e->off_fast_d),
			e->sets_i ? (struct pg_tlb_fast *)(void *)(second + e->off_fast_i) : NULL,
			c->exchanged);
	}
	c->next = e->cpus;
	e->cpus = c;
	pg_code_clear_jumps(e);
	c->space = s;
	cpu_attach(c);
	*out = c;
	return 0;
}

static struct pg_cpu_regs *regs(struct pg_cpu *c)
{
	return &c->regs;
}

static void cpu_switch(struct pg_cpu *c, struct pg_space *s)
{
	cpu_detach(c);
	if (c->mmu)
		pg_mmu_flush(c->mmu);
	else
		c->window_shootdown.invalidate(
			&c->window_shootdown, (pg_vpn){0}, (pg_vpn){PG_FAST_TOP >> PG_PAGE_SHIFT});
	c->space = s;
	if (s)
		cpu_attach(c);
}

static void interrupt(struct pg_cpu *c)
{
	c->interrupt = 1;
	if (c->mmu) {
		pg_mmu_poke(c->mmu);
	} else {
		/* Every block's entry check fails once: the way through run.c sees the request. */
		volatile uint32_t *live = c->engine->live;
		for (uint32_t i = 0, n = c->engine->pages.n; i < n; i++)
			live[i] = 0;
	}
}

static void code_written(struct pg_engine *e, pg_pfn f)
{
	pg_code_drop_frame(e, f);
}

static void set_precise_flags(struct pg_engine *e)
{
	if (e->config.precise_flags)
		return;
	e->config.precise_flags = true;
	pg_code_flush(e);
}

static void stats(struct pg_cpu *c, struct pg_cpu_stats *out)
{
	struct pg_engine *e = c->engine;
	memset(out, 0, sizeof(*out));
	out->blocks_translated = e->blocks_translated;
	out->code_bytes = e->code_made;
	out->guest_bytes_translated = e->guest_bytes;
	out->translations_dropped = e->dropped;
	out->has_tlb = !e->config.fast;
	if (e->config.fast)
		return;
	pg_code_fold_all(e);
	out->instructions = e->t_insns;
	out->loads = e->t_loads;
	out->stores = e->t_stores;
	out->data_lookups = e->t_lookups;
	out->fetch_runs = e->t_runs;
	out->fetch_lookups = e->t_fetches;
	for (struct pg_cpu *k = e->cpus; k; k = k->next) {
		out->fetch_runs += k->runs[0];
		out->fetch_lookups += k->runs[1];
		out->instructions += k->count[0] + (uint64_t)k->adj_insns;
		out->loads += k->count[1] + (uint64_t)k->adj_loads;
		out->stores += k->count[2] + (uint64_t)k->adj_stores;
		out->data_lookups +=
			k->count[3] + (uint64_t)k->adj_lookups + k->extra_lookups + k->crossings;
		out->fetch_lookups += k->fetch_extra;
		out->page_crossings += k->crossings + k->port_crossings;
	}
	pg_mmu_stats(c->mmu, &out->mmu);
}

static const char *check(struct pg_engine *e)
{
	/* Invariants 1 to 3 of code.c. */
	for (uint32_t i = 0; i < e->pages.n; i++) {
		const struct pg_code_page *p = pg_page_at(e, i);
		if (p->retired && p->pfn != PG_NIL)
			return "cache 3: a retired code page is bound to a frame";
		if (p->retired || p->pfn == PG_NIL)
			continue;
		const struct pg_frame *row = pg_frames_row(e->frames, (pg_pfn){p->pfn});
		if (!(row->flags & PG_FRAME_CODE))
			continue;
		const uint8_t *now = pg_frames_bytes(e->frames, (pg_pfn){p->pfn});
		for (uint32_t k = 0; k < PG_PAGE_SIZE; k++) {
			if ((p->used[k >> 6] >> (k & 63) & 1) && p->copy[k] != now[k])
				return "cache 1: a frame's bytes differ from what was translated";
		}
	}
	for (struct pg_cpu *c = e->cpus; c; c = c->next) {
		const char *why = c->mmu ? pg_mmu_check(c->mmu) : NULL;
		if (why)
			return why;
	}
	return NULL;
}

static uint64_t address_top(const struct pg_engine *e)
{
	return (e->config.fast ? PG_FAST_TOP : (uint64_t)1 << 47) - PG_PAGE_SIZE;
}

const struct pg_engine_ops pg_engine_translator = {
	.name = "translator",
	.summary = "same-ISA translator, x86-64 to x86-64",
	.create = create,
	.destroy = destroy,
	.cpu_create = cpu_create,
	.cpu_destroy = cpu_destroy,
	.regs = regs,
	.cpu_switch = cpu_switch,
	.run = pg_run,
	.interrupt = interrupt,
	.code_written = code_written,
	.set_precise_flags = set_precise_flags,
	.stats = stats,
	.check = check,
	.address_top = address_top,
};
