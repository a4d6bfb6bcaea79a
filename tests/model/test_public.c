/* SPDX-License-Identifier: MIT */
/* tests/model/test_public.c: the public header says the same as the library's own headers. */
#include "layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void header_public_equals_internal(void **state)
{
	int i;

	for (i = 0; layout_public[i].what && layout_internal[i].what; i++) {
		assert_string_equal(layout_public[i].what, layout_internal[i].what);
		if (layout_public[i].number != layout_internal[i].number)
			fail_msg("%s: %#lx in pagoda.h, %#lx in the library", layout_public[i].what,
				layout_public[i].number, layout_internal[i].number);
	}
	assert_true(i > 100);
	assert_null(layout_public[i].what);
	assert_null(layout_internal[i].what);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(header_public_equals_internal)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
