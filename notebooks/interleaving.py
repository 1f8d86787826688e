"""Every order in which the commands of several programs can reach one server.

A program is a function that is given `ask`; each call of it is one command, and between two of them any other program
may send its own. All orders are tried, each from the same beginning, with the real server answering.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from greenlet import greenlet

Ask = Callable[[str], Any]
Program = Callable[[Ask], Any]


class Step(NamedTuple):
    program: str
    command: str
    reply: Any


class Story(NamedTuple):
    order: str  # whose turn it was, a letter each
    steps: tuple[Step, ...]
    results: dict[str, Any]  # what each program returned


def every_interleaving(programs: Mapping[str, Program], server: Ask, begin: Callable[[], object]) -> Iterator[Story]:
    """All of them, in alphabetical order. `begin` makes the server what it is before each."""
    order: list[str] | None = []
    while order is not None:
        begin()
        choices, story = _play(programs, server, order)
        yield story
        order = _next(choices, [step.program for step in story.steps])


def _play(programs: Mapping[str, Program], server: Ask, order: Sequence[str]) -> tuple[list[list[str]], Story]:
    """Follows the order as far as it goes and takes whoever comes first from there; who could have gone, at each."""
    loop = greenlet.getcurrent()
    results: dict[str, Any] = {}
    asked: dict[str, str] = {}  # what each program that still runs wants to send

    def body(name: str) -> Callable[[], None]:
        def run() -> None:
            results[name] = programs[name](lambda command: loop.switch((name, command)))

        return run

    running = {name: greenlet(body(name), loop) for name in programs}

    def go_on(name: str, *reply: Any) -> None:
        found = running[name].switch(*reply)
        asked.pop(name, None)
        if not running[name].dead:
            asked[name] = found[1]

    for name in programs:
        go_on(name)
    choices: list[list[str]] = []
    steps: list[Step] = []
    while asked:
        choices.append(sorted(asked))
        name = order[len(steps)] if len(steps) < len(order) else choices[-1][0]
        command = asked[name]
        reply = server(command)
        steps.append(Step(name, command, reply))
        go_on(name, reply)
    return choices, Story("".join(step.program for step in steps), tuple(steps), results)


def _next(choices: Sequence[Sequence[str]], order: list[str]) -> list[str] | None:
    """The order after this one; None when it was the last."""
    for place in range(len(order) - 1, -1, -1):
        later = [name for name in choices[place] if name > order[place]]
        if later:
            return [*order[:place], later[0]]
    return None
