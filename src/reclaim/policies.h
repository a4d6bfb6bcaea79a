/* SPDX-License-Identifier: MIT */
/* reclaim/policies.h: the policies by name, for the registry. */
#ifndef PG_RECLAIM_POLICIES_H
#define PG_RECLAIM_POLICIES_H

#include "reclaim/policy.h"

extern const struct pg_policy_ops pg_policy_clock;
extern const struct pg_policy_ops pg_policy_fifo;
extern const struct pg_policy_ops pg_policy_example;

#endif
