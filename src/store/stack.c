/* SPDX-License-Identifier: MIT */
/*
 * store/stack.c: stores in order: a page goes to the first that takes it.
 *
 *   slot of the stack -> (part, slot of the part), decided anew by each write
 *
 * Called by store.c. Calls its parts through their heads (impl.h). Owns the parts and the table of places.
 *
 * A part refuses a page when it is full, when the page does not compress, or when its host fails; then the
 * next is asked. A page that all refuse and that was only incompressible is offered once more, to be
 * taken as it is. A slot keeps its number whatever part holds its page.
 *
 * The lock (head.lock) guards slots and places; it is not held while a part works.
 *
 * Invariants (pg_store_check):
 *   K1 a slot that has a place is reserved, and the place is a reserved slot of its part.
 *   K2 no two slots have the same place: each part has as many slots reserved as it has places.
 */
#include "store/impl.h"
#include "store/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAX_PARTS 16u
#define AT_ONCE PG_STORE_CLUSTER

struct place {
	uint32_t part; /* from 1; 0 is no place */
	pg_slot slot;
};

struct stack {
	struct pg_store head;
	struct place *places; /* mapped, one a slot */
	uint64_t total;
	unsigned n;
	struct pg_store *part[MAX_PARTS]; /* owned */
};

/* Gives place[n] back to their parts, neighbours together. */
static void give_back(struct stack *k, const struct place *place, unsigned n)
{
	for (unsigned i = 0, run; i < n; i += run) {
		run = 1;
		if (!place[i].part)
			continue;
		while (i + run < n && place[i + run].part == place[i].part &&
			place[i + run].slot.v == place[i].slot.v + run)
			run++;
		pg_store_release(k->part[place[i].part - 1], place[i].slot, run);
	}
}

static void release(struct pg_store *s, pg_slot first, unsigned n)
{
	struct stack *k = (struct stack *)s;
	struct place was[PG_STORE_CLUSTER];

	PG_ASSERT(n <= PG_STORE_CLUSTER);
	pthread_mutex_lock(&s->lock);
	memcpy(was, k->places + first.v, n * sizeof(*was));
	memset(k->places + first.v, 0, n * sizeof(*was));
	pthread_mutex_unlock(&s->lock);
	give_back(k, was, n);
	pthread_mutex_lock(&s->lock);
	(void)!pg_slots_release(k->head.slots, first, n, false);
	pthread_mutex_unlock(&s->lock);
}

/*
 * Offers io[n] to part p; those that it takes get their place and status 0, the others a status that
 * says why not.
 */
static void offer(struct stack *k, unsigned p, struct pg_store_io **io, unsigned n, bool last)
{
	struct pg_store_io sub[AT_ONCE];
	unsigned have = 0;

	while (have < n) {
		pg_slot first;
		int got = pg_store_reserve(k->part[p], n - have, &first);

		if (got < 0) {
			for (unsigned i = have; i < n; i++)
				io[i]->status = got;
			break;
		}
		for (unsigned i = 0; i < (unsigned)got; i++, have++)
			sub[have] =
				(struct pg_store_io){.slot = {first.v + i}, .page = io[have]->page};
	}
	if (have == 0)
		return;
	(void)!pg_store_do_write(k->part[p], sub, have, last);
	for (unsigned i = 0; i < have; i++) {
		io[i]->status = sub[i].status;
		if (sub[i].status != 0) {
			pg_store_release(k->part[p], sub[i].slot, 1);
			continue;
		}
		pthread_mutex_lock(&k->head.lock);
		k->places[io[i]->slot.v] = (struct place){p + 1, sub[i].slot};
		pthread_mutex_unlock(&k->head.lock);
	}
}

/* Keeps the pages of io[n] that are still without a place; how many. */
static unsigned pending(struct pg_store_io **io, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++)
		if (io[i]->status != 0)
			io[kept++] = io[i];
	return kept;
}

static void write_some(struct stack *k, struct pg_store_io *io, unsigned n, bool last)
{
	struct pg_store_io *left[AT_ONCE];
	struct pg_store_io *big[AT_ONCE];
	struct place was[AT_ONCE];
	bool refused[AT_ONCE] = {false}; /* as incompressible only, by some part */
	unsigned count = n, bigs = 0;

	pthread_mutex_lock(&k->head.lock);
	for (unsigned i = 0; i < n; i++) {
		PG_ASSERT(io[i].slot.v < k->total);
		was[i] = k->places[io[i].slot.v];
		k->places[io[i].slot.v] = (struct place){0};
		left[i] = &io[i];
	}
	pthread_mutex_unlock(&k->head.lock);
	give_back(k, was, n);
	for (unsigned p = 0; p < k->n && count > 0; p++) {
		offer(k, p, left, count, p + 1 == k->n && last);
		count = pending(left, count);
		for (unsigned i = 0; i < count; i++)
			if (left[i]->status == -E2BIG)
				refused[left[i] - io] = true;
	}
	if (!last)
		return;
	for (unsigned i = 0; i < count; i++)
		if (refused[left[i] - io])
			big[bigs++] = left[i];
	for (unsigned p = 0; p + 1 < k->n && bigs > 0; p++) {
		offer(k, p, big, bigs, true);
		bigs = pending(big, bigs);
	}
}

static void write_pages(struct pg_store *s, struct pg_store_io *io, unsigned n, bool last)
{
	for (unsigned at = 0; at < n; at += AT_ONCE)
		write_some((struct stack *)s, io + at, n - at < AT_ONCE ? n - at : AT_ONCE, last);
}

static void read_some(struct stack *k, struct pg_store_io *io, unsigned n)
{
	struct place at[AT_ONCE];

	pthread_mutex_lock(&k->head.lock);
	for (unsigned i = 0; i < n; i++) {
		PG_ASSERT(io[i].slot.v < k->total);
		at[i] = k->places[io[i].slot.v];
		if (!at[i].part)
			io[i].status = -ENODATA;
	}
	pthread_mutex_unlock(&k->head.lock);
	for (unsigned p = 0; p < k->n; p++) {
		struct pg_store_io sub[AT_ONCE];
		unsigned from[AT_ONCE], count = 0;

		for (unsigned i = 0; i < n; i++)
			if (at[i].part == p + 1) {
				sub[count] = (struct pg_store_io){
					.slot = at[i].slot, .page = io[i].page};
				from[count++] = i;
			}
		if (count == 0)
			continue;
		(void)!pg_store_read(k->part[p], sub, count);
		for (unsigned i = 0; i < count; i++)
			io[from[i]].status = sub[i].status;
	}
}

static void read_pages(struct pg_store *s, struct pg_store_io *io, unsigned n)
{
	for (unsigned at = 0; at < n; at += AT_ONCE)
		read_some((struct stack *)s, io + at, n - at < AT_ONCE ? n - at : AT_ONCE);
}

/* What the parts alone know; pages, calls, time, failures and slots are the stack's own. */
static void add_stats(struct pg_store *s, struct pg_store_stats *out)
{
	struct stack *k = (struct stack *)s;

	for (unsigned p = 0; p < k->n; p++) {
		struct pg_store_stats st;

		pg_store_stats(k->part[p], &st);
		out->bytes_in += st.bytes_in;
		out->bytes_out += st.bytes_out;
		out->host_in += st.host_in;
		out->host_out += st.host_out;
		out->same_filled += st.same_filled;
		out->incompressible += st.incompressible;
		out->punched += st.punched;
		out->held_pages += st.held_pages;
		out->held_same += st.held_same;
		out->held_bytes += st.held_bytes;
		out->held_rounded += st.held_rounded;
		out->pool_bytes += st.pool_bytes;
		out->memory_bytes += st.memory_bytes;
		out->memory_peak += st.memory_peak;
		out->compactions += st.compactions;
		out->moved += st.moved;
	}
}

static void room(struct pg_store *s, struct pg_store_room *out)
{
	struct stack *k = (struct stack *)s;

	for (unsigned p = 0; p < k->n; p++) {
		struct pg_store_room r = {0};

		pg_store_room(k->part[p], &r);
		out->sure += r.sure;
		out->free += r.free;
		out->limit_bytes += r.limit_bytes;
	}
	pthread_mutex_lock(&s->lock);
	out->slots = k->total;
	out->used = pg_slots_used(k->head.slots);
	pthread_mutex_unlock(&s->lock);
}

static struct pg_store *part(struct pg_store *s, unsigned i)
{
	struct stack *k = (struct stack *)s;

	return i < k->n ? k->part[i] : NULL;
}

static const char *check(struct pg_store *s)
{
	struct stack *k = (struct stack *)s;
	uint64_t count[MAX_PARTS] = {0};
	const char *broken;

	pthread_mutex_lock(&s->lock);
	broken = pg_slots_check(k->head.slots);
	for (uint64_t i = 0; !broken && i < k->total; i++) {
		struct place at;

		if (i % PG_STORE_CLUSTER == 0 &&
			pg_slots_in_cluster(k->head.slots, (uint32_t)(i / PG_STORE_CLUSTER)) == 0) {
			i += PG_STORE_CLUSTER - 1;
			continue;
		}
		at = k->places[i];
		if (!at.part)
			continue;
		count[at.part - 1]++;
		if (!pg_slots_taken(k->head.slots, (pg_slot){(uint32_t)i}) ||
			!pg_store_is_reserved(k->part[at.part - 1], at.slot))
			broken = "K1: a place without a slot, or of a free slot of its part";
	}
	pthread_mutex_unlock(&s->lock);
	for (unsigned p = 0; !broken && p < k->n; p++) {
		struct pg_store_room r;

		pg_store_room(k->part[p], &r);
		if (r.used != count[p])
			broken = "K2: a part has other slots reserved than those that are places";
		else
			broken = pg_store_check(k->part[p]);
	}
	return broken;
}

static void destroy(struct pg_store *s)
{
	struct stack *k = (struct stack *)s;

	for (unsigned p = 0; p < k->n; p++)
		pg_store_destroy(k->part[p]);
	if (k->places)
		munmap(k->places, k->total * sizeof(struct place));
	pg_store_fini(s);
	free(k);
}

static const struct pg_store_ops ops = {
	.destroy = destroy,
	.reserve = pg_store_take_slots,
	.release = release,
	.write = write_pages,
	.read = read_pages,
	.stats = add_stats,
	.room = room,
	.part = part,
	.is_reserved = pg_store_slot_taken,
	.check = check,
};

int pg_store_make_stack(
	const char *name, struct pg_store **parts, unsigned n, struct pg_store **out)
{
	struct stack *k = calloc(1, sizeof(*k));

	PG_ASSERT(n <= MAX_PARTS);
	if (!k || pg_store_init(&k->head, &ops, name, name + strlen(name)) < 0) {
		free(k);
		return -ENOMEM;
	}
	for (unsigned p = 0; p < n; p++) {
		struct pg_store_room r;

		pg_store_room(parts[p], &r);
		k->total += r.slots;
	}
	if (k->total >= UINT32_MAX)
		k->total = UINT32_MAX / PG_STORE_CLUSTER * PG_STORE_CLUSTER;
	k->places = mmap(NULL, k->total * sizeof(struct place), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (k->places == MAP_FAILED)
		k->places = NULL;
	if (!k->places || pg_slots_create(k->total, &k->head.slots) < 0) {
		destroy(&k->head); /* the parts stay the caller's: n is 0 */
		return -ENOMEM;
	}
	memcpy(k->part, parts, n * sizeof(*parts));
	k->n = n;
	*out = &k->head;
	return 0;
}
