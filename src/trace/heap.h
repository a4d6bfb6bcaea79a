/* SPDX-License-Identifier: MIT */
/*
 * trace/heap.h: the heap of a running guest: what its allocator gave out and to whom, and how its memory is cut up.
 *
 *   guest calls malloc   -> pg_heap_watch_reached()   entry and return are watched       heap_calls.c
 *          returns       -> the table of live blocks, splits and coalesces, a timeline   heap_calls.c, heap_cuts.c
 *   the chosen moment    -> a walk through the allocator's own structures                heap_glibc.c, heap_pagoda.c
 *                        -> a picture: areas, chunks with their requests, pages, sites   heap_picture.c
 *
 * Called by ui/heap/heap.c from the hooks of pg_linux, machine lock held. Reads guest memory by pg_space_peek() only: what is watched
 * computes what it would, page by page.
 *
 * Words: a *block* is what a program has from malloc; a *chunk* is a piece of heap with its header, in use or not; an *area* is
 * a stretch of addresses cut into chunks; a *hole* is a chunk that is free and lies before the last block. *Cached* chunks are
 * free for the program, but the allocator does not join or give them yet: glibc's thread caches and fast bins, and in the sharded family
 * what another thread freed. The *top* is the
 * free rest at the end of a glibc heap. A *site* is an instruction that called the allocator.
 */
#ifndef PG_TRACE_HEAP_H
#define PG_TRACE_HEAP_H

#include "base/types.h"
#include "linux/linux.h"
#include "trace/chosen.h"
#include "trace/symbols.h"

enum pg_chunk_state {
	PG_CHUNK_USED,   /* the program has it */
	PG_CHUNK_FREE,   /* on a list of the allocator, or known to be free by its bits */
	PG_CHUNK_CACHED, /* free, and set aside */
	PG_CHUNK_TOP,
	PG_CHUNK_META, /* the allocator's own: headers, arena, thread cache */
	PG_CHUNK_FENCE, /* not the allocator's: memory between two pieces of a heap, and the end marks beside it */
	PG_CHUNK_STATES
};

#define PG_HEAP_UNKNOWN UINT64_MAX /* a figure that nobody knows */
#define PG_HEAP_NONE UINT32_MAX    /* no such index */

struct pg_heap_chunk {
	uint64_t address; /* of its first byte, header included */
	uint64_t size;    /* bytes, header included */
	uint64_t block;   /* what malloc returned, or would return */
	uint64_t usable;  /* bytes from there: malloc_usable_size() */
	uint64_t
		requested; /* bytes asked for, for USED; PG_HEAP_UNKNOWN: before it was watched, or by the C library */
	uint32_t site;   /* index; PG_HEAP_NONE: unknown */
	uint32_t list;   /* index of the list it is on; PG_HEAP_NONE: none */
	uint32_t next;   /* index of the next chunk of that list; PG_HEAP_NONE: the last */
	uint32_t thread; /* tid that asked for it; 0: unknown */
	uint64_t call;   /* which call of the allocator gave it out, from 1; 0: unknown */
	uint8_t state;   /* enum pg_chunk_state */
};

enum pg_area_kind {
	PG_AREA_BREAK, /* on the program break */
	PG_AREA_ARENA, /* a heap of another arena of glibc, or a piece of the main one that was mapped */
	PG_AREA_MAPPED,  /* one block with a mapping of its own */
	PG_AREA_SEGMENT, /* of the sharded family */
	PG_AREA_CALLS,   /* blocks of an allocator that is not known, from its calls only */
};

struct pg_heap_area {
	char name[48]; /* "main arena, on the break" */
	enum pg_area_kind kind;
	uint64_t start, end;   /* [start, end) */
	uint32_t first, count; /* its chunks, by rising addresses, without gaps unless CALLS */
	uint64_t pages, resident, swapped; /* pages of [start, end) */
	uint64_t idle;        /* of the resident: those that hold no byte of a block in use */
	uint64_t idle_inside; /* of these: wholly inside chunks that are free, cached or top */
	uint8_t *there;       /* owned; [pages]: 1 in memory. NULL for CALLS */
};

struct pg_heap_list {
	char name[40];  /* "thread cache of 1000, 48 bytes", "unsorted" */
	uint32_t first; /* chunk */
	uint32_t count;
	uint64_t bytes;
};

#define PG_HEAP_DEPTH 32 /* callers kept of a call at most */

/* One function of the chain that led to the allocator. */
struct pg_heap_frame {
	char *function; /* owned; name or "libx.so+0x1234"; never NULL */
	char *symbol;   /* owned; as the file's symbol table has it; NULL: it has none */
	char *module;   /* owned; path of the file; "" for anonymous code */
	char *source;   /* owned; NULL: no debug information */
	int line;       /* 0: unknown */
};

/* Where blocks come from: a call of the allocator, told apart by its callers too, as far as they are kept. */
struct pg_heap_site {
	struct pg_heap_frame *frames;     /* owned; [depth]; the first one called the allocator */
	uint32_t depth;                   /* 1 .. PG_HEAP_DEPTH */
	uint64_t calls;                   /* that gave out a block, up to the moment */
	uint64_t live_blocks, live_bytes; /* now; bytes as asked for */
	uint64_t resident_pages; /* pages in memory that hold a byte of a live block of this site */
	uint64_t alone_pages;    /* of these: that hold no other site's */
	uint64_t peak_bytes;     /* most live bytes so far */
};

/* A moment of the timeline, at the end of a call of the allocator. */
struct pg_heap_sample {
	uint64_t calls;                         /* of the allocator so far */
	uint64_t instructions;                  /* of the machine so far; 0 in fast mode */
	uint64_t live_blocks, live_bytes;       /* as asked for */
	uint64_t used_bytes;                    /* chunks in use */
	uint64_t known_requested, known_usable; /* of those whose request is known */
	uint64_t hole_bytes, largest_hole, cached_bytes, top_bytes, heap_bytes;
	uint64_t resident_pages, idle_pages;
	uint64_t splits, coalesces;
};

struct pg_heap_picture {
	const char *allocator; /* "glibc", "pagoda-malloc best-fit", ...; static */
	char moment[64];       /* "at exit", "at the peak" */
	int pid;
	char program[256];
	char note[160];    /* how the picture was made, if not as usual; "": as usual */
	char problem[160]; /* what of the heap could not be read; "": nothing */
	uint64_t calls, instructions;
	struct pg_heap_chunk *chunks;
	struct pg_heap_area *areas;
	struct pg_heap_list *lists;
	struct pg_heap_site *sites; /* by falling live bytes */
	uint32_t chunk_count, area_count, list_count, site_count;
	/* Sums over all areas. */
	uint64_t bytes[PG_CHUNK_STATES], count[PG_CHUNK_STATES];
	uint64_t heap_bytes;
	uint64_t known_blocks, known_requested,
		known_usable;                     /* used chunks whose request is known */
	uint64_t holes, hole_bytes, largest_hole; /* FREE and CACHED chunks */
	uint64_t pages, resident, swapped, idle, idle_inside;
	uint64_t table_blocks,
		table_bytes; /* live by the calls; all of them are chunks in use unless `problem` says so */
	uint64_t splits, coalesces, from_top, to_top; /* events so far; top: cut from, joined to */
	bool cuts_known; /* the allocator splits and coalesces, and it was seen */
	struct pg_heap_sample *samples;
	uint32_t sample_count;
	uint64_t peak_bytes, peak_call; /* most live bytes so far, and when */
	uint64_t failed; /* calls that returned NULL although they asked for something */
	/* Calls that gave back what is no block: freed before, or never one. Of the first: the address, and who called (PG_HEAP_NONE: not known). */
	uint64_t misuses, misuse_block;
	uint32_t misuse_site;
};

enum pg_heap_when { PG_HEAP_AT_EXIT, PG_HEAP_AT_PEAK, PG_HEAP_AT_CALLS, PG_HEAP_AT_INSTRUCTIONS };

struct pg_heap_watch_config {
	enum pg_heap_when when;
	uint64_t number; /* calls or instructions */
	unsigned depth;  /* callers to keep of each call, 1 .. PG_HEAP_DEPTH */
	struct pg_chosen process;
};

struct pg_heap_watch;

PG_MUST_CHECK int pg_heap_watch_create(
	const struct pg_heap_watch_config *c, struct pg_heap_watch **out); /* -ENOMEM */
void pg_heap_watch_destroy(struct pg_heap_watch *w);                       /* NULL allowed */

/* The program is loaded and has not run: what is watched, and whom to ask for names; both borrowed. */
void pg_heap_watch_begin(struct pg_heap_watch *w, struct pg_linux *l, struct pg_symbols *s);

/* The hooks of struct pg_linux_hooks of the same names. */
void pg_heap_watch_exec(struct pg_heap_watch *w, const char *path);
void pg_heap_watch_code(struct pg_heap_watch *w);
void pg_heap_watch_fork(struct pg_heap_watch *w, int parent, int child);
void pg_heap_watch_leave(struct pg_heap_watch *w);
void pg_heap_watch_reached(struct pg_heap_watch *w, const struct pg_cpu_regs *regs);

/*
 * The picture, after the run, borrowed. NULL: the moment did not come, the process never was, or no host memory: why[cap] says so in one
 * sentence.
 */
const struct pg_heap_picture *pg_heap_watch_picture(struct pg_heap_watch *w, char *why, size_t cap);

#endif
