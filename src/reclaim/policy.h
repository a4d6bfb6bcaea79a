/* SPDX-License-Identifier: MIT */
/*
 * reclaim/policy.h: which page goes next: what a replacement policy is told, what it may ask, what it answers. All of it is public.
 *
 * Called by reclaim.c, simulate.c and tests.
 */
#ifndef PG_RECLAIM_POLICY_H
#define PG_RECLAIM_POLICY_H

#include "base/types.h"

#include <pagoda/policy.h>

#endif
