/* SPDX-License-Identifier: MIT */
/*
 * tests/model/test_space.c: address spaces and faults, one thing at a time: what random operations
 * on small spaces do not reach (large and sparse ones, other geometries, the fields of fault
 * events).
 */
#include "fixture.h"

#include <errno.h>

/* R12, R21: what the seven steps report, on a fresh table of four levels. */
static void fault_events_say_what_was_done(void **state)
{
	struct machine m;
	pg_va a;

	machine_begin(&m);
	a = map_anon(m.s, 4, RW);
	assert_int_equal(pg_space_fault(m.s, a, PG_READ, 77, false), PG_FAULT_RESUME);
	assert_int_equal(m.last.fcase, PG_CASE_3A);
	assert_int_equal(m.last.kind, PG_FAULT_ZERO_READ);
	assert_int_equal(m.last.pc, 77);
	assert_false(m.last.by_kernel);
	assert_false(m.last.frame_new);
	assert_int_equal(m.last.frame.v, pg_vm_zero_page(m.vm).v);
	assert_int_equal(m.last.nodes_made, 3); /* below the root */
	assert_int_equal(m.last.walk_refs, 1);  /* the root's entry was empty */
	assert_ptr_equal(m.last.space, m.s);
	assert_int_equal(m.last.region->start.v, a.v);
	assert_int_equal(pg_space_fault(m.s, a, PG_WRITE, 78, true), PG_FAULT_RESUME);
	assert_int_equal(m.last.fcase, PG_CASE_3B);
	assert_int_equal(m.last.kind, PG_FAULT_ZERO_FILL);
	assert_true(m.last.by_kernel);
	assert_true(m.last.frame_new);
	assert_int_equal(m.last.nodes_made, 0);
	assert_int_equal(m.last.walk_refs, 4);
	assert_int_equal(m.last.frame.v, frame_at(m.s, a.v).v);
	assert_int_equal(m.last.region->resident_pages, 1);
	assert_int_equal(pg_space_fault(m.s, a, PG_WRITE, 79, false), PG_FAULT_RESUME);
	assert_int_equal(m.last.fcase, PG_CASE_0);
	assert_int_equal(
		pg_space_fault(m.s, (pg_va){a.v - PAGE}, PG_READ, 0, false), PG_FAULT_MAPERR);
	assert_null(m.last.region);
	assert_int_equal(m.last.end, PG_FAULT_MAPERR);
	assert_int_equal(m.faults, 4);
	check(m.s);
	machine_end(&m);
}

/* R12: each access under each set of rights, as x86 Linux without protection keys. */
static void rights_decide_each_access(void **state)
{
	static const enum pg_access access[3] = {PG_READ, PG_WRITE, PG_EXEC};

	for (pg_prot prot = 0; prot < 8; prot++) {
		struct machine m;
		pg_va a;

		machine_begin(&m);
		a = map_anon(m.s, 3, prot);
		for (int i = 0; i < 3; i++) {
			pg_va at = {a.v + (uint64_t)i * PAGE};
			bool may = access[i] == PG_READ ? prot != 0 : (prot & access[i]) != 0;
			pg_pte e;

			assert_int_equal(pg_space_fault(m.s, at, access[i], 0, false),
				may ? PG_FAULT_RESUME : PG_FAULT_ACCERR);
			pg_space_resident(m.s, at, &e);
			assert_int_equal(pg_pte_serves(e, access[i]), may);
		}
		check(m.s);
		machine_end(&m);
	}
}

/* R16: an overflow is told apart from a wild pointer; the guard gap keeps regions away. */
static void stack_overflow_differs_from_wild(void **state)
{
	struct machine m;
	pg_va top = {0x7fff00000000}, a = {top.v - 4 * PAGE}, below;
	struct pg_region r;

	machine_begin(&m);
	assert_int_equal(pg_space_map(m.s, &a, 4 * PAGE, RW, 7, PG_MAP_GROWSDOWN | PG_MAP_FIXED,
				 NULL, 0, "[stack]"),
		0);
	put(m.s, top.v - 40 * PAGE, 1);
	assert_true(m.last.stack_grew);
	assert_true(pg_space_find(m.s, (pg_va){top.v - 1}, false, &r));
	assert_int_equal(r.start.v, top.v - 40 * PAGE);
	put(m.s, top.v - 64 * PAGE, 1); /* the last page that the limit allows */
	assert_int_equal(pg_space_fault(m.s, (pg_va){top.v - 64 * PAGE - 1}, PG_WRITE, 0, false),
		PG_FAULT_STACK);
	assert_int_equal(pg_space_fault(m.s, (pg_va){top.v - 80 * PAGE}, PG_WRITE, 0, false),
		PG_FAULT_STACK);
	assert_int_equal(pg_space_fault(m.s, (pg_va){top.v - 80 * PAGE - 1}, PG_WRITE, 0, false),
		PG_FAULT_MAPERR);
	below = (pg_va){top.v - 65 * PAGE}; /* a hint into the gap is not taken */
	assert_int_equal(pg_space_map(m.s, &below, PAGE, RW, 7, 0, NULL, 0, NULL), 0);
	assert_int_not_equal(below.v, top.v - 65 * PAGE);
	check(m.s);
	machine_end(&m);
}

/* R6, R11: 2^40 bytes with a few pages cost little, in frames and in records. */
static void terabyte_costs_its_pages(void **state)
{
	struct machine m;
	uint64_t live;
	pg_va a, r;

	machine_begin(&m);
	live = m.vm->mem.live;
	a = map_anon(m.s, 1ull << 28, RW);
	for (uint64_t i = 0; i < 8; i++)
		put(m.s, a.v + i * (1ull << 37) + i * PAGE, (uint8_t)(i + 1));
	assert_in_range(m.vm->mem.live - live, 1, 8 * 12);
	check(m.s);
	assert_int_equal(
		pg_space_protect(m.s, (pg_va){a.v + (1ull << 39)}, 1ull << 30, PG_READ), 0);
	check(m.s);
	assert_int_equal(pg_space_discard(m.s, a, 1ull << 38), 0);
	assert_int_equal(get(m.s, a.v), 0);
	assert_int_equal(get(m.s, a.v + 3 * (1ull << 37) + 3 * PAGE), 4);
	assert_int_equal(pg_space_remap(m.s, a, 1ull << 39, (1ull << 39) + PAGE, true, &r), 0);
	assert_int_equal(get(m.s, r.v + 3 * (1ull << 37) + 3 * PAGE), 4);
	check(m.s);
	assert_int_equal(pg_space_unmap(m.s, (pg_va){LO}, HI - LO), 0);
	assert_int_equal(m.vm->mem.live, live);
	check(m.s);
	machine_end(&m);
}

/* R6: all of 2^64 bytes in one region on 1 MiB of memory, six levels. */
static void space_of_64_bits_on_one_mebibyte(void **state)
{
	struct pg_space_config l = {.lo = {LO}, .hi = {~PG_PAGE_MASK}, .mmap_top = {~PG_PAGE_MASK}};
	struct machine m;
	struct pg_space_stats st;
	pg_va a = {LO};
	uint64_t n = 0;

	machine_begin_with(&m, 1 << 20, &pg_geometry_full64, l);
	assert_int_equal(pg_space_map(m.s, &a, l.hi.v - LO, RW, 7, PG_MAP_FIXED, NULL, 0, NULL), 0);
	for (; n < 1000; n++) { /* each page needs up to five nodes: memory ends before 1000 */
		uint64_t at = (LO + n * 0x9e3779b97f4a7c15ull) | 0x10000;
		uint8_t v = (uint8_t)(n * 3 + 1);

		if (at >= l.hi.v || pg_space_write(m.s, (pg_va){at}, &v, 1, 0) != 1)
			break;
	}
	assert_in_range(n, 30, 250);
	assert_int_equal(m.last.end, PG_FAULT_OOM);
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(
			get(m.s, (LO + i * 0x9e3779b97f4a7c15ull) | 0x10000), (uint8_t)(i * 3 + 1));
	check(m.s);
	pg_space_stats(m.s, &st);
	assert_int_equal(st.vsz_bytes, l.hi.v - LO);
	assert_int_equal(st.rss_pages, n);
	assert_in_range(st.table.node_frames, n * 3, 256);
	assert_int_equal(pg_space_discard(m.s, a, l.hi.v - LO), 0);
	put(m.s, l.hi.v - 1, 9); /* the very last byte */
	assert_int_equal(get(m.s, l.hi.v - 1), 9);
	assert_int_equal(pg_space_fault(m.s, l.hi, PG_READ, 0, false), PG_FAULT_MAPERR);
	check(m.s);
	machine_end(&m);
}

/* R6, R7: two levels, 32 bits, four-byte entries without NX. */
static void space_of_32_bits_works(void **state)
{
	struct pg_space_config l = {.lo = {LO}, .hi = {0xfffff000}, .mmap_top = {0xc0000000}};
	struct machine m;
	pg_va a;

	machine_begin_with(&m, 1 << 20, &pg_geometry_x86_32, l);
	a = map_anon(m.s, 2048, RW);
	assert_int_equal(a.v, 0xc0000000 - 2048 * PAGE);
	put(m.s, a.v + 5, 42);
	put(m.s, a.v + 1500 * PAGE, 43);
	check(m.s);
	assert_int_equal(pg_space_protect(m.s, a, PAGE, PG_READ), 0);
	assert_int_equal(get(m.s, a.v + 5), 42);
	assert_int_equal(pg_space_fault(m.s, a, PG_WRITE, 0, false), PG_FAULT_ACCERR);
	check(m.s);
	machine_end(&m);
}

/* P4: a region's resident pages after cuts that did not count them. */
static void resident_pages_survive_cuts(void **state)
{
	struct machine m;
	struct pg_region r;
	pg_va a;

	machine_begin(&m);
	a = (pg_va){0};
	assert_int_equal(
		pg_space_map(m.s, &a, 200 * PAGE, RW, 7, PG_MAP_POPULATE, NULL, 0, NULL), 0);
	assert_int_equal(pg_space_protect(m.s, (pg_va){a.v + 100 * PAGE}, PAGE, PG_READ), 0);
	check(m.s);
	put(m.s, a.v, 1);
	assert_int_equal(pg_space_discard(m.s, (pg_va){a.v + 3 * PAGE}, 7 * PAGE), 0);
	assert_true(pg_space_find(m.s, a, false, &r));
	assert_int_equal(r.resident_pages, 93);
	assert_true(pg_space_find(m.s, (pg_va){a.v + 101 * PAGE}, false, &r));
	assert_int_equal(r.resident_pages, 99);
	check(m.s);
	assert_int_equal(pg_space_protect(m.s, (pg_va){a.v + 100 * PAGE}, PAGE, RW), 0);
	assert_true(pg_space_find(m.s, a, false, &r));
	assert_int_equal(r.end.v, a.v + 200 * PAGE);
	assert_int_equal(r.resident_pages, 193);
	check(m.s);
	machine_end(&m);
}

/* R13: mprotect(PROT_NONE) leaves pages resident and out of reach. */
static void rights_withdrawn_pages_stay_resident(void **state)
{
	struct machine m;
	struct pg_space_stats st;
	pg_va a;

	machine_begin(&m);
	a = map_anon(m.s, 2, RW);
	put(m.s, a.v, 5);
	assert_int_equal(pg_space_protect(m.s, a, PAGE, 0), 0);
	pg_space_stats(m.s, &st);
	assert_int_equal(st.rss_pages, 1);
	assert_int_equal(pg_space_fault(m.s, a, PG_READ, 0, false), PG_FAULT_ACCERR);
	assert_int_equal(pg_space_protect(m.s, a, PAGE, RW), 0);
	m.faults = 0;
	assert_int_equal(get(m.s, a.v), 5);
	put(m.s, a.v, 6);
	assert_int_equal(m.faults, 0); /* nothing to be made, and nobody to be asked */
	check(m.s);
	machine_end(&m);
}

/* R4, R5: address-space numbers differ; configurations that cannot be are refused. */
static void spaces_have_own_numbers(void **state)
{
	struct pg_space_config l = fixture_layout();
	struct pg_space *other[20];
	struct machine m;

	machine_begin(&m);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(pg_space_create(m.vm, &l, &other[i]), 0);
		assert_int_not_equal(pg_space_asid(other[i]), pg_space_asid(m.s));
		for (int k = 0; k < i; k++)
			assert_int_not_equal(pg_space_asid(other[i]), pg_space_asid(other[k]));
	}
	for (int i = 0; i < 20; i++)
		pg_space_destroy(other[i]);
	l.hi.v = 1ull << 49;
	assert_int_equal(pg_space_create(m.vm, &l, &other[0]), -EINVAL); /* beyond 48 bits */
	l = fixture_layout();
	l.lo.v = 100;
	assert_int_equal(pg_space_create(m.vm, &l, &other[0]), -EINVAL);
	l = fixture_layout();
	l.mmap_top.v = HI + PAGE;
	assert_int_equal(pg_space_create(m.vm, &l, &other[0]), -EINVAL);
	machine_end(&m);
}

/* R5: the same address in two spaces is other memory; what fork shares parts when written. */
static void forked_pages_part_when_written(void **state)
{
	struct pg_space_config l = fixture_layout();
	struct pg_space *child;
	struct machine m;
	pg_va a;

	machine_begin(&m);
	a = map_anon(m.s, 40, RW);
	for (uint64_t i = 0; i < 40; i++)
		put(m.s, a.v + i * PAGE, (uint8_t)i);
	assert_int_equal(pg_space_create(m.vm, &l, &child), 0);
	assert_int_equal(pg_space_fork(m.s, child), 0);
	assert_int_equal(frame_at(child, a.v).v, frame_at(m.s, a.v).v);
	put(child, a.v + 7 * PAGE, 100);
	assert_int_equal(m.last.fcase, PG_CASE_1B);
	assert_int_equal(m.last.copied_from.v, frame_at(m.s, a.v + 7 * PAGE).v);
	assert_int_equal(get(m.s, a.v + 7 * PAGE), 7);
	assert_int_equal(get(child, a.v + 7 * PAGE), 100);
	put(m.s, a.v + 7 * PAGE, 101); /* nobody else holds it now: no copy */
	assert_int_equal(m.last.fcase, PG_CASE_1A);
	check(m.s);
	pg_space_destroy(child);
	put(m.s, a.v + 8 * PAGE, 102);
	assert_int_equal(m.last.fcase, PG_CASE_1A);
	check(m.s);
	machine_end(&m);
}

/* One access of a CPU with a TLB; the byte's host address, or NULL. */
static uint8_t *by_mmu(struct machine *m, struct pg_mmu *mmu, uint64_t a, enum pg_access access)
{
	struct pg_tlb_way *way;

	while (pg_mmu_lookup(mmu, (pg_va){a}, access, &way) != PG_MMU_OK) {
		if (pg_space_fault(m->s, (pg_va){a}, access, 0, false) != PG_FAULT_RESUME)
			return NULL;
	}
	return (uint8_t *)(uintptr_t)way->host + (a & PG_PAGE_MASK);
}

/* R4: a TLB that hangs on the space never serves what is no longer so. */
static void tlb_follows_every_change(void **state)
{
	const struct pg_tlb_geometry *d = &pg_mmu_config_default.l1d,
				     *i = &pg_mmu_config_default.l1i;
	struct pg_tlb_fast *fast_d = test_calloc(d->entries / d->ways, sizeof(*fast_d));
	struct pg_tlb_fast *fast_i = test_calloc(i->entries / i->ways, sizeof(*fast_i));
	struct machine m;
	struct pg_mmu *mmu;
	pg_va a, r;

	machine_begin(&m);
	assert_int_equal(
		pg_mmu_create(&pg_mmu_config_default, pg_vm_frames(m.vm), fast_d, fast_i, &mmu), 0);
	pg_mmu_switch(mmu, pg_space_table(m.s), pg_space_asid(m.s));
	pg_space_attach(m.s, pg_mmu_shootdown(mmu));
	a = map_anon(m.s, 8, RW);
	assert_int_equal(*by_mmu(&m, mmu, a.v, PG_READ), 0);
	*by_mmu(&m, mmu, a.v, PG_WRITE) = 9;
	assert_int_equal(*by_mmu(&m, mmu, a.v, PG_READ), 9); /* not the zero page any more */
	assert_int_equal(pg_space_protect(m.s, a, PAGE, PG_READ), 0);
	assert_null(by_mmu(&m, mmu, a.v, PG_WRITE));
	assert_int_equal(pg_space_protect(m.s, a, PAGE, 0), 0);
	assert_null(by_mmu(&m, mmu, a.v, PG_READ));
	assert_int_equal(pg_space_protect(m.s, a, PAGE, RW), 0);
	assert_int_equal(*by_mmu(&m, mmu, a.v, PG_READ), 9);
	assert_int_equal(pg_space_discard(m.s, a, PAGE), 0);
	assert_int_equal(*by_mmu(&m, mmu, a.v, PG_READ), 0);
	*by_mmu(&m, mmu, a.v, PG_WRITE) = 10;
	assert_int_equal(pg_space_remap(m.s, a, 8 * PAGE, 32 * PAGE, true, &r), 0);
	if (r.v != a.v)
		assert_null(by_mmu(&m, mmu, a.v, PG_READ));
	assert_int_equal(*by_mmu(&m, mmu, r.v, PG_READ), 10);
	assert_int_equal(pg_space_unmap(m.s, r, 32 * PAGE), 0);
	assert_null(by_mmu(&m, mmu, r.v, PG_READ));
	assert_null(pg_mmu_check(mmu));
	pg_space_detach(m.s, pg_mmu_shootdown(mmu));
	pg_mmu_destroy(mmu);
	check(m.s);
	machine_end(&m);
	test_free(fast_d);
	test_free(fast_i);
}

/* R17: the break takes no frame until it is touched, and only its own neighbours' room. */
static void break_grows_without_frames(void **state)
{
	struct pg_space_stats st;
	struct machine m;
	struct pg_region r;
	pg_va start = {0x600000}, wall = {0x700000};

	machine_begin(&m);
	pg_space_set_brk_start(m.s, start);
	assert_int_equal(pg_space_brk(m.s, (pg_va){0}, UINT64_MAX).v, start.v);
	assert_int_equal(pg_space_brk(m.s, (pg_va){start.v + 100}, UINT64_MAX).v, start.v + 100);
	assert_int_equal(
		pg_space_brk(m.s, (pg_va){start.v + 33 * PAGE}, UINT64_MAX).v, start.v + 33 * PAGE);
	pg_space_stats(m.s, &st);
	assert_int_equal(st.rss_pages, 0);
	assert_int_equal(st.regions, 1);
	assert_true(pg_space_find(m.s, start, false, &r));
	assert_int_equal(r.kind, PG_REGION_HEAP);
	assert_string_equal(r.name, "[heap]");
	assert_int_equal(pg_space_map(m.s, &wall, PAGE, RW, 7, PG_MAP_FIXED, NULL, 0, NULL), 0);
	assert_int_equal(pg_space_brk(m.s, wall, UINT64_MAX).v, start.v + 33 * PAGE);
	assert_int_equal(pg_space_brk(m.s, (pg_va){wall.v - PAGE}, 40 * PAGE).v,
		start.v + 33 * PAGE); /* the data limit */
	assert_int_equal(pg_space_brk(m.s, (pg_va){wall.v - PAGE}, UINT64_MAX).v, wall.v - PAGE);
	put(m.s, wall.v - PAGE - 1, 1);
	assert_int_equal(pg_space_brk(m.s, (pg_va){start.v + 1}, UINT64_MAX).v, start.v + 1);
	pg_space_stats(m.s, &st);
	assert_int_equal(st.rss_pages, 0);
	assert_int_equal(st.rss_peak_pages, 1);
	check(m.s);
	machine_end(&m);
}

/* Strings: across pages, too long, into a hole. */
static void strings_end_or_are_refused(void **state)
{
	struct machine m;
	char text[64];
	pg_va a;

	machine_begin(&m);
	a = map_anon(m.s, 2, RW);
	assert_int_equal(pg_space_write(m.s, (pg_va){a.v + PAGE - 3}, "abcdef", 7, 0), 7);
	assert_int_equal(
		pg_space_read_string(m.s, text, sizeof text, (pg_va){a.v + PAGE - 3}, 0), 6);
	assert_string_equal(text, "abcdef");
	assert_int_equal(pg_space_read_string(m.s, text, 7, (pg_va){a.v + PAGE - 3}, 0), 6);
	assert_int_equal(
		pg_space_read_string(m.s, text, 6, (pg_va){a.v + PAGE - 3}, 0), -ENAMETOOLONG);
	assert_int_equal(pg_space_write(m.s, (pg_va){a.v + 2 * PAGE - 2}, "zz", 2, 0), 2);
	assert_int_equal(
		pg_space_read_string(m.s, text, sizeof text, (pg_va){a.v + 2 * PAGE - 2}, 0),
		-EFAULT);
	assert_int_equal(
		pg_space_read_string(m.s, text, sizeof text, (pg_va){UINT64_MAX - 2}, 0), -EFAULT);
	assert_int_equal(
		pg_space_write(m.s, (pg_va){a.v + 2 * PAGE - 10}, text, sizeof text, 0), 10);
	machine_end(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fault_events_say_what_was_done),
		cmocka_unit_test(rights_decide_each_access),
		cmocka_unit_test(stack_overflow_differs_from_wild),
		cmocka_unit_test(terabyte_costs_its_pages),
		cmocka_unit_test(space_of_64_bits_on_one_mebibyte),
		cmocka_unit_test(space_of_32_bits_works),
		cmocka_unit_test(resident_pages_survive_cuts),
		cmocka_unit_test(rights_withdrawn_pages_stay_resident),
		cmocka_unit_test(spaces_have_own_numbers),
		cmocka_unit_test(forked_pages_part_when_written),
		cmocka_unit_test(tlb_follows_every_change),
		cmocka_unit_test(break_grows_without_frames),
		cmocka_unit_test(strings_end_or_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
