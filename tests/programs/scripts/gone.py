# SPDX-License-Identifier: MIT
# What a system call is about goes while the call waits for a page of its arguments: it ends as if that had come before or after it.
#
# Each argument is given to swap first; on a machine whose store is slow the call then waits for it, and meanwhile somebody else hangs the terminal up,
# removes the queue, or reaps the process. (Without swap nothing waits, and the same is printed.) For tests/sanitize/run.py: what is
# used after it is freed is seen by the address sanitizer only.
import ctypes
import errno
import mmap
import os
import pty
import signal
import struct
import threading
import time

TIOCSPGRP, TIOCSWINSZ, PAGEOUT = 0x5410, 0x5414, 21
RMID, SET, SETALL, MSG_STAT, SEM_STAT, SHM_STAT = 0, 1, 17, 11, 18, 13
MSGGET, MSGCTL, SEMGET, SEMCTL, SHMGET, SHMCTL = 68, 71, 64, 66, 29, 31
SIGQUEUE, ROBUST, PIDFD_OPEN, PIDFD_SIGNAL = 129, 274, 434, 424
ENDS = 0, errno.EIO, errno.EINVAL, errno.EIDRM, errno.ESRCH, errno.EBADF, errno.ENOTTY
libc = ctypes.CDLL(None, use_errno=True)
pages = []


def argument(data=b'\1'):
    """The address of these bytes, on a page of their own that is not in memory."""
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page[:len(data)] = data
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    pages.append(page)
    libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(mmap.PAGESIZE), PAGEOUT)
    return at


def call(*words):
    """errno of a system call, 0 if it has none."""
    return 0 if libc.syscall(*(ctypes.c_long(w) for w in words)) >= 0 else ctypes.get_errno()


def meanwhile(name, remove, *words):
    """The call, and remove() while it waits."""
    thread = threading.Thread(target=lambda: (time.sleep(0.05), remove()))
    thread.start()
    ended = call(*words)
    thread.join()
    print(name, ended if ended not in ENDS else 'ends', flush=True)


def terminal(name, request, data):
    ready, go = os.pipe()
    pid, master = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        at = argument(data or struct.pack('i', os.getpgrp()))
        os.write(go, b'.')
        os._exit(call(16, 0, request, at))
    os.read(ready, 1)
    time.sleep(0.05)
    os.close(master)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(name, ended if ended not in ENDS else 'ends', flush=True)


def sleeper():
    pid = os.fork()
    if pid == 0:
        signal.pause()
    return pid


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


terminal('the group in front', TIOCSPGRP, None)
terminal('the size of a terminal', TIOCSWINSZ, struct.pack('4H', 25, 81, 0, 0))
for kind, get, ctl, more, stat in (('messages', (MSGGET, 0, 0o600), MSGCTL, (), MSG_STAT),
                                   ('semaphores', (SEMGET, 0, 300, 0o600), SEMCTL, (0,), SEM_STAT),
                                   ('memory', (SHMGET, 0, 8192, 0o600), SHMCTL, (), SHM_STAT)):
    for name, command in (('read', stat), ('set', SET)) + ((('values', SETALL),) if ctl == SEMCTL else ()):
        made = libc.syscall(*(ctypes.c_long(w) for w in get))
        meanwhile('%s, %s' % (kind, name), lambda: call(ctl, made, *more, RMID, 0),
                  ctl, made & 0x7fff if command == stat else made, *more, command, argument())
child = sleeper()
meanwhile('a signal with data', lambda: end(child), SIGQUEUE, child, signal.SIGUSR1, argument(struct.pack('iii', 0, 0, -1)))
child = sleeper()
meanwhile('a list of futexes', lambda: end(child), ROBUST, child, argument(), argument())
child = sleeper()
fd = libc.syscall(ctypes.c_long(PIDFD_OPEN), ctypes.c_long(child), ctypes.c_long(0))
meanwhile('a signal by descriptor', lambda: (os.close(fd), end(child)), PIDFD_SIGNAL, fd, signal.SIGUSR1,
          argument(struct.pack('iii', signal.SIGUSR1, 0, -1)), 0)
