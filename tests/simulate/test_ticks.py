"""Workers whose ticks are events do what workers that are actors do, to the last bit of every time."""

import numpy as np
import pytest

from simulate.actors import World
from simulate.costs import FREE, Costs
from simulate.designs import ticks
from simulate.designs.inline import InLine
from simulate.designs.minique import Minique
from simulate.faults import Kill, Plan
from simulate.workload import Load, generate

from .helpers import load_of

COLUMNS = ("enqueued", "first_start", "last_start", "ended", "last_end", "starts", "finishes")


def played(load: Load, workers: int, costs: Costs, ticked: bool, **options) -> World:
    world = World(load, workers=workers, costs=costs, seed=4)
    design = Minique(world, ticked=ticked, **options)
    world.run(design)
    return world


def ledger(world: World) -> np.ndarray:
    return np.array([world.ledger.column(name) for name in COLUMNS])


@pytest.mark.parametrize("workers", [1, 3, 8])
@pytest.mark.parametrize("erlangs", [0.4, 0.97])
@pytest.mark.parametrize("costs", [Costs(), FREE, Costs(round_trip=0.05, wake_up=0.02)], ids=["usual", "free", "dear"])
def test_the_ledger_is_the_same_as_with_actors(workers: int, erlangs: float, costs: Costs) -> None:
    load = generate("bursty", 600, seed=workers, erlangs=erlangs * workers)
    actors, events = (played(load, workers, costs, ticked) for ticked in (False, True))
    np.testing.assert_array_equal(ledger(events), ledger(actors))
    assert events.ledger.waiting_area == pytest.approx(actors.ledger.waiting_area)
    # The looks of idle workers are summed in another order.
    assert events.empty_looks == pytest.approx(actors.empty_looks, abs=1)


def test_so_it_is_with_jobs_that_take_no_time_and_come_together() -> None:
    load = load_of([2.0] * 20 + [2.00005] * 20 + [3.0], [0.0] * 30 + [0.001] * 11)
    for workers in (1, 4, 50):
        actors, events = (played(load, workers, Costs(), ticked) for ticked in (False, True))
        np.testing.assert_array_equal(ledger(events), ledger(actors))


# Jobs that are claimed together, and among them some that are too long for that: they end before the next ones are
# forked, while those wait for them, or long after the others were given back.
SHORT = (0.0, 0.0005, 0.002, 0.0037, 0.0093, 0.0151, 0.21)


@pytest.mark.parametrize(
    "costs",
    [Costs(), Costs(round_trip=0.006), Costs(fork=0.03, fork_in_a_row=0.013), Costs(fork=4.0, fork_in_a_row=0.9)],
    ids=["usual", "far away", "dear forks", "forks that outlast a renewal"],
)
@pytest.mark.parametrize("workers", [1, 3])
def test_so_it_is_with_short_jobs_that_are_claimed_together(workers: int, costs: Costs) -> None:
    random = np.random.default_rng(workers)
    service = random.choice(SHORT, 400, p=[0.2, 0.2, 0.2, 0.2, 0.1, 0.08, 0.02]) * random.uniform(0.9, 1.1, 400)
    load = load_of(2 + np.cumsum(random.exponential(0.008 / workers, 400)), service)
    actors, events = (played(load, workers, costs, ticked) for ticked in (False, True))
    np.testing.assert_array_equal(ledger(events), ledger(actors))


def test_so_it_is_with_several_queues() -> None:
    load = generate("poisson", 400, seed=2, erlangs=2.5)
    named = Load("named", "", load.arrived, load.service, queues=tuple("abc"[job % 3] for job in range(load.jobs)))
    for queues in ("b,*", ["a,b", "c", "*"]):
        actors, events = (played(named, 3, Costs(), ticked, queues=queues) for ticked in (False, True))
        np.testing.assert_array_equal(ledger(events), ledger(actors))


def test_a_trip_that_is_half_as_long_as_it_should_be_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above would see."""
    load = generate("poisson", 200, seed=1, erlangs=2.0)
    actors = played(load, 3, Costs(), ticked=False)
    with monkeypatch.context() as broken:
        broken.setattr(ticks.Ticks, "_tick_at", lambda self, time: self._hub.at(time, self._tick, time))
        assert (ledger(played(load, 3, Costs(), ticked=True)) != ledger(actors)).any()
    # And so is a worker that hears of ends while it forks.
    load = load_of(np.linspace(2, 3, 200), np.full(200, 0.001))
    costs = Costs(fork=0.01, fork_in_a_row=0.01)
    actors = played(load, 1, costs, ticked=False)
    monkeypatch.setattr(ticks.TickedChild, "prepare", lambda self, tasks=1: setattr(self, "_ready", 8))
    assert (ledger(played(load, 1, costs, ticked=True)) != ledger(actors)).any()


def test_faults_and_jobs_that_run_in_their_worker_are_left_to_actors() -> None:
    load = load_of([1.0], [1.0])
    plain, struck = World(load, workers=1, costs=FREE), World(load, workers=1, costs=FREE, plan=Plan((Kill(0.0),)))
    assert Minique(plain).ticked
    assert not Minique(plain, upkeep=True).ticked
    assert not Minique(struck).ticked
    assert not InLine(plain).ticked
