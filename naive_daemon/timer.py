"""A timer inside the program: a heap of due times in memory, and threads that do what is due.

This is what in-process schedulers are at heart, and its virtues are plain. Nobody polls: the loop sleeps until the next
due time, and an earlier arrival wakes it. Work begins when it is due, as exactly as the machine can. Nothing has to be
installed, started or looked after, and handing in work costs next to nothing. Its faults are as plain:

- It forgets everything when the program ends, however that ends: what waits, what is half done, what recurs. A deploy
  is enough. Nobody is told.
- Nobody else can see what waits, and nobody else can do it or take it over: it is in this program's memory.
- A second copy of the program has a timer of its own, and what each of them sets up at its start is done twice. So one
  cannot add machines.
- Work that raises is reported, and that was its only try. (Work that recurs comes again at its next tick.)
- Threads share one interpreter: work that computes in Python holds up all other work, and the program it lives in.

Recurring work keeps its phase and never runs beside itself. Ticks that went by because the machine slept, no thread was
free or the last run still went on are made up for by one run, at once, however many they were.
"""

import math
import threading
import traceback
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from queue import SimpleQueue
from typing import NamedTuple, NoReturn

Work = Callable[[], object]


class Entry(NamedTuple):
    """One piece of work in the heap, which keeps the order of these tuples: by time, then first come, first served."""

    due: float
    place: int  # no two entries have the same, so that work itself is never compared
    work: Work
    every: float | None  # seconds from one tick to the next; None when it is done once
    first: float  # when it was due for the first time: the phase


class Timer:
    """Does work at its time, as long as the program lives.

    `start` runs a piece of work, somewhere else if several are to be done at a time: see `Threads`. `clock` tells the
    time in seconds; `wait` rests for so many seconds, or without end when given None, and comes back early when `wake`
    is called from any thread, before or meanwhile: see `Bell`. `report` is given what work raises.
    """

    def __init__(
        self,
        start: Callable[[Work], object],
        *,
        clock: Callable[[], float],
        wait: Callable[[float | None], object],
        wake: Callable[[], object],
        report: Callable[[BaseException], object] = traceback.print_exception,
    ) -> None:
        self._start = start
        self._clock = clock
        self._wait = wait
        self._wake = wake
        self._report = report
        self._lock = threading.Lock()  # around the four below; never held while work is done
        self._heap: list[Entry] = []
        self._places = 0
        self.left = 0  # pieces of work that the end of the program would undo: those that wait and those begun
        self.begun = 0  # those begun and not ended

    def call_at(self, when: float, work: Work) -> None:
        """Does the work at that time of the timer's clock; at once if it has passed."""
        self._accept(when, work, None)

    def call_in(self, seconds: float, work: Work) -> None:
        """Does the work so many seconds from now."""
        self._accept(self._clock() + seconds, work, None)

    def every(self, seconds: float, work: Work) -> None:
        """Does the work so many seconds from now, and again every so many seconds. Raises ValueError unless above 0."""
        if not seconds > 0:
            raise ValueError(f"work cannot recur every {seconds} s; give a number of seconds above zero")
        self._accept(self._clock() + seconds, work, seconds)

    def run(self) -> NoReturn:
        """The loop: starts what is due, and rests until the next is. Ends only by an exception from clock or wait."""
        while True:
            self._wait(self.tick())

    def tick(self) -> float | None:
        """Starts all that is due, in order, and returns how many seconds until the next is; None when there is none."""
        now = self._clock()
        due = []
        with self._lock:
            while self._heap and self._heap[0].due <= now:
                due.append(heappop(self._heap))
        for entry in due:
            self._start(partial(self._do, entry))
        with self._lock:
            return max(0.0, self._heap[0].due - self._clock()) if self._heap else None

    def _accept(self, when: float, work: Work, every: float | None) -> None:
        if not math.isfinite(when):
            raise ValueError(f"work cannot be due at {when}; give a finite number of seconds")
        with self._lock:
            self.left += 1
        self._put(when, work, every, when)

    def _put(self, due: float, work: Work, every: float | None, first: float) -> None:
        with self._lock:
            self._places += 1
            entry = Entry(due, self._places, work, every, first)
            heappush(self._heap, entry)
            is_next = self._heap[0] is entry
        if is_next:
            self._wake()  # the loop rests until a later time, or without end

    def _do(self, entry: Entry) -> None:
        """What `start` is given: the work, and what comes after it."""
        began = self._clock()
        with self._lock:
            self.begun += 1
        try:
            entry.work()
        except (Exception, SystemExit) as problem:  # sys.exit() in a thread would end the thread, and tell nobody
            self._report(problem)
        if entry.every is not None:
            self._put(next_tick(entry.first, entry.every, began), entry.work, entry.every, entry.first)
        with self._lock:
            self.begun -= 1
            self.left -= entry.every is None
        if not self.left:
            self._wake()  # somebody may wait for the end of it all


def next_tick(first: float, every: float, after: float) -> float:
    """The earliest of first, first + every, first + 2 every … that lies after that time."""
    count = max(0, math.floor((after - first) / every))
    for _ in range(2):  # one step for the tick that has come, one for what rounding may have taken off
        if first + count * every > after:
            break
        count += 1
    return first + count * every


class Threads:
    """So many threads that do what they are handed, first come, first served. They end when the program ends."""

    def __init__(self, count: int) -> None:
        self._handed: SimpleQueue[Work] = SimpleQueue()
        for number in range(count):
            # Daemon threads are not waited for: the program may end in the middle of their work.
            threading.Thread(target=self._live, name=f"timer {number}", daemon=True).start()

    def start(self, work: Work) -> None:
        """Hands the work to the next free thread."""
        self._handed.put(work)

    def _live(self) -> NoReturn:
        while True:
            self._handed.get()()


class Bell:
    """Lets one thread rest until it is woken by another. A ring that nobody waits for is kept for the next wait."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def wait(self, seconds: float | None) -> None:
        """Rests so long, without end when None, or until `ring`."""
        # Longer than Python can wait is some three hundred years; the loop would only look and wait again.
        self._rung.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX))
        # Whoever rings before this line put his work into the heap before that: the loop is going to see it.
        self._rung.clear()

    def ring(self) -> None:
        """Ends the present wait, or the next one."""
        self._rung.set()
