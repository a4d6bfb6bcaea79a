/* SPDX-License-Identifier: MIT */
/* reclaim/policies.h: the policies by name, for the registry. */
#ifndef PG_RECLAIM_POLICIES_H
#define PG_RECLAIM_POLICIES_H

#include "reclaim/policy.h"

extern const struct pg_policy_ops pg_policy_clock;
extern const struct pg_policy_ops pg_policy_fifo;
extern const struct pg_policy_ops pg_policy_example;
extern const struct pg_policy_ops pg_policy_aging;
extern const struct pg_policy_ops pg_policy_car;
extern const struct pg_policy_ops pg_policy_clockpro;
extern const struct pg_policy_ops pg_policy_mglru;
extern const struct pg_policy_ops pg_policy_nru;
extern const struct pg_policy_ops pg_policy_random;
extern const struct pg_policy_ops pg_policy_s3fifo;
extern const struct pg_policy_ops pg_policy_sieve;
extern const struct pg_policy_ops pg_policy_twolist;
extern const struct pg_policy_ops pg_policy_twoq;

#endif
