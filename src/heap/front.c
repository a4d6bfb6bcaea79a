/* SPDX-License-Identifier: MIT */
/*
 * heap/front.c: malloc and its relatives, as the C library has them: one front for all families.
 *
 *   malloc -> the sharded family's fast path, if this thread has a heap of it
 *          -> slow_malloc(): first call: PAGODA_MALLOC decides; then whichever family it is
 *
 * The families other than the default never give a thread a sharded heap, so every call of theirs ends in the slow
 * functions, and the front costs the default nothing. Recording works the same way: threads get no heap then.
 *
 * What is promised of arguments, alignment, size 0 and errno is what glibc 2.36 does (its manual, and observed where it
 * is silent): alignment 16, blocks of size 0 are blocks, realloc(p, 0) frees, free keeps errno, memalign rounds an
 * alignment up to a power of two.
 *
 * Invariants:
 *   F1 pg_heap_root.family is written once, before any block is given out.
 *   F2 nothing here or below calls a function that may allocate while it holds a lock of the allocator.
 *
 * Not here: figures (figures.c).
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "heap/list.h"
#include "heap/record.h"
#include "heap/sharded.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT struct pg_heap_root pg_heap_root;

EXPORT void *reallocarray(void *p, size_t count, size_t size);
EXPORT void *aligned_alloc(size_t align, size_t size);
EXPORT int posix_memalign(void **out, size_t align, size_t size);

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;

/* --- the beginning ---------------------------------------------------------------------------------- */

static void fork_prepare(void)
{
	pg_record_fork_prepare();
	pg_list_fork_prepare();
	pg_sharded_fork_prepare();
	pg_os_forking = true;
}

static void fork_parent(void)
{
	pg_os_forking = false;
	pg_sharded_fork_parent();
	pg_list_fork_parent();
	pg_record_fork_parent();
}

static void fork_child(void)
{
	pg_sharded_fork_child();
	pg_list_fork_child();
	pg_record_fork_child();
	pg_os_forking = false;
}

static enum pg_heap_family family_named(const char *name)
{
	static const char *const names[PG_HEAP_FAMILIES] = PG_HEAP_FAMILY_NAMES;

	for (int i = PG_HEAP_SHARDED; i < PG_HEAP_FAMILIES; i++) {
		if (strcmp(name, names[i]) == 0)
			return (enum pg_heap_family)i;
	}
	return PG_HEAP_UNDECIDED;
}

/*
 * Decides the family. The first call of malloc gets here, which the dynamic linker makes before any constructor; what is
 * called at the end may allocate, and finds the family decided.
 */
static void start(void)
{
	pthread_mutex_lock(&start_lock);
	if (pg_heap_root.family != PG_HEAP_UNDECIDED) {
		pthread_mutex_unlock(&start_lock);
		return;
	}
	const char *name = pg_os_environment("PAGODA_MALLOC");
	enum pg_heap_family family = name && *name ? family_named(name) : PG_HEAP_SHARDED;
	if (family == PG_HEAP_UNDECIDED) {
		pg_os_say("PAGODA_MALLOC=%s: no such family; there are sharded, first-fit, "
			  "next-fit, best-fit and "
			  "worst-fit; sharded is used",
			name);
		family = PG_HEAP_SHARDED;
	}
	const char *record = pg_os_environment("PAGODA_MALLOC_RECORD");
	bool recording = record && *record && !pg_os_privileged() && pg_record_start(record);
	pg_heap_root.list_secret = pg_os_secret();
	pg_heap_root.known = (uint64_t)pg_heap_known;
	pg_heap_root.known_words = PG_HEAP_KNOWN_WORDS;
	pg_heap_root.version = PG_HEAP_VERSION;
	pg_heap_root.magic = PG_HEAP_MAGIC;
	__atomic_store_n(&pg_heap_root.family, family, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&start_lock);
	if (family == PG_HEAP_SHARDED && !recording)
		pg_sharded_start();
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

/* The family; the first call decides it. */
static enum pg_heap_family family(void)
{
	enum pg_heap_family f = __atomic_load_n(&pg_heap_root.family, __ATOMIC_ACQUIRE);

	if (PG_LIKELY(f != PG_HEAP_UNDECIDED))
		return f;
	start();
	return pg_heap_root.family;
}

__attribute__((constructor)) static void constructor(void)
{
	family();
}

/* --- which family a call goes to ------------------------------------------------------------------------ */

/*
 * The document's heap is on the program break, and something may lie in the break's way. What it has no room for
 * comes from mappings then, through the other family, as with glibc. Nobody has a heap of that, so its fast paths stay unused.
 */
static void *family_malloc(size_t size)
{
	void *p = family() == PG_HEAP_SHARDED ? NULL : pg_list_malloc(size);

	return p ? p : pg_sharded_malloc(size);
}

static void *family_calloc(size_t bytes)
{
	void *p = family() == PG_HEAP_SHARDED ? NULL : pg_list_calloc(bytes);

	return p ? p : pg_sharded_calloc(bytes);
}

static void *family_memalign(size_t align, size_t size)
{
	void *p = family() == PG_HEAP_SHARDED ? NULL : pg_list_memalign(align, size);

	return p ? p : pg_sharded_memalign(align, size);
}

/* Whether a block is the sharded family's business. */
static bool is_sharded(void *p)
{
	return family() == PG_HEAP_SHARDED ||
	       (!pg_list_owns(p) && (pg_segment_known((uintptr_t)p) || pg_huge_usable(p)));
}

static void *family_realloc(void *p, size_t size)
{
	if (is_sharded(p))
		return pg_sharded_realloc(p, size);
	void *q = pg_list_realloc(p, size);
	if (q)
		return q;
	q = pg_sharded_malloc(size);
	if (!q)
		return NULL;
	size_t have = pg_list_usable("realloc", p);
	memcpy(q, p, have < size ? have : size);
	pg_list_free(p);
	return q;
}

static void family_free(void *p)
{
	if (is_sharded(p))
		pg_sharded_free(p);
	else
		pg_list_free(p);
}

/* --- malloc, calloc, free ----------------------------------------------------------------------------- */

static void *no_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

static __attribute__((noinline)) void *slow_malloc(size_t size)
{
	if (PG_UNLIKELY(size > PTRDIFF_MAX))
		return no_memory();
	void *p = family_malloc(size);
	if (PG_UNLIKELY(pg_recording) && p)
		pg_record_call(PG_RECORD_MALLOC, 0, size, NULL, p);
	return p;
}

EXPORT void *malloc(size_t size)
{
	void *p;

	if (PG_LIKELY(size <= 1024)) {
		if (PG_LIKELY(
			    pg_sharded_take(pg_heap_mine, pg_heap_class_of[(size + 15) / 16], &p)))
			return p;
	} else if (size <= PG_HEAP_SMALL_MAX &&
		   PG_LIKELY(pg_sharded_take(pg_heap_mine, pg_class_for(size), &p))) {
		return p;
	}
	return slow_malloc(size);
}

static __attribute__((noinline)) void *slow_calloc(size_t bytes)
{
	if (PG_UNLIKELY(bytes > PTRDIFF_MAX))
		return no_memory();
	void *p = family_calloc(bytes);
	if (PG_UNLIKELY(pg_recording) && p)
		pg_record_call(PG_RECORD_CALLOC, 0, bytes, NULL, p);
	return p;
}

EXPORT void *calloc(size_t count, size_t size)
{
	size_t bytes;

	if (PG_UNLIKELY(__builtin_mul_overflow(count, size, &bytes)))
		return no_memory();
	void *p;
	if (PG_LIKELY(bytes <= PG_HEAP_SMALL_MAX) &&
		PG_LIKELY(pg_sharded_take(pg_heap_mine, pg_class_for(bytes), &p)))
		return memset(p, 0, bytes);
	return slow_calloc(bytes);
}

static __attribute__((noinline)) void slow_free(void *p)
{
	if (!p)
		return;
	int saved = errno;
	if (PG_UNLIKELY(pg_recording))
		pg_record_call(PG_RECORD_FREE, 0, 0, p, NULL);
	family_free(p);
	errno = saved;
}

EXPORT void free(void *p)
{
	if (PG_UNLIKELY(!pg_sharded_give(p)))
		slow_free(p);
}

/* --- realloc ------------------------------------------------------------------------------------------ */

EXPORT void *realloc(void *p, size_t size)
{
	if (!p)
		return malloc(size);
	if (size == 0) {
		free(p);
		return NULL;
	}
	if (PG_UNLIKELY(size > PTRDIFF_MAX))
		return no_memory();
	bool recorded = PG_UNLIKELY(pg_recording);
	if (recorded)
		pg_record_realloc_begin();
	void *q = family_realloc(p, size);
	if (recorded)
		pg_record_realloc_end(size, p, q);
	return q;
}

EXPORT void *reallocarray(void *p, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		return no_memory();
	return realloc(p, bytes);
}

/* --- aligned blocks ----------------------------------------------------------------------------------- */

/* align is a power of two. */
static void *aligned(size_t align, size_t size)
{
	if (align <= PG_HEAP_UNIT)
		return malloc(size);
	if (PG_UNLIKELY(size > PTRDIFF_MAX || align > PTRDIFF_MAX - size))
		return no_memory();
	void *p = family_memalign(align, size);
	if (PG_UNLIKELY(pg_recording) && p)
		pg_record_call(PG_RECORD_MEMALIGN, align, size, NULL, p);
	return p;
}

EXPORT void *memalign(size_t align, size_t size)
{
	if (align > SIZE_MAX / 2 + 1) {
		errno = EINVAL;
		return NULL;
	}
	if (align & (align - 1))
		align = 1ul << (64 - __builtin_clzl(align));
	return aligned(align, size);
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	int saved = errno;

	if (align < sizeof(void *) || (align & (align - 1)))
		return EINVAL;
	void *p = aligned(align, size);
	errno = saved;
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

EXPORT void *valloc(size_t size)
{
	return aligned(PG_HEAP_OS_PAGE, size);
}

EXPORT void *pvalloc(size_t size)
{
	size_t bytes = pg_os_round(size, PG_HEAP_OS_PAGE);

	return bytes < size ? no_memory() : aligned(PG_HEAP_OS_PAGE, bytes);
}

EXPORT size_t malloc_usable_size(void *p)
{
	if (!p)
		return 0;
	return is_sharded(p) ? pg_sharded_usable("malloc_usable_size", p)
			     : pg_list_usable("malloc_usable_size", p);
}

EXPORT int malloc_trim(size_t pad)
{
	return family() == PG_HEAP_SHARDED ? pg_sharded_trim() : pg_list_trim(pad);
}

/*
 * Of the options of glibc's allocator those that mean something here: when free memory is given back, and by how much
 * the document's heap grows. 0, "error", for all others, whose promise is not kept.
 */
EXPORT int mallopt(int option, int value)
{
	if (value < 0)
		return 0;
	family();
	switch (option) {
	case M_TRIM_THRESHOLD:
		pg_list_trim_bytes = pg_huge_keep_bytes = (size_t)value;
		pg_purge_slices = (uint32_t)((size_t)value >> PG_HEAP_SLICE_SHIFT);
		return 1;
	case M_TOP_PAD:
		pg_list_grow_bytes = (size_t)value;
		return 1;
	default:
		return 0;
	}
}
