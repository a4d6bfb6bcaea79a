/* SPDX-License-Identifier: MIT */
/*
 * store/impl.h: what the files of store/ share: a store's head, its operations, checksums.
 *
 * One kind of store is one file that fills in struct pg_store_ops and one maker in store.c's table.
 */
#ifndef PG_STORE_IMPL_H
#define PG_STORE_IMPL_H

#include "store/slots.h"
#include "store/store.h"

#include <pthread.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

/*
 * The operations of a kind. All may be called by several threads at once. write and read set each
 * io's status; the caller counts and times. May be NULL: part.
 */
struct pg_store_ops {
	void (*destroy)(struct pg_store *s); /* frees s itself too */
	int (*reserve)(struct pg_store *s, unsigned want, pg_slot *first);
	void (*release)(struct pg_store *s, pg_slot first, unsigned n); /* of one cluster */
	/* last: nobody else will take the page; else it may be refused with -E2BIG as incompressible. */
	void (*write)(struct pg_store *s, struct pg_store_io *io, unsigned n, bool last);
	void (*read)(struct pg_store *s, struct pg_store_io *io, unsigned n);
	void (*stats)(struct pg_store *s, struct pg_store_stats *out); /* adds what it knows */
	void (*room)(struct pg_store *s, struct pg_store_room *out);
	struct pg_store *(*part)(struct pg_store *s, unsigned i);
	bool (*is_reserved)(struct pg_store *s, pg_slot slot);
	const char *(*check)(struct pg_store *s);
};

/* The head of every store, its first member. */
struct pg_store {
	const struct pg_store_ops *ops;
	char *name;           /* owned */
	pthread_mutex_t lock; /* guards stats here, and the kind's own fields as it says */
	struct pg_store_stats stats;
	struct pg_slots *slots; /* owned, under lock; NULL: those of another store */
};

/* Reads and writes with counting. pg_store_write is do_write with last set. */
int pg_store_do_write(struct pg_store *s, struct pg_store_io *io, unsigned n, bool last);

/* Makes one store of a stack; `spec` ends at `end`. As pg_store_create. */
PG_MUST_CHECK int pg_store_create_part(const char *spec, const char *end,
	const struct pg_store_options *options, struct pg_store **out, const char **why);
/* Gives a fresh store its head. -ENOMEM: nothing to undo. */
PG_MUST_CHECK int pg_store_init(
	struct pg_store *s, const struct pg_store_ops *ops, const char *name, const char *name_end);
void pg_store_fini(struct pg_store *s);
/* `reserve` and `is_reserved` of a store with slots of its own and nothing else to do about them. */
int pg_store_take_slots(struct pg_store *s, unsigned want, pg_slot *first);
bool pg_store_slot_taken(struct pg_store *s, pg_slot slot);

/* A size of bytes with K, M, G or T (powers of 1024) in [text, end); false if it is none, or is 0. */
bool pg_store_parse_size(const char *text, const char *end, uint64_t *out);

/* Makers, one a kind: `args` is what is behind the kind's name and colon, up to `end`. */
typedef int pg_store_maker(const char *name, const char *args, const char *end,
	const struct pg_store_options *options, struct pg_store **out, const char **why);
pg_store_maker pg_store_make_file;   /* SIZE or PATH:SIZE or PATH */
pg_store_maker pg_store_make_direct; /* the same */
pg_store_maker pg_store_make_zstd;   /* SIZE */
pg_store_maker pg_store_make_lz4;    /* SIZE */
pg_store_maker pg_store_make_fault;  /* RULE:SPEC */
/* parts: borrowed array, its stores owned by the stack from success on. */
PG_MUST_CHECK int pg_store_make_stack(
	const char *name, struct pg_store **parts, unsigned n, struct pg_store **out);

/*
 * The checksum of a slot's page, never 0 (which means: no data). The slot is part of it, so
 * that a page that was written to or read from another place is noticed too. XXH3, 64 bits.
 */
static inline uint64_t pg_store_sum(const void *page, pg_slot slot)
{
	uint64_t sum = XXH3_64bits_withSeed(page, PG_PAGE_SIZE, slot.v);

	return sum ? sum : 1;
}

#endif
