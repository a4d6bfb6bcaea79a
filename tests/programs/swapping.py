#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/programs/swapping.py: real programs in less memory than they use.

    swapping.py --pagoda build/pagoda --guests build/tests/guest [--mode exact|fast] [--full] [--policy NAME]

Each program of a selection of run.py's is run natively, then with ample memory for its peak, then at one half and one
quarter of that, and at one half of each again until memory is out. Output, status and files must be the native ones each time; the
only other ends that are allowed, below a quarter, are to be killed for want of memory, not to end for thrashing, or, for those that
ask how much there is, to say so. Policies and stores take turns over the runs; --full makes all of them with each. R6, R11, R12.

One line a run; at the end `N passed, N failed, N skipped`.
"""
import argparse
import os
import shutil
import subprocess
import sys

import run

STORES = ('64M', 'zstd:64M', 'lz4:64M', 'lz4:1M,zstd:1M,64M')
PROGRAMS = ('guest: smc-pie', 'guest: jit-static', 'guest: barrier-static', 'guest: mapfile-dynamic', 'guest: signals-static',
            'guest: crossing-static', 'tools: sort', 'tools: sha256sum', 'tools: xz', 'tools: gzip', 'tools: bash',
            'languages: python3', 'languages: sqlite3', 'languages: perl', 'languages: cc1')
PIPELINE = run.Case('tools', 'processes in a pipe', [
    'sh', '-c', 'for i in 1 2 3; do sort -S 2M text | awk "{ print \\$3 }" | uniq -c | sort -n | tail -2; done; wait; exit 3'])
STEP = 64 << 10
SMALLEST = 1 << 20


class Swapping(run.Runner):
    def policies(self):
        out = subprocess.run([self.o.pagoda, 'run', '--replace', 'help'], capture_output=True, text=True).stdout
        return [self.o.policy] if self.o.policy else [l.split()[0] for l in out.split('\n') if l and l[0] != ' ']

    def peak(self, case, argv):
        """The most bytes of frames that the program had in use, with ample memory."""
        path = os.path.join(self.base, 'figures.json')
        self.execute(self.pagoda('1G', '--json', path) + argv, case.stdin)
        with open(path) as f:
            return run.json.load(f)['memory']['frames_used_peak'] * 4096

    def once(self, case, argv, native, memory, policy, store, must):
        """True: like native. False: it ended for want of memory, or it failed."""
        got = self.execute(self.pagoda(str(memory // 1024) + 'K', '--swap', store, '--replace', policy) + argv, case.stdin)
        wrong = ['%s differs' % w for w, i in (('status', 0), ('stdout', 1), ('files', 3)) if native[i] != got[i]]
        starved = got[0] == 137 or b'emory' in got[2] or got[0] in (2, 127) or str(got[0]).startswith('no end')
        name = '%s on %d K by %s and %s' % (case.name, memory // 1024, policy, store)
        if wrong and starved and not must:
            return False
        self.say(not wrong, case.group, name, ', '.join(wrong) and '%s (status %s) %s' % (
            ', '.join(wrong), got[0], got[2].decode('utf-8', 'replace')[-150:].strip()))
        return not wrong

    def compare(self, case, turn):
        argv = [w.replace('{guest}', self.o.guests) for w in case.argv]
        if shutil.which(argv[0], path=run.ENV['PATH']) is None and not os.path.exists(argv[0]):
            self.say(None, case.group, case.name, 'no ' + argv[0])
            return turn
        native = self.execute(argv, case.stdin)
        peak, share = self.peak(case, argv), 2
        policies = self.policies()
        while True:
            memory = max(peak // share // STEP * STEP, SMALLEST)
            must = share <= 4 and memory > SMALLEST
            pairs = [(p, s) for p in policies for s in STORES]
            if not self.o.full:
                pairs = [pairs[turn * (len(STORES) + 1) % len(pairs)]]
            turn += 1
            fine = [self.once(case, argv, native, memory, p, s, must) for p, s in pairs]
            if not all(fine) or memory == SMALLEST:
                return turn
            share *= 2

    def run(self):
        turn = 0
        for case in run.CASES + [PIPELINE]:
            if '%s: %s' % (case.group, case.name) in PROGRAMS or case is PIPELINE:
                turn = self.compare(case, turn)
        shutil.rmtree(self.base)
        print('%d passed, %d failed, %d skipped' % (self.passed, self.failed, self.skipped))
        return 1 if self.failed else 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    p.add_argument('--pagoda', default='build/pagoda')
    p.add_argument('--guests', default='build/tests/guest')
    p.add_argument('--mode', choices=('exact', 'fast'), default='exact')
    p.add_argument('--full', action='store_true', help='every policy with every store')
    p.add_argument('--policy', help='this one only')
    o = p.parse_args()
    o.pagoda, o.guests = os.path.abspath(o.pagoda), os.path.abspath(o.guests)
    o.timeout = run.TIMEOUT
    return Swapping(o).run()


if __name__ == '__main__':
    sys.exit(main())
