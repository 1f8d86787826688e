"""Rung 8 in virtual time: the worker, reaper and loop that ship, held against theory and against themselves."""

import numpy as np
import pytest

from minique.store import Renew
from simulate.actors import World
from simulate.costs import FREE, Costs
from simulate.designs.inline import InLine
from simulate.designs.minique import Minique, TimedStore
from simulate.faults import Kill, Plan
from simulate.recursion import first_come_first_served
from simulate.workload import generate

from .helpers import load_of

LEASE_SECONDS = 10.0
COLUMNS = ("first_start", "last_start", "ended", "last_end", "starts", "finishes")


def run(world: World, **options) -> World:
    design = Minique(world, **options)
    world.run(design)
    design.close()
    return world


def ledger(world: World) -> np.ndarray:
    return np.array([world.ledger.column(name) for name in COLUMNS])


def test_a_lone_job_waits_for_its_trip_the_wake_up_the_claim_and_the_hand_over_and_for_nothing_else() -> None:
    costs = Costs()
    world = run(World(load_of([100], [1]), workers=2, costs=costs))
    waited = world.ledger.first_start[0] - world.ledger.arrived[0]
    assert waited == pytest.approx(2 * costs.round_trip + costs.wake_up + costs.hand_over)


def test_at_no_cost_it_is_the_ideal_queue_job_by_job() -> None:
    load = generate("bursty", 3000, seed=5, erlangs=3.4)
    world = run(World(load, workers=4, costs=FREE))
    ideal = first_come_first_served(load.arrived, load.service, 4)
    # Not before its workers are there: they start within the first second.
    settled = load.arrived > 200
    assert np.abs(world.ledger.column("first_start") - ideal)[settled].max() < 1e-6


def test_the_ledger_is_the_same_with_renewals_reaping_and_signs_of_life_as_without() -> None:
    # Jobs of half a minute need a dozen renewals each.
    load = generate("poisson", 800, seed=3, erlangs=3.2)
    load = load_of(load.arrived * 10, load.service * 10)
    assert load.service.max() > 3 * LEASE_SECONDS
    without = run(World(load, workers=4, costs=FREE), upkeep=False)
    with_it = run(World(load, workers=4, costs=FREE), upkeep=True)
    np.testing.assert_array_equal(ledger(without), ledger(with_it))
    # The looks that were left out are counted all the same, but for the fractions of a second at their ends.
    assert without.empty_looks == pytest.approx(with_it.empty_looks, rel=0.02)


def test_without_renewals_but_with_reaping_a_long_job_never_gets_done(monkeypatch) -> None:
    """What the test above would notice: the reaper is at work in it, and only renewals keep long jobs from it."""
    draw = TimedStore._draw

    def deaf_to_renewals(self: TimedStore, arrows):
        return [True if isinstance(arrow, Renew) else draw(self, (arrow,))[0] for arrow in arrows]

    monkeypatch.setattr(TimedStore, "_draw", deaf_to_renewals)
    world = World(load_of([0, 1], [30, 1]), workers=2, costs=FREE)
    # Taken for dead three times, while its workers were well.
    with pytest.raises(RuntimeError, match="1 jobs are in the failed queue"):
        run(world, upkeep=True)
    assert world.ledger.starts[0] == 3


@pytest.mark.parametrize("after", [20.0, 33.3, 47.1])
def test_a_dead_workers_job_is_done_by_another_within_the_lease_and_a_second(after: float) -> None:
    load = load_of(np.arange(0.0, 80.0, 0.5), np.full(160, 0.6))
    world = run(World(load, workers=3, costs=Costs(), plan=Plan(kills=(Kill(after=after),), restart_after=1)))
    [death] = world.deaths
    assert world.ledger.lost == 0
    assert world.ledger.finished_twice == 0
    assert list(np.flatnonzero(world.ledger.column("starts") > 1)) == [death.job]
    assert world.ledger.last_start[death.job] - death.time <= LEASE_SECONDS + 1 + 0.1


def test_a_job_of_many_leases_runs_once_and_a_killed_one_twice() -> None:
    world = run(World(load_of([0, 5], [120, 1]), workers=2, costs=Costs()), upkeep=True)
    assert list(world.ledger.starts) == [1, 1]
    killed = run(World(load_of([0, 5], [120, 1]), workers=2, costs=Costs(), plan=Plan(kills=(Kill(after=0),))))
    assert sorted(killed.ledger.starts) == [1, 2]
    assert list(killed.ledger.finishes) == [1, 1]


def test_in_line_the_keeper_renews_a_job_of_many_leases() -> None:
    world = World(load_of([0, 5], [120, 1]), workers=2, costs=Costs())
    world.run(InLine(world, upkeep=True))
    assert list(world.ledger.starts) == [1, 1]


def test_many_kills_lose_nothing() -> None:
    load = generate("poisson", 1500, seed=9, erlangs=3.5)
    kills = tuple(Kill(after=moment) for moment in np.linspace(10, load.span, 25))
    world = run(World(load, workers=6, costs=Costs(), plan=Plan(kills=kills, restart_after=0.5)))
    assert len(world.deaths) == 25
    assert world.ledger.lost == 0
    assert world.ledger.finished_twice == 0


def test_without_upkeep_old_jobs_are_forgotten_all_the_same() -> None:
    load = generate("poisson", 3000, seed=3, erlangs=3.2)
    world = World(load, workers=4, costs=FREE)
    design = Minique(world)
    assert not design.upkeep
    world.run(design)
    kept = [key for key in design.store.contents() if key.startswith("job:")]
    assert len(kept) < 200


def test_the_same_seed_gives_the_same_ledger() -> None:
    load = generate("twin", 600, seed=1, erlangs=2.5)
    one, other = (run(World(load, workers=3, costs=Costs(), seed=7)) for _ in range(2))
    np.testing.assert_array_equal(ledger(one), ledger(other))
