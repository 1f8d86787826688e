"""Distributions of service times and patterns of arrivals: they have the moments that theory is told."""

import numpy as np
import pytest

from simulate.arrivals import cyclic_arrivals, even_arrivals, index_of_dispersion, on_off_arrivals
from simulate.service_times import ServiceTimes
from simulate.workload import LOADS, generate, stream

SHAPES = (
    ServiceTimes("fixed", 0.2),
    ServiceTimes("exponential", 0.2),
    ServiceTimes("lognormal", 0.2, variation=4),
    ServiceTimes("hyperexponential", 0.2, variation=8),
    ServiceTimes("pareto", 0.2, tail=1.5, cap=100),
    ServiceTimes("pareto", 0.2, tail=2.0, cap=50),
    ServiceTimes("pareto", 0.2, tail=3.5, cap=1000),
    ServiceTimes("sample", 0.2, sample=(1.0, 1.0, 7.0)),
)


@pytest.mark.parametrize("times", SHAPES, ids=lambda times: times.words())
def test_what_is_drawn_has_the_mean_and_the_variation_that_are_stated(times: ServiceTimes) -> None:
    drawn = times.draw(1_000_000, stream(4, "service"))
    assert drawn.mean() == pytest.approx(0.2, rel=0.02)
    assert drawn.var() / drawn.mean() ** 2 == pytest.approx(times.squared_variation, rel=0.1, abs=1e-12)
    assert (drawn > 0).all()


def test_a_pareto_job_is_never_longer_than_its_cap_and_its_tail_is_straight() -> None:
    times = ServiceTimes("pareto", 2.0, tail=1.5, cap=1000)
    drawn = times.draw(1_000_000, stream(4, "service"))
    assert drawn.max() <= 2000.0
    # P(S > 4 x) / P(S > x) = 4 ** -1.5 far below the cap.
    assert (drawn > 8.0).mean() / (drawn > 2.0).mean() == pytest.approx(4**-1.5, rel=0.05)


def test_times_of_a_trace_are_drawn_again_as_often_as_they_occur() -> None:
    times = ServiceTimes.like(np.array([1.0, 1.0, 4.0]))
    drawn = times.draw(30_000, stream(1, "service"))
    assert set(np.round(drawn, 9)) == {1.0, 4.0}
    assert (drawn > 2).mean() == pytest.approx(1 / 3, abs=0.02)
    assert times.mean == 2.0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kind": "cauchy"}, "known: fixed"),
        ({"mean": 0.0}, "mean must be above 0"),
        ({"mean": float("nan")}, "mean must be above 0"),
        ({"kind": "hyperexponential", "variation": 0.5}, "no squared variation of 0.5"),
        ({"kind": "lognormal", "variation": -1.0}, "no squared variation of -1"),
        ({"kind": "pareto", "tail": 1.0}, "tail must be above 1"),
        ({"kind": "pareto", "cap": 1.0}, "the cap above 1 mean"),
        ({"kind": "sample"}, "must have some"),
    ],
)
def test_distributions_that_cannot_be_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ServiceTimes(**wrong)


def test_even_gaps_have_no_dispersion() -> None:
    arrived = even_arrivals(4.0, 1000)
    assert np.diff(arrived) == pytest.approx(0.25)
    assert arrived[-1] == pytest.approx(250.0)


def test_on_and_off_keep_the_rate_and_leave_gaps() -> None:
    arrived = on_off_arrivals(2.0, 400_000, 60.0, 240.0, stream(2, "arrivals"))
    assert len(arrived) / arrived[-1] == pytest.approx(2.0, rel=0.05)
    gaps = np.diff(arrived)
    assert (gaps >= 0).all()
    # Ten a second while it is on; a fifth of the gaps that matter are the times that are off.
    assert np.median(gaps) == pytest.approx(np.log(2) / 10, rel=0.03)
    assert gaps[gaps > 20].mean() == pytest.approx(240 + 20, rel=0.05)
    assert (index_of_dispersion(arrived, 60.0) or 0) > 100


def test_a_day_has_its_rush_at_noon() -> None:
    arrived = cyclic_arrivals(1.0, 4 * 86400, 0.8, stream(2, "arrivals"))
    arrived = arrived[arrived < 3 * 86400]
    hours = (arrived / 3600).astype(int) % 24
    counts = np.bincount(hours, minlength=24) / 3 / 3600
    assert counts[0] == pytest.approx(0.2, rel=0.1)
    assert counts[12] == pytest.approx(1.8, rel=0.05)
    assert counts.mean() == pytest.approx(1.0, rel=0.01)
    assert (np.diff(arrived) >= 0).all()


@pytest.mark.parametrize("kind", LOADS)
def test_each_kind_of_load_takes_each_kind_of_service_time(kind: str) -> None:
    load = generate(kind, 4000, seed=3, erlangs=2.0, service=ServiceTimes("pareto", 0.5, tail=2.5, cap=30))
    assert load.jobs == 4000
    if kind != "daily":
        assert load.rate == pytest.approx(4.0)
    assert "Pareto, mean 0.5 s" in load.words


def test_patterns_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="depth of 2"):
        cyclic_arrivals(1.0, 10, 2.0, stream(1, "a"))
    with pytest.raises(ValueError, match="the first must be above 0"):
        on_off_arrivals(1.0, 10, 0.0, 1.0, stream(1, "a"))
