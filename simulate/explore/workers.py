"""A worker, its child, and in-line its keeper."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from minique.processes import Died, Ending, Task
from minique.registry import Registry
from minique.store import Claimed
from minique.subscription import Subscription
from simulate.explore.actors import AWAKE, Actor, Job, Move, Note, Process, Trip, ending, job_class, lost_of, name_of
from simulate.explore.contents import NOW
from simulate.explore.subject import Subject


class _Child:
    """A worker's child, whose work is done when the search says so."""

    in_line = False
    most_ahead = 1

    def __init__(self, jobs: dict[str, Job]) -> None:
        self.jobs = jobs
        self.state: Any = None
        self.begun: list[tuple[str, int]] = []
        self.killed: list[str] = []

    def prepare(self, tasks: int = 1) -> None: ...

    def leased(self, until: float) -> None: ...

    def give(self, task: Task) -> None:
        assert self.state is None, "a child was given a second job"
        self.state = (task.context.id, task.context.attempt)
        self.begun.append(self.state)

    def poll(self) -> Ending | None:
        if isinstance(self.state, Ended):
            how: Ending = self.state.how
            self.state = None
            return how
        return None

    def watched(self) -> Sequence[int]:
        return ()

    def kill(self) -> None:
        if self.state is not None and not isinstance(self.state, Ended):
            self.killed.append(self.state[0])
        self.state = Ended(Died(9, 0, "killed"))

    def show_stacks(self) -> None: ...

    def close(self) -> None: ...


class Ended(NamedTuple):
    how: Any


class _InLine(_Child):
    """Jobs that are over as soon as they have begun."""

    in_line = True
    most_ahead = sys.maxsize

    def give(self, task: Task) -> None:
        super().give(task)
        self.state = Ended(ending(self.jobs, task.context.id, task.context.attempt))


STOP_SECONDS = 8.0
"""Within which a worker that was told to stop shall have done so: as `minique worker` has it by itself."""


def _nothing() -> None: ...


class WorkerProcess(Process):
    """A worker and its child."""

    kind = "worker"

    def __init__(
        self,
        name: str,
        subject: Subject,
        jobs: dict[str, Job],
        retries: int,
        batch: int = 0,
        stops: bool = False,
        may_lose_server: bool = False,
        ahead: int = 1,
    ) -> None:
        super().__init__(name, subject)
        self._may_stop = stops
        self._may_lose_server = may_lose_server
        self.jobs = jobs
        self._registry = Registry()
        self._registry.add(job_class(retries))
        self._settings = subject.worker.__dict__["Settings"](
            subscription=Subscription.parse("*"), batch_limit=max(1, batch, ahead)
        )
        self._lease = self._settings.lease
        self._child = _InLine(jobs) if batch else _Child(jobs)
        if not batch:
            self._child.most_ahead = ahead
        self._workers: dict[int, Any] = {}
        self._blank = self._clamped(subject.worker.__dict__["State"](), 0.0)
        self.is_named_as_told = bool(self.part(self.first()).name == self.name_of(1))
        self.lost = lost_of(self.name_of(1))

    def blank(self, incarnation: int) -> Any:
        return self._blank

    def name_of(self, incarnation: int) -> str:
        return f"{self.name}-{incarnation}"

    def part(self, actor: Actor) -> Any:
        worker = self._workers.get(actor.incarnation)
        if worker is None:
            worker = self._workers[actor.incarnation] = self.subject.worker.__dict__["Worker"](
                self.store, self._registry, self._child, self.clock, self.rng, self.events,
                self.name_of(actor.incarnation), self._settings,
            )  # fmt: skip
        worker.state = actor.memory
        worker.asked_to_stop_at = None if actor.told is None else NOW + actor.told
        self._child.state = actor.child
        self._child.begun, self._child.killed = [], []
        phase = actor.phase
        if isinstance(phase, Trip) and phase.told is not None:
            stop_at = NOW + phase.told
            self.store.at_last_answer = lambda: setattr(worker, "asked_to_stop_at", stop_at)
        else:
            self.store.at_last_answer = _nothing
        return worker

    def stopping(self, part: Any) -> Callable[[], bool]:
        finished: Callable[[], bool] = part.is_finished
        return finished

    def ended(self, actor: Actor) -> Actor:
        """Another is started in its place. If its time was over, it may have given up; that is no broken promise."""
        if actor.told or not self._may_lose_server:
            self.notes.append(Note("stopped", "", self.name_of(actor.incarnation)))
        incarnation = actor.incarnation + 1
        return Actor(incarnation, self.blank(incarnation), AWAKE)

    def tick(self, actor: Actor, answers: tuple[Any, ...], age: float) -> Actor:
        then = super().tick(actor, answers, age)
        if then.incarnation != actor.incarnation or isinstance(then.phase, Trip):
            return then
        told = actor.told
        if isinstance(actor.phase, Trip) and actor.phase.told is not None:
            # The signal has written to the descriptor that the wait looks at.
            told, then = actor.phase.told, then._replace(phase=AWAKE)
        return then._replace(told=None if told is None else max(0.0, round(told - age, 3)))

    def looking(self, then: Actor, notes: tuple[Note, ...]) -> Move:
        if notes and notes[0].what == "stopped":
            return Move("has stopped, and another is started", then=then, notes=notes)
        return super().looking(then, notes)

    def moves(self, actor: Actor) -> list[Move]:
        found = super().moves(actor)
        if self._may_stop and self._was_not_told(actor):
            phase = actor.phase
            if isinstance(phase, Trip):
                then = actor._replace(phase=phase._replace(told=phase.age + STOP_SECONDS))
            else:
                then = actor._replace(told=STOP_SECONDS, phase=AWAKE)
            found.append(Move("is told to stop", then=then, cost="stop"))
        return found

    def _was_not_told(self, actor: Actor) -> bool:
        return actor.told is None and not (isinstance(actor.phase, Trip) and actor.phase.told is not None)

    def later(self, actor: Actor, seconds: float) -> list[Actor]:
        found = super().later(actor, seconds)
        if actor.told is not None and not isinstance(found[0].phase, Trip):
            found[0] = found[0]._replace(told=max(0.0, round(actor.told - seconds, 3)))
        return found

    def remembered(self, part: Any, seconds: float) -> tuple[Any, Any]:
        if part.asked_to_stop_at is not None:
            self.notes += [Note("killed", id, part.state.claim) for id in self._child.killed]
        for id, _ in self._child.begun:
            claim = part.state.claim
            if not claim:
                claim = next((one.claim for one in part.state.arrows()), "")
            self.notes.append(Note("start", id, claim))
        return self._clamped(part.state, seconds), self._child.state

    def is_due(self, actor: Actor) -> bool:
        return super().is_due(actor) or isinstance(actor.child, Ended)

    def aged(self, memory: Any, seconds: float) -> Any:
        return self._clamped(memory, seconds)

    def sending_again(self, actor: Actor, trip: Trip) -> Actor:
        # A worker whose trip is lost says the same with its next tick. So if no time has passed, to send again is to be
        # where it was before this one; and whether it did so once already makes no difference, for the same reason.
        # One that may be told to stop meanwhile is another matter: it would not say the same then. So is one that holds
        # what it has not begun, for it may have put that back before it sent the trip.
        if not trip.age and not trip.before and not self._may_stop and not actor.memory.held:
            return actor._replace(phase=AWAKE)
        return super().sending_again(actor, trip)

    def is_empty_handed(self, actor: Actor) -> bool:
        state, phase = actor.memory, actor.phase
        holds = state.running is not None or state.held or state.ended or actor.child is not None
        if isinstance(phase, Trip) and any(isinstance(one, Claimed) and one.jobs for one in phase.drawn):
            return False
        return not holds

    def inner_moves(self, actor: Actor) -> list[Move]:
        if actor.child is None or isinstance(actor.child, Ended):
            return []
        id, attempt = actor.child
        job = self.jobs.get(id)
        if job is not None and job.kind == "poison":
            return [self.crash(actor, cost="")._replace(label=f"runs {name_of(id)}, which kills it and its worker")]
        how = ending(self.jobs, id, attempt)
        return [Move(f"has its job {_in_words(how)}", then=actor._replace(child=Ended(how), phase=AWAKE))]

    def _clamped(self, state: Any, seconds: float) -> Any:
        """What is over is over, no matter for how long; and a lease without a job is none."""
        holds = state.running is not None or bool(state.held)

        def left(at: float) -> float:
            return NOW + max(0.0, round(at - NOW - seconds, 3))

        # Only while others wait behind it, or it has not been told what ended, does it matter how long a job runs.
        ran = NOW - state.started_at + seconds if state.running is not None and (state.held or state.ended) else 0.0
        return state._replace(
            started_at=NOW - min(1.0, round(ran, 3)),
            lease_until=left(state.lease_until) if holds else NOW,
            renew_at=left(state.renew_at) if state.running is not None or state.held else NOW,
            look_at=left(state.look_at),
            # Asked only by a worker that is told to stop.
            unanswered=state.unanswered and self._may_stop,
            stop_at=None if state.stop_at is None else left(state.stop_at),
        )


def _in_words(how: Any) -> str:
    return {"Returned": "done", "Raised": "fail"}.get(type(how).__name__, "die")
