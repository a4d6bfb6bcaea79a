# SPDX-License-Identifier: MIT
# Four threads of Python on one list, one queue and one condition.
import hashlib
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

jobs, results, lock = queue.Queue(16), [], threading.Lock()


def work():
    while True:
        n = jobs.get()
        if n is None:
            return
        h = hashlib.sha256(str(n).encode() * 200).hexdigest()
        with lock:
            results.append((n, h[:8]))


threads = [threading.Thread(target=work) for _ in range(4)]
for t in threads:
    t.start()
for i in range(400):
    jobs.put(i)
for t in threads:
    jobs.put(None)
for t in threads:
    t.join()
results.sort()
print(len(results), hashlib.sha256(repr(results).encode()).hexdigest())

turn, condition, order = [0], threading.Condition(), []


def take_turns(me):
    for _ in range(50):
        with condition:
            condition.wait_for(lambda: turn[0] % 4 == me)
            order.append(me)
            turn[0] += 1
            condition.notify_all()


threads = [threading.Thread(target=take_turns, args=(i,)) for i in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(order == [0, 1, 2, 3] * 50)
with ThreadPoolExecutor(4) as pool:
    print(sum(pool.map(lambda n: sum(range(n)), range(300))))
local = threading.local()
local.x = 1
seen = []
t = threading.Thread(target=lambda: seen.append(hasattr(local, 'x')))
t.start()
t.join()
print(seen)
