"""The explorer: what holds in a scope, what it finds, and that its stories are true on a real server.

Faults are put into the code on purpose; the catalogue of them is `simulate/explore/mutants.py`.
"""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minique.store import Enqueue, Forget, Promote
from minique.wire import Server
from simulate import cli
from simulate.explore.actors import AWAKE, Actor, Job
from simulate.explore.command import CATALOGUE, explore, score
from simulate.explore.contents import EMPTY, STAMP, LuaServer, MemoryServer, NoSuchText, canonical, later, plain
from simulate.explore.in_process import lua_server
from simulate.explore.mutants import HARMLESS, LUA_HARMLESS, LUA_MUTANTS, MUTANTS, Mutant
from simulate.explore.reduce import nameless
from simulate.explore.replay import replay
from simulate.explore.rules import RULES
from simulate.explore.search import Failure, Result, Scope, Search
from simulate.explore.story import NoStory, Story
from simulate.explore.subject import Change, Subject, changed
from simulate.explore.workers import WorkerProcess
from tests.servers import RealServer, find_redis, find_valkey, required

ROOT = Path(__file__).parent.parent.parent


def explored(scope: Scope, every_arrow: bool = False, reduced: bool = True) -> Result:
    return Search(scope, Subject(), MemoryServer(Subject().store).draw, every_arrow, reduced).run(keep_contents=True)


def failure_of(mutant: Mutant, reduced: bool = True) -> Failure | None:
    subject = changed(mutant.changes)
    draw = lua_server(subject.lua).draw if subject.lua else MemoryServer(subject.store).draw
    return Search(mutant.scope, subject, draw, reduced=reduced).run().failure


def story_of(mutant: Mutant) -> Story:
    failure = failure_of(mutant)
    assert failure is not None
    return Story.of(failure, mutant.scope, mutant.changes)


def named(name: str) -> Mutant:
    return next(mutant for mutant in CATALOGUE if mutant.name == name)


SCOPES_TO_COMPARE = [
    Scope(1, ("plain",), 1, 1, 1),
    Scope(2, ("plain",), 1, 0, 1),
    Scope(2, ("plain", "plain"), 1, 0, 0),
    Scope(2, ("plain", "plain"), 1, 0, 0, batch=2),
    Scope(1, ("follows", "brief"), 1, 0, 0),
    Scope(1, ("unique", "unique"), 0, 1, 1),
    Scope(1, ("plain",), 0, 0, 1, 1),
    Scope(1, ("plain",), 0, 1, 0, stops=1),
    Scope(1, ("dies",), 0, 0, 0, acts=1),
    Scope(1, ("plain", "plain", "plain"), 0, 1, 0, ahead=2),
]
LARGER_SCOPES_TO_COMPARE = [
    Scope(2, ("plain", "plain"), 1, 0, 1),
    Scope(2, ("plain", "plain"), 0, 1, 1),
    Scope(3, ("plain",), 1, 0, 1),
    Scope(2, ("plain",), 1, 0, 1, 1),
    Scope(2, ("once",), 1, 0, 1),
    Scope(1, ("dies", "fails"), 0, 1, 0),
    Scope(1, ("poison",), 1, 0, 3),
    Scope(2, ("plain",), 1, 0, 1, stops=1),
    Scope(2, ("plain", "plain"), 0, 0, 0, acts=1),
    Scope(1, ("brief",), 0, 1, 0, slots=1, schedulers=2),
]


def check_reduced(scope: Scope) -> None:
    some, every = explored(scope), explored(scope, reduced=False)
    assert some.failure is every.failure is None
    assert some.is_whole
    assert every.is_whole
    assert set(map(nameless, some.held)) == set(map(nameless, every.held))
    assert some.states < every.states


class TestWhatShips:
    # Pinned: another number means that the code, or what counts as a state, has changed. Then look why.
    @pytest.mark.parametrize(
        ("scope", "states"),
        [
            (Scope(1, ("plain",), 0, 0, 0), 54),
            (Scope(2, ("plain", "plain"), 1, 0, 0), 2_636),
            (Scope(1, ("poison",), 0, 0, 3), 159),
            (Scope(1, ("once",), 1, 0, 1), 5_824),
            (Scope(1, ("unique", "unique"), 0, 1, 1), 1_311),
            (Scope(1, ("follows", "brief"), 1, 0, 1), 2_050),
            (Scope(1, ("dies", "fails"), 0, 1, 0), 8_490),
            (Scope(1, ("plain",), 0, 0, 1, 1), 363),
            (Scope(1, ("plain",), 1, 1, 1, stops=1), 3_877),
            (Scope(1, ("plain", "plain", "plain"), 0, 1, 1, ahead=2), 3_916),
            (Scope(1, ("dies",), 0, 0, 0, acts=2), 9_928),
            (Scope(1, ("plain",), 0, 0, 0, slots=1), 1_353),
        ],
        ids=lambda value: str(value) if isinstance(value, Scope) else "",
    )
    def test_nothing_breaks_in_a_small_scope(self, scope: Scope, states: int) -> None:
        result = explored(scope)
        assert result.failure is None
        assert result.is_whole
        assert result.states == states

    @pytest.mark.parametrize("batch", [2, 3])
    def test_nothing_breaks_in_line(self, batch: int) -> None:
        result = explored(Scope(2, ("plain", "plain"), 1, 0, 0, batch=batch))
        assert result.failure is None
        assert result.is_whole

    @pytest.mark.parametrize("scope", SCOPES_TO_COMPARE, ids=str)
    def test_states_that_differ_in_names_are_one(self, scope: Scope) -> None:
        # Nor need one be searched again with fewer faults: the server comes to hold the same things, and nothing else.
        check_reduced(scope)

    @pytest.mark.prove
    @pytest.mark.parametrize("scope", LARGER_SCOPES_TO_COMPARE, ids=str)
    def test_states_that_differ_in_names_are_one_in_larger_scopes(self, scope: Scope) -> None:
        check_reduced(scope)

    def test_arrows_that_change_nothing_need_not_be_steps(self) -> None:
        # Nor need it be tried who reads an answer first: the server comes to hold the same things, and nothing else.
        for scope in (Scope(2, ("plain",), 1, 0, 0), Scope(2, ("plain",), 0, 1, 0), Scope(1, ("brief",), 0, 0, 1)):
            some, every = explored(scope), explored(scope, every_arrow=True)
            assert some.failure is every.failure is None
            assert set(map(nameless, some.held)) == set(map(nameless, every.held))
            assert some.states < every.states

    def test_the_scripts_and_the_model_come_to_hold_the_same(self) -> None:
        for scope in (
            Scope(1, ("plain",), 1, 0, 0),
            Scope(1, ("unique", "unique"), 0, 1, 0),
            Scope(1, ("fails",), 0, 0, 0),
            Scope(1, ("plain",), 0, 0, 0, stops=1),
            Scope(1, ("plain",), 0, 0, 0, acts=1),
            Scope(1, ("plain",), 0, 0, 0, slots=1),
        ):
            model, scripts = explored(scope), Search(scope, Subject(), lua_server().draw).run(keep_contents=True)
            assert model.failure is scripts.failure is None
            assert (model.states, model.held) == (scripts.states, scripts.held)

    @pytest.mark.prove
    @pytest.mark.parametrize(
        "scope",
        [
            Scope(2, ("plain", "plain"), 1, 0, 0),
            Scope(1, ("once",), 1, 0, 1),
            Scope(1, ("follows", "brief"), 1, 0, 1),
            Scope(1, ("unique", "unique"), 0, 1, 1),
            Scope(1, ("poison",), 0, 0, 3),
            Scope(2, ("plain", "plain"), 0, 1, 0, stops=1),
            Scope(1, ("dies",), 0, 1, 0, acts=2),
            Scope(1, ("plain", "delayed"), 0, 0, 0, acts=2),
            Scope(1, ("brief",), 0, 1, 0, slots=1, schedulers=2),
        ],
        ids=str,
    )
    def test_the_scripts_and_the_model_come_to_hold_the_same_with_more_faults(self, scope: Scope) -> None:
        model, scripts = explored(scope), Search(scope, Subject(), lua_server().draw).run(keep_contents=True)
        assert (model.states, model.held) == (scripts.states, scripts.held)

    @pytest.mark.prove
    @pytest.mark.parametrize(
        ("scope", "states"),
        [
            (Scope(2, ("plain",), 1, 1, 1), 4_485),
            (Scope(2, ("plain", "plain"), 1, 0, 1), 13_338),
            (Scope(2, ("plain", "plain"), 2, 1, 0), 13_488),
            (Scope(2, ("plain",), 1, 0, 1, 1), 19_052),
            (Scope(1, ("once", "delayed"), 1, 1, 1), 159_157),
            (Scope(2, ("plain", "plain"), 1, 0, 1, stops=1), 80_813),
            (Scope(1, ("plain", "plain", "plain"), 1, 1, 1, 1, ahead=2), 117_684),
            (Scope(1, ("plain", "dies"), 0, 1, 0, acts=2), 170_134),
            (Scope(1, ("plain",), 0, 0, 1, slots=2, schedulers=2), 154_946),
        ],
        ids=lambda value: str(value) if isinstance(value, Scope) else "",
    )
    def test_nothing_breaks_with_two_workers_and_more_faults(self, scope: Scope, states: int) -> None:
        result = explored(scope)
        assert result.failure is None
        assert result.states == states

    @pytest.mark.prove
    def test_nothing_breaks_with_two_crashes_an_error_and_two_expiries(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        searched = explore(Scope(2, ("plain", "plain"), 2, 1, 2), (), time.monotonic)
        result = searched.result
        with capsys.disabled():
            print(f"\n  {result.states:,} states, {result.transitions / searched.seconds:,.0f} transitions/s")
        assert result.failure is None
        assert (result.states, result.transitions) == (532_388, 2_333_010)


SOAK_SECONDS, SOAK_MB = 900, 6000
"""Bounds of each of the scopes below, which may be too large to be searched whole."""


@pytest.mark.soak
@pytest.mark.parametrize(
    "scope",
    [
        Scope(3, ("plain", "plain", "plain"), 1, 0, 1),
        Scope(3, ("plain", "once", "delayed"), 1, 0, 1, schedulers=2),
        Scope(2, ("plain", "plain"), 2, 1, 2, stops=1),
        Scope(2, ("plain", "dies"), 1, 1, 1, acts=2),
        Scope(2, ("brief",), 1, 1, 1, slots=2, schedulers=2),
    ],
    ids=str,
)
def test_nothing_breaks_as_far_as_it_is_searched(scope: Scope, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()

    def bounded(states: int, transitions: int, left: int, depth: int) -> str:
        over = [f"after {SOAK_SECONDS} s"] if time.monotonic() - began > SOAK_SECONDS else []
        over += [f"at {SOAK_MB:,} MB"] if resident_mb() > SOAK_MB else []
        return f"ended {over[0]} with {left:,} states to look at, {depth} steps deep" if over else ""

    result = explore(scope, (), time.monotonic, limit=10**9, progress=bounded).result
    with capsys.disabled():
        how_far = "searched whole" if result.is_whole else result.why_not
        print(f"\n  {scope}: {result.states:,} states, {result.transitions:,} transitions; {how_far}")
    assert result.failure is None


def resident_mb() -> float:
    """What this process holds now; the largest it ever held says nothing of the second scope."""
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
    return pages * resource.getpagesize() / 2**20


class TestTeeth:
    def test_there_are_many(self) -> None:
        assert len(MUTANTS) + len(LUA_MUTANTS) >= 40
        assert len(HARMLESS) + len(LUA_HARMLESS) >= 8
        assert len({mutant.name for mutant in CATALOGUE}) == len(CATALOGUE)

    @pytest.mark.parametrize("mutant", MUTANTS[::4] + LUA_MUTANTS[::8], ids=lambda mutant: mutant.name)
    def test_a_fault_is_found(self, mutant: Mutant) -> None:
        assert score(mutant, time.monotonic).result.failure is not None

    @pytest.mark.parametrize("mutant", HARMLESS[1::4], ids=lambda mutant: mutant.name)
    def test_nobody_cries_wolf(self, mutant: Mutant) -> None:
        result = score(mutant, time.monotonic).result
        assert result.failure is None
        assert result.is_whole

    def test_make_prove_tries_them_all(self) -> None:
        # Here some of them are; `make mutants` tries all and prints the score.
        planned = subprocess.run(["make", "-n", "prove"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert "simulate explore --mutants" in planned.stdout

    def test_each_rule_finds_some_fault(self) -> None:
        failures = [score(mutant, time.monotonic).result.failure for mutant in MUTANTS]
        assert {failure.rule for failure in failures if failure} == set(RULES)

    @pytest.mark.prove
    @pytest.mark.parametrize("mutant", CATALOGUE, ids=lambda mutant: mutant.name)
    def test_a_reduced_search_finds_the_same_as_a_whole_one(self, mutant: Mutant) -> None:
        some, every = failure_of(mutant), failure_of(mutant, reduced=False)
        assert (some and (some.rule, len(some.steps))) == (every and (every.rule, len(every.steps)))

    def test_the_story_is_a_shortest_one(self) -> None:
        # Stored, claimed without a lease: two steps of the producer are not needed for it.
        story = story_of(named("claim without a lease"))
        assert [step.who for step in story.steps if step.what == ""] == ["producer", "worker-1", "worker-1"]


class TestStories:
    def test_it_is_read_back_as_it_was(self) -> None:
        story = story_of(named("reap forgets to queue"))
        assert Story.from_json(story.to_json()) == story

    def test_the_timeline_names_who_did_what_and_marks_the_fault(self) -> None:
        text = story_of(named("reap forgets to queue")).timeline()
        assert "✗" in text
        assert "is killed, and started again" in text
        assert "claim worker-1-1:1: job 1" in text
        assert RULES["one state"] in text

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "scope": {"jobs": ["x"]}}'])
    def test_a_file_that_holds_none_is_refused(self, text: str) -> None:
        with pytest.raises(NoStory):
            Story.from_json(text)


@pytest.fixture(scope="module", params=["valkey", "redis"])
def server(request: pytest.FixtureRequest) -> Iterator[RealServer]:
    server = RealServer(request.param, required({"valkey": find_valkey, "redis": find_redis}[request.param]))
    yield server
    server.stop()


OF_SCRIPTS_OR_WORKERS = [*(one for one in MUTANTS if one.changes[0].file != "memory_store.py"), *LUA_MUTANTS]


class TestOnARealServer:
    def check(self, server: RealServer, mutant: Mutant) -> None:
        story = story_of(mutant)
        wire = Server(server.url)
        try:
            done = replay(story, LuaServer(wire, changed(story.changes).lua))
        finally:
            wire.close()
        assert done == (len(story.steps), True, story.why)

    @pytest.mark.parametrize("mutant", OF_SCRIPTS_OR_WORKERS[::5], ids=lambda mutant: mutant.name)
    def test_a_story_ends_there_as_it_did_here(self, server: RealServer, mutant: Mutant) -> None:
        self.check(server, mutant)

    @pytest.mark.prove
    @pytest.mark.parametrize("mutant", OF_SCRIPTS_OR_WORKERS, ids=lambda mutant: mutant.name)
    def test_each_story_ends_there_as_it_did_here(self, server: RealServer, mutant: Mutant) -> None:
        self.check(server, mutant)

    def test_without_the_fault_it_ends_otherwise(self, server: RealServer) -> None:
        story = story_of(named("lua: reap forgets to queue"))
        wire = Server(server.url)
        try:
            assert not replay(story, LuaServer(wire)).is_same
        finally:
            wire.close()

    def test_a_fault_of_the_model_cannot_be_replayed(self, server: RealServer) -> None:
        wire = Server(server.url)
        try:
            with pytest.raises(NoStory, match="a real server runs the scripts"):
                replay(story_of(named("reap forgets to queue")), LuaServer(wire))
        finally:
            wire.close()


class TestTheValueOfAServer:
    def test_there_and_back(self) -> None:
        contents = EMPTY
        model, scripts = MemoryServer(Subject().store), lua_server()
        for arrow in (Enqueue("mail", (("a", "body"), ("b", "@ key\nbody"))), Promote(10), Forget(10)):
            contents, answer = model.draw(contents, arrow, STAMP)
            assert canonical(plain(contents)) == contents
            assert scripts.draw(contents, Forget(10), STAMP)[0] == contents
            assert answer is not None

    def test_time_comes_nearer_and_stops_at_now(self) -> None:
        contents = (("leases", (("w:1", 10.0),)),)
        assert later(contents, 6.0) == (("leases", (("w:1", 4.0),)),)
        assert later(contents, 60.0) == (("leases", (("w:1", 0.0),)),)

    def test_a_piece_of_text_must_stand_there_once(self) -> None:
        with pytest.raises(NoSuchText, match="0 places"):
            changed((Change("worker.py", "no such text", ""),))
        with pytest.raises(NoSuchText, match="cannot be changed here"):
            changed((Change("client.py", "a", "b"),))
        with pytest.raises(NoSuchText, match=r"complete\.lua"):
            lua_server(changed((Change("complete.lua", "no such text", ""),)).lua)


def test_a_worker_is_as_it_remembers() -> None:
    # From the same state and the same answers comes the same state, whatever the object did before.
    jobs = {"0" * 19 + "1": Job("0" * 19 + "1", "plain", 0)}
    process = WorkerProcess("worker-1", Subject(), jobs, 1)
    first = process.moves(process.first())
    process.moves(Actor(1, process.blank(1)._replace(number=7, limit=3), AWAKE))
    assert process.moves(process.first()) == first


class TestAtTheCommandLine:
    def run(self, tmp_path: Path, *words: str) -> int:
        return cli.main(["explore", "--output", str(tmp_path), *words])

    def test_what_ships_is_fine(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run(tmp_path, "--workers", "1", "--jobs", "1") == 0
        assert "Holds" in capsys.readouterr().out

    def test_a_broken_script_is_found_and_its_story_saved(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        broken = "complete.lua:'for _, ids in pairs(by_lifetime) do leave(claim, ids) end'=>''"
        words = ("--workers", "1", "--jobs", "1", "--crashes", "0", "--expiries", "0", "--backend", "lua")
        assert self.run(tmp_path, *words, "--break", broken) == 1
        assert "job 1 is in leased and done" in capsys.readouterr().out
        assert (tmp_path / "story.png").exists()
        assert Story.from_json((tmp_path / "story.json").read_text()).rule == "one state"

    def test_it_stops_at_its_limit_and_says_so(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run(tmp_path, "--limit", "5000") == 0
        assert "Not all of it" in capsys.readouterr().out
        assert self.run(tmp_path, "--memory", "1") == 0
        assert "more than 1 MB" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("--break", "complete.lua:'x'=>'y'"), "add --backend lua"),
            (("--break", "worker.py:'no such text'=>''"), "0 places"),
            (("--mutant", "nobody"), "there is none called 'nobody'"),
            (("--replay", "nowhere.json", "--server", "redis://127.0.0.1:1"), "cannot be read"),
            (("--server", "redis://127.0.0.1:1"), "belong together"),
        ],
    )
    def test_what_cannot_be_done_is_said(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
    ) -> None:
        assert self.run(tmp_path, *words) == 2
        assert message in capsys.readouterr().err

    @pytest.mark.parametrize("words", [("--break", "nonsense"), ("--jobs", "odd"), ("--jobs", "9"), ("--workers", "0")])
    def test_nonsense_is_refused(self, tmp_path: Path, words: tuple[str, ...]) -> None:
        with pytest.raises(SystemExit) as stopped:
            self.run(tmp_path, *words)
        assert stopped.value.code == 2
