#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`pagoda size` from outside, on programs whose need is known, as TAP. size.py PAGODA EXAMPLES SCRATCH"""
import json
import os
import subprocess
import sys
import xml.etree.ElementTree

MIB = 1 << 20


def main():
    pagoda, examples, scratch = (os.path.abspath(a) for a in sys.argv[1:4])
    os.makedirs(scratch, exist_ok=True)
    loop = os.path.join(scratch, "loop")
    subprocess.run(["cc", "-O1", "-static", "-o", loop, os.path.join(examples, "loop.c")], check=True)
    report, drawing = os.path.join(scratch, "size.json"), os.path.join(scratch, "size.svg")
    results = []

    def size(*words, stdin=None):
        for path in (report, drawing):
            if os.path.exists(path):
                os.unlink(path)
        return subprocess.run([pagoda, "size"] + list(words), capture_output=True, text=True, timeout=400,
                              input=stdin)

    def case(name, wrong):
        results.append((name, [w for w in wrong if w]))

    # 1,500 pages in a loop: with the clock all must be in memory, or each is read each time.
    pages, rounds = 1500, 6
    done = size("--points", "6", "--json", report, "--svg", drawing, "--", loop, str(pages), str(rounds))
    wrong = []
    if done.returncode != 0:
        wrong = ["status %d: %s" % (done.returncode, done.stderr)]
    else:
        with open(report) as f:
            r = json.load(f)
        need = pages * 4096
        points = r["points"]
        if done.stdout != "%d\n" % (pages * rounds):
            wrong.append("it showed %r" % done.stdout)
        if not need < r["enough_bytes"] < need + 2 * MIB:
            wrong.append("enough is %d of %d" % (r["enough_bytes"], need))
        if not r["floor_bytes"] < need / 2:
            wrong.append("the floor is %d: swap does not help" % r["floor_bytes"])
        if not r["enough_bytes"] <= r["recommended_bytes"] <= r["full_bytes"] < need + 3 * MIB:
            wrong.append("recommended %d, all %d" % (r["recommended_bytes"], r["full_bytes"]))
        if r["not_enough_bytes"] >= r["enough_bytes"] or \
                r["enough_bytes"] - r["not_enough_bytes"] > r["enough_bytes"] / 32 + 65536:
            wrong.append("not enough: %s" % r["not_enough_bytes"])
        if [p["memory_bytes"] for p in points] != sorted((p["memory_bytes"] for p in points), reverse=True):
            wrong.append("points are not in order")
        if points[0]["reclaimed"] != 0 or points[0]["swap_out"] != 0:
            wrong.append("pages were evicted with all memory")
        for p in points:
            rereads = (rounds - 1) * pages / 3
            if p["works"] and p["memory_bytes"] < need * 0.9 and p["swap_in"] < rereads:
                wrong.append("%d: only %d pages came back" % (p["memory_bytes"], p["swap_in"]))
            if p["works"] and p["rss_peak_bytes"] > p["memory_bytes"]:
                wrong.append("more resident than there is memory")
        sets = [s["bytes"] for s in r["working_set"]]
        if not sets or not need / 4 < max(sets) < need + 2 * MIB:
            wrong.append("working set at most %s" % (max(sets) if sets else None))
        if any(a["to"] != b["from"] for a, b in zip(r["working_set"], r["working_set"][1:])):
            wrong.append("windows of the working set do not join")
        root = xml.etree.ElementTree.parse(drawing).getroot()
        if sum(1 for e in root.iter() if e.tag.endswith("polyline")) < 5:
            wrong.append("curves are missing in the drawing")
        for word in ("recommended", "knee", "working set", "enough"):
            if word not in done.stderr:
                wrong.append("no '%s' in the text" % word)
        again = size("--points", "6", "--json", report, "--", loop, str(pages), str(rounds))
        with open(report) as f:
            second = json.load(f)
        strip = [[(k, v) for k, v in p.items() if not k.endswith("seconds")] for p in points]
        strip2 = [[(k, v) for k, v in p.items() if not k.endswith("seconds")] for p in second["points"]]
        if again.returncode != 0 or strip != strip2 or second["working_set"] != r["working_set"]:
            wrong.append("a second time it finds something else")
    case("loop_needs_its_pages_and_is_found_out", wrong)

    # In fast mode the same advice, and the working set in instructions too. With faults bounded the small end is not waited for.
    done = size("--fast", "--points", "6", "--max-faults", "3000", "--json", report, "--", loop, str(pages), str(rounds))
    wrong = ["status %d: %s" % (done.returncode, done.stderr)] if done.returncode else []
    if not wrong:
        with open(report) as f:
            fast = json.load(f)
        if fast["working_set_unit"] != "instructions" or len(fast["working_set"]) < 10:
            wrong.append("no working set in fast mode")
        for key in ("full_bytes", "enough_bytes", "recommended_bytes"):
            if abs(fast[key] - r[key]) > 65536:
                wrong.append("%s is %d in fast mode, %d in exact" % (key, fast[key], r[key]))
        stopped = [p for p in fast["points"] if p["stopped"]]
        if not stopped or any(p["works"] or p["out_of_memory"] for p in stopped):
            wrong.append("what was stopped: %s" % stopped)
        if fast["floor_bytes"] <= max(p["memory_bytes"] for p in stopped):
            wrong.append("a run that was stopped counts as one that worked")
    case("fast_mode_gives_the_same_advice_and_faults_are_bounded", wrong)

    done = size("--points", "4", "--no-swap", "--json", report, "--", loop, "1000", "2")
    wrong = ["status %d: %s" % (done.returncode, done.stderr)] if done.returncode else []
    if not wrong:
        with open(report) as f:
            r = json.load(f)
        if r["floor_bytes"] < 1000 * 4096:
            wrong.append("1000 pages fitted into %d bytes without swap" % r["floor_bytes"])
        if r["swap"] is not None or not any(p["out_of_memory"] for p in r["points"]):
            wrong.append("nothing was killed")
        if "out of memory" not in done.stderr:
            wrong.append("the text does not say that it was killed")
    case("no_swap_floor_holds_all_private_pages", wrong)

    done = size("--points", "2", "--from", "2M", "--to", "3M", "--swap", "lz4:8M", "--replace", "sieve",
                "--json", report, "--", loop, "1000", "2")
    wrong = ["status %d: %s" % (done.returncode, done.stderr)] if done.returncode else []
    if not wrong:
        with open(report) as f:
            r = json.load(f)
        if not r["bounded"] or r["full_bytes"] != 3 * MIB or r["policy"] != "sieve" or r["swap"] != "lz4:8M":
            wrong.append("bounds or options were not taken: %s" % r)
        if min(p["memory_bytes"] for p in r["points"]) < 2 * MIB:
            wrong.append("less than --from")
    case("bounds_and_options_of_run_are_taken", wrong)

    # A program that reserves a gigabyte and uses little of it, as Go's runtime: small memories do not refuse it.
    reserve = "import mmap; m = mmap.mmap(-1, 1 << 30); m[5] = 1; print(m[5])"
    words = ["--points", "1", "--no-swap", "--json", report, "--", "/usr/bin/python3", "-S", "-c", reserve]
    done, refused = size(*words), size("--overcommit", "guess", *words)
    case("what_is_reserved_and_not_used_does_not_count", [
        (done.returncode or done.stdout != "1\n") and "status %d: %s" % (done.returncode, done.stderr),
        refused.returncode != 2 and "with guess: status %d" % refused.returncode])

    done = size("--points", "2", "--", "/bin/cat", stdin="a line\n")
    case("every_run_gets_the_same_input", [
        done.returncode and "status %d: %s" % (done.returncode, done.stderr),
        done.stdout != "a line\n" and "it showed %r" % done.stdout])

    done = size("--points", "1", "--", "/bin/sh", "-c", "exit 3")
    case("exit_status_of_the_program_is_none_of_ours", [
        done.returncode and "status %d: %s" % (done.returncode, done.stderr)])

    wrong = []
    for words in (["--memory", "8M", "--", "true"], ["--points", "0", "--", "true"], ["--from", "1", "--", "true"],
                  ["--from", "8M", "--to", "4M", "--", "true"], ["--nonsense", "--", "true"], [],
                  ["--no-swap", "--swap", "1G", "--", "true"], ["--limit", "x", "--", "true"],
                  ["--json", "", "--", "true"], ["--", "/nonexistent/program"],
                  ["--json", "/nonexistent/folder/x", "--points", "1", "--", "/bin/true"]):
        done = size(*words)
        if done.returncode != 2 or not done.stderr.strip().splitlines()[-1].startswith("pagoda: "):
            wrong.append("%s: status %d, %r" % (words, done.returncode, done.stderr[-200:]))
    case("what_cannot_be_done_is_said_with_status_2", wrong)

    print("1..%d" % len(results))
    for number, (name, wrong) in enumerate(results, 1):
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, name))
        for line in wrong:
            print("#   " + line.replace("\n", "\n#   "))
    return 1 if any(wrong for _, wrong in results) else 0


if __name__ == "__main__":
    sys.exit(main())
