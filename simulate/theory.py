"""What the dots should fall on: closed forms, and a second engine that shares no code with the first.

Waiting time is the time from enqueued to started, service excluded. Rates are per second, times in seconds; a result
is infinite where the queue grows without end (utilisation of one or more).
"""

from collections.abc import Sequence
from heapq import heapify, heapreplace

import numpy as np
from numpy.typing import NDArray

UNSTABLE = float("inf")


def erlang_c(servers: int, offered: float) -> float:
    """The chance that a job finds all servers busy, for Poisson arrivals and exponential service.

    `offered` is the offered load in erlangs. Source: A. K. Erlang (1917), through the Erlang B recursion, which does
    not overflow however many servers there are.
    """
    if offered >= servers:
        return 1.0
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    utilisation = offered / servers
    return blocked / (1 - utilisation * (1 - blocked))


def mmc_wait(rate: float, service: float, servers: int) -> float:
    """The mean waiting time with `servers` servers, Poisson arrivals and exponential service of that mean (M/M/c)."""
    offered = rate * service
    if offered >= servers:
        return UNSTABLE
    return erlang_c(servers, offered) * service / (servers - offered)


def mm1_wait(rate: float, service: float) -> float:
    """The mean waiting time with one server, Poisson arrivals and exponential service of that mean (M/M/1)."""
    return mmc_wait(rate, service, 1)


def mg1_wait(rate: float, service: float, squared_variation: float) -> float:
    """The mean waiting time with one server and any distribution of service (M/G/1).

    `squared_variation` is the variance of the service time over its squared mean: 0 for fixed, 1 for exponential.
    Source: Pollaczek (1930), Khinchine (1932).
    """
    utilisation = rate * service
    if utilisation >= 1:
        return UNSTABLE
    return utilisation * service * (1 + squared_variation) / (2 * (1 - utilisation))


def polled_wait(rate: float, service: float, squared_variation: float, every: float) -> float:
    """The mean waiting time of one server that works until nothing is left and then sleeps `every` seconds.

    This is M/G/1 with multiple vacations and exhaustive service: Pollaczek-Khinchine plus the mean rest of a sleep.
    One claiming daemon alone behaves so. Source: Doshi, Queueing systems with vacations (1986).
    """
    return mg1_wait(rate, service, squared_variation) + every / 2


def naive_wait(rate: float, service: float, squared_variation: float, every: float) -> float:
    """The mean waiting time of the naive loop: it does what it found, and then sleeps whatever has come meanwhile.

    This is M/G/1 with multiple vacations and *gated* service. A job that arrives during the work waits for a whole
    sleep, and so the price of the sleep grows without bound towards saturation, where that of exhaustive service stays
    at half a sleep. Source: Takagi, Queueing Analysis vol. 1 (1991), section 2.3.
    """
    utilisation = rate * service
    if utilisation >= 1:
        return UNSTABLE
    return polled_wait(rate, service, squared_variation, every) + every * utilisation / (1 - utilisation)


def first_come_first_served(
    arrived: Sequence[float] | NDArray[np.float64], service: Sequence[float] | NDArray[np.float64], servers: int
) -> NDArray[np.float64]:
    """When each job starts if the first to come is the first served and nothing costs anything.

    The Kiefer-Wolfowitz recursion (1955), on a heap of the times at which servers become free. No queue that serves in
    order can start its jobs sooner, so this is both the yardstick for designs and the oracle for the simulator.
    """
    if servers < 1:
        raise ValueError(f"{servers} servers cannot serve anybody; there must be one at least")
    free = [0.0] * servers
    heapify(free)
    starts = []
    for arrival, work in zip(map(float, arrived), map(float, service), strict=True):
        start = arrival if arrival > free[0] else free[0]
        starts.append(start)
        heapreplace(free, start + work)
    return np.array(starts, dtype=np.float64)
