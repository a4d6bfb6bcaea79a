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
};

struct pg_vm; /* the memory of one machine: frames, zero page, objects */

PG_MUST_CHECK int pg_vm_create(const struct pg_vm_config *c, struct pg_vm **out);
void pg_vm_destroy(struct pg_vm *vm); /* all spaces and objects must be gone */
struct pg_frames *pg_vm_frames(struct pg_vm *vm);
void pg_vm_set_hooks(struct pg_vm *vm, const struct pg_vm_hooks *h);
pg_pfn pg_vm_zero_page(const struct pg_vm *vm); /* the shared zero page, read-only everywhere */

/* What a region is for; shown in maps and reports, and stack decides growth. */
enum pg_region_kind {
	PG_REGION_ANON,  /* private anonymous */
	PG_REGION_FILE,  /* an object behind it */
	PG_REGION_HEAP,  /* between start_brk and brk */
	PG_REGION_STACK, /* grows down to the limit */
};

enum pg_map_flags {
	PG_MAP_SHARED = 1,     /* else private (copy-on-write) */
	PG_MAP_FIXED = 2,      /* replaces what is there */
	PG_MAP_FIXED_FREE = 4, /* -EEXIST if anything is there */
	PG_MAP_GROWSDOWN = 8,  /* a stack */
	PG_MAP_NORESERVE = 16, /* noted */
	PG_MAP_POPULATE = 32,  /* fault all pages in, errors ignored, as Linux */
	PG_MAP_LOCKED = 64,    /* noted: never evicted */
};

/* A region as others see it: a copy, or during pg_space_each_region the real one. */
struct pg_region {
	pg_va start, end; /* [start, end), page-aligned */
	pg_prot prot;
	pg_prot max_prot; /* the most that mprotect may give (shared file opened read-only: no
			     write) */
	uint8_t flags;    /* PG_MAP_SHARED | GROWSDOWN | NORESERVE | LOCKED */
	enum pg_region_kind kind;
	struct pg_object *object; /* NULL: anonymous. Borrowed */
	uint64_t offset;          /* bytes into the object of `start` */
	uint64_t resident_pages;  /* present now, as Linux counts RSS: zero page excluded */
	const char *name;         /* "[stack]", "[heap]", a path, or "" ; borrowed */
};

struct pg_space_stats {
	uint64_t vsz_bytes, vsz_peak_bytes; /* sum of regions */
	uint64_t rss_pages,
		rss_peak_pages; /* present private and shared pages; zero page excluded */
	uint64_t rss_anon_pages, rss_file_pages, rss_shmem_pages; /* sum to rss_pages */
	uint64_t faults[PG_FAULT_KINDS];                          /* resolved, by kind */
	uint64_t faults_by_kernel; /* of these: while a system call touched memory */
	uint64_t faults_refused;   /* ended in a signal */
	uint64_t copies;           /* pages copied by copy-on-write (1B and 2B) */
	uint64_t pages_in;         /* pages read by pagers or from a store */
	uint64_t minor, major;     /* as getrusage counts */
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
/* flags: 1 = MAYMOVE. *result: the new address. As mremap(2) without MREMAP_FIXED. */
PG_MUST_CHECK int pg_space_remap(struct pg_space *s, pg_va old, uint64_t old_len, uint64_t new_len,
	bool may_move, pg_va *result);
/* Drops the pages, keeps the region: anonymous ones read as zero, file ones come again.
 * madvise(MADV_DONTNEED). */
PG_MUST_CHECK int pg_space_discard(struct pg_space *s, pg_va addr, uint64_t len);
/* Writes dirty shared file pages back: msync(MS_SYNC). */
PG_MUST_CHECK int pg_space_sync(struct pg_space *s, pg_va addr, uint64_t len);

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

/*
 * System calls see memory through the VM. All fault pages in (case diagram and hook as for the CPU)
 * and set A and D.
 */
/* Copies; the number of bytes done before the first bad page (equal to n on success). */
PG_MUST_CHECK uint64_t pg_space_read(
	struct pg_space *s, void *dst, pg_va src, uint64_t n, uint64_t pc);
PG_MUST_CHECK uint64_t pg_space_write(
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
/* NULL if every numbered invariant holds, or which is broken. Slow: walks everything. */
const char *pg_space_check(struct pg_space *s);

#endif
