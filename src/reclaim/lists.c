/* SPDX-License-Identifier: MIT */
/*
 * reclaim/lists.c: see lists.h, which holds the invariants. Called by the policies; calls the host's allocator in init only.
 */
#include "reclaim/lists.h"

#include <errno.h>
#include <stdlib.h>

#define NONE UINT32_MAX

int pg_lists_init(struct pg_lists *l, uint32_t frames, unsigned queues)
{
	PG_ASSERT(queues <= PG_QUEUES);
	*l = (struct pg_lists){.frames = frames, .queues = queues};
	l->links = calloc(frames ? frames : 1, sizeof *l->links);
	if (!l->links)
		return -ENOMEM;
	for (unsigned q = 0; q < queues; q++)
		l->q[q].head = l->q[q].tail = NONE;
	return 0;
}

void pg_lists_free(struct pg_lists *l)
{
	free(l->links);
	l->links = NULL;
}

void pg_lists_push(struct pg_lists *l, unsigned q, pg_pfn f)
{
	struct pg_link *row = &l->links[f.v];
	struct pg_queue *to = &l->q[q];

	PG_ASSERT(q < l->queues && row->on_plus_1 == 0);
	row->on_plus_1 = (uint8_t)(q + 1);
	row->next = NONE;
	row->prev = to->tail;
	if (to->tail == NONE)
		to->head = f.v;
	else
		l->links[to->tail].next = f.v;
	to->tail = f.v;
	to->count++;
}

void pg_lists_push_head(struct pg_lists *l, unsigned q, pg_pfn f)
{
	struct pg_link *row = &l->links[f.v];
	struct pg_queue *to = &l->q[q];

	PG_ASSERT(q < l->queues && row->on_plus_1 == 0);
	row->on_plus_1 = (uint8_t)(q + 1);
	row->prev = NONE;
	row->next = to->head;
	if (to->head == NONE)
		to->tail = f.v;
	else
		l->links[to->head].prev = f.v;
	to->head = f.v;
	to->count++;
}

void pg_lists_take(struct pg_lists *l, pg_pfn f)
{
	struct pg_link *row = &l->links[f.v];
	struct pg_queue *from;

	if (row->on_plus_1 == 0)
		return;
	from = &l->q[row->on_plus_1 - 1];
	if (row->prev == NONE)
		from->head = row->next;
	else
		l->links[row->prev].next = row->next;
	if (row->next == NONE)
		from->tail = row->prev;
	else
		l->links[row->next].prev = row->prev;
	row->prev = row->next = NONE;
	row->on_plus_1 = 0;
	from->count--;
}

pg_pfn pg_lists_pop(struct pg_lists *l, unsigned q)
{
	pg_pfn f = pg_lists_head(l, q);

	if (!pg_pfn_is_none(f))
		pg_lists_take(l, f);
	return f;
}

void pg_lists_move(struct pg_lists *l, unsigned q, pg_pfn f)
{
	pg_lists_take(l, f);
	pg_lists_push(l, q, f);
}

void pg_lists_know(struct pg_lists *l, pg_pfn f)
{
	PG_ASSERT(f.v < l->frames && !l->links[f.v].known);
	l->links[f.v].known = 1;
	if (l->links[f.v].on_plus_1 == 0)
		l->links[f.v].prev = l->links[f.v].next = NONE;
	l->known++;
}

void pg_lists_forget(struct pg_lists *l, pg_pfn f)
{
	PG_ASSERT(f.v < l->frames && l->links[f.v].known);
	pg_lists_take(l, f);
	l->links[f.v] = (struct pg_link){.prev = NONE, .next = NONE};
	l->known--;
}

const char *pg_lists_check(const struct pg_lists *l)
{
	uint64_t on = 0, known = 0, listed = 0;

	for (unsigned q = 0; q < l->queues; q++) {
		uint32_t prev = NONE;
		uint64_t n = 0;

		for (uint32_t f = l->q[q].head; f != NONE; prev = f, f = l->links[f].next) {
			if (f >= l->frames || n++ > l->frames)
				return "Q1: a queue leaves the frames or does not end";
			if (l->links[f].on_plus_1 != q + 1 || l->links[f].prev != prev ||
				!l->links[f].known)
				return "Q1: a page on a queue says otherwise";
		}
		if (n != l->q[q].count || l->q[q].tail != prev)
			return "Q1: the count or the end of a queue";
		listed += n;
	}
	for (uint32_t f = 0; f < l->frames; f++) {
		on += l->links[f].on_plus_1 != 0;
		known += l->links[f].known;
	}
	if (on != listed)
		return "Q2: a page is not on the queue that it names";
	return known == l->known ? NULL : "Q2: the count of known pages";
}

/* ---- ghosts */

static uint32_t bucket_of(const struct pg_ghosts *g, struct pg_page_key key)
{
	uint64_t h = key.object * 0x9e3779b97f4a7c15u ^ key.index * 0xc2b2ae3d27d4eb4fu;

	return (uint32_t)(h >> 32 ^ h) & g->mask;
}

int pg_ghosts_init(struct pg_ghosts *g, uint32_t max)
{
	uint32_t buckets = 16;

	*g = (struct pg_ghosts){.max = max ? max : 1, .head = NONE, .tail = NONE, .free = NONE};
	while (buckets < g->max && buckets < 1u << 30)
		buckets *= 2;
	g->mask = buckets - 1;
	g->rows = malloc(g->max * sizeof *g->rows);
	g->buckets = calloc(buckets, sizeof *g->buckets);
	if (!g->rows || !g->buckets) {
		pg_ghosts_free(g);
		return -ENOMEM;
	}
	return 0;
}

void pg_ghosts_free(struct pg_ghosts *g)
{
	free(g->rows);
	free(g->buckets);
	g->rows = NULL;
	g->buckets = NULL;
}

static uint32_t row_of(const struct pg_ghosts *g, struct pg_page_key key)
{
	uint32_t i = g->buckets[bucket_of(g, key)];

	while (i != 0 && !pg_page_key_equal(g->rows[i - 1].key, key))
		i = g->rows[i - 1].chain;
	return i - 1; /* NONE is 0 - 1 */
}

/* Takes row i out of order and bucket, to the free rows. */
static void drop(struct pg_ghosts *g, uint32_t i)
{
	struct pg_ghost *row = &g->rows[i];
	uint32_t *at = &g->buckets[row->bucket];

	while (*at != i + 1)
		at = &g->rows[*at - 1].chain;
	*at = row->chain;
	if (row->prev == NONE)
		g->head = row->next;
	else
		g->rows[row->prev].next = row->next;
	if (row->next == NONE)
		g->tail = row->prev;
	else
		g->rows[row->next].prev = row->prev;
	row->next = g->free;
	g->free = i;
	g->count--;
}

void pg_ghosts_push(struct pg_ghosts *g, struct pg_page_key key, uint64_t value)
{
	struct pg_ghost *row;
	uint32_t i, b = bucket_of(g, key);

	if (g->free == NONE && g->fresh == g->max)
		drop(g, g->head);
	if (g->free != NONE) {
		i = g->free;
		g->free = g->rows[i].next;
	} else {
		i = g->fresh++;
	}
	row = &g->rows[i];
	*row = (struct pg_ghost){.key = key,
		.value = value,
		.prev = g->tail,
		.next = NONE,
		.chain = g->buckets[b],
		.bucket = b};
	g->buckets[b] = i + 1;
	if (g->tail == NONE)
		g->head = i;
	else
		g->rows[g->tail].next = i;
	g->tail = i;
	g->count++;
}

bool pg_ghosts_find(const struct pg_ghosts *g, struct pg_page_key key, uint64_t *value)
{
	uint32_t i = row_of(g, key);

	if (i != NONE && value)
		*value = g->rows[i].value;
	return i != NONE;
}

bool pg_ghosts_take(struct pg_ghosts *g, struct pg_page_key key, uint64_t *value)
{
	uint32_t i = row_of(g, key);

	if (i == NONE)
		return false;
	if (value)
		*value = g->rows[i].value;
	drop(g, i);
	return true;
}

bool pg_ghosts_pop(struct pg_ghosts *g, struct pg_page_key *key, uint64_t *value)
{
	if (g->head == NONE)
		return false;
	if (key)
		*key = g->rows[g->head].key;
	if (value)
		*value = g->rows[g->head].value;
	drop(g, g->head);
	return true;
}

const char *pg_ghosts_check(const struct pg_ghosts *g)
{
	uint64_t n = 0, chained = 0;
	uint32_t prev = NONE;

	for (uint32_t i = g->head; i != NONE; prev = i, i = g->rows[i].next) {
		if (i >= g->max || n++ > g->max)
			return "Q3: the order of ghosts leaves the table or does not end";
		if (g->rows[i].prev != prev || row_of(g, g->rows[i].key) != i)
			return "Q3: a ghost that is not found, or twice";
	}
	for (uint32_t b = 0; b <= g->mask; b++) {
		for (uint32_t i = g->buckets[b]; i != 0 && chained <= n; i = g->rows[i - 1].chain)
			chained++;
	}
	return n == g->count && g->tail == prev && chained == n ? NULL : "Q3: the count of ghosts";
}
