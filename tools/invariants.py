#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The index of invariants in docs/invariants.md, from the headers of the sources.

invariants.py ROOT            rewrites the index
invariants.py ROOT --check    says whether it is current; status 1 if not

An invariant is a line " *   X1 text" in the comment that a file opens with, and the lines of it that go on.
"""
import os
import re
import sys

ITEM = re.compile(r"^ \*\s+([A-Z]\d+) (.*)$")
BEGIN, END = "<!-- index: begin -->", "<!-- index: end -->"


def invariants(path):
    """[(name, text)] of a file's header."""
    found = []
    with open(path, encoding="utf-8") as f:
        lines = f.read().split("\n")
    for line in lines[1:]:
        if line.strip().startswith("*/"):
            break
        item = ITEM.match(line)
        if item:
            found.append([item.group(1), item.group(2).strip()])
        elif found and re.match(r"^ \*\s{3,}\S", line) and found[-1] is not None:
            found[-1][1] += " " + line.strip(" *").strip()
        elif found and not found[-1]:
            continue
        elif found and found[-1] is not None:
            found.append(None)  # the list is over; a later item begins another
    return [item for item in found if item]


def index(root):
    lines = []
    for folder, names, entries in sorted(os.walk(os.path.join(root, "src"))):
        names.sort()
        for entry in sorted(entries):
            if not re.search(r"\.[ch]$", entry):
                continue
            path = os.path.join(folder, entry)
            items = invariants(path)
            if not items:
                continue
            lines += ["", "### " + os.path.relpath(path, os.path.join(root, "src")), ""]
            for name, text in items:
                text = re.sub(r"([*_<>|])", r"\\\1", text)
                lines.append("- **%s** %s" % (name, text))
    return "\n".join(lines).strip("\n")


def main():
    path = os.path.join(sys.argv[1], "docs", "invariants.md")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    new = before + BEGIN + "\n\n" + index(sys.argv[1]) + "\n\n" + END + after
    if "--check" in sys.argv:
        return 0 if new == text else 1
    if new != text:
        with open(path, "w", encoding="utf-8") as f:
            f.write(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
