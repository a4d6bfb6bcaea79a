/* SPDX-License-Identifier: MIT */
/* cpu/fast.h: the host window of `--fast`: emission of probes, and the window itself. See fast.c. */
#ifndef PG_CPU_FAST_H
#define PG_CPU_FAST_H

#include "cpu/translate.h"

/*
 * The guest's addresses are below this in an ordinary window, of which the host's 2^47 have room for some thirty; and in a wide one, for
 * a space that has used one above: there is room for one of these. See fast.c for why it is 68 TiB.
 */
#define PG_FAST_TOP ((uint64_t)1 << 42)
#define PG_FAST_WIDE (((uint64_t)256 + PG_PAGE_SIZE) << PG_FAST_SHIFT)

/* How far a probed register may move by one instruction, and the largest displacement used with it. */
#define PG_FAST_STEP 4096
#define PG_FAST_DISP (256 << 10)
/* How far from the window rsp may be between blocks: a displacement and what ret takes off. */
#define PG_FAST_SLACK (PG_FAST_DISP + (64 << 10) + 4096)
/* Nothing is mapped so far above the window: room for an index below 2^32, eight times, and a displacement. */
#define PG_FAST_ABOVE ((uint64_t)64 << 30)
_Static_assert(PG_FAST_SLACK + PG_BLOCK_INSNS * PG_FAST_STEP + PG_FAST_DISP + 4096 < PG_GS_HOLE,
	"a probed register stays in the hole");

/* What is mapped of 64 pages of a window, in a direct-mapped cache by page number. See fast.c, invariant 3. */
#define PG_WINDOW_CHUNKS 1024
struct pg_window_chunk {
	uint64_t number; /* of its first page, / 64 */
	uint64_t pages,
		writable; /* bit k: page 64 * number + k is mapped, and so that it may be written */
};

/* Is the memory operand [base + disp] with a base that is in its own host register, and a small disp? */
bool pg_fast_plain(const struct pg_insn *in, unsigned *base, int32_t *disp);
/*
 * Fast mode: is [base + index * scale + disp] an address that needs no probe? base and index: of the guest's registers, or H_NONE. Then it
 * lies in the window, or less than PG_GS_HOLE below or PG_FAST_ABOVE above it.
 */
bool pg_fast_reaches(const struct pg_translator *tr, unsigned base, unsigned index, int64_t disp);
/* Which registers are still known to be good after `in`. */
void pg_fast_after(struct pg_translator *tr, const struct pg_insn *in);

/* Lets a wild address in `reg` (not below the window's top) trap here. Destroys SC. */
void pg_fast_probe(struct pg_translator *tr, unsigned reg);
/*
 * Before control leaves a block: rsp is a good address, or a probe here finds out. rip: of what comes next; saved: the flags
 * are in flags_mem there. Destroys SC, perhaps.
 */
void pg_fast_boundary(struct pg_translator *tr, uint64_t rip, bool saved);
/* SB was used for data: gives it its constant again. */
void pg_fast_restore(struct pg_translator *tr);

/*
 * The mapping for a window of addresses up to `top`, `below` bytes of it readable and writable below *gs, where the window is; or at_zero:
 * then what is below *gs is all, and the window a mapping for itself. NULL: no address space.
 */
uint8_t *pg_fast_reserve(size_t below, uint64_t top, bool at_zero, size_t *bytes, uint8_t **gs);
/* The host may use the addresses of the window at 0 for anything. */
void pg_fast_release_zero(struct pg_cpu *c);
void pg_fast_attach(struct pg_cpu *c);

/* A host fault at host address addr: the value for pg_cpu.trap.window, 0: mended. gpr: the host's, by number. */
int pg_fast_fault(struct pg_cpu *c, uint64_t addr, bool write, const uint64_t gpr[16]);

#endif
