#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/sanitize/run.py: machines with many threads and processes, Pagoda built with a sanitizer.

    run.py --kind asan|tsan --pagoda build/tests/sanitize/pagoda_tsan --guests build/tests/guest --suppressions tsan.txt

Each program's output and status are those that it gives natively, and the sanitizer has nothing to say. asan: address and undefined
behaviour, in both modes. tsan: data races, in exact mode: what the sanitizer maps leaves no stretch of addresses for the windows of fast mode. TAP.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

PROGRAMS = [
    '{guests}/forks-static threads', '{guests}/forks-static cow', '{guests}/forks-static many', '{guests}/forks-static exec',
    '{guests}/futexes-static threads', '{guests}/futexes-static processes', '{guests}/futexes-static requeue',
    '{guests}/futexes-static robust', '{guests}/procsignals-static threads', '{guests}/procsignals-static timers',
    '{guests}/channels-static epoll', '{guests}/channels-static rights', '{guests}/shared-static sysv',
    '{guests}/shared-static vm', '{guests}/inherit-static orphans', '{guests}/mapfile-static',
    "bash -c 'for i in 1 2 3 4; do (echo $i; echo x | cat) & wait; done | sort | md5sum; seq 2000 | sort -n | tail -1'",
    '{guests}/goroutines',
]
SIGNS = re.compile(r'ThreadSanitizer|AddressSanitizer|LeakSanitizer|runtime error|pagoda: bug|assertion', re.I)

p = argparse.ArgumentParser()
for name in ('kind', 'pagoda', 'guests', 'suppressions'):
    p.add_argument('--' + name, required=True)
o = p.parse_args()

env = dict(os.environ, TSAN_OPTIONS='suppressions=' + os.path.abspath(o.suppressions), UBSAN_OPTIONS='print_stacktrace=1')
modes = [[]] if o.kind == 'tsan' else [[], ['--fast']]
guests = os.path.abspath(o.guests)
programs = [x.format(guests=guests) if x.startswith('{') else x for x in PROGRAMS]
programs = [x for x in programs if not x.startswith('/') or os.path.exists(x.split()[0])]


def run(words, here):
    r = subprocess.run(words, cwd=here, env=env, capture_output=True, timeout=400, stdin=subprocess.DEVNULL)
    return r.returncode, r.stdout, r.stderr.decode('utf-8', 'replace')


print('1..%d' % (len(programs) * len(modes)))
number = failed = 0
for program in programs:
    with tempfile.TemporaryDirectory() as here:
        native = run(['sh', '-c', 'exec ' + program], here)
    for mode in modes:
        with tempfile.TemporaryDirectory() as here:
            ours = run([os.path.abspath(o.pagoda), 'run', '--quiet', '--memory', '512M'] + mode + ['--', 'sh', '-c', 'exec ' + program], here)
        number += 1
        good = ours[:2] == native[:2] and not SIGNS.search(ours[2])
        failed += not good
        print('%s %d - %s%s' % ('ok' if good else 'not ok', number, ' '.join(mode + [program.replace(guests + '/', '')]),
                                '' if good else ': status %d, natively %d' % (ours[0], native[0])), flush=True)
        if not good:
            print(''.join('# %s\n' % x for x in ours[2].split('\n')[:60]), end='', flush=True)
sys.exit(1 if failed else 0)
