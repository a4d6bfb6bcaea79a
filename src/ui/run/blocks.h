/* SPDX-License-Identifier: MIT */
/*
 * ui/run/blocks.h: what a partition machine did: its event log, and its part of the summary and of the JSON report.
 *
 * Called by ui/run/run.c, ui/run/summary.c and ui/run/json.c. A log is filled by the hook `event` of linux/partition.h.
 */
#ifndef PG_UI_RUN_BLOCKS_H
#define PG_UI_RUN_BLOCKS_H

#include <stdio.h>

#include "linux/partition.h"

struct pg_json;
struct pg_options;
struct pg_report;

struct pg_block_row {
	struct pg_partition_event e; /* its name is below */
	char name[32];
};

struct pg_block_log {
	struct pg_block_row *rows; /* owned; by time */
	size_t count;
	uint64_t lost; /* events for which the host had no memory */
	uint64_t counts[PG_BLOCK_EVENTS];
};

/* Adds an event; for struct pg_partition_hooks, ctx is the log. */
void pg_block_log_add(void *ctx, const struct pg_partition_event *e);
void pg_block_log_free(struct pg_block_log *l);
/* The log as one JSON object with the machine's options. */
void pg_block_log_write(const struct pg_block_log *l, const struct pg_options *o, FILE *out);

/* The sections "memory" and "address translation" of the summary. */
void pg_blocks_summary(const struct pg_report *r, FILE *out, bool colour);
/* The object "partition" of the JSON report. */
void pg_blocks_json(const struct pg_report *r, struct pg_json *j);

#endif
