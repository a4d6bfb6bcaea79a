/* SPDX-License-Identifier: MIT */
/*
 * space/impl.h: the records of space/, for its own files and for tests that look inside.
 *
 * Everything here is guarded by the machine lock. Who owns what:
 *   pg_vm      frames, the zero page, the table of objects, the list of spaces, the page cache's
 * order pg_space   its regions (a tree), its page table, its figures region     its anon layer; a
 * reference on its object and on its name pg_anon    its frame (or, later, slot); held by the
 * leaves of anon layers, counted pg_object  its pages' frames, its pager's context
 */
#ifndef PG_SPACE_IMPL_H
#define PG_SPACE_IMPL_H

#include "base/tree.h"
#include "mmu/base_limit.h"
#include "space/block.h"
#include "space/mem.h"
#include "space/pageout.h"
#include "space/space.h"
#include "space/sparse.h"

/*
 * One private page. In a frame, in a slot of a store, or both: then the slot has the same bytes unless the frame is DIRTY
 * or an entry of it has a D bit. In neither: its bytes are zero (it was dropped after MADV_FREE).
 */
struct pg_anon {
	uint32_t refs;   /* leaves of anon layers that hold it */
	pg_pfn pfn;      /* PG_PFN_NONE: in no frame */
	pg_slot slot;    /* PG_SLOT_NONE: in no slot */
	uint64_t number; /* never given twice: struct pg_page_key */
};

/* A region's name, shared by all regions of the machine with the same. */
struct pg_name {
	struct pg_name *next; /* in its bucket */
	uint32_t refs;
	char text[];
};

#define PG_NAME_BUCKETS 256
#define PG_OBJECT_BUCKETS 1024
#define PG_RESIDENT_UNKNOWN UINT64_MAX

struct region {
	struct pg_region pub; /* what others see; first, so that a pub is its region */
	struct pg_tree_node link;
	struct pg_space *space; /* borrowed */
	uint64_t gap; /* bytes free below: from the end of the one before to start (less a guard) */
	uint64_t max_gap; /* the largest gap in this node's subtree */
	/*
	 * Page index of start: within the object, or for anonymous memory the page number at which
	 * it was mapped first, which it keeps when moved (Linux's vm_pgoff). The anon layer is
	 * indexed by it.
	 */
	uint64_t index;
	struct pg_sparse anons; /* private regions; of shared ones only guards, see guard.c */
	struct pg_name *name;   /* counted; NULL: none */
	struct region *obj_prev, *obj_next; /* the object's list of regions that map it */
	struct region *dead_next;           /* of those taken out by pg_map_clear() */
	/*
	 * Linux's anon_vma as far as merging can be seen in /proc/self/maps: 0 until the first anon
	 * is made, then a number shared with the neighbour it could have merged with, or a new one.
	 */
	uint64_t anon_id;
	bool anon_forked; /* the number came by fork: no merging with a neighbour that has none */
	bool forked;      /* was there at a fork: a child's, or its parent's */
	bool guarded;     /* the anon layer may have guards: VM_MAYBE_GUARD */
	bool touched;     /* entries may have been made for it */
	bool overhang;    /* its object was cut, and the copies beyond could not be dropped */
	uint32_t
		error_seen; /* of its object's errors of writing back, see object.h; `open` has it if there is one */
	struct pg_open_file *open; /* of a shared mapping; counted. NULL: not known */
};

/* Page `index` of an object is being read by its pager; on the reader's stack. */
struct pg_object_read {
	struct pg_object_read *next;
	uint64_t index;
	bool stale; /* the page was in the cache meanwhile and left it: what is read may be older than what it had */
};

struct pg_object {
	struct pg_vm *vm;
	struct pg_object *next; /* in its bucket, if it has a key */
	struct pg_object_key key;
	const struct pg_pager *pager; /* NULL: anonymous shared memory */
	void *ctx;                    /* the pager's; owned */
	uint64_t size_bytes; /* pager NULL: fixed; else what pg_object_before_host_write() said */
	struct pg_sparse pages; /* value: pfn + 1 */
	struct pg_sparse
		slots;   /* value: slot + 1; no pager only. A page with a frame has no slot */
	uint64_t number; /* never given twice: struct pg_page_key */
	uint64_t ra_start, ra_size, ra_async; /* read-ahead window, in pages; reclaim/pagein.c */
	uint64_t ra_prev;                     /* page read last */
	uint64_t resident;                    /* pages in frames */
	uint64_t changes; /* host writes and truncations: a read that overlaps one is repeated */
	struct pg_object_read *reads; /* by the pager, under way */
	uint64_t charged_pages;
	uint32_t refs;
	uint32_t write_error;   /* of writing pages back: base/errseq.h */
	bool shmem;             /* counts as shared memory */
	bool segment;           /* see pg_object_set_segment() */
	struct region *regions; /* that map it */
	char name[];
};

/* The lists of the page cache, see cache.c; a row's `spare` says which one it is on. */
enum pg_cache_list {
	PG_CACHE_UNMAPPED,
	PG_CACHE_MAPPED,
	PG_CACHE_HELD,
	PG_CACHE_LAZY,
	PG_CACHE_LISTS
};

struct pg_cache_ends {
	uint32_t first, last; /* pfn of the oldest and the youngest; UINT32_MAX: empty */
};

struct pg_vm {
	struct pg_frames *frames;
	const struct pg_table_form *form;
	struct pg_geometry geometry;
	void *tables; /* what the form's tables share; owned through form->close */
	struct pg_vm_hooks hooks;
	struct pg_pageout pageout; /* ctx NULL: there is none */
	struct pg_blocks *blocks;  /* owned; NULL: a machine of pages */
	pg_pfn zero;
	struct pg_mem mem;
	struct pg_anon guard; /* that of all guarded pages; the machine has one reference */
	struct pg_sparse_kind anon_kind, page_kind;
	struct pg_space *spaces; /* all */
	uint64_t space_count, object_count;
	uint64_t last_anon_id;
	uint64_t last_anon_number, last_object_number;
	uint32_t last_space_number;
	uint64_t committed_pages; /* of charged regions and objects */
	uint64_t locked_bytes;    /* of all spaces */
	uint64_t swap_pages;
	enum pg_overcommit overcommit;
	unsigned overcommit_percent;
	struct pg_cache_ends cache[PG_CACHE_LISTS];
	struct pg_object *objects[PG_OBJECT_BUCKETS];
	struct pg_name *names[PG_NAME_BUCKETS];
	uint64_t asids[65536 / 64]; /* bit set: in use */
	uint32_t asid_hint;
};

struct pg_space {
	struct pg_vm *vm; /* borrowed */
	struct pg_space *next, *prev;
	struct pg_space_config c;
	uint32_t number; /* from 1; of spaces that live at the same time never the same */
	struct pg_space_limits limits;
	uint32_t lock_later;    /* LOCKED, LOCKONFAULT: for regions to come */
	struct pg_table *table; /* owned */
	const struct pg_table_form *form;
	struct pg_shootdown *shootdowns;
	struct pg_tree regions;
	struct region *last; /* found last, or NULL */
	pg_va brk_start, brk;
	uint16_t asid;
	bool no_nx;                    /* the table's entries have no NX bit */
	struct pg_block_record *block; /* owned; NULL: of pages, or nothing was placed yet */
	struct pg_open_file *opening;  /* see pg_space_opening(); borrowed */
	struct pg_space_stats st;      /* table and rss_pages are filled in on request */
};

/* ---- vm.c */
/* What reclaim/ hands down; before there is any space. NULL: takes it back, when there is none any more. */
void pg_vm_set_pageout(struct pg_vm *vm, const struct pg_pageout *p);
struct pg_name *pg_name_get(
	struct pg_vm *vm, const char *text, int *err); /* counted; NULL for "" */
void pg_name_put(struct pg_vm *vm, struct pg_name *n);

/* ---- anon.c: one private page */
struct pg_anon *pg_anon_new(struct pg_vm *vm); /* one reference, no frame; NULL: no memory */
void pg_anon_ref(void *vm, void *anon);
void pg_anon_unref(void *vm, void *anon); /* the last one gives the frame back */
/* True if the anon is in no frame and no slot: it reads as zero. */
static inline bool pg_anon_is_empty(const struct pg_anon *a)
{
	return pg_pfn_is_none(a->pfn) && pg_slot_is_none(a->slot);
}
/* A frame of an anon or object that has lost its owner: freed now, or when the last pin goes. */
void pg_frame_release(struct pg_vm *vm, pg_pfn f);

/* ---- guard.c: pages that may not be touched; [first, last] are indices of r's anon layer */
bool pg_guard_at(const struct region *r, uint64_t index);
/* The pages become guards; what they held is gone. -ENOMEM: nothing changed. */
PG_MUST_CHECK int pg_guard_install(struct region *r, uint64_t first, uint64_t last);
/* No guards any more. -ENOMEM: nothing changed. */
PG_MUST_CHECK int pg_guard_remove(struct region *r, uint64_t first, uint64_t last);
/* Takes all anons out but guards; ready makes what is needed for it, -ENOMEM: nothing changed. */
PG_MUST_CHECK int pg_guard_erase_ready(struct region *r, uint64_t first, uint64_t last);
void pg_guard_erase(struct region *r, uint64_t first, uint64_t last);

/* ---- region.c: the tree */
void pg_region_init(struct pg_space *s);
/* fault.c: a fault for pg_space_read_forced() and its twin; *frame: the page, whatever its entry allows. */
enum pg_fault_end pg_fault_forced(
	struct pg_space *s, pg_va va, enum pg_access access, uint64_t pc, pg_pfn *frame);

struct region *pg_region_at(struct pg_space *s, uint64_t a); /* that holds a, or NULL */
struct region *pg_region_above(
	struct pg_space *s, uint64_t a); /* the first with end > a, or NULL */
struct region *pg_region_first(struct pg_space *s);
struct region *pg_region_next(const struct region *r);
struct region *pg_region_prev(const struct region *r);
struct region *pg_region_alloc(struct pg_space *s);
void pg_region_insert(struct pg_space *s, struct region *r); /* the range is free */
/* Out of the tree and off its object's list, keeping its references. */
void pg_region_unlink(struct pg_space *s, struct region *r);
/* Its references and its memory go. Its entries must be gone, and it unlinked or never inserted. */
void pg_region_free(struct pg_vm *vm, struct region *r);
/* Moves the bounds within what is free around it; index follows start. */
void pg_region_resize(struct pg_space *s, struct region *r, uint64_t start, uint64_t end);
/* Cuts r at `at`, inside it; *upper is the new region above. -ENOMEM: nothing changed. */
PG_MUST_CHECK int pg_region_split(
	struct pg_space *s, struct region *r, uint64_t at, struct region **upper);
/* Undoes a split just made. Cannot fail. */
void pg_region_unsplit(struct pg_space *s, struct region *r, struct region *upper);
/* Merges r with its neighbours where Linux would; returns what r is part of now. */
struct region *pg_region_merge(struct pg_space *s, struct region *r);
/* Gives r its anon_id when its first anon is about to be made. */
void pg_region_want_anon_id(struct pg_space *s, struct region *r);
/* The highest hole of len bytes in [lo, top), or the lowest in [lo, hi). False: none. */
bool pg_region_place(struct pg_space *s, uint64_t len, uint64_t *out);
/* The first address that belongs to r counting the guard below a stack. */
uint64_t pg_region_guarded_start(const struct pg_space *s, const struct region *r);
void pg_region_link_object(struct region *r, struct pg_object *o); /* takes a reference */
/*
 * Takes r, in the tree, out of the sums (VSZ, data, stack, locked, committed ...), and back in; around
 * every change of its rights, flags or charge.
 */
void pg_region_tally_out(struct region *r);
void pg_region_tally_in(struct region *r);
bool pg_region_augment_ok(const struct pg_tree_node *n);

static inline struct region *pg_region_of(struct pg_tree_node *n)
{
	return n ? PG_TREE_ENTRY(n, struct region, link) : NULL;
}

static inline uint64_t pg_region_index(const struct region *r, uint64_t vpn)
{
	return r->index + (vpn - (r->pub.start.v >> PG_PAGE_SHIFT));
}

static inline bool pg_region_private(const struct region *r)
{
	return !(r->pub.flags & PG_MAP_SHARED);
}

/* Whether r, which maps o, has a place in a file: of an object, or of a device that gives memory (a path as its name). */
static inline bool pg_region_has_offset(const struct region *r, const struct pg_object *o)
{
	return o || (r->pub.kind == PG_REGION_ANON && r->pub.name && r->pub.name[0] == '/');
}

/* `to` is another mapping of what `from` maps, by the same open file. */
void pg_region_copy_open(const struct region *from, struct region *to);

/*
 * Whether a store into a page of r that was only read so far is to fault first: the pager wants to see that there is room for it. (Linux:
 * vma_wants_writenotify(); there, as here, memory files are asked at the first touch instead.)
 */
static inline bool pg_region_asks(const struct region *r)
{
	const struct pg_object *o = r->pub.object;

	return o && o->pager && o->pager->reserve && !o->shmem && !pg_region_private(r);
}

/* ---- pages.c: entries of the page table, with all that hangs on them */
/* What an entry of region r may allow; write: also stores. */
pg_pte pg_pages_bits(const struct region *r, bool write);
/*
 * Enters or replaces vpn of r. Reverse map, RSS and counts follow; whoever caches the old entry is
 * told. Drops clean cache pages when a frame for a node is wanted. -ENOMEM: nothing changed.
 */
PG_MUST_CHECK int pg_pages_enter(struct region *r, pg_vpn vpn, pg_pfn f, pg_pte bits);
/* Removes the entries of [start, end), page numbers inside r, and tells whoever caches them. */
void pg_pages_remove(struct region *r, uint64_t start, uint64_t end);
/*
 * Removes all entries of s that name the page of zeros, but those in locked regions and those that keep says are to stay: a
 * read finds it again. How many.
 */
uint64_t pg_pages_forget_zero(
	struct pg_space *s, bool (*keep)(const void *ctx, pg_vpn vpn), const void *ctx);
/* Gives the entries of [start, end) the rights that r has now. */
void pg_pages_reprotect(struct region *r, uint64_t start, uint64_t end);
/* The region is locked no more: tells reclaim/ of the pages in [start, end) that are mapped. */
void pg_pages_unlock(struct region *r, uint64_t start, uint64_t end);
/* Moves the entries of [start, start + n) of r to page `to` of region d. A page that finds no node
 * is just forgotten. */
void pg_pages_move(struct region *r, uint64_t start, uint64_t n, struct region *d, uint64_t to);
/* Removes every entry of frame f, in all spaces. */
void pg_pages_remove_frame(struct pg_vm *vm, pg_pfn f);
/* Moves the D bits of all entries of f to its row; they are clear afterwards. */
void pg_pages_harvest(struct pg_vm *vm, pg_pfn f);
void pg_pages_invalidate(struct pg_space *s, uint64_t start, uint64_t end);
/* The page was written: DIRTY, and no longer to be dropped without a write. */
void pg_pages_mark_dirty(struct pg_vm *vm, pg_pfn f);
/* True if a region with PG_MAP_LOCKED maps f. */
bool pg_pages_locked(struct pg_vm *vm, pg_pfn f);
/* Resident pages of [start, end), counted. */
uint64_t pg_pages_count(struct pg_space *s, uint64_t start, uint64_t end);
uint64_t pg_pages_resident(struct region *r); /* makes pub.resident_pages known */

/* ---- cache.c: frames, and what is dropped when there are none */
PG_MUST_CHECK int pg_cache_frame(
	struct pg_vm *vm, enum pg_frame_state state, void *owner, pg_pfn *out);
/* Makes at least one frame free, by reclaim/ if there is one, without releasing the machine lock. False: none. */
bool pg_cache_make_room(struct pg_vm *vm);
/* Drops the oldest private page that nobody has written since it was given up. False: none. */
bool pg_cache_drop_lazy(struct pg_vm *vm);
void pg_cache_link(struct pg_vm *vm, pg_pfn f);
/* Puts the page on the list that it belongs on now. Any frame; nothing to do for others than CACHE.
 */
void pg_cache_sort(struct pg_vm *vm, pg_pfn f);
void pg_cache_unlink(struct pg_vm *vm, pg_pfn f);
/* Makes f, of an anon, droppable until it is written: clean, and LAZY. */
void pg_cache_set_lazy(struct pg_vm *vm, pg_pfn f);
void pg_cache_clear_lazy(struct pg_vm *vm, pg_pfn f);
/* Drops a page of an object if it is clean, not in use by the host and not locked; true: it is gone. */
bool pg_cache_drop(struct pg_vm *vm, pg_pfn f);

/* ---- limit.c; bytes, multiples of pages */
bool pg_limit_is_data(pg_prot prot, uint32_t flags);     /* counts as data */
bool pg_limit_accountable(pg_prot prot, uint32_t flags); /* a new mapping is charged */
bool pg_limit_data_ok(const struct pg_space *s, uint64_t more);
bool pg_limit_may_expand(const struct pg_space *s, pg_prot prot, uint32_t flags, uint64_t more);
int pg_limit_may_lock(const struct pg_space *s, uint64_t more); /* 0, -EPERM, -EAGAIN */
bool pg_limit_commit_ok(const struct pg_vm *vm, uint64_t more);

/* ---- object.c */
/* The resident page at index, or PG_PFN_NONE. */
pg_pfn pg_object_page(const struct pg_object *o, uint64_t index);
/*
 * Brings page index in. *brought: 1 if the pager read it, 0 if it was zeroed (no pager) or somebody
 * else was quicker. The pager may have released the machine lock: the caller looks everything up
 * again. -ENOMEM: no frame or record; -EIO and others: the pager's.
 */
PG_MUST_CHECK int pg_object_fill(struct pg_object *o, uint64_t index, uint32_t *brought);
/* Takes a page that is mapped nowhere out of the cache. */
void pg_object_forget(struct pg_object *o, uint64_t index, pg_pfn f);
/* Writes one page back if it is dirty; the pager may release the lock. A page that could not be written stays dirty. */
int pg_object_write_page(struct pg_object *o, uint64_t index, pg_pfn f);
/* Writes back the dirty pages of [first, last]; unmapped_only: those no table names. First error.
 */
int pg_object_write_back(struct pg_object *o, uint64_t first, uint64_t last, bool unmapped_only);

/* ---- map.c */
/*
 * Cuts regions so that [start, end) begins and ends at region bounds; -ENOMEM: nothing changed. Each try is kept or, the last one
 * first, undone before anything else is done to these regions.
 */
struct pg_map_cuts {
	struct region *low, *up, *high, *rest; /* NULL: nothing was cut there */
};
PG_MUST_CHECK int pg_map_try_cut(
	struct pg_space *s, uint64_t start, uint64_t end, struct pg_map_cuts *c);
void pg_map_undo_cut(struct pg_space *s, const struct pg_map_cuts *c);
void pg_map_keep_cut(struct pg_space *s, const struct pg_map_cuts *c);
/*
 * Takes what is mapped in [start, end), already cut, out of tables and tree. The regions come back
 * as a list for pg_map_bury(), which drops their references and writes back dirty pages that they
 * mapped last; that may release the machine lock.
 */
PG_MUST_CHECK struct region *pg_map_clear(struct pg_space *s, uint64_t start, uint64_t end);
void pg_map_bury(struct pg_vm *vm, struct region *dead);
/* True if all of [start, end) is mapped. */
bool pg_map_whole(struct pg_space *s, uint64_t start, uint64_t end);
/* What is to change in a range. */
struct pg_map_change {
	bool new_prot;
	pg_prot prot; /* if so */
	uint32_t set, clear;
};
/*
 * Changes [start, end), all mapped, cutting and merging as Linux does. -ENOMEM: no memory, too
 * many regions, or over the commit or data limit; nothing changed.
 */
PG_MUST_CHECK int pg_map_change_range(
	struct pg_space *s, uint64_t start, uint64_t end, const struct pg_map_change *c);
/*
 * Brings the pages of [start, end) in for the access and marks them accessed. Ends at the first that
 * cannot be: how it ended.
 */
enum pg_fault_end pg_map_populate(
	struct pg_space *s, uint64_t start, uint64_t end, enum pg_access access);
/* How a region's pages are brought in unasked: as written if it is private and writable. */
enum pg_access pg_map_access(pg_prot prot, uint32_t flags);
/* Chooses where to map len bytes, whole pages; hint as mmap(2), 0: none. False: no room. */
bool pg_map_choose(struct pg_space *s, uint64_t hint, uint64_t len, uint64_t *out);
/* [start, start + *len), with *len rounded up to pages, lies in [lo, hi). */
bool pg_map_range_ok(const struct pg_space *s, uint64_t start, uint64_t *len);
void pg_map_count_vsz(struct pg_space *s);

/* True if an entry lets the guest make the access. */
static inline bool pg_pte_serves(pg_pte e, enum pg_access access)
{
	if (!(e & PG_PTE_P) || !(e & PG_PTE_US))
		return false;
	if (access == PG_WRITE)
		return e & PG_PTE_RW;
	return access != PG_EXEC || !(e & PG_PTE_NX);
}

/* ---- block.c, block_move.c: spaces of one contiguous block. block.h has what others may call. */
struct pg_blocks {
	struct pg_partition *partition; /* owned; a unit is a frame */
	struct pg_block_hooks hooks;
	uint64_t used_peak; /* most frames in blocks at once */
};

struct pg_block_record {
	struct pg_partition_block *place; /* NULL: in no frame */
	struct pg_base_limit r; /* as it was set last while it was in frames; base is stale else */
	struct pg_block_shape shape;
	uint64_t wanted;        /* pages that a growth waits for; 0: none does */
	struct pg_rmap *rmap;   /* owned: one for each frame, on the row of each */
	pg_slot *slots;         /* owned; out: where each page is; else NULL */
	struct pg_store *store; /* borrowed; of slots */
	uint64_t moves, swaps;
	/* owned while they are empty: then in no tree */
	struct region *regions[4]; /* image, heap, room, stack */
};

PG_MUST_CHECK int pg_blocks_open(struct pg_vm *vm, const struct pg_block_config *c);
void pg_blocks_close(struct pg_vm *vm); /* vm->blocks may be NULL */
/* s->block, without frames yet, of shape->pages. */
PG_MUST_CHECK int pg_block_make_records(struct pg_space *s, const struct pg_block_shape *shape);
/* Ends the block of s, which may have none. */
void pg_block_drop(struct pg_space *s);
/* The table and the regions say what b->r, the break and the stack are. */
void pg_block_show(struct pg_space *s);
/* The same while it is in no frame: nothing is within the limit. */
void pg_block_hide(struct pg_space *s);
/* Frames [base, base + pages) become those of s: rows, reverse map. Or of nobody. */
void pg_block_own(struct pg_space *s);
void pg_block_disown(struct pg_space *s);
uint8_t *pg_block_bytes(const struct pg_space *s, uint64_t page); /* of the block */
void pg_block_tell(struct pg_vm *vm, const struct pg_block_event *e);
/*
 * Makes the block of s hold low pages from the origin up and stack pages from the top down. -ENOMEM: beyond its span, or no room. May give up the
 * machine lock (hooks.room).
 */
PG_MUST_CHECK int pg_block_grow(struct pg_space *s, uint64_t low, uint64_t stack);
/* Pages from the origin to the break, the image at least. */
uint64_t pg_block_heap_end(const struct pg_space *s);
/* Brings it in if it is out. False: it cannot be. */
bool pg_block_want_in(struct pg_space *s);
const char *pg_blocks_check(struct pg_vm *vm);
/* The mapping calls for spaces of this kind; as those of space.h. */
enum pg_fault_end pg_block_fault(
	struct pg_space *s, pg_va va, enum pg_access access, uint64_t pc, bool by_kernel);
PG_MUST_CHECK int pg_block_fork(struct pg_space *parent, struct pg_space *child);
pg_va pg_block_brk(struct pg_space *s, pg_va want, uint64_t most);

/* ---- grow.c */
/* Extends the growing region r down to hold a, if limit and gap allow. */
bool pg_grow_stack(struct pg_space *s, struct region *r, uint64_t a, bool *overflow);

#endif
