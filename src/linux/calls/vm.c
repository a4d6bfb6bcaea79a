/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/vm.c: one guest process reads and writes another's memory: process_vm_readv, process_vm_writev.
 *
 * Called through table.c. Both sides are reached through their own page tables, with faults and copy-on-write; pages go by a
 * buffer of one page. Source: Linux mm/process_vm_access.c.
 */
#include "linux/calls/syscalls.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <stdlib.h>

#define MOST_VECTORS 1024
#define TRIES 8

/* A place in a vector. */
struct cursor {
	const struct iovec *v;
	unsigned count, at;
	uint64_t done;    /* bytes of v[at] */
	uint64_t reached; /* of v[at]: bytes whose pages are known to be there */
};

/* Bytes from here to the end of the element, at most to the end of the page; 0: the vector is over. *va: where. */
static uint64_t here(struct cursor *c, uint64_t *va)
{
	uint64_t left, in_page;

	while (c->at < c->count && c->done == c->v[c->at].iov_len) {
		c->at++;
		c->done = c->reached = 0;
	}
	if (c->at == c->count)
		return 0;
	*va = (uint64_t)(uintptr_t)c->v[c->at].iov_base + c->done;
	left = c->v[c->at].iov_len - c->done;
	in_page = PG_PAGE_SIZE - (*va & PG_PAGE_MASK);
	return left < in_page ? left : in_page;
}

/* Linux pins this many bytes of the other side at once, and only then looks at ours. */
#define PINNED ((uint64_t)1024 * PG_PAGE_SIZE)

/*
 * Faults in what Linux would pin of the other side's element before it moves any of it. False: the next byte is not to be
 * had.
 */
static bool reach(struct pg_thread *me, struct pg_mm *theirs, bool write, struct cursor *c)
{
	uint64_t base = (uint64_t)(uintptr_t)c->v[c->at].iov_base, len = c->v[c->at].iov_len;
	uint64_t to = len - c->done > PINNED ? c->done + PINNED : len;

	if (c->reached > c->done)
		return true;
	while (c->reached < to) {
		uint64_t va = base + c->reached;
		enum pg_fault_end how = PG_FAULT_RESUME;
		struct pg_region r;
		struct iovec v;
		unsigned n = 0;

		/* No stack grows for somebody else's access. */
		if (va >= theirs->layout.address_top ||
			!pg_space_find(theirs->space, (pg_va){va}, false, &r) ||
			!(r.prot & (write ? PG_WRITE : PG_READ)))
			break;
		if (pg_space_pin(theirs->space, (pg_va){va}, 1, write ? PG_WRITE : PG_READ, me->pc,
			    &v, &n, 1, &how) == 0) {
			if (how == PG_FAULT_OOM && pg_guest_wait_for_frames(me))
				continue;
			break;
		}
		pg_space_unpin(theirs->space, PG_READ, &v, n);
		c->reached += PG_PAGE_SIZE - (va & PG_PAGE_MASK);
	}
	return c->reached > c->done;
}

/* Moves n bytes, all in one page of each side. How many went. */
static uint64_t move(struct pg_thread *me, struct pg_mm *theirs, bool write, uint64_t mine,
	uint64_t other, uint64_t n)
{
	uint8_t buf[PG_PAGE_SIZE];
	uint64_t got;

	if (other >= theirs->layout.address_top || n > theirs->layout.address_top - other)
		return 0;
	if (write) {
		if (pg_guest_read(me, buf, mine, n) != 0)
			return 0;
		return pg_space_write(theirs->space, (pg_va){other}, buf, n, me->pc);
	}
	got = pg_space_read(theirs->space, buf, (pg_va){other}, n, me->pc);
	return pg_guest_write(me, mine, buf, got) != 0 ? 0 : got;
}

static int64_t move_all(struct pg_thread *me, struct pg_mm *theirs, bool write, struct cursor *mine,
	struct cursor *other)
{
	uint64_t sum = 0, from, to, n, k, went;
	unsigned tries = 0;

	while ((n = here(mine, &from)) != 0 && (k = here(other, &to)) != 0) {
		n = n < k ? n : k;
		went = reach(me, theirs, write, other) ? move(me, theirs, write, from, to, n) : 0;
		sum += went;
		mine->done += went;
		other->done += went;
		if (went == n)
			tries = 0;
		else if (tries++ == TRIES || other->reached <= other->done)
			return sum != 0 ? (int64_t)sum : -EFAULT;
		else
			other->reached =
				other->done; /* it was there, and went again: there are few frames */
	}
	return (int64_t)sum;
}

/* Reads count elements at va; checked: they must lie in our own address space, as those of readv. */
static int get_vector(struct pg_thread *me, uint64_t va, uint64_t count, struct iovec **out)
{
	*out = NULL;
	if (count > MOST_VECTORS)
		return -EINVAL;
	*out = calloc(count + 1, sizeof(**out));
	if (*out == NULL)
		return -ENOMEM;
	if (count != 0 && pg_guest_read(me, *out, va, count * sizeof(**out)) != 0)
		return -EFAULT;
	for (uint64_t i = 0; i < count; i++)
		if ((int64_t)(*out)[i].iov_len < 0)
			return -EINVAL;
	return 0;
}

static bool own_range_ok(const struct pg_thread *me, const struct iovec *v, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (!pg_guest_range_ok(me, (uint64_t)(uintptr_t)v[i].iov_base, v[i].iov_len))
			return false;
	return true;
}

static int64_t move_between(struct pg_thread *me, const uint64_t *a, bool write)
{
	struct iovec *mine = NULL, *other = NULL;
	struct pg_process *p;
	struct pg_mm *mm;
	int64_t r;

	if (a[5] != 0)
		return -EINVAL;
	r = get_vector(me, a[1], a[2], &mine);
	if (r == 0 && !own_range_ok(me, mine, a[2]))
		r = -EFAULT;
	if (r == 0)
		r = get_vector(me, a[3], a[4], &other);
	if (r == 0) {
		struct pg_thread *t = pg_thread_find(me->machine, (int)a[0]);

		p = t != NULL ? t->proc : pg_process_find(me->machine, (int)a[0]);
		mm = p != NULL ? p->mm : NULL;
		if (mm == NULL) {
			r = -ESRCH;
		} else if (mm != me->mm && !pg_cred_may_look(me, p, mm, false)) {
			r = -EPERM;
		} else {
			struct cursor from = {.v = mine, .count = (unsigned)a[2]},
				      to = {.v = other, .count = (unsigned)a[4]};

			pg_mm_look(mm);
			r = move_all(me, mm, write, &from, &to);
			pg_mm_looked(mm);
		}
	}
	free(mine);
	free(other);
	return r;
}

int64_t pg_sys_process_vm_readv(struct pg_thread *me, const uint64_t *a)
{
	return move_between(me, a, false);
}

int64_t pg_sys_process_vm_writev(struct pg_thread *me, const uint64_t *a)
{
	return move_between(me, a, true);
}
