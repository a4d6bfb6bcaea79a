/* SPDX-License-Identifier: MIT */
/* cpu/run.h: the run loop, for engine.c, and what traps.c needs of it. See run.c. */
#ifndef PG_CPU_RUN_H
#define PG_CPU_RUN_H

#include "cpu/translate.h"

#include <signal.h>

/* pg_engine_ops.run */
enum pg_exit pg_run(struct pg_cpu *c, uint64_t max_instructions, struct pg_exit_info *info);

/* The block and the row (of that block) whose code is at host address pc, which must be in the code cache. */
struct pg_block *pg_find_host_pc(struct pg_engine *e, struct pg_cpu *c, uint64_t pc, unsigned *row);

#endif
