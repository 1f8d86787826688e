"""Look inside Redis: a private server, commands as `redis-cli` would show them, contents, and what an operation sends.

    redis = a_private_server()                    # a real Valkey from a wheel, for this lesson alone
    redis("RPUSH orders 44", "LRANGE orders 0 -1")  # prints each command and its reply
    redis.ask("LPOP orders")                      # the bare reply
    redis.steps("RPUSH orders 44", "LPOP orders") # a table: command, reply, contents afterwards
    look_into(mq)                                 # what minique's store holds: on a server, or in memory
    commands_of(mq, lambda: mq.enqueue(...))      # every command that this sends, those inside of scripts too

What differs from run to run is given a name that does not: ids become job-1, job-2, times count from a moment that is
given, or read `(a time)`.
"""

from __future__ import annotations

import atexit
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from redis import Redis

from minique import lua
from minique.client import Client
from minique.connect import connect
from minique.keys import KEYS
from minique.redis_store import SCRIPTS, RedisStore
from minique.wire import Server
from notebooks.showing import Table

_ID = re.compile(r"\b0[0-9a-hjkmnp-tv-z]{19}\b")  # as minique makes them; the times of this age begin with a zero
_TIME = re.compile(r"(?<![\d.])(\d{9,10}(?:\.\d+)?)(?![\d.])")


class Names:
    """Gives names that stay to what is new in each run; the same one for the same thing."""

    def __init__(self, zero: float | None = None) -> None:
        self._zero = zero
        self._ids: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        text = _ID.sub(lambda found: self._ids.setdefault(found[0], f"job-{len(self._ids) + 1}"), text)
        return _TIME.sub(lambda found: self._time(float(found[1])), text)

    def _time(self, moment: float) -> str:
        if self._zero is None:
            return "(a time)"
        return f"{moment - self._zero:g} s"


class Contents:
    """Keys with their types and what they hold."""

    def __init__(self, found: Mapping[str, Any], names: Callable[[str], str] = str) -> None:
        rows = [(names(key), _kind(value), _lines(value, names)) for key, value in sorted(found.items())]
        self._rows = sorted(rows)  # again, by the names that are shown

    def __repr__(self) -> str:
        return self.text("(nothing)")

    def text(self, empty: str) -> str:
        """The same for a cell of a table, with words for no key at all."""
        rows = [f"{key}  ({kind})\n" + "\n".join(f"  {line}" for line in lines) for key, kind, lines in self._rows]
        return "\n".join(rows) or empty

    def _repr_html_(self) -> str:
        cells = [
            f"<tr><td><code>{escape(key)}</code></td><td>{kind}</td>"
            f"<td>{'<br>'.join(f'<code>{escape(line)}</code>' for line in lines)}</td></tr>"
            for key, kind, lines in self._rows
        ]
        rows = "\n".join(cells) or "<tr><td colspan=3><i>nothing</i></td></tr>"
        return f"<table>\n<tr><th>key</th><th>type</th><th>holds</th></tr>\n{rows}\n</table>"


class ScoredSet(dict[str, float]):
    """A sorted set, to be told from a hash."""


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {list: "list", set: "set", ScoredSet: "sorted set", dict: "hash", str: "string"}
    return kinds[type(value)]


def _lines(value: Any, names: Callable[[str], str]) -> list[str]:
    if isinstance(value, str):
        return [names(line) for line in value.split("\n")]
    if isinstance(value, list):
        return [f"{n}: {names(one)}" for n, one in enumerate(value)]
    if isinstance(value, set):
        return sorted(names(one) for one in value)
    if isinstance(value, ScoredSet):
        pairs = sorted(value.items(), key=lambda pair: (pair[1], pair[0]))
        return [f"{names(member)} → {names(_number(score))}" for member, score in pairs]
    return [f"{names(field)}: {names(one)}" for field, one in sorted(value.items())]


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


class ByHand:
    """A connection to a server, for commands as one types them."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __call__(self, *lines: str) -> None:
        """Sends the commands, and prints each with its reply, as redis-cli does."""
        for line in lines:
            print(f"> {line}\n{_as_cli(self._send(line))}")

    def ask(self, line: str) -> Any:
        """Sends one command and returns its reply. Raises RuntimeError when the server refuses it."""
        reply = self._send(line)
        if isinstance(reply, Exception):
            raise RuntimeError(f"{line}: {reply}")
        return reply

    def steps(self, *lines: str) -> Table:
        """Sends the commands: each with its reply, and what the server holds afterwards."""
        rows = [["(to begin with)", "", self.contents().text("(nothing)")]]
        for line in lines:
            reply = _as_cli(self._send(line))
            rows.append([line, reply, self.contents().text("(nothing)")])
        headings = ["command", "reply", "the server holds"]
        return Table(headings, rows, code=headings)

    def contents(self) -> Contents:
        """All that the server holds."""
        return Contents(_read(self._server))

    def clear(self) -> None:
        """Forgets everything."""
        self._server.call_one("FLUSHALL")

    def _send(self, line: str) -> Any:
        [reply] = self._server.call([tuple(shlex.split(line))])
        return reply


def _as_cli(reply: Any) -> str:
    if isinstance(reply, Exception):
        return f"(error) {reply}"
    if isinstance(reply, int):
        return f"(integer) {reply}"
    if reply is None:
        return "(nil)"
    if isinstance(reply, list):
        return "\n".join(f"{n}) {_as_cli(one)}" for n, one in enumerate(reply, start=1)) or "(empty array)"
    return reply if reply in ("OK", "PONG", "QUEUED") else f'"{reply}"'


def _read(server: Server, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in sorted(server.call_one("KEYS", f"{prefix}*")):
        kind = server.call_one("TYPE", key)
        if kind == "string":
            found[key] = server.call_one("GET", key)
        elif kind == "list":
            found[key] = server.call_one("LRANGE", key, 0, -1)
        elif kind == "set":
            found[key] = set(server.call_one("SMEMBERS", key))
        elif kind == "zset":
            flat = server.call_one("ZRANGE", key, 0, -1, "WITHSCORES")
            found[key] = ScoredSet(zip(flat[::2], map(float, flat[1::2]), strict=True))
        else:
            flat = server.call_one("HGETALL", key)
            found[key] = dict(zip(flat[::2], flat[1::2], strict=True))
    return found


def _private_url() -> str:
    folder = tempfile.mkdtemp(prefix="mq-")
    # The server ends with this process by itself, before this.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return f"embedded://{folder}"


def a_private_server() -> ByHand:
    """A real Valkey server, empty, for this process alone; it ends with it."""
    client = connect(_private_url())
    assert isinstance(client.store, RedisStore)
    return ByHand(client.store.server)


def a_private_redis() -> Redis:
    """The same for programs: the usual Python client of a real Valkey server of its own."""
    store = connect(_private_url()).store
    assert isinstance(store, RedisStore)
    return Redis.from_url(store.server.url, decode_responses=True)


def a_private_queue(**options: Any) -> Client:
    """minique on a real Valkey server of its own; it ends with this process."""
    return connect(_private_url(), **options)


# What minique keeps and sends.

_ADVISORY = {key.suffix for key in KEYS if key.advisory} | {"layout"}
_SORTED = {key.suffix for key in KEYS if key.type == "sorted set"}


def look_into(mq: Client, names: Callable[[str], str] | None = None, everything: bool = False) -> Contents:
    """What the store of this client holds, without the prefix of its keys and without what only people look at."""
    store: Any = mq.store
    found = {
        key: ScoredSet(value) if key in _SORTED else value
        for key, value in store.contents().items()
        if everything or key not in _ADVISORY
    }
    return Contents(found, names or Names())


def commands_of(mq: Client, operation: Callable[[], object], names: Callable[[str], str] | None = None) -> Table:
    """Does it, and shows every command that reached the server: what was sent, and what scripts did there."""
    assert isinstance(mq.store, RedisStore), "in memory there are no commands: use a_private_queue()"
    server, prefix = mq.store.server, mq.store.prefix
    names = names or Names()
    of_sha = {lua.load(name).sha: f"{name}.lua" for name in SCRIPTS}
    told: list[tuple[str, str]] = []
    watcher = server.take()
    try:
        watcher.send_command("MONITOR")
        watcher.read_response()
        operation()
        server.call_one("ECHO", "the end")
        while "the end" not in (line := str(watcher.read_response())):
            found = re.fullmatch(r"[\d.]+ \[\d+ (\S+)\] (.*)", line)
            assert found is not None, line
            if found[2].startswith('"CLIENT"'):
                continue  # a connection says hello
            words = [_short(word, prefix, of_sha, names) for word in shlex.split(found[2])]
            told.append(("  in the script" if found[1] == "lua" else "sent", " ".join(words)))
    finally:
        watcher.disconnect()
    return Table(["", "command"], told, code=["command"])


def _short(word: str, prefix: str, of_sha: Mapping[str, str], names: Callable[[str], str]) -> str:
    word = of_sha.get(word, word).replace(prefix, "").replace("\\n", "⏎")
    return names(word) or '""'
