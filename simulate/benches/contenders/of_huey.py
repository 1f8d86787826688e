"""Huey: a list and a blocking pop."""

from __future__ import annotations

from huey import RedisHuey

from minique.loop import sleep_until
from simulate.benches.jobs import FOR_EVER_SECONDS, step


class HueyHere:
    def __init__(self, url: str) -> None:
        self._huey = RedisHuey("bench", url=url, results=False)
        self._task = self._huey.task(name="step")(step)

    def enqueue(self, numbers: range) -> None:
        for number in numbers:
            self._task(number)

    def enqueue_many(self, numbers: range) -> None:
        raise NotImplementedError

    def serve(self) -> None:
        self._huey.create_consumer(workers=1, worker_type="thread", periodic=False).start()
        sleep_until(FOR_EVER_SECONDS)  # it works in threads
