"""What time it is, asked in this one place; every other module is told.

Two clocks matter, and they answer different questions. The *server's* clock decides what is due and which lease has
run out: production sends it an empty stamp, which means "look at your own". The worker's *elapsed* clock measures how
much of a lease is left; it must go on counting while the machine sleeps, or a laptop that wakes up believes it still
holds what was given to another.
"""

from __future__ import annotations

import time
from typing import Protocol

# Counts through a suspend where the system has such a clock (Linux); elsewhere monotonic has to do.
_ELAPSED_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    def stamp(self) -> str:
        """What a script is told the time is: epoch seconds as text, or "" for "use the server's own clock"."""

    def elapsed(self) -> float:
        """Seconds since some fixed moment, never going back, counting through suspends."""

    def wall(self) -> float:
        """Epoch seconds by this machine, for ids and for people to read; it decides nothing."""


class SystemClock:
    """The real clocks."""

    def stamp(self) -> str:
        return ""

    def elapsed(self) -> float:
        return time.clock_gettime(_ELAPSED_CLOCK)

    def wall(self) -> float:
        return time.time()


class ManualClock:
    """A clock that moves only when told to: tests, notebooks and the simulator turn it by hand.

    `now` is in epoch seconds.
    """

    def __init__(self, now: float = 1_000_000_000.0) -> None:
        self.now = now

    def stamp(self) -> str:
        return f"{self.now:.6f}"

    def elapsed(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"a clock cannot go back: advance({seconds}); pass zero or more seconds")
        self.now += seconds
