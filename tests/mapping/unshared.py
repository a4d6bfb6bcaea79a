#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/mapping/unshared.py: who un-shared what after a fork, where the numbers are known by construction (tests/guest/unshare.c).

    unshared.py --pagoda build/pagoda --program build/tests/guest/unshare-static

What the program reads of itself in smaps is what it reads natively; the report names its functions with the pages that each wrote to and
those that were copied. TAP.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

# function: (pages written to, of these copied), as the program's head says
EXPECTED = {'child_writes': (20, 20), 'parent_during': (10, 10), 'parent_own': (20, 0), 'parent_after': (31, 0)}
READ = 3  # by a system call of the child

p = argparse.ArgumentParser()
p.add_argument('--pagoda', required=True)
p.add_argument('--program', required=True)
o = p.parse_args()
native = subprocess.run([o.program], capture_output=True, text=True, timeout=60)
print('1..4')
number = failed = 0


def say(good, what, why):
    global number, failed
    number += 1
    failed += not good
    print('%s %d - %s' % ('ok' if good else 'not ok', number, what))
    if not good:
        print('# ' + str(why).replace('\n', '\n# '))


for mode in ([], ['--fast']):
    with tempfile.TemporaryDirectory() as d:
        report = os.path.join(d, 'report.json')
        ours = subprocess.run([o.pagoda, 'run', '--quiet', '--json', report] + mode + ['--', o.program], capture_output=True, text=True, timeout=120)
        name = 'fast' if mode else 'exact'
        say(ours.returncode == 0 and ours.stdout == native.stdout and native.returncode == 0,
            'smaps from inside, ' + name, native.stdout + '---\n' + ours.stdout + ours.stderr)
        with open(report, encoding='utf-8') as f:
            r = json.load(f)
    got = {f.get('function'): (f['unshared'], f['copied_after_fork']) for f in r['functions']}
    wrong = {k: (v, got.get(k)) for k, v in EXPECTED.items() if got.get(k) != v}
    by_call = [k for k, v in got.items() if k and 'read' in k and v == (READ, READ)]
    # its region, with the few pages of the C library's own that are anonymous too
    over = [next(x[key] for x in r['places'] if x['name'] == '[anonymous]') - READ - sum(v[i] for v in EXPECTED.values())
            for i, key in enumerate(('unshared', 'copied_after_fork'))]
    say(not wrong and by_call and 0 <= over[1] <= over[0] <= 8, 'the report, ' + name, '%s %s %s' % (wrong, by_call, over))
sys.exit(1 if failed else 0)
