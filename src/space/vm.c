/* SPDX-License-Identifier: MIT */
/*
 * space/vm.c: the memory of one machine: frames, the zero page, names.
 *
 * Called by the upper floors (space.h). Calls frame/. Owns struct pg_vm.
 * Not here: address spaces (space.c), objects (object.c).
 */
#include "space/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pg_vm_create(const struct pg_vm_config *c, struct pg_vm **out)
{
	struct pg_vm *vm = calloc(1, sizeof *vm);
	int err;

	if (!vm)
		return -ENOMEM;
	if (!c->form || c->geometry.page_shift != PG_PAGE_SHIFT) {
		err = -EINVAL;
		goto fail;
	}
	vm->form = c->form;
	vm->geometry = c->geometry;
	vm->hooks = c->hooks;
	vm->anon_kind = (struct pg_sparse_kind){&vm->mem, vm, pg_anon_ref, pg_anon_unref};
	vm->page_kind = (struct pg_sparse_kind){&vm->mem, vm, NULL, NULL};
	for (int i = 0; i < PG_CACHE_LISTS; i++)
		vm->cache[i].first = vm->cache[i].last = UINT32_MAX;
	vm->guard = (struct pg_anon){.refs = 1, .pfn = PG_PFN_NONE, .slot = PG_SLOT_NONE};
	vm->asid_hint = 1; /* 0 is left to whoever has no space */
	vm->overcommit = PG_OVERCOMMIT_ALWAYS;
	vm->overcommit_percent = 50;
	err = pg_frames_create(c->memory_bytes, &vm->frames);
	if (err)
		goto fail;
	vm->zero = PG_PFN_NONE;
	if (c->blocks) {
		err = pg_blocks_open(vm, c->blocks);
		if (err)
			goto fail_frames;
		*out = vm;
		return 0;
	}
	err = pg_frames_alloc(vm->frames, 0, PG_FRAME_WIRED, vm, &vm->zero);
	if (err)
		goto fail_frames;
	memset(pg_frames_bytes(vm->frames, vm->zero), 0, PG_PAGE_SIZE);
	err = vm->form->open ? vm->form->open(vm->frames, &vm->geometry, &vm->tables) : 0;
	if (err)
		goto fail_frames;
	*out = vm;
	return 0;
fail_frames:
	pg_frames_destroy(vm->frames);
fail:
	free(vm);
	return err;
}

void pg_vm_destroy(struct pg_vm *vm)
{
	PG_ASSERT(!vm->space_count && !vm->object_count);
	pg_blocks_close(vm);
	PG_ASSERT(!vm->mem.live && vm->guard.refs == 1);
	if (vm->form->close)
		vm->form->close(vm->tables);
	if (!pg_pfn_is_none(vm->zero))
		pg_frames_free(vm->frames, vm->zero);
	/* nothing was lost: every frame that was taken has come back */
	PG_ASSERT(pg_frames_free_count(vm->frames) == pg_frames_total(vm->frames));
	pg_frames_destroy(vm->frames);
	free(vm);
}

struct pg_frames *pg_vm_frames(struct pg_vm *vm)
{
	return vm->frames;
}

void pg_vm_frames_stats(const struct pg_vm *vm, struct pg_frames_stats *out)
{
	struct pg_partition_figures f;

	pg_frames_stats(vm->frames, out);
	if (!vm->blocks)
		return;
	pg_partition_counters(vm->blocks->partition, &f);
	out->by_state[PG_FRAME_WIRED] -= f.units;
	out->by_state[PG_FRAME_FREE] += f.free;
	out->by_state[PG_FRAME_ANON] += f.units - f.free;
	out->used_peak = vm->blocks->used_peak;
}

void pg_vm_set_hooks(struct pg_vm *vm, const struct pg_vm_hooks *h)
{
	vm->hooks = *h;
}

void pg_vm_set_pageout(struct pg_vm *vm, const struct pg_pageout *p)
{
	PG_ASSERT(!vm->space_count && !vm->object_count);
	vm->pageout = p ? *p : (struct pg_pageout){0};
}

pg_pfn pg_vm_zero_page(const struct pg_vm *vm)
{
	return vm->zero;
}

static struct pg_name **name_bucket(struct pg_vm *vm, const char *text)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 16777619u;
	return &vm->names[h % PG_NAME_BUCKETS];
}

struct pg_name *pg_name_get(struct pg_vm *vm, const char *text, int *err)
{
	struct pg_name **at, *n;
	size_t len;

	*err = 0;
	if (!text || !*text)
		return NULL;
	at = name_bucket(vm, text);
	for (n = *at; n; n = n->next) {
		if (!strcmp(n->text, text)) {
			n->refs++;
			return n;
		}
	}
	len = strlen(text) + 1;
	n = pg_mem_alloc(&vm->mem, sizeof *n + len);
	if (!n) {
		*err = -ENOMEM;
		return NULL;
	}
	memcpy(n->text, text, len);
	n->refs = 1;
	n->next = *at;
	*at = n;
	return n;
}

void pg_name_put(struct pg_vm *vm, struct pg_name *n)
{
	struct pg_name **at;

	if (!n || --n->refs > 0)
		return;
	for (at = name_bucket(vm, n->text); *at != n; at = &(*at)->next)
		;
	*at = n->next;
	pg_mem_free(&vm->mem, n);
}
