#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/mapping/run.py: random sequences of mapping calls on Linux and on Pagoda.

    run.py --pagoda build/pagoda --program build/tests/mapping/mapping [--mode exact|fast] [--count N] [--seed N]
           [--part NAME]... [--length N] [--seconds N] [--reports N] [--flag=PAGODA_FLAG]... [--self] [--verbose]

The guest program `mapping` makes one sequence of steps from each seed, and says what came of each: results, signals with
their addresses, maps, mincore, sizes in smaps, contents. It runs natively and under `pagoda run --quiet`, many seeds in one
run; what both say must be the same, but for the lines that begin with ~: there Linux may have more (mapping.h says which).

A difference is run again alone, step by step, and shrunk: steps are left out as long as both still differ. The
report has the command that shows it again. --seconds N goes on with new seeds until N seconds are over.
--part chooses what sequences are made of, in place of the mixes below; --part help lists the names.

One line a mix; at the end `N passed, N failed`. Exit status 1 if a sequence failed, 77 if this kernel is too old to compare with.
"""
import argparse
import ctypes
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

PARTS = ['base', 'place', 'file', 'truncate', 'hole', 'syscall', 'fetch', 'brk', 'advise', 'lock', 'grow', 'limit', 'move',
         'holes', 'smaps', 'flags', 'fork', 'shm', 'vm', 'guard', 'edge', 'seal', 'sweep',
         'hint', 'zero', 'remove', 'short']

# What Pagoda does not do as Linux does, yet. A mix that needs one of these is not run, and the last lines say so.
NOT_YET = []

EVERYTHING = ' '.join(p for p in PARTS if p not in NOT_YET)

MIXES = [
    'base', 'base place', 'base place smaps sweep', 'base brk place', 'base grow place smaps', 'base fetch sweep',
    'base syscall place', 'base file sweep', 'base file truncate sweep smaps', 'base file syscall fetch truncate',
    'base file truncate hole', 'base advise smaps', 'base brk limit place', 'base lock smaps', 'base lock limit',
    'base edge place brk', 'base file truncate hole advise', 'base move place smaps', 'base move file grow lock',
    'base holes advise lock', 'base flags smaps advise lock file', 'base short file syscall place smaps',
    'base remove hole file smaps', 'base zero file truncate smaps', 'base guard smaps advise sweep',
    'base guard fork file truncate move place smaps hint', 'base guard fork file flags smaps', 'base guard lock limit vm syscall',
    'base shm move place', 'base hint advise',
    'base hint fork smaps sweep', 'base fork truncate hole file', 'base shm place sweep', 'base vm file truncate', 'base seal file truncate hole',
    'base fork smaps', 'base fork file sweep smaps', 'base fork file truncate hole advise lock', 'base fork shm place', 'base fork place move',
    EVERYTHING,
]

STACK = 8 << 20
NO_RANDOM = 0x0040000  # ADDR_NO_RANDOMIZE of personality(2)
libc = ctypes.CDLL(None)


def bits(mix):
    return sum(1 << PARTS.index(p) for p in mix.split())


def native_start():
    libc.personality(NO_RANDOM)
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (STACK if hard == resource.RLIM_INFINITY else min(STACK, hard), hard))


def agrees(theirs, ours):
    """Whether a line of Pagoda's is what Linux's line allows."""
    if theirs == ours:
        return True
    if theirs[:3] != ours[:3] or theirs[:1] != '~':
        return False
    a, b = int(theirs[3:], 16), int(ours[3:], 16)
    return b <= a if theirs[1] == 'n' else b & ~a == 0


def agrees_brief(theirs, ours):
    a, b = theirs.split(), ours.split()
    return len(a) == len(b) and a[:2] == b[:2] and all(agrees('~%s %s' % (x[0], x[1:]), '~%s %s' % (y[0], y[1:]))
                                                         for x, y in zip(a[2:], b[2:]))


class Tester:
    def __init__(self, o):
        self.o = o
        self.dir = tempfile.mkdtemp(prefix='pagoda-mapping-')
        self.passed = self.failed = self.reports = self.ended = 0

    def command(self, ours, args):
        program = [self.o.program, '--dir', self.dir, '--length', str(self.o.length)] + args
        if not ours or self.o.self:
            return program
        return [self.o.pagoda, 'run', '--quiet', '--memory', self.o.memory] + (['--fast'] if self.o.mode == 'fast' else []) + \
            self.o.flag + ['--'] + program

    def execute(self, ours, args):
        """(lines, why it ended badly or '')"""
        try:
            p = subprocess.run(self.command(ours, args), capture_output=True, timeout=self.o.timeout, stdin=subprocess.DEVNULL,
                               preexec_fn=None if ours and not self.o.self else native_start)
        except subprocess.TimeoutExpired as e:
            return (e.stdout or b'').decode('utf-8', 'replace').split('\n'), 'no end after %d s' % self.o.timeout
        why = '' if p.returncode == 0 else 'status %d: %s' % (p.returncode, p.stderr.decode('utf-8', 'replace').strip()[-400:])
        return p.stdout.decode('utf-8', 'replace').split('\n')[:-1], why

    def one(self, mix, seed, steps=None):
        """The first difference of one sequence: None, or (number of the line, Linux's lines, ours, why)."""
        args = ['--parts', '%x' % bits(mix), '--seed', str(seed)]
        if steps is not None:
            args += ['--only', ','.join(map(str, steps)) or '4095']
        theirs, bad = self.execute(False, args)
        if bad:
            raise SystemExit('mapping: natively, %s seed %d: %s' % (mix, seed, bad))
        ours, why = self.execute(True, args)
        for i, line in enumerate(theirs):
            if i >= len(ours) or not agrees(line, ours[i]):
                return i, theirs, ours, why
        return (len(theirs), theirs, ours, why) if why or len(ours) != len(theirs) else None

    def shrink(self, mix, seed, difference):
        """Delta debugging over the steps. (steps, difference)"""
        last = self.last_step(difference)
        steps = list(range(last + 1))
        d = self.one(mix, seed, steps)
        if d is None:
            steps = list(range(self.o.length))
        else:
            difference = d
        pieces, until = 2, time.monotonic() + self.o.shrink_seconds
        while len(steps) >= 1 and time.monotonic() < until:
            size = max(1, -(-len(steps) // pieces))
            for at in range(0, len(steps), size):
                rest = steps[:at] + steps[at + size:]
                d = self.one(mix, seed, rest)
                if d is not None:
                    steps, difference = rest, d
                    pieces = max(2, pieces - 1)
                    break
            else:
                if size == 1:
                    break
                pieces = min(len(steps), pieces * 2)
        return steps, difference

    @staticmethod
    def last_step(difference):
        at, theirs, ours, _ = difference
        for line in reversed(theirs[:at + 1]):
            m = re.match(r'(\d+)\.\d+ ', line)
            if m:
                return int(m.group(1))
        return 0

    def report(self, mix, seed, theirs, ours):
        """theirs, ours: what both said in the batch, or None if it ended there."""
        self.reports += 1
        d = self.one(mix, seed)
        if d is None:
            print('  seed %d of %s differed in the batch, but not alone' % (seed, mix))
            a, b = (x.split()[1:] if x else ['nothing'] for x in (theirs, ours))
            pairs = [(x, y) for x, y in zip(a, b) if x != y]
            print('    Linux, Pagoda: %s' % ' '.join('%s,%s' % p for p in pairs[:20]))
            return
        steps = []
        if self.o.shrink_seconds:
            steps, d = self.shrink(mix, seed, d)
        at, theirs, ours, why = d
        print('  seed %d, parts %s, steps %s' % (seed, mix, ','.join(map(str, steps)) or 'none but the end'))
        print('  again: %s --pagoda %s --program %s --mode %s --length %d --seed %d --show %s --part %s' % (
            os.path.relpath(__file__), os.path.relpath(self.o.pagoda), os.path.relpath(self.o.program), self.o.mode, self.o.length,
            seed, ','.join(map(str, steps)) or '4095', ' --part '.join(mix.split())))
        for line in theirs[:at][-self.o.context:]:
            print('    both    %s' % line)
        print('    Linux   %s' % (theirs[at] if at < len(theirs) else '(the end)'))
        print('    Pagoda  %s' % (ours[at] if at < len(ours) else '(the end)'))
        for i in range(at + 1, min(at + 4, max(len(theirs), len(ours)))):
            print('      then  %-40s | %s' % (theirs[i] if i < len(theirs) else '', ours[i] if i < len(ours) else ''))
        if why:
            print('    %s' % why)
        sys.stdout.flush()

    def batch(self, mix, seed, count):
        while count > 0:
            args = ['--parts', '%x' % bits(mix), '--seed', str(seed), '--count', str(count), '--brief']
            native, bad = self.execute(False, args)
            if bad:  # a disk that is full for a moment
                time.sleep(1)
                native, bad = self.execute(False, args)
            if bad:
                raise SystemExit('mapping: natively, %s from seed %d: %s' % (mix, seed, bad))
            ours, why = self.execute(True, args)
            bad_seeds = [seed + i for i in range(len(native)) if i < len(ours) and not agrees_brief(native[i], ours[i])]
            done = min(len(native), len(ours))
            if done < count: # it ended in the middle of a sequence
                bad_seeds.append(seed + done)
                done += 1
            elif why:
                bad_seeds.append(seed + count - 1)
            self.failed += len(bad_seeds)
            self.passed += done - len(bad_seeds)
            for s in bad_seeds:
                if self.reports < self.o.reports:
                    i = s - seed
                    self.report(mix, s, native[i] if i < len(native) else None, ours[i] if i < len(ours) else None)
                elif self.o.verbose:
                    print('  seed %d differs too' % s)
            if why:
                print('  seed %d: %s' % (bad_seeds[-1], why))
                self.ended += 1
            seed += done
            count -= done
            if self.failed > 50 or self.ended > 3:
                return

    def run(self):
        mixes = [' '.join(self.o.part)] if self.o.part else [m for m in MIXES if self.o.self or not set(m.split()) & set(NOT_YET)]
        off = [] if self.o.part else [m for m in MIXES if m not in mixes]
        seed, until = self.o.seed, time.monotonic() + self.o.seconds
        while True:
            for mix in mixes:
                before = self.passed, self.failed
                self.batch(mix, seed, max(1, self.o.count // len(mixes)))
                passed, failed = self.passed - before[0], self.failed - before[1]
                print('%s %s: %d sequences as Linux, %d not, seeds from %d' % (
                    'FAIL' if failed else 'ok  ', mix, passed, failed, seed), flush=True)
            seed += max(1, self.o.count // len(mixes))
            if time.monotonic() >= until or self.failed > 50 or self.ended > 3:
                break
        shutil.rmtree(self.dir)
        if off:
            print('%d mixes not yet: they need one of %s' % (len(off), ', '.join(NOT_YET)))
        print('%d passed, %d failed' % (self.passed, self.failed))
        return 1 if self.failed else 0

    def show(self):
        mix = ' '.join(self.o.part)
        steps = [int(s) for s in self.o.show.split(',')]
        d = self.one(mix, self.o.seed, steps)
        print('\n'.join(d[1][:d[0]] if d else self.execute(False, ['--parts', '%x' % bits(mix), '--seed', str(self.o.seed),
                                                            '--only', self.o.show])[0]))
        if d:
            print('Linux   %s\nPagoda  %s\n%s' % (d[1][d[0]:d[0] + 1], d[2][d[0]:d[0] + 1], d[3]))
        shutil.rmtree(self.dir)
        return 1 if d else 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    p.add_argument('--pagoda', default='build/pagoda')
    p.add_argument('--program', default='build/tests/mapping/mapping')
    p.add_argument('--mode', choices=('exact', 'fast'), default='exact')
    p.add_argument('--count', type=int, default=1500, help='sequences, over all mixes')
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--length', type=int, default=40, help='steps of a sequence')
    p.add_argument('--part', action='append', metavar='NAME')
    p.add_argument('--seconds', type=float, default=0, help='go on until so many are over')
    p.add_argument('--reports', type=int, default=3, help='differences to shrink and show')
    p.add_argument('--shrink-seconds', type=float, default=30)
    p.add_argument('--context', type=int, default=30)
    p.add_argument('--memory', default='256M')
    p.add_argument('--flag', action='append', default=[], help='another option for pagoda run')
    p.add_argument('--show', metavar='STEPS', help='run one seed with these steps only and show all')
    p.add_argument('--self', action='store_true', help='natively twice: tests the sequences')
    p.add_argument('--timeout', type=int, default=900)
    p.add_argument('--verbose', action='store_true')
    o = p.parse_args()
    if o.part and 'help' in o.part:
        print(' '.join(PARTS))
        return 0
    if any(part not in PARTS for part in o.part or []):
        p.error('no such part; there are: ' + ' '.join(PARTS))
    version = re.match(r'(\d+)\.(\d+)', platform.release())
    if platform.system() != 'Linux' or not version or (int(version.group(1)), int(version.group(2))) < (6, 16):
        print('skipped: this kernel merges and maps otherwise than Linux 6.16 and later')
        return 77
    o.pagoda, o.program = os.path.abspath(o.pagoda), os.path.abspath(o.program)
    t = Tester(o)
    return t.show() if o.show else t.run()


if __name__ == '__main__':
    sys.exit(main())
