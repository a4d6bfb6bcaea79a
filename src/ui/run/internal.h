/* SPDX-License-Identifier: MIT */
/*
 * ui/run/internal.h: what the files of `pagoda run` say to each other.
 *
 * Included by ui/run/run.c, which makes and owns struct pg_run, and ui/run/watch.c alone.
 */
#ifndef PG_UI_RUN_INTERNAL_H
#define PG_UI_RUN_INTERNAL_H

#include "trace/faultlog.h"
#include "ui/run/report.h"
#include "ui/write/output.h"

struct pg_unsharer {
	int pid;
	uint64_t pages;
};

/* What may be written beside the program's own output. */
enum {
	PG_RUN_SUMMARY,
	PG_RUN_JSON,
	PG_RUN_BLOCKS, /* --partition-log */
	PG_RUN_FAULTS, /* --trace-faults */
	PG_RUN_STEPS,  /* --explain */
	PG_RUN_CALLS,  /* --trace-calls */
	PG_RUN_OUTPUTS
};

struct pg_run {
	const struct pg_options *o;
	struct pg_vm *vm;
	struct pg_store *store; /* NULL: no swap */
	struct pg_reclaim *reclaim;
	struct pg_linux *linux;
	struct pg_symbols *symbols;
	struct pg_fault_trace *faults;
	struct pg_report report;
	struct pg_faultlog lines, steps; /* --trace-faults, --explain; used when out is set */
	FILE *err;                       /* our own standard error */
	struct pg_output outputs[PG_RUN_OUTPUTS]; /* without a path they share err */
	uint64_t major;                           /* page faults that read, of all processes */
	struct pg_unsharer *unsharers;            /* owned; of processes that live */
	size_t unsharer_count;
	char *program; /* owned; the path of the last program loaded */
	char **env;    /* the guest's; owned if not environ */
};

/* ---- ui/run/watch.c */

/* Says on r->err in one line why Pagoda itself cannot go on, or what else the user should know. Nothing that the guest has is touched. */
void pg_run_say(struct pg_run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The hooks of a guest whose run r watches; they need r until it ends. */
struct pg_linux_hooks pg_run_hooks(struct pg_run *r);
/* Frees what the hooks have gathered. */
void pg_run_forget(struct pg_run *r);

#endif
