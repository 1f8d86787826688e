"""Looking through queues, delayed and failed jobs, and deciding about many of them by id.

Each decision is an arrow of its own, by the job's id and never by its place in a list: of two people who decide about
the same job at once, one is answered that it was not there any more, and nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from minique.call import Unreadable, read_call
from minique.clock import Clock
from minique.errors import UsageError
from minique.perform import read_failure
from minique.store import Discard, Look, Record, Requeue, Store
from minique.subscription import check_queue_name

T = TypeVar("T")

IDS_AT_ONCE = 10_000
"""The failed queue, at its fullest, is listed in one step, so that nothing is passed over while others remove jobs."""
LOOKS_AT_ONCE = 100  # a record may be as long as the longest payload
DECISIONS_AT_ONCE = 200

Decided = Iterator[tuple[str, bool | str | None]]


class Lists:
    """What a client can list, and decide about in numbers."""

    store: Store
    clock: Clock

    def list_queue(self, queue: str, limit: int = 100) -> list[tuple[str, Record]]:
        """The next jobs of a queue, in order; those that were cancelled are left out."""
        rows = self.store.page(self.clock.stamp(), f"queue:{check_queue_name(queue)}", 0, limit)
        return [(id, record) for id, record in self._looked_at(id for id, _ in rows) if record.state == "queued"]

    def list_delayed(
        self, limit: int | None = 100, job: str = "", queue: str = "", error: str = ""
    ) -> list[tuple[str, Record]]:
        """Delayed jobs, the next to be due first; only those of that job class, queue, or error of their last try."""
        limit = _checked(limit)
        rows = self._looked_at(id for id, _ in self._all("delayed", False))
        return list(islice((row for row in rows if _fits(row[1], "delayed", job, queue, error)), limit))

    def list_failed(
        self,
        limit: int | None = 100,
        job: str = "",
        queue: str = "",
        error: str = "",
        older_than_seconds: float | None = None,
    ) -> list[tuple[str, Record]]:
        """Failed jobs, the latest first; only those of that job class, queue, error (an exception's name) or age."""
        limit = _checked(limit)
        rows = self._all("failed", True)
        if older_than_seconds is not None:
            latest = self.store.see(self.clock.stamp()).now - older_than_seconds
            rows = ((id, failed_at) for id, failed_at in rows if failed_at is not None and failed_at <= latest)
        found = self._looked_at(id for id, _ in rows)
        return list(islice((row for row in found if _fits(row[1], "failed", job, queue, error)), limit))

    def all_failed(self) -> list[str]:
        """The ids of all failed jobs, oldest first."""
        return [id for id, _ in self._all("failed", False)]

    def requeue_many(self, ids: Iterable[str]) -> Decided:
        """Requeue many failed jobs, some hundred per round trip: each id with what `requeue` would answer.

        Nothing is sent before the first is asked for.
        """
        for batch in _batches(ids, DECISIONS_AT_ONCE):
            yield from zip(batch, self.store.trip([Requeue(id) for id in batch], self.clock.stamp()), strict=True)

    def discard_many(self, ids: Iterable[str]) -> Decided:
        """Discard many failed jobs, some hundred per round trip: each id with what `discard` would answer.

        Nothing is sent before the first is asked for.
        """
        for batch in _batches(ids, DECISIONS_AT_ONCE):
            yield from zip(batch, self.store.trip([Discard(id) for id in batch], self.clock.stamp()), strict=True)

    def _all(self, where: str, newest_first: bool) -> Iterator[tuple[str, float | None]]:
        seen: set[str] = set()  # while others add and remove, a page may begin with what the last one ended with
        start = 0
        while True:
            rows = self.store.page(self.clock.stamp(), where, start, IDS_AT_ONCE, newest_first)
            yield from (row for row in rows if row[0] not in seen)
            if len(rows) < IDS_AT_ONCE:
                return
            seen.update(id for id, _ in rows)
            start += IDS_AT_ONCE

    def _looked_at(self, ids: Iterable[str]) -> Iterator[tuple[str, Record]]:
        for batch in _batches(ids, LOOKS_AT_ONCE):
            yield from zip(batch, self.store.trip([Look(id) for id in batch], self.clock.stamp()), strict=True)


def _checked(limit: int | None) -> int | None:
    if limit is not None and limit < 0:
        raise UsageError(f"a limit of {limit}: pass 0 or more, or None for all")
    return limit


def _batches(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _fits(record: Record, state: str, job: str, queue: str, error: str = "") -> bool:
    return (
        record.state == state  # and has not left since it was listed
        and queue in ("", record.queue)
        and (not job or job_of(record) == job)
        and (not error or (bool(record.failure) and read_failure(record.failure)["error"] == error))
    )


def job_of(record: Record) -> str | None:
    """The name of a job's class; None when its record cannot be read."""
    try:
        return read_call(record.body).name
    except Unreadable:
        return None
