/* SPDX-License-Identifier: MIT */
/*
 * ui/partition.c: `pagoda partition`: contiguous memory, as it was before paging.
 *
 * Called by ui/main.c. Calls ui/partition_simulate.c (streams of requests).
 */
#include "ui/partition.h"

#include <stdarg.h>
#include <string.h>

#include "ui/partition_internal.h"

int pg_partition_complain(const char *format, ...)
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
	      "\n",
		out);
	pg_partition_simulate_help(out);
	fputs("\n"
	      "pagoda partition run, programs in partitions, is not there yet.\n",
		out);
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
		return pg_partition_complain("run: programs in partitions are not there yet; there "
					     "is pagoda partition simulate");
	if (argc > 0)
		return pg_partition_complain(
			"no word '%s'; there is pagoda partition simulate", argv[0]);
	return pg_partition_complain("simulate is missing; pagoda partition --help says more");
}
