#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the examples of the documents and compares what they print with what is written there.

examples.py SOURCE_ROOT PAGODA [--update] [FILE.md...]

An example is a fenced block that begins with ```console check. Its lines that begin with "$ " are run by bash, one
after another, in a scratch folder where docs/ is the tree's and `pagoda` is PAGODA; what is below each is
what it prints, standard error included. Compared is loosely: any number stands for any other, any amount of
space for any other, a size's unit for any other, the name of a function in a table for any other, and a line
"..." for any lines. --update writes what
was printed into the documents instead.

Prints TAP: one case for each block.
"""
import os
import re
import subprocess
import sys
import tempfile

FENCE = re.compile(r"^```console check\n(.*?)^```$", re.M | re.S)
NUMBER = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|(?<![a-zA-Z_])\d[\d,]*(\.\d+)?")
UNIT = re.compile(r"# ([KMG]iB|bytes)")


# Whether the host has debug information of its libraries decides how their functions are shown.
WHO = [(re.compile(r"^((?:# )+% # #) .*"), r"\1 function"), (re.compile(r"^((?:# ){8}).*"), r"\1 mapping"),
       (re.compile(r"<- .*"), "<- function")]


def loose(line):
    line = UNIT.sub("# unit", NUMBER.sub("#", line))
    line = " ".join(line.replace("<#", "#").split())
    for pattern, instead in WHO:
        line = pattern.sub(instead, line)
    return line


def matches(expected, got):
    """Lines against lines, with "..." for any number of them."""
    if not expected:
        return not got
    if expected[0].strip() == "...":
        return any(matches(expected[1:], got[i:]) for i in range(len(got) + 1))
    return bool(got) and loose(expected[0]) == loose(got[0]) and matches(expected[1:], got[1:])


def commands(block):
    """[(command, [lines expected])]; a command goes on behind a backslash."""
    found = []
    for line in block.split("\n")[:-1]:
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1] = (found[-1][0] + "\n" + line, [])
        elif found:
            found[-1][1].append(line)
    return found


def run(command, folder, environment):
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, timeout=400,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.stdout.decode("utf-8", "replace").replace(folder, "/tmp/tour")
    lines = text.rstrip("\n").split("\n")
    return [line.rstrip() for line in lines] if lines != [""] else []


def blocks_of(path, root, pagoda, update):
    """Yields (name, [complaints]) for each block of a document; rewrites it with update."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    results = []
    with tempfile.TemporaryDirectory(prefix="pagoda-doc-") as folder:
        os.symlink(os.path.join(root, "docs"), os.path.join(folder, "docs"))
        bin_folder = os.path.join(folder, "bin")
        os.mkdir(bin_folder)
        os.symlink(pagoda, os.path.join(bin_folder, "pagoda"))
        environment = {"PATH": bin_folder + ":/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8",
                       "HOME": folder, "TZ": "UTC"}

        def one(found):
            name = "%s:%d" % (os.path.relpath(path, root), text[:found.start()].count("\n") + 1)
            wrong, out = [], []
            for command, expected in commands(found.group(1)):
                got = run(command, folder, environment)
                fine = matches(expected, got)  # what is right stays as it is written
                out += ["$ " + command] + (expected if fine else got)
                if not fine:
                    wrong += ["$ " + command] + ["- " + line for line in expected] + \
                        ["+ " + line for line in got]
            results.append((name, wrong))
            return "```console check\n" + "".join(line + "\n" for line in out) + "```"

        new = FENCE.sub(one, text)
    if update and new != text:
        with open(path, "w", encoding="utf-8") as f:
            f.write(new)
    return results


def self_check():
    """The comparison is loose, but not deaf."""
    return (matches(["a 12 KiB", "...", "z"], ["a   1,300 MiB", "b", "c", "z"])
            and not matches(["a 12"], ["b 12"]) and not matches(["a"], ["a", "b"])
            and not matches(["a", "b"], ["a"]) and matches(["-> 0x12 <0.1 %"], ["-> 0x7ff 1.5 %"]))


def main():
    words = [w for w in sys.argv[1:] if not w.startswith("--")]
    update = "--update" in sys.argv
    root, pagoda = os.path.abspath(words[0]), os.path.abspath(words[1])
    documents = [os.path.abspath(w) for w in words[2:]]
    if not documents:
        documents = [os.path.join(root, "README.md")]
        documents += sorted(os.path.join(root, "docs", name) for name in
                            os.listdir(os.path.join(root, "docs")) if name.endswith(".md"))
    results = [("the_comparison_notices_a_difference", [] if self_check() else ["it does not"])]
    for path in documents:
        results += blocks_of(path, root, pagoda, update)
    if len(results) < 2:
        results.append(("documents_have_examples", ["none was found"]))
    print("1..%d" % len(results))
    for number, (name, wrong) in enumerate(results, 1):
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, name))
        for line in wrong[:60]:
            print("#   " + line)
    return 1 if any(wrong for _, wrong in results) else 0


if __name__ == "__main__":
    sys.exit(main())
