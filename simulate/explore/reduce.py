"""States that differ in names alone are one: why that is right, and how their common form is found.

Nobody compares two claims but for being the same; a server sorts by their names when leases ran out at the same moment,
and there the search tries every order (`orders`). So all that is done to a system with other names is the same, with
other names. That allows three things:

- **A worker's claims are counted anew.** Of a worker that is alive only those claims matter that it could still utter:
  those in what it remembers or has under way, and the next. They are counted 1, 2, 3 in their order, and it is always
  its first incarnation.
- **What nobody can utter any more needs no name of its own.** A claim of a dead worker is called after the first of its
  jobs: nobody can renew, complete or release under it. Who completed a job, or reported its failure, is forgotten when
  that worker cannot ask again. Whether a dead worker had begun its job is forgotten too: that was to be known in case
  that its claim starts it twice.
- **Workers that are alike may change places.** Of all orders of the workers one is chosen.

A claim that is held in the name of a worker which is alive and does not know of it is a fault; it keeps its worker's
name, so that the rules see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

from simulate.explore.actors import Actor, Process
from simulate.explore.contents import Contents
from simulate.explore.rules import Past
from simulate.explore.workers import WorkerProcess

NOBODY = "-"
"""Stands where a claim stood that nobody can utter any more."""


def settled(contents: Contents, past: Past, process: Process, actor: Actor) -> tuple[Contents, Past, Actor]:
    """The same, with the claims of this process counted anew; it is the only one that has changed."""
    if not isinstance(process, WorkerProcess) or not process.is_named_as_told:
        return contents, past, actor
    own = process.name + "-"
    name, first = process.name_of(actor.incarnation), process.name_of(1)
    known = {number: new for new, number in enumerate(sorted(_uttered(actor, name)), start=1)}
    held = dict(_jobs_of_claims(contents))
    dead = set[str]()

    def renamed(claim: str) -> str:
        if not claim.startswith(own):
            return claim
        whose, _, number = claim.rpartition(":")
        if whose == name and number.isdecimal() and int(number) in known:
            return f"{first}:{known[int(number)]}"
        if claim not in held:
            return NOBODY
        if whose == name or (actor.incarnation == 1 and claim.startswith(process.lost)):
            return process.lost + held[claim]
        dead.add(claim)
        return f"gone:{held[claim]}"

    contents, past = with_names(contents, past, renamed)
    if dead:
        gone = {id for id, claim in dict(contents).get("leased", ()) if claim.startswith("gone:")}
        jobs = tuple((id, one._replace(begun=False) if id in gone else one) for id, one in past.jobs)
        past = past._replace(jobs=jobs)
    if actor.incarnation > 1 or any(old != new for old, new in known.items()):
        memory = _counted_anew(actor.memory, name, first, known)
        actor = actor._replace(
            incarnation=1,
            memory=memory._replace(number=known.get(actor.memory.number, 1)),
            phase=_counted_anew(actor.phase, name, first, known),
        )
    return contents, past, actor


def _jobs_of_claims(contents: Contents) -> Iterator[tuple[str, str]]:
    """Each claim that holds something, and its first job."""
    for key, value in contents:
        if key.startswith("claim:"):
            yield key[6:], value[0][0]


def _uttered(actor: Actor, name: str) -> set[int]:
    """The numbers of the claims that a worker of this name can still utter."""
    found: set[int] = {actor.memory.number}

    def look(value: Any) -> None:
        if isinstance(value, str):
            if value.startswith(name + ":") and value[len(name) + 1 :].isdecimal():
                found.add(int(value[len(name) + 1 :]))
        elif isinstance(value, tuple):
            for part in value:
                look(part)

    look(actor)
    return found


def _counted_anew(value: Any, name: str, first: str, known: dict[int, int]) -> Any:
    if isinstance(value, str):
        if name not in value:
            return value
        number = value[len(name) + 1 :]
        if value == f"{name}:{number}" and number.isdecimal():
            return f"{first}:{known[int(number)]}"
        return value.replace(name, first)
    if isinstance(value, tuple):
        parts = [_counted_anew(part, name, first, known) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def with_names(contents: Contents, past: Past, renamed: Callable[[str], str]) -> tuple[Contents, Past]:
    """The same, under other names."""
    found: list[tuple[str, Any]] = []
    for key, value in contents:
        if key.startswith("claim:"):
            key = f"claim:{renamed(key[6:])}"
        elif key == "leases":
            value = tuple(sorted((renamed(claim), left) for claim, left in value))
        elif key == "leased" or key == "failures":
            value = tuple((id, renamed(claim)) for id, claim in value)
        elif key.startswith("job:") and value.startswith(("!done ", "!gone drop ")):
            head, newline, rest = value.partition("\n")
            what, _, claim = head.rpartition(" ")
            value = f"{what} {renamed(claim)}{newline}{rest}"
        found.append((key, value))
    found.sort()
    deadlines = tuple(sorted((renamed(claim), left) for claim, left in past.deadlines))
    return tuple(found), past._replace(deadlines=deadlines)


def moved(contents: Contents, past: Past, old: list[str], new: list[str]) -> tuple[Contents, Past]:
    """The same, after workers of these old names have taken the new ones."""
    names = {f"{one}-": f"{another}-" for one, another in zip(old, new, strict=True)}

    def renamed(claim: str) -> str:
        for one, another in names.items():
            if claim.startswith(one):
                return another + claim[len(one) :]
        return claim

    return with_names(contents, past, renamed)


def nameless(contents: Contents) -> Contents:
    """With each claim called after its jobs: what is left when names make no difference."""
    held = dict(_jobs_of_claims(contents))
    return with_names(contents, Past(), lambda claim: held.get(claim, NOBODY))[0]


def orders(contents: Contents) -> Iterator[tuple[tuple[str, ...], Contents]]:
    """All orders in which those leases may have run out that did; the first is that of their names."""
    leases = dict(contents).get("leases", ())
    due = [claim for claim, left in leases if left <= 0]
    if len(due) < 2:
        yield (), contents
        return
    rest = tuple(one for one in leases if one[1] > 0)
    for order in permutations(due):
        ago = tuple((claim, (place - len(order)) / 1000) for place, claim in enumerate(order))
        yield order, tuple((key, value if key != "leases" else tuple(sorted(ago + rest))) for key, value in contents)


def in_other_words(value: Any, old: str, new: str) -> Any:
    """The same, with another text wherever this one stands."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, tuple):
        parts = [in_other_words(part, old, new) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value
