/* SPDX-License-Identifier: MIT */
/*
 * ui/stack/stack.c: `pagoda stack`: runs a program, follows its calls, and takes the picture of its stacks at one moment.
 *
 *   words -> options of a run -> the run, observed: calls and returns (trace/calls.c), a moment (trace/picture.c) -> text, JSON, SVG,
 *   film, folded chains
 *
 * Called by ui/main.c. Calls ui/words/words.c, and ui/run/run.c with itself as the observer. What it looks at is one process, and of it the last
 * program that it executes, from its entry point on: the dynamic linker's own start is not looked at.
 *
 * Owns the pictures and everything that trace/ keeps for it.
 */
#include "ui/stack/stack.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "linux/linux.h"
#include "trace/faults.h"
#include "trace/overflow.h"
#include "ui/run/report.h"
#include "ui/run/run.h"
#include "ui/words/words.h"
#include "ui/write/format.h"
#include "ui/write/output.h"

#define SAME_NAME                                                                                  \
	64 /* functions of a file that --at NAME waits for, at most: overloaded, or static in several sources */

enum moment { AT_DEEPEST, AT_EXIT, AT_SIGNAL, AT_FUNCTION, AT_INSTRUCTIONS };

#define complain(...) pg_complain("stack", __VA_ARGS__)

struct stack {
	struct pg_options options;
	struct pg_words words; /* options of run, the program */
	struct pg_chosen process;
	enum moment at;
	char *function; /* AT_FUNCTION: its name; owned */
	uint64_t n;     /* AT_FUNCTION: which call of it; AT_INSTRUCTIONS: how many */
	int signo;      /* AT_SIGNAL: which; 0: any */
	uint64_t shown; /* frames of each stack; 0: all */
	bool no_values;
	enum pg_call_weight weight;
	struct pg_output text, json, svg, film, folded;

	/* while it runs */
	struct pg_linux *linux; /* borrowed, as are the next two */
	struct pg_symbols *symbols;
	struct pg_unwinder *unwinder; /* owned */
	struct pg_calls *calls;       /* owned */
	bool started;                 /* the program's entry point was reached */
	uint64_t entry;
	uint64_t *wanted; /* owned; where the function that is waited for begins */
	size_t wanted_count;
	uint64_t reached; /* calls of it so far */
	int armed; /* the thread that is in it: the picture is taken at its next event; 0: none */
	bool done; /* the moment was there */
	uint64_t taken_bytes; /* AT_DEEPEST: how deep the picture's moment was */
	bool failed;
	struct pg_stack_result result;
};

void pg_stack_help(FILE *out)
{
	fputs("usage: pagoda stack [OPTIONS] [OPTIONS OF RUN] [--] PROGRAM [ARGUMENTS...]\n"
	      "\n"
	      "Runs a program and shows the stacks of its threads: frame by frame at one moment, "
	      "with\n"
	      "return addresses, saved base pointers, arguments and locals by name, resident "
	      "pages,\n"
	      "limit and guard; and over time: depth at every call and return, the deepest chain,\n"
	      "bytes by function. The text goes to standard error. The exit status is the\n"
	      "program's; 2 if Pagoda could not do it.\n"
	      "\n"
	      "  --at MOMENT            deepest (the default): the stack pointer was lowest, "
	      "shown\n"
	      "                         when that call is about to return;\n"
	      "                         exit: the program ends, however;\n"
	      "                         signal or signal:NAME: it is delivered;\n"
	      "                         NAME or NAME:N: in the N-th call of function NAME, at the\n"
	      "                         first call that it makes itself, or its return;\n"
	      "                         N: the first call or return after N instructions of a "
	      "thread\n"
	      "  --process NAME|PID     the first process that runs a program of that name, or\n"
	      "                         that process; 1000 is the first (default)\n"
	      "  --frames N             of each stack, from both of its ends (default 24; 0: all)\n"
	      "  --no-values            no arguments and locals\n"
	      "  --top N                functions in the tables (default 15; 0: all)\n"
	      "  --output FILE          the text goes to FILE\n"
	      "  --json FILE            all of it, as JSON\n"
	      "  --svg FILE             the stacks side by side, and their depth over time, drawn\n"
	      "  --film FILE            an HTML page: the stacks growing and shrinking\n"
	      "  --folded FILE          chains of functions and a weight, for flame graphs\n"
	      "  --weight WHAT          of these: instructions (the default), calls or bytes\n"
	      "  --help                 this text\n",
		out);
}

/* ---- words */

/* The number of a signal by name, "SEGV" or "SIGSEGV"; 0: none. */
static int signal_number(const char *name)
{
	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	for (int i = 1; i < 32; i++) {
		const char *abbreviation = sigabbrev_np(i);
		if (abbreviation && strcmp(abbreviation, name) == 0)
			return i;
	}
	return 0;
}

static int take_moment(void *ctx, const char *text)
{
	struct stack *s = ctx;
	const char *colon = strrchr(text, ':');

	s->n = 1;
	if (!strcmp(text, "deepest")) {
		s->at = AT_DEEPEST;
	} else if (!strcmp(text, "exit")) {
		s->at = AT_EXIT;
	} else if (!strcmp(text, "signal")) {
		s->at = AT_SIGNAL;
	} else if (!strncmp(text, "signal:", 7)) {
		s->at = AT_SIGNAL;
		s->signo = signal_number(text + 7);
		if (!s->signo)
			return complain("--at: no signal '%s'", text + 7);
	} else if (text[0] >= '0' && text[0] <= '9') {
		s->at = AT_INSTRUCTIONS;
		if (pg_parse_number(text, &s->n) != 0)
			return complain("--at: '%s' is not a number of instructions", text);
	} else if (text[0]) {
		s->at = AT_FUNCTION;
		/* of C++, a::b has colons too */
		if (colon && colon[1] >= '0' && colon[1] <= '9' &&
			(pg_parse_number(colon + 1, &s->n) != 0 || s->n == 0))
			return complain("--at: '%s' is not the number of a call", colon + 1);
		if (!colon || colon[1] < '0' || colon[1] > '9')
			colon = text + strlen(text);
		free(s->function);
		s->function = strndup(text, (size_t)(colon - text));
		if (!s->function || !s->function[0])
			return complain("--at: no function is named");
	} else {
		return complain("--at wants deepest, exit, signal, a function or a number");
	}
	return 0;
}

static int take_weight(void *ctx, const char *text)
{
	struct stack *s = ctx;
	static const char *const names[] = {"instructions", "calls", "bytes"};

	for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
		if (!strcmp(names[i], text)) {
			s->weight = (enum pg_call_weight)i;
			return 0;
		}
	return complain("--weight: '%s' is none of instructions, calls, bytes", text);
}

/* 0; -1: all that was asked for is answered; or the exit status. */
static int take_process(void *ctx, const char *text)
{
	struct stack *s = ctx;

	return pg_words_process("stack", text, &s->process);
}

static int take_words(struct stack *s, int argc, char **argv)
{
	uint64_t top = 15;
	const struct pg_word options[] = {
		{"--at", .take = take_moment},
		{"--process", .take = take_process},
		{"--frames", .number = &s->shown, .most = 1000000},
		{"--no-values", .flag = &s->no_values},
		{"--top", .number = &top, .most = 1000000},
		{"--output", .file = &s->text.path},
		{"--json", .file = &s->json.path},
		{"--svg", .file = &s->svg.path},
		{"--film", .file = &s->film.path},
		{"--folded", .file = &s->folded.path},
		{"--weight", .take = take_weight},
	};
	int status = pg_words_take("stack", options, sizeof options / sizeof options[0], s, true,
		pg_stack_help, argc, argv, &s->words);

	if (!status)
		status = pg_words_options("stack", &s->words, &s->options);
	if (status)
		return status;
	s->result.top = (unsigned)top;
	if (s->options.fast && s->at == AT_INSTRUCTIONS)
		return complain("--at N: no instructions are counted with --fast");
	if (s->options.fast && s->folded.path && s->weight == PG_CALL_INSTRUCTIONS)
		return complain("--folded: no instructions are counted with --fast: use --weight "
				"calls or --weight bytes");
	return 0;
}

/* ---- the picture */

static void drop_picture(struct stack *s)
{
	for (size_t i = 0; i < s->result.thread_count; i++)
		pg_picture_free(&s->result.threads[i]);
	free(s->result.threads);
	s->result.threads = NULL;
	s->result.thread_count = s->result.threads_left_out = 0;
	s->result.taken = false;
}

struct look {
	struct stack *s;
	int tid;                        /* of the thread at whose moment this is; 0: none */
	const struct pg_cpu_regs *regs; /* of that one; NULL: as the machine says */
};

static bool look_at(void *ctx, const struct pg_linux_thread *t)
{
	const struct look *l = ctx;
	struct stack *s = l->s;
	struct pg_stack_result *r = &s->result;
	struct pg_picture_request q = {.symbols = s->symbols,
		.unwinder = s->unwinder,
		.space = pg_linux_space_of(s->linux, s->result.pid),
		.regs = t->tid == l->tid && l->regs ? l->regs : t->regs,
		.tid = t->tid,
		.name = t->name,
		.alt_sp = t->alt_sp,
		.alt_size = t->alt_size,
		.inner = (s->shown * 2 + 2) / 3,
		.outer = s->shown - (s->shown * 2 + 2) / 3,
		.values = !s->no_values};

	if (r->thread_count == PG_STACK_THREADS) {
		r->threads_left_out++;
		return true;
	}
	struct pg_picture *more = realloc(r->threads, (r->thread_count + 1) * sizeof *more);
	if (more)
		r->threads = more;
	if (!more || pg_picture_take(&q, &more[r->thread_count]) != 0) {
		s->failed = true;
		return false;
	}
	more[r->thread_count++].here = t->tid == l->tid;
	return true;
}

static void take_picture(struct stack *s, int tid, const struct pg_cpu_regs *regs,
	uint64_t instructions, const char *format, ...) __attribute__((format(printf, 5, 6)));

static void take_picture(struct stack *s, int tid, const struct pg_cpu_regs *regs,
	uint64_t instructions, const char *format, ...)
{
	struct look l = {.s = s, .tid = tid, .regs = regs};
	va_list args;

	if (!pg_linux_space_of(s->linux, s->result.pid))
		return;
	drop_picture(s);
	va_start(args, format);
	vsnprintf(s->result.moment, sizeof s->result.moment, format, args);
	va_end(args);
	s->result.instructions = instructions;
	pg_linux_each_thread(s->linux, s->result.pid, look_at, &l);
	s->result.taken = true;
	s->taken_bytes = s->calls->deepest_bytes;
}

/* The registers before a transfer. */
static struct pg_cpu_regs before(const struct pg_transferred *t)
{
	struct pg_cpu_regs regs = *t->regs;

	regs.rip = t->from;
	regs.gpr[PG_RSP] += (uint64_t)(int64_t)t->undo;
	return regs;
}

static void on_deepest(void *ctx, const struct pg_transferred *t)
{
	struct stack *s = ctx;
	struct pg_cpu_regs regs = before(t);

	if (s->at == AT_DEEPEST)
		take_picture(s, pg_linux_tid(s->linux), &regs, t->instructions,
			"at its deepest, before that call returns");
}

/* ---- hooks */

static bool is_ours(const struct stack *s)
{
	return s->result.pid && pg_linux_pid(s->linux) == s->result.pid;
}

/* The function that is waited for, in what is mapped now. */
static bool look_for_function(void *ctx, const struct pg_region *r)
{
	struct stack *s = ctx;
	const char *path;
	uint64_t offset, at[SAME_NAME];
	size_t n, known;

	if (!(r->prot & PG_EXEC) ||
		!pg_trace_file_of(pg_linux_space(s->linux), r->start.v, &path, &offset))
		return true;
	n = pg_symbols_named(s->symbols, path, offset, r->start.v, s->function, at, SAME_NAME);
	for (size_t i = 0; i < n; i++) {
		for (known = 0; known < s->wanted_count && s->wanted[known] != at[i];)
			known++;
		if (known < s->wanted_count)
			continue;
		uint64_t *more = realloc(s->wanted, (s->wanted_count + 1) * sizeof *more);
		if (more)
			s->wanted = more;
		if (!more || pg_linux_watch(s->linux, at[i]) != 0) {
			s->failed = true;
			return false;
		}
		more[s->wanted_count++] = at[i];
	}
	return true;
}

static void begin_program(struct stack *s, const char *path)
{
	const struct pg_linux_layout *l = pg_linux_layout(s->linux);

	s->result.pid = pg_linux_pid(s->linux);
	snprintf(s->result.program, sizeof s->result.program, "%s", path);
	s->started = false;
	s->entry = l->entry;
	s->wanted_count = 0;
	s->reached = 0;
	s->armed = 0;
	pg_calls_begin(s->calls);
	if (pg_linux_watch(s->linux, s->entry) != 0)
		s->failed = true;
	if (s->at == AT_FUNCTION)
		pg_space_each_region(pg_linux_space(s->linux), look_for_function, s);
}

static void on_begin(void *ctx, struct pg_linux *l, struct pg_symbols *symbols)
{
	struct stack *s = ctx;

	s->linux = l;
	s->symbols = symbols;
	if (pg_unwinder_create(symbols, &s->unwinder) != 0 ||
		pg_calls_create(symbols, &s->calls) != 0) {
		s->failed = true;
		return;
	}
	s->calls->deepest = on_deepest;
	s->calls->ctx = s;
	if (pg_chosen_by_exec(&s->process, l, pg_linux_program(l)))
		begin_program(s, pg_linux_program(l));
}

static void on_fork(void *ctx, int parent, int child)
{
	struct stack *s = ctx;

	if (!s->calls || s->result.pid || !pg_chosen_by_fork(&s->process, child))
		return;
	/* in the middle of a program: what was called before the fork is not known */
	s->result.pid = child;
	snprintf(s->result.program, sizeof s->result.program, "%s", pg_linux_program(s->linux));
	pg_calls_begin(s->calls);
	s->started = true;
	if (s->at == AT_FUNCTION)
		pg_space_each_region(pg_linux_space(s->linux), look_for_function, s);
}

static void on_exec(void *ctx, const char *path)
{
	struct stack *s = ctx;

	if (!s->calls) /* the first is on_begin's */
		return;
	if (s->result.pid ? !is_ours(s) : !pg_chosen_by_exec(&s->process, s->linux, path))
		return;
	if (!s->done)
		drop_picture(s);
	begin_program(s, path);
}

static void on_code(void *ctx)
{
	struct stack *s = ctx;

	if (!s->calls || !is_ours(s))
		return;
	pg_calls_code(s->calls);
	if (s->at == AT_FUNCTION)
		pg_space_each_region(pg_linux_space(s->linux), look_for_function, s);
}

static void on_reached(void *ctx, const struct pg_cpu_regs *regs)
{
	struct stack *s = ctx;

	if (!is_ours(s))
		return;
	if (regs->rip == s->entry)
		s->started = true;
	for (size_t i = 0; i < s->wanted_count; i++)
		if (s->wanted[i] == regs->rip && ++s->reached == s->n && !s->done)
			s->armed = pg_linux_tid(s->linux);
}

static void on_transferred(void *ctx, const struct pg_transferred *t)
{
	struct stack *s = ctx;

	if (!s->started || !s->calls || !is_ours(s)) {
		*t->wish = (struct pg_transfer_wish){.all = false};
		return;
	}
	int tid = pg_linux_tid(s->linux);
	if (!s->done && !t->late && t->how != PG_TRANSFER_JUMP) {
		struct pg_cpu_regs regs;

		if (s->armed == tid) {
			regs = before(t);
			s->armed = 0;
			s->done = true;
			take_picture(s, tid, &regs, t->instructions,
				"in call %" PRIu64 " of %s, about to %s", s->n, s->function,
				t->how == PG_TRANSFER_CALL ? "make a call" : "return");
		} else if (s->at == AT_INSTRUCTIONS && t->instructions >= s->n) {
			regs = before(t);
			s->done = true;
			take_picture(s, tid, &regs, t->instructions,
				"after %" PRIu64 " instructions", s->n);
		}
	}
	pg_calls_transfer(s->calls, pg_linux_space(s->linux), tid, t);
	if (!s->done && (s->armed == tid || s->at == AT_INSTRUCTIONS))
		t->wish->all = true;
}

/* The stack that ends here is full: what is on it? */
static void note_overflow(struct stack *s, uint64_t address, const struct pg_cpu_regs *regs)
{
	struct pg_space *space = pg_linux_space(s->linux);

	if (s->result.overflowed || !space ||
		!pg_stack_overflowed(space, address, regs->gpr[PG_RSP]))
		return;
	s->result.overflowed = true;
	s->result.overflow =
		pg_cycle_text(s->symbols, s->unwinder, space, regs, &s->result.overflow_depth);
}

static void on_signal(void *ctx, int signo, int si_code, uint64_t address, uint64_t handler)
{
	struct stack *s = ctx;
	const struct pg_cpu_regs *regs = pg_linux_regs(s->linux);
	int tid = pg_linux_tid(s->linux);

	if (!s->calls || !is_ours(s) || !regs)
		return;
	if (signo == SIGSEGV && si_code > 0)
		note_overflow(s, address, regs);
	if (s->at == AT_SIGNAL && !s->done && (!s->signo || s->signo == signo)) {
		s->done = true;
		take_picture(s, tid, regs, 0, "when SIG%s is delivered",
			sigabbrev_np(signo) ? sigabbrev_np(signo) : "RT");
	}
	if (handler > 1 && s->started)
		pg_calls_signal(s->calls, tid, handler);
}

static void on_ending(void *ctx, int pid, int tid, const struct pg_linux_end *end)
{
	struct stack *s = ctx;

	if (!s->result.pid || pid != s->result.pid || !s->calls)
		return;
	bool waits = s->at == AT_DEEPEST && (s->calls->deepest_waits || !s->result.taken);
	if (!s->done && (waits || s->at == AT_EXIT))
		take_picture(s, tid, NULL, 0,
			s->at == AT_EXIT ? "when it ends" : "at its deepest, where it ends");
	if (s->at == AT_EXIT)
		s->done = true;
}

static void on_end(void *ctx, const struct pg_report *report)
{
	struct stack *s = ctx;
	struct pg_stack_result *r = &s->result;

	if (!s->calls || !r->pid)
		return;
	if (s->at == AT_DEEPEST && s->calls->deepest_bytes > s->taken_bytes)
		r->missed = s->calls->deepest_bytes;
	pg_calls_end(s->calls);
	s->failed |= s->calls->failed;
	r->calls = s->calls;
	r->command = s->options.command;
	r->title = s->process.name || s->process.pid ? r->program : r->command[0];
	r->run = report->stats;
	pg_stack_text(r, s->text.file);
	if (s->json.file)
		pg_stack_json(r, s->json.file);
	if (s->svg.file)
		pg_stack_svg(r, s->svg.file);
	if (s->film.file)
		pg_stack_film(r, s->film.file);
	if (s->folded.file)
		pg_call_tree_folded(&s->calls->tree, s->weight, s->folded.file);
}

static const struct pg_linux_hooks hooks = {.exec = on_exec,
	.fork = on_fork,
	.ending = on_ending,
	.reached = on_reached,
	.code = on_code,
	.transferred = on_transferred,
	.signal = on_signal};

/* ---- the command */

static int after_run(struct stack *s, int status)
{
	struct pg_output *const outputs[] = {&s->text, &s->json, &s->svg, &s->film, &s->folded};
	int bad = 0;

	for (unsigned i = 0; i < sizeof outputs / sizeof outputs[0]; i++)
		bad |= pg_output_end("stack", outputs[i]);
	if (bad)
		return 2;
	if (s->failed)
		return complain("%s: figures are not complete", strerror(ENOMEM));
	if (s->calls && s->folded.path && s->weight == PG_CALL_INSTRUCTIONS && s->calls->calls &&
		!s->calls->counted)
		return complain("--folded: this host has no AVX-512VL, instructions are not "
				"counted by call: use --weight calls or --weight bytes");
	if (s->calls && !s->result.pid) {
		char why[512];

		return complain("%s", pg_chosen_never(&s->process, why, sizeof why));
	}
	if (s->calls && !s->result.taken) {
		if (s->at == AT_FUNCTION)
			return complain("--at %s: it was called %" PRIu64 " times", s->function,
				s->reached);
		return complain("--at: that moment never came");
	}
	return status;
}

int pg_stack_command(int argc, char **argv)
{
	struct stack s = {.shown = 24, .n = 1};
	struct pg_observer observer = {
		.ctx = &s, .begin = on_begin, .hooks = &hooks, .end = on_end};
	struct pg_output *const outputs[] = {&s.text, &s.json, &s.svg, &s.film, &s.folded};
	int status = take_words(&s, argc, argv);

	for (unsigned i = 0; !status && i < sizeof outputs / sizeof outputs[0]; i++)
		if (i == 0 || outputs[i]->path)
			status = pg_output_begin("stack", outputs[i]);
	if (!status) {
		s.options.observer = &observer;
		status = after_run(&s, pg_run_command(&s.options));
	}
	for (unsigned i = 0; i < sizeof outputs / sizeof outputs[0]; i++)
		(void)pg_output_close(outputs[i]);
	drop_picture(&s);
	free(s.result.overflow);
	pg_calls_destroy(s.calls);
	pg_unwinder_destroy(s.unwinder);
	free(s.wanted);
	free(s.function);
	pg_words_free(&s.words);
	return status < 0 ? 0 : status;
}
