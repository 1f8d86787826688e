"""What jobs need from elsewhere, such as a mail server: it is down for a while, and answers so many calls a second.

The dependency keeps a list of its callers. What a retry storm looks like is seen from here, not from the queue.
"""

from array import array
from dataclasses import dataclass

from simulate.workload import stream

# Calls are counted over so long when their number is limited.
WINDOW_SECONDS = 1.0


class JobFailed(Exception):
    """Raised inside a simulated job whose dependency did not answer."""


@dataclass(frozen=True)
class Outage:
    """A time in which the dependency answers nobody, or not everybody. Times in seconds of virtual time."""

    begins: float
    seconds: float
    fails_after: float = 0.05  # how long a call that fails keeps its worker: refused at once, or a time-out
    share: float = 1.0  # of the calls that fail while it lasts, drawn one by one
    calls_per_second: float | None = None  # more than that fail as well, at any time; None: no limit
    queue: str = ""  # only jobs of this queue call; empty: all do

    def __post_init__(self) -> None:
        if not (self.begins >= 0 and self.seconds >= 0 and self.fails_after >= 0 and 0 < self.share <= 1):
            raise ValueError(f"{self}: times must be 0 or more, and the share above 0 and at most 1")
        if self.calls_per_second is not None and self.calls_per_second < 1:
            raise ValueError(f"{self}: a dependency that answers {self.calls_per_second:g} calls a second is no use")

    @property
    def ends(self) -> float:
        """When it answers again."""
        return self.begins + self.seconds


class Dependency:
    """The dependency of one run."""

    def __init__(self, outage: Outage, seed: int) -> None:
        self.outage = outage
        self.calls = array("d")  # when each came
        self.refused = array("b")  # whether it failed, call by call
        self._stream = stream(seed, "outage")
        self._answered = array("d")  # within the window

    def call(self, now: float, queue: str) -> bool:
        """A job's call; answers whether it succeeds."""
        outage = self.outage
        if outage.queue and queue != outage.queue:
            return True
        fails = outage.begins <= now < outage.ends and (outage.share == 1 or self._stream.random() < outage.share)
        if not fails and outage.calls_per_second is not None:
            fails = not self._has_room(now, outage.calls_per_second)
        self.calls.append(now)
        self.refused.append(fails)
        return not fails

    def _has_room(self, now: float, limit: float) -> bool:
        recent = self._answered
        while recent and recent[0] <= now - WINDOW_SECONDS:
            recent.pop(0)
        if len(recent) >= limit * WINDOW_SECONDS:
            return False
        recent.append(now)
        return True
