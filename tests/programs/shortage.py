#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/programs/shortage.py: machines that are short of memory, of swap, or of luck with their store.

    shortage.py --pagoda build/pagoda --guests build/tests/guest [--mode exact|fast]

guest `owners` has several processes that check every byte that they own (tests/guest/owners.c). Here its pages go to stores that
fail at the n-th page, at each m-th, in reading or writing; that are full; that are slow; to a swap file on a full disk. Whoever
owns a lost page is told, nobody else, and all other bytes are right. Then what guests are told of swap, processes that
thrash: all get on; and that exact and fast mode page alike. R11, R12.

One line a case; at the end `N passed, N failed, N skipped`.
"""
import json
import os
import subprocess
import sys
import tempfile

import run

MEMORY = '1536K'
ONCE = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377)
OFTEN = ((1, 3), (2, 7), (5, 31), (9, 97))


class Shortage:
    def __init__(self, o):
        self.o, self.passed, self.failed, self.skipped = o, 0, 0, 0
        self.base = tempfile.mkdtemp(prefix='pagoda-shortage-')
        self.told = 0

    def say(self, fine, name, text=''):
        word = 'skip' if fine is None else 'ok' if fine else 'FAIL'
        self.passed += fine is True
        self.failed += fine is False
        self.skipped += fine is None
        print('%s %s%s' % (word, name, ': ' + text if text else ''), flush=True)

    def pagoda(self, swap, argv, memory=MEMORY, prefix=()):
        """status, output, figures"""
        path = os.path.join(self.base, 'figures.json')
        run = subprocess.run(list(prefix) + [self.o.pagoda, 'run', '--quiet', '--memory', memory, '--swap', swap, '--json', path]
                             + ['--fast'] * (self.o.mode == 'fast') + ['--'] + argv, capture_output=True, text=True, timeout=600)
        with open(path) as f:
            return run.returncode, run.stdout + run.stderr, json.load(f)

    def owners(self, *args):
        return [os.path.join(self.o.guests, 'owners-static')] + [str(a) for a in args]

    def store_case(self, rule, store='64M', most=None):
        """A run on a store that fails by a rule. most: pages that may be lost; None: as many as there were errors."""
        status, out, r = self.pagoda('fault:%s:%s' % (rule, store), self.owners(3, 200, 4))
        errors = r['swap']['read_errors']
        name = 'store %s of %s' % (rule, store)
        if status == 128 + 7 and errors:
            self.told += 1
            return self.say(True, name, 'the first process was told')
        if status != 0 or not out.startswith('told '):
            return self.say(False, name, 'status %d %s' % (status, out[-200:]))
        told = int(out.split()[1])
        self.told += told
        if told > errors or (most is not None and told > most):
            return self.say(False, name, '%d pages lost, %d errors' % (told, errors))
        if int(out.split()[3]) and not r['swap']['full']:
            return self.say(False, name, 'processes were killed: ' + out)
        return self.say(True, name, '%s, %d errors' % (out.strip(), errors))

    def stores(self):
        for n in ONCE:
            self.store_case('eio-in@%d' % n, most=1)
            self.store_case('corrupt-in@%d' % n, 'lz4:8M', most=1)
            self.store_case('corrupt-out@%d' % n, most=4)  # a page that came by fork has four owners
            self.store_case('eio-out@%d' % n, 'zstd:8M', most=0)
            self.store_case('short@%d' % n, most=1)
        for first, each in OFTEN:
            self.store_case('eio@%d/%d' % (first, each))
            self.store_case('corrupt@%d/%d' % (first, each), 'lz4:1M,64M')
            self.store_case('full@%d/%d' % (first, each), most=0)
        self.store_case('full@40+', most=0)
        if not self.told:
            self.say(False, 'no page was lost: this tested nothing')

    def full_and_slow(self):
        # three of 300 pages may have come one after the other and have fitted; one of 480 never does
        for pages, killed in ((300, False), (480, True)):
            status, out, r = self.pagoda('512K', self.owners(3, pages, 4))
            self.say(status == 0 and out.startswith('told 0 ') and (not killed or r['swap']['full'] > 0 and ' killed 0' not in out),
                     'swap full, %d pages' % pages, out.strip())
        status, out, r = self.pagoda('fault:slow=2-in@1/9:64M', self.owners(3, 200, 3))
        slow = r['swap']['in'] // 9 * 0.002
        self.say(status == 0 and out == 'told 0 killed 0\n' and r['reclaim']['stalled_some_seconds'] > 0 and
                 sum(p['stalled_seconds'] for p in r['processes']) >= slow / 2, 'slow store',
                 '%s, stalled %.3f s' % (out.strip(), r['reclaim']['stalled_some_seconds']))

    def futexes(self):
        """What the kernel does with a futex's word is one step, though between reading and writing it there may be a wait for memory."""
        status, out, _ = self.pagoda('fault:slow=1-out:64M', [os.path.join(self.o.guests, 'futexes-static'), 'one_step'], memory='2M')
        self.say(status == 0 and 'wrong: 0; two owners: 0' in out, 'words of futexes change in one step', out.strip().replace('\n', ' '))

    def victims(self):
        """Who is killed for want of memory is the one that takes it, and is told of; the calls of others wait for its end and do not fail."""
        for swap in ('1M', '512K'):
            status, out, _ = self.pagoda(swap, [os.path.join(self.o.guests, 'victims-static'), '24'], memory='2M')
            said, *told = out.splitlines()
            fine = status == 0 and said == '24 of 24 killed, 0 calls failed' and len(told) == 24
            self.say(fine and all('(victims-static) was killed: out of memory' in l for l in told), 'calls of others, swap %s' % swap,
                     '%s, %d told of' % (said, len(told)))

    def disk_full(self):
        """A swap file of 64 MiB on a file system of 1 MiB: page-out meets ENOSPC."""
        mount = os.path.join(self.base, 'disk')
        os.mkdir(mount)
        script = 'mount -t tmpfs -o size=%s none "$1" || exit 99; shift; exec "$@"'
        for size, pages, name in (('3m', 180, 'disk full'), ('1m', 300, 'disk full, memory full'), ('1m', 700, 'disk full, one is too large')):
            prefix = ('unshare', '-rm', 'sh', '-c', script % size, 'sh', mount)
            if subprocess.run(prefix + ('true',), capture_output=True).returncode != 0:
                self.say(None, name, 'no right to mount')
                continue
            status, out, r = self.pagoda('file:%s/swap:64M' % mount, self.owners(3, pages, 4), prefix=prefix)
            fine = status == 0 and out.startswith('told 0 killed') and r['swap']['read_errors'] == 0
            if name == 'disk full':
                fine = fine and out.endswith('killed 0\n')
            elif pages == 700:
                fine = fine and r['swap']['out'] > 0 and not out.endswith('killed 0\n')
            self.say(fine, name, '%s, status %d, %d out' % (out.strip(), status, r['swap']['out']))

    def figures(self):
        """What guests are told of swap and what the summary says are the same thing."""
        text = ('x = bytearray(12 << 20)\n'
                'for i in range(0, len(x), 4096): x[i] = 1\n'
                's = {l.split(":")[0]: int(l.split()[1]) for l in open("/proc/meminfo")}\n'
                'v = {l.split()[0]: int(l.split()[1]) for l in open("/proc/vmstat")}\n'
                'w = open("/proc/swaps").read().split("\\n")[1].split()\n'
                'p = open("/proc/pressure/memory").read()\n'
                'st = {l.split(":")[0]: l.split()[1] for l in open("/proc/self/status") if l[:2] == "Vm"}\n'
                'sm = sum(int(l.split()[1]) for l in open("/proc/self/smaps") if l.startswith("Swap:"))\n'
                'print(s["SwapTotal"], s["SwapFree"], int(w[2]), int(w[3]), v["pswpout"], v["pswpin"], st["VmSwap"], sm,'
                ' p.count("avg10="), s["SwapCached"] <= s["AnonPages"])')
        status, out, r = self.pagoda('32M', ['/usr/bin/python3', '-c', text], memory='10M')
        fine = False
        if status == 0:
            total, free, size, used, outs, ins, vm, maps, lines, cached = out.split()
            fine = (total == size == '32768' and 0 < int(used) <= 32768 and abs(32768 - int(free) - int(used)) < 256 and
                    0 < int(outs) <= r['swap']['out'] and 0 < int(ins) <= r['swap']['in'] and lines == '2' and
                    4000 < int(vm) and abs(int(vm) - int(maps)) < 256 and cached == 'True')
        self.say(fine, 'swap figures', out.strip())
        costs = ('scanned', 'reclaimed', 'swap_in', 'refaults', 'swap_read_ahead_used', 'stalled_seconds')
        p, functions = r['processes'][0], r['functions']
        of_function = {'swap_in': 'pages_swapped_in'}
        fine = all(p[c] > 0 for c in costs) and all(abs(sum(f[of_function.get(c, c)] for f in functions) - p[c]) < 1e-3
                                                    for c in costs if c != 'swap_read_ahead_used')
        ahead = [(r['swap'], 'read_ahead'), (r['reclaim'], 'file_read_ahead'), (p, 'swap_read_ahead'), (p, 'file_read_ahead')]
        fine = fine and r['reclaim']['file_read_ahead_wasted'] > 0 and all(f[n + '_used'] + f[n + '_wasted'] <= f[n] for f, n in ahead)
        self.say(fine, 'costs by process and by function', ', '.join('%s %s' % (c, p[c]) for c in costs))

    def pausing(self):
        """Two processes, each of which wants two thirds of memory, hand a token to and fro: both get on."""
        text = ('import os\n'
                'a, b = os.pipe(), os.pipe()\n'
                'pid = os.fork()\n'
                'r, w = (a[0], b[1]) if pid == 0 else (b[0], a[1])\n'
                'x = bytearray(11 << 20)\n'
                'if pid: os.write(w, b".")\n'
                'for k in range(6):\n'
                '    if k > 2: os.read(r, 1)\n'
                '    for i in range(0, len(x), 4096): x[i] += 1\n'
                '    if k > 2: os.write(w, b".")\n'
                'assert all(v == 6 for v in x[::4096])\n'
                'if pid: assert os.waitpid(pid, 0)[1] == 0; print("both")')
        status, out, r = self.pagoda('64M', ['/usr/bin/python3', '-c', text], memory='18M')
        self.say(status == 0 and out.strip() == 'both' and r['reclaim']['thrashing'] > 0 and
                 sum(p['pauses'] for p in r['processes']) > 0, 'processes that thrash pause',
                 '%s %s' % (out.strip(), [(p['pauses'], round(p['paused_seconds'], 1)) for p in r['processes']]))

    def modes(self):
        """What faults, what goes and what comes back is the same in exact and in fast mode; here a program that does nothing by its addresses."""
        sql = ('create table t(a integer primary key, b integer, c text); with recursive n(i) as (select 1 union all select i + 1 '
               "from n where i < 20000) insert into t select i, (i * 7919) % 100003, 'row ' || i from n; create index tb on t(b); "
               'select count(*), sum(b), max(c) from t; delete from t where a % 3 = 0; select sum(length(c)) from t;')
        kept, found = self.o.mode, []
        for mode in ('exact', 'fast'):
            self.o.mode = mode
            status, out, r = self.pagoda('16M', ['sqlite3', ':memory:', sql], memory='1280K')
            found.append([status, out, r['faults'], r['swap'], {k: v for k, v in r['reclaim'].items() if 'seconds' not in k}])
        self.o.mode = kept
        differ = [k for a, b in zip(found[0][2:], found[1][2:]) for k in a if a[k] != b[k]]
        self.say(found[0][0] == 0 and found[0][3]['in'] > 500 and found[0] == found[1], 'both modes fault alike',
                 '%d pages in, %s' % (found[0][3]['in'], 'differ: ' + ', '.join(differ) if differ else 'all figures the same'))

    def run(self):
        self.stores()
        self.full_and_slow()
        self.futexes()
        self.victims()
        self.disk_full()
        self.figures()
        self.pausing()
        if self.o.mode == 'exact':
            self.modes()
        print('%d passed, %d failed, %d skipped' % (self.passed, self.failed, self.skipped))
        return 1 if self.failed else 0


def main():
    o = run.parsed(run.arguments(__doc__))
    return Shortage(o).run()


if __name__ == '__main__':
    sys.exit(main())
