"""What share of jobs is done in time, in theory: Poisson arrivals, exponential service, several servers, a deadline.

Goodput is jobs per second that are done within the deadline, counted from their arrival. Rates are per second, times in
seconds. With all servers busy the queue moves like that of one server of their rates together, and so each question
becomes one about a chain: how soon does a job's turn come, and is it done by then.
"""

from collections.abc import Callable
from math import exp

import numpy as np

from simulate.intervals import Numbers
from simulate.theory import erlang_c

# Steps of the numerical integration, an even number.
STEPS = 2000

# How far above the rates' own spread a chain is followed.
TAIL = 12.0


def unbounded(rate: float, service: float, servers: int, deadline: float) -> float:
    """All wait, in order (M/M/c). Beyond saturation the wait has no limit, and nothing is in time in the long run."""
    if rate * service >= servers:
        return 0.0
    must_wait = erlang_c(servers, rate * service)
    drift = servers / service - rate
    return rate * _in_time(1 - must_wait, lambda x: must_wait * drift * np.exp(-drift * x), np.inf, service, deadline)


def expiring(rate: float, service: float, servers: int, deadline: float, expires: float) -> float:
    """In order, and dropped if not begun within `expires` (M/M/c+D).

    Source: Barrer, Queuing with impatient customers and ordered service (1957).
    """
    can_do = servers / service
    drift = can_do - rate
    offered = rate * service
    free, term = 0.0, 1.0
    for n in range(servers):
        free += term  # the chance of so many busy, of all those with an idle server
        last = term
        term *= offered / (n + 1)
    within = rate * last * (expires if drift == 0 else -np.expm1(-drift * expires) / drift)
    beyond = rate * last * exp(-drift * expires) / can_do
    whole = free + within + beyond
    return rate * _in_time(free / whole, lambda x: rate * last / whole * np.exp(-drift * x), expires, service, deadline)


def bounded(rate: float, service: float, servers: int, deadline: float, places: int) -> float:
    """In order, and refused when so many are in the system, those in service included (M/M/c/K)."""
    shares = [1.0]
    for jobs in range(1, places + 1):
        shares.append(shares[-1] * rate * service / min(jobs, servers))
    chances = np.array(shares) / sum(shares)
    found = chances[:servers].sum() * -np.expm1(-deadline / service)
    turns = np.zeros(places - servers + 1)
    turns[1:] = chances[servers:places]  # one that finds all busy and nobody waiting has its turn at the next end
    return rate * float(found + done_within(turns, 0.0, servers / service, 1 / service, deadline))


def newest_first(rate: float, service: float, servers: int, deadline: float) -> float:
    """The last one in is the next one out: whoever comes later goes first (M/M/c, last come first served).

    A job that finds all servers busy has its turn when those that came after it have had theirs: after a busy period.
    """
    must_wait = erlang_c(servers, rate * service)
    can_do = servers / service
    deepest = int((rate + can_do) * deadline + TAIL * ((rate + can_do) * deadline) ** 0.5) + 10
    turns = np.zeros(deepest)
    turns[1] = must_wait
    at_once = (1 - must_wait) * -np.expm1(-deadline / service)
    return rate * float(at_once + done_within(turns, rate, can_do, 1 / service, deadline))


def done_within(turns: Numbers, came: float, went: float, done: float, seconds: float) -> float:
    """The chance to be done by then, of a job that is the n-th whose turn it is with chance `turns[n]`.

    Others come at the rate `came` and go before it, one has its turn at the rate `went`; once it is its own, it is done
    at the rate `done`. By uniformization: so many events happen by then, Poisson distributed, and each is one step.
    """
    pace = came + went + done
    waiting, working, finished = turns.astype(np.float64), 0.0, 0.0
    mean = pace * seconds
    weight, total, answer = exp(-mean), 0.0, 0.0
    events = int(mean + TAIL * mean**0.5) + 20
    if not weight:
        raise ValueError(f"a deadline of {seconds:g} s is {mean:,.0f} events long; the formula is for shorter ones")
    for n in range(events + 1):
        answer += weight * finished
        total += weight
        weight *= mean / (n + 1)
        finished += working * done / pace
        working += -working * done / pace + waiting[1] * went / pace
        steps = waiting * (done / pace)
        steps[1:-1] += waiting[2:] * (went / pace)
        steps[2:] += waiting[1:-1] * (came / pace)
        steps[-1] += waiting[-1] * (came / pace)
        steps[0] = 0.0
        waiting = steps
    return answer / total


def _in_time(
    at_once: float, density: Callable[[Numbers], Numbers], longest: float, service: float, deadline: float
) -> float:
    """The chance that waiting and service together are no longer than the deadline; waits are `longest` at most."""
    end = min(longest, deadline)
    grid = np.linspace(0.0, end, STEPS + 1)
    values = density(grid) * -np.expm1(-(deadline - grid) / service)
    # Simpson's rule.
    waited = end / STEPS / 3 * float(values[0] + values[-1] + 4 * values[1::2].sum() + 2 * values[2:-1:2].sum())
    return at_once * -float(np.expm1(-deadline / service)) + waited
