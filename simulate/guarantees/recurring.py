"""What recurs: every slot fires once, whoever is killed and however many schedulers there are; and what of those that
were missed.

The real Scheduler on the MemoryStore, and the real timer of rung 3, searched like the loops of the ladder. Here time
has a beginning and an end, for slots are moments: somebody watches the clock for so long, and that is all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from minique import loop
from minique.clock import Clock, ManualClock
from minique.events import Events
from minique.ids import make_slot_id
from minique.schedule import LATE_SECONDS, Entry
from minique.store import Arrow, Beat, Ear, Fire, Schedule, Store
from naive_daemon.timer import Timer
from simulate.explore.actors import Middle, frozen
from simulate.explore.ladder.programs import FOREVER, NOW, Io, Stop
from simulate.explore.ladder.rules import PRODUCER, UPKEEP, Broken, Place
from simulate.explore.ladder.rungs import Cast, Rung
from simulate.explore.ladder.servers import Contents
from simulate.explore.subject import Subject

EVERY_SECONDS = 20.0
NAME, QUEUE = "report", "reports"
CATCH_UP = {"recurring": "last", "recurring, all": "all", "recurring, none": "none"}
SLOTS = {"recurring": 3, "recurring, all": 3, "recurring, none": 6}
"""How many slots there are until the end; some must be able to be later than `none` puts up with."""


def slot(n: int) -> float:
    """The planned time of the n-th."""
    return NOW + n * EVERY_SECONDS


class Recurring(Rung):
    """A design with something that recurs. A job's number is that of its slot."""

    has_connections = False
    thing = "slot"

    def __init__(self) -> None:
        self.kind = "recurring"

    def cast(self, workers: int, jobs: Sequence[str]) -> list[Cast]:
        """As many schedulers as others have workers."""
        [self.kind] = jobs
        found = [Cast("clock", PRODUCER, self._watching)]
        names = [f"scheduler-{n}" for n in range(1, workers + 1)]
        return found + [
            Cast(name, UPKEEP, self.scheduling, holds_time=True, longest=FOREVER) for name in names
        ]  # fmt: skip

    def _watching(self, io: Io, name: str) -> None:
        self.begin(io)
        for _ in range(SLOTS[self.kind]):
            io.sleep(EVERY_SECONDS)

    def begin(self, io: Io) -> None:
        """Somebody wants something to recur."""

    def scheduling(self, io: Io, name: str) -> None:
        raise NotImplementedError

    def fired(self, contents: Contents) -> dict[int, int]:
        """How often each slot has fired."""
        raise NotImplementedError

    def is_over(self, contents: Contents) -> bool:
        return self.elapsed(contents) >= SLOTS[self.kind] * EVERY_SECONDS

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
            late = seconds - n * EVERY_SECONDS
            if now[n] > 1:
                found.append(("slot twice", f"slot {n} has fired {now[n]} times"))
            if late < 0:
                found.append(("early", f"slot {n} has fired {-late:g} s before its time"))
            if CATCH_UP[self.kind] == "last" and late >= EVERY_SECONDS:
                found.append(("catch-up", f"slot {n} has fired {late:g} s late, and a later one was due as well"))
            if CATCH_UP[self.kind] == "none" and late > LATE_SECONDS:
                found.append(("catch-up", f"slot {n} has fired {late:g} s late; after {LATE_SECONDS} s it is given up"))
        return found

    def broken_in_the_end(self, contents: Contents) -> list[Broken]:
        fired, seconds = self.fired(contents), self.elapsed(contents)
        due = int(seconds // EVERY_SECONDS)
        missed = [n for n in range(1, due + 1) if n not in fired]
        if CATCH_UP[self.kind] != "all":  # those in between may be given up, but not the latest one
            missed = [n for n in missed if n == due]
        return [("slot missed", f"slot {n} never fires") for n in missed]


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


class _Remote(Store):
    """The store as a process sees it: each arrow is a step. Signs of life decide nothing, and are none."""

    def __init__(self, io: Io) -> None:
        self._io = io

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        return [
            None if isinstance(one, Beat) else self._io.ask("call", type(one).__name__, frozen(one)) for one in arrows
        ]

    def listen(self, bell: str, seconds: float) -> Ear:
        raise AssertionError("nobody waits here")


class _Ticking(Clock):
    def __init__(self, io: Io) -> None:
        self._io = io

    def stamp(self) -> str:
        return ""

    def elapsed(self) -> float:
        return self._io.clock()

    def wall(self) -> float:
        return self._io.clock()


class Schedules(Recurring):
    """Schedulers of minique, as they ship or with a change."""

    name = "minique schedulers"
    has_connections = True

    def __init__(self, subject: Subject | None = None) -> None:
        super().__init__()
        self._subject = subject or Subject()
        self.server = Slots(self._subject.store)

    def begin(self, io: Io) -> None:
        entry = Entry(NAME, "job", every_seconds=EVERY_SECONDS, queue=QUEUE, catch_up=CATCH_UP[self.kind])
        _Remote(io).trip((Schedule(NAME, entry.to_json()),), "")

    def scheduling(self, io: Io, name: str) -> None:
        part = self._subject.scheduler.__dict__["Scheduler"](_Remote(io), _Ticking(io), Events(), name)

        def wait(seconds: float, bell: str | None) -> None:
            io.sleep(round(seconds, 3))

        loop.run(part, wait, lambda: False, Events(), Middle())

    def fired(self, contents: Contents) -> dict[int, int]:
        queued = dict(contents[1]).get(f"queue:{QUEUE}", ())
        numbers = {make_slot_id(NAME, slot(n)): n for n in range(1, SLOTS[self.kind] + 2)}
        found = {numbers[id]: queued.count(id) for id in queued}
        return found

    def in_words(self, stop: Stop, answer: Any) -> str:
        arrow = stop.arguments[0]
        if isinstance(arrow, Fire):
            return f"fires slot {round((float(arrow.slot) - NOW) / EVERY_SECONDS)}: {answer.outcome}"
        return {
            "Schedule": f"wants a job every {EVERY_SECONDS:g} s (catch_up: {CATCH_UP[self.kind]})",
            "Promote": "promotes what is due: nothing",
            "Agenda": "reads the schedule",
        }.get(stop.what, stop.what)


# Rung 3.


class Moments:
    """What the work of a timer leaves behind outside of its program: how often it was done in each slot."""

    is_synced = True
    empty: Contents = (0.0, ())

    def step(self, contents: Contents, stop: Stop) -> tuple[Contents, Any]:
        elapsed, fired = contents
        counts = dict(fired)
        n = int(elapsed // EVERY_SECONDS)
        counts[n] = counts.get(n, 0) + 1
        return (elapsed, tuple(sorted(counts.items()))), None

    def is_ready(self, contents: Contents, stop: Stop) -> bool:
        return False

    def later(self, contents: Contents, seconds: float) -> Contents:
        return round(contents[0] + seconds, 3), contents[1]


class Timers(Recurring):
    """Programs, each with a timer of its own in which the same work recurs."""

    name = "timer programs"

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
        timer.every(EVERY_SECONDS, lambda: io.ask("call", "does"))
        timer.run()

    def fired(self, contents: Contents) -> dict[int, int]:
        return dict(contents[1])

    def in_words(self, stop: Stop, answer: Any) -> str:
        return "does the work"


RECURRING: dict[str, Callable[[Subject], Recurring]] = {
    "timer": lambda subject: Timers(),
    "minique": Schedules,
}
"""By the name of the design."""
