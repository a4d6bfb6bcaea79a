/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/tables_world.h: several tables of one machine that share a few hundred frames, beside plain arrays.
 *
 * What a table has (find, next, remove, update) must be the array's; what the hardware sees (walk) must be that too, but under an
 * inverted table, of which the model says: an entry for each frame, that of the mapping that came or came back last, and the last
 * ALIASES mappings that lost theirs. Called by test_tables.c and test_walks.c.
 */
#ifndef PG_TESTS_UNIT_TABLES_WORLD_H
#define PG_TESTS_UNIT_TABLES_WORLD_H

#include "base/random.h"
#include "mmu/tlb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)
#define TABLES 4
#define MOST_PAGES 24000
#define FRAMES 300
#define MOST_LOST (TABLES * 1024)
#define ALIASES 32 /* what docs/paging.md says */

/* A page of a table, by place in a sorted array of page numbers that all tables have in common. */
struct place {
	unsigned table, page;
};

struct world {
	const char *text; /* as on the command line */
	const struct pg_table_form *form;
	struct pg_geometry g;
	struct pg_frames *fs;
	void *machine;
	struct pg_table *table[TABLES];
	struct pg_random r;
	uint32_t frame[FRAMES];
	unsigned frames;
	unsigned pages;
	uint64_t vpn[MOST_PAGES];
	pg_pte pte[TABLES][MOST_PAGES]; /* 0: not mapped */
	bool inverted;
	/* Inverted: who has a frame's entry (table -1: nobody); who lost one, oldest first. */
	struct {
		int table;
		unsigned page;
	} main[1 << 16];
	struct place lost[ALIASES + 1];
	unsigned lost_n;
	/* Calls of displaced, and those that the model expects, in order. */
	struct place told[MOST_LOST], expected[MOST_LOST];
	unsigned told_n, expected_n;
	uint64_t displaced[TABLES];
};

/*
 * Tables of the form that text says, with g its addresses unless NULL; `pages` pages, none of them mapped, and `frames` frames to map them
 * to. Freed by world_free(), which sees that all was given back.
 */
struct world *world_make(const char *text, const struct pg_geometry *g, unsigned pages,
	unsigned frames, uint64_t seed);
void world_free(struct world *w);
/* Table t alone. 0 or the error of create. */
int table_make(struct world *w, unsigned t);
void table_end(struct world *w, unsigned t);
/* The first page at or behind vpn. */
unsigned page_of(const struct world *w, uint64_t vpn);

/* Operations on table and array. */
void do_enter(struct world *w, struct place p, pg_pte e);
void do_remove(struct world *w, struct place p);
pg_pte random_pte(struct world *w);
/* Operations on the array alone: page p gets an entry; it comes back to its frame's. */
void model_enter(struct world *w, struct place p, pg_pte pte);
void model_show(struct world *w, struct place p);

/* Fail where tables and arrays differ: in what displaced() told, in a table's own check, at a page, in next(), in anything. */
void expect_told(struct world *w);
void expect_sound(struct world *w);
void expect_page(struct world *w, struct place p);
void expect_next(struct world *w, unsigned t, uint64_t from, uint64_t end);
void expect_all(struct world *w);

#endif
