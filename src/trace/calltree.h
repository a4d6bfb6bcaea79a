/* SPDX-License-Identifier: MIT */
/*
 * trace/calltree.h: the functions of a run and the tree of who called whom, with what each cost.
 *
 * Inside trace/: calls.c grows it while the guest runs; ui/ reads it afterwards.
 *
 * A *node* is a function called along one chain from the outermost frame; node 0 is the root, above all threads. Nodes are numbers
 * below pg_call_tree.node_count and never change their parents.
 */
#ifndef PG_TRACE_CALLTREE_H
#define PG_TRACE_CALLTREE_H

#include <stdio.h>

#include "space/space.h"
#include "trace/symbols.h"

struct pg_call_function {
	char *name; /* owned; "file+0x12" where the file has no name for it */
	char *symbol; /* owned; as the file's symbol table has it, of whichever part was seen first; NULL: no name */
	const char *path; /* of its file, "" for code of no file; owned by the tree */
	uint64_t address; /* in its file; the guest's own for code of no file */
	bool cold;        /* its part that is seldom executed was seen first */
	uint64_t
		calls; /* by a call, or entered by a jump from where a call led (tail calls, linkage tables) */
	uint64_t instructions; /* its own, without those that it called; 0 where none are counted */
	uint64_t bytes, bytes_max; /* of stack, over all its calls; of the largest of its frames */
	uint32_t depth_max;        /* frames on the stack when it was the innermost */
};

struct pg_call_node {
	uint32_t parent, function;
	uint64_t calls, instructions, bytes; /* as above, for this chain alone */
};

struct pg_call_tree {
	struct pg_symbols *symbols;         /* borrowed */
	struct pg_call_function *functions; /* owned */
	uint32_t function_count, function_cap;
	struct pg_call_node *nodes; /* owned */
	uint32_t node_count, node_cap;
	uint32_t *edges; /* owned: a hash table of nodes by parent and function; 0: free */
	uint32_t edge_cap;
	struct pg_call_pc {
		uint64_t pc;
		uint32_t function; /* + 1; 0: free */
	} * pcs;                   /* owned: a hash table */
	uint32_t pc_count, pc_cap;
	char **paths; /* owned */
	uint32_t path_count;
	uint64_t merged; /* calls that went to their caller's node, since there were too many */
};

#define PG_CALL_NODES_MOST (1u << 22)
#define PG_CALL_NONE UINT32_MAX

PG_MUST_CHECK int pg_call_tree_create(struct pg_symbols *symbols, struct pg_call_tree *out);
void pg_call_tree_free(struct pg_call_tree *t);
/* The function of an address of guest code, made if need be. PG_CALL_NONE: no memory. */
uint32_t pg_call_tree_function(struct pg_call_tree *t, struct pg_space *space, uint64_t pc);
/* Addresses may mean something else from now on: a library was loaded, another program begun. */
void pg_call_tree_forget(struct pg_call_tree *t);
/* Drops all functions and nodes but the root. */
void pg_call_tree_clear(struct pg_call_tree *t);
/* The node of a function called from `parent`, made if need be; the parent if there is no room. */
uint32_t pg_call_tree_child(struct pg_call_tree *t, uint32_t parent, uint32_t function);
/* Chain of functions from the outermost to node: at most cap into functions[cap]. Returns how many there are. */
uint32_t pg_call_tree_chain(
	const struct pg_call_tree *t, uint32_t node, uint32_t *functions, uint32_t cap);

enum pg_call_weight { PG_CALL_INSTRUCTIONS, PG_CALL_CALLS, PG_CALL_BYTES };
/*
 * A line for each node that has any of it: "main;f;g 123\n", as flame-graph tools read. What chains of more than 256 functions
 * have is added up under the 256th as "[deeper]"; if there are
 * very many chains, those that have little are added up under where they branch off as "[little]". Sums are exact.
 */
void pg_call_tree_folded(const struct pg_call_tree *t, enum pg_call_weight weight, FILE *out);

#endif
