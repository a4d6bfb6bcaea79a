/* SPDX-License-Identifier: MIT */
/*
 * trace/faultlog.h: page faults as text, one line each, or in their seven steps.
 *
 * Called through pg_vm_hooks.fault when the user asked for --trace-faults or --explain. Calls
 * trace/symbols.h.
 */
#ifndef PG_TRACE_FAULTLOG_H
#define PG_TRACE_FAULTLOG_H

#include <stdio.h>

#include "space/fault.h"
#include "trace/symbols.h"

/* Where one kind of text goes to; zero-initialise, then set the first three. */
struct pg_faultlog {
	FILE *out;                  /* borrowed; errors of writing are left in its error flag */
	struct pg_symbols *symbols; /* borrowed */
	bool explain;               /* true: the seven steps; false: one line */
	uint64_t count;             /* faults written so far */
};

/* Writes one fault. Reads regions and the host's files only. */
void pg_faultlog_write(struct pg_faultlog *l, const struct pg_fault_event *e);

/* "read", "write", "exec". */
const char *pg_access_name(enum pg_access a);
/* Rights as in /proc/PID/maps: "r-xp"; text[5]. */
const char *pg_rights_text(pg_prot prot, bool shared, char text[5]);

struct pg_region;
/* What a region is called in reports: its file, its name, or "[anonymous]". Borrowed from the
 * region. */
const char *pg_region_label(const struct pg_region *r);

#endif
