"""The steps of a story as events, of the kind that live runs write down, so that one checker judges both.

The checker (`simulate/history.py`) knows nothing of servers and claims: who sent what, what began where, how it ended,
what was done to whom, and what was found at the end. A step takes a millisecond here, besides the time that passes.
"""

from __future__ import annotations

from collections.abc import Callable

from minique.store import Cancel, Delay, Discard, Enqueue
from simulate.explore.actors import QUEUE, Actor, Process, ending
from simulate.explore.scope import Scope
from simulate.explore.telling import Step
from simulate.explore.workers import Ended as ChildEnded
from simulate.explore.workers import WorkerProcess
from simulate.history import EVERYTHING, Answered, Ended, Event, Fault, Found, Planned, Sent, Started

STEP_SECONDS = 0.001
_DELAY_SECONDS = 3.0
MEANT_TO_FAIL = ("fails", "dies", "poison", "unknown")
_HOW = {"Returned": "finished", "Raised": "raised", "Died": "died"}


class Diary:
    """Written while a story goes on."""

    def __init__(self, scope: Scope) -> None:
        self._now = 0.0
        self._plan = {job.id: job for job in scope.plan()}
        self._slots = scope.planned()
        self._in_line = scope.batch > 0
        self._events: list[Event] = [Planned(at, id, QUEUE) for at, id in self._slots]
        self._open: set[str] = set()
        self._removed: set[str] = set()
        self._known = {*self._plan, *(id for _, id in self._slots)}

    def note_time(self, step: Step) -> None:
        """Time has passed."""
        began = self._now
        self._now += step.seconds
        if step.is_fault:
            self._events.append(Fault(began, "stall", EVERYTHING, self._now))

    def note(self, step: Step, process: Process, before: Actor, after: Actor) -> None:
        """A process has taken a step."""
        self._now += STEP_SECONDS
        arrow = step.arrow
        if isinstance(arrow, Enqueue | Delay) and process.kind == "producer":
            ids = [arrow.id] if isinstance(arrow, Delay) else [id for id, _ in arrow.jobs]
            due = self._now + _DELAY_SECONDS if isinstance(arrow, Delay) else None
            for id in ids:
                if id not in self._open:
                    self._open.add(id)
                    kind = self._plan[id].kind
                    self._events.append(Sent(self._now, id, QUEUE, due, kind in MEANT_TO_FAIL))
        elif isinstance(arrow, Cancel | Discard):
            self._removed.add(arrow.id)
        if isinstance(process, WorkerProcess):
            self._note_worker(step, process, before, after)
        for note in step.notes:
            worker = note.claim.rpartition(":")[0]
            if note.what == "stored":
                self._events.append(Answered(self._now, note.id))
            elif note.what == "start":
                self._events.append(Started(self._now, note.id, worker))
                if self._in_line:
                    how = type(ending(self._plan, note.id, 1)).__name__
                    self._events.append(Ended(self._now + STEP_SECONDS / 2, note.id, worker, _HOW[how]))

    def _note_worker(self, step: Step, process: WorkerProcess, before: Actor, after: Actor) -> None:
        name = process.name_of(before.incarnation)
        runs = before.child is not None and not isinstance(before.child, ChildEnded)
        if "kills it" in step.what or "is killed" in step.what:
            self._events.append(Fault(self._now, "kill", name, self._now + STEP_SECONDS))
        elif runs and before.child != after.child:
            id, attempt = before.child
            # By itself; or it was killed, since the lease is lost or the time for a stop over.
            by_itself = step.what.startswith("has its job")
            how = _HOW[type(ending(self._plan, id, attempt)).__name__] if by_itself else "died"
            self._events.append(Ended(self._now, id, name, how))

    def closed(self, found: Callable[[str], tuple[str, int]]) -> list[Event]:
        """The history, with the state and the deaths of each job at its end. What a person removed is left out."""
        answered = {event.job for event in self._events if isinstance(event, Answered)}
        finished = {event.job for event in self._events if isinstance(event, Ended) and event.how == "finished"}
        for id in self._open - answered:
            self._events.append(Answered(self._now, id, stored=False))
        for id in sorted(self._open | {id for _, id in self._slots}):
            state, deaths = found(id)
            # What is done is forgotten after a while, as it should be.
            state = "done" if state == "over" and id in finished else state
            self._events.append(Found(self._now, id, state, deaths))
        left_out = self._removed | {event.job for event in self._events if not isinstance(event, Fault)} - self._known
        return [event for event in self._events if isinstance(event, Fault) or event.job not in left_out]
