# SPDX-License-Identifier: MIT
"""
tests/programs/debian_cases.py: the cases of debian.py, a program of Debian and a line of shell each.

A line's standard output, standard error and exit status must be the same natively and under Pagoda; what varies between two native
runs (ports, process ids, times) must be left out by the line itself or by `vary`, pairs of pattern and replacement. Lines use loopback
addresses and the directory they are in, nothing else.
"""


class Case:
    def __init__(self, name, what, packages, programs, shell, memory='1G', vary=(), errors=True, status=0):
        self.name, self.what, self.packages, self.programs, self.shell = name, what, packages, programs.split(), shell
        self.memory, self.vary, self.errors, self.status = memory, vary, errors, status


CASES = []


def c(*args, **kw):
    CASES.append(Case(*args, **kw))


# ---- languages: interpreters ----

c('ruby', 'hashes, regular expressions, threads, a child', 'ruby', 'ruby', r'''
ruby -e 'h = Hash.new(0); File.foreach("text") { |l| h[l[/word\d+/]] += 1 }; p h.sort.first(5); puts (1..300).reduce(:*);
q = Queue.new; t = 4.times.map { |i| Thread.new { 1000.times { |j| q << i * j } } }; t.each(&:join); s = 0; s += q.pop until q.empty?; p s;
puts `echo from a child`; pid = fork { exit 3 }; Process.wait pid; p $?.exitstatus; exit 6' ''', status=6)
c('php', 'arrays, preg, JSON, a class', 'php-cli', 'php', r'''
php -r '$w = []; foreach (file("text") as $l) { preg_match("/word\d+/", $l, $m); @$w[$m[0]]++; } ksort($w); echo json_encode(array_slice($w, 0, 5)), "\n";
class A { function __get($n) { return $n . "!"; } } $a = new A; echo $a->b, " ", md5(str_repeat("x", 100000)), "\n"; $s = 0;
for ($i = 0; $i < 300000; $i++) $s += $i % 7; echo $s, "\n"; exit(5);' ''', status=5)
c('php with JIT', 'the tracing JIT of PHP 8', 'php-cli', 'php', r'''
php -d zend_extension=opcache -d opcache.enable_cli=1 -d opcache.jit_buffer_size=16M -d opcache.jit=tracing -r '
function f($n) { $s = 0; for ($i = 0; $i < $n; $i++) { $s = ($s * 31 + $i) % 1000003; } return $s; } echo f(300000), "\n";' ''', errors=False)
c('java', 'a program from one source file: the compiler, the JIT, threads, collections', 'openjdk-17-jdk-headless', 'java', r'''
cat > T.java <<'E'
import java.util.*; import java.util.concurrent.*; import java.util.stream.*;
public class T { static long fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
 public static void main(String[] a) throws Exception {
  Map<String, Integer> m = new TreeMap<>(); for (int i = 0; i < 100000; i++) m.merge("k" + i % 13, i, Integer::sum);
  System.out.println(m); System.out.println(fib(27));
  ExecutorService e = Executors.newFixedThreadPool(4); List<Future<Long>> l = new ArrayList<>();
  for (int t = 0; t < 8; t++) { final int k = t; l.add(e.submit(() -> LongStream.range(0, 100000).map(x -> x * k).sum())); }
  for (Future<Long> f : l) System.out.println(f.get()); e.shutdown();
  try { Object o = null; o.toString(); } catch (NullPointerException x) { System.out.println("null pointer"); }
  try { rec(0); } catch (StackOverflowError x) { System.out.println("stack overflow"); }
  byte[][] b = new byte[200][]; for (int i = 0; i < 2000; i++) b[i % 200] = new byte[100000]; System.out.println(b.length); System.exit(9); }
 static int rec(int n) { return rec(n + 1) + 1; } }
E
java -Xmx256m T.java''', memory='2G', status=9)
c('java -version', 'the virtual machine starts', 'openjdk-17-jdk-headless', 'java', 'java -version', memory='2G')
c('javac and java, each collector', 'serial, parallel, G1, Shenandoah, Z', 'openjdk-17-jdk-headless', 'java javac', r'''
cat > G.java <<'E'
import java.util.*;
public class G { public static void main(String[] a) { List<Object> l = new LinkedList<>(); long s = 0;
 for (int i = 0; i < 400000; i++) { l.add(new int[i % 50]); if (l.size() > 2000) { s += ((int[]) l.remove(0)).length; } } System.out.println(s); } }
E
javac G.java && for g in Serial Parallel G1 Shenandoah Z; do java -XX:+Use${g}GC -Xmx128m G; done''', memory='4G')
c('ocaml', 'the toplevel and the bytecode compiler', 'ocaml-nox', 'ocaml ocamlc', r'''
echo 'let rec f n = if n < 2 then n else f (n-1) + f (n-2) let () = Printf.printf "%d\n" (f 22)' > a.ml
ocaml a.ml; ocamlc a.ml -o a && ./a''')
c('guile', 'bignums, closures, its JIT', 'guile-3.0', 'guile', r'''
guile --no-auto-compile -c '(use-modules (srfi srfi-1)) (define (f n) (if (< n 2) n (+ (f (- n 1)) (f (- n 2))))) (display (f 20)) (newline)
(display (fold * 1 (iota 60 1))) (newline) (exit 4)' ''', status=4)
c('tclsh', 'strings, arrays, exec', 'tcl', 'tclsh', r'''
echo 'set s 0; for {set i 0} {$i < 20000} {incr i} {incr s [expr {$i*$i % 7}]}; puts $s; puts [exec echo hello | tr a-z A-Z]; puts [lsort {c b a}]; exit 2' > a.tcl
tclsh a.tcl''', status=2)
c('luajit', 'its JIT', 'luajit', 'luajit', r'''
luajit -e 'local function f(n) if n < 2 then return n end return f(n-1) + f(n-2) end print(f(27))
local ffi = require("ffi") ffi.cdef[[int printf(const char *fmt, ...); unsigned long strlen(const char *);]] print(tonumber(ffi.C.strlen("twelve bytes")))
local t = {} for i = 1, 200000 do t[i] = i * 7919 % 10007 end table.sort(t) print(t[1000], #t)
local cb = ffi.cast("int (*)(int)", function(x) return x * 2 end) print(cb(21)) os.exit(3)' ''', status=3)
c('pypy3', 'its JIT', 'pypy3', 'pypy3', r'''
pypy3 -c 's = 0
for i in range(2000000): s = (s * 31 + i) % 1000003
print(s); import hashlib, json, sys; print(hashlib.sha256(json.dumps(list(range(10000))).encode()).hexdigest()); sys.exit(8)' ''', status=8)
c('node', 'its JIT, regular expressions, WebAssembly, promises, a worker', 'nodejs', 'node', r'''
node -e 'const { Worker } = require("worker_threads"); const fs = require("fs");
function f(n) { return n < 2 ? n : f(n - 1) + f(n - 2) } console.log(f(25));
const m = {}; for (const l of fs.readFileSync("text", "utf8").split("\n")) { const w = /word\d+/.exec(l); if (w) m[w[0]] = (m[w[0]] || 0) + 1 } console.log(Object.entries(m).slice(0, 3));
const w = new Uint8Array([0,97,115,109,1,0,0,0,1,7,1,96,2,127,127,1,127,3,2,1,0,7,7,1,3,97,100,100,0,0,10,9,1,7,0,32,0,32,1,106,11]);
WebAssembly.instantiate(w).then(r => { console.log(r.instance.exports.add(40, 2)); new Worker("require(\"worker_threads\").parentPort.postMessage(6*7)", { eval: true }).on("message", x => { console.log(x); process.exit(7) }) })' ''', status=7)
c('python3, numpy and scipy', 'OpenBLAS threads, AVX2 kernels, FFT, sorting', 'python3-numpy python3-scipy', 'python3', r'''
/usr/bin/python3 -c 'import numpy as np, scipy.linalg as la, scipy.fft as f
r = np.random.RandomState(1); a = r.rand(200, 200); b = a @ a.T; print(round(float(np.linalg.slogdet(b)[1]), 4), np.round(np.linalg.eigvalsh(b)[-3:], 6))
print(np.round(np.abs(f.fft(np.arange(1000.0)))[:5], 4), np.sort(r.randint(0, 100000, 100000))[::10000], np.float32(a).sum(dtype=np.float32) > 0)
print(np.round(la.svdvals(a)[:3], 6)); x = np.arange(1e6); print(x.sum(), np.sqrt(x).sum().round(3), np.exp(-x / 1e6).sum().round(6), (x.astype(np.int64) % 7).sum())' ''')
c('python3 and pandas', 'a table read, grouped, joined', 'python3-pandas', 'python3', r'''
/usr/bin/python3 -c 'import pandas as pd
d = pd.read_csv("text", sep=" ", names=["n", "h", "w", "a", "b", "c"], dtype={"h": str}); print(d.groupby("c").n.agg(["sum", "count", "mean"]).round(3))
print(d.merge(d.head(100), on="w").shape, d.w.value_counts().head(3).to_dict(), d.sort_values("h").n.head().tolist())' ''')
c("python3's own tests", 'a choice of CPython test modules', 'libpython3.11-testsuite', 'python3', r'''
/usr/bin/python3 -m test -q test_dict test_list test_re test_json test_struct test_threading_local test_pipes test_mmap test_fork1 test_wait4 test_posix test_signal \
 test_select test_poll test_epoll test_eintr test_tempfile test_shutil test_glob test_os test_resource test_fcntl test_pty test_openpty test_popen test_float test_math test_cmath 2>&1 |
 grep -v -E '^(Total duration|0:|Using random|== )' | sed -E 's/duration.*//;s/[0-9.]+ sec//' | grep -E 'failed|Result|OK|SUCCESS|FAIL' ''', errors=False)
c("perl's prove", 'a suite of its own tests', 'perl', 'prove perl', r'''
mkdir t; for i in 1 2 3 4; do printf 'use Test::More; use threads; my @t = map { my $n = $_; threads->create(sub { my $s = 0; $s += $_ * %s for 1..2000; $s }) } 1..3;
is($_->join, 2001000 * %s) for @t; like(`echo a b`, qr/a b/); my $p = fork; if (!$p) { exit 3 } waitpid $p, 0; is($? >> 8, 3); done_testing;\n' $i $i > t/$i.t; done
prove -T -j2 t | grep -v -E '^Files='  ''')
c('perl -T', 'taint checks stop it', 'perl', 'perl', r'''
perl -T -e '$x = $ENV{PATH}; system("echo $x")' ''', status=255, vary=((r'"[^"]*"', '""'),))
c('lua5.4', 'coroutines, garbage', 'lua5.4', 'lua5.4', r'''
lua5.4 -e 'local co = coroutine.wrap(function() for i = 1, 5 do coroutine.yield(i * i) end end) for i = 1, 5 do io.write(co(), " ") end print()
local t = {} for i = 1, 200000 do t[i % 1000] = { i } end collectgarbage() print(collectgarbage("count") < 10000)' ''')
c('sbcl', 'its native compiler, its collector with write barriers by protection', 'sbcl', 'sbcl', r'''
sbcl --noinform --non-interactive --eval '(progn (defun f (n) (declare (fixnum n)) (if (< n 2) n (+ (f (- n 1)) (f (- n 2))))) (print (f 25))
(let ((l nil)) (dotimes (i 300000) (push (make-array 20) l) (when (> (length l) 100) (setf l nil))) (gc :full t)) (print (expt 3 200)) (terpri) (sb-ext:exit :code 5))' ''', status=5)
c('erlang', 'its JIT, processes, messages', 'erlang-base', 'erl', r'''
erl -noshell -eval 'P = self(), L = [spawn(fun() -> P ! {I, lists:sum(lists:seq(1, I * 100))} end) || I <- lists:seq(1, 200)], S = lists:sum([receive {_, X} -> X end || _ <- L]), io:format("~p~n", [S]), halt(4).' ''',
  status=4)
c('racket', 'its native compiler', 'racket', 'racket', r'''racket -e '(displayln (for/sum ([i 100000]) (modulo (* i i) 7)))' ''')
c('swi-prolog', 'backtracking', 'swi-prolog-nox', 'swipl', r'''swipl -g "numlist(1,8,L), findall(P, permutation(L,P), Ps), length(Ps, N), writeln(N), halt(3)" ''', status=3)
c('octave', 'matrices', 'octave', 'octave-cli', r'''octave-cli --no-gui --norc --eval 'a = magic(50); printf("%g %g\n", trace(a), rank(a)); x = fft(1:64); printf("%.6f\n", abs(x(2))); exit(6)' ''', status=6)
c('R', 'statistics', 'r-base-core', 'Rscript', r'''Rscript --vanilla -e 'x <- (1:1000 * 7919) %% 1009; print(summary(x)); print(coef(lm(x ~ I(1:1000)))); m <- matrix(x[1:400], 20); print(round(sum(svd(m)$d), 4)); quit(status = 2)' ''', status=2)
c('mono', 'a C# program compiled and run: its JIT, its collector', 'mono-mcs mono-runtime', 'mcs mono', r'''
cat > a.cs <<'E'
using System; using System.Linq; using System.Threading; using System.Collections.Generic;
class P { static int F(int n) { return n < 2 ? n : F(n - 1) + F(n - 2); } static int Main() { Console.WriteLine(F(25));
 var d = new Dictionary<string, int>(); for (int i = 0; i < 50000; i++) d["k" + i % 17] = i; Console.WriteLine(string.Join(",", d.OrderBy(x => x.Key).Take(3).Select(x => x.Key + x.Value)));
 long s = 0; var t = Enumerable.Range(0, 4).Select(k => new Thread(() => { for (int i = 0; i < 1000; i++) Interlocked.Add(ref s, k); })).ToList(); t.ForEach(x => x.Start()); t.ForEach(x => x.Join()); Console.WriteLine(s);
 try { object o = null; o.ToString(); } catch (NullReferenceException) { Console.WriteLine("null"); } return 3; } }
E
mcs a.cs && mono a.exe''', status=3)
c('bc and dc', 'long numbers', 'bc dc', 'bc dc', r'''echo 'scale=200; 4*a(1)' | bc -lq; echo '3 500 ^ p' | dc''')
c('awks', 'gawk, mawk, busybox awk', 'gawk mawk busybox-static', 'gawk mawk busybox', r'''
for a in gawk mawk "busybox awk"; do $a '{ n[$3]++ } END { for (i in n) s += n[i] * length(i); print s, sprintf("%.5f", exp(1)) }' text; done
gawk 'BEGIN { cmd = "sort -n"; for (i = 5; i; i--) print i |& cmd; close(cmd, "to"); while ((cmd |& getline x) > 0) printf "%s ", x; print "" }' ''')
c('jq', 'a query', 'jq', 'jq', r'''seq 2000 | jq -s 'map({n: ., s: (. * . | tostring)}) | group_by(.n % 5) | map({k: .[0].n, l: length, t: (map(.n) | add)})' ''')

# ---- compilers ----

c('gcc and g++', 'compile, link, run: C and C++ with exceptions and threads', 'gcc g++', 'gcc g++', r'''
cat > a.cc <<'E'
#include <iostream>
#include <map>
#include <thread>
#include <vector>
#include <stdexcept>
#include <regex>
int main() { std::map<std::string, int> m; for (int i = 0; i < 10000; i++) m["k" + std::to_string(i % 11)] += i; for (auto &p : m) std::cout << p.first << ' ' << p.second << '\n';
 std::vector<std::thread> t; std::vector<long> r(4); for (int k = 0; k < 4; k++) t.emplace_back([&r, k] { for (int i = 0; i < 100000; i++) r[k] += i * k; }); for (auto &x : t) x.join(); std::cout << r[3] << '\n';
 try { throw std::runtime_error("caught"); } catch (std::exception &e) { std::cout << e.what() << '\n'; } std::cout << std::regex_match("abc123", std::regex("[a-z]+\\d+")) << '\n'; return 12; }
E
g++ -O2 -g a.cc -o a -pthread && ./a''', status=12)
c('clang', 'compile, link, run', 'clang', 'clang', r'''
printf '#include <stdio.h>\nint main(void) { long s = 0; for (int i = 0; i < 100000; i++) s += i * i %% 7; printf("%%ld\\n", s); return 3; }' > a.c; clang -O2 -march=native a.c -o a && ./a''', status=3)
c('tcc', 'compile and run in memory', 'tcc', 'tcc', r'''
printf '#include <stdio.h>\nint main(int n, char **a) { long s = 0; for (int i = 0; i < 100000; i++) s += i * i %% 7; printf("%%ld %%s\\n", s, a[1]); return 3; }' > a.c; tcc -run a.c word''', status=3)
c('rustc', 'compile, link, run: threads, collections, a panic', 'rustc', 'rustc', r'''
cat > a.rs <<'E'
use std::collections::BTreeMap; use std::sync::mpsc; use std::thread;
fn main() { let mut m = BTreeMap::new(); for i in 0..10000u64 { *m.entry(i % 7).or_insert(0) += i; } println!("{:?}", m);
 let (s, r) = mpsc::channel(); for k in 0..4u64 { let s = s.clone(); thread::spawn(move || s.send((0..1000).map(|x| x * k).sum::<u64>()).unwrap()); } drop(s); println!("{}", r.iter().sum::<u64>());
 let c = thread::spawn(|| { let v: Vec<i32> = vec![]; v[0] }); println!("{}", c.join().is_err()); std::process::exit(7); }
E
rustc -O a.rs -o a && ./a 2>/dev/null''', memory='2G', status=7)
c('go', 'go build, go run, the race of goroutines', 'golang-go', 'go', r'''
mkdir m && cd m && export GOCACHE=$PWD/c GOFLAGS=-mod=mod GOPROXY=off && cat > a.go <<'E'
package main
import ("fmt"; "sort"; "sync"; "os"; "runtime")
func main() { var w sync.WaitGroup; var mu sync.Mutex; m := map[int]int{}; for i := 0; i < 100; i++ { w.Add(1); go func(i int) { defer w.Done(); for j := 0; j < 1000; j++ { mu.Lock(); m[j%7] += i; mu.Unlock() } }(i) }; w.Wait()
 k := []int{}; for x := range m { k = append(k, x) }; sort.Ints(k); for _, x := range k { fmt.Println(x, m[x]) }; runtime.GC(); defer func() { fmt.Println(recover()); os.Exit(5) }(); var p *int; *p = 1 }
E
printf 'module a\ngo 1.19\n' > go.mod; go build -o a . && ./a''', memory='3G', status=5)
c('gfortran', 'compile, link, run', 'gfortran', 'gfortran', r'''
printf 'program p\nreal(8) :: a(100,100)\ninteger :: i,j\ndo i=1,100\ndo j=1,100\na(i,j)=i*j\nend do\nend do\nprint "(f20.1)", sum(matmul(a,a))\nstop 4\nend program\n' > a.f90; gfortran -O2 a.f90 -o a && ./a 2>/dev/null''', status=4)
c('musl', 'static and dynamic programs of musl', 'musl-tools', 'musl-gcc', r'''
cat > a.c <<'E'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
static void *f(void *p) { char *x = malloc(100000); memset(x, 1, 100000); long s = 0; for (int i = 0; i < 100000; i++) s += x[i]; free(x); return (void *)s; }
int main(void) { pthread_t t[4]; void *r; long s = 0; for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, f, 0); for (int i = 0; i < 4; i++) { pthread_join(t[i], &r); s += (long)r; } printf("%ld %.5f\n", s, 1.0 / 3); return system("exit 3") >> 8; }
E
musl-gcc -static a.c -o s && ./s; echo $?; musl-gcc a.c -o d && ./d; echo $?; musl-gcc -static-pie -fPIE a.c -o p && ./p''', status=3)
c('static-PIE and no PIE', 'forms of programs', 'gcc libc6-dev', 'gcc', r'''
printf '#include <stdio.h>\n#include <stdlib.h>\nint x[100000]; static const char *s[] = {"a", "b"}; int main(void) { printf("%%s %%d\\n", s[1], x[99999]); return 3; }' > a.c
for f in "-static-pie -fPIE" "-static" "-no-pie" "-pie -fPIE" "-pie -fPIE -Wl,-z,now" "-Wl,-z,norelro" "-Wl,-z,noseparate-code" "-z execstack" "-Wl,--hash-style=sysv" "-O3 -flto" "-fsanitize=undefined" "-Wl,-N -static"; do gcc $f a.c -o a 2>/dev/null && ./a; echo $? ; done''')
c('cmake and ninja', 'a build', 'cmake ninja-build gcc', 'cmake ninja', r'''
printf 'cmake_minimum_required(VERSION 3.5)\nproject(a C)\nadd_library(l STATIC l.c)\nadd_executable(a a.c)\ntarget_link_libraries(a l)\n' > CMakeLists.txt
echo 'int l(void) { return 11; }' > l.c; echo 'int l(void); int main(void) { return l(); }' > a.c; cmake -GNinja -B b . > /dev/null && ninja -C b -j2 > /dev/null && b/a''', status=11, memory='2G')
c('meson', 'a build', 'meson ninja-build gcc', 'meson ninja', r'''
printf "project('a', 'c')\nexecutable('a', 'a.c', 'b.c')\n" > meson.build; echo 'int b(void) { return 7; }' > b.c; echo 'int b(void); int main(void) { return b(); }' > a.c; meson setup o > /dev/null && ninja -C o > /dev/null && o/a''',
  status=7, memory='2G')
c('bison, flex, m4', 'generators', 'bison flex m4', 'bison flex m4', r'''
printf '%%%%\n[a-z]+ return 1;\n. ;\n%%%%\nint yywrap(void) { return 1; }\nint main(void) { int n = 0; while (yylex()) n++; return n; }\n' > a.l; flex a.l && sha256sum lex.yy.c
printf '%%token N\n%%%%\ne: e "+" N | N;\n%%%%\n' > a.y; bison a.y && wc -l a.tab.c; echo 'define(x, $1$1)x(ab)' | m4''')
c('AVX2 and AVX-512', 'vectorised loops; the widest that CPUID offers', 'gcc', 'gcc', r'''
cat > a.c <<'E'
#include <stdio.h>
static float a[4096], b[4096]; static int c[4096];
#define BODY for (int i = 0; i < 4096; i++) { a[i] = i; b[i] = 4096 - i; } float s = 0; long t = 0; for (int k = 0; k < 50; k++) for (int i = 0; i < 4096; i++) { a[i] = a[i] * b[i] / 4096 + k; c[i] = (int)a[i] ^ i; } for (int i = 0; i < 4096; i++) { s += a[i] > 2000 ? 1 : 2; t += c[i]; } printf("%.3f %ld\n", s, t);
__attribute__((target("avx2,fma"))) static void f2(void) { BODY }
__attribute__((target_clones("arch=x86-64-v4", "avx2", "default"))) static void f5(void) { BODY }
__attribute__((target("sse4.2"))) static void f1(void) { BODY }
int main(void) { f1(); if (__builtin_cpu_supports("avx2")) f2();f5(); return 0; }
E
gcc -O3 -mprefer-vector-width=512 a.c -o a && ./a''')

# ---- text, documents, pictures, sound ----

c('vim', 'edit by script', 'vim-tiny', 'vim.tiny', r'''vim.tiny -u NONE -N -es -c '%s/word\(\d\+\)/<\1>/' -c 'g/dog/d' -c 'normal Gyy5p' -c 'wq! out' text; sha256sum out''')
c('ed and sed', 'edit by script', 'ed', 'ed', r'''printf 'g/dog/d\n1,5p\n$=\nw out\nq\n' | ed -s text; sha256sum out''')
c('emacs', 'batch: sorting, byte-compiling', 'emacs-nox', 'emacs', r'''
emacs -Q --batch --eval '(progn (find-file "text") (sort-fields 3 (point-min) (point-max)) (message "%s" (md5 (buffer-string))) (defun f (n) (if (< n 2) n (+ (f (- n 1)) (f (- n 2))))) (byte-compile (quote f)) (message "%d" (f 20)) (kill-emacs 3))' ''', status=3)
c('less', 'at a terminal', 'less expect', 'less expect', r'''
expect -c 'set timeout 60; spawn -noecho env TERM=vt100 less -X text; expect "000010"; send "/word13 \r"; expect "word13"; send "G"; expect "003999"; send "q"; expect eof; lassign [wait] p s o c; exit $c' > /dev/null''')
c('nano', 'at a terminal', 'nano expect', 'nano expect', r'''
expect -c 'set timeout 60; spawn -noecho env TERM=vt100 nano new; expect "Help"; send "hello\r\x18"; expect "Save"; send "y"; expect "Write"; send "\r"; expect eof; lassign [wait] p s o c; exit $c' > /dev/null; cat new''')
c('htop and top', 'at a terminal', 'htop procps expect', 'htop top expect', r'''
expect -c 'set timeout 60; spawn -noecho env TERM=vt100 htop; expect "Mem"; send "q"; expect eof; spawn -noecho env TERM=vt100 top; expect "Tasks"; send "q"; expect eof' > /dev/null; echo $?''')
c('mc', 'at a terminal', 'mc expect', 'mc expect', r'''
expect -c 'set timeout 60; spawn -noecho env TERM=vt100 mc -u -d; expect "Help"; send "\0330"; expect eof' > /dev/null; echo $?''')
c('tmux', 'a server, two windows', 'tmux', 'tmux', r'''
T="tmux -L t -f /dev/null"; $T new-session -d -x 80 -y 24 'sh'; $T send-keys 'echo a$((6*7))b > one; echo $((3*4))' Enter; for i in $(seq 100); do [ -s one ] && break; sleep 0.1; done; cat one
$T new-window 'echo window > two; sleep 0.2'; for i in $(seq 100); do [ -s two ] && break; sleep 0.1; done; cat two; $T kill-server; sleep 0.3; $T ls 2>&1 | sed 's/ on .*//;s/ to .*//' ''')
c('screen dumps by script', 'a terminal in a file', 'bsdutils', 'script', r'''script -qec 'stty size; tty | cut -c1-8; echo $TERM; exit 3' /dev/null''', status=3)
c('imagemagick', 'draw, scale, convert', 'imagemagick', 'convert identify', r'''
/usr/bin/convert -size 200x100 gradient:red-blue -swirl 60 -resize 50% a.png && /usr/bin/identify -format '%w %h %#\n' a.png; /usr/bin/convert a.png -colorspace Gray -depth 8 gray:- | sha256sum''')
c('ghostscript', 'PostScript to PNG and PDF', 'ghostscript', 'gs', r'''
printf '%%!PS\n/Times-Roman findfont 40 scalefont setfont 100 400 moveto (Pagoda) show 100 100 200 0 360 arc fill showpage\n' > a.ps; gs -q -dNOPAUSE -dBATCH -sDEVICE=pgmraw -r50 -sOutputFile=a.pgm a.ps && sha256sum a.pgm''')
c('ffmpeg', 'make, encode and decode a film', 'ffmpeg', 'ffmpeg', r'''
ffmpeg -v error -f lavfi -i testsrc=size=160x120:rate=10:duration=2 -c:v mpeg4 -threads 2 -bitexact -y a.avi && ffmpeg -v error -threads 1 -i a.avi -f md5 -; ffmpeg -v error -f lavfi -i sine=duration=1 -c:a flac -bitexact -f md5 -''')
c('sox', 'synthesise and filter', 'sox', 'sox', r'''sox -D -n -r 8000 a.wav synth 1 sine 440 vol 0.5 lowpass 300 && sha256sum a.wav && sox a.wav -n stat 2>&1 | head -5''')
c('gnuplot', 'a plot', 'gnuplot-nox', 'gnuplot', r'''gnuplot -e 'set term dumb 60 20; plot sin(x), cos(x)'; gnuplot -e 'set term svg; set output "a.svg"; splot x*y'; sha256sum a.svg''')
c('graphviz', 'a graph', 'graphviz', 'dot neato', r'''(echo 'digraph g {'; for i in $(seq 40); do echo "a$i -> a$((i * 7 % 41)); a$i -> a$((i / 2));"; done; echo '}') > g; dot -Tsvg g | sha256sum; neato -Tplain g | wc -l''')
c('pandoc', 'Markdown to HTML: a Haskell program', 'pandoc', 'pandoc', r'''printf '# A\n\n*b* `c`\n\n- d\n- e\n\n|a|b|\n|-|-|\n|1|2|\n' | pandoc -f markdown -t html''', memory='1G')
c('pdftex', 'a document', 'texlive-latex-base', 'pdflatex', r'''printf '\\documentclass{article}\\begin{document}Pagoda $\\int_0^1 x^2 dx$\\end{document}' > a.tex; SOURCE_DATE_EPOCH=1 pdflatex -interaction=batchmode a.tex; ls a.pdf a.log''')
c('groff', 'a manual page', 'groff-base man-db', 'groff', r'''zcat -f /usr/share/man/man1/apt-get.8.gz /usr/share/man/man8/apt-get.8.gz 2>/dev/null | groff -t -mandoc -Tutf8 2>/dev/null | sha256sum''')

# ---- files and archives ----

c('tar with each compressor', 'archives there and back', 'tar zstd xz-utils pigz bzip2 p7zip-full', 'tar zstd xz pigz 7z', r'''
for z in gzip xz zstd pigz bzip2; do tar --sort=name --mtime=@0 -I $z -cf a.$z tree && mkdir o$z && tar -I $z -xf a.$z -C o$z && diff -r tree o$z/tree && echo $z; done; xz -T2 --block-size=64KiB -k text && xz -dc text.xz | cmp - text; pigz -p 4 -kc text | gzip -dc | cmp - text; zstd -q -T4 -19 text -o t.zst && zstd -dqc t.zst | cmp - text
7z a -bd -mmt4 a.7z tree text > /dev/null && 7z x -bd -ox a.7z > /dev/null && diff -r tree x/tree && echo 7z; zip -qr a.zip tree 2>/dev/null; echo tree | cpio -o 2>/dev/null | wc -c''', errors=False)
c('rsync', 'a tree copied and brought up to date', 'rsync', 'rsync', r'''rsync -a tree/ copy/ && echo more >> tree/d0/f0 && rsync -ai tree/ copy/ | cut -c1-11 && diff -r tree copy && echo same''')
c('find and xargs -P', 'many processes', 'findutils', 'find xargs', r'''find /usr/include -name '*.h' | head -600 | xargs -P 8 -n 20 wc -l | awk '!/total/ { s += $1 } END { print s }' ''')
c('sort --parallel', 'threads, temporary files', 'coreutils', 'sort', r'''for i in 1 2 3 4 5 6 7 8; do sed "s/^/$((i * 7919 % 11))/" text; done > big; sort --parallel=4 -S 512K -k2 big | sha256sum; sort -n big | sha256sum; split -n l/4 big p && wc -l p* && sort -m p* | wc -l''')
c('dpkg-deb', 'a package built and taken apart', 'dpkg', 'dpkg-deb', r'''mkdir -p p/DEBIAN p/usr && cp text p/usr && printf 'Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: a\n' > p/DEBIAN/control && SOURCE_DATE_EPOCH=1 dpkg-deb --root-owner-group -b p a.deb && dpkg-deb -f a.deb Package && dpkg-deb -x a.deb q && cmp q/usr/text text''')
c('apt-get --simulate', 'reads all lists', 'apt', 'apt-get', r'''apt-get --simulate install hello 2>&1 | tail -3; apt-cache policy bash | head -2; dpkg -l | wc -l''', errors=False)
c('git', 'init, commit, branch, merge, clone over the file transport, gc', 'git', 'git', r'''
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000' GIT_CONFIG_GLOBAL=/dev/null
git init -q -b main r && cp -r tree text r && cd r && git add . && git commit -q -m one && git checkout -q -b b && echo x >> text && git commit -qam two && git checkout -q main && echo y > z && git add z && git commit -qm three && git merge -q -m m b && git log --format='%H %s' && git gc -q && git fsck 2>&1 | tail -1; cd .. && git clone -q file://$PWD/r s && git -C s log --oneline | wc -l; git -C s blame text | tail -2''', memory='1G')
c('sqlite3', 'a database in a file with a journal', 'sqlite3', 'sqlite3', r'''sqlite3 a.db 'pragma journal_mode=wal; create table t(a,b); with recursive n(i) as (select 1 union all select i+1 from n where i<30000) insert into t select i, hex(i*i) from n; create index x on t(b); select count(*), max(b) from t; pragma integrity_check; vacuum;' ''')
c('deep directories', '200 deep, and names of 255 bytes', 'coreutils', 'find', r'''p=.; for i in $(seq 200); do p=$p/directory; done; mkdir -p $p && touch $p/f && find . -name f | wc -c; n=$(printf '%255s' x | tr ' ' n); touch $n && ls | tail -1 | wc -c; touch ${n}n 2>&1 | sed 's/nn*/n/'; rm -r directory''')
c('huge arguments and environment', '1.5 MiB of words', 'coreutils', 'env', r'''a=$(seq 1 200000 | tr '\n' ' '); /bin/echo $a | md5sum; X=$(printf '%100000s' y) /usr/bin/env | wc -c; /bin/echo $a $a $a 2>&1 | sed 's/.*: //' | cut -c1-40; getconf ARG_MAX; seq 1 300000 | xargs echo | wc -l; seq 1 100000 | xargs -s 2000 echo | wc -l''')

# ---- shells ----

SHELL = r'''cat > a.sh <<'E'
f() { if [ $1 -lt 2 ]; then echo $1; else echo $(( $(f $(($1 - 1))) + $(f $(($1 - 2))) )); fi; }; f 8
for i in 1 2 3; do echo $i | tr 1-3 a-c; done | sort -r; x=$(cat text | head -3 | wc -l); echo $x; (exit 3); echo $?; sleep 0.1 & wait $!; echo $?; trap 'echo bye' EXIT
case abc in a*) echo yes;; esac; echo "${HOME##*/}"; cat <<F
here $x
F
exec 3> o; echo three >&3; exec 3>&-; cat o; kill -0 $$ && echo alive; exit 4
E
'''
for sh, package in (('dash', 'dash'), ('bash', 'bash'), ('zsh', 'zsh'), ('ksh', 'ksh93u+m'), ('busybox sh', 'busybox-static')):
    c(sh, 'functions, pipelines, substitution, traps', package, sh.split()[0], SHELL + sh + ' a.sh', status=4)
c('fish', 'functions, pipelines', 'fish', 'fish', r'''fish --no-config -c 'function f; if test $argv[1] -lt 2; echo $argv[1]; else; math (f (math $argv[1] - 1)) + (f (math $argv[1] - 2)); end; end; f 6; for i in a b c; echo $i; end | sort -r; exit 4' ''', status=4)
c('zsh at a terminal', 'job control', 'zsh expect', 'zsh expect', r'''
expect -c 'set timeout 60; spawn -noecho env PS1=READY zsh -f; expect READY; send "sleep 50\r"; sleep 1; send "\x1a"; expect "suspended"; send "bg\r"; expect "continued"; send "kill %1\r"; expect "terminated"; send "exit 7\r"; expect eof; lassign [wait] p s o c; exit $c' > /dev/null''', status=7)

# ---- servers ----

c('nginx', 'workers, files by HTTP', 'nginx-light curl', 'nginx curl', r'''
mkdir n; printf 'daemon off; worker_processes 2; pid n/p; error_log n/e; events {} http { access_log off; client_body_temp_path n/1; proxy_temp_path n/2; fastcgi_temp_path n/3; uwsgi_temp_path n/4; scgi_temp_path n/5; server { listen 127.0.0.1:18081; root %s; location /x { return 404 "no"; } } }' $PWD > n/c
nginx -p $PWD -c n/c -e n/e -g 'user root;' & curl -sS --retry 40 --retry-delay 1 --retry-connrefused http://127.0.0.1:18081/text | cmp - text; seq 40 | xargs -P 8 -I{} curl -s http://127.0.0.1:18081/binary?{} -o /dev/null -w '%{http_code} %{size_download}\n' | sort | uniq -c; curl -s http://127.0.0.1:18081/x; kill -QUIT $!; wait $!''', vary=((r'^nginx: .*\n', ''),), errors=False)
c('apache2', 'processes and threads, files by HTTP', 'apache2 curl', 'apache2 curl', r'''
M=/usr/lib/apache2/modules; mkdir h; chmod 755 . h; cp text h; printf "ServerRoot $PWD\nServerName localhost\nPidFile $PWD/p\nListen 127.0.0.1:18082\nLoadModule mpm_event_module $M/mod_mpm_event.so\nLoadModule authz_core_module $M/mod_authz_core.so\nErrorLog $PWD/e\nDocumentRoot $PWD/h\nDefaultRuntimeDir $PWD\n<Directory />\nRequire all granted\n</Directory>\n" > c
chmod -R a+rX .; apache2 -f $PWD/c -D FOREGROUND & curl -sS --retry 40 --retry-delay 1 --retry-connrefused http://127.0.0.1:18082/text -o o -w '%{http_code}\n'; seq 40 | xargs -P 8 -I{} curl -s http://127.0.0.1:18082/text?{} -o /dev/null -w '%{http_code}\n' | sort | uniq -c; kill -TERM $!; wait $!; echo $?''', errors=False)
c('lighttpd', 'files by HTTP', 'lighttpd curl', 'lighttpd curl', r'''
printf 'server.document-root="%s"\nserver.port=18083\nserver.bind="127.0.0.1"\n' $PWD > c; lighttpd -D -f c 2>/dev/null & curl -sS --retry 40 --retry-delay 1 --retry-connrefused http://127.0.0.1:18083/text | cmp - text; seq 20 | xargs -P 4 -I{} curl -s http://127.0.0.1:18083/binary?{} -o /dev/null -w '%{http_code} %{size_download}\n' | sort | uniq -c; kill $!; wait $!; echo $?''')
c('python3 http.server and curl', 'a small server', 'python3 curl', 'python3 curl', r'''
/usr/bin/python3 -m http.server -b 127.0.0.1 18084 2>/dev/null & for i in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/18084) 2>/dev/null && break; sleep 0.1; done; curl -sS --retry 40 --retry-delay 1 --retry-connrefused http://127.0.0.1:18084/text | cmp - text; curl -sI http://127.0.0.1:18084/binary | grep -i length; kill $!; wait $!; echo $?''', errors=False)
c('sshd and ssh', 'keys made, a login, a command', 'openssh-server openssh-client', 'sshd ssh ssh-keygen', r'''
mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f hk && ssh-keygen -q -t ed25519 -N '' -f uk && cp uk.pub ak && chmod 600 ak; chmod 755 .
/usr/sbin/sshd -D -e -p 18022 -f /dev/null -o ListenAddress=127.0.0.1 -h $PWD/hk -o AuthorizedKeysFile=$PWD/ak -o StrictModes=no -o UsePAM=no -o PidFile=$PWD/pid 2>log & for i in $(seq 100); do ssh-keyscan -p 18022 127.0.0.1 2>/dev/null | grep -q ed25519 && break; sleep 0.1; done
ssh -q -F /dev/null -p 18022 -i uk -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@127.0.0.1 'echo in; cat; exit 5' < short | sha256sum; echo ${PIPESTATUS[0]}; kill $!; wait $!; echo $?''', errors=False)
c('redis', 'a server, a client, a snapshot', 'redis-server redis-tools', 'redis-server redis-cli', r'''
redis-server --port 18079 --bind 127.0.0.1 --save '' --daemonize no --dir $PWD > /dev/null & for i in $(seq 100); do redis-cli -p 18079 ping 2>/dev/null | grep -q PONG && break; sleep 0.1; done
redis-cli -p 18079 eval 'for i=1,2000 do redis.call("set", "k"..i, string.rep("v", i % 100)) end return redis.call("dbsize")' 0; redis-cli -p 18079 save; redis-cli -p 18079 strlen k77; redis-cli -p 18079 bgsave; redis-benchmark -p 18079 -q -n 500 -c 8 -t set,get > /dev/null && echo bench; redis-cli -p 18079 shutdown nosave; wait; echo $?''', errors=False)
c('memcached', 'threads', 'memcached', 'memcached', r'''
memcached -u root -l 127.0.0.1 -p 18011 -t 4 & for i in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/18011) 2>/dev/null && break; sleep 0.1; done
exec 3<>/dev/tcp/127.0.0.1/18011; printf 'set a 0 0 5\r\nhello\r\nget a\r\nincr b 1\r\nquit\r\n' >&3; cat <&3; kill $!; wait $!; echo $?''', errors=False)
c('mariadb', 'a database made, started, asked, stopped', 'mariadb-server', 'mariadbd mariadb mariadb-install-db', r'''
mariadb-install-db --no-defaults --datadir=$PWD/db --auth-root-authentication-method=normal --user=root --skip-test-db > /dev/null 2>&1; mariadbd --no-defaults --user=root --datadir=$PWD/db --socket=$PWD/s --skip-networking --innodb-buffer-pool-size=32M --innodb-log-file-size=8M 2> log &
for i in $(seq 600); do mariadb-admin --no-defaults -S s ping 2>/dev/null | grep -q alive && break; kill -0 $! 2>/dev/null || break; sleep 0.2; done
mariadb --no-defaults -S s -u root -e 'create database d; use d; create table t(a int primary key, b varchar(50)) engine=innodb; insert into t select seq, md5(seq) from seq_1_to_2000; select count(*), min(b), max(b) from t; update t set b=upper(b) where a%3=0; select sum(a) from t where b like "A%"'
mariadb-admin --no-defaults -S s -u root shutdown; wait; echo $?''', memory='3G', errors=False)
c('mariadb, its pool at most 1 GiB', 'the same with --innodb-buffer-pool-size-max=1G', 'mariadb-server', 'mariadbd mariadb mariadb-install-db', r'''
mariadb-install-db --no-defaults --datadir=$PWD/db --auth-root-authentication-method=normal --user=root --skip-test-db --innodb-buffer-pool-size-max=1G > /dev/null 2>&1; mariadbd --no-defaults --user=root --datadir=$PWD/db --socket=$PWD/s --skip-networking --innodb-buffer-pool-size=32M --innodb-buffer-pool-size-max=1G --innodb-log-file-size=8M 2> log &
for i in $(seq 600); do mariadb-admin --no-defaults -S s ping 2>/dev/null | grep -q alive && break; kill -0 $! 2>/dev/null || break; sleep 0.2; done
mariadb --no-defaults -S s -u root -e 'create database d; use d; create table t(a int primary key, b varchar(50)) engine=innodb; insert into t select seq, md5(seq) from seq_1_to_2000; select count(*), min(b), max(b) from t; update t set b=upper(b) where a%3=0; select sum(a) from t where b like "A%"'
mariadb-admin --no-defaults -S s -u root shutdown; wait; echo $?''', memory='3G', errors=False)
c('postgresql', 'a cluster made, started, asked, stopped', 'postgresql', '/usr/lib/postgresql/15/bin/postgres', r'''
B=/usr/lib/postgresql/15/bin; mkdir d && chown postgres d && chmod 755 . && run() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
run $B/initdb -D d -A trust --no-sync > /dev/null && run $B/pg_ctl -D d -w -t 200 -o "-c listen_addresses='' -k $PWD/d -c shared_buffers=16MB -F" -l d/log start > /dev/null
run $B/psql -h $PWD/d -q -At -d postgres -c "create table t as select i, md5(i::text) m from generate_series(1, 5000) i; create index on t(m); select count(*), min(m), sum(i) from t; select count(*) from t a join t b on a.i = b.i * 2"
run $B/pg_ctl -D d -w -m fast stop > /dev/null; echo $?''', memory='2G', errors=False)
c('socat and nc', 'a relay', 'socat netcat-openbsd', 'socat nc', r'''
socat TCP-LISTEN:18012,bind=127.0.0.1,reuseaddr,fork EXEC:'tr a-z A-Z' & for i in $(seq 100); do echo hello | nc -N 127.0.0.1 18012 2>/dev/null | grep -q HELLO && break; sleep 0.1; done; nc -N 127.0.0.1 18012 < short | sha256sum; kill $!; wait $!; echo $?''', errors=False)

# ---- keys ----

c('openssl', 'ciphers, keys, certificates', 'openssl', 'openssl', r'''
openssl speed -seconds 1 sha256 > /dev/null 2>&1; openssl genrsa 2048 2>/dev/null | openssl rsa -check -noout; openssl ecparam -genkey -name prime256v1 -noout -out k && openssl req -x509 -new -key k -subj /CN=a -days 1 -out c && openssl verify -CAfile c c; for a in aes-256-ctr chacha20 camellia-128-cbc; do openssl enc -$a -K $(printf '%064d' 1) -iv $(printf '%032d' 2) -in text 2>/dev/null | sha256sum; done; for d in sha1 sha3-256 blake2b512 md5; do openssl dgst -$d text; done''', errors=False)
c('gpg', 'a key made, a text signed, encrypted and back', 'gpg gpg-agent', 'gpg gpg-agent', r'''
export GNUPGHOME=/tmp/pgg.$$; mkdir -m 700 $GNUPGHOME; gpg -q --batch --passphrase '' --quick-gen-key a@b.c ed25519 2>/dev/null; gpg -q --batch --passphrase '' --quick-add-key $(gpg --list-keys --with-colons | awk -F: '/^fpr/ { print $10; exit }') cv25519 2>/dev/null
gpg -q --batch --trust-model always -e -r a@b.c -o x text && gpg -q --batch -d x 2>/dev/null | cmp - text && echo back; gpg -q --batch -s -o y text && gpg -q --verify y 2>&1 | grep -c Good; gpgconf --kill all; rm -r $GNUPGHOME''', errors=False)

# ---- machines and tools that look into others ----

c('qemu-x86_64', 'an emulator inside', 'qemu-user', 'qemu-x86_64', r'''qemu-x86_64 /bin/echo hello; qemu-x86_64 /usr/bin/sort -k2 short | sha256sum; printf 'int main(void) { return 6; }' > a.c; gcc -static a.c -o a; qemu-x86_64 ./a''', memory='2G', status=6)
c('busybox', 'applets', 'busybox-static', 'busybox', r'''busybox sha512sum text; busybox tar c tree | busybox tar t | busybox sort | busybox md5sum; busybox sh -c 'busybox seq 100 | busybox awk "{s+=\$1} END {print s}"'; busybox vi --help 2>&1 | head -1 | cut -c1-7; busybox bunzip2 < /dev/null; echo $?''', errors=False)
c('ps, lsof, pgrep, free', 'tools that read /proc', 'procps lsof', 'ps lsof pgrep', r'''sleep 30 & ps -o comm= -p $!; pgrep -P $$ sleep | wc -l; lsof -p $! 2>/dev/null | grep -c ' cwd '; kill $!; wait $! 2>/dev/null; echo $?; free | wc -l; nproc --all > /dev/null; uptime > /dev/null; vmstat | wc -l''')
c('ip and ss', 'netlink', 'iproute2', 'ip ss', r'''ip -o link show lo | cut -d' ' -f2; ss -ltn | head -1''')
c('posix_spawn and vfork', '300 programs', 'python3', 'python3', r'''/usr/bin/python3 -c 'import subprocess, os
print(sum(subprocess.run(["true" if i % 3 else "false"]).returncode for i in range(100)))
p = [os.posix_spawn("/bin/true", ["true"], {}) for i in range(100)]; print(sum(os.waitpid(x, 0)[1] for x in p))' ''')
c('32 threads', 'a mutex, a barrier, atomic counters', 'gcc', 'gcc', r'''
cat > a.c <<'E'
#include <pthread.h>
#include <stdio.h>
#include <stdatomic.h>
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER; static pthread_barrier_t b; static long n; static atomic_long k; static __thread int mine;
static void *f(void *p) { for (int r = 0; r < 5; r++) { for (int i = 0; i < 1000; i++) { pthread_mutex_lock(&m); n++; pthread_mutex_unlock(&m); k++; mine++; } pthread_barrier_wait(&b); } return (void *)(long)mine; }
int main(void) { pthread_t t[32]; pthread_barrier_init(&b, 0, 32); long s = 0; for (int i = 0; i < 32; i++) pthread_create(&t[i], 0, f, 0); for (int i = 0; i < 32; i++) { void *r; pthread_join(t[i], &r); s += (long)r; } printf("%ld %ld %ld\n", n, k, s); return 0; }
E
gcc -O2 -pthread a.c -o a && ./a''')
c('gdb', 'ptrace is refused', 'gdb', 'gdb', r'''gdb -q -batch -ex 'print 6*7' -ex 'info line main' /bin/true 2>&1 | tail -2''', errors=False)
for cls, names in (('cpu', 'cpu'), ('memory', 'memory'), ):
    pass
for stressor in '''af-alg atomic bad-altstack bigheap brk bsearch cache clone close context copy-file cpu crypt daemon dccp dentry dev-shm dir dirdeep dirmany dnotify dup dynlib
 env epoll eventfd exec exit-group fallocate fault fcntl fiemap fifo file-ioctl filename flock fork fp fstat full funccall funcret futex get getdent getrandom handle hash hdd heapsort hrtimers
 hsearch icache inotify io iomix itimer jpeg judy kcmp key kill landlock lease link list locka lockf lockofd longjmp lsearch madvise malloc matrix matrix-3d mcontend membarrier memcpy memfd
 memrate memthrash mergesort mincore misaligned mknod mlock mlockmany mmap mmapaddr mmapfixed mmapfork mmaphuge mmapmany mprotect mq mremap msg msync msyncmany munmap mutex nanosleep 
 nop null open personality physpage pidfd ping-sock pipe pipeherd pkey poll prctl prefetch pthread ptrace pty qsort radixsort ramfs randlist 
 remap rename resched resources revio ring-pipe rlimit rmap rseq schedpolicy seal seccomp secretmem seek sem sem-sysv sendfile session set shellsort shm shm-sysv sigabrt sigchld sigfd
 sigfpe sigio signal signest sigpending sigpipe sigq sigrt sigsegv sigsuspend sigtrap skiplist sleep sock sockabuse sockdiag sockfd sockpair sockmany splice stack stackmmap str stream 
 switch symlink sync-file syncload sysbadaddr sysinfo tee timer timerfd tlb-shootdown tmpfs tree tsc tsearch udp unshare urandom userfaultfd utime vdso vecfp vecmath vecshuf vecwide vfork vforkmany vm vm-addr
 vm-rw vm-segv vm-splice wait wcs x86syscall yield zero zlib zombie'''.split():
    c('stress-ng --' + stressor, '3 operations and more', 'stress-ng', 'stress-ng',
      'stress-ng --%s 1 --timeout 20 --%s-ops 3 --no-rand-seed --temp-path . > o 2>&1; s=$?; grep -E "fail|error|unexpected" o | sed "s/.*\\] //" | sort | uniq -c | head -3; exit $s' % (stressor, stressor), memory='512M', errors=False)
