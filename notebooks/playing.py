"""The same few lines of a lesson, played twice: in virtual time, and for real against a real server.

A lesson writes `enqueue(redis, order, cents)` and `worker(redis, charge)`. Here customers click at given moments,
charges take given seconds, and what comes back is when each came, was begun and was done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from notebooks.peek import a_private_redis
from simulate.actors import Process, World
from simulate.costs import FREE
from simulate.designs import Design
from simulate.designs.server import Connection, MemoryServer, SharedServer
from simulate.intervals import Numbers
from simulate.workload import Load

CENTS = 1999

Enqueue = Callable[[Any, int, int], object]
Worker = Callable[[Any, Callable[[int, int], None]], object]


@dataclass(frozen=True)
class Played:
    """What happened to each order, in the order in which they came; seconds, and "nan" for never."""

    came: Numbers
    begun: Numbers
    done: Numbers

    @property
    def waited(self) -> Numbers:
        """Seconds from the click to the beginning of the charge."""
        return self.begun - self.came

    def inside(self, moments: Numbers) -> Numbers:
        """How many orders had come and were not done, at each of these moments."""
        come = np.searchsorted(self.came, moments, side="right")
        return np.asarray(come - np.searchsorted(np.sort(self.done), moments, side="right"))


def play(enqueue: Enqueue, worker: Worker, clicks: Numbers, work: Numbers, *, workers: int = 1) -> Played:
    """In virtual time, where nothing but the work costs anything."""

    class OfTheLesson(Design):
        name, rung, shows = "of the lesson", 0, "what the lesson has written"

        def __init__(self, world: World) -> None:
            super().__init__(world)
            self.processes = workers
            self._shared = SharedServer(world, MemoryServer())

        def enqueue(self, job: int) -> None:
            # An actor of its own: only those may call a server.
            self.world.hub.spawn(lambda: enqueue(Connection(self._shared), job, CENTS))

        def run(self, process: Process) -> None:
            worker(Connection(self._shared, process), lambda order, cents: self.world.perform(process, order))

    world = World(Load("clicks", "of customers", clicks, work), workers=workers, costs=FREE)
    world.run(OfTheLesson(world))
    return Played(world.ledger.column("arrived"), world.ledger.column("first_start"), world.ledger.column("ended"))


class _Over(Exception):
    """The last order was done."""


def play_for_real(
    enqueue: Enqueue, worker: Worker, clicks: Numbers, work: Numbers, *, workers: int = 1, speed: float = 1.0
) -> Played:
    """Against a real server, with workers in threads and on the real clock; `speed` times as fast, and told as if not.

    The worker must not catch what a charge raises: so it is ended.
    """
    redis = a_private_redis()
    begun, done = np.full(len(clicks), np.nan), np.full(len(clicks), np.nan)

    def charge(order: int, cents: int) -> None:
        if order < 0:
            raise _Over
        begun[order] = time.monotonic()
        time.sleep(work[order] / speed)
        done[order] = time.monotonic()

    def live() -> None:
        try:
            worker(redis, charge)
        except _Over:
            return

    threads = [threading.Thread(target=live, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    zero = time.monotonic() + 0.1
    for order, moment in enumerate(clicks):
        while (left := zero + moment / speed - time.monotonic()) > 0:
            time.sleep(left)
        enqueue(redis, order, CENTS)
    while np.isnan(done).any():
        time.sleep(0.01)
    for _ in threads:
        enqueue(redis, -1, CENTS)
    for thread in threads:
        thread.join()
    redis.close()
    return Played(clicks, (begun - zero) * speed, (done - zero) * speed)
