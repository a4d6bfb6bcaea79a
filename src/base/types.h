/* SPDX-License-Identifier: MIT */
/*
 * base/types.h: the numbers of a virtual memory system, each a type of its own.
 *
 * Used by every floor. Mixing two of them does not compile; to convert, say so with the
 * functions below.
 *
 * Glossary (Operating System Concepts, ch. 9 and 10):
 *   guest     the program that runs on the machine.
 *   page      PG_PAGE_SIZE bytes of a virtual address space, named by its page number p (vpn).
 *   frame     PG_PAGE_SIZE bytes of physical memory, named by its frame number f (pfn).
 *   offset    d, the low PG_PAGE_SHIFT bits of an address, the same in page and frame.
 *   slot      the place of one page in a backing store.
 *   region    a range of pages of one address space with one set of rights and one source.
 *   anon      one private page's worth of data: in a frame, in a slot, or not yet made.
 *   object    a file or shared memory as pages; its resident pages are the page cache.
 *   host      the machine and the process that Pagoda itself runs on.
 */
#ifndef PG_BASE_TYPES_H
#define PG_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PG_PAGE_SHIFT 12u
#define PG_PAGE_SIZE ((uint64_t)1 << PG_PAGE_SHIFT)
#define PG_PAGE_MASK (PG_PAGE_SIZE - 1)

/* A guest virtual address, in bytes. */
typedef struct pg_va {
	uint64_t v;
} pg_va;

/* A guest page number: address >> PG_PAGE_SHIFT. */
typedef struct pg_vpn {
	uint64_t v;
} pg_vpn;

/* A physical frame number, 0 .. frames - 1, or PG_PFN_NONE. */
typedef struct pg_pfn {
	uint32_t v;
} pg_pfn;

/* A slot of a backing store, or PG_SLOT_NONE. */
typedef struct pg_slot {
	uint32_t v;
} pg_slot;

#define PG_PFN_NONE ((pg_pfn){UINT32_MAX})
#define PG_SLOT_NONE ((pg_slot){UINT32_MAX})

/* What a guest wants to do with a byte. Exactly one of these for one access. */
enum pg_access {
	PG_READ = 1,
	PG_WRITE = 2,
	PG_EXEC = 4,
};

/* Rights of a region: an OR of enum pg_access values; 0 is no access (PROT_NONE). */
typedef uint8_t pg_prot;

static inline pg_vpn pg_vpn_of(pg_va a)
{
	return (pg_vpn){a.v >> PG_PAGE_SHIFT};
}

static inline pg_va pg_va_of(pg_vpn p)
{
	return (pg_va){p.v << PG_PAGE_SHIFT};
}

static inline bool pg_pfn_is_none(pg_pfn f)
{
	return f.v == UINT32_MAX;
}

static inline bool pg_slot_is_none(pg_slot s)
{
	return s.v == UINT32_MAX;
}

/* v rounded up to a multiple of align, a power of two; wraps to 0 at the top of the range. */
static inline uint64_t pg_align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

static inline uint64_t pg_align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

/* A result that must be looked at. */
#define PG_MUST_CHECK __attribute__((warn_unused_result))

/*
 * Our own bug: stops the program with file and line in debug builds and release builds alike.
 * Never for what a guest or a caller did.
 */
void pg_bug(const char *file, int line, const char *what) __attribute__((noreturn, cold));
/* Where pg_bug() writes from now on: a guest may close standard error. */
void pg_bug_messages_to(int fd);
#define PG_ASSERT(cond) ((cond) ? (void)0 : pg_bug(__FILE__, __LINE__, #cond))

#endif
