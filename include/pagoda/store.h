/* SPDX-License-Identifier: MIT */
/*
 * pagoda/store.h: backing stores: where the bytes of a page are while it is in no frame.
 *
 * Made by you and handed to pg_reclaim_create(), which uses it; or used by itself. Knows
 * nothing of who swaps, of frames or of processes: it sees pages of PG_PAGE_SIZE bytes and slots.
 *
 * A store is made from a specification, the text behind --swap:
 *
 *   1G                     swap file: an unlinked temporary file of that size
 *   file:PATH:SIZE         swap file of that name, kept, its contents dropped at the end
 *   direct:1G              either of these past the host's page cache (O_DIRECT)
 *   direct:PATH:SIZE
 *   zstd:256M  lz4:64M     compressed memory of at most that size in the host's memory
 *   fault:RULE:SPEC        a store that fails as told, for tests; RULE is in fault.c
 *   A,B,...                stacked: a page that A cannot take goes to B, and so on
 *
 * The life of a slot:    reserve -> write (any number of times) -> read (any number) -> release
 *
 * Locking: every function may be called by any thread at any time, without the machine lock, and
 * may block for as long as the host does: release the machine lock around read and write. Two
 * calls at once on the same slot are the caller's bug, but for reads. create and destroy: alone.
 *
 * Errors are negative errno values: -ENOSPC no room (slots, disk or memory limit), -EIO the host
 * could not read or write, -EILSEQ the bytes came back other than they were written, -ENODATA the
 * slot was reserved but never written successfully, -ENOMEM the host is out of memory. A page that was not
 * read has undefined bytes and must not be shown to a guest; a write that failed leaves the slot
 * reserved and without data (-ENODATA), to be written again or released.
 *
 * Not here: which page goes out, read-ahead, what a guest is told of a failure (reclaim/, space/).
 */
#ifndef PAGODA_STORE_H
#define PAGODA_STORE_H

#ifndef PG_BASE_TYPES_H /* the library's own sources have these already */
#include "pagoda/pagoda.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct pg_store;

/* Slots in a cluster: no run of slots that reserve gives is longer. As Linux, SWAPFILE_CLUSTER. */
#define PG_STORE_CLUSTER 256u

struct pg_store_options {
	const char *tmp_dir; /* for unlinked files; NULL is /var/tmp. Borrowed during create */
	int fd_min;          /* host descriptors are no lower than this; 0 is any */
	bool no_uring;       /* never use io_uring, plain calls only */
};

/* One page of a read or a write. */
struct pg_store_io {
	pg_slot slot; /* by the caller: reserved */
	int status;   /* by the call: 0, or a negative errno for this page */
	void *page; /* by the caller: PG_PAGE_SIZE bytes, aligned to that; borrowed for the call */
};

/* What a store has done since it was made, and what it holds. */
struct pg_store_stats {
	uint64_t pages_in, pages_out; /* read, written: successfully */
	uint64_t bytes_in, bytes_out; /* moved from and to the medium: compressed size, if so */
	uint64_t calls_in, calls_out; /* calls of read and of write */
	uint64_t host_in, host_out;   /* reads and writes asked of the host: runs of slots */
	uint64_t ns_in, ns_out;       /* time inside these calls, summed over threads */
	uint64_t same_filled;         /* pages written that were one word repeated */
	uint64_t incompressible;      /* pages written that did not become small enough */
	uint64_t refused;             /* pages not taken: full, or left to the next store */
	uint64_t checksum_errors;     /* pages read with -EILSEQ */
	uint64_t failures; /* pages not read or written for any other error, ENOSPC too */
	uint64_t punched;  /* slots given back to the host's file system */
	uint64_t slots_used, slots_peak; /* reserved now, and most at once */
	uint64_t held_pages,
		held_same;     /* compressed memory: pages now in it; of them same-filled */
	uint64_t held_bytes;   /* compressed memory: compressed size of the others */
	uint64_t held_rounded; /* the same, each rounded up to its size class */
	uint64_t pool_bytes;   /* what the pool takes for them: rounded, free objects and all */
	uint64_t memory_bytes,
		memory_peak;         /* host memory that counts against a limit; 0 for files */
	uint64_t compactions, moved; /* compressed memory: pool compactions, objects moved */
};

/* How much a store can hold. */
struct pg_store_room {
	uint64_t slots; /* that can be reserved at most */
	uint64_t used;  /* reserved now */
	uint64_t sure;  /* pages that fit whatever their bytes are: `slots` for files */
	uint64_t
		free; /* pages that fit now, whatever their bytes are: a guess for compressed memory */
	uint64_t limit_bytes; /* file size, or memory limit */
};

/*
 * Makes a store from its specification. -EINVAL: not a specification; other errors: what the host
 * said. On failure *why (if not NULL) is a static text that says more, for the user.
 */
PG_MUST_CHECK int pg_store_create(const char *spec, const struct pg_store_options *options,
	struct pg_store **out, const char **why);
/* All pages in it are lost. NULL is nothing. */
void pg_store_destroy(struct pg_store *s);

/*
 * Reserves a run of 1 .. want slots, neighbours in ascending order, as long as can be found
 * quickly; its length, and *first. want: 1 .. PG_STORE_CLUSTER. -ENOSPC: no slot at all.
 * Slots reserved one after another are neighbours as far as possible: what goes out together
 * comes in together.
 */
PG_MUST_CHECK int pg_store_reserve(struct pg_store *s, unsigned want, pg_slot *first);

/* Gives slots [first, first + n) back; each must be reserved. Never fails. */
void pg_store_release(struct pg_store *s, pg_slot first, unsigned n);

/*
 * Writes, reads io[n], n >= 1, in any order of slots, none twice. Runs of neighbours in ascending
 * order are one request to the host; several runs are in flight at once where the host allows it. 0 if all
 * pages succeeded, else the status of the first that did not; each page has its own status.
 */
PG_MUST_CHECK int pg_store_write(struct pg_store *s, struct pg_store_io *io, unsigned n);
PG_MUST_CHECK int pg_store_read(struct pg_store *s, struct pg_store_io *io, unsigned n);

void pg_store_stats(struct pg_store *s, struct pg_store_stats *out);
void pg_store_room(struct pg_store *s, struct pg_store_room *out);

/* The specification's own words for this store: "zstd:256M". Valid until destroy. */
const char *pg_store_name(const struct pg_store *s);
/* The i-th store of a stack, or of a fault-injecting store (i = 0); NULL behind the last, and for others. Borrowed. */
struct pg_store *pg_store_part(struct pg_store *s, unsigned i);

/* True if `slot` was reserved and not released: for checks of whoever holds slots. */
bool pg_store_is_reserved(struct pg_store *s, pg_slot slot);
/* Checks every numbered invariant of the store and of its parts; NULL, or which is broken. */
const char *pg_store_check(struct pg_store *s);

/* The kinds of store, for help and tests: ended by a row of NULL. */
struct pg_store_kind {
	const char *form;    /* "zstd:SIZE" */
	const char *summary; /* one line */
};
extern const struct pg_store_kind pg_store_kinds[];

#ifdef __cplusplus
}
#endif

#endif
