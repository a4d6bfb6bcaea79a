/* SPDX-License-Identifier: MIT */
/*
 * tests/store/chaos.c: pwritev and preadv that are interrupted, or move fewer bytes than they were asked for, as the host's
 * may. Linked around the model test by --wrap.
 */
#include "base/random.h"

#include <errno.h>
#include <sys/types.h>
#include <sys/uio.h>

ssize_t __real_preadv64(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __real_pwritev64(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t at);
void chaos_begin(uint64_t seed);

static struct pg_random chaos;

void chaos_begin(uint64_t seed)
{
	pg_random_seed(&chaos, seed);
}

typedef ssize_t mover(int fd, const struct iovec *iov, int n, off_t at);

static ssize_t less(mover *move, int fd, const struct iovec *iov, int n, off_t at)
{
	struct iovec one = iov[0];

	switch (pg_random_below(&chaos, 5)) {
	case 0:
		errno = EINTR;
		return -1;
	case 1: /* a part of the first page: only where any progress is left to make */
		if (n > 1)
			one.iov_len = 1 + pg_random_below(&chaos, one.iov_len - 1);
		return move(fd, &one, 1, at);
	case 2:
		return move(fd, iov, 1 + (int)pg_random_below(&chaos, (uint64_t)n), at);
	default:
		return move(fd, iov, n, at);
	}
}

ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int n, off_t at)
{
	return less(__real_preadv64, fd, iov, n, at);
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t at)
{
	return less(__real_pwritev64, fd, iov, n, at);
}
