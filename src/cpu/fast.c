/* SPDX-License-Identifier: MIT */
/*
 * cpu/fast.c: the host window of `--fast`: the host's own MMU stands in for the simulated TLB.
 *
 * Called by access.c (probes), traps.c (faults), code.c (write protection of code). The guest's address a is at host address
 * window + a, mapped from the frames' memfd as it is faulted in; GS points at the window, so a redirected operand is
 * gs:[SA]. Page faults, residency and rights are exact; TLB figures do not exist in this mode.
 *
 *     window - 2 GiB    nothing
 *     window - 1.75 GiB the probe: one readable page, then 1 GiB of nothing; index 0 is near the end of the page
 *     window - area     struct pg_cpu and its tables (window.c), then a hole of PG_GS_HOLE
 *     window            its top (PG_FAST_TOP, or PG_FAST_WIDE) bytes of guest, then PG_FAST_ABOVE of nothing
 *
 * One window lies at host address 0 (window.c): GS is elsewhere then, with the same below it, and the hole below the window is the end of
 * the kernel's half of all addresses, which traps.
 *
 * A wild address. SA >> 34 indexes the probe: below the top that is one of the last bytes of its page, for everything else it is
 * an unmapped byte, so the host traps before the access is made. No guest address reaches anything but the window.
 *
 * A register that was probed in this run and has moved by small known steps since needs no second probe: with a small
 * displacement it reaches at most the hole below the window or the nothing above it, and the host traps.
 *
 * rsp at the ends of blocks. Where a block begins rsp is a good address but for PG_FAST_SLACK on either side, so it is not probed there:
 * since it was probed last, or an access off it was made, it has moved by what that access was off it and no more. A block that has moved it otherwise
 * probes it where control leaves (pg_fast_boundary). If rsp is wild then, the guest has done no wrong yet: as long as it is, run.c lets instructions be executed one by
 * one, each translated for itself and probing for itself.
 *
 * Numbered invariants:
 *   1. A page of the window is mapped only if the page table has a present entry for it, to the same frame.
 *   2. It is writable only if the entry is writable and dirty and the frame has no translations.
 *   3. A bit of a chunk is set only if the page is mapped, and writable if that bit is set too. A page may be mapped without it.
 */
#include "cpu/fast.h"
#include "cpu/run.h"

#include <errno.h>
#include <sys/mman.h>

#define GIB ((size_t)1 << 30)
#define BELOW (2 * GIB)
#define RESERVED(top) (BELOW + (top) + PG_FAST_ABOVE)
#define PROBE_PAGE (-0x70000000)
/*
 * The bytes that may be read are the last of the page: one for each 2^PG_FAST_SHIFT below the top. Below a wide window the next page may
 * be read too, and so the same code goes on to 2^PG_FAST_SHIFT more addresses for each of its bytes.
 */
#define PROBE_DISP (PROBE_PAGE + (int32_t)(PG_PAGE_SIZE - (PG_FAST_TOP >> PG_FAST_SHIFT)))
#define PROBE_BYTES GIB

#define RESERVE (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
/* The host lets nobody map what is below (vm.mmap_min_addr), nor does Pagoda its guests. */
#define ZERO_START ((uint64_t)64 << 10)

#define MOST_NEIGHBOURS 16 /* on each side, mapped along with a page that faulted */

void pg_fast_probe(struct pg_translator *tr, unsigned reg)
{
	struct pg_emit *m = &tr->e->emit;
	/* shrx r11, reg, r10; movzx r11d, byte gs:[r11 + probe] */
	ebytes(m, (const uint8_t[]){0xc4, reg > 7 ? 0x42 : 0x62, 0xab, 0xf7, 0xd8 | (reg & 7)}, 5);
	ebytes(m, (const uint8_t[]){0x65, 0x45, 0x0f, 0xb6, 0x9b}, 5);
	e32(m, (uint32_t)PROBE_DISP);
}

static bool small(int64_t v)
{
	return v >= -PG_FAST_STEP && v <= PG_FAST_STEP;
}

bool pg_fast_reaches(const struct pg_translator *tr, unsigned base, unsigned index, int64_t disp)
{
	uint16_t good = tr->probed | tr->short_values;
	if (base == H_NONE ? disp < 0 : disp < -PG_FAST_DISP || !(good >> base & 1))
		return false;
	return index == H_NONE || (tr->short_values >> index & 1);
}

bool pg_fast_plain(const struct pg_insn *in, unsigned *base, int32_t *disp)
{
	const ZydisDecodedOperandMem *m = &in->ops[in->mem].mem;
	int64_t d = m->disp.has_displacement ? m->disp.value : 0;
	unsigned b = pg_gpr_of(m->base);
	if (b == H_NONE || pg_is_stolen(b) || m->index != ZYDIS_REGISTER_NONE ||
		in->zi.address_width != 64 || m->segment == ZYDIS_REGISTER_FS ||
		m->segment == ZYDIS_REGISTER_GS || d < -PG_FAST_DISP || d > PG_FAST_DISP)
		return false;
	*base = b;
	*disp = (int32_t)d;
	return true;
}

/* Does `in` access memory at rsp + a small constant, whatever its operands hold? */
static bool accesses_stack(const struct pg_insn *in)
{
	unsigned base;
	int32_t disp;
	return in->kind == K_MEM && in->zi.mnemonic == ZYDIS_MNEMONIC_MOV &&
	       pg_fast_plain(in, &base, &disp) && base == H_RSP;
}

void pg_fast_boundary(struct pg_translator *tr, uint64_t rip, bool saved)
{
	uint32_t index;
	if (!pg_tr_fast(tr) || tr->temporary || ((tr->probed >> H_RSP & 1) && !tr->rsp_moved))
		return;
	struct pg_site *s = pg_vec_add(&tr->e->sites, sizeof(*s), &index);
	memset(s, 0, sizeof(*s));
	s->block = tr->block;
	s->row = (uint8_t)(tr->b->n_rows - 1);
	s->fragment = PG_NIL;
	s->boundary = true;
	s->size = (uint16_t)(rip - tr->b->rip);
	s->flags = (uint8_t)(saved ? FLAGS_MEM : FLAGS_EFLAGS);
	s->fast_base = H_RSP;
	pg_fast_probe(tr, H_RSP);
	s->resume = tr->e->emit.p;
	tr->probed |= 1u << H_RSP;
	tr->rsp_moved = false;
}

/* Which registers are known to be below 2^32 behind `in`: those that an operation of 32 bits has written. */
static void note_short_values(struct pg_translator *tr, const struct pg_insn *in)
{
	const ZydisDecodedOperand *o = in->ops;
	unsigned dst =
		o[0].type == ZYDIS_OPERAND_TYPE_REGISTER ? pg_gpr_of(o[0].reg.value) : H_NONE;
	bool is_short = false;
	switch (in->zi.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		is_short = in->kind == K_COPY && o[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			   o[0].size == 64 && pg_gpr_of(o[1].reg.value) != H_NONE &&
			   (tr->short_values >> pg_gpr_of(o[1].reg.value) & 1);
		is_short |= o[0].size == 32;
		break;
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_AND:
	case ZYDIS_MNEMONIC_OR:
	case ZYDIS_MNEMONIC_XOR:
	case ZYDIS_MNEMONIC_NEG:
	case ZYDIS_MNEMONIC_NOT:
	case ZYDIS_MNEMONIC_INC:
	case ZYDIS_MNEMONIC_DEC:
	case ZYDIS_MNEMONIC_IMUL:
	case ZYDIS_MNEMONIC_LEA:
		is_short = o[0].size == 32;
		is_short |= in->zi.mnemonic == ZYDIS_MNEMONIC_MOVZX && o[0].size == 64;
		break;
	default:
		break;
	}
	tr->short_values &= (uint16_t)~in->written_gprs;
	if (is_short && dst != H_NONE && o[0].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT &&
		in->written_gprs == 1u << dst)
		tr->short_values |= (uint16_t)(1u << dst);
}

void pg_fast_after(struct pg_translator *tr, const struct pg_insn *in)
{
	uint16_t written = in->written_gprs, moved = 0;
	const ZydisDecodedOperand *o = in->ops;
	unsigned dst =
		o[0].type == ZYDIS_OPERAND_TYPE_REGISTER ? pg_gpr_of(o[0].reg.value) : H_NONE;
	switch ((enum pg_kind)in->kind) {
	case K_PUSH:
	case K_POP: /* pop rsp and pop to memory are the exceptions */
		if (!(in->kind == K_POP && (in->mem >= 0 || dst == H_RSP)))
			moved = 1u << H_RSP;
		tr->rsp_moved = false;
		break;
	case K_COPY:
		if (dst == H_NONE || in->zi.operand_width != 64)
			break;
		if ((in->zi.mnemonic == ZYDIS_MNEMONIC_ADD ||
			    in->zi.mnemonic == ZYDIS_MNEMONIC_SUB) &&
			o[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && small(o[1].imm.value.s))
			moved = (uint16_t)(1u << dst);
		else if (in->zi.mnemonic == ZYDIS_MNEMONIC_AND &&
			 o[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && o[1].imm.value.s < 0 &&
			 small(o[1].imm.value.s))
			moved = (uint16_t)(1u << dst); /* down to a multiple */
		else if (in->zi.mnemonic == ZYDIS_MNEMONIC_MOV &&
			 o[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			 pg_gpr_of(o[1].reg.value) != H_NONE &&
			 (tr->probed >> pg_gpr_of(o[1].reg.value) & 1)) {
			tr->probed |= (uint16_t)(1u << dst);
			moved = (uint16_t)(1u << dst);
		}
		if (moved == 1u << H_RSP)
			tr->rsp_moved = true;
		break;
	case K_MEM:
		if (accesses_stack(in))
			tr->rsp_moved = false;
		break;
	case K_LEA:
		if (in->zi.operand_width == 64 && in->zi.address_width == 64 &&
			o[1].mem.index == ZYDIS_REGISTER_NONE &&
			pg_gpr_of(o[1].mem.base) != H_NONE &&
			(tr->probed >> pg_gpr_of(o[1].mem.base) & 1) &&
			small(o[1].mem.disp.value)) {
			tr->probed |= (uint16_t)(1u << dst);
			moved = (uint16_t)(1u << dst);
			tr->rsp_moved |= dst == H_RSP;
		}
		break;
	case K_NOTHING:
	case K_JCC:
	case K_LOOP:
	case K_MOFFS:
		break;
	default: /* by complex.c and the like, or the end of the run */
		tr->probed = tr->short_values = 0;
		return;
	}
	note_short_values(tr, in);
	tr->probed &= (uint16_t) ~(written & ~moved);
}

void pg_fast_restore(struct pg_translator *tr)
{
	e_mov_imm(&tr->e->emit, SB, PG_FAST_SHIFT);
}

/* Host addresses [ZERO_START, top + PG_FAST_ABOVE), if nothing is there. */
static bool reserve_zero(uint64_t top)
{
	void *at = (void *)(uintptr_t)ZERO_START;
	size_t bytes = top + PG_FAST_ABOVE - ZERO_START;
	void *p = mmap(at, bytes, PROT_NONE, RESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (p != at && p != MAP_FAILED) /* before Linux 4.17 it is a wish */
		munmap(p, bytes);
	return p == at;
}

void pg_fast_release_zero(struct pg_cpu *c)
{
	munmap((void *)(uintptr_t)ZERO_START, c->top + PG_FAST_ABOVE - ZERO_START);
}

/* Below this guest address there is nothing of the window that could be mapped. */
static uint64_t lowest(const struct pg_cpu *c)
{
	return c->window ? 0 : ZERO_START;
}

/*
 * All of the window is nothing again. It is unmapped first, with the nothing below and above it: at the host's limit of mappings
 * neither a new mapping nor the cutting of an old one would be granted.
 */
static bool reserve_window(struct pg_cpu *c)
{
	uint8_t *start = c->window + lowest(c) - (c->window ? PG_GS_HOLE : 0);
	size_t bytes = (size_t)(c->window + c->top + PG_FAST_ABOVE - start);
	munmap(start, bytes);
	memset(c->chunks, 0, PG_WINDOW_CHUNKS * sizeof(*c->chunks));
	return mmap(start, bytes, PROT_NONE, RESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

uint8_t *pg_fast_reserve(size_t below, uint64_t top, bool at_zero, size_t *bytes, uint8_t **gs)
{
	size_t probe = top == PG_FAST_WIDE ? 2 * PG_PAGE_SIZE : PG_PAGE_SIZE;
	*bytes = at_zero ? BELOW : RESERVED(top);
	uint8_t *p = mmap(NULL, *bytes, PROT_NONE, RESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	uint8_t *at = p + BELOW;
	if (mprotect(at - below, below - PG_GS_HOLE, PROT_READ | PROT_WRITE) != 0 ||
		mprotect(at + PROBE_PAGE, probe, PROT_READ) != 0 ||
		(at_zero && !reserve_zero(top))) {
		munmap(p, *bytes);
		return NULL;
	}
	*gs = at;
	return p;
}

/* Nothing is mapped in any window: the host's limit of mappings (vm.max_map_count) is for all of them. */
static void reserve_all(struct pg_engine *e)
{
	for (struct pg_cpu *c = e->windows; c; c = c->next)
		PG_ASSERT(!c->space || reserve_window(c)); /* else it is empty */
}

/* The bits of a chunk for pages from vpn up to end, if that is in it. */
static uint64_t bits(uint64_t vpn, uint64_t end)
{
	unsigned first = vpn & 63;
	uint64_t n = end - vpn < 64 - first ? end - vpn : 64 - first;
	return (n == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1) << first;
}

static void note_mapped(struct pg_cpu *c, uint64_t vpn, uint64_t end, bool writable)
{
	for (; vpn < end; vpn = (vpn | 63) + 1) {
		struct pg_window_chunk *k = &c->chunks[(vpn >> 6) % PG_WINDOW_CHUNKS];
		uint64_t set = bits(vpn, end);
		if (k->number != vpn >> 6)
			*k = (struct pg_window_chunk){.number = vpn >> 6};
		k->pages |= set;
		k->writable = writable ? k->writable | set : k->writable & ~set;
	}
}

static void note_unmapped(struct pg_cpu *c, uint64_t vpn, uint64_t end)
{
	if (end - vpn >= 64 * PG_WINDOW_CHUNKS) {
		memset(c->chunks, 0, PG_WINDOW_CHUNKS * sizeof(*c->chunks));
		return;
	}
	for (; vpn < end; vpn = (vpn | 63) + 1) {
		struct pg_window_chunk *k = &c->chunks[(vpn >> 6) % PG_WINDOW_CHUNKS];
		if (k->number == vpn >> 6)
			k->pages &= ~bits(vpn, end);
	}
}

static bool is_mapped(const struct pg_cpu *c, uint64_t vpn, bool writable)
{
	const struct pg_window_chunk *k = &c->chunks[(vpn >> 6) % PG_WINDOW_CHUNKS];
	uint64_t as_wanted = writable ? k->pages & k->writable : k->pages;
	return k->number == vpn >> 6 && (as_wanted >> (vpn & 63) & 1);
}

static void unmap_range(struct pg_cpu *c, uint64_t start, uint64_t end)
{
	if (end > c->top)
		end = c->top;
	if (start < lowest(c))
		start = lowest(c);
	if (start >= end)
		return;
	note_unmapped(c, start >> PG_PAGE_SHIFT, end >> PG_PAGE_SHIFT);
	if (mmap(c->window + start, end - start, PROT_NONE, RESERVE | MAP_FIXED, -1, 0) !=
		MAP_FAILED)
		return;
	/* At the limit a mapping cannot be cut in two. */
	PG_ASSERT(errno == ENOMEM && reserve_window(c));
}

/* Translations of pages in [start, end) may not be entered without a look at the page table again. */
static void clear_marks(struct pg_cpu *c, uint64_t start, uint64_t end)
{
	if (end - start >= PG_MARKS) {
		memset(pg_cpu_mark(c, 0), 0, PG_MARKS * sizeof(uint32_t));
		return;
	}
	for (uint64_t v = start; v < end; v++)
		*pg_cpu_mark(c, v) = 0;
}

static void on_shootdown(struct pg_shootdown *self, pg_vpn start, pg_vpn end)
{
	struct pg_cpu *c = (struct pg_cpu *)(void *)((uint8_t *)self -
						     offsetof(struct pg_cpu, window_shootdown));
	uint64_t top = c->top >> PG_PAGE_SHIFT;
	if (end.v > top)
		end.v = top;
	if (start.v >= end.v)
		return;
	unmap_range(c, start.v << PG_PAGE_SHIFT, end.v << PG_PAGE_SHIFT);
	clear_marks(c, start.v, end.v);
	if (c->engine->spaces == PG_SPACES_ONE)
		pg_code_unlink_range(c->engine, start.v, end.v);
}

void pg_fast_empty(struct pg_cpu *c)
{
	unmap_range(c, 0, c->top);
	clear_marks(c, 0, PG_MARKS);
}

void pg_fast_attach(struct pg_cpu *c)
{
	c->window_shootdown.invalidate = on_shootdown;
	pg_space_attach(c->space, &c->window_shootdown);
}

void pg_fast_protect(struct pg_engine *e, pg_pfn f)
{
	for (struct pg_rmap *r = pg_frames_row(e->frames, f)->rmap; r; r = r->next) {
		for (struct pg_cpu *c = e->windows; c; c = c->next) {
			if (r->space == c->space)
				unmap_range(c, r->vpn.v << PG_PAGE_SHIFT,
					(r->vpn.v + 1) << PG_PAGE_SHIFT);
		}
	}
}

/* May stores to the page go inline, as far as its entry says? */
static bool is_writable(struct pg_engine *e, pg_pte pte)
{
	return (pte & PG_PTE_RW) && (pte & PG_PTE_D) &&
	       !(pg_frames_row(e->frames, pg_pte_pfn(pte))->flags & PG_FRAME_CODE);
}

/*
 * How many pages from vpn on, in steps of `step`, at most `most`, are to be mapped along with a page whose frame is `step` before
 * the first's: in the next frame each, accessed already, so that nothing is to be noted when they are accessed again, writable
 * or not as that page, and not known to be mapped so.
 */
static unsigned neighbours(
	struct pg_cpu *c, uint64_t vpn, uint64_t pfn, int step, unsigned most, bool writable)
{
	const pg_pte need = PG_PTE_P | PG_PTE_US | PG_PTE_A;
	unsigned n = 0, refs;
	for (; n < most && vpn < c->top >> PG_PAGE_SHIFT;
		n++, vpn += (uint64_t)(int64_t)step, pfn += (uint64_t)(int64_t)step) {
		pg_pte pte = c->table->form->walk(c->table, (pg_vpn){vpn}, &refs);
		if ((pte & need) != need || pg_pte_pfn(pte).v != pfn ||
			is_writable(c->engine, pte) != writable || is_mapped(c, vpn, writable))
			break;
	}
	return n;
}

/* Maps the page of vpn, whose entry is pte, and neighbours of it that a fault would map alike. */
static void map_pages(struct pg_cpu *c, uint64_t vpn, pg_pte pte)
{
	struct pg_engine *e = c->engine;
	bool writable = is_writable(e, pte);
	uint64_t f = pg_pte_pfn(pte).v;
	unsigned before = neighbours(c, vpn - 1, f - 1, -1, MOST_NEIGHBOURS, writable);
	unsigned after = neighbours(c, vpn + 1, f + 1, 1, MOST_NEIGHBOURS, writable);
	for (unsigned tries = 0;; tries++) {
		void *p = mmap(c->window + ((vpn - before) << PG_PAGE_SHIFT),
			(1 + before + after) * PG_PAGE_SIZE,
			PROT_READ | (writable ? PROT_WRITE : 0),
			MAP_SHARED | MAP_FIXED | MAP_POPULATE, pg_frames_fd(e->frames),
			(off_t)((f - before) << PG_PAGE_SHIFT));
		if (p != MAP_FAILED) {
			note_mapped(c, vpn - before, vpn + 1 + after, writable);
			return;
		}
		/* The windows are only a cache: they start again, this one first. */
		PG_ASSERT(errno == ENOMEM && tries < 2);
		if (tries == 0)
			PG_ASSERT(reserve_window(c));
		else
			reserve_all(e);
	}
}

/* The access whose probe is at host address pc: probes and sites are in the same order. */
static const struct pg_site *site_of_probe(struct pg_engine *e, const uint8_t *pc)
{
	uint32_t lo = 0, hi = e->sites.n;
	while (lo < hi) { /* the first that resumes behind pc */
		uint32_t mid = lo + (hi - lo) / 2;
		if (pg_site_at(e, mid)->resume > pc)
			hi = mid;
		else
			lo = mid + 1;
	}
	PG_ASSERT(lo < e->sites.n);
	return pg_site_at(e, lo);
}

int pg_fast_fault(struct pg_cpu *c, uint64_t addr, bool write, const uint64_t gpr[16])
{
	struct pg_engine *e = c->engine;
	uint64_t w = (uint64_t)(uintptr_t)c->window;
	uint64_t va = addr - w;
	enum pg_access access = write ? PG_WRITE : PG_READ;
	unsigned row;
	struct pg_block *b = pg_find_host_pc(e, c, c->trap.pc, &row);
	uint64_t rip = b->rip + pg_row_at(e, b->rows + row)->guest;
	c->trap.x87 = false;
	uint64_t probe = (uint64_t)(uintptr_t)pg_cpu_gs(c) + (uint64_t)(int64_t)PROBE_DISP;
	bool wild = addr - probe < PROBE_BYTES;
	if (wild) {
		const struct pg_site *probed =
			site_of_probe(e, (const uint8_t *)(uintptr_t)c->trap.pc);
		va = gpr[probed->fast_base] + (uint64_t)(int64_t)probed->fast_disp;
		const struct pg_site *s = probed;
		if (probed->boundary) {
			c->trap.site = (uint32_t)(probed - pg_site_at(e, 0));
			return 4;
		}
		/* the host only saw the probe's read */
		access = (enum pg_access)(s->group_last ? s->first_access : s->access);
		c->trap.x87 = s->x87;
		va += s->group_last ? s->first_off : 0;
		uint64_t size = s->group_last ? s->first_size : s->size, last = va + size - 1;
		bool misaligned = s->aligned && (va & (size - 1));
		if (!pg_is_canonical(va) || !pg_is_canonical(last) || misaligned) {
			c->info.why = s->stack && !misaligned ? PG_EXIT_SS : PG_EXIT_GP;
			return 3;
		}
	} else {
		PG_ASSERT(va < c->top + PG_FAST_ABOVE || va > -(uint64_t)PG_GS_HOLE);
	}
	for (;;) {
		pg_pte pte = 0;
		pg_pfn f = PG_PFN_NONE;
		if (va < e->fast_top)
			f = pg_space_walk(c->space, (pg_va){va}, &pte);
		if ((pte & PG_PTE_P) && (pte & PG_PTE_US) && (!write || (pte & PG_PTE_RW))) {
			if (va >= c->top)
				return wild ? 5 : 6;
			if (write && (pg_frames_row(e->frames, f)->flags & PG_FRAME_CODE)) {
				/* A block made for this instruction alone may go on: nobody enters it again. */
				pg_code_drop_frame(e, f);
				if (!b->temporary)
					return 2;
			}
			pg_pte set = PG_PTE_A | (write ? PG_PTE_D : 0);
			c->table->form->update(c->table, pg_vpn_of((pg_va){va}), set, 0);
			map_pages(c, pg_vpn_of((pg_va){va}).v, pte | set);
			return 0;
		}
		enum pg_fault_end end = pg_cpu_fault(c, va, access, rip);
		if (end != PG_FAULT_RESUME) {
			c->info.why = PG_EXIT_FAULT;
			c->info.fault_va = (pg_va){va};
			c->info.fault_access = access;
			c->info.fault_end = end;
			return wild ? 3 : 1;
		}
	}
}
