/* SPDX-License-Identifier: MIT */
/*
 * frame/partition_stream.h: a stream of requests for memory, served by contiguous partitions or by paging.
 *
 * Called by ui/partition.c. Calls frame/partition.h.
 *
 * Processes arrive one a unit of time, ask for a size, and if they get it, stay for a lifetime; who gets nothing goes
 * away. Sizes are random with a mean of PG_STREAM_MEAN_BYTES; lifetimes are exponential with the mean that
 * makes the sizes of all who would be there at once `load` times the memory. The same seed gives the
 * same arrivals, whoever serves them.
 */
#ifndef PG_FRAME_PARTITION_STREAM_H
#define PG_FRAME_PARTITION_STREAM_H

#include "base/types.h"
#include "frame/partition.h"

#define PG_STREAM_UNIT_BYTES 16u /* sizes and partitions are whole units */
#define PG_STREAM_MEAN_BYTES 65536u
#define PG_STREAM_MOST_BYTES 1048576u /* no size is larger */
#define PG_STREAM_SAMPLES 200

enum pg_stream_sizes {
	PG_STREAM_UNIFORM,     /* from one unit to twice the mean */
	PG_STREAM_EXPONENTIAL, /* cut at PG_STREAM_MOST_BYTES */
	PG_STREAM_BIMODAL, /* nine of ten uniform with a mean of 16 KiB, one of ten with 496 KiB */
	PG_STREAM_SIZES,
};

/* "uniform", "exponential", "bimodal". */
extern const char *const pg_stream_size_names[PG_STREAM_SIZES];

struct pg_stream {
	uint64_t memory_bytes; /* at least PG_STREAM_MOST_BYTES; a multiple of PG_PAGE_SIZE */
	uint64_t requests;     /* 2 or more */
	enum pg_stream_sizes sizes;
	double load; /* more than 0 */
	uint64_t seed;
};

/* The state at one moment. Of paging, holes and what is about them are 0. */
struct pg_stream_sample {
	uint64_t request; /* arrivals before it */
	uint64_t blocks, holes;
	uint64_t asked_bytes; /* of those who are there, as they asked */
	uint64_t free_bytes, largest_bytes;
	uint64_t unusable_bytes; /* free, in holes too small for a request of the mean size */
};

/*
 * Figures of the requests behind the first `warm`, which only bring the memory into equilibrium: ten mean
 * lifetimes, but half of all requests at most.
 */
struct pg_stream_result {
	uint64_t warm, requests;
	bool equilibrium;      /* there was room for ten lifetimes */
	uint64_t failed;       /* got nothing */
	uint64_t scattered;    /* those of them when enough was free in all */
	uint64_t steps, exact; /* as in struct pg_partition_figures; 0 of paging */
	double asked_bytes;    /* mean over all arrivals: of those who were there */
	double given_bytes;    /* the same, with what was given to them but not asked for */
	double blocks, holes;  /* the same: how many there were */
	uint64_t samples;
	struct pg_stream_sample sample[PG_STREAM_SAMPLES];
};

/* -EINVAL: s is out of range; -ENOMEM. */
PG_MUST_CHECK int pg_stream_partition(const struct pg_stream *s, enum pg_partition_fit fit,
	bool linear, struct pg_stream_result *out);
/* The same stream in frames of PG_PAGE_SIZE from a free list, any frame for any page. -EINVAL, -ENOMEM. */
PG_MUST_CHECK int pg_stream_paging(const struct pg_stream *s, struct pg_stream_result *out);

#endif
