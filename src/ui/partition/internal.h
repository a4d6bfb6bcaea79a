/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/internal.h: what the files of `pagoda partition` say to each other.
 *
 * Included by the files of ui/partition/ alone.
 */
#ifndef PG_UI_PARTITION_INTERNAL_H
#define PG_UI_PARTITION_INTERNAL_H

#include <stdio.h>

#include "frame/partition_stream.h"
#include "ui/partition/dispatch.h"
#include "ui/words/words.h"
#include "ui/write/output.h"

#define pg_partition_complain(...) pg_complain("partition", __VA_ARGS__)

/* A fit's name. False: there is none such. */
bool pg_partition_take_fit(const char *name, size_t length, enum pg_partition_fit *out);

/* ---- ui/partition/run.c: argv[0] is the first word behind "run". The exit status. */
int pg_partition_run(int argc, char **argv);
void pg_partition_run_help(FILE *out);

/* ---- ui/partition/report.c: what became of the jobs */

struct pg_partition_report {
	const char *job_file;
	const struct pg_jobs *jobs;
	const struct pg_dispatch *dispatch; /* it has run */
	uint64_t memory_bytes;
	enum pg_partition_fit fit;
	const char *store; /* as given; NULL: none */
	struct pg_schedule_options schedule;
	size_t rows; /* of the timeline, at most; 0: none */
};

void pg_partition_report_text(const struct pg_partition_report *r, FILE *out);
/* 0 or the exit status. */
int pg_partition_report_json(const struct pg_partition_report *r, const char *path);
/* 0: all jobs ran and exited with status 0; 1. */
int pg_partition_report_status(const struct pg_partition_report *r);

/* ---- ui/partition/simulate.c: argv[0] is the first word behind "simulate". The exit status. */
int pg_partition_simulate(int argc, char **argv);
void pg_partition_simulate_help(FILE *out);

/* ---- ui/partition/record.c: streams in files */

struct pg_partition_record {
	struct pg_stream_request *requests; /* owned, by malloc */
	uint64_t n;
	uint64_t peak_bytes; /* of all who would be there at once if nobody were turned away */
};

/*
 * Reads a stream: a text as `write` writes it, or a file of PAGODA_MALLOC_RECORD, where a unit of time is a call. 0 or the
 * exit status, with a line on standard error that names the file and the line.
 */
int pg_partition_record_read(const char *path, struct pg_partition_record *out);
/* Writes the requests of s as text. 0 or the exit status. */
int pg_partition_record_write(const char *path, const struct pg_stream *s);
/* The head of such a file, and one line of it. */
void pg_partition_record_head(FILE *out);
void pg_partition_record_line(const struct pg_stream_request *q, FILE *out);

/* ---- ui/partition/figures.c: a stream and what became of it */

struct pg_partition_served {
	double seconds; /* of the processor, arrivals and departures included */
	struct pg_stream_result r;
};

/* One stream under all servers. */
struct pg_partition_trial {
	struct pg_stream stream;
	struct pg_partition_served *served; /* owned: [fits + 1], paging last */
};

struct pg_partition_trials {
	const char *source; /* name of the recorded stream's file; NULL: random */
	bool linear;
	enum pg_partition_fit fits[PG_PARTITION_FITS]; /* in the order given */
	unsigned n_fits;
	struct pg_partition_trial *trial; /* owned: [n] */
	size_t n;
};

/* "first" ... or "paging": the name of server i. */
const char *pg_partition_server(const struct pg_partition_trials *t, unsigned i);
void pg_partition_write_text(const struct pg_partition_trials *t, FILE *out);
/* 0 or the exit status. */
int pg_partition_write_json(const struct pg_partition_trials *t, const char *path);
int pg_partition_write_svg(const struct pg_partition_trials *t, const char *path);

#endif
