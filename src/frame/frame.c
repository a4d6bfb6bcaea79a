/* SPDX-License-Identifier: MIT */
/*
 * frame/frame.c: the frames of a machine: the memfd that holds them, the frame table and the buddy
 * allocator (Knowlton 1965; Knuth, The Art of Computer Programming, vol. 1, 2.5).
 *
 * Called by mmu/ (nodes), space/ (pages), reclaim/. Calls the host for memory only.
 * Owns the memfd, its mapping, the rows and the reverse-map entries; owners are borrowed.
 *
 * Who moves a frame from which state to which, always a whole block at a time:
 *
 *   from \ to   FREE               ANON        CACHE       TABLE       WIRED
 *   FREE        merge, split here  alloc       alloc       alloc       alloc
 *   ANON        free (space/)      -           -           -           -
 *   CACHE       free (space/)      -           -           -           -
 *   TABLE       free (mmu/)        -           -           -           -
 *   WIRED       free (its maker,   -           -           -           -
 *               at the very end)
 *
 * All states but FREE are entered by pg_frames_alloc and left by pg_frames_free, nowhere else.
 *
 * Invariants (pg_frames_check):
 *   F1 the blocks, each 2^order frames and aligned to its size, cover all frames without
 *      overlap; all frames of a block have the state of its first.
 *   F2 a block is on the free list of its order if and only if it is FREE; lists are linked
 *      both ways.
 *   F3 no two free buddies of one order: they would have merged.
 *   F4 the counters by state and by free list are those that a count gives; by_state sums
 *      to total.
 *   F5 a FREE frame has no owner, flags, pins, mappings or reverse map.
 *   F6 the reverse map of a frame is no longer than map_count, and has no mapping twice.
 *
 * Allocation takes from the smallest block that will do and splits the lower half off; so a fresh
 * machine hands frames out in ascending order block by block: the engine's fast mode merges neighbours.
 * Not here: which frame to evict (reclaim/), what a page is (space/).
 */
#include "frame/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

_Static_assert(sizeof(struct pg_frame) <= 64, "a row of the frame table fits a cache line");

#define NONE UINT32_MAX
#define RMAPS_PER_CHUNK 170 /* a chunk is just below 4 KiB */

/* Reverse-map entries come from chunks that live as long as the machine. */
struct rmap_chunk {
	struct rmap_chunk *next; /* owned */
	struct pg_rmap entries[RMAPS_PER_CHUNK];
};

struct pg_frames {
	uint8_t *bytes;        /* the mapping of the whole memfd */
	struct pg_frame *rows; /* one for each frame; untouched rows are zero, which is FREE */
	uint32_t total;        /* frames */
	int fd;
	uint32_t nonempty;              /* bit k: the free list of order k has a block */
	uint32_t head[PG_FRAME_ORDERS]; /* pfn or NONE */
	uint64_t blocks[PG_FRAME_ORDERS];
	uint64_t by_state[PG_FRAME_STATES];
	uint64_t used_peak, table_peak;
	struct pg_rmap *rmap_free;      /* entries of chunks not in use */
	struct rmap_chunk *rmap_chunks; /* owned */
};

static void list_push(struct pg_frames *fs, uint32_t f, unsigned order)
{
	struct pg_frame *row = &fs->rows[f];
	uint32_t head = fs->head[order];

	row->order = (uint8_t)order;
	row->prev = NONE;
	row->next = head;
	if (head != NONE)
		fs->rows[head].prev = f;
	fs->head[order] = f;
	fs->nonempty |= 1u << order;
	fs->blocks[order]++;
}

static void list_remove(struct pg_frames *fs, uint32_t f)
{
	struct pg_frame *row = &fs->rows[f];
	unsigned order = row->order;

	if (row->prev != NONE)
		fs->rows[row->prev].next = row->next;
	else
		fs->head[order] = row->next;
	if (row->next != NONE)
		fs->rows[row->next].prev = row->prev;
	row->prev = row->next = NONE;
	if (fs->head[order] == NONE)
		fs->nonempty &= ~(1u << order);
	fs->blocks[order]--;
}

/* Puts all frames on the free lists as the largest aligned blocks, the lowest at each head. */
static void free_all(struct pg_frames *fs)
{
	uint32_t end = fs->total;

	while (end) {
		unsigned order = (unsigned)__builtin_ctz(end);

		if (order > PG_FRAME_ORDERS - 1)
			order = PG_FRAME_ORDERS - 1;
		end -= 1u << order;
		list_push(fs, end, order);
	}
	fs->by_state[PG_FRAME_FREE] = fs->total;
}

/*
 * The memory's file is not one that RLIMIT_FSIZE of whoever asked is meant for: the soft limit, where it is in the way, is up meanwhile. -EFBIG (and
 * no signal) if the hard one is too small.
 */
static int set_size(int fd, uint64_t bytes)
{
	struct rlimit old, up;
	int err = 0;

	if (getrlimit(RLIMIT_FSIZE, &old) != 0 || old.rlim_cur >= bytes)
		return ftruncate(fd, (off_t)bytes) < 0 ? -errno : 0;
	if (old.rlim_max < bytes)
		return -EFBIG;
	up = (struct rlimit){old.rlim_max, old.rlim_max};
	if (setrlimit(RLIMIT_FSIZE, &up) < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) < 0)
		err = -errno;
	setrlimit(RLIMIT_FSIZE, &old);
	return err;
}

int pg_frames_create(uint64_t bytes, struct pg_frames **out)
{
	struct pg_frames *fs;
	void *p;
	int err;

	if (bytes < (1u << 20) || bytes % (64u << 10) || bytes >> PG_PAGE_SHIFT >= NONE)
		return -EINVAL;
	fs = calloc(1, sizeof(*fs));
	if (!fs)
		return -ENOMEM;
	fs->total = (uint32_t)(bytes >> PG_PAGE_SHIFT);
	for (unsigned k = 0; k < PG_FRAME_ORDERS; k++)
		fs->head[k] = NONE;

	fs->fd = memfd_create("pagoda-frames", MFD_CLOEXEC);
	if (fs->fd < 0) {
		err = -errno;
		goto no_fd;
	}
	err = set_size(fs->fd, bytes);
	if (err < 0)
		goto no_bytes;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fs->fd, 0);
	if (p == MAP_FAILED) {
		err = -errno;
		goto no_bytes;
	}
	fs->bytes = p;
	p = mmap(NULL, fs->total * sizeof(struct pg_frame), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) {
		err = -errno;
		goto no_rows;
	}
	fs->rows = p;
	free_all(fs);
	*out = fs;
	return 0;

no_rows:
	munmap(fs->bytes, bytes);
no_bytes:
	close(fs->fd);
no_fd:
	free(fs);
	return err;
}

void pg_frames_destroy(struct pg_frames *fs)
{
	struct rmap_chunk *next;

	if (!fs)
		return;
	for (struct rmap_chunk *c = fs->rmap_chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	munmap(fs->rows, fs->total * sizeof(struct pg_frame));
	munmap(fs->bytes, (uint64_t)fs->total << PG_PAGE_SHIFT);
	close(fs->fd);
	free(fs);
}

int pg_frames_alloc(
	struct pg_frames *fs, unsigned order, enum pg_frame_state state, void *owner, pg_pfn *out)
{
	uint32_t fit, f;
	unsigned k;
	uint64_t used;

	PG_ASSERT(state > PG_FRAME_FREE && state < PG_FRAME_STATES);
	if (order >= PG_FRAME_ORDERS)
		return -ENOMEM;
	fit = fs->nonempty & ~((1u << order) - 1);
	if (!fit)
		return -ENOMEM;
	k = (unsigned)__builtin_ctz(fit);
	f = fs->head[k];
	list_remove(fs, f);
	while (k > order) {
		k--;
		list_push(fs, f + (1u << k), k);
	}

	for (uint32_t i = 0; i < 1u << order; i++) {
		struct pg_frame *row = &fs->rows[f + i];

		*row = (struct pg_frame){
			.state = (uint8_t)state, .prev = NONE, .next = NONE, .owner = owner};
	}
	fs->rows[f].order = (uint8_t)order;
	fs->by_state[PG_FRAME_FREE] -= 1u << order;
	fs->by_state[state] += 1u << order;
	if (fs->by_state[PG_FRAME_TABLE] > fs->table_peak)
		fs->table_peak = fs->by_state[PG_FRAME_TABLE];
	used = fs->total - fs->by_state[PG_FRAME_FREE];
	if (used > fs->used_peak)
		fs->used_peak = used;
	out->v = f;
	return 0;
}

void pg_frames_free(struct pg_frames *fs, pg_pfn first)
{
	uint32_t f = first.v;
	struct pg_frame *row;
	unsigned order;

	PG_ASSERT(f < fs->total);
	row = &fs->rows[f];
	order = row->order;
	PG_ASSERT(row->state != PG_FRAME_FREE);
	PG_ASSERT(order < PG_FRAME_ORDERS && !(f & ((1u << order) - 1)));
	fs->by_state[row->state] -= 1u << order;
	fs->by_state[PG_FRAME_FREE] += 1u << order;
	for (uint32_t i = 0; i < 1u << order; i++) {
		PG_ASSERT(!row[i].pins && !row[i].map_count && !row[i].rmap);
		row[i] = (struct pg_frame){.state = PG_FRAME_FREE, .prev = NONE, .next = NONE};
	}
	/*
	 * The buddy is the first frame of a block of at most this order (a larger one would hold
	 * us too), so if it is FREE its order can be trusted.
	 */
	for (; order < PG_FRAME_ORDERS - 1; order++) {
		uint32_t buddy = f ^ (1u << order);

		if ((uint64_t)buddy + (1u << order) > fs->total ||
			fs->rows[buddy].state != PG_FRAME_FREE || fs->rows[buddy].order != order)
			break;
		list_remove(fs, buddy);
		f &= ~(1u << order);
	}
	list_push(fs, f, order);
}

void *pg_frames_bytes(const struct pg_frames *fs, pg_pfn f)
{
	PG_ASSERT(f.v < fs->total);
	return fs->bytes + ((uint64_t)f.v << PG_PAGE_SHIFT);
}

struct pg_frame *pg_frames_row(struct pg_frames *fs, pg_pfn f)
{
	PG_ASSERT(f.v < fs->total);
	return &fs->rows[f.v];
}

pg_pfn pg_frames_of_host(const struct pg_frames *fs, const void *host)
{
	uint64_t at = (uint64_t)((uintptr_t)host - (uintptr_t)fs->bytes) >> PG_PAGE_SHIFT;

	return at < fs->total ? (pg_pfn){(uint32_t)at} : PG_PFN_NONE;
}

int pg_frames_fd(const struct pg_frames *fs)
{
	return fs->fd;
}

void pg_frames_set_fd(struct pg_frames *fs, int fd)
{
	PG_ASSERT(fd >= 0);
	fs->fd = fd;
}

uint64_t pg_frames_total(const struct pg_frames *fs)
{
	return fs->total;
}

uint64_t pg_frames_free_count(const struct pg_frames *fs)
{
	return fs->by_state[PG_FRAME_FREE];
}

void pg_frames_stats(const struct pg_frames *fs, struct pg_frames_stats *out)
{
	out->total = fs->total;
	out->used_peak = fs->used_peak;
	out->table_peak = fs->table_peak;
	for (unsigned i = 0; i < PG_FRAME_STATES; i++)
		out->by_state[i] = fs->by_state[i];
	for (unsigned k = 0; k < PG_FRAME_ORDERS; k++)
		out->free_blocks[k] = fs->blocks[k];
}

static int rmap_refill(struct pg_frames *fs)
{
	struct rmap_chunk *c = malloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->next = fs->rmap_chunks;
	fs->rmap_chunks = c;
	for (unsigned i = 0; i < RMAPS_PER_CHUNK; i++) {
		c->entries[i].next = fs->rmap_free;
		fs->rmap_free = &c->entries[i];
	}
	return 0;
}

int pg_frames_rmap_add(struct pg_frames *fs, pg_pfn f, void *space, pg_vpn vpn)
{
	struct pg_rmap *m;

	PG_ASSERT(f.v < fs->total && fs->rows[f.v].state != PG_FRAME_FREE);
	if (!fs->rmap_free && rmap_refill(fs) < 0)
		return -ENOMEM;
	m = fs->rmap_free;
	fs->rmap_free = m->next;
	*m = (struct pg_rmap){.next = fs->rows[f.v].rmap, .space = space, .vpn = vpn};
	fs->rows[f.v].rmap = m;
	return 0;
}

void pg_frames_rmap_remove(struct pg_frames *fs, pg_pfn f, void *space, pg_vpn vpn)
{
	struct pg_rmap **at, *m;

	PG_ASSERT(f.v < fs->total);
	for (at = &fs->rows[f.v].rmap; (m = *at); at = &m->next)
		if (m->space == space && m->vpn.v == vpn.v)
			break;
	PG_ASSERT(m);
	*at = m->next;
	m->next = fs->rmap_free;
	fs->rmap_free = m;
}

/* F5 and F6 for one row. */
static const char *check_row(const struct pg_frame *row)
{
	uint64_t n = 0;

	if (row->state == PG_FRAME_FREE &&
		(row->owner || row->flags || row->pins || row->map_count || row->rmap))
		return "F5: a free frame is in use";
	for (const struct pg_rmap *m = row->rmap; m; m = m->next) {
		n++;
		for (const struct pg_rmap *o = m->next; o; o = o->next)
			if (o->space == m->space && o->vpn.v == m->vpn.v)
				return "F6: a mapping is twice in the reverse map";
	}
	return n > row->map_count ? "F6: more reverse mappings than map_count" : NULL;
}

/* F2: the lists by themselves; each block on list k is FREE, of order k, linked both ways. */
static const char *check_lists(const struct pg_frames *fs)
{
	for (unsigned k = 0; k < PG_FRAME_ORDERS; k++) {
		uint32_t prev = NONE;
		uint64_t n = 0;

		for (uint32_t f = fs->head[k]; f != NONE; prev = f, f = fs->rows[f].next) {
			if (f >= fs->total || n++ > fs->total)
				return "F2: a free list leaves the machine or does not end";
			if (fs->rows[f].state != PG_FRAME_FREE || fs->rows[f].order != k ||
				fs->rows[f].prev != prev)
				return "F2: a block on the wrong free list";
		}
		if (n != fs->blocks[k])
			return "F4: the count of a free list";
		if (!n != !(fs->nonempty >> k & 1))
			return "F4: the mark of a free list";
	}
	return NULL;
}

const char *pg_frames_check(const struct pg_frames *fs)
{
	uint64_t by_state[PG_FRAME_STATES] = {0}, free_blocks[PG_FRAME_ORDERS] = {0};
	const char *bad = check_lists(fs);

	if (bad)
		return bad;
	for (uint32_t f = 0; f < fs->total;) {
		const struct pg_frame *row = &fs->rows[f];
		uint32_t n, buddy;

		if (row->state >= PG_FRAME_STATES || row->order >= PG_FRAME_ORDERS)
			return "F1: a block of no known state or order";
		n = 1u << row->order;
		if (f & (n - 1) || (uint64_t)f + n > fs->total)
			return "F1: a block out of place";
		for (uint32_t i = 0; i < n; i++) {
			if (row[i].state != row->state)
				return "F1: two states in one block";
			bad = check_row(&row[i]);
			if (bad)
				return bad;
		}
		by_state[row->state] += n;
		if (row->state == PG_FRAME_FREE) {
			free_blocks[row->order]++;
			buddy = f ^ n;
			if (row->order < PG_FRAME_ORDERS - 1 && buddy > f &&
				(uint64_t)buddy + n <= fs->total &&
				fs->rows[buddy].state == PG_FRAME_FREE &&
				fs->rows[buddy].order == row->order)
				return "F3: two free buddies";
		}
		f += n;
	}
	for (unsigned k = 0; k < PG_FRAME_ORDERS; k++)
		if (free_blocks[k] != fs->blocks[k])
			return "F2: a free block on no list";
	for (unsigned i = 0; i < PG_FRAME_STATES; i++)
		if (by_state[i] != fs->by_state[i])
			return "F4: the count of a state";
	return NULL;
}
