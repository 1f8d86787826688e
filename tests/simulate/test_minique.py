"""Rung 8 in virtual time: the worker, reaper and loop that ship, held against theory and against themselves."""

from random import Random

import numpy as np
import pytest

from minique.call import Call
from minique.perform import Context, Returned
from minique.processes import FORKS_AHEAD, Forks, Task
from minique.registry import Registry
from minique.store import Renew
from minique.worker import BATCH_SECONDS
from simulate.actors import Process, World
from simulate.costs import FREE, Costs
from simulate.designs.inline import InLine
from simulate.designs.minique import Minique, SimulatedChild, TimedStore
from simulate.designs.ticks import OwnClock, TickedChild
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


def test_a_lone_job_waits_for_its_trip_the_wake_up_and_the_hand_over_and_for_nothing_else() -> None:
    costs = Costs()
    world = run(World(load_of([100], [1]), workers=2, costs=costs))
    waited = world.ledger.first_start[0] - world.ledger.arrived[0]
    assert waited == pytest.approx(costs.round_trip + costs.wake_up + costs.hand_over)


SLOW_WAKERS = Costs(wake_up=1.0)


@pytest.mark.parametrize("ticked", [True, False])
def test_a_job_belongs_to_whoever_its_bell_woke_though_another_is_free_sooner(ticked: bool) -> None:
    # The second job finds one idle worker, who takes a second to wake up; the other one is free after half of that.
    world = run(World(load_of([100, 101.5], [2, 1]), workers=2, costs=SLOW_WAKERS), ticked=ticked)
    first, second = world.ledger.column("first_start") - world.ledger.arrived
    assert first == second == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("upkeep", [True, False])
def test_what_the_bell_has_claimed_is_given_back_by_a_worker_that_is_told_to_go(upkeep: bool) -> None:
    replaced = World(load_of([100], [1]), workers=1, costs=SLOW_WAKERS, replacements=[(100.5, 0)])
    world = run(replaced, upkeep=upkeep)
    waited = world.ledger.first_start[0] - world.ledger.arrived[0]
    assert 1.0 < waited < 1.1  # it wakes, gives back, goes; the next one claims at once, and no lease has to run out
    assert world.ledger.starts.tolist() == [1]


def test_a_bell_that_rings_for_two_jobs_wakes_two_and_a_third_one_waits() -> None:
    world = run(World(load_of([100, 100, 100], [5, 5, 5]), workers=2, costs=SLOW_WAKERS))
    waits = np.sort(world.ledger.column("first_start") - world.ledger.arrived)
    assert waits == pytest.approx([1.0, 1.0, 6.0], abs=0.02)


def test_at_no_cost_it_is_the_ideal_queue_job_by_job() -> None:
    load = generate("bursty", 3000, seed=5, erlangs=3.4)
    world = run(World(load, workers=4, costs=FREE), batch=1)
    ideal = first_come_first_served(load.arrived, load.service, 4)
    # Not before its workers are there: they start within the first second.
    settled = load.arrived > 200
    assert np.abs(world.ledger.column("first_start") - ideal)[settled].max() < 1e-6


def test_jobs_that_were_claimed_with_a_slow_one_wait_for_ten_milliseconds_at_most() -> None:
    # The first worker's short job lets it claim both slow ones, half a millisecond before the other is free.
    load = load_of([2, 2, 2, 2], [0.004, 0.0045, 5, 5])
    one_by_one, together = (run(World(load, workers=2, costs=FREE), batch=batch) for batch in (1, 8))
    assert one_by_one.ledger.column("first_start") == pytest.approx([2, 2, 2.004, 2.0045])
    assert together.ledger.column("first_start") == pytest.approx([2, 2, 2.004, 2.004 + BATCH_SECONDS])


def test_short_jobs_are_claimed_together_and_their_children_forked_in_a_row() -> None:
    costs = Costs()
    jobs = 8 * FORKS_AHEAD
    world = World(load_of(np.full(jobs, 2.0), np.full(jobs, 0.0001)), workers=1, costs=costs)
    run(world)
    starts = np.sort(world.ledger.column("first_start"))
    each = costs.hand_over + costs.end_of_child
    # From one row of forks to the next. Of jobs that take so long with all that belongs to them four are claimed at a
    # time. The worker hears of one job's end when it has forked, and the work in it was done meanwhile.
    assert int(BATCH_SECONDS / (each + 0.0001)) == 4
    assert starts[-1] - starts[-1 - FORKS_AHEAD] == pytest.approx(
        FORKS_AHEAD * (each + costs.fork_in_a_row) + (FORKS_AHEAD - 1) * 0.0001 + FORKS_AHEAD // 4 * costs.round_trip
    )


class Ready:
    """A child that has done its task when it is asked."""

    tasks_left = 1

    def await_ready(self) -> None: ...

    def raise_if_unready(self) -> None: ...

    def send(self, frame: bytes) -> None: ...

    def ending(self, kills: object) -> Returned:
        return Returned("null")

    def close(self) -> None: ...

    def is_over(self) -> bool:
        return True


def test_simulated_children_are_forked_when_real_ones_are(monkeypatch: pytest.MonkeyPatch) -> None:
    forked: list[int] = []

    def start(self: Forks, number: int) -> list[Ready]:
        forked.append(number)
        return [Ready() for _ in range(number)]

    def forks(self: Costs, number: int) -> float:
        forked.append(number)
        return 0.0

    monkeypatch.setattr(Forks, "_start", start)
    monkeypatch.setattr(Costs, "forks", forks)
    world = World(load_of([0.0] * 400, [0.0] * 400), workers=1, costs=Costs())
    job_class = Minique(world).job_class
    simulated, ticked = SimulatedChild(world, Process(0)), TickedChild(world, OwnClock())
    monkeypatch.setattr(simulated, "_hand_over", lambda task: None)
    found = []
    for children in (Forks(Registry()), simulated, ticked):
        random = Random(1)
        for number in range(400):
            children.give(Task(job_class, Context(str(number), "", 1), Call("job", [], {}, {})))
            children.prepare(random.choice((1, 1, 2, 8)))
            children.poll()
            if random.random() < 0.3:
                children.prepare()
        found.append(forked.copy())
        forked.clear()
    assert found[0] == found[1] == found[2]
    assert set(found[0]) == {1, FORKS_AHEAD}


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


def test_a_worker_that_is_told_to_go_while_it_forks_goes_when_it_has() -> None:
    # Its first child, for which it takes three seconds from its start on. It is told after two.
    world = World(load_of([9.0], [0.1]), workers=1, costs=Costs(fork=3.0), replacements=[(2.0, 0)])
    first = []
    world.hub.at(1.5, lambda _: first.append(world.processes[0]))
    run(world)
    assert not first[0].alive
    assert world.processes[0] is not first[0]
    assert list(world.ledger.finishes) == [1]


def test_the_same_seed_gives_the_same_ledger() -> None:
    load = generate("twin", 600, seed=1, erlangs=2.5)
    one, other = (run(World(load, workers=3, costs=Costs(), seed=7)) for _ in range(2))
    np.testing.assert_array_equal(ledger(one), ledger(other))
