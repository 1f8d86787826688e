"""What every contender runs: a job that does nothing but count, or, where workers are killed, write itself down."""

from __future__ import annotations

import os
from collections.abc import Callable

from minique.clock import SystemClock
from minique.job import job
from minique.loop import sleep_until

_clock = SystemClock()


FOR_EVER_SECONDS = 1e6


class Tally:
    """What this process has done. Forked children have copies of their own."""

    def __init__(self) -> None:
        self.done = 0
        self.watched: dict[int, Callable[[], None]] = {}
        """What this process is to do when so many are done; its children are not."""
        self.owner = os.getpid()
        self.each: Callable[[], None] | None = None
        self.begins: Callable[[], object] | None = None
        """Called where a job runs, before anything else."""
        self.book: int | None = None
        """Where each job writes its number as it begins and as it ends; between, it works for so long:"""
        self.work_seconds = 0.0

    def count(self) -> None:
        self.done += 1
        if self.each:
            self.each()
        if self.done in self.watched and os.getpid() == self.owner:
            self.watched[self.done]()


tally = Tally()


def step(number: int) -> None:
    """One job."""
    if tally.begins:
        tally.begins()
    if tally.book is not None:
        os.write(tally.book, b"began %d\n" % number)
        sleep_until(tally.work_seconds)
        os.write(tally.book, b"ended %d\n" % number)
    tally.count()


@job(queue="bench", name="step")
def minique_step(number: int) -> None:
    """One job of minique's: itself a no-op, as a user would write it, in the same function as everybody's."""
    step(number)


@job(queue="bench", name="slow")
def slow(seconds: float) -> tuple[int, float, float]:
    """Who ran it, from when to when."""
    began = _clock.elapsed()
    if seconds:
        sleep_until(seconds)
    return os.getpid(), began, _clock.elapsed()
