/* SPDX-License-Identifier: MIT */
/*
 * linux/guest.c: the guest's memory as system calls see it: structs copied, buffers pinned.
 *
 * Called by every family of system calls; calls space/ only. Every address is the guest's and may be
 * anything at all.
 */
#include "linux/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool pg_guest_range_ok(const struct pg_linux *l, uint64_t a, uint64_t n)
{
	return a <= l->layout.address_top && n <= l->layout.address_top - a;
}

/* Why the byte at `a` could not be had: only "no frame" matters. */
static void note_oom(struct pg_linux *l, uint64_t a, enum pg_access access)
{
	struct iovec v[1];
	unsigned n = 0;
	enum pg_fault_end end = PG_FAULT_RESUME;

	if (!pg_guest_range_ok(l, a, 1))
		return;
	if (pg_space_pin(l->space, (pg_va){a}, 1, access, l->pc, v, &n, 1, &end) != 0)
		pg_space_unpin(l->space, access, v, n);
	else if (end == PG_FAULT_OOM)
		l->oom = true;
}

int pg_guest_read(struct pg_linux *l, void *dst, uint64_t src, uint64_t n)
{
	uint64_t done;

	if (n == 0)
		return 0;
	if (!pg_guest_range_ok(l, src, n))
		return -EFAULT;
	done = pg_space_read(l->space, dst, (pg_va){src}, n, l->pc);
	if (done == n)
		return 0;
	note_oom(l, src + done, PG_READ);
	return -EFAULT;
}

int pg_guest_write(struct pg_linux *l, uint64_t dst, const void *src, uint64_t n)
{
	uint64_t done;

	if (n == 0)
		return 0;
	if (!pg_guest_range_ok(l, dst, n))
		return -EFAULT;
	done = pg_space_write(l->space, (pg_va){dst}, src, n, l->pc);
	if (done == n)
		return 0;
	note_oom(l, dst + done, PG_WRITE);
	return -EFAULT;
}

int64_t pg_guest_string(struct pg_linux *l, char *dst, uint64_t cap, uint64_t src)
{
	int64_t r;

	if (!pg_guest_range_ok(l, src, 1))
		return -EFAULT;
	r = pg_space_read_string(l->space, dst, cap, (pg_va){src}, l->pc);
	if (r == -EFAULT)
		note_oom(l, src, PG_READ);
	return r;
}

uint64_t pg_guest_peek(struct pg_linux *l, void *dst, uint64_t src, uint64_t n)
{
	struct pg_frames *fs = pg_vm_frames(l->vm);
	uint64_t done = 0;

	if (!pg_guest_range_ok(l, src, n))
		return 0;
	while (done < n) {
		uint64_t a = src + done, part = PG_PAGE_SIZE - (a & PG_PAGE_MASK);
		pg_pfn f = pg_space_resident(l->space, (pg_va){a}, NULL);

		if (pg_pfn_is_none(f))
			break;
		if (part > n - done)
			part = n - done;
		memcpy((char *)dst + done, (char *)pg_frames_bytes(fs, f) + (a & PG_PAGE_MASK),
			part);
		done += part;
	}
	return done;
}

int pg_guest_iovecs(
	struct pg_linux *l, uint64_t va, uint64_t count, struct iovec **out, uint64_t *total)
{
	struct iovec *v;
	uint64_t sum = 0;
	int err;

	*out = NULL;
	*total = 0;
	if (count > IOV_MAX)
		return -EINVAL;
	v = calloc(count + 1, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	err = pg_guest_read(l, v, va, count * sizeof(*v));
	for (uint64_t i = 0; err == 0 && i < count; i++) {
		const uint64_t most =
			0x7ffff000; /* Linux's MAX_RW_COUNT: longer transfers are cut */

		if ((int64_t)v[i].iov_len < 0)
			err = -EINVAL;
		else if (!pg_guest_range_ok(l, (uint64_t)(uintptr_t)v[i].iov_base, v[i].iov_len))
			err = -EFAULT;
		else if (v[i].iov_len > most - sum)
			v[i].iov_len = most - sum;
		if (err == 0)
			sum += v[i].iov_len;
	}
	if (err != 0) {
		free(v);
		return err;
	}
	*out = v;
	*total = sum;
	return 0;
}

uint64_t pg_guest_pin_bytes(const struct pg_linux *l)
{
	uint64_t eighth = pg_frames_total(pg_vm_frames(l->vm)) / 8 * PG_PAGE_SIZE;

	return eighth < (1u << 20) ? eighth : 1u << 20;
}

uint64_t pg_guest_pin(struct pg_linux *l, const struct iovec *v, unsigned count, uint64_t skip,
	uint64_t most, enum pg_access access, struct iovec *host, unsigned *host_len, unsigned cap)
{
	uint64_t done = 0;

	*host_len = 0;
	for (unsigned i = 0; i < count && done < most && *host_len < cap; i++) {
		uint64_t len = v[i].iov_len, want, got;
		uint64_t a = (uint64_t)(uintptr_t)v[i].iov_base;
		enum pg_fault_end end = PG_FAULT_RESUME;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		a += skip;
		len -= skip;
		skip = 0;
		want = len < most - done ? len : most - done;
		got = pg_space_pin(
			l->space, (pg_va){a}, want, access, l->pc, host, host_len, cap, &end);
		done += got;
		if (got < want) {
			if (end == PG_FAULT_OOM && done == 0)
				l->oom = true;
			break;
		}
	}
	return done;
}

void pg_guest_unpin(
	struct pg_linux *l, enum pg_access access, const struct iovec *host, unsigned host_len)
{
	pg_space_unpin(l->space, access, host, host_len);
}
