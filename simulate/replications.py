"""Several runs of the same kind of load, and what they say together: each number with its interval.

Two questions are kept apart. *A load of this length*, from its first arrival to its last end, filling and draining
included: every replication answers that, and the interval needs nothing but independent seeds. *The long run*: only
where the queue settles, with its beginning left out, and otherwise in words why not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulate.intervals import (
    COLUMNS,
    Estimate,
    Numbers,
    Refusal,
    batch_mean_interval,
    in_columns,
    mean_interval,
    paired_difference,
    percentile_interval,
)
from simulate.measures import Measures
from simulate.steady import growth, warm_up, why_not_steady
from simulate.workload import Load, stream

PERCENTILES = (50, 95, 99)


def seeds(seed: int, count: int) -> list[int]:
    """A seed for each replication: first the one that was given, then others that share nothing with its neighbours."""
    return [seed, *(int(stream(seed, f"replication {n}").integers(2**53)) for n in range(1, count))]


@dataclass(frozen=True, eq=False)
class Run:
    """One design under one load: what the estimates are made of. Times in the order of arrival, "nan" for never."""

    load: Load
    waiting: Numbers
    sojourn: Numbers
    peace: Measures
    killed: Measures


@dataclass(frozen=True)
class Estimates:
    """One design in all replications."""

    design: str
    measures: dict[str, Estimate]  # over each whole load; times in seconds
    long_run: Estimate | None  # the mean waiting time if the load went on for ever
    warm_up_jobs: int | None  # left out at the beginning for that, the same in each run

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = {name: estimate.to_dict() for name, estimate in self.measures.items()}
        if self.long_run is not None:
            found["long_run_waiting_mean"] = {**self.long_run.to_dict(), "warm_up_jobs": self.warm_up_jobs}
        return {"design": self.design, **found}


@dataclass(frozen=True)
class Difference:
    """How much more one design is than another, paired run by run on the same loads."""

    design: str
    than: str
    measures: dict[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "design": self.design,
            "minus": self.than,
            **{name: estimate.to_dict() for name, estimate in self.measures.items()},
        }


# What is compared pair by pair: what it is called, and how it is taken from a run; None where a run has no such number.
PAIRED: dict[str, Callable[[Run], float | None]] = {
    "waiting_mean": lambda run: run.peace.waiting.mean,
    "waiting_p95": lambda run: run.peace.waiting.p95,
    "sojourn_mean": lambda run: run.peace.sojourn.mean,
    "recovery_time": lambda run: run.killed.recovery_time,
}

WHOLE: dict[str, Callable[[Run], float | None]] = {
    "throughput": lambda run: run.peace.throughput,
    "drain_time": lambda run: run.peace.drain_time,
    "utilisation": lambda run: run.peace.utilisation,
    "recovery_time": lambda run: run.killed.recovery_time,
}


def estimate(design: str, runs: Sequence[Run]) -> Estimates:
    """Everything that is said of a design, from its runs."""
    measures: dict[str, Estimate] = {}
    for name, waits in (("waiting", [run.waiting for run in runs]), ("sojourn", [run.sojourn for run in runs])):
        measures |= spread(name, waits)
    for name, waits in by_queue([run.load for run in runs], [run.waiting for run in runs]).items():
        found = spread(name, waits)
        measures |= {measure: found[measure] for measure in (f"{name}_mean", f"{name}_p95")}
    for name, take in WHOLE.items():
        measures[name] = of_all(mean_interval, [take(run) for run in runs])
    long_run, cut = in_the_long_run(runs)
    return Estimates(design, measures, long_run, cut)


def by_queue(loads: Sequence[Load], waits: Sequence[Numbers]) -> dict[str, list[Numbers]]:
    """The waiting times of each queue apart, run by run; nothing where loads have no queues."""
    queues = [np.array(load.queues or ()) for load in loads]
    every = sorted({name for load in loads for name in load.queues or ()})
    return {
        f"queue {name}: waiting": [own[names == name] for names, own in zip(queues, waits, strict=True)]
        for name in every
    }


def spread(name: str, runs: Sequence[Numbers]) -> dict[str, Estimate]:
    """Mean and percentiles of a distribution, from the values of each run; jobs that never came to it are left out."""
    known = [run[~np.isnan(run)] for run in runs]
    found: dict[str, Estimate] = {
        f"{name}_mean": of_all(mean_interval, [float(run.mean()) if len(run) else None for run in known])
    }
    for percent in PERCENTILES:
        found[f"{name}_p{percent}"] = percentile_interval(known, percent)
    return found


def in_the_long_run(runs: Sequence[Run], cut: int | None = None) -> tuple[Estimate, int | None]:
    """The mean waiting time of a load without end, and how many jobs were left out at the beginning; or why not.

    `cut` says how many; without it MSER-5 does.
    """
    for run in runs:
        refusal = why_not_steady(run.load, run.peace.processes)
        if refusal is not None:
            return refusal, None
        if np.isnan(run.waiting).any():
            return Refusal("jobs were lost"), None
    waits = [run.waiting for run in runs]
    grows = growth(waits, [run.load.span for run in runs], [run.peace.throughput or 0.0 for run in runs])
    if grows is not None:
        return grows, None
    if cut is None:
        cut = warm_up(waits)
    if cut is None:
        return Refusal("the run has not settled: no beginning can be cut off after which it looks alike"), None
    rest = [wait[cut:] for wait in waits]
    if len(rest) == 1:
        return batch_mean_interval(rest[0]), cut
    return mean_interval([float(wait.mean()) for wait in rest]), cut


def differences(runs: Mapping[str, Sequence[Run]], than: str) -> tuple[Difference, ...]:
    """Every other design beside this one."""
    return tuple(
        Difference(
            design,
            than,
            {
                name: of_all(paired_difference, [take(run) for run in those], [take(run) for run in runs[than]])
                for name, take in PAIRED.items()
            },
        )
        for design, those in runs.items()
        if design != than
    )


def of_all(make: Callable[..., Estimate], *columns: Sequence[float | None]) -> Estimate:
    """The estimate if every run has its number, and otherwise that some have none: leaving them out would flatter."""
    missing = max(sum(value is None for value in column) for column in columns)
    if missing:
        return Refusal(f"{missing} of {len(columns[0])} runs have none")
    return make(*columns)


def rows(
    name: str, workers: int, runs: int, estimates: Sequence[Estimates], pairs: Sequence[Difference]
) -> list[list[str]]:
    """One row for each number, for CSV; see `HEADER`."""
    found = []

    def row(design: str, measure: str, what: Estimate) -> None:
        found.append([name, str(workers), str(runs), design, measure, *in_columns(what)])

    for one in estimates:
        for measure, what in one.measures.items():
            row(one.design, measure, what)
        if one.long_run is not None:
            row(one.design, "long_run_waiting_mean", one.long_run)
    for pair in pairs:
        for measure, what in pair.measures.items():
            row(f"{pair.design} minus {pair.than}", measure, what)
    return found


HEADER = ["load", "workers", "replications", "design", "measure", *COLUMNS]
