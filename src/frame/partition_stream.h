/* SPDX-License-Identifier: MIT */
/*
 * frame/partition_stream.h: a stream of requests for memory, served by contiguous partitions or by paging.
 *
 * Called by ui/partition/partition.c and ui/partition/record.c. Calls frame/partition.h and frame/partition_queue.h.
 *
 * A request arrives at a time, asks for a size, and once it has it, stays for a lifetime. Who finds no room goes away, or waits in a
 * queue until there is room. Requests are recorded ones, or random: one arrives a unit of time, sizes have a mean of
 * PG_STREAM_MEAN_BYTES, and the mean lifetime is such that the sizes of all who would be there at once, if nobody were turned
 * away, make `load` times the memory. The same seed gives the same requests, whoever serves them.
 */
#ifndef PG_FRAME_PARTITION_STREAM_H
#define PG_FRAME_PARTITION_STREAM_H

#include "base/random.h"
#include "base/types.h"
#include "frame/partition.h"

#define PG_STREAM_UNIT_BYTES 16u /* partitions are whole units */
#define PG_STREAM_MEAN_BYTES 65536u
#define PG_STREAM_MOST_BYTES 1048576u /* no random size is larger */
#define PG_STREAM_SAMPLES 200
#define PG_STREAM_PRIORITIES 10u /* 0 .. 9, 9 the most urgent */

enum pg_stream_sizes {
	PG_STREAM_UNIFORM,     /* from one unit to twice the mean */
	PG_STREAM_EXPONENTIAL, /* cut at PG_STREAM_MOST_BYTES */
	PG_STREAM_BIMODAL, /* nine of ten uniform with a mean of 16 KiB, one of ten with 496 KiB */
	PG_STREAM_PARETO,  /* from half the mean; longer than x with (least / x)^2; cut likewise */
	PG_STREAM_FIXED,   /* all the mean */
	PG_STREAM_SIZES,
};

enum pg_stream_lifetimes {
	PG_LIFETIME_EXPONENTIAL,
	PG_LIFETIME_UNIFORM, /* from 0 to twice the mean */
	PG_LIFETIME_BIMODAL, /* exponential: nine of ten of half the mean, one of ten of 5.5 times */
	PG_LIFETIME_PARETO,  /* from half the mean; longer than x with probability (least / x)^2 */
	PG_LIFETIME_FIXED,   /* all the mean: who came first leaves first */
	PG_STREAM_LIFETIMES,
};

/* "uniform", "exponential", "bimodal", "pareto", "fixed"; "exponential", "uniform", and so on. */
extern const char *const pg_stream_size_names[PG_STREAM_SIZES];
extern const char *const pg_stream_lifetime_names[PG_STREAM_LIFETIMES];

/* What becomes of those who find no room. */
enum pg_stream_queue {
	PG_QUEUE_NONE,     /* they go away */
	PG_QUEUE_FIFO,     /* they wait, the oldest first */
	PG_QUEUE_PRIORITY, /* the most urgent first, of equals the oldest */
};

struct pg_stream_request {
	double time;       /* of its arrival; never less than that of the request before */
	double lifetime;   /* once it has its memory; INFINITY: for ever */
	uint64_t bytes;    /* 1 or more */
	unsigned priority; /* below PG_STREAM_PRIORITIES */
};

struct pg_stream {
	uint64_t
		memory_bytes; /* a multiple of page_bytes; of random requests at least PG_STREAM_MOST_BYTES */
	uint64_t page_bytes; /* of paging: a power of two, PG_STREAM_UNIT_BYTES or more */
	uint64_t requests;   /* 2 or more */
	uint64_t warm; /* so many are not counted, fewer than requests; UINT64_MAX: see below */
	const struct pg_stream_request *recorded; /* borrowed: [requests]; NULL: random ones */
	/* Of random ones. */
	enum pg_stream_sizes sizes;
	enum pg_stream_lifetimes lifetimes;
	double load; /* more than 0 */
	uint64_t seed;
	/* Waiting. */
	enum pg_stream_queue queue;
	bool backfill; /* the first in the queue that fits is taken; else all wait for the first */
};

/* Where one is in the requests of a stream. */
struct pg_stream_source {
	const struct pg_stream *s; /* borrowed */
	struct pg_random random, lots;
	double lifetime; /* mean; random ones */
	uint64_t next;   /* number of the next request */
};

/* -EINVAL: s is out of range. */
PG_MUST_CHECK int pg_stream_begin(struct pg_stream_source *source, const struct pg_stream *s);
/* The next request into *out; false: there are no more. */
bool pg_stream_next(struct pg_stream_source *source, struct pg_stream_request *out);
/*
 * How many requests are not counted, as they only bring the memory into equilibrium: s->warm; or of recorded ones none, of
 * random ones what *equilibrium wants, but half of all at most: ten mean lifetimes, or the longer mean of a bimodal one, or as long as
 * 2 % of a pareto's need.
 */
uint64_t pg_stream_warm(const struct pg_stream *s, bool *equilibrium);

/* The state at one moment. Of paging, holes and what is about them are 0. */
struct pg_stream_sample {
	uint64_t request; /* arrivals before it */
	uint64_t blocks, holes;
	uint64_t asked_bytes; /* of those who are there, as they asked */
	uint64_t free_bytes, largest_bytes;
	uint64_t unusable_bytes; /* free, in holes too small for a request of the mean size */
	uint64_t waiting;        /* requests in the queue */
};

/* Figures of the requests behind the first `warm`. */
struct pg_stream_result {
	uint64_t warm, requests;
	uint64_t
		mean_bytes; /* of a request, for what is unusable: known of random ones, of recorded ones measured */
	bool equilibrium; /* `warm` is what equilibrium wants */
	uint64_t failed;  /* got nothing, and do not wait */
	uint64_t waited;  /* had to wait */
	uint64_t
		scattered; /* of failed and waited: those that no hole held when they came, when enough was free in all */
	uint64_t allocations;  /* of those counted and of those who waited before */
	uint64_t steps, exact; /* as in struct pg_partition_figures; 0 of paging */
	double asked_bytes;    /* mean over all arrivals: of those who were there */
	double given_bytes;    /* the same, with what was given to them but not asked for */
	double blocks, holes;  /* the same: how many there were */
	double waiting;        /* the same: how many were in the queue */
	uint64_t longest_queue;
	double longest_wait;   /* units of time */
	uint64_t waiting_last; /* still in the queue behind the last arrival */
	struct {
		uint64_t served; /* those counted that got their memory */
		double wait;     /* units of time, of all of them together */
	} priority[PG_STREAM_PRIORITIES];
	uint64_t samples;
	struct pg_stream_sample sample[PG_STREAM_SAMPLES];
};

/* -EINVAL: s is out of range; -ENOMEM. */
PG_MUST_CHECK int pg_stream_partition(const struct pg_stream *s, enum pg_partition_fit fit,
	bool linear, struct pg_stream_result *out);
/* The same stream in frames of s->page_bytes from a free list, any frame for any page. -EINVAL, -ENOMEM. */
PG_MUST_CHECK int pg_stream_paging(const struct pg_stream *s, struct pg_stream_result *out);

#endif
