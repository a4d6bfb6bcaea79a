/* SPDX-License-Identifier: MIT */
/*
 * space/block_move.c: a block becomes larger, moves, goes to a store and comes back.
 *
 * Called by linux/ through space/block.h and by block_calls.c (a process outgrows its block). Calls block.c, frame/partition.c, store/.
 *
 *   grow    the room inside -> the hole behind -> a larger hole elsewhere -> the holes on both sides together -> hooks.room, and again
 *   move    compaction: down into the hole before it
 *   swap    all pages to slots of a store, frames free; back into any hole that is large enough
 *
 * All bytes move in one way, reshape(): what is counted from the origin keeps its distance from the block's start, the stack from its end, and
 * what is new between them is zero. Registers, reverse map and regions follow, and whoever remembers translations of the space
 * is told. It is all done with the machine lock held, so no guest sees a block half moved; a block with pinned frames is left alone.
 */
#include "space/impl.h"

#include <errno.h>
#include <string.h>

#define BATCH PG_STORE_CLUSTER /* pages handed to a store at once */

static bool is_pinned(const struct pg_space *s)
{
	struct pg_block_info i;

	return pg_block_info(s, &i) && i.pins;
}

static struct pg_block_event event_of(const struct pg_space *s, enum pg_block_event_kind kind)
{
	const struct pg_base_limit *r = &s->block->r;

	return (struct pg_block_event){.kind = kind,
		.space = (struct pg_space *)s,
		.was_base = r->base,
		.was_pages = r->pages};
}

static void tell(struct pg_space *s, struct pg_block_event *e)
{
	e->base = s->block->place ? s->block->r.base : 0;
	e->pages = s->block->r.pages;
	pg_block_tell(s->vm, e);
}

/*
 * The block's bytes go to frames [base, base + pages), low of them counted from the origin; they may overlap the old
 * ones if base is not above the old base. rmap: of `pages`, becomes the block's. Frames copied.
 */
static uint64_t reshape(
	struct pg_space *s, uint64_t base, uint64_t pages, uint64_t low, struct pg_rmap *rmap)
{
	struct pg_block_record *b = s->block;
	const struct pg_base_limit was = b->r;
	uint64_t keep = was.low < low ? was.low : low, copied = 0;
	uint64_t stack = was.pages - was.low < pages - low ? was.pages - was.low : pages - low;
	uint8_t *from = pg_block_bytes(s, 0), *to;

	pg_block_disown(s);
	b->r.base = base;
	b->r.pages = pages;
	b->r.low = low;
	to = pg_block_bytes(s, 0);
	if (to != from) {
		memmove(to, from, keep << PG_PAGE_SHIFT);
		copied += keep;
	}
	if (to + (pages << PG_PAGE_SHIFT) != from + (was.pages << PG_PAGE_SHIFT)) {
		memmove(to + ((pages - stack) << PG_PAGE_SHIFT),
			from + ((was.pages - stack) << PG_PAGE_SHIFT), stack << PG_PAGE_SHIFT);
		copied += stack;
	}
	memset(to + (keep << PG_PAGE_SHIFT), 0, (pages - stack - keep) << PG_PAGE_SHIFT);
	if (rmap) {
		pg_mem_free(&s->vm->mem, b->rmap);
		b->rmap = rmap;
	}
	pg_block_own(s);
	pg_block_show(s);
	return copied;
}

/* ---- growth */

/* `pages` in place, in a larger hole, or over the holes on both sides. -ENOSPC: none of these; -EBUSY: only moving would help; -ENOMEM. */
static int enlarge(struct pg_space *s, uint64_t pages, uint64_t stack)
{
	struct pg_partition *p = s->vm->blocks->partition;
	struct pg_block_record *b = s->block;
	struct pg_block_event e = event_of(s, PG_BLOCK_GROW);
	struct pg_rmap *rmap = pg_mem_alloc(&s->vm->mem, pages * sizeof *rmap);
	struct pg_partition_block *place = b->place;
	uint64_t base = b->r.base;
	int err;

	if (!rmap)
		return -ENOMEM;
	err = is_pinned(s) ? -EBUSY : pg_partition_grow(p, b->place, pages - b->r.pages);
	if (err == -ENOSPC) {
		e.kind = PG_BLOCK_MIGRATE;
		err = pg_partition_alloc(p, pages, &place);
		base = err ? 0 : pg_partition_start(place);
	}
	if (err == -ENOSPC && pg_partition_around(b->place) >= pages) {
		pg_partition_slide(p, b->place);
		place = b->place;
		base = pg_partition_start(place);
		err = pg_partition_grow(p, place, pages - b->r.pages);
		PG_ASSERT(!err);
	}
	if (err) {
		pg_mem_free(&s->vm->mem, rmap);
		return err;
	}
	b->moves += e.kind == PG_BLOCK_MIGRATE;
	e.copied_pages = reshape(s, base, pages, pages - stack, rmap);
	if (place != b->place)
		pg_partition_free(p, b->place);
	b->place = place;
	tell(s, &e);
	return 0;
}

static uint64_t rounded(const struct pg_block_record *b, uint64_t pages)
{
	uint64_t step = b->shape.step_pages ? b->shape.step_pages : 1;
	uint64_t span = b->r.top - b->r.origin;

	pages = (pages + step - 1) / step * step;
	return pages < span ? pages : span;
}

/* No hole of this size: asks for one. */
static bool ask_for_room(struct pg_space *s, uint64_t pages)
{
	const struct pg_block_hooks *h = &s->vm->blocks->hooks;
	bool made;

	s->block->wanted = pages;
	made = h->room && h->room(h->ctx, s, pages, PG_WANT_GROWTH);
	s->block->wanted = 0;
	return made;
}

static int refuse(struct pg_space *s, uint64_t pages)
{
	struct pg_block_event e = event_of(s, PG_BLOCK_REFUSE);

	e.pages = pages;
	pg_block_tell(s->vm, &e);
	return -ENOMEM;
}

int pg_block_grow(struct pg_space *s, uint64_t low, uint64_t stack)
{
	struct pg_block_record *b = s->block;

	for (;;) {
		uint64_t need, have;
		int err;

		if (!pg_block_want_in(s))
			return -ENOMEM;
		have = b->r.pages - b->r.low;
		if (stack < have)
			stack = have;
		if (low < pg_block_heap_end(
				  s)) /* another thread may have moved the break meanwhile */
			low = pg_block_heap_end(s);
		need = low + stack;
		if (low > b->r.top - b->r.origin || need > b->r.top - b->r.origin ||
			need > pg_frames_total(s->vm->frames))
			return refuse(s, need);
		if (need <= b->r.pages) {
			if (stack != have)
				(void)reshape(s, b->r.base, b->r.pages, b->r.pages - stack, NULL);
			return 0;
		}
		err = enlarge(s, rounded(b, need), stack);
		if (err == -ENOSPC && rounded(b, need) > need)
			err = enlarge(s, need, stack);
		if (err == -ENOMEM)
			return err;
		if (err && !ask_for_room(s, need))
			return refuse(s, need);
	}
}

/* ---- compaction */

/* The block in frames with the lowest base from `from` on, or NULL. */
static struct pg_space *lowest(struct pg_vm *vm, uint64_t from)
{
	struct pg_space *best = NULL;

	for (struct pg_space *s = vm->spaces; s; s = s->next)
		if (s->block && s->block->place && s->block->r.base >= from &&
			(!best || s->block->r.base < best->block->r.base))
			best = s;
	return best;
}

unsigned pg_block_compact(struct pg_vm *vm, uint64_t *pages)
{
	struct pg_partition *p = vm->blocks->partition;
	uint64_t copied = 0, at = 0;
	unsigned moved = 0;

	for (struct pg_space *s; (s = lowest(vm, at)); at = s->block->r.base + s->block->r.pages) {
		struct pg_block_record *b = s->block;
		struct pg_block_event e = event_of(s, PG_BLOCK_MOVE);

		if (is_pinned(s) || !pg_partition_slide(p, b->place))
			continue;
		e.copied_pages =
			reshape(s, pg_partition_start(b->place), b->r.pages, b->r.low, NULL);
		copied += e.copied_pages;
		b->moves++;
		moved++;
		tell(s, &e);
	}
	if (pages)
		*pages = copied;
	return moved;
}

/* ---- swapping */

/* Moves n pages at `bytes` from frames to slots, or back. */
static int transfer(
	struct pg_store *store, const pg_slot *slots, uint8_t *bytes, uint64_t n, bool out)
{
	struct pg_store_io io[BATCH];
	int err = 0;

	for (uint64_t at = 0; at < n && !err;) {
		unsigned k = n - at < BATCH ? (unsigned)(n - at) : BATCH;

		for (unsigned i = 0; i < k; i++)
			io[i] = (struct pg_store_io){
				.slot = slots[at + i], .page = bytes + ((at + i) << PG_PAGE_SHIFT)};
		err = out ? pg_store_write(store, io, k) : pg_store_read(store, io, k);
		at += k;
	}
	return err;
}

static void give_slots(struct pg_store *store, const pg_slot *slots, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		pg_store_release(store, slots[i], 1);
}

/* n slots into slots[]; none if there are not so many. */
static int take_slots(struct pg_store *store, pg_slot *slots, uint64_t n)
{
	for (uint64_t have = 0; have < n;) {
		pg_slot first;
		int got = pg_store_reserve(
			store, n - have < BATCH ? (unsigned)(n - have) : BATCH, &first);

		if (got <= 0) {
			give_slots(store, slots, have);
			return got < 0 ? got : -ENOSPC;
		}
		for (int i = 0; i < got; i++)
			slots[have++] = (pg_slot){first.v + (uint32_t)i};
	}
	return 0;
}

int pg_block_swap_out(struct pg_space *s, struct pg_store *store)
{
	struct pg_block_record *b = s->block;
	struct pg_block_event e;
	pg_slot *slots;
	int err;

	if (!b || (!b->place && !b->slots))
		return -EINVAL;
	if (!b->place)
		return -EALREADY;
	if (is_pinned(s))
		return -EBUSY;
	e = event_of(s, PG_BLOCK_SWAP_OUT);
	slots = pg_mem_alloc(&s->vm->mem, b->r.pages * sizeof *slots);
	if (!slots)
		return -ENOMEM;
	err = take_slots(store, slots, b->r.pages);
	if (!err) {
		err = transfer(store, slots, pg_block_bytes(s, 0), b->r.pages, true);
		if (err)
			give_slots(store, slots, b->r.pages);
	}
	if (err) {
		pg_mem_free(&s->vm->mem, slots);
		return err;
	}
	pg_block_disown(s);
	pg_partition_free(s->vm->blocks->partition, b->place);
	b->place = NULL;
	b->slots = slots;
	b->store = store;
	b->swaps++;
	s->st.swap_out += b->r.pages;
	pg_block_hide(s);
	e.copied_pages = b->r.pages;
	tell(s, &e);
	return 0;
}

/* The pages of b from its store to frames from `base` on, as a block of `pages`: the stack to its end. */
static int read_back(struct pg_space *s, uint64_t base, uint64_t pages)
{
	const struct pg_block_record *b = s->block;
	uint64_t low = b->r.low, stack = b->r.pages - low;
	uint8_t *to = pg_frames_bytes(s->vm->frames, (pg_pfn){(uint32_t)base});
	int err = transfer(b->store, b->slots, to, low, false);

	if (!err && stack)
		err = transfer(b->store, b->slots + low, to + ((pages - stack) << PG_PAGE_SHIFT),
			stack, false);
	memset(to + (low << PG_PAGE_SHIFT), 0, (pages - stack - low) << PG_PAGE_SHIFT);
	return err;
}

int pg_block_swap_in(struct pg_space *s)
{
	struct pg_block_record *b = s->block;
	struct pg_block_event e = {.kind = PG_BLOCK_SWAP_IN, .space = s};
	struct pg_partition_block *place;
	struct pg_rmap *rmap;
	uint64_t pages, had;
	int err;

	if (!b || (!b->place && !b->slots))
		return -EINVAL;
	if (b->place)
		return -EALREADY;
	had = b->r.pages;
	pages = b->wanted > had ? b->wanted : had;
	rmap = pg_mem_alloc(&s->vm->mem, pages * sizeof *rmap);
	if (!rmap)
		return -ENOMEM;
	err = pg_partition_alloc(s->vm->blocks->partition, pages, &place);
	if (err) {
		pg_mem_free(&s->vm->mem, rmap);
		return err;
	}
	err = read_back(s, pg_partition_start(place), pages);
	if (err) {
		pg_partition_free(s->vm->blocks->partition, place);
		pg_mem_free(&s->vm->mem, rmap);
		return err;
	}
	give_slots(b->store, b->slots, had);
	pg_mem_free(&s->vm->mem, b->slots);
	b->slots = NULL;
	b->store = NULL;
	pg_mem_free(&s->vm->mem, b->rmap);
	b->rmap = rmap;
	b->place = place;
	b->r.base = pg_partition_start(place);
	b->r.low += pages - had;
	b->r.pages = pages;
	s->st.swap_in += had;
	pg_block_own(s);
	pg_block_show(s);
	e.copied_pages = had;
	tell(s, &e);
	return 0;
}
