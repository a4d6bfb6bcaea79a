#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/check.py counts the cases of each way in which a test program may name them. counting.py ROOT

A check that cannot fail would be worse than none, so most cases here are failures. Prints TAP.
"""
import importlib.util
import os
import sys

CMOCKA = ("[==========] Running 2 test(s).\n[ RUN      ] a_b_c\n[       OK ] a_b_c\n[ RUN      ] d_e_f\n"
          "[  ERROR   ] --- 1 != 2\n[  FAILED  ] d_e_f\n[==========] 2 test(s) run.\n[  PASSED  ] 1 test(s).\n"
          "[  FAILED  ] 1 test(s), listed below:\n[  FAILED  ] d_e_f\n\n 1 FAILED TEST(S)\n")
SAMPLES = [
    # name, result, standard output, (passed, failed, skipped)
    ("silent_program_that_passed_is_one", "OK", "", (1, 0, 0)),
    ("silent_program_that_failed_is_one", "FAIL", "", (0, 1, 0)),
    ("program_that_timed_out_has_failed", "TIMEOUT", "1..2\nok 1 - a\n", (1, 1, 0)),
    ("program_skipped_is_skipped", "SKIP", "", (0, 0, 1)),
    ("tap_counts_each_line", "OK", "1..3\nok 1 - a\nok 2 - b # SKIP no c\nok 3 - d\n", (2, 0, 1)),
    ("tap_failure_counts", "ERROR", "1..2\nok 1 - a\nnot ok 2 - b\n#   ok\n", (1, 1, 0)),
    ("tap_all_fine_but_status_is_not", "ERROR", "1..1\nok 1 - a\n", (1, 1, 0)),
    ("cmocka_counts_each_case_once", "FAIL", CMOCKA, (1, 1, 0)),
    ("cmocka_crash_after_cases_is_a_failure", "FAIL", "[       OK ] a_b_c\n[ RUN      ] d_e_f\n", (1, 1, 0)),
    ("words_ok_without_a_plan_are_no_cases", "FAIL", "ok   a: b\nFAIL a: c\n3 passed, 2 failed\n", (3, 2, 0)),
    ("closing_line_counts", "OK", "fine: x\n12 passed, 0 failed\n", (12, 0, 0)),
    ("closing_line_with_skipped_counts", "OK", "12 passed, 0 failed, 3 skipped\n", (12, 0, 3)),
    ("closing_line_with_failures_counts", "FAIL", "12 passed, 2 failed\n", (12, 2, 0)),
]


def main():
    path = os.path.join(sys.argv[1], "tools", "check.py")
    spec = importlib.util.spec_from_file_location("check", path)
    check = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(check)
    failed = 0
    print("1..%d" % len(SAMPLES))
    for number, (name, result, text, want) in enumerate(SAMPLES, 1):
        got = check.cases({"name": name, "result": result, "stdout": text})
        failed += got != want
        print("%s %d - %s" % ("ok" if got == want else "not ok", number, name))
        if got != want:
            print("#   %r, not %r" % (got, want))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
