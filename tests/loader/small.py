#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/loader/small.py: a program on memories around what it needs. It must print what it should, or be killed as out
of memory (137); nothing else, and it must end. Pages of code that are dropped and read again, instructions across two
pages among them, are what this finds.

    small.py PAGODA
"""
import subprocess
import sys

PROGRAM = ['/usr/bin/python3', '-c', 'print(sum(range(1000)))']
bad = 0
for options in ([], ['--fast']):
    for kib in (1024, 1536, 2048, 2304, 2560, 2816, 3072, 4096):
        words = [sys.argv[1], 'run', '--quiet', '--overcommit', 'always', '--memory', '%dK' % kib] + options + ['--'] + PROGRAM
        r = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=400)
        if (r.returncode, r.stdout) not in ((0, b'499500\n'), (137, b'')):
            print('%d KiB %s: status %d, %r, %r' % (kib, options, r.returncode, r.stdout, r.stderr))
            bad += 1
sys.exit(1 if bad else 0)
