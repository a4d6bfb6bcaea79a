/* SPDX-License-Identifier: MIT */
/*
 * store/fault.h: a store that fails as it is told, around another one. For tests.
 *
 * Called by tests, and through store.h by a specification "fault:RULE:SPEC". A rule in text is
 *
 *   KIND[-in|-out][@FIRST[+|/EVERY]]       slow=MS... waits MS milliseconds
 *
 * eio@5 fails the fifth page that is read or written, eio-out@5+ all that are written from the fifth on,
 * corrupt-in@5/3 the fifth read and each third behind it. Without @ it is every page.
 */
#ifndef PG_STORE_FAULT_H
#define PG_STORE_FAULT_H

#include "store/store.h"

enum pg_fault_kind {
	PG_FAULT_NONE = 0,
	PG_FAULT_EIO,     /* the page fails with -EIO */
	PG_FAULT_SHORT,   /* the call ends early: this page and all behind it fail with -EIO */
	PG_FAULT_CORRUPT, /* one bit of what is stored, or read, is another one */
	PG_FAULT_FULL,    /* written: -ENOSPC, and so is a reservation; read: nothing */
	PG_FAULT_SLOW,    /* the page takes delay_ms longer */
	PG_FAULT_BLOCK,   /* the page waits until pg_store_fault_set is called again */
};

struct pg_fault_rule {
	enum pg_fault_kind kind;
	bool in,
		out; /* applies to pages read, written; reservations count with pages written (FULL) */
	uint64_t first; /* the n-th page, from 1, counted over both unless only one is chosen */
	uint64_t every; /* 0: that one only; else each every-th from there on */
	unsigned delay_ms;
};

/* Another rule for a store that was made by "fault:"; counting begins anew, who is blocked goes on. */
void pg_store_fault_set(struct pg_store *s, const struct pg_fault_rule *rule);
/* How many pages the rule has hit since it was set, and how many are blocked just now. */
uint64_t pg_store_fault_hits(struct pg_store *s);
unsigned pg_store_fault_blocked(struct pg_store *s);
/* Reads a rule from [text, end); false if it is none. */
bool pg_fault_rule_parse(const char *text, const char *end, struct pg_fault_rule *out);

#endif
