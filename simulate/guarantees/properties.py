"""What a design may promise, in words, and how it is asked: a scope that is searched whole, and rules that must hold.

Two explorers answer. Rung 8 is asked of `simulate/explore`, the others of `simulate/explore/ladder`; scopes and rules
have other names there, for the one steps through arrows and the other through commands and statements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from simulate.explore.ladder.scope import Scope as LadderScope
from simulate.explore.scope import Scope

S = TypeVar("S")


@dataclass(frozen=True)
class Question(Generic[S]):
    """One search: where, and what must hold there."""

    scope: S
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Property:
    """One row of the table."""

    name: str
    promise: str
    ladder: tuple[Question[LadderScope], ...]
    minique: tuple[Question[Scope], ...]
    wide_ladder: tuple[Question[LadderScope], ...] = ()
    """Asked instead when there is time."""
    wide_minique: tuple[Question[Scope], ...] = ()
    needs: str = ""
    """A feature without which there is nothing to promise."""
    is_by_ladder: bool = False
    """Whether rung 8 is asked as the others are."""
    is_beyond: bool = False
    """Whether it is more than minique promises: it is asked to show what is lost."""


def _ladder(scope: LadderScope, *rules: str) -> Question[LadderScope]:
    return Question(scope, rules)


def _minique(scope: Scope, *rules: str) -> Question[Scope]:
    return Question(scope, rules)


def _slots(scope: LadderScope, *more: str) -> Question[LadderScope]:
    return Question(scope, ("slot twice", "slot missed", "early", *more))


ONE, TWO, THREE = ("plain",), ("plain", "plain"), ("plain", "plain", "plain")

PROPERTIES: tuple[Property, ...] = (
    Property(
        "stored once",
        "A job that is enqueued once is stored once, also when its producer heard nothing and asked again.",
        (_ladder(LadderScope(1, ONE, errors=1), "stored once"),),
        (_minique(Scope(1, TWO, 0, 1, 0), "one state", "resurrected", "diagram", "truth", "twice"),),
        (_ladder(LadderScope(2, TWO, errors=2), "stored once"),),
        (_minique(Scope(2, TWO, 0, 2, 1), "one state", "resurrected", "diagram", "truth", "twice"),),
    ),
    Property(
        "never in no place",
        "A job that is stored and not over is somewhere on the server at every instant, also while it is worked on.",
        (_ladder(LadderScope(2, ONE, crashes=1), "no place"),),
        (_minique(Scope(2, ONE, 1, 1, 1), "one state", "lost"),),
        (_ladder(LadderScope(2, TWO, crashes=1), "no place"),),
        (_minique(Scope(2, TWO, 1, 1, 1), "one state", "lost"),),
    ),
    Property(
        "survives worker kill",
        "Wherever a worker is killed: each job that its producer knows to be stored is done in the end, or set aside "
        "where people look.",
        (_ladder(LadderScope(2, ONE, crashes=1), "lost", "drains"),),
        (_minique(Scope(2, TWO, 1, 0, 1), "lost", "drains", "one state", "stranded"),),
        (_ladder(LadderScope(2, TWO, crashes=2), "lost", "drains"),),
        (_minique(Scope(2, TWO, 2, 1, 2), "lost", "drains", "one state", "stranded"),),
    ),
    Property(
        "survives scheduler kill",
        "The same, wherever the scheduler, the reaper or the janitor is killed.",
        (_ladder(LadderScope(2, ONE, crashes=1, struck="upkeep"), "lost", "drains"),),
        (_minique(Scope(1, ("delayed",), 1, 0, 1, schedulers=1), "lost", "drains", "one state", "early"),),
        (_ladder(LadderScope(2, TWO, crashes=2, struck="upkeep"), "lost", "drains"),),
        (_minique(Scope(2, ("delayed",), 1, 1, 1, schedulers=2), "lost", "drains", "one state", "early"),),
        needs="upkeep",
    ),
    Property(
        "slow worker keeps its job",
        "However long a job takes: nobody else starts it while its worker is at it.",
        (_ladder(LadderScope(2, ONE), "twice"),),
        (_minique(Scope(2, TWO, 0, 0, 0), "twice", "kept", "early"),),
        (_ladder(LadderScope(2, TWO), "twice"),),
        (_minique(Scope(3, THREE, 0, 0, 0), "twice", "kept", "early"),),
    ),
    Property(
        "stale worker cannot finish another's attempt",
        "Who stood still until his job was given to another cannot write over what that one does.",
        (_ladder(LadderScope(2, ONE, pauses=1), "stale"),),
        (_minique(Scope(2, ONE, 0, 0, 1, 1), "stale", "not its own", "truth", "ran"),),
        (_ladder(LadderScope(2, TWO, pauses=1, anywhere=True), "stale"),),
        (_minique(Scope(2, ONE, 1, 1, 1, 1), "stale", "not its own", "truth", "ran"),),
    ),
    Property(
        "poison stops",
        "A job that kills whoever runs it is set aside after three deaths.",
        (_ladder(LadderScope(1, ("poison",)), "poison"),),
        (_minique(Scope(1, ("poison",), 0, 0, 4), "poison"),),
        (_ladder(LadderScope(2, ("poison",)), "poison"),),
        (_minique(Scope(2, ("poison", "plain"), 0, 1, 4), "poison"),),
    ),
    Property(
        "delayed moves once",
        "A job for later starts when it is due, not before and once, whoever is killed and however many look.",
        (
            _ladder(LadderScope(2, ("delayed",)), "early", "twice"),
            _ladder(LadderScope(2, ("delayed",), crashes=1), "early", "lost", "drains"),
        ),
        (_minique(Scope(1, ("delayed",), 1, 1, 0, schedulers=2), "early", "diagram", "one state", "twice", "lost"),),
        (
            _ladder(LadderScope(2, ("delayed", "plain")), "early", "twice"),
            _ladder(LadderScope(2, ("delayed", "plain"), crashes=2), "early", "lost", "drains"),
        ),
        (_minique(Scope(2, ("delayed",), 1, 1, 1, schedulers=2), "early", "diagram", "one state", "twice", "lost"),),
        needs="delays",
    ),
    Property(
        "one firing per slot",
        "What recurs fires once in each of its slots, also with two schedulers, of which one is killed.",
        (
            _ladder(
                LadderScope(2, ("recurring, all",), crashes=1, struck="upkeep"), "slot twice", "slot missed", "early"
            ),
        ),
        (),
        (_slots(LadderScope(2, ("recurring, all",), crashes=1, errors=1, struck="upkeep")),),
        needs="recurring",
        is_by_ladder=True,
    ),
    Property(
        "catch-up as stated",
        "Of the slots that passed while no scheduler looked, those are made up for that the entry asks for.",
        tuple(
            _ladder(
                LadderScope(1, (kind,), pauses=1, struck="upkeep"), "slot twice", "slot missed", "early", "catch-up"
            )
            for kind in ("recurring", "recurring, all", "recurring, none")
        ),
        (),
        needs="recurring",
        is_by_ladder=True,
    ),
    Property(
        "unknown class kept",
        "A job of a class that no worker knows yet is kept, for a worker that does or for a person.",
        (_ladder(LadderScope(1, ("unknown",)), "lost", "ran"),),
        (_minique(Scope(1, ("unknown",), 0, 0, 0), "lost", "ran", "drains", "one state"),),
        (_ladder(LadderScope(2, ("unknown", "plain"), crashes=0), "lost", "ran"),),
        (_minique(Scope(1, ("unknown",), 1, 1, 1), "lost", "ran", "drains", "one state"),),
    ),
    Property(
        "repeat-safe under lost replies",
        "When an answer is lost and the client library sends again: no job is lost, and none is started twice.",
        (_ladder(LadderScope(2, TWO, errors=1), "twice", "lost"),),
        (_minique(Scope(2, TWO, 0, 2, 0), "twice", "lost", "one state", "truth", "resurrected", "stranded", "stale"),),
        (_ladder(LadderScope(2, TWO, errors=2), "twice", "lost"),),
        (_minique(Scope(2, TWO, 1, 2, 1), "twice", "lost", "one state", "truth", "resurrected", "stranded", "stale"),),
        needs="connections",
    ),
    Property(
        "no lost wake-up",
        "No worker sleeps on while a job is ready for it.",
        (_ladder(LadderScope(2, TWO), "wake-up"),),
        (_minique(Scope(2, TWO, 0, 0, 0), "wake-up"),),
        (_ladder(LadderScope(3, THREE), "wake-up"),),
        (_minique(Scope(3, THREE, 0, 0, 0), "wake-up"),),
        needs="wake-ups",
    ),
    Property(
        "order within a queue",
        "Jobs of one queue start in the order in which they were enqueued, unless they are given back.",
        (_ladder(LadderScope(2, TWO), "order"),),
        (_minique(Scope(2, THREE, 0, 0, 0), "order"),),
        (_ladder(LadderScope(2, THREE), "order"),),
        (_minique(Scope(2, THREE, 1, 0, 1), "order"),),
    ),
    Property(
        "drains when faults stop",
        "Whatever went wrong before: once nothing goes wrong any more, all that is stored comes to an end.",
        (_ladder(LadderScope(2, ONE, crashes=1, pauses=1), "drains"),),
        (_minique(Scope(1, ("plain", "once"), 1, 1, 1), "drains", "stranded"),),
        (_ladder(LadderScope(2, TWO, crashes=1, pauses=1, anywhere=True), "drains"),),
        (_minique(Scope(2, ("plain", "once"), 1, 1, 1), "drains", "stranded"),),
    ),
    Property(
        "nothing is lost with the last second",
        "When the power is cut and the server comes back without its last second: each job that its producer knows to "
        "be stored is still there. (An append-only file that is written once a second, as Redis and Valkey do by "
        "default once it is on, or a SQLite file.)",
        (_ladder(LadderScope(2, ONE, cuts=1), "acknowledged"),),
        (),
        (_ladder(LadderScope(2, TWO, cuts=1), "acknowledged"),),
        needs="server",
        is_by_ladder=True,
        is_beyond=True,
    ),
    Property(
        "nothing older is lost",
        "When the power is cut and the server comes back without its last second: what was stored before that second "
        "is done in the end, or set aside where people look.",
        (_ladder(LadderScope(2, ONE, cuts=1), "lost", "drains"),),
        (),
        (_ladder(LadderScope(2, TWO, cuts=1), "lost", "drains"),),
        needs="server",
        is_by_ladder=True,
    ),
)
