/* SPDX-License-Identifier: MIT */
/*
 * cpu/cpu.h: the inside of the translator: state of a CPU, the code cache and its records.
 *
 * Used by the files of cpu/ only; others see engine.h.
 *
 * Host registers while guest code runs: every guest register is in the host register of the same
 * name, but r9, r10 and r11, which compilers name least: they are scratch (SA, SB, SC), and their guest values are in
 * regs.gpr. GS points behind struct pg_cpu and the TLB mirrors, so all state is at gs:[negative]; from
 * GS on is the CPU's view of the guest's memory (view.c) or, in fast mode, the guest's address space. FS is the host's.
 * The host's DF is always clear: the guest's is in regs.rflags.
 *
 * Where the guest's arithmetic flags are at each point of translated code is known when it is translated:
 *   EFLAGS  in the host's flags;
 *   RAX     at a check inside which they live: SF..CF in ah, OF in al, guest rax in tmp_rax;
 *   MEM     saved in `flags_mem` (same layout), EFLAGS then free, because only a later block may want them;
 *   DEAD    nobody will read them: the next writer comes before any reader.
 *
 * Numbered invariants:
 *   1. Guest registers change only after the last access of an instruction was translated.
 *   2. A block is entered past its check only after a fetch lookup of its page by whoever enters.
 *   3. A block whose code page was retired is never entered past its check again.
 *   4. No frame with PG_FRAME_CODE is writable through an inline check (mirror or host window).
 *   5. No exit leads to a block of a retired page, nor does a jump slot but through its thunk, which is an empty slot then. Where
 *      an exit or a thunk leads to a block of another page, the flags can be recovered if its check fails: that
 *      block is not always the one that is there.
 *   6. Records (blocks, sites, exits) are only ever added, until a flush drops all of them and all code. Block 0 and code page 0
 *      are none: they end hash chains, so that empty tables are memory that the host need not give.
 */
#ifndef PG_CPU_CPU_H
#define PG_CPU_CPU_H

#include "cpu/emit.h"
#include "cpu/engine.h"

#include <Zydis/Zydis.h>
#include <setjmp.h>
#include <stddef.h>

/* The stolen registers. */
#define SA H_R9  /* effective address */
#define SB H_R10 /* index of the set; behind the check data of a second stolen operand */
#define SC H_R11 /* data of an operand that is itself stolen */

/*
 * Cold code calls a quick stub like this, with rsp already on the host's stack:
 *     call stub; mov rsp, gs:[guest rsp]; jmp resume; .long record
 * so that the way back is an ordinary return, which the host predicts. PG_COLD_ID: from the return address to the record.
 */
#define PG_COLD_ID 14
/* The record behind a failed check's call: what slow.c needs of the site without touching its row. */
struct pg_cold_access {
	uint32_t site;
	uint16_t limit; /* the last offset in a page at which all bytes of the access lie in it */
	uint8_t access; /* enum pg_access of the lookup */
	uint8_t wants_store; /* and the entry must allow stores inline */
	uint8_t open;        /* enum pg_cold_open */
} __attribute__((packed));
/* Are groups open of which the access is no member (group.c)? */
enum pg_cold_open {
	OPEN_NONE,
	OPEN_APART,    /* yes, but its page is of another set than theirs */
	OPEN_CONFLICT, /* it may drive theirs from the most recent place */
};
/* The same behind a failed fetch check. */
struct pg_cold_fetch {
	uint32_t block;
	uint32_t id;  /* of the code page */
	uint32_t id2; /* of the second one, of an instruction across pages; else 0 */
	uint64_t rip;
} __attribute__((packed));

#define PG_BLOCK_INSNS 32 /* a fetch run, and so a block, is at most this long */
#define PG_JUMP_ENTRIES 65536

/* The reason why translated code came back to run.c. */
enum pg_leave {
	LEAVE_NONE,
	LEAVE_ACCESS,   /* a data access that slow.c could not finish: site, ea in SA */
	LEAVE_FETCH,    /* the fetch check of a block failed: site = block */
	LEAVE_CHAIN,    /* a direct exit without its target yet: site = exit */
	LEAVE_INDIRECT, /* target in SA, not in any table; site = exit */
	LEAVE_SYSCALL,  /* site = exit record holding the next rip */
	LEAVE_COMPLEX,  /* an instruction executed in C: site = complex record */
	LEAVE_STOP,     /* an instruction that always stops: site = exit record, why in it */
	LEAVE_COMMIT,   /* a store to the bounce buffer is to be written to its two frames */
	LEAVE_TRAP,     /* a host signal in translated code: trap_* */
};

/* How the guest's flags are found, at a point of translated code. */
enum pg_flags_at { FLAGS_EFLAGS, FLAGS_RAX, FLAGS_MEM, FLAGS_DEAD };

/*
 * Counting. On hosts with AVX-512VL what a segment does is added, all numbers at once, to ymm16: a register that no
 * guest can name (EVEX is masked in its CPUID), kept in `count` while outside; what is rare to ymm17, by a second addition. (One register of
 * 512 bits for all takes another port of the processor away, 5 % of the time.) Few different things are added: they are
 * kept once each, so that they stay in the cache.
 * Elsewhere each segment has a counter in memory, which a tight loop waits for.
 */
enum {
	PG_COUNT_INSNS,
	PG_COUNT_LOADS,
	PG_COUNT_STORES,
	PG_COUNT_FETCHES,                /* fetch lookups of runs */
	PG_COUNT_COMMON,                 /* the lanes of one register */
	PG_COUNT_BOTH = PG_COUNT_COMMON, /* loads that are stores, too: one lookup */
	PG_COUNT_SECOND,                 /* fetch lookups of runs behind their first */
	PG_COUNT_LANES = 2 * PG_COUNT_COMMON,
};

struct pg_cpu {
	struct pg_cpu_regs regs;
	/* Read and written by translated code through GS. */
	uint64_t host_sp;    /* of run(), while guest code runs */
	uint64_t quick_sp;   /* host_sp - 8, so that a call of a stub aligns it */
	uint64_t host_flags; /* EFLAGS when code was left, or to enter with */
	uint64_t scratch[3]; /* SA, SB, SC when code was left, or to enter with */
	uint64_t target;     /* host address to enter at, or to resume at */
	uint64_t flags_mem;  /* low 16 bits: al = OF, ah = SF ZF AF PF CF as lahf gives */
	uint64_t tmp_rax, tmp_rcx;
	uint64_t tmp_scratch[3];                     /* SA, SB, SC while a quick stub is in C */
	_Alignas(64) uint64_t count[PG_COUNT_LANES]; /* ymm16, ymm17 while outside */
	uint64_t self;                               /* address of this struct */
	uint64_t x_addr;                             /* of regs.x */
	uint32_t site;                               /* which record the code was left at */
	uint32_t leave;                              /* enum pg_leave */
	uint32_t mxcsr_host;
	uint64_t exchanged[2]; /* see pg_mmu_set_second() */
	/* C only, while it runs. */
	uint8_t looked; /* slow.c's lookup for the access that leaves: 0 none, else 1 + result */
	bool smc;       /* a store dropped translations while a block was inside */
	volatile int *
		asked; /* `interrupt` of the guest thread that runs on this CPU: in fast mode another's */
	/* A crossing store in flight: fragments to be written by LEAVE_COMMIT. */
	struct {
		uint8_t *host[2];
		unsigned len[2];
		unsigned n;
		unsigned shift; /* where in `bounce` the operand begins */
		uint64_t resume;
		uint32_t site;
	} cross;
	/* A host signal caught in translated code. */
	struct {
		int signo, code;
		uint64_t addr, pc, error;
		/*
		 * Fast mode: 1 refused, info set; 2 a store into code; 3 a wild address, info set; 4 rsp is wild at a boundary; 5 the page is
		 * there, but above the window; 6 the same, found by the access itself, not by a probe.
		 */
		int window;
		bool x87;      /* 3: a pending x87 exception comes before this fault */
		uint32_t site; /* 4: of the boundary's probe */
	} trap;
	/* Transfers that were noted and are to be told, if anybody listens: slow.c puts them there, run.c tells them. */
	struct pg_told {
		uint64_t from, to, rsp, instructions;
		int32_t undo;
		uint8_t how;
	} * told; /* owned; [PG_TOLD_ROOM]; NULL: none yet */
	uint32_t told_count;
	bool noted; /* the last transfer of slow.c's is there, should its jump lead out */
	struct pg_transfer_wish wish;
	/* The exit that led out, to be pointed at the next block. */
	uint32_t link;   /* exit record, or PG_NIL */
	uint32_t missed; /* or the block that it led to, whose check failed; or PG_NIL */
	bool link_indirect;
	uint64_t link_generation;
	uint64_t port_lookups;    /* made by an instruction executed in C */
	uint32_t tmp_marks[4];    /* ends of record arrays before a temporary block */
	uint8_t *cold_mark;       /* end of the cold code before it */
	struct pg_exit_info info; /* being built */
	/* C only, for good. `engine` is the first of these: see pg_cpu_fault. */
	struct pg_engine *engine; /* borrowed */
	struct pg_space *space;   /* borrowed */
	struct pg_table *table;   /* fast mode: of the space */
	struct pg_mmu *mmu;       /* owned; NULL in fast mode */
	struct pg_cpu *next;      /* engine's list of CPUs */
	volatile int interrupt; /* sticky request, see pg_engine_ops.interrupt; read by stubs too */
	struct pg_cpu
		*volatile at; /* where it runs: itself, or in fast mode its space's window, NULL: none yet */
	uint64_t turn; /* of a window: when it was used last */
	unsigned pins; /* of a window: threads that wait for a page fault in it */
	/* Folded from the counters of segments, on hosts where these are in memory. */
	struct {
		uint64_t insns, loads, stores, lookups, runs, fetches;
	} folded;
	uint64_t extra_lookups; /* data lookups beyond those of completed accesses */
	uint64_t crossings;
	uint64_t port_crossings;
	uint64_t fetch_extra; /* fetch lookups beyond one per run entered inline */
	/* Adjustments to the counters of segments: what was counted at entry but did not happen. */
	int64_t adj_insns, adj_loads, adj_stores, adj_lookups;
	uint64_t jump_generation; /* of the code that the jump table was filled for */
	uint8_t *area;            /* the mapping this struct lies in */
	size_t area_bytes;
	struct pg_shootdown window_shootdown; /* of a window */
	uint8_t *window; /* of a window: host address of guest address 0; NULL, too */
	uint64_t top;    /* of a window: addresses below it are the guest's */
	bool wider;      /* of a window: the thread that ran needs a wide one */
	bool wide;       /* of a thread: it has used an address above PG_FAST_TOP */
	struct pg_window_chunk *chunks; /* of a window: [PG_WINDOW_CHUNKS], see fast.c; owned */
	uint32_t *view; /* exact mode: [PG_VIEW_PAGES], what the view at GS maps, see view.c */
	bool has_view;  /* false: the host had no room for it */
	_Alignas(64) uint8_t bounce[8192];
	_Alignas(64) uint64_t tail[8]; /* so that GS is aligned; nothing is stored here */
};

/*
 * Between a CPU's state and GS lies a hole: in fast mode an operand a little below guest address 0 must not reach the
 * state. PG_GS_HOLE is more than a probed register may move plus the largest displacement used with it, see fast.h.
 */
#define PG_GS_HOLE (1 << 20)

static inline uint8_t *pg_cpu_gs(struct pg_cpu *c)
{
	return (uint8_t *)(c + 1) + PG_GS_HOLE;
}

/* The displacement of a field from GS. */
#define ST(field)                                                                                  \
	((int32_t)offsetof(struct pg_cpu, field) - (int32_t)sizeof(struct pg_cpu) - PG_GS_HOLE)
#define ST_GPR(r) (ST(regs.gpr) + 8 * (int32_t)(r))

/* One guest instruction of a block, for precise state. Counts are of the segment, before this instruction. */
struct pg_insn_row {
	uint16_t guest; /* offset from the block's rip */
	uint16_t host;  /* offset of its code from the block's body */
	uint8_t segment;
	uint8_t insns, loads, stores, lookups;
	uint8_t flags; /* enum pg_flags_at, at the operation itself */
	uint8_t swap; /* 1 + register whose low and high bytes are exchanged around the operation */
	uint8_t saved; /* flags are in flags_mem when it begins */
};

struct pg_segment {
	uint32_t counter; /* index of its execution counter */
	uint8_t insns, loads, stores, lookups;
	uint8_t fetches; /* of the block that it begins; 0: it begins none */
};

struct pg_block {
	uint64_t rip;
	uint32_t page;          /* index of its code page */
	uint32_t page2;         /* of an instruction across pages: the second's; else PG_NIL */
	uint32_t next;          /* hash chain; 0 ends */
	uint32_t in;            /* first exit linked to it; PG_NIL: none */
	uint32_t next_of_page;  /* of the blocks of its code page; PG_NIL ends */
	uint32_t next_of_page2; /* and of those that have that one as page2 */
	uint8_t *entry;         /* with the fetch check */
	uint8_t *fetched;       /* where the slow path of the check rejoins */
	uint8_t *body;          /* past it, EFLAGS right if entry_live */
	uint8_t *end;           /* of all its code */
	uint8_t *thunk;         /* entry for indirect jumps, made on first use */
	uint8_t *was_thunk;     /* one that was taken back */
	uint8_t *tail;          /* behind the last instruction, if control goes on there */
	bool tail_saved;        /* pg_insn_row.saved of the tail */
	uint8_t *moved;         /* entry for exits whose flags are not where the block wants them */
	uint32_t rows;          /* index of its first pg_insn_row */
	uint32_t segments;      /* index of its first pg_segment */
	uint32_t exits;         /* index of its first exit record */
	uint32_t n_exits;
	uint32_t whole; /* of a fragment: the block that it goes on in; else PG_NIL */
	uint16_t bytes; /* of guest code */
	uint8_t n_rows, n_segments;
	bool entry_live; /* wants EFLAGS right at entry */
	bool entry_mem;  /* only passes flags on: wants them in flags_mem at entry */
	bool temporary;  /* single-step block, never found again */
	bool jumps;      /* its last PG_JUMP_BYTES are pg_emit_jump_table()'s */
	uint8_t fetches; /* fetch lookups that one entry makes: 1, or 2 for an instruction across pages */
};

/* A data access whose inline check may fail. */
struct pg_site {
	uint32_t block;
	uint8_t row;
	uint8_t nth;     /* accesses of the same instruction before it */
	uint16_t size;   /* bytes */
	uint8_t access;  /* enum pg_access of the check */
	uint8_t flags;   /* enum pg_flags_at while the check runs */
	uint8_t x87;     /* waits for pending x87 exceptions */
	uint8_t aligned; /* misaligned is #GP, whatever the page */
	uint8_t stack;   /* through SS: a non-canonical address is #SS */
	uint8_t *
		resume; /* the operation, behind the check; in exact mode the page must be in the view */
	/*
	 * Exact mode: the operation in cold code, on gs:[SA]: alt_len bytes, then a jump to behind the one at resume. Sites are in the order
	 * of these places.
	 */
	uint8_t *alt;
	uint16_t alt_len;
	/* A shared check (size is its span, access PG_WRITE if any member stores); group_last 0: none. */
	bool boundary; /* fast mode: no access, but the end of a block; size: from the block's rip to what comes next */
	uint8_t fast_base; /* fast mode: the register that is probed, the address being it + fast_disp */
	int32_t fast_disp;
	uint8_t group_last;   /* row of the last member */
	uint8_t until;        /* row of the last instruction that a fragment from here on has */
	bool open;            /* groups are open here of which this access is no member */
	uint8_t first_access; /* of the first member */
	uint16_t first_off, first_size;
	uint16_t
		align; /* if its lowest byte is at a multiple of it no member lies across two pages; 0: cannot be said */
	uint32_t fragment; /* block index of its ungrouped form, or PG_NIL */
};

/* What a stub wants to know of a shared check: from its first byte to its last, and above that what its address must not have to be aligned. */
static inline uint32_t pg_group_measure(const struct pg_site *s)
{
	return (uint32_t)(s->align - 1) << 16 | (s->size - 1u);
}

/* A direct way out of a block. */
struct pg_exit_row {
	uint32_t block;
	uint8_t flags; /* enum pg_flags_at */
	uint8_t stop;  /* LEAVE_STOP: enum pg_exit */
	uint8_t row;   /* of the instruction that leaves */
	bool no_chain;
	uint8_t transfer; /* enum pg_transfer, if the engine's owner is told of it: never chained then */
	int32_t rsp_undo; /* to be added to rsp if the transfer itself faults; of indirect ones, and with `transfer` */
	uint64_t target;  /* guest rip */
	uint8_t *patch;   /* rel32 to be pointed at the target's entry */
	uint8_t *cold;    /* where it points while there is no target */
	uint32_t next_in; /* of the exits linked to the same block; PG_NIL ends */
	uint32_t
		linked; /* the block on whose list it is; 0: none. It may point at `cold` all the same: see stop.c */
};

struct pg_complex_row {
	uint32_t block;
	uint8_t row;
	uint8_t kind; /* see translate.h */
	uint8_t *resume;
	uint64_t rip;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

/* The translations of one guest page with one content. See pages.c. */
struct pg_code_page {
	uint64_t vpn;
	uint32_t id;       /* never 0; in the TLB while bound */
	uint32_t next;     /* hash chain by vpn; 0 ends */
	uint32_t blocks;   /* first block translated from it; PG_NIL: none */
	uint32_t blocks2;  /* first block that has it as its second page */
	uint32_t bindings; /* the frames it lies in; 0: none */
	bool retired;
	uint8_t *copy;     /* [4096] the bytes translated from; owned */
	uint64_t used[64]; /* bitmap of the bytes that translations depend on */
};

/* A code page lies in a frame. Index 0 is none. */
struct pg_binding {
	uint32_t page, frame;
	uint32_t next_of_frame; /* also of the free ones */
	uint32_t next_of_page;
};

struct pg_vec { /* a growing array of records, never moved while code refers by index */
	void *p;
	uint32_t n, cap;
};

struct pg_engine {
	struct pg_engine_config config;
	struct pg_frames *frames;
	const struct pg_frame *frame_rows; /* frames' table, by frame number */
	uint64_t n_frames;
	int frames_fd;
	struct pg_cpu *cpus; /* those in use */
	struct pg_cpu *idle; /* destroyed ones, to be used again */
	unsigned n_idle;
	struct pg_cpu *windows; /* fast mode, see window.c; owned */
	unsigned inside;        /* CPUs that wait for a page fault in run() */
	bool flush_wanted;      /* when none is inside */
	bool windows_full;      /* the host has no room for another */
	struct pg_cpu *at_zero; /* the window at host address 0, or NULL */
	bool plain; /* translated code names the guest's memory without GS: it is for that window only */
	uint64_t fast_top;     /* fast mode: no address is above */
	int64_t view_mappings; /* exact mode: the host's mappings in all views, about; see view.c */
	uint64_t turns;
	struct pg_cpu_stats gone; /* figures of destroyed CPUs */
	enum pg_spaces { PG_SPACES_NONE, PG_SPACES_ONE, PG_SPACES_MANY } spaces; /* that ran */
	struct pg_cpu *counting; /* whose counts the counters in memory are; NULL: nobody's */
	ZydisDecoder decoder;
	/* Geometry of a CPU's area, bytes relative to GS. */
	int32_t off_fast_d, off_fast_i, off_fetch, off_jump, off_marks;
	size_t view_below;             /* exact mode: from GS down to the table of the view */
	size_t area_below, area_above; /* bytes of the area on both sides of GS */
	uint32_t sets_d, sets_i, sets_fetch;
	int32_t to_second;           /* from a mirror to the second mirror of its set */
	bool second_d, second_fetch; /* are there any? */
	/* Code cache: one mapping, stubs first, counters behind the code. */
	uint8_t *code;
	size_t code_bytes, hot_bytes; /* hot_bytes: where the cold code begins */
	struct pg_emit emit;
	struct pg_emit cold; /* what is rarely executed, apart from the rest */
	uint64_t *counters;
	uint32_t n_counters, cap_counters;
	/* Stubs. */
	uint8_t *stub_enter, *stub_leave, *stub_access, *stub_fetch, *stub_indirect, *stub_trap,
		*stub_chain, *stub_commit, *code_start;
	uint8_t *stub_tell; /* a transfer that is told, SA = guest target */
	uint8_t *stub_load, *stub_store, *stub_fetch_one; /* the second mirror first */
	uint8_t *stub_group_load, *stub_group_store;      /* of a shared check */
	uint8_t *stub_leave_access, *stub_leave_indirect, *stub_flags_back, *stub_alt;
	/* Fast mode: the jump of a block that was made to lead out, see stop.c. */
	uint8_t *stopped;
	volatile bool stepping; /* towards a block that can be stopped */
	struct pg_vec blocks, rows, segments, sites, exits, pages;
	struct pg_vec complexes;
	uint32_t *block_hash; /* [1 << block_hash_bits]: first block, 0: none; owned */
	unsigned block_hash_bits;
	uint32_t blocks_hashed;
	uint32_t *page_hash; /* [PG_HASH_SIZE]: first page, 0: none */
	uint32_t next_id;
	struct pg_vec bindings;
	uint32_t free_binding;
	uint32_t *frame_bindings; /* per frame: first binding, 0: none; see pages.c */
	uint8_t *cross_slot;      /* host code of one crossing access, rewritten each time */
	uint64_t generation;      /* of flushes: records of an older one are gone */
	uint32_t *live;           /* fast mode: per code page, its id while it may be entered */
	uint64_t blocks_translated, code_made, guest_bytes, dropped, flushes;
	struct pg_translator *tr; /* scratch of the translator */
	bool bmi2;
	bool vector_counts;     /* see enum pg_count */
	struct {                /* see watch.c */
		uint64_t *rips; /* owned; [mask + 1], 0: empty; NULL: nothing is watched */
		uint32_t mask, n;
	} watches;
};

/* The CPU's jump table: where an indirect jump to a guest address with these low 16 bits goes. */
static inline uint64_t *pg_cpu_jump_slot(struct pg_cpu *c, uint64_t rip)
{
	uint64_t *jump = (uint64_t *)(void *)(pg_cpu_gs(c) + c->engine->off_jump);
	return &jump[rip & (PG_JUMP_ENTRIES - 1)];
}

/*
 * A thunk (code.c) is the guest's address as an immediate, a comparison and a jump to where it goes on if the address is another: to
 * stub_indirect, or to the next thunk for the same slot.
 */
#define PG_THUNK_BEGIN 0x49 /* its first byte, unless it was taken back */
#define PG_THUNK_ELSE 15    /* where the jump's displacement is */
#define PG_THUNK_CHAIN 4    /* so many at most lie behind one slot */

static inline uint8_t *pg_thunk_else(const uint8_t *thunk)
{
	int32_t rel;
	memcpy(&rel, thunk + PG_THUNK_ELSE, 4);
	return (uint8_t *)(uintptr_t)thunk + PG_THUNK_ELSE + 4 + rel;
}

/*
 * The jump slot of rip leads to `thunk`, which it did not; and behind it to where it led so far if there is room. No circle comes of
 * that: what was behind the slot did not lead to this thunk.
 */
static inline void pg_cpu_set_jump(struct pg_cpu *c, uint64_t rip, uint8_t *thunk)
{
	uint64_t *slot = pg_cpu_jump_slot(c, rip);
	uint8_t *none = c->engine->stub_indirect, *old = (uint8_t *)(uintptr_t)*slot;
	*slot = (uint64_t)(uintptr_t)thunk;
	if (old == thunk || pg_thunk_else(thunk) != none)
		return;
	unsigned n = 1;
	for (const uint8_t *t = old; t != none && n <= PG_THUNK_CHAIN; n++) {
		if (t == thunk ||
			*t != PG_THUNK_BEGIN) /* one that was taken back begins with a jump */
			break;
		t = pg_thunk_else(t);
		if (t == none) {
			e_patch(thunk + PG_THUNK_ELSE, old);
			return;
		}
	}
}

/*
 * Fast mode has no TLB; the id of the code page that is at a guest page is in the CPU's marks, a direct-mapped cache by page
 * number. 0: look at the page table.
 */
#define PG_MARKS 4096
static inline uint32_t *pg_cpu_mark(struct pg_cpu *c, uint64_t vpn)
{
	uint32_t *marks = (uint32_t *)(void *)(pg_cpu_gs(c) + c->engine->off_marks);
	return &marks[vpn & (PG_MARKS - 1)];
}

/* Are bits 63 .. 47 of an address equal? */
static inline bool pg_is_canonical(uint64_t a)
{
	return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

#define PG_HASH_SIZE 65536u /* of pages */
#define PG_NIL UINT32_MAX

static inline uint32_t pg_hash_rip(const struct pg_engine *e, uint64_t rip)
{
	return (uint32_t)((rip * 0x9e3779b97f4a7c15ull) >> (64 - e->block_hash_bits));
}

static inline struct pg_block *pg_block_at(struct pg_engine *e, uint32_t i)
{
	return (struct pg_block *)e->blocks.p + i;
}
static inline struct pg_site *pg_site_at(struct pg_engine *e, uint32_t i)
{
	return (struct pg_site *)e->sites.p + i;
}
static inline struct pg_exit_row *pg_exit_at(struct pg_engine *e, uint32_t i)
{
	return (struct pg_exit_row *)e->exits.p + i;
}
static inline struct pg_complex_row *pg_complex_at(struct pg_engine *e, uint32_t i)
{
	return (struct pg_complex_row *)e->complexes.p + i;
}
static inline struct pg_code_page *pg_page_at(struct pg_engine *e, uint32_t i)
{
	return (struct pg_code_page *)e->pages.p + i;
}
static inline struct pg_insn_row *pg_row_at(struct pg_engine *e, uint32_t i)
{
	return (struct pg_insn_row *)e->rows.p + i;
}
static inline struct pg_segment *pg_segment_at(struct pg_engine *e, uint32_t i)
{
	return (struct pg_segment *)e->segments.p + i;
}

/* The displacement from GS of the tag for loads or stores in the mirror of set 0. */
static inline int32_t pg_tag_at(const struct pg_engine *e, bool store)
{
	return e->off_fast_d + (int32_t)(store ? offsetof(struct pg_tlb_fast, neg_write)
					       : offsetof(struct pg_tlb_fast, neg_read));
}
static inline struct pg_binding *pg_binding_at(const struct pg_engine *e, uint32_t i)
{
	return (struct pg_binding *)e->bindings.p + i;
}
/* Does the code page of this id lie in frame f? For slow.c: no call. */
static inline bool pg_code_lies_in(
	const struct pg_engine *e, const struct pg_frame *row, pg_pfn f, uint32_t id)
{
	if (!(row->flags & PG_FRAME_CODE))
		return false;
	for (uint32_t i = e->frame_bindings[f.v]; i; i = pg_binding_at(e, i)->next_of_frame) {
		if (((const struct pg_code_page *)e->pages.p)[pg_binding_at(e, i)->page].id == id)
			return true;
	}
	return false;
}

/* stubs.c: emits the fixed code at the start of the cache. */
void pg_stubs_make(struct pg_engine *e);
/* stubs.c: emits an indirect jump, SA = guest target, flags in MEM: two instructions, the second of 9 bytes. */
#define PG_JUMP_BYTES 13
void pg_emit_jump_table(struct pg_engine *e);

/*
 * slow.c, called from stubs with only general registers saved: 0 goes on; 1 leaves with c->site set, pg_slow_access by way
 * of c->target.
 */
int pg_slow_access(struct pg_cpu *c, uint64_t ea, const struct pg_cold_access *cold);
#define PG_TOLD_ROOM 1024u
/* The transfer of exit c->site, to guest address `to`, is noted: 0; or 1: it is to be told at once. */
int pg_slow_tell(struct pg_cpu *c, uint64_t to);
int pg_slow_fetch(struct pg_cpu *c, const struct pg_cold_fetch *cold);
int pg_slow_indirect(struct pg_cpu *c, uint64_t rip);

/* view.c: exact mode */
/* The value for SA that lets gs:[SA] be the host's byte at `p`. */
static inline uint64_t pg_view_outside(struct pg_cpu *c, const void *p)
{
	return (uint64_t)(uintptr_t)p - (uint64_t)(uintptr_t)pg_cpu_gs(c);
}
/* An access to the page of `way` could not go inline since c's view does not show it. True: now it does. at_once: ask no further. */
bool pg_view_show(struct pg_cpu *c, struct pg_tlb_way *way, bool at_once);

/* code.c */
int pg_code_create(struct pg_engine *e, const char **why);
void pg_code_destroy(struct pg_engine *e);
void *pg_vec_add(struct pg_vec *v, size_t size,
	uint32_t *index); /* reserved address space; never fails before its cap */
/*
 * Empties the code cache. False: not now, since a CPU that waits for a page fault stands in it; the caller's own run() then
 * ends as if interrupted.
 */
bool pg_code_flush(struct pg_engine *e);
bool pg_code_is_full(const struct pg_engine *e);
struct pg_block *pg_code_find(struct pg_engine *e, uint64_t rip, uint32_t page);
/* The last block that begins at or before host address pc, fragments and temporary ones too; NULL: none. pc may lie behind its end. */
struct pg_block *pg_code_block_at(struct pg_engine *e, const uint8_t *pc);
void pg_code_insert(struct pg_engine *e, struct pg_block *b);
/* Exits that lead to b come to run.c once more. */
void pg_code_unlink_exits(struct pg_engine *e, struct pg_block *b);
/* Nobody jumps to b any more: exits point at their cold code again, its thunk leads where an empty jump slot does. */
void pg_code_unlink_block(struct pg_engine *e, struct pg_block *b);
/* Nobody comes to the blocks of p any more but through run.c. */
void pg_code_unlink_blocks(struct pg_engine *e, struct pg_code_page *p);
/* Emit: EFLAGS from flags_mem, and back; destroy SC. */
void pg_emit_store_flags(struct pg_emit *m);
void pg_emit_restore_flags(struct pg_emit *m);
/* What stands before the way into b of an indirect jump: SA must be its address, flags are in memory. Returns where it begins. */
uint8_t *pg_code_emit_thunk(struct pg_engine *e, const struct pg_block *b);
/* The entry of b for indirect jumps. */
uint8_t *pg_code_thunk(struct pg_engine *e, struct pg_block *b);
/* Where the direct exit x may jump to enter b. */
uint8_t *pg_code_link(struct pg_engine *e, struct pg_block *b, const struct pg_exit_row *x);
/* Counters in memory, on hosts without vector counts: those of b, or all, are added to the CPU that they counted for. */
void pg_code_fold(struct pg_cpu *c, struct pg_block *b);
void pg_code_fold_all(struct pg_engine *e);
/* From now on they count for c. */
void pg_code_count_for(struct pg_cpu *c);

/* pages.c */
/* The code page for the frame now at a's page; makes or re-binds it, marks the frame and the TLB entry. NULL: no memory. */
struct pg_code_page *pg_code_bind(struct pg_cpu *c, pg_va a, pg_pfn f);
/* Before and after translating from p as it is in frame f: its bytes; other frames that differ in what was used leave p. */
void pg_code_refresh(struct pg_engine *e, struct pg_code_page *p, pg_pfn f);
void pg_code_settle(struct pg_engine *e, struct pg_code_page *p, pg_pfn f);
/* No translation depends on the bytes of f any more. */
void pg_code_drop_frame(struct pg_engine *e, pg_pfn f);
/* Does any depend on [offset, offset + n)? */
bool pg_code_store_hits(struct pg_engine *e, pg_pfn f, uint32_t offset, uint32_t n);
void pg_code_flush_pages(struct pg_engine *e);
/* Exits that lead to code pages in [start, end) come to run.c once more. */
void pg_code_unlink_range(struct pg_engine *e, uint64_t start, uint64_t end);
const char *pg_code_check_pages(struct pg_engine *e);

/* pool.c */
int pg_cpu_make(struct pg_engine *e, struct pg_space *s, struct pg_cpu **out);
void pg_cpu_end(struct pg_cpu *c);
void pg_cpu_leave_space(struct pg_cpu *c);
void pg_cpu_enter_space(struct pg_cpu *c, struct pg_space *s);
void pg_cpu_empty_jumps(struct pg_cpu *c);
void pg_cpu_stats(struct pg_cpu *c, struct pg_cpu_stats *out);
void pg_cpu_totals(struct pg_engine *e, struct pg_cpu_stats *out);
/* Frees the idle ones. */
void pg_cpu_drain(struct pg_engine *e);

/* fast.c: the host window, see fast.h. */
#define PG_FAST_SHIFT 34
void pg_fast_protect(struct pg_engine *e, pg_pfn f);
/* Nothing is mapped in c's window any more, and no mark is set. */
void pg_fast_empty(struct pg_cpu *c);

/*
 * pg_space_fault for c, which runs. It may give the machine lock away while it reads a page, and other CPUs run meanwhile: code
 * pages may be retired then, but records and code stay.
 */
enum pg_fault_end pg_cpu_fault(struct pg_cpu *c, uint64_t va, enum pg_access access, uint64_t rip);

/* window.c: fast mode */
bool pg_window_first(struct pg_engine *e); /* false: the host has no room for any */
void pg_window_free_all(struct pg_engine *e);
/*
 * c is about to run: its registers go to the window of its space, which is returned, and come back. NULL: threads wait for page faults
 * in all windows.
 */
struct pg_cpu *pg_window_begin(struct pg_cpu *c);
void pg_window_end(struct pg_cpu *w, struct pg_cpu *c);
/* c leaves its space. */
void pg_window_leave(struct pg_cpu *c);
/* There is no translated code: if more than one space has run, the one at 0 is given up, and who stood in it runs no more in it. */
void pg_window_give_up_zero(struct pg_engine *e);

/* stop.c: fast mode */
/* What is translated may not be executed from here on: whoever tries comes to pg_stop_here(). Async-signal-safe. */
void pg_stop_close(struct pg_engine *e);
/* Code that may not be executed was reached at `pc`: it may be. If c is asked to stop it does so behind this block. Returns where to go on. */
uint64_t pg_stop_here(struct pg_cpu *c, uint64_t pc);
/* Undoes what pg_stop_here() did to a block's jump. */
void pg_stop_undo(struct pg_engine *e);

/* traps.c */
int pg_traps_install(void);
void pg_traps_enter(struct pg_cpu *c);
void pg_traps_leave(void);
/* pg_engine_ops.interrupt */
void pg_interrupt(struct pg_cpu *c);
/* Makes every entry check of c fail until the next lookup: whoever makes one good looks at c->interrupt afterwards. */
void pg_interrupt_again(struct pg_cpu *c);
/* Is host address pc in this engine's code cache? */
static inline bool pg_in_code(const struct pg_engine *e, uint64_t pc)
{
	return pc - (uint64_t)(uintptr_t)e->code < e->code_bytes;
}

#endif
