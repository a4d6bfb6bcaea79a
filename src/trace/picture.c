/* SPDX-License-Identifier: MIT */
/*
 * trace/picture.c: takes the picture of a stack.
 *
 *   registers -> frames (unwind.c; only the ends of a long chain are kept) -> what repeats (cycle.c) -> functions and variables
 *   (variables.c) -> the mapping around rsp, its guard, its pages
 *
 * Called by ui/stack/stack.c. Owns nothing but the pictures that it hands out.
 */
#include "trace/picture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trace/location.h"

/* Frames as they come: the first `inner` and the last `outer` + 1 of them stay, and every pc. */
struct taking {
	const struct pg_picture_request *q;
	struct pg_unwind_frame *head, *ring; /* owned */
	size_t head_cap, ring_cap;
	uint64_t *pcs; /* owned */
	size_t n;
	bool failed;
};

static bool take_frame(void *ctx, const struct pg_unwind_frame *f)
{
	struct taking *t = ctx;

	if ((t->n & (t->n - 1)) == 0) { /* room doubles at each power of two */
		size_t cap = t->n ? 2 * t->n : 1;
		uint64_t *more = realloc(t->pcs, cap * sizeof *more);
		if (!more) {
			t->failed = true;
			return false;
		}
		t->pcs = more;
		if (t->ring_cap == 0) { /* all of them */
			struct pg_unwind_frame *head = realloc(t->head, cap * sizeof *head);
			if (!head) {
				t->failed = true;
				return false;
			}
			t->head = head;
			t->head_cap = cap;
		}
	}
	t->pcs[t->n] = f->pc;
	if (t->n < t->head_cap)
		t->head[t->n] = *f;
	if (t->ring_cap)
		t->ring[t->n % t->ring_cap] = *f;
	t->n++;
	return true;
}

/* Frame i, which is among those kept. */
static const struct pg_unwind_frame *kept(const struct taking *t, size_t i)
{
	return i < t->head_cap ? &t->head[i] : &t->ring[i % t->ring_cap];
}

static int add_frame(const struct taking *t, size_t i, struct pg_picture *out)
{
	const struct pg_picture_request *q = t->q;
	struct pg_picture_frame *p = &out->frames[out->count];
	struct pg_unwind_frame around[3];
	size_t n = 0;

	/* callers are asked for what they passed: two of them, if they were kept */
	for (; n < 3 && i + n < t->n; n++) {
		if (i + n >= t->head_cap && t->n - (i + n) > t->ring_cap)
			break;
		around[n] = *kept(t, i + n);
	}
	*p = (struct pg_picture_frame){.level = i, .f = around[0]};
	if (p->f.saved_rbp_at &&
		!pg_trace_peek(q->space, p->f.saved_rbp_at, &p->saved_rbp, sizeof p->saved_rbp))
		p->f.saved_rbp_at = 0;
	if (p->f.return_at && !pg_trace_peek(q->space, p->f.return_at, &p->return_address,
				      sizeof p->return_address))
		p->f.return_at = 0;
	out->count++;
	return pg_scopes_of(
		q->symbols, q->space, around, 0, n, q->values, &p->scopes, &p->scope_count);
}

static int take_frames(const struct pg_picture_request *q, struct pg_picture *out)
{
	struct taking t = {.q = q};
	int error = -ENOMEM;

	if (q->inner || q->outer) {
		t.head_cap = q->inner + 1;
		t.ring_cap = q->outer + 2;
		t.head = malloc(t.head_cap * sizeof *t.head);
		t.ring = malloc(t.ring_cap * sizeof *t.ring);
		if (!t.head || !t.ring)
			goto out;
	}
	pg_unwind_each(q->unwinder, q->space, q->regs, take_frame, &t);
	if (t.failed)
		goto out;
	out->depth = t.n;
	size_t shown = t.n;
	out->inner = t.n;
	if (t.ring_cap && t.n > q->inner + q->outer) {
		shown = q->inner + q->outer;
		out->inner = q->inner;
	}
	out->frames = calloc(shown, sizeof *out->frames);
	uint32_t *functions = pg_cycle_functions(q->symbols, q->space, t.pcs, t.n);
	if (!out->frames || !functions) {
		free(functions);
		goto out;
	}
	pg_cycle_find(functions, t.n, &out->cycle);
	free(functions);
	if (out->cycle.length) {
		char names[512];

		out->cycle_names = strdup(pg_cycle_names(
			q->symbols, q->space, t.pcs, &out->cycle, names, sizeof names));
	}
	error = 0;
	for (size_t i = 0; i < shown && !error; i++)
		error = add_frame(&t, i < out->inner ? i : t.n - (shown - i), out);
out:
	free(t.head);
	free(t.ring);
	free(t.pcs);
	return error;
}

/* --- the mapping ---------------------------------------------------------------------------------- */

static int take_pages(const struct pg_picture_request *q, struct pg_picture *out)
{
	uint64_t sp_page = pg_align_down(out->sp, PG_PAGE_SIZE);

	out->pages_from = sp_page > out->low ? sp_page : out->low;
	out->page_count = (size_t)((out->high - out->pages_from) >> PG_PAGE_SHIFT);
	out->pages = malloc(out->page_count + !out->page_count);
	if (!out->pages)
		return -ENOMEM;
	for (uint64_t a = out->low; a < out->high; a += PG_PAGE_SIZE) {
		enum pg_page_place place = pg_space_place(q->space, (pg_va){a});

		if (a < out->pages_from) {
			out->resident_below += place == PG_PLACE_FRAME;
			continue;
		}
		out->resident += place == PG_PLACE_FRAME;
		out->swapped += place == PG_PLACE_SLOT;
		out->pages[(a - out->pages_from) >> PG_PAGE_SHIFT] =
			place == PG_PLACE_FRAME  ? PG_PICTURE_RESIDENT
			: place == PG_PLACE_SLOT ? PG_PICTURE_SWAPPED
						 : PG_PICTURE_UNTOUCHED;
	}
	return 0;
}

static int take_mapping(const struct pg_picture_request *q, struct pg_picture *out)
{
	const struct pg_space_config *c = pg_space_configuration(q->space);
	struct pg_region r, below;
	/* an overflowing thread's rsp is below its mapping: the next one above is meant */
	bool inside = pg_space_find(q->space, (pg_va){out->sp}, false, &r);

	if ((!inside || r.prot == 0) &&
		(!pg_space_find(q->space, (pg_va){inside ? r.end.v : out->sp}, true, &r) ||
			r.start.v > out->sp + (1 << 20)))
		return 0;
	out->low = r.start.v;
	out->high = r.end.v;
	out->grows = r.kind == PG_REGION_STACK;
	out->alternate = q->alt_size && out->sp - q->alt_sp < q->alt_size;
	out->floor = out->low;
	if (out->grows) {
		uint64_t limit = pg_align_down(c->stack_limit_bytes, PG_PAGE_SIZE);

		out->floor = limit < r.end.v - c->lo.v ? r.end.v - limit : c->lo.v;
		out->guard_high = out->floor;
		out->guard_low =
			out->floor > c->stack_gap_bytes ? out->floor - c->stack_gap_bytes : 0;
	} else if (r.start.v > 0 &&
		   pg_space_find(q->space, (pg_va){r.start.v - 1}, false, &below) &&
		   below.prot == 0) {
		out->guard_low = below.start.v;
		out->guard_high = below.end.v;
	}
	return take_pages(q, out);
}

int pg_picture_take(const struct pg_picture_request *q, struct pg_picture *out)
{
	int error;

	*out = (struct pg_picture){.tid = q->tid, .sp = q->regs->gpr[PG_RSP]};
	strncpy(out->name, q->name ? q->name : "", sizeof out->name - 1);
	error = take_frames(q, out);
	if (!error)
		error = take_mapping(q, out);
	if (error)
		pg_picture_free(out);
	return error;
}

void pg_picture_free(struct pg_picture *p)
{
	for (size_t i = 0; i < p->count; i++)
		pg_scopes_free(p->frames[i].scopes, p->frames[i].scope_count);
	free(p->frames);
	free(p->cycle_names);
	free(p->pages);
	*p = (struct pg_picture){0};
}
