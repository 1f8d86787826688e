"""Rung 3 in virtual time: the real timer of `naive_daemon.timer`, as quick as can be, and as forgetful."""

import numpy as np
import pytest

from naive_daemon.timer import Timer
from simulate import cli, designs, experiments
from simulate.actors import World
from simulate.balance import balance
from simulate.costs import FREE, Costs
from simulate.designs.timer import InMemoryTimer
from simulate.faults import Kill, Plan
from simulate.measures import measure
from simulate.recursion import first_come_first_served
from simulate.workload import Load, generate

from .helpers import load_of

COLUMNS = ("first_start", "last_start", "ended", "last_end", "starts", "finishes")
WORKERS = 4


def run(world: World) -> World:
    design = InMemoryTimer(world)
    world.run(design)
    design.close()
    return world


def starts(world: World) -> np.ndarray:
    return world.ledger.column("first_start")


def busy(seed: int = 5) -> Load:
    """So much at times that jobs wait in the middle of it."""
    return generate("bursty", 3000, seed=seed, erlangs=3.4)


def killed(load: Load, after: float, restart_after: float, workers: int = WORKERS) -> tuple[World, float]:
    """The load with one kill, and when that was."""
    plan = Plan(kills=(Kill(after=after),), restart_after=restart_after)
    world = run(World(load, workers=workers, costs=FREE, plan=plan))
    [moment] = {death.time for death in world.deaths}
    return world, moment


def test_at_no_cost_it_is_the_ideal_queue_job_by_job() -> None:
    load = busy()
    world = run(World(load, workers=WORKERS, costs=FREE))
    ideal = first_come_first_served(load.arrived, load.service, WORKERS)
    assert np.abs(starts(world) - ideal).max() < 1e-6
    assert (ideal - load.arrived).max() > 10  # and there was something to wait for
    assert world.empty_looks == 0


def test_a_lone_job_waits_for_the_loop_and_a_thread_to_wake_and_for_nothing_else() -> None:
    costs = Costs()
    world = run(World(load_of([100.0, 200.0], [1, 1]), workers=2, costs=costs))
    assert world.ledger.enqueued[0] == world.ledger.arrived[0]
    assert starts(world) - load_of([100.0, 200.0], [1, 1]).arrived == pytest.approx(2 * costs.wake_up)


def test_a_job_that_arrives_while_the_loop_wakes_up_is_seen() -> None:
    wake_up = Costs().wake_up
    arrived = [10.0, 10.0 + wake_up / 2, 10.0 + wake_up, 10.0 + 1.5 * wake_up]
    world = run(World(load_of(arrived, [1] * 4), workers=4, costs=Costs()))
    assert world.ledger.lost == 0
    assert (starts(world) - arrived).max() <= 2 * wake_up + 1e-9


@pytest.mark.parametrize("share", [0.1, 0.35, 0.5, 0.8])
def test_a_kill_loses_exactly_what_was_queued_or_running(share: float) -> None:
    load = busy()
    world, moment = killed(load, after=share * load.span, restart_after=0)
    # What was there when it died, by the second engine, which knows nothing of kills.
    ends = first_come_first_served(load.arrived, load.service, WORKERS) + load.service
    there = (load.arrived <= moment) & (ends > moment)
    assert there.any()
    np.testing.assert_array_equal(np.isnan(world.ledger.column("ended")), there)
    assert world.ledger.lost == there.sum()
    # All that were running died with it, and none of them was begun again.
    running = there & (ends - load.service < moment)
    assert len(world.deaths) == running.sum()
    assert {death.job for death in world.deaths} == set(np.flatnonzero(running))
    np.testing.assert_array_equal(world.ledger.column("starts") > 0, ~there | running)
    assert world.ledger.started_again == world.ledger.finished_twice == 0


def test_after_the_restart_it_serves_the_new_arrivals_as_if_nothing_had_ever_been() -> None:
    load, pause = busy(), 25.0
    world, moment = killed(load, after=load.span / 2, restart_after=pause)
    ends = first_come_first_served(load.arrived, load.service, WORKERS) + load.service
    there = (load.arrived <= moment) & (ends > moment)
    nobody_there = (load.arrived > moment) & (load.arrived <= moment + pause)
    assert nobody_there.any()
    np.testing.assert_array_equal(np.isnan(world.ledger.column("ended")), there | nobody_there)
    later = load.arrived > moment + pause
    anew = first_come_first_served(load.arrived[later], load.service[later], WORKERS)
    assert np.abs(starts(world)[later] - anew).max() < 1e-6


def test_the_books_balance_when_half_of_it_is_lost() -> None:
    load = busy(seed=8)
    world, moment = killed(load, after=load.span / 2, restart_after=5)
    assert world.ledger.broken_rules() == []
    assert balance(world.ledger).holds()
    assert world.ledger.running == 0
    # What was worked on in vain counts as work.
    done = ~np.isnan(world.ledger.column("ended"))
    in_vain = sum(moment - world.ledger.last_start[death.job] for death in world.deaths)
    assert world.ledger.busy == pytest.approx(load.service[done].sum() + in_vain)
    measured = measure(world, WORKERS)
    assert measured.lost == (~done).sum()
    assert measured.recovery_time is None  # never


def test_it_dies_as_often_as_it_is_killed() -> None:
    load = busy(seed=9)
    plan = Plan(kills=tuple(Kill(after=share * load.span) for share in (0.2, 0.2, 0.5, 0.7)), restart_after=1)
    world = run(World(load, workers=WORKERS, costs=Costs(), plan=plan))
    assert len({death.time for death in world.deaths}) == 4
    assert world.ledger.lost >= 4
    assert balance(world.ledger).holds()


def test_whichever_thread_is_killed_all_of_them_are() -> None:
    load = load_of([0, 1, 2, 3, 100], [50, 50, 50, 50, 1])
    for number in range(3):
        plan = Plan(kills=(Kill(after=0, process=number),), restart_after=1)
        world = run(World(load, workers=3, costs=FREE, plan=plan))
        assert sorted(death.process for death in world.deaths) == [0, 1, 2]
        assert list(world.ledger.finishes) == [0, 0, 0, 0, 1]


def test_a_lonely_thread_is_enough() -> None:
    world, _ = killed(load_of([0, 1, 2, 50], [10, 10, 10, 10]), after=0, restart_after=1, workers=1)
    assert list(world.ledger.starts) == [1, 0, 0, 1]


def test_the_same_seed_gives_the_same_ledger() -> None:
    load = busy()
    plan = Plan(kills=(Kill(after=load.span / 3),))
    one, other = (run(World(load, workers=WORKERS, costs=Costs(), plan=plan)) for _ in range(2))
    for name in COLUMNS:
        np.testing.assert_array_equal(one.ledger.column(name), other.ledger.column(name))


def test_a_job_that_goes_wrong_inside_the_simulation_is_an_error_and_no_result() -> None:
    world = World(load_of([0.0], [1.0]), workers=1, costs=FREE)
    design = InMemoryTimer(world)
    design.enqueue = lambda job: design.program.enqueue(job + 100)  # type: ignore[method-assign,union-attr]
    with pytest.raises(RuntimeError, match="1 jobs raised, such as IndexError"):
        world.run(design)


# What these tests would notice.


def test_a_program_that_remembers_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies_alone(self: InMemoryTimer, process: object) -> None: ...

    monkeypatch.setattr(InMemoryTimer, "died", dies_alone)
    with pytest.raises(AssertionError):
        test_a_kill_loses_exactly_what_was_queued_or_running(0.35)


def test_an_order_of_its_own_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    put = Timer._put

    def last_first(self: Timer, due, *rest) -> None:
        self._places -= 2
        put(self, due, *rest)

    monkeypatch.setattr(Timer, "_put", last_first)
    load = load_of(np.zeros(50), np.arange(1.0, 51.0))
    world = run(World(load, workers=2, costs=FREE))
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(starts(world), first_come_first_served(load.arrived, load.service, 2))


# On the command line.


def test_compare_shows_what_a_kill_costs(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", "--jobs", "1000", "--load", "twin", "--designs", "naive,timer,minique"]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    rows = {row[1].strip(): [cell.strip() for cell in row[2:-1]] for row in map(_cells, printed.splitlines()) if row}
    assert rows["jobs lost"][:3] == ["0", "0", "0"]
    naive, timer, minique, _ = rows["killed halfway: jobs lost"]
    assert (naive, minique) == ("0", "0")
    assert int(timer) > 0
    assert rows["recovery time"][1] == "never"
    assert "it forgets all that it had queued or begun" in " ".join(printed.split())


def _cells(line: str) -> list[str]:
    return line.split("│") if line.startswith("│") else []


def test_it_is_compared_when_asked_for_and_not_by_default() -> None:
    assert "timer" in designs.KNOWN
    assert "timer" not in designs.DEFAULT
    assert cli.parser().parse_args(["compare"]).designs == list(designs.DEFAULT)


def test_it_comes_closer_to_the_ideal_than_anything_with_a_server() -> None:
    load = generate("twin", 2000, 4, erlangs=5.6)
    comparison = experiments.compare(load, ("timer", "minique"), 8)
    timer, minique = (outcome.peace.waiting.mean for outcome in comparison.outcomes)
    ideal = comparison.ideal.mean
    assert timer is not None
    assert minique is not None
    assert ideal is not None
    assert ideal < timer < minique
