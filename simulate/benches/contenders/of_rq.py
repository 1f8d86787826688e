"""RQ, with and without a child for each job."""

from __future__ import annotations

from typing import Any

import redis
from rq import Queue, SimpleWorker, Worker

from simulate.benches.jobs import step, tally

QUIET = "ERROR"


class Simple:
    kind: Any = SimpleWorker

    def __init__(self, url: str) -> None:
        self._server = redis.Redis.from_url(url)
        self._queue = Queue("bench", connection=self._server)

    def enqueue(self, numbers: range) -> None:
        for number in numbers:
            self._queue.enqueue(step, number, result_ttl=0)

    def enqueue_many(self, numbers: range) -> None:
        self._queue.enqueue_many([Queue.prepare_data(step, (number,), result_ttl=0) for number in numbers])

    def serve(self) -> None:
        self.kind([self._queue], connection=self._server).work(logging_level=QUIET)


class _Counting(Worker):  # type: ignore[misc]
    def execute_job(self, job: Any, queue: Any) -> None:
        super().execute_job(job, queue)
        # Jobs run in children, whose counts nobody sees.
        tally.count()


class Forking(Simple):
    kind = _Counting
