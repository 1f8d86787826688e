"""Dramatiq: its Redis broker takes many messages with one script, and acknowledges one by one."""

from __future__ import annotations

from dramatiq import Actor, Worker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import default_middleware

from minique.loop import sleep_until
from simulate.benches.jobs import FOR_EVER_SECONDS, step

HEARTBEAT_MILLISECONDS = 10_000
PREFETCHED = 100
"""By default a single thread fetches two, and then rests."""


class Dramatiq:
    def __init__(self, url: str) -> None:
        # The usual ones, without the one that opens a port for its figures where there is one.
        usual = [kind() for kind in default_middleware if kind.__name__ != "Prometheus"]
        self._broker = RedisBroker(url=url, middleware=usual, heartbeat_timeout=HEARTBEAT_MILLISECONDS)
        self._actor = Actor(step, broker=self._broker, actor_name="step", queue_name="bench", priority=0, options={})

    def enqueue(self, numbers: range) -> None:
        for number in numbers:
            self._actor.send(number)

    def enqueue_many(self, numbers: range) -> None:
        raise NotImplementedError

    def serve(self) -> None:
        worker = Worker(self._broker, worker_threads=1)
        worker.queue_prefetch = PREFETCHED  # the program takes it from the environment
        worker.start()
        sleep_until(FOR_EVER_SECONDS)  # it works in threads
