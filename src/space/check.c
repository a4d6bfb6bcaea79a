/* SPDX-License-Identifier: MIT */
/*
 * space/check.c: pg_space_check(): all numbered invariants of space/, by walking everything.
 *
 * Called by tests and debug builds. Changes nothing. Its own records come from the host's
 * allocator, not from mem.h, so that a test that makes allocations fail can still check.
 *
 * First the one space: G1 to G5 (region.c), S1, S2 (sparse.h), P1, P2, P4 (pages.c). Then the
 * machine, because frames, anons and objects are shared by all its spaces: S3, A1 to A3 (anon.c),
 * P3, O1 to O3 (object.c), and these:
 *
 *   M1 every frame in state ANON or CACHE is found from its owner; one without owner is pinned.
 *   M2 each CACHE frame with an owner is on exactly one list of the page cache, the right one.
 *   M3 locked and committed bytes of the machine are the sums of its spaces (and charged objects).
 */
#include "space/impl.h"

#include <stdlib.h>
#include <string.h>

/* How often a node or an anon was reached, by its address; an open hash table. */
struct seen {
	const void *what;
	uint32_t times;
};

struct census {
	struct pg_vm *vm;
	struct seen *table; /* owned; size is a power of two */
	size_t size, used;
	uint32_t *maps; /* owned; entries that name each frame */
	bool no_memory;
};

static struct seen *seen_at(struct census *c, const void *what)
{
	size_t i = ((uintptr_t)what >> 4) * 0x9e3779b97f4a7c15u;

	for (i >>= 8;; i++) {
		struct seen *e = &c->table[i & (c->size - 1)];

		if (!e->what || e->what == what)
			return e;
	}
}

/* One more time; true: it was the first. */
static bool see(struct census *c, const void *what)
{
	struct seen *e;

	if (c->used * 2 >= c->size) {
		struct census bigger = *c;

		bigger.size = c->size * 2;
		bigger.table = calloc(bigger.size, sizeof *bigger.table);
		if (!bigger.table) {
			c->no_memory = true;
			return false;
		}
		for (size_t i = 0; i < c->size; i++) {
			if (c->table[i].what)
				*seen_at(&bigger, c->table[i].what) = c->table[i];
		}
		free(c->table);
		*c = bigger;
	}
	e = seen_at(c, what);
	c->used += !e->what;
	e->what = what;
	return ++e->times == 1;
}

static void count_nodes(struct census *c, const struct pg_sparse_node *n)
{
	if (!see(c, n))
		return;
	for (unsigned i = 0; i < PG_SPARSE_FAN; i++) {
		if (n->slot[i] && n->level)
			count_nodes(c, n->slot[i]);
		else if (n->slot[i])
			see(c, n->slot[i]);
	}
}

/* ---- one space */

struct region_walk {
	struct pg_space *s;
	struct region *r;
};

static const char *check_anon(void *ctx, uint64_t index, void *value, bool shared)
{
	const struct region_walk *w = ctx;
	const struct pg_anon *a = value;
	const struct pg_frame *row;
	uint64_t pages = (w->r->pub.end.v - w->r->pub.start.v) >> PG_PAGE_SHIFT;

	if (index < w->r->index || index - w->r->index >= pages)
		return "G4: an anon outside its region";
	if (a == &w->s->vm->guard)
		return w->r->guarded ? NULL : "U1: a guard in a region without";
	if (!pg_region_private(w->r))
		return "U3: a shared region with anons";
	if (pg_pfn_is_none(a->pfn))
		return NULL; /* in a slot, or empty */
	row = pg_frames_row(w->s->vm->frames, a->pfn);
	if (row->state != PG_FRAME_ANON || row->owner != a)
		return "A2: an anon's frame does not name it";
	return NULL;
}

/* The frame that vpn of r should map, or PG_PFN_NONE; *ours: stores need no copy. */
static pg_pfn expected(const struct region *r, uint64_t vpn, bool *ours)
{
	uint64_t index = pg_region_index(r, vpn);
	bool alone = false;
	struct pg_anon *a = NULL;

	if (pg_region_private(r))
		a = pg_sparse_get(&r->anons, index, &alone);
	if (a && pg_anon_is_empty(a))
		a = NULL;
	*ours = a ? alone && a->refs == 1 : !pg_region_private(r);
	if (a)
		return a->pfn;
	return r->pub.object ? pg_object_page(r->pub.object, index) : r->space->vm->zero;
}

static const char *check_entry(const struct region *r, uint64_t vpn, pg_pte e)
{
	bool ours;

	if (pg_guard_at(r, pg_region_index(r, vpn)))
		return "U2: an entry for a guarded page";
	if (pg_pte_pfn(e).v != expected(r, vpn, &ours).v)
		return "P2: an entry names another frame than the page's";
	if ((e & PG_PTE_US) && !r->pub.prot)
		return "P1: an entry allows access where the region has no rights";
	if ((e & PG_PTE_RW) && !(r->pub.prot & PG_WRITE))
		return "P1: an entry allows stores, the region does not";
	if (!(e & PG_PTE_NX) && !(r->pub.prot & PG_EXEC) && !r->space->no_nx)
		return "P1: an entry allows execution, the region does not";
	if ((e & PG_PTE_RW) && !ours)
		return "A3: an entry allows stores to a shared page";
	return NULL;
}

static bool on_object_list(const struct region *r)
{
	const struct region *o = r->pub.object->regions;

	while (o && o != r)
		o = o->obj_next;
	return o == r;
}

static const char *check_region(struct pg_space *s, struct region *r, uint64_t floor)
{
	struct region_walk w = {s, r};
	uint64_t top = pg_region_guarded_start(s, r);
	uint64_t at = r->pub.start.v >> PG_PAGE_SHIFT, end = r->pub.end.v >> PG_PAGE_SHIFT;
	const char *bad;
	uint64_t n = 0;
	pg_vpn vpn;
	pg_pte pte;

	if (r->space != s || r->pub.start.v < floor || r->pub.end.v <= r->pub.start.v ||
		r->pub.end.v > s->c.hi.v || ((r->pub.start.v | r->pub.end.v) & PG_PAGE_MASK))
		return "G1: a region's bounds";
	if (r->gap != (top > floor ? top - floor : 0))
		return "G2: a region's gap";
	if (r->pub.object && !on_object_list(r))
		return "G5: a region is not on its object's list";
	if (r->pub.object && r->pub.offset != r->index << PG_PAGE_SHIFT)
		return "G5: a region's offset and index differ";
	bad = pg_sparse_check(&r->anons, check_anon, &w);
	while (!bad && at < end &&
		s->form->next(s->table, (pg_vpn){at}, (pg_vpn){end}, &vpn, &pte)) {
		bad = r->touched ? check_entry(r, vpn.v, pte) : "P4: entries, but not touched";
		n += pg_pte_pfn(pte).v != s->vm->zero.v;
		at = vpn.v + 1;
	}
	if (!bad && r->pub.resident_pages != PG_RESIDENT_UNKNOWN && r->pub.resident_pages != n)
		bad = "P4: a region's resident pages";
	return bad;
}

static bool before(const struct pg_tree_node *a, const struct pg_tree_node *b)
{
	return PG_TREE_ENTRY(a, struct region, link)->pub.start.v <
	       PG_TREE_ENTRY(b, struct region, link)->pub.start.v;
}

/* P1 (entries only inside regions) and P4 by one pass over the table. */
static const char *check_table(struct pg_space *s)
{
	uint64_t by_state[PG_FRAME_STATES] = {0}, shmem = 0, at = 0;
	uint64_t end = (s->c.hi.v - 1) / PG_PAGE_SIZE + 1;
	pg_vpn vpn;
	pg_pte pte;

	while (at < end && s->form->next(s->table, (pg_vpn){at}, (pg_vpn){end}, &vpn, &pte)) {
		const struct pg_frame *row = pg_frames_row(s->vm->frames, pg_pte_pfn(pte));

		if (!pg_region_at(s, vpn.v << PG_PAGE_SHIFT))
			return "P1: an entry outside all regions";
		if (row->state == PG_FRAME_CACHE && ((struct pg_object *)row->owner)->shmem)
			shmem++;
		else
			by_state[row->state]++;
		at = vpn.v + 1;
	}
	if (by_state[PG_FRAME_ANON] != s->st.rss_anon_pages ||
		by_state[PG_FRAME_CACHE] != s->st.rss_file_pages ||
		shmem != s->st.rss_shmem_pages ||
		s->st.rss_pages !=
			s->st.rss_anon_pages + s->st.rss_file_pages + s->st.rss_shmem_pages)
		return "P4: a space's resident pages";
	return s->form->check(s->table);
}

/* The sums of space.h, each said once more. */
static void sum_region(const struct region *r, struct pg_space_stats *sum)
{
	uint64_t bytes = r->pub.end.v - r->pub.start.v;
	bool shared = r->pub.flags & PG_MAP_SHARED, stack = r->pub.flags & PG_MAP_GROWSDOWN;
	bool w = r->pub.prot & PG_WRITE, x = r->pub.prot & PG_EXEC;

	sum->vsz_bytes += bytes;
	sum->data_bytes += w && !shared && !stack ? bytes : 0;
	sum->stack_bytes += stack ? bytes : 0;
	sum->exec_bytes += x && !w && !stack ? bytes : 0;
	sum->locked_bytes += r->pub.flags & PG_MAP_LOCKED ? bytes : 0;
	sum->charged_bytes += r->pub.charged ? bytes : 0;
}

static const char *check_space(struct pg_space *s)
{
	uint64_t floor = s->c.lo.v, n = 0;
	struct pg_space_stats sum = {0};
	const char *bad = pg_tree_check(&s->regions, before, pg_region_augment_ok);

	for (struct region *r = pg_region_first(s); r && !bad; r = pg_region_next(r)) {
		bad = check_region(s, r, floor);
		floor = r->pub.end.v;
		sum_region(r, &sum);
		n++;
	}
	if (!bad && (sum.vsz_bytes != s->st.vsz_bytes || n != s->st.regions ||
			    s->st.vsz_peak_bytes < sum.vsz_bytes || s->st.regions_peak < n ||
			    sum.data_bytes != s->st.data_bytes ||
			    sum.stack_bytes != s->st.stack_bytes ||
			    sum.exec_bytes != s->st.exec_bytes ||
			    sum.locked_bytes != s->st.locked_bytes ||
			    sum.charged_bytes != s->st.charged_bytes))
		bad = "G1: the sums of the regions";
	return bad ? bad : check_table(s);
}

/* ---- the machine */

/* P3: the reverse map of an entry's frame names it. */
static bool in_rmap(const struct pg_frame *row, const struct pg_space *s, uint64_t vpn)
{
	const struct pg_rmap *m = row->rmap;

	while (m && (m->space != s || m->vpn.v != vpn))
		m = m->next;
	return m != NULL;
}

static const char *count_space(struct census *c, struct pg_space *s)
{
	uint64_t at = 0, end = (s->c.hi.v - 1) / PG_PAGE_SIZE + 1;
	pg_vpn vpn;
	pg_pte pte;

	while (at < end && s->form->next(s->table, (pg_vpn){at}, (pg_vpn){end}, &vpn, &pte)) {
		pg_pfn f = pg_pte_pfn(pte);

		c->maps[f.v]++;
		if (f.v != c->vm->zero.v && !in_rmap(pg_frames_row(c->vm->frames, f), s, vpn.v))
			return "P3: an entry that the reverse map lacks";
		at = vpn.v + 1;
	}
	for (struct region *r = pg_region_first(s); r; r = pg_region_next(r)) {
		if (r->anons.root)
			count_nodes(c, r->anons.root);
	}
	return NULL;
}

static const char *check_refs(struct census *c, const struct pg_sparse_node *n);

/* S3 and A1 for what hangs below a slot. */
static const char *check_slot(struct census *c, const struct pg_sparse_node *n, unsigned i)
{
	const struct pg_anon *a = n->slot[i];

	if (!a)
		return NULL;
	if (n->level)
		return check_refs(c, n->slot[i]);
	return seen_at(c, a)->times + (a == &c->vm->guard) == a->refs ? NULL
								      : "A1: an anon's references";
}

static const char *check_refs(struct census *c, const struct pg_sparse_node *n)
{
	const char *bad = seen_at(c, n)->times == n->refs ? NULL : "S3: a node's references";

	for (unsigned i = 0; i < PG_SPARSE_FAN && !bad; i++)
		bad = check_slot(c, n, i);
	return bad;
}

static const char *check_frame(struct census *c, pg_pfn f)
{
	const struct pg_frame *row = pg_frames_row(c->vm->frames, f);
	uint64_t n = 0;

	for (const struct pg_rmap *m = row->rmap; m; m = m->next)
		n++;
	if (row->map_count != c->maps[f.v] || (f.v != c->vm->zero.v && n != row->map_count))
		return "P3: a frame's map count";
	if (row->state != PG_FRAME_ANON && row->state != PG_FRAME_CACHE)
		return NULL;
	if (!row->owner)
		return row->pins ? NULL : "M1: a frame without owner or pin";
	if (row->state == PG_FRAME_ANON)
		return seen_at(c, row->owner)->what && ((struct pg_anon *)row->owner)->pfn.v == f.v
			       ? NULL
			       : "M1: an anon frame whose owner is not there";
	if (row->flags & PG_FRAME_BUSY)
		return NULL;
	return pg_object_page(row->owner, row->index).v == f.v
		       ? NULL
		       : "O1: a cache frame that its object does not know";
}

static const char *check_page(void *ctx, uint64_t index, void *value, bool shared)
{
	struct pg_object *o = ctx;
	const struct pg_frame *row =
		pg_frames_row(o->vm->frames, (pg_pfn){(uint32_t)((uintptr_t)value - 1)});

	if (row->state != PG_FRAME_CACHE || row->owner != o || row->index != index)
		return "O1: a page's frame does not name it";
	return NULL;
}

static uint64_t count_pages(const struct pg_object *o)
{
	uint64_t n = 0, at = 0, index;

	while (pg_sparse_next(&o->pages, at, UINT64_MAX, &index)) {
		n++;
		at = index + 1;
	}
	return n;
}

static const char *check_objects(struct pg_vm *vm)
{
	for (unsigned b = 0; b < PG_OBJECT_BUCKETS; b++) {
		for (struct pg_object *o = vm->objects[b]; o; o = o->next) {
			const char *bad = pg_sparse_check(&o->pages, check_page, o);

			if (bad)
				return bad;
			if (o->resident != count_pages(o))
				return "O2: an object's resident pages";
			if (pg_object_find(vm, o->key) != o)
				return "O3: an object is not found by its key";
		}
	}
	return NULL;
}

/* M2 for one list; adds its length to *linked. */
static const char *check_list(struct pg_vm *vm, enum pg_cache_list l, uint64_t *linked)
{
	uint32_t prev = UINT32_MAX;

	for (uint32_t v = vm->cache[l].first; v != UINT32_MAX;) {
		const struct pg_frame *row = pg_frames_row(vm->frames, (pg_pfn){v});
		const struct pg_object *o = row->owner;
		bool held;

		if (!o || row->spare != l || row->prev != prev ||
			++*linked > pg_frames_total(vm->frames))
			return "M2: a list of the page cache";
		prev = v;
		v = row->next;
		if (l == PG_CACHE_LAZY) {
			if (row->state != PG_FRAME_ANON || !(row->flags & PG_FRAME_LAZY) ||
				(row->flags & PG_FRAME_DIRTY))
				return "A4: a lazy frame";
			continue;
		}
		if (row->state != PG_FRAME_CACHE)
			return "M2: a list of the page cache";
		held = !o->pager || (row->flags & PG_FRAME_DIRTY);
		if (held != (l == PG_CACHE_HELD) ||
			(!held && (row->map_count > 0) != (l == PG_CACHE_MAPPED)))
			return "M2: a page on the wrong list of the page cache";
	}
	return vm->cache[l].last == prev ? NULL : "M2: the end of a list of the page cache";
}

static const char *check_lists(struct pg_vm *vm)
{
	uint64_t linked = 0, owned = 0, total = pg_frames_total(vm->frames);
	const char *bad = NULL;

	for (int l = 0; l < PG_CACHE_LISTS && !bad; l++)
		bad = check_list(vm, (enum pg_cache_list)l, &linked);
	for (uint32_t v = 0; v < total && !bad; v++) {
		const struct pg_frame *row = pg_frames_row(vm->frames, (pg_pfn){v});

		owned +=
			row->flags & PG_FRAME_LAZY || (row->state == PG_FRAME_CACHE && row->owner &&
							      !(row->flags & PG_FRAME_BUSY));
	}
	return bad || linked == owned ? bad : "M2: a page of the cache is on no list";
}

static const char *check_machine(struct census *c)
{
	uint64_t total = pg_frames_total(c->vm->frames), locked = 0, charged = 0;
	const char *bad = NULL;

	for (struct pg_space *s = c->vm->spaces; s && !bad; s = s->next) {
		bad = count_space(c, s);
		locked += s->st.locked_bytes;
		charged += s->st.charged_bytes;
	}
	if (!bad && (locked != c->vm->locked_bytes || charged > pg_vm_committed(c->vm)))
		bad = "M3: the machine's locked and committed memory";
	for (struct pg_space *s = c->vm->spaces; s && !bad; s = s->next) {
		for (struct region *r = pg_region_first(s); r && !bad; r = pg_region_next(r))
			bad = r->anons.root ? check_refs(c, r->anons.root) : NULL;
	}
	for (uint32_t v = 0; v < total && !bad; v++)
		bad = check_frame(c, (pg_pfn){v});
	if (!bad)
		bad = check_objects(c->vm);
	if (!bad)
		bad = check_lists(c->vm);
	if (!bad && c->vm->pageout.ctx)
		bad = c->vm->pageout.check(c->vm->pageout.ctx);
	return bad ? bad : pg_frames_check(c->vm->frames);
}

const char *pg_space_check(struct pg_space *s)
{
	struct census c = {.vm = s->vm, .size = 256};
	const char *bad = s->vm->blocks ? pg_blocks_check(s->vm) : check_space(s);

	if (bad || s->vm->blocks)
		return bad;
	c.table = calloc(c.size, sizeof *c.table);
	c.maps = calloc(pg_frames_total(s->vm->frames), sizeof *c.maps);
	if (c.table && c.maps) {
		bad = check_machine(&c);
		if (c.no_memory)
			bad = "no memory for the check";
	} else {
		bad = "no memory for the check";
	}
	free(c.table);
	free(c.maps);
	return bad;
}
