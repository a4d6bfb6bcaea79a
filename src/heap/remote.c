/* SPDX-License-Identifier: MIT */
/*
 * heap/remote.c: more than one thread: whose heap is whose, frees of another's blocks, fork.
 *
 *   thread B frees a block of thread A's page:
 *     1 sets the block's remote bit                        (set before: freed twice)
 *     2 if the page's owner word is A's heap, makes it heap | 1, and puts the page on A's list `pending`
 *   thread A, when a class has no free block:
 *     takes the whole list; for each page, owner word back to its heap, then remote bits into free bits
 *
 * So a free costs one atomic instruction, two more for the first since the owner last looked. Between 1 and 2 the owner
 * may have seen the bit, given the page back, even the segment: B then looks at the owner word of a page that is
 * another's or nobody's by now. That is harmless: segments stay mapped (S2), 0 means nobody, and a page that comes onto
 * a list without reason is looked at without result.
 *
 * A heap without a thread is idle. Who frees into it, and finds many pages waiting there, merges them itself.
 *
 * Fork: the child has one thread. Its heap is as it was; idle ones are consistent, for their lock was held; the others' are
 * *dead* in the child, since their threads may have been in the middle of something: their blocks stay what they are, can be
 * freed, and are not used again.
 *
 * Not here: what a page does with blocks that came back (sharded.c, pg_page_gained).
 */
#include "heap/sharded.h"

#include <errno.h>
#include <string.h>

#define IDLE_PAGES_MAX                                                                             \
	16 /* pages with remote frees that an idle heap may collect before somebody looks */

pthread_mutex_t pg_heap_lock = PTHREAD_MUTEX_INITIALIZER;

static struct pg_heap *idle_heaps; /* guarded by pg_heap_lock */
static struct pg_heap first_heap;  /* of the first thread */
static pthread_key_t end_key;      /* runs at_thread_end() */
static bool end_key_made;          /* before any second thread */
static __thread bool past_end __attribute__((tls_model("initial-exec")));

/* --- remote frees ----------------------------------------------------------------------------------- */

static void merge(struct pg_heap *h, struct pg_heap_page *page)
{
	struct pg_heap_bits *bits = pg_page_bits(page);
	bool gained = false;

	if (page->state == PG_HEAP_PAGE_FREE)
		return;
	for (unsigned i = 0; i < (page->capacity + 63u) / 64; i++) {
		if (!__atomic_load_n(&bits->remote[i], __ATOMIC_RELAXED))
			continue;
		uint64_t freed = __atomic_exchange_n(&bits->remote[i], 0, __ATOMIC_ACQUIRE);
		uint64_t twice = freed & bits->free[i];
		if (PG_UNLIKELY(twice))
			pg_sharded_reject(
				"free", (void *)(page->start +
						 (i * 64ul + (unsigned)__builtin_ctzl(twice)) *
							 page->block_size));
		bits->free[i] |= freed;
		gained = true;
	}
	if (gained)
		pg_page_gained(h, page);
}

void pg_remote_collect(struct pg_heap *h)
{
	uint64_t next = __atomic_exchange_n(&h->pending, 0, __ATOMIC_ACQUIRE);

	__atomic_store_n(&h->pending_count, 0, __ATOMIC_RELAXED);
	while (next) {
		struct pg_heap_page *page = (struct pg_heap_page *)next;
		struct pg_heap_bits *bits = pg_page_bits(page);
		next = bits->pending;
		__atomic_exchange_n(&bits->owner, (uint64_t)h, __ATOMIC_ACQ_REL);
		merge(h, page);
	}
}

/* pg_heap_lock held; h is idle. */
static void collect_idle(struct pg_heap *h)
{
	pg_remote_collect(h);
	pg_sharded_collect(h);
	pg_segments_purge(h, true);
}

static void put_on_list(struct pg_heap *h, struct pg_heap_page *page, struct pg_heap_bits *bits)
{
	uint64_t head = __atomic_load_n(&h->pending, __ATOMIC_RELAXED);

	do {
		bits->pending = head;
	} while (!__atomic_compare_exchange_n(
		&h->pending, &head, (uint64_t)page, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	uint32_t waiting = __atomic_add_fetch(&h->pending_count, 1, __ATOMIC_RELAXED);
	if (waiting < IDLE_PAGES_MAX ||
		__atomic_load_n(&h->state, __ATOMIC_RELAXED) != PG_HEAP_IDLE)
		return;
	pg_lock(&pg_heap_lock);
	if (h->state == PG_HEAP_IDLE)
		collect_idle(h);
	pg_unlock(&pg_heap_lock);
}

void pg_remote_free(struct pg_heap_page *page, uint32_t index, void *p)
{
	struct pg_heap_bits *bits = pg_page_bits(page);
	uint64_t bit = 1ul << index % 64;

	if (PG_UNLIKELY(__atomic_load_n(&bits->free[index / 64], __ATOMIC_RELAXED) & bit))
		pg_sharded_reject("free", p);
	if (PG_UNLIKELY(__atomic_fetch_or(&bits->remote[index / 64], bit, __ATOMIC_ACQ_REL) & bit))
		pg_sharded_reject("free", p);
	uint64_t owner = __atomic_load_n(&bits->owner, __ATOMIC_ACQUIRE);
	while (owner && !(owner & 1)) {
		if (!__atomic_compare_exchange_n(&bits->owner, &owner, owner | 1, true,
			    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			continue;
		put_on_list((struct pg_heap *)owner, page, bits);
		return;
	}
}

/* --- whose heap --------------------------------------------------------------------------------------- */

static struct pg_heap *heap_make(void)
{
	struct pg_heap *h = &first_heap;

	if (pg_heap_root.heaps) {
		h = (struct pg_heap *)pg_os_map(pg_os_round(sizeof *h, PG_HEAP_OS_PAGE));
		if (!h)
			return NULL;
	}
	memcpy(h->bins, pg_heap_none.bins, sizeof h->bins);
	h->next = (struct pg_heap *)pg_heap_root.heaps;
	pg_heap_root.heaps = (uint64_t)h;
	return h;
}

/* pg_heap_lock held. */
static struct pg_heap *take_idle_or_make(void)
{
	struct pg_heap *h = idle_heaps;

	if (!h)
		return heap_make();
	idle_heaps = h->idle;
	return h;
}

static void give_idle(struct pg_heap *h)
{
	__atomic_store_n(&h->state, PG_HEAP_IDLE, __ATOMIC_RELAXED);
	h->idle = idle_heaps;
	idle_heaps = h;
}

static void at_thread_end(void *heap)
{
	struct pg_heap *h = heap;

	past_end = true;
	pg_heap_mine = &pg_heap_none;
	pg_lock(&pg_heap_lock);
	collect_idle(h);
	give_idle(h);
	pg_unlock(&pg_heap_lock);
}

void pg_remote_start(void)
{
	end_key_made = pthread_key_create(&end_key, at_thread_end) == 0;
}

struct pg_heap *pg_heap_acquire(void)
{
	if (past_end || !end_key_made)
		return NULL;
	pg_lock(&pg_heap_lock);
	struct pg_heap *h = take_idle_or_make();
	if (h)
		__atomic_store_n(&h->state, PG_HEAP_ACTIVE, __ATOMIC_RELAXED);
	pg_unlock(&pg_heap_lock);
	if (!h)
		return NULL;
	pg_heap_mine = h;
	pthread_setspecific(end_key, h); /* may allocate: there is a heap now */
	return h;
}

struct pg_heap *pg_heap_borrow(void)
{
	pg_lock(&pg_heap_lock);
	struct pg_heap *h = take_idle_or_make();
	if (!h)
		pg_unlock(&pg_heap_lock);
	return h;
}

void pg_heap_return(struct pg_heap *h)
{
	give_idle(h);
	pg_unlock(&pg_heap_lock);
}

void pg_idle_collect(void)
{
	pg_lock(&pg_heap_lock);
	for (struct pg_heap *h = idle_heaps; h; h = h->idle)
		collect_idle(h);
	pg_unlock(&pg_heap_lock);
}

/* --- fork: the front sets and clears pg_os_forking ------------------------------------------------------ */

void pg_sharded_fork_prepare(void)
{
	pthread_mutex_lock(&pg_heap_lock);
	pthread_mutex_lock(&pg_pool_lock);
	pthread_mutex_lock(&pg_huge_lock);
}

void pg_sharded_fork_parent(void)
{
	pthread_mutex_unlock(&pg_huge_lock);
	pthread_mutex_unlock(&pg_pool_lock);
	pthread_mutex_unlock(&pg_heap_lock);
}

void pg_sharded_fork_child(void)
{
	const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

	for (struct pg_heap *h = (struct pg_heap *)pg_heap_root.heaps; h; h = h->next) {
		if (h != pg_heap_mine && h->state == PG_HEAP_ACTIVE)
			h->state = PG_HEAP_DEAD;
	}
	pg_huge_lock = pg_pool_lock = pg_heap_lock = fresh;
}
