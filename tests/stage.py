"""A stage for stories about workers: a clock turned by hand, a store that notes each trip, jobs that end on cue.

Nothing here waits, and nothing pretends: stores are real ones (memory or a server), the worker is the one that ships.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from minique.client import Client
from minique.clock import ManualClock
from minique.errors import Unreachable
from minique.events import Events
from minique.perform import Returned
from minique.processes import Died, Ending, InLine, Processes, Task
from minique.registry import Registry
from minique.store import Arrow, Ear, Store
from minique.subscription import Subscription
from minique.worker import Settings, Worker

NEVER_ARRIVES, ANSWER_LOST = "never arrives", "answer lost"


class Recording(Store):
    """Passes everything on, and remembers it. `faults` are the fates of the next trips, one each."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.trips: list[list[Arrow]] = []
        self.faults: deque[str] = deque()
        self.meanwhile: deque[Callable[[], object]] = deque()
        """What others do just before each of the next trips arrives."""

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        self.trips.append(list(arrows))
        if self.meanwhile:
            self.meanwhile.popleft()()
        fault = self.faults.popleft() if self.faults else ""
        if fault == NEVER_ARRIVES:
            raise Unreachable("the cable was cut before")
        answers = self.store.trip(arrows, now)
        if fault == ANSWER_LOST:
            raise Unreachable("the cable was cut after")
        return answers

    def listen(self, bell: str, seconds: float) -> Ear:
        ear: Ear = self.store.listen(bell, seconds)
        return ear

    def words(self) -> list[list[str]]:
        """Each trip as the names of its arrows."""
        return [[type(arrow).__name__ for arrow in trip] for trip in self.trips]

    def arrows(self, kind: type) -> list[Any]:
        return [arrow for trip in self.trips for arrow in trip if isinstance(arrow, kind)]


class OnCue:
    """Children that exist only in name: each job runs until the test says how it ends."""

    in_line = False

    def __init__(self, most_ahead: int = 1, seconds_to_prepare: float = 0.0, clock: ManualClock | None = None) -> None:
        self.most_ahead = most_ahead
        self._seconds_to_prepare = seconds_to_prepare
        self._clock = clock or ManualClock()
        self.given: list[Task] = []
        self.prepared = 0
        self.kills = 0
        self.leases: list[float] = []
        self._running = False
        self._ending: Ending | None = None

    @property
    def ids(self) -> list[str]:
        """The jobs that were started, in order."""
        return [task.context.id for task in self.given]

    def ends(self, ending: Ending = Returned("null")) -> None:  # noqa: B008  (a frozen value)
        assert self._running, "nothing runs that could end"
        self._ending = ending

    def prepare(self, tasks: int = 1) -> None:
        self.prepared += 1
        if self._running:
            self._clock.advance(self._seconds_to_prepare)

    def leased(self, until: float) -> None:
        self.leases.append(until)

    def give(self, task: Task) -> None:
        assert not self._running, "two jobs at a time"
        self._running = True
        self.given.append(task)

    def poll(self) -> Ending | None:
        ending, self._ending = self._ending, None
        if ending is not None:
            self._running = False
        return ending

    def watched(self) -> Sequence[int]:
        return ()

    def kill(self) -> None:
        self.kills += 1
        if self._ending is None:
            self._ending = Died(9, 0, "the child was killed by SIGKILL")

    def show_stacks(self) -> None: ...

    def close(self) -> None: ...


class Stage:
    """A store, a clock, a producer; and workers, as many as the story needs."""

    def __init__(self, store: Any) -> None:
        self.clock = ManualClock()
        self.store = Recording(store)
        self.registry = Registry()
        # The producer's trips are not noted: the stories are about what workers say.
        self.mq = Client(store, self.clock, Random(1))
        self.heard: list[tuple[str, dict[str, object]]] = []

    def worker(self, name: str = "w", processes: Processes | None = None, queues: str = "*", **settings: Any) -> Worker:
        return Worker(
            self.store,
            self.registry,
            processes or InLine(self.clock),
            self.clock,
            Random(7),
            Events(lambda event, fields: self.heard.append((event, fields))),
            name,
            Settings(subscription=Subscription.parse(queues), **settings),
        )

    def told(self, event: str) -> list[dict[str, object]]:
        """What was told under this name, in order."""
        return [fields for name, fields in self.heard if name == event]

    def failure(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.mq.job(id).record().failure)
        return found

    def states(self, ids: Sequence[str]) -> list[str]:
        return [self.mq.job(id).state() for id in ids]

    def finish(self, worker: Worker, ticks: int = 1000) -> None:
        """Tick until it says that it is finished."""
        for _ in range(ticks):
            if worker.is_finished():
                return
            worker.tick()
        raise AssertionError(f"not finished after {ticks} ticks: {worker.state}")
