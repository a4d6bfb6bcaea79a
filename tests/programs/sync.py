#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/programs/sync.py: stores to a mapped file, and the calls that bring them to the disk, as the host sees them.

    sync.py --pagoda build/pagoda --guests build/tests/guest

Guest `syncs` stores into a page and makes a call, six times. strace(1) tells what Pagoda asked of the host: each page is written before
the call that is to bring it to the disk, and that call is made. Exit status 77 without strace, or where tracing is forbidden. TAP.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

PAGE = 4096
# which page is written, and what must follow before the next page is
WANTED = [('a', 0, 'fdatasync'), ('b', 1, 'fsync'), ('c', 2, 'fdatasync'), ('d', 3, 'sync_file_range'), ('e', 4, 'sync'),
          ('f', 5, 'syncfs')]

p = argparse.ArgumentParser()
p.add_argument('--pagoda', required=True)
p.add_argument('--guests', required=True)
o = p.parse_args()
try:
    if subprocess.run(['strace', '-o', '/dev/null', 'true'], capture_output=True).returncode:
        sys.exit(77)
except OSError:
    sys.exit(77)



def whole(log):
    """A call during which another thread was seen lies on two lines: one line of it, at its end."""
    begun, lines = {}, []
    for line in log.split('\n'):
        start = re.match(r'(\d+) +(.*) <unfinished \.\.\.>$', line)
        end = re.match(r'(\d+) +<\.\.\. \w+ resumed>(.*)$', line)
        if start:
            begun[start.group(1)] = start.group(2)
        else:
            lines.append('%s %s%s' % (end.group(1), begun.pop(end.group(1), ''), end.group(2)) if end else line)
    return '\n'.join(lines)


assert whole('7  fsync(3 <unfinished ...>\n8  --- SIGRTMIN ---\n7  <... fsync resumed>)  = 0') == '8  --- SIGRTMIN ---\n7 fsync(3)  = 0'
print('1..%d' % (2 * (len(WANTED) + 2)))
number = failed = 0
for mode in ([], ['--fast']):
    with tempfile.TemporaryDirectory() as d:
        log, name = os.path.join(d, 'log'), os.path.join(d, 'synced')
        r = subprocess.run(['strace', '-f', '-o', log, '-e', 'trace=pwrite64,fsync,fdatasync,sync,syncfs,sync_file_range',
                            o.pagoda, 'run', '--quiet'] + mode + ['--', os.path.join(o.guests, 'syncs-static'), name],
                           capture_output=True, timeout=900)
        with open(log) as f:
            calls = re.findall(r'^\d+ +(\w+)\((.*)\) += 0*(\d+)$', whole(f.read()), re.M)
        with open(name, 'rb') as f:
            data = f.read()
    results = [('runs', r.returncode == 0 and r.stdout == b'synced\n')]
    for letter, page, call in WANTED:
        at = [i for i, (n, a, _) in enumerate(calls) if n == 'pwrite64' and '"%s' % letter in a and a.endswith(', %d' % (page * PAGE))]
        after = [n for n, _, _ in calls[at[0] + 1:]] if at else []
        until = after.index('pwrite64') if 'pwrite64' in after else len(after)
        results.append(('%s follows the write of its page' % call, len(at) == 1 and call in after[:until]))
    results.append(('all is in the file', [data[i * PAGE:i * PAGE + 1] for i in range(8)] == [b'a', b'b', b'c', b'd', b'e', b'f', b'g', b'\0']))
    for what, good in results:
        number += 1
        failed += not good
        print('%s %d - %s: %s' % ('ok' if good else 'not ok', number, mode[0] if mode else 'exact', what))
    if failed:
        print(''.join('# %s(%s) = %s\n' % c for c in calls), end='')
sys.exit(1 if failed else 0)
