#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/programs/forks_long.py: a guest forks again and again; Pagoda's memory, threads and descriptors on the host stay as they are.

    forks_long.py --pagoda build/pagoda --guests build/tests/guest [--forks 1000000] [--seconds 600] [--mode exact|fast]

Run by `make forks-long`, not by the check. Prints what the host saw every ten seconds; status 1 if anything grew after the first thousand
forks, or the guest's free memory did not come back. That no frame is lost at the end Pagoda asserts itself.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import time

p = argparse.ArgumentParser()
p.add_argument('--pagoda', required=True)
p.add_argument('--guests', required=True)
p.add_argument('--forks', type=int, default=1000000)
p.add_argument('--seconds', type=int, default=600)
p.add_argument('--mode', default='exact')
o = p.parse_args()


def look(pid):
    """Resident KiB, threads and descriptors of Pagoda on the host; None if it is gone."""
    try:
        with open('/proc/%d/status' % pid) as f:
            text = f.read()
        return [int(re.search(r'VmRSS:\s+(\d+)', text).group(1)), int(re.search(r'Threads:\s+(\d+)', text).group(1)),
                len(os.listdir('/proc/%d/fd' % pid))]
    except (OSError, AttributeError):
        return None


with tempfile.TemporaryFile() as out:
    run = subprocess.Popen([o.pagoda, 'run', '--quiet', '--memory', '64M'] + (['--fast'] if o.mode == 'fast' else []) +
                           ['--', os.path.join(o.guests, 'forkloop-static'), str(o.forks), str(o.seconds)], stdout=out)
    seen, begin = [], time.monotonic()
    time.sleep(3)  # the first thousand: caches are filled
    while run.poll() is None:
        now = look(run.pid)
        if now:
            seen.append(now)
            print('%4d s: %d KiB, %d threads, %d descriptors' % (time.monotonic() - begin, *now), flush=True)
        try:
            run.wait(10)
        except subprocess.TimeoutExpired:
            pass
    out.seek(0)
    text = out.read().decode()
print(text.strip())
m = re.match(r'(\d+) forks, free (\d+) then (\d+)', text)
bad = []
if run.returncode or not m:
    bad.append('status %d' % run.returncode)
else:
    if int(m.group(2)) - int(m.group(3)) > 16:
        bad.append('free memory of the machine shrank')
if seen:
    for i, (what, more) in enumerate((('resident memory', 1024), ('threads', 3), ('descriptors', 3))):
        if max(s[i] for s in seen) - seen[0][i] > more:
            bad.append('%s grew from %d to %d' % (what, seen[0][i], max(s[i] for s in seen)))
print('; '.join(bad) if bad else 'nothing grew')
sys.exit(1 if bad else 0)
