"""Rung 3: a timer in memory. What its threads share is the memory of one program, and dies with it.

The program's memory takes the place of a server: its steps are the calls of `naive_daemon.timer.Timer`, each carried
out by the real one, set to what it remembered. The loop that ticks and waits is the real one too, and so is what a
thread does with a piece of work. A tick is one step; between it and the wait that follows others may call.
"""

from __future__ import annotations

from functools import partial
from heapq import heapify
from typing import Any

from naive_daemon.timer import Entry, Timer, Work
from simulate.explore.ladder.programs import FOREVER, NOW, Io, Stop
from simulate.explore.ladder.rules import UPKEEP, WORKER, Place
from simulate.explore.ladder.rungs import DELAY_SECONDS, Cast, Rung
from simulate.explore.ladder.servers import Contents

EVERY_SECONDS = 60.0
"""From one tick of recurring work to the next."""


class Memory:
    """What the program remembers: entries (seconds until due, job, every), what was handed to its threads, what they
    are at, and whether the bell was rung and not heard."""

    empty: Contents = ((), (), (), False)
    is_synced = False
    keeps_rings = True
    """As `naive_daemon.timer.Bell` does."""

    def step(self, contents: Contents, stop: Stop) -> tuple[Contents, Any]:
        entries, handed, working, rung = contents
        if stop.what == "wait":
            return (entries, handed, working, False), None
        if stop.what == "get":
            [thread] = stop.arguments
            return (entries, handed[1:], (*working, (thread, handed[0][1])), rung), handed[0]
        if stop.what == "end":
            [thread] = stop.arguments
            return (entries, handed, tuple(one for one in working if one[0] != thread), rung), None
        rings: list[bool] = []
        started: list[Entry] = []
        timer = Timer(
            lambda work: started.append(_entry_of(work)),
            clock=lambda: NOW,
            wait=_never,
            wake=lambda: rings.append(True),
        )
        timer._heap = [
            Entry(NOW + left, place, partial(_job, job), every, NOW + left)
            for place, (left, job, every) in enumerate(entries)
        ]
        heapify(timer._heap)
        timer._places = len(entries)
        answer: Any = None
        if stop.what == "call in":
            seconds, job = stop.arguments
            timer.call_in(seconds, partial(_job, job))
        elif stop.what == "every":
            seconds, job = stop.arguments
            timer.every(seconds, partial(_job, job))
        elif stop.what == "put":
            due, job, every = stop.arguments
            timer._put(due, partial(_job, job), every, due)
        else:
            answer = timer.tick()
        left = tuple(_frozen(entry) for entry in sorted(timer._heap))
        rung = rung or (bool(rings) and (self.keeps_rings or stop.what == "tick"))
        return (left, (*handed, *map(_frozen, started)), working, rung), answer

    def is_ready(self, contents: Contents, stop: Stop) -> bool:
        _, handed, _, rung = contents
        return bool(rung if stop.what == "wait" else handed)

    def later(self, contents: Contents, seconds: float) -> Contents:
        entries, *rest = contents
        return (tuple((_nearer(left, every, seconds), job, every) for left, job, every in entries), *rest)


def _nearer(left: float, every: float | None, seconds: float) -> float:
    left = round(left - seconds, 3)
    if left >= 0:
        return left
    return 0.0 if every is None else -((-left) % every)  # what recurs keeps its phase


def _job(job: int) -> None:
    raise AssertionError(f"job {job} is a step, not a call")


def _entry_of(work: Work) -> Entry:
    assert isinstance(work, partial)
    entry: Entry = work.args[0]
    return entry


def _frozen(entry: Entry) -> tuple[float, int, float | None]:
    assert isinstance(entry.work, partial)
    return round(entry.due - NOW, 3), entry.work.args[0], entry.every


def _never(seconds: float | None) -> None:
    raise AssertionError("nobody waits here")


class Remote(Timer):
    """The timer as its own threads see it: what touches the shared memory is a step."""

    def __init__(self, io: Io, thread: str = "") -> None:
        super().__init__(
            _never_started, clock=io.clock, wait=self._rest, wake=lambda: None, report=lambda problem: None
        )
        self._io = io
        self._thread = thread

    def tick(self) -> float | None:
        rest: float | None = self._io.ask("call", "tick")
        return rest

    def _rest(self, seconds: float | None) -> None:
        self._io.ask("block", "wait", rest=FOREVER if seconds is None else seconds)

    def _put(self, due: float, work: Work, every: float | None, first: float) -> None:
        assert isinstance(work, partial)
        self._io.ask("call", "put", due, work.args[0], every)

    def live(self) -> None:
        """One thread: what `naive_daemon.timer.Threads` does."""
        while True:
            left, job, every = self._io.ask("block", "get", self._thread, rest=FOREVER)
            due = self._io.clock() + left
            self._do(Entry(due, 0, partial(self._io.work, job), every, due))
            self._io.ask("call", "end", self._thread)


def _never_started(work: Work) -> None:
    raise AssertionError("it is the loop that starts work")


class InMemory(Rung):
    """Rung 3: one program, with as many threads as other rungs have workers."""

    name = "timer"
    has_connections = False
    is_one_program = True
    lacks = {  # noqa: RUF012  (nobody changes it)
        "connections": "There is no connection that could lose an answer: to enqueue is to call a function.",
        "server": "There is no server: what the program remembers is gone when it ends, however it ends.",
    }

    def __init__(self) -> None:
        self.server = Memory()

    def enqueue(self, io: Io, job: int, kind: str) -> None:
        io.ask("call", "call in", DELAY_SECONDS if kind == "delayed" else 0.0, job)

    def worker(self, name: str) -> Cast:
        def life(io: Io, incarnation: str) -> None:
            Remote(io, incarnation).live()

        return Cast(name, WORKER, life, rounds={"get": ()})

    def upkeep(self) -> list[Cast]:
        def life(io: Io, incarnation: str) -> None:
            Remote(io).run()

        return [Cast("timer", UPKEEP, life, rounds={"tick": ()})]

    def places(self, contents: Contents) -> dict[int, Place]:
        entries, handed, working, _ = contents
        found: dict[int, Place] = {}
        for left, job, _ in entries:
            found[job] = Place(queued=1, due=max(0.0, left))
        for _, job, _ in handed:
            found[job] = Place(queued=1)
        for thread, job in working:
            found[job] = Place(held=(thread,), words=f"in the hands of {thread}")
        return found

    def in_words(self, stop: Stop, answer: Any) -> str:
        if stop.what == "tick":
            rest = "until somebody calls" if answer is None else f"for {answer:g} s"
            return f"hands out what is due, and is going to rest {rest}"
        if stop.what in ("call in", "every", "put"):
            job = stop.arguments[1]
            when = stop.arguments[0] - NOW if stop.what == "put" else stop.arguments[0]
            return f"asks the timer to do job {job} " + ("at once" if when <= 0 else f"in {when:g} s")
        return {"wait": "is woken", "get": f"takes {_named(answer)}", "end": "is free again"}[stop.what]


def _named(answer: Any) -> str:
    return f"job {answer[1]}" if answer else "nothing"
