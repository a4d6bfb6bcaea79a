/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/ipc.c: what the three kinds of System V objects share: numbers, names, rights.
 *
 * Called by shm.c, sem.c and msg.c, which own the tables. Source: Linux ipc/util.c, 6.18.
 *
 * Invariants:
 *   I1 the list is in the order of places, and no place is taken twice.
 *   I2 no two objects that are not removed have the same key, IPC_PRIVATE apart.
 */
#include "linux/calls/ipc.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEAST_ROUND 64 /* so many places are gone round before one is used again */
#define SEQUENCES 65536

static int place_of(const struct pg_ipc_object *o)
{
	return o->id % PG_IPC_ID_STEP;
}

/* The first free place from `from` on and below `below`, or -1. */
static int free_place(const struct pg_ipc_ids *t, int from, int below)
{
	const struct pg_ipc_object *o = t->first;

	while (o != NULL && place_of(o) < from)
		o = o->next;
	for (; o != NULL && place_of(o) == from; o = o->next)
		from++;
	return from < below ? from : -1;
}

int pg_ipc_add(struct pg_ipc_ids *t, struct pg_ipc_object *o, int key, int flags, int most)
{
	int round = t->used * 3 / 2 > LEAST_ROUND ? t->used * 3 / 2 : LEAST_ROUND, place;
	struct pg_ipc_object **at = &t->first;

	if (t->used >= most)
		return -ENOSPC;
	round = round < most ? round : most;
	place = free_place(t, t->place, round);
	if (place < 0)
		place = free_place(t, 0, round);
	if (place < 0)
		return -ENOSPC;
	if (place < t->last)
		t->seq = (t->seq + 1) % SEQUENCES;
	t->last = t->place = place + 1;
	o->id = t->seq * PG_IPC_ID_STEP + place;
	o->removed = false;
	o->perm = (struct ipc_perm){.__key = key,
		.uid = geteuid(),
		.gid = getegid(),
		.cuid = geteuid(),
		.cgid = getegid(),
		.mode = (unsigned short)(flags & 0777),
		.__seq = (unsigned short)t->seq};
	while (*at != NULL && place_of(*at) < place)
		at = &(*at)->next;
	o->next = *at;
	*at = o;
	t->used++;
	return 0;
}

void pg_ipc_remove(struct pg_ipc_ids *t, struct pg_ipc_object *o)
{
	struct pg_ipc_object **at = &t->first;

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	t->used--;
}

struct pg_ipc_object *pg_ipc_by_id(const struct pg_ipc_ids *t, int id)
{
	struct pg_ipc_object *o = t->first;

	while (o != NULL && o->id != id)
		o = o->next;
	return o;
}

struct pg_ipc_object *pg_ipc_by_place(const struct pg_ipc_ids *t, int place)
{
	struct pg_ipc_object *o = t->first;

	while (o != NULL && place_of(o) != place)
		o = o->next;
	return o;
}

static struct pg_ipc_object *by_key(const struct pg_ipc_ids *t, int key)
{
	struct pg_ipc_object *o = t->first;

	while (o != NULL && (o->removed || o->perm.__key != key))
		o = o->next;
	return o;
}

int pg_ipc_highest(const struct pg_ipc_ids *t)
{
	int most = 0;

	for (const struct pg_ipc_object *o = t->first; o != NULL; o = o->next)
		most = place_of(o);
	return most;
}

int pg_ipc_get(const struct pg_ipc_ids *t, int key, int flags, struct pg_ipc_object **found)
{
	*found = key != IPC_PRIVATE ? by_key(t, key) : NULL;
	if (key == IPC_PRIVATE)
		return 0;
	if (*found == NULL)
		return flags & IPC_CREAT ? 0 : -ENOENT;
	return (flags & IPC_CREAT) && (flags & IPC_EXCL) ? -EEXIST : 0;
}

static bool in_group(gid_t g)
{
	gid_t list[256], *all = list;
	int n = getgroups(0, NULL);
	bool is = getegid() == g;

	if (is || n <= 0)
		return is;
	if (n > (int)(sizeof(list) / sizeof(list[0])))
		all = malloc((size_t)n * sizeof(*all));
	n = all != NULL ? getgroups(n, all) : 0;
	for (int i = 0; i < n; i++)
		is = is || all[i] == g;
	if (all != list)
		free(all);
	return is;
}

bool pg_ipc_permitted(const struct pg_ipc_object *o, int want)
{
	unsigned asked = (unsigned)(want >> 6 | want >> 3 | want) & 7, granted = o->perm.mode;
	uid_t user = geteuid();

	if (user == o->perm.cuid || user == o->perm.uid)
		granted >>= 6;
	else if (in_group(o->perm.cgid) || in_group(o->perm.gid))
		granted >>= 3;
	return (asked & ~granted) == 0 || pg_cred_capable(CAP_IPC_OWNER);
}

bool pg_ipc_owned(const struct pg_ipc_object *o)
{
	uid_t user = geteuid();

	return user == o->perm.cuid || user == o->perm.uid || pg_cred_capable(CAP_SYS_ADMIN);
}

int pg_ipc_set(struct pg_ipc_object *o, const struct ipc_perm *in)
{
	if (in->uid == (uid_t)-1 || in->gid == (gid_t)-1)
		return -EINVAL;
	o->perm.uid = in->uid;
	o->perm.gid = in->gid;
	o->perm.mode = (unsigned short)((o->perm.mode & ~0777) | (in->mode & 0777));
	return 0;
}

void pg_ipc_limits(const char *name, uint64_t *out, unsigned n)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/kernel/%s", name);
	f = fopen(path, "re");
	for (unsigned i = 0; f != NULL && i < n; i++) {
		unsigned long long v;

		if (fscanf(f, "%llu", &v) != 1)
			break;
		out[i] = v;
	}
	if (f != NULL)
		fclose(f);
}
