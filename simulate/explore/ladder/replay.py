"""A story of a rung on a real server or a real file, step by step.

The same processes go through the same steps. Each command and statement is carried out for real, on a server that
begins empty; its answer must be the one of the story, and so must be what the server holds afterwards. Its clock cannot
be turned, so when time passes, what is dated there is brought nearer by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from minique.wire import Server, checked
from naive_daemon.database import Database
from simulate.explore.actors import frozen
from simulate.explore.contents import LuaServer
from simulate.explore.ladder.known import RUNGS
from simulate.explore.ladder.programs import NOW, Stop
from simulate.explore.ladder.rungs import OnTable
from simulate.explore.ladder.search import Search
from simulate.explore.ladder.servers import Contents, executed, ordered, read_rows
from simulate.explore.ladder.telling import described
from simulate.explore.story import NoStory, Story, Told

PREFIX = "explored:"


class Replayed(NamedTuple):
    steps: int
    is_same: bool
    why: str


class Real(Protocol):
    """A real server, or a real file."""

    def step(self, stop: Stop) -> Any:
        """Carries out a step; its answer, as a value."""

    def contents(self) -> Contents:
        """What it holds."""

    def later(self, seconds: float) -> None:
        """Brings nearer what is dated."""

    def set_to(self, contents: Contents) -> None:
        """Throws everything away and holds this: what comes back after a power cut."""


class RealLists:
    """A Redis or Valkey. All keys get a prefix of their own; what is there under it is thrown away."""

    def __init__(self, wire: Server, leave_out: tuple[str, ...]) -> None:
        self._wire = wire
        self._leave_out = leave_out

    def step(self, stop: Stop) -> Any:
        command, arguments = stop.what, list(stop.arguments)
        if command == "blpop":
            found = self._call("lpop", PREFIX + arguments[0])
            return None if found is None else (arguments[0], found)
        if command in ("blmove", "lmove"):
            return self._call("lmove", PREFIX + arguments[0], PREFIX + arguments[1], *arguments[2:])
        if command == "zadd":
            arguments[1:] = [part for member, at in arguments[1] for part in (repr(at), member)]
        if command == "delete":
            return self._call("del", *(PREFIX + name for name in arguments))
        answer = self._call(command, PREFIX + arguments[0], *arguments[1:])
        if command == "set":
            return answer == "OK"
        if command == "zscore":
            return None if answer is None else max(NOW, float(answer))
        if command == "smembers":
            return frozenset(answer)
        return tuple(answer) if isinstance(answer, list) else answer

    def contents(self) -> Contents:
        found: list[tuple[str, str, Any]] = []
        for key in self._call("keys", f"{PREFIX}*"):
            kind, name = self._call("type", key), key.removeprefix(PREFIX)
            if kind == "list":
                found.append(("list", name, tuple(self._call("lrange", key, "0", "-1"))))
            elif kind == "set":
                found.append(("set", name, tuple(sorted(self._call("smembers", key)))))
            elif kind == "zset":
                scores = self._scores(key)
                left = sorted((member, max(0.0, round(at - NOW, 3))) for member, at in scores.items())
                found.append(("scores", name, tuple(left)))
            else:
                found.append(("string", name, self._call("get", key)))
        return ordered(found, self._leave_out)

    def later(self, seconds: float) -> None:
        for key in self._call("keys", f"{PREFIX}*"):
            if self._call("type", key) == "zset":
                for member in self._scores(key):
                    self._call("zincrby", key, repr(-seconds), member)

    def set_to(self, contents: Contents) -> None:
        for key in self._call("keys", f"{PREFIX}*"):
            self._call("del", key)
        for kind, name, value in contents:
            key = PREFIX + name
            if kind == "list":
                self._call("rpush", key, *value)
            elif kind == "set":
                self._call("sadd", key, *value)
            elif kind == "string":
                self._call("set", key, value)
            else:
                self._call("zadd", key, *(part for member, left in value for part in (repr(NOW + left), member)))

    def _scores(self, key: str) -> dict[str, float]:
        flat = self._call("zrange", key, "0", "-1", "withscores")
        pairs = flat if flat and isinstance(flat[0], list) else list(zip(flat[::2], flat[1::2], strict=True))
        return {member: float(at) for member, at in pairs}

    def _call(self, command: str, *arguments: Any) -> Any:
        return _text(checked(self._wire.call_one(command.upper(), *map(str, arguments))))


def _text(reply: Any) -> Any:
    if isinstance(reply, bytes):
        return reply.decode()
    if isinstance(reply, list | set | tuple):
        return [_text(one) for one in reply]
    return reply


class RealArrows:
    """The scripts of minique on a Redis or Valkey. Each arrow says what time it is."""

    def __init__(self, scripts: LuaServer) -> None:
        self._scripts = scripts
        self._now = NOW

    def step(self, stop: Stop) -> Any:
        return frozen(self._scripts.step(stop.arguments[0], f"{self._now:.6f}"))

    def contents(self) -> Contents:
        return self._scripts.contents(self._now)

    def later(self, seconds: float) -> None:
        self._now += seconds

    def set_to(self, contents: Contents) -> None:
        self._now = NOW
        self._scripts.set_to(contents)


class RealRows:
    """A SQLite file. Raises NoStory when it is there already: nobody's table is to be overwritten."""

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise NoStory(f"{path} is there already; name a file that is not")
        self.database = Database(path)

    def step(self, stop: Stop) -> Any:
        return executed(self.database, stop)

    def contents(self) -> Contents:
        return read_rows(self.database)

    def later(self, seconds: float) -> None:
        self.database.execute("UPDATE rows SET due = due - ?, claimed_at = claimed_at - ?", (seconds, seconds))

    def set_to(self, contents: Contents) -> None:
        if contents:
            raise NoStory("the file does not lose anything that was committed")


def is_on_table(story: Story) -> bool:
    """Whether it is to be replayed on a file, and not on a server."""
    return issubclass(RUNGS[story.design], OnTable)


def replay(story: Story, real: Real, show: Callable[[int, Told], None] = lambda n, step: None) -> Replayed:
    """Takes all steps again; whether it came to the same end, and what was different if not. Raises NoStory."""
    if story.scope.jobs[0].startswith("recurring"):
        raise NoStory("a story of slots has a beginning and an end in time, and a server's clock cannot be turned back")
    rung = RUNGS[story.design]()
    search = Search(rung, story.scope)  # type: ignore[arg-type]  # a story of a rung has a scope of the ladder
    places = {one.name: place for place, one in enumerate(search.cast)}
    real.set_to(rung.server.empty)
    state, broke = search.first(), False
    for n, step in enumerate(story.steps, start=1):
        if step.who == "time":
            time = search.later(state)
            if time is None or time[0] != step.seconds:
                raise NoStory(f"step {n}: no time passes here: was the code changed since?")
            real.later(step.seconds)
            state = time[1]
        else:
            place = places[step.who]
            fitting = [edge for edge in search.edges(state, place) if edge.label == step.what]
            if not fitting:
                raise NoStory(f"step {n}: {step.who} cannot do this ({step.words!r}): was the code changed since?")
            edge = fitting[0]
            if edge.stop is not None:
                told, expected = real.step(edge.stop), search.answer(state, edge.stop)
                if told != expected:
                    return Replayed(n, False, f"step {n}: the server answers {told!r}, and in the story {expected!r}")
            state = search.then(state, place, edge)
            broke = any(rule == story.rule for rule, _ in edge.broken)
            if edge.is_cut:
                real.set_to(search.held(state)[0])
        contents, past = search.held(state)
        show(n, step)
        found = real.contents()
        if described(rung, found, past) != step.after or found != contents:
            return Replayed(n, False, f"step {n}: the server holds {found!r}, and in the story {contents!r}")
    broke = broke or any(rule == story.rule for rule, _ in search.in_the_end(state)) or story.rule == "wake-up"
    return Replayed(len(story.steps), broke, story.why if broke else f"no rule broke; in the story: {story.why}")
