"""What a run was worth, in numbers: the ledger summed up.

All of it is over the whole run, from the first arrival until the last job was done, the filling and the draining of the
queue included. Nothing here claims a steady state: near saturation there is none within any load of useful length, and
`simulate.replications` says where there is one. Before anything is said of a run, its books must balance.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from simulate.actors import World
from simulate.balance import balance, no_longer_waiting
from simulate.intervals import JOBS_BEYOND, Numbers
from simulate.ledger import Ledger


def percentile(values: Numbers, percent: float) -> float | None:
    """The value that so many percent do not exceed; None when fewer than ten values lie beyond it."""
    if len(values) * (100 - percent) / 100 < JOBS_BEYOND:
        return None
    return float(np.percentile(values, percent))


@dataclass(frozen=True)
class Spread:
    """A distribution in a few numbers, in seconds; None where too few jobs stand behind a number."""

    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    largest: float | None

    @classmethod
    def of(cls, values: Numbers) -> "Spread":
        """The spread of these values; all None when there are none."""
        if not len(values):
            return cls(None, None, None, None, None)
        return cls(
            float(values.mean()),
            percentile(values, 50),
            percentile(values, 95),
            percentile(values, 99),
            float(values.max()),
        )


@dataclass(frozen=True)
class Measures:
    """One run, measured. Times are in seconds."""

    processes: int
    jobs: int
    waiting: Spread  # arrived -> first started, of the jobs that started
    sojourn: Spread  # arrived -> first finished, of the jobs that finished
    throughput: float | None  # jobs done per second, from the first arrival to the last end
    drain_time: float | None  # from the last arrival until the last job was done
    utilisation: float | None  # share of the processes' time spent on jobs; work done twice counts as work
    largest_backlog: int
    empty_looks: int  # a process asked and there was nothing
    lost: int  # never done, and nobody decided that
    left: dict[str, int]  # given up on purpose, by reason: refused, expired, failed for good
    failures: int  # attempts that raised
    started_again: int
    finished_twice: int
    killed: int  # processes killed with a job in hand
    paused: int  # processes stopped for a while with a job in hand
    struck: dict[str, int]  # faults of the server and of connections, by kind
    recovery_time: float | None  # killed or stopped -> its job done, the longest; None if nobody was, or it is lost

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure(world: World, processes: int) -> Measures:
    """Sums up a world that has been run. Raises RuntimeError when its books do not balance."""
    ledger = world.ledger
    if wrong := balance(ledger, world.load.service).complaints():
        raise RuntimeError(f"the books of a run do not balance: {'; '.join(wrong)}")
    arrived, ended, last_end = ledger.column("arrived"), ledger.column("ended"), ledger.column("last_end")
    done = ~np.isnan(ended)
    over = float(np.nanmax(last_end)) if done.any() else None
    span = over - float(arrived[0]) if over is not None else 0.0
    return Measures(
        processes=processes,
        jobs=ledger.jobs,
        waiting=Spread.of(waiting_times(ledger)),
        sojourn=Spread.of((ended - arrived)[done]),
        throughput=int(done.sum()) / span if span else None,
        drain_time=max(0.0, float(np.nanmax(ended)) - float(arrived[-1])) if done.any() else None,
        utilisation=ledger.busy / (processes * span) if span else None,
        largest_backlog=largest_backlog(ledger),
        empty_looks=world.empty_looks,
        lost=ledger.lost,
        left=ledger.left,
        failures=ledger.failures,
        started_again=ledger.started_again,
        finished_twice=ledger.finished_twice,
        killed=len(world.deaths),
        paused=len(world.pauses),
        struck={kind: times for kind, times in sorted(world.struck.items()) if times},
        recovery_time=recovery_time(world),
    )


def waiting_times(ledger: Ledger) -> Numbers:
    """Seconds from arrival to the first start, of every job that started."""
    waited = ledger.column("first_start") - ledger.column("arrived")
    return waited[~np.isnan(waited)]


def recovery_time(world: World) -> float | None:
    """Seconds from the death of a process until the job in its hand was done, the longest; None if one never was.

    None as well when nobody died. A process that was stopped counts like one that died. A job that another copy had
    finished before that counts as recovered at once.
    """
    struck = [*world.deaths, *world.pauses]
    times = [max(0.0, world.ledger.ended[death.job] - death.time) for death in struck]
    never = any(np.isnan(world.ledger.ended[death.job]) for death in struck)
    return None if never or not times else max(times)


def largest_backlog(ledger: Ledger) -> int:
    """The highest step of `backlog`, without making the staircase: with a million jobs that is a hundred megabytes."""
    up, down = np.sort(ledger.column("enqueued")), np.sort(no_longer_waiting(ledger))
    up = up[: np.count_nonzero(~np.isnan(up))]  # whatever never happened is sorted to the end
    # It is highest when a job has just come: that many have come by then, less those that had started before.
    return int((np.arange(1, len(up) + 1) - np.searchsorted(down, up)).max(initial=0))


def backlog(ledger: Ledger) -> tuple[Numbers, Numbers]:
    """How many jobs are enqueued and not started, as a staircase: its times, and the number from each time on.

    A job put back after its process died does not return to this curve: it is one in thousands.
    """
    up, down = ledger.column("enqueued"), no_longer_waiting(ledger)
    up, down = up[~np.isnan(up)], down[~np.isnan(down)]
    times = np.concatenate((up, down))
    steps = np.concatenate((np.ones(len(up)), -np.ones(len(down))))
    # Of equal times the arrivals come first: the other order would show a backlog below zero.
    order = np.lexsort((-steps, times))
    return times[order], np.cumsum(steps[order])
