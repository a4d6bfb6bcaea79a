/* SPDX-License-Identifier: MIT */
/*
 * store/slots.h: which slots of a store are taken: a bitmap in clusters.
 *
 * Called by the stores (file.c, compressed.c, stack.c), each under its own lock. Calls the host
 * for memory only, which is taken as clusters come into use.
 */
#ifndef PG_STORE_SLOTS_H
#define PG_STORE_SLOTS_H

#include "store/store.h"

struct pg_slots;

/* total: 1 .. 2^32 - 2 slots. -ENOMEM. */
PG_MUST_CHECK int pg_slots_create(uint64_t total, struct pg_slots **out);
void pg_slots_destroy(struct pg_slots *m);

/* As pg_store_reserve. */
PG_MUST_CHECK int pg_slots_reserve(struct pg_slots *m, unsigned want, pg_slot *first);

/*
 * Gives slots [first, first + n) back, all of one cluster. If that left the cluster empty, and
 * `detach`, true: the cluster cannot be taken from until pg_slots_attach: the caller may do something about
 * its place without the lock.
 */
PG_MUST_CHECK bool pg_slots_release(struct pg_slots *m, pg_slot first, unsigned n, bool detach);
/* The disk is full: from now on clusters that have been in use, whose slots have their place on it, go before fresh ones. */
void pg_slots_prefer_used(struct pg_slots *m);
void pg_slots_attach(struct pg_slots *m, uint32_t cluster);

bool pg_slots_taken(const struct pg_slots *m, pg_slot slot);
uint64_t pg_slots_used(const struct pg_slots *m);
/* Empty clusters that have been in use before. */
uint64_t pg_slots_emptied(const struct pg_slots *m);
/* Slots taken in one cluster. */
unsigned pg_slots_in_cluster(const struct pg_slots *m, uint32_t cluster);
const char *pg_slots_check(const struct pg_slots *m);

#endif
