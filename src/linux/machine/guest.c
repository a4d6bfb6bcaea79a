/* SPDX-License-Identifier: MIT */
/*
 * linux/machine/guest.c: the guest's memory as system calls see it: structs copied, buffers pinned.
 *
 * Called by every family of system calls; calls space/ only. Every address is the guest's and may be
 * anything at all.
 */
#include "linux/machine/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool pg_guest_range_ok(const struct pg_thread *me, uint64_t a, uint64_t n)
{
	return a <= me->mm->layout.address_top && n <= me->mm->layout.address_top - a;
}

/* Why the byte at `a` could not be had: only "no frame" matters. */
static void note_oom(struct pg_thread *me, uint64_t a, enum pg_access access)
{
	struct iovec v[1];
	unsigned n = 0;
	enum pg_fault_end end = PG_FAULT_RESUME;

	if (!pg_guest_range_ok(me, a, 1))
		return;
	if (pg_space_pin(me->mm->space, (pg_va){a}, 1, access, me->pc, v, &n, 1, &end) != 0)
		pg_space_unpin(me->mm->space, access, v, n);
	else if (end == PG_FAULT_OOM)
		me->oom = true;
}

int pg_guest_read(struct pg_thread *me, void *dst, uint64_t src, uint64_t n)
{
	uint64_t done;

	if (n == 0)
		return 0;
	if (!pg_guest_range_ok(me, src, n))
		return -EFAULT;
	done = pg_space_read(me->mm->space, dst, (pg_va){src}, n, me->pc);
	if (done == n)
		return 0;
	note_oom(me, src + done, PG_READ);
	return -EFAULT;
}

int pg_guest_write(struct pg_thread *me, uint64_t dst, const void *src, uint64_t n)
{
	uint64_t done;

	if (n == 0)
		return 0;
	if (!pg_guest_range_ok(me, dst, n))
		return -EFAULT;
	done = pg_space_write(me->mm->space, (pg_va){dst}, src, n, me->pc);
	if (done == n)
		return 0;
	note_oom(me, dst + done, PG_WRITE);
	return -EFAULT;
}

int64_t pg_guest_string(struct pg_thread *me, char *dst, uint64_t cap, uint64_t src)
{
	int64_t r;

	if (!pg_guest_range_ok(me, src, 1))
		return -EFAULT;
	r = pg_space_read_string(me->mm->space, dst, cap, (pg_va){src}, me->pc);
	if (r == -EFAULT)
		note_oom(me, src, PG_READ);
	return r;
}

uint64_t pg_guest_peek(struct pg_thread *me, void *dst, uint64_t src, uint64_t n)
{
	struct pg_frames *fs = pg_vm_frames(me->machine->vm);
	uint64_t done = 0;

	if (!pg_guest_range_ok(me, src, n))
		return 0;
	while (done < n) {
		uint64_t a = src + done, part = PG_PAGE_SIZE - (a & PG_PAGE_MASK);
		pg_pfn f = pg_space_resident(me->mm->space, (pg_va){a}, NULL);

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

int pg_guest_duration(struct pg_thread *me, uint64_t va, uint64_t *ns)
{
	struct timespec t;

	if (pg_guest_read(me, &t, va, sizeof(t)) != 0)
		return -EFAULT;
	if (t.tv_sec < 0 || t.tv_nsec < 0 || t.tv_nsec >= 1000000000)
		return -EINVAL;
	*ns = (uint64_t)t.tv_sec >= 1ull << 33 ? INT64_MAX : pg_timespec_ns(&t);
	return 0;
}

int pg_guest_iovecs(
	struct pg_thread *me, uint64_t va, uint64_t count, struct iovec **out, uint64_t *total)
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
	err = pg_guest_read(me, v, va, count * sizeof(*v));
	for (uint64_t i = 0; err == 0 && i < count; i++) {
		const uint64_t most =
			0x7ffff000; /* Linux's MAX_RW_COUNT: longer transfers are cut */

		if ((int64_t)v[i].iov_len < 0)
			err = -EINVAL;
		else if (!pg_guest_range_ok(me, (uint64_t)(uintptr_t)v[i].iov_base, v[i].iov_len))
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

uint64_t pg_guest_pin_bytes(const struct pg_thread *me)
{
	uint64_t eighth = pg_frames_total(pg_vm_frames(me->machine->vm)) / 8 * PG_PAGE_SIZE;

	return eighth < (1u << 20) ? eighth : 1u << 20;
}

uint64_t pg_guest_pin(struct pg_thread *me, const struct iovec *v, unsigned count, uint64_t skip,
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
			me->mm->space, (pg_va){a}, want, access, me->pc, host, host_len, cap, &end);
		done += got;
		if (got < want) {
			if (end == PG_FAULT_OOM && done == 0)
				me->oom = true;
			break;
		}
	}
	return done;
}

uint64_t pg_guest_copy(struct pg_thread *me, const struct iovec *v, unsigned count, uint64_t skip,
	enum pg_access access, uint8_t *buf, uint64_t n)
{
	uint64_t done = 0;

	for (unsigned i = 0; i < count && done < n; i++) {
		uint64_t len = v[i].iov_len, want, got;
		uint64_t a = (uint64_t)(uintptr_t)v[i].iov_base;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		a += skip;
		want = len - skip < n - done ? len - skip : n - done;
		skip = 0;
		got = access == PG_READ
			      ? pg_space_read(me->mm->space, buf + done, (pg_va){a}, want, me->pc)
			      : pg_space_write(me->mm->space, (pg_va){a}, buf + done, want, me->pc);
		done += got;
		if (got < want)
			break;
	}
	return done;
}

void pg_guest_unpin(
	struct pg_thread *me, enum pg_access access, const struct iovec *host, unsigned host_len)
{
	pg_space_unpin(me->mm->space, access, host, host_len);
}
