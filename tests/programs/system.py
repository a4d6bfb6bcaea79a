# SPDX-License-Identifier: MIT
"""
tests/programs/system.py: cases of run.py with several threads or processes, and the one list of what does not run yet.

Each case names what it needs beyond one process (`features`); a case whose features are all there is run, the others are
counted as "not yet". To switch a case on, take its feature out of NOT_YET.
"""
import os

HERE = os.path.dirname(os.path.abspath(__file__))

# job: sessions, terminals; semaphore: System V semaphores and queues; event:
# signalfd; peer: process ids behind sockets and locks; splice: vmsplice. (fork and the others are there.)
NOT_YET = set()


def cases(Case):
    """What to run, by run.py's class of cases."""
    out = []

    def add(group, name, argv, features='', **kw):
        case = Case(group, name, argv, **kw)
        case.features = set(features.split())
        out.append(case)

    def guest(program, names, features=''):
        for name in names.split():
            add('family', program + ' ' + name, ['{guest}/%s-static' % program, name], features)

    def script(name, argv, features='', **kw):
        add('system', name, [a.replace('{scripts}', os.path.join(HERE, 'scripts')) for a in argv], features, **kw)

    guest('futexes', 'errors threads clear_tid one_step')
    guest('futexes', 'processes requeue bitset wake_op file', 'fork futex')
    guest('futexes', 'robust inherit', 'fork futex robust')
    guest('channels', 'eventfd timerfd select')
    guest('channels', 'unix', 'peer')
    guest('channels', 'rights tcp epoll pipe inotify', 'fork')
    guest('channels', 'signalfd', 'fork event')
    guest('channels', 'splice', 'splice')
    guest('forks', 'cow sharing deep wide many exec threads ends faults clone orphans bomb', 'fork')
    guest('forks', 'madvise', 'fork')
    guest('forks', 'vfork', 'fork vfork')
    guest('procsignals', 'queue timedwait altstack timers threads')
    guest('procsignals', 'restart wait groups sigchld inherit deathsig', 'fork')
    guest('inherit', 'offsets tables cwd cloexec groups', 'fork')
    guest('inherit', 'flock', 'fork')
    guest('inherit', 'locks', 'fork peer')
    guest('inherit', 'session hangup orphans', 'fork job')
    guest('peers', 'cred client passed early locks owner', 'fork peer')
    guest('pidfds', 'open signal clone epoll passed through thread sockets', 'fork peer')
    guest('edges', 'tails stack_limit dontunmap zero unmap_all seal')
    guest('limits', 'cpu others use sched size capabilities', 'fork')
    guest('procmem', 'own other gone', 'fork')
    guest('users', 'signals groups looks dumpable changes exec', 'fork')
    guest('shares', 'unshare kcmp prctl', 'fork')
    guest('shared', 'sysv', 'fork')
    guest('shared', 'semaphore', 'fork semaphore')
    guest('shared', 'posix file writes', 'fork')
    guest('sysvipc', 'sem_errors sem_info sem_rights sem_wait sem_together sem_ends sem_undo sem_lock', 'fork semaphore')
    guest('sysvipc', 'msg_types msg_errors msg_info msg_wait msg_server proc', 'fork semaphore')
    guest('shared', 'seals')
    guest('shared', 'vm', 'fork')

    add('threads', 'goroutines', ['{guest}/goroutines'], memory='512M', needs=('go',))
    add('threads', 'python3 threads', ['/usr/bin/python3', os.path.join(HERE, 'scripts/threads.py')])
    add('threads', 'node, 200 MB of garbage', ['node', os.path.join(HERE, 'scripts/garbage.js')], memory='1G')
    add('threads', 'node workers', ['node', os.path.join(HERE, 'scripts/workers.js')], memory='1G')
    add('threads', 'sort with threads', ['sort', '--parallel=4', '-S', '1M', '-k3', 'text'])
    add('threads', 'xz with threads', ['xz', '-T3', '--block-size=64KiB', '-2c', 'text'])

    script('bash pipelines', ['bash', '{scripts}/pipelines.sh'], 'fork')
    script('bash traps and jobs', ['bash', '{scripts}/traps.sh'], 'fork')
    script('nohup, setsid, timeout, env, coproc and their like', ['bash', '{scripts}/surroundings.sh'], 'fork job')
    script('bash job control at a terminal', ['/usr/bin/python3', '{scripts}/jobs.py'], 'fork job')
    script('script(1)', ['script', '-qec', 'echo at a terminal; tty | grep -c /dev/; exit 5', '/dev/null'], 'fork job event')
    script('a timer that is on at the end', ['/usr/bin/python3', '-c', 'import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN); '
                                                                        'signal.setitimer(signal.ITIMER_REAL, 1e-5, 1e-5)'])
    script('make -j2', ['sh', '{scripts}/make.sh'], 'fork vfork', memory='1G')
    script('git', ['sh', '{scripts}/git.sh'], 'fork', memory='512M')
    # by `make servers-long`: 25 seconds
    add('servers', 'postgresql', ['bash', os.path.join(HERE, 'scripts/postgres.sh')], 'fork', memory='512M')
    script('redis', ['bash', '{scripts}/redis.sh'], 'fork', memory='512M')
    script('python3 multiprocessing', ['/usr/bin/python3', '{scripts}/pool.py'], 'fork vfork futex', memory='1G')
    script('tools that ask about processes', ['sh', '{scripts}/tools.sh'], 'fork', memory='512M')
    script('perl processes', ['perl', '{scripts}/forks.pl'], 'fork')
    script('ulimit -f', ['sh', '-c', 'for h in -Sf -f; do (ulimit $h 8; ulimit -f; ulimit -Hf; cat binary > a; echo $?; wc -c a; '
                         'sh -c "cat binary > b"; echo $?; ulimit -f unlimited; cat binary > a; echo $?; wc -c a); done; rm a b'], 'fork')
    script('dash', ['dash', '{scripts}/small.sh'], 'fork')
    script('busybox sh', ['busybox', 'sh', '{scripts}/small.sh'], 'fork')
    script('xargs -P', ['sh', '-c', "seq 40 | xargs -P 4 -n 3 sh -c 'echo $(($1 + ${2:-0} + ${3:-0}))' x | sort -n | md5sum"], 'fork')
    script('gcc', ['sh', '-c', 'echo "int main(void) { return 42; }" > a.c; gcc -O2 a.c -o a && ./a; echo $?; rm a'], 'fork vfork',
           memory='1G')
    script('ps, pmap, top, psutil, smem', ['/usr/bin/python3', '{scripts}/figures.py'], 'fork proc', memory='512M')
    for name, ops, options in (
            ('vm', '200', '--vm-bytes 8m'), ('mmap', '40', '--mmap-bytes 4m'), ('mremap', '60', '--mremap-bytes 4m'),
            ('fork', '200', ''), ('brk', '20000', ''), ('stack', '20', ''), ('mprotect', '2000', ''), ('msync', '200', '--msync-bytes 2m'),
            ('madvise', '20', ''), ('shm', '20', '--shm-bytes 4m'), ('memfd', '20', '--memfd-bytes 8m')):
        script('stress-ng --' + name, ['sh', '{scripts}/stress.sh', name, ops] + options.split(),
               'fork', memory='512M')
    return out
