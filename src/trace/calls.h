/* SPDX-License-Identifier: MIT */
/*
 * trace/calls.h: every call and return of a process: how deep its stacks are, and which function uses how much of them.
 *
 * Called by ui/stack/stack.c from the hook of calls and returns. Calls calltree.c (functions, chains) and film.c (over time).
 *
 * Each thread has a *shadow stack*: what it has called and not yet returned from. Counts of calls and returns are exact. The shadow
 * stack is kept in step with the stack pointer: a return is matched with the call whose return address lies where it
 * takes its own from, so that longjmp, exceptions, signal handlers, alternate stacks and switched contexts are followed; see calls.c for
 * how, and for what stays approximate.
 */
#ifndef PG_TRACE_CALLS_H
#define PG_TRACE_CALLS_H

#include "cpu/engine.h"
#include "trace/calltree.h"
#include "trace/film.h"

/* A call that has not returned. */
struct pg_shadow_frame {
	uint64_t slot;  /* address of its return address: its frame ends 8 bytes above */
	uint64_t entry; /* where the call led */
	uint32_t node;  /* in the call tree */
	uint32_t own;   /* bytes of its frame so far, the return address included */
	uint64_t
		bytes; /* of stack from the outermost frame's end to its return address, that included */
	bool stub; /* the call led to an entry of a linkage table, which has only jumped on so far */
	bool by_signal; /* a handler: nobody called it */
	bool guessed;   /* slot is not known exactly yet: of a handler, until it returns */
};

/* One stack of a thread: its own, or one that it has switched to. */
struct pg_shadow {
	struct pg_shadow_frame *frames; /* owned, outermost first */
	uint32_t count, cap;
};

struct pg_calls_thread {
	int tid;
	struct pg_shadow *stacks; /* owned; [0] is the one in use */
	uint32_t stack_count;
	uint64_t base;         /* the end of its first frame: bytes are counted from there */
	uint64_t instructions; /* of its CPU at the last event */
	uint64_t handler;      /* a signal was delivered to it, and nothing happened since; 0: no */
	uint64_t calls, returns;
	uint32_t depth_max; /* most calls on its stack */
	uint64_t bytes_max; /* from base down to the lowest stack pointer at a call or return */
	uint64_t depth_max_event, bytes_max_event;
	uint32_t depth_max_node, bytes_max_node; /* whose chains these are */
	struct pg_film_line line;
	bool changed; /* since the last frame of the film */
};

struct pg_calls {
	struct pg_call_tree tree;
	struct pg_calls_thread **threads; /* owned, by when they first called */
	unsigned thread_count;
	uint64_t events, calls, returns;
	/* What did not go call, return: */
	uint64_t
		cut; /* calls that were left without a return: longjmp, exceptions, switched contexts */
	uint64_t tails;    /* functions entered by a jump instead of a call */
	uint64_t strays;   /* returns to where nobody had called from */
	uint64_t switches; /* from one stack of a thread to another */
	uint64_t handlers; /* signal handlers */
	bool counted;      /* instructions are known */
	struct pg_film film;
	/* The deepest moment of all threads, in bytes. */
	uint64_t deepest_bytes, deepest_slot;
	unsigned deepest_thread;
	bool deepest_waits; /* it has not returned yet: its picture is still to be taken */
	/* Called when it is about to return: before the transfer. NULL: nobody. */
	void (*deepest)(void *ctx, const struct pg_transferred *t);
	void *ctx;
	bool failed; /* no memory: figures are not complete */
};

PG_MUST_CHECK int pg_calls_create(struct pg_symbols *symbols, struct pg_calls **out);
void pg_calls_destroy(struct pg_calls *c); /* NULL allowed */
/* One event of the thread `tid`, whose memory is `space`. Says which of its next ones are to be told at once: t->wish. */
void pg_calls_transfer(
	struct pg_calls *c, struct pg_space *space, int tid, const struct pg_transferred *t);
/* A signal is delivered to a handler of the thread. */
void pg_calls_signal(struct pg_calls *c, int tid, uint64_t handler);
/* Another program begins: everything is forgotten. */
void pg_calls_begin(struct pg_calls *c);
/* What addresses mean may have changed. */
void pg_calls_code(struct pg_calls *c);
/* The guest is gone: calls that never returned are counted too. */
void pg_calls_end(struct pg_calls *c);
/* The thread, or NULL. */
struct pg_calls_thread *pg_calls_thread(const struct pg_calls *c, int tid);

#endif
