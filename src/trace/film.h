/* SPDX-License-Identifier: MIT */
/*
 * trace/film.h: stacks over time: depth and bytes at every call and return, and pictures for a film.
 *
 * Inside trace/: calls.c records, ui/ shows. Time is counted in *events*: calls and returns of all threads. However long a run is, it
 * takes no more than so much memory: when there are too many points or frames, every second one goes. The lowest and highest values
 * of a *point* are exact all the same; *frames of the film* are then those at every so many events, and said so.
 */
#ifndef PG_TRACE_FILM_H
#define PG_TRACE_FILM_H

#include "base/types.h"

#define PG_FILM_POINTS 1024 /* kept of each thread, at most */
#define PG_FILM_FRAMES 600  /* of the film, at most */
#define PG_FILM_DEPTH                                                                              \
	96 /* calls of a frame of the film that are kept, from each end of its stack half */

/* What a thread's stack was at the events [index * width, (index + 1) * width). */
struct pg_film_point {
	bool set; /* false: nothing happened in this thread */
	uint32_t depth_low, depth_high;
	uint64_t bytes_low, bytes_high;
};

struct pg_film_line {
	uint64_t width; /* events to a point */
	struct pg_film_point points[PG_FILM_POINTS];
	unsigned count;
};

/* One call on a stack: its function, and how far below the stack's base its frame ends. */
struct pg_film_call {
	uint32_t function;
	uint32_t below; /* bytes */
};

struct pg_film_frame {
	uint64_t event;
	unsigned thread; /* index in pg_calls.threads */
	uint32_t depth;  /* calls in all */
	uint64_t bytes;
	unsigned count; /* in calls[], outermost first; depth > count: the middle is left out */
	struct pg_film_call *calls; /* owned */
};

struct pg_film {
	uint64_t step;                /* events from one frame to the next */
	struct pg_film_frame *frames; /* owned */
	size_t count, cap;
	struct pg_film_frame deepest; /* always there */
	bool has_deepest;
};

void pg_film_line_add(struct pg_film_line *l, uint64_t event, uint32_t depth, uint64_t bytes);
/* Copies `f` with its calls. False: no memory, nothing happened. */
bool pg_film_add(struct pg_film *film, const struct pg_film_frame *f);
bool pg_film_set_deepest(struct pg_film *film, const struct pg_film_frame *f);
void pg_film_clear(struct pg_film *film);

#endif
