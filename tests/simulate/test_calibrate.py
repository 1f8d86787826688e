"""`calibrate` measures with real programs and leaves nothing behind; its file is read, or refused in words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simulate import cli
from simulate.costs import Costs
from simulate.live import calibrate
from simulate.live.calibrate import CostsUnusable, Spread
from simulate.live.lessons import KINDS
from tests.processes import PATIENCE_SECONDS, REPOSITORY, children, is_alive, needs_proc
from tests.servers import find_valkey, required, until


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """A verb of the simulator, typed in a folder of its own, whose temporary files are to be seen."""
    required(find_valkey)
    (folder / "tmp").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "simulate", *words],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(folder / "tmp")},
    )


def test_costs_are_measured_written_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = start(tmp_path, "calibrate")
    output, errors = run.communicate(timeout=120)
    assert (run.returncode, errors) == (0, "")
    assert "What was seen" in output
    assert "calibrated on" in output
    assert os.listdir(tmp_path / "tmp") == []

    file = tmp_path / "results" / "costs.json"
    found = json.loads(file.read_text())
    assert found["costs_seconds"].keys() == Costs().seconds.keys()
    # What was taken apart adds up to what was seen again.
    seconds, seen = found["costs_seconds"], {name: one["mean"] for name, one in found["seen_seconds"].items()}
    alone = seconds["round_trip"] + seconds["wake_up"] + seconds["hand_over"]
    assert alone == pytest.approx(seen["planned to begun, idle, fork"])
    busy = seconds["end_in_line"] + seconds["round_trip"] + seconds["in_line"]
    assert busy == pytest.approx(seen["end to begun, busy, in-line"])
    assert seconds["in_line"] < busy / 2  # of jobs that were claimed together, without a trip
    assert all(value >= 0 for value in seconds.values())
    steps = calibrate.read_steps(file)
    assert steps.keys() == {"minique", "inline", "naive"}
    assert all(len(lesson.between) > 20 for lesson in steps.values())
    assert steps["minique"].means()["alone"] == pytest.approx(seen["planned to begun, idle, fork"], rel=0.5)

    for words in (["compare", "--jobs", "200"], ["sweep", "--over", "utilisation", "--values", "0.3"]):
        tail = ["--designs", "minique", "--replications", "2", "--output", str(tmp_path / "other")]
        assert cli.main([*words, *tail, "--costs", str(file)]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert f"calibrated on {found['calibrated']['on']}" in told
        assert "assumed, not measured" not in told
    assert json.loads((tmp_path / "other" / "compare.json").read_text())["comparisons"][0]["costs_seconds"] == seconds


def test_an_older_file_has_no_steps_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "costs.json"
    file.write_text(json.dumps({**good(), "steps_seconds": {}}))
    assert calibrate.read_steps(file) == {}
    file.write_text(json.dumps(good()))
    assert calibrate.read_steps(file) == {}
    kinds = {kind: {"at": [1.0, 2.0], "took": [0.1, 0.2]} for kind in KINDS}
    file.write_text(json.dumps({**good(), "steps_seconds": {"minique": kinds}}))
    assert calibrate.read_steps(file)["minique"].to_dict() == kinds
    for wrong in ({"at": [2.0, 1.0], "took": [0.1, 0.2]}, {"at": [1.0], "took": []}, {"at": [1.0], "took": ["x"]}, {}):
        file.write_text(json.dumps({**good(), "steps_seconds": {"minique": {**kinds, "late": wrong}}}))
        with pytest.raises(CostsUnusable, match="no steps as calibrate writes them"):
            calibrate.read_steps(file)


def test_without_a_file_it_says_that_costs_are_assumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "--jobs", "200", "--designs", "minique", "--replications", "1", "--output", str(tmp_path)]
    assert cli.main(words) == 0
    assert "assumed, not measured on this machine" in " ".join(capsys.readouterr().out.split())


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    run = start(tmp_path, "calibrate")
    until(lambda: len(children(run.pid)) >= 2 or run.poll() is not None, PATIENCE_SECONDS)  # a server and a worker
    started = children(run.pid)
    run.send_signal(number)
    _, errors = run.communicate(timeout=PATIENCE_SECONDS)
    until(lambda: not any(map(is_alive, started)), PATIENCE_SECONDS)
    assert os.listdir(tmp_path / "tmp") == []
    if "Exception ignored" not in errors:  # Python swallows an interrupt that comes while an object is being deleted
        assert run.returncode == cli.INTERRUPTED, errors
        assert "interrupted" in errors
        assert os.listdir(tmp_path / "results") == []


def good() -> dict[str, object]:
    return {
        "version": 1,
        "calibrated": {"on": "here", "at": "today"},
        "costs_seconds": dict.fromkeys(Costs().seconds, 0.5),
        "sleep_overshoot_seconds": 0.25,
    }


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "costs.json"
    file.write_text(json.dumps(good()))
    costs, overshoot = calibrate.read(file)
    assert (costs.hand_over, overshoot, costs.origin) == (0.5, 0.25, "calibrated on here, today")


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ({"version": 2}, "version 2, and 1 is known"),
        ({"costs_seconds": {"query": 1}}, "one too few or too many: commit"),
        ({"costs_seconds": {**dict.fromkeys(Costs().seconds, 0.5), "query": -1}}, "query is -1"),
        ({"costs_seconds": {**dict.fromkeys(Costs().seconds, 0.5), "query": "\x1b"}}, r"query is '\\x1b'"),
        ({"costs_seconds": 3}, "no file of costs"),
        ({"sleep_overshoot_seconds": True}, "sleep_overshoot_seconds is True"),
        ({"calibrated": {}}, "no 'on'"),
    ],
)
def test_a_file_that_is_none_is_refused_in_words(tmp_path: Path, change: dict[str, object], because: str) -> None:
    file = tmp_path / "costs.json"
    file.write_text(json.dumps({**good(), **change}))
    with pytest.raises(CostsUnusable, match=because) as refused:
        calibrate.read(file)
    assert str(file) in str(refused.value)
    assert "python -m simulate calibrate" in str(refused.value)


def test_no_file_and_no_json_are_usage_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "costs.json"
    assert cli.main(["compare", "--costs", str(file)]) == cli.USAGE
    assert "cannot read" in capsys.readouterr().err
    file.write_text("{")
    assert cli.main(["compare", "--costs", str(file)]) == cli.USAGE
    assert "is not JSON" in capsys.readouterr().err


def test_a_name_cannot_move_the_cursor(tmp_path: Path) -> None:
    file = tmp_path / "costs.json"
    file.write_text(json.dumps({**good(), "calibrated": {"on": "\x1b[2J", "at": "today"}}))
    assert calibrate.read(file)[0].origin == "calibrated on \\x1b[2J, today"


def test_one_long_stop_is_not_the_price_of_each_step() -> None:
    values = np.full(100, 0.001)
    values[7] = 10.0
    assert Spread.of(values).mean == pytest.approx(0.001)
    assert Spread.of(values).seen == 100
