"""What the processes of a rung share, as one small value; and what a step does to it.

The value is hashable and holds times as distances from now: what is overdue is overdue, no matter for how long. A step
is carried out by the code that is also used elsewhere (`MemoryServer`, which the tests hold against real servers, or
SQLite itself) on a server that is set to the value before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

from naive_daemon.database import Database
from simulate.designs.server import MemoryServer
from simulate.explore.ladder.programs import NOW, Stop

Contents = tuple[Any, ...]


class Shared(Protocol):
    """A kind of server, by what its contents are."""

    empty: Contents
    is_synced: bool
    """Whether a step is on the disk when it is answered."""

    def step(self, contents: Contents, stop: Stop) -> tuple[Contents, Any]:
        """Carries out a step on a server that holds this; what it holds then, and the answer."""

    def is_ready(self, contents: Contents, stop: Stop) -> bool:
        """Whether a step that waits has something to take."""

    def later(self, contents: Contents, seconds: float) -> Contents:
        """The same, so many seconds later."""


_TWINS = {"blpop": "lpop", "blmove": "lmove"}


class Lists:
    """Lists, sets, strings and sorted sets whose scores are times."""

    empty: Contents = ()
    is_synced = False  # append-only file, written once a second: what Redis and Valkey recommend

    def __init__(self, leave_out: tuple[str, ...] = ()) -> None:
        self._leave_out = leave_out
        """Keys that nobody decides by."""

    def step(self, contents: Contents, stop: Stop) -> tuple[Contents, Any]:
        server = _server_of(contents)
        answer = carried_out(server, stop)
        return self.read(server), answer

    def is_ready(self, contents: Contents, stop: Stop) -> bool:
        return any(name == stop.arguments[0] for _, name, _ in contents)

    def later(self, contents: Contents, seconds: float) -> Contents:
        return tuple(
            (kind, name, tuple(sorted((member, max(0.0, round(left - seconds, 3))) for member, left in value)))
            if kind == "scores"
            else (kind, name, value)
            for kind, name, value in contents
        )

    def read(self, server: MemoryServer) -> Contents:
        found: list[tuple[str, str, Any]] = []
        found += [("list", name, tuple(values)) for name, values in server._lists.items()]
        found += [("set", name, tuple(sorted(values))) for name, values in server._sets.items()]
        found += [("string", name, value) for name, value in server._strings.items()]
        found += [
            ("scores", name, tuple(sorted((member, max(0.0, round(at - NOW, 3))) for member, at in scores.items())))
            for name, scores in server._scores.items()
        ]
        return ordered(found, self._leave_out)


def ordered(found: Iterable[tuple[str, str, Any]], leave_out: tuple[str, ...]) -> Contents:
    """Keys with their kinds and values, as a value."""
    return tuple(sorted(one for one in found if one[1] not in leave_out))


def _server_of(contents: Contents) -> MemoryServer:
    server = MemoryServer()
    for kind, name, value in contents:
        if kind == "list":
            server._lists[name] = deque(value)
        elif kind == "set":
            server._sets[name] = set(value)
        elif kind == "string":
            server._strings[name] = value
        else:
            server._scores[name] = {member: NOW + left for member, left in value}
    return server


def carried_out(server: Any, stop: Stop) -> Any:
    """The answer of a server, real or not, to a step; as a value that cannot be changed."""
    arguments = stop.arguments
    if stop.what == "zadd":
        arguments = (arguments[0], dict(arguments[1]))
    answer = getattr(server, _TWINS.get(stop.what, stop.what))(*arguments)
    if stop.what == "blpop" and answer is not None:
        answer = (arguments[0], answer)
    if isinstance(answer, set):
        return frozenset(answer)
    return tuple(answer) if isinstance(answer, list) else answer


_FULL = 2  # SQLite writes the disk before a statement is answered


class Rows:
    """The daemon's table, in SQLite. A row: id, work, arguments, due, state, claimed_by, claimed_at, error; both times
    relative to now."""

    empty: Contents = ()

    def __init__(self) -> None:
        self._database = Database()
        [(synchronous,)] = self._database.execute("PRAGMA synchronous")
        self.is_synced = synchronous >= _FULL

    def step(self, contents: Contents, stop: Stop) -> tuple[Contents, Any]:
        self._set_to(contents)
        answer = executed(self._database, stop)
        return read_rows(self._database), answer

    def is_ready(self, contents: Contents, stop: Stop) -> bool:
        return True  # nobody waits at a table

    def later(self, contents: Contents, seconds: float) -> Contents:
        return tuple(
            (*row[:3], max(0.0, round(row[3] - seconds, 3)), *row[4:6], _older(row[6], seconds), row[7])
            for row in contents
        )

    def _set_to(self, contents: Contents) -> None:
        self._database.execute("DELETE FROM rows")
        for id, work, arguments, due, state, claimed_by, claimed_at, error in contents:
            self._database.execute(
                "INSERT INTO rows (id, work, arguments, created, due, state, claimed_by, claimed_at, error) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (id, work, arguments, NOW, NOW + due, state, claimed_by, _at(claimed_at), error),
            )


LONGEST_CLAIM_SECONDS = 90.0
"""A claim that old has run out, whatever the timeout that is explored."""


def _older(claimed_at: float | None, seconds: float) -> float | None:
    return None if claimed_at is None else max(-LONGEST_CLAIM_SECONDS, round(claimed_at - seconds, 3))


def _at(claimed_at: float | None) -> float | None:
    return None if claimed_at is None else NOW + claimed_at


def executed(database: Database, stop: Stop) -> Any:
    values = stop.arguments
    named = bool(values) and isinstance(values[0], tuple)
    return tuple(map(tuple, database.execute(stop.what, dict(values) if named else values)))


def read_rows(database: Database) -> Contents:
    rows = database.execute(
        "SELECT id, work, arguments, due, state, claimed_by, claimed_at, error FROM rows ORDER BY id"
    )
    return tuple(
        (
            *row[:3],
            max(0.0, round(row[3] - NOW, 3)),
            *row[4:6],
            None if row[6] is None else max(-LONGEST_CLAIM_SECONDS, round(row[6] - NOW, 3)),
            row[7],
        )
        for row in rows
    )
