/* SPDX-License-Identifier: MIT */
/*
 * reclaim/simulate.c: see simulate.h. Owns, during a call, a table of all pages by key and the bits of each frame.
 *
 * A reference to a page in memory sets its bits and tells the policy nothing: it is a memory access. A miss takes
 * a free frame, or the one that the policy picks; the policy is told, then the access sets the bits. The end of an
 * interval (tick) comes each time an eighth of the frames was filled, as in reclaim.c.
 */
#include "reclaim/simulate.h"

#include <errno.h>
#include <stdlib.h>

#define NONE UINT32_MAX

struct page {
	struct pg_page_key key;
	uint32_t chain;      /* of its bucket */
	uint32_t frame;      /* or NONE */
	uint64_t evicted_at; /* evictions when it went; PG_DISTANCE_NONE: never did */
};

struct frame {
	uint32_t page; /* or NONE */
	bool accessed, dirty;
};

struct machine {
	struct page *pages;   /* owned */
	uint32_t *buckets;    /* owned */
	struct frame *frames; /* owned */
	uint32_t n, max, mask, total;
	struct pg_simulation *out;
};

static uint32_t bucket_of(const struct machine *m, struct pg_page_key key)
{
	uint64_t h = (key.object + 1) * 0x9e3779b97f4a7c15u ^ (key.index + 1) * 0xc2b2ae3d27d4eb4fu;

	return (uint32_t)(h >> 31 ^ h) & m->mask;
}

static int grow(struct machine *m)
{
	uint32_t max = m->max ? m->max * 2 : 1024;
	struct page *pages = realloc(m->pages, max * sizeof *pages);
	uint32_t *buckets;

	if (!pages)
		return -ENOMEM;
	m->pages = pages;
	buckets = malloc(max * sizeof *buckets);
	if (!buckets)
		return -ENOMEM;
	free(m->buckets);
	m->buckets = buckets;
	m->max = max;
	m->mask = max - 1;
	for (uint32_t i = 0; i < max; i++)
		buckets[i] = NONE;
	for (uint32_t i = 0; i < m->n; i++) {
		uint32_t b = bucket_of(m, pages[i].key);

		pages[i].chain = buckets[b];
		buckets[b] = i;
	}
	return 0;
}

/* The row of a page, made if it is new; -ENOMEM. */
static int page_of(struct machine *m, struct pg_page_key key, uint32_t *out)
{
	uint32_t i, b;

	if (m->n == m->max && grow(m) < 0)
		return -ENOMEM;
	b = bucket_of(m, key);
	for (i = m->buckets[b]; i != NONE; i = m->pages[i].chain)
		if (pg_page_key_equal(m->pages[i].key, key)) {
			*out = i;
			return 0;
		}
	*out = i = m->n++;
	m->pages[i] = (struct page){key, m->buckets[b], NONE, PG_DISTANCE_NONE};
	m->buckets[b] = i;
	m->out->distinct++;
	return 0;
}

static int machine_init(struct machine *m, uint32_t frames, struct pg_simulation *out)
{
	*m = (struct machine){.total = frames, .out = out};
	*out = (struct pg_simulation){0};
	m->frames = calloc(frames, sizeof *m->frames);
	if (!m->frames)
		return -ENOMEM;
	for (uint32_t f = 0; f < frames; f++)
		m->frames[f].page = NONE;
	return 0;
}

static void machine_free(struct machine *m)
{
	free(m->pages);
	free(m->buckets);
	free(m->frames);
}

static bool accessed(void *ctx, pg_pfn f)
{
	struct machine *m = ctx;
	bool was = m->frames[f.v].accessed;

	m->out->looks++;
	m->frames[f.v].accessed = false;
	return was;
}

static bool dirty(void *ctx, pg_pfn f)
{
	return ((struct machine *)ctx)->frames[f.v].dirty;
}

static uint64_t capacity(void *ctx)
{
	return ((struct machine *)ctx)->total;
}

/* The frame's page leaves it. */
static void evict(struct machine *m, uint32_t f)
{
	struct page *page = &m->pages[m->frames[f].page];

	page->frame = NONE;
	page->evicted_at = m->out->evictions++;
	m->out->dirty += m->frames[f].dirty;
	m->frames[f] = (struct frame){.page = NONE};
}

int pg_policy_simulate(const struct pg_policy_ops *ops, const char *args, uint64_t seed,
	uint32_t frames, const struct pg_reference *refs, uint64_t n, uint8_t *missed,
	struct pg_simulation *out)
{
	struct machine m;
	struct pg_policy_env env = {&m, accessed, dirty, capacity, seed};
	struct pg_policy *p = NULL;
	uint32_t used = 0, interval = frames / 8 ? frames / 8 : 1;
	int rc = machine_init(&m, frames, out);

	if (rc == 0)
		rc = ops->create(&env, frames, args, &p);
	if (rc == 0)
		p->ops = ops;
	for (uint64_t i = 0; i < n && rc == 0; i++) {
		uint32_t at = 0, f;

		rc = page_of(&m, refs[i].page, &at);
		if (rc < 0)
			break;
		f = m.pages[at].frame;
		out->references++;
		if (missed)
			missed[i] = f == NONE;
		if (f == NONE) {
			struct page *page = &m.pages[at];
			struct pg_page_info info = {page->key, PG_PAGE_DEMAND, PG_DISTANCE_NONE};

			if (out->misses++ % interval == 0 && out->misses > 1 && ops->tick)
				ops->tick(p);
			if (page->evicted_at != PG_DISTANCE_NONE)
				info.distance = out->evictions - page->evicted_at - 1;
			if (used < frames) {
				f = used++;
			} else {
				struct pg_page_key victim;

				f = ops->pick(p).v;
				PG_ASSERT(f < frames && m.frames[f].page != NONE);
				victim = m.pages[m.frames[f].page].key;
				evict(&m, f);
				ops->evicted(p, (pg_pfn){f}, victim);
			}
			m.frames[f].page = at;
			page->frame = f;
			ops->added(p, (pg_pfn){f}, &info);
		}
		m.frames[f].accessed = true;
		m.frames[f].dirty |= refs[i].write;
	}
	if (p)
		ops->destroy(p);
	machine_free(&m);
	return rc;
}

/* A heap of frames by the time of their page's next use, latest first. */
struct heap {
	uint32_t *frame; /* [n] */
	uint32_t *at;    /* where a frame is in it */
	uint64_t *next;  /* by frame */
	uint32_t n;
};

static void heap_put(struct heap *h, uint32_t i, uint32_t f)
{
	h->frame[i] = f;
	h->at[f] = i;
}

/* Restores the order after next[f] changed. */
static void heap_move(struct heap *h, uint32_t f)
{
	uint32_t i = h->at[f];

	for (; i > 0 && h->next[h->frame[(i - 1) / 2]] < h->next[f]; i = (i - 1) / 2)
		heap_put(h, i, h->frame[(i - 1) / 2]);
	for (;;) {
		uint32_t k = 2 * i + 1;

		if (k + 1 < h->n && h->next[h->frame[k + 1]] > h->next[h->frame[k]])
			k++;
		if (k >= h->n || h->next[h->frame[k]] <= h->next[f])
			break;
		heap_put(h, i, h->frame[k]);
		i = k;
	}
	heap_put(h, i, f);
}

int pg_policy_optimum(uint32_t frames, const struct pg_reference *refs, uint64_t n, uint8_t *missed,
	struct pg_simulation *out)
{
	struct machine m;
	struct heap h = {malloc(frames * sizeof *h.frame), malloc(frames * sizeof *h.at),
		malloc(frames * sizeof *h.next), 0};
	uint64_t *next = malloc((n ? n : 1) * sizeof *next), *last = NULL;
	uint32_t *row = malloc((n ? n : 1) * sizeof *row);
	int rc = machine_init(&m, frames, out);

	if (!h.frame || !h.at || !h.next || !next || !row)
		rc = -ENOMEM;
	for (uint64_t i = 0; i < n && rc == 0; i++)
		rc = page_of(&m, refs[i].page, &row[i]);
	if (rc == 0 && !(last = malloc((m.n + 1) * sizeof *last)))
		rc = -ENOMEM;
	for (uint32_t i = 0; i < m.n && rc == 0; i++)
		last[i] = UINT64_MAX; /* never again */
	for (uint64_t i = n; i > 0 && rc == 0; i--) {
		next[i - 1] = last[row[i - 1]];
		last[row[i - 1]] = i - 1;
	}
	for (uint64_t i = 0; i < n && rc == 0; i++) {
		uint32_t f = m.pages[row[i]].frame;

		out->references++;
		if (missed)
			missed[i] = f == NONE;
		if (f == NONE) {
			out->misses++;
			if (h.n < frames) {
				f = h.n++;
				h.next[f] = 0;
				heap_put(&h, f, f);
			} else {
				f = h.frame[0];
				evict(&m, f);
			}
			m.frames[f].page = row[i];
			m.pages[row[i]].frame = f;
		}
		m.frames[f].dirty |= refs[i].write;
		h.next[f] = next[i];
		heap_move(&h, f);
	}
	free(h.frame);
	free(h.at);
	free(h.next);
	free(next);
	free(last);
	free(row);
	machine_free(&m);
	return rc;
}
