/* SPDX-License-Identifier: MIT */
/*
 * trace/heap_memory.c: reading a guest's memory without touching it, and tables by addresses.
 *
 * Called by the files behind trace/heap.h.
 */
#include "trace/heap_impl.h"

void pg_heap_memory_begin(struct pg_heap_memory *m, struct pg_space *space)
{
	m->space = space;
	m->page = UINT64_MAX;
	m->whole = false;
}

bool pg_heap_read(struct pg_heap_memory *m, uint64_t address, void *out, size_t n)
{
	uint8_t *to = out;

	if (!m->whole)
		return pg_space_peek(m->space, out, (pg_va){address}, n) == n;
	while (n > 0) {
		uint64_t page = address & ~PG_PAGE_MASK, offset = address & PG_PAGE_MASK;
		size_t part = n < PG_PAGE_SIZE - offset ? n : PG_PAGE_SIZE - offset;

		if (page != m->page) {
			m->page = page;
			m->good = pg_space_peek(m->space, m->bytes, (pg_va){page}, PG_PAGE_SIZE) ==
				  PG_PAGE_SIZE;
		}
		if (!m->good)
			return false;
		memcpy(to, m->bytes + offset, part);
		to += part;
		address += part;
		n -= part;
	}
	return true;
}

uint64_t pg_heap_word(struct pg_heap_memory *m, uint64_t address, bool *good)
{
	uint64_t v = 0;

	if (!pg_heap_read(m, address, &v, sizeof v)) {
		if (good)
			*good = false;
		return 0;
	}
	return v;
}

/* --- tables -------------------------------------------------------------------------------------------------- */

static uint32_t home_of(const struct pg_heap_table *t, uint64_t key)
{
	/* Fibonacci hashing: Knuth, TAOCP vol. 3, 6.4 */
	return (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) & t->mask;
}

static uint32_t place_of(const struct pg_heap_table *t, uint64_t key)
{
	uint32_t at = home_of(t, key);

	while (t->keys[at] != 0 && t->keys[at] != key)
		at = (at + 1) & t->mask;
	return at;
}

void *pg_heap_table_find(const struct pg_heap_table *t, uint64_t key)
{
	if (!t->keys || key == 0)
		return NULL;
	uint32_t at = place_of(t, key);
	return t->keys[at] ? t->rows + at * t->row_bytes : NULL;
}

static bool grow(struct pg_heap_table *t)
{
	struct pg_heap_table old = *t;
	uint32_t size = t->keys ? (t->mask + 1) * 2 : 64;

	if (t->keys && t->n < (t->mask + 1) / 4 * 3)
		return true;
	t->keys = calloc(size, sizeof *t->keys);
	t->rows = calloc(size, t->row_bytes);
	if (!t->keys || !t->rows) {
		free(t->keys);
		free(t->rows);
		*t = old;
		return false;
	}
	t->mask = size - 1;
	for (uint32_t i = 0; old.keys && i <= old.mask; i++) {
		if (!old.keys[i])
			continue;
		uint32_t at = place_of(t, old.keys[i]);
		t->keys[at] = old.keys[i];
		memcpy(t->rows + at * t->row_bytes, old.rows + i * t->row_bytes, t->row_bytes);
	}
	free(old.keys);
	free(old.rows);
	return true;
}

void *pg_heap_table_put(struct pg_heap_table *t, uint64_t key)
{
	void *there = pg_heap_table_find(t, key);

	if (there)
		return there;
	if (!grow(t))
		return NULL;
	uint32_t at = place_of(t, key);
	t->keys[at] = key;
	t->n++;
	return memset(t->rows + at * t->row_bytes, 0, t->row_bytes);
}

/* What lies behind in the same run of full places moves up: Knuth, TAOCP vol. 3, 6.4, algorithm R. */
void pg_heap_table_remove(struct pg_heap_table *t, uint64_t key)
{
	if (!t->keys || key == 0)
		return;
	uint32_t hole = place_of(t, key);
	if (!t->keys[hole])
		return;
	t->n--;
	for (uint32_t at = (hole + 1) & t->mask; t->keys[at]; at = (at + 1) & t->mask) {
		uint32_t home = home_of(t, t->keys[at]);
		if (((at - home) & t->mask) < ((at - hole) & t->mask))
			continue;
		t->keys[hole] = t->keys[at];
		memcpy(t->rows + hole * t->row_bytes, t->rows + at * t->row_bytes, t->row_bytes);
		hole = at;
	}
	t->keys[hole] = 0;
}

void pg_heap_table_clear(struct pg_heap_table *t)
{
	free(t->keys);
	free(t->rows);
	*t = (struct pg_heap_table){.row_bytes = t->row_bytes};
}

bool pg_heap_room(void *array, uint32_t count, uint32_t *room, size_t element_bytes)
{
	void *old, *more;

	if (count < *room)
		return true;
	memcpy(&old, array, sizeof old);
	more = realloc(old, (*room ? *room * 2ul : 64) * element_bytes);
	if (!more)
		return false;
	memcpy(array, &more, sizeof more);
	*room = *room ? *room * 2 : 64;
	return true;
}
