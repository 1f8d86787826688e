"""The product of all processes and the server: what a state is, what can happen in it, and what time does to it.

A state of the system is one number, made of numbers: of what the server holds (with what the rules remember beside it)
and of each process. Every number stands for a value in a table. What a process can do in a given state of the server
is worked out once, and remembered; so is what an arrow does to what a server holds.

States that differ in names alone may be made one (`reduce.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations, product
from typing import Any, NamedTuple

from minique.store import Arrow, Beat, Forget, Reap
from simulate.explore import rules
from simulate.explore.actors import Actor, Move, Note, Rest, Trip, frozen, name_of
from simulate.explore.contents import STAMP, Bell, Contents, Draw, elapsed, later, runs_out
from simulate.explore.reduce import in_other_words, moved, orders, settled
from simulate.explore.rules import Broken, Past
from simulate.explore.scope import MASKS, UNITS, Scope
from simulate.explore.subject import Subject
from simulate.explore.workers import WorkerProcess

QUIET_SECONDS = 6.0
"""So long all may wait: a lease of ten seconds survives it once, and is due to be renewed."""
PAUSE_SECONDS = 12.0
"""So long somebody does not come to what he has to do: no lease survives it, nor a producer's patience, nor the time
for which it is remembered that a job is over."""

WORLD_BITS, _ACTOR_BITS = 28, 20
WORLD, ACTOR = (1 << WORLD_BITS) - 1, (1 << _ACTOR_BITS) - 1
"""The parts of the number that a state is."""


class Option(NamedTuple):
    """A move, in numbers."""

    move: Move
    arrow: int
    notes: int
    then: int
    mask: int
    unit: int


class Played(NamedTuple):
    """What became of a move."""

    world: int
    actor: int
    answer: int = 0
    silent: int = 0
    order: tuple[str, ...] = ()


class Edge(NamedTuple):
    delta: int
    """What to add to a state to have the next one. 0 with `breaks`."""
    mask: int
    unit: int
    breaks: tuple[int, int, int, int] | None = None
    """The key of what broke, in `_broken`."""


class System:
    """One scope, one subject, one kind of server."""

    def __init__(
        self, scope: Scope, subject: Subject, draw: Draw, every_arrow: bool = False, reduced: bool = True
    ) -> None:
        self.scope = scope
        self.every_arrow = every_arrow
        """Whether even arrows that change nothing are steps of their own."""
        self.reduced = reduced
        """Whether states that differ in names alone are one."""
        self.processes = scope.processes(subject)
        self._planned = scope.planned()
        self.subject = subject
        self.draw = draw
        places = range(len(self.processes))
        self._shifts = tuple(WORLD_BITS + _ACTOR_BITS * place for place in places)
        workers = [place for place in places if self.processes[place].kind == "worker"]
        may_swap = reduced and all(self.processes[place].is_named_as_told for place in workers)
        self._alike = tuple(workers) if may_swap and len(workers) > 1 else ()
        """The workers that may change places. What they can do is worked out for the first of them."""
        self._home = tuple(self._alike[0] if place in self._alike else place for place in places)
        self._worlds: list[tuple[Contents, Past]] = []
        self._world_numbers: dict[tuple[Contents, Past], int] = {}
        self._actors: list[list[Actor]] = [[] for _ in places]
        self._actor_numbers: list[dict[Actor, int]] = [{} for _ in places]
        self._options: list[dict[int, list[Option]]] = [{} for _ in places]
        self._contents: dict[Contents, int] = {}
        # With their types: as tuples, a Promote of a thousand and a Forget of a thousand are equal.
        self._arrows: dict[tuple[type, Arrow | Bell, str], int] = {}
        self._arrow_values: list[tuple[type, Arrow | Bell, str]] = []
        self._answers: dict[Any, int] = {}
        self._answer_values: list[Any] = []
        self._notes: dict[tuple[Note, ...], int] = {}
        self._worlds_drawn: dict[tuple[int, int], list[tuple[int, int, tuple[str, ...]]]] = {}
        self._worlds_noted: dict[tuple[int, int], int] = {}
        self._with_answers: list[dict[tuple[int, int], int]] = [{} for _ in places]
        self._silent: list[dict[int, int]] = [{} for _ in places]
        self._settled: list[dict[tuple[int, int], tuple[int, int]]] = [{} for _ in places]
        self._moved: dict[tuple[int, tuple[int, ...]], int] = {}
        self._edges: list[dict[int, tuple[Edge, ...]]] = [{} for _ in places]
        self._broken: dict[tuple[int, int, int, int], Broken] = {}
        self._draws: dict[tuple[int, type, Arrow | Bell, str], tuple[Contents, Any]] = {}
        self._later_worlds: dict[tuple[int, float], tuple[int, bool]] = {}
        self._later_actors: list[dict[tuple[int, float], tuple[int, ...]]] = [{} for _ in places]
        self._rests: list[dict[int, int]] = [{} for _ in places]
        # Of each world, as bits: 1 nothing is under way; 2 a job waits to be claimed; 4 nothing can ever happen.
        self._rest: list[int] = []
        self._may = {"": True, "crash": scope.crashes > 0, "error": scope.errors > 0, "stop": scope.stops > 0}

    # Tables.

    def world(self, contents: Contents, past: Past) -> int:
        """Raises Broken for contents in which a job has no state, or two."""
        key = (contents, past)
        number = self._world_numbers.get(key)
        if number is None:
            is_at_rest = rules.is_at_rest(contents) and self._all_fired(past)
            bits = (is_at_rest, rules.is_waiting(contents), rules.is_over(contents))
            self._rest.append(sum(int(holds) << n for n, holds in enumerate(bits)))
            number = self._world_numbers[key] = len(self._worlds)
            assert number < WORLD, "more states of the server than there is room for"
            self._worlds.append(key)
        return number

    def actor(self, place: int, actor: Actor) -> int:
        home = self._home[place]
        numbers = self._actor_numbers[home]
        number = numbers.get(actor)
        if number is None:
            number = numbers[actor] = len(numbers)
            assert number < ACTOR, "more states of a process than there is room for"
            self._actors[home].append(actor)
        return number

    def state(self, world: int, actors: Sequence[int]) -> int:
        return world + sum(actor << shift for actor, shift in zip(actors, self._shifts, strict=True))

    def parts(self, state: int) -> tuple[int, list[int]]:
        """The world of a state, and its actors."""
        return state & WORLD, [state >> shift & ACTOR for shift in self._shifts]

    @property
    def worlds(self) -> int:
        """How many states of the server are known."""
        return len(self._worlds)

    def values(self, state: int) -> tuple[Contents, Past]:
        return self._worlds[state & WORLD]

    def value_of(self, place: int, actor: int) -> Actor:
        return self._actors[self._home[place]][actor]

    def contents_of(self, state: int) -> Contents:
        return self._worlds[state & WORLD][0]

    def first(self) -> int:
        actors = [self.actor(place, self.processes[self._home[place]].first()) for place in range(len(self.processes))]
        return self.in_order(self.state(self.world(self.scope.begin(self.draw), Past()), actors))

    def options_of(self, place: int, actor: int) -> list[Option]:
        home = self._home[place]
        options = self._options[home].get(actor)
        if options is None:
            process = self.processes[home]
            options = self._options[home][actor] = [
                Option(
                    move,
                    -1
                    if move.arrow is None
                    else self._number(self._arrows, (type(move.arrow), move.arrow, move.stamp)),
                    self._number(self._notes, move.notes) if move.notes else -1,
                    self.actor(home, move.then),
                    MASKS[move.cost],
                    UNITS[move.cost],
                )
                for move in process.moves(self._actors[home][actor])
                if self._may[move.cost]
            ]
        return options

    def _number(self, table: dict[Any, int], value: Any) -> int:
        return table.setdefault(value, len(table))

    def is_possible(self, place: int, world: int, option: Option) -> bool:
        """Whether the move can be made: nobody hears a bell that is silent."""
        return not isinstance(option.move.arrow, Bell) or bool(self.play(place, world, option))

    def play(self, place: int, world: int, option: Option) -> list[Played]:
        """What may become of one move in one world; nothing when it cannot be made. Raises Broken.

        The world is seen by the process at this place; one of those that are alike sees it as the first of them.
        """
        home = self._home[place]
        then = option.then
        if option.notes >= 0:
            return [Played(*self._settle(home, self._noted(world, option.notes), then))]
        if option.arrow < 0:
            return [Played(*self._settle(home, world, then))]
        found = []
        for after, answer, order in self._drawn(world, option.arrow):
            if isinstance(option.move.arrow, Bell):
                if self._answer_values[answer]:
                    found.append(Played(after, then, answer))
                continue
            told, silent = self._silently(home, after, self._with_answer(home, then, answer))
            found.append(Played(*self._settle(home, after, told), answer, silent, order))
        return found

    def _settle(self, home: int, world: int, actor: int) -> tuple[int, int]:
        """The same, with claims counted anew."""
        if not self.reduced:
            return world, actor
        key = (world, actor)
        found = self._settled[home].get(key)
        if found is None:
            before = self._worlds[world]
            contents, past, value = settled(*before, self.processes[home], self._actors[home][actor])
            found = self._settled[home][key] = (self.world(contents, past), self.actor(home, value))
        return found

    def _silently(self, place: int, world: int, actor: int) -> tuple[int, int]:
        """The actor with the answers to the arrows that come next and change nothing; and how many those were.

        They are a sign of life, and a look for leases mostly. Nobody can make a lease overdue or a result old, only
        time can, so it makes no difference who acts before them. What is left out are pauses directly before a look
        that finds nothing.
        """
        count = 0
        while not self.every_arrow and (silent := self._silent_arrow(place, actor)) >= 0:
            try:
                outcomes = self._drawn(world, silent)
            except Broken:
                break  # a step of its own, then, which will be the last of its story
            if len(outcomes) > 1 or outcomes[0][0] != world:
                break
            actor = self._with_answer(place, actor, outcomes[0][1])
            count += 1
        return actor, count

    def _silent_arrow(self, place: int, actor: int) -> int:
        """The number of the arrow that it draws next, if that is one that mostly changes nothing; or -1."""
        found = self._silent[place].get(actor)
        if found is None:
            found, phase = -1, self._actors[place][actor].phase
            if isinstance(phase, Trip) and 0 < len(phase.drawn) < len(phase.arrows):
                next_arrow = phase.arrows[len(phase.drawn)]
                if isinstance(next_arrow, Beat | Reap | Forget):
                    found = self._number(self._arrows, (type(next_arrow), next_arrow, ""))
            self._silent[place][actor] = found
        return found

    def _with_answer(self, place: int, actor: int, answer: int) -> int:
        key = (actor, answer)
        found = self._with_answers[place].get(key)
        if found is None:
            then = self.processes[place].drawn(self._actors[place][actor], self._answer_values[answer])
            found = self._with_answers[place][key] = self.actor(place, then)
        return found

    def _noted(self, world: int, notes: int) -> int:
        key = (world, notes)
        found = self._worlds_noted.get(key)
        if found is None:
            contents, past = self._worlds[world]
            value = list(self._notes)[notes]
            found = self._worlds_noted[key] = self.world(contents, rules.noted(contents, past, value))
        return found

    def _drawn(self, world: int, arrow: int) -> list[tuple[int, int, tuple[str, ...]]]:
        """What an arrow may do in a world: the next one, the number of the answer, the order of leases. Raises Broken.

        More than one only where several leases have run out: it is tried in each order.
        """
        key = (world, arrow)
        found = self._worlds_drawn.get(key)
        if found is None:
            contents, past = self._worlds[world]
            if arrow >= len(self._arrow_values):
                self._arrow_values = list(self._arrows)
            kind, drawn, stamp = self._arrow_values[arrow]
            found, seen = [], set()
            for order, ordered in orders(contents) if kind is Reap else [((), contents)]:
                after, answer = self._draw_once(ordered, drawn, stamp)
                then = self.world(after, rules.drawn(contents, past, drawn, answer, after))
                number = self._number(self._answers, (type(answer), frozen(answer)))
                if number == len(self._answer_values):
                    self._answer_values.append(frozen(answer))
                if (then, number) not in seen:
                    seen.add((then, number))
                    found.append((then, number, order))
            self._worlds_drawn[key] = found
        return found

    def _draw_once(self, contents: Contents, arrow: Arrow | Bell, stamp: str) -> tuple[Contents, Any]:
        """What is remembered beside the contents makes no difference to the server."""
        number = self._number(self._contents, contents)
        key = (number, type(arrow), arrow, stamp)
        found = self._draws.get(key)
        if found is None:
            found = self._draws[key] = self.draw(contents, arrow, stamp or STAMP)
        return found

    def _edges_of(self, place: int, world: int, actor: int) -> tuple[Edge, ...]:
        """What a process can do in a world."""
        home = self._home[place]
        swap = tuple(home if one == place else place if one == home else one for one in self._alike)
        seen = self._in_other_places(world, swap)
        found: list[Edge] = []
        for n, option in enumerate(self.options_of(home, actor)):
            try:
                outcomes = self.play(home, seen, option)
            except Broken as broken:
                self._broken[home, seen, actor, n] = broken
                found.append(Edge(0, option.mask, option.unit, (home, seen, actor, n)))
                continue
            for one in outcomes:
                delta = self._in_other_places(one.world, swap) - world + (one.actor - actor << self._shifts[place])
                found.append(Edge(delta, option.mask, option.unit))
        edges = tuple(dict.fromkeys(found))  # some ways to fail lead to the same
        self._edges[place][world | actor << WORLD_BITS] = edges
        return edges

    def answer(self, number: int) -> Any:
        return self._answer_values[number]

    def draw_broken(self, world: int, option: Option) -> tuple[Contents, Any, tuple[str, ...]]:
        """What an arrow that breaks a rule left on the server, its answer, and the order of leases that it was."""
        contents, past = self._worlds[world]
        move = option.move
        assert move.arrow is not None
        ways = list(orders(contents)) if isinstance(move.arrow, Reap) else [((), contents)]
        for order, ordered in ways:
            after, answer = self._draw_once(ordered, move.arrow, move.stamp)
            try:
                rules.drawn(contents, past, move.arrow, answer, after)
            except Broken:
                return after, answer, order
        return contents, None, ()

    # Workers that are alike.

    def _in_other_places(self, world: int, places: tuple[int, ...]) -> int:
        """The world after the workers have changed places: at each now is the one that was at the place named."""
        if places == self._alike:
            return world
        key = (world, places)
        found = self._moved.get(key)
        if found is None:
            old = [self.processes[place].name for place in places]
            new = [self.processes[place].name for place in self._alike]
            found = self._moved[key] = self.world(*moved(*self._worlds[world], old, new))
        return found

    def in_order(self, state: int) -> int:
        """The state of those that are alike but for the places of workers which stands for them all."""
        alike = self._alike
        if not alike:
            return state
        actors = [state >> self._shifts[place] & ACTOR for place in alike]
        world = state & WORLD
        if len(alike) == 2:
            one, two = actors
            if one < two:
                return state
            other = self._in_other_places(world, (alike[1], alike[0]))
            if one == two:
                return state if world <= other else state - world + other
            return state - world + other + (two - one << self._shifts[alike[0]]) + (one - two << self._shifts[alike[1]])
        ordered = sorted(actors)
        best = min(
            self._in_other_places(world, tuple(alike[n] for n in some))
            for some in permutations(range(len(alike)))
            if [actors[n] for n in some] == ordered
        )
        shifts = [self._shifts[place] for place in alike]
        return state - world + best + sum(new - old << s for new, old, s in zip(ordered, actors, shifts, strict=True))

    def counterpart(self, other: System, state: int) -> int:
        """The state of this search that stands for a state of another one, which is not reduced."""
        world, actors = other.parts(state)
        contents, past = other._worlds[world]
        values = []
        for place, number in enumerate(actors):
            actor = other._actors[place][number]
            if self.reduced:
                contents, past, actor = settled(contents, past, self.processes[place], actor)
            if place != self._home[place]:
                names = (self.processes[place].name, self.processes[self._home[place]].name)
                actor = in_other_words(actor, f"{names[0]}-1", f"{names[1]}-1")
            values.append(self.actor(place, actor))
        return self.in_order(self.state(self.world(contents, past), values))

    # Time.

    def later(self, state: int, faults: int) -> Iterator[tuple[int, int]]:
        """The same, a leap of time later; there may be several ways in which it finds the processes.

        While all wait for something, time passes quietly, and that is a fault only if a lease runs out by it. It is one
        when somebody is late for his tick; and a pause when somebody is in the middle of it.
        """
        world, actors = self.parts(state)
        is_late = is_amid = False
        for place, actor in enumerate(actors):
            how = self._rests_how(place, actor)
            is_late = is_late or how == 1
            is_amid = is_amid or how == 0
        leap = PAUSE_SECONDS if is_late or is_amid else QUIET_SECONDS
        may_pause, may_expire = bool(faults & MASKS["pause"]), bool(faults & MASKS["expiry"])
        if (is_amid and not may_pause) or (is_late and not may_expire and not may_pause):
            return
        known = self._later_worlds.get((world, leap))
        if known is None:
            contents, past = self._worlds[world]
            number = self.world(later(contents, leap), past.later(leap))
            known = self._later_worlds[world, leap] = (number, runs_out(contents, leap))
        number, runs = known
        if leap == QUIET_SECONDS and runs:
            self.check_kept(state)
        options = [self.later_actors(place, actor, leap) for place, actor in enumerate(actors)]
        if not is_amid and (may_expire or not (is_late or runs)):
            left = faults - UNITS["expiry"] if is_late or runs else faults
            yield self.state(number, [some[0] for some in options]), left
        if may_pause and (is_amid or is_late):
            # Also those who had begun to tick, and had looked at the clock and done no more.
            every = product(*options)
            if not is_amid:
                next(every)
            for one in every:
                yield self.state(number, one), faults - UNITS["pause"]

    def _rests_how(self, place: int, actor: int) -> int:
        """2 while it waits for something; 1 when it is to tick now; 0 in the middle of a tick."""
        home = self._home[place]
        how = self._rests[home].get(actor)
        if how is None:
            process, value = self.processes[home], self._actors[home][actor]
            how = 2 if process.rests(value) else 1 if isinstance(value.phase, Rest) else 0
            self._rests[home][actor] = how
        return how

    def later_actors(self, place: int, actor: int, leap: float) -> tuple[int, ...]:
        home = self._home[place]
        some = self._later_actors[home].get((actor, leap))
        if some is None:
            found = self.processes[home].later(self._actors[home][actor], leap)
            some = self._later_actors[home][actor, leap] = tuple(self.actor(home, one) for one in found)
        return some

    def leap_of(self, state: int) -> float:
        """How long time passes in this state."""
        is_quiet = all(self._rests_how(place, actor) == 2 for place, actor in enumerate(self.parts(state)[1]))
        return QUIET_SECONDS if is_quiet else PAUSE_SECONDS

    def begun(self, state: int, then: int, leap: float) -> tuple[str, ...]:
        """Whose tick had begun before the time passed that lies between two states."""
        befores, afters = self.parts(state)[1], self.parts(then)[1]
        return tuple(
            process.name
            for place, process in enumerate(self.processes)
            if self.later_actors(place, befores[place], leap).index(afters[place])
        )

    def check_kept(self, state: int) -> None:
        """Nobody was slow, and a lease runs out: it must not be that of a worker that is there. Raises Broken."""
        contents = self.contents_of(state)
        for claim, left in dict(contents).get("leases", ()):
            for process, actor in self._workers(state):
                if not process.is_empty_handed(actor):
                    name = process.name_of(actor.incarnation)
                    if claim.rpartition(":")[0] == name and 0 < left <= QUIET_SECONDS:
                        raise Broken("kept", f"{process.name} is at its work, and its lease {claim} runs out")

    def _workers(self, state: int) -> Iterator[tuple[WorkerProcess, Actor]]:
        for place, actor in enumerate(self.parts(state)[1]):
            process = self.processes[place]
            if isinstance(process, WorkerProcess):
                yield process, self._actors[self._home[place]][actor]

    def check_rest(self, state: int, left: int) -> None:
        """What must hold when all wait, with these faults left. Raises Broken.

        After a crash or an error a wake-up may be lost until the next look; and a scheduler that was paused may go by
        what it was told before, until its next look.
        """
        rest, used = self._rest[state & WORLD], self.scope.faults - left
        is_unharmed = not used & (MASKS["crash"] | MASKS["error"])
        if self._planned and not used & MASKS["pause"]:
            self._check_slots(state)
        if rest & 1:
            return
        holders = rules.seen(self.contents_of(state)).holders
        for process, actor in self._workers(state):
            if process.is_empty_handed(actor):
                if is_unharmed and rest & 2 and actor.told is None:
                    raise Broken("wake-up", f"a job is ready, {process.name} waits, and nobody rings")
                name = process.name_of(actor.incarnation) + ":"
                for id, claim in holders.items():
                    if claim.startswith((name, process.lost)):
                        raise Broken("stranded", f"{name_of(id)} is leased by {claim}, and {process.name} rests")

    def _all_fired(self, past: Past) -> bool:
        known = {id for id, _ in past.jobs} if self._planned else set[str]()
        return all(id in known for _, id in self._planned)

    def _check_slots(self, state: int) -> None:
        """All wait, so each slot whose time has come has been fired. Raises Broken."""
        contents, past = self._worlds[state & WORLD]
        known, now = dict(past.jobs), elapsed(contents)
        for at, id in self._planned:
            if at <= now and id not in known:
                raise Broken("missed", f"{name_of(id)} was not fired, and all wait")
