"""The work of a live run, for both sides: it takes as long as it is told, and says when it began and ended.

A module of its own, which workers import; it knows nothing of the rest of the simulator.
"""

from __future__ import annotations

import os
import time

from minique.clock import SystemClock
from minique.job import job
from naive_daemon.database import Row

NOTES = "SIMULATE_LIVE_NOTES"
"""The variable that names the file in which rows note when they began and ended."""

HANDING_OVER = "SIMULATE_LIVE_HANDING_OVER_SECONDS"
"""The variable that says how much longer it is to take until a job of minique begins in its child."""

WAYS = ("sleep", "spin")

_clock = SystemClock()


@job(queue="live", retries=0)
def live(number: int, seconds: float, way: str = "sleep") -> tuple[float, float, int, int]:
    """A job of minique: its result says when it ran, on the clock that all processes of a machine share, and where."""
    if longer := os.environ.get(HANDING_OVER):
        time.sleep(float(longer))
    return (*run(seconds, way), os.getpid(), os.getppid())


def row(found: Row) -> None:
    """A row of the naive daemon."""
    number, seconds, way = found.arguments
    began, ended = run(float(seconds), str(way))
    with open(os.environ[NOTES], "a", encoding="ascii") as notes:
        notes.write(f"{number} {began!r} {ended!r}\n")


def run(seconds: float, way: str) -> tuple[float, float]:
    """Take that long, asleep or keeping a processor busy."""
    began = _clock.elapsed()
    if way == "spin":
        while _clock.elapsed() < began + seconds:
            pass
    elif way == "sleep":
        time.sleep(seconds)
    else:
        raise ValueError(f"{way!r} is no way to work; known: {', '.join(WAYS)}")
    return began, _clock.elapsed()


def wait_until(moment: float) -> None:
    """Sleep until a moment on that clock; a poll would round up to the next millisecond."""
    while (left := moment - _clock.elapsed()) > 0:
        time.sleep(left)
