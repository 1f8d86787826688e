"""Is the simulator right on this machine? `python -m simulate live --check`.

As `live`, with one difference: costs are learnt again in every turn, from a *pilot* for each design, a short run of
another load at one utilisation. What is predicted for a run knows its load and the pilot that was played a little
before, nothing of the run itself. So a machine whose costs change by the minute is met as it is, and costs that come
from having several workers on few processors are in the price.

What is judged is the median, over the turns, of predicted over measured.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from simulate.benches.server import bench
from simulate.costs import Costs
from simulate.intervals import Numbers
from simulate.live.runs import (
    MEASURES,
    Advance,
    Played,
    Setting,
    effective,
    generated,
    own_costs,
    phase_of,
    play,
    predict,
    summary,
)
from simulate.workload import Load, stream

UTILISATIONS = (0.3, 0.5, 0.7, 0.9)
PILOT_UTILISATION = 0.7
"""Busy enough to see a job follow another, and idle enough to see one wake a worker."""
PILOT_SEED = 7919
SAME_SECONDS = 1e-9
AIMS = {"mean": 0.05, "p50": 0.10, "p90": 0.10, "p99": 0.10}
"""How far the median of the runs may be off, as a share of what was measured."""


@dataclass(frozen=True)
class Cell:
    """One measure of one design under one load: what was predicted and what was measured, turn by turn."""

    design: str
    utilisation: float
    """As it was asked for."""
    effective: float
    jobs: int
    measure: str
    predicted: tuple[float, ...]
    measured: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Predicted over measured."""
        pairs = zip(self.predicted, self.measured, strict=True)
        return tuple(said / real if real else float("inf") for said, real in pairs)

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def is_within(self) -> bool:
        return abs(self.ratio - 1) <= AIMS[self.measure]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **vars(self),
            "ratios": self.ratios,
            "ratio": self.ratio,
            "aim": AIMS[self.measure],
            "within": self.is_within,
        }


@dataclass(frozen=True)
class Checked:
    """Everything, and on which machine."""

    setting: Setting
    cells: tuple[Cell, ...]
    pilots: dict[str, tuple[dict[str, float], ...]]
    """What each turn's pilot of each design taught: prices in seconds, and how much longer than asked jobs took."""
    machine: dict[str, object]

    def noise(self, design: str) -> float:
        """How much the mean wait of equal runs differed: the widest spread of any load, as a share of its median."""
        means = [cell.measured for cell in self.cells if cell.design == design and cell.measure == "mean"]
        return max((max(one) - min(one)) / median(one) for one in means)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "version": 1,
            "workers": self.setting.workers,
            "work": self.setting.way,
            "seed": self.setting.seed,
            "repeat": self.setting.repeat,
            "naive_daemon_sleeps_seconds": self.setting.every,
            "machine": self.machine,
            "widest_spread_of_equal_runs": {name: self.noise(name) for name in self.setting.designs},
            "pilots_seconds": self.pilots,
            "cells": [cell.to_dict() for cell in self.cells],
        }


def work(setting: Setting, costs: Costs, overshoot: float) -> float:
    """How many jobs that will be, for a progress bar."""
    each = [
        generated(setting, name, at, costs, overshoot).jobs for name in setting.designs for at in setting.utilisations
    ]
    pilots = [generated(setting, name, PILOT_UTILISATION, costs, overshoot).jobs for name in setting.designs]
    return setting.repeat * float(sum(each) + sum(pilots))


def check(setting: Setting, costs: Costs, overshoot: float, advance: Advance = lambda jobs: None) -> Checked:
    """Plays everything, turn by turn. The given costs only say which loads keep processes how busy. Raises BenchError.

    `advance` is told how many jobs are done.
    """
    before = os.getloadavg()
    phase = phase_of(setting.every, overshoot, setting.seed)
    loads = [
        (name, at, generated(setting, name, at, costs, overshoot))
        for name in setting.designs
        for at in setting.utilisations
    ]
    said: list[list[dict[str, float]]] = [[] for _ in loads]
    real: list[list[dict[str, float]]] = [[] for _ in loads]
    pilots: dict[str, list[dict[str, float]]] = {name: [] for name in setting.designs}
    done = 0.0
    with bench() as here:
        machine = here.about()
        for turn in range(setting.repeat):
            for name in setting.designs:
                other = replace(setting, seed=setting.seed + PILOT_SEED + turn)
                pilot = generated(other, name, PILOT_UTILISATION, costs, overshoot)
                chosen = [(None, pilot), *((place, one[2]) for place, one in enumerate(loads) if one[0] == name)]
                for place, load in chosen:

                    def tell(jobs: float, before: float = done) -> None:
                        advance(before + jobs)

                    namespace = f"check-{turn}-{name}-{place}"
                    run = play(here.url, namespace, name, load, setting, phase, tell)
                    done += load.jobs
                    if place is None:
                        learnt, longer, alone = lesson(name, load, run, costs, setting)
                        pilots[name].append({**learnt.seconds, "overshoot": longer})
                        continue
                    waiting = predict(name, load, setting.workers, learnt, longer, setting.every, setting.seed)
                    if name != "naive":
                        waiting = scattered(waiting, alone, setting.seed + turn)
                    said[place].append(summary(waiting))
                    real[place].append(summary(run.waiting))
    machine["load before"] = [round(one, 2) for one in before]
    machine["load after"] = [round(one, 2) for one in os.getloadavg()]
    cells = [
        Cell(
            name, at, effective(name, load, setting.workers, costs, overshoot), load.jobs, measure,
            tuple(one[measure] for one in says), tuple(one[measure] for one in reals),
        )
        for (name, at, load), says, reals in zip(loads, said, real, strict=True)
        for measure in MEASURES
    ]  # fmt: skip
    return Checked(setting, tuple(cells), {name: tuple(found) for name, found in pilots.items()}, machine)


def lesson(name: str, load: Load, run: Played, costs: Costs, setting: Setting) -> tuple[Costs, float, Numbers]:
    """What a pilot teaches: the price of each step, how much longer than asked its jobs took, and each of the times
    from coming to beginning of jobs that found an idle worker."""
    longer = float(np.mean(run.ended - run.began - load.service))
    return own_costs(name, run, costs, setting.every), max(0.0, longer), run.steps()[1]


def scattered(waiting: Numbers, alone: Numbers, seed: int) -> Numbers:
    """With wake-ups that differ: the simulator gives all jobs that find an idle worker the same wait, the mean.

    Most of the time they take less, and now and then much more, and where workers are often idle there is hardly
    another wait. What that does to jobs behind them is left out: it is little, since an idle worker has nobody waiting.
    """
    if not len(alone):
        return waiting
    woken = waiting <= waiting.min() + SAME_SECONDS
    draws = stream(seed, "wake-ups").choice(alone, int(woken.sum()))
    found = waiting.copy()
    found[woken] = np.maximum(0.0, found[woken] + draws - alone.mean())
    return found
