/* SPDX-License-Identifier: MIT */
/*
 * tests/model/rig.h: a real machine for tests: spaces, files on a fake disk, a recorder of faults
 * and a CPU that obeys the page table. Applies the operations of model.h to it.
 */
#ifndef PG_TESTS_RIG_H
#define PG_TESTS_RIG_H

#include "model.h"
#include "reclaim/reclaim.h"
#include "space/impl.h"

struct fake_file {
	uint8_t bytes[OBJECT_PAGES * 4096];
	uint64_t size;
	bool broken[OBJECT_PAGES];
	unsigned reads, writes, closes;
	int fail_writes; /* this many writes fail */
};

struct rig;

struct rig_link {
	struct pg_shootdown link;
	struct rig *rig;
	int space;
};

struct rig {
	struct pg_vm *vm;
	struct pg_space *space[SPACES];
	struct pg_object
		*object[OBJECTS]; /* counted up to FILES, else borrowed and learnt by map */
	struct fake_file file[FILES];
	struct rig_link link[SPACES];
	/* What a TLB that is never told would still believe: frame + 1 by page. */
	uint32_t stale[SPACES][PAGES];
	int max_regions, top;
	/* Set before rig_init(): the machine swaps to this store by this policy. NULL: it does not. */
	const char *swap, *policy;
	struct pg_store *store;
	struct pg_reclaim *reclaim;
	void (*arm)(void); /* called right before the call under test; NULL: nothing */
	struct m_event event[EVENTS];
	int events;
};

void rig_init(
	struct rig *r, uint64_t memory, const struct pg_table_form *form, int max_regions, int top);
void rig_free(struct rig *r);
struct outcome rig_apply(struct rig *r, const struct op *op);
extern const struct pg_pager rig_pager;

#endif
