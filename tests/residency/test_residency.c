/* SPDX-License-Identifier: MIT */
/*
 * tests/residency/test_residency.c: residency is true.
 *
 *   test_residency STATIC STATIC-PIE
 *
 * Frames: what a guest wrote is found from outside in the frames that the page table names, and what it
 * did not touch has no frame. Regions: addresses, rights, VSZ and RSS of the program are those that Linux reports for it,
 * region by region and page by page. Each difference that may be is a row of differences[] with its reason, and is
 * counted; any other fails. Guards R4, R11, R13, R14.
 *
 * Seen by pagoda.c and linux.c, judged here. The bytes that places must hold are worked out from places.h, not read from
 * either.
 */
#include "look.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct {
	const char *name;
	bool pie;
	struct look_machine machine;
} machines[] = {
	{"exact", false, {.memory_bytes = 64u << 20}},
	{"fast", false, {.memory_bytes = 64u << 20, .fast = true}},
	{"pie_exact", true, {.memory_bytes = 64u << 20}},
	{"pie_fast", true, {.memory_bytes = 64u << 20, .fast = true}},
	{"five_levels", false, {.memory_bytes = 64u << 20, .five_levels = true}},
	{"small_exact", false, {.memory_bytes = 1u << 20}},
	{"small_fast", false, {.memory_bytes = 1u << 20, .fast = true}},
};
#define MACHINES (sizeof machines / sizeof machines[0])

static char file_path[] = "/tmp/pagoda-residency-XXXXXX";
static const char *programs[2];      /* static, static-PIE */
static struct look pagoda[MACHINES]; /* one each */
static struct look on_linux[2];      /* by program */

/* --- frames -------------------------------------------------------------------------------------- */

/* The first byte of a page that is not what the place says; LOOK_PAGE if all are. */
static unsigned first_wrong_byte(const struct place *p, const uint8_t bytes[LOOK_PAGE])
{
	for (unsigned w = 0; w < PLACES_WORDS; w++) {
		uint64_t want = 0;

		if (w < p->written)
			want = place_word(p->address + w * 8);
		else if (p->rest == PLACE_REST_DATA)
			memset(&want, PLACE_DATA_BYTE, sizeof want);
		else if (p->rest == PLACE_REST_CONST)
			memset(&want, PLACE_CONST_BYTE, sizeof want);
		else if (p->rest == PLACE_REST_FILE)
			want = place_file_word(p->page, w);
		if (memcmp(&want, bytes + w * 8, sizeof want) != 0)
			return w * 8;
	}
	return LOOK_PAGE;
}

/* What is wrong with a place on a Pagoda machine; NULL: nothing. */
static const char *judge_place(const struct look *l, const struct place *p)
{
	const struct look_page *page = look_at(l, p->address);
	const struct look_region *region = look_region_of(l, p->address);

	if (p->state == PLACE_UNMAPPED)
		return region || page ? "mapped" : NULL;
	if (!region)
		return "in no region";
	if (p->state == PLACE_ABSENT)
		return page ? "never touched, but has a frame" : NULL;
	if (!page || !page->has_bytes)
		return "touched, but has no frame";
	if (first_wrong_byte(p, page->bytes) != LOOK_PAGE)
		return "the frame does not hold the bytes";
	switch (p->state) {
	case PLACE_PRIVATE:
		if (page->frame != LOOK_PRIVATE)
			return "not a private frame";
		if (page->map_count != 1)
			return "a private frame mapped more than once";
		return page->dirty ? NULL : "written, but not dirty";
	case PLACE_ZERO:
		if (page->frame != LOOK_ZERO)
			return "not the page of zeros";
		return page->writable ? "the page of zeros is writable" : NULL;
	case PLACE_CACHE:
		if (page->frame != LOOK_CACHE)
			return "not a frame of the page cache";
		if (!page->in_place)
			return "not the frame of this page of the object";
		if (region->rights[3] == 'p' && page->writable)
			return "a private mapping may write the page cache";
		return NULL;
	}
	return "a place of unknown state";
}

static void places_hold_bytes(void **state)
{
	const struct look *l = *state;
	unsigned of_state[PLACE_STATES] = {0}, wrong = 0;

	assert_string_equal(l->trouble, "");
	assert_int_equal(l->status, 0);
	for (size_t i = 0; i < l->place_count; i++) {
		const struct place *p = &l->places[i];
		const char *why = judge_place(l, p);

		if (p->state < PLACE_STATES)
			of_state[p->state]++;
		if (why) {
			print_error("place %zu, %lx: %s\n", i, (unsigned long)p->address, why);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
	/* a table of nothing would be right as well: as many as places.c notes */
	assert_int_equal(of_state[PLACE_PRIVATE], 20);
	assert_int_equal(of_state[PLACE_CACHE], 8);
	assert_int_equal(of_state[PLACE_ZERO], 5);
	assert_int_equal(of_state[PLACE_ABSENT], 17);
	assert_int_equal(of_state[PLACE_UNMAPPED], 2);
}

/* A frame with two pages is one of the page cache or the page of zeros; two pages of one file page have one frame. */
static void frames_are_shared_rightly(void **state)
{
	const struct look *l = *state;
	unsigned shared = 0;

	assert_string_equal(l->trouble, "");
	for (size_t i = 0; i < l->page_count; i++) {
		const struct look_page *a = &l->pages[i];

		assert_int_not_equal(a->frame, LOOK_OTHER);
		if (a->frame == LOOK_CACHE)
			assert_true(a->in_place);
		for (size_t k = 0; k < i; k++) {
			const struct look_page *b = &l->pages[k];

			if (a->number != b->number || a->frame == LOOK_ZERO)
				continue;
			assert_int_equal(a->frame, LOOK_CACHE);
			assert_true(a->map_count >= 2);
		}
	}
	for (size_t i = 0; i < l->place_count; i++)
		for (size_t k = 0; k < i; k++) {
			const struct place *a = &l->places[i], *b = &l->places[k];

			if (a->state != PLACE_CACHE || b->state != PLACE_CACHE ||
				a->rest != PLACE_REST_FILE || b->rest != PLACE_REST_FILE ||
				a->page != b->page)
				continue;
			assert_int_equal(
				look_at(l, a->address)->number, look_at(l, b->address)->number);
			shared++;
		}
	assert_int_equal(shared, 1);
}

/* The figures that Pagoda reports are what the walk finds. */
static void figures_equal_walk(void **state)
{
	const struct look *l = *state;
	uint64_t rss = 0, vsz = 0, private_frames = 0;

	assert_string_equal(l->trouble, "");
	for (size_t i = 0; i < l->region_count; i++) {
		const struct look_region *r = &l->regions[i];
		uint64_t resident = 0;

		for (size_t k = 0; k < l->page_count; k++)
			if (l->pages[k].address >= r->start && l->pages[k].address < r->end &&
				l->pages[k].frame != LOOK_ZERO)
				resident++;
		assert_int_equal(resident, r->resident);
		rss += resident;
		vsz += r->end - r->start;
	}
	for (size_t k = 0; k < l->page_count; k++)
		private_frames += l->pages[k].frame == LOOK_PRIVATE;
	assert_int_equal(l->rss_pages, rss);
	assert_int_equal(l->vsz_bytes, vsz);
	assert_int_equal(l->entries, l->page_count);
	assert_int_equal(l->frames_private, private_frames);
	/* the page of zeros is the only other one */
	assert_int_equal(
		l->frames_not_free, l->frames_private + l->frames_cache + l->frames_table + 1);
}

/* --- beside Linux ---------------------------------------------------------------------------------- */

/*
 * How Pagoda and Linux may differ, and why. Kept alike and so without a row: the functions that the C library takes
 * (look_environment), its looking for a vDSO (hide_vdso() in linux.c), huge pages (refused there).
 */
enum difference { NO_VDSO, NO_VSYSCALL, FAULT_AROUND, WHOLE_FOLIO, LOWER_TOP, DIFFERENCES };
static const struct {
	const char *what, *reason;
} differences[DIFFERENCES] = {
	[NO_VDSO] = {"[vvar...] and [vdso] on Linux, [no vdso] without rights here",
		"there is no vDSO; the region keeps what follows where it lies natively "
		"(docs/QUIRKS.md)"},
	[NO_VSYSCALL] = {"[vsyscall] on Linux only",
		"not memory of the program: a page of the kernel, not part of its VmSize either"},
	[FAULT_AROUND] = {"pages of files resident on Linux only",
		"a read fault of a file page maps its cached neighbours within a window of 16 "
		"pages; "
		"Pagoda maps what was touched (docs/QUIRKS.md)"},
	[WHOLE_FOLIO] = {"pages of files resident on Linux only, beyond such a window",
		"from Linux 6.18 on, all pages of a large folio of the page cache are mapped when "
		"one of them is; Pagoda's page cache has single pages"},
	[LOWER_TOP] = {"regions at lower addresses in fast mode",
		"its address space ends at 2^42 (docs/QUIRKS.md), and what Linux places from the "
		"end of "
		"the address space on is placed from there"},
};

#define TOP ((1ul << 47) - LOOK_PAGE) /* of a program's addresses, on Linux and in exact mode */
#define FAST_TOP ((1ul << 42) - LOOK_PAGE)
#define ROOT_SPAN                                                                                  \
	(1ul << 39) /* of an entry in a root table: images move by whole ones, see docs/replacement.md */

/* By how many bytes a region of Linux lies above its counterpart in fast mode. */
static uint64_t lower_by(const struct look_region *native)
{
	if (native->start < 1ul << 32)
		return 0; /* a program at fixed addresses and its heap */
	if (strcmp(native->name, "[heap]") ==
		0) /* of a PIE without interpreter: two thirds up at most */
		return (TOP / 3 * 2 - FAST_TOP / 3 * 2 + ROOT_SPAN - 1) & ~(ROOT_SPAN - 1);
	return TOP - FAST_TOP;
}

#define WINDOW (16 * LOOK_PAGE)

/*
 * Whether Linux may have mapped file page `q` of region `r` for its neighbour's sake: a page that Pagoda has too was touched
 * in the same window. A window begins at a multiple of its size, or where the mapping begins if that is
 * later, and ends 16 pages on. Source: Linux mm/memory.c, do_fault_around(); fault_around_bytes is 64 KiB.
 */
static bool is_neighbour(const struct look *ours, const struct look_region *r, uint64_t q)
{
	for (size_t i = 0; i < ours->page_count; i++) {
		uint64_t p = ours->pages[i].address, from = p & ~(WINDOW - 1);

		if (p < r->start || p >= r->end)
			continue;
		if (from < r->start)
			from = r->start;
		if (q >= from && q < from + WINDOW)
			return true;
	}
	return false;
}

/*
 * Whether Linux may have mapped file page `q` of region `r` with its folio: a block of 2 to 512 pages, aligned in the file to
 * its size, that has a page touched or in the window of a touched one, and all of which (but what
 * lies beyond the region) is there on Linux. Source: Linux mm/filemap.c, filemap_map_pages().
 */
static bool is_of_folio(const struct look *ours, const struct look *theirs,
	const struct look_region *r, uint64_t lower, uint64_t q)
{
	const uint64_t in_file = r->offset - r->start; /* from address to offset, modulo 2^64 */

	for (uint64_t bytes = 2 * LOOK_PAGE; bytes <= 512 * LOOK_PAGE; bytes *= 2) {
		uint64_t offset = (q + in_file) & ~(bytes - 1);
		uint64_t from = offset < r->offset ? r->start : offset - in_file;
		uint64_t to = offset + bytes - in_file;
		bool touched = false, whole = true;

		if (to > r->end)
			to = r->end;
		for (uint64_t a = from; a < to; a += LOOK_PAGE) {
			touched |= is_neighbour(ours, r, a);
			whole &= look_at(theirs, a + lower) != NULL;
		}
		if (touched && whole)
			return true;
	}
	return false;
}

/* Errors in the pages of one region that both have; adds to seen[]. */
static unsigned compare_pages(const struct look *ours, const struct look *theirs,
	const struct look_region *r, const struct look_region *native, unsigned seen[DIFFERENCES])
{
	const uint64_t lower = native->start - r->start;
	unsigned wrong = 0, neighbours = 0;

	for (uint64_t a = r->start; a < r->end; a += LOOK_PAGE) {
		const struct look_page *p = look_at(ours, a), *q = look_at(theirs, a + lower);
		const char *why = NULL;

		if (p && !q)
			why = "here only";
		else if (!p && q && q->frame != LOOK_CACHE)
			why = "private, on Linux only";
		else if (!p && q && is_neighbour(ours, r, a))
			seen[FAULT_AROUND]++, neighbours++;
		else if (!p && q && is_of_folio(ours, theirs, r, lower, a))
			seen[WHOLE_FOLIO]++, neighbours++;
		else if (!p && q)
			why = "of a file, on Linux only, and no neighbour of a touched page";
		else if (p && q && (p->frame == LOOK_CACHE) != (q->frame == LOOK_CACHE))
			why = "private here or there, of a file or shared in the other";
		if (why) {
			print_error("page %lx of %s: %s\n", (unsigned long)a, r->name, why);
			wrong++;
		}
	}
	if (native->resident != r->resident + neighbours) {
		print_error("%lx %s: RSS %lu pages here, %u neighbours, %lu on Linux\n",
			(unsigned long)r->start, r->name, (unsigned long)r->resident, neighbours,
			(unsigned long)native->resident);
		wrong++;
	}
	return wrong;
}

static bool same_region(
	const struct look_region *r, const struct look_region *native, uint64_t lower)
{
	return r->start + lower == native->start && r->end + lower == native->end &&
	       strcmp(r->rights, native->rights) == 0 && strcmp(r->name, native->name) == 0 &&
	       r->offset == native->offset;
}

static void print_region(const char *whose, const struct look_region *r)
{
	print_error("%s: %lx-%lx %s %lx %s\n", whose, (unsigned long)r->start,
		(unsigned long)r->end, r->rights, (unsigned long)r->offset, r->name);
}

/* How many of Linux's regions from n[0] on make up what [no vdso] stands for; 0: they do not. */
static size_t vdso_regions(
	const struct look_region *r, const struct look_region *n, size_t left, uint64_t lower)
{
	uint64_t at = r->start + lower, end = r->end + lower;
	size_t k = 0;

	if (strcmp(r->name, "[no vdso]") != 0 || strcmp(r->rights, "---p") != 0 || r->resident != 0)
		return 0;
	for (; k < left && n[k].start == at && at < end; at = n[k++].end)
		if (strncmp(n[k].name, "[vvar", 5) != 0 && strcmp(n[k].name, "[vdso]") != 0)
			return 0;
	return at == end ? k : 0;
}

static void regions_equal_linux_for(const struct look *ours, const struct look *theirs, bool fast)
{
	unsigned seen[DIFFERENCES] = {0}, wrong = 0;
	size_t i = 0, k = 0, n;

	assert_string_equal(ours->trouble, "");
	assert_string_equal(theirs->trouble, "");
	while (i < ours->region_count && k < theirs->region_count) {
		const struct look_region *r = &ours->regions[i], *native = &theirs->regions[k];
		const uint64_t lower = fast ? lower_by(native) : 0;

		seen[LOWER_TOP] += lower != 0;
		n = vdso_regions(r, native, theirs->region_count - k, lower);
		if (n != 0) {
			seen[NO_VDSO]++;
			i++;
			k += n;
			continue;
		}
		if (!same_region(r, native, lower)) {
			print_region("here", r);
			print_region("Linux", native);
			wrong++;
			break;
		}
		wrong += compare_pages(ours, theirs, r, native, seen);
		i++;
		k++;
	}
	for (; wrong == 0 && k < theirs->region_count; k++)
		if (strcmp(theirs->regions[k].name, "[vsyscall]") == 0) {
			seen[NO_VSYSCALL]++;
		} else {
			print_region("Linux only", &theirs->regions[k]);
			wrong++;
		}
	for (; wrong == 0 && i < ours->region_count; i++, wrong++)
		print_region("here only", &ours->regions[i]);
	assert_int_equal(wrong, 0);
	assert_int_equal(ours->vsz_bytes, theirs->vsz_bytes);
	for (unsigned d = 0; d < DIFFERENCES; d++)
		if (seen[d] != 0)
			print_message("%u x %s: %s\n", seen[d], differences[d].what,
				differences[d].reason);
	/* the comparison saw the program: its parts, heap, mappings, file, stack */
	assert_true(ours->region_count >= 12);
}

static void regions_equal_linux(void **state)
{
	const struct look *l = *state;
	const size_t m = (size_t)(l - pagoda);

	regions_equal_linux_for(l, &on_linux[machines[m].pie], machines[m].machine.fast);
}

/* The places are what they should be natively too: what we ask of Pagoda is what Linux does. */
static void places_hold_bytes_on_linux(void **state)
{
	const struct look *l = *state, *ours = l == &on_linux[0] ? &pagoda[0] : &pagoda[2];

	assert_string_equal(l->trouble, "");
	assert_int_equal(l->status, 0);
	assert_true(l->place_count > 0);
	assert_int_equal(l->place_count, ours->place_count);
	assert_memory_equal(l->places, ours->places, l->place_count * sizeof *l->places);
	for (size_t i = 0; i < l->place_count; i++) {
		const struct place *p = &l->places[i];
		const struct look_page *page = look_at(l, p->address);

		if (p->state == PLACE_UNMAPPED || p->state == PLACE_ABSENT) {
			/* a neighbour that fault-around mapped is a page of a file */
			assert_true(!page || page->frame == LOOK_CACHE);
			continue;
		}
		assert_non_null(page);
		assert_int_equal(page->frame == LOOK_CACHE, p->state == PLACE_CACHE);
		assert_int_equal(first_wrong_byte(p, page->bytes), LOOK_PAGE);
	}
}

/* --- running ----------------------------------------------------------------------------------------- */

static bool write_file(void)
{
	static uint64_t words[PLACES_WORDS];
	int fd = mkstemp(file_path);
	bool fine = fd >= 0;

	for (uint32_t page = 0; fine && page < PLACES_FILE_PAGES; page++) {
		for (unsigned w = 0; w < PLACES_WORDS; w++)
			words[w] = place_file_word(page, w);
		fine = write(fd, words, sizeof words) == (ssize_t)sizeof words;
	}
	if (fd >= 0)
		close(fd);
	return fine;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		CMUnitTestFunction f;
	} kinds[] = {
		{"places_hold_bytes", places_hold_bytes},
		{"frames_are_shared_rightly", frames_are_shared_rightly},
		{"figures_equal_walk", figures_equal_walk},
		{"regions_equal_linux", regions_equal_linux},
	};
	enum { KINDS = sizeof kinds / sizeof kinds[0] };
	static char names[MACHINES][KINDS][64];
	struct CMUnitTest tests[MACHINES * KINDS + 2] = {0};
	size_t n = 0;

	if (argc != 3 || !write_file()) {
		fprintf(stderr, "usage: test_residency STATIC STATIC-PIE\n");
		return 2;
	}
	for (int i = 0; i < 2; i++) {
		programs[i] = argv[1 + i];
		look_linux(programs[i], file_path, &on_linux[i]);
	}
	for (size_t m = 0; m < MACHINES; m++)
		look_pagoda(&machines[m].machine, programs[machines[m].pie], file_path, &pagoda[m]);
	for (size_t m = 0; m < MACHINES; m++)
		for (size_t k = 0; k < KINDS; k++) {
			snprintf(names[m][k], sizeof names[m][k], "%s_%s", kinds[k].name,
				machines[m].name);
			tests[n++] = (struct CMUnitTest){.name = names[m][k],
				.test_func = kinds[k].f,
				.initial_state = &pagoda[m]};
		}
	tests[n++] = (struct CMUnitTest){.name = "places_hold_bytes_on_linux",
		.test_func = places_hold_bytes_on_linux,
		.initial_state = &on_linux[0]};
	tests[n++] = (struct CMUnitTest){.name = "places_hold_bytes_on_linux_pie",
		.test_func = places_hold_bytes_on_linux,
		.initial_state = &on_linux[1]};
	int failed = cmocka_run_group_tests_name("residency", tests, NULL, NULL);

	for (size_t m = 0; m < MACHINES; m++)
		look_free(&pagoda[m]);
	for (int i = 0; i < 2; i++)
		look_free(&on_linux[i]);
	unlink(file_path);
	return failed != 0;
}
