"""Two engines, one answer: real daemons and the shipping worker in virtual time, and a line of arithmetic per job."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulate import recursion
from simulate.actors import World
from simulate.costs import FREE
from simulate.designs import Design
from simulate.designs.claiming import Claiming
from simulate.designs.minique import Minique
from simulate.designs.naive import Naive
from simulate.intervals import Numbers
from simulate.workload import Load, stream

from .helpers import Perfect, load_of

EQUAL = {"rtol": 0, "atol": 1e-9}

JOBS = st.lists(st.tuples(st.floats(0, 3), st.floats(0, 5)), min_size=1, max_size=60)
# A job that comes at the very moment of a look may or may not be found, by the last bit of a sum.
BESIDE_LOOKS = 1e-6


def random_load(jobs: list[tuple[float, float]], beginning: float = 0.0) -> Load:
    return load_of(beginning + np.cumsum([gap for gap, _ in jobs]), [work for _, work in jobs])


def started(kind: type[Design], load: Load, workers: int, seed: int = 0, **options: Any) -> Numbers:
    world = World(load, workers=workers, costs=FREE, seed=seed)
    design = kind(world, **options)
    try:
        world.run(design)
    finally:
        design.close()
    return world.ledger.column("first_start")


def phase(number: int, seed: int, within: float) -> float:
    return float(stream(seed, f"start {number}").random()) * within


@given(JOBS, st.integers(1, 6))
@settings(max_examples=60)
def test_the_perfect_queue_is_kiefer_and_wolfowitzs(jobs: list[tuple[float, float]], servers: int) -> None:
    load = random_load(jobs)
    expected = recursion.first_come_first_served(load.arrived, load.service, servers)
    np.testing.assert_allclose(started(Perfect, load, servers), expected, **EQUAL)


@given(JOBS, st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_so_is_the_shipping_worker_when_nothing_costs_anything(
    jobs: list[tuple[float, float]], servers: int, seed: int
) -> None:
    load = random_load(jobs, beginning=2.0)  # when all workers are up
    expected = recursion.first_come_first_served(load.arrived, load.service, servers)
    # One by one: of short ones it claims several, and the others then wait for up to ten milliseconds.
    np.testing.assert_allclose(started(Minique, load, servers, seed, batch=1), expected, **EQUAL)


@given(JOBS, st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_naive_daemon_is_a_server_that_takes_vacations_behind_a_gate(
    jobs: list[tuple[float, float]], seed: int
) -> None:
    load = random_load(jobs)
    expected = recursion.gated(load.arrived, load.service, phase(0, seed, 10.0), 10.0)
    assume(np.abs(expected[:, None] - load.arrived).min() > BESIDE_LOOKS)
    np.testing.assert_allclose(started(Naive, load, 1, seed), expected, **EQUAL)


@given(JOBS, st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_claiming_daemons_are_servers_that_take_vacations_once_all_is_done(
    jobs: list[tuple[float, float]], servers: int, seed: int
) -> None:
    load = random_load(jobs)
    looks = [phase(number, seed, 10.0) for number in range(servers)]
    expected = recursion.polled(load.arrived, load.service, looks, 10.0)
    every_look = np.array([look + 10 * n for look in looks for n in range(40)])
    assume(np.abs(every_look[:, None] - load.arrived).min() > BESIDE_LOOKS)
    assume(np.abs(expected[:, None] - load.arrived).min() > BESIDE_LOOKS)
    np.testing.assert_allclose(started(Claiming, load, servers, seed), expected, **EQUAL)


@given(JOBS, st.integers(1, 4))
def test_with_one_class_priorities_are_the_order_of_arrival(jobs: list[tuple[float, float]], servers: int) -> None:
    load = random_load(jobs)
    plain = recursion.first_come_first_served(load.arrived, load.service, servers)
    np.testing.assert_allclose(
        recursion.by_priority(load.arrived, load.service, [0] * load.jobs, servers), plain, **EQUAL
    )
    np.testing.assert_allclose(recursion.bounded(load.arrived, load.service, servers, load.jobs), plain, **EQUAL)


def test_the_urgent_go_first_and_interrupt_nobody() -> None:
    starts = recursion.by_priority([0, 1, 2, 3], [10, 5, 4, 1], [1, 1, 0, 0], servers=1)
    assert starts.tolist() == [0, 15, 10, 14]


def test_whoever_finds_no_place_is_turned_away() -> None:
    starts = recursion.bounded([0, 1, 2, 3, 11, 12], [10, 5, 4, 1, 1, 1], servers=1, places=2)
    np.testing.assert_array_equal(starts, [0, 10, np.nan, np.nan, 15, np.nan])


def test_hundreds_of_runs_side_by_side_are_the_same_runs() -> None:
    generator = np.random.default_rng(5)
    gaps, service = generator.exponential(0.4, (300, 7)), generator.exponential(1.0, (300, 7))
    arrived = np.cumsum(gaps, axis=0)

    def side_by_side(one, servers: int = 1) -> Numbers:  # in two blocks, the second going on where the first ended
        lanes = recursion.Lanes(7, servers)
        return np.concatenate([one(lanes, arrived[:100], service[:100]), one(lanes, arrived[100:], service[100:])])

    def one_by_one(function, *more) -> Numbers:
        return np.stack([function(arrived[:, lane], service[:, lane], *more) for lane in range(7)], axis=1)

    first = recursion.first_come_first_served
    for servers in (1, 2, 5):
        many = side_by_side(recursion.Lanes.first_come_first_served, servers)
        np.testing.assert_allclose(many, one_by_one(first, servers), **EQUAL)
    many = side_by_side(lambda lanes, a, s: lanes.polled(a, s, 10.0))
    np.testing.assert_allclose(many, one_by_one(recursion.polled, [0.0], 10.0), **EQUAL)
    many = side_by_side(lambda lanes, a, s: lanes.gated(a, s, 10.0))
    np.testing.assert_allclose(many, one_by_one(recursion.gated, 0.0, 10.0), **EQUAL)
    for servers, places in ((1, 1), (2, 2), (2, 6)):
        many = side_by_side(lambda lanes, a, s, places=places: lanes.bounded(a, s, places), servers)
        np.testing.assert_allclose(many, one_by_one(recursion.bounded, servers, places), **EQUAL)
        assert np.isnan(many).any()


def test_priorities_side_by_side_are_the_same_too() -> None:
    generator = np.random.default_rng(6)
    rows, lanes, kept = (200, 150), 5, 250
    gaps = [generator.exponential(1 / rate, (count, lanes)) for rate, count in zip((0.8, 0.7), rows, strict=True)]
    arrived = [np.cumsum(gap, axis=0) for gap in gaps]
    service = [generator.exponential(1.0, (count, lanes)) for count in rows]
    for servers in (1, 3):
        waits, classes = recursion.Lanes(lanes, servers).by_priority(arrived, service, kept)
        for lane in range(lanes):
            times = np.concatenate([column[:, lane] for column in arrived])
            work = np.concatenate([column[:, lane] for column in service])
            order = np.argsort(times)
            of = np.repeat((0, 1), rows)[order]
            starts = recursion.by_priority(times[order], work[order], of.tolist(), servers)
            in_turn = np.argsort(starts, kind="stable")[:kept]
            np.testing.assert_array_equal(classes[:, lane], of[in_turn])
            np.testing.assert_allclose(waits[:, lane], (starts - times[order])[in_turn], **EQUAL)
        assert (np.diff(classes, axis=0) != 0).any()


def test_nobody_is_served_by_nobody() -> None:
    for serve in (
        lambda: recursion.first_come_first_served([0], [1], 0),
        lambda: recursion.polled([0], [1], [], 10.0),
        lambda: recursion.bounded([0], [1], 0, 1),
        lambda: recursion.by_priority([0], [1], [0], 0),
    ):
        with pytest.raises(ValueError, match="one at least"):
            serve()
