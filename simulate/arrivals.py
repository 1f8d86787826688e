"""When jobs arrive: without memory, in even gaps, in bursts, on and off, by the time of day.

The same number of jobs a day can come in ways that need twice the workers. How much so is the index of dispersion.
"""

from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

from simulate.words import told

Times = NDArray[np.float64]

DAY_SECONDS = 86400.0

# A day's cycle is inverted on a grid of so many points per cycle.
CYCLE_GRID = 2048


def index_of_dispersion(arrived: Times, window: float) -> float | None:
    """Variance over mean of the number of arrivals per window of so many seconds: 1 for Poisson, more for bursts.

    None when there are fewer than ten whole windows. Source: Cox and Lewis, The Statistical Analysis of Series of
    Events (1966).
    """
    windows = int((arrived[-1] - arrived[0]) / window)
    if windows < 10:
        return None
    edges = arrived[0] + window * np.arange(windows + 1)
    counts = np.diff(np.searchsorted(arrived, edges))
    return float(counts.var() / counts.mean())


def poisson_arrivals(rate: float, jobs: int, generator: np.random.Generator) -> Times:
    """Arrivals without memory: exponential gaps of mean 1 / rate seconds."""
    return np.cumsum(generator.exponential(1 / rate, jobs))


@dataclass(frozen=True)
class Bursts:
    """How bursty arrivals are: the index of dispersion of their counts in windows of one second and of one minute."""

    at_one_second: float
    at_one_minute: float

    def fit(self, rate: float) -> tuple[float, float]:
        """The arrival rate's own squared variation, and the mean seconds for which it holds, that give these indices.

        For a Poisson process whose rate is redrawn (variance v, mean m) after exponential times of mean h, the index
        at a window w is 1 + 2 v / m · f(w), f(w) = h - h² / w · (1 - exp(-w / h)); the ratio of two such indices
        gives h, one of them then v. Raises ValueError when no such process exists.
        """

        def f(window: float, hold: float) -> float:
            return hold + hold**2 / window * float(np.expm1(-window / hold))

        if not 1 < self.at_one_second < self.at_one_minute:
            raise ValueError(
                f"bursts must be above 1 and grow with the window, not "
                f"{told(at_one_second=self.at_one_second, at_one_minute=self.at_one_minute)}"
            )
        ratio = (self.at_one_minute - 1) / (self.at_one_second - 1)
        low, high = 1e-3, 1e6
        if not f(60, low) / f(1, low) < ratio < f(60, high) / f(1, high):
            raise ValueError(
                f"bursts of {self.at_one_second:g} in a second and {self.at_one_minute:g} in a minute: no process of "
                f"this kind grows by a factor of {ratio:.1f} from 1 s to 1 min"
            )
        for _ in range(200):  # the ratio grows with the holding time: halve the interval until it is none
            middle = (low * high) ** 0.5
            low, high = (middle, high) if f(60, middle) / f(1, middle) < ratio else (low, middle)
        variance = (self.at_one_second - 1) * rate / (2 * f(1, low))
        return variance / rate**2, low


def bursty_arrivals(rate: float, jobs: int, bursts: Bursts, generator: np.random.Generator) -> Times:
    """Arrivals in bursts: Poisson at a rate that is itself redrawn, gamma distributed, after exponential times.

    Holds `bursts` in the long run. A short stretch strays from the mean rate, by much: that is what bursts are.
    """
    squared_variation, hold = bursts.fit(rate)
    pieces: list[Times] = []
    begin, drawn = 0.0, 0
    while drawn < jobs:
        # A block of pieces at a time; how many is of no consequence for the result but for its speed.
        lengths = generator.exponential(hold, 1024)
        rates = generator.gamma(1 / squared_variation, rate * squared_variation, 1024)
        counts = generator.poisson(rates * lengths)
        starts = begin + np.concatenate(([0.0], np.cumsum(lengths[:-1])))
        where = np.repeat(starts, counts) + np.repeat(lengths, counts) * generator.random(int(counts.sum()))
        pieces.append(np.sort(where))
        begin = float(starts[-1] + lengths[-1])
        drawn += int(counts.sum())
    return np.concatenate(pieces)[:jobs]


def even_arrivals(rate: float, jobs: int) -> Times:
    """One job every 1 / rate seconds, as from a machine."""
    return np.arange(1, jobs + 1) / rate


def on_off_arrivals(rate: float, jobs: int, on: float, off: float, generator: np.random.Generator) -> Times:
    """Poisson arrivals for a while, then nothing for a while, and so on; both times exponential, of these means.

    While it is on they come so much faster that the rate in the long run is the one that was asked for.
    """
    if not (on > 0 and off >= 0):
        raise ValueError(f"on for {on:g} s and off for {off:g} s: the first must be above 0, the second 0 or more")
    within = poisson_arrivals(rate * (on + off) / on, jobs, generator)  # on the clock of the times that are on
    stretches = int(within[-1] / on * 2 + 50)
    ends = np.cumsum(generator.exponential(on, stretches))
    while ends[-1] < within[-1]:
        ends = np.concatenate((ends, ends[-1] + np.cumsum(generator.exponential(on, stretches))))
    before = np.cumsum(np.concatenate(([0.0], generator.exponential(off, len(ends)))))
    return np.asarray(within + before[np.searchsorted(ends, within)])


def cyclic_arrivals(
    rate: float, jobs: int, depth: float, generator: np.random.Generator, cycle: float = DAY_SECONDS
) -> Times:
    """Poisson arrivals whose rate follows a sine: from (1 - depth) times the mean, at the start, to (1 + depth) times.

    Without a cycle of its own it is a day that begins at night.
    """
    if not (0 <= depth <= 1 and cycle > 0):
        raise ValueError(f"a depth of {depth:g} over {cycle:g} s: it must be 0 to 1, and the cycle above 0")
    # Arrivals at rate one on a clock that runs as fast as jobs come; then that clock is read backwards.
    expected = np.cumsum(generator.exponential(1.0, jobs))
    cycles = int(expected[-1] / (rate * cycle)) + 2
    grid = np.linspace(0, cycles * cycle, cycles * CYCLE_GRID)
    angle = 2 * pi / cycle
    return np.interp(expected, rate * (grid - depth * np.sin(angle * grid) / angle), grid)
