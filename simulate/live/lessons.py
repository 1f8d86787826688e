"""What a run teaches of the steps beside the work, and what the simulator says of another load with that.

A step does not always take its mean: most wake-ups are quick, and now and then one waits for a processor. Where workers
are often idle there is hardly another wait, and where they are busy it is the variance that makes the queue. So the
steps of the simulated workers are drawn from those that were seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, cast

import numpy as np

from minique.reaper import REST_SECONDS
from simulate import designs as ladder
from simulate.actors import World
from simulate.costs import Costs
from simulate.intervals import Numbers
from simulate.live.runs import MEASURES, Played, predict, summary
from simulate.workload import Load, stream

AFTER_SECONDS = 0.02
"""After a job that took so long its worker has forked, and claims one job alone: what is seen then are the steps."""
ENOUGH = 30
"""With fewer steps of a kind, those that other runs have taught are taken as well."""
DRAWS = 20
"""How often a load is simulated, each time with other draws; what is said is the mean of all."""
NONE = np.empty(0)


@dataclass(frozen=True, eq=False)
class Lesson:
    """Seconds, each as often as it was seen."""

    between: Numbers
    """From the end of one job to the beginning of the next, which was there already."""
    alone: Numbers
    """From coming to beginning of jobs that found an idle worker."""
    longer: Numbers
    """How much longer than asked jobs took."""
    late: Numbers
    """How late the producer was."""

    @classmethod
    def of(cls, load: Load, run: Played) -> Lesson:
        """What one run teaches."""
        between, alone = run.steps(AFTER_SECONDS)
        return cls(between, alone, np.maximum(0.0, run.ended - run.began - load.service), run.late)

    @classmethod
    def of_all(cls, lessons: Sequence[Lesson]) -> Lesson:
        """What several runs teach together."""
        return cls(*(np.concatenate([vars(one)[name] for one in lessons]) for name in cls.__annotations__))

    def completed(self, others: Sequence[Lesson]) -> Lesson:
        """With the steps of other runs, where this one shows too few."""
        every = Lesson.of_all([self, *others])
        return replace(
            self,
            between=self.between if len(self.between) >= ENOUGH else every.between,
            alone=self.alone if len(self.alone) >= ENOUGH else every.alone,
        )

    def means(self) -> dict[str, float]:
        """For JSON, in seconds; what was never seen is left out."""
        return {name: float(values.mean()) for name, values in vars(self).items() if len(values)}


class Varied:
    """Costs of which some are drawn from what was seen, each time that they are asked for.

    What a woken worker takes is drawn as a whole, as its `wake_up`: to the job that follows, its step is the usual one.
    """

    def __init__(self, costs: Costs, rng: np.random.Generator, **seen: Numbers) -> None:
        self._costs = costs
        self._drawn = {name: _draws(values, rng) for name, values in seen.items() if len(values)}
        self._woken = 0

    def __getattr__(self, name: str) -> Any:
        if name == "wake_up":
            self._woken += 1
        elif name == "in_line" and self._woken:
            self._woken -= 1
            return self._costs.in_line
        return next(self._drawn[name]) if name in self._drawn else getattr(self._costs, name)


def _draws(values: Numbers, rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.choice(values, 1000).tolist()


def varied(name: str, lesson: Lesson, costs: Costs, rng: np.random.Generator) -> Varied:
    """The steps of a design, taken apart so that what is added up again is what was seen: only the sums matter."""
    step = "in_line" if name == "inline" else "hand_over"
    between, alone = lesson.between, lesson.alone
    least, least_alone = (float(values.min()) if len(values) else np.inf for values in (between, alone))
    trip = min(costs.round_trip, least / 3, least_alone / 4)
    each = min(getattr(costs, step), least - trip, least_alone - 2 * trip)
    parts, wake_up = replace(costs, round_trip=trip, **{step: each}), alone - 2 * trip - each
    if name == "inline":
        return Varied(parts, rng, wake_up=wake_up, in_line=between - trip)
    return Varied(parts, rng, wake_up=wake_up, end_of_child=between - trip - each)


def simulated(name: str, load: Load, workers: int, lesson: Lesson, costs: Costs, seed: int, draw: int = 0) -> Numbers:
    """The waiting time of each job in workers of minique, with one draw of everything that varies."""
    rng = stream(seed, f"draw {draw}")
    # Real workers are all there before the first job comes; simulated ones come one by one at the beginning.
    later = 2 * REST_SECONDS
    came = np.maximum.accumulate(load.arrived + rng.choice(lesson.late, load.jobs))
    own = replace(load, arrived=came + later, service=load.service + rng.choice(lesson.longer, load.jobs))
    prices = cast(Costs, varied(name, lesson, costs, rng))
    world = World(own, workers=workers, costs=prices, seed=seed)
    design = ladder.find(name)(world)
    try:
        world.run(design)
    finally:
        design.close()
    return world.ledger.column("first_start") - later - load.arrived


def foretold(
    name: str, load: Load, workers: int, lesson: Lesson, costs: Costs, every: float, seed: int
) -> dict[str, float]:
    """What the simulator says of a load with what others have taught: mean and percentiles of waiting, in seconds."""
    if name == "naive":  # it waits for seconds, and how a step varies is no matter
        between = lesson.between[lesson.between < every / 2]  # no nap in between
        known = replace(costs, commit=float(between.mean())) if len(between) else costs
        return summary(predict(name, load, workers, known, float(lesson.longer.mean()), every, seed))
    said = [summary(simulated(name, load, workers, lesson, costs, seed, draw)) for draw in range(DRAWS)]
    return {measure: fmean(one[measure] for one in said) for measure in MEASURES}
