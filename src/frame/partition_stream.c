/* SPDX-License-Identifier: MIT */
/*
 * frame/partition_stream.c: streams of requests, and who serves them.
 *
 *   arrival -> those whose time is over leave (a heap by time) -> size and lifetime -> server: room or none
 *
 * Called by ui/partition.c through frame/partition_stream.h. Owns the server and the heap for one run. A server is
 * contiguous partitions (frame/partition.h) or a list of free frames.
 */
#include "frame/partition_stream.h"

#include <errno.h>
#include <stdlib.h>

#include "base/random.h"

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

struct run {
	const struct pg_stream *s;
	struct pg_random random;
	double lifetime;        /* mean */
	struct pg_partition *p; /* NULL: paging */
	uint32_t *next_frame;   /* paging: the frame behind, in the free list or in a guest's */
	uint32_t free_frame;    /* the first free one */
	uint64_t frames, free_frames; /* all; free */
	struct guest *guests;         /* owned: a binary heap, who leaves first on top */
	size_t n, room;
	uint64_t asked;  /* bytes of all guests */
	uint64_t failed; /* arrivals */
};

const char *const pg_stream_size_names[PG_STREAM_SIZES] = {"uniform", "exponential", "bimodal"};

/* ---- random sizes and times */

/*
 * Exponential with mean 1, by comparisons alone, so that it is the same on every host: a falling run of uniform numbers is
 * odd in length with probability e^-x, x its first. Source: von Neumann 1951; Knuth, vol. 2, 3.4.1.
 */
static double exponential(struct pg_random *r)
{
	for (double whole = 0;; whole++) {
		uint64_t first = pg_random_next(r), last = first, next;
		bool odd = true;

		while ((next = pg_random_next(r)) < last) {
			last = next;
			odd = !odd;
		}
		if (odd)
			return whole + (double)(first >> 11) * 0x1p-53;
	}
}

/* Uniform over 1 .. 2 * mean - 1, in units. */
static uint64_t uniform(struct pg_random *r, uint64_t mean_bytes)
{
	return 1 + pg_random_below(r, 2 * mean_bytes / PG_STREAM_UNIT_BYTES - 1);
}

static uint64_t draw_units(struct run *r)
{
	const uint64_t most = PG_STREAM_MOST_BYTES / PG_STREAM_UNIT_BYTES;
	double n;

	switch (r->s->sizes) {
	case PG_STREAM_EXPONENTIAL:
		n = exponential(&r->random) * PG_STREAM_MEAN_BYTES / PG_STREAM_UNIT_BYTES;
		return n >= (double)most ? most : (uint64_t)n + 1;
	case PG_STREAM_BIMODAL:
		return uniform(&r->random, pg_random_one_in(&r->random, 10) ? 496 << 10 : 16 << 10);
	default:
		return uniform(&r->random, PG_STREAM_MEAN_BYTES);
	}
}

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

/* ---- servers */

static uint64_t pages_of(uint64_t bytes)
{
	return (bytes + PG_PAGE_SIZE - 1) / PG_PAGE_SIZE;
}

/* Frames for g->asked bytes, off the free list. -ENOSPC. */
static int frames_take(struct run *r, struct guest *g)
{
	uint64_t pages = pages_of(g->asked);
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
	int e = r->p ? pg_partition_alloc(r->p, g->asked / PG_STREAM_UNIT_BYTES, &g->block)
		     : frames_take(r, g);

	if (e == 0)
		r->asked += g->asked;
	return e;
}

static void leave(struct run *r, struct guest g)
{
	r->asked -= g.asked;
	if (r->p) {
		pg_partition_free(r->p, g.block);
		return;
	}
	r->next_frame[g.last] = r->free_frame;
	r->free_frame = g.first;
	r->free_frames += pages_of(g.asked);
}

static int frames_create(struct run *r)
{
	r->frames = r->free_frames = r->s->memory_bytes / PG_PAGE_SIZE;
	if (r->frames >= NO_FRAME)
		return -EINVAL;
	r->next_frame = malloc(r->frames * sizeof *r->next_frame);
	if (!r->next_frame)
		return -ENOMEM;
	for (uint64_t i = 0; i < r->frames; i++)
		r->next_frame[i] = i + 1 < r->frames ? (uint32_t)i + 1 : NO_FRAME;
	return 0;
}

/* ---- the run */

static void sample(const struct run *r, uint64_t request, struct pg_stream_result *out)
{
	struct pg_partition_figures f;
	struct pg_stream_sample *m = &out->sample[out->samples++];

	*m = (struct pg_stream_sample){.request = request, .blocks = r->n, .asked_bytes = r->asked};
	if (!r->p) {
		m->free_bytes = r->free_frames * PG_PAGE_SIZE;
		return;
	}
	pg_partition_figures(r->p, &f);
	m->holes = f.holes;
	m->free_bytes = f.free * PG_STREAM_UNIT_BYTES;
	m->largest_bytes = f.largest * PG_STREAM_UNIT_BYTES;
	m->unusable_bytes =
		pg_partition_unusable(r->p, PG_STREAM_MEAN_BYTES / PG_STREAM_UNIT_BYTES) *
		PG_STREAM_UNIT_BYTES;
}

/* What a mean is made of, before an arrival. */
static void count(const struct run *r, struct pg_stream_result *out)
{
	struct pg_partition_figures f;

	out->asked_bytes += (double)r->asked;
	out->blocks += (double)r->n;
	if (r->p) {
		pg_partition_counters(r->p, &f);
		out->holes += (double)f.holes;
		out->given_bytes += (double)r->asked;
	} else {
		out->given_bytes += (double)((r->frames - r->free_frames) * PG_PAGE_SIZE);
	}
}

static int arrive(struct run *r, uint64_t now)
{
	struct guest g = {.asked = draw_units(r) * PG_STREAM_UNIT_BYTES};
	int e;

	/* Drawn whether there is room or not, so that all servers see the same arrivals. */
	g.leaves = (double)now + r->lifetime * exponential(&r->random);
	e = serve(r, &g);
	if (e == 0) {
		e = guest_add(r, g);
		if (e)
			leave(r, g);
		return e;
	}
	r->failed += e == -ENOSPC;
	return e == -ENOSPC ? 0 : e;
}

/* All arrivals. */
static int serve_all(struct run *r, struct pg_stream_result *out)
{
	struct pg_partition_figures before = {0}, after = {0};
	uint64_t every, failed = 0;
	double inverse;

	every = out->requests / PG_STREAM_SAMPLES + 1;
	if (every < r->s->memory_bytes / PG_STREAM_MEAN_BYTES)
		every = r->s->memory_bytes / PG_STREAM_MEAN_BYTES; /* looking costs O(blocks) */
	for (uint64_t now = 0; now < r->s->requests; now++) {
		int e;

		while (r->n && r->guests[0].leaves <= (double)now)
			leave(r, guest_take(r));
		if (now == out->warm) {
			failed = r->failed;
			if (r->p)
				pg_partition_counters(r->p, &before);
		}
		if (now >= out->warm) {
			count(r, out);
			if ((now - out->warm) % every == 0)
				sample(r, now, out);
		}
		e = arrive(r, now);
		if (e)
			return e;
	}
	inverse = 1 / (double)out->requests;
	out->asked_bytes *= inverse;
	out->given_bytes *= inverse;
	out->blocks *= inverse;
	out->holes *= inverse;
	out->failed = r->failed - failed;
	if (!r->p)
		return 0;
	pg_partition_counters(r->p, &after);
	out->scattered = after.scattered - before.scattered;
	out->steps = after.steps - before.steps;
	out->exact = after.exact - before.exact;
	return 0;
}

static int run_start(struct run *r, const struct pg_stream *s, struct pg_stream_result *out)
{
	double warm;

	if (s->memory_bytes < PG_STREAM_MOST_BYTES || s->memory_bytes % PG_PAGE_SIZE ||
		s->requests < 2 || !(s->load > 0) || s->sizes >= PG_STREAM_SIZES)
		return -EINVAL;
	*r = (struct run){
		.s = s, .lifetime = s->load * (double)s->memory_bytes / PG_STREAM_MEAN_BYTES};
	pg_random_seed(&r->random, s->seed);
	warm = 10 * r->lifetime;
	*out = (struct pg_stream_result){.equilibrium = warm <= (double)(s->requests / 2)};
	out->warm = out->equilibrium ? (uint64_t)warm : s->requests / 2;
	out->requests = s->requests - out->warm;
	return 0;
}

int pg_stream_partition(const struct pg_stream *s, enum pg_partition_fit fit, bool linear,
	struct pg_stream_result *out)
{
	struct run r;
	int e = run_start(&r, s, out);

	if (e)
		return e;
	e = pg_partition_create(s->memory_bytes / PG_STREAM_UNIT_BYTES, fit, linear, &r.p);
	if (!e)
		e = serve_all(&r, out);
	pg_partition_destroy(r.p);
	free(r.guests);
	return e;
}

int pg_stream_paging(const struct pg_stream *s, struct pg_stream_result *out)
{
	struct run r;
	int e = run_start(&r, s, out);

	if (e)
		return e;
	e = frames_create(&r);
	if (!e)
		e = serve_all(&r, out);
	free(r.next_frame);
	free(r.guests);
	return e;
}
