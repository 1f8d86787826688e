"""Rung 8 beside the others: minique's worker, scheduler and client, searched by the same search and the same rules.

`simulate/explore` searches minique arrow by arrow and far more closely. This is for what that does not have, such as a
server that comes back without its last second; and a second opinion on the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minique import loop
from minique.client import Client
from minique.clock import Clock
from minique.events import Events
from minique.perform import Raised, Returned
from minique.processes import Ending, Task
from minique.registry import Registry
from minique.store import Agenda, Arrow, Beat, Claim, Ear, Store
from minique.subscription import Subscription
from simulate.explore import rules as seeing
from simulate.explore.actors import Middle, frozen, job_class
from simulate.explore.contents import EMPTY, NOW, STAMP, Bell, MemoryServer, later
from simulate.explore.ladder.programs import FOREVER, Io, Stop
from simulate.explore.ladder.rules import UPKEEP, WORKER, Place
from simulate.explore.ladder.rungs import DELAY_SECONDS, Cast, Rung
from simulate.explore.ladder.servers import Contents
from simulate.explore.subject import Subject

LEASE_SECONDS = 4.0  # the shorter, the fewer moments


class Arrows:
    """A store of minique, as a value; each arrow is a step."""

    empty: Contents = EMPTY
    is_synced = False

    def __init__(self, kind: type[Any]) -> None:
        self._server = MemoryServer(kind)

    def step(self, contents: Contents, stop: Stop) -> tuple[Contents, Any]:
        after, answer = self._server.draw(contents, stop.arguments[0], STAMP)
        return after, frozen(answer)

    def is_ready(self, contents: Contents, stop: Stop) -> bool:
        return any(key == f"bell:{stop.arguments[0].name}" for key, _ in contents)

    def later(self, contents: Contents, seconds: float) -> Contents:
        return later(contents, seconds)


class RemoteStore(Store):
    """The store as a process sees it: each arrow is a step of its own."""

    def __init__(self, io: Io, leave_out: tuple[type, ...] = ()) -> None:
        self._io = io
        self._leave_out = leave_out
        """Arrows that are none here: nobody decides by what they do."""

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        return [self._step(one) for one in arrows]

    def _step(self, arrow: Arrow) -> Any:
        if isinstance(arrow, self._leave_out):
            return None
        return self._io.ask("call", type(arrow).__name__.lower(), frozen(arrow))

    def listen(self, bell: str, seconds: float) -> Ear:
        raise AssertionError("nobody waits here")


class IoClock(Clock):
    """The clock that a process sees."""

    def __init__(self, io: Io) -> None:
        self._io = io

    def stamp(self) -> str:
        return ""

    def elapsed(self) -> float:
        return self._io.clock()

    def wall(self) -> float:
        return self._io.clock()


class _Child:
    """A worker's child. It does its work while the worker waits."""

    in_line = False
    most_ahead = 1

    def __init__(self, io: Io) -> None:
        self._io = io
        self.job: int | None = None
        self.ending: Ending | None = None

    def prepare(self, tasks: int = 1) -> None: ...

    def leased(self, until: float) -> None: ...

    def give(self, task: Task) -> None:
        self.job = number_of(task.context.id)
        self._io.start(self.job)

    def poll(self) -> Ending | None:
        ending, self.ending = self.ending, None
        if ending is not None:
            self.job = None
        return ending

    def watched(self) -> Sequence[int]:
        return ()

    def kill(self) -> None:
        self.ending = Raised("Killed", "it lost its lease", "")

    def show_stacks(self) -> None: ...

    def close(self) -> None: ...


def number_of(id: str) -> int:
    return int(id[-1])


class Minique(Rung):
    """Rung 8."""

    name = "minique"

    def __init__(self, subject: Subject | None = None) -> None:
        self._subject = subject or Subject()
        self.server = Arrows(self._subject.store)

    def enqueue(self, io: Io, job: int, kind: str) -> None:
        rng = Middle()
        rng.bits = job
        client = Client(RemoteStore(io), IoClock(io), rng)
        if kind == "delayed":
            client.enqueue_in(DELAY_SECONDS, job_class(1))
        else:
            client.enqueue(job_class(1))

    def worker(self, name: str) -> Cast:
        kinds = self._subject.worker.__dict__

        def life(io: Io, incarnation: str) -> None:
            registry, child = Registry(), _Child(io)
            registry.add(job_class(1))
            settings = kinds["Settings"](subscription=Subscription.parse("*"), lease=LEASE_SECONDS)
            part = kinds["Worker"](
                RemoteStore(io), registry, child, IoClock(io), Middle(), Events(), f"{incarnation}.", settings
            )

            def remembered() -> Any:
                return _clamped(part.state), child.job, child.ending

            def wait(seconds: float, bell: str | None) -> None:
                _wait(io, child, round(seconds, 3), bell, remembered)

            loop.run(part, wait, lambda: False, Events(), Middle())

        return Cast(
            name,
            WORKER,
            life,
            rounds={"bell": ("remembered",), "job": ("remembered",), "sleep": ("remembered",)},
            holds_time=True,
            longest=LEASE_SECONDS + 2,
        )

    def upkeep(self) -> list[Cast]:
        if "delayed" not in self.kinds:
            return []

        def life(io: Io, name: str) -> None:
            part = self._subject.scheduler.__dict__["Scheduler"](RemoteStore(io), IoClock(io), Events(), name)

            def remembered() -> Any:
                return part.state._replace(beat_at=0.0)

            def wait(seconds: float, bell: str | None) -> None:
                _wait(io, None, round(seconds, 3), bell, remembered)

            loop.run(part, wait, lambda: False, Events(), Middle())

        return [
            Cast(
                "scheduler",
                UPKEEP,
                life,
                rounds={"bell": ("remembered",), "sleep": ("remembered",)},
                holds_time=True,
                longest=LEASE_SECONDS + 2,
            )
        ]

    def cast(self, workers: int, jobs: Sequence[str]) -> list[Cast]:
        self.kinds = jobs
        return super().cast(workers, jobs)

    def places(self, contents: Contents) -> dict[int, Place]:
        try:
            seen = seeing.seen(contents)
        except seeing.Broken:
            return {}
        delayed = dict(dict(contents).get("delayed", ()))
        found = {}
        for id, state in seen.states.items():
            holder = seen.holders.get(id, "").partition(".:")[0]
            found[number_of(id)] = {
                "queued": Place(queued=1),
                "delayed": Place(queued=1, due=delayed.get(id, 0.0)),
                "leased": Place(held=(holder,), words=f"leased by {holder}"),
                "failed": Place(failed=1),
                "done": Place(done="", words="done"),
            }.get(state, Place())
        return found

    def in_words(self, stop: Stop, answer: Any) -> str:
        arrow = stop.arguments[0]
        if isinstance(arrow, Bell):
            return "hears its bell"
        if isinstance(arrow, Claim):
            return f"claim: {', '.join(f'job {number_of(job.id)}' for job in answer.jobs) or 'nothing'}"
        if isinstance(arrow, Agenda):
            return "reads the schedule"
        if isinstance(arrow, Beat):
            return "gives a sign of life"
        refused = answer is False or (isinstance(answer, tuple) and answer[:1] == (False,))
        return stop.what + (" (refused)" if refused else "")


def _wait(io: Io, child: _Child | None, seconds: float, bell: str | None, remembered: Callable[[], Any]) -> None:
    """What `minique.loop.Wait` does; `remembered` stands here to be found when the process is stopped."""
    seconds = max(0.0, min(seconds, FOREVER))
    if child is not None and child.job is not None:
        how = io.ask("watch", "job", child.job, rest=seconds)
        if how is not False:
            child.ending = Returned("1") if how == "done" else Raised("Refused", "it does not want to", "")
    elif bell is not None:
        io.ask("block", "bell", Bell(bell), rest=seconds)
    else:
        io.ask("sleep", "sleep", rest=seconds)


def _clamped(state: Any) -> Any:
    """What is over is over, no matter for how long; and a lease without a job is none."""
    holds = state.running is not None or bool(state.held)

    def left(at: float) -> float:
        return max(0.0, round(at - NOW, 3))

    return state._replace(
        started_at=0.0,
        lease_until=left(state.lease_until) if holds else 0.0,
        renew_at=left(state.renew_at) if holds else 0.0,
        look_at=left(state.look_at),
        unanswered=False,
    )
