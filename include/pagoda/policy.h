/* SPDX-License-Identifier: MIT */
/*
 * pagoda/policy.h: which page goes next: what a replacement policy is told, what it may ask, what it answers.
 *
 * Called by reclaim (which moves the pages) and by anything else that plays the machine, such as a test
 * or a simulator that reads a trace: a policy knows nothing but this header. One policy is one file and one row of
 * pg_policies[] (policies.c); the command line, the tests and the reports find it there. docs/policies.md
 * shows how to write one, example.c is the shortest.
 *
 * A policy sees what an operating system sees, never each access:
 *   - a page comes into memory (added), on demand, by read-ahead, or back after it was evicted;
 *   - its accessed bit, when it looks (env.accessed), which clears it; each look is counted as a scan;
 *   - whether dropping it would need a write first (env.dirty);
 *   - a page fault or system call that found the page in memory (touched);
 *   - the passing of time (tick).
 *
 * Glossary:
 *   page      here: one resident page that may be evicted, named by its frame f. Pages that must stay (locked,
 *             page tables, private pages when there is no store) are unknown to the policy.
 *   key       the identity of a page's contents, in memory or not: what a ghost list remembers.
 *   ghost     the key of a page that was evicted.
 *   distance  pages evicted between a page's own eviction and its return.
 *
 * The life of a page as the policy sees it; any other order of calls is a bug of the caller:
 *
 *   added -> (touched)* -> removed                        it was freed, or must stay from now on
 *   added -> (touched)* -> pick returns it -> evicted     gone; its key may come back in `added`, in any frame
 *                                          -> kept        it could not go: it is as if never picked
 *                                          -> removed
 *
 * Between pick and its outcome pick may be called again and must not return the same page: several pages are picked to be
 * written in one cluster. touched and env.accessed may come for it meanwhile.
 */
#ifndef PAGODA_POLICY_H
#define PAGODA_POLICY_H

#ifndef PG_BASE_TYPES_H /* the library's own sources have these already */
#include "pagoda/pagoda.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A page's contents by name. Two pages never have the same key, at any time in a machine's life. */
struct pg_page_key {
	uint64_t object; /* number of the file or shared object, from 1; 0: private memory */
	uint64_t index;  /* page number within the object; private: the anon's own number */
};

static inline bool pg_page_key_equal(struct pg_page_key a, struct pg_page_key b)
{
	return a.object == b.object && a.index == b.index;
}

/* Why a page is added. */
enum pg_page_why {
	PG_PAGE_DEMAND,    /* somebody waits for it; its accessed bit will be set right after */
	PG_PAGE_READAHEAD, /* nobody has asked for it yet */
	PG_PAGE_RETURN,    /* it was in memory all along: unlocked, or the stores have room again */
};

#define PG_DISTANCE_NONE UINT64_MAX

struct pg_page_info {
	struct pg_page_key key;
	enum pg_page_why why;
	uint64_t
		distance; /* evictions since its own; PG_DISTANCE_NONE: it was not evicted before, or too long ago */
};

/* What a policy may ask. Handed to create, valid until destroy. f: a page that the policy knows. */
struct pg_policy_env {
	void *ctx;
	/*
	 * True if the page was accessed since the last call for it (or since it was added), through any mapping; the bits
	 * are clear afterwards. Costs a walk of the reverse map: counted as one scan.
	 */
	bool (*accessed)(void *ctx, pg_pfn f);
	/* True if its bytes differ from the backing store, so that eviction would cost a write. Clears nothing. */
	bool (*dirty)(void *ctx, pg_pfn f);
	/* Pages that could be in memory at once as things are: those known to the policy and the free frames. */
	uint64_t (*capacity)(void *ctx);
	uint64_t seed; /* for policies that draw lots: the same seed, the same victims */
};

struct pg_policy_ops;

/* A policy's state begins with this. */
struct pg_policy {
	const struct pg_policy_ops *ops;
};

/* All members must be there unless marked optional. None may block, fail (but create) or call the caller back except env. */
struct pg_policy_ops {
	const char *name;    /* as on the command line */
	const char *summary; /* one line for `--replace help` */
	const char *source;  /* author, title, year: where it is defined */
	/*
	 * frames: frame numbers are below it. args: what follows "NAME:" on the command line, or "" ; a policy
	 * without parameters refuses anything else. -ENOMEM, -EINVAL (args).
	 */
	int (*create)(const struct pg_policy_env *env, uint32_t frames, const char *args,
		struct pg_policy **out);
	void (*destroy)(struct pg_policy *p);
	void (*added)(struct pg_policy *p, pg_pfn f, const struct pg_page_info *info);
	void (*removed)(struct pg_policy *p, pg_pfn f);
	/*
	 * The page to evict next, or PG_PFN_NONE if all known pages are picked already. Must end: with every page accessed all
	 * the time, and after at most a small multiple of the pages looked at.
	 */
	pg_pfn (*pick)(struct pg_policy *p);
	/* A picked page is gone. key: as it was added. */
	void (*evicted)(struct pg_policy *p, pg_pfn f, struct pg_page_key key);
	/* A picked page could not go (in use by the host, its write failed): worth another try after the others. */
	void (*kept)(struct pg_policy *p, pg_pfn f);
	/* Optional. A fault or a system call found the page in memory. */
	void (*touched)(struct pg_policy *p, pg_pfn f);
	/* Optional. One interval of aging is over: reclaim calls it each time an eighth of the machine's frames were filled. */
	void (*tick)(struct pg_policy *p);
	/* Pages known now, picked ones included. */
	uint64_t (*pages)(const struct pg_policy *p);
	/* NULL if the policy's numbered invariants hold, or which is broken. Slow. */
	const char *(*check)(const struct pg_policy *p);
};

/* All policies, ended by NULL; the first is the default. */
extern const struct pg_policy_ops *const pg_policies[];

/*
 * The policy of "NAME" or "NAME:ARGS"; *args points behind the colon or to "". NULL: no such policy.
 */
const struct pg_policy_ops *pg_policy_find(const char *text, const char **args);

#ifdef __cplusplus
}
#endif

#endif
