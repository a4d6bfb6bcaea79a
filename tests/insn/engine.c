/* SPDX-License-Identifier: MIT */
/*
 * tests/insn/engine.c: an engine of cpu/engine.h as a side: a machine with one space that holds the
 * test pages, each in a frame of its own, neighbours apart.
 *
 * Called by main.c. Calls space/ to map, the engine to run. Memory is read and written in the frames themselves, as
 * a host call would; frames with translations are reported to the engine (pg_vm_hooks.code_written).
 * Every few cases a page loses and regains its rights, so that TLB entries come and go.
 *
 * Owns: the vm, the space, the engine and its one CPU.
 */
#include "cpu/engine.h"
#include "insn.h"

#include <stdlib.h>
#include <string.h>

struct engine_side {
	struct insn_side side;
	const struct pg_engine_ops *ops;
	struct pg_vm *vm;
	struct pg_space *space;
	struct pg_engine *engine;
	struct pg_cpu *cpu;
	pg_pfn frame[INSN_PAGES];
	uint64_t cases;
};

static uint8_t *bytes_of(struct engine_side *e, unsigned index)
{
	return pg_frames_bytes(pg_vm_frames(e->vm), e->frame[index]);
}

/* The bytes of page `index` were changed behind the guest's back. */
static void tell(struct engine_side *e, unsigned index)
{
	if (pg_frames_row(pg_vm_frames(e->vm), e->frame[index])->flags & PG_FRAME_CODE)
		e->ops->code_written(e->engine, e->frame[index]);
}

static void hook_code_written(void *ctx, pg_pfn f)
{
	struct engine_side *e = ctx;
	if (e->engine)
		e->ops->code_written(e->engine, f);
}

static void engine_load(struct insn_side *s, const struct insn_case *c)
{
	struct engine_side *e = (struct engine_side *)s;
	for (unsigned i = 0; i < INSN_PAGES; i++)
		if (insn_case_touches(c, i)) {
			insn_case_apply(c, i, bytes_of(e, i));
			tell(e, i);
		}
	if (e->cases++ % 16 == 0) {
		struct rng r = {e->cases};
		const struct insn_page *p = &insn_pages[rng_below(&r, INSN_PAGES)];
		if (pg_space_protect(e->space, (pg_va){p->va}, 4096, 0) ||
			pg_space_protect(e->space, (pg_va){p->va}, 4096, p->prot))
			abort();
	}
}

static enum insn_end end_of(enum pg_exit why, const struct pg_exit_info *info, uint64_t *addr)
{
	*addr = 0;
	switch (why) {
	case PG_EXIT_FAULT:
		*addr = info->fault_va.v;
		switch (info->fault_end) {
		case PG_FAULT_MAPERR:
		case PG_FAULT_STACK:
		case PG_FAULT_LIMIT:
			return END_MAPERR;
		case PG_FAULT_ACCERR:
			return END_ACCERR;
		case PG_FAULT_BUS:
			return END_BUS;
		default:
			return END_OTHER;
		}
	case PG_EXIT_GP:
		return END_GP;
	case PG_EXIT_SS:
		return END_SS;
	case PG_EXIT_DIVIDE:
		return END_DIVIDE;
	case PG_EXIT_FP:
		return END_FP;
	case PG_EXIT_BREAKPOINT:
		return END_BREAK;
	case PG_EXIT_ILLEGAL:
		return END_ILLEGAL;
	case PG_EXIT_UNSUPPORTED:
		return END_UNSUPPORTED;
	case PG_EXIT_ALIGN:
		return END_ALIGN;
	case PG_EXIT_STEP:
		return END_STEP;
	case PG_EXIT_SYSCALL:
		return END_SYSCALL;
	case PG_EXIT_INTERRUPTED:
		return END_TIMEOUT;
	default:
		return END_OTHER;
	}
}

static void interrupt(void *arg)
{
	struct engine_side *e = arg;
	e->ops->interrupt(e->cpu);
}

static void engine_run(struct insn_side *s, const struct insn_case *c, struct insn_result *out)
{
	struct engine_side *e = (struct engine_side *)s;
	struct pg_cpu_regs *regs = e->ops->regs(e->cpu);
	struct pg_exit_info info;
	enum pg_exit why;
	uint64_t left = 100000;

	memset(out, 0, sizeof *out);
	memcpy(regs->gpr, c->before.gpr, sizeof regs->gpr);
	regs->rip = c->before.rip;
	regs->rflags = c->before.rflags;
	regs->fs_base = c->before.fs_base;
	regs->gs_base = c->before.gs_base;
	memset(regs->x->bytes, 0, INSN_XBYTES);
	memcpy(regs->x->bytes, c->before.x, INSN_XBYTES);
	insn_deadline(interrupt, e);
	do {
		memset(&info, 0, sizeof info);
		why = e->ops->run(e->cpu, c->run == RUN_BUDGET_1 ? 1 : 0, &info);
	} while (why == PG_EXIT_BUDGET && left--);
	insn_deadline(NULL, NULL);
	regs = e->ops->regs(e->cpu);
	memcpy(out->after.gpr, regs->gpr, sizeof regs->gpr);
	out->after.rip = regs->rip;
	out->after.rflags = regs->rflags;
	out->after.fs_base = regs->fs_base;
	out->after.gs_base = regs->gs_base;
	memcpy(out->after.x, regs->x->bytes, INSN_XBYTES);
	out->end = end_of(why, &info, &out->addr);
	out->raw = (uint64_t)why;
}

static const uint8_t *engine_page(struct insn_side *s, unsigned index)
{
	return bytes_of((struct engine_side *)s, index);
}

static void engine_restore(struct insn_side *s, const struct insn_case *c)
{
	struct engine_side *e = (struct engine_side *)s;
	for (unsigned i = 0; i < INSN_PAGES; i++) {
		uint8_t *b = bytes_of(e, i);
		if (insn_case_touches(c, i) || memcmp(b, insn_image[i], 4096) != 0) {
			memcpy(b, insn_image[i], 4096);
			tell(e, i);
		}
	}
}

static void engine_destroy(struct insn_side *s)
{
	struct engine_side *e = (struct engine_side *)s;
	const char *broken = e->ops->check(e->engine);
	if (broken)
		fprintf(stderr, "engine invariant broken: %s\n", broken);
	e->ops->cpu_destroy(e->cpu);
	e->ops->destroy(e->engine);
	pg_space_destroy(e->space);
	pg_vm_destroy(e->vm);
	free(e);
}

static int map_pages(struct engine_side *e)
{
	/* odd pages first: no two neighbours get neighbouring frames */
	for (unsigned odd = 2; odd-- > 0;)
		for (unsigned i = odd; i < INSN_PAGES; i += 2) {
			pg_va at = {insn_pages[i].va};
			int rc = pg_space_map(e->space, &at, 4096, PG_READ | PG_WRITE,
				PG_READ | PG_WRITE | PG_EXEC, PG_MAP_FIXED, NULL, 0, "");
			if (rc)
				return rc;
			if (pg_space_write(e->space, at, insn_image[i], 4096, 0) != 4096)
				return -1;
			e->frame[i] = pg_space_resident(e->space, at, NULL);
			if (pg_pfn_is_none(e->frame[i]))
				return -1;
			rc = pg_space_protect(e->space, at, 4096, insn_pages[i].prot);
			if (rc)
				return rc;
		}
	return 0;
}

static int start(struct engine_side *e, bool fast, bool lazy, const char *tlb, const char **why)
{
	struct pg_vm_config vc = {.memory_bytes = 8u << 20,
		.form = &pg_table_radix,
		.geometry = pg_geometry_x86_64,
		.hooks = {.ctx = e, .code_written = hook_code_written}};
	struct pg_engine_config ec = {
		.mmu = pg_mmu_config_default, .fast = fast, .precise_flags = !lazy};
	*why = "the machine's memory";
	if (tlb && pg_mmu_config_parse(tlb, &ec.mmu, why))
		return -1;
	if (pg_vm_create(&vc, &e->vm))
		return -1;
	ec.vm = e->vm;
	if (e->ops->create(&ec, &e->engine, why))
		return -1;
	uint64_t top = e->ops->address_top(e->engine);
	struct pg_space_config sc = {.lo = {65536},
		.hi = {top},
		.mmap_top = {0x60000000},
		.stack_limit_bytes = 8u << 20,
		.stack_gap_bytes = 1u << 20};
	*why = "the address space";
	if (pg_space_create(e->vm, &sc, &e->space) ||
		e->ops->cpu_create(e->engine, e->space, &e->cpu))
		return -1;
	*why = "mapping the test pages";
	return map_pages(e);
}

struct insn_side *insn_engine_create(
	const struct pg_engine_ops *ops, bool fast, bool lazy, const char *tlb)
{
	struct engine_side *e = calloc(1, sizeof *e);
	const char *why = "memory";
	if (!e)
		return NULL;
	e->side = (struct insn_side){
		"engine", engine_load, engine_run, engine_page, engine_restore, engine_destroy};
	e->ops = ops;
	if (start(e, fast, lazy, tlb, &why)) {
		fprintf(stderr, "engine side: cannot start: %s\n", why);
		free(e); /* what was made dies with the process */
		return NULL;
	}
	return &e->side;
}

uint64_t insn_engine_top(const struct pg_engine_ops *ops, bool fast)
{
	struct pg_vm_config vc = {
		.memory_bytes = 8u << 20, .form = &pg_table_radix, .geometry = pg_geometry_x86_64};
	struct pg_engine_config ec = {.mmu = pg_mmu_config_default, .fast = fast};
	struct pg_engine *engine;
	const char *why;
	uint64_t top = 0;
	if (pg_vm_create(&vc, &ec.vm))
		return 0;
	if (ops->create(&ec, &engine, &why) == 0) {
		top = ops->address_top(engine);
		ops->destroy(engine);
	}
	pg_vm_destroy(ec.vm);
	return top;
}
