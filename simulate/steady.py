"""Whether a run has settled: what to cut off at its beginning, and when there is no steady state to speak of.

"The mean waiting time of this system" is a statement about a run without end. A finite run may stand for it when the
queue could settle at all (less work comes than workers can do), when the run is long beside the queue's memory, and
when its beginning, from an empty queue, is left out. Near saturation the memory grows as one over the square of the
idle share, and a run of a million jobs may be short.
"""

from collections.abc import Sequence
from math import isfinite

import numpy as np

from simulate.intervals import Interval, Numbers, Refusal, paired_difference
from simulate.workload import Load, index_of_dispersion

# A run must be so many times as long as the queue's memory before it may speak for the long run.
MEMORIES = 20

# MSER-5 takes the means of so many values in a row.
MSER_BATCH = 5

# Arrivals are counted in so many windows to learn how bursty they are in the long run.
WINDOWS = 50

# A backlog is said to grow only if chance would show as much in one run of a thousand.
GROWTH_LEVEL = 0.998


def warm_up(runs: Sequence[Numbers]) -> int | None:
    """How many values to leave out at the beginning of every run: MSER-5 on the average of the runs, job by job.

    MSER-5 cuts where the standard error of what remains, by means of five, is least, looking at the first half. None
    when it is least at the very end of that: the run has not settled, each cut is better than the one before.
    Source: White, Cobb and Spratt, A comparison of five steady-state truncation heuristics for simulation (2000).
    """
    length = min(map(len, runs), default=0)
    groups = length // MSER_BATCH
    if groups < 4:
        return None
    average = np.mean([run[: groups * MSER_BATCH] for run in runs], axis=0)
    means = average.reshape(groups, MSER_BATCH).mean(axis=1)
    # Sums over what remains after the first d groups, for all d at once.
    remaining = np.arange(groups, 0, -1)
    sums = np.cumsum(means[::-1])[::-1]
    squares = np.cumsum(np.square(means - means.mean())[::-1])[::-1]
    spread = squares - np.square(sums - remaining * means.mean()) / remaining
    error = np.maximum(spread, 0.0) / np.square(remaining)
    best = int(np.argmin(error[: groups // 2 + 1]))
    return best * MSER_BATCH if best < groups // 2 else None


def memory_jobs(load: Load, servers: int) -> float:
    """How many jobs arrive while the queue forgets where it was; infinite when it never settles.

    The relaxation time of heavy traffic, 2 (burstiness + squared variation of service) E[S] / (servers (1 -
    utilisation)²), times the arrival rate: an approximation that errs to the long side. Burstiness is the index of
    dispersion of counts in fiftieths of the run. Source: Whitt, Planning queueing simulations (1989).
    """
    utilisation = load.offered / servers
    if utilisation >= 1:
        return float("inf")
    mean = float(load.service.mean())
    if not mean:
        return 0.0
    bursts = index_of_dispersion(load.arrived, (load.span - float(load.arrived[0])) / (WINDOWS + 0.5))
    variation = (1.0 if bursts is None else bursts) + float(load.service.var()) / mean**2
    return load.rate * 2 * variation * mean / (servers * (1 - utilisation) ** 2)


def why_not_steady(load: Load, servers: int) -> Refusal | None:
    """Why this load on so many servers has no steady state that its run could show, or None."""
    utilisation = load.offered / servers
    if utilisation >= 1:
        mean = float(load.service.mean())
        grows = "" if not isfinite(load.rate) else f": it grows by {load.rate - servers / mean:.3g} jobs a second"
        return Refusal(
            f"{load.offered:.3g} erlangs are more than {servers} {'worker' if servers == 1 else 'workers'} can do, and "
            f"the backlog has no limit{grows}"
        )
    memory = memory_jobs(load, servers)
    if load.jobs < MEMORIES * memory:
        return Refusal(
            f"at a utilisation of {utilisation:.0%} and arrivals like these the queue remembers some {memory:,.0f} "
            f"jobs; {load.jobs:,} jobs say nothing about the long run, that takes {MEMORIES * memory:,.0f}"
        )
    return None


def growth(runs: Sequence[Numbers], spans: Sequence[float], throughputs: Sequence[float]) -> Refusal | None:
    """Whether the second halves of the runs wait longer than the first, more than by chance; None if not.

    `runs` are waiting times in the order of arrival, `spans` how long each run's jobs took to arrive. Whoever waits so
    many seconds has that many times the throughput before him.
    """
    halves = [(run[: len(run) // 2].mean(), run[len(run) // 2 :].mean()) for run in runs if len(run) > 1]
    more = paired_difference([late for _, late in halves], [early for early, _ in halves], GROWTH_LEVEL)
    if not isinstance(more, Interval) or more.low <= 0:
        return None
    # The middles of the two halves lie half a run apart.
    each_second = more.value * float(np.mean(throughputs)) / (float(np.mean(spans)) / 2)
    return Refusal(f"the queue has not settled: the backlog grows by {each_second:.3g} jobs a second")
