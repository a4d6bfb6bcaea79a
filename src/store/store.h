/* SPDX-License-Identifier: MIT */
/*
 * store/store.h: backing stores: where the bytes of a page are while it is in no frame. All of it is public.
 *
 * Called by space/ and reclaim/ (page-out, page-in, release) and ui/ (create, figures).
 */
#ifndef PG_STORE_STORE_H
#define PG_STORE_STORE_H

#include "base/types.h"

#include <pagoda/store.h>

#endif
