/* SPDX-License-Identifier: MIT */
/*
 * cpu/engine.c: the translator as an engine: making, ending and asking it.
 *
 * Called by linux/ and tests through pg_engine_translator.
 */
#include "cpu/fast.h"
#include "cpu/forms.h"
#include "cpu/run.h"
#include "cpu/watch.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t sets_of(const struct pg_tlb_geometry *g)
{
	return g->entries ? g->entries / g->ways : 0;
}

/*
 * Where the tables of a CPU lie: below GS. From GS upwards is the CPU's view, in fast mode the window.
 */
static void lay_out(struct pg_engine *e)
{
	e->sets_fetch = e->sets_i ? e->sets_i : e->sets_d;
	e->to_second = (int32_t)((e->sets_d + e->sets_i) * sizeof(struct pg_tlb_fast));
	e->second_d = e->sets_d > 1 && e->config.mmu.l1d.ways > 1;
	e->second_fetch = e->sets_i ? e->sets_i > 1 && e->config.mmu.l1i.ways > 1 : e->second_d;
	e->area_above = PG_VIEW_PAGES << PG_PAGE_SHIFT;
	size_t below = PG_GS_HOLE + sizeof(struct pg_cpu) + PG_JUMP_ENTRIES * sizeof(uint64_t);
	e->off_jump = -(int32_t)below;
	below += 2 * (size_t)e->to_second;
	e->off_fast_d = -(int32_t)below;
	e->off_fast_i = e->off_fast_d + (int32_t)(e->sets_d * sizeof(struct pg_tlb_fast));
	e->off_fetch = e->sets_i ? e->off_fast_i : e->off_fast_d;
	if (e->config.fast)
		below += PG_MARKS * sizeof(uint32_t);
	e->off_marks = -(int32_t)below;
	if (!e->config.fast)
		below = pg_align_up(below, PG_PAGE_SIZE) + PG_VIEW_PAGES * sizeof(uint32_t);
	e->view_below = below;
	e->area_below = pg_align_up(below + sizeof(struct pg_xsave) + 64, PG_PAGE_SIZE);
}

static void destroy(struct pg_engine *e)
{
	PG_ASSERT(!e->cpus);
	pg_cpu_drain(e);
	pg_window_free_all(e);
	pg_code_destroy(e);
	free(e->watches.rips);
	if (e->tr)
		pg_forms_free(e->tr->forms);
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
	e->n_frames = pg_frames_total(e->frames);
	e->frames_fd = pg_frames_fd(e->frames);
	e->frame_rows = pg_frames_row(e->frames, (pg_pfn){0});
	e->bmi2 = __builtin_cpu_supports("bmi2");
	e->vector_counts =
		!config->fast && !config->memory_counters && __builtin_cpu_supports("avx512vl");
	e->sets_d = config->fast ? 0 : sets_of(&config->mmu.l1d);
	e->sets_i = config->fast ? 0 : sets_of(&config->mmu.l1i);
	if (!config->fast && (e->sets_d == 0 || e->sets_d > 4096 || e->sets_i > 4096)) {
		*why = "a first-level TLB has 1 to 4096 sets";
		free(e);
		return -EINVAL;
	}
	lay_out(e);
	e->tr = calloc(1, sizeof(*e->tr));
	if (e->tr)
		e->tr->forms = pg_forms_create();
	int r = e->tr && e->tr->forms ? pg_code_create(e, why) : -ENOMEM;
	if (r == 0)
		r = pg_traps_install();
	if (r == 0 && config->fast && !pg_window_first(e)) {
		*why = "the host has no free stretch of addresses for fast mode";
		r = -ENOMEM;
	}
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

static struct pg_cpu_regs *regs(struct pg_cpu *c)
{
	return &c->regs;
}

static void cpu_switch(struct pg_cpu *c, struct pg_space *s)
{
	pg_cpu_leave_space(c);
	if (c->mmu)
		pg_mmu_flush(c->mmu);
	pg_cpu_enter_space(c, s);
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

static const char *check(struct pg_engine *e)
{
	const char *why = pg_code_check_pages(e);
	for (struct pg_cpu *c = e->cpus; c && !why; c = c->next)
		why = c->mmu ? pg_mmu_check(c->mmu) : NULL;
	return why;
}

static uint64_t address_top(const struct pg_engine *e)
{
	return (e->config.fast ? e->fast_top : (uint64_t)1 << 47) - PG_PAGE_SIZE;
}

static uint64_t layout_top(const struct pg_engine *e)
{
	return (e->config.fast ? PG_FAST_TOP : (uint64_t)1 << 47) - PG_PAGE_SIZE;
}

const struct pg_engine_ops pg_engine_translator = {
	.name = "translator",
	.summary = "same-ISA translator, x86-64 to x86-64",
	.create = create,
	.destroy = destroy,
	.cpu_create = pg_cpu_make,
	.cpu_destroy = pg_cpu_end,
	.regs = regs,
	.cpu_switch = cpu_switch,
	.run = pg_run,
	.interrupt = pg_interrupt,
	.code_written = code_written,
	.set_precise_flags = set_precise_flags,
	.watch = pg_watch_add,
	.stats = pg_cpu_stats,
	.totals = pg_cpu_totals,
	.check = check,
	.address_top = address_top,
	.layout_top = layout_top,
};
