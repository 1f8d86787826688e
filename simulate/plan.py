"""How many workers a load needs so that nearly all jobs start soon enough: the real design with more and with fewer.

The answer is the smallest number whose whole interval lies below the target, with what one fewer would give. It speaks
of loads like the ones that were played, growth, fork costs and crashes included. Where there is no honest number there
are words: too few jobs for the percentile, jobs that are lost, a wait that no number of workers makes shorter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import floor, isfinite
from typing import Any

import numpy as np

from simulate import designs as ladder
from simulate import faults
from simulate.costs import Costs
from simulate.intervals import Estimate, Interval, Numbers, Refusal, batches, in_columns, percentile_interval
from simulate.playing import play
from simulate.words import told
from simulate.workload import Load

MOST_WORKERS = 10_000

# A single load, such as a trace, is cut into so many stretches, for an interval.
STRETCHES = 10

# Twice the workers shorten a wait that is theirs to shorten by more than that.
NO_HELP = 0.01


@dataclass(frozen=True)
class Goal:
    """What is wanted, and what is to be expected."""

    seconds: float  # a waiting time
    percent: float = 95.0  # of the jobs are to wait no longer
    growth: float = 1.0  # arrivals come so many times as fast as in the load
    crashes_per_hour: float = 0.0  # processes killed with a job in hand

    def words(self) -> str:
        """In one line."""
        return f"p{self.percent:g} of the waiting time below {self.seconds:g} s"


@dataclass(frozen=True)
class Point:
    """What so many workers give."""

    workers: int
    waiting: Estimate
    lost: int  # over all loads


@dataclass(frozen=True, eq=False)
class Plan:
    """The answer, or why there is none, and every number of workers that was tried."""

    design: str
    load: Load  # the first, grown
    goal: Goal
    seed: int
    replications: int
    costs: Costs
    points: tuple[Point, ...]
    workers: int | None
    why_none: str | None

    def point(self, workers: int) -> Point | None:
        """What was found for that number, if it was tried."""
        return next((point for point in self.points if point.workers == workers), None)

    def rows(self) -> list[list[str]]:
        """One row for each number of workers that was tried, for CSV; see `HEADER`."""
        found = []
        for one in self.points:
            *numbers, why = in_columns(one.waiting)
            enough = "yes" if self.workers is not None and one.workers >= self.workers else "no"
            found.append(
                [self.design, str(one.workers), f"{self.goal.percent:g}", *numbers, str(one.lost), enough, why]
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "version": 1,
            "design": self.design,
            "load": {"name": self.load.name, "words": self.load.words, **self.load.figures()},
            "goal": {
                "waiting_seconds": self.goal.seconds,
                "percent": self.goal.percent,
                "growth": self.goal.growth,
                "crashes_per_hour": self.goal.crashes_per_hour,
            },
            "seed": self.seed,
            "replications": self.replications,
            "costs_seconds": self.costs.seconds,
            "costs_are": self.costs.origin,
            "workers": self.workers,
            "why_none": self.why_none,
            "tried": [
                {"workers": one.workers, "waiting": one.waiting.to_dict(), "lost": one.lost} for one in self.points
            ],
        }


HEADER = ["design", "workers", "percentile", "seconds", "low", "high", "lost", "enough", "why_none"]


def plan(
    loads: Sequence[tuple[int, Load]],
    design: str,
    goal: Goal,
    costs: Costs | None = None,
    most: int = MOST_WORKERS,
    progress: Callable[[int], object] | None = None,
) -> Plan:
    """Finds the smallest number of workers that meets the goal, trying `most` at most.

    `loads` are of one kind, each with its seed; of a single one the interval comes from its stretches. `progress` is
    called with how many numbers have been tried. Raises ValueError for an unknown design or a goal that is none.
    """
    if not (goal.seconds > 0 and 0 < goal.percent < 100 and goal.growth > 0 and goal.crashes_per_hour >= 0):
        raise ValueError(
            f"{told(target=goal.seconds, percentile=goal.percent, growth=goal.growth)}, "
            f"{told(crashes_per_hour=goal.crashes_per_hour)}: a time and a growth must be above zero, a percentile "
            "between 0 and 100, crashes 0 or more"
        )
    kind, costs = ladder.find(design), costs or Costs()
    grown = [(seed, faster(load, goal.growth)) for seed, load in loads]
    tried: dict[int, Point] = {}

    def at(workers: int) -> Point:
        if workers not in tried:
            tried[workers] = point(kind, grown, workers, goal, costs)
            if progress is not None:
                progress(len(tried))
        return tried[workers]

    found, why = search(at, max(load.offered for _, load in grown), goal, most)
    points = tuple(tried[workers] for workers in sorted(tried))
    return Plan(design, grown[0][1], goal, grown[0][0], len(grown), costs, points, found, why)


def search(at: Callable[[int], Point], offered: float, goal: Goal, most: int) -> tuple[int | None, str | None]:
    """The smallest number of workers that meets the goal, or why there is none: up by doubling, then by halves."""
    if not isfinite(offered):
        return None, "all jobs arrive in one instant: there is no rate to plan for; give a load that takes time"
    # With fewer the backlog has no limit, however short the load that was played.
    low = floor(offered)
    if low >= most:
        return None, (
            f"{offered:.3g} erlangs need more than {low:,} workers, and {most:,} is the limit; raise it with --most"
        )
    high, before = low + 1, None
    while not meets(now := at(high), goal):
        if isinstance(now.waiting, Refusal):
            return None, now.waiting.why
        if now.lost:
            return None, f"with {high:,} workers {now.lost:,} jobs are lost, and more workers do not cure that"
        if before is not None and now.waiting.value > before * (1 - NO_HELP):
            return None, (
                f"p{goal.percent:g} stays at {now.waiting.value:.3g} s with {high:,} workers, and twice as many did "
                "not help: the wait is the design's own, or its one process's; choose another design or target"
            )
        if high == most:
            return None, f"with {high:,} workers p{goal.percent:g} is {now.waiting.value:.3g} s; raise --most"
        low, before = high, now.waiting.value
        high = min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if meets(at(middle), goal) else (middle, high)
    if high > 1:
        at(high - 1)  # what one fewer would give
    return high, None


def meets(point: Point, goal: Goal) -> bool:
    """Whether the whole interval lies below the target, and nothing is lost."""
    return isinstance(point.waiting, Interval) and point.waiting.high < goal.seconds and not point.lost


def point(
    kind: type[ladder.Design], loads: Sequence[tuple[int, Load]], workers: int, goal: Goal, costs: Costs
) -> Point:
    """Plays the loads with so many workers."""
    waits: list[Numbers] = []
    lost = 0
    for seed, load in loads:
        crashes = round(goal.crashes_per_hour * load.span / 3600)
        world, _ = play(kind, load, workers, costs, seed, faults.random_kills(load, seed, crashes, workers))
        lost += world.ledger.lost
        waited = world.ledger.column("first_start") - load.arrived
        waits.append(waited[~np.isnan(waited)])
    runs = waits if len(waits) > 1 else batches(waits[0], STRETCHES)
    if not runs:
        return Point(workers, Refusal(f"{len(waits[0]):,} jobs are too few to be cut into {STRETCHES} stretches"), lost)
    found = percentile_interval(runs, goal.percent)
    if isinstance(found, Refusal) and len(waits) == 1:
        found = Refusal(f"cut into {STRETCHES} stretches for an interval, {found.why}")
    return Point(workers, found, lost)


def faster(load: Load, growth: float) -> Load:
    """The same jobs, arriving so many times as fast."""
    if growth == 1:
        return load
    return replace(load, words=f"{load.words}; arriving {growth:g} times as fast", arrived=load.arrived / growth)
