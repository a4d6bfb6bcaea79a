#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/programs/run.py: whole programs, natively and under Pagoda, with the same input.

    run.py --pagoda build/pagoda --guests build/tests/guest [--mode exact|fast] [--group NAME]... [--case TEXT]
           [--list] [--self] [--all] [--verbose]

A case is one command. It is run natively and under `pagoda run --quiet`, each time in a fresh copy of the same small
directory; standard output, standard error and exit status must be equal. Groups `figures` and `errors` look at
what Pagoda itself says: figures that were worked out by hand or counted natively, and bad input.
--self runs everything natively twice: the test of the cases themselves.

One line a case; at the end `N passed, N failed, N skipped`. Exit status 1 if one failed. Only the standard library is used.
"""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import system

HERE = os.path.dirname(os.path.abspath(__file__))
GUEST_SOURCE = os.path.join(os.path.dirname(HERE), 'guest')
TIMEOUT = 400  # seconds: who needs them is stuck, on a loaded machine too


class Case:
    """One command. {guest} in words becomes the folder of guest programs."""

    def __init__(self, group, name, argv, stdin='', memory='256M', flags=(), fast=True, needs=(), check=None):
        self.group, self.name, self.argv, self.stdin = group, name, argv, stdin
        self.memory, self.flags, self.fast, self.needs, self.check = memory, list(flags), fast, needs, check
        self.features = set()  # see system.py


def text_fixture(n):
    """n lines that look like something and never change."""
    x, lines = 12345, []
    for i in range(n):
        x = (x * 1103515245 + 12345) & 0x7fffffff
        lines.append('%06d %08x word%d the quick %s' % (i, x, x % 97, 'fox' if x & 4 else 'dog'))
    return '\n'.join(lines) + '\n'


SQL = """
create table t(a integer primary key, b integer, c text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000)
  insert into t select i, (i * 7919) % 100003, 'row ' || i from n;
create index tb on t(b);
select count(*), sum(b), min(c), max(c) from t;
select a, b from t where b between 500 and 520 order by b;
update t set c = c || '!' where b % 10 = 3;
delete from t where a % 3 = 0;
select count(*), sum(length(c)) from t;
select b % 7 as k, count(*), avg(a) from t group by k order by k;
"""

PYTHON = """
import json, re, decimal, ctypes, hashlib, zlib, collections, sys
d = {str(i): [i, i * 1.5, 'x' * (i % 17), None, True] for i in range(3000)}
s = json.dumps(d, sort_keys=True)
assert json.loads(s) == d
print(len(s), hashlib.sha256(s.encode()).hexdigest())
words = re.findall(r'[a-z]+\\d+', open('text').read())
print(collections.Counter(words).most_common(5))
print(re.sub(r'(\\w+) (\\w+)', r'\\2 \\1', 'hello big wide world'))
decimal.getcontext().prec = 60
print(decimal.Decimal(2).sqrt(), decimal.Decimal(1) / 7)
libc = ctypes.CDLL(None)
libc.strlen.restype = ctypes.c_size_t
print(libc.strlen(b'twelve bytes'))
cb = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
arr = (ctypes.c_int * 200)(*[(i * 7919) % 1009 for i in range(200)])
libc.qsort(arr, 200, 4, cb(lambda a, b: a[0] - b[0]))
print(list(arr)[:10], zlib.crc32(bytes(range(256)) * 100))
print(sum(i * i for i in range(200000)), 2 ** 521 % 1000003)
try:
    1 // 0
except ZeroDivisionError as e:
    print(e)
sys.exit(7)
"""

PERL = r"""
my %h; open(my $f, '<', 'text') or die; while (<$f>) { $h{$2} += $1 if /^(\d+) \w+ (\w+)/ }
print "$_ $h{$_}\n" for (sort keys %h)[0..9];
my @a = map { ($_ * 7919) % 1009 } 1..2000; print join(',', (sort { $a <=> $b } @a)[0..20]), "\n";
print sprintf('%.12f', atan2(1, 1) * 4), ' ', join('', reverse split //, 'pagoda'), "\n"; exit 3
"""

LUA = r"""
local t = {} for i = 1, 20000 do t[i] = (i * 7919) % 10007 end table.sort(t)
print(t[1], t[10000], #t, string.format('%.10f', math.pi), ('x'):rep(20))
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end print(fib(22))
print(pcall(error, 'caught')) local s = 0 for w in io.open('text'):read('a'):gmatch('%x+') do s = s + #w end print(s)
os.exit(4)
"""


def guest_cases():
    def g(name, *args, **kw):
        return Case('guest', ' '.join((name,) + args), ['{guest}/' + name] + list(args), **kw)
    out = []
    for kind in ('static', 'pie', 'dynamic'):
        out.append(g('hello-' + kind, 'a', 'b c', ''))
        out.append(g('traps-' + kind))
        out.append(g('smc-' + kind))
        out.append(g('signals-' + kind))
        out.append(g('stack_grow-' + kind))
        out.append(g('stack_grow-' + kind, 'guard'))
        out.append(g('mapfile-' + kind))
    for name in ('fenv', 'bigmem', 'brk', 'barrier'):
        out += [g(name + '-static'), g(name + '-dynamic')]
    for name in ('alias', 'bus', 'crossing', 'highmap', 'jit', 'longjmp', 'null_check', 'registers', 'residency', 'sparse', 'wild', 'wildstack'):
        out.append(g(name + '-static'))
    out.append(g('manymaps-static', memory='512M'))
    out.append(g('eater-static', '20'))
    out.append(g('stack_grow-static', 'overflow'))
    for trap in ('divide', 'overflow', 'undefined', 'breakpoint', 'halt', 'unmasked', 'misaligned', 'noncanonical'):
        out.append(g('traps-static', trap))
    for name in ('loop', 'string', 'pages', 'tlb', 'known', 'crossing', 'calls'):
        out.append(g('counts_' + name))
    out.append(g('println', needs=('same_address',)))
    return out


def tool_cases():
    def t(name, *argv, **kw):
        return Case('tools', name, list(argv), **kw)
    return [
        t('true', 'true'),
        t('false', 'false'),
        t('ls -l', 'ls', '-l', '--time-style=full-iso'),
        t('ls -laR', 'ls', '-laR', '--time-style=full-iso', 'tree'),
        t('ls missing', 'ls', 'no-such-file'),
        t('cat', 'cat', 'text', '-', 'binary', stdin='from standard input\n'),
        t('cat, much by pipe', 'cat', stdin=text_fixture(20000)),
        t('sort', 'sort', '--parallel=1', '-k2', 'text'),
        t('sort -n -r -u', 'sort', '--parallel=1', '-nru', '-k3.5', 'text'),
        t('grep', 'grep', '-n', '-E', 'word(1|2)[0-9] .*fox$', 'text'),
        t('grep none', 'grep', 'nothing like it', 'text'),
        t('grep -r', 'grep', '-rc', 'a', 'tree'),
        t('sed', 'sed', '-E', 's/word([0-9]+)/<\\1>/g; 5,10d; $!N; P; D', 'text'),
        t('awk', 'awk', '{ n[$3] += length($0); s += $1 } END { for (i = 0; i < 97; i++) print "word" i, n["word" i]; '
          'printf "%.6f %d\\n", s / 7, s }', 'text'),
        t('find', 'find', 'tree', '-type', 'f', '-size', '-100k', '-printf', '%p %s %m\\n'),
        t('wc', 'wc', 'text', 'binary'),
        t('head', 'head', '-c', '1000', 'binary'),
        t('od', 'od', '-A', 'x', '-t', 'x1z', '-N', '3000', 'binary'),
        t('sha256sum', 'sha256sum', 'text', 'binary'),
        t('md5sum', 'md5sum', 'text', 'binary'),
        t('gzip', 'gzip', '-9nc', 'text'),
        t('gunzip', 'gzip', '-dc', 'text.gz'),
        t('xz', 'xz', '-T1', '-3c', 'text'),
        t('xz -d', 'xz', '-T1', '-dc', 'text.xz'),
        t('bc', 'bc', '-lq', stdin='scale=60\n4*a(1)\ne(1)\n2^500\nfor(i=0;i<50;i++) x+=sqrt(i)\nx\nquit\n'),
        t('date', 'date', '-u', '-d', '@1234567890', '+%c %Z %s'),
        t('printf, exit status', 'sh', '-c', 'printf "%s\\n" one two; exit 42'),
        t('sh arithmetic', 'sh', '-c', 'i=0; s=0; while [ $i -lt 5000 ]; do s=$((s + i * i)); i=$((i + 1)); done; echo $s'),
        t('bash', 'bash', '-c', 'declare -A a; for i in {1..500}; do a[k$((i % 7))]+=$i; done; echo "${a[k3]: -20}"; exit 9'),
        t('#! script', './script', 'one', 'two words'),
        t('#! awk script', './awkscript', stdin='1 2\n3 4\n'),
        t('#! with an argument', './argscript', 'x'),
        t('killed by itself', 'sh', '-c', 'kill -TERM $$'),
        t('killed by SIGSEGV', 'sh', '-c', 'kill -SEGV $$'),
        t('env', 'env'),
        t('tr', 'tr', 'a-z', 'A-Z', stdin=text_fixture(300)),
        t('dd', 'dd', 'if=binary', 'bs=1000', 'skip=3', 'count=10', 'status=none'),
        t('cmp', 'cmp', 'text', 'binary'),
        t('diff', 'diff', 'text', 'text2'),
        t('stat', 'stat', '-c', '%n %s %a %F', 'text', 'tree', 'link'),
        t('readlink', 'readlink', '-f', 'link'),
        t('cp and touch', 'cp', '-v', 'text', 'copy'),
        t('tar', 'tar', '--format=ustar', '--mtime=@0', '--owner=0', '--group=0', '--sort=name', '-cf', '-', 'tree'),
        t('seq', 'seq', '-w', '1', '3', '3000'),
        t('factor', 'factor', '1234567890123', '18446744073709551557', '600851475143'),
    ] + [t('busybox ' + a[0], 'busybox', *a, **kw) for a, kw in (
        (('ls', '-l', 'tree'), {}), (('sha1sum', 'text'), {}), (('sort', 'text'), {}),
        (('awk', '{ s += $1 } END { print s }', 'text'), {}), (('sed', 's/o/0/g', 'text'), {}),
        (('gzip', '-c', 'text'), {}), (('ash', '-c', 'for i in 1 2 3; do echo $i; done; exit 5'), {}),
        (('vi', '--no-such-option'), {}), (('dc',), {'stdin': '2 100 ^ p\n'}), (('uname',), {}), (('cal', '9', '1752'), {}))]


def language_cases():
    def c(name, *argv, **kw):
        return Case('languages', name, list(argv), **kw)
    out = [
        c('python3', '/usr/bin/python3', '-c', PYTHON),
        c('python3 traceback', '/usr/bin/python3', '-c', 'def f(): raise ValueError("x")\nf()'),
        c('python3 -c pass', '/usr/bin/python3', '-S', '-c', 'pass', memory='64M'),
        c('perl', 'perl', '-e', PERL),
        c('lua5.4', 'lua5.4', '-e', LUA),
        c('sqlite3', 'sqlite3', ':memory:', stdin=SQL),
        c('sqlite3 file', 'sqlite3', 'new.db', stdin=SQL.replace('100000', '3000') + 'pragma integrity_check;\n'),
        c('openssl dgst', 'openssl', 'dgst', '-sha256', 'text', 'binary'),
        c('openssl dgst sha512', 'openssl', 'dgst', '-sha512', '-hmac', 'key', 'binary'),
        c('openssl enc', 'openssl', 'enc', '-aes-256-cbc', '-K', '00' * 32, '-iv', '11' * 16, '-in', 'text', '-base64'),
    ]
    gcc = shutil.which('gcc')
    cc1 = subprocess.run([gcc, '-print-prog-name=cc1'], capture_output=True, text=True).stdout.strip() if gcc else ''
    if os.path.isabs(cc1):
        out.append(c('cc1', cc1, '-quiet', '-imultiarch', 'x86_64-linux-gnu', '-D_GNU_SOURCE', '-O2',
                     os.path.join(GUEST_SOURCE, 'smc.c'), '-o', '-', memory='512M'))
        out.append(c('cc1 error', cc1, '-quiet', 'short', '-o', '-', memory='512M'))
    return out


CASES = guest_cases() + tool_cases() + language_cases() + system.cases(Case)
GROUPS = ['guest', 'tools', 'languages', 'threads', 'family', 'system', 'figures', 'errors']


def make_fixture(root):
    """The directory in which each case runs; the same bytes and times every time."""
    def put(name, data, mode=0o644):
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(path, mode)
    text = text_fixture(4000)
    put('text', text)
    put('short', text_fixture(60))
    put('text2', text.replace('word13 ', 'word31 '))
    put('binary', bytes((i * i * 31 + i // 7) & 255 for i in range(200000)))
    put('script', '#!/bin/sh\necho "$0 $# $1 $2"\nexit 11\n', 0o755)
    put('awkscript', '#!/usr/bin/awk -f\n{ print $2, $1 }\n', 0o755)
    put('argscript', '#!/bin/sh -e\nfalse\necho not reached\n', 0o755)
    for i in range(12):
        put('tree/d%d/f%d' % (i % 3, i), 'a file\n' * (i * 50))
    for name, args in (('text.gz', ['gzip', '-9nc']), ('text.xz', ['xz', '-T1', '-6c'])):
        with open(os.path.join(root, name), 'wb') as f:
            subprocess.run(args + [os.path.join(root, 'text')], stdout=f, check=True)
    os.symlink('text', os.path.join(root, 'link'))
    for d, _, files in os.walk(root, topdown=False):
        for f in files:
            os.utime(os.path.join(d, f), (1e9, 1e9), follow_symlinks=False)
        os.utime(d, (1e9, 1e9))


ENV = {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'LC_ALL': 'C', 'TZ': 'UTC', 'HOME': '/nonexistent',
       'PYTHONHASHSEED': '0', 'PYTHONDONTWRITEBYTECODE': '1', 'PERL_HASH_SEED': '0', 'PAGODA_TEST': 'yes it is'}


class Runner:
    def __init__(self, options):
        self.o = options
        self.base = tempfile.mkdtemp(prefix='pagoda-programs-')
        self.fixture = os.path.join(self.base, 'fixture')
        os.mkdir(self.fixture)
        make_fixture(self.fixture)
        self.passed = self.failed = self.skipped = self.not_yet = 0

    def execute(self, argv, stdin=''):
        """Runs in a fresh copy of the fixture, always under the same name. (status, stdout, stderr, files)"""
        work = os.path.join(self.base, 'work')
        shutil.copytree(self.fixture, work, symlinks=True)
        try:
            p = subprocess.run(argv, input=stdin.encode(), capture_output=True, cwd=work, env=ENV, timeout=self.o.timeout)
            files = {}
            for d, _, names in os.walk(work):
                for n in names:
                    path = os.path.join(d, n)
                    if os.path.islink(path):
                        continue
                    with open(path, 'rb') as f:
                        files[os.path.relpath(path, work)] = f.read()
            status = p.returncode if p.returncode >= 0 else 128 - p.returncode
            return status, p.stdout, p.stderr, files
        except subprocess.TimeoutExpired:
            return 'no end after %d s' % self.o.timeout, b'', b'', {}
        finally:
            shutil.rmtree(work)

    def pagoda(self, memory, *flags):
        mode = ['--fast'] if self.o.mode == 'fast' and '--tlb' not in flags else []
        return [self.o.pagoda, 'run', '--quiet', '--memory', memory] + mode + list(flags) + ['--']

    def say(self, ok, group, name, why=''):
        word = 'skip' if ok is None else 'ok  ' if ok else 'FAIL'
        print('%s %s: %s%s' % (word, group, name, '  ' + why if why else ''), flush=True)
        if ok is None:
            self.skipped += 1
        elif ok:
            self.passed += 1
        else:
            self.failed += 1

    def show(self, what, native, ours):
        if not self.o.verbose:
            return
        for who, data in (('native', native), ('pagoda', ours)):
            print('  %s, %s: %s' % (what, who, data[:1500].decode('utf-8', 'replace') if isinstance(data, bytes) else data))

    def program(self, case):
        argv = [w.replace('{guest}', self.o.guests) for w in case.argv]
        path = shutil.which(argv[0], path=ENV['PATH']) if '/' not in argv[0] else argv[0]
        if path is None or ('/' in argv[0] and argv[0][0] == '/' and not os.path.exists(path)):
            self.say(None, case.group, case.name, 'no ' + argv[0])
            return
        native = self.execute(argv, case.stdin)
        under = argv if self.o.self else self.pagoda(case.memory, *case.flags) + argv
        ours = self.execute(under, case.stdin)
        if 'same_address' in case.needs:
            self.same_address(case, native, ours, under)
            return
        err = ours[2]
        if isinstance(native[0], int) and native[0] > 128 and native[0] == ours[0]:
            # Pagoda says in one line of its own how the program ended
            err = re.sub(rb'(\A|\n)pagoda: [^\n]*\n\Z', rb'\1', err)
        if isinstance(native[0], str):  # both may have none
            self.say(False, case.group, case.name, 'natively: ' + native[0])
            return
        wrong = [w for w, a, b in (('status', native[0], ours[0]), ('stdout', native[1], ours[1]),
                                   ('stderr', native[2], err), ('files', native[3], ours[3])) if a != b]
        detail = ''
        if 'status' in wrong:
            detail = '%s natively, %s here' % (native[0], ours[0])
        elif wrong:
            detail = 'differ: ' + ', '.join(wrong)
        if wrong and ours[2] != native[2]:
            detail += ' [' + ours[2].decode('utf-8', 'replace').strip().split('\n')[-1][:150] + ']'
        self.say(not wrong, case.group, case.name, detail)
        for w, i in (('stdout', 1), ('stderr', 2)):
            if w in wrong:
                self.show(w, native[i], ours[i])

    def same_address(self, case, native, ours, under):
        """The Go program prints an address: two runs must agree, and it must look like the native one."""
        again = self.execute(under, case.stdin)
        alike = all(re.fullmatch(rb'0x[0-9a-f]+\n', r[2]) and r[0] == 0 for r in (native, ours, again))
        ok = alike and ours[2] == again[2]
        self.say(ok, case.group, case.name, '' if ok else 'status %s, %r and %r' % (ours[0], ours[2][-200:], again[2][-200:]))

    # ---- figures ----

    def figures(self, argv, *flags, memory='64M'):
        path = os.path.join(self.base, 'figures.json')
        if os.path.exists(path):
            os.unlink(path)
        status, _, err, _ = self.execute(self.pagoda(memory, '--json', path, *flags) + argv)
        try:
            with open(path) as f:
                return status, json.load(f)
        except (OSError, ValueError) as e:
            return status, {'error': '%s %s' % (e, err.decode('utf-8', 'replace')[-200:])}

    @staticmethod
    def flat(j):
        out = {}
        for part in ('execution', 'translation', 'faults', 'memory'):
            out.update(j.get(part) or {})
        return out

    def group_figures(self):
        """By hand, by an independent count, and again."""
        for name in ('loop', 'string', 'pages', 'tlb', 'known', 'crossing'):
            self.by_hand(name)
        for name in ('loop', 'string', 'pages', 'tlb', 'known', 'crossing', 'calls'):
            self.by_count(name)
        if self.o.mode == 'exact':
            self.misses('groups')
        for name, argv in (('hello-static', ['{guest}/hello-static']), ('hello-dynamic', ['{guest}/hello-dynamic', 'x']),
                           ('ls', ['ls', '-l']), ('barrier', ['{guest}/barrier-static']),
                           ('smc', ['{guest}/smc-static']), ('python3', ['/usr/bin/python3', '-S', '-c', 'print(sum(range(1000)))'])):
            self.repeats(name, [w.replace('{guest}', self.o.guests) for w in argv])

    def by_hand(self, name):
        program = os.path.join(self.o.guests, 'counts_' + name)
        with open(os.path.join(GUEST_SOURCE, 'counts_%s.S' % name)) as f:
            expects = re.findall(r'EXPECT(?:\[([^\]]*)\])? (.*)', f.read())
        for flags, pairs in expects:
            if flags and self.o.mode == 'fast':
                continue
            status, j = self.figures([program], *flags.split())
            got, wrong = self.flat(j), []
            for pair in pairs.split():
                key, want = pair.split('=')
                if got.get(key) is None and self.o.mode == 'fast' and 'error' not in j:
                    continue
                if got.get(key) != int(want):
                    wrong.append('%s %s, by hand %s' % (key, got.get(key, j.get('error')), want))
            self.say(not wrong and status == 0, 'figures', 'by hand: counts_%s %s' % (name, flags), '; '.join(wrong))

    def by_count(self, name):
        program = os.path.join(self.o.guests, 'counts_' + name)
        p = subprocess.run([os.path.join(self.o.guests, 'count_native'), program], capture_output=True, text=True,
                           timeout=self.o.timeout)
        if p.returncode != 0:
            self.say(False, 'figures', 'natively counted: counts_' + name, p.stderr.strip())
            return
        native = json.loads(p.stdout)
        _, j = self.figures([program])
        got, wrong = self.flat(j), []
        for key in ('instructions', 'loads', 'stores', 'page_crossings'):
            if got.get(key) is None and self.o.mode == 'fast':
                continue
            if got.get(key) != native[key]:
                wrong.append('%s %s, natively %d' % (key, got.get(key, j.get('error')), native[key]))
        if self.o.mode == 'exact' and not wrong:
            # a lookup that faults is made again: those are not in the native count
            fetch_again = got['fetch_lookups'] - native['fetch_lookups']
            data_again = got['faulting_lookups'] - fetch_again
            if fetch_again != native['code_pages']:
                wrong.append('fetch_lookups %d, natively %d and %d first touches' % (
                    got['fetch_lookups'], native['fetch_lookups'], native['code_pages']))
            if data_again < 0:
                wrong.append('more fetches repeated than lookups faulted')
        self.say(not wrong, 'figures', 'natively counted: counts_' + name, '; '.join(wrong))

    def misses(self, name):
        """Of small TLBs, beside a list that is searched. Each fault repeats one lookup, which misses."""
        program = os.path.join(self.o.guests, 'counts_' + name)
        tlbs = ((1, 8, 1, 4), (4, 1, 2, 2), (4, 4, 4, 2), (16, 2, 16, 1), (16, 4, 4, 8), (64, 4, 8, 8), (256, 4, 128, 8))
        argv = [os.path.join(self.o.guests, 'count_native')]
        for t in tlbs:
            argv += ['--tlb', '%dx%d,%dx%d' % t]
        p = subprocess.run(argv + [program], capture_output=True, text=True, timeout=self.o.timeout)
        if p.returncode != 0:
            self.say(False, 'figures', 'misses natively: counts_' + name, p.stderr.strip())
            return
        native = json.loads(p.stdout)
        for (sets, ways, isets, iways), data, fetch in zip(tlbs, native['data_misses'], native['fetch_misses']):
            tlb = f'd{sets * ways}x{ways},i{isets * iways}x{iways}'
            _, j = self.figures([program], '--tlb', tlb)
            got, wrong = self.flat(j), []
            fetch_again = got.get('fetch_lookups', 0) - native['fetch_lookups']
            again = got.get('faulting_lookups', 0) - fetch_again
            for key, want in (('instructions', native['instructions']), ('loads', native['loads']), ('stores', native['stores']),
                              ('page_crossings', native['page_crossings']), ('l1_data_misses', data + again),
                              ('l1_fetch_misses', fetch + fetch_again)):
                if got.get(key) != want:
                    wrong.append('%s %s, natively %d' % (key, got.get(key, j.get('error')), want))
            self.say(not wrong, 'figures', 'misses of %s: counts_%s' % (tlb, name), '; '.join(wrong))

    def repeats(self, name, argv):
        def without_time(j):
            for key in ('wall_seconds', 'user_seconds', 'system_seconds'):
                (j.get('execution') or {}).pop(key, None)
            for process in j.get('processes') or []:
                for key in [key for key in process if key.endswith('_seconds')]:
                    del process[key]
            return j
        a, b = (without_time(self.figures(argv)[1]) for _ in range(2))
        differ = [k for k in a if a[k] != b.get(k)] if 'error' not in a else [a['error']]
        detail = ''
        for k in differ:
            if isinstance(a.get(k), dict):
                detail += ' '.join('%s.%s %s/%s' % (k, x, a[k][x], b[k].get(x)) for x in a[k] if a[k][x] != b[k].get(x))
            else:
                detail += k
        self.say(not differ, 'figures', 'the same twice: ' + name, detail)

    # ---- bad input ----

    def group_errors(self):
        work = os.path.join(self.base, 'bad')
        os.makedirs(work, exist_ok=True)

        def put(name, data, mode=0o755):
            path = os.path.join(work, name)
            with open(path, 'wb') as f:
                f.write(data)
            os.chmod(path, mode)
            return path
        with open(os.path.join(self.o.guests, 'hello-static'), 'rb') as f:
            elf = f.read()
        with open(os.path.join(self.o.guests, 'hello-dynamic'), 'rb') as f:
            dynamic = f.read()

        def patched(data, at, new):
            return data[:at] + new + data[at + len(new):]
        interp = dynamic.index(b'/lib64/ld-linux')
        run = lambda path, *args: ['run', '--quiet', '--', path] + list(args)
        true = shutil.which('true')
        for name, args, *says in (
                ('not an ELF file', run(put('garbage', bytes(range(7, 256)) * 20))),
                ('an empty file', run(put('empty', b''))),
                ('header cut off', run(put('cut40', elf[:40]))),
                ('program headers cut off', run(put('cut70', elf[:70]))),
                ('segments beyond the end', run(put('cut4k', elf[:4096]))),
                ('32-bit', run(put('class32', patched(elf, 4, b'\x01')))),
                ('another machine', run(put('arm', patched(elf, 18, b'\xb7\x00')))),
                ('big endian', run(put('msb', patched(elf, 5, b'\x02')))),
                ('an object file', run(put('object', patched(elf, 16, b'\x01\x00')))),
                ('program headers far away', run(put('phoff', patched(elf, 32, b'\xff' * 8)))),
                ('65535 program headers', run(put('phnum', patched(elf, 56, b'\xff\xff')))),
                ('no interpreter', run(put('nointerp', patched(dynamic, interp, b'/lib64/ld-nowhe')))),
                ('interpreter is not ELF', run(put('badinterp', patched(dynamic, interp, b'/etc/passwd\0\0\0\0'))),
                 'badinterp: its interpreter /etc/passwd: permission denied'),
                ('a script without #!', run(put('bare', b'echo hello\n')), 'sh FILE'),
                ('no such program', run('/no/such/program')),
                ('not executable', run(put('plain', elf, 0o644))),
                ('a directory', run(work)),
                ('#! without interpreter', run(put('nosh', b'#!/no/such/shell\n')), 'nosh: its interpreter /no/such/shell: no such file'),
                ('#! of itself', run(put('loop', b'#!' + os.path.join(work, 'loop').encode() + b'\n'))),
                ('unknown option', ['run', '--no-such-option', '--', true]),
                ('unknown command', ['walk']),
                ('no program', ['run']),
                ('no command', []),
                ('memory too small', ['run', '--memory', '64K', '--', true]),
                ('memory not a size', ['run', '--memory', 'lots', '--', true]),
                ('memory not whole', ['run', '--memory', '1000001', '--', true]),
                ('memory more than the host has', ['run', '--memory', '900T', '--', true]),
                ('tlb not a geometry', ['run', '--tlb', '7x3', '--', true]),
                ('page table of no form', ['run', '--page-table', 'cubic', '--', true]),
                ('fast with a tlb', ['run', '--fast', '--tlb', '64x4', '--', true]),
                ('json nowhere', ['run', '--json', '/no/such/dir/x', '--', true])):
            mode = ['--fast'] if self.o.mode == 'fast' and args[:1] == ['run'] and '--fast' not in args else []
            status, out, err, _ = self.execute([self.o.pagoda] + args[:1] + mode + args[1:])
            lines = err.decode('utf-8', 'replace').strip('\n').split('\n')
            few = len(lines) == 1 and lines[0] or (name in ('no command',) and lines[0])
            ok = status == 2 and out == b'' and bool(few) and all(s in lines[0] for s in says)
            self.say(ok, 'errors', name, lines[0][:150] if ok else 'status %s, %d lines: %s' % (status, len(lines), lines[0][:150]))
        self.out_of_memory()
        self.not_offered()
        self.limited_files()
        self.limited_descriptors()
        self.large_reservation()

    def large_reservation(self):
        """Addresses without rights, as MariaDB reserves at its start: 8 TiB are there as on Linux; 100 are not in fast mode (docs/QUIRKS.md)."""
        line = ('import mmap\nfor tib in 2, 8, 100:\n    try: print(tib, len(mmap.mmap(-1, tib << 40, prot=0, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)) >> 40)\n'
                '    except OSError as e: print(tib, e.errno)')
        want = b'2 2\n8 8\n100 12\n' if self.o.mode == 'fast' else self.execute(['/usr/bin/python3', '-c', line])[1]
        status, out, err, _ = self.execute(self.pagoda('64M') + ['/usr/bin/python3', '-c', line])
        self.say(status == 0 and out == want and out[:8] == b'2 2\n8 8\n', 'errors', '2, 8 and 100 TiB of addresses are reserved', repr(out + err)[:150])

    def limited_files(self):
        """ulimit -f of the shell is the guest's limit: the machine's memory is no file of its. A hard one that is too small is said."""
        for kind, want in (('-S', 0), ('', 2)):
            under = ['sh', '-c', 'ulimit %s -f 16; exec "$@"' % kind, 'sh'] + self.pagoda('64M') + ['sh', '-c', 'ulimit -Sf; cat text > a; wc -c < a']
            status, out, err, _ = self.execute(under)
            text = out.decode() + err.decode('utf-8', 'replace').strip('\n')
            ok = status == want and (out.startswith(b'16\n8192\n') if want == 0 else out == b'' and '\n' not in text and 'ulimit -f' in text)
            self.say(ok, 'errors', 'ulimit %s -f' % kind, text[:150])

    def limited_descriptors(self):
        """ulimit -n is the guest's limit too. With a hard one below 1024 Pagoda makes do with fewer; one that is too small is said."""
        for limit in (1024, 300, 256, 64, 5):
            under = ['sh', '-c', 'ulimit -n %d; exec "$@"' % limit, 'sh'] + self.pagoda('64M') + ['sh', '-c', 'ulimit -n; cat text | wc -l']
            status, out, err, _ = self.execute(under)
            text = out.decode() + err.decode('utf-8', 'replace').strip('\n')
            want = self.execute(under[:4] + under[-3:])[:2]
            ok = (status, out) == want if limit >= 256 else status == 2 and out == b'' and '\n' not in text and 'ulimit -' in text
            self.say(ok, 'errors', 'ulimit -n %d' % limit, text[:150])

    def not_offered(self):
        """What CPUID does not offer is SIGILL, with its bytes, even where the host has it."""
        status, out, err, _ = self.execute(self.pagoda('64M') + [self.o.guests + '/transaction-static'])
        line = err.decode('utf-8', 'replace').strip('\n')
        ok = status == 132 and out == b'' and 'SIGILL' in line and 'c7 f8' in line
        self.say(ok, 'errors', 'an instruction that CPUID does not offer', line[:150])

    def out_of_memory(self):
        for memory, mib in (('8M', '64'), ('32M', '40'), ('64M', '200')):
            status, out, err, _ = self.execute(self.pagoda(memory, '--overcommit', 'always') + [self.o.guests + '/eater-static', mib])
            lines = err.decode('utf-8', 'replace').strip('\n').split('\n')
            ok = status == 137 and out == b'' and len(lines) == 1 and 'memory' in lines[0]
            self.say(ok, 'errors', 'out of memory: %s MiB on %s' % (mib, memory),
                     lines[0][:150] if ok else 'status %s: %s' % (status, lines[:3]))

    # ---- all ----

    def run(self):
        groups = self.o.group or GROUPS
        for case in CASES:
            if case.group not in groups or (self.o.case and self.o.case not in case.name):
                continue
            if self.o.list:
                print('%s: %s' % (case.group, case.name))
                continue
            if case.features & system.NOT_YET and not self.o.self and not self.o.all:
                self.not_yet += 1
                continue
            self.program(case)
        if not self.o.list and not self.o.self and not self.o.case:
            if 'figures' in groups:
                self.group_figures()
            if 'errors' in groups:
                self.group_errors()
        shutil.rmtree(self.base)
        if self.not_yet:
            print('%d not yet: see NOT_YET in tests/programs/system.py' % self.not_yet)
        print('%d passed, %d failed, %d skipped' % (self.passed, self.failed, self.skipped))
        return 1 if self.failed else 0


def arguments(doc):
    """A parser of the options that the programs here share; the second line of doc says what it is."""
    p = argparse.ArgumentParser(description=doc.split('\n')[1])
    p.add_argument('--pagoda', default='build/pagoda')
    p.add_argument('--guests', default='build/tests/guest')
    p.add_argument('--mode', choices=('exact', 'fast'), default='exact')
    return p


def parsed(p):
    """The options of p's; paths are absolute, for cases run in folders of their own."""
    o = p.parse_args()
    o.pagoda, o.guests = os.path.abspath(o.pagoda), os.path.abspath(o.guests)
    return o


def main():
    p = arguments(__doc__)
    p.add_argument('--group', action='append', choices=GROUPS + ['servers'])
    p.add_argument('--case', help='only cases whose name holds this text')
    p.add_argument('--list', action='store_true')
    p.add_argument('--self', action='store_true', help='natively twice: tests the cases')
    p.add_argument('--all', action='store_true', help='also cases that are not expected to run yet')
    p.add_argument('--verbose', action='store_true')
    p.add_argument('--timeout', type=int, default=TIMEOUT, help='seconds for one run')
    o = parsed(p)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    return Runner(o).run()


if __name__ == '__main__':
    sys.exit(main())
