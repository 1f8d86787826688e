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
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from minique.backoff import Backoff
from minique.client import Client
from minique.clock import Clock
from minique.errors import Unreachable
from minique.events import Events
from minique.job_class import JobClass
from minique.perform import Raised, Returned
from minique.processes import Died, Ending, Task
from minique.registry import Registry
from minique.store import Arrow, Claimed, Ear, FollowUp, Reaped, Store
from minique.subscription import Subscription
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


class Actor(NamedTuple):
    """A process as it is now. `memory` is what its part remembered when it last began to tick."""

    incarnation: int
    memory: Any
    phase: Rest | Trip
    child: Any = None
    """What a worker's child is doing: None; the Job that it runs; or how that ended."""


class Note(NamedTuple):
    """Something that happened inside a process and matters outside: a job began, or its producer knows it is stored."""

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
    """The budget that it comes out of: crash or error. Empty: this is what happens when nothing goes wrong."""


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

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        if not self.answers:
            raise _Pending(tuple(map(frozen, arrows)), now)
        first, self.answers = self.answers[0], self.answers[1:]
        if not self.answers:
            self._clock.now = NOW + self._clock.age
        if first == LOST:
            self.failed = True
            raise Unreachable("the connection was lost")
        return list(first)

    def listen(self, bell: str, seconds: float) -> Ear:
        raise AssertionError("nobody waits here")


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


class _Child:
    """A worker's child, whose work is done when the search says so."""

    in_line = False

    def __init__(self, jobs: dict[str, Job]) -> None:
        self.jobs = jobs
        self.state: Any = None
        self.begun: list[tuple[str, int]] = []

    def prepare(self) -> None: ...

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
        self.state = Ended(Died(9, 0, "killed"))

    def show_stacks(self) -> None: ...

    def close(self) -> None: ...


class Ended(NamedTuple):
    how: Any


class _InLine(_Child):
    """Jobs that are over as soon as they have begun."""

    in_line = True

    def give(self, task: Task) -> None:
        super().give(task)
        self.state = Ended(ending(self.jobs, task.context.id, task.context.attempt))


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
    return JobClass("job", _never_called, _SIGNATURE, queue=QUEUE, retries=retries, backoff=Backoff(5.0, jitter=False))


def _never_called(*_: object) -> None:
    raise AssertionError("the work of an explored job is a step, not a call")


def _example() -> None: ...


_SIGNATURE = inspect.signature(_example)


# Processes.


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
            began = self.tick(actor, (), 0.0)
            found.append(self._sending(began) if isinstance(began.phase, Trip) else Move("looks", then=began))
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

    def crash(self, actor: Actor, cost: str = "crash") -> Move:
        incarnation = actor.incarnation + 1
        return Move("is killed, and started again", then=Actor(incarnation, self.blank(incarnation), AWAKE), cost=cost)

    def _moves_of_trip(self, actor: Actor, trip: Trip) -> list[Move]:
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
            self.subject.loop.__dict__["run"](part, _wait, _never, self.events, self.rng)
        except _Pending as pending:
            return actor._replace(phase=Trip(pending.arrows, pending.stamp, before=answers))
        except _Waits as waits:
            memory, child = self.remembered(part, age)
            # A lost server is tried again after a pause that is short beside any lease.
            rest = AWAKE if store.failed or waits.seconds <= 0 else Rest(round(waits.seconds, 3), waits.bell)
            return Actor(actor.incarnation, memory, rest, child)
        raise AssertionError("the loop ended")


def _wait(seconds: float, bell: str | None) -> None:
    raise _Waits(seconds, bell)


def _never() -> bool:
    return False


class WorkerProcess(Process):
    """A worker and its child."""

    kind = "worker"

    def __init__(self, name: str, subject: Subject, jobs: dict[str, Job], retries: int, batch: int = 0) -> None:
        super().__init__(name, subject)
        self.jobs = jobs
        self._registry = Registry()
        self._registry.add(job_class(retries))
        self._settings = subject.worker.__dict__["Settings"](
            subscription=Subscription.parse("*"), batch_limit=max(1, batch)
        )
        self._lease = self._settings.lease
        self._child = _InLine(jobs) if batch else _Child(jobs)
        self._workers: dict[int, Any] = {}
        self._blank = self._clamped(subject.worker.__dict__["State"](), 0.0)
        self.is_named_as_told = bool(self.part(self.first()).name == self.name_of(1))
        self.lost = f"{name}-lost:"
        """Of a claim that is held in its name and that it does not know of."""

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
        self._child.state = actor.child
        self._child.begun = []
        return worker

    def remembered(self, part: Any, seconds: float) -> tuple[Any, Any]:
        for id, _ in self._child.begun:
            claim = part.state.claim
            if not claim:
                claim = next((one.claim for one in part.state.ended), "")
            self.notes.append(Note("start", id, claim))
        return self._clamped(part.state, seconds), self._child.state

    def is_due(self, actor: Actor) -> bool:
        return super().is_due(actor) or isinstance(actor.child, Ended)

    def aged(self, memory: Any, seconds: float) -> Any:
        return self._clamped(memory, seconds)

    def sending_again(self, actor: Actor, trip: Trip) -> Actor:
        # A worker whose trip is lost says the same with its next tick. So if no time has passed, to send again is to be
        # where it was before this one; and whether it did so once already makes no difference, for the same reason.
        if not trip.age and not trip.before:
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

        return state._replace(
            started_at=NOW,
            lease_until=left(state.lease_until) if holds else NOW,
            renew_at=left(state.renew_at) if state.running is not None or state.held else NOW,
            look_at=left(state.look_at),
            # Asked only by a worker that is told to stop, and nobody tells one here.
            unanswered=False,
        )


def _in_words(how: Any) -> str:
    return {"Returned": "done", "Raised": "fail"}.get(type(how).__name__, "die")


class ReaperProcess(Process):
    """A reaper of its own, which may look at any time."""

    kind = "reaper"

    def blank(self, incarnation: int) -> Any:
        return ()

    def first(self) -> Actor:
        return Actor(1, (), AWAKE)

    def part(self, actor: Actor) -> Any:
        return self.subject.reaper.__dict__["Reaper"](self.store, self.clock, self.events)

    def remembered(self, part: Any, seconds: float) -> tuple[Any, Any]:
        return (), None

    def is_due(self, actor: Actor) -> bool:
        return isinstance(actor.phase, Rest)

    def rests(self, actor: Actor) -> bool:
        return isinstance(actor.phase, Rest)

    def drawn(self, actor: Actor, answer: Any) -> Actor:
        found = super().drawn(actor, answer)
        trip = found.phase
        assert isinstance(trip, Trip)
        if len(trip.drawn) < len(trip.arrows):
            return found
        # It forgets them at once, and may look again at any time: nothing that it could lose would be missed.
        self.tick(found, (trip.drawn,), 0.0)
        return self.first()

    def moves(self, actor: Actor) -> list[Move]:
        # To be killed or to send again is no more to it than to look again.
        return [move for move in super().moves(actor) if not move.cost]

    def later(self, actor: Actor, seconds: float) -> list[Actor]:
        return [actor]  # it has no clock


class SchedulerProcess(Process):
    """A scheduler."""

    kind = "scheduler"

    def blank(self, incarnation: int) -> Any:
        state = self.subject.scheduler.__dict__["State"]()
        return state._replace(beat_at=NOW)

    def part(self, actor: Actor) -> Any:
        scheduler = self.subject.scheduler.__dict__["Scheduler"](self.store, self.clock, self.events, self.name)
        scheduler.state = actor.memory
        return scheduler

    def remembered(self, part: Any, seconds: float) -> tuple[Any, Any]:
        return self.aged(part.state, seconds), None

    def aged(self, memory: Any, seconds: float) -> Any:
        return memory._replace(beat_at=NOW + max(0.0, round(memory.beat_at - NOW - seconds, 3)))

    def crash(self, actor: Actor, cost: str = "crash") -> Move:
        return Move("is killed, and started again", then=self.first(), cost=cost)

    def later(self, actor: Actor, seconds: float) -> list[Actor]:
        return super().later(actor, seconds)[:1]  # the clock that it goes by is the server's


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
            "unique": JobClass("job", _never_called, _SIGNATURE, queue=QUEUE, retries=retries, unique=True),
            "unknown": JobClass("of.a.later.release", _never_called, _SIGNATURE, queue=QUEUE, retries=retries),
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


def name_of(id: str) -> str:
    """A job's name in a story."""
    return f"what follows job {id[-1]}" if id[-2:-1] == "z" else f"job {id[-1:]}"
