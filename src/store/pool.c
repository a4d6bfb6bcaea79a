/* SPDX-License-Identifier: MIT */
/*
 * store/pool.c: objects of odd sizes, packed densely: what zsmalloc is to zram (Linux mm/zsmalloc.c), for
 * a process: spans of virtual memory stand for its chains of pages, so an object is never in two pieces.
 *
 * Called by compressed.c. Owns an area of address space, cut into spans of PG_POOL_SPAN_BYTES.
 *
 * A span belongs to one class and holds per_span objects of the class's size. Sizes are those that
 * fill a span without a rest: 32768 / k, rounded down to 8 bytes, thinned out where they are nearer than
 * a sixteenth (more in a small pool). So what is lost is lost by rounding up to the class (inside) and by free objects in spans
 * (outside), and both are counted. A new object goes to the fullest span of its class that has room, so
 * that emptier ones have a chance to run empty. When memory runs out, the emptiest span of some class is
 * emptied into the others, where they have room for all of it; and when that gives none, a free object of the next
 * larger class is taken.
 *
 * Invariants (pg_pool_check):
 *   P1 a span's count is the number of its bits; no bit is set at per_span or above.
 *   P2 a span in use is on the list of its class and group, and on no other.
 *   P3 the counters of objects and rounded bytes are those that a count gives.
 *   P4 span_bytes is the number of spans in use by their size; the others are free, each once.
 */
#include "store/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SPAN PG_POOL_SPAN_BYTES
#define MIN_BYTES 32u
#define MAX_PER_SPAN (SPAN / MIN_BYTES) /* 1024 */
#define INDEX_BITS 10u
#define MAX_CLASSES 96u
#define GROUPS 5u /* by fullness: quarters, and full */
#define FULL (GROUPS - 1)
#define NONE UINT32_MAX

_Static_assert(MAX_PER_SPAN == 1u << INDEX_BITS, "an index of an object fits its bits");

struct span {
	uint32_t *owners; /* owned, per_span entries; NULL: the span is free */
	uint32_t next, prev;
	uint16_t used;
	uint8_t class;
	uint8_t group;
	uint64_t bits[MAX_PER_SPAN / 64]; /* set: object in use */
};

struct class
{
	uint32_t size;           /* bytes */
	uint32_t per_span;       /* objects */
	uint32_t list[GROUPS];   /* heads; NONE */
	uint64_t objects, spans; /* in use */
};

struct pg_pool {
	uint8_t *area;
	struct span *spans; /* mapped; untouched ones are zero */
	uint32_t n;         /* spans that the area has */
	uint32_t fresh;     /* spans from here on have never been used */
	uint32_t free;      /* head of the free ones below */
	uint32_t in_use;
	uint64_t object_bytes, owner_bytes, compactions, moved;
	pg_pool_moved *tell;
	void *context; /* borrowed */
	unsigned classes;
	struct class class[MAX_CLASSES];       /* ascending by size */
	uint8_t by_size[PG_PAGE_SIZE / 8 + 1]; /* class of (bytes + 7) / 8 */
};

/* The size classes, largest first and none nearer to the next than 1 / apart of it, into sizes[]; how many. */
static unsigned sizes_of(uint32_t *sizes, uint32_t apart)
{
	unsigned n = 0;

	for (uint32_t k = SPAN / PG_PAGE_SIZE; k <= MAX_PER_SPAN; k++) {
		uint32_t size = SPAN / k / 8 * 8;

		if (n > 0 && size + sizes[n - 1] / apart > sizes[n - 1] && size > MIN_BYTES)
			continue;
		if (n > 0 && (size == sizes[n - 1] || size < MIN_BYTES))
			continue;
		sizes[n++] = size;
	}
	return n;
}

int pg_pool_create(uint64_t max_bytes, pg_pool_moved *moved, void *context, struct pg_pool **out)
{
	uint32_t sizes[MAX_CLASSES];
	struct pg_pool *p;
	uint64_t n = max_bytes / SPAN;

	if (n == 0 || n > (uint64_t)1 << (32 - INDEX_BITS))
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->n = (uint32_t)n - (n == (uint64_t)1 << (32 - INDEX_BITS)); /* PG_POOL_NONE is nobody's */
	p->free = NONE;
	p->tell = moved;
	p->context = context;
	/* Each class keeps a span that is not full: a small pool has fewer classes. */
	p->classes = sizes_of(sizes, n < 64 ? 3 : n < 512 ? 6 : 16);
	for (unsigned c = 0; c < p->classes; c++) {
		struct class *k = &p->class[c];

		k->size = sizes[p->classes - 1 - c];
		k->per_span = SPAN / k->size;
		for (unsigned g = 0; g < GROUPS; g++)
			k->list[g] = NONE;
	}
	for (unsigned c = 0, i = 0; i <= PG_PAGE_SIZE / 8; i++) {
		while (p->class[c].size < i * 8)
			c++;
		p->by_size[i] = (uint8_t)c;
	}
	p->spans = mmap(NULL, p->n * sizeof(struct span), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	p->area = mmap(NULL, (size_t)p->n * SPAN, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->spans == MAP_FAILED || p->area == MAP_FAILED) {
		if (p->spans != MAP_FAILED)
			munmap(p->spans, p->n * sizeof(struct span));
		if (p->area != MAP_FAILED)
			munmap(p->area, (size_t)p->n * SPAN);
		free(p);
		return -ENOMEM;
	}
	*out = p;
	return 0;
}

void pg_pool_destroy(struct pg_pool *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->fresh; i++)
		free(p->spans[i].owners);
	munmap(p->spans, p->n * sizeof(struct span));
	munmap(p->area, (size_t)p->n * SPAN);
	free(p);
}

static void unlink_span(struct pg_pool *p, uint32_t i)
{
	struct span *s = &p->spans[i];

	if (s->next != NONE)
		p->spans[s->next].prev = s->prev;
	if (s->prev != NONE)
		p->spans[s->prev].next = s->next;
	else
		p->class[s->class].list[s->group] = s->next;
}

static unsigned group_of(const struct class *k, unsigned used)
{
	return used == k->per_span ? FULL : used * FULL / k->per_span;
}

static void link_span(struct pg_pool *p, uint32_t i)
{
	struct span *s = &p->spans[i];
	struct class *k = &p->class[s->class];

	s->group = (uint8_t)group_of(k, s->used);
	s->prev = NONE;
	s->next = k->list[s->group];
	if (s->next != NONE)
		p->spans[s->next].prev = i;
	k->list[s->group] = i;
}

/* After a change of the span's count. */
static void relink(struct pg_pool *p, uint32_t i)
{
	struct span *s = &p->spans[i];

	if (s->group == group_of(&p->class[s->class], s -> used))
		return;
	unlink_span(p, i);
	link_span(p, i);
}

/* The fullest span of the class that has room and is not `but`; NONE. */
static uint32_t fullest(const struct pg_pool *p, const struct class *k, uint32_t but)
{
	for (int g = FULL - 1; g >= 0; g--) {
		uint32_t i = k->list[g];

		if (i != NONE && i == but)
			i = p->spans[i].next;
		if (i != NONE)
			return i;
	}
	return NONE;
}

/* An empty span joins class c; -ENOSPC, -ENOMEM. */
static int take_span(struct pg_pool *p, unsigned c, uint32_t *out)
{
	struct class *k = &p->class[c];
	uint32_t *owners = malloc(k->per_span * sizeof(*owners));
	struct span *s;
	uint32_t i;

	if (!owners)
		return -ENOMEM;
	if (p->free != NONE) {
		i = p->free;
		p->free = p->spans[i].next;
	} else if (p->fresh < p->n) {
		i = p->fresh++;
	} else {
		free(owners);
		return -ENOSPC;
	}
	s = &p->spans[i];
	memset(s, 0, sizeof(*s));
	s->owners = owners;
	s->class = (uint8_t)c;
	k->spans++;
	p->in_use++;
	p->owner_bytes += k->per_span * sizeof(*owners);
	link_span(p, i);
	*out = i;
	return 0;
}

/* An empty span leaves its class; its memory goes back to the host. */
static void drop_span(struct pg_pool *p, uint32_t i)
{
	struct span *s = &p->spans[i];
	struct class *k = &p->class[s->class];

	unlink_span(p, i);
	k->spans--;
	p->in_use--;
	p->owner_bytes -= k->per_span * sizeof(*s->owners);
	free(s->owners);
	s->owners = NULL;
	madvise(p->area + (size_t)i * SPAN, SPAN, MADV_DONTNEED);
	s->next = p->free;
	p->free = i;
}

static unsigned class_of(const struct pg_pool *p, unsigned bytes)
{
	return p->by_size[(bytes + 7) / 8];
}

/* An object of a span that has room. */
static pg_pool_at take_object(struct pg_pool *p, uint32_t i, uint32_t owner)
{
	struct span *s = &p->spans[i];
	unsigned w = 0, index;

	while (s->bits[w] == UINT64_MAX)
		w++;
	index = w * 64 + (unsigned)__builtin_ctzll(~s->bits[w]);
	PG_ASSERT(index < p->class[s->class].per_span);
	s->bits[w] |= (uint64_t)1 << (index % 64);
	s->owners[index] = owner;
	s->used++;
	p->class[s->class].objects++;
	relink(p, i);
	return i << INDEX_BITS | index;
}

/* Gives an object's place back; the span stays, even empty. */
static void put_object(struct pg_pool *p, uint32_t i, unsigned index)
{
	struct span *s = &p->spans[i];

	PG_ASSERT(s->owners && (s->bits[index / 64] >> (index % 64) & 1));
	s->bits[index / 64] &= ~((uint64_t)1 << (index % 64));
	s->used--;
	p->class[s->class].objects--;
	relink(p, i);
}

/* Empties the emptiest span of a class into its others, if they have room. */
static bool compact_class(struct pg_pool *p, struct class *k)
{
	uint32_t i = NONE;
	struct span *s;

	for (unsigned g = 0; g < FULL && i == NONE; g++)
		i = k->list[g];
	if (i == NONE)
		return false;
	s = &p->spans[i];
	if (k->spans * k->per_span - k->objects < k->per_span)
		return false; /* less than a span's worth is free */
	for (unsigned w = 0; w < MAX_PER_SPAN / 64; w++)
		while (s->bits[w]) {
			unsigned index = w * 64 + (unsigned)__builtin_ctzll(s->bits[w]);
			uint32_t to = fullest(p, k, i), owner = s->owners[index];
			pg_pool_at at;

			PG_ASSERT(to != NONE);
			at = take_object(p, to, owner);
			memcpy(pg_pool_bytes(p, at), pg_pool_bytes(p, i << INDEX_BITS | index),
				k->size);
			p->tell(p->context, owner, at);
			put_object(p, i, index);
			p->moved++;
		}
	drop_span(p, i);
	p->compactions++;
	return true;
}

bool pg_pool_compact(struct pg_pool *p)
{
	/* From the class that has most to gain. */
	struct class *best = NULL;
	uint64_t most = 0;

	for (unsigned c = 0; c < p->classes; c++) {
		struct class *k = &p->class[c];
		uint64_t room = k->spans * k->per_span - k->objects;

		if (room >= k->per_span && room * k->size > most) {
			most = room * k->size;
			best = k;
		}
	}
	return best && compact_class(p, best);
}

static uint64_t cost_of(const struct class *k)
{
	return SPAN + sizeof(struct span) + k->per_span * sizeof(uint32_t);
}

/* A span with room of the next class above that has one; NONE. */
static uint32_t of_larger_class(const struct pg_pool *p, unsigned c)
{
	uint32_t i = NONE;

	while (i == NONE && ++c < p->classes)
		i = fullest(p, &p->class[c], NONE);
	return i;
}

static uint64_t memory_of(const struct pg_pool *p)
{
	return (uint64_t)p->in_use * (SPAN + sizeof(struct span)) + p->owner_bytes;
}

int pg_pool_alloc(
	struct pg_pool *p, unsigned bytes, uint32_t owner, uint64_t may_take, pg_pool_at *out)
{
	unsigned c = class_of(p, bytes);
	struct class *k = &p->class[c];
	uint32_t i = fullest(p, k, NONE);

	PG_ASSERT(bytes >= 1 && bytes <= PG_PAGE_SIZE);
	if (i == NONE) {
		uint64_t limit = memory_of(p) + may_take;
		int rc;

		while (memory_of(p) + cost_of(k) > limit || (p->free == NONE && p->fresh == p->n))
			if (!pg_pool_compact(p)) {
				i = of_larger_class(p, c);
				if (i == NONE)
					return -ENOSPC;
				break;
			}
		rc = i == NONE ? take_span(p, c, &i) : 0;
		if (rc < 0)
			return rc;
	}
	p->object_bytes += bytes;
	*out = take_object(p, i, owner);
	return 0;
}

void pg_pool_free(struct pg_pool *p, pg_pool_at at, unsigned bytes)
{
	uint32_t i = at >> INDEX_BITS;

	put_object(p, i, at & (MAX_PER_SPAN - 1));
	p->object_bytes -= bytes;
	if (p->spans[i].used == 0)
		drop_span(p, i);
}

void *pg_pool_bytes(const struct pg_pool *p, pg_pool_at at)
{
	uint32_t i = at >> INDEX_BITS;

	return p->area + (size_t)i * SPAN +
	       (size_t)(at & (MAX_PER_SPAN - 1)) * p->class[p->spans[i].class].size;
}

uint32_t pg_pool_owner(const struct pg_pool *p, pg_pool_at at)
{
	return p->spans[at >> INDEX_BITS].owners[at & (MAX_PER_SPAN - 1)];
}

bool pg_pool_is_huge(const struct pg_pool *p, unsigned bytes)
{
	return bytes > p->class[p->classes - 2].size;
}

void pg_pool_stats(const struct pg_pool *p, struct pg_pool_stats *out)
{
	*out = (struct pg_pool_stats){.object_bytes = p->object_bytes,
		.span_bytes = (uint64_t)p->in_use * SPAN,
		.memory_bytes = memory_of(p),
		.compactions = p->compactions,
		.moved = p->moved};
	for (unsigned c = 0; c < p->classes; c++) {
		out->objects += p->class[c].objects;
		out->rounded_bytes += p->class[c].objects * p->class[c].size;
	}
}

const char *pg_pool_check(const struct pg_pool *p)
{
	uint64_t objects = 0, counted = 0, owner_bytes = 0;
	uint32_t in_use = 0, listed = 0, unused = 0;

	for (uint32_t i = 0; i < p->fresh; i++) {
		const struct span *s = &p->spans[i];
		unsigned used = 0;

		if (!s->owners)
			continue;
		in_use++;
		owner_bytes += p->class[s->class].per_span * sizeof(uint32_t);
		for (unsigned w = 0; w < MAX_PER_SPAN / 64; w++)
			used += (unsigned)__builtin_popcountll(s->bits[w]);
		for (unsigned j = p->class[s->class].per_span; j < MAX_PER_SPAN; j++)
			if (s->bits[j / 64] >> (j % 64) & 1)
				return "P1: a bit behind the last object is set";
		if (used != s->used || used == 0)
			return "P1: a span's count is not that of its bits, or it is empty";
		objects += used;
	}
	for (unsigned c = 0; c < p->classes; c++) {
		uint64_t of_class = 0, spans = 0;

		for (unsigned g = 0; g < GROUPS; g++)
			for (uint32_t i = p->class[c].list[g], prev = NONE; i != NONE;
				prev = i, i = p->spans[i].next) {
				const struct span *s = &p->spans[i];

				if (s->class != c || s->group != g || s->prev != prev ||
					!s->owners || g != group_of(&p->class[c], s -> used) ||
					listed++ > p->fresh)
					return "P2: a span is on the wrong list";
				of_class += s->used;
				spans++;
			}
		if (of_class != p->class[c].objects || spans != p->class[c].spans)
			return "P3: a class's counters are wrong";
		counted += of_class;
	}
	if (listed != in_use)
		return "P2: a span in use is on no list";
	if (counted != objects)
		return "P3: objects are not those of the classes";
	for (uint32_t i = p->free; i != NONE && unused <= p->fresh; i = p->spans[i].next, unused++)
		if (p->spans[i].owners)
			return "P4: a free span has owners";
	if (in_use != p->in_use || in_use + unused != p->fresh || owner_bytes != p->owner_bytes)
		return "P4: spans in use and free ones are not all";
	return NULL;
}
