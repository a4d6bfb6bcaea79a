/* SPDX-License-Identifier: MIT */
/* clang-format off: the drawing */
/*
 * space/fault.c: the page fault.
 *
 * Called by cpu/ when the MMU has no entry or not the right one, and by access.c for system calls.
 * Calls region.c, sparse.h (anon layer), object.c (page cache), pages.c (tables). Owns nothing.
 *
 * What can be at hand, by layer (the drawing is that of NetBSD's uvm_fault.c, the cases are ours).
 * Before all: [0] the table has an entry that allows the access; whoever faulted had an older one,
 * or did not see it: an inverted table shows the hardware one mapping of a frame.
 *
 *   CASE 1: private, with an anon        CASE 2: an object              CASE 3: neither
 *
 *                  +-------+  +------+
 *   anon layer     | frame |  | slot |     . . . . . . . .              read        written
 *                  +-+---+-+  +---+--+     .      ^      .               |             |
 *                    |   |        |        . . . .|. . . .            the zero     a new anon,
 *                    |   | written|               | private,          page         zeroed
 *                    |   | and    | read in       | written:             |             |
 *                    |   | shared:|               | copied               |             |
 *                    |   | copied |               |                      |             |
 *                   [1A][1B]     [1C]      +------+------+              [3A]          [3B]
 *   object layer                           | page cache  | <- pager
 *                                          +--+-------+--+
 *                                             |       |
 *                                            [2A]    [2B]
 *
 * The seven steps of the document are the seven functions below, in their order. A page that the
 * pager must read sends the fault back to the first step, because the pager may have released the
 * machine lock: what was looked up then is void. A fault brings in the one page that it is about;
 * there is no fault-around (Linux maps up to 16 pages of a file at once).
 *
 * Shared anonymous memory is an object without a pager: its first touch is case 2A, kind zero fill.
 *
 * 1C reads the anon to a frame and goes back to the first step too; the fault ends as 1A or 1B but is called 1C. Where
 * frames come from when there are none, and what is read beside the page, is for reclaim/ to say (space/pageout.h).
 */
/* clang-format on */
#include "space/impl.h"

#include <errno.h>
#include <string.h>

/* Goes back to step 1; not an end that anyone else sees. */
#define AGAIN ((enum pg_fault_end)100)

/* What one fault needs may not fit even when all else is evicted: it would evict its own pages for ever. */
#define MAX_RESCUES 16

struct fault {
	/* The reference; set by the caller, read-only. */
	struct pg_space *s;
	pg_va va;
	pg_vpn vpn;
	enum pg_access access;
	bool forced; /* a debugger's: see pg_space_read_forced() */
	/* Step 1. */
	struct region *r;
	/* Step 2. */
	pg_pte old; /* the entry that is there, or 0 */
	/* Step 3. */
	struct pg_anon *anon;
	bool ours;      /* the anon is held by this region only */
	uint64_t index; /* in the anon layer and in the object */
	pg_pfn source;  /* the page to map or to copy; PG_PFN_NONE: to be made */
	bool want_fill; /* the object's page must be brought in first */
	bool want_anon; /* a new anon with a frame is wanted: 1B, 2B, 3B */
	bool want_swap; /* the anon must be read from its slot first: 1C */
	bool swapped;   /* it was, in an earlier round */
	bool want_room; /* the pager is to see that the page can be written back: 2A */
	bool has_room;  /* it was asked, in an earlier round or this one */
	/* Step 4. */
	struct pg_sparse_place place;
	struct pg_anon *fresh;
	/* For the event; fcase by step 3, kind by step 5, the rest where it happens. */
	struct pg_fault_event e;
};

/* The rights that an access needs. Any right lets x86 read. */
static bool allowed(pg_prot prot, enum pg_access access)
{
	switch (access) {
	case PG_WRITE:
		return prot & PG_WRITE;
	case PG_EXEC:
		return prot & PG_EXEC;
	case PG_READ:
		break;
	}
	return prot != 0;
}

/* Step 1, reference: the region of the address; a stack grows to reach it. */
static enum pg_fault_end step_reference(struct fault *f)
{
	struct region *r = pg_region_above(f->s, f->va.v);
	bool overflow = false;

	f->r = NULL;
	if (!r)
		return PG_FAULT_MAPERR;
	if (f->va.v < r->pub.start.v) {
		if (!(r->pub.flags & PG_MAP_GROWSDOWN))
			return PG_FAULT_MAPERR;
		if (!pg_grow_stack(f->s, r, f->va.v, &overflow))
			return overflow ? PG_FAULT_STACK : PG_FAULT_MAPERR;
		f->e.stack_grew = true;
	}
	f->r = r;
	return PG_FAULT_RESUME;
}

/* Step 2, trap: a reference that the region does not allow ends here. */
static enum pg_fault_end step_trap(struct fault *f)
{
	unsigned refs;

	if (!allowed(f->r->pub.prot, f->access) &&
		!(f->forced && (f->access == PG_READ || pg_region_private(f->r))))
		return PG_FAULT_ACCERR;
	f->s->form->walk(f->s->table, f->vpn, &refs);
	f->e.walk_refs = refs;
	f->old = pg_table_find(f->s->table, f->vpn);
	return PG_FAULT_RESUME;
}

/* True if page index is wholly beyond the end of the object. */
static bool beyond_end(const struct pg_object *o, uint64_t index)
{
	uint64_t bytes = pg_object_bytes(o);

	return index >= bytes / PG_PAGE_SIZE + (bytes % PG_PAGE_SIZE != 0);
}

/* The object layer: is the page there, and is it to be copied? */
static enum pg_fault_end find_in_object(struct fault *f, struct pg_object *o)
{
	if (beyond_end(o, f->index)) {
		/* Linux prepares the copy before it looks: neighbours' merging can tell */
		if (pg_region_private(f->r) && f->access == PG_WRITE)
			pg_region_want_anon_id(f->s, f->r);
		return PG_FAULT_BUS;
	}
	f->source = pg_object_page(o, f->index);
	f->want_fill = pg_pfn_is_none(f->source);
	f->want_anon = pg_region_private(f->r) && f->access == PG_WRITE;
	f->want_room = !f->has_room && !pg_region_private(f->r) && o->pager && o->pager->reserve &&
		       (f->access == PG_WRITE || o->shmem);
	f->e.fcase = f->want_anon ? PG_CASE_2B : PG_CASE_2A;
	f->e.after_fork = f->want_anon && f->r->forked;
	return PG_FAULT_RESUME;
}

/* Step 3, find the page: which case is it? */
static enum pg_fault_end step_find(struct fault *f)
{
	bool alone = false;

	f->anon = NULL;
	f->ours = f->want_fill = f->want_anon = f->want_swap = false;
	f->want_room = f->e.after_fork = false;
	f->source = PG_PFN_NONE;
	f->index = pg_region_index(f->r, f->vpn.v);
	if (f->r->pub.object)
		f->e.index = f->index;
	if (pg_pte_serves(f->old, f->access)) {
		f->e.fcase = PG_CASE_0;
		return PG_FAULT_RESUME;
	}
	if (pg_guard_at(f->r, f->index))
		return PG_FAULT_MAPERR;
	if (pg_region_private(f->r))
		f->anon = pg_sparse_get(&f->r->anons, f->index, &alone);
	if (f->anon && pg_anon_is_empty(f->anon))
		f->anon = NULL; /* dropped after MADV_FREE: as if it had never been */
	if (f->anon && f->r->overhang && beyond_end(f->r->pub.object, f->index))
		return PG_FAULT_BUS;
	if (f->anon) {
		if (pg_pfn_is_none(f->anon->pfn)) {
			f->want_swap = true;
			f->e.fcase = PG_CASE_1C;
			return PG_FAULT_RESUME;
		}
		f->source = f->anon->pfn;
		f->ours = alone && f->anon->refs == 1;
		f->want_anon = f->access == PG_WRITE && !f->ours;
		f->e.fcase = f->want_anon ? PG_CASE_1B : PG_CASE_1A;
		/* Only a fork takes the write right from an entry of a region that has it. */
		f->e.after_fork = f->want_anon || (f->access == PG_WRITE && f->old);
		return PG_FAULT_RESUME;
	}
	if (f->r->pub.object)
		return find_in_object(f, f->r->pub.object);
	f->want_anon = f->access == PG_WRITE;
	f->e.fcase = f->want_anon ? PG_CASE_3B : PG_CASE_3A;
	if (!f->want_anon)
		f->source = f->s->vm->zero;
	return PG_FAULT_RESUME;
}

/*
 * Step 4, a free frame: for a new anon, with its place in the anon layer. What an object's page
 * needs is taken in step 5 by the object.
 */
static enum pg_fault_end step_frame(struct fault *f)
{
	struct pg_vm *vm = f->s->vm;
	struct pg_frame *row =
		pg_pfn_is_none(f->source) ? NULL : pg_frames_row(vm->frames, f->source);
	int err;

	f->fresh = NULL;
	if (f->want_fill || !f->want_anon)
		return PG_FAULT_RESUME;
	if (pg_sparse_reserve(&vm->anon_kind, &f->r->anons, f->index, &f->place))
		return PG_FAULT_OOM;
	f->fresh = pg_anon_new(vm);
	if (!f->fresh)
		return PG_FAULT_OOM;
	if (row)
		row->pins++; /* what is to be copied must not be dropped to make room */
	err = pg_cache_frame(vm, PG_FRAME_ANON, f->fresh, &f->fresh->pfn);
	if (row)
		row->pins--;
	if (err) {
		f->fresh->pfn = PG_PFN_NONE;
		pg_anon_unref(vm, f->fresh);
		return PG_FAULT_OOM;
	}
	f->e.frame_new = true;
	return PG_FAULT_RESUME;
}

/* The object's page is brought in, by its pager or by zeroing. */
static enum pg_fault_end fill_object(struct fault *f)
{
	uint32_t brought;
	int err = pg_object_fill(f->r->pub.object, f->index, &brought);

	if (err)
		return err == -ENOMEM ? PG_FAULT_OOM : PG_FAULT_BUS;
	f->e.frame_new = true;
	f->e.pages_in += brought;
	return AGAIN;
}

/* The anon is read from its slot. Wrong or unreadable bytes are a SIGBUS for whoever wants them. */
static enum pg_fault_end swap_in(struct fault *f)
{
	const struct pg_pageout *p = &f->s->vm->pageout;
	uint32_t brought = 0;
	int err = p->anon_in(p->ctx, f->r, f->index, f->anon, f->access, &brought);

	if (err)
		return err == -ENOMEM ? PG_FAULT_OOM : PG_FAULT_BUS;
	f->swapped = true;
	f->e.frame_new = true;
	f->e.pages_in += brought;
	return AGAIN;
}

/* The pager sees that what will be stored can be written. If it released the lock all is looked up again. */
static enum pg_fault_end make_room(struct fault *f)
{
	struct pg_object *o = f->r->pub.object;
	int err;

	pg_object_ref(o);
	err = o->pager->reserve(o->ctx, f->index);
	pg_object_unref(o);
	f->has_room = true;
	if (err < 0)
		return err == -ENOMEM ? PG_FAULT_OOM : PG_FAULT_BUS;
	return err ? PG_FAULT_RESUME : AGAIN;
}

/* Step 5, fill it: zeroed, copied, or read by the pager. */
static enum pg_fault_end step_fill(struct fault *f)
{
	struct pg_frames *fs = f->s->vm->frames;

	if (f->want_fill)
		return fill_object(f);
	if (f->want_swap)
		return swap_in(f);
	if (f->want_room)
		return make_room(f);
	if (!f->want_anon)
		return PG_FAULT_RESUME;
	if (f->e.fcase == PG_CASE_3B) {
		memset(pg_frames_bytes(fs, f->fresh->pfn), 0, PG_PAGE_SIZE);
		return PG_FAULT_RESUME;
	}
	memcpy(pg_frames_bytes(fs, f->fresh->pfn), pg_frames_bytes(fs, f->source), PG_PAGE_SIZE);
	f->e.copied_from = f->source;
	return PG_FAULT_RESUME;
}

/* Step 6, tables: the entry, and for a new anon its place in the anon layer. */
static enum pg_fault_end step_tables(struct fault *f)
{
	struct pg_space *s = f->s;
	const struct pg_pageout *p = &s->vm->pageout;
	struct pg_table_stats before = {0}, after = {0};
	pg_pfn to = f->fresh ? f->fresh->pfn : f->source;
	bool write = f->fresh || f->ours ||
		     (!pg_region_private(f->r) && (f->access == PG_WRITE || !pg_region_asks(f->r)));

	f->e.frame = to;
	if (f->e.fcase == PG_CASE_0) {
		f->e.frame = pg_pte_pfn(f->old);
		if (s->form->restore)
			s->form->restore(s->table, f->vpn);
		pg_pages_invalidate(s, f->vpn.v, f->vpn.v + 1);
		return PG_FAULT_RESUME;
	}
	if (s->vm->hooks.fault)
		s->form->stats(s->table, &before);
	if (pg_pages_enter(f->r, f->vpn, to, pg_pages_bits(f->r, write))) {
		f->e.frame = PG_PFN_NONE;
		if (f->fresh)
			pg_anon_unref(s->vm, f->fresh);
		return PG_FAULT_OOM;
	}
	if (p->ctx && !f->swapped && !f->e.pages_in && !pg_pfn_is_none(f->source) &&
		f->source.v != s->vm->zero.v)
		p->page_used(p->ctx, f->source);
	if (f->fresh) {
		pg_region_want_anon_id(s, f->r);
		pg_sparse_put(&s->vm->anon_kind, &f->place, f->fresh);
	}
	if (s->vm->hooks.fault) {
		s->form->stats(s->table, &after);
		if (after.node_frames > before.node_frames)
			f->e.nodes_made += (uint32_t)(after.node_frames - before.node_frames);
	}
	return PG_FAULT_RESUME;
}

/* What the fault cost, see fault.h. */
static enum pg_fault_kind kind_of(const struct fault *f)
{
	switch (f->e.fcase) {
	case PG_CASE_1B:
		return PG_FAULT_COPY;
	case PG_CASE_1C:
		return PG_FAULT_SWAP_IN;
	case PG_CASE_2A:
	case PG_CASE_2B:
		if (f->e.pages_in)
			return f->r->pub.object->pager ? PG_FAULT_FILE_DISK : PG_FAULT_SWAP_IN;
		if (f->e.fcase == PG_CASE_2B)
			return PG_FAULT_COPY;
		return f->e.frame_new ? PG_FAULT_ZERO_FILL : PG_FAULT_FILE_CACHE;
	case PG_CASE_3A:
		return PG_FAULT_ZERO_READ;
	case PG_CASE_3B:
		return PG_FAULT_ZERO_FILL;
	default:
		return PG_FAULT_SOFT;
	}
}

/* Step 7, resume: counts it and tells; the caller repeats the access. */
static enum pg_fault_end step_resume(struct fault *f, enum pg_fault_end end)
{
	struct pg_space_stats *st = &f->s->st;

	if (f->swapped)
		f->e.fcase = PG_CASE_1C;
	f->e.end = end;
	f->e.region = f->r ? &f->r->pub : NULL;
	st->pages_in += f->e.pages_in;
	if (end == PG_FAULT_RESUME) {
		f->e.kind = kind_of(f);
		st->faults[f->e.kind]++;
		st->copies += !pg_pfn_is_none(f->e.copied_from);
		st->faults_by_kernel += f->e.by_kernel;
		if (f->e.kind == PG_FAULT_FILE_DISK || f->e.kind == PG_FAULT_SWAP_IN)
			st->major++;
		else
			st->minor++;
	} else {
		st->faults_refused++;
	}
	if (f->s->vm->hooks.fault) {
		if (f->r)
			pg_pages_resident(f->r);
		f->s->vm->hooks.fault(f->s->vm->hooks.ctx, &f->e);
	}
	return end;
}

/* Steps 1 to 6, once. */
static enum pg_fault_end attempt(struct fault *f)
{
	enum pg_fault_end end;

	if ((end = step_reference(f)) != PG_FAULT_RESUME ||
		(end = step_trap(f)) != PG_FAULT_RESUME ||
		(end = step_find(f)) != PG_FAULT_RESUME ||
		(end = step_frame(f)) != PG_FAULT_RESUME || (end = step_fill(f)) != PG_FAULT_RESUME)
		return end;
	return step_tables(f);
}

/*
 * forced NULL: an ordinary access; else the frame goes there, whatever the entry allows. shown: the access that traces are told of,
 * which `access` is part of.
 */
static enum pg_fault_end run(struct pg_space *s, pg_va va, enum pg_access access,
	enum pg_access shown, uint64_t pc, bool by_kernel, pg_pfn *forced)
{
	struct fault f = {
		.s = s, .va = va, .vpn = pg_vpn_of(va), .access = access, .forced = forced != NULL};
	const struct pg_pageout *p = &s->vm->pageout;
	unsigned rescues = 0;
	enum pg_fault_end end;

	if (s->block)
		return pg_block_fault(s, va, access, pc, by_kernel);
	f.e = (struct pg_fault_event){.space = s,
		.va = va,
		.access = shown,
		.pc = pc,
		.by_kernel = by_kernel,
		.frame = PG_PFN_NONE,
		.copied_from = PG_PFN_NONE};
	if (p->ctx)
		p->before_fault(p->ctx, &f.e);
	do {
		end = attempt(&f);
	} while (end == AGAIN || (end == PG_FAULT_OOM && rescues++ < MAX_RESCUES && p->ctx &&
					 p->rescue(p->ctx, &f.e)));
	if (p->ctx)
		p->after_fault(p->ctx, &f.e);
	if (forced != NULL)
		*forced = f.e.frame;
	return step_resume(&f, end);
}

/*
 * Whether va may be read but not executed, and has no entry: to the processor a page that is absent has no rights to offend, so Linux
 * brings it in as for a read, and refuses the fetch that is made again. (access_error() of arch/x86/mm/fault.c.)
 */
static bool fetch_of_absent(struct pg_space *s, pg_va va)
{
	const struct region *r = pg_region_above(s, va.v);

	return r && (va.v >= r->pub.start.v || (r->pub.flags & PG_MAP_GROWSDOWN)) &&
	       allowed(r->pub.prot, PG_READ) && !allowed(r->pub.prot, PG_EXEC) &&
	       !pg_table_find(s->table, pg_vpn_of(va));
}

enum pg_fault_end pg_space_fault(
	struct pg_space *s, pg_va va, enum pg_access access, uint64_t pc, bool by_kernel)
{
	enum pg_fault_end end;

	if (access == PG_EXEC && !s->block && fetch_of_absent(s, va)) {
		end = run(s, va, PG_READ, PG_EXEC, pc, by_kernel, NULL);
		if (end != PG_FAULT_RESUME)
			return end;
	}
	return run(s, va, access, access, pc, by_kernel, NULL);
}

enum pg_fault_end pg_fault_forced(
	struct pg_space *s, pg_va va, enum pg_access access, uint64_t pc, pg_pfn *frame)
{
	return run(s, va, access, access, pc, true, frame);
}

const char *pg_fault_case_name(enum pg_fault_case c)
{
	static const char *const names[PG_CASES] = {
		"none", "0", "1A", "1B", "1C", "2A", "2B", "3A", "3B"};

	return (unsigned)c < PG_CASES ? names[c] : "?";
}

const char *pg_fault_kind_name(enum pg_fault_kind k)
{
	static const char *const names[PG_FAULT_KINDS] = {"soft", "zero-page read", "zero fill",
		"file from cache", "file from disk", "copy-on-write", "swap in"};

	return (unsigned)k < PG_FAULT_KINDS ? names[k] : "?";
}
