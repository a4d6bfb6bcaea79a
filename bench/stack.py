#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What an allocation costs on the stack and on the heap, counted by Pagoda: stack.py BUILD [--write docs/heap.md].

The loads of bench/heap/loads.c run on Pagoda's machine, each twice, the second time with twice the work: the difference is what the work
itself costs, without the program's start. With one thread the figures are the same on every run and every host with the same libraries; with
more, the turns of threads differ a little from run to run. Nothing here is a time."""
import argparse
import json
import os
import subprocess
import sys
import tempfile

FAMILIES = ["sharded", "first-fit", "next-fit", "best-fit", "worst-fit"]
BEGIN, END = "<!-- figures of the machine: begin -->\n", "<!-- figures of the machine: end -->"


def figures(pagoda, bench, library, family, load, threads, scale):
    """(operations, figures) of one run."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        env = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "PAGODA_MALLOC")}
        words = [pagoda, "run", "--quiet", "--json", report.name, "--memory", "512M", "--"]
        if family:
            env.update(LD_PRELOAD="", PAGODA_MALLOC=family)
            words += ["env", "LD_PRELOAD=" + library]
        done = subprocess.run([*words, bench, load, str(threads), str(scale)], env=env, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise RuntimeError("%s %s: %s" % (family, load, done.stderr))
        with open(report.name, encoding="utf-8") as f:
            r = json.load(f)
    e = r["execution"]
    return int(done.stdout.split()[0]), {"instructions": e["instructions"], "accesses": e["loads"] + e["stores"],
                                         "faults": r["faults"]["all"], "misses": r["translation"]["l2_misses"]}


def cost(o, family, load, threads, scale):
    """Of one operation: the difference of two runs."""
    few, less = figures(o.pagoda, o.bench, o.library, family, load, threads, scale)
    many, more = figures(o.pagoda, o.bench, o.library, family, load, threads, 2 * scale)
    return {k: (more[k] - less[k]) / (many - few) for k in more}


def row(cells):
    return "| " + " | ".join(cells) + " |"


def tables(o):
    text = ["Instructions of the program for a malloc or a free of 64 bytes (`small`), and in brackets its loads and stores. The last row is "
            "`alloca` in a function called for it: half of each call.", "",
            row(["", "1 thread", "2 threads", "4 threads"]), "|" + "---|" * 4]
    for family in [None] + FAMILIES + ["stack"]:
        cells = []
        for threads in (1, 2, 4):
            c = cost(o, None if family == "stack" else family, "stack" if family == "stack" else "small", threads, o.scale)
            cells.append("%.1f (%.1f)" % (c["instructions"], c["accesses"]))
        text.append(row([family or "glibc", *cells]))
        print(text[-1], file=sys.stderr, flush=True)
    text += ["", "The first touch of each page of 32 MiB, on the heap (`newheap`) and on a thread's stack (`newstack`), for each page:", "",
             row(["", "page faults", "instructions", "misses of the second-level TLB"]), "|" + "---|" * 4]
    for name, family, load in (("heap, glibc", None, "newheap"), ("heap, sharded", "sharded", "newheap"),
                               ("heap, best-fit", "best-fit", "newheap"), ("stack", None, "newstack")):
        c = cost(o, family, load, 1, .1)
        text.append(row([name, "%.3f" % c["faults"], "%.1f" % c["instructions"], "%.3f" % c["misses"]]))
    return text


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("build")
    p.add_argument("--scale", type=float, default=.004)
    p.add_argument("--write", help="a document with marks for these figures")
    o = p.parse_args()
    build = os.path.abspath(o.build)
    o.pagoda, o.bench = os.path.join(build, "pagoda"), os.path.join(build, "bench/heap/bench_heap")
    o.library = os.path.join(build, "src/heap/libpagoda-malloc.so")
    text = "\n".join(tables(o)) + "\n"
    print(text)
    if o.write:
        with open(o.write, encoding="utf-8") as f:
            old = f.read()
        with open(o.write, "w", encoding="utf-8") as f:
            f.write(old[:old.index(BEGIN) + len(BEGIN)] + "\n" + text + "\n" + old[old.index(END):])


main()
