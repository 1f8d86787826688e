"""The closed forms against numbers got another way: chains of states solved by linear algebra.

A formula must not be its own witness. Each chain here is written down from the rules of the queue, one row per state,
and knows nothing of the formula.
"""

from collections.abc import Callable
from math import exp, lgamma, log

import numpy as np
import pytest

from simulate import theory

# Chains without end are cut off where next to nothing happens any more.
STATES = 600


def balanced(rates: np.ndarray) -> np.ndarray:
    """The shares of time of a chain in continuous time, from its rates of going from each state to each."""
    generator = rates - np.diag(rates.sum(axis=1))
    equations = np.vstack([generator.T[:-1], np.ones(len(rates))])
    return np.linalg.solve(equations, np.append(np.zeros(len(rates) - 1), 1.0))


def settled(steps: np.ndarray) -> np.ndarray:
    """The shares of steps of a chain in discrete time, from its chances of going from each state to each."""
    return balanced(steps - np.diag(np.diag(steps)))


def birth_death(rate: float, service: float, servers: int, places: int) -> np.ndarray:
    rates = np.zeros((places + 1, places + 1))
    for jobs in range(places):
        rates[jobs, jobs + 1] = rate
        rates[jobs + 1, jobs] = min(jobs + 1, servers) / service
    return balanced(rates)


def poisson(mean: float, states: int) -> np.ndarray:
    """The chances of 0, 1, … arrivals; what lies beyond the last state is put there."""
    chances = np.array([exp(n * log(mean) - mean - lgamma(n + 1)) if mean else float(n == 0) for n in range(states)])
    chances[-1] += max(0.0, 1 - chances.sum())
    return chances


@pytest.mark.parametrize(("servers", "utilisation"), [(1, 0.5), (1, 0.9), (2, 0.1), (3, 0.8), (8, 0.7), (40, 0.9)])
def test_many_servers(servers: int, utilisation: float) -> None:
    service = 2.5
    rate = utilisation * servers / service
    shares = birth_death(rate, service, servers, STATES)
    jobs = np.arange(STATES + 1)
    assert theory.erlang_c(servers, rate * service) == pytest.approx(shares[servers:].sum())
    waiting = (np.maximum(jobs - servers, 0) * shares).sum()
    assert theory.mmc_wait(rate, service, servers) == pytest.approx(waiting / rate)
    # Whoever finds n + servers there waits for n + 1 departures, each at the full rate: Erlang's distribution.
    seconds = 1.7
    departures = poisson(seconds * servers / service, STATES + 1)
    still = np.cumsum(departures)  # at most n departures have happened
    beyond = (shares[servers:] * still[: STATES + 1 - servers]).sum()
    assert theory.mmc_wait_beyond(rate, service, servers, seconds) == pytest.approx(beyond)
    percent = 100 * (1 - beyond)
    if beyond < shares[servers:].sum():
        assert theory.mmc_wait_percentile(rate, service, servers, percent) == pytest.approx(seconds)
    assert theory.mmc_wait_percentile(rate, service, servers, 0.0) == 0


@pytest.mark.parametrize(
    ("servers", "places", "offered"), [(1, 1, 0.7), (1, 5, 0.9), (2, 2, 3.0), (4, 10, 3.6), (3, 9, 6.0), (20, 20, 19)]
)
def test_few_places(servers: int, places: int, offered: float) -> None:
    service = 0.4
    rate = offered / service
    shares = birth_death(rate, service, servers, places)
    lost, wait = theory.mmck(rate, service, servers, places)
    assert lost == pytest.approx(shares[-1])
    waiting = (np.maximum(np.arange(places + 1) - servers, 0) * shares).sum()
    assert wait == pytest.approx(waiting / (rate * (1 - shares[-1])), abs=1e-12)
    if servers == places:
        assert theory.erlang_b(servers, offered) == pytest.approx(shares[-1])


def test_very_many_places_do_not_overflow() -> None:
    lost, wait = theory.mmck(50.0, 1.0, 2, 2000)
    assert lost == pytest.approx(1 - 2 / 50)
    assert wait == pytest.approx(1999 / 2, rel=0.01)
    assert theory.erlang_c(1800, 1600) < 1e-4


def departures_chain(from_empty: np.ndarray, arrivals: np.ndarray) -> np.ndarray:
    """Jobs left behind by each departure: one less, and those that came during one service."""
    states = len(arrivals)
    steps = np.zeros((states, states))
    steps[0] = from_empty
    for jobs in range(1, states):
        for came in range(states):
            steps[jobs, min(jobs - 1 + came, states - 1)] += arrivals[came]
    return settled(steps)


@pytest.mark.parametrize("utilisation", [0.1, 0.5, 0.8])
def test_one_server_and_jobs_of_one_length(utilisation: float) -> None:
    service, states = 3.0, 120
    rate = utilisation / service
    arrivals = poisson(utilisation, states)
    shares = departures_chain(arrivals, arrivals)
    # A departure leaves behind as many as an arrival finds, and that is as many as there are at any time.
    wait = (np.arange(states) * shares).sum() / rate - service
    assert theory.md1_wait(rate, service) == pytest.approx(wait, rel=1e-6)


@pytest.mark.parametrize("utilisation", [0.1, 0.5, 0.8])
def test_one_server_that_sleeps_when_nothing_is_left(utilisation: float) -> None:
    service, every, states = 1.0, 4.0, 160
    rate = utilisation / service
    arrivals = poisson(utilisation, states)
    found = poisson(rate * every, states)
    found[0] = 0.0  # it sleeps again
    found /= found.sum()
    from_empty = np.convolve(found[1:], arrivals)[:states]
    from_empty[-1] += 1 - from_empty.sum()
    shares = departures_chain(from_empty, arrivals)
    wait = (np.arange(states) * shares).sum() / rate - service
    assert theory.polled_wait(rate, service, 0.0, every) == pytest.approx(wait, rel=1e-6)


@pytest.mark.parametrize("utilisation", [0.1, 0.5, 0.8])
def test_the_naive_loop(utilisation: float) -> None:
    """By the number of jobs found at each look: in the time until the next one, that many services and a sleep."""
    service, every, states = 1.0, 4.0, 260
    rate = utilisation / service
    lengths = every + service * np.arange(states)
    shares = settled(np.array([poisson(rate * length, states) for length in lengths]))
    # Those who come wait half of that time on average, and then for those found with them.
    came = rate * lengths
    waited = came * lengths / 2 + service * came**2 / 2
    assert theory.naive_wait(rate, service, 0.0, every) == pytest.approx(
        (shares * waited).sum() / (shares * came).sum(), rel=1e-6
    )


@pytest.mark.parametrize("utilisation", [0.2, 0.6, 0.85])
def test_one_server_and_two_kinds_of_jobs(utilisation: float) -> None:
    """Hyperexponential service as a chain: the number of jobs, and the kind of the one in service."""
    odds, rates_of = (0.9, 0.1), (1 / 0.4, 1 / 5.0)
    mean = sum(p / r for p, r in zip(odds, rates_of, strict=True))
    second = sum(2 * p / r**2 for p, r in zip(odds, rates_of, strict=True))
    third = sum(6 * p / r**3 for p, r in zip(odds, rates_of, strict=True))
    rate, most = utilisation / mean, 500
    rates = np.zeros((1 + 2 * most, 1 + 2 * most))

    def state(jobs: int, kind: int) -> int:
        return 0 if not jobs else 1 + 2 * (jobs - 1) + kind

    for kind in (0, 1):
        rates[0, state(1, kind)] = rate * odds[kind]
        for jobs in range(1, most + 1):
            if jobs < most:
                rates[state(jobs, kind), state(jobs + 1, kind)] = rate
            for following in (0, 1):
                rates[state(jobs, kind), state(jobs - 1, following)] += rates_of[kind] * (
                    odds[following] if jobs > 1 else 0.5
                )
    shares = balanced(rates)
    by_jobs = np.concatenate([[0.0], shares[1:].reshape(most, 2).sum(axis=1) * np.arange(most)])
    variation = second / mean**2 - 1
    assert theory.mg1_wait(rate, mean, variation) == pytest.approx(by_jobs.sum() / rate, rel=1e-6)
    # The square of the wait: whoever finds n jobs waits for what is left of one (memoryless: one of its kind) and for
    # n - 1 whole ones.
    squares = 0.0
    variance = second - mean**2
    for kind in (0, 1):
        left, left_variance = 1 / rates_of[kind], 1 / rates_of[kind] ** 2
        for jobs in range(1, most + 1):
            wait, spread = left + (jobs - 1) * mean, left_variance + (jobs - 1) * variance
            squares += shares[state(jobs, kind)] * (wait**2 + spread)
    assert theory.mg1_wait_squared(rate, mean, variation, third) == pytest.approx(squares, rel=1e-6)


def two_classes(rates_in: tuple[float, float], means: tuple[float, float], servers: int, most: int) -> list[float]:
    """The mean waits of two classes from a chain: how many of each wait, and of which class are those in service."""
    states: dict[tuple[int, int, int, int], int] = {}
    for urgent in range(servers + 1):
        for other in range(servers + 1 - urgent):
            if urgent + other < servers:
                states[0, 0, urgent, other] = len(states)
                continue
            for a in range(most + 1):
                for b in range(most + 1):
                    states[a, b, urgent, other] = len(states)
    rates = np.zeros((len(states), len(states)))
    for (a, b, urgent, other), row in states.items():
        idle = urgent + other < servers
        for grown in ((0, 0, urgent + 1, other) if idle else (a + 1, b, urgent, other),):
            if grown in states:
                rates[row, states[grown]] += rates_in[0]
        for grown in ((0, 0, urgent, other + 1) if idle else (a, b + 1, urgent, other),):
            if grown in states:
                rates[row, states[grown]] += rates_in[1]
        for kind, serving in enumerate((urgent, other)):
            if not serving:
                continue
            left = [urgent, other]
            left[kind] -= 1
            if a:
                after = (a - 1, b, left[0] + 1, left[1])
            elif b:
                after = (a, b - 1, left[0], left[1] + 1)
            else:
                after = (0, 0, left[0], left[1])
            rates[row, states[after]] += serving / means[kind]
    shares = balanced(rates)
    waiting = [sum(shares[row] * state[kind] for state, row in states.items()) for kind in (0, 1)]
    return [jobs / rate for jobs, rate in zip(waiting, rates_in, strict=True)]


def test_two_classes_and_one_server() -> None:
    rates, means = (0.2, 0.3), (1.0, 0.8)
    expected = two_classes(rates, means, servers=1, most=28)
    found = theory.mg1_priority_waits([(rate, mean, 1.0) for rate, mean in zip(rates, means, strict=True)])
    assert found == pytest.approx(expected, rel=1e-4)


def test_two_classes_and_two_servers() -> None:
    expected = two_classes((0.5, 0.5), (1.0, 1.0), servers=2, most=22)
    assert theory.mmc_priority_waits((0.5, 0.5), 1.0, 2) == pytest.approx(expected, rel=1e-4)


def test_priorities_move_waiting_about_and_leave_its_sum() -> None:
    """Kleinrock's conservation law: the waits, each weighted by the work of its class, sum up as without classes."""
    classes = [(0.1, 1.0, 0.0), (0.2, 2.0, 3.0), (0.1, 0.5, 1.0)]
    waits = theory.mg1_priority_waits(classes)
    whole = sum(rate * service for rate, service, _ in classes)
    rest = sum(rate * service**2 * (1 + variation) / 2 for rate, service, variation in classes)
    weighted = sum(rate * service * wait for (rate, service, _), wait in zip(classes, waits, strict=True))
    assert weighted == pytest.approx(whole * rest / (1 - whole))
    assert waits == sorted(waits)


def test_the_approximation_is_exact_where_it_should_be() -> None:
    assert theory.allen_cunneen(3.2, 1.0, 4, 1.0, 1.0) == pytest.approx(theory.mmc_wait(3.2, 1.0, 4))
    assert theory.allen_cunneen(0.8, 1.0, 1, 1.0, 4.0) == pytest.approx(theory.mg1_wait(0.8, 1.0, 4.0))
    assert theory.allen_cunneen(0.8, 1.0, 1, 0.0, 0.0) == 0


@pytest.mark.parametrize(
    "wait",
    [
        lambda: theory.mm1_wait(1, 1),
        lambda: theory.mmc_wait(8, 1, 8),
        lambda: theory.mmc_wait_percentile(8, 1, 8, 50),
        lambda: theory.mg1_wait(2, 1, 0),
        lambda: theory.mg1_wait_squared(2, 1, 0, 1),
        lambda: theory.naive_wait(1, 1, 1, 10),
        lambda: theory.allen_cunneen(8, 1, 8, 1, 1),
    ],
)
def test_beyond_saturation_the_wait_has_no_limit(wait: Callable[[], float]) -> None:
    assert wait() == theory.UNSTABLE


def test_what_has_no_formula_is_refused() -> None:
    assert theory.mmc_wait_beyond(8, 1, 8, 100) == 1
    with pytest.raises(ValueError, match=r"1\.1 erlangs together"):
        theory.mg1_priority_waits([(0.5, 1, 1), (0.6, 1, 1)])
    with pytest.raises(ValueError, match="2 servers cannot carry that"):
        theory.mmc_priority_waits([1.5, 0.6], 1.0, 2)
    with pytest.raises(ValueError, match="3 places are fewer than the 4 servers"):
        theory.mmck(1, 1, 4, 3)
