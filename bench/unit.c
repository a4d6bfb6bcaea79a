/* SPDX-License-Identifier: MIT */
/*
 * bench/unit.c: what the compiler compiles in the benchmark: some of our own sources as one unit,
 * so that the work is that of a real program.
 */
#define _GNU_SOURCE
#define PG_VERSION "bench"
#include "trace/faultlog.c"
#include "trace/faults.c"
#include "ui/run/json.c"
#include "ui/words/options.c"
#include "ui/write/format.c"
#include "ui/write/json.c"
#include "ui/write/table.c"
