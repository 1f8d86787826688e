"""Intervals that catch the truth as often as they say, and words where a number would mislead."""

from statistics import NormalDist

import numpy as np
import pytest

from simulate import theory
from simulate.intervals import (
    Interval,
    Refusal,
    batch_mean_interval,
    batches,
    jobs_needed,
    mean_interval,
    paired_difference,
    percentile_interval,
    student_t,
)
from simulate.recursion import Lanes, first_come_first_served
from simulate.steady import growth, memory_jobs, warm_up, why_not_steady
from simulate.workload import generate, poisson_arrivals, stream

from .helpers import load_of


def number(estimate: object) -> Interval:
    assert isinstance(estimate, Interval), estimate
    return estimate


def words(estimate: object) -> str:
    assert isinstance(estimate, Refusal), estimate
    return estimate.why


@pytest.mark.parametrize(
    ("level", "freedom", "expected"),
    # From printed tables.
    [(0.95, 1, 12.706), (0.95, 2, 4.303), (0.99, 4, 4.604), (0.95, 19, 2.093), (0.999, 30, 3.646), (0.9, 120, 1.658)],
)
def test_students_t_is_the_printed_one(level: float, freedom: int, expected: float) -> None:
    assert student_t(level, freedom) == pytest.approx(expected, abs=6e-4)


def test_with_many_degrees_of_freedom_it_is_the_normal_distribution() -> None:
    assert student_t(0.95, 100_000) == pytest.approx(NormalDist().inv_cdf(0.975), abs=1e-4)
    with pytest.raises(ValueError, match="no t"):
        student_t(1.0, 5)


def test_an_interval_by_hand() -> None:
    found = number(mean_interval([1.0, 2.0, 3.0]))
    assert found.value == 2
    assert found.half == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    assert found.holds(4.4)
    assert not found.holds(4.6)
    assert "a single run has no interval" in words(mean_interval([1.0]))


def test_ninety_five_of_a_hundred_intervals_hold_the_truth() -> None:
    values = np.random.default_rng(1).exponential(1.0, (2000, 50)).reshape(2000, 5, 10).mean(axis=2)
    held = np.mean([number(mean_interval(row)).holds(1.0) for row in values])
    assert held == pytest.approx(0.95, abs=0.02)


def waits(rate: float, jobs: int, lanes: int, seed: int) -> np.ndarray:
    """M/M/1, many runs side by side."""
    generator = np.random.default_rng(seed)
    arrived = np.cumsum(generator.exponential(1 / rate, (jobs, lanes)), axis=0)
    return Lanes(lanes).first_come_first_served(arrived, generator.exponential(1.0, (jobs, lanes))) - arrived


def test_batches_of_a_long_run_hold_the_truth_where_single_jobs_would_not() -> None:
    runs = waits(0.6, 20_000, 200, seed=2)[2000:].T
    truth = theory.mm1_wait(0.6, 1.0)
    held = np.mean([number(batch_mean_interval(run)).holds(truth) for run in runs])
    assert held == pytest.approx(0.95, abs=0.04)
    taken_for_independent = np.mean([number(mean_interval(run)).holds(truth) for run in runs])
    assert taken_for_independent < 0.6


def test_batches_that_know_of_each_other_are_refused() -> None:
    runs = waits(0.98, 2000, 50, seed=3).T
    refused = [isinstance(batch_mean_interval(run), Refusal) for run in runs]
    assert np.mean(refused) > 0.6
    assert "not independent" in words(batch_mean_interval(runs[refused.index(True)]))
    assert "too few to be cut" in words(batch_mean_interval(np.arange(19.0)))
    assert [len(batch) for batch in batches(np.arange(45.0), 20)] == [2] * 20


def test_a_percentile_needs_ten_jobs_beyond_it() -> None:
    assert (jobs_needed(50), jobs_needed(99), jobs_needed(99.9)) == (20, 1000, 10_000)
    runs = np.random.default_rng(4).exponential(1.0, (20, 1000))
    assert number(percentile_interval(list(runs), 99)).holds(-np.log(0.01))
    assert "999 jobs a run are too few for the 99th percentile" in words(percentile_interval(list(runs[:, 1:]), 99))
    assert "a single run" in words(percentile_interval([runs[0]], 50))


def test_paired_on_the_same_load_a_small_difference_is_seen() -> None:
    many = [
        load_of(poisson_arrivals(3.2, 2000, stream(n, "a")), stream(n, "s").exponential(1, 2000)) for n in range(20)
    ]
    four = [(first_come_first_served(x.arrived, x.service, 4) - x.arrived).mean() for x in many]
    slower = [(first_come_first_served(x.arrived, x.service * 1.01, 4) - x.arrived).mean() for x in many]
    difference = number(paired_difference(slower, four))
    assert difference.low > 0
    apart = number(mean_interval(slower)).half + number(mean_interval(four)).half
    assert difference.half < apart / 5
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference([1.0], [1.0, 2.0])


def test_the_warm_up_is_cut_where_the_queue_has_filled() -> None:
    noise = np.random.default_rng(5).normal(0, 1, (20, 5000))
    filling = 10 * (1 - np.exp(-np.arange(5000) / 100))
    cut = warm_up(list(noise + filling))
    assert cut is not None
    assert 300 <= cut <= 1200
    at_once = warm_up(list(noise))
    assert at_once is not None
    assert at_once < 2000
    assert warm_up(list(noise + np.arange(5000))) is None  # it grows without end
    assert warm_up([np.arange(10.0)]) is None
    # Next to nothing ever happens, and what does is late: that is no reason not to have settled.
    quiet = np.full(2000, 0.0026)
    quiet[[700, 1500, 1501, 1502]] = 0.2
    assert warm_up([quiet]) is not None
    assert warm_up([np.full(2000, 0.0026)]) == 0


def test_a_queue_that_cannot_settle_is_said_and_not_measured() -> None:
    assert why_not_steady(generate("poisson", 2000, 0, erlangs=0.1), 1) is None
    overloaded = why_not_steady(generate("poisson", 2000, 0, erlangs=5.6), 1)
    assert "5.6 erlangs are more than 1 worker can do" in words(overloaded)
    assert "grows by 2.7" in words(overloaded)
    nearly = why_not_steady(generate("poisson", 10_000, 0, erlangs=3.96), 4)
    assert "a utilisation of 99%" in words(nearly)
    # Bursts make the memory of the queue longer at the same utilisation.
    plain, bursty = (generate(kind, 10_000, 0, erlangs=5.6) for kind in ("poisson", "twin"))
    assert memory_jobs(bursty, 8) > 5 * memory_jobs(plain, 8)
    assert why_not_steady(plain, 8) is None
    assert why_not_steady(bursty, 8) is not None
    at_once = load_of([0.0, 0.0], [1.0, 1.0])
    assert "no limit" in words(why_not_steady(at_once, 8))


def test_what_is_refused_near_saturation_would_have_been_wrong() -> None:
    """A run of 10,000 jobs at 0.99: the mean over twenty such runs from empty queues misses the truth by far."""
    runs = waits(0.99, 10_000, 20, seed=6).T
    found = number(mean_interval(runs.mean(axis=1)))
    assert not found.holds(theory.mm1_wait(0.99, 1.0))
    assert found.value < 0.6 * theory.mm1_wait(0.99, 1.0)


def test_a_backlog_that_grows_is_told_how_fast() -> None:
    growing = waits(1.25, 4000, 20, seed=7).T
    spans, throughputs = [4000 / 1.25] * 20, [1.0] * 20
    said = words(growth(list(growing), spans, throughputs))
    assert said.startswith("the queue has not settled: the backlog grows by")
    # 1.25 arrive and 1 is done each second.
    assert float(said.split(" by ")[1].split()[0]) == pytest.approx(0.25, rel=0.1)
    assert growth(list(waits(0.5, 4000, 20, seed=8).T), spans, throughputs) is None
