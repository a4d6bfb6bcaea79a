#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`pagoda partition run`: real programs in partitions, beside their native runs. run.py PAGODA JOB. Prints TAP.

Guards R1, R2 and R3 end to end: queue, swapping out, another base, growth, migration, compaction; PD1 by the repetition of runs. The log is
checked by a map of memory that knows nothing of Pagoda's (class Memory)."""
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

PAGODA, JOB = (os.path.abspath(w) for w in sys.argv[1:3])
K = 1024


class Memory:
    """Replays a log: blocks by process; what it says of free memory must be what is between the blocks."""

    def __init__(self, size):
        self.size, self.blocks, self.wrong, self.out = size, {}, [], set()

    def figures(self):
        edges = sorted((b, b + n) for b, n in self.blocks.values())
        at, holes = 0, []
        for low, high in edges:
            if low < at:
                self.wrong.append("two blocks overlap at %d" % low)
            if low > at:
                holes.append(low - at)
            at = max(at, high)
        if at < self.size:
            holes.append(self.size - at)
        return sum(holes), max(holes, default=0), len(holes), len(edges)

    def step(self, e):
        kind, key, old = e["event"], (e["pid"], e["base"]), (e["pid"], e["was_base"])
        if e["was_bytes"]:
            if self.blocks.pop(old, None) != (e["was_base"], e["was_bytes"]):
                self.wrong.append("%s of what is not there: %s" % (kind, e))
        if kind in ("start", "fork", "exec", "grow", "migrate", "move", "swap-in"):
            self.blocks[key] = (e["base"], e["bytes"])
        if kind in ("grow", "migrate") and not e["bytes"] > e["was_bytes"]:
            self.wrong.append("%s does not grow: %s" % (kind, e))
        if kind == "grow" and e["base"] != e["was_base"] or kind == "move" and not e["base"] < e["was_base"]:
            self.wrong.append("%s goes elsewhere: %s" % (kind, e))
        if (kind == "swap-in") != (e["pid"] in self.out) and kind in ("swap-in", "swap-out"):
            self.wrong.append("%s out of turn: %s" % (kind, e))
        if kind == "swap-out":
            self.out.add(e["pid"])
        if kind in ("swap-in", "free"):
            self.out.discard(e["pid"])
        got = (e["free_bytes"], e["largest_hole_bytes"], e["holes"], e["blocks"])
        if got != self.figures() or e["out"] != len(self.out):
            self.wrong.append("figures %s, should be %s, %d out: %s" % (got, self.figures(), len(self.out), e))


class Run:
    """One run of a job file in a folder of its own; `wrong` says what is not as it should be whatever the jobs are."""

    def __init__(self, jobs, *words, memory=4096 * K, folder=None):
        keep = tempfile.TemporaryDirectory(prefix="pagoda-partition-")
        self.folder = folder or keep.name
        path = lambda n: os.path.join(self.folder, n)
        with open(path("jobs"), "w", encoding="utf-8") as f:
            for name, options, arguments in jobs:
                f.write("%s %s out=%s : %s %s\n" % (name, options, path(name + ".out"), JOB, arguments))
        self.done = subprocess.run(
            [PAGODA, "partition", "run", "--memory", str(memory), "--json", path("json"), "--log", path("log"), "--timeline",
             path("svg"), "--record", path("record"), *words, path("jobs")], capture_output=True, text=True, timeout=400)
        if self.done.returncode > 1:
            raise AssertionError(self.done.stderr)
        with open(path("json"), encoding="utf-8") as f:
            self.json = json.load(f)
        self.svg = xml.etree.ElementTree.parse(path("svg")).getroot()
        with open(path("log"), encoding="utf-8") as f:
            self.log = f.read()
        with open(path("record"), encoding="utf-8") as f:
            self.record = f.read()
        self.jobs = {j["name"]: j for j in self.json["jobs"]}
        self.events = self.json["events"]
        self.order = ["%s %s" % (e["event"], e["job"]) for e in self.events if e["event"] not in ("run", "free")]
        self.wrong = [] if not self.done.stdout else ["output that is nobody's"]
        self.natively(jobs, path)
        self.replay(memory)
        keep.cleanup()

    def natively(self, jobs, path):
        """Whoever was started printed and ended as on Linux."""
        for name, _, arguments in jobs:
            job = self.jobs[name]
            if job["refused"]:
                continue
            native = subprocess.run([JOB, *shlex.split(arguments)], capture_output=True, text=True, timeout=400)
            with open(path(name + ".out"), encoding="utf-8") as f:
                if f.read() != native.stdout:
                    self.wrong.append("%s: other output than natively" % name)
            status = job["exit"] if job["exit"] is not None else -job["signal"]
            if status != native.returncode:
                self.wrong.append("%s: ended with %s, natively with %d" % (name, status, native.returncode))

    def replay(self, memory):
        model, clock = Memory(memory), 0
        for e in self.events:
            model.step(e)
            if e["clock"] < clock:
                self.wrong.append("the clock goes back: %s" % e)
            clock = e["clock"]
        self.wrong += model.wrong
        if model.blocks or model.out:
            self.wrong.append("left behind: %s %s" % (model.blocks, model.out))
        if len(self.log.splitlines()) != len(self.events):
            self.wrong.append("the log and the JSON have other events")

    def said(self, *order):
        """A complaint unless these events came in this order, whatever came between."""
        at = 0
        for e in self.order:
            at += at < len(order) and e == order[at]
        return [] if at == len(order) else ["no '%s' behind %s in:\n%s" % (order[at], order[:at], "\n".join(self.order))]


def three_programs_of_twice_the_memory_all_finish():
    """1700 + 2396 + 4096 KiB on 4096: queue, whole processes out and in, one of them at another base."""
    jobs = [("a", "size=1700K", "work a 6 100000"), ("b", "size=2396K", "work b 12 200000"), ("c", "size=4096K", "work c 8 500000")]
    for swap in "zstd:32M", "lz4:32M":
        run = Run(jobs, "--swap", swap, "--slice", "4M")
        wrong = run.wrong + run.said("arrive a", "arrive b", "arrive c", "start a", "start b", "wait c", "swap-out b", "swap-out a",
                                     "start c", "swap-out c", "swap-in b", "end b", "swap-in c", "end c")
        bases = {e["base"] for e in run.events if e["job"] == "b" and e["event"] in ("start", "swap-in")}
        if len(bases) < 2:
            wrong.append("b was at %s only" % bases)
        if run.done.returncode or sum(j["bytes"] for j in run.jobs.values()) != 2 * 4096 * K:
            wrong.append("status %d, %s" % (run.done.returncode, run.jobs))
        if wrong:
            return wrong
    return []


def queue_without_a_store_waits_for_room():
    jobs = [("a", "size=2M", "work a 4 100000"), ("b", "size=3M", "work b 1 100000"), ("c", "size=1M", "exit c 0"),
            ("later", "size=1M arrive=900M", "exit later 0"), ("big", "size=5M", "exit big 0")]
    run = Run(jobs)
    wrong = run.wrong + run.said("refuse big", "start a", "wait b", "wait c", "end a", "start b", "start c", "arrive later", "start later")
    if run.jobs["later"]["starts"] != 900000000 or run.jobs["b"]["waits"] != run.jobs["a"]["ends"]:
        wrong.append("times: %s" % run.jobs)
    if not run.jobs["big"]["refused"] or run.done.returncode != 1 or "big is refused" not in run.done.stderr:
        wrong.append("big: %s" % run.jobs["big"])
    run = Run(jobs, "--backfill")
    return wrong + run.wrong + run.said("start a", "start c", "wait b", "end a", "start b")


def priority_puts_the_less_urgent_out():
    jobs = [("low", "size=3M priority=2", "work low 20 100000"), ("high", "size=3M priority=7 arrive=3M", "work high 20 100000"),
            ("least", "size=3M priority=1", "work least 1 100000")]
    run = Run(jobs, "--swap", "zstd:32M", "--slice", "1M")
    wrong = run.said("start low", "wait least", "arrive high", "swap-out low", "start high", "end high", "swap-in low", "end low",
                     "start least")
    if run.jobs["high"]["swaps"] or run.jobs["low"]["swaps"] != 1 or run.jobs["least"]["swaps"]:
        wrong.append("swaps: %s" % run.jobs)
    return run.wrong + wrong


def growth_goes_in_place_and_migrates():
    """a cannot grow where it is, and goes to the hole at the top, which c then cannot use."""
    jobs = [("a", "size=950K", "grow a 2 100000"), ("b", "size=950K", "work b 10 20000"), ("c", "size=950K", "exit c 0"),
            ("d", "size=950K arrive=300k", "grow d 3 50000")]
    run = Run(jobs, "--slice", "100k")
    wrong = run.wrong + run.said("start a", "start b", "start c", "migrate a", "arrive d", "start d", "grow d", "end d")
    return wrong


def growth_waits_for_room_or_makes_it():
    """a wants more than is free beside b: it is paused until b is over; with a store b goes out; a growth beyond all memory is refused."""
    jobs = [("a", "size=1200K", "grow a 8 300000"), ("b", "size=2M", "work b 30 20000")]
    run = Run(jobs, "--slice", "1M")
    wrong = run.wrong + run.said("pause a", "end b", "end a")
    if any(e["event"] == "swap-out" for e in run.events):
        wrong.append("swapped out without a store")
    run = Run(jobs, "--slice", "100k", "--swap", "zstd:32M")
    wrong += run.wrong + run.said("pause a", "swap-out b", "swap-in b", "end b")
    run = Run([("a", "size=1200K", "grow a 20 300000")])
    wrong += [w for w in run.wrong if "natively" not in w] + run.said("grow a", "end a")
    wrong += [] if run.jobs["a"]["exit"] == 3 else ["a: %s" % run.jobs["a"]]
    # both want more than the other leaves: one is refused and ends, the other grows
    run = Run([("a", "size=1200K", "grow a 8 300000"), ("b", "size=1200K", "grow b 8 300000")], "--slice", "100k")
    refused = [e["job"] for e in run.events if e["event"] == "refuse"]
    if len(refused) != 1 or run.jobs[refused[0]]["exit"] != 3 or len([j for j in run.jobs.values() if j["exit"] == 0]) != 1:
        wrong.append("refused: %s, %s" % (refused, run.jobs))
    return wrong + [w for w in run.wrong if w.split(":")[0] not in refused]


def compaction_makes_one_hole_of_two():
    """1 MiB free on either side of b: d starts at once if b moves, else when b is over."""
    jobs = [("a", "size=1M", "exit a 0"), ("b", "size=2M", "work b 20 30000"), ("d", "size=1800K arrive=100k", "exit d 0")]
    run = Run(jobs, "--compact", "--slice", "200k")
    wrong = run.wrong + run.said("end a", "arrive d", "move b", "start d", "end d", "end b")
    run = Run(jobs, "--slice", "200k")
    wrong += run.wrong + run.said("end a", "arrive d", "wait d", "end b", "start d")
    return wrong + (["moved unasked"] if any(e["event"] == "move" for e in run.events) else [])


def failing_store_costs_no_more_than_it_must():
    """Writes that fail leave the process in memory; a process that cannot be read back is ended, and only that one."""
    jobs = [("a", "size=1700K", "work a 6 100000"), ("b", "size=2396K", "work b 6 100000"), ("c", "size=4096K", "work c 6 100000")]
    wrong = []
    for store in "1M", "fault:eio-out@1000+:64M", "fault:full@1:64M":
        run = Run(jobs, "--swap", store, "--slice", "1M")
        wrong += ["%s: %s" % (store, w) for w in run.wrong] + ([] if run.done.returncode == 0 else [run.done.stderr])
    run = Run(jobs, "--swap", "fault:eio-in@700:64M", "--slice", "1M")
    lost = [n for n, j in run.jobs.items() if j["signal"] == 9]
    return wrong + [w for w in run.wrong if w.split(":")[0] not in lost] + ([] if len(lost) == 1 else ["lost: %s" % lost])


def wild_store_ends_its_process_only():
    jobs = [("w", "size=1M", "wild w"), ("a", "size=1500K", "work a 5 50000"), ("d", "size=1M", "deep d 60000")]
    run = Run(jobs, "--slice", "10k")
    wrong = run.wrong + run.said("limit w", "end w")
    e = [e for e in run.events if e["event"] == "limit"]
    # logical addresses begin at the image's lowest page, as natively
    if run.jobs["w"]["signal"] != 11 or [x["address"] for x in e] != ["0x7e0000000000"]:
        wrong.append("%s %s" % (run.jobs["w"], e))
    return wrong + ["%s: %s" % (n, run.jobs[n]) for n in "ad" if run.jobs[n]["exit"] != 0]


def forks_are_processes_of_their_job():
    run = Run([("f", "size=1M", "fork f 3"), ("a", "size=1500K", "work a 5 50000")], "--slice", "200k", "--swap", "zstd:32M")
    pids = {e["pid"] for e in run.events if e["event"] == "fork" and e["job"] == "f"}
    return run.wrong + ([] if len(pids) == 3 and run.jobs["f"]["processes"] == 4 else ["%s, %s" % (pids, run.jobs["f"])])


def mix(seed, n, forks=True):
    r = random.Random(seed)
    jobs = []
    for i in range(n):
        size, name = r.choice((900, 1100, 1500, 2000, 3000, 4096)), "j%d" % i
        what = r.choice(("work %s %d %d" % (name, r.randint(1, 6), r.randint(1000, 30 * (size - 850))),
                         "grow %s %d 100000" % (name, r.randint(1, 12)), "deep %s 50000" % name,
                         "exit %s %d" % (name, r.randint(0, 3)), "wild %s" % name) + (("fork %s 1" % name,) if forks else ()))
        jobs.append((name, "size=%dK arrive=%dk priority=%d" % (size, r.randint(0, 3000), r.choice((1, 1, 2))), what))
    return jobs


def mixed_jobs_finish_and_repeat_exactly():
    """Every fit, with and without compaction: native output under pressure; without forks the same events again."""
    wrong, kinds = [], set()
    for seed, fit in enumerate(("first", "next", "best", "worst")):
        words = ["--fit", fit, "--slice", "300k", "--swap", "zstd:64M"] + (["--compact"] if seed % 2 else [])
        with tempfile.TemporaryDirectory(prefix="pagoda-partition-") as folder:
            first, again = (Run(mix(seed, 12, False), *words, folder=folder) for _ in range(2))
        forked = Run(mix(seed + 10, 12), *words)
        for run in first, forked:
            # a growth may be refused where Linux would give more
            refused = {e["job"] for e in run.events if e["event"] == "refuse"}
            wrong += ["%s: %s" % (fit, w) for w in run.wrong if w.split(":")[0] not in refused]
            kinds |= {e["event"] for e in run.events}
        if first.log != again.log or first.done.stderr != again.done.stderr:
            wrong.append("%s: another run, another log" % fit)
    missing = {"swap-out", "swap-in", "fork", "grow", "limit", "wait", "move"} - kinds
    return wrong + (["never: %s" % missing] if missing else [])


def drawing_has_a_rectangle_for_each_stay_and_none_overlap():
    """TL2, and that the area of a job's rectangles is its share of memory and time."""
    run = Run(mix(7, 10), "--slice", "300k", "--swap", "zstd:64M", "--compact")
    wrong, boxes = [], []
    for rect in run.svg.iter("{http://www.w3.org/2000/svg}rect"):
        title = rect.find("{http://www.w3.org/2000/svg}title")
        if title is not None and ", process " in title.text:
            boxes.append(tuple(float(rect.get(k)) for k in ("x", "y", "width", "height")) + (title.text,))
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            if min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]) > 0.02 and min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]) > 0.02:
                wrong.append("overlap: %s and %s" % (a[4], b[4]))
    at, area = {}, 0.0
    for e in run.events:
        if e["was_bytes"]:
            area += e["was_bytes"] * (e["clock"] - at.pop((e["pid"], e["was_base"])))
        if e["event"] in ("start", "fork", "exec", "grow", "migrate", "move", "swap-in"):
            at[e["pid"], e["base"]] = e["clock"]
    drawn = sum(b[2] * b[3] for b in boxes) / (970.0 * 360.0) * run.json["memory_bytes"] * run.json["clock"]
    if len(boxes) < 10 or not 0.99 < drawn / area < 1.01:
        wrong.append("%d rectangles, %.3f of the area" % (len(boxes), drawn / area))
    return wrong


def record_is_a_stream_for_the_simulation():
    with tempfile.TemporaryDirectory(prefix="pagoda-partition-") as folder:
        run = Run(mix(3, 8), folder=folder)
        ran = [j for j in run.jobs.values() if not j["refused"]]
        figures = os.path.join(folder, "figures")
        done = subprocess.run([PAGODA, "partition", "simulate", "--memory", "4M", "--queue", "fifo", "--json", figures, "--stream",
                               os.path.join(folder, "record")], capture_output=True, text=True, timeout=400)
        if done.returncode:
            return [done.stderr]
        with open(figures, encoding="utf-8") as f:
            stream = json.load(f)["streams"][0]
    mean = sum(j["bytes"] for j in ran) // len(ran)
    return [] if (stream["requests"], stream["mean_bytes"]) == (len(ran), mean) else ["%s, not %d of %d" % (stream, len(ran), mean)]


def files_of_a_job_are_its_own():
    with tempfile.TemporaryDirectory(prefix="pagoda-partition-") as folder:
        for name, text in (("in", "some\ntext\n"), ("jobs", "c in=in out=out err=err : %s copy c\nd in=in : %s copy d\n" % (JOB, JOB))):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(text)
        done = subprocess.run([PAGODA, "partition", "run", "--quiet", "jobs"], cwd=folder, capture_output=True, text=True, timeout=400)
        got = [open(os.path.join(folder, n), encoding="utf-8").read() for n in ("out", "err")] + [done.stdout, done.stderr]
    want = ["some\ntext\n", "c copied\n", "some\ntext\n", "d copied\n"]
    return [] if got == want and done.returncode == 0 else ["%d: %s" % (done.returncode, got)]


def interrupt_ends_all_jobs():
    with tempfile.TemporaryDirectory(prefix="pagoda-partition-") as folder:
        path = os.path.join(folder, "jobs")
        with open(path, "w", encoding="utf-8") as f:
            f.write("a : %s work a 1000000 10000\nb : %s work b 1000000 10000\nlater arrive=900G : %s exit c 0\n" % (JOB, JOB, JOB))
        done = subprocess.Popen([PAGODA, "partition", "run", "--slice", "100k", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        done.stdout.readline()  # it runs
        done.send_signal(signal.SIGINT)
        text = done.communicate(timeout=400)[1]
    ends = re.findall(r"(\w+): (SIGINT|refused|exit \d+)$", text, re.M)
    return [] if done.returncode == 1 and ends == [("a", "SIGINT"), ("b", "SIGINT"), ("later", "refused")] else [text]


def mistakes_are_one_line_and_status_2():
    wrong = []
    with tempfile.TemporaryDirectory(prefix="pagoda-partition-") as folder:
        def file(text):
            path = os.path.join(folder, "jobs")
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            return path
        good = "a : %s exit a 0\n" % JOB
        for text, words, says in ((good, ("--memory", "5000"), "--memory"), (good, ("--fit", "odd"), "odd"), (good, ("--slice", "0"), "--slice"),
                                  (good, ("--swap", "odd:1M"), "--swap"), (good, ("--rows", "x"), "--rows"), (good, ("--speed",), "--speed"),
                                  (good, ("--compact=1",), "--compact"), (good, ("--heap",), "--heap"),
                                  (good, ("--backfill", "--swap", "zstd:1M"), "--backfill"), ("\na : 'x\n", (), "jobs:2: a ' is not closed"),
                                  ("a in=/no/such : x\n", (), "jobs:1: cannot open /no/such"), (good, ("--log", "/no/such/f", "--quiet"), "/no/such/f")):
            done = subprocess.run([PAGODA, "partition", "run", *words, file(text)], capture_output=True, text=True, timeout=400)
            line = [x for x in done.stderr.splitlines() if x]
            if done.returncode != 2 or len(line) != 1 or says not in line[0]:
                wrong.append("%s %s: %d, %s" % (text, words, done.returncode, done.stderr))
        done = subprocess.run([PAGODA, "partition", "run"], capture_output=True, text=True, timeout=400)
        if done.returncode != 2 or "job file is missing" not in done.stderr:
            wrong.append(done.stderr)
        # what cannot run in a partition is refused, and the others run
        path = file("none : /no/such/program\nscript : %s\ndynamic : /bin/true\na : %s exit a 0\n" % (os.path.abspath(__file__), JOB))
        done = subprocess.run([PAGODA, "partition", "run", path], capture_output=True, text=True, timeout=400)
        refused = re.findall(r"^(\w+) is refused: (.*)$", done.stderr, re.M)
        if done.returncode != 1 or [n for n, _ in refused] != ["none", "script", "dynamic"] or not done.stdout.startswith("a 0 "):
            wrong.append("%d %s %s" % (done.returncode, done.stdout, done.stderr))
    return wrong


def main():
    cases = [three_programs_of_twice_the_memory_all_finish, queue_without_a_store_waits_for_room, priority_puts_the_less_urgent_out,
             growth_goes_in_place_and_migrates, growth_waits_for_room_or_makes_it, compaction_makes_one_hole_of_two,
             failing_store_costs_no_more_than_it_must, wild_store_ends_its_process_only, forks_are_processes_of_their_job, mixed_jobs_finish_and_repeat_exactly,
             drawing_has_a_rectangle_for_each_stay_and_none_overlap, record_is_a_stream_for_the_simulation, files_of_a_job_are_its_own,
             interrupt_ends_all_jobs, mistakes_are_one_line_and_status_2]
    print("1..%d" % len(cases))
    failed = 0
    for number, case in enumerate(cases, 1):
        try:
            wrong = case()
        except (AssertionError, KeyError, ValueError, OSError, subprocess.TimeoutExpired) as e:
            wrong = [repr(e)]
        failed += bool(wrong)
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, case.__name__), flush=True)
        for line in "\n".join(wrong[:6]).splitlines()[:40]:
            print("# " + line.rstrip())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
