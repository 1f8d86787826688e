"""A load played, and beside it what the simulator says of it: `python -m simulate live`.

The simulator is given the same arrivals and the same work, with costs that were measured on this machine and steps
drawn from those that were seen then. What both say is set side by side, on one load: these are percentiles of what
happened to these jobs, no estimates of the long run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from types import MappingProxyType
from typing import Any

import numpy as np

from simulate.benches.server import bench
from simulate.costs import Costs
from simulate.intervals import Numbers
from simulate.live.lessons import Lesson, simulated
from simulate.live.runs import (
    MEASURES,
    Advance,
    Played,
    Setting,
    effective,
    generated,
    phase_of,
    play,
    predict,
    shifted,
    summary,
)
from simulate.workload import Load

DRAWS = 5
"""How often a load is simulated, each time with other draws of the steps; what is said is of all of them together."""
NO_LESSONS: Mapping[str, Lesson] = MappingProxyType({})


def predicted(
    name: str, load: Load, setting: Setting, costs: Costs, overshoot: float, lesson: Lesson | None
) -> Numbers:
    """How long the jobs wait, by what was learnt before."""
    if lesson is None:
        return predict(name, load, setting.workers, costs, overshoot, setting.every, setting.seed)
    return drawn(name, load, setting.workers, lesson, costs, setting.every, setting.seed)


def drawn(name: str, load: Load, workers: int, lesson: Lesson, costs: Costs, every: float, seed: int) -> Numbers:
    """The waiting times of several simulations together."""
    return np.concatenate([simulated(name, load, workers, lesson, costs, every, seed, draw) for draw in range(DRAWS)])


def afterwards(name: str, load: Load, run: Played, workers: int, costs: Costs, every: float, seed: int) -> Numbers:
    """Simulated again with what could only be known afterwards: when the producer came, how long each job took, and
    the run's own steps. What is left between this and reality is the model's own fault.
    """
    came = np.maximum.accumulate(run.woke)
    real = replace(load, arrived=came, service=run.ended - run.began)
    lesson = Lesson.of(name, real, replace(run, arrived=came), every)
    nap = every + float((real.service - load.service).mean())
    waited = drawn(name, real, workers, lesson, costs, nap, seed)
    return waited + np.tile(came - load.arrived, DRAWS)


@dataclass(frozen=True, eq=False)
class Pair:
    """One design under one load: what was predicted, and what was measured, run by run."""

    design: str
    load: Load
    utilisation: float
    """Effective: work and what belongs to it."""
    predicted: Numbers
    runs: tuple[Played, ...]
    afterwards: tuple[Numbers, ...]
    """Simulated with each run's own steps."""

    def left_over(self, name: str) -> float:
        """As `difference`, of what was simulated with each run's own steps."""
        pairs = zip(self.afterwards, self.measured, strict=True)
        return median(summary(said)[name] / run[name] - 1 for said, run in pairs)

    @property
    def measured(self) -> list[dict[str, float]]:
        return [summary(run.waiting) for run in self.runs]

    def median_of(self, name: str) -> float:
        return median(run[name] for run in self.measured)

    def difference(self, name: str) -> float:
        """How much more was predicted than measured, as a share of what was measured; the median of all runs."""
        said = summary(self.predicted)[name]
        return median(said / run[name] - 1 if run[name] else float("inf") for run in self.measured)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "design": self.design,
            "load": {"name": self.load.name, "words": self.load.words, **self.load.figures()},
            "effective_utilisation": self.utilisation,
            "predicted_waiting_seconds": summary(self.predicted),
            "measured_waiting_seconds": self.measured,
            "predicted_over_measured_minus_one": {name: self.difference(name) for name in MEASURES},
            "with_own_steps_over_measured_minus_one": {name: self.left_over(name) for name in MEASURES},
            "producer_late_seconds": summary(np.concatenate([run.late for run in self.runs])),
        }


@dataclass(frozen=True, eq=False)
class Result:
    """Everything, and on which machine."""

    setting: Setting
    costs: Costs
    overshoot: float
    pairs: tuple[Pair, ...]
    machine: dict[str, object]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "version": 2,
            "workers": self.setting.workers,
            "naive_daemon_sleeps_seconds": self.setting.every,
            "work": self.setting.way,
            "seed": self.setting.seed,
            "repeat": self.setting.repeat,
            "costs_seconds": self.costs.seconds,
            "costs_are": self.costs.origin,
            "sleep_overshoot_seconds": self.overshoot,
            "machine": self.machine,
            "pairs": [pair.to_dict() for pair in self.pairs],
        }


def loads(setting: Setting, costs: Costs, overshoot: float, trace: Load | None = None) -> list[tuple[str, Load]]:
    """Which load is played for which design: the trace for all, or one made for each, alike but for its rate."""
    if trace is not None:
        return [(name, shifted(trace)) for name in setting.designs]
    return [
        (name, generated(setting, name, utilisation, costs, overshoot))
        for utilisation in setting.utilisations
        for name in setting.designs
    ]


def live(
    setting: Setting, chosen: Sequence[tuple[str, Load]], costs: Costs, overshoot: float,
    advance: Advance = lambda jobs: None, lessons: Mapping[str, Lesson] = NO_LESSONS,
) -> Result:  # fmt: skip
    """Plays every load in reality, `repeat` times, all in turn, and in the simulator. Raises BenchError.

    What steps take is drawn from those that calibration saw, the `lessons` of the designs; without one it is the mean.
    `advance` is told how many jobs are done.
    """
    before = os.getloadavg()
    runs: list[list[Played]] = [[] for _ in chosen]
    done = 0.0
    phase = phase_of(setting.every, overshoot, setting.seed)
    with bench() as here:
        machine = here.about()
        for turn in range(setting.repeat):
            for place, (name, load) in enumerate(chosen):

                def tell(jobs: float, before: float = done) -> None:
                    advance(before + jobs)

                runs[place].append(play(here.url, f"live-{turn}-{place}", name, load, setting, phase, tell))
                done += load.jobs
    machine["load before"] = [round(one, 2) for one in before]
    machine["load after"] = [round(one, 2) for one in os.getloadavg()]
    pairs = [
        Pair(
            name,
            load,
            effective(name, load, setting.workers, costs, overshoot),
            predicted(name, load, setting, costs, overshoot, lessons.get(name)),
            tuple(of_it),
            tuple(afterwards(name, load, run, setting.workers, costs, setting.every, setting.seed) for run in of_it),
        )
        for (name, load), of_it in zip(chosen, runs, strict=True)
    ]
    return Result(setting, costs, overshoot, tuple(pairs), machine)
