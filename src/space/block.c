/* SPDX-License-Identifier: MIT */
/*
 * space/block.c: what a contiguous block is: its frames, its registers, its regions; made and ended.
 *
 * Called by linux/ through space/block.h, by space.c and by the other two files of blocks: block_move.c (growth, compaction, swapping of
 * whole blocks) and block_calls.c (faults, brk, fork). Calls frame/partition.c, mmu/base_limit.c, region.c.
 *
 * In a machine of blocks the buddy allocator has nothing: all frames were taken from it at the beginning and belong to the partition allocator. There
 * is no page cache, no zero page and no frame for a table. All of a block is resident from the start.
 *
 * The regions of such a space are only what /proc/self/maps shows: image, heap, room between heap and stack, stack. What may be accessed is what the
 * registers say, with every right.
 *
 * Invariants (pg_blocks_check):
 *   B1 each block of the allocator is that of exactly one space that is not swapped out, and there are no others.
 *   B2 the registers name its frames: base and pages are those of the allocator's block; while it is out or released they allow nothing.
 *   B3 each of its frames has the block as owner, one mapping, and that in its reverse map; no other frame has any.
 *   B4 the image, heap, room and stack tile what the registers allow.
 *   B5 a block that is out has a slot of its store for each page.
 */
#include "space/impl.h"

#include <errno.h>
#include <string.h>

const char *const pg_block_event_names[PG_BLOCK_EVENTS] = {"place", "fork", "grow", "migrate",
	"move", "swap-out", "swap-in", "refuse", "wait", "free", "limit"};

enum { IMAGE, HEAP, ROOM, STACK };

/* ---- the machine */

/* All frames come from the buddy allocator, in blocks as large as it has them; they go back the same way. */
static void take_frames(struct pg_vm *vm)
{
	pg_pfn f;

	for (unsigned order = PG_FRAME_ORDERS; order-- > 0;)
		while (pg_frames_alloc(vm->frames, order, PG_FRAME_WIRED, NULL, &f) == 0)
			continue;
}

static void give_frames(struct pg_vm *vm)
{
	uint64_t total = pg_frames_total(vm->frames), next;

	for (uint64_t f = 0; f < total; f = next) {
		next = f + ((uint64_t)1 << pg_frames_row(vm->frames, (pg_pfn){(uint32_t)f})->order);
		pg_frames_free(vm->frames, (pg_pfn){(uint32_t)f});
	}
}

int pg_blocks_open(struct pg_vm *vm, const struct pg_block_config *c)
{
	struct pg_blocks *b;
	int err;

	if (vm->form != &pg_table_base_limit || c->fit >= PG_PARTITION_FITS)
		return -EINVAL;
	b = pg_mem_alloc(&vm->mem, sizeof *b);
	if (!b)
		return -ENOMEM;
	err = pg_partition_create(pg_frames_total(vm->frames), c->fit, c->linear, &b->partition);
	if (err) {
		pg_mem_free(&vm->mem, b);
		return err;
	}
	take_frames(vm);
	vm->blocks = b;
	return 0;
}

void pg_blocks_close(struct pg_vm *vm)
{
	if (!vm->blocks)
		return;
	give_frames(vm);
	pg_partition_destroy(vm->blocks->partition);
	pg_mem_free(&vm->mem, vm->blocks);
	vm->blocks = NULL;
}

void pg_vm_set_block_hooks(struct pg_vm *vm, const struct pg_block_hooks *h)
{
	PG_ASSERT(vm->blocks);
	vm->blocks->hooks = *h;
}

const struct pg_partition *pg_vm_partition(const struct pg_vm *vm)
{
	return vm->blocks ? vm->blocks->partition : NULL;
}

void pg_block_tell(struct pg_vm *vm, const struct pg_block_event *e)
{
	struct pg_partition_figures f;

	pg_partition_counters(vm->blocks->partition, &f);
	if (f.units - f.free > vm->blocks->used_peak)
		vm->blocks->used_peak = f.units - f.free;
	if (vm->blocks->hooks.event)
		vm->blocks->hooks.event(vm->blocks->hooks.ctx, e);
}

/* ---- frames */

uint8_t *pg_block_bytes(const struct pg_space *s, uint64_t page)
{
	return (uint8_t *)pg_frames_bytes(s->vm->frames, (pg_pfn){(uint32_t)s->block->r.base}) +
	       (page << PG_PAGE_SHIFT);
}

static struct pg_frame *row_of(const struct pg_space *s, uint64_t page)
{
	return pg_frames_row(s->vm->frames, (pg_pfn){(uint32_t)(s->block->r.base + page)});
}

/* The page number at which the guest sees page i of the block. */
static uint64_t vpn_of(const struct pg_base_limit *r, uint64_t i)
{
	return i < r->low ? r->origin + i : r->top - (r->pages - i);
}

void pg_block_own(struct pg_space *s)
{
	struct pg_block_record *b = s->block;

	for (uint64_t i = 0; i < b->r.pages; i++) {
		struct pg_frame *row = row_of(s, i);

		b->rmap[i] = (struct pg_rmap){.space = s, .vpn = {vpn_of(&b->r, i)}};
		row->owner = b;
		row->flags = 0; /* no translation is of these bytes */
		row->map_count = 1;
		row->rmap = &b->rmap[i];
	}
}

void pg_block_disown(struct pg_space *s)
{
	for (uint64_t i = 0; i < s->block->r.pages; i++) {
		struct pg_frame *row = row_of(s, i);

		row->owner = NULL;
		row->flags = 0;
		row->map_count = 0;
		row->rmap = NULL;
	}
}

static uint64_t pins_of(const struct pg_space *s)
{
	uint64_t n = 0;

	for (uint64_t i = 0; s->block->place && i < s->block->r.pages; i++)
		n += row_of(s, i)->pins;
	return n;
}

/* ---- registers and regions */

static void forget_all(struct pg_space *s)
{
	const struct pg_base_limit *r = &s->block->r;

	pg_pages_invalidate(s, r->origin, r->top);
	s->st.rss_pages = s->st.rss_anon_pages = s->block->place ? r->pages : 0;
	if (s->st.rss_pages > s->st.rss_peak_pages)
		s->st.rss_peak_pages = s->st.rss_pages;
	for (struct region *g = pg_region_first(s); g; g = pg_region_next(g))
		g->pub.resident_pages = PG_RESIDENT_UNKNOWN;
}

/* Region `which` becomes [start, end), page numbers; nothing if that is empty. */
static void put_region(struct pg_space *s, int which, uint64_t start, uint64_t end)
{
	struct region *g = s->block->regions[which];

	g->pub.start.v = start << PG_PAGE_SHIFT;
	g->pub.end.v = end << PG_PAGE_SHIFT;
	g->index = start;
	if (start < end)
		pg_region_insert(s, g);
}

uint64_t pg_block_heap_end(const struct pg_space *s)
{
	uint64_t end = pg_align_up(s->brk.v, PG_PAGE_SIZE) >> PG_PAGE_SHIFT;
	uint64_t image = s->block->shape.image_pages, origin = s->block->r.origin;

	return end > origin + image ? end - origin : image;
}

void pg_block_show(struct pg_space *s)
{
	struct pg_block_record *b = s->block;
	const struct pg_base_limit *r = &b->r;
	uint64_t image = r->origin + b->shape.image_pages, limit = r->origin + r->low;
	uint64_t heap = r->origin + pg_block_heap_end(s);

	PG_ASSERT(heap <= limit);
	while (s->regions.root)
		pg_region_unlink(s, pg_region_first(s));
	put_region(s, IMAGE, r->origin, image);
	put_region(s, HEAP, image, heap);
	put_region(s, ROOM, heap, limit);
	put_region(s, STACK, r->top - (r->pages - r->low), r->top);
	pg_map_count_vsz(s);
	pg_base_limit_set(s->table, r);
	forget_all(s);
}

void pg_block_hide(struct pg_space *s)
{
	const struct pg_base_limit none = {.origin = s->block->r.origin, .top = s->block->r.origin};

	pg_base_limit_set(s->table, &none);
	forget_all(s);
}

/* ---- made and ended */

static void free_records(struct pg_space *s)
{
	struct pg_block_record *b = s->block;
	struct pg_vm *vm = s->vm;

	for (int i = 0; i < 4; i++)
		if (b->regions[i])
			pg_region_free(vm, b->regions[i]);
	pg_mem_free(&vm->mem, b->rmap);
	pg_mem_free(&vm->mem, b->slots);
	pg_mem_free(&vm->mem, b);
	s->block = NULL;
}

static struct region *make_region(struct pg_space *s, enum pg_region_kind kind, const char *name)
{
	struct region *g = pg_region_alloc(s);
	int err = 0;

	if (!g)
		return NULL;
	g->name = pg_name_get(s->vm, name, &err);
	if (err) {
		pg_mem_free(&s->vm->mem, g);
		return NULL;
	}
	g->pub.name = g->name ? g->name->text : "";
	g->pub.kind = kind;
	g->touched = true;
	g->pub.resident_pages = PG_RESIDENT_UNKNOWN;
	g->pub.prot = g->pub.max_prot = PG_READ | PG_WRITE | PG_EXEC;
	g->pub.flags = kind == PG_REGION_STACK ? PG_MAP_GROWSDOWN : 0;
	return g;
}

int pg_block_make_records(struct pg_space *s, const struct pg_block_shape *shape)
{
	static const struct {
		enum pg_region_kind kind;
		const char *name;
	} kinds[4] = {
		[IMAGE] = {PG_REGION_ANON, NULL},
		[HEAP] = {PG_REGION_HEAP, "[heap]"},
		[ROOM] = {PG_REGION_ANON, "[room]"},
		[STACK] = {PG_REGION_STACK, "[stack]"},
	};
	struct pg_block_record *b = pg_mem_alloc(&s->vm->mem, sizeof *b);
	bool all = b != NULL;

	if (!b)
		return -ENOMEM;
	s->block = b;
	b->shape = *shape;
	b->shape.name = NULL; /* borrowed for this call only */
	b->rmap = pg_mem_alloc(&s->vm->mem, shape->pages * sizeof *b->rmap);
	all = b->rmap != NULL;
	for (int i = 0; i < 4 && all; i++) {
		b->regions[i] =
			make_region(s, kinds[i].kind, kinds[i].name ? kinds[i].name : shape->name);
		all = b->regions[i] != NULL;
	}
	if (all)
		b->regions[IMAGE]->pub.offset = shape->code_shift;
	if (!all) {
		free_records(s);
		return -ENOMEM;
	}
	return 0;
}

static bool shape_ok(const struct pg_space *s, const struct pg_block_shape *h)
{
	uint64_t bits = (uint64_t)1 << pg_geometry_vpn_bits(&s->vm->geometry);
	uint64_t origin = h->origin.v >> PG_PAGE_SHIFT;

	return !(h->origin.v & PG_PAGE_MASK) && h->pages && h->span_pages >= h->pages &&
	       h->image_pages <= h->pages && h->stack_pages <= h->pages - h->image_pages &&
	       h->span_pages <= bits && origin <= bits - h->span_pages;
}

int pg_block_place(struct pg_space *s, const struct pg_block_shape *shape)
{
	struct pg_blocks *m = s->vm->blocks;
	struct pg_block_event e = {.kind = PG_BLOCK_PLACE, .space = s, .pages = shape->pages};
	struct pg_partition_block *place;
	int err;

	if (!m || s->block || !shape_ok(s, shape))
		return -EINVAL;
	err = shape->pages > pg_frames_total(s->vm->frames) ? -EFBIG
							    : pg_block_make_records(s, shape);
	if (err)
		return err;
	do {
		err = pg_partition_alloc(m->partition, shape->pages, &place);
	} while (err == -ENOSPC && m->hooks.room &&
		 m->hooks.room(m->hooks.ctx, s, shape->pages, PG_WANT_PROGRAM));
	if (err) {
		free_records(s);
		e.kind = PG_BLOCK_REFUSE;
		pg_block_tell(s->vm, &e);
		return err;
	}
	s->block->place = place;
	s->block->r = (struct pg_base_limit){.origin = shape->origin.v >> PG_PAGE_SHIFT,
		.top = (shape->origin.v >> PG_PAGE_SHIFT) + shape->span_pages,
		.base = pg_partition_start(place),
		.pages = shape->pages,
		.low = shape->pages - shape->stack_pages};
	memset(pg_block_bytes(s, 0), 0, shape->pages << PG_PAGE_SHIFT);
	pg_block_own(s);
	pg_block_show(s);
	e.base = s->block->r.base;
	pg_block_tell(s->vm, &e);
	return 0;
}

/* Gives its slots back. */
static void drop_slots(struct pg_space *s)
{
	struct pg_block_record *b = s->block;

	for (uint64_t i = 0; b->slots && i < b->r.pages; i++)
		pg_store_release(b->store, b->slots[i], 1);
	pg_mem_free(&s->vm->mem, b->slots);
	b->slots = NULL;
	b->store = NULL;
}

void pg_block_release(struct pg_space *s)
{
	struct pg_block_record *b = s->block;
	struct pg_block_event e = {.kind = PG_BLOCK_FREE, .space = s};

	if (!b || (!b->place && !b->slots))
		return;
	if (b->place) {
		PG_ASSERT(!pins_of(s));
		e.was_base = b->r.base;
		e.was_pages = b->r.pages;
		pg_block_disown(s);
		pg_partition_free(s->vm->blocks->partition, b->place);
		b->place = NULL;
	}
	drop_slots(s);
	pg_block_hide(s);
	pg_block_tell(s->vm, &e);
}

void pg_block_drop(struct pg_space *s)
{
	if (!s->block)
		return;
	pg_block_release(s);
	while (s->regions.root)
		pg_region_unlink(s, pg_region_first(s));
	free_records(s);
}

bool pg_block_info(const struct pg_space *s, struct pg_block_info *out)
{
	const struct pg_block_record *b = s->block;

	*out = (struct pg_block_info){0};
	if (!b)
		return false;
	*out = (struct pg_block_info){.placed = b->place != NULL,
		.out = b->slots != NULL,
		.base = b->place ? b->r.base : 0,
		.pages = b->r.pages,
		.wanted_pages = b->wanted > b->r.pages ? b->wanted : b->r.pages,
		.low_pages = b->r.low,
		.stack_pages = b->r.pages - b->r.low,
		.origin = {b->r.origin << PG_PAGE_SHIFT},
		.top = {b->r.top << PG_PAGE_SHIFT},
		.pins = pins_of(s),
		.moves = b->moves,
		.swaps = b->swaps};
	return true;
}

/* ---- invariants */

static const char *check_frames(const struct pg_space *s, uint64_t *mapped)
{
	const struct pg_block_record *b = s->block;

	for (uint64_t i = 0; i < b->r.pages; i++) {
		const struct pg_frame *row = row_of(s, i);

		if (row->owner != b || row->map_count != 1 || row->rmap != &b->rmap[i] ||
			row->rmap->vpn.v != vpn_of(&b->r, i) || row->rmap->space != s)
			return "B3: a frame of a block";
		if (pg_base_limit_frame(&b->r, vpn_of(&b->r, i)) != b->r.base + i)
			return "B2: a frame is not where the registers have it";
	}
	*mapped += b->r.pages;
	return NULL;
}

static const char *check_regions(struct pg_space *s)
{
	const struct pg_base_limit *r = &s->block->r;
	uint64_t limit = (r->origin + r->low) << PG_PAGE_SHIFT, at = r->origin << PG_PAGE_SHIFT;
	uint64_t stack = (r->top - (r->pages - r->low)) << PG_PAGE_SHIFT;

	for (struct region *g = pg_region_first(s); g; g = pg_region_next(g)) {
		if (at == limit)
			at = stack;
		if (g->pub.start.v != at)
			return "B4: a region does not begin where the one before ends";
		at = g->pub.end.v;
	}
	return at == r->top << PG_PAGE_SHIFT || (stack == r->top << PG_PAGE_SHIFT && at == limit)
		       ? NULL
		       : "B4: the regions end elsewhere";
}

static const char *check_block(struct pg_space *s, uint64_t *mapped)
{
	const struct pg_block_record *b = s->block;
	pg_vpn first;
	pg_pte pte;

	if (b->place && b->slots)
		return "B1: a block is in memory and in the store";
	if (!b->place) {
		if (s->form->next(s->table, (pg_vpn){0}, (pg_vpn){UINT64_MAX}, &first, &pte))
			return "B2: a block without frames can be accessed";
		for (uint64_t i = 0; b->slots && i < b->r.pages; i++)
			if (!pg_store_is_reserved(b->store, b->slots[i]))
				return "B5: a slot is not reserved";
		return NULL;
	}
	if (pg_partition_start(b->place) != b->r.base || pg_partition_units(b->place) != b->r.pages)
		return "B2: the registers name other frames";
	const char *bad = check_frames(s, mapped);
	return bad ? bad : check_regions(s);
}

const char *pg_blocks_check(struct pg_vm *vm)
{
	uint64_t blocks = 0, mapped = 0, owned = 0;
	struct pg_partition_figures f;
	const char *bad = pg_partition_check(vm->blocks->partition);

	for (struct pg_space *s = vm->spaces; s && !bad; s = s->next) {
		if (!s->block)
			continue;
		bad = check_block(s, &mapped);
		blocks += s->block->place != NULL;
	}
	for (uint64_t i = 0; i < pg_frames_total(vm->frames); i++)
		owned += pg_frames_row(vm->frames, (pg_pfn){(uint32_t)i})->owner != NULL;
	pg_partition_counters(vm->blocks->partition, &f);
	if (!bad && (f.blocks != blocks || f.units - f.free != mapped))
		bad = "B1: a block of the allocator is nobody's";
	if (!bad && owned != mapped)
		bad = "B3: a frame of a hole has an owner";
	return bad ? bad : pg_frames_check(vm->frames);
}
