/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/mem.c: system calls that change the guest's regions: mmap, munmap, mprotect, mremap, brk.
 *
 * Called through table.c. Checks arguments in Linux's order and rights of files; all mapping, limits of space and
 * promises of memory are space/'s. What is done to pages (madvise and the like) is in advise.c.
 * Source of the order of checks: Linux mm/mmap.c, mm/mprotect.c, mm/mremap.c, 6.18.
 */
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

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
#define MAP_DROPPABLE_TYPE 0x08
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* The flags that MAP_SHARED_VALIDATE knows: Linux's LEGACY_MAP_MASK. */
#define KNOWN_FLAGS                                                                                \
	(MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE |   \
		MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK |         \
		MAP_STACK | MAP_HUGETLB | MAP_32BIT | 0x4000000 /* uninitialized */ | 0x80)

void pg_mem_limits(struct pg_thread *me)
{
	const struct rlimit64 *l = me->proc->limits;
	const struct pg_space_limits now = {.as_bytes = l[RLIMIT_AS].rlim_cur,
		.data_bytes = l[RLIMIT_DATA].rlim_cur,
		.locked_bytes = geteuid() == 0 ? UINT64_MAX : l[RLIMIT_MEMLOCK].rlim_cur};

	pg_space_set_limits(me->mm->space, &now);
}

/* --- mmap ------------------------------------------------------------------------------------------------- */

/* A mapping that was asked for, on its way through the checks. */
struct wish {
	uint64_t addr, len, offset;
	int prot, flags, fd;
	bool shared, anonymous;
	bool droppable; /* MAP_DROPPABLE */
	pg_prot max_prot;
	struct pg_object *object; /* a reference, or NULL */
	char name[PATH_MAX];
};

/* What a sealed memfd does not allow; takes the write right from what mprotect may give. */
static int check_seals(struct wish *w)
{
	int seals = fcntl(w->fd, F_GET_SEALS);

	if (!w->shared || seals < 0 || !(seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return 0;
	if (w->prot & PROT_WRITE)
		return -EPERM;
	w->max_prot &= (pg_prot)~PG_WRITE;
	return 0;
}

/* /dev/zero: anonymous memory; shared, it is an object of the mapping's size, and the offset goes past it. */
static int open_zero(struct pg_thread *me, struct wish *w)
{
	const struct pg_object_key none = {0, 0};
	bool existed;
	int err;

	strcpy(w->name, w->shared ? "/dev/zero (deleted)" : "/dev/zero");
	if (!w->shared)
		return 0;
	err = pg_object_open(
		me->machine->vm, none, w->name, NULL, NULL, w->len, &w->object, &existed);
	return err == 0 && !(w->flags & MAP_NORESERVE) ? pg_object_charge(w->object) : err;
}

/* Checks the file behind a mapping and opens its object. */
static int open_file(struct pg_thread *me, struct wish *w)
{
	int type = w->flags & MAP_TYPE, mode = fcntl(w->fd, F_GETFL);
	struct stat st;
	struct statvfs vfs;
	bool readable, writable;
	int err;

	if (mode < 0 || (mode & O_PATH))
		return -EBADF;
	readable = (mode & O_ACCMODE) != O_WRONLY;
	writable = (mode & O_ACCMODE) != O_RDONLY;
	if (fstat(w->fd, &st) != 0)
		return -errno;
	if (S_ISREG(st.st_mode) && w->offset + w->len > INT64_MAX)
		return -EOVERFLOW;
	if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE)
		return -EINVAL;
	if (type == MAP_SHARED_VALIDATE && (w->flags & ~(KNOWN_FLAGS | MAP_TYPE)))
		return -EOPNOTSUPP;
	w->shared = type != MAP_PRIVATE;
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
		return w->flags & MAP_GROWSDOWN ? -EINVAL : open_zero(me, w);
	}
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_dev == me->machine->proc_dev)
		return -ENODEV;
	if (w->flags & MAP_GROWSDOWN)
		return -EINVAL;
	err = check_seals(w);
	if (err != 0)
		return err;
	if (!pg_fd_path(w->fd, w->name, sizeof(w->name)))
		w->name[0] = '\0';
	return pg_files_object(me, w->fd, &st, w->shared && writable, w->name, &w->object);
}

/* The type of a mapping without a file. */
static int check_anonymous(struct wish *w)
{
	int type = w->flags & MAP_TYPE;

	w->offset = 0;
	w->shared = type == MAP_SHARED;
	w->droppable = type == MAP_DROPPABLE_TYPE;
	if (type != MAP_SHARED && type != MAP_PRIVATE && !w->droppable)
		return -EINVAL;
	if (w->droppable && (w->flags & MAP_LOCKED))
		return -EINVAL;
	return (w->shared || w->droppable) && (w->flags & MAP_GROWSDOWN) ? -EINVAL : 0;
}

/* The lowest hole of `len` bytes in the low gigabyte, or the hint if it is free; 0: none. */
static uint64_t find_low(struct pg_thread *me, uint64_t hint, uint64_t len)
{
	uint64_t at = LOW_FROM;
	struct pg_region r;

	if (hint != 0 && len <= LOW_TO && hint <= LOW_TO - len &&
		(!pg_space_find(me->mm->space, (pg_va){hint}, true, &r) || r.start.v >= hint + len))
		return hint;
	while (len <= LOW_TO && at <= LOW_TO - len) {
		if (!pg_space_find(me->mm->space, (pg_va){at}, true, &r) || r.start.v >= at + len)
			return at;
		at = r.end.v;
	}
	return 0;
}

static unsigned map_flags(const struct wish *w)
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
	if (w->flags & MAP_STACK)
		f |= PG_MAP_NOHUGE; /* as Linux since 6.7 */
	if (w->flags & MAP_LOCKED)
		f |= PG_MAP_LOCKED;
	if ((w->flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE)
		f |= PG_MAP_POPULATE;
	/* Linux may drop such pages for want of frames; it need not, and here they are swapped. */
	if (w->droppable)
		f |= PG_MAP_NORESERVE | PG_MAP_WIPEONFORK | PG_MAP_DONTDUMP;
	return f;
}

/* Size, offset and address, before anything is known of the file: Linux's __get_unmapped_area(). */
static int check_place(struct pg_thread *me, struct wish *w)
{
	uint64_t top = me->mm->layout.address_top;
	bool fixed = (w->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0;
	struct pg_region r;

	if (w->len == 0)
		return -EINVAL;
	w->len = pg_align_up(w->len, PG_PAGE_SIZE);
	if (w->len == 0)
		return -ENOMEM;
	if ((w->offset >> PG_PAGE_SHIFT) + (w->len >> PG_PAGE_SHIFT) < (w->offset >> PG_PAGE_SHIFT))
		return -EOVERFLOW;
	if (w->len > top)
		return -ENOMEM;
	if (!fixed) {
		w->addr = pg_align_down(w->addr, PG_PAGE_SIZE);
		if (w->addr != 0 && w->addr < MMAP_MIN_ADDR)
			w->addr = MMAP_MIN_ADDR;
		if (w->flags & MAP_32BIT)
			w->addr = find_low(me, w->addr, w->len);
		else if (w->addr > top - w->len)
			w->addr = 0;
		return (w->flags & MAP_32BIT) && w->addr == 0 ? -ENOMEM : 0;
	}
	if ((int64_t)w->addr < 0 && (int64_t)w->addr > -4096)
		return (int)(int64_t)
			w->addr; /* Linux takes such an address for an error of its own */
	if (w->addr > top - w->len)
		return -ENOMEM;
	if (w->addr & PG_PAGE_MASK)
		return -EINVAL;
	if (w->addr < MMAP_MIN_ADDR)
		return -EPERM;
	if ((w->flags & MAP_FIXED_NOREPLACE) &&
		pg_space_find(me->mm->space, (pg_va){w->addr}, true, &r) &&
		r.start.v < w->addr + w->len)
		return -EEXIST;
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
	struct pg_open_file *open = NULL;
	pg_va at;
	int err;

	w.anonymous = (w.flags & MAP_ANONYMOUS) != 0;
	if (w.offset & PG_PAGE_MASK)
		return -EINVAL;
	if (!w.anonymous && (!pg_fd_ok(w.fd) || fcntl(w.fd, F_GETFD) < 0))
		return -EBADF;
	if (w.flags & MAP_HUGETLB)
		return w.anonymous ? -ENOMEM : -EINVAL; /* no huge pages are set aside */
	pg_mem_limits(me);
	err = check_place(me, &w);
	if (err == 0)
		err = w.anonymous ? check_anonymous(&w) : open_file(me, &w);
	at.v = w.addr;
	if (err == 0 && w.shared && !w.anonymous)
		open = pg_open_hold(me, w.fd);
	pg_space_opening(me->mm->space, open);
	if (err == 0)
		err = pg_space_map(me->mm->space, &at, w.len, (pg_prot)w.prot, w.max_prot,
			map_flags(&w), w.object, w.anonymous ? 0 : w.offset,
			w.name[0] != '\0' ? w.name : NULL);
	pg_space_opening(me->mm->space, NULL);
	pg_open_drop(open);
	if (w.object != NULL)
		pg_object_unref(w.object);
	if (err == 0 && w.object != NULL && (w.prot & PROT_EXEC) && me->machine->hooks.code != NULL)
		me->machine->hooks.code(me->machine->hooks.ctx);
	return err != 0 ? err : (int64_t)at.v;
}

int64_t pg_sys_munmap(struct pg_thread *me, const uint64_t *a)
{
	uint64_t len = pg_align_up(a[1], PG_PAGE_SIZE);

	if ((a[0] & PG_PAGE_MASK) || len == 0 || !pg_guest_range_ok(me, a[0], len))
		return -EINVAL;
	return pg_space_unmap(me->mm->space, (pg_va){a[0]}, len);
}

/* From region to region, as Linux: what fails comes after what was done. */
static int protect(struct pg_thread *me, uint64_t start, uint64_t len, pg_prot prot)
{
	uint64_t end = start + len;
	struct pg_region r;
	int err = 0;

	while (err == 0 && start < end) {
		uint64_t to;

		if (!pg_space_find(me->mm->space, (pg_va){start}, false, &r))
			return -ENOMEM;
		to = r.end.v < end ? r.end.v : end;
		err = pg_space_protect(me->mm->space, (pg_va){start}, to - start, prot);
		start = to;
	}
	return err;
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
	if (!pg_space_find(me->mm->space, (pg_va){start}, true, &r) || r.start.v >= start + len)
		return -ENOMEM;
	if (grows == PROT_GROWSDOWN) {
		if (!(r.flags & PG_MAP_GROWSDOWN))
			return -EINVAL;
		len += start - r.start.v;
		start = r.start.v;
	} else if (r.start.v > start) {
		return -ENOMEM;
	} else if (grows == PROT_GROWSUP) {
		return -EINVAL; /* nothing grows up on x86 */
	}
	if (start + len > me->mm->layout.address_top) /* a hole: no further than there */
		len = me->mm->layout.address_top - start + PG_PAGE_SIZE;
	pg_mem_limits(me);
	return protect(me, start, len, (pg_prot)(prot & PROT_ALL));
}

int64_t pg_sys_mremap(struct pg_thread *me, const uint64_t *a)
{
	int flags = (int)a[3];
	unsigned f = 0;
	pg_va at = {a[4]};
	struct pg_region r;
	int err;

	if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
		return -EINVAL;
	/* A duplicate over its own source: Linux unmaps what is there, and then finds nothing. */
	if (flags == (MREMAP_MAYMOVE | MREMAP_FIXED) && pg_align_up(a[1], PG_PAGE_SIZE) == 0 &&
		!((a[0] | a[4]) & PG_PAGE_MASK) && a[4] <= a[0] && a[0] - a[4] < a[2] &&
		pg_space_find(me->mm->space, (pg_va){a[0]}, false, &r) &&
		(r.flags & PG_MAP_SHARED)) {
		err = pg_space_unmap(me->mm->space, at, a[2]);
		return err != 0 ? err : -EFAULT;
	}
	f |= flags & MREMAP_MAYMOVE ? PG_REMAP_MAYMOVE : 0;
	f |= flags & MREMAP_FIXED ? PG_REMAP_FIXED : 0;
	f |= flags & MREMAP_DONTUNMAP ? PG_REMAP_DONTUNMAP : 0;
	pg_mem_limits(me);
	err = pg_space_remap(me->mm->space, (pg_va){a[0]}, a[1], a[2], f, &at);
	return err != 0 ? err : (int64_t)at.v;
}

int64_t pg_sys_brk(struct pg_thread *me, const uint64_t *a)
{
	pg_va now = pg_space_brk(me->mm->space, (pg_va){0}, UINT64_MAX);
	uint64_t most = me->proc->limits[RLIMIT_DATA].rlim_cur,
		 data = me->mm->layout.data_end - me->mm->layout.data_start;

	if (a[0] >= me->mm->layout.address_top || (most != RLIM64_INFINITY && data > most))
		return (int64_t)now.v;
	pg_mem_limits(me);
	return (int64_t)pg_space_brk(
		me->mm->space, (pg_va){a[0]}, most == RLIM64_INFINITY ? most : most - data)
		.v;
}
