#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`make bench-heap`: libpagoda-malloc beside other allocators, the four fits on recorded streams, and threads.

heap.py BUILD [--runs N] [--scale X] [--only NAME[,NAME]] [--parts compare,fits,threads] [--write FILE.md]

All allocators run the same programs in one run, in turns, so that a slow minute of the host hits all alike. Speed is
operations per second of processor time (the best of the runs: the host may be busy with other things); memory is the peak resident
set of the process (the median). What is not installed is left out, and said.
"""
import argparse
import glob
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

LIBRARIES = {"jemalloc": "libjemalloc.so.2", "mimalloc": "libmimalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4"}
FOLDERS = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"]
LISTS = ["first-fit", "next-fit", "best-fit", "worst-fit"]
LOADS = [("small", 1), ("tiny", 1), ("random", 1), ("large", 1), ("realloc", 1), ("larson", 2), ("larson", 4),
         ("pass", 2)]

PYTHON = """\
import json, re, collections
words = [str(i * 7919 % 10007) for i in range(150000)]
count = collections.Counter(words)
tree = {}
for w in words:
    node = tree
    for c in w:
        node = node.setdefault(c, {})
text = json.dumps(tree)
again = json.loads(text)
class Point:
    def __init__(self, x, y): self.x, self.y = x, y
p = [Point(i, [i]) for i in range(100000)]
for i in range(300000): p[i * 31 % 100000] = Point(i, 'n%d' % i)
print(len(text), again == tree, sum(q.x for q in p))
"""

SQL = """\
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price INTEGER, shelf INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
  INSERT INTO item SELECT i, 'item ' || (i * 7919 % 20011), i * 31 % 1000, i % 97 FROM n;
CREATE INDEX by_name ON item(name);
SELECT shelf, count(*), group_concat(name) FROM item GROUP BY shelf ORDER BY 3 DESC LIMIT 1;
SELECT count(*) FROM item a JOIN item b ON b.id = a.price + 1 WHERE a.shelf < 40;
"""

PERL = ("my %h; srand(1); for my $i (1..120000) { $h{'k' . ($i * 7919 % 5003)} .= 'x' x ($i % 40); "
        "delete $h{'k' . ($i * 31 % 5003)} if $i % 3 == 0; } my $s = join ',', sort map { $h{$_} } keys %h; print length($s), qq(\\n);")


class Allocator:
    def __init__(self, name, library, family=None):
        self.name, self.library, self.family = name, library, family

    def env(self, **more):
        env = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "PAGODA_MALLOC")}
        if self.library:
            env["LD_PRELOAD"] = self.library
        if self.family:
            env["PAGODA_MALLOC"] = self.family
        env.update(more)
        return env


def allocators(library):
    found = [Allocator("glibc", None)]
    for name, file in LIBRARIES.items():
        path = next((os.path.join(f, file) for f in FOLDERS if os.path.exists(os.path.join(f, file))), None)
        if path:
            found.append(Allocator(name, path))
        else:
            print("heap.py: %s is not installed (%s)" % (name, file), file=sys.stderr)
    return found + [Allocator("pagoda", library, "sharded")]


def run_load(bench, allocator, name, threads, scale):
    """(operations, processor seconds, wall seconds, peak KiB)"""
    out = subprocess.run([bench, name, str(threads), str(scale)], env=allocator.env(), capture_output=True, text=True,
                         check=True).stdout.split()
    return int(out[0]), float(out[2]), float(out[1]), int(out[4])


def run_python(allocator, scale):
    start = time.monotonic()
    child = subprocess.Popen(["/usr/bin/python3", "-c", PYTHON], env=allocator.env(PYTHONMALLOC="malloc",
                             PYTHONHASHSEED="1"), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        raise RuntimeError("python under %s: status %d" % (allocator.name, status))
    return 1, usage.ru_utime + usage.ru_stime, time.monotonic() - start, usage.ru_maxrss


def run_redis(allocator, scale):
    n = max(2000, int(60000 * scale))
    with tempfile.TemporaryDirectory() as folder:
        socket = os.path.join(folder, "s")
        server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", socket, "--save", ""], cwd=folder,
                                  env=allocator.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not os.path.exists(socket):
                if server.poll() is not None:
                    raise RuntimeError("redis-server under %s ended" % allocator.name)
                time.sleep(0.02)
            # the socket is there a moment before anybody listens
            while subprocess.run(["redis-cli", "-s", socket, "PING"], capture_output=True, check=False).stdout != b"PONG\n":
                if server.poll() is not None:
                    raise RuntimeError("redis-server under %s ended" % allocator.name)
                time.sleep(0.02)
            start, before = time.monotonic(), processor_seconds(server.pid)
            subprocess.run(["redis-benchmark", "-s", socket, "-q", "-n", str(n), "-c", "20", "-P", "16", "-r", "20000", "-d",
                            "200", "-t", "set,get,incr,lpush,rpop,sadd,hset,zadd"], env=Allocator("", None).env(),
                           stdout=subprocess.DEVNULL, check=True)
            wall, cpu = time.monotonic() - start, processor_seconds(server.pid) - before
            with open("/proc/%d/status" % server.pid, encoding="ascii") as f:
                peak = int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))
            return 8 * n, cpu, wall, peak
        finally:
            server.kill()
            server.wait()


def processor_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare(o, bench, library):
    everyone = allocators(library)
    works = [("%s %d" % load if load[1] > 1 else load[0],
              lambda a, load=load: run_load(bench, a, load[0], load[1], o.scale)) for load in LOADS]
    if shutil.which("redis-server") and shutil.which("redis-benchmark"):
        works.append(("redis", lambda a: run_redis(a, o.scale)))
    if os.path.exists("/usr/bin/python3"):
        works.append(("python", lambda a: run_python(a, o.scale)))
    if o.only:
        works = [w for w in works if w[0].split()[0] in o.only]
    speed, memory = {}, {}
    for name, work in works:
        got = {a.name: [] for a in everyone}
        for _ in range(o.runs):
            order = everyone[:]
            random.shuffle(order)
            for a in order:
                got[a.name].append(work(a))
        for a in everyone:
            speed[name, a.name] = max(r[0] / r[1] for r in got[a.name])
            memory[name, a.name] = statistics.median(r[3] for r in got[a.name])
        print("%-10s" % name, "  ".join("%s %.3g/s %.1fM" % (a.name, speed[name, a.name], memory[name, a.name] / 1024)
                                        for a in everyone), file=sys.stderr, flush=True)
    names = [a.name for a in everyone]

    def mean(table, a):
        return statistics.geometric_mean(table[w, a] / table[w, "pagoda"] for w, _ in works)

    text = ["Millions of operations per second of processor time (python: runs per second); more is better.", ""]
    text += head(["load"] + names)
    for w, _ in works:
        unit = 1 if w == "python" else 1e6
        text.append(row([w] + ["%.2f" % (speed[w, a] / unit) for a in names]))
    text.append(row(["geometric mean, pagoda = 1"] + ["%.2f" % mean(speed, a) for a in names]))
    text += ["", "Peak resident memory, MiB; less is better.", ""] + head(["load"] + names)
    for w, _ in works:
        text.append(row([w] + ["%.1f" % (memory[w, a] / 1024) for a in names]))
    text.append(row(["geometric mean, pagoda = 1"] + ["%.2f" % mean(memory, a) for a in names]))
    text += ["", "Both together: the geometric mean of speed and of the inverse of memory, pagoda = 1; more is better.", ""]
    text += head([""] + names)
    text.append(row(["both"] + ["%.2f" % ((mean(speed, a) / mean(memory, a)) ** 0.5) for a in names]))
    return text


def record(library, folder):
    """Streams of real programs: [(name, path)]."""
    programs = [("python", ["/usr/bin/python3", "-c", PYTHON.replace("150000", "20000").replace("100000", "20000")
                            .replace("300000", "40000")]),
                ("sqlite3", ["sqlite3", ":memory:"]), ("perl", ["perl", "-e", PERL]),
                ("gcc", [subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True).stdout.strip(),
                         "-quiet", "-O2", "-o", "/dev/null", os.path.join(folder, "t.i")])]
    with open(os.path.join(folder, "t.i"), "w", encoding="ascii") as f:
        for i in range(60):
            f.write("static int f%d(int *a, int n) { int s = 0; for (int i = 0; i < n; i++) { if (a[i] %% %d) s += a[i] * %d; "
                    "else s ^= a[i]; } return s; }\nint g%d(int *a) { return f%d(a, 64) + f%d(a + 1, 9); }\n"
                    % (i, i + 2, i, i, i, i))
    streams = []
    for name, command in programs:
        if not shutil.which(command[0]):
            continue
        env = Allocator("", library, "first-fit").env(PAGODA_MALLOC_RECORD=os.path.join(folder, name), PYTHONMALLOC="malloc",
                                                      PERL_HASH_SEED="0", PYTHONHASHSEED="1")
        subprocess.run(command, input=SQL, env=env, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        files = glob.glob(os.path.join(folder, name + ".*"))
        if files:
            streams.append((name, max(files, key=os.path.getsize)))
    return streams


def fits(o, replay, library):
    text = ["Fragmentation is the part of the heap, at its largest, that was in no block as the program asked for it: holes, headers, rounding.",
            ""]
    text += head(["stream", "operations", "fit", "ns each", "blocks looked at in a search", "heap KiB", "fragmentation"])
    times, sizes = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        streams = record(library, folder)
        for name, path in streams:
            for family in LISTS:
                a = Allocator(family, library, family)
                cost = min(float(t) / int(n) for n, t in (
                    subprocess.run([replay, path], env=a.env(), capture_output=True, text=True, check=True).stdout.split()
                    for _ in range(o.runs)))
                done = subprocess.run([replay, path, "sample"], env=a.env(), capture_output=True, text=True, check=True)
                count, _, live, heap, _, _ = (int(x) for x in done.stdout.split())
                looked = int(re.search(r"blocks looked at = +(\d+)", done.stderr).group(1))
                searches = int(re.search(r"searches += +(\d+)", done.stderr).group(1))
                times[name, family], sizes[name, family] = cost, heap
                text.append(row([name, str(count), family, "%.0f" % (cost * 1e9), "%.1f" % (looked / max(1, searches)),
                                 "%d" % (heap / 1024), "%.0f %%" % (100 * (1 - live / heap))]))
                print(text[-1], file=sys.stderr, flush=True)
    text += ["", "Geometric means over the streams, first-fit = 1:", ""] + head(["", *LISTS])
    for what, table in (("time", times), ("heap", sizes)):
        text.append(row([what] + ["%.2f" % statistics.geometric_mean(table[s, f] / table[s, "first-fit"] for s, _ in streams)
                                  for f in LISTS]))
    return text


def threads(o, bench, library):
    everyone = [Allocator("glibc", None)] + [Allocator(f, library, f) for f in ["sharded"] + LISTS]
    text = ["Nanoseconds for a malloc or a free of 64 bytes (`small`), by the clock over all threads together, and in brackets of "
            "processor time; the best of many short runs. The last row is `alloca` in a function called for it.", ""]
    text += head(["", "1 thread", "2 threads", "4 threads"])
    rows = [(a.name, a, "small") for a in everyone] + [("stack", everyone[0], "stack")]
    for label, a, load in rows:
        cells = []
        for n in (1, 2, 4):
            got = [run_load(bench, a, load, n, o.scale / 20) for _ in range(8 * o.runs)]
            cells.append("%.1f (%.1f)" % (min(r[2] / r[0] for r in got) * 1e9, min(r[1] / r[0] for r in got) * 1e9))
        text.append(row([label] + cells))
        print(text[-1], file=sys.stderr, flush=True)
    cost = {}
    for load in ("newheap", "newstack"):
        cost[load] = min((lambda r: r[1] / r[0])(run_load(bench, everyone[1], load, 1, o.scale / 5)) for _ in range(4 * o.runs))
    text += ["", "The first touch of a page, with what giving it back costs: %.0f ns on the heap (`newheap`), %.0f ns on a stack "
             "(`newstack`), of processor time." % (cost["newheap"] * 1e9, cost["newstack"] * 1e9)]
    return text


def put(path, text):
    """Into a file, or between the marks of one that has them."""
    begin, end = "<!-- figures: begin -->\n", "<!-- figures: end -->"
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            old = f.read()
        if begin in old:
            text = old[:old.index(begin) + len(begin)] + "\n" + text + "\n" + old[old.index(end):]
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def head(cells):
    return [row(cells), "|" + "---|" * len(cells)]


def row(cells):
    return "| " + " | ".join(cells) + " |"


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("build")
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--scale", type=float, default=1.0)
    p.add_argument("--only", type=lambda s: s.split(","))
    p.add_argument("--parts", type=lambda s: s.split(","), default=["compare", "fits", "threads"])
    p.add_argument("--write")
    o = p.parse_args()
    build = os.path.abspath(o.build)
    library = os.path.join(build, "src/heap/libpagoda-malloc.so")
    bench, replay = (os.path.join(build, "bench/heap", n) for n in ("bench_heap", "bench_replay"))
    random.seed(1)
    text = []
    for part in o.parts:
        text += {"compare": lambda: compare(o, bench, library), "fits": lambda: fits(o, replay, library),
                 "threads": lambda: threads(o, bench, library)}[part]() + [""]
    print("\n".join(text))
    if o.write:
        put(o.write, "\n".join(text))


if __name__ == "__main__":
    main()
