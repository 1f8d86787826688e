"""The load's job classes. Each run writes down when it started, in which worker, and how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from minique import Backoff, Job
from minique.loop import sleep_until
from simulate.chaos.notes import MODE_VARIABLE, note, now, worker_name
from simulate.history import Ended, Fault, Started

KEPT_SECONDS = 24 * 3600
"""Longer than any run, so that the end state of each job can be asked for."""


class _Noted(Job):
    result_lifetime = KEPT_SECONDS
    backoff = Backoff(first_seconds=1.0, cap_seconds=4.0)

    @contextlib.contextmanager
    def noted(self) -> Iterator[str]:
        worker = worker_name()  # asked once: a child whose worker was killed has another parent at the end
        note(Started(now(), self.id, worker, self.attempt))
        try:
            yield worker
        except Exception:
            note(Ended(now(), self.id, worker, "raised"))
            raise
        note(Ended(now(), self.id, worker))


class Quick(_Noted):
    """Works for some milliseconds."""

    queue = "mail"

    def perform(self, milliseconds: int) -> bool:
        with self.noted():
            sleep_until(milliseconds / 1000)
        return True


class Long(_Noted):
    """Works for longer than a lease: it must be renewed, and run once all the same."""

    queue = "reports"

    def perform(self, seconds: float) -> bool:
        with self.noted():
            sleep_until(seconds)
        return True


class Flaky(_Noted):
    """Fails at its first attempt."""

    queue = "mail"

    def perform(self) -> bool:
        with self.noted():
            if self.attempt == 1:
                raise RuntimeError("the first attempt fails, as planned")
        return True


class Poison(_Noted):
    """Kills its own process at each attempt: the child, or in-line the worker itself."""

    queue = "mail"
    retries = 2

    def perform(self) -> None:
        with self.noted() as worker:
            at = now()
            died = Ended(at, self.id, worker, "died")
            if os.environ[MODE_VARIABLE] == "inline":
                note(died, Fault(at, "kill", worker, at))
            else:
                note(died)
            os.kill(os.getpid(), signal.SIGKILL)


class Tick(_Noted):
    """The job of a recurring entry."""

    queue = "ticks"

    def perform(self) -> bool:
        with self.noted():
            return True
