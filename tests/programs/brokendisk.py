# SPDX-License-Identifier: MIT
"""
tests/programs/brokendisk.py: a file system with one file, whose disk fails while a flag is up: for failing.py.

A FUSE server of the few requests that a mapped file needs (the protocol: linux/fuse.h, version 7.31), in a mount namespace of our own. Needs
the right to mount and /dev/fuse.
"""
import ctypes
import os
import struct

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC = 1, 2, 3, 4, 14, 15, 16, 17, 18, 20
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, ACCESS, BATCH_FORGET = 25, 26, 27, 28, 29, 34, 42
EIO, ENOSYS, ENOENT = 5, 38, 2
BYTES = 16384
libc = ctypes.CDLL(None, use_errno=True)


def own_namespace():
    """Mounts from now on are seen by this process and its children only. False: not permitted."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(0x20000) != 0:
        if libc.unshare(0x20000 | 0x10000000) != 0:
            return False
        try:
            for name, text in (('setgroups', 'deny'), ('uid_map', '0 %d 1' % uid), ('gid_map', '0 %d 1' % gid)):
                with open('/proc/self/' + name, 'w') as f:
                    f.write(text)
        except OSError:
            return False
    return libc.mount(b'none', b'/', None, 0x44000, None) == 0  # MS_REC | MS_PRIVATE


def tmpfs(where, size):
    return libc.mount(b'none', where.encode(), b'tmpfs', 0, b'size=' + size.encode()) == 0


def attributes(node, size):
    mode = 0o40755 if node == 1 else 0o100666
    return struct.pack('<QQQQQQIIIIIIIIII', node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


class Disk:
    def __init__(self, where, flag):
        self.flag, self.data = flag, bytearray(BYTES)
        self.fd = os.open('/dev/fuse', os.O_RDWR)
        if libc.mount(b'broken', where.encode(), b'fuse', 0,
                      b'fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions' % self.fd) != 0:
            raise OSError(ctypes.get_errno(), 'mount')

    def answer(self, op, node, body):
        """Bytes, or a number: an error; None: no answer is wanted."""
        if op == INIT:
            return struct.pack('<IIIIHHIIHHIIIIII', 7, 31, 4096, 0, 12, 10, 4096, 1, 1, 0, 0, 0, 0, 0, 0, 0)
        if op in (FORGET, BATCH_FORGET):
            return None
        if op == LOOKUP:
            return struct.pack('<QQQQII', 2, 0, 100, 100, 0, 0) + attributes(2, len(self.data)) if body[:-1] == b'file' else ENOENT
        if op == SETATTR:
            valid, _, _, size = struct.unpack_from('<IIQQ', body)
            if valid & 8:
                self.data = self.data[:size] + bytearray(max(0, size - len(self.data)))
        if op in (GETATTR, SETATTR):
            return struct.pack('<QII', 100, 0, 0) + attributes(node, len(self.data) if node == 2 else 0)
        if op in (OPEN, OPENDIR):
            return struct.pack('<QII', node, 2 if op == OPEN else 0, 0)  # FOPEN_KEEP_CACHE
        if op == READ:
            _, at, n = struct.unpack_from('<QQI', body)
            return bytes(self.data[at:at + n])
        if op == READDIR:
            return b''
        if op == WRITE:
            _, at, n = struct.unpack_from('<QQI', body)
            if os.path.exists(self.flag):
                return EIO
            self.data[at:at + n] = body[40:40 + n]
            return struct.pack('<II', n, 0)
        if op == STATFS:
            return struct.pack('<QQQQQIIII24x', 100, 50, 50, 10, 10, 4096, 255, 4096, 0)
        return b'' if op in (FLUSH, FSYNC, RELEASE, RELEASEDIR, ACCESS) else ENOSYS

    def serve(self):
        """Until it is unmounted."""
        while True:
            try:
                request = os.read(self.fd, 1 << 17)
            except InterruptedError:
                continue
            except OSError:
                return
            _, op, unique, node = struct.unpack_from('<IIQQ', request)
            answer = self.answer(op, node, request[40:])
            if answer is None:
                continue
            error, out = (answer, b'') if isinstance(answer, int) else (0, answer)
            try:
                os.write(self.fd, struct.pack('<IiQ', 16 + len(out), -error, unique) + out)
            except OSError:
                pass  # whoever asked is gone


def start(where, flag):
    """Mounts it and serves it from a child. The child's id; raises OSError."""
    disk = Disk(where, flag)
    pid = os.fork()
    if pid == 0:
        try:
            disk.serve()
        finally:
            os._exit(0)
    os.close(disk.fd)
    return pid


def stop(where, pid):
    libc.umount2(where.encode(), 2)  # MNT_DETACH: the server's reads end
    os.kill(pid, 15)
    os.waitpid(pid, 0)
