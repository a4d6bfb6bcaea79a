/* SPDX-License-Identifier: MIT */
/*
 * tests/residency/places.h: what the guest places.c and the test that looks at it from outside agree on.
 *
 * The guest leaves known bytes in chosen pages of each kind of region, leaves other pages alone, and
 * then makes the system call PLACES_CALL, which no Linux has, with the address of its table of places in rdi
 * and their number in rsi. At that moment the test looks: through the page table of a Pagoda machine, and
 * through ptrace at the same program on Linux.
 */
#ifndef TESTS_RESIDENCY_PLACES_H
#define TESTS_RESIDENCY_PLACES_H

#include <stdint.h>

#define PLACES_CALL 31000
#define PLACES_MAX 128
#define PLACES_WORDS 512      /* of 8 bytes in a page */
#define PLACES_FILE_PAGES 96u /* of the file whose path is the guest's argument */

/* What there must be at an address. */
enum place_state {
	PLACE_PRIVATE,  /* a frame of its own, of nobody else */
	PLACE_CACHE,    /* a frame of a file's or a shared object's page */
	PLACE_ZERO,     /* the shared page of zeros */
	PLACE_ABSENT,   /* a region, but no frame: never touched, or given back */
	PLACE_UNMAPPED, /* no region */
	PLACE_STATES,
};

/* What the words that the guest did not write hold. */
enum place_rest {
	PLACE_REST_ZERO,
	PLACE_REST_DATA,  /* place_data_byte everywhere: initialised data of the program */
	PLACE_REST_CONST, /* place_const_byte everywhere: constants of the program */
	PLACE_REST_FILE,  /* place_file_word() of page `page` of the file */
};

struct place {
	uint64_t address; /* of the page */
	uint32_t state;   /* enum place_state */
	uint32_t written; /* words at the start of the page that hold place_word() */
	uint32_t rest;    /* enum place_rest */
	uint32_t page;    /* of the file, for PLACE_REST_FILE */
};

#define PLACE_DATA_BYTE 0x5d
#define PLACE_CONST_BYTE 0xa7

/* A 64-bit number that differs for each argument: the finaliser of splitmix64. */
static inline uint64_t place_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* What the guest writes at this address. */
static inline uint64_t place_word(uint64_t address)
{
	return place_mix(address);
}

/* What the file holds in word `word` of page `page`. */
static inline uint64_t place_file_word(uint32_t page, unsigned word)
{
	return place_mix(0xf11e00000000 + (uint64_t)page * PLACES_WORDS + word);
}

#endif
