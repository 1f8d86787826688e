"""What is explored: who is there, what is asked of them, and how much may go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from minique.ids import make_id, make_slot_id
from minique.schedule import Entry
from minique.store import Schedule
from simulate.explore.actors import KINDS, QUEUE, Job, Middle, Process
from simulate.explore.contents import EMPTY, NOW, STAMP, Contents, Draw
from simulate.explore.people import PersonProcess, ProducerProcess
from simulate.explore.subject import Subject
from simulate.explore.upkeep import ReaperProcess, SchedulerProcess
from simulate.explore.workers import WorkerProcess

FAULTS = ("crash", "error", "expiry", "pause", "stop")
MANY = 15  # of a kind of fault: what the number of faults left has room for

_COUNTS = ("crashes", "errors", "expiries", "pauses", "stops")
# The faults that are left are one number, four bits for each kind.
UNITS = {"": 0} | {fault: 1 << 4 * place for place, fault in enumerate(FAULTS)}
MASKS = {fault: MANY * unit for fault, unit in UNITS.items()}


EVERY_SECONDS = 6.0
ENTRY = Entry("recurring", "job", every_seconds=EVERY_SECONDS, queue=QUEUE, catch_up="all")
"""Each leap of time brings one of its slots, or two."""


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
    ahead: int = 1
    """Above 1: so many children are forked ahead, and so many jobs claimed together while they are short."""
    stops: int = 0
    """Workers that are told to stop, wherever they are; another is started in their place."""
    acts: int = 0
    """What a person does, at any time: cancel, requeue or discard, any job."""
    slots: int = 0
    """Of a recurring entry, that are fired."""

    def __post_init__(self) -> None:
        for name in (*_COUNTS, "acts", "slots"):
            if not 0 <= getattr(self, name) <= MANY:
                raise ValueError(f"{name} must be 0 to {MANY}, not {getattr(self, name)}")
        if not 1 <= self.workers <= 4 or not 1 <= len(self.jobs) <= 5:
            raise ValueError("there may be 1 to 4 workers and 1 to 5 jobs")
        if unknown := [kind for kind in self.jobs if kind not in KINDS]:
            raise ValueError(f"there are no jobs that are {unknown[0]!r}; known: {', '.join(KINDS)}")

    def processes(self, subject: Subject) -> list[Process]:
        """The producer first; a reaper last."""
        plan = self.plan()
        jobs = {job.id: job for job in plan}
        found: list[Process] = [ProducerProcess("producer", subject, plan, self.retries)]
        jobs |= {id: Job(id, "brief", 0) for _, id in self.planned()}
        schedulers = self.schedulers or int(
            bool({"delayed", "fails", "once", "dies", "unknown"} & set(self.jobs) or self.slots)
        )
        found += [
            SchedulerProcess(f"scheduler {n}" if schedulers > 1 else "scheduler", subject)
            for n in range(1, schedulers + 1)
        ]
        found += [
            WorkerProcess(
                f"worker-{n}", subject, jobs, self.retries, self.batch, self.stops > 0, self.errors > 0, self.ahead
            )
            for n in range(1, self.workers + 1)
        ]
        if self.acts:
            found.append(PersonProcess("person", subject, [job.id for job in plan], self.acts))
        if self.reaper:
            found.append(ReaperProcess("reaper", subject))
        return found

    def plan(self) -> list[Job]:
        """The producer's jobs."""
        return [Job(_id(number), kind, number) for number, kind in enumerate(self.jobs)]

    def planned(self) -> list[tuple[float, str]]:
        """The slots, in seconds from the beginning, and the ids of their jobs."""
        first = NOW + EVERY_SECONDS - NOW % EVERY_SECONDS
        times = [first + n * EVERY_SECONDS for n in range(self.slots)]
        return [(at - NOW, make_slot_id(ENTRY.name, at)) for at in times]

    def begin(self, draw: Draw) -> Contents:
        """What the server holds at first."""
        if not self.slots:
            return EMPTY
        # The clock stops before the next slot would come.
        contents: Contents = (("clock", (0.0, (self.slots + 1) * EVERY_SECONDS - NOW % EVERY_SECONDS - 1)),)
        return draw(contents, Schedule(ENTRY.name, ENTRY.to_json()), STAMP)[0]

    @property
    def faults(self) -> int:
        """What may go wrong, as one number."""
        return sum(getattr(self, name) * UNITS[fault] for name, fault in zip(_COUNTS, FAULTS, strict=True))

    def leftovers(self) -> Iterator[int]:
        """All that may be left of the faults."""
        for some in product(*(range(getattr(self, name) + 1) for name in _COUNTS)):
            yield sum(count * UNITS[fault] for count, fault in zip(some, FAULTS, strict=True))


def fits_into(some: int, more: int) -> bool:
    """Whether of no kind of fault there are more in the one than in the other."""
    return all((some & MASKS[fault]) <= (more & MASKS[fault]) for fault in FAULTS)


def _id(number: int) -> str:
    middle = Middle()
    middle.bits = number + 1
    return make_id(NOW, middle)
