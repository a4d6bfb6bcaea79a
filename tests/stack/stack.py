#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`pagoda stack` beside programs that know their stacks, and beside gdb. stack.py PAGODA FOLDER. Prints TAP.

Requirements R15, R16 and R23 (spec: stack frames, thread stacks, the figures)."""
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

PAGODA, FOLDER = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
HERE = os.path.dirname(os.path.abspath(__file__))
CC = os.environ.get("CC", "gcc").split()
KINDS = {"plain": ["-O0"], "fast": ["-O2"], "bare": ["-O2", "-fomit-frame-pointer"],
         "based": ["-O2", "-fno-omit-frame-pointer", "-fno-asynchronous-unwind-tables"],
         "bare0": ["-O0", "-fomit-frame-pointer"]}


def build(source, name, *flags):
    path = os.path.join(FOLDER, name)
    subprocess.run([*CC, "-g", *flags, os.path.join(HERE, source), "-o", path, "-pthread"], check=True, timeout=400)
    return path


def stack(program, *words, options=(), status=None):
    """The JSON of a run, what it wrote, and its text."""
    out, text = os.path.join(FOLDER, "out.json"), os.path.join(FOLDER, "out.txt")
    done = subprocess.run([PAGODA, "stack", "--json", out, "--output", text, *options, "--", program, *words],
                          capture_output=True, text=True, timeout=400, env={"PATH": "/usr/bin:/bin", "LD_BIND_NOW": "1"})
    if status is not None and done.returncode != status:
        raise AssertionError("exit status %d: %s" % (done.returncode, done.stderr))
    with open(out, encoding="utf-8") as f, open(text, encoding="utf-8") as t:
        return json.load(f), done.stdout, t.read()


def function(figures, name):
    found = [f for f in figures["over_time"]["functions"] if f["function"] == name]
    return found[0] if found else {"calls": 0, "depth_max": 0, "bytes_max": 0, "instructions": 0}


def number(text):
    return int(text, 16) if text else 0


def current(figures):
    return [s for s in figures["stacks"] if s["current"]][0]


# ---- frame by frame

def program_and_picture_agree(kind, *machine):
    """What the program says of each frame: frame address, return address, where a local lies. A shell that executes it is forgotten."""
    program = os.path.join(FOLDER, "known_" + kind)
    words = ("/bin/sh", "-c", "exec " + program) if machine == ("exec",) else (program,)
    figures, said, _ = stack(*words, options=("--at", "stop_here", "--frames", "0", *[m for m in machine if m != "exec"]), status=0)
    wrong = []
    names = {"leaf": "buffer", "with_shape": "mine", "recurse": "numbers", "main": "shape"}
    told = [line.split() for line in said.splitlines()]
    frames = [f for f in current(figures)["frames"] if f["scopes"][-1]["function"] in names]
    if len(frames) != len(told):
        return ["%d frames, the program has %d" % (len(frames), len(told))]
    # the program speaks from the outermost inwards
    for (name, frame, back, local), found in zip(reversed(told), frames):
        scope = found["scopes"][-1]
        if scope["function"] != name:
            wrong.append("%s where %s is" % (scope["function"], name))
            continue
        if number(found["return_address"]) != number(back):
            wrong.append("%s: returns to %s, not %s" % (name, found["return_address"], back))
        # with a base pointer the frame address is where the caller's is saved, 16 bytes below the frame's end
        if number(found["high"]) != number(frame) + 16 and name != "main":
            wrong.append("%s: frame ends at %s, frame address is %s" % (name, found["high"], frame))
        place = [v for v in scope["variables"] if v["name"] == names[name]]
        if kind != "based" and (not place or number(place[0].get("address")) != number(local)):
            wrong.append("%s: %s is at %s, not %s" % (name, names[name], place, local))
    return wrong


def gdb_frames(program):
    script = os.path.join(HERE, "frames.gdb.py")
    done = subprocess.run(["gdb", "-batch", "-nx", "-ex", "set startup-with-shell off", "-ex", "set debuginfod enabled off",
                           "-ex", "set print null-stop on", "-ex", "unset env LINES", "-ex", "unset env COLUMNS",
                           "-ex", "break *stop_here", "-ex", "run", "-x", script, program],
                          capture_output=True, text=True, timeout=400, env={"PATH": "/usr/bin:/bin", "LD_BIND_NOW": "1"})
    line = [l for l in done.stdout.splitlines() if l.startswith("FRAMES ")]
    return json.loads(line[0][7:]) if line else None


def plain(text):
    """A value of Pagoda's without what gdb's format leaves out: the string behind a pointer."""
    return re.sub(r"(0x[0-9a-f]+) \"[^\"]*\"(\.\.\.)?", r"\1", text or "")


def debugger_and_picture_agree(kind):
    """The same functions, inlined ones too, the same stack pointers, the same values of the same variables."""
    program = os.path.join(FOLDER, "known_" + kind)
    native = gdb_frames(program)
    if native is None:
        return ["# SKIP gdb cannot run programs here"]
    figures, _, _ = stack(program, options=("--at", "stop_here", "--frames", "0"), status=0)
    mine = []
    for frame in current(figures)["frames"]:
        for scope in frame["scopes"]:
            mine.append((scope, frame))
    wrong = []
    # stop_here itself is at its first instruction in gdb and at its last here; main is the last compared
    last = [i for i, f in enumerate(native) if f["function"] == "main"][0]
    compared = 0
    for i in range(1, last + 1):
        scope, frame = mine[i]
        want = native[i]
        if (scope["function"], scope["inlined"]) != (want["function"], want["inlined"]):
            wrong.append("#%d: %s, gdb says %s" % (i, scope["function"], want["function"]))
            break
        if number(frame["pc"]) != want["pc"]:
            wrong.append("#%d: pc %s, gdb says %x" % (i, frame["pc"], want["pc"]))
        if number(frame["low"]) != want["sp"]:
            wrong.append("#%d: rsp %s, gdb says %x" % (i, frame["low"], want["sp"]))
        values = {v["name"]: (plain(v["value"]) if v["value"] is not None else v["why_none"]) for v in scope["variables"]}
        for name, value in want["variables"].items():
            if value is None:
                continue
            compared += 1
            value = plain(value)
            if values.get(name) != value:
                wrong.append("#%d %s: %s = %s, gdb says %s" % (i, want["function"], name, values.get(name), value))
        for name in set(values) - set(want["variables"]):
            wrong.append("#%d %s: %s is none of gdb's" % (i, want["function"], name))
    if compared < 20:
        wrong.append("only %d variables compared" % compared)
    return wrong


def pages_limit_and_guard_are_linux_s():
    figures, _, text = stack(os.path.join(FOLDER, "known_plain"), options=("--at", "stop_here", "--stack-limit", "1M"), status=0)
    s = current(figures)
    wrong = []
    if not s["grows"] or number(s["mapping_high"]) - number(s["floor"]) != 1 << 20:
        wrong.append("limit: %s .. %s" % (s["floor"], s["mapping_high"]))
    if number(s["guard_high"]) != number(s["floor"]) or number(s["guard_high"]) - number(s["guard_low"]) != 1 << 20:
        wrong.append("guard: %s .. %s" % (s["guard_low"], s["guard_high"]))
    if s["pages"] != len(s["page_map"]) or s["page_map"].count("#") != s["pages_resident"] or s["page_map"][0] != "#":
        wrong.append("pages: %s" % s["page_map"])
    if "guard 0x" not in text or "[" + s["page_map"] + "]" not in text:
        wrong.append("the text does not say so")
    return wrong


# ---- counts

def calls_are_those_known_by_hand():
    """fib(12): 465 calls of itself; begin() and the calls of _start; nothing returns from begin."""
    figures, _, _ = stack(os.path.join(FOLDER, "counted"), status=16)
    t = figures["over_time"]
    wrong = []
    if (t["calls"], t["returns"]) != (466, 465):
        wrong.append("%d calls, %d returns" % (t["calls"], t["returns"]))
    if function(figures, "fib")["calls"] != 465:
        wrong.append("fib: %d" % function(figures, "fib")["calls"])
    # fib(12) -> fib(11) -> ... -> fib(1): 12 deep, on _start and begin
    if function(figures, "fib")["depth_max"] != 14:
        wrong.append("deepest %d" % function(figures, "fib")["depth_max"])
    if any(t[k] for k in ("entered_by_jump", "left_without_return", "returns_to_nobody", "stack_switches", "signal_handlers")):
        wrong.append("something odd in a program that has nothing odd: %s" % t)
    return wrong


def depth_of_recursion_is_known():
    """1000 calls of down(), each frame of the same size."""
    figures, _, _ = stack(os.path.join(FOLDER, "counted"), "deep", options=("--frames", "10"))
    s, f, t = current(figures), function(figures, "down"), figures["over_time"]["threads"][0]
    wrong = []
    if (f["calls"], f["depth_max"], s["frames_in_all"]) != (1000, 1002, 1002):
        wrong.append("%s, %d frames" % (f, s["frames_in_all"]))
    if len(s["frames"]) != 10 or s["repeated"]["chain"] != "down -> down" or s["repeated"]["times"] != 1000:
        wrong.append("shown: %d, %s" % (len(s["frames"]), s.get("repeated")))
    sizes = {number(x["high"]) - number(x["low"]) for x in s["frames"] if x["scopes"][0]["function"] == "down" and x["level"] > 0}
    if len(sizes) != 1 or sizes != {f["bytes_max"]}:
        wrong.append("frames of %s bytes, the largest is said to be %d" % (sizes, f["bytes_max"]))
    if f["bytes"] != 999 * f["bytes_max"] + 8:
        wrong.append("all frames: %d" % f["bytes"])
    if t["bytes_max"] < 999 * f["bytes_max"] or t["bytes_max"] > 1001 * f["bytes_max"] + 64:
        wrong.append("deepest: %d bytes" % t["bytes_max"])
    return wrong


def folded(program, weight, *words):
    path = os.path.join(FOLDER, "out.folded")
    stack(program, *words, options=("--folded", path, "--weight", weight))
    with open(path, encoding="utf-8") as f:
        return [(line.rsplit(" ", 1)[0].split(";"), int(line.rsplit(" ", 1)[1])) for line in f]


SHOP = """
#include <string>
#include <vector>
namespace shop {
struct Store {
	std::vector<std::string> names;
	__attribute__((noinline)) void add(const char *name) { names.push_back(std::string("a name that is longer than a short string: ") + name); }
	__attribute__((noinline)) void add(int n) { names.resize((unsigned)n); }
};
}
int main()
{
	shop::Store s;
	s.add("apple");
	s.add(20);
	return s.names.size() != 20;
}
"""


def cxx_names_are_those_of_the_source():
    program = os.path.join(FOLDER, "shop")
    try:
        subprocess.run(["g++", "-g", "-O0", "-x", "c++", "-", "-o", program], input=SHOP, text=True, check=True, timeout=400)
    except FileNotFoundError:
        return ["# SKIP no g++"]
    wrong = []
    # both functions of the name are waited for; the second one's call is the first to have an int
    figures, _, text = stack(program, options=("--at", "shop::Store::add:2"), status=0)
    scope = current(figures)["frames"][0]["scopes"][0]
    if scope["function"] != "shop::Store::add" or not scope["symbol"].startswith("_ZN4shop5Store3addEi"):
        wrong.append("frame: %s %s" % (scope["function"], scope["symbol"]))
    if [v["type"] for v in scope["variables"] if v["name"] == "n"] != ["int"]:
        wrong.append("variables: %s" % scope["variables"])
    if "shop::Store::add+0x" not in text or "_ZN" in text or "std::vector<...>::" not in text:
        wrong.append("text")
    rows = [f for f in figures["over_time"]["functions"] if f["function"] == "shop::Store::add"]
    if sorted(f["symbol"] for f in rows) != ["_ZN4shop5Store3addEPKc", "_ZN4shop5Store3addEi"] or any(f["calls"] != 1 for f in rows):
        wrong.append("functions: %s" % rows)
    chains = folded(program, "calls")
    if not any(c[-2:] == ["main", "shop::Store::add"] and w == 2 for c, w in chains) and \
            [w for c, w in chains if c[-2:] == ["main", "shop::Store::add"]] != [1, 1]:
        wrong.append("folded: %s" % [c for c, _ in chains if "main" in c][:3])
    figures, _, text = stack(program, options=("--no-demangle", "--at", "_ZN4shop5Store3addEi"), status=0)
    if current(figures)["frames"][0]["scopes"][0]["function"] != "_ZN4shop5Store3addEi" or "shop::Store" in text:
        wrong.append("--no-demangle")
    return wrong


def process_is_the_one_that_was_chosen():
    wrong = []
    program = os.path.join(FOLDER, "counted")
    words = ("/bin/sh", "-c", "/bin/true; %s; exit 3" % program)
    figures, _, text = stack(*words, options=("--process", "counted"))
    if function(figures, "fib")["calls"] != 465 or figures["process"] != 1002 or figures["program"] != program:
        wrong.append("by name: %s %s %s" % (function(figures, "fib"), figures["process"], figures["program"]))
    if "stacks of " + program not in text:
        wrong.append("heading: %s" % text[:80])
    figures, _, _ = stack(*words, options=("--process", "1002"))
    if function(figures, "fib")["calls"] != 465: # the child executes it, and is looked at anew
        wrong.append("by number: %s" % function(figures, "fib"))
    figures, _, _ = stack(*words)
    if function(figures, "fib")["calls"] or figures["process"] != 1000:
        wrong.append("the first: %s" % function(figures, "fib"))
    # a child that executes nothing
    figures, _, _ = stack("/bin/sh", "-c", "(:; :); :", options=("--process", "1001"), status=0)
    if figures["process"] != 1001 or not figures["over_time"]["calls"]:
        wrong.append("child: %s %s" % (figures["process"], figures["over_time"]["calls"]))
    return wrong


def folded_chains_add_up():
    program = os.path.join(FOLDER, "counted")
    figures, _, _ = stack(program)
    wrong = []
    calls = folded(program, "calls")
    if sum(w for _, w in calls) != 467: # and _start, which nobody calls
        wrong.append("calls: %d" % sum(w for _, w in calls))
    # Pascal: fib(12) has C(k, n - k)-like many calls at each depth; the first is one call, the second two
    per_depth = {}
    for chain, w in calls:
        per_depth[len(chain)] = per_depth.get(len(chain), 0) + w
    if [per_depth.get(d) for d in (1, 2, 3, 4, 5)] != [1, 1, 1, 2, 4]:
        wrong.append("by depth: %s" % per_depth)
    counted = figures["over_time"]["functions"][0]["instructions"] is not None  # not without AVX-512VL
    count = sum(w for _, w in folded(program, "instructions")) if counted else figures["run"]["instructions"]
    if not 0 <= figures["run"]["instructions"] - count <= 16:
        wrong.append("instructions: %d of %d" % (count, figures["run"]["instructions"]))
    total = sum(w for _, w in folded(program, "bytes"))
    if total != sum(f["bytes"] for f in figures["over_time"]["functions"]):
        wrong.append("bytes: %d" % total)
    if max(len(c) for c, _ in folded(program, "calls", "deep")) > 257:
        wrong.append("a line of more than 256 functions")
    return wrong


def figures_are_those_of_a_plain_run():
    wrong = []
    for words in ([os.path.join(FOLDER, "known_plain")], [os.path.join(FOLDER, "odd_fast"), "jumps"]):
        path = os.path.join(FOLDER, "plain.json")
        subprocess.run([PAGODA, "run", "--quiet", "--json", path, "--", *words], capture_output=True, timeout=400,
                       env={"PATH": "/usr/bin:/bin", "LD_BIND_NOW": "1"}, check=True)
        with open(path, encoding="utf-8") as f:
            text = f.read()
        plain_run = json.loads(text)
        figures, _, _ = stack(*words)
        flat = {}

        def walk(v, under):
            for k, x in v.items() if isinstance(v, dict) else ():
                flat.setdefault(k, x)
                walk(x, k)
        walk(plain_run, "")
        for mine, theirs in (("instructions", "instructions"), ("system_calls", "system_calls")):
            if flat.get(theirs) != figures["run"][mine]:
                wrong.append("%s: %s, %s in a plain run" % (mine, figures["run"][mine], flat.get(theirs)))
        for mine in ("data_lookups", "fetch_lookups"):
            if '"%s": %d' % (mine, figures["run"][mine]) not in text:
                wrong.append("%s: %d is not in a plain run's figures" % (mine, figures["run"][mine]))
    return wrong


# ---- what is odd

def longjmp_is_followed(kind):
    figures, _, _ = stack(os.path.join(FOLDER, "odd_" + kind), "jumps", status=0)
    wrong = []
    if function(figures, "climb")["calls"] != 55:
        wrong.append("climb: %d calls" % function(figures, "climb")["calls"])
    if not 55 <= figures["over_time"]["left_without_return"] <= 70:
        wrong.append("left: %d" % figures["over_time"]["left_without_return"])
    # each time from the same depth: without resynchronising it would be 55 deep
    chain = figures["over_time"]["threads"][0]["longest_chain"]
    if chain.count("climb") > 11 or function(figures, "quiet")["depth_max"] > 7:
        wrong.append("chain %s, quiet at %d" % (chain, function(figures, "quiet")["depth_max"]))
    if figures["over_time"]["returns_to_nobody"]:
        wrong.append("strays")
    return wrong


def handlers_are_followed(kind):
    figures, _, _ = stack(os.path.join(FOLDER, "odd_" + kind), "signals",
                          options=("--at", "in_handler", "--frames", "0"), status=0)
    t, names = figures["over_time"], [s["scopes"][-1] for s in current(figures)["frames"]]
    wrong = []
    if (t["signal_handlers"], t["returns_to_nobody"]) != (4, 0):
        wrong.append("%d handlers, %d strays" % (t["signal_handlers"], t["returns_to_nobody"]))
    if function(figures, "in_handler")["calls"] != 4 or function(figures, "handler")["calls"] not in (0, 4):
        wrong.append("in_handler: %s" % function(figures, "in_handler"))
    if not current(figures)["alternate_signal_stack"]:
        wrong.append("not on the alternate stack")
    functions = [n["function"] for n in names]
    if not any(n["signal_frame"] for n in names) or "main" not in functions or functions[0] != "in_handler":
        wrong.append("frames: %s" % functions)
    # main is at its own depth again afterwards
    if function(figures, "quiet")["depth_max"] > 12:
        wrong.append("quiet at %d" % function(figures, "quiet")["depth_max"])
    return wrong


def contexts_are_followed(kind):
    figures, _, _ = stack(os.path.join(FOLDER, "odd_" + kind), "contexts", status=0)
    t, wrong = figures["over_time"], []
    # first() makes 10 turns of 5 calls, second() at least 9 of 8
    if function(figures, "turn")["calls"] not in (50 + 72, 50 + 80):
        wrong.append("turn: %d" % function(figures, "turn")["calls"])
    if not 18 <= t["stack_switches"] <= 24:
        wrong.append("%d switches" % t["stack_switches"])
    # each stack by itself: never deeper than second's 8 turns, swapcontext and quiet on their base
    if not 9 <= function(figures, "turn")["depth_max"] <= 10:
        wrong.append("turn at %d" % function(figures, "turn")["depth_max"])
    return wrong


def tail_calls_are_followed():
    figures, _, _ = stack(os.path.join(FOLDER, "odd_fast"), "tails", status=0)
    wrong = []
    even, odd = function(figures, "even"), function(figures, "odd")
    if (even["calls"], odd["calls"]) != (11, 10):
        wrong.append("even %d, odd %d" % (even["calls"], odd["calls"]))
    if even["depth_max"] != odd["depth_max"] or figures["over_time"]["entered_by_jump"] < 20:
        wrong.append("depths %d and %d" % (even["depth_max"], odd["depth_max"]))
    return wrong


def threads_stand_side_by_side():
    figures, _, text = stack(os.path.join(FOLDER, "odd_plain"), "threads",
                             options=("--at", "stop_here", "--frames", "0"), status=0)
    wrong, guards = [], set()
    if len(figures["stacks"]) != 5:
        return ["%d stacks" % len(figures["stacks"])]
    for i, s in enumerate(figures["stacks"][1:], 1):
        names = [f["scopes"][-1]["function"] for f in s["frames"]]
        if names.count("deep") != 10 * i + 1 or "worker" not in names:
            wrong.append("thread %d: %d times deep" % (s["tid"], names.count("deep")))
        levels = [v["value"] for f in s["frames"] for v in f["scopes"][-1]["variables"] if v["name"] == "n" and f["scopes"][-1]["function"] == "deep"]
        if levels != [str(n) for n in range(10 * i + 1)]:
            wrong.append("thread %d: n = %s" % (s["tid"], levels))
        guards.add((s.get("guard_low"), s.get("guard_high")))
        if number(s.get("guard_high")) != number(s["mapping_low"]) or number(s["guard_high"]) - number(s["guard_low"]) != 4096:
            wrong.append("guard of thread %d" % s["tid"])
    if len(guards) != 4 or not any("deep" in line and line.count("|") == 3 for line in text.splitlines()):
        wrong.append("not side by side")
    return wrong


def overflow_names_the_chain(kind, what, fast):
    program = os.path.join(FOLDER, "odd_" + kind)
    machine = ["--fast"] if fast else []
    figures, _, text = stack(program, what, options=("--stack-limit", "1M", *machine), status=139)
    plain_run = subprocess.run([PAGODA, "run", "--quiet", "--stack-limit", "1M", *machine, "--", program, what],
                               capture_output=True, text=True, timeout=400, env={"PATH": "/usr/bin:/bin", "LD_BIND_NOW": "1"})
    wrong = []
    repeated = figures.get("overflow", {}).get("repeated") or ""
    found = re.match(r"ping -> pong -> ping, ([0-9,]+) times in a stack of ([0-9,]+) frames", repeated)
    if not found:
        return ["it says: %r" % repeated]
    times, frames = (int(n.replace(",", "")) for n in found.groups())
    depth = max(t["depth_max"] for t in figures["over_time"]["threads"])
    if abs(frames - depth) > 2 or not frames // 2 - 10 < times <= frames // 2:
        wrong.append("%d times, %d frames, %d calls" % (times, frames, depth))
    if "stack overflow" not in plain_run.stderr or repeated not in plain_run.stderr:
        wrong.append("a plain run says: " + plain_run.stderr)
    if "stack overflow: ping -> pong" not in text:
        wrong.append("the text does not say so")
    return wrong


def null_is_no_overflow():
    """A fault that has nothing to do with the stack is not taken for one."""
    source = os.path.join(FOLDER, "null.c")
    with open(source, "w", encoding="utf-8") as f:
        f.write("int main(void) { return *(volatile int *)8; }\n")
    program = os.path.join(FOLDER, "null")
    subprocess.run([*CC, "-g", source, "-o", program], check=True, timeout=400)
    figures, _, text = stack(program, options=("--at", "signal:SEGV"), status=139)
    wrong = ["overflow"] if "overflow" in figures or "overflow" in text else []
    if current(figures)["frames"][0]["scopes"][0]["function"] != "main":
        wrong.append("not in main")
    return wrong


# ---- drawings

def film_of(program, *words, options=()):
    path = os.path.join(FOLDER, "film.html")
    stack(program, *words, options=("--film", path, *options))
    with open(path, encoding="utf-8") as f:
        page = f.read()
    start = page.index('type="application/json">') + len('type="application/json">')
    return page, json.loads(page[start:page.index("</script>", start)]), path


def film_shows_each_call_and_return():
    """As long as there is room for all, from one picture to the next a call comes or goes, and nothing else changes."""
    page, film, path = film_of(os.path.join(FOLDER, "odd_fast"), "tails")
    wrong = []
    if re.search(r"(src|href)\s*=|@import|fetch\(|XMLHttp", page):
        wrong.append("it asks for something else")
    if film["step"] != 1 or abs(len(film["frames"]) - film["events"]) > 1:
        return wrong + ["%d pictures of %d events" % (len(film["frames"]), film["events"])]
    for a, b in zip(film["frames"], film["frames"][1:]):
        if abs(a[2] - b[2]) != 1 or len(b[4]) != 2 * b[2]:
            wrong.append("from %s to %s" % (a[:4], b[:4]))
        keep = min(len(a[4]), len(b[4])) - 2
        if a[4][1:keep:2] != b[4][1:keep:2] or b[4][1::2] != sorted(b[4][1::2]):
            wrong.append("frames moved at event %d" % b[0])
    node = shutil.which("node")
    if node and not wrong:
        done = subprocess.run([node, os.path.join(HERE, "film.js"), path], capture_output=True, text=True, timeout=400)
        if done.returncode or "%d pictures" % len(film["frames"]) not in done.stdout:
            wrong.append(done.stdout + done.stderr)
    return wrong


def film_of_a_long_run_has_the_deepest():
    page, film, _ = film_of(os.path.join(FOLDER, "counted"), "deep")
    most = max(f[2] for f in film["frames"])
    wrong = [] if most == 1002 and film["step"] > 1 and len(film["frames"]) <= 602 else ["%d, %d, step %d" % (most, len(film["frames"]), film["step"])]
    line = film["threads"][0]["line"]
    if max(p[2] for p in line) != film["threads"][0]["most"] or min(p[1] for p in line) < 0:
        wrong.append("the line does not reach the most")
    return wrong


def drawing_is_well_formed():
    path = os.path.join(FOLDER, "out.svg")
    figures, _, _ = stack(os.path.join(FOLDER, "odd_plain"), "threads", options=("--at", "stop_here", "--svg", path))
    texts = [e.text or "" for e in xml.etree.ElementTree.parse(path).iter() if e.tag.endswith("text")]
    wrong = [] if sum(t.startswith("thread ") and "(" not in t for t in texts) >= 5 else ["threads: %s" % texts[:10]]
    return wrong if texts.count("deep") > 40 else wrong + ["deep: %d" % texts.count("deep")]


def words_are_checked():
    wrong = []
    program = os.path.join(FOLDER, "counted")
    for words, say in ((["--at", "signal:NONE"], "no signal"), (["--weight", "x"], "--weight"), (["--frames", "x"], "--frames"),
                       (["--nothing"], "no option"), (["--at", "nobody"], "called 0 times"),
                       (["--process", "nobody"], "no process ran a program of the name nobody"), (["--process", "7"], "no process 7"),
                       (["--process", "0"], "--process"), (["--process", ""], "--process"), (["--fast", "--at", "5"], "--fast"),
                       (["--json", "/nonexistent/x"], "cannot write")):
        done = subprocess.run([PAGODA, "stack", *words, "--", program], capture_output=True, text=True, timeout=400)
        if done.returncode != 2 or say not in done.stderr:
            wrong.append("%s: %d, %s" % (words, done.returncode, done.stderr[-200:]))
    return wrong


def main():
    os.makedirs(FOLDER, exist_ok=True)
    os.chdir(FOLDER)
    for kind, flags in KINDS.items():
        build("known.c", "known_" + kind, *flags)
    build("known.c", "known_static", "-O0", "-static", "-no-pie")
    build("odd.c", "odd_plain", "-O0")
    build("odd.c", "odd_fast", "-O2")
    build("counted.c", "counted", "-O2", "-static", "-nostdlib", "-fno-optimize-sibling-calls", "-fno-inline", "-fno-stack-protector")
    cases = []
    for kind in KINDS:
        if kind != "bare0":
            cases.append((program_and_picture_agree, kind))
        cases.append((debugger_and_picture_agree, kind))
    cases += [(program_and_picture_agree, "plain", "--fast"), (program_and_picture_agree, "fast", "--fast"),
              (program_and_picture_agree, "plain", "exec"), (program_and_picture_agree, "static", "--mmu", "base-limit"),
              (cxx_names_are_those_of_the_source,), (process_is_the_one_that_was_chosen,),
              (program_and_picture_agree, "plain", "--memory", "1M", "--swap", "16M")]
    cases += [(pages_limit_and_guard_are_linux_s,), (calls_are_those_known_by_hand,), (depth_of_recursion_is_known,),
              (folded_chains_add_up,), (figures_are_those_of_a_plain_run,)]
    for kind in "plain", "fast":
        cases += [(longjmp_is_followed, kind), (handlers_are_followed, kind), (contexts_are_followed, kind)]
        for what in "overflow", "thread overflow":
            cases.append((overflow_names_the_chain, kind, what, False))
    cases += [(overflow_names_the_chain, "plain", "overflow", True), (tail_calls_are_followed,), (threads_stand_side_by_side,),
              (null_is_no_overflow,), (film_shows_each_call_and_return,), (film_of_a_long_run_has_the_deepest,),
              (drawing_is_well_formed,), (words_are_checked,)]
    only = sys.argv[3:]
    cases = [c for c in cases if not only or c[0].__name__ in only]
    print("1..%d" % len(cases))
    for i, (case, *args) in enumerate(cases, 1):
        try:
            wrong = case(*args)
        except (AssertionError, subprocess.SubprocessError, KeyError, IndexError, ValueError) as e:
            wrong = ["%s: %s" % (type(e).__name__, e)]
        name = " ".join([case.__name__, *map(str, args)])
        if wrong and wrong[0].startswith("# SKIP"):
            print("ok %d - %s %s" % (i, name, wrong[0]))
            continue
        print("%s %d - %s" % ("not ok" if wrong else "ok", i, name))
        for line in wrong[:12]:
            print("# " + line.replace("\n", "\n# "))
        sys.stdout.flush()


main()
