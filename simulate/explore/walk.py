"""Random walks through a system, for scopes that are too large to be searched whole.

A walk takes one step after another, each chosen by two numbers, so that whoever makes up the numbers (a generator, or
Hypothesis) decides; smaller numbers mean less harm. Then faults stop, and all must drain. What breaks is a story of the
same form as that of a search, only not a shortest one; `shrunk` leaves out what it does not need. Each walk is also
written down as a history, of the kind that live runs leave, and judged by the same checker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from simulate import history
from simulate.explore import rules
from simulate.explore.contents import Contents, Draw
from simulate.explore.diary import Diary
from simulate.explore.rules import Broken
from simulate.explore.scope import MASKS, Scope
from simulate.explore.search import PATIENCE_STEPS, Search
from simulate.explore.subject import Subject
from simulate.explore.system import Option
from simulate.explore.telling import Failure, Step, is_fault, step_of

STEPS = 100  # of a walk, before faults stop
RATES = (0, 5, 10, 10, 10, 30)
"""Of a hundred steps so many shall be faults; drawn once a walk: with too many nothing gets far enough to go wrong."""


class Choice(NamedTuple):
    """Of one step."""

    roll: int
    """0 to 99; the highest ones are faults."""
    pick: int


class Walked(NamedTuple):
    failure: Failure | None
    steps: int
    report: history.Report | None
    """What the checker of histories says, when the walk came to its end."""


def choices(rng: Random, steps: int = STEPS) -> tuple[int, list[Choice]]:
    """A rate of faults, and the choices of one walk."""
    return rng.choice(RATES), [Choice(rng.randrange(100), rng.randrange(1 << 16)) for _ in range(steps)]


class Walker:
    """Walks through one scope."""

    def __init__(self, scope: Scope, subject: Subject, draw: Draw) -> None:
        self.scope = scope
        self._search = Search(scope, subject, draw, reduced=False)
        # How long a walk takes is not bounded, so nothing is late. And a worker that stops, whose job is slow, or that
        # stood still between its look at the clock and its claim, gives back what it has not begun, so that another may
        # start it after what was sent later.
        gives_back = scope.stops or scope.batch or scope.ahead > 1 or (scope.pauses and scope.workers > 1)
        ordered = frozenset[str]() if gives_back else None
        self._promises = history.Promises(late_bound=float("inf"), ordered_queues=ordered)

    @property
    def seen(self) -> int:
        """States of the server that were met so far."""
        return self._search.worlds

    def walk(self, rate: int, choices: Sequence[Choice]) -> Walked:
        """One walk, until something breaks, or all has drained."""
        path = _Path(self._search)
        try:
            for choice in choices:
                path.take(path.faults() if choice.roll >= 100 - rate else path.ordinary(), choice.pick)
            path.drain()
        except Broken as broken:
            return Walked(Failure(broken.rule, broken.why, *path.told()), len(path.steps), None)
        return Walked(None, len(path.steps), history.check(path.diary.closed(path.found), self._promises))


_Way = Callable[[], None]
"""A step that could be taken."""


class _Path:
    """Where a walk is, and how it came there."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._state, self._left = search.first(), search.scope.faults
        self.steps: list[Step] = []
        self.after: list[Contents] = []
        self.diary = Diary(search.scope)

    def told(self) -> tuple[tuple[Step, ...], tuple[Contents, ...]]:
        return tuple(self.steps), tuple(self.after)

    def found(self, id: str) -> tuple[str, int]:
        """The state of a job, and how many workers died with it; `over` when it is rightly gone."""
        contents, past = self._search.values(self._state)
        known = dict(past.jobs).get(id)
        state = rules.seen(contents).states.get(id) or ("over" if known is not None and known.is_over else "gone")
        deaths = dict(dict(contents).get("deaths", ())).get(id)
        return state, deaths.count("\n") + 1 if deaths else 0

    # What could be done.

    def ordinary(self) -> list[_Way]:
        """What may happen when nothing goes wrong. Raises Broken when all wait, and should not."""
        ways, is_busy = self._moves(lambda option: not option.mask)
        if not is_busy:
            self._search.check_rest(self._state, self._left)
            ways += [way for way, is_fault in self._leaps(self._left) if not is_fault]
        return ways

    def faults(self) -> list[_Way]:
        ways, _ = self._moves(lambda option: bool(self._left & option.mask))
        return ways + [way for way, is_fault in self._leaps(self._left) if is_fault]

    def _moves(self, fits: Callable[[Option], bool], at_leisure: bool = True) -> tuple[list[_Way], bool]:
        """Moves that fit; and whether one of them will happen soon."""
        world, actors = self._search.parts(self._state)
        ways: list[_Way] = []
        is_busy = False
        for place, actor in enumerate(actors):
            waits = self._search.is_at_leisure(place, actor)
            if waits and not at_leisure and self._search.processes[place].kind in ("reaper", "person"):
                continue
            for option in self._search.options_of(place, actor):
                if not fits(option) or not self._search.is_possible(place, world, option):
                    continue
                is_busy = is_busy or not waits
                ways.append(lambda place=place, option=option: self._move(place, option))  # type: ignore[misc]
        return ways, is_busy

    def _leaps(self, faults: int) -> Iterator[tuple[_Way, bool]]:
        for then, left in self._search.later(self._state, faults):
            yield (lambda then=then, left=left: self._leap(then, left)), left != faults  # type: ignore[misc]

    # Doing it.

    def take(self, ways: list[_Way], pick: int) -> None:
        if ways:
            ways[pick % len(ways)]()

    def drain(self) -> None:
        """Faults stop: each does what it does next, time passes when all wait, and all must come to an end."""
        seen: set[int] = set()
        while self._state not in seen and len(seen) < PATIENCE_STEPS:
            seen.add(self._state)
            ways, _ = self._moves(lambda option: not option.mask, at_leisure=False)
            if not ways:
                if self._search.rests_for_good(self._state):
                    return
                # Waiting until a lease has run out is no fault now.
                self._left |= MASKS["expiry"]
                ways = [way for way, _ in self._leaps(self._left)]
            ways[0]()
        raise Broken("drains", self._search.never_ends(self._state))

    def _move(self, place: int, option: Option) -> None:
        world, actors = self._search.parts(self._state)
        process, before = self._search.processes[place], self._search.value_of(place, actors[place])
        self._left -= option.unit
        try:
            one = self._search.play(place, world, option)[0]
        except Broken:
            contents, answer, order = self._search.contents_of(self._state), None, tuple[str, ...]()
            if option.move.arrow is not None:
                contents, answer, order = self._search.draw_broken(world, option)
            move = option.move
            self.steps.append(
                Step(process.name, move.label, is_fault(move), move.arrow, move.stamp, answer, move.notes, order=order)
            )
            self.after.append(contents)
            raise
        actors[place] = one.actor
        self._go(step_of(self._search, place, option, one), self._search.state(one.world, actors))
        self.diary.note(self.steps[-1], process, before, self._search.value_of(place, one.actor))

    def _leap(self, then: int, left: int) -> None:
        leap = self._search.leap_of(self._state)
        begun = self._search.begun(self._state, then, leap)
        step = Step("time", f"{leap:g} seconds pass", left != self._left, seconds=leap, begun=begun)
        self._left = left
        self._go(step, then)
        self.diary.note_time(step)

    def _go(self, step: Step, then: int) -> None:
        self._state = then
        self.steps.append(step)
        self.after.append(self._search.contents_of(then))


def shrunk(fails: Callable[[Sequence[Choice]], bool], choices: Sequence[Choice]) -> list[Choice]:
    """Fewer of these choices that fail as they do: pieces are left out, larger ones first, as long as it does."""
    left = list(choices)
    size = len(left)
    while size:
        start = 0
        while start < len(left):
            fewer = left[:start] + left[start + size :]
            if fails(fewer):
                left = fewer
            else:
                start += size
        size //= 2
    return left
