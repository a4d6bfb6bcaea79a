/* SPDX-License-Identifier: MIT */
/*
 * ui/heap/heap.c: `pagoda heap`: runs a program and draws its heap at a chosen moment.
 *
 *   words -> options of a run, what to watch -> files opened -> a run with trace/heap_calls.c looking on -> text, JSON, SVG
 *
 * Called by ui/main.c. Calls ui/words/words.c, ui/write/output.c, ui/run/run.c, trace/heap.h and the three who show.
 */
#include "ui/heap/heap.h"

#include <errno.h>
#include <string.h>

#include "ui/run/run.h"
#include "ui/words/words.h"
#include "ui/write/format.h"
#include "ui/write/output.h"

const char *const pg_heap_state_names[PG_CHUNK_STATES] = {
	"used", "free", "cached", "top", "own", "fence"};

#define complain(...) pg_complain("heap", __VA_ARGS__)

struct heap {
	struct pg_options options;
	struct pg_heap_watch_config config;
	struct pg_heap_watch *watch; /* owned */
	struct pg_heap_show show;
	struct pg_words words;       /* options of run, the program */
	struct pg_output outputs[3]; /* text, JSON, SVG */
	bool failed;
};

void pg_heap_help(FILE *out)
{
	fputs("usage: pagoda heap [OPTIONS] [OPTIONS OF RUN] [--] PROGRAM [ARGUMENTS...]\n"
	      "\n"
	      "Draws the heap of a program: its blocks, free lists, holes and pages, who asked "
	      "for\n"
	      "them, and how it became so. Walks glibc's arenas and libpagoda-malloc's heaps (run\n"
	      "with --malloc NAME); of other allocators it shows what their calls say. The exit\n"
	      "status is the program's.\n"
	      "\n"
	      "  --at MOMENT            exit (the default), peak (most live bytes, within 1 %),\n"
	      "                         calls:N (after N calls of the allocator), or\n"
	      "                         instructions:N (at the first call after N)\n"
	      "  --process NAME|PID     the first process that runs a program of that name, or\n"
	      "                         that process; 1000 is the first (default)\n"
	      "  --callers N            callers to keep of each call, 1 to 32 (default 4)\n"
	      "  --blocks               list every block\n"
	      "  --top N                rows of each table, 0 for all (default 10)\n"
	      "  --output FILE          the text goes to FILE and not to standard error\n"
	      "  --json FILE            all blocks, lists, sites and the timeline, to FILE\n"
	      "  --svg FILE             the same, drawn, to FILE\n"
	      "  --help                 this text\n"
	      "\n"
	      "Options of run that shape the machine, such as --memory, --malloc or --fast, hold\n"
	      "too; pagoda run --help lists them.\n",
		out);
}

/* --- words ------------------------------------------------------------------------------------------------ */

static int take_moment(void *ctx, const char *text)
{
	struct heap *h = ctx;
	static const struct {
		const char *name;
		enum pg_heap_when when;
	} moments[] = {{"exit", PG_HEAP_AT_EXIT}, {"peak", PG_HEAP_AT_PEAK},
		{"calls:", PG_HEAP_AT_CALLS}, {"instructions:", PG_HEAP_AT_INSTRUCTIONS}};

	for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
		size_t n = strlen(moments[i].name);
		bool number = moments[i].name[n - 1] == ':';
		if (number ? strncmp(text, moments[i].name, n) : strcmp(text, moments[i].name))
			continue;
		h->config.when = moments[i].when;
		if (!number ||
			(pg_parse_number(text + n, &h->config.number) == 0 && h->config.number))
			return 0;
	}
	return complain("--at: '%s' is not exit, peak, calls:N or instructions:N", text);
}

static int take_process(void *ctx, const char *text)
{
	struct heap *h = ctx;

	return pg_words_process("heap", text, &h->config.process);
}

/* 0; -1: all that was asked for is answered; or the exit status. */
static int take_words(struct heap *h, int argc, char **argv)
{
	uint64_t callers = 4, top = 10;
	const struct pg_word options[] = {
		{"--at", .take = take_moment},
		{"--process", .take = take_process},
		{"--callers", .number = &callers, .least = 1, .most = PG_HEAP_DEPTH},
		{"--blocks", .flag = &h->show.blocks},
		{"--top", .number = &top, .most = 1000000},
		{"--output", .file = &h->outputs[0].path},
		{"--json", .file = &h->outputs[1].path},
		{"--svg", .file = &h->outputs[2].path},
	};
	int status = pg_words_take("heap", options, sizeof options / sizeof options[0], h, true,
		pg_heap_help, argc, argv, &h->words);

	if (!status)
		status = pg_words_options("heap", &h->words, &h->options);
	if (status)
		return status;
	h->config.depth = (unsigned)callers;
	h->show.top = (unsigned)top;
	if (h->options.fast && h->config.when == PG_HEAP_AT_INSTRUCTIONS)
		return complain("--fast counts no instructions: use --at calls:N, or leave it out");
	return 0;
}

/* --- the run ------------------------------------------------------------------------------------------------------ */

static void on_exec(void *ctx, const char *path)
{
	pg_heap_watch_exec(((struct heap *)ctx)->watch, path);
}

static void on_code(void *ctx)
{
	pg_heap_watch_code(((struct heap *)ctx)->watch);
}

static void on_fork(void *ctx, int parent, int child)
{
	pg_heap_watch_fork(((struct heap *)ctx)->watch, parent, child);
}

static void on_leave(void *ctx)
{
	pg_heap_watch_leave(((struct heap *)ctx)->watch);
}

static void on_reached(void *ctx, const struct pg_cpu_regs *regs)
{
	pg_heap_watch_reached(((struct heap *)ctx)->watch, regs);
}

static void on_begin(void *ctx, struct pg_linux *l, struct pg_symbols *symbols)
{
	pg_heap_watch_begin(((struct heap *)ctx)->watch, l, symbols);
}

static void on_end(void *ctx, const struct pg_report *r)
{
	static void (*const writers[])(const struct pg_heap_show *s, FILE *out) = {
		pg_heap_text, pg_heap_json, pg_heap_svg};
	struct heap *h = ctx;
	char why[512];

	h->show.p = pg_heap_watch_picture(h->watch, why, sizeof why);
	if (!h->show.p) {
		complain("%s", why);
		h->failed = true;
		return;
	}
	for (int i = 0; i < 3; i++) {
		struct pg_output *o = &h->outputs[i];

		if (!o->file)
			continue;
		h->show.colour = i == 0 && pg_output_coloured(o->file);
		writers[i](&h->show, o->file);
		h->failed |= pg_output_end("heap", o) != 0;
	}
}

static int run(struct heap *h)
{
	static const struct pg_linux_hooks hooks = {.exec = on_exec,
		.code = on_code,
		.fork = on_fork,
		.leave = on_leave,
		.reached = on_reached};
	const struct pg_observer observer = {
		.ctx = h, .begin = on_begin, .hooks = &hooks, .end = on_end};

	for (int i = 0; i < 3; i++) {
		struct pg_output *o = &h->outputs[i];

		if ((i == 0 || o->path) && pg_output_begin("heap", o) != 0)
			return 2;
	}
	if (pg_heap_watch_create(&h->config, &h->watch) != 0)
		return complain("%s", strerror(ENOMEM));
	h->options.observer = &observer;
	h->show.command = h->options.command;
	int status = pg_run_command(&h->options);
	return h->failed ? 2 : status;
}

int pg_heap_command(int argc, char **argv)
{
	struct heap h = {.words = {0}};
	int status = take_words(&h, argc, argv);

	if (!status)
		status = run(&h);
	for (int i = 0; i < 3; i++)
		(void)pg_output_close(&h.outputs[i]);
	pg_heap_watch_destroy(h.watch);
	pg_words_free(&h.words);
	return status < 0 ? 0 : status;
}
