#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Demangled names beside those of c++filt (binutils): C++, both of Rust's schemes, D, and all that libstdc++ exports.

names.py PROGRAM NAMES     PROGRAM: tests/ui/names.c; NAMES: mangled names, one a line
"""
import glob
import re
import subprocess
import sys

program, listed = sys.argv[1:3]
names = [line.rstrip("\n") for line in open(listed)]
library = sorted(glob.glob("/usr/lib/*/libstdc++.so.6"))
if library:
    table = subprocess.run(["nm", "-D", "--defined-only", library[0]], capture_output=True, text=True, check=True).stdout
    names += [line.split()[-1] for line in table.splitlines()]


def filtered(words, scheme):
    """What c++filt makes of each; a version is behind the name, and not of it."""
    text = "".join(re.sub("@.*", "", w) + "\n" for w in words)
    done = subprocess.run(["c++filt", "-p", "-i", "-s", scheme], input=text, capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[: len(words)]


ours = subprocess.run([program], input="\n".join(names) + "\n", capture_output=True, text=True, check=True)
rows = [line.split("\t") for line in ours.stdout.split("\n")[: len(names)]]
wanted = {w: f for scheme, group in (
    ("dlang", [n for n in names if re.match(r"_D\d", n)]),
    ("auto", [n for n in names if not re.match(r"_D\d", n)]),
) for w, f in zip(group, filtered(group, scheme))}
print("1..4")


def tell(number, good, what, detail=""):
    print(f"{'ok' if good else 'not ok'} {number} - {what}")
    for line in detail.splitlines()[:12]:
        print("# " + line)


bad = []
changed = 0
for name, (full, _) in zip(names, rows):
    plain = re.sub("@.*", "", name)
    want = re.sub(r" \[clone ([^\]]*)\]", r"\1", wanted[name])
    changed += want != plain
    if full != (want if want != plain else "-"):
        bad.append(f"{name}: {full}, c++filt: {want}")
tell(1, not bad and len(rows) == len(names), "names_of_four_schemes_are_as_cxxfilt_has_them", "\n".join(bad))
tell(2, changed > 60, "names_that_are_compared_are_mangled_ones", str(changed))

# of template arguments nothing is left but short ones, and the brackets are in pairs
bad = []
for name, (full, brief) in zip(names, rows):
    text = re.sub(r"operator(<=>|<<=|>>=|<<|>>|<=|>=|->\*|->|<|>)", "operator", brief).replace("->", "")
    if text.count("<") != text.count(">") or len(brief) > len(full if full != "-" else name):
        bad.append(f"{name}: {brief}")
tell(3, not bad, "brief_names_are_not_longer_and_closed", "\n".join(bad))

known = {
    "_ZNKSt3mapISsiSt4lessISsESaISt4pairIKSsiEEE4findERS3_": "std::map<...>::find",
    "_ZlsRSoRK3Foo": "operator<<",
    "_ZNSt6vectorIiSaIiEE9push_backERKi@@V_1": "std::vector<...>::push_back",
    "_ZNK3FooIiLb1EEcvbEv": "Foo<int, true>::operator bool",
    "_ZSt4moveIRiEONSt16remove_referenceIT_E4typeEOS2_": "std::move<int&>",
    "main": "main",
}
found = {n: brief for n, (_, brief) in zip(names, rows)}
bad = [f"{n}: {found.get(n)}" for n, want in known.items() if found.get(n) != want]
tell(4, not bad, "brief_names_of_known_functions", "\n".join(bad))
