#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`pagoda run --mmu base-limit`: real programs in contiguous blocks, beside the same programs on the host, and the event log
beside a search by definition. machine.py PAGODA GUESTS. Prints TAP. R1, R2, R3."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

PAGODA, GUESTS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
FITS = ["first", "next", "best", "worst"]
FOLDER = tempfile.mkdtemp(prefix="pagoda-machine-")
TEXT = os.path.join(FOLDER, "text")


def guest(name):
    return os.path.join(GUESTS, "partition_" + name)


def native(words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=400, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout


def machine(options, words):
    """Status, output, what Pagoda said, the log, the report."""
    log, report = os.path.join(FOLDER, "log.json"), os.path.join(FOLDER, "report.json")
    for path in (log, report):
        if os.path.exists(path):
            os.remove(path)
    done = subprocess.run(
        [PAGODA, "run", "--quiet", "--mmu", "base-limit", "--partition-log", log, "--json", report, *options, "--", *words],
        capture_output=True, text=True, timeout=400, stdin=subprocess.DEVNULL)
    loaded = []
    for path in (log, report):
        loaded.append(json.load(open(path, encoding="utf-8")) if os.path.exists(path) and os.path.getsize(path) else None)
    return done.returncode, done.stdout, done.stderr, loaded[0], loaded[1]


# ---- the log, replayed on a map of bytes that knows nothing of trees


def holes(blocks, memory):
    """(start, bytes) of each hole, from the bottom up; blocks: pid -> (base, bytes)."""
    found, at = [], 0
    for base, size in sorted(blocks.values()):
        if base < at:
            raise AssertionError("two blocks overlap at %d" % base)
        if base > at:
            found.append((at, base - at))
        at = base + size
    if at > memory:
        raise AssertionError("a block ends beyond the memory")
    if at < memory:
        found.append((at, memory - at))
    return found


def chosen(fit, free, size, rover):
    """The hole that the definition of the fit names, or None."""
    large = [h for h in free if h[1] >= size]
    if not large:
        return None
    if fit == "best":
        return min(large, key=lambda h: (h[1], h[0]))
    if fit == "worst":
        return min(large, key=lambda h: (-h[1], h[0]))
    if fit == "next":
        behind = [h for h in large if h[0] + h[1] > rover]
        return (behind or large)[0]
    return large[0]


def replay(log):
    """Checks every line; counts of events. Keys of blocks are processes, whose old block is kept beside while exec makes a new one."""
    memory, fit = log["memory_bytes"], log["fit"]
    blocks, out, rover, counts = {}, {}, 0, {}
    for n, e in enumerate(log["events"]):
        kind, pid, base, size = e["event"], e["pid"], e["base"], e["bytes"]
        was = (e["was_base"], e["was_bytes"])
        counts[kind] = counts.get(kind, 0) + 1
        where = "event %d (%s of %s)" % (n, kind, pid)
        if kind in ("place", "fork", "swap-in"):
            hole = chosen(fit, holes(blocks, memory), size, rover)
            assert hole and hole[0] == base, "%s: at %s, the fit says %s" % (where, base, hole)
            rover = base + size
            if kind == "swap-in":
                assert size >= out.pop(pid), where
            key = (pid, n) if pid in blocks else pid  # exec: both live for a while
            blocks[key] = (base, size)
        elif kind in ("grow", "migrate", "move", "swap-out", "free"):
            if was == (None, None):  # it was freed while it was in the store
                assert kind == "free" and out.pop(pid), where
            else:
                keys = [k for k, v in blocks.items() if v == was]
                assert len(keys) == 1, "%s: no such block %s" % (where, was)
                key = keys[0]
                assert (key if isinstance(key, int) else key[0]) == pid, where
                del blocks[key]
                if kind == "swap-out":
                    out[pid] = size
                elif kind != "free":
                    free = holes(blocks, memory)
                    if kind == "grow":
                        assert base == was[0] and size > was[1], where
                    elif kind == "move":
                        assert base < was[0] and size == was[1], where
                    else:
                        assert size > was[1], where
                        # in another hole by the fit; or over the holes on both sides of where it was
                        others = dict(blocks, old=was)
                        hole = chosen(fit, holes(others, memory), size, rover)
                        if hole:
                            assert hole[0] == base, "%s: at %s, the fit says %s" % (where, base, hole)
                            rover = base + size
                        else:
                            assert base < was[0], where
                    assert any(h[0] <= base and base + size <= h[0] + h[1] for h in free), where
                    blocks[key] = (base, size)
        elif kind == "refuse":
            pass
        if kind == "free" and pid in {k[0] for k in blocks if not isinstance(k, int)}:
            for key in [k for k in blocks if not isinstance(k, int) and k[0] == pid]:
                blocks[pid] = blocks.pop(key)
        free = holes(blocks, memory)
        assert e["free_bytes"] == sum(h[1] for h in free), where
        assert e["largest_hole_bytes"] == max([h[1] for h in free], default=0), where
        assert e["holes"] == len(free) and e["blocks"] == len(blocks), where
    assert not blocks and not out, "something was not given back: %s %s" % (blocks, out)
    return counts


def same(options, words):
    """The program's output and status are the host's; the log's counts."""
    status, output = native(words)
    got = machine(options, words)
    assert (got[0], got[1]) == (status, output), "%s %s: %s %r, natively %s %r; %s" % (
        options, words, got[0], got[1][-300:], status, output[-300:], got[2])
    return replay(got[3])


# ---- the tests


def static_programs_run_with_native_output():
    """Three kinds of static programs, by each fit, exact and fast."""
    programs = [[guest("heap")], [guest("code")], [guest("family")]]
    for number, fit in enumerate(FITS):
        for fast in ([], ["--fast"]):
            for words in programs:
                same(["--memory", "32M", "--fit", fit, *fast], words)


def a_shell_and_its_tools_run():
    """busybox, static and not position-independent: a shell that forks and execs, pipes, sorts, compresses."""
    busybox = shutil.which("busybox")
    if not busybox:
        return "busybox is not here"
    head = open(busybox, "rb").read(64)
    if int.from_bytes(head[16:18], "little") != 2:
        return "this busybox is position-independent"
    script = ("for w in pear fig apple; do echo $w; done | %(b)s sort; %(b)s seq 1 3000 | %(b)s gzip | %(b)s gunzip | %(b)s md5sum; "
              "%(b)s awk 'BEGIN { for (i = 0; i < 3000; i++) s += i * i; print s }'; %(b)s false || echo no; "
              "x=$(%(b)s wc -l < %(t)s); echo $x; exit 5") % {"b": busybox, "t": TEXT}
    for options in (["--memory", "32M"], ["--memory", "64M", "--fit", "best", "--fast"]):
        counts = same(options, [busybox, "sh", "-c", script])
        assert counts["place"] >= 6 and counts["fork"] >= 6, counts
    return None


def a_block_grows_in_place_and_by_migration():
    alone = same(["--memory", "16M", "--heap", "4K"], [guest("heap"), "20"])
    assert alone.get("grow", 0) > 3 and "migrate" not in alone, alone
    # with a neighbour behind it: to a hole elsewhere, while the children wait
    for fit in FITS:
        got = machine(["--memory", "16M", "--partition", "2M", "--fit", fit], [guest("gap"), str(3 << 20)])
        assert (got[0], got[1]) == (0, "grown\n6\n"), got[:3]
        moved = [e for e in got[3]["events"] if e["event"] == "migrate"]
        assert replay(got[3]).get("migrate") == 1 and moved[0]["pid"] == 1000 and moved[0]["base"] > moved[0]["was_base"], moved


def processes_are_swapped_out_whole_and_come_back_elsewhere():
    for fit in FITS:
        for fast in ([], ["--fast"]):
            options = ["--memory", "5M", "--partition", "2M", "--fit", fit, "--swap", "64M", *fast]
            got = machine(options, [guest("apart"), str(1900 << 10)])
            assert (got[0], got[1]) == (0, "5\n"), got[:3]
            replay(got[3])
            child = [e for e in got[3]["events"] if e["pid"] == 1001]
            assert [e["event"] for e in child] == ["fork", "swap-out", "swap-in", "free"], child
            assert child[1]["was_base"] == child[0]["base"] == 2 << 20, child
            assert child[2]["base"] == child[3]["was_base"] and child[2]["base"] > 2 << 20, child
            got = machine(options[:-2 - len(fast)] + fast, [guest("apart"), str(1900 << 10)])
            assert got[0] == 3 and replay(got[3]).get("refuse") == 1, got[:3]


def processes_of_more_than_twice_the_memory_end_as_natively():
    """Who goes when depends on the host's time; what they compute does not."""
    for options in (["--compact", "--swap", "64M"], ["--compact", "--swap", "64M", "--fast"], ["--fit", "worst", "--swap", "zstd:64M"]):
        counts = same(["--memory", "5M", *options], [guest("family"), "5", "500"])
        assert counts.get("swap-out", 0) >= 5 and counts.get("swap-in", 0) >= 4, counts


def processes_that_wait_for_one_another_take_turns_in_memory():
    """Pipelines of processes that do not fit beside one another: who waits for a pipe is not pinned, whichever end it has."""
    busybox = shutil.which("busybox")
    if not busybox:
        return "busybox is not here"
    script = "%(b)s seq 1 30000 | %(b)s sort -rn | %(b)s head -2; %(b)s seq 1 60000 | %(b)s wc -c" % {"b": busybox}
    for fast in ([], ["--fast"]):
        counts = same(["--memory", "7M", "--swap", "64M", *fast], [busybox, "sh", "-c", script])
        assert counts.get("swap-in", 0) >= 2, counts
    return None


def compaction_makes_room():
    """3 MiB are free, in holes of 2 and 1: enough for a block of 2.8 only when they are one."""
    words = [guest("gap"), str(1500 << 10)]
    for fit in FITS:
        options = ["--memory", "9M", "--partition", "2M", "--fit", fit]
        got = machine(options, words)
        assert (got[0], got[1]) == (0, "refused\n6\n"), got[:3]
        assert replay(got[3]).get("refuse") == 1
        got = machine([*options, "--compact"], words)
        assert (got[0], got[1]) == (0, "grown\n6\n"), got[:3]
        counts = replay(got[3])
        assert counts.get("move") == 1 and counts.get("migrate") == 1, counts


def a_store_beyond_the_limit_ends_that_process_only():
    for fast in ([], ["--fast"]):
        for address in ("0x10000", "0x3ff000", "0x20000000", "0x7f0000000000", "0x3ff00000000"):
            got = machine(["--memory", "16M", *fast], [guest("reach"), address])
            assert (got[0], got[1]) == (0, "child: Segmentation fault\nparent: lives\n"), got[:3]
            hits = [e for e in got[3]["events"] if e["event"] == "limit"]
            assert len(hits) == 1 and int(hits[0]["address"], 16) == int(address, 16) and hits[0]["pid"] == 1001, hits
            assert got[4]["partition"]["beyond_limit"] == 1, got[4]["partition"]
            replay(got[3])
    # within the limit nothing is checked: the room is the process's
    got = machine(["--memory", "16M"], [guest("reach"), "+4096"])
    assert got[1].startswith("child: lived"), got[1]
    got = machine(["--memory", "16M", "--heap", "64K"], [guest("reach"), "+0x100000"])
    assert got[1].startswith("child: Segmentation fault"), got[1]


def the_cause_is_named():
    for options, words, text in (
            (["--memory", "16M"], [guest("reach"), "0x10"], ""),
            (["--memory", "16M"], ["/bin/true"], "dynamically linked|position-independent"),
            (["--memory", "1M"], [guest("heap")], "more than the 1024 KiB of memory"),
            (["--memory", "16M", "--partition", "17M"], [guest("heap")], "needs 17408 KiB in one piece, more than the 16384 KiB"),
            (["--memory", "16M", "--partition", "64K"], [guest("heap")], "more than the 64 KiB of its partition"),
            (["--tlb", "64x4"], ["true"], "--tlb has no meaning with --mmu base-limit"),
            (["--page-table", "hashed"], ["true"], "--page-table has no meaning"),
            (["--fit", "tight"], ["true"], "none of first, next, best and worst")):
        got = machine(options, words)
        assert (got[0] == 0) == (text == ""), got[:3]
        assert re.search(text, got[2]) and len(got[2].splitlines()) <= 1, got[2]
    bad = subprocess.run([PAGODA, "run", "--fit", "best", "true"], capture_output=True, text=True, timeout=400)
    assert bad.returncode == 2 and "--fit is of --mmu base-limit" in bad.stderr, bad.stderr


def a_fixed_block_refuses_to_grow():
    got = machine(["--memory", "16M", "--fixed", "--partition", "1M"], [guest("heap"), "20"])
    assert got[0] == 3, got[:3]
    counts = replay(got[3])
    assert counts.get("refuse", 0) > 0 and not counts.get("grow") and not counts.get("migrate"), counts
    same(["--memory", "16M", "--fixed", "--partition", "6M"], [guest("heap")])


def memory_calls_answer_as_documented():
    wanted = """mmap: ENOMEM
mmap fixed: ENOMEM
mmap nothing: EINVAL
mremap: ENOMEM
munmap inside: EINVAL
munmap outside: 0
mprotect inside: 0
mprotect outside: ENOMEM
mlock: 0
msync: 0
madvise free: 0
madvise dontneed: EINVAL
madvise guard: EINVAL
madvise dontfork: EINVAL
shmat: ENOMEM
sbrk far: ENOMEM
sbrk: 0
sbrk back: 0
sbrk again: 0
zero again: 0
vfork: 7
"""
    for fast in ([], ["--fast"]):
        got = machine(["--memory", "8M", *fast], [guest("calls")])
        assert (got[0], got[1]) == (0, wanted), got[1]


def maps_shows_image_heap_room_and_stack():
    got = machine(["--memory", "16M"], [guest("maps")])
    values = dict(re.findall(r"^(code|data|heap|stack|break) (0x\w+)$", got[1], re.M))
    regions = {m[3]: (int(m[0], 16), int(m[1], 16), m[2])
               for m in re.findall(r"^(\w+)-(\w+) (\S+) 00000000 00:00 0\s+(\S+)$", got[1], re.M)}
    image, heap, room, stack = (regions[n] for n in (guest("maps"), "[heap]", "[room]", "[stack]"))
    assert len(regions) == 4 and all(r[2] == "rwxp" for r in regions.values()), regions
    assert image[1] == heap[0] and heap[1] == room[0] and room[1] <= stack[0], regions
    for name, region in (("code", image), ("data", image), ("heap", heap), ("stack", stack)):
        assert region[0] <= int(values[name], 16) < region[1], (name, values, regions)
    assert heap[1] - 4096 < int(values["break"], 16) <= heap[1] + 20000, (values, regions)
    assert image[0] == 0x400000, image


def checks_are_counted_as_by_hand():
    """The programs' own files say how many lookups they make: here none is repeated, since nothing faults, and an access that lies in two
    pages is one."""
    for name, data, fetches in (("counts_loop", 5000, 1000), ("counts_crossing", 3 + 100 * 4, 400)):
        got = machine(["--memory", "4M"], [guest(name)])
        p = got[4]["partition"]
        assert (got[0], p["data_checks"], p["fetch_checks"], p["beyond_limit"]) == (0, data, fetches, 0), (name, p)
        assert got[4]["translation"] is None


def arguments_and_environment_arrive():
    busybox = shutil.which("busybox")
    if not busybox:
        return "busybox is not here"
    same(["--memory", "8M"], [busybox, "printf", "%s|", "a b", "", "c" * 3000])
    same(["--memory", "8M"], [busybox, "env"])
    return None


def main():
    with open(TEXT, "w", encoding="utf-8") as f:
        f.write("".join("line %d\n" % i for i in range(500)))
    tests = [static_programs_run_with_native_output, a_shell_and_its_tools_run, a_block_grows_in_place_and_by_migration,
             processes_are_swapped_out_whole_and_come_back_elsewhere, processes_that_wait_for_one_another_take_turns_in_memory, processes_of_more_than_twice_the_memory_end_as_natively, compaction_makes_room,
             a_store_beyond_the_limit_ends_that_process_only, the_cause_is_named, a_fixed_block_refuses_to_grow,
             memory_calls_answer_as_documented, maps_shows_image_heap_room_and_stack, checks_are_counted_as_by_hand,
             arguments_and_environment_arrive]
    print("1..%d" % len(tests))
    try:
        for number, test in enumerate(tests, 1):
            try:
                skipped = test()
                print("ok %d - %s%s" % (number, test.__name__, " # SKIP " + skipped if skipped else ""), flush=True)
            except (AssertionError, KeyError, IndexError, TypeError, subprocess.TimeoutExpired) as e:
                print("not ok %d - %s" % (number, test.__name__))
                print("# " + (type(e).__name__ + ": " + str(e)).replace("\n", "\n# "), flush=True)
    finally:
        shutil.rmtree(FOLDER)


main()
