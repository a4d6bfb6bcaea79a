/* SPDX-License-Identifier: MIT */
/* tests/residency/look.c: the rows of a look. Called by pagoda.c, linux.c and test_residency.c. */
#include "look.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The C library of the program takes the same functions on both sides, whatever Pagoda's CPUID leaves out: other code
 * would be other pages.
 */
const char *const look_environment[] = {"PATH=/nowhere",
	"GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,"
	"-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-RTM",
	NULL};

/* One zeroed row more at the end of an array; the test cannot go on without memory. */
static void *add_row(void **rows, size_t *count, size_t bytes)
{
	void *p = realloc(*rows, (*count + 1) * bytes);

	if (!p)
		abort();
	*rows = p;
	p = (char *)p + (*count)++ * bytes;
	return memset(p, 0, bytes);
}

struct look_page *look_add_page(struct look *l)
{
	return add_row((void **)&l->pages, &l->page_count, sizeof *l->pages);
}

struct look_region *look_add_region(struct look *l)
{
	return add_row((void **)&l->regions, &l->region_count, sizeof *l->regions);
}

void look_free(struct look *l)
{
	free(l->regions);
	free(l->pages);
	l->regions = NULL;
	l->pages = NULL;
}

struct look_page *look_at(const struct look *l, uint64_t address)
{
	size_t lo = 0, hi = l->page_count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (l->pages[mid].address == address)
			return &l->pages[mid];
		if (l->pages[mid].address < address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct look_region *look_region_of(const struct look *l, uint64_t address)
{
	for (size_t i = 0; i < l->region_count; i++)
		if (l->regions[i].start <= address && address < l->regions[i].end)
			return &l->regions[i];
	return NULL;
}

void look_trouble(struct look *l, const char *format, ...)
{
	va_list ap;

	if (l->trouble[0])
		return;
	va_start(ap, format);
	vsnprintf(l->trouble, sizeof l->trouble, format, ap);
	va_end(ap);
}
