/* SPDX-License-Identifier: MIT */
/*
 * store/ring.h: several reads or writes of one file in flight at once, through io_uring.
 *
 * Called by file.c, which has plain calls for when there is no ring. Calls liburing.
 */
#ifndef PG_STORE_RING_H
#define PG_STORE_RING_H

#include "base/types.h"

#include <sys/uio.h>

struct pg_ring;

/* One request: iov[n] at a byte offset of the file; res as preadv's or pwritev's, or -errno. */
struct pg_ring_op {
	const struct iovec *iov; /* borrowed for the call */
	unsigned n;
	bool write;
	uint64_t offset_bytes;
	int64_t res; /* set by the call */
};

/*
 * fd: borrowed for the ring's life. The ring's own descriptor is no lower than fd_min. Errors: what
 * the kernel said: -EPERM, -ENOSYS where io_uring is not permitted.
 */
PG_MUST_CHECK int pg_ring_create(int fd, int fd_min, struct pg_ring **out);
void pg_ring_destroy(struct pg_ring *r);

/*
 * Makes all requests, as many in flight as the ring has room for, and waits for all. One caller at
 * a time. An error of the ring itself, with all in flight waited for: the requests' results are then to be ignored.
 */
PG_MUST_CHECK int pg_ring_run(struct pg_ring *r, struct pg_ring_op *op, unsigned n);

#endif
