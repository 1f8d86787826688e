"""What a server holds, as one small value; and the servers that steps are drawn on.

Time stands still at `NOW`: instead of the clock going on, everything that is dated comes nearer (`later`). So two
moments that differ in nothing but the date are one value. Only where a recurring entry is to be fired, which goes by
the date, it goes on until the last of its slots, and is part of the value (`clock`). What nobody decides by is left
out: advisory keys, the set of known queues, when something failed or was done, and the words that tell why. Of a lease
that ran out, not for how long.

The value is what `contents()` answers, in a fixed order and hashable; both MemoryStore and a real server answer that,
so their values can be compared, and each can be set to a value.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, cast

from minique import lua, wire
from minique.clock import ManualClock
from minique.keys import KEYS, LAYOUT, SUFFIXES
from minique.lua import Command
from minique.redis_store import SCRIPTS, RedisStore
from minique.store import Arrow

NOW = 1_000_000.0
STAMP = f"{NOW:.6f}"

_ADVISORY = {key.suffix for key in KEYS if key.advisory}
_LEFT_OUT = _ADVISORY | {"queues", "lifetimes", "layout", "schedules:revision"}
_JOB, _QUEUE, _BELL, _CLAIM, _LEASED, _DONE, _ANSWER = (
    SUFFIXES[name] for name in ("JOB", "QUEUE", "BELL", "CLAIM", "LEASED", "DONE", "ANSWER")
)

LONG_SECONDS = 100.0
"""What lies further ahead does not come nearer: no story lasts so long."""

Contents = tuple[tuple[str, Any], ...]
"""Pairs of key and value, sorted by key."""

EMPTY: Contents = ()


class Bell(NamedTuple):
    """Not an arrow: the token of a bell is taken by somebody who waits for it. Answers whether there was one."""

    name: str


class Lua(NamedTuple):
    """A script with another text: what to look for in the script as it is sent, and what to put there."""

    file: str
    old: str
    new: str


# From plain contents to the value and on.


def canonical(plain: dict[str, Any], now: float = NOW, clock: tuple[float, float] | None = None) -> Contents:
    """The value of what `contents()` answers, with times as distances from now."""
    found: list[tuple[str, Any]] = [] if clock is None else [("clock", clock)]
    places = {id: tuple(where.split(" ", 1)) for id, where in plain.get(_LEASED, {}).items()}
    for key, value in plain.items():
        if key in _LEFT_OUT:
            continue
        if key.startswith(_JOB):
            value = _undated(value)
        elif key.startswith((_QUEUE, _BELL, _ANSWER)):
            value = tuple(value)
        elif key.startswith(_CLAIM):
            value = tuple((id, places[id][1] if id in places else "") for id in value)
        elif key == _LEASED:
            value = tuple(sorted((id, claim) for id, (claim, _) in places.items()))
        elif key.startswith(_DONE):
            lifetime = float(key.removeprefix(_DONE))
            value = tuple(
                (_distance(float(at) + lifetime, now), ids) for at, _, ids in (one.partition(" ") for one in value)
            )
        elif key in ("delayed", "leases"):
            value = tuple(sorted((member, _distance(at, now)) for member, at in value.items()))
        elif key == "ready":
            value = tuple(sorted(value, key=lambda queue: (value[queue], queue)))
        elif key in ("failed", "subscriptions", "paused"):
            value = tuple(sorted(value))
        elif key == "failures":
            value = tuple(sorted((id, told.partition("\n")[0]) for id, told in value.items()))
        elif key == "slots":
            value = tuple(sorted((entry, " ".join(text.split(" ")[:2])) for entry, text in value.items()))
        else:
            value = tuple(sorted(value.items()))
        found.append((key, value))
    found.sort()
    return tuple(found)


def plain(contents: Contents, now: float = NOW) -> dict[str, Any]:
    """What `contents()` of a server with this value would answer, but for what was left out."""
    found: dict[str, Any] = {}
    for key, value in contents:
        if key == "clock":
            continue
        if key.startswith(_JOB):
            found[key] = _dated(value)
        elif key.startswith((_QUEUE, _BELL, _ANSWER)):
            found[key] = list(value)
        elif key.startswith(_CLAIM):
            found[key] = [id for id, _ in value]
        elif key == _LEASED:
            queues = dict(pair for other, held in contents if other.startswith(_CLAIM) for pair in held)
            found[key] = {id: f"{claim} {queues.get(id)}" for id, claim in value}
        elif key.startswith(_DONE):
            lifetime = float(key.removeprefix(_DONE))
            found[key] = [f"{now + left - lifetime:.6f} {ids}" for left, ids in value]
            found.setdefault("lifetimes", set()).add(key.removeprefix(_DONE))
        elif key in ("delayed", "leases"):
            found[key] = {member: now + left for member, left in value}
        elif key == "ready":
            found[key] = {queue: float(turn) for turn, queue in enumerate(value, start=1)}
        elif key in ("failed", "subscriptions"):
            found[key] = dict.fromkeys(value, NOW)
        elif key == "paused":
            found[key] = set(value)
        elif key == "failures":
            found[key] = {id: f"{claim}\n" for id, claim in value}
        elif key == "slots":
            found[key] = {entry: text + f" {STAMP}" * (" " in text) for entry, text in value}
        else:
            found[key] = dict(value)
    return found


def later(contents: Contents, seconds: float) -> Contents:
    """The same, so many seconds later."""
    found: list[tuple[str, Any]] = []
    for key, value in contents:
        if key in ("delayed", "leases"):
            value = tuple((member, _nearer(left, seconds)) for member, left in value)
        elif key.startswith(_DONE):
            value = tuple((_nearer(left, seconds), ids) for left, ids in value)
        elif key == "clock":
            value = (min(value[0] + seconds, value[1]), value[1])
        found.append((key, value))
    return tuple(found)


def elapsed(contents: Contents) -> float:
    """Seconds since the beginning, where somebody goes by the date; otherwise nobody counts."""
    clock = clock_of(contents)
    return clock[0] if clock else 0.0


def clock_of(contents: Contents) -> tuple[float, float] | None:
    """Seconds since the beginning, and how far they are counted."""
    clock: tuple[float, float] | None = dict(contents).get("clock")
    return clock


def _moved_on(stamp: str, seconds: float) -> str:
    return f"{float(stamp) + seconds:.6f}" if seconds else stamp


def runs_out(contents: Contents, seconds: float) -> bool:
    """Whether a lease runs out within so many seconds."""
    return any(key == "leases" and any(0 < left <= seconds for _, left in value) for key, value in contents)


def _distance(at: float, now: float) -> float:
    return min(LONG_SECONDS, max(0.0, round(at - now, 3)))


def _nearer(left: float, seconds: float) -> float:
    return left if left >= LONG_SECONDS else max(0.0, round(left - seconds, 3))


def _undated(record: str) -> str:
    """`!done TIME claim…` without its time."""
    if not record.startswith("!"):
        return record
    mark, _, rest = record.split(" ", 2)
    return f"{mark} {rest}"


def _dated(record: str) -> str:
    if not record.startswith("!"):
        return record
    mark, rest = record.split(" ", 1)
    return f"{mark} {STAMP} {rest}"


# Servers.


class Server(Protocol):
    def draw(self, contents: Contents, arrow: Arrow | Bell, stamp: str) -> tuple[Contents, Any]:
        """Draw an arrow on a server that holds this; the answer, and what it holds then."""


class MemoryServer:
    """Arrows drawn by MemoryStore, or by a variant of it."""

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind
        self._clock = ManualClock(NOW)

    def draw(self, contents: Contents, arrow: Arrow | Bell, stamp: str) -> tuple[Contents, Any]:
        store = self._set_to(contents)
        clock = clock_of(contents)
        passed = clock[0] if clock else 0.0
        if isinstance(arrow, Bell):
            answer: Any = arrow.name in store._bells
            store._bells.discard(arrow.name)
        else:
            answer = store.trip((arrow,), _moved_on(stamp, passed))[0]
        return canonical(store.contents(), NOW + passed, clock), answer

    def _set_to(self, contents: Contents) -> Any:
        store = self._kind(self._clock)
        now = NOW + elapsed(contents)
        for key, value in contents:
            if key == "clock":
                continue
            if key.startswith(_JOB):
                store._records[key[len(_JOB) :]] = store.record_of(_dated(value))
            elif key.startswith(_QUEUE):
                store._queues[key[len(_QUEUE) :]] = deque(value)
                store._known_queues.add(key[len(_QUEUE) :])
            elif key.startswith(_BELL):
                store._bells.add(key[len(_BELL) :])
            elif key.startswith(_ANSWER):
                store._bells.add(key)
            elif key.startswith(_CLAIM):
                store._claims[key[len(_CLAIM) :]] = dict(value)
            elif key.startswith(_DONE):
                lifetime = int(key.removeprefix(_DONE))
                entries = (("", round(now + left - lifetime, 6), ids.split(" ")) for left, ids in value)
                store._done[lifetime] = deque(entries)
            elif key == "delayed" or key == "leases":
                timed = store._delayed if key == "delayed" else store._leases
                for member, left in value:
                    timed.set(member, now + left)
            elif key == "subscriptions":
                for text in value:
                    store._subscriptions.set(text, NOW)
            elif key == "ready":
                store._ready = OrderedDict.fromkeys(value)
            elif key == "failed":
                store._failed = dict.fromkeys(value, NOW)
            elif key == "paused":
                store._paused = set(value)
            elif key == "deaths":
                store._deaths = {id: lines.split("\n") for id, lines in value}
            elif key == "failures:count":
                store._failure_counts = {id: int(count) for id, count in value}
            elif key == "waiters":
                store._waiters = {id: names.split(" ") for id, names in value}
            elif key == "failures":
                store._failures = {id: f"{claim}\n" for id, claim in value}
            elif key == "slots":
                store._slots = {entry: (*(f"{text} ".split(" ")[:2]), "") for entry, text in value}
            else:
                setattr(store, {"leased": "_leased", "unique": "_unique", "schedules": "_schedules"}[key], dict(value))
        return store


class LuaServer:
    """Arrows drawn by the scripts, on whatever `call` sends commands to: a server in this process, or a real one.

    Everything under the namespace is thrown away before each step.
    """

    def __init__(self, server: Any, changes: Sequence[Lua] = (), namespace: str = "explored") -> None:
        self._wire = Patched(server, changes)
        self._store = RedisStore(cast(wire.Server, self._wire), namespace)
        self._prefix = self._store.prefix
        self._held: Contents | None = None
        """What it is known to hold; None when that must be looked up."""

    def draw(self, contents: Contents, arrow: Arrow | Bell, stamp: str) -> tuple[Contents, Any]:
        self.set_to(contents)
        clock = clock_of(contents)
        passed = clock[0] if clock else 0.0
        answer = self.step(arrow, _moved_on(stamp, passed))
        self._held = canonical(self._store.contents(), NOW + passed, clock)
        return self._held, answer

    def step(self, arrow: Arrow | Bell, stamp: str) -> Any:
        self._held = None
        if isinstance(arrow, Bell):
            return self._wire.call_one("LPOP", self._prefix + _BELL + arrow.name) is not None
        return self._store.trip((arrow,), stamp)[0]

    def have_run_out(self, claims: Sequence[str], now: float) -> None:
        """Have these leases, all of which have run out, done so in this order."""
        scores = [
            part for place, claim in enumerate(claims) for part in (repr(now - (len(claims) - place) / 1000), claim)
        ]
        self._held = None
        self._wire.call_one("ZADD", f"{self._prefix}{SUFFIXES['LEASES']}", "XX", *scores)

    def contents(self, now: float = NOW, clock: tuple[float, float] | None = None) -> Contents:
        return canonical(self._store.contents(), now, clock)

    def set_to(self, contents: Contents) -> None:
        """Make the namespace hold this and nothing else; only what differs is written."""
        commands: list[Command] = []
        if self._held is None:
            commands += [("DEL", self._prefix + key) for key in self._store.contents()]
            commands.append(("SET", f"{self._prefix}layout", LAYOUT))
        now = NOW + elapsed(contents)
        old, new = dict(self._held or EMPTY), dict(contents)
        if old.pop("clock", (0.0, 0.0))[0] != new.pop("clock", (0.0, 0.0))[0]:
            dated = ("leases", "delayed", _DONE)
            old = {key: None if key.startswith(dated) else value for key, value in old.items()}
        different = [key for key, value in new.items() if old.get(key) != value]
        gone = [*(key for key in old if key not in new), *different]
        gone += ["schedules:revision"] if "schedules" in old or "schedules" in new else []
        gone += ["lifetimes"] if any(key.startswith(_DONE) for key in (*gone, *new)) else []
        commands += [("DEL", self._prefix + key) for key in gone]
        lifetimes = tuple(one for one in contents if one[0].startswith(_DONE))
        for key, value in {**_only(plain(contents, now), *different), **_only(plain(lifetimes), "lifetimes")}.items():
            name = self._prefix + key
            if isinstance(value, str):
                commands.append(("SET", name, value))
            elif isinstance(value, list):
                commands.append(("RPUSH", name, *value))
            elif isinstance(value, set):
                commands.append(("SADD", name, *sorted(value)))
            elif all(isinstance(one, float) for one in value.values()):
                commands.append(("ZADD", name, *(part for pair in value.items() for part in (repr(pair[1]), pair[0]))))
            else:
                commands.append(("HSET", name, *(part for pair in value.items() for part in pair)))
        if commands:
            for reply in self._wire.call(commands):
                wire.checked(reply)
        self._held = contents


def _only(found: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: found[key] for key in keys if key in found}


class Patched:
    """A wire on which changed scripts are sent in place of those that ship.

    A change applies to every script whose text holds it: that of its own name, and those that `use` it.
    """

    def __init__(self, server: Any, changes: Sequence[Lua]) -> None:
        self._wire = server
        self._instead: dict[str, str] = {}
        for change in changes:
            name = change.file.removesuffix(".lua")
            hits = 0
            for script in map(lua.load, SCRIPTS):
                if script.name != name and name not in _uses(script.name):
                    continue
                source = self._instead.get(script.sha, script.source)
                if source.count(change.old) != 1:
                    continue
                hits += 1
                self._instead[script.sha] = source.replace(change.old, change.new)
            if not hits:
                raise NoSuchText(f"{change.file} has no place, or several, that read {change.old!r}")

    def call(self, commands: Sequence[Command]) -> list[Any]:
        if not self._instead:
            return list(self._wire.call(commands))
        return list(self._wire.call([self._changed(command) for command in commands]))

    def call_one(self, *command: Any) -> Any:
        return self._wire.call_one(*self._changed(command))

    def close(self) -> None:
        self._wire.close()

    def _changed(self, command: Command) -> Command:
        if command[0] == "EVALSHA" and command[1] in self._instead:
            return ("EVAL", self._instead[str(command[1])], *command[2:])
        return command


class NoSuchText(Exception):
    """What is to be replaced does not stand there exactly once."""


def _uses(name: str) -> Sequence[str]:
    return lua._header(lua._read(name)).get("uses", "").split()


Draw = Callable[[Contents, Arrow | Bell, str], tuple[Contents, Any]]
