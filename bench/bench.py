#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`make bench`: what it costs to run programs on Pagoda, as ratios to native, measured in one run.

bench.py BUILD [--runs N] [--only NAME[,NAME]] [--no-cachegrind] [--markdown] [--write FILE.md]

Each workload runs natively, on Pagoda (exact, fast), and under qemu-x86_64, valgrind --tool=none and
--tool=cachegrind where those are installed. Runs are interleaved, so that a slow minute of the host hits all alike;
the median of processor time (user and system) is taken. What each run prints must be what the native run prints, or its cell says "wrong".
"""
import argparse
import hashlib
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

SQL = """\
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price INTEGER, shelf INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
  INSERT INTO item SELECT i, 'item ' || (i * 7919 % 200003), i * 31 % 1000, i % 97 FROM n;
CREATE INDEX by_name ON item(name);
SELECT shelf, count(*), sum(price) FROM item GROUP BY shelf ORDER BY 3 DESC LIMIT 5;
SELECT count(*) FROM item a JOIN item b ON b.id = a.price + 1 WHERE a.shelf < 40;
UPDATE item SET price = price + 1 WHERE shelf % 3 = 0;
SELECT name, price FROM item WHERE name LIKE 'item 99%' ORDER BY name LIMIT 5;
SELECT avg(price), max(name) FROM item;
"""

PYTHON = """\
import json, re, collections
words = [str(i * 7919 % 10007) for i in range(200000)]
count = collections.Counter(words)
tree = {}
for w in words:
    node = tree
    for c in w:
        node = node.setdefault(c, {})
text = json.dumps(tree)
again = json.loads(text)
hits = len(re.findall(r'[13579]+', ' '.join(words)))
class Point:
    def __init__(self, x, y): self.x, self.y = x, y
    def __add__(self, o): return Point(self.x + o.x, self.y + o.y)
p = Point(0, 0)
for i in range(600000): p = p + Point(i, -i)
print(len(text), again == tree, hits, p.x, p.y, sum(sorted(count.values())[-10:]))
"""


def make_text(path, size, seed):
    """Text that compresses about as text does: words drawn by falling frequency."""
    draw = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(draw.choices(letters, range(26, 0, -1), k=draw.randint(2, 9)))
             for _ in range(4000)]
    weights = [1.0 / (i + 1) for i in range(len(words))]
    with open(path, "w", encoding="ascii") as f:
        while f.tell() < size:
            f.write(" ".join(draw.choices(words, weights, k=14)) + "\n")


def build(source, out, *flags):
    subprocess.run(["cc", "-O2", *flags, "-o", out, source], check=True)


def workloads(folder):
    """name -> (command, file for standard input or None, output file to compare or None)"""
    found = {}
    compute = os.path.join(folder, "compute")
    build(os.path.join(HERE, "compute.c"), compute)
    found["compute"] = ([compute, "2000"], None, None)

    if shutil.which("sqlite3"):
        sql = os.path.join(folder, "bench.sql")
        with open(sql, "w", encoding="ascii") as f:
            f.write(SQL)
        found["sqlite3"] = ([shutil.which("sqlite3"), "-batch", ":memory:"], sql, None)

    script = os.path.join(folder, "bench_script.py")
    with open(script, "w", encoding="ascii") as f:
        f.write(PYTHON)
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else shutil.which("python3")
    found["python3"] = ([python, script], None, None)

    text = os.path.join(folder, "text")
    make_text(text, 4 << 20, 1)
    if shutil.which("gzip"):
        found["gzip -9"] = (["gzip", "-9", "-c", "-n"], text, None)
        found["gzip -9"][0][0] = shutil.which("gzip")

    cc1 = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True,
                         text=True).stdout.strip() if shutil.which("gcc") else ""
    if os.path.isabs(cc1):
        source = os.path.join(folder, "unit.i")
        subprocess.run(["gcc", "-E", "-O2", "-Ulinux", "-I", os.path.join(HERE, "..", "src"),
                    "-I", os.path.join(HERE, "..", "include"), "-o", source,
                        os.path.join(HERE, "unit.c")], check=True)
        out = os.path.join(folder, "unit.s")
        found["cc1 -O2"] = ([cc1, "-quiet", "-O2", "-fpreprocessed", source, "-o", out], None, out)

    found["start of true"] = (["/bin/true"], None, None)
    return found


def tools(pagoda, cachegrind):
    """name -> words before the command"""
    found = {"native": [],
             "pagoda": [pagoda, "run", "--quiet", "--memory", "512M", "--"],
             "pagoda --fast": [pagoda, "run", "--quiet", "--memory", "512M", "--fast", "--"]}
    if shutil.which("qemu-x86_64"):
        found["qemu-x86_64"] = ["qemu-x86_64"]
    if shutil.which("valgrind"):
        found["valgrind none"] = ["valgrind", "-q", "--tool=none"]
        if cachegrind:
            found["cachegrind"] = ["valgrind", "-q", "--tool=cachegrind",
                                   "--cachegrind-out-file=/dev/null", "--log-file=/dev/null"]
    return found


def processor_seconds():
    """Of all children so far, user and system: what others do on the machine counts less than in time by the clock."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def once(words, work):
    """(seconds, what came out) of one run; what is None if it failed."""
    command, source, product = work
    if product and os.path.exists(product):
        os.unlink(product)
    with open(source or os.devnull, "rb") as stdin:
        before = processor_seconds()
        done = subprocess.run(words + command, stdin=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        seconds = processor_seconds() - before
    out = hashlib.sha256(done.stdout)
    if product:
        if not os.path.exists(product):
            return seconds, None
        with open(product, "rb") as f:
            out.update(f.read())
    if done.returncode != 0:
        return seconds, None
    return seconds, out.hexdigest()


def measure(found, with_tools, runs, say):
    """{workload: {tool: (median seconds, right)}}"""
    results = {}
    for name, work in found.items():
        times = {tool: [] for tool in with_tools}
        right = {tool: True for tool in with_tools}
        truth = None
        rounds = runs * 3 if name.startswith("start") else runs
        for turn in range(rounds):
            for tool, words in with_tools.items():
                if tool == "cachegrind" and turn > 0:
                    continue  # slow, and far from the others
                say("%s: %s, run %d of %d" % (name, tool, turn + 1, rounds))
                seconds, out = once(words, work)
                if truth is None:
                    truth = out
                    if out is None:
                        sys.exit("bench: %s fails natively" % name)
                right[tool] = right[tool] and out == truth
                times[tool].append(seconds)
        results[name] = {tool: (statistics.median(times[tool]), right[tool]) for tool in with_tools}
    return results


def table(head, rows, markdown):
    cells = [head] + rows
    wide = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = []
    for number, row in enumerate(cells):
        line = [row[0].ljust(wide[0])] + [c.rjust(w) for c, w in zip(row[1:], wide[1:])]
        lines.append("| " + " | ".join(line) + " |" if markdown else "  ".join(line).rstrip())
        if markdown and number == 0:
            lines.append("|" + "|".join("-" * (w + 1) + (":" if i else "-")
                                        for i, w in enumerate(wide)) + "|")
    show("\n".join(lines) + "\n")


PRINTED = []


def show(text):
    """Prints, and keeps for --write."""
    print(text, flush=True)
    PRINTED.append(text)


def write_into(path):
    """Puts what was printed between the marks of a document."""
    begin, end = "<!-- figures: begin -->\n", "<!-- figures: end -->"
    with open(path, encoding="utf-8") as f:
        before, rest = f.read().split(begin)
    with open(path, "w", encoding="utf-8") as f:
        f.write(before + begin + "\n" + "\n".join(PRINTED) + "\n" + end + rest.split(end)[1])


def ratio_table(results, with_tools, markdown):
    rows = []
    for name, by_tool in results.items():
        native = by_tool["native"][0]
        row = [name, "%.3f s" % native]
        for tool in list(with_tools)[1:]:
            seconds, right = by_tool[tool]
            row.append("%.2f" % (seconds / native) if right else "wrong")
        rows.append(row)
    table(["ratio to native"] + list(with_tools), rows, markdown)


def micro_table(folder, pagoda, markdown):
    micro = os.path.join(folder, "micro")
    build(os.path.join(HERE, "micro.c"), micro)
    data = os.path.join(folder, "data")
    with open(data, "wb") as f:
        f.write(os.urandom(1 << 20) * 16)
    names = {"anonymous_write": "fault on an anonymous page, write", "anonymous_read": "fault on an anonymous page, read",
             "file_cached": "fault on a cached file page", "mmap_munmap": "mmap and munmap of one page",
             "load_hit": "one load, TLB hit"}
    columns = {"Linux": [], "pagoda": [pagoda, "run", "--quiet", "--memory", "128M", "--"],
               "pagoda --fast": [pagoda, "run", "--quiet", "--memory", "128M", "--fast", "--"]}
    figures = {}
    for column, words in columns.items():
        done = subprocess.run(words + [micro, data], capture_output=True, text=True)
        figures[column] = dict(line.split() for line in done.stdout.splitlines())
        if done.returncode != 0:
            figures[column] = {}
    rows = [[text] + [figures[c].get(key, "failed") for c in columns] for key, text in names.items()]
    table(["nanoseconds each"] + list(columns), rows, markdown)


def fork_table(folder, pagoda, markdown):
    """What a program with 1 GiB resident pays to fork and to write afterwards, by its own measure."""
    program = os.path.join(folder, "fork")
    build(os.path.join(HERE, "fork.c"), program)
    names = {"fork": "fork, for each resident page", "copy_every": "first write in the child: a copy, each page",
             "copy_some": "the same, one page in 8", "reuse": "first write in the parent after it: none",
             "end_every": "end of the child that wrote each page", "end_some": "of the child that wrote one in 8",
             "faults_every": "faults of the child that wrote each page", "faults_some": "of the child that wrote one in 8"}
    columns = {"Linux": [], "pagoda": [pagoda, "run", "--quiet", "--memory", "3G", "--"],
               "pagoda --fast": [pagoda, "run", "--quiet", "--memory", "3G", "--fast", "--"]}
    figures = {}
    for column, words in columns.items():
        done = subprocess.run(words + [program], capture_output=True, text=True)
        figures[column] = dict(line.split() for line in done.stdout.splitlines()) if done.returncode == 0 else {}
    rows = [[text] + [figures[c].get(key, "failed") for c in columns] for key, text in names.items()]
    table(["fork with 1 GiB, ns a page"] + list(columns), rows, markdown)


def helper_tables(folder, markdown):
    """Tables that other benchmark programs of the build print themselves."""
    for name in ("tests/unit/bench_mmu", "tests/scale/bench_space", "tests/scale/bench_tables", "tests/scale/bench_fork",
                 "tests/partition/bench_partition"):
        program = os.path.join(folder, name)
        if os.path.exists(program):
            done = subprocess.run([program], capture_output=True, text=True)
            text = done.stdout if done.returncode == 0 else "%s failed\n" % name
            show("```\n" + text.strip("\n") + "\n```\n" if markdown else text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--no-cachegrind", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--write", metavar="FILE.md", help="put the tables between the marks of a document")
    options = parser.parse_args()
    options.markdown = options.markdown or bool(options.write)
    pagoda = os.path.abspath(os.path.join(options.build, "pagoda"))

    def say(text):
        if sys.stderr.isatty():
            print("\r\033[K" + text, end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="pagoda-bench-") as folder:
        found = workloads(folder)
        if options.only:
            wanted = options.only.split(",")
            found = {n: w for n, w in found.items() if n.split()[0] in wanted or n in wanted}
        with_tools = tools(pagoda, not options.no_cachegrind)
        results = measure(found, with_tools, options.runs, say)
        say("")
        ratio_table(results, with_tools, options.markdown)
        if not options.only:
            micro_table(folder, pagoda, options.markdown)
            fork_table(folder, pagoda, options.markdown)
            helper_tables(options.build, options.markdown)
    if options.write:
        write_into(options.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
