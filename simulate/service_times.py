"""How long jobs take: the usual distributions, each with its moments, so that theory can be told what was drawn.

Two loads with the same mean may differ by everything that matters: one job in a hundred that takes a hundred times as
long makes all those behind it wait. The squared variation (variance over squared mean) is what the formulas ask for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, log, log1p, sqrt

import numpy as np
from numpy.typing import NDArray

from simulate.words import told

Times = NDArray[np.float64]

KINDS = ("fixed", "exponential", "lognormal", "pareto", "hyperexponential", "sample")


@dataclass(frozen=True)
class ServiceTimes:
    """A distribution of service times. Raises ValueError for one that cannot be.

    `variation` is the squared variation of lognormal and hyperexponential ones (many short and few long jobs, either
    kind half of the work). Pareto has a tail index, and a longest job of so many means: without such a cap the mean of
    any sample is the luck of its longest job. "sample" draws from given times, again and again.
    """

    kind: str = "exponential"
    mean: float = 1.0  # seconds
    variation: float = 4.0
    tail: float = 1.5
    cap: float = 1000.0
    sample: Sequence[float] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of service time {self.kind!r}; known: {', '.join(KINDS)}")
        if not (self.mean > 0 and self.mean < inf):
            raise ValueError(f"a mean of {self.mean:g} s of work: the mean must be above 0")
        if self.variation < (1 if self.kind == "hyperexponential" else 0):
            raise ValueError(f"{self.kind} times have no squared variation of {self.variation:g}")
        if self.kind == "pareto" and not (self.tail > 1 and self.cap > 1):
            raise ValueError(
                f"{told(tail=self.tail, cap=self.cap)}: a tail must be above 1, or there is no mean, "
                "and the cap above 1 mean"
            )
        if self.kind == "sample" and not (len(self.sample) and min(self.sample) >= 0 and sum(self.sample) > 0):
            raise ValueError("a sample of service times must have some, none of them negative, not all of them zero")

    @classmethod
    def like(cls, times: Times, mean: float | None = None) -> "ServiceTimes":
        """Those of a trace, scaled to another mean where one is given."""
        return cls("sample", mean or float(times.mean()), sample=tuple(times.tolist()))

    @property
    def squared_variation(self) -> float:
        """Variance over squared mean."""
        if self.kind == "fixed":
            return 0.0
        if self.kind == "exponential":
            return 1.0
        if self.kind == "pareto":
            return self._capped_moment(2) / self._capped_moment(1) ** 2 - 1
        if self.kind == "sample":
            found = np.asarray(self.sample)
            return float(found.var() / found.mean() ** 2)
        return self.variation

    def words(self) -> str:
        """The distribution in a few words."""
        mean = f"mean {self.mean:g} s"
        if self.kind == "pareto":
            return f"Pareto, {mean}, tail index {self.tail:g}, no longer than {self.cap:g} means"
        if self.kind in ("lognormal", "hyperexponential"):
            return f"{self.kind}, {mean}, squared variation {self.variation:g}"
        return (
            f"drawn from {len(self.sample):,} known ones, {mean}" if self.kind == "sample" else f"{self.kind}, {mean}"
        )

    def draw(self, jobs: int, generator: np.random.Generator) -> Times:
        """So many of them, in seconds."""
        mean = self.mean
        if self.kind == "fixed":
            return np.full(jobs, mean)
        if self.kind == "exponential":
            return generator.exponential(mean, jobs)
        if self.kind == "lognormal":
            spread = log1p(self.variation)
            return generator.lognormal(log(mean) - spread / 2, sqrt(spread), jobs)
        if self.kind == "hyperexponential":
            often = (1 + sqrt((self.variation - 1) / (self.variation + 1))) / 2
            is_short = generator.random(jobs) < often
            rates = np.where(is_short, 2 * often, 2 * (1 - often))
            return np.asarray(generator.standard_exponential(jobs) * mean / rates)
        if self.kind == "pareto":
            # The shortest is one here; the share of the distribution below the cap is drawn from, nothing is cut.
            below = 1 - self._longest**-self.tail
            drawn = (1 - below * generator.random(jobs)) ** (-1 / self.tail)
            return np.asarray(drawn * mean / self._capped_moment(1))
        found = np.asarray(self.sample, dtype=np.float64)
        return np.asarray(generator.choice(found, jobs) * (mean / found.mean()))

    def _capped_moment(self, power: int) -> float:
        """E[X^power] of a Pareto variable that begins at one and is known to be no longer than the cap."""
        return _pareto_moment(self.tail, self._longest, power)

    @property
    def _longest(self) -> float:
        """The cap in shortest jobs: so many means, where the mean itself depends on it."""
        low, high = 1.0, self.cap
        while _pareto_moment(self.tail, high, 1) * self.cap > high:
            high *= 2
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if _pareto_moment(self.tail, middle, 1) * self.cap > middle else (low, middle)
        return high


def _pareto_moment(tail: float, longest: float, power: int) -> float:
    """Source: Crovella et al., Task assignment in a distributed system (1998), the bounded Pareto distribution."""
    within: float = 1 - longest**-tail
    if power == tail:
        return tail * log(longest) / within
    return float(tail / (power - tail) * (longest ** (power - tail) - 1) / within)
