#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/programs/debian.py: many programs of Debian, unmodified, natively and under Pagoda, in both modes.

    debian.py --pagoda build/pagoda [--mode exact|fast|both] [--case TEXT]... [--packages] [--list] [--verbose] [--table FILE]

The cases are in debian_cases.py: each is a line of shell that is run natively and under `pagoda run --quiet`, each time in a
fresh copy of the directory of run.py; standard output, standard error and exit status must be equal. What a case needs from Debian
stands beside it; a case whose program is not installed is skipped. --packages prints what `apt-get install` would need for all.
This is the long list: the check runs the small one of run.py. `make programs-long` installs everything and runs it.

--table FILE writes the results as the table that docs/programs.md shows. One line a case; at the end `N passed, N failed,
N skipped`. Exit status 1 if one failed.
"""
import argparse
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import debian_cases
import run

TIMEOUT = 300


class Comparison:
    def __init__(self, options):
        self.o = options
        self.base = tempfile.mkdtemp(prefix='pagoda-debian-')
        self.fixture = os.path.join(self.base, 'fixture')
        os.chmod(self.base, 0o755)  # servers drop their rights
        os.mkdir(self.fixture)
        run.make_fixture(self.fixture)
        self.results = []

    def execute(self, argv, case):
        """(status, stdout, stderr) in a fresh directory of the same name, with what varies between two runs taken out."""
        work = os.path.join(self.base, 'work')
        shutil.copytree(self.fixture, work, symlinks=True)
        env = dict(run.ENV, HOME=work, LC_ALL='C.UTF-8', TERM='xterm', USER='root', LOGNAME='root')
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=work, env=env,
                             start_new_session=True)
        try:
            out, err = p.communicate(timeout=self.o.timeout)
            status = p.returncode if p.returncode >= 0 else 128 - p.returncode
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out, err = p.communicate()
            status = 'no end after %d s' % self.o.timeout
        shutil.rmtree(work, ignore_errors=True)
        return [status] + [self.same(case, x.decode('utf-8', 'replace')) for x in (out, err)]

    @staticmethod
    def same(case, text):
        for pattern, by in case.vary:
            text = re.sub(pattern, by, text, flags=re.M)
        return text

    def compare(self, case, mode, native):
        flags = ['--fast'] if mode == 'fast' else []
        under = [self.o.pagoda, 'run', '--quiet', '--memory', case.memory] + flags + ['--', 'bash', '-c', case.shell]
        ours = self.execute(under, case)
        if isinstance(native[0], int) and native[0] > 128 and native[0] == ours[0]:
            ours[2] = re.sub(r'(\A|\n)pagoda: [^\n]*\n\Z', r'\1', ours[2])
        if not case.errors:
            ours[2] = native[2] = ''
        wrong = [w for w, a, b in zip(('status', 'stdout', 'stderr'), native, ours) if a != b]
        if self.o.verbose and wrong:
            for w, a, b in zip(('status', 'stdout', 'stderr'), native, ours):
                if a != b:
                    print('  %s native: %s\n  %s pagoda: %s' % (w, str(a)[-self.o.show:], w, str(b)[-self.o.show:]))
        if 'status' in wrong:
            return '%s natively, %s here' % (native[0], ours[0])
        return 'differ: ' + ', '.join(wrong) if wrong else ''

    def run(self):
        failed = skipped = passed = 0
        modes = ('exact', 'fast') if self.o.mode == 'both' else (self.o.mode,)
        for case in debian_cases.CASES:
            if self.o.case and not any(c in case.name for c in self.o.case):
                continue
            if self.o.list:
                print(case.name)
                continue
            absent = [p for p in case.programs if shutil.which(p, path=run.ENV['PATH']) is None and not os.path.exists(p)]
            if absent:
                print('skip %s  no %s' % (case.name, absent[0]), flush=True)
                skipped += 1
                self.results.append((case, {m: 'not run' for m in modes}))
                continue
            start = time.time()
            native = self.execute(['bash', '-c', case.shell], case)
            took = [time.time() - start]
            result = {}
            for mode in modes:
                start = time.time()
                why = self.compare(case, mode, list(native))
                took.append(time.time() - start)
                result[mode] = why or 'same'
                print('%s %s: %s%s (%s)' % ('FAIL' if why else 'ok  ', mode, case.name, '  ' + why if why else '',
                                            ', '.join('%.1f s' % t for t in took)), flush=True)
                failed, passed = failed + bool(why), passed + (not why)
            if native[0] != case.status:
                print('FAIL native: %s  status %s, expected %s: %s' % (case.name, native[0], case.status, native[2][-300:]), flush=True)
                failed += 1
            self.results.append((case, result))
        shutil.rmtree(self.base, ignore_errors=True)
        if self.o.table:
            self.write_table(modes)
        if not self.o.list:
            print('%d passed, %d failed, %d skipped' % (passed, failed, skipped))
        return 1 if failed else 0

    def write_table(self, modes):
        with open(self.o.table, 'w') as f:
            f.write('| program | what it did | %s |\n|---|---|%s\n' % (' | '.join(modes), '---|' * len(modes)))
            for case, result in self.results:
                f.write('| %s | %s | %s |\n' % (case.name, case.what, ' | '.join(result[m] for m in modes)))


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    p.add_argument('--pagoda', default='build/pagoda')
    p.add_argument('--mode', choices=('exact', 'fast', 'both'), default='both')
    p.add_argument('--case', action='append', help='only cases whose name holds this text')
    p.add_argument('--list', action='store_true')
    p.add_argument('--packages', action='store_true', help='the Debian packages of all cases')
    p.add_argument('--verbose', action='store_true')
    p.add_argument('--show', type=int, default=1500, help='characters of differing output with --verbose')
    p.add_argument('--table', help='write the results as a table')
    p.add_argument('--timeout', type=int, default=TIMEOUT, help='seconds for one run')
    o = p.parse_args()
    if o.packages:
        print(' '.join(sorted({q for c in debian_cases.CASES for q in c.packages.split()})))
        return 0
    o.pagoda = os.path.abspath(o.pagoda)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return Comparison(o).run()


if __name__ == '__main__':
    sys.exit(main())
