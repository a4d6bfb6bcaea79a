/* SPDX-License-Identifier: MIT */
/*
 * tests/model/rig.c: see rig.h.
 *
 * Its CPU keeps, for each space, what it last saw in the page table, as a TLB would, and forgets
 * only what it is told to forget (struct pg_shootdown): rig_apply() fails if a page changed without
 * word.
 */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LO ((uint64_t)FIRST * 4096)

static int file_read(void *ctx, uint64_t index, void *buf)
{
	struct fake_file *f = ctx;
	uint64_t at = index * 4096;

	f->reads++;
	if (index < OBJECT_PAGES && f->broken[index])
		return -EIO;
	memset(buf, 0, 4096);
	if (at < f->size)
		memcpy(buf, f->bytes + at, f->size - at < 4096 ? f->size - at : 4096);
	return 0;
}

static int file_write(void *ctx, uint64_t index, const void *buf)
{
	struct fake_file *f = ctx;
	uint64_t at = index * 4096;

	f->writes++;
	if (f->fail_writes > 0) {
		f->fail_writes--;
		return -EIO;
	}
	if (at < f->size)
		memcpy(f->bytes + at, buf, f->size - at < 4096 ? f->size - at : 4096);
	return 0;
}

static uint64_t file_size(void *ctx)
{
	return ((struct fake_file *)ctx)->size;
}

static void file_close(void *ctx)
{
	((struct fake_file *)ctx)->closes++;
}

static int file_punch(void *ctx, uint64_t start, uint64_t end)
{
	struct fake_file *f = ctx;

	if (end > sizeof f->bytes)
		end = sizeof f->bytes;
	if (start < end)
		memset(f->bytes + start, 0, end - start);
	return 0;
}

const struct pg_pager rig_pager = {
	"fake", file_read, file_write, file_size, file_close, file_punch};

static void on_fault(void *ctx, const struct pg_fault_event *e)
{
	struct rig *r = ctx;

	if (r->events == EVENTS)
		return;
	r->event[r->events++] = (struct m_event){.end = e->end,
		.fcase = e->end == PG_FAULT_RESUME ? e->fcase : PG_CASE_NONE,
		.kind = e->kind,
		.page = (int)(int64_t)(e->va.v >> 12) - FIRST,
		.grew = e->stack_grew};
}

static void forget(struct pg_shootdown *self, pg_vpn start, pg_vpn end)
{
	struct rig_link *l = (struct rig_link *)self;

	for (int p = 0; p < PAGES; p++) {
		if ((uint64_t)p + FIRST >= start.v && (uint64_t)p + FIRST < end.v)
			l->rig->stale[l->space][p] = 0;
	}
}

static int space_begin(struct rig *r, int i)
{
	struct pg_space_config c = {.lo = {LO},
		.hi = {LO + PAGES * 4096},
		.mmap_top = {LO + (uint64_t)r->top * 4096},
		.stack_limit_bytes = STACK_LIMIT * 4096 + 100,
		.stack_gap_bytes = STACK_GAP * 4096,
		.max_regions = (uint64_t)r->max_regions};

	int err = pg_space_create(r->vm, &c, &r->space[i]);

	if (err) {
		r->space[i] = NULL;
		return err;
	}
	r->link[i] = (struct rig_link){.link = {.invalidate = forget}, .rig = r, .space = i};
	memset(r->stale[i], 0, sizeof r->stale[i]);
	pg_space_attach(r->space[i], &r->link[i].link);
	return 0;
}

static void begin_swapping(struct rig *r)
{
	struct pg_store_options options = {.no_uring = true};
	struct pg_reclaim_config c = {.policy = r->policy, .seed = 1};
	const char *why = "";

	if (pg_store_create(r->swap, &options, &r->store, &why)) {
		fprintf(stderr, "%s: %s\n", r->swap, why);
		abort();
	}
	c.store = r->store;
	if (pg_reclaim_create(r->vm, &c, &r->reclaim))
		abort();
}

void rig_init(
	struct rig *r, uint64_t memory, const struct pg_table_form *form, int max_regions, int top)
{
	struct pg_vm_config c = {.memory_bytes = memory,
		.form = form,
		.geometry = pg_geometry_x86_64,
		.hooks = {.ctx = r, .fault = on_fault}};
	const char *swap = r->swap, *policy = r->policy;
	bool existed;

	memset(r, 0, sizeof *r);
	r->swap = swap;
	r->policy = policy;
	if (pg_vm_create(&c, &r->vm))
		abort();
	if (swap)
		begin_swapping(r);
	for (int i = 0; i < FILES; i++) {
		struct pg_object_key key = {7, (uint64_t)i + 1};

		r->file[i].size = i == 0 ? 20 * 4096 : 9 * 4096 + 1500;
		if (pg_object_open(r->vm, key, "object", &rig_pager, &r->file[i], 0, &r->object[i],
			    &existed))
			abort();
	}
	if (pg_object_open(r->vm, (struct pg_object_key){0, 0}, "object", NULL, NULL, 12 * 4096,
		    &r->object[FILES], &existed))
		abort();
	r->max_regions = max_regions;
	r->top = top;
	if (space_begin(r, 0))
		abort();
	pg_space_set_brk_start(r->space[0], (pg_va){LO + 8 * 4096});
}

static void space_end(struct rig *r, int i)
{
	pg_space_detach(r->space[i], &r->link[i].link);
	pg_space_destroy(r->space[i]);
	r->space[i] = NULL;
}

void rig_free(struct rig *r)
{
	for (int i = 0; i < SPACES; i++) {
		if (r->space[i])
			space_end(r, i);
	}
	for (int i = 0; i <= FILES; i++)
		pg_object_unref(r->object[i]);
	for (int i = 0; i < FILES; i++) {
		if (r->file[i].closes != 1)
			abort();
	}
	pg_reclaim_destroy(r->reclaim);
	pg_store_destroy(r->store);
	pg_vm_destroy(r->vm);
}

/* One access of a guest CPU to one page: fault, then the entry's rights, A and D; bytes [a, to). */
static bool cpu_access(struct rig *r, const struct op *op, uint64_t a, uint64_t to)
{
	struct pg_space *s = r->space[op->space];
	pg_pte e;
	uint8_t *bytes;

	if (pg_space_fault(s, (pg_va){a}, op->access, 0x1234, false) != PG_FAULT_RESUME)
		return false;
	pg_space_walk(s, (pg_va){a}, &e);
	if (!pg_pte_serves(e, op->access)) {
		fprintf(stderr, "a resolved fault left no entry that serves\n");
		abort();
	}
	s->form->update(s->table, pg_vpn_of((pg_va){a}),
		op->access == PG_WRITE ? PG_PTE_A | PG_PTE_D : PG_PTE_A, 0);
	bytes = pg_frames_bytes(r->vm->frames, pg_pte_pfn(e));
	for (uint64_t at = a; op->access == PG_WRITE && at < to; at++)
		bytes[at & 4095] = op_byte(op, at);
	return true;
}

static struct outcome apply_access(struct rig *r, const struct op *op)
{
	struct pg_space *s = r->space[op->space];
	uint64_t a = op->addr, end = op->addr + op->len;
	uint8_t *buf = malloc(op->len + 1);

	if (op->kind == OP_WRITE) {
		for (uint64_t i = 0; i < op->len; i++)
			buf[i] = op_byte(op, op->addr + i);
		a += pg_space_write(s, (pg_va){op->addr}, buf, op->len, 0);
	} else if (op->kind == OP_READ) {
		a += pg_space_read(s, buf, (pg_va){op->addr}, op->len, 0);
	} else {
		while (a < end) {
			uint64_t to = (a / 4096 + 1) * 4096 < end ? (a / 4096 + 1) * 4096 : end;

			if (!cpu_access(r, op, a, to))
				break;
			a = to;
		}
	}
	free(buf);
	return (struct outcome){(int64_t)(a - op->addr), 0};
}

static void host_write(struct rig *r, const struct op *op)
{
	struct fake_file *f = &r->file[op->object];

	pg_object_before_host_write(r->object[op->object], f->size);
	for (uint64_t i = 0; i < op->len; i++)
		f->bytes[op->offset + i] = op_byte(op, op->offset + i);
	if (op->len && op->offset + op->len > f->size)
		f->size = op->offset + op->len;
	if (pg_object_after_host_write(r->object[op->object], op->offset, op->offset + op->len))
		abort();
}

static void truncate_file(struct rig *r, const struct op *op)
{
	if (op->object < FILES) {
		struct fake_file *f = &r->file[op->object];

		if (op->len < f->size)
			memset(f->bytes + op->len, 0, sizeof f->bytes - op->len);
		f->size = op->len;
	}
	pg_object_truncated(r->object[op->object], op->len);
}

static void punch_file(struct rig *r, const struct op *op)
{
	if (op->object < FILES)
		(void)file_punch(&r->file[op->object], op->offset, op->offset + op->len);
	pg_object_punched(r->object[op->object], op->offset, op->offset + op->len);
}

static int fork_space(struct rig *r, const struct op *op)
{
	int err = space_begin(r, op->other);

	if (err)
		return err;
	if (r->arm)
		r->arm();
	err = pg_space_fork(r->space[op->space], r->space[op->other]);
	if (err)
		space_end(r, op->other);
	return err;
}

static struct outcome apply(struct rig *r, const struct op *op)
{
	struct pg_space *s = r->space[op->space];
	struct pg_object *o = op->object >= 0 ? r->object[op->object] : NULL;
	struct outcome out = {0, 0};
	pg_va a = {op->addr}, at;

	if (r->arm && op->kind != OP_FORK)
		r->arm();
	switch (op->kind) {
	case OP_MAP:
		out.result = pg_space_map(
			s, &a, op->len, op->prot, op->max_prot, op->flags, o, op->offset, NULL);
		out.addr = out.result ? 0 : a.v;
		break;
	case OP_UNMAP:
		out.result = pg_space_unmap(s, a, op->len);
		break;
	case OP_PROTECT:
		out.result = pg_space_protect(s, a, op->len, op->prot);
		break;
	case OP_REMAP:
		at.v = op->to;
		out.result = pg_space_remap(s, a, op->len, op->new_len, op->flags, &at);
		out.addr = at.v;
		break;
	case OP_DISCARD:
		out.result = pg_space_discard(s, a, op->len);
		break;
	case OP_SYNC:
		out.result = pg_space_sync(s, a, op->len);
		break;
	case OP_BRK:
		out.addr = pg_space_brk(s, a, op->len).v;
		break;
	case OP_WRITE:
	case OP_READ:
	case OP_FAULT:
		return apply_access(r, op);
	case OP_TRUNCATE:
		truncate_file(r, op);
		break;
	case OP_HOST_WRITE:
		host_write(r, op);
		break;
	case OP_PUNCH:
		punch_file(r, op);
		break;
	case OP_ADVISE:
		out.result = pg_space_advise(s, a, op->len, op->advice);
		break;
	case OP_MARK:
		out.result = pg_space_mark(s, a, op->len, op->flags, op->clear);
		break;
	case OP_LOCK:
		out.result = pg_space_lock(s, a, op->len, op->flags);
		break;
	case OP_LOCK_ALL:
		out.result = pg_space_lock_all(s, op->flags, op->clear);
		break;
	case OP_FORK:
		out.result = fork_space(r, op);
		break;
	case OP_EXIT:
		space_end(r, op->space);
		break;
	case OP_KINDS:
		break;
	}
	return out;
}

/* Compares what the CPU remembers with the tables, then lets it look again. */
static void look(struct rig *r)
{
	for (int i = 0; i < SPACES; i++) {
		for (int p = 0; r->space[i] && p < PAGES; p++) {
			pg_va a = {LO + (uint64_t)p * 4096};
			pg_pte e;
			pg_pfn f = pg_space_walk(r->space[i], a, &e);

			if (r->stale[i][p] && r->stale[i][p] != f.v + 1) {
				fprintf(stderr, "page %d changed and nobody was told\n", p);
				abort();
			}
			r->stale[i][p] = pg_pfn_is_none(f) ? 0 : f.v + 1;
		}
	}
}

struct outcome rig_apply(struct rig *r, const struct op *op)
{
	struct outcome out;

	r->events = 0;
	out = apply(r, op);
	look(r);
	return out;
}
