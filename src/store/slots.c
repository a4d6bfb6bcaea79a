/* SPDX-License-Identifier: MIT */
/*
 * store/slots.c: slots in clusters of PG_STORE_CLUSTER, as in Linux's mm/swapfile.c: requests are
 * served from one current cluster, front to back; then from an empty one; then from one that has
 * holes (the other way round once the disk is known to be full). Each step looks at one cluster of four words, whatever the size of the store.
 *
 * A cluster is in exactly one place:
 *
 *   place      taken slots    entered by                            left by
 *   fresh      none           create                                reserve, in ascending order
 *   empty      none           release of its last slot, attach      reserve, last in first out
 *   detached   none           release of its last slot              attach
 *   current    any            reserve                               reserve, when its end is reached
 *   holed      some           release, or left as current           reserve (first in first out), release
 *   full       all            left as current                       release
 *
 * Invariants (pg_slots_check):
 *   L1 a cluster's count is the number of its bits; the sum of the counts is `used`.
 *   L2 each cluster that is not fresh is in the place that the table above gives it.
 *   L3 bits behind the last slot are never set.
 */
#include "store/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define NONE UINT32_MAX
#define WORDS (PG_STORE_CLUSTER / 64)

enum place {
	PLACE_FRESH = 0,
	PLACE_EMPTY,
	PLACE_DETACHED,
	PLACE_CURRENT,
	PLACE_HOLED,
	PLACE_FULL,
};

struct cluster {
	uint64_t bits[WORDS]; /* set: taken */
	uint32_t next, prev;  /* of the empty or the holed list; NONE at the ends */
	uint16_t taken;
	uint8_t place; /* enum place */
};

struct list {
	uint32_t head, tail;
	uint32_t length;
};

struct pg_slots {
	struct cluster *clusters; /* mapped; untouched ones are zero: fresh */
	uint64_t total;           /* slots */
	uint64_t used;
	uint32_t n;       /* clusters */
	uint32_t fresh;   /* clusters from here on have never been used */
	uint32_t current; /* or NONE */
	uint32_t at;      /* the current cluster is looked at from this slot on */
	bool used_first;  /* clusters with holes go before fresh ones */
	struct list empty, holed;
};

int pg_slots_create(uint64_t total, struct pg_slots **out)
{
	struct pg_slots *m = calloc(1, sizeof(*m));

	PG_ASSERT(total >= 1 && total < UINT32_MAX);
	if (!m)
		return -ENOMEM;
	m->total = total;
	m->n = (uint32_t)((total + PG_STORE_CLUSTER - 1) / PG_STORE_CLUSTER);
	m->clusters = mmap(NULL, m->n * sizeof(struct cluster), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->clusters == MAP_FAILED) {
		free(m);
		return -ENOMEM;
	}
	m->current = NONE;
	m->empty = m->holed = (struct list){NONE, NONE, 0};
	*out = m;
	return 0;
}

void pg_slots_destroy(struct pg_slots *m)
{
	if (!m)
		return;
	munmap(m->clusters, m->n * sizeof(struct cluster));
	free(m);
}

/* Slots of a cluster: all have PG_STORE_CLUSTER but the last. */
static unsigned size_of(const struct pg_slots *m, uint32_t c)
{
	uint64_t left = m->total - (uint64_t)c * PG_STORE_CLUSTER;

	return left < PG_STORE_CLUSTER ? (unsigned)left : PG_STORE_CLUSTER;
}

static void list_add(struct pg_slots *m, struct list *l, uint32_t c, bool at_tail)
{
	struct cluster *k = &m->clusters[c];

	k->prev = at_tail ? l->tail : NONE;
	k->next = at_tail ? NONE : l->head;
	if (k->prev != NONE)
		m->clusters[k->prev].next = c;
	else
		l->head = c;
	if (k->next != NONE)
		m->clusters[k->next].prev = c;
	else
		l->tail = c;
	l->length++;
}

static void list_remove(struct pg_slots *m, struct list *l, uint32_t c)
{
	struct cluster *k = &m->clusters[c];

	if (k->prev != NONE)
		m->clusters[k->prev].next = k->next;
	else
		l->head = k->next;
	if (k->next != NONE)
		m->clusters[k->next].prev = k->prev;
	else
		l->tail = k->prev;
	l->length--;
}

/* Moves a cluster to the place that its count gives it; not to current, fresh or detached. */
static void settle(struct pg_slots *m, uint32_t c)
{
	struct cluster *k = &m->clusters[c];

	if (k->taken == 0) {
		k->place = PLACE_EMPTY;
		list_add(m, &m->empty, c, false);
	} else if (k->taken < size_of(m, c)) {
		k->place = PLACE_HOLED;
		list_add(m, &m->holed, c, true);
	} else {
		k->place = PLACE_FULL;
	}
}

/* The next cluster to be served from becomes the current one; false if there is none. */
static bool next_cluster(struct pg_slots *m)
{
	uint32_t c;

	if (m->current != NONE) {
		c = m->current;
		m->current = NONE;
		settle(m, c);
	}
	if (m->empty.head != NONE) {
		c = m->empty.head;
		list_remove(m, &m->empty, c);
	} else if (m->fresh < m->n && !(m->used_first && m->holed.head != NONE)) {
		c = m->fresh++;
	} else if (m->holed.head != NONE) {
		c = m->holed.head;
		list_remove(m, &m->holed, c);
	} else {
		return false;
	}
	m->clusters[c].place = PLACE_CURRENT;
	m->current = c;
	m->at = 0;
	return true;
}

void pg_slots_prefer_used(struct pg_slots *m)
{
	if (!m->used_first && m->current != NONE) { /* the rest of it has no place either */
		settle(m, m->current);
		m->current = NONE;
	}
	m->used_first = true;
}

static bool bit(const struct cluster *k, unsigned i)
{
	return k->bits[i / 64] >> (i % 64) & 1;
}

int pg_slots_reserve(struct pg_slots *m, unsigned want, pg_slot *first)
{
	PG_ASSERT(want >= 1 && want <= PG_STORE_CLUSTER);
	if (m->used == m->total)
		return -ENOSPC;
	for (;;) {
		struct cluster *k;
		unsigned i = m->at, end, got = 0;

		if (m->current == NONE) {
			if (!next_cluster(m))
				return -ENOSPC; /* what is left is detached just now */
			continue;
		}
		k = &m->clusters[m->current];
		end = size_of(m, m->current);
		while (i < end) {
			uint64_t open = ~k->bits[i / 64] >> (i % 64);

			if (open) {
				i += (unsigned)__builtin_ctzll(open);
				break;
			}
			i = (i | 63) + 1;
		}
		if (i >= end) {
			if (!next_cluster(m))
				return -ENOSPC;
			continue;
		}
		*first = (pg_slot){m->current * PG_STORE_CLUSTER + i};
		for (; i < end && got < want && !bit(k, i); i++, got++)
			k->bits[i / 64] |= (uint64_t)1 << (i % 64);
		k->taken = (uint16_t)(k->taken + got);
		m->used += got;
		m->at = i;
		return (int)got;
	}
}

bool pg_slots_release(struct pg_slots *m, pg_slot first, unsigned n, bool detach)
{
	uint32_t c = first.v / PG_STORE_CLUSTER;
	struct cluster *k = &m->clusters[c];
	unsigned at = first.v % PG_STORE_CLUSTER;

	PG_ASSERT((uint64_t)first.v + n <= m->total && at + n <= PG_STORE_CLUSTER);
	for (unsigned i = at; i < at + n; i++) {
		PG_ASSERT(bit(k, i));
		k->bits[i / 64] &= ~((uint64_t)1 << (i % 64));
	}
	if (k->place == PLACE_HOLED)
		list_remove(m, &m->holed, c);
	k->taken = (uint16_t)(k->taken - n);
	m->used -= n;
	if (k->place == PLACE_CURRENT)
		return false;
	if (k->taken == 0 && detach) {
		k->place = PLACE_DETACHED;
		return true;
	}
	settle(m, c);
	return false;
}

void pg_slots_attach(struct pg_slots *m, uint32_t cluster)
{
	PG_ASSERT(m->clusters[cluster].place == PLACE_DETACHED);
	settle(m, cluster);
}

bool pg_slots_taken(const struct pg_slots *m, pg_slot slot)
{
	return slot.v < m->total &&
	       bit(&m->clusters[slot.v / PG_STORE_CLUSTER], slot.v % PG_STORE_CLUSTER);
}

uint64_t pg_slots_used(const struct pg_slots *m)
{
	return m->used;
}

uint64_t pg_slots_emptied(const struct pg_slots *m)
{
	return m->empty.length;
}

unsigned pg_slots_in_cluster(const struct pg_slots *m, uint32_t cluster)
{
	return m->clusters[cluster].taken;
}

const char *pg_slots_check(const struct pg_slots *m)
{
	uint64_t used = 0;
	uint32_t empty = 0, holed = 0, linked = 0;

	for (uint32_t c = 0; c < m->fresh; c++) {
		const struct cluster *k = &m->clusters[c];
		unsigned size = size_of(m, c), count = 0;

		for (unsigned w = 0; w < WORDS; w++)
			count += (unsigned)__builtin_popcountll(k->bits[w]);
		if (count != k->taken)
			return "L1: a cluster's count is not that of its bits";
		for (unsigned i = size; i < PG_STORE_CLUSTER; i++)
			if (bit(k, i))
				return "L3: a bit behind the last slot is set";
		used += count;
		empty += k->place == PLACE_EMPTY;
		holed += k->place == PLACE_HOLED;
		if ((k->place == PLACE_CURRENT) != (c == m->current))
			return "L2: a cluster is current that should not be";
		if ((k->place == PLACE_EMPTY || k->place == PLACE_DETACHED) && count != 0)
			return "L2: an empty cluster has taken slots";
		if (k->place == PLACE_HOLED && (count == 0 || count == size))
			return "L2: a cluster in the list of those with holes has none";
		if (k->place == PLACE_FULL && count != size)
			return "L2: a full cluster is not full";
		if (k->place == PLACE_FRESH)
			return "L2: a cluster in use is fresh";
	}
	if (used != m->used)
		return "L1: the counts do not sum to the total";
	if (empty != m->empty.length || holed != m->holed.length)
		return "L2: a list has another length than its places";
	for (uint32_t c = m->empty.head; c != NONE; c = m->clusters[c].next, linked++)
		if (m->clusters[c].place != PLACE_EMPTY || linked > m->n)
			return "L2: the list of empty clusters is broken";
	for (uint32_t c = m->holed.head; c != NONE; c = m->clusters[c].next, linked++)
		if (m->clusters[c].place != PLACE_HOLED || linked > m->n)
			return "L2: the list of clusters with holes is broken";
	return linked == empty + holed ? NULL : "L2: a list has lost a cluster";
}
