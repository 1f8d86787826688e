"""Promotes delayed jobs when they are due. Any number may run side by side, and none of them leads."""

from __future__ import annotations

from collections.abc import Sequence

from minique.clock import Clock
from minique.events import Events
from minique.keys import DELAYED_BELL
from minique.store import Store

PROMOTE_AT_ONCE = 1000

LONGEST_REST_SECONDS = 5.0
"""A job that became the first to be due rings the schedulers' bell. Should the one that heard it die of a crash before
it looked, the others notice within this time."""


class Scheduler:
    """Remembers nothing between ticks: what is due stands on the server, and so does the clock."""

    def __init__(self, store: Store, clock: Clock, events: Events) -> None:
        self._store = store
        self._clock = clock
        self._events = events

    def tick(self) -> float:
        promoted, next_in_seconds = self._store.promote(self._clock.stamp(), PROMOTE_AT_ONCE)
        if promoted:
            self._events.emit("promoted", jobs=promoted)
        if next_in_seconds is None:
            return LONGEST_REST_SECONDS
        return min(next_in_seconds, LONGEST_REST_SECONDS)

    def bell(self) -> str | None:
        return DELAYED_BELL

    def watched(self) -> Sequence[int]:
        return ()
