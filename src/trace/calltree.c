/* SPDX-License-Identifier: MIT */
/*
 * trace/calltree.c: functions by address, nodes by parent and function.
 *
 * Called by calls.c while the guest runs, so what is asked at every call is a hash table: the function of an address, and the node of
 * a function below another. Names come from symbols.c, once for each address that calls or returns.
 *
 * Owns: everything in struct pg_call_tree but the symbols.
 */
#include "trace/calltree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace/faults.h"

#define CHAIN_SHOWN 256 /* functions in a line of the folded file */
#define MOST_LINES                                                                                 \
	20000 /* if there are more chains, those with less than such a part of all are added up */

static uint64_t mix(uint64_t v)
{
	v *= 0x9e3779b97f4a7c15u;
	return v ^ v >> 32;
}

int pg_call_tree_create(struct pg_symbols *symbols, struct pg_call_tree *out)
{
	*out = (struct pg_call_tree){
		.symbols = symbols, .node_cap = 1024, .edge_cap = 4096, .pc_cap = 4096};
	out->nodes = calloc(out->node_cap, sizeof *out->nodes);
	out->edges = calloc(out->edge_cap, sizeof *out->edges);
	out->pcs = calloc(out->pc_cap, sizeof *out->pcs);
	if (!out->nodes || !out->edges || !out->pcs) {
		pg_call_tree_free(out);
		return -ENOMEM;
	}
	out->nodes[0].function = PG_CALL_NONE;
	out->node_count = 1;
	return 0;
}

static void drop_names(struct pg_call_tree *t)
{
	for (uint32_t i = 0; i < t->function_count; i++) {
		free(t->functions[i].name);
		free(t->functions[i].symbol);
	}
}

void pg_call_tree_free(struct pg_call_tree *t)
{
	drop_names(t);
	for (uint32_t i = 0; i < t->path_count; i++)
		free(t->paths[i]);
	free(t->functions);
	free(t->nodes);
	free(t->edges);
	free(t->pcs);
	free(t->paths);
	*t = (struct pg_call_tree){0};
}

void pg_call_tree_forget(struct pg_call_tree *t)
{
	memset(t->pcs, 0, t->pc_cap * sizeof *t->pcs);
	t->pc_count = 0;
}

void pg_call_tree_clear(struct pg_call_tree *t)
{
	pg_call_tree_forget(t);
	drop_names(t);
	t->function_count = 0;
	t->node_count = 1;
	memset(&t->nodes[0], 0, sizeof t->nodes[0]);
	t->nodes[0].function = PG_CALL_NONE;
	memset(t->edges, 0, t->edge_cap * sizeof *t->edges);
	t->merged = 0;
}

/* --- functions ------------------------------------------------------------------------------------ */

/* The one copy of a path; NULL: no memory. */
static const char *intern(struct pg_call_tree *t, const char *path)
{
	for (uint32_t i = 0; i < t->path_count; i++)
		if (strcmp(t->paths[i], path) == 0)
			return t->paths[i];
	char **more = realloc(t->paths, (t->path_count + 1) * sizeof *more);
	if (!more)
		return NULL;
	t->paths = more;
	more[t->path_count] = strdup(path);
	return more[t->path_count] ? more[t->path_count++] : NULL;
}

/* Compilers move what is seldom executed away as "f.cold": it is f. The length of its name without that. */
static size_t plain_length(const char *name)
{
	const char *cold = strstr(name, ".cold");

	return cold && cold != name ? (size_t)(cold - name) : strlen(name);
}

static uint32_t new_function(struct pg_call_tree *t, struct pg_space *space, uint64_t pc)
{
	struct pg_symbol found = {0};
	const char *path = "";
	uint64_t offset = 0;
	char made[256], *text = made, *symbol = NULL;
	size_t length;

	bool file = pg_trace_file_of(space, pc, &path, &offset);
	if (!file)
		path = "";
	path = intern(t, path);
	if (!path)
		return PG_CALL_NONE;
	if (!file || !pg_symbols_name(t->symbols, path, offset, &found))
		found.address = file ? offset : pc & ~PG_PAGE_MASK; /* code of no file: by page */
	if (file)
		snprintf(made, sizeof made, "%s+0x%" PRIx64, pg_symbols_base_name(path),
			found.address);
	else
		snprintf(made, sizeof made, "[code at 0x%" PRIx64 "]", found.address);
	text = strdup(found.function ? found.function : made);
	symbol = found.symbol ? strdup(found.symbol) : NULL;
	if (!text || (found.symbol && !symbol))
		goto failed;
	length = plain_length(text);
	bool cold = text[length] != '\0';
	text[length] = '\0';
	for (uint32_t i = 0; i < t->function_count; i++) {
		const struct pg_call_function *f = &t->functions[i];

		if (f->path == path && (f->address == found.address ||
					       ((cold || f->cold) && strcmp(f->name, text) == 0))) {
			free(text);
			free(symbol);
			return i;
		}
	}
	if (t->function_count == t->function_cap) {
		uint32_t cap = t->function_cap ? 2 * t->function_cap : 256;
		struct pg_call_function *more = realloc(t->functions, cap * sizeof *more);
		if (!more)
			goto failed;
		t->functions = more;
		t->function_cap = cap;
	}
	t->functions[t->function_count] = (struct pg_call_function){.name = text,
		.symbol = symbol,
		.path = path,
		.address = found.address,
		.cold = cold};
	return t->function_count++;
failed:
	free(text);
	free(symbol);
	return PG_CALL_NONE;
}

static bool grow_pcs(struct pg_call_tree *t)
{
	uint32_t cap = 2 * t->pc_cap;
	struct pg_call_pc *more = calloc(cap, sizeof *more);

	if (!more)
		return false;
	for (uint32_t i = 0; i < t->pc_cap; i++) {
		if (!t->pcs[i].function)
			continue;
		uint64_t h = mix(t->pcs[i].pc);
		while (more[h & (cap - 1)].function)
			h++;
		more[h & (cap - 1)] = t->pcs[i];
	}
	free(t->pcs);
	t->pcs = more;
	t->pc_cap = cap;
	return true;
}

uint32_t pg_call_tree_function(struct pg_call_tree *t, struct pg_space *space, uint64_t pc)
{
	uint64_t h = mix(pc);
	uint32_t f;

	while (t->pcs[h & (t->pc_cap - 1)].function) {
		if (t->pcs[h & (t->pc_cap - 1)].pc == pc)
			return t->pcs[h & (t->pc_cap - 1)].function - 1;
		h++;
	}
	if (2 * t->pc_count >= t->pc_cap) {
		if (!grow_pcs(t))
			return PG_CALL_NONE;
		return pg_call_tree_function(t, space, pc);
	}
	f = new_function(t, space, pc);
	if (f == PG_CALL_NONE)
		return f;
	t->pcs[h & (t->pc_cap - 1)] = (struct pg_call_pc){pc, f + 1};
	t->pc_count++;
	return f;
}

/* --- nodes ---------------------------------------------------------------------------------------- */

static uint64_t edge_hash(uint32_t parent, uint32_t function)
{
	return mix((uint64_t)parent << 32 | function);
}

static bool grow_nodes(struct pg_call_tree *t)
{
	uint32_t cap = 2 * t->node_cap, edge_cap = 4 * cap;
	struct pg_call_node *more = realloc(t->nodes, cap * sizeof *more);

	if (!more)
		return false;
	t->nodes = more;
	uint32_t *edges = calloc(edge_cap, sizeof *edges);
	if (!edges)
		return false;
	for (uint32_t i = 1; i < t->node_count; i++) {
		uint64_t h = edge_hash(more[i].parent, more[i].function);
		while (edges[h & (edge_cap - 1)])
			h++;
		edges[h & (edge_cap - 1)] = i;
	}
	free(t->edges);
	t->edges = edges;
	t->edge_cap = edge_cap;
	t->node_cap = cap;
	return true;
}

uint32_t pg_call_tree_child(struct pg_call_tree *t, uint32_t parent, uint32_t function)
{
	uint64_t h = edge_hash(parent, function);
	uint32_t i;

	while ((i = t->edges[h & (t->edge_cap - 1)]) != 0) {
		if (t->nodes[i].parent == parent && t->nodes[i].function == function)
			return i;
		h++;
	}
	if (t->node_count == t->node_cap) {
		if (t->node_cap >= PG_CALL_NODES_MOST || !grow_nodes(t)) {
			t->merged++;
			return parent;
		}
		return pg_call_tree_child(t, parent, function);
	}
	i = t->node_count++;
	t->nodes[i] = (struct pg_call_node){.parent = parent, .function = function};
	t->edges[h & (t->edge_cap - 1)] = i;
	return i;
}

uint32_t pg_call_tree_chain(
	const struct pg_call_tree *t, uint32_t node, uint32_t *functions, uint32_t cap)
{
	uint32_t depth = 0, i;

	for (i = node; i; i = t->nodes[i].parent)
		depth++;
	uint32_t at = depth;
	for (i = node; i; i = t->nodes[i].parent)
		if (--at < cap)
			functions[at] = t->nodes[i].function;
	return depth;
}

/* A name in a folded line: ';' separates functions and a blank ends them. */
static void put_name(const char *name, FILE *out)
{
	for (; *name; name++)
		fputc(*name == ';' || *name == ' ' || (unsigned char)*name < 0x20 ? '_' : *name,
			out);
}

/* The chain of a node, then " weight", with `more` in between. */
static void put_line(
	const struct pg_call_tree *t, uint32_t node, const char *more, uint64_t weight, FILE *out)
{
	uint32_t chain[CHAIN_SHOWN], depth;

	depth = pg_call_tree_chain(t, node, chain, CHAIN_SHOWN);
	for (uint32_t k = 0; k < depth; k++) {
		if (k)
			fputc(';', out);
		put_name(t->functions[chain[k]].name, out);
	}
	fprintf(out, "%s%s %" PRIu64 "\n", depth && more[0] ? ";" : "", more, weight);
}

static uint64_t weight_of(const struct pg_call_node *n, enum pg_call_weight weight)
{
	switch (weight) {
	case PG_CALL_INSTRUCTIONS:
		return n->instructions;
	case PG_CALL_CALLS:
		return n->calls;
	default:
		return n->bytes;
	}
}

void pg_call_tree_folded(const struct pg_call_tree *t, enum pg_call_weight weight, FILE *out)
{
	/* of each node: its depth; its weight and that of all below it; what of these is added up here */
	uint32_t *depth = calloc(t->node_count, sizeof *depth);
	uint64_t *all = calloc(t->node_count, sizeof *all),
		 *deeper = calloc(t->node_count, sizeof *deeper),
		 *little = calloc(t->node_count, sizeof *little);

	if (!depth || !all || !deeper || !little)
		goto out;
	/* parents come before their children */
	for (uint32_t i = t->node_count; i-- > 1;) {
		all[i] += weight_of(&t->nodes[i], weight);
		all[t->nodes[i].parent] += all[i];
	}
	const uint64_t least = t->node_count > MOST_LINES ? all[0] / MOST_LINES : 0;
	for (uint32_t i = 1; i < t->node_count; i++) {
		uint32_t parent = t->nodes[i].parent;

		depth[i] = UINT32_MAX; /* not written by itself */
		if (depth[parent] == UINT32_MAX)
			continue;
		if (all[i] <= least && all[i])
			little[parent] += all[i];
		else if (depth[parent] == CHAIN_SHOWN)
			deeper[parent] += all[i];
		else
			depth[i] = depth[parent] + 1;
	}
	for (uint32_t i = 0; i < t->node_count; i++) {
		if (depth[i] == UINT32_MAX)
			continue;
		if (i && weight_of(&t->nodes[i], weight))
			put_line(t, i, "", weight_of(&t->nodes[i], weight), out);
		if (deeper[i])
			put_line(t, i, "[deeper]", deeper[i], out);
		if (little[i])
			put_line(t, i, "[little]", little[i], out);
	}
out:
	free(depth);
	free(all);
	free(deeper);
	free(little);
}
