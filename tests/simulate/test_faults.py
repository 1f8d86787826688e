"""Every fault on every rung: the books balance, what strikes is counted, and minique keeps its promise."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minique.memory_store import MemoryStore
from minique.store import NOTHING_CLAIMED, Claim, Complete, Forget, Reap, Reaped
from minique.worker import LEASE_SECONDS
from simulate import cli
from simulate.actors import World
from simulate.costs import Costs
from simulate.designs import KNOWN, find
from simulate.designs.minique import TimedStore
from simulate.fault_words import FORMS, Wanted, parse
from simulate.faults import APPLIED, REFUSED, RESENT, Broken, Kill, Pause, Plan, Rollback, Slow
from simulate.measures import Measures, measure
from simulate.workload import Load, poisson_arrivals, stream

from .helpers import load_of

EVERYTHING = "kill=3,pause=2x20s,slow=10x30s,rollback=1s,lost=10,error=10,skew=5s,outage=5s"
WITH_SERVER = ("resque", "blocking", "backup", "unfenced", "minique", "inline")


def load(jobs: int = 1200) -> Load:
    service = stream(1, "service").exponential(0.5, jobs)
    return Load("test", "made", poisson_arrivals(6.0, jobs, stream(1, "arrivals")), service)


def run(name: str, plan: Plan, of: Load | None = None) -> tuple[World, Measures]:
    world = World(of or load(), workers=4, costs=Costs(), plan=plan)
    design = find(name)(world)
    world.run(design)
    found = measure(world, design.processes)
    design.close()
    return world, found


class TestWords:
    def test_each_example_is_understood(self) -> None:
        for example in (form.split(":")[0] for form in FORMS.values()):
            text = example if not example.startswith("restart") else f"kill=1,{example}"
            assert parse(text).words()

    def test_they_become_a_plan(self) -> None:
        plan = parse(EVERYTHING).plan(load(), 0)
        assert len(plan.kills) == 3
        assert [pause.seconds for pause in plan.pauses] == [20.0, 20.0]
        assert [(slow.factor, slow.seconds) for slow in plan.slows] == [(10.0, 30.0)]
        assert sorted(one.kind for one in plan.broken) == sorted([RESENT] * 10 + [REFUSED, APPLIED] * 5)
        assert plan.outage is not None
        assert parse(EVERYTHING).plan(load(), 0) == plan
        assert parse(EVERYTHING).plan(load(), 1) != plan

    def test_more_of_one_kind_moves_none_of_another(self) -> None:
        few, many = (parse(f"kill={n},pause=2x20s").plan(load(), 0) for n in (1, 9))
        assert few.pauses == many.pauses

    def test_lengths_have_units(self) -> None:
        assert parse("slow=2.5x3min").slow_seconds == 180.0
        assert parse("rollback=500ms").rollback_seconds == 0.5
        assert parse("skew=-2min").skew_seconds == -120.0
        assert parse("kill=2, restart=30s").restart_after == 30.0

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "nothing is to go wrong"),
            ("fire=3", "'fire=3' is no fault; known: kill, restart"),
            ("kill", "'kill' is no fault"),
            ("kill=0", "write kill=3: so many workers"),
            ("kill=-1", "write kill=3"),
            ("kill=1.5", "write kill=3"),
            ("kill=1,kill=2", "'kill' is there twice"),
            ("pause=20s", "write pause=2x20s"),
            ("pause=1.5x20s", "write pause=2x20s"),
            ("slow=10", "write slow=10x30s"),
            ("slow=0.5x10s", "write slow=10x30s"),
            ("rollback=1", "write rollback=1s"),
            ("rollback=-1s", "write rollback=1s"),
            ("skew=0s", "write skew=60s"),
            ("restart=5s", "add kill=N"),
        ],
    )
    def test_what_cannot_be_is_refused(self, text: str, says: str) -> None:
        with pytest.raises(ValueError, match=says):
            parse(text)

    def test_nothing_is_nothing(self) -> None:
        assert not Wanted("").plan(load(), 0)
        assert not Plan(restart_after=5.0)
        assert Plan(slows=(Slow(0.0, 1.0, 2.0),))


@pytest.mark.parametrize("name", KNOWN)
def test_under_all_of_them_the_books_balance_on_every_rung(name: str) -> None:
    world, found = run(name, parse(EVERYTHING).plan(load(), 0))
    done = int((world.ledger.column("finishes") > 0).sum())
    assert done + sum(found.left.values()) + found.lost == found.jobs
    assert found.paused == 2
    expected = {"applied": 5, "refused": 5, "resent": 10, "rolled back": 1} if name in WITH_SERVER else {}
    assert found.struck == expected


@pytest.mark.parametrize("name", ["minique", "inline"])
@pytest.mark.parametrize("text", ["kill=8", "lost=60", "error=60", "skew=100s", "skew=-100s", "slow=200x30s"])
def test_minique_loses_nothing_and_does_nothing_twice(name: str, text: str) -> None:
    for seed in (0, 1):
        _, found = run(name, parse(text).plan(load(), seed))
        assert found.lost == 0
        assert found.finished_twice == 0
        assert not found.left


class TestTheServer:
    def test_what_was_done_in_its_last_second_is_done_again_and_what_came_in_it_is_known_to_nobody(self) -> None:
        of = load_of([8.0, 9.8, 20.0], [1.5, 5.0, 1.0])
        for name in WITH_SERVER:
            world, found = run(name, Plan(rollbacks=(Rollback(10.0),)), of)
            assert found.struck == {"rolled back": 1}
            finishes = list(world.ledger.finishes)
            if name == "inline":
                assert finishes == [2, 1, 1]
            if name == "minique":
                # Its worker is told that the claim does not stand, and ends a child whose job may be another's by now.
                assert finishes == [2, 0, 1]

    def test_a_job_that_nobody_had_begun_is_gone(self) -> None:
        of = load_of([0.0, 0.0, 0.0, 0.0, 9.8], [15.0, 15.0, 15.0, 15.0, 1.0])
        for name in ("blocking", "backup", "unfenced", "minique", "inline"):
            world, found = run(name, Plan(rollbacks=(Rollback(10.0),)), of)
            assert found.lost == 1
            assert world.ledger.finishes[4] == 0

    def test_a_slow_one_costs_what_was_asked(self) -> None:
        of = load_of([5.0, 50.0], [1.0, 1.0])
        slow = Plan(slows=(Slow(0.0, 20.0, 1000.0),))
        for name in ("claiming", "blocking", "minique"):
            world, _ = run(name, slow, of)
            waits = world.ledger.column("first_start") - world.ledger.column("arrived")
            usual, _ = run(name, Plan(), of)
            before = usual.ledger.column("first_start") - usual.ledger.column("arrived")
            if name != "claiming":  # which sleeps for longer than that
                assert waits[0] > before[0] + 100 * Costs().round_trip
            assert waits[1] == pytest.approx(before[1], abs=11.0 if name == "claiming" else 1e-3)


class TestConnections:
    def at(self, kind: str) -> Plan:
        return Plan(broken=tuple(Broken(float(after), kind) for after in np.arange(5.0, 150.0, 5.0)))

    def test_a_pop_that_is_sent_again_takes_a_second_job_and_the_first_is_gone(self) -> None:
        _, found = run("blocking", self.at(RESENT))
        assert found.lost > 0

    def test_a_pop_whose_reply_is_lost_takes_its_job_along(self) -> None:
        _, found = run("blocking", self.at(APPLIED))
        assert found.lost > 0

    def test_without_a_fence_broken_connections_make_doubles(self) -> None:
        _, found = run("unfenced", self.at(REFUSED))
        assert found.lost == 0
        assert found.finished_twice > 0

    def test_a_program_beside_the_workers_is_spared(self) -> None:
        _, found = run("backup", self.at(REFUSED))
        assert found.struck["refused"] == len(self.at(REFUSED).broken)


class TestClocks:
    def test_a_claim_looks_old_to_whoever_is_ahead(self) -> None:
        of = Load("long", "made", np.arange(0.0, 400.0, 4.0), np.full(100, 8.0))
        _, found = run("claiming", parse("skew=70s").plan(of, 0), of)
        assert found.finished_twice > 0

    def test_a_lease_that_is_written_by_a_slow_clock_has_run_out(self) -> None:
        _, found = run("unfenced", parse("skew=-20s").plan(load(), 0))
        assert found.finished_twice > 0


class TestTeeth:
    """What the promises above would notice."""

    def test_a_store_that_takes_new_jobs_for_the_same_claim(self, monkeypatch: pytest.MonkeyPatch) -> None:
        claim = MemoryStore._claim

        def forgetful(self: MemoryStore, arrow, stamp, now):
            held = self._claims.pop(arrow.claim, None)
            answer = claim(self, arrow, stamp, now)
            if held:
                self._claims.setdefault(arrow.claim, {}).update(held)
            return answer

        monkeypatch.setattr(MemoryStore, "_claim", forgetful)
        _, found = run("minique", parse("lost=60").plan(load(), 0))
        # A job that was taken and not told of waits until its lease runs out.
        assert found.waiting.largest is not None
        assert found.waiting.largest > LEASE_SECONDS

    def test_a_worker_that_takes_an_error_for_an_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        draw: Callable = TimedStore._perhaps_broken

        def careless(self: TimedStore, arrows):
            try:
                return draw(self, arrows)
            except ConnectionError:
                if not isinstance(arrows[-1], Claim):
                    raise
                return [_nothing(arrow) for arrow in arrows]

        monkeypatch.setattr(TimedStore, "_perhaps_broken", careless)
        _, found = run("minique", parse("error=60").plan(load(), 0))
        assert found.started_again > 0


def _nothing(arrow: object) -> object:
    if isinstance(arrow, Claim):
        return NOTHING_CLAIMED
    if isinstance(arrow, Complete):
        return [True] * len(arrow.jobs)
    if isinstance(arrow, Reap):
        return Reaped((), (), None)
    return 0 if isinstance(arrow, Forget) else True


def test_a_killed_worker_and_a_paused_one_are_struck_whatever_else_goes_wrong() -> None:
    plan = Plan(kills=(Kill(20.0),), pauses=(Pause(40.0, 15.0),), broken=(Broken(20.0, RESENT),))
    _, found = run("minique", plan)
    assert (found.killed, found.paused, found.lost) == (1, 1, 0)


def test_at_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", "--load", "poisson", "--jobs", "400", "--replications", "1", "--designs", "blocking,minique"]
    assert cli.main([*asked, "--faults", "lost=9,error=8", "--output", str(tmp_path)]) == 0
    [comparison] = json.loads((tmp_path / "compare.json").read_text())["comparisons"]
    struck = {one["design"]: one["with_faults"]["struck"] for one in comparison["designs"]}
    assert struck["minique"] == struck["blocking"] == {"applied": 4, "refused": 4, "resent": 9}
    assert "replies lost and commands sent again: 9" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        cli.main([*asked, "--faults", "fire=1"])
    assert "'fire=1' is no fault" in capsys.readouterr().err
    assert cli.main([*asked, "--faults", "kill=1", "--kills", "2", "--output", str(tmp_path)]) == cli.USAGE
    assert "--kills and --faults say the same in two ways" in capsys.readouterr().err
