"""Every experiment by name. Notebooks, tests, documents and the command line call these.

An experiment takes loads and seeds and returns its result as data; it prints nothing and looks at no clock.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from inspect import signature
from typing import Any

import numpy as np

from simulate import designs as ladder
from simulate import faults
from simulate.costs import Costs
from simulate.intervals import Estimate, Numbers
from simulate.measures import Measures, Spread, backlog, measure, waiting_times
from simulate.playing import play as play
from simulate.recursion import first_come_first_served
from simulate.replications import Difference, Estimates, Run, by_queue, differences, estimate, rows, spread
from simulate.scenarios.overload import drain_times as drain_times
from simulate.scenarios.overload import overload as overload
from simulate.scenarios.priorities import priorities as priorities
from simulate.scenarios.retries import retries as retries
from simulate.scenarios.staffing import staffing as staffing
from simulate.scenarios.staffing import waits_by_workers as waits_by_workers
from simulate.scenarios.startup import crash_costs as crash_costs
from simulate.scenarios.startup import deploys as deploys
from simulate.scenarios.startup import start_costs as start_costs
from simulate.words import duration
from simulate.workload import Load, generate

# The share of one process that the light load keeps busy, and of all workers that the full one does.
LIGHT_SHARE = 0.1
FULL_SHARE = 0.7

# How finely curves are kept in the result: points on the distribution, and stretches of the time axis.
QUANTILES = 400
BACKLOG_POINTS = 200

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Faults:
    """What goes wrong in the second run of each design: for the tables, in words, and as a plan for a load."""

    name: str
    words: str  # a sentence without its end
    plan: Callable[[Load, int], faults.Plan]  # of a load and its seed


KILLED_HALFWAY = Faults(
    "killed halfway",
    "the first process to start a job after half of the jobs have come is killed in the middle of it, and a supervisor "
    f"starts a new one {duration(faults.NOTHING.restart_after)} later",
    lambda load, seed: faults.one_kill_halfway(load),
)


@dataclass(frozen=True, eq=False)
class Outcome:
    """One design under one load: in peace, and with faults."""

    design: str
    rung: int | None
    shows: str
    peace: Measures
    killed: Measures
    queues: dict[str, Spread]  # waiting in peace, of each queue of the load, by the name of its estimate
    waiting_quantiles: Numbers  # QUANTILES + 1 waiting times from the shortest to the longest, in peace
    backlog_times: Numbers
    backlog_jobs: Numbers

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "design": self.design,
            "rung": self.rung,
            "shows": self.shows,
            "in_peace": self.peace.to_dict(),
            "with_faults": self.killed.to_dict(),
            "queues": {name: asdict(spread) for name, spread in self.queues.items()},
            "waiting_seconds_at_even_quantiles": self.waiting_quantiles.tolist(),
            "backlog": {"seconds": self.backlog_times.tolist(), "jobs": self.backlog_jobs.tolist()},
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several designs under one load, and the yardstick: what no queue that serves in order could do better."""

    load: Load
    workers: int
    seed: int
    costs: Costs
    faults: Faults
    queues: str | None  # what workers of designs with queues serve, in order
    restart_after: float
    outcomes: tuple[Outcome, ...]
    ideal: Spread  # waiting time of first come, first served by the same number of workers, if nothing cost anything
    ideal_quantiles: Numbers
    replications: int  # loads of this kind that were played; all but what follows is of the first of them
    estimates: tuple[Estimates, ...]  # of each design, in the order of the outcomes
    ideal_estimates: dict[str, Estimate]
    differences: tuple[Difference, ...]  # between designs, on the same loads

    def rows(self) -> list[list[str]]:
        """One row for each number of all replications, for CSV."""
        ideal = Estimates("ideal", self.ideal_estimates, None, None)
        every = (*self.estimates, ideal)
        return rows(self.load.name, self.workers, self.replications, every, self.differences)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "load": {
                "name": self.load.name,
                "words": self.load.words,
                "assumed": list(self.load.assumed),
                **self.load.figures(),
            },
            "workers": self.workers,
            "seed": self.seed,
            "costs_seconds": self.costs.seconds,
            "costs_are": self.costs.origin,
            "faults": {"name": self.faults.name, "words": self.faults.words},
            "queues": self.queues,
            "restart_after_seconds": self.restart_after,
            "ideal_waiting": asdict(self.ideal),
            "ideal_waiting_seconds_at_even_quantiles": self.ideal_quantiles.tolist(),
            "designs": [outcome.to_dict() for outcome in self.outcomes],
            "replications": self.replications,
            "estimates": [one.to_dict() for one in self.estimates],
            "ideal_estimates": {name: one.to_dict() for name, one in self.ideal_estimates.items()},
            "differences": [one.to_dict() for one in self.differences],
        }


def to_dict(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The whole result, for JSON."""
    return {"version": 3, "comparisons": [comparison.to_dict() for comparison in comparisons]}


def to_json(comparisons: Sequence[Comparison]) -> str:
    """The whole result as text; equal inputs give equal bytes."""
    return as_json(to_dict(comparisons))


def as_json(whole: dict[str, Any]) -> str:
    """A result as text."""
    return json.dumps(rounded(whole), indent=1, allow_nan=False) + "\n"


def rounded(value: Any) -> Any:
    """The same with every time and ratio to nine significant digits: beyond them lies only the rounding of sums."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(inner) for inner in value]
    return value


def compare(
    load: Load,
    designs: Sequence[str],
    workers: int,
    *,
    costs: Costs | None = None,
    seed: int = 0,
    others: Sequence[tuple[int, Load]] = (),
    faulty: Faults = KILLED_HALFWAY,
    queues: str | None = None,
    faithful: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Replays one load against each design, in peace and with faults.

    Designs with one process by nature run one, all others `workers`. `others` are further loads of the same kind, each
    with its seed: with them every number gets an interval, and differences between designs are taken load by load.
    `progress` is called with the number of jobs done so far over all runs; `runs` times the jobs of all loads make the
    whole. `queues` is what workers serve, in order, in designs that have queues: "critical,default", or "*". If
    `faithful`, whatever a design asks of its server is carried out by one in this process, Lua included: slowly.

    Raises ValueError for an unknown design or without workers.
    """
    if workers < 1:
        raise ValueError(f"{workers} workers cannot do anything; there must be one at least")
    costs = costs or Costs()
    outcomes = []
    of_designs: dict[str, list[Run]] = {}
    ideal_waits: list[Numbers] = []
    finished = 0

    def tell(done: int) -> None:
        if progress is not None:
            progress(finished + done)

    for number, (own_seed, own_load) in enumerate([(seed, load), *others]):
        plan = faulty.plan(own_load, own_seed)
        ideal_waits.append(first_come_first_served(own_load.arrived, own_load.service, workers) - own_load.arrived)
        for name in designs:
            kind = ladder.find(name)
            own_settings = settings_of(kind, queues, faithful)
            peace, processes = play(kind, own_load, workers, costs, own_seed, faults.NOTHING, tell, **own_settings)
            finished += own_load.jobs
            own_settings = settings_of(kind, queues, faithful)
            killed, _ = play(kind, own_load, workers, costs, own_seed, plan, tell, **own_settings)
            finished += own_load.jobs
            in_peace, with_kill = measure(peace, processes), measure(killed, processes)
            arrived, starts, ends = (peace.ledger.column(column) for column in ("arrived", "first_start", "ended"))
            run = Run(own_load, starts - arrived, ends - arrived, in_peace, with_kill)
            of_designs.setdefault(kind.name, []).append(run)
            if not number:
                times, jobs = thinned(*backlog(peace.ledger), busy_until=2 * load.span)
                outcomes.append(
                    Outcome(
                        design=kind.name,
                        rung=kind.rung,
                        shows=kind.shows,
                        peace=in_peace,
                        killed=with_kill,
                        queues={
                            name: Spread.of(waits[~np.isnan(waits)])
                            for name, [waits] in by_queue([own_load], [run.waiting]).items()
                        },
                        waiting_quantiles=quantiles(waiting_times(peace.ledger)),
                        backlog_times=times,
                        backlog_jobs=jobs,
                    )
                )
    highest = max(outcomes, key=lambda outcome: -1 if outcome.rung is None else outcome.rung)
    return Comparison(
        load=load,
        workers=workers,
        seed=seed,
        costs=costs,
        faults=faulty,
        queues=queues,
        restart_after=plan.restart_after,
        outcomes=tuple(outcomes),
        ideal=Spread.of(ideal_waits[0]),
        ideal_quantiles=quantiles(ideal_waits[0]),
        replications=len(ideal_waits),
        estimates=tuple(estimate(name, of_designs[name]) for name in of_designs),
        ideal_estimates=spread("waiting", ideal_waits),
        differences=differences(of_designs, highest.design),
    )


def settings_of(kind: type[ladder.Design], queues: str | None, faithful: bool) -> dict[str, Any]:
    """Of what is wanted, what the design has; a server in this process is a new one each time."""
    known = signature(kind).parameters
    found: dict[str, Any] = {"queues": queues} if queues and "queues" in known else {}
    if faithful and "server" in known:
        found["server"] = import_module("simulate.designs.faithful").connect()
    return found


def runs(designs: Sequence[str]) -> int:
    """How many times `compare` replays each load."""
    return 2 * len(designs)


def default_loads(jobs: int, workers: int, seed: int) -> tuple[Load, Load]:
    """The two loads that teach most: a light one that one process can carry, and one that needs most of the workers.

    Under the light one a design shows its latency alone; under the full one its strength.
    """
    # A fifth of the jobs is enough for the light load's percentiles, unless that leaves none.
    light = generate("poisson", max(1, jobs // 5), seed, erlangs=LIGHT_SHARE)
    full = generate("twin", jobs, seed, erlangs=FULL_SHARE * workers)
    return light, full


def quantiles(values: Numbers) -> Numbers:
    """The values at evenly spread quantiles, from the smallest to the largest."""
    return np.quantile(values, np.linspace(0, 1, QUANTILES + 1)) if len(values) else values


def thinned(times: Numbers, jobs: Numbers, busy_until: float) -> tuple[Numbers, Numbers]:
    """The staircase as few points: in the middle of each stretch of time, the mean backlog over it.

    Three quarters of the stretches lie before `busy_until`: a design that drowns may take a hundred times as long to
    drain as the load took to arrive, and it is the beginning that one wants to see.
    """
    middle = min(busy_until, float(times[-1]))
    edges = np.unique(
        np.concatenate(
            (
                np.linspace(times[0], middle, 3 * BACKLOG_POINTS // 4 + 1),
                np.linspace(middle, times[-1], BACKLOG_POINTS // 4 + 1),
            )
        )
    )
    if len(edges) < 2:  # everything happened in one instant
        return times[-1:], jobs[-1:]
    # The area under the staircase up to each of its steps; between two steps it grows in a straight line.
    area = np.concatenate(([0.0], np.cumsum(jobs[:-1] * np.diff(times))))
    means = np.diff(np.interp(edges, times, area)) / np.diff(edges)
    return np.append((edges[:-1] + edges[1:]) / 2, edges[-1]), np.append(means, jobs[-1])
