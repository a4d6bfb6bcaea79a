/* SPDX-License-Identifier: MIT */
/*
 * store/store.c: the front of every store: specifications, the registry of kinds, counting.
 *
 * Called by space/, reclaim/ and ui/ through store.h. Calls the kinds: file.c, compressed.c,
 * fault.c, stack.c.
 *
 * Not here: how a kind keeps its pages.
 */
#include "store/store.h"

#include "store/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_PARTS 16u

/* A kind by its name on the command line; a specification that begins with a digit is a file. */
static const struct {
	const char *word;
	pg_store_maker *make;
} makers[] = {
	{"file", pg_store_make_file},
	{"direct", pg_store_make_direct},
	{"zstd", pg_store_make_zstd},
	{"lz4", pg_store_make_lz4},
	{"fault", pg_store_make_fault},
};

const struct pg_store_kind pg_store_kinds[] = {
	{"SIZE", "a swap file: a temporary file of that size, without a name"},
	{"file:PATH[:SIZE]", "a swap file of that name; it is kept, its contents are not"},
	{"direct:SIZE, direct:PATH[:SIZE]", "the same, past the host's page cache (O_DIRECT)"},
	{"zstd:SIZE", "compressed memory by zstd, of at most that size"},
	{"lz4:SIZE", "compressed memory by lz4, of at most that size"},
	{"fault:RULE:STORE", "a store that fails as RULE says, for tests"},
	{"STORE,STORE,...", "stacked: what one cannot take goes to the next"},
	{NULL, NULL},
};

bool pg_store_parse_size(const char *text, const char *end, uint64_t *out)
{
	static const char units[] = "KMGT";
	uint64_t v = 0;
	const char *p = text;

	for (; p < end && *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return false;
	if (p == text)
		return false;
	if (p < end) {
		char c = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
		const char *unit = memchr(units, c, 4);

		if (!unit || p + 1 != end)
			return false;
		for (const char *u = units; u <= unit; u++)
			if (__builtin_mul_overflow(v, (uint64_t)1024, &v))
				return false;
	}
	*out = v;
	return v > 0;
}

int pg_store_init(
	struct pg_store *s, const struct pg_store_ops *ops, const char *name, const char *name_end)
{
	s->name = strndup(name, (size_t)(name_end - name));
	if (!s->name)
		return -ENOMEM;
	s->ops = ops;
	pthread_mutex_init(&s->lock, NULL);
	return 0;
}

void pg_store_fini(struct pg_store *s)
{
	pg_slots_destroy(s->slots);
	pthread_mutex_destroy(&s->lock);
	free(s->name);
}

int pg_store_take_slots(struct pg_store *s, unsigned want, pg_slot *first)
{
	int got;

	pthread_mutex_lock(&s->lock);
	got = pg_slots_reserve(s->slots, want, first);
	pthread_mutex_unlock(&s->lock);
	return got;
}

bool pg_store_slot_taken(struct pg_store *s, pg_slot slot)
{
	bool taken;

	pthread_mutex_lock(&s->lock);
	taken = pg_slots_taken(s->slots, slot);
	pthread_mutex_unlock(&s->lock);
	return taken;
}

int pg_store_create_part(const char *spec, const char *end, const struct pg_store_options *options,
	struct pg_store **out, const char **why)
{
	const char *colon = memchr(spec, ':', (size_t)(end - spec));
	size_t word = colon ? (size_t)(colon - spec) : 0;

	if (spec == end) {
		*why = "a store is missing";
		return -EINVAL;
	}
	for (size_t i = 0; !colon && i < sizeof(makers) / sizeof(makers[0]); i++)
		if (strlen(makers[i].word) == (size_t)(end - spec) &&
			!memcmp(makers[i].word, spec, (size_t)(end - spec))) {
			*why = "a kind of store alone; what follows its colon is missing, as in "
			       "zstd:64M or file:PATH:64M";
			return -EINVAL;
		}
	if (!colon)
		return pg_store_make_file(spec, spec, end, options, out, why);
	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++)
		if (strlen(makers[i].word) == word && !memcmp(makers[i].word, spec, word))
			return makers[i].make(spec, colon + 1, end, options, out, why);
	*why = "no such kind of store; --swap help lists them";
	return -EINVAL;
}

int pg_store_create(const char *spec, const struct pg_store_options *options, struct pg_store **out,
	const char **why)
{
	static const struct pg_store_options plain;
	struct pg_store *parts[MAX_PARTS];
	const char *text, *part = spec;
	unsigned n = 0;
	int rc = 0;

	if (!why)
		why = &text;
	*why = NULL;
	for (;;) {
		const char *end = strchrnul(part, ',');

		if (n == MAX_PARTS) {
			*why = "too many stores";
			rc = -EINVAL;
			break;
		}
		rc = pg_store_create_part(part, end, options ? options : &plain, &parts[n], why);
		if (rc < 0)
			break;
		n++;
		if (!*end)
			break;
		part = end + 1;
	}
	if (rc == 0 && n == 1) {
		*out = parts[0];
		return 0;
	}
	if (rc == 0)
		rc = pg_store_make_stack(spec, parts, n, out);
	if (rc < 0)
		while (n > 0)
			pg_store_destroy(parts[--n]);
	return rc;
}

void pg_store_destroy(struct pg_store *s)
{
	if (s)
		s->ops->destroy(s);
}

int pg_store_reserve(struct pg_store *s, unsigned want, pg_slot *first)
{
	int got;

	PG_ASSERT(want >= 1 && want <= PG_STORE_CLUSTER);
	got = s->ops->reserve(s, want, first);
	if (got > 0) {
		pthread_mutex_lock(&s->lock);
		s->stats.slots_used += (unsigned)got;
		if (s->stats.slots_used > s->stats.slots_peak)
			s->stats.slots_peak = s->stats.slots_used;
		pthread_mutex_unlock(&s->lock);
	}
	return got;
}

void pg_store_release(struct pg_store *s, pg_slot first, unsigned n)
{
	pthread_mutex_lock(&s->lock);
	s->stats.slots_used -= n;
	pthread_mutex_unlock(&s->lock);
	while (n > 0) {
		unsigned here = PG_STORE_CLUSTER - first.v % PG_STORE_CLUSTER;

		here = here < n ? here : n;
		s->ops->release(s, first, here);
		first.v += here;
		n -= here;
	}
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Counts the statuses of a call; the first that is not 0, or 0. */
static int count(struct pg_store *s, const struct pg_store_io *io, unsigned n, uint64_t *pages)
{
	int first = 0;

	for (unsigned i = 0; i < n; i++) {
		int status = io[i].status;

		*pages += status == 0;
		s->stats.checksum_errors += status == -EILSEQ;
		s->stats.refused += status == -ENOSPC || status == -E2BIG;
		s->stats.failures += status != 0 && status != -EILSEQ && status != -E2BIG;
		if (first == 0)
			first = status;
	}
	return first;
}

int pg_store_do_write(struct pg_store *s, struct pg_store_io *io, unsigned n, bool last)
{
	uint64_t begin = now_ns(), end;
	int rc;

	PG_ASSERT(n >= 1);
	s->ops->write(s, io, n, last);
	end = now_ns();
	pthread_mutex_lock(&s->lock);
	s->stats.calls_out++;
	s->stats.ns_out += end - begin;
	rc = count(s, io, n, &s->stats.pages_out);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

int pg_store_write(struct pg_store *s, struct pg_store_io *io, unsigned n)
{
	return pg_store_do_write(s, io, n, true);
}

int pg_store_read(struct pg_store *s, struct pg_store_io *io, unsigned n)
{
	uint64_t begin = now_ns(), end;
	int rc;

	PG_ASSERT(n >= 1);
	s->ops->read(s, io, n);
	end = now_ns();
	pthread_mutex_lock(&s->lock);
	s->stats.calls_in++;
	s->stats.ns_in += end - begin;
	rc = count(s, io, n, &s->stats.pages_in);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

void pg_store_stats(struct pg_store *s, struct pg_store_stats *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->stats;
	pthread_mutex_unlock(&s->lock);
	s->ops->stats(s, out);
}

void pg_store_room(struct pg_store *s, struct pg_store_room *out)
{
	*out = (struct pg_store_room){0};
	s->ops->room(s, out);
}

const char *pg_store_name(const struct pg_store *s)
{
	return s->name;
}

struct pg_store *pg_store_part(struct pg_store *s, unsigned i)
{
	return s->ops->part ? s->ops->part(s, i) : NULL;
}

bool pg_store_is_reserved(struct pg_store *s, pg_slot slot)
{
	return s->ops->is_reserved(s, slot);
}

const char *pg_store_check(struct pg_store *s)
{
	return s->ops->check(s);
}
