"""All that a server holds under a prefix, as plain Python: for tests and teaching, not for large stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minique.lua import Command
from minique.wire import Server

_READ: dict[str, Callable[[str], Command]] = {
    "string": lambda name: ("GET", name),
    "list": lambda name: ("LRANGE", name, 0, -1),
    "set": lambda name: ("SMEMBERS", name),
    "zset": lambda name: ("ZRANGE", name, 0, -1, "WITHSCORES"),
    "hash": lambda name: ("HGETALL", name),
}


def read(server: Server, prefix: str) -> dict[str, Any]:
    """Every key that begins with the prefix, without it, and its value."""
    names = sorted(_names(server, prefix))
    kinds = server.call([("TYPE", name) for name in names])
    values = server.call([_READ[kind](name) for name, kind in zip(names, kinds, strict=True)])
    return {name[len(prefix) :]: _plain(kind, value) for name, kind, value in zip(names, kinds, values, strict=True)}


def _names(server: Server, prefix: str) -> set[str]:
    names: set[str] = set()
    cursor = "0"
    while True:
        # The braces of the hash tag mean nothing to the pattern; an asterisk cannot stand in a namespace.
        cursor, found = server.call_one("SCAN", cursor, "MATCH", prefix + "*", "COUNT", 1000)
        names.update(found)
        if str(cursor) == "0":
            return names


def _plain(kind: str, value: Any) -> Any:
    if kind == "set":
        return set(value)
    if kind in ("zset", "hash"):
        pairs = zip(value[::2], value[1::2], strict=True)
        return {member: float(score) for member, score in pairs} if kind == "zset" else dict(pairs)
    return value
