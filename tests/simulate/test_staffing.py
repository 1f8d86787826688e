"""A load staffed window by window: the workers that ship come and go, and the goal holds in every window."""

import json

import numpy as np
import pytest

from simulate import theory
from simulate.actors import World
from simulate.costs import FREE, Costs
from simulate.designs import find
from simulate.experiments import staffing, waits_by_workers
from simulate.faults import Kill, Plan
from simulate.intervals import Interval, Refusal
from simulate.measures import measure
from simulate.plan import Goal
from simulate.plots import staffing_figure, waits_figure
from simulate.recursion import first_come_first_served
from simulate.scenarios.staffing import _Lane, erlang_workers
from simulate.service_times import ServiceTimes
from simulate.workload import Load, generate

from .helpers import load_of

GOAL = Goal(5.0)


def day(seed: int, jobs: int = 3000) -> Load:
    """A day of four hours, so to speak."""
    load = generate("poisson", jobs, seed, rate=jobs / 14400, service=ServiceTimes("exponential", 10.0))
    wave = load.arrived + 14400 / 2 / np.pi * 0.6 * np.sin(2 * np.pi * load.arrived / 14400)
    return Load("day", "made", np.sort(np.maximum(wave, 0.0)), load.service)


class TestComingAndGoing:
    def test_a_worker_that_is_told_to_go_finishes_what_it_has_and_takes_no_more(self) -> None:
        load = load_of([0.0, 0.0, 5.0, 6.0], [10.0, 10.0, 1.0, 1.0])
        world = World(load, workers=2, costs=FREE, staffing=[(0.0, 2), (2.0, 1)])
        design = find("minique")(world)
        world.run(design)
        assert measure(world, 2).lost == 0
        assert list(world.ledger.starts) == [1, 1, 1, 1]
        # Both go on to their ends; one is left, and does the rest one after the other.
        assert world.ledger.column("first_start") == pytest.approx([0, 0, 10, 11], abs=0.01)

    def test_more_workers_help_from_the_moment_they_are_there(self) -> None:
        load = load_of([0.0] * 4, [10.0] * 4)
        world = World(load, workers=1, costs=FREE, staffing=[(0.0, 1), (3.0, 3)])
        world.run(find("minique")(world))
        assert world.ledger.column("first_start") == pytest.approx([0, 3, 3, 10], abs=0.01)

    def test_long_jobs_are_left_alone_by_those_who_come_later(self) -> None:
        load = load_of([0.0, 100.0], [500.0, 1.0])
        world = World(load, workers=1, costs=FREE, staffing=[(0.0, 1), (50.0, 3), (90.0, 2)])
        world.run(find("minique")(world))
        assert list(world.ledger.starts) == [1, 1]

    def test_whoever_dies_on_the_way_out_is_not_replaced_and_its_job_is_not_lost(self) -> None:
        load = load_of([0.0, 0.0, 30.0], [20.0, 20.0, 1.0])
        kills = Plan(kills=(Kill(after=0.0, process=0), Kill(after=0.0, process=1)))
        world = World(load, workers=2, costs=FREE, plan=kills, staffing=[(0.0, 2), (5.0, 1)])
        world.run(find("minique")(world))
        assert len(world.deaths) == 2
        assert world.ledger.lost == 0

    def test_other_designs_say_that_they_cannot(self) -> None:
        world = World(day(1), workers=2, costs=FREE, staffing=[(0.0, 2), (100.0, 1)])
        with pytest.raises(RuntimeError, match="cannot be told to go"):
            world.run(find("resque")(world))


class TestTheRecursion:
    def test_with_a_number_that_does_not_change_it_is_first_come_first_served(self) -> None:
        load = day(2)
        lane = _Lane(load, FREE, "minique")
        found = []
        for n in range(8):
            waits, lane.free, lane.at = lane.waits(3, n * 1800.0, (n + 1) * 1800.0 if n < 7 else float("inf"))
            found.append(waits)
        ideal = first_come_first_served(load.arrived, load.service, 3) - load.arrived
        assert np.abs(np.concatenate(found) - ideal).max() < 1e-6

    def test_it_is_the_workers_that_ship_job_by_job_as_they_come_and_go(self) -> None:
        load, numbers, window = day(3), (2, 5, 1, 4), 3600.0
        waits = np.concatenate(_Lane(load, FREE, "minique").all_waits(numbers, window))
        staff = [(n * window, workers) for n, workers in enumerate(numbers)]
        world = World(load, workers=5, costs=FREE, staffing=staff)
        world.run(find("minique")(world))
        played = world.ledger.column("first_start") - load.arrived
        assert waits.max() > 100  # a backlog crossed from a window with few to one with more
        assert np.abs(waits - played).max() < 1e-6


def test_the_goal_holds_in_every_window_and_costs_less_than_the_peak_all_day() -> None:
    found = staffing(day(4), GOAL)
    assert found.why_none is None
    assert len(found.windows) == 4
    assert all(window.waiting is not None and window.waiting < GOAL.seconds for window in found.windows)
    assert found.constant_worker_hours is not None
    assert found.worker_hours < found.constant_worker_hours
    busiest, quietest = (of(found.windows, key=lambda window: window.offered) for of in (max, min))
    assert busiest.workers > quietest.workers
    assert isinstance(busiest.estimate, Refusal)
    assert "another day will differ" in busiest.estimate.why
    assert staffing_figure(found).axes
    assert json.dumps(found.to_dict())


def test_several_days_give_intervals_that_lie_below_the_target() -> None:
    found = staffing([(n, day(n)) for n in range(3)], GOAL)
    assert found.why_none is None
    intervals = [window.estimate for window in found.windows if isinstance(window.estimate, Interval)]
    assert len(intervals) >= 3
    assert all(interval.high < GOAL.seconds for interval in intervals)


def test_growth_and_crashes_take_more_workers() -> None:
    usual = staffing(day(5), GOAL)
    grown = staffing(day(5), Goal(5.0, growth=2.0), window=1800.0)
    crashing = staffing(day(5), Goal(5.0, crashes_per_hour=30.0))
    assert max(window.workers for window in grown.windows) > 1.5 * max(window.workers for window in usual.windows)
    assert crashing.crashes == 120
    assert crashing.lost == 0
    assert crashing.worker_hours >= usual.worker_hours


def test_by_the_book_the_number_is_the_smallest_that_the_formula_allows() -> None:
    workers = erlang_workers(4.0, 1.0, Goal(2.0))
    assert theory.mmc_wait_percentile(4.0, 1.0, workers, 95.0) < 2.0
    assert theory.mmc_wait_percentile(4.0, 1.0, workers - 1, 95.0) >= 2.0


def test_a_load_that_cannot_be_served_is_refused_in_words() -> None:
    found = staffing(day(6), GOAL, most=2)
    assert found.why_none is not None
    assert "2 workers are not enough, and that is the limit" in found.why_none
    assert not found.windows
    assert staffing_figure(found).axes
    with pytest.raises(ValueError, match="cannot change its number of workers"):
        staffing(day(6), GOAL, design="naive")
    with pytest.raises(ValueError, match="must be above 0"):
        staffing(day(6), GOAL, window=0.0)


def test_variance_costs_workers() -> None:
    services = (ServiceTimes("exponential", 1.0), ServiceTimes("lognormal", 1.0, variation=8.0))
    found = waits_by_workers((3, 5, 6, 8), services, jobs=4000, replications=3, seed=1, costs=Costs())
    usual, wild = found.shapes
    assert isinstance(usual.points[0].waiting, Refusal)  # four erlangs are too much for three
    for point in usual.points[1:]:
        assert isinstance(point.waiting, Interval)
        assert point.in_theory is not None
        assert abs(point.waiting.value - point.in_theory) < 2 * point.waiting.half + 0.01
    few, many = usual.enough(1.5), wild.enough(1.5)
    assert few is not None
    assert many is None or many > few
    assert waits_figure(found, 1.5).axes
