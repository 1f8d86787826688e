"""Gives back jobs whose lease ran out, and forgets results whose time has passed. Every worker ticks one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minique.clock import Clock
from minique.events import Events
from minique.store import Arrow, Forget, Reap, Reaped, Store

REST_SECONDS = 1.0
CLAIMS_AT_ONCE = 20
FORGET_AT_ONCE = 1000


class Reaper:
    """Remembers nothing between ticks: any number of reapers may work side by side."""

    is_exact = False

    arrows: Sequence[Arrow] = (Reap(CLAIMS_AT_ONCE), Forget(FORGET_AT_ONCE))

    def __init__(self, store: Store, clock: Clock, events: Events) -> None:
        self._store = store
        self._clock = clock
        self._events = events

    def tick(self) -> float:
        return self.told(self._store.trip(self.arrows, self._clock.stamp()))

    def told(self, answers: Sequence[Any]) -> float:
        """What follows from the answers to `arrows`, for a worker that sent them in a trip of its own."""
        reaped: Reaped = answers[0]
        for job in reaped.back:
            self._events.emit("reaped", job=job, to="queued")
        for job in reaped.failed:
            self._events.emit("reaped", job=job, to="failed")
        there_may_be_more = len(reaped.back) + len(reaped.failed) >= CLAIMS_AT_ONCE or answers[1] >= FORGET_AT_ONCE
        return 0.0 if there_may_be_more else REST_SECONDS

    def bell(self) -> str | None:
        return None

    def watched(self) -> Sequence[int]:
        return ()
