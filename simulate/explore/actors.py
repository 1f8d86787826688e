"""A process, step by step: the real code, run once for each state and each list of answers.

A part (worker, scheduler, reaper, producer) is a deterministic function of what it remembers, what the server answers
and what its clock says. So its loop is run until it sends a trip, and left there; the arrows are drawn one by one,
with others in between; then the loop is run again from the same state, this time with the answers, and so on until it
waits. Nothing of a part is copied here: what runs is `minique.loop.run` around the part that ships.

While a trip is on its way, time may pass: the clock that the part reads stands at the beginning of its tick until the
answers are there, and so much later afterwards.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

from minique.backoff import Backoff
from minique.clock import Clock
from minique.errors import Unreachable
from minique.events import Events
from minique.ids import made_at
from minique.job_class import JobClass
from minique.perform import Raised, Returned
from minique.processes import Died, Ending
from minique.store import Arrow, Ear, FollowUp, Reaped, Store
from simulate.explore.contents import NOW, Bell
from simulate.explore.subject import Subject

QUEUE = "mail"
RESEND_SECONDS = 10.0
"""A producer that heard nothing asks again, but not for longer than the server remembers what is over."""

# What may be asked of a job, and what it then does.
KINDS = {
    "plain": "returns something, which is kept",
    "brief": "returns nothing, and is forgotten after ten seconds",
    "poison": "kills its worker, each time",
    "dies": "kills the child that it runs in, each time",
    "fails": "raises, each time",
    "once": "raises the first time",
    "follows": "has another job follow it",
    "delayed": "is enqueued for later",
    "unique": "has a unique key, the same for all that have one",
    "unknown": "is of a class that no worker knows",
}


class Job(NamedTuple):
    id: str
    kind: str
    number: int


class Rest(NamedTuple):
    """It waits."""

    seconds: float
    bell: str | None


class Trip(NamedTuple):
    """It waits for answers."""

    arrows: tuple[Arrow, ...]
    stamp: str
    drawn: tuple[Any, ...] = ()
    """The answers so far; none of them has arrived."""
    age: float = 0.0
    """Seconds since the tick began."""
    sent_again: bool = False
    before: tuple[Any, ...] = ()
    """The answers to earlier trips of the same tick."""
    told: float | None = None
    """As of the actor, when it was told during this trip."""


class Actor(NamedTuple):
    """A process as it is now. `memory` is what its part remembered when it last began to tick."""

    incarnation: int
    memory: Any
    phase: Rest | Trip
    child: Any = None
    """What a worker's child is doing: None; the id and attempt of what it runs; or how that ended."""
    told: float | None = None
    """When its time is over, in seconds from the beginning of its tick, once it was told to stop."""


class Note(NamedTuple):
    """Something that happened inside a process and matters outside.

    A job began (`start`); its producer knows that it is stored (`stored`); somebody knows that it is cancelled
    (`cancelled`); its worker has killed what ran it (`killed`); a worker has ended by itself (`stopped`; the claim is
    its name).
    """

    what: str
    id: str
    claim: str = ""


class Move(NamedTuple):
    """What a process may do next."""

    label: str
    then: Actor
    """The process afterwards; with an arrow, `Process.drawn` adds the answer."""
    arrow: Arrow | Bell | None = None
    """To be drawn on the server."""
    stamp: str = ""
    notes: tuple[Note, ...] = ()
    cost: str = ""
    """The budget that it comes out of: crash, error or stop. Empty: this is what happens when nothing goes wrong."""


_LONGEST_AGE_SECONDS = 12.0
"""No lease survives it, nor a producer's patience: a trip that takes longer is as one that takes this."""

LOST = "no answer"
"""Stands where the answers of a trip would."""

AWAKE = Rest(0.0, None)


class _Pending(BaseException):
    def __init__(self, arrows: tuple[Arrow, ...], stamp: str) -> None:
        self.arrows = arrows
        self.stamp = stamp


class _Waits(BaseException):
    def __init__(self, seconds: float, bell: str | None) -> None:
        self.seconds = seconds
        self.bell = bell


class _Scripted(Store):
    """Answers from a list; at its end, the arrows are what the caller wants to know."""

    def __init__(self, clock: _TickClock) -> None:
        self._clock = clock
        self.answers: tuple[Any, ...] = ()
        self.failed = False
        self.at_last_answer: Callable[[], None] = _nothing
        """Called before the last answer is handed over: by then what happened during its trip has happened."""

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        if not self.answers:
            raise _Pending(tuple(map(frozen, arrows)), now)
        first, self.answers = self.answers[0], self.answers[1:]
        if not self.answers:
            self._clock.now = NOW + self._clock.age
            self.at_last_answer()
        if first == LOST:
            self.failed = True
            raise Unreachable("the connection was lost")
        return list(first)

    def listen(self, bell: str, seconds: float) -> Ear:
        raise AssertionError("nobody waits here")


def _nothing() -> None: ...


class _TickClock(Clock):
    """Stands still during a tick, but for the time that a trip takes."""

    now = NOW
    age = 0.0

    def stamp(self) -> str:
        return ""

    def elapsed(self) -> float:
        return self.now

    def wall(self) -> float:
        return NOW


class Middle(Random):
    """No chance: always the middle, or the bits that were set."""

    bits = 0

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2

    def getrandbits(self, k: int, /) -> int:
        return self.bits


def frozen(arrow: Any) -> Any:
    """With tuples in place of lists, so that it can be looked up."""
    if isinstance(arrow, tuple):
        parts = [frozen(part) for part in arrow]
        return type(arrow)(*parts) if hasattr(arrow, "_fields") else tuple(parts)
    return tuple(map(frozen, arrow)) if isinstance(arrow, list) else arrow


def ending(jobs: dict[str, Job], id: str, attempt: int) -> Ending:
    """How an attempt at a job ends."""
    job = jobs.get(id, Job(id, "plain", 0))
    if job.kind == "fails" or (job.kind == "once" and attempt == 1):
        return Raised("Refused", "it does not want to", "")
    if job.kind == "dies":
        return Died(9, 0, "the child was killed by SIGKILL")
    if job.kind == "follows":
        following = FollowUp(f"{id[:-2]}z{id[-1]}", QUEUE, job_class(0).body((), {}))
        return Returned("1", (following,))
    return Returned("null" if job.kind == "brief" else "1")


def job_class(retries: int) -> JobClass:
    return JobClass("job", never_called, SIGNATURE, queue=QUEUE, retries=retries, backoff=Backoff(5.0, jitter=False))


def never_called(*_: object) -> None:
    raise AssertionError("the work of an explored job is a step, not a call")


def _example() -> None: ...


SIGNATURE = inspect.signature(_example)


class Process:
    """One process of the system. Subclasses say what its part is and what it remembers."""

    kind = ""
    is_named_as_told = True
    """Whether what it writes carries its name; that of a process that was broken on purpose may not."""

    def __init__(self, name: str, subject: Subject) -> None:
        self.name = name
        self.subject = subject
        self.clock = _TickClock()
        self.store = _Scripted(self.clock)
        self.rng = Middle()
        self.events = Events()
        self.notes: list[Note] = []

    def first(self) -> Actor:
        return Actor(1, self.blank(1), AWAKE)

    def blank(self, incarnation: int) -> Any:
        """What the part remembers when it has just been started."""
        raise NotImplementedError

    def part(self, actor: Actor) -> Any:
        """The part, remembering what the actor remembers."""
        raise NotImplementedError

    def remembered(self, part: Any, seconds: float) -> tuple[Any, Any]:
        """What the part remembers now, as it is so many seconds later; and its child."""
        raise NotImplementedError

    def is_due(self, actor: Actor) -> bool:
        return isinstance(actor.phase, Rest) and actor.phase.seconds <= 0

    def is_at_leisure(self, actor: Actor) -> bool:
        """Whether what it may do now need not happen soon, or at all."""
        return self.rests(actor) and actor.child is not None

    def rests(self, actor: Actor) -> bool:
        """Whether it waits for something, so that time may pass without anybody being slow."""
        return isinstance(actor.phase, Rest) and not self.is_due(actor)

    def is_empty_handed(self, actor: Actor) -> bool:
        """Whether it neither holds a job nor has one to hand in."""
        return True

    def may_send_again(self, actor: Actor) -> bool:
        return True

    def aged(self, memory: Any, seconds: float) -> Any:
        return memory

    # What it may do.

    def moves(self, actor: Actor) -> list[Move]:
        """All that it may do by itself; first what happens when nothing goes wrong."""
        phase = actor.phase
        if isinstance(phase, Trip):
            return self._moves_of_trip(actor, phase)
        found = self.inner_moves(actor)
        if self.is_due(actor):
            self.notes.clear()
            began = self.tick(actor, (), 0.0)
            notes = tuple(self.notes)
            found.append(self._sending(began) if isinstance(began.phase, Trip) else self.looking(began, notes))
            if isinstance(began.phase, Trip):
                found.append(self._without_answer(began, "loses the connection before anything arrives", "error"))
        elif phase.bell is not None:
            found.append(Move("hears its bell", actor._replace(phase=AWAKE), Bell(phase.bell)))
            found.append(Move("loses the connection while it waits", then=actor._replace(phase=AWAKE), cost="error"))
        if not (actor.memory == self.blank(actor.incarnation) and self.is_due(actor)):
            found.append(self.crash(actor))
        return found

    def inner_moves(self, actor: Actor) -> list[Move]:
        return []

    def looking(self, then: Actor, notes: tuple[Note, ...]) -> Move:
        """A tick that needed nothing of the server."""
        return Move("looks", then=then, notes=notes)

    def crash(self, actor: Actor, cost: str = "crash") -> Move:
        incarnation = actor.incarnation + 1
        return Move("is killed, and started again", then=Actor(incarnation, self.blank(incarnation), AWAKE), cost=cost)

    def _moves_of_trip(self, actor: Actor, trip: Trip) -> list[Move]:
        if trip.sent_again and not trip.drawn and not self.may_send_again(actor):
            return [self._without_answer(actor, "has lost its patience", "")]
        found = []
        if len(trip.drawn) < len(trip.arrows):
            found.append(self._sending(actor))
        else:
            found.append(self._hearing(actor, trip.drawn, "hears the answer"))
        how = f"loses the connection after {len(trip.drawn)} of {len(trip.arrows)} arrows"
        if trip.sent_again or not self.may_send_again(actor):
            found.append(self._without_answer(actor, how, "error"))
        else:
            again = self.sending_again(actor, trip)
            if trip.drawn:
                found.append(Move(f"{how}, and sends all of them again", then=again, cost="error"))
            found.append(self._without_answer(actor, f"{how} and its patience", "error"))
        found.append(self.crash(actor))
        return found

    def sending_again(self, actor: Actor, trip: Trip) -> Actor:
        """A trip that begins anew; the part knows nothing of it."""
        return actor._replace(phase=trip._replace(drawn=(), sent_again=True))

    def _sending(self, actor: Actor) -> Move:
        trip = actor.phase
        assert isinstance(trip, Trip)
        stamp = trip.stamp and f"{float(trip.stamp) - trip.age:.6f}"
        return Move("", actor, trip.arrows[len(trip.drawn)], stamp)

    def _hearing(self, actor: Actor, answers: Any, label: str, cost: str = "") -> Move:
        trip = actor.phase
        assert isinstance(trip, Trip)
        self.notes.clear()
        then = self.tick(actor, (*trip.before, answers), trip.age)
        return Move(label, then=then, notes=tuple(self.notes), cost=cost)

    def _without_answer(self, actor: Actor, label: str, cost: str) -> Move:
        return self._hearing(actor, LOST, label, cost)

    def drawn(self, actor: Actor, answer: Any) -> Actor:
        """The actor of a Move with an arrow, when the arrow has been drawn."""
        trip = actor.phase
        if isinstance(trip, Trip):
            if isinstance(answer, Reaped):
                answer = answer._replace(next_in_seconds=None)  # nobody goes by it
            return actor._replace(phase=trip._replace(drawn=(*trip.drawn, frozen(answer))))
        return actor

    def later(self, actor: Actor, seconds: float) -> list[Actor]:
        """The same, so many seconds later: what it may be then. A tick may have begun before the time went by."""
        phase = actor.phase
        if isinstance(phase, Trip):
            age = min(phase.age + seconds, _LONGEST_AGE_SECONDS)
            return [actor._replace(phase=phase._replace(age=age))]
        rest = phase._replace(seconds=phase.seconds - seconds) if phase.seconds > seconds else AWAKE
        found = [actor._replace(memory=self.aged(actor.memory, seconds), phase=rest)]
        if self.is_due(actor):
            began = self.tick(actor, (), 0.0)
            if isinstance(began.phase, Trip):
                found.append(began._replace(phase=began.phase._replace(age=seconds)))
        return found

    def tick(self, actor: Actor, answers: tuple[Any, ...], age: float) -> Actor:
        """Run the real loop until it sends what was not answered yet, or waits."""
        clock, store = self.clock, self.store
        clock.now, clock.age = NOW, age
        store.answers, store.failed = answers, False
        part = self.part(actor)
        try:
            self.subject.loop.__dict__["run"](part, _wait, self.stopping(part), self.events, self.rng)
        except _Pending as pending:
            return actor._replace(phase=Trip(pending.arrows, pending.stamp, before=answers))
        except _Waits as waits:
            memory, child = self.remembered(part, age)
            # A lost server is tried again after a pause that is short beside any lease.
            rest = AWAKE if store.failed or waits.seconds <= 0 else Rest(round(waits.seconds, 3), waits.bell)
            return actor._replace(memory=memory, phase=rest, child=child)
        return self.ended(actor)

    def stopping(self, part: Any) -> Callable[[], bool]:
        return _never

    def ended(self, actor: Actor) -> Actor:
        """What comes after its loop has ended."""
        raise AssertionError("the loop ended")


def _wait(seconds: float, bell: str | None) -> None:
    raise _Waits(seconds, bell)


def _never() -> bool:
    return False


def lost_of(worker: str) -> str:
    """How a claim begins that is held in the name of a worker that does not know of it (`reduce.py`)."""
    return worker.rpartition("-")[0] + "-lost:"


def name_of(id: str) -> str:
    """A job's name in a story."""
    made = made_at(id)
    if made is not None and made != NOW:
        return f"the job of slot {made - NOW:+g} s"
    return f"what follows job {id[-1]}" if id[-2:-1] == "z" else f"job {id[-1:]}"
