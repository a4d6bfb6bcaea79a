/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/ipc.h: what the three kinds of System V objects share: names, numbers, rights.
 *
 * Included by shm.c, sem.c, msg.c (each embeds struct pg_ipc_object as the first member of its own) and by proc/proc.c. The objects
 * are the machine's, not the host's: they end with it. Guarded by the machine lock.
 */
#ifndef PG_LINUX_CALLS_IPC_H
#define PG_LINUX_CALLS_IPC_H

#include "linux/machine/machine.h"

#include <sys/ipc.h>

#define PG_IPC_ID_STEP                                                                             \
	32768 /* an id is a place in the table and, times this, how often places have been gone round */

struct pg_ipc_object {
	struct pg_ipc_object *next; /* by place */
	int id;
	bool removed; /* has no name any more: found by its id only, if at all */
	struct ipc_perm perm;
};

struct pg_ipc_ids {
	struct pg_ipc_object *first;
	int used;      /* objects in the list */
	int place;     /* where the next search for a free place begins */
	int last, seq; /* the place given last plus one, and rounds */
};

/*
 * Takes o into the table with a new id, as Linux numbers them; its perm is filled: key, caller's users and groups, the mode of the
 * flags. 0, or -ENOSPC when `most` are there.
 */
PG_MUST_CHECK int pg_ipc_add(
	struct pg_ipc_ids *t, struct pg_ipc_object *o, int key, int flags, int most);
void pg_ipc_remove(struct pg_ipc_ids *t, struct pg_ipc_object *o);
struct pg_ipc_object *pg_ipc_by_id(const struct pg_ipc_ids *t, int id);
struct pg_ipc_object *pg_ipc_by_place(const struct pg_ipc_ids *t, int place);
/* What IPC_INFO and its kin return. */
int pg_ipc_highest(const struct pg_ipc_ids *t);
/*
 * The part of semget, msgget and shmget before anything is made: *found is set, or NULL: a new one is to be made. 0, or -ENOENT,
 * -EEXIST. Rights are looked at by the caller, last: pg_ipc_permitted(found, flags).
 */
PG_MUST_CHECK int pg_ipc_get(
	const struct pg_ipc_ids *t, int key, int flags, struct pg_ipc_object **found);
/* Whether the caller has what the three digits of `want` ask for, in any of them: Linux's ipcperms(). */
bool pg_ipc_permitted(const struct pg_ipc_object *o, int want);
/* Whether the caller may change and remove it. */
bool pg_ipc_owned(const struct pg_ipc_object *o);
/* IPC_SET's part that all have in common. 0 or -EINVAL. */
PG_MUST_CHECK int pg_ipc_set(struct pg_ipc_object *o, const struct ipc_perm *in);
/*
 * Numbers of the host's /proc/sys/kernel/`name`, which the guests see too: limits. What cannot be read stays as it is in out[n].
 */
void pg_ipc_limits(const char *name, uint64_t *out, unsigned n);

#endif
