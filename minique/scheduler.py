"""Promotes delayed jobs when they are due. Any number may run side by side, and none of them leads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from minique.clock import Clock
from minique.events import Events
from minique.keys import DELAYED_BELL, LIMITS
from minique.store import Arrow, Beat, Promote, Promoted, Store

PROMOTE_AT_ONCE = LIMITS["PROMOTE_LIMIT"]

LONGEST_REST_SECONDS = 5.0
"""A job that became the first to be due rings the schedulers' bell. Should the one that heard it die of a crash before
it looked, the others notice within this time."""


class State(NamedTuple):
    """All that a scheduler remembers between ticks: what is due stands on the server, and so does the clock."""

    beat_at: float = 0.0
    """When to give the next sign of life, on the elapsed clock."""


class Scheduler:
    def __init__(
        self, store: Store, clock: Clock, events: Events, name: str, about: Mapping[str, object] | None = None
    ) -> None:
        self.state = State()
        self.name = name
        self._store = store
        self._clock = clock
        self._events = events
        self._about = json.dumps({"kind": "scheduler", **(about or {})})

    def leave(self) -> None:
        """Take the scheduler off the list that people look at."""
        self._store.beat(self._clock.stamp(), self.name, "", "")

    def tick(self) -> float:
        now = self._clock.elapsed()
        arrows: list[Arrow] = [Promote(PROMOTE_AT_ONCE)]
        if now >= self.state.beat_at:
            arrows.append(Beat(self.name, "", self._about))
        answer: Promoted = self._store.trip(arrows, self._clock.stamp())[0]
        promoted, next_in_seconds = answer
        if len(arrows) > 1:
            self.state = State(now + LONGEST_REST_SECONDS)
        if promoted:
            self._events.emit("promoted", jobs=promoted)
        if next_in_seconds is None:
            return LONGEST_REST_SECONDS
        return min(next_in_seconds, LONGEST_REST_SECONDS)

    def bell(self) -> str | None:
        return DELAYED_BELL

    def watched(self) -> Sequence[int]:
        return ()
