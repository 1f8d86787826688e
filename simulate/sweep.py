"""One parameter at a time: how the waiting time of each design follows it, theory as a line and simulation as dots.

Every point is several runs with seeds of their own, as long as the queue's memory demands, their first fifth left out.
Arrivals are Poisson and service times of a stated variation, so that there is a theory to stand beside. Designs are
given the same gaps and sizes, only scaled; values are not, so that one unlucky draw does not move a whole curve.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from minique.reaper import REST_SECONDS
from minique.worker import LEASE_SECONDS
from naive_daemon import daemon
from simulate import designs as ladder
from simulate import experiments, faults, theory
from simulate.costs import Costs
from simulate.intervals import Estimate, Interval, in_columns, mean_interval
from simulate.measures import measure
from simulate.replications import Run, in_the_long_run, of_all
from simulate.steady import MEMORIES
from simulate.workload import Load, poisson_arrivals, service_times, stream

if TYPE_CHECKING:
    from simulate.live.crosses import Cross

# A run is this much longer than the least that may speak for the long run, and has as many jobs at least and at most.
ROOM = 3.0
LEAST_JOBS = 4_000
MOST_JOBS = 60_000

# The costs of the steps are added to theory as if each were paid in full, always; by so much that may be off.
STEPS_SHARE = 0.001

# Whatever the memory, five times as much of it is then left out at the beginning.
WARM_UP_SHARE = 0.2


@dataclass(frozen=True)
class Setting:
    """All that a point is made from. Times in seconds."""

    utilisation: float = 0.7  # of each design's own processes
    workers: int = 8
    service: float = 1.0  # mean
    variance: float = 1.0  # of the service times, over their squared mean
    poll: float = daemon.EVERY_SECONDS
    lease: float = LEASE_SECONDS
    costs: Costs = field(default_factory=Costs)


@dataclass(frozen=True)
class Parameter:
    """What may be swept."""

    label: str  # on the axis, with its unit
    values: tuple[float, ...]  # when nobody says otherwise
    designs: tuple[str, ...]  # that it matters to, and one to compare
    set: Callable[[Setting, float], Setting]
    is_logarithmic: bool = False
    measured: str = "waiting time"  # or "recovery time"


PARAMETERS: dict[str, Parameter] = {
    "utilisation": Parameter(
        "utilisation of the design's own processes",
        (0.1, 0.3, 0.5, 0.7, 0.8, 0.9),
        ("naive", "claiming", "minique"),
        lambda setting, value: replace(setting, utilisation=value),
    ),
    # As many workers as one likes for the same work.
    "workers": Parameter(
        "workers",
        (6, 7, 8, 10, 12, 16),
        ("claiming", "minique"),
        lambda setting, value: replace(
            setting, workers=int(value), utilisation=setting.utilisation * setting.workers / max(1, int(value))
        ),
    ),
    "poll": Parameter(
        "poll interval (s)",
        (1, 2, 5, 10, 20, 60),
        ("naive", "claiming", "minique"),
        lambda setting, value: replace(setting, poll=value),
        is_logarithmic=True,
    ),
    "fork_cost": Parameter(
        "cost of handing a job to a child (s)",
        (0.001, 0.003, 0.01, 0.03, 0.1, 0.2),
        ("minique",),
        lambda setting, value: replace(setting, costs=replace(setting.costs, hand_over=value)),
        is_logarithmic=True,
    ),
    "variance": Parameter(
        "variance of service times / mean²",
        (0, 0.5, 1, 2, 4, 8),
        ("naive", "minique"),
        lambda setting, value: replace(setting, variance=value),
    ),
    "lease": Parameter(
        "lease (s)",
        (2, 5, 10, 20, 40),
        ("minique",),
        lambda setting, value: replace(setting, lease=value),
        measured="recovery time",
    ),
}


@dataclass(frozen=True)
class Line:
    """What theory says of one design at one setting, and what it is worth: exact, approximate, or the time by which a
    dead worker's job is back in its queue (its work comes on top of that).
    """

    seconds: float
    trust: str


@dataclass(frozen=True)
class Point:
    """One design at one value."""

    value: float
    simulated: Estimate
    theory: Line | None
    jobs: int  # in each run
    cross: "Cross | None" = None  # the same in reality, where it was played


@dataclass(frozen=True)
class Series:
    """One design over all values, and its theory on a finer grid."""

    design: str
    rung: int | None
    points: tuple[Point, ...]
    line: tuple[tuple[float, Line], ...]


@dataclass(frozen=True)
class Sweep:
    """The whole result."""

    over: str
    parameter: Parameter
    setting: Setting
    seed: int
    replications: int
    series: tuple[Series, ...]

    def rows(self) -> list[list[str]]:
        """One row for each point, for CSV; see `HEADER`."""
        found = []
        for series in self.series:
            for point in series.points:
                *numbers, why = in_columns(point.simulated)
                real = point.cross
                seen = [] if real is None else [real.measured, real.simulated]
                crosses = [f"{one.value:.9g}" if isinstance(one, Interval) else "" for one in seen] or ["", ""]
                line = ["", ""] if point.theory is None else [f"{point.theory.seconds:.9g}", point.theory.trust]
                found.append(
                    [self.over, f"{point.value:.9g}", series.design, str(point.jobs), *numbers, *line, *crosses, why]
                )
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        setting = {name: getattr(self.setting, name) for name in ("utilisation", "workers", "service", "variance")}
        return {
            "version": 2,
            "over": self.over,
            "measured": self.parameter.measured,
            "seed": self.seed,
            "replications": self.replications,
            "setting": {**setting, "poll": self.setting.poll, "lease": self.setting.lease},
            "costs_are": self.setting.costs.origin,
            "designs": [
                {
                    "design": series.design,
                    "points": [
                        {
                            "value": point.value,
                            "jobs": point.jobs,
                            "simulated": point.simulated.to_dict(),
                            "theory": point.theory
                            and {"seconds": finite(point.theory.seconds), "trust": point.theory.trust},
                            "live": point.cross and point.cross.to_dict(),
                        }
                        for point in series.points
                    ],
                }
                for series in self.series
            ],
        }


HEADER = ["over", "value", "design", "jobs", "seconds", "low", "high", "theory", "theory_is", "live",
          "live_simulated", "why_none"]  # fmt: skip


def finite(value: float) -> float | None:
    """The number, or None for infinity, which JSON has not."""
    return value if value != theory.UNSTABLE else None


def sweep(
    over: str,
    values: Sequence[float],
    designs: Sequence[str],
    setting: Setting,
    seed: int,
    replications: int,
    progress: Callable[[int], object] | None = None,
) -> Sweep:
    """Every design at every value, in so many runs.

    `progress` is called with the number of runs done. Raises ValueError for a setting that cannot be.
    """
    parameter = PARAMETERS[over]
    for value in values:
        if over == "workers" and value != int(value):
            raise ValueError(f"--over workers: {value:g} is not a whole number")
        check(over, parameter.set(setting, value))
    done = 0
    series = []
    for name in designs:
        kind = ladder.find(name)
        points = []
        for value in values:
            at = parameter.set(setting, value)
            jobs = length(name, at)
            runs = []
            for own_seed in replication_seeds(seed, f"{over} {value:g}", replications):
                runs.append(play(kind, at, jobs, own_seed, with_kill=parameter.measured == "recovery time"))
                done += 1
                if progress is not None:
                    progress(done)
            line = theory_of(name, at, parameter.measured)
            points.append(Point(value, found(runs, parameter.measured), line, jobs))
        series.append(Series(kind.name, kind.rung, tuple(points), fine_line(name, parameter, setting, values)))
    return Sweep(over, parameter, setting, seed, replications, tuple(series))


def replication_seeds(seed: int, point: str, count: int) -> list[int]:
    """A seed for each run of a point, the same for every design."""
    return [int(number) for number in stream(seed, point).integers(2**53, size=count)]


def check(over: str, setting: Setting) -> None:
    """Raises ValueError for a setting that cannot be."""
    if setting.workers < 1:
        raise ValueError(f"--over {over}: {setting.workers} workers cannot do anything; there must be one at least")
    if setting.utilisation <= 0:
        raise ValueError(f"--over {over}: a utilisation of {setting.utilisation:g} sends no jobs; give more than 0")
    if setting.lease < 2:
        raise ValueError(f"--over {over}: a lease of {setting.lease:g} s is too short to work under; give 2 or more")
    if setting.poll <= 0:
        raise ValueError(f"--over {over}: a poll interval of {setting.poll:g} s is none; give more than 0")
    if min(setting.variance, setting.costs.hand_over) < 0:
        raise ValueError(f"--over {over}: there is nothing below 0")


def processes(design: str, setting: Setting) -> int:
    """How many the design runs: the naive loop is one by nature."""
    return 1 if design == "naive" else setting.workers


def arrival_rate(design: str, setting: Setting) -> float:
    """Jobs per second that keep the design's own processes busy for the stated share."""
    return setting.utilisation * processes(design, setting) / setting.service


def length(design: str, setting: Setting) -> int:
    """Jobs in a run: so many that it may speak for the long run, within reason."""
    idle = 1 - setting.utilisation
    if idle <= 0:
        return LEAST_JOBS  # it has no steady state, and as many are enough to say so
    memory = 2 * setting.utilisation * (1 + setting.variance) / idle**2
    if design in ("naive", "claiming"):
        memory += arrival_rate(design, setting) * setting.poll / idle
    return min(MOST_JOBS, max(LEAST_JOBS, ceil(ROOM * MEMORIES * memory)))


def load(design: str, setting: Setting, jobs: int, seed: int) -> Load:
    """Poisson arrivals, and service times fixed, exponential or lognormal as their variance says."""
    kind = {0.0: "fixed", 1.0: "exponential"}.get(float(setting.variance), "lognormal")
    service = service_times(kind, setting.service, jobs, stream(seed, "service"), variation=setting.variance)
    arrived = poisson_arrivals(arrival_rate(design, setting), jobs, stream(seed, "arrivals"))
    return Load("poisson", f"Poisson arrivals, {kind} service times", arrived, service)


def play(kind: type[ladder.Design], setting: Setting, jobs: int, seed: int, with_kill: bool) -> Run:
    """One design at one setting, once."""
    own = load(kind.name, setting, jobs, seed)
    plan = faults.one_kill_halfway(own) if with_kill else faults.NOTHING
    world, processes = experiments.play(
        kind, own, setting.workers, setting.costs, seed, plan, None, **settings_of(kind, setting)
    )
    measured = measure(world, processes)
    arrived, starts, ends = (world.ledger.column(column) for column in ("arrived", "first_start", "ended"))
    return Run(own, starts - arrived, ends - arrived, measured, measured)


def settings_of(kind: type[ladder.Design], setting: Setting) -> dict[str, Any]:
    """What the design is told of poll interval and lease: one from a file, whatever it asks for by name."""
    known = {"poll": setting.poll, "every": setting.poll, "lease": setting.lease}
    ours = {"naive": ["every"], "claiming": ["every"], "minique": ["lease"]}
    wanted = ours.get(kind.name, []) if kind.source is None else list(signature(kind).parameters)
    return {name: known[name] for name in wanted if name in known}


def found(runs: Sequence[Run], measured: str) -> Estimate:
    """What the runs of one point come to."""
    if measured == "recovery time":
        return of_all(mean_interval, [run.killed.recovery_time for run in runs])
    estimate, _ = in_the_long_run(runs, cut=int(WARM_UP_SHARE * runs[0].load.jobs))
    return estimate


def theory_of(design: str, setting: Setting, measured: str) -> Line | None:
    """What theory says with the costs of each step added; None where there is no closed form."""
    rate, costs = arrival_rate(design, setting), setting.costs
    if measured == "recovery time":
        # Its lease runs out, and somebody looks: never later than that.
        return Line(setting.lease + REST_SECONDS, "back by") if design == "minique" else None
    if design == "naive":
        service, variation = lengthened(setting, costs.commit)
        return Line(costs.commit + theory.naive_wait(rate, service, variation, setting.poll), "exact")
    if design == "claiming" and setting.workers == 1:
        service, variation = lengthened(setting, 2 * costs.commit)
        return Line(2 * costs.commit + theory.polled_wait(rate, service, variation, setting.poll), "exact")
    if design != "minique":
        return None
    # Enqueued and claimed by the bell, woken, handed over; before the next one: heard, told and claimed, handed over.
    service, variation = lengthened(setting, costs.end_of_child + costs.round_trip + costs.hand_over)
    least = costs.round_trip + costs.wake_up + costs.hand_over
    wait = theory.allen_cunneen(rate, service, setting.workers, 1.0, variation)
    # The fixed cost makes an exponential time a little less variable; by so little it is no matter.
    is_exact = setting.workers == 1 or abs(variation - 1) < 0.01
    return Line(least + wait, "exact" if is_exact else "approximate")


def lengthened(setting: Setting, cost: float) -> tuple[float, float]:
    """Mean and squared variation of the time for which a job keeps a process, its fixed cost included."""
    whole = setting.service + cost
    return whole, setting.variance * (setting.service / whole) ** 2


def fine_line(
    design: str, parameter: Parameter, setting: Setting, values: Sequence[float]
) -> tuple[tuple[float, Line], ...]:
    """Theory between the values, where it is finite."""
    space = np.geomspace if parameter.is_logarithmic and min(values) > 0 else np.linspace
    grid = sorted(values) if parameter.label == "workers" else space(min(values), max(values), 200).tolist()
    drawn = [(float(value), theory_of(design, parameter.set(setting, value), parameter.measured)) for value in grid]
    return tuple((value, line) for value, line in drawn if line is not None and line.seconds != theory.UNSTABLE)


def is_inside(point: Point) -> bool | None:
    """Whether the interval holds the theory; None where one of the two is missing or theory is not exact."""
    if point.theory is None or point.theory.trust != "exact" or not isinstance(point.simulated, Interval):
        return None
    off = abs(point.simulated.value - point.theory.seconds)
    return off <= max(point.simulated.half, STEPS_SHARE * point.theory.seconds)
