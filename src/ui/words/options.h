/* SPDX-License-Identifier: MIT */
/*
 * ui/words/options.h: what the user asked for.
 *
 * Called by ui/main.c; read by ui/run/run.c. One table in options.c feeds the parser and the help text.
 */
#ifndef PG_UI_WORDS_OPTIONS_H
#define PG_UI_WORDS_OPTIONS_H

#include <stdio.h>

#include "base/types.h"
#include "frame/partition.h"
#include "mmu/table.h"
#include "mmu/tlb.h"
#include "space/space.h"

struct pg_report;
struct pg_reclaim;
struct pg_linux;
struct pg_linux_hooks;
struct pg_symbols;

/* One trace: wanted or not, and to which file. */
struct pg_trace_option {
	bool wanted;
	const char *path; /* NULL: standard error */
};

/* Who looks on while a program runs, as `pagoda stack` does. It changes nothing of the machine. */
struct pg_observer {
	void *ctx; /* borrowed; given to all of these */
	/* The program is loaded and has not run yet. The two are valid until end(). */
	void (*begin)(void *ctx, struct pg_linux *l, struct pg_symbols *symbols);
	/* Called after run/run.c's own hooks; their member ctx is not read. Members may be NULL. */
	const struct pg_linux_hooks *hooks;
	/* The guest is gone, the report is made; before anything is destroyed. */
	void (*end)(void *ctx, const struct pg_report *r);
};

struct pg_options {
	uint64_t memory_bytes; /* of the machine; a multiple of 64 KiB */
	struct pg_mmu_config mmu;
	const char *tlb_text; /* as given; NULL: the default */
	bool fast;
	const struct pg_table_form *form;
	struct pg_geometry geometry;
	char swap[1024];     /* specification of the store, see store/store.h; "": no swap */
	const char *replace; /* policy of replacement, as given; NULL: the default */
	enum pg_overcommit overcommit;
	unsigned overcommit_percent; /* of memory, for PG_OVERCOMMIT_NEVER */
	const char *table_text;      /* as given, or what the default is */
	bool aslr, seeded;
	uint64_t seed;
	/* --mmu base-limit: contiguous blocks instead of pages, and how */
	bool base_limit;
	enum pg_partition_fit fit;
	uint64_t partition_bytes, heap_bytes; /* 0: by the image; the default */
	bool fixed, compact;
	const char *partition_log;  /* NULL: none */
	const char *malloc_family;  /* of libpagoda-malloc; NULL: the program's own malloc */
	uint64_t stack_limit_bytes; /* UINT64_MAX: unlimited */
	bool quiet, verbose;
	bool map;                /* the summary shows the regions too */
	const char *json_path;   /* NULL: none */
	const char *output_path; /* of the summary; NULL: standard error */
	struct pg_trace_option faults, explain,
		calls;       /* --trace-faults, --explain, --trace-calls */
	uint64_t most_major; /* page faults that read, after which all is stopped; 0: no limit */
	bool mangled;        /* names of functions as the files have them */
	unsigned top;        /* rows of each table of the summary; 0: all */
	char **command;      /* the program and its arguments, NULL-ended */
	/* Not an option: is called with the report of the run, unless NULL. */
	void (*on_report)(void *ctx, const struct pg_report *r);
	void *on_report_ctx;                /* borrowed */
	const struct pg_observer *observer; /* not an option: NULL, or who looks on; borrowed */
	/*
	 * Not an option: is called after each page fault and system call, unless NULL, with on_report_ctx. now: instructions so
	 * far, or in fast mode nanoseconds.
	 */
	void (*on_look)(void *ctx, struct pg_reclaim *r, uint64_t now);
};

/* What pg_options_parse() found. */
enum pg_options_result {
	PG_OPTIONS_RUN,  /* all is in *out */
	PG_OPTIONS_HELP, /* --help: print the help */
	PG_OPTIONS_LIST, /* "help" as the value of an option: the answer was printed to `out` */
	PG_OPTIONS_BAD,  /* why[cap] is one sentence that says what to do */
	PG_OPTIONS_EMPTY /* the same: no program is named */
};

/* argv[0] is the first word behind "run". Lists asked for go to `listing`. */
enum pg_options_result pg_options_parse(
	int argc, char **argv, struct pg_options *out, FILE *listing, char *why, size_t cap);

/* How many words the option that begins with `word` takes: 1, or 2; 0 if `pagoda run` has no such. */
int pg_options_words(const char *word);
/* `pagoda run --help`. */
void pg_options_help(FILE *out);

#endif
