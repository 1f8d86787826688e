"""The verbs of `store.py` on Redis or Valkey: one script each.

A trip is one pipeline of script calls. What stands here is translation only: an arrow to the arguments of its script,
a reply to the arrow's answer. What an arrow does is in `scripts/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minique import keys, lua
from minique.errors import LayoutMismatch
from minique.lua import Command
from minique.store import (
    NOTHING_CLAIMED,
    Arrow,
    Beat,
    Cancel,
    Claim,
    Claimed,
    Complete,
    Delay,
    Discard,
    Ear,
    Enqueue,
    Fail,
    Forget,
    Leased,
    Look,
    Overview,
    Page,
    Pause,
    Promote,
    Promoted,
    QueueRow,
    Reap,
    Reaped,
    Record,
    Release,
    Renew,
    Requeue,
    Resume,
    Retry,
    Ring,
    See,
    Store,
    Watch,
    WorkerRow,
)
from minique.wire import BellEar, Server, checked, is_missing_script

# The server wants a bound on the arguments of one call; and a long script keeps everybody waiting.
ENQUEUE_AT_ONCE = 1000


class RedisStore(Store):
    """Jobs on a server, under one namespace. Safe to use from several threads, and after a fork."""

    def __init__(self, server: Server, namespace: str = "default") -> None:
        self.server = server
        self.namespace = namespace
        self.prefix = keys.prefix(namespace)
        self._layout_is_known = False

    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        if not self._layout_is_known:
            self._check_layout()
        prefix = self.prefix
        commands = [_TO_COMMAND[type(arrow)](prefix, now, arrow) for arrow in arrows]
        replies = self.server.call(commands)
        missing = next((n for n, reply in enumerate(replies) if is_missing_script(reply)), None)
        if missing is not None:
            # The server is new, or restarted. From the first missing script on, all arrows are drawn again, which they
            # may; those before it keep their answers.
            self.server.call([("SCRIPT", "LOAD", lua.load(name).source) for name in SCRIPTS])
            replies[missing:] = self.server.call(commands[missing:])
        return [_answer(arrow, checked(reply)) for arrow, reply in zip(arrows, replies, strict=True)]

    def listen(self, bell: str, seconds: float) -> Ear:
        return _Ear(self, bell, seconds)

    def contents(self) -> dict[str, Any]:
        """Every key of the namespace and its value as plain Python: for tests and teaching, not for large stores."""
        names = sorted(_all_names(self.server, self.prefix))
        types = self.server.call([("TYPE", name) for name in names])
        values = self.server.call([_READ[kind](name) for name, kind in zip(names, types, strict=True)])
        return {
            name[len(self.prefix) :]: _plain(kind, value)
            for name, kind, value in zip(names, types, values, strict=True)
        }

    def close(self) -> None:
        self.server.close()

    def _check_layout(self) -> None:
        key = self.prefix + keys.SUFFIXES["LAYOUT"]
        _, found = map(checked, self.server.call([("SETNX", key, keys.LAYOUT), ("GET", key)]))
        if found != keys.LAYOUT:
            raise LayoutMismatch(
                f"the namespace {self.namespace!r} at {self.server} has key layout {found!r}, and this release reads "
                f"{keys.LAYOUT!r}: use the release that wrote it, or another namespace"
            )
        self._layout_is_known = True


class _Ear(BellEar):
    def __init__(self, store: RedisStore, bell: str, seconds: float) -> None:
        super().__init__(store.server, store.prefix + _bell_key(bell), seconds)
        self._store = store
        self._bell = bell

    def leave(self) -> None:
        super().leave()
        if not self._bell.startswith(keys.SUFFIXES["ANSWER"]):
            self._store.ring("", self._bell)


def _bell_key(bell: str) -> str:
    return bell if bell.startswith(keys.SUFFIXES["ANSWER"]) else keys.SUFFIXES["BELL"] + bell


# An arrow to its command.


def _record(queue: str, body: str) -> str:
    return f"{queue}\n{body}"


def _enqueue(prefix: str, now: str, arrow: Enqueue) -> Command:
    pairs = [text for id, body in arrow.jobs for text in (id, _record(arrow.queue, body))]
    return lua.load("enqueue").command(prefix, now, arrow.queue, *pairs)


def _complete(prefix: str, now: str, arrow: Complete) -> Command:
    triples: list[str] = []
    for job in arrow.jobs:
        triples += (job.id, f"{'' if job.went_back else '-'}{job.lifetime_seconds}", job.result)
    return lua.load("complete").command(prefix, now, arrow.claim, *triples)


def _delay(prefix: str, now: str, arrow: Delay) -> Command:
    return lua.load("delay").command(prefix, now, arrow.due, arrow.id, _record(arrow.queue, arrow.body))


def _page(prefix: str, now: str, arrow: Page) -> Command:
    # Counted from the end when negative, so that a page of nothing cannot be asked for at the beginning.
    first, last = (arrow.start, arrow.start + arrow.limit - 1) if arrow.limit > 0 else (1, 0)
    if arrow.where.startswith("queue:"):
        return ("LRANGE", prefix + arrow.where, first, last)
    order = "ZREVRANGE" if arrow.newest_first else "ZRANGE"
    return (order, prefix + arrow.where, first, last, "WITHSCORES")


def _with_now(name: str) -> Callable[[str, str, Any], Command]:
    """For arrows whose fields stand in the order of the script's arguments, after `now`."""
    return lambda prefix, now, arrow: lua.load(name).command(prefix, now, *arrow)


def _without_now(name: str) -> Callable[[str, str, Any], Command]:
    return lambda prefix, now, arrow: lua.load(name).command(prefix, *arrow)


_TO_COMMAND: dict[type, Callable[[str, str, Any], Command]] = {
    Enqueue: _enqueue,
    Delay: _delay,
    Promote: _with_now("promote"),
    Claim: _with_now("claim"),
    Renew: _with_now("renew"),
    Complete: _complete,
    Retry: _with_now("retry"),
    Fail: _with_now("fail"),
    Release: lambda prefix, now, arrow: lua.load("release").command(prefix, now, arrow.claim, *arrow.ids),
    Reap: _with_now("reap"),
    Requeue: _with_now("requeue"),
    Discard: _with_now("discard"),
    Cancel: _with_now("cancel"),
    Forget: _with_now("forget"),
    Look: _without_now("look"),
    Watch: _without_now("watch"),
    Beat: _with_now("beat"),
    Ring: _without_now("ring"),
    Pause: _without_now("pause"),
    Resume: _without_now("resume"),
    See: _with_now("overview"),
    Page: _page,
}

SCRIPTS = (
    "enqueue", "delay", "promote", "claim", "renew", "complete", "retry", "fail", "release", "reap", "requeue",
    "discard", "cancel", "forget", "look", "watch", "beat", "ring", "pause", "resume", "overview",
)  # fmt: skip


# A reply to its answer.


def _optional(text: str) -> float | None:
    return float(text) if text else None


def _claimed(reply: list[str]) -> Claimed:
    if not reply:
        return NOTHING_CLAIMED
    jobs = tuple(
        Leased(reply[i], reply[i + 1], int(reply[i + 2]), int(reply[i + 3]), reply[i + 4])
        for i in range(1, len(reply), 5)
    )
    return Claimed(float(reply[0]), jobs)


def _reaped(reply: list[Any]) -> Reaped:
    back_to = 2 + reply[1]
    return Reaped(tuple(reply[2:back_to]), tuple(reply[back_to:]), _optional(reply[0]))


def _looked(reply: list[str]) -> Record:
    state, at, claim, failure, failures, deaths, record = reply
    # The claim that wrote a failure stands before it, so that a repeated call can be told.
    return Record(state, _optional(at), claim, failure.partition("\n")[2], int(failures), int(deaths), record)


def _overview(reply: list[Any]) -> Overview:
    now, leased, claims_overdue, delayed, next_due, overdue, failed, queues, workers, stats = reply
    return Overview(
        now=float(now),
        queues=tuple(QueueRow(name, length, next_id, paused == 1) for name, length, next_id, paused in queues),
        leased=leased,
        claims_overdue=claims_overdue,
        delayed=delayed,
        next_due=_optional(next_due),
        delayed_overdue=overdue,
        failed=failed,
        workers=tuple(WorkerRow(name, float(silent), about) for name, silent, about in workers),
        stats={stats[i]: int(stats[i + 1]) for i in range(0, len(stats), 2)},
    )


def _paged(arrow: Page, reply: list[Any]) -> list[tuple[str, float | None]]:
    if arrow.where.startswith("queue:"):
        return [(id, None) for id in reply]
    return [(reply[i], float(reply[i + 1])) for i in range(0, len(reply), 2)]


def _flag(reply: int) -> bool:
    return reply == 1


def _answer(arrow: Arrow, reply: Any) -> Any:
    return _paged(arrow, reply) if isinstance(arrow, Page) else _TO_ANSWER[type(arrow)](reply)


_TO_ANSWER: dict[type, Callable[[Any], Any]] = {
    Enqueue: lambda reply: [one == 1 for one in reply],
    Delay: _flag,
    Promote: lambda reply: Promoted(reply[0], _optional(reply[1])),
    Claim: _claimed,
    Renew: _flag,
    Complete: lambda reply: [one == 1 for one in reply],
    Retry: _flag,
    Fail: _flag,
    Release: int,
    Reap: _reaped,
    Requeue: lambda reply: None if reply == -1 else reply == 1,
    Discard: _flag,
    Cancel: str,
    Forget: int,
    Look: _looked,
    Watch: str,
    Beat: _flag,
    Ring: _flag,
    Pause: _flag,
    Resume: _flag,
    See: _overview,
}


# For `contents`.

_READ: dict[str, Callable[[str], Command]] = {
    "string": lambda name: ("GET", name),
    "list": lambda name: ("LRANGE", name, 0, -1),
    "set": lambda name: ("SMEMBERS", name),
    "zset": lambda name: ("ZRANGE", name, 0, -1, "WITHSCORES"),
    "hash": lambda name: ("HGETALL", name),
}


def _plain(kind: str, value: Any) -> Any:
    if kind == "set":
        return set(value)
    if kind == "zset":
        return {value[i]: float(value[i + 1]) for i in range(0, len(value), 2)}
    if kind == "hash":
        return {value[i]: value[i + 1] for i in range(0, len(value), 2)}
    return value


def _all_names(server: Server, prefix: str) -> list[str]:
    names: list[str] = []
    cursor = "0"
    while True:
        # The braces of the hash tag mean nothing to the pattern; an asterisk cannot stand in a namespace.
        cursor, found = server.call_one("SCAN", cursor, "MATCH", prefix + "*", "COUNT", 1000)
        names += found
        if str(cursor) == "0":
            return list(dict.fromkeys(names))
