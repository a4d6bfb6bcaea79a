/* SPDX-License-Identifier: MIT */
/*
 * trace/film.c: what is kept of stacks over time.
 *
 * Called by calls.c. Owns the frames of a film.
 */
#include "trace/film.h"

#include <stdlib.h>
#include <string.h>

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t higher(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void join(struct pg_film_point *to, const struct pg_film_point *p)
{
	if (!p->set)
		return;
	if (!to->set) {
		*to = *p;
		return;
	}
	to->depth_low = (uint32_t)lower(to->depth_low, p->depth_low);
	to->depth_high = (uint32_t)higher(to->depth_high, p->depth_high);
	to->bytes_low = lower(to->bytes_low, p->bytes_low);
	to->bytes_high = higher(to->bytes_high, p->bytes_high);
}

void pg_film_line_add(struct pg_film_line *l, uint64_t event, uint32_t depth, uint64_t bytes)
{
	const struct pg_film_point p = {true, depth, depth, bytes, bytes};

	if (l->width == 0)
		l->width = 1;
	while (event / l->width >= PG_FILM_POINTS) {
		for (unsigned i = 0; i < PG_FILM_POINTS / 2; i++) {
			l->points[i] = l->points[2 * i];
			join(&l->points[i], &l->points[2 * i + 1]);
		}
		memset(l->points + PG_FILM_POINTS / 2, 0, PG_FILM_POINTS / 2 * sizeof l->points[0]);
		l->width *= 2;
		l->count = (l->count + 1) / 2;
	}
	unsigned at = (unsigned)(event / l->width);
	join(&l->points[at], &p);
	if (at >= l->count)
		l->count = at + 1;
}

static bool copy(struct pg_film_frame *to, const struct pg_film_frame *f)
{
	struct pg_film_call *calls = malloc((f->count + !f->count) * sizeof *calls);

	if (!calls)
		return false;
	memcpy(calls, f->calls, f->count * sizeof *calls);
	*to = *f;
	to->calls = calls;
	return true;
}

bool pg_film_add(struct pg_film *film, const struct pg_film_frame *f)
{
	if (film->count == film->cap) {
		size_t cap = film->cap ? 2 * film->cap : 64;
		struct pg_film_frame *more = realloc(film->frames, cap * sizeof *more);
		if (!more)
			return false;
		film->frames = more;
		film->cap = cap;
	}
	if (!copy(&film->frames[film->count], f))
		return false;
	film->count++;
	if (film->count <= PG_FILM_FRAMES)
		return true;
	/* every second step goes */
	size_t n = 0;
	film->step *= 2;
	for (size_t i = 0; i < film->count; i++) {
		if (film->frames[i].event % film->step == 0)
			film->frames[n++] = film->frames[i];
		else
			free(film->frames[i].calls);
	}
	film->count = n;
	return true;
}

bool pg_film_set_deepest(struct pg_film *film, const struct pg_film_frame *f)
{
	struct pg_film_frame fresh;

	if (!copy(&fresh, f))
		return false;
	free(film->deepest.calls);
	film->deepest = fresh;
	film->has_deepest = true;
	return true;
}

void pg_film_clear(struct pg_film *film)
{
	for (size_t i = 0; i < film->count; i++)
		free(film->frames[i].calls);
	free(film->frames);
	free(film->deepest.calls);
	*film = (struct pg_film){.step = 1};
}
