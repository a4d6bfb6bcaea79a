#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Names and lines of stripped programs, from debug information in files of their own.

debugfiles.py PAGODA SCRATCH     SCRATCH: a directory to build in
"""
import os
import shutil
import socket
import subprocess
import sys

pagoda, scratch = (os.path.abspath(word) for word in sys.argv[1:3])
shutil.rmtree(scratch, ignore_errors=True)
os.makedirs(scratch)

SOURCE = """
#include <stdio.h>
#include <stdlib.h>
static volatile char table[64 * 4096];
static int __attribute__((noinline)) touch_all(int n)
{
	for (int i = 0; i < n; i++)
		table[i * 4096] = 1; /* line 8 */
	return n;
}
int main(int argc, char **argv)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	if (urls)
		puts(urls);
	return touch_all(64) - 64;
}
"""


def tool(*words, at=scratch):
    subprocess.run(words, check=True, cwd=at, capture_output=True)


with open(os.path.join(scratch, "prog.c"), "w") as f:
    f.write(SOURCE)
tool("gcc", "-g", "-O1", "-o", "full", "prog.c")
tool("objcopy", "--only-keep-debug", "full", "prog.debug")


def stripped(folder, *more):
    """A stripped copy in a folder of its own; more: options of objcopy."""
    at = os.path.join(scratch, folder)
    os.makedirs(at, exist_ok=True)
    tool("objcopy", "--strip-all", *more, "../full", "prog", at=at)
    return at


def cause(at, **env):
    """The row of the summary for who touched the table, and what the program wrote."""
    done = subprocess.run([pagoda, "run", "--top", "0", "./prog"], cwd=at, capture_output=True, text=True, timeout=400,
                          env={**os.environ, **env})
    rows = [line.split(maxsplit=5)[-1] for line in done.stderr.splitlines() if "(prog" in line or " prog+0x" in line]
    return (max(rows, key=lambda row: "touch" in row or "prog+0x" in row) if rows else f"no row: {done.stderr[-400:]}"), done.stdout, done.returncode


count = 0
print("1..7")


def tell(good, what, detail=""):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {what}")
    if not good:
        print(f"# {detail}")


plain = stripped("plain")
got = cause(plain)
tell(got[0].startswith("prog+0x"), "stripped_program_alone_has_addresses_only", got)

beside = stripped("beside", "--add-gnu-debuglink=../prog.debug")
shutil.copy(os.path.join(scratch, "prog.debug"), beside)
got = cause(beside)
tell(got[0] == "touch_all (prog, prog.c:8)", "debuglink_beside_the_program_gives_name_and_line", got)

below = stripped("below", "--add-gnu-debuglink=../prog.debug")
os.mkdir(os.path.join(below, ".debug"))
shutil.copy(os.path.join(scratch, "prog.debug"), os.path.join(below, ".debug"))
got = cause(below)
tell(got[0] == "touch_all (prog, prog.c:8)", "debuglink_in_a_folder_debug_gives_name_and_line", got)

# of another build: the sum of the file is not the one that the link has
other = stripped("other", "--add-gnu-debuglink=../prog.debug", "--remove-section=.note.gnu.build-id")
with open(os.path.join(scratch, "prog.debug"), "rb") as f:
    data = f.read()
with open(os.path.join(other, "prog.debug"), "wb") as f:
    f.write(data + b"changed")
got = cause(other)
tell(got[0].startswith("prog+0x"), "debuglink_to_a_file_of_another_build_is_not_believed", got)

# MiniDebugInfo: the symbol table, compressed, inside the stripped file
tool("objcopy", "--strip-debug", "full", "symbols")
tool("objcopy", "--only-keep-debug", "symbols", "mini")
tool("xz", "-kf", "mini")
mini = stripped("inside", "--add-section", ".gnu_debugdata=../mini.xz")
got = cause(mini)
tell(got[0] == "touch_all (prog)", "gnu_debugdata_inside_the_program_gives_the_name", got)

# a server for debug information is not asked, and the program still sees who named it
home = os.path.join(scratch, "home")
os.mkdir(home)
with socket.socket() as listening:
    listening.bind(("127.0.0.1", 0))
    listening.listen(8)
    listening.settimeout(0.2)
    urls = f"http://127.0.0.1:{listening.getsockname()[1]}/"
    got = cause(plain, DEBUGINFOD_URLS=urls, DEBUGINFOD_TIMEOUT="1", HOME=home)
    try:
        listening.accept()
        asked = True
    except TimeoutError:
        asked = False
    tell(not asked and got[1].strip() == urls and got[0].startswith("prog+0x"), "debuginfod_is_never_asked", got)

# by build id below /usr/lib/debug, as Debian's packages of debug information have it
notes = subprocess.run(["readelf", "-n", "/lib/x86_64-linux-gnu/libc.so.6"], capture_output=True, text=True).stdout
build = [line.split()[-1] for line in notes.splitlines() if "Build ID" in line]
file = f"/usr/lib/debug/.build-id/{build[0][:2]}/{build[0][2:]}.debug" if build else ""
if not os.path.exists(file):
    print("ok 7 - build_id_below_usr_lib_debug_gives_name_and_line # SKIP no libc6-dbg")
else:
    log = os.path.join(scratch, "log")
    subprocess.run([pagoda, "stack", "--at", "main", "--no-values", "--output", log, "../full"], cwd=plain, timeout=400)
    text = open(log).read()
    tell("__libc_start_call_main+0x" in text and "libc_start_call_main.h:" in text,
         "build_id_below_usr_lib_debug_gives_name_and_line", text[:600])
