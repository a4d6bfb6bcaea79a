/* SPDX-License-Identifier: MIT */
/*
 * tests/residency/look.h: what a program's memory looks like from outside at one moment, on Pagoda or on Linux.
 *
 * look_pagoda() is in pagoda.c, look_linux() in linux.c; test_residency.c judges and compares what they saw. The
 * two know nothing of each other.
 */
#ifndef TESTS_RESIDENCY_LOOK_H
#define TESTS_RESIDENCY_LOOK_H

#include "places.h"

#include <stdbool.h>
#include <stddef.h>

#define LOOK_PAGE 4096ul
#define LOOK_STACK_LIMIT (8ul << 20)

enum look_frame {
	LOOK_NONE, /* no entry in the page table */
	LOOK_ZERO, /* the shared page of zeros (Linux: not known apart from LOOK_PRIVATE) */
	LOOK_PRIVATE,
	LOOK_CACHE, /* of a file or of shared memory */
	LOOK_OTHER, /* a frame that no page may have */
};

struct look_page {
	uint64_t address;
	enum look_frame frame;
	bool has_bytes; /* bytes[] is filled: on Linux only for places */
	uint8_t bytes[LOOK_PAGE];
	/* Pagoda only: */
	uint32_t number;    /* of the frame */
	bool writable;      /* the entry allows writes */
	bool dirty;         /* its D bit */
	uint32_t map_count; /* of the frame */
	bool in_place;      /* a cache frame: of the region's object and this page of it */
};

struct look_region {
	uint64_t start, end; /* bytes */
	char rights[5];      /* "r-xp" */
	uint64_t resident;   /* pages */
	uint64_t offset;     /* bytes into the file, if there is one */
	char name[256];
};

struct look {
	struct look_region *regions; /* from low to high, owned */
	size_t region_count;
	struct look_page *pages; /* those with an entry, from low to high, owned */
	size_t page_count;
	struct place places[PLACES_MAX];
	size_t place_count;
	uint64_t vsz_bytes; /* as the system itself sums it up */
	char trouble
		[256]; /* why there is nothing to see, or what did not agree while looking; "": fine */
	unsigned looks; /* how often the guest announced itself */
	/* Pagoda only: */
	uint64_t rss_pages;
	uint64_t entries; /* of the page table, as its statistics say */
	uint64_t frames_not_free, frames_private, frames_cache, frames_table;
	int status; /* the guest's exit status */
};

struct look_machine {
	uint64_t memory_bytes;
	bool fast;
	bool five_levels;
};

/* Runs `program file` and looks at its announcement. look_free() in any case; trouble says what went wrong. */
void look_pagoda(
	const struct look_machine *m, const char *program, const char *file, struct look *out);
/* The same on Linux without ASLR. */
void look_linux(const char *program, const char *file, struct look *out);
void look_free(struct look *l);

/* What the program sees as its environment, in both. */
extern const char *const look_environment[];

struct look_page *look_at(const struct look *l, uint64_t address); /* NULL: no entry */
const struct look_region *look_region_of(const struct look *l, uint64_t address);

/* For the two that look: new zeroed rows at the end. */
struct look_page *look_add_page(struct look *l);
struct look_region *look_add_region(struct look *l);
/* Keeps the first trouble. */
void look_trouble(struct look *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
