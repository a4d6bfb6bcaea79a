#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/sanitize/run.py: machines with many threads and processes, Pagoda built with a sanitizer.

    run.py --kind asan|tsan --pagoda build/tests/sanitize/pagoda_tsan --guests build/tests/guest --suppressions tsan.txt

Each program's output and status are those that it gives natively, and the sanitizer has nothing to say. First with ample memory, then
those of SHORT with little, by policies and stores in turn. asan: address and undefined
behaviour, in both modes. tsan: data races, in exact mode: what the sanitizer maps leaves no stretch of addresses for the windows of fast mode. TAP.
"""
import argparse
import glob
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
# A program, its memory, and stores and policies.
SHORT = [
    ('{guests}/owners-static 3 200 4', '1536K', ('64M clock', 'lz4:1M,zstd:1M,64M mglru', 'zstd:64M clock-pro')),
    ('{guests}/forks-static threads', '1M', ('lz4:64M two-list', '64M sieve')),
    ('{guests}/forks-static cow', '1M', ('64M car', 'zstd:64M s3-fifo')),
    ('{guests}/futexes-static threads', '1M', ('64M 2q',)),
    ('{guests}/futexes-static one_step', '2M', ('fault:slow=1-out:64M fifo',)),
    ('{guests}/shared-static sysv', '1M', ('zstd:64M random',)),
    ('{guests}/mapfile-static', '1M', ('64M aging',)),
    ("bash -c 'for i in 1 2 3 4; do (echo $i; echo x | cat) & wait; done | sort | md5sum; seq 2000 | sort -n | tail -1'", '1280K', ('64M nru',)),
    ('{guests}/procmem-static gone', '8M', ('fault:slow=40-in:64M clock',)),
    ('/usr/bin/python3 {here}/../programs/scripts/gone.py', '64M', ('fault:slow=200-in:64M clock',)),
]
SIGNS = re.compile(r'ThreadSanitizer|AddressSanitizer|LeakSanitizer|runtime error|pagoda: bug|assertion', re.I)

p = argparse.ArgumentParser()
for name in ('kind', 'pagoda', 'guests', 'suppressions'):
    p.add_argument('--' + name, required=True)
o = p.parse_args()

HERE = os.path.dirname(os.path.abspath(__file__))
guests = os.path.abspath(o.guests)
pagoda = os.path.abspath(o.pagoda)
logs = tempfile.mkdtemp(prefix='pagoda-sanitize-')
env = dict(os.environ, TSAN_OPTIONS='log_path=%s/log:suppressions=%s' % (logs, os.path.abspath(o.suppressions)),
           ASAN_OPTIONS='log_path=%s/log' % logs, UBSAN_OPTIONS='print_stacktrace=1:log_path=%s/log' % logs)
modes = [[]] if o.kind == 'tsan' else [[], ['--fast']]
cases = [(program, ['--memory', '512M']) for program in PROGRAMS]
for program, memory, machines in SHORT:
    for store, policy in (m.split() for m in machines):
        cases.append((program, ['--memory', memory, '--swap', store, '--replace', policy]))
cases = [(program.format(guests=guests, here=HERE), flags) for program, flags in cases]
cases = [(program, flags) for program, flags in cases if not program.startswith('/') or os.path.exists(program.split()[0])]


def run(words, here):
    """Status and output, and what the errors and the sanitizer's log say: a thread's own descriptor 2 may be anything."""
    r = subprocess.run(words, cwd=here, env=env, capture_output=True, timeout=400, stdin=subprocess.DEVNULL)
    said = r.stderr.decode('utf-8', 'replace')
    for path in glob.glob(logs + '/log*'):
        with open(path, errors='replace') as f:
            said += f.read()
        os.unlink(path)
    return r.returncode, r.stdout, said


print('1..%d' % (len(cases) * len(modes)))
number = failed = 0
native = {}
for program, flags in cases:
    shell = ['sh', '-c', 'exec ' + program]
    if program not in native:
        with tempfile.TemporaryDirectory() as here:
            native[program] = run(shell, here)
    for mode in modes:
        with tempfile.TemporaryDirectory() as here:
            ours = run([pagoda, 'run', '--quiet'] + flags + mode + ['--'] + shell, here)
        number += 1
        good = ours[:2] == native[program][:2] and not SIGNS.search(ours[2])
        failed += not good
        print('%s %d - %s%s' % ('ok' if good else 'not ok', number,
                                ' '.join(flags[1::2] + mode + [program.replace(guests + '/', '').replace(HERE + '/', '')]),
                                '' if good else ': status %d, natively %d' % (ours[0], native[program][0])), flush=True)
        if not good:
            print(''.join('# %s\n' % x for x in ours[2].split('\n')[:60]), end='', flush=True)
os.rmdir(logs)
sys.exit(1 if failed else 0)
