"""Is the simulator right on this machine? `python -m simulate live --check`.

As `live`, with one difference: before and after each run a *pilot* is played, another load at the same utilisation,
half as long, and what the two teach of the steps is what the simulator is given. What is predicted for a run knows its
load and pilots, nothing of the run itself. So a machine whose costs change by the minute is met as it is, and costs
that come from having several workers on few processors are in the price.

What is judged is the median, over the turns, of predicted over measured.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from simulate.benches.server import bench
from simulate.costs import Costs
from simulate.live.lessons import Lesson, foretold
from simulate.live.runs import MEASURES, Advance, Played, Setting, effective, generated, phase_of, play, summary
from simulate.workload import Load

UTILISATIONS = (0.3, 0.5, 0.7, 0.9)
PILOT_SEED = 7919
PARTS = ("before", "after")
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
    def spread(self) -> float:
        """How far equal runs lay apart, the highest from the lowest, as a share of their median."""
        middle = median(self.measured)
        return (max(self.measured) - min(self.measured)) / middle if middle else float("inf")

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
            "spread_of_equal_runs": self.spread,
        }


@dataclass(frozen=True)
class Checked:
    """Everything, and on which machine."""

    setting: Setting
    cells: tuple[Cell, ...]
    pilots: dict[str, tuple[dict[str, float], ...]]
    """What the pilots of each run of each design taught: means in seconds, at which utilisation in which turn."""
    machine: dict[str, object]

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
            "pilots_seconds": self.pilots,
            "cells": [cell.to_dict() for cell in self.cells],
        }


def pilot_setting(setting: Setting, turn: int, part: str) -> Setting:
    """What the pilot before or after a run is made from: another load, half as long."""
    seed = setting.seed + PILOT_SEED + len(PARTS) * turn + PARTS.index(part)
    return replace(setting, seed=seed, seconds=setting.seconds / len(PARTS))


def work(setting: Setting, costs: Costs, overshoot: float) -> float:
    """How many jobs that will be, for a progress bar."""
    each = [setting, *(pilot_setting(setting, 0, part) for part in PARTS)]
    loads = [(name, at) for name in setting.designs for at in setting.utilisations]
    jobs = sum(generated(one, name, at, costs, overshoot).jobs for one in each for name, at in loads)
    return float(setting.repeat * jobs)


def check(setting: Setting, costs: Costs, overshoot: float, advance: Advance = lambda jobs: None) -> Checked:
    """Plays everything, turn by turn. The given costs say which loads keep processes how busy, and what a fork takes.
    Raises BenchError.

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
    taught: dict[str, list[dict[str, float]]] = {name: [] for name in setting.designs}
    lessons: dict[str, list[Lesson]] = {name: [] for name in setting.designs}
    done = 0.0
    with bench() as here:
        machine = here.about()
        for turn in range(setting.repeat):
            for place, (name, at, load) in enumerate(loads):

                def played(load: Load, part: str, name: str = name, space: str = f"check-{turn}-{place}") -> Played:
                    nonlocal done
                    before = done
                    done += load.jobs
                    return play(
                        here.url, f"{space}-{part}", name, load, setting, phase, lambda jobs: advance(before + jobs)
                    )

                pilots = [generated(pilot_setting(setting, turn, part), name, at, costs, overshoot) for part in PARTS]
                first = Lesson.of(pilots[0], played(pilots[0], PARTS[0]))
                run = played(load, "run")
                lesson = Lesson.of_all([first, Lesson.of(pilots[1], played(pilots[1], PARTS[1]))])
                taught[name].append({"turn": turn + 1, "utilisation": at, **lesson.means()})
                whole = lesson.completed(lessons[name])
                lessons[name].append(lesson)
                said[place].append(foretold(name, load, setting.workers, whole, costs, setting.every, setting.seed))
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
    return Checked(setting, tuple(cells), {name: tuple(found) for name, found in taught.items()}, machine)
