"""Asks every question of every design, and keeps what came of it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from simulate.explore import command
from simulate.explore.ladder.known import RUNGS
from simulate.explore.ladder.minique import Minique
from simulate.explore.ladder.rungs import Rung
from simulate.explore.ladder.scope import Scope as LadderScope
from simulate.explore.ladder.search import Progress
from simulate.explore.ladder.search import Search as LadderSearch
from simulate.explore.ladder.telling import story_of
from simulate.explore.scope import Scope
from simulate.explore.story import Story
from simulate.explore.subject import Change, changed
from simulate.guarantees.properties import PROPERTIES, Property
from simulate.guarantees.recurring import RECURRING, Recurring

HOLDS, FAILS, NOT_PROMISED, UNKNOWN = "holds", "fails", "not promised", "unknown"

DESIGNS = ("naive", "unclaimed", "claiming", "timer", "resque", "blocking", "backup", "unfenced", "minique")


@dataclass(frozen=True)
class Cell:
    """What is known of one property of one design."""

    design: str
    property: str
    verdict: str
    why: str
    """What was searched when it holds; what broke when it fails; why there is nothing to promise."""
    states: int = 0
    seconds: float = 0.0
    story: Story | None = None


@dataclass(frozen=True)
class Table:
    """The whole of it: a cell for each pair."""

    designs: tuple[str, ...]
    properties: tuple[Property, ...]
    cells: dict[tuple[str, str], Cell]
    """By design and the property's name."""
    thorough: bool = False

    def cell(self, design: str, property: str) -> Cell:
        return self.cells[design, property]

    @property
    def is_as_promised(self) -> bool:
        """Whether every search came to an end, and minique breaks nothing that it promises."""
        beyond = {one.name for one in self.properties if one.is_beyond}
        return not any(
            cell.verdict == UNKNOWN
            or (cell.verdict == FAILS and cell.design == "minique" and cell.property not in beyond)
            for cell in self.cells.values()
        )

    @property
    def states(self) -> int:
        return sum(cell.states for cell in self.cells.values())

    def stories(self) -> list[Cell]:
        """The cells that have one, row by row."""
        found = (self.cells[design, one.name] for one in self.properties for design in self.designs)
        return [cell for cell in found if cell.story is not None]


Watch = Callable[[str, str], Progress]
"""Told which design and property come next; answers who is told how far the search is."""


def unwatched(design: str, property: str) -> Progress:
    return lambda states, transitions, left, depth: ""


def table(
    designs: Sequence[str] = DESIGNS,
    properties: Sequence[str] | None = None,
    *,
    thorough: bool = False,
    changes: Sequence[Change] = (),
    clock: Callable[[], float] = lambda: 0.0,
    watch: Watch = unwatched,
) -> Table:
    """The table, or the part of it that is asked for.

    `thorough` asks in larger scopes, which takes much longer. `changes` are put into minique (as `explore --break`
    does). Raises ValueError for a design or a property that there is not, and `command.Wrong` for changes that do not
    fit.
    """
    chosen = tuple(_property(name) for name in properties) if properties is not None else PROPERTIES
    if unknown := [name for name in designs if name not in DESIGNS]:
        raise ValueError(f"no guarantees are known of {unknown[0]!r}; known: {', '.join(DESIGNS)}")
    cells = {}
    # Millions of tuples, and no cycles: looking through them would take longer than the search.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for one in chosen:
            for design in designs:
                began = clock()
                progress = watch(design, one.name)
                if design == "minique" and not one.is_by_ladder:
                    cell = of_minique(one, thorough, tuple(changes), progress)
                else:
                    cell = of_rung(_rung(design, one, changes), one, thorough, progress)
                seconds = clock() - began
                cells[design, one.name] = Cell(
                    design, one.name, cell.verdict, cell.why, cell.states, seconds, cell.story
                )
            gc.collect()
    finally:
        if was_enabled:
            gc.enable()
    return Table(tuple(designs), chosen, cells, thorough)


@cache
def quick_table() -> Table:
    """The whole of it in the small scopes, made once in a process."""
    return table()


def _rung(design: str, asked: Property, changes: Sequence[Change]) -> Rung:
    """What is searched for this question."""
    if asked.needs == "recurring" and design in RECURRING:
        return RECURRING[design](changed(changes))
    return Minique(changed(changes)) if design == "minique" else RUNGS[design]()


def _property(name: str) -> Property:
    for one in PROPERTIES:
        if one.name == name:
            return one
    raise ValueError(f"there is no property {name!r}; known: {', '.join(one.name for one in PROPERTIES)}")


def of_rung(rung: Rung, asked: Property, thorough: bool = False, progress: Progress | None = None) -> Cell:
    """Rungs 0 to 7."""
    if asked.needs in rung.lacks:
        return Cell(rung.name, asked.name, NOT_PROMISED, rung.lacks[asked.needs])
    states, scopes = 0, []
    for question in (asked.wide_ladder if thorough else asked.ladder) or asked.ladder:
        if isinstance(rung, Recurring) and not rung.answers(asked.name, question.scope):
            continue
        result = LadderSearch(rung, question.scope).run(question.rules, first_only=True, progress=progress)
        states += result.states
        scopes.append(f"{_as_it_is(rung, question.scope).in_words()}: {result.states:,} states")
        if result.failures:
            failure = min(result.failures.values(), key=lambda one: len(one.steps))
            return Cell(rung.name, asked.name, FAILS, failure.why, states, 0.0, story_of(rung, question.scope, failure))
        if not result.is_whole:
            return Cell(rung.name, asked.name, UNKNOWN, result.why_not, states)
    return Cell(rung.name, asked.name, HOLDS, "; ".join(scopes), states)


def _as_it_is(rung: Rung, scope: LadderScope) -> LadderScope:
    """The scope without what cannot be in this design."""
    errors = scope.errors if rung.has_connections else 0
    return replace(scope, workers=min(scope.workers, rung.workers_at_most), errors=errors)


def of_minique(
    asked: Property, thorough: bool = False, changes: tuple[Change, ...] = (), progress: Progress | None = None
) -> Cell:
    """Rung 8."""
    states, scopes = 0, []
    backend = "lua" if any(change.file.endswith(".lua") for change in changes) else "memory"
    for question in (asked.wide_minique if thorough else asked.minique) or asked.minique:
        result = command.explore(question.scope, changes, lambda: 0.0, backend, progress=progress).result
        states += result.states
        scopes.append(f"{in_words(question.scope)}: {result.states:,} states")
        failure = result.failure
        if failure is not None and failure.rule in question.rules:
            story = Story.of(failure, question.scope, changes)
            return Cell("minique", asked.name, FAILS, failure.why, states, 0.0, story)
        if failure is not None:
            why = f"the search ended at another rule: {failure.rule}: {failure.why}"
            return Cell("minique", asked.name, UNKNOWN, why, states)
        if not result.is_whole:
            return Cell("minique", asked.name, UNKNOWN, result.why_not, states)
    return Cell("minique", asked.name, HOLDS, "; ".join(scopes), states)


def in_words(scope: Scope) -> str:
    """A scope of minique, as a person would say it."""
    kinds = [f"{scope.jobs.count(kind)} {kind}" for kind in dict.fromkeys(scope.jobs)]
    parts = [_count(scope.workers, "worker"), f"{' and '.join(kinds)} job{'s' if len(scope.jobs) > 1 else ''}"]
    parts += [_count(scope.schedulers, "scheduler")] if scope.schedulers else []
    parts += ["a reaper"] if scope.reaper else []
    parts += [_count(scope.crashes, "kill")] if scope.crashes else []
    parts += [f"{scope.errors} lost {'reply' if scope.errors == 1 else 'replies'}"] if scope.errors else []
    parts += [f"{scope.expiries} leap{'s' if scope.expiries > 1 else ''} of time"] if scope.expiries else []
    parts += [_count(scope.pauses, "pause")] if scope.pauses else []
    return ", ".join(parts)


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
