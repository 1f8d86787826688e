"""Taskiq on a Redis stream, which keeps what was fetched until it is acknowledged."""

from __future__ import annotations

import asyncio

from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from simulate.benches.jobs import step

IDLE_MILLISECONDS = 10_000


class Stream:
    def __init__(self, url: str) -> None:
        self._broker = RedisStreamBroker(
            url, queue_name="bench", consumer_id="0", idle_timeout=IDLE_MILLISECONDS, unacknowledged_lock_timeout=10
        )
        self._task = self._broker.register_task(_step, task_name="step")
        self._loop = asyncio.new_event_loop()  # connections belong to one
        self._loop.run_until_complete(self._broker.startup())

    def enqueue(self, numbers: range) -> None:
        async def all_of_them() -> None:
            for number in numbers:
                await self._task.kiq(number)

        self._loop.run_until_complete(all_of_them())

    def enqueue_many(self, numbers: range) -> None:
        raise NotImplementedError

    def serve(self) -> None:
        self._loop.run_until_complete(run_receiver_task(self._broker, max_async_tasks=1, run_startup=True))


async def _step(number: int) -> None:
    step(number)
