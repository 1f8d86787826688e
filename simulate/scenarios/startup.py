"""What it costs that an application takes long to load: per job, per deploy, per crash.

A worker that forks loads once, and its children have all of it. Fresh interpreters load each time, the next while the
current one works, so that a job costs whichever takes longer. A deploy makes each worker load anew; all at once nobody
works meanwhile, one after another somebody always does. And a worker that dies with its job is gone until its successor
has loaded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Any

import numpy as np

from simulate import theory
from simulate.actors import World
from simulate.costs import Costs
from simulate.designs import find
from simulate.faults import Kill, Plan
from simulate.intervals import Estimate, Numbers, Refusal, mean_interval
from simulate.measures import backlog, measure
from simulate.replications import of_all, seeds
from simulate.service_times import ServiceTimes
from simulate.words import told
from simulate.workload import Load, generate, stream

MODES = ("spawn", "fork", "in-line")
"""A fresh interpreter for each job; a child forked from a loaded worker for each job; the loaded worker itself."""

WARM_UP_SHARE = 0.2

Progress = Callable[[int], object]
"""Is told the number of runs done."""

# A child that loads for longer than its lease would have its job taken away; so the lease is that much longer.
LEASE_SECONDS, LEASE_LOADS = 10.0, 3.0


@dataclass(frozen=True)
class Setting:
    """What all of it is played with. Times in seconds."""

    workers: int = 4
    service: float = 1.0  # mean, exponential
    utilisation: float = 0.7  # of workers that lose no time to loading
    costs: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        if self.workers < 1 or self.service <= 0 or self.utilisation <= 0:
            raise ValueError(
                f"{told(workers=self.workers, service=self.service, utilisation=self.utilisation)}: one worker at "
                "least, and numbers above 0"
            )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "workers": self.workers,
            "service_mean_seconds": self.service,
            "utilisation": self.utilisation,
            "costs_seconds": self.costs.seconds,
            "costs_are": self.costs.origin,
        }

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.utilisation * self.workers / self.service

    def load(self, jobs: int, seed: int) -> Load:
        """Poisson arrivals, exponential service."""
        return generate("poisson", jobs, seed, rate=self.rate, service=ServiceTimes("exponential", self.service))


def _options(mode: str, loads_for: float) -> tuple[str, dict[str, Any]]:
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}; known: {', '.join(MODES)}")
    lease = LEASE_SECONDS + (LEASE_LOADS * loads_for if mode == "spawn" else 0.0)
    options = {"loads_for": loads_for, "lease": lease, "spawned": mode == "spawn"}
    return ("inline" if mode == "in-line" else "minique"), options


def _play(mode: str, loads_for: float, load: Load, setting: Setting, seed: int, **world_options: Any) -> World:
    name, options = _options(mode, loads_for)
    world = World(load, workers=setting.workers, costs=setting.costs, seed=seed, **world_options)
    design = find(name)(world, **options)
    try:
        world.run(design)
        measure(world, design.processes)  # the books must balance
    finally:
        design.close()
    return world


# Per job.


@dataclass(frozen=True)
class StartPoint:
    """One mode and one time to load."""

    mode: str
    loads_for: float  # seconds
    capacity: Estimate  # jobs per second that all workers do when there is always more to do
    in_theory: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "mode": self.mode,
            "loads_for_seconds": self.loads_for,
            "capacity_per_second": self.capacity.to_dict(),
            "capacity_in_theory": self.in_theory,
        }


def start_costs(
    loads: Sequence[float] = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
    modes: Sequence[str] = MODES,
    *,
    setting: Setting | None = None,
    jobs: int = 600,
    replications: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[StartPoint, ...]:
    """How many jobs per second workers do at most, by how long the application takes to load.

    All jobs are there from the beginning, and all workers are loaded when the counting begins. Busy workers that spawn
    take the longer of loading and working for each job: load + service · exp(-load / service) on average. `progress` is
    called with the number of runs done.
    """
    setting = setting or Setting()
    if jobs * (1 - WARM_UP_SHARE) < 4 * setting.workers:
        raise ValueError(f"{jobs} jobs are too few to keep {setting.workers} workers busy for a while")
    done, points = 0, []
    for mode in modes:
        for loads_for in loads:
            rates = []
            for own in seeds(seed, replications):
                service = stream(own, "service").exponential(setting.service, jobs)
                load = Load("all at once", "all there from the beginning", np.zeros(jobs), service)
                world = _play(mode, loads_for, load, setting, own)
                ends = np.sort(world.ledger.column("ended"))
                first, last = int(WARM_UP_SHARE * jobs), jobs - 2 * setting.workers
                rates.append((last - first) / float(ends[last] - ends[first]))
                done += 1
                if progress is not None:
                    progress(done)
            points.append(StartPoint(mode, loads_for, mean_interval(rates), _capacity(mode, loads_for, setting)))
    return tuple(points)


def _capacity(mode: str, loads_for: float, setting: Setting) -> float:
    costs, service = setting.costs, setting.service
    between = costs.round_trip + costs.hand_over + costs.end_of_child
    if mode == "in-line":
        return setting.workers / (service + costs.in_line)  # what else there is comes between batches
    if mode == "fork":
        return setting.workers / (service + between)
    # The next child begins to load when the current one has been given its job.
    rest = max(0.0, loads_for - costs.end_of_child - costs.round_trip)
    return setting.workers / (rest + service * exp(-rest / service) + between)


# Per deploy.

WAYS = ("all at once", "rolling")


@dataclass(frozen=True)
class DeployPoint:
    """One way to deploy and one time to load. Times in seconds."""

    way: str
    loads_for: float
    largest_backlog: Estimate  # jobs
    predicted_backlog: float | None  # fluid: what arrives while nobody works; None for rolling
    waiting: Estimate  # mean, of the jobs that arrive from its beginning until the last worker is there
    lasts: Estimate  # from its beginning until nobody waits and all have been replaced
    predicted_lasts: float | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "way": self.way,
            "loads_for_seconds": self.loads_for,
            "largest_backlog_jobs": self.largest_backlog.to_dict(),
            "largest_backlog_predicted": self.predicted_backlog,
            "waiting_mean_seconds": self.waiting.to_dict(),
            "lasts_seconds": self.lasts.to_dict(),
            "lasts_predicted": self.predicted_lasts,
        }


def deploys(
    loads: Sequence[float] = (3.0, 10.0, 30.0),
    ways: Sequence[str] = WAYS,
    *,
    setting: Setting | None = None,
    replications: int = 6,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[DeployPoint, ...]:
    """What a deploy costs the jobs: each worker is told to go, finishes its job, and another is started, which loads.

    Rolling: the next worker is told when the one before has had the time to finish, start and load. Fluid prediction
    for all at once: what arrives while they load is the backlog, and it drains at what is left of the capacity.
    """
    setting = setting or Setting()
    for way in ways:
        if way not in WAYS:
            raise ValueError(f"unknown way {way!r}; known: {', '.join(WAYS)}")
    if setting.utilisation >= 1:
        raise ValueError(
            f"at a utilisation of {setting.utilisation:g} nothing is left to drain a backlog with, whichever way is "
            "deployed; it must be below 1"
        )
    done, points = 0, []
    for way in ways:
        for loads_for in loads:
            runs = []
            for own in seeds(seed, replications):
                runs.append(_deploy(way, loads_for, setting, own))
                done += 1
                if progress is not None:
                    progress(done)
            busy = setting.service + setting.costs.round_trip + setting.costs.hand_over + setting.costs.end_of_child
            left = setting.workers / busy - setting.rate
            came = setting.rate * loads_for
            at_once = way == "all at once"
            points.append(
                DeployPoint(
                    way,
                    loads_for,
                    mean_interval([run.largest for run in runs]),
                    came if at_once else None,
                    of_all(mean_interval, [float(run.waits.mean()) if len(run.waits) else None for run in runs]),
                    of_all(mean_interval, [run.lasts for run in runs]),
                    loads_for + came / left if at_once and left > 0 else None,
                )
            )
    return tuple(points)


@dataclass(frozen=True, eq=False)
class _Deploy:
    largest: float
    waits: Numbers
    lasts: float | None


def _deploy(way: str, loads_for: float, setting: Setting, seed: int) -> _Deploy:
    # Time to settle; then to deploy, and to drain ten times over what the fluid would need.
    begins = loads_for + 50 * setting.service + 10 * theory.mmc_wait(setting.rate, setting.service, setting.workers)
    every = 0.0 if way == "all at once" else loads_for + 3 * setting.service
    over = begins + loads_for + every * (setting.workers - 1)
    idle = max(0.05, 1 - setting.utilisation)
    load = setting.load(int(setting.rate * (over + 5 * loads_for / idle + 100 * setting.service)), seed)
    told = [(begins + number * every, number) for number in range(setting.workers)]
    world = _play("fork", loads_for, load, setting, seed, replacements=told)
    times, jobs = backlog(world.ledger)
    during = times >= begins
    waits = world.ledger.column("first_start") - load.arrived
    arrives = (load.arrived >= begins) & (load.arrived < over)
    empty = during & (times >= over) & (jobs == 0)
    return _Deploy(
        float(jobs[during].max(initial=0)), waits[arrives], float(times[empty][0]) - begins if empty.any() else None
    )


# Per crash.

CRASH_MODES = ("fork", "in-line")


@dataclass(frozen=True)
class CrashPoint:
    """Jobs that crash, where they run, and how long the application takes to load. Times in seconds."""

    mode: str
    loads_for: float
    recovery: Estimate  # from a crash until its job was done, on average
    waiting: Estimate  # mean over all jobs
    workers_lost: float  # how many of the workers are away on average, in theory
    lost: int  # jobs, over all runs

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "mode": self.mode,
            "loads_for_seconds": self.loads_for,
            "recovery_mean_seconds": self.recovery.to_dict(),
            "waiting_mean_seconds": self.waiting.to_dict(),
            "workers_away_in_theory": self.workers_lost,
            "lost": self.lost,
        }


def crash_costs(
    loads: Sequence[float] = (1.0, 10.0, 30.0),
    modes: Sequence[str] = CRASH_MODES,
    *,
    crashes_per_hour: float = 60.0,
    setting: Setting | None = None,
    jobs: int = 3_000,
    replications: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[CrashPoint, ...]:
    """What jobs cost that crash their process (a fault in a C library, out of memory), now and then.

    With a child for each job the child dies, its worker lives, and the job is tried again after its backoff. In-line
    the worker dies with it: its lease has to run out, and the worker is away until another has loaded.
    """
    setting = setting or Setting()
    done, points = 0, []
    for mode in modes:
        for loads_for in loads:
            recovered, waits, lost = [], [], 0
            for own in seeds(seed, replications):
                load = setting.load(jobs, own)
                crashes = max(1, round(crashes_per_hour * load.span / 3600))
                first = loads_for + 10 * setting.service
                times = sorted(stream(own, "crashes").uniform(first, load.span, crashes).tolist())
                plan = Plan(kills=tuple(Kill(time, only_child=True) for time in times))
                world = _play(mode, loads_for, load, setting, own, plan=plan)
                ended = world.ledger.column("ended")
                took = [max(0.0, float(ended[death.job]) - death.time) for death in world.deaths]
                recovered.append(float(np.mean(took)) if took and not np.isnan(took).any() else None)
                waited = (world.ledger.column("first_start") - load.arrived)[int(WARM_UP_SHARE * jobs) :]
                waits.append(float(np.nanmean(waited)))
                lost += world.ledger.lost
                done += 1
                if progress is not None:
                    progress(done)
            away = crashes_per_hour / 3600 * (Plan().restart_after + loads_for) if mode == "in-line" else 0.0
            busy = setting.utilisation * setting.workers
            waiting: Estimate = mean_interval(waits)
            if busy >= setting.workers - away:
                waiting = Refusal(
                    f"{away:.2g} workers are away on average, and the others cannot do {busy:.3g} erlangs"
                )
            points.append(CrashPoint(mode, loads_for, of_all(mean_interval, recovered), waiting, away, lost))
    return tuple(points)
