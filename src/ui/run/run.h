/* SPDX-License-Identifier: MIT */
/*
 * ui/run/run.h: `pagoda run`.
 *
 * Called by ui/main.c.
 */
#ifndef PG_UI_RUN_H
#define PG_UI_RUN_H

#include "ui/words/options.h"

/*
 * Runs the program of the options on a machine of its own and writes what was asked for. The exit
 * status: the guest's; 128 + n if signal n ended it; 2 with one line on standard error if Pagoda
 * could not do it.
 */
int pg_run_command(const struct pg_options *o);

#endif
