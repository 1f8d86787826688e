"""Faults and queues from the command line."""

import json
from pathlib import Path

import pytest

from simulate import cli

ASKED = [
    "compare", "--load", "poisson", "--rate", "3", "--service", "exponential", "--jobs", "600", "--workers", "4",
    "--replications", "2", "--designs", "naive,resque,minique",
]  # fmt: skip


def of(folder: Path, *more: str) -> dict[str, dict[str, object]]:
    assert cli.main([*ASKED, *more, "--output", str(folder)]) == 0
    [comparison] = json.loads((folder / "compare.json").read_text())["comparisons"]
    return {one["design"]: one["with_faults"] for one in comparison["designs"]}


def test_so_many_are_killed_and_stopped_as_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = of(tmp_path, "--kills", "3", "--pauses", "2", "--pause-seconds", "5", "--restart-seconds", "2")
    assert {(one["killed"], one["paused"]) for one in found.values()} == {(3, 2)}
    assert found["minique"]["lost"] == 0
    assert found["resque"]["lost"] == 3
    words = " ".join(capsys.readouterr().out.split())
    assert "same load again; 3 workers are killed in the middle of a job, and replaced 2 s later" in words
    assert "2 workers are stopped in the middle of a job, for 5 s." in words


def test_an_outage_makes_jobs_raise_and_only_one_tries_again(tmp_path: Path) -> None:
    found = of(tmp_path, "--outage-seconds", "20")
    assert all(one["failures"] for one in found.values())  # type: ignore[truthy-bool]
    assert found["minique"]["left"].get("failed", 0) < found["resque"]["left"]["failed"]  # type: ignore[attr-defined]
    assert {one["killed"] for one in found.values()} == {0}


def test_urgent_queues_go_first_where_there_are_queues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queues = ["--shares", "critical=0.2,low=0.8", "--queues", "critical,low"]
    assert cli.main([*ASKED, *queues, "--rate", "3.8", "--output", str(tmp_path)]) == 0
    [comparison] = json.loads((tmp_path / "compare.json").read_text())["comparisons"]
    waits = {
        one["design"]: [one[f"queue {name}: waiting_mean"]["value"] for name in ("critical", "low")]
        for one in comparison["estimates"]
    }
    for design in ("resque", "minique"):
        assert waits[design][1] > 2 * waits[design][0]
    assert waits["naive"][1] < 1.2 * waits["naive"][0]  # it has one table
    assert "queue critical: waiting mean" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--pause-seconds", "3"], "--pause-seconds needs --pauses N"),
        (["--restart-seconds", "3"], "--restart-seconds needs --kills N"),
        (["--kills", "0"], "'0' is not a whole number above zero"),
        (["--queues", "a,b"], "--queues: the load poisson has none; give --shares"),
        (["--queues", "a", "--shares", "a=1,b=2"], "--queues: nobody would serve b; name it, or end with *"),
        (["--queues", "a b", "--shares", "a=1"], "--queues: 'a b' in the queues 'a b' is not understood"),
        (["--shares", "a=1,a=2"], "names a queue twice"),
        (["--shares", "a"], "'a' is no queue with its share, such as critical=0.2"),
        (["--shares", "a=-1"], "'a=-1' is no queue with its share"),
        (["--shares", "<b>=1"], "'<b>' cannot be the name of a queue"),
        (["--variance", "3"], "--variance is for lognormal and hyperexponential times; exponential ones have theirs"),
        (["--service", "hyperexponential", "--variance", "0.5"], "hyperexponential times have no squared variation of"),
        (["--service", "sample"], "invalid choice"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    try:
        code = cli.main([*ASKED, *arguments, "--output", str(tmp_path)])
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == cli.USAGE
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
