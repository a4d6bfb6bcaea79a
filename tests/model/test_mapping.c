/* SPDX-License-Identifier: MIT */
/*
 * tests/model/test_mapping.c: fork, limits, promises, locks, advice and figures, one thing at a time: what
 * random.c does not look at (events, limits, pressure, which pages are dirty or accessed).
 */
#include "fixture.h"

#include <errno.h>

static struct pg_space *fork_of(struct machine *m)
{
	struct pg_space_config c = fixture_layout();
	struct pg_space *child;

	assert_int_equal(pg_space_create(m->vm, &c, &child), 0);
	assert_int_equal(pg_space_fork(m->s, child), 0);
	return child;
}

static void store(struct machine *m, struct pg_space *s, uint64_t a)
{
	assert_int_equal(pg_space_fault(s, (pg_va){a}, PG_WRITE, 1, false), PG_FAULT_RESUME);
	assert_ptr_equal(m->last.space, s);
	s->form->update(s->table, pg_vpn_of((pg_va){a}), PG_PTE_A | PG_PTE_D, 0);
}

/* Takes frames until none is free; true: the n-th page of a was got. */
static uint64_t use_up(struct machine *m, pg_va a, uint64_t pages)
{
	uint64_t n = 0;

	while (n < pages && pg_space_fault(m->s, (pg_va){a.v + n * PAGE}, PG_WRITE, 0, false) ==
				    PG_FAULT_RESUME)
		n++;
	return n;
}

/* R10: who un-shared what: the event of a write says whether a fork had shared the page. */
static void write_after_fork_says_so(void **state)
{
	struct machine m;
	struct pg_space *child;
	struct pg_object *o;
	bool existed;
	pg_va a, b;

	machine_begin(&m);
	a = map_anon(m.s, 4, RW);
	put(m.s, a.v, 1);
	put(m.s, a.v + PAGE, 1);
	assert_false(m.last.after_fork);
	assert_int_equal(pg_object_open(m.vm, (struct pg_object_key){0, 0}, "o", NULL, NULL,
				 4 * PAGE, &o, &existed),
		0);
	b = map_object(m.s, o, 4, RW, 0);
	store(&m, m.s, b.v);
	assert_int_equal(m.last.fcase, PG_CASE_2B);
	assert_false(m.last.after_fork);
	child = fork_of(&m);
	store(&m, child, a.v);
	assert_int_equal(m.last.fcase, PG_CASE_1B);
	assert_true(m.last.after_fork);
	store(&m, child, b.v + PAGE); /* private, not written before the fork */
	assert_int_equal(m.last.fcase, PG_CASE_2B);
	assert_true(m.last.after_fork);
	store(&m, child, a.v + 3 * PAGE); /* never was shared */
	assert_int_equal(m.last.fcase, PG_CASE_3B);
	assert_false(m.last.after_fork);
	store(&m, m.s, a.v); /* the child has its own: nothing to copy */
	assert_int_equal(m.last.fcase, PG_CASE_1A);
	assert_true(m.last.after_fork);
	assert_true(pg_pfn_is_none(m.last.copied_from));
	check(m.s);
	check(child);
	pg_space_destroy(child);
	pg_object_unref(o);
	machine_end(&m);
}

/* R13: limits of a space, as setrlimit(2); what is refused has changed nothing. */
static void limits_refuse_what_is_over(void **state)
{
	struct pg_space_limits l = {20 * PAGE + 5, UINT64_MAX, UINT64_MAX};
	struct machine m;
	pg_va a, b = {0}, stack = {0x40000000};

	machine_begin(&m);
	a = map_anon(m.s, 16, RW);
	pg_space_set_limits(m.s, &l);
	assert_int_equal(pg_space_map(m.s, &b, 5 * PAGE, 0, 7, 0, NULL, 0, NULL), -ENOMEM);
	assert_int_equal(pg_space_map(m.s, &b, 4 * PAGE, 0, 7, 0, NULL, 0, NULL), 0);
	assert_int_equal(/* what it replaces is not counted twice */
		pg_space_map(m.s, &a, 16 * PAGE, RW, 7, PG_MAP_FIXED, NULL, 0, NULL), 0);
	assert_int_equal(pg_space_remap(m.s, a, 16 * PAGE, 17 * PAGE, 1, &b), -ENOMEM);
	l = (struct pg_space_limits){UINT64_MAX, 16 * PAGE, UINT64_MAX};
	pg_space_set_limits(m.s, &l);
	b.v = 0;
	assert_int_equal(pg_space_map(m.s, &b, PAGE, RW, 7, 0, NULL, 0, NULL), -ENOMEM);
	assert_int_equal(pg_space_map(m.s, &b, PAGE, PG_READ, 7, 0, NULL, 0, NULL), 0);
	assert_int_equal(pg_space_protect(m.s, b, PAGE, RW), -ENOMEM);
	assert_int_equal(pg_space_map(m.s, &b, PAGE, RW, 7, PG_MAP_SHARED, NULL, 0, NULL), 0);
	pg_space_set_brk_start(m.s, (pg_va){0x20000000});
	assert_int_equal(pg_space_brk(m.s, (pg_va){0x20000001}, UINT64_MAX).v, 0x20000000);
	assert_int_equal(pg_space_map(m.s, &stack, PAGE, RW, 7,
				 PG_MAP_FIXED_FREE | PG_MAP_GROWSDOWN, NULL, 0, NULL),
		0); /* a stack is no data */
	l = (struct pg_space_limits){m.s->st.vsz_bytes + PAGE, UINT64_MAX, UINT64_MAX};
	pg_space_set_limits(m.s, &l);
	put(m.s, stack.v - PAGE, 1);
	assert_int_equal(pg_space_fault(m.s, (pg_va){stack.v - 2 * PAGE}, PG_WRITE, 0, false),
		PG_FAULT_STACK);
	check(m.s);
	machine_end(&m);
}

/* R13: the three ways of promising memory: Linux's __vm_enough_memory(). */
static void promises_are_kept_within_the_mode(void **state)
{
	struct machine m;
	struct pg_space *child;
	struct pg_space_config c = fixture_layout();
	pg_va a = {0}, b = {0};

	machine_begin(&m); /* 256 frames */
	pg_vm_set_overcommit(m.vm, PG_OVERCOMMIT_GUESS, 50);
	assert_int_equal(pg_space_map(m.s, &a, 257 * PAGE, RW, 7, 0, NULL, 0, NULL), -ENOMEM);
	pg_vm_set_swap(m.vm, 1);
	assert_int_equal(pg_space_map(m.s, &a, 257 * PAGE, RW, 7, 0, NULL, 0, NULL), 0);
	assert_int_equal(
		pg_space_map(m.s, &b, 9999 * PAGE, RW, 7, PG_MAP_NORESERVE, NULL, 0, NULL), 0);
	assert_int_equal(pg_vm_committed(m.vm), 257 * PAGE);
	assert_int_equal(pg_space_unmap(m.s, a, 257 * PAGE), 0);
	assert_int_equal(pg_space_unmap(m.s, b, 9999 * PAGE), 0);
	pg_vm_set_overcommit(m.vm, PG_OVERCOMMIT_NEVER, 50);
	assert_int_equal(pg_vm_commit_limit(m.vm), 129 * PAGE);
	assert_int_equal(/* not honoured in this mode */
		pg_space_map(m.s, &b, 130 * PAGE, RW, 7, PG_MAP_NORESERVE, NULL, 0, NULL), -ENOMEM);
	assert_int_equal(pg_space_map(m.s, &a, 65 * PAGE, RW, 7, 0, NULL, 0, NULL), 0);
	assert_int_equal(
		pg_space_map(m.s, &b, 65 * PAGE, RW, 7, PG_MAP_SHARED, NULL, 0, NULL), -ENOMEM);
	assert_int_equal(pg_space_map(m.s, &b, 64 * PAGE, RW, 7, PG_MAP_SHARED, NULL, 0, NULL), 0);
	assert_int_equal(pg_space_create(m.vm, &c, &child), 0);
	assert_int_equal(pg_space_fork(m.s, child), -ENOMEM);
	assert_int_equal(pg_vm_committed(m.vm), 129 * PAGE);
	assert_int_equal(pg_space_unmap(m.s, b, 64 * PAGE), 0);
	assert_int_equal(pg_space_protect(m.s, a, PAGE, PG_READ), 0);
	assert_int_equal(pg_vm_committed(m.vm), 64 * PAGE); /* it had no page yet */
	assert_int_equal(pg_space_fork(m.s, child), 0);
	assert_int_equal(pg_vm_committed(m.vm), 128 * PAGE);
	assert_int_equal(pg_space_protect(m.s, a, PAGE, RW), 0);
	assert_int_equal(pg_space_protect(child, a, PAGE, RW), -ENOMEM);
	check(child);
	pg_space_destroy(child);
	assert_int_equal(pg_vm_committed(m.vm), 65 * PAGE);
	check(m.s);
	machine_end(&m);
}

/* R20: a page given up stays until frames are wanted, and for good once it is written again. */
static void freed_pages_go_under_pressure_unless_written(void **state)
{
	struct pg_region_figures f;
	struct machine m;
	pg_va a, b;

	machine_begin(&m);
	a = map_anon(m.s, 4, RW);
	for (uint64_t i = 0; i < 4; i++)
		put(m.s, a.v + i * PAGE, (uint8_t)(i + 1));
	assert_int_equal(pg_space_advise(m.s, a, 3 * PAGE, PG_ADVISE_FREE), 0);
	assert_true(pg_space_measure(m.s, a, &f));
	assert_int_equal(f.lazy_free, 3 * PAGE);
	assert_int_equal(f.rss, 4 * PAGE);
	assert_int_equal(get(m.s, a.v), 1);
	put(m.s, a.v + PAGE, 9);
	b = map_anon(m.s, 256, RW);
	assert_in_range(use_up(&m, b, 256), 1, 255);
	assert_int_equal(get(m.s, a.v + PAGE), 9);
	assert_int_equal(get(m.s, a.v + 3 * PAGE), 4);
	assert_int_equal(get(m.s, a.v), 0);
	assert_int_equal(get(m.s, a.v + 2 * PAGE), 0);
	check(m.s);
	assert_int_equal(pg_space_unmap(m.s, b, 256 * PAGE), 0);
	assert_true(pg_space_measure(m.s, a, &f));
	assert_int_equal(f.rss, 2 * PAGE);
	assert_int_equal(f.lazy_free, 0);
	put(m.s, a.v, 7);
	assert_int_equal(get(m.s, a.v), 7);
	machine_end(&m);
}

static int ones_read(void *ctx, uint64_t index, void *buf)
{
	memset(buf, 1, PAGE);
	return 0;
}

static int fail_next;

static int ones_write(void *ctx, uint64_t index, const void *buf)
{
	int err = fail_next;

	fail_next = 0;
	return err;
}

static uint64_t ones_size(void *ctx)
{
	return 8 * PAGE;
}

static int ones_punch(void *ctx, uint64_t start, uint64_t end)
{
	*(uint64_t *)ctx = start << 32 | end;
	return 0;
}

static const struct pg_pager ones = {"ones", ones_read, ones_write, ones_size, NULL, ones_punch};

static struct pg_object *ones_open(struct machine *m, void *ctx)
{
	struct pg_object *o;
	bool existed;

	assert_int_equal(pg_object_open(m->vm, (struct pg_object_key){1, 2}, "ones", &ones, ctx, 0,
				 &o, &existed),
		0);
	return o;
}

/* R11: locked pages stay when all others of their kind go; limits of locking. */
static void locked_pages_stay(void **state)
{
	struct pg_space_limits l = {UINT64_MAX, UINT64_MAX, 2 * PAGE};
	struct machine m;
	struct pg_object *o;
	pg_va a, b;

	machine_begin(&m);
	o = ones_open(&m, NULL);
	a = map_object(m.s, o, 8, PG_READ, 0);
	for (uint64_t i = 0; i < 8; i++)
		(void)get(m.s, a.v + i * PAGE);
	pg_space_set_limits(m.s, &l);
	assert_int_equal(pg_space_lock(m.s, a, 3 * PAGE, PG_MAP_LOCKED), -ENOMEM);
	assert_int_equal(pg_space_lock(m.s, (pg_va){a.v + 1}, PAGE, PG_MAP_LOCKED), 0);
	assert_int_equal(m.s->st.locked_bytes, 2 * PAGE);
	assert_int_equal(pg_space_lock(m.s, a, 2 * PAGE, PG_MAP_LOCKED), 0); /* they are already */
	b.v = 0;
	assert_int_equal(pg_space_map(m.s, &b, PAGE, RW, 7, PG_MAP_LOCKED, NULL, 0, NULL), -EAGAIN);
	assert_int_equal(pg_space_discard(m.s, a, PAGE), -EINVAL);
	b = map_anon(m.s, 256, RW);
	(void)use_up(&m, b, 256);
	assert_int_equal(pg_object_resident(o), 2);
	assert_false(pg_pfn_is_none(frame_at(m.s, a.v)));
	assert_false(pg_pfn_is_none(frame_at(m.s, a.v + PAGE)));
	check(m.s);
	assert_int_equal(pg_space_unmap(m.s, b, 256 * PAGE), 0);
	l.locked_bytes = 0;
	pg_space_set_limits(m.s, &l);
	assert_int_equal(pg_space_lock(m.s, a, PAGE, PG_MAP_LOCKED), -EPERM);
	assert_int_equal(pg_space_lock(m.s, a, 2 * PAGE, 0), 0);
	assert_int_equal(m.s->st.locked_bytes, 0);
	assert_int_equal(m.s->st.regions, 1); /* merged again */
	pg_object_unref(o);
	machine_end(&m);
}

/* R13: dirty, clean, referenced, shared; what the TLB cached is told when A bits are cleared. */
static void figures_tell_pages_apart(void **state)
{
	struct pg_region_figures f;
	struct machine m;
	struct pg_space *child;
	struct pg_object *o;
	pg_va a, b;

	machine_begin(&m);
	o = ones_open(&m, NULL);
	a = map_anon(m.s, 4, RW);
	b = map_object(m.s, o, 4, RW, PG_MAP_SHARED);
	put(m.s, a.v, 1);
	put(m.s, a.v + PAGE, 1);
	(void)get(m.s, a.v + 2 * PAGE); /* the zero page: counts nowhere */
	(void)get(m.s, b.v);
	put(m.s, b.v + PAGE, 5);
	assert_true(pg_space_measure(m.s, a, &f));
	assert_int_equal(f.rss, 2 * PAGE);
	assert_int_equal(f.private_dirty, 2 * PAGE);
	assert_int_equal(f.anonymous, 2 * PAGE);
	assert_int_equal(f.referenced, 2 * PAGE);
	assert_int_equal(f.pss, 2 * PAGE << 12);
	assert_true(pg_space_measure(m.s, b, &f));
	assert_int_equal(f.private_clean, PAGE);
	assert_int_equal(f.private_dirty, PAGE);
	assert_int_equal(f.pss_file, 2 * PAGE << 12);
	assert_int_equal(pg_space_sync(m.s, b, 4 * PAGE), 0);
	assert_true(pg_space_measure(m.s, b, &f));
	assert_int_equal(f.private_clean, 2 * PAGE);
	pg_space_clear_referenced(m.s, true, false);
	assert_true(pg_space_measure(m.s, b, &f));
	assert_int_equal(f.referenced, 2 * PAGE);
	assert_true(pg_space_measure(m.s, a, &f));
	assert_int_equal(f.referenced, 0);
	child = fork_of(&m);
	put(child, a.v, 2);
	(void)get(child, b.v);
	assert_true(pg_space_measure(child, a, &f));
	assert_int_equal(f.rss, 2 * PAGE);
	assert_int_equal(f.private_dirty, PAGE);
	assert_int_equal(f.shared_dirty, PAGE);
	assert_int_equal(f.pss, (PAGE << 12) + (PAGE << 12) / 2);
	assert_int_equal(f.referenced, PAGE);
	assert_true(pg_space_measure(m.s, a, &f));
	assert_int_equal(f.private_dirty, PAGE);
	assert_true(pg_space_measure(child, b, &f));
	assert_int_equal(f.rss, PAGE); /* the other by a fault */
	assert_int_equal(f.shared_clean, PAGE);
	assert_int_equal(pg_space_pagemap(child, pg_vpn_of(a)),
		1ull << 63 | 1ull << 56 | frame_at(child, a.v).v);
	assert_int_equal(pg_space_pagemap(child, pg_vpn_of((pg_va){a.v + PAGE})),
		1ull << 63 | frame_at(child, a.v + PAGE).v);
	assert_int_equal(pg_space_pagemap(child, pg_vpn_of(b)),
		1ull << 63 | 1ull << 61 | frame_at(child, b.v).v);
	assert_int_equal(pg_space_pagemap(child, pg_vpn_of((pg_va){b.v + PAGE})), 0);
	assert_true(pg_space_in_core(child, (pg_va){b.v + PAGE})); /* in the cache */
	assert_false(pg_space_in_core(child, (pg_va){b.v + 3 * PAGE}));
	pg_space_destroy(child);
	assert_true(pg_space_measure(m.s, a, &f));
	assert_int_equal(f.pss, 2 * PAGE << 12);
	assert_false(pg_space_measure(m.s, (pg_va){LO}, &f));
	pg_object_unref(o);
	machine_end(&m);
}

/* R20: a write-back that failed is told to each mapping once, and its page stays dirty. */
static void failed_write_back_is_told_once(void **state)
{
	struct machine m;
	struct pg_object *o;
	uint32_t seen;
	pg_va a, b;

	machine_begin(&m);
	o = ones_open(&m, NULL);
	seen = pg_object_error_now(o);
	a = map_object(m.s, o, 1, RW, PG_MAP_SHARED);
	b = map_object(m.s, o, 1, RW, PG_MAP_SHARED);
	put(m.s, a.v, 5);
	fail_next = -ENOSPC;
	assert_int_equal(pg_space_sync(m.s, a, PAGE), -ENOSPC);
	assert_int_equal(pg_space_sync(m.s, a, PAGE), 0); /* written now, and told before */
	assert_int_equal(pg_space_sync(m.s, b, PAGE), -ENOSPC);
	assert_int_equal(pg_space_sync(m.s, b, PAGE), 0);
	assert_int_equal(pg_object_error_since(o, &seen), -ENOSPC);
	assert_int_equal(pg_object_error_since(o, &seen), 0);
	put(m.s, a.v, 6);
	fail_next = -EIO;
	assert_int_equal(pg_space_unmap(m.s, b, PAGE), 0);
	assert_int_equal(pg_space_unmap(m.s, a, PAGE), 0); /* nobody is there to be told */
	a = map_object(m.s, o, 1, RW, PG_MAP_SHARED);
	assert_int_equal(get(m.s, a.v), 6);
	assert_int_equal(pg_object_error_since(o, &seen), -EIO);
	pg_object_unref(o);
	machine_end(&m);
}

/* R20: a hole takes shared pages away everywhere and leaves private copies. */
static void hole_leaves_private_copies(void **state)
{
	uint64_t punched = 0;
	struct machine m;
	struct pg_object *o;
	pg_va a, b;

	machine_begin(&m);
	o = ones_open(&m, &punched);
	a = map_object(m.s, o, 4, RW, PG_MAP_SHARED);
	b = map_object(m.s, o, 4, RW, 0);
	put(m.s, b.v + PAGE, 77);
	(void)get(m.s, b.v + 2 * PAGE);
	assert_int_equal(pg_space_advise(m.s, b, PAGE, PG_ADVISE_REMOVE), -EACCES);
	assert_int_equal(pg_space_advise(m.s, (pg_va){a.v + PAGE}, 2 * PAGE, PG_ADVISE_REMOVE), 0);
	assert_int_equal(punched, PAGE << 32 | 3 * PAGE);
	assert_int_equal(get(m.s, b.v + PAGE), 77);
	assert_true(pg_pfn_is_none(frame_at(m.s, b.v + 2 * PAGE)));
	assert_true(pg_object_mapped_writable(o));
	assert_int_equal(pg_space_unmap(m.s, a, 4 * PAGE), 0);
	assert_false(pg_object_mapped_writable(o));
	check(m.s);
	pg_object_unref(o);
	machine_end(&m);
}

/* R20: a second mapping of shared memory, by moving none of it; the old place emptied, not unmapped. */
static void remap_duplicates_and_leaves_behind(void **state)
{
	struct machine m;
	pg_va a = {0}, b = {0}, c;

	machine_begin(&m);
	assert_int_equal(pg_space_map(m.s, &a, 2 * PAGE, RW, 7, PG_MAP_SHARED, NULL, 0, NULL), 0);
	put(m.s, a.v + PAGE, 3);
	assert_int_equal(pg_space_remap(m.s, a, 0, 2 * PAGE, PG_REMAP_MAYMOVE, &b), 0);
	assert_int_not_equal(a.v, b.v);
	put(m.s, b.v + PAGE, 4);
	assert_int_equal(get(m.s, a.v + PAGE), 4);
	c = map_anon(m.s, 3, RW);
	for (uint64_t i = 0; i < 3; i++)
		put(m.s, c.v + i * PAGE, (uint8_t)(10 + i));
	b.v = 0;
	assert_int_equal(pg_space_remap(m.s, (pg_va){c.v + PAGE}, PAGE, PAGE,
				 PG_REMAP_MAYMOVE | PG_REMAP_DONTUNMAP, &b),
		0);
	assert_int_equal(get(m.s, b.v), 11);
	assert_int_equal(get(m.s, c.v + PAGE), 0);
	assert_int_equal(get(m.s, c.v), 10);
	assert_int_equal(get(m.s, c.v + 2 * PAGE), 12);
	check(m.s);
	machine_end(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(write_after_fork_says_so),
		cmocka_unit_test(limits_refuse_what_is_over),
		cmocka_unit_test(promises_are_kept_within_the_mode),
		cmocka_unit_test(freed_pages_go_under_pressure_unless_written),
		cmocka_unit_test(locked_pages_stay),
		cmocka_unit_test(figures_tell_pages_apart),
		cmocka_unit_test(failed_write_back_is_told_once),
		cmocka_unit_test(hole_leaves_private_copies),
		cmocka_unit_test(remap_duplicates_and_leaves_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
