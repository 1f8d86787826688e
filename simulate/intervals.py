"""How far a number may be trusted: intervals, paired differences, and words where a number would mislead.

An interval at level 0.95 is made by a rule that catches the truth in 95 of 100 experiments. It needs several values
that are independent: means of whole runs with seeds of their own, or of long batches of one run. Single jobs are not
independent, since whoever comes after a slow job waits for it as well; nothing here takes them for such.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import atan, ceil, cos, pi, sin, sqrt, tan
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

LEVEL = 0.95

# A percentile needs this many jobs beyond it. With fewer it is the luck of single jobs, and we do not print it.
JOBS_BEYOND = 10

# Into so many batches a long run is cut. More would be shorter and less independent; with fewer the interval is wider.
BATCHES = 20


@dataclass(frozen=True)
class Interval:
    """A number, and how far to either side of it the truth may lie."""

    value: float
    half: float
    level: float = LEVEL

    @property
    def low(self) -> float:
        """The lower end."""
        return self.value - self.half

    @property
    def high(self) -> float:
        """The upper end."""
        return self.value + self.half

    def holds(self, truth: float) -> bool:
        """Whether this number lies inside, to rounding."""
        return abs(truth - self.value) <= self.half + 1e-9 * abs(truth)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "level": self.level}


@dataclass(frozen=True)
class Refusal:
    """Why there is no number, in words that end a sentence beginning with "no number:"."""

    why: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"value": None, "why": self.why}


Estimate = Interval | Refusal

COLUMNS = ["value", "low", "high", "why_none"]


def in_columns(what: Estimate) -> list[str]:
    """An estimate in a table of texts, under `COLUMNS`."""
    if isinstance(what, Refusal):
        return ["", "", "", what.why]
    return [*(f"{number:.9g}" for number in (what.value, what.low, what.high)), ""]


def within(t: float, freedom: int) -> float:
    """The chance that a Student t variable of so many degrees of freedom lies between -t and t.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4.
    """
    angle = atan(t / sqrt(freedom))
    cosine, total = cos(angle), 0.0
    if freedom % 2:
        term = cosine
        for k in range(3, freedom + 1, 2):
            total += term
            term *= cosine * cosine * (k - 1) / k
        return 2 / pi * (angle + sin(angle) * total)
    term = 1.0
    for k in range(2, freedom + 1, 2):
        total += term
        term *= cosine * cosine * (k - 1) / k
    return sin(angle) * total


@lru_cache(maxsize=256)
def student_t(level: float, freedom: int) -> float:
    """The t for which `within` is this level: half-widths are so many standard errors. Raises ValueError off (0, 1)."""
    if not 0 < level < 1 or freedom < 1:
        raise ValueError(f"no t for a level of {level} and {freedom} degrees of freedom")
    low, high = 0.0, pi / 2
    for _ in range(100):  # halve the angle's interval until no number lies between
        middle = (low + high) / 2
        low, high = (middle, high) if within(sqrt(freedom) * tan(middle), freedom) < level else (low, middle)
    return sqrt(freedom) * tan(low)


def mean_interval(values: Sequence[float] | Numbers, level: float = LEVEL) -> Estimate:
    """The mean of independent values with its interval, by Student's t; the values should be means themselves."""
    count = len(values)
    if count < 2:
        return Refusal("a single run has no interval; give two replications at least, better ten")
    found = np.asarray(values, dtype=np.float64)
    half = student_t(level, count - 1) * float(found.std(ddof=1)) / sqrt(count)
    return Interval(float(found.mean()), half, level)


def batches(series: Numbers, count: int = BATCHES) -> list[Numbers]:
    """One long run cut into so many batches of equal length; what is left over at the beginning is dropped."""
    length = len(series) // count
    return list(series[len(series) - length * count :].reshape(count, length)) if length else []


def batch_mean_interval(series: Numbers, count: int = BATCHES, level: float = LEVEL) -> Estimate:
    """The mean of one long run with its interval, by the means of its batches.

    Refused when neighbouring batches still know of each other (von Neumann's ratio of successive differences, one
    chance in a thousand): the interval would be too narrow.
    """
    found = batches(series, count)
    if not found:
        return Refusal(f"{len(series)} jobs are too few to be cut into {count} batches")
    means = np.array([batch.mean() for batch in found])
    spread = float(np.square(means - means.mean()).sum())
    if spread:
        alike = 1 - float(np.square(np.diff(means)).sum()) / (2 * spread)
        # Of independent batches this is normal, with mean 0 and variance (n - 2) / (n² - 1).
        if alike > 3.09 * sqrt((count - 2) / (count * count - 1)):
            return Refusal("the run is too short: its batches are not independent of each other")
    return mean_interval(means, level)


def jobs_needed(percent: float) -> int:
    """How many jobs a percentile takes, so that ten of them lie beyond it."""
    return ceil(round(JOBS_BEYOND / (1 - percent / 100), 6))


def percentile_interval(runs: Sequence[Numbers], percent: float, level: float = LEVEL) -> Estimate:
    """A percentile over the jobs of all runs together, its interval by the spread of the runs' own percentiles.

    The middle is that of all jobs, since the average of many short runs' percentiles is not the percentile of a long
    one. Refused when a run alone has fewer than ten jobs beyond it.
    """
    shortest = min(map(len, runs), default=0)
    if shortest < jobs_needed(percent):
        return Refusal(
            f"{shortest:,} jobs a run are too few for the {percent:g}th percentile: it takes "
            f"{jobs_needed(percent):,}, so that {JOBS_BEYOND} lie beyond it"
        )
    alone = mean_interval([float(np.percentile(run, percent)) for run in runs], level)
    if isinstance(alone, Refusal):
        return alone
    return Interval(float(np.percentile(np.concatenate(runs), percent)), alone.half, level)


def paired_difference(one: Sequence[float], other: Sequence[float], level: float = LEVEL) -> Estimate:
    """How much more the one is than the other, run by run on the same loads.

    What a load does to both cancels, so the interval is much narrower than those of the two would let expect.
    """
    if len(one) != len(other):
        raise ValueError(f"{len(one)} runs cannot be paired with {len(other)}")
    return mean_interval(np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64), level)
