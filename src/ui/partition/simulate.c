/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/simulate.c: `pagoda partition simulate`: contiguous allocation on streams of requests, beside paging.
 *
 *   words -> streams, random ones or a recorded one -> each served by each fit and by paging -> tables, JSON, SVG
 *
 * Called by ui/partition/partition.c. Calls frame/partition_stream.h, ui/partition/record.c (streams in files) and
 * ui/partition/figures.c (what is shown). Owns the streams and their results.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ui/partition/internal.h"
#include "ui/write/format.h"

#define MOST_REQUESTS 1000000000u
#define MOST_MEMORY ((uint64_t)1 << 40)
#define MOST_LOADS 16u

/* The words, and what is made of them. */
struct simulate {
	struct pg_stream stream; /* what all trials have in common */
	struct pg_partition_trials t;
	double loads[MOST_LOADS];
	unsigned sizes[PG_STREAM_SIZES], lifetimes[PG_STREAM_LIFETIMES];
	unsigned n_loads, n_sizes, n_lifetimes;
	const char *memory_said, *load_said; /* NULL, or the options that are there */
	const char *random_word;             /* of those that only random streams have */
	const char *json, *svg, *write_to;   /* NULL: not wanted */
	struct pg_partition_record record;   /* with t.source */
};

void pg_partition_simulate_help(FILE *out)
{
	fputs("usage: pagoda partition simulate [OPTIONS]\n"
	      "\n"
	      "Serves a stream of requests for memory by contiguous partitions, found by each "
	      "fit,\n"
	      "and by paging, and prints what each did with the memory. Where LIST stands, "
	      "several\n"
	      "values with commas between make several streams.\n"
	      "\n"
	      "  --fit LIST       of first, next, best, worst (default: all)\n"
	      "  --linear         holes on a list, as in textbooks, not in a balanced tree\n"
	      "  --memory SIZE    1M to 1T, a multiple of the page (default 64M)\n"
	      "  --page SIZE      of paging: a power of two from 16 to 1M (default 4K)\n"
	      "  --queue ORDER    who finds no room waits: fifo, the oldest first, or priority, "
	      "the\n"
	      "                   most urgent first; none: goes away (default none)\n"
	      "  --backfill       who is first in the queue and fits starts, not only the very "
	      "first\n"
	      "\n"
	      "Random streams:\n"
	      "  --requests N     arrivals, 1000 to 1000000000 (default 1000000)\n"
	      "  --sizes LIST     of uniform, exponential, bimodal, pareto, fixed, each with a "
	      "mean\n"
	      "                   of 64 KiB (default uniform)\n"
	      "  --lifetimes LIST of exponential, uniform, bimodal, pareto, fixed (default\n"
	      "                   exponential)\n"
	      "  --load LIST      what would be there if nobody were turned away, as a share of\n"
	      "                   memory, 0.01 to 100 (default 1)\n"
	      "  --seed N         of the random numbers (default 1)\n"
	      "  --write-stream FILE\n"
	      "                   the stream, as text, to FILE; only of one stream\n"
	      "\n"
	      "Recorded streams:\n"
	      "  --stream FILE    requests as --write-stream writes them, or the calls of malloc "
	      "that\n"
	      "                   PAGODA_MALLOC_RECORD recorded. Memory is then the peak of what "
	      "is\n"
	      "                   there at once, divided by --load, unless --memory says\n"
	      "\n"
	      "  --warm N         so many requests at the beginning are not counted (default: "
	      "until\n"
	      "                   equilibrium; of recorded streams 0)\n"
	      "  --json FILE      the figures, and the state over time, as JSON, to FILE\n"
	      "  --svg FILE       the state over time as a drawing, to FILE\n"
	      "  --help           this text\n",
		out);
}

/* ---- words */

/*
 * The words of a list with commas between, each one of names[count], into out[]. The number of them, or 0, after a
 * complaint.
 */
static unsigned take_names(const char *option, const char *list, const char *const *names,
	unsigned count, unsigned *out)
{
	for (unsigned n = 0;;) {
		size_t length = strcspn(list, ",");
		unsigned i = 0;

		while (i < count &&
			(strlen(names[i]) != length || strncmp(names[i], list, length) != 0))
			i++;
		if (i == count) {
			char all[128] = "";

			for (unsigned k = 0; k < count; k++)
				snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s",
					!k               ? ""
					: k == count - 1 ? " and "
							 : ", ",
					names[k]);
			pg_partition_complain("%s: there is no '%.*s'; there are %s", option,
				(int)length, list, all);
			return 0;
		}
		for (unsigned k = 0; k < n; k++)
			if (out[k] == i) {
				pg_partition_complain("%s: '%s' is given twice", option, names[i]);
				return 0;
			}
		out[n++] = i;
		if (!list[length])
			return n;
		list += length + 1;
	}
}

static int take_fits(void *ctx, const char *list)
{
	struct simulate *s = ctx;
	unsigned fits[PG_PARTITION_FITS];

	s->t.n_fits = take_names("--fit", list, pg_partition_fit_names, PG_PARTITION_FITS, fits);
	for (unsigned i = 0; i < s->t.n_fits; i++)
		s->t.fits[i] = fits[i];
	return s->t.n_fits ? 0 : 2;
}

static int take_memory(void *ctx, const char *text)
{
	struct simulate *s = ctx;
	uint64_t n;

	if (pg_parse_size(text, &n) != 0 || n < 4096 || n > MOST_MEMORY)
		return pg_partition_complain("--memory: '%s' is not a size from 1M to 1T", text);
	s->stream.memory_bytes = n;
	return 0;
}

static int take_page(void *ctx, const char *text)
{
	struct simulate *s = ctx;
	uint64_t n;

	if (pg_parse_size(text, &n) != 0 || n < PG_STREAM_UNIT_BYTES || n > 1 << 20 ||
		(n & (n - 1)))
		return pg_partition_complain(
			"--page: '%s' is not a power of two from 16 to 1M", text);
	s->stream.page_bytes = n;
	return 0;
}

static int take_sizes(void *ctx, const char *list)
{
	struct simulate *s = ctx;
	s->n_sizes = take_names("--sizes", list, pg_stream_size_names, PG_STREAM_SIZES, s->sizes);
	return s->n_sizes ? 0 : 2;
}

static int take_lifetimes(void *ctx, const char *list)
{
	struct simulate *s = ctx;
	s->n_lifetimes = take_names(
		"--lifetimes", list, pg_stream_lifetime_names, PG_STREAM_LIFETIMES, s->lifetimes);
	return s->n_lifetimes ? 0 : 2;
}

static int take_loads(void *ctx, const char *list)
{
	struct simulate *s = ctx;
	const char *at = list;

	for (s->n_loads = 0; s->n_loads < MOST_LOADS;) {
		char *end;
		double x = strtod(at, &end);

		if (end == at || (*end && *end != ',') || !(x >= 0.01 && x <= 100))
			break;
		s->loads[s->n_loads++] = x;
		if (!*end)
			return 0;
		at = end + 1;
	}
	return pg_partition_complain(
		"--load: '%s' is not a list of up to %u numbers from 0.01 to 100", list,
		MOST_LOADS);
}

static int take_queue(void *ctx, const char *text)
{
	struct simulate *s = ctx;
	static const char *const names[] = {"none", "fifo", "priority"};
	unsigned order;

	if (!take_names("--queue", text, names, strchr(text, ',') ? 0 : 3, &order))
		return 2;
	s->stream.queue = (enum pg_stream_queue)order;
	return 0;
}

/* Words that contradict each other. 0 or the exit status. */
static int check_words(const struct simulate *s)
{
	const struct pg_stream *stream = &s->stream;

	if (stream->backfill && stream->queue == PG_QUEUE_NONE)
		return pg_partition_complain("--backfill wants --queue fifo or priority");
	if (s->memory_said && stream->memory_bytes % stream->page_bytes)
		return pg_partition_complain("--memory is not a multiple of the page");
	if (s->t.source && s->random_word)
		return pg_partition_complain(
			"%s is of random streams, not of --stream", s->random_word);
	if (s->t.source && s->memory_said && s->load_said)
		return pg_partition_complain(
			"a recorded stream wants --memory or --load, not both");
	if (!s->t.source && stream->memory_bytes < PG_STREAM_MOST_BYTES)
		return pg_partition_complain("--memory is less than 1M");
	if (s->write_to && (s->n_loads > 1 || s->n_sizes > 1 || s->n_lifetimes > 1))
		return pg_partition_complain("--write-stream wants one stream, not several");
	return 0;
}

/* 0; -1: help was asked for, and printed; or the exit status. */
static int take_words(struct simulate *s, int argc, char **argv)
{
	const struct pg_word options[] = {
		{"--fit", .take = take_fits},
		{"--linear", .flag = &s->t.linear},
		{"--memory", .take = take_memory, .said = &s->memory_said},
		{"--page", .take = take_page},
		{"--requests", .number = &s->stream.requests, .least = 1000, .most = MOST_REQUESTS,
			.said = &s->random_word},
		{"--sizes", .take = take_sizes, .said = &s->random_word},
		{"--lifetimes", .take = take_lifetimes, .said = &s->random_word},
		{"--load", .take = take_loads, .said = &s->load_said},
		{"--seed", .number = &s->stream.seed, .most = UINT64_MAX, .said = &s->random_word},
		{"--warm", .number = &s->stream.warm, .most = MOST_REQUESTS},
		{"--queue", .take = take_queue},
		{"--backfill", .flag = &s->stream.backfill},
		{"--stream", .file = &s->t.source},
		{"--write-stream", .file = &s->write_to, .said = &s->random_word},
		{"--json", .file = &s->json},
		{"--svg", .file = &s->svg},
	};
	struct pg_words rest;
	int status = pg_words_take("partition", options, sizeof options / sizeof options[0], s,
		false, pg_partition_simulate_help, argc, argv, &rest);

	if (!status && rest.count)
		status = pg_partition_complain("simulate: '%s' is no option", rest.words[0]);
	pg_words_free(&rest);
	return status ? status : check_words(s);
}

/* ---- streams */

static struct pg_stream *add_trial(struct simulate *s)
{
	struct pg_partition_trial *t = &s->t.trial[s->t.n];

	t->served = calloc(s->t.n_fits + 1, sizeof *t->served);
	if (!t->served)
		return NULL;
	s->t.n++;
	t->stream = s->stream;
	return &t->stream;
}

static int add_random(struct simulate *s)
{
	for (unsigned a = 0; a < s->n_sizes; a++)
		for (unsigned b = 0; b < s->n_lifetimes; b++)
			for (unsigned c = 0; c < s->n_loads; c++) {
				struct pg_stream *stream = add_trial(s);

				if (!stream)
					return pg_partition_complain("%s", strerror(ENOMEM));
				stream->sizes = s->sizes[a];
				stream->lifetimes = s->lifetimes[b];
				stream->load = s->loads[c];
			}
	return 0;
}

/* The recorded stream in as much memory as --memory says, or as makes each load. */
static int add_recorded(struct simulate *s)
{
	int status = pg_partition_record_read(s->t.source, &s->record);
	uint64_t page = s->stream.page_bytes, peak = s->record.peak_bytes;

	if (status)
		return status;
	for (unsigned i = 0; i < s->n_loads; i++) {
		struct pg_stream *stream = add_trial(s);
		double wanted = (double)peak / s->loads[i];

		if (!stream)
			return pg_partition_complain("%s", strerror(ENOMEM));
		stream->recorded = s->record.requests;
		stream->requests = s->record.n;
		if (s->memory_said) {
			stream->load = (double)peak / (double)stream->memory_bytes;
			continue;
		}
		if (wanted > (double)MOST_MEMORY)
			return pg_partition_complain(
				"%s: at a load of %g it wants more than 1T of memory", s->t.source,
				s->loads[i]);
		stream->load = s->loads[i];
		stream->memory_bytes = ((uint64_t)wanted + page - 1) / page * page;
	}
	return 0;
}

static double processor_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int serve(const struct simulate *s, struct pg_partition_trial *trial, unsigned i)
{
	struct pg_partition_served *v = &trial->served[i];
	double start = processor_seconds();
	int e = i < s->t.n_fits
			? pg_stream_partition(&trial->stream, s->t.fits[i], s->t.linear, &v->r)
			: pg_stream_paging(&trial->stream, &v->r);

	v->seconds = processor_seconds() - start;
	return e ? pg_partition_complain(
			   "simulate, %s: %s", pg_partition_server(&s->t, i), strerror(-e))
		 : 0;
}

static int serve_all(struct simulate *s)
{
	int status = 0;

	s->t.trial = calloc((size_t)s->n_sizes * s->n_lifetimes * s->n_loads, sizeof *s->t.trial);
	if (!s->t.trial)
		return pg_partition_complain("%s", strerror(ENOMEM));
	status = s->t.source ? add_recorded(s) : add_random(s);
	if (!status && s->stream.warm != UINT64_MAX &&
		s->stream.warm >= s->t.trial[0].stream.requests)
		status = pg_partition_complain("--warm leaves no request to count");
	if (!status && s->write_to)
		status = pg_partition_record_write(s->write_to, &s->t.trial[0].stream);
	for (size_t k = 0; k < s->t.n && !status; k++)
		for (unsigned i = 0; i <= s->t.n_fits && !status; i++)
			status = serve(s, &s->t.trial[k], i);
	return status;
}

static int show(const struct simulate *s)
{
	int status = 0;

	pg_partition_write_text(&s->t, stdout);
	if (s->json)
		status = pg_partition_write_json(&s->t, s->json);
	if (s->svg && !status)
		status = pg_partition_write_svg(&s->t, s->svg);
	return status;
}

int pg_partition_simulate(int argc, char **argv)
{
	struct simulate s = {.stream = {.memory_bytes = 64 << 20,
				     .page_bytes = PG_PAGE_SIZE,
				     .requests = 1000000,
				     .warm = UINT64_MAX,
				     .seed = 1},
		.t = {.n_fits = PG_PARTITION_FITS},
		.loads = {1},
		.n_loads = 1,
		.n_sizes = 1,
		.n_lifetimes = 1};
	int status;

	for (unsigned i = 0; i < s.t.n_fits; i++)
		s.t.fits[i] = i;
	status = take_words(&s, argc, argv);
	if (!status)
		status = serve_all(&s);
	if (!status)
		status = show(&s);
	for (size_t k = 0; k < s.t.n; k++)
		free(s.t.trial[k].served);
	free(s.t.trial);
	free(s.record.requests);
	return status < 0 ? 0 : status;
}
