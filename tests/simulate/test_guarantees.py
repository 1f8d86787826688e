"""The guarantee table: what it says of each rung, that it changes with the code, and that its stories are true."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from rich.console import Console

from minique.wire import Server
from naive_daemon import claiming
from naive_daemon.database import DONE, Row
from simulate import cli
from simulate.designs import backup, unfenced
from simulate.explore.contents import LuaServer
from simulate.explore.ladder import replay as ladder
from simulate.explore.ladder.known import RUNGS
from simulate.explore.ladder.minique import Minique
from simulate.explore.ladder.programs import Connection, Io, Stop
from simulate.explore.ladder.programs import Table as TableOf
from simulate.explore.ladder.rungs import LEFT_OUT, Backup, BlockingPop, Cast, Claiming, Rung, Unfenced
from simulate.explore.ladder.scope import Scope
from simulate.explore.ladder.search import Search
from simulate.explore.ladder.timer import InMemory
from simulate.explore.mutants import MUTANTS
from simulate.explore.story import NoStory, Story
from simulate.explore.subject import Change, changed
from simulate.guarantees import Table, report, table
from simulate.guarantees.page import page
from simulate.guarantees.properties import PROPERTIES
from simulate.guarantees.table import FAILS, HOLDS, NOT_PROMISED, UNKNOWN, of_minique, of_rung, quick_table
from simulate.plots import guarantees_figure, story_figure
from tests.servers import RealServer, find_redis, find_valkey, required

ON_A_TABLE = ("naive", "unclaimed", "claiming")
BY_NAME = {one.name: one for one in PROPERTIES}


@pytest.fixture(scope="module")
def quick() -> Table:
    return quick_table()


class TestTheTable:
    # By rung: 0 naive, 1 unclaimed, 2 claiming, 3 timer, 4 resque, 5 blocking, 6 backup, 7 unfenced, 8 minique.
    VERDICTS: ClassVar = {
        "stored once": "++++----+",
        "never in no place": "+++---+++",
        "survives worker kill": "+++---+++",
        "survives scheduler kill": "...-..+++",
        "slow worker keeps its job": "+--+++-++",
        "stale worker cannot finish another's attempt": "+--++++-+",
        "poison stops": "---+++--+",
        "delayed moves once": "+-+-....+",
        "one firing per slot": "...-....+",
        "catch-up as stated": "...+....+",
        "unknown class kept": "+++-++--+",
        "repeat-safe under lost replies": "....----+",
        "no lost wake-up": "...+.++++",
        "order within a queue": "+++++++++",
        "drains when faults stop": "+++++++++",
        "nothing is lost with the last second": "+++.-----",
        "nothing older is lost": "+++.+++++",
    }

    @pytest.mark.parametrize("property", VERDICTS)
    def test_each_rung_keeps_and_breaks_what_it_should(self, quick: Table, property: str) -> None:
        signs = {HOLDS: "+", FAILS: "-", NOT_PROMISED: ".", UNKNOWN: "?"}
        assert (
            "".join(signs[quick.cell(design, property).verdict] for design in quick.designs) == self.VERDICTS[property]
        )

    def test_every_property_is_in_the_list_above(self, quick: Table) -> None:
        assert [one.name for one in quick.properties] == list(self.VERDICTS)
        assert len(quick.designs) == 9

    def test_all_is_as_minique_promises(self, quick: Table) -> None:
        assert quick.is_as_promised

    def test_what_holds_says_where_it_was_searched(self, quick: Table) -> None:
        for cell in quick.cells.values():
            if cell.verdict == HOLDS:
                assert cell.states > 0
                assert "worker" in cell.why or "scheduler" in cell.why
                assert f"{cell.states:,}" in cell.why or ";" in cell.why

    def test_what_fails_has_a_story_that_ends_there(self, quick: Table) -> None:
        stories = quick.stories()
        assert {(one.design, one.property) for one in stories} == {
            key for key, cell in quick.cells.items() if cell.verdict == FAILS
        }
        for cell in stories:
            assert cell.story is not None
            assert cell.story.why == cell.why
            assert cell.why in cell.story.timeline()
            assert Story.from_json(cell.story.to_json()) == cell.story

    def test_what_is_not_promised_says_why(self, quick: Table) -> None:
        for cell in quick.cells.values():
            if cell.verdict == NOT_PROMISED:
                assert cell.why.endswith(".")

    def test_a_design_or_property_that_there_is_not_is_refused(self) -> None:
        with pytest.raises(ValueError, match="known: naive, unclaimed"):
            table(["hopeful"])
        with pytest.raises(ValueError, match="known: stored once"):
            table(["naive"], ["never late"])


class TestThePlainPop:
    def test_its_hole_is_found_at_once_and_in_six_steps(self) -> None:
        scope = Scope(2, ("plain",), crashes=1)
        began = time.process_time()
        failure = Search(BlockingPop(), scope).run(("lost",), first_only=True).failures["lost"]
        taken = time.process_time() - began
        assert [step.who for step in failure.steps] == ["producer"] * 2 + ["worker-1"] * 4
        assert "takes job 1 off the queue" in failure.steps[-2].words
        assert "is killed" in failure.steps[-1].words
        print(f"\n  the plain pop's hole: {taken * 1000:.0f} ms")


def verdict(rung: Rung, property: str) -> str:
    return of_rung(rung, BY_NAME[property]).verdict


class WithoutJanitor(Backup):
    def upkeep(self) -> list[Cast]:
        return []


class GivenBackAtTheStart(WithoutJanitor):
    """Whoever starts gives back what the dead have in their lists."""

    def worker(self, name: str) -> Cast:
        def life(io: Io, incarnation: str) -> None:
            server = Connection(io)
            for held in server.smembers(backup.LISTS):
                if not io.is_alive(held.removeprefix("backup:")):
                    while server.lmove(held, backup.QUEUE, "RIGHT", "LEFT") is not None:
                        pass
            backup.run(server, lambda payload: io.work_in_child(int(payload)), name=incarnation, block=0)

        return super().worker(name)._replace(main=life)

    def plain_words(self, stop: Stop, answer: Any) -> str:
        return "gives back" if stop.what == "lmove" else super().plain_words(stop, answer)


class FencedClaiming(Claiming):
    """Who finishes is asked whether the row is still his."""

    def worker(self, name: str) -> Cast:
        def life(io: Io, incarnation: str) -> None:
            class Fenced(TableOf):
                def mark_done(self, row: Row, now: float) -> None:
                    self.execute(f"{DONE} AND claimed_by = ?", (now, row.id, incarnation))

            claiming.run(
                Fenced(io),
                lambda row: io.work(row.arguments[0]),
                name=incarnation,
                clock=io.clock,
                sleep=io.sleep,
                every=30.0,
            )

        return super().worker(name)._replace(main=life)

    def in_words(self, stop: Stop, answer: Any) -> str:
        return "marks as done if it is his" if stop.what.endswith("claimed_by = ?") else super().in_words(stop, answer)


class WithoutReaper(Unfenced):
    def upkeep(self) -> list[Cast]:
        return []


class WithoutRenewal(Unfenced):
    def worker(self, name: str) -> Cast:
        def life(io: Io, incarnation: str) -> None:
            unfenced.run(
                Connection(io),
                lambda payload: io.start(int(payload)),
                name=incarnation,
                clock=io.clock,
                renew_every=unfenced.LEASE_SECONDS * 2,
                block=0,
            )

        return super().worker(name)._replace(main=life, longest=30.0)


class TestTheCellsChangeWithTheCode:
    @pytest.mark.parametrize(
        ("before", "after", "property"),
        [
            (BlockingPop, GivenBackAtTheStart, "survives worker kill"),
            (Claiming, FencedClaiming, "stale worker cannot finish another's attempt"),
        ],
    )
    def test_a_mended_design_holds(self, before: type[Rung], after: type[Rung], property: str) -> None:
        assert (verdict(before(), property), verdict(after(), property)) == (FAILS, HOLDS)

    @pytest.mark.parametrize(
        ("before", "after", "property"),
        [
            (Backup, WithoutJanitor, "survives worker kill"),
            (Unfenced, WithoutReaper, "survives worker kill"),
            (Unfenced, WithoutReaper, "drains when faults stop"),
            (Unfenced, WithoutRenewal, "slow worker keeps its job"),
        ],
    )
    def test_a_broken_design_fails(self, before: type[Rung], after: type[Rung], property: str) -> None:
        assert (verdict(before(), property), verdict(after(), property)) == (HOLDS, FAILS)

    @pytest.mark.parametrize(
        ("mutant", "property"),
        [
            ("complete without asking whose it is", "stale worker cannot finish another's attempt"),
            ("enqueue is not repeatable", "stored once"),
            ("nobody reaps", "survives worker kill"),
            ("renew does not renew", "slow worker keeps its job"),
            ("deaths are not counted", "poison stops"),
            ("promote only queues", "delayed moves once"),
            ("promote only removes", "delayed moves once"),
            ("nobody is rung", "no lost wake-up"),
            ("enqueue puts first", "order within a queue"),
            ("the same claim takes other jobs", "repeat-safe under lost replies"),
            ("claim leaves the job in its queue", "never in no place"),
        ],
    )
    def test_minique_broken_on_purpose_fails_there(self, mutant: str, property: str) -> None:
        changes = next(one.changes for one in MUTANTS if one.name == mutant)
        cell = of_minique(BY_NAME[property], changes=changes)
        assert (cell.verdict, cell.story is not None) == (FAILS, True), cell.why


SCHEDULER, STORE = "scheduler.py", "memory_store.py"
FIRED_AGAIN = Change(
    STORE, "        if cursor is not None and slot <= float(cursor):\n", "        if cursor is None:\n"
)


class TestRecurring:
    def check(self, property: str, *changes: Change) -> str:
        return table(["minique"], [property], changes=changes).cell("minique", property).verdict

    def test_a_scheduler_that_gives_up_what_was_missed_is_seen(self) -> None:
        late = Change(
            SCHEDULER,
            "                given_up = entry.last_due(planned.cursor, now) or now\n",
            "                given_up = now + 120\n",
        )
        assert self.check("catch-up as stated", late) == FAILS

    def test_a_store_that_has_no_cursor_fires_again(self) -> None:
        fires = "        if self._admit(arrow.queue, arrow.id, arrow.body, now) is True:\n            self._put_last"
        always = "        if self._admit(arrow.queue, arrow.id, arrow.body, now) or True:\n            self._put_last"
        assert self.check("one firing per slot", FIRED_AGAIN, Change(STORE, fires, always)) == FAILS

    def test_either_alone_is_enough_against_a_second_firing(self) -> None:
        # The cursor, and an id that is the slot's own.
        assert self.check("one firing per slot", FIRED_AGAIN) == HOLDS


class TestBells:
    def test_a_timers_bell_that_forgets_loses_a_wake_up(self) -> None:
        class Forgetful(InMemory):
            def __init__(self) -> None:
                super().__init__()
                self.server.keeps_rings = False  # type: ignore[attr-defined]

        assert (verdict(InMemory(), "no lost wake-up"), verdict(Forgetful(), "no lost wake-up")) == (HOLDS, FAILS)


class TestTwoEngines:
    @pytest.mark.parametrize(
        ("property", "scope"),
        [
            ("twice", Scope(2, ("plain", "plain"))),
            ("lost", Scope(2, ("plain",), crashes=1)),
            ("stale", Scope(2, ("plain",), pauses=1, anywhere=True)),
            ("early", Scope(1, ("delayed",), crashes=1, struck="upkeep")),
        ],
    )
    def test_minique_holds_in_the_ladders_search_too(self, property: str, scope: Scope) -> None:
        result = Search(Minique(), scope).run()
        broken = set(result.failures) - ({"twice"} if scope.crashes or scope.pauses else set())
        assert (broken, result.is_whole) == (set(), True)

    @pytest.mark.parametrize(
        ("mutant", "rule", "scope"),
        [
            ("nobody is rung", "wake-up", Scope(1, ("plain",))),
            ("claim without a lease", "no place", Scope(1, ("plain",))),
            ("nobody reaps", "drains", Scope(1, ("plain",), crashes=1)),
            ("promote before its time", "early", Scope(1, ("delayed",))),
        ],
    )
    def test_and_what_is_broken_is_found_there_too(self, mutant: str, rule: str, scope: Scope) -> None:
        changes = next(one.changes for one in MUTANTS if one.name == mutant)
        result = Search(Minique(changed(changes)), scope).run((rule,))
        assert set(result.failures) == {rule}


class TestHistoriesEnd:
    @pytest.mark.parametrize("design", sorted(RUNGS))
    @pytest.mark.parametrize(
        "scope",
        [Scope(1, ("plain",), crashes=1), Scope(2, ("plain",), pauses=1, anywhere=True)],
        ids=["a kill", "a pause"],
    )
    def test_with_whole_histories_the_same_is_seen(self, design: str, scope: Scope) -> None:
        # A loop that has come round is taken for one that has just begun. Were that wrong, another server state would
        # be reached, or another rule break, with histories that never end, as far as those are followed.
        whole, ended = (Search(RUNGS[design](), scope, goes_round=goes_round) for goes_round in (False, True))
        long, short = whole.run((), limit=4000), ended.run(())
        assert short.is_whole
        assert long.states >= short.states or not long.is_whole
        assert {contents for contents, _ in whole._worlds} <= {contents for contents, _ in ended._worlds}
        assert set(long.failures) <= set(short.failures)


class TestThePage:
    def test_it_needs_no_other_file_and_draws_every_story(self, quick: Table) -> None:
        text = page(quick)
        assert text.count("<svg") == len(quick.stories())
        assert not re.search(r"""(?:src|href)=["'](?!#)""", text)
        links = set(re.findall(r'href="#([^"]+)"', text))
        places = re.findall(r' id="([^"]+)"', text)
        assert len(places) == len(set(places))
        assert links <= set(places)

    def test_hostile_text_is_escaped(self, quick: Table) -> None:
        evil = "<script>alert(1)</script>&\"'"
        cell = quick.cell("blocking", "survives worker kill")
        assert cell.story is not None
        steps = tuple(step._replace(words=evil, after=(evil,), who=evil) for step in cell.story.steps)
        story = replace(cell.story, why=evil, promise=evil, steps=steps)
        cells = {**quick.cells, ("blocking", "survives worker kill"): replace(cell, why=evil, story=story)}
        text = page(replace(quick, cells=cells))
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        for drawn in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
            ElementTree.fromstring(drawn)

    def test_words_stand_beside_signs(self, quick: Table) -> None:
        shown = Console(width=100, record=True, file=io.StringIO())
        report.show(shown, quick)
        text = shown.export_text()
        assert "✓ holds" in text
        assert "✗ fails" in text
        assert "minique" in "".join(text.splitlines()[:6])
        assert max(map(len, text.splitlines())) <= 100


class TestFigures:
    def words_of(self, figure: Figure) -> list[Text]:
        figure.canvas.draw()
        return [text for text in figure.axes[0].texts if text.get_text()]

    def test_nothing_overlaps_and_nothing_leaves_the_picture(self, quick: Table) -> None:
        stories = sorted((cell.story for cell in quick.stories() if cell.story), key=lambda story: len(story.steps))
        figures = [guarantees_figure(quick), *map(story_figure, (stories[0], stories[len(stories) // 2], stories[-1]))]
        for figure in figures:
            width, height = figure.canvas.get_width_height()
            boxes = [text.get_window_extent() for text in self.words_of(figure)]
            for box in boxes:
                assert box.x0 >= 0
                assert box.x1 <= width
                assert box.y0 >= 0
                assert box.y1 <= height
            for one, other in combinations(boxes, 2):
                assert not one.shrunk(0.9, 0.7).overlaps(other.shrunk(0.9, 0.7))


class TestTheCommand:
    def run(self, folder: Path, *more: str) -> int:
        return cli.main(["guarantees", "--output", str(folder), *more])

    def test_it_writes_all_and_the_stories_can_be_replayed(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        chosen = ("--designs", "claiming,minique", "--properties", "slow worker,stored")
        assert self.run(tmp_path, *chosen, "--stories") == 0
        names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
        story = "stories/claiming-slow-worker-keeps-its-job.json"
        assert names == {*(f"guarantees.{kind}" for kind in ("md", "json", "html", "png")), story}
        assert "is still at it" in capsys.readouterr().out
        data = json.loads((tmp_path / "guarantees.json").read_text())
        assert [cell["verdict"] for cell in data["cells"]] == ["holds", "holds", "fails", "holds"]
        there = ["explore", "--replay", str(tmp_path / story), "--server", str(tmp_path / "new.db")]
        assert cli.main(there) == 0
        assert "The same end" in capsys.readouterr().out
        assert cli.main(there) == 2  # the file is there now

    def test_a_broken_promise_is_a_failure(self, tmp_path: Path) -> None:
        change = "memory_store.py:'            claims = self._leases.due(now, arrow.limit)'=>'            claims = []'"
        chosen = ("--designs", "minique", "--properties", "survives worker")
        assert self.run(tmp_path, *chosen, "--break", change) == 1

    def test_what_cannot_be_asked_is_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as refused:
            self.run(tmp_path, "--properties", "s")
        assert refused.value.code == 2
        assert "'s' is several of: stored once" in capsys.readouterr().err
        assert self.run(tmp_path, "--designs", "minique", "--break", "worker.py:'no such text'=>''") == 2

    def test_an_interruption_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_: object, **__: object) -> Table:
            raise KeyboardInterrupt

        monkeypatch.setattr("simulate.commands.guarantees.table", interrupted)
        assert self.run(tmp_path) == 130
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.fixture(scope="module", params=["valkey", "redis"])
def server(request: pytest.FixtureRequest) -> Iterator[RealServer]:
    server = RealServer(request.param, required({"valkey": find_valkey, "redis": find_redis}[request.param]))
    yield server
    server.stop()


class TestOnARealServer:
    def test_each_story_ends_there_as_it_did_here(self, server: RealServer, quick: Table) -> None:
        wire = Server(server.url)
        try:
            for cell in quick.stories():
                assert cell.story is not None
                if cell.design in ("resque", "blocking", "backup", "unfenced"):
                    done = ladder.replay(cell.story, ladder.RealLists(wire, LEFT_OUT))
                    assert done == (len(cell.story.steps), True, cell.why), (cell.design, cell.property)
        finally:
            wire.close()

    def test_and_on_a_real_file(self, tmp_path: Path, quick: Table) -> None:
        for cell in quick.stories():
            assert cell.story is not None
            if cell.design in ON_A_TABLE:
                rows = ladder.RealRows(tmp_path / f"{cell.design}-{BY_NAME[cell.property].name}.db")
                done = ladder.replay(cell.story, rows)
                rows.database.close()
                assert done == (len(cell.story.steps), True, cell.why), (cell.design, cell.property)

    def test_another_end_is_seen(self, server: RealServer, quick: Table) -> None:
        class Forgetful(ladder.RealLists):
            def step(self, stop: Stop) -> Any:
                return 1 if stop.what == "lrem" else super().step(stop)

        story = quick.cell("unfenced", "poison stops").story
        assert story is not None
        wire = Server(server.url)
        try:
            assert not ladder.replay(story, Forgetful(wire, LEFT_OUT)).is_same
        finally:
            wire.close()

    def test_a_power_cut_of_minique_too(self, server: RealServer, quick: Table) -> None:
        cell = quick.cell("minique", "nothing is lost with the last second")
        assert cell.story is not None
        wire = Server(server.url)
        try:
            done = ladder.replay(cell.story, ladder.RealArrows(LuaServer(wire)))
            assert done == (len(cell.story.steps), True, cell.why)
        finally:
            wire.close()

    def test_a_file_that_is_there_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.db"
        path.write_text("precious")
        with pytest.raises(NoStory, match="there already"):
            ladder.RealRows(path)
        assert path.read_text() == "precious"
