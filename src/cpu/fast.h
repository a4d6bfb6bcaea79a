/* SPDX-License-Identifier: MIT */
/* cpu/fast.h: the host window of `--fast`: emission of probes, and the window itself. See fast.c. */
#ifndef PG_CPU_FAST_H
#define PG_CPU_FAST_H

#include "cpu/translate.h"

/* Lets a wild address in `reg` (not below the guest's top) trap here. Destroys SC. */
void pg_fast_probe(struct pg_translator *tr, unsigned reg);
/* SB was used for data: gives it its constant again. */
void pg_fast_restore(struct pg_translator *tr);

#endif
