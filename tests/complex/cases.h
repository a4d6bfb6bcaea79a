/* SPDX-License-Identifier: MIT */
/*
 * tests/complex/cases.h: random instructions of one class each, with registers and memory that make
 * them interesting: near page boundaries, faulting, overlapping.
 */
#ifndef TESTS_COMPLEX_CASES_H
#define TESTS_COMPLEX_CASES_H

#include "world.h"

struct test_case {
	uint8_t bytes[15];
	unsigned n;
	struct pg_cpu_regs regs;
};

/* Makes one case: code, registers (regs.x is given and holds a valid random image) and memory. */
typedef void (*case_maker)(struct world *w, struct test_case *c);

struct case_class {
	const char *name;
	case_maker make;
	unsigned rounds;
	bool (*comparable)(void); /* NULL: on every host */
	bool fault_page; /* microcode probes some byte of the page that faults: compare the page */
	bool unsteady;   /* the processor's idea of what is in use changes when Linux switches: try
			    again */
};

extern const struct case_class case_classes[];
extern const unsigned case_class_count;

/* A valid random image: some components in their initial state, TOP anywhere, exceptions masked. */
void case_random_image(struct world *w, struct pg_xsave *x);

#endif
