/* SPDX-License-Identifier: MIT */
/*
 * ui/partition/partition.h: `pagoda partition`.
 *
 * Called by ui/main.c.
 */
#ifndef PG_UI_PARTITION_H
#define PG_UI_PARTITION_H

#include <stdio.h>

/* argv[0] is the first word behind "partition". The exit status; 2 with one line on standard error if it could not. */
int pg_partition_command(int argc, char **argv);

/* `pagoda partition --help`. */
void pg_partition_help(FILE *out);

#endif
