"""All that a scope allows, breadth-first: the first story that ends badly is a shortest one.

A state is not searched again with fewer faults left than before: whatever could come of it could come of it then, and
no later.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from simulate.explore import rules
from simulate.explore.actors import Trip, name_of
from simulate.explore.contents import Contents, Draw
from simulate.explore.rules import Broken
from simulate.explore.scope import MANY, MASKS, Scope, fits_into
from simulate.explore.subject import Subject
from simulate.explore.system import ACTOR, WORLD, WORLD_BITS, System
from simulate.explore.telling import Failure, Step, tell

__all__ = ["MANY", "Failure", "Progress", "Result", "Scope", "Search", "Step", "count_faults"]

PATIENCE_STEPS = 4000
"""After so many steps without a fault all should have come to an end long ago."""

_LOOK_UP_EVERY = 1024  # states


@dataclass
class Result:
    states: int = 0
    transitions: int = 0
    contents: int = 0
    """Distinct values of what the server held."""
    deepest: int = 0
    """Steps of the longest of all shortest stories."""
    drained: int = 0
    """States from which it was seen that all comes to an end."""
    is_whole: bool = True
    """Whether all that the scope allows was searched."""
    why_not: str = ""
    failure: Failure | None = None
    held: set[Contents] = field(default_factory=set)


Progress = Callable[[int, int, int, int], str]
"""Told of states, transitions, the states that are still to be looked at, and the depth; answers why to stop, or ""."""


class Search(System):
    """A system, and what was found out about it."""

    def __init__(
        self, scope: Scope, subject: Subject, draw: Draw, every_arrow: bool = False, reduced: bool = True
    ) -> None:
        super().__init__(scope, subject, draw, every_arrow, reduced)
        places = range(len(self.processes))
        self._drains: set[int] = set()
        self._leisure: list[dict[int, bool]] = [{} for _ in places]
        self._private: list[dict[int, bool]] = [{} for _ in places]
        self._idle: list[dict[int, bool]] = [{} for _ in places]

    def run(self, limit: int = 5_000_000, progress: Progress | None = None, keep_contents: bool = False) -> Result:
        """All that the scope allows, until a rule breaks or there are too many states."""
        result = Result()
        scope = self.scope
        covers = _Covers(scope, self.reduced)
        bits = covers.bits
        first, pauses = self.first(), MASKS["pause"]
        # Each state with what was left of the faults, in the order in which they were found.
        states, lefts, parents = [first], array("I", [scope.faults]), array("I", [0])
        covered = {first: covers[scope.faults]}
        shifts = self._shifts
        places = tuple(range(len(shifts)))
        edges, rest, alike, transitions = self._edges, self._rest, self._alike, 0
        in_order = self.in_order
        begin, end = 0, 1
        try:
            while begin < end:
                for n in range(begin, end):
                    state, left = states[n], lefts[n]
                    world = state & WORLD
                    if rest[world] & 4 and self._is_over(state):
                        continue
                    is_busy = False
                    looked_at = places
                    if not left & pauses and not self.every_arrow:
                        for place in places:
                            if self._is_private(place, state >> shifts[place] & ACTOR):
                                looked_at = (place,)
                                break
                    for place in looked_at:
                        actor = state >> shifts[place] & ACTOR
                        some = edges[place].get(world | actor << WORLD_BITS)
                        if some is None:
                            some = self._edges_of(place, world, actor)
                        for delta, mask, unit, breaks in some:
                            if mask:
                                if not left & mask:
                                    continue
                            elif not is_busy and not self.is_at_leisure(place, actor):
                                is_busy = True
                            transitions += 1
                            if breaks:
                                raise _Found(n, self._broken[breaks], True)
                            then = in_order(state + delta) if alike else state + delta
                            left_then = left - unit
                            known = covered.get(then, 0)
                            if not known & bits[left_then]:
                                covered[then] = known | covers[left_then]
                                states.append(then)
                                lefts.append(left_then)
                                parents.append(n)
                    try:
                        if not is_busy:
                            self.check_rest(state, left)
                        for then, left_then in self.later(state, left):
                            transitions += 1
                            then = in_order(then)
                            known = covered.get(then, 0)
                            if not known & bits[left_then]:
                                covered[then] = known | covers[left_then]
                                states.append(then)
                                lefts.append(left_then)
                                parents.append(n)
                    except Broken as broken:
                        raise _Found(n, broken) from None
                    if state not in self._drains and self._does_not_drain(state) is not None:
                        raise _Found(n, Broken("drains", self.never_ends(state)))
                    if not n % _LOOK_UP_EVERY:
                        why = f"it was ended at {len(states):,} states" if len(states) > limit else ""
                        if not why and progress is not None:
                            why = progress(len(states), transitions, len(states) - n, result.deepest)
                        if why:
                            result.is_whole, result.why_not = False, why
                            return self._ended(result, states, transitions)
                begin, end = end, len(states)
                result.deepest += begin < end
        except _Found as found:
            path = [found.n]
            while path[-1]:
                path.append(parents[path[-1]])
            result.failure = tell(
                self, [(states[n], lefts[n]) for n in reversed(path)], found.broken, found.is_last_move
            )
        if keep_contents:
            result.held = {self._worlds[world][0] for world in {state & WORLD for state in states}}
        return self._ended(result, states, transitions)

    def is_at_leisure(self, place: int, actor: int) -> bool:
        """Whether what it may do now need not happen soon: who runs a job, or looks when it likes."""
        home = self._home[place]
        found = self._leisure[home].get(actor)
        if found is None:
            found = self._leisure[home][actor] = self.processes[home].is_at_leisure(self._actors[home][actor])
        return found

    def _is_private(self, place: int, actor: int) -> bool:
        """Whether all that it can do now concerns itself alone: it has its answers and has not read them.

        While no time can pass, it makes no difference whether others act before that; so they need not be tried.
        """
        home = self._home[place]
        found = self._private[home].get(actor)
        if found is None:
            phase = self._actors[home][actor].phase
            found = isinstance(phase, Trip) and len(phase.drawn) == len(phase.arrows)
            # Whether a job may be started is read from the server by the rules.
            found = found and all(not option.move.notes for option in self.options_of(home, actor))
            self._private[home][actor] = found
        return found

    def _is_over(self, state: int) -> bool:
        """Whether no process has anything to do with a job: then there is nothing more to be seen."""
        for place, actor in enumerate(self.parts(state)[1]):
            home = self._home[place]
            idle = self._idle[home].get(actor)
            if idle is None:
                idle = self._idle[home][actor] = self.processes[home].is_empty_handed(self._actors[home][actor])
            if not idle:
                return False
        return True

    def _ended(self, result: Result, states: Sequence[int], transitions: int) -> Result:
        result.states, result.transitions = len(states), transitions
        result.contents = len({self._worlds[world][0] for world in {state & WORLD for state in states}})
        result.drained = len(self._drains)
        return result

    # Once faults stop.

    def _calm_step(self, state: int) -> int | None:
        """What happens next when nothing goes wrong; None when nothing more happens, -1 when a rule breaks.

        First come those who have something to do, in their order. When nobody has, time passes.
        """
        world, actors = self.parts(state)
        for place, actor in enumerate(actors):
            if self.processes[place].kind in ("reaper", "person") and self.is_at_leisure(place, actor):
                continue
            some = self._edges[place].get(world | actor << WORLD_BITS)
            if some is None:
                some = self._edges_of(place, world, actor)
            for edge in some:
                if not edge.mask:
                    return -1 if edge.breaks else self.in_order(state + edge.delta)
        if self.rests_for_good(state):
            return None
        try:
            return self.in_order(next(self.later(state, MASKS["expiry"]))[0])
        except Broken:
            return None  # the search will come there by itself

    def rests_for_good(self, state: int) -> bool:
        """Whether all that is stored has come to an end."""
        return bool(self._rest[state & WORLD] & 1)

    def _does_not_drain(self, state: int) -> int | None:
        """A state from which it goes on for ever; None when all drains."""
        walked: set[int] = set()
        while state not in self._drains:
            if state in walked or len(walked) > PATIENCE_STEPS:
                return state
            walked.add(state)
            then = self._calm_step(state)
            if then is None or then < 0:
                break  # a rule breaks on the way; the search will come there by itself, if the scope allows
            state = then
        self._drains |= walked
        return None

    def never_ends(self, state: int) -> str:
        """Of a state from which it goes on for ever, what is left."""
        for_ever = self._does_not_drain(state)
        contents, past = self.values(state if for_ever is None else for_ever)
        under_way, known = rules.seen(contents).states, dict(past.jobs)
        left = [f"{name_of(id)} is {state}" for id, state in under_way.items() if state not in ("done", "failed")]
        left += [f"{name_of(id)} is not fired" for _, id in self._planned if id not in known]
        return f"from here on, for ever: {', '.join(left)}"


class _Covers(dict[int, int]):
    """What is left of the faults → the bits of all that need not be searched any more: what has no more of any kind."""

    def __init__(self, scope: Scope, reduced: bool) -> None:
        self.bits = {left: 1 << n for n, left in enumerate(scope.leftovers())}
        self._reduced = reduced

    def __missing__(self, left: int) -> int:
        below = (bit for other, bit in self.bits.items() if fits_into(other, left))
        found = self[left] = sum(below) if self._reduced else self.bits[left]
        return found


class _Found(Exception):
    """A rule that broke, in or after the n-th state."""

    def __init__(self, n: int, broken: Broken, is_last_move: bool = False) -> None:
        self.n = n
        self.broken = broken
        self.is_last_move = is_last_move


def count_faults(steps: Sequence[Step]) -> int:
    return sum(step.is_fault for step in steps)
