/* SPDX-License-Identifier: MIT */
/*
 * trace/unwind.c: from a frame to its caller.
 *
 *   pc -> region -> file and byte in it -> row of the unwind table (remembered) -> CFA, saved registers -> caller's pc
 *
 * Called through unwind.h. A *row* is what the call frame information says at one address: expressions for the CFA and for where
 * each register of the caller is. Rows are fetched from elfutils by its thread (module.h) once and kept, so that a chain
 * through code that was seen before costs look-ups only.
 *
 * Owns: the rows, by file offset of the code in a hash table.
 *
 * Invariant 1: rows never move, and what they point to lives until destroy, as do the modules of struct pg_symbols.
 */
#include "trace/unwind.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trace/faults.h"
#include "trace/location.h"
#include "trace/module.h"

struct rule {
	enum { UNKNOWN, SAME, EXPRESSION } kind;
	const Dwarf_Op *ops; /* in `own`, or the module's */
	size_t count;
	Dwarf_Op own[3];
};

struct row {
	struct row *next; /* of its bucket */
	const char *path; /* of its file; owned by the table of names */
	uint64_t offset;  /* of the byte of code in the file */
	bool none;        /* the file says nothing */
	bool signal;
	Dwarf_Frame *frame; /* owned, by free() */
	const Dwarf_Op *cfa;
	size_t cfa_count;
	struct rule rules[PG_DWARF_REGS];
};

struct name {
	struct name *next;
	char text[];
};

#define BUCKETS 4096

struct pg_unwinder {
	struct pg_symbols *symbols; /* borrowed */
	struct row *rows[BUCKETS];  /* owned */
	struct name *names;         /* owned */
	/* The file that was asked for last: most chains stay in few. */
	const char *last_asked; /* as the region names it; borrowed, compared only */
	const char *last_name;
};

int pg_unwinder_create(struct pg_symbols *symbols, struct pg_unwinder **out)
{
	*out = calloc(1, sizeof **out);
	if (!*out)
		return -ENOMEM;
	(*out)->symbols = symbols;
	return 0;
}

void pg_unwinder_destroy(struct pg_unwinder *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (u->rows[i]) {
			struct row *r = u->rows[i];
			u->rows[i] = r->next;
			free(r->frame);
			free(r);
		}
	while (u->names) {
		struct name *n = u->names;
		u->names = n->next;
		free(n);
	}
	free(u);
}

/* From the registers of a CPU to DWARF's numbers. */
static void dwarf_registers(const struct pg_cpu_regs *from, uint64_t to[17])
{
	static const uint8_t order[8] = {
		PG_RAX, PG_RDX, PG_RCX, PG_RBX, PG_RSI, PG_RDI, PG_RBP, PG_RSP};

	for (unsigned i = 0; i < 16; i++)
		to[i] = from->gpr[i < 8 ? order[i] : i];
	to[PG_DWARF_RIP] = from->rip;
}

/* --- rows ---------------------------------------------------------------------------------------- */

/* The one copy of a path here, so that paths are equal if the pointers are. NULL: no memory. */
static const char *intern(struct pg_unwinder *u, const char *path)
{
	struct name *n;

	if (u->last_name && path == u->last_asked && strcmp(path, u->last_name) == 0)
		return u->last_name;
	for (n = u->names; n && strcmp(n->text, path) != 0;)
		n = n->next;
	if (!n) {
		size_t size = strlen(path) + 1;

		n = malloc(sizeof *n + size);
		if (!n)
			return NULL;
		memcpy(n->text, path, size);
		n->next = u->names;
		u->names = n;
	}
	u->last_asked = path;
	u->last_name = n->text;
	return n->text;
}

struct question {
	struct pg_symbols *symbols;
	struct row *row;
};

static void take_rule(Dwarf_Frame *frame, int number, struct rule *r)
{
	Dwarf_Op *ops;
	size_t count;

	r->kind = UNKNOWN;
	if (dwarf_frame_register(frame, number, r->own, &ops, &count) != 0)
		return;
	if (count == 0) {
		r->kind = ops ? UNKNOWN : SAME;
		return;
	}
	r->kind = EXPRESSION;
	r->ops = ops;
	r->count = count;
}

/* Asked of elfutils' thread: what the file says of the row's byte. */
static void fetch(void *arg)
{
	const struct question *q = arg;
	struct row *r = q->row;
	struct pg_module *m = pg_symbols_module(q->symbols, r->path);
	GElf_Addr bias;
	uint64_t address;
	Dwarf_Op *ops;

	r->none = true;
	if (!m || !pg_module_address(m, r->offset, &address))
		return;
	Dwarf_CFI *cfi = dwfl_module_eh_cfi(m->module, &bias);
	if (!cfi || dwarf_cfi_addrframe(cfi, address + m->bias - bias, &r->frame) != 0) {
		r->frame = NULL;
		cfi = dwfl_module_dwarf_cfi(m->module, &bias);
		if (!cfi || dwarf_cfi_addrframe(cfi, address + m->bias - bias, &r->frame) != 0) {
			r->frame = NULL;
			return;
		}
	}
	dwarf_frame_info(r->frame, NULL, NULL, &r->signal);
	if (dwarf_frame_cfa(r->frame, &ops, &r->cfa_count) != 0 || r->cfa_count == 0)
		return;
	r->cfa = ops;
	for (int i = 0; i < PG_DWARF_REGS; i++)
		take_rule(r->frame, i, &r->rules[i]);
	r->none = false;
}

/* The row of an address of guest code, NULL: not of a file, or no memory. */
static const struct row *row_of(struct pg_unwinder *u, struct pg_space *space, uint64_t pc)
{
	const char *path, *name;
	uint64_t offset;

	if (!pg_trace_file_of(space, pc, &path, &offset))
		return NULL;
	name = intern(u, path);
	if (!name)
		return NULL;
	size_t bucket =
		(offset * 0x9e3779b97f4a7c15u ^ (uintptr_t)name * 0x9e3779b97f4a7c15u) >> 52;
	struct row *r = u->rows[bucket];
	while (r && (r->offset != offset || r->path != name))
		r = r->next;
	if (r)
		return r;
	r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->path = name;
	r->offset = offset;
	r->next = u->rows[bucket];
	u->rows[bucket] = r;
	struct question q = {.symbols = u->symbols, .row = r};
	pg_symbols_ask(u->symbols, fetch, &q);
	return r;
}

/* --- from frame to frame ------------------------------------------------------------------------- */

static bool is_code(struct pg_space *space, uint64_t pc)
{
	struct pg_region r;

	return pg_space_find(space, (pg_va){pc}, false, &r) && (r.prot & PG_EXEC);
}

static bool word(struct pg_space *space, uint64_t at, uint64_t *out)
{
	return (at & 7) == 0 && pg_trace_peek(space, at, out, sizeof *out);
}

/* By the table. False: it is no help here. */
static bool by_cfi(struct pg_space *space, const struct row *row, struct pg_unwind_frame *f,
	struct pg_unwind_frame *caller)
{
	struct pg_location_frame at = {.space = space, .regs = f->regs, .known = f->known};
	enum pg_located end;

	if (pg_location_value(&at, row->cfa, row->cfa_count, NULL, &f->cfa) != PG_LOCATED_OK)
		return false;
	at.cfa = f->cfa;
	at.has_cfa = true;
	caller->known = 0;
	for (unsigned i = 0; i < PG_DWARF_REGS; i++) {
		const struct rule *rule = &row->rules[i];
		uint64_t lies = 0;
		size_t got;

		if (rule->kind == SAME) {
			caller->regs[i] = f->regs[i];
			caller->known |= f->known & 1u << i;
			continue;
		}
		if (rule->kind != EXPRESSION)
			continue;
		end = pg_location_read(
			&at, rule->ops, rule->count, &caller->regs[i], 8, &got, &lies);
		if (end != PG_LOCATED_OK || got != 8)
			continue;
		caller->known |= 1u << i;
		if (i == PG_DWARF_RIP)
			f->return_at = lies;
		if (i == PG_DWARF_RBP)
			f->saved_rbp_at = lies;
	}
	f->by = PG_UNWIND_CFI;
	if (row->rules[PG_DWARF_RIP].kind == UNKNOWN)
		f->by = PG_UNWIND_END; /* "undefined": as _start and clone say */
	else if (!(caller->known >> PG_DWARF_RIP & 1))
		f->by = PG_UNWIND_LOST;
	return true;
}

/* By the base pointer: [rbp] is the caller's, [rbp + 8] the return address. */
static bool by_base(
	struct pg_space *space, struct pg_unwind_frame *f, struct pg_unwind_frame *caller)
{
	uint64_t rbp = f->regs[PG_DWARF_RBP], sp = f->regs[PG_DWARF_RSP];
	const uint32_t both = 1u << PG_DWARF_RBP | 1u << PG_DWARF_RSP;

	if ((f->known & both) != both || rbp < sp || rbp - sp > (uint64_t)1 << 30 ||
		!word(space, rbp, &caller->regs[PG_DWARF_RBP]) ||
		!word(space, rbp + 8, &caller->regs[PG_DWARF_RIP]) ||
		!is_code(space, caller->regs[PG_DWARF_RIP]))
		return false;
	f->cfa = rbp + 16;
	f->return_at = rbp + 8;
	f->saved_rbp_at = rbp;
	f->by = PG_UNWIND_BASE;
	caller->regs[PG_DWARF_RSP] = f->cfa;
	caller->known = both | 1u << PG_DWARF_RIP;
	return true;
}

/* A call of what is no code: the return address is still on top. */
static bool by_top(
	struct pg_space *space, struct pg_unwind_frame *f, struct pg_unwind_frame *caller)
{
	uint64_t sp = f->regs[PG_DWARF_RSP];

	if (is_code(space, f->pc) || !word(space, sp, &caller->regs[PG_DWARF_RIP]) ||
		!is_code(space, caller->regs[PG_DWARF_RIP]))
		return false;
	f->cfa = sp + 8;
	f->return_at = sp;
	f->by = PG_UNWIND_CALLED;
	/* what a callee keeps: rbx, rbp, r12 to r15 */
	memcpy(caller->regs, f->regs, sizeof caller->regs - sizeof caller->regs[0]);
	caller->regs[PG_DWARF_RSP] = f->cfa;
	caller->known = (f->known & 0xf048) | 1u << PG_DWARF_RSP | 1u << PG_DWARF_RIP;
	return true;
}

/* Fills in what of f depends on its caller, and the caller. */
static void find_caller(struct pg_unwinder *u, struct pg_space *space, bool innermost,
	struct pg_unwind_frame *f, struct pg_unwind_frame *caller)
{
	const struct row *row = row_of(u, space, pg_unwind_lookup(f));

	*caller = (struct pg_unwind_frame){0};
	if (row && !f->exact && !row->signal && row->none) {
		/* a handler's return address is the first byte of what restores the state */
		const struct row *there = row_of(u, space, f->pc);
		if (there && there->signal)
			row = there;
	}
	f->by = PG_UNWIND_LOST;
	if (row && !row->none && by_cfi(space, row, f, caller)) {
		f->signal = row->signal;
		caller->exact = row->signal;
	} else if (!(innermost && by_top(space, f, caller)) && !by_base(space, f, caller)) {
		/* the end of a chain of base pointers is a zero */
		if ((f->known >> PG_DWARF_RBP & 1) && f->regs[PG_DWARF_RBP] == 0)
			f->by = PG_UNWIND_END;
		return;
	}
	caller->pc = caller->regs[PG_DWARF_RIP];
	/* Frames go up, but for one that a signal interrupted on another stack; and their code is code. */
	if (f->by == PG_UNWIND_CFI && f->cfa <= f->regs[PG_DWARF_RSP] && !f->signal)
		f->by = PG_UNWIND_LOST;
	if (f->by != PG_UNWIND_END && f->by != PG_UNWIND_LOST && caller->pc == 0)
		f->by = PG_UNWIND_END;
	if (f->by != PG_UNWIND_END && f->by != PG_UNWIND_LOST && !f->signal &&
		!is_code(space, caller->pc))
		f->by = PG_UNWIND_LOST;
}

static void start(const struct pg_cpu_regs *regs, struct pg_unwind_frame *f)
{
	*f = (struct pg_unwind_frame){.pc = regs->rip, .exact = true};
	dwarf_registers(regs, f->regs);
	f->known = (1u << PG_DWARF_REGS) - 1;
}

static bool goes_on(const struct pg_unwind_frame *f)
{
	return f->by == PG_UNWIND_CFI || f->by == PG_UNWIND_BASE || f->by == PG_UNWIND_CALLED;
}

size_t pg_unwind_each(struct pg_unwinder *u, struct pg_space *space, const struct pg_cpu_regs *regs,
	bool (*f)(void *ctx, const struct pg_unwind_frame *frame), void *ctx)
{
	struct pg_unwind_frame now, caller;

	start(regs, &now);
	for (size_t n = 1;; n++) {
		find_caller(u, space, n == 1, &now, &caller);
		if (!f(ctx, &now) || !goes_on(&now))
			return n;
		now = caller;
	}
}

struct chain {
	uint64_t *pcs;
	size_t n, cap;
};

static bool keep_pc(void *ctx, const struct pg_unwind_frame *frame)
{
	struct chain *c = ctx;

	c->pcs[c->n++] = frame->pc;
	return c->n < c->cap;
}

size_t pg_unwind_chain(struct pg_unwinder *u, struct pg_space *space,
	const struct pg_cpu_regs *regs, uint64_t *pcs, size_t cap)
{
	struct chain c = {.pcs = pcs, .cap = cap};

	return cap ? pg_unwind_each(u, space, regs, keep_pc, &c) : 0;
}
