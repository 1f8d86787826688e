"""The verbs that ask one question each: what they leave behind, that it can be had again, and what they refuse."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulate import cli
from simulate.commands import experiment, results, staff
from simulate.commands.chosen import chosen_loads
from simulate.workload import Load

QUESTIONS = {
    "priorities": ["--utilisations", "0.5,1.1", "--jobs", "600", "--replications", "2"],
    "overload": [
        *("--utilisations", "0.8,1.4", "--jobs", "200", "--replications", "2"),
        *("--policies", "unbounded,low-first", "--deadline", "5"),
    ],
    "bursts": ["--bursts", "10,20", "--utilisations", "0.3,1", "--replications", "2"],
    "retries": [
        *("--policies", "at-once,as-shipped", "--replications", "2", "--outage-begins", "2", "--outage-seconds", "8"),
        *("--burst", "10", "--after", "5", "--calls-per-second", "10", "--collapse", "1", "--mended-after", "6"),
    ],
    "startup": ["--loads", "2", "--jobs", "80", "--replications", "2", "--utilisation", "0.4"],
    "waits": [
        *("--workers", "2,3,5", "--services", "fixed,lognormal", "--rate", "1.5", "--percentile", "90"),
        *("--jobs", "400", "--replications", "2", "--target", "3"),
    ],
    "staff": [
        *("--load", "poisson", "--rate", "1", "--service", "exponential", "--jobs", "700", "--replications", "2"),
        *("--window", "300", "--growth", "2", "--target", "3", "--percentile", "90"),
    ],
}
"""Each verb, with as little to do as makes it say something."""

PICTURES = {"startup": ["startup.png", "startup-deploy.png", "startup-crash.png"]}

each_question = pytest.mark.parametrize("verb", QUESTIONS)


@pytest.fixture
def ask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Asks for the JSON of a verb, with these options behind the small ones. Figures are drawn, but not as pictures."""
    monkeypatch.setattr(results, "write_figure", lambda path, figure: path.touch())

    def one(verb: str, *options: str) -> dict[str, Any]:
        assert cli.main([verb, *QUESTIONS[verb], *options, "--json", "--output", str(tmp_path)]) in (0, 1)
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return one


@each_question
def test_a_result_is_whole_and_its_file_gives_the_same_bits_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    first, again, kept = tmp_path / "first", tmp_path / "again", tmp_path / "kept.toml"
    asked = [verb, *QUESTIONS[verb], "--seed", "4", "--save-experiment", str(kept), "--html"]
    assert cli.main([*asked, "--output", str(first)]) == 0
    printed = capsys.readouterr().out
    assert "Costs: query" in printed
    assert "┃" in printed
    assert "Simulated " in printed
    names = {f"{verb}.{ending}" for ending in ("json", "csv", "html", "png")} | set(PICTURES.get(verb, []))
    assert {path.name for path in first.iterdir()} == names
    page = (first / f"{verb}.html").read_text()
    assert page.count("<svg") == len(PICTURES.get(verb, ["one"]))
    assert f'verb = "{verb}"' in page.replace("&quot;", '"')
    assert cli.main(["run", str(kept), "--output", str(again)]) == 0
    for path in again.iterdir():
        assert (first / path.name).read_bytes() == path.read_bytes(), path.name
    assert {path.name for path in again.iterdir()} == names - {f"{verb}.html"}
    content = json.loads((first / f"{verb}.json").read_text())
    assert content["experiment"]["verb"] == verb
    assert content["experiment"]["seed"] == 4
    with (first / f"{verb}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all(None not in row and None not in row.values() for row in rows), "a row as long as its header"
    assert any(row.get("value") or row.get("waiting_seconds") for row in rows)


@each_question
def test_another_seed_gives_other_numbers_and_the_bar_comes_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., dict[str, Any]], verb: str
) -> None:
    told: list[float] = []
    totals: list[float] = []

    @contextmanager
    def recorded(total: float, *_: object) -> Iterator[Callable[[float], None]]:
        totals.append(total)
        yield told.append

    one = ask(verb, "--seed", "1")
    monkeypatch.setattr(results, "progress_bar", recorded)
    other = ask(verb, "--seed", "2")
    for found in (one, other):
        del found["experiment"]
        found.pop("seed", None)
    assert one != other
    assert told == sorted(set(told)), "it never goes back"
    # How many plays a staffing takes nobody knows before; a burst that never drains is not played.
    whole = {"staff": told[-1], "bursts": totals[0] / 2}.get(verb, totals[0])
    assert told[-1] == whole <= totals[0]


class TestWhatIsAskedForIsPlayed:
    """An option that is read and then forgotten would go unnoticed otherwise."""

    def test_the_order_decides_who_starves(self, ask: Callable[..., dict[str, Any]]) -> None:
        def starving(*options: str) -> list[str]:
            last = ask("priorities", *options)["points"][-1]
            return [one["queue"] for one in last["queues"] if "starves" in one["waiting"].get("why", "")]

        assert starving() == ["low"]
        assert starving("--queues", "low,default,critical") == ["critical"]
        assert starving("--shares", "a=1,b=1") == ["b"]

    def test_queues_have_their_means_and_several_workers_their_own_order(
        self, ask: Callable[..., dict[str, Any]]
    ) -> None:
        found = ask("priorities", "--shares", "mail=0.9,reports=0.1", "--means", "reports=5", "--service", "fixed")
        assert [one["service"] for one in found["queues"]] == ["fixed, mean 1 s", "fixed, mean 5 s"]
        assert found["theory_is"] == "approximate"
        dealt = ask("priorities", "--queues", "critical,default,low; low,default,critical", "--workers", "2")
        assert (dealt["serves"], dealt["workers"]) == ("critical,default,low / low,default,critical", 2)
        assert ask("priorities", "--design", "resque")["design"] == "resque"

    def test_an_overload_has_its_limits(self, ask: Callable[..., dict[str, Any]]) -> None:
        found = ask("overload", "--policies", "expiring,bounded", "--limit", "2", "--expires", "0.5", "--workers", "2")
        assert (found["limit_jobs"], found["expires_seconds"], found["deadline_seconds"]) == (2, 0.5, 5.0)
        # All that is asked for stands in the order of the catalogue, whoever typed it how.
        assert list(dict.fromkeys(one["policy"] for one in found["points"])) == ["bounded", "expiring"]
        refused = [one["given_up_share"].get("refused", 0) for one in found["points"] if one["policy"] == "bounded"]
        assert min(refused) > 0
        roomy = ask("overload", "--policies", "bounded", "--limit", "1000")
        assert not any(one["given_up_share"] for one in roomy["points"])

    def test_a_burst_beside_a_full_load_never_drains(self, ask: Callable[..., dict[str, Any]]) -> None:
        found = ask("bursts", "--workers", "2", "--mean", "0.5")
        assert found["capacity_per_second"] == pytest.approx(2 / 0.5, rel=0.01)
        known, never = found["points"][0], found["points"][-1]
        assert known["burst_jobs"] == 10
        assert known["drain_seconds"]["value"] > 0
        assert "never drains" in never["drain_seconds"]["why"]

    def test_an_outage_has_its_shape(self, ask: Callable[..., dict[str, Any]]) -> None:
        found = ask("retries", "--rate", "2", "--workers", "3", "--fails-after", "0.1")
        assert (found["outage_begins_seconds"], found["outage_seconds"]) == (2.0, 8.0)
        assert (found["collapse"], found["mended_after_seconds"], found["burst_jobs"]) == (1.0, 6.0, 10)
        at_once, as_shipped = found["policies"]
        # Three workers that fail ten times a second each are what holds it down; three retries do not last so long.
        assert (at_once["held_down_share"], as_shipped["held_down_share"]) == (1.0, 0.0)
        assert as_shipped["given_up_share"]["value"] > 0
        unlimited = ask("retries", "--calls-per-second", "0", "--collapse", "0", "--policies", "jitter")
        assert unlimited["calls_per_second_at_most"] is None
        assert unlimited["policies"][0]["calls_per_job_in_theory"] > 1

    def test_somebody_steps_in_where_it_may_never_come_back(
        self, ask: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        small = ("--outage-seconds", "1", "--burst", "1", "--after", "1", "--policies", "as shipped")
        place = QUESTIONS["retries"].index("--mended-after")
        monkeypatch.setitem(QUESTIONS, "retries", QUESTIONS["retries"][:place])
        assert ask("retries", *small)["mended_after_seconds"] == 120.0
        assert ask("retries", *small, "--collapse", "0")["mended_after_seconds"] is None

    def test_loading_is_asked_per_job_deploy_or_crash(self, ask: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        found = ask("startup", "--per", "crash,deploy", "--crashes-per-hour", "600", "--loads", "2,4")
        assert "per_job" not in found
        assert found["utilisation"] == 0.4
        away = [one["workers_away_in_theory"] for one in found["per_crash"] if one["mode"] == "in-line"]
        assert away == [pytest.approx((1 + seconds) / 6) for seconds in (2, 4)]
        assert [one["loads_for_seconds"] for one in found["per_deploy"]] == [2, 4, 2, 4]
        assert {path.name for path in tmp_path.glob("*.png")} == {"startup.png", "startup-crash.png"}

    def test_a_staffing_has_its_windows_and_its_goal(self, ask: Callable[..., dict[str, Any]]) -> None:
        found = ask("staff")
        assert (found["goal"], found["growth"]) == ("p90 of the waiting time below 3 s", 2.0)
        assert [one["begins_seconds"] for one in found["windows"]] == [0, 300]
        # Twice as fast, two erlangs.
        assert all(one["workers"] >= 3 for one in found["windows"])

    def test_what_nobody_can_staff_is_said_and_fails(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        asked = ["staff", *QUESTIONS["staff"], "--most", "1", "--output", str(tmp_path)]
        assert cli.main(asked) == 1
        assert "No staffing" in capsys.readouterr().out
        assert json.loads((tmp_path / "staff.json").read_text())["why_none"]

    def test_a_day_is_a_day(self) -> None:
        arrived = np.array([10.0, 86_000.0, 86_401.0, 90_000.0])
        load = Load("x", "made", arrived, np.ones(4), queues=("a", "b", "c", "d"))
        cut = staff.whole_days(load)
        assert (cut.jobs, cut.queues) == (2, ("a", "b"))
        short = Load("x", "made", arrived[:2], np.ones(2))
        assert staff.whole_days(short).jobs == 2

    def test_without_words_staff_fills_a_day(self) -> None:
        options = cli.parser().parse_args(["staff", "--jobs", "1000"])
        staff.fill(options)
        [loads] = chosen_loads(options)
        for _, load in loads:
            assert 86_400 < load.span < 1.25 * 86_400


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("priorities --utilisations 0,0.5", "utilisations above 0"),
        ("priorities --utilisations x", "'x' is not a list of numbers"),
        ("priorities --shares a=1,a=2", "names a queue twice"),
        ("priorities --means nobody=1", "--means: there is no queue 'nobody'; --shares has critical, default, low"),
        ("priorities --queues critical,,", "--queues: "),
        ("priorities --queues critical", "--queues: nobody would serve default, low; name it, or end with *"),
        ("priorities --design naive", "invalid choice: 'naive'"),
        ("priorities --replications 1", "--replications must be 2 or more"),
        ("priorities --workers 0", "'0' is not a whole number above zero"),
        ("priorities --seed -1", "--seed must be 0 or more"),
        ("priorities --variance 3", "--variance is for lognormal"),
        ("overload --policies unbouned", "--policies: 'unbouned' is not known; did you mean 'unbounded'?"),
        ("overload --policies ,", "--policies: names none; known: unbounded, bounded"),
        ("overload --limit 0", "'0' is not a whole number above zero"),
        ("retries --burst -1", "'-1' is not a whole number of zero or more"),
        ("startup --jobs 10", "10 jobs are too few to keep 4 workers busy"),
        ("overload --deadline 0", "'0' is not a number above zero"),
        ("overload --jobs 20", "are too few to count any that came 10 s before the end"),
        ("bursts --bursts 0", "'0' is not a whole number above zero"),
        ("bursts --bursts 2.5", "'2.5' is not a whole number above zero"),
        ("bursts --utilisations 0", "utilisations must be above 0"),
        ("retries --calls-per-second 0.5", "0.5 calls a second is no use"),
        ("retries --calls-per-second 0 --collapse 1", "--collapse is about calls beyond the limit"),
        ("retries --policies never", "'never' is not known; known: at once, in step"),
        ("retries --outage-seconds 0", "'0' is not a number above zero"),
        ("startup --per week", "--per: 'week' is not known; known: job, deploy, crash"),
        ("startup --loads 0", "'0' is not a number above zero"),
        ("startup --utilisation 1.2", "at a utilisation of 1.2 nothing is left to drain a backlog with"),
        ("startup --crashes-per-hour 0", "'0' is not a number above zero"),
        ("startup --utilisation inf", "'inf' is not a number above zero"),
        ("staff --percentile 100", "the percentile below 100"),
        ("staff --trace x.csv --rate 3", "--rate is for generated loads"),
        ("staff --scale 2", "--scale needs --trace FILE"),
        ("staff --design naive", "invalid choice: 'naive'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str, says: str
) -> None:
    try:
        code = cli.main([*arguments.split(" "), "--output", str(tmp_path / "results")])
    except SystemExit as left:  # as argparse does
        code = int(left.code or 0)
    printed = capsys.readouterr()
    assert code == cli.USAGE
    assert says in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert not list(tmp_path.glob("results/*"))


def test_every_verb_is_listed_under_what_it_is_good_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    said = capsys.readouterr().out
    parsers = cli.parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    for verb in parsers:  # type: ignore[union-attr]
        assert f"\n  {verb} " in said
    for group in cli.VERBS:
        assert f"\n{group}:\n" in said
    assert set(experiment.DESCRIBED_VERBS) >= set(QUESTIONS)
    with pytest.raises(SystemExit):
        cli.main(["priorites"])
    assert "invalid choice: 'priorites'" in capsys.readouterr().err
