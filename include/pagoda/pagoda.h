/* SPDX-License-Identifier: MIT */
/*
 * pagoda/pagoda.h: libpagoda, a virtual memory system to put into your own program: an emulator, a
 * simulator, a fuzzer.
 *
 * You get a machine (struct pg_vm) with a physical memory of N frames; address spaces on it (struct
 * pg_space) with regions, demand paging, copy-on-write, a page cache, growing stacks and a program
 * break, all with Linux's rules; page tables in x86-64 format whose nodes lie in the same frames;
 * and, if you want one, a TLB (struct pg_mmu). Every byte of the guest lies in a frame and nowhere
 * else.
 *
 *   pg_vm_create -> pg_space_create -> pg_space_map -> pg_space_write, pg_space_read
 *
 * or, as a CPU does it: pg_mmu_lookup; if it does not say PG_MMU_OK, pg_space_fault; if that says
 * PG_FAULT_RESUME, again; else the guest gets the signal that it says.
 *
 * Words (Operating System Concepts, ch. 9 and 10):
 *   page     4 KiB of an address space          frame   4 KiB of physical memory
 *   region   a range of pages with one set of rights and one source
 *   object   a file or shared memory as pages; its resident pages are the page cache
 *   pager    your functions that read and write a file's pages
 *
 * Rules. All state is in handles, nothing is global. The library never prints, exits or aborts on
 * what you or a guest hand it (it stops on a bug of its own). Results are 0 or a negative errno
 * value. One machine is used by one thread at a time: hold one lock of yours around all calls on
 * it. After a mapping call has failed, nothing has changed.
 *
 * Memory may be smaller than what is asked of it: pagoda/reclaim.h, with pagoda/store.h (where pages go) and pagoda/policy.h
 * (which).
 *
 * This header stands alone; link with `pkg-config --cflags --libs pagoda`. Example:
 * tests/model/example_embed.c.
 */
#ifndef PAGODA_PAGODA_H
#define PAGODA_PAGODA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef PG_BASE_TYPES_H /* the library's own sources have these already */

/* ---- numbers, each a type of its own */

#define PG_PAGE_SHIFT 12u
#define PG_PAGE_SIZE ((uint64_t)1 << PG_PAGE_SHIFT)
#define PG_PAGE_MASK (PG_PAGE_SIZE - 1)
#define PG_MUST_CHECK __attribute__((warn_unused_result))

typedef struct pg_va {
	uint64_t v; /* a guest virtual address, in bytes */
} pg_va;

typedef struct pg_vpn {
	uint64_t v; /* a page number: address >> PG_PAGE_SHIFT */
} pg_vpn;

typedef struct pg_pfn {
	uint32_t v; /* a frame number, or UINT32_MAX for none */
} pg_pfn;

typedef struct pg_slot {
	uint32_t v; /* a page's place in a backing store, or UINT32_MAX for none */
} pg_slot;

enum pg_access { PG_READ = 1, PG_WRITE = 2, PG_EXEC = 4 };
typedef uint8_t pg_prot; /* an OR of them; 0: no access */

#endif

/* ---- frames */

struct pg_frames;

#ifndef PG_FRAME_FRAME_H

enum pg_frame_state {
	PG_FRAME_FREE = 0,
	PG_FRAME_ANON,  /* a private page */
	PG_FRAME_CACHE, /* a page of an object */
	PG_FRAME_TABLE, /* a node of a page table */
	PG_FRAME_WIRED, /* the zero page */
	PG_FRAME_STATES,
};

#define PG_FRAME_ORDERS 20

struct pg_frames_stats {
	uint64_t total;                        /* frames */
	uint64_t by_state[PG_FRAME_STATES];    /* sums to total */
	uint64_t used_peak;                    /* most frames not free at once */
	uint64_t free_blocks[PG_FRAME_ORDERS]; /* free blocks of 2^k frames */
	uint64_t table_peak;                   /* most frames of page tables at once */
};

#endif

/* The host address of a frame's first byte; valid as long as the machine. */
void *pg_frames_bytes(const struct pg_frames *fs, pg_pfn f);
/* The memfd behind the frames, to map them elsewhere: frame f is at f << PG_PAGE_SHIFT. */
int pg_frames_fd(const struct pg_frames *fs);
uint64_t pg_frames_total(const struct pg_frames *fs);
uint64_t pg_frames_free_count(const struct pg_frames *fs);
void pg_frames_stats(const struct pg_frames *fs, struct pg_frames_stats *out);

/* ---- page tables */

struct pg_table;
struct pg_table_form;

#ifndef PG_MMU_TABLE_H

/* An entry, in x86-64 format. */
typedef uint64_t pg_pte;
#define PG_PTE_P ((pg_pte)1 << 0)
#define PG_PTE_RW ((pg_pte)1 << 1)
#define PG_PTE_US ((pg_pte)1 << 2)
#define PG_PTE_A ((pg_pte)1 << 5)
#define PG_PTE_D ((pg_pte)1 << 6)
#define PG_PTE_NX ((pg_pte)1 << 63)
#define PG_PTE_FRAME ((pg_pte)0x000ffffffffff000)

#define PG_MAX_LEVELS 6

/* The shape of a page table. */
struct pg_geometry {
	uint8_t page_shift;  /* 12 */
	uint8_t levels;      /* 2 .. PG_MAX_LEVELS */
	uint8_t entry_bytes; /* 8, or 4 for 32-bit tables (then no NX) */
	uint8_t bits
		[PG_MAX_LEVELS]; /* index bits per level, root first; their sum is of any form */
	uint8_t cluster;         /* hashed: pages of an element, a power of two to 16; 0: 1 */
	uint8_t grow_at_once;    /* hashed: 1: all chains move when it grows */
	uint8_t anchors;         /* inverted: anchors for each frame */
	uint16_t walk_cache;     /* for struct pg_mmu_config */
};

struct pg_table_stats {
	uint64_t node_frames;      /* frames that hold nodes */
	uint64_t node_frames_peak; /* the most ever */
	uint64_t entries;          /* present entries */
	uint64_t shared_frames;    /* frames that all tables of the machine share */
	uint64_t shared_frames_peak;
	uint64_t displaced; /* entries that the hardware lost sight of */
	uint64_t restored;  /* and was given back */
};

#endif

extern const struct pg_geometry pg_geometry_x86_64;   /* 48 bits */
extern const struct pg_geometry pg_geometry_x86_64_5; /* 57 bits */
extern const struct pg_geometry pg_geometry_x86_32;   /* 32 bits, two levels */
extern const struct pg_geometry pg_geometry_full64;   /* all 64 bits, six levels */
/* The forms, for struct pg_vm_config. */
extern const struct pg_table_form pg_table_radix;
extern const struct pg_table_form pg_table_hashed;
extern const struct pg_table_form pg_table_inverted;

/* ---- objects: files and shared memory */

struct pg_vm;
struct pg_space;
struct pg_object;
struct pg_region;

#ifndef PG_SPACE_OBJECT_H

/* Where an object's pages come from and go to. You write these; ctx is yours. */
struct pg_pager {
	const char *name;
	/* Fills buf[PG_PAGE_SIZE] with page `index`, zeros past the end. Not 0: the guest's SIGBUS.
	 */
	int (*read)(void *ctx, uint64_t index, void *buf);
	/* Writes the bytes of page `index` below the present size back. 0 or a negative errno
	 * value. */
	int (*write)(void *ctx, uint64_t index, const void *buf);
	uint64_t (*size)(void *ctx); /* bytes, now */
	void (*close)(void *ctx);    /* the last reference is gone; may be NULL */
	/* Makes bytes [start, end) a hole; the size stays. May be NULL: -EOPNOTSUPP. */
	int (*punch)(void *ctx, uint64_t start, uint64_t end);
	/* Before a store into page `index` of a shared mapping: sees that there is room for it. 0: done; 1: nothing to do; negative: the
	 * guest's SIGBUS. May be NULL. */
	int (*reserve)(void *ctx, uint64_t index);
	/* The last reference goes and a page could not be written: true: you have the reference now. May be NULL. */
	bool (*keep)(void *ctx, struct pg_object *o);
	/* Around the writing back of a page: nobody else changes the bytes between. lock may release your machine lock. May both be NULL. */
	void (*lock)(void *ctx);
	void (*unlock)(void *ctx);
};

/* By which two openings of one file find each other, e.g. device and inode; {0, 0}: never. */
struct pg_object_key {
	uint64_t device;
	uint64_t inode;
};

#endif

/*
 * A new object with one reference; or the one with the same key and one reference more, then
 * *existed is true and ctx is not taken. pager NULL: shared memory of size_bytes. -ENOMEM.
 */
PG_MUST_CHECK int pg_object_open(struct pg_vm *vm, struct pg_object_key key, const char *name,
	const struct pg_pager *pager, void *ctx, uint64_t size_bytes, struct pg_object **out,
	bool *existed);
void pg_object_ref(struct pg_object *o);
void pg_object_unref(struct pg_object *o); /* the last one writes back and frees */
/* Coherence with reads, writes and truncation of the file that do not go through the mapping. */
PG_MUST_CHECK int pg_object_before_host_read(struct pg_object *o, uint64_t start, uint64_t end);
PG_MUST_CHECK int pg_object_after_host_write(struct pg_object *o, uint64_t start, uint64_t end);
void pg_object_truncated(struct pg_object *o, uint64_t new_size);
void pg_object_punched(struct pg_object *o, uint64_t start, uint64_t end);
PG_MUST_CHECK int pg_object_sync(struct pg_object *o, uint64_t start, uint64_t end);
uint64_t pg_object_resident(const struct pg_object *o); /* pages in frames */
uint64_t pg_object_bytes(const struct pg_object *o);    /* its size now */
void pg_object_set_shmem(struct pg_object *o); /* counts as shared memory though it has a pager */
/* Counts its size against the commit limit. -ENOMEM: too much. Once. */
PG_MUST_CHECK int pg_object_charge(struct pg_object *o);
uint64_t pg_object_mappings(const struct pg_object *o);    /* regions that map it, in all spaces */
bool pg_object_mapped_writable(const struct pg_object *o); /* shared, and writable or may be */
/* A failed write-back since *seen, which starts at pg_object_error_now(); told once. 0: none. */
int pg_object_error_since(struct pg_object *o, uint32_t *seen);
uint32_t pg_object_error_now(const struct pg_object *o);

/* ---- faults */

#ifndef PG_SPACE_FAULT_H

/* What a fault found. */
enum pg_fault_case {
	PG_CASE_NONE = 0,
	PG_CASE_0,  /* an entry that allows the access */
	PG_CASE_1A, /* a private page in a frame: mapped */
	PG_CASE_1B, /* a private page that others share, written: copied */
	PG_CASE_1C, /* a private page in a slot of a store: read in */
	PG_CASE_2A, /* an object's page: mapped */
	PG_CASE_2B, /* an object's page, private, written: copied */
	PG_CASE_3A, /* nothing, read: the zero page */
	PG_CASE_3B, /* nothing, written: a new zeroed page */
	PG_CASES,
};

/* What it cost. */
enum pg_fault_kind {
	PG_FAULT_SOFT = 0,
	PG_FAULT_ZERO_READ,
	PG_FAULT_ZERO_FILL,
	PG_FAULT_FILE_CACHE,
	PG_FAULT_FILE_DISK,
	PG_FAULT_COPY,
	PG_FAULT_SWAP_IN,
	PG_FAULT_KINDS,
};

/* How it ended. */
enum pg_fault_end {
	PG_FAULT_RESUME = 0, /* repeat the access */
	PG_FAULT_MAPERR,     /* SIGSEGV, SEGV_MAPERR */
	PG_FAULT_ACCERR,     /* SIGSEGV, SEGV_ACCERR */
	PG_FAULT_STACK,      /* SIGSEGV, SEGV_MAPERR: a stack overflow */
	PG_FAULT_BUS,        /* SIGBUS, BUS_ADRERR */
	PG_FAULT_OOM,        /* no frame */
	PG_FAULT_LIMIT,      /* not in a machine that you make */
};

/* One fault, when it is over; for struct pg_vm_hooks. */
/* What want of memory cost a fault; all 0 while there is room. Pages, but for the time. */
struct pg_fault_cost {
	uint64_t stall_ns; /* it waited: reclaim, and reading what had been evicted */
	uint64_t scanned,
		reclaimed;     /* looks at accessed bits, and frames freed, before it was handled */
	uint64_t swap_written; /* of reclaimed: written to a store */
	uint64_t swap_in;      /* read from a store, read-ahead included */
	uint64_t ahead;        /* read ahead, from a store or a file */
	uint64_t refaults;     /* pages that it brought back after they had been evicted */
};

struct pg_fault_event {
	struct pg_space *space;
	pg_va va;
	enum pg_access access;
	uint64_t pc;                    /* as handed to the call that faulted */
	bool by_kernel;                 /* pg_space_read, write, pin and the like */
	const struct pg_region *region; /* NULL: none */
	enum pg_fault_case fcase;
	enum pg_fault_kind kind;
	enum pg_fault_end end;
	pg_pfn frame;
	pg_pfn copied_from;
	bool after_fork; /* this write ended the sharing of a page that a fork had shared */
	bool frame_new;
	bool stack_grew;
	uint32_t pages_in;   /* pages that the pager read */
	uint32_t nodes_made; /* page-table nodes made */
	uint64_t index;      /* page index within the object, if any */
	struct pg_fault_cost cost;
	uint64_t walk_refs; /* memory references of the walk that missed */
};

#endif

/* Handles one fault of a guest CPU. On PG_FAULT_RESUME the table serves the access. */
enum pg_fault_end pg_space_fault(
	struct pg_space *s, pg_va va, enum pg_access access, uint64_t pc, bool by_kernel);
const char *pg_fault_case_name(enum pg_fault_case c);
const char *pg_fault_kind_name(enum pg_fault_kind k);

/* ---- the TLB: optional */

struct pg_mmu;
struct pg_shootdown;

#ifndef PG_MMU_TLB_H

/* Someone who caches translations of a space: told before a mapping changes for good. */
struct pg_shootdown {
	struct pg_shootdown *next; /* the space's */
	void (*invalidate)(struct pg_shootdown *self, pg_vpn start, pg_vpn end);
};

/* The most recently used way of a first-level set, for an inline check in generated code. */
struct pg_tlb_fast {
	uint64_t neg_read;  /* minus the page's address if loads may use it */
	uint64_t neg_write; /* the same for stores */
	uint64_t host;      /* address of the frame's first byte */
	uint32_t code_id;
	uint32_t reserved;
};

struct pg_tlb_geometry {
	uint32_t entries; /* 0: absent */
	uint32_t ways;
};

struct pg_mmu_config {
	struct pg_tlb_geometry l1d; /* data, or unified when l1i is absent */
	struct pg_tlb_geometry l1i;
	struct pg_tlb_geometry l2;
	uint32_t walk_cache; /* entries of each page-walk cache; 0: none */
};

struct pg_tlb_way {
	uint64_t vpn;
	uint64_t host; /* address of the frame's first byte */
	uint32_t pfn;
	uint32_t code_id;
	uint16_t asid;
	uint8_t prot;
	uint8_t dirty;
	uint8_t code;
};

enum pg_tlb_which { PG_TLB_L1D, PG_TLB_L1I, PG_TLB_L2, PG_TLBS };

#define PG_WALK_LENGTHS 32

struct pg_mmu_stats {
	uint64_t slow_lookups[2]; /* calls of pg_mmu_lookup: data, fetch */
	uint64_t misses[PG_TLBS];
	uint64_t fetch_misses;
	uint64_t l2_lookups;
	uint64_t walks;
	uint64_t walk_refs;
	uint64_t walk_lengths[PG_WALK_LENGTHS]; /* walks by references made */
	uint64_t walk_refs_saved;               /* by page-walk caches */
	uint64_t dirty_walks;
	uint64_t faulting_lookups;
	uint64_t shootdowns;
};

enum pg_mmu_result {
	PG_MMU_OK,
	PG_MMU_NOT_PRESENT, /* call pg_space_fault() and repeat */
	PG_MMU_PROTECTION,  /* the same */
};

#endif

extern const struct pg_mmu_config pg_mmu_config_default;
/* "64x4,1536x12" and the like: ENTRIESxWAYS. -EINVAL and *why. */
PG_MUST_CHECK int pg_mmu_config_parse(
	const char *text, struct pg_mmu_config *out, const char **why);
/* fast_d, fast_i: one element for each set of l1d and l1i (fast_i NULL when unified); yours. */
PG_MUST_CHECK int pg_mmu_create(const struct pg_mmu_config *c, struct pg_frames *fs,
	struct pg_tlb_fast *fast_d, struct pg_tlb_fast *fast_i, struct pg_mmu **out);
void pg_mmu_destroy(struct pg_mmu *m);
void pg_mmu_switch(struct pg_mmu *m, struct pg_table *table, uint16_t asid);
/* Translates one access to the page of `a`: TLB, then walk; sets A and D. *way is valid until the
 * next call. */
enum pg_mmu_result pg_mmu_lookup(
	struct pg_mmu *m, pg_va a, enum pg_access access, struct pg_tlb_way **way);
struct pg_shootdown *pg_mmu_shootdown(struct pg_mmu *m); /* for pg_space_attach() */
void pg_mmu_stats(const struct pg_mmu *m, struct pg_mmu_stats *out);

/* ---- the machine and its address spaces */

#ifndef PG_SPACE_SPACE_H

/* Functions of yours; any may be NULL. */
struct pg_vm_hooks {
	void *ctx;
	void (*fault)(void *ctx, const struct pg_fault_event *e); /* after each fault */
	void (*code_written)(void *ctx, pg_pfn f);                /* for translators */
};

struct pg_vm_config {
	uint64_t memory_bytes; /* a multiple of 64 KiB, at least 1 MiB */
	const struct pg_table_form *form;
	struct pg_geometry geometry;
	struct pg_vm_hooks hooks;
	const struct pg_block_config *blocks; /* NULL; for the program's own use */
};

enum pg_region_kind { PG_REGION_ANON, PG_REGION_FILE, PG_REGION_HEAP, PG_REGION_STACK };

enum pg_map_flags {
	PG_MAP_SHARED = 1,     /* else private: copy-on-write */
	PG_MAP_FIXED = 2,      /* replaces what is there */
	PG_MAP_FIXED_FREE = 4, /* -EEXIST if anything is there */
	PG_MAP_GROWSDOWN = 8,  /* a stack */
	PG_MAP_NORESERVE = 16,
	PG_MAP_POPULATE = 32,
	PG_MAP_LOCKED = 64,
	PG_MAP_LOCKONFAULT = 128, /* beside LOCKED: not populated */
	PG_MAP_DONTFORK = 0x100,
	PG_MAP_WIPEONFORK = 0x200,
	PG_MAP_DONTDUMP = 0x400, /* noted, as are the rest */
	PG_MAP_HUGE = 0x800,
	PG_MAP_NOHUGE = 0x1000,
	PG_MAP_MERGEABLE = 0x2000,
	PG_MAP_RANDOM = 0x4000,
	PG_MAP_SEQUENTIAL = 0x8000,
};

enum pg_remap_flags {
	PG_REMAP_MAYMOVE = 1,
	PG_REMAP_FIXED = 2,
	PG_REMAP_DONTUNMAP = 4,
};

enum pg_advice {
	PG_ADVISE_DISCARD,
	PG_ADVISE_DISCARD_LOCKED,
	PG_ADVISE_FREE,
	PG_ADVISE_WILLNEED,
	PG_ADVISE_REMOVE,
	PG_ADVISE_COLD,
	PG_ADVISE_PAGEOUT,
	PG_ADVISE_POPULATE_READ,
	PG_ADVISE_POPULATE_WRITE,
	PG_ADVISE_GUARD_INSTALL,
	PG_ADVISE_GUARD_REMOVE,
};

/* How much may be promised. */
enum pg_overcommit {
	PG_OVERCOMMIT_GUESS,  /* one call may not ask for more than memory and swap */
	PG_OVERCOMMIT_ALWAYS, /* anything */
	PG_OVERCOMMIT_NEVER,  /* the sum stays below swap and a share of memory */
};

/* Bytes; UINT64_MAX: no limit. */
struct pg_space_limits {
	uint64_t as_bytes;
	uint64_t data_bytes;
	uint64_t locked_bytes;
};

/* What one region has in memory, as /proc/PID/smaps; bytes, shares in 1/4096 byte. */
struct pg_region_figures {
	uint64_t rss;
	uint64_t pss, pss_dirty, pss_anon, pss_file, pss_shmem, pss_locked, swap_pss;
	uint64_t shared_clean, shared_dirty, private_clean, private_dirty;
	uint64_t referenced;
	uint64_t anonymous;
	uint64_t lazy_free;
	uint64_t swap;
	uint64_t guards; /* not bytes: 1 if guard pages were made in it or in what it comes from */
};

struct pg_region {
	pg_va start, end;
	pg_prot prot;
	pg_prot max_prot; /* the most that pg_space_protect() may give */
	bool charged;     /* counts as promised */
	uint32_t flags;
	enum pg_region_kind kind;
	struct pg_object *object; /* NULL: anonymous */
	uint64_t offset;          /* bytes into the object of `start` */
	uint64_t resident_pages;  /* as Linux counts RSS */
	const char *name;
};

struct pg_space_stats {
	uint64_t vsz_bytes, vsz_peak_bytes;
	uint64_t data_bytes;
	uint64_t stack_bytes;
	uint64_t exec_bytes;
	uint64_t locked_bytes;
	uint64_t charged_bytes;
	uint64_t rss_pages, rss_peak_pages;
	uint64_t rss_anon_pages, rss_file_pages, rss_shmem_pages;
	uint64_t faults[PG_FAULT_KINDS];
	uint64_t faults_by_kernel;
	uint64_t faults_refused;
	uint64_t copies;
	uint64_t pages_in;
	uint64_t swap_in;  /* pages read from a store, read-ahead included */
	uint64_t swap_out; /* pages written to a store */
	uint64_t refaults; /* pages that came back after eviction */
	uint64_t swap_ahead, swap_ahead_used, swap_ahead_wasted; /* pages read ahead from a store */
	uint64_t file_ahead, file_ahead_used, file_ahead_wasted; /* and from files */
	uint64_t scanned, reclaimed; /* looks at accessed bits, and frames freed, by its faults */
	uint64_t direct_reclaims;    /* faults that had to free frames first */
	uint64_t stall_ns;           /* time faults waited for memory */
	uint64_t minor, major;
	uint64_t regions, regions_peak;
	struct pg_table_stats table;
};

struct pg_space_config {
	pg_va lo, hi;   /* usable addresses [lo, hi) */
	pg_va mmap_top; /* a place is searched from here down */
	uint64_t stack_limit_bytes;
	uint64_t stack_gap_bytes; /* guard below a stack */
	uint64_t max_regions;     /* 0: no limit */
};

#endif

PG_MUST_CHECK int pg_vm_create(const struct pg_vm_config *c, struct pg_vm **out);
void pg_vm_destroy(struct pg_vm *vm); /* all spaces and objects must be gone */
struct pg_frames *pg_vm_frames(struct pg_vm *vm);
pg_pfn pg_vm_zero_page(const struct pg_vm *vm);
void pg_vm_set_overcommit(struct pg_vm *vm, enum pg_overcommit how, unsigned percent);
void pg_vm_set_swap(struct pg_vm *vm, uint64_t swap_pages);
uint64_t pg_vm_committed(const struct pg_vm *vm);    /* bytes */
uint64_t pg_vm_commit_limit(const struct pg_vm *vm); /* bytes */

PG_MUST_CHECK int pg_space_create(
	struct pg_vm *vm, const struct pg_space_config *c, struct pg_space **out);
void pg_space_destroy(struct pg_space *s);
/* Makes child, fresh and empty, what a forked process sees. -ENOMEM: it is empty still. */
PG_MUST_CHECK int pg_space_fork(struct pg_space *parent, struct pg_space *child);
void pg_space_set_limits(struct pg_space *s, const struct pg_space_limits *l);
struct pg_table *pg_space_table(struct pg_space *s);
uint16_t pg_space_asid(const struct pg_space *s);
void pg_space_attach(struct pg_space *s, struct pg_shootdown *sd);
void pg_space_detach(struct pg_space *s, struct pg_shootdown *sd);

/* The mapping calls: mmap, munmap, mprotect, mremap, madvise, mlock, msync, brk. */
PG_MUST_CHECK int pg_space_map(struct pg_space *s, pg_va *addr, uint64_t len, pg_prot prot,
	pg_prot max_prot, unsigned flags, struct pg_object *object, uint64_t offset,
	const char *name);
PG_MUST_CHECK int pg_space_unmap(struct pg_space *s, pg_va addr, uint64_t len);
PG_MUST_CHECK int pg_space_protect(struct pg_space *s, pg_va addr, uint64_t len, pg_prot prot);
PG_MUST_CHECK int pg_space_remap(struct pg_space *s, pg_va old, uint64_t old_len, uint64_t new_len,
	unsigned flags, pg_va *at); /* *at: in (FIXED, DONTUNMAP) and out */
PG_MUST_CHECK int pg_space_advise(
	struct pg_space *s, pg_va addr, uint64_t len, enum pg_advice advice);
/* Sets and clears flags of regions, DONTFORK and the following. */
PG_MUST_CHECK int pg_space_mark(
	struct pg_space *s, pg_va addr, uint64_t len, uint32_t set, uint32_t clear);
/* flags: PG_MAP_LOCKED, LOCKONFAULT, or 0 to unlock. */
PG_MUST_CHECK int pg_space_lock(struct pg_space *s, pg_va addr, uint64_t len, unsigned flags);
PG_MUST_CHECK int pg_space_lock_all(struct pg_space *s, unsigned now, unsigned later);
PG_MUST_CHECK int pg_space_discard(struct pg_space *s, pg_va addr, uint64_t len);
PG_MUST_CHECK int pg_space_sync(struct pg_space *s, pg_va addr, uint64_t len);
void pg_space_set_brk_start(struct pg_space *s, pg_va start);
pg_va pg_space_brk(struct pg_space *s, pg_va want, uint64_t data_limit_bytes);

/* The region that holds `a`, or the next above if or_above. */
bool pg_space_find(struct pg_space *s, pg_va a, bool or_above, struct pg_region *out);
void pg_space_each_region(
	struct pg_space *s, bool (*f)(void *ctx, const struct pg_region *r), void *ctx);
/* The frame and entry of a page, without side effect; pfn UINT32_MAX: none. */
pg_pfn pg_space_resident(struct pg_space *s, pg_va a, pg_pte *pte);
/* The region that holds `a`, in figures; false: none. */
bool pg_space_measure(struct pg_space *s, pg_va a, struct pg_region_figures *out);
void pg_space_clear_referenced(struct pg_space *s, bool anon, bool other);
uint64_t pg_space_pagemap(struct pg_space *s, pg_vpn vpn); /* as /proc/PID/pagemap */
bool pg_space_in_core(struct pg_space *s, pg_va a);        /* as mincore(2) */

/* Guest memory as a system call sees it: with faults. Returns the bytes done before a bad page. */
PG_MUST_CHECK uint64_t pg_space_read(
	struct pg_space *s, void *dst, pg_va src, uint64_t n, uint64_t pc);
PG_MUST_CHECK uint64_t pg_space_write(
	struct pg_space *s, pg_va dst, const void *src, uint64_t n, uint64_t pc);
PG_MUST_CHECK int64_t pg_space_read_string(
	struct pg_space *s, char *dst, uint64_t cap, pg_va src, uint64_t pc);
/* Frames as iovecs for readv(2) and the like; pinned until pg_space_unpin(). */
PG_MUST_CHECK uint64_t pg_space_pin(struct pg_space *s, pg_va a, uint64_t n, enum pg_access access,
	uint64_t pc, struct iovec *iov, unsigned *iov_len, unsigned cap, enum pg_fault_end *end);
void pg_space_unpin(
	struct pg_space *s, enum pg_access access, const struct iovec *iov, unsigned iov_len);

void pg_space_stats(const struct pg_space *s, struct pg_space_stats *out);
/* NULL if all invariants hold, or which is broken. Slow: for tests and debugging. */
const char *pg_space_check(struct pg_space *s);

#ifdef __cplusplus
}
#endif

#endif
