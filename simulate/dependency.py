"""What jobs need from elsewhere, such as a mail server: it is down or slow for a while, and answers so many calls a
second.

One that has calls beyond its limit may answer as many as ever and refuse the rest, or it collapses: each call too many
costs it something of what it could have answered. Then it can be held down by those who call because it is down.

The dependency keeps a list of its callers. What a retry storm looks like is seen from here, not from the queue.
"""

from array import array
from dataclasses import dataclass

from simulate.words import told
from simulate.workload import stream

# Calls are counted over so long when their number is limited.
WINDOW_SECONDS = 1.0


class JobFailed(Exception):
    """Raised inside a simulated job whose dependency did not answer."""


@dataclass(frozen=True)
class Outage:
    """A time in which the dependency answers nobody, or not everybody, or slowly. Times in seconds of virtual time."""

    begins: float
    seconds: float
    fails_after: float = 0.05  # how long a call that fails keeps its worker: refused at once, or a time-out
    share: float = 1.0  # of the calls that fail while it lasts, drawn one by one
    calls_per_second: float | None = None  # more than that fail as well, at any time; None: no limit
    collapse: float = 0.0  # answers that each call beyond the limit takes away from the same second
    mended_after: float | None = None  # so long after its end a person has seen to it that there is no limit
    queue: str = ""  # only jobs of this queue call; empty: all do
    slower: float | None = None  # it answers all the while, but a call takes so many times as long; None: it does not
    times_out: float | None = None  # whoever waits so long for such an answer gives up and raises; None: nobody does

    def __post_init__(self) -> None:
        if not (self.begins >= 0 and self.seconds >= 0 and self.fails_after >= 0 and 0 < self.share <= 1):
            raise ValueError(
                f"an outage with {told(begins=self.begins, seconds=self.seconds, fails_after=self.fails_after)}, "
                f"{told(share=self.share)}: times must be 0 or more, and the share above 0 and at most 1"
            )
        if self.calls_per_second is not None and self.calls_per_second < 1:
            raise ValueError(f"a dependency that answers {self.calls_per_second:g} calls a second is no use")
        if self.slower is not None and not (self.slower > 1 and self.share == 1):
            raise ValueError(
                f"a dependency with {told(slower=self.slower, share=self.share)}: slower is above 1, so many times as "
                "long, and for every call"
            )
        if self.times_out is not None and (self.slower is None or self.times_out <= 0):
            raise ValueError(f"{told(times_out=self.times_out)}: a time-out is above 0, and for one that gets slower")
        if self.collapse < 0 or (self.mended_after is not None and self.mended_after < 0):
            raise ValueError(
                f"an outage with {told(collapse=self.collapse, mended_after=self.mended_after)}: how it collapses, and "
                "when it is mended, must be 0 or more"
            )
        if self.collapse and (self.calls_per_second is None or self.mended_after is None):
            raise ValueError(
                "an outage: what collapses needs a limit beyond which it does, and may never come back by itself: say "
                "when a person steps in (mended_after)"
            )

    @property
    def ends(self) -> float:
        """When it answers again."""
        return self.begins + self.seconds

    @property
    def mended(self) -> float:
        """When a person has stepped in; infinite if nobody does."""
        return float("inf") if self.mended_after is None else self.ends + self.mended_after


class Dependency:
    """The dependency of one run."""

    def __init__(self, outage: Outage, seed: int) -> None:
        self.outage = outage
        self.calls = array("d")  # when each came
        self.refused = array("b")  # whether it failed, call by call
        self.took = array("d")  # how long each kept its worker
        self._stream = stream(seed, "outage")
        self._answered = array("d")  # within the window, as are all that came
        self._came = array("d")

    def call(self, now: float, queue: str, seconds: float) -> tuple[bool, float]:
        """A job's call, which usually takes so many seconds; answers whether it succeeds, and how long it takes."""
        outage = self.outage
        if outage.queue and queue != outage.queue:
            return True, seconds
        succeeds = self._answers(now)
        takes = seconds if succeeds else outage.fails_after
        if succeeds and outage.slower is not None and self._is_struck(now):
            takes *= outage.slower
            if outage.times_out is not None and takes > outage.times_out:
                succeeds, takes = False, outage.times_out
        self.calls.append(now)
        self.refused.append(not succeeds)
        self.took.append(takes)
        return succeeds, takes

    def _is_struck(self, now: float) -> bool:
        return self.outage.begins <= now < self.outage.ends

    def _answers(self, now: float) -> bool:
        outage = self.outage
        fails = self._is_struck(now) and (outage.share == 1 or self._stream.random() < outage.share)
        fails = fails and outage.slower is None
        if outage.calls_per_second is not None and now < outage.mended:
            has_room = self._has_room(now, outage.calls_per_second)
            fails = fails or not has_room
            if not fails:
                self._answered.append(now)
        return not fails

    def _has_room(self, now: float, limit: float) -> bool:
        self._came.append(now)
        for recent in (self._answered, self._came):
            while recent and recent[0] <= now - WINDOW_SECONDS:
                recent.pop(0)
        most = limit * WINDOW_SECONDS
        too_many = max(0.0, len(self._came) - most)
        return len(self._answered) < most - self.outage.collapse * too_many
