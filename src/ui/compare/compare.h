/* SPDX-License-Identifier: MIT */
/*
 * ui/compare/compare.h: `pagoda compare`.
 *
 * Called by ui/main.c.
 */
#ifndef PG_UI_COMPARE_H
#define PG_UI_COMPARE_H

#include <stdio.h>

/*
 * argv[0] is the first word behind "compare". The exit status: 0 if the program did the same under
 * every form, 1 if not, 2 with one line on standard error if Pagoda could not do it.
 */
int pg_compare_command(int argc, char **argv);

/* `pagoda compare --help`. */
void pg_compare_help(FILE *out);

#endif
