#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`pagoda partition simulate`: what holds of its figures by definition or by theorem. simulate.py PAGODA. Prints TAP."""
import json
import os
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

PAGODA = os.path.abspath(sys.argv[1])


def run(*words):
    return subprocess.run([PAGODA, "partition", *words], capture_output=True, text=True, timeout=400)


def streams(*words):
    """The streams of one run, without what is measured by a clock."""
    with tempfile.TemporaryDirectory(prefix="pagoda-partition-") as folder:
        path = os.path.join(folder, "figures.json")
        done = run("simulate", "--json", path, *words)
        if done.returncode or done.stderr:
            raise AssertionError(done.stderr)
        with open(path, encoding="utf-8") as f:
            figures = json.load(f)
    for stream in figures["streams"]:
        for served in stream["served"]:
            del served["processor_seconds"]
    return figures["streams"]


def simulate(*words):
    return streams("--requests", "200000", "--memory", "32M", *words)[0]


def linear_lists_and_trees_find_the_same():
    """Only the search differs. Twice the same stream gives the same figures; another seed does not."""
    tree, again, linear = simulate(), simulate(), simulate("--linear")
    other = simulate("--seed", "2")
    wrong = [] if tree == again else ["the same stream, other figures"]
    wrong += ["--seed changes nothing"] if tree["served"][0]["failed"] == other["served"][0]["failed"] else []
    for a, b in zip(tree["served"], linear["served"]):
        steps = a.pop("search_steps"), b.pop("search_steps")
        if a != b:
            wrong.append("%s: list and tree differ" % a["memory"])
        if a["memory"] in ("best", "worst") and not steps[0] * 10 < steps[1]:
            wrong.append("%s: %d steps in a tree, %d in a list" % (a["memory"], *steps))
    return wrong


def fifty_percent_rule_holds():
    """Knuth, vol. 1, 2.5: lifetimes are exponential, so any block is as likely to go as another."""
    wrong = []
    for sizes in "uniform", "exponential", "bimodal":
        for served in simulate("--sizes", sizes)["served"][:4]:
            ratio = served["holes_per_block"] / served["fifty_percent_rule"]
            if not 0.96 < ratio < 1.04:
                wrong.append("%s, %s: %.3f of the rule" % (sizes, served["memory"], ratio))
    return wrong


def samples_add_up():
    """R3: memory is what was asked for and what is free; a hole is part of that."""
    wrong = []
    figures = simulate("--load", "1.5")
    for served in figures["served"]:
        fit = served["memory"] != "paging"
        for s in served["samples"]:
            all_ = s["asked_bytes"] + s["free_bytes"]
            if fit and (all_ != figures["memory_bytes"] or not s["largest_hole_bytes"] <= s["free_bytes"] or
                        not s["unusable_bytes"] <= s["free_bytes"] or s["holes"] > s["blocks"] + 1):
                wrong.append("%s: %s" % (served["memory"], s))
            if not fit and not all_ < figures["memory_bytes"] < all_ + 4096 * s["blocks"]:
                wrong.append("paging: %s" % s)
        if not 1 < len(served["samples"]) <= 200:
            wrong.append("%d samples" % len(served["samples"]))
        if fit and not 0 < served["scattered"] <= served["failed"]:
            wrong.append("%s: failures %d" % (served["memory"], served["failed"]))
        if not fit and served["scattered"]:
            wrong.append("paging: scattered")
    return wrong


def light_load_is_served_whole():
    """A third of the memory asked for: nobody fails; what is there is load * memory; half a page is lost to a request."""
    wrong = []
    for served in simulate("--load", "0.3")["served"]:
        used = served["asked_bytes_mean"] / (32 << 20)
        if served["failed"] or not 0.28 < used < 0.32:
            wrong.append("%s: %d failed, %.3f used" % (served["memory"], served["failed"], used))
        lost = (served["given_bytes_mean"] - served["asked_bytes_mean"]) / served["blocks_mean"]
        if served["memory"] == "paging" and not 1940 < lost < 2140:  # (4096 - 16) / 2 of sizes in 16 bytes
            wrong.append("paging: %.0f bytes a request" % lost)
    return wrong


def sizes_all_the_same_never_scatter():
    """Sizes all the same: every hole is a whole number of them, and nobody fails while enough is free, as with paging."""
    wrong = []
    for served in simulate("--sizes", "fixed", "--load", "1.2")["served"]:
        if served["scattered"] or not served["failed"]:
            wrong.append("%s: %d of %d scattered" % (served["memory"], served["scattered"], served["failed"]))
    return wrong


def distributions_have_the_mean_they_say():
    """Little's law: nobody is turned away, so what is there is arrivals * mean size * mean lifetime = load * memory."""
    wrong, words = [], ("--requests", "200000", "--memory", "32M", "--load", "0.25", "--fit", "best")
    all_ = streams(*words, "--sizes", "exponential,bimodal,pareto,fixed")
    all_ += streams(*words, "--lifetimes", "exponential,uniform,bimodal,pareto,fixed")
    for stream in all_:
        used = stream["served"][1]["asked_bytes_mean"] / stream["memory_bytes"] / 0.25
        if stream["sizes"] == "pareto":
            used /= 1 - 1 / 64  # cut at 32 times the least: a share of 1/32 of the upper half is lost
        name = stream["sizes"] + ", " + stream["lifetimes"]
        if stream["served"][1]["failed"]:
            wrong.append("%s: %d failed" % (name, stream["served"][1]["failed"]))
        if not stream["equilibrium"] or not 0.97 < used < 1.03:
            wrong.append("%s: %.3f of the load" % (name, used))
    return wrong if len({(s["sizes"], s["lifetimes"]) for s in all_}) == 9 else ["the streams are not named"]


class Naive:
    """A queue in front of paging, as slow and as plain as it can be: a list that is sorted each time."""

    def __init__(self, frames, order, backfill):
        self.free, self.order, self.backfill = frames, order, backfill
        self.queue, self.leaving, self.waits, self.waited = [], [], {}, 0

    def admit(self, now):
        while self.queue:
            self.queue.sort(key=lambda w: ((-w[2] if self.order == "priority" else 0), w[3]))
            fitting = [w for w in self.queue if w[1] <= self.free]
            if not fitting or (not self.backfill and fitting[0] is not self.queue[0]):
                return
            who = fitting[0]
            self.queue.remove(who)
            self.free -= who[1]
            self.leaving.append((now + who[4], who[1]))
            self.waits[who[3]] = now - who[0]

    def arrive(self, number, time, pages, lifetime, priority):
        while self.leaving and min(self.leaving)[0] <= time:
            first = min(self.leaving)
            self.leaving.remove(first)
            self.free += first[1]
            self.admit(first[0])
        self.queue.append((time, pages, priority, number, lifetime))
        self.admit(time)
        self.waited += number not in self.waits


def waits_are_those_of_a_naive_queue():
    """The four disciplines beside Naive, on a stream that was written down: who waits, for how long, by priority."""
    wrong = []
    with tempfile.TemporaryDirectory(prefix="pagoda-partition-") as folder:
        path = os.path.join(folder, "stream")
        words = ("--memory", "1M", "--warm", "0", "--fit", "first")
        streams(*words, "--requests", "2000", "--load", "1.1", "--write-stream", path)
        with open(path, encoding="utf-8") as f:
            rows = [line.split() for line in f if line[0].isdigit()]
        for order in "fifo", "priority":
            for backfill in False, True:
                naive = Naive(256, order, backfill)
                for number, (time, size, lifetime, priority) in enumerate(rows):
                    naive.arrive(number, float(time), -(-int(size) // 4096), float(lifetime), int(priority))
                more = ("--backfill",) if backfill else ()
                paging = streams(*words, "--stream", path, "--queue", order, *more)[0]["served"][1]
                queue = paging["queue"]
                got = (queue["waited"], paging["served"], queue["length_last"])
                want = (naive.waited, len(naive.waits), len(naive.queue))
                if got != want or not 100 < naive.waited < 2000:
                    wrong.append("%s %s: %s, should be %s" % (order, backfill, got, want))
                for row in queue["priorities"]:
                    waits = [w for n, w in naive.waits.items() if int(rows[n][3]) == row["priority"]]
                    if row["served"] != len(waits) or abs(row["wait_mean"] * len(waits) - sum(waits)) > 1e-3 * len(waits):
                        wrong.append("%s %s: %s, should be %s" % (order, backfill, row, sum(waits) / len(waits)))
    return wrong


def recorded_stream_gives_the_figures_of_the_random_one():
    """A stream that is written down and read again is the same stream, whoever serves it."""
    wrong = []
    with tempfile.TemporaryDirectory(prefix="pagoda-partition-") as folder:
        path = os.path.join(folder, "stream")
        words = ("--memory", "4M", "--warm", "2000", "--queue", "priority")
        random = streams(*words, "--requests", "20000", "--load", "0.9", "--lifetimes", "bimodal", "--write-stream", path)[0]
        again = streams(*words, "--stream", path)[0]
        for a, b in zip(random["served"], again["served"]):
            for s in a["samples"] + b["samples"]:
                del s["unusable_bytes"]  # by the mean size, which is not quite the same
            del a["unusable"], b["unusable"]
            if a != b:
                wrong.append("%s differs" % a["memory"])
        if again["recorded"] != path or again["sizes"] is not None:
            wrong.append("the stream is not named")
    return wrong


def calls(rows):
    """A record of malloc: (op, size, in, out) as heap/record.h has them."""
    return b"".join(struct.pack("<BBHIQQQ", op, 0, 0, 0, size, in_, out) for op, size, in_, out in rows)


def calls_of_malloc_are_a_stream():
    """A call is a unit of time; a realloc frees and allocates; what is never freed stays; the peak is the memory at load 1."""
    wrong = []
    with tempfile.TemporaryDirectory(prefix="pagoda-partition-") as folder:
        path, text = (os.path.join(folder, n) for n in ("calls", "text"))
        with open(path, "wb") as f:  # peak: 100 + 5000 + 3000, at call 3
            f.write(calls([(1, 100, 0, 0x10), (1, 5000, 0, 0x20), (4, 3000, 0, 0x30), (5, 0, 0x20, 0), (5, 0, 0x99, 0),
                           (4, 6000, 0x30, 0x40), (1, 1000, 0, 0x20), (5, 0, 0x40, 0)]))
        with open(text, "w", encoding="utf-8") as f:
            f.write("# the same\n\npagoda stream 1\n0 100 -\n1 5000 2 # freed by call 3\n2 3000 3\n5 6000 2\n6 1000 -\n")
        a, b = streams("--stream", path)[0], streams("--stream", text)[0]
        if a.pop("recorded") != path or b.pop("recorded") != text or a != b:
            wrong.append("%s\n%s" % (a, b))
        if a["memory_bytes"] != 8192 or a["requests"] != 5 or a["mean_bytes"] != 3020:
            wrong.append("%s" % {k: v for k, v in a.items() if k != "served"})
        with open(path, "ab") as f:
            f.write(b"x")
        bad = [(path, "call 9")]
        for number, (line, says) in enumerate((("0 16 1 10", "priority"), ("0 16", "lifetime"), ("0 0 1", "size"), ("x", "time"),
                                               ("9 16 1\n8 16 1", ":3: the time is less"), ("1 1 1 1 1", "four"), ("", "two"))):
            bad.append((os.path.join(folder, str(number)), says))
            with open(bad[-1][0], "w", encoding="utf-8") as f:
                f.write("pagoda stream 1\n" + line + "\n")
        bad.append((__file__, "neither"))
        for name, says in bad:
            done = run("simulate", "--stream", name)
            if done.returncode != 2 or done.stderr.count("\n") != 1 or says not in done.stderr:
                wrong.append("%s: %d, %s" % (name, done.returncode, done.stderr))
    return wrong


def drawing_is_well_formed():
    with tempfile.TemporaryDirectory(prefix="pagoda-partition-") as folder:
        path = os.path.join(folder, "a.svg")
        streams("--requests", "5000", "--memory", "1M", "--load", "0.5,1", "--queue", "fifo", "--svg", path)
        root = xml.etree.ElementTree.parse(path).getroot()
    curves = [e for e in root.iter("{http://www.w3.org/2000/svg}polyline")]
    return [] if len(curves) == 2 * (5 + 4 + 4 + 5) else ["%d curves" % len(curves)]


def mistakes_are_one_line_and_status_2():
    wrong = []
    for words, says in ((("run", "/no/such/jobs"), "/no/such/jobs"), (("simulate", "--fit", "first,middle"), "middle"),
                        (("simulate", "--fit", "best,best"), "twice"), (("simulate", "--memory", "5000001"), "--memory"),
                        (("simulate", "--requests", "0"), "--requests"), (("simulate", "--sizes", "odd"), "odd"),
                        (("simulate", "--load", "nan"), "--load"), (("simulate", "--seed"), "--seed"),
                        (("simulate", "--speed", "1"), "--speed"), (("simulate", "--json="), "--json"), ((), "simulate"),
                        (("simulate", "--requests", "1000", "--json", "/no/such/file"), "/no/such/file"),
                        (("simulate", "--backfill"), "--queue"), (("simulate", "--queue", "lifo"), "priority"),
                        (("simulate", "--lifetimes", "long"), "long"), (("simulate", "--load", "1,,2"), "--load"),
                        (("simulate", "--page", "5000"), "--page"), (("simulate", "--stream", "/no/such"), "/no/such"),
                        (("simulate", "--stream", "x", "--seed", "2"), "--seed"), (("simulate", "--warm", "1000000"), "--warm"),
                        (("simulate", "--load", "1,2", "--write-stream", "x"), "--write-stream"),
                        (("simulate", "--stream", "x", "--memory", "1M", "--load", "2"), "not both")):
        done = run(*words)
        if done.returncode != 2 or done.stderr.count("\n") != 1 or says not in done.stderr:
            wrong.append("%s: %d, %s" % (words, done.returncode, done.stderr))
    return wrong


def main():
    cases = [linear_lists_and_trees_find_the_same, fifty_percent_rule_holds, samples_add_up, light_load_is_served_whole,
             sizes_all_the_same_never_scatter, distributions_have_the_mean_they_say,
             waits_are_those_of_a_naive_queue, recorded_stream_gives_the_figures_of_the_random_one,
             calls_of_malloc_are_a_stream, drawing_is_well_formed, mistakes_are_one_line_and_status_2]
    print("1..%d" % len(cases))
    failed = 0
    for number, case in enumerate(cases, 1):
        try:
            wrong = case()
        except (AssertionError, KeyError, ValueError, subprocess.TimeoutExpired) as e:
            wrong = [repr(e)]
        failed += bool(wrong)
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, case.__name__))
        for line in wrong[:20]:
            print("# " + line.strip())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
