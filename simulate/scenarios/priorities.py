"""Several queues, the most urgent first: who waits for whom, and which queue starves as the load rises.

Priorities make nothing faster. What the urgent jobs no longer wait, the others wait for them: the waiting time of all
jobs together, each weighted with its work, is the same in whichever order they are taken. Beyond a load of one the last
queue starves while the first hardly notices, which is either what you wanted or the reason for a worker of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, isfinite
from typing import Any

import numpy as np

from minique.subscription import Subscription
from simulate import theory
from simulate.actors import World
from simulate.costs import Costs
from simulate.designs import Design
from simulate.designs.inline import InLine
from simulate.designs.minique import Minique
from simulate.designs.resque import Resque
from simulate.intervals import Estimate, Numbers, Refusal, mean_interval
from simulate.measures import Measures, measure
from simulate.replications import seeds
from simulate.service_times import ServiceTimes
from simulate.steady import MEMORIES, growth
from simulate.workload import Load, poisson_arrivals, stream

LEAST_JOBS = 4_000
LEAST_OF_A_QUEUE = 100  # jobs, in what is left of each run; the mean of fewer is the luck of some
WARM_UP_SHARE = 0.2

LINE_POINTS = 200  # of theory, along the loads

DESIGNS: dict[str, type[Minique] | type[Resque]] = {"minique": Minique, "inline": InLine, "resque": Resque}


@dataclass(frozen=True)
class QueueLoad:
    """One queue: its share of all jobs, and how long its jobs take."""

    name: str
    share: float
    service: ServiceTimes = field(default_factory=ServiceTimes)


THREE = (QueueLoad("critical", 0.2), QueueLoad("default", 0.5), QueueLoad("low", 0.3))


@dataclass(frozen=True)
class QueuePoint:
    """One queue at one load."""

    queue: str
    offered: float  # erlangs over workers, of this queue alone
    waiting: Estimate  # the mean in seconds, in the long run; refused where it starves or too few jobs were played
    theory: float | None  # seconds; infinite where it starves; None where nothing closed is known
    grows: Estimate  # its backlog, in jobs per second
    grows_in_theory: float | None


@dataclass(frozen=True)
class PriorityPoint:
    """All queues at one load."""

    utilisation: float  # offered erlangs over workers, all queues together; above 1 something must starve
    jobs: int  # in each run
    queues: tuple[QueuePoint, ...]
    together: Estimate  # the mean waiting time over all queues, weighted with the work in each; in seconds
    together_in_theory: float | None  # the same in whichever order jobs are taken


@dataclass(frozen=True)
class Priorities:
    """The whole result; see `priorities`."""

    design: str
    serves: str  # what the workers serve, in order
    workers: int
    costs: Costs
    queues: tuple[QueueLoad, ...]
    is_exact: bool  # whether the theory is, or an approximation
    seed: int
    replications: int
    points: tuple[PriorityPoint, ...]
    lines: dict[str, tuple[tuple[float, float], ...]]  # theory between the points: utilisation and seconds, per queue

    def of(self, queue: str) -> list[tuple[float, QueuePoint]]:
        """One queue along the loads: pairs of the utilisation and the point."""
        return [(point.utilisation, one) for point in self.points for one in point.queues if one.queue == queue]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "design": self.design,
            "serves": self.serves,
            "workers": self.workers,
            "seed": self.seed,
            "replications": self.replications,
            "costs_seconds": self.costs.seconds,
            "costs_are": self.costs.origin,
            "queues": [{"queue": one.name, "share": one.share, "service": one.service.words()} for one in self.queues],
            "theory_is": "exact" if self.is_exact else "approximate",
            "points": [
                {
                    "utilisation": point.utilisation,
                    "jobs": point.jobs,
                    "together": point.together.to_dict(),
                    "together_in_theory": point.together_in_theory,
                    "queues": [
                        {
                            "queue": one.queue,
                            "waiting": one.waiting.to_dict(),
                            "theory": one.theory if one.theory is not None and isfinite(one.theory) else None,
                            "backlog_grows_per_second": one.grows.to_dict(),
                        }
                        for one in point.queues
                    ],
                }
                for point in self.points
            ],
        }


def queued_load(queues: Sequence[QueueLoad], rate: float, jobs: int, seed: int) -> Load:
    """Poisson arrivals, each for a queue drawn by its share. Raises ValueError for shares or names that cannot be."""
    names = [queue.name for queue in queues]
    shares = np.array([queue.share for queue in queues])
    if len(set(names)) < len(names) or not names or (shares <= 0).any():
        raise ValueError(f"queues {', '.join(names) or '(none)'}: names must differ and shares be above 0")
    drawn = stream(seed, "queues").choice(len(names), jobs, p=shares / shares.sum())
    service = np.empty(jobs)
    for place, queue in enumerate(queues):
        # Each queue has a stream of its own, so that another share of one changes nothing in the others' jobs.
        is_its = drawn == place
        service[is_its] = queue.service.draw(int(is_its.sum()), stream(seed, f"service of {queue.name}"))
    arrived = poisson_arrivals(rate, jobs, stream(seed, "arrivals"))
    words = "; ".join(f"{queue.name} {queue.share:.0%}, {queue.service.words()}" for queue in queues)
    return Load(
        "queues", f"Poisson arrivals for several queues: {words}", arrived, service, tuple(names[n] for n in drawn)
    )


def priorities(
    utilisations: Sequence[float] = (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1),
    *,
    queues: Sequence[QueueLoad] = THREE,
    serves: str | Sequence[str] = "",
    design: str = "minique",
    workers: int = 4,
    jobs: int = 8_000,
    replications: int = 5,
    seed: int = 0,
    costs: Costs | None = None,
    progress: Callable[[int], object] | None = None,
) -> Priorities:
    """How long each queue waits as the load rises, with theory beside it.

    `serves` is what a worker takes, in order: "critical,default,low", or "*" for all in turn (Resque: by the alphabet);
    several texts are dealt out to the workers. Without it the queues are served in the order given. `jobs` is the most
    that one run has; light loads settle with fewer. `progress` is called with the number of runs done.
    """
    if design not in DESIGNS:
        raise ValueError(f"the design {design!r} has no queues here; known: {', '.join(DESIGNS)}")
    if workers < 1 or min(utilisations, default=0) <= 0:
        raise ValueError("there must be one worker at least, and utilisations above 0")
    texts = [serves or ",".join(queue.name for queue in queues)] if isinstance(serves, str) else list(serves)
    costs = costs or Costs()
    mean = _mean_service(queues)
    points = []
    for turn, utilisation in enumerate(utilisations):
        rate = utilisation * workers / mean
        length = run_length(queues, utilisation, jobs)
        runs = []
        for own_seed in seeds(seed, replications):
            load = queued_load(queues, rate, length, own_seed)
            runs.append(_play(design, load, workers, costs, own_seed, texts))
            if progress is not None:
                progress(turn * replications + len(runs))
        points.append(_point(queues, texts, utilisation, workers, runs, design, costs))
    is_exact = workers == 1 or all(queue.service == queues[0].service for queue in queues)
    is_exact = is_exact and (workers == 1 or queues[0].service.kind == "exponential")
    grid = np.linspace(min(utilisations), max(utilisations), LINE_POINTS).tolist()
    drawn = [(at, _theory(queues, texts, at, workers, design, costs)) for at in grid]
    lines = {
        queue.name: tuple((at, waits[queue.name]) for at, waits in drawn if isfinite(waits.get(queue.name, np.inf)))
        for queue in queues
    }
    shown = " / ".join(texts)
    return Priorities(design, shown, workers, costs, tuple(queues), is_exact, seed, replications, tuple(points), lines)


@dataclass(frozen=True, eq=False)
class _Run:
    load: Load
    waiting: Numbers  # "nan" for jobs that never started
    measures: Measures
    backlogs: dict[str, int]  # of each queue, when the last job arrives


def _play(design: str, load: Load, workers: int, costs: Costs, seed: int, texts: Sequence[str]) -> _Run:
    world = World(load, workers=workers, costs=costs, seed=seed)
    kind = DESIGNS[design]
    played: Design = kind(world, queues=texts)
    try:
        world.run(played)
        found = measure(world, played.processes)
    finally:
        played.close()
    starts = world.ledger.column("first_start")
    waits_at_the_end = ~(starts <= load.span)
    names = np.array(load.queues)
    backlogs = {str(name): int(waits_at_the_end[names == name].sum()) for name in np.unique(names)}
    return _Run(load, starts - load.arrived, found, backlogs)


def _mean_service(queues: Sequence[QueueLoad]) -> float:
    whole = sum(queue.share for queue in queues)
    return sum(queue.share * queue.service.mean for queue in queues) / whole


def memory_jobs(queues: Sequence[QueueLoad], utilisation: float) -> float:
    """How many jobs arrive while the queues forget, as `simulate.steady.memory_jobs`, from what is known of them."""
    mean, whole = _mean_service(queues), sum(queue.share for queue in queues)
    second = sum(queue.share * queue.service.mean**2 * (1 + queue.service.squared_variation) for queue in queues) / (
        whole * mean**2
    )
    return 2 * utilisation * second / (1 - utilisation) ** 2


def run_length(queues: Sequence[QueueLoad], utilisation: float, most: int) -> int:
    """Jobs in a run: as many as it takes to settle, within reason. Beyond saturation nothing does: half of the most."""
    if utilisation >= 1:
        return max(1, most // 2)
    return min(most, max(LEAST_JOBS, ceil(1.5 * MEMORIES * memory_jobs(queues, utilisation))))


def _classes(
    queues: Sequence[QueueLoad], rate: float, design: str, costs: Costs
) -> dict[str, tuple[float, float, float]]:
    """What theory is told of each queue: its rate, and mean and squared variation of the time that a job takes."""
    whole = sum(queue.share for queue in queues)
    # What a worker does between two jobs is in its way as the work is.
    steps = costs.end_of_child + costs.round_trip + costs.hand_over if design == "minique" else 0.0
    found = {}
    for queue in queues:
        mean = queue.service.mean
        variation = queue.service.squared_variation * (mean / (mean + steps)) ** 2
        found[queue.name] = (rate * queue.share / whole, mean + steps, variation)
    return found


def _theory(
    queues: Sequence[QueueLoad], texts: Sequence[str], utilisation: float, workers: int, design: str, costs: Costs
) -> dict[str, float]:
    """The mean waiting time of each queue, infinite where it starves; nothing where nothing closed is known."""
    order = _order(queues, texts, design)
    if order is None or design == "resque":  # which polls
        return {}
    classes = _classes(queues, utilisation * workers / _mean_service(queues), design, costs)
    waits = theory.priority_waits([classes[name] for name in order], workers)
    least = costs.round_trip + costs.wake_up + costs.hand_over if design == "minique" else 0.0
    return {name: least + wait for name, wait in zip(order, waits, strict=True)}


def _point(
    queues: Sequence[QueueLoad],
    texts: Sequence[str],
    utilisation: float,
    workers: int,
    runs: Sequence[_Run],
    design: str,
    costs: Costs,
) -> PriorityPoint:
    classes = _classes(queues, utilisation * workers / _mean_service(queues), design, costs)
    order = _order(queues, texts, design)
    known = _theory(queues, texts, utilisation, workers, design, costs)
    before = {}
    if order is not None:
        loads = [classes[name][0] * classes[name][1] for name in order]
        before = {name: sum(loads[: n + 1]) / workers for n, name in enumerate(order)}
    found = []
    for queue in queues:
        arriving, service, _ = classes[queue.name]
        upto, grows, starves = before.get(queue.name, utilisation), None, False
        if order is not None:
            left = max(0.0, workers - (upto * workers - arriving * service)) / service
            grows, starves = max(0.0, arriving - left), upto >= 1
        elif texts == ["*"]:
            grows = max(0.0, arriving - fair_rate(list(classes.values()), workers))
            starves = grows > 0
        found.append(
            QueuePoint(
                queue.name,
                arriving * queue.service.mean / workers,
                _waiting(queue.name, queues, upto, grows, starves, runs),
                known.get(queue.name),
                mean_interval([run.backlogs.get(queue.name, 0) / run.load.span for run in runs]),
                grows,
            )
        )
    together = theory.priority_waits([_all_in_one(list(classes.values()))], workers)[0]
    return PriorityPoint(
        utilisation,
        runs[0].load.jobs,
        tuple(found),
        _together(queues, runs) if utilisation < 1 else Refusal("more work comes than the workers can do"),
        None if design == "resque" or not isfinite(together) else together,
    )


def _order(queues: Sequence[QueueLoad], texts: Sequence[str], design: str) -> list[str] | None:
    """The queues from the most urgent to the least, where all workers agree on that."""
    if len(texts) > 1:
        return None
    names = [queue.name for queue in queues]
    if texts == ["*"]:
        return sorted(names) if design == "resque" else names if len(names) == 1 else None
    terms = Subscription.parse(texts[0]).terms
    return list(terms) if set(terms) == set(names) else None


def fair_rate(classes: Sequence[tuple[float, float, float]], workers: int) -> float:
    """Jobs per second that each queue gets at least when all take turns; one that sends fewer starves at no load."""
    left, waiting = float(workers), sorted(classes)
    while waiting:
        rate = left / sum(service for _, service, _ in waiting)
        if waiting[0][0] > rate:
            return rate
        sends, service, _ = waiting.pop(0)
        left -= sends * service
    return float("inf")


def _all_in_one(classes: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """The class that all are together."""
    rate = sum(one for one, _, _ in classes)
    mean = sum(one * service for one, service, _ in classes) / rate
    second = sum(one * service**2 * (1 + variation) for one, service, variation in classes) / rate
    return rate, mean, second / mean**2 - 1


def _waiting(
    name: str, queues: Sequence[QueueLoad], upto: float, grows: float | None, starves: bool, runs: Sequence[_Run]
) -> Estimate:
    """The mean waiting time of one queue in the long run; `upto` is the load of it and all that go before it."""
    if starves:
        return Refusal(f"{name} starves: its backlog grows by {grows:.3g} jobs a second")
    jobs = runs[0].load.jobs
    if upto < 1 and jobs < (needed := MEMORIES * memory_jobs(queues, upto)):
        return Refusal(f"{jobs:,} jobs say nothing about the long run at this load; it takes {needed:,.0f}")
    waits, spans = [], []
    for run in runs:
        cut = int(WARM_UP_SHARE * run.load.jobs)
        waited = run.waiting[cut:][np.array(run.load.queues[cut:] if run.load.queues else ()) == name]
        if np.isnan(waited).any():
            return Refusal("some of its jobs were never started")
        if len(waited) < LEAST_OF_A_QUEUE:
            return Refusal(f"{len(waited)} of its jobs a run are too few; it takes {LEAST_OF_A_QUEUE}")
        waits.append(waited)
        spans.append(run.load.span)
    if upto >= 1:  # nothing is known beforehand
        unsettled = growth(waits, spans, [len(waited) / span for waited, span in zip(waits, spans, strict=True)])
        if unsettled is not None:
            return unsettled
    return mean_interval([float(waited.mean()) for waited in waits])


def _together(queues: Sequence[QueueLoad], runs: Sequence[_Run]) -> Estimate:
    means = []
    for run in runs:
        cut = int(WARM_UP_SHARE * run.load.jobs)
        names = np.array(run.load.queues)[cut:]
        weights = np.zeros(len(names))
        for queue in queues:
            weights[names == queue.name] = queue.service.mean
        if np.isnan(run.waiting[cut:]).any():
            return Refusal("some jobs were never started")
        means.append(float(np.average(run.waiting[cut:], weights=weights)))
    return mean_interval(means)
