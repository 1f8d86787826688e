"""A story on a real server, step by step.

The same processes run the same code; their arrows are drawn on a server that begins empty and is never set to anything.
Its clock cannot be turned, so each arrow says what time it is, as the simulator's arrows do. Where the story says in
which order leases ran out, and by that clock they did at one moment, they are told apart by a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from simulate.explore import rules
from simulate.explore.actors import Trip
from simulate.explore.contents import EMPTY, NOW, Bell, Contents, LuaServer, clock_of
from simulate.explore.rules import Broken, Past
from simulate.explore.scope import Scope
from simulate.explore.story import NoStory, Story, Told, described
from simulate.explore.subject import changed

# Rules that are about who waits for whom. They hold or break in the search; a replay shows the same contents.
OF_THE_WHOLE = ("wake-up", "stranded", "kept", "missed", "drains")


class Replayed(NamedTuple):
    steps: int
    is_same: bool
    why: str


def replay(story: Story, server: LuaServer, show: Callable[[int, Told], None] = lambda n, step: None) -> Replayed:
    """Draw it all again; whether it came to the same end, and what was different if not.

    Raises NoStory for one that changes what a real server does not run.
    """
    if any(change.file == "memory_store.py" for change in story.changes):
        raise NoStory(
            "it changes memory_store.py, and a real server runs the scripts: find it with --backend lua and a change "
            "to a script"
        )
    assert isinstance(story.scope, Scope)
    processes = {process.name: process for process in story.scope.processes(changed(story.changes))}
    actors = {name: process.first() for name, process in processes.items()}
    server.set_to(EMPTY)
    before = story.scope.begin(server.draw)
    clock, past, elapsed = clock_of(before), Past(), 0.0

    def contents() -> Contents:
        return server.contents(NOW + elapsed, clock and (min(elapsed, clock[1]), clock[1]))

    for n, step in enumerate(story.steps, start=1):
        broken: Broken | None = None
        if step.who == "time":
            elapsed += step.seconds
            past = past.later(step.seconds)
            for name, process in processes.items():
                actors[name] = process.later(actors[name], step.seconds)[int(name in step.begun)]
        else:
            process, actor = processes[step.who], actors[step.who]
            fitting = [
                move
                for move in process.moves(actor)
                if move.label == step.what and (move.arrow is not None) == step.draws
            ]
            if not fitting:
                raise NoStory(f"step {n}: {step.who} cannot do this ({step.words!r}): was the code changed since?")
            move = fitting[0]
            actor = move.then
            try:
                if move.arrow is None:
                    past = rules.noted(before, past, move.notes) if move.notes else past
                for extra in range(step.silent + 1 if move.arrow is not None else 0):
                    arrow = move.arrow
                    if extra:
                        assert isinstance(actor.phase, Trip)
                        arrow = actor.phase.arrows[len(actor.phase.drawn)]
                    assert arrow is not None
                    if step.order and not extra:
                        server.have_run_out(step.order, NOW + elapsed)
                    own = float(move.stamp) - NOW if move.stamp and not extra else 0.0
                    answer = server.step(arrow, f"{NOW + elapsed + own:.6f}")
                    after = contents()
                    if not isinstance(arrow, Bell):
                        previous, before = before, after
                        past = rules.drawn(previous, past, arrow, answer, after)
                        actor = process.drawn(actor, answer)
            except Broken as found:
                broken = found
            actors[step.who] = actor
        before = contents()
        show(n, step)
        if (now := described(before)) != step.after:
            return Replayed(n, False, f"step {n}: the server holds {now}, and in the story {step.after}")
        if broken is not None:
            is_same = n == len(story.steps) and broken.rule == story.rule
            return Replayed(n, is_same, broken.why)
    is_same = story.rule in OF_THE_WHOLE
    return Replayed(len(story.steps), is_same, story.why if is_same else f"no rule broke; in the story: {story.why}")
