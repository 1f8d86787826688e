"""Celery, the solo pool: one job at a time in the worker itself, acknowledged after it has run."""

from __future__ import annotations

from celery import Celery

from simulate.benches.jobs import step

VISIBILITY_SECONDS = 10
PREFETCHED = 32


class CeleryHere:
    def __init__(self, url: str) -> None:
        self._app = Celery("bench", broker=url.replace("unix://", "redis+socket://"))
        self._app.conf.update(
            task_default_queue="bench",
            task_acks_late=True,
            task_ignore_result=True,
            worker_prefetch_multiplier=PREFETCHED,
            worker_hijack_root_logger=False,
            broker_transport_options={"visibility_timeout": VISIBILITY_SECONDS},
            broker_connection_retry_on_startup=True,
        )
        self._task = self._app.task(name="step")(step)

    def enqueue(self, numbers: range) -> None:
        for number in numbers:
            self._task.delay(number)

    def enqueue_many(self, numbers: range) -> None:
        raise NotImplementedError

    def serve(self) -> None:
        self._app.Worker(
            pool="solo",
            concurrency=1,
            loglevel="ERROR",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        ).start()
