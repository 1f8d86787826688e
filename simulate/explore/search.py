"""The product of all processes and the server, breadth-first.

A state of the system is a short tuple of numbers: of what the server holds (with what the rules remember beside it),
of each process, and of the faults that are left. Every number stands for a value in a table. What a process can do in a
given state of the server is worked out once, and remembered; so is what an arrow does to what a server holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Any, NamedTuple

from minique.ids import make_id
from minique.store import Arrow, Beat, Forget, Reap
from simulate.explore import rules
from simulate.explore.actors import (
    KINDS,
    Actor,
    Job,
    Middle,
    Move,
    Note,
    Process,
    ProducerProcess,
    ReaperProcess,
    Rest,
    SchedulerProcess,
    Trip,
    WorkerProcess,
    frozen,
    name_of,
)
from simulate.explore.contents import EMPTY, NOW, STAMP, Bell, Contents, Draw, later, runs_out
from simulate.explore.rules import Broken, Past
from simulate.explore.subject import Subject

QUIET_SECONDS = 6.0
"""So long all may wait: a lease of ten seconds survives it once, and is due to be renewed."""
PAUSE_SECONDS = 12.0
"""So long somebody does not come to what he has to do: no lease survives it, nor a producer's patience, nor the time
for which it is remembered that a job is over."""

PATIENCE_STEPS = 4000
"""After so many steps without a fault all should have come to an end long ago."""

_LOOK_UP_EVERY = 1024  # states

MANY = 15  # of a kind of fault: what the number of faults left has room for


@dataclass(frozen=True)
class Scope:
    """What is explored: who is there, what is asked of them, and how much may go wrong."""

    workers: int = 2
    jobs: tuple[str, ...] = ("plain", "plain")
    """What kind each job is, in the order in which the producer enqueues them."""
    crashes: int = 1
    errors: int = 0
    expiries: int = 1
    """Leaps of time in which a lease runs out, or somebody is late for his next tick."""
    pauses: int = 0
    """The same in the middle of a tick: between its look at the clock and its arrows, between two of them, or before
    the answer is read."""
    schedulers: int = 0
    reaper: bool = True
    retries: int = 1
    batch: int = 0
    """Above 0: workers run jobs in-line, and claim so many at a time."""

    def __post_init__(self) -> None:
        for name in ("crashes", "errors", "expiries", "pauses"):
            if not 0 <= getattr(self, name) <= MANY:
                raise ValueError(f"{name} must be 0 to {MANY}, not {getattr(self, name)}")
        if not 1 <= self.workers <= 4 or not 1 <= len(self.jobs) <= 5:
            raise ValueError("there may be 1 to 4 workers and 1 to 5 jobs")
        if unknown := [kind for kind in self.jobs if kind not in KINDS]:
            raise ValueError(f"there are no jobs that are {unknown[0]!r}; known: {', '.join(KINDS)}")

    def processes(self, subject: Subject) -> list[Process]:
        """The producer first; a reaper last."""
        plan = [Job(_id(number), kind, number) for number, kind in enumerate(self.jobs)]
        jobs = {job.id: job for job in plan}
        found: list[Process] = [ProducerProcess("producer", subject, plan, self.retries)]
        schedulers = self.schedulers or int(bool({"delayed", "fails", "once", "dies"} & set(self.jobs)))
        found += [
            SchedulerProcess(f"scheduler {n}" if schedulers > 1 else "scheduler", subject)
            for n in range(1, schedulers + 1)
        ]
        found += [
            WorkerProcess(f"worker-{n}", subject, jobs, self.retries, self.batch) for n in range(1, self.workers + 1)
        ]
        if self.reaper:
            found.append(ReaperProcess("reaper", subject))
        return found


def _id(number: int) -> str:
    middle = Middle()
    middle.bits = number + 1
    return make_id(NOW, middle)


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


class Failure(NamedTuple):
    """A rule that did not hold, and a shortest story of it."""

    rule: str
    why: str
    steps: tuple[Step, ...]
    after: tuple[Contents, ...]
    """What the server held after each step."""


@dataclass
class Result:
    states: int = 0
    transitions: int = 0
    contents: int = 0
    """Distinct values of what the server held."""
    deepest: int = 0
    """Steps of the longest of all shortest stories."""
    drained: int = 0
    """States from which it was seen that all comes to an end."""
    is_whole: bool = True
    """Whether all that the scope allows was searched."""
    why_not: str = ""
    failure: Failure | None = None
    held: set[Contents] = field(default_factory=set)


Progress = Callable[[int, int, int, int], str]
"""Told of states, transitions, the states that are still to be looked at, and the depth; answers why to stop, or ""."""

_State = tuple[int, ...]
_Edge = tuple[int, int, int, int]  # next world, next actor, what it costs (a mask), the same as one unit

_MASKS = {"": 0, "crash": MANY, "error": MANY << 4, "expiry": MANY << 8, "pause": MANY << 12}
_UNITS = {"": 0, "crash": 1, "error": 1 << 4, "expiry": 1 << 8, "pause": 1 << 12}


class _Option(NamedTuple):
    """A move, in numbers."""

    move: Move
    arrow: int
    notes: int
    then: int
    mask: int
    unit: int


class Search:
    """One scope, one subject, one kind of server."""

    def __init__(self, scope: Scope, subject: Subject, draw: Draw, every_arrow: bool = False) -> None:
        self.scope = scope
        self.every_arrow = every_arrow
        """Whether even arrows that change nothing are steps of their own."""
        self.processes = scope.processes(subject)
        self._draw = draw
        self._worlds: list[tuple[Contents, Past]] = []
        self._world_numbers: dict[tuple[Contents, Past], int] = {}
        self._actors: list[list[Actor]] = [[] for _ in self.processes]
        self._actor_numbers: list[dict[Actor, int]] = [{} for _ in self.processes]
        self._options: list[dict[int, list[_Option]]] = [{} for _ in self.processes]
        self._contents: dict[Contents, int] = {}
        # With their types: as tuples, a Promote of a thousand and a Forget of a thousand are equal.
        self._arrows: dict[tuple[type, Arrow | Bell, str], int] = {}
        self._arrow_values: list[tuple[type, Arrow | Bell, str]] = []
        self._answers: dict[Any, int] = {}
        self._answer_values: list[Any] = []
        self._notes: dict[tuple[Note, ...], int] = {}
        self._worlds_drawn: dict[tuple[int, int], tuple[int, int]] = {}
        self._worlds_noted: dict[tuple[int, int], int] = {}
        self._with_answers: list[dict[tuple[int, int], int]] = [{} for _ in self.processes]
        self._silent: list[dict[int, int]] = [{} for _ in self.processes]
        self._edges: list[dict[tuple[int, int], tuple[_Edge, ...]]] = [{} for _ in self.processes]
        self._broken: dict[tuple[int, int, int, int], Broken] = {}
        self._draws: dict[tuple[int, type, Arrow | Bell, str], tuple[Contents, Any]] = {}
        self._later_worlds: dict[tuple[int, float], tuple[int, bool]] = {}
        self._later_actors: list[dict[tuple[int, float], tuple[int, ...]]] = [{} for _ in self.processes]
        self._rests: list[dict[int, int]] = [{} for _ in self.processes]
        # Of each world, as bits: 1 nothing is under way; 2 a job waits to be claimed; 4 nothing can ever happen.
        self._rest: list[int] = []
        self._drains: set[_State] = set()
        self._working: list[dict[int, bool]] = [{} for _ in self.processes]
        self._private: list[dict[int, bool]] = [{} for _ in self.processes]
        self._idle: list[dict[int, bool]] = [{} for _ in self.processes]
        self._may = {"": True, "crash": scope.crashes > 0, "error": scope.errors > 0}

    # Tables.

    def _world(self, contents: Contents, past: Past) -> int:
        """Raises Broken for contents in which a job has no state, or two."""
        key = (contents, past)
        number = self._world_numbers.get(key)
        if number is None:
            bits = (rules.is_at_rest, rules.is_waiting, rules.is_over)
            self._rest.append(sum(int(holds(contents)) << n for n, holds in enumerate(bits)))
            number = self._world_numbers[key] = len(self._worlds)
            self._worlds.append(key)
        return number

    def _actor(self, place: int, actor: Actor) -> int:
        numbers = self._actor_numbers[place]
        number = numbers.get(actor)
        if number is None:
            number = numbers[actor] = len(numbers)
            self._actors[place].append(actor)
        return number

    def _options_of(self, place: int, actor: int) -> list[_Option]:
        options = self._options[place].get(actor)
        if options is None:
            process = self.processes[place]
            options = self._options[place][actor] = [
                _Option(
                    move,
                    -1
                    if move.arrow is None
                    else self._number(self._arrows, (type(move.arrow), move.arrow, move.stamp)),
                    self._number(self._notes, move.notes) if move.notes else -1,
                    self._actor(place, move.then),
                    _MASKS[move.cost],
                    _UNITS[move.cost],
                )
                for move in process.moves(self._actors[place][actor])
                if self._may[move.cost]
            ]
        return options

    def _number(self, table: dict[Any, int], value: Any) -> int:
        return table.setdefault(value, len(table))

    def _play(self, place: int, world: int, option: _Option) -> tuple[int, int, int] | None:
        """One move in one world: the next world, actor and the answer. None when it cannot be made; raises Broken."""
        then = option.then
        if option.notes >= 0:
            return self._noted(world, option.notes), then, 0
        if option.arrow < 0:
            return world, then, 0
        after, answer = self._drawn(world, option.arrow)
        if isinstance(option.move.arrow, Bell):
            return (after, then, answer) if self._answer_values[answer] else None
        then = self._with_answer(place, then, answer)
        return after, self._silently(place, after, then)[0], answer

    def _silently(self, place: int, world: int, actor: int) -> tuple[int, int]:
        """The actor with the answers to the arrows that come next and change nothing; and how many those were.

        They are a sign of life, and a look for leases mostly. Nobody can make a lease overdue or a result old, only
        time can, so it makes no difference who acts before them. What is left out are pauses directly before a look
        that finds nothing.
        """
        count = 0
        while not self.every_arrow and (silent := self._silent_arrow(place, actor)) >= 0:
            try:
                same, told = self._drawn(world, silent)
            except Broken:
                break  # a step of its own, then, which will be the last of its story
            if same != world:
                break
            actor = self._with_answer(place, actor, told)
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
            found = self._with_answers[place][key] = self._actor(place, then)
        return found

    def _noted(self, world: int, notes: int) -> int:
        key = (world, notes)
        found = self._worlds_noted.get(key)
        if found is None:
            contents, past = self._worlds[world]
            value = list(self._notes)[notes]
            found = self._worlds_noted[key] = self._world(contents, rules.noted(contents, past, value))
        return found

    def _drawn(self, world: int, arrow: int) -> tuple[int, int]:
        """What an arrow does in a world: the next one, and the number of the answer. Raises Broken."""
        key = (world, arrow)
        found = self._worlds_drawn.get(key)
        if found is None:
            contents, past = self._worlds[world]
            if arrow >= len(self._arrow_values):
                self._arrow_values = list(self._arrows)
            _, drawn, stamp = self._arrow_values[arrow]
            after, answer = self._draw_once(contents, drawn, stamp)
            then = self._world(after, rules.drawn(contents, past, drawn, answer, after))
            number = self._number(self._answers, (type(answer), frozen(answer)))
            if number == len(self._answer_values):
                self._answer_values.append(frozen(answer))
            found = self._worlds_drawn[key] = (then, number)
        return found

    def _draw_once(self, contents: Contents, arrow: Arrow | Bell, stamp: str) -> tuple[Contents, Any]:
        """What is remembered beside the contents makes no difference to the server."""
        number = self._number(self._contents, contents)
        key = (number, type(arrow), arrow, stamp)
        found = self._draws.get(key)
        if found is None:
            found = self._draws[key] = self._draw(contents, arrow, stamp or STAMP)
        return found

    def _edges_of(self, place: int, world: int, actor: int) -> tuple[_Edge, ...]:
        """What a process can do in a world: the next world (negative when a rule breaks), its next state, the cost."""
        found: list[_Edge] = []
        for n, option in enumerate(self._options_of(place, actor)):
            try:
                played = self._play(place, world, option)
            except Broken as broken:
                self._broken[place, world, actor, n] = broken
                played = (-1 - n, actor, 0)
            if played is not None:
                found.append((played[0], played[1], option.mask, option.unit))
        edges = tuple(dict.fromkeys(found))  # some ways to fail lead to the same
        self._edges[place][world, actor] = edges
        return edges

    def _later(self, state: _State) -> Iterator[_State]:
        """The same, a leap of time later; there may be several ways in which it finds the processes.

        While all wait for something, time passes quietly, and that is a fault only if a lease runs out by it. It is one
        when somebody is late for his tick; and a pause when somebody is in the middle of it.
        """
        world, faults = state[0], state[-1]
        is_late = is_amid = False
        for place, actor in enumerate(state[1:-1]):
            how = self._rests[place].get(actor)
            if how is None:
                process, value = self.processes[place], self._actors[place][actor]
                how = 2 if process.rests(value) else 1 if isinstance(value.phase, Rest) else 0
                self._rests[place][actor] = how
            is_late = is_late or how == 1
            is_amid = is_amid or how == 0
        leap = PAUSE_SECONDS if is_late or is_amid else QUIET_SECONDS
        may_pause, may_expire = bool(faults & _MASKS["pause"]), bool(faults & _MASKS["expiry"])
        if (is_amid and not may_pause) or (is_late and not may_expire and not may_pause):
            return
        known = self._later_worlds.get((world, leap))
        if known is None:
            contents, past = self._worlds[world]
            number = self._world(later(contents, leap), past.later(leap))
            known = self._later_worlds[world, leap] = (number, runs_out(contents, leap))
        number, runs = known
        if leap == QUIET_SECONDS and runs:
            self._check_kept(state)
        options: list[tuple[int, ...]] = []
        for place, actor in enumerate(state[1:-1]):
            some = self._later_actors[place].get((actor, leap))
            if some is None:
                found = self.processes[place].later(self._actors[place][actor], leap)
                some = self._later_actors[place][actor, leap] = tuple(self._actor(place, one) for one in found)
            options.append(some)
        if not is_amid and (may_expire or not (is_late or runs)):
            left = faults - _UNITS["expiry"] if is_late or runs else faults
            yield (number, *(some[0] for some in options), left)
        if may_pause and (is_amid or is_late):
            # Also those who had begun to tick, and had looked at the clock and done no more.
            every = product(*options)
            if not is_amid:
                next(every)
            for one in every:
                yield (number, *one, faults - _UNITS["pause"])

    def _check_kept(self, state: _State) -> None:
        """Nobody was slow, and a lease runs out: it must not be that of a worker that is there."""
        contents, actors = self._worlds[state[0]][0], state[1:-1]
        for claim, left in dict(contents).get("leases", ()):
            for process, values, actor in zip(self.processes, self._actors, actors, strict=True):
                if isinstance(process, WorkerProcess) and not process.is_empty_handed(values[actor]):
                    name = process.name_of(values[actor].incarnation)
                    if claim.rpartition(":")[0] == name and 0 < left <= QUIET_SECONDS:
                        raise Broken("kept", f"{process.name} is at its work, and its lease {claim} runs out")

    # The search.

    def run(self, limit: int = 5_000_000, progress: Progress | None = None, keep_contents: bool = False) -> Result:
        """All that the scope allows, until a rule breaks or there are too many states."""
        result = Result()
        scope = self.scope
        faults = scope.crashes | scope.errors << 4 | scope.expiries << 8 | scope.pauses << 12
        unharmed = faults & 0xFF
        pauses = _MASKS["pause"]
        first: _State = (
            self._world(EMPTY, Past()),
            *(self._actor(place, process.first()) for place, process in enumerate(self.processes)),
            faults,
        )
        came_from: dict[_State, _State | None] = {first: None}
        frontier: list[_State] = [first]
        places = tuple(range(1, len(self.processes) + 1))
        working = len(self.processes) - int(scope.reaper)  # a reaper may always look: it is never at rest
        edges, rest, transitions = self._edges, self._rest, 0
        while frontier:
            following: list[_State] = []
            for done, state in enumerate(frontier):
                world, left = state[0], state[-1]
                if rest[world] & 4 and self._is_over(state):
                    continue
                is_busy = False
                looked_at = places
                if not left & pauses and not self.every_arrow:
                    for place in places:
                        if self._is_private(place - 1, state[place]):
                            looked_at = (place,)
                            break
                for place in looked_at:
                    table = edges[place - 1]
                    actor = state[place]
                    some = table.get((world, actor))
                    if some is None:
                        some = self._edges_of(place - 1, world, actor)
                    head, tail = state[1:place], state[place + 1 : -1]
                    for world_then, actor_then, mask, unit in some:
                        if mask:
                            if not left & mask:
                                continue
                            then = (world_then, *head, actor_then, *tail, left - unit)
                        else:
                            if place <= working and not self._works(place - 1, actor):
                                is_busy = True
                            then = (world_then, *head, actor_then, *tail, left)
                        transitions += 1
                        if world_then < 0:
                            return self._ended(
                                result, came_from, transitions, self._breaking(came_from, state, place, -1 - world_then)
                            )
                        if then not in came_from:
                            came_from[then] = state
                            following.append(then)
                if not is_busy and (broken := self._amiss_at_rest(state, left & 0xFF == unharmed)):
                    return self._ended(result, came_from, transitions, self._failure(came_from, state, broken))
                try:
                    for then in self._later(state):
                        transitions += 1
                        if then not in came_from:
                            came_from[then] = state
                            following.append(then)
                except Broken as broken:
                    return self._ended(result, came_from, transitions, self._failure(came_from, state, broken))
                if state[:-1] not in self._drains:
                    stuck = self._does_not_drain(state)
                    if stuck is not None:
                        return self._ended(result, came_from, transitions, self._stuck(came_from, state, stuck))
                if not done % _LOOK_UP_EVERY:
                    why = f"it was ended at {len(came_from):,} states" if len(came_from) > limit else ""
                    if not why and progress is not None:
                        why = progress(
                            len(came_from), transitions, len(frontier) - done + len(following), result.deepest
                        )
                    if why:
                        result.is_whole, result.why_not = False, why
                        return self._ended(result, came_from, transitions, None)
            if following:
                result.deepest += 1
            frontier = following
        if keep_contents:
            result.held = {contents for contents, _ in self._worlds}
        return self._ended(result, came_from, transitions, None)

    def _amiss_at_rest(self, state: _State, is_unharmed: bool) -> Broken | None:
        """What breaks when all wait. After a fault a wake-up may be lost; the next look repairs it."""
        world = state[0]
        if self._rest[world] & 1:
            return None
        holders = rules.seen(self._worlds[world][0]).holders
        for process, names, actor in zip(self.processes, self._actors, state[1:-1], strict=True):
            if isinstance(process, WorkerProcess) and process.is_empty_handed(names[actor]):
                if is_unharmed and self._rest[world] & 2:
                    return Broken("wake-up", f"a job is ready, {process.name} waits, and nobody rings")
                name = process.name_of(names[actor].incarnation) + ":"
                for id, claim in holders.items():
                    if claim.startswith(name):
                        return Broken("stranded", f"{name_of(id)} is leased by {claim}, and {process.name} rests")
        return None

    def _works(self, place: int, actor: int) -> bool:
        """Whether it waits for the job that it runs, and that may take long."""
        found = self._working[place].get(actor)
        if found is None:
            process, value = self.processes[place], self._actors[place][actor]
            found = process.rests(value) and value.child is not None
            self._working[place][actor] = found
        return found

    def _is_private(self, place: int, actor: int) -> bool:
        """Whether all that it can do now concerns itself alone: it has its answers and has not read them.

        While no time can pass, it makes no difference whether others act before that; so they need not be tried.
        """
        found = self._private[place].get(actor)
        if found is None:
            phase = self._actors[place][actor].phase
            found = isinstance(phase, Trip) and len(phase.drawn) == len(phase.arrows)
            # Whether a job may be started is read from the server by the rules.
            found = found and all(not option.move.notes for option in self._options_of(place, actor))
            self._private[place][actor] = found
        return found

    def _is_over(self, state: _State) -> bool:
        """Whether no process has anything to do with a job: then there is nothing more to be seen."""
        for place, actor in enumerate(state[1:-1]):
            idle = self._idle[place].get(actor)
            if idle is None:
                process = self.processes[place]
                idle = self._idle[place][actor] = process.is_empty_handed(self._actors[place][actor])
            if not idle:
                return False
        return True

    def _ended(
        self, result: Result, came_from: dict[_State, _State | None], transitions: int, failure: Failure | None
    ) -> Result:
        result.states, result.transitions, result.failure = len(came_from), transitions, failure
        result.contents = len({contents for contents, _ in self._worlds})
        result.drained = len(self._drains)
        return result

    # Once faults stop.

    def _calm_step(self, state: _State) -> tuple[_State, int, int] | None:
        """What happens next when nothing goes wrong, whose it is and which; None when nothing more happens.

        First come those who have something to do, in their order. When nobody has, time passes.
        """
        world = state[0]
        for place in range(1, len(self.processes) + 1):
            actor = state[place]
            if self.processes[place - 1].kind == "reaper" and not isinstance(
                self._actors[place - 1][actor].phase, Trip
            ):
                continue
            some = self._edges[place - 1].get((world, actor))
            if some is None:
                some = self._edges_of(place - 1, world, actor)
            for n, (world_then, actor_then, mask, _) in enumerate(some):
                if not mask:
                    return (world_then, *state[1:place], actor_then, *state[place + 1 :]), place, n
        if self._rest[world] & 1:
            return None
        try:
            then = next(self._later((*state[:-1], _MASKS["expiry"])))
        except Broken:
            return None  # the search will come there by itself
        return (*then[:-1], state[-1]), 0, 0

    def _does_not_drain(self, state: _State) -> list[tuple[_State, _State]] | None:
        """The steps from here on, when they never end; None when all drains."""
        path: list[tuple[_State, _State]] = []
        walked: set[_State] = set()
        while state[:-1] not in self._drains:
            if state[:-1] in walked or len(path) > PATIENCE_STEPS:
                return path
            walked.add(state[:-1])
            step = self._calm_step(state)
            if step is None:
                break
            if step[0][0] < 0:
                break  # a rule breaks on the way; the search will come there by itself, if the scope allows
            path.append((state, step[0]))
            state = step[0]
        self._drains |= walked
        return None

    # Stories.

    def _breaking(self, came_from: dict[_State, _State | None], state: _State, place: int, n: int) -> Failure:
        """The story of a move that breaks a rule."""
        broken = self._broken[place - 1, state[0], state[place], n]
        option = self._options_of(place - 1, state[place])[n]
        after = self._worlds[state[0]][0]
        if option.move.arrow is not None:
            after = self._draw_once(after, option.move.arrow, option.move.stamp)[0]
        last = self._step(place - 1, state[0], option)
        found = self._failure(came_from, state, broken)
        return found._replace(steps=(*found.steps, last), after=(*found.after, after))

    def _stuck(
        self, came_from: dict[_State, _State | None], state: _State, path: list[tuple[_State, _State]]
    ) -> Failure:
        under_way = rules.seen(self._worlds[path[-1][1][0]][0]).states
        left = [f"{name_of(id)} is {state}" for id, state in under_way.items() if state not in ("done", "failed")]
        failure = self._failure(came_from, state, Broken("drains", f"from here on, for ever: {', '.join(left)}"))
        return failure

    def _failure(self, came_from: dict[_State, _State | None], state: _State, broken: Broken) -> Failure:
        states = [state]
        while (before := came_from[states[-1]]) is not None:
            states.append(before)
        states.reverse()
        steps = tuple(self._between(one, two) for one, two in pairwise(states))
        return Failure(broken.rule, broken.why, steps, tuple(self._worlds[one[0]][0] for one in states[1:]))

    def _between(self, one: _State, two: _State) -> Step:
        """The step that led from one state to the next."""
        for place in range(1, len(self.processes) + 1):
            if one[1:place] + one[place + 1 : -1] != two[1:place] + two[place + 1 : -1]:
                continue
            for option in self._options_of(place - 1, one[place]):
                if one[-1] - option.unit != two[-1]:
                    continue
                try:
                    played = self._play(place - 1, one[0], option)
                except Broken:
                    continue
                if played is not None and played[:2] == (two[0], two[place]):
                    return self._step(place - 1, one[0], option)
        is_quiet = all(self._rests[place][actor] == 2 for place, actor in enumerate(one[1:-1]))
        leap = QUIET_SECONDS if is_quiet else PAUSE_SECONDS
        begun = tuple(
            process.name
            for place, process in enumerate(self.processes)
            if self._later_actors[place][one[place + 1], leap].index(two[place + 1])
        )
        return Step("time", f"{leap:g} seconds pass", one[-1] != two[-1], seconds=leap, begun=begun)

    def _step(self, place: int, world: int, option: _Option) -> Step:
        move, answer, silent = option.move, None, 0
        if move.arrow is not None:
            answer = self._draw_once(self._worlds[world][0], move.arrow, move.stamp)[1]
            try:
                then, number = self._drawn(world, option.arrow)
                if not isinstance(move.arrow, Bell):
                    silent = self._silently(place, then, self._with_answer(place, option.then, number))[1]
            except Broken:
                pass  # the last step of its story
        is_fault = bool(move.cost) or "kills it" in move.label
        name = self.processes[place].name
        return Step(name, move.label, is_fault, move.arrow, move.stamp, answer, move.notes, silent=silent)


def count_faults(steps: Sequence[Step]) -> int:
    return sum(step.is_fault for step in steps)
