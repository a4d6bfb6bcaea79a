/* SPDX-License-Identifier: MIT */
/*
 * tests/model/squeeze.h: one random operation on a machine that is short of frames, beside its model. Used by tight.c and swapping.c.
 *
 * Out of memory is an answer here: an access that found no frame is not made in the model either, a call that populated less than it
 * was to ends the sequence.
 */
#ifndef PG_TESTS_SQUEEZE_H
#define PG_TESTS_SQUEEZE_H

#include "drive.h"

/* A fault of the operation applied last ended so. */
bool squeeze_saw(const struct rig *r, enum pg_fault_end end);
/*
 * Chooses, applies to both and compares. lost (NULL: nothing is): true if a page could not be read and the operation failed for that, as
 * if for want of memory. *ooms is counted up if a fault found no frame. True: go on.
 */
bool squeeze_step(struct run *t, bool (*lost)(struct run *t, void *ctx), void *ctx, uint64_t *ooms);
/* Takes frames into taken until n are left; how many. */
unsigned squeeze_hog(struct rig *r, uint64_t n, pg_pfn *taken);
/* Gives them back and compares all bytes, unless the run is broken: now there is room to read everything. */
void squeeze_end(struct run *t, unsigned n, const pg_pfn *taken);

#endif
