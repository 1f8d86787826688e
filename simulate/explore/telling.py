"""The story of a failure, from the states that led to it.

The states of a search have lost their names: which worker it was, and its how manieth claim. So the steps are taken
again in a search that is not reduced, each time one that leads to a state for which the next one stands. There always
is one, or the reduction is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from minique.store import Arrow
from simulate.explore.actors import Move, Note
from simulate.explore.contents import Bell, Contents
from simulate.explore.rules import Broken
from simulate.explore.system import Option, Played, System


class Step(NamedTuple):
    """One step of a story."""

    who: str
    """A process, or `time`."""
    what: str
    is_fault: bool = False
    arrow: Arrow | Bell | None = None
    stamp: str = ""
    answer: Any = None
    notes: tuple[Note, ...] = ()
    seconds: float = 0.0
    """Of time that passes."""
    begun: tuple[str, ...] = ()
    """Whose tick had begun before that time passed."""
    silent: int = 0
    """How many arrows that change nothing were drawn together with this one."""
    order: tuple[str, ...] = ()
    """In which order leases had run out, where that makes a difference."""


class Failure(NamedTuple):
    """A rule that did not hold, and a shortest story of it."""

    rule: str
    why: str
    steps: tuple[Step, ...]
    after: tuple[Contents, ...]
    """What the server held after each step."""


_State = tuple[int, int]
"""A state and what is left of the faults."""


def tell(search: System, path: Sequence[_State], broken: Broken, is_last_move: bool) -> Failure:
    """The story that goes through these states, and ends with what broke."""
    whole = System(search.scope, search.subject, search.draw, search.every_arrow, reduced=False)
    state, left = whole.first(), path[0][1]
    steps: list[Step] = []
    after: list[Contents] = []
    for wanted, left_then in path[1:]:
        for step, then, left_of_it in _steps(whole, state, left):
            if left_of_it == left_then and search.counterpart(whole, then) == wanted:
                steps.append(step)
                after.append(whole.contents_of(then))
                state, left = then, left_then
                break
        else:
            raise AssertionError(f"no step leads from {search.contents_of(path[len(steps)][0])} to the next state")
    if is_last_move:
        step, contents, broken = _last(whole, state, left, broken)
        steps.append(step)
        after.append(contents)
    elif broken.rule != "drains":
        broken = _amiss(whole, state, left, broken)
    return Failure(broken.rule, broken.why, tuple(steps), tuple(after))


def _steps(whole: System, state: int, left: int) -> Iterator[tuple[Step, int, int]]:
    """All that can happen in a state."""
    world, actors = whole.parts(state)
    for place, actor in enumerate(actors):
        for option in whole.options_of(place, actor):
            if option.mask and not left & option.mask:
                continue
            try:
                outcomes = whole.play(place, world, option)
            except Broken:
                continue
            for one in outcomes:
                now = [one.actor if n == place else other for n, other in enumerate(actors)]
                yield step_of(whole, place, option, one), whole.state(one.world, now), left - option.unit
    leap = whole.leap_of(state)
    try:
        for then, left_then in whole.later(state, left):
            begun = whole.begun(state, then, leap)
            yield Step("time", f"{leap:g} seconds pass", left != left_then, seconds=leap, begun=begun), then, left_then
    except Broken:
        return


def step_of(whole: System, place: int, option: Option, one: Played) -> Step:
    """A move and what became of it."""
    move = option.move
    answer = whole.answer(one.answer) if move.arrow is not None else None
    name = whole.processes[place].name
    return Step(
        name, move.label, is_fault(move), move.arrow, move.stamp, answer, move.notes, silent=one.silent, order=one.order
    )


def is_fault(move: Move) -> bool:
    """Whether it is something that should not happen."""
    return bool(move.cost) or "kills it" in move.label


def _last(whole: System, state: int, left: int, broken: Broken) -> tuple[Step, Contents, Broken]:
    """The move that breaks the rule, what the server holds then, and in which words."""
    world, actors = whole.parts(state)
    for place, actor in enumerate(actors):
        for option in whole.options_of(place, actor):
            if option.mask and not left & option.mask:
                continue
            try:
                whole.play(place, world, option)
            except Broken as found:
                if found.rule != broken.rule:
                    continue
                contents, move = whole.contents_of(state), option.move
                answer, order = None, tuple[str, ...]()
                if move.arrow is not None:
                    contents, answer, order = whole.draw_broken(world, option)
                name = whole.processes[place].name
                last = Step(name, move.label, is_fault(move), move.arrow, move.stamp, answer, move.notes, order=order)
                return last, contents, found
    raise AssertionError(f"nothing breaks here as it did in the search: {broken}")


def _amiss(whole: System, state: int, left: int, broken: Broken) -> Broken:
    """What is wrong in a state, in its own names."""
    try:
        if broken.rule == "kept":
            whole.check_kept(state)
        else:
            whole.check_rest(state, left)
    except Broken as found:
        return found
    raise AssertionError(f"nothing is wrong here as it was in the search: {broken}")
