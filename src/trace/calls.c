/* SPDX-License-Identifier: MIT */
/*
 * trace/calls.c: the shadow stack: from calls and returns to chains, depths and bytes.
 *
 *   event -> function of the instruction -> the top frame is really that function's (else a tail call) -> instructions since the last event
 *   are charged to it -> the frame is pushed, or popped -> depth, bytes, film
 *
 * How it stays in step with the stack pointer. A frame is known by its *slot*, the address of its return address; on one stack slots
 * fall from the outermost frame to the innermost.
 *   call    its slot is a little below the top frame's: pushed. Else frames at or below it were left (longjmp, an exception)
 *           and go; or it is near the top of another stack of this thread (a context that was left): that one is
 *           taken up; or else it begins a new stack.
 *   return  the frame with the very slot that it takes its address from, and all above it, go; it is looked for on the other
 *           stacks too (swapcontext returns on the stack that it switches to). If there is none, it stays as it is and is
 *           counted as a stray.
 *   signal  the handler is pushed when it first calls or returns, since nobody called it; its slot is known when it returns.
 *
 * What is approximate: a function entered by a jump is seen when it calls, returns, or when a linkage table led to it, not if it jumps
 * on; contexts whose stacks lie within 64 KiB of each other may be taken for one another until one of them returns; bytes of a
 * function are its frame at its calls, since nobody looks at the stack pointer in between: one that calls nothing counts 8.
 *
 * Owns the tree, the threads and their stacks, the film.
 *
 * Invariants:
 *   1 On one stack slots fall strictly from frame to frame, but where a handler runs on another stack.
 *   2 The sum of instructions over all nodes is what the CPUs executed from the first thread's first event, up to each thread's last one.
 */
#include "trace/calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NEAR ((uint64_t)1 << 16)
#define MOST_FRAME ((uint64_t)1 << 30) /* bytes of one frame, or it lies on another stack */
#define ASIDE 4096 /* bytes that a function may push by itself and return through */
#define STUB 8     /* bytes from a linkage table's entry to its jump, at most */

int pg_calls_create(struct pg_symbols *symbols, struct pg_calls **out)
{
	struct pg_calls *c = calloc(1, sizeof *c);

	*out = NULL;
	if (!c)
		return -ENOMEM;
	int error = pg_call_tree_create(symbols, &c->tree);
	if (error) {
		free(c);
		return error;
	}
	c->film.step = 1;
	*out = c;
	return 0;
}

static void drop_threads(struct pg_calls *c)
{
	for (unsigned i = 0; i < c->thread_count; i++) {
		struct pg_calls_thread *t = c->threads[i];
		for (uint32_t k = 0; k < t->stack_count; k++)
			free(t->stacks[k].frames);
		free(t->stacks);
		free(t);
	}
	free(c->threads);
	c->threads = NULL;
	c->thread_count = 0;
}

void pg_calls_destroy(struct pg_calls *c)
{
	if (!c)
		return;
	drop_threads(c);
	pg_film_clear(&c->film);
	pg_call_tree_free(&c->tree);
	free(c);
}

void pg_calls_begin(struct pg_calls *c)
{
	struct pg_call_tree tree = c->tree;
	void (*deepest)(void *, const struct pg_transferred *) = c->deepest;
	void *ctx = c->ctx;

	drop_threads(c);
	pg_film_clear(&c->film);
	pg_call_tree_clear(&tree);
	*c = (struct pg_calls){.tree = tree, .deepest = deepest, .ctx = ctx, .film = {.step = 1}};
}

void pg_calls_code(struct pg_calls *c)
{
	pg_call_tree_forget(&c->tree);
}

struct pg_calls_thread *pg_calls_thread(const struct pg_calls *c, int tid)
{
	for (unsigned i = 0; i < c->thread_count; i++)
		if (c->threads[i]->tid == tid)
			return c->threads[i];
	return NULL;
}

/* --- frames --------------------------------------------------------------------------------------- */

static struct pg_shadow_frame *top(struct pg_calls_thread *t)
{
	struct pg_shadow *s = &t->stacks[0];

	return s->count ? &s->frames[s->count - 1] : NULL;
}

static struct pg_call_node *node_of(struct pg_calls *c, const struct pg_shadow_frame *f)
{
	return &c->tree.nodes[f->node];
}

static struct pg_call_function *function_of(struct pg_calls *c, const struct pg_shadow_frame *f)
{
	uint32_t i = node_of(c, f)->function;

	return i == PG_CALL_NONE ? NULL : &c->tree.functions[i];
}

static bool push(struct pg_calls *c, struct pg_calls_thread *t, uint64_t slot, uint64_t entry,
	uint32_t function)
{
	struct pg_shadow *s = &t->stacks[0];
	const struct pg_shadow_frame *caller = top(t);
	uint32_t parent = caller ? caller->node : 0;
	uint64_t bytes = 8;

	/* a handler may run on another stack: then it adds to what there is */
	if (caller)
		bytes = caller->bytes + (caller->slot > slot && caller->slot - slot < MOST_FRAME
							? caller->slot - slot
							: 8);

	if (s->count == s->cap) {
		uint32_t cap = s->cap ? 2 * s->cap : 64;
		struct pg_shadow_frame *more = realloc(s->frames, cap * sizeof *more);
		if (!more) {
			c->failed = true;
			return false;
		}
		s->frames = more;
		s->cap = cap;
	}
	struct pg_shadow_frame *f = &s->frames[s->count++];
	*f = (struct pg_shadow_frame){.slot = slot, .entry = entry, .own = 8, .bytes = bytes};
	f->node =
		function == PG_CALL_NONE ? parent : pg_call_tree_child(&c->tree, parent, function);
	struct pg_call_function *fn = function_of(c, f);
	node_of(c, f)->calls++;
	if (fn) {
		fn->calls++;
		if (s->count > fn->depth_max)
			fn->depth_max = s->count;
	}
	return true;
}

/* The top frame's use of the stack is final. */
static void pop(struct pg_calls *c, struct pg_calls_thread *t)
{
	struct pg_shadow *s = &t->stacks[0];
	struct pg_shadow_frame *f = &s->frames[--s->count];
	struct pg_call_function *fn = function_of(c, f);

	/* not by the return that its picture waits for: that was seen before */
	if (c->deepest_waits && f->slot == c->deepest_slot && c->threads[c->deepest_thread] == t)
		c->deepest_waits = false;
	node_of(c, f)->bytes += f->own;
	if (fn) {
		fn->bytes += f->own;
		if (f->own > fn->bytes_max)
			fn->bytes_max = f->own;
	}
}

/* Frames above number `keep` are left without a return. */
static void cut_to(struct pg_calls *c, struct pg_calls_thread *t, uint32_t keep)
{
	while (t->stacks[0].count > keep) {
		c->cut++;
		pop(c, t);
	}
}

/* The stack in use becomes stacks[i]. */
static void switch_to(struct pg_calls *c, struct pg_calls_thread *t, uint32_t i)
{
	struct pg_shadow s = t->stacks[i];

	t->stacks[i] = t->stacks[0];
	t->stacks[0] = s;
	c->switches++;
}

/* A new, empty stack in use. */
static bool add_stack(struct pg_calls *c, struct pg_calls_thread *t)
{
	/* one that is empty is no loss */
	if (t->stack_count && t->stacks[0].count == 0)
		return true;
	for (uint32_t i = 1; i < t->stack_count; i++)
		if (t->stacks[i].count == 0) {
			switch_to(c, t, i);
			return true;
		}
	struct pg_shadow *more = realloc(t->stacks, (t->stack_count + 1) * sizeof *more);
	if (!more) {
		c->failed = true;
		return false;
	}
	t->stacks = more;
	more[t->stack_count] = (struct pg_shadow){0};
	if (t->stack_count++)
		switch_to(c, t, t->stack_count - 1);
	return true;
}

static bool same_region(struct pg_space *space, uint64_t a, uint64_t b)
{
	struct pg_region r;

	return pg_space_find(space, (pg_va){a}, false, &r) && b >= r.start.v && b < r.end.v;
}

/* The base of a stack: whoever runs there, called by nobody that was seen. sp: the stack pointer in it. */
static bool push_base(
	struct pg_calls *c, struct pg_calls_thread *t, uint64_t sp, uint64_t pc, uint32_t function)
{
	if (!push(c, t, sp - 8, pc, function))
		return false;
	if (!t->base)
		t->base = sp;
	return true;
}

/* --- events --------------------------------------------------------------------------------------- */

static struct pg_calls_thread *thread_of(struct pg_calls *c, int tid)
{
	struct pg_calls_thread *t = pg_calls_thread(c, tid);

	if (t)
		return t;
	struct pg_calls_thread **more =
		realloc(c->threads, (c->thread_count + 1) * sizeof(struct pg_calls_thread *));
	if (more)
		c->threads = more;
	t = more ? calloc(1, sizeof *t) : NULL;
	if (!t || !add_stack(c, t)) {
		free(t);
		c->failed = true;
		return NULL;
	}
	t->tid = tid;
	c->threads[c->thread_count++] = t;
	return t;
}

/* What was noted of the call to a linkage table's entry is of the function that this led to. */
static void rename_last(
	struct pg_calls *c, struct pg_calls_thread *t, uint32_t before, uint32_t function)
{
	const struct pg_shadow_frame *f = top(t);
	struct pg_film_frame *last[2] = {c->film.count ? &c->film.frames[c->film.count - 1] : NULL,
		c->film.has_deepest ? &c->film.deepest : NULL};

	if (t->bytes_max_node == before)
		t->bytes_max_node = f->node;
	if (t->depth_max_node == before)
		t->depth_max_node = f->node;
	for (unsigned i = 0; i < 2; i++)
		if (last[i] && last[i]->event + 1 == c->events &&
			c->threads[last[i]->thread] == t && last[i]->count)
			last[i]->calls[last[i]->count - 1].function = function;
}

/* The top frame has turned out to be `function`'s: that was jumped to. stub: what was called only led there. */
static void retarget(struct pg_calls *c, struct pg_calls_thread *t, uint32_t function, bool stub)
{
	struct pg_shadow_frame *f = top(t);
	struct pg_call_function *old = function_of(c, f);
	uint32_t parent = node_of(c, f)->parent;

	if (stub) {
		node_of(c, f)->calls--;
		if (old)
			old->calls--;
	} else {
		c->tails++;
		node_of(c, f)->bytes += f->own;
		if (old) {
			old->bytes += f->own;
			if (f->own > old->bytes_max)
				old->bytes_max = f->own;
		}
		f->own = 8;
	}
	uint32_t before = f->node;
	f->node = pg_call_tree_child(&c->tree, parent, function);
	f->stub = stub;
	if (stub)
		rename_last(c, t, before, function);
	node_of(c, f)->calls++;
	c->tree.functions[function].calls++;
	if (t->stacks[0].count > c->tree.functions[function].depth_max)
		c->tree.functions[function].depth_max = t->stacks[0].count;
}

/* Instructions since the last event go to the frame that is on top now. */
static void charge(struct pg_calls *c, struct pg_calls_thread *t, uint64_t now)
{
	struct pg_shadow_frame *f = top(t);
	uint64_t more = now - t->instructions;

	/* what the first thread did before it was looked at is nobody's */
	if (t->calls + t->returns == 0 && t == c->threads[0])
		more = 1;
	t->instructions = now;
	if (!now || !f)
		return;
	c->counted = true;
	node_of(c, f)->instructions += more;
	if (function_of(c, f))
		function_of(c, f)->instructions += more;
}

/* A call's frame is to be pushed at `slot`: everything that is no longer there goes, or another stack is taken up. */
static void before_push(
	struct pg_calls *c, struct pg_space *space, struct pg_calls_thread *t, uint64_t slot)
{
	struct pg_shadow *s = &t->stacks[0];
	struct pg_shadow_frame *f = top(t);

	if (!f || (f->slot > slot && f->slot - slot < NEAR))
		return;
	/* the nearest frame above the slot, here and on the other stacks */
	uint64_t nearest = UINT64_MAX;
	uint32_t keep = 0, other = 0;
	for (uint32_t i = s->count; i-- > 0;)
		if (s->frames[i].slot > slot && same_region(space, slot, s->frames[i].slot)) {
			nearest = s->frames[i].slot - slot;
			keep = i + 1;
			break;
		}
	for (uint32_t k = 1; k < t->stack_count; k++) {
		const struct pg_shadow *o = &t->stacks[k];
		if (o->count == 0 || o->frames[o->count - 1].slot <= slot)
			continue;
		uint64_t d = o->frames[o->count - 1].slot - slot;
		if (d < nearest && d < NEAR) {
			nearest = d;
			other = k;
		}
	}
	if (other)
		switch_to(c, t, other);
	else if (nearest != UINT64_MAX)
		cut_to(c, t, keep);
	else
		(void)add_stack(c, t);
}

/* The frame whose return address lies at slot, and its stack; false: nobody's. */
static bool find_slot(struct pg_calls_thread *t, uint64_t slot, uint32_t *stack, uint32_t *frame)
{
	for (uint32_t k = 0; k < t->stack_count; k++) {
		const struct pg_shadow *s = &t->stacks[k];
		uint32_t i = s->count;

		while (i > 0) {
			const struct pg_shadow_frame *f = &s->frames[--i];
			if (f->slot == slot) {
				*stack = k;
				*frame = i;
				return true;
			}
			/* above it on this stack nothing of it is to be found, unless a handler ran elsewhere */
			if (f->slot > slot && !f->by_signal)
				break;
		}
	}
	return false;
}

static void on_call(
	struct pg_calls *c, struct pg_calls_thread *t, const struct pg_transferred *e, uint32_t to)
{
	struct pg_shadow_frame *f = top(t);
	uint64_t slot = e->regs->gpr[PG_RSP];
	uint64_t own =
		f->slot - slot; /* from behind f's return address to the one that was pushed */

	if (f->slot > slot && own < UINT32_MAX && own > f->own)
		f->own = (uint32_t)own;
	push(c, t, slot, e->regs->rip, to);
}

/* The frame whose call returns becomes the top one. False: there is none such. */
static bool before_return(
	struct pg_calls *c, struct pg_space *space, struct pg_calls_thread *t, uint64_t slot)
{
	struct pg_shadow_frame *f = top(t);
	uint32_t stack, frame;

	if (f->slot == slot)
		return true;
	if (find_slot(t, slot, &stack, &frame)) {
		if (stack)
			switch_to(c, t, stack);
		cut_to(c, t, frame + 1);
		return true;
	}
	if (f->guessed && slot > f->slot) /* the handler, whose slot shows now */
		return true;
	c->strays++;
	struct pg_shadow *s = &t->stacks[0];
	if (slot > f->slot && slot <= s->frames[0].slot && same_region(space, slot, f->slot)) {
		uint32_t keep = s->count;
		while (keep > 0 && s->frames[keep - 1].slot < slot)
			keep--;
		cut_to(c, t, keep);
	} else if (slot > s->frames[0].slot || f->slot - slot > ASIDE) {
		(void)add_stack(c, t); /* a context that begins */
	}
	return false;
}

/* --- figures -------------------------------------------------------------------------------------- */

static void fill_film_frame(struct pg_calls *c, struct pg_calls_thread *t, unsigned index,
	uint64_t bytes, struct pg_film_frame *out)
{
	const struct pg_shadow *s = &t->stacks[0];
	const uint32_t half = PG_FILM_DEPTH;
	uint32_t n = 0;

	out->event = c->events;
	out->thread = index;
	out->depth = s->count;
	out->bytes = bytes;
	for (uint32_t i = 0; i < s->count; i++) {
		const struct pg_shadow_frame *f = &s->frames[i];

		if (s->count > 2 * half && i == half)
			i = s->count - half, f = &s->frames[i];
		uint64_t below = f->bytes - 8;
		out->calls[n++] = (struct pg_film_call){c->tree.nodes[f->node].function,
			below < UINT32_MAX ? (uint32_t)below : UINT32_MAX};
	}
	out->count = n;
}

/* What is there after an event. bytes: of the thread's stack. */
static void note(
	struct pg_calls *c, struct pg_calls_thread *t, unsigned index, uint64_t bytes, bool call)
{
	struct pg_film_call calls[2 * PG_FILM_DEPTH];
	struct pg_film_frame frame = {.calls = calls};
	const struct pg_shadow *s = &t->stacks[0];

	pg_film_line_add(&t->line, c->events, s->count, bytes);
	t->changed = true;
	if (call && s->count > t->depth_max) {
		t->depth_max = s->count;
		t->depth_max_event = c->events;
		t->depth_max_node = s->frames[s->count - 1].node;
	}
	if (bytes > t->bytes_max &&
		s->count) { /* by a return: that of a handler, whom nobody called */
		t->bytes_max = bytes;
		t->bytes_max_event = c->events;
		t->bytes_max_node = s->frames[s->count - 1].node;
	}
	if (call && bytes > c->deepest_bytes) {
		c->deepest_bytes = bytes;
		c->deepest_slot = s->frames[s->count - 1].slot;
		c->deepest_thread = index;
		c->deepest_waits = true;
		fill_film_frame(c, t, index, bytes, &frame);
		c->failed |= !pg_film_set_deepest(&c->film, &frame);
	}
	if (c->events % c->film.step == 0)
		for (unsigned i = 0; i < c->thread_count; i++) {
			struct pg_calls_thread *o = c->threads[i];
			const struct pg_shadow *os = &o->stacks[0];
			if (!o->changed)
				continue;
			o->changed = false;
			fill_film_frame(c, o, i,
				o == t      ? bytes
				: os->count ? os->frames[os->count - 1].bytes
					    : 0,
				&frame);
			c->failed |= !pg_film_add(&c->film, &frame);
		}
}

/* A call or return has been seen to. */
static void end_event(struct pg_calls *c, struct pg_calls_thread *t, bool returns, uint64_t bytes)
{
	unsigned index = 0;

	c->events++;
	*(returns ? &c->returns : &c->calls) += 1;
	*(returns ? &t->returns : &t->calls) += 1;
	while (c->threads[index] != t)
		index++;
	note(c, t, index, bytes, !returns);
}

/*
 * What of the next transfers of the thread must be told at once: on a stack that is used as usual, calls that make it the deepest, and
 * the return from the deepest, whose picture is taken; else all.
 */
static void wish(const struct pg_calls *c, struct pg_calls_thread *t, struct pg_transfer_wish *w)
{
	const struct pg_shadow_frame *f = top(t);

	w->all = !f || t->stack_count > 1 || t->handler || f->by_signal || !c->deepest;
	w->slot = c->deepest_waits && c->threads[c->deepest_thread] == t ? c->deepest_slot : 0;
	w->below = f ? f->slot + f->bytes - c->deepest_bytes : 0;
}

static void transfer(struct pg_calls *c, struct pg_space *space, struct pg_calls_thread *t,
	const struct pg_transferred *e)
{
	uint64_t before = e->regs->gpr[PG_RSP] + (uint64_t)(int64_t)e->undo;
	uint32_t from, to = PG_CALL_NONE;

	from = pg_call_tree_function(&c->tree, space, e->from);
	if (e->how != PG_TRANSFER_RETURN)
		to = pg_call_tree_function(&c->tree, space, e->regs->rip);
	if (from == PG_CALL_NONE) {
		c->failed = true;
		return;
	}
	bool returns = e->how == PG_TRANSFER_RETURN;
	if (!e->late && returns && c->deepest_waits && c->deepest && c->deepest_slot == before &&
		c->threads[c->deepest_thread] == t) {
		c->deepest_waits = false;
		c->deepest(c->ctx, e);
	}
	/* which stack, and what of it is still there, before this event */
	bool matched = false;
	if (t->handler) {
		if (!push(c, t, before, t->handler, from))
			return;
		top(t)->by_signal = matched = true;
		top(t)->guessed = !returns;
		c->handlers++;
		t->handler = 0;
	} else if (e->how == PG_TRANSFER_CALL) {
		before_push(c, space, t, e->regs->gpr[PG_RSP]);
	} else if (returns && top(t)) {
		matched = before_return(c, space, t, before);
	}
	if (!top(t) && returns && t->calls) {
		/* what it leads to begins there as if it had been called: its return address is on top */
		to = pg_call_tree_function(&c->tree, space, e->regs->rip);
		if (!push(c, t, e->regs->gpr[PG_RSP], e->regs->rip, to))
			return;
		charge(c, t, e->instructions);
		end_event(c, t, true, top(t)->bytes);
		return;
	}
	if (!top(t) && !push_base(c, t, before, e->from, from))
		return;
	charge(c, t, e->instructions);
	if (node_of(c, top(t))->function != from)
		retarget(c, t, from, false);
	if (e->how == PG_TRANSFER_JUMP) {
		if (to != PG_CALL_NONE && to != from)
			retarget(c, t, to, e->from - top(t)->entry < STUB || top(t)->stub);
		return;
	}
	uint64_t bytes = top(t)->bytes - 8;
	if (returns) {
		if (matched)
			pop(c, t);
	} else {
		on_call(c, t, e, to);
		bytes = top(t)->bytes;
	}
	end_event(c, t, returns, bytes);
}

void pg_calls_transfer(
	struct pg_calls *c, struct pg_space *space, int tid, const struct pg_transferred *t)
{
	struct pg_calls_thread *thread = thread_of(c, tid);

	if (!thread)
		return;
	transfer(c, space, thread, t);
	wish(c, thread, t->wish);
}

void pg_calls_signal(struct pg_calls *c, int tid, uint64_t handler)
{
	struct pg_calls_thread *t = thread_of(c, tid);

	if (t)
		t->handler = handler;
}

void pg_calls_end(struct pg_calls *c)
{
	for (unsigned i = 0; i < c->thread_count; i++) {
		struct pg_calls_thread *t = c->threads[i];

		for (uint32_t k = 0; k < t->stack_count; k++) {
			if (k)
				switch_to(c, t, k), c->switches--;
			while (t->stacks[0].count)
				pop(c, t);
		}
	}
}
