/* SPDX-License-Identifier: MIT */
/* cpu/run.h: the run loop, for engine.c, and what traps.c, fast.c and run_complex.c need of it. See run.c. */
#ifndef PG_CPU_RUN_H
#define PG_CPU_RUN_H

#include "cpu/translate.h"

#include <signal.h>

#define PG_USER_TOP ((uint64_t)1 << 47) /* no guest can map what is above */

/* pg_engine_ops.run */
enum pg_exit pg_run(struct pg_cpu *c, uint64_t max_instructions, struct pg_exit_info *info);

/* The block and the row (of that block) whose code is at host address pc, which must be in the code cache. */
struct pg_block *pg_find_host_pc(struct pg_engine *e, struct pg_cpu *c, uint64_t pc, unsigned *row);

/* What a turn of the loop comes to. */
enum pg_turn { TURN_NEXT, TURN_GO_ON, TURN_EXIT };

/* Memory of the guest, made accessible: one piece, or two in two pages. */
struct pg_fragments {
	uint8_t *host[2];
	unsigned len[2];
	pg_pfn frame[2];
	bool code[2];
	unsigned n;
};

/*
 * Makes [va, va + n), n <= 4096, accessible: up to two fragments. Every attempt's lookups but those of the last are
 * added to extra_lookups. 0; -1 refused (extra_lookups has all); the info is set.
 */
int pg_resolve(
	struct pg_cpu *c, uint64_t va, unsigned n, enum pg_access access, struct pg_fragments *fr);
/* The guest store to fr changes translated bytes: drop what depends on them. True if anything did. */
bool pg_drop_overwritten(struct pg_cpu *c, const struct pg_fragments *fr);
/* The guest's flags as of where the code was left, into regs.rflags; and from there to where code is entered. */
void pg_recover_flags(struct pg_cpu *c, enum pg_flags_at at);
void pg_load_flags(struct pg_cpu *c);
/* The instruction of `row` and those behind it in its segment were counted at entry but did not happen. */
void pg_uncount(struct pg_cpu *c, const struct pg_block *b, unsigned row);
/* The state is that before the instruction of `row`: it did not happen. */
void pg_stop_before(struct pg_cpu *c, const struct pg_block *b, unsigned row);
/* Room for code by a flush; false: not now, or not in this window, info is set. */
bool pg_make_room(struct pg_cpu *c);
/* The run ends for this reason. */
enum pg_turn pg_exit_with(struct pg_cpu *c, enum pg_exit why);

/*
 * run_access.c: an access the inline check and slow.c did not answer. TURN_GO_ON: c->target resumes. TURN_NEXT: the instruction is to be
 * executed alone (step), because it overwrites code.
 */
enum pg_turn pg_leave_access(struct pg_cpu *c, bool *step);
/* A store across two pages was made on the bounce buffer: it is written to its frames. */
enum pg_turn pg_leave_commit(struct pg_cpu *c);
/* run_complex.c: translated code was left for an instruction that is executed in C. */
enum pg_turn pg_leave_complex(struct pg_cpu *c);

#endif
