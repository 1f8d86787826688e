"""More work than can be done: what each policy still gets done in time, and how long a burst takes to drain.

Beyond saturation somebody waits too long, whatever one does; the question is who, and whether the work that is done is
still of use. Goodput is the answer in one number: jobs per second that are done within a deadline of their arrival. A
queue without a limit does all of its work, and all of it too late.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from simulate.actors import World
from simulate.costs import Costs
from simulate.designs import Design
from simulate.designs.minique import Minique
from simulate.designs.overload import Bounded, NewestFirst
from simulate.intervals import Estimate, Numbers, Refusal, mean_interval, percentile_interval
from simulate.measures import measure
from simulate.replications import seeds
from simulate.scenarios import goodput
from simulate.scenarios.priorities import QueueLoad, queued_load
from simulate.service_times import ServiceTimes
from simulate.theory import mmc_wait
from simulate.words import told
from simulate.workload import Load, poisson_arrivals, stream

# What is counted are the jobs that arrive in the second half of a run: by then a queue that drowns has drowned. Those
# of the last deadline are not: nobody comes after them, and they would be done sooner than they should be.
COUNTED_FROM_SHARE = 0.5
LEAST_COUNTED = 20

CRITICAL, LOW = "critical", "low"
CRITICAL_SHARE = 0.3

LINE_POINTS = 160


@dataclass(frozen=True)
class Setting:
    """What all policies share."""

    workers: int = 4
    service: ServiceTimes = field(default_factory=ServiceTimes)
    deadline: float = 10.0  # seconds from arrival; what is done later is of no use
    limit: int = 20  # jobs queued before some are refused
    expires: float = 5.0  # seconds until a job that was not begun is dropped
    costs: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        if self.workers < 1 or self.limit < 1 or not (self.deadline > 0 and self.expires > 0):
            # A limit of 0 would refuse whatever comes, since each job is queued before it is begun.
            raise ValueError(
                f"{told(workers=self.workers, limit=self.limit, deadline=self.deadline, expires=self.expires)}: one "
                "worker at least and a limit of one job, a deadline and an expiry above 0"
            )

    @property
    def capacity(self) -> float:
        """Jobs per second that the workers can do, the steps between two jobs included."""
        return self.workers / self.busy

    @property
    def busy(self) -> float:
        """Seconds for which a job keeps a worker, on average."""
        return self.service.mean + self.costs.end_of_child + self.costs.round_trip + self.costs.hand_over


@dataclass(frozen=True)
class Policy:
    """One way to meet too much work."""

    name: str
    words: str
    make: Callable[[World, Setting], Design]
    theory: Callable[[float, Setting], float] | None  # goodput, from the rate of arrivals; None: unknown


POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            "unbounded",
            "all wait, in order",
            lambda world, setting: Minique(world),
            lambda rate, s: goodput.unbounded(rate, s.busy, s.workers, s.deadline),
        ),
        Policy(
            "bounded",
            "refused at enqueue when the backlog is at its limit",
            lambda world, setting: Bounded(world, setting.limit),
            lambda rate, s: goodput.bounded(rate, s.busy, s.workers, s.deadline, s.workers + s.limit),
        ),
        Policy(
            "expiring",
            "dropped if not begun in time (expires_in)",
            lambda world, setting: Minique(world, expires_in=setting.expires),
            lambda rate, s: goodput.expiring(rate, s.busy, s.workers, s.deadline, s.expires),
        ),
        Policy(
            "low first",
            "critical jobs first, and low ones refused when the backlog is at its limit",
            lambda world, setting: Bounded(world, setting.limit, only=LOW, queues=f"{CRITICAL},{LOW}"),
            None,
        ),
        Policy(
            "newest first",
            "the newest is served first, the oldest waits",
            lambda world, setting: NewestFirst(world),
            lambda rate, s: goodput.newest_first(rate, s.busy, s.workers, s.deadline),
        ),
    )
}


@dataclass(frozen=True)
class OverloadPoint:
    """One policy at one offered load. Rates in jobs per second, over the second half of the arrivals."""

    policy: str
    utilisation: float  # offered erlangs over workers
    goodput: Estimate  # done within the deadline
    in_theory: float | None  # the same in the long run; Poisson arrivals and exponential service only
    critical: Estimate  # goodput of the critical jobs alone, as a share of those that came
    done: Estimate  # done at all, sooner or later, as a share of those that came
    given_up: dict[str, float]  # share of the jobs that were refused or expired, by reason
    wait_p95: Estimate  # seconds, of those that were begun


@dataclass(frozen=True)
class Overload:
    """The whole result; see `overload`."""

    setting: Setting
    jobs: int  # in each run
    seed: int
    replications: int
    points: tuple[OverloadPoint, ...]
    lines: dict[str, tuple[tuple[float, float], ...]]  # theory between the points: utilisation and goodput, per policy

    def of(self, policy: str) -> list[OverloadPoint]:
        """One policy along the loads."""
        return [point for point in self.points if point.policy == policy]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        setting = self.setting
        return {
            "workers": setting.workers,
            "service": setting.service.words(),
            "deadline_seconds": setting.deadline,
            "limit_jobs": setting.limit,
            "expires_seconds": setting.expires,
            "capacity_per_second": setting.capacity,
            "jobs": self.jobs,
            "seed": self.seed,
            "replications": self.replications,
            "costs_seconds": setting.costs.seconds,
            "costs_are": setting.costs.origin,
            "points": [
                {
                    "policy": one.policy,
                    "utilisation": one.utilisation,
                    "goodput_per_second": one.goodput.to_dict(),
                    "goodput_in_theory": one.in_theory,
                    "critical_share_in_time": one.critical.to_dict(),
                    "done_share": one.done.to_dict(),
                    "given_up_share": one.given_up,
                    "wait_p95_seconds": one.wait_p95.to_dict(),
                }
                for one in self.points
            ],
        }


def overload(
    utilisations: Sequence[float] = (0.5, 0.8, 0.95, 1.15, 1.4, 2.0),
    *,
    policies: Sequence[str] = tuple(POLICIES),
    setting: Setting | None = None,
    jobs: int = 2_000,
    replications: int = 4,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Overload:
    """What each policy gets done in time as the offered load rises beyond what the workers can do.

    A share of the jobs is critical, the rest is low; only "low first" makes a difference between them. All policies
    meet the same jobs. `progress` is called with the number of runs done.
    """
    setting = setting or Setting()
    for name in policies:
        if name not in POLICIES:
            raise ValueError(f"unknown policy {name!r}; known: {', '.join(POLICIES)}")
    if min(utilisations, default=0) <= 0:
        raise ValueError("utilisations must be above 0")
    loads = {at: [(own, _load(at, setting, jobs, own)) for own in seeds(seed, replications)] for at in utilisations}
    done, points = 0, []
    for name in policies:
        for at in utilisations:
            runs = []
            for own, load in loads[at]:
                runs.append(_play(POLICIES[name], setting, load, own))
                done += 1
                if progress is not None:
                    progress(done)
            points.append(_point(POLICIES[name], at, setting, runs))
    grid = np.linspace(min(utilisations), max(utilisations), LINE_POINTS).tolist()
    drawn = {name: [(at, _theory(name, at, setting)) for at in grid] for name in policies}
    lines = {name: tuple((at, value) for at, value in line if value is not None) for name, line in drawn.items()}
    return Overload(setting, jobs, seed, replications, tuple(points), lines)


def _load(utilisation: float, setting: Setting, jobs: int, seed: int) -> Load:
    queues = (
        QueueLoad(CRITICAL, CRITICAL_SHARE, setting.service),
        QueueLoad(LOW, 1 - CRITICAL_SHARE, setting.service),
    )
    return queued_load(queues, utilisation * setting.workers / setting.service.mean, jobs, seed)


def _theory(policy: str, utilisation: float, setting: Setting) -> float | None:
    known = POLICIES[policy].theory
    if known is None or setting.service.kind != "exponential":
        return None
    return known(utilisation * setting.workers / setting.service.mean, setting)


@dataclass(frozen=True, eq=False)
class _Run:
    goodput: float
    critical: float
    done: float
    given_up: dict[str, float]
    waits: Numbers


def _play(policy: Policy, setting: Setting, load: Load, seed: int) -> _Run:
    world = World(load, workers=setting.workers, costs=setting.costs, seed=seed)
    design = policy.make(world, setting)
    try:
        world.run(design)
        measure(world, design.processes)  # the books must balance
    finally:
        design.close()
    ledger = world.ledger
    first = int(COUNTED_FROM_SHARE * load.jobs)
    last = int(np.searchsorted(load.arrived, load.span - setting.deadline))
    if last - first < LEAST_COUNTED:
        raise ValueError(f"{load.jobs} jobs are too few to count any that came {setting.deadline:g} s before the end")
    arrived, ended = load.arrived[first:last], ledger.column("ended")[first:last]
    in_time = ended - arrived <= setting.deadline  # false for what was never done
    is_critical = np.array(load.queues)[first:last] == CRITICAL
    why = [ledger.why_left(job) for job in range(first, last)]
    waits = (ledger.column("first_start") - load.arrived)[first:last]
    return _Run(
        float(in_time.sum() / (arrived[-1] - arrived[0])),
        float(in_time[is_critical].mean()),
        float((~np.isnan(ended)).mean()),
        {reason: why.count(reason) / len(why) for reason in sorted(set(why)) if reason},
        waits[~np.isnan(waits)],
    )


def _point(policy: Policy, utilisation: float, setting: Setting, runs: Sequence[_Run]) -> OverloadPoint:
    reasons = sorted({reason for run in runs for reason in run.given_up})
    return OverloadPoint(
        policy.name,
        utilisation,
        mean_interval([run.goodput for run in runs]),
        _theory(policy.name, utilisation, setting),
        mean_interval([run.critical for run in runs]),
        mean_interval([run.done for run in runs]),
        {reason: float(np.mean([run.given_up.get(reason, 0.0) for run in runs])) for reason in reasons},
        percentile_interval([run.waits for run in runs], 95),
    )


# A burst, and how long it lasts.


@dataclass(frozen=True)
class DrainPoint:
    """One burst on top of one steady load."""

    utilisation: float  # of the steady load
    burst: int  # jobs that come at once
    seconds: Estimate  # until nobody waits, simulated
    predicted: float | None  # the burst over what is left of the capacity; None where nothing is left


@dataclass(frozen=True)
class Drains:
    """The whole result; see `drain_times`."""

    setting: Setting
    seed: int
    replications: int
    points: tuple[DrainPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        setting = self.setting
        return {
            "workers": setting.workers,
            "service": setting.service.words(),
            "capacity_per_second": setting.capacity,
            "seed": self.seed,
            "replications": self.replications,
            "costs_seconds": setting.costs.seconds,
            "costs_are": setting.costs.origin,
            "points": [
                {
                    "utilisation": one.utilisation,
                    "burst_jobs": one.burst,
                    "drain_seconds": one.seconds.to_dict(),
                    "predicted_seconds": one.predicted,
                }
                for one in self.points
            ],
        }


def drain_times(
    bursts: Sequence[int] = (100, 200, 400),
    utilisations: Sequence[float] = (0.3, 0.6, 0.8),
    *,
    setting: Setting | None = None,
    replications: int = 10,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Drains:
    """How long a burst takes to drain while the usual jobs go on coming, and what the fluid formula says.

    Fluid: water runs in at the rate of arrivals and out at the rate of service; a burst is gone after burst / (capacity
    - rate). Utilisations of one and more are refused in words: there it never drains. `progress` is called with the
    number of runs done.
    """
    setting = setting or Setting()
    if min(utilisations, default=0) <= 0 or min(bursts, default=0) < 1:
        raise ValueError("utilisations must be above 0, and bursts of one job at least")
    points: list[DrainPoint] = []
    done = 0
    for at in utilisations:
        rate = at * setting.workers / setting.service.mean
        left = setting.capacity - rate
        for burst in bursts:
            if left <= 0:
                never = Refusal(f"nothing is left of the capacity at a load of {at:g}: the burst never drains")
                points.append(DrainPoint(at, burst, never, None))
                continue
            predicted = burst / left
            found = []
            for own in seeds(seed, replications):
                found.append(_drain(setting, rate, burst, predicted, own))
                done += 1
                if progress is not None:
                    progress(done)
            missing = [seconds for seconds in found if not isfinite(seconds)]
            what: Estimate = mean_interval(found)
            if missing:
                what = Refusal(f"in {len(missing)} of {len(found)} runs it had not drained at the end")
            points.append(DrainPoint(at, burst, what, predicted))
    return Drains(setting, seed, replications, tuple(points))


def _drain(setting: Setting, rate: float, burst: int, predicted: float, seed: int) -> float:
    """Seconds from the burst until nobody waits; infinite when the load ended before that."""
    before = 20 * setting.service.mean + 10 * mmc_wait(rate, setting.busy, setting.workers)
    after = 3 * predicted + 20 * setting.service.mean
    generator = stream(seed, "arrivals")
    usual = poisson_arrivals(rate, max(1, int(rate * (before + after) * 1.5) + 50), generator)
    usual = usual[usual <= before + after]
    arrived = np.sort(np.concatenate((usual, np.full(burst, before))))
    load = Load("burst", "a burst", arrived, setting.service.draw(len(arrived), stream(seed, "service")))
    world = World(load, workers=setting.workers, costs=setting.costs, seed=seed)
    design = Minique(world)
    try:
        world.run(design)
        measure(world, design.processes)
    finally:
        design.close()
    starts = np.sort(world.ledger.column("first_start"))
    # The moment of each start after which as many have started as have arrived by then.
    caught_up = np.arange(1, len(starts) + 1) >= np.searchsorted(arrived, starts, side="right")
    over = starts[caught_up & (starts > before)]
    return float(over[0] - before) if len(over) and over[0] <= usual[-1] else float("inf")
