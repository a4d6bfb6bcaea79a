#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Misuse of malloc is found, reported with the address, and ends the program (R18), as TAP.

harden.py LIBRARY ABUSE FAMILY...

ABUSE runs each of its cases under each family with LIBRARY preloaded. It prints the address that the report must name.
"""
import os
import signal
import subprocess
import sys

# Cases of one kind of heap only: headers and links in blocks, segments.
LISTS_ONLY = {"overrun_into_next", "overrun_found_by_victim", "overrun_into_free_block", "list_corrupted",
              "list_corrupted_one_bit"}
SHARDED_ONLY = {"segment_header_overwritten", "freed_block_written"}
HARMLESS = {"freed_block_written"}
# What the first line must say, by the beginning of the case's name.
SAYS = {"twice": ("free",), "invalid": ("no block", "nothing is allocated"), "realloc": ("realloc",),
        "usable": ("malloc_usable_size",), "overrun": ("overwritten",), "list": ("free list is corrupted",),
        "segment": ("overwritten",)}


def run(library, abuse, family, case):
    env = dict(os.environ, LD_PRELOAD=library, PAGODA_MALLOC=family)
    return subprocess.run([abuse, case], env=env, capture_output=True, text=True, timeout=400)


def judge(case, done):
    """A complaint, or None."""
    if case in HARMLESS:
        if done.returncode != 0 or done.stderr:
            return "status %d, %r" % (done.returncode, done.stderr)
        return None
    address = done.stdout.strip()
    if not address:
        return "nothing was printed"
    if done.returncode != -signal.SIGABRT:
        return "status %d instead of SIGABRT" % done.returncode
    lines = done.stderr.splitlines()
    if len(lines) != 1 or not lines[0].startswith("pagoda-malloc: "):
        return "reported: %r" % done.stderr
    said = next(words for start, words in SAYS.items() if case.startswith(start))
    if not any(word in lines[0] for word in said):
        return "the report says something else: " + lines[0]
    if address not in lines[0]:
        return "%s is not named: %s" % (address, lines[0])
    return None


def unknown_family(library, abuse):
    """An unknown name is said, and the default is used."""
    done = run(library, abuse, "no-such-fit", "freed_block_written")
    lines = done.stderr.splitlines()
    if done.returncode != 0 or len(lines) != 1:
        return "status %d, %r" % (done.returncode, done.stderr)
    if "PAGODA_MALLOC=no-such-fit" not in lines[0] or "sharded is used" not in lines[0]:
        return lines[0]
    return None


def main():
    library, abuse, families = sys.argv[1], sys.argv[2], sys.argv[3:]
    cases = subprocess.run([abuse], capture_output=True, text=True, check=True).stdout.split()
    results = [("unknown_family_is_said", unknown_family(library, abuse))]
    for family in families:
        for case in cases:
            if case in (LISTS_ONLY if family == "sharded" else SHARDED_ONLY):
                continue
            results.append(("%s_%s" % (case, family), judge(case, run(library, abuse, family, case))))
    print("1..%d" % len(results))
    for number, (name, wrong) in enumerate(results, 1):
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, name))
        if wrong:
            print("#   " + wrong)
    return 1 if any(wrong for _, wrong in results) else 0


if __name__ == "__main__":
    sys.exit(main())
