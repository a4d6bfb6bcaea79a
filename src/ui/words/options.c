/* SPDX-License-Identifier: MIT */
/*
 * ui/words/options.c: the options of `pagoda run`: one table for the parser, the help and the
 * suggestions.
 *
 * ui/main.c hands the words behind "run" in; struct pg_options comes out, every value checked. To
 * add an option, add a row and a function.
 *
 * Owns nothing; the strings in struct pg_options are those of argv.
 */
#include "ui/words/options.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "heap/layout.h"
#include "reclaim/policy.h"
#include "store/store.h"
#include "ui/write/format.h"

#define MEMORY_DEFAULT ((uint64_t)256 << 20)
#define STACK_DEFAULT ((uint64_t)8 << 20)

/* What an option's function may fill in and complain into. */
struct parse {
	struct pg_options *o;
	FILE *listing;
	bool listed; /* an answer was printed instead of a value taken */
	char *why;
	size_t cap;
	const char *of_pages,
		*of_blocks; /* the last option given that only one kind of machine has; NULL: none */
};

enum argument { NONE, NEEDED, OPTIONAL };

struct row {
	const char *name;
	enum argument argument;
	const char *argument_name;
	/* false: p->why is filled in. value: NULL when there is none. */
	bool (*take)(struct parse *p, const char *value);
	const char *help;                     /* lines, each at most 56 characters */
	enum { BOTH, PAGES, BLOCKS } machine; /* which kind has it */
};

static bool complain(struct parse *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static bool complain(struct parse *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(p->why, p->cap, format, args);
	va_end(args);
	return false;
}

static bool take_memory(struct parse *p, const char *value)
{
	uint64_t bytes, host = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	char text[PG_FORMAT_BYTES];

	if (pg_parse_size(value, &bytes) != 0)
		return complain(
			p, "--memory: '%s' is not a size; write for example 64M or 2G", value);
	if (bytes < (uint64_t)1 << 20)
		return complain(p, "--memory: %s is too small; a machine needs at least 1M", value);
	if (bytes % ((uint64_t)64 << 10) != 0)
		return complain(p, "--memory: %s is not a multiple of 64K", value);
	if (bytes > host)
		return complain(p, "--memory: %s is more than this host has (%s)", value,
			pg_format_size(host, text));
	p->o->memory_bytes = bytes;
	return true;
}

static bool take_tlb(struct parse *p, const char *value)
{
	const char *why = NULL;

	if (pg_mmu_config_parse(value, &p->o->mmu, &why) != 0)
		return complain(p, "--tlb: '%s': %s; write for example 64x4,1536x12", value, why);
	p->o->tlb_text = value;
	return true;
}

static bool take_fast(struct parse *p, const char *value)
{
	p->o->fast = true;
	return true;
}

static void list_form(FILE *out, const struct pg_table_form *form)
{
	fprintf(out, "%-10s %s\n", form->name, form->summary);
	for (const char *line = form->shapes; *line; line += strcspn(line, "\n")) {
		line += *line == '\n';
		fprintf(out, "  :%.*s\n", (int)strcspn(line, "\n"), line);
	}
}

static void list_forms(FILE *out)
{
	for (int i = 0; pg_table_forms[i]; i++)
		list_form(out, pg_table_forms[i]);
	fputs("\nNAME:SHAPE chooses, as in radix:5,cache=16; the default is radix:4.\n", out);
}

static bool take_page_table(struct parse *p, const char *value)
{
	const char *why;

	if (strcmp(value, "help") == 0) {
		list_forms(p->listing);
		p->listed = true;
		return true;
	}
	if (pg_table_parse(value, &p->o->form, &p->o->geometry, &why) == 0) {
		p->o->table_text = value;
		return true;
	}
	if (!p->o->form)
		return complain(p,
			"--page-table: there is no form '%s'; --page-table help lists them", value);
	return complain(p, "--page-table: '%s': %s", value, why);
}

/* One store more, behind those given before. */
static bool add_store(struct parse *p, const char *option, const char *kind, const char *value)
{
	size_t at = strlen(p->o->swap), left = sizeof p->o->swap - at;

	if (!value[0])
		return complain(p, "%s: the value is empty", option);
	if ((size_t)snprintf(p->o->swap + at, left, "%s%s%s", at ? "," : "", kind, value) >= left)
		return complain(p, "%s: all stores together have too long a name", option);
	return true;
}

static bool take_swap(struct parse *p, const char *value)
{
	if (strcmp(value, "help") == 0) {
		for (int i = 0; pg_store_kinds[i].form; i++)
			fprintf(p->listing, "%-18s %s\n", pg_store_kinds[i].form,
				pg_store_kinds[i].summary);
		p->listed = true;
		return true;
	}
	return add_store(p, "--swap", "", value);
}

static bool take_swap_file(struct parse *p, const char *value)
{
	if (strchr(value, ','))
		return complain(p, "--swap-file: the name '%s' has a comma", value);
	return add_store(p, "--swap-file", "file:", value);
}

static bool take_replace(struct parse *p, const char *value)
{
	const char *args;

	if (strcmp(value, "help") == 0) {
		for (int i = 0; pg_policies[i]; i++)
			fprintf(p->listing, "%-12s %s\n%-12s %s\n", pg_policies[i]->name,
				pg_policies[i]->summary, "", pg_policies[i]->source);
		p->listed = true;
		return true;
	}
	if (!pg_policy_find(value, &args))
		return complain(
			p, "--replace: there is no policy '%s'; --replace help lists them", value);
	p->o->replace = value;
	return true;
}

static bool take_aslr(struct parse *p, const char *value)
{
	p->o->aslr = true;
	return true;
}

static bool take_seed(struct parse *p, const char *value)
{
	if (pg_parse_number(value, &p->o->seed) != 0)
		return complain(p, "--seed: '%s' is not a whole number of at most 64 bits", value);
	p->o->seeded = true;
	return true;
}

/* 0, 1, 2 as in Linux's vm.overcommit_memory, or their names; 2:PERCENT. */
static bool take_overcommit(struct parse *p, const char *value)
{
	static const char *const names[] = {"guess", "always", "never"};
	size_t n = strcspn(value, ":");
	uint64_t percent;
	int how = -1;

	for (int i = 0; i < 3; i++) {
		if ((n == 1 && value[0] == '0' + i) ||
			(n == strlen(names[i]) && strncmp(value, names[i], n) == 0))
			how = i;
	}
	if (how < 0 || (value[n] && how != 2))
		return complain(p,
			"--overcommit: '%s' is none of 0 or guess, 1 or always, 2 or never; "
			"never:80 lets 80 %% of memory be promised",
			value);
	p->o->overcommit = (enum pg_overcommit)how;
	if (!value[n])
		return true;
	if (pg_parse_number(value + n + 1, &percent) != 0 || percent > 10000)
		return complain(p, "--overcommit: '%s' is not a percentage", value + n + 1);
	p->o->overcommit_percent = (unsigned)percent;
	return true;
}

static bool take_stack_limit(struct parse *p, const char *value)
{
	uint64_t bytes;

	if (strcmp(value, "unlimited") == 0) {
		p->o->stack_limit_bytes = UINT64_MAX;
		return true;
	}
	if (pg_parse_size(value, &bytes) != 0)
		return complain(p,
			"--stack-limit: '%s' is not a size; write for example 8M, or unlimited",
			value);
	if (bytes < (uint64_t)64 << 10)
		return complain(
			p, "--stack-limit: %s is too small; a program needs at least 64K", value);
	p->o->stack_limit_bytes = bytes;
	return true;
}

static bool take_malloc(struct parse *p, const char *value)
{
	static const char *const names[PG_HEAP_FAMILIES] = PG_HEAP_FAMILY_NAMES;

	for (int i = PG_HEAP_SHARDED; i < PG_HEAP_FAMILIES; i++) {
		if (strcmp(value, names[i]) == 0) {
			p->o->malloc_family = value;
			return true;
		}
	}
	return complain(p,
		"--malloc: '%s' is none of sharded, first-fit, next-fit, best-fit and worst-fit",
		value);
}

static bool take_mmu(struct parse *p, const char *value)
{
	if (strcmp(value, "paging") != 0 && strcmp(value, "base-limit") != 0)
		return complain(p, "--mmu: '%s' is none of paging and base-limit", value);
	p->o->base_limit = value[0] == 'b';
	return true;
}

static bool take_fit(struct parse *p, const char *value)
{
	for (int i = 0; i < PG_PARTITION_FITS; i++) {
		if (strcmp(value, pg_partition_fit_names[i]) == 0) {
			p->o->fit = (enum pg_partition_fit)i;
			return true;
		}
	}
	return complain(p, "--fit: '%s' is none of first, next, best and worst", value);
}

static bool take_bytes(struct parse *p, const char *option, const char *value, uint64_t *bytes)
{
	if (pg_parse_size(value, bytes) != 0 || *bytes == 0)
		return complain(
			p, "%s: '%s' is not a size; write for example 256K or 2M", option, value);
	*bytes = pg_align_up(*bytes, PG_PAGE_SIZE);
	return true;
}

static bool take_partition(struct parse *p, const char *value)
{
	return take_bytes(p, "--partition", value, &p->o->partition_bytes);
}

static bool take_heap(struct parse *p, const char *value)
{
	return take_bytes(p, "--heap", value, &p->o->heap_bytes);
}

static bool take_fixed(struct parse *p, const char *value)
{
	p->o->fixed = true;
	return true;
}

static bool take_compact(struct parse *p, const char *value)
{
	p->o->compact = true;
	return true;
}

static bool take_quiet(struct parse *p, const char *value)
{
	p->o->quiet = true;
	return true;
}

static bool take_verbose(struct parse *p, const char *value)
{
	p->o->verbose = true;
	return true;
}

/* A file name must not be empty: "--json=" is a slip. */
static bool take_path(struct parse *p, const char *option, const char *value, const char **path)
{
	if (!value[0])
		return complain(p, "%s: the file name is empty", option);
	*path = value;
	return true;
}

static bool take_json(struct parse *p, const char *value)
{
	return take_path(p, "--json", value, &p->o->json_path);
}

static bool take_partition_log(struct parse *p, const char *value)
{
	return take_path(p, "--partition-log", value, &p->o->partition_log);
}

static bool take_output(struct parse *p, const char *value)
{
	return take_path(p, "--output", value, &p->o->output_path);
}

static bool take_trace_faults(struct parse *p, const char *value)
{
	p->o->faults.wanted = true;
	return !value || take_path(p, "--trace-faults", value, &p->o->faults.path);
}

static bool take_explain(struct parse *p, const char *value)
{
	p->o->explain.wanted = true;
	return !value || take_path(p, "--explain", value, &p->o->explain.path);
}

static bool take_trace_calls(struct parse *p, const char *value)
{
	p->o->calls.wanted = true;
	return !value || take_path(p, "--trace-calls", value, &p->o->calls.path);
}

static bool take_no_demangle(struct parse *p, const char *value)
{
	p->o->mangled = true;
	return true;
}

static bool take_map(struct parse *p, const char *value)
{
	p->o->map = true;
	return true;
}

static bool take_top(struct parse *p, const char *value)
{
	uint64_t n;

	if (pg_parse_number(value, &n) != 0 || n > 1000000)
		return complain(p, "--top: '%s' is not a number of rows (0: all)", value);
	p->o->top = (unsigned)n;
	return true;
}

static bool take_max_faults(struct parse *p, const char *value)
{
	if (pg_parse_number(value, &p->o->most_major) != 0 || !p->o->most_major)
		return complain(p, "--max-faults: '%s' is not a number of page faults", value);
	return true;
}

static const struct row rows[] = {
	{"--memory", NEEDED, "SIZE", take_memory,
		"physical memory of the machine, 1M or more in steps\nof 64K (default 256M)"},
	{"--tlb", NEEDED, "SPEC", take_tlb,
		"ENTRIESxWAYS of the first and second level, as\n64x4,1536x12, or split: "
		"d2048x2,i2048x4,4096x8\n(the default)",
		PAGES},
	{"--fast", NONE, NULL, take_fast,
		"map frames into the host: faults and residency stay\nexact, TLB figures are "
		"absent"},
	{"--page-table", NEEDED, "FORM", take_page_table,
		"NAME or NAME:SHAPE, as radix:5 or hashed:clustered=8;\nhelp lists the forms",
		PAGES},
	{"--swap", NEEDED, "SPEC", take_swap,
		"backing store for what does not fit: 1G (a swap file),\nzstd:256M, lz4:64M "
		"(compressed memory); may be repeated:\nthe next takes what one cannot; help "
		"lists the kinds"},
	{"--swap-file", NEEDED, "PATH:SIZE", take_swap_file,
		"the same in a file of that name; of an existing file\nthe size may be left out"},
	{"--replace", NEEDED, "NAME", take_replace,
		"which page goes when memory is full (default clock);\nhelp lists the policies",
		PAGES},
	{"--overcommit", NEEDED, "HOW", take_overcommit,
		"guess: no single call may ask for more than memory and\nswap (the default); "
		"always: anything; never[:PERCENT]:\nthe sum stays below swap and PERCENT (50) of "
		"memory",
		PAGES},
	{"--max-faults", NEEDED, "N", take_max_faults,
		"stop after N page faults that read: it would take too\nlong", PAGES},
	{"--stack-limit", NEEDED, "SIZE", take_stack_limit,
		"how far the stack may grow, or unlimited (default 8M)"},
	{"--malloc", NEEDED, "NAME", take_malloc,
		"the program uses libpagoda-malloc: sharded, first-fit,\nnext-fit, best-fit or "
		"worst-fit",
		PAGES},
	{"--mmu", NEEDED, "KIND", take_mmu,
		"paging (the default), or base-limit: each process is one\ncontiguous block of "
		"memory; for static programs"},
	{"--fit", NEEDED, "NAME", take_fit,
		"the hole a block gets: first (the default), next, best\nor worst", BLOCKS},
	{"--partition", NEEDED, "SIZE", take_partition,
		"of a new block (default: the program's image, the heap\nand 128K of stack)",
		BLOCKS},
	{"--heap", NEEDED, "SIZE", take_heap, "room for the heap in a new block (default 1M)",
		BLOCKS},
	{"--fixed", NONE, NULL, take_fixed, "blocks never grow: one base and one limit, no more",
		BLOCKS},
	{"--compact", NONE, NULL, take_compact,
		"blocks are slid together when that makes a hole large\nenough", BLOCKS},
	{"--partition-log", NEEDED, "FILE", take_partition_log,
		"what became of each block, as JSON, to FILE", BLOCKS},
	{"--aslr", NONE, NULL, take_aslr, "place stack, heap and mappings at random", PAGES},
	{"--seed", NEEDED, "N", take_seed,
		"of all randomness that the program sees (default 1;\nwith --aslr: the host's)"},
	{"--quiet", NONE, NULL, take_quiet, "no summary"},
	{"--output", NEEDED, "FILE", take_output,
		"the summary goes to FILE, not to standard error"},
	{"--json", NEEDED, "FILE", take_json,
		"every figure, as JSON, to FILE (-: standard output)"},
	{"--top", NEEDED, "N", take_top, "rows of each table of the summary (default 10; 0: all)"},
	{"--map", NONE, NULL, take_map, "the summary shows the regions too, high to low"},
	{"--no-demangle", NONE, NULL, take_no_demangle,
		"names of C++, Rust and D functions as the linker knows\nthem"},
	{"--trace-faults", OPTIONAL, "FILE", take_trace_faults, "one line for each page fault"},
	{"--explain", OPTIONAL, "FILE", take_explain, "the seven steps of each page fault"},
	{"--trace-calls", OPTIONAL, "FILE", take_trace_calls, "one line for each system call"},
	{"--verbose", NONE, NULL, take_verbose,
		"name what the program asked for that is not there"},
	{"--help", NONE, NULL, NULL, "this text"},
};
#define ROWS (sizeof rows / sizeof rows[0])

/* Edits (insert, delete, replace) that make one word of the other. Wagner and Fischer, 1974. */
static unsigned distance(const char *a, const char *b)
{
	unsigned above[32];
	size_t n = strlen(b);

	if (n + 1 > sizeof above / sizeof above[0])
		return UINT32_MAX;
	for (size_t j = 0; j <= n; j++)
		above[j] = (unsigned)j;
	for (size_t i = 0; a[i]; i++) {
		unsigned diagonal = above[0];
		above[0] = (unsigned)i + 1;
		for (size_t j = 0; j < n; j++) {
			unsigned best = diagonal + (a[i] != b[j]);
			diagonal = above[j + 1];
			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (diagonal + 1 < best)
				best = diagonal + 1;
			above[j + 1] = best;
		}
	}
	return above[n];
}

static bool complain_unknown(struct parse *p, const char *word, size_t length)
{
	char name[64];
	const char *nearest = NULL;
	unsigned best = 4; /* further away than this is no slip of the finger */

	snprintf(name, sizeof name, "%.*s", (int)length, word);
	for (size_t i = 0; i < ROWS; i++) {
		unsigned d = distance(name, rows[i].name);
		if (d < best) {
			best = d;
			nearest = rows[i].name;
		}
	}
	if (nearest)
		return complain(p, "run: no option '%s'; did you mean %s?", name, nearest);
	return complain(p, "run: no option '%s'; pagoda run --help lists them", name);
}

/* Takes the option at argv[*at], moving *at to the next word. */
static bool take_option(struct parse *p, int argc, char **argv, int *at, bool *help)
{
	const char *word = argv[(*at)++];
	size_t length = strcspn(word, "=");
	const char *value = word[length] ? word + length + 1 : NULL;
	const struct row *row = NULL;

	for (size_t i = 0; i < ROWS; i++)
		if (strlen(rows[i].name) == length && strncmp(rows[i].name, word, length) == 0)
			row = &rows[i];
	if (!row && strcmp(word, "-h") == 0)
		row = &rows[ROWS - 1];
	if (!row)
		return complain_unknown(p, word, length);
	if (row->argument == NONE && value)
		return complain(p, "%s takes no value", row->name);
	if (row->argument == NEEDED && !value) {
		if (*at >= argc || strcmp(argv[*at], "--") == 0)
			return complain(p, "%s needs a value: %s %s", row->name, row->name,
				row->argument_name);
		value = argv[(*at)++];
	}
	if (!row->take) {
		*help = true;
		return true;
	}
	if (row->machine == PAGES)
		p->of_pages = row->name;
	if (row->machine == BLOCKS)
		p->of_blocks = row->name;
	return row->take(p, value);
}

enum pg_options_result pg_options_parse(
	int argc, char **argv, struct pg_options *out, FILE *listing, char *why, size_t cap)
{
	struct parse p = {.o = out, .listing = listing, .why = why, .cap = cap};
	int at = 0;

	*out = (struct pg_options){
		.memory_bytes = MEMORY_DEFAULT,
		.mmu = pg_mmu_config_default,
		.form = &pg_table_radix,
		.geometry = pg_geometry_x86_64,
		.table_text = "radix:4",
		.seed = 1,
		.stack_limit_bytes = STACK_DEFAULT,
		.overcommit = PG_OVERCOMMIT_GUESS,
		.overcommit_percent = 50,
		.top = 10,
	};
	while (at < argc && argv[at][0] == '-' && argv[at][1]) {
		bool help = false;
		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		if (!take_option(&p, argc, argv, &at, &help))
			return PG_OPTIONS_BAD;
		if (help)
			return PG_OPTIONS_HELP;
		if (p.listed)
			return PG_OPTIONS_LIST;
	}
	if (at >= argc || !argv[at][0]) {
		complain(&p,
			"run: no program given; write pagoda run [OPTIONS] -- PROGRAM [ARGUMENTS]");
		return PG_OPTIONS_EMPTY;
	}
	if (out->fast && out->tlb_text) {
		complain(&p, "--fast has no TLB to shape: leave out --tlb or --fast");
		return PG_OPTIONS_BAD;
	}
	if (out->base_limit && p.of_pages) {
		complain(&p, "%s has no meaning with --mmu base-limit: leave out one of the two",
			p.of_pages);
		return PG_OPTIONS_BAD;
	}
	if (!out->base_limit && p.of_blocks) {
		complain(&p, "%s is of --mmu base-limit: give both", p.of_blocks);
		return PG_OPTIONS_BAD;
	}
	out->mmu.walk_cache = out->geometry.walk_cache;
	/* without --aslr all runs are alike; with it only those of one seed */
	if (!out->aslr)
		out->seeded = true;
	out->command = argv + at;
	return PG_OPTIONS_RUN;
}

int pg_options_words(const char *word)
{
	size_t length = strcspn(word, "=");

	for (size_t i = 0; i < ROWS; i++)
		if (strlen(rows[i].name) == length && strncmp(rows[i].name, word, length) == 0)
			return rows[i].argument == NEEDED && !word[length] ? 2 : 1;
	return 0;
}

void pg_options_help(FILE *out)
{
	fputs("usage: pagoda run [OPTIONS] [--] PROGRAM [ARGUMENTS...]\n"
	      "\n"
	      "Runs an unmodified Linux program on memory, page tables and a TLB of Pagoda's own,\n"
	      "then says on standard error what that cost. The exit status is the program's, or "
	      "128\n"
	      "and the number of the signal that ended it; 2 if Pagoda could not run it.\n"
	      "\n",
		out);
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];
		char left[40];
		snprintf(left, sizeof left, "%s%s%s%s", r->name,
			r->argument == NEEDED     ? " "
			: r->argument == OPTIONAL ? "[="
						  : "",
			r->argument_name ? r->argument_name : "",
			r->argument == OPTIONAL ? "]" : "");
		for (const char *line = r->help; line; line = strchr(line, '\n')) {
			line += *line == '\n';
			fprintf(out, "  %-22s %.*s\n", line == r->help ? left : "",
				(int)strcspn(line, "\n"), line);
		}
	}
}
