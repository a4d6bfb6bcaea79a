/* SPDX-License-Identifier: MIT */
/*
 * linux/sys_mem.c: system calls that change or ask about the guest's address space.
 *
 * Called through table.c. Checks arguments in Linux's order, limits, and rights of files; all mapping is space/'s.
 * Source of the order of checks: Linux mm/mmap.c, mm/mprotect.c, mm/mremap.c, mm/madvise.c.
 */
#include "linux/internal.h"
#include "linux/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PROT_ALL (PROT_READ | PROT_WRITE | PROT_EXEC)
#define LOW_FROM 0x40000000u /* MAP_32BIT: [1 GiB, 2 GiB) as Linux */
#define LOW_TO 0x80000000u
#define MMAP_MIN_ADDR 65536u

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* --- limits ---------------------------------------------------------------------------------------------- */

uint64_t pg_mem_vsz(struct pg_thread *me)
{
	struct pg_space_stats s;

	pg_space_stats(me->mm->space, &s);
	return s.vsz_bytes;
}

static bool is_data(const struct pg_region *r)
{
	return !(r->flags & PG_MAP_SHARED) && (r->prot & PG_WRITE) && r->kind != PG_REGION_STACK;
}

static bool add_data(void *ctx, const struct pg_region *r)
{
	uint64_t *sum = ctx;

	if (is_data(r))
		*sum += r->end.v - r->start.v;
	return true;
}

/* Whether `more` bytes, private and writable if `data`, are within RLIMIT_AS and RLIMIT_DATA. */
static bool within_limits(struct pg_thread *me, uint64_t more, bool data)
{
	uint64_t sum = 0, as = me->proc->limits[RLIMIT_AS].rlim_cur,
		 most = me->proc->limits[RLIMIT_DATA].rlim_cur;

	if (as != RLIM64_INFINITY) {
		uint64_t vsz = pg_mem_vsz(me);

		if (more > as || vsz > as - more)
			return false;
	}
	if (!data || most == RLIM64_INFINITY)
		return true;
	pg_space_each_region(me->mm->space, add_data, &sum);
	return more <= most && sum <= most - more;
}

/* --- mmap ------------------------------------------------------------------------------------------------- */

/* A mapping that was asked for, on its way through the checks. */
struct wish {
	uint64_t addr, len, offset;
	int prot, flags, fd;
	bool shared, anonymous;
	pg_prot max_prot;
	struct pg_object *object; /* a reference, or NULL */
	char name[PATH_MAX];
};

/* Checks the file behind a mapping and opens its object. */
static int open_file(struct pg_thread *me, struct wish *w)
{
	struct stat st;
	struct statvfs vfs;
	int mode = fcntl(w->fd, F_GETFL);
	bool readable, writable;

	if (mode < 0 || (mode & O_PATH))
		return -EBADF;
	readable = (mode & O_ACCMODE) != O_WRONLY;
	writable = (mode & O_ACCMODE) != O_RDONLY;
	if (fstat(w->fd, &st) != 0)
		return -errno;
	if (w->shared && (w->prot & PROT_WRITE) && !writable)
		return -EACCES;
	if (!readable)
		return -EACCES;
	if (w->shared && !writable)
		w->max_prot &= (pg_prot)~PG_WRITE;
	if (fstatvfs(w->fd, &vfs) == 0 && (vfs.f_flag & ST_NOEXEC)) {
		if (w->prot & PROT_EXEC)
			return -EPERM;
		w->max_prot &= (pg_prot)~PG_EXEC;
	}
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 5)) {
		w->anonymous = true; /* /dev/zero */
		return 0;
	}
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_dev == me->machine->proc_dev)
		return -ENODEV;
	if (w->offset + w->len < w->offset)
		return -EOVERFLOW;
	if (!pg_fd_path(w->fd, w->name, sizeof(w->name)))
		w->name[0] = '\0';
	return pg_files_object(me, w->fd, &st, w->shared && writable, w->name, &w->object);
}

/* Shared memory without a file: an object of its own. */
static int open_shared(struct pg_thread *me, struct wish *w)
{
	const struct pg_object_key none = {0, 0};
	bool existed;

	strcpy(w->name, "/dev/zero (deleted)");
	w->offset = 0;
	return pg_object_open(
		me->machine->vm, none, w->name, NULL, NULL, w->len, &w->object, &existed);
}

/* The lowest hole of `len` bytes in the low gigabyte, for MAP_32BIT; 0: none. */
static uint64_t find_low(struct pg_thread *me, uint64_t len)
{
	uint64_t at = LOW_FROM;
	struct pg_region r;

	while (at + len <= LOW_TO) {
		if (!pg_space_find(me->mm->space, (pg_va){at}, true, &r) || r.start.v >= at + len)
			return at;
		at = r.end.v;
	}
	return 0;
}

static unsigned map_flags(const struct pg_thread *me, const struct wish *w)
{
	unsigned f = w->shared ? PG_MAP_SHARED : 0;

	if (w->flags & MAP_FIXED_NOREPLACE)
		f |= PG_MAP_FIXED_FREE;
	else if (w->flags & MAP_FIXED)
		f |= PG_MAP_FIXED;
	if (w->flags & MAP_GROWSDOWN)
		f |= PG_MAP_GROWSDOWN;
	if (w->flags & MAP_NORESERVE)
		f |= PG_MAP_NORESERVE;
	if ((w->flags & MAP_LOCKED) || me->mm->lock_future)
		f |= PG_MAP_LOCKED;
	if ((w->flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE || (f & PG_MAP_LOCKED))
		f |= PG_MAP_POPULATE;
	return f;
}

/* The checks that need no file. */
static int check_wish(struct pg_thread *me, struct wish *w)
{
	uint64_t top = me->mm->layout.address_top;
	bool fixed = (w->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0;
	int type = w->flags & MAP_TYPE;

	if (w->len == 0)
		return -EINVAL;
	w->len = pg_align_up(w->len, PG_PAGE_SIZE);
	if (w->len == 0 || w->len > top)
		return -ENOMEM;
	if ((w->offset >> PG_PAGE_SHIFT) + (w->len >> PG_PAGE_SHIFT) < (w->offset >> PG_PAGE_SHIFT))
		return -EOVERFLOW;
	if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE)
		return -EINVAL;
	if (type == MAP_SHARED_VALIDATE && w->anonymous)
		return -EINVAL;
	if (type == MAP_SHARED_VALIDATE && (w->flags & MAP_SYNC))
		return -EOPNOTSUPP;
	w->shared = type != MAP_PRIVATE;
	if (w->flags & MAP_HUGETLB)
		return -ENOMEM; /* the machine has no huge pages set aside */
	if (fixed) {
		if (w->addr & PG_PAGE_MASK)
			return -EINVAL;
		if (w->addr > top - w->len)
			return -ENOMEM;
		if (w->addr < MMAP_MIN_ADDR)
			return -EPERM;
	} else {
		w->addr = pg_align_down(w->addr, PG_PAGE_SIZE);
		if (w->addr != 0 && w->addr < MMAP_MIN_ADDR)
			w->addr = MMAP_MIN_ADDR;
		if (w->addr > top - w->len)
			w->addr = 0;
	}
	if ((w->flags & MAP_GROWSDOWN) && (w->shared || !w->anonymous))
		return -EINVAL;
	return 0;
}

int64_t pg_sys_mmap(struct pg_thread *me, const uint64_t *a)
{
	struct wish w = {.addr = a[0],
		.len = a[1],
		.prot = (int)a[2] & PROT_ALL,
		.flags = (int)a[3],
		.fd = (int)a[4],
		.offset = a[5],
		.max_prot = PG_READ | PG_WRITE | PG_EXEC};
	pg_va at;
	int err;

	w.anonymous = (w.flags & MAP_ANONYMOUS) != 0;
	if (w.offset & PG_PAGE_MASK)
		return -EINVAL;
	if (!w.anonymous && (!pg_fd_ok(w.fd) || fcntl(w.fd, F_GETFD) < 0))
		return -EBADF;
	err = check_wish(me, &w);
	if (err != 0)
		return err;
	if (!w.anonymous)
		err = open_file(me, &w);
	if (err == 0 && w.anonymous && w.shared)
		err = open_shared(me, &w);
	if (err != 0)
		return err;
	if (!within_limits(me, w.len, !w.shared && (w.prot & PROT_WRITE)))
		err = -ENOMEM;
	if (err == 0 && (w.flags & MAP_32BIT) && !(w.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
		w.addr = find_low(me, w.len);
		if (w.addr == 0)
			err = -ENOMEM;
	}
	at.v = w.addr;
	if (err == 0)
		err = pg_space_map(me->mm->space, &at, w.len, (pg_prot)w.prot, w.max_prot,
			map_flags(me, &w), w.object, w.object != NULL ? w.offset : 0, w.name);
	if (w.object != NULL)
		pg_object_unref(w.object);
	return err != 0 ? err : (int64_t)at.v;
}

int64_t pg_sys_munmap(struct pg_thread *me, const uint64_t *a)
{
	uint64_t len = pg_align_up(a[1], PG_PAGE_SIZE);

	if ((a[0] & PG_PAGE_MASK) || len == 0 || !pg_guest_range_ok(me, a[0], len))
		return -EINVAL;
	return pg_space_unmap(me->mm->space, (pg_va){a[0]}, len);
}

int64_t pg_sys_mprotect(struct pg_thread *me, const uint64_t *a)
{
	uint64_t start = a[0], len = pg_align_up(a[1], PG_PAGE_SIZE);
	int prot = (int)a[2], grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
	struct pg_region r;

	prot &= ~(PROT_GROWSDOWN | PROT_GROWSUP);
	if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || (start & PG_PAGE_MASK))
		return -EINVAL;
	if (a[1] == 0)
		return 0;
	if (len == 0 || start + len <= start)
		return -ENOMEM;
	if (prot & ~(PROT_ALL | 8 /* PROT_SEM */))
		return -EINVAL;
	if (!pg_guest_range_ok(me, start, len))
		return -ENOMEM;
	if (grows == PROT_GROWSUP)
		return -EINVAL;
	if (grows != 0) {
		if (!pg_space_find(me->mm->space, (pg_va){start}, true, &r) ||
			r.start.v >= start + len)
			return -ENOMEM;
		if (!(r.flags & PG_MAP_GROWSDOWN))
			return -EINVAL;
		len += start - r.start.v;
		start = r.start.v;
	}
	return pg_space_protect(me->mm->space, (pg_va){start}, len, (pg_prot)(prot & PROT_ALL));
}

int64_t pg_sys_mremap(struct pg_thread *me, const uint64_t *a)
{
	uint64_t old_len = pg_align_up(a[1], PG_PAGE_SIZE),
		 new_len = pg_align_up(a[2], PG_PAGE_SIZE);
	int flags = (int)a[3];
	struct pg_region r;
	pg_va result;
	int err;

	if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | 4 /* MREMAP_DONTUNMAP */)) ||
		(a[0] & PG_PAGE_MASK) || new_len == 0)
		return -EINVAL;
	if ((flags & MREMAP_FIXED) && !(flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if (flags & (MREMAP_FIXED | 4)) {
		pg_linux_unknown(me, "mremap to a chosen address (MREMAP_FIXED, MREMAP_DONTUNMAP) "
				     "is not there: ENOSYS");
		return -ENOSYS;
	}
	if (!pg_guest_range_ok(me, a[0], old_len) || new_len > me->mm->layout.address_top)
		return -EINVAL;
	if (!pg_space_find(me->mm->space, (pg_va){a[0]}, false, &r))
		return -EFAULT;
	if (new_len > old_len && !within_limits(me, new_len - old_len, is_data(&r)))
		return -ENOMEM;
	err = pg_space_remap(me->mm->space, (pg_va){a[0]}, old_len, new_len,
		(flags & MREMAP_MAYMOVE) ? PG_REMAP_MAYMOVE : 0, &result);
	return err != 0 ? err : (int64_t)result.v;
}

int64_t pg_sys_brk(struct pg_thread *me, const uint64_t *a)
{
	pg_va now = pg_space_brk(me->mm->space, (pg_va){0}, UINT64_MAX);

	if (a[0] > now.v &&
		(a[0] >= me->mm->layout.address_top || !within_limits(me, a[0] - now.v, true)))
		return (int64_t)now.v;
	return (int64_t)pg_space_brk(
		me->mm->space, (pg_va){a[0]}, me->proc->limits[RLIMIT_DATA].rlim_cur)
		.v;
}

/* --- ranges: msync, madvise, mincore, mlock ------------------------------------------------------------------ */

/*
 * Calls f for the part of each region in [start, end), low to high, until it fails. -ENOMEM at the end if there was a
 * hole and nothing else failed, as Linux's walks do.
 */
static int each_part(struct pg_thread *me, uint64_t start, uint64_t end,
	int (*f)(struct pg_thread *me, const struct pg_region *r, uint64_t from, uint64_t to,
		void *ctx),
	void *ctx)
{
	bool hole = false;
	struct pg_region r;

	while (start < end) {
		uint64_t to;
		int err;

		if (!pg_space_find(me->mm->space, (pg_va){start}, true, &r) || r.start.v >= end)
			return -ENOMEM;
		if (r.start.v > start) {
			hole = true;
			start = r.start.v;
		}
		to = r.end.v < end ? r.end.v : end;
		err = f(me, &r, start, to, ctx);
		if (err != 0)
			return err;
		start = to;
	}
	return hole ? -ENOMEM : 0;
}

static int sync_part(
	struct pg_thread *me, const struct pg_region *r, uint64_t from, uint64_t to, void *ctx)
{
	const int *flags = ctx;

	if ((*flags & MS_INVALIDATE) && (r->flags & PG_MAP_LOCKED))
		return -EBUSY;
	if (r->object == NULL || !(r->flags & PG_MAP_SHARED))
		return 0;
	return pg_space_sync(me->mm->space, (pg_va){from}, to - from);
}

int64_t pg_sys_msync(struct pg_thread *me, const uint64_t *a)
{
	uint64_t len = pg_align_up(a[1], PG_PAGE_SIZE);
	int flags = (int)a[2];

	if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) || (a[0] & PG_PAGE_MASK) ||
		(flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
		return -EINVAL;
	if (a[0] + len < a[0] || !pg_guest_range_ok(me, a[0], len))
		return -ENOMEM;
	return each_part(me, a[0], a[0] + len, sync_part, &flags);
}

/* Faults the pages of [from, to) in. */
static int populate(struct pg_thread *me, uint64_t from, uint64_t to, enum pg_access access)
{
	for (uint64_t at = from; at < to; at += PG_PAGE_SIZE) {
		struct iovec v[1];
		unsigned n = 0;
		enum pg_fault_end end = PG_FAULT_RESUME;

		if (pg_space_pin(me->mm->space, (pg_va){at}, 1, access, me->pc, v, &n, 1, &end) ==
			0) {
			if (end == PG_FAULT_OOM)
				me->oom = true;
			return end == PG_FAULT_BUS ? -EFAULT : -ENOMEM;
		}
		pg_space_unpin(me->mm->space, PG_READ, v, n);
	}
	return 0;
}

static int advise_part(
	struct pg_thread *me, const struct pg_region *r, uint64_t from, uint64_t to, void *ctx)
{
	const int *advice = ctx;
	bool private_anon = r->object == NULL && !(r->flags & PG_MAP_SHARED);
	int err;

	switch (*advice) {
	case MADV_DONTNEED:
		if (r->flags & PG_MAP_LOCKED)
			return -EINVAL;
		return pg_space_discard(me->mm->space, (pg_va){from}, to - from);
	case MADV_DONTNEED_LOCKED:
		return pg_space_discard(me->mm->space, (pg_va){from}, to - from);
	case MADV_FREE:
	case MADV_WIPEONFORK:
		/* freed lazily, "when memory is short": never is as good */
		return private_anon ? 0 : -EINVAL;
	case MADV_REMOVE:
		return -EINVAL;
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		err = populate(me, from, to, *advice == MADV_POPULATE_READ ? PG_READ : PG_WRITE);
		return err == -ENOMEM && !me->oom ? -EFAULT : err;
	case MADV_COLD:
	case MADV_PAGEOUT:
		return r->flags & PG_MAP_LOCKED ? -EINVAL : 0;
	default:
		return 0;
	}
}

static bool advice_known(int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return true;
	default:
		return false;
	}
}

int64_t pg_sys_madvise(struct pg_thread *me, const uint64_t *a)
{
	uint64_t len = pg_align_up(a[1], PG_PAGE_SIZE);
	int advice = (int)a[2];

	if (!advice_known(advice)) {
		pg_linux_unknown(me, "madvise advice %d is not there: EINVAL", advice);
		return -EINVAL;
	}
	if ((a[0] & PG_PAGE_MASK) || (a[1] != 0 && len == 0) || a[0] + len < a[0])
		return -EINVAL;
	if (len == 0)
		return 0;
	if (!pg_guest_range_ok(me, a[0], len))
		return -ENOMEM;
	return each_part(me, a[0], a[0] + len, advise_part, &advice);
}

static int in_core_part(
	struct pg_thread *me, const struct pg_region *r, uint64_t from, uint64_t to, void *ctx)
{
	uint64_t *out = ctx;

	for (uint64_t at = from; at < to; at += PG_PAGE_SIZE) {
		uint8_t in = !pg_pfn_is_none(pg_space_resident(me->mm->space, (pg_va){at}, NULL));

		if (pg_guest_write(me, (*out)++, &in, 1) != 0)
			return -EFAULT;
	}
	return 0;
}

static int nothing_part(
	struct pg_thread *me, const struct pg_region *r, uint64_t from, uint64_t to, void *ctx)
{
	return 0;
}

int64_t pg_sys_mincore(struct pg_thread *me, const uint64_t *a)
{
	uint64_t len = pg_align_up(a[1], PG_PAGE_SIZE), out = a[2];
	int err;

	if (a[0] & PG_PAGE_MASK)
		return -EINVAL;
	if (!pg_guest_range_ok(me, a[0], a[1]))
		return -ENOMEM;
	if (!pg_guest_range_ok(me, a[2], len / PG_PAGE_SIZE))
		return -EFAULT;
	err = each_part(me, a[0], a[0] + len, nothing_part, NULL);
	return err != 0 ? err : each_part(me, a[0], a[0] + len, in_core_part, &out);
}

static int lock_part(
	struct pg_thread *me, const struct pg_region *r, uint64_t from, uint64_t to, void *ctx)
{
	bool write = (r->prot & PG_WRITE) && !(r->flags & PG_MAP_SHARED);
	int err;

	if (r->prot == 0)
		return -ENOMEM;
	err = populate(me, from, to, write ? PG_WRITE : r->prot & PG_READ ? PG_READ : PG_EXEC);
	return err == -EFAULT ? -ENOMEM : err;
}

/* Locked pages are faulted in; nothing evicts them on this machine. */
static int64_t lock_range(struct pg_thread *me, uint64_t start, uint64_t bytes, bool now)
{
	uint64_t len = pg_align_up(bytes + (start & PG_PAGE_MASK), PG_PAGE_SIZE);
	uint64_t most = me->proc->limits[RLIMIT_MEMLOCK].rlim_cur;

	start = pg_align_down(start, PG_PAGE_SIZE);
	if (start + len < start)
		return -EINVAL;
	if (len == 0)
		return 0;
	if (!pg_guest_range_ok(me, start, len))
		return -ENOMEM;
	if (len > most && geteuid() != 0)
		return most == 0 ? -EPERM : -ENOMEM;
	return each_part(me, start, start + len, now ? lock_part : nothing_part, NULL);
}

int64_t pg_sys_mlock(struct pg_thread *me, const uint64_t *a)
{
	return lock_range(me, a[0], a[1], true);
}

int64_t pg_sys_mlock2(struct pg_thread *me, const uint64_t *a)
{
	if ((int)a[2] & ~1)
		return -EINVAL;
	return lock_range(me, a[0], a[1], (a[2] & 1) == 0);
}

int64_t pg_sys_munlock(struct pg_thread *me, const uint64_t *a)
{
	return lock_range(me, a[0], a[1], false);
}

int64_t pg_sys_mlockall(struct pg_thread *me, const uint64_t *a)
{
	const int current = 1, future = 2, onfault = 4;
	int flags = (int)a[0];
	struct pg_region r;
	uint64_t at = 0;

	if (flags == 0 || (flags & ~(current | future | onfault)) || flags == onfault)
		return -EINVAL;
	me->mm->lock_future = (flags & future) != 0;
	if (!(flags & current) || (flags & onfault))
		return 0;
	while (!me->oom && pg_space_find(me->mm->space, (pg_va){at}, true, &r)) {
		at = r.end.v;
		(void)lock_part(
			me, &r, r.start.v, r.end.v, NULL); /* errors are ignored, as Linux does */
	}
	return 0;
}

int64_t pg_sys_munlockall(struct pg_thread *me, const uint64_t *a)
{
	me->mm->lock_future = false;
	return 0;
}
