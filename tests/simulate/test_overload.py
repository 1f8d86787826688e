"""Too much work: theory holds for each policy, nobody is lost unaccounted, and a burst drains as fluid would."""

import json

import numpy as np
import pytest

from minique import memory_store
from simulate import theory
from simulate.actors import World
from simulate.designs.overload import Bounded
from simulate.experiments import drain_times, overload
from simulate.intervals import Interval, Refusal
from simulate.measures import measure
from simulate.plots import drain_figure, overload_figure
from simulate.scenarios import goodput
from simulate.scenarios.overload import Overload, OverloadPoint, Setting
from simulate.service_times import ServiceTimes

from .helpers import load_of

SEED = 2


def around(point: OverloadPoint) -> bool:
    """Whether twice the interval holds the theory: of many, one or two miss it once by chance."""
    assert isinstance(point.goodput, Interval)
    assert point.in_theory is not None
    return abs(point.goodput.value - point.in_theory) <= 2 * point.goodput.half


class TestTheory:
    def test_a_deadline_that_nobody_misses_makes_goodput_of_throughput(self) -> None:
        assert goodput.unbounded(3.0, 1.0, 4, 400.0) == pytest.approx(3.0, abs=1e-4)
        refused, _ = theory.mmck(5.0, 1.0, 4, 10)
        assert goodput.bounded(5.0, 1.0, 4, 40.0, 10) == pytest.approx(5.0 * (1 - refused), rel=1e-6)
        assert goodput.newest_first(2.0, 1.0, 4, 40.0) == pytest.approx(2.0, abs=1e-3)

    def test_in_order_the_chain_says_what_the_closed_form_says(self) -> None:
        # M/M/c once by its exponential wait, once as a queue with so many places that none is ever missing.
        assert goodput.bounded(3.2, 1.0, 4, 3.0, 200) == pytest.approx(goodput.unbounded(3.2, 1.0, 4, 3.0), rel=1e-5)
        never = goodput.expiring(3.2, 1.0, 4, 3.0, 1000.0)
        assert never == pytest.approx(goodput.unbounded(3.2, 1.0, 4, 3.0), rel=1e-5)

    def test_expiring_at_once_is_a_loss_system(self) -> None:
        served = 6.0 * (1 - theory.erlang_b(4, 6.0))
        assert goodput.expiring(6.0, 1.0, 4, 50.0, 1e-9) == pytest.approx(served, rel=1e-6)

    def test_at_saturation_exactly_nothing_is_divided_by_nothing(self) -> None:
        near = goodput.expiring(4.0 - 1e-7, 1.0, 4, 10.0, 5.0)
        assert goodput.expiring(4.0, 1.0, 4, 10.0, 5.0) == pytest.approx(near, rel=1e-5)
        assert goodput.unbounded(4.0, 1.0, 4, 10.0) == 0.0

    def test_a_chain_without_others_is_an_erlang_time(self) -> None:
        turns = np.array([0.0, 0.0, 1.0])  # two must have their turn, then one's own work, all at rate one
        within = 1 - np.exp(-2.0) * (1 + 2.0 + 2.0)
        assert goodput.done_within(turns, 0.0, 1.0, 1.0, 2.0) == pytest.approx(within)


@pytest.fixture(scope="module")
def found() -> Overload:
    return overload((0.8, 1.4), jobs=1600, replications=5, seed=SEED)


def test_each_policy_gets_done_in_time_what_theory_says(found: Overload) -> None:
    known = [point for point in found.points if point.in_theory is not None]
    assert len(known) == 8
    assert [point for point in known if not around(point)] == []


def test_a_queue_without_a_limit_does_all_of_its_work_and_all_of_it_too_late(found: Overload) -> None:
    beyond = found.of("unbounded")[-1]
    assert isinstance(beyond.goodput, Interval)
    assert isinstance(beyond.done, Interval)
    assert beyond.goodput.value == 0
    assert beyond.done.value == 1


def test_refusing_dropping_and_taking_the_newest_keep_the_workers_useful(found: Overload) -> None:
    for name in ("bounded", "expiring", "newest first"):
        beyond = found.of(name)[-1]
        assert isinstance(beyond.goodput, Interval)
        assert beyond.goodput.value > 0.9 * found.setting.capacity
    assert found.of("bounded")[-1].given_up.keys() == {"refused"}
    assert found.of("expiring")[-1].given_up.keys() == {"expired"}
    assert not found.of("newest first")[-1].given_up


def test_refusing_the_low_ones_keeps_the_critical_ones_whole(found: Overload) -> None:
    for name, keeps in (("low first", True), ("bounded", False), ("expiring", False)):
        critical = found.of(name)[-1].critical
        assert isinstance(critical, Interval)
        assert (critical.value > 0.99) == keeps


def test_expiry_that_does_not_work_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_store, "_is_expired", lambda record, now: False)
    [point] = overload((1.4,), policies=["expiring"], jobs=1600, replications=4, seed=SEED).points
    assert not around(point)


def test_a_limit_that_is_not_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bounded, "enqueue", Bounded.__mro__[1].enqueue)
    [point] = overload((1.4,), policies=["bounded"], jobs=1600, replications=4, seed=SEED).points
    assert not around(point)


def test_the_books_balance_with_jobs_refused_and_none_waits_beyond_the_limit() -> None:
    load = load_of(np.arange(0.0, 30.0, 0.1), np.full(300, 1.0))
    world = World(load, workers=2, costs=Setting().costs)
    design = Bounded(world, limit=5)
    world.run(design)
    measured = measure(world, design.processes)
    assert measured.largest_backlog <= 6  # the one that is refused is counted for no time at all
    assert measured.left["refused"] > 200
    assert measured.lost == 0


def test_a_burst_drains_as_the_fluid_formula_says() -> None:
    drains = drain_times((200,), (0.3, 0.7), replications=12, seed=SEED)
    for point in drains.points:
        assert isinstance(point.seconds, Interval)
        assert point.predicted is not None
        # A handful of workers were idle when it came: the burst is that much smaller.
        assert abs(point.seconds.value - point.predicted) < 2 * point.seconds.half + 0.03 * point.predicted
    assert drain_figure(drains).axes


def test_where_nothing_is_left_it_never_drains() -> None:
    [point] = drain_times((50,), (1.0,), replications=2).points
    assert isinstance(point.seconds, Refusal)
    assert "never drains" in point.seconds.why
    assert point.predicted is None


def test_other_service_times_have_no_theory_and_are_simulated_all_the_same() -> None:
    setting = Setting(service=ServiceTimes("lognormal", 1.0, variation=3.0))
    found = overload((1.2,), policies=["bounded"], setting=setting, jobs=800, replications=2, seed=SEED)
    [point] = found.points
    assert point.in_theory is None
    assert isinstance(point.goodput, Interval)
    assert json.dumps(found.to_dict())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="known: unbounded, bounded"):
        overload(policies=["hope"])
    with pytest.raises(ValueError, match="above 0"):
        overload((0.0,))
    with pytest.raises(ValueError, match="a limit of one job"):
        Setting(limit=0)
    with pytest.raises(ValueError, match=r"^workers 0.* one worker at least"):
        Setting(workers=0)


def test_the_figure_shows_every_policy(found: Overload) -> None:
    [legend] = overload_figure(found).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "unbounded",
        "bounded",
        "expiring",
        "low first",
        "newest first",
        "theory",
    ]
