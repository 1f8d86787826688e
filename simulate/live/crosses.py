"""Real runs beside a sweep: the same kind of load against real processes, point by point, as crosses in its figure.

Times are short here, or nobody would wait for it, and so what each step costs weighs more than in a sweep of long jobs:
theory and simulation are given the same short times and the costs of this machine. A real run is also short. What it
says of the long run is little where the queue is long, so the very jobs that were played are simulated as well: that is
the comparison that chance does not touch.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simulate.benches.server import bench
from simulate.costs import Costs
from simulate.intervals import Estimate, Numbers, mean_interval, paired_difference
from simulate.live import runs as live
from simulate.sweep import PARAMETERS, WARM_UP_SHARE, Setting, Sweep, arrival_rate, load, replication_seeds
from simulate.workload import Load

# What a sweep is made from when it is also played: short jobs, short naps, few workers.
USUAL = Setting(workers=4, service=0.05, poll=0.5)

VALUES = {
    "workers": (3.0, 4.0, 5.0, 6.0, 8.0),
    "poll": (0.1, 0.2, 0.5, 1.0, 2.0),
    "fork_cost": (0.002, 0.004, 0.008, 0.012),
}
"""Of parameters whose usual values would be too long."""

SWEPT = ("utilisation", "workers", "poll", "variance", "fork_cost")
"""What can be changed in reality as well. A hand-over is made longer by a sleep in the child, before the work."""

LEAST_JOBS = 20


@dataclass(frozen=True)
class Cross:
    """One design at one value, in reality. The mean waiting time, the first fifth of each run left out."""

    measured: Estimate
    simulated: Estimate  # of the same jobs
    difference: Estimate  # simulated less measured, run by run
    runs: int
    jobs: int  # in each

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "runs": self.runs,
            "jobs": self.jobs,
            "measured": self.measured.to_dict(),
            "same_jobs_simulated": self.simulated.to_dict(),
            "simulated_less_measured": self.difference.to_dict(),
        }


def check(over: str, designs: Sequence[str]) -> None:
    """Raises ValueError for what cannot be played."""
    if over not in SWEPT:
        hint = "; `bench recovery` kills real workers" if over == "lease" else ""
        raise ValueError(f"--live: {over.replace('_', ' ')} is not swept in reality; {', '.join(SWEPT)} are{hint}")
    if over == "fork_cost" and set(designs) != {"minique"}:
        raise ValueError("--live: only minique hands its jobs to children; leave the other designs out")
    if not set(designs) & set(live.DESIGNS):
        raise ValueError(f"--live: none of these designs can be played; {', '.join(live.DESIGNS)} can")


def check_values(over: str, values: Sequence[float], costs: Costs) -> None:
    """Raises ValueError for a cost that is lower than this machine's own."""
    if over == "fork_cost" and min(values) < costs.hand_over:
        raise ValueError(
            f"--live: to hand a job over takes {costs.hand_over:.2g} s here and cannot be made to take "
            f"{min(values):g}; give --values above it"
        )


def work(
    over: str, values: Sequence[float], designs: Sequence[str], setting: Setting, runs: int, seconds: float
) -> int:
    """How many jobs that will be, for a progress bar."""
    each = (PARAMETERS[over].set(setting, value) for value in values)
    return runs * sum(jobs_of(name, at, seconds) for at in each for name in designs if name in live.DESIGNS)


def jobs_of(design: str, setting: Setting, seconds: float) -> int:
    """Jobs in a run of so many seconds."""
    return max(LEAST_JOBS, round(arrival_rate(design, setting) * seconds))


def crossed(
    found: Sweep,
    overshoot: float,
    runs: int,
    seconds: float,
    advance: Callable[[float], object] = lambda jobs: None,
) -> Sweep:
    """The sweep with a cross at every point of the designs that can be played. Raises BenchError.

    `overshoot` is how much longer a sleep lasts here than asked; jobs are told to sleep so much less.
    """
    done = 0
    series = []
    with bench() as here:
        for one in found.series:
            if one.design not in live.DESIGNS:
                series.append(one)
                continue
            points = []
            for place, point in enumerate(one.points):
                at = found.parameter.set(found.setting, point.value)
                jobs = jobs_of(one.design, at, seconds)
                chosen = [
                    real_load(one.design, at, jobs, seed, overshoot)
                    for seed in replication_seeds(found.seed, f"live {found.over} {point.value:g}", runs)
                ]
                waits = []
                longer = at.costs.hand_over - found.setting.costs.hand_over
                real = live.Setting(
                    workers=at.workers, every=at.poll, hand_over_longer=max(0.0, longer - overshoot) if longer else 0.0
                )
                with player(here.url, f"sweep-{one.design}-{place}", one.design, real, overshoot, found.seed) as play:
                    for own in chosen:

                        def tell(jobs: float, before: int = done) -> None:
                            advance(before + jobs)

                        waits.append(play(own, tell))
                        done += own.jobs
                said = [
                    live.predict(one.design, own, at.workers, at.costs, overshoot, at.poll, found.seed)
                    for own in chosen
                ]
                points.append(replace(point, cross=cross(waits, said)))
            series.append(replace(one, points=tuple(points)))
    return replace(found, series=tuple(series))


def cross(waits: Sequence[Numbers], said: Sequence[Numbers]) -> Cross:
    """What the runs come to, in reality and simulated."""
    measured, simulated = (
        [float(run[int(WARM_UP_SHARE * len(run)) :].mean()) for run in each] for each in (waits, said)
    )
    return Cross(
        mean_interval(measured),
        mean_interval(simulated),
        paired_difference(simulated, measured),
        len(waits),
        len(waits[0]),
    )


def real_load(design: str, setting: Setting, jobs: int, seed: int, overshoot: float) -> Load:
    """As the simulated points have it, a little later, and with sleeps that come out right."""
    own = load(design, setting, jobs, seed)
    return replace(own, arrived=own.arrived + live.LEAD_SECONDS, service=np.maximum(0.0, own.service - overshoot))


Play = Callable[[Load, live.Advance], Numbers]
"""Plays a load and returns how long each job waited."""


@contextlib.contextmanager
def player(
    url: str, namespace: str, design: str, setting: live.Setting, overshoot: float, seed: int
) -> Iterator[Play]:  # fmt: skip
    """Real processes of the design; workers of minique stay for all loads, the daemon is started for each."""
    phase = live.phase_of(setting.every, overshoot, seed)
    with live.stage(url, namespace, design, setting, phase) as play:
        yield lambda load, tell: play(load, tell).waiting
