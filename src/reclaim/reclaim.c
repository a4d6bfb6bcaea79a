/* SPDX-License-Identifier: MIT */
/*
 * reclaim/reclaim.c: which pages are known to the policy, when frames are freed, and what the policy may ask.
 *
 * Called by space/ through struct pg_pageout and by the upper floors (reclaim.h). Calls pageout.c (how a page goes), pagein.c
 * (how it comes back), the policy, space/pages.c. Owns the policy, the state of each frame and the ghosts of evicted pages.
 *
 * Watermarks, as in Linux: there is no background thread in a machine that must repeat exactly, so what kswapd would do is done at the
 * beginning of the next fault. Below `low` free frames pages are evicted until `high` are free; below `min` the same, but it
 * counts as waited for. Only there, where nothing is looked up yet, may the machine lock be released and dirty pages of
 * files be written; in the middle of a fault or call (make_room) clean pages are dropped and private ones written to the store.
 *
 * A page is known to the policy from when it comes to its frame. Pages that turn out to be locked are taken from it and held until
 * they are unlocked (Linux's unevictable list); private ones for which there is no slot, until slots are given back. Reclaim
 * that finds nothing is not repeated at each fault: after n failures in a row 2^n - 1 faults pass without it, so that a
 * machine full of locked pages comes to its end soon. Only a fault that finds no frame at all always tries, and is the end if
 * a look at every page frees none. The PG_RECENT pages that were asked for last are
 * kept whatever the policy says: an instruction and all that it touches must fit in memory at once.
 *
 * Invariants: R1 to R3 (impl.h).
 */
#include "reclaim/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* Queues of r->held. */
enum { HELD_LOCKED, HELD_NO_ROOM, HELD_ASIDE, HELD_QUEUES };

#define MAX_FAILURES 8 /* in a row that are counted: at most 255 faults pass without reclaim */

uint64_t pg_reclaim_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct pg_unlocked pg_reclaim_unlock(struct pg_reclaim *r)
{
	struct pg_unlocked u = {.fault = r->faulting, .direct = r->direct};

	r->direct = false;
	if (r->hooks.unlock)
		u.token = r->hooks.unlock(r->hooks.ctx);
	return u;
}

void pg_reclaim_lock(struct pg_reclaim *r, struct pg_unlocked u)
{
	if (r->hooks.unlock)
		r->hooks.lock(r->hooks.ctx, u.token);
	r->faulting = u.fault; /* others had their faults meanwhile */
	r->direct = u.direct;
}

/* The living space with this number, or NULL. */
static struct pg_space *space_numbered(const struct pg_reclaim *r, uint32_t number)
{
	struct pg_space *s = r->vm->spaces;

	while (s && s->number != number)
		s = s->next;
	return s;
}

/* ---- what the policy may ask */

static bool env_accessed(void *ctx, pg_pfn f)
{
	struct pg_reclaim *r = ctx;
	bool any = false;

	r->st.scanned++;
	r->st.scanned_direct += r->direct;
	if (r->faulting)
		r->faulting->cost.scanned++;
	for (struct pg_rmap *m = pg_frames_row(r->frames, f)->rmap; m; m = m->next) {
		struct pg_space *s = m->space;

		if (s->form->update(s->table, m->vpn, 0, PG_PTE_A) & PG_PTE_A) {
			pg_pages_invalidate(s, m->vpn.v, m->vpn.v + 1);
			any = true;
		}
	}
	return any;
}

static bool is_dirty(const struct pg_reclaim *r, pg_pfn f)
{
	const struct pg_frame *row = pg_frames_row(r->frames, f);

	if (row->flags & PG_FRAME_DIRTY)
		return true;
	if (row->state == PG_FRAME_ANON) {
		if (pg_slot_is_none(((struct pg_anon *)row->owner)->slot))
			return true;
	} else if (!((struct pg_object *)row->owner)->pager) {
		return true;
	}
	for (struct pg_rmap *m = row->rmap; m; m = m->next) {
		struct pg_space *s = m->space;

		if (pg_table_find(s->table, m->vpn) & PG_PTE_D)
			return true;
	}
	return false;
}

static bool env_dirty(void *ctx, pg_pfn f)
{
	return is_dirty(ctx, f);
}

static uint64_t env_capacity(void *ctx)
{
	const struct pg_reclaim *r = ctx;

	return r->policy->ops->pages(r->policy) + pg_frames_free_count(r->frames);
}

/* ---- pages come and go */

struct pg_page_key pg_reclaim_key(const struct pg_frame *row)
{
	if (row->state == PG_FRAME_ANON)
		return (struct pg_page_key){0, ((struct pg_anon *)row->owner)->number};
	return (struct pg_page_key){((struct pg_object *)row->owner)->number, row->index};
}

/* True if the page could be evicted by this machine at all. */
static bool evictable(const struct pg_reclaim *r, const struct pg_frame *row)
{
	if (!row->owner)
		return false;
	if (row->state == PG_FRAME_CACHE && ((struct pg_object *)row->owner)->pager)
		return true;
	return r->store && (row->state == PG_FRAME_CACHE || row->state == PG_FRAME_ANON);
}

static uint64_t unhold_for_room(struct pg_reclaim *r, uint64_t least);

static void tick(struct pg_reclaim *r)
{
	if (++r->filled % (r->total / 8) != 0)
		return;
	if (r->policy->ops->tick)
		r->policy->ops->tick(r->policy);
	unhold_for_room(r, PG_BATCH);
}

/* The page was read ahead. */
static void note_ahead(struct pg_reclaim *r, struct pg_page_state *p, const struct pg_frame *row)
{
	bool file = row->state == PG_FRAME_CACHE;

	p->ahead = file ? PG_AHEAD_FILE : PG_AHEAD_SWAP;
	*(file ? &r->st.file_ahead : &r->st.swap_ahead) += 1;
	p->reader = 0;
	if (!r->faulting)
		return;
	p->reader = r->faulting->space->number;
	r->faulting->cost.ahead++;
	*(file ? &r->faulting->space->st.file_ahead : &r->faulting->space->st.swap_ahead) += 1;
}

/* A page that was read ahead was asked for, or is gone: its frame may be free already. */
static void ahead_over(struct pg_reclaim *r, pg_pfn f, bool used)
{
	bool file = r->pages[f.v].ahead == PG_AHEAD_FILE;
	struct pg_space *s = space_numbered(r, r->pages[f.v].reader);

	r->pages[f.v].ahead = PG_AHEAD_NOT;
	if (used)
		*(file ? &r->st.file_ahead_used : &r->st.swap_ahead_used) += 1;
	else
		*(file ? &r->st.file_ahead_wasted : &r->st.swap_ahead_wasted) += 1;
	r->swap_hits += used && !file;
	if (s && used)
		*(file ? &s->st.file_ahead_used : &s->st.swap_ahead_used) += 1;
	else if (s)
		*(file ? &s->st.file_ahead_wasted : &s->st.swap_ahead_wasted) += 1;
}

void pg_reclaim_page_in(void *ctx, pg_pfn f, enum pg_page_in how)
{
	struct pg_reclaim *r = ctx;
	struct pg_page_state *p = &r->pages[f.v];
	const struct pg_frame *row = pg_frames_row(r->frames, f);
	struct pg_page_info info = {.distance = PG_DISTANCE_NONE};
	struct pg_fault_event *e = r->faulting;
	bool file = row->state == PG_FRAME_CACHE && ((struct pg_object *)row->owner)->pager;
	uint64_t then;

	if (p->at != PG_AT_NONE || !evictable(r, row))
		return;
	info.key = pg_reclaim_key(row);
	info.why = how == PG_IN_DEMAND ? PG_PAGE_DEMAND : PG_PAGE_READAHEAD;
	if (pg_ghosts_take(&r->ghosts, info.key, &then))
		info.distance = r->clock - then;
	if (p->back || info.distance != PG_DISTANCE_NONE) {
		r->st.refaults++;
		r->st.refaults_near += info.distance <= r->total;
		r->st.refaults_file += file;
		if (e)
			e->cost.refaults++;
	}
	pg_reclaim_note_in(r, info.distance <= r->total);
	*p = (struct pg_page_state){.at = PG_AT_POLICY};
	p->asked = how == PG_IN_DEMAND ? ++r->demands : r->demands - PG_RECENT;
	if (how == PG_IN_READAHEAD)
		note_ahead(r, p, row);
	r->policy->ops->added(r->policy, f, &info);
	tick(r);
}

/* The policy knows the page. */
static bool in_policy(const struct pg_page_state *p)
{
	return p->at == PG_AT_POLICY || p->at == PG_AT_PICKED || p->at == PG_AT_ASIDE;
}

static void page_used(void *ctx, pg_pfn f)
{
	struct pg_reclaim *r = ctx;
	struct pg_page_state *p = &r->pages[f.v];

	if (p->at == PG_AT_NONE)
		return;
	if (p->ahead)
		ahead_over(r, f, true);
	p->asked = ++r->demands;
	if (in_policy(p) && r->policy->ops->touched)
		r->policy->ops->touched(r->policy, f);
}

/* The page of f is known no more. */
static void unknow(struct pg_reclaim *r, pg_pfn f)
{
	struct pg_page_state *p = &r->pages[f.v];

	if (p->ahead)
		ahead_over(r, f, false);
	if (p->at == PG_AT_LOCKED || p->at == PG_AT_NO_ROOM || p->at == PG_AT_ASIDE)
		pg_lists_forget(&r->held, f);
	*p = (struct pg_page_state){0};
}

static void page_gone(void *ctx, pg_pfn f)
{
	struct pg_reclaim *r = ctx;
	const struct pg_page_state *p = &r->pages[f.v];

	r->pages[f.v].back = 0;
	if (p->at == PG_AT_NONE || p->leaves)
		return;
	if (in_policy(p))
		r->policy->ops->removed(r->policy, f);
	unknow(r, f);
}

void pg_reclaim_went(struct pg_reclaim *r, pg_pfn f, struct pg_page_key key)
{
	if (r->pages[f.v].at == PG_AT_PICKED)
		r->policy->ops->evicted(r->policy, f, key);
	unknow(r, f);
	pg_ghosts_push(&r->ghosts, key, r->clock++);
	r->st.reclaimed++;
	r->st.reclaimed_direct += r->direct;
	if (r->faulting)
		r->faulting->cost.reclaimed++;
}

/* Tells the policy of a page that it does not know (any more). */
static void give_back(struct pg_reclaim *r, pg_pfn f)
{
	struct pg_page_info info = {
		.key = pg_reclaim_key(pg_frames_row(r->frames, f)),
		.why = PG_PAGE_RETURN,
		.distance = PG_DISTANCE_NONE,
	};

	r->pages[f.v].at = PG_AT_POLICY;
	r->policy->ops->added(r->policy, f, &info);
}

void pg_reclaim_stays(struct pg_reclaim *r, pg_pfn f)
{
	r->st.kept++;
	if (r->pages[f.v].at == PG_AT_TAKEN) {
		give_back(r, f);
		return;
	}
	r->pages[f.v].at = PG_AT_ASIDE;
	pg_lists_know(&r->held, f);
	pg_lists_push(&r->held, HELD_ASIDE, f);
}

void pg_reclaim_end_round(struct pg_reclaim *r)
{
	pg_pfn f;

	while (!pg_pfn_is_none(f = pg_lists_pop(&r->held, HELD_ASIDE))) {
		pg_lists_forget(&r->held, f);
		r->pages[f.v].at = PG_AT_POLICY;
		r->policy->ops->kept(r->policy, f);
	}
}

void pg_reclaim_hold(struct pg_reclaim *r, pg_pfn f, enum pg_at at)
{
	struct pg_page_state *p = &r->pages[f.v];

	if (p->at == PG_AT_PICKED)
		r->policy->ops->removed(r->policy, f);
	p->at = (uint8_t)at;
	pg_lists_know(&r->held, f);
	pg_lists_push(&r->held, at == PG_AT_LOCKED ? HELD_LOCKED : HELD_NO_ROOM, f);
}

static void page_unlocked(void *ctx, pg_pfn f)
{
	struct pg_reclaim *r = ctx;

	if (r->pages[f.v].at != PG_AT_LOCKED || pg_reclaim_locked(r, f))
		return;
	pg_lists_forget(&r->held, f);
	give_back(r, f);
}

/* At most n pages for which there was no slot are tried again; how many. */
static uint64_t unhold(struct pg_reclaim *r, uint64_t n)
{
	uint64_t done = 0;

	for (; done < n && r->held.q[HELD_NO_ROOM].count; done++) {
		pg_pfn f = pg_lists_head(&r->held, HELD_NO_ROOM);

		pg_lists_forget(&r->held, f);
		give_back(r, f);
	}
	return done;
}

/* As many as slots were given back since, and least if the store is not known to be full: the disk may have room again. */
static uint64_t unhold_for_room(struct pg_reclaim *r, uint64_t least)
{
	uint64_t n = r->slots_back;

	r->slots_back = 0;
	if (!r->swap_full && n < least)
		n = least;
	return unhold(r, n);
}

/* ---- when */

/* Frees up to n frames; pages for which there may be a slot now are tried too before it gives up. */
static uint64_t shrink(struct pg_reclaim *r, uint64_t n, bool may_release, uint64_t least)
{
	uint64_t got = pg_reclaim_shrink(r, n, may_release);

	if (!got && unhold_for_room(r, least))
		got = pg_reclaim_shrink(r, n, may_release);
	if (got < n)
		got += pg_reclaim_drop_zero(r);
	r->failures = got ? 0 : r->failures + (r->failures < MAX_FAILURES);
	r->rest = (1u << r->failures) - 1;
	return got;
}

/* The same, while somebody waits for it. */
static uint64_t shrink_now(struct pg_reclaim *r, uint64_t n, bool may_release, uint64_t least)
{
	struct pg_stall stall = pg_reclaim_stall_begin(r);
	bool was = r->direct;
	uint64_t got;

	r->st.runs_direct++;
	if (r->faulting)
		r->faulting->space->st.direct_reclaims++;
	r->direct = true;
	got = shrink(r, n, may_release, least);
	r->direct = was;
	pg_reclaim_stall_end(r, stall);
	return got;
}

static void before_fault(void *ctx, struct pg_fault_event *e)
{
	struct pg_reclaim *r = ctx;
	uint64_t free = pg_frames_free_count(r->frames);

	r->faulting = e;
	if (r->want_relief) {
		struct pg_stall stall = pg_reclaim_stall_begin(r);

		pg_reclaim_relieve(r);
		pg_reclaim_stall_end(r, stall);
	}
	if (free >= r->low)
		return;
	if (r->rest) {
		r->rest--;
	} else if (free < r->min) {
		shrink_now(r, r->high - free, true, 0);
	} else {
		r->st.runs_ahead++;
		shrink(r, r->high - free, true, 0);
	}
}

static bool rescue(void *ctx, struct pg_fault_event *e)
{
	struct pg_reclaim *r = ctx;

	/* If there are frames, it is not for frames. */
	return pg_frames_free_count(r->frames) < r->high &&
	       shrink_now(r, PG_BATCH, true, PG_BATCH) > 0;
}

static void after_fault(void *ctx, struct pg_fault_event *e)
{
	struct pg_space_stats *st = &e->space->st;
	const struct pg_fault_cost *c = &e->cost;
	struct pg_reclaim *r = ctx;

	r->faulting = NULL;
	pg_reclaim_note_zero(r, e);
	st->stall_ns += c->stall_ns;
	st->scanned += c->scanned;
	st->reclaimed += c->reclaimed;
	st->swap_in += c->swap_in;
	st->refaults += c->refaults;
}

static bool make_room(void *ctx)
{
	return shrink_now(ctx, PG_BATCH, false, PG_BATCH) > 0;
}

static struct pg_stall wait_begin(void *ctx, struct pg_object *o, uint64_t index)
{
	struct pg_reclaim *r = ctx;

	if (pg_ghosts_find(&r->ghosts, (struct pg_page_key){o->number, index}, NULL))
		return pg_reclaim_stall_begin(r);
	return (struct pg_stall){r->faulting, 0};
}

static void wait_end(void *ctx, struct pg_stall stall)
{
	struct pg_reclaim *r = ctx;

	r->faulting = stall.fault; /* others had their faults meanwhile */
	if (stall.began)
		pg_reclaim_stall_end(r, stall);
}

uint64_t pg_reclaim_free_frames(struct pg_reclaim *r, uint64_t n)
{
	return shrink(r, n, true, PG_BATCH);
}

/* ---- making and ending */

static uint64_t mark(const struct pg_reclaim *r, unsigned share, uint64_t least)
{
	uint64_t n = (uint64_t)r->total * share / 1024;

	return n > least ? n : least;
}

static const char *check(void *ctx)
{
	return pg_reclaim_check(ctx);
}

static void hand_down(struct pg_reclaim *r)
{
	const struct pg_pageout p = {
		.ctx = r,
		.before_fault = before_fault,
		.rescue = rescue,
		.after_fault = after_fault,
		.make_room = make_room,
		.wait_begin = wait_begin,
		.wait_end = wait_end,
		.page_in = pg_reclaim_page_in,
		.page_used = page_used,
		.page_unlocked = page_unlocked,
		.page_gone = page_gone,
		.anon_in = pg_reclaim_anon_in,
		.object_in = pg_reclaim_object_in,
		.object_cut = pg_reclaim_object_cut,
		.slot_peek = pg_reclaim_slot_peek,
		.slot_free = pg_reclaim_slots_free,
		.file_window = pg_reclaim_file_window,
		.evict = pg_reclaim_evict,
		.check = check,
	};

	pg_vm_set_pageout(r->vm, &p);
}

static const struct pg_policy_ops *policy_of(const struct pg_reclaim_config *c, const char **args)
{
	if (!c->own_policy)
		return c->policy ? pg_policy_find(c->policy, args) : pg_policies[0];
	*args = c->policy ? c->policy : "";
	return c->own_policy;
}

int pg_reclaim_create(struct pg_vm *vm, const struct pg_reclaim_config *c, struct pg_reclaim **out)
{
	const char *args = "";
	const struct pg_policy_ops *ops = policy_of(c, &args);
	struct pg_reclaim *r;
	int err = -ENOMEM;

	if (!ops)
		return -EINVAL;
	r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	r->vm = vm;
	r->frames = vm->frames;
	r->total = (uint32_t)pg_frames_total(vm->frames);
	r->store = c->store;
	r->hooks = c->hooks;
	r->min = mark(r, c->min_share ? c->min_share : 8, 4);
	r->low = mark(r, c->low_share ? c->low_share : 16, 8);
	r->high = mark(r, c->high_share ? c->high_share : 32, 16);
	r->swap_window = c->swap_window ? c->swap_window : 8;
	while (r->swap_window & (r->swap_window - 1))
		r->swap_window &= r->swap_window - 1;
	r->file_window = c->file_window ? c->file_window : 32;
	r->swap_hits = 4; /* Linux: swapin_readahead_hits begins at 4 */
	r->swap_last_slot = UINT32_MAX;
	r->env = (struct pg_policy_env){r, env_accessed, env_dirty, env_capacity, c->seed};
	r->pages = calloc(r->total, sizeof *r->pages);
	if (!r->pages)
		goto no_pages;
	if (pg_lists_init(&r->held, r->total, HELD_QUEUES))
		goto no_held;
	if (pg_ghosts_init(&r->ghosts, r->total))
		goto no_ghosts;
	err = pg_reclaim_slots_init(r);
	if (err)
		goto no_slots;
	err = ops->create(&r->env, r->total, args, &r->policy);
	if (err)
		goto no_policy;
	r->policy->ops = ops;
	hand_down(r);
	*out = r;
	return 0;
no_policy:
	pg_reclaim_slots_fini(r);
no_slots:
	pg_ghosts_free(&r->ghosts);
no_ghosts:
	pg_lists_free(&r->held);
no_held:
	free(r->pages);
no_pages:
	free(r);
	return err;
}

void pg_reclaim_destroy(struct pg_reclaim *r)
{
	if (!r)
		return;
	PG_ASSERT(!r->slots_used);
	pg_vm_set_pageout(r->vm, NULL);
	r->policy->ops->destroy(r->policy);
	pg_reclaim_slots_fini(r);
	pg_ghosts_free(&r->ghosts);
	pg_lists_free(&r->held);
	free(r->pages);
	free(r);
}

/* ---- figures and checks */

void pg_reclaim_stats(const struct pg_reclaim *r, struct pg_reclaim_stats *out)
{
	*out = r->st;
	out->slots = r->slot_count;
	out->slots_used = r->slots_used;
	out->known = r->policy->ops->pages(r->policy);
	out->locked = r->held.q[HELD_LOCKED].count;
	out->no_room = r->held.q[HELD_NO_ROOM].count;
	out->min_frames = r->min;
	out->low_frames = r->low;
	out->high_frames = r->high;
	out->is_thrashing = r->is_thrashing;
}

uint64_t pg_reclaim_swap_cached(const struct pg_reclaim *r)
{
	uint64_t n = 0;

	for (uint32_t v = 0; r->slots_used && v < r->total; v++) {
		const struct pg_frame *row = pg_frames_row(r->frames, (pg_pfn){v});

		n += row->state == PG_FRAME_ANON && row->owner &&
		     !pg_slot_is_none(((struct pg_anon *)row->owner)->slot);
	}
	return n;
}

const struct pg_policy_ops *pg_reclaim_policy(const struct pg_reclaim *r)
{
	return r->policy->ops;
}

struct pg_store *pg_reclaim_store(const struct pg_reclaim *r)
{
	return r->store;
}

static const char *check_page(const struct pg_reclaim *r, uint32_t v)
{
	const struct pg_frame *row = pg_frames_row(r->frames, (pg_pfn){v});
	const struct pg_page_state *p = &r->pages[v];
	uint8_t on = pg_lists_on(&r->held, (pg_pfn){v});

	if (p->at == PG_AT_NONE)
		return on == PG_ON_NONE ? NULL : "R1: an unknown page is held";
	if (!row->owner || (row->state != PG_FRAME_ANON && row->state != PG_FRAME_CACHE))
		return "R1: a known frame without a page";
	if (on != (p->at == PG_AT_LOCKED           ? HELD_LOCKED
			  : p->at == PG_AT_NO_ROOM ? HELD_NO_ROOM
			  : p->at == PG_AT_ASIDE   ? HELD_ASIDE
						   : PG_ON_NONE))
		return "R1: a page on the wrong queue";
	return NULL;
}

const char *pg_reclaim_check(const struct pg_reclaim *r)
{
	const char *bad = r->policy->ops->check(r->policy);
	uint64_t known = 0;

	for (uint32_t v = 0; v < r->total && !bad; v++) {
		bad = check_page(r, v);
		known += in_policy(&r->pages[v]);
	}
	if (!bad && known != r->policy->ops->pages(r->policy))
		bad = "R1: the policy knows more or fewer pages than there are";
	if (!bad && !(r->min < r->low && r->low < r->high))
		bad = "R3: the watermarks";
	if (!bad)
		bad = pg_lists_check(&r->held);
	if (!bad)
		bad = pg_ghosts_check(&r->ghosts);
	return bad ? bad : pg_reclaim_slots_check(r);
}
