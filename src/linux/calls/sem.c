/* SPDX-License-Identifier: MIT */
/*
 * linux/calls/sem.c: System V semaphores.
 *
 * Called through table.c, and by process/fork.c and process/thread.c: who shares its list of undos with whom, and that a thread ends. The sets are the
 * machine's. Source of the order of checks and of waking: Linux ipc/sem.c, 6.18.
 *
 * Owns the table of sets, with the operations that wait on each, and the lists of undos.
 *
 * Invariants:
 *   S1 every value is in 0 .. 32767, every undo in -32768 .. 32767.
 *   S2 no operation that waits could be carried out: whoever changes a value carries out all that can be (settle()), those that wait for
 *      zero first, then the others in the order in which they came.
 *   S3 an operation of several semaphores is carried out as a whole or not at all.
 *   S4 a waiting operation lives on the stack of the thread that sleeps in it; who takes it out of the list says how it ended.
 */
#include "linux/calls/ipc.h"
#include "linux/calls/syscalls.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sem.h>
#include <time.h>

#define VALUE_MOST 32767 /* SEMVMX, SEMAEM */
#define STRUCT_UNDO 20   /* SEMUSZ */
#define FOREVER UINT64_MAX
#define WAITS 1 /* a result of try() */

#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif

struct semaphore {
	uint16_t value;
	int pid; /* who changed it last, or looked for zero */
};

/* An operation that waits. */
struct waiter {
	struct waiter *next;
	struct pg_thread *thread;
	struct pg_sem_undo *undo; /* of the list that this one writes to; NULL: none */
	const struct sembuf *ops;
	unsigned count, blocking; /* blocking: the first of them that could not be done */
	bool alters;
	bool over;
	int result; /* once over */
};

struct set {
	struct pg_ipc_object ipc; /* first */
	uint64_t otime, ctime;
	unsigned count;
	struct waiter *waiters; /* oldest first */
	struct pg_sem_undo *undos;
	struct semaphore sem[];
};

/* What one list of undos holds for one set. */
struct pg_sem_undo {
	struct pg_sem_undo *next_of_set, *next_of_list;
	struct pg_sem_undos *list;
	struct set *set; /* NULL: removed */
	int16_t by[];
};

/* A list of undos: of one process, or of those that cloned with CLONE_SYSVSEM. */
struct pg_sem_undos {
	unsigned users; /* threads */
	struct pg_sem_undo *first;
};

struct pg_sem {
	struct pg_ipc_ids ids;
	uint64_t semaphores; /* of all sets */
	uint64_t most_in_set, most, most_ops, most_sets;
};

static struct pg_sem *table_of(struct pg_linux *l)
{
	uint64_t limits[4] = {32000, 1024000000, 500, 32000};

	if (l->sem != NULL)
		return l->sem;
	l->sem = calloc(1, sizeof(*l->sem));
	if (l->sem == NULL)
		return NULL;
	pg_ipc_limits("sem", limits, 4);
	l->sem->most_in_set = limits[0];
	l->sem->most = limits[1];
	l->sem->most_ops = limits[2];
	l->sem->most_sets = limits[3] < PG_IPC_ID_STEP ? limits[3] : PG_IPC_ID_STEP;
	return l->sem;
}

static struct set *find(struct pg_linux *l, int id)
{
	return id >= 0 && l->sem != NULL ? (struct set *)pg_ipc_by_id(&l->sem->ids, id) : NULL;
}

/* --- trying, waking ---------------------------------------------------------------------------------------- */

/* Puts back what the operations before `n` did. */
static void take_back(struct set *g, struct pg_sem_undo *u, const struct sembuf *ops, unsigned n)
{
	while (n-- > 0) {
		struct semaphore *s = &g->sem[ops[n].sem_num];

		s->value = (uint16_t)(s->value - ops[n].sem_op);
		if (ops[n].sem_flg & SEM_UNDO)
			u->by[ops[n].sem_num] = (int16_t)(u->by[ops[n].sem_num] + ops[n].sem_op);
	}
}

/* Carries w out as a whole: 0; WAITS, with w->blocking set; or -EAGAIN, -ERANGE. Otherwise nothing has changed. */
static int try(struct set *g, struct waiter *w)
{
	int r = 0;
	unsigned i;

	for (i = 0; i < w->count && r == 0; i++) {
		const struct sembuf *op = &w->ops[i];
		struct semaphore *s = &g->sem[op->sem_num];
		int value = s->value + op->sem_op, undo = 0;

		if (op->sem_flg & SEM_UNDO)
			undo = w->undo->by[op->sem_num] - op->sem_op;
		if ((op->sem_op == 0 && s->value != 0) || value < 0) {
			w->blocking = i;
			r = op->sem_flg & IPC_NOWAIT ? -EAGAIN : WAITS;
		} else if (value > VALUE_MOST || undo < -VALUE_MOST - 1 || undo > VALUE_MOST) {
			r = -ERANGE;
		} else {
			if (op->sem_flg & SEM_UNDO)
				w->undo->by[op->sem_num] = (int16_t)undo;
			s->value = (uint16_t)value;
		}
	}
	if (r != 0) {
		take_back(g, w->undo, w->ops, i - 1);
		return r;
	}
	for (i = 0; i < w->count; i++)
		g->sem[w->ops[i].sem_num].pid = w->thread->proc->pid;
	return 0;
}

static void end_waiting(struct waiter **at, int result)
{
	struct waiter *w = *at;

	*at = w->next;
	w->over = true;
	w->result = result;
	pg_thread_wake(w->thread);
}

/* One walk along those that wait: whether one that changed a value was carried out. */
static bool walk(struct set *g, bool alters, bool *done)
{
	for (struct waiter **at = &g->waiters; *at != NULL;) {
		struct waiter *w = *at;
		int r = w->alters == alters ? try(g, w) : WAITS;

		if (r == WAITS) {
			at = &w->next;
			continue;
		}
		end_waiting(at, r);
		*done = *done || r == 0;
		if (r == 0 && alters)
			return true;
	}
	return false;
}

/* A value has changed: everything that can be carried out now is. Notes the time if anything was, or `changed` by semop. */
static void settle(struct set *g, bool changed)
{
	bool done = changed;

	do
		walk(g, false, &done);
	while (walk(g, true, &done));
	if (done)
		g->otime = (uint64_t)time(NULL);
}

/* --- undos ----------------------------------------------------------------------------------------------------- */

static struct pg_sem_undos *undos_of(struct pg_thread *me)
{
	if (me->undos == NULL) {
		me->undos = calloc(1, sizeof(*me->undos));
		if (me->undos != NULL)
			me->undos->users = 1;
	}
	return me->undos;
}

/* The caller's undos for the set, all 0 at first. NULL: no memory. */
static struct pg_sem_undo *undo_of(struct pg_thread *me, struct set *g)
{
	struct pg_sem_undos *list = undos_of(me);
	struct pg_sem_undo *u = list != NULL ? list->first : NULL;

	while (u != NULL && u->set != g)
		u = u->next_of_list;
	if (u != NULL || list == NULL)
		return u;
	u = calloc(1, sizeof(*u) + g->count * sizeof(u->by[0]));
	if (u == NULL)
		return NULL;
	*u = (struct pg_sem_undo){
		.set = g, .list = list, .next_of_set = g->undos, .next_of_list = list->first};
	g->undos = list->first = u;
	return u;
}

int pg_sem_share(struct pg_thread *from, struct pg_thread *to)
{
	struct pg_sem_undos *list = undos_of(from);

	if (list == NULL)
		return -ENOMEM;
	list->users++;
	to->undos = list;
	return 0;
}

static void apply(struct pg_sem_undo *u, int pid)
{
	struct set *g = u->set;
	struct pg_sem_undo **at = &g->undos;

	while (*at != u)
		at = &(*at)->next_of_set;
	*at = u->next_of_set;
	for (unsigned i = 0; i < g->count; i++) {
		int value = g->sem[i].value + u->by[i];

		if (u->by[i] == 0)
			continue;
		/* What another process took meanwhile cannot be given back whole: as Linux, as much as goes. */
		g->sem[i].value = (uint16_t)(value < 0            ? 0
					     : value > VALUE_MOST ? VALUE_MOST
								  : value);
		g->sem[i].pid = pid;
	}
	settle(g, true);
}

void pg_sem_leave(struct pg_thread *t)
{
	struct pg_sem_undos *list = t->undos;

	t->undos = NULL;
	if (list == NULL || --list->users != 0)
		return;
	while (list->first != NULL) {
		struct pg_sem_undo *u = list->first;

		list->first = u->next_of_list;
		if (u->set != NULL)
			apply(u, t->proc->pid);
		free(u);
	}
	free(list);
}

/* --- sets -------------------------------------------------------------------------------------------------------- */

static void set_free(struct pg_linux *l, struct set *g)
{
	for (struct pg_sem_undo *u = g->undos; u != NULL; u = u->next_of_set)
		u->set = NULL;
	while (g->waiters != NULL)
		end_waiting(&g->waiters, -EIDRM);
	pg_ipc_remove(&l->sem->ids, &g->ipc);
	l->sem->semaphores -= g->count;
	free(g);
}

void pg_sem_end(struct pg_linux *l)
{
	while (l->sem != NULL && l->sem->ids.first != NULL)
		set_free(l, (struct set *)l->sem->ids.first);
	free(l->sem);
	l->sem = NULL;
}

int64_t pg_sys_semget(struct pg_thread *me, const uint64_t *a)
{
	struct pg_sem *t = table_of(me->machine);
	int key = (int)a[0], n = (int)a[1], flags = (int)a[2], err;
	struct pg_ipc_object *found;
	struct set *g;

	if (t == NULL)
		return -ENOMEM;
	if (n < 0 || (unsigned)n > t->most_in_set)
		return -EINVAL;
	err = pg_ipc_get(&t->ids, key, flags, &found);
	if (err != 0)
		return err;
	if (found != NULL) {
		if ((unsigned)n > ((struct set *)found)->count)
			return -EINVAL;
		return pg_ipc_permitted(found, flags) ? found->id : -EACCES;
	}
	if (n == 0)
		return -EINVAL;
	if (t->semaphores + (unsigned)n > t->most)
		return -ENOSPC;
	g = calloc(1, sizeof(*g) + (unsigned)n * sizeof(g->sem[0]));
	if (g == NULL)
		return -ENOMEM;
	err = pg_ipc_add(&t->ids, &g->ipc, key, flags, (int)t->most_sets);
	if (err != 0) {
		free(g);
		return err;
	}
	g->count = (unsigned)n;
	g->ctime = (uint64_t)time(NULL);
	t->semaphores += (unsigned)n;
	return g->ipc.id;
}

/* --- semop --------------------------------------------------------------------------------------------------------- */

/* Sleeps until somebody carried it out or removed the set, a signal came or the time is over: the call's result. */
static int64_t wait_for(struct pg_thread *me, struct set *g, struct waiter *w, uint64_t until)
{
	const int id = g->ipc.id;
	struct waiter **at = &g->waiters;

	while (*at != NULL)
		at = &(*at)->next;
	*at = w;
	while (!w->over) {
		int r = 0;

		if (until != FOREVER && pg_host_clock_ns(CLOCK_MONOTONIC) >= until)
			r = -EAGAIN;
		else if (pg_signal_waiting(me))
			r = -EINTR;
		if (r != 0) {
			g = find(me->machine, id); /* it is there: else this would be over */
			for (at = &g->waiters; *at != w;)
				at = &(*at)->next;
			*at = w->next;
			return r;
		}
		pg_thread_sleep(me, until);
	}
	return w->result;
}

/* What w needs besides its operations: 0, with w->undo and w->alters set; or an error. */
static int prepare(struct pg_thread *me, struct set *g, struct waiter *w)
{
	bool undos = false;
	unsigned most = 0;

	for (unsigned i = 0; i < w->count; i++) {
		most = w->ops[i].sem_num > most ? w->ops[i].sem_num : most;
		undos = undos || (w->ops[i].sem_flg & SEM_UNDO);
		w->alters = w->alters || w->ops[i].sem_op != 0;
	}
	if (most >= g->count)
		return -EFBIG;
	if (!pg_ipc_permitted(&g->ipc, w->alters ? 0222 : 0444))
		return -EACCES;
	w->undo = undos ? undo_of(me, g) : NULL;
	return undos && w->undo == NULL ? -ENOMEM : 0;
}

static int64_t operate(struct pg_thread *me, int id, uint64_t va, uint64_t n, uint64_t until)
{
	struct waiter w = {.thread = me, .count = (unsigned)n};
	struct sembuf *ops;
	struct set *g;
	int64_t r = 0;

	if (n < 1 || id < 0)
		return -EINVAL;
	ops = malloc(n * sizeof(*ops));
	if (ops == NULL)
		return -ENOMEM;
	w.ops = ops;
	if (pg_guest_read(me, ops, va, n * sizeof(*ops)) != 0)
		r = -EFAULT;
	g = r == 0 ? find(me->machine, id) : NULL;
	if (r == 0)
		r = g != NULL ? prepare(me, g, &w) : -EINVAL;
	if (r == 0) {
		r = try(g, &w);
		if (r == WAITS)
			r = wait_for(me, g, &w, until);
		else if (r == 0 && w.alters)
			settle(g, true);
		else if (r == 0)
			g->otime = (uint64_t)time(NULL);
	}
	free(ops);
	return r;
}

static int64_t semop_until(struct pg_thread *me, const uint64_t *a, uint64_t timeout_va)
{
	struct pg_sem *t = table_of(me->machine);
	unsigned n = (unsigned)a[2];
	uint64_t until = FOREVER, ns;
	int err = 0;

	if (t == NULL)
		return -ENOMEM;
	if (timeout_va != 0)
		err = pg_guest_duration(me, timeout_va, &ns);
	if (err == -EFAULT)
		return err;
	if (n > t->most_ops)
		return -E2BIG;
	if (err != 0)
		return err;
	if (timeout_va != 0)
		until = pg_host_clock_ns(CLOCK_MONOTONIC) + ns;
	return operate(me, (int)a[0], a[1], n, until);
}

int64_t pg_sys_semop(struct pg_thread *me, const uint64_t *a)
{
	return semop_until(me, a, 0);
}

int64_t pg_sys_semtimedop(struct pg_thread *me, const uint64_t *a)
{
	return semop_until(me, a, a[3]);
}

/* --- semctl -------------------------------------------------------------------------------------------------------- */

/* How many wait for semaphore n to become 0, or to grow. */
static int64_t waiting(const struct set *g, unsigned n, bool zero)
{
	int64_t sum = 0;

	for (const struct waiter *w = g->waiters; w != NULL; w = w->next) {
		const struct sembuf *op = &w->ops[w->blocking];

		sum += op->sem_num == n && (op->sem_op == 0) == zero;
	}
	return sum;
}

static void forget_undos(struct set *g, unsigned from, unsigned to)
{
	for (struct pg_sem_undo *u = g->undos; u != NULL; u = u->next_of_set)
		for (unsigned i = from; i < to; i++)
			u->by[i] = 0;
}

static int64_t set_value(struct pg_thread *me, struct set *g, int n, int value)
{
	if (value < 0 || value > VALUE_MOST)
		return -ERANGE;
	if (g == NULL || n < 0 || (unsigned)n >= g->count)
		return -EINVAL;
	if (!pg_ipc_permitted(&g->ipc, 0222))
		return -EACCES;
	forget_undos(g, (unsigned)n, (unsigned)n + 1);
	g->sem[n].value = (uint16_t)value;
	g->sem[n].pid = me->proc->pid;
	g->ctime = (uint64_t)time(NULL);
	settle(g, false);
	return 0;
}

/* GETALL and SETALL: an array of 16-bit values. */
static int64_t all_values(struct pg_thread *me, struct set *g, uint64_t va, bool write)
{
	uint16_t *v = malloc(g->count * sizeof(*v));
	uint64_t bytes = g->count * sizeof(*v);
	int64_t r = 0;

	if (v == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < g->count; i++)
		v[i] = g->sem[i].value;
	if (!write) {
		r = pg_guest_write(me, va, v, bytes) != 0 ? -EFAULT : 0;
		free(v);
		return r;
	}
	if (pg_guest_read(me, v, va, bytes) != 0)
		r = -EFAULT;
	for (unsigned i = 0; i < g->count && r == 0; i++)
		r = v[i] > VALUE_MOST ? -ERANGE : 0;
	for (unsigned i = 0; i < g->count && r == 0; i++) {
		g->sem[i].value = v[i];
		g->sem[i].pid = me->proc->pid;
	}
	if (r == 0) {
		forget_undos(g, 0, g->count);
		g->ctime = (uint64_t)time(NULL);
		settle(g, false);
	}
	free(v);
	return r;
}

static int64_t look(struct pg_thread *me, struct set *g, int n, int command, uint64_t arg)
{
	if (g == NULL)
		return -EINVAL;
	if (!pg_ipc_permitted(&g->ipc, command == SETALL ? 0222 : 0444))
		return -EACCES;
	if (command == GETALL || command == SETALL)
		return all_values(me, g, arg, command == SETALL);
	if (n < 0 || (unsigned)n >= g->count)
		return -EINVAL;
	switch (command) {
	case GETVAL:
		return g->sem[n].value;
	case GETPID:
		return g->sem[n].pid;
	default:
		return waiting(g, (unsigned)n, command == GETZCNT);
	}
}

/* IPC_SET and IPC_RMID. */
static int64_t change(struct pg_thread *me, struct set *g, int command, uint64_t va)
{
	struct semid_ds in;
	int err = 0;

	if (command == IPC_SET && pg_guest_read(me, &in, va, sizeof(in)) != 0)
		return -EFAULT;
	if (g == NULL)
		return -EINVAL;
	if (!pg_ipc_owned(&g->ipc))
		return -EPERM;
	if (command == IPC_RMID) {
		set_free(me->machine, g);
		return 0;
	}
	err = pg_ipc_set(&g->ipc, &in.sem_perm);
	if (err == 0)
		g->ctime = (uint64_t)time(NULL);
	return err;
}

static int64_t put_stat(struct pg_thread *me, const struct set *g, int command, uint64_t va)
{
	struct semid_ds out = {0};

	if (g == NULL)
		return -EINVAL;
	if (command != SEM_STAT_ANY && !pg_ipc_permitted(&g->ipc, 0444))
		return -EACCES;
	out.sem_perm = g->ipc.perm;
	out.sem_otime = (time_t)g->otime;
	out.sem_ctime = (time_t)g->ctime;
	out.sem_nsems = g->count;
	if (pg_guest_write(me, va, &out, sizeof(out)) != 0)
		return -EFAULT;
	return command == IPC_STAT ? 0 : g->ipc.id;
}

static int64_t put_info(struct pg_thread *me, const struct pg_sem *t, int command, uint64_t va)
{
	struct seminfo out = {.semmni = (int)t->most_sets,
		.semmns = (int)t->most,
		.semmsl = (int)t->most_in_set,
		.semopm = (int)t->most_ops,
		.semvmx = VALUE_MOST,
		.semmnu = 1024000000,
		.semmap = 1024000000,
		.semume = 500,
		.semusz = STRUCT_UNDO,
		.semaem = VALUE_MOST};

	if (command == SEM_INFO) {
		out.semusz = t->ids.used;
		out.semaem = (int)t->semaphores;
	}
	if (pg_guest_write(me, va, &out, sizeof(out)) != 0)
		return -EFAULT;
	return pg_ipc_highest(&t->ids);
}

int64_t pg_sys_semctl(struct pg_thread *me, const uint64_t *a)
{
	struct pg_sem *t = table_of(me->machine);
	int id = (int)a[0], n = (int)a[1], command = (int)a[2];

	if (t == NULL)
		return -ENOMEM;
	if (id < 0)
		return -EINVAL;
	switch (command) {
	case IPC_INFO:
	case SEM_INFO:
		return put_info(me, t, command, a[3]);
	case IPC_STAT:
		return put_stat(me, find(me->machine, id), command, a[3]);
	case SEM_STAT:
	case SEM_STAT_ANY:
		return put_stat(me, (struct set *)pg_ipc_by_place(&t->ids, id), command, a[3]);
	case GETALL:
	case GETVAL:
	case GETPID:
	case GETNCNT:
	case GETZCNT:
	case SETALL:
		return look(me, find(me->machine, id), n, command, a[3]);
	case SETVAL:
		return set_value(me, find(me->machine, id), n, (int)a[3]);
	case IPC_SET:
	case IPC_RMID:
		return change(me, find(me->machine, id), command, a[3]);
	default:
		return -EINVAL;
	}
}

void pg_sem_list(struct pg_linux *l, FILE *out)
{
	fputs("       key      semid perms      nsems   uid   gid  cuid  cgid      otime      "
	      "ctime\n",
		out);
	for (const struct pg_ipc_object *o = l->sem != NULL ? l->sem->ids.first : NULL; o != NULL;
		o = o->next) {
		const struct set *g = (const struct set *)o;

		fprintf(out, "%10d %10d  %4o %10u %5u %5u %5u %5u %10llu %10llu\n", o->perm.__key,
			o->id, o->perm.mode, g->count, o->perm.uid, o->perm.gid, o->perm.cuid,
			o->perm.cgid, (unsigned long long)g->otime, (unsigned long long)g->ctime);
	}
}
