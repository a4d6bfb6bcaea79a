# SPDX-License-Identifier: MIT
"""
What ps, pmap, top, psutil, smem and /proc say of processes. Sizes differ from system to system, what must hold between
them does not: each line says only whether it holds.
"""
import mmap
import os
import re
import subprocess
import time

import psutil


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True).stdout


def smaps(pid, key):
    with open('/proc/%s/smaps' % pid) as f:
        return sum(int(x) for x in re.findall(r'^%s:\s+(\d+) kB' % key, f.read(), re.M))


def rollup(pid, key):
    with open('/proc/%s/smaps_rollup' % pid) as f:
        return int(re.search(r'^%s:\s+(\d+) kB' % key, f.read(), re.M).group(1))


def status(pid, key):
    with open('/proc/%s/status' % pid) as f:
        return int(re.search(r'^%s:\s+(\d+) kB' % key, f.read(), re.M).group(1))


def top(pid):
    for line in run('top', '-b', '-n', '1', '-p', str(pid), '-E', 'k', '-e', 'k').split('\n'):
        f = line.split()
        if f and f[0] == str(pid):
            return int(f[5])
    return -1


def say(what, holds):
    print('%s: %s' % (what, 'yes' if holds else 'NO'), flush=True)


def near(a, b, by=600):
    return abs(a - b) <= by


MB = 1024
big = mmap.mmap(-1, 24 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
big[:16 << 20] = b'x' * (16 << 20)
shared = mmap.mmap(-1, 8 << 20, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
shared[:] = b'y' * (8 << 20)
child_in, parent_out = os.pipe()
parent_in, child_out = os.pipe()
child = os.fork()
if child == 0:
    while True:
        c = os.read(child_in, 1)
        if c == b'w':
            big[:4 << 20] = b'z' * (4 << 20)
        elif c == b'n':
            big[20 << 20:22 << 20] = b'n' * (2 << 20)
        elif c == b'd':
            big.madvise(mmap.MADV_DONTNEED, 8 << 20, 8 << 20)
        elif c != b'q':
            os._exit(1)
        os.write(child_out, b'.')
        if c == b'q':
            os._exit(0)


def order(c):
    os.write(parent_out, c)
    os.read(parent_in, 1)


me = os.getpid()
order(b'w')
rss = int(run('ps', '-o', 'rss=', '-p', str(me)))
vsz = int(run('ps', '-o', 'vsz=', '-p', str(me)))
say('ps shows VmRSS', near(rss, status(me, 'VmRSS')))
say('ps shows VmSize', near(vsz, status(me, 'VmSize'), 4000))
say('at least 24 MB are resident', rss >= 24 * MB)
say('smaps sums to VmRSS', near(smaps(me, 'Rss'), status(me, 'VmRSS')))
say('smaps_rollup is the sum', near(rollup(me, 'Rss'), smaps(me, 'Rss')))
say('RssAnon + RssFile + RssShmem is VmRSS', near(status(me, 'RssAnon') + status(me, 'RssFile') + status(me, 'RssShmem'),
                                                 status(me, 'VmRSS')))
say('RssShmem has the shared 8 MB', 8 * MB <= status(me, 'RssShmem') < 9 * MB)
pmap = run('pmap', '-x', str(me)).strip().split('\n')[-1].split()
say('pmap shows it too', near(int(pmap[3]), smaps(me, 'Rss')) and near(int(pmap[2]), vsz, 4000))
say('psutil shows it too', near(psutil.Process(me).memory_info().rss // 1024, rss))
say('top shows it too', near(top(me), rss))
say('Pss is less than Rss: the child shares', smaps(me, 'Pss') < smaps(me, 'Rss') - 8 * MB)
pss = smaps(me, 'Pss') + smaps(child, 'Pss')
say('12 MB and the shared 8 MB are counted once', smaps(me, 'Pss') <= smaps(me, 'Rss') - 9 * MB)
say('Private_Dirty of the child has its copies', smaps(child, 'Private_Dirty') >= 4 * MB)
before = smaps(child, 'Rss')
order(b'n')
say('2 MB more', near(smaps(child, 'Rss') - before, 2 * MB, 200))
before = smaps(child, 'Rss')
order(b'd')
say('8 MB less', near(before - smaps(child, 'Rss'), 8 * MB, 200))
say('psutil sees the same', near(psutil.Process(child).memory_info().rss // 1024, status(child, 'VmRSS')))
full = psutil.Process(child).memory_full_info()
say('USS and PSS of psutil', near(full.pss // 1024, smaps(child, 'Pss')) and full.uss <= full.pss <= full.rss + 4096)
line = [x.split() for x in run('smem', '-H', '-P', 'figures', '-c', 'pid rss pss uss').strip().split('\n')]
mine = {int(x[0]): [int(y) for y in x[1:]] for x in line if len(x) == 4}
say('smem has both', near(mine.get(me, [0])[0], smaps(me, 'Rss'), 1500) and near(mine.get(child, [0])[0], smaps(child, 'Rss'), 1500))
say('ps tells the parent', int(run('ps', '-o', 'ppid=', '-p', str(child))) == me)
names = run('ps', '-o', 'comm=', '-p', '%d,%d' % (me, child)).split()
say('and the names', names == ['python3', 'python3'])
while run('ps', '-o', 'stat=', '-p', str(child)).strip()[0] != 'S':  # it has answered, and goes to sleep
    time.sleep(0.05)
say('a sleeping child', True)
with open('/proc/%d/statm' % child) as f:
    statm = [int(x) * 4 for x in f.read().split()]
say('statm', near(statm[1], status(child, 'VmRSS')) and near(statm[0], status(child, 'VmSize')))
with open('/proc/%d/stat' % child) as f:
    stat = f.read().rsplit(')', 1)[1].split()
say('stat', int(stat[1]) == me and near(int(stat[21]) * 4, status(child, 'VmRSS')) and int(stat[7]) > 1000)
faults = psutil.Process(child)
say('threads, descriptors', faults.num_threads() == 1 and faults.num_fds() >= 7)
say('environment and arguments', b'figures.py' in open('/proc/%d/cmdline' % child, 'rb').read())
say('limits', 'Max stack size' in open('/proc/%d/limits' % child).read())
say('children', [p.pid for p in psutil.Process(me).children()] == [child])
order(b'q')
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
say('a zombie', run('ps', '-o', 'stat=', '-p', str(child)).strip()[0] == 'Z')
say('exit', os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0)
say('gone', run('ps', '-o', 'pid=', '-p', str(child)) == '')
say('free is sane', int(run('free', '-k').split('\n')[1].split()[1]) > 32 * MB)
