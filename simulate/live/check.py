"""Is the simulator right on this machine? `python -m simulate live --check`.

As `live`, with one difference: before and after each run a *pilot* is played by the same workers, another load at the
same utilisation, a quarter as long, and what the two teach of the steps is what the simulator is given. What is
predicted for a run knows its load and pilots, nothing of the run itself. So a machine whose costs change by the minute
is met as it is, and costs that come from having several workers on few processors are in the price.

What is judged is the median, over the turns, of predicted over measured. A run has so many jobs that each percentile
has enough beyond it; where it was told to be shorter, that is said instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from simulate.benches.server import bench
from simulate.costs import Costs
from simulate.intervals import jobs_needed
from simulate.live.lessons import Foretold, Lesson, foretold
from simulate.live.runs import (
    MEASURES,
    PAID,
    PERCENTILES,
    Advance,
    Played,
    Setting,
    generated,
    overhead,
    phase_of,
    stage,
    summary,
)
from simulate.workload import Load

UTILISATIONS = (0.3, 0.5, 0.7, 0.9)
SERVICE_SECONDS = 0.02
"""Mean work in a job, so that there are enough jobs in a minute. The naive daemon is one process: its jobs are shorter
by the number of workers, so that it has as many."""
PILOT_SHARE = 1 / 4
"""Of the jobs of a run, in each pilot."""
PREDICTED_SHARE = 0.1
"""Of the time that a run takes, about, for all that is simulated of it."""
PILOT_SEED = 7919
SCOUTED_UTILISATION = 0.7
PARTS = ("before", "after")
AIMS = {"mean": 0.05, "p50": 0.10, "p90": 0.10, "p99": 0.10}
"""How far the median of the runs may be off, as a share of what was measured."""
PERCENTS = dict(zip(MEASURES[1:], PERCENTILES, strict=True))
JOBS = max(jobs_needed(percent) for percent in PERCENTS.values())
"""In each run, unless told otherwise: enough for each percentile."""


@dataclass(frozen=True)
class Cell:
    """One measure of one design under one load: what was predicted and what was measured, turn by turn."""

    design: str
    utilisation: float
    """As it was asked for."""
    effective: float
    """The share of their time that the processes had something to do, as the pilots saw it: the median of the turns."""
    jobs: int
    measure: str
    predicted: tuple[Foretold, ...]
    measured: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Predicted over measured."""
        pairs = zip(self.predicted, self.measured, strict=True)
        return tuple(said.value / real if real else float("inf") for said, real in pairs)

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def said(self) -> Foretold:
        """What was predicted, and in which range: the medians of the turns."""
        return Foretold(*(median(numbers) for numbers in zip(*self.predicted, strict=True)))

    @property
    def spread(self) -> float:
        """How far equal runs lay apart, the highest from the lowest, as a share of their median."""
        middle = median(self.measured)
        return (max(self.measured) - min(self.measured)) / middle if middle else float("inf")

    @property
    def too_few(self) -> str:
        """Why there is nothing to judge, empty when there is: a percentile of few jobs is the luck of single ones."""
        needed = jobs_needed(PERCENTS[self.measure]) if self.measure in PERCENTS else 1
        return f"{needed:,} needed" if self.jobs < needed else ""

    @property
    def is_within(self) -> bool:
        return not self.too_few and abs(self.ratio - 1) <= AIMS[self.measure]

    @property
    def verdict(self) -> str:
        return "too few jobs" if self.too_few else "pass" if self.is_within else "MISS"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **vars(self),
            "predicted": [said.value for said in self.predicted],
            "predicted_ranges": [(said.low, said.high) for said in self.predicted],
            "ratios": self.ratios,
            "ratio": self.ratio,
            "aim": AIMS[self.measure],
            "within": self.is_within,
            "verdict": self.verdict,
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
            "version": 2,
            "workers": self.setting.workers,
            "work": self.setting.way,
            "seed": self.setting.seed,
            "repeat": self.setting.repeat,
            "naive_daemon_sleeps_seconds": self.setting.every,
            "machine": self.machine,
            "pilots_seconds": self.pilots,
            "cells": [cell.to_dict() for cell in self.cells],
        }


@dataclass(frozen=True)
class Planned:
    """One design under one load: what is played in each turn."""

    name: str
    at: float
    load: Load
    pilots: tuple[tuple[Load, ...], ...]
    """Turn by turn, as many as `PARTS`."""

    @property
    def work(self) -> float:
        """All that there is to do, in jobs that are played; for a progress bar."""
        return self.jobs + len(self.pilots) * self.load.jobs * PREDICTED_SHARE

    @property
    def jobs(self) -> int:
        return len(self.pilots) * self.load.jobs + sum(pilot.jobs for pilots in self.pilots for pilot in pilots)


def own_setting(setting: Setting, name: str) -> Setting:
    """The daemon is one process: its jobs are shorter."""
    return replace(setting, service=setting.service / setting.workers) if name == "naive" else setting


def scouted(
    setting: Setting, costs: Costs, overshoot: float, advance: Advance = lambda designs: None
) -> dict[str, tuple[Costs, float]]:
    """What a job costs each design here beside its work, and how much longer than asked it takes, while all its workers
    are at it: calibration watches one at a time. So a load keeps them as busy as was asked, and not busier. Raises
    BenchError.
    """
    found = {}
    with bench() as here:
        for name in setting.designs:
            own = pilot_setting(own_setting(setting, name), -1, PARTS[0])
            load = generated(own, name, SCOUTED_UTILISATION, costs, overshoot)
            phase = phase_of(setting.every, overshoot, setting.seed)
            with stage(here.url, f"scout-{name}", name, setting, phase) as play:
                lesson = Lesson.of(name, load, play(load, lambda jobs: None), setting.every)
            found[name] = with_overhead(name, costs, lesson), float(lesson.longer.took.mean())
            advance(len(found))
    return found


def with_overhead(name: str, costs: Costs, lesson: Lesson) -> Costs:
    """Costs that add up to the steps between jobs that were seen, if any were."""
    if not len(lesson.between):
        return costs
    last = "commit" if name == "naive" else PAID[name][1]
    more: dict[str, Any] = {last: getattr(costs, last) + float(lesson.between.took.mean()) - overhead(name, costs)}
    return replace(costs, **more)


def planned(setting: Setting, known: Mapping[str, tuple[Costs, float]]) -> list[Planned]:
    """All that is played. What is known of each design says which loads keep its processes how busy."""
    found = []
    for name in setting.designs:
        own, (costs, overshoot) = own_setting(setting, name), known[name]
        for at in setting.utilisations:
            load = generated(own, name, at, costs, overshoot)
            pilots = tuple(
                tuple(generated(pilot_setting(own, turn, part), name, at, costs, overshoot) for part in PARTS)
                for turn in range(setting.repeat)
            )
            found.append(Planned(name, at, load, pilots))
    return found


def pilot_setting(setting: Setting, turn: int, part: str) -> Setting:
    """What the pilot before or after a run is made from: another load, and a shorter one."""
    seed = setting.seed + PILOT_SEED + len(PARTS) * turn + PARTS.index(part)
    jobs = round(setting.jobs * PILOT_SHARE)
    return replace(setting, seed=seed, jobs=jobs, seconds=setting.seconds * PILOT_SHARE)


def busy_share(one: Planned, setting: Setting, lesson: Lesson) -> float:
    """Of the time of a design's processes, with the steps that were seen, under the load of its runs."""
    between = float(lesson.between.took.mean()) if len(lesson.between) else 0.0
    each = float(one.load.service.mean()) + float(lesson.longer.took.mean()) + between
    processes = 1 if one.name == "naive" else setting.workers
    return one.load.jobs * each / (one.load.span - float(one.load.arrived[0])) / processes


def check(
    setting: Setting, plan: Sequence[Planned], costs: Costs, overshoot: float, advance: Advance = lambda jobs: None
) -> Checked:
    """Plays everything, turn by turn, and then says what it should have been. Raises BenchError.

    The given costs say what a fork takes, and how a step that was seen is taken apart. `advance` is told how much
    of the `work` is done.
    """
    before = os.getloadavg()
    phase = phase_of(setting.every, overshoot, setting.seed)
    real: list[list[dict[str, float]]] = [[] for _ in plan]
    lessons: list[list[Lesson]] = [[] for _ in plan]
    done = 0.0
    with bench() as here:
        machine = here.about()
        for turn in range(setting.repeat):
            for place, one in enumerate(plan):
                with stage(here.url, f"check-{turn}-{place}", one.name, setting, phase) as there:

                    def played(
                        load: Load, play: Callable[[Load, Advance], Played] = there
                    ) -> Played:  # fmt: skip
                        nonlocal done
                        before = done
                        done += load.jobs
                        return play(load, lambda jobs: advance(before + jobs))

                    first, last = one.pilots[turn]
                    runs = [(load, played(load)) for load in (first, one.load, last)]
                real[place].append(summary(runs[1][1].waiting))
                taught = [Lesson.of(one.name, load, run, setting.every) for load, run in (runs[0], runs[2])]
                lessons[place].append(Lesson.of_all(taught))
    machine["load before"] = [round(one, 2) for one in before]
    machine["load after"] = [round(one, 2) for one in os.getloadavg()]
    cells: list[Cell] = []
    pilots: dict[str, list[dict[str, float]]] = {name: [] for name in setting.designs}
    for one, own, reals in zip(plan, lessons, real, strict=True):
        busy = median(busy_share(one, setting, lesson) for lesson in own)
        said = []
        for turn, lesson in enumerate(own):
            pilots[one.name].append({"turn": turn + 1, "utilisation": one.at, **lesson.means()})
            whole = lesson.completed([other for other in own if other is not lesson])
            said.append(foretold(one.name, one.load, setting.workers, whole, costs, setting.every, setting.seed))
            done += one.load.jobs * PREDICTED_SHARE
            advance(done)
        cells += [
            Cell(
                one.name, one.at, busy, one.load.jobs, measure,
                tuple(says[measure] for says in said), tuple(numbers[measure] for numbers in reals),
            )
            for measure in MEASURES
        ]  # fmt: skip
    return Checked(setting, tuple(cells), {name: tuple(found) for name, found in pilots.items()}, machine)
