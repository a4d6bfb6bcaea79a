/* SPDX-License-Identifier: MIT */
/*
 * ui/partition.c: `pagoda partition simulate`: contiguous allocation on streams of requests, beside paging.
 *
 *   words -> a stream -> the stream served by each fit and by paging -> a table, JSON
 *
 * Called by ui/main.c. Calls frame/partition_stream.c. Owns the results; no state outside struct simulate.
 * Running programs in partitions (`partition run`) is not here: it is not there yet.
 */
#include "ui/partition.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frame/partition_stream.h"
#include "ui/format.h"
#include "ui/json_write.h"
#include "ui/table.h"

#define WIDE 120
#define MOST_REQUESTS 1000000000u
#define MOST_MEMORY ((uint64_t)1 << 40)

/* The stream under one server. */
struct served {
	double seconds; /* of the processor, arrivals and departures included */
	struct pg_stream_result r;
};

struct simulate {
	struct pg_stream stream;
	bool linear;
	enum pg_partition_fit fits[PG_PARTITION_FITS]; /* in the order given */
	unsigned n;
	const char *json;      /* NULL: not wanted */
	struct served *served; /* owned: [n] by fit, and paging behind them */
};

static int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int complain(const char *format, ...)
{
	va_list args;

	fputs("pagoda: partition: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return 2;
}

void pg_partition_help(FILE *out)
{
	fputs("usage: pagoda partition simulate [OPTIONS]\n"
	      "\n"
	      "Serves a random stream of requests for memory by contiguous partitions, found by "
	      "each\n"
	      "fit, and by paging, and prints what each did with the memory.\n"
	      "\n"
	      "  --fit LIST       of first, next, best, worst, with commas between (default: all)\n"
	      "  --linear         holes on a list, as in textbooks, not in a balanced tree\n"
	      "  --memory SIZE    1M to 1T, a multiple of 4K (default 64M)\n"
	      "  --requests N     arrivals, 1000 to 1000000000 (default 1000000)\n"
	      "  --sizes NAME     uniform, exponential or bimodal, each with a mean of 64 KiB\n"
	      "                   (default uniform)\n"
	      "  --load X         what would be there if nobody were turned away, as a share of\n"
	      "                   memory, 0.01 to 100 (default 1)\n"
	      "  --seed N         of the random numbers (default 1)\n"
	      "  --json FILE      the figures, and the state over time, as JSON, to FILE\n"
	      "  --help           this text\n"
	      "\n"
	      "pagoda partition run, programs in partitions, is not there yet.\n",
		out);
}

/* ---- words */

static int take_fits(struct simulate *s, const char *list)
{
	s->n = 0;
	for (;;) {
		size_t length = strcspn(list, ",");
		unsigned fit = 0;

		while (fit < PG_PARTITION_FITS &&
			(strlen(pg_partition_fit_names[fit]) != length ||
				strncmp(pg_partition_fit_names[fit], list, length) != 0))
			fit++;
		if (fit == PG_PARTITION_FITS)
			return complain(
				"--fit: no fit '%.*s'; there are first, next, best and worst",
				(int)length, list);
		for (unsigned i = 0; i < s->n; i++)
			if (s->fits[i] == fit)
				return complain(
					"--fit: '%s' is given twice", pg_partition_fit_names[fit]);
		s->fits[s->n++] = fit;
		if (!list[length])
			return 0;
		list += length + 1;
	}
}

static int take_memory(struct simulate *s, const char *text)
{
	uint64_t n;

	if (pg_parse_size(text, &n) != 0 || n < PG_STREAM_MOST_BYTES || n > MOST_MEMORY ||
		n % PG_PAGE_SIZE)
		return complain(
			"--memory: '%s' is not a size from 1M to 1T, a multiple of 4K", text);
	s->stream.memory_bytes = n;
	return 0;
}

static int take_requests(struct simulate *s, const char *text)
{
	uint64_t n;

	if (pg_parse_number(text, &n) != 0 || n < 1000 || n > MOST_REQUESTS)
		return complain(
			"--requests: '%s' is not a number from 1000 to %u", text, MOST_REQUESTS);
	s->stream.requests = n;
	return 0;
}

static int take_sizes(struct simulate *s, const char *text)
{
	for (unsigned i = 0; i < PG_STREAM_SIZES; i++)
		if (strcmp(pg_stream_size_names[i], text) == 0) {
			s->stream.sizes = i;
			return 0;
		}
	return complain("--sizes: '%s' is not uniform, exponential or bimodal", text);
}

static int take_load(struct simulate *s, const char *text)
{
	char *end;
	double x = strtod(text, &end);

	if (!*text || *end || !(x >= 0.01 && x <= 100))
		return complain("--load: '%s' is not a number from 0.01 to 100", text);
	s->stream.load = x;
	return 0;
}

static int take_seed(struct simulate *s, const char *text)
{
	if (pg_parse_number(text, &s->stream.seed) != 0)
		return complain("--seed: '%s' is not a number of 64 bits", text);
	return 0;
}

static int take_json(struct simulate *s, const char *text)
{
	s->json = text;
	return *text ? 0 : complain("--json wants the name of a file");
}

static const struct {
	const char *name;
	int (*take)(struct simulate *s, const char *value);
} options[] = {{"--fit", take_fits}, {"--memory", take_memory}, {"--requests", take_requests},
	{"--sizes", take_sizes}, {"--load", take_load}, {"--seed", take_seed},
	{"--json", take_json}};
#define OPTIONS (sizeof options / sizeof options[0])

/* One option and its value at argv[*at], which moves behind them. 0 or the exit status. */
static int take_option(struct simulate *s, int argc, char **argv, int *at)
{
	const char *word = argv[(*at)++], *value = NULL;
	size_t length = strcspn(word, "=");

	for (size_t i = 0; i < OPTIONS; i++) {
		if (strlen(options[i].name) != length || strncmp(options[i].name, word, length))
			continue;
		if (word[length])
			value = word + length + 1;
		else if (*at < argc)
			value = argv[(*at)++];
		return value ? options[i].take(s, value) : complain("%s wants a value", word);
	}
	return complain("simulate: no option '%s'; pagoda partition --help lists them", word);
}

static bool is_help(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h");
}

/* 0, -1: help was asked for, or the exit status. */
static int take_words(struct simulate *s, int argc, char **argv)
{
	int status = 0;

	for (int at = 0; at < argc && !status;) {
		if (is_help(argv[at]))
			return -1;
		if (!strcmp(argv[at], "--linear")) {
			s->linear = true;
			at++;
			continue;
		}
		status = take_option(s, argc, argv, &at);
	}
	return status;
}

/* ---- runs and what is made of them */

static double processor_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char *name_of(const struct simulate *s, unsigned i)
{
	return i < s->n ? pg_partition_fit_names[s->fits[i]] : "paging";
}

static int serve(struct simulate *s, unsigned i)
{
	struct served *v = &s->served[i];
	double start = processor_seconds();
	int e = i < s->n ? pg_stream_partition(&s->stream, s->fits[i], s->linear, &v->r)
			 : pg_stream_paging(&s->stream, &v->r);

	v->seconds = processor_seconds() - start;
	return e ? complain("simulate, %s: %s", name_of(s, i), strerror(-e)) : 0;
}

static double share(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

/* Mean over the samples: of free memory, what is not in the largest hole; what holes below the mean size have. */
static double external(const struct pg_stream_result *r)
{
	double sum = 0;

	for (uint64_t i = 0; i < r->samples; i++)
		sum += 1 -
		       share((double)r->sample[i].largest_bytes, (double)r->sample[i].free_bytes);
	return share(sum, (double)r->samples);
}

static double unusable(const struct pg_stream_result *r)
{
	double sum = 0;

	for (uint64_t i = 0; i < r->samples; i++)
		sum += share((double)r->sample[i].unusable_bytes, (double)r->sample[i].free_bytes);
	return share(sum, (double)r->samples);
}

/* Of what was given, what was not asked for. */
static double internal(const struct pg_stream_result *r)
{
	return share(r->given_bytes - r->asked_bytes, r->given_bytes);
}

/* Holes a block: half the share of allocations that leave a rest. */
static double rule(const struct pg_stream_result *r)
{
	uint64_t fine = r->requests - r->failed;

	return share((double)(fine - r->exact), 2 * (double)fine);
}

/* ---- texts */

static const char *percent(double v, char *text)
{
	snprintf(text, PG_FORMAT_BYTES, "%.2f %%", 100 * v);
	return text;
}

static const char *decimal(double v, int digits, char *text)
{
	snprintf(text, PG_FORMAT_BYTES, "%.*f", digits, v);
	return text;
}

static void write_table(const struct simulate *s, FILE *out)
{
	static const char *const head[] = {"time", "search", "used", "failed", "scattered",
		"external", "unusable", "internal", "holes/block", "rule", "memory"};
	struct pg_text_table t;
	char text[11][PG_FORMAT_BYTES];

	pg_table_init(&t, 11, WIDE);
	pg_table_add(&t, head);
	for (unsigned i = 0; i <= s->n; i++) {
		const struct pg_stream_result *r = &s->served[i].r;
		double n = (double)r->requests;
		bool fit = i < s->n;
		const char *cells[11] = {text[0],
			fit ? decimal((double)r->steps / n, 1, text[1]) : "-",
			percent(r->asked_bytes / (double)s->stream.memory_bytes, text[2]),
			percent((double)r->failed / n, text[3]),
			percent((double)r->scattered / n, text[4]),
			fit ? percent(external(r), text[5]) : "-",
			fit ? percent(unusable(r), text[6]) : "-", percent(internal(r), text[7]),
			fit ? decimal(share(r->holes, r->blocks), 4, text[8]) : "-",
			fit ? decimal(rule(r), 4, text[9]) : "-", name_of(s, i)};

		snprintf(text[0], sizeof text[0], "%.2f s", s->served[i].seconds);
		pg_table_add(&t, cells);
	}
	pg_table_write(&t, out);
}

static void write_samples(struct json *j, const struct pg_stream_result *r, bool fit)
{
	open_(j, "samples", '[');
	for (uint64_t i = 0; i < r->samples; i++) {
		const struct pg_stream_sample *m = &r->sample[i];

		open_(j, NULL, '{');
		number(j, "request", m->request);
		number(j, "blocks", m->blocks);
		number_if(j, "holes", m->holes, fit);
		number(j, "asked_bytes", m->asked_bytes);
		number(j, "free_bytes", m->free_bytes);
		number_if(j, "largest_hole_bytes", m->largest_bytes, fit);
		number_if(j, "unusable_bytes", m->unusable_bytes, fit);
		close_(j, '}');
	}
	close_(j, ']');
}

static void fraction_if(struct json *j, const char *key, double v, bool known)
{
	if (known)
		fraction(j, key, v);
	else
		string(j, key, NULL);
}

static void write_served(struct json *j, const struct simulate *s, unsigned i)
{
	const struct pg_stream_result *r = &s->served[i].r;
	bool fit = i < s->n;

	open_(j, NULL, '{');
	string(j, "memory", name_of(s, i));
	fraction(j, "processor_seconds", s->served[i].seconds);
	number(j, "failed", r->failed);
	number(j, "scattered", r->scattered);
	number_if(j, "search_steps", r->steps, fit);
	number_if(j, "exact", r->exact, fit);
	fraction(j, "asked_bytes_mean", r->asked_bytes);
	fraction(j, "given_bytes_mean", r->given_bytes);
	fraction(j, "blocks_mean", r->blocks);
	fraction_if(j, "holes_mean", r->holes, fit);
	fraction_if(j, "holes_per_block", share(r->holes, r->blocks), fit);
	fraction_if(j, "fifty_percent_rule", rule(r), fit);
	fraction_if(j, "external_fragmentation", external(r), fit);
	fraction_if(j, "unusable", unusable(r), fit);
	fraction(j, "internal_fragmentation", internal(r));
	write_samples(j, r, fit);
	close_(j, '}');
}

/* 0 or the exit status. */
static int write_json(const struct simulate *s)
{
	struct json j = {.first = true};
	bool fine;

	j.out = fopen(s->json, "we");
	if (!j.out)
		return complain("cannot write %s: %s", s->json, strerror(errno));
	open_(&j, NULL, '{');
	number(&j, "format", 1);
	string(&j, "pagoda", PG_VERSION);
	number(&j, "memory_bytes", s->stream.memory_bytes);
	string(&j, "sizes", pg_stream_size_names[s->stream.sizes]);
	number(&j, "mean_bytes", PG_STREAM_MEAN_BYTES);
	fraction(&j, "load", s->stream.load);
	number(&j, "seed", s->stream.seed);
	string(&j, "holes", s->linear ? "list" : "tree");
	number(&j, "warm_requests", s->served[0].r.warm);
	number(&j, "requests", s->served[0].r.requests);
	boolean(&j, "equilibrium", s->served[0].r.equilibrium);
	open_(&j, "served", '[');
	for (unsigned i = 0; i <= s->n; i++)
		write_served(&j, s, i);
	close_(&j, ']');
	close_(&j, '}');
	fputc('\n', j.out);
	fine = !ferror(j.out);
	if (fclose(j.out) || !fine)
		return complain("cannot write all of %s", s->json);
	return 0;
}

static int write_all(const struct simulate *s)
{
	char text[4][PG_FORMAT_BYTES];
	const struct pg_stream_result *r = &s->served[0].r;

	printf("%s requests behind the first %s, %s sizes, %s of memory, load %g, holes in a "
	       "%s%s\n\n",
		pg_format_count(r->requests, text[0]), pg_format_count(r->warm, text[1]),
		pg_stream_size_names[s->stream.sizes],
		pg_format_size(s->stream.memory_bytes, text[2]), s->stream.load,
		s->linear ? "list" : "tree",
		r->equilibrium ? "" : "; too few to reach equilibrium");
	write_table(s, stdout);
	return s->json ? write_json(s) : 0;
}

static int simulate(int argc, char **argv)
{
	struct simulate s = {.stream = {.memory_bytes = 64 << 20,
				     .requests = 1000000,
				     .sizes = PG_STREAM_UNIFORM,
				     .load = 1,
				     .seed = 1},
		.n = PG_PARTITION_FITS};
	int status;

	for (unsigned i = 0; i < s.n; i++)
		s.fits[i] = i;
	status = take_words(&s, argc, argv);
	if (status == -1) {
		pg_partition_help(stdout);
		return 0;
	}
	if (status)
		return status;
	s.served = calloc(s.n + 1, sizeof *s.served);
	if (!s.served)
		return complain("%s", strerror(ENOMEM));
	for (unsigned i = 0; i <= s.n && !status; i++)
		status = serve(&s, i);
	if (!status)
		status = write_all(&s);
	free(s.served);
	return status;
}

int pg_partition_command(int argc, char **argv)
{
	if (argc > 0 && is_help(argv[0])) {
		pg_partition_help(stdout);
		return 0;
	}
	if (argc > 0 && !strcmp(argv[0], "simulate"))
		return simulate(argc - 1, argv + 1);
	if (argc > 0 && !strcmp(argv[0], "run"))
		return complain("run: programs in partitions are not there yet; there is pagoda "
				"partition simulate");
	if (argc > 0)
		return complain("no word '%s'; there is pagoda partition simulate", argv[0]);
	return complain("simulate is missing; pagoda partition --help says more");
}
