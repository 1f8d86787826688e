"""What the dots should fall on: closed forms.

Waiting time is the time from enqueued to started, service excluded. Rates are per second, times in seconds; a result
is infinite where the queue grows without end (utilisation of one or more). `squared_variation` is always the variance
over the squared mean: 0 for fixed, 1 for exponential.

All but one are exact. `allen_cunneen` is an approximation, and says so.
"""

from collections.abc import Sequence
from math import exp, log

UNSTABLE = float("inf")


# Poisson arrivals, exponential service, several servers.


def erlang_b(servers: int, offered: float) -> float:
    """The chance that a job is turned away when there is no place to wait: all servers are busy.

    For Poisson arrivals and *any* service time of that mean (M/G/c/c); `offered` is the offered load in erlangs.
    Source: A. K. Erlang (1917), by the recursion that does not overflow however many servers there are.
    """
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    return blocked


def erlang_c(servers: int, offered: float) -> float:
    """The chance that a job has to wait because all servers are busy, where all may wait (M/M/c).

    Source: A. K. Erlang (1917).
    """
    if offered >= servers:
        return 1.0
    blocked = erlang_b(servers, offered)
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


def mmc_wait_beyond(rate: float, service: float, servers: int, seconds: float) -> float:
    """The chance to wait longer than so many seconds (M/M/c, first come first served).

    Whoever waits does so for an exponential time. Source: Kleinrock, Queueing Systems vol. 1 (1975), section 3.5.
    """
    offered = rate * service
    if offered >= servers:
        return 1.0
    return erlang_c(servers, offered) * exp(-(servers - offered) / service * seconds)


def mmc_wait_percentile(rate: float, service: float, servers: int, percent: float) -> float:
    """The waiting time that so many per cent of jobs do not exceed (M/M/c); 0 where so many need not wait at all."""
    offered = rate * service
    if offered >= servers:
        return UNSTABLE
    beyond = 1 - percent / 100
    must_wait = erlang_c(servers, offered)
    return 0.0 if must_wait <= beyond else log(must_wait / beyond) * service / (servers - offered)


def mmck(rate: float, service: float, servers: int, places: int) -> tuple[float, float]:
    """The chance to be turned away, and the mean waiting time of those let in, with so many places (M/M/c/K).

    Places count those in service. Exists at any utilisation. Source: Kleinrock (1975), section 3.6 and 3.7, by the
    balance of neighbouring states.
    """
    if places < servers:
        raise ValueError(f"{places} places are fewer than the {servers} servers")
    offered = rate * service
    # Shares of time with so many in the system, scaled as one goes so that nothing overflows.
    shares = [1.0]
    for jobs in range(1, places + 1):
        shares.append(shares[-1] * offered / min(jobs, servers))
        if shares[-1] > 1e200:
            shares = [share / 1e200 for share in shares]
    whole = sum(shares)
    lost = shares[-1] / whole
    queued = sum((jobs - servers) * share for jobs, share in enumerate(shares) if jobs > servers) / whole
    return lost, queued / (rate * (1 - lost))


# Poisson arrivals, any service time, one server.


def mg1_wait(rate: float, service: float, squared_variation: float) -> float:
    """The mean waiting time with one server and any distribution of service (M/G/1).

    Source: Pollaczek (1930), Khinchine (1932).
    """
    utilisation = rate * service
    if utilisation >= 1:
        return UNSTABLE
    return utilisation * service * (1 + squared_variation) / (2 * (1 - utilisation))


def md1_wait(rate: float, service: float) -> float:
    """The mean waiting time with one server and jobs of one length (M/D/1): half of M/M/1."""
    return mg1_wait(rate, service, 0.0)


def mg1_wait_squared(rate: float, service: float, squared_variation: float, third_moment: float) -> float:
    """The mean *square* of the waiting time (M/G/1, first come first served); `third_moment` is E[S³].

    Source: Takács, A single-server queue with Poisson input (1962).
    """
    wait = mg1_wait(rate, service, squared_variation)
    return 2 * wait**2 + rate * third_moment / (3 * (1 - rate * service)) if wait != UNSTABLE else UNSTABLE


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


# Priorities: class 0 first, nobody interrupted.


def mg1_priority_waits(classes: Sequence[tuple[float, float, float]]) -> list[float]:
    """The mean waiting time of each class with one server; a class is (rate, mean service, squared variation).

    Raises ValueError where the server cannot carry all of them: the last class starves then, and what its few jobs
    in service cost the others is not said here. Source: Cobham, Priority assignment in waiting line problems (1954).
    """
    whole = sum(rate * service for rate, service, _ in classes)
    if whole >= 1:
        raise ValueError(f"the classes offer {whole:.3g} erlangs together; the formula is for less than one")
    # What is left of the job in service, as an arrival finds it.
    rest = sum(rate * service**2 * (1 + variation) for rate, service, variation in classes) / 2
    return cobham(rest, [rate * service for rate, service, _ in classes])


def mmc_priority_waits(rates: Sequence[float], service: float, servers: int) -> list[float]:
    """The mean waiting time of each class with several servers, where service is exponential and alike for all.

    Source: Cobham (1954); Kella and Yechiali, Waiting times in the non-preemptive priority M/M/c queue (1985).
    """
    whole = sum(rates) * service
    if whole >= servers:
        raise ValueError(f"the classes offer {whole:.3g} erlangs together; {servers} servers cannot carry that")
    return cobham(erlang_c(servers, whole) * service / servers, [rate * service / servers for rate in rates])


def priority_waits(classes: Sequence[tuple[float, float, float]], servers: int) -> list[float]:
    """The mean waiting time of each class, (rate, mean service, squared variation), at any load; infinite: it starves.

    Classes that the servers can carry are served whatever comes behind them: a starving one costs them the rest of its
    job in service and nothing more. Exact for one server, and for several where all times are exponential and of one
    mean; otherwise an approximation, as `allen_cunneen`. Source: Cobham (1954).
    """
    offered = [rate * service for rate, service, _ in classes]
    carried = sum(sum(offered[: n + 1]) < servers for n in range(len(classes)))
    # What of each class the servers do: all of those, what is left of the first that starves, nothing of the others.
    gets = [*offered[:carried], *[servers - sum(offered[:carried])] * (carried < len(classes))]
    busy = sum(gets)
    if not busy:
        return [0.0] * len(classes)
    # The rest of the job in service, seen by whoever finds all servers busy, until the first of them is free.
    remains = sum(
        got * service * (1 + variation) / 2 for got, (_, service, variation) in zip(gets, classes, strict=False)
    )
    rest = erlang_c(servers, busy) * remains / busy / servers
    waits = cobham(rest, [got / servers for got in gets[:carried]])
    return waits + [UNSTABLE] * (len(classes) - carried)


def cobham(rest: float, utilisations: Sequence[float]) -> list[float]:
    """What each class waits: `rest` until a server is free, stretched by the work that goes first or comes first."""
    waits, before = [], 0.0
    for utilisation in utilisations:
        waits.append(rest / ((1 - before) * (1 - before - utilisation)))
        before += utilisation
    return waits


# Anything at all, approximately.


def allen_cunneen(
    rate: float, service: float, servers: int, arrival_variation: float, squared_variation: float
) -> float:
    """*Approximately* the mean waiting time for any arrivals and any service (G/G/c).

    `arrival_variation` is the squared variation of the gaps between arrivals. Exact for M/M/c and M/G/1, good to some
    ten per cent under load, poor for bursts under light load. Source: Allen, Probability, Statistics and Queueing
    Theory (1978).
    """
    return mmc_wait(rate, service, servers) * (arrival_variation + squared_variation) / 2
