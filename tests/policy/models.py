#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Replacement policies as their papers write them, slowly, with lists: the oracle of tests/policy/compare.py.

A model is a class with miss(page) -> None, hit(page) and `resident`, a set. Pages are any values. What an operating system
cannot see is left out in the same way for model and policy: see `Fresh`.
"""


class Model:
    """frames: memory; write(page): dirty bit; interval: fills between two ticks."""
    fresh = False  # the first access of a page does not count, up to the next miss

    def __init__(self, frames):
        self.c = frames
        self.resident = set()
        self.bit = {}
        self.dirty = {}
        self.fills = 0
        self.setup()

    def setup(self):
        pass

    def tick(self):
        pass

    def run(self, references):
        missed, last = [], None
        for page, write in references:
            if page in self.resident:
                missed.append("0")
                if not (self.fresh and page == last):
                    self.bit[page] = True
            else:
                missed.append("1")
                if self.fills and self.fills % max(1, self.c // 8) == 0:
                    self.tick()
                self.fills += 1
                self.dirty[page] = False
                self.miss(page)
                assert page in self.resident and len(self.resident) <= self.c
                self.bit[page] = not self.fresh
                last = page
            self.dirty[page] = self.dirty[page] or write
        return "".join(missed)

    def full(self):
        return len(self.resident) == self.c

    def drop(self, page):
        self.resident.remove(page)


class Fifo(Model):
    def setup(self):
        self.queue = []

    def miss(self, page):
        if self.full():
            self.drop(self.queue.pop(0))
        self.queue.append(page)
        self.resident.add(page)


class Lru(Model):
    """No policy of ours: hits are seen. The reference for the stack property."""
    def setup(self):
        self.stack = []

    def run(self, references):
        missed = []
        for page, _ in references:
            missed.append("0" if page in self.stack else "1")
            if page in self.stack:
                self.stack.remove(page)
            elif len(self.stack) == self.c:
                self.stack.pop(0)
            self.stack.append(page)
        return "".join(missed)


class Clock(Model):
    """Tanenbaum, Modern Operating Systems, 3.4.5: frames on a circle and a hand."""
    def setup(self):
        self.frame, self.hand = [], 0

    def miss(self, page):
        if not self.full():
            self.frame.append(page)
        else:
            while self.bit[self.frame[self.hand]]:
                self.bit[self.frame[self.hand]] = False
                self.hand = (self.hand + 1) % self.c
            self.drop(self.frame[self.hand])
            self.frame[self.hand] = page
            self.hand = (self.hand + 1) % self.c
        self.resident.add(page)


class Nru(Model):
    """Classes (referenced, modified); odd rounds want (0, 0), even ones (0, any) and clear what they pass."""
    def setup(self):
        self.queue, self.ref, self.even, self.left = [], {}, True, 0

    def miss(self, page):
        while self.full():
            if self.left == 0:
                self.even, self.left = not self.even, len(self.queue)
            self.left -= 1
            victim = self.queue.pop(0)
            if self.bit[victim]:
                self.bit[victim], self.ref[victim] = False, True
            if not self.ref[victim] and (self.even or not self.dirty[victim]):
                self.drop(victim)
                continue
            if self.even:
                self.ref[victim] = False
            self.queue.append(victim)
        self.queue.append(page)
        self.ref[page] = False
        self.resident.add(page)


class Aging(Model):
    """Tanenbaum 3.4.7. Equal counters: who has been in the order longest."""
    def setup(self):
        self.old, self.new, self.young, self.counter = [], [], [], {}

    def tick(self):
        for page in self.old + self.young:
            self.counter[page] = self.counter[page] >> 1 | (128 if self.bit[page] else 0)
        order = sorted(self.old + self.new + self.young, key=lambda page: self.counter[page])
        for page in order:
            self.bit[page] = False
        self.old = [p for p in order if self.counter[p] < 128]
        self.new, self.young = [], [p for p in order if self.counter[p] >= 128]

    def miss(self, page):
        if self.full():
            victim = (self.old or self.new or self.young).pop(0)
            self.drop(victim)
        self.counter[page] = 128
        self.new.append(page)
        self.resident.add(page)


class TwoQ(Model):
    """Johnson and Shasha, 2Q, full version; Am in order of a clock instead of LRU."""
    def setup(self):
        self.a1in, self.a1out, self.am = [], [], []
        self.kin, self.kout = self.c // 4, max(1, self.c // 2)

    def reclaim(self):
        if not self.full():
            return
        if self.a1in and (len(self.a1in) > self.kin or not self.am):
            y = self.a1in.pop(0)
            self.a1out.append(y)
            if len(self.a1out) > self.kout:
                self.a1out.pop(0)
        else:
            while self.bit[self.am[0]]:
                self.bit[self.am[0]] = False
                self.am.append(self.am.pop(0))
            y = self.am.pop(0)
        self.drop(y)

    def miss(self, page):
        self.reclaim()
        if page in self.a1out:
            self.a1out.remove(page)
            self.am.append(page)
        else:
            self.a1in.append(page)
        self.resident.add(page)


class Car(Model):
    """Bansal and Modha, CAR, figure 2, line by line."""
    fresh = True

    def setup(self):
        self.t1, self.t2, self.b1, self.b2, self.p = [], [], [], [], 0

    def replace(self):
        while True:
            if self.t1 and (len(self.t1) >= max(1, self.p) or not self.t2):
                if not self.bit[self.t1[0]]:
                    self.b1.append(self.t1.pop(0))
                    self.drop(self.b1[-1])
                    return
                self.bit[self.t1[0]] = False
                self.t2.append(self.t1.pop(0))
            else:
                if not self.bit[self.t2[0]]:
                    self.b2.append(self.t2.pop(0))
                    self.drop(self.b2[-1])
                    return
                self.bit[self.t2[0]] = False
                self.t2.append(self.t2.pop(0))

    def miss(self, page):
        known = page in self.b1 or page in self.b2
        if len(self.t1) + len(self.t2) == self.c:
            self.replace()
            # Figure 2, lines 7 to 11. It says "= c" behind a replacement, when T1 and T2 hold c - 1 pages.
            if not known and len(self.t1) + len(self.b1) >= self.c and self.b1:
                self.b1.pop(0)
            elif not known and self.b2 and \
                    len(self.t1) + len(self.t2) + len(self.b1) + len(self.b2) >= 2 * self.c:
                self.b2.pop(0)
        if not known:
            self.t1.append(page)
        elif page in self.b1:
            self.p = min(self.p + max(1, len(self.b2) // len(self.b1)), self.c)
            self.b1.remove(page)
            self.t2.append(page)
        else:
            self.p = max(self.p - max(1, len(self.b1) // len(self.b2)), 0)
            self.b2.remove(page)
            self.t2.append(page)
        self.resident.add(page)


class S3Fifo(Model):
    """Yang et al., algorithm 1, with one access enough for M, and at most one counted at each look."""
    fresh = True

    def setup(self):
        self.s, self.m, self.g, self.freq = [], [], [], {}

    def look(self, page):
        if self.bit[page]:
            self.freq[page] = min(self.freq[page] + 1, 3)
        self.bit[page] = False
        return self.freq[page]

    def evict_s(self):
        while self.s:
            t = self.s.pop(0)
            if self.look(t) > 0:
                self.freq[t] = 0
                self.m.append(t)
                if len(self.s) < max(1, self.c // 10):
                    return
            else:
                while self.g and len(self.g) >= self.c - self.c // 10:
                    self.g.pop(0)
                self.g.append(t)
                self.drop(t)
                return

    def evict_m(self):
        t = self.m.pop(0)
        if self.look(t) > 0:
            self.freq[t] -= 1
            self.m.append(t)
        else:
            self.drop(t)

    def miss(self, page):
        while self.full():
            if self.s and (len(self.s) >= max(1, self.c // 10) or not self.m):
                self.evict_s()
            else:
                self.evict_m()
        if page in self.g:
            self.g.remove(page)
            self.m.append(page)
        else:
            self.s.append(page)
        self.freq[page] = 0
        self.resident.add(page)


class Sieve(Model):
    """Zhang et al., algorithm 1. queue[0] is the tail, the oldest."""
    fresh = True

    def setup(self):
        self.queue, self.hand = [], None

    def miss(self, page):
        if self.full():
            o = self.hand if self.hand is not None else self.queue[0]
            while self.bit[o]:
                self.bit[o] = False
                at = self.queue.index(o) + 1
                o = self.queue[at] if at < len(self.queue) else self.queue[0]
            at = self.queue.index(o) + 1
            self.hand = self.queue[at] if at < len(self.queue) else None
            self.queue.remove(o)
            self.drop(o)
        self.queue.append(page)
        self.resident.add(page)


class ClockPro(Model):
    """Jiang, Chen and Zhang, 4.2 and 4.3. The ring is a list that begins with the page that hand_hot points to; its end is the
    list head. A page is [name, hot, test, resident]."""
    fresh = True

    def setup(self):
        self.ring, self.m_c = [], 1
        self.cold_hand = self.test_hand = None  # entries of the ring

    def count(self, hot, resident=True):
        return sum(1 for e in self.ring if e[1] == hot and e[3] == resident)

    def after(self, entry):
        at = self.ring.index(entry)
        return self.ring[(at + 1) % len(self.ring)]

    def remove(self, entry):
        for hand in "cold_hand", "test_hand":
            if getattr(self, hand) is entry:
                setattr(self, hand, self.after(entry) if len(self.ring) > 1 else None)
        self.ring = [e for e in self.ring if e is not entry]

    def at_head(self, entry):
        self.ring.append(entry)
        if len(self.ring) == 1:
            self.cold_hand = self.test_hand = entry

    def end_test(self, entry):
        if entry[1] or not entry[2]:
            return
        entry[2] = False
        self.m_c = max(1, self.m_c - 1)
        if not entry[3]:
            self.remove(entry)

    def one_more_cold(self):
        if self.m_c + 1 < self.c:
            self.m_c += 1

    def turn(self):
        """hand_hot steps over the page that it points to."""
        entry = self.ring[0]
        self.ring = self.ring[1:] + [entry]
        return entry

    def run_hot(self, most):
        while self.count(True) > most:
            entry = self.turn()
            if not entry[1]:
                self.end_test(entry)
            elif self.bit[entry[0]]:
                self.bit[entry[0]] = False
            else:
                entry[1] = entry[2] = False
        while self.count(True) and not self.ring[0][1]:
            self.end_test(self.turn())

    def run_cold(self):
        while True:
            if not self.count(False):
                self.run_hot(self.count(True) - 1)
            entry = self.cold_hand
            self.cold_hand = self.after(entry)
            if entry[1] or not entry[3]:
                continue
            page = entry[0]
            if not self.bit[page]:
                self.drop(page)
                if entry[2]:
                    entry[3] = False
                else:
                    self.remove(entry)
                while self.count(False, False) > self.c:
                    entry = self.test_hand
                    self.test_hand = self.after(entry)
                    self.end_test(entry)
                return
            self.bit[page] = False
            self.remove(entry)
            if entry[2]:
                self.one_more_cold()
                entry[1], entry[2] = True, False
                self.at_head(entry)
                self.run_hot(max(0, self.c - self.m_c))
            else:
                entry[2] = True
                self.at_head(entry)

    def miss(self, page):
        if self.full():
            self.run_cold()
        self.resident.add(page)
        self.bit[page] = False
        ghost = [e for e in self.ring if e[0] == page]
        if ghost:
            self.remove(ghost[0])
            self.one_more_cold()
            self.at_head([page, True, False, True])
            self.run_hot(max(0, self.c - self.m_c))
            return
        begins = self.count(True) < max(0, self.c - self.m_c) and \
            not self.count(False) and not self.count(False, False)
        self.at_head([page, begins, not begins, True])


MODELS = {"fifo": Fifo, "clock": Clock, "nru": Nru, "aging": Aging, "2q": TwoQ, "car": Car,
          "s3-fifo": S3Fifo, "sieve": Sieve, "clock-pro": ClockPro}
