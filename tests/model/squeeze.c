/* SPDX-License-Identifier: MIT */
/* tests/model/squeeze.c: see squeeze.h. */
#include "squeeze.h"

#include <errno.h>

bool squeeze_saw(const struct rig *r, enum pg_fault_end end)
{
	for (int i = 0; i < r->events; i++) {
		if (r->event[i].end == end)
			return true;
	}
	return false;
}

bool squeeze_step(struct run *t, bool (*lost)(struct run *t, void *ctx), void *ctx, uint64_t *ooms)
{
	struct outcome got, want;
	bool oom;

	run_choose(t);
	if (op_is_access(&t->op) && (t->op.addr & 4095) + t->op.len > 4096)
		t->op.len = 4096 - (t->op.addr & 4095); /* one page: it is done or not */
	got = rig_apply(t->r, &t->op);
	oom = squeeze_saw(t->r, PG_FAULT_OOM);
	*ooms += oom;
	if (lost && lost(t, ctx))
		oom = true;
	if (t->swaps)
		run_forgive_disk(t);
	if (oom && op_is_access(&t->op)) {
		if (t->r->event[0].grew)
			model_grow(t->m, &t->m->space[t->op.space], t->r->event[0].page);
	} else if (t->op.kind != OP_FORK || got.result != -ENOMEM) {
		want = model_apply(t->m, &t->op);
		if (oom && (t->op.kind == OP_LOCK || t->op.kind == OP_ADVISE))
			got.result = want.result; /* -EAGAIN, -ENOMEM: as far as frames went */
		if (got.result != want.result || (!want.result && got.addr != want.addr))
			run_differ(t, "result %lld, in the model %lld", (long long)got.result,
				(long long)want.result);
		if (oom) { /* populated less */
			run_forgive(t);
			return false;
		}
	}
	run_forgive(t);
	run_compare(t);
	return !t->broken;
}

unsigned squeeze_hog(struct rig *r, uint64_t n, pg_pfn *taken)
{
	struct pg_frames *fs = pg_vm_frames(r->vm);
	unsigned k = 0;

	while (pg_frames_free_count(fs) > n &&
		pg_frames_alloc(fs, 0, PG_FRAME_WIRED, r, &taken[k]) == 0)
		k++;
	return k;
}

void squeeze_end(struct run *t, unsigned n, const pg_pfn *taken)
{
	while (n > 0)
		pg_frames_free(pg_vm_frames(t->r->vm), taken[--n]);
	if (!t->broken)
		run_compare_contents(t);
}
