"""A story: a list of steps, told as a timeline, and kept as JSON so that it can be replayed.

The processes are lanes. A step stands in its lane; what it changed on the server stands below it, and a cross marks
what should not have happened.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from minique.store import (
    Agenda,
    Arrow,
    Beat,
    Cancel,
    Claim,
    Claimed,
    Complete,
    Delay,
    Discard,
    Enqueue,
    Fail,
    Fire,
    Promote,
    Reap,
    Reaped,
    Release,
    Renew,
    Requeue,
    Retry,
)
from simulate.explore.actors import name_of
from simulate.explore.contents import Bell, Contents
from simulate.explore.ladder.scope import Scope as LadderScope
from simulate.explore.rules import RULES
from simulate.explore.scope import Scope
from simulate.explore.subject import Change
from simulate.explore.telling import Failure, Step

FORMAT = 2


class NoStory(Exception):
    """A file that holds no story that can be replayed; the message says why."""


class Told(NamedTuple):
    """One step, as it is kept."""

    who: str
    what: str
    words: str
    is_fault: bool
    draws: bool
    """Whether an arrow is drawn, or the token of a bell taken."""
    seconds: float
    begun: tuple[str, ...]
    silent: int
    after: tuple[str, ...]
    """What the server holds then, in words."""
    order: tuple[str, ...] = ()
    """In which order leases had run out, where that makes a difference."""


@dataclass(frozen=True)
class Story:
    rule: str
    why: str
    scope: Scope | LadderScope
    changes: tuple[Change, ...]
    steps: tuple[Told, ...]
    design: str = "minique"
    promise: str = ""
    """The rule in words."""

    @classmethod
    def of(cls, failure: Failure, scope: Scope, changes: Sequence[Change] = ()) -> Story:
        steps = tuple(
            Told(
                step.who,
                step.what,
                in_words(step),
                step.is_fault,
                step.arrow is not None,
                step.seconds,
                step.begun,
                step.silent,
                described(after),
                step.order,
            )
            for step, after in zip(failure.steps, failure.after, strict=True)
        )
        return cls(failure.rule, failure.why, scope, tuple(changes), steps, promise=RULES[failure.rule])

    def to_json(self) -> str:
        """One step a line, so that a person can read it."""
        head = {
            "format": FORMAT, "design": self.design, "rule": self.rule, "promise": self.promise, "why": self.why,
            "scope": asdict(self.scope), "changes": [list(change) for change in self.changes],
        }  # fmt: skip
        steps = ",\n  ".join(json.dumps(step._asdict(), ensure_ascii=False) for step in self.steps)
        return f'{json.dumps(head, ensure_ascii=False)[:-1]}, "steps": [\n  {steps}\n]}}\n'

    @classmethod
    def from_json(cls, text: str) -> Story:
        """Raises NoStory."""
        try:
            data = json.loads(text)
            if data["format"] != FORMAT:
                raise NoStory(f"it has format {data['format']!r}, and this program reads {FORMAT}")
            kind = LadderScope if "struck" in data["scope"] else Scope
            scope = kind(**{**data["scope"], "jobs": tuple(data["scope"]["jobs"])})
            steps = tuple(
                Told(**{**step, **{name: tuple(step.get(name, ())) for name in ("begun", "after", "order")}})
                for step in data["steps"]
            )
            changes = tuple(Change(*one) for one in data["changes"])
            return cls(data["rule"], data["why"], scope, changes, steps, data["design"], data["promise"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NoStory(f"it is no story of the explorer: {type(error).__name__}: {error}") from None

    def lanes(self) -> list[str]:
        """Who takes part, in the order of their first steps."""
        return list(dict.fromkeys(step.who for step in self.steps))

    def timeline(self) -> str:
        """The story as text."""
        lanes = self.lanes()
        number = len(str(len(self.steps)))
        width = max(map(len, lanes), default=0) + 2
        lines = [f"{'':{number}}  " + "".join(f"{name:{width}}" for name in lanes)]
        before: tuple[str, ...] = ()
        for place, step in enumerate(self.steps, start=1):
            mark = "✗" if step.is_fault else "●"
            row = "".join(f"{mark if name == step.who else '│':{width}}" for name in lanes)
            lines.append(f"{place:{number}}  {row}{step.words}")
            if step.after != before:
                row = "".join(f"{'│':{width}}" for _ in lanes)
                lines += [f"{'':{number}}  {row}    {line}" for line in step.after or ("(nothing is stored)",)]
            before = step.after
        lines.append(f"\nBroken: {self.promise}\n        {self.why}")
        if any(step.is_fault for step in self.steps):
            lines.append("✗ marks what went wrong in the world; the rest is what the code did with it.")
        return "\n".join(lines)


def described(contents: Contents) -> tuple[str, ...]:
    """What a server holds, a line for each job, and one for its bells."""
    found = dict(contents)
    leased, failed = dict(found.get("leased", ())), found.get("failed", ())
    leases, delayed = dict(found.get("leases", ())), dict(found.get("delayed", ()))
    deaths = {id: lines.count("\n") + 1 for id, lines in found.get("deaths", ())}
    queued = [id for key, ids in contents if key.startswith("queue:") for id in ids]
    ids = [key[4:] for key, _ in contents if key.startswith("job:")]
    lines = []
    for id in [*ids, *(id for id in dict.fromkeys([*leased, *delayed, *failed, *queued]) if id not in ids)]:
        record = str(found.get(f"job:{id}", ""))
        states = (
            [f"queued{'' if queued.index(id) == 0 else ', behind others'}"] * queued.count(id) if id in queued else []
        )
        if id in leased:
            left = leases.get(leased[id])
            how = "and no lease" if left is None else "its lease has run out" if left <= 0 else f"{left:g} s left"
            states.append(f"leased by {leased[id]}, {how}")
        if id in delayed:
            states.append(f"delayed, due in {delayed[id]:g} s" if delayed[id] > 0 else "delayed, and due")
        if id in failed:
            states.append("failed")
        if record.startswith("!"):
            states.append(record.partition("\n")[0].removeprefix("!").replace("done ", "done by "))
        died = f" (died {deaths[id]} times)" if id in deaths else ""
        lines.append(f"{name_of(id)}: {' and '.join(states) or 'in no state'}{'' if record else ', no record'}{died}")
    for claim in leases:
        if claim not in leased.values():
            lines.append(f"a lease of {claim}, which holds nothing")
    lines += [f"the bell {key[5:]} has a token" for key, _ in contents if key.startswith("bell:")]
    return tuple(lines)


def in_words(step: Step) -> str:
    """What a step is, in one line."""
    words = _arrow_in_words(step.arrow, step.answer) if step.arrow is not None else step.what
    if isinstance(step.arrow, Bell):
        words = "hears its bell"
    for note in step.notes:
        words += _NOTES[note.what].format(name_of(note.id))
    if step.order:
        words += f" (the lease of {' ran out before that of '.join(step.order)})"
    if step.begun:
        words += f", while {' and '.join(step.begun)} had just looked at the clock"
    return words


_NOTES = {
    "start": ", and starts {}",
    "stored": ": {} is stored",
    "killed": ", and kills {}",
    "cancelled": ": {} is cancelled",
    "stopped": "",
}


def _arrow_in_words(arrow: Arrow | Bell, answer: Any) -> str:
    name = type(arrow).__name__.lower()
    if isinstance(arrow, Enqueue):
        return f"{name} {', '.join(name_of(id) for id, _ in arrow.jobs)}{_unless(answer and answer[0] is True)}"
    if isinstance(arrow, Delay):
        return f"{name} {name_of(arrow.id)}{_unless(answer is True)}"
    if isinstance(arrow, Claim):
        found = answer.jobs if isinstance(answer, Claimed) else ()
        return f"{name} {arrow.claim}: {', '.join(name_of(job.id) for job in found) or 'nothing'}"
    if isinstance(arrow, Complete):
        done = zip(arrow.jobs, answer or [False] * len(arrow.jobs), strict=True)
        return f"{name} {', '.join(name_of(job.id) + _unless(counted) for job, counted in done)} under {arrow.claim}"
    if isinstance(arrow, Retry | Fail):
        return f"{name} {name_of(arrow.id)} under {arrow.claim}{_unless(answer)}"
    if isinstance(arrow, Renew):
        return f"{name} {arrow.claim}{_unless(answer)}"
    if isinstance(arrow, Release):
        return f"{name} {', '.join(map(name_of, arrow.ids)) or 'all'} of {arrow.claim}{_unless(answer)}"
    if isinstance(arrow, Reap) and isinstance(answer, Reaped):
        back = [f"{name_of(id)} back" for id in answer.back] + [f"{name_of(id)} failed" for id in answer.failed]
        return f"{name}: {', '.join(back) or 'nothing'}"
    if isinstance(arrow, Cancel):
        return f"{name} {name_of(arrow.id)}, which is {answer}"
    if isinstance(arrow, Requeue | Discard):
        return f"{name} {name_of(arrow.id)}{_unless(answer is True)}"
    if isinstance(arrow, Fire):
        return f"{name} {name_of(arrow.id)}: {answer.outcome if answer else 'no answer'}"
    if isinstance(arrow, Promote):
        return f"{name}: {answer.promoted if answer else 0}"
    return {Beat: "a sign of life", Agenda: "reads the schedule"}.get(type(arrow), name)


def _unless(counted: Any) -> str:
    return "" if counted else " (refused)"
