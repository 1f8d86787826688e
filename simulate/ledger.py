"""What happened to every job of one run: one row per job, kept in flat arrays because there may be a million.

What happens to few of them (a second start, a second end, being given up) is kept apart, for those few alone.
"""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from simulate.intervals import Numbers

NEVER = float("nan")


class Ledger:
    """The record of one run, written while it goes on. All times are seconds of virtual time.

    An attempt begins with `start` and ends with `finish`, with `fail` when the job raised, or with `abandon` when its
    process is killed. What the design itself believes (done, failed, leased) is not asked: this is what an onlooker
    sees. Only what somebody decided not to do is reported by the design, with `leave`.
    """

    def __init__(self, arrived: Sequence[float] | Numbers) -> None:
        jobs = len(arrived)
        nothing = array("d", [NEVER]) * jobs
        self.jobs = jobs
        self.arrived = array("d", arrived)  # the producer called enqueue
        self.enqueued = nothing[:]  # the design had it in its table or queue
        self.first_start = nothing[:]
        self.ended = nothing  # finished for the first time: whoever waits for the job has it now
        self._has_begun = bytearray(jobs)  # 1 for those that did
        self._has_ended = bytearray(jobs)
        self._again = Counter[int]()  # starts after the first
        self._last_start: dict[int, float] = {}  # of those
        self._twice = Counter[int]()  # ends after the first
        self._last_end: dict[int, float] = {}
        self._left_at: dict[int, float] = {}  # given up on purpose: refused, expired, or failed for good
        self.begun = 0  # attempts that began
        self.over = 0  # attempts that ended, in whichever way
        self.unfinished = jobs  # jobs that have not finished once
        self.abandoned = 0  # attempts that ended with their process
        self.failures = 0  # attempts that ended because the job raised
        self.busy = 0.0  # seconds that processes spent on jobs, abandoned attempts included
        self.wasted = 0.0  # of these, seconds in attempts that were abandoned
        self.failing = 0.0  # of these, seconds in attempts that raised
        self.stopped = 0.0  # of these, seconds in attempts that finished in which the process was stopped
        # Counted while the run goes on, and so a witness against the columns: jobs waiting to be started for the first
        # time, and the area under their number over time.
        self.waiting = 0
        self.waiting_area = 0.0
        self._counted_until = 0.0
        self._why_left: dict[int, str] = {}

    def enqueue(self, job: int, now: float) -> None:
        """The design has the job in its table or queue."""
        self.enqueued[job] = now
        self.waiting_area += self.waiting * (now - self._counted_until)
        self._counted_until = now
        self.waiting += 1

    def start(self, job: int, now: float) -> None:
        """An attempt at the job begins; this may be told a little before its time."""
        if self._has_begun[job]:
            self._again[job] += 1
            self._last_start[job] = now
        else:
            self._has_begun[job] = 1
            self.first_start[job] = now
            self.waiting_area += self.waiting * (now - self._counted_until)
            self._counted_until = now
            self.waiting -= 1
        self.begun += 1

    def finish(self, job: int, started: float, now: float) -> None:
        """The attempt that began at `started` has done the job."""
        if self._has_ended[job]:
            self._twice[job] += 1
            self._last_end[job] = now
        else:
            self._has_ended[job] = 1
            self.ended[job] = now
            # Given up by the design, and done all the same by a worker that it had taken for dead.
            if not (self._why_left and self._why_left.pop(job, "")):
                self.unfinished -= 1
        self.busy += now - started
        self.over += 1

    def abandon(self, started: float, now: float) -> None:
        """The attempt that began at `started` ends here, undone: its process was killed."""
        self.busy += now - started
        self.wasted += now - started
        self.abandoned += 1
        self.over += 1

    def fail(self, started: float, now: float) -> None:
        """The attempt that began at `started` ends here because the job raised; it may be tried again."""
        self.busy += now - started
        self.failing += now - started
        self.failures += 1
        self.over += 1

    def leave(self, job: int, why: str, now: float) -> None:
        """The job will not be done, on purpose: it was refused, it expired, it is out of tries."""
        if self._has_ended[job] or job in self._why_left:
            return
        self._why_left[job] = why
        self._left_at[job] = now
        self.unfinished -= 1
        if not self._has_begun[job]:
            self.waiting_area += self.waiting * (now - self._counted_until)
            self._counted_until = now
            self.waiting -= 1

    @property
    def running(self) -> int:
        """Attempts going on now."""
        return self.begun - self.over

    @property
    def over_at(self) -> float:
        """When the last of the jobs that were done had been done."""
        return float(np.fmax.reduce(self.ended, initial=0.0))

    @property
    def steps(self) -> int:
        """Grows with every start and end: when it stands still, nothing happens any more."""
        return self.begun + self.over + len(self._left_at)

    @property
    def left(self) -> dict[str, int]:
        """How many jobs were given up on purpose, for each reason."""
        return dict(sorted(Counter(self._why_left.values()).items()))

    def why_left(self, job: int) -> str:
        """Why the job was given up; empty when it was not."""
        return self._why_left.get(job, "")

    @property
    def lost(self) -> int:
        """Jobs that never finished, though nobody decided that."""
        return self.unfinished

    @property
    def started_again(self) -> int:
        """Jobs that were begun more than once."""
        return len(self._again)

    @property
    def finished_twice(self) -> int:
        """Jobs that were done more than once: the customer was charged twice."""
        return len(self._twice)

    @property
    def starts(self) -> Numbers:
        """How many attempts at each job began."""
        return _with(self._has_begun, self._again, 1)

    @property
    def finishes(self) -> Numbers:
        """How often each job was done."""
        return _with(self._has_ended, self._twice, 1)

    @property
    def last_start(self) -> Numbers:
        """When the latest attempt at each job began."""
        return _with(self.first_start, self._last_start)

    @property
    def last_end(self) -> Numbers:
        """When each job was done for the last time."""
        return _with(self.ended, self._last_end)

    @property
    def left_at(self) -> Numbers:
        """When each job was given up on purpose; "nan" for those that were not."""
        return _with(np.full(self.jobs, NEVER), self._left_at)

    def column(self, name: str) -> Numbers:
        """One column as an array of numbers, by its name."""
        return np.array(getattr(self, name), dtype=np.float64)

    def broken_rules(self) -> list[str]:
        """What cannot be true of any run, in words; empty when the books are in order.

        Each job goes through its times in order; each attempt that began has ended or goes on; and no more jobs have
        been done than attempts begun.
        """
        arrived, enqueued, first, ended = (self.column(n) for n in ("arrived", "enqueued", "first_start", "ended"))
        starts, finishes = self.column("starts"), self.column("finishes")
        found = []
        # Comparisons with "never" are false, so jobs that did not get so far break nothing.
        for early, late, what in (
            (arrived, enqueued, "enqueued before they arrived"),
            (enqueued, first, "started before they were enqueued"),
            (first, ended, "ended before they started"),
        ):
            if wrong := int(np.sum(late < early)):
                found.append(f"{wrong} jobs were {what}")
        if wrong := int(np.sum(finishes > starts)):
            found.append(f"{wrong} jobs finished more often than they started")
        over = int(finishes.sum()) + self.abandoned + self.failures + self.running
        if (begun := int(starts.sum())) != over:
            found.append(f"{begun} attempts began, but {over} ended or go on")
        return found


def _with(column: Sequence[float] | Numbers, few: Mapping[int, float], base: float = 0.0) -> Numbers:
    """A column, with other values for a few jobs."""
    found = np.array(column, dtype=np.float64)
    if few:
        found[list(few)] = np.fromiter(few.values(), np.float64) + base
    return found
