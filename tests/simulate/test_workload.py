"""Loads: the same for every design, bursty as published, each purpose with its own randomness."""

import numpy as np
import pytest

from simulate import traces, workload
from simulate.workload import AZURE_BURSTS, AZURE_RATE, Bursts, generate, index_of_dispersion, service_times, stream

from .helpers import load_of, trace


def test_the_twin_is_as_bursty_as_the_published_trace() -> None:
    """In the long run. The published indices come from under an hour, and so do not know themselves any better."""
    arrived = workload.twin_arrivals(2_000_000, seed=3)
    assert len(arrived) / arrived[-1] == pytest.approx(AZURE_RATE, rel=0.03)
    assert index_of_dispersion(arrived, 1.0) == pytest.approx(AZURE_BURSTS.at_one_second, rel=0.05)
    assert index_of_dispersion(arrived, 60.0) == pytest.approx(AZURE_BURSTS.at_one_minute, rel=0.10)


def test_the_trace_itself_has_the_figures_that_the_twin_is_built_on() -> None:
    load = traces.read(trace("AzureLLMInferenceTrace_code_2023.csv.gz"))
    assert load.jobs == 8819
    assert load.rate == pytest.approx(AZURE_RATE, rel=0.01)
    assert index_of_dispersion(load.arrived, 1.0) == pytest.approx(AZURE_BURSTS.at_one_second, rel=0.05)
    assert index_of_dispersion(load.arrived, 60.0) == pytest.approx(AZURE_BURSTS.at_one_minute, rel=0.05)


def test_the_twins_jobs_are_as_large_as_those_of_the_trace() -> None:
    real = traces.read(trace("AzureLLMInferenceTrace_code_2023.csv.gz")).service
    twin = generate("twin", 200_000, seed=1).service
    assert twin.mean() == pytest.approx(real.mean(), rel=0.05)
    assert twin.var() / twin.mean() ** 2 == pytest.approx(real.var() / real.mean() ** 2, rel=0.2)
    for quantile in (0.1, 0.5, 0.9, 0.99):
        assert np.quantile(twin, quantile) == pytest.approx(np.quantile(real, quantile), rel=0.06)


def test_poisson_arrivals_have_an_index_of_dispersion_of_one() -> None:
    arrived = workload.poisson_arrivals(3.0, 300_000, stream(1, "arrivals"))
    assert len(arrived) / arrived[-1] == pytest.approx(3.0, rel=0.01)
    for window in (1.0, 10.0, 60.0):
        assert index_of_dispersion(arrived, window) == pytest.approx(1.0, rel=0.08)


@pytest.mark.parametrize("bursts", [Bursts(2, 3), Bursts(5, 100), Bursts(13, 161), Bursts(40, 60)])
def test_fitted_bursts_give_back_the_indices_that_were_asked_for(bursts: Bursts) -> None:
    arrived = workload.bursty_arrivals(20.0, 4_000_000, bursts, stream(5, "arrivals"))
    assert index_of_dispersion(arrived, 1.0) == pytest.approx(bursts.at_one_second, rel=0.10)
    assert index_of_dispersion(arrived, 60.0) == pytest.approx(bursts.at_one_minute, rel=0.15)


@pytest.mark.parametrize("bursts", [Bursts(0.5, 3), Bursts(5, 4), Bursts(2, 1000)])
def test_bursts_that_no_such_process_has_are_refused(bursts: Bursts) -> None:
    with pytest.raises(ValueError, match=r"^bursts "):
        bursts.fit(1.0)


def test_equal_seeds_give_equal_loads_and_streams_do_not_disturb_each_other() -> None:
    one, same, other = (generate("twin", 1000, seed, erlangs=5.6) for seed in (7, 7, 8))
    assert np.array_equal(one.arrived, same.arrived)
    assert np.array_equal(one.service, same.service)
    assert not np.array_equal(one.service, other.service)
    # More jobs, another pattern of arrivals: the first thousand are as large as before.
    assert np.array_equal(generate("poisson", 5000, 7).service[:1000], one.service)


@pytest.mark.parametrize("kind", ["poisson", "bursty", "twin"])
def test_a_generated_load_offers_what_was_asked_for(kind: str) -> None:
    assert generate(kind, 3000, 1, erlangs=5.6).offered == pytest.approx(5.6)
    assert generate(kind, 3000, 1, rate=40.0).rate == pytest.approx(40.0)


@pytest.mark.parametrize(("kind", "squared_variation"), [("fixed", 0.0), ("exponential", 1.0), ("lognormal", 4.0)])
def test_service_times_have_their_mean_and_variation(kind: str, squared_variation: float) -> None:
    drawn = service_times(kind, 0.2, 400_000, stream(2, "service"))
    assert drawn.mean() == pytest.approx(0.2, rel=0.02)
    assert drawn.var() / drawn.mean() ** 2 == pytest.approx(squared_variation, rel=0.15, abs=1e-12)


def test_unknown_kinds_are_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="poisson, even, bursty, twin, on-off, daily"):
        generate("flood", 10, 1)
    with pytest.raises(ValueError, match="fixed, exponential, lognormal, pareto, hyperexponential"):
        service_times("cauchy", 1.0, 10, stream(1, "service"))


@pytest.mark.parametrize(
    ("arrived", "service", "says"),
    [
        ([], [], "no jobs"),
        ([0, 1], [1], "do not fit"),
        ([1, 0], [1, 1], "backwards"),
        ([0, 1], [1, -1], "negative"),
        ([0, float("nan")], [1, 1], "finite"),
    ],
)
def test_a_load_that_cannot_be_is_refused(arrived: list[float], service: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        load_of(arrived, service)
