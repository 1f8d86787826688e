"""A producer: `python -m simulate.chaos.producer URL NAMESPACE RATE LEASE SEED`.

It enqueues a mixed load and writes down each job before it is sent, and each answer after it came. When no answer
came it sends the same job again for a while, as a careful application does: an id is stored once.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections import deque
from collections.abc import Callable
from random import Random

from minique.client import Client
from minique.connect import open_store
from minique.errors import Unreachable
from minique.loop import sleep_until
from minique.store import Store
from simulate.chaos.jobs import Flaky, Long, Poison, Quick
from simulate.chaos.notes import elapsed, note, now
from simulate.history import Answered, Sent

SEND_AGAIN_SECONDS = 4.0
"""Shorter than a done job is remembered: one that is sent again after that would run again."""
PAUSE_SECONDS = 0.3
ENOUGH_QUEUED = 100
"""It holds back while so many jobs are queued: a backlog of minutes would drown how late jobs are for other reasons."""
LOOK_EVERY_SECONDS = 0.5
LONG_EVERY_SECONDS, POISON_EVERY_SECONDS = 5.0, 15.0
MANY = 8


class Noting(Client):
    """A client that writes down each id before its job is sent, and can use an id once more."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.about = Sent(0.0, "")
        self.again: deque[str] = deque()
        self.given: list[str] = []

    def new_id(self) -> str:
        id = self.again.popleft() if self.again else super().new_id()
        self.given.append(id)
        note(self.about._replace(at=now(), job=id))
        return id

    def deliver(self, about: Sent, send: Callable[[], object]) -> None:
        """Send until it is acknowledged, or for so long."""
        self.about = about
        gives_up = elapsed() + SEND_AGAIN_SECONDS
        while True:
            self.given.clear()
            try:
                send()
            except Unreachable:
                note(*[Answered(now(), id, False) for id in self.given])
                if elapsed() > gives_up:
                    return
                self.again = deque(self.given)
                sleep_until(PAUSE_SECONDS)
            else:
                note(*[Answered(now(), id) for id in self.given])
                return


class Producer:
    def __init__(self, client: Noting, rate: float, lease_seconds: float, rng: Random) -> None:
        self._client = client
        self._rate = rate
        self._lease_seconds = lease_seconds
        self._rng = rng
        self._next_long = elapsed() + rng.uniform(0.0, LONG_EVERY_SECONDS)
        self._next_poison = elapsed() + rng.expovariate(1 / POISON_EVERY_SECONDS)
        self._look_at = 0.0
        self._queued = 0
        self.is_stopping = False

    def run(self) -> None:
        due = elapsed()
        while not self.is_stopping:
            if self._is_enough():
                sleep_until(LOOK_EVERY_SECONDS)
                continue
            self.send_one()
            # By the clock and not by pauses, so that a stall does not thin the load; but what an outage held up is
            # not made up for.
            due = max(due + self._rng.expovariate(self._rate), elapsed() - 0.5)
            sleep_until(due - elapsed())

    def _is_enough(self) -> bool:
        if elapsed() >= self._look_at:
            self._look_at = elapsed() + LOOK_EVERY_SECONDS
            try:
                queues = self._client.overview().queues
            except Unreachable:
                return False
            self._queued = sum(queue.length for queue in queues)
        return self._queued >= ENOUGH_QUEUED

    def send_one(self) -> None:
        mq, rng, moment = self._client, self._rng, elapsed()
        quick, quicker = rng.choice((0, 2, 10, 50, 150)), rng.choice((0, 2, 10))
        if moment >= self._next_long:
            self._next_long = moment + rng.expovariate(1 / LONG_EVERY_SECONDS)
            seconds = self._lease_seconds * rng.uniform(1.2, 1.8)
            mq.deliver(Sent(0.0, "", Long.queue), lambda: mq.enqueue(Long, seconds))
            return
        if moment >= self._next_poison:
            self._next_poison = moment + rng.expovariate(1 / POISON_EVERY_SECONDS)
            mq.deliver(Sent(0.0, "", Poison.queue, poison=True), lambda: mq.enqueue(Poison))
            return
        kind = rng.choices(("plain", "strict", "urgent", "in", "at", "flaky", "many"), (30, 25, 10, 8, 8, 6, 3))[0]
        if kind == "in":
            delay = rng.uniform(0.0, 3.0)
            mq.deliver(Sent(0.0, "", Quick.queue, now() + delay), lambda: mq.enqueue_in(delay, Quick, quick))
        elif kind == "at":
            due = round(now() + rng.uniform(0.0, 3.0), 3)
            mq.deliver(Sent(0.0, "", Quick.queue, due), lambda: mq.enqueue_at(due, Quick, quick))
        elif kind == "flaky":
            mq.deliver(Sent(0.0, "", Flaky.queue), lambda: mq.enqueue(Flaky))
        elif kind == "many":
            mq.deliver(Sent(0.0, "", Quick.queue), lambda: mq.enqueue_many(Quick, [(quicker,)] * MANY))
        else:
            queue = Quick.queue if kind == "plain" else kind
            mq.deliver(
                Sent(0.0, "", queue),
                lambda: mq.enqueue(Quick.using(queue=queue), quicker if kind == "strict" else quick),
            )


def main(url: str, namespace: str, rate: str, lease_seconds: str, seed: str) -> None:
    with contextlib.closing(Noting(open_store(url, namespace))) as client:
        producer = Producer(client, float(rate), float(lease_seconds), Random(seed))

        def stop(number: int, frame: object) -> None:
            producer.is_stopping = True

        signal.signal(signal.SIGTERM, stop)
        producer.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
