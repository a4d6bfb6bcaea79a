/* SPDX-License-Identifier: MIT */
/*
 * reclaim/simulate.h: a policy alone, on a reference string: how many misses in how many frames?
 *
 * Called by tests, benchmarks and ui/. Calls the policy as reclaim.c would, with a machine of nothing but accessed and dirty
 * bits. Demand paging, one page at a time, no read-ahead, no reclaim ahead of need.
 */
#ifndef PG_RECLAIM_SIMULATE_H
#define PG_RECLAIM_SIMULATE_H

#include "reclaim/policy.h"

/* One reference. */
struct pg_reference {
	struct pg_page_key page;
	bool write;
};

struct pg_simulation {
	uint64_t references;
	uint64_t misses;   /* the first of each page included */
	uint64_t distinct; /* pages referenced at all: misses that no policy avoids */
	uint64_t evictions;
	uint64_t dirty; /* evicted pages that would have been written */
	uint64_t looks; /* calls of env.accessed */
};

/*
 * frames: 1 or more. args, seed: of the policy. missed: NULL, or n bytes that become 1 where the reference missed.
 * -ENOMEM, or what the policy's create said.
 */
PG_MUST_CHECK int pg_policy_simulate(const struct pg_policy_ops *ops, const char *args,
	uint64_t seed, uint32_t frames, const struct pg_reference *refs, uint64_t n,
	uint8_t *missed, struct pg_simulation *out);

/* The same by L. A. Belady's optimum: the page goes that is wanted last. -ENOMEM. */
PG_MUST_CHECK int pg_policy_optimum(uint32_t frames, const struct pg_reference *refs, uint64_t n,
	uint8_t *missed, struct pg_simulation *out);

#endif
