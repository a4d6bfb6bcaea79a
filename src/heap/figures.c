/* SPDX-License-Identifier: MIT */
/*
 * heap/figures.c: mallinfo, malloc_stats, malloc_info: how large the heap is and how much of it is in use.
 *
 * Nothing is counted as blocks come and go; all is counted by a walk when somebody asks. Of the heaps of
 * other threads, which go on meanwhile, the figures are those of some moment near.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>

#include "heap/list.h"
#include "heap/sharded.h"

#define EXPORT __attribute__((visibility("default")))

struct figures {
	size_t heap_bytes;             /* address space of the heap, huge blocks apart */
	size_t used_bytes, free_bytes; /* of it: in blocks in use; in free ones and free slices */
	size_t used_blocks, free_blocks;
	size_t huge_blocks, huge_bytes; /* mappings of their own */
	size_t returnable;              /* bytes that malloc_trim could give back */
	size_t heaps;                   /* threads' heaps, with those that nobody has at present */
};

static void count_page(const struct pg_heap_page *page, struct figures *f)
{
	const uint64_t *bits = (const uint64_t *)page->bits;
	size_t free = 0;

	for (unsigned i = 0; i < (page->capacity + 63u) / 64; i++)
		free += (size_t)__builtin_popcountl(__atomic_load_n(&bits[i], __ATOMIC_RELAXED));
	f->free_blocks += free;
	f->used_blocks += page->capacity - free;
	f->used_bytes += (page->capacity - free) * page->block_size;
}

static void count_segment(const struct pg_heap_segment *s, struct figures *f)
{
	f->heap_bytes += PG_HEAP_SEGMENT_BYTES;
	f->returnable += (size_t)__builtin_popcountl(s->dirty) * PG_HEAP_SLICE_BYTES;
	for (unsigned i = PG_HEAP_HEADER_SLICES; i < PG_HEAP_SLICES; i++) {
		if (s->pages[i].heap)
			count_page(&s->pages[i], f);
	}
}

static void count_sharded(struct figures *f)
{
	for (size_t i = 0; i < PG_HEAP_KNOWN_WORDS; i++) {
		uint64_t known = __atomic_load_n(&pg_heap_known[i], __ATOMIC_ACQUIRE);
		for (; known; known &= known - 1)
			count_segment(pg_segment_of((i * 64 + (unsigned)__builtin_ctzl(known))
						    << PG_HEAP_SEGMENT_SHIFT),
				f);
	}
	pg_lock(&pg_heap_lock);
	for (const struct pg_heap *h = (const struct pg_heap *)pg_heap_root.heaps; h; h = h->next)
		f->heaps++;
	pg_unlock(&pg_heap_lock);
	f->free_bytes += f->heap_bytes - f->used_bytes;
}

static struct figures count(void)
{
	struct figures f = {0};
	struct pg_list_figures l;

	count_sharded(&f);
	if (pg_heap_root.family != PG_HEAP_SHARDED) { /* and what the break had no room for */
		pg_list_count(&l);
		f.heap_bytes += l.heap_bytes;
		f.used_bytes += l.used_bytes;
		f.free_bytes += l.free_bytes;
		f.used_blocks += l.used_blocks;
		f.free_blocks += l.free_blocks;
		f.returnable += l.last_free;
		f.heaps++;
	}
	pg_huge_count(&f.huge_blocks, &f.huge_bytes);
	return f;
}

EXPORT struct mallinfo2 mallinfo2(void)
{
	struct figures f = count();

	return (struct mallinfo2){
		.arena = f.heap_bytes,
		.ordblks = f.free_blocks,
		.hblks = f.huge_blocks,
		.hblkhd = f.huge_bytes,
		.uordblks = f.used_bytes,
		.fordblks = f.free_bytes,
		.keepcost = f.returnable,
	};
}

static int as_int(size_t n)
{
	return n > INT_MAX ? INT_MAX : (int)n;
}

/* The old form: what does not fit into an int is INT_MAX. */
EXPORT struct mallinfo mallinfo(void)
{
	struct mallinfo2 m = mallinfo2();

	return (struct mallinfo){
		.arena = as_int(m.arena),
		.ordblks = as_int(m.ordblks),
		.hblks = as_int(m.hblks),
		.hblkhd = as_int(m.hblkhd),
		.uordblks = as_int(m.uordblks),
		.fordblks = as_int(m.fordblks),
		.keepcost = as_int(m.keepcost),
	};
}

static const char *family_name(void)
{
	static const char *const names[PG_HEAP_FAMILIES] = PG_HEAP_FAMILY_NAMES;

	return names[pg_heap_root.family];
}

EXPORT void malloc_stats(void)
{
	struct figures f = count();
	struct pg_list_figures l;

	fprintf(stderr, "pagoda-malloc: %s, heaps: %zu\n", family_name(), f.heaps);
	fprintf(stderr, "system bytes     = %10zu\n", f.heap_bytes + f.huge_bytes);
	fprintf(stderr, "in use bytes     = %10zu\n", f.used_bytes + f.huge_bytes);
	fprintf(stderr, "blocks in use    = %10zu\n", f.used_blocks + f.huge_blocks);
	fprintf(stderr, "free blocks      = %10zu\n", f.free_blocks);
	fprintf(stderr, "mapped blocks    = %10zu\n", f.huge_blocks);
	fprintf(stderr, "mapped bytes     = %10zu\n", f.huge_bytes);
	if (pg_heap_root.family != PG_HEAP_SHARDED) {
		pg_list_count(&l);
		fprintf(stderr, "largest free     = %10zu\n", l.largest_free);
		fprintf(stderr, "searches         = %10" PRIu64 "\n", l.searches);
		fprintf(stderr, "blocks looked at = %10" PRIu64 "\n", l.steps);
	}
}

EXPORT int malloc_info(int options, FILE *out)
{
	if (options != 0) {
		errno = EINVAL;
		return -1;
	}
	struct figures f = count();
	int n = fprintf(out,
		"<malloc version=\"pagoda-1\">\n"
		"<family name=\"%s\" heaps=\"%zu\"/>\n"
		"<total type=\"used\" count=\"%zu\" size=\"%zu\"/>\n"
		"<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
		"<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
		"<system type=\"current\" size=\"%zu\"/>\n"
		"</malloc>\n",
		family_name(), f.heaps, f.used_blocks, f.used_bytes, f.free_blocks, f.free_bytes,
		f.huge_blocks, f.huge_bytes, f.heap_bytes + f.huge_bytes);
	return n < 0 ? -1 : 0;
}
