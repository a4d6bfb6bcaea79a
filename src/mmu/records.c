/* SPDX-License-Identifier: MIT */
/*
 * mmu/records.c: see records.h.
 *
 * Of a pool's frame: row.index is the number of slots taken, row.spare the number of the first free
 * slot + 1, the first word of a free slot that of the next; 0 ends the list. Frames with a free slot
 * are linked by prev and next.
 *
 * Invariants (pg_records_check):
 *   N1 a frame on the list is a TABLE frame of the owner with 1 to per_frame - 1 slots taken.
 *   N2 the free slots of such a frame are per_frame less those taken, each once.
 *   N3 used is what the frames on the list and the full ones hold together.
 */
#include "mmu/records.h"

#include <string.h>

#define NONE UINT32_MAX

void pg_records_init(struct pg_records *p, struct pg_frames *fs, void *owner,
	struct pg_node_count *count, uint32_t slot_bytes)
{
	*p = (struct pg_records){.fs = fs,
		.bytes = pg_frames_bytes(fs, (pg_pfn){0}),
		.owner = owner,
		.count = count,
		.slot_bytes = slot_bytes,
		.per_frame = (uint32_t)(PG_PAGE_SIZE / slot_bytes),
		.partial = NONE};
}

pg_link pg_node_take(struct pg_frames *fs, unsigned order, void *owner, struct pg_node_count *count)
{
	uint8_t *node;
	pg_pfn f;

	if (order >= PG_FRAME_ORDERS || pg_frames_alloc(fs, order, PG_FRAME_TABLE, owner, &f) < 0)
		return 0;
	node = pg_frames_bytes(fs, f);
	memset(node, 0, PG_PAGE_SIZE << order);
	count->frames += (uint64_t)1 << order;
	if (count->frames > count->peak)
		count->peak = count->frames;
	return (pg_link)f.v << PG_PAGE_SHIFT | 1;
}

static pg_pfn frame_of(pg_link l)
{
	return (pg_pfn){(uint32_t)((l & PG_LINK_MASK) >> PG_PAGE_SHIFT)};
}

void pg_node_give(struct pg_frames *fs, pg_link node, struct pg_node_count *count)
{
	pg_pfn f = frame_of(node);

	count->frames -= (uint64_t)1 << pg_frames_row(fs, f)->order;
	pg_frames_free(fs, f);
}

static uint64_t *slot_at(const struct pg_records *p, pg_pfn f, uint32_t slot)
{
	return (uint64_t *)(void *)(p->bytes + ((uint64_t)f.v << PG_PAGE_SHIFT) +
				    (uint64_t)slot * p->slot_bytes);
}

static void list_add(struct pg_records *p, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(p->fs, f);

	row->prev = NONE;
	row->next = p->partial;
	if (row->next != NONE)
		pg_frames_row(p->fs, (pg_pfn){row->next})->prev = f.v;
	p->partial = f.v;
}

static void list_remove(struct pg_records *p, pg_pfn f)
{
	struct pg_frame *row = pg_frames_row(p->fs, f);

	if (row->prev == NONE)
		p->partial = row->next;
	else
		pg_frames_row(p->fs, (pg_pfn){row->prev})->next = row->next;
	if (row->next != NONE)
		pg_frames_row(p->fs, (pg_pfn){row->next})->prev = row->prev;
	row->prev = row->next = NONE;
}

/* A new frame, all slots free, put on the list. */
static bool frame_add(struct pg_records *p)
{
	pg_link node = pg_node_take(p->fs, 0, p->owner, p->count);
	pg_pfn f = frame_of(node);

	if (!node)
		return false;
	for (uint32_t i = 0; i < p->per_frame; i++)
		*slot_at(p, f, i) = i + 1 < p->per_frame ? i + 2 : 0;
	pg_frames_row(p->fs, f)->spare = 1;
	list_add(p, f);
	p->frames++;
	return true;
}

pg_link pg_records_take(struct pg_records *p)
{
	struct pg_frame *row;
	uint64_t *slot;
	pg_pfn f;

	if (p->partial == NONE && !frame_add(p))
		return 0;
	f = (pg_pfn){p->partial};
	row = pg_frames_row(p->fs, f);
	slot = slot_at(p, f, row->spare - 1);
	row->spare = (uint32_t)*slot;
	row->index++;
	p->used++;
	if (!row->spare)
		list_remove(p, f);
	memset(slot, 0, p->slot_bytes);
	return pg_link_of(p->bytes, slot);
}

void pg_records_give(struct pg_records *p, pg_link l)
{
	pg_pfn f = frame_of(l);
	struct pg_frame *row = pg_frames_row(p->fs, f);
	uint64_t *slot = pg_link_at(p->bytes, l);

	PG_ASSERT(row->state == PG_FRAME_TABLE && row->owner == p->owner && row->index > 0);
	if (!row->spare)
		list_add(p, f);
	*slot = row->spare;
	row->spare = (uint32_t)(((l & PG_PAGE_MASK) - 1) / p->slot_bytes) + 1;
	p->used--;
	if (--row->index == 0) {
		list_remove(p, f);
		pg_node_give(p->fs, l, p->count);
		p->frames--;
	}
}

const char *pg_records_check(const struct pg_records *p)
{
	uint64_t free_slots = 0, partial = 0;

	for (uint32_t v = p->partial; v != NONE;) {
		const struct pg_frame *row = pg_frames_row(p->fs, (pg_pfn){v});
		uint32_t n = 0;

		if (row->state != PG_FRAME_TABLE || row->owner != p->owner || !row->index ||
			row->index >= p->per_frame || ++partial > p->frames)
			return "N1: a frame on a pool's list";
		for (uint64_t i = row->spare; i; n++) {
			if (i > p->per_frame || n > p->per_frame)
				return "N2: a pool frame's free slots";
			i = *slot_at(p, (pg_pfn){v}, (uint32_t)i - 1);
		}
		if (n != p->per_frame - row->index)
			return "N2: a pool frame's free slots";
		free_slots += n;
		v = row->next;
	}
	return p->used + free_slots == p->frames * p->per_frame ? NULL : "N3: a pool's count";
}
