/* SPDX-License-Identifier: MIT */
/*
 * space/space.h: the machine's memory and its address spaces.
 *
 * Called by linux/ (mapping calls, exec) and cpu/ (faults, through fault.h). Calls mmu/ and frame/.
 * State is in handles; all calls want the machine lock held unless said otherwise.
 * Every mapping call checks everything first and then commits: on an error nothing has changed.
 */
#ifndef PG_SPACE_SPACE_H
#define PG_SPACE_SPACE_H

#include "base/types.h"
#include "frame/frame.h"
#include "mmu/table.h"
#include "mmu/tlb.h"
#include "space/fault.h"
#include "space/object.h"

#include <sys/uio.h>

/* What the upper floors hand down. Any member may be NULL. */
struct pg_vm_hooks {
	void *ctx; /* borrowed for the life of the machine */
	/* After each fault. Must not touch guest memory. */
	void (*fault)(void *ctx, const struct pg_fault_event *e);
	/* The bytes of a frame with PG_FRAME_CODE were changed by other means than a guest store.
	 */
	void (*code_written)(void *ctx, pg_pfn f);
};

struct pg_vm_config {
	uint64_t memory_bytes; /* as pg_frames_create() */
	const struct pg_table_form *form;
	struct pg_geometry geometry;
	struct pg_vm_hooks hooks;
	/* A machine of contiguous blocks (space/block.h), form pg_table_base_limit; NULL: of pages. Read by create only. */
	const struct pg_block_config *blocks;
};

struct pg_vm; /* the memory of one machine: frames, zero page, objects */

PG_MUST_CHECK int pg_vm_create(const struct pg_vm_config *c, struct pg_vm **out);
void pg_vm_destroy(struct pg_vm *vm); /* all spaces and objects must be gone */
struct pg_frames *pg_vm_frames(struct pg_vm *vm);
/* As pg_frames_stats(); on a machine of blocks free is what no block has, and blocks count as ANON. */
void pg_vm_frames_stats(const struct pg_vm *vm, struct pg_frames_stats *out);
void pg_vm_set_hooks(struct pg_vm *vm, const struct pg_vm_hooks *h);
pg_pfn pg_vm_zero_page(const struct pg_vm *vm); /* the shared zero page, read-only everywhere */

/* How much may be promised. Linux, Documentation/mm/overcommit-accounting.rst. */
enum pg_overcommit {
	PG_OVERCOMMIT_GUESS,  /* a single call may not ask for more than all memory and swap */
	PG_OVERCOMMIT_ALWAYS, /* anything */
	PG_OVERCOMMIT_NEVER,  /* the sum stays below swap and `percent` of memory */
};
/* A new machine: ALWAYS, 50. swap_pages: what the stores hold; 0 at first. */
void pg_vm_set_overcommit(struct pg_vm *vm, enum pg_overcommit how, unsigned percent);
void pg_vm_set_swap(struct pg_vm *vm, uint64_t swap_pages);
uint64_t pg_vm_swap(const struct pg_vm *vm);
uint64_t pg_vm_committed(const struct pg_vm *vm);    /* bytes promised: Committed_AS */
uint64_t pg_vm_commit_limit(const struct pg_vm *vm); /* bytes: CommitLimit */

/* What a region is for; shown in maps and reports, and stack decides growth. */
enum pg_region_kind {
	PG_REGION_ANON,  /* private anonymous */
	PG_REGION_FILE,  /* an object behind it */
	PG_REGION_HEAP,  /* between start_brk and brk */
	PG_REGION_STACK, /* grows down to the limit */
};

enum pg_map_flags {
	PG_MAP_SHARED = 1,        /* else private (copy-on-write) */
	PG_MAP_FIXED = 2,         /* replaces what is there */
	PG_MAP_FIXED_FREE = 4,    /* -EEXIST if anything is there */
	PG_MAP_GROWSDOWN = 8,     /* a stack */
	PG_MAP_NORESERVE = 16,    /* noted */
	PG_MAP_POPULATE = 32,     /* fault all pages in, errors ignored, as Linux */
	PG_MAP_LOCKED = 64,       /* pages stay once they are there; populated unless LOCKONFAULT */
	PG_MAP_LOCKONFAULT = 128, /* beside LOCKED */
	/* What madvise(2) says of a region; a region keeps them, neighbours that differ do not merge. */
	PG_MAP_DONTFORK = 0x100,   /* a child does not get it */
	PG_MAP_WIPEONFORK = 0x200, /* a child gets it empty; private anonymous memory only */
	PG_MAP_DONTDUMP = 0x400,   /* noted, as are the rest */
	PG_MAP_HUGE = 0x800,
	PG_MAP_NOHUGE = 0x1000,
	PG_MAP_MERGEABLE = 0x2000,
	PG_MAP_RANDOM = 0x4000,
	PG_MAP_SEQUENTIAL = 0x8000,
};

/* The flags that a region keeps. */
#define PG_MAP_KEPT                                                                                \
	(PG_MAP_SHARED | PG_MAP_GROWSDOWN | PG_MAP_NORESERVE | PG_MAP_LOCKED |                     \
		PG_MAP_LOCKONFAULT | 0xff00)

/* A region as others see it: a copy, or during pg_space_each_region the real one. */
struct pg_region {
	pg_va start, end; /* [start, end), page-aligned */
	pg_prot prot;
	pg_prot max_prot; /* the most that mprotect may give (shared file opened read-only: no
			     write) */
	bool charged;     /* it was promised: Linux's VM_ACCOUNT */
	uint32_t flags;   /* of PG_MAP_KEPT */
	enum pg_region_kind kind;
	struct pg_object *object; /* NULL: anonymous. Borrowed */
	uint64_t offset;          /* bytes into the object of `start` */
	uint64_t resident_pages;  /* present now, as Linux counts RSS: zero page excluded */
	const char *name;         /* "[stack]", "[heap]", a path, or "" ; borrowed */
};

struct pg_space_stats {
	uint64_t vsz_bytes, vsz_peak_bytes; /* sum of regions */
	uint64_t data_bytes;    /* of these: private, writable, no stack (VmData, RLIMIT_DATA) */
	uint64_t stack_bytes;   /* stacks (VmStk) */
	uint64_t exec_bytes;    /* executable, not writable, no stack (VmExe and VmLib) */
	uint64_t locked_bytes;  /* with PG_MAP_LOCKED (VmLck) */
	uint64_t charged_bytes; /* counted against the commit limit */
	uint64_t rss_pages,
		rss_peak_pages; /* present private and shared pages; zero page excluded */
	uint64_t rss_anon_pages, rss_file_pages, rss_shmem_pages; /* sum to rss_pages */
	uint64_t faults[PG_FAULT_KINDS];                          /* resolved, by kind */
	uint64_t faults_by_kernel; /* of these: while a system call touched memory */
	uint64_t faults_refused;   /* ended in a signal */
	uint64_t copies;           /* pages copied by copy-on-write (1B and 2B) */
	uint64_t pages_in;         /* pages read by pagers or from a store */
	uint64_t swap_in;          /* pages read from a store for it, read-ahead included */
	uint64_t swap_out;         /* pages written to a store that it had mapped */
	uint64_t refaults;         /* pages that came back after they had been evicted */
	uint64_t swap_ahead, swap_ahead_used,
		swap_ahead_wasted; /* its faults read ahead; asked for later; gone unasked */
	uint64_t file_ahead, file_ahead_used, file_ahead_wasted;
	uint64_t scanned, reclaimed; /* looks at accessed bits, and frames freed, by its faults */
	uint64_t direct_reclaims;    /* its faults that had to free frames first */
	uint64_t stall_ns;           /* time its faults waited for memory (PSI's "some") */
	uint64_t minor, major;       /* as getrusage counts */
	uint64_t regions, regions_peak;
	struct pg_table_stats table;
};

struct pg_space; /* one address space */

struct pg_space_config {
	pg_va lo, hi;   /* usable addresses [lo, hi), e.g. 64 KiB .. 2^47 - 4096 */
	pg_va mmap_top; /* searches for a free range go down from here */
	uint64_t stack_limit_bytes;
	uint64_t stack_gap_bytes; /* guard below a growing stack: Linux's 256 pages */
	uint64_t max_regions;     /* -ENOMEM beyond it; Linux's vm.max_map_count 65530; 0: none */
};

PG_MUST_CHECK int pg_space_create(
	struct pg_vm *vm, const struct pg_space_config *c, struct pg_space **out);
void pg_space_destroy(struct pg_space *s); /* unmaps all; writes shared dirty pages back */
/*
 * Gives child, made by pg_space_create() and still empty, the configuration, limits, break and
 * regions of parent: private pages shared until one of the two writes, shared ones shared. Less
 * DONTFORK regions; WIPEONFORK ones are empty; no locks. Parent's entries of private pages lose
 * their write right. -ENOMEM (also: not enough to commit): child is empty, parent as before.
 */
PG_MUST_CHECK int pg_space_fork(struct pg_space *parent, struct pg_space *child);

/* Bytes that a space may have, as setrlimit(2); UINT64_MAX: no limit, which a new space has. */
struct pg_space_limits {
	uint64_t as_bytes;     /* RLIMIT_AS: of all regions */
	uint64_t data_bytes;   /* RLIMIT_DATA: as pg_space_stats.data_bytes */
	uint64_t locked_bytes; /* RLIMIT_MEMLOCK; 0: locking is -EPERM */
};
/* What there is already stays. */
void pg_space_set_limits(struct pg_space *s, const struct pg_space_limits *l);

/* What it was made with; borrowed. */
const struct pg_space_config *pg_space_configuration(const struct pg_space *s);

struct pg_table *pg_space_table(struct pg_space *s);
uint16_t pg_space_asid(const struct pg_space *s); /* unique among live spaces of the machine */
void pg_space_attach(struct pg_space *s, struct pg_shootdown *sd);
void pg_space_detach(struct pg_space *s, struct pg_shootdown *sd);

/*
 * Maps [*addr, *addr + len). Without FIXED *addr is a hint (0: none): used if free, else the
 * highest hole below mmap_top. len is rounded up to pages. object (a reference is taken; NULL:
 * anonymous) from byte `offset`, page-aligned. *addr is the result. Errors as mmap(2): -EINVAL,
 * -ENOMEM, -EEXIST.
 */
PG_MUST_CHECK int pg_space_map(struct pg_space *s, pg_va *addr, uint64_t len, pg_prot prot,
	pg_prot max_prot, unsigned flags, struct pg_object *object, uint64_t offset,
	const char *name);
PG_MUST_CHECK int pg_space_unmap(struct pg_space *s, pg_va addr, uint64_t len);
/* -ENOMEM: a hole in the range; -EACCES: beyond max_prot. */
PG_MUST_CHECK int pg_space_protect(struct pg_space *s, pg_va addr, uint64_t len, pg_prot prot);
enum pg_remap_flags {
	PG_REMAP_MAYMOVE = 1,
	PG_REMAP_FIXED = 2,     /* to *at, replacing what is there; with MAYMOVE */
	PG_REMAP_DONTUNMAP = 4, /* the old region stays, empty; *at is a hint; with MAYMOVE */
};
/*
 * mremap(2), Linux 6.17: shrinks, grows or moves. old_len 0: a second mapping of a shared one.
 * FIXED with old_len == new_len moves all regions in the range, gaps kept. *at: in,
 * see the flags; out, the new address. -EINVAL, -EFAULT (old range), -ENOMEM, -EAGAIN (locks),
 * -EPERM. Nothing has changed but, when several regions are moved, those before the failure.
 */
PG_MUST_CHECK int pg_space_remap(struct pg_space *s, pg_va old, uint64_t old_len, uint64_t new_len,
	unsigned flags, pg_va *at);

/* What is to happen to the pages of a range. The region stays. */
enum pg_advice {
	PG_ADVISE_DISCARD, /* private ones read as zero or as the file, shared ones come back */
	PG_ADVISE_DISCARD_LOCKED, /* the same, in locked regions too */
	PG_ADVISE_FREE,     /* private anonymous: may be dropped for want of frames until written */
	PG_ADVISE_WILLNEED, /* reads pages of the object ahead while there are free frames */
	PG_ADVISE_REMOVE,   /* shared: makes a hole in the object */
	PG_ADVISE_COLD,     /* not accessed lately */
	PG_ADVISE_PAGEOUT,  /* out of memory, if nobody else maps them and the machine can */
	PG_ADVISE_POPULATE_READ,  /* faults all in, writing nothing */
	PG_ADVISE_POPULATE_WRITE, /* faults all in as if written */
	PG_ADVISE_GUARD_INSTALL,  /* gone, and a touch is PG_FAULT_MAPERR; not for locked ones */
	PG_ADVISE_GUARD_REMOVE,   /* guards among them are empty pages again */
};
/*
 * madvise(2), the part about pages. All of the range must be mapped. -EINVAL: not for such a region;
 * -EACCES, -EOPNOTSUPP: no hole here; POPULATE: -EFAULT (no right, or beyond the end: -EFAULT),
 * -ENOMEM (no frame); -ENOMEM: a hole in the range. But for POPULATE nothing is done then.
 */
PG_MUST_CHECK int pg_space_advise(
	struct pg_space *s, pg_va addr, uint64_t len, enum pg_advice advice);
/* PG_ADVISE_DISCARD: madvise(MADV_DONTNEED). */
PG_MUST_CHECK int pg_space_discard(struct pg_space *s, pg_va addr, uint64_t len);
/*
 * madvise(2), the part about regions: sets and clears flags from DONTFORK on. -ENOMEM: a hole, or too
 * many regions; -EINVAL: WIPEONFORK of other than private anonymous memory.
 */
PG_MUST_CHECK int pg_space_mark(
	struct pg_space *s, pg_va addr, uint64_t len, uint32_t set, uint32_t clear);
/*
 * Locks [addr, addr + len), whole pages around it, and faults it in unless PG_MAP_LOCKONFAULT;
 * flags: PG_MAP_LOCKED, with or without LOCKONFAULT, or 0 to unlock. -EPERM: the limit is 0; -ENOMEM:
 * over the limit; a hole: what comes before it is locked, but not faulted in; no right to a page, or
 * none there: all is locked; -EAGAIN: no frames: all is locked.
 */
PG_MUST_CHECK int pg_space_lock(struct pg_space *s, pg_va addr, uint64_t len, unsigned flags);
/* The same for all regions that there are (now) and, in their turn, will be (later); 0, 0: none. */
PG_MUST_CHECK int pg_space_lock_all(struct pg_space *s, unsigned now, unsigned later);
/*
 * Writes dirty shared file pages back: msync(MS_SYNC). The first error; also one that has happened
 * since to a page of the object and was not yet told to this mapping.
 */
PG_MUST_CHECK int pg_space_sync(struct pg_space *s, pg_va addr, uint64_t len);
/*
 * Shared mappings from now on are by this open file (NULL: by none that is known): what pg_space_sync() tells is told to no other user of
 * it, and mappings by two open files are not merged. Borrowed until the next such call; regions count it.
 */
void pg_space_opening(struct pg_space *s, struct pg_open_file *f);

/* Program break. set_start once by exec. brk: moves the break if it can; returns the present break
 * either way. */
void pg_space_set_brk_start(struct pg_space *s, pg_va start);
/* How far stacks may grow from now on: setrlimit(RLIMIT_STACK). What has grown stays. */
void pg_space_set_stack_limit(struct pg_space *s, uint64_t bytes);
pg_va pg_space_brk(struct pg_space *s, pg_va want, uint64_t data_limit_bytes);

/* true and a copy of the region that holds `a`, or the next one above if `or_above`. O(log n). */
bool pg_space_find(struct pg_space *s, pg_va a, bool or_above, struct pg_region *out);
/* Calls f for each region from low to high until it returns false. */
void pg_space_each_region(
	struct pg_space *s, bool (*f)(void *ctx, const struct pg_region *r), void *ctx);
/* The frame of a page, without fault or side effect; PG_PFN_NONE if none. *pte may be NULL. */
pg_pfn pg_space_resident(struct pg_space *s, pg_va a, pg_pte *pte);
/* The same as the hardware sees it, who may not see all (struct pg_table_form): for a CPU without an MMU. */
pg_pfn pg_space_walk(struct pg_space *s, pg_va a, pg_pte *pte);

/* What one region has in memory now, as /proc/PID/smaps shows it; all but pss in bytes. */
struct pg_region_figures {
	uint64_t rss;
	/* Proportional shares: each page's bytes by how many entries name its frame, as Linux in
	 * units of 1/4096 byte, each page rounded down. */
	uint64_t pss, pss_dirty, pss_anon, pss_file, pss_shmem, pss_locked, swap_pss;
	/* Sum to rss: by whether another entry names the frame, and whether it was written since it
	 * came from its store. */
	uint64_t shared_clean, shared_dirty, private_clean,
		private_dirty; /* USS: the private two */
	uint64_t referenced;   /* accessed since pg_space_clear_referenced() */
	uint64_t anonymous;    /* private pages */
	uint64_t lazy_free;    /* of these: dropped without a write when frames are wanted */
	uint64_t swap;         /* pages in a store */
	uint64_t guards; /* not bytes: 1 if guard pages were made in it or in what it comes from */
};
/* The figures of the region that holds `a`; false: none. Walks its part of the table. */
bool pg_space_measure(struct pg_space *s, pg_va a, struct pg_region_figures *out);
/* What /proc/PID/clear_refs does: forgets which anonymous and which other pages were accessed. */
void pg_space_clear_referenced(struct pg_space *s, bool anon, bool other);
/* A page as /proc/PID/pagemap shows it: Linux's bits, Documentation/admin-guide/mm/pagemap.rst. */
uint64_t pg_space_pagemap(struct pg_space *s, pg_vpn vpn);
/* True if the page, in a region, would be found in memory: mincore(2). */
bool pg_space_in_core(struct pg_space *s, pg_va a);

/*
 * For who draws a machine: copies [src, src + n) as it is, from frames, slots or the page cache, changing nothing (but a store's
 * own figures). Bytes copied, less than n before a page that only a file has, or none. In any hook.
 */
uint64_t pg_space_peek(struct pg_space *s, void *dst, pg_va src, uint64_t n);
/* Where the bytes of a page are. */
enum pg_page_place {
	PG_PLACE_NOWHERE, /* not made yet, or in a file only */
	PG_PLACE_FRAME,   /* in memory */
	PG_PLACE_SLOT,    /* in a store only */
};
enum pg_page_place pg_space_place(struct pg_space *s, pg_va a);

/*
 * System calls see memory through the VM. All fault pages in (case diagram and hook as for the CPU)
 * and set A and D.
 */
/* Copies; the number of bytes done before the first bad page (equal to n on success). */
PG_MUST_CHECK uint64_t pg_space_read(
	struct pg_space *s, void *dst, pg_va src, uint64_t n, uint64_t pc);
PG_MUST_CHECK uint64_t pg_space_write(
	struct pg_space *s, pg_va dst, const void *src, uint64_t n, uint64_t pc);
/*
 * The same as a debugger does it: whatever the rights are, but that shared memory without the right to write is not written. What is private
 * is copied first and keeps its rights. No stack grows.
 */
PG_MUST_CHECK uint64_t pg_space_read_forced(
	struct pg_space *s, void *dst, pg_va src, uint64_t n, uint64_t pc);
PG_MUST_CHECK uint64_t pg_space_write_forced(
	struct pg_space *s, pg_va dst, const void *src, uint64_t n, uint64_t pc);
/* A NUL-ended string of at most cap bytes with its NUL; its length, -EFAULT or -ENAMETOOLONG. */
PG_MUST_CHECK int64_t pg_space_read_string(
	struct pg_space *s, char *dst, uint64_t cap, pg_va src, uint64_t pc);

/*
 * Pins the frames of [a, a + n) for a host call that reads (PG_READ) or writes (PG_WRITE) guest
 * memory. Adds to iov[*iov_len .. cap), merging neighbours; stops early at a bad page or when iov
 * is full. Returns bytes pinned (0 with *end != RESUME if the first page is bad). pg_space_unpin
 * gives back what pin gave; for PG_WRITE it marks `written` bytes' frames dirty and calls
 * code_written where needed.
 */
PG_MUST_CHECK uint64_t pg_space_pin(struct pg_space *s, pg_va a, uint64_t n, enum pg_access access,
	uint64_t pc, struct iovec *iov, unsigned *iov_len, unsigned cap, enum pg_fault_end *end);
void pg_space_unpin(
	struct pg_space *s, enum pg_access access, const struct iovec *iov, unsigned iov_len);

void pg_space_stats(const struct pg_space *s, struct pg_space_stats *out);
/* Pages of s that are in a slot and in no frame, a shared one for each space that has it. Walks all anons. */
uint64_t pg_space_swap_pages(struct pg_space *s);
/*
 * What the end of s would free, as the kernel's oom_badness() counts: resident pages, swapped pages and page-table frames, plus
 * adj (oom_score_adj, -1000 .. 1000) thousandths of all memory and swap. INT64_MIN: adj is -1000, it is not to be killed.
 */
int64_t pg_space_badness(struct pg_space *s, int adj);
/* NULL if every numbered invariant holds, or which is broken. Slow: walks everything. */
const char *pg_space_check(struct pg_space *s);

#endif
