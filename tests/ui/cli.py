#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The pagoda program from outside: what goes where, what the exit status is, and that its figures add up.

cli.py PAGODA SCRATCH_FOLDER EXAMPLES_FOLDER

Prints TAP. Each case is a function; what it returns are complaints.
"""
import json
import os
import subprocess
import sys
from xml.etree import ElementTree

PAGODA, SCRATCH, EXAMPLES = (os.path.abspath(word) for word in sys.argv[1:4])


def pagoda(*words, **more):
    return subprocess.run([PAGODA, *words], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=400, **more)


def scratch(name):
    return os.path.join(SCRATCH, name)


def figures(*words, status=0):
    """The JSON of a run, read strictly."""
    path = scratch("figures.json")
    if os.path.exists(path):
        os.unlink(path)
    done = pagoda("run", "--quiet", "--json", path, *words)
    assert done.returncode == status, (words, done.returncode, done.stderr)
    with open(path, encoding="utf-8", errors="strict") as f:
        return json.load(f)


def compiled(name):
    out = scratch(name)
    subprocess.run(["cc", "-g", "-w", "-o", out, os.path.join(EXAMPLES, name + ".c")], check=True)
    return out


def one_line(done, *parts):
    """Status 2, nothing on standard output, one line that begins with pagoda: and holds the parts."""
    text = done.stderr.decode()
    wrong = []
    if done.returncode != 2:
        wrong.append("status %d" % done.returncode)
    if done.stdout:
        wrong.append("standard output: %r" % done.stdout)
    if text.count("\n") != 1 or not text.startswith("pagoda: "):
        wrong.append("not one line: %r" % text)
    wrong += ["does not say %r: %r" % (part, text) for part in parts if part not in text]
    return wrong


def help_goes_to_standard_output():
    wrong = []
    for words, part in ((["--help"], b"run"), (["help"], b"run"), (["run", "--help"], b"--memory"),
                        (["help", "run"], b"--memory"), (["version"], b"pagoda "),
                        (["run", "--page-table", "help"], b"inverted"),
                        (["compare", "--help"], b"--runs"), (["help", "compare"], b"--svg")):
        done = pagoda(*words)
        if done.returncode != 0 or part not in done.stdout or done.stderr:
            wrong.append("%r: %r" % (words, done))
    return wrong


def mistakes_are_one_line_and_status_2():
    return (one_line(pagoda(), "pagoda help") +
            one_line(pagoda("fly"), "no command 'fly'") +
            one_line(pagoda("--fly"), "pagoda help") +
            one_line(pagoda("help", "fly"), "no command 'fly'") +
            one_line(pagoda("run"), "no program given") +
            one_line(pagoda("run", "--memroy", "1M", "true"), "--memory?") +
            one_line(pagoda("run", "--memory", "1", "true"), "too small") +
            one_line(pagoda("run", "--json", "--", "true"), "--json needs a value") +
            one_line(pagoda("heap", "--json", "--", "true"), "--json needs a value") +
            one_line(pagoda("run", "--swap", "zstd", "--", "true"), "zstd:64M") +
            one_line(pagoda("run", "--swap", "file:/no/such/x:1M", "--", "true"), "folder is not there") +
            one_line(pagoda("run", "--swap", "nope:1M", "--", "true"), "--swap help") +
            sum((one_line(pagoda(c), "pagoda: %s: no program given; write pagoda %s " % (c, c))
                 for c in ("size", "compare", "heap", "stack")), []))


def dash_is_standard_output():
    """--json - and --output -, behind what the program wrote; a standard output that is closed or full is said."""
    wrong = []
    done = pagoda("run", "--quiet", "--json", "-", "--", "echo", "mine")
    first, rest = done.stdout.split(b"\n", 1)
    if done.returncode != 0 or first != b"mine" or json.loads(rest)["faults"]["all"] < 1:
        wrong.append("%r" % done)
    done = pagoda("run", "--output", "-", "--", "echo", "mine")
    if not done.stdout.startswith(b"mine\n\npagoda: ") or done.stderr:
        wrong.append("%r" % done)
    done = pagoda("heap", "--quiet", "--json=-", "--", "true")
    if b'"heap"' not in done.stdout and b"{" not in done.stdout:
        wrong.append("%r" % done)
    for more, part in ((" > /dev/full", b"cannot write all of standard output\n"), (" >&-", b"cannot write standard output: ")):
        done = subprocess.run(["sh", "-c", '"$0" run --quiet --json - -- true' + more, PAGODA], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=400)
        if done.returncode != 2 or part not in done.stderr or done.stderr.count(b"\n") != 1:
            wrong.append("%s: %r" % (more, done))
    if os.path.exists("-") or os.path.exists("--"):
        wrong.append("a file named - or --")
    return wrong


def programs_that_cannot_run_are_one_line_and_status_2():
    with open(scratch("text"), "w", encoding="ascii") as f:
        f.write("neither ELF nor script\n")
    os.chmod(scratch("text"), 0o755)
    with open(scratch("locked"), "w", encoding="ascii") as f:
        f.write("x")
    os.chmod(scratch("locked"), 0o644)
    return (one_line(pagoda("run", "--", "/no/such/program"), "/no/such/program") +
            one_line(pagoda("run", "--", "no-such-program-in-path"), "no-such-program-in-path") +
            one_line(pagoda("run", "--", scratch("text")), "text") +
            one_line(pagoda("run", "--", scratch("locked")), "locked") +
            one_line(pagoda("run", "--", SCRATCH), os.path.basename(SCRATCH)))


def outputs_that_cannot_be_written_are_one_line_and_status_2():
    return (one_line(pagoda("run", "--quiet", "--json", "/no/such/folder/x", "true"), "/no/such/folder/x") +
            one_line(pagoda("run", "--output", "/no/such/folder/x", "true"), "/no/such/folder/x") +
            one_line(pagoda("run", "--quiet", "--json", "/dev/full", "true"), "/dev/full"))


def streams_of_the_program_are_untouched():
    done = pagoda("run", "--quiet", "--", "sh", "-c", "echo out; echo err >&2")
    if (done.stdout, done.stderr, done.returncode) != (b"out\n", b"err\n", 0):
        return ["%r" % done]
    return []


def status_is_the_programs():
    wrong = []
    for n in (0, 1, 2, 77, 255):
        done = pagoda("run", "--quiet", "--", "sh", "-c", "exit %d" % n)
        if done.returncode != n:
            wrong.append("exit %d: %d" % (n, done.returncode))
    done = pagoda("run", "--quiet", "--", "sh", "-c", "kill -TERM $$")
    if done.returncode != 128 + 15 or b"SIGTERM" not in done.stderr:
        wrong.append("SIGTERM: %r" % done)
    return wrong


def summary_goes_where_it_is_asked_to():
    to_stderr = pagoda("run", "--", "true")
    to_file = pagoda("run", "--output", scratch("summary"), "--", "true")
    quiet = pagoda("run", "--quiet", "--", "true")
    with open(scratch("summary"), encoding="utf-8") as f:
        text = f.read()
    wrong = []
    for part in ("virtual (VSZ)", "resident (RSS)", "page table", "zero fill", "hit rate",
                 "instructions", "who caused the faults"):
        if part not in to_stderr.stderr.decode() or part not in text:
            wrong.append("no %r in the summary" % part)
    if to_stderr.stdout or to_file.stdout or to_file.stderr or quiet.stdout or quiet.stderr:
        wrong.append("something went elsewhere: %r %r %r" % (to_stderr.stdout, to_file, quiet))
    wide = [line for line in text.split("\n") if len(line) > 100]
    return wrong + ["wider than 100: %r" % line for line in wide]


def text_survives_a_program_that_closes_its_streams():
    wrong = []
    for command, part in (("run", b"page faults"), ("heap", b"pagoda: heap of"), ("stack", b"stacks of")):
        done = pagoda(command, "--", "sh", "-c", "exec 2>&- 1>&- 0>&-; exit 3")
        if done.returncode != 3 or part not in done.stderr:
            wrong.append("%s: %r" % (command, done))
    return wrong


def deaths_are_one_line_with_a_cause():
    crash, wrong = compiled("crash"), []
    for kind, status, parts in (
            ("null", 139, ("SIGSEGV", "write of 0x0", "nothing is mapped", "write_null", "crash.c")),
            ("readonly", 139, ("SIGSEGV", "does not allow", "r-x", "write_text")),
            ("stack", 139, ("SIGSEGV", "stack overflow", "recurse")),
            ("memory", 137, ("out of memory",))):
        done = pagoda("run", "--quiet", "--memory", "16M", "--", crash, kind)
        text = done.stderr.decode()
        if done.returncode != status or text.count("\n") != 1:
            wrong.append("%s: %r" % (kind, done))
        wrong += ["%s: no %r in %r" % (kind, p, text) for p in parts if p not in text]
    return wrong


def child_killed_for_memory_is_told_in_one_line():
    done = pagoda("run", "--quiet", "--memory", "16M", "--", "sh", "-c", compiled("crash") + " memory; echo status $?; exit 5")
    told = [l for l in done.stderr.decode().splitlines() if l.startswith("pagoda: ")]
    if (done.returncode, done.stdout) != (5, b"status 137\n") or len(told) != 1 or "(crash) was killed: out of memory" not in told[0]:
        return [repr(done)]
    return []


def trace_of_a_refused_fault_says_why():
    crash, wrong = compiled("crash"), []
    for mode in ([], ["--fast"]):
        for kind, why in (("null", "nothing mapped"), ("readonly", "not allowed"), ("stack", "stack overflow")):
            pagoda("run", "--quiet", *mode, "--trace-faults=" + scratch("lines"), "--", crash, kind)
            with open(scratch("lines"), encoding="ascii") as f:
                last = f.read().splitlines()[-1]
            if why not in last:
                wrong.append("%s %s: %r" % (kind, mode, last))
    return wrong


def instruction_illegal_is_shown_with_its_bytes():
    with open(scratch("ill.c"), "w", encoding="ascii") as f:
        f.write("int main(void) { __asm__ volatile(\"ud2\"); return 0; }\n")
    subprocess.run(["cc", "-o", scratch("ill"), scratch("ill.c")], check=True)
    done = pagoda("run", "--quiet", "--", scratch("ill"))
    fine = done.returncode == 132 and b"SIGILL" in done.stderr and b"0f 0b" in done.stderr
    return [] if fine else ["%r" % done]


def json_any_name_is_well_formed():
    nasty = ['"', "\\", "\n", "\x01\x7f", "\u00e9\u20ac\U0001f600", b"\xff\xfe\xc0\x80\xed\xa0\x80", b"\xe2\x82"]
    f = figures("--", "true", *nasty)
    want = ["true"] + nasty[:5] + ["\ufffd" * 7, "\ufffd" * 2]
    return [] if f["arguments"] == want else ["%r" % f["arguments"]]


def figures_add_up():
    wrong = []
    kinds = ("soft", "zero_read", "zero_fill", "file_cache", "file_disk", "copy", "swap_in")
    for words in (["--", "true"], ["--", "ls", "-l", "/"], ["--memory", "32M", "--", "sort", "/etc/passwd"]):
        f = figures(*words)
        faults = f["faults"]
        for name, ok in (
                ("kinds", sum(faults[k] for k in kinds) == faults["all"]),
                ("minor and major", faults["minor"] + faults["major"] == faults["all"]),
                ("functions", sum(r["faults"] for r in f["functions"]) == faults["all"]),
                ("places", sum(r["faults"] for r in f["places"]) == faults["all"]),
                ("places by kind", all(sum(r[k] for r in f["places"]) == faults[k] for k in kinds)),
                ("pages in", sum(r["pages_in"] for r in f["places"]) == faults["pages_in"]),
                ("RSS", f["memory"]["rss_bytes"] == sum(
                    f["memory"]["rss_%s_bytes" % k] for k in ("anon", "file", "shmem"))),
                ("RSS by region", f["memory"]["rss_bytes"] == sum(
                    r["resident_bytes"] for r in f["regions"])),
                ("VSZ by region", f["memory"]["vsz_bytes"] == sum(
                    int(r["end"], 16) - int(r["start"], 16) for r in f["regions"])),
                ("RSS below VSZ", f["memory"]["rss_peak_bytes"] <= f["memory"]["vsz_peak_bytes"]),
                ("RSS in frames", f["memory"]["rss_peak_bytes"] <=
                    f["memory"]["frames_used_peak"] * 4096),
                ("frames", f["memory"]["frames_used_peak"] <= f["memory"]["frames_total"]),
                ("misses", f["translation"]["l1_data_misses"] <= f["translation"]["data_lookups"]),
                ("second level", f["translation"]["l2_lookups"] == f["translation"]["l1_data_misses"] +
                    f["translation"]["l1_fetch_misses"]),
                ("walks", f["translation"]["walk_references"] <=
                    4 * (f["translation"]["walks"] + f["translation"]["dirty_walks"]))):
            if not ok:
                wrong.append("%r: %s: %r %r %r" % (words, name, faults, f["memory"], f["translation"]))
    return wrong


def timeless(f):
    for key in ("wall_seconds", "user_seconds", "system_seconds"):
        del f["execution"][key]
    for process in f["processes"]:
        for key in [key for key in process if key.endswith("_seconds")]:
            del process[key]
    return f


def figures_of_two_runs_are_the_same():
    words = ["--", compiled("stride"), "300", "20"]
    first, second = timeless(figures(*words)), timeless(figures(*words))
    return [] if first == second else ["%r\n%r" % (first, second)]


def fast_mode_has_the_same_faults_and_no_tlb():
    words = ["--", compiled("touch"), "1000", "100", "50"]
    exact, fast = figures(*words), figures("--fast", *words)
    summary = pagoda("run", "--fast", *words).stderr.decode()
    wrong = []
    if fast["translation"] is not None or fast["execution"]["loads"] is not None:
        wrong.append("fast mode has figures that it cannot have")
    if "absent" not in summary or "hit rate" in summary:
        wrong.append("the summary of fast mode does not say that TLB figures are absent")
    for key in ("zero_read", "zero_fill", "file_cache", "file_disk", "copy", "pages_in"):
        if exact["faults"][key] != fast["faults"][key]:
            wrong.append("%s: %d exactly, %d fast" % (key, exact["faults"][key], fast["faults"][key]))
    if exact["memory"]["rss_peak_bytes"] != fast["memory"]["rss_peak_bytes"]:
        wrong.append("RSS: %r %r" % (exact["memory"], fast["memory"]))
    return wrong


def malloc_families_run_the_same_program():
    wrong = []
    words = ["--", "bash", "-c", "a=(); for i in {1..300}; do a+=(x$i$i); done; echo ${#a[*]} ${a[77]} $PAGODA_MALLOC"]
    for family in ("sharded", "first-fit", "next-fit", "best-fit", "worst-fit"):
        done = pagoda("run", "--quiet", "--malloc", family, *words)
        if (done.returncode, done.stdout, done.stderr) != (0, b"300 x7878 %s\n" % family.encode(), b""):
            wrong.append("%s: %r %r" % (family, done.stdout, done.stderr))
    done = pagoda("run", "--quiet", "--malloc", "best-fit", "--", "bash", "-c", "grep -c libpagoda-malloc /proc/self/maps")
    if done.returncode != 0 or int(done.stdout) < 2:
        wrong.append("the library is not mapped: %r" % done.stdout)
    return wrong + one_line(pagoda("run", "--malloc", "quick-fit", "--", "true"), "--malloc", "quick-fit", "best-fit")


def tlb_smaller_misses_more():
    words = ["--", compiled("stride"), "300", "20"]
    small, large = figures("--tlb", "16x4", *words), figures("--tlb", "512x8", *words)
    wrong = []
    # 300 pages in turn: 16 entries hold none of them until its next turn, 512 hold all
    if small["translation"]["l1_data_misses"] < 300 * 20:
        wrong.append("a TLB of 16 entries: %r" % small["translation"])
    if large["translation"]["l1_data_misses"] > 300 * 10:
        wrong.append("a TLB of 512 entries: %r" % large["translation"])
    if small["machine"]["tlb"]["l2"] is not None or small["translation"]["l2_misses"] is not None:
        wrong.append("a second level that is not there")
    return wrong


def page_table_of_five_levels_walks_five():
    words = ["--tlb", "16x4", "--page-table"]
    command = ["--", compiled("stride"), "64", "4"]
    four, five = figures(*words, "radix:4", *command), figures(*words, "radix:5", *command)
    wrong = []
    if five["faults"] != four["faults"]:
        wrong.append("faults differ: %r %r" % (four["faults"], five["faults"]))
    if five["memory"]["page_table_frames_peak"] != four["memory"]["page_table_frames_peak"] + 1:
        wrong.append("nodes: %r %r" % (four["memory"], five["memory"]))
    if not five["translation"]["walk_references"] > four["translation"]["walk_references"]:
        wrong.append("references: %r %r" % (four["translation"], five["translation"]))
    return wrong


def traces_have_each_fault_once():
    f = figures("--trace-faults=" + scratch("lines"), "--explain=" + scratch("steps"), "--", "true")
    with open(scratch("lines"), encoding="utf-8") as lines:
        rows = [line for line in lines if not line.startswith("#")]
    with open(scratch("steps"), encoding="utf-8") as steps:
        text = steps.read()
    wrong = []
    if len(rows) != f["faults"]["all"]:
        wrong.append("%d lines, %d faults" % (len(rows), f["faults"]["all"]))
    if text.count("\nfault ") + text.startswith("fault ") != f["faults"]["all"]:
        wrong.append("%d explained" % text.count("fault "))
    for step in ("1 reference", "2 trap", "3 find", "4 frame", "5 fill", "6 tables", "7 resume"):
        if text.count("  " + step) != f["faults"]["all"]:
            wrong.append("step %r is there %d times" % (step, text.count("  " + step)))
    if sum("zero fill" in row for row in rows) != f["faults"]["zero_fill"]:
        wrong.append("zero fills: %d" % sum("zero fill" in row for row in rows))
    return wrong


def traces_do_not_alter_what_they_watch():
    plain = timeless(figures("--", "ls", "/"))
    traced = timeless(figures("--trace-faults=" + scratch("lines"), "--explain=" + scratch("steps"),
                              "--trace-calls=" + scratch("calls"), "--", "ls", "/"))
    return [] if plain == traced else ["%r\n%r" % (plain, traced)]


def pipe_that_nobody_reads_does_not_kill():
    wrong = []
    for words in (["--trace-faults", "--quiet"], ["--explain"], ["--trace-calls"], []):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([PAGODA, "run", *words, "--", "sh", "-c", "echo fine; exit 7"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=writing, timeout=400)
        os.close(writing)
        if (done.returncode, done.stdout) != (7, b"fine\n"):
            wrong.append("%r: %r" % (words, done))
    return wrong


def calls_unknown_are_named_when_verbose():
    with open(scratch("call.c"), "w", encoding="ascii") as f:
        f.write("#include <unistd.h>\n#include <sys/syscall.h>\n#include <errno.h>\n"
                "int main(void) { return syscall(999) == -1 && errno == ENOSYS ? 0 : 1; }\n")
    subprocess.run(["cc", "-o", scratch("call"), scratch("call.c")], check=True)
    quiet = pagoda("run", "--quiet", "--", scratch("call"))
    verbose = pagoda("run", "--quiet", "--verbose", "--", scratch("call"))
    wrong = []
    if quiet.returncode != 0 or quiet.stderr:
        wrong.append("%r" % quiet)
    if verbose.returncode != 0 or b"999" not in verbose.stderr:
        wrong.append("%r" % verbose)
    return wrong


def compared(*words, status=0, stdin=b""):
    """Of pagoda compare: the process, its JSON, its SVG as an element."""
    paths = scratch("compare.json"), scratch("compare.svg")
    for path in paths:
        if os.path.exists(path):
            os.unlink(path)
    done = subprocess.run([PAGODA, "compare", "--json", paths[0], "--svg", paths[1], *words], input=stdin,
                          capture_output=True, timeout=400)
    assert done.returncode == status, (words, done)
    with open(paths[0], encoding="utf-8", errors="strict") as f:
        return done, json.load(f), ElementTree.parse(paths[1]).getroot()


def compare_shows_the_figures_of_run():
    """R7 to R9: what compare says of a form is what `run` says under it."""
    forms = ["radix", "radix:5,cache=4", "hashed:clustered=8,grow=once", "inverted"]
    done, all_, _ = compared("--memory", "16M", "--tlb", "16x4", "--page-table", ",".join(forms), "--", "sort", "/etc/passwd")
    wrong = []
    if [t["page_table"] for t in all_["page_tables"]] != forms:
        wrong.append("forms %r" % [t["page_table"] for t in all_["page_tables"]])
    for t in all_["page_tables"]:
        one = figures("--memory", "16M", "--tlb", "16x4", "--page-table", t["page_table"], "--", "sort", "/etc/passwd")
        m, w = one["memory"], one["translation"]
        walks = w["walks"] + w["dirty_walks"]
        for key, want in (("walks", walks), ("walk_references", w["walk_references"]),
                          ("walk_references_p99", w["walk_references_p99"]), ("walk_lengths", w["walk_lengths"]),
                          ("walk_references_saved", w["walk_references_saved"]), ("soft_faults", one["faults"]["soft"]),
                          ("faults", one["faults"]["all"]), ("rss_peak_bytes", m["rss_peak_bytes"]),
                          ("table_bytes_peak", 4096 * (m["page_table_frames_peak"] + m["page_table_shared_frames_peak"])),
                          ("status", 0), ("same_output", True)):
            if t[key] != want:
                wrong.append("%s: %s %r, run says %r" % (t["page_table"], key, t[key], want))
        if abs(t["walk_references_mean"] - w["walk_references"] / walks) > 1e-5:
            wrong.append("%s: mean %r" % (t["page_table"], t["walk_references_mean"]))
        if ("  " + t["page_table"]) not in done.stderr.decode() or len(t["walk_lengths"]) != 32:
            wrong.append("%s is missing in the table: %r" % (t["page_table"], done.stderr))
    radix, cached, clustered, inverted = all_["page_tables"]
    if not (radix["walk_references_p99"] == 4 and cached["walk_references_mean"] < 2 and
            clustered["table_bytes_peak"] < radix["table_bytes_peak"] < inverted["table_bytes_peak"]):
        wrong.append("the forms are not what they are: %r" % all_)
    return wrong


def compare_gives_all_runs_the_same_input_and_shows_output_once():
    done, all_, _ = compared("--", "cat", stdin=b"one\ntwo\n")
    wrong = []
    if done.stdout != b"one\ntwo\n" or len(all_["page_tables"]) != 3:
        wrong.append("%r %r" % (done, all_))
    with open(scratch("text"), "w", encoding="ascii") as f:
        f.write("three\nfour\n")
    with open(scratch("text"), "rb") as f:
        os.lseek(f.fileno(), len("three\n"), os.SEEK_SET)
        done = subprocess.run([PAGODA, "compare", "--", "cat"], stdin=f, capture_output=True, timeout=400)
    if done.stdout != b"four\n" or done.returncode:
        wrong.append("%r" % done)
    done, all_, _ = compared("--fast", "--runs", "2", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    if done.stdout != b"out\n" or not done.stderr.startswith(b"err\n") or all_["runs"] != 2:
        wrong.append("%r" % done)
    for t in all_["page_tables"]:
        if t["status"] != 3 or t["walks"] is not None or not t["same_output"]:
            wrong.append("%r" % t)
    return wrong


def compare_says_when_a_program_does_otherwise():
    """A program cannot see its page table; how often it ran before it can."""
    counter = "echo >>" + scratch("counter") + "; wc -l <" + scratch("counter")
    if os.path.exists(scratch("counter")):
        os.unlink(scratch("counter"))
    done, all_, _ = compared("--page-table", "radix,hashed", "--", "sh", "-c", counter, status=1)
    wrong = [] if done.stdout == b"1\n" and b"output differs" in done.stderr else ["%r" % done]
    if [t["same_output"] for t in all_["page_tables"]] != [True, False]:
        wrong.append("%r" % all_)
    return wrong


def compare_mistakes_are_one_line_and_status_2():
    return (one_line(pagoda("compare", "--page-table", "cubic", "true"), "no form 'cubic'") +
            one_line(pagoda("compare", "--page-table", "radix,hashed:clustered=3", "true"), "clustered=N") +
            one_line(pagoda("compare", "--page-table", "", "true"), "no form") +
            one_line(pagoda("compare", "--page-table"), "--page-table needs a value") +
            one_line(pagoda("compare", "--runs", "0", "true"), "--runs") +
            one_line(pagoda("compare", "--memroy", "1M", "true"), "no option '--memroy'") +
            one_line(pagoda("compare", "--explain", "true"), "pagoda run") +
            one_line(pagoda("compare", "--memory"), "--memory") +
            one_line(pagoda("compare"), "no program given") +
            one_line(pagoda("compare", "--svg=", "true"), "--svg") +
            one_line(pagoda("compare", "--", "/no/such/program"), "/no/such/program"))


def svg_bars_are_as_high_as_the_figures():
    """V2: of each chart the heights of the bars are to each other as the figures that their tooltips and the JSON say."""
    _, all_, svg = compared("--page-table", "radix,hashed,inverted", "--", "true")
    space = "{http://www.w3.org/2000/svg}"
    bars, wrong = {}, []
    for rect in svg.iter(space + "rect"):
        tip = rect.find(space + "title")
        if tip is not None:
            form, value = tip.text.rsplit(": ", 1)
            bars.setdefault(form, []).append((float(value), float(rect.get("height")), float(rect.get("y"))))
    tables = {t["page_table"]: t for t in all_["page_tables"]}
    if [len(bars.get(f, [])) for f in tables] != [5, 5, 5]:
        return ["bars: %r" % {f: len(b) for f, b in bars.items()}]
    for i, key in enumerate(("table_bytes_peak", "walks", "soft_faults", "faults", "wall_seconds")):
        unit = max((height / value for value, height, _ in (bars[f][i] for f in tables) if value), default=0)
        for f in tables:
            value, height, _ = bars[f][i]
            if abs(value - tables[f][key]) > 1e-6 * max(1, value):
                wrong.append("%s, %s: %r drawn, %r in the JSON" % (key, f, value, tables[f][key]))
            if abs(height - unit * value) > 0.02 + 0.01 * height:
                wrong.append("%s, %s: %r is %r high" % (key, f, value, height))
    for f in tables:
        mean, p99 = bars[f + ", mean"][0], bars[f + ", 99 %"][0]
        if abs(mean[0] - tables[f]["walk_references_mean"]) > 1e-5 or p99[0] != tables[f]["walk_references_p99"]:
            wrong.append("references of %s: %r %r" % (f, mean, p99))
    return wrong


CASES = [
    help_goes_to_standard_output,
    mistakes_are_one_line_and_status_2,
    dash_is_standard_output,
    programs_that_cannot_run_are_one_line_and_status_2,
    outputs_that_cannot_be_written_are_one_line_and_status_2,
    streams_of_the_program_are_untouched,
    status_is_the_programs,
    summary_goes_where_it_is_asked_to,
    text_survives_a_program_that_closes_its_streams,
    deaths_are_one_line_with_a_cause,
    child_killed_for_memory_is_told_in_one_line,
    trace_of_a_refused_fault_says_why,
    instruction_illegal_is_shown_with_its_bytes,
    json_any_name_is_well_formed,
    figures_add_up,
    figures_of_two_runs_are_the_same,
    fast_mode_has_the_same_faults_and_no_tlb,
    malloc_families_run_the_same_program,
    tlb_smaller_misses_more,
    page_table_of_five_levels_walks_five,
    traces_have_each_fault_once,
    traces_do_not_alter_what_they_watch,
    pipe_that_nobody_reads_does_not_kill,
    calls_unknown_are_named_when_verbose,
    compare_shows_the_figures_of_run,
    compare_gives_all_runs_the_same_input_and_shows_output_once,
    compare_says_when_a_program_does_otherwise,
    compare_mistakes_are_one_line_and_status_2,
    svg_bars_are_as_high_as_the_figures,
]


def main():
    os.makedirs(SCRATCH, exist_ok=True)
    failed = 0
    print("1..%d" % len(CASES), flush=True)
    for number, case in enumerate(CASES, 1):
        try:
            wrong = case()
        except (AssertionError, subprocess.SubprocessError, OSError, ValueError, KeyError) as problem:
            wrong = ["%s: %s" % (type(problem).__name__, problem)]
        failed += bool(wrong)
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, case.__name__), flush=True)
        for complaint in wrong:
            for line in str(complaint).split("\n"):
                print("#   " + line[:2000], flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
