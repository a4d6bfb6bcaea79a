/* SPDX-License-Identifier: MIT */
/*
 * trace/faults.c: tallies of page faults by instruction and by mapping.
 *
 * space/ calls pg_fault_trace_add() after each fault. What is kept is numbers only: the place of
 * the faulting instruction's file and the byte within it, so that the mapping may be gone when
 * names are wanted. Instructions become functions when the report is made.
 *
 * Owns: two hash tables (open addressing, linear probing, growing at three quarters) over two
 * arrays.
 *
 * Invariants:
 *   T1 the tallies of all sites add up to the total, and so do those of all places, lost faults
 * apart. T2 every site names a place.
 *
 * Not here: names (symbols.c), one line a fault (faultlog.c), how it is shown (ui/).
 */
#include "trace/faults.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "space/block.h"
#include "space/object.h"
#include "space/space.h"
#include "trace/faultlog.h"

/* Positions + 1 in an array, found by a hash of what is there; 0: empty. */
struct index {
	uint32_t *slots; /* owned; [mask + 1], or NULL */
	uint32_t mask;
	uint32_t used;
};

struct place {
	char *name; /* owned */
	struct pg_object_key key;
	uint64_t hash;
	bool file;
	struct pg_tally tally;
};

struct site {
	uint32_t place;  /* where the instruction is */
	uint64_t offset; /* byte in the file; the address for anonymous code */
	struct pg_tally tally;
};

struct pg_fault_trace {
	struct place *places; /* owned; [place_count] */
	struct site *sites;   /* owned; [site_count] */
	uint32_t place_count, place_room, site_count, site_room;
	struct index place_index, site_index;
	struct pg_tally total;
	uint64_t lost;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u; /* Fibonacci hashing: Knuth, TAOCP vol. 3, 6.4 */
	return h ^ (h >> 29);
}

static uint64_t hash_text(const char *text)
{
	uint64_t h = 0;
	while (*text)
		h = mix(h, (unsigned char)*text++);
	return h;
}

/* Room for one more in the index; false if there is no memory. hash_of gives the hash of position
 * i. */
static bool index_grow(struct index *x,
	uint64_t (*hash_of)(const struct pg_fault_trace *, uint32_t),
	const struct pg_fault_trace *t)
{
	if (x->slots && x->used < x->mask / 4 * 3)
		return true;
	uint32_t size = x->slots ? (x->mask + 1) * 2 : 64;
	uint32_t *slots = calloc(size, sizeof *slots);
	if (!slots)
		return false;
	for (uint32_t i = 0; i < x->used; i++) {
		uint32_t at = (uint32_t)hash_of(t, i) & (size - 1);
		while (slots[at])
			at = (at + 1) & (size - 1);
		slots[at] = i + 1;
	}
	free(x->slots);
	x->slots = slots;
	x->mask = size - 1;
	return true;
}

static uint64_t place_hash(const struct pg_fault_trace *t, uint32_t i)
{
	return t->places[i].hash;
}

static uint64_t site_hash(const struct pg_fault_trace *t, uint32_t i)
{
	return mix(mix(0, t->sites[i].place), t->sites[i].offset);
}

/* Makes room for one more element; false if there is no memory. */
static bool array_grow(void **array, uint32_t count, uint32_t *room, size_t element_bytes)
{
	if (count < *room)
		return true;
	uint32_t more = *room ? *room * 2 : 32;
	void *bigger = realloc(*array, more * element_bytes);
	if (!bigger)
		return false;
	*array = bigger;
	*room = more;
	return true;
}

/* The place of a region, made if it is new. UINT32_MAX: no memory. */
static uint32_t place_of(struct pg_fault_trace *t, const struct pg_region *r)
{
	const char *name = pg_region_label(r);
	struct pg_object_key key = {0, 0};
	if (r->object)
		key = pg_object_get_key(r->object);
	uint64_t hash = mix(mix(hash_text(name), key.device), key.inode);
	struct index *x = &t->place_index;

	if (!index_grow(x, place_hash, t))
		return UINT32_MAX;
	uint32_t at = (uint32_t)hash & x->mask;
	for (; x->slots[at]; at = (at + 1) & x->mask) {
		const struct place *p = &t->places[x->slots[at] - 1];
		if (p->hash == hash && p->key.device == key.device && p->key.inode == key.inode &&
			strcmp(p->name, name) == 0)
			return x->slots[at] - 1;
	}

	if (!array_grow((void **)&t->places, t->place_count, &t->place_room, sizeof *t->places))
		return UINT32_MAX;
	char *copy = strdup(name);
	if (!copy)
		return UINT32_MAX;
	t->places[t->place_count] =
		(struct place){.name = copy, .key = key, .hash = hash, .file = r->object != NULL};
	x->slots[at] = ++t->place_count;
	x->used++;
	return t->place_count - 1;
}

static uint32_t site_of(struct pg_fault_trace *t, uint32_t place, uint64_t offset)
{
	struct index *x = &t->site_index;

	if (!index_grow(x, site_hash, t))
		return UINT32_MAX;
	uint32_t at = (uint32_t)mix(mix(0, place), offset) & x->mask;
	for (; x->slots[at]; at = (at + 1) & x->mask) {
		const struct site *s = &t->sites[x->slots[at] - 1];
		if (s->place == place && s->offset == offset)
			return x->slots[at] - 1;
	}
	if (!array_grow((void **)&t->sites, t->site_count, &t->site_room, sizeof *t->sites))
		return UINT32_MAX;
	t->sites[t->site_count] = (struct site){.place = place, .offset = offset};
	x->slots[at] = ++t->site_count;
	x->used++;
	return t->site_count - 1;
}

bool pg_trace_is_image(struct pg_space *s, const struct pg_region *r)
{
	struct pg_block_info i;

	return pg_block_info(s, &i) && r->start.v == i.origin.v;
}

int pg_fault_trace_create(struct pg_fault_trace **out)
{
	*out = calloc(1, sizeof **out);
	return *out ? 0 : -ENOMEM;
}

void pg_fault_trace_destroy(struct pg_fault_trace *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->place_count; i++)
		free(t->places[i].name);
	free(t->places);
	free(t->sites);
	free(t->place_index.slots);
	free(t->site_index.slots);
	free(t);
}

static void tally_cost(struct pg_fault_cost *to, const struct pg_fault_cost *from)
{
	to->stall_ns += from->stall_ns;
	to->scanned += from->scanned;
	to->reclaimed += from->reclaimed;
	to->swap_written += from->swap_written;
	to->swap_in += from->swap_in;
	to->ahead += from->ahead;
	to->refaults += from->refaults;
}

static void tally_event(struct pg_tally *t, const struct pg_fault_event *e)
{
	t->pages_in += e->pages_in;
	t->frames += e->frame_new;
	tally_cost(&t->cost, &e->cost);
	if (e->end != PG_FAULT_RESUME) {
		t->refused++;
		return;
	}
	t->faults++;
	t->by_kind[e->kind]++;
	t->by_kernel += e->by_kernel;
	t->unshared += e->after_fork;
	t->copied += e->after_fork && !pg_pfn_is_none(e->copied_from);
}

static void tally_sum(struct pg_tally *to, const struct pg_tally *from)
{
	to->faults += from->faults;
	for (int k = 0; k < PG_FAULT_KINDS; k++)
		to->by_kind[k] += from->by_kind[k];
	to->refused += from->refused;
	to->pages_in += from->pages_in;
	to->frames += from->frames;
	tally_cost(&to->cost, &from->cost);
	to->by_kernel += from->by_kernel;
	to->unshared += from->unshared;
	to->copied += from->copied;
}

void pg_fault_trace_add(struct pg_fault_trace *t, const struct pg_fault_event *e)
{
	struct pg_region code;
	uint32_t place = UINT32_MAX, site = UINT32_MAX;
	uint64_t offset = e->pc;

	tally_event(&t->total, e);
	if (e->region) {
		place = place_of(t, e->region);
		if (place != UINT32_MAX)
			tally_event(&t->places[place].tally, e);
		else
			t->lost++;
	}

	if (e->by_kernel && e->pc == 0) {
		code = (struct pg_region){.kind = PG_REGION_ANON, .name = "[exec]"};
	} else if (!pg_space_find(e->space, (pg_va){e->pc}, false, &code)) {
		/* a jump to nowhere: the site is the address itself, in a region that is not there
		 */
		code = (struct pg_region){.kind = PG_REGION_ANON, .name = "[nowhere]"};
	} else if (code.object || pg_trace_is_image(e->space, &code)) {
		offset = e->pc - code.start.v + code.offset;
	}
	place = place_of(t, &code);
	if (place != UINT32_MAX)
		site = site_of(t, place, offset);
	if (site != UINT32_MAX)
		tally_event(&t->sites[site].tally, e);
	else
		t->lost++;
}

uint64_t pg_fault_trace_lost(const struct pg_fault_trace *t)
{
	return t->lost;
}

void pg_fault_trace_total(const struct pg_fault_trace *t, struct pg_tally *out)
{
	*out = t->total;
}

static int compare_tallies(const struct pg_tally *a, const struct pg_tally *b)
{
	if (a->faults != b->faults)
		return a->faults < b->faults ? 1 : -1;
	if (a->pages_in != b->pages_in)
		return a->pages_in < b->pages_in ? 1 : -1;
	if (a->refused != b->refused)
		return a->refused < b->refused ? 1 : -1;
	return 0;
}

static int compare_places(const void *va, const void *vb)
{
	const struct pg_place_row *a = va, *b = vb;
	int order = compare_tallies(&a->tally, &b->tally);
	return order ? order : strcmp(a->name, b->name);
}

static int compare_functions(const void *va, const void *vb)
{
	const struct pg_function_row *a = va, *b = vb;
	int order = compare_tallies(&a->tally, &b->tally);
	if (!order)
		order = strcmp(a->module, b->module);
	if (!order)
		order = (a->address > b->address) - (a->address < b->address);
	return order;
}

/* By function, then by falling faults, so that the first of a function is its worst instruction. */
static int compare_by_function(const void *va, const void *vb)
{
	const struct pg_function_row *a = va, *b = vb;
	int order = strcmp(a->module, b->module);
	if (!order)
		order = (a->address > b->address) - (a->address < b->address);
	if (!order)
		order = compare_tallies(&a->tally, &b->tally);
	if (!order)
		order = (a->line > b->line) - (a->line < b->line);
	return order;
}

int pg_fault_trace_places(struct pg_fault_trace *t, struct pg_place_row **rows, size_t *count)
{
	struct pg_place_row *r = calloc((size_t)t->place_count + 1, sizeof *r);
	size_t n = 0;

	if (!r)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->place_count; i++) {
		const struct place *p = &t->places[i];
		if (p->tally.faults + p->tally.refused > 0)
			r[n++] = (struct pg_place_row){
				.name = p->name, .file = p->file, .tally = p->tally};
	}
	qsort(r, n, sizeof *r, compare_places);
	*rows = r;
	*count = n;
	return 0;
}

int pg_fault_trace_functions(struct pg_fault_trace *t, struct pg_symbols *symbols,
	struct pg_function_row **rows, size_t *count)
{
	struct pg_function_row *r = calloc((size_t)t->site_count + 1, sizeof *r);
	size_t n = 0;

	if (!r)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->site_count; i++) {
		const struct site *s = &t->sites[i];
		const struct place *p = &t->places[s->place];
		struct pg_symbol found = {0};

		r[i].module = p->name;
		r[i].address = s->offset;
		r[i].tally = s->tally;
		if (p->file && pg_symbols_find(symbols, p->name, s->offset, &found)) {
			r[i].function = found.function;
			r[i].symbol = found.symbol;
			r[i].address = found.address;
			r[i].source = found.source;
			r[i].line = found.line;
		}
	}
	if (t->site_count > 0)
		qsort(r, t->site_count, sizeof *r, compare_by_function);
	for (uint32_t i = 0; i < t->site_count; i++) {
		if (n > 0 && r[n - 1].address == r[i].address &&
			strcmp(r[n - 1].module, r[i].module) == 0)
			tally_sum(&r[n - 1].tally, &r[i].tally);
		else
			r[n++] = r[i];
	}
	if (n > 0)
		qsort(r, n, sizeof *r, compare_functions);
	*rows = r;
	*count = n;
	return 0;
}

bool pg_trace_file_of(struct pg_space *space, uint64_t address, const char **path, uint64_t *offset)
{
	struct pg_region r;

	if (!pg_space_find(space, (pg_va){address}, false, &r) ||
		!(r.object || pg_trace_is_image(space, &r)))
		return false;
	*path = r.object ? pg_object_name(r.object) : r.name;
	*offset = address - r.start.v + r.offset;
	return *path && (*path)[0] == '/';
}
