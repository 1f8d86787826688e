"""What recurs: every slot fires once, whoever is killed and however many schedulers there are; and what of those that
were missed.

The real Scheduler on the MemoryStore, and the real timer of rung 3, searched like the loops of the ladder. Here time
has a beginning and an end, for slots are moments: somebody watches the clock for so long, and that is all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from minique import loop
from minique.clock import ManualClock
from minique.events import Events
from minique.ids import make_slot_id
from minique.schedule import LATE_SECONDS, Entry
from minique.store import Beat, Fire, Schedule
from naive_daemon.timer import Timer
from simulate.explore.actors import Middle, frozen
from simulate.explore.ladder.minique import IoClock, RemoteStore
from simulate.explore.ladder.programs import FOREVER, NOW, Io, Stop
from simulate.explore.ladder.rules import PRODUCER, UPKEEP, Broken, Place
from simulate.explore.ladder.rungs import Cast, Rung
from simulate.explore.ladder.scope import Scope
from simulate.explore.ladder.servers import Contents
from simulate.explore.subject import Subject

NAME, QUEUE = "report", "reports"
CATCH_UP = {"recurring": "last", "recurring, all": "all", "recurring, none": "none"}
EVERY_SECONDS = {"recurring": 20.0, "recurring, all": 20.0, "recurring, none": LATE_SECONDS + 40.0}
"""From one slot to the next; where none is made up for, the latest one must be able to be too late."""
SLOTS = 3
"""How many there are until the end."""
STEPS = 4
"""So often somebody looks at the clock between two slots, so that time passes though no scheduler looks."""


class Recurring(Rung):
    """A design with something that recurs. A job's number is that of its slot."""

    has_connections = False
    thing = "slot"
    each: ClassVar[str] = "scheduler"
    rounds: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    catches_up: ClassVar[tuple[str, ...]] = ("recurring",)
    """What may be asked for."""

    def __init__(self) -> None:
        self.kind = "recurring"
        self.steps = STEPS

    def answers(self, property: str, scope: Scope) -> bool:
        """Whether it can be asked this: what it does with missed slots is one of several things, or always the same."""
        return property != "catch-up as stated" or scope.jobs[0] in self.catches_up

    def cast(self, workers: int, jobs: Sequence[str]) -> list[Cast]:
        """As many schedulers as others have workers."""
        [self.kind] = jobs
        self.steps = STEPS if workers == 1 else 1  # among several there is always one who looks
        found = [Cast("clock", PRODUCER, self._watching)]
        names = [f"{self.each}-{n}" for n in range(1, workers + 1)]
        return found + [
            Cast(name, UPKEEP, self.scheduling, self.rounds, holds_time=True, longest=FOREVER) for name in names
        ]  # fmt: skip

    def _watching(self, io: Io, name: str) -> None:
        self.begin(io)
        for _ in range(SLOTS * self.steps):
            io.sleep(self.every / self.steps)

    @property
    def every(self) -> float:
        return EVERY_SECONDS[self.kind]

    def begin(self, io: Io) -> None:
        """Somebody wants something to recur."""

    def scheduling(self, io: Io, name: str) -> None:
        raise NotImplementedError

    def fired(self, contents: Contents) -> dict[int, int]:
        """How often each slot has fired."""
        raise NotImplementedError

    def is_over(self, contents: Contents) -> bool:
        return self.elapsed(contents) >= SLOTS * self.every - 0.01

    def slot_at(self, seconds: float) -> int:
        """The number of the latest slot after so many seconds."""
        return _slot_at(seconds, self.every)

    def elapsed(self, contents: Contents) -> float:
        elapsed: float = contents[0]
        return elapsed

    def places(self, contents: Contents) -> dict[int, Place]:
        return {
            n: Place(held=("",) * count, words="fired" if count == 1 else f"fired {count} times")
            for n, count in sorted(self.fired(contents).items())
        }

    def broken(self, before: Contents, after: Contents) -> list[Broken]:
        was, now, seconds = self.fired(before), self.fired(after), self.elapsed(after)
        found = list[Broken]()
        for n in sorted(now):
            if now[n] == was.get(n, 0):
                continue
            late = round(seconds - n * self.every, 3)
            if now[n] > 1:
                found.append(("slot twice", f"slot {n} has fired {now[n]} times"))
            if late < 0:
                found.append(("early", f"slot {n} has fired {-late:g} s before its time"))
            if CATCH_UP[self.kind] == "last" and late >= self.every:
                found.append(("catch-up", f"slot {n} has fired {late:g} s late, and a later one was due as well"))
            if CATCH_UP[self.kind] == "none" and late > LATE_SECONDS:
                found.append(("catch-up", f"slot {n} has fired {late:g} s late; after {LATE_SECONDS} s it is given up"))
        return found

    def broken_in_the_end(self, contents: Contents) -> list[Broken]:
        fired, seconds = self.fired(contents), self.elapsed(contents)
        due = self.slot_at(seconds)
        missed = [n for n in range(1, due + 1) if n not in fired]
        if CATCH_UP[self.kind] != "all":  # those in between may be given up, but not the latest one
            missed = [n for n in missed if n == due]
        return [("slot missed", f"slot {n} never fires") for n in missed]


def _slot_at(seconds: float, every: float) -> int:
    return int((seconds + 0.01) // every)


# Rung 8.


class Slots:
    """A MemoryStore at a moment: seconds since the beginning, and what it holds."""

    is_synced = False

    def __init__(self, kind: type[Any]) -> None:
        self._stores: dict[Any, Any] = {}
        self.empty: Contents = (0.0, self._known(kind(ManualClock(NOW))))

    def step(self, contents: Contents, stop: Stop) -> tuple[Contents, Any]:
        elapsed, held = contents
        before = self._stores[held]
        store = copy.deepcopy(before, {id(before._lock): before._lock})
        [answer] = store.trip(stop.arguments, f"{NOW + elapsed:.6f}")
        return (elapsed, self._known(store)), _plain(answer)

    def is_ready(self, contents: Contents, stop: Stop) -> bool:
        return False

    def later(self, contents: Contents, seconds: float) -> Contents:
        return round(contents[0] + seconds, 3), contents[1]

    def _known(self, store: Any) -> Any:
        held = _plain({key: value for key, value in store.contents().items() if key not in ("stats", "workers")})
        self._stores.setdefault(held, store)
        return held


def _plain(value: Any) -> Any:
    """As a value that can be looked up."""
    if isinstance(value, dict):
        return tuple(sorted((key, _plain(one)) for key, one in value.items()))
    if isinstance(value, set):
        return tuple(sorted(value))
    if isinstance(value, list):
        return tuple(map(_plain, value))
    return frozen(value)


class Schedules(Recurring):
    """Schedulers of minique, as they ship or with a change."""

    name = "minique"
    has_connections = True
    rounds: ClassVar[Mapping[str, tuple[str, ...]]] = {"sleep": ("remembered",)}
    catches_up = tuple(CATCH_UP)

    def __init__(self, subject: Subject | None = None) -> None:
        super().__init__()
        self._subject = subject or Subject()
        self.server = Slots(self._subject.store)

    @property
    def every(self) -> float:
        return EVERY_SECONDS[self.kind]

    def begin(self, io: Io) -> None:
        entry = Entry(NAME, "job", every_seconds=self.every, queue=QUEUE, catch_up=CATCH_UP[self.kind])
        RemoteStore(io).trip((Schedule(NAME, entry.to_json()),), "")

    def scheduling(self, io: Io, name: str) -> None:
        part = self._subject.scheduler.__dict__["Scheduler"](RemoteStore(io, (Beat,)), IoClock(io), Events(), name)

        def remembered() -> Any:
            state = part.state
            return state.revision, tuple((one.definition, one.cursor, one.at, one.stored) for one in state.plan)

        def wait(seconds: float, bell: str | None) -> None:
            _rest(io, round(seconds, 3), remembered)

        loop.run(part, wait, lambda: False, Events(), Middle())

    def fired(self, contents: Contents) -> dict[int, int]:
        queued = dict(contents[1]).get(f"queue:{QUEUE}", ())
        numbers = {make_slot_id(NAME, NOW + n * self.every): n for n in range(1, SLOTS + 2)}
        return {numbers[id]: queued.count(id) for id in queued}

    def in_words(self, stop: Stop, answer: Any) -> str:
        arrow = stop.arguments[0]
        if isinstance(arrow, Fire):
            return f"fires slot {self.slot_at(float(arrow.slot) - NOW)}: {answer.outcome}"
        return {
            "schedule": f"wants a job every {self.every:g} s (catch_up: {CATCH_UP[self.kind]})",
            "promote": "promotes what is due: nothing",
            "agenda": "reads the schedule",
        }.get(stop.what, stop.what)


def _rest(io: Io, seconds: float, remembered: Callable[[], Any]) -> None:
    """`remembered` stands here to be found when the process is stopped."""
    io.sleep(seconds)


# Rung 3.


class Moments:
    """What the work of a timer leaves behind outside of its program: how often it was done in each slot."""

    is_synced = True
    empty: Contents = (0.0, ())

    def step(self, contents: Contents, stop: Stop) -> tuple[Contents, Any]:
        if stop.what == "starts":
            return contents, None
        elapsed, fired = contents
        counts = dict(fired)
        n = _slot_at(elapsed, stop.arguments[0])
        counts[n] = counts.get(n, 0) + 1
        return (elapsed, tuple(sorted(counts.items()))), None

    def is_ready(self, contents: Contents, stop: Stop) -> bool:
        return False

    def later(self, contents: Contents, seconds: float) -> Contents:
        return round(contents[0] + seconds, 3), contents[1]


class Timers(Recurring):
    """Programs, each with a timer of its own in which the same work recurs."""

    name = "timer"
    each = "program"

    def __init__(self) -> None:
        super().__init__()
        self.server = Moments()

    def scheduling(self, io: Io, name: str) -> None:
        def rest(seconds: float | None) -> None:
            assert seconds is not None
            io.sleep(round(seconds, 3))

        def do_it_here(work: Callable[[], object]) -> None:
            work()

        timer = Timer(do_it_here, clock=io.clock, wait=rest, wake=lambda: None)
        io.ask("call", "starts")
        timer.every(self.every, lambda: io.ask("call", "does", self.every))
        timer.run()

    def fired(self, contents: Contents) -> dict[int, int]:
        return dict(contents[1])

    def in_words(self, stop: Stop, answer: Any) -> str:
        return "does the work" if stop.what == "does" else f"sets itself up to do the work every {self.every:g} s"


RECURRING: dict[str, Callable[[Subject], Recurring]] = {
    "timer": lambda subject: Timers(),
    "minique": Schedules,
}
"""By the name of the design."""
