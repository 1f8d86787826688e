"""What a run teaches of the steps beside the work, and what the simulator says of another load with that.

A step does not always take its mean: most wake-ups are quick, and now and then one waits for a processor. Where workers
are often idle there is hardly another wait, and where they are busy it is the variance that makes the queue. So the
steps of the simulated workers are drawn from those that were seen.

What slows one step down often slows all of them for a moment. So they are not drawn one by one: each stretch of
simulated time is given a stretch of the run that was seen, and its steps of all kinds come from there, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from minique.reaper import REST_SECONDS
from simulate import designs as ladder
from simulate.actors import World
from simulate.costs import Costs
from simulate.designs.naive import Naive
from simulate.intervals import Numbers
from simulate.live.runs import MEASURES, PAID, Played, split, summary
from simulate.workload import Load, stream

AFTER_SECONDS = 0.01
"""After a job that took so long its worker has forked, and claims one job alone: what is seen then are the steps. One
that runs jobs itself has nothing else to do; after long ones its steps are longer, and all belong to it."""
ENOUGH = 30
"""With fewer steps of a kind, those that other runs have taught are taken as well."""
DRAWS = 20
"""How often a load is simulated, each time with other draws; what is said is the median of all."""
STRETCH_SECONDS = 0.25
"""Of simulated time, for which steps come from one place of what was seen: so long a machine is busy elsewhere."""
RANGE_PERCENT = (5, 95)
"""Of the draws, between which a number is said to lie."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Steps of one kind, in the order in which they were seen. All in seconds."""

    at: Numbers
    took: Numbers

    @classmethod
    def of(cls, at: Numbers, took: Numbers) -> Seen:
        order = np.argsort(at, kind="stable")
        return cls(at[order], took[order])

    def __len__(self) -> int:
        return len(self.took)

    def those(self, which: NDArray[np.bool_]) -> Seen:
        return Seen(self.at[which], self.took[which])


@dataclass(frozen=True, eq=False)
class Lesson:
    """What was seen, each step as often as it was."""

    between: Seen
    """From the end of one job to the beginning of the next, which was there already."""
    alone: Seen
    """From coming to beginning of jobs that found an idle worker."""
    longer: Seen
    """How much longer than asked jobs took."""
    late: Seen
    """How late the producer was."""

    @classmethod
    def of(cls, name: str, load: Load, run: Played, every: float = np.inf) -> Lesson:
        """What one run of a design teaches; of the naive daemon, which sleeps `every` so many seconds."""
        found = run.steps(AFTER_SECONDS if name == "minique" else 0.0)
        between, alone = (Seen.of(run.began[jobs], took) for jobs, took in found)
        if name == "inline" and len(between):
            # Of jobs that were claimed together all but the first are begun without a trip, which is another step.
            between = between.those(between.took > np.median(between.took) / 2)
        elif name == "naive":
            between = between.those(between.took < every / 2)  # no nap in between
        longer = np.maximum(0.0, run.ended - run.began - load.service)
        return cls(between, alone, Seen.of(run.began, longer), Seen.of(run.woke, run.late))

    @classmethod
    def of_all(cls, lessons: Sequence[Lesson]) -> Lesson:
        """What several runs teach together, as if each had begun when the one before was over."""
        starts = np.cumsum([0.0, *(one.span for one in lessons)])
        return cls(
            *(
                Seen(
                    np.concatenate([vars(one)[kind].at + start for one, start in zip(lessons, starts, strict=False)]),
                    np.concatenate([vars(one)[kind].took for one in lessons]),
                )
                for kind in KINDS
            )
        )

    @property
    def span(self) -> float:
        """Until its last step."""
        return max((float(vars(self)[kind].at[-1]) for kind in KINDS if len(vars(self)[kind])), default=0.0)

    def completed(self, others: Sequence[Lesson]) -> Lesson:
        """With the steps of other runs, where this one shows too few."""
        every = Lesson.of_all([self, *others])
        return replace(
            self,
            between=self.between if len(self.between) >= ENOUGH else every.between,
            alone=self.alone if len(self.alone) >= ENOUGH else every.alone,
        )

    def to_dict(self) -> dict[str, dict[str, list[float]]]:
        """For JSON, to the microsecond."""
        return {
            kind: {name: [round(one, 6) for one in values.tolist()] for name, values in vars(vars(self)[kind]).items()}
            for kind in KINDS
        }

    @classmethod
    def from_dict(cls, found: dict[str, dict[str, list[float]]]) -> Lesson:
        """As `to_dict` has it. Raises ValueError, KeyError or TypeError for anything else."""
        kinds = {}
        for kind in KINDS:
            at, took = (np.array(found[kind][name], dtype=np.float64) for name in ("at", "took"))
            fits = at.ndim == took.ndim == 1 and len(at) == len(took) and np.isfinite([*at, *took]).all()
            if not (fits and (np.diff(at) >= 0).all() and (took > -1).all()):
                raise ValueError(f"the steps of the kind {kind!r} are not times and as many lengths, in order")
            kinds[kind] = Seen(at, took)
        return cls(**kinds)

    def means(self) -> dict[str, float]:
        """For JSON, in seconds; what was never seen is left out."""
        return {kind: float(vars(self)[kind].took.mean()) for kind in KINDS if len(vars(self)[kind])}


KINDS = tuple(one.name for one in fields(Lesson))


class Moments:
    """Which moment of what was seen each stretch of simulated time is given."""

    def __init__(self, span: float, rng: np.random.Generator) -> None:
        self._span = span
        self._rng = rng
        self._starts: dict[int, float] = {}

    def of(self, stretch: int) -> float:
        if stretch not in self._starts:
            self._starts[stretch] = float(self._rng.random()) * self._span
        return self._starts[stretch]


class Drawn:
    """Steps of one kind, drawn."""

    def __init__(self, seen: Seen, moments: Moments) -> None:
        self._at = seen.at
        self._took: list[float] = seen.took.tolist()
        self._moments = moments
        self._stretch = -1
        self._next = 0

    def __call__(self, now: float) -> float:
        """What the step takes that is asked for at that time."""
        stretch = int(now / STRETCH_SECONDS)
        if stretch != self._stretch:
            self._stretch = stretch
            self._next = int(np.searchsorted(self._at, self._moments.of(stretch)))
        took = self._took[self._next % len(self._took)]
        self._next += 1
        return took


class Varied:
    """Costs of which some are drawn, each time that they are asked for."""

    clock: Callable[[], float]
    """Of the world that asks."""

    def __init__(self, costs: Costs, drawn: dict[str, Drawn]) -> None:
        self._costs = costs
        self._drawn = drawn

    def __getattr__(self, name: str) -> Any:
        return self._drawn[name](self.clock()) if name in self._drawn else getattr(self._costs, name)


def varied(name: str, lesson: Lesson, costs: Costs, moments: Moments) -> Varied:
    """The steps of a design, taken apart so that what is added up again is what was seen: only the sums matter."""
    if name == "naive":
        return Varied(costs, {"commit": Drawn(lesson.between, moments)} if len(lesson.between) else {})
    seen = {kind: steps for kind, steps in (("between", lesson.between), ("alone", lesson.alone)) if len(steps)}
    step, end = PAID[name]
    trip, each = split(name, costs, min((float(steps.took.min()) for steps in seen.values()), default=np.inf))
    known: dict[str, Any] = {"round_trip": trip, step: each}
    places = {"between": end, "alone": "wake_up"}
    rest = {places[kind]: Seen(steps.at, steps.took - trip - each) for kind, steps in seen.items()}
    return Varied(replace(costs, **known), {place: Drawn(steps, moments) for place, steps in rest.items()})


def simulated(
    name: str, load: Load, workers: int, lesson: Lesson, costs: Costs, every: float, seed: int, draw: int = 0
) -> Numbers:
    """The waiting time of each job, with one draw of everything that varies."""
    moments = Moments(lesson.span, stream(seed, f"draw {draw}"))
    late, longer = Drawn(lesson.late, moments), Drawn(lesson.longer, moments)
    came = np.maximum.accumulate([time + late(time) for time in load.arrived.tolist()])
    # Real workers are all there before the first job comes; simulated ones come one by one at the beginning.
    later = 0.0 if name == "naive" else 2 * REST_SECONDS
    took = [seconds + longer(time) for seconds, time in zip(load.service.tolist(), came.tolist(), strict=True)]
    own = replace(load, arrived=came + later, service=np.array(took))
    prices = varied(name, lesson, costs, moments)
    world = World(own, workers=workers, costs=cast(Costs, prices), seed=seed)
    prices.clock = world.hub.clock
    kind = ladder.find(name)
    # It looks when the real one does, whose naps are longer than asked as jobs are.
    design = Naive(world, every=every + float(lesson.longer.took.mean())) if issubclass(kind, Naive) else kind(world)
    try:
        world.run(design)
    finally:
        design.close()
    return world.ledger.column("first_start") - later - load.arrived


class Foretold(NamedTuple):
    """A number, and between which others it lies, drawn again and again."""

    value: float
    low: float
    high: float


def foretold(
    name: str, load: Load, workers: int, lesson: Lesson, costs: Costs, every: float, seed: int
) -> dict[str, Foretold]:
    """What the simulator says of a load with what others have taught: mean and percentiles of waiting, in seconds."""
    said = [summary(simulated(name, load, workers, lesson, costs, every, seed, draw)) for draw in range(DRAWS)]
    low, high = RANGE_PERCENT
    return {
        measure: Foretold(*np.percentile([one[measure] for one in said], (50, low, high)).tolist())
        for measure in MEASURES
    }
