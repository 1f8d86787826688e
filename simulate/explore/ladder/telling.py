"""A failure of a rung as a story, of the same form as those of minique."""

from __future__ import annotations

from simulate.explore.ladder.rules import NOWHERE, RULES, Known, Past, Place
from simulate.explore.ladder.rungs import Rung
from simulate.explore.ladder.scope import Scope
from simulate.explore.ladder.search import Failure
from simulate.explore.ladder.servers import Contents
from simulate.explore.story import Story, Told


def story_of(rung: Rung, scope: Scope, failure: Failure) -> Story:
    """The same steps, with what the server holds after each of them in words."""
    steps = tuple(
        Told(
            step.who,
            step.label,
            step.words,
            step.is_fault,
            step.stop is not None,
            step.seconds,
            (),
            0,
            described(rung, step.after, step.past),
        )
        for step in failure.steps
    )
    return Story(failure.rule, failure.why, scope, (), steps, rung.name, RULES[failure.rule])


def described(rung: Rung, contents: Contents, past: Past) -> tuple[str, ...]:
    """What a server holds, a line for each job."""
    known, places = dict(past), rung.places(contents)
    return tuple(
        f"{rung.thing} {job}: {_where(places.get(job, NOWHERE), known.get(job, Known()))}"
        for job in sorted(places.keys() | known.keys())
    )


def _where(place: Place, known: Known) -> str:
    often = f" {place.queued} times" if place.queued > 1 else ""
    states = [f"queued{often}" if place.due <= 0 else f"waits, due in {place.due:g} s{often}"] if place.queued else []
    states += [place.words] if place.words else [f"held by {name}" for name in place.held]
    states += ["filed as failed"] * place.failed if not place.words else []
    if place.done is not None and not place.words:
        states.append("done")
    if states:
        return " and ".join(states)
    return "gone, for it is done" if known.ran else "nowhere"
