#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs `meson test` in a build folder and counts test cases, not test programs.

check.py BUILD [MESON TEST ARGUMENTS...]

A test program says how many cases it ran in one of three ways: lines of the Test Anything Protocol, the
lines of cmocka, or a closing line "N passed, N failed". One that says nothing counts as one case.
The last line printed is "N passed, N failed"; the exit status is 1 when a case failed.

Tests compare runs with native ones, and are to be the same everywhere: what a shell or a service may have changed in what a process
inherits is as it usually is.
"""
import json
import os
import re
import resource
import signal
import subprocess
import sys

PLAN = re.compile(r"^1\.\.\d+", re.M)
TAP = re.compile(r"^(not ok|ok)\b(.*)$", re.M)
CMOCKA = re.compile(r"^\[\s+(OK|FAILED)\s+\] (\w+)\s*$", re.M)
CMOCKA_ERROR = re.compile(r"^\[\s+FAILED\s+\] ([A-Za-z_]\w*)\s*$", re.M)
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$", re.M)
FINE = ("OK", "SKIP", "EXPECTEDFAIL")


def cases(entry):
    """(passed, failed, skipped) of one line of meson's testlog.json."""
    text = entry.get("stdout", "") + "\n" + entry.get("stderr", "")
    fine = entry["result"] in FINE
    if entry["result"] == "SKIP":
        return 0, 0, 1
    tap = TAP.findall(text) if PLAN.search(text) else []
    if tap:
        skipped = sum(1 for word, rest in tap if word == "ok" and "# SKIP" in rest.upper())
        passed = sum(1 for word, _ in tap if word == "ok") - skipped
        failed = len(tap) - passed - skipped
    elif CLOSING.search(text):
        passed, failed, skipped = (sum(int(n or 0) for n in column)
                                   for column in zip(*CLOSING.findall(text)))
    elif CMOCKA.search(text):
        passed = sum(1 for word, _ in CMOCKA.findall(text) if word == "OK")
        failed = len(set(CMOCKA_ERROR.findall(text)))
        skipped = 0
    else:
        passed, failed, skipped = (1, 0, 0) if fine else (0, 1, 0)
    if not fine and failed == 0:
        failed = 1  # the program died, or failed outside a case
    return passed, failed, skipped


# What would make programs print, load or allocate otherwise.
ODD = re.compile(r"LC_.*|LANGUAGE|LANG|TZ|POSIXLY_CORRECT|LD_.*|GLIBC_TUNABLES|MALLOC_.*|PAGODA_.*|.SAN_OPTIONS|PYTHON(HOME|PATH|STARTUP|OPTIMIZE|"
                 r"MALLOC|WARNINGS|INSPECT|TRACEMALLOC|DEVMODE|UTF8)|PERL.*|NODE_OPTIONS|GO.*|GIT_.*|BASH_ENV|ENV|CDPATH|GREP_.*|LS_COLORS|TAR_OPTIONS|XZ_.*|"
                 r"GZIP|ZSTD_.*|MAKEFLAGS|MFLAGS|MAKELEVEL|DEBUGINFOD_.*|NO_COLOR|COLUMNS|LINES|_?RJEM_.*|MIMALLOC_.*|DISPLAY")


def usual_world():
    """Signals, limits, mask and environment of a new login: a background job has SIGINT ignored, a service other limits."""
    for number in signal.valid_signals():
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            pass  # SIGKILL, SIGSTOP, the C library's own
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for which, soft in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_STACK, 8 << 20)):
        hard = resource.getrlimit(which)[1]
        resource.setrlimit(which, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
    files, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < 1024:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    os.umask(0o022)
    for name in [n for n in os.environ if ODD.fullmatch(n)]:
        del os.environ[name]
    os.environ.setdefault("HOME", "/nonexistent")
    os.environ.setdefault("TERM", "dumb")
    os.environ["LANG"] = "C.UTF-8"
    # glibc fills what malloc gives with this; meson would draw another number for each test, and what a program does with memory that it
    # never wrote would be another thing each time
    os.environ["MALLOC_PERTURB_"] = "165"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build = sys.argv[1]
    log = os.path.join(build, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.unlink(log)
    usual_world()
    command = ["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs",
               "--timeout-multiplier", "4"] + sys.argv[2:]
    status = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    if not os.path.exists(log):
        print("check: meson ran no test", file=sys.stderr)
        print("0 passed, 1 failed")
        return 1
    total = [0, 0, 0]
    with open(log, encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            counted = cases(entry)
            print("%-58s %5d passed %4d failed %4d skipped %8.2f s"
                  % ((entry["name"],) + counted + (entry["duration"],)))
            total = [a + b for a, b in zip(total, counted)]
    passed, failed, skipped = total
    if status != 0 and failed == 0:
        failed = 1
    if passed == 0 and failed == 0:
        failed = 1  # a check that checked nothing has not passed
    if skipped:
        print("%d skipped: what they need is not on this machine" % skipped)
    print("%d passed, %d failed" % (passed, failed), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
