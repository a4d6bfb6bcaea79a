/* SPDX-License-Identifier: MIT */
/*
 * ui/run/report.h: all that is known of a run when it is over, for the summary and the JSON file.
 *
 * Filled in by ui/run/run.c from counters of the floors below; read by ui/run/summary.c, ui/run/json.c and
 * ui/run/ending.c. A figure that a mode does not have is marked absent here and never made up there.
 */
#ifndef PG_UI_RUN_REPORT_H
#define PG_UI_RUN_REPORT_H

#include <stdio.h>

#include "frame/frame.h"
#include "linux/linux.h"
#include "reclaim/reclaim.h"
#include "store/store.h"
#include "trace/faults.h"
#include "ui/run/blocks.h"
#include "ui/words/options.h"

/* A region as it was when the program ended. */
struct pg_region_row {
	uint64_t start, end; /* bytes, [start, end) */
	pg_prot prot;
	bool shared;
	enum pg_region_kind kind;
	uint64_t offset;         /* in the file, bytes */
	uint64_t resident_pages; /* zero page excluded */
	char *name;              /* owned */
};

/* A process, as the report shows it. */
struct pg_process_row {
	int pid, parent;
	char name[16];
	bool exited;
	int status;            /* code, or the signal that killed it */
	uint64_t instructions; /* 0 in fast mode, where they are absent */
	uint64_t faults, rss_peak_pages, copies;
	uint64_t unshared; /* pages whose sharing by fork its writes ended */
	uint64_t minor, major, system_calls, execs;
	struct pg_space_stats space; /* for what want of memory cost it */
	unsigned pauses;             /* times that it waited for others to have the memory */
	double paused_s;
	double cpu_s, wall_s;
};
#define PG_PROCESS_ROWS 4096 /* so many are kept; the others are only counted */

struct pg_report {
	const struct pg_options *options; /* borrowed */
	const char *program;              /* its absolute path; borrowed */
	struct pg_linux_end end;
	int status;  /* the exit status of `pagoda run` */
	char *where; /* owned; of end.pc: "main+0x12 (a.out, demo.c:7)", or NULL */
	char *what;  /* owned; the region that end.addr is in or near, or NULL */
	bool overflow; /* it ended because a stack was full: the first thread's, or a thread's with a guard */
	char *repeated; /* owned; then the calls that it was full of, "f -> g -> f, 26,214 times in ..."; or NULL */

	bool anonymous; /* that region has no file: a SIGBUS there is a page that was lost */

	struct pg_linux_stats stats;
	struct pg_frames_stats frames;
	struct pg_reclaim_stats reclaim;
	struct pg_store_stats store; /* meaningful if there is one */
	const char *policy;          /* its name; borrowed */

	double wall_s, user_s, system_s; /* from the guest's first instruction to its end */

	struct pg_function_row *functions; /* owned; by falling faults */
	size_t function_count;
	struct pg_place_row *places; /* owned; by falling faults */
	size_t place_count;
	struct pg_tally total; /* all faults of the run */
	uint64_t lost;         /* faults that could not be attributed */

	struct pg_process_row *processes; /* owned; in the order in which they ended */
	size_t process_count;
	uint64_t processes_ended; /* all, those that are no rows too */

	struct pg_block_log blocks; /* owned; empty on a machine of pages */

	struct pg_region_row *regions; /* owned; low to high */
	size_t region_count;
};

/*
 * One sentence about a guest that did not end by itself ("killed by SIGSEGV: ..."), into text[cap].
 * False: it exited, there is nothing to say.
 */
bool pg_ending_text(const struct pg_report *r, char *text, size_t cap);
/* "SIGSEGV", or "signal 40". text[PG_FORMAT_BYTES]. */
const char *pg_signal_name(int signo, char *text);

/* The summary, as text. colour: bold headings by terminal escapes. */
void pg_summary_write(const struct pg_report *r, FILE *out, bool colour);

/* Every figure, as one JSON object; docs/json.md is its schema. */
void pg_report_json(const struct pg_report *r, FILE *out);

#endif
