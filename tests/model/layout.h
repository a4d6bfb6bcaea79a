/* SPDX-License-Identifier: MIT */
/* tests/model/layout.h: rows of layout.c; the last has no name. */
#ifndef PG_TESTS_LAYOUT_H
#define PG_TESTS_LAYOUT_H

struct layout {
	const char *what;
	unsigned long number; /* size; offset << 8 | size; or value */
};

extern const struct layout layout_public[];
extern const struct layout layout_internal[];

#endif
