/* SPDX-License-Identifier: MIT */
/* tests/complex/cases.c: the table of the classes of cases. See cases.h. */
#include "build.h"

#include <cpuid.h>
#include <sys/auxv.h>

/* Linux shows constants only where the processor has UMIP; elsewhere user mode reads the real tables. */
static bool host_has_umip(void)
{
	uint32_t a, b, c, d;
	__cpuid_count(7, 0, a, b, c, d);
	return c & 4;
}

/* Linux lets user mode have it. */
static bool host_has_fsgsbase(void)
{
	return getauxval(AT_HWCAP2) & 2;
}

const struct case_class case_classes[] = {
	{"string", make_string, 6000},
	{"bit string", make_bit_string, 4000},
	{"cmpxchg8b and cmpxchg16b", make_cmpxchg, 4000},
	{"enter", make_enter, 1500},
	{"xlat", make_xlat, 1000},
	{"movdir64b", make_movdir64b, 1000},
	{"cache line", make_cache_line, 1000},
	{"segment base", make_base, 1000, .comparable = host_has_fsgsbase},
	{"descriptor query", make_descriptor_query, 3000},
	{"table store", make_table_store, 1000, .comparable = host_has_umip},
	{"segment register", make_segment, 3000},
	{"far transfer", make_far, 2000},
	{"refused", make_refused, 1000},
	{"gather", make_gather, 4000},
	{"masked move", make_masked_move, 4000, .fault_page = true},
	{"byte mask", make_byte_mask, 4000, .fault_page = true},
	{"xsave and fxsave", make_state, 6000, .fault_page = true, .unsteady = true},
	{"x87 environment", make_x87, 4000, .fault_page = true},
};
const unsigned case_class_count = sizeof(case_classes) / sizeof(case_classes[0]);
