/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/shm.c: System V shared memory: segments of the machine, with keys.
 *
 * Called through table.c, and by linux/linux.c at the end of the machine. A segment is an object without a pager (space/object.h), so
 * its pages cost frames, are swapped and counted as other shared memory. Nothing of it is known to the host.
 * Source of the order of checks: Linux ipc/shm.c, ipc/util.c, 6.18.
 *
 * Owns the table of segments and, until IPC_RMID, a reference on each object. After IPC_RMID a segment lives as long as
 * regions map its object: it holds none then, and is forgotten when the object is gone.
 *
 * Attaches are the regions that map the object, as on Linux (a region cut in two counts twice), so fork, exit and exec need no word
 * here. What is not kept: the time and process of a detach by exit or exec.
 */
#include "linux/calls/ipc.h"
#include "linux/calls/syscalls.h"
#include "linux/files/files.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <time.h>
#include <unistd.h>

#define SEGMENTS 4096 /* SHMMNI */
/* Linux's SHMMAX and SHMALL: so that only memory limits. */
#define MOST_BYTES (UINT64_MAX - (1u << 24))
/* No file has this device (0:0), so a segment's key is never a file's. */
#define SHM_DEVICE 1

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif
#define SHM_NORESERVE_FLAG 010000
#define SHM_HUGETLB_FLAG 04000

struct segment {
	struct pg_ipc_object ipc; /* first */
	struct pg_object *object; /* counted; NULL: to be found by its key, see above */
	struct shmid_ds ds;       /* but for shm_perm and shm_nattch */
};

struct pg_shm {
	struct pg_ipc_ids ids;
};

static struct pg_object_key key_of(int id)
{
	return (struct pg_object_key){SHM_DEVICE, (uint64_t)id + 1};
}

static struct pg_object *object_of(const struct pg_linux *l, const struct segment *g)
{
	return g->object != NULL ? g->object : pg_object_find(l->vm, key_of(g->ipc.id));
}

static uint64_t attaches(const struct pg_linux *l, const struct segment *g)
{
	const struct pg_object *o = object_of(l, g);

	return o != NULL ? pg_object_mappings(o) : 0;
}

/* The machine's segments, those that are removed and mapped nowhere taken out. NULL: no memory. */
static struct pg_shm *table_of(struct pg_linux *l)
{
	if (l->shm == NULL)
		l->shm = calloc(1, sizeof(*l->shm));
	if (l->shm == NULL)
		return NULL;
	for (struct pg_ipc_object *o = l->shm->ids.first, *next; o != NULL; o = next) {
		next = o->next;
		if (!o->removed || object_of(l, (struct segment *)o) != NULL)
			continue;
		pg_ipc_remove(&l->shm->ids, o);
		free(o);
	}
	return l->shm;
}

void pg_shm_end(struct pg_linux *l)
{
	while (l->shm != NULL && l->shm->ids.first != NULL) {
		struct segment *g = (struct segment *)l->shm->ids.first;

		if (g->object != NULL)
			pg_object_unref(g->object);
		pg_ipc_remove(&l->shm->ids, &g->ipc);
		free(g);
	}
	free(l->shm);
	l->shm = NULL;
}

static struct segment *by_id(const struct pg_shm *t, int id)
{
	return (struct segment *)pg_ipc_by_id(&t->ids, id);
}

static int64_t make_segment(
	struct pg_thread *me, struct pg_shm *t, int key, uint64_t size, int flags)
{
	struct segment *g;
	char name[40];
	bool existed;
	int err;

	if (size < 1 || size > MOST_BYTES)
		return -EINVAL;
	if (pg_align_up(size, PG_PAGE_SIZE) < size)
		return -ENOSPC;
	if (flags & SHM_HUGETLB_FLAG)
		return -ENOMEM; /* no huge pages are set aside */
	g = calloc(1, sizeof(*g));
	if (g == NULL)
		return -ENOMEM;
	err = pg_ipc_add(&t->ids, &g->ipc, key, flags, SEGMENTS);
	if (err != 0) {
		free(g);
		return err;
	}
	snprintf(name, sizeof(name), "/SYSV%08x (deleted)", (unsigned)key);
	err = pg_object_open(me->machine->vm, key_of(g->ipc.id), name, NULL, NULL,
		pg_align_up(size, PG_PAGE_SIZE), &g->object, &existed);
	if (err == 0)
		pg_object_set_segment(g->object);
	if (err == 0 && !(flags & SHM_NORESERVE_FLAG))
		err = pg_object_charge(g->object);
	if (err != 0) {
		if (g->object != NULL)
			pg_object_unref(g->object);
		pg_ipc_remove(&t->ids, &g->ipc);
		free(g);
		return err;
	}
	PG_ASSERT(!existed);
	g->ds.shm_segsz = size;
	g->ds.shm_cpid = me->proc->pid;
	g->ds.shm_ctime = time(NULL);
	return g->ipc.id;
}

int64_t pg_sys_shmget(struct pg_thread *me, const uint64_t *a)
{
	struct pg_shm *t = table_of(me->machine);
	int key = (int)a[0], flags = (int)a[2], err;
	struct pg_ipc_object *found;

	if (t == NULL)
		return -ENOMEM;
	err = pg_ipc_get(&t->ids, key, flags, &found);
	if (err != 0)
		return err;
	if (found == NULL)
		return make_segment(me, t, key, a[1], flags);
	if (a[1] > ((struct segment *)found)->ds.shm_segsz)
		return -EINVAL;
	return pg_ipc_permitted(found, flags) ? found->id : -EACCES;
}

/* Where to attach: 0 and *addr (0: anywhere), or -EINVAL. */
static int attach_address(struct pg_thread *me, uint64_t *addr, int flags, uint64_t size)
{
	struct pg_region r;

	if (*addr == 0)
		return flags & SHM_REMAP ? -EINVAL : 0;
	if (*addr & PG_PAGE_MASK) {
		if (!(flags & SHM_RND))
			return -EINVAL;
		*addr = pg_align_down(*addr, PG_PAGE_SIZE);
		if (*addr == 0)
			return flags & SHM_REMAP ? -EINVAL : 0;
	}
	if (flags & SHM_REMAP)
		return 0;
	if (*addr + size < *addr)
		return -EINVAL;
	return pg_space_find(me->mm->space, (pg_va){*addr}, true, &r) && r.start.v < *addr + size
		       ? -EINVAL
		       : 0;
}

/* Each attachment is an open file of its own, as on Linux. */
static void detached(struct pg_open_file *f)
{
	free(f);
}

int64_t pg_sys_shmat(struct pg_thread *me, const uint64_t *a)
{
	struct pg_shm *t = table_of(me->machine);
	struct segment *g = t != NULL && (int)a[0] >= 0 ? by_id(t, (int)a[0]) : NULL;
	pg_prot prot = PG_READ, max = PG_READ | PG_EXEC;
	int flags = (int)a[2], err;
	struct pg_open_file *open;
	struct pg_object *o;
	uint64_t addr = a[1];
	pg_va at;

	if (g == NULL)
		return -EINVAL;
	if (!(flags & SHM_RDONLY)) {
		prot |= PG_WRITE;
		max |= PG_WRITE;
	}
	prot |= flags & SHM_EXEC ? PG_EXEC : 0;
	err = attach_address(me, &addr, flags, pg_align_up(g->ds.shm_segsz, PG_PAGE_SIZE));
	if (err != 0)
		return err;
	if (!pg_ipc_permitted(
		    &g->ipc, (prot & PG_WRITE ? 0666 : 0444) | (prot & PG_EXEC ? 0111 : 0)))
		return -EACCES;
	o = object_of(me->machine, g);
	open = calloc(1, sizeof(*open));
	if (open == NULL)
		return -ENOMEM;
	*open = (struct pg_open_file){.maps = 1, .idle = detached};
	pg_mem_limits(me);
	at.v = addr;
	pg_space_opening(me->mm->space, open);
	err = pg_space_map(me->mm->space, &at, g->ds.shm_segsz, prot, max,
		PG_MAP_SHARED | (addr != 0 ? PG_MAP_FIXED : 0), o, 0, NULL);
	pg_space_opening(me->mm->space, NULL);
	pg_open_drop(open);
	if (err != 0)
		return err;
	g->ds.shm_atime = time(NULL);
	g->ds.shm_lpid = me->proc->pid;
	return (int64_t)at.v;
}

int64_t pg_sys_shmdt(struct pg_thread *me, const uint64_t *a)
{
	struct pg_shm *t = table_of(me->machine);
	struct pg_object *o = NULL;
	struct segment *g = NULL;
	struct pg_region r;
	uint64_t end = UINT64_MAX;
	int err = -EINVAL;

	if (t == NULL || (a[0] & PG_PAGE_MASK))
		return -EINVAL;
	/* The first region that lies where this attach put it says which one it was; the others of it follow. */
	for (uint64_t at = a[0]; at < end && pg_space_find(me->mm->space, (pg_va){at}, true, &r);
		at = r.end.v) {
		if (r.object == NULL || pg_object_get_key(r.object).device != SHM_DEVICE ||
			r.start.v - a[0] != r.offset || (o != NULL && r.object != o))
			continue;
		if (o == NULL) {
			o = r.object;
			end = a[0] + pg_align_up(pg_object_bytes(o), PG_PAGE_SIZE);
			g = by_id(t, (int)pg_object_get_key(o).inode - 1);
			PG_ASSERT(g != NULL);
			g->ds.shm_dtime = time(NULL);
			g->ds.shm_lpid = me->proc->pid;
		}
		err = pg_space_unmap(me->mm->space, r.start, r.end.v - r.start.v);
		if (err != 0)
			break;
	}
	return err;
}

/* What IPC_STAT and its kin say of g. */
static int64_t put_stat(struct pg_thread *me, const struct segment *g, uint64_t va)
{
	struct shmid_ds out = g->ds;

	out.shm_perm = g->ipc.perm;
	out.shm_nattch = attaches(me->machine, g);
	if (g->ipc.removed) {
		out.shm_perm.__key = IPC_PRIVATE;
		out.shm_perm.mode |= SHM_DEST;
	}
	return pg_guest_write(me, va, &out, sizeof(out)) != 0 ? -EFAULT : 0;
}

static int64_t put_info(struct pg_thread *me, const struct pg_shm *t, int command, uint64_t va)
{
	struct shm_info sums = {.used_ids = t->ids.used};
	struct shminfo limits = {.shmmax = MOST_BYTES,
		.shmmin = 1,
		.shmmni = SEGMENTS,
		.shmseg = SEGMENTS,
		.shmall = MOST_BYTES};
	int err;

	for (const struct pg_ipc_object *at = t->ids.first; at != NULL; at = at->next) {
		const struct segment *g = (const struct segment *)at;
		const struct pg_object *o = object_of(me->machine, g);

		sums.shm_tot += pg_align_up(g->ds.shm_segsz, PG_PAGE_SIZE) / PG_PAGE_SIZE;
		sums.shm_rss += o != NULL ? pg_object_resident(o) : 0;
	}
	err = command == IPC_INFO ? pg_guest_write(me, va, &limits, sizeof(limits))
				  : pg_guest_write(me, va, &sums, sizeof(sums));
	return err != 0 ? -EFAULT : pg_ipc_highest(&t->ids);
}

/* IPC_SET and IPC_RMID: for the owner, the creator and root. */
static int64_t change(struct pg_thread *me, struct segment *g, int command, uint64_t va)
{
	struct shmid_ds in;

	if (command == IPC_SET && pg_guest_read(me, &in, va, sizeof(in)) != 0)
		return -EFAULT;
	if (!pg_ipc_owned(&g->ipc))
		return -EPERM;
	if (command == IPC_SET) {
		int err = pg_ipc_set(&g->ipc, &in.shm_perm);

		if (err == 0)
			g->ds.shm_ctime = time(NULL);
		return err;
	}
	g->ipc.removed = true;
	if (g->object != NULL) {
		struct pg_object *o = g->object;

		g->object = NULL;
		pg_object_unref(o);
	}
	(void)table_of(me->machine);
	return 0;
}

int64_t pg_sys_shmctl(struct pg_thread *me, const uint64_t *a)
{
	struct pg_shm *t = table_of(me->machine);
	int id = (int)a[0], command = (int)a[1];
	struct segment *g;

	if (t == NULL)
		return -ENOMEM;
	if (command < 0 || id < 0)
		return -EINVAL;
	if (command == IPC_INFO || command == SHM_INFO)
		return put_info(me, t, command, a[2]);
	g = command == SHM_STAT || command == SHM_STAT_ANY
		    ? (struct segment *)pg_ipc_by_place(&t->ids, id)
		    : by_id(t, id);
	switch (command) {
	case IPC_STAT:
	case SHM_STAT:
		if (g != NULL && !pg_ipc_permitted(&g->ipc, 0444))
			return -EACCES;
		break;
	case SHM_STAT_ANY:
	case IPC_SET:
	case IPC_RMID:
	case SHM_LOCK:
	case SHM_UNLOCK:
		break;
	default:
		return -EINVAL;
	}
	if (g == NULL)
		return -EINVAL;
	switch (command) {
	case IPC_SET:
	case IPC_RMID:
		return change(me, g, command, a[2]);
	case SHM_LOCK:
	case SHM_UNLOCK:
		pg_linux_unknown(me, "shmctl SHM_LOCK: segments cannot be locked: EPERM");
		return -EPERM;
	default:
		return put_stat(me, g, a[2]) != 0 ? -EFAULT : command == IPC_STAT ? 0 : g->ipc.id;
	}
}

void pg_shm_list(struct pg_linux *l, FILE *out)
{
	const struct pg_shm *t = l->shm != NULL ? table_of(l) : NULL;

	fputs("       key      shmid perms                  size  cpid  lpid nattch   uid   gid  "
	      "cuid  "
	      "cgid      atime      dtime      ctime                   rss                  swap\n",
		out);
	for (const struct pg_ipc_object *o = t != NULL ? t->ids.first : NULL; o != NULL;
		o = o->next) {
		const struct segment *g = (const struct segment *)o;
		const struct pg_object *pages = object_of(l, g);
		const struct shmid_ds *d = &g->ds;

		fprintf(out,
			"%10d %10d  %4o %21lu %5u %5u  %5lu %5u %5u %5u %5u %10llu %10llu %10llu "
			"%21llu %21llu\n",
			o->removed ? IPC_PRIVATE : o->perm.__key, o->id,
			o->perm.mode | (o->removed ? SHM_DEST : 0u), d->shm_segsz,
			(unsigned)d->shm_cpid, (unsigned)d->shm_lpid, attaches(l, g), o->perm.uid,
			o->perm.gid, o->perm.cuid, o->perm.cgid, (unsigned long long)d->shm_atime,
			(unsigned long long)d->shm_dtime, (unsigned long long)d->shm_ctime,
			pages != NULL ? pg_object_resident(pages) * (unsigned long long)PG_PAGE_SIZE
				      : 0ull,
			0ull);
	}
}
