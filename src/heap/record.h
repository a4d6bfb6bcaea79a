/* SPDX-License-Identifier: MIT */
/*
 * heap/record.h: a program's calls of malloc and free, in a file that bench/heap/replay.c plays to any allocator.
 *
 * PAGODA_MALLOC_RECORD=FILE writes FILE.PID: a row for each call: an allocation's once it has its block, a free's before it happens,
 * so that no address appears as new before its free does. Little endian, no header.
 * Recording takes one lock for each call: what is recorded is the sequence, not the speed.
 */
#ifndef PG_HEAP_RECORD_H
#define PG_HEAP_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pg_record_op {
	PG_RECORD_MALLOC = 1,
	PG_RECORD_CALLOC,
	PG_RECORD_MEMALIGN,
	PG_RECORD_REALLOC,
	PG_RECORD_FREE,
};

struct pg_record {
	uint8_t op; /* enum pg_record_op */
	uint8_t unused;
	uint16_t thread; /* number in order of first calls, from 0 */
	uint32_t align;  /* memalign; else 0 */
	uint64_t size;   /* bytes asked for */
	uint64_t in;     /* realloc, free: the block */
	uint64_t out;    /* the block returned; failed calls are left out */
};

/* Calls are recorded. */
extern bool pg_recording;

/* Begins; false: the file cannot be written, which was said on standard error. */
bool pg_record_start(const char *path);

void pg_record_call(
	enum pg_record_op op, size_t align, size_t size, const void *in, const void *out);

/*
 * Around a realloc, which frees its old block before its row can be written: nobody else's row comes between.
 * pg_record_realloc_end() writes the row if out is not NULL.
 */
void pg_record_realloc_begin(void);
void pg_record_realloc_end(size_t size, const void *in, const void *out);

/* The child of a fork writes a file of its own. */
void pg_record_fork_prepare(void);
void pg_record_fork_parent(void);
void pg_record_fork_child(void);

#endif
