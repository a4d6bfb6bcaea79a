/* SPDX-License-Identifier: MIT */
/*
 * mmu/mmu_config.c: TLB geometries as people write them: "64x4,1536x12". Called by ui/ and tests.
 */
#include "mmu/sets.h"
#include "mmu/tlb.h"

#include <errno.h>

const struct pg_mmu_config pg_mmu_config_default = {
	.l1d = {.entries = 2048, .ways = 2},
	.l1i = {.entries = 2048, .ways = 4},
	.l2 = {.entries = 4096, .ways = 8},
};

/* A number of 1 to 7 digits at *p, which moves behind it. */
static bool number(const char **p, uint32_t *out)
{
	unsigned n = 0;

	*out = 0;
	for (; **p >= '0' && **p <= '9'; (*p)++) {
		if (++n > 7)
			return false;
		*out = *out * 10 + (uint32_t)(**p - '0');
	}
	return n > 0;
}

/* ENTRIESxWAYS at *p, which moves behind it; NULL or what is wrong. */
static const char *geometry(const char **p, struct pg_tlb_geometry *g)
{
	uint32_t sets;

	if (!number(p, &g->entries) || **p != 'x')
		return "a TLB is written ENTRIESxWAYS, as in 64x4";
	++*p;
	if (!number(p, &g->ways))
		return "a TLB is written ENTRIESxWAYS, as in 64x4";
	if (g->entries < 1 || g->entries > PG_TLB_MAX_ENTRIES)
		return "a TLB has 1 to 65536 entries";
	if (g->ways < 1 || g->ways > PG_MAX_WAYS)
		return "a TLB has 1 to 256 ways";
	if (g->entries % g->ways)
		return "the ways of a TLB divide its entries";
	sets = g->entries / g->ways;
	if (sets & (sets - 1))
		return "a TLB's entries divided by its ways, its sets, are a power of two";
	return NULL;
}

/* The whole text; NULL or what is wrong. */
static const char *parse(const char *p, struct pg_mmu_config *c)
{
	const char *bad;

	*c = (struct pg_mmu_config){0};
	if (*p == 'd') {
		p++;
		bad = geometry(&p, &c->l1d);
		if (bad)
			return bad;
		if (p[0] != ',' || p[1] != 'i')
			return "a data TLB is followed by an instruction TLB, as in d64x4,i64x8";
		p += 2;
		bad = geometry(&p, &c->l1i);
	} else {
		bad = geometry(&p, &c->l1d);
	}
	if (!bad && *p == ',') {
		p++;
		bad = geometry(&p, &c->l2);
	}
	if (bad)
		return bad;
	return *p ? "there is something behind the last TLB: give one or two levels" : NULL;
}

int pg_mmu_config_parse(const char *text, struct pg_mmu_config *out, const char **why)
{
	struct pg_mmu_config c;
	const char *bad = parse(text, &c);

	if (bad) {
		*why = bad;
		return -EINVAL;
	}
	*out = c;
	return 0;
}
