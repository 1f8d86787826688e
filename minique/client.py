"""What an application uses: enqueue now or later, follow a job, look around.

    mq = connect()
    handle = mq.enqueue(Archive, 44, branch="dev")
    handle.result(timeout=5)

A client may be used from several threads, and on either side of a fork.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from minique.clock import Clock, SystemClock
from minique.errors import JobFailed, JobGone, NotDone, Unreachable, UsageError
from minique.ids import make_id
from minique.job import Enqueueable, Job, JobFunction
from minique.job_class import JobClass, job_class_of
from minique.keys import SUFFIXES
from minique.listing import Lists
from minique.loop import hear
from minique.perform import read_failure
from minique.recurring import Schedules
from minique.store import Overview, Record, Store
from minique.subscription import check_id, check_queue_name
from minique.when import Span, When, due_at, due_in

P = ParamSpec("P")
R = TypeVar("R")

MANY_AT_ONCE = 1000
MANY_AT_ONCE_BYTES = 1_000_000

_LOOK_AGAIN_SECONDS = 10.0
"""A waiter is told when its job is over; should the word get lost with a connection, it looks for itself this often."""


class Client(Lists):
    """Enqueues jobs into one namespace of one store, and tells how they are."""

    def __init__(self, store: Store, clock: Clock | None = None, rng: Random | None = None) -> None:
        self.store = store
        self.clock = clock or SystemClock()
        # The system's source needs no seed, so that a forked child cannot make its parent's ids again.
        self._rng = rng or random.SystemRandom()

    # Producing.

    @overload
    def enqueue(self, kind: JobFunction[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]: ...
    @overload
    def enqueue(self, kind: type[Job] | JobClass, /, *args: Any, **kwargs: Any) -> Handle[Any]: ...
    def enqueue(self, kind: Enqueueable, /, *args: Any, **kwargs: Any) -> Handle[Any]:
        """Store a job at the end of its queue; it is stored when this returns.

        When another job holds its unique key, nothing is stored and the handle is that job's: `handle.is_new` is False.
        Raises WrongArguments, NotSerialisable or TooLarge before anything was sent, and Unreachable when no answer
        came: then it may have been stored or not.
        """
        job_class = job_class_of(kind)
        body = job_class.body(args, kwargs)
        id = self.new_id()
        return self._handle(id, self.store.enqueue(self.clock.stamp(), job_class.queue, ((id, body),))[0])

    @overload
    def enqueue_in(self, delay: Span, kind: JobFunction[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]: ...
    @overload
    def enqueue_in(self, delay: Span, kind: type[Job] | JobClass, /, *args: Any, **kwargs: Any) -> Handle[Any]: ...
    def enqueue_in(self, delay: Span, kind: Enqueueable, /, *args: Any, **kwargs: Any) -> Handle[Any]:
        """Store a job to be queued after a delay, a timedelta or seconds, counted by the server's clock."""
        return self._delay(due_in(delay), kind, args, kwargs)

    @overload
    def enqueue_at(self, when: When, kind: JobFunction[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]: ...
    @overload
    def enqueue_at(self, when: When, kind: type[Job] | JobClass, /, *args: Any, **kwargs: Any) -> Handle[Any]: ...
    def enqueue_at(self, when: When, kind: Enqueueable, /, *args: Any, **kwargs: Any) -> Handle[Any]:
        """Store a job to be queued at a time: a datetime with its zone, or epoch seconds. A past time means now."""
        return self._delay(due_at(when), kind, args, kwargs)

    def enqueue_many(self, kind: Enqueueable, calls: Iterable[tuple[Any, ...] | dict[str, Any]]) -> list[Handle[Any]]:
        """Store many jobs of one class, a thousand or so per round trip; each call is a tuple or dict of arguments.

        Raises as `enqueue` does, at the call that is wrong. Those of earlier round trips are stored by then, and the
        message says how many.
        """
        job_class = job_class_of(kind)
        handles: list[Handle[Any]] = []
        for batch in self._batches(job_class, calls, handles):
            try:
                answers = self.store.enqueue(self.clock.stamp(), job_class.queue, batch)
            except Unreachable as error:
                raise Unreachable(f"{error}; {len(handles)} jobs were acknowledged before") from error
            handles += [self._handle(id, answer) for (id, _), answer in zip(batch, answers, strict=True)]
        return handles

    def _batches(
        self, job_class: JobClass, calls: Iterable[tuple[Any, ...] | dict[str, Any]], handles: list[Handle[Any]]
    ) -> Iterator[list[tuple[str, str]]]:
        batch: list[tuple[str, str]] = []
        size = 0
        for index, call in enumerate(calls):
            if not isinstance(call, (tuple, dict)):
                raise UsageError(
                    f"call {index} is {call!r}: pass a tuple of arguments, such as ({call!r},), or a dict of them"
                )
            try:
                body = job_class.body((), call) if isinstance(call, dict) else job_class.body(call, {})
            except UsageError as error:
                raise type(error)(f"call {index}: {error} ({len(handles)} jobs were stored before)") from None
            batch.append((self.new_id(), body))
            size += len(body)
            if len(batch) >= MANY_AT_ONCE or size >= MANY_AT_ONCE_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _delay(self, due: str, kind: Enqueueable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Handle[Any]:
        job_class = job_class_of(kind)
        body = job_class.body(args, kwargs)
        id = self.new_id()
        return self._handle(id, self.store.delay(self.clock.stamp(), job_class.queue, id, body, due))

    def _handle(self, id: str, answer: bool | str) -> Handle[Any]:
        return Handle(self, answer, is_new=False) if isinstance(answer, str) else Handle(self, id)

    def new_id(self) -> str:
        """An id that nothing has yet."""
        return make_id(self.clock.wall(), self._rng)

    @property
    def schedules(self) -> Schedules:
        """Recurring entries: add, replace, remove, pause, look."""
        return Schedules(self)

    # Following and looking.

    def job(self, id: str) -> Handle[Any]:
        """The handle of a job that was enqueued elsewhere."""
        return Handle(self, check_id(id))

    def overview(self) -> Overview:
        """How much is where, at one moment."""
        return self.store.see(self.clock.stamp())

    def move(self, id: str, when: When | Span) -> bool:
        """Give a delayed job another time: a datetime with its zone, or a timedelta or seconds from now.

        False: it is not delayed.
        """
        due = due_at(when) if isinstance(when, datetime) else due_in(when)
        return self.store.move(self.clock.stamp(), due, id)

    # A person's decisions.

    def requeue(self, id: str) -> bool | str | None:
        """Put a failed job back into its queue with all its tries: True.

        False: it is not failed; None: it names no queue; an id: that job has its unique key by now.
        """
        return self.store.requeue(self.clock.stamp(), id)

    def discard(self, id: str) -> bool:
        """Throw a failed job away. False: it is not failed."""
        return self.store.discard(self.clock.stamp(), id)

    def pause(self, queue: str) -> bool:
        """Let nobody claim from a queue; jobs that run go on, and more may be enqueued. False: it was so already."""
        return self.store.pause(self.clock.stamp(), check_queue_name(queue))

    def resume(self, queue: str) -> bool:
        """The end of a pause. False: there was none."""
        return self.store.resume(self.clock.stamp(), check_queue_name(queue))

    def close(self) -> None:
        """Give back connections."""
        self.store.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@dataclass(slots=True, unsafe_hash=True)
class Handle(Generic[R]):
    """A job, seen from outside. Handles of the same job are equal."""

    _client: Client = field(repr=False, compare=False)
    id: str
    is_new: bool = field(default=True, repr=False, compare=False)
    """False for a job that was there before: it holds the unique key of the one that was to be enqueued."""

    def record(self) -> Record:
        """All that is known of the job at this moment."""
        return self._client.store.look(self._client.clock.stamp(), self.id)

    def state(self) -> str:
        """queued, delayed, leased, done, failed, or gone (removed, or its result was forgotten)."""
        return self.record().state

    def cancel(self) -> bool:
        """Remove the job if it is queued or delayed: whether it was. A leased, done or failed job is left alone."""
        return self._client.store.cancel(self._client.clock.stamp(), self.id) in ("queued", "delayed")

    def result(self, timeout: float | None = None) -> R:
        """What `perform` returned, waiting up to `timeout` seconds (for ever if None) without polling.

        Raises NotDone when time is up, JobFailed when the job is out of tries, JobGone when it was removed or its
        result has been forgotten.
        """
        client = self._client
        began_at = client.clock.elapsed()
        waited = 0.0  # counted too, since a clock that is turned by hand stands still meanwhile
        waiter = client.new_id()
        while True:
            state = client.store.watch(client.clock.stamp(), self.id, waiter)
            if state not in ("queued", "delayed", "leased"):
                record = self.record()
                if record.state in ("queued", "delayed", "leased"):
                    continue  # requeued since
                return cast(R, _result_of(self.id, record))
            left = _LOOK_AGAIN_SECONDS
            if timeout is not None:
                left = min(timeout - max(waited, client.clock.elapsed() - began_at), left)
                if not left > 0:  # not-a-number, too
                    raise NotDone(f"job {self.id} is {state}, and the {timeout:g} s given have passed; it goes on")
            if not hear(client.store.listen(SUFFIXES["ANSWER"] + waiter, left), left):
                waited += left


def _result_of(id: str, record: Record) -> Any:
    """What there is to return of a job that is over, or why there is nothing."""
    if record.state == "done":
        return json.loads(record.body)
    if record.state == "failed":
        failure = read_failure(record.failure)
        raise JobFailed(f"job {id} failed: {failure['error']}: {failure['message']}", str(failure.get("traceback", "")))
    word, _, reason = record.body.partition(": ")
    raise JobGone(f"job {id} is gone: {_WHY_GONE.get(word, 'unknown here, or its result was forgotten')}{reason}")


_WHY_GONE = {
    "cancel": "it was cancelled",
    "discard": "it was discarded",
    "drop": "it asked to be discarded: ",
    "expire": "it had expired before a worker was free",
}
