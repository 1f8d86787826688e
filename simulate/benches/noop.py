"""The job that `bench modes` has run: it looks at the clock. A module of its own, since children import it."""

from __future__ import annotations

from minique.clock import SystemClock
from minique.job import job


@job()
def noop() -> float:
    """Say when it began, on the clock that all processes of a machine share."""
    return SystemClock().elapsed()
