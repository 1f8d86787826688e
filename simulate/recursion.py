"""The second engine: recursions that say when each job starts, and share no code with the first.

Each is a line or two of arithmetic per job, by the rules of one kind of queue alone; no clock, no actors, no server.
What the event engine says of the same load must be the same, job by job. They are also much faster, and so the long
comparisons with theory use them.

`Lanes` does the same for hundreds of runs side by side, one column each.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush, heapreplace
from math import ceil

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Classes = NDArray[np.int8]
Several = Sequence[float] | Numbers

NEVER = float("nan")


def first_come_first_served(arrived: Several, service: Several, servers: int) -> Numbers:
    """When each job starts if the first to come is the first served and nothing costs anything.

    The Kiefer-Wolfowitz recursion (1955), on a heap of the times at which servers become free. No queue that serves in
    order can start its jobs sooner, so this is both the yardstick for designs and the oracle for the simulator.
    """
    free = [0.0] * at_least_one(servers)
    starts = []
    for arrival, work in zip(map(float, arrived), map(float, service), strict=True):
        start = arrival if arrival > free[0] else free[0]
        starts.append(start)
        heapreplace(free, start + work)
    return np.array(starts, dtype=np.float64)


def polled(arrived: Several, service: Several, looks: Sequence[float], every: float) -> Numbers:
    """When each job starts if servers look, work until nothing is left, and then sleep `every` seconds.

    `looks` are the times at which the servers look first. With one server this is M/G/1 with multiple vacations and
    exhaustive service; one claiming daemon behaves so.
    """
    next_look = list(looks)
    at_least_one(len(next_look))
    heapify(next_look)
    starts = []
    for arrival, work in zip(map(float, arrived), map(float, service), strict=True):
        while next_look[0] < arrival:  # looks that find nothing: whoever came before has been taken
            heapreplace(next_look, next_look[0] + slept(arrival - next_look[0], every))
        start = next_look[0]
        starts.append(start)
        heapreplace(next_look, start + work)
    return np.array(starts, dtype=np.float64)


def gated(arrived: Several, service: Several, look: float, every: float) -> Numbers:
    """When each job starts if one server does what it found when it looked, and only then sleeps and looks again.

    The naive loop. A job that arrives during the work waits until the next look.
    """
    done = look - every
    look = -float("inf")
    starts = []
    for arrival, work in zip(map(float, arrived), map(float, service), strict=True):
        if arrival > look:
            look = done + every
            if look < arrival:
                look += slept(arrival - look, every)
            done = look
        starts.append(done)
        done += work
    return np.array(starts, dtype=np.float64)


def slept(until: float, every: float) -> float:
    """The time of the first look that is not before `until`, when one looks each `every` seconds from zero on."""
    return ceil(until / every) * every


def bounded(arrived: Several, service: Several, servers: int, places: int) -> Numbers:
    """When each job starts if at most so many are in the system, those in service included; "nan" for one turned away.

    A job that finds every place taken is lost (M/M/c/K; with as many places as servers, Erlang's loss system).
    """
    free = [0.0] * at_least_one(servers)
    leaving: list[float] = []
    starts = []
    for arrival, work in zip(map(float, arrived), map(float, service), strict=True):
        while leaving and leaving[0] <= arrival:
            heappop(leaving)
        if len(leaving) >= places:
            starts.append(NEVER)
            continue
        start = max(arrival, free[0])
        starts.append(start)
        heapreplace(free, start + work)
        heappush(leaving, start + work)
    return np.array(starts, dtype=np.float64)


def by_priority(arrived: Several, service: Several, classes: Sequence[int], servers: int) -> Numbers:
    """When each job starts if a free server takes the lowest class first, in order within it.

    Cobham's queue: non-preemptive priorities, whoever has started is not interrupted.
    """
    times, works = [float(time) for time in arrived], [float(work) for work in service]
    free = [0.0] * at_least_one(servers)
    waiting: list[tuple[int, int]] = []
    starts = [NEVER] * len(times)
    job, jobs, at = 0, len(times), 0.0
    while job < jobs or waiting:
        # The next server to be free takes somebody then, or when somebody comes; it may have been free for long.
        at = max(at, free[0])
        if not waiting and times[job] > at:
            at = times[job]
        while job < jobs and times[job] <= at:
            heappush(waiting, (classes[job], job))
            job += 1
        _, next = heappop(waiting)
        starts[next] = at
        heapreplace(free, at + works[next])
    return np.array(starts, dtype=np.float64)


def at_least_one(servers: int) -> int:
    """The number itself. Raises ValueError below one."""
    if servers < 1:
        raise ValueError(f"{servers} servers cannot serve anybody; there must be one at least")
    return servers


class Lanes:
    """The same recursions for many independent runs at once: arrays have a row for each job, a column for each run.

    Blocks of jobs may be given one after another; each goes on where the last one ended.
    """

    def __init__(self, lanes: int, servers: int = 1) -> None:
        self._lanes = np.arange(lanes)
        self._free = np.zeros((lanes, at_least_one(servers)))
        self._soonest_first = [np.zeros(lanes) for _ in range(servers)]  # the same, in order; for whoever needs that
        self._look = np.zeros(lanes)  # of a gated server, the latest one
        self._leaving: Numbers | None = None  # of a bounded queue, when each place becomes free

    def first_come_first_served(self, arrived: Numbers, service: Numbers) -> Numbers:
        """When each job starts; as the function of that name."""
        if self._free.shape[1] == 1:
            return self._one_server(arrived, service)
        free = self._soonest_first
        starts = np.empty_like(arrived)
        spare = np.empty_like(free[0])
        for start, arrival, work in zip(starts, arrived, service, strict=True):
            # The first server to be free takes the job, and then finds its place among the others: in all lanes one
            # comparison after the other, which takes a third of the time of looking for the smallest in each lane.
            taking = free[0]
            np.maximum(arrival, taking, out=start)
            np.add(start, work, out=taking)
            for place in range(1, len(free)):
                np.minimum(taking, free[place], out=spare)
                np.maximum(taking, free[place], out=taking)
                free[place - 1], spare = spare, free[place]
            free[-1] = taking
        return starts

    def _one_server(self, arrived: Numbers, service: Numbers) -> Numbers:
        # Without a loop: the n-th job starts when the work before it is done, counted from the latest time at which
        # the server was idle. `before` is that work, `arrived - before` is largest where the server was idle last.
        before = np.cumsum(service, axis=0)
        total = before[-1].copy()
        before -= service
        latest = arrived - before
        np.maximum(latest[0], self._free[:, 0], out=latest[0])
        np.maximum.accumulate(latest, axis=0, out=latest)
        self._free[:, 0] = latest[-1] + total
        starts: Numbers = latest + before
        return starts

    def polled(self, arrived: Numbers, service: Numbers, every: float) -> Numbers:
        """As the function of that name, with one server that looks first at zero."""
        look = self._free[:, 0]
        starts = np.empty_like(arrived)
        for row, (arrival, work) in enumerate(zip(arrived, service, strict=True)):
            # Never negative: one that is later than the arrival looks when it is done.
            start = look + np.ceil(np.maximum(arrival - look, 0.0) / every) * every
            starts[row] = start
            look = start + work
        self._free[:, 0] = look
        return starts

    def gated(self, arrived: Numbers, service: Numbers, every: float) -> Numbers:
        """As the function of that name, looking first at zero."""
        look, done = self._look, self._free[:, 0]
        starts = np.empty_like(arrived)
        for row, (arrival, work) in enumerate(zip(arrived, service, strict=True)):
            following = done + every
            following += np.ceil(np.maximum(arrival - following, 0.0) / every) * every
            is_late = arrival > look
            look = np.where(is_late, following, look)
            start = np.where(is_late, following, done)
            starts[row] = start
            done = start + work
        self._look, self._free[:, 0] = look, done
        return starts

    def bounded(self, arrived: Numbers, service: Numbers, places: int) -> Numbers:
        """As the function of that name."""
        free, lanes = self._free, self._lanes
        if self._leaving is None:
            self._leaving = np.zeros((len(lanes), places))
        leaving = self._leaving
        starts = np.empty_like(arrived)
        for row, (arrival, work) in enumerate(zip(arrived, service, strict=True)):
            place = leaving.argmin(axis=1)
            is_taken = leaving[lanes, place] <= arrival
            which = free.argmin(axis=1)
            earliest = free[lanes, which]
            start = np.maximum(arrival, earliest)
            starts[row] = np.where(is_taken, start, NEVER)
            free[lanes, which] = np.where(is_taken, start + work, earliest)
            leaving[lanes, place] = np.where(is_taken, start + work, leaving[lanes, place])
        return starts

    def by_priority(self, arrived: Sequence[Numbers], service: Sequence[Numbers], jobs: int) -> tuple[Numbers, Classes]:
        """As the function of that name: the waits of the first `jobs` to start, in that order, and their classes.

        Takes arrays for each class. One whose rows end sends nobody any more: give some to spare. One block.
        """
        free, lanes = self._free, self._lanes
        never = np.full((1, len(lanes)), float("inf"))
        times = np.concatenate([part for column in arrived for part in (column, never)])
        works = np.concatenate([part for column in service for part in (column, never)])
        ends = np.cumsum([len(column) + 1 for column in arrived])
        next_of = np.repeat(np.concatenate(([0], ends[:-1]))[:, None], len(lanes), axis=1)
        at = np.zeros(len(lanes))
        waits = np.empty((jobs, len(lanes)))
        classes = np.empty((jobs, len(lanes)), dtype=np.int8)
        for row in range(jobs):
            which = free.argmin(axis=1)
            first = times[next_of, lanes]
            at = np.maximum(np.maximum(at, free[lanes, which]), first.min(axis=0))
            urgent = (first <= at).argmax(axis=0)
            job = next_of[urgent, lanes]
            waits[row] = at - times[job, lanes]
            classes[row] = urgent
            free[lanes, which] = at + works[job, lanes]
            next_of[urgent, lanes] += 1
        return waits, classes
