"""The product of a rung's processes and what they share, breadth-first.

A state is a short tuple of numbers, each of which stands for a value in a table: what is shared and remembered, where
each process is, which faults are left. The search goes on when a rule has broken, until it has found a shortest story
of each rule that it was asked about, or has seen everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from simulate.explore.ladder import rules
from simulate.explore.ladder.known import RUNGS
from simulate.explore.ladder.programs import FOREVER, Program, Stop
from simulate.explore.ladder.rules import PRODUCER, UPKEEP, WORKER, Broken, Past, Place
from simulate.explore.ladder.rungs import Cast, Rung
from simulate.explore.ladder.scope import Scope
from simulate.explore.ladder.servers import Contents

_LOOK_UP_EVERY = 1024  # states
_LONGEST_ROUND = 40  # steps of what goes on for ever, in a story

Progress = Callable[[int, int, int, int], str]
"""Told of states, transitions, the states that are still to be looked at, and the depth; answers why to stop, or ""."""


class Actor(NamedTuple):
    """A process as it is now."""

    incarnation: int
    node: int
    stands_still: bool = False
    sent_again: bool = False


class Edge(NamedTuple):
    """What a process may do in one world."""

    label: str
    world: int
    actor: int
    cost: int
    is_fault: bool
    broken: tuple[Broken, ...]
    stop: Stop | None = None
    """The step on the server, when it is one."""
    and_so: str = ""
    """What comes of it at once, in words."""
    is_cut: bool = False
    kills_all: bool = False


class Step(NamedTuple):
    """One step of a story."""

    who: str
    label: str
    words: str
    """The same, and what comes of it at once."""
    is_fault: bool
    stop: Stop | None
    seconds: float
    after: Contents
    past: Past


class Failure(NamedTuple):
    """A rule that did not hold, and a shortest story of it."""

    rule: str
    why: str
    steps: tuple[Step, ...]


@dataclass
class Result:
    states: int = 0
    transitions: int = 0
    contents: int = 0
    deepest: int = 0
    is_whole: bool = True
    """Whether all that the scope allows was searched, or each rule has broken."""
    why_not: str = ""
    failures: dict[str, Failure] = field(default_factory=dict)


_State = tuple[int, ...]
_CRASH, _ERROR, _PAUSE, _CUT = 1, 8, 64, 512
_MASKS = {0: 0, _CRASH: 7, _ERROR: 7 << 3, _PAUSE: 7 << 6, _CUT: 7 << 9}
_DISK = "disk"


class Search:
    """One design, one scope."""

    def __init__(self, rung: Rung, scope: Scope, *, goes_round: bool = True) -> None:
        self.rung = rung
        self.scope = scope
        self.cast: list[Cast] = rung.cast(scope.workers, scope.jobs)
        if scope.cuts:
            self.cast.append(Cast(_DISK, _DISK, lambda io, name: None))
        anywhere = {"call"} if scope.anywhere else set[str]()
        self._pausing = {WORKER: {"work", "watch"} | anywhere, UPKEEP: {"sleep"} | anywhere}
        """The kinds of stops at which a process may stand still."""
        self._goes_round = goes_round
        """False: histories never end, so that a test can compare."""
        self._programs: dict[tuple[int, int], Program] = {}
        self._worlds: list[tuple[Contents, Past]] = []
        self._world_numbers: dict[tuple[Contents, Past], int] = {}
        self._actors: list[list[Actor]] = [[] for _ in self.cast]
        self._actor_numbers: list[dict[Actor, int]] = [{} for _ in self.cast]
        self._contents: list[Contents] = []
        self._content_numbers: dict[Contents, int] = {}
        self._edges: list[dict[tuple[int, int], tuple[Edge, ...]]] = [{} for _ in self.cast]
        self._steps: dict[tuple[Contents, Stop], tuple[Contents, Any]] = {}
        self._places: dict[Contents, dict[int, Place]] = {}
        self._settled: dict[_State, tuple[Broken, ...]] = {}

    # Tables.

    def program(self, place: int, incarnation: int) -> Program:
        found = self._programs.get((place, incarnation))
        if found is None:
            one = self.cast[place]
            is_named = one.role == WORKER and incarnation > 1
            name = f"{one.name}-{incarnation}" if is_named else one.name
            found = self._programs[place, incarnation] = Program(
                name,
                one.under(name),
                rounds=one.rounds if self._goes_round else {},
                holds_time=one.holds_time,
                longest=one.longest,
            )
        return found

    def _world(self, contents: Contents, past: Past) -> int:
        number = self._world_numbers.setdefault((contents, past), len(self._worlds))
        if number == len(self._worlds):
            self._worlds.append((contents, past))
        return number

    def _actor(self, place: int, actor: Actor) -> int:
        numbers = self._actor_numbers[place]
        number = numbers.setdefault(actor, len(numbers))
        if number == len(self._actors[place]):
            self._actors[place].append(actor)
        return number

    def places(self, contents: Contents) -> dict[int, Place]:
        found = self._places.get(contents)
        if found is None:
            found = self._places[contents] = self.rung.places(contents)
        return found

    def _stop(self, place: int, actor: Actor) -> Stop:
        return self.program(place, actor.incarnation).nodes[actor.node].stop

    def _stepped(self, contents: Contents, stop: Stop) -> tuple[Contents, Any]:
        found = self._steps.get((contents, stop))
        if found is None:
            found = self._steps[contents, stop] = self.rung.server.step(contents, stop)
        return found

    def held(self, state: _State) -> tuple[Contents, Past]:
        """What is shared in a state, and what is remembered beside it."""
        return self._worlds[state[0]]

    def answer(self, state: _State, stop: Stop) -> Any:
        """What the server answers to a step in a state."""
        return self._stepped(self._worlds[state[0]][0], stop)[1]

    # What may happen.

    def edges(self, state: _State, place: int) -> tuple[Edge, ...]:
        """All that a process may do by itself."""
        world, number = state[0], state[place + 1]
        found = self._edges[place].get((world, number))
        if found is None:
            actor = self._actors[place][number]
            if self.cast[place].role == _DISK:
                found = self._edges[place][world, number] = tuple(self._of_disk(place, world, actor))
                return found
            stop = self._stop(place, actor)
            if stop.kind == "ask" and not actor.stands_still:
                return self._asking(state, place, actor, stop)
            found = self._edges[place][world, number] = tuple(self._moves(place, world, actor, stop))
        return found

    def _moves(self, place: int, world: int, actor: Actor, stop: Stop) -> list[Edge]:
        contents, past = self._worlds[world]
        program = self.program(place, actor.incarnation)
        name, role = program.name, self.cast[place].role
        found: list[Edge] = []
        if actor.stands_still:
            going = self._actor(place, actor._replace(stands_still=False))
            found.append(Edge("goes on where it was", world, going, 0, False, ()))
        elif stop.kind == "call" or (stop.kind == "block" and self.rung.server.is_ready(contents, stop)):
            after, answer = self._stepped(contents, stop)
            then, broken = rules.stepped(self.places(contents), self.places(after), past, name, role)
            broken += self.rung.broken(contents, after)
            words = self.rung.in_words(stop, answer)
            if not actor.sent_again and self.rung.has_connections and self.scope.errors:
                again = self._actor(place, actor._replace(sent_again=True))
                label = f"{words}, hears nothing, and is going to send it again"
                found.append(Edge(label, self._world(after, then), again, _ERROR, True, tuple(broken), stop))
            edge = self._heard(place, after, then, actor, answer, words, broken)
            found.insert(0, edge._replace(stop=stop))
        elif stop.kind in ("sleep", "block") and stop.rest <= 0:
            found.append(self._heard(place, contents, past, actor, None, "wakes up", []))
        elif stop.kind in ("work", "watch"):
            found += self._ends_of_work(place, world, actor, stop)
        if role == self.scope.struck and stop.kind != "end" and not actor.stands_still:
            if self.scope.crashes and actor.node != program.first:
                found.append(self._crash(place, world, actor, "is killed, and started again", _CRASH))
            if self.scope.pauses and stop.kind in self._pausing[role]:
                still = self._actor(place, actor._replace(stands_still=True))
                found.append(Edge("stands still for a long time", world, still, _PAUSE, True, ()))
        return found

    def _of_disk(self, place: int, world: int, actor: Actor) -> list[Edge]:
        """The server's disk, which is behind the server; and a power cut, after which it is all there is."""
        contents, past = self._worlds[world]
        kept = contents if self.rung.server.is_synced else self._contents[actor.node]
        then, broken = rules.cut(self.places(kept), past)
        cut = Edge(
            "the power is cut: the server comes back with what was on its disk",
            self._world(kept, then), self._actor(place, actor._replace(node=self._content(kept))), _CUT, True,
            tuple(broken), is_cut=True,
        )  # fmt: skip
        if kept == contents:
            return [cut]
        written = self._actor(place, actor._replace(node=self._content(contents)))
        return [cut, Edge("has written all so far", world, written, 0, False, ())]

    def _content(self, contents: Contents) -> int:
        number = self._content_numbers.setdefault(contents, len(self._contents))
        if number == len(self._contents):
            self._contents.append(contents)
        return number

    def _heard(
        self, place: int, contents: Contents, past: Past, actor: Actor, answer: Any, words: str, broken: list[Broken]
    ) -> Edge:
        program = self.program(place, actor.incarnation)
        node, notes = program.after(actor.node, answer)
        if notes:
            past, more = rules.noted(self.places(contents), past, notes, program.name)
            broken = broken + more
        and_so = "".join(
            f", and starts job {note.job}" if note.what == "start" else f": job {note.job} is stored" for note in notes
        )
        then = self._actor(place, Actor(actor.incarnation, node))
        return Edge(words, self._world(contents, past), then, 0, False, tuple(broken), and_so=and_so)

    def _ends_of_work(self, place: int, world: int, actor: Actor, stop: Stop) -> list[Edge]:
        contents, past = self._worlds[world]
        [job] = stop.arguments
        name, kind = self.program(place, actor.incarnation).name, self.scope.jobs[job - 1]
        found = []
        if kind == "poison":
            found.append(self._crash(place, world, actor, f"is killed by job {job}, and started again", 0))
        elif kind == "unknown":
            past = rules.ended(past, job, name, well=False)
            label = f"does not know the class of job {job}: it ends in an error"
            found.append(self._heard(place, contents, past, actor, "error", label, []))
        else:
            past = rules.ended(past, job, name, well=True)
            found.append(self._heard(place, contents, past, actor, "done", f"has job {job} done", []))
        if stop.kind == "watch" and stop.rest <= 0:
            label = f"looks up: job {job} goes on"
            found.append(self._heard(place, contents, self._worlds[world][1], actor, False, label, []))
        return found

    def _crash(self, place: int, world: int, actor: Actor, label: str, cost: int) -> Edge:
        contents, past = self._worlds[world]
        incarnation = actor.incarnation + 1
        then = self._actor(place, Actor(incarnation, self.program(place, incarnation).first))
        if self.rung.is_one_program:
            past, broken = rules.all_died(past)
            label = label.replace("is killed", "is killed, and with it the whole program", 1)
            world = self._world(self.rung.server.empty, past)
            return Edge(label, world, then, cost, True, tuple(broken), kills_all=True)
        past = rules.died(past, self.program(place, actor.incarnation).name)
        return Edge(label, self._world(contents, past), then, cost, True, ())

    def then(self, state: _State, place: int, edge: Edge) -> _State:
        """The state that a move leads to."""
        actors = [*state[1 : place + 1], edge.actor, *state[place + 2 : -1]]
        if edge.kills_all:
            for other, one in enumerate(self.cast):
                if other != place and one.role in (WORKER, UPKEEP):
                    incarnation = self._actors[other][actors[other]].incarnation + 1
                    first = self.program(other, incarnation).first
                    actors[other] = self._actor(other, Actor(incarnation, first))
        return (edge.world, *actors, state[-1] - edge.cost)

    def _asking(self, state: _State, place: int, actor: Actor, stop: Stop) -> tuple[Edge, ...]:
        """Whether a process lives is known to the machine that they share."""
        contents, past = self._worlds[state[0]]
        [name] = stop.arguments
        alive = any(
            self.cast[other].role != _DISK and self.program(other, values[number].incarnation).name == name
            for other, (values, number) in enumerate(zip(self._actors, state[1:-1], strict=True))
        )
        label = f"asks whether {name} lives: {'yes' if alive else 'no'}"
        found = [self._heard(place, contents, past, actor, alive, label, [])]
        if self.scope.crashes and self.cast[place].role == self.scope.struck:
            found.append(self._crash(place, state[0], actor, "is killed, and started again", _CRASH))
        return tuple(found)

    def later(self, state: _State) -> tuple[float, _State] | None:
        """How long all wait, and what is then; None when somebody has something to do, or nothing is awaited."""
        rests = []
        for place, number in enumerate(state[1:-1]):
            actor = self._actors[place][number]
            if actor.stands_still or self.cast[place].role == _DISK:
                continue
            stop = self._stop(place, actor)
            if stop.kind == "work" and self.scope.jobs[stop.arguments[0] - 1] == "delayed":
                return None
            if stop.kind in ("call", "ask") or (stop.kind in ("sleep", "watch") and stop.rest <= 0):
                return None
            if stop.kind == "block" and (stop.rest <= 0 or self.rung.server.is_ready(self._worlds[state[0]][0], stop)):
                return None
            if 0 < stop.rest < FOREVER:
                rests.append(stop.rest)
        if not rests:
            return None
        seconds = min(rests)
        contents, past = self._worlds[state[0]]
        if self.rung.is_over(contents):
            return None
        contents = self.rung.server.later(contents, seconds)
        actors = []
        for place, number in enumerate(state[1:-1]):
            actor = self._actors[place][number]
            if self.cast[place].role == _DISK:  # at least once a second it writes
                actors.append(self._actor(place, actor._replace(node=self._content(contents))))
                continue
            node = self.program(place, actor.incarnation).later(actor.node, seconds)
            actors.append(self._actor(place, actor._replace(node=node)))
        return seconds, (self._world(contents, past), *actors, state[-1])

    # The search.

    def first(self) -> _State:
        scope = self.scope
        faults = scope.crashes * _CRASH + scope.errors * _ERROR + scope.pauses * _PAUSE + scope.cuts * _CUT
        actors = []
        for place, one in enumerate(self.cast):
            node = self._content(self.rung.server.empty) if one.role == _DISK else self.program(place, 1).first
            actors.append(self._actor(place, Actor(1, node)))
        return (self._world(self.rung.server.empty, ()), *actors, faults)

    def run(
        self,
        rule_names: Sequence[str] = tuple(rules.RULES),
        limit: int = 2_000_000,
        progress: Progress | None = None,
        first_only: bool = False,
    ) -> Result:
        """All that the scope allows; or until each of the rules has broken (the first of them, if that will do), or
        there are too many states."""
        result, wanted = Result(), set(rule_names)
        first = self.first()
        came_from: dict[_State, tuple[_State, int, int] | None] = {first: None}
        frontier = [first]
        settles = bool(wanted & {"lost", "drains", "slot missed"})
        while frontier and wanted:
            following: list[_State] = []
            for done, state in enumerate(frontier):
                left, is_busy = state[-1], False
                for place in range(len(self.cast)):
                    head, tail = state[1 : place + 1], state[place + 2 : -1]
                    for n, edge in enumerate(self.edges(state, place)):
                        if edge.cost and not left & _MASKS[edge.cost]:
                            continue
                        is_busy = is_busy or not (edge.is_fault or self.cast[place].role == _DISK)
                        if edge.kills_all:
                            then = self.then(state, place, edge)
                        else:
                            then = (edge.world, *head, edge.actor, *tail, left - edge.cost)
                        result.transitions += 1
                        for rule, why in edge.broken:
                            if rule in wanted:
                                wanted.discard(rule)
                                steps = self._story(came_from, state, (place, n))
                                result.failures[rule] = Failure(rule, why, steps)
                        if then not in came_from:
                            came_from[then] = (state, place, n)
                            following.append(then)
                if not is_busy and "wake-up" in wanted and (why := self._unheard(state)):
                    wanted.discard("wake-up")
                    result.failures["wake-up"] = Failure("wake-up", why, self._story(came_from, state))
                time = self.later(state)
                if time is not None:
                    result.transitions += 1
                    if time[1] not in came_from:
                        came_from[time[1]] = (state, -1, 0)
                        following.append(time[1])
                if settles:
                    for rule, why in self.in_the_end(state):
                        if rule in wanted and (rule != "lost" or self._is_lost(state)):
                            wanted.discard(rule)
                            steps = self._story(came_from, state)
                            result.failures[rule] = Failure(rule, why, steps + self._for_ever(rule, state))
                if not wanted or (first_only and result.failures):
                    wanted.clear()
                    break
                if not done % _LOOK_UP_EVERY:
                    why = f"it was ended at {len(came_from):,} states" if len(came_from) > limit else ""
                    if not why and progress is not None:
                        why = progress(
                            len(came_from), result.transitions, len(frontier) - done + len(following), result.deepest
                        )
                    if why:
                        result.is_whole, result.why_not, wanted = False, why, set()
                        break
            if following:
                result.deepest += 1
            frontier = following
        result.states = len(came_from)
        result.contents = len({contents for contents, _ in self._worlds})
        return result

    def _unheard(self, state: _State) -> str:
        """Who sleeps while a job is ready for him, when nobody has anything to do."""
        contents, _ = self._worlds[state[0]]
        ready = [job for job, place in self.places(contents).items() if place.queued and not place.due]
        for place, number in enumerate(state[1:-1]):
            actor = self._actors[place][number]
            if self.cast[place].role == _DISK:
                continue
            stop = self._stop(place, actor)
            if ready and stop.kind == "block" and not actor.stands_still:
                return f"job {ready[0]} is ready, and {self.program(place, actor.incarnation).name} sleeps on"
        return ""

    # Once faults stop.

    def calm_step(self, state: _State) -> tuple[_State, int, int] | None:
        """What happens next when nothing goes wrong; None when nothing more happens."""
        for place in range(len(self.cast)):
            for n, edge in enumerate(self.edges(state, place)):
                if not edge.cost and self.cast[place].role != _DISK:
                    return self.then(state, place, edge), place, n
        time = self.later(state)
        return None if time is None else (time[1], -1, 0)

    def in_the_end(self, state: _State) -> tuple[Broken, ...]:
        """What breaks when from here on nothing goes wrong any more."""
        path: dict[_State, None] = {}
        here = (*state[:-1], 0)
        while here not in self._settled and here not in path:
            path[here] = None
            step = self.calm_step(here)
            if step is None:
                break
            here = step[0]
        found = self._settled.get(here)
        if found is None:
            contents, past = self._worlds[here[0]]
            found = (*rules.in_the_end(self.places(contents), past), *self.rung.broken_in_the_end(contents))
        for one in path:
            self._settled[one] = found
        return found

    def _is_lost(self, state: _State) -> bool:
        """Whether a job that will never be done is gone already: on no server, and in nobody's hand."""
        contents, past = self._worlds[state[0]]
        places = self.places(contents)
        return any(
            one.stored and not one.ran and not one.at_it and not places.get(job, rules.NOWHERE).is_anywhere()
            for job, one in past
        )

    def _for_ever(self, rule: str, state: _State) -> tuple[Step, ...]:
        """What goes on without end, as far as a story needs it."""
        found: list[Step] = []
        seen = {state}
        while (
            rule in ("drains", "slot missed")
            and len(found) < _LONGEST_ROUND
            and (step := self.calm_step(state)) is not None
        ):
            found.append(self._step(state, step[1], step[2]))
            state = step[0]
            if state in seen:
                break
            seen.add(state)
        return tuple(found)

    # Stories.

    def _story(
        self,
        came_from: dict[_State, tuple[_State, int, int] | None],
        state: _State,
        last: tuple[int, int] | None = None,
    ) -> tuple[Step, ...]:
        moves: list[tuple[_State, int, int]] = [] if last is None else [(state, *last)]
        while (before := came_from[state]) is not None:
            moves.append(before)
            state = before[0]
        return tuple(self._step(*move) for move in reversed(moves))

    def _step(self, state: _State, place: int, n: int) -> Step:
        if place < 0:
            time = self.later(state)
            assert time is not None
            contents, past = self._worlds[time[1][0]]
            words = f"{time[0]:g} seconds pass"
            return Step("time", words, words, False, None, time[0], contents, past)
        edge = self.edges(state, place)[n]
        contents, past = self._worlds[edge.world]
        words = edge.label + edge.and_so
        return Step(self.cast[place].name, edge.label, words, edge.is_fault, edge.stop, 0.0, contents, past)


def searched(design: str, scope: Scope, rule_names: Sequence[str] = tuple(rules.RULES), **more: Any) -> Result:
    """One search of a design of that name."""
    return Search(RUNGS[design](), scope).run(rule_names, **more)


__all__ = ["PRODUCER", "UPKEEP", "WORKER", "Failure", "Result", "Scope", "Search", "Step", "searched"]
