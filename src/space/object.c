/* SPDX-License-Identifier: MIT */
/*
 * space/object.c: objects (files and shared memory) and their resident pages, the page cache.
 *
 * Called by fault.c, map.c and the upper floor (object.h). Calls the object's pager, frame/, and
 * pages.c to take pages out of page tables. Owns the frames of the pages.
 *
 * Invariants (pg_space_check):
 *   O1 a page of an object is in a frame in state CACHE whose owner and index say so.
 *   O2 resident is the number of pages.
 *   O3 an object with a key is in its bucket, once.
 *   O4 a page with a pager that is not DIRTY and has no D bit in any entry equals, up to the end of the file, what the pager
 *      would read (not checked: the test's pager does).
 *   O5 a page comes to the cache with what the file had after the page left the cache last.
 *
 * A page stays in the cache as long as its object lives. The object dies with its last reference:
 * the host keeps the file's pages in its own cache, so opening it again costs a copy, not a disk
 * access. (Linux would keep the pages. reclaim/ may want to, later.)
 *
 * A pager may release the machine lock. So: a page being read is not yet in the cache, and is put
 * there only if nobody else brought it meanwhile and no host write passed by (`changes`), nor was it brought, stored into,
 * written back and dropped again (`reads`); a page being written is pinned; and what changes the file behind the object's back keeps pages from
 * being written until the object knows (pg_object_lock()).
 */
#include "base/errseq.h"
#include "space/impl.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static unsigned bucket_of(struct pg_object_key key)
{
	uint64_t h = (key.device * 0x9e3779b97f4a7c15u) ^ (key.inode * 0xc2b2ae3d27d4eb4fu);

	return (unsigned)(h >> 40) % PG_OBJECT_BUCKETS;
}

static bool keyed(struct pg_object_key key)
{
	return key.device || key.inode;
}

struct pg_object *pg_object_find(struct pg_vm *vm, struct pg_object_key key)
{
	struct pg_object *o = keyed(key) ? vm->objects[bucket_of(key)] : NULL;

	while (o && (o->key.device != key.device || o->key.inode != key.inode))
		o = o->next;
	return o;
}

int pg_object_open(struct pg_vm *vm, struct pg_object_key key, const char *name,
	const struct pg_pager *pager, void *ctx, uint64_t size_bytes, struct pg_object **out,
	bool *existed)
{
	struct pg_object *o = pg_object_find(vm, key);
	size_t n;

	*existed = o != NULL;
	if (o) {
		o->refs++;
		*out = o;
		return 0;
	}
	name = name ? name : "";
	n = strlen(name) + 1;
	o = pg_mem_alloc(&vm->mem, sizeof *o + n);
	if (!o)
		return -ENOMEM;
	memcpy(o->name, name, n);
	o->vm = vm;
	o->key = key;
	o->pager = pager;
	o->ctx = ctx;
	o->size_bytes = pager ? pager->size(ctx) : size_bytes;
	o->shmem = pager == NULL;
	o->refs = 1;
	o->number = ++vm->last_object_number;
	if (keyed(key)) {
		o->next = vm->objects[bucket_of(key)];
		vm->objects[bucket_of(key)] = o;
	}
	vm->object_count++;
	*out = o;
	return 0;
}

void pg_object_ref(struct pg_object *o)
{
	o->refs++;
}

static void leave_bucket(struct pg_object *o)
{
	struct pg_object **at = &o->vm->objects[bucket_of(o->key)];

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
}

/* Gives the slots of pages [first, last] of an object without pager back. */
static void drop_slots(struct pg_object *o, uint64_t first, uint64_t last)
{
	struct pg_vm *vm = o->vm;
	uint64_t at = first, index;
	void *v;

	while (at <= last && (v = pg_sparse_next(&o->slots, at, last, &index))) {
		pg_sparse_erase(&vm->page_kind, &o->slots, index, index);
		vm->pageout.slot_free(vm->pageout.ctx, (pg_slot){(uint32_t)((uintptr_t)v - 1)});
		if (index == UINT64_MAX)
			break;
		at = index + 1;
	}
}

void pg_object_unref(struct pg_object *o)
{
	struct pg_vm *vm = o->vm;
	uint64_t at = 0, index;
	void *v;

	PG_ASSERT(o->refs > 0);
	if (o->refs == 1) { /* while writing, somebody may find it by its key and revive it */
		pg_object_write_back(o, 0, UINT64_MAX, false);
		if (o->refs == 1 && o->write_error && o->pager && o->pager->keep &&
			o->pager->keep(o->ctx, o))
			return;
	}
	if (--o->refs > 0)
		return;
	if (keyed(o->key))
		leave_bucket(o);
	while ((v = pg_sparse_next(&o->pages, at, UINT64_MAX, &index))) {
		pg_object_forget(o, index, (pg_pfn){(uint32_t)((uintptr_t)v - 1)});
		at = index + 1;
	}
	pg_sparse_drop(&vm->page_kind, &o->pages);
	drop_slots(o, 0, UINT64_MAX);
	if (o->pager && o->pager->close)
		o->pager->close(o->ctx);
	vm->object_count--;
	vm->committed_pages -= o->charged_pages;
	pg_mem_free(&vm->mem, o);
}

const char *pg_object_name(const struct pg_object *o)
{
	return o->name;
}

struct pg_object_key pg_object_get_key(const struct pg_object *o)
{
	return o->key;
}

uint64_t pg_object_resident(const struct pg_object *o)
{
	return o->resident;
}

uint64_t pg_object_bytes(const struct pg_object *o)
{
	return o->pager ? o->pager->size(o->ctx) : o->size_bytes;
}

pg_pfn pg_object_page(const struct pg_object *o, uint64_t index)
{
	void *v = pg_sparse_get(&o->pages, index, NULL);

	return v ? (pg_pfn){(uint32_t)((uintptr_t)v - 1)} : PG_PFN_NONE;
}

void pg_object_forget(struct pg_object *o, uint64_t index, pg_pfn f)
{
	PG_ASSERT(pg_frames_row(o->vm->frames, f)->map_count == 0);
	for (struct pg_object_read *r = o->reads; r; r = r->next)
		r->stale |= r->index == index;
	pg_sparse_erase(&o->vm->page_kind, &o->pages, index, index);
	o->resident--;
	pg_cache_unlink(o->vm, f);
	pg_frame_release(o->vm, f);
}

/* Fills the frame of an object without pager, from its slot or with zeros. *from_slot: which. */
static int fill_own(struct pg_object *o, uint64_t index, void *bytes, bool *from_slot)
{
	const struct pg_pageout *p = &o->vm->pageout;
	int got = o->slots.root ? p->object_in(p->ctx, o, index, bytes) : 0;

	*from_slot = got == 1;
	if (!got)
		memset(bytes, 0, PG_PAGE_SIZE);
	return got < 0 ? got : 0;
}

/* Fills bytes with what the file or the slot has now, unless another brings the page meanwhile: then they mean nothing. */
static int read_page(struct pg_object *o, uint64_t index, void *bytes, bool *from_slot)
{
	struct pg_object_read here = {.next = o->reads, .index = index}, **at = &o->reads;
	uint64_t changes;
	int err;

	o->reads = &here;
	do {
		changes = o->changes;
		here.stale = false;
		if (o->pager)
			err = o->pager->read(o->ctx, index, bytes);
		else
			err = fill_own(o, index, bytes, from_slot);
	} while (!err && (changes != o->changes || here.stale) &&
		 pg_pfn_is_none(pg_object_page(o, index)));
	while (*at != &here)
		at = &(*at)->next;
	*at = here.next;
	return err;
}

/* Brings in one page, see pg_object_fill(). Ahead of need only if a frame is free. */
static int fill_one(struct pg_object *o, uint64_t index, enum pg_page_in how, uint32_t *brought)
{
	struct pg_vm *vm = o->vm;
	const struct pg_pageout *p = &vm->pageout;
	bool waits = p->ctx && o->pager;
	struct pg_sparse_place place;
	struct pg_stall stall = {0};
	bool from_slot = false;
	pg_pfn f;
	int err;

	*brought = 0;
	if (how == PG_IN_DEMAND)
		err = pg_cache_frame(vm, PG_FRAME_CACHE, o, &f);
	else
		err = pg_frames_alloc(vm->frames, 0, PG_FRAME_CACHE, o, &f);
	if (err)
		return err;
	pg_frames_row(vm->frames, f)->flags |= PG_FRAME_BUSY;
	pg_object_ref(o);
	if (waits)
		stall = p->wait_begin(p->ctx, o, index);
	err = read_page(o, index, pg_frames_bytes(vm->frames, f), &from_slot);
	if (waits)
		p->wait_end(p->ctx, stall);
	pg_frames_row(vm->frames, f)->flags &= (uint16_t)~PG_FRAME_BUSY;
	if (!err && pg_pfn_is_none(pg_object_page(o, index)))
		err = pg_sparse_reserve(&vm->page_kind, &o->pages, index, &place);
	else
		err = err ? err : 1; /* somebody was quicker */
	if (err) {
		pg_frame_release(vm, f);
	} else {
		pg_sparse_put(&vm->page_kind, &place, (void *)((uintptr_t)f.v + 1));
		pg_frames_row(vm->frames, f)->index = index;
		pg_cache_link(vm, f);
		o->resident++;
		*brought = o->pager || from_slot;
		drop_slots(o, index, index);
		if (p->ctx)
			p->page_in(p->ctx, f, how);
	}
	pg_object_unref(o);
	return err < 0 ? err : 0;
}

int pg_object_fill(struct pg_object *o, uint64_t index, uint32_t *brought)
{
	struct pg_vm *vm = o->vm;
	uint64_t first = index, pages;
	uint32_t n = 1, more;
	int err;

	if (!o->pager || o->shmem ||
		!vm->pageout.ctx) /* nothing is gained by reading memory ahead */
		return fill_one(o, index, PG_IN_DEMAND, brought);
	n = vm->pageout.file_window(vm->pageout.ctx, o, index, &first);
	pg_object_ref(o);
	err = fill_one(o, index, PG_IN_DEMAND, brought);
	pages = pg_align_up(pg_object_bytes(o), PG_PAGE_SIZE) >> PG_PAGE_SHIFT;
	for (uint64_t at = first; !err && at < first + n && at < pages; at++) {
		if (!pg_pfn_is_none(pg_object_page(o, at)))
			continue;
		if (fill_one(o, at, PG_IN_READAHEAD, &more))
			break; /* no frame, or unreadable: whoever wants it will be told */
		*brought += more;
	}
	pg_object_unref(o);
	return err;
}

/* What guests stored into the page is not all in the file. */
static bool is_dirty(struct pg_object *o, pg_pfn f)
{
	pg_pages_harvest(o->vm, f);
	return pg_frames_row(o->vm->frames, f)->flags & PG_FRAME_DIRTY;
}

void pg_object_lock(struct pg_object *o)
{
	if (o->pager && o->pager->lock)
		o->pager->lock(o->ctx);
}

void pg_object_unlock(struct pg_object *o)
{
	if (o->pager && o->pager->lock)
		o->pager->unlock(o->ctx);
}

int pg_object_write_page(struct pg_object *o, uint64_t index, pg_pfn f)
{
	struct pg_vm *vm = o->vm;
	struct pg_frame *row = pg_frames_row(vm->frames, f);
	int err = 0;

	if (!is_dirty(o, f) || !o->pager)
		return 0;
	row->pins++;
	pg_object_lock(o);
	if (row->owner && is_dirty(o, f)) { /* others may have written it, or cut it off */
		row->flags &= (uint16_t)~PG_FRAME_DIRTY; /* stores made from now on are new ones */
		err = o->pager->write(o->ctx, index, pg_frames_bytes(vm->frames, f));
	}
	pg_object_unlock(o);
	row->pins--;
	if (!row->owner) { /* truncated meanwhile */
		if (!row->pins)
			pg_frames_free(vm->frames, f);
		return 0;
	}
	if (err) {
		row->flags |= PG_FRAME_DIRTY;
		pg_errseq_set(&o->write_error, err);
	}
	pg_cache_sort(vm, f);
	return err;
}

int pg_object_write_back(struct pg_object *o, uint64_t first, uint64_t last, bool unmapped_only)
{
	uint64_t at = first, index;
	int err = 0;
	void *v;

	if (!o->pager)
		return 0;
	while (at <= last && (v = pg_sparse_next(&o->pages, at, last, &index))) {
		pg_pfn f = {(uint32_t)((uintptr_t)v - 1)};
		int e = 0;

		if (!unmapped_only || !pg_frames_row(o->vm->frames, f)->map_count)
			e = pg_object_write_page(o, index, f);
		err = err ? err : e;
		if (index == UINT64_MAX)
			break;
		at = index + 1;
	}
	return err;
}

const void *pg_object_unwritten(struct pg_object *o, uint64_t index)
{
	pg_pfn f = pg_object_page(o, index);

	if (pg_pfn_is_none(f) || !o->pager)
		return NULL;
	return is_dirty(o, f) ? pg_frames_bytes(o->vm->frames, f) : NULL;
}

/* Whether what is stored behind its end is there when it grows: so with memory files. */
static bool keeps_tail(const struct pg_object *o)
{
	return o->shmem || !o->pager;
}

/* Bytes [from, to) of page index, if it is in memory, become zero. */
static void zero_part(struct pg_object *o, uint64_t index, uint64_t from, uint64_t to)
{
	pg_pfn f = pg_object_page(o, index);

	if (from >= to)
		return;
	if (pg_pfn_is_none(f)) {
		if (o->slots.root)
			o->vm->pageout.object_cut(
				o->vm->pageout.ctx, o, index, (unsigned)from, (unsigned)to);
		return;
	}
	memset((uint8_t *)pg_frames_bytes(o->vm->frames, f) + from, 0, to - from);
	if ((pg_frames_row(o->vm->frames, f)->flags & PG_FRAME_CODE) && o->vm->hooks.code_written)
		o->vm->hooks.code_written(o->vm->hooks.ctx, f);
}

int pg_object_sync(struct pg_object *o, uint64_t start, uint64_t end)
{
	uint64_t first = start >> PG_PAGE_SHIFT, last = (end - 1) >> PG_PAGE_SHIFT, bytes;

	if (start >= end)
		return 0;
	if (!keeps_tail(o)) {
		bytes = pg_object_bytes(o);
		if (bytes & PG_PAGE_MASK && bytes >> PG_PAGE_SHIFT >= first &&
			bytes >> PG_PAGE_SHIFT <= last)
			zero_part(o, bytes >> PG_PAGE_SHIFT, bytes & PG_PAGE_MASK, PG_PAGE_SIZE);
	}
	return pg_object_write_back(o, first, last, false);
}

int pg_object_before_host_read(struct pg_object *o, uint64_t start, uint64_t end)
{
	if (start >= end)
		return 0;
	return pg_object_write_back(o, start >> PG_PAGE_SHIFT, (end - 1) >> PG_PAGE_SHIFT, false);
}

void pg_object_before_host_write(struct pg_object *o, uint64_t size_bytes)
{
	if (o->pager)
		o->size_bytes = size_bytes;
}

/*
 * Brings one resident page up to date with the file, of which the host wrote [start, end). Bytes
 * that a guest stored outside that range and that are not yet in the file are kept.
 */
static int refresh_page(struct pg_object *o, uint64_t index, pg_pfn f, uint64_t start, uint64_t end)
{
	struct pg_vm *vm = o->vm;
	struct pg_frame *row = pg_frames_row(vm->frames, f);
	uint64_t base = index << PG_PAGE_SHIFT;
	uint64_t from = start > base ? start - base : 0;
	uint64_t to = end - base < PG_PAGE_SIZE ? end - base : PG_PAGE_SIZE;
	uint8_t *bytes = pg_frames_bytes(vm->frames, f);
	uint8_t now[PG_PAGE_SIZE];
	int err;

	row->pins++;
	err = o->pager->read(o->ctx, index, now);
	row->pins--;
	if (!row->owner) { /* truncated meanwhile */
		if (!row->pins)
			pg_frames_free(vm->frames, f);
	} else if (!err) {
		memcpy(bytes + from, now + from, to - from);
		if ((row->flags & PG_FRAME_CODE) && vm->hooks.code_written)
			vm->hooks.code_written(vm->hooks.ctx, f);
	}
	return err;
}

int pg_object_after_host_write(struct pg_object *o, uint64_t start, uint64_t end)
{
	uint64_t at, last, index;
	int err = 0;
	void *v;

	if (start >= end || !o->pager)
		return 0;
	o->changes++;
	if (o->size_bytes < start && !keeps_tail(o))
		start = o->size_bytes; /* a hole, or others wrote it: the host knows */
	if (o->size_bytes < end)
		o->size_bytes = end;
	at = start >> PG_PAGE_SHIFT;
	last = (end - 1) >> PG_PAGE_SHIFT;
	while (at <= last && (v = pg_sparse_next(&o->pages, at, last, &index))) {
		int e = refresh_page(o, index, (pg_pfn){(uint32_t)((uintptr_t)v - 1)}, start, end);

		err = err ? err : e;
		at = index + 1;
	}
	return err;
}

/* Takes the private copies of pages from `first` on out of r, which maps the object. */
static void truncate_anons(struct region *r, uint64_t first)
{
	uint64_t pages = (r->pub.end.v - r->pub.start.v) >> PG_PAGE_SHIFT;
	uint64_t last = r->index + pages - 1;
	uint64_t from = first > r->index ? first : r->index;
	uint64_t vpn = r->pub.start.v >> PG_PAGE_SHIFT;

	if (first > last)
		return;
	pg_pages_remove(r, vpn + (from - r->index), vpn + pages);
	/*
	 * When the host has no memory to unshare the layer, the copies stay. No entry names them,
	 * and fault.c looks at the size first; only if the file grows again could they be seen.
	 */
	if (!pg_guard_erase_ready(r, from, last))
		pg_guard_erase(r, from, last);
	else
		r->overhang = true;
}

void pg_object_set_shmem(struct pg_object *o)
{
	PG_ASSERT(!o->resident || o->shmem); /* RSS would be wrong otherwise */
	o->shmem = true;
}

bool pg_object_is_shmem(const struct pg_object *o)
{
	return o->shmem;
}

void pg_object_set_segment(struct pg_object *o)
{
	o->segment = true;
}

int pg_object_charge(struct pg_object *o)
{
	uint64_t bytes = pg_align_up(pg_object_bytes(o), PG_PAGE_SIZE);

	PG_ASSERT(!o->charged_pages);
	if (!pg_limit_commit_ok(o->vm, bytes))
		return -ENOMEM;
	o->charged_pages = bytes >> PG_PAGE_SHIFT;
	o->vm->committed_pages += o->charged_pages;
	return 0;
}

uint64_t pg_object_mappings(const struct pg_object *o)
{
	uint64_t n = 0;

	for (const struct region *r = o->regions; r; r = r->obj_next)
		n++;
	return n;
}

bool pg_object_mapped_writable(const struct pg_object *o)
{
	for (const struct region *r = o->regions; r; r = r->obj_next) {
		if (!pg_region_private(r) && (r->pub.max_prot & PG_WRITE))
			return true;
	}
	return false;
}

int pg_object_error_since(struct pg_object *o, uint32_t *seen)
{
	return pg_errseq_tell(&o->write_error, seen);
}

uint32_t pg_object_error_now(const struct pg_object *o)
{
	return pg_errseq_sample(o->write_error);
}

bool pg_object_failed(const struct pg_object *o)
{
	return o->write_error != 0;
}

/* Takes the pages of [first, last] out of every table and the cache. */
static void drop_pages(struct pg_object *o, uint64_t first, uint64_t last)
{
	uint64_t at = first, index;
	void *v;

	while (at <= last && (v = pg_sparse_next(&o->pages, at, last, &index))) {
		pg_pfn f = {(uint32_t)((uintptr_t)v - 1)};

		pg_pages_remove_frame(o->vm, f);
		pg_object_forget(o, index, f);
		at = index + 1;
	}
	drop_slots(o, first, last);
}

void pg_object_punched(struct pg_object *o, uint64_t start, uint64_t end)
{
	uint64_t first = pg_align_up(start, PG_PAGE_SIZE), last = pg_align_down(end, PG_PAGE_SIZE);

	if (start >= end)
		return;
	o->changes++;
	if (first > last) { /* inside one page */
		zero_part(o, start >> PG_PAGE_SHIFT, start & PG_PAGE_MASK, end & PG_PAGE_MASK);
		return;
	}
	if (start < first)
		zero_part(o, start >> PG_PAGE_SHIFT, start & PG_PAGE_MASK, PG_PAGE_SIZE);
	if (first < last)
		drop_pages(o, first >> PG_PAGE_SHIFT, (last >> PG_PAGE_SHIFT) - 1);
	zero_part(o, last >> PG_PAGE_SHIFT, 0, end & PG_PAGE_MASK);
}

void pg_object_truncated(struct pg_object *o, uint64_t new_size)
{
	uint64_t first = pg_align_up(new_size, PG_PAGE_SIZE) >> PG_PAGE_SHIFT;
	uint64_t valid = new_size < o->size_bytes ? new_size : o->size_bytes;
	bool grown = new_size > o->size_bytes;

	o->changes++;
	o->size_bytes = new_size;
	for (struct region *r = o->regions; r; r = r->obj_next)
		truncate_anons(r, first);
	drop_pages(o, first, UINT64_MAX);
	/* what follows the end in its page reads as zero */
	if ((valid & PG_PAGE_MASK) && !(grown && keeps_tail(o)))
		zero_part(o, valid >> PG_PAGE_SHIFT, valid & PG_PAGE_MASK, PG_PAGE_SIZE);
}
