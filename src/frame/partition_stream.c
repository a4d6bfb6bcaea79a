/* SPDX-License-Identifier: MIT */
/*
 * frame/partition_stream.c: streams of requests, and who serves them.
 *
 *   request -> those whose time is over leave (a heap by time), and for each those who wait and now fit start
 *           -> server: room or none -> none: it goes away, or joins the queue
 *
 * Called by ui/partition/simulate.c through frame/partition_stream.h. Owns the server, the heap and who waits for one run. A server is
 * contiguous partitions (frame/partition.h) or a list of free frames. Where requests come from: partition_source.c.
 */
#include "frame/partition_stream.h"

#include <errno.h>
#include <stdlib.h>

#include "base/random.h"
#include "frame/partition_queue.h"

#define NO_FRAME UINT32_MAX

/* Who has got memory. */
struct guest {
	double leaves;
	uint64_t asked; /* bytes */
	union {
		struct pg_partition_block *block;
		struct {
			uint32_t first, last; /* of its list of frames */
		};
	};
};

/* Who waits; owned by the queue's run. */
struct waiter {
	struct pg_wait wait; /* its size is in the server's units */
	struct pg_stream_request request;
	bool counted;
};

struct run {
	const struct pg_stream *s;
	struct pg_partition *p; /* NULL: paging */
	uint32_t *next_frame;   /* paging: the frame behind, in the free list or in a guest's */
	uint32_t free_frame;    /* the first free one */
	uint64_t frames, free_frames; /* all; free */
	struct guest *guests;         /* owned: a binary heap, who leaves first on top */
	size_t n, room;
	uint64_t asked;             /* bytes of all guests */
	struct pg_wait_queue queue; /* of struct waiter, owned */
	struct pg_stream_result *out;
};

/* ---- the heap of guests: none leaves before its parent */

static int guest_add(struct run *r, struct guest g)
{
	size_t i = r->n;

	if (r->n == r->room) {
		size_t room = r->room ? 2 * r->room : 1024;
		struct guest *more = realloc(r->guests, room * sizeof *more);

		if (!more)
			return -ENOMEM;
		r->guests = more;
		r->room = room;
	}
	for (r->n++; i > 0 && r->guests[(i - 1) / 2].leaves > g.leaves; i = (i - 1) / 2)
		r->guests[i] = r->guests[(i - 1) / 2];
	r->guests[i] = g;
	return 0;
}

static struct guest guest_take(struct run *r)
{
	struct guest top = r->guests[0], last = r->guests[--r->n];
	size_t i = 0, kid;

	while ((kid = 2 * i + 1) < r->n) {
		if (kid + 1 < r->n && r->guests[kid + 1].leaves < r->guests[kid].leaves)
			kid++;
		if (r->guests[kid].leaves >= last.leaves)
			break;
		r->guests[i] = r->guests[kid];
		i = kid;
	}
	r->guests[i] = last;
	return top;
}

/* ---- servers: memory in units of their own */

/* What the server gives to a request of so many bytes. */
static uint64_t units_of(const struct run *r, uint64_t bytes)
{
	uint64_t unit = r->p ? PG_STREAM_UNIT_BYTES : r->s->page_bytes;

	return bytes / unit + (bytes % unit != 0);
}

static uint64_t all_units(const struct run *r)
{
	return r->p ? r->s->memory_bytes / PG_STREAM_UNIT_BYTES : r->frames;
}

static uint64_t free_units(const struct run *r)
{
	struct pg_partition_figures f;

	if (!r->p)
		return r->free_frames;
	pg_partition_counters(r->p, &f);
	return f.free;
}

/* The most units that one request could get now. */
static uint64_t most_units(const struct run *r)
{
	struct pg_partition_figures f;

	if (!r->p)
		return r->free_frames;
	pg_partition_figures(r->p, &f);
	return f.largest;
}

/* Frames for g->asked bytes, off the free list. -ENOSPC. */
static int frames_take(struct run *r, struct guest *g)
{
	uint64_t pages = units_of(r, g->asked);
	uint32_t last = r->free_frame;

	if (pages > r->free_frames)
		return -ENOSPC;
	for (uint64_t i = 1; i < pages; i++)
		last = r->next_frame[last];
	g->first = r->free_frame;
	g->last = last;
	r->free_frame = r->next_frame[last];
	r->free_frames -= pages;
	return 0;
}

static int serve(struct run *r, struct guest *g)
{
	int e = r->p ? pg_partition_alloc(r->p, units_of(r, g->asked), &g->block)
		     : frames_take(r, g);

	if (e == 0)
		r->asked += g->asked;
	return e;
}

static void give_back(struct run *r, struct guest g)
{
	r->asked -= g.asked;
	if (r->p) {
		pg_partition_free(r->p, g.block);
		return;
	}
	r->next_frame[g.last] = r->free_frame;
	r->free_frame = g.first;
	r->free_frames += units_of(r, g.asked);
}

static int frames_create(struct run *r)
{
	r->frames = r->free_frames = r->s->memory_bytes / r->s->page_bytes;
	if (r->frames >= NO_FRAME)
		return -EINVAL;
	r->next_frame = malloc(r->frames * sizeof *r->next_frame);
	if (!r->next_frame)
		return -ENOMEM;
	for (uint64_t i = 0; i < r->frames; i++)
		r->next_frame[i] = i + 1 < r->frames ? (uint32_t)i + 1 : NO_FRAME;
	return 0;
}

/* ---- coming, waiting and going */

/* The request gets its memory at `now` and stays for its lifetime. -ENOSPC: there is no room; -ENOMEM. */
static int start(struct run *r, const struct pg_stream_request *request, bool counted, double now)
{
	struct guest g = {.asked = request->bytes, .leaves = now + request->lifetime};
	double waited = now - request->time;
	int e = serve(r, &g);

	if (e)
		return e;
	e = guest_add(r, g);
	if (e) {
		give_back(r, g);
		return e;
	}
	if (!counted)
		return 0;
	r->out->priority[request->priority].served++;
	r->out->priority[request->priority].wait += waited;
	if (waited > r->out->longest_wait)
		r->out->longest_wait = waited;
	return 0;
}

/* All who wait and may start now, do. */
static int admit(struct run *r, double now)
{
	while (r->queue.n) {
		uint64_t most = most_units(r);
		struct pg_wait *w =
			r->s->backfill ? pg_wait_fitting(&r->queue, most) : pg_wait_head(&r->queue);
		struct waiter *waiter;
		int e;

		if (!w || w->size > most)
			return 0;
		waiter = PG_TREE_ENTRY(w, struct waiter, wait);
		e = start(r, &waiter->request, waiter->counted, now);
		PG_ASSERT(e != -ENOSPC);
		if (e)
			return e;
		pg_wait_leave(&r->queue, w);
		free(waiter);
	}
	return 0;
}

/* Those whose time is over at `now` leave, one after the other. */
static int leave(struct run *r, double now)
{
	int e = 0;

	while (r->n && r->guests[0].leaves <= now && !e) {
		struct guest g = guest_take(r);

		give_back(r, g);
		e = admit(r, g.leaves);
	}
	return e;
}

/* The request joins the queue, and starts if it may. */
static int arrive_waiting(struct run *r, const struct pg_stream_request *request, bool counted)
{
	struct waiter *waiter = malloc(sizeof *waiter);
	uint64_t size = units_of(r, request->bytes), n;
	uint64_t most = most_units(r), all_free = free_units(r);
	int e;

	if (!waiter)
		return -ENOMEM;
	*waiter = (struct waiter){.request = *request, .counted = counted};
	pg_wait_join(&r->queue, &waiter->wait, size, request->priority);
	n = r->queue.n;
	e = admit(r, request->time);
	/* Nobody leaves an arrival room that it had not before: only it itself, or nobody, has started. */
	if (e || r->queue.n < n || !counted)
		return e;
	r->out->waited++;
	r->out->scattered += size > most && size <= all_free;
	if (r->queue.n > r->out->longest_queue)
		r->out->longest_queue = r->queue.n;
	return 0;
}

static int arrive(struct run *r, const struct pg_stream_request *request, bool counted)
{
	uint64_t size = units_of(r, request->bytes);
	int e;

	if (r->s->queue != PG_QUEUE_NONE && size <= all_units(r))
		return arrive_waiting(r, request, counted);
	e = start(r, request, counted, request->time);
	if (e != -ENOSPC)
		return e;
	r->out->failed += counted;
	r->out->scattered += counted && size <= free_units(r);
	return 0;
}

/* ---- the run */

static void sample(const struct run *r, uint64_t request)
{
	struct pg_partition_figures f;
	struct pg_stream_result *out = r->out;
	struct pg_stream_sample *m = &out->sample[out->samples++];

	*m = (struct pg_stream_sample){
		.request = request, .blocks = r->n, .asked_bytes = r->asked, .waiting = r->queue.n};
	if (!r->p) {
		m->free_bytes = r->free_frames * r->s->page_bytes;
		return;
	}
	pg_partition_figures(r->p, &f);
	m->holes = f.holes;
	m->free_bytes = f.free * PG_STREAM_UNIT_BYTES;
	m->largest_bytes = f.largest * PG_STREAM_UNIT_BYTES;
	m->unusable_bytes =
		pg_partition_unusable(r->p, units_of(r, out->mean_bytes)) * PG_STREAM_UNIT_BYTES;
}

/* What a mean is made of, before an arrival. */
static void count(const struct run *r)
{
	struct pg_stream_result *out = r->out;
	struct pg_partition_figures f = {0};

	if (r->p)
		pg_partition_counters(r->p, &f);
	out->asked_bytes += (double)r->asked;
	out->blocks += (double)r->n;
	out->holes += (double)f.holes;
	out->given_bytes += r->p ? (double)((f.units - f.free) * PG_STREAM_UNIT_BYTES)
				 : (double)((r->frames - r->free_frames) * r->s->page_bytes);
	out->waiting += (double)r->queue.n;
}

/* The means, and the differences of what the allocator counts. */
static void conclude(const struct run *r, const struct pg_partition_figures *before)
{
	struct pg_stream_result *out = r->out;
	struct pg_partition_figures after = {0};
	double inverse = 1 / (double)out->requests;

	out->asked_bytes *= inverse;
	out->given_bytes *= inverse;
	out->blocks *= inverse;
	out->holes *= inverse;
	out->waiting *= inverse;
	out->waiting_last = r->queue.n;
	if (!r->p)
		return;
	pg_partition_counters(r->p, &after);
	out->allocations = after.searches - after.failed - (before->searches - before->failed);
	out->steps = after.steps - before->steps;
	out->exact = after.exact - before->exact;
}

/* All arrivals. */
static int serve_all(struct run *r, struct pg_stream_source *source)
{
	struct pg_partition_figures before = {0};
	struct pg_stream_result *out = r->out;
	struct pg_stream_request request;
	uint64_t every = out->requests / PG_STREAM_SAMPLES + 1;
	uint64_t blocks = r->s->memory_bytes / out->mean_bytes;

	if (every < blocks / 8)
		every = blocks / 8; /* looking costs O(blocks) */
	for (uint64_t i = 0; pg_stream_next(source, &request); i++) {
		int e = leave(r, request.time);

		if (e)
			return e;
		if (i == out->warm && r->p)
			pg_partition_counters(r->p, &before);
		if (i >= out->warm) {
			count(r);
			if ((i - out->warm) % every == 0)
				sample(r, i);
		}
		e = arrive(r, &request, i >= out->warm);
		if (e)
			return e;
	}
	conclude(r, &before);
	return 0;
}

/* The mean size of recorded requests, or that which random ones tend to. */
static uint64_t mean_bytes(const struct pg_stream *s)
{
	double sum = 0;

	if (!s->recorded)
		return PG_STREAM_MEAN_BYTES;
	for (uint64_t i = 0; i < s->requests; i++)
		sum += (double)s->recorded[i].bytes;
	sum /= (double)s->requests;
	return sum < 1 ? 1 : (uint64_t)sum;
}

static int run_start(struct run *r, const struct pg_stream *s, struct pg_stream_source *source,
	struct pg_stream_result *out)
{
	int e = pg_stream_begin(source, s);

	if (e)
		return e;
	*r = (struct run){.s = s, .out = out};
	pg_wait_init(&r->queue, s->queue == PG_QUEUE_PRIORITY);
	*out = (struct pg_stream_result){.mean_bytes = mean_bytes(s)};
	out->warm = pg_stream_warm(s, &out->equilibrium);
	out->requests = s->requests - out->warm;
	return 0;
}

static void run_end(struct run *r)
{
	while (r->queue.n) {
		struct pg_wait *w = pg_wait_head(&r->queue);

		pg_wait_leave(&r->queue, w);
		free(PG_TREE_ENTRY(w, struct waiter, wait));
	}
	pg_partition_destroy(r->p);
	free(r->next_frame);
	free(r->guests);
}

int pg_stream_partition(const struct pg_stream *s, enum pg_partition_fit fit, bool linear,
	struct pg_stream_result *out)
{
	struct pg_stream_source source;
	struct run r;
	int e = run_start(&r, s, &source, out);

	if (e)
		return e;
	e = pg_partition_create(s->memory_bytes / PG_STREAM_UNIT_BYTES, fit, linear, &r.p);
	if (!e)
		e = serve_all(&r, &source);
	run_end(&r);
	return e;
}

int pg_stream_paging(const struct pg_stream *s, struct pg_stream_result *out)
{
	struct pg_stream_source source;
	struct run r;
	int e = run_start(&r, s, &source, out);

	if (e)
		return e;
	e = frames_create(&r);
	if (!e)
		e = serve_all(&r, &source);
	run_end(&r);
	return e;
}
