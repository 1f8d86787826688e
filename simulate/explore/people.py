"""Those who want something done: producers, and a person at the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minique.client import Client
from minique.job_class import JobClass
from minique.store import Cancel, Discard, Requeue
from simulate.explore.actors import (
    AWAKE,
    QUEUE,
    RESEND_SECONDS,
    SIGNATURE,
    Actor,
    Job,
    Move,
    Note,
    Process,
    Rest,
    Trip,
    job_class,
    name_of,
    never_called,
)
from simulate.explore.subject import Subject

_FOREVER = float("inf")
_UNASKED = -1.0
"""Seconds for which a producer has waited, when it has not asked in vain."""


class _Producer:
    """An application that enqueues its jobs one after another, and asks again when it heard nothing."""

    is_exact = False

    def __init__(self, process: ProducerProcess) -> None:
        self.process = process
        self.state: tuple[int, float] = (0, _UNASKED)

    def tick(self) -> float:
        process = self.process
        number, waited = self.state
        if number < len(process.plan) and waited >= RESEND_SECONDS:
            # Nobody will ever know; it is not asked again, for by now it may be done and forgotten.
            number, waited = number + 1, _UNASKED
            self.state = (number, waited)
        if number == len(process.plan):
            return _FOREVER
        job = process.plan[number]
        process.rng.bits = job.number + 1
        client = Client(process.store, process.clock, process.rng)
        handle: Any
        if job.kind == "delayed":
            handle = client.enqueue_in(3, process.job_class)
        else:
            handle = client.enqueue(process.kinds.get(job.kind, process.job_class))
        if handle.is_new:
            process.notes.append(Note("stored", handle.id))
        self.state = (number + 1, _UNASKED)
        return 0.0 if number + 1 < len(process.plan) else _FOREVER

    def bell(self) -> str | None:
        return None

    def watched(self) -> Sequence[int]:
        return ()


class ProducerProcess(Process):
    kind = "producer"

    def __init__(self, name: str, subject: Subject, plan: Sequence[Job], retries: int) -> None:
        super().__init__(name, subject)
        self.plan = plan
        self.job_class = job_class(retries)
        self.kinds = {
            "unique": JobClass("job", never_called, SIGNATURE, queue=QUEUE, retries=retries, unique=True),
            "unknown": JobClass("of.a.later.release", never_called, SIGNATURE, queue=QUEUE, retries=retries),
        }

    def blank(self, incarnation: int) -> Any:
        return (0, _UNASKED)

    def first(self) -> Actor:
        return Actor(1, (0, _UNASKED), AWAKE)

    def part(self, actor: Actor) -> Any:
        part = _Producer(self)
        part.state = actor.memory
        return part

    def remembered(self, part: Any, seconds: float) -> tuple[Any, Any]:
        number, waited = part.state
        return (number, max(0.0, waited) + seconds if self.store.failed else waited), None

    def aged(self, memory: Any, seconds: float) -> Any:
        number, waited = memory
        # Only who has asked in vain counts.
        return memory if waited == _UNASKED else (number, min(waited + seconds, 2 * RESEND_SECONDS))

    def may_send_again(self, actor: Actor) -> bool:
        assert isinstance(actor.phase, Trip)
        return bool(actor.phase.age + max(0.0, actor.memory[1]) < RESEND_SECONDS)

    def is_due(self, actor: Actor) -> bool:
        return super().is_due(actor) and not self.is_empty_handed(actor)

    def is_empty_handed(self, actor: Actor) -> bool:
        return bool(actor.memory[0] >= len(self.plan))

    def later(self, actor: Actor, seconds: float) -> list[Actor]:
        return super().later(actor, seconds)[:1]

    def crash(self, actor: Actor, cost: str = "crash") -> Move:
        """Whether its job is stored will never be known; it goes on with the next one."""
        number = min(actor.memory[0] + 1, len(self.plan))
        return Move("is killed, and goes on with its next job", then=Actor(1, (number, _UNASKED), AWAKE), cost=cost)


class PersonProcess(Process):
    """Somebody who cancels, requeues and discards, whenever it may be, whatever job it may be, and not for ever."""

    kind = "person"

    def __init__(self, name: str, subject: Subject, ids: Sequence[str], acts: int) -> None:
        super().__init__(name, subject)
        self.ids = ids
        self.acts = acts

    def first(self) -> Actor:
        return Actor(1, self.acts, _AT_LEISURE)

    def is_due(self, actor: Actor) -> bool:
        return False

    def is_at_leisure(self, actor: Actor) -> bool:
        return isinstance(actor.phase, Rest)

    def is_empty_handed(self, actor: Actor) -> bool:
        return isinstance(actor.phase, Rest) and not actor.memory

    def moves(self, actor: Actor) -> list[Move]:
        if isinstance(actor.phase, Trip):
            # To be killed is no more to a person than to give up.
            return [move for move in self._moves_of_trip(actor, actor.phase) if move.cost != "crash"]
        if not actor.memory:
            return []
        then = actor._replace(memory=actor.memory - 1)
        arrows: list[Cancel | Requeue | Discard] = [kind(id) for kind in (Cancel, Requeue, Discard) for id in self.ids]
        return [
            self._sending(then._replace(phase=Trip((arrow,), "")))._replace(
                label=f"wants to {type(arrow).__name__.lower()} {name_of(arrow.id)}"
            )
            for arrow in arrows
        ]

    def may_send_again(self, actor: Actor) -> bool:
        assert isinstance(actor.phase, Trip)
        return actor.phase.age < RESEND_SECONDS

    def crash(self, actor: Actor, cost: str = "crash") -> Move:
        return Move("gives up", then=actor._replace(phase=_AT_LEISURE), cost=cost)

    def _hearing(self, actor: Actor, answers: Any, label: str, cost: str = "") -> Move:
        trip = actor.phase
        assert isinstance(trip, Trip)
        [arrow] = trip.arrows
        notes: tuple[Note, ...] = ()
        if isinstance(arrow, Cancel) and answers in (("queued",), ("delayed",)):
            notes = (Note("cancelled", arrow.id),)
        return Move(label, actor._replace(phase=_AT_LEISURE), notes=notes, cost=cost)

    def later(self, actor: Actor, seconds: float) -> list[Actor]:
        return super().later(actor, seconds)[:1] if isinstance(actor.phase, Trip) else [actor]


_AT_LEISURE = Rest(_FOREVER, None)
