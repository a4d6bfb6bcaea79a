#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/policy/real.py: major page faults of two real programs, by policy and memory, as tables for docs/policies.md.

    real.py [--pagoda build/pagoda] [--check docs/policies.md]

sqlite3 fills, joins, updates and halves a table; python3 fills and sorts a dictionary. Each runs in fast mode with a swap file, at 3/4, 1/2,
1/3 and 1/4 of the most memory that it uses. The figures are the same on every run on the same system: a program of another
version has others. --check: exit status 1 if a row is not in that file. By hand (`make policy-tables`), some minutes.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

SQL = """
create table t(a integer primary key, b integer, c text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000)
  insert into t select i, (i * 7919) % 60013, 'row number ' || i from n;
create index tb on t(b);
select count(*), sum(x.a) from t x join t y on x.b = y.a where y.b % 3 = 1;
update t set c = c || '!' where b % 10 = 3;
delete from t where a % 2 = 0;
select count(*), sum(length(c)) from t;
"""
PYTHON = """
d = {str(i * 7919 % 60013): [i] for i in range(60000)}
print(len(d), sum(d[k][0] for k in sorted(d)[::7]))
"""
PROGRAMS = (('sqlite3', ['sqlite3', ':memory:', SQL]), ('python3', ['/usr/bin/python3', '-S', '-c', PYTHON]))
SHARES = ((3, 4), (1, 2), (1, 3), (1, 4))
ENV = {'PATH': '/usr/bin:/bin', 'LC_ALL': 'C', 'PYTHONHASHSEED': '0', 'PYTHONDONTWRITEBYTECODE': '1'}


def figures(pagoda, memory, argv, *flags):
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'x')
        out = subprocess.run([pagoda, 'run', '--quiet', '--fast', '--memory', '%dK' % (memory // 1024), '--json', path, *flags, '--']
                             + argv, capture_output=True, text=True, env=ENV, cwd=d, check=False)
        with open(path) as f:
            return out.returncode, out.stdout, json.load(f)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    p.add_argument('--pagoda', default='build/pagoda')
    p.add_argument('--check')
    o = p.parse_args()
    o.pagoda = os.path.abspath(o.pagoda)
    wanted = open(o.check).read() if o.check else None
    listing = subprocess.run([o.pagoda, 'run', '--replace', 'help'], capture_output=True, text=True, check=True).stdout
    policies = [l.split()[0] for l in listing.split('\n') if l and l[0] != ' ']
    missing = 0
    for name, argv in PROGRAMS:
        status, output, full = figures(o.pagoda, 1 << 30, argv)
        peak = full['memory']['frames_used_peak'] * 4096
        memories = [peak * a // b // 65536 * 65536 for a, b in SHARES]
        print('%s: at most %.1f MiB, %d major faults with all of it\n' % (name, peak / 2 ** 20, full['faults']['major']))
        rows = ['| %s | %s |' % (name, ' | '.join('%.1f MiB' % (m / 2 ** 20) for m in memories)), '|---|' + '---|' * len(memories)]
        print('\n'.join(rows))
        for policy in policies:
            if policy == 'example':
                continue
            got = [figures(o.pagoda, m, argv, '--swap', '64M', '--replace', policy) for m in memories]
            if any(g[:2] != (status, output) for g in got):
                sys.exit('%s under %s: not the same result' % (name, policy))
            rows.append('| `%s` | %s |' % (policy, ' | '.join('{:,}'.format(g[2]['faults']['major']) for g in got)))
            print(rows[-1], flush=True)
        print()
        missing += sum(wanted is not None and row not in wanted for row in rows)
    if missing:
        print('%d rows differ from %s' % (missing, o.check))
    return 1 if missing else 0


if __name__ == '__main__':
    sys.exit(main())
