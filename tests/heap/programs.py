#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real programs with libpagoda-malloc preloaded do what they do without it (R18), as TAP.

programs.py [--long] [--seconds N] [--only NAME[,NAME]] LIBRARY CXX_PROGRAM FAMILY...

Each program runs with the C library's allocator first; what it prints and its exit status under each family must be the
same. That the library is really in use is seen from the record of its calls in one more run. A program that is not
installed is skipped. --long takes larger inputs and more of Python's own tests; what has not begun after --seconds is skipped, and said.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

BASH = r"""
declare -A count
f() { local n=$1; ((n < 2)) && { echo $n; return; }; echo $(( $(f $((n - 1))) + $(f $((n - 2))) )); }
for i in {1..3000}; do count[$((i * 7919 % 101))]+=x; done
for k in "${!count[@]}"; do echo "$k ${#count[$k]}"; done | sort -n | tail -5
text=$(printf 'line %s\n' {1..2000}); echo "${#text} ${text//line/row}" | cksum
f 6
cat <(echo a; echo b) <<< "c" | tr a-c A-C
(trap 'echo bye' EXIT; for i in 1 2 3; do echo $i | sed s/^/n/; done)
"""

PERL = r"""
my (%h, @a); srand(1);
for my $i (1..60000) { my $k = "k" . ($i * 7919 % 4001); $h{$k} .= chr(97 + $i % 26); push @a, $i x 3 if $i % 7 == 0; delete $h{"k" . ($i % 4001)} if $i % 5 == 0; }
my $t = join ",", map { "$_=$h{$_}" } sort keys %h; my $n = () = $t =~ /a[b-y]+z/g;
my @s = sort { $b cmp $a } @a; print length($t), " $n $s[0] $s[-1] ", scalar(@s), "\n"; my $r = {}; $r->{x}{$_} = [1..$_] for 1..300; print scalar(@{$r->{x}{200}}), "\n";
"""

SQL = """
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price INTEGER, shelf INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
  INSERT INTO item SELECT i, 'item ' || (i * 7919 % 30011), i * 31 % 1000, i % 97 FROM n;
CREATE INDEX by_name ON item(name);
SELECT shelf, count(*), sum(price) FROM item GROUP BY shelf ORDER BY 3 DESC LIMIT 5;
SELECT count(*) FROM item a JOIN item b ON b.id = a.price + 1 WHERE a.shelf < 40;
UPDATE item SET price = price + 1 WHERE shelf % 3 = 0;
SELECT group_concat(name) FROM (SELECT name FROM item WHERE name LIKE 'item 99%' ORDER BY name);
SELECT avg(price), max(name), length(hex(zeroblob(200000))) FROM item;
PRAGMA integrity_check;
"""

NODE = r"""
const { Worker, isMainThread, parentPort } = require('worker_threads');
if (!isMainThread) { const b = []; for (let i = 0; i < 3000; i++) b.push(Buffer.alloc(i)); parentPort.postMessage(b.reduce((a, x) => a + x.length, 0)); return; }
const o = {}; for (let i = 0; i < 40000; i++) o['k' + i * 7919 % 10007] = { i, s: 'x'.repeat(i % 50) };
const t = JSON.stringify(o); const back = JSON.parse(t);
console.log(t.length, Object.keys(back).length, require('zlib').gunzipSync(require('zlib').gzipSync(t)).length);
console.log(require('crypto').createHash('sha256').update(t).digest('hex'));
let n = 0; for (let i = 0; i < 2; i++) new Worker(__filename).on('message', m => { n += m; }).on('exit', () => { if (++done == 2) console.log(n); }); let done = 0;
"""

C_FILE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node_%(n)d { struct node_%(n)d *l, *r; int key; char name[32]; };
static struct node_%(n)d *add(struct node_%(n)d *t, int k) {
  if (!t) { t = calloc(1, sizeof *t); t->key = k; snprintf(t->name, sizeof t->name, "n%%d", k); }
  else if (k < t->key) t->l = add(t->l, k); else if (k > t->key) t->r = add(t->r, k);
  return t; }
static long sum(const struct node_%(n)d *t) { return t ? t->key + (long)strlen(t->name) + sum(t->l) + sum(t->r) : 0; }
long part_%(n)d(void) { struct node_%(n)d *t = 0; unsigned x = %(n)d; for (int i = 0; i < 500; i++) { x = x * 1103515245 + 12345; t = add(t, x >> 16 & 1023); } return sum(t); }
"""

REDIS = r"""
for i in $(seq 1 %(n)d); do echo "SET key:$i $(( i * 7919 %% 100003 ))-$(printf %%0$((i %% 300))d $i)"; echo "LPUSH list:$((i %% 50)) $i"; echo "HSET h:$((i %% 20)) f$i v$i";
echo "ZADD z $((i * 31 %% 1009)) m$((i %% 700))"; echo "APPEND s:$((i %% 10)) $i"; [ $((i %% 3)) = 0 ] && echo "DEL key:$((i / 2))"; done
echo 'SADD set a b c'; echo 'DEBUG DIGEST'; echo DBSIZE; echo 'LRANGE list:7 0 5'; echo 'ZRANGE z 0 5 WITHSCORES'
"""

QUICK = "test_list test_dict test_bytes test_deque test_struct"
LONG = QUICK + (" test_re test_json test_set test_collections test_unicode test_array test_memoryview test_gc"
                " test_thread test_threading test_weakref test_pickle test_zlib test_itertools test_fork1 test_io"
                " test_subprocess test_functools test_decimal test_ctypes") # of those that Debian packs


class World:
    def __init__(self, folder, library, program, long):
        self.folder, self.library, self.program, self.long = folder, library, program, long

    def env(self, family, record=None):
        env = dict(os.environ, LC_ALL="C", GIT_CONFIG_NOSYSTEM="1", HOME=self.folder, GIT_AUTHOR_NAME="a",
                   GIT_AUTHOR_EMAIL="a@b", GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@b",
                   GIT_AUTHOR_DATE="2020-01-01T00:00:00Z", GIT_COMMITTER_DATE="2020-01-01T00:00:00Z")
        env.pop("LD_PRELOAD", None)
        if family:
            env.update(LD_PRELOAD=self.library, PAGODA_MALLOC=family)
        if record:
            env["PAGODA_MALLOC_RECORD"] = record
        return env

    def run(self, env, args, text=None, cwd=None):
        done = subprocess.run(args, input=text, env=env, cwd=cwd or self.folder, capture_output=True, text=True,
                              timeout=900 if self.long else 600)
        return done.returncode, done.stdout, done.stderr

    def fresh(self, name):
        path = os.path.join(self.folder, name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        return path


def bash(w, env):
    return w.run(env, ["bash", "-c", BASH])


def perl(w, env):
    return w.run(dict(env, PERL_HASH_SEED="0"), ["perl", "-e", PERL])


def sqlite3(w, env):
    return w.run(env, ["sqlite3", ":memory:"], SQL)


def git(w, env):
    folder = w.fresh("repository")
    script = r"""set -e; git init -q -b main .; for i in $(seq 1 12); do seq $((i * 100)) > f$i; echo $i > g; git add .; git commit -q -m "c $i"; done
git checkout -q -b other HEAD~3; echo x > h; git add h; git commit -q -m other; git merge -q -m merge main; git gc -q --aggressive
git fsck --strict; git log --format=%H; git diff --stat HEAD~5; git blame f3 | tail -2; git grep -c 99 | head"""
    return w.run(env, ["bash", "-c", script], cwd=folder)


def gcc(w, env):
    folder = w.fresh("project")
    parts = 6 if w.long else 3
    for n in range(parts):
        with open(os.path.join(folder, "part%d.c" % n), "w", encoding="ascii") as f:
            f.write(C_FILE % {"n": n})
    with open(os.path.join(folder, "main.c"), "w", encoding="ascii") as f:
        f.write("#include <stdio.h>\n" + "".join("long part_%d(void);\n" % n for n in range(parts)) +
                "int main(void) { printf(\"%ld\\n\", 0L" + "".join(" + part_%d()" % n for n in range(parts)) +
                "); return 0; }\n")
    return w.run(env, ["bash", "-c", "set -e; for f in *.c; do gcc -O2 -c $f; done; gcc -o all *.o; ./all; sha256sum *.o"],
                 cwd=folder)


def cxx(w, env):
    return w.run(env, [w.program])


def node(w, env):
    path = os.path.join(w.folder, "app.js")
    with open(path, "w", encoding="ascii") as f:
        f.write(NODE)
    return w.run(env, ["node", path])


def redis(w, env):
    folder = w.fresh("redis")
    socket = "s"  # in the server's folder: a path of a socket is at most 107 bytes long
    plain = dict(env)
    plain.pop("LD_PRELOAD", None)
    with open(os.path.join(folder, "log"), "w", encoding="utf-8") as log:
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--enable-debug-command", "local",
             "--activedefrag", "no", "--io-threads", "2"], env=env, cwd=folder, stdout=log, stderr=log)
    try:
        while server.poll() is None and w.run(plain, ["redis-cli", "-s", socket, "ping"], cwd=folder)[1] != "PONG\n":
            time.sleep(0.05)  # its socket is there before it listens
        commands = subprocess.run(["bash", "-c", REDIS % {"n": 20000 if w.long else 1500}], capture_output=True, text=True,
                                  check=True).stdout
        code, out, err = w.run(plain, ["redis-cli", "-s", socket], commands, cwd=folder)
        load = w.run(plain, ["redis-benchmark", "-s", socket, "-q", "-n", "100000" if w.long else "3000", "-c", "20",
                             "-P", "8", "-r", "1000", "-d", "100", "-t", "set,get,lpush,hset,zadd,mset"], cwd=folder)
        bgsave = w.run(plain, ["redis-cli", "-s", socket], "FLUSHALL ASYNC\nBGSAVE\nDBSIZE\nSHUTDOWN NOSAVE\n", cwd=folder)
        status = server.wait(timeout=300)
        return status, "\n".join(out.splitlines()[-25:]) + "\n" + bgsave[1], "%d %d %s" % (code, load[0], err)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()


def python(w, env):
    env = dict(env, PYTHONMALLOC="malloc", PYTHONHASHSEED="1")
    code, out, err = w.run(env, ["/usr/bin/python3", "-m", "test", "-w"] + (LONG if w.long else QUICK).split())
    lines = [line for line in out.splitlines() if re.match(r"(\d+ tests? |All |Result|    test_)", line)]
    return code, "\n".join(line for line in lines if "duration" not in line), "" if code == 0 else out[-2000:] + err[-500:]


def have_python_tests():
    return os.path.exists("/usr/bin/python3") and subprocess.run(
        ["/usr/bin/python3", "-c", "import test.test_list"], capture_output=True).returncode == 0


CASES = [(bash, "bash"), (perl, "perl"), (sqlite3, "sqlite3"), (git, "git"), (gcc, "gcc"), (cxx, None),
         (node, "node"), (redis, "redis-server"), (python, None)]


def main():
    args = sys.argv[1:]
    long = "--long" in args
    only = None
    if long:
        args.remove("--long")
    end = float("inf")
    if "--seconds" in args:
        at = args.index("--seconds")
        end = time.monotonic() + float(args[at + 1])
        del args[at:at + 2]
    if "--only" in args:
        at = args.index("--only")
        only = args[at + 1].split(",")
        del args[at:at + 2]
    library, program, families = os.path.abspath(args[0]), os.path.abspath(args[1]), args[2:]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        w = World(folder, library, program, long)
        for case, needs in CASES:
            name = case.__name__
            if only and name not in only:
                continue
            if (needs and not shutil.which(needs)) or (case is python and not have_python_tests()):
                results.append((name + " # SKIP not installed", None))
                continue
            if time.monotonic() > end:
                results.append((name + " # SKIP its time was over", None))
                continue
            expected = case(w, w.env(None))
            if expected[0] != 0:
                results.append((name, "fails without the library: %r" % (expected,)))
                continue
            for family in families:
                start = time.monotonic()
                if start > end:
                    results.append(("%s_%s # SKIP its time was over" % (name, family), None))
                    continue
                got = case(w, w.env(family))
                same = got == expected
                results.append(("%s_%s" % (name, family), None if same else "%r instead of %r" % (got, expected)))
                if long:
                    print("# %s %s %.1f s" % (name, family, time.monotonic() - start), flush=True)
            if case in (bash, redis, cxx):  # the calls really arrive
                record = os.path.join(folder, "record")
                case(w, w.env(families[0], record))
                size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)
                           if f.startswith("record."))
                results.append((name + "_calls_are_recorded", None if size > 32 * 1000 else "%d bytes" % size))
                for f in os.listdir(folder):
                    if f.startswith("record."):
                        os.unlink(os.path.join(folder, f))
    print("1..%d" % len(results))
    for number, (name, wrong) in enumerate(results, 1):
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, name))
        if wrong:
            print("#   " + wrong[:3000].replace("\n", "\n#   "))
    return 1 if any(wrong for _, wrong in results) else 0


if __name__ == "__main__":
    sys.exit(main())
