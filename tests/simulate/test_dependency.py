"""An outage of what jobs need from elsewhere, on every rung: who files, who tries again, who does not even notice."""

from collections.abc import Callable

import numpy as np
import pytest

from minique.backoff import Backoff
from simulate.actors import World
from simulate.costs import FREE, Costs
from simulate.dependency import Dependency, Outage
from simulate.designs import KNOWN, find
from simulate.designs.minique import Minique
from simulate.faults import Kill, Plan
from simulate.measures import Measures, measure
from simulate.workload import Load, poisson_arrivals, stream

OUTAGE = Outage(begins=60, seconds=60)
FILING = ("naive", "claiming", "timer", "resque", "blocking")


def load(jobs: int = 800) -> Load:
    return Load("test", "made", poisson_arrivals(4.0, jobs, stream(1, "arrivals")), np.full(jobs, 0.2))


def run(make: Callable[[World], object], plan: Plan = Plan(outage=OUTAGE)) -> tuple[World, Measures]:  # noqa: B008
    world = World(load(), workers=4, costs=Costs(), plan=plan)
    design = make(world)
    world.run(design)
    found = measure(world, design.processes)
    design.close()
    return world, found


def test_a_call_fails_during_the_outage_and_otherwise_only_beyond_the_limit() -> None:
    dependency = Dependency(Outage(begins=10, seconds=5, calls_per_second=2), seed=1)
    assert [dependency.call(now, "", 1.0)[0] for now in (9.0, 10.0, 14.9, 15.0)] == [True, False, False, True]
    assert [dependency.call(now, "", 1.0)[0] for now in (15.1, 15.2, 15.99, 16.0)] == [True, False, False, True]
    assert list(dependency.refused) == [0, 1, 1, 0, 0, 1, 1, 0]


def test_what_collapses_answers_fewer_the_more_it_is_called_until_a_person_steps_in() -> None:
    outage = Outage(begins=0, seconds=1, calls_per_second=4, collapse=0.5, mended_after=9)
    dependency = Dependency(outage, seed=1)
    # Four are answered, and four too many take away two of the next second's answers, which come at the same pace.
    first = [dependency.call(2 + n / 8, "", 1.0)[0] for n in range(8)]
    assert first == [True] * 4 + [False] * 4
    second = [dependency.call(3 + n / 8, "", 1.0)[0] for n in range(8)]
    assert sum(second) == 2
    # Twelve times too many: nothing is left.
    assert not any(dependency.call(4 + n / 48, "", 1.0)[0] for n in range(48))
    # It recovers as soon as it is left alone, or is mended.
    assert dependency.call(6.0, "", 1.0)[0]
    storm = [dependency.call(9 + n / 48, "", 1.0)[0] for n in range(96)]
    assert not any(storm[24:48])
    assert all(storm[48:])


def test_one_that_collapses_needs_a_limit_and_somebody_who_steps_in() -> None:
    with pytest.raises(ValueError, match="say when a person steps in"):
        Outage(0, 1, calls_per_second=4, collapse=1)
    with pytest.raises(ValueError, match="needs a limit"):
        Outage(0, 1, collapse=1, mended_after=1)
    with pytest.raises(ValueError, match="0 or more"):
        Outage(0, 1, calls_per_second=4, collapse=-1, mended_after=1)


def test_a_share_of_calls_fails_and_other_queues_do_not_call() -> None:
    dependency = Dependency(Outage(begins=0, seconds=5000, share=0.3, queue="mail"), seed=1)
    failed = sum(not dependency.call(float(now), "mail", 1.0)[0] for now in range(5000))
    assert failed / 5000 == pytest.approx(0.3, abs=0.02)
    assert dependency.call(1.0, "other", 1.0)[0]
    assert len(dependency.calls) == 5000


@pytest.mark.parametrize("name", KNOWN)
def test_the_books_balance_on_every_rung_and_each_job_is_accounted_for(name: str) -> None:
    world, found = run(find(name))
    assert world.dependency is not None
    assert sum(world.dependency.refused) == found.failures > 100
    done = int((world.ledger.column("finishes") > 0).sum())
    assert done + sum(found.left.values()) + found.lost == found.jobs
    assert sum(found.left.values()) + found.lost > 0  # nobody survives a minute on the usual tries


@pytest.mark.parametrize("name", FILING)
def test_designs_that_try_once_file_what_was_due_during_the_outage(name: str) -> None:
    _, found = run(find(name))
    assert found.left == {"failed": found.failures}
    assert found.lost == 0


def test_a_worker_that_does_not_look_how_its_child_ended_loses_the_job_without_a_word() -> None:
    for name in ("backup", "unfenced"):
        _, found = run(find(name))
        assert found.lost == found.failures > 0
        assert not found.left


def test_enough_tries_bring_every_job_through() -> None:
    _, found = run(lambda world: Minique(world, retries=10))
    assert not found.left
    assert found.lost == 0
    assert found.finished_twice == 0


def test_without_jitter_a_retry_comes_when_it_was_planned() -> None:
    lone = Load("one", "made", np.array([OUTAGE.begins]), np.array([1.0]))
    world = World(lone, workers=1, costs=Costs(), plan=Plan(outage=OUTAGE))
    world.run(Minique(world, retries=20, backoff=Backoff(jitter=False)))
    assert world.dependency is not None
    gaps = np.diff(world.dependency.calls) - OUTAGE.fails_after
    assert gaps == pytest.approx([5, 10, 20, 40], abs=0.01)


def test_kills_during_an_outage_lose_nothing_either() -> None:
    kills = tuple(Kill(after=at) for at in (50.0, 70.0, 90.0, 130.0))
    world, found = run(lambda world: Minique(world, retries=20), Plan(kills=kills, outage=OUTAGE))
    assert found.killed == len(world.deaths) == 4
    assert found.lost == 0
    assert not found.left


@pytest.mark.parametrize("wrong", [{"seconds": -1.0}, {"share": 0.0}, {"calls_per_second": 0.5}])
def test_an_outage_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    [value] = wrong.values()
    with pytest.raises(ValueError, match=rf"^an? [^(=]*{value:g}"):  # in words, and not as Python shows an object
        Outage(**{"begins": 0.0, "seconds": 1.0, **wrong})


class TestSlowAnswers:
    """From 10 s on, for 20 s, a call takes five times as long as it usually does, which is a second."""

    @staticmethod
    def run(times_out: float | None = None) -> tuple[World, Measures]:
        load = Load("few", "made", np.array([5.0, 12.0, 40.0]), np.ones(3), ("calls", "calls", "calls"))
        outage = Outage(10.0, 20.0, queue="calls", slower=5.0, times_out=times_out)
        world = World(load, workers=1, costs=FREE, plan=Plan(outage=outage))
        world.run(Minique(world, queues="*", retries=20, backoff=Backoff(first_seconds=8.0, factor=1.0, jitter=False)))
        return world, measure(world, 1)  # and the books balance, though nobody works while it waits

    def test_a_call_keeps_its_worker_so_many_times_as_long(self) -> None:
        world, found = self.run()
        took = world.ledger.column("ended") - world.ledger.column("first_start")
        assert took == pytest.approx([1.0, 5.0, 1.0])
        assert found.failures == 0

    def test_whoever_loses_patience_fails_then_and_is_tried_again(self) -> None:
        world, found = self.run(times_out=2.0)
        assert found.failures == 2  # at 12 s, and at 22 s; the third is answered as usual
        assert world.dependency is not None
        assert world.dependency.took.tolist() == pytest.approx([1.0, 2.0, 2.0, 1.0, 1.0])
        assert world.dependency.refused.tolist() == [0, 1, 1, 0, 0]

    def test_patience_that_is_long_enough_changes_nothing(self) -> None:
        assert self.run(times_out=5.0)[1].failures == 0

    @pytest.mark.parametrize("wrong", [{"slower": 1.0}, {"slower": 5.0, "share": 0.5}, {"times_out": 1.0}])
    def test_what_cannot_be_is_refused(self, wrong: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="slower"):
            Outage(0.0, 1.0, **wrong)
