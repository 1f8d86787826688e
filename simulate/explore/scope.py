"""What is explored: who is there, what is asked of them, and how much may go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from minique.ids import make_id
from simulate.explore.actors import (
    KINDS,
    Job,
    Middle,
    Process,
    ProducerProcess,
    ReaperProcess,
    SchedulerProcess,
    WorkerProcess,
)
from simulate.explore.contents import NOW
from simulate.explore.subject import Subject

FAULTS = ("crash", "error", "expiry", "pause")
MANY = 15  # of a kind of fault: what the number of faults left has room for

# The faults that are left are one number, four bits for each kind.
UNITS = {"": 0} | {fault: 1 << 4 * place for place, fault in enumerate(FAULTS)}
MASKS = {fault: MANY * unit for fault, unit in UNITS.items()}


@dataclass(frozen=True)
class Scope:
    """What is explored: who is there, what is asked of them, and how much may go wrong."""

    workers: int = 2
    jobs: tuple[str, ...] = ("plain", "plain")
    """What kind each job is, in the order in which the producer enqueues them."""
    crashes: int = 1
    errors: int = 0
    expiries: int = 1
    """Leaps of time in which a lease runs out, or somebody is late for his next tick."""
    pauses: int = 0
    """The same in the middle of a tick: between its look at the clock and its arrows, between two of them, or before
    the answer is read."""
    schedulers: int = 0
    reaper: bool = True
    retries: int = 1
    batch: int = 0
    """Above 0: workers run jobs in-line, and claim so many at a time."""

    def __post_init__(self) -> None:
        for name in ("crashes", "errors", "expiries", "pauses"):
            if not 0 <= getattr(self, name) <= MANY:
                raise ValueError(f"{name} must be 0 to {MANY}, not {getattr(self, name)}")
        if not 1 <= self.workers <= 4 or not 1 <= len(self.jobs) <= 5:
            raise ValueError("there may be 1 to 4 workers and 1 to 5 jobs")
        if unknown := [kind for kind in self.jobs if kind not in KINDS]:
            raise ValueError(f"there are no jobs that are {unknown[0]!r}; known: {', '.join(KINDS)}")

    def processes(self, subject: Subject) -> list[Process]:
        """The producer first; a reaper last."""
        plan = [Job(_id(number), kind, number) for number, kind in enumerate(self.jobs)]
        jobs = {job.id: job for job in plan}
        found: list[Process] = [ProducerProcess("producer", subject, plan, self.retries)]
        schedulers = self.schedulers or int(bool({"delayed", "fails", "once", "dies", "unknown"} & set(self.jobs)))
        found += [
            SchedulerProcess(f"scheduler {n}" if schedulers > 1 else "scheduler", subject)
            for n in range(1, schedulers + 1)
        ]
        found += [
            WorkerProcess(f"worker-{n}", subject, jobs, self.retries, self.batch) for n in range(1, self.workers + 1)
        ]
        if self.reaper:
            found.append(ReaperProcess("reaper", subject))
        return found

    @property
    def faults(self) -> int:
        """What may go wrong, as one number."""
        counts = (self.crashes, self.errors, self.expiries, self.pauses)
        return sum(count * UNITS[fault] for count, fault in zip(counts, FAULTS, strict=True))

    def leftovers(self) -> Iterator[int]:
        """All that may be left of the faults."""
        counts = (self.crashes, self.errors, self.expiries, self.pauses)
        for some in product(*(range(count + 1) for count in counts)):
            yield sum(count * UNITS[fault] for count, fault in zip(some, FAULTS, strict=True))


def fits_into(some: int, more: int) -> bool:
    """Whether of no kind of fault there are more in the one than in the other."""
    return all((some & MASKS[fault]) <= (more & MASKS[fault]) for fault in FAULTS)


def _id(number: int) -> str:
    middle = Middle()
    middle.bits = number + 1
    return make_id(NOW, middle)
