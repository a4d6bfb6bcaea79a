/* SPDX-License-Identifier: MIT */
/*
 * store/ring.c: io_uring by liburing. Owns one ring of DEPTH entries.
 */
#include "store/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

#define DEPTH 64u

struct pg_ring {
	struct io_uring ring;
	int fd; /* of the file; borrowed */
};

int pg_ring_create(int fd, int fd_min, struct pg_ring **out)
{
	struct pg_ring *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	rc = io_uring_queue_init(DEPTH, &r->ring, 0);
	if (rc < 0) {
		free(r);
		return rc;
	}
	if (r->ring.ring_fd < fd_min) {
		int moved = fcntl(r->ring.ring_fd, F_DUPFD_CLOEXEC, fd_min);

		if (moved < 0) {
			rc = -errno;
			io_uring_queue_exit(&r->ring);
			free(r);
			return rc;
		}
		close(r->ring.ring_fd);
		r->ring.ring_fd = r->ring.enter_ring_fd = moved;
	}
	r->fd = fd;
	*out = r;
	return 0;
}

void pg_ring_destroy(struct pg_ring *r)
{
	if (!r)
		return;
	io_uring_queue_exit(&r->ring);
	free(r);
}

/* Submits what is prepared and waits for at least one; -EINTR is no error. */
static int submit(struct pg_ring *r)
{
	int rc;

	do
		rc = io_uring_submit_and_wait(&r->ring, 1);
	while (rc == -EINTR);
	return rc < 0 ? rc : 0;
}

int pg_ring_run(struct pg_ring *r, struct pg_ring_op *op, unsigned n)
{
	unsigned begun = 0, done = 0;
	int rc = 0;

	while (done < n && (rc == 0 || done < begun)) {
		struct io_uring_cqe *cqe;

		for (; rc == 0 && begun < n && begun - done < DEPTH; begun++) {
			struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);
			struct pg_ring_op *o = &op[begun];

			PG_ASSERT(sqe);
			if (o->write)
				io_uring_prep_writev(sqe, r->fd, o->iov, o->n, o->offset_bytes);
			else
				io_uring_prep_readv(sqe, r->fd, o->iov, o->n, o->offset_bytes);
			io_uring_sqe_set_data(sqe, o);
		}
		if (rc == 0) {
			rc = submit(r);
			if (rc < 0) {
				/* What the kernel did not take is forgotten: nothing of it is in flight. */
				unsigned left = io_uring_sq_ready(&r->ring);

				begun -= left;
				r->ring.sq.sqe_tail -= left;
			}
		} else if (io_uring_wait_cqe(&r->ring, &cqe) < 0) {
			continue;
		}
		while (io_uring_peek_cqe(&r->ring, &cqe) == 0) {
			struct pg_ring_op *o = io_uring_cqe_get_data(cqe);

			o->res = cqe->res;
			io_uring_cqe_seen(&r->ring, cqe);
			done++;
		}
	}
	return rc;
}
