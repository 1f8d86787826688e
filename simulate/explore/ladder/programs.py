"""A process of a rung: its real loop, run once for each list of answers.

The loops of rungs 0 to 7 are ordinary blocking code, and what they are handed is all that they see of the world: a
connection or a table, a clock, a way to sleep, and the work itself. So a loop is run from its beginning with the
answers that it has had so far, and stopped at the first call that has none: that call is its next step. The same
answers always lead to the same step, which is therefore worked out once.

Time stands still at `NOW`; when it passes, all that is dated comes nearer. To a process it is part of what it has been
through: whoever looked at the clock before has an older time in his hand.

Loops go round. Where one comes back to its first step, it is as it was when it came there the first time, but for what
it remembers in its own variables (`rounds`); so its history ends there. A test compares with histories that never end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from naive_daemon.database import Database
from simulate.designs.server import Value

NOW = 1_000_000.0
LONGEST_SECONDS = 5000.0
"""What somebody rests or stands still beyond that makes no difference to anybody."""
FOREVER = float("inf")


class Leap(NamedTuple):
    """In a history: so much time passed before the next answer."""

    seconds: float


class Stop(NamedTuple):
    """What a process does next, or waits for."""

    kind: str
    """call: a step on the server. block: the same, when there is something to take. sleep. work: until the job has
    ended. watch: the same, but looks up in between. ask: whether a process is alive. end: nothing more."""
    what: str = ""
    arguments: tuple[Any, ...] = ()
    rest: float = 0.0
    """Seconds until it goes on by itself: sleep, block and watch."""


class Note(NamedTuple):
    """Something that matters outside: a job was `stored` as its producer knows, or `start`ed."""

    what: str
    job: int


class Refused(Exception):
    """What a job raises that ends in an error."""


class _Pending(BaseException):
    def __init__(self, stop: Stop) -> None:
        self.stop = stop


class Io:
    """All that a loop sees of the world, answered from a list."""

    def __init__(self, history: tuple[Any, ...]) -> None:
        self._history = history
        self._place = 0
        self._now = NOW - sum(one.seconds for one in history if isinstance(one, Leap))
        self.notes: list[Note] = []

    def ask(self, kind: str, what: str = "", *arguments: Any, rest: float = 0.0) -> Any:
        """One stop of the process, and its answer."""
        history, passed = self._history, 0.0
        while self._place < len(history) and isinstance(history[self._place], Leap):
            passed += history[self._place].seconds
            self._place += 1
        self._now += passed
        if self._place == len(history):
            raise _Pending(Stop(kind, what, arguments, max(0.0, round(rest - passed, 3))))
        answer = history[self._place]
        self._place += 1
        self.notes.clear()  # they belong to steps that were told before
        return answer

    def clock(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.ask("sleep", "sleep", rest=min(seconds, LONGEST_SECONDS))

    def is_alive(self, name: str) -> bool:
        return bool(self.ask("ask", "is alive", name))

    def stored(self, job: int) -> None:
        """A producer's call has come back."""
        self.notes.append(Note("stored", job))

    def work(self, job: int) -> None:
        """Does a job and waits for its end; raises what the job raised."""
        self.notes.append(Note("start", job))
        if self.ask("work", "job", job) != "done":
            raise Refused("it does not want to")

    def work_in_child(self, job: int) -> None:
        """The same in a child, of which nobody asks how it ended."""
        self.notes.append(Note("start", job))
        self.ask("work", "job", job)

    def start(self, job: int) -> Child:
        """A child that does a job, and can be waited for."""
        self.notes.append(Note("start", job))
        return Child(self, job)


class Child:
    """What `simulate.designs.unfenced.Child` asks for."""

    def __init__(self, io: Io, job: int) -> None:
        self._io = io
        self._job = job

    def wait(self, seconds: float) -> bool:
        return self._io.ask("watch", "job", self._job, rest=seconds) is not False


class Table(Database):
    """The daemon's own table, each statement one stop."""

    def __init__(self, io: Io) -> None:  # it opens no file
        self._io = io

    def execute(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        values = parameters.items() if isinstance(parameters, Mapping) else parameters
        return list(self._io.ask("call", statement, *values))


class Connection:
    """The commands of `simulate.designs.server.Blocking`, each one stop."""

    def __init__(self, io: Io) -> None:
        self._io = io

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments: _thawed(self._io.ask("call", name, *map(_frozen, arguments)))

    def blpop(self, keys: str, timeout: float) -> Any:
        return self._io.ask("block", "blpop", keys, rest=timeout or FOREVER)

    def blmove(self, first_list: str, second_list: str, timeout: float, src: str = "LEFT", dest: str = "RIGHT") -> Any:
        return self._io.ask("block", "blmove", first_list, second_list, src, dest, rest=timeout or FOREVER)

    def zrangebyscore(self, name: str, min: Value, max: Value) -> Any:
        return list(self._io.ask("call", "zrangebyscore", name, min, max))


def _frozen(value: Any) -> Any:
    return tuple(sorted(value.items())) if isinstance(value, Mapping) else value


def _thawed(answer: Any) -> Any:
    """A loop may keep and change what it was answered; what is remembered here must not change with it."""
    return list(answer) if isinstance(answer, tuple) else answer


Main = Callable[[Io], object]


class Node(NamedTuple):
    """Where a process is."""

    history: tuple[Any, ...]
    stop: Stop
    round: tuple[Any, ...] | None
    """At the beginning of a round: what it remembers of those before, which is all that matters of them."""


class Program:
    """One process under one name: all the places where its loop can be, each worked out once."""

    def __init__(
        self,
        name: str,
        main: Main,
        *,
        rounds: Mapping[str, tuple[str, ...]],
        holds_time: bool = False,
        longest: float = LONGEST_SECONDS,
    ) -> None:
        self.name = name
        self._main = main
        self._rounds = rounds
        """The steps at which a round of one of its loops begins, and which variables it takes into the next one."""
        self._holds_time = holds_time
        """Whether it looks at the clock at one step and goes by it at a later one."""
        self._longest = longest
        """Seconds that make no difference any more when they are more."""
        self.nodes: list[Node] = []
        self._numbers: dict[Any, int] = {}
        self._after: dict[tuple[int, Any], tuple[int, tuple[Note, ...]]] = {}
        self._later: dict[tuple[int, float], int] = {}
        self.first = self._reached(())[0]

    def after(self, node: int, answer: Any) -> tuple[int, tuple[Note, ...]]:
        """Where it is when it has had that answer, and what happened on the way."""
        key = (node, (type(answer), answer))
        found = self._after.get(key)
        if found is None:
            found = self._after[key] = self._reached((*self.nodes[node].history, answer))
        return found

    def later(self, node: int, seconds: float) -> int:
        """Where it is when so much time has passed and it has done nothing."""
        key = (node, seconds)
        found = self._later.get(key)
        if found is None:
            found = self._later[key] = self._aged(self.nodes[node], seconds)
        return found

    def _aged(self, node: Node, seconds: float) -> int:
        history, passed = node.history, seconds
        if history and isinstance(history[-1], Leap):
            passed += history[-1].seconds
            history = history[:-1]
        dated = (*history, Leap(min(self._longest, round(passed, 3))))
        number, _ = self._reached(dated)
        stop = self.nodes[number].stop
        if self._holds_time or stop._replace(rest=0.0) != node.stop._replace(rest=0.0):
            return number
        # Nothing that it looked at before has become older: only its rest is shorter.
        rest = max(0.0, round(node.stop.rest - seconds, 3))
        return self._intern(Node(node.history, node.stop._replace(rest=rest), node.round))

    def _reached(self, history: tuple[Any, ...]) -> tuple[int, tuple[Note, ...]]:
        io = Io(history)
        round: tuple[Any, ...] | None = None
        try:
            self._main(io)
        except _Pending as pending:
            stop = pending.stop
            if (remembers := self._rounds.get(stop.what)) is not None:
                round = tuple(_local(pending.__traceback__, name) for name in remembers)
        else:
            stop = Stop("end")
        return self._intern(Node(history, stop, round)), tuple(io.notes)

    def _intern(self, node: Node) -> int:
        key = (node.history, node.stop) if node.round is None else (None, node.stop, node.round)
        number = self._numbers.setdefault(key, len(self.nodes))
        if number == len(self.nodes):
            self.nodes.append(node)
        return number


def _local(trace: TracebackType | None, name: str) -> Any:
    """The value of a variable of that name, in the outermost function that has one."""
    while trace is not None:
        if name in trace.tb_frame.f_locals:
            return _hashable(trace.tb_frame.f_locals[name])
        trace = trace.tb_next
    return None


def _hashable(value: Any) -> Any:
    if callable(value):
        value = value()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return value
    if isinstance(value, Mapping):
        return tuple(sorted((key, _hashable(one)) for key, one in value.items()))
    if isinstance(value, set | frozenset):
        return frozenset(value)
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value
