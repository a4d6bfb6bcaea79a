/* SPDX-License-Identifier: MIT */
/*
 * ui/partition.c: `pagoda partition`: contiguous memory, as it was before paging.
 *
 * Called by ui/main.c. Calls ui/partition_run.c (programs) and ui/partition_simulate.c (streams of requests).
 */
#include "ui/partition.h"

#include <string.h>

#include "ui/partition_internal.h"

bool pg_partition_take_fit(const char *name, size_t length, enum pg_partition_fit *out)
{
	for (unsigned i = 0; i < PG_PARTITION_FITS; i++)
		if (strlen(pg_partition_fit_names[i]) == length &&
			!strncmp(pg_partition_fit_names[i], name, length)) {
			*out = (enum pg_partition_fit)i;
			return true;
		}
	return false;
}

/* One option and its value at argv[*at], which moves behind them. 0 or the exit status. */
static int take_option(const char *command, const struct pg_partition_option *options, size_t n,
	void *ctx, int argc, char **argv, int *at)
{
	const char *word = argv[(*at)++], *value = NULL;
	size_t length = strcspn(word, "=");

	for (size_t i = 0; i < n; i++) {
		if (strlen(options[i].name) != length || strncmp(options[i].name, word, length))
			continue;
		if (options[i].flag)
			return word[length]
				       ? pg_partition_complain("%s takes no value", options[i].name)
				       : options[i].take(ctx, NULL);
		if (word[length])
			value = word + length + 1;
		else if (*at < argc)
			value = argv[(*at)++];
		return value ? options[i].take(ctx, value)
			     : pg_partition_complain("%s wants a value", word);
	}
	return pg_partition_complain(
		"%s: no option '%s'; pagoda partition --help lists them", command, word);
}

int pg_partition_options(const char *word, const struct pg_partition_option *options, size_t n,
	void *ctx, int argc, char **argv, int *at)
{
	int status = 0;

	while (*at < argc && argv[*at][0] == '-' && argv[*at][1] && !status) {
		if (!strcmp(argv[*at], "--help") || !strcmp(argv[*at], "-h"))
			return -1;
		if (!strcmp(argv[*at], "--")) {
			++*at;
			return 0;
		}
		status = take_option(word, options, n, ctx, argc, argv, at);
	}
	return status;
}

void pg_partition_help(FILE *out)
{
	pg_partition_run_help(out);
	fputc('\n', out);
	pg_partition_simulate_help(out);
}

int pg_partition_command(int argc, char **argv)
{
	if (argc > 0 && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))) {
		pg_partition_help(stdout);
		return 0;
	}
	if (argc > 0 && !strcmp(argv[0], "simulate"))
		return pg_partition_simulate(argc - 1, argv + 1);
	if (argc > 0 && !strcmp(argv[0], "run"))
		return pg_partition_run(argc - 1, argv + 1);
	if (argc > 0)
		return pg_partition_complain(
			"no word '%s'; there are pagoda partition run and simulate", argv[0]);
	return pg_partition_complain(
		"run or simulate is missing; pagoda partition --help says more");
}
