"""Real workers of minique over its in-memory store, on a clock that is turned by hand: who held what, and until when.

Only the children are stand-ins: each needs a stated time for its job, and rests when its worker is stopped. A worker
may be paused, with its child, as a closed laptop is, or killed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from minique.client import Client
from minique.clock import ManualClock
from minique.events import Events
from minique.memory_store import MemoryStore
from minique.perform import run
from minique.processes import Died, Ending, Task
from minique.registry import Registry
from minique.worker import LEASE_SECONDS, Settings, Worker

ZERO = 1_000_000_000.0
STEP_SECONDS = 1 / 16  # exact in binary: sums of it stay what they look like
NEVER = float("inf")


class Told(NamedTuple):
    """Something that a worker said."""

    at: float
    worker: str
    event: str


class Span(NamedTuple):
    """From when to when something was so."""

    begin: float
    end: float
    what: str


@dataclass
class Lane:
    """What one worker did. All times are seconds since the beginning."""

    work: list[Span] = field(default_factory=list)
    leases: list[Span] = field(default_factory=list)  # of each claim, until it was over or ran out
    renewals: list[float] = field(default_factory=list)


class Child:
    """Stands in for a forked child: the job's code runs when its time has passed."""

    in_line = False
    most_ahead = 1

    def __init__(self, stage: Stage, seconds: float, lane: Lane) -> None:
        self._stage, self._seconds, self._lane = stage, seconds, lane
        self._task: Task | None = None
        self._ending: Ending | None = None
        self._left = self._began = 0.0

    def advance(self, seconds: float) -> None:
        if self._task is not None:
            self._left -= seconds
            if self._left < STEP_SECONDS / 2:
                self._end(run(*self._task), "ended")

    def _end(self, ending: Ending, how: str) -> None:
        self._ending, self._task = ending, None
        self._lane.work.append(Span(self._began, self._stage.now, how))

    def cut(self) -> None:
        """It dies with its worker."""
        if self._task is not None:
            self._end(Died(9, 0, "killed"), "died")

    def prepare(self, tasks: int = 1) -> None: ...

    def leased(self, until: float) -> None: ...

    def give(self, task: Task) -> None:
        self._task, self._left, self._began = task, self._seconds, self._stage.now

    def poll(self) -> Ending | None:
        ending, self._ending = self._ending, None
        return ending

    def watched(self) -> Sequence[int]:
        return ()

    def kill(self) -> None:
        if self._task is not None:
            self._end(Died(9, 0, "killed"), "killed by its worker")

    def show_stacks(self) -> None: ...

    def close(self) -> None: ...


class Stage:
    """Workers by name, one store, one clock."""

    def __init__(
        self,
        registry: Registry,
        workers: Sequence[str] = ("ada", "bob"),
        work: float = 6.0,
        lease: float = LEASE_SECONDS,
        pauses: Mapping[str, tuple[float, float]] | None = None,
        deaths: Mapping[str, float] | None = None,
    ) -> None:
        """`pauses` says from when to when a worker is stopped, `deaths` when one is killed."""
        self.clock = ManualClock(ZERO)
        self.store = MemoryStore()
        self.mq = Client(self.store, self.clock, Random(7))
        self.told: list[Told] = []
        self.states: list[Span] = []  # of the latest job
        self.lanes = {name: Lane() for name in workers}
        self._pauses, self._deaths = pauses or {}, deaths or {}
        self._speaking = ""
        self._registry = registry
        self._children = {name: Child(self, work, self.lanes[name]) for name in workers}
        settings = Settings(lease=lease)
        self._workers = {
            name: Worker(
                self.store, registry, child, self.clock, Random(3), Events(self._note), name, settings
            )
            for name, child in self._children.items()
        }  # fmt: skip
        self._deadlines: dict[str, float] = {}
        self._claimed_at: dict[str, float] = {}

    @property
    def now(self) -> float:
        return round(self.clock.now - ZERO, 6)

    def play(self, seconds: float) -> None:
        """Turns the clock so far, step by step; whoever is awake does what he has to."""
        for _ in range(round(seconds / STEP_SECONDS)):
            for name, worker in self._workers.items():
                begin, end = self._pauses.get(name, (NEVER, NEVER))
                if begin <= self.now < end:
                    continue
                if self.now >= self._deaths.get(name, NEVER):
                    self._children[name].cut()
                    continue
                self._speaking = name
                self._children[name].advance(STEP_SECONDS if self._claimed_at else 0)
                worker.tick()
                self._watch()
            self.clock.advance(STEP_SECONDS)

    def when(self, event: str, worker: str = "") -> float:
        """When somebody said that first. Raises LookupError when nobody did."""
        for one in self.told:
            if one.event == event and worker in ("", one.worker):
                return one.at
        raise LookupError(f"nobody said {event!r}; what was said: {self.told}")

    def asleep(self, worker: str, begin: float, end: float) -> list[tuple[float, float]]:
        """When within this time the worker was stopped."""
        start, stop = self._pauses.get(worker, (NEVER, NEVER))
        return [(max(start, begin), min(stop, end))] if start < end and stop > begin else []

    def _note(self, event: str, fields: Mapping[str, object]) -> None:
        self.told.append(Told(self.now, self._speaking, event))

    def _watch(self) -> None:
        """What has changed on the server: leases, and the state of the job."""
        found: dict[str, Any] = self.store.contents()
        deadlines = {claim: deadline - ZERO for claim, deadline in found.get("leases", {}).items()}
        for claim, deadline in deadlines.items():
            if claim not in self._deadlines:
                self._claimed_at[claim] = self.now
            elif deadline != self._deadlines[claim]:
                self.lanes[claim.partition(":")[0]].renewals.append(self.now)
        for claim in self._deadlines.keys() - deadlines.keys():
            over = min(self.now, self._deadlines[claim])
            self.lanes[claim.partition(":")[0]].leases.append(Span(self._claimed_at[claim], over, claim))
        self._deadlines = deadlines
        if ids := [key.removeprefix("job:") for key in found if key.startswith("job:")]:
            record = self.store.look(self.clock.stamp(), max(ids))
            what = record.state + (f" under {record.claim}" if record.state == "leased" else "")
            if self.states and self.states[-1].what == what:
                self.states[-1] = self.states[-1]._replace(end=self.now)
            else:
                if self.states:
                    self.states[-1] = self.states[-1]._replace(end=self.now)
                self.states.append(Span(self.now, self.now, what))
