/* SPDX-License-Identifier: MIT */
/*
 * mmu/inverted.c: the inverted page table: one for the machine, an entry for each frame, which says
 * whose page is in it (Operating System Concepts, 9.4.3; Chang and Mergen, "801 storage:
 * architecture and programming", ACM TOCS 6 (1988), for the anchor table).
 *
 *   (owner, page) --hash--> anchor --> entry --> entry ...     an entry's number is its frame's
 *
 * A frame has one entry, but may be mapped several times. The mapping that was entered or restored
 * last has the entry. The one that had it becomes an *alias*: kept by the system in a hash table of its
 * own (chains.h), which the hardware does not read. The PG_ALIASES aliases made last are still seen
 * by walks, as by the translation registers of machines of this kind, so that an instruction that
 * needs two mappings of one frame at once can complete. When a mapping drops out of these, whoever
 * caches it is told; the next access to it faults, and restore gives it the entry back: a soft fault.
 *
 * Called through struct pg_table_form by mmu/mmu.c (walk, update) and space/ (the rest). Calls
 * chains.c, pageset.c and records.c. The machine's part owns the frames of all of these; a table, which is
 * one address space's share, owns none.
 *
 * A walk reads the anchor and then entries: a reference each. Aliases seen by walks cost none.
 *
 * Invariants (inverted check), beside those of chains.c, pageset.c and records.c:
 *   I1 an entry in use is on the chain of its page and owner, and no other is on a chain.
 *   I2 each page of a table's set has the entry of a frame or is an alias, never both, and there are no
 *      other entries and aliases.
 *   I3 what walks see beyond the entries are aliases, each once.
 *   I4 the frames counted are those of entries, anchors, heads and pool; all slots taken are in use.
 *
 * walk and update run while the guest's vector registers are live: this file is compiled with
 * general registers only, and the two call nothing.
 */
#include "mmu/chains.h"
#include "mmu/pageset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * How many mappings that lost their entry walks still see. An x86 instruction needs at most 18
 * pages at once: 16 for the elements of a gather (8, each across two pages), 2 for itself.
 */
#define PG_ALIASES 32

/* The entry of a frame: 16 bytes. */
struct entry {
	uint64_t page; /* page number << 12 | the low 12 bits of an x86-64 entry; P clear: free */
	uint32_t next; /* frame number + 1 of the next on the chain; 0: none */
	uint16_t owner;
	uint8_t no_execute;
	uint8_t reserved;
};
_Static_assert(sizeof(struct entry) == 16, "four entries in a cache line");

#define ENTRIES_FRAME (PG_PAGE_SIZE / sizeof(struct entry))
#define ANCHORS_FRAME (PG_PAGE_SIZE / sizeof(uint32_t))

struct inverted; /* one address space's share */

struct lost {
	struct inverted *table;
	uint64_t vpn;
};

struct machine {
	struct pg_frames *fs;
	uint8_t *bytes;       /* of frame 0 */
	struct entry **entry; /* [frame / ENTRIES_FRAME]: host addresses of frames; owned */
	uint32_t **anchor;    /* [anchor / ANCHORS_FRAME]; an anchor is a frame number + 1 or 0 */
	uint64_t frames, entry_frames, anchor_frames;
	unsigned anchor_bits;
	struct pg_node_count count;
	struct pg_records pool;
	struct pg_chains aliases;
	struct lost lost[PG_ALIASES + 1]; /* oldest first */
	unsigned lost_n;
	struct inverted *tables;    /* a list */
	struct inverted **by_owner; /* [65536]; owned */
};

struct inverted {
	struct pg_table t; /* first: the form */
	struct machine *m;
	struct inverted *next;
	unsigned vpn_bits;
	uint16_t owner;
	struct pg_pageset pages; /* with an entry or an alias */
	struct pg_table_stats stats;
	void (*displaced)(void *ctx, pg_vpn vpn);
	void *ctx;
};

static inline struct inverted *inverted_of(struct pg_table *t)
{
	return (struct inverted *)(void *)t;
}

static inline const struct inverted *inverted_of_const(const struct pg_table *t)
{
	return (const struct inverted *)(const void *)t;
}

static inline bool outside(const struct inverted *i, uint64_t vpn)
{
	return vpn >> i->vpn_bits != 0;
}

static inline struct entry *entry_at(const struct machine *m, uint32_t f)
{
	return &m->entry[f / ENTRIES_FRAME][f % ENTRIES_FRAME];
}

static inline uint32_t *anchor_of(const struct machine *m, uint16_t owner, uint64_t vpn)
{
	uint64_t a = pg_chains_hash(owner, vpn) >> (64 - m->anchor_bits);

	return &m->anchor[a / ANCHORS_FRAME][a % ANCHORS_FRAME];
}

static inline pg_pte pte_of(const struct entry *e, uint32_t f)
{
	return pg_pte_make((pg_pfn){f}, (e->page & PG_PAGE_MASK) | (e->no_execute ? PG_PTE_NX : 0));
}

static inline void entry_set(struct entry *e, uint64_t vpn, pg_pte pte)
{
	e->page = vpn << PG_PAGE_SHIFT | (pte & PG_PAGE_MASK);
	e->no_execute = (pte & PG_PTE_NX) != 0;
}

/* ---- the machine's part */

static const char *inverted_parse(const char *text, struct pg_geometry *g)
{
	*g = pg_geometry_x86_64;
	if (!text)
		return NULL;
	if (strncmp(text, "anchors=", 8) || !text[8] || text[9] || !strchr("1248", text[8]))
		return "an inverted table is inverted, or inverted:anchors=N with N 1, 2, 4 or 8";
	g->anchors = (uint8_t)(text[8] - '0');
	return NULL;
}

/* n frames one by one, their host addresses into a new array. NULL: no memory or no frames. */
static void *frames_take(struct machine *m, uint64_t n)
{
	void **at = calloc(n, sizeof *at);

	for (uint64_t i = 0; at && i < n; i++) {
		pg_link node = pg_node_take(m->fs, 0, m, &m->count);

		if (!node) {
			while (i-- > 0)
				pg_node_give(m->fs, pg_link_of(m->bytes, at[i]), &m->count);
			free(at);
			return NULL;
		}
		at[i] = pg_link_at(m->bytes, node);
	}
	return at;
}

static void frames_give(struct machine *m, void *array, uint64_t n)
{
	void **at = array;

	for (uint64_t i = 0; at && i < n; i++)
		pg_node_give(m->fs, pg_link_of(m->bytes, at[i]), &m->count);
	free(at);
}

static int inverted_open(struct pg_frames *fs, const struct pg_geometry *g, void **out)
{
	struct machine *m = calloc(1, sizeof *m);
	uint64_t anchors = pg_frames_total(fs) * (g->anchors ? g->anchors : 1);

	if (!m)
		return -ENOMEM;
	m->fs = fs;
	m->bytes = pg_frames_bytes(fs, (pg_pfn){0});
	m->frames = pg_frames_total(fs);
	m->entry_frames = (m->frames + ENTRIES_FRAME - 1) / ENTRIES_FRAME;
	m->anchor_bits = 1;
	while ((uint64_t)1 << m->anchor_bits < anchors)
		m->anchor_bits++;
	m->anchor_frames = (((uint64_t)1 << m->anchor_bits) + ANCHORS_FRAME - 1) / ANCHORS_FRAME;
	pg_records_init(&m->pool, fs, m, &m->count, PG_PAGESET_SLOT);
	m->by_owner = calloc(65536, sizeof(struct inverted *));
	m->entry = frames_take(m, m->entry_frames);
	m->anchor = m->entry ? frames_take(m, m->anchor_frames) : NULL;
	if (!m->by_owner || !m->anchor ||
		pg_chains_init(&m->aliases, fs, &m->pool, m, &m->count, false)) {
		frames_give(m, m->anchor, m->anchor_frames);
		frames_give(m, m->entry, m->entry_frames);
		free(m->by_owner);
		free(m);
		return -ENOMEM;
	}
	*out = m;
	return 0;
}

static void inverted_close(void *machine)
{
	struct machine *m = machine;

	PG_ASSERT(!m->tables && !m->lost_n && !m->aliases.elements);
	pg_chains_end(&m->aliases);
	frames_give(m, m->anchor, m->anchor_frames);
	frames_give(m, m->entry, m->entry_frames);
	PG_ASSERT(!m->count.frames);
	free(m->by_owner);
	free(m);
}

/* ---- entries */

/* The frame that holds (owner, vpn) + 1, or 0; *refs += anchor and entries read. */
static inline uint32_t find_entry(
	const struct machine *m, uint16_t owner, uint64_t vpn, unsigned *refs)
{
	uint32_t f = *anchor_of(m, owner, vpn);
	unsigned n = 1;

	for (; f; n++) {
		const struct entry *e = entry_at(m, f - 1);

		if (e->page >> PG_PAGE_SHIFT == vpn && e->owner == owner) {
			n++;
			break;
		}
		f = e->next;
	}
	*refs += n;
	return f;
}

/* Gives the free entry of a frame to (owner, vpn). */
static void entry_link(struct machine *m, uint16_t owner, uint64_t vpn, pg_pte pte)
{
	uint32_t f = pg_pte_pfn(pte).v, *anchor = anchor_of(m, owner, vpn);
	struct entry *e = entry_at(m, f);

	entry_set(e, vpn, pte);
	e->owner = owner;
	e->next = *anchor;
	*anchor = f + 1;
}

/* Frees the entry of a frame. */
static void entry_unlink(struct machine *m, uint32_t f)
{
	struct entry *e = entry_at(m, f);
	uint32_t *at = anchor_of(m, e->owner, e->page >> PG_PAGE_SHIFT);

	while (*at != f + 1) {
		PG_ASSERT(*at);
		at = &entry_at(m, *at - 1)->next;
	}
	*at = e->next;
	*e = (struct entry){0};
}

/* ---- aliases */

static struct pg_element *find_alias(const struct inverted *i, uint64_t vpn)
{
	unsigned refs = 0;

	if (!i->m->aliases.elements)
		return NULL;
	return pg_chains_find(&i->m->aliases, i->owner, vpn, &refs);
}

/* True if walks see the alias (i, vpn). */
static inline bool seen(const struct inverted *i, uint64_t vpn)
{
	const struct machine *m = i->m;

	for (unsigned k = 0; k < m->lost_n; k++)
		if (m->lost[k].vpn == vpn && m->lost[k].table == i)
			return true;
	return false;
}

static void lost_drop(struct machine *m, unsigned k)
{
	m->lost_n--;
	for (; k < m->lost_n; k++)
		m->lost[k] = m->lost[k + 1];
}

/* (i, vpn) is an alias no more. */
static void lost_forget(const struct inverted *i, uint64_t vpn)
{
	struct machine *m = i->m;

	for (unsigned k = 0; k < m->lost_n; k++) {
		if (m->lost[k].vpn == vpn && m->lost[k].table == i) {
			lost_drop(m, k);
			return;
		}
	}
}

/* (i, vpn) has just become an alias: the oldest that walks see makes room. */
static void lost_add(struct inverted *i, uint64_t vpn)
{
	struct machine *m = i->m;
	struct lost oldest = m->lost[0];

	i->stats.displaced++;
	m->lost[m->lost_n++] = (struct lost){i, vpn};
	if (m->lost_n <= PG_ALIASES)
		return;
	lost_drop(m, 0);
	if (oldest.table->displaced)
		oldest.table->displaced(oldest.table->ctx, (pg_vpn){oldest.vpn});
}

/*
 * Gives the entry of the frame in pte to (i, vpn), which does not have it; own: (i, vpn) is an alias, and is
 * none afterwards. Who has the entry now becomes an alias. -ENOMEM, not if own: unchanged.
 */
static int take_entry(struct inverted *i, uint64_t vpn, pg_pte pte, bool own)
{
	struct machine *m = i->m;
	uint32_t f = pg_pte_pfn(pte).v;
	struct entry had = *entry_at(m, f);
	uint64_t had_vpn = had.page >> PG_PAGE_SHIFT;
	struct pg_element *e;

	if (!(had.page & PG_PTE_P)) {
		if (own)
			pg_chains_remove(&m->aliases, i->owner, vpn);
	} else {
		e = own ? pg_chains_rename(&m->aliases, i->owner, vpn, had.owner, had_vpn)
			: pg_chains_add(&m->aliases, had.owner, had_vpn);
		if (!e)
			return -ENOMEM;
		e->pte[0] = pte_of(&had, f);
		entry_unlink(m, f);
	}
	entry_link(m, i->owner, vpn, pte);
	if (own)
		lost_forget(i, vpn);
	if (had.page & PG_PTE_P)
		lost_add(m->by_owner[had.owner], had_vpn);
	return 0;
}

/* ---- one address space */

static int inverted_create(const struct pg_table_config *c, struct pg_table **out)
{
	const struct pg_geometry *g = c->geometry;
	struct machine *m = c->machine;
	struct inverted *i;

	/* 52 bits of page number fit into an entry. */
	if (g->entry_bytes != 8 || g->page_shift < PG_PAGE_SHIFT || !g->levels ||
		g->levels > PG_MAX_LEVELS || pg_geometry_vpn_bits(g) + g->page_shift > 64)
		return -EINVAL;
	PG_ASSERT(!m->by_owner[c->owner]);
	i = calloc(1, sizeof *i);
	if (!i)
		return -ENOMEM;
	i->t.form = &pg_table_inverted;
	i->m = m;
	i->vpn_bits = pg_geometry_vpn_bits(g);
	i->owner = c->owner;
	i->pages.pool = &m->pool;
	i->displaced = c->displaced;
	i->ctx = c->ctx;
	i->next = m->tables;
	m->tables = i;
	m->by_owner[c->owner] = i;
	*out = &i->t;
	return 0;
}

static int inverted_enter(struct pg_table *t, pg_vpn vpn, pg_pte pte)
{
	struct inverted *i = inverted_of(t);
	uint32_t f = pg_pte_pfn(pte).v, was;
	unsigned refs = 0;
	bool own;

	PG_ASSERT(pte & PG_PTE_P);
	if (outside(i, vpn.v))
		return -EINVAL;
	PG_ASSERT(f < i->m->frames);
	was = find_entry(i->m, i->owner, vpn.v, &refs);
	if (was == f + 1) {
		entry_set(entry_at(i->m, f), vpn.v, pte);
		return 0;
	}
	own = !was && find_alias(i, vpn.v);
	if (!was && !own && pg_pageset_add(&i->pages, vpn.v))
		return -ENOMEM;
	if (take_entry(i, vpn.v, pte, own)) {
		if (!was)
			pg_pageset_remove(&i->pages, vpn.v);
		return -ENOMEM;
	}
	if (was)
		entry_unlink(i->m, was - 1);
	else if (!own)
		i->stats.entries++;
	return 0;
}

static pg_pte inverted_remove(struct pg_table *t, pg_vpn vpn)
{
	struct inverted *i = inverted_of(t);
	struct machine *m = i->m;
	unsigned refs = 0;
	pg_pte old = 0;
	uint32_t f;

	if (outside(i, vpn.v))
		return 0;
	f = find_entry(m, i->owner, vpn.v, &refs);
	if (f) {
		old = pte_of(entry_at(m, f - 1), f - 1);
		entry_unlink(m, f - 1);
	} else {
		struct pg_element *e = find_alias(i, vpn.v);

		if (!e)
			return 0;
		old = e->pte[0];
		lost_forget(i, vpn.v);
		pg_chains_remove(&m->aliases, i->owner, vpn.v);
	}
	pg_pageset_remove(&i->pages, vpn.v);
	i->stats.entries--;
	return old;
}

static void inverted_destroy(struct pg_table *t)
{
	struct inverted *i = inverted_of(t), **at;
	uint64_t vpn;

	if (!t)
		return;
	while (pg_pageset_next(&i->pages, 0, UINT64_MAX, &vpn))
		inverted_remove(t, (pg_vpn){vpn});
	for (at = &i->m->tables; *at != i; at = &(*at)->next)
		;
	*at = i->next;
	i->m->by_owner[i->owner] = NULL;
	free(i);
}

static pg_pte inverted_walk(const struct pg_table *t, pg_vpn vpn, unsigned *refs)
{
	const struct inverted *i = inverted_of_const(t);
	const struct pg_element *e;
	uint32_t f;

	*refs = 0;
	if (__builtin_expect(outside(i, vpn.v), 0))
		return 0;
	f = find_entry(i->m, i->owner, vpn.v, refs);
	if (__builtin_expect(f != 0, 1))
		return pte_of(entry_at(i->m, f - 1), f - 1);
	if (!seen(i, vpn.v))
		return 0;
	e = find_alias(i, vpn.v);
	return e ? e->pte[0] : 0;
}

static pg_pte inverted_find(const struct pg_table *t, pg_vpn vpn)
{
	const struct inverted *i = inverted_of_const(t);
	const struct pg_element *e;
	unsigned refs = 0;
	uint32_t f;

	if (outside(i, vpn.v))
		return 0;
	f = find_entry(i->m, i->owner, vpn.v, &refs);
	if (f)
		return pte_of(entry_at(i->m, f - 1), f - 1);
	e = find_alias(i, vpn.v);
	return e ? e->pte[0] : 0;
}

static void inverted_restore(struct pg_table *t, pg_vpn vpn)
{
	struct inverted *i = inverted_of(t);
	struct pg_element *e;
	unsigned refs = 0;

	if (outside(i, vpn.v) || find_entry(i->m, i->owner, vpn.v, &refs))
		return;
	e = find_alias(i, vpn.v);
	if (e && take_entry(i, vpn.v, e->pte[0], true) == 0)
		i->stats.restored++;
}

static pg_pte inverted_update(struct pg_table *t, pg_vpn vpn, pg_pte set, pg_pte clear)
{
	struct inverted *i = inverted_of(t);
	struct pg_element *e;
	unsigned refs = 0;
	pg_pte old;
	uint32_t f;

	PG_ASSERT(!(clear & PG_PTE_P));
	if (outside(i, vpn.v))
		return 0;
	f = find_entry(i->m, i->owner, vpn.v, &refs);
	if (f) {
		old = pte_of(entry_at(i->m, f - 1), f - 1);
		entry_set(entry_at(i->m, f - 1), vpn.v, (old & ~clear) | set);
		return old;
	}
	e = find_alias(i, vpn.v);
	if (!e)
		return 0;
	old = e->pte[0];
	e->pte[0] = (old & ~clear) | set;
	return old;
}

static bool inverted_next(
	const struct pg_table *t, pg_vpn from, pg_vpn end, pg_vpn *found, pg_pte *pte)
{
	if (!pg_pageset_next(&inverted_of_const(t)->pages, from.v, end.v, &found->v))
		return false;
	*pte = inverted_find(t, *found);
	PG_ASSERT(*pte);
	return true;
}

static void inverted_stats(const struct pg_table *t, struct pg_table_stats *out)
{
	const struct inverted *i = inverted_of_const(t);

	*out = i->stats;
	out->shared_frames = i->m->count.frames;
	out->shared_frames_peak = i->m->count.peak;
}

/* ---- checking */

/* I1, and I2 for entries; *used: how many are in use. */
static const char *check_entries(const struct machine *m, uint64_t *used)
{
	uint64_t chained = 0;

	for (uint32_t f = 0; f < m->frames; f++) {
		const struct entry *e = entry_at(m, f);
		uint64_t vpn = e->page >> PG_PAGE_SHIFT, found;
		const struct inverted *i = m->by_owner[e->owner];
		uint32_t at;

		if (!(e->page & PG_PTE_P))
			continue;
		++*used;
		for (at = *anchor_of(m, e->owner, vpn); at && at != f + 1;
			at = entry_at(m, at - 1)->next)
			if (!(entry_at(m, at - 1)->page & PG_PTE_P))
				return "I1: a free entry on a chain";
		if (!at)
			return "I1: an entry that is not on its chain";
		if (!i || !pg_pageset_next(&i->pages, vpn, vpn + 1, &found) || find_alias(i, vpn))
			return "I2: an entry of a page that is not there";
	}
	for (uint64_t a = 0; a < (uint64_t)1 << m->anchor_bits; a++) {
		for (uint32_t f = m->anchor[a / ANCHORS_FRAME][a % ANCHORS_FRAME]; f;
			f = entry_at(m, f - 1)->next)
			if (++chained > *used)
				return "I1: an entry on a chain that is not its own";
	}
	return NULL;
}

static const char *check_alias(void *ctx, uint16_t owner, const struct pg_element *e)
{
	const struct machine *m = ctx;
	const struct inverted *i = m->by_owner[owner];
	uint64_t found;

	if (!i || !pg_pageset_next(&i->pages, e->page, e->page + 1, &found) ||
		!(e->pte[0] & PG_PTE_P) || pg_pte_pfn(e->pte[0]).v >= m->frames)
		return "I2: an alias of a page that is not there";
	return NULL;
}

static const char *check_tables(const struct machine *m, uint64_t used)
{
	uint64_t all = 0, nodes = 0;

	for (const struct inverted *i = m->tables; i; i = i->next) {
		uint64_t pages = 0;
		const char *bad = pg_pageset_check(&i->pages, &pages, &nodes);

		if (bad)
			return bad;
		if (pages != i->stats.entries)
			return "I2: the count of a table's pages";
		all += pages;
	}
	if (all != used + m->aliases.elements)
		return "I2: the count of entries and aliases";
	for (unsigned k = 0; k < m->lost_n; k++) {
		const struct inverted *i = m->lost[k].table;

		if (!find_alias(i, m->lost[k].vpn))
			return "I3: what walks see is no alias";
		for (unsigned j = 0; j < k; j++)
			if (m->lost[j].table == i && m->lost[j].vpn == m->lost[k].vpn)
				return "I3: an alias is seen twice";
	}
	return m->pool.used == nodes + m->aliases.elements ? NULL : "I4: the slots in use";
}

static const char *inverted_check(const struct pg_table *t)
{
	struct machine *m = inverted_of_const(t)->m;
	uint64_t used = 0, frames;
	const char *bad = check_entries(m, &used);

	if (!bad)
		bad = pg_chains_check(&m->aliases, check_alias, m);
	if (!bad)
		bad = pg_records_check(&m->pool);
	if (!bad)
		bad = check_tables(m, used);
	if (bad)
		return bad;
	frames = m->entry_frames + m->anchor_frames + m->pool.frames +
		 ((uint64_t)1 << (m->aliases.heads.bits - 9));
	if (m->aliases.old.at)
		frames += (uint64_t)1 << (m->aliases.old.bits - 9);
	return frames == m->count.frames && frames <= m->count.peak ? NULL
								    : "I4: the count of frames";
}

const struct pg_table_form pg_table_inverted = {
	.name = "inverted",
	.summary = "inverted: an entry for each frame, one table for the machine",
	.shapes = "anchors=N       N anchors (1, 2, 4 or 8) for each frame (default 1)",
	.parse = inverted_parse,
	.open = inverted_open,
	.close = inverted_close,
	.create = inverted_create,
	.destroy = inverted_destroy,
	.enter = inverted_enter,
	.remove = inverted_remove,
	.walk = inverted_walk,
	.find = inverted_find,
	.restore = inverted_restore,
	.update = inverted_update,
	.next = inverted_next,
	.stats = inverted_stats,
	.check = inverted_check,
};
