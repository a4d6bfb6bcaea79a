/* SPDX-License-Identifier: MIT */
/*
 * trace/cycle.c: recursion, found in a chain of calls.
 *
 * Called by picture.c and ui/. Owns nothing.
 */
#include "trace/cycle.h"

#include "trace/demangle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/faults.h"

#define MOST_FRAMES ((size_t)1 << 22)

void pg_cycle_find(const uint32_t *functions, size_t n, struct pg_cycle *out)
{
	size_t covered = 0;

	*out = (struct pg_cycle){0};
	for (size_t length = 1; length <= PG_CYCLE_MOST; length++)
		for (size_t first = 0; first < PG_CYCLE_MOST && first + length < n; first++) {
			size_t i = first;

			while (i + length < n && functions[i] == functions[i + length])
				i++;
			size_t turns = (i + length - first) / length;
			if (turns < 3 || turns * length <= covered)
				continue;
			covered = turns * length;
			/* its turns begin with the outermost call of all that repeats */
			*out = (struct pg_cycle){
				first + (i + length - first) % length, length, turns};
		}
}

/* --- which function an address belongs to --------------------------------------------------------- */

struct known {
	uint64_t pc;
	uint64_t address; /* of its function in its file */
	const char *path; /* borrowed from the region */
};

#define SLOTS 8192 /* addresses that are remembered at a time */

static void look_up(
	struct pg_symbols *symbols, struct pg_space *space, uint64_t pc, struct known *k)
{
	struct pg_symbol found;
	uint64_t offset;

	k->pc = pc;
	k->path = NULL;
	k->address = pc;
	if (pg_trace_file_of(space, pc, &k->path, &offset) &&
		pg_symbols_name(symbols, k->path, offset, &found))
		k->address = found.address;
}

uint32_t *pg_cycle_functions(
	struct pg_symbols *symbols, struct pg_space *space, const uint64_t *pcs, size_t n)
{
	struct known *slots = calloc(SLOTS, sizeof *slots);
	uint32_t *out = malloc((n + !n) * sizeof *out);

	for (size_t i = 0; slots && out && i < n; i++) {
		uint64_t pc = i ? pcs[i] - 1 : pcs[0];
		struct known *k = &slots[pc * 0x9e3779b97f4a7c15u >> 51];

		if (k->pc != pc)
			look_up(symbols, space, pc, k);
		/* files lie at different addresses of the guest, so the function's own there is its number */
		uint64_t h = (k->address ^ (uintptr_t)k->path) * 0x9e3779b97f4a7c15u;
		out[i] = (uint32_t)(h >> 32);
	}
	if (!slots) {
		free(out);
		out = NULL;
	}
	free(slots);
	return out;
}

/* --- text ---------------------------------------------------------------------------------------- */

static const char *name_of(
	struct pg_symbols *symbols, struct pg_space *space, uint64_t pc, char *text, size_t cap)
{
	struct pg_symbol found;
	const char *path = NULL;
	uint64_t offset = 0;

	bool file = pg_trace_file_of(space, pc, &path, &offset);
	if (file && pg_symbols_name(symbols, path, offset, &found) && found.function)
		pg_brief_name(found.function, text, cap);
	else
		pg_symbols_format(symbols, file ? path : NULL, offset, pc, text, cap);
	return text;
}

const char *pg_cycle_names(struct pg_symbols *symbols, struct pg_space *space, const uint64_t *pcs,
	const struct pg_cycle *c, char *text, size_t cap)
{
	size_t used = 0;

	text[0] = '\0';
	/* the outermost turn, from its outermost frame inwards, and the first one again */
	for (size_t i = 0; i <= c->length; i++) {
		char name[128];
		size_t at = c->first + c->length * c->turns - 1 - i % c->length;
		uint64_t pc = at ? pcs[at] - 1 : pcs[0];
		int n = snprintf(text + used, cap - used, "%s%s", i ? " -> " : "",
			name_of(symbols, space, pc, name, sizeof name));

		if (n < 0 || (size_t)n >= cap - used)
			break;
		used += (size_t)n;
	}
	return text;
}

/* 26214 as "26,214". */
static const char *grouped(size_t v, char text[32])
{
	char digits[32];
	int n = snprintf(digits, sizeof digits, "%zu", v), k = 0;

	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			text[k++] = ',';
		text[k++] = digits[i];
	}
	text[k] = '\0';
	return text;
}

struct chain {
	uint64_t *pcs;
	size_t n;
	bool failed;
};

static bool keep(void *ctx, const struct pg_unwind_frame *frame)
{
	struct chain *c = ctx;

	if ((c->n & (c->n - 1)) == 0) { /* room doubles at each power of two */
		uint64_t *more = realloc(c->pcs, (c->n ? 2 * c->n : 1) * sizeof *more);
		if (!more) {
			c->failed = true;
			return false;
		}
		c->pcs = more;
	}
	c->pcs[c->n++] = frame->pc;
	return c->n < MOST_FRAMES;
}

char *pg_cycle_text(struct pg_symbols *symbols, struct pg_unwinder *unwinder,
	struct pg_space *space, const struct pg_cpu_regs *regs, size_t *depth)
{
	struct chain c = {0};
	struct pg_cycle cycle = {0};
	char names[512], turns[32], frames[32], *text = NULL;

	*depth = 0;
	pg_unwind_each(unwinder, space, regs, keep, &c);
	uint32_t *functions = c.failed ? NULL : pg_cycle_functions(symbols, space, c.pcs, c.n);
	if (functions) {
		*depth = c.n;
		pg_cycle_find(functions, c.n, &cycle);
	}
	if (cycle.length && cycle.length * cycle.turns >= c.n / 2) {
		pg_cycle_names(symbols, space, c.pcs, &cycle, names, sizeof names);
		if (asprintf(&text, "%s, %s times in a stack of %s frames", names,
			    grouped(cycle.turns, turns), grouped(c.n, frames)) < 0)
			text = NULL;
	}
	free(functions);
	free(c.pcs);
	return text;
}
