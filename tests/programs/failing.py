#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/programs/failing.py: mapped files on a disk that fails, and on one that is full.

    failing.py --pagoda build/pagoda --guests build/tests/guest --shim build/tests/programs/libfailwrites.so

Guest `wberrors` asks with every call there is who is told of a page that could not be written. What Linux says is below; where a FUSE file
system may be mounted Linux is asked again, and the guest runs on that same file system under Pagoda. Everywhere else, and there too, Pagoda's
writes are made to fail by a preloaded library. Guest `fulldisk` stores into holes on a small tmpfs, natively and under
Pagoda. R20. TAP.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import brokendisk

# Linux 6.18
TOLD = """\
1 fsync a: EIO
1 fsync a again: 0
1 fsync dup of a: 0
1 fsync c, opened later: 0
1 fsync b: EIO
1 fdatasync b again: 0
1 fsync c again: 0
2 fsync d, opened before anybody was told: EIO
2 fsync e, opened after: 0
2 sync_file_range a: EIO
2 fsync a: 0
2 fdatasync b: EIO
2 msync of b's mapping: 0
3 msync of a's mapping: EIO
3 msync of a's mapping again: 0
3 fsync a: 0
3 msync of b's mapping: EIO
3 fsync b: 0
3 fsync c: EIO
4 fsync a in a child: EIO
4 fsync a in the parent: 0
4 fsync b in the parent: EIO
4 fsync b, passed through a socket: 0
4 and b is closed: 0
5 read: what was stored
5 fsync b, nothing mapped: EIO
5 fsync b again: 0
5 fsync a: EIO
5 fsync d, opened later: 0
5 fsync b, opened anew: 0
5 fsync c: EIO
5 mapped again: what was stored
6 syncfs a: EIO
6 syncfs a again: 0
6 syncfs e, opened later: 0
6 syncfs c: EIO
6 fsync e: EIO
6 fsync a: EIO
"""

p = argparse.ArgumentParser()
p.add_argument('--pagoda', required=True)
p.add_argument('--guests', required=True)
p.add_argument('--shim', required=True)
o = p.parse_args()
o.pagoda, o.guests, o.shim = os.path.abspath(o.pagoda), os.path.abspath(o.guests), os.path.abspath(o.shim)
number = failed = 0


def say(good, what, text=''):
    global number, failed
    number += 1
    failed += not good
    print('%s %d - %s' % ('ok' if good else 'not ok', number, what))
    if not good:
        print(''.join('# %s\n' % line for line in text.split('\n')), end='', flush=True)


def skip(what, why):
    global number
    number += 1
    print('ok %d - %s # SKIP %s' % (number, what, why))


def differences(wanted, got):
    a, b = wanted.split('\n'), got.split('\n')
    return '\n'.join('wanted %r, got %r' % (x, y) for x, y in zip(a + [''] * (len(b) - len(a)), b + [''] * (len(a) - len(b))) if x != y)


def run(mode, argv, **more):
    before = [] if mode == 'native' else [o.pagoda, 'run', '--quiet'] + (['--fast'] if mode == 'fast' else []) + ['--']
    r = subprocess.run(before + argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=400, **more)
    return r.stdout + ('' if r.returncode == 0 else 'status %d\n' % r.returncode)


guest = os.path.join(o.guests, 'wberrors-static')
mounts = brokendisk.own_namespace()
with tempfile.TemporaryDirectory() as d:
    flag, plain = os.path.join(d, 'flag'), os.path.join(d, 'plain')
    for mode in ('exact', 'fast'):
        with open(plain, 'wb') as f:
            f.write(bytes(brokendisk.BYTES))
        got = run(mode, [guest, plain, flag], env=dict(os.environ, LD_PRELOAD=o.shim, FAIL_FILE=plain, FAIL_FLAG=flag))
        say(got == TOLD, '%s: each open file is told once' % mode, differences(TOLD, got))
        with open(plain, 'rb') as f:
            data = f.read()
        say(all(data[i * 4096] for i in range(4)), '%s: what could not be written was written later' % mode, repr(data[::4096]))
    where = os.path.join(d, 'mount')
    os.mkdir(where)
    for mode in ('native', 'exact', 'fast'):
        what = '%s: the same on a file system that fails' % mode
        try:
            pid = brokendisk.start(where, flag) if mounts else 0
        except OSError as e:
            mounts = mounts and str(e)
            pid = 0
        if not pid:
            skip(what, 'no FUSE here: %s' % mounts)
            continue
        try:
            got = run(mode, [guest, where + '/file', flag])
        finally:
            brokendisk.stop(where, pid)
        say(got == TOLD, what, differences(TOLD, got))
    os.mkdir(where + '2')
    for pages, size in ((40, '64k'), (24, '32k')):
        told = {}
        for mode in ('native', 'exact', 'fast'):
            if not brokendisk.tmpfs(where + '2', size):
                break
            told[mode] = run(mode, [os.path.join(o.guests, 'fulldisk-static'), where + '2/file', str(pages)])
            brokendisk.libc.umount2((where + '2').encode(), 2)
        if len(told) < 3:
            skip('a disk of %s is full' % size, 'no right to mount')
            continue
        say('the first SIGBUS at %d\n' % (int(size[:-1]) // 4) in told['native'], 'native: a disk of %s is full' % size, told['native'])
        for mode in ('exact', 'fast'):
            say(told[mode] == told['native'], '%s: a disk of %s is full' % (mode, size), differences(told['native'], told[mode]))
print('1..%d' % number)
sys.exit(1 if failed else 0)
