#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
tests/loader/compare.py: what Linux says natively and what it says under Pagoda.

    compare.py PAGODA syscalls PROGRAM [PAGODA-OPTION]...
    compare.py PAGODA layout PROGRAM [PAGODA-OPTION]...

syscalls: the whole output must be equal. layout (R14): PROGRAM is where.c; natively it is run by `setarch -R`. Equal must be
every address it prints and every line of maps, but for what cannot be:
  - Linux's [vvar], [vvar_vclock], [vdso] and [vsyscall]: Pagoda has one region [no vdso] of their size in their place;
  - in dynamic programs the anonymous mappings that ld.so and libc make themselves: with a vDSO ld.so allocates its
    link map earlier. Mappings of files, [heap] and [stack] must agree still.
"""
import re
import subprocess
import sys


def run(words):
    r = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=400,
                       env={'PATH': '/usr/bin:/bin', 'A': 'b'})
    return r.returncode, r.stdout.decode(errors='replace').splitlines()


def vdso_bytes(lines):
    total = 0
    for line in lines:
        m = re.match(r'([0-9a-f]+)-([0-9a-f]+) .*\[(vvar|vvar_vclock|vdso|no vdso)\]$', line)
        if m:
            total += int(m.group(2), 16) - int(m.group(1), 16)
    return total


def keep(lines, dynamic):
    out = []
    for line in lines:
        if re.search(r'\[(vvar|vvar_vclock|vdso|vsyscall|no vdso)\]$', line):
            continue
        if dynamic and (re.match(r'[0-9a-f]+-[0-9a-f]+ .* 00:00 0 $', line) or line.startswith('mapped ')):
            continue
        out.append(line)
    return out


def main():
    pagoda, kind, program, options = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    guest = [pagoda, 'run', '--quiet'] + options + ['--', program, 'one', 'two']
    if kind == 'layout':
        probe = subprocess.run(['setarch', '-R', 'true'], stderr=subprocess.DEVNULL)
        if probe.returncode != 0:
            print('setarch -R is not allowed here')
            return 77
        native = run(['setarch', '-R', program, 'one', 'two'])
        ours = run(guest)
        if vdso_bytes(native[1]) != vdso_bytes(ours[1]):
            print('the place of the vDSO has another size')
            return 1
        dynamic = any('ld-linux' in line for line in native[1])
        native = native[0], keep(native[1], dynamic)
        ours = ours[0], keep(ours[1], dynamic)
    else:
        native = run([program])
        ours = run(guest[:-2])
    if len(native[1]) < 10:
        print('the program itself said too little')
        return 1
    if native == ours:
        return 0
    print('status %d natively, %d here' % (native[0], ours[0]))
    for a, b in zip(native[1] + [''] * len(ours[1]), ours[1] + [''] * len(native[1])):
        if a != b:
            print('natively: %s\nhere:     %s' % (a, b))
    return 1


sys.exit(main())
