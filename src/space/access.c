/* SPDX-License-Identifier: MIT */
/*
 * space/access.c: how system calls see guest memory: through the page table, with faults.
 *
 * Called by linux/ (space.h). Calls fault.c and the table's form. Owns nothing but pins.
 * Each page is reached as hardware would reach it: entry, A and D bits, a fault where it has none.
 */
#include "space/impl.h"

#include <errno.h>
#include <string.h>

/* The bytes at a, page faulted in for the access, A and D set; NULL and *end if it is refused. */
static uint8_t *reach(
	struct pg_space *s, pg_va a, enum pg_access access, uint64_t pc, enum pg_fault_end *end)
{
	const pg_pte bits = access == PG_WRITE ? PG_PTE_A | PG_PTE_D : PG_PTE_A;
	pg_pte e;

	*end = PG_FAULT_RESUME;
	if (a.v < s->c.lo.v || a.v >= s->c.hi.v) {
		*end = pg_space_fault(s, a, access, pc, true);
		PG_ASSERT(*end != PG_FAULT_RESUME);
		return NULL;
	}
	for (;;) {
		e = pg_table_find(s->table, pg_vpn_of(a));
		if (pg_pte_serves(e, access))
			break;
		*end = pg_space_fault(s, a, access, pc, true);
		if (*end != PG_FAULT_RESUME)
			return NULL;
	}
	if ((e & bits) != bits)
		s->form->update(s->table, pg_vpn_of(a), bits, 0);
	return (uint8_t *)pg_frames_bytes(s->vm->frames, pg_pte_pfn(e)) + (a.v & PG_PAGE_MASK);
}

/* Tells the engine that bytes of frame f changed behind its back. */
static void tell_code(struct pg_vm *vm, pg_pfn f)
{
	if ((pg_frames_row(vm->frames, f)->flags & PG_FRAME_CODE) && vm->hooks.code_written)
		vm->hooks.code_written(vm->hooks.ctx, f);
}

/* Bytes from a to the end of its page, at most n. */
static uint64_t in_page(uint64_t a, uint64_t n)
{
	uint64_t left = PG_PAGE_SIZE - (a & PG_PAGE_MASK);

	return n < left ? n : left;
}

uint64_t pg_space_read(struct pg_space *s, void *dst, pg_va src, uint64_t n, uint64_t pc)
{
	enum pg_fault_end end;
	uint64_t done = 0;

	while (done < n) {
		uint64_t k = in_page(src.v + done, n - done);
		const uint8_t *p = reach(s, (pg_va){src.v + done}, PG_READ, pc, &end);

		if (!p)
			break;
		memcpy((uint8_t *)dst + done, p, k);
		done += k;
	}
	return done;
}

uint64_t pg_space_write(struct pg_space *s, pg_va dst, const void *src, uint64_t n, uint64_t pc)
{
	enum pg_fault_end end;
	uint64_t done = 0;

	while (done < n) {
		uint64_t k = in_page(dst.v + done, n - done);
		uint8_t *p = reach(s, (pg_va){dst.v + done}, PG_WRITE, pc, &end);

		if (!p)
			break;
		memcpy(p, (const uint8_t *)src + done, k);
		tell_code(s->vm, pg_frames_of_host(s->vm->frames, p));
		done += k;
	}
	return done;
}

/*
 * As reach(), whatever the rights are, but that shared memory is written only where it may be. The bytes are good until the lock is
 * given up.
 */
static uint8_t *reach_forced(struct pg_space *s, pg_va a, enum pg_access access, uint64_t pc)
{
	enum pg_fault_end end;
	pg_pfn f = PG_PFN_NONE;

	if (a.v < s->c.lo.v || a.v >= s->c.hi.v || !pg_region_at(s, a.v))
		return NULL; /* nor does a stack grow */
	if (s->block || pg_pte_serves(pg_table_find(s->table, pg_vpn_of(a)), access))
		return reach(s, a, access, pc, &end);
	end = pg_fault_forced(s, a, access, pc, &f);
	if (end != PG_FAULT_RESUME || pg_pfn_is_none(f))
		return NULL;
	if (access == PG_WRITE)
		pg_pages_mark_dirty(s->vm, f);
	return (uint8_t *)pg_frames_bytes(s->vm->frames, f) + (a.v & PG_PAGE_MASK);
}

uint64_t pg_space_read_forced(struct pg_space *s, void *dst, pg_va src, uint64_t n, uint64_t pc)
{
	uint64_t done = 0;

	while (done < n) {
		uint64_t k = in_page(src.v + done, n - done);
		const uint8_t *p = reach_forced(s, (pg_va){src.v + done}, PG_READ, pc);

		if (!p)
			break;
		memcpy((uint8_t *)dst + done, p, k);
		done += k;
	}
	return done;
}

uint64_t pg_space_write_forced(
	struct pg_space *s, pg_va dst, const void *src, uint64_t n, uint64_t pc)
{
	uint64_t done = 0;

	while (done < n) {
		uint64_t k = in_page(dst.v + done, n - done);
		uint8_t *p = reach_forced(s, (pg_va){dst.v + done}, PG_WRITE, pc);

		if (!p)
			break;
		memcpy(p, (const uint8_t *)src + done, k);
		tell_code(s->vm, pg_frames_of_host(s->vm->frames, p));
		done += k;
	}
	return done;
}

int64_t pg_space_read_string(struct pg_space *s, char *dst, uint64_t cap, pg_va src, uint64_t pc)
{
	enum pg_fault_end end;
	uint64_t done = 0;

	while (done < cap) {
		uint64_t k = in_page(src.v + done, cap - done);
		const uint8_t *p = reach(s, (pg_va){src.v + done}, PG_READ, pc, &end);
		const uint8_t *nul = p ? memchr(p, 0, k) : NULL;

		if (!p)
			return -EFAULT;
		if (nul)
			k = (uint64_t)(nul - p) + 1;
		memcpy(dst + done, p, k);
		done += k;
		if (nul)
			return (int64_t)done - 1;
	}
	return -ENAMETOOLONG;
}

/*
 * Adds k bytes at p to the vector; false: it is full. Neighbours are merged only at a page
 * boundary, so that each page of each element carries exactly one pin.
 */
static bool add(struct iovec *iov, unsigned *len, unsigned cap, uint8_t *p, uint64_t k)
{
	if (*len && !((uintptr_t)p & PG_PAGE_MASK)) {
		struct iovec *v = &iov[*len - 1];

		if ((uint8_t *)v->iov_base + v->iov_len == p) {
			v->iov_len += k;
			return true;
		}
	}
	if (*len >= cap)
		return false;
	iov[(*len)++] = (struct iovec){p, k};
	return true;
}

uint64_t pg_space_pin(struct pg_space *s, pg_va a, uint64_t n, enum pg_access access, uint64_t pc,
	struct iovec *iov, unsigned *iov_len, unsigned cap, enum pg_fault_end *end)
{
	struct pg_frames *fs = s->vm->frames;
	uint64_t done = 0;

	*end = PG_FAULT_RESUME;
	while (done < n) {
		uint64_t k = in_page(a.v + done, n - done);
		uint8_t *p = reach(s, (pg_va){a.v + done}, access, pc, end);

		if (!p || !add(iov, iov_len, cap, p, k))
			break;
		pg_frames_row(fs, pg_frames_of_host(fs, p))->pins++;
		done += k;
	}
	return done;
}

/* One pin less for the frame at p. */
static void unpin_page(struct pg_vm *vm, enum pg_access access, const uint8_t *p)
{
	pg_pfn f = pg_frames_of_host(vm->frames, p);
	struct pg_frame *row = pg_frames_row(vm->frames, f);

	PG_ASSERT(row->pins > 0);
	if (access == PG_WRITE) {
		tell_code(vm, f);
		if (row->owner) {
			pg_pages_mark_dirty(vm, f);
		}
	}
	if (--row->pins == 0 && !row->owner)
		pg_frames_free(vm->frames, f); /* its page went away while the host used it */
}

void pg_space_unpin(
	struct pg_space *s, enum pg_access access, const struct iovec *iov, unsigned iov_len)
{
	for (unsigned i = 0; i < iov_len; i++) {
		const uint8_t *p = iov[i].iov_base;
		const uint8_t *to = p + iov[i].iov_len;

		while (p < to) {
			unpin_page(s->vm, access, p);
			p += in_page((uint64_t)(uintptr_t)p, (uint64_t)(to - p));
		}
	}
}
