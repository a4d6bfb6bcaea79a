/* SPDX-License-Identifier: MIT */
/*
 * store/fault.c: the fault-injecting store. It passes everything on to one inner store, page by page, and
 * fails where its rule says. It keeps checksums of its own, so that what it corrupts is noticed as it would be in
 * any store.
 *
 * Called by store.c and tests. Calls the inner store. Owns it.
 */
#include "store/fault.h"

#include "store/impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct fault_store {
	struct pg_store head;
	struct pg_store *inner; /* owned */
	uint64_t *sums;         /* one a slot, mapped */
	uint64_t slots;
	pthread_cond_t changed; /* the rule; with head.lock */
	struct pg_fault_rule rule;
	uint64_t age; /* of the rule: how often it was set */
	uint64_t count, hits;
	unsigned blocked;
};

bool pg_fault_rule_parse(const char *text, const char *end, struct pg_fault_rule *out)
{
	static const struct {
		const char *word;
		enum pg_fault_kind kind;
	} kinds[] = {
		{"none", PG_FAULT_NONE},
		{"eio", PG_FAULT_EIO},
		{"short", PG_FAULT_SHORT},
		{"corrupt", PG_FAULT_CORRUPT},
		{"full", PG_FAULT_FULL},
		{"slow=", PG_FAULT_SLOW},
		{"block", PG_FAULT_BLOCK},
	};
	struct pg_fault_rule r = {.in = true, .out = true, .first = 1, .every = 1};
	char copy[64], *p = copy, *stop;
	bool known = false;

	if (end <= text || (size_t)(end - text) >= sizeof(copy))
		return false;
	memcpy(copy, text, (size_t)(end - text));
	copy[end - text] = 0;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !known; i++)
		if (!strncmp(copy, kinds[i].word, strlen(kinds[i].word))) {
			r.kind = kinds[i].kind;
			p = copy + strlen(kinds[i].word);
			known = true;
		}
	if (!known)
		return false;
	if (r.kind == PG_FAULT_SLOW) {
		r.delay_ms = (unsigned)strtoul(p, &stop, 10);
		if (stop == p)
			return false;
		p = stop;
	}
	if (!strncmp(p, "-in", 3)) {
		r.out = false;
		p += 3;
	} else if (!strncmp(p, "-out", 4)) {
		r.in = false;
		p += 4;
	}
	if (*p == '@') {
		r.every = 0;
		r.first = strtoull(p + 1, &stop, 10);
		if (stop == p + 1 || r.first == 0)
			return false;
		p = stop;
		if (*p == '+') {
			r.every = 1;
			p++;
		} else if (*p == '/') {
			r.every = strtoull(p + 1, &stop, 10);
			if (stop == p + 1 || r.every == 0)
				return false;
			p = stop;
		}
	}
	*out = r;
	return *p == 0;
}

/* The rule if it applies to the next page, or reservation; else a rule of kind NONE. */
static struct pg_fault_rule next(struct fault_store *f, bool write)
{
	struct pg_fault_rule r;

	pthread_mutex_lock(&f->head.lock);
	r = f->rule;
	if (write ? !r.out : !r.in) {
		r.kind = PG_FAULT_NONE;
	} else {
		uint64_t n = ++f->count;

		if (n < r.first || (n > r.first && (r.every == 0 || (n - r.first) % r.every != 0)))
			r.kind = PG_FAULT_NONE;
	}
	if (r.kind == PG_FAULT_FULL && !write)
		r.kind = PG_FAULT_NONE;
	f->hits += r.kind != PG_FAULT_NONE;
	if (r.kind == PG_FAULT_BLOCK) {
		uint64_t age = f->age;

		f->blocked++;
		while (f->age == age)
			pthread_cond_wait(&f->changed, &f->head.lock);
		f->blocked--;
	}
	pthread_mutex_unlock(&f->head.lock);
	if (r.kind == PG_FAULT_SLOW) {
		struct timespec t = {r.delay_ms / 1000, (long)(r.delay_ms % 1000) * 1000000};

		while (nanosleep(&t, &t) != 0 && errno == EINTR) {
		}
	}
	return r;
}

static void write_pages(struct pg_store *s, struct pg_store_io *io, unsigned n, bool last)
{
	struct fault_store *f = (struct fault_store *)s;
	uint8_t other[PG_PAGE_SIZE] __attribute__((aligned(4096)));
	bool cut = false;

	for (unsigned i = 0; i < n; i++) {
		struct pg_fault_rule r = next(f, true);
		struct pg_store_io one = io[i];

		cut |= r.kind == PG_FAULT_SHORT;
		f->sums[io[i].slot.v] = 0;
		if (cut || r.kind == PG_FAULT_EIO) {
			io[i].status = -EIO;
			continue;
		}
		if (r.kind == PG_FAULT_FULL) {
			io[i].status = -ENOSPC;
			continue;
		}
		if (r.kind == PG_FAULT_CORRUPT) {
			memcpy(other, one.page, PG_PAGE_SIZE);
			other[io[i].slot.v % PG_PAGE_SIZE] ^= 0x10;
			one.page = other;
		}
		(void)!pg_store_do_write(f->inner, &one, 1, last);
		io[i].status = one.status;
		if (one.status == 0)
			f->sums[io[i].slot.v] = pg_store_sum(io[i].page, io[i].slot);
	}
}

static void read_pages(struct pg_store *s, struct pg_store_io *io, unsigned n)
{
	struct fault_store *f = (struct fault_store *)s;
	bool cut = false;

	for (unsigned i = 0; i < n; i++) {
		struct pg_fault_rule r = next(f, false);

		cut |= r.kind == PG_FAULT_SHORT;
		if (f->sums[io[i].slot.v] == 0) {
			io[i].status = -ENODATA;
			continue;
		}
		if (cut || r.kind == PG_FAULT_EIO) {
			io[i].status = -EIO;
			continue;
		}
		(void)!pg_store_read(f->inner, &io[i], 1);
		if (io[i].status == 0 && r.kind == PG_FAULT_CORRUPT)
			((uint8_t *)io[i].page)[io[i].slot.v % PG_PAGE_SIZE] ^= 0x10;
		if (io[i].status == 0 &&
			pg_store_sum(io[i].page, io[i].slot) != f->sums[io[i].slot.v])
			io[i].status = -EILSEQ;
	}
}

static int reserve(struct pg_store *s, unsigned want, pg_slot *first)
{
	struct fault_store *f = (struct fault_store *)s;
	bool full;

	pthread_mutex_lock(&s->lock);
	full = f->rule.kind == PG_FAULT_FULL;
	pthread_mutex_unlock(&s->lock);
	if (full && next(f, true).kind == PG_FAULT_FULL)
		return -ENOSPC;
	return pg_store_reserve(f->inner, want, first);
}

static void release(struct pg_store *s, pg_slot first, unsigned n)
{
	struct fault_store *f = (struct fault_store *)s;

	memset(f->sums + first.v, 0, n * sizeof(*f->sums));
	pg_store_release(f->inner, first, n);
}

void pg_store_fault_set(struct pg_store *s, const struct pg_fault_rule *rule)
{
	struct fault_store *f = (struct fault_store *)s;

	pthread_mutex_lock(&s->lock);
	f->rule = *rule;
	f->count = f->hits = 0;
	f->age++;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&s->lock);
}

uint64_t pg_store_fault_hits(struct pg_store *s)
{
	struct fault_store *f = (struct fault_store *)s;
	uint64_t hits;

	pthread_mutex_lock(&s->lock);
	hits = f->hits;
	pthread_mutex_unlock(&s->lock);
	return hits;
}

unsigned pg_store_fault_blocked(struct pg_store *s)
{
	struct fault_store *f = (struct fault_store *)s;
	unsigned blocked;

	pthread_mutex_lock(&s->lock);
	blocked = f->blocked;
	pthread_mutex_unlock(&s->lock);
	return blocked;
}

static void add_stats(struct pg_store *s, struct pg_store_stats *out)
{
	struct fault_store *f = (struct fault_store *)s;
	struct pg_store_stats own = *out;

	pg_store_stats(f->inner, out);
	out->pages_in = own.pages_in;
	out->pages_out = own.pages_out;
	out->calls_in = own.calls_in;
	out->calls_out = own.calls_out;
	out->ns_in = own.ns_in;
	out->ns_out = own.ns_out;
	out->refused = own.refused;
	out->checksum_errors = own.checksum_errors;
	out->failures = own.failures;
	out->slots_used = own.slots_used;
	out->slots_peak = own.slots_peak;
}

static void room(struct pg_store *s, struct pg_store_room *out)
{
	pg_store_room(((struct fault_store *)s)->inner, out);
}

static struct pg_store *part(struct pg_store *s, unsigned i)
{
	return i == 0 ? ((struct fault_store *)s)->inner : NULL;
}

static bool is_reserved(struct pg_store *s, pg_slot slot)
{
	return pg_store_is_reserved(((struct fault_store *)s)->inner, slot);
}

static const char *check(struct pg_store *s)
{
	return pg_store_check(((struct fault_store *)s)->inner);
}

static void destroy(struct pg_store *s)
{
	struct fault_store *f = (struct fault_store *)s;

	PG_ASSERT(f->blocked == 0);
	pg_store_destroy(f->inner);
	if (f->sums)
		munmap(f->sums, f->slots * sizeof(uint64_t));
	pthread_cond_destroy(&f->changed);
	pg_store_fini(s);
	free(f);
}

static const struct pg_store_ops ops = {
	.destroy = destroy,
	.reserve = reserve,
	.release = release,
	.write = write_pages,
	.read = read_pages,
	.stats = add_stats,
	.room = room,
	.part = part,
	.is_reserved = is_reserved,
	.check = check,
};

int pg_store_make_fault(const char *name, const char *args, const char *end,
	const struct pg_store_options *options, struct pg_store **out, const char **why)
{
	const char *colon = memchr(args, ':', (size_t)(end - args));
	struct pg_fault_rule rule;
	struct pg_store_room r;
	struct fault_store *f;
	int rc;

	if (!colon || !pg_fault_rule_parse(args, colon, &rule)) {
		*why = "a failing store is given as fault:RULE:STORE; a rule is eio, short, "
		       "corrupt, full, "
		       "slow=MS or block, with -in or -out, with @N, @N+ or @N/M";
		return -EINVAL;
	}
	f = calloc(1, sizeof(*f));
	if (!f || pg_store_init(&f->head, &ops, name, end) < 0) {
		free(f);
		return -ENOMEM;
	}
	pthread_cond_init(&f->changed, NULL);
	f->rule = rule;
	rc = pg_store_create_part(colon + 1, end, options, &f->inner, why);
	if (rc < 0)
		goto fail;
	pg_store_room(f->inner, &r);
	f->slots = r.slots;
	f->sums = mmap(NULL, f->slots * sizeof(uint64_t), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (f->sums == MAP_FAILED) {
		f->sums = NULL;
		rc = -ENOMEM;
		goto fail;
	}
	*out = &f->head;
	return 0;
fail:
	destroy(&f->head);
	return rc;
}
