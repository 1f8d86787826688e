"""The verbs of `store.py` on Redis or Valkey: one script each.

A trip is one pipeline of script calls. What stands here is translation only: an arrow to the arguments of its script,
a reply to the arrow's answer. What an arrow does is in `scripts/`, under the arrow's name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby, repeat
from operator import itemgetter
from typing import Any

from minique import contents, keys, lua, store
from minique.bells import Bells
from minique.clock import Clock, SystemClock
from minique.errors import LayoutMismatch
from minique.lua import Command
from minique.quick import maker
from minique.wire import Server, checked, is_missing_script


class RedisStore(store.Store):
    """Jobs on a server, under one namespace. Safe to use from several threads, and after a fork."""

    def __init__(self, server: Server, namespace: str = "default", clock: Clock | None = None) -> None:
        self.server = server
        self.namespace = namespace
        self.prefix = keys.prefix(namespace)
        self._layout_is_known = False
        self._bells = Bells(
            server, self.prefix, clock or SystemClock(), partial(self.ring, ""), partial(self.release, "")
        )

    def trip(self, arrows: Sequence[store.Arrow], now: str) -> list[Any]:
        if not self._layout_is_known:
            self._check_layout()
        commands = [_command(self.prefix, now, arrow) for arrow in arrows]
        said = self._bells.take_answer(arrows)
        replies = [said.reply] if said else self.server.call(commands)
        missing = next((n for n, reply in enumerate(replies) if is_missing_script(reply)), None)
        if missing is not None:
            # The server is new, or restarted. From the first missing script on, all arrows are drawn again, which they
            # may; those before it keep their answers.
            self.server.call([("SCRIPT", "LOAD", lua.load(name).source) for name in SCRIPTS])
            replies[missing:] = self.server.call(commands[missing:])
        answers = [_answer(arrow, checked(reply)) for arrow, reply in zip(arrows, replies, strict=True)]
        self._bells.expect(arrows, commands, answers)
        return self._bells.aged(answers, said) if said else answers

    def listen(self, bell: str, seconds: float) -> store.Ear:
        return self._bells.listen(bell, seconds)

    def trip_and_listen(self, arrows: Sequence[store.Arrow], now: str, bell: str, seconds: float) -> list[Any]:
        commands = [_command(self.prefix, now, arrow) for arrow in arrows]
        replies = self._bells.call_and_listen(arrows, commands, bell, seconds) if self._layout_is_known else None
        if replies is None:
            return self.trip(arrows, now)  # arrows may be drawn again
        answers = list(map(_answer, arrows, replies))
        self._bells.expect(arrows, commands, answers)
        return answers

    def has_drawn(self) -> bool:
        return self._bells.has_drawn()

    def hush(self) -> None:
        self._bells.hush()

    def contents(self) -> dict[str, Any]:
        """Every key of the namespace and its value as plain Python: for tests and teaching, not for large stores."""
        return contents.read(self.server, self.prefix)

    def close(self) -> None:
        self.server.close()

    def _check_layout(self) -> None:
        key = self.prefix + keys.SUFFIXES["LAYOUT"]
        found = self.server.call_one("GET", key)
        if found is None:
            # Written only when it is not there, so that a server whose memory is full can still be looked at.
            _, found = map(checked, self.server.call([("SETNX", key, keys.LAYOUT), ("GET", key)]))
        if found != keys.LAYOUT:
            raise LayoutMismatch(
                f"the namespace {self.namespace!r} at {self.server} has key layout {found!r}, and this release reads "
                f"{keys.LAYOUT!r}: use the release that wrote it, or another namespace"
            )
        self._layout_is_known = True


# An arrow to its command.


def _command(prefix: str, now: str, arrow: store.Arrow) -> Command:
    if isinstance(arrow, store.Page):
        # Counted from the end when negative, so that a page of nothing cannot be asked for at the beginning.
        first, last = (arrow.start, arrow.start + arrow.limit - 1) if arrow.limit > 0 else (1, 0)
        if arrow.where.startswith("queue:"):
            return ("LRANGE", prefix + arrow.where, first, last)
        order = "ZREVRANGE" if arrow.newest_first else "ZRANGE"
        return (order, prefix + arrow.where, first, last, "WITHSCORES")
    kind = type(arrow)
    script = lua.load(_NAMES[kind])
    arguments = _ARGUMENTS.get(kind, tuple)(arrow)
    return script.command(prefix, now, *arguments) if script.takes_now else script.command(prefix, *arguments)


def _complete(arrow: store.Complete) -> list[lua.Value]:
    words: list[lua.Value] = [arrow.claim]
    for (result, lifetime_seconds, went_back, follow_ups), group in groupby(arrow.jobs, itemgetter(slice(1, None))):
        ids = [job.id for job in group]
        # The minus sign tells the script that there are no counts to clear.
        words += (len(ids), f"{'' if went_back else '-'}{lifetime_seconds}", result, *ids)
        for next in follow_ups:
            words += (f"+{next.id}", next.due, f"{next.queue}\n{next.body}")
    return words


# An arrow's fields stand in the order of its script's arguments, but for these.
_ARGUMENTS: dict[type, Callable[[Any], Sequence[lua.Value]]] = {
    store.Enqueue: lambda arrow: [
        arrow.queue, *[text for id, body in arrow.jobs for text in (id, f"{arrow.queue}\n{body}")]
    ],
    store.Delay: lambda arrow: (arrow.due, arrow.id, f"{arrow.queue}\n{arrow.body}"),
    store.Complete: _complete,
    store.Release: lambda arrow: (arrow.claim, *arrow.ids),
    store.Fire: lambda arrow: (*arrow[:6], f"{arrow.queue}\n{arrow.body}", arrow.known_cursor),
    store.Schedule: lambda arrow: (arrow.entry, arrow.definition, int(arrow.restart)),
}  # fmt: skip


# A reply to its answer.


def _answer(arrow: store.Arrow, reply: Any) -> Any:
    if isinstance(arrow, store.Complete):
        return [place not in reply for place in range(len(arrow.jobs))]
    if isinstance(arrow, store.Agenda) and reply[1] == arrow.revision:
        return store.Recurring(float(reply[0]), reply[1], None)
    if not isinstance(arrow, store.Page):
        return _ANSWERS[type(arrow)](reply)
    if arrow.where.startswith("queue:"):
        return [(id, None) for id in reply]
    return [(id, float(time)) for id, time in _pairs(reply)]


def _flag(reply: int) -> bool:
    return reply == 1


def _taken_in(reply: int | str) -> bool | str:
    return reply if isinstance(reply, str) else reply == 1


def _optional(text: str) -> float | None:
    return float(text) if text else None


def _claimed(reply: list[Any]) -> store.Claimed:
    if not reply:
        return store.NOTHING_CLAIMED
    jobs: list[store.Leased] = []
    for queue, failures, deaths, *rest in reply[1:]:
        jobs += map(_leased, zip(rest[::2], repeat(queue), repeat(int(failures)), repeat(deaths), rest[1::2]))
    return store.Claimed(float(reply[0]), tuple(jobs))


_leased = maker(store.Leased)


def _reaped(reply: list[Any]) -> store.Reaped:
    return store.Reaped(tuple(reply[2 : 2 + reply[1]]), tuple(reply[2 + reply[1] :]), _optional(reply[0]))


def _looked(reply: list[str]) -> store.Record:
    state, at, claim, failure, failures, deaths, record = reply
    # The claim that wrote a failure stands before it, so that a repeated call can be told.
    died = tuple(deaths.split("\n") if deaths else ())
    return store.Record(state, _optional(at), claim, failure.partition("\n")[2], int(failures), died, record)


def _seen(reply: list[Any]) -> store.Overview:
    now, leased, claims_overdue, delayed, next_due, overdue, failed, queues, workers, stats = reply
    return store.Overview(
        now=float(now),
        queues=tuple(store.QueueRow(name, length, next_id, paused == 1) for name, length, next_id, paused in queues),
        leased=leased,
        claims_overdue=claims_overdue,
        delayed=delayed,
        next_due=_optional(next_due),
        delayed_overdue=overdue,
        failed=failed,
        workers=tuple(store.WorkerRow(name, float(silent), about) for name, silent, about in workers),
        stats={name: int(count) for name, count in _pairs(stats)},
    )


def _recurring(reply: list[str]) -> store.Recurring:
    rows = [
        store.RecurringRow(reply[i], reply[i + 1], _optional(reply[i + 2]), reply[i + 3], _optional(reply[i + 4]))
        for i in range(2, len(reply), 5)
    ]
    return store.Recurring(float(reply[0]), reply[1], tuple(sorted(rows, key=lambda row: row.entry)))


def _pairs(flat: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


_ANSWERS: dict[type, Callable[[Any], Any]] = {
    store.Enqueue: lambda reply: list(map(_taken_in, reply)),
    store.Delay: _taken_in,
    store.Promote: lambda reply: store.Promoted(reply[0], _optional(reply[1])),
    store.Claim: _claimed,
    store.Renew: _flag,
    store.Complete: list,
    store.Drop: _flag,
    store.Retry: _flag,
    store.Fail: _flag,
    store.Release: int,
    store.Reap: _reaped,
    store.Requeue: lambda reply: None if reply == -1 else _taken_in(reply),
    store.Discard: _flag,
    store.Cancel: str,
    store.Fire: lambda reply: store.Fired(reply[0], _optional(reply[1])),
    store.Move: _flag,
    store.Schedule: _flag,
    store.Agenda: _recurring,
    store.Forget: int,
    store.Look: _looked,
    store.Watch: str,
    store.Beat: _flag,
    store.Ring: _flag,
    store.Pause: _flag,
    store.Resume: _flag,
    store.See: _seen,
}

_NAMES = {kind: kind.__name__.lower() for kind in _ANSWERS}
SCRIPTS = tuple(_NAMES.values())
