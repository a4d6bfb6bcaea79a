/* SPDX-License-Identifier: MIT */
/* cpu/fast.h: the host window of `--fast`: emission of probes, and the window itself. See fast.c. */
#ifndef PG_CPU_FAST_H
#define PG_CPU_FAST_H

#include "cpu/translate.h"

/* The guest's addresses are below this in fast mode: the host has no room for a window on all 2^47. */
#define PG_FAST_TOP ((uint64_t)1 << 46)

/* Lets a wild address in `reg` (not below PG_FAST_TOP) trap here. Destroys SC. */
void pg_fast_probe(struct pg_translator *tr, unsigned reg);
/* SB was used for data: gives it its constant again. */
void pg_fast_restore(struct pg_translator *tr);

/* The mapping for a CPU's area, `below` bytes of it readable and writable below the window. NULL: no address space. */
uint8_t *pg_fast_reserve(size_t below, size_t *bytes, uint8_t **window);
void pg_fast_attach(struct pg_cpu *c);

/* A host fault at host address addr: the value for pg_cpu.trap.window, 0: mended. sa: SA's value. */
int pg_fast_fault(struct pg_cpu *c, uint64_t addr, bool write, uint64_t sa);

#endif
