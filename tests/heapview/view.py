#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`pagoda heap` beside programs that know their heaps (known.c), block by block, and beside what mallinfo2() says in them.

    view.py PAGODA KNOWN KNOWN_STATIC BYSTANDER OWN OBJECTS [--part glibc|pagoda|other | CASE...]

Output: TAP. The oracle is the program, with the C library's or libpagoda-malloc's own figures; the picture comes from outside.
"""

import collections
import json
import os
import re
import subprocess
import sys
import tempfile

PAGODA, KNOWN, STATIC, BYSTANDER, OWN, OBJECTS = sys.argv[1:7]
FAMILIES = ["sharded", "first-fit", "next-fit", "best-fit", "worst-fit"]
cases = []


def case(f):
    cases.append(f)
    return f


def heap(options, command, environment=None):
    """Runs pagoda heap; the picture, and what the program wrote."""
    with tempfile.TemporaryDirectory() as directory:
        picture = os.path.join(directory, "heap.json")
        run = subprocess.run(
            [PAGODA, "heap", "--json", picture, "--output", "/dev/null", *options, "--", *command],
            capture_output=True, text=True, timeout=100, env=environment)
        assert run.returncode == 0, f"{command}: {run.returncode}: {run.stderr}"
        with open(picture, encoding="utf-8") as file:
            return json.load(file), run.stdout


def told(text):
    """What known.c said: blocks by address, the most, mallinfo2."""
    blocks, most, info = {}, None, {}
    for line in text.splitlines():
        words = line.split()
        if words[0] == "block":
            blocks[int(words[1], 16)] = tuple(int(w) for w in words[2:])
        elif words[0] == "most":
            most = int(words[1]), int(words[2])
        elif words[0] == "info":
            info = {words[i]: int(words[i + 1]) for i in range(1, len(words), 2)}
    return blocks, most, info


def chunks_of(picture):
    return [c for a in picture["areas"] for c in a["chunks"]]


def same(what, is_, should):
    assert is_ == should, f"{what}: {is_} instead of {should}"


def check_shape(picture):
    """Areas in order; their chunks without gaps; figures that are sums; lists that lead where they say."""
    last = 0
    for area in picture["areas"]:
        at = int(area["start"], 16)
        assert at >= last, "areas overlap"
        for c in area["chunks"]:
            if area["kind"] == "calls":  # what lies between is not known
                assert int(c["address"], 16) >= at
                at = int(c["address"], 16)
            same(f"chunk after {at:#x}", int(c["address"], 16), at)
            at += c["bytes"]
        same(f"end of {area['name']}", at, int(area["end"], 16))
        last = at
        pages = (at - 1) // 4096 - int(area["start"], 16) // 4096 + 1
        if area["kind"] != "calls":
            same("pages", area["pages"], pages)
        assert area["idle_pages"] <= area["resident_pages"] <= pages
        assert area["free_pages"] <= area["idle_pages"]
    every = chunks_of(picture)
    totals = picture["totals"]
    for state in ("used", "free", "cached", "top", "own", "fence"):
        mine = [c["bytes"] for c in every if c["state"] == state]
        same(state, totals[state], {"chunks": len(mine), "bytes": sum(mine)})
    holes = [c["bytes"] for c in every if c["state"] in ("free", "cached")]
    same("holes", (totals["holes"], totals["hole_bytes"], totals["largest_hole_bytes"]),
         (len(holes), sum(holes), max(holes, default=0)))
    by_address = {c["address"]: c for c in every}
    on_lists = 0
    for number, list_ in enumerate(picture["lists"]):
        at, n, size = list_["first"], 0, 0
        while at:
            c = by_address[at]
            same(f"list of {at}", c["list"], number)
            assert c["state"] in ("free", "cached"), f"{at} on {list_['name']} is {c['state']}"
            at, n, size = c["next"], n + 1, size + c["bytes"]
        same(list_["name"], (n, size), (list_["chunks"], list_["bytes"]))
        on_lists += n
    if "sharded" not in picture["allocator"]:
        same("free chunks on lists", on_lists, len(holes))
    live = sum(s["live_bytes"] for s in picture["sites"])
    same("bytes of all sites", live, picture["calls"]["live_bytes"])
    same("requests of all blocks", sum(c["requested"] or 0 for c in every if c["site"] is not None), live)
    assert picture["problem"] is None, picture["problem"]


def check_blocks(picture, blocks, lines=True):
    """The program's blocks, and no others of its own making."""
    used = {int(c["block"], 16): c for c in chunks_of(picture) if c["state"] == "used"}
    for address, (requested, usable, line) in blocks.items():
        c = used.get(address)
        assert c, f"block {address:#x} of {requested} bytes is not there, or not in use"
        same(f"{address:#x} asked for", c["requested"], requested)
        same(f"{address:#x} usable", c["usable"], usable)
        if lines:
            frame = picture["sites"][c["site"]]["frames"][0]
            same(f"{address:#x} by", (frame["function"], frame["line"]), ("step", line))
    for address, c in used.items():
        frames = picture["sites"][c["site"]]["frames"] if c["site"] is not None else []
        if lines and frames and frames[0]["function"] == "step":
            assert address in blocks, f"block {address:#x} is drawn as in use, and was freed"


def check_glibc(picture, info):
    """mallinfo2 of the C library: malloc/malloc.c, int_mallinfo()."""
    fast = [l for l in picture["lists"] if "fast bin" in l["name"]]
    arenas = [a for a in picture["areas"] if a["kind"] in ("break", "arena")]
    mapped = [a for a in picture["areas"] if a["kind"] == "mapped"]
    tops = sum(1 for c in chunks_of(picture) if c["state"] == "top")
    size = sum(int(a["end"], 16) - int(a["start"], 16) for a in arenas)
    free = picture["totals"]["free"]
    fast_bytes = sum(l["bytes"] for l in fast)
    available = free["bytes"] + fast_bytes + picture["totals"]["top"]["bytes"]
    main = [a for a in arenas if a["name"].startswith("main")][0]
    same("mallinfo2", {
        "arena": size,
        "ordblks": free["chunks"] + tops,
        "smblks": sum(l["chunks"] for l in fast),
        "fsmblks": fast_bytes,
        "hblks": len(mapped),
        "hblkhd": sum(int(a["end"], 16) - int(a["start"], 16) for a in mapped),
        "uordblks": size - available,
        "fordblks": available,
        "keepcost": main["chunks"][-1]["bytes"],
    }, info)


def check_pagoda(picture, info):
    """mallinfo2 of libpagoda-malloc: what it counts in its own walk, src/heap/figures.c."""
    own = [a for a in picture["areas"] if a["kind"] in ("break", "segment")]
    mapped = [a for a in picture["areas"] if a["kind"] == "mapped"]
    used = sum(c["bytes"] for a in own for c in a["chunks"] if c["state"] in ("used", "cached"))
    is_ = {"uordblks": used, "hblks": len(mapped),
           "hblkhd": sum(int(a["end"], 16) - int(a["start"], 16) for a in mapped)}
    if "sharded" in picture["allocator"]:  # free slices are no blocks, and are drawn as one
        is_["arena"] = sum(int(a["end"], 16) - int(a["start"], 16) for a in own)
    else:
        is_["ordblks"] = picture["totals"]["free"]["chunks"]
        is_["fordblks"] = picture["totals"]["free"]["bytes"]
    same("mallinfo2", is_, {k: info[k] for k in is_})


def check_known(options, arguments, program=None, environment=None, lines=True):
    picture, text = heap(options, [program or KNOWN, *arguments], environment)
    blocks, most, info = told(text)
    assert len(blocks) > 20, "the program tells of too few blocks"
    check_shape(picture)
    check_blocks(picture, blocks, lines)
    return picture, blocks, most, info


# --- glibc --------------------------------------------------------------------------------------------------


@case
def glibc_blocks_lists_and_figures_are_the_programs():
    for seed in ("1", "2", "3"):
        picture, _, most, info = check_known([], [seed, "4000"])
        check_glibc(picture, info)
        same("allocator", picture["allocator"], "glibc")
        same("peak", (picture["calls"]["peak_live_bytes"], picture["calls"]["peak_at_call"]), most)


@case
def glibc_fast_bins_are_found():
    picture, _, _, info = check_known([], ["5", "6000", "0", "small"])
    check_glibc(picture, info)
    assert any("fast bin" in l["name"] for l in picture["lists"]), "there are none"
    assert any("cache of thread" in l["name"] for l in picture["lists"])


@case
def glibc_without_caches_blocks_are_the_programs():
    picture, _, _, info = check_known([], ["6", "3000"],
                                      environment={**os.environ, "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"})
    check_glibc(picture, info)
    assert not any("cache of thread" in l["name"] for l in picture["lists"])


@case
def glibc_arenas_of_threads_are_walked():
    picture, _, _, info = check_known([], ["7", "900", "4"])
    check_glibc(picture, info)
    assert sum(a["kind"] == "arena" for a in picture["areas"]) >= 2, "no arena but the main one"
    threads = {c["thread"] for c in chunks_of(picture) if c["thread"]}
    assert len(threads) >= 4, threads


@case
def glibc_static_program_is_walked():
    picture, _, _, info = check_known([], ["8", "2000"], STATIC)
    check_glibc(picture, info)


@case
def glibc_on_a_machine_of_blocks_is_walked():
    picture, _, _, info = check_known(["--mmu", "base-limit"], ["8", "2000"], STATIC)
    check_glibc(picture, info)
    same("pages in memory", picture["totals"]["resident_pages"], picture["totals"]["pages"])


@case
def glibc_of_another_version_is_not_walked_and_said():
    # the same library with another version in its text: its structures might be anything
    library = [line.split()[2] for line in subprocess.run(["ldd", KNOWN], capture_output=True, text=True, check=True).stdout.splitlines()
               if "libc.so.6" in line][0]
    with open(library, "rb") as file:
        code = file.read()
    version = re.search(rb"release version (2\.[0-9]+)\.", code)
    for other, strange in ((b"2.31", True), (b"2.32", False), (b"2.41", False), (b"2.42", True)):
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, "libc.so.6"), "wb") as file:
                file.write(code.replace(version.group(0), b"release version " + other + b"."))
            picture, text = heap([], ["/usr/bin/env", f"LD_LIBRARY_PATH={directory}", KNOWN, "3", "500"])
        blocks, most, _ = told(text)
        check_shape(picture)
        same(f"{other}: allocator", picture["allocator"], "an unknown allocator" if strange else "glibc")
        same(f"{other}: said", bool(picture["note"]) and "glibc " + other.decode() in picture["note"], strange)
        same(f"{other}: areas from calls", all(a["kind"] == "calls" for a in picture["areas"]), strange)
        same(f"{other}: lists", bool(picture["lists"]), not strange)
        if strange:
            check_blocks(picture, {a: (n, n, line) for a, (n, _, line) in blocks.items()})
        same("peak", (picture["calls"]["peak_live_bytes"], picture["calls"]["peak_at_call"]), most)


@case
def musl_is_drawn_from_its_calls():
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/examples/list.c")
    with tempfile.TemporaryDirectory() as directory:
        program = os.path.join(directory, "list")
        try:
            subprocess.run(["musl-gcc", "-g", "-o", program, source], check=True, capture_output=True)
        except FileNotFoundError:
            return
        picture, _ = heap([], [program])
    check_shape(picture)
    same("allocator", picture["allocator"], "an unknown allocator")
    assert picture["note"] and all(a["kind"] == "calls" for a in picture["areas"])
    sites = {s["frames"][0]["function"]: s["live_blocks"] for s in picture["sites"]}
    same("live blocks", (sites.get("push"), sites.get("make_text")), (30, 31))  # docs/heap.md: pop forgets a text


@case
def glibc_swapped_heap_is_read_without_bringing_it_in():
    picture, _, _, info = check_known(["--memory", "1M", "--swap", "64M"], ["9", "3000"], STATIC)
    check_glibc(picture, info)
    assert picture["totals"]["swapped_pages"] > 100, picture["totals"]["swapped_pages"]


@case
def glibc_fast_mode_and_other_page_tables_are_the_same():
    first = None
    for options in ([], ["--fast"], ["--page-table", "inverted"]):
        picture, _, _, info = check_known(options, ["10", "1500"])
        check_glibc(picture, info)
        shape = [(c["bytes"], c["state"], c["requested"]) for c in chunks_of(picture)]
        events = picture["events"]
        first = first or (shape, events)
        assert (shape, events) == first, options
        assert (picture["instructions"] is None) == ("--fast" in options)


# --- libpagoda-malloc ---------------------------------------------------------------------------------------


@case
def pagoda_blocks_and_figures_are_the_programs():
    for family in FAMILIES:
        picture, _, _, info = check_known(["--malloc", family], ["11", "3000"])
        same("allocator", picture["allocator"], f"pagoda-malloc {family}")
        check_pagoda(picture, info)


@case
def pagoda_blocks_of_threads_are_theirs():
    for family in ("sharded", "best-fit"):
        picture, _, _, info = check_known(["--malloc", family], ["13", "700", "4"])
        check_pagoda(picture, info)


# --- moments and processes ----------------------------------------------------------------------------------


@case
def moment_peak_is_within_a_hundredth():
    picture, text = heap(["--at", "peak"], [KNOWN, "1", "4000"])
    _, (most, _), _ = told(text)
    live = picture["calls"]["live_bytes"]
    check_shape(picture)
    assert most * 0.99 <= live <= most, (live, most)
    same("peak of the run", picture["calls"]["peak_live_bytes"], most)


@case
def moment_calls_is_exact():
    # the first 1000 calls of the program are the same in a run that ends there
    picture, _ = heap(["--at", "calls:1000"], [KNOWN, "1", "4000"])
    other, text = heap([], [KNOWN, "1", "1000"])
    check_shape(picture)
    same("calls", picture["calls"]["made"], 1000)
    blocks, _, _ = told(text)
    check_blocks(other, blocks)
    check_blocks(picture, blocks)


@case
def moment_instructions_is_the_first_call_after():
    picture, _ = heap(["--at", "instructions:500000"], [KNOWN, "1", "4000"])
    check_shape(picture)
    assert 500000 <= picture["instructions"] < 600000, picture["instructions"]


@case
def moment_that_does_not_come_is_an_error():
    run = subprocess.run([PAGODA, "heap", "--at", "calls:1000000", "--", KNOWN, "1", "10"],
                         capture_output=True, text=True, timeout=60)
    same("status", run.returncode, 2)
    assert "the moment did not come" in run.stderr, run.stderr


@case
def process_is_chosen_by_name_and_by_number():
    picture, text = heap(["--process", os.path.basename(KNOWN)], ["/bin/sh", "-c", f"{KNOWN} 3 900; true"])
    check_blocks(picture, told(text)[0])
    check_shape(picture)
    assert picture["program"].endswith(os.path.basename(KNOWN)) and picture["process"] != 1000
    picture, text = heap([], ["/bin/sh", "-c", f"{KNOWN} 3 900; true"])
    assert picture["process"] == 1000 and not picture["program"].endswith(os.path.basename(KNOWN))


@case
def process_that_execs_is_drawn_anew():
    picture, text = heap([], ["/bin/sh", "-c", f"exec {KNOWN} 3 900"])
    blocks, most, info = told(text)
    check_shape(picture)
    check_blocks(picture, blocks)
    check_glibc(picture, info)
    same("peak", (picture["calls"]["peak_live_bytes"], picture["calls"]["peak_at_call"]), most)


@case
def child_of_a_fork_is_walked_though_its_calls_were_not_seen():
    picture, text = heap(["--process", "1001"], [KNOWN, "4", "2000", "0", "fork", "small"])
    blocks, _, _ = told(text)
    used = {int(c["block"], 16): c for c in chunks_of(picture) if c["state"] == "used"}
    missing = [a for a in blocks if a not in used]
    assert not missing, f"{len(missing)} of {len(blocks)}"


MISUSE = """
#include <stdlib.h>
#include <string.h>
static char *volatile p, *volatile q;
static void twice(void) { free(p); free(p); }
static void inside(void) { free(p + 8); }
static void over(void) { memset(p, 'x', 48); }
int main(int argc, char **argv)
{
	p = malloc(40);
	q = malloc(40);
	malloc(10);
	if (argv[1][0] == 't')
		twice();
	if (argv[1][0] == 'i')
		inside();
	if (argv[1][0] == 'o')
		over();
	return 0;
}
"""


@case
def misuse_is_told_with_who_did_it():
    with tempfile.TemporaryDirectory() as directory:
        program = os.path.join(directory, "misuse")
        subprocess.run(["gcc", "-g", "-O0", "-w", "-x", "c", "-", "-o", program], input=MISUSE, text=True, check=True)
        for how, status, who, offset in (("twice", 134, "twice", 0), ("inside", 134, "inside", 8), ("over", 0, None, 0), ("none", 0, None, 0)):
            path, text = os.path.join(directory, "heap.json"), os.path.join(directory, "heap.txt")
            # meson draws MALLOC_PERTURB_, and with one value in four the program ends otherwise, natively too
            run = subprocess.run([PAGODA, "heap", "--json", path, "--output", text, program, how], capture_output=True, timeout=60,
                                 env=dict(os.environ, MALLOC_PERTURB_="0"))
            same(how, run.returncode, status)
            with open(path, encoding="utf-8") as file:
                picture = json.load(file)
            same(how + ": said", "misuse" in picture, bool(who))
            if who:
                same(how, picture["misuse"]["calls"], 1)
                same(how, picture["sites"][picture["misuse"]["site"]]["frames"][0]["function"], who)
                blocks = [int(c["block"], 16) for c in chunks_of(picture) if c["usable"] == 40]
                assert int(picture["misuse"]["first"], 16) - offset in blocks, picture["misuse"]
                with open(text, encoding="utf-8") as file:
                    assert re.search(r"misuse +1 call gave back .* by " + who + r" \(", file.read())
            # the header behind p is not one any more
            same(how + ": problem", "written over" in (picture["problem"] or ""), how == "over")


@case
def unknown_allocator_is_drawn_from_its_calls():
    # a malloc of its own: known.c with the blocks of own.c
    picture, text = heap([], ["/usr/bin/env", f"LD_PRELOAD={OWN}", KNOWN, "3", "500"])
    blocks, most, _ = told(text)
    check_shape(picture)
    check_blocks(picture, {a: (n, n, line) for a, (n, _, line) in blocks.items()})
    same("allocator", picture["allocator"], "an unknown allocator")
    same("peak", (picture["calls"]["peak_live_bytes"], picture["calls"]["peak_at_call"]), most)
    assert all(a["kind"] == "calls" for a in picture["areas"]) and picture["totals"]["internal_fragmentation"] is None
    assert picture["events"]["splits"] is None


@case
def program_without_symbols_is_walked():
    with tempfile.TemporaryDirectory() as directory:
        bare = os.path.join(directory, "bare")
        subprocess.run(["strip", "-o", bare, STATIC], check=True)
        picture, text = heap([], [bare, "3", "900", "0", "small"])
    blocks, _, info = told(text)
    check_shape(picture)
    check_glibc(picture, info)
    used = {int(c["block"], 16): c["usable"] for c in chunks_of(picture) if c["state"] == "used"}
    same("blocks", {a: used.get(a) for a in blocks}, {a: b[1] for a, b in blocks.items()})
    same("calls", picture["calls"]["made"], 0)


# --- events and the timeline --------------------------------------------------------------------------------


def ordinary_events(family, arguments):
    """Splits and coalesces by comparing walks after every single call: slow and obvious."""
    calls = heap(["--malloc", family] if family else [], [KNOWN, *arguments])[0]["calls"]["made"]
    before, splits, coalesces = None, 0, 0
    for n in range(1, calls + 1):
        picture, _ = heap([*(["--malloc", family] if family else []), "--at", f"calls:{n}"], [KNOWN, *arguments])
        now = {}
        for c in chunks_of(picture):
            now[int(c["address"], 16)] = (c["bytes"], c["state"])
        if before is not None:
            for at, (size, state) in now.items():
                if at in before:
                    continue
                inside = [b for b, (s, _) in before.items() if b < at < b + s]
                if inside and before[inside[0]][1] not in ("top", "fence"):
                    splits += 1
            for at, (size, state) in before.items():
                if at in now or state in ("top", "fence"):
                    continue
                inside = [b for b, (s, _) in now.items() if b < at < b + s]
                if inside and now[inside[0]][1] != "top":
                    coalesces += 1
        before = now
    return splits, coalesces


@case
def events_are_those_between_walks_after_each_call():
    for family, arguments in ((None, ["14", "45", "0", "few"]), ("best-fit", ["19", "32", "0", "few"])):
        picture, _ = heap(["--malloc", family] if family else [], [KNOWN, *arguments])
        should = ordinary_events(family, arguments)
        is_ = picture["events"]["splits"], picture["events"]["coalesces"]
        assert min(should) > 2, should
        same(f"{family}: splits and coalesces", is_, should)


@case
def timeline_rises_and_ends_with_the_picture():
    picture, _ = heap([], [KNOWN, "1", "4000"])
    line = picture["timeline"]
    assert 20 <= len(line) <= 256, len(line)
    calls = [s["calls"] for s in line]
    same("order", calls, sorted(set(calls)))
    totals = picture["totals"]
    last = line[-1]
    same("last sample", (last["live_bytes"], last["heap_bytes"], last["hole_bytes"], last["resident_pages"]),
         (picture["calls"]["live_bytes"], totals["heap_bytes"], totals["hole_bytes"], totals["resident_pages"]))
    assert max(s["live_bytes"] for s in line) <= picture["calls"]["peak_live_bytes"]


# --- real programs ------------------------------------------------------------------------------------------


def real(command, options=()):
    with tempfile.TemporaryDirectory() as directory:
        said = os.path.join(directory, "info")
        words = ["/usr/bin/env", f"BYSTANDER={said}", f"LD_PRELOAD={BYSTANDER}", *command]
        picture, text = heap(options, words)
        with open(said, encoding="utf-8") as file:
            info = told(file.read())[2]
    check_shape(picture)
    used = picture["totals"]["used"]["chunks"]
    same("blocks with a known request", picture["totals"]["known_blocks"], used)
    return picture, info, text


@case
def real_bash_has_the_figures_of_mallinfo():
    picture, info, text = real(["bash", "--norc", "-c", "for i in {1..200}; do a[i]=$i$i$i; done; unset a[7]; echo ${#a[@]}"])
    same("output", text, "199\n")
    check_glibc(picture, info)


@case
def real_python_has_the_figures_of_mallinfo():
    picture, info, text = real(["/usr/bin/python3", "-S", "-c", "x = [str(i) * 200 for i in range(500)]; print(len(x))"])
    same("output", text, "500\n")
    check_glibc(picture, info)


@case
def real_ls_has_the_figures_of_mallinfo_at_its_end():
    picture, info, _ = real(["ls", "-l", "/usr/bin"])
    check_glibc(picture, info)


@case
def cxx_blocks_belong_to_who_called_new():
    picture, _ = heap(["--at", "peak"], [OBJECTS])
    check_shape(picture)
    first = [s["frames"][0]["function"] for s in picture["sites"] if s["live_bytes"]]
    assert first and not any(f.startswith(("_Znw", "_Zna", "operator new")) for f in first), first
    names = {(f["function"], f["symbol"]) for s in picture["sites"] for f in s["frames"]}
    assert any(shown == "std::thread::_M_start_thread" or "::" in shown and raw.startswith("_Z") for shown, raw in names if raw), names
    raw, _ = heap(["--at", "peak", "--no-demangle"], [OBJECTS])
    assert all(f["function"] == f["symbol"].split("@")[0] for s in raw["sites"] for f in s["frames"] if f["symbol"])


# --- text and SVG -------------------------------------------------------------------------------------------


@case
def text_shows_the_map_lists_sites_and_blocks():
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    run = subprocess.run([PAGODA, "heap", "--blocks", "--top", "0", "--", KNOWN, "2", "400"], capture_output=True,
                         text=True, timeout=60, env=environment)
    same("status", run.returncode, 0)
    for word in ("memory map", "free lists", "over time", "who asked for what is live", "internal fragmentation",
                 "external fragmentation", "splits", "main arena, on the program break"):
        assert word in run.stderr, f"no '{word}' in the text"
    assert "\033" not in run.stderr, "colours where there is no terminal"
    blocks = told(run.stdout)[0]
    for address, (requested, usable, _) in blocks.items():
        row = re.search(rf"^ *{address:#x} .*$", run.stderr, re.M)
        assert row, f"{address:#x} is not listed"
        words = row[0].replace(",", "").split()
        same(f"{address:#x}", (int(words[2]), int(words[3]), words[4]), (usable, requested, "used"))


@case
def svg_has_each_large_block_with_its_figures():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "heap.svg")
        picture, _ = heap(["--svg", path], [KNOWN, "2", "400"])
        with open(path, encoding="utf-8") as file:
            drawing = file.read()
    import xml.etree.ElementTree as ElementTree
    ElementTree.fromstring(drawing)
    for c in chunks_of(picture):
        if c["bytes"] >= 4096 and c["state"] == "used":
            assert f"{c['block']}: {c['bytes']} bytes, used, asked for {c['requested']}" in drawing, c["block"]


@case
def options_that_make_no_sense_are_refused():
    for words, why in ((["--at", "noon"], "--at"), (["--fast", "--at", "instructions:5"], "--fast"),
                       (["--callers", "0"], "--callers"), (["--bogus"], "--bogus"),
                       (["--process", "nobody", "--", "true"], "nobody"), (["--json", ""], "--json")):
        run = subprocess.run([PAGODA, "heap", *words, *([] if "--" in words else ["--", "true"])],
                             capture_output=True, text=True, timeout=60)
        same(f"status of {words}", run.returncode, 2)
        assert why in run.stderr, (words, run.stderr)


def main():
    words = sys.argv[7:]
    if words[:1] == ["--part"]:
        parts = ("glibc", "pagoda")
        chosen = [f for f in cases if (f.__name__.startswith(words[1]) if words[1] in parts
                                       else not f.__name__.startswith(parts))]
    else:
        chosen = [f for f in cases if not words or any(w in f.__name__ for w in words)]
    print(f"1..{len(chosen)}")
    for number, f in enumerate(chosen, 1):
        try:
            f()
            print(f"ok {number} - {f.__name__}")
        except (AssertionError, subprocess.TimeoutExpired, KeyError, IndexError) as error:
            print(f"not ok {number} - {f.__name__}")
            for line in f"{type(error).__name__}: {error}"[:1500].splitlines():
                print(f"# {line}")
        sys.stdout.flush()


main()
