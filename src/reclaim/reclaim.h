/* SPDX-License-Identifier: MIT */
/*
 * reclaim/reclaim.h: memory smaller than what is asked of it. All of it is public.
 *
 * Called by the upper floors; from pg_reclaim_create() on space/ calls it (space/pageout.h). Calls the policy, the store and
 * space/.
 */
#ifndef PG_RECLAIM_RECLAIM_H
#define PG_RECLAIM_RECLAIM_H

#include "reclaim/policy.h"
#include "space/space.h"
#include "store/store.h"

#include <pagoda/reclaim.h>

#endif
