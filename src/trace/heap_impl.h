/* SPDX-License-Identifier: MIT */
/* trace/heap_impl.h: what the files behind heap.h share. */
#ifndef PG_TRACE_HEAP_IMPL_H
#define PG_TRACE_HEAP_IMPL_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/heap.h"
#include "trace/unwind.h"

/* --- guest memory --------------------------------------------------------------------------------------- */

/* Guest memory, valid while the guest does not run. For walks there is a page at hand, so that neighbouring reads are quick. */
struct pg_heap_memory {
	struct pg_space *space;
	bool whole;    /* read whole pages */
	uint64_t page; /* the one at hand: address, UINT64_MAX: none */
	bool good;
	uint8_t bytes[PG_PAGE_SIZE];
};

void pg_heap_memory_begin(struct pg_heap_memory *m, struct pg_space *space);
bool pg_heap_read(struct pg_heap_memory *m, uint64_t address, void *out, size_t n);
/* 0 if it cannot be read, which *good (unless NULL) is set to false for. */
uint64_t pg_heap_word(struct pg_heap_memory *m, uint64_t address, bool *good);

/* --- numbers by addresses ----------------------------------------------------------------------------------- */

/* A table from addresses, never 0, to rows; open addressing. */
struct pg_heap_table {
	uint64_t *keys; /* owned; 0: empty */
	uint8_t *rows;  /* owned */
	size_t row_bytes;
	uint32_t mask, n; /* keys[mask + 1] if keys */
};

void *pg_heap_table_find(const struct pg_heap_table *t, uint64_t key); /* NULL: none */
void *pg_heap_table_put(
	struct pg_heap_table *t, uint64_t key); /* the row, zeroed if new; NULL: no memory */
void pg_heap_table_remove(struct pg_heap_table *t, uint64_t key);
void pg_heap_table_clear(struct pg_heap_table *t);
/* Room for one more element of an array; false: no memory. */
bool pg_heap_room(void *array, uint32_t count, uint32_t *room, size_t element_bytes);

/* --- the table of live blocks --------------------------------------------------------------------------------- */

struct pg_heap_live {
	uint64_t requested, call;
	uint32_t site, thread;
};

/* A return address of a site, until it has a name. */
struct pg_heap_place {
	uint32_t module; /* index of modules */
	uint64_t offset; /* byte of the file; the address if anonymous */
};

/* What a site is until it has names. */
struct pg_heap_origin {
	struct pg_heap_place *places; /* owned; [depth] */
	uint32_t depth;
	uint64_t calls, live_blocks, live_bytes, peak_bytes;
};

/* --- splits and coalesces ------------------------------------------------------------------------------------- */

/* A row of the table of chains. */
struct pg_heap_chain {
	uint32_t origin, depth;
	uint64_t back[PG_HEAP_DEPTH]; /* to tell it from another one with the same hash */
};

/* What is known of a boundary: a chunk begins here. */
struct pg_heap_cut {
	uint64_t size;
	uint8_t state; /* enum pg_chunk_state; FREE stands for all but TOP and FENCE */
	bool seen;     /* in the walk that it is compared with */
};

/* How an allocator marks its chunks: what heap_cuts.c needs of one. */
struct pg_heap_marks {
	/* The chunk of a block, its size, and of what is before it if that is free; false: not of this kind. */
	bool (*chunk)(struct pg_heap_watch *w, struct pg_heap_memory *m, uint64_t block,
		uint64_t *chunk, uint64_t *size, uint64_t *free_before);
	/* Size of the chunk at an address. */
	bool (*size)(struct pg_heap_memory *m, uint64_t chunk, uint64_t *size);
};

struct pg_heap_cuts {
	struct pg_heap_table table; /* struct pg_heap_cut by address of chunk */
	bool valid,
		lost; /* table is of the present heap; something happened that it did not follow */
	bool stale; /* the allocator has joined chunks that the table still has apart; it finds out as it goes */
	uint64_t splits, coalesces, from_top, to_top;
};

/* --- the walkers -------------------------------------------------------------------------------------------------- */

/* A picture while it is made. */
struct pg_heap_draft {
	struct pg_heap_watch *w;
	struct pg_heap_memory *m;
	struct pg_heap_picture *p;
	bool whole; /* with all lists; else only those that say what is cached */
	uint32_t chunk_room, area_room, list_room;
	bool no_memory;
};

struct pg_heap_area *pg_heap_draft_area(struct pg_heap_draft *d, enum pg_area_kind kind,
	uint64_t start, uint64_t end, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
struct pg_heap_chunk *pg_heap_draft_chunk(struct pg_heap_draft *d, uint64_t address, uint64_t size,
	uint64_t block, uint64_t usable, enum pg_chunk_state state);
uint32_t pg_heap_draft_list(struct pg_heap_draft *d, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The index of the chunk that begins at address, PG_HEAP_NONE: none. In the second step only. */
uint32_t pg_heap_draft_at(const struct pg_heap_draft *d, uint64_t address);
/* Appends a chunk to the end of a list. `last`: PG_HEAP_NONE for the first. */
void pg_heap_draft_link(struct pg_heap_draft *d, uint32_t list, uint32_t last, uint32_t chunk);
/* Says what could not be read; the first one counts. */
void pg_heap_draft_problem(struct pg_heap_draft *d, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define PG_HEAP_ARENAS 512

/* What is known of glibc's allocator in this process. */
struct pg_heap_glibc {
	uint64_t main; /* address of main_arena; 0: not found yet */
	uint64_t
		tcache_offset; /* fs_base - that is where the pointer to a thread's cache is; 0: not known */
	uint64_t first;   /* chunk of the main arena, once it was found */
	unsigned version; /* 236 is 2.36; 0: the file does not say */
};

/* A file that defines malloc was mapped: is it glibc, and which? */
void pg_heap_glibc_version(struct pg_heap_watch *w, const char *path);
/* It is one whose structures are not known here. */
bool pg_heap_glibc_strange(const struct pg_heap_watch *w);
/* Looks for the main arena; cheap if it was found. False: not there (yet). */
bool pg_heap_glibc_find(struct pg_heap_watch *w, struct pg_heap_memory *m);
/* Adds its areas. False: the process has no such heap. */
bool pg_heap_glibc_walk(struct pg_heap_draft *d);
/* The second step, when all areas are there and sorted: caches, fast bins, bins. */
void pg_heap_glibc_lists(struct pg_heap_draft *d);
/* The block has a mapping of its own, by its header. */
bool pg_heap_glibc_mapped(struct pg_heap_watch *w, struct pg_heap_memory *m, uint64_t block);
extern const struct pg_heap_marks pg_heap_glibc_marks;
/* Chunks wait in fast bins for somebody who joins them. */
bool pg_heap_glibc_fast(struct pg_heap_watch *w, struct pg_heap_memory *m);
/* The address of the main arena's top chunk; 0: unknown. */
uint64_t pg_heap_glibc_top(struct pg_heap_watch *w, struct pg_heap_memory *m, uint64_t chunk);

/* The same two steps for libpagoda-malloc. */
bool pg_heap_pagoda_walk(struct pg_heap_draft *d);
void pg_heap_pagoda_lists(struct pg_heap_draft *d);
extern const struct pg_heap_marks pg_heap_pagoda_marks;
/* The family in use, enum pg_heap_family; 0: libpagoda-malloc is not there or has not begun. */
unsigned pg_heap_pagoda_family(struct pg_heap_watch *w, struct pg_heap_memory *m);

/* --- what is watched ------------------------------------------------------------------------------------------------ */

struct pg_heap_call {
	int tid;
	uint8_t function;  /* index of the table in heap_calls.c */
	uint64_t sp, back; /* at the entry; return address */
	uint32_t site;
	uint64_t arg[3];
	/* free, realloc: of the block at the entry. */
	bool known;
	uint64_t chunk, chunk_size, free_before;
	bool fast; /* pg_heap_glibc_fast() at the entry */
};

struct pg_heap_thread {
	int tid;
	uint64_t fs_base;
};

struct pg_heap_watch {
	struct pg_heap_watch_config config;
	struct pg_linux *linux;
	struct pg_symbols *symbols;
	int pid; /* watched now; 0: nobody yet */
	char program[256];
	bool seen; /* there was such a process */
	bool done; /* the moment has come */
	bool no_memory;

	struct pg_heap_table functions;   /* uint8_t by address of its first instruction */
	struct pg_heap_table known_files; /* regions whose symbols were looked up, by start */
	struct pg_heap_call *calls;       /* under way; owned */
	uint32_t call_count, call_room;
	struct pg_heap_thread *threads; /* that called; owned */
	uint32_t thread_count, thread_room;

	struct pg_heap_table live; /* struct pg_heap_live by block */
	struct pg_heap_table
		mapped; /* uint8_t by block: of these, glibc's with a mapping of their own */
	struct pg_heap_origin *origins; /* owned */
	uint32_t origin_count, origin_room;
	struct pg_heap_table origin_of; /* struct pg_heap_chain by a hash of the return addresses */
	char **modules;                 /* paths, "" for anonymous code; owned, and so are they */
	uint32_t module_count, module_room;
	struct pg_unwinder *unwinder; /* owned */
	uint64_t live_bytes, calls_made, failed;
	uint64_t peak_bytes, peak_call;
	uint64_t pictured_bytes; /* live bytes of the picture at the peak */

	struct pg_heap_cuts cuts;
	struct pg_heap_glibc glibc;
	uint64_t pagoda_root; /* address of pg_heap_root; 0: not loaded */

	struct pg_heap_sample *samples; /* owned; [sample_count], room for PG_HEAP_SAMPLES */
	uint32_t sample_count;
	uint64_t stride, next_sample; /* calls */
	uint64_t
		next_look; /* calls: a look at the whole heap costs no more than these did, on average */

	struct pg_heap_picture *picture; /* owned; NULL: none yet */
	struct pg_heap_memory memory;
};

#define PG_HEAP_SAMPLES 256

/* heap_cuts.c: what a call did to the chunks. */
void pg_heap_cuts_took(struct pg_heap_watch *w, uint64_t block);
void pg_heap_cuts_gave(
	struct pg_heap_watch *w, uint64_t chunk, uint64_t size, uint64_t free_before);
/* Compares with a walk; what differs is counted. */
void pg_heap_cuts_compare(struct pg_heap_watch *w, const struct pg_heap_picture *p);
const struct pg_heap_marks *pg_heap_marks_now(struct pg_heap_watch *w);

/* heap_calls.c: notes the threads that the process has. */
void pg_heap_watch_threads(struct pg_heap_watch *w);

/* heap_picture.c */
/* The heap now, without names of sites; NULL: no memory. whole: with lists, joined with the table of live blocks and by page. */
struct pg_heap_picture *pg_heap_picture_make(struct pg_heap_watch *w, bool whole);
void pg_heap_picture_free(struct pg_heap_picture *p);
void pg_heap_picture_names(struct pg_heap_watch *w, struct pg_heap_picture *p);

#endif
