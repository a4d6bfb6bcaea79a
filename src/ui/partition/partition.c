/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/partition.c: `pagoda partition`: contiguous memory, as it was before paging.
 *
 * Called by ui/main.c. Calls ui/partition/run.c (programs) and ui/partition/simulate.c (streams of requests).
 */
#include "ui/partition/partition.h"

#include <string.h>

#include "ui/partition/internal.h"

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
