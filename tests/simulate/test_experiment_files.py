"""Experiments as TOML files: the same file gives the same bits, and what is wrong is said with its line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulate import cells, cli
from simulate.commands import experiment

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted((REPOSITORY / "docs" / "examples").glob("*.toml"))

SMALL = """verb = "compare"
designs = ["naive", "minique", "mine.py"]
workers = 3
replications = 2
seed = 5

[load]
kind = "bursty"
jobs = 150
"""
KINDS = cells.catalogue()[:4]  # all of them would take long
MINE = (REPOSITORY / "docs" / "examples" / "my_design.py").read_text()


def run(folder: Path, *arguments: str, hash_seed: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "simulate", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
        timeout=120,
    )


def test_the_same_file_gives_the_same_bits_in_any_process_and_from_any_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "small.toml").write_text(SMALL)
    (tmp_path / "elsewhere").mkdir()
    run(tmp_path, "run", "small.toml", "--output", "one", hash_seed="1")
    run(tmp_path / "elsewhere", "run", "../small.toml", "--output", "../two", "--html", hash_seed="2")
    for ending in ("json", "csv", "png"):
        one, two = ((tmp_path / folder / f"compare.{ending}").read_bytes() for folder in ("one", "two"))
        assert one == two
    said = json.loads((tmp_path / "one" / "compare.json").read_text())["experiment"]
    assert (said["designs"], said["load"], said["workers"]) == (
        ["naive", "minique", "mine.py"], said["load"] | {"kind": "bursty", "jobs": 150}, 3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stem", "arguments"),
    [
        (
            "compare",
            ["compare", "--jobs", "120", "--replications", "2", "--designs", "naive,mine.py", "--workers", "2"],
        ),
        ("compare", ["compare", "--trace", "log.csv", "--scale", "2", "--designs", "minique"]),
        ("compare", ["compare", "--jobs", "90", "--designs", "minique", "--faults", "kill=1,slow=10x30s,lost=2"]),
        ("sweep-poll", ["sweep", "--over", "poll", "--values", "5,10", "--designs", "naive", "--replications", "2"]),
        ("plan", ["plan", "--target", "5", "--rate", "2", "--load", "poisson", "--jobs", "300"]),
        ("theory", ["theory", "--runs", "1", "--precision", "30", "--seed", "3"]),
    ],
)
def test_what_was_played_is_written_down_and_plays_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stem: str, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cells, "catalogue", lambda: KINDS)
    Path("mine.py").write_text(MINE)
    Path("log.csv").write_text("arrived,service\n0,1\n4,2\n9,1\n")
    assert cli.main([*arguments, "--output", "first", "--save-experiment", "kept/it.toml"]) == 0
    assert cli.main(["run", "kept/it.toml", "--output", "second"]) == 0
    first, second = (json.loads(Path(folder, f"{stem}.json").read_text()) for folder in ("first", "second"))
    assert first == second
    assert first["experiment"]["verb"] == arguments[0]
    # Files are named from where the experiment stands.
    assert set(experiment.File(Path("kept/it.toml")).content.get("files", {})) <= {"../mine.py", "../log.csv"}
    assert Path("first", f"{stem}.csv").read_bytes() == Path("second", f"{stem}.csv").read_bytes()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_run(path: Path, tmp_path: Path) -> None:
    assert cli.main(["run", str(path), "--output", str(tmp_path)]) == 0
    assert list(tmp_path.glob("*.json"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("verb = ", "is not TOML: Invalid value (at "),
        ("seed = 1\n", 'it lacks the key verb; write: verb = "compare"'),
        ('verb = "live"\n', "line 1: verb: 'live' is none of compare, sweep, plan, theory"),
        ('verb = "compare"\nwokers = 3\n', "line 2: compare has no key 'wokers'; did you mean workers?"),
        ('verb = "compare"\nrate = 3\n', "line 2: compare has no key 'rate'; it belongs to [load] rate; known:"),
        ('verb = "compare"\n[laod]\njobs = 3\n', "line 2: there is no table [laod]; known: [costs]"),
        ('verb = "compare"\n[load]\njobs = 3\njobbs = 4\n', "line 4: [load] of compare has no key 'jobbs'; did you"),
        ('verb = "compare"\nworkers = 0\n', "line 2: workers: '0' is not a whole number above zero"),
        ('verb = "compare"\nworkers = 2.5\n', "line 2: workers: '2.5' is not a whole number above zero"),
        ('verb = "compare"\nworkers = "8"\n', 'line 2: workers: "8" is not a whole number (without quotes)'),
        ('verb = "compare"\nworkers = [8]\n', "line 2: workers: [8] is a list, and one is wanted: a whole number"),
        ('verb = "compare"\nworkers = true\n', "line 2: workers: true is not a whole number"),
        ('verb = "compare"\n[load]\nrate = inf\n', "line 3: [load] rate: 'inf' is not a number above zero"),
        ('verb = "compare"\n[load]\nkind = "poison"\n', "line 3: [load] kind: \"poison\" is not known; did you mean"),
        ('verb = "compare"\ndesigns = [3]\n', "line 2: designs: 3 is not names"),
        ('verb = "compare"\ndesigns = "cron"\n', "small.toml: --designs: unknown design 'cron'"),
        ('verb = "compare"\ndesigns = "gone.py"\n', "gone.py: cannot be read: No such file"),
        ('verb = "compare"\nseed = -1\n', "small.toml: --seed must be 0 or more"),
        ('verb = "compare"\n[load]\ntrace = "gone.csv"\n', "gone.csv: cannot be read: No such file"),
        ('verb = "compare"\n[load]\ntrace = "gone.csv"\nrate = 3\n', "--rate is for generated loads and --trace"),
        ('verb = "compare"\n[costs]\ncomit = 1\n', "line 3: [costs] has no key 'comit'; did you mean commit?"),
        ('verb = "compare"\n[costs]\ncommit = -1\n', "line 3: [costs] commit: -1 is not a number of seconds"),
        ('verb = "theory"\n[costs]\ncommit = 1\n', "line 2: theory has no costs; leave the table out"),
        ('verb = "compare"\n[files]\n"x.csv" = "0"\n', "line 3: [files] x.csv: cannot be read: No such file"),
        ('verb = "compare"\n[files]\n"small.toml" = "0"\n', "line 3: [files] small.toml has changed since"),
        ('verb = "sweep"\nseed = 1\n', "it lacks over (which parameter), which sweep cannot do without"),
        ('verb = "plan"\ntarget = 5\n', "how many jobs come?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_line_and_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    path = tmp_path / "small.toml"
    path.write_text(text)
    assert cli.main(["run", str(path), "--output", str(tmp_path / "results")]) == cli.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err
    assert printed.err.startswith(f"simulate: {path.parent}")
    assert not list(tmp_path.glob("results/*"))


def test_a_name_of_any_kind_survives_the_way_through_the_file(tmp_path: Path) -> None:
    names = ['a"b', "tab\there", "line\nbreak", "back\\slash", "\x7f", "ümläut \U0001f600", "a.b c", "'", "#"]
    path = tmp_path / "x.toml"
    path.write_text(
        experiment.to_toml({"verb": "compare", "list": names, "files": dict.fromkeys(names, "0"), "x": 1e-9})
    )
    read = experiment.File(path).content
    assert (read["list"], list(read["files"]), read["x"]) == (names, names, 1e-9)


def test_every_option_but_where_results_go_can_be_written_down() -> None:
    parsers = cli.parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    for verb in experiment.DESCRIBED_VERBS:
        written = {key.action.dest for key in experiment.keys(parsers[verb])}  # type: ignore[index]
        known = {action.dest for action in parsers[verb]._actions}  # type: ignore[index]
        assert known - written <= set(experiment.NOT_DESCRIBED)
