"""The state diagram, and the verbs that draw its arrows.

                enqueue                 claim                  complete            forget
       (new) ────────────▶ queued ────────────────▶ leased ─────────────▶ done ─────────▶ (gone)
         │                  ▲ ▲ ▲                   │ ▲ │ │
         │ delay            │ │ │   reap, release   │ └─┘ │ fail (no tries left)
         ▼                  │ │ └───────────────────┘renew│ reap (died too often)
      delayed ──────────────┘ │                     │     ▼
         ▲       promote      │ requeue             │   failed ────────▶ (gone)  discard
         │                    └─────────────────────┼──── ┘
         └──────────────────────────────────────────┘
                      retry (tries left)              cancel: queued or delayed → (gone); drop: leased → (gone)

Each arrow is one class below, one method of `Store`, one script, one class of the contract suite. An arrow is one
atomic step. `trip` draws several, one after another, in one round trip: they are *not* one step, and others may come
between them. Every arrow may be applied twice with the same arguments and equals once, so that a caller who lost the
reply may simply ask again. Refusals are answers.

The *claim* is the fencing token: `WORKER:NUMBER`, chosen by the worker and never used again. What is written under a
claim that is no longer the job's latest is refused.

`now` is a stamp from `clock.py`: epoch seconds as text, or "" for the server's own clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, cast

DEATHS_ALLOWED = 3
"""A job that saw this many workers die is set aside as failed."""

CLAIM_LIMIT = 100
"""The most jobs that one claim may hold."""


# Arrows. The sentence says what is answered.


class Enqueue(NamedTuple):
    """(new) → queued. Answers for each job True; False when its id is known; the id of the one that has its unique key.

    A body may begin with a line of terms, `@EXPIRES KEY`. EXPIRES: from then on a claim removes the job instead; epoch
    seconds, or `+SECONDS` from when the job is due. KEY: only one such job may be queued, delayed or leased. Either may
    be empty.
    """

    queue: str
    jobs: Sequence[tuple[str, str]]
    """Pairs of id and body."""


class Delay(NamedTuple):
    """(new) → delayed. Answers as Enqueue does for one job."""

    queue: str
    id: str
    body: str
    due: str
    """Epoch seconds as text, or `+SECONDS` counted from the server's now."""


class Promote(NamedTuple):
    """delayed → queued, for at most `limit` jobs that are due. Answers Promoted."""

    limit: int


class Claim(NamedTuple):
    """queued → leased, for at most `limit` jobs. Answers Claimed; the same claim again answers the same jobs."""

    claim: str
    subscription: str
    limit: int
    lease_seconds: float


class Renew(NamedTuple):
    """leased → leased with a full lease from now. Answers whether the claim still stands."""

    claim: str
    lease_seconds: float


class FollowUp(NamedTuple):
    """A job that comes to be with the completion of another, or not at all."""

    id: str
    queue: str
    body: str
    due: str = ""
    """As of a Delay; empty for queued at once."""


class Finished(NamedTuple):
    """One job of a Complete."""

    id: str
    result: str
    """JSON."""
    lifetime_seconds: int
    went_back: bool
    """Whether it failed or died before, so that there are counts to clear."""
    follow_ups: Sequence[FollowUp] = ()


class Complete(NamedTuple):
    """leased → done, for jobs of one claim. Answers for each whether it counted; their follow-ups share their fate.

    A follow-up whose unique key another job has is dropped, and counted.
    """

    claim: str
    jobs: Sequence[Finished]


class Retry(NamedTuple):
    """leased → delayed. Answers whether the claim was the job's latest."""

    claim: str
    id: str
    in_seconds: float
    failure: str
    """JSON, for people to read."""


class Fail(NamedTuple):
    """leased → failed. Answers whether the claim was the job's latest."""

    claim: str
    id: str
    failure: str


class Drop(NamedTuple):
    """leased → (gone), by the job's own word. Answers whether the claim was the job's latest."""

    claim: str
    id: str
    lifetime_seconds: int
    """How long the reason is kept."""
    reason: str


class Release(NamedTuple):
    """leased → queued, at the head, without cost. Answers how many; no ids means all that the claim holds."""

    claim: str
    ids: Sequence[str] = ()


class Reap(NamedTuple):
    """leased → queued at the head, or failed after too many deaths, where the lease ran out. Answers Reaped."""

    limit: int
    deaths_allowed: int = DEATHS_ALLOWED
    worker: str = ""
    """A dead worker, by its supervisor's word: its claims are reaped before their time."""
    why: str = ""
    """How it died, in words; kept with its jobs."""


class Requeue(NamedTuple):
    """failed → queued, with all tries given back.

    Answers True; False when it is not failed; None when it names no queue; the id of the job that has its unique key.
    """

    id: str


class Discard(NamedTuple):
    """failed → (gone). Answers whether it was failed."""

    id: str


class Fire(NamedTuple):
    """recurring slot → queued, once per slot. Answers Fired."""

    entry: str
    definition: str
    """The entry as the scheduler knows it; when it is another by now, nothing is fired."""
    slot: str
    """The planned time, epoch seconds as text."""
    overlap: str
    """`skip`: pass the slot over while the job of the one before is queued, delayed or leased. Otherwise `allow`."""
    queue: str
    id: str
    body: str
    known_cursor: str = ""
    """The cursor that the scheduler was told last. A server with an earlier one has forgotten slots; then nothing is
    fired, for those come first."""


class Move(NamedTuple):
    """delayed → delayed, to another time. Answers whether it was delayed."""

    due: str
    """Epoch seconds as text, or `+SECONDS` counted from the server's now."""
    id: str


class Cancel(NamedTuple):
    """queued or delayed → (gone). Answers the state it was in; any other state means refused."""

    id: str


class Forget(NamedTuple):
    """done → (gone), where the lifetime has passed. Answers how many; `limit` or more: call again."""

    limit: int


# Not arrows: they move no job.


class Schedule(NamedTuple):
    """Keep a recurring entry; an empty definition removes it. Answers whether anything changed.

    With `restart`, slots before now are given up, as they are for a new entry.
    """

    entry: str
    definition: str
    restart: bool = False


class Agenda(NamedTuple):
    """The recurring entries and their cursors. Answers Recurring; without the entries when `revision` is current."""

    revision: str = ""


class Look(NamedTuple):
    """One job as it is now. Answers Record."""

    id: str


class Watch(NamedTuple):
    """Be told on the bell `answer:WAITER` when the job is over. Answers its state now."""

    id: str
    waiter: str


class Beat(NamedTuple):
    """A worker's sign of life, and the subscription to wake it for. An empty `about` takes it off the list."""

    worker: str
    subscription: str
    about: str


class Ring(NamedTuple):
    """Give back a token that was perhaps taken and not used."""

    subscription: str


class Pause(NamedTuple):
    """Let nobody claim from a queue. Answers False when that was so already."""

    queue: str


class Resume(NamedTuple):
    """The end of a pause. Answers False when there was none."""

    queue: str


class See(NamedTuple):
    """How much is where, at one moment. Answers Overview."""


class Page(NamedTuple):
    """Part of a list. Answers pairs of id and time in epoch seconds (None in a queue)."""

    where: str
    """`delayed`, `failed`, or `queue:NAME`."""
    start: int
    limit: int
    newest_first: bool = False


Arrow = (
    Enqueue | Delay | Promote | Claim | Renew | Complete | Drop | Retry | Fail | Release | Reap | Requeue | Discard
    | Cancel | Fire | Move | Schedule | Agenda | Forget | Look | Watch | Beat | Ring | Pause | Resume | See | Page
)  # fmt: skip


# Answers.


class Leased(NamedTuple):
    """A job in a worker's hand."""

    id: str
    queue: str
    failures: int
    deaths: int
    record: str
    """Queue, newline, body; or anything at all, when somebody else wrote it."""

    @property
    def attempt(self) -> int:
        return 1 + self.failures + self.deaths


class Claimed(NamedTuple):
    lease_seconds: float
    jobs: tuple[Leased, ...]


NOTHING_CLAIMED = Claimed(0.0, ())


class Promoted(NamedTuple):
    promoted: int
    next_in_seconds: float | None


class Reaped(NamedTuple):
    back: tuple[str, ...]
    failed: tuple[str, ...]
    next_in_seconds: float | None


class Fired(NamedTuple):
    outcome: str
    """fired; skipped (overlap); passed (the cursor is there already); early; changed (the entry or its cursor is
    not what the scheduler knows)."""
    cursor: float | None
    """The last slot that was fired or passed over."""


class RecurringRow(NamedTuple):
    entry: str
    definition: str
    cursor: float | None
    last_id: str
    """Of the job that was fired last."""
    last_at: float | None
    """When it was fired."""


class Recurring(NamedTuple):
    now: float
    revision: str
    entries: tuple[RecurringRow, ...] | None
    """None: they are what they were at the revision that was named."""


class Record(NamedTuple):
    state: str
    """queued, delayed, leased, done, failed or gone."""
    at: float | None
    """When it is due, failed, was done or removed, in epoch seconds."""
    claim: str
    failure: str
    """JSON of the last failure; empty when there was none."""
    failures: int
    died: tuple[str, ...]
    """How the worker of each lost attempt died."""
    record: str

    @property
    def deaths(self) -> int:
        return len(self.died)

    @property
    def queue(self) -> str:
        head, newline, _ = self.record.partition("\n")
        return head if newline and not head.startswith("!") else ""

    @property
    def body(self) -> str:
        """The body of a live job, the result of a done one, why a gone one went (empty: it was forgotten)."""
        head, _, rest = self.record.partition("\n")
        if self.state == "gone":
            return (head.split(" ") + [""] * 3)[2] + (rest and f": {rest}")
        return rest


class QueueRow(NamedTuple):
    name: str
    length: int
    next_id: str
    paused: bool


class WorkerRow(NamedTuple):
    name: str
    silent_seconds: float
    about: str


class Overview(NamedTuple):
    now: float
    queues: tuple[QueueRow, ...]
    leased: int
    claims_overdue: int
    delayed: int
    next_due: float | None
    delayed_overdue: int
    failed: int
    workers: tuple[WorkerRow, ...]
    stats: dict[str, int]


class Ear(Protocol):
    """A bell being listened to; `fileno` becomes readable when there is something to hear."""

    grace_seconds: float
    """How long after its time the word may still be on its way that nothing came."""

    def fileno(self) -> int: ...

    def hear(self) -> bool:
        """Whether it rang; call it when `fileno` is readable. Raises Unreachable."""

    def leave(self) -> bool:
        """Stop listening. A token that was taken meanwhile is given back; answers whether one was."""


_Answer = TypeVar("_Answer")


class Store(ABC):
    """Where jobs are kept. `trip` is all that a store must offer; the verbs are ways to write it."""

    @abstractmethod
    def trip(self, arrows: Sequence[Arrow], now: str) -> list[Any]:
        """Draw the arrows one after another in one round trip; return their answers.

        Raises Unreachable when no answer came: then any of them, from the first on, may have been drawn or not.
        """

    @abstractmethod
    def listen(self, bell: str, seconds: float) -> Ear:
        """Begin to wait for a bell, for at most so many seconds; taking its token when it rings."""

    def trip_and_listen(self, arrows: Sequence[Arrow], now: str, bell: str, seconds: float) -> list[Any]:
        """A trip for somebody who will listen next, unless told otherwise by `hush`: a store may begin to meanwhile."""
        return self.trip(arrows, now)

    def has_drawn(self) -> bool:
        """Whether a store that wakes who listens with a claim may hold jobs so claimed, for which nobody has asked."""
        return False

    def hush(self) -> None:  # noqa: B027  (most stores begin nothing)
        """Nobody will listen after all."""

    def close(self) -> None:  # noqa: B027  (most stores hold nothing to close)
        """Give back connections."""

    def _one(self, arrow: Arrow, now: str, kind: Callable[..., _Answer] | None = None) -> _Answer:
        return cast(_Answer, self.trip((arrow,), now)[0])

    def enqueue(self, now: str, queue: str, jobs: Sequence[tuple[str, str]]) -> list[bool | str]:
        return cast(list[bool | str], self._one(Enqueue(queue, jobs), now))

    def delay(self, now: str, queue: str, id: str, body: str, due: str) -> bool | str:
        return cast(bool | str, self._one(Delay(queue, id, body, due), now))

    def promote(self, now: str, limit: int) -> Promoted:
        return self._one(Promote(limit), now, Promoted)

    def claim(self, now: str, claim: str, subscription: str, limit: int, lease_seconds: float) -> Claimed:
        return self._one(Claim(claim, subscription, limit, lease_seconds), now, Claimed)

    def renew(self, now: str, claim: str, lease_seconds: float) -> bool:
        return self._one(Renew(claim, lease_seconds), now, bool)

    def complete(self, now: str, claim: str, jobs: Sequence[Finished]) -> list[bool]:
        return cast(list[bool], self._one(Complete(claim, jobs), now))

    def drop(self, now: str, claim: str, id: str, lifetime_seconds: int, reason: str) -> bool:
        return self._one(Drop(claim, id, lifetime_seconds, reason), now, bool)

    def retry(self, now: str, claim: str, id: str, in_seconds: float, failure: str) -> bool:
        return self._one(Retry(claim, id, in_seconds, failure), now, bool)

    def fail(self, now: str, claim: str, id: str, failure: str) -> bool:
        return self._one(Fail(claim, id, failure), now, bool)

    def release(self, now: str, claim: str, ids: Sequence[str] = ()) -> int:
        return self._one(Release(claim, ids), now, int)

    def reap(
        self, now: str, limit: int, deaths_allowed: int = DEATHS_ALLOWED, worker: str = "", why: str = ""
    ) -> Reaped:
        return self._one(Reap(limit, deaths_allowed, worker, why), now, Reaped)

    def requeue(self, now: str, id: str) -> bool | str | None:
        return cast(bool | str | None, self._one(Requeue(id), now))

    def discard(self, now: str, id: str) -> bool:
        return self._one(Discard(id), now, bool)

    def fire(
        self, now: str, entry: str, definition: str, slot: str, overlap: str, queue: str, id: str, body: str,
        known_cursor: str = "",
    ) -> Fired:  # fmt: skip
        return self._one(Fire(entry, definition, slot, overlap, queue, id, body, known_cursor), now, Fired)

    def move(self, now: str, due: str, id: str) -> bool:
        return self._one(Move(due, id), now, bool)

    def schedule(self, now: str, entry: str, definition: str, restart: bool = False) -> bool:
        return self._one(Schedule(entry, definition, restart), now, bool)

    def agenda(self, now: str, revision: str = "") -> Recurring:
        return self._one(Agenda(revision), now, Recurring)

    def cancel(self, now: str, id: str) -> str:
        return self._one(Cancel(id), now, str)

    def forget(self, now: str, limit: int) -> int:
        return self._one(Forget(limit), now, int)

    def look(self, now: str, id: str) -> Record:
        return self._one(Look(id), now, Record)

    def watch(self, now: str, id: str, waiter: str) -> str:
        return self._one(Watch(id, waiter), now, str)

    def beat(self, now: str, worker: str, subscription: str, about: str) -> None:
        self._one(Beat(worker, subscription, about), now, bool)

    def ring(self, now: str, subscription: str) -> None:
        self._one(Ring(subscription), now, bool)

    def pause(self, now: str, queue: str) -> bool:
        return self._one(Pause(queue), now, bool)

    def resume(self, now: str, queue: str) -> bool:
        return self._one(Resume(queue), now, bool)

    def see(self, now: str) -> Overview:
        return self._one(See(), now, Overview)

    def page(
        self, now: str, where: str, start: int, limit: int, newest_first: bool = False
    ) -> list[tuple[str, float | None]]:
        return cast(list[tuple[str, float | None]], self._one(Page(where, start, limit, newest_first), now))
