/* SPDX-License-Identifier: MIT */
/*
 * store/compressed.c: pages kept compressed in the host's memory, at most so many bytes of it.
 *
 *   write: same word throughout? keep the word : compress -> pool      read: pool -> expand -> checksum
 *
 * Called by store.c. Calls codec.c, pool.c, slots.c. Owns the pool, codecs and an entry for each slot.
 *
 * The limit counts all of it: spans of the pool with what describes them, entries (a chunk of 4 KiB
 * for each cluster of slots in use), the bitmap's share, and the codecs. So there are more slots than
 * will ever be filled with real pages: one for each 16 bytes of the limit, which is what an entry takes.
 *
 * A page that compressed is no smaller than a page's share of a span is incompressible: refused with -E2BIG,
 * for the next store, or kept as it is when there is none.
 *
 * The lock (head.lock) guards everything; it is not held while a page is compressed or expanded: objects
 * may move meanwhile, so a reader copies the compressed bytes out first.
 *
 * Invariants (pg_store_check):
 *   Z1 an entry that is not EMPTY is of a reserved slot; a cluster has a chunk if and only if it has slots reserved.
 *   Z2 an entry that is PACKED or RAW owns an object of the pool, and the object's owner is its slot;
 *      there are no other objects.
 *   Z3 the counters of held pages are those that a count gives; memory is within the limit.
 */
#include "store/codec.h"
#include "store/impl.h"
#include "store/pool.h"
#include "store/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CODECS_KEPT 4u
#define MIN_BYTES ((uint64_t)1 << 20)   /* smallest limit: some spans for some classes */
#define MAX_BYTES ((uint64_t)120 << 30) /* the pool's places have so many bits */

enum kind {
	EMPTY = 0, /* no data */
	SAME,      /* `word` over the whole page */
	PACKED,    /* compressed: bytes at `at` in the pool */
	RAW,       /* not compressed: PG_PAGE_SIZE bytes there */
};

struct entry {
	union {
		uint64_t sum;  /* PACKED, RAW: of the page */
		uint64_t word; /* SAME */
	};
	pg_pool_at at;
	uint16_t bytes;
	uint8_t kind; /* enum kind */
};

_Static_assert(sizeof(struct entry) == 16, "an entry takes what the number of slots assumes");

#define CHUNK_BYTES (PG_STORE_CLUSTER * sizeof(struct entry)) /* one page */
#define CLUSTER_COST (CHUNK_BYTES + 64)                       /* and the cluster's row in slots.c */

struct compressed {
	struct pg_store head;
	struct pg_pool *pool;
	struct entry
		*entries;  /* mapped, one a slot; a cluster without slots has no memory behind it */
	uint64_t total;    /* slots */
	uint64_t limit;    /* bytes */
	uint64_t clusters; /* with memory for entries */
	uint64_t codec_bytes;
	uint64_t memory_peak;
	uint64_t same_filled, incompressible, bytes_in, bytes_out, held, held_same;
	enum pg_codec_kind kind;
	unsigned codecs; /* idle ones */
	struct pg_codec *codec[CODECS_KEPT];
};

static uint64_t memory(const struct compressed *z)
{
	struct pg_pool_stats st;

	pg_pool_stats(z->pool, &st);
	return st.memory_bytes + z->clusters * CLUSTER_COST + z->codec_bytes;
}

static void note_peak(struct compressed *z)
{
	uint64_t now = memory(z);

	if (now > z->memory_peak)
		z->memory_peak = now;
}

static void moved(void *context, uint32_t owner, pg_pool_at to)
{
	struct compressed *z = context;

	z->entries[owner].at = to;
}

/* A codec for this caller alone; NULL: no memory. */
static struct pg_codec *codec_get(struct compressed *z)
{
	struct pg_codec *c = NULL;

	pthread_mutex_lock(&z->head.lock);
	if (z->codecs > 0)
		c = z->codec[--z->codecs];
	pthread_mutex_unlock(&z->head.lock);
	if (c)
		return c;
	if (pg_codec_create(z->kind, &c) < 0)
		return NULL;
	pthread_mutex_lock(&z->head.lock);
	z->codec_bytes += pg_codec_memory(c);
	pthread_mutex_unlock(&z->head.lock);
	return c;
}

static void codec_put(struct compressed *z, struct pg_codec *c, uint64_t was)
{
	pthread_mutex_lock(&z->head.lock);
	z->codec_bytes += pg_codec_memory(c) - was; /* it may have grown at its first use */
	if (z->codecs < CODECS_KEPT) {
		z->codec[z->codecs++] = c;
		c = NULL;
	} else {
		z->codec_bytes -= pg_codec_memory(c);
	}
	pthread_mutex_unlock(&z->head.lock);
	pg_codec_destroy(c);
}

/* What the entry holds is gone. Under the lock. */
static void drop(struct compressed *z, struct entry *e)
{
	if (e->kind == PACKED || e->kind == RAW)
		pg_pool_free(z->pool, e->at, e->bytes);
	z->held -= e->kind != EMPTY;
	z->held_same -= e->kind == SAME;
	*e = (struct entry){0};
}

static int reserve(struct pg_store *s, unsigned want, pg_slot *first)
{
	struct compressed *z = (struct compressed *)s;
	int got;

	pthread_mutex_lock(&s->lock);
	got = pg_slots_reserve(z->head.slots, want, first);
	if (got > 0) {
		uint32_t c = first->v / PG_STORE_CLUSTER;

		if (pg_slots_in_cluster(z->head.slots, c) == (unsigned)got) { /* its first slots */
			if (memory(z) + CLUSTER_COST > z->limit) {
				(void)!pg_slots_release(
					z->head.slots, *first, (unsigned)got, false);
				got = -ENOSPC;
			} else {
				z->clusters++;
				note_peak(z);
			}
		}
	}
	pthread_mutex_unlock(&s->lock);
	return got;
}

static void release(struct pg_store *s, pg_slot first, unsigned n)
{
	struct compressed *z = (struct compressed *)s;
	uint32_t c = first.v / PG_STORE_CLUSTER;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < n; i++)
		drop(z, &z->entries[first.v + i]);
	(void)!pg_slots_release(z->head.slots, first, n, false);
	if (pg_slots_in_cluster(z->head.slots, c) == 0) {
		z->clusters--;
		madvise((char *)z->entries + (size_t)c * CHUNK_BYTES, CHUNK_BYTES, MADV_DONTNEED);
	}
	pthread_mutex_unlock(&s->lock);
}

static bool is_same_filled(const uint64_t *word)
{
	size_t n = PG_PAGE_SIZE / sizeof(*word);

	if (word[0] != word[n - 1] || word[0] != word[n / 2])
		return false;
	return memcmp(word, word + 1, PG_PAGE_SIZE - sizeof(*word)) == 0;
}

/* Puts bytes[n] into the pool for an entry. Under the lock. */
static int put(struct compressed *z, struct entry *e, pg_slot slot, const void *bytes, unsigned n,
	enum kind kind, uint64_t sum)
{
	uint64_t now = memory(z);
	pg_pool_at at;
	int rc = pg_pool_alloc(z->pool, n, slot.v, now < z->limit ? z->limit - now : 0, &at);

	if (rc < 0)
		return rc;
	memcpy(pg_pool_bytes(z->pool, at), bytes, n);
	*e = (struct entry){.sum = sum, .at = at, .bytes = (uint16_t)n, .kind = (uint8_t)kind};
	z->held++;
	z->bytes_out += n;
	note_peak(z);
	return 0;
}

static int write_page(
	struct compressed *z, struct pg_codec *c, const struct pg_store_io *io, bool last)
{
	struct entry *e = &z->entries[io->slot.v];
	bool same = is_same_filled(io->page);
	uint8_t packed[PG_PAGE_SIZE];
	unsigned n = 0;
	uint64_t sum = 0;
	int rc = 0;

	if (!same) {
		n = pg_codec_compress(c, io->page, packed, sizeof(packed) - 1);
		if (n > 0 && pg_pool_is_huge(z->pool, n))
			n = 0;
		sum = pg_store_sum(io->page, io->slot);
	}
	pthread_mutex_lock(&z->head.lock);
	drop(z, e);
	if (same) {
		*e = (struct entry){.word = *(const uint64_t *)io->page, .kind = SAME};
		z->held++;
		z->held_same++;
		z->same_filled++;
	} else if (n > 0) {
		rc = put(z, e, io->slot, packed, n, PACKED, sum);
	} else {
		z->incompressible++;
		rc = last ? put(z, e, io->slot, io->page, PG_PAGE_SIZE, RAW, sum) : -E2BIG;
	}
	pthread_mutex_unlock(&z->head.lock);
	return rc;
}

static void write_pages(struct pg_store *s, struct pg_store_io *io, unsigned n, bool last)
{
	struct compressed *z = (struct compressed *)s;
	struct pg_codec *c = codec_get(z);
	uint64_t was = c ? pg_codec_memory(c) : 0;

	for (unsigned i = 0; i < n; i++) {
		PG_ASSERT(io[i].slot.v < z->total);
		io[i].status = c ? write_page(z, c, &io[i], last) : -ENOMEM;
	}
	if (c)
		codec_put(z, c, was);
}

static int read_page(struct compressed *z, struct pg_codec *c, const struct pg_store_io *io)
{
	uint8_t packed[PG_PAGE_SIZE];
	struct entry e;

	pthread_mutex_lock(&z->head.lock);
	e = z->entries[io->slot.v];
	if (e.kind == PACKED || e.kind == RAW) {
		memcpy(e.kind == RAW ? io->page : packed, pg_pool_bytes(z->pool, e.at), e.bytes);
		z->bytes_in += e.bytes;
	}
	pthread_mutex_unlock(&z->head.lock);
	if (e.kind == EMPTY)
		return -ENODATA;
	if (e.kind == SAME) {
		uint64_t *word = io->page;

		for (size_t i = 0; i < PG_PAGE_SIZE / sizeof(*word); i++)
			word[i] = e.word;
		return 0;
	}
	if (e.kind == PACKED && !pg_codec_expand(c, packed, e.bytes, io->page))
		return -EILSEQ;
	return pg_store_sum(io->page, io->slot) == e.sum ? 0 : -EILSEQ;
}

static void read_pages(struct pg_store *s, struct pg_store_io *io, unsigned n)
{
	struct compressed *z = (struct compressed *)s;
	struct pg_codec *c = codec_get(z);
	uint64_t was = c ? pg_codec_memory(c) : 0;

	for (unsigned i = 0; i < n; i++) {
		PG_ASSERT(io[i].slot.v < z->total);
		io[i].status = c ? read_page(z, c, &io[i]) : -ENOMEM;
	}
	if (c)
		codec_put(z, c, was);
}

static void add_stats(struct pg_store *s, struct pg_store_stats *out)
{
	struct compressed *z = (struct compressed *)s;
	struct pg_pool_stats st;

	pthread_mutex_lock(&s->lock);
	pg_pool_stats(z->pool, &st);
	out->bytes_in += z->bytes_in;
	out->bytes_out += z->bytes_out;
	out->same_filled += z->same_filled;
	out->incompressible += z->incompressible;
	out->held_pages += z->held;
	out->held_same += z->held_same;
	out->held_bytes += st.object_bytes;
	out->held_rounded += st.rounded_bytes;
	out->pool_bytes += st.span_bytes;
	out->memory_bytes += memory(z);
	out->memory_peak += z->memory_peak;
	out->compactions += st.compactions;
	out->moved += st.moved;
	pthread_mutex_unlock(&s->lock);
}

static void room(struct pg_store *s, struct pg_store_room *out)
{
	struct compressed *z = (struct compressed *)s;

	pthread_mutex_lock(&s->lock);
	out->slots = z->total;
	out->used = pg_slots_used(z->head.slots);
	out->sure = z->limit / (PG_PAGE_SIZE + PG_PAGE_SIZE / 16);
	out->free = z->limit > memory(z)
			    ? (z->limit - memory(z)) / (PG_PAGE_SIZE + PG_PAGE_SIZE / 16)
			    : 0;
	out->limit_bytes = z->limit;
	pthread_mutex_unlock(&s->lock);
}

static const char *check_locked(struct compressed *z)
{
	const char *broken = pg_slots_check(z->head.slots);
	uint64_t held = 0, same = 0, objects = 0, clusters = 0;
	struct pg_pool_stats st;

	if (!broken)
		broken = pg_pool_check(z->pool);
	for (uint64_t c = 0; !broken && c * PG_STORE_CLUSTER < z->total; c++) {
		uint64_t end = (c + 1) * PG_STORE_CLUSTER;

		if (pg_slots_in_cluster(z->head.slots, (uint32_t)c) == 0)
			continue; /* not looked at: that would give it memory */
		clusters++;
		for (uint64_t i = end - PG_STORE_CLUSTER; i < end && i < z->total; i++) {
			const struct entry *e = &z->entries[i];

			if (e->kind == EMPTY)
				continue;
			if (!pg_slots_taken(z->head.slots, (pg_slot){(uint32_t)i}))
				return "Z1: a slot that is free has data";
			held++;
			same += e->kind == SAME;
			objects += e->kind != SAME;
			if (e->kind != SAME && pg_pool_owner(z->pool, e->at) != i)
				return "Z2: an object's owner is not its slot";
		}
	}
	if (broken)
		return broken;
	pg_pool_stats(z->pool, &st);
	if (clusters != z->clusters)
		return "Z1: clusters with entries are not those with slots";
	if (objects != st.objects)
		return "Z2: objects of the pool without an entry";
	if (held != z->held || same != z->held_same || memory(z) > z->limit + z->codec_bytes)
		return "Z3: counters of held pages are wrong, or the limit is passed";
	return NULL;
}

static const char *check(struct pg_store *s)
{
	const char *broken;

	pthread_mutex_lock(&s->lock);
	broken = check_locked((struct compressed *)s);
	pthread_mutex_unlock(&s->lock);
	return broken;
}

static void destroy(struct pg_store *s)
{
	struct compressed *z = (struct compressed *)s;

	while (z->codecs > 0)
		pg_codec_destroy(z->codec[--z->codecs]);
	if (z->entries)
		munmap(z->entries, z->total * sizeof(struct entry));
	pg_pool_destroy(z->pool);
	pg_store_fini(s);
	free(z);
}

static const struct pg_store_ops ops = {
	.destroy = destroy,
	.reserve = reserve,
	.release = release,
	.write = write_pages,
	.read = read_pages,
	.stats = add_stats,
	.room = room,
	.is_reserved = pg_store_slot_taken,
	.check = check,
};

static int make(const char *name, const char *args, const char *end, enum pg_codec_kind kind,
	struct pg_store **out, const char **why)
{
	struct compressed *z;
	struct pg_codec *c;
	uint64_t limit;
	int rc;

	if (!pg_store_parse_size(args, end, &limit)) {
		*why = "compressed memory is given as zstd:SIZE or lz4:SIZE; a size is a number "
		       "and K, M, G or T";
		return -EINVAL;
	}
	if (limit < MIN_BYTES || limit > MAX_BYTES) {
		*why = "compressed memory has 1 MiB at least and 120 GiB at most";
		return -EINVAL;
	}
	z = calloc(1, sizeof(*z));
	if (!z || pg_store_init(&z->head, &ops, name, end) < 0) {
		free(z);
		return -ENOMEM;
	}
	z->kind = kind;
	z->limit = limit;
	z->total = limit / sizeof(struct entry) / PG_STORE_CLUSTER * PG_STORE_CLUSTER;
	if (z->total >= UINT32_MAX)
		z->total = UINT32_MAX / PG_STORE_CLUSTER * PG_STORE_CLUSTER;
	z->entries = mmap(NULL, z->total * sizeof(struct entry), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	rc = -ENOMEM;
	if (z->entries == MAP_FAILED) {
		z->entries = NULL;
		goto fail;
	}
	rc = pg_slots_create(z->total, &z->head.slots);
	if (rc < 0)
		goto fail;
	rc = pg_pool_create(limit, moved, z, &z->pool);
	if (rc < 0)
		goto fail;
	c = codec_get(z); /* the first, so that a page-out under pressure needs none */
	rc = -ENOMEM;
	if (!c)
		goto fail;
	codec_put(z, c, pg_codec_memory(c));
	*out = &z->head;
	return 0;
fail:
	destroy(&z->head);
	return rc;
}

int pg_store_make_zstd(const char *name, const char *args, const char *end,
	const struct pg_store_options *options, struct pg_store **out, const char **why)
{
	return make(name, args, end, PG_CODEC_ZSTD, out, why);
}

int pg_store_make_lz4(const char *name, const char *args, const char *end,
	const struct pg_store_options *options, struct pg_store **out, const char **why)
{
	return make(name, args, end, PG_CODEC_LZ4, out, why);
}
