"""How many workers at which hour: a load that comes and goes, staffed window by window, and played to prove it.

Two engines share the work. The recursion of first come, first served finds the smallest number for each window in a
blink, with what each window leaves to the next. Then the shipping workers play the whole load with that many: more are
started as a window begins, and those that are too many are told to stop, the idle first; they finish what they have.
Where the play misses the target, crashes included, the window gets more, and all is played again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heapreplace
from math import ceil, isfinite
from typing import Any

import numpy as np

from simulate import faults, theory
from simulate.actors import World
from simulate.costs import Costs
from simulate.designs import Design, find
from simulate.intervals import Estimate, Interval, Numbers, Refusal, jobs_needed, percentile_interval
from simulate.measures import measure
from simulate.plan import MOST_WORKERS, Goal, faster
from simulate.replications import seeds
from simulate.service_times import ServiceTimes
from simulate.words import told
from simulate.workload import Load, generate

DESIGNS = ("minique", "inline")  # whose workers can be told to go

# After so many plays in which some window misses the target there is no answer.
MOST_ROUNDS = 8
MOST_TRIES = 50  # by the recursion, before that

WARM_UP_SHARE = 0.2


@dataclass(frozen=True)
class Window:
    """One window of the load: an hour, unless it was asked otherwise."""

    begins: float  # seconds since the load began
    seconds: float
    jobs: int  # that arrive in it, in the first load
    offered: float  # erlangs
    workers: int
    in_theory: int | None  # for Poisson arrivals and exponential service of this rate and mean; None without jobs
    waiting: float | None  # the percentile that was asked for, over the jobs that arrive in it, as played; seconds
    estimate: Estimate  # the same with its interval, if several loads were given; or why there is none


@dataclass(frozen=True, eq=False)
class Staffing:
    """The whole answer, or why there is none."""

    design: str
    load: Load  # the first, grown
    goal: Goal
    costs: Costs
    replications: int  # loads of this kind
    windows: tuple[Window, ...]
    constant: int | None  # as many workers, all the time, would do as well
    rounds: int  # plays of the whole load that it took
    lost: int
    crashes: int
    why_none: str | None = None

    @property
    def worker_hours(self) -> float:
        """What the staffing costs."""
        return sum(window.workers * window.seconds for window in self.windows) / 3600

    @property
    def constant_worker_hours(self) -> float | None:
        """What the same number all the time would cost."""
        return None if self.constant is None else self.constant * sum(window.seconds for window in self.windows) / 3600

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "design": self.design,
            "load": {"name": self.load.name, "words": self.load.words, **self.load.figures()},
            "goal": self.goal.words(),
            "costs_seconds": self.costs.seconds,
            "costs_are": self.costs.origin,
            "replications": self.replications,
            "growth": self.goal.growth,
            "crashes": self.crashes,
            "lost": self.lost,
            "why_none": self.why_none,
            "constant_workers": self.constant,
            "worker_hours": self.worker_hours,
            "windows": [
                {
                    "begins_seconds": one.begins,
                    "seconds": one.seconds,
                    "jobs": one.jobs,
                    "offered_erlangs": one.offered,
                    "workers": one.workers,
                    "workers_in_theory": one.in_theory,
                    "waiting_seconds": one.waiting,
                    "estimate": one.estimate.to_dict(),
                }
                for one in self.windows
            ],
        }


def staffing(
    loads: Load | Sequence[tuple[int, Load]],
    goal: Goal,
    *,
    window: float = 3600.0,
    design: str = "minique",
    costs: Costs | None = None,
    most: int = MOST_WORKERS,
    progress: Callable[[int], object] | None = None,
) -> Staffing:
    """The smallest number of workers for each window, so that the goal holds in every one of them.

    A trace is one load, and the answer is of that day. Several loads of a kind, each with its seed, give intervals, and
    then the whole interval must lie below the target. `progress` is called with the number of plays done. Raises
    ValueError for a design whose workers cannot be told to go, or a goal or window that cannot be.
    """
    if design not in DESIGNS:
        raise ValueError(f"the design {design!r} cannot change its number of workers; known: {', '.join(DESIGNS)}")
    if not (window > 0 and goal.seconds > 0 and 0 < goal.percent < 100 and goal.growth > 0):
        raise ValueError(
            f"{told(target=goal.seconds, percentile=goal.percent, growth=goal.growth, window=window)}: all of that "
            "must be above 0, and the percentile below 100"
        )
    costs = costs or Costs()
    given = [(0, loads)] if isinstance(loads, Load) else list(loads)
    grown = [(seed, faster(load, goal.growth)) for seed, load in given]
    first = grown[0][1]
    windows = max(1, ceil(max(load.span for _, load in grown) / window))
    lanes = [_Lane(load, costs, design) for _, load in grown]

    def none(why: str) -> Staffing:
        return Staffing(design, first, goal, costs, len(grown), (), None, 0, 0, 0, why)

    workers, why = _search(lanes, window, windows, goal, most)
    if why is not None:
        return none(why)
    for _ in range(MOST_TRIES):
        # What a window leaves to the next was taken to be done by as many workers; now it is seen what is.
        runs = [lane.all_waits(workers, window) for lane in lanes]
        missed = [n for n in range(windows) if not _is_enough([waits[n] for waits in runs], goal)]
        if not missed:
            break
        workers = _with_more(workers, missed)
    constant = _constant(lanes, window, windows, goal, max(workers))
    for rounds in range(1, MOST_ROUNDS + 1):
        if max(workers) > most:
            return none(f"{max(workers):,} workers would be needed, and {most:,} is the limit")
        played = [_play(design, load, seed, workers, window, goal, costs) for seed, load in grown]
        if progress is not None:
            progress(rounds)
        if lost := sum(one.lost for one in played):
            return none(f"{lost:,} jobs are lost, and more workers do not cure that")
        found = [_window(n, [one.waits[n] for one in played], grown, window, workers[n], goal) for n in range(windows)]
        missed = [n for n, one in enumerate(found) if not _meets(one, goal)]
        if not missed:
            crashes = sum(one.crashes for one in played)
            return Staffing(design, first, goal, costs, len(grown), tuple(found), constant, rounds, 0, crashes)
        workers = _with_more(workers, missed)
    late = ", ".join(f"{n * window:,.0f} s" for n in missed[:5])
    return none(f"after {MOST_ROUNDS} plays the target is still missed in {len(missed)} windows, from {late} on")


def _with_more(workers: Sequence[int], missed: Sequence[int]) -> list[int]:
    """More for the windows that miss the target; it may be the backlog of the one before that they are late with."""
    more = {n for late in missed for n in (late, late - 1) if n == late or (n >= 0 and workers[n] < workers[late])}
    return [number + max(1, number // 50) * (n in more) for n, number in enumerate(workers)]


class _Lane:
    """One load going through its windows by the recursion."""

    def __init__(self, load: Load, costs: Costs, design: str) -> None:
        # What a worker does between two jobs is in its way as the work is.
        steps = costs.round_trip
        steps += costs.in_line + costs.end_in_line if design == "inline" else costs.end_of_child + costs.hand_over
        self.least = costs.round_trip + costs.wake_up
        self.arrived: list[float] = load.arrived.tolist()
        self.service: list[float] = (load.service + steps).tolist()
        self.free: list[float] = []
        self.at = 0

    def staffed(self, workers: int, now: float) -> list[float]:
        """When each of so many workers is free, from what the window before has left."""
        free = sorted(self.free)
        if workers >= len(free):
            free += [now] * (workers - len(free))
        else:
            free = free[len(free) - workers :]  # the idle go first, then those who will soon be
        heapify(free)
        return free

    def waits(self, workers: int, begins: float, ends: float) -> tuple[Numbers, list[float], int]:
        """How long those wait that arrive within the window, if so many workers stayed after it as well.

        And what the window leaves to the next: when each worker is free, and the first job that it did not begin.
        """
        free, found, at = self.staffed(workers, begins), [], self.at
        arrived, service = self.arrived, self.service
        left: tuple[list[float], int] | None = None
        while at < len(arrived) and arrived[at] < ends:
            came = arrived[at]
            start = came if came > free[0] else free[0]
            if start >= ends and left is None:
                left = list(free), at
            if came >= begins:
                found.append(start - came)
            heapreplace(free, start + service[at])
            at += 1
        return np.array(found) + self.least, *(left or (free, at))

    def all_waits(self, numbers: Sequence[int], window: float) -> list[Numbers]:
        """How long the jobs of each window wait as so many workers come and go."""
        self.free, self.at = [], 0
        arrived, service, found = self.arrived, self.service, [0.0] * len(self.arrived)
        for n, workers in enumerate(numbers):
            ends = (n + 1) * window if n < len(numbers) - 1 else float("inf")
            self.free = free = self.staffed(workers, n * window)
            while self.at < len(arrived):
                came = arrived[self.at]
                start = came if came > free[0] else free[0]
                if start >= ends:
                    break
                found[self.at] = start - came + self.least
                heapreplace(free, start + service[self.at])
                self.at += 1
        of = np.minimum((np.array(arrived) / window).astype(int), len(numbers) - 1)
        return [np.array(found)[of == n] for n in range(len(numbers))]


def _search(lanes: Sequence[_Lane], window: float, windows: int, goal: Goal, most: int) -> tuple[list[int], str | None]:
    """The smallest number of each window by the recursion, or why there is none."""
    found: list[int] = []
    for n in range(windows):
        begins, ends = n * window, (n + 1) * window if n < windows - 1 else float("inf")
        tried: dict[int, list[tuple[Numbers, list[float], int]]] = {}

        def at(workers: int, begins: float = begins, ends: float = ends, tried: Any = tried) -> bool:
            tried[workers] = [lane.waits(workers, begins, ends) for lane in lanes]
            return _is_enough([waits for waits, _, _ in tried[workers]], goal)

        low, high = 0, 1
        while not at(high):
            if high >= most:
                return (
                    [],
                    f"in the window from {begins:,.0f} s on {most:,} workers are not enough, and that is the limit",
                )
            low, high = high, min(2 * high, most)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if at(middle) else (middle, high)
        for lane, (_, free, reached) in zip(lanes, tried[high], strict=True):
            lane.free, lane.at = free, reached
        found.append(high)
    return found, None


def _constant(lanes: Sequence[_Lane], window: float, windows: int, goal: Goal, peak: int) -> int | None:
    """The smallest number that is enough in every window if it never changes; `peak` is the most that one needs."""

    def is_enough(workers: int) -> bool:
        for lane in lanes:
            lane.free, lane.at = [], 0
        for n in range(windows):
            begins, ends = n * window, (n + 1) * window if n < windows - 1 else float("inf")
            found = []
            for lane in lanes:
                waits, lane.free, lane.at = lane.waits(workers, begins, ends)
                found.append(waits)
            if not _is_enough(found, goal):
                return False
        return True

    # A window begins with what the one before has left, which may be more with a number that never changes, or less.
    low, high = 0, peak
    while not is_enough(high):
        low, high = high, high + max(1, high // 10)
        if high > 3 * peak:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _is_enough(runs: Sequence[Numbers], goal: Goal) -> bool:
    """Whether the goal holds in these waits, interval and all where there is one."""
    whole = np.concatenate(runs)
    if not len(whole):
        return True
    estimate = percentile_interval(runs, goal.percent)
    if isinstance(estimate, Interval):
        return estimate.high < goal.seconds
    return float(np.percentile(whole, goal.percent)) < goal.seconds


def _meets(window: Window, goal: Goal) -> bool:
    if isinstance(window.estimate, Interval):
        return window.estimate.high < goal.seconds
    return window.waiting is None or window.waiting < goal.seconds


@dataclass(frozen=True, eq=False)
class _Play:
    waits: list[Numbers]  # of the jobs of each window
    lost: int
    crashes: int


def _play(design: str, load: Load, seed: int, workers: Sequence[int], window: float, goal: Goal, costs: Costs) -> _Play:
    staff = [(n * window, number) for n, number in enumerate(workers)]
    crashes = round(goal.crashes_per_hour * load.span / 3600)
    kills = faults.random_kills(load, seed, crashes, max(workers))
    # A number that nobody has at that hour would be spared; whoever starts a job next is struck instead.
    plan = replace(kills, kills=tuple(replace(kill, process=None) for kill in kills.kills))
    world = World(load, workers=max(workers), costs=costs, seed=seed, plan=plan, staffing=staff)
    played: Design = find(design)(world)
    try:
        world.run(played)
        measure(world, played.processes)  # the books must balance
    finally:
        played.close()
    waits = world.ledger.column("first_start") - load.arrived
    of = np.minimum((load.arrived / window).astype(int), len(workers) - 1)
    return _Play([waits[of == n] for n in range(len(workers))], world.ledger.lost, len(world.deaths))


def _window(
    n: int, waits: Sequence[Numbers], loads: Sequence[tuple[int, Load]], window: float, workers: int, goal: Goal
) -> Window:
    first = loads[0][1]
    begins = n * window
    mine = (first.arrived >= begins) & (first.arrived < begins + window)
    whole = np.concatenate(waits)
    work = float(first.service[mine].sum())
    few = min(map(len, waits)) < jobs_needed(goal.percent)
    estimate: Estimate
    if len(waits) == 1 and not few:
        estimate = Refusal("one load has no interval: another day will differ")
    else:
        estimate = percentile_interval(waits, goal.percent)
    jobs = int(mine.sum())
    return Window(
        begins,
        window,
        jobs,
        work / window,
        workers,
        erlang_workers(jobs / window, work / jobs, goal) if jobs and work else None,
        float(np.percentile(whole, goal.percent)) if len(whole) else None,
        estimate,
    )


def erlang_workers(rate: float, service: float, goal: Goal) -> int:
    """The smallest number for Poisson arrivals and exponential service (M/M/c): what a textbook would say."""
    workers = max(1, ceil(rate * service))
    while True:
        wait = theory.mmc_wait_percentile(rate, service, workers, goal.percent)
        if isfinite(wait) and wait < goal.seconds:
            return workers
        workers += 1


# The number of workers and the shape of the work.


@dataclass(frozen=True)
class WaitPoint:
    """So many workers and one shape of service times."""

    workers: int
    waiting: Estimate  # the percentile that was asked for, in seconds
    in_theory: float | None  # Poisson arrivals and exponential service only


@dataclass(frozen=True)
class Shape:
    """One shape of service times over all numbers of workers."""

    service: ServiceTimes
    points: tuple[WaitPoint, ...]

    def enough(self, seconds: float) -> int | None:
        """The smallest number that was tried whose whole interval lies below; None when there is none."""
        known = [(one.workers, one.waiting) for one in self.points if isinstance(one.waiting, Interval)]
        return next((workers for workers, what in known if what.high < seconds), None)


@dataclass(frozen=True)
class Waits:
    """The whole result; see `waits_by_workers`."""

    rate: float
    percent: float
    seed: int
    replications: int
    jobs: int
    costs: Costs
    shapes: tuple[Shape, ...]

    def to_dict(self, target: float | None = None) -> dict[str, Any]:
        """For JSON; with how many workers are enough for a target in seconds, if there is one."""
        return {
            "rate": self.rate,
            "percentile": self.percent,
            "seed": self.seed,
            "replications": self.replications,
            "jobs": self.jobs,
            "costs_seconds": self.costs.seconds,
            "costs_are": self.costs.origin,
            "target_seconds": target,
            "shapes": [
                {
                    "service": shape.service.words(),
                    "squared_variation": shape.service.squared_variation,
                    "enough_workers": None if target is None else shape.enough(target),
                    "points": [
                        {"workers": one.workers, "waiting": one.waiting.to_dict(), "in_theory": one.in_theory}
                        for one in shape.points
                    ],
                }
                for shape in self.shapes
            ],
        }


def waits_by_workers(
    workers: Sequence[int] = (5, 6, 7, 8, 9),
    services: Sequence[ServiceTimes] = (
        ServiceTimes("fixed", 1.0),
        ServiceTimes("exponential", 1.0),
        ServiceTimes("lognormal", 1.0, variation=8.0),
    ),
    *,
    rate: float = 4.0,
    percent: float = 95.0,
    jobs: int = 5_000,
    replications: int = 4,
    seed: int = 0,
    costs: Costs | None = None,
    progress: Callable[[int], object] | None = None,
) -> Waits:
    """A percentile of the waiting time over the number of workers, for service times of one mean and several shapes.

    Poisson arrivals at `rate` jobs a second, the same for all; the first fifth of each run is left out. Numbers of
    workers that cannot carry the load are refused in words. `progress` is called with the number of points done.
    """
    costs = costs or Costs()
    shapes: list[Shape] = []
    done = 0
    for service in services:
        points = []
        for number in workers:
            if number < 1:
                raise ValueError(f"{number} workers cannot do anything; there must be one at least")
            points.append(_wait_point(service, number, rate, percent, jobs, seeds(seed, replications), costs))
            done += 1
            if progress is not None:
                progress(done)
        shapes.append(Shape(service, tuple(points)))
    return Waits(rate, percent, seed, replications, jobs, costs, tuple(shapes))


def _wait_point(
    service: ServiceTimes, workers: int, rate: float, percent: float, jobs: int, own: Sequence[int], costs: Costs
) -> WaitPoint:
    offered = rate * service.mean
    if offered >= workers:
        return WaitPoint(workers, Refusal(f"{offered:.3g} erlangs are more than {workers} workers can do"), None)
    runs = []
    for one in own:
        load = generate("poisson", jobs, one, rate=rate, service=service)
        world = World(load, workers=workers, costs=costs, seed=one)
        played = find("minique")(world)
        try:
            world.run(played)
            measure(world, played.processes)
        finally:
            played.close()
        waits = world.ledger.column("first_start") - load.arrived
        runs.append(waits[int(WARM_UP_SHARE * jobs) :])
    is_markov = service.kind == "exponential"
    known = theory.mmc_wait_percentile(rate, service.mean, workers, percent) if is_markov else None
    return WaitPoint(workers, percentile_interval(runs, percent), known)
