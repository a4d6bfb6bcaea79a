/* SPDX-License-Identifier: MIT */
/*
 * ui/compare/compare.c: `pagoda compare`: one program under several forms of page table, and what each cost.
 *
 *   words -> the options of a run for each form, all checked -> a host process for each run -> figures
 *   through memory shared with it -> table, JSON, SVG
 *
 * Called by ui/main.c. Calls ui/words/words.c and ui/run/trial.c, and of each run takes the figures before
 * its process ends. All runs get the same standard input. What the program writes is kept, shown
 * once, and compared: a program that does otherwise under another form is a fault of ours, and said.
 *
 * Owns the outputs kept and the figures; no state outside struct compare.
 */
#include "ui/compare/compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ui/run/report.h"
#include "ui/run/trial.h"
#include "ui/words/words.h"
#include "ui/write/format.h"
#include "ui/write/json.h"
#include "ui/write/output.h"
#include "ui/write/svg.h"
#include "ui/write/table.h"

#define MOST_FORMS 16
#define MOST_RUNS 100
#define WIDE 112

#define complain(...) pg_complain("compare", __VA_ARGS__)

/* What a run says of itself, in memory shared with its process. */
struct figures {
	bool told; /* all else is filled in */
	bool tlb;  /* exact mode: there were walks to count */
	uint64_t table_bytes;
	uint64_t walks, references, saved;
	unsigned p99;
	uint64_t lengths[PG_WALK_LENGTHS];
	uint64_t faults, soft;
	uint64_t rss_bytes; /* at its peak */
	uint64_t instructions;
	double seconds;
};

/* One form and its first run; of further runs only the time is kept, the shortest. */
struct form {
	char *text;            /* owned */
	struct pg_words words; /* its options of run, and the program */
	struct pg_options options;
	struct figures f;
	struct pg_trial trial; /* its output is kept */
	bool same;             /* output and status as those of the first form */
};

struct compare {
	struct form form[MOST_FORMS];
	size_t n;
	uint64_t runs;
	const char *json, *svg;                 /* NULL: not wanted */
	struct pg_words words;                  /* options of run, the program */
	char page_table[sizeof "--page-table"]; /* a word of ours */
	struct figures *shared;                 /* mapped, shared with the processes of runs */
	struct pg_trials trials;
};

void pg_compare_help(FILE *out)
{
	fputs("usage: pagoda compare [OPTIONS] [OPTIONS OF RUN] [--] PROGRAM [ARGUMENTS...]\n"
	      "\n"
	      "Runs a program under several forms of page table and prints what each cost: "
	      "memory,\n"
	      "references to memory in each walk, soft faults, time. What the program writes is "
	      "shown "
	      "once.\n"
	      "The exit status is 0 if it did the same under every form, 1 if not.\n"
	      "\n"
	      "  --page-table LIST      forms with commas between, as\n"
	      "                         radix,hashed:clustered=8,inverted (default: all)\n"
	      "  --runs N               run each N times; the time is the shortest (default 1)\n"
	      "  --json FILE            the figures, as JSON, to FILE\n"
	      "  --svg FILE             the figures, as bar charts, to FILE\n"
	      "  --help                 this text\n"
	      "\n"
	      "Options of run that shape the machine, such as --memory, --tlb or --fast, hold for "
	      "all\n"
	      "runs; pagoda run --page-table help lists the forms.\n",
		out);
}

/* ---- words */

static bool is_form(const char *text, size_t length)
{
	size_t name = strcspn(text, ":,");

	if (name > length)
		name = length;
	for (int i = 0; pg_table_forms[i]; i++)
		if (strlen(pg_table_forms[i]->name) == name &&
			!strncmp(pg_table_forms[i]->name, text, name))
			return true;
	return false;
}

/* Adds a form. 0, or the exit status. */
static int add_form(struct compare *c, const char *text, size_t length)
{
	struct form *f = &c->form[c->n];

	if (c->n == MOST_FORMS)
		return complain("--page-table: at most %d forms", MOST_FORMS);
	*f = (struct form){.text = strndup(text, length), .trial = {.out = -1, .err = -1}};
	if (!f->text)
		return complain("%s", strerror(ENOMEM));
	c->n++;
	return 0;
}

/* "radix:5,cache=4,hashed": a part that begins with no form's name belongs to the one before. */
static int take_forms(void *ctx, const char *list)
{
	struct compare *c = ctx;
	int status = 0;

	if (c->n)
		return complain("--page-table is given twice");
	while (!status) {
		size_t length = strcspn(list, ",");

		while (list[length] && !is_form(list + length + 1, strlen(list + length + 1)))
			length += 1 + strcspn(list + length + 1, ",");
		status = add_form(c, list, length);
		if (!list[length])
			break;
		list += length + 1;
	}
	return status;
}

/* 0; -1: help was asked for, and printed; or the exit status. */
static int take_words(struct compare *c, int argc, char **argv)
{
	const struct pg_word options[] = {
		{"--page-table", .take = take_forms},
		{"--runs", .number = &c->runs, .least = 1, .most = MOST_RUNS},
		{"--json", .file = &c->json},
		{"--svg", .file = &c->svg},
		{"--mmu", .refused = "page tables are compared, and base and limit have none: use "
				     "pagoda run"},
		PG_WORDS_OF_ONE,
	};

	return pg_words_take("compare", options, sizeof options / sizeof options[0], c, true,
		pg_compare_help, argc, argv, &c->words);
}

static int all_forms(struct compare *c)
{
	int status = 0;

	for (int i = 0; !status && pg_table_forms[i]; i++)
		status = add_form(c, pg_table_forms[i]->name, strlen(pg_table_forms[i]->name));
	return status;
}

/* The options of the run of each form, which takes --page-table too. 0; -1: a list was asked for, and printed; or the exit status. */
static int check_options(struct compare *c)
{
	int status = 0;

	for (size_t i = 0; i < c->n && !status; i++) {
		struct form *f = &c->form[i];
		struct pg_words *w = &f->words;

		w->words = calloc((size_t)c->words.count + 3, sizeof *w->words);
		if (!w->words)
			return complain("%s", strerror(ENOMEM));
		w->words[w->count++] = c->page_table;
		w->words[w->count++] = f->text;
		for (int k = 0; k < c->words.count; k++)
			w->words[w->count++] = c->words.words[k];
		status = pg_words_options("compare", w, &f->options);
	}
	return status;
}

/* ---- runs */

/* In the process of a run, when the guest is gone. */
static void on_report(void *ctx, const struct pg_report *r)
{
	struct figures *f = ctx;
	const struct pg_mmu_stats *m = &r->stats.cpu.mmu;

	*f = (struct figures){.told = true,
		.tlb = r->stats.cpu.has_tlb,
		.table_bytes = r->frames.table_peak * PG_PAGE_SIZE,
		.walks = m->walks + m->dirty_walks,
		.references = m->walk_refs,
		.saved = m->walk_refs_saved,
		.p99 = pg_mmu_walk_percentile(m, 99),
		.soft = r->stats.space.faults[PG_FAULT_SOFT],
		.rss_bytes = r->stats.space.rss_peak_pages * PG_PAGE_SIZE,
		.instructions = r->stats.cpu.instructions,
		.seconds = r->wall_s};
	for (int i = 0; i < PG_WALK_LENGTHS; i++)
		f->lengths[i] = m->walk_lengths[i];
	for (int k = 0; k < PG_FAULT_KINDS; k++)
		f->faults += r->stats.space.faults[k];
}

/* All runs of a form. 0 or the exit status. */
static int run_form(struct compare *c, struct form *f)
{
	f->options.on_report = on_report;
	f->options.on_report_ctx = c->shared;
	for (uint64_t i = 0; i < c->runs; i++) {
		struct pg_trial t;
		int bad;

		*c->shared = (struct figures){0};
		bad = pg_trial_run(&c->trials, &f->options, 0, &t);
		if (bad) {
			pg_trial_end(&t);
			return complain("%s", strerror(-bad));
		}
		if (!c->shared->told) { /* Pagoda could not run it, and said why */
			pg_trial_show(t.err, STDERR_FILENO);
			bad = t.status > 128 ? complain("the run under %s ended by signal %d",
						       f->text, t.status - 128)
					     : 2;
		} else if (i == 0) {
			f->f = *c->shared;
			f->trial = t;
			continue;
		} else if (c->shared->seconds < f->f.seconds) {
			f->f.seconds = c->shared->seconds;
		}
		pg_trial_end(&t);
		if (bad)
			return bad;
	}
	return 0;
}

static int run_all(struct compare *c)
{
	int bad = pg_trials_begin(&c->trials);

	if (bad)
		return complain("standard input: %s", strerror(-bad));
	for (size_t i = 0; i < c->n && !bad; i++) {
		struct form *f = &c->form[i], *first = &c->form[0];

		bad = run_form(c, f);
		if (bad)
			break;
		if (i == 0) {
			pg_trial_show(f->trial.out, STDOUT_FILENO);
			pg_trial_show(f->trial.err, STDERR_FILENO);
		}
		f->same = pg_trial_same(&f->trial, &first->trial);
	}
	return bad;
}

/* ---- texts */

static double mean(const struct figures *f)
{
	return f->walks ? (double)f->references / (double)f->walks : 0;
}

static void write_table(const struct compare *c, FILE *out)
{
	static const char *const head[] = {"table", "walks", "refs/walk", "99 %", "soft faults",
		"all faults", "resident", "time", "page table"};
	struct pg_text_table t;
	char text[8][PG_FORMAT_BYTES];

	pg_table_init(&t, 9, WIDE);
	pg_table_add(&t, head);
	for (size_t i = 0; i < c->n; i++) {
		const struct figures *f = &c->form[i].f;
		const char *cells[9] = {pg_format_size(f->table_bytes, text[0]), "-", "-", "-",
			pg_format_count(f->soft, text[4]), pg_format_count(f->faults, text[5]),
			pg_format_size(f->rss_bytes, text[6]), text[7], c->form[i].text};

		snprintf(text[7], sizeof text[7], "%.3f s", f->seconds);
		if (f->tlb) {
			snprintf(text[2], sizeof text[2], "%.2f", mean(f));
			cells[1] = pg_format_count(f->walks, text[1]);
			cells[2] = text[2];
			cells[3] = pg_format_count(f->p99, text[3]);
		}
		pg_table_add(&t, cells);
	}
	fputc('\n', out);
	pg_table_write(&t, out);
}

static void write_form(struct pg_json *j, const struct form *form)
{
	const struct figures *f = &form->f;

	pg_json_open(j, NULL, '{');
	pg_json_string(j, "page_table", form->text);
	pg_json_number(j, "status", (uint64_t)form->trial.status);
	pg_json_boolean(j, "same_output", form->same);
	pg_json_number(j, "table_bytes_peak", f->table_bytes);
	pg_json_number_if(j, "walks", f->walks, f->tlb);
	pg_json_number_if(j, "walk_references", f->references, f->tlb);
	if (f->tlb && f->walks)
		pg_json_fraction(j, "walk_references_mean", mean(f));
	else
		pg_json_string(j, "walk_references_mean", NULL);
	pg_json_number_if(j, "walk_references_p99", f->p99, f->tlb);
	pg_json_number_if(j, "walk_references_saved", f->saved, f->tlb);
	pg_json_open(j, "walk_lengths", '[');
	for (int i = 0; f->tlb && i < PG_WALK_LENGTHS; i++)
		pg_json_number(j, NULL, f->lengths[i]);
	pg_json_close(j, ']');
	pg_json_number(j, "soft_faults", f->soft);
	pg_json_number(j, "faults", f->faults);
	pg_json_number(j, "rss_peak_bytes", f->rss_bytes);
	pg_json_number_if(j, "instructions", f->instructions, f->instructions > 0);
	pg_json_fraction(j, "wall_seconds", f->seconds);
	pg_json_close(j, '}');
}

static void write_json(const struct compare *c, FILE *out)
{
	struct pg_json j = pg_json_begin(out, 1);

	pg_json_strings(&j, "command", c->form[0].options.command);
	pg_json_number(&j, "runs", c->runs);
	pg_json_open(&j, "page_tables", '[');
	for (size_t i = 0; i < c->n; i++)
		write_form(&j, &c->form[i]);
	pg_json_close(&j, ']');
	pg_json_end(&j);
}

/* Six charts of a bar for each form: two columns, three rows. */
static void write_svg(const struct compare *c, FILE *out)
{
	double y[7][MOST_FORMS];
	const char *labels[MOST_FORMS];
	char title[256];
	struct pg_svg s;

	for (size_t i = 0; i < c->n; i++) {
		const struct figures *f = &c->form[i].f;

		labels[i] = c->form[i].text;
		y[0][i] = (double)f->table_bytes;
		y[1][i] = (double)f->walks;
		y[2][i] = mean(f);
		y[3][i] = f->p99;
		y[4][i] = (double)f->soft;
		y[5][i] = (double)f->faults;
		y[6][i] = f->seconds;
	}
	const struct pg_svg_series one[] = {{.y = y[0], .n = c->n}, {.y = y[1], .n = c->n},
		{.y = y[4], .n = c->n}, {.y = y[5], .n = c->n}, {.y = y[6], .n = c->n}};
	const struct pg_svg_series walk[] = {
		{.name = "mean", .y = y[2], .n = c->n}, {.name = "99 %", .y = y[3], .n = c->n}};
	const struct pg_svg_axis count = {.unit = PG_SVG_NUMBER};
	const struct {
		const char *title;
		const struct pg_svg_series *series;
		size_t n;
		struct pg_svg_axis axis;
	} charts[] = {{"memory of page tables, at its peak", &one[0], 1, {.unit = PG_SVG_BYTES}},
		{"walks", &one[1], 1, count}, {"memory references of a walk", walk, 2, count},
		{"soft faults", &one[2], 1, count}, {"all page faults", &one[3], 1, count},
		{"time", &one[4], 1, {.unit = PG_SVG_SECONDS}}};

	snprintf(title, sizeof title, "page tables under %.200s", c->form[0].options.command[0]);
	pg_svg_begin(&s, out, 960, 900, title);
	for (size_t i = 0; i < 6; i++) {
		struct pg_svg_box box = {
			(double)(i % 2) * 480, 40 + (double)(i / 2) * 285, 480, 275};

		if (!c->form[0].f.tlb && (i == 1 || i == 2))
			continue; /* fast mode makes no walks */
		pg_svg_bars(&s, box, charts[i].title, labels, c->n, charts[i].series, charts[i].n,
			&charts[i].axis);
	}
	pg_svg_end(&s);
}

/* Writes a file by f. 0 or the exit status. */
static int write_file(
	const struct compare *c, const char *path, void (*f)(const struct compare *c, FILE *out))
{
	struct pg_output o = {.path = path};
	int status = pg_output_begin("compare", &o);

	if (status)
		return status;
	f(c, o.file);
	return pg_output_end("compare", &o);
}

static int write_all(const struct compare *c)
{
	int status = 0;

	write_table(c, stderr);
	if (c->json)
		status = write_file(c, c->json, write_json);
	if (c->svg && !status)
		status = write_file(c, c->svg, write_svg);
	for (size_t i = 0; i < c->n && !status; i++) {
		if (c->form[i].same)
			continue;
		complain("under %s the program did otherwise than under %s: %s", c->form[i].text,
			c->form[0].text,
			c->form[i].trial.status == c->form[0].trial.status
				? "its output differs"
				: "its exit status differs");
		status = 1;
	}
	return status;
}

int pg_compare_command(int argc, char **argv)
{
	struct compare c = {.runs = 1,
		.trials = {.input = -1},

		.page_table = "--page-table"};
	int status;

	c.shared = mmap(
		NULL, sizeof *c.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c.shared == MAP_FAILED) {
		status = complain("%s", strerror(ENOMEM));
		goto out;
	}
	status = take_words(&c, argc, argv);
	if (!status && !c.n)
		status = all_forms(&c);
	if (!status)
		status = check_options(&c);
	if (!status)
		status = run_all(&c);
	if (!status)
		status = write_all(&c);
out:
	for (size_t i = 0; i < c.n; i++) {
		free(c.form[i].text);
		pg_words_free(&c.form[i].words);
		pg_trial_end(&c.form[i].trial);
	}
	pg_trials_end(&c.trials);
	if (c.shared != MAP_FAILED)
		munmap(c.shared, sizeof *c.shared);
	pg_words_free(&c.words);
	return status < 0 ? 0 : status;
}
