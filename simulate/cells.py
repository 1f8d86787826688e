"""Kinds of queues that have a closed form, each simulated many times and held against it.

A kind is one row of the catalogue below: a queue, its utilisation, its service times, what is measured. A *run* of it
has a seed of its own and consists of ten independent lanes, so that its interval needs no assumption about jobs that
come one after another; the beginning of each lane is left out, ten times the queue's memory (see `simulate.steady`).

The recursions of `simulate.recursion` do the work, since it takes billions of jobs. They are the event
engine's equals job by job, which `tests/simulate/test_recursion.py` shows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, exp, log, sqrt
from typing import Any

import numpy as np

from simulate import theory
from simulate.intervals import Interval, Numbers, mean_interval
from simulate.recursion import Lanes
from simulate.workload import Load, stream

LANES = 10
WARM_UP_MEMORIES = 10
LEAST_MEMORIES = 50
LEAST_JOBS = 2000
LANES_AT_ONCE = 1000  # side by side: enough that numpy's calls are nothing beside its sums
BLOCK_JOBS = 256 * LANES_AT_ONCE  # of all lanes together, at a time: what a processor's cache holds
WHOLE_JOBS = 16 * BLOCK_JOBS  # the same where a queue must be played in one block
SURE_LEVEL = 0.9999

# How long a daemon of the catalogue sleeps, in mean service times.
SLEEP = 10.0

# With these the catalogue is proved: so many runs of each kind, and a standard error of theirs together of so much.
# That is four billion jobs. Of a thousand runs 95 % are 950 give or take 7.
PROOF_RUNS = 1000
PROOF_PRECISION = 0.0027


@dataclass(frozen=True)
class Service:
    """Service times of mean one."""

    name: str
    squared_variation: float
    third_moment: float
    draw: Callable[[np.random.Generator, tuple[int, int]], Numbers]


def _lognormal(squared_variation: float) -> Service:
    spread = log(1 + squared_variation)
    return Service(
        f"lognormal {squared_variation:g}",
        squared_variation,
        exp(3 * spread),
        lambda generator, shape: generator.lognormal(-spread / 2, sqrt(spread), shape),
    )


def _pareto(tail: float) -> Service:
    # The variance of a mean waiting time is finite only where E[S⁴] is: the tail must be above 4.
    least = (tail - 1) / tail
    return Service(
        f"Pareto {tail:g}",
        1 / (tail * (tail - 2)),
        tail * least**3 / (tail - 3),
        lambda generator, shape: least * (1 + generator.pareto(tail, shape)),
    )


def _hyperexponential(squared_variation: float) -> Service:
    """Many short and few long ones, either kind half of the work ("balanced means")."""
    often = (1 + sqrt((squared_variation - 1) / (squared_variation + 1))) / 2
    return Service(
        f"hyperexponential {squared_variation:g}",
        squared_variation,
        0.75 * (1 / often**2 + 1 / (1 - often) ** 2),
        lambda generator, shape: (
            generator.standard_exponential(shape)
            / np.where(generator.random(shape) < often, 2 * often, 2 * (1 - often))
        ),
    )


FIXED = Service("fixed", 0.0, 1.0, lambda generator, shape: np.ones(shape))
EXPONENTIAL = Service("exponential", 1.0, 6.0, lambda generator, shape: generator.standard_exponential(shape))
ERLANG = Service("Erlang-2", 0.5, 3.0, lambda generator, shape: generator.gamma(2.0, 0.5, shape))
LOGNORMAL = _lognormal(2.0)
PARETO = _pareto(4.5)
HYPEREXPONENTIAL = _hyperexponential(4.0)


@dataclass(frozen=True)
class Cell:
    """One kind of queue and one thing measured of it. Times are in mean service times."""

    family: str
    queue: str  # "in order", "polled", "gated", "bounded", "priority"
    utilisation: float  # of the servers together; of a loss system what is offered, and it may be more than one
    servers: int = 1
    service: Service = EXPONENTIAL
    measured: str = "waiting time"  # or its "square", the share "beyond" `seconds`, the share "lost"
    seconds: float = 0.0
    places: int = 0
    shares: tuple[float, ...] = field(default=(1.0,))  # of the jobs, class by class
    urgency: int = 0  # the class that is measured

    @property
    def name(self) -> str:
        """The kind in a few words, unlike any other's."""
        queue = self.family.removesuffix(" classes")
        parts = [queue.replace("/c", f"/{self.servers}").replace("/K", f"/{self.places}")]
        if self.service is not EXPONENTIAL:
            parts.append(self.service.name)
        parts.append(f"at {self.utilisation:g}")
        if len(self.shares) > 1:
            parts.append(f"class {self.urgency} of {len(self.shares)}")
        if self.measured == "beyond":
            parts.append(f"share beyond {self.seconds:g}")
        elif self.measured != "waiting time":
            parts.append(self.measured)
        return ", ".join(parts)

    @property
    def rate(self) -> float:
        """Arrivals per mean service time."""
        return self.utilisation * self.servers

    def theory(self) -> float:
        """What the closed form says."""
        rate, servers, variation = self.rate, self.servers, self.service.squared_variation
        if self.queue == "polled":
            return theory.polled_wait(rate, 1.0, variation, SLEEP)
        if self.queue == "gated":
            return theory.naive_wait(rate, 1.0, variation, SLEEP)
        if self.queue == "bounded":
            if self.places == servers:
                return theory.erlang_b(servers, rate)  # for any service
            lost, wait = theory.mmck(rate, 1.0, servers, self.places)
            return lost if self.measured == "lost" else wait
        if self.queue == "priority":
            if servers == 1:
                classes = [(rate * share, 1.0, variation) for share in self.shares]
                return theory.mg1_priority_waits(classes)[self.urgency]
            return theory.mmc_priority_waits([rate * share for share in self.shares], 1.0, servers)[self.urgency]
        if self.measured == "beyond":
            return theory.mmc_wait_beyond(rate, 1.0, servers, self.seconds)
        if self.measured == "square":
            return theory.mg1_wait_squared(rate, 1.0, variation, self.service.third_moment)
        return theory.mmc_wait(rate, 1.0, servers) if servers > 1 else theory.mg1_wait(rate, 1.0, variation)

    def memory_jobs(self) -> float:
        """How many jobs arrive while the queue forgets where it was; as `simulate.steady`, from the known moments."""
        if self.queue == "bounded":
            return 2.0 * self.places
        utilisation = self.utilisation
        memory = 2 * utilisation * (1 + self.service.squared_variation) / (1 - utilisation) ** 2
        return memory + (self.rate * SLEEP / (1 - utilisation) if self.queue in ("polled", "gated") else 0.0)

    def noise(self) -> float:
        """About how large the variance of the mean over one job is beside its square: how many jobs the answer takes.

        It decides lengths of runs and nothing else; by heavy traffic, and fitted by eye where that says nothing.
        """
        if self.queue == "bounded":
            lost = self.theory() if self.measured == "lost" else 0.5
            return 4 * self.places / max(lost, 0.02) if self.places > self.servers else 8 / lost
        second = 1 + self.service.squared_variation
        tail = max(1.0, self.service.third_moment / (1.5 * second**2))  # rare and long jobs make many wait at once
        if self.queue in ("polled", "gated"):
            return 0.5 + 0.4 * self.memory_jobs() * tail
        must_wait = theory.erlang_c(self.servers, self.rate)
        noise = 2 * second / (1 - self.utilisation) ** 2 / must_wait * tail
        return noise * (4 if self.measured == "square" else 1)

    # Simulated.

    def load(self, seed: int, jobs: int, beginning: float = 0.0) -> Load:
        """One such load, for the event engine; it begins at that time. Of classes it knows nothing."""
        arrived, work = self._drawn(self._streams([seed], "gaps"), self._streams([seed], "work"), jobs, self.rate)
        return Load(self.name, f"drawn as {self.name}", beginning + arrived[:, 0], work[:, 0])

    def runs(self, seeds: Sequence[int], jobs: int) -> list[Numbers]:
        """What was measured: for each seed ten values, of lanes of so many jobs after the warm-up."""
        warm_up = ceil(WARM_UP_MEMORIES * self.memory_jobs())
        lanes = min(LANES_AT_ONCE, WHOLE_JOBS // (warm_up + jobs)) if self.queue == "priority" else LANES_AT_ONCE
        at_once = max(1, lanes // LANES)
        if len(seeds) > at_once:
            return self.runs(seeds[:at_once], jobs) + self.runs(seeds[at_once:], jobs)
        total, count = np.zeros(LANES * len(seeds)), np.zeros(LANES * len(seeds))
        seen = 0
        for waited in self._waited(seeds, warm_up + jobs):
            counted = waited[max(0, warm_up - seen) :]
            seen += len(waited)
            if not len(counted):
                continue
            if self.measured == "lost":
                total += np.isnan(counted).sum(axis=0)
                count += len(counted)
                continue
            is_counted = ~np.isnan(counted)
            count += is_counted.sum(axis=0)
            if self.measured == "beyond":
                total += (counted > self.seconds).sum(axis=0)
            else:
                found = np.where(is_counted, counted, 0.0)
                total += (np.square(found) if self.measured == "square" else found).sum(axis=0)
        return list((total / count).reshape(len(seeds), LANES))

    def _waited(self, seeds: Sequence[int], jobs: int) -> Iterator[Numbers]:
        """Waiting times block by block, a row for each job; "nan" for those turned away and those of other classes."""
        if self.queue == "priority":
            yield self._of_one_class(seeds, jobs)
            return
        lanes = Lanes(LANES * len(seeds), self.servers)
        gaps, works = self._streams(seeds, "gaps"), self._streams(seeds, "work")
        last = np.zeros(LANES * len(seeds))
        while jobs > 0:
            count = min(BLOCK_JOBS // len(last), jobs)
            jobs -= count
            arrived, work = self._drawn(gaps, works, count, self.rate)
            arrived += last
            last = arrived[-1].copy()
            if self.queue == "in order":
                starts = lanes.first_come_first_served(arrived, work)
            elif self.queue == "polled":
                starts = lanes.polled(arrived, work, SLEEP)
            elif self.queue == "gated":
                starts = lanes.gated(arrived, work, SLEEP)
            else:
                starts = lanes.bounded(arrived, work, self.places)
            yield starts - arrived

    def _of_one_class(self, seeds: Sequence[int], jobs: int) -> Numbers:
        arrivals: list[Numbers] = []
        works: list[Numbers] = []
        for of, share in enumerate(self.shares):
            # More than will be needed, but for a chance of one in a million millions.
            count = ceil(share * jobs + 8 * sqrt(share * jobs) + 50)
            gaps, work = self._streams(seeds, f"gaps {of}"), self._streams(seeds, f"work {of}")
            for found, drawn in zip((arrivals, works), self._drawn(gaps, work, count, self.rate * share), strict=True):
                found.append(drawn)
        waits, classes = Lanes(LANES * len(seeds), self.servers).by_priority(arrivals, works, jobs)
        return np.where(classes == self.urgency, waits, np.nan)

    def _streams(self, seeds: Sequence[int], purpose: str) -> list[np.random.Generator]:
        return [stream(seed, f"{self.name}: {purpose}") for seed in seeds]

    def _drawn(
        self, gaps: list[np.random.Generator], works: list[np.random.Generator], jobs: int, rate: float
    ) -> tuple[Numbers, Numbers]:
        """Times of arrival from zero on, and service times."""
        arrived = np.concatenate([one.standard_exponential((jobs, LANES)) for one in gaps], axis=1)
        arrived /= rate
        np.cumsum(arrived, axis=0, out=arrived)
        return arrived, np.concatenate([self.service.draw(one, (jobs, LANES)) for one in works], axis=1)


def catalogue() -> tuple[Cell, ...]:
    """All kinds. Utilisations are low, middling and high; above 0.9 no run within reason would settle."""
    cells: list[Cell] = []
    for servers, utilisations in (
        (1, (0.1, 0.3, 0.5, 0.7, 0.8, 0.9)),
        (2, (0.1, 0.3, 0.5, 0.7, 0.9)),
        (4, (0.3, 0.5, 0.7, 0.9)),
        (8, (0.5, 0.7, 0.9)),
        (16, (0.7, 0.9)),
        (32, (0.9,)),
    ):
        cells += [Cell("M/M/c", "in order", utilisation, servers) for utilisation in utilisations]
    # The share that waits longer than a time says whether the whole distribution is right, not only its mean.
    for servers, utilisation, seconds in ((1, 0.5, 2.0), (1, 0.8, 10.0), (2, 0.7, 2.0), (4, 0.8, 1.0), (8, 0.9, 1.0)):
        cells.append(Cell("M/M/c", "in order", utilisation, servers, measured="beyond", seconds=seconds))
    for service in (FIXED, ERLANG, LOGNORMAL, PARETO, HYPEREXPONENTIAL):
        cells += [Cell("M/G/1", "in order", utilisation, 1, service) for utilisation in (0.1, 0.3, 0.5, 0.7, 0.9)]
    for service in (FIXED, ERLANG, EXPONENTIAL):
        cells.append(Cell("M/G/1", "in order", 0.5, 1, service, measured="square"))
    for family, queue in (("naive loop", "gated"), ("polling", "polled")):
        for service in (FIXED, EXPONENTIAL, LOGNORMAL):
            cells += [Cell(family, queue, utilisation, 1, service) for utilisation in (0.1, 0.5, 0.8)]
    for service, utilisation, shares in (
        (EXPONENTIAL, 0.5, (0.3, 0.7)),
        (FIXED, 0.8, (0.5, 0.5)),
        (HYPEREXPONENTIAL, 0.6, (0.2, 0.3, 0.5)),
    ):
        for urgency in range(len(shares)):
            cells.append(Cell("M/G/1 classes", "priority", utilisation, 1, service, shares=shares, urgency=urgency))
    for urgency in (0, 1):
        cells.append(Cell("M/M/c classes", "priority", 0.8, 4, shares=(0.4, 0.6), urgency=urgency))
    for servers, places, utilisation in ((1, 5, 0.9), (4, 8, 0.9), (4, 10, 1.5)):
        cells.append(Cell("M/M/c/K", "bounded", utilisation, servers, places=places, measured="lost"))
        cells.append(Cell("M/M/c/K", "bounded", utilisation, servers, places=places))
    for servers, utilisation, service in ((1, 0.5, EXPONENTIAL), (5, 0.8, LOGNORMAL), (20, 1.0, FIXED)):
        cells.append(Cell("M/G/c/c", "bounded", utilisation, servers, service, places=servers, measured="lost"))
    return tuple(cells)


@dataclass(frozen=True)
class Verdict:
    """One kind, simulated in several runs, beside what theory says."""

    cell: Cell
    theory: float
    runs: tuple[Interval, ...]  # of each run, at 95 %
    together: Interval  # of all lanes of all runs
    surely: Interval  # the same at 99.99 %
    inside: int  # runs whose interval holds the theory
    far_outside: int  # runs whose interval at 99.99 % does not

    @property
    def error(self) -> float:
        """How far all runs together are off, as a share of what theory says."""
        return self.together.value / self.theory - 1

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": self.cell.name,
            "theory": self.theory,
            "simulated": self.together.to_dict(),
            "inside": self.together.holds(self.theory),
            "runs": len(self.runs),
            "runs_inside_95_percent": self.inside,
            "runs_outside_99_99_percent": self.far_outside,
        }


@dataclass(frozen=True)
class Judgement:
    """All kinds, each beside its theory."""

    seed: int
    precision: float
    verdicts: tuple[Verdict, ...]

    @property
    def runs(self) -> int:
        """Of all kinds together."""
        return sum(len(one.runs) for one in self.verdicts)

    @property
    def share_inside(self) -> float:
        """Of all runs, those whose 95 % interval holds the theory. Near 0.95 if simulator and theory are both right."""
        return sum(one.inside for one in self.verdicts) / self.runs

    @property
    def far_outside(self) -> int:
        """Runs whose 99.99 % interval does not hold the theory."""
        return sum(one.far_outside for one in self.verdicts)

    @property
    def far_outside_by_chance(self) -> float:
        """How many that would be if nothing were wrong with simulator, theory and intervals."""
        return (1 - SURE_LEVEL) * self.runs

    @property
    def wrong(self) -> list[Verdict]:
        """The kinds that all their runs together contradict: theory lies outside of their 99.99 % interval."""
        return [one for one in self.verdicts if not one.surely.holds(one.theory)]

    @property
    def largest_error(self) -> Verdict:
        """The kind whose runs together are furthest off, as a share of the truth."""
        return max(self.verdicts, key=lambda one: abs(one.error))

    def rows(self) -> list[list[str]]:
        """One row for each kind, for CSV; see `HEADER`."""
        return [
            [
                one.cell.family,
                one.cell.name,
                *(f"{x:.9g}" for x in (one.theory, one.together.value, one.together.low, one.together.high, one.error)),
                str(len(one.runs)),
                str(one.inside),
                str(one.far_outside),
            ]
            for one in self.verdicts
        ]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "version": 1,
            "seed": self.seed,
            "precision": self.precision,
            "runs": self.runs,
            "share_of_runs_inside_95_percent": self.share_inside,
            "runs_outside_99_99_percent": self.far_outside,
            "kinds_outside_99_99_percent": [one.cell.name for one in self.wrong],
            "kinds": [one.to_dict() for one in self.verdicts],
        }


HEADER = [
    "family", "kind", "theory", "simulated", "low", "high", "error", "runs", "runs_inside_95", "runs_outside_99_99",
]  # fmt: skip


def judge_all(
    cells: Sequence[Cell], runs: int, precision: float, seed: int = 0, progress: Callable[[int], object] | None = None
) -> Judgement:
    """Simulates every kind in so many runs; `progress` is called with the number of kinds done."""
    verdicts = []
    # Kinds draw from streams that bear their name, and so they may share seeds.
    seeds = [int(stream(seed, f"run {number}").integers(2**53)) for number in range(runs)]
    for done, cell in enumerate(cells, start=1):
        verdicts.append(judge(cell, seeds, precision))
        if progress is not None:
            progress(done)
    return Judgement(seed, precision, tuple(verdicts))


def lane_jobs(cell: Cell, runs: int, precision: float) -> int:
    """How many jobs a lane needs so that all runs together have about this standard error, as a share of the truth.

    With many runs a lane would be short, and the mean of a few busy periods is far from normal; so it lasts for some
    memories of its queue all the same.
    """
    for_precision = ceil(cell.noise() / precision**2 / (runs * LANES))
    return max(for_precision, LEAST_JOBS, ceil(LEAST_MEMORIES * cell.memory_jobs()))


def judge(cell: Cell, seeds: Sequence[int], precision: float) -> Verdict:
    """Simulates the kind once for each seed, and says which intervals hold the truth."""
    truth = cell.theory()
    values = cell.runs(seeds, lane_jobs(cell, len(seeds), precision))
    each = [_interval(value) for value in values]
    surely = [_interval(value, SURE_LEVEL) for value in values]
    lanes = np.concatenate(values)
    return Verdict(
        cell=cell,
        theory=truth,
        runs=tuple(each),
        together=_interval(lanes),
        surely=_interval(lanes, SURE_LEVEL),
        inside=sum(one.holds(truth) for one in each),
        far_outside=sum(not one.holds(truth) for one in surely),
    )


def _interval(lanes: Numbers, level: float = 0.95) -> Interval:
    found = mean_interval(lanes, level)
    assert isinstance(found, Interval)
    return found
