"""Ledger and measures, on runs small enough to check by hand, and on designs that are known to be wrong."""

import random

import numpy as np
import pytest

from simulate.actors import World
from simulate.balance import balance
from simulate.costs import FREE
from simulate.faults import NOTHING, Kill, Plan, one_kill_halfway, random_kills
from simulate.ledger import Ledger
from simulate.measures import backlog, largest_backlog, measure, percentile
from simulate.workload import generate

from .helpers import Forgetful, Perfect, load_of


def test_a_run_of_three_jobs_is_measured_as_by_hand() -> None:
    """One process; jobs of 4, 2 and 1 seconds arrive at 0, 1 and 10."""
    world = World(load_of([0, 1, 10], [4, 2, 1]), workers=1, costs=FREE)
    world.run(Perfect(world))
    measured = measure(world, processes=1)
    assert world.ledger.column("first_start").tolist() == [0, 4, 10]
    assert measured.waiting.mean == pytest.approx(1.0)
    assert measured.sojourn.mean == pytest.approx((4 + 5 + 1) / 3)
    assert measured.sojourn.largest == pytest.approx(5)
    assert measured.throughput == pytest.approx(3 / 11)
    assert measured.utilisation == pytest.approx(7 / 11)
    assert measured.drain_time == pytest.approx(1)
    assert measured.largest_backlog == 1
    assert (measured.lost, measured.started_again, measured.finished_twice, measured.killed) == (0, 0, 0, 0)
    assert measured.recovery_time is None
    times, jobs = backlog(world.ledger)
    assert times.tolist() == [0, 0, 1, 4, 10, 10]
    assert jobs.tolist() == [1, 0, 1, 0, 1, 0]


def test_a_percentile_without_enough_jobs_beyond_it_is_not_made_up() -> None:
    values = np.arange(1000, dtype=float)
    assert percentile(values, 99) == pytest.approx(989.01)
    assert percentile(values[:999], 99) is None
    assert percentile(values[:200], 95) is not None
    assert percentile(values[:199], 95) is None
    assert percentile(values[:19], 50) is None


def test_losses_and_doubles_of_a_wrong_design_are_seen() -> None:
    load = load_of(np.arange(1000.0), np.full(1000, 0.5))
    world = World(load, workers=2, costs=FREE, plan=one_kill_halfway(load))
    world.run(Forgetful(world))
    measured = measure(world, processes=2)
    assert measured.lost == 1
    assert measured.killed == 1
    assert measured.recovery_time is None
    # Every hundredth job, but the one in the dead process's hand was one of them: it was never done.
    assert world.deaths[0].job == 500
    assert measured.finished_twice == 9
    assert measured.started_again == 9
    assert balance(world.ledger).holds()


def test_a_kill_strikes_in_the_middle_of_a_job_and_a_new_process_comes_after_the_pause() -> None:
    load = load_of([0, 10, 20, 30], [4, 4, 4, 4])
    world = World(load, workers=1, costs=FREE, plan=Plan(kills=(Kill(after=5),), restart_after=7))
    world.run(Forgetful(world))
    [death] = world.deaths
    assert (death.time, death.job, death.process) == (12, 1, 0)
    # The new process comes at 19 and finds nothing; job 2 arrives at 20. Job 0 is done twice by this design.
    assert world.ledger.column("first_start").tolist() == [0, 10, 20, 30]
    assert world.ledger.busy == 4 + 4 + 2 + 4 + 4


def test_a_kill_may_name_its_process_and_waits_until_that_one_works() -> None:
    load = load_of([0, 1, 2, 20], [10, 10, 10, 1])
    world = World(load, workers=2, costs=FREE, plan=Plan(kills=(Kill(after=0.5, process=0),)))
    world.run(Forgetful(world))
    [death] = world.deaths
    assert death.process == 0
    assert death.time > 10


def test_two_kills_kill_two_processes_even_if_both_aim_at_the_same_job() -> None:
    load = load_of([0, 1, 2, 3], [4, 4, 4, 0])
    world = World(load, workers=1, costs=FREE, plan=Plan(kills=(Kill(after=0), Kill(after=0)), restart_after=1))
    world.run(Forgetful(world))
    # A job without any work in it is long enough to be struck: the process holds it.
    assert [(death.time, death.job) for death in world.deaths] == [(2, 0), (5, 1)]
    assert world.ledger.lost == 2


def test_random_kills_are_the_same_for_the_same_seed() -> None:
    load = generate("poisson", 100, 1)
    assert random_kills(load, 5, 4, 8) == random_kills(load, 5, 4, 8)
    assert random_kills(load, 5, 4, 8) != random_kills(load, 6, 4, 8)
    times = [kill.after for kill in random_kills(load, 5, 4, 8).kills]
    assert times == sorted(times)


@pytest.mark.parametrize("plan", [NOTHING, Plan(kills=(Kill(after=0), Kill(after=100), Kill(after=100, process=2)))])
def test_littles_law_and_the_balance_of_flow_hold(plan: Plan) -> None:
    load = generate("twin", 2000, 3, erlangs=3.5)
    world = World(load, workers=5, costs=FREE, plan=plan)
    world.run(Perfect(world))
    sums = balance(world.ledger, load.service)
    assert sums.complaints() == []
    assert sums.waiting_on_average > 0.1
    assert (abs(sums.busy - load.service.sum()) > 0.1) == bool(plan.kills)


def test_a_run_whose_books_do_not_balance_is_no_result() -> None:
    load = generate("poisson", 200, 3, erlangs=1.5)
    for spoil, complaint in (
        (lambda ledger: setattr(ledger, "busy", ledger.busy + 1), "s of work"),
        (
            lambda ledger: setattr(ledger, "unfinished", ledger.unfinished + 3),
            "200 jobs came and 203 are accounted for",
        ),
        (lambda ledger: ledger.first_start.__setitem__(7, ledger.first_start[7] + 9), "but rate times waiting time is"),
    ):
        for plan in (NOTHING, Plan(kills=(Kill(after=load.span / 3),))):
            world = World(load, workers=2, costs=FREE, plan=plan)
            world.hub.at(load.span / 2, lambda ledger, spoil=spoil: spoil(ledger), world.ledger)
            with pytest.raises(RuntimeError, match=complaint):
                world.run(Perfect(world))


@pytest.mark.parametrize("seed", range(40))
def test_the_largest_backlog_is_the_highest_step_of_the_staircase(seed: int) -> None:
    drawn = random.Random(seed)
    ledger = Ledger([0.0] * 12)
    events = []
    for job in range(drawn.randint(1, 12)):  # some never come, some never start, many at the same time
        came = drawn.randint(0, 6)
        events += [(came, ledger.enqueue, job), (came + drawn.randint(0, 6), ledger.start, job)][: drawn.randint(1, 2)]
    for time, what, job in sorted(events, key=lambda event: (event[0], event[1] == ledger.start)):
        what(job, float(time))
    assert largest_backlog(ledger) == backlog(ledger)[1].max() > 0


def test_books_that_cannot_be_true_are_told() -> None:
    ledger = Ledger([0.0, 1.0])
    ledger.enqueue(0, 0.0)
    ledger.start(0, 5.0)
    ledger.finish(0, 5.0, 6.0)
    assert ledger.broken_rules() == []
    ledger.enqueued[0] = 5.5
    ledger._has_ended[1] = 1
    assert ledger.broken_rules() == [
        "1 jobs were started before they were enqueued",
        "1 jobs finished more often than they started",
        "1 attempts began, but 2 ended or go on",
    ]
