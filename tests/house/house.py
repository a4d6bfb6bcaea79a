#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The house rules that a compiler does not check, as TAP. house.py SOURCE_ROOT BUILD

Each rule is a function that returns a list of complaints; an empty list passes. Each has a self-check:
it is first run on a made-up tree that breaks the rule, and must complain there.
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

# Low to high. A file may include its own floor and those before it; the library's floors end at reclaim.
# heap/ knows nothing of the others; whoever walks a heap may include its layout.
FLOORS = ["heap", "base", "frame", "store", "mmu", "space", "reclaim", "cpu", "linux", "trace", "ui"]
LIBRARY = FLOORS[: FLOORS.index("reclaim") + 1]
# The floors that have folders, and what a folder of theirs includes of the others, "" being the files beside the folders. A header that
# others may include is that of the folder's name or one of SHARED; all others are for the files of their own folder.
FOLDERS = {
    "linux": {
        "machine": ["", "process"],
        "process": ["", "machine", "files", "calls"],
        "files": ["machine", "proc", "calls"],
        "proc": ["machine", "files", "calls"],
        "exec": ["machine", "files", "calls"],
        "calls": ["machine", "files", "proc", "exec"],
        "": ["machine", "files", "proc", "exec", "calls"],
    },
    "ui": {
        "write": [],
        "words": ["write"],
        "run": ["write", "words"],
        "compare": ["write", "words", "run"],
        "size": ["write", "words", "run"],
        "heap": ["write", "words", "run"],
        "stack": ["write", "words", "run"],
        "partition": ["write", "words"],
        "": ["words", "run", "compare", "size", "heap", "stack", "partition"],
    },
}
SHARED = {
    "linux/files/peer.h",
    "ui/run/report.h", "ui/run/trial.h", "ui/words/options.h",
    "ui/write/format.h", "ui/write/json.h", "ui/write/output.h", "ui/write/svg.h", "ui/write/table.h",
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
SKIP_FOLDERS = re.compile(r"^(build.*|\.git|corpus|seeds|__pycache__|subprojects)$")
C_FILE = re.compile(r"\.[ch]$")
SCRIPT = re.compile(r"(\.(py|sh)|/Makefile|/run)$")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def files(root, pattern, under=("",)):
    """Paths relative to root that match, sorted; build folders and binary corpora left out."""
    found = set()
    for start in under:
        for folder, names, entries in os.walk(os.path.join(root, start)):
            names[:] = [n for n in names if not SKIP_FOLDERS.match(n)]
            for entry in entries:
                path = os.path.relpath(os.path.join(folder, entry), root)
                if path == ".git":  # a file, in a worktree
                    continue
                if pattern.search("/" + path) and not os.path.islink(os.path.join(root, path)):
                    found.add(path)
    return sorted(found)


def includes_point_down(root):
    wrong = []
    for path in files(root, C_FILE, ["src"]):
        floor = path.split("/")[1]
        if floor not in FLOORS:
            wrong.append("%s: no floor '%s'" % (path, floor))
            continue
        for target in INCLUDE.findall(read(os.path.join(root, path))):
            to = target.split("/")[0]
            if "/" not in target or to == "..":
                wrong.append('%s: "%s": write includes as FLOOR/FILE' % (path, target))
            elif to == "pagoda":
                continue  # the public header, which includes nothing of ours
            elif to not in FLOORS:
                wrong.append('%s: "%s" is not on a floor' % (path, target))
            elif FLOORS.index(to) > FLOORS.index(floor):
                wrong.append('%s: "%s" points up' % (path, target))
    return wrong


def folder_of(path):
    """linux/calls/mem.c -> calls; linux/linux.c -> ""."""
    return "/".join(path.split("/")[1:-1])


def folders_include_what_they_may(root):
    """And all that: a permission that nobody needs is to go."""
    wrong = []
    for floor, may in FOLDERS.items():
        unused = {(folder, to) for folder, others in may.items() for to in others}
        for path in files(root, C_FILE, ["src/" + floor]):
            folder = folder_of(path[len("src/"):])
            if folder not in may:
                wrong.append("%s: no folder '%s' on the floor '%s'" % (path, folder, floor))
                continue
            for target in INCLUDE.findall(read(os.path.join(root, path))):
                to = folder_of(target)
                if not target.startswith(floor + "/") or to == folder:
                    continue
                unused.discard((folder, to))
                if to not in may[folder]:
                    wrong.append('%s: "%s": %s does not include %s' % (path, target, folder or floor, to or floor))
                elif to and target != "%s/%s/%s.h" % (floor, to, to) and target not in SHARED:
                    wrong.append('%s: "%s" is for the files of its folder' % (path, target))
        wrong += ["%s: %s may include %s and does not" % (floor, folder or floor, to or floor) for folder, to in sorted(unused)
                  if os.path.exists(os.path.join(root, "src", floor, "meson.build"))]
    return wrong


def folders_are_on_the_map(root):
    design = read(os.path.join(root, "docs", "design.md"))
    return ["docs/design.md: no word of `%s/%s/`" % (floor, folder)
            for floor, may in FOLDERS.items() for folder in may
            if folder and "`%s/%s/`" % (floor, folder) not in design]


def system_calls_are_in_their_folder(root):
    """So that who looks for one finds it: every function of the table is in linux/calls/."""
    return ["%s: %s is a system call and not in linux/calls/" % (path, name)
            for path in files(root, re.compile(r"\.c$"), ["src/linux"])
            if folder_of(path[len("src/"):]) != "calls"
            for name in re.findall(r"^int64_t (pg_sys_\w+)\(", read(os.path.join(root, path)), re.M)]


def mentions_of_sources_are_current(root):
    """Where a document or a comment names FLOOR/FILE, there is such a file: it may have moved."""
    named = re.compile(r"(?<![\w/.<-])(?:src/)?((?:%s)/[a-z0-9_/]+\.[ch])\b" % "|".join(FLOORS))
    return ["%s:%d: no src/%s" % (path, number, name)
            for path in files(root, re.compile(r"\.([ch]|md|[1-8])$"), ["docs", "man", "include", "src", "tests", "bench"])
            + ["README.md"] * os.path.exists(os.path.join(root, "README.md"))
            for number, line in enumerate(read(os.path.join(root, path)).split("\n"), 1)
            for name in named.findall(line)
            if not os.path.exists(os.path.join(root, "src", name))]


def public_header_stands_alone(root):
    return [
        '%s: "%s": the public header may include system headers and its own folder only' % (path, t)
        for path in files(root, C_FILE, ["include"])
        for t in INCLUDE.findall(read(os.path.join(root, path)))
        if not t.startswith("pagoda/")
    ]


def library_makes_no_output(root):
    """No exit, print or abort below ui/. Exceptions: base/assert.c, for our own bugs; the end of a program that has
    misused malloc (heap/os.c) and malloc_stats, whose output is its purpose (heap/figures.c)."""
    call = re.compile(r"(?<![\w>.\"])((?:exit|_exit|abort|printf|vprintf|puts|perror|putchar)\s*\(|stdout\b|stderr\b)")
    wrong = []
    for path in files(root, C_FILE, ["src"]):
        floor = path.split("/")[1]
        if floor == "ui" or path in ("src/base/assert.c", "src/heap/os.c", "src/heap/figures.c"):
            continue
        text = re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: "\n" * m.group().count("\n"),
                      read(os.path.join(root, path)), flags=re.S)
        text = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)
        for number, line in enumerate(text.split("\n"), 1):
            found = call.search(line)
            if found:
                wrong.append("%s:%d: %s below ui/" % (path, number, found.group(1)))
    return wrong


def every_file_has_a_licence_line(root):
    return [
        "%s: no SPDX-License-Identifier in the first three lines" % path
        for path in files(root, re.compile(C_FILE.pattern + "|" + SCRIPT.pattern))
        if "SPDX-License-Identifier: MIT" not in "\n".join(
            read(os.path.join(root, path)).split("\n")[:3])
    ]


def every_source_says_what_it_is(root):
    """src/FLOOR/FILE opens with a comment that begins 'FLOOR/FILE:'."""
    wrong = []
    for path in files(root, C_FILE, ["src"]):
        head = "\n".join(read(os.path.join(root, path)).split("\n")[:6])
        name = path[len("src/"):]
        if not re.search(r"/\*\s*(\*\s*)?%s: " % re.escape(name), head):
            wrong.append("%s: no header comment that begins '%s: '" % (path, name))
    return wrong


# Files and functions that are longer than others may be, and why.
LONG_FILES = {
    "src/cpu/run.c": "the ways out of translated code",
}
LONG_FUNCTIONS = {
    "src/cpu/complex.c: classify_scalar": "a table by mnemonic",
    "src/trace/location.c: step": "a table by DWARF operation",
    "tests/loader/syscalls.c: files": "a list of calls, a line each",
    "tests/loader/syscalls.c: signals": "a list of calls, a line each",
}


def no_file_is_an_attic(root):
    return ["%s: %d lines; one subject fits into 800" % (path, n)
            for path in files(root, C_FILE, ["src", "tests", "bench"])
            for n in [read(os.path.join(root, path)).count("\n")]
            if n > (950 if path in LONG_FILES else 800)]


def no_function_is_a_chapter(root):
    """From the brace to the brace at the margin, at most 100 lines: two screens."""
    wrong = []
    for path in files(root, re.compile(r"\.c$"), ["src", "tests", "bench"]):
        lines = read(os.path.join(root, path)).split("\n")
        begin = None
        for number, line in enumerate(lines):
            if line == "{":
                begin = number
            elif line == "}" and begin is not None:
                head = begin - 1
                while head > 0 and not re.match(r"\w", lines[head]):
                    head -= 1
                name = re.search(r"(\w+)\(", lines[head])
                name = "%s: %s" % (path, name.group(1) if name else lines[head])
                if number - begin > 101 and name not in LONG_FUNCTIONS:
                    wrong.append("%s: %d lines; a function fits into 100" % (name, number - begin - 1))
                begin = None
    return wrong


def nothing_names_this_machine(root):
    paths = ["/" + p + "/" for p in ("work", "root", "home/[a-z]+")]
    hosts = [".".join(h) for h in (
        ("deb", "debian", "org"), ("registry", "npmjs", "org"), ("pypi", "org"),
        ("proxy", "golang", "org"), ("crates", "io"), ("archive", "ubuntu", "com"))]
    pattern = re.compile("(?<![\\w.$}/-])(" + "|".join(paths) + ")|(" +
                         "|".join(h.replace(".", r"\.") for h in hosts) + ")")
    wrong = []
    for path in files(root, re.compile(r".")):
        full = os.path.join(root, path)
        with open(full, "rb") as f:
            data = f.read()
        if b"\0" in data or path == "tests/house/house.py":
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
            found = pattern.search(line)
            if found:
                wrong.append("%s:%d: names '%s'" % (path, number, found.group(0)))
    return wrong


def man_pages_are_well_formed(root):
    wrong = []
    for path in files(root, re.compile(r"\.[1-8]$"), ["man"]):
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", os.path.join(root, path)],
                              capture_output=True, text=True)
        wrong += done.stdout.splitlines() + done.stderr.splitlines()
    return wrong


def sources_are_clang_formatted(root):
    paths = files(root, C_FILE, ["include", "src", "tests", "bench", "docs"])
    if not paths:
        return []
    done = subprocess.run(["clang-format", "--dry-run"] + paths, cwd=root,
                          capture_output=True, text=True)
    wrong = sorted({line.split(":")[0] for line in done.stderr.splitlines()
                    if "Wclang-format-violations" in line})
    return ["%s: not as clang-format would have it (make format)" % path for path in wrong]


def index_of_invariants_is_current(root):
    tool = os.path.join(HERE, "..", "..", "tools", "invariants.py")
    done = subprocess.run([sys.executable, tool, root, "--check"], capture_output=True, text=True)
    return [] if done.returncode == 0 else ["docs/invariants.md: not what the sources say (make format)"]


def documents_link_to_what_exists(root):
    wrong = []
    for path in files(root, re.compile(r"\.md$")):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", read(os.path.join(root, path))):
            if re.match(r"[a-z]+:", target):
                continue
            if not os.path.exists(os.path.join(root, os.path.dirname(path), target)):
                wrong.append("%s: links to %s, which is not there" % (path, target))
    return wrong


def make_alone_builds(root):
    """The first target of the Makefile is `all`: a long run that is written before it would be what `make` does."""
    path = os.path.join(root, "Makefile")
    first = re.search(r"^(\w[\w-]*):(?!=)", read(path), re.M) if os.path.exists(path) else None
    return ["Makefile: `make` alone makes %s, not all" % first.group(1)] if first and first.group(1) != "all" else []


def clang_compiles_without_warnings(root, build):
    """The compiler that the build did not use has nothing to say either."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        commands = json.load(f)
    wrong, seen = [], set()
    for entry in commands:
        source = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
        if source in seen or not source.startswith(os.path.join(os.path.abspath(root), "src")):
            continue
        seen.add(source)
        flags = [w for w in shlex.split(entry["command"]) if re.match(r"-[DUIW]|-std", w)]
        done = subprocess.run(["clang", "-fsyntax-only", "-Werror"] + flags + [source],
                              cwd=entry["directory"], capture_output=True, text=True)
        if done.returncode != 0:
            wrong += (done.stderr.splitlines() or ["%s: clang failed" % source])[:4]
    return wrong


# Rule, the program it needs (or None), and a tree that breaks it: {path: text}.
HEAD = "/* SPDX-License-Identifier: MIT */\n/*\n * %s: a file.\n */\n"
RULES = [
    (includes_point_down, None, {"src/mmu/a.c": '#include "space/space.h"\n'}),
    (folders_include_what_they_may, None, {"src/ui/write/a.c": '#include "ui/run/run.h"\n'}),
    (folders_include_what_they_may, None, {"src/ui/stack/a.c": '#include "ui/run/internal.h"\n'}),
    (folders_are_on_the_map, None, {"docs/design.md": "`linux/` and `ui/`\n"}),
    (system_calls_are_in_their_folder, None, {"src/linux/files/a.c": "int64_t pg_sys_close(void)\n"}),
    (mentions_of_sources_are_current, None, {"docs/a.md": "see `mmu/b.c`\n"}),
    (public_header_stands_alone, None, {"include/pagoda/p.h": '#include "mmu/tlb.h"\n'}),
    (library_makes_no_output, None, {"src/space/a.c": 'void f(void)\n{\n\tprintf("x");\n}\n'}),
    (every_file_has_a_licence_line, None, {"src/mmu/a.c": "int a;\n"}),
    (every_source_says_what_it_is, None, {"src/mmu/a.c": HEAD % "mmu/b.c"}),
    (no_file_is_an_attic, None, {"src/mmu/a.c": "\n" * 801}),
    (no_function_is_a_chapter, None, {"src/mmu/a.c": "void f(void)\n{\n" + "\tg();\n" * 101 + "}\n"}),
    (nothing_names_this_machine, None, {"docs/a.md": "cd " + "/work" + "/here\n"}),
    (man_pages_are_well_formed, "mandoc", {"man/a.1": ".Dd nonsense\n.Zz\n"}),
    (sources_are_clang_formatted, "clang-format", {"src/mmu/a.c": "int  a ( void ) ;\n"}),
    (index_of_invariants_is_current, None, {
        "docs/invariants.md": "<!-- index: begin -->\n<!-- index: end -->\n",
        "src/mmu/a.c": "/* x */\n/*\n * mmu/a.c: a file.\n *   M1 holds.\n */\n"}),
    (documents_link_to_what_exists, None, {"docs/a.md": "[b](b.md)\n"}),
    (make_alone_builds, None, {"Makefile": "X ?= 1\nlong: configure\n\t./long\n\nall: configure\n"}),
]


def main():
    root, build = sys.argv[1], sys.argv[2]
    results = []
    for rule, needs, broken in RULES:
        name = rule.__name__
        if needs and not shutil.which(needs):
            results.append((True, name + " # SKIP no " + needs, []))
            continue
        with tempfile.TemporaryDirectory() as tree:
            for path, text in broken.items():
                os.makedirs(os.path.join(tree, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(tree, path), "w", encoding="utf-8") as f:
                    f.write(text)
            if os.path.exists(os.path.join(root, ".clang-format")):
                shutil.copy(os.path.join(root, ".clang-format"), tree)
            notices = bool(rule(tree))
        wrong = rule(root)
        if not notices:
            wrong.append("the rule does not notice a tree that breaks it")
        results.append((not wrong, name, wrong))
    if shutil.which("clang") and os.path.exists(os.path.join(build, "compile_commands.json")):
        wrong = clang_compiles_without_warnings(root, build)
        results.append((not wrong, "clang_compiles_without_warnings", wrong))
    else:
        results.append((True, "clang_compiles_without_warnings # SKIP no clang", []))

    print("1..%d" % len(results))
    for number, (fine, name, wrong) in enumerate(results, 1):
        print("%s %d - %s" % ("ok" if fine else "not ok", number, name))
        for complaint in wrong[:40]:
            print("#   " + complaint)
    return 0 if all(fine for fine, _, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
