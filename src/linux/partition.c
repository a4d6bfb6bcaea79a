/* SPDX-License-Identifier: MIT */
/*
 * linux/partition.c: processes in contiguous blocks: who gets room when there is none, and what a scheduler may ask.
 *
 * Called by exec/block.c, jobs.c, linux.c, loop.c and process/fork.c, by space/ through the hooks of blocks, and by ui/ through
 * linux/partition.h. Calls space/block.h. Owns struct pg_partitions.
 *
 *   a process outgrows its block, forks, or execs -> on_room -> the scheduler's hook, or the policy below
 *   a thread touches memory that is swapped out   -> on_need -> sleeps until somebody brings it in, or does it itself
 *
 * The policy when there is no scheduler: blocks are slid down if --compact was given and that moves anything; else, with a store, the
 * process that has been in memory longest goes out, one whose threads all sleep before one that runs, and one that runs not before its
 * QUANTUM is over; else the request is refused.
 *
 * Not here: programs that a scheduler starts (jobs.c), the loading of one (exec/exec.c).
 */
#include "linux/partition.h"
#include "linux/machine/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUANTUM_NS 100000000u /* a process that was brought in runs at least so long */
#define A_MOMENT_NS 1000000u  /* to look again after: a transfer may be over */
#define HEAP_BYTES ((uint64_t)1 << 20)
#define STACK_BYTES ((uint64_t)128 << 10)

/* ---- who is who */

static struct pg_process *owner(const struct pg_linux *l, const struct pg_space *s)
{
	struct pg_process *p = l->processes;

	while (p != NULL && (p->mm == NULL || p->mm->space != s))
		p = p->next;
	/* the space of a program that is being loaded is nobody's yet */
	return p != NULL ? p : l->current != NULL ? l->current->proc : NULL;
}

static const char *name_of(const struct pg_linux *l, const struct pg_process *p)
{
	const char *path = l->partition->loading;

	if (path == NULL && p != NULL && p->mm != NULL)
		path = p->mm->exe;
	if (path == NULL)
		return "";
	return strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
}

static bool sleeps(const struct pg_process *p)
{
	for (const struct pg_thread *t = p->thread; t != NULL; t = t->next)
		if (!t->asleep && !t->in_host)
			return false;
	return true;
}

static bool is_to_end(const struct pg_thread *me)
{
	return me->must_end || me->proc->exiting;
}

/* ---- events */

static void tell(struct pg_linux *l, struct pg_partition_event *e)
{
	struct pg_partition_figures f;

	e->ns = pg_host_clock_ns(CLOCK_MONOTONIC) - l->start_ns;
	pg_partition_figures(pg_vm_partition(l->vm), &f);
	e->free_bytes = f.free << PG_PAGE_SHIFT;
	e->largest_hole_bytes = f.largest << PG_PAGE_SHIFT;
	e->blocks = f.blocks;
	e->holes = f.holes;
	if (l->partition->hooks.event != NULL)
		l->partition->hooks.event(l->partition->hooks.ctx, e);
}

static void on_event(void *ctx, const struct pg_block_event *b)
{
	struct pg_linux *l = ctx;
	struct pg_process *p = b->space != NULL ? owner(l, b->space) : NULL;
	struct pg_partition_event e = {.kind = b->kind,
		.pid = p != NULL ? p->pid : 0,
		.name = name_of(l, p),
		.base = b->base << PG_PAGE_SHIFT,
		.bytes = b->pages << PG_PAGE_SHIFT,
		.was_base = b->was_base << PG_PAGE_SHIFT,
		.was_bytes = b->was_pages << PG_PAGE_SHIFT,
		.copied_bytes = b->copied_pages << PG_PAGE_SHIFT,
		.address = b->address};

	if (b->kind == PG_BLOCK_FORK) { /* the child has no number yet */
		l->partition->forked = e;
		l->partition->fork_waits = true;
		return;
	}
	if (p != NULL && p->mm != NULL &&
		(b->kind == PG_BLOCK_SWAP_IN || b->kind == PG_BLOCK_PLACE))
		p->mm->in_since = pg_host_clock_ns(CLOCK_MONOTONIC);
	tell(l, &e);
}

void pg_partition_forked(struct pg_linux *l, struct pg_process *child)
{
	if (l->partition == NULL || !l->partition->fork_waits)
		return;
	l->partition->fork_waits = false;
	l->partition->forked.pid = child->pid;
	l->partition->forked.name = name_of(l, child);
	child->mm->in_since = pg_host_clock_ns(CLOCK_MONOTONIC);
	tell(l, &l->partition->forked);
}

/* ---- the policy */

/* Whom to swap out for me; NULL: nobody, and then *pinned: somebody could be in a moment. */
static struct pg_process *victim(struct pg_linux *l, const struct pg_space *me, bool *pinned)
{
	struct pg_process *best = NULL;
	bool best_sleeps = false;

	for (struct pg_process *p = l->processes; p != NULL; p = p->next) {
		struct pg_block_info i;
		bool asleep;

		if (p->mm == NULL || p->state == PG_ZOMBIE || p->mm->space == me ||
			!pg_block_info(p->mm->space, &i) || !i.placed)
			continue;
		if (i.pins != 0) {
			*pinned = true;
			continue;
		}
		asleep = sleeps(p);
		if (best == NULL || (asleep && !best_sleeps) ||
			(asleep == best_sleeps && p->mm->in_since < best->mm->in_since)) {
			best = p;
			best_sleeps = asleep;
		}
	}
	return best;
}

/* A program that is made ready holds its block already, while its thread waits for another: that one may go too. */
static struct pg_space *loading_victim(struct pg_linux *l, const struct pg_space *me)
{
	for (struct pg_process *p = l->processes; p != NULL; p = p->next)
		for (struct pg_thread *t = p->thread; t != NULL; t = t->next) {
			struct pg_block_info i;

			if (t->loading != NULL && t->loading != me &&
				pg_block_info(t->loading, &i) && i.placed && i.pins == 0)
				return t->loading;
		}
	return NULL;
}

/* Swaps somebody out for `me`, waiting for the end of a quantum if need be. */
static bool swap_somebody_out(struct pg_linux *l, const struct pg_space *me)
{
	bool pinned = false;
	struct pg_process *p = victim(l, me, &pinned);

	if (p == NULL && pinned && l->current != NULL) {
		pg_thread_sleep(l->current, pg_host_clock_ns(CLOCK_MONOTONIC) + A_MOMENT_NS);
		return !is_to_end(l->current);
	}
	if (p == NULL) {
		struct pg_space *s = loading_victim(l, me);

		return s != NULL && pg_block_swap_out(s, l->partition->o.store) == 0;
	}
	if (!sleeps(p) && l->current != NULL) {
		uint64_t now = pg_host_clock_ns(CLOCK_MONOTONIC);

		if (now < p->mm->in_since + QUANTUM_NS) {
			pg_thread_sleep(l->current, p->mm->in_since + QUANTUM_NS);
			return !is_to_end(l->current); /* look again: much may have changed */
		}
	}
	return pg_block_swap_out(p->mm->space, l->partition->o.store) == 0;
}

/* Makes room, or makes some progress towards it. */
static bool make_room(struct pg_linux *l, const struct pg_space *me, uint64_t pages)
{
	struct pg_partition_figures f;

	pg_partition_figures(pg_vm_partition(l->vm), &f);
	if (l->partition->o.compact && f.free >= pages && pg_block_compact(l->vm, NULL) != 0)
		return true;
	return l->partition->o.store != NULL && swap_somebody_out(l, me);
}

static bool on_room(void *ctx, struct pg_space *s, uint64_t pages, enum pg_block_want what)
{
	struct pg_linux *l = ctx;
	const struct pg_partition_hooks *h = &l->partition->hooks;
	struct pg_thread *me = l->current;
	struct pg_block_info i;

	if (l->partition->spawning || me == NULL || is_to_end(me))
		return false;
	if (what == PG_WANT_GROWTH && pg_block_info(s, &i) && i.pins != 0) {
		/* another thread's transfer: it cannot move until that is over */
		pg_thread_sleep(me, pg_host_clock_ns(CLOCK_MONOTONIC) + A_MOMENT_NS);
		return !is_to_end(me);
	}
	if (h->room != NULL)
		return h->room(h->ctx, me->proc->pid, pages << PG_PAGE_SHIFT, what);
	return make_room(l, s, pages);
}

/* The block of a thread's process is back, or will never be. */
static bool on_need(void *ctx, struct pg_space *s)
{
	struct pg_linux *l = ctx;
	const struct pg_partition_hooks *h = &l->partition->hooks;
	struct pg_thread *me = l->current;
	struct pg_process *p = owner(l, s);
	struct pg_block_info i;
	int err;

	if (me == NULL || is_to_end(me))
		return false;
	if (h->ready != NULL) {
		h->ready(h->ctx, p->pid);
		while (!is_to_end(me) && pg_block_info(s, &i) && i.out) {
			me->in_need = true;
			pg_thread_sleep(me, UINT64_MAX);
			me->in_need = false;
		}
		return !is_to_end(me);
	}
	err = pg_block_swap_in(s);
	if (err == 0 || err == -EALREADY)
		return true;
	if (err == -ENOSPC && pg_block_info(s, &i)) {
		/* nobody can go now: whoever has the memory ends, or waits for something, some day */
		if (!make_room(l, s, i.wanted_pages))
			pg_thread_sleep(me, pg_host_clock_ns(CLOCK_MONOTONIC) + A_MOMENT_NS);
		return !is_to_end(me);
	}
	pg_process_killed(p, me, SIGBUS); /* its bytes are lost */
	return false;
}

/* ---- for the other files of linux/ */

int pg_partitions_create(struct pg_linux *l, const struct pg_partition_options *o)
{
	const struct pg_block_hooks hooks = {
		.ctx = l, .event = on_event, .room = on_room, .need = on_need};
	struct pg_partitions *p;

	if (o == NULL)
		return pg_vm_partition(l->vm) == NULL ? 0 : -EINVAL;
	if (pg_vm_partition(l->vm) == NULL)
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	p->o = *o;
	if (p->o.heap_bytes == 0)
		p->o.heap_bytes = HEAP_BYTES;
	if (p->o.stack_bytes == 0)
		p->o.stack_bytes = STACK_BYTES;
	l->partition = p;
	pg_vm_set_block_hooks(l->vm, &hooks);
	return 0;
}

void pg_partitions_destroy(struct pg_linux *l)
{
	const struct pg_block_hooks none = {0};

	if (l->partition == NULL)
		return;
	pg_vm_set_block_hooks(l->vm, &none);
	free(l->partition);
	l->partition = NULL;
}

void pg_partition_turn(struct pg_thread *me)
{
	const struct pg_partition_hooks *h = &me->machine->partition->hooks;

	if (h->turn != NULL)
		h->turn(h->ctx, me->proc->pid);
}

/* ---- for a scheduler */

void pg_partition_set_hooks(struct pg_linux *l, const struct pg_partition_hooks *h)
{
	PG_ASSERT(l->partition != NULL);
	l->partition->hooks = *h;
}

void pg_partition_lock(struct pg_linux *l)
{
	pg_lock_take(l, NULL);
}

void pg_partition_unlock(struct pg_linux *l)
{
	pg_lock_give(l);
}

bool pg_partition_sleep(struct pg_linux *l)
{
	struct pg_thread *me = l->current;

	if (me == NULL || is_to_end(me))
		return false;
	me->in_need = true;
	pg_thread_sleep(me, UINT64_MAX);
	me->in_need = false;
	return !is_to_end(me);
}

void pg_partition_wake(struct pg_linux *l)
{
	for (struct pg_process *p = l->processes; p != NULL; p = p->next)
		for (struct pg_thread *t = p->thread; t != NULL; t = t->next)
			if (t->in_need)
				pg_thread_rouse(t);
}

uint64_t pg_partition_clock(struct pg_linux *l)
{
	struct pg_cpu_stats s;

	if (l->ops->totals == NULL)
		return 0;
	l->ops->totals(l->engine, &s);
	return s.instructions;
}

static struct pg_space *space_of(struct pg_linux *l, int pid)
{
	struct pg_process *p = pg_process_find(l, pid);

	return p != NULL && p->state != PG_ZOMBIE && p->mm != NULL ? p->mm->space : NULL;
}

int pg_partition_swap_out(struct pg_linux *l, int pid)
{
	struct pg_space *s = space_of(l, pid);

	if (s == NULL)
		return -ESRCH;
	return l->partition->o.store != NULL ? pg_block_swap_out(s, l->partition->o.store)
					     : -ENOSPC;
}

int pg_partition_swap_in(struct pg_linux *l, int pid)
{
	struct pg_space *s = space_of(l, pid);
	int err;

	if (s == NULL)
		return -ESRCH;
	err = pg_block_swap_in(s);
	if (err == 0)
		pg_partition_wake(l);
	return err;
}

int pg_partition_kill(struct pg_linux *l, int pid)
{
	struct pg_process *p = pg_process_find(l, pid);

	if (p == NULL || p->state == PG_ZOMBIE)
		return -ESRCH;
	pg_process_killed(p, NULL, SIGKILL);
	return 0;
}

unsigned pg_partition_compact(struct pg_linux *l, uint64_t *bytes)
{
	uint64_t pages = 0;
	unsigned n = pg_block_compact(l->vm, &pages);

	if (bytes != NULL)
		*bytes = pages << PG_PAGE_SHIFT;
	return n;
}

int pg_partition_info(struct pg_linux *l, int pid, struct pg_block_info *out)
{
	struct pg_space *s = space_of(l, pid);

	return s != NULL && pg_block_info(s, out) ? 0 : -ESRCH;
}

void pg_partition_figures_of(struct pg_linux *l, struct pg_partition_figures *f)
{
	pg_partition_figures(pg_vm_partition(l->vm), f);
}
