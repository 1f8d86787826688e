"""The two naive designs: the daemons that ship, in virtual time, with the faults that they are known for."""

import numpy as np
import pytest

from simulate import designs
from simulate.actors import World
from simulate.costs import FREE, Costs
from simulate.designs.claiming import Claiming
from simulate.designs.naive import Naive
from simulate.faults import Kill, Plan
from simulate.measures import measure
from simulate.workload import generate

from .helpers import load_of


def run(kind: type[designs.Design], world: World) -> World:
    design = kind(world)
    world.run(design)
    design.close()
    return world


def test_a_lone_row_waits_for_the_next_look_of_the_naive_loop() -> None:
    world = run(Naive, World(load_of([0, 100], [1, 1]), workers=8, costs=FREE))
    waited = world.ledger.column("first_start") - world.ledger.column("arrived")
    phase = world.ledger.first_start[0]
    assert 0 < phase < 10
    # It looked, worked for a second, and slept ten: looks at phase, then every ten seconds after phase + 1.
    assert waited[1] == pytest.approx((phase + 1 - 100) % 10)


def test_a_killed_naive_daemon_does_its_row_again_from_the_start() -> None:
    load = load_of([0, 0, 0], [20, 20, 20])
    world = run(Naive, World(load, workers=1, costs=FREE, plan=Plan(kills=(Kill(after=15),), restart_after=3)))
    begun = world.ledger.first_start[0]
    assert list(world.ledger.starts) == [1, 2, 1]
    # Killed at half of the second row, started again three seconds later, and there it is at once.
    assert world.ledger.last_start[1] == pytest.approx(begun + 20 + 10 + 3)
    assert measure(world, 1).recovery_time == pytest.approx(3 + 20)


def test_a_killed_claim_waits_the_timeout_out() -> None:
    load = load_of(np.arange(0, 300, 1.0), np.full(300, 0.5))
    world = run(Claiming, World(load, workers=4, costs=FREE, plan=Plan(kills=(Kill(after=100),))))
    measured = measure(world, 4)
    assert (measured.lost, measured.started_again, measured.finished_twice) == (0, 1, 0)
    assert measured.recovery_time is not None
    assert 60 <= measured.recovery_time < 60 + 10 + 1


def test_work_longer_than_the_timeout_runs_twice() -> None:
    world = run(Claiming, World(load_of([0, 0, 0], [5, 75, 300]), workers=3, costs=FREE))
    starts = list(world.ledger.starts)
    assert starts[0] == 1
    assert starts[1] == 2
    # The long one is taken again whenever the last claim on it runs out, until the first of its runs is through.
    assert starts[2] >= 3
    assert world.ledger.finished_twice == 2


def test_statements_cost_what_they_cost() -> None:
    load = load_of([0.0], [1.0])
    costs = Costs(query=0.1, commit=0.5, round_trip=0, wake_up=0, hand_over=0)
    world = run(Naive, World(load, workers=1, costs=costs))
    assert world.ledger.enqueued[0] == 0.5
    free = run(Naive, World(load, workers=1, costs=FREE))
    assert world.ledger.first_start[0] == pytest.approx(free.ledger.first_start[0] + 0.1)


def test_idle_looks_are_counted() -> None:
    load = load_of([0.0, 1000.0], [0.0, 0.0])
    assert 98 <= run(Naive, World(load, workers=5, costs=FREE)).empty_looks <= 101
    assert 5 * 98 <= run(Claiming, World(load, workers=5, costs=FREE)).empty_looks <= 5 * 101


def test_idle_daemons_that_poll_bunch_up() -> None:
    """Eight daemons with evenly random phases would find a new row after 10 / 9 s. They do not stay evenly spread:
    whoever looks after the longest gap most likely finds the row, and its work makes that gap longer still."""
    load = generate("poisson", 4000, 1, erlangs=0.1)
    world = run(Claiming, World(load, workers=8, costs=FREE))
    mean = measure(world, 8).waiting.mean
    assert mean is not None
    assert mean > 1.3 * 10 / 9


def test_an_unknown_design_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="known: naive, unclaimed, claiming"):
        designs.find("cron")


@pytest.mark.parametrize("name", list(designs.KNOWN))
def test_every_design_says_what_it_is_and_loses_nothing_in_peace(name: str) -> None:
    kind = designs.find(name)
    assert kind.name == name
    assert kind.shows
    world = run(kind, World(generate("twin", 500, 2, erlangs=2), workers=4, costs=Costs()))
    assert world.ledger.lost == 0
    assert measure(world, 4).utilisation is not None


def test_a_row_that_goes_wrong_inside_the_simulation_is_an_error_and_no_result() -> None:
    world = World(load_of([0.0], [1.0]), workers=1, costs=FREE)
    design = Naive(world)
    design.enqueue = lambda job: design.database.insert(job + 100, world.hub.now)  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="marked as error"):
        world.run(design)
