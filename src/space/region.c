/* SPDX-License-Identifier: MIT */
/*
 * space/region.c: the regions of an address space: a balanced tree ordered by address, in which
 * each node knows the largest hole of its subtree; finding, placing, cutting and merging.
 *
 * Called by map.c, remap.c, grow.c, fork.c and fault.c. Calls base/tree.h, sparse.h.
 * Owns the regions' memory. Touches no page table: pages.c does.
 *
 * Invariants (pg_space_check):
 *   G1 regions are page-aligned, not empty, within [lo, hi), in order and do not overlap.
 *   G2 gap is what lies free between the region before (or lo) and start, less a stack's guard.
 *   G3 max_gap is the greatest gap in the subtree.
 *   G4 only private regions have anons but guards, with indices inside the region.
 *   G5 a region is on the list of its object, and only there.
 *
 * Merging follows Linux 6.16 (mm/vma.c) as far as /proc/self/maps shows it. One thing cannot be
 * followed: Linux does not merge mappings of one file made through two opens of it; here an object
 * is the file.
 */
#include "space/impl.h"

#include <errno.h>

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t max_gap_of(const struct pg_tree_node *n)
{
	return n ? PG_TREE_ENTRY(n, struct region, link)->max_gap : 0;
}

static uint64_t augmented(const struct pg_tree_node *n)
{
	return max_u64(PG_TREE_ENTRY(n, struct region, link)->gap,
		max_u64(max_gap_of(n->kid[0]), max_gap_of(n->kid[1])));
}

static void augment(struct pg_tree_node *n)
{
	pg_region_of(n)->max_gap = augmented(n);
}

bool pg_region_augment_ok(const struct pg_tree_node *n)
{
	return PG_TREE_ENTRY(n, struct region, link)->max_gap == augmented(n);
}

void pg_region_init(struct pg_space *s)
{
	pg_tree_init(&s->regions, augment);
}

struct region *pg_region_first(struct pg_space *s)
{
	return pg_region_of(pg_tree_first(&s->regions));
}

struct region *pg_region_next(const struct region *r)
{
	return pg_region_of(pg_tree_next(&r->link));
}

struct region *pg_region_prev(const struct region *r)
{
	return pg_region_of(pg_tree_prev(&r->link));
}

uint64_t pg_region_guarded_start(const struct pg_space *s, const struct region *r)
{
	if (!(r->pub.flags & PG_MAP_GROWSDOWN))
		return r->pub.start.v;
	return r->pub.start.v > s->c.stack_gap_bytes ? r->pub.start.v - s->c.stack_gap_bytes : 0;
}

/* The free bytes below r, see G2. */
static uint64_t gap_of(const struct pg_space *s, const struct region *r)
{
	const struct region *prev = pg_region_prev(r);
	uint64_t floor = prev ? prev->pub.end.v : s->c.lo.v;
	uint64_t top = pg_region_guarded_start(s, r);

	return top > floor ? top - floor : 0;
}

static void refresh_gap(struct pg_space *s, struct region *r)
{
	uint64_t gap;

	if (!r)
		return;
	gap = gap_of(s, r);
	if (gap != r->gap) {
		r->gap = gap;
		pg_tree_changed(&s->regions, &r->link);
	}
}

struct region *pg_region_above(struct pg_space *s, uint64_t a)
{
	struct pg_tree_node *n = s->regions.root;
	struct region *best = NULL;

	if (s->last && a >= s->last->pub.start.v && a < s->last->pub.end.v)
		return s->last;
	while (n) {
		struct region *r = pg_region_of(n);

		if (a < r->pub.end.v) {
			best = r;
			n = n->kid[0];
		} else {
			n = n->kid[1];
		}
	}
	if (best)
		s->last = best;
	return best;
}

struct region *pg_region_at(struct pg_space *s, uint64_t a)
{
	struct region *r = pg_region_above(s, a);

	return r && r->pub.start.v <= a ? r : NULL;
}

struct region *pg_region_alloc(struct pg_space *s)
{
	struct region *r = pg_mem_alloc(&s->vm->mem, sizeof *r);

	if (r) {
		r->space = s;
		r->pub.name = "";
	}
	return r;
}

void pg_region_link_object(struct region *r, struct pg_object *o)
{
	pg_object_ref(o);
	r->pub.object = o;
	r->obj_prev = NULL;
	r->obj_next = o->regions;
	if (o->regions)
		o->regions->obj_prev = r;
	o->regions = r;
}

static void leave_object_list(struct region *r)
{
	struct pg_object *o = r->pub.object;

	if (!o)
		return;
	if (r->obj_prev)
		r->obj_prev->obj_next = r->obj_next;
	else
		o->regions = r->obj_next;
	if (r->obj_next)
		r->obj_next->obj_prev = r->obj_prev;
	r->obj_prev = r->obj_next = NULL;
}

/* Adds n (1 or -1) times r to the sums. */
static void tally(struct region *r, uint64_t n)
{
	struct pg_space_stats *st = &r->space->st;
	uint64_t bytes = (r->pub.end.v - r->pub.start.v) * n;
	bool stack = r->pub.flags & PG_MAP_GROWSDOWN;

	st->vsz_bytes += bytes;
	if (pg_limit_is_data(r->pub.prot, r->pub.flags))
		st->data_bytes += bytes;
	if (stack)
		st->stack_bytes += bytes;
	if (!stack && (r->pub.prot & (PG_EXEC | PG_WRITE)) == PG_EXEC)
		st->exec_bytes += bytes;
	if (r->pub.flags & PG_MAP_LOCKED) {
		st->locked_bytes += bytes;
		r->space->vm->locked_bytes += bytes;
	}
	if (r->pub.charged) {
		st->charged_bytes += bytes;
		r->space->vm->committed_pages += (r->pub.end.v - r->pub.start.v) / PG_PAGE_SIZE * n;
	}
}

void pg_region_tally_out(struct region *r)
{
	tally(r, UINT64_MAX);
}

void pg_region_tally_in(struct region *r)
{
	tally(r, 1);
}

void pg_region_insert(struct pg_space *s, struct region *r)
{
	struct pg_tree_node **at = &s->regions.root, *parent = NULL;

	while (*at) {
		parent = *at;
		at = &parent->kid[r->pub.start.v > pg_region_of(parent)->pub.start.v];
	}
	r->gap = 0;
	pg_tree_insert(&s->regions, &r->link, parent, at);
	refresh_gap(s, r);
	refresh_gap(s, pg_region_next(r));
	s->st.regions++;
	if (s->st.regions > s->st.regions_peak)
		s->st.regions_peak = s->st.regions;
	pg_region_tally_in(r);
}

void pg_region_unlink(struct pg_space *s, struct region *r)
{
	struct region *next = pg_region_next(r);

	pg_tree_erase(&s->regions, &r->link);
	if (s->last == r)
		s->last = NULL;
	refresh_gap(s, next);
	leave_object_list(r);
	s->st.regions--;
	pg_region_tally_out(r);
}

void pg_region_copy_open(const struct region *from, struct region *to)
{
	to->error_seen = from->error_seen;
	to->open = from->open;
	if (to->open)
		to->open->maps++;
}

/* Lets go of the open file behind it. */
static void close_file(struct region *r)
{
	struct pg_open_file *f = r->open;

	r->open = NULL;
	if (f && --f->maps == 0 && f->idle)
		f->idle(f);
}

void pg_region_free(struct pg_vm *vm, struct region *r)
{
	pg_sparse_drop(&vm->anon_kind, &r->anons);
	if (r->pub.object)
		pg_object_unref(r->pub.object);
	close_file(r);
	pg_name_put(vm, r->name);
	pg_mem_free(&vm->mem, r);
}

void pg_region_resize(struct pg_space *s, struct region *r, uint64_t start, uint64_t end)
{
	pg_region_tally_out(r);
	r->index += (start >> PG_PAGE_SHIFT) - (r->pub.start.v >> PG_PAGE_SHIFT);
	r->pub.start.v = start;
	r->pub.end.v = end;
	if (r->pub.object)
		r->pub.offset = r->index << PG_PAGE_SHIFT;
	pg_region_tally_in(r);
	refresh_gap(s, r);
	refresh_gap(s, pg_region_next(r));
}

/* Shares out the count of resident pages of a region of `pages` pages cut at page `at` of it. */
static void split_resident(struct region *r, struct region *up)
{
	uint64_t low = r->pub.end.v - r->pub.start.v;
	uint64_t high = up->pub.end.v - up->pub.start.v;
	struct region *small = low < high ? r : up;
	uint64_t all = r->pub.resident_pages;
	uint64_t part = PG_RESIDENT_UNKNOWN;

	if (all == 0 || !r->touched)
		part = 0;
	else if (all != PG_RESIDENT_UNKNOWN && (low < high ? low : high) <= 64 * PG_PAGE_SIZE)
		part = pg_pages_count(r->space, small->pub.start.v >> PG_PAGE_SHIFT,
			small->pub.end.v >> PG_PAGE_SHIFT);
	if (part == PG_RESIDENT_UNKNOWN)
		all = PG_RESIDENT_UNKNOWN;
	r->pub.resident_pages = small == r ? part : all - part;
	up->pub.resident_pages = small == up ? part : all - part;
	if (all == PG_RESIDENT_UNKNOWN)
		r->pub.resident_pages = up->pub.resident_pages = all;
}

int pg_region_split(struct pg_space *s, struct region *r, uint64_t at, struct region **upper)
{
	struct region *up = pg_region_alloc(s);
	uint64_t index = pg_region_index(r, at >> PG_PAGE_SHIFT);

	if (!up)
		return -ENOMEM;
	if (pg_sparse_split(&s->vm->anon_kind, &r->anons, index, &up->anons)) {
		pg_mem_free(&s->vm->mem, up);
		return -ENOMEM;
	}
	up->pub.start.v = at;
	up->pub.end = r->pub.end;
	up->pub.prot = r->pub.prot;
	up->pub.max_prot = r->pub.max_prot;
	up->pub.flags = r->pub.flags;
	up->pub.kind = r->pub.kind;
	up->pub.name = r->pub.name;
	up->index = index;
	up->name = r->name;
	if (up->name)
		up->name->refs++;
	up->anon_id = r->anon_id;
	up->anon_forked = r->anon_forked;
	up->pub.charged = r->pub.charged;
	up->forked = r->forked;
	pg_region_copy_open(r, up);
	up->touched = r->touched;
	up->overhang = r->overhang;
	up->guarded = r->guarded;
	if (r->pub.object) {
		pg_region_link_object(up, r->pub.object);
		up->pub.offset = index << PG_PAGE_SHIFT;
	}
	pg_region_resize(s, r, r->pub.start.v, at);
	split_resident(r, up);
	pg_region_insert(s, up);
	*upper = up;
	return 0;
}

/* r takes over what is in next, which follows it; the anon layers are joined already. */
static void absorb(struct pg_space *s, struct region *r, struct region *next)
{
	uint64_t end = next->pub.end.v;

	if (r->pub.resident_pages == PG_RESIDENT_UNKNOWN ||
		next->pub.resident_pages == PG_RESIDENT_UNKNOWN)
		r->pub.resident_pages = PG_RESIDENT_UNKNOWN;
	else
		r->pub.resident_pages += next->pub.resident_pages;
	r->touched = r->touched || next->touched;
	r->overhang = r->overhang || next->overhang;
	r->guarded = r->guarded || next->guarded;
	r->forked = r->forked || next->forked;
	if (!r->anon_id) {
		r->anon_id = next->anon_id;
		r->anon_forked = next->anon_forked;
	}
	pg_region_unlink(s, next);
	pg_region_free(s->vm, next);
	pg_region_resize(s, r, r->pub.start.v, end);
}

void pg_region_unsplit(struct pg_space *s, struct region *r, struct region *upper)
{
	int err = pg_sparse_join(&s->vm->anon_kind, &r->anons, &upper->anons);

	PG_ASSERT(!err); /* as sparse.h promises right after a split */
	absorb(s, r, upper);
}

/* What two neighbours a and b must share, anon_vma aside; ignore: rights and charge may differ. */
static bool alike(const struct region *a, const struct region *b, bool ignore)
{
	return a->pub.end.v == b->pub.start.v && a->pub.object == b->pub.object &&
	       a->pub.kind == b->pub.kind && a->name == b->name && a->pub.flags == b->pub.flags &&
	       a->pub.max_prot == b->pub.max_prot && a->pub.charged == b->pub.charged &&
	       (ignore || a->pub.prot == b->pub.prot) &&
	       pg_region_index(a, b->pub.start.v >> PG_PAGE_SHIFT) == b->index;
}

/* Linux's is_mergeable_anon_vma(). */
static bool anon_alike(const struct region *a, const struct region *b)
{
	if (a->anon_id && b->anon_id)
		return a->anon_id == b->anon_id;
	return !(a->anon_id && a->anon_forked) && !(b->anon_id && b->anon_forked);
}

/* Merges b into a if Linux would and the memory for it is there. */
static bool merge_pair(struct pg_space *s, struct region *a, struct region *b)
{
	if (!a || !b || !alike(a, b, false) || !anon_alike(a, b))
		return false;
	if (pg_sparse_join(&s->vm->anon_kind, &a->anons, &b->anons))
		return false;
	absorb(s, a, b);
	return true;
}

struct region *pg_region_merge(struct pg_space *s, struct region *r)
{
	struct region *prev = pg_region_prev(r);

	if (merge_pair(s, prev, r))
		r = prev;
	merge_pair(s, r, pg_region_next(r));
	return r;
}

/* The number of n if a and b, neighbours one of which is n, could share it: reusable_anon_vma(). */
static uint64_t reusable(const struct region *a, const struct region *b, const struct region *n)
{
	if (!a || !b || !n->anon_id || n->anon_forked || !alike(a, b, true))
		return 0;
	return n->anon_id;
}

void pg_region_want_anon_id(struct pg_space *s, struct region *r)
{
	struct region *next, *prev;

	if (r->anon_id)
		return;
	next = pg_region_next(r);
	prev = pg_region_prev(r);
	r->anon_id = next ? reusable(r, next, next) : 0;
	if (!r->anon_id && prev)
		r->anon_id = reusable(prev, r, prev);
	if (!r->anon_id)
		r->anon_id = ++s->vm->last_anon_id;
}

/* The highest node at or below n whose gap, cut off at top, holds len bytes; its hole's end. */
static bool highest(const struct pg_space *s, const struct pg_tree_node *n, uint64_t len,
	uint64_t top, uint64_t *hole_end)
{
	const struct region *r;
	uint64_t start, end;

	if (!n || max_gap_of(n) < len)
		return false;
	r = PG_TREE_ENTRY(n, struct region, link);
	if (r->pub.end.v < top && highest(s, n->kid[1], len, top, hole_end))
		return true;
	end = pg_region_guarded_start(s, r);
	start = end - r->gap;
	if (end > top)
		end = top;
	if (r->gap && start < end && end - start >= len) {
		*hole_end = end;
		return true;
	}
	return highest(s, n->kid[0], len, top, hole_end);
}

/* The start of the lowest hole of len bytes below a region. */
static bool lowest(
	const struct pg_space *s, const struct pg_tree_node *n, uint64_t len, uint64_t *hole_start)
{
	for (;;) {
		const struct region *r;

		if (!n || max_gap_of(n) < len)
			return false;
		if (max_gap_of(n->kid[0]) >= len) {
			n = n->kid[0];
			continue;
		}
		r = PG_TREE_ENTRY(n, struct region, link);
		if (r->gap >= len) {
			*hole_start = pg_region_guarded_start(s, r) - r->gap;
			return true;
		}
		n = n->kid[1];
	}
}

bool pg_region_place(struct pg_space *s, uint64_t len, uint64_t *out)
{
	struct region *last = pg_region_of(pg_tree_last(&s->regions));
	uint64_t above = last ? last->pub.end.v : s->c.lo.v;
	uint64_t end;

	if (above < s->c.mmap_top.v && s->c.mmap_top.v - above >= len) {
		*out = s->c.mmap_top.v - len;
		return true;
	}
	if (highest(s, s->regions.root, len, s->c.mmap_top.v, &end)) {
		*out = end - len;
		return true;
	}
	if (lowest(s, s->regions.root, len, out))
		return true;
	if (above < s->c.hi.v && s->c.hi.v - above >= len) {
		*out = above;
		return true;
	}
	return false;
}
