/* SPDX-License-Identifier: MIT */
/*
 * trace/heap_picture.c: a picture of a heap: areas and chunks put in order, joined with what was asked for, by page and by site.
 *
 * Called by heap_calls.c. Calls the walkers (heap_glibc.c, heap_pagoda.c), which fill in a draft in two steps: areas with their
 * chunks; then, sorted, what lists hold them.
 *
 * Invariants:
 *   P1 areas and chunks rise by address and do not overlap; chunks first .. first + count of an area are its own and cover it
 *      without gaps, unless it is known from calls only.
 *   P2 bytes[] and count[] sum over all chunks; heap_bytes is the sum of bytes[].
 */
#include <inttypes.h>
#include <stdarg.h>

#include "heap/layout.h"
#include "trace/heap_impl.h"

/* --- the draft ---------------------------------------------------------------------------------------------------- */

struct pg_heap_area *pg_heap_draft_area(struct pg_heap_draft *d, enum pg_area_kind kind,
	uint64_t start, uint64_t end, const char *format, ...)
{
	struct pg_heap_picture *p = d->p;
	va_list args;

	if (!pg_heap_room(&p->areas, p->area_count, &d->area_room, sizeof *p->areas)) {
		d->no_memory = true;
		return NULL;
	}
	struct pg_heap_area *a = &p->areas[p->area_count++];
	*a = (struct pg_heap_area){
		.kind = kind, .start = start, .end = end, .first = p->chunk_count};
	va_start(args, format);
	vsnprintf(a->name, sizeof a->name, format, args);
	va_end(args);
	return a;
}

struct pg_heap_chunk *pg_heap_draft_chunk(struct pg_heap_draft *d, uint64_t address, uint64_t size,
	uint64_t block, uint64_t usable, enum pg_chunk_state state)
{
	struct pg_heap_picture *p = d->p;

	if (size == 0)
		return NULL;
	if (p->area_count == 0 || p->chunk_count == PG_HEAP_NONE - 1 ||
		!pg_heap_room(&p->chunks, p->chunk_count, &d->chunk_room, sizeof *p->chunks)) {
		d->no_memory = true;
		return NULL;
	}
	struct pg_heap_chunk *c = &p->chunks[p->chunk_count++];
	*c = (struct pg_heap_chunk){.address = address,
		.size = size,
		.block = block,
		.usable = usable,
		.requested = PG_HEAP_UNKNOWN,
		.site = PG_HEAP_NONE,
		.list = PG_HEAP_NONE,
		.next = PG_HEAP_NONE,
		.state = (uint8_t)state};
	p->areas[p->area_count - 1].count++;
	return c;
}

uint32_t pg_heap_draft_list(struct pg_heap_draft *d, const char *format, ...)
{
	struct pg_heap_picture *p = d->p;
	va_list args;

	if (!pg_heap_room(&p->lists, p->list_count, &d->list_room, sizeof *p->lists)) {
		d->no_memory = true;
		return PG_HEAP_NONE;
	}
	struct pg_heap_list *l = &p->lists[p->list_count];
	*l = (struct pg_heap_list){.first = PG_HEAP_NONE};
	va_start(args, format);
	vsnprintf(l->name, sizeof l->name, format, args);
	va_end(args);
	return p->list_count++;
}

void pg_heap_draft_link(struct pg_heap_draft *d, uint32_t list, uint32_t last, uint32_t chunk)
{
	struct pg_heap_list *l = &d->p->lists[list];

	if (last == PG_HEAP_NONE)
		l->first = chunk;
	else
		d->p->chunks[last].next = chunk;
	l->count++;
	l->bytes += d->p->chunks[chunk].size;
	d->p->chunks[chunk].list = list;
}

uint32_t pg_heap_draft_at(const struct pg_heap_draft *d, uint64_t address)
{
	const struct pg_heap_chunk *c = d->p->chunks;
	uint32_t low = 0, high = d->p->chunk_count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (c[mid].address < address)
			low = mid + 1;
		else
			high = mid;
	}
	return low < d->p->chunk_count && c[low].address == address ? low : PG_HEAP_NONE;
}

void pg_heap_draft_problem(struct pg_heap_draft *d, const char *format, ...)
{
	va_list args;

	if (d->p->problem[0])
		return;
	va_start(args, format);
	vsnprintf(d->p->problem, sizeof d->p->problem, format, args);
	va_end(args);
}

static int by_start(const void *va, const void *vb)
{
	const struct pg_heap_area *a = va, *b = vb;

	return (a->start > b->start) - (a->start < b->start);
}

static int by_address(const void *va, const void *vb)
{
	const struct pg_heap_chunk *a = va, *b = vb;

	return (a->address > b->address) - (a->address < b->address);
}

static void sort(struct pg_heap_draft *d)
{
	struct pg_heap_picture *p = d->p;
	uint32_t first = 0;

	if (p->area_count)
		qsort(p->areas, p->area_count, sizeof *p->areas, by_start);
	uint32_t i = 1;
	while (i < p->chunk_count && p->chunks[i].address > p->chunks[i - 1].address)
		i++;
	if (i < p->chunk_count) /* they often are in order as they come */
		qsort(p->chunks, p->chunk_count, sizeof *p->chunks, by_address);
	for (i = 0; i < p->area_count; i++) {
		p->areas[i].first = first;
		first += p->areas[i].count;
	}
}

/* --- joined with the calls ------------------------------------------------------------------------------------------ */

#define APART ((uint64_t)1 << 20) /* blocks so far from each other are in areas of their own */

static int by_number(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

	return (a > b) - (a < b);
}

/* No allocator that is known: what the calls say is all there is. */
static void draw_calls(struct pg_heap_draft *d)
{
	const struct pg_heap_table *t = &d->w->live;
	uint64_t *blocks = malloc(((size_t)t->n + 1) * sizeof *blocks), end = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; blocks && t->keys && i <= t->mask; i++) {
		if (t->keys[i])
			blocks[n++] = t->keys[i];
	}
	d->no_memory |= !blocks;
	if (n > 0)
		qsort(blocks, n, sizeof *blocks, by_number);
	for (uint32_t i = 0; i < n && !d->no_memory; i++) {
		const struct pg_heap_live *l = pg_heap_table_find(t, blocks[i]);
		uint64_t bytes = l->requested ? l->requested : 1;

		if (i == 0 || blocks[i] > end + APART)
			pg_heap_draft_area(
				d, PG_AREA_CALLS, blocks[i], blocks[i], "blocks known from calls");
		pg_heap_draft_chunk(d, blocks[i], bytes, blocks[i], l->requested, PG_CHUNK_USED);
		end = blocks[i] + bytes;
		if (!d->no_memory)
			d->p->areas[d->p->area_count - 1].end = end;
	}
	free(blocks);
}

static void join(struct pg_heap_draft *d)
{
	struct pg_heap_picture *p = d->p;
	uint32_t found = 0;

	for (uint32_t i = 0; i < p->chunk_count; i++) {
		struct pg_heap_chunk *c = &p->chunks[i];
		const struct pg_heap_live *l = c->state == PG_CHUNK_USED
						       ? pg_heap_table_find(&d->w->live, c->block)
						       : NULL;

		p->bytes[c->state] += c->size;
		p->count[c->state]++;
		p->heap_bytes += c->size;
		if (c->state == PG_CHUNK_FREE || c->state == PG_CHUNK_CACHED) {
			p->holes++;
			p->hole_bytes += c->size;
			if (c->size > p->largest_hole)
				p->largest_hole = c->size;
		}
		if (!l)
			continue;
		found++;
		c->requested = l->requested;
		c->site = l->site;
		c->thread = l->thread;
		c->call = l->call;
		p->known_blocks++;
		p->known_requested += c->requested;
		p->known_usable += c->usable;
	}
	p->table_blocks = d->w->live.n;
	p->table_bytes = d->w->live_bytes;
	if (found < d->w->live.n)
		pg_heap_draft_problem(d, "%u of %u blocks that the program has are not in the heap",
			d->w->live.n - found, d->w->live.n);
}

/* --- pages --------------------------------------------------------------------------------------------------------- */

struct pages {
	struct pg_heap_picture *p;
	struct pg_space *space;
	bool keep; /* which pages are there */
	bool no_memory;
	uint64_t *last_site; /* by site: page last counted for it */
};

/* The page of address `at`, of area a, whose chunks in it begin at index first; returns the first chunk of the next page. */
static uint32_t look_at_page(struct pages *g, struct pg_heap_area *a, uint64_t at, uint32_t first)
{
	struct pg_heap_picture *p = g->p;
	uint64_t end = at + PG_PAGE_SIZE;
	enum pg_page_place place = pg_space_place(g->space, (pg_va){at});
	uint32_t i = first, last = a->first + a->count, site = PG_HEAP_NONE;
	bool used = false, meta = false, alone = true;

	if (a->there)
		a->there[a->pages] = place == PG_PLACE_FRAME;
	a->pages++;
	a->resident += place == PG_PLACE_FRAME;
	a->swapped += place == PG_PLACE_SLOT;
	for (; i < last && p->chunks[i].address < end; i++) {
		const struct pg_heap_chunk *c = &p->chunks[i];
		used |= c->state == PG_CHUNK_USED;
		meta |= c->state == PG_CHUNK_META || c->state == PG_CHUNK_FENCE;
		if (c->state == PG_CHUNK_USED && place == PG_PLACE_FRAME) {
			alone &= site == PG_HEAP_NONE || site == c->site;
			site = c->site;
			if (c->site != PG_HEAP_NONE && p->sites && g->last_site[c->site] != at) {
				g->last_site[c->site] = at;
				p->sites[c->site].resident_pages++;
			}
		}
		if (c->address + c->size > end)
			break;
	}
	if (place == PG_PLACE_FRAME && !used) {
		a->idle++;
		a->idle_inside += !meta;
	}
	if (place == PG_PLACE_FRAME && alone && site != PG_HEAP_NONE && p->sites)
		p->sites[site].alone_pages++;
	return i;
}

static void look_at_pages(struct pages *g)
{
	struct pg_heap_picture *p = g->p;

	for (uint32_t i = 0; i < p->area_count; i++) {
		struct pg_heap_area *a = &p->areas[i];
		uint64_t from = a->start & ~PG_PAGE_MASK;
		uint32_t at = a->first;

		if (a->kind == PG_AREA_CALLS) { /* pages between blocks are not ours to count */
			uint64_t done = 0;
			for (uint32_t k = a->first; k < a->first + a->count; k++) {
				const struct pg_heap_chunk *c = &p->chunks[k];
				uint64_t page = c->address & ~PG_PAGE_MASK;
				for (; page < c->address + c->size; page += PG_PAGE_SIZE) {
					if (page < done)
						continue;
					look_at_page(g, a, page, k);
					done = page + PG_PAGE_SIZE;
				}
			}
		} else {
			a->there =
				g->keep ? calloc(((a->end - from) >> PG_PAGE_SHIFT) + 1, 1) : NULL;
			if (g->keep && !a->there)
				g->no_memory = true;
			for (; from < a->end; from += PG_PAGE_SIZE) {
				at = look_at_page(g, a, from, at);
			}
		}
		p->pages += a->pages;
		p->resident += a->resident;
		p->swapped += a->swapped;
		p->idle += a->idle;
		p->idle_inside += a->idle_inside;
	}
}

/* --- made and freed ------------------------------------------------------------------------------------------------------ */

static bool copy_sites(struct pg_heap_watch *w, struct pg_heap_picture *p)
{
	p->sites = calloc((size_t)w->origin_count + 1, sizeof *p->sites);
	if (!p->sites)
		return false;
	p->site_count = w->origin_count;
	for (uint32_t i = 0; i < p->site_count; i++) {
		const struct pg_heap_origin *o = &w->origins[i];
		p->sites[i].calls = o->calls;
		p->sites[i].live_blocks = o->live_blocks;
		p->sites[i].live_bytes = o->live_bytes;
		p->sites[i].peak_bytes = o->peak_bytes;
	}
	return true;
}

static const char *name_allocator(struct pg_heap_watch *w, bool glibc, bool pagoda)
{
	static const char *const names[] = {"", "pagoda-malloc sharded", "pagoda-malloc first-fit",
		"pagoda-malloc next-fit", "pagoda-malloc best-fit", "pagoda-malloc worst-fit"};
	unsigned family = pagoda ? pg_heap_pagoda_family(w, &w->memory) : 0;

	_Static_assert(sizeof names / sizeof names[0] == PG_HEAP_FAMILIES, "a name each");
	if (family)
		return names[family];
	return glibc ? "glibc" : "no allocator";
}

struct pg_heap_picture *pg_heap_picture_make(struct pg_heap_watch *w, bool whole)
{
	struct pg_heap_picture *p = calloc(1, sizeof *p);
	struct pg_heap_draft d = {.w = w, .m = &w->memory, .p = p, .whole = whole};
	struct pg_space *space = pg_linux_space(w->linux);
	struct pages g = {.p = p, .space = space, .keep = whole};

	if (!p || !space) {
		free(p);
		return NULL;
	}
	pg_heap_watch_threads(w);
	pg_heap_memory_begin(&w->memory, space);
	w->memory.whole = true;
	bool pagoda = pg_heap_pagoda_walk(&d);
	bool glibc = pg_heap_glibc_walk(&d);
	bool unknown = p->chunk_count == 0 && w->live.n && !d.no_memory;
	if (unknown)
		draw_calls(&d);
	if (pg_heap_glibc_strange(w) && !pagoda)
		snprintf(p->note, sizeof p->note,
			"glibc %u.%u has structures that are not known here: blocks are drawn as "
			"its calls tell of them, free ones and lists are not",
			w->glibc.version / 100, w->glibc.version % 100);
	else if (unknown)
		snprintf(p->note, sizeof p->note,
			"structures of this allocator are not known here: blocks are drawn as its "
			"calls tell of them, free ones and lists are not");
	p->allocator = unknown ? "an unknown allocator" : name_allocator(w, glibc, pagoda);
	sort(&d);
	w->memory.whole = false; /* lists lead here and there */
	if (!d.no_memory && whole && pagoda)
		pg_heap_pagoda_lists(&d);
	if (!d.no_memory)
		pg_heap_glibc_lists(&d);
	if (!d.no_memory && whole) {
		d.no_memory = !copy_sites(w, p);
		g.last_site = calloc((size_t)w->origin_count + 1, sizeof *g.last_site);
		d.no_memory |= !g.last_site;
	}
	if (d.no_memory) {
		free(g.last_site);
		pg_heap_picture_free(p);
		return NULL;
	}
	join(&d);
	if (unknown)
		p->known_usable = 0; /* nobody says */
	look_at_pages(&g);
	free(g.last_site);
	if (g.no_memory) {
		pg_heap_picture_free(p);
		return NULL;
	}
	return p;
}

void pg_heap_picture_free(struct pg_heap_picture *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; p->sites && i < p->site_count; i++) {
		for (uint32_t k = 0; k < p->sites[i].depth; k++) {
			free(p->sites[i].frames[k].function);
			free(p->sites[i].frames[k].symbol);
			free(p->sites[i].frames[k].module);
			free(p->sites[i].frames[k].source);
		}
		free(p->sites[i].frames);
	}
	for (uint32_t i = 0; i < p->area_count; i++)
		free(p->areas[i].there);
	free(p->sites);
	free(p->chunks);
	free(p->areas);
	free(p->lists);
	free(p->samples);
	free(p);
}

/* --- names ------------------------------------------------------------------------------------------------------------------ */

/* Names of places; many sites share their callers. Rows are places by a hash, names[n] theirs. */
struct names {
	struct pg_heap_table table; /* uint32_t, index + 1 into all, by hash */
	struct named {
		struct pg_heap_place place;
		struct pg_symbol found; /* borrowed from the symbols */
	} * all;                        /* owned */
	uint32_t count, room;
};

/* What the symbols say of a place; NULL: no memory. */
static const struct pg_symbol *look_up(
	struct pg_heap_watch *w, struct names *names, const struct pg_heap_place *at)
{
	const char *module = w->modules[at->module];
	uint64_t key = (at->offset ^ (uint64_t)at->module << 48) | (uint64_t)1 << 63;
	uint32_t *row;

	for (;; key++) {
		row = pg_heap_table_put(&names->table, key);
		if (!row)
			return NULL;
		if (!*row)
			break;
		const struct named *n = &names->all[*row - 1];
		if (n->place.module == at->module && n->place.offset == at->offset)
			return &n->found;
	}
	if (!pg_heap_room(&names->all, names->count, &names->room, sizeof *names->all))
		return NULL;
	struct named *n = &names->all[names->count++];
	*n = (struct named){.place = *at};
	*row = names->count;
	/* the call is before the instruction that it returns to */
	if (module[0] == '/' && !pg_symbols_find(w->symbols, module, at->offset - 1, &n->found))
		n->found = (struct pg_symbol){0};
	return &n->found;
}

static bool name_frame(struct pg_heap_watch *w, struct names *names, const struct pg_heap_place *at,
	struct pg_heap_frame *f)
{
	const struct pg_symbol *found = look_up(w, names, at);
	const char *module = w->modules[at->module];
	char text[32];

	if (!found)
		return false;
	f->module = strdup(module);
	snprintf(text, sizeof text, "0x%" PRIx64, at->offset);
	if (found->function)
		f->function = strdup(found->function);
	else if (!module[0])
		f->function = strdup(text);
	else if (asprintf(&f->function, "%s+%s", pg_symbols_base_name(module), text) < 0)
		f->function = NULL;
	if (found->symbol)
		f->symbol = strdup(found->symbol);
	if (found->source) {
		f->source = strdup(found->source);
		f->line = found->line;
	}
	return f->module && f->function && (f->symbol || !found->symbol) &&
	       (f->source || !found->source);
}

static bool name_site(struct pg_heap_watch *w, struct names *names, const struct pg_heap_origin *o,
	struct pg_heap_site *s)
{
	bool good = true;

	s->frames = calloc(o->depth, sizeof *s->frames);
	if (!s->frames)
		return false;
	s->depth = o->depth;
	for (uint32_t i = 0; i < o->depth && good; i++)
		good = name_frame(w, names, &o->places[i], &s->frames[i]);
	return good;
}

struct ranked {
	uint32_t from;
	struct pg_heap_site site;
};

static int by_bytes(const void *va, const void *vb)
{
	const struct pg_heap_site *a = &((const struct ranked *)va)->site,
				  *b = &((const struct ranked *)vb)->site;

	if (a->live_bytes != b->live_bytes)
		return a->live_bytes < b->live_bytes ? 1 : -1;
	if (a->live_blocks != b->live_blocks)
		return a->live_blocks < b->live_blocks ? 1 : -1;
	if (a->calls != b->calls)
		return a->calls < b->calls ? 1 : -1;
	return (((const struct ranked *)va)->from > ((const struct ranked *)vb)->from) * 2 - 1;
}

void pg_heap_picture_names(struct pg_heap_watch *w, struct pg_heap_picture *p)
{
	struct ranked *r = calloc((size_t)p->site_count + 1, sizeof *r);
	uint32_t *to = calloc((size_t)p->site_count + 1, sizeof *to);
	struct names names = {.table = {.row_bytes = sizeof(uint32_t)}};
	bool good = r && to;

	for (uint32_t i = 0; i < p->site_count && good; i++) {
		good = name_site(w, &names, &w->origins[i], &p->sites[i]);
		r[i] = (struct ranked){i, p->sites[i]};
	}
	if (good && p->site_count) {
		qsort(r, p->site_count, sizeof *r, by_bytes);
		for (uint32_t i = 0; i < p->site_count; i++) {
			p->sites[i] = r[i].site;
			to[r[i].from] = i;
		}
		for (uint32_t i = 0; i < p->chunk_count; i++) {
			if (p->chunks[i].site != PG_HEAP_NONE)
				p->chunks[i].site = to[p->chunks[i].site];
		}
	}
	w->no_memory |= !good;
	pg_heap_table_clear(&names.table);
	free(names.all);
	free(r);
	free(to);
}
