#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/programs/swapping.py: real programs in less memory than they use.

    swapping.py --pagoda build/pagoda --guests build/tests/guest [--mode exact|fast] [--policy NAME]
                [--full | --pairs] [--seconds N] [--journal FILE] [--case TEXT]

Each program is run natively, then with ample memory for its peak, then at one half, at one quarter and at the least workable
share of that. Output, status and files must be the native ones. R6, R11, R12.

The least workable memory is the smallest, to 1/32 of the peak, with which the program ends as natively and before it has had SLOW times as
many major faults as it has page faults of any kind with ample memory: not killed for want of memory, and not busy with nothing but
paging (`--max-faults` stops it; at a half and a quarter it may be ten times as slow). It is found by halving, under the first policy with the first store, and is the same on
every run of a program with one thread. Where another policy or store does not get to the end with it, an eighth more is tried, and so on.
A program that needs no more than the smallest machine has nothing to show here but that.

Without more said, a selection of programs, and policies and stores take turns: the part of the check. --full: every program of
the check, each policy in turn with a store; --pairs: each policy with each store. Runs that cannot differ are left out: where
nothing was reclaimed the policy has no part in it, where nothing was swapped out the store has none. --seconds: no run begins
later, and what is left is named; --journal: what was done with this very pagoda is not done again, so that a long
matrix is made in pieces.

One line a run; at the end `N passed, N failed, N skipped`.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import time

import run

STORES = ('{}', 'zstd:{}', 'lz4:{}', 'lz4:1M,zstd:1M,{}')  # {}: room enough
PROGRAMS = ('guest: smc-pie', 'guest: jit-static', 'guest: barrier-static', 'guest: mapfile-dynamic', 'guest: signals-static',
            'guest: crossing-static', 'tools: sort', 'tools: sha256sum', 'tools: xz', 'tools: gzip', 'tools: bash',
            'languages: python3', 'languages: sqlite3', 'languages: perl', 'languages: cc1')
PIPELINE = run.Case('tools', 'processes in a pipe', [
    'sh', '-c', 'for i in 1 2 3; do sort -S 2M text | awk "{ print \\$3 }" | uniq -c | sort -n | tail -2; done; wait; exit 3'])
# What these print is how much memory they have, or where it lies.
ABOUT_MEMORY = ('guest: println', 'family: limits use', 'system: ps, pmap, top, psutil, smem')
STEP = 64 << 10
SMALLEST = 1 << 20
SLOW = 10
PATIENT = 10  # times as many where it must work
FINE, STARVED, WRONG = 'fine', 'starved', 'wrong'


class Journal:
    """What was done, a line each, of one build of pagoda: other lines count for nothing."""

    def __init__(self, path, pagoda):
        self.path, self.done = path, {}
        with open(pagoda, 'rb') as f:
            self.build = hashlib.sha256(f.read()).hexdigest()[:16]
        if path and os.path.exists(path):
            with open(path) as f:
                for line in f:
                    build, key, value = line.rstrip('\n').split('\t')
                    if build == self.build:
                        self.done[key] = value

    def add(self, key, value):
        self.done[key] = value
        if self.path:
            with open(self.path, 'a') as f:
                f.write('%s\t%s\t%s\n' % (self.build, key, value))


class Late(Exception):
    """The time is up."""


class Swapping(run.Runner):
    def __init__(self, options):
        super().__init__(options)
        self.journal = Journal(options.journal, options.pagoda)
        self.began, self.left, self.alike, self.runs, self.turn = time.monotonic(), [], 0, 0, 0
        out = subprocess.run([options.pagoda, 'run', '--replace', 'help'], capture_output=True, text=True, check=True).stdout
        self.policies = [options.policy] if options.policy else [l.split()[0] for l in out.split('\n') if l and l[0] != ' ']

    def machine(self, memory, *flags):
        """(result, figures) of the case on so much memory; figures None: it left none."""
        if self.o.seconds and time.monotonic() - self.began > self.o.seconds:
            raise Late()
        path = os.path.join(self.base, 'figures.json')
        if os.path.exists(path):
            os.unlink(path)
        self.runs += 1
        got = self.execute(self.pagoda('%dK' % (memory // 1024), '--json', path, *flags) + self.argv, self.case.stdin)
        try:
            with open(path) as f:
                return got, run.json.load(f)
        except (OSError, ValueError):
            return got, None

    def ample(self):
        """The most bytes of frames that the program had in use, and the major faults after which it is slow, with ample memory."""
        key = '%s %s ample' % (self.name, self.o.mode)
        if key not in self.journal.done:
            got, j = self.machine(1 << 30)
            if j is None:
                return None
            self.journal.add(key, '%d %d' % (j['memory']['frames_used_peak'] * 4096, SLOW * j['faults']['all']))
        return [int(w) for w in self.journal.done[key].split()]

    def once(self, memory, policy, store, must=False):
        """How one run ended, what differed, and its figures."""
        most = self.most * (PATIENT if must else 1)
        got, j = self.machine(memory, '--swap', store.replace('{}', self.room), '--replace', policy, '--max-faults', str(most))
        wrong = ['%s differs' % w for w, i in (('status', 0), ('stdout', 1), ('files', 3)) if self.native[i] != got[i]]
        text = '%s (status %s) %s' % (', '.join(wrong), got[0], got[2].decode('utf-8', 'replace')[-200:].strip())
        if j is None:
            return WRONG, 'no figures; ' + text, None
        if j['swap'] and (j['swap']['read_errors'] or j['swap']['checksum_errors']):
            return WRONG, 'pages were lost', j
        if j['end']['out_of_memory'] or j['end']['stopped']:
            return STARVED, j['end']['text'], j
        if not wrong:
            return FINE, '', j
        # one of its processes was killed, or was refused memory, and it said so its own way
        refused = b'emory' in got[2] or b'Killed' in got[2] or got[0] in (2, 127, 137)
        return STARVED if j['reclaim']['oom_kills'] or refused and memory <= self.least else WRONG, text, j

    def floor(self, peak):
        """The least workable memory."""
        key = '%s %s floor' % (self.name, self.o.mode)
        if key not in self.journal.done:
            low, high = SMALLEST - STEP, max(peak // 4 // STEP * STEP, SMALLEST)
            while high > SMALLEST and high - low > max(STEP, peak // 32):
                middle = (low + high) // 2 // STEP * STEP
                if self.once(middle, self.policies[0], STORES[0])[0] == FINE:
                    high = middle
                else:
                    low = middle
            self.journal.add(key, str(high))
        return int(self.journal.done[key])

    def pairs(self):
        pairs = [(p, STORES[(i + self.turn) % len(STORES)]) for i, p in enumerate(self.policies)]
        if self.o.pairs:
            pairs = [(p, s) for p in self.policies for s in STORES]
        elif not self.o.full:
            pairs = [pairs[self.turn % len(pairs)]]
        self.turn += 1
        return pairs

    def at(self, share, memory, must):
        """All runs with so much memory. must: it may not end for want of memory."""
        idle, unswapped = None, set()
        for policy, store in self.pairs():
            key = '%s %s %s %s %s' % (self.name, self.o.mode, share, policy, store)
            name = '%s at %s by %s and %s' % (self.case.name, share, policy, store.replace('{}', self.room))
            done = self.journal.done.get(key, '')
            if done or idle or policy in unswapped:
                idle = idle or done.endswith('idle')
                if done.endswith('unswapped'):
                    unswapped.add(policy)
                self.alike += not done
                continue
            size = memory
            how, why, j = self.once(size, policy, store, must)
            while how == STARVED and not must and size < self.most_memory:
                size = (size + size // 8 + STEP) // STEP * STEP
                how, why, j = self.once(size, policy, store)
            text = '%d K' % (size // 1024) + ('; ' + why if how != FINE else '')
            self.say(how == FINE, self.case.group, name, text)
            if how == FINE:
                idle = j['reclaim']['reclaimed'] == 0
                if j['swap']['out'] == 0:
                    unswapped.add(policy)
                self.journal.add(key, '%d %s' % (size, 'idle' if idle else 'unswapped' if policy in unswapped else 'swapped'))

    def compare(self, case):
        self.case, self.name = case, '%s: %s' % (case.group, case.name)
        self.argv = [w.replace('{guest}', self.o.guests) for w in case.argv]
        path = shutil.which(self.argv[0], path=run.ENV['PATH']) if '/' not in self.argv[0] else self.argv[0]
        if path is None or (path[0] == '/' and not os.path.exists(path)):
            self.say(None, case.group, case.name, 'no ' + self.argv[0])
            return
        ample = self.ample()
        if ample is None:
            self.say(False, case.group, case.name, 'no figures with ample memory')
            return
        self.native = self.execute(self.argv, case.stdin)
        peak, self.most = ample
        self.room = '%dM' % max(64, peak * 2 >> 20)
        half, quarter = (max(peak // n // STEP * STEP, SMALLEST) for n in (2, 4))
        self.least, self.most_memory = quarter, half
        self.at('1/2', half, half > SMALLEST)
        if quarter < half:
            self.at('1/4', quarter, quarter > SMALLEST)
        floor = self.floor(peak)
        if floor < quarter:
            self.at('least', floor, False)

    def run(self):
        for case in run.CASES + [PIPELINE]:
            name = '%s: %s' % (case.group, case.name)
            if name in ABOUT_MEMORY or (self.o.case and self.o.case not in name):
                continue
            if not (self.o.full or self.o.case or name in PROGRAMS or case is PIPELINE):
                continue
            try:
                self.compare(case)
            except Late:
                self.left.append(name)
        shutil.rmtree(self.base)
        for name in self.left:
            print('left, the time is up: ' + name)
        print('%d runs in %d s; %d that could not differ were left out' % (self.runs, time.monotonic() - self.began, self.alike))
        print('%d passed, %d failed, %d skipped' % (self.passed, self.failed, self.skipped))
        return 1 if self.failed else 0


def main():
    p = run.arguments(__doc__)
    p.add_argument('--full', action='store_true', help='every program of the check, and every policy')
    p.add_argument('--pairs', action='store_true', help='every policy with every store')
    p.add_argument('--seconds', type=int, default=0, help='no run begins later; 0: no limit')
    p.add_argument('--journal', help='what is in this file is not done again, what is done goes to it')
    p.add_argument('--policy', help='this one only')
    p.add_argument('--case', help='programs whose name holds this text')
    o = run.parsed(p)
    o.timeout = 600
    return Swapping(o).run()


if __name__ == '__main__':
    sys.exit(main())
