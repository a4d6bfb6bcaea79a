# SPDX-License-Identifier: MIT
# multiprocessing: pools by fork and by spawn, queues, shared values, shared memory, managers.
import hashlib
import multiprocessing as mp
import os
import subprocess
import sys
from multiprocessing import shared_memory

table = {i: str(i) * 10 for i in range(20000)}


def digest(n):
    return hashlib.sha256(table[n % 20000].encode() * 50).hexdigest()[:8]


def square(n):
    return n * n


def producer(q, n):
    for i in range(50):
        q.put((n, i))
    q.put(None)


def add(value, lock, array, n):
    for i in range(200):
        with lock:
            value.value += n
    array[n] = n * 11


def fill(name, at):
    m = shared_memory.SharedMemory(name)
    m.buf[at:at + 100] = bytes([at % 251]) * 100
    m.close()


def fails(n):
    raise ValueError(n)


def main():
    fork = mp.get_context('fork')
    with fork.Pool(4) as pool:
        r = pool.map(digest, range(400), chunksize=13)
        print(len(r), hashlib.sha256(''.join(r).encode()).hexdigest())
        print(sum(pool.imap_unordered(square, range(100))))
        try:
            pool.apply(fails, (7,))
        except ValueError as e:
            print('raised', e)
    q = fork.Queue()
    ps = [fork.Process(target=producer, args=(q, n)) for n in range(3)]
    for p in ps:
        p.start()
    ended, got = 0, []
    while ended < 3:
        x = q.get()
        if x is None:
            ended += 1
        else:
            got.append(x)
    for p in ps:
        p.join()
    print(len(got), sorted(got) == [(n, i) for n in range(3) for i in range(50)], [p.exitcode for p in ps])
    value, lock, array = fork.Value('i', 0, lock=False), fork.Lock(), fork.Array('i', 4)
    ps = [fork.Process(target=add, args=(value, lock, array, n)) for n in range(4)]
    for p in ps:
        p.start()
    for p in ps:
        p.join()
    print(value.value, list(array))
    m = shared_memory.SharedMemory(create=True, size=4096)
    ps = [fork.Process(target=fill, args=(m.name, at)) for at in (0, 100, 1000)]
    for p in ps:
        p.start()
    for p in ps:
        p.join()
    print(hashlib.sha256(bytes(m.buf[:4096])).hexdigest())
    m.close()
    m.unlink()
    with mp.get_context('spawn').Pool(2) as pool:
        print(pool.map(square, range(10)))
    p = fork.Process(target=os.kill, args=(0, 0))
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(w, b'raw fork')
        os._exit(3)
    print(os.read(r, 20), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    print(subprocess.run(['sh', '-c', 'cat; exit 4'], input=b'by subprocess', capture_output=True))
    print(subprocess.check_output([sys.executable, '-S', '-c', 'print(6 * 7)']))


if __name__ == '__main__':
    main()
